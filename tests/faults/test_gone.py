"""A file that goes away: noticed soon, told with what was lost, and the run goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from safewriter import ReusedRunWarning, SafeSummaryWriter, WriteErrorWarning
from safewriter.events import run_record
from tests.support import event_files, read_scalars, run_python, spawn_python, wait_until
from tests.support.both_readers import BothReaders

Warned = list[warnings.WarningMessage]


@pytest.fixture
def warned() -> Iterator[Warned]:
    """Record the warnings of the test instead of raising them."""
    with warnings.catch_warnings(record=True) as warned_:
        warnings.simplefilter("always")
        yield warned_


class Curve:
    """Logs points one by one."""

    def __init__(self, writer: SafeSummaryWriter) -> None:
        self.writer = writer
        self.step = 0

    def log(self, count: int = 1) -> None:
        """Log `count` further points."""
        for _ in range(count):
            self.writer.add_scalar("loss", self.step / 2, self.step)
            self.step += 1

    def log_until_warned(self, warned: Warned) -> str:
        """Log until the writer has noticed something, and return what it said."""

        def noticed() -> bool:
            self.log()
            return bool(warned)

        started = time.monotonic()
        wait_until(noticed, deadline=10)
        assert time.monotonic() - started < 5  # A second is meant; a loaded machine may need more.
        (warning,) = warned
        assert warning.category is WriteErrorWarning
        assert warning.filename == __file__
        warned.clear()
        return str(warning.message)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Where the run is."""
    return tmp_path / "logs" / "run"


@pytest.fixture
def curve(run: Path) -> Iterator[Curve]:
    """A writer in `run` that has logged ten points."""
    with SafeSummaryWriter(run, unique=False) as writer:
        curve = Curve(writer)
        curve.log(10)
        yield curve


def lost(text: str) -> int:
    """Return the number of events that a warning calls lost."""
    found = re.search(r"with it (\d+) events?\.", text)
    assert found, text
    return int(found[1])


def test_the_directory_is_deleted(run, curve, warned):
    """It is made again with a later-named file, locked and described; the loss is counted."""
    (old,) = event_files(run)
    shutil.rmtree(run)
    text = curve.log_until_warned(warned)
    assert f"{old} was deleted" in text
    (new,) = event_files(run)
    assert new.name > old.name
    first = lost(text)
    curve.log(5)
    assert read_scalars(run)["loss"] == [(step, step / 2) for step in range(first, curve.step)]
    other = """
        import sys
        from safewriter import SafeSummaryWriter
        SafeSummaryWriter(sys.argv[1], unique=False)
    """
    refused = run_python(other, args=[run], deadline=60)
    assert f"is being written by process {os.getpid()} " in refused.stderr
    record = run_record(run) or {}
    assert record["status"] == "running"


@pytest.mark.parametrize("end", ["renamed", "replaced", "parent renamed"])
def test_the_directory_is_moved(tmp_path, run, curve, warned, end):
    """What was logged is where the directory went; the rest is where the directory was."""
    if end == "parent renamed":
        run.parent.rename(tmp_path / "elsewhere")
        moved = tmp_path / "elsewhere" / run.name
    else:
        moved = run.rename(tmp_path / "logs" / "moved")
    if end == "replaced":
        shutil.copytree(moved, run)
        copied = len(read_scalars(run)["loss"])
        assert copied == 10
    text = curve.log_until_warned(warned)
    assert "moved, renamed or replaced" in text
    curve.log(5)
    before = read_scalars(moved)["loss"]
    assert len(before) == lost(text)
    after = read_scalars(run)["loss"]
    if end == "replaced":
        assert len(event_files(run)) == 2
        after = after[copied:]
    assert before + after == [(step, step / 2) for step in range(curve.step)]


def test_the_event_file_is_unlinked(run, curve, warned):
    """The next file is named later, and shown; the Python reader has to be started anew for it."""
    with BothReaders(run.parent) as tensorboard:
        for shown in tensorboard.shown().values():
            assert len(shown.scalars["run"]["loss"]) == 10
        (old,) = event_files(run)
        old.unlink()
        first = lost(curve.log_until_warned(warned))
        curve.log(5)
        (new,) = event_files(run)
        assert new.name > old.name
        newer = [(step, step / 2) for step in range(first, curve.step)]
        assert tensorboard.shown()["fast"].scalars["run"]["loss"][-len(newer) :] == newer
        tensorboard.restart()
        for shown in tensorboard.shown().values():
            assert shown.scalars["run"]["loss"] == newer
    # Only the file was gone, so the run's lock and its record of the start were left alone.
    record = run_record(run) or {}
    assert record["start"] <= new.stat().st_ctime


def test_it_is_noticed_at_close(run, curve, warned):
    """A directory that was deleted behind the last point is told, and not made again."""
    shutil.rmtree(run)
    curve.writer.close()
    (warning,) = warned
    assert lost(str(warning.message)) == 10
    assert not run.exists()


def test_series_go_on_as_well(run, warned):
    """The files of add_scalars are made again, each in its directory."""
    with SafeSummaryWriter(run, unique=False) as writer:
        step = 0

        def noticed() -> bool:
            nonlocal step
            writer.add_scalars("all", {"a": 0.5, "b": 0.25}, step)
            step += 1
            return len(warned) >= 2

        noticed()
        shutil.rmtree(run)
        wait_until(noticed, deadline=10)
    for name, value in (("a", 0.5), ("b", 0.25)):
        points = read_scalars(run / f"all_{name}")["all"]
        assert points[-1] == (step - 1, value)


def test_a_directory_that_another_process_took_over_is_left_to_it(run, curve, warned):
    """The run goes on in a directory of its own, and the writer says where."""
    shutil.rmtree(run)
    run.mkdir()
    other = """
        import sys
        from safewriter import SafeSummaryWriter
        writer = SafeSummaryWriter(sys.argv[1], unique=False)
        writer.add_scalar("loss", 7.0, 0)
        print("ready", flush=True)
        sys.stdin.read()
    """
    with spawn_python(other, args=[run]) as process:
        process.wait_for_line("ready")
        wait_until(lambda: curve.log() or len(warned) == 2, deadline=10)
        categories = {warning.category for warning in warned}
        assert categories == {WriteErrorWarning, ReusedRunWarning}
        curve.log(3)
        assert read_scalars(run)["loss"] == [(0, 7.0)]
        new = Path(curve.writer.log_dir)
        assert new != run
        assert new.parent == run.parent
        assert read_scalars(new)["loss"][-1] == (curve.step - 1, (curve.step - 1) / 2)


def test_a_descriptor_that_somebody_closed(run, curve, warned):
    """A program that closes all descriptors, as daemons do, loses nothing and is told nothing."""
    os.close(descriptor_of(run))
    curve.log(10)
    assert read_scalars(run)["loss"] == [(step, step / 2) for step in range(20)]
    assert not warned


def test_a_descriptor_that_became_another_files(tmp_path, run, curve, warned):
    """Its number is found to be another file's within a second, and that file is not closed."""
    other = tmp_path / "precious"
    with other.open("wb") as file:
        os.dup2(file.fileno(), descriptor := descriptor_of(run))

    def noticed() -> bool:
        curve.log()
        return len(event_files(run)) + len(warned) > 1

    wait_until(noticed, deadline=10)
    os.write(descriptor, b"still open")
    os.close(descriptor)
    curve.log(5)
    assert read_scalars(run)["loss"][-1][0] == curve.step - 1


def descriptor_of(run: Path) -> int:
    """Return the descriptor that is open on the only event file of `run`."""
    (path,) = event_files(run)
    for link in Path("/proc/self/fd").iterdir():
        if link.exists() and link.samefile(path):
            return int(link.name)
    raise AssertionError(f"{path} is not open")


def test_a_stale_handle(faulty, tmp_path):
    """After ESTALE, which NFS answers for a file replaced on the server, a new file is made."""
    done = faulty.run(
        """
        import errno, json, warnings
        from safewriter import SafeSummaryWriter
        from tests.support.faults import Faults
        warnings.simplefilter("always")
        with warnings.catch_warnings(record=True) as given:
            with SafeSummaryWriter("run", unique=False) as writer:
                for step in range(10):
                    writer.add_scalar("loss", step / 2, step)
                Faults().set(errno.ESTALE, count=1, accept=20)
                for step in range(10, 20):
                    writer.add_scalar("loss", step / 2, step)
        print(json.dumps([str(warning.message) for warning in given]))
        """,
        cwd=tmp_path,
    )
    (text,) = json.loads(done.stdout)
    assert lost(text) == 10
    first, second = event_files(tmp_path / "run")
    assert first.name < second.name
    assert read_scalars(first)["loss"] == [(step, step / 2) for step in range(10)]
    assert read_scalars(second)["loss"] == [(step, step / 2) for step in range(10, 20)]
