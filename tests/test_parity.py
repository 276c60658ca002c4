"""Every public method writes what torch's own writer writes, byte for byte except the wall time."""

from __future__ import annotations

import io
import struct
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter

from safewriter import InvisibleValueWarning, SafeSummaryWriter
from safewriter._disk.event_file import EventFile
from safewriter._ledger.ledger import TagState
from safewriter._torch.fast_scalar import FastScalar
from tests.support import event_files, read_events

Log = Callable[[Any], None]

CASES: dict[str, Log] = {}


def case(log: Log) -> Log:
    """Have `log`, which logs through the writer that it is given, compared with torch's own."""
    CASES[log.__name__.strip("_")] = log
    return log


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return random numbers in [0, 1) that are the same in each call."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def normalised(event: Event) -> tuple[bytes, list[Any]]:
    """Return what of an event must be equal: no wall time, and for a PNG or GIF its pixels."""
    copy = Event()
    copy.CopyFrom(event)
    copy.ClearField("wall_time")
    pictures = []
    for value in copy.summary.value:
        encoded = value.image.encoded_image_string
        if encoded.startswith((b"\x89PNG", b"GIF")):
            with Image.open(io.BytesIO(encoded)) as picture:
                for frame in ImageSequence.Iterator(picture):
                    pictures.append((frame.mode, frame.size, frame.tobytes()))
            value.image.encoded_image_string = b""
    return copy.SerializeToString(deterministic=True), pictures


def what_arrived(run: Path) -> dict[str, list[tuple[bytes, list[Any]]]]:
    """Return the events of each directory below `run`, without the records of files and purges."""
    found: dict[str, list[tuple[bytes, list[Any]]]] = {}
    for file in event_files(run):
        events = found.setdefault(file.parent.relative_to(run).as_posix(), [])
        events += [normalised(event) for event in read_events(file) if not event.file_version]
    return found


def other_files(run: Path) -> dict[str, bytes]:
    """Return the files of `run` that are neither events nor ours, with what they hold."""
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for path in run.rglob("*")
        if path.is_file() and "tfevents" not in path.name and ".safewriter" not in path.parts
    }


def log_twice(log: Log, directory: Path) -> tuple[Path, Path]:
    """Log with torch's writer and with ours; return both run directories."""
    with SummaryWriter(str(directory / "stock")) as stock:
        log(stock)
    with SafeSummaryWriter(directory / "safe", unique=False) as safe:
        log(safe)
    return directory / "stock", directory / "safe"


# Scalars: step 0 and a first point go the slow path, the later ones take the fast path.

SCALARS: dict[str, Any] = {
    "float": 0.1,
    "negative zero": -0.0,
    "smallest float32": 1e-45,
    "below float32": 1e-60,
    "largest float32": 3.4028234663852886e38,
    "int": 7,
    "large int": 2**53 + 1,
    "int beyond int64": 2**70,
    "bool": True,
    "numpy float64": np.float64(0.1),
    "numpy float32": np.float32(0.1),
    "numpy float16": np.float16(0.1),
    "numpy longdouble": np.longdouble("0.1"),
    "numpy int": np.int64(-3),
    "numpy uint8": np.uint8(255),
    "numpy bool": np.bool_(True),
    "array of no dimension": np.array(0.25),
    "array of one": np.array([0.25], dtype=np.float32),
    "array of one by one": np.array([[3]]),
    "array of bool": np.array([True]),
    "tensor of no dimension": torch.tensor(0.1),
    "tensor of one": torch.tensor([0.1]),
    "tensor of one by one": torch.tensor([[0.1]], dtype=torch.float64),
    "float16 tensor": torch.tensor(0.1, dtype=torch.float16),
    "bfloat16 tensor": torch.tensor(0.1, dtype=torch.bfloat16),
    "large bfloat16 tensor": torch.tensor(60000.0, dtype=torch.bfloat16),
    "int tensor": torch.tensor(-5),
    "uint8 tensor": torch.tensor(200, dtype=torch.uint8),
    "bool tensor": torch.tensor(True),
    "tensor on autograd": torch.tensor(2.0, requires_grad=True) * 3,
    "parameter": torch.nn.Parameter(torch.tensor([1.5])),
    "strided tensor": torch.arange(10.0)[3:4],
}


@pytest.mark.parametrize("value", SCALARS.values(), ids=SCALARS)
def test_every_type_of_scalar_is_written_as_torch_writes_it(tmp_path, value):
    """A value of any type torch takes arrives unchanged, on the first point and on later ones."""

    def log(writer: Any) -> None:
        for step in (0, 1, 2, 300, 2**40):
            writer.add_scalar("tag", value, step)

    stock, safe = log_twice(log, tmp_path)
    assert what_arrived(safe) == what_arrived(stock)
    assert len(read_events(stock)) == 6


@pytest.mark.parametrize("value", [1e39, -1e39, float("inf"), float("nan"), 3.4028235677973366e38])
def test_what_float32_cannot_hold_is_written_as_torch_writes_it(tmp_path, value):
    """Values that are or become infinite, and NaN, arrive or are refused as with torch."""
    outcomes = []
    for writer in (
        SummaryWriter(str(tmp_path / "stock")),
        SafeSummaryWriter(tmp_path / "safe", unique=False),
    ):
        with writer, warnings.catch_warnings():
            warnings.simplefilter("ignore", InvisibleValueWarning)
            writer.add_scalar("tag", 1.0, 1)
            try:
                writer.add_scalar("tag", value, 2)
            except Exception as error:
                outcomes.append(repr(error))
    assert what_arrived(tmp_path / "safe") == what_arrived(tmp_path / "stock")
    assert len(set(outcomes)) <= 1
    assert len(outcomes) != 1


@pytest.mark.parametrize(
    "value",
    [
        torch.tensor([1.0, 2.0]),
        torch.tensor([]),
        np.zeros((2, 2)),
        "a string",
        [1.0],
        None,
        torch.tensor(1.0).to_sparse(),
        object(),
        10**400,
    ],
    ids=["two", "none", "matrix", "str", "list", "None", "sparse", "object", "huge int"],
)
def test_what_torch_refuses_is_refused_in_the_same_way(tmp_path, value):
    """A value that is no scalar raises torch's error, on the first point and by the fast path."""

    def refusals(writer: Any) -> list[str]:
        seen = []
        for tag in ("new", "old"):
            writer.add_scalar("old", 1.0, 1)
            try:
                writer.add_scalar(tag, value, 2)
            except Exception as error:
                seen.append(repr(error)[:60])
            else:
                seen.append("taken")
            writer.add_scalar("old", 1.0, 3)
        return seen

    with SummaryWriter(str(tmp_path / "stock")) as writer:
        stock = refusals(writer)
    with SafeSummaryWriter(tmp_path / "safe", unique=False) as writer, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        safe = refusals(writer)
    assert safe == stock


@pytest.mark.parametrize("step", [None, 5, np.int64(5), np.int32(5), torch.tensor(5), True, "5"])
def test_every_type_of_step_is_written_as_torch_writes_it(tmp_path, step):
    """A step of any integer type arrives as torch writes it, first and later."""

    def log(writer: Any) -> None:
        writer.add_scalar("first", 0.5, step)
        if step is not None:
            writer.add_scalar("second", 0.5, 0)
            writer.add_scalar("second", 0.5, step)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stock, safe = log_twice(log, tmp_path)
    assert what_arrived(safe) == what_arrived(stock)


@case
def _scalar_options(writer: Any) -> None:
    writer.add_scalar("old", 0.1, 1)
    writer.add_scalar("old", 0.1, 2, new_style=True)
    writer.add_scalar("old", 0.1, 3)
    writer.add_scalar("new", 0.1, 1, new_style=True)
    writer.add_scalar("new", 0.1, 2, new_style=True)
    writer.add_scalar("double", 0.1, 1, new_style=True, double_precision=True)
    writer.add_scalar("ignored", 0.1, 1, double_precision=True)
    writer.add_scalar("ignored", 0.1, 2, double_precision=True)
    writer.add_scalar("positional", 0.1, 7, None, True, True)


@case
def _scalars(writer: Any) -> None:
    for step in range(4):
        values = {"a": step, "b": torch.tensor(0.5), "c/d": np.float32(0.1), "é x": True}
        writer.add_scalars("group/sub", values, step)
    writer.add_scalars("group/sub", {"a": 9.0, "new": 1.0}, 9)
    writer.add_scalars("late", {}, 1)
    writer.add_scalar("group/sub", 1.0, 1)


@case
def _tensors(writer: Any) -> None:
    writer.add_tensor("float", numbers(3, 4), 1)
    writer.add_tensor("float", numbers(3, 4, seed=1), 2)
    for dtype in (torch.int64, torch.bool, torch.float64, torch.float16, torch.complex64):
        writer.add_tensor(str(dtype), torch.ones(2, dtype=dtype), 1)


@case
def _histograms(writer: Any) -> None:
    values = torch.randn(500, generator=torch.Generator().manual_seed(0))
    for bins in ("tensorflow", "auto", "fd", "doane", "scott", "rice", "sturges", "sqrt"):
        writer.add_histogram(f"bins/{bins}", values, 1, bins=bins)
        writer.add_histogram(f"bins/{bins}", values * 3, 2, bins)
    writer.add_histogram("bins/list", values, 1, bins=[-2.0, -1.0, 0.0, 0.5, 3.0])
    writer.add_histogram("bins/array", values, 1, bins=np.linspace(-5, 5, 40))
    writer.add_histogram("bins/number", values, 1, bins=30)
    writer.add_histogram("bins/most", values, 1, max_bins=17)
    writer.add_histogram("bins/few", values, 1, bins="auto", max_bins=4)
    writer.add_histogram("one", torch.tensor(0.5), 1)
    writer.add_histogram("same", torch.full((4, 4), 2.0), 1)
    writer.add_histogram("zeros", torch.zeros(3), 1)
    writer.add_histogram("edges", np.array([1e-12, -1e-12, 1.1e-12, 1e19, -1e19, 0.0]), 1)
    writer.add_histogram("int", np.arange(-10, 10), 1)
    writer.add_histogram("bool", torch.tensor([True, False, True]), 1)
    writer.add_histogram("half", values.half(), 1)
    writer.add_histogram("bfloat16", values.bfloat16(), 1)
    writer.add_histogram("float64", values.double() * 1e10, 1)
    writer.add_histogram("autograd", torch.nn.Parameter(values), 1)
    writer.add_histogram("not contiguous", values.reshape(20, 25).T[::2], 1)


@case
def _histogram_raw(writer: Any) -> None:
    counts, limits = np.histogram(numbers(100).numpy(), bins=10)
    for step in (1, 2):
        writer.add_histogram_raw(
            "raw", 0.0, 1.0, 100, 50.0, 33.0, limits[1:].tolist(), counts.tolist(), step
        )


@case
def _image_formats(writer: Any) -> None:
    colour, grey = numbers(3, 6, 5), numbers(6, 5)
    writer.add_image("CHW", colour, 1)
    writer.add_image("CHW", colour / 2, 2)
    writer.add_image("HWC", colour.permute(1, 2, 0), 1, dataformats="HWC")
    writer.add_image("WHC", colour.permute(2, 1, 0), 1, dataformats="WHC")
    writer.add_image("HW", grey, 1, dataformats="HW")
    writer.add_image("WH", grey.T, 1, dataformats="WH")
    writer.add_image("one channel", grey[None], 1)
    writer.add_image("alpha", numbers(4, 6, 5), 1)
    writer.add_image("uint8", (colour * 255).byte(), 1)
    writer.add_image("array", colour.numpy().astype(np.float64), 1)
    writer.add_image("beyond", colour * 3 - 1, 1)
    writer.add_image("half", colour.half(), 1)
    writer.add_image("int", (colour * 255).long(), 1)
    writer.add_image("bool", grey > 0.5, 1, dataformats="HW")
    writer.add_image("autograd", torch.nn.Parameter(colour), 1)
    writer.add_image("lower case", colour.permute(1, 2, 0), 1, dataformats="hwc")


@case
def _image_batches(writer: Any) -> None:
    batch = numbers(5, 3, 4, 6)
    writer.add_images("NCHW", batch, 1)
    writer.add_images("NHWC", batch.permute(0, 2, 3, 1), 1, dataformats="NHWC")
    writer.add_images("CNHW", batch.permute(1, 0, 2, 3), 1, dataformats="CNHW")
    writer.add_images("grey", batch[:, :1], 1)
    writer.add_images("uint8", (batch * 255).byte(), 1)
    writer.add_images("one", batch[:1], 2)


@case
def _image_with_boxes(writer: Any) -> None:
    boxes = torch.tensor([[1.0, 2.0, 20.0, 15.0], [5.0, 5.0, 9.0, 9.0]])
    writer.add_image_with_boxes("boxes", numbers(3, 32, 32), boxes, 1)
    writer.add_image_with_boxes("labels", numbers(3, 32, 32), boxes, 1, labels=["a", "b"])
    writer.add_image_with_boxes("one label", numbers(3, 32, 32), boxes[:1], 1, labels="a")
    writer.add_image_with_boxes("wrong labels", numbers(3, 32, 32), boxes, 1, labels=["a"])
    writer.add_image_with_boxes("twice", numbers(3, 32, 32), boxes, 1, rescale=2)
    writer.add_image_with_boxes("HWC", numbers(32, 32, 3), boxes.numpy(), 1, dataformats="HWC")


@case
def _figures(writer: Any) -> None:
    from matplotlib.figure import Figure

    def figure(height: int) -> Figure:
        made = Figure(figsize=(1, 1), dpi=40)
        made.subplots().bar([1, 2], [height, 3])
        return made

    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    writer.add_figure("one", figure(1), 1, close=False)
    writer.add_figure("several", [figure(1), figure(2)], 1, False)
    writer.add_figure("closed", plt.figure(figsize=(1, 1), dpi=40), 1)
    assert not plt.get_fignums()


@case
def _videos(writer: Any) -> None:
    writer.add_video("video", numbers(1, 3, 3, 16, 16), 1)
    writer.add_video("bytes", (numbers(2, 3, 3, 16, 16) * 255).byte(), 1, fps=8)


@case
def _audio(writer: Any) -> None:
    wave = torch.sin(torch.arange(400.0) / 5)
    writer.add_audio("wave", wave, 1)
    writer.add_audio("wave", wave[None] / 2, 2, sample_rate=8000)
    writer.add_audio("clipped", wave * 3, 1)


@case
def _texts(writer: Any) -> None:
    writer.add_text("text", "**bold**", 1)
    writer.add_text("text", "", 2)
    writer.add_text("unicode", "große Lernrate \N{SNOWMAN}", 1)


class Model(torch.nn.Module):
    """Two layers, with a branch that only a lenient trace takes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU())

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return a dictionary, which a strict trace refuses."""
        return {"out": self.layers(x)}


@case
def _graph(writer: Any) -> None:
    torch.manual_seed(0)
    writer.add_graph(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU()), numbers(1, 3))
    writer.add_graph(Model(), numbers(1, 3), use_strict_trace=False)


@case
def _embeddings(writer: Any) -> None:
    vectors = numbers(4, 3)
    writer.add_embedding(vectors)
    writer.add_embedding(vectors, metadata=["a", "b", "c", "d"], global_step=1, tag="labels")
    writer.add_embedding(
        vectors,
        metadata=[["a", 1], ["b", 2], ["c", 3], ["d", 4]],
        metadata_header=["name", "number"],
        label_img=numbers(4, 3, 8, 8),
        global_step=2,
        tag="pictures/with/slashes",
    )


@case
def _pr_curves(writer: Any) -> None:
    labels, predictions = numbers(100) > 0.5, numbers(100, seed=1)
    writer.add_pr_curve("pr", labels, predictions, 1)
    writer.add_pr_curve("pr", labels.numpy(), predictions.numpy(), 2, num_thresholds=10)
    writer.add_pr_curve("weighted", labels, predictions, 1, weights=numbers(100, seed=2).numpy())
    counts = np.array([75, 64, 21, 5, 0])
    writer.add_pr_curve_raw(
        "raw", counts, counts[::-1].copy(), counts, counts, counts / 75, counts / 75, 1, 5
    )


@case
def _custom_scalars(writer: Any) -> None:
    for tag in "abc":
        writer.add_scalar(tag, 1.0, 1)
    writer.add_custom_scalars_multilinechart(["a", "b"])
    writer.add_custom_scalars_marginchart(["a", "b", "c"], category="x", title="y")
    writer.add_custom_scalars({"x": {"y": ["Multiline", ["a"]], "z": ["Margin", ["a", "b", "c"]]}})


@case
def _meshes(writer: Any) -> None:
    vertices = numbers(1, 4, 3)
    colors = torch.tensor([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 0, 255]]])
    faces = torch.tensor([[[0, 2, 3], [0, 3, 1], [0, 1, 2], [1, 3, 2]]])
    writer.add_mesh("points", vertices, global_step=1)
    writer.add_mesh("mesh", vertices, colors=colors, faces=faces, global_step=1)
    writer.add_mesh("mesh", vertices, colors, faces, {"camera": {"fov": 75}}, 2)


@case
def _hparams(writer: Any) -> None:
    writer.add_scalar("loss", 1.0, 1)
    writer.add_hparams(
        {"lr": 0.1, "n": 3, "name": "adam", "amsgrad": False, "none": None, "t": torch.ones(1)},
        {"hparam/accuracy": 0.5, "hparam/loss": torch.tensor(1.5)},
        run_name="first",
    )
    writer.add_hparams(
        {"lr": 0.2, "name": "sgd"},
        {"hparam/accuracy": 0.6},
        {"name": ["adam", "sgd"]},
        run_name="second/deeper",
        global_step=7,
    )


@case
def _summaries_and_events(writer: Any) -> None:
    values = [Summary.Value(tag="a", simple_value=1.0), Summary.Value(tag="b", simple_value=2.0)]
    writer.file_writer.add_summary(Summary(value=values), 5)
    writer._get_file_writer().add_summary(Summary(value=values), global_step=6)
    writer.file_writer.add_event(Event(summary=Summary(value=values)), 7)
    writer.file_writer.add_event(Event(step=8, summary=Summary(value=values)))
    writer.file_writer.add_summary(Summary(), 9)
    writer.file_writer.event_writer.add_event(
        Event(wall_time=1.0, step=9, summary=Summary(value=values))
    )
    writer.file_writer.add_onnx_graph(GraphDef(node=[NodeDef(name="n", op="o")]))


@case
def _unicode_tags(writer: Any) -> None:
    for tag in ("", " ", "é/\N{SNOWMAN}", "x" * 1000, "a\0b", "line\nline"):
        for step in (1, 2):
            writer.add_scalar(tag, 1.0, step)
        writer.add_text("text " + tag, "text", 1)


@case
def _flush_and_use_after_close(writer: Any) -> None:
    writer.add_scalar("a", 1.0, 1)
    writer.flush()
    writer.close()
    writer.close()
    writer.flush()
    writer.add_scalar("a", 2.0, 2)
    writer.add_histogram("h", numbers(5), 2)


@pytest.mark.parametrize("log", CASES.values(), ids=CASES)
@pytest.mark.filterwarnings("ignore::safewriter.SafeWriterWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:Encountering a dict:Warning")
@pytest.mark.filterwarnings("ignore::UserWarning:numpy")
def test_what_torch_writes_is_written(tmp_path, log):
    """The same calls give the same events in the same directories, and the same side files."""
    stock, safe = log_twice(log, tmp_path)
    expected = what_arrived(stock)
    assert what_arrived(safe) == expected
    assert sum(map(len, expected.values())) or other_files(stock)
    assert other_files(safe) == other_files(stock)


def test_every_public_method_is_compared():
    """No method that adds something is left out of the comparison."""
    methods = {name for name in vars(SummaryWriter) if name.startswith("add_")}
    source = Path(__file__).read_text(encoding="utf-8")
    assert {name for name in methods if f"writer.{name}(" not in source} == set()


def test_an_onnx_graph_arrives(tmp_path, monkeypatch):
    """add_onnx_graph writes the graph that torch reads from the file; reading needs onnx, and is
    torch's.
    """
    graph = GraphDef(node=[NodeDef(name="n", op="Conv")])
    monkeypatch.setattr("torch.utils.tensorboard.writer.load_onnx_graph", lambda path: graph)
    stock, safe = log_twice(lambda writer: writer.add_onnx_graph("model.onnx"), tmp_path)
    assert what_arrived(safe) == what_arrived(stock)
    assert read_events(safe)[-1].graph_def == graph.SerializeToString()


@pytest.mark.parametrize("method", ["add_scalar", "add_scalars", "add_text"])
def test_a_wall_time_that_is_given_is_kept(tmp_path, method):
    """An explicit wall time arrives exactly, also at later points."""
    value = {"add_scalar": 1.0, "add_scalars": {"a": 1.0}, "add_text": "x"}[method]

    def log(writer: Any) -> None:
        for step in (1, 2, 3):
            getattr(writer, method)("tag", value, step, 1_600_000_000.125 + step)

    for run in log_twice(log, tmp_path):
        times = [event.wall_time for event in read_events(run) if not event.file_version]
        assert times == [1_600_000_000.125 + step for step in (1, 2, 3)]


def test_a_wall_time_that_is_not_given_is_now(tmp_path):
    """Every way of logging stamps the event with the time of the call."""
    before = time.time()
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        for step in range(3):
            writer.add_scalar("a", 1.0, step)
            writer.add_scalars("group", {"a": 1.0, "b": 2.0}, step)
            writer.add_text("text", "x", step)
    events = [event for event in read_events(tmp_path) if not event.file_version]
    assert len(events) == 12
    assert all(before <= event.wall_time <= time.time() for event in events)
    # The series of one call share their time.
    times = [
        [event.wall_time for event in read_events(tmp_path / f"group_{series}")][1:]
        for series in "ab"
    ]
    assert times[0] == times[1]


@pytest.mark.parametrize("walltime", [float("nan"), float("inf"), -float("inf")])
def test_a_wall_time_that_is_not_finite_is_refused(tmp_path, walltime):
    """A wall time at which TensorBoard stops reading raises, naming the tag, and writes nothing."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        writer.add_scalar("loss", 1.0, 1)
        with pytest.raises(ValueError, match=r"walltime .* 'loss'.* not finite"):
            writer.add_scalar("loss", 1.0, 2, walltime)
        writer.add_scalar("loss", 2.0, 2)
    assert [event.step for event in read_events(tmp_path)] == [0, 1, 2]


@pytest.mark.parametrize("step", [2**63, -(2**63) - 1, 10**30])
def test_a_step_beyond_64_bits_is_refused(tmp_path, step):
    """A step that no event can hold raises and names the tag; nothing is written."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        writer.add_scalar("loss", 1.0, 1)
        with pytest.raises(ValueError, match=r"step .* 'loss'.* 64 bits"):
            writer.add_scalar("loss", 1.0, step)
        writer.add_scalar("loss", 2.0, 2)
    assert [event.step for event in read_events(tmp_path)] == [0, 1, 2]


def test_the_largest_step_is_written(tmp_path):
    """The last step that fits in 64 bits arrives, first and by the fast path."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        writer.add_scalar("first", 1.0, 2**63 - 1)
        writer.add_scalar("later", 1.0, -(2**63))
        writer.add_scalar("later", 1.0, 2**63 - 1)
    assert [event.step for event in read_events(tmp_path)][1:] == [2**63 - 1, -(2**63), 2**63 - 1]


# The fast path by itself.

_text = st.text(st.characters(exclude_categories=["Cs"]))
_float32 = st.floats(allow_nan=False, allow_infinity=False, width=32)
_values = st.one_of(
    _float32, st.floats(-3.4028234663852886e38, 3.4028234663852886e38), st.just(-0.0)
)


class Recorder(EventFile):
    """Takes the payloads of events instead of writing them."""

    def __init__(self) -> None:
        super().__init__("")
        self.payloads: list[bytes] = []

    def append(self, payload: bytes, *_: object, **__: object) -> int:
        """Keep the payload."""
        self.payloads.append(payload)
        return 0


@given(
    tag=st.one_of(_text, st.builds(str.__mul__, _text, st.integers(0, 3000))),
    points=st.lists(
        st.tuples(
            st.integers(1, 2**63 - 1),
            _values,
            st.floats(allow_nan=False, allow_infinity=False).filter(bool),
        ),
        min_size=1,
        max_size=3,
    ),
)
@example(tag="", points=[(1, 0.0, 1.0)])
@example(tag="x" * 126, points=[(127, 1.0, 1.0), (128, 1.0, 1.0)])
@example(tag="x" * 127, points=[(2**63 - 1, -0.0, 5e-324)])
@example(tag="x" * 2**16, points=[(2**14 - 1, 1e-45, 1.0), (2**14, 1e-45, 1.0)])
@settings(deadline=None, max_examples=200)
def test_the_short_cut_writes_the_bytes_of_protobuf(tag, points):
    """Without a protocol buffer, the event's bytes are those that protobuf serializes."""
    file = Recorder()
    for step, value, wall_time in points:
        # One of its own for each point: by the fast path, steps have to rise.
        fast = FastScalar(tag, TagState("scalar", 0), file.append, None)
        assert fast.write(value, step, wall_time)
    assert file.payloads == [
        Event(
            wall_time=wall_time,
            step=step,
            summary=Summary(value=[Summary.Value(tag=tag, simple_value=value)]),
        ).SerializeToString()
        for step, value, wall_time in points
    ]


_of_numpy = st.sampled_from(
    [np.float16, np.float32, np.float64, np.int8, np.int64, np.uint16, np.bool_]
)
_of_torch = st.sampled_from(
    [
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
        torch.int8,
        torch.int64,
        torch.uint8,
        torch.bool,
    ]
)
_small = st.floats(-120, 120) | st.integers(-120, 120)
_any_value = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.builds(lambda dtype, value: np.float64(abs(value)).astype(dtype), _of_numpy, _small),
    st.builds(lambda dtype, value: np.array([abs(value)]).astype(dtype), _of_numpy, _small),
    st.builds(lambda dtype, value: torch.tensor(abs(value)).to(dtype), _of_torch, _small),
    st.builds(lambda dtype, value: torch.tensor([[abs(value)]]).to(dtype), _of_torch, _small),
)


@pytest.fixture(scope="module")
def writers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Path, Any, Path]]:
    """A stock writer and one of ours with their event files, for many examples."""
    base = tmp_path_factory.mktemp("examples")
    with (
        SummaryWriter(str(base / "stock")) as stock,
        SafeSummaryWriter(base / "safe", unique=False) as safe,
    ):
        yield stock, event_files(base / "stock")[0], safe, event_files(base / "safe")[0]


_step = 0


@given(value=_any_value)
@settings(deadline=None, max_examples=200)
@pytest.mark.filterwarnings("ignore::safewriter.InvisibleValueWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_any_value_by_the_short_cut_is_what_torch_writes(writers, value):
    """A later point of a tag has the same bytes as torch's, whatever the value's type."""
    global _step
    _step += 1
    results: list[object] = []
    for writer, file in (writers[:2], writers[2:]):
        if _step == 1:
            writer.add_scalar("tag", 0.0, 0)
            writer.flush()
        before = file.stat().st_size
        try:
            writer.add_scalar("tag", value, _step)
        except Exception as error:
            results.append(type(error).__name__)
            continue
        writer.flush()
        with file.open("rb") as opened:
            opened.seek(before)
            record = opened.read()
        (size,) = struct.unpack_from("<Q", record)
        assert len(record) == size + 16
        results.append(normalised(Event.FromString(record[12:-4])))
    assert results[0] == results[1]
