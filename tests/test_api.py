"""The public surface: names, arguments, attributes, and what may be done with a writer."""

from __future__ import annotations

import copy
import importlib
import inspect
import io
import os
import pickle
import pkgutil
import re
import threading
import warnings
from typing import Any

import pytest
import torch
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from torch.utils.tensorboard import FileWriter, SummaryWriter

import safewriter
import safewriter._errors
from safewriter import SafeSummaryWriter
from tests.support import event_files, read_events, read_runs, read_scalars, run_python

# Names.


def test_all_is_what_the_package_exports():
    """__all__ holds every public name and nothing else, and each can be had."""
    plumbing = {"TYPE_CHECKING", "Any", "annotations", "import_module"}
    exported = {name for name in dir(safewriter) if not name.startswith("_")} - plumbing
    assert sorted(exported) == sorted(safewriter.__all__)
    assert all(hasattr(safewriter, name) for name in exported)
    assert len(set(safewriter.__all__)) == len(safewriter.__all__)


def test_an_unknown_name_is_an_attribute_error():
    """A name that is not exported raises as for any module."""
    with pytest.raises(AttributeError, match="module 'safewriter' has no attribute 'Nothing'"):
        _ = safewriter.Nothing  # type: ignore[attr-defined]


def test_import_loads_neither_torch_nor_tensorboard():
    """`import safewriter`, its errors and its command line leave torch for later."""
    run_python(
        """
        import sys
        import safewriter
        assert not {"torch", "tensorboard", "numpy"} & set(sys.modules)
        safewriter.StepOrderWarning, safewriter.RunLockedError, safewriter.__version__
        assert set(safewriter.__all__) <= set(dir(safewriter))
        import safewriter._cli.main
        assert not {"torch", "tensorboard", "numpy", "rich"} & set(sys.modules)
        safewriter.SafeSummaryWriter
        assert "torch.utils.tensorboard" in sys.modules
        assert "rich" not in sys.modules
        """,
        check=True,
    )


def test_every_error_and_warning_is_exported_and_drawn():
    """The tree in the docstring of the errors' module is the tree of the classes."""
    module = safewriter._errors
    classes = {
        name: cls
        for name, cls in vars(module).items()
        if inspect.isclass(cls) and issubclass(cls, Exception)
    }
    assert set(classes) <= set(safewriter.__all__)

    assert module.__doc__ is not None
    parents: list[tuple[int, str]] = []
    drawn = {}
    for line in module.__doc__.splitlines():
        if found := re.match(r"    [ │├└─]*(\w*(?:Error|Warning|Exception))\b", line):
            depth = found.start(1)
            while parents and parents[-1][0] >= depth:
                parents.pop()
            if parents:
                drawn[found[1]] = parents[-1][1]
            parents.append((depth, found[1]))
    assert drawn == {name: cls.__bases__[0].__name__ for name, cls in classes.items()}


def test_every_public_name_is_documented():
    """Every exported class and function, and every public method, says what it does."""
    for name in safewriter.__all__:
        value = getattr(safewriter, name)
        assert value.__doc__, name
        for method, function in vars(value).items() if inspect.isclass(value) else ():
            if not method.startswith("_") and inspect.isfunction(function):
                assert function.__doc__, f"{name}.{method}"


def test_version_is_that_of_the_distribution():
    """__version__ is plain text of numbers."""
    assert re.fullmatch(r"\d+\.\d+\.\d+", safewriter.__version__)


def test_every_module_can_be_imported_by_itself():
    """No room depends on another having been imported first."""
    names = [module.name for module in pkgutil.walk_packages(safewriter.__path__, "safewriter.")]
    for name in names:
        if not name.endswith("__main__"):
            importlib.import_module(name)


# Arguments.


def test_signature_begins_as_torchs_does():
    """The constructor takes torch's arguments in torch's order with torch's defaults, then its own
    by keyword only.
    """
    torchs = list(inspect.signature(SummaryWriter.__init__).parameters.values())
    ours = list(inspect.signature(SafeSummaryWriter.__init__).parameters.values())
    assert [(one.name, one.default, one.kind) for one in ours[: len(torchs)]] == [
        (one.name, one.default, one.kind) for one in torchs
    ]
    assert {one.kind for one in ours[len(torchs) :]} == {inspect.Parameter.KEYWORD_ONLY}


def test_methods_take_what_torchs_do():
    """Each method that is overridden has torch's parameters, in order, with torch's defaults."""
    for name, function in vars(SafeSummaryWriter).items():
        theirs = vars(SummaryWriter).get(name)
        if name == "__init__" or not inspect.isfunction(theirs):
            continue
        assert [
            (one.name, one.default) for one in inspect.signature(function).parameters.values()
        ] == [(one.name, one.default) for one in inspect.signature(theirs).parameters.values()]


def test_six_positional_arguments(tmp_path):
    """All of torch's arguments may be given by position and keep their meaning."""
    writer = SafeSummaryWriter(tmp_path, "comment", 0, 20, 60, ".suffix")
    writer.add_scalar("loss", 1.0, 5)
    writer.close()
    assert os.path.dirname(writer.log_dir) == str(tmp_path)
    assert (writer.max_queue, writer.flush_secs, writer.filename_suffix) == (20, 60, ".suffix")
    (file,) = event_files(writer.log_dir)
    assert file.name.endswith(".suffix")


@pytest.mark.parametrize(("max_queue", "flush_secs"), [(0, 0), (-1, 1e9), (10**9, 31_536_000.5)])
def test_queue_and_flush_times_are_accepted_and_change_nothing(tmp_path, max_queue, flush_secs):
    """Whatever max_queue and flush_secs are, an event is on disk when the call returns."""
    with SafeSummaryWriter(tmp_path, max_queue=max_queue, flush_secs=flush_secs) as writer:
        writer.add_scalar("loss", 1.0, 1)
        assert read_scalars(writer.log_dir) == {"loss": [(1, 1.0)]}


def test_an_unknown_argument_is_a_type_error(tmp_path):
    """A misspelt keyword, or a seventh positional argument, is refused and makes nothing."""
    with pytest.raises(TypeError, match="uniqe"):
        SafeSummaryWriter(tmp_path / "logs", uniqe=True)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="positional"):
        SafeSummaryWriter(tmp_path / "logs", "", None, 10, 120, "", True)  # type: ignore[call-arg]
    assert not (tmp_path / "logs").exists()


# Attributes.


@pytest.fixture
def writer(tmp_path):
    """An open writer with one point."""
    with SafeSummaryWriter(str(tmp_path / "logs")) as made:
        made.add_scalar("loss", 1.0, 1)
        yield made


def test_attributes_are_torchs(writer, tmp_path):
    """What other tools read from a writer is there, with torch's types and values."""
    stock = SummaryWriter(str(tmp_path / "stock"))
    for name in set(vars(stock)) - {"log_dir", "file_writer", "all_writers"}:
        assert getattr(writer, name) == getattr(stock, name), name
    assert issubclass(type(writer), SummaryWriter)
    assert isinstance(writer.file_writer, FileWriter)
    assert isinstance(writer.file_writer.event_writer, EventFileWriter)
    assert writer._get_file_writer() is writer.file_writer
    assert writer.all_writers == {writer.log_dir: writer.file_writer}
    assert writer.purge_step is None
    stock.close()


def test_the_event_writer_names_its_file(writer):
    """_file_name and _logdir, which uploaders read, are the event file's path and directory."""
    (file,) = event_files(writer.log_dir)
    event_writer = writer.file_writer.event_writer
    assert event_writer._file_name == str(file)
    assert event_writer._logdir == event_writer.get_logdir() == writer.log_dir
    assert re.fullmatch(r"events\.out\.tfevents\.\d{10}\..+", file.name)


def test_series_are_writers_too(writer):
    """add_scalars keeps a file writer for each series in all_writers, by its directory."""
    writer.add_scalars("a/b", {"x": 1.0, "y": 2.0}, 1)
    assert set(writer.all_writers) == {
        writer.log_dir,
        f"{writer.log_dir}/a_b_x",
        f"{writer.log_dir}/a_b_y",
    }
    for directory, file_writer in writer.all_writers.items():
        assert file_writer.get_logdir() == directory
        assert isinstance(file_writer, FileWriter)


def test_a_closed_writer_has_no_file_writers(writer):
    """After close, file_writer and all_writers are None, as in torch."""
    writer.close()
    assert writer.file_writer is None
    assert writer.all_writers is None
    writer.flush()
    writer.close()


def test_a_writer_is_true_and_has_no_length(writer):
    """A writer counts as true, open or closed: tools ask `if writer:`."""
    for name in ("__len__", "__bool__", "__iter__"):
        assert not hasattr(SafeSummaryWriter, name)
    assert writer
    writer.close()
    assert writer


def test_foreign_attributes_are_taken(writer):
    """Tools may keep attributes of their own on writers and file writers."""
    writer.my_attribute = 1
    writer.file_writer.my_attribute = 2
    writer.file_writer.event_writer.my_attribute = 3
    writer.add_scalar("loss", 1.0, 2)
    assert (writer.my_attribute, writer.file_writer.my_attribute) == (1, 2)


def test_file_writer_can_be_used_directly(writer):
    """flush, close and reopen of the file writer lose nothing and stop nothing."""
    file_writer = writer.file_writer
    file_writer.flush()
    file_writer.close()
    writer.add_scalar("loss", 2.0, 2)
    file_writer.reopen()
    writer.add_scalar("loss", 3.0, 3)
    file_writer.event_writer.flush()
    file_writer.event_writer.close()
    file_writer.event_writer.reopen()
    writer.add_scalar("loss", 4.0, 4)
    assert read_scalars(writer.log_dir)["loss"] == [(step, float(step)) for step in range(1, 5)]


def test_a_file_writer_that_was_kept_writes_after_close(writer):
    """Lightning keeps the file writer and uses it after close: nothing is lost."""
    kept = writer.file_writer
    writer.close()
    from tensorboard.compat.proto.summary_pb2 import Summary

    kept.add_summary(Summary(value=[Summary.Value(tag="loss", simple_value=2.0)]), 2)
    kept.flush()
    assert read_scalars(writer.log_dir)["loss"] == [(1, 1.0), (2, 2.0)]
    kept.close()
    writer.add_scalar("loss", 3.0, 3)
    writer.close()
    assert len(event_files(writer.log_dir)) == 1


@pytest.mark.parametrize("bad", [None, b"bytes", "text", object()])
def test_only_events_are_written(writer, bad):
    """The event writer refuses what is no event, as tensorboard's does."""
    with pytest.raises(TypeError, match="Event"):
        writer.file_writer.event_writer.add_event(bad)


def test_with_gives_the_writer_itself(tmp_path):
    """`with` yields the writer and closes it, also when the block raises."""
    writer = SafeSummaryWriter(tmp_path)
    with pytest.raises(KeyError), writer as inner:
        assert inner is writer
        writer.add_scalar("loss", 1.0, 1)
        raise KeyError
    assert writer.all_writers is None


def test_use_after_close_goes_on_in_the_same_run(writer):
    """add_* after close continues the same directory and the same file."""
    for step in range(2, 6):
        writer.close()
        writer.add_scalar("loss", float(step), step)
        writer.add_scalars("group", {"a": 1.0}, step)
    assert len(event_files(writer.log_dir)) == 2
    assert read_scalars(writer.log_dir)["loss"] == [(step, float(step)) for step in range(1, 6)]


def test_repr_shows_the_run_and_the_state(writer):
    """The representation names the class, the directory and whether the writer is open."""
    assert repr(writer) == f"<SafeSummaryWriter {writer.log_dir!r}, open>"
    writer.close()
    assert repr(writer) == f"<SafeSummaryWriter {writer.log_dir!r}, closed>"


def test_repr_of_a_half_made_writer(tmp_path):
    """A writer whose constructor failed can be shown by a debugger all the same."""
    made = SafeSummaryWriter.__new__(SafeSummaryWriter)
    assert "SafeSummaryWriter" in repr(made)


# Copies.


@pytest.mark.parametrize("function", [copy.copy, copy.deepcopy])
@pytest.mark.parametrize("closed", [False, True])
def test_a_copy_is_refused(writer, function, closed):
    """Both kinds of copy raise one clear error that names the writer, open or closed."""
    if closed:
        writer.close()
    with pytest.raises(TypeError, match="cannot be copied") as caught:
        function(writer)
    assert repr(writer) in str(caught.value)
    with pytest.raises(TypeError, match="cannot be copied"):
        function({"logger": [writer]}) if function is copy.deepcopy else function(writer)


def test_a_closed_writer_can_be_pickled(writer):
    """A closed writer survives pickling, and goes on in its run in the same process."""
    writer.close()
    other = pickle.loads(pickle.dumps(writer))
    assert type(other) is SafeSummaryWriter
    assert other.log_dir == writer.log_dir
    assert other.all_writers is None
    assert other.default_bins == writer.default_bins
    other.add_scalar("loss", 2.0, 2)
    other.close()
    assert read_scalars(writer.log_dir)["loss"] == [(1, 1.0), (2, 2.0)]


def test_an_open_writer_is_pickled_as_a_closed_one(writer):
    """What is pickled of an open writer is a closed one; the writer itself stays open."""
    other = pickle.loads(pickle.dumps(writer))
    assert other.all_writers is None
    writer.add_scalar("loss", 2.0, 2)
    other.add_scalar("other", 1.0, 1)
    other.close()
    assert writer.all_writers is not None
    assert set(read_scalars(writer.log_dir)) == {"loss", "other"}
    assert len(event_files(writer.log_dir)) == 1


def test_a_writer_can_be_pickled_twice(writer):
    """What was unpickled can be pickled again, used or not."""
    writer.close()
    once = pickle.loads(pickle.dumps(writer))
    twice = pickle.loads(pickle.dumps(once))
    twice.add_scalar("loss", 2.0, 2)
    thrice = pickle.loads(pickle.dumps(twice))
    thrice.add_scalar("loss", 3.0, 3)
    twice.close()
    thrice.close()
    assert read_scalars(writer.log_dir)["loss"] == [(1, 1.0), (2, 2.0), (3, 3.0)]


@pytest.mark.parametrize("method", ["add_scalars", "add_hparams", "add_histogram", "add_embedding"])
def test_whatever_an_unpickled_writer_logs_first_is_ours(writer, method):
    """The first call of an unpickled writer may be any: it goes to the run, through our files."""
    writer.close()
    other = pickle.loads(pickle.dumps(writer))
    if method == "add_scalars":
        other.add_scalars("group", {"a": 1.0}, 2)
    elif method == "add_hparams":
        other.add_hparams({"lr": 0.1}, {"m": 1.0}, run_name="hp")
    elif method == "add_histogram":
        other.add_histogram("weights", torch.ones(3), 2)
    else:
        other.add_embedding(torch.eye(3), global_step=2)
    assert not [thread for thread in threading.enumerate() if "EventLogger" in str(thread)]
    other.close()
    for file in event_files(writer.log_dir):
        assert read_events(file)[0].source_metadata.writer == "safewriter"
    expected = {"add_scalars": {".", "group_a"}, "add_hparams": {".", "hp"}}
    assert set(read_runs(writer.log_dir)) == expected.get(method, {"."})


def test_a_writer_that_is_only_unpickled_makes_nothing(writer):
    """Unpickling opens no file and no run; and closing such a writer is harmless."""
    writer.close()
    pickled = pickle.dumps(writer)
    before = event_files(writer.log_dir)
    other = pickle.loads(pickled)
    other.flush()
    other.close()
    assert "closed" in repr(other)
    assert event_files(writer.log_dir) == before


def test_torch_save_takes_an_object_that_holds_a_writer(writer):
    """A trainer with a writer in it can be saved with torch and loaded again."""
    writer.close()
    buffer = io.BytesIO()
    torch.save({"epoch": 1, "logger": writer}, buffer)
    buffer.seek(0)
    loaded = torch.load(buffer, weights_only=False)
    assert loaded["logger"].log_dir == writer.log_dir


# Subclasses.


class Subclass(SafeSummaryWriter):
    """A user's own writer with a constructor and a method."""

    def __init__(self, log_dir: Any, run_id: int) -> None:
        super().__init__(log_dir, f"id{run_id}")
        self.run_id = run_id

    def add_scalar(self, tag: str, *args: Any, **kwargs: Any) -> None:
        """Put a prefix before the tag."""
        super().add_scalar(f"prefix/{tag}", *args, **kwargs)


def test_a_subclass_works_and_can_be_pickled(tmp_path):
    """A user's subclass keeps its constructor and its methods, also behind a pickle."""
    with Subclass(tmp_path, 3) as writer:
        writer.add_scalar("loss", 1.0, 1)
        writer.add_scalar("loss", 2.0, 2)
    assert str(writer.log_dir).endswith("_id3")
    other = pickle.loads(pickle.dumps(writer))
    assert (type(other), other.run_id) == (Subclass, 3)
    other.add_scalar("loss", 3.0, 3)
    other.close()
    assert read_scalars(writer.log_dir) == {"prefix/loss": [(1, 1.0), (2, 2.0), (3, 3.0)]}


def test_add_hparams_of_a_subclass_makes_a_plain_sub_run(tmp_path):
    """The sub-run of add_hparams does not need the subclass's constructor arguments."""
    with Subclass(tmp_path, 3) as writer:
        writer.add_hparams({"lr": 0.1}, {"metric": 2.0}, run_name="hp")
    assert read_runs(writer.log_dir) == {"hp": {"metric": [(0, 2.0)]}} or read_runs(
        writer.log_dir
    ) == {".": {}, "hp": {"metric": [(0, 2.0)]}}


# hparams.


def test_add_hparams_under_one_name_continues_its_sub_run(tmp_path):
    """A run_name that is used again is the same sub-run, with rising steps one curve."""
    with SafeSummaryWriter(tmp_path) as writer:
        for step in range(3):
            writer.add_hparams({"lr": 0.1}, {"m": float(step)}, run_name="hp", global_step=step)
    assert read_scalars(f"{writer.log_dir}/hp")["m"] == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert len(event_files(f"{writer.log_dir}/hp")) == 1


@pytest.mark.parametrize("bad", [(["lr"], {}), ({}, None), ({"lr": 0.1}, {"m": "text"})])
def test_bad_hparams_are_refused_as_in_torch(tmp_path, bad):
    """What is no dict, and a metric that is no number, is refused, and the writer goes on."""
    with SafeSummaryWriter(tmp_path) as writer:
        with pytest.raises((TypeError, ValueError)):
            writer.add_hparams(*bad)
        writer.add_scalar("loss", 1.0, 1)
    assert list(read_runs(writer.log_dir)) == ["."]


def test_a_run_directory_of_add_hparams_is_released(tmp_path):
    """After the call, the sub-run is closed: its directory can be removed and made again."""
    import shutil

    with SafeSummaryWriter(tmp_path) as writer:
        writer.add_hparams({"lr": 0.1}, {"m": 1.0}, run_name="hp")
        shutil.rmtree(f"{writer.log_dir}/hp")
        writer.add_hparams({"lr": 0.1}, {"m": 2.0}, run_name="hp")
    assert read_scalars(f"{writer.log_dir}/hp")["m"] == [(0, 2.0)]


def test_nothing_warns_in_ordinary_use(tmp_path):
    """Every kind of data, logged as one should, gives no warning of any class."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with SafeSummaryWriter(tmp_path) as writer:
            for step in range(3):
                writer.add_scalar("train/loss", 1.0, step)
                writer.add_scalar("val/loss", 1.0, step)
                writer.add_scalars("both", {"train": 1.0, "val": 1.0}, step)
                writer.add_histogram("weights", torch.ones(3), step)
                writer.add_image("image", torch.ones(3, 4, 4), step)
                writer.add_text("text", "text", step)
                writer.flush()
            writer.add_custom_scalars_multilinechart(["train/loss", "val/loss"])
            writer.add_custom_scalars_multilinechart(["train/loss", "val/loss"])
            writer.add_hparams({"lr": 0.1}, {"hparam/accuracy": 1.0})
