"""A run's status follows it through crashes, sessions and writers; how one ends is test_exits.py's.

Read from the record and the lock that `safewriter.events.run_status` looks at, of real processes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from safewriter import SafeSummaryWriter
from safewriter.events import RunStatus, run_record, run_status
from tests.support import run_python, spawn_python
from tests.support.sessions import Sessions


@pytest.fixture(scope="module")
def sessions() -> Iterator[Sessions]:
    """Processes that are killed."""
    with Sessions() as sessions:
        yield sessions


def test_a_crashed_run_that_goes_on_is_running_again(tmp_path: Path, sessions: Sessions) -> None:
    """Crashed, running while a session resumes it, and finished in the end; the record follows."""
    sessions.run("writer = SafeSummaryWriter(run, unique=False)", run=tmp_path)
    assert run_status(tmp_path) is RunStatus.CRASHED
    crashed = run_record(tmp_path)
    writer = SafeSummaryWriter(tmp_path, resume=True)
    assert run_status(tmp_path) is RunStatus.RUNNING
    running = run_record(tmp_path)
    assert crashed is not None
    assert running is not None
    assert crashed["pid"] != running["pid"] == os.getpid()
    assert crashed["start"] < running["start"]
    assert crashed["end"] is running["end"] is None
    writer.add_scalar("loss", 0.0, 0)
    writer.close()
    assert run_status(tmp_path) is RunStatus.FINISHED


def test_a_failed_run_that_goes_on_can_finish(tmp_path: Path) -> None:
    """An exception in a with block is a failure also if the program catches it and goes on."""
    with pytest.raises(ZeroDivisionError), SafeSummaryWriter(tmp_path, unique=False) as writer:
        writer.add_scalar("loss", 0.0, 0)
        raise ZeroDivisionError
    assert run_status(tmp_path) is RunStatus.FAILED
    code = """
    import sys
    from safewriter import SafeSummaryWriter
    with SafeSummaryWriter(sys.argv[1], resume=True) as writer:
        writer.add_scalar("loss", 1.0, 1)
    """
    run_python(code, args=[tmp_path], check=True)
    assert run_status(tmp_path) is RunStatus.FINISHED


def test_a_closed_run_that_is_used_again_is_running(tmp_path: Path) -> None:
    """An add_* after close() makes a finished run a running one, until it is closed again."""
    writer = SafeSummaryWriter(tmp_path, unique=False)
    writer.add_scalar("loss", 0.0, 0)
    writer.close()
    assert run_status(tmp_path) is RunStatus.FINISHED
    writer.add_scalar("loss", 1.0, 1)
    assert run_status(tmp_path) is RunStatus.RUNNING
    writer.close()
    assert run_status(tmp_path) is RunStatus.FINISHED


def test_a_run_is_running_until_its_last_writer_is_closed(tmp_path: Path) -> None:
    """Of two writers on one run the first to be closed does not end it."""
    first = SafeSummaryWriter(tmp_path, unique=False)
    second = SafeSummaryWriter(tmp_path, unique=False)
    first.add_scalar("loss", 0.0, 0)
    first.close()
    assert run_status(tmp_path) is RunStatus.RUNNING
    second.close()
    assert run_status(tmp_path) is RunStatus.FINISHED


def test_each_of_several_runs_has_its_own_status(tmp_path: Path) -> None:
    """Runs of one process end differently, and a killed one takes only the open ones along."""
    code = """
    import os, signal, sys
    from safewriter import SafeSummaryWriter
    for name in ("finished", "failed", "crashed"):
        writer = SafeSummaryWriter(os.path.join(sys.argv[1], name), unique=False)
        writer.add_scalar("loss", 0.0, 0)
        writer.add_scalars("losses", {"a": 0.0}, 0)
        if name == "finished":
            writer.close()
        elif name == "failed":
            try:
                with writer:
                    raise ZeroDivisionError
            except ZeroDivisionError:
                pass
    print("here", flush=True)
    sys.stdin.readline()
    """
    with spawn_python(code, args=[tmp_path]) as process:
        process.wait_for_line("here")
        assert run_status(tmp_path / "crashed") is RunStatus.RUNNING
    for status in (RunStatus.FINISHED, RunStatus.FAILED, RunStatus.CRASHED):
        assert run_status(tmp_path / status.value) is status
        # A series belongs to its run, and has no record of its own.
        assert run_status(tmp_path / status.value / "losses_a") is RunStatus.UNKNOWN


def test_hyperparameters_are_a_finished_run_below_a_running_one(tmp_path: Path) -> None:
    """The run that add_hparams makes is over when it returns."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        writer.add_hparams({"lr": 0.1}, {"loss": 1.0}, run_name="trial")
        assert run_status(tmp_path / "trial") is RunStatus.FINISHED
        assert run_status(tmp_path) is RunStatus.RUNNING


def test_the_record_of_a_run_is_never_half_written(tmp_path: Path) -> None:
    """Whoever reads the record while it is replaced, again and again, finds all of it."""
    code = """
    import sys
    from safewriter import SafeSummaryWriter
    writer = SafeSummaryWriter(sys.argv[1], unique=False)
    print("here", flush=True)
    for step in range(300):
        writer.add_scalar("loss", 0.0, step)
        writer.close()
    """
    with spawn_python(code, args=[tmp_path]) as process:
        process.wait_for_line("here")
        while process.returncode is None:
            record = json.loads((tmp_path / ".safewriter" / "run.json").read_bytes())
            (session,) = record["sessions"]
            assert session["pid"] == process.pid
            assert session["status"] in ("running", "finished")
        assert process.returncode == 0, process.output
