"""The runs of this process: which one a writer joins, and when a new one begins."""

from __future__ import annotations

import logging
import os
import time
import uuid
from dataclasses import replace

from safewriter import _lifecycle
from safewriter._errors import (
    ForkedWriterWarning,
    Notice,
    ReusedRunWarning,
    RunDirectoryError,
    RunLockedError,
    tell,
)
from safewriter._run.directory import (
    claim,
    explained,
    free_name,
    is_remote,
    is_run,
    is_unique_name,
    make,
    run_name,
)
from safewriter._run.lock import HeldError
from safewriter._run.process import Process, this_process
from safewriter._run.record import read_record
from safewriter._run.request import RunRequest
from safewriter._run.run import Member, Run, fork_name, known, patiently, real

logger = logging.getLogger("safewriter")

#: How long a process that was refused waits for the holder to write down who it is.
_HOLDER_SECONDS = 2.0

# Where the run is that the next writer on a log_dir, with a comment, joins.
_current: dict[tuple[str, str], str] = {}

# What a writer that was sent here from another process writes, by the directory of its run there.
_received: dict[str, str] = {}


def join(request: RunRequest, member: Member) -> None:
    """Make `member` one of the run of this process that `request` means, or of a new one.

    Raises :class:`RunDirectoryError` and :class:`RunLockedError`.
    """
    _lifecycle.catch_up()
    taken: set[str] = set()
    notices: list[Notice] = []

    def attempt() -> None:
        run = _running(request)
        member.may_move = run is not None and request.unique and not request.resume
        if run is not None:
            _enter(run, member, notices)
        else:
            _begin(request, member, taken, notices)

    while True:
        try:
            patiently(attempt)
            break
        except HeldError as held:
            # It was new, or nobody was writing it, a moment ago: another process was quicker.
            directory = str(held)
            if not request.unique or directory in taken or directory == request.log_dir:
                raise _locked(directory) from None
            taken.add(directory)
        except BaseException:
            member.leave()
            raise
    try:
        run, generation = member.run, member.run.generation
        part = run.prepare("", generation, strict=True)
        with explained(run.directory):
            part.file.open(generation)
        tell(notices)
    except BaseException:
        member.leave()
        raise


def _enter(run: Run, member: Member, notices: list[Notice]) -> None:
    """Make `member` one of `run`, opened if need be. With ``state_lock`` held."""
    # First of all, so that whatever comes in between, the member's leaving closes the run.
    member.run = run
    run.members.add(member)
    member.left = False
    try:
        notices.extend(run.open())
    except (HeldError, RunDirectoryError) as error:
        run.members.discard(member)
        run.abandon()
        if isinstance(error, HeldError):
            raise HeldError(run.directory) from None
        raise


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


def start_over(member: Member, tag: str, step: int) -> None:
    """Move `member` to a new run, because the step count of `tag` starts over."""
    old = member.run
    notices: list[Notice] = []

    def attempt() -> None:
        if not member.may_move:
            return
        member.may_move = False
        # Until it has left: its leaving leaves both, whatever comes in between.
        member.moved_from = old
        _begin(old.request, member, set(), notices)
        member.fast_scalars = {}
        old.members.discard(member)
        old.close_if_left()

    try:
        patiently(attempt)
    except (HeldError, RunDirectoryError):
        member.run, member.moved_from = old, None
        return  # The disk refuses another directory, and training goes on in this one.
    old.finish_closing()
    member.moved_from = None
    logger.info(
        "the steps of tag %r start over at %d: from here on they go to a new run, %s",
        tag,
        step,
        member.run.directory,
    )
    tell(notices)


def request_of_received(directory: str, origin: Process, request: RunRequest) -> RunRequest:
    """Return what an unpickled writer asks for: its run, or in another process one below it."""
    if origin.token == this_process().token:
        return replace(request, log_dir=directory, named=True, unique=False, continues=True)
    where = _received.get(directory)
    if where is not None:
        return replace(request, log_dir=where, named=True, unique=False, continues=True)
    path = os.path.join(directory, fork_name())
    if not is_remote(directory):
        path = free_name(path)
    return replace(request, log_dir=path, named=True, unique=False, claims=True)


def note_received(directory: str, member: Member) -> None:
    """Remember where a writer that was sent here writes: a second one joins it."""
    _received[directory] = member.run.directory


def _key(request: RunRequest) -> tuple[str, str]:
    return real(request.log_dir), request.comment


def _running(request: RunRequest) -> Run | None:
    """Return the run of this process that a request means, if there is one."""
    if request.claims:
        return None
    directory = real(request.log_dir)
    found = known.get(directory) if request.named or not request.unique else None
    if found is None and request.unique and request.named:
        where = _current.get(_key(request))
        found = None if where is None else known.get(where)
        if found is None and where is not None and is_run(where):
            # Closed long ago and forgotten: what it wrote is read back.
            found = Run(where, request, resumed=True)
    if found is None or found.is_open or not found.place.is_local:
        return found
    # It may have been closed, and its directory tidied away since.
    return found if os.path.isdir(found.directory) else None


def _begin(request: RunRequest, member: Member, taken: set[str], notices: list[Notice]) -> None:
    """Begin a new run with `member`, or continue an earlier one if `request` resumes.

    Raises :class:`HeldError`, with the directory, if another process writes it.
    """
    directory, resumed = _choose_directory(request, taken)
    run = Run(directory, request, resumed=resumed)
    _enter(run, member, notices)
    if run.used and not (resumed or request.continues):
        notices.append(
            Notice(
                ReusedRunWarning,
                f"{directory!r} already holds the events of an earlier run, and TensorBoard will "
                "draw both as one. Leave unique=True for a directory of its own, or say that the "
                "run goes on: resume=True or purge_step=.",
            )
        )
    if request.named:
        _current[_key(request)] = real(run.directory)


def _choose_directory(request: RunRequest, taken: set[str]) -> tuple[str, bool]:
    """Return the directory of a new run, and whether it is an earlier run that goes on.

    Those in `taken` turned out to be written by another process.
    """
    log_dir = request.log_dir
    if request.silent:
        return os.path.join(log_dir, run_name(request.comment, request.rank)), False
    if is_remote(log_dir):
        # No exclusive mkdir there: a random part keeps the names apart.
        name = run_name(request.comment, request.rank)
        parent = log_dir if log_dir.endswith("/") else log_dir + "/"
        return f"{parent}{name}_{uuid.uuid4().hex[:8]}" if request.unique else log_dir, False
    if request.claims:
        return log_dir, False
    if not request.unique:
        return make(log_dir), request.resume and is_run(log_dir)
    if request.resume:
        from safewriter._run.resume import newest_run

        earlier = newest_run(log_dir, request.comment, request.rank, taken)
        if earlier is not None:
            return earlier, True
    if request.named and is_unique_name(log_dir) and not is_run(log_dir):
        return make(log_dir), False
    return claim(log_dir, request.comment, request.rank), False


def _locked(directory: str) -> RunLockedError:
    """Return the error that names pid, host and start of the process that holds a lock."""
    return RunLockedError(
        f"{directory!r} is being written by {_holder(directory)}. Two writers would hide "
        "each other's points in TensorBoard: use another log_dir, leave unique=True, or "
        "end the other process."
    )


def _holder(directory: str) -> str:
    deadline = time.monotonic() + _HOLDER_SECONDS
    while True:
        try:
            record = read_record(directory) or {}
        except OSError:
            record = {}
        # A record that is not of a running process is the predecessor's: the holder has the
        # lock, but has not written its own yet.
        if record.get("status") == "running" and "pid" in record and _may_live(record):
            try:
                start = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record["start"]))
            except (KeyError, ValueError, OverflowError, OSError):  # a time that no calendar has
                start = "an unknown time"
            return f"process {record['pid']} on {record.get('host', 'this host')} since {start}"
        if time.monotonic() > deadline:
            return "another process"
        time.sleep(0.01)


def _may_live(record: dict[str, object]) -> bool:
    if record.get("host") != this_process().host:
        return True
    try:
        os.kill(int(str(record["pid"])), 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


def _after_fork() -> None:
    _current.clear()
    _received.clear()


_lifecycle.forget_at_fork(_after_fork)
