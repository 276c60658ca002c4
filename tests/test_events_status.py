"""How a run stands, told from the record and the lock of real processes."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from safewriter.events import RunStatus, run_record, run_status
from tests.support import run_python, spawn_python

HOLD_THE_LOCK = """
    import sys
    from filelock import FileLock

    lock = FileLock(sys.argv[1], thread_local=False)
    lock.acquire(blocking=False)
    print("held")
    sys.stdin.readline()
    lock.release()
    print("released")
    sys.stdin.readline()
"""

WRITE_A_RUN = """
    import sys
    from safewriter import SafeSummaryWriter

    writer = SafeSummaryWriter(sys.argv[1], unique=False)
    writer.add_scalar("train/loss", 0.5, 0)
    print("writing")
    sys.stdin.readline()
    if sys.argv[2] == "fail":
        raise RuntimeError("out of memory")
    writer.close()
    print("closed")
"""


def _write_record(run: Path, **fields: object) -> None:
    (run / ".safewriter").mkdir(exist_ok=True)
    record = {"pid": os.getpid(), "host": "h", "start": 1.0, "end": None, "status": "running"}
    (run / ".safewriter" / "run.json").write_text(json.dumps(record | fields))


def _snapshot(run: Path) -> list[tuple[str, int, int]]:
    return sorted(
        (str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in run.rglob("*")
    )


def test_running_until_released(tmp_path):
    """A run is running while a process holds its lock, and crashed if it says so after that."""
    _write_record(tmp_path)
    with spawn_python(HOLD_THE_LOCK, args=[tmp_path / ".safewriter" / "lock"]) as holder:
        holder.wait_for_line("held")
        assert run_status(tmp_path) is RunStatus.RUNNING
        holder.send_line()
        holder.wait_for_line("released")
        assert run_status(tmp_path) is RunStatus.CRASHED


def test_killed(tmp_path):
    """A run whose process was killed is crashed, though its lock file is still there."""
    _write_record(tmp_path)
    with spawn_python(HOLD_THE_LOCK, args=[tmp_path / ".safewriter" / "lock"]) as holder:
        holder.wait_for_line("held")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert (tmp_path / ".safewriter" / "lock").exists()
    assert run_status(tmp_path) is RunStatus.CRASHED


def test_a_stopped_process_is_running(tmp_path):
    """A process that is stopped for a while still holds its run."""
    _write_record(tmp_path)
    with spawn_python(HOLD_THE_LOCK, args=[tmp_path / ".safewriter" / "lock"]) as holder:
        holder.wait_for_line("held")
        holder.send_signal(signal.SIGSTOP)
        assert run_status(tmp_path) is RunStatus.RUNNING
        holder.send_signal(signal.SIGCONT)


def test_looking_leaves_everything_as_it_is(tmp_path):
    """Looking creates and changes nothing, and the holder keeps its lock."""
    _write_record(tmp_path)
    lock = tmp_path / ".safewriter" / "lock"
    before = _snapshot(tmp_path)
    assert run_status(tmp_path) is RunStatus.CRASHED  # No lock file, so nobody holds it.
    assert _snapshot(tmp_path) == before
    with spawn_python(HOLD_THE_LOCK, args=[lock]) as holder:
        holder.wait_for_line("held")
        before = _snapshot(tmp_path)
        for _ in range(100):
            assert run_status(tmp_path) is RunStatus.RUNNING
        assert _snapshot(tmp_path) == before
        with pytest.raises(Timeout):
            FileLock(lock).acquire(blocking=False)
    for _ in range(100):
        assert run_status(tmp_path) is RunStatus.CRASHED
    with FileLock(lock).acquire(blocking=False):  # The looks left no lock of their own.
        assert run_status(tmp_path) is RunStatus.RUNNING


def test_two_who_look_at_once(tmp_path):
    """Processes that look at a crashed run at the same time all see that it crashed."""
    _write_record(tmp_path)
    (tmp_path / ".safewriter" / "lock").touch()
    look = f"""
        from safewriter.events import run_status
        print("ready")
        input()
        print({{run_status({str(tmp_path)!r}).name for _ in range(2000)}})
    """
    with spawn_python(look) as one, spawn_python(look) as two:
        for process in (one, two):
            process.wait_for_line("ready")
        for process in (one, two):
            process.send_line()
        for process in (one, two):
            assert process.wait_for_line("{") == "{'CRASHED'}"


@pytest.mark.parametrize(
    ("status", "expected"), [("finished", RunStatus.FINISHED), ("failed", RunStatus.FAILED)]
)
def test_ended(tmp_path, status, expected):
    """A run that wrote down its end is what it says."""
    _write_record(tmp_path, status=status, end=2.0)
    assert run_status(tmp_path) is expected


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"status": 3}',
        b'{"status": null}',
        b"{}",
        b"[" * 10**6,
    ],
    ids=range(9),
)
def test_unknown(tmp_path, content):
    """A run with an unreadable record, or one that gives no status, is unknown."""
    (tmp_path / ".safewriter").mkdir()
    (tmp_path / ".safewriter" / "run.json").write_bytes(content)
    assert run_status(tmp_path) is RunStatus.UNKNOWN


def test_no_record(tmp_path):
    """A directory without a record, or none at all, is unknown and has no record."""
    assert run_status(tmp_path) is RunStatus.UNKNOWN
    assert run_record(tmp_path) is None
    assert run_status(tmp_path / "missing") is RunStatus.UNKNOWN
    (tmp_path / "file").touch()
    assert run_status(tmp_path / "file") is RunStatus.UNKNOWN


def test_record(tmp_path):
    """The record is returned as it was written."""
    _write_record(tmp_path, argv=["train.py", "--lr", "0.1"])
    record = run_record(tmp_path)
    assert record is not None
    assert (record["pid"], record["argv"]) == (os.getpid(), ["train.py", "--lr", "0.1"])


def test_a_lock_that_cannot_be_opened(tmp_path):
    """A lock that is no file to open leaves the run unknown, without waiting."""
    _write_record(tmp_path)
    (tmp_path / ".safewriter" / "lock").symlink_to("lock")
    assert run_status(tmp_path) is RunStatus.UNKNOWN


@pytest.mark.parametrize(
    ("end", "expected"), [("close", RunStatus.FINISHED), ("fail", RunStatus.FAILED)]
)
def test_a_real_run(tmp_path, end, expected):
    """A writer's run is running while it is open, and finished or failed afterwards."""
    with spawn_python(WRITE_A_RUN, args=[tmp_path, end]) as process:
        process.wait_for_line("writing")
        assert run_status(tmp_path) is RunStatus.RUNNING
        record = run_record(tmp_path)
        assert record is not None
        assert record["pid"] == process.pid
        assert record["end"] is None
        process.send_line()
        process.wait()
    assert run_status(tmp_path) is expected
    record = run_record(tmp_path)
    assert record is not None
    assert 0 < record["start"] <= record["end"] <= time.time()


def test_a_real_run_killed(tmp_path):
    """A writer's run is crashed once the process was killed, and what it logged can be read."""
    from safewriter.events import read_scalars

    with spawn_python(WRITE_A_RUN, args=[tmp_path, "close"]) as process:
        process.wait_for_line("writing")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert run_status(tmp_path) is RunStatus.CRASHED
    assert read_scalars(tmp_path)["train/loss"].values.tolist() == [0.5]


def test_a_child_that_outlives_its_parent_holds_no_lock(tmp_path):
    """A subprocess that is left behind by a killed run does not keep the run alive."""
    _write_record(tmp_path)
    script = """
        import subprocess, sys
        from filelock import FileLock
        lock = FileLock(sys.argv[1], thread_local=False)
        lock.acquire(blocking=False)
        quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        child = subprocess.Popen(["sleep", "60"], **quiet)
        print("child", child.pid)
        sys.stdin.readline()
    """
    with spawn_python(script, args=[tmp_path / ".safewriter" / "lock"]) as process:
        child = int(process.wait_for_line("child").split()[1])
        process.send_signal(signal.SIGKILL)
        process.wait()
        try:
            os.kill(child, 0)
            assert run_status(tmp_path) is RunStatus.CRASHED
        finally:
            os.kill(child, signal.SIGKILL)


def test_import_without_torch():
    """Importing the module imports neither torch nor tensorboard's writer."""
    done = run_python(
        """
        import sys, safewriter.events
        print([name for name in sys.modules if name in ("torch", "rich", "tensorboard.summary")])
        """,
        check=True,
    )
    assert done.stdout.strip() == "[]"
