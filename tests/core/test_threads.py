"""Threads that share a writer: every fall of a step is told, nothing is lost, nothing is raised."""

from __future__ import annotations

import itertools
import json
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch.utils.tensorboard.writer import FileWriter

from safewriter import SafeSummaryWriter, StepOrderWarning
from safewriter.events import read_scalars

pytest_plugins = ["tests.programs.fixtures"]


def falls(directory: Path, tag: str = "loss") -> int:
    """Return how often the step of a tag falls on disk."""
    steps = read_scalars(directory)[tag].steps.tolist()
    return sum(later < earlier for earlier, later in itertools.pairwise(steps))


@pytest.fixture
def often_switched() -> Iterator[None]:
    """Let threads take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("action", ["always", "error"])
@pytest.mark.usefixtures("often_switched")
def test_steps_of_a_shared_counter(tmp_path, action):
    """Four threads log one tag with steps from a counter: whenever one falls on disk, it is told,
    and as an error no fall of a step passes in silence either.
    """
    counter = itertools.count(1)
    errors: list[Exception] = []

    def log() -> None:
        for _ in range(5000):
            step = next(counter)
            try:
                writer.add_scalar("loss", float(step), step)
            except StepOrderWarning as error:
                errors.append(error)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter(action, StepOrderWarning)
        with SafeSummaryWriter(tmp_path, unique=False) as writer:
            threads = [threading.Thread(target=log) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    told = len(errors) if action == "error" else len(warned)
    assert not falls(tmp_path) or told, f"{falls(tmp_path)} falls and no warning"
    if action == "always":
        assert len(read_scalars(tmp_path)["loss"].steps) == 20_000


@pytest.mark.parametrize("action", ["always", "error"])
def test_a_later_step_that_is_written_between_check_and_append(tmp_path, monkeypatch, action):
    """A tracker's hook holds up step 1 until step 2 of another thread is written: that is told."""
    held_up, go_on = threading.Event(), threading.Event()
    original = FileWriter.add_event

    def add_event(self: Any, event: Any, step: Any = None, walltime: Any = None) -> None:
        if step == 1:
            held_up.set()
            assert go_on.wait(20)
        original(self, event, step, walltime)

    monkeypatch.setattr(FileWriter, "add_event", add_event)
    errors: list[Exception] = []

    def log(step: int) -> None:
        try:
            writer.add_scalar("loss", float(step), step)
        except StepOrderWarning as error:
            errors.append(error)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter(action, StepOrderWarning)
        with SafeSummaryWriter(tmp_path, unique=False) as writer:
            log(0)
            first, second = (threading.Thread(target=log, args=[step]) for step in (1, 2))
            first.start()
            assert held_up.wait(20)
            second.start()
            second.join(2)  # It may be made to wait for the first one: then nothing falls.
            go_on.set()
            first.join()
            second.join()
    assert read_scalars(tmp_path)["loss"].steps.tolist() in ([0, 1, 2], [0, 2, 1])
    told = len(errors) if action == "error" else len(warned)
    assert (told > 0) == (falls(tmp_path) > 0)


WHILE_ANOTHER_CLOSES = """
    import json, os, signal, sys, threading, time, traceback, warnings
    from safewriter import SafeSummaryWriter

    warnings.simplefilter("ignore")
    sys.setswitchinterval(1e-5)
    writer = SafeSummaryWriter("run", unique=False)
    acknowledged = {f"group{number}": 0 for number in range(3)}
    errors = set()
    end = time.monotonic() + float(sys.argv[1])

    def repeat(work):
        def repeating():
            while time.monotonic() < end:
                try:
                    work()
                except Exception:
                    errors.add(traceback.format_exc(limit=-3))
        return repeating

    def logging(group):
        def log():
            step = acknowledged[group] + 1
            writer.add_scalars(group, {"a": step / 2}, step)
            acknowledged[group] = step
        return log

    def close():
        writer.close()
        time.sleep(0.002)

    work = [close, *map(logging, acknowledged)]
    threads = [threading.Thread(target=repeat(one)) for one in work]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    others = [thread.name for thread in threading.enumerate()]
    print(json.dumps([acknowledged, sorted(errors), others]), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def check_while_another_closes(warm, tmp_path: Path, seconds: float) -> None:
    """Close and log in threads for some seconds, kill the process, and look at what is there."""
    done = warm.run(
        WHILE_ANOTHER_CLOSES,
        cwd=tmp_path,
        args=[str(seconds)],
        deadline=seconds + 60,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    acknowledged, errors, threads = json.loads(done.stdout)
    assert errors == []
    assert threads == ["MainThread"]
    for group, count in acknowledged.items():
        assert count > 10
        steps = read_scalars(tmp_path / "run" / f"{group}_a")[group].steps.tolist()
        assert steps == [*range(1, count + 1)]


def test_series_while_another_thread_closes(warm, tmp_path):
    """close() beside add_scalars() raises nothing, makes no thread, and SIGKILL loses nothing."""
    check_while_another_closes(warm, tmp_path, 1.5)


@pytest.mark.stress
def test_series_while_another_thread_closes_for_long(warm, tmp_path):
    """The same for half a minute."""
    check_while_another_closes(warm, tmp_path, 30)


@pytest.mark.parametrize("method", ["flush", "close"])
def test_new_series_while_another_thread_flushes_or_closes(warm, tmp_path, method):
    """Neither thread gets an exception, and each series has its point."""
    done = warm.run(
        """
        import json, sys, threading, time, traceback, warnings
        from safewriter import SafeSummaryWriter

        warnings.simplefilter("ignore")
        sys.setswitchinterval(1e-5)
        writer = SafeSummaryWriter("run", unique=False)
        errors = set()
        stop = False

        def flush_or_close():
            while not stop:
                try:
                    getattr(writer, sys.argv[1])()
                except Exception:
                    errors.add(traceback.format_exc(limit=-3))

        thread = threading.Thread(target=flush_or_close, daemon=True)
        thread.start()
        end = time.monotonic() + 1.5
        count = 0
        while time.monotonic() < end and not errors:
            try:
                writer.add_scalars("all", {str(count): 0.5}, 1)
            except Exception:
                errors.add(traceback.format_exc(limit=-3))
            count += 1
        stop = True
        thread.join()
        writer.close()
        print(json.dumps([count, sorted(errors)]))
        """,
        cwd=tmp_path,
        args=[method],
        deadline=30,
    )
    count, errors = json.loads(done.stdout)
    assert errors == []
    assert count > 10
    for number in range(count):
        assert read_scalars(tmp_path / "run" / f"all_{number}")["all"].steps.tolist() == [1]
