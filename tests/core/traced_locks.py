"""A program: does everything that takes locks, and prints each one that is taken in a wrong order.

With an argument, that scene only. It prints what is wrong, a line each, and in the end how often
each kind of lock was taken.
"""

from __future__ import annotations

import collections
import contextlib
import gc
import logging
import os
import pickle
import resource
import shutil
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from tests.support.clock import Clock
from tests.support.faults import file_size_limit

clock = Clock()
taken: collections.Counter[str] = collections.Counter()
scene = "none"

_own = threading.local()
_make_lock = threading.RLock


def held() -> list[TracedLock]:
    """Return the locks that this thread holds, each as often as it has taken it."""
    found: list[TracedLock] = _own.__dict__.setdefault("held", [])
    return found


def complain(what: str) -> None:
    """Print what is wrong, and where."""
    frames = [
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_stack()
        if f"{os.sep}safewriter{os.sep}" in frame.filename
    ]
    print(f"{scene}: {what} under {[lock.kind for lock in held()]}: {' < '.join(frames[::-1])}")


class TracedLock:
    """A lock of the package that knows what its thread holds already."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._lock = _make_lock()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it, as ``threading.RLock`` is taken."""
        if blocking and self not in held() and held():
            complain(f"waits for a lock of {self.kind}")
        got = self._lock.acquire(blocking, timeout)
        if got:
            taken[self.kind] += 1
            held().append(self)
        return got

    def release(self) -> None:
        """Give it back."""
        self._lock.release()
        # From the end: it is the one that was taken last.
        held().reverse()
        held().remove(self)
        held().reverse()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def make_lock() -> Any:
    """Make a lock: a traced one if the package asks."""
    name = sys._getframe(1).f_globals.get("__name__", "")
    if not name.startswith("safewriter."):
        return _make_lock()
    return TracedLock("the state" if name == "safewriter._lifecycle" else "a file")


class Telling(logging.Handler):
    """Complains about what is logged under a lock."""

    def emit(self, record: logging.LogRecord) -> None:
        """Complain, if a lock is held."""
        if held():
            complain(f"logs {record.getMessage()!r}")


def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Complain about a warning under a lock."""
    if held():
        complain(f"warns {category.__name__}")


def trace() -> None:
    """Trace the locks of the package, which is not imported yet."""
    assert "safewriter._lifecycle" not in sys.modules
    threading.RLock = make_lock  # type: ignore[assignment]
    warnings.simplefilter("always")
    warnings.showwarning = show
    logger = logging.getLogger("safewriter")
    logger.setLevel(logging.INFO)
    logger.addHandler(Telling())


Make = Callable[..., Any]


def log_all(writer: Any, step: int) -> None:
    """Log something of each kind."""
    writer.add_scalar("loss", 0.5, step)
    writer.add_scalar("loss", 0.5, step + 1)
    writer.add_scalars("all", {"a": 0.5, "b": 0.5}, step)
    writer.add_scalars("all", {"a": 0.5, "b": 0.5}, step + 1)
    writer.add_text("note", "hello", step)
    writer.add_histogram("weights", torch.arange(3.0), step)
    writer.flush()


def logging_all(make: Make) -> None:
    """Make a writer, log, warn, close, and log again."""
    writer = make("run")
    log_all(writer, 1)
    writer.add_scalar("loss", 0.5, 0)
    writer.add_scalar("LOSS", 0.5)
    writer.add_scalar("LOSS", float("nan"))
    writer.add_text("loss", "hello", 9)
    writer.close()
    log_all(writer, 10)
    writer.close()
    make("empty").close()


def hparams(make: Make) -> None:
    """Log hyperparameters, with a name and without one."""
    writer = make("run")
    writer.add_hparams({"rate": 0.1}, {"final": 0.5}, run_name="trial")
    writer.add_hparams({"rate": 0.1}, {"final": 0.5})
    writer.add_embedding(torch.rand(3, 2), global_step=1)
    writer.close()


def several_writers(make: Make) -> None:
    """Make several writers on a run, which leave one after the other, and begin a new run."""
    writers = [make("runs", unique=True) for _ in range(3)]
    for writer in writers:
        log_all(writer, 1)
    for writer in writers:
        writer.close()
    again = make("runs", unique=True)
    log_all(again, 1)
    again.close()


def garbage(make: Make) -> None:
    """Forget writers, also such as are garbage in a circle."""
    make("run").add_scalar("loss", 0.5, 1)
    writer = make("run")
    writer.myself = writer
    writer.add_scalar("loss", 0.5, 2)
    del writer
    gc.collect()
    make("run").add_scalar("loss", 0.5, 3)


def resumed(make: Make) -> None:
    """Continue a run."""
    for keywords in ({}, {"resume": True}, {"resume": True, "purge_step": 1}, {"purge_step": 2}):
        writer = make("run", **keywords)
        log_all(writer, 1)
        writer.close()
        wait_for_another(lambda: log_all(make("run", resume=True), 3))


def pickled(make: Make) -> None:
    """Send a writer through pickle."""
    writer = make("run")
    writer.add_scalar("loss", 0.5, 1)
    log_all(pickle.loads(pickle.dumps(writer)), 2)
    data = pickle.dumps(writer)
    wait_for_another(lambda: log_all(pickle.loads(data), 2))


def refused(make: Make) -> None:
    """Log, flush, make, close and join while the disk refuses."""
    writer = make("run")
    log_all(writer, 1)
    with file_size_limit(10):
        log_all(writer, 3)
        log_all(make("run"), 5)
        log_all(make("other"), 1)
        make("another").close()
    clock.advance(10)
    log_all(writer, 7)
    with file_size_limit(10):
        log_all(writer, 9)
        writer.close()


def gone(make: Make) -> None:
    """Log, flush and close when the files, or the whole directory, are gone."""
    for spoil in (remove_files, remove_directory, truncate_files, remove_lock, put_a_file):
        for end in (lambda writer: log_all(writer, 3), lambda writer: writer.close()):
            writer = make(spoil.__name__)
            log_all(writer, 1)
            spoil(Path(writer.log_dir))
            clock.advance(2)
            end(writer)
            log_all(writer, 5)
            writer.close()
            put_right(Path(writer.log_dir))


def files_below(directory: Path) -> list[Path]:
    """Return the event files."""
    return [file for file in directory.rglob("*tfevents*") if file.is_file()]


def remove_files(directory: Path) -> None:
    """Delete the event files."""
    for file in files_below(directory):
        file.unlink()


def remove_directory(directory: Path) -> None:
    """Delete the directory."""
    shutil.rmtree(directory)


def truncate_files(directory: Path) -> None:
    """Empty the event files."""
    for file in files_below(directory):
        os.truncate(file, 0)


def remove_lock(directory: Path) -> None:
    """Delete the lock."""
    shutil.rmtree(directory / ".safewriter")


def put_a_file(directory: Path) -> None:
    """Have a file where the directory was."""
    shutil.rmtree(directory)
    directory.write_text("in the way")


def put_right(directory: Path) -> None:
    """Take away what is in the way."""
    with contextlib.suppress(OSError):
        directory.unlink()


def taken_over(make: Make) -> None:
    """Make way for another process, when closed and when the lock has been deleted."""
    writer = make("run")
    log_all(writer, 1)
    writer.close()
    with another(lambda: make("run")):
        log_all(writer, 3)
    writer.close()
    second = make("second")
    log_all(second, 1)
    remove_lock(Path(second.log_dir))
    with another(lambda: make("second")):
        clock.advance(2)
        log_all(second, 3)
    second.close()
    with another(lambda: make("third")):
        with contextlib.suppress(Exception):
            make("third")
        log_all(make("third", unique=True), 1)


@contextlib.contextmanager
def another(work: Callable[[], object]) -> Iterator[None]:
    """Have another process do something, and live to the end of the block."""
    ready, say_ready = os.pipe()
    end, say_end = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(say_end)
        try:
            kept = work()
            os.write(say_ready, b".")
            os.read(end, 1)
            del kept
        except Exception as error:
            print(f"{scene}: in another process: {error!r}")
        sys.stdout.flush()
        os._exit(0)
    os.close(say_ready)
    os.close(end)
    os.read(ready, 1)
    yield
    os.close(say_end)
    os.waitpid(pid, 0)
    os.close(ready)


def wait_for_another(work: Callable[[], object]) -> None:
    """Have another process do something, to its end."""
    with another(work):
        pass


def forked(make: Make) -> None:
    """Log in a forked child, through the parent's writer and another one."""
    writer = make("run")
    log_all(writer, 1)

    def log_in_child() -> None:
        log_all(writer, 3)
        log_all(make("run of the child"), 1)
        writer.close()
        log_all(writer, 5)

    wait_for_another(log_in_child)
    log_all(writer, 3)
    writer.close()
    wait_for_another(log_in_child)


def few_descriptors(make: Make) -> None:
    """Log more series than files may be open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    writer = make("run")
    for step in range(1, 4):
        for number in range(40):
            writer.add_scalars("all", {str(number): 0.5}, step)
    writer.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def the_exit(make: Make) -> None:
    """End a process that has writers open."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        kept = [make("run"), make("empty")]
        log_all(kept[0], 1)
        sys.exit()
    os.waitpid(pid, 0)


def in_a_wrong_order(make: Make) -> None:
    """Do what may not be: this is for the test of the test."""
    from safewriter import _lifecycle

    writer = make("run")
    file = writer._run.parts[""].file
    with _lifecycle.state_lock:
        file.flush()
    with file.lock:
        make("other")
        warnings.warn("a warning", stacklevel=1)
        logging.getLogger("safewriter").info("a line")


SCENES = (
    logging_all,
    hparams,
    several_writers,
    garbage,
    resumed,
    pickled,
    refused,
    gone,
    taken_over,
    forked,
    few_descriptors,
    the_exit,
)


def main(names: list[str]) -> None:
    """Play the scenes."""
    global scene
    clock.start()
    trace()
    from safewriter import SafeSummaryWriter

    top = Path.cwd()

    def make(name: str, **keywords: Any) -> Any:
        return SafeSummaryWriter(top / scene / name, **{"unique": False, **keywords})

    for play in (in_a_wrong_order,) if names else SCENES:
        scene = play.__name__
        play(make)
        gc.collect()
    print(dict(taken))


if __name__ == "__main__":
    main(sys.argv[1:])
