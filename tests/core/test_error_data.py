"""What errors and warnings carry: data for programs, a family, and the name that users know."""

from __future__ import annotations

import errno
import inspect
import os
import pickle
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from tensorboard.compat.proto.summary_pb2 import Summary

import safewriter
from safewriter import (
    ArgumentError,
    ArgumentTypeError,
    ArgumentValueError,
    DataWarning,
    RunDirectoryError,
    RunLockedError,
    RunWarning,
    SafeSummaryWriter,
    SafeWriterError,
    SafeWriterWarning,
    StepOrderWarning,
    doctor,
    events,
    patch,
    unpatch,
)


def exported(suffix: str) -> list[type[BaseException]]:
    """Return the exported classes whose names end so."""
    return [getattr(safewriter, name) for name in safewriter.__all__ if name.endswith(suffix)]


def travelled(error: BaseException) -> BaseException:
    """Return what is left of an error behind a pickle."""
    copy: BaseException = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
    return copy


# The family.


def test_the_families():
    """Argument errors are what Python's own would be; each warning is of the data or of the run."""
    assert issubclass(ArgumentValueError, ValueError)
    assert issubclass(ArgumentTypeError, TypeError)
    for cls in exported("Error"):
        assert issubclass(cls, SafeWriterError)
    for cls in exported("Warning"):
        families = [issubclass(cls, family) for family in (DataWarning, RunWarning)]
        assert cls is SafeWriterWarning or families.count(True) == 1, cls


def test_public_names_are_of_the_package():
    """Tracebacks and pickles name what users import: safewriter.StepOrderWarning."""
    for name in safewriter.__all__:
        value = getattr(safewriter, name)
        if not inspect.ismodule(value):
            assert value.__module__ == "safewriter", name
            assert pickle.loads(pickle.dumps(value)) is value
    (line,) = traceback.format_exception_only(RunLockedError("text"))
    assert line == "safewriter.RunLockedError: text\n"


@pytest.mark.parametrize("cls", [*exported("Error"), *exported("Warning")])
def test_a_text_is_enough_to_make_one(cls):
    """Tests of users can raise them, and they travel between processes."""
    travelled(cls("text"))


def test_a_text_ends_with_the_name_of_its_class(tmp_path):
    """Where a program prints warnings without their category, the reader sees it all the same."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with SafeSummaryWriter(tmp_path) as writer:
            writer.add_scalar("loss", 0.5, 2)
            writer.add_scalar("loss", 0.5, 1)
        SafeSummaryWriter(tmp_path / "empty").close()
    texts = [str(warning.message) for warning in caught]
    assert [text.rpartition(" ")[2] for text in texts] == [
        "[StepOrderWarning]",
        "[EmptyRunWarning]",
    ]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=r".*\[StepOrderWarning\]")
        with SafeSummaryWriter(tmp_path / "a") as writer:
            writer.add_scalar("loss", 0.5, 2)
            with pytest.raises(StepOrderWarning) as raised:
                writer.add_scalar("loss", 0.5, 1)
    travelled(raised.value)


# Directories.


def test_a_directory_that_cannot_be_used(tmp_path):
    """The error names the path, the number of the system's error, and the cure."""
    (tmp_path / "file").touch()
    with pytest.raises(RunDirectoryError) as raised:
        SafeSummaryWriter(tmp_path / "file", unique=False)
    error = raised.value
    assert error.path == str(tmp_path / "file")
    assert error.errno == errno.EEXIST
    assert error.cure in str(error)
    assert "choose another log_dir" in error.cure
    travelled(error)


@pytest.mark.parametrize(
    ("name", "cure"), [("a\0b", "remove it"), ("a.tfevents", "rename it"), ("a\udcff", "rename it")]
)
def test_a_name_that_cannot_be_used(tmp_path, name, cure):
    """So it does where the system was not asked: then there is no number."""
    with pytest.raises(RunDirectoryError) as raised:
        SafeSummaryWriter(f"{tmp_path}/{name}")
    assert raised.value.path == f"{tmp_path}/{name}"
    assert raised.value.errno is None
    assert raised.value.cure == cure
    travelled(raised.value)


def test_a_series_that_leads_out_of_its_run(tmp_path):
    """The error of a series names the path that it would have had."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        writer.add_scalar("loss", 0.5, 1)
        with pytest.raises(RunDirectoryError) as raised:
            writer.add_scalars("all", {"/../../up": 0.5}, 1)
    assert raised.value.path == str(tmp_path.parent / "up")
    assert ".." in raised.value.cure


def test_a_current_directory_that_is_gone(tmp_path, monkeypatch):
    """A relative log_dir there: the error has the system's number."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(RunDirectoryError) as raised:
        SafeSummaryWriter("logs")
    assert (raised.value.path, raised.value.errno) == ("logs", errno.ENOENT)
    assert raised.value.cure == "pass an absolute log_dir or root"


WRITE = """
    writer = SafeSummaryWriter(run, unique=False)
    writer.add_scalar("loss", 0.5, 1)
    result = os.getpid()
"""


def test_a_locked_directory(others, tmp_path):
    """The error says which process of which machine writes where, and since when."""
    before = time.time()
    pid = others.start().do(WRITE, run=tmp_path)
    with pytest.raises(RunLockedError) as raised:
        SafeSummaryWriter(tmp_path, unique=False)
    error = raised.value
    assert error.directory == str(tmp_path)
    assert error.pid == pid
    assert error.host == os.uname().nodename
    assert error.start is not None
    assert before - 1 <= error.start <= time.time() + 1
    assert f"process {pid} on {error.host} since " in str(error)
    travelled(error)


def test_a_directory_that_is_locked_by_nobody_knows_whom(others, tmp_path, monkeypatch):
    """Where the holder did not say who it is, the attributes are None."""
    monkeypatch.setattr("safewriter._run.registry._HOLDER_SECONDS", 0.0)
    others.start().do(WRITE, run=tmp_path)
    (tmp_path / ".safewriter" / "run.json").unlink()
    with pytest.raises(RunLockedError, match="another process") as raised:
        SafeSummaryWriter(tmp_path, unique=False)
    error = raised.value
    assert (error.pid, error.host, error.start) == (None, None, None)


# Arguments.


def summary() -> Summary:
    """Return one scalar."""
    return Summary(value=[Summary.Value(tag="loss", simple_value=0.5)])


Call = Callable[[SafeSummaryWriter], object]

# Of wrong types on purpose.
WRONG_CALLS: list[tuple[str, type[ArgumentError], Call]] = [
    ("global_step", ArgumentValueError, lambda writer: writer.add_scalar("a", 1.0, 2**63)),
    ("global_step", ArgumentValueError, lambda writer: writer.add_text("a", "x", "two")),  # type: ignore[arg-type]
    ("walltime", ArgumentValueError, lambda writer: writer.add_scalar("a", 1.0, 1, float("inf"))),
    ("tag", ArgumentValueError, lambda writer: writer.add_scalar("\udcff", 1.0, 1)),
    ("tag_scalar_dict", ArgumentTypeError, lambda writer: writer.add_scalars("a", {1: 1.0}, 1)),  # type: ignore[dict-item]
    (
        "event",
        ArgumentTypeError,
        lambda writer: writer.file_writer.event_writer.add_event(summary()),
    ),
]


@pytest.mark.parametrize(("argument", "error", "call"), WRONG_CALLS)
def test_a_wrong_argument_of_a_call_is_named(tmp_path, argument, error, call):
    """The error is Python's and ours, and names the argument."""
    with SafeSummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", 0.5, 1)
        with pytest.raises(error) as raised:
            call(writer)
    assert raised.value.argument == argument
    travelled(raised.value)


WRONG_VALUES: list[tuple[str, Any, type[ArgumentError]]] = [
    ("ranks", "zer", ArgumentValueError),
    ("ranks", None, ArgumentValueError),
    ("unique", "no", ArgumentTypeError),
    ("resume", None, ArgumentTypeError),
    ("root", ["logs"], ArgumentTypeError),
    ("log_dir", ["logs"], ArgumentTypeError),
    ("purge_step", "two", ArgumentValueError),
    ("purge_step", 2**63, ArgumentValueError),
    ("max_queue", "10", ArgumentTypeError),
    ("flush_secs", None, ArgumentTypeError),
    ("filename_suffix", None, ArgumentTypeError),
    ("train_tags", "train", ArgumentTypeError),
    ("eval_tags", 5, ArgumentTypeError),
    ("eval_tags", [5], ArgumentTypeError),
]


@pytest.mark.parametrize(("name", "value", "error"), WRONG_VALUES)
def test_a_wrong_value_is_refused_by_writer_and_patch(tmp_path, monkeypatch, name, value, error):
    """The constructor names the argument and makes nothing; patch() does so at once."""
    monkeypatch.chdir(tmp_path)
    for call in (SafeSummaryWriter, patch):
        with pytest.raises(error, match=f"{name}.* but must be") as raised:
            call(**{name: value})
        assert raised.value.argument == name
        travelled(raised.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("defaults", [{"log_dir": "a\0"}, {"comment": "tfevents"}], ids=repr)
def test_a_name_that_no_file_system_takes_is_refused_by_patch(defaults):
    """What can be known of a directory without making it is known at patch()."""
    with pytest.raises(RunDirectoryError):
        patch(**defaults)


def test_a_project_that_is_none_is_refused_by_patch(monkeypatch):
    """root="project" where there is no project: told at patch(), not in the training."""
    monkeypatch.chdir("/")
    monkeypatch.setattr("safewriter._run.directory.PROJECT_MARKERS", ("no such marker",))
    with pytest.raises(RunDirectoryError, match="root='project'"):
        patch(root="project")


def test_a_refused_patch_patches_nothing(tmp_path):
    """The patch before it stays as it was."""
    from torch.utils.tensorboard import SummaryWriter

    unpatch()
    with pytest.raises(ArgumentTypeError) as raised:
        patch(uniqe=True)  # type: ignore[call-arg]
    assert raised.value.argument == "uniqe"
    with SummaryWriter(str(tmp_path)) as writer:
        assert not isinstance(writer, SafeSummaryWriter)


def test_good_values_are_taken(tmp_path):
    """What torch takes is taken: numbers of any kind, comments that are no text."""
    # Other types than the signature's, on purpose.
    writer = SafeSummaryWriter(tmp_path, 0.1, 3.0, 1.0, 31536000.5, unique=0)  # type: ignore[arg-type]
    writer.add_scalar("loss", 0.5, 3)
    writer.close()


def test_other_doors_raise_the_same(tmp_path, monkeypatch):
    """The doctor, the events and the settings name what is wrong as well."""
    with pytest.raises(ArgumentValueError, match="no code begins with") as raised:
        doctor.check(tmp_path, select=["XX"])
    assert raised.value.argument == "select"
    (tmp_path / "file").touch()
    with pytest.raises(ArgumentValueError, match="negative") as raised:
        list(events.read_records(tmp_path / "file", offset=-1))
    assert raised.value.argument == "offset"
    monkeypatch.setenv("SAFEWRITER_BACKLOG_MB", "much")
    with pytest.raises(ArgumentValueError) as raised:
        SafeSummaryWriter(tmp_path)
    assert raised.value.argument == "SAFEWRITER_BACKLOG_MB"
