"""How an event reaches the disk: one record, one write(2).

A record is in the kernel when :meth:`EventFile.append` returns. What the disk refuses waits in
memory and goes out later, in order, from the very byte where the write stopped; a byte once written
is never changed. This module knows no tags and no torch.

Who may be in here, and when
    Other threads wait for the file's lock. A signal handler does not: it runs in the thread that
    holds the lock, behind any call, and may log, close or raise there. CPython looks for signals
    behind calls and at jumps backwards only, so the statements between two calls are one step, and
    a change of state is made of such steps. Whoever comes in takes a new *turn*, and whoever finds
    after a call that the turn is no longer his begins anew with the state as it is now. So a
    handler that interrupts a write finishes it before it writes its own event, and its event is in
    the kernel when its call returns.

    Nothing under the lock waits for another lock, runs the user's code or sleeps: warnings, and the
    run that wants to know that the file was looked at, are told when it is free again.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Sequence

from safewriter._disk import backlog, open_files
from safewriter._disk.directories import make_directories
from safewriter._disk.file_names import OPEN_FLAGS, create_event_file, timestamp_of
from safewriter._disk.marks import Mark, Move
from safewriter._disk.open_files import Descriptor, DiskErrorsIgnored, identity
from safewriter._disk.reports import Reports, counted
from safewriter._disk.states import State
from safewriter._errors import WriteErrorWarning, warn
from safewriter._tfrecord import frame, version_record

#: The file is no longer where we opened it: go on in a new one instead of waiting for it.
_GONE_ERRNOS = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ESTALE, errno.ENXIO})

#: Seconds between two looks at whether the file is still where it was created.
_LOOK_SECONDS = 1.0


# Looked up at each event: a member of an enumeration is found by a search of its class.
_NEW, _READY, _BUSY, _WAITING, _GONE, _CLOSED = State

_Look = Callable[[], None]


class EventFile:
    """The live event file of one directory, appended to by any number of threads.

    Created on the first :meth:`open` or :meth:`append`. `on_look` is called, without the lock,
    about once a second while something is logged, and when the file has disappeared, before another
    one is made: it may :meth:`relocate` the file.
    """

    def __init__(self, directory: str, suffix: str = "", on_look: _Look | None = None) -> None:
        self.directory = directory
        self.lock = threading.RLock()
        self.path: str | None = None
        self.events = 0
        self.lost = 0
        self._suffix = suffix
        self._on_look = on_look
        self._state = _NEW
        self._closed_for = -1
        self._turn = 0
        self._descriptor = Descriptor()
        self._fd = -1
        self._identity: tuple[int, int] | None = None
        self._timestamp = -1
        # Bytes that are known to be in the file, and how many of them are the record under way.
        self._size = 0
        self._arrived = 0
        self._sizes_are_true = True
        # The version record, until it is written; the record under way; what waits behind it.
        self._header: bytes | None = None
        self._current: bytes | None = None
        self._backlog = backlog.Backlog()
        self._looked_at = self._look_at = 0.0
        self._looked = False
        self._reports = Reports()

    @property
    def state(self) -> State:
        """How the file stands at this moment."""
        return self._state

    def is_closed_for(self, generation: int) -> bool:
        """Tell whether the file is closed, and stays so for this opening of its run."""
        return self._state is _CLOSED and self._closed_for >= generation

    def open(self, generation: int = 0) -> None:
        """Create the file with its version record, unless there is one.

        Raises the ``OSError`` of the file system if the file cannot be made.
        """
        with self.lock:
            if self._may_write(generation) and self.path is None and self._state is _NEW:
                self._create(self._take_turn())
            self._advance(time.time())
        self.tell()

    # One long function: at this size each call costs as much as the work in it.
    def append(
        self,
        payload: bytes,
        now: float,
        mark: Mark | None = None,
        step: int = 0,
        value: float | None = None,
        logger: object = None,
        rising: bool = False,
        generation: int = 0,
        also: Sequence[Move] = (),
    ) -> int | None:
        """Write one event; return the step that `mark` had before, or None if nothing was done.

        `now` is the current time in seconds since the epoch. `mark` is moved to `step` in the same
        instant in which the event is written, so what the file holds is what the mark says; `also`
        is moved with it, for an event of several tags. With
        `rising`, nothing is done unless the step rises and the file is ready. Nothing is done
        either if the file was closed for this `generation` (opening) of its run.
        """
        record = frame(payload)
        size = len(record)
        before = 0
        with self.lock:
            ready = self._state is _READY and self._looked_at <= now < self._look_at
            if not ready and (rising or not self._may_write(generation)):
                return None
            if mark is not None:
                before = mark.last
                if rising and step <= before:
                    return None
                mark.last = step
                mark.value = value
                mark.logger = logger
            for other in also:
                other.move(logger)
            if ready:
                turn = self._turn = self._turn + 1
                self._state = _BUSY
                self._current = record
                try:
                    written = os.write(self._fd, record)
                except OSError as error:
                    self._refused(error, turn)
                else:
                    if written == size and self._turn == turn:
                        self._size += size
                        self._current = None
                        self.events += 1
                        self._state = _READY
                        return before
            else:
                fits = self._backlog.takes(size, at_any_price=not self._reports.refusing)
                self._reports.delayed += self._reports.refusing
                # In one step: the event of a handler that finds the file ready would overtake.
                if self._state is _READY:
                    self._state = _WAITING
                if fits:
                    self._backlog.waiting.append(record)
            # A short write, a refusal, a look that is due, or a signal handler that was here.
            self._advance(now)
            if self._state is _CLOSED and self._backlog.waiting:
                # A signal handler closed it before the event was queued.
                self._backlog.empty()
                if mark is not None:
                    mark.last = before
                return None
        self.tell()
        return before

    def take_over(
        self,
        records: Sequence[bytes],
        waited: list[bytes],
        source: dict[str, list[bytes]],
        key: str,
        generation: int,
    ) -> bool:
        """Write `records`, the events that waited in ``source[key]``, emptied in the same step.

        Nothing is written if `waited` is no longer what waits there: a signal handler was quicker.
        False is returned if the file was closed for this `generation` of its run. With the lock
        held; whoever gives it back calls :meth:`tell`.
        """
        if not self._may_write(generation):
            return False
        waiting = self._backlog.waiting
        # Without a call: what waits is there or here, and never in both.
        if source[key] is waited:
            if self._state is _READY:
                self._state = _WAITING
            waiting += records
            source[key] = []
        self._advance(time.time())
        return True

    def flush(self) -> None:
        """Try again at once what the disk has refused. Nothing else waits."""
        with self.lock:
            if self._waits():
                self._reports.try_at_once()
                self._advance(time.time())
        self.tell()

    def close(self, generation: int = 0, *, look: bool = True) -> None:
        """Write what waits, give up what the disk still refuses, and close the descriptor.

        The file opens again for a later generation only. `look` is whether to check first that the
        file is still where it was created: not at interpreter exit, when programs have tidied their
        temporary directories away.
        """
        with self.lock:
            self._closed_for = max(self._closed_for, generation)
            if look:
                self._look_at = 0.0
            self._reports.try_at_once()
            self._advance(time.time())
            turn = self._take_turn()
            if self._state is _GONE and self._waits():
                self._let_go(_NEW, turn, forget=True)
                self._advance(time.time())
            while self._state is not _CLOSED:
                self._advance(time.time())  # Again if a signal handler was here.
                self._give_up()
                turn = self._take_turn()
                if not self._waits():
                    self._let_go(_CLOSED, turn, quietly=False)
        self.tell()

    def relocate(self, directory: str) -> None:
        """Go on in a new file in another directory, with what waits."""
        with self.lock:
            self.directory = directory
            moved = False
            while not moved:  # Again if a signal handler was here.
                turn = self._take_turn()
                if self._state is _BUSY:
                    try:
                        self._account(turn)
                    except OSError as error:
                        self._refused(error, turn)
                else:
                    state = _CLOSED if self._state is _CLOSED else _NEW
                    moved = self._let_go(state, turn, forget=True)

    def release_descriptor(self) -> None:
        """Close the descriptor if nothing is under way; the next append opens it again."""
        got: list[bool] = []
        try:
            # Never waiting: the thread that uses this file may wait for the one that asks. By C
            # code, so that a signal handler's exception finds in `got` whether the lock is taken.
            got.extend(map(self.lock.acquire, (False,)))
            # The turn first: a handler that comes in behind the look at the state has another one.
            turn = self._take_turn() if got[0] else 0
            if got[0] and self._state in (_READY, _WAITING):
                self._let_go(_WAITING, turn, quietly=False)
        finally:
            if got and got[0]:
                self.lock.release()

    def after_fork(self) -> None:
        """In a forked child: let go of the parent's file and of what waits for it."""
        # Without the lock: another thread of the parent may have held it at the fork.
        self._closed_for = 2**63
        self._take_turn()
        self._state = _CLOSED
        self._fd = -1
        with DiskErrorsIgnored():
            self._descriptor.close()

    def tell(self) -> None:
        """Say what happened, without the lock: all of this may run other code."""
        if self._looked:
            self._looked = False
            if self._on_look is not None:
                self._on_look()
        if self._state is _GONE:
            with self.lock:
                turn = self._take_turn()
                if self._state is _GONE:
                    self._let_go(_NEW, turn, forget=True)
                    self._reports.try_at_once()
                    self._advance(time.time())
        while self._reports.news:
            try:
                message = self._reports.news.popleft()
            except IndexError:
                return  # Another thread tells it.
            warn(WriteErrorWarning, message)

    # What follows is called with the lock held.

    def _take_turn(self) -> int:
        turn = self._turn = self._turn + 1
        return turn

    def _may_write(self, generation: int) -> bool:
        """Open a closed file again for a later generation; tell whether it may be written."""
        if self._state is _CLOSED and generation > self._closed_for:
            self._state = _NEW if self.path is None else _WAITING
        return self._state is not _CLOSED

    def _waits(self) -> bool:
        return self._header is not None or self._current is not None or bool(self._backlog.waiting)

    def _advance(self, now: float) -> None:
        """Write what waits as far as the disk takes it, from whatever state the file is in."""
        if not self._looked_at <= now < self._look_at:
            self._look(now, self._take_turn())
        while self._state not in (_GONE, _CLOSED):
            turn = self._take_turn()
            try:
                if self._fd < 0:
                    if not (self._waits() and self._reports.may_try()):
                        return
                    if self.path is None:
                        self._create(turn)
                    else:
                        self._open_again(turn)
                elif self._state is _BUSY:
                    self._account(turn)
                elif self._header is None and self._current is None:
                    if not self._backlog.waiting:
                        self._settle()
                        return
                    self._arrived, self._state = 0, _WAITING
                    self._current = self._backlog.waiting[0]
                    del self._backlog.waiting[0]
                elif self._reports.may_try():
                    self._write(turn)
                else:
                    return
            except OSError as error:
                if not self._refused(error, turn):
                    return

    def _write(self, turn: int) -> None:
        header = self._header
        record = self._current if header is None else header
        if record is None:
            return  # A signal handler wrote it.
        rest = memoryview(record)[self._arrived :]
        missing = len(rest)
        if self._turn != turn:
            return
        self._state = _BUSY
        written = os.write(self._fd, rest)
        if self._turn != turn:
            return
        self._commit(written, missing, turn)
        if header is not None:
            # A mount that shows a file only once it is closed says nothing true about its size.
            size = os.fstat(self._fd).st_size
            if self._turn == turn:
                self._sizes_are_true = size == self._size

    # Without a call: what is between two calls is one step. Its own entry is a place for handlers.
    def _commit(self, written: int, missing: int, turn: int) -> None:
        if self._turn != turn:
            return
        self._size += written
        self._arrived += written
        self._state = _WAITING
        if written == missing:
            self._arrived = 0
            if self._header is not None:
                self._header = None
            else:
                self._current = None
                self.events += 1

    def _settle(self) -> None:
        """Be ready: everything went out."""
        self._backlog.settle()
        if self._reports.refusing:
            lost, self._backlog.dropped = self._backlog.dropped, 0
            self.lost += lost
            self._reports.accepted(self._place(), lost)
        # Nothing is called behind the last look: a handler may have moved the file before.
        if not self._waits() and self._fd >= 0:
            self._state = _READY

    def _account(self, turn: int) -> None:
        """Find out how much arrived of a record whose write was cut short by an exception."""
        size = os.fstat(self._fd).st_size
        record = self._current if self._header is None else self._header
        missing = 0 if record is None else len(record) - self._arrived
        extra = size - self._size
        if self._turn != turn:
            return
        if record is None and extra and self._sizes_are_true:
            self._changed_size(size, turn)
        elif record is None:
            self._state = _WAITING
        elif 0 <= extra <= missing and self._sizes_are_true:
            self._commit(extra, missing, turn)
        else:
            self._lose_sight(f"{self.path} was changed by somebody else", turn)

    def _open_again(self, turn: int) -> None:
        fresh, old, path = Descriptor(), self._descriptor, self.path
        if path is None:
            return  # A signal handler was here.
        try:
            fresh.open(path, OPEN_FLAGS)
            number = fresh.number
        except OSError as error:
            fresh.close()
            if error.errno not in _GONE_ERRNOS:
                raise
            self._lose_sight(_went_away(path, self.events), turn)
            return
        except BaseException:
            fresh.close()
            raise
        if self._turn != turn:
            fresh.close()
        elif fresh.identity != self._identity:
            fresh.close()
            self._lose_sight(_went_away(path, self.events), turn)
        else:
            self._descriptor, self._fd = fresh, number
            # Something may have been under way when it was closed, or have happened to it since.
            self._state = _BUSY
            del old
            open_files.opened(self)

    def _create(self, turn: int) -> None:
        make_directories(self.directory)
        header = version_record()
        fresh = Descriptor()
        path, kept = None, False
        try:
            path = create_event_file(fresh, self.directory, self._suffix, after=self._timestamp)
            timestamp, number, now = timestamp_of(path), fresh.number, time.time()
            # Held on to: the end of an object runs code, and what follows is one step.
            old = self._descriptor
            if self._turn == turn:
                kept = True
                self._descriptor, self._fd, self.path = fresh, number, path
                self._identity, self._timestamp = fresh.identity, timestamp
                self._size = self._arrived = self.events = 0
                self._sizes_are_true = True
                self._header = header
                self._state = _WAITING
                self._looked_at, self._look_at = now, now + _LOOK_SECONDS
        finally:
            if not kept:
                # A signal handler made one meanwhile, or raised.
                fresh.close()
                if path is not None:
                    with DiskErrorsIgnored():
                        os.unlink(path)
        del old
        if kept:
            open_files.opened(self)

    def _look(self, now: float, turn: int) -> None:
        """Notice that the file was deleted, moved, renamed, replaced, truncated or written."""
        path, fd = self.path, self._fd
        links = size = -1
        there, ours = self._identity, True
        if fd >= 0 and path is not None:
            try:
                here = os.fstat(fd)
                links, size = here.st_nlink, here.st_size
                ours = identity(here) == self._identity
                if ours:
                    there = None
                    there = identity(os.stat(path))
            except OSError as error:
                if error.errno is None:
                    raise  # by a signal handler
                if error.errno == errno.EBADF:
                    ours = False
                elif error.errno not in _GONE_ERRNOS:
                    there = self._identity  # The disk does not say.
        if self._turn != turn:
            return  # A signal handler was here, and looked for itself.
        # Only now: until the look is done, it is due.
        self._looked_at, self._look_at, self._looked = now, now + _LOOK_SECONDS, True
        if not ours:
            self._disown(turn)
        elif there != self._identity:
            # Before any call: what a handler logs from here on goes to the next file.
            self._state = _GONE
            self._turn = turn = turn + 1
            events = self.events
            self._reports.gone(_went_away(path, events, deleted=links == 0))
            self._let_go(_GONE, turn, forget=True)
        elif self._state is _WAITING and self._arrived:
            self._state = _BUSY  # The beginning of a record is in the file: is it still?
        elif self._state is not _BUSY and size not in (-1, self._size):
            self._changed_size(size, turn)

    def _changed_size(self, size: int, turn: int) -> None:
        if not self._sizes_are_true:
            return
        how = "truncated" if size < self._size else "written to"
        self._lose_sight(
            f"{self.path} was {how} by another program, so TensorBoard may not read what is in it "
            f"({counted(self.events)})",
            turn,
        )

    def _lose_sight(self, reason: str, turn: int) -> None:
        """Be without a file until `on_look` was called; what is under way goes to the next one."""
        if self._let_go(_GONE, turn, forget=True):
            self._reports.gone(reason)

    def _disown(self, turn: int) -> None:
        """Somebody closed our descriptor; its number may be another file's by now."""
        self._let_go(_WAITING, turn)

    def _let_go(
        self, state: State, turn: int, *, forget: bool = False, quietly: bool = True
    ) -> bool:
        """Be in `state` without a descriptor, or do nothing if the turn is over.

        The descriptor is closed only if it still is ours. `forget` is whether the file is done with
        as well.
        """
        empty = Descriptor()
        if self._turn != turn:
            return False
        self._turn += 1
        self._state = state
        self._looked |= state is _GONE
        descriptor, self._descriptor, self._fd = self._descriptor, empty, -1
        if forget:
            self.path = self._header = None
            self._arrived = 0
        open_files.closed(self)
        try:
            descriptor.close()
        except OSError as error:
            if error.errno is None:
                raise  # by a signal handler
            if not quietly:
                self._reports.closed_badly(self.path, error)
        return True

    def _refused(self, error: OSError, turn: int) -> bool:
        """Note what the disk said, unless a handler was here; tell whether to go on at once."""
        if error.errno is None:
            raise error  # Not the disk's: a signal handler raised it, TimeoutError for example.
        if self._turn != turn:
            return True
        if error.errno == errno.EBADF:
            self._disown(turn)
            return True
        if error.errno in _GONE_ERRNOS and self._fd >= 0:
            self._lose_sight(_went_away(self.path, self.events), turn)
            return True
        self._state = _NEW if self.path is None else _WAITING
        self._reports.refused(
            self._place(), error.errno, self._count_waiting(), backlog.limit_in_words()
        )
        return False

    def _count_waiting(self) -> int:
        return len(self._backlog.waiting) + (self._current is not None)

    def _give_up(self) -> None:
        self._take_turn()
        if self._state is _BUSY:
            return  # How much of it arrived is not known yet.
        if self._waits() and self._arrived:
            self.path = None  # It ends in the middle of a record: nothing may follow there.
        current, self._header, self._current, self._arrived = self._current, None, None, 0
        lost = self._backlog.empty() + (current is not None)
        self.lost += lost
        self._reports.gave_up(self._place(), lost)

    def _place(self) -> str:
        return self.path or self.directory


def _went_away(path: str | None, events: int, *, deleted: bool = False) -> str:
    if deleted:
        return f"{path} was deleted, and with it {counted(events)}"
    return (
        f"{path} is no longer there: it was deleted, moved, renamed or replaced, and with it "
        f"{counted(events)}"
    )
