"""A signal handler that logs, closes or raises, wherever in a call of a writer Python runs it.

What may be interrupted, and what the handlers do, is in `interrupted_calls`, a program.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.core.interrupted_calls import HANDLERS, SCENES
from tests.support import read_scalars

pytest_plugins = ["tests.programs.fixtures"]

PROGRAM = Path(__file__).with_name("interrupted_calls.py")


def assert_unharmed(warm, tmp_path: Path, scene: str, handler: str, how: str, most: int) -> None:
    """Interrupt a scene at up to `most` places: nothing is lost, doubled, raised, stuck or left."""
    arguments = [scene, handler, how, str(most)]
    done = warm.run(PROGRAM, cwd=tmp_path, args=arguments, deadline=60 + most / 4)
    *problems, played = done.stdout.splitlines()
    assert problems == []
    assert int(played) >= 5


@pytest.mark.parametrize("handler", ["logs", "raises"])
@pytest.mark.parametrize("scene", SCENES)
def test_a_handler_at_some_places(warm, tmp_path, scene, handler):
    """All that is acknowledged is on disk at once, and the writer works, closes and leaves nothing,
    also when a handler logs, or raises KeyboardInterrupt, in the middle of the call.
    """
    assert_unharmed(warm, tmp_path, scene, handler, "once", 20)


@pytest.mark.parametrize("handler", sorted({*HANDLERS} - {"logs", "raises"}))
@pytest.mark.parametrize("scene", ["scalar_after_a_second", "close"])
def test_another_handler_at_some_places(warm, tmp_path, scene, handler):
    """The same for handlers that log through another writer, flush, close, or log and raise."""
    assert_unharmed(warm, tmp_path, scene, handler, "once", 20)


def test_no_event_is_written_twice(warm, tmp_path):
    """An exception anywhere while waiting events are put into a new file doubles none of them."""
    assert_unharmed(warm, tmp_path, "scalar_behind_what_waits", "raises", "once", 120)


@pytest.mark.parametrize("how", ["twice", "nested"])
@pytest.mark.parametrize(
    "scene", ["scalar_after_a_second", "flush_what_waits", "scalar_behind_what_waits", "close"]
)
def test_two_handlers_in_one_call(warm, tmp_path, scene, how):
    """Two handlers that log, one after the other or one within the other, lose nothing either."""
    assert_unharmed(warm, tmp_path, scene, "logs", how, 40)


@pytest.mark.parametrize("scene", ["series_with_few_descriptors", "first_series", "construct"])
def test_a_handler_while_another_thread_opens_a_file(warm, tmp_path, scene):
    """A handler logs to a file that another thread is opening or writing: nobody waits for ever."""
    assert_unharmed(warm, tmp_path, scene, "logs_while_a_thread_does", "once", 20)


FEW_DESCRIPTORS = """
    import json, resource, signal, sys, threading, time, warnings
    from safewriter import SafeSummaryWriter

    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    first, second = (SafeSummaryWriter(name, unique=False) for name in ("first", "second"))
    rounds = {"main": 0, "thread": 0, "signal": 0}

    def log_series(name, writer):
        while time.monotonic() < end:
            for number in range(20):
                writer.add_scalars(name, {str(number): 0.5}, rounds[name])
                writer.add_scalar(f"{name}/{number}", 0.5, rounds[name])
            rounds[name] += 1

    def handler(*_):
        global handling
        if not handling:
            handling = True
            second.add_scalar("signal", 0.5, rounds["signal"])
            rounds["signal"] += 1
            handling = False

    handling = False
    end = time.monotonic() + float(sys.argv[1])
    signal.signal(signal.SIGALRM, handler)
    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=log_series, args=["thread", second], daemon=True)
    thread.start()
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
    log_series("main", first)
    signal.setitimer(signal.ITIMER_REAL, 0)
    thread.join()
    print(json.dumps(rounds))
"""


def check_few_descriptors(warm, tmp_path: Path, seconds: float) -> None:
    """Log for some seconds from a handler and two threads; look for what was acknowledged."""
    args = [str(seconds)]
    done = warm.run(FEW_DESCRIPTORS, cwd=tmp_path, args=args, deadline=seconds + 30)
    rounds = json.loads(done.stdout)
    assert min(rounds.values()) > 10
    expected = {name: [(step, 0.5) for step in range(count)] for name, count in rounds.items()}
    assert read_scalars(tmp_path / "second", purge=False)["signal"] == expected["signal"]
    for number in range(20):
        for run, name in (("first", "main"), ("second", "thread")):
            series = read_scalars(tmp_path / run / f"{name}_{number}", purge=False)
            assert series[name] == expected[name], number


def test_handlers_and_threads_while_files_are_closed_and_opened(warm, tmp_path):
    """With few descriptors, a handler that logs each millisecond stops nobody and loses nothing."""
    check_few_descriptors(warm, tmp_path, 2)


@pytest.mark.stress
def test_handlers_and_threads_while_files_are_closed_and_opened_for_long(warm, tmp_path):
    """The same for a minute."""
    check_few_descriptors(warm, tmp_path, 60)


CTRL_C = """
    import gc, os, signal, sys, threading, time, warnings
    from safewriter import SafeSummaryWriter
    from safewriter.events import RunStatus, run_status
    from tests.support.descriptors import open_descriptors

    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda what: None  # KeyboardInterrupt within a finalizer
    armed = False

    def handler(*_):
        global armed
        if armed:
            armed = False
            raise KeyboardInterrupt

    def session(directory):
        writer = SafeSummaryWriter(directory, unique=False)
        writer.add_scalar("loss", 1.0, 1)
        writer.add_scalars("all", {"a": 1.0, "b": 2.0}, 1)
        writer.close()

    signal.signal(signal.SIGALRM, handler)
    started = time.perf_counter()
    for number in range(20):
        session(f"before{number}")
    lasts = (time.perf_counter() - started) / 20
    gc.collect()
    before = open_descriptors()

    count, interrupted = int(sys.argv[1]), 0
    for number in range(count):
        directory = f"run{number}"
        try:
            armed = True
            signal.setitimer(signal.ITIMER_REAL, 1e-6 + lasts * number / count)
            session(directory)
            armed = False
        except KeyboardInterrupt:
            interrupted += 1
            gc.collect()
            session(directory)
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert run_status(directory) is RunStatus.FINISHED, directory
        if number % 10 == 0:
            thread = threading.Thread(target=session, args=[f"thread{number}"], daemon=True)
            thread.start()
            thread.join(20)
            assert not thread.is_alive(), "a lock is taken for ever"
    gc.collect()
    left = open_descriptors().items() - before.items()
    assert not left, left
    assert interrupted > count / 20, interrupted
"""


def test_ctrl_c_at_any_time(warm, tmp_path):
    """Ctrl-C while a writer is made, logs and is closed: the same works at once again, in other
    threads as well, and no descriptor stays open.
    """
    warm.run(CTRL_C, cwd=tmp_path, args=["300"])


@pytest.mark.stress
def test_ctrl_c_thousands_of_times(warm, tmp_path):
    """The same at 5,000 moments."""
    warm.run(CTRL_C, cwd=tmp_path, args=["5000"], deadline=300)


@pytest.mark.stress
@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("scene", SCENES)
def test_a_handler_at_every_place(warm, tmp_path, scene, handler):
    """Every handler at every place of every call."""
    assert_unharmed(warm, tmp_path, scene, handler, "once", 10_000)


@pytest.mark.stress
@pytest.mark.parametrize("how", ["twice", "nested"])
@pytest.mark.parametrize("scene", SCENES)
def test_two_handlers_at_many_places(warm, tmp_path, scene, how):
    """Two handlers that log, at thousands of pairs of places."""
    assert_unharmed(warm, tmp_path, scene, "logs", how, 2000)
