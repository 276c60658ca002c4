"""Reading events, curves and summaries: all that was written, as TensorBoard reads it."""

from __future__ import annotations

import itertools
import math
import os
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorboard.compat.proto import types_pb2
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import custom_scalars, hparams

from safewriter.events import (
    Fault,
    Record,
    TagSummary,
    Verdict,
    event_files,
    read_events,
    read_scalars,
    summarise,
    value_kind,
)
from safewriter.events._events import ScalarDecoder
from tests.support import read_events as tensorboard_events
from tests.support import read_scalars as tensorboard_scalars
from tests.support.event_bytes import (
    frame,
    scalar_event,
    scalar_record,
    torn,
    version_record,
    with_bad_payload,
)

# How long an example takes is the machine's business.
slow_machine = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NAME = "events.out.tfevents.1700000000.host.1.{}"

tags = st.one_of(st.sampled_from(["loss", "train/loss", "Verlust/ß", ""]), st.text(max_size=20))
steps = st.one_of(st.integers(0, 300), st.integers(-(2**63), 2**63 - 1))
floats = st.one_of(st.floats(width=32), st.sampled_from([math.nan, math.inf, 0.0, 1.0]))


def _tensor_value(tag: str, number: float, dtype: int, *, as_bytes: bool, plugin: str) -> Any:
    tensor = TensorProto(dtype=dtype)
    if as_bytes:
        tensor.tensor_content = struct.pack("<f" if dtype == types_pb2.DT_FLOAT else "<d", number)
    elif dtype == types_pb2.DT_FLOAT:
        tensor.float_val.append(number)
    else:
        tensor.double_val.append(number)
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin))
    return Summary.Value(tag=tag, tensor=tensor, metadata=metadata)


values = st.one_of(
    st.builds(lambda tag, number: Summary.Value(tag=tag, simple_value=number), tags, floats),
    st.builds(
        _tensor_value,
        tags,
        floats,
        st.sampled_from([types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE]),
        as_bytes=st.booleans(),
        plugin=st.sampled_from(["scalars", "text", ""]),
    ),
    st.builds(lambda tag: Summary.Value(tag=tag, image=Summary.Image(height=2)), tags),
)
events = st.one_of(
    st.builds(
        lambda wall, step, value: Event(wall_time=wall, step=step, summary=Summary(value=[value])),
        st.floats(),
        steps,
        values,
    ),
    st.builds(
        lambda wall, step, several: Event(
            wall_time=wall, step=step, summary=Summary(value=several)
        ),
        st.floats(0, 1e10),
        steps,
        st.lists(values, max_size=4),
    ),
    st.builds(lambda step: Event(step=step, session_log=SessionLog(status="START")), steps),
    st.just(Event(wall_time=1.0, file_version="brain.Event:2")),
    st.just(Event(wall_time=1.0, graph_def=b"graph")),
)


def _write(directory: Path, *files: bytes) -> list[str]:
    paths = [directory / NAME.format(number) for number in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    return [str(path) for path in paths]


def _serialise(written: list[Event]) -> bytes:
    return b"".join(frame(event.SerializeToString()) for event in written)


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


# --- files


def test_event_files_are_in_reading_order(tmp_path):
    """Files come as absolute paths in the order of their names' bytes, not of their numbers."""
    names = [
        "events.out.tfevents.1700000000.host.10000.0",
        "events.out.tfevents.1700000000.host.9999.0",
        "events.out.tfevents.1700000000.host.9999.10",
        "events.out.tfevents.1700000000.host.9999.2",
        "events.out.tfevents.1700000001.a.1.0",
        "x.tfevents.bak",
    ]
    for name in reversed(names):
        (tmp_path / name).touch()
    assert event_files(tmp_path) == [str(tmp_path / name) for name in names]


def test_event_files_are_absolute_for_a_relative_directory(tmp_path, monkeypatch):
    """A relative directory gives absolute paths."""
    (tmp_path / "run").mkdir()
    _write(tmp_path / "run", b"")
    monkeypatch.chdir(tmp_path)
    assert event_files("run") == [str(tmp_path / "run" / NAME.format(0))]


def test_only_regular_files_are_event_files(tmp_path):
    """Directories, FIFOs, dangling links and other names are left out; a link to a file is not."""
    (path,) = _write(tmp_path, b"")
    (tmp_path / "tfevents.d").mkdir()
    os.mkfifo(tmp_path / "tfevents.fifo")
    (tmp_path / "tfevents.dangling").symlink_to("nowhere")
    (tmp_path / "checkpoint.pt").touch()
    (tmp_path / "tfevents.link").symlink_to(path)
    assert event_files(tmp_path) == [path, str(tmp_path / "tfevents.link")]


def test_a_name_that_is_not_utf8(tmp_path):
    """An event file with any bytes in its name is found and read."""
    path = os.path.join(os.fsencode(tmp_path), b"tfevents.\xff")
    with open(path, "wb") as file:
        file.write(version_record())
    assert event_files(tmp_path) == [os.fsdecode(path)]
    assert summarise(tmp_path).events == 1


@pytest.mark.parametrize(
    "function", [event_files, summarise, read_scalars, lambda p: list(read_events(p))]
)
def test_missing(tmp_path, function):
    """A path that does not exist is an error that names it."""
    with pytest.raises(FileNotFoundError, match="no-such-run"):
        function(tmp_path / "no-such-run")


# --- events


@slow_machine
@given(written=st.lists(st.lists(events, max_size=5), max_size=3))
def test_events_of_a_directory(tmp_path_factory, written):
    """A directory's events are those of its files, one after the other."""
    directory = tmp_path_factory.mktemp("run")
    paths = _write(directory, *map(_serialise, written))
    payloads = [event.SerializeToString() for file in written for event in file]
    assert [event.SerializeToString() for event in read_events(directory)] == payloads
    if paths:
        assert len(list(read_events(paths[0]))) == len(written[0])


def test_sub_directories_are_other_runs(tmp_path):
    """Events in a directory below are not read."""
    (tmp_path / "sub").mkdir()
    _write(tmp_path / "sub", version_record())
    assert list(read_events(tmp_path)) == []
    assert summarise(tmp_path).files == []


def test_behind_faults(tmp_path):
    """A fault ends its file, not the run; what lies behind it comes if it is asked for."""
    one = scalar_record("a", 1.0, 1) + torn(scalar_record("a", 2.0, 2), 20)
    _write(tmp_path, one + scalar_record("a", 3.0, 3), scalar_record("a", 4.0, 4))
    assert [event.step for event in read_events(tmp_path)] == [1, 4]
    assert [event.step for event in read_events(tmp_path, behind_faults=True)] == [1, 3, 4]
    assert read_scalars(tmp_path)["a"].steps.tolist() == [1, 4]
    assert read_scalars(tmp_path, behind_faults=True)["a"].steps.tolist() == [1, 3, 4]
    assert summarise(tmp_path).tags["a"].count == 2
    assert summarise(tmp_path).behind_faults == 1
    assert summarise(tmp_path, behind_faults=True).tags["a"].count == 3


def test_an_undecodable_record_is_a_fault(tmp_path):
    """An undecodable record ends its file likewise, and what lies behind it can be had."""
    bad = frame(scalar_event("ab", 2.0, 2).replace(b"ab", b"\xff\xfe"))
    _write(tmp_path, scalar_record("ab", 1.0, 1) + bad + scalar_record("ab", 3.0, 3))
    for function in (read_events, lambda path: summarise(path).tags.values()):
        assert len(list(function(tmp_path))) == 1
    assert [event.step for event in read_events(tmp_path, behind_faults=True)] == [1, 3]
    assert read_scalars(tmp_path)["ab"].steps.tolist() == [1]
    assert read_scalars(tmp_path, behind_faults=True)["ab"].steps.tolist() == [1, 3]


@settings(slow_machine, max_examples=30)
@given(st.lists(events, min_size=1, max_size=6), st.integers(0, 2**16), st.booleans())
def test_tensorboard_reads_the_same_events(tmp_path_factory, written, at, cut):
    """From a truncated or damaged file TensorBoard's CRC-checking reader gets the same events."""
    data = _serialise(written)
    at %= len(data)
    data = data[:at] if cut else data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    (path,) = _write(tmp_path_factory.mktemp("run"), data)
    ours = [event.SerializeToString() for event in read_events(path)]
    theirs = [event.SerializeToString() for event in tensorboard_events(path)]
    assert ours == theirs


# --- scalars


def _decoder_for(*names: str) -> ScalarDecoder[str]:
    decoder: ScalarDecoder[str] = ScalarDecoder()
    for name in names:
        decoder.learn(name, name)
    return decoder


def _assert_decodes_like_protobuf(decoder: ScalarDecoder[str], payload: bytes) -> bool:
    """Check a payload that the decoder takes against protobuf; return whether it took it."""
    point = decoder.decode(payload)
    if point is None:
        return False
    event = Event.FromString(payload)
    (value,) = event.summary.value
    assert value.WhichOneof("value") == "simple_value"
    assert point[:2] == (value.tag, event.step)
    assert _same(point[2], event.wall_time)
    assert _same(point[3], value.simple_value)
    return True


@slow_machine
@given(
    tags.filter(bool), floats, st.integers(0, 2**28 - 1), st.floats().filter(lambda wall: wall != 0)
)
def test_scalars_are_decoded_without_protobuf(tag, number, step, wall_time):
    """The event that add_scalar writes is decoded by itself, to what protobuf gives."""
    payload = scalar_event(tag, number, step, wall_time)
    assert _assert_decodes_like_protobuf(_decoder_for("other", tag), payload)


def _varint(number: int, padding: int) -> bytes:
    octets = bytearray()
    while number > 127:
        octets.append(number & 127 | 128)
        number >>= 7
    octets.append(number)
    for _ in range(padding):  # a longer form of the same number, which protobuf takes too
        octets[-1] |= 128
        octets.append(0)
    return bytes(octets)


@settings(slow_machine, max_examples=500)
@given(
    tags,
    st.integers(0, 2**64 - 1),
    st.integers(0, 4),
    st.lists(st.tuples(st.integers(0, 60), st.binary(max_size=3)), max_size=2),
)
def test_whatever_looks_like_a_scalar_is_decoded_as_protobuf_does(tag, step, padding, changes):
    """A payload near that of a scalar is left to protobuf, or decoded to what protobuf gives."""
    tail = scalar_event(tag, 1.5, 0)[9:]
    payload = bytearray(
        b"\x09" + struct.pack("<d", 1.7e9) + b"\x10" + _varint(step, padding) + tail
    )
    for at, piece in changes:
        at %= len(payload)
        payload[at : at + len(piece)] = piece
    _assert_decodes_like_protobuf(_decoder_for(tag, "loss", "", "a"), bytes(payload))


@slow_machine
@given(st.binary(max_size=60), tags)
def test_decoding_garbage(payload, tag):
    """Any bytes are left to protobuf, or decoded to what protobuf gives."""
    _assert_decodes_like_protobuf(_decoder_for(tag), payload)
    _assert_decodes_like_protobuf(
        _decoder_for(tag), b"\x09" + payload + scalar_event(tag, 1, 0)[9:]
    )


@slow_machine
@given(st.lists(st.lists(events, max_size=8), max_size=3))
def test_read_scalars(tmp_path_factory, written):
    """Every scalar comes back with its step, wall time and value, in order, by tag."""
    directory = tmp_path_factory.mktemp("run")
    _write(directory, *map(_serialise, written))
    expected: dict[str, list[tuple[int, float, float]]] = {}
    for file in written:
        for event in file:
            for value in event.summary.value:
                if value_kind(value) == "scalar":
                    points = expected.setdefault(value.tag, [])
                    points.append((event.step, event.wall_time, _number_of(value)))
    found = read_scalars(directory)
    assert list(found) == list(expected)
    for tag, (steps, wall_times, numbers) in found.items():
        assert [column.dtype.name for column in found[tag]] == ["int64", "float64", "float64"]
        columns = zip(steps.tolist(), wall_times.tolist(), numbers.tolist(), strict=True)
        for point, other in zip(columns, expected[tag], strict=True):
            assert all(map(_same, point, other))


def _number_of(value: Any) -> float:
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if value.tensor.tensor_content:
        form = "<f" if value.tensor.dtype == types_pb2.DT_FLOAT else "<d"
        return float(struct.unpack(form, value.tensor.tensor_content)[0])
    return float([*value.tensor.float_val, *value.tensor.double_val][0])


def test_read_scalars_of_torch(tmp_path):
    """What torch's writer wrote, in each of its three forms, is what EventAccumulator finds."""
    with SummaryWriter(str(tmp_path)) as writer:
        for step in range(200):
            writer.add_scalar("plain", step / 3, step)
            writer.add_scalar("new", step / 3, step, new_style=True)
            writer.add_scalar("double", step / 3, step, new_style=True, double_precision=True)
    expected = tensorboard_scalars(tmp_path)
    found = read_scalars(tmp_path)
    assert found.keys() == expected.keys()
    for tag, (steps, _, numbers) in found.items():
        assert list(zip(steps.tolist(), numbers.tolist(), strict=True)) == expected[tag]
    assert found["double"].values[1] == 1 / 3


@pytest.mark.parametrize(
    "tensor",
    [
        TensorProto(),
        TensorProto(dtype=types_pb2.DT_FLOAT),
        TensorProto(dtype=types_pb2.DT_FLOAT, tensor_content=b"abc"),
        TensorProto(dtype=types_pb2.DT_DOUBLE, tensor_content=b"abcd"),
        TensorProto(dtype=types_pb2.DT_STRING, string_val=[b"1.0"]),
        TensorProto(dtype=999, tensor_content=b"abcd"),
    ],
    ids=range(6),
)
def test_a_scalar_tensor_without_a_number(tmp_path, tensor):
    """A tensor in a scalar's place that holds no number is read as NaN."""
    value = _tensor_value("a", 1.0, types_pb2.DT_FLOAT, as_bytes=False, plugin="scalars")
    value.tensor.CopyFrom(tensor)
    _write(tmp_path, _serialise([Event(wall_time=1.0, summary=Summary(value=[value]))]))
    assert math.isnan(read_scalars(tmp_path)["a"].values[0])
    assert summarise(tmp_path).tags["a"].non_finite == 1


# --- kinds and summaries


def test_kinds_of_what_torch_writes(tmp_path):
    """Each method of torch's writer gives the kind that its documentation says."""
    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_scalar("scalar", 1.0, 1)
        writer.add_scalar("new", 1.0, 1, new_style=True)
        writer.add_histogram("histogram", torch.arange(5.0), 1)
        writer.add_image("image", torch.zeros(3, 4, 4), 1)
        writer.add_audio("audio", torch.zeros(100), 1)
        writer.add_text("text", "some", 1)
        writer.add_pr_curve("pr", torch.tensor([0, 1]), torch.tensor([0.1, 0.9]), 1)
        writer.add_mesh("mesh", torch.zeros(1, 3, 3), global_step=1)
        writer.add_tensor("tensor", torch.zeros(2), 1)
        layout = custom_scalars({"page": {"chart": ["Multiline", ["scalar"]]}})
        writer._get_file_writer().add_summary(layout)
        writer.add_graph(torch.nn.Linear(1, 1), torch.zeros(1, 1))
    run = summarise(tmp_path)
    assert {tag: found.kind for tag, found in run.tags.items()} == {
        "scalar": "scalar",
        "new": "scalar",
        "histogram": "histogram",
        "image": "image",
        "audio": "audio",
        "text/text_summary": "tensor:text",
        "pr": "tensor:pr_curves",
        "mesh_VERTEX": "tensor:mesh",
        "tensor": "tensor:tensor",
        "custom_scalars__config__": "tensor:custom_scalars",
    }
    assert run.has_graph
    assert run.file_version == "brain.Event:2"
    assert not run.faults


def test_kind_of_hparams():
    """The values of the hparams plugin, which hold nothing but metadata, have its kind."""
    summaries = hparams({"lr": 0.1}, {"accuracy": 0.9})
    kinds = {value_kind(value) for summary in summaries for value in summary.value}
    assert kinds == {"tensor:hparams"}


@slow_machine
@given(st.lists(st.lists(events, max_size=8), max_size=3))
def test_summary(tmp_path_factory, written):
    """A summary counts what a plain loop over all events counts."""
    directory = tmp_path_factory.mktemp("run")
    paths = _write(directory, *map(_serialise, written))
    run = summarise(directory)
    flat = [event for file in written for event in file]
    assert run.path == str(directory)
    assert run.files == paths
    assert run.events == len(flat)
    assert run.has_graph == any(event.graph_def for event in flat)
    starts = [event.step for event in flat if event.session_log.status == SessionLog.START]
    assert run.session_starts == len(starts)
    assert run.last_session_start == (starts[-1] if starts else None)
    assert (run.fault_count, run.faults, run.behind_faults) == (0, [], 0)
    if flat:
        assert run.first_wall_time is not None
        assert run.last_wall_time is not None
        assert _same(run.first_wall_time, flat[0].wall_time)
        assert _same(run.last_wall_time, flat[-1].wall_time)
    else:
        assert run.first_wall_time is run.last_wall_time is None
    assert run.non_finite_wall_times == sum(not math.isfinite(event.wall_time) for event in flat)
    points: dict[str, list[tuple[Event, Any]]] = {}
    for event in flat:
        for value in event.summary.value:
            points.setdefault(value.tag, []).append((event, value))
    assert list(run.tags) == list(points)
    for tag, found in run.tags.items():
        _assert_summarises(found, points[tag])


def _assert_summarises(found: TagSummary, points: list[tuple[Event, Any]]) -> None:
    steps = [event.step for event, _ in points]
    kinds = [value_kind(value) for _, value in points]
    kinds = [kinds[0] if kind == "tensor:" else kind for kind in kinds]
    scalars = [
        value
        for (_, value), kind in zip(points, kinds, strict=True)
        if value_kind(value) == kind == "scalar"
    ]
    assert found.kind == kinds[0]
    assert [found.kind, *found.other_kinds] == list(dict.fromkeys(kinds))
    assert found.count == len(steps)
    assert (found.first_step, found.last_step, found.max_step) == (steps[0], steps[-1], max(steps))
    assert _same(found.first_wall_time, points[0][0].wall_time)
    assert _same(found.last_wall_time, points[-1][0].wall_time)
    pairs = list(itertools.pairwise(steps))
    assert found.backward_steps == sum(now < before for before, now in pairs)
    assert found.repeated_steps == sum(now == before for before, now in pairs)
    if "tensor:" not in [value_kind(value) for _, value in points]:
        assert found.non_finite == sum(not math.isfinite(_number_of(value)) for value in scalars)
        assert found.double_precision == any(
            value.tensor.dtype == types_pb2.DT_DOUBLE for value in scalars
        )


def test_faults_of_a_run(tmp_path):
    """A summary names each fault with its file, offset, length and verdict."""
    good = scalar_record("a", 1.0, 1)
    bad = with_bad_payload(good)
    undecodable = frame(b"\xff")
    paths = _write(tmp_path, good + bad, undecodable + good, good + bytes(20))
    run = summarise(tmp_path)
    assert run.faults == [
        Fault(paths[0], Record(len(good), len(bad), Verdict.BAD_DATA_CRC, b"")),
        Fault(paths[1], Record(0, len(undecodable), Verdict.UNDECODABLE, b"")),
        Fault(paths[2], Record(len(good), 20, Verdict.ZEROS, b"")),
    ]
    assert (run.fault_count, run.behind_faults, run.tags["a"].count) == (3, 1, 2)


def test_a_restart_in_the_middle(tmp_path):
    """Steps that go back over several files are counted where they go back."""
    first = b"".join(scalar_record("a", 1.0, step) for step in [0, 1, 2, 3, 3])
    second = b"".join(scalar_record("a", 1.0, step) for step in [2, 3, 1])
    _write(tmp_path, version_record() + first, version_record() + second)
    tag = summarise(tmp_path).tags["a"]
    assert (tag.count, tag.first_step, tag.last_step, tag.max_step) == (8, 0, 1, 3)
    assert (tag.backward_steps, tag.repeated_steps) == (2, 1)
