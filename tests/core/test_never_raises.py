"""After construction only wrong arguments raise: a disk, a lock and other processes are told."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from safewriter import SafeSummaryWriter
from safewriter.events import RunStatus, event_files, read_scalars, run_status
from tests.support import wait_until
from tests.support.others import Other, Others

pytest_plugins = ["tests.programs.fixtures"]

BEGIN = """
    writer = SafeSummaryWriter(run, unique=False)
    writer.add_scalar("loss", 0.5, 1)
    writer.add_scalars("all", {"a": 0.5}, 1)
"""

# Each stands for a call in a training loop; `step` is a new one each time.
CALLS = {
    "add_scalar": 'writer.add_scalar("loss", 0.5, step)',
    "add_scalars": 'writer.add_scalars("all", {"a": 0.5}, step)',
    "new series": 'writer.add_scalars("all", {f"new {step}": 0.5}, step)',
    "add_hparams": 'writer.add_hparams({"lr": 0.5}, {"m": 0.5}, run_name=f"trial {step}")',
    "hparams here": 'writer.add_hparams({"lr": 0.5}, {"m": 0.5}, run_name=".", global_step=step)',
    "add_embedding": """writer.add_embedding(
        torch.ones(20, 10), metadata=list(range(20)), global_step=step, tag="embedding"
    )""",
    "add_histogram": 'writer.add_histogram("weights", torch.arange(10.0), step)',
    "add_text": 'writer.add_text("text", "text", step)',
    "flush": "writer.flush()",
    "close": "writer.close()",
    "after close": 'writer.add_scalar("loss", 0.5, step)',
}


def call_everything(process: Other, step: int) -> list[str]:
    """Make each call in a process; return the names of the warnings.

    Raises:
        AssertionError: one of them raised.
    """
    for number, (name, call) in enumerate(CALLS.items()):
        try:
            process.do(call, step=step + number)
        except AssertionError as error:
            raise AssertionError(f"{name} raised: {error}") from None
    return process.warned()


def call_until_told(process: Other, step: int) -> int:
    """Log until a refused write is told; return the next step."""

    def is_told() -> bool:
        nonlocal step
        process.do(CALLS["add_scalar"], step=step)
        step += 1
        return "WriteErrorWarning" in process.warned()

    wait_until(is_told, deadline=8)
    return step


def test_a_full_disk(others, disk):
    """Nothing that can be logged raises, embeddings with their files included; then it goes on."""
    process = others.start()
    run = disk.directory / "run"
    process.do(BEGIN, run=run)
    disk.fill()
    assert "WriteErrorWarning" in call_everything(process, 2)
    disk.free()
    call_everything(process, 100)
    assert 100 in read_scalars(run)["loss"].steps


def test_a_file_in_the_place_of_the_run(others, tmp_path):
    """At once and when it has been noticed, each call goes on, and it is told."""
    process = others.start()
    run = tmp_path / "run"
    process.do(BEGIN, run=run)
    shutil.rmtree(run)
    run.write_text("in the way")
    warned = call_everything(process, 2)
    if "WriteErrorWarning" not in warned:
        call_until_told(process, 100)
    call_everything(process, 1000)
    assert run.read_text() == "in the way"


def test_a_file_in_the_place_of_the_run_that_is_noticed(others, tmp_path):
    """Noticed by a point first, the missing directory stops no other call afterwards."""
    process = others.start()
    run = tmp_path / "run"
    process.do(BEGIN, run=run)
    shutil.rmtree(run)
    run.write_text("in the way")
    step = call_until_told(process, 2)
    call_everything(process, step)
    assert run.read_text() == "in the way"


UNPRIVILEGED = 1000


def start_unprivileged(others: Others) -> Other:
    """Start a process for which permissions count."""
    process = others.start()
    process.do("become(uid, uid)", uid=UNPRIVILEGED)
    return process


def test_a_run_that_was_taken_over_and_no_room_for_another(others, shared):
    """Closed here and written by another process, below a directory that nobody may write."""
    run = shared / "parent" / "run"
    run.mkdir(parents=True)
    os.chown(run, UNPRIVILEGED, UNPRIVILEGED)
    mine, theirs = start_unprivileged(others), start_unprivileged(others)
    mine.do(BEGIN, run=run)
    mine.do("writer.close()")
    theirs.do(
        "writer = SafeSummaryWriter(run, resume=True); writer.add_scalar('loss', 7.0, 2)", run=run
    )
    mine.warned()
    assert call_everything(mine, 3) != []
    theirs.do("writer.add_scalar('loss', 7.0, 3)")
    assert run_status(run) is RunStatus.RUNNING
    assert read_scalars(event_files(run)[-1])["loss"].values.tolist() == [7.0, 7.0]


def test_a_resumed_run_with_a_series_that_cannot_be_read(others, shared):
    """Its earlier points cannot be looked at; it is logged all the same, and told."""
    run = shared / "run"
    first = start_unprivileged(others)
    first.do(BEGIN, run=run)
    first.exit()
    (earlier,) = event_files(run / "all_a")
    os.chmod(earlier, 0o200)
    second = start_unprivileged(others)
    second.do("writer = SafeSummaryWriter(run, unique=False, resume=True)", run=run)
    second.do(CALLS["add_scalars"], step=2)
    assert second.warned() != []
    assert read_scalars(event_files(run / "all_a")[-1])["all"].steps.tolist() == [2]


def test_a_setting_that_becomes_wrong(others, tmp_path):
    """What stands in SAFEWRITER_BACKLOG_MB once the run has begun stops nothing."""
    process = others.start()
    process.do(BEGIN, run=tmp_path)
    process.do('os.environ["SAFEWRITER_BACKLOG_MB"] = "64MB"')
    call_everything(process, 2)
    assert {2, 12} <= set(read_scalars(tmp_path)["loss"].steps)


def test_a_trial_that_another_process_writes(others, tmp_path):
    """add_hparams into a run that is locked does not raise, and says what becomes of it."""
    mine, theirs = others.start(), others.start()
    mine.do(BEGIN, run=tmp_path)
    theirs.do(BEGIN, run=tmp_path / "trial")
    mine.do('writer.add_hparams({"lr": 0.5}, {"m": 0.5}, run_name="trial")')
    assert mine.warned() != []
    assert len(event_files(tmp_path / "trial")) == 1


def test_the_warning_of_close_as_an_error(others, tmp_path):
    """It is raised, and the run is closed all the same: unlocked, and no longer running."""
    process = others.start()
    process.do(BEGIN, run=tmp_path)
    raised = process.do(
        """
        warnings.simplefilter("ignore", safewriter.WriteErrorWarning)
        with file_size_limit(os.path.getsize(file)):
            writer.add_scalar("loss", 0.5, 2)
        warnings.simplefilter("error", safewriter.WriteErrorWarning)
        try:
            writer.close()
        except safewriter.WriteErrorWarning as error:
            result = str(error)
        """,
        file=event_files(tmp_path)[0],
    )
    assert raised
    assert "closed" in process.do("result = repr(writer)")
    assert run_status(tmp_path) is RunStatus.FINISHED
    assert read_scalars(tmp_path)["loss"].steps.tolist() == [1, 2]
    other = others.start()
    other.do(
        "writer = SafeSummaryWriter(run, unique=False, resume=True); writer.close()", run=tmp_path
    )
    assert "UnlockedRunWarning" not in other.warned()


@pytest.mark.parametrize("series", [{1: 0.5}, {"a": 0.5, 1: 0.5}, {None: 0.5}])
def test_a_series_whose_name_is_no_text(tmp_path, series: Any):
    """A TypeError that names it, and not a file or directory of the others either."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        writer.add_scalar("loss", 0.5, 1)
        before = sorted(tmp_path.rglob("*"))
        bad = next(name for name in series if not isinstance(name, str))
        with pytest.raises(TypeError, match=repr(bad)):
            writer.add_scalars("all", series, 1)
        assert sorted(tmp_path.rglob("*")) == before


def test_what_a_command_says_in_the_end(warm, tmp_path):
    """``safewriter run`` names the directory that is written now, if the run had to make way."""
    done = warm.run(
        """
        import os, shutil, signal, time, warnings
        from torch.utils.tensorboard import SummaryWriter

        warnings.simplefilter("ignore")
        writer = SummaryWriter("runs")
        writer.add_scalar("loss", 0.5, 1)
        first = writer.log_dir
        shutil.rmtree(first)
        reader, ready = os.pipe()
        pid = os.fork()
        if pid == 0:
            from safewriter import SafeSummaryWriter
            from safewriter._run import run
            run.report_to(os.devnull)  # It stands for a process of somebody else.
            other = SafeSummaryWriter(first, unique=False)
            other.add_scalar("loss", 0.5, 1)
            os.write(ready, b"!")
            signal.pause()
        assert os.read(reader, 1)
        step, end = 1, time.monotonic() + 8
        while writer.log_dir == first and time.monotonic() < end:
            step += 1
            writer.add_scalar("loss", 0.5, step)
            time.sleep(0.02)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        print(first)
        print(writer.log_dir)
        """,
        safe=True,
        cwd=tmp_path,
    )
    left, now = map(Path, done.stdout.splitlines()[:2])
    assert now != left
    lines = [line for line in done.stderr.splitlines() if line.startswith("safewriter: run ")]
    assert lines == [f"safewriter: run {now}"]
