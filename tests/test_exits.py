"""However a process ends without ``close()``, every event is on disk and the record says how."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from safewriter.events import RunStatus, run_record, run_status
from tests.support import event_files, read_runs, run_python

pytest_plugins = ["tests.programs.fixtures"]

STEPS = list(range(1000))

#: What stands before each ending: 1,000 points of a writer that nobody closes.
LOG = """
    import os, signal, sys, threading
    from safewriter import SafeSummaryWriter
    writer = SafeSummaryWriter("logs")
    def log():
        for step in range(1000):
            writer.add_scalar("loss", step / 2, step)
"""


def the_run(logdir: Path) -> Path:
    """Return the only run directory below `logdir`; it has one event file."""
    (file,) = event_files(logdir)
    return file.parent


def record_of(run: Path) -> dict[str, Any]:
    """Return the record that the run's writer keeps."""
    return run_record(run) or {}


def assert_whole(run: Path, count: int = 1000) -> None:
    """Assert that the run's curve has every point, once and in order."""
    assert read_runs(run) == {".": {"loss": [(step, step / 2) for step in range(count)]}}


ENDINGS = {
    # name: (how it ends after the last call, exit code, status in the record)
    "end of the script": ("", 0, "finished"),
    "exception": ("raise RuntimeError('boom')", 1, "failed"),
    "sys.exit()": ("sys.exit()", 0, "finished"),
    "sys.exit in a with block": ("with writer: sys.exit(3)", 3, "failed"),
    "exception in a with block": ("with writer: raise RuntimeError('boom')", 1, "failed"),
    "exception of a thread": (
        "thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join()",
        0,
        "finished",
    ),
    "caught exception": ("try: 1 / 0\n    except ZeroDivisionError: pass", 0, "finished"),
    "SIGINT": ("os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT, "failed"),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, "running"),
    "SIGTERM with a handler": (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "    os.kill(os.getpid(), signal.SIGTERM)",
        0,
        "finished",
    ),
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, "running"),
    "os.abort": ("os.abort()", -signal.SIGABRT, "running"),
    "os._exit": ("os._exit(7)", 7, "running"),
    "exec": ("os.execv(sys.executable, [sys.executable, '-S', '-c', ''])", 0, "running"),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_nothing_is_lost_without_close(warm, tmp_path, name):
    """All 1,000 points are on disk, and the record tells how the run ended."""
    ending, code, status = ENDINGS[name]
    done = warm.run(f"{LOG}\n    log()\n    {ending}\n", cwd=tmp_path, check=False)
    assert done.returncode == code, done.stderr
    run = the_run(tmp_path / "logs")
    assert_whole(run)
    record = record_of(run)
    assert record["status"] == status
    assert (record["end"] is None) == (status == "running")
    expected = RunStatus.CRASHED if status == "running" else RunStatus(status)
    assert run_status(run) is expected


def test_a_daemon_thread_that_logs_while_the_interpreter_exits(warm, tmp_path):
    """The process ends at once and without a word, and no point before the end is missing."""
    code = f"""{LOG}
    enough = threading.Event()
    def log_for_ever():
        log()
        enough.set()
        step = 1000
        while True:
            writer.add_scalar("loss", step / 2, step)
            step += 1
    threading.Thread(target=log_for_ever, daemon=True).start()
    enough.wait(50)
    """
    done = warm.run(code, cwd=tmp_path)
    assert done.stderr == ""
    run = the_run(tmp_path / "logs")
    points = read_runs(run)["."]["loss"]
    assert len(points) >= 1000
    assert_whole(run, len(points))
    assert record_of(run)["status"] == "finished"


def test_a_daemon_thread_that_makes_writers_while_the_interpreter_exits(warm, tmp_path):
    """Function-local writers of the thread leave one whole, finished run at any moment."""
    code = """
    import threading
    from safewriter import SafeSummaryWriter
    enough = threading.Event()
    def log_for_ever():
        step = 0
        while True:
            SafeSummaryWriter("logs").add_scalar("loss", step / 2, step)
            step += 1
            if step == 100:
                enough.set()
    threading.Thread(target=log_for_ever, daemon=True).start()
    enough.wait(50)
    """
    for number in range(3):
        place = tmp_path / str(number)
        place.mkdir()
        done = warm.run(code, cwd=place)
        assert done.stderr == ""
        run = the_run(place / "logs")
        points = read_runs(run)["."]["loss"]
        assert len(points) >= 100
        assert_whole(run, len(points))
        assert run_status(run) is RunStatus.FINISHED


def test_exit_handlers_and_destructors_that_log_lose_nothing(tmp_path):
    """A point logged by an exit handler, before or after ours, or by a destructor arrives."""
    code = """
    import atexit
    atexit.register(lambda: writer.add_scalar("registered before", 1.0, 0))
    from safewriter import SafeSummaryWriter
    atexit.register(lambda: writer.add_scalar("registered after", 1.0, 0))
    writer = SafeSummaryWriter("logs")
    class Model:
        def __init__(self, writer):
            self.writer = writer
        def __del__(self):
            self.writer.add_scalar("destructor", 1.0, 0)
    model = Model(writer)
    """
    # An interpreter of its own: at its end torch is still there for the destructor.
    done = run_python(code, cwd=tmp_path, deadline=120, check=True)
    assert done.stderr == ""
    run = the_run(tmp_path / "logs")
    tags = {"registered before", "registered after", "destructor"}
    assert read_runs(run) == {".": {tag: [(0, 1.0)] for tag in tags}}
    assert record_of(run)["status"] == "finished"


def test_an_exit_handler_behind_ours_that_makes_a_writer(tmp_path):
    """A run that begins when ours has run already is finished, and has what was logged to it."""
    code = """
    import atexit
    @atexit.register
    def log_late():
        SafeSummaryWriter("late").add_scalar("loss", 1.0, 0)
        moved = SafeSummaryWriter("logs")
        moved.add_scalar("loss", 0.5, 0)
        moved.add_scalar("loss", 0.5, 1)
    from safewriter import SafeSummaryWriter
    with SafeSummaryWriter("logs") as writer:
        writer.add_scalar("loss", 1.0, 3)
        writer.add_scalar("loss", 1.0, 4)
    """
    run_python(code, cwd=tmp_path, deadline=120, check=True)
    assert {run_status(path.parent) for path in tmp_path.rglob("*tfevents*")} == {
        RunStatus.FINISHED
    }
    curves = [
        run["loss"] for logs in ("late", "logs") for run in read_runs(tmp_path / logs).values()
    ]
    assert sorted(curves) == [[(0, 0.5), (1, 0.5)], [(0, 1.0)], [(3, 1.0), (4, 1.0)]]


def test_a_collected_writer_closes_its_run_while_the_program_goes_on(warm, tmp_path):
    """A dropped writer, also one in a reference cycle, leaves a finished run with all points."""
    code = """
    import gc, glob, os
    from safewriter import SafeSummaryWriter
    from safewriter.events import run_record
    def status():
        (run,) = glob.glob("logs/*")
        print(run_record(run)["status"], flush=True)
    def log():
        writer = SafeSummaryWriter("logs")
        for step in range(1000):
            writer.add_scalar("loss", step / 2, step)
        status()
        writer.itself = writer
    log()
    gc.collect()
    status()
    os._exit(0)
    """
    done = warm.run(code, cwd=tmp_path)
    assert done.stdout.split() == ["running", "finished"]
    run = the_run(tmp_path / "logs")
    assert_whole(run)
    assert record_of(run)["status"] == "finished"


def test_a_hundred_writers_leave_no_thread_and_no_descriptor(warm, tmp_path):
    """Function-local writers of every kind, closed or not, leave the process as it was."""
    code = """
    import gc, os, threading
    from safewriter import SafeSummaryWriter

    def open_files():
        return sorted(
            (int(fd), os.readlink(f"/proc/self/fd/{fd}"))
            for fd in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{fd}")
        )

    def own_directory(number):
        SafeSummaryWriter(f"own/{number}").add_scalar("loss", number, number)

    def shared_directory(number):
        SafeSummaryWriter("shared").add_scalar("loss", number, number)

    def closed(number):
        with SafeSummaryWriter("closed") as writer:
            writer.add_scalar("loss", number, number)

    def no_directory(number):
        SafeSummaryWriter().add_scalar("loss", number, number)

    def series(number):
        writer = SafeSummaryWriter(f"series/{number}")
        writer.add_scalars("loss", {f"s{n}": n for n in range(10)}, number)

    def cycle(number):
        writer = SafeSummaryWriter("cycle")
        writer.itself = writer
        writer.add_scalar("loss", number, number)

    own_directory(-1)  # what the first writer loads is not left behind by it
    for log in (own_directory, shared_directory, closed, no_directory, series, cycle):
        gc.collect()
        files, threads = open_files(), threading.enumerate()
        for number in range(100):
            log(number)
        gc.collect()
        assert threading.enumerate() == threads, (log, threading.enumerate())
        assert open_files() == files, (log, open_files())
    """
    warm.run(code, cwd=tmp_path)
    assert len(read_runs(tmp_path / "own")) == 101
    for name in ("shared", "closed", "cycle"):
        ((_, scalars),) = read_runs(tmp_path / name).items()
        assert [step for step, _ in scalars["loss"]] == list(range(100))
    assert len(read_runs(tmp_path / "runs")) == 100
    series = {run.split("/")[2] for run in read_runs(tmp_path / "series") if run.count("/") == 2}
    assert series == {f"loss_s{number}" for number in range(10)}
    assert len(event_files(tmp_path / "series")) == 100 * 11


def test_three_hundred_series_need_few_descriptors(warm, tmp_path):
    """Under a limit of 64 open files, 300 series of add_scalars are written whole."""
    code = """
    import os, resource
    from safewriter import SafeSummaryWriter
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    writer = SafeSummaryWriter("logs")
    for step in range(3):
        writer.add_scalars("loss", {f"s{n}": n + step for n in range(300)}, step)
    writer.close()
    assert len(os.listdir("/proc/self/fd")) < 32
    """
    done = warm.run(code, cwd=tmp_path)
    assert done.stderr == ""
    series = [scalars for scalars in read_runs(tmp_path / "logs").values() if scalars]
    assert len(series) == 300
    assert all([step for step, _ in scalars["loss"]] == [0, 1, 2] for scalars in series)
