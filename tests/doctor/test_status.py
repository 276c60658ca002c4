"""How runs of safewriter ended, as the doctor and ``ls`` tell it from the record and the lock."""

from __future__ import annotations

import os
import time
from pathlib import Path

from safewriter import SafeSummaryWriter
from safewriter.doctor import check
from safewriter.events import RunStatus, read_scalars
from safewriter.runs import list_runs
from tests.doctor.situations import START
from tests.support import TensorBoardServer, event_files, run_python, spawn_python

_WRITER = """
    import sys
    from safewriter import SafeSummaryWriter
    writer = SafeSummaryWriter(sys.argv[1], unique=False)
    for step in range(10):
        writer.add_scalar("loss", 1.0 / (step + 1), step)
    print("logged")
    input()
    if sys.argv[2] == "fail":
        with writer:
            raise RuntimeError
    writer.close()
"""


def test_running_finished_failed_and_crashed(tmp_path: Path) -> None:
    """Only a crashed run is reported, with its process; all four are told apart in the list."""
    with (
        spawn_python(_WRITER, args=[tmp_path / "running", ""]) as running,
        spawn_python(_WRITER, args=[tmp_path / "finished", ""]) as finished,
        spawn_python(_WRITER, args=[tmp_path / "failed", "fail"]) as failed,
        spawn_python(_WRITER, args=[tmp_path / "crashed", ""]) as crashed,
    ):
        for process in (running, finished, failed, crashed):
            process.wait_for_line("logged")
        assert check(tmp_path) == []
        finished.send_line()
        failed.send_line()
        crashed.send_signal(9)
        for process in (finished, failed, crashed):
            process.wait()
        (finding,) = check(tmp_path)
        assert (finding.code, finding.run) == ("SW601", "crashed")
        assert finding.evidence["pid"] == crashed.pid
        status = {run.name: run.status for run in list_runs(tmp_path)}
        assert status == {
            "running": RunStatus.RUNNING,
            "finished": RunStatus.FINISHED,
            "failed": RunStatus.FAILED,
            "crashed": RunStatus.CRASHED,
        }
    with TensorBoardServer(tmp_path) as server:
        server.settle()
        assert [step for step, _ in server.scalars("crashed", "loss")] == list(range(10))


def test_events_that_wait_in_a_run_whose_process_was_killed(tmp_path: Path) -> None:
    """They are reported until the run is resumed, which writes them down."""
    code = """
    import os, signal
    from safewriter import SafeSummaryWriter
    for tag in ("loss", "new"):
        writer = SafeSummaryWriter("logs")
        for step in range(3):
            writer.add_scalar(tag, 0.5, step)
        if tag == "loss":
            writer.close()
    os.kill(os.getpid(), signal.SIGKILL)
    """
    run_python(code, cwd=tmp_path, deadline=120)
    (run,) = (tmp_path / "logs").iterdir()
    assert [finding.code for finding in check(tmp_path)] == ["SW604", "SW601"]
    SafeSummaryWriter(run, resume=True).close()
    assert check(tmp_path) == []
    assert read_scalars(run)["new"].steps.tolist() == [0, 1, 2]


def test_a_process_that_holds_a_run_and_does_not_write(tmp_path: Path) -> None:
    """A live writer whose last byte is more than an hour old may hang."""
    with spawn_python(_WRITER, args=[tmp_path / "run", ""]) as process:
        process.wait_for_line("logged")
        (path,) = event_files(tmp_path)
        os.utime(path, (START, START))
        (finding,) = check(tmp_path)
        assert finding.code == "SW602"
        assert finding.evidence["pid"] == process.pid
        assert finding.evidence["last_write"] == START
        os.utime(path, (time.time(), time.time() - 1800))
        assert check(tmp_path) == []
