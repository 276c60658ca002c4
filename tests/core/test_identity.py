"""Who is who: a process knows its own runs, and takes nobody else's for its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from safewriter import SafeSummaryWriter, SharedTagWarning, StepOrderWarning
from safewriter.events import RunStatus, event_files, read_scalars, run_status
from tests.support.others import NotPermittedError, Other, Others

BEGIN = """
    writer = SafeSummaryWriter(run, unique=False)
    writer.add_scalar("loss", 0.5, 1)
"""


def steps(run: str | os.PathLike[str], tag: str = "loss") -> list[int]:
    """Return the steps of a tag, as they are on disk."""
    found: list[int] = read_scalars(run)[tag].steps.tolist()
    return found


def one_file(run: str | os.PathLike[str]) -> bool:
    """Tell whether a run has one event file, as it has when its writers share it."""
    return len(event_files(run)) == 1


# What belongs to another process.


@pytest.mark.parametrize("end", ["close", "exit", "garbage"])
def test_the_record_of_another_process(others, tmp_path, end):
    """A run whose directory another process has taken over ends: the other's record stays."""
    run = tmp_path / "run"
    mine, theirs = others.start(), others.start()
    mine.do(BEGIN, run=run)
    shutil.rmtree(run)
    theirs.do(BEGIN, run=run)
    record = run / ".safewriter" / "run.json"
    before = record.read_bytes()
    if end == "exit":
        mine.exit()
    else:
        mine.do("writer.close()" if end == "close" else "del writer; import gc; gc.collect()")
    assert record.read_bytes() == before
    assert run_status(run) is RunStatus.RUNNING
    theirs.do("writer.add_scalar('loss', 0.5, 2)")
    theirs.kill()
    assert run_status(run) is RunStatus.CRASHED
    assert steps(run) == [1, 2]


def start_in_containers(others: Others) -> tuple[Other, Other]:
    """Start two processes with the same pid, each in a namespace of its own."""
    try:
        containers = others.start(own_pids=True), others.start(own_pids=True)
    except NotPermittedError as error:
        pytest.skip(f"needs pid namespaces: {error}")
    assert containers[0].pid == containers[1].pid
    return containers


@pytest.mark.parametrize("end", ["", "writer.close()"])
def test_a_pickled_writer_in_a_container_with_the_same_pid(others, tmp_path, end):
    """It is another process all the same: its events go to a run of their own below the first."""
    run = tmp_path / "run"
    first, second = start_in_containers(others)
    first.do(BEGIN, run=run)
    pickled = first.do(f"result = pickle.dumps(writer); {end}")
    second.do("writer = pickle.loads(pickled); writer.add_scalar('loss', 0.5, 5)", pickled=pickled)
    log_dir = Path(second.do("result = writer.log_dir"))
    assert log_dir.parent == run
    assert steps(log_dir) == [5]
    first.do("writer.add_scalar('loss', 0.5, 2)")
    assert steps(run) == [1, 2]


FORK = """
    pid = os.fork()
    if pid == 0:
        for step in range(1, 4):
            writer.add_scalar("loss", value + step, step)
        writer.close()
        with open(report, "w") as file:
            file.write(str(writer.log_dir))
        os._exit(0)
    os.waitpid(pid, 0)
    result = pid
"""


def test_children_with_the_same_pid_one_after_the_other(others, tmp_path):
    """A forked child whose pid an earlier child had does not write to that one's run."""
    parent, _ = start_in_containers(others)
    parent.do(BEGIN, run=tmp_path / "run")
    next_pid = "Path('/proc/sys/kernel/ns_last_pid').write_text('4999')"
    runs = {}
    for value in (100, 200):
        try:
            parent.do(next_pid)
        except AssertionError as error:
            pytest.skip(f"cannot choose the next pid here: {error}")
        report = tmp_path / str(value)
        assert parent.do(FORK, value=value, report=report) == 5000
        runs[value] = report.read_text()
    assert runs[100] != runs[200]
    for value, run in runs.items():
        assert Path(run).parent == tmp_path / "run"
        assert read_scalars(run)["loss"].values.tolist() == [value + step for step in (1, 2, 3)]


def test_a_child_whose_directory_is_there_already(others, tmp_path):
    """A forked child goes round the directory fork-<pid> that a child before it has left."""
    parent = others.start()
    parent.do(BEGIN, run=tmp_path / "run")
    first = tmp_path / "first"
    parent.do(FORK, value=100, report=first)
    left = first.read_text()
    again = """
        pid = os.fork()
        if pid == 0:
            taken = Path(left).with_name(f"fork-{os.getpid()}")
            os.rename(left, taken)
            writer.add_scalar("loss", 0.25, 1)
            with open(report, "w") as file:
                file.write(f"{taken}\\n{writer.log_dir}")
            os._exit(0)
        os.waitpid(pid, 0)
    """
    parent.do(again, left=left, report=first)
    taken, second = first.read_text().splitlines()
    assert Path(second).parent == tmp_path / "run"
    assert second != taken
    assert steps(taken) == [1, 2, 3]
    assert read_scalars(second)["loss"].values.tolist() == [0.25]


# What is our own.


def test_a_third_writer_beside_two_that_live(tmp_path):
    """A writer that is behind a live one of the same run stays there, and the fall is told."""
    first, second = SafeSummaryWriter(tmp_path), SafeSummaryWriter(tmp_path)
    first.add_scalar("loss", 0.5, 1)
    first.add_scalar("loss", 0.5, 2)
    with pytest.warns(SharedTagWarning):
        second.add_scalar("loss", 0.5, 3)
    first.add_scalar("loss", 0.5, 4)
    first.add_scalar("loss", 0.5, 5)
    second.close()
    third = SafeSummaryWriter(tmp_path)
    with pytest.warns(StepOrderWarning):
        third.add_scalar("loss", 0.25, 3)
    assert first.log_dir == third.log_dir
    assert steps(first.log_dir) == [1, 2, 3, 4, 5, 3]
    first.close()
    third.close()


@pytest.fixture
def unnamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SafeSummaryWriter:
    """A writer that was made without a log_dir and has logged a point."""
    monkeypatch.chdir(tmp_path)
    writer = SafeSummaryWriter()
    writer.add_scalar("loss", 0.5, 1)
    return writer


def test_hparams_in_the_run_itself(unnamed):
    """add_hparams(run_name=".") writes to the run of the writer, which had no log_dir."""
    unnamed.add_hparams({"lr": 0.5}, {"metric": 0.25}, run_name=".")
    unnamed.add_scalar("loss", 0.5, 2)
    unnamed.close()
    assert read_scalars(unnamed.log_dir)["metric"].values.tolist() == [0.25]
    assert steps(unnamed.log_dir) == [1, 2]


@pytest.mark.filterwarnings("ignore::safewriter.SharedTagWarning")  # deserved, and not the subject
@pytest.mark.parametrize("arguments", [{}, {"unique": False}, {"purge_step": 2}, {"resume": True}])
def test_another_writer_on_the_run_of_an_unnamed_one(unnamed, arguments):
    """A writer on w.log_dir shares the run of w, though w had no log_dir."""
    other = SafeSummaryWriter(unnamed.log_dir, **arguments)
    other.add_scalar("loss", 0.5, 2)
    unnamed.add_scalar("loss", 0.5, 3)
    assert other.log_dir == unnamed.log_dir
    other.close()
    assert run_status(unnamed.log_dir) is RunStatus.RUNNING
    unnamed.close()
    assert steps(unnamed.log_dir) == [1, 2, 3]
    assert one_file(unnamed.log_dir)
    assert run_status(unnamed.log_dir) is RunStatus.FINISHED


def test_an_unnamed_writer_pickled_and_unpickled(others, tmp_path):
    """Unpickled in the same process, a writer without log_dir shares the run of the original."""
    here = others.start()
    here.do(
        """
        os.chdir(directory)
        writer = SafeSummaryWriter()
        writer.add_scalar("loss", 0.5, 1)
        other = pickle.loads(pickle.dumps(writer))
        other.add_scalar("loss", 0.5, 2)
        writer.add_scalar("loss", 0.5, 3)
        other.close()
        writer.close()
        """,
        directory=tmp_path,
    )
    runs = here.do("result = [writer.log_dir, other.log_dir]")
    assert runs[0] == runs[1]
    assert steps(runs[0]) == [1, 2, 3]
    assert one_file(runs[0])
    assert here.warned() == []


def test_two_unnamed_writers_that_are_not_unique(tmp_path, monkeypatch):
    """Made twice without a log_dir and with unique=False, writers take their own run for theirs."""
    monkeypatch.chdir(tmp_path)
    writers = [SafeSummaryWriter(unique=False) for _ in range(2)]
    for number, writer in enumerate(writers):
        writer.add_scalar(f"loss/{number}", 0.5, 1)
    for number, writer in enumerate(writers):
        assert steps(writer.log_dir, f"loss/{number}") == [1]
        writer.close()
    for log_dir in {writer.log_dir for writer in writers}:
        assert one_file(log_dir)
        assert run_status(log_dir) is RunStatus.FINISHED


def test_a_stock_writer_in_the_same_second(others, tmp_path):
    """Ours, then torch's own, in one directory, process and second: each has a file of its own."""
    process = others.start()
    process.do(
        """
        import time
        from torch.utils.tensorboard import SummaryWriter
        now = time.time()
        time.time = lambda: now
        writer = SafeSummaryWriter(run, unique=False)
        for step in range(1, 101):
            writer.add_scalar("safe", 0.5, step)
        for number in range(3):
            stock = SummaryWriter(str(run))
            for step in range(1, 101):
                stock.add_scalar(f"stock/{number}", 0.5, step)
            stock.close()
        """,
        run=tmp_path,
    )
    found = {tag: scalars.steps.tolist() for tag, scalars in read_scalars(tmp_path).items()}
    tags = ["safe", "stock/0", "stock/1", "stock/2"]
    assert found == {tag: [*range(1, 101)] for tag in tags}
