"""The short ways write what the long ones write: the same bytes, pixels and errors."""

from __future__ import annotations

import io
import itertools
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import summary as torchs
from torch.utils.tensorboard import writer as torchs_module
from torch.utils.tensorboard.writer import FileWriter, SummaryWriter

from safewriter import InvisibleValueWarning, SafeSummaryWriter
from safewriter._torch import summaries as _media
from safewriter._torch.file_writer import RunFileWriter
from tests.support import event_files, read_events, run_python
from tests.support.event_bytes import HEADER_SIZE

Log = Callable[[SummaryWriter], object]


@pytest.fixture(autouse=True)
def _standing_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all events have the same wall time."""
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.25)


@pytest.fixture
def slow_path(monkeypatch: pytest.MonkeyPatch) -> list[Summary]:
    """Return the summaries that took the long way, filled as they do."""
    seen: list[Summary] = []
    add_summary = RunFileWriter.add_summary

    def spy(self: RunFileWriter, summary: Summary, *args: Any) -> None:
        seen.append(summary)
        add_summary(self, summary, *args)

    monkeypatch.setattr(RunFileWriter, "add_summary", spy)
    return seen


def payloads(directory: Path) -> list[bytes]:
    """Return the serialised events below a directory, without the version records."""
    found = []
    for path in event_files(directory):
        data = path.read_bytes()
        records = []
        while data:
            end = HEADER_SIZE + int.from_bytes(data[:8], "little")
            records.append(data[HEADER_SIZE:end])
            data = data[end + 4 :]
        found += records[1:]
    return found


def written(tmp_path: Path, log: Log) -> tuple[list[bytes], list[bytes]]:
    """Return what torch's writer and ours write for the same calls."""
    with SummaryWriter(str(tmp_path / "torch")) as theirs:
        log(theirs)
    with SafeSummaryWriter(tmp_path / "ours", unique=False) as ours:
        log(ours)
    return payloads(tmp_path / "torch"), payloads(tmp_path / "ours")


FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]

SHORT = {
    "float": 0.1,
    "zero": 0.0,
    "minus zero": -0.0,
    "large": 3.4028234663852886e38,
    "tiny": 1e-45,
    "int": 7,
    "large int": 2**70 + 1,
    "bool": True,
    **{f"np.{np.dtype(code)}": np.dtype(code).type(1) for code in "?bhilqBHILQefdg"},
    **{f"array {code}": np.array([1], code) for code in "?bhilqBHILQefd"},
    "0-d array": np.array(0.3),
    "1x1 array": np.array([[0.3]], np.float32),
    **{f"0-d {dtype}": torch.tensor(1.7).to(dtype) for dtype in [*FLOATS, *INTEGERS, torch.bool]},
    **{f"1-element {dtype}": torch.tensor([1.7]).to(dtype) for dtype in [*FLOATS, *INTEGERS]},
    "bfloat16 of many digits": torch.tensor(0.1, dtype=torch.bfloat16),
    "on autograd": torch.tensor(0.3, requires_grad=True) * 2,
    "parameter": torch.nn.Parameter(torch.tensor([0.3])),
    "a view": torch.arange(6.0)[3],
    "a part of a step": torch.arange(6.0).reshape(2, 3)[1:, ::3][:, 0],
}

LONG = {
    "too large for float32": 1e39,
    "bfloat16 beyond float16": torch.tensor(1e30, dtype=torch.bfloat16),
    "float subclass": type("Metric", (float,), {})(0.5),
    "int subclass": type("Count", (int,), {})(5),
    "digits": "0.5",
    "masked array": np.ma.masked_array([0.5]),
}

REFUSED = {
    "None": None,
    "list": [0.5],
    "word": "loss",
    "complex": 1j,
    "complex tensor": torch.tensor(1j),
    "several": np.zeros(2),
    "several in a tensor": torch.zeros(3),
    "none in a tensor": torch.zeros(0),
    "sparse": torch.tensor([0.5]).to_sparse(),
    "float8": torch.tensor(0.5).to(torch.float8_e4m3fn),
    "int beyond float": 10**400,
}


@pytest.mark.parametrize("value", SHORT.values(), ids=SHORT)
def test_scalar_by_the_short_cut_has_the_bytes_of_torchs(tmp_path, value, slow_path):
    """Every usual value takes the fast path from its second point on, with torch's bytes."""

    def log(writer: SummaryWriter) -> None:
        for step in (1, 2, 3):
            writer.add_scalar("train/loss", value, step)

    theirs, ours = written(tmp_path, log)
    assert ours == theirs
    assert len(slow_path) == 1


@pytest.mark.parametrize("value", LONG.values(), ids=LONG)
@pytest.mark.filterwarnings("ignore::safewriter.InvisibleValueWarning")
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_scalar_that_only_torch_knows_goes_the_long_way(tmp_path, value, slow_path):
    """A value of an unusual type, or beyond float32, is written as torch writes it."""

    def log(writer: SummaryWriter) -> None:
        writer.add_scalar("train/loss", 0.5, 1)
        writer.add_scalar("train/loss", value, 2)

    theirs, ours = written(tmp_path, log)
    assert ours == theirs
    assert len(slow_path) == 2


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_value_that_torch_refuses_is_refused_alike(tmp_path, value):
    """What is no scalar raises torch's own error, and nothing is written."""

    def log(writer: SummaryWriter) -> None:
        writer.add_scalar("train/loss", 0.5, 1)
        with pytest.raises(Exception) as caught:  # noqa: PT011  (torch's, whatever it is)
            writer.add_scalar("train/loss", value, 2)
        errors.append((caught.type, str(caught.value)))

    errors: list[tuple[type, str]] = []
    theirs, ours = written(tmp_path, log)
    assert errors[0] == errors[1]
    assert ours == theirs


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.filterwarnings("ignore::safewriter.InvisibleValueWarning")
def test_scalar_that_is_not_finite_has_the_bytes_of_torchs(tmp_path, value):
    """NaN and the infinities are written as torch writes them."""

    def log(writer: SummaryWriter) -> None:
        for step in (1, 2):
            writer.add_scalar("train/loss", value, step)

    theirs, ours = written(tmp_path, log)
    assert ours == theirs


@settings(max_examples=50, deadline=None)
@given(
    tag=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=200),
    steps=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=6, unique=True),
    value=st.floats(width=32, allow_nan=False, allow_infinity=False),
)
def test_every_tag_and_step_has_the_bytes_of_torchs(tmp_path_factory, tag, steps, value):
    """Tags of any length and alphabet and steps of any size in int64 come out as torch's do."""

    def log(writer: SummaryWriter) -> None:
        for step in sorted(steps):
            writer.add_scalar(tag, value, step)

    theirs, ours = written(tmp_path_factory.mktemp("run"), log)
    assert ours == theirs


def test_steps_around_each_length_of_their_encoding(tmp_path, slow_path):
    """The fast path encodes every length of a step as protobuf does, in turns between two tags."""
    edges = [2**bits for bits in range(0, 63, 7)]
    steps = sorted({max(edge + off, 1) for edge in edges for off in (-1, 0, 1)} | {2**63 - 1})

    def log(writer: SummaryWriter) -> None:
        for tag, step in itertools.product("ab", (0,)):
            writer.add_scalar(tag, 0.5, step)
        for step in steps:
            writer.add_scalar("a", 0.5, step)
            if step < 2**63 - 1:
                writer.add_scalar("b", 0.5, step + 1)

    theirs, ours = written(tmp_path, log)
    assert ours == theirs
    assert len(slow_path) == 2


def test_series_by_the_short_cut_have_the_bytes_of_torchs(tmp_path, slow_path):
    """add_scalars writes each series as torch does, from the second call on by the fast path."""
    values = {"a": 0.5, "b": torch.tensor(0.25), "c": np.float32(0.125), "d": 3}

    def log(writer: SummaryWriter) -> None:
        for step in (1, 2, 3):
            writer.add_scalars("train/loss", values, step)

    theirs, ours = written(tmp_path, log)
    assert sorted(ours) == sorted(theirs)
    assert len(slow_path) == 4


@pytest.mark.parametrize("keyword", ["walltime", "new_style", "double_precision", "no step"])
@pytest.mark.filterwarnings("ignore::safewriter.InvisibleValueWarning")
@pytest.mark.filterwarnings("ignore::safewriter.MissingStepWarning")
def test_unusual_arguments_go_the_long_way(tmp_path, keyword, slow_path):
    """A wall time, a style or a missing step is left to torch's code."""
    arguments: dict[str, dict[str, Any]] = {
        "walltime": {"global_step": 2, "walltime": 5.5},
        "new_style": {"global_step": 2, "new_style": True},
        "double_precision": {"global_step": 2, "double_precision": True, "new_style": True},
        "no step": {},
    }

    def log(writer: SummaryWriter) -> None:
        writer.add_scalar("train/loss", 0.5, 1)
        writer.add_scalar("train/loss", 0.5, **arguments[keyword])

    theirs, ours = written(tmp_path, log)
    assert len(slow_path) == 2
    if keyword != "no step":
        assert ours == theirs


# ------------------------------------------------------------------------------------- histograms

_BINS: list[float] = []


def default_bins() -> list[float]:
    """Return torch's limits of the bins of a histogram, as each of its writers has them."""
    if not _BINS:
        value = 1e-12
        positive = []
        while value < 1e20:
            positive.append(value)
            value *= 1.1
        _BINS.extend([-limit for limit in positive[::-1]] + [0] + positive)
    return _BINS


def near_limits(width: int) -> st.SearchStrategy[float]:
    """Return values on, right below and right above the limits of bins, as float32 or float64."""
    kind: Any = {32: np.float32, 64: np.float64}[width]

    def beside(limit: float, side: int) -> float:
        value = kind(limit)
        towards = kind(np.inf if side > 0 else -np.inf)
        return float(np.nextafter(value, towards) if side else value)

    return st.builds(beside, st.sampled_from(default_bins()), st.integers(-1, 1))


def numbers(dtype: str) -> st.SearchStrategy[Any]:
    """Return what may stand in an array of a type; floats crowd around the limits of bins."""
    if dtype in ("float32", "float64"):
        width = int(dtype[-2:])
        return st.one_of(st.floats(width=width), near_limits(width))  # type: ignore[arg-type]
    return hnp.from_dtype(np.dtype(dtype))


ARRAYS = st.sampled_from(
    "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool".split()
).flatmap(
    lambda dtype: hnp.arrays(
        dtype, hnp.array_shapes(max_dims=3, max_side=9), elements=numbers(dtype)
    )
)


def same_histogram(values: Any) -> None:
    """Check that the short way gives torch's summary, or an empty one where torch raises."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", InvisibleValueWarning)
        ours = _media.histogram("weights", values, default_bins())
        try:
            theirs = torchs.histogram("weights", values, default_bins())
        except ValueError:
            assert ours is not None
            assert not ours.value
        else:
            assert ours is not None
            have, want = ours.value[0].histo, theirs.value[0].histo
            if want.num > 8192:  # Torch's own differs with the number of threads.
                assert have.sum_squares == pytest.approx(want.sum_squares, rel=1e-13, nan_ok=True)
                have.sum_squares = want.sum_squares
            assert ours.SerializeToString() == theirs.SerializeToString()


@settings(max_examples=300, deadline=None)
@given(values=ARRAYS, transposed=st.booleans())
def test_histogram_equals_torchs(values, transposed):
    """Counts, limits, extremes and sums are torch's to the last bit, for every type of number."""
    same_histogram(values.T if transposed else values)


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, torch.bool], ids=str)
def test_histogram_of_a_tensor_equals_torchs(dtype):
    """Tensors of every type, also strided ones and those on autograd, have torch's histogram."""
    values = (torch.randn(7, 500, generator=torch.Generator().manual_seed(1)) * 20).to(dtype)
    same_histogram(values)
    same_histogram(values[::2, 1::3].T)
    if dtype.is_floating_point:
        same_histogram((values.requires_grad_() * 2).reshape(-1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_histogram_of_many_values_equals_torchs(dtype):
    """Several blocks, the last not full, add up to torch's; only the squares may be rounded."""
    values = np.random.default_rng(2).standard_normal(200_001).astype(dtype)
    values[::1000] = default_bins()[700]
    values[5] = default_bins()[-1]
    values[6] = np.inf
    same_histogram(values)


def test_histogram_follows_the_writers_own_bins(tmp_path):
    """A writer whose default_bins were replaced or changed in place counts by those."""
    values = np.linspace(-3, 3, 50)

    def log(writer: SummaryWriter) -> None:
        writer.add_histogram("weights", values, 0)
        writer.default_bins = [-1.0, 0.0, 2.0]
        writer.add_histogram("weights", values, 1)
        writer.default_bins[1] = 0.5
        writer.add_histogram("weights", values, 2)
        writer.default_bins = [-1, 0, 2]
        writer.add_histogram("weights", values, 3)

    theirs, ours = written(tmp_path, log)
    assert ours == theirs


@pytest.mark.parametrize(
    "arguments",
    [{"bins": "auto"}, {"bins": [0.0, 1.0]}, {"max_bins": 30}, {"walltime": 3.5}, {"bins": 5}],
    ids=str,
)
def test_histogram_arguments_mean_what_they_mean_in_torch(tmp_path, arguments):
    """Other bins, a limit of bins and a wall time give torch's bytes."""
    values = torch.linspace(-2, 2, 100)
    theirs, ours = written(tmp_path, lambda w: w.add_histogram("weights", values, 3, **arguments))
    assert ours == theirs


# ----------------------------------------------------------------------------------------- images


def same_image(tensor: Any, dataformats: str) -> None:
    """Check that the short way gives a picture of torch's size, mode and pixels."""
    theirs = torchs.image("a", tensor, dataformats=dataformats).value[0].image
    summary = _media.image("a", tensor, dataformats)
    assert summary is not None
    ours = summary.value[0].image
    assert (ours.height, ours.width, ours.colorspace) == (
        theirs.height,
        theirs.width,
        theirs.colorspace,
    )
    want = Image.open(io.BytesIO(theirs.encoded_image_string))
    have = Image.open(io.BytesIO(ours.encoded_image_string))
    have.verify()
    have = Image.open(io.BytesIO(ours.encoded_image_string))
    assert have.mode == want.mode
    assert np.array_equal(np.asarray(have), np.asarray(want))


LAYOUTS = {
    "CHW": ("c", "h", "w"),
    "HWC": ("h", "w", "c"),
    "hwc": ("h", "w", "c"),
    "HW": ("h", "w"),
    "WH": ("w", "h"),
    "NCHW": ("n", "c", "h", "w"),
    "NHWC": ("n", "h", "w", "c"),
}


@st.composite
def pictures(draw: st.DrawFn) -> tuple[Any, str]:
    """Return an array and the name of its axes."""
    layout = draw(st.sampled_from(sorted(LAYOUTS)))
    channels = [1, 3] if "N" in layout else [1, 3, 4]
    sizes = {
        "n": draw(st.integers(1, 10)),
        "c": draw(st.sampled_from(channels)),
        "h": draw(st.integers(1, 40)),
        "w": draw(st.integers(1, 9)),
    }
    dtype = draw(st.sampled_from(["uint8", "float32", "float64", "float16", "bool", "int64"]))
    within = st.floats(-0.5, 1.5, width=16) if dtype.startswith("float") else st.integers(0, 1)
    elements = st.integers(0, 255) if dtype == "uint8" else within
    shape = tuple(sizes[axis] for axis in LAYOUTS[layout])
    return draw(hnp.arrays(dtype, shape, elements=elements)), layout


@pytest.mark.filterwarnings("ignore::safewriter.InvisibleValueWarning")
@settings(max_examples=200, deadline=None)
@given(picture=pictures())
def test_image_has_the_pixels_of_torchs(picture):
    """Every layout, type and size decodes to the picture that torch's decodes to."""
    same_image(*picture)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.rand(3, 50, 40),
        torch.rand(3, 50, 40, requires_grad=True),
        torch.rand(3, 50, 40, dtype=torch.bfloat16),
        torch.rand(50, 40, 3).permute(2, 0, 1),
        torch.rand(3, 100, 80)[:, ::2, :: -1 + 2],
        torch.linspace(0, 1, 60).expand(3, 64, 60),
        torch.zeros(3, 200, 100, dtype=torch.uint8),
    ],
    ids=["plain", "on autograd", "bfloat16", "permuted", "strided", "expanded", "black"],
)
def test_image_of_any_tensor_has_the_pixels_of_torchs(tensor):
    """Tensors need not lie in memory in order, and may be on autograd."""
    same_image(tensor, "CHW")


@pytest.mark.parametrize(
    ("method", "shape", "dataformats"),
    [
        ("add_image", (20, 30), "CHW"),
        ("add_image", (3, 20, 30), "CCW"),
        ("add_image", (2, 5, 20, 30), "NCHW"),
        ("add_image", (5, 20, 30), "CHW"),
        ("add_images", (3, 20, 30), "NCHW"),
        ("add_images", (2, 4, 20, 30), "NCHW"),
    ],
)
def test_image_of_a_wrong_shape_raises_torchs_error(tmp_path, method, shape, dataformats):
    """A shape that torch refuses raises torch's own error."""

    def log(writer: SummaryWriter) -> None:
        with pytest.raises(Exception) as caught:  # noqa: PT011  (torch's, whatever it is)
            getattr(writer, method)("a", torch.zeros(shape), 0, dataformats=dataformats)
        errors.append((caught.type, str(caught.value)))
        writer.add_scalar("b", 0.5, 0)

    errors: list[tuple[type, str]] = []
    written(tmp_path, log)
    assert errors[0] == errors[1]


def test_image_of_two_channels_is_left_to_torch(tmp_path):
    """What torch makes of grey with transparency, ours makes too."""
    tensor = torch.rand(2, 5, 6)
    theirs, ours = written(tmp_path, lambda writer: writer.add_image("a", tensor, 0))
    assert ours == theirs


def test_media_calls_write_what_torchs_write(tmp_path):
    """Images, grids, figures and texts arrive with torch's tags, steps, times and metadata."""
    mpl.use("agg")
    import matplotlib.pyplot as plt

    def log(writer: SummaryWriter) -> None:
        figure = plt.figure(figsize=(2, 2))
        figure.gca().plot([1, 3, 2])
        writer.add_image("image", torch.rand(3, 9, 9), 1, 7.5)
        writer.add_images("images", torch.rand(9, 1, 9, 9), 2, dataformats="NCHW")
        writer.add_figure("figure", figure, 3)
        assert not plt.fignum_exists(figure.number)
        writer.add_text("text", "# Titel\n\nä, €, 𝄞", 4)
        writer.add_text("text", "", 5, walltime=8.5)

    for name, make in (("torch", SummaryWriter), ("ours", SafeSummaryWriter)):
        torch.manual_seed(0)
        with make(str(tmp_path / name)) as writer:
            log(writer)
    theirs, ours = (_without_png(tmp_path / name) for name in ("torch", "ours"))
    assert ours == theirs


def _without_png(directory: Path) -> list[bytes]:
    events = read_events(directory)[1:]
    for event in events:
        for value in event.summary.value:
            if value.HasField("image"):
                image = Image.open(io.BytesIO(value.image.encoded_image_string))
                value.image.encoded_image_string = image.tobytes()
    return [event.SerializeToString() for event in events]


@pytest.mark.parametrize(
    "log",
    [
        lambda writer: writer.add_text("notes", b"bytes", 0),
        lambda writer: writer.add_text("notes", None, 0),
        lambda writer: writer.add_text("notes", 5, 0),
        lambda writer: writer.add_histogram("h", [], 0),
        lambda writer: writer.add_histogram("h", None, 0),
        lambda writer: writer.add_histogram("h", "word", 0),
        lambda writer: writer.add_image("i", [[0.5]], 0),
        lambda writer: writer.add_image("i", "word", 0),
        lambda writer: writer.add_image(5, torch.zeros(3, 2, 2), 0),
        lambda writer: writer.add_histogram(5, torch.zeros(3), 0),
    ],
)
def test_media_that_torch_refuses_are_refused_alike(tmp_path, log):
    """What torch cannot log raises torch's own error."""

    def attempt(writer: SummaryWriter) -> None:
        writer.add_scalar("b", 0.5, 0)
        with pytest.raises(Exception) as caught:  # noqa: PT011  (torch's, whatever it is)
            log(writer)
        errors.append((caught.type, str(caught.value)))

    errors: list[tuple[type, str]] = []
    theirs, ours = written(tmp_path, attempt)
    assert errors[0] == errors[1]
    assert ours == theirs


# ------------------------------------------------------------------------------------------ hooks

CALLS: dict[str, Log] = {
    "add_scalar": lambda writer: writer.add_scalar("s", 0.5, next(_steps)),
    "add_scalars": lambda writer: writer.add_scalars("m", {"a": 0.5, "b": 1.5}, next(_steps)),
    "add_histogram": lambda writer: writer.add_histogram("h", torch.zeros(3), next(_steps)),
    "add_image": lambda writer: writer.add_image("i", torch.zeros(3, 4, 4), next(_steps)),
    "add_images": lambda writer: writer.add_images("g", torch.zeros(2, 3, 4, 4), next(_steps)),
    "add_text": lambda writer: writer.add_text("t", "text", next(_steps)),
}
_steps: Iterator[int] = itertools.count(1)


@pytest.mark.parametrize("method", CALLS)
def test_hook_of_a_method_sees_every_call_while_it_is_there(tmp_path, monkeypatch, method):
    """Hooked before, between and after calls, torch's method is called exactly while hooked."""
    seen: list[Any] = []
    original = getattr(SummaryWriter, method)

    def hook(self: SummaryWriter, *args: Any, **kwargs: Any) -> None:
        seen.append(args)
        original(self, *args, **kwargs)

    log = CALLS[method]
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        for round_ in range(3):
            with monkeypatch.context() as patched:
                patched.setattr(SummaryWriter, method, hook)
                log(writer)
                log(writer)
            assert len(seen) == 2 * (round_ + 1)
            assert seen[-1][0] == {"add_scalars": "m"}.get(method, seen[0][0])
            log(writer)
            log(writer)
            assert len(seen) == 2 * (round_ + 1)
    each = 2 if method == "add_scalars" else 1
    assert len(payloads(tmp_path)) == 12 * each


@pytest.mark.parametrize("name", ["add_summary", "add_event"])
@pytest.mark.parametrize("method", CALLS)
def test_hook_of_the_file_writer_sees_every_event_while_it_is_there(
    tmp_path, monkeypatch, name, method
):
    """Nothing that is logged by a short way escapes a hook of torch's file writer."""
    seen: list[Any] = []
    original = getattr(FileWriter, name)

    def hook(self: FileWriter, *args: Any) -> None:
        seen.append(args)
        original(self, *args)

    log = CALLS[method]
    each = 2 if method == "add_scalars" else 1
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        log(writer)
        log(writer)
        with monkeypatch.context() as patched:
            patched.setattr(FileWriter, name, hook)
            log(writer)
            log(writer)
        assert len(seen) == 2 * each
        log(writer)
        assert len(seen) == 2 * each
    assert len(payloads(tmp_path)) == 5 * each


def test_hook_of_the_event_writer_stops_the_short_cut(tmp_path, monkeypatch, slow_path):
    """While another class stands under EventFileWriter's name, every scalar goes the long way."""
    theirs = type("Hooked", (torchs_module.EventFileWriter,), {})  # type: ignore[attr-defined]
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        for _ in range(3):
            CALLS["add_scalar"](writer)
        assert len(slow_path) == 1
        with monkeypatch.context() as patched:
            patched.setattr(torchs_module, "EventFileWriter", theirs)
            for _ in range(3):
                CALLS["add_scalar"](writer)
        assert len(slow_path) == 4
        CALLS["add_scalar"](writer)
        assert len(slow_path) == 4
    assert len(payloads(tmp_path)) == 7


def test_hooks_from_before_the_import_see_every_call(tmp_path):
    """A tracker that hooked torch's methods before safewriter was imported sees all calls."""
    run_python(
        f"""
        import functools
        import torch
        from torch.utils.tensorboard.writer import FileWriter, SummaryWriter

        seen = []

        def hook(cls, name):
            original = getattr(cls, name)

            @functools.wraps(original)
            def hooked(*args, **kwargs):
                seen.append(name)
                return original(*args, **kwargs)

            setattr(cls, name, hooked)

        names = ["add_scalar", "add_histogram", "add_image", "add_images", "add_text"]
        for name in names:
            hook(SummaryWriter, name)
        hook(FileWriter, "add_event")

        from safewriter import SafeSummaryWriter

        with SafeSummaryWriter({str(tmp_path)!r}, unique=False) as writer:
            for step in range(3):
                writer.add_scalar("s", 0.5, step)
                writer.add_histogram("h", torch.zeros(3), step)
                writer.add_image("i", torch.zeros(3, 4, 4), step)
                writer.add_images("g", torch.zeros(2, 3, 4, 4), step)
                writer.add_text("t", "text", step)
        for name in names:
            assert seen.count(name) == 3, (name, seen)
        assert seen.count("add_event") == 15, seen
        """,
        check=True,
    )
    assert len(payloads(tmp_path)) == 15
