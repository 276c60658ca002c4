"""Which run a new writer writes: what it logs waits until something tells.

A writer that is made for a run whose earlier writers have all left may begin the next round of a
sweep, or go on with the run (see ``docs/runs.md``). All that were made since form one *round* and
are decided together. Until then what they log waits, in memory and in a file of the hidden folder,
``.safewriter/waiting-<token>[.<series>]``: records as in an event file, in the kernel when the call
returns. Whoever opens the run after a kill finds them there and writes them down.

``state_lock`` protects a round; what waits is written under the lock of the file it goes to.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from safewriter import _lifecycle
from safewriter._disk.event_file import EventFile
from safewriter._disk.open_files import Descriptor, DiskErrorsIgnored
from safewriter._errors import Notice, tell
from safewriter._run.directory import claim
from safewriter._run.process import this_process
from safewriter._run.record import HIDDEN, NO_LINKS, hidden_folder
from safewriter._run.run import Member, Run, reopen
from safewriter._tfrecord import frame
from safewriter.events import event_files, read_records
from safewriter.events._records import parse
from safewriter.events._waiting import waiting_files, waiting_name

if TYPE_CHECKING:
    from safewriter._ledger.ledger import TagLedger
    from safewriter._run.place import File

#: How long, and how many events, may wait: whoever watches the training wants to see it.
_MOST_SECONDS = 60.0
_MOST_EVENTS = 10_000


class Round:
    """The writers made for a run since its earlier writers left."""

    def __init__(self, run: Run) -> None:
        # The run of the earlier writers, and the one that is decided.
        self.run = self.goes_to = run
        self.members: dict[Member, None] = {}
        self.decided = False
        # A run is being made for it: what comes in between, a signal handler's too, waits.
        self.is_moving = False
        # By the directory below the run. The file's lock of each protects that what waits for it is
        # written once.
        self.entries: dict[str, list[bytes]] = {}
        # What is known of the tags that wait, by the same directories.
        self.ledgers: dict[str, TagLedger] = {}
        self.process = this_process()
        self._events_before = _count_events(run)
        self._until = 0.0
        self._count = 0
        # The files with what waits, and those directories whose events were written down by now.
        self._files: dict[str, list[tuple[Descriptor, str]]] = {}
        self._written: set[str] = set()
        # It holds the run open while that is done: the writers may have left. It is no writer that
        # lives, for which another new one would go on with the run.
        self._keeper = Member(set())

    def is_open(self) -> bool:
        """Tell whether nothing has told yet which run the round writes. With ``state_lock`` held.

        It goes on with the run where an earlier writer is still in it, or has logged since this
        round began, and where there is nothing that could be mixed.
        """
        if self.decided or self.process is not this_process():
            return False
        run = self.run
        return (
            run.place.is_local
            and not any(m.is_live() for m in list(run.members) if m not in self.members)
            and _count_events(run) == self._events_before
            and any(part.ledger.holds_anything() for part in list(run.parts.values()))
        )

    def logged_series(self) -> bool:
        """Tell whether the earlier writers logged a curve, not single points each."""
        return any(part.ledger.holds_series() for part in list(self.run.parts.values()))

    def keep(self, subdir: str, payload: bytes) -> bool:
        """Have an event wait; False if it must not, and the round goes on with the run."""
        with _lifecycle.state_lock:
            now, decided = time.monotonic(), self.decided
            if decided or self._count >= _MOST_EVENTS or now > (self._until or now):
                return False
            if _lifecycle.exited():
                return False  # Nothing would decide it any more.
            self._until = self._until or now + _MOST_SECONDS
            self._count += 1
            # First of all: whatever comes in between, the file is closed in the end.
            self.entries.setdefault(subdir, [])
            try:
                self._note(subdir, frame(payload))
            except OSError as error:
                if error.errno is None:
                    raise  # by a signal handler
                return False  # A disk that refuses is the event file's to deal with.
            self.entries[subdir].append(payload)
        if self.decided:
            self.write_down()  # By a signal handler just now.
        return True

    def _note(self, subdir: str, record: bytes) -> None:
        if subdir not in self._files:
            # A fresh one: what a signal handler opens or closes meanwhile is not it.
            file, name = Descriptor(), waiting_name(secrets.token_hex(8), subdir)
            with hidden_folder(self.run.directory, make=True) as folder:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | NO_LINKS
                file.open(folder.prefix + name, flags, dir_fd=folder.number)
            self._files.setdefault(subdir, []).append((file, name))
        file, _ = self._files[subdir][-1]
        # A torn record at the end is one whose call has not returned.
        if os.write(file.number, record) != len(record):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def move_to(self, run: Run) -> None:
        """Decide for a new run, and take along what waits: it is in one of them at any time."""
        self.goes_to = run
        self.decided = True
        for files in list(self._files.values()):
            for _, name in files:
                with DiskErrorsIgnored():
                    os.rename(_hidden(self.run.directory, name), _hidden(run.directory, name))

    def go_on(self) -> None:
        """Go on with the run. Without ``state_lock``."""
        with _lifecycle.state_lock:
            if self.process is not this_process():
                return
            self.decided = True
        self.write_down()

    def leave(self, member: Member) -> None:
        """A writer leaves: if anything waits, the round goes on with the run."""
        if self.process is this_process() and (self.decided or self.entries):
            self.go_on()
        with _lifecycle.state_lock:
            self.members.pop(member, None)
            member.round = None

    def write_down(self) -> None:
        """Write what waits, once the run is known. Without ``state_lock``; may be done again."""
        self._keeper.run = self.goes_to
        with contextlib.ExitStack() as stack:
            stack.callback(self._keeper.leave)
            stack.callback(self._end)
            for subdir, waiting in list(self.entries.items()):
                if waiting or subdir not in self._written:
                    stack.callback(self._write_down, subdir)

    def _write_down(self, subdir: str) -> None:
        self._write_waiting(subdir)
        for file, name in self._files.get(subdir, ()):
            for run in (self.run, self.goes_to):
                with DiskErrorsIgnored():
                    os.unlink(_hidden(run.directory, name))
            with DiskErrorsIgnored():
                file.close()
        self._written.add(subdir)

    def _write_waiting(self, subdir: str) -> None:
        notices: list[Notice] = []
        done = False
        while not done:
            generation = reopen(self._keeper)
            part = self.goes_to.prepare(subdir, generation)
            file = part.file
            assert isinstance(file, EventFile)  # Nothing waits for others.
            with part.lock:
                waited = self.ledgers.pop(subdir, None)
                if waited is not None:
                    notices += part.ledger.take_over(waited)
                waiting = self.entries[subdir]
                records = [frame(payload) for payload in waiting]
                done = file.take_over(records, waiting, self.entries, subdir, generation)
            file.tell()
        tell(notices)

    def _end(self) -> None:
        # What a signal handler has interrupted is done again by the next call.
        if self._written.issuperset(self.entries):
            for member in list(self.members):
                member.round = None
            if self.run.round is self:
                self.run.round = None


def _count_events(run: Run) -> int:
    return sum(part.file.events for part in list(run.parts.values()))


def _hidden(directory: str, name: str) -> str:
    return os.path.join(directory, HIDDEN, name)


def write_down_leftovers(run: Run, generation: int) -> None:
    """Write what waited in a run when its process was killed; with the run's lock held.

    It goes to the run, or to a new one beside it if the run has other content in its place.
    """
    found = waiting_files(run.directory)
    missing = {path: _not_written(run.path(subdir), path) for subdir, path in found}
    own = None
    if any(is_other for _, is_other in missing.values()):
        own = claim(os.path.dirname(run.directory))
    for subdir, path in found:
        payloads, _ = missing[path]
        if own is not None:
            file: File = EventFile(os.path.join(own, subdir) if subdir else own)
        else:
            file = run.part(subdir).file
        for payload in payloads:
            file.append(payload, time.time(), generation=generation)
        if own is not None:
            file.close()
        with DiskErrorsIgnored():
            os.unlink(path)


def _not_written(directory: str, path: str) -> tuple[list[bytes], bool]:
    """Return what waits in a file and is not in the directory, and whether other content is."""
    known: set[bytes] = set()
    last: dict[str, tuple[int, bytes]] = {}
    for file_name in event_files(directory) if os.path.isdir(directory) else ():
        for payload in _payloads(file_name):
            known.add(payload)
            last.update(_points(payload))
    missing = [payload for payload in _payloads(path) if payload not in known]
    points = [point for payload in missing for point in _points(payload)]
    is_other = any(tag in last and last[tag] != at and at[0] <= last[tag][0] for tag, at in points)
    return missing, is_other


def _payloads(path: str) -> Iterator[bytes]:
    """Yield what is intact in a file, also behind a fault."""
    return (record.data for record in read_records(path) if record.data)


def _points(payload: bytes) -> Iterator[tuple[str, tuple[int, bytes]]]:
    event = parse(payload)
    if event is not None:
        for value in event.summary.value:
            yield value.tag, (event.step, value.SerializeToString())
