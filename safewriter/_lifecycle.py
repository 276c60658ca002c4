"""Until when: interpreter exit, garbage collection, fork, children of multiprocessing.

Whatever is open here is closed once, and only in the process that opened it. Events do not depend
on it, they are in the kernel already: it is for a run's status, its lock and its descriptors.

The locks of the package, and their order
    ``state_lock`` protects which runs there are, whose members they have, whether they are open and
    who holds their lock files. Each event file has a lock of its own, which protects the file and
    the ledger of its directory. There is no other lock.

    Who holds a file's lock waits for no lock. Who holds ``state_lock`` waits for no file's lock: a
    run is marked first, and its files are opened and closed when ``state_lock`` is free again. And
    under neither is the user's code called (warnings, log handlers), slept, or another process
    waited for: what is to be told is collected and told behind the ``with``.

    Only a signal handler can come in while its own thread holds one of them, and wait for another.
    The thread that holds that one waits for nobody, so it gives it back. Each lock is taken by a
    ``with`` on a lock of C code, so no exception of a handler leaves it taken, and what a handler
    interrupts is written so that it can be done again, or is completed by whoever comes next.
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
from types import FrameType
from typing import Any, Protocol

# filelock releases its locks at exit too: ours must run first, so it is imported first.
import filelock as _filelock  # noqa: F401

from safewriter._disk import backlog, open_files
from safewriter._run import process
from safewriter._run.ending import FINISHED, Ending, ending_of

logger = logging.getLogger("safewriter")


class Closable(Protocol):
    """Something that is open: a run."""

    def close_at_exit(self, ending: Ending) -> None:
        """Close, saying how the program ended."""

    def after_fork(self) -> None:
        """In a forked child: let go of what is the parent's."""


state_lock = threading.RLock()
_open: dict[Closable, None] = {}
_forgotten_at_fork: list[Callable[[], None]] = []
_pid_with_finalizer = 0
# The process whose locks these are. In a forked child, Python drops the parent's threads, and with
# them what only they had, before it calls our hook: nobody would ever give those locks back.
_pid = os.getpid()
_exited = False
_ending: Ending | None = None
# What the parent was handling when it forked this process is no exception of ours.
_handled_by_parent: BaseException | None = None

# Writers that became garbage, as dead references, until their part in the run has ended.
_collected: deque[weakref.ref[Any]] = deque()
_leaving: dict[int, tuple[weakref.ref[Any], list[weakref.ref[Any]], Callable[[], None]]] = {}

# Below these a whole program runs; it is not in the middle of our work.
_PROGRAMS = ("safewriter._cli", "safewriter.__main__")


def exited() -> bool:
    """Tell whether the exit hook of this process has run: nothing would close a run any more."""
    return _exited


def opened(run: Closable) -> None:
    """Have `run` closed at the end of this process at the latest."""
    global _pid_with_finalizer
    _open[run] = None
    # Children of multiprocessing end with os._exit(): they run its finalizers, but not atexit's.
    module = sys.modules.get("multiprocessing.process")
    if module is not None and module.parent_process() and _pid_with_finalizer != os.getpid():
        from multiprocessing.util import Finalize

        _pid_with_finalizer = os.getpid()
        Finalize(None, _at_exit, exitpriority=100)


def interactive() -> bool:
    """Tell whether a person runs piece by piece of code in this process."""
    return hasattr(sys, "ps1") or "ipykernel" in sys.modules or bool(sys.flags.interactive)


def cell() -> int | None:
    """Return which execution of a notebook's cells this is; None outside of IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return None if shell is None else int(shell.execution_count)


def closed(run: Closable) -> None:
    """Forget a run that was closed."""
    _open.pop(run, None)


def forget_at_fork(forget: Callable[[], None]) -> None:
    """Call `forget` in each forked child: what it forgets belongs to the parent."""
    _forgotten_at_fork.append(forget)


def when_collected(owner: object, leave: Callable[[], None]) -> None:
    """Call `leave` soon after `owner` became garbage, but not at interpreter exit.

    Garbage is found at any instant, in a thread that is in the middle of anything. So all that is
    certain to happen then is done by C code, the `append`; the rest catches up as soon as it can.
    """
    # The callback that was registered last is called first. Two catch up: a signal handler may
    # raise in one, where nobody sees it.
    catching_up = [weakref.ref(owner, _catch_up_if_free) for _ in range(2)]
    reference = weakref.ref(owner, _collected.append)
    _leaving[id(reference)] = reference, catching_up, leave


def _catch_up_if_free(_: object) -> None:
    # Not inside of our own work, whose end, or whose next beginning, comes by catch_up() again.
    frame: FrameType | None = sys._getframe().f_back
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith("safewriter.") and not name.startswith(_PROGRAMS):
            return
        frame = frame.f_back
    catch_up()


def catch_up() -> None:
    """End the part of each writer that became garbage. To be called without a lock."""
    while _collected and not _exited and os.getpid() == _pid:
        with contextlib.suppress(IndexError, ValueError):  # Another thread was quicker.
            reference = _collected[0]
            known = _leaving.get(id(reference))
            if known is not None:
                _leave(known[-1])
            # Only now: a signal handler may raise before the end. It may be done twice.
            _leaving.pop(id(reference), None)
            _collected.remove(reference)


def _leave(leave: Callable[[], None]) -> None:
    try:
        leave()
    except Exception:
        # A warning that was made an error. The code here has nothing to do with it.
        logger.exception("a writer was garbage collected")
        leave()  # Or what a signal handler raised: then there is more to do.


def ends_with(error: BaseException) -> None:
    """Say what ends the program, to be called by who sees it: an exit hook sees no SystemExit."""
    global _ending
    _ending = ending_of(error)


def _close_all() -> None:
    ending = _ending or ending_of(_exception_that_ended_it())
    # The stack closes them all, even if a warning that was made an error is raised on the way.
    with contextlib.ExitStack() as closing:
        for run in list(_open):
            closing.callback(run.close_at_exit, ending)


def close_if_exited(run: Closable) -> None:
    """Close a run that began when the exit hook had run: nothing else would."""
    if _exited:
        run.close_at_exit(FINISHED)


def _at_exit() -> None:
    global _exited
    with state_lock:  # No run that another thread is opening now is missed.
        _exited = True
    _close_all()


def _exception_that_ended_it() -> BaseException | None:
    # A child of multiprocessing runs its finalizers while its exception is on the way out.
    error = sys.exc_info()[1]
    if error is not None and error is not _handled_by_parent:
        return error
    # The interpreter sets last_value for an exception that nothing caught; an interactive session
    # sets it for each of its own, and goes on.
    return None if interactive() else getattr(sys, "last_value", None)


def _after_fork() -> None:
    # Another thread of the parent may have held any lock, so there are new ones.
    global _ending, _exited, _handled_by_parent, _pid, state_lock
    _ending, _exited, _pid = None, False, os.getpid()
    _handled_by_parent = sys.exc_info()[1]
    state_lock = threading.RLock()
    process.after_fork()
    backlog.after_fork()
    open_files.after_fork()
    for run in list(_open):
        run.after_fork()
    _open.clear()
    _collected.clear()
    _leaving.clear()
    for forget in _forgotten_at_fork:
        forget()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
