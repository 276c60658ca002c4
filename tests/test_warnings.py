"""A warning points at the user's line, whatever stands between; Python's filters decide."""

from __future__ import annotations

import gc
import linecache
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.utils.tensorboard import FileWriter, SummaryWriter

import safewriter
from safewriter import (
    EmptyRunWarning,
    InvisibleValueWarning,
    MissingStepWarning,
    RankWarning,
    RelativePathWarning,
    ReusedRunWarning,
    SafeSummaryWriter,
    SafeWriterWarning,
    StepOrderWarning,
    TagKindWarning,
    TagNameWarning,
    TagOrderWarning,
    patch,
    unpatch,
)
from tests.support import run_python

HERE = "# here"


@pytest.fixture(autouse=True)
def _stock_again() -> Iterator[None]:
    """Leave no patch behind."""
    yield
    unpatch()


def assert_here(caught: list[warnings.WarningMessage], category: type[Warning]) -> None:
    """Assert that one warning was given, and that its line in this file is marked."""
    assert [warning.category for warning in caught] == [category]
    (warning,) = caught
    assert warning.filename == __file__
    line = linecache.getline(warning.filename, warning.lineno)
    assert HERE in line, f"{warning.lineno}: {line}"


class ByUser(SummaryWriter):
    """A user's subclass that overrides nothing that logs."""


class ByName(SummaryWriter):
    """A user's subclass that names torch's constructor."""

    def __init__(self, log_dir: Any) -> None:
        SummaryWriter.__init__(self, log_dir)  # here, if the constructor warns


MAKERS: dict[str, Callable[[Any], Any]] = {
    "own": SafeSummaryWriter,
    "patched": SummaryWriter,
    "subclass": ByUser,
    "by name": ByName,
}


def _twice(writer: Any) -> None:
    writer.add_scalar("loss", 1.0, 5)
    writer.add_scalar("loss", 1.0, 6)


def _step_order(writer: Any) -> None:
    writer.add_scalar("loss", 1.0, 1)  # here


def _step_order_by_keyword(writer: Any) -> None:
    writer.add_scalar(
        tag="loss",
        scalar_value=1.0,
        global_step=1,
    )  # here ends what began above


def _missing_step(writer: Any) -> None:
    writer.add_scalar("loss", 1.0)  # here


def _kind(writer: Any) -> None:
    writer.add_histogram("loss", torch.ones(3), 7)  # here


def _name(writer: Any) -> None:
    writer.add_scalar("LOSS", 1.0, 7)  # here


def _value(writer: Any) -> None:
    writer.add_scalar("loss", float("nan"), 7)  # here


def _double(writer: Any) -> None:
    writer.add_scalar("loss", 1.0, 7, new_style=True, double_precision=True)  # here


def _fraction(writer: Any) -> None:
    writer.add_scalar("loss", 1.0, 7.5)  # here


def _tag_order(writer: Any) -> None:
    writer.add_scalar("val/x", 1.0, 9)
    writer.add_scalar("train/x", 1.0, 9)  # here


def _series(writer: Any) -> None:
    writer.add_scalars("group", {"a": 1.0}, 2)
    writer.add_scalars("group", {"a": 1.0}, 1)  # here


def _hparams(writer: Any) -> None:
    writer.add_hparams({"lr": 1}, {"m": 1.0}, run_name="hp", global_step=2)
    writer.add_hparams({"lr": 1}, {"m": 1.0}, run_name="hp", global_step=1)  # here


def _hparams_value(writer: Any) -> None:
    writer.add_hparams({"lr": 1}, {"m": float("inf")})  # here


def _image(writer: Any) -> None:
    writer.add_image("image", torch.zeros(3, 4, 4), 2)
    writer.add_image("image", torch.zeros(3, 4, 4), 1)  # here


def _figure(writer: Any) -> None:
    from matplotlib.figure import Figure

    writer.add_image("figure", torch.zeros(3, 4, 4), 2)
    writer.add_figure("figure", Figure(figsize=(1, 1), dpi=20), 1, close=False)  # here


def _text(writer: Any) -> None:
    writer.add_text("text", "x", 2)
    writer.add_text("text", "x", 1)  # here


def _file_writer(writer: Any) -> None:
    from tensorboard.compat.proto.summary_pb2 import Summary

    summary = Summary(value=[Summary.Value(tag="loss", simple_value=1.0)])
    writer.file_writer.add_summary(summary, 1)  # here


def _through_a_helper(writer: Any) -> None:
    def log(*args: Any) -> None:
        writer.add_scalar(*args)  # here

    log("loss", 1.0, 1)


def _in_a_comprehension(writer: Any) -> None:
    list(map(lambda step: writer.add_scalar("loss", 1.0, step), [1]))  # noqa: C417  # here


CALLS: dict[str, tuple[Callable[[Any], None], type[Warning]]] = {
    "step order": (_step_order, StepOrderWarning),
    "missing step": (_missing_step, MissingStepWarning),
    "kind": (_kind, TagKindWarning),
    "name": (_name, TagNameWarning),
    "value": (_value, InvisibleValueWarning),
    "double": (_double, InvisibleValueWarning),
    "fraction": (_fraction, StepOrderWarning),
    "tag order": (_tag_order, TagOrderWarning),
    "add_scalars": (_series, StepOrderWarning),
    "add_hparams": (_hparams, StepOrderWarning),
    "value in add_hparams": (_hparams_value, InvisibleValueWarning),
    "add_image": (_image, StepOrderWarning),
    "add_figure": (_figure, StepOrderWarning),
    "add_text": (_text, StepOrderWarning),
    "file writer": (_file_writer, StepOrderWarning),
    "helper": (_through_a_helper, StepOrderWarning),
    "lambda": (_in_a_comprehension, StepOrderWarning),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize(("call", "category"), CALLS.values(), ids=CALLS)
def test_a_warning_points_at_the_call(tmp_path, make, call, category):
    """The line of the user's call is named, with our writer, through patch() and in subclasses."""
    patch()
    writer = make(tmp_path)
    _twice(writer)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(writer)
    writer.close()
    assert_here(caught, category)


@pytest.mark.parametrize(("call", "category"), CALLS.values(), ids=CALLS)
def test_a_trackers_wrapper_is_not_the_call(tmp_path, monkeypatch, call, category):
    """A tracker that wraps torch's methods stands between the user's line and torch's."""

    def wrapped(original: Any) -> Any:
        return lambda *args, **kwargs: original(*args, **kwargs)

    for owner in (SummaryWriter, FileWriter):
        for name, method in list(vars(owner).items()):
            if name.startswith("add_"):
                monkeypatch.setattr(owner, name, wrapped(method))
    writer = SafeSummaryWriter(tmp_path)
    _twice(writer)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(writer)
    writer.close()
    assert_here(caught, category)


def test_a_call_over_several_lines(tmp_path):
    """Of a call over several lines the warning names one, as Python does."""
    with SafeSummaryWriter(tmp_path) as writer, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _twice(writer)
        _step_order_by_keyword(writer)
    (warning,) = caught
    line = linecache.getline(warning.filename, warning.lineno)
    assert "writer.add_scalar(" in line


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_warning_of_the_constructor_points_at_it(tmp_path, monkeypatch, make):
    """RelativePathWarning and RankWarning name the line that makes the writer, as does, later,
    EmptyRunWarning.
    """
    patch()
    (tmp_path / "setup.py").touch()
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path / "src")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        writer = make("logs")  # here
    assert_here(caught, RelativePathWarning)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        writer.close()
    assert_here(caught, EmptyRunWarning)

    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        writer = make(tmp_path / "rank")  # here
    assert_here(caught, RankWarning)
    writer.add_scalar("loss", 1.0, 1)
    writer.close()


def test_a_reused_run_points_at_the_constructor(tmp_path):
    """ReusedRunWarning names the line that makes the writer."""
    (tmp_path / "events.out.tfevents.1700000000.host.1.0").touch()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        writer = SafeSummaryWriter(tmp_path, unique=False)  # here
        writer.close()
    assert_here(caught, ReusedRunWarning)


def test_a_collected_writer_points_at_its_constructor(tmp_path):
    """EmptyRunWarning of a writer that was dropped names the line that made it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        SafeSummaryWriter(tmp_path)  # here
        gc.collect()
    assert_here(caught, EmptyRunWarning)


def test_a_warning_at_exit_points_at_the_constructor(tmp_path):
    """EmptyRunWarning of a writer that nobody closed is printed with the line that made it."""
    done = run_python(
        f"""
        from safewriter import SafeSummaryWriter
        writer = SafeSummaryWriter({str(tmp_path)!r})  # this line
        print("end")
        """,
        check=True,
    )
    assert "script.py:3: EmptyRunWarning: the run" in done.stderr
    assert "# this line" in done.stderr


def test_a_subclass_that_logs_is_the_users_line(tmp_path):
    """A user's override is the user's code: the line in it is named."""

    class Logger(SafeSummaryWriter):
        """Logs by itself."""

        def add_scalar(self, *args: Any, **kwargs: Any) -> None:
            """Pass on."""
            super().add_scalar(*args, **kwargs)  # here

    with Logger(tmp_path) as writer, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _twice(writer)
        _step_order(writer)
    assert_here(caught, StepOrderWarning)


def test_modules_that_only_look_like_ours_are_the_users(tmp_path):
    """A user's module may be called tensorboard_helpers or safewriter_tools."""
    done = run_python(
        f"""
        import pathlib, sys, warnings
        for name in ("tensorboard_helpers", "safewriter_tools"):
            pathlib.Path(name + ".py").write_text(
                "def log(writer, step):\\n    writer.add_scalar('loss', 1.0, step)\\n"
            )
        sys.path.insert(0, ".")
        import safewriter_tools, tensorboard_helpers
        from safewriter import SafeSummaryWriter
        for module in (tensorboard_helpers, safewriter_tools):
            with SafeSummaryWriter({str(tmp_path)!r} + "/" + module.__name__) as writer:
                module.log(writer, 2)
                module.log(writer, 1)
        """,
        check=True,
    )
    assert "tensorboard_helpers.py:2: StepOrderWarning" in done.stderr
    assert "safewriter_tools.py:2: StepOrderWarning" in done.stderr


def test_warnings_of_a_script_under_run(tmp_path):
    """A script that `safewriter run` executes gets its own lines named, and each fall told."""
    script = tmp_path / "train.py"
    script.write_text(
        """\
from torch.utils.tensorboard import SummaryWriter
writer = SummaryWriter("logs")
for round in range(3):
    for step in range(3):
        writer.add_scalar("loss", 1.0, step)  # line 5
"""
    )
    done = run_python(script, cwd=tmp_path, python_args=("-m", "safewriter", "run"), check=True)
    assert done.stderr.count(": StepOrderWarning: ") == 2
    assert f"{script}:5: StepOrderWarning" in done.stderr


# The filters.


def test_all_are_one_family():
    """Every warning is a SafeWriterWarning and a UserWarning, so that one filter takes them all."""
    names = [name for name in safewriter.__all__ if name.endswith("Warning")]
    assert len(names) >= 14
    for name in names:
        assert issubclass(getattr(safewriter, name), SafeWriterWarning)
    assert issubclass(SafeWriterWarning, UserWarning)


def test_a_filter_by_module_reaches_the_user(tmp_path):
    """The warning belongs to the user's module, so a filter on that module applies."""
    with SafeSummaryWriter(tmp_path) as writer, warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", module=r"tests\.test_warnings")
        _twice(writer)
        _step_order(writer)
    with SafeSummaryWriter(tmp_path / "other") as writer, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", module=r"tests\.test_warnings")
        _twice(writer)
        with pytest.raises(StepOrderWarning):
            _step_order(writer)


def test_the_environment_can_escalate(tmp_path):
    """With -W error, Python stops the script at the call, before the event is written."""
    done = run_python(
        f"""
        from safewriter import SafeSummaryWriter
        writer = SafeSummaryWriter({str(tmp_path)!r}, unique=False)
        writer.add_scalar("loss", 1.0, 2)
        writer.add_scalar("loss", 1.0, 1)
        """,
        python_args=("-W", "error::UserWarning"),
    )
    assert done.returncode == 1
    assert "safewriter.StepOrderWarning: tag 'loss' goes back" in done.stderr
    assert sum(path.stat().st_size for path in tmp_path.glob("*tfevents*")) < 120


@pytest.mark.parametrize("name", [name for name in safewriter.__all__ if name.endswith("Warning")])
def test_a_warning_can_be_pickled(name):
    """Warnings and errors travel between processes."""
    import pickle

    original = getattr(safewriter, name)("text")
    copy = pickle.loads(pickle.dumps(original))
    assert (type(copy), copy.args) == (type(original), original.args)
