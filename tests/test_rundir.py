"""Where a run lives: absolute, in a directory of its own, or one clear error."""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import os
import pickle
import re
import socket
import stat
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.tensorboard import SummaryWriter

from safewriter import (
    ArgumentTypeError,
    EmptyRunWarning,
    RankWarning,
    RelativePathWarning,
    ReusedRunWarning,
    RunDirectoryError,
    SafeSummaryWriter,
    SplitRunWarning,
    patch,
)
from safewriter._run.directory import run_name
from safewriter._run.rank import process_rank
from safewriter._run.start_time import is_unique_name
from tests.support import event_files, read_runs, read_scalars, run_python

NAME = r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d"


def log_to(log_dir: Any, value: float = 1.0, **options: Any) -> Path:
    """Make a writer, log one point, close it; return its directory."""
    with SafeSummaryWriter(log_dir, **options) as writer:
        writer.add_scalar("loss", value, 1)
    return Path(writer.log_dir)


@pytest.fixture
def cwd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory, in no project."""
    directory = tmp_path / "cwd"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's root, with the current directory two levels below it."""
    root = tmp_path / "project"
    (root / "src" / "train").mkdir(parents=True)
    (root / "pyproject.toml").touch()
    monkeypatch.chdir(root / "src" / "train")
    return root


# Absolute and anchored.


def test_default_is_a_new_directory_below_runs(cwd):
    """Without log_dir the run is ./runs/<time>, as an absolute path."""
    run = log_to(None)
    assert run.parent == cwd / "runs"
    assert re.fullmatch(NAME, run.name)
    started = datetime.datetime.strptime(run.name, "%Y-%m-%d_%H-%M-%S")
    assert abs(datetime.datetime.now() - started) < datetime.timedelta(minutes=2)


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_log_dir_is_none(cwd, empty):
    """An empty string means the default, as in torch, and each such writer is a run of its own."""
    first, second = log_to(empty), log_to(empty)
    assert first.parent == second.parent == cwd / "runs"
    assert first != second


def test_the_directory_follows_no_chdir(cwd, tmp_path, monkeypatch):
    """A relative log_dir is resolved once: os.chdir afterwards changes nothing."""
    writer = SafeSummaryWriter("logs")
    run = Path(writer.log_dir)
    assert run.parent == cwd / "logs"
    assert os.path.isabs(writer.get_logdir())
    monkeypatch.chdir(tmp_path)
    writer.add_scalar("loss", 1.0, 1)
    writer.add_scalars("group", {"a": 1.0}, 1)
    writer.add_hparams({"lr": 0.1}, {"metric": 1.0}, run_name="hparams")
    writer.add_embedding(torch.eye(3), global_step=1)
    writer.close()
    writer.add_scalar("loss", 2.0, 2)
    writer.close()
    assert set(read_runs(tmp_path)) == {
        f"cwd/logs/{run.name}{below}" for below in ("", "/group_a", "/hparams")
    }
    assert read_scalars(run)["loss"] == [(1, 1.0), (2, 2.0)]
    assert {path.name for path in tmp_path.iterdir()} == {"cwd"}


def test_root_is_where_a_relative_log_dir_begins(cwd, tmp_path, monkeypatch):
    """root, given as text or path, wins over SAFEWRITER_ROOT, which wins over the current one."""
    monkeypatch.setenv("SAFEWRITER_ROOT", str(tmp_path / "variable"))
    assert log_to("a").parent == tmp_path / "variable" / "a"
    assert log_to(None).parent == tmp_path / "variable" / "runs"
    assert log_to("a", root=tmp_path / "given").parent == tmp_path / "given" / "a"
    assert log_to("a", root=str(tmp_path / "given")).parent == tmp_path / "given" / "a"
    assert log_to("a", root="below").parent == cwd / "below" / "a"
    assert log_to(tmp_path / "absolute", root="x").parent == tmp_path / "absolute"
    monkeypatch.setenv("SAFEWRITER_ROOT", "")
    assert log_to("a").parent == cwd / "a"


def test_root_project_is_the_nearest_project(project, tmp_path, monkeypatch):
    """root="project", or the variable saying so, anchors at the nearest directory with a marker."""
    assert log_to("logs", root="project").parent == project / "logs"
    monkeypatch.setenv("SAFEWRITER_ROOT", "project")
    assert log_to(None).parent == project / "runs"
    (project / "src" / "setup.py").touch()
    assert log_to("logs").parent == project / "src" / "logs"
    (project / "src" / "train" / ".git").mkdir()
    assert log_to("logs").parent == project / "src" / "train" / "logs"


def test_root_project_outside_a_project_is_refused(tmp_path):
    """With no project above, the error names the current directory, the markers and the cure."""
    if any((Path("/") / marker).exists() for marker in ("pyproject.toml", "setup.py", ".git")):
        pytest.skip("the root of this file system is a project")
    done = run_python(
        """
        from safewriter import SafeSummaryWriter
        SafeSummaryWriter("logs", root="project")
        """,
        cwd="/",
    )
    assert done.returncode == 1
    error = done.stderr.splitlines()[-1]
    assert "RunDirectoryError: root='project'" in error
    assert "'/'" in error
    assert "pyproject.toml, setup.py, setup.cfg, .git" in error
    assert error.endswith("give a path as root")


def test_a_relative_path_within_a_project_is_told(project):
    """Below a project's root, a relative log_dir warns with both places and the cures."""
    with pytest.warns(RelativePathWarning) as caught:
        run = log_to("logs")
    assert run.parent == project / "src" / "train" / "logs"
    (message,) = (str(warning.message) for warning in caught)
    assert f"'{project}/src/train/logs'" in message
    assert f"'{project}/logs'" in message
    assert "root='project'" in message
    assert "SAFEWRITER_ROOT" in message


@pytest.mark.parametrize("default", [None, ""])
def test_the_default_within_a_project_is_told(project, default):
    """The default directory is relative too."""
    with pytest.warns(RelativePathWarning, match="'runs'"):
        log_to(default)


def test_a_path_that_cannot_surprise_is_not_told(project, tmp_path, monkeypatch):
    """At the project's root, outside one, absolute, below ~ or with a root: no warning."""
    monkeypatch.setenv("HOME", str(tmp_path))
    log_to(tmp_path / "absolute")
    log_to("~/home")
    log_to("logs", root=tmp_path)
    log_to("logs", root="project")
    monkeypatch.chdir(project)
    log_to("logs")
    monkeypatch.chdir(tmp_path)
    log_to("other")


def told_by(log_dir: Any, **options: Any) -> list[str]:
    """Log to `log_dir`; return the RelativePathWarnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        log_to(log_dir, **options)
    assert {warning.category for warning in caught} <= {RelativePathWarning}
    return [str(warning.message) for warning in caught]


def test_a_place_within_a_project_is_told_once(project):
    """Not for each writer; another name is another place."""
    assert [len(told_by(name)) for name in ("logs", "logs", "./logs", "other", "logs")] == [
        1,
        0,
        0,
        1,
        0,
    ]


def test_a_name_that_leads_elsewhere_after_a_chdir_is_told(cwd, tmp_path, monkeypatch):
    """The same relative name, resolved to another place: both are named, once for each place."""
    assert told_by("logs") == []
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    (message,) = told_by("logs")
    assert f"{str(tmp_path / 'other' / 'logs')!r} now" in message
    assert f"was {str(cwd / 'logs')!r}" in message
    assert message.endswith("[RelativePathWarning]")
    assert told_by("logs") == []
    assert told_by("else") == []
    monkeypatch.chdir(cwd)
    assert told_by("logs") == []
    monkeypatch.chdir(tmp_path)
    assert len(told_by("logs")) == 1


def test_a_chdir_that_does_not_matter_is_not_told(cwd, tmp_path, monkeypatch):
    """Absolute, below an absolute root, or with root="project", the user has said where."""
    (tmp_path / "a" / ".git").mkdir(parents=True)
    (tmp_path / "b" / ".git").mkdir(parents=True)
    for directory in ("a", "b"):
        monkeypatch.chdir(tmp_path / directory)
        assert told_by(tmp_path / "absolute") == []
        assert told_by("logs", root=tmp_path) == []
        assert told_by("logs", root="project") == []
    assert len(told_by("logs", root="below")) == 0
    monkeypatch.chdir(tmp_path / "a")
    assert len(told_by("logs", root="below")) == 1


def test_a_current_directory_that_was_made_for_this_start_is_not_told(project, monkeypatch):
    """Hydra changes into a directory of each job: a relative log_dir is meant to lie there."""
    start = datetime.datetime.now().strftime("%Y-%m-%d/%H-%M-%S")
    for job in range(2):
        directory = project / "multirun" / start / str(job)
        directory.mkdir(parents=True)
        monkeypatch.chdir(directory)
        assert told_by("tb") == []
        assert told_by(None) == []


def test_an_escalated_warning_stops_every_writer(project):
    """As an error, the warning comes again for each attempt: none of them made anything."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RelativePathWarning)
        for _ in range(2):
            with pytest.raises(RelativePathWarning):
                SafeSummaryWriter("logs")
    assert everything(project) == sorted(
        str(project / name) for name in ("pyproject.toml", "src", "src/train")
    )


def test_home_is_expanded(cwd, tmp_path, monkeypatch):
    """~ is the home directory, in log_dir, in root and in the variable."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert log_to("~/logs").parent == tmp_path / "home" / "logs"
    assert log_to(Path("~/logs")).parent == tmp_path / "home" / "logs"
    assert log_to("logs", root="~/root").parent == tmp_path / "home" / "root" / "logs"
    monkeypatch.setenv("SAFEWRITER_ROOT", "~/variable")
    assert log_to("logs").parent == tmp_path / "home" / "variable" / "logs"


class PathLike:
    """Something that is a path in the sense of os.PathLike only."""

    def __init__(self, path: str | bytes) -> None:
        self.path = path

    def __fspath__(self) -> str | bytes:
        return self.path


def test_every_form_of_a_path_is_taken(tmp_path):
    """Text, Path, PathLike, bytes, trailing and doubled slashes and dots name one directory."""
    directory = str(tmp_path / "logs")
    forms = [
        directory,
        Path(directory),
        PathLike(directory),
        PathLike(os.fsencode(directory)),
        os.fsencode(directory),
        directory + "/",
        directory + "//",
        f"{tmp_path}/./x/../logs",
    ]
    runs = {log_to(form) for form in forms}
    assert {run.parent for run in runs} == {Path(directory)}
    assert all(re.fullmatch(NAME + r"(-\d+)?", run.name) for run in runs)


def test_a_link_and_up_is_where_the_link_leads(cwd, tmp_path):
    """link/.. is the directory above the link's target, as for every other program."""
    (tmp_path / "data" / "disk").mkdir(parents=True)
    (cwd / "link").symlink_to(tmp_path / "data" / "disk")
    for log_dir in ("link/../logs", f"{cwd}/link/../logs", f"{cwd}/link/./..//logs"):
        assert log_to(log_dir).parent == tmp_path / "data" / "logs"
    assert log_to("logs", root="link/..").parent == tmp_path / "data" / "logs"
    assert log_to("link/logs").parent == cwd / "link" / "logs"
    assert log_to("link/a/../logs").parent == cwd / "link" / "logs"
    assert not (cwd / "logs").exists()


def test_a_path_stays_a_path(tmp_path):
    """Given a Path, log_dir and get_logdir() are Paths, also after a move and behind a pickle."""
    with SafeSummaryWriter(tmp_path / "logs") as first:
        for step in (1, 2):
            first.add_scalar("loss", 1.0, step)
    writer = SafeSummaryWriter(tmp_path / "logs")
    writer.add_scalar("loss", 1.0, 1)
    writer.add_scalars("group", {"a": 1.0}, 1)
    writer.add_embedding(torch.eye(3), global_step=1)
    writer.close()
    assert writer.log_dir != first.log_dir
    again = pickle.loads(pickle.dumps(writer))
    again.add_scalar("loss", 2.0, 2)
    again.close()
    for one in (first, writer, again):
        assert isinstance(one.log_dir, Path)
        assert one.log_dir == one.get_logdir()
    assert again.log_dir == writer.log_dir
    assert read_scalars(writer.log_dir)["loss"] == [(1, 1.0), (2, 2.0)]
    assert isinstance(SafeSummaryWriter(str(tmp_path / "text"), unique=False).log_dir, str)


def test_names_of_any_script_and_with_spaces(tmp_path):
    """Unicode and spaces are kept, in log_dir and in the comment."""
    run = log_to(tmp_path / "Läufe 学習 \N{SNOWMAN}", comment="größer 2")
    assert run.parent.name == "Läufe 学習 \N{SNOWMAN}"
    assert run.name.endswith("_größer 2")
    assert read_scalars(run) == {"loss": [(1, 1.0)]}


def test_writer_names_the_run(tmp_path):
    """log_dir and get_logdir give the run's directory, absolute and as text."""
    writer = SafeSummaryWriter(str(tmp_path / "logs"))
    writer.add_scalar("loss", 1.0, 1)
    assert writer.log_dir == writer.get_logdir() == writer.file_writer.get_logdir()
    assert isinstance(writer.log_dir, str)
    (file,) = event_files(tmp_path)
    assert str(file.parent) == writer.log_dir
    writer.close()
    assert str(file.parent) == writer.log_dir


# Its own.


def test_runs_of_the_same_second_are_apart(tmp_path, monkeypatch):
    """A name that is taken gets -2, -3, ...; what is there is not touched."""
    monkeypatch.setattr("time.strftime", lambda *_: "2024-05-06_07-08-09")
    for name in ("2024-05-06_07-08-09", "2024-05-06_07-08-09-2"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert [log_to(None).name[19:] for _ in range(3)] == ["-3", "-4", "-5"]
    assert not any((tmp_path / "runs" / "2024-05-06_07-08-09").iterdir())


def test_a_comment_is_part_of_the_name(tmp_path):
    """The comment comes behind the time; separators in it make no directories."""
    for comment, ending in (
        ("lr0.1", "_lr0.1"),
        ("_lr0.1", "_lr0.1"),
        ("-lr", "_lr"),
        ("a/b", "_a_b"),
        ("../up", "_.._up"),
        ("", ""),
    ):
        run = log_to(tmp_path / "logs", comment=comment)
        assert run.parent == tmp_path / "logs"
        assert re.fullmatch(NAME + re.escape(ending) + r"(-\d+)?", run.name)


def test_comments_make_runs(tmp_path):
    """Writers on one log_dir with different comments are different runs."""
    runs = {log_to(tmp_path, comment=comment) for comment in ("a", "b", "")}
    assert len(runs) == 3


@pytest.mark.parametrize(
    "name",
    [
        "Nov22_09-30-00_host",
        "May04_22-14-54_s-MacBook-Pro.local",
        "Mär04_22-14-54_host",
        "Nov22_09-30-00_hostLR_0.1_BATCH_16",
        "2024-05-06_07-08-09",
        "2024-05-06_07-08-09-2",
        "2024-05-06_07-08-09_lr0.1",
        "2024-05-06_07-08-09_rank3",
        "version_0",
        "version_12",
    ],
)
def test_a_directory_that_is_unique_already_is_used_as_it_is(tmp_path, name):
    """A name that carries its time is not put into another one, new or existing and empty."""
    assert log_to(tmp_path / "new" / name) == tmp_path / "new" / name
    (tmp_path / "empty" / name).mkdir(parents=True)
    assert log_to(tmp_path / "empty" / name) == tmp_path / "empty" / name
    assert log_to(f"{tmp_path}/slash/{name}/") == tmp_path / "slash" / name


def test_a_unique_name_that_holds_a_run_is_not_used_again(tmp_path):
    """A run of an earlier process is left alone: the new one goes below it."""
    taken = tmp_path / "2024-05-06_07-08-09"
    taken.mkdir()
    (taken / "events.out.tfevents.1700000000.host.1.0").touch()
    run = log_to(taken)
    assert run.parent == taken
    assert [file.name for file in event_files(taken) if file.parent == taken] == [
        "events.out.tfevents.1700000000.host.1.0"
    ]


@pytest.mark.parametrize(
    "name",
    ["exp1", "2024", "2024-05-06", "Nov22", "version_a", "x2024-05-06_07-08-09", "lr_0.1_batch_16"],
)
def test_other_names_are_not_unique(tmp_path, name):
    """A name without its time is a directory of runs."""
    assert log_to(tmp_path / name).parent == tmp_path / name


@given(st.text(max_size=10), st.none() | st.integers(0, 999))
def test_own_names_are_recognised(comment, rank):
    """Every name that the writer gives counts as unique."""
    assert is_unique_name("/logs/" + run_name(comment, rank).replace("\0", ""))


def test_not_unique_is_exactly_the_directory(tmp_path):
    """unique=False uses the directory itself, whatever the comment."""
    assert log_to(tmp_path / "a", unique=False, comment="x") == tmp_path / "a"
    assert log_to(tmp_path / "b", unique=False, purge_step=0) == tmp_path / "b"
    assert log_to(tmp_path / "c" / "2024-05-06_07-08-09", unique=False).parent == tmp_path / "c"


def torchs_name(comment: str = "") -> str:
    """Return a pattern of torch's default names."""
    return rf"\w{{3}}\d\d_\d\d-\d\d-\d\d_{re.escape(socket.gethostname() + comment)}"


def test_not_unique_and_without_a_log_dir_is_torchs_default(cwd, tmp_path):
    """runs/<when_host><comment> then, below the root, and nothing goes to runs itself."""
    assert re.fullmatch(f"{cwd}/runs/{torchs_name()}", str(log_to(None, unique=False)))
    run = log_to("", unique=False, comment="LR_0.1", root=tmp_path / "root")
    assert re.fullmatch(f"{tmp_path}/root/runs/{torchs_name('LR_0.1')}", str(run))
    assert event_files(cwd / "runs")[0].parent != cwd / "runs"


def test_two_such_writers_in_one_second(cwd, monkeypatch):
    """They share the directory, as torch's do, and one event file."""
    monkeypatch.setattr("time.strftime", lambda *_: "May04_22-14-54")
    first = SafeSummaryWriter(unique=False)
    second = SafeSummaryWriter(unique=False)
    first.add_scalar("a", 1.0, 1)
    second.add_scalar("b", 1.0, 1)
    assert first.log_dir == second.log_dir
    first.close()
    second.close()
    assert len(event_files(cwd / "runs")) == 1


def test_such_a_name_that_another_process_took(cwd, monkeypatch):
    """A directory that is there already, whoever made it, is left alone: the next name is free."""
    monkeypatch.setattr("time.strftime", lambda *_: "May04_22-14-54")
    name = cwd / "runs" / f"May04_22-14-54_{socket.gethostname()}"
    name.mkdir(parents=True)
    assert log_to(None, unique=False) == name.with_name(name.name + "-2")
    assert not any(name.iterdir())


def test_resume_without_a_log_dir_is_the_newest_run_below_runs(cwd):
    """unique=False changes nothing about it: there is no log_dir that it could mean exactly."""
    earlier = cwd / "runs" / "May04_22-14-54_host"
    earlier.mkdir(parents=True)
    (earlier / "events.out.tfevents.1700000000.host.1.0").touch()
    assert log_to(None, resume=True, unique=False) == earlier


def test_events_of_an_earlier_run_are_told(tmp_path):
    """unique=False on a directory with events warns, names it and the cures, and goes on."""
    (tmp_path / "events.out.tfevents.1700000000.host.1.0").touch()
    with pytest.warns(ReusedRunWarning) as caught:
        run = log_to(tmp_path, unique=False)
    assert run == tmp_path
    assert len(event_files(tmp_path)) == 2
    (message,) = (str(warning.message) for warning in caught)
    cures = ("unique=True", "resume=True", "purge_step=", "safewriter.patch(resume=True)")
    for part in (repr(str(tmp_path)), *cures):
        assert part in message


def test_who_does_not_make_the_writer_says_to_patch_that_the_run_goes_on(tmp_path):
    """A library's writer on a directory with events, such as Lightning's, goes on as patched."""
    for unique in (True, False):
        log_dir = tmp_path / str(unique)
        log_dir.mkdir()
        (log_dir / "events.out.tfevents.1700000000.host.1.0").touch()
        with patch(unique=unique, resume=True), SummaryWriter(log_dir) as writer:
            writer.add_scalar("loss", 1.0, 0)
        assert writer.log_dir == log_dir


@pytest.mark.parametrize("goes_on", [{"purge_step": 3}, {"resume": True}], ids=str)
def test_a_run_that_says_it_goes_on_is_not_told(tmp_path, goes_on):
    """purge_step and resume expect the events of an earlier run."""
    (tmp_path / "events.out.tfevents.1700000000.host.1.0").touch()
    assert log_to(tmp_path, **goes_on) == tmp_path


def test_a_purge_step_continues_the_run_that_resume_would(tmp_path):
    """What S("exp") wrote is what S("exp", purge_step=3) goes on with."""
    run = log_to(tmp_path / "exp")
    assert log_to(tmp_path / "exp", purge_step=3) == run
    assert os.listdir(tmp_path / "exp") == [run.name]


def test_a_purge_step_without_an_earlier_run(tmp_path):
    """There is nothing to purge: that is told, and a run begins; at step 0 it is expected."""
    with pytest.warns(SplitRunWarning, match="there is nothing to purge"):
        run = log_to(tmp_path / "exp", purge_step=3)
    assert run.parent == tmp_path / "exp"
    assert log_to(tmp_path / "other", purge_step=0).parent == tmp_path / "other"


def test_other_files_in_the_directory_are_no_run(tmp_path):
    """A directory with checkpoints but without events is used without a warning."""
    (tmp_path / "model.pt").touch()
    assert log_to(tmp_path, unique=False) == tmp_path


def test_a_reuse_that_is_an_error_stops_the_construction(tmp_path):
    """Escalated, the warning leaves the earlier events alone and the directory free."""
    earlier = tmp_path / "events.out.tfevents.1700000000.host.1.0"
    earlier.touch()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ReusedRunWarning)
        with pytest.raises(ReusedRunWarning):
            SafeSummaryWriter(tmp_path, unique=False)
    assert earlier.stat().st_size == 0
    assert read_scalars(tmp_path) == {}
    log_to(tmp_path, resume=True)
    assert read_scalars(tmp_path) == {"loss": [(1, 1.0)]}


def test_a_run_directory_holds_only_events_and_a_hidden_folder(tmp_path):
    """No other file of ours lies beside the events, and nothing else has tfevents in its name."""
    run = log_to(tmp_path)
    (file,) = event_files(tmp_path)
    assert {path.name for path in run.iterdir()} == {file.name, ".safewriter"}
    assert not [path for path in run.rglob("*tfevents*") if path != file]


def test_directories_and_files_have_the_permissions_of_others(tmp_path):
    """Run directory and event file are as readable as the umask lets any new file be."""
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain.txt").touch()
    run = log_to(tmp_path / "logs")
    assert stat.S_IMODE(run.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    (file,) = event_files(run)
    assert stat.S_IMODE(file.stat().st_mode) == stat.S_IMODE(
        (tmp_path / "plain.txt").stat().st_mode
    )


# One clear error.


@contextlib.contextmanager
def ordinary_user() -> Iterator[None]:
    """Take from this thread, if it is root's, the right to ignore permissions."""
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("root, and no capabilities to give up")
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    before = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, before) == 0
    without = (ctypes.c_uint32 * 6)(*before)
    without[0] &= ~0b110  # effective: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    assert libc.capset(header, without) == 0
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0


def everything(directory: Path) -> list[str]:
    """Return every path below `directory`."""
    return sorted(str(path) for path in directory.rglob("*"))


def refused(log_dir: Any, *parts: str, below: Path, **options: Any) -> None:
    """Assert that `log_dir` is refused, unique or not, with `parts`, and leaves nothing behind."""
    before = everything(below)
    for unique in (True, False):
        with pytest.raises(RunDirectoryError) as caught:
            SafeSummaryWriter(log_dir, unique=unique, **options)
        for part in parts:
            assert part in str(caught.value)
        assert everything(below) == before


@pytest.mark.parametrize("mode", [0o555, 0o000, 0o444])
def test_an_unwritable_parent(tmp_path, mode):
    """A parent that may not be written is refused with the path and what to do."""
    parent = tmp_path / "parent"
    parent.mkdir()
    parent.chmod(mode)
    try:
        with ordinary_user():
            refused(
                parent / "new" / "logs",
                f"'{parent}/new/logs",
                "Permission denied",
                "a log_dir that you may write to",
                below=tmp_path,
            )
    finally:
        parent.chmod(0o755)


@pytest.mark.parametrize("mode", [0o555, 0o333, 0o000])
def test_an_unwritable_directory(tmp_path, mode):
    """A log_dir that exists and may not be written, or not be entered, is refused in the same way;
    one that may only not be listed works where nothing has to be listed.
    """
    directory = tmp_path / "logs"
    directory.mkdir()
    directory.chmod(mode)
    try:
        with ordinary_user():
            if mode == 0o333:
                log_to(directory)
            else:
                refused(directory, f"'{directory}", "Permission denied", below=tmp_path)
    finally:
        directory.chmod(0o755)


def test_a_read_only_file_system_is_refused():
    """A directory of the kernel's own, where nobody can make anything, is refused."""
    refused("/proc/logs", "'/proc/logs", "choose another log_dir", below=Path("/proc/self/task"))


@pytest.mark.parametrize("below", ["", "/logs", "/a/b"])
def test_a_file_in_the_way(tmp_path, below):
    """A file where a directory has to be is refused, named, and stays as it is."""
    (tmp_path / "file").write_text("mine")
    refused(
        f"{tmp_path}/file{below}", f"'{tmp_path}/file{below}", "file is in the way", below=tmp_path
    )
    assert (tmp_path / "file").read_text() == "mine"


def test_a_file_with_a_unique_name_in_the_way(tmp_path):
    """A file whose name looks like a run is no run."""
    (tmp_path / "2024-05-06_07-08-09").touch()
    refused(tmp_path / "2024-05-06_07-08-09", "a file is in the way", below=tmp_path)


def test_a_dangling_link_in_the_way(tmp_path):
    """A symbolic link to nowhere is refused and stays as it is."""
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    refused(tmp_path / "link", f"'{tmp_path}/link", "log_dir", below=tmp_path)
    refused(tmp_path / "link" / "logs", f"'{tmp_path}/link/logs", "log_dir", below=tmp_path)


@pytest.mark.parametrize("log_dir", ["a\0b", "a/\0", "\0"])
def test_a_nul_byte(tmp_path, log_dir):
    """A NUL byte is refused before anything is made, relative or absolute."""
    refused(
        f"{tmp_path}/x/{log_dir}", "NUL byte", "\\x00", str(tmp_path), "remove it", below=tmp_path
    )
    refused(log_dir, "NUL byte", "\\x00", root=tmp_path, below=tmp_path)


def test_a_nul_byte_in_the_comment(tmp_path):
    """The comment is a part of the path."""
    with pytest.raises(RunDirectoryError, match="NUL byte"):
        SafeSummaryWriter(tmp_path / "logs", comment="a\0b")
    assert everything(tmp_path) == []


@pytest.mark.parametrize("name", ["tfevents", "my.tfevents.dir", "a/tfevents-1/b"])
def test_a_name_that_is_taken_for_an_event_file(tmp_path, name):
    """A component with tfevents in it is refused, with the reason and the cure."""
    refused(tmp_path / name, "'tfevents' in the name", "every run", "rename it", below=tmp_path)


def test_a_comment_or_series_that_is_taken_for_an_event_file(tmp_path):
    """What becomes a directory's name later is checked in the same way."""
    with pytest.raises(RunDirectoryError, match="'tfevents' in the name"):
        SafeSummaryWriter(tmp_path / "logs", comment="tfevents")
    assert everything(tmp_path) == []
    with SafeSummaryWriter(tmp_path / "logs") as writer:
        writer.add_scalar("loss", 1.0, 1)
        before = everything(tmp_path)
        with pytest.raises(RunDirectoryError, match="'tfevents' in the name 'main_tfevents'"):
            writer.add_scalars("main", {"tfevents": 1.0}, 1)
        assert everything(tmp_path) == before


@pytest.mark.parametrize("below", ["", "/a/b"])
def test_a_name_that_is_too_long(tmp_path, below):
    """A name longer than the file system takes is refused, and its new parents are taken away."""
    name = f"{tmp_path}/new{below}/{'x' * 300}"
    refused(name, "'" + name[:-100], "too long", "shorten it", below=tmp_path)


def test_a_path_that_is_too_long(tmp_path):
    """So is a path whose names are short and many."""
    refused(
        f"{tmp_path}/new/" + "/".join(["x" * 100] * 60), "too long", "shorten it", below=tmp_path
    )


def test_a_comment_that_is_too_long(tmp_path):
    """A comment that makes the name too long is refused, and log_dir is not made for it."""
    with pytest.raises(RunDirectoryError, match=r"too long; .*shorten it"):
        SafeSummaryWriter(tmp_path / "new" / "logs", comment="x" * 300)
    assert everything(tmp_path) == []


def test_a_name_that_is_no_text(tmp_path):
    """A name that is not valid UTF-8 is refused: TensorBoard stops reading there."""
    refused(tmp_path / os.fsdecode(b"logs-\xff"), "not valid UTF-8", "rename it", below=tmp_path)
    refused(os.fsencode(tmp_path) + b"/logs-\xff", "not valid UTF-8", below=tmp_path)


def test_a_current_directory_that_is_gone(tmp_path, monkeypatch):
    """With no current directory, a relative log_dir is refused and an absolute one works."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    refused("logs", "relative log_dir 'logs'", "absolute", below=tmp_path)
    refused("logs", "relative log_dir 'logs'", "absolute", below=tmp_path, root="relative")
    refused("logs", "relative log_dir 'logs'", "absolute", below=tmp_path, root="project")
    assert log_to(tmp_path / "logs").parent == tmp_path / "logs"


@pytest.mark.parametrize(
    "log_dir", [object(), ["logs"], {"logs": 1}], ids=["object", "list", "dict"]
)
def test_what_is_no_path(cwd, log_dir):
    """What cannot be meant as a path raises a TypeError that names it, and makes nothing."""
    with pytest.raises(ArgumentTypeError, match=r"log_dir is .*, but must be a path") as caught:
        SafeSummaryWriter(log_dir)
    assert caught.value.argument == "log_dir"
    assert everything(cwd) == []


class Named:
    """Something that says as text what it is."""

    def __str__(self) -> str:
        return "by name"


@pytest.mark.parametrize(
    ("log_dir", "name"), [(5, "5"), (1.5, "1.5"), (np.int64(7), "7"), (Named(), "by name")]
)
def test_what_torch_turns_into_text(cwd, log_dir, name):
    """A number, or what has a text of its own, is called by it, as in torch."""
    assert log_to(log_dir).parent == cwd / name


def test_an_error_leaves_no_writer_behind(tmp_path):
    """After a refusal the same log_dir works as soon as the cause is gone."""
    (tmp_path / "logs").touch()
    with pytest.raises(RunDirectoryError):
        SafeSummaryWriter(tmp_path / "logs")
    (tmp_path / "logs").unlink()
    assert log_to(tmp_path / "logs").parent == tmp_path / "logs"


# Ranks.

RANK_VARIABLES = [
    ("RANK", "WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
]


@pytest.fixture
def no_ranks(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that says nothing about ranks."""
    for names in RANK_VARIABLES:
        for name in names:
            monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(("rank", "size"), RANK_VARIABLES)
def test_each_rank_has_a_run_and_is_told(tmp_path, no_ranks, rank, size):
    """Rank N of a job logs to <time>_rankN, with a warning on every rank but the first."""
    no_ranks.setenv(size, "4")
    no_ranks.setenv(rank, "0")
    assert log_to(tmp_path, comment="x").name.endswith("_x_rank0")
    no_ranks.setenv(rank, "3")
    with pytest.warns(RankWarning) as caught:
        run = log_to(tmp_path / "other", comment="x")
    assert run.name.endswith("_x_rank3")
    (message,) = (str(warning.message) for warning in caught)
    assert "rank 3 of 4" in message
    assert "ranks='zero'" in message


@pytest.mark.parametrize(
    ("rank", "size"), [(None, None), ("0", "1"), ("", "4"), ("one", "4"), ("2", None), (None, "4")]
)
def test_a_process_that_runs_alone_has_no_rank(tmp_path, no_ranks, rank, size):
    """No job, a job of one, or variables that say nothing: an ordinary run."""
    for name, value in (("RANK", rank), ("WORLD_SIZE", size)):
        if value is not None:
            no_ranks.setenv(name, value)
    assert process_rank() == (0, 1)
    assert re.fullmatch(NAME + r"(-\d+)?", log_to(tmp_path).name)


def test_with_zero_other_ranks_write_nothing_at_all(tmp_path, no_ranks):
    """ranks="zero": rank 0 logs as ever, and the others make no file and no directory."""
    no_ranks.setenv("WORLD_SIZE", "2")
    no_ranks.setenv("RANK", "0")
    assert log_to(tmp_path / "first", ranks="zero").name.endswith("_rank0")

    no_ranks.setenv("RANK", "1")
    before = everything(tmp_path)
    for unique in (True, False):
        writer = SafeSummaryWriter(tmp_path / "second", ranks="zero", unique=unique)
        for step in range(3):
            writer.add_scalar("loss", 1.0, step)
            writer.add_scalars("group", {"a": 1.0, "b": 2.0}, step)
        writer.add_hparams({"lr": 0.1}, {"metric": 1.0})
        writer.add_text("text", "x")
        writer.add_image("image", torch.zeros(3, 4, 4))
        writer.add_graph(torch.nn.Linear(2, 2), torch.zeros(1, 2))
        writer.add_embedding(torch.eye(3), metadata=["a", "b", "c"], global_step=1)
        writer.flush()
        writer.close()
        writer.add_scalar("loss", 1.0, 3)
        writer.close()
        assert os.path.isabs(writer.log_dir)
        assert everything(tmp_path) == before


def test_with_zero_a_silent_rank_needs_no_place(tmp_path, no_ranks):
    """A rank that writes nothing is not stopped by a directory that it could not write."""
    no_ranks.setenv("WORLD_SIZE", "2")
    no_ranks.setenv("RANK", "1")
    (tmp_path / "file").touch()
    with SafeSummaryWriter(tmp_path / "file" / "logs", ranks="zero") as writer:
        writer.add_scalar("loss", 1.0, 1)


def test_an_unknown_value_of_ranks_is_refused(tmp_path):
    """Anything but "all" and "zero" raises before a directory is made."""
    with pytest.raises(ValueError, match="ranks is 'none', but must be 'all' or 'zero'"):
        SafeSummaryWriter(tmp_path / "logs", ranks="none")  # type: ignore[arg-type]
    assert everything(tmp_path) == []


def test_side_files_make_a_run_too(tmp_path):
    """An embedding, or hyperparameters, are no events of the run itself, and it is not empty."""
    with SafeSummaryWriter(tmp_path / "embedding") as writer:
        writer.add_embedding(torch.eye(3), global_step=1)
    with SafeSummaryWriter(tmp_path / "hparams") as writer:
        writer.add_hparams({"lr": 0.1}, {"metric": 1.0})
    with SafeSummaryWriter(tmp_path / "series") as writer:
        writer.add_scalars("group", {"a": 1.0}, 1)


def test_an_empty_run_is_told(tmp_path):
    """A writer that is closed without an event warns with its directory."""
    with pytest.warns(EmptyRunWarning, match="without a single event") as caught:
        SafeSummaryWriter(tmp_path / "logs").close()
    assert f"{tmp_path}/logs/" in str(caught[0].message)
