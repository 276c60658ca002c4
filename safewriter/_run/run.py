"""A run of this process: its directory, lock and parts, shared by its writers.

A run is one start of a program and one ``log_dir``. Every writer on it is a :class:`Member`; the
run is closed when the last one leaves and opened again when one logs or joins. Each opening has a
number, the *generation*: an event file that was closed opens again for a later one only, so nothing
is written to a run that is closed.

All of it is protected by ``state_lock``, except for the parts, which have locks of their own: what
is done to their files is done when ``state_lock`` is free again, see ``_lifecycle``.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import os
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from safewriter import _lifecycle
from safewriter._disk.directories import make_directories
from safewriter._disk.open_files import Descriptor, DiskErrorsIgnored
from safewriter._errors import (
    EmptyRunWarning,
    ForkedWriterWarning,
    Notice,
    ReusedRunWarning,
    RunDirectoryError,
    tell,
    user_location,
)
from safewriter._ledger.ledger import TagLedger
from safewriter._run import session
from safewriter._run.directory import claim, claim_name, explained, free_name, is_remote, run_name
from safewriter._run.ending import FAILED, FINISHED, Ending
from safewriter._run.lock import HeldError
from safewriter._run.part import Part, series_directory
from safewriter._run.place import place_of
from safewriter._run.process import this_process
from safewriter._run.request import RunRequest

if TYPE_CHECKING:
    from safewriter._run.round import Round

logger = logging.getLogger("safewriter")

#: Whoever asks how a run stands holds its lock for an instant; a writer keeps it.
_INSTANT_SECONDS = 0.2

T = TypeVar("T")


def patiently(work: Callable[[], T]) -> T:
    """Do `work` under ``state_lock``; again, if a lock is held that may be free in an instant."""
    deadline = time.monotonic() + _INSTANT_SECONDS
    while True:
        try:
            with _lifecycle.state_lock:
                return work()
        except HeldError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_INSTANT_SECONDS / 20)


class Phase(enum.Enum):
    """How a run stands in this process."""

    CLOSED = "closed, or not opened yet"
    OPENING = "being opened, or an exception came in between: whoever comes next completes it"
    OPEN = "open"
    CLOSING = "its files are being closed; it may be opened again meanwhile"


#: The runs that this process opened, by their real directories. Those that are open, those that
#: were closed last, and those whose writers live are held on to.
known: weakref.WeakValueDictionary[str, Run] = weakref.WeakValueDictionary()

# For `safewriter run`: the file that is told of the runs that begin, and those it was told of.
_report: str | None = None
_reported: set[str] = set()

# Closed runs that are remembered whole; of others the events on disk tell the rest.
_MOST_CLOSED = 64
_closed: dict[Run, None] = {}


class Member:
    """One writer's part in a run."""

    def __init__(self, writer: object) -> None:
        self._writer = weakref.ref(writer)
        # None until it has joined one.
        self._run: Run | None = None
        # The run that it is about to leave for another one.
        self.moved_from: Run | None = None
        self.left = False
        # Until it is known which run it writes.
        self.round: Round | None = None
        # The user knows its directory by now, and may have put files there.
        self.was_read = False
        # One that was pickled and unpickled is the same writer twice.
        self.is_copy = False
        self.location = user_location()
        # The writer's fast paths into this run, by tag, or by tag and series.
        self.fast_scalars: dict[str | tuple[str, str], Any] = {}

    def is_live(self) -> bool:
        """Tell whether the writer may log: neither has it left, nor is it garbage."""
        return not self.left and self._writer() is not None

    @property
    def run(self) -> Run:
        """The run that it is part of."""
        assert self._run is not None
        return self._run

    @run.setter
    def run(self, run: Run) -> None:
        self._run = run

    def leave(self) -> None:
        """Take no further part; the last one to leave closes the run."""
        try:
            if self.round is not None:
                self.round.leave(self)
        finally:
            self._leave()

    def _leave(self) -> None:
        with _lifecycle.state_lock:
            runs = [run for run in (self.moved_from, self._run) if run is not None]
            self.left = True
            self.fast_scalars = {}
            for run in runs:
                run.members.discard(self)
                run.close_if_left()
        for run in runs:
            run.finish_closing()


class Run:
    """One run directory and all that is open in it."""

    def __init__(self, directory: str, request: RunRequest, *, resumed: bool = False) -> None:
        self.request = request
        self.place = place_of(request)
        self.resumed = resumed
        self.members: set[Member] = set()
        # Those that may yet leave for another run.
        self.round: Round | None = None
        self.phase = Phase.CLOSED
        self.generation = 0
        # The last opening that is over: a part that is made too late is closed for it as well.
        self._over = -1
        # How it ended for the with block of one of its writers, if that was an exception.
        self.ending: Ending | None = None
        self.forked = False
        # Not empty, though this process may not have written an event to it.
        self.used = self.place.is_used(directory)
        self.purge_step: int | None = None
        self.parts: dict[str, Part] = {}
        self._process = this_process()
        self._ending = FINISHED
        self._location = user_location()
        self._claims = request.claims
        self._directory = directory
        self._lock = self.place.lock(directory, request.comment)

    @property
    def directory(self) -> str:
        """Where the run is: in a forked child, below the parent's."""
        if self._process is not this_process():
            with _lifecycle.state_lock:
                self.adopt()
        return self._directory

    @property
    def is_open(self) -> bool:
        """Whether the run is open in this very process."""
        return self.phase is Phase.OPEN and self._process is this_process()

    def has(self, member: Member, generation: int) -> bool:
        """Tell whether nothing happened to the run, and to a writer's part in it, since then."""
        return (
            self.generation == generation
            and self.phase is Phase.OPEN
            and not member.left
            and member._run is self
            and self._process is this_process()
        )

    def adopt(self) -> None:
        """In a forked child: be a run of its own, closed, below the parent's."""
        if self._process is this_process():
            return
        self._process = this_process()
        self.members.clear()
        self.round = None
        self.phase = Phase.CLOSED
        self.generation += 1
        self.parts = {}
        self.resumed = self.used = False
        self.purge_step = None
        self.forked = self._claims = True
        path = os.path.join(self._directory, fork_name())
        self._go_to(free_name(path) if self.place.is_local else path)

    def _go_to(self, directory: str) -> None:
        self._lock.let_go()
        self._directory = directory
        self._lock = self.place.lock(directory, self.request.comment)
        self.generation += 1

    def open(self) -> list[Notice]:
        """Lock the directory; return what is to be told. With ``state_lock`` held.

        Raises :class:`HeldError` if another process holds the lock, and :class:`RunDirectoryError`.
        """
        notices: list[Notice] = []
        while self.phase is not Phase.OPEN:
            if _lifecycle.exited() and self.generation:
                # Nothing would close it again. Its event files open by themselves, once they are
                # closed for the last time.
                self.generation += self.phase is Phase.CLOSED
                break
            self.phase = Phase.OPENING
            _lifecycle.opened(self)
            if self.place.is_local:
                if self._claims:
                    self._go_to(claim_name(self._directory))
                    self._claims = False
                with explained(self._directory):
                    make_directories(self._directory)
                    # Before it is locked: whoever asks again finds this run, no lock of its own.
                    known[real(self._directory)] = self
                    notices += self._lock.acquire()
            if self.phase is Phase.OPENING:  # Else a signal handler closed it meanwhile.
                self.open_anyway()
        return notices

    def open_anyway(self) -> None:
        """Be open, although the directory may be neither made nor locked: its events wait."""
        # Its files may have been closed for the present generation.
        self.generation += 1
        self.phase = Phase.OPEN
        _closed.pop(self, None)
        if self.place.is_local:
            _tell_begun(self._directory)
        else:
            known[self._directory] = self
        _lifecycle.opened(self)

    def abandon(self) -> None:
        """Be closed again after an opening that failed, unless a writer is in the run."""
        if self.members or self.phase is not Phase.OPENING:
            return
        self._lock.release(FAILED)
        self.phase = Phase.CLOSED
        _lifecycle.closed(self)
        forget_unopened(self)

    def make_way(self) -> list[Notice]:
        """Open a new directory instead, because another process writes this one by now."""
        taken = self._directory
        for parent in (os.path.dirname(taken), taken):
            try:
                self._go_to(claim(parent))
                break
            except RunDirectoryError:
                continue
        else:
            # Neither takes a directory at the moment; the events wait until one does.
            self._go_to(free_name(os.path.join(os.path.dirname(taken), run_name())))
        _tell_begun(taken, left=True)
        if known.get(real(taken)) is self:
            del known[real(taken)]
        self.phase = Phase.CLOSED
        try:
            notices = self.open()
        except (HeldError, RunDirectoryError):
            notices = []
            self.open_anyway()
            known[real(self._directory)] = self
        return [
            *notices,
            Notice(
                ReusedRunWarning,
                f"{taken!r} was closed or removed here and is now written by another process: what "
                f"is logged from now on goes to {self._directory!r}.",
            ),
        ]

    def path(self, subdir: str) -> str:
        """Return the directory of a part."""
        return series_directory(self.directory, subdir)

    def part(self, subdir: str = "", suffix: str | None = None) -> Part:
        """Return the run's own part (``""``), or that of a series below it.

        `suffix` is that of the writer that needs it first, which may have joined; None for the
        run's.
        """
        part = self.parts.get(subdir)
        if part is None:
            request = self.request if suffix is None else replace(self.request, suffix=suffix)
            file = self.place.file(self.path(subdir), request, self._looked)
            ledger = TagLedger(self.request.train_tags, self.request.eval_tags)
            part = self.parts.setdefault(subdir, Part(file, ledger))
            if self._over >= 0:
                # Behind its insertion, as _release() looks at the parts behind the other half.
                part.file.close(self._over, look=False)
        return part

    def prepare(
        self, subdir: str, generation: int, suffix: str | None = None, *, strict: bool = False
    ) -> Part:
        """Return a :meth:`part` that has followed the run to an opening. Without ``state_lock``.

        With `strict`, raises :class:`RunDirectoryError` for what the directory holds already.
        """
        part = self.part(subdir, suffix)
        notices = part.prepare(
            self.path(subdir),
            generation,
            continues=self.resumed or self.purge_step is not None,
            purge_step=self.purge_step,
            strict=strict,
        )
        tell(notices)
        return part

    def rewind(self, step: int) -> None:
        """Expect that everything from `step` on is logged again: a restart there was announced."""
        self.purge_step = step
        for part in list(self.parts.values()):
            part.rewind(step)

    def flush(self) -> None:
        """Try again what the disk has refused."""
        if self._process is this_process():
            for part in list(self.parts.values()):
                part.file.flush()

    def close_if_left(self) -> None:
        """Mark the run as closing if no writer is left in it. With ``state_lock`` held."""
        opened = self.phase in (Phase.OPENING, Phase.OPEN)
        if opened and self._process is this_process() and not self.members:
            self._mark_closing(FINISHED)

    def _mark_closing(self, ending: Ending) -> None:
        self.phase = Phase.CLOSING
        self._ending = self.ending or ending

    def finish_closing(self, *, look: bool = True) -> None:
        """Close what is marked. Without ``state_lock``, and again if it was interrupted."""
        mine = self._process is this_process()
        with _lifecycle.state_lock:
            phase, generation = self.phase, self.generation
        if phase is not Phase.CLOSING or not mine:
            return
        released = False
        while not released:  # Another thread may have made a series meanwhile.
            try:
                self._close_files(generation, look)
            finally:
                released = self._release(generation)
        self._tell_if_empty()
        _lifecycle.catch_up()

    def _close_files(self, generation: int, look: bool) -> None:
        # All of them, even where a warning is an exception.
        with contextlib.ExitStack() as stack:
            for part in list(self.parts.values()):
                stack.callback(part.file.close, generation, look=look)
            if "" in self.parts:
                stack.callback(session.end, self.parts[""], self._ending, generation)

    def _release(self, generation: int) -> bool:
        """Let go of the lock, and be closed; False if there is a file yet to be closed."""
        with _lifecycle.state_lock:
            if self.phase is not Phase.CLOSING or self.generation != generation:
                return True  # It was opened again meanwhile, or somebody else was quicker.
            self._over = generation
            parts = list(self.parts.values())
            if not all(part.file.is_closed_for(generation) for part in parts):
                return False
            if self.generation != generation:
                return True  # By a signal handler just now.
            self._lock.release(self._ending)
            if self.generation != generation:
                # A signal handler opened it again: what was given back is taken once more. If
                # another process was quicker, the next look finds that out.
                with contextlib.suppress(HeldError), DiskErrorsIgnored():
                    self._lock.acquire()
                return True
            self.phase = Phase.CLOSED
            _lifecycle.closed(self)
            _closed[self] = None
            while len(_closed) > _MOST_CLOSED:
                _closed.pop(next(iter(_closed)), None)
        return True

    def _tell_if_empty(self) -> None:
        if self.phase is not Phase.CLOSED or not self.place.is_local or self.used:
            return
        if not any(part.file.events or part.file.lost for part in list(self.parts.values())):
            text = (
                f"the run {self._directory!r} was closed without a single event: TensorBoard lists "
                "it with nothing in it. Log to it, or make the writer only where you log."
            )
            tell([Notice(EmptyRunWarning, text, self._location)])

    def close_at_exit(self, ending: Ending) -> None:
        """Close the run with all its members, because the process ends."""
        try:
            if self.round is not None:
                self.round.go_on()
        finally:
            with _lifecycle.state_lock:
                if self.phase in (Phase.OPENING, Phase.OPEN):
                    self._mark_closing(ending)
            self.finish_closing(look=False)

    def after_fork(self) -> None:
        """In a forked child: let go of the parent's lock."""
        self._lock.let_go()

    def _looked(self) -> None:
        """See to the lock, about once a second: it may be gone, with the directory or alone."""
        if not self.is_open:
            return  # It is being closed.
        if not self._lock.is_there() and not _lifecycle.exited():
            notices: list[Notice] = []
            try:
                notices = patiently(self._renew)
            except HeldError:
                with _lifecycle.state_lock:
                    notices = self.make_way()
            except (OSError, RunDirectoryError):
                pass  # The events are safe without a lock, and training must go on.
            generation = self.generation
            with contextlib.ExitStack() as stack:
                for subdir in list(self.parts):
                    stack.callback(self.prepare, subdir, generation)
            tell(notices)
        _lifecycle.catch_up()

    def _renew(self) -> list[Notice]:
        if not self.is_open or self._lock.is_there():
            return []
        make_directories(self._directory)
        return self._lock.renew()


def reopen(member: Member) -> int:
    """Open the run of a member that logs after it was closed, or in a forked child.

    Returns the run's generation. Nothing is raised: training goes on, and events wait.
    """
    notices: list[Notice] = []
    reopened = False

    def attempt() -> None:
        nonlocal reopened
        run = member.run  # Under the lock: another thread may be moving the member.
        run.adopt()
        if not run.is_open:
            try:
                notices.extend(run.open())
            except RunDirectoryError:
                run.open_anyway()
            reopened = run.is_open
        member.left = False
        run.members.add(member)

    try:
        patiently(attempt)
    except HeldError:
        with _lifecycle.state_lock:
            run = member.run
            if not run.is_open:
                notices += run.make_way()
            member.left = False
            run.members.add(member)
    run = member.run
    if reopened and run.forked:
        run.forked = False
        notices.append(
            Notice(
                ForkedWriterWarning,
                "a forked child logs through the writer of its parent. Two processes in one event "
                f"file would spoil it, so the child's events go to {run.directory!r}. Log in the "
                "parent, or make a writer in the child.",
            )
        )
    elif reopened:
        logger.info("%s is used after close(): opened again", run.directory)
    generation = run.generation
    tell(notices)
    return generation


def ready(member: Member) -> int:
    """See to it that a member's run is open in this process; return the run's generation."""
    run = member.run
    if member.left or not run.is_open:
        return reopen(member)
    return run.generation


def fork_name() -> str:
    """Return the name of what this process writes below a run of another one."""
    return f"fork-{this_process().pid}"


def forget_unopened(run: Run) -> None:
    """Do not find a run by its directory any more."""
    path = real(run.directory)
    if known.get(path) is run:
        del known[path]


def real(directory: str) -> str:
    """Return the one name of a directory, links resolved; what has a scheme stays as it is."""
    return directory if is_remote(directory) else os.path.realpath(directory)


def report_to(path: str) -> None:
    """Append the directory of each run that this process or a forked child begins to a file."""
    global _report
    _report = path


def _tell_begun(directory: str, *, left: bool = False) -> None:
    """Report a run, or with `left`, by a line that begins with ``-``, that another one has it."""
    if _report is None or (directory in _reported) is not left:
        return
    file = Descriptor()
    # It may be gone: the process that reads it has ended.
    with DiskErrorsIgnored():
        file.open(_report, os.O_WRONLY | os.O_APPEND, high=False)
        os.write(file.number, b"-" * left + os.fsencode(directory) + b"\0")
        (_reported.discard if left else _reported.add)(directory)
    with DiskErrorsIgnored():
        file.close()


def _after_fork() -> None:
    known.clear()
    _closed.clear()


_lifecycle.forget_at_fork(_after_fork)
