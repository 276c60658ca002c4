"""The runs of this process: which one a writer joins, and when a new one begins."""

from __future__ import annotations

import contextlib
import logging
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace

from safewriter import _lifecycle
from safewriter._errors import (
    Notice,
    ReusedRunWarning,
    RunDirectoryError,
    RunLockedError,
    SplitRunWarning,
    tell,
)
from safewriter._run.directory import (
    claim,
    claim_name,
    explained,
    free_name,
    is_remote,
    is_run,
    make,
    run_name,
)
from safewriter._run.lock import HeldError
from safewriter._run.process import Process, this_process
from safewriter._run.record import read_record
from safewriter._run.request import RunRequest
from safewriter._run.round import Round, write_down_leftovers
from safewriter._run.run import Member, Run, fork_name, known, patiently, real
from safewriter._run.start_time import is_unique_name

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
    joined = False

    def attempt() -> None:
        nonlocal joined
        run = _running(request)
        joined = run is not None
        if run is not None:
            _enter(run, member, notices)
            if request.unique and not request.resume and request.join is None:
                _make_one_of_the_round(run, member)
        else:
            _begin(request, member, taken, notices)

    while True:
        try:
            patiently(attempt)
            break
        except HeldError as held:
            # It was new, or nobody was writing it, a moment ago: another process was quicker.
            directory = str(held)
            if directory in taken or (request.named and not request.unique):
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
        if run.place.is_local:
            if not joined:
                write_down_leftovers(run, generation)
            logger.info("run %s: %s", "joined" if joined else "started", run.directory)
        if not joined:
            _lifecycle.close_if_exited(run)
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


def _make_one_of_the_round(run: Run, member: Member) -> None:
    """Let a new writer leave for another run yet. With ``state_lock`` held."""
    if run.round is None or run.round.decided:
        run.round = Round(run)
    member.round = run.round
    run.round.members[member] = None


def undecided(member: Member) -> Round | None:
    """Return the round of a new writer, if nothing has told yet which run it writes."""
    pending = member.round
    if pending is None:
        return None
    with _lifecycle.state_lock:
        is_open = pending.is_open()
    if is_open:
        return pending
    pending.go_on()
    member.round = None
    return None


def decide_by_reading(member: Member) -> None:
    """Decide which run a new writer writes, because the user asks: files may follow.

    If the earlier writers logged curves, it begins a new run; if they logged single points each, as
    a writer does that is made in a function, it goes on with theirs.
    """
    pending = undecided(member)
    if pending is None:
        return
    if pending.logged_series():
        start_over(member, "the directory of a new writer is asked for", pending)
    else:
        pending.go_on()


def start_over(member: Member, why: str, pending: Round | None = None) -> None:
    """Begin a new run with all writers of a round, or with all of the run of `member`."""
    if pending is None:
        _start_over(member, why, None)
    elif not pending.is_moving:
        pending.is_moving = True
        try:
            _start_over(member, why, pending)
        finally:
            pending.is_moving = False


def _start_over(member: Member, why: str, pending: Round | None) -> None:
    old = member.run
    members = old.members if pending is None else pending.members
    notices: list[Notice] = []
    was_read = False

    def attempt() -> None:
        nonlocal was_read
        if (member.run is not old) if pending is None else pending.decided:
            return  # Another thread, or a signal handler, was quicker.
        moving = [member, *(other for other in list(members) if other is not member)]
        if member.run is old:
            # Until they have left: leaving leaves both, whatever comes in between.
            member.moved_from = old
            request = replace(old.request, resume=False, continues=False)
            _begin(request, member, set(), notices)
        run = member.run
        for other in moving:
            was_read |= other.was_read
            if other.run is old:
                other.moved_from = old
                other.run = run
                run.members.add(other)
            other.fast_scalars = {}
            old.members.discard(other)
        if pending is not None:
            pending.move_to(run)
        old.close_if_left()

    try:
        patiently(attempt)
    except (HeldError, RunDirectoryError):
        member.run, member.moved_from = old, None
        if pending is not None:
            pending.go_on()
        return  # The disk refuses another directory, and training goes on in this one.
    old.finish_closing()
    run = member.run
    for other in list(run.members):
        if other.moved_from is old:
            other.moved_from = None
    text = f"{why}: from here on it goes to a new run, {run.directory}"
    if was_read:
        notices.append(
            Notice(
                SplitRunWarning,
                f"{text}. Its log_dir was asked for before, so files may have been put into "
                f"{old.directory}. Ask again, or make a writer for each round.",
            )
        )
    else:
        logger.info("%s", text)
    if pending is not None:
        pending.write_down()
    _lifecycle.close_if_exited(run)
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
    if request.claims or (request.join is False and request.unique):
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
    directory, resumed, live = _choose_directory(request, taken)
    # It may be one that this process knows: with join=False nobody looked.
    found = known.get(real(directory)) if resumed else None
    run = found if found is not None else Run(directory, request, resumed=resumed)
    _enter(run, member, notices)
    if live is not None:
        notices.append(
            Notice(
                SplitRunWarning,
                f"resume=True passes over {live!r}, because "
                f"{_in_words(_holder(live, seconds=0))} is writing it: the curve goes on in "
                f"{directory!r}, and TensorBoard shows two runs. If that process hangs, end it and "
                "start again.",
            )
        )
    if request.purge_step and request.unique and not resumed:
        notices.append(
            Notice(
                SplitRunWarning,
                f"purge_step={request.purge_step}, but there is no earlier run below "
                f"{request.log_dir!r}, so there is nothing to purge: a new run begins at "
                f"{directory!r}. Give the log_dir of the run that is to go on.",
            )
        )
    if run.used and not (resumed or request.continues):
        notices.append(
            Notice(
                ReusedRunWarning,
                f"{directory!r} already holds the events of an earlier run, and TensorBoard will "
                "draw both as one. Leave unique=True for a directory of its own, or say that the "
                "run goes on: resume=True or purge_step= where you make the writer, "
                "safewriter.patch(resume=True) where a library makes it.",
            )
        )
    if request.named:
        _current[_key(request)] = real(run.directory)


def _choose_directory(request: RunRequest, taken: set[str]) -> tuple[str, bool, str | None]:
    """Return the directory of a new run, and whether it is an earlier run that goes on.

    The third is an earlier run that does not go on, because another process is writing it. Those in
    `taken` turned out to be such.
    """
    log_dir = request.log_dir
    if request.silent:
        return os.path.join(log_dir, run_name(request.comment, request.rank)), False, None
    if is_remote(log_dir):
        # No exclusive mkdir there: a random part keeps the names apart.
        name = run_name(request.comment, request.rank)
        parent = log_dir if log_dir.endswith("/") else log_dir + "/"
        return f"{parent}{name}_{uuid.uuid4().hex[:8]}" if request.unique else log_dir, False, None
    if request.claims:
        return log_dir, False, None
    if not request.unique:
        if not request.named:
            return claim_name(log_dir), False, None
        return make(log_dir), request.resume and is_run(log_dir), None
    live = None
    if request.resume:
        from safewriter._run.resume import newest_run

        earlier, live = newest_run(log_dir, request.comment, request.rank, taken)
        if earlier is not None:
            return earlier, True, live
    if request.named and is_unique_name(log_dir) and not is_run(log_dir) and log_dir not in taken:
        return make(log_dir), False, live
    return claim(log_dir, request.comment, request.rank), False, live


def _locked(directory: str) -> RunLockedError:
    """Return the error that names pid, host and start of the process that holds a lock."""
    holder = _holder(directory)
    pid, host, start = (holder.get(name) for name in ("pid", "host", "start"))
    return RunLockedError(
        f"{directory!r} is being written by {_in_words(holder)}. Two writers would hide each "
        "other's points in TensorBoard: use another log_dir, leave unique=True, or end the other "
        "process.",
        directory=directory,
        pid=pid if isinstance(pid, int) else None,
        host=host if isinstance(host, str) else None,
        start=start if isinstance(start, (int, float)) else None,
    )


def _in_words(holder: Mapping[str, object]) -> str:
    if "pid" not in holder:
        return "another process"
    start, since = holder.get("start"), "an unknown time"
    if isinstance(start, (int, float)):
        with contextlib.suppress(ValueError, OverflowError, OSError):  # that no calendar has
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(start))
    return f"process {holder['pid']} on {holder.get('host', 'this host')} since {since}"


def _holder(directory: str, seconds: float = _HOLDER_SECONDS) -> Mapping[str, object]:
    """Return the record of the process that holds a lock; an empty one if it does not say."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            record = read_record(directory) or {}
        except OSError:
            record = {}
        # A record that is not of a running process is the predecessor's: the holder has the
        # lock, but has not written its own yet.
        if record.get("status") == "running" and "pid" in record and _may_live(record):
            return record
        if time.monotonic() > deadline:
            return {}
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
