"""Is it on the page? Each ``add_*`` in a real browser, or told at the call."""

from __future__ import annotations

import importlib
import importlib.util
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from safewriter import InvisibleValueWarning, SafeSummaryWriter
from tests.support import TensorBoardServer, read_events, wait_until
from tests.support.browser import Browser, is_drawn

DOCS = Path(__file__).parents[1] / "docs" / "every-add.md"
STEPS = range(3)
HAS_ONNX = importlib.util.find_spec("onnx") is not None
NAN, INF = float("nan"), float("inf")


def numbers(*shape: int) -> torch.Tensor:
    """Return random numbers in [0, 1) that are the same in each call."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


class Shown(NamedTuple):
    """A call, and where its data are on the page.

    Attributes:
        log: makes the call.
        page: the name of TensorBoard's page.
        card: the element that stands for one tag.
        text: what tells this card from others.
        part: the element in it that shows the data.
        run: the run that is logged to.
    """

    log: Callable[[Any], object]
    page: str
    card: str
    text: str
    part: str
    run: str = "shown"


def _curves(writer: Any) -> None:
    for step in STEPS:
        for tag in ("low", "middle", "high"):
            writer.add_scalar(f"curve/{tag}", step * len(tag), step)


def _lines(writer: Any) -> None:
    _curves(writer)
    writer.add_custom_scalars_multilinechart(["curve/low", "curve/high"], title="two lines")


def _margin(writer: Any) -> None:
    _curves(writer)
    writer.add_custom_scalars_marginchart(
        ["curve/middle", "curve/low", "curve/high"], "bands", "band"
    )


def _layout(writer: Any) -> None:
    _curves(writer)
    writer.add_custom_scalars({"layout": {"of two": ["Multiline", ["curve/low", "curve/high"]]}})


def _figure(writer: Any) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 2), dpi=60)
    figure.subplots().bar([1, 2], [2, 3], color="red")
    writer.add_figure("shown/figure", figure, 0, close=False)


def _onnx(writer: Any) -> None:
    # Not a dependency of ours, nor of torch's.
    helper = importlib.import_module("onnx").helper
    ends = [helper.make_tensor_value_info(name, 1, [1]) for name in ("start", "finish")]
    node = helper.make_node("Relu", ["start"], ["finish"])
    model = helper.make_model(helper.make_graph([node], "graph", ends[:1], ends[1:]))
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(model.SerializeToString())
        file.flush()
        writer.add_onnx_graph(file.name)


VERTICES = torch.tensor([[[1.0, 1, 1], [-1, -1, 1], [1, -1, -1], [-1, 1, -1]]])
COLOURS = torch.tensor([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 0, 255]]])
FACES = torch.tensor([[[0, 2, 3], [0, 3, 1], [0, 1, 2], [1, 3, 2]]])
COUNTS = ([75, 64, 21, 5], [150, 105, 18, 0], [0, 45, 132, 150], [0, 11, 54, 70])

LINES = "vz-line-chart2"
SCALARS = ("scalars", "tf-scalar-card")
IMAGES = ("images", "tf-image-loader")
HISTOGRAMS = ("histograms", "tf-histogram-loader")
PR = ("pr_curves", "tf-pr-curve-card")
CUSTOM = "custom_scalars"

SHOWN = {
    "add_scalar": Shown(
        lambda w: [w.add_scalar("shown/scalar", step, step) for step in STEPS],
        *SCALARS,
        "shown/scalar",
        LINES,
    ),
    "add_scalars": Shown(
        lambda w: [w.add_scalars("shown/many", {"a": step, "b": 2}, step) for step in STEPS],
        *SCALARS,
        "shown/many",
        LINES,
    ),
    "add_custom_scalars_multilinechart": Shown(
        _lines, CUSTOM, "tf-custom-scalar-multi-line-chart-card", "two lines", LINES, "lines"
    ),
    "add_custom_scalars_marginchart": Shown(
        _margin, CUSTOM, "tf-custom-scalar-margin-chart-card", "band", LINES, "margin"
    ),
    "add_custom_scalars": Shown(
        _layout, CUSTOM, "tf-custom-scalar-multi-line-chart-card", "of two", LINES, "layout"
    ),
    "add_histogram": Shown(
        lambda w: [w.add_histogram("shown/histogram", numbers(99), step) for step in STEPS],
        *HISTOGRAMS,
        "shown/histogram",
        "vz-histogram-timeseries",
    ),
    "add_histogram_raw": Shown(
        lambda w: w.add_histogram_raw("shown/raw", 0, 3, 6, 9, 20, [1, 2, 3], [1, 2, 3], 0),
        *HISTOGRAMS,
        "shown/raw",
        "vz-histogram-timeseries",
    ),
    "add_image": Shown(
        lambda w: w.add_image("shown/image", numbers(3, 9, 9), 0), *IMAGES, "shown/image", "img"
    ),
    "add_images": Shown(
        lambda w: w.add_images("shown/grid", numbers(4, 3, 9, 9), 0), *IMAGES, "shown/grid", "img"
    ),
    "add_image_with_boxes": Shown(
        lambda w: w.add_image_with_boxes(
            "shown/boxes", numbers(3, 32, 32), torch.tensor([[2.0, 2, 20, 20]]), 0
        ),
        *IMAGES,
        "shown/boxes",
        "img",
    ),
    "add_figure": Shown(_figure, *IMAGES, "shown/figure", "img"),
    "add_video": Shown(
        lambda w: w.add_video("shown/video", numbers(2, 4, 3, 9, 9), 0),
        *IMAGES,
        "shown/video",
        "img",
    ),
    "add_audio": Shown(
        lambda w: w.add_audio("shown/sound", torch.sin(torch.arange(999.0)), 0),
        "audio",
        "tf-audio-loader",
        "shown/sound",
        "audio",
    ),
    "add_text": Shown(
        lambda w: w.add_text("shown/text", "so **bold** a word", 0),
        "text",
        "tf-text-loader",
        "shown/text",
        "strong",
    ),
    "add_pr_curve": Shown(
        lambda w: w.add_pr_curve("shown/pr", numbers(99) > 0.5, numbers(99), 0),
        *PR,
        "shown/pr",
        LINES,
    ),
    "add_pr_curve_raw": Shown(
        lambda w: w.add_pr_curve_raw(
            "shown/counts", *COUNTS, [0.33, 0.38, 0.54, 1.0], [1.0, 0.85, 0.28, 0.07], 0, 4
        ),
        *PR,
        "shown/counts",
        LINES,
    ),
    "add_mesh": Shown(
        lambda w: w.add_mesh("shown/mesh", VERTICES, COLOURS, FACES, global_step=0),
        "mesh",
        "tf-mesh-loader",
        "step 0",
        "canvas",
    ),
    "add_graph": Shown(
        lambda w: w.add_graph(torch.nn.Sequential(torch.nn.Linear(3, 4)), numbers(1, 3)),
        "graphs",
        "tf-graph-scene",
        "Sequential",
        "g.node",
        "graph",
    ),
}

# What is shown on two pages.
ELSEWHERE = {
    "add_scalar, Time Series": SHOWN["add_scalar"]._replace(
        page="timeseries", card="scalar-card", part="line-chart"
    ),
    "add_histogram, Time Series": SHOWN["add_histogram"]._replace(
        page="timeseries", card="histogram-card", part="tb-histogram"
    ),
    "add_image, Time Series": SHOWN["add_image"]._replace(page="timeseries", card="image-card"),
    "add_video, Time Series": SHOWN["add_video"]._replace(page="timeseries", card="image-card"),
    "add_histogram, Distributions": SHOWN["add_histogram"]._replace(
        page="distributions", card="tf-distribution-loader", part="vz-distribution-chart"
    ),
}
EVERYWHERE = ELSEWHERE | SHOWN


class Told(NamedTuple):
    """A call that is warned about, the words of the warning, and whether the event is written."""

    log: Callable[[Any], object]
    words: tuple[str, ...]
    written: bool


def _with(special: float, shape: int = 9) -> torch.Tensor:
    return torch.cat([torch.ones(shape), torch.tensor([special])])


TOLD = {
    "a tensor": Told(
        lambda w: w.add_tensor("told/tensor", numbers(3), 1), ("told/tensor", "No page"), True
    ),
    "an empty histogram": Told(
        lambda w: w.add_histogram("told/empty", torch.zeros(0), 1),
        ("told/empty", "no values"),
        False,
    ),
    "a histogram of NaN": Told(
        lambda w: w.add_histogram("told/all", torch.full((3,), NAN), 1), ("told/all", "NaN"), False
    ),
    "a histogram beyond all bins": Told(
        lambda w: w.add_histogram("told/huge", torch.tensor([1e30]), 1),
        ("told/huge", "1e20"),
        False,
    ),
    "a histogram with one NaN": Told(
        lambda w: w.add_histogram("told/nan", _with(NAN), 1), ("told/nan", "Time Series"), True
    ),
    "a histogram with one infinity": Told(
        lambda w: w.add_histogram("told/inf", _with(INF), 1), ("told/inf", "Time Series"), True
    ),
    "a histogram without counts": Told(
        lambda w: w.add_histogram_raw("told/zeros", 0, 1, 0, 0, 0, [1.0], [0], 1),
        ("told/zeros", "counts no value"),
        True,
    ),
    "an image of no pixels": Told(
        lambda w: w.add_image("told/image", numbers(3, 0, 9), 1), ("told/image", "no pixel"), False
    ),
    "no images": Told(
        lambda w: w.add_images("told/grid", numbers(0, 3, 9, 9), 1),
        ("told/grid", "no pixel"),
        False,
    ),
    "a video of no frames": Told(
        lambda w: w.add_video("told/video", numbers(1, 0, 3, 9, 9), 1),
        ("told/video", "no pixel"),
        False,
    ),
    "an image in 0..255 that is no uint8": Told(
        lambda w: w.add_image("told/range", numbers(3, 9, 9) * 255, 1),
        ("told/range", "uint8"),
        True,
    ),
    "an image of integers": Told(
        lambda w: w.add_image("told/ints", np.full((3, 9, 9), 200), 1), ("told/ints", "uint8"), True
    ),
    "an embedding of no vectors": Told(
        lambda w: w.add_embedding(numbers(0, 4), tag="told"), ("'told'", "no vectors"), False
    ),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TensorBoardServer]:
    """A server over one log directory with everything."""
    logdir = tmp_path_factory.mktemp("every-add")
    # In this order TensorBoard gives the runs that are looked at colours, and none grey.
    for run in ("shown", "lines", "margin", "layout", "graph"):
        with SafeSummaryWriter(logdir / run, unique=False) as writer:
            for shown in SHOWN.values():
                if shown.run == run:
                    shown.log(writer)
    with (
        SafeSummaryWriter(logdir / "told", unique=False) as writer,
        warnings.catch_warnings(record=True),
    ):
        warnings.simplefilter("always")
        writer.add_histogram("told/nan", numbers(99), 0)
        for told in TOLD.values():
            told.log(writer)
        writer.add_histogram("told/nan", numbers(99), 2)
    with SafeSummaryWriter(logdir / "vectors", unique=False) as writer:
        writer.add_embedding(
            numbers(8, 4), metadata=list("abcdefgh"), label_img=numbers(8, 3, 8, 8)
        )
    if HAS_ONNX:
        with SafeSummaryWriter(logdir / "onnx", unique=False) as writer:
            _onnx(writer)
    with TensorBoardServer(logdir) as server:
        server.wait_until(lambda: "vectors" in server.runs())
        yield server


@pytest.fixture(scope="module")
def browser(server: TensorBoardServer) -> Iterator[Browser]:
    """One browser for all tests, which loads each page once."""
    with Browser(server.url, "scalar|histogram|image|video|nan") as browser:
        yield browser


def test_a_histogram_with_nan_hides_those_of_the_other_steps(browser: Browser) -> None:
    """What the warning says: one NaN at one step, and Time Series draws no step of the tag."""
    browser.open("timeseries")
    wait_until(lambda: is_drawn(browser.find("histogram-card", "shown/histogram", "tb-histogram")))
    assert not is_drawn(browser.find("histogram-card", "told/nan", "tb-histogram"))


@pytest.mark.parametrize("shown", EVERYWHERE.values(), ids=EVERYWHERE)
def test_it_is_on_the_page(browser: Browser, shown: Shown) -> None:
    """What was logged is drawn, loaded or written on its page in a real browser."""
    browser.open(shown.page)
    part = browser.find(shown.card, shown.text, shown.part)
    if shown.part == "audio":
        wait_until(lambda: part.evaluate("sound => sound.readyState > 0 && sound.duration > 0"))
    elif shown.part == "img":
        wait_until(lambda: part.evaluate("image => image.naturalWidth > 8"))
    elif shown.part == "strong":
        assert part.inner_text() == "bold"
    else:
        wait_until(lambda: is_drawn(part), 15)


@pytest.mark.skipif(not HAS_ONNX, reason="no onnx, which torch needs for add_onnx_graph")
def test_an_onnx_graph_is_served(server: TensorBoardServer) -> None:
    """The Graphs page gets the nodes of a model in ONNX's format."""
    status, graph = server.get("data/plugin/graphs/graph", run="onnx")
    assert status == 200
    assert b'"Relu"' in graph


def test_a_video_moves_on_the_page(browser: Browser) -> None:
    """The picture of a video is an animated GIF."""
    browser.open("images")
    source = browser.find("tf-image-loader", "shown/video", "img").get_attribute("src")
    body = browser.page.evaluate("async url => (await (await fetch(url)).blob()).type", source)
    assert body == "image/gif"


def test_an_embedding_is_on_the_page(browser: Browser) -> None:
    """The Projector page shows the points of a run's embedding."""
    browser.open("projector", anew=True)

    def projectors() -> list[Any]:
        browser.page.wait_for_timeout(50)  # Else the list of frames stays as it is.
        return [frame for frame in browser.page.frames if "projector_binary" in frame.url]

    (frame,) = wait_until(projectors)
    frame.get_by_text("Points: 8").wait_for(state="attached", timeout=15_000)


@pytest.mark.parametrize("told", TOLD.values(), ids=TOLD)
def test_what_is_not_on_the_page_is_told_at_the_call(tmp_path: Path, told: Told) -> None:
    """A warning names the tag and says what TensorBoard shows; escalated, nothing is written."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        writer.add_scalar("loss", 1.0, 0)
        before = len(read_events(tmp_path))
        with warnings.catch_warnings():
            warnings.simplefilter("error", InvisibleValueWarning)
            with pytest.raises(InvisibleValueWarning):
                told.log(writer)
        assert len(read_events(tmp_path)) == before
        with pytest.warns(InvisibleValueWarning) as caught:
            told.log(writer)
        assert len(read_events(tmp_path)) == before + told.written
    (warning,) = caught
    assert warning.filename == __file__
    for word in (*told.words, "TensorBoard"):
        assert word in str(warning.message)


def test_a_tensor_is_on_no_page(server: TensorBoardServer) -> None:
    """What the warning says: no plugin of TensorBoard's has the tag."""
    pages = server.get_json("data/plugins_listing")
    for page in ("scalars", "histograms", "images", "audio", "text", "pr_curves", "mesh"):
        assert "told/tensor" not in str(server.tags(page).get("told"))
    assert "tensor" not in pages


ONE_OF_A_RUN: dict[str, tuple[Callable[[Any], object], Callable[[Any], object]]] = {
    "graph": (
        lambda w: w.add_graph(torch.nn.Sequential(torch.nn.Linear(3, 4)), numbers(1, 3)),
        lambda w: w.add_graph(torch.nn.Sequential(torch.nn.Tanh()), numbers(1, 3)),
    ),
    "layout": (
        lambda w: w.add_custom_scalars_multilinechart(["a", "b"]),
        lambda w: w.add_custom_scalars_multilinechart(["b", "c"]),
    ),
}


@pytest.mark.parametrize(("first", "second"), ONE_OF_A_RUN.values(), ids=ONE_OF_A_RUN)
def test_a_second_one_of_what_a_run_shows_one_of_is_told(tmp_path, first, second):
    """Another graph, or layout of custom scalars, hides one; the same one again hides none."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        first(writer)
        first(writer)
        with pytest.warns(InvisibleValueWarning, match="already. TensorBoard shows"):
            second(writer)


def test_a_value_without_data_is_told(tmp_path, monkeypatch):
    """Where a hook has torch's own add_video called and there is no moviepy, a warning says so."""
    from torch.utils.tensorboard import SummaryWriter

    original = SummaryWriter.add_video
    monkeypatch.setattr(SummaryWriter, "add_video", lambda *a, **k: original(*a, **k))
    monkeypatch.setitem(__import__("sys").modules, "moviepy", None)
    with (
        SafeSummaryWriter(tmp_path, unique=False) as writer,
        pytest.warns(InvisibleValueWarning, match="'video' has a value with nothing in it"),
    ):
        writer.add_video("video", numbers(1, 2, 3, 4, 4), 1)


@pytest.mark.parametrize(
    "picture",
    [numbers(3, 9, 9) * 6 - 3, numbers(3, 9, 9) > 0.5, (numbers(3, 9, 9) * 255).byte()],
    ids=["normalised", "bool", "bytes"],
)
def test_a_picture_in_its_range_is_not_told(tmp_path, picture):
    """What a network sees or makes, deviations around a mean, is not worth a word."""
    with SafeSummaryWriter(tmp_path) as writer:
        writer.add_image("picture", picture, 0)


def test_the_table_in_the_docs_names_every_method_and_its_test() -> None:
    """docs/every-add.md has a row for each ``add_*``, and each test that it names is one here."""
    text = DOCS.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(add_\w+)` .*`(\S+?)(?:\[(.*?)\])?` \|$", text, re.MULTILINE)
    methods = {name for name in dir(SafeSummaryWriter) if name.startswith("add_")}
    assert {method for method, _, _ in rows} == methods
    for _, test, case in rows:
        assert test in globals() or test == "tests/test_hparams.py"
        assert not case or case in EVERYWHERE | TOLD
