"""Signal handlers that log, and raise, while the same thread is in the middle of ``add_*``."""

from __future__ import annotations

import json

import pytest

from safewriter.events import Verdict, read_records
from tests.support import event_files, read_scalars

pytest_plugins = ["tests.programs.fixtures"]

SCRIPT = """
    import json, signal, sys, time, warnings
    import torch
    from safewriter import SafeSummaryWriter
    from tests.support.faults import Faults

    class Boom(Exception):
        pass

    seconds, faulty, kind = float(sys.argv[1]), sys.argv[2], sys.argv[3]
    faults = Faults() if faulty else None
    error = Boom if kind == "Boom" else getattr(__builtins__, kind)
    warnings.simplefilter("ignore")
    writer = SafeSummaryWriter("run", unique=False)
    acknowledged = {"loss": [], "signal": []}
    handled = 0
    inside = handling = False

    def handler(*_):
        global handled, inside, handling
        if handling:
            return
        handling = True
        handled += 1
        writer.add_scalar("signal", handled / 2, handled)
        acknowledged["signal"].append(handled)
        handling = False
        if handled % 3 == 0 and inside:
            inside = False
            raise error("from the handler")

    signal.signal(signal.SIGALRM, handler)
    end = time.monotonic() + seconds
    step = raised = 0
    signal.setitimer(signal.ITIMER_REAL, 0.0004, 0.0004)
    while time.monotonic() < end:
        step += 1
        try:
            inside = True
            if faults and step % 500 == 0:
                faults.set(28, accept=step % 700, most=step % 50 + 1)
            if faults and step % 500 == 200:
                faults.clear()
            writer.add_scalar("loss", step / 2, step)
            acknowledged["loss"].append(step)
            if step % 200 == 0:
                writer.add_histogram("weights", torch.arange(10.0), step)
            inside = False
        except error:
            raised += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    if faults:
        faults.clear()
    writer.close()
    assert handled > 100 * seconds and raised > 10 * seconds, (handled, raised)
    print(json.dumps(acknowledged))
"""


@pytest.mark.parametrize(
    ("disk", "error"),
    [("", "Boom"), ("", "KeyboardInterrupt"), ("refusing", "TimeoutError"), ("refusing", "Boom")],
)
def test_handlers_that_log_and_raise(disk, tmp_path, request, error):
    """Nothing is torn, nothing that was acknowledged is missing, nothing is written twice."""
    python = request.getfixturevalue("faulty" if disk else "warm")
    check(python, tmp_path, 0.5, disk, error)


@pytest.mark.stress
@pytest.mark.parametrize("disk", ["", "refusing"])
def test_handlers_that_log_and_raise_for_long(disk, tmp_path, request):
    """The same, long enough for tens of thousands of signals."""
    python = request.getfixturevalue("faulty" if disk else "warm")
    check(python, tmp_path, 20.0, disk, "TimeoutError")


def check(python, tmp_path, seconds: float, disk: str, error: str) -> None:
    """Run the script and compare what it acknowledged with what is on disk."""
    done = python.run(
        SCRIPT,
        cwd=tmp_path,
        args=[str(seconds), disk, error],
        env={"SAFEWRITER_BACKLOG_MB": "1000"},  # Every event is wanted.
        deadline=seconds * 3 + 60,
    )
    acknowledged = json.loads(done.stdout)
    (file,) = event_files(tmp_path / "run")
    scalars = read_scalars(file, purge=False)
    for tag, steps in acknowledged.items():
        found = [step for step, _ in scalars[tag]]
        assert found == sorted(set(found))
        assert sorted(set(steps) - set(found)) == []
    assert {record.verdict for record in read_records(file)} == {Verdict.OK}
