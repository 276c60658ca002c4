"""The end of an interpreter that forgives nothing: ``python -X dev -W error``."""

from __future__ import annotations

import textwrap

from safewriter.events import RunStatus, run_status
from tests.support import read_runs, run_python, wait_until
from tests.test_ipython import Kernel

EVERYTHING = """
    import atexit, gc, os, sys, threading

    def late():
        writer.add_scalar("late", 0.5, 1)

    atexit.register(late)  # Registered before ours, so it runs after it.

    from safewriter import SafeSummaryWriter

    def early():
        writer.add_scalar("early", 0.5, 1)

    writer = SafeSummaryWriter("run", unique=False)
    atexit.register(early)

    class Cycle:
        def __init__(self, name):
            self.writer = SafeSummaryWriter(name, unique=False)
            self.itself = self
            for step in range(100):
                self.writer.add_scalar("loss", step / 2, step)

    kept = [Cycle("kept")]
    dropped = Cycle("dropped")
    del dropped

    def forever():
        step = 0
        while True:
            writer.add_scalar("daemon", step / 2, step)
            step += 1

    def while_it_lasts():
        threading.main_thread().join()
        for step in range(100):
            writer.add_scalar("worker", step / 2, step)

    threading.Thread(target=forever, daemon=True).start()
    threading.Thread(target=while_it_lasts).start()
    try:
        for step in range(100):
            writer.add_scalar("loss", step / 2, step)
        1 / 0
    except ZeroDivisionError:
        sys.exit(3)
"""


def points(count: int) -> list[tuple[int, float]]:
    """Return the curve that the scripts log."""
    return [(step, step / 2) for step in range(count)]


def test_the_end_under_dev_mode_with_warnings_as_errors(tmp_path):
    """Globals, cycles, threads, exit handlers, an exit from an except block: no word, no loss."""
    done = run_python(
        EVERYTHING, cwd=tmp_path, python_args=["-X", "dev", "-W", "error"], deadline=120
    )
    assert done.returncode == 3
    assert done.stderr == ""
    run = read_runs(tmp_path / "run")["."]
    assert run["loss"] == run["worker"] == points(100)
    assert run["early"] == run["late"] == [(1, 0.5)]
    assert run["daemon"] == points(len(run["daemon"]))
    for name in ("kept", "dropped"):
        assert read_runs(tmp_path / name)["."]["loss"] == points(100)
        assert run_status(tmp_path / name) is RunStatus.FINISHED


def test_an_escalated_warning_at_exit_stops_no_other_run_from_closing(tmp_path):
    """Where warnings are errors, an empty run is an error at exit; the other runs end well."""
    done = run_python(
        """
        import warnings
        from safewriter import SafeSummaryWriter
        first, empty, last = (SafeSummaryWriter(name, unique=False) for name in "ael")
        first.add_scalar("loss", 0.0, 0)
        last.add_scalar("loss", 0.0, 0)
        warnings.simplefilter("error")
        """,
        cwd=tmp_path,
        deadline=120,
    )
    assert "EmptyRunWarning" in done.stderr
    for name in "ael":
        assert run_status(tmp_path / name) is RunStatus.FINISHED, name


TRAIN = """
    from safewriter import SafeSummaryWriter
    writer = SafeSummaryWriter("RUN", unique=False)
    def train():
        step = 0
        while True:
            writer.add_scalar("loss", step / 2, step)
            step += 1
            if step % 1000 == 0: open("alive", "w").close()
"""


def test_a_kernel_that_is_stopped_while_it_logs(tmp_path):
    """Interrupted, then restarted: no point before the last one is missing, nothing is torn."""
    kernel = Kernel(tmp_path)
    alive = tmp_path / "alive"
    try:
        for name in ("interrupted", "restarted"):
            assert kernel.run(textwrap.dedent(TRAIN).replace("RUN", name)) == ""
            kernel._client.execute("train()", stop_on_error=False)
            wait_until(alive.exists, deadline=60)
            if name == "interrupted":
                kernel._manager.interrupt_kernel()
                kernel.run('writer.add_scalar("after", 1.0, 1)')
            else:
                kernel._manager.restart_kernel(now=True)
            alive.unlink(missing_ok=True)
            (run,) = read_runs(tmp_path / name).values()
            assert len(run["loss"]) >= 1000
            assert run["loss"] == points(len(run["loss"]))
            assert ("after" in run) == (name == "interrupted")
    finally:
        kernel.shutdown()
