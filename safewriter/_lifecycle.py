"""Until when: interpreter exit, garbage collection, fork, children of multiprocessing.

Whatever is open here is closed once, and only in the process that opened it. Events do not depend
on it, they are in the kernel already: it is for a run's status, its lock and its descriptors.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Protocol

import filelock as _filelock  # noqa: F401  It releases its locks at exit too: ours must run first.

logger = logging.getLogger("safewriter")


class Closable(Protocol):
    """Something that is open: a run."""

    def close_at_exit(self, status: str) -> None:
        """Close, with the status that the program ended with."""

    def after_fork(self) -> None:
        """Let go, in a forked child, of everything that belongs to the parent."""


class _Changing:
    """The lock under which runs are opened, joined, left and closed.

    A finalizer can run at any allocation, in a thread that holds any lock or is in the middle of a
    change. So it never waits for this lock and never works inside a change: see :meth:`soon`.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._put_off: deque[Callable[[], None]] = deque()

    def __enter__(self) -> None:
        self._lock.acquire()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        self._lock.release()
        self._catch_up()

    def soon(self, work: Callable[[], None]) -> None:
        """Do `work` now if nothing is being changed, else as soon as that change is complete."""
        self._put_off.append(work)
        self._catch_up()

    def _catch_up(self) -> None:
        while self._put_off and self._lock.acquire(blocking=False):
            try:
                if self._depth:
                    return  # This very thread is in a change; its end comes by here again.
                self._depth += 1
                try:
                    while self._put_off:
                        _do(self._put_off.popleft())
                finally:
                    self._depth -= 1
            finally:
                self._lock.release()


def _do(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception:
        # A warning that was made an error. The code that runs now has nothing to do with it.
        logger.exception("a writer was garbage collected")


changing = _Changing()
_open: dict[Closable, None] = {}
_everything: weakref.WeakSet[Closable] = weakref.WeakSet()
_pid_with_finalizer = 0
_exited = False
# What the parent was handling when it forked this process is no exception of ours.
_handled_by_parent: BaseException | None = None


def exited() -> bool:
    """Tell whether the exit hook of this process has run: nothing would close a run any more."""
    return _exited


def opened(run: Closable) -> None:
    """Have `run` closed at the end of this process at the latest."""
    global _pid_with_finalizer
    _open[run] = None
    _everything.add(run)
    # Children of multiprocessing end with os._exit(): they run its finalizers, but not atexit's.
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() and _pid_with_finalizer != os.getpid():
        from multiprocessing.util import Finalize

        _pid_with_finalizer = os.getpid()
        Finalize(None, _at_exit, exitpriority=100)


def interactive() -> bool:
    """Tell whether a person runs piece by piece of code in this process."""
    return hasattr(sys, "ps1") or "ipykernel" in sys.modules or bool(sys.flags.interactive)


def closed(run: Closable) -> None:
    """Forget a run that was closed."""
    _open.pop(run, None)


def when_collected(owner: object, work: Callable[[], None]) -> None:
    """Do `work` when `owner` is garbage, but not at interpreter exit: that is :func:`opened`'s."""
    weakref.finalize(owner, changing.soon, work).atexit = False


def _close_all() -> None:
    status = "failed" if _died_of_an_exception() else "finished"
    # The stack closes them all, even if a warning that was made an error is raised on the way.
    with changing, contextlib.ExitStack() as closing:
        for run in _open:
            closing.callback(run.close_at_exit, status)


def _at_exit() -> None:
    global _exited
    _exited = True
    _close_all()


def _died_of_an_exception() -> bool:
    # A child of multiprocessing runs its finalizers while its exception is on the way out.
    error = sys.exc_info()[1]
    if error is not None and error is not _handled_by_parent:
        return not (isinstance(error, SystemExit) and not error.code)
    # The interpreter sets last_value for an exception that nothing caught; an interactive session
    # sets it for each of its own, and goes on.
    return getattr(sys, "last_value", None) is not None and not interactive()


def _after_fork() -> None:
    global _exited, _handled_by_parent
    _exited = False
    _handled_by_parent = sys.exc_info()[1]
    changing.__init__()  # type: ignore[misc]  # another thread may have held it
    _open.clear()
    for run in list(_everything):
        run.after_fork()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
