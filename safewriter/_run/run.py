"""A run of this process: its directory, lock, files and ledgers, shared by its writers.

A run is one start of a program and one ``log_dir``. Every writer on it is a :class:`Member`; the
run is closed when the last one leaves and opened again when one logs or joins.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from safewriter import _lifecycle
from safewriter._disk.event_file import EventFile, SilentFile
from safewriter._errors import (
    EmptyRunWarning,
    ForkedWriterWarning,
    Location,
    ReusedRunWarning,
    RunDirectoryError,
    RunLockedError,
    user_location,
    warn,
    warn_at,
)
from safewriter._ledger.ledger import TagLedger
from safewriter._run.directory import (
    claim,
    explained,
    has_events,
    is_remote,
    may_pass,
)
from safewriter._run.lock import RunLock
from safewriter._run.request import RunRequest

if TYPE_CHECKING:
    from safewriter._run.resume import Earlier
    from safewriter._torch.remote import RemoteEventWriter

logger = logging.getLogger("safewriter")


class Member:
    """One writer's part in a run."""

    def __init__(self, run: Run, *, may_move: bool) -> None:
        self.run = run
        self.left = False
        # A writer made for a run that others wrote before: if its step count starts over, it moves.
        self.may_move = may_move
        # The writer's short cuts into this run, by tag; emptied whenever the run is not as it was.
        self.shortcuts: dict[str | tuple[str, str], Any] = {}
        self.on_move: Callable[[], None] = lambda: None

    def ready(self) -> None:
        """See to it that the run is open in this process before an event is written."""
        if self.left or not self.run.is_open:
            self.run.reopen(self)

    def leave(self, *, failed: bool = False) -> None:
        """Take no further part; the last one to leave closes the run."""
        with _lifecycle.changing:
            self.shortcuts.clear()
            self.run.failed |= failed
            if not self.left:
                self.left = True
                self.run.left(self)

    def move_to(self, run: Run) -> None:
        """Leave for another run."""
        old, self.run = self.run, run
        old.members.discard(self)
        run.join(self)
        self.shortcuts.clear()
        old.close_if_left()


class Run:
    """One run directory and all that is open in it."""

    def __init__(self, directory: str, request: RunRequest, *, resumed: bool = False) -> None:
        self.directory = directory
        self.request = request
        self.resumed = resumed
        self.members: set[Member] = set()
        self.remote = is_remote(directory)
        self.is_open = False
        self.failed = False
        # Not empty, though this process may not have written an event to it.
        self.used = not self.remote and has_events(directory)
        self._location: Location = user_location()
        self.remote_writers: list[RemoteEventWriter] = []
        self._forked = False
        self._files: dict[str, EventFile] = {}
        self._ledgers: dict[str, TagLedger] = {}
        self._earlier: dict[str, Earlier] = {}
        self._purge_step: int | None = None
        self._lock = RunLock(directory)
        # Replaced by another object whenever the run goes to another place.
        self.place = object()

    def file(self, subdir: str) -> EventFile:
        """Return the event file of the run (``""``), or of a series below it."""
        file = self._files.get(subdir)
        if file is not None:
            return file
        with _lifecycle.changing:
            file = self._files.get(subdir)
            if file is None:
                kind = SilentFile if self.request.silent else EventFile
                file = kind(self._path(subdir), self.request.suffix, self._found_gone)
                with explained(file.directory):
                    try:
                        file.open()
                    except OSError as error:
                        # The events of a series wait for a disk that refuses to make it.
                        if not subdir or not may_pass(error):
                            raise
                self._files[subdir] = file
            return file

    def ledger(self, subdir: str) -> TagLedger:
        """Return the ledger of the run (``""``), or of a series below it."""
        with _lifecycle.changing:
            ledger = self._ledgers.get(subdir)
            if ledger is None:
                ledger = TagLedger(self.request.train_tags, self.request.eval_tags)
                if self.resumed or self._purge_step is not None:
                    earlier = self._look_back(subdir, ledger)
                    if self._purge_step is not None:
                        earlier.purge(self._purge_step)
                        ledger.rewind(self._purge_step)
                self._ledgers[subdir] = ledger
            return ledger

    def _look_back(self, subdir: str, ledger: TagLedger) -> Earlier:
        from safewriter._run.resume import (
            Earlier,  # Only a run that goes on has to read, and it takes 10 ms.
        )

        earlier = self._earlier[subdir] = Earlier(self._path(subdir))
        earlier.teach(ledger)
        return earlier

    def _path(self, subdir: str) -> str:
        return os.path.join(self.directory, subdir) if subdir else self.directory

    def restart_at(self, subdir: str, tag: str, step: int | None) -> int | None:
        """Return the step of a restart that is due before `tag` is logged at `step`, if any."""
        earlier = self._earlier.get(subdir)
        return None if earlier is None else earlier.restart_at(tag, step)

    def rewind(self, step: int) -> None:
        """Expect that everything from `step` on is logged again: a restart there was announced."""
        self._purge_step = step
        for subdir, ledger in self._ledgers.items():
            earlier = self._earlier.get(subdir) or self._look_back(subdir, ledger)
            earlier.purge(None)
            ledger.rewind(step)

    def join(self, member: Member) -> None:
        """Open the run if need be and count `member`. Raises what :meth:`open` raises."""
        self.open()
        self.members.add(member)

    def open(self) -> None:
        """Lock the directory and open the event file.

        Raises :class:`RunLockedError` or :class:`RunDirectoryError`.
        """
        if self.is_open or (_lifecycle.exited() and self._files):
            return  # At exit nothing would close it again. The event file opens by itself.
        if not self.remote and not self.request.silent:
            with explained(self.directory):
                os.makedirs(self.directory, exist_ok=True)
                self._lock.acquire()
            try:
                for file in self._files.values():
                    _go_on_last(file)
                self.file("")
            except BaseException:
                self._lock.release("failed")
                raise
        self._is_open_now()

    def _is_open_now(self) -> None:
        self.is_open = True
        _lifecycle.opened(self)

    def reopen(self, member: Member) -> None:
        """Open the run again for a member that logs after it was closed, or in a forked child."""
        if _lifecycle.exited():
            return  # Nothing would close it again. The event file opens by itself.
        forked = False
        with _lifecycle.changing:
            if not self.is_open:
                forked, self._forked = self._forked, False
                try:
                    self.open()
                except RunLockedError:
                    self._make_way()
                except RunDirectoryError:
                    # Training goes on, and events wait for the disk.
                    self._is_open_now()
            member.left = False
            self.members.add(member)
        if forked:
            warn(
                ForkedWriterWarning,
                "a forked child logs through the writer of its parent. Two processes in one event "
                f"file would spoil it, so the child's events go to {self.directory!r}. Log in the "
                "parent, or make a writer in the child.",
            )
        else:
            logger.info("%s is used after close(): opened again", self.directory)
        member.on_move()

    def left(self, member: Member) -> None:
        """Forget a member that left."""
        self.members.discard(member)
        self.close_if_left()

    def close_if_left(self) -> None:
        """Close the run if no writer is left in it."""
        if self.is_open and not self.members:
            self._close("failed" if self.failed else "finished", look=True)

    def close_at_exit(self, status: str) -> None:
        """Close the run with all its members, because the process ends."""
        for member in self.members:
            member.shortcuts.clear()
        self._close("failed" if self.failed else status, look=False)

    def after_fork(self) -> None:
        """In a forked child: be closed, and write below the parent's directory if at all."""
        self._forked = True
        self.is_open = False
        for file in self._files.values():
            file.after_fork()
        for member in list(self.members):
            member.shortcuts.clear()
        self.members.clear()
        self.remote_writers.clear()
        self._go_to(os.path.join(self.directory, f"fork-{os.getpid()}"))

    def _go_to(self, directory: str) -> None:
        self.directory = directory
        self.place = object()
        self._ledgers.clear()
        self._earlier.clear()
        self.resumed = False
        self._purge_step = None
        self._lock = RunLock(directory)
        for subdir, file in self._files.items():
            file.move_to(self._path(subdir))

    def _make_way(self) -> None:
        """Open a new directory instead, because another process writes this one by now."""
        taken = self.directory
        self._go_to(claim(os.path.dirname(taken)))
        for member in list(self.members):
            member.shortcuts.clear()
            member.on_move()
        self._lock.acquire()
        self._is_open_now()
        warn(
            ReusedRunWarning,
            f"{taken!r} was closed or removed here and is now written by another process: what is "
            f"logged from now on goes to {self.directory!r}.",
        )

    def _close(self, status: str, *, look: bool) -> None:
        self.is_open = False
        _lifecycle.closed(self)
        # All of it, even where a warning is an exception.
        with contextlib.ExitStack() as stack:
            if not (self.remote or self.request.silent):
                stack.callback(self._lock.release, status)
            for file in self._files.values():
                stack.callback(file.close, look=look)
            for writer in self.remote_writers:
                stack.callback(writer.close)
            self.remote_writers.clear()
            self.place = object() if self.remote else self.place
        if self.remote or self.request.silent:
            return
        if not self.used and not any(file.events or file.lost for file in self._files.values()):
            warn_at(
                self._location,
                EmptyRunWarning,
                f"the run {self.directory!r} was closed without a single event: TensorBoard lists "
                "it with nothing in it. Log to it, or make the writer only where you log.",
            )

    def _found_gone(self) -> None:
        """Lock and describe the directory again: it was deleted or renamed under the run."""
        with _lifecycle.changing:
            if not self.is_open or self._lock.is_there():
                return
            # The events are safe without a lock, and training must go on.
            with contextlib.suppress(OSError, RunDirectoryError):
                try:
                    self._lock.renew()
                except RunLockedError:
                    self._make_way()


def _go_on_last(file: EventFile) -> None:
    """Let `file` go on in a later-named one if another process wrote the run while it was closed.

    Readers take what follows in an earlier-named file for older than all that is in a later one.
    """
    if file.path is not None:
        from safewriter.events import event_files

        with contextlib.suppress(OSError):
            if event_files(file.directory)[-1:] not in ([], [file.path]):
                file.move_to(file.directory)
