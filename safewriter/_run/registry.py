"""The runs of this process: which one a writer joins, and when a new one begins."""

from __future__ import annotations

import os
import uuid
from dataclasses import replace

from safewriter import _lifecycle
from safewriter._errors import ReusedRunWarning, RunDirectoryError, RunLockedError, warn
from safewriter._run.directory import claim, is_remote, is_run, is_unique_name, make, run_name
from safewriter._run.request import RunRequest
from safewriter._run.run import Member, Run, logger

# The run that the next writer on a log_dir joins, and the named runs by their directory.
_current: dict[tuple[str, str], Run] = {}
_by_directory: dict[str, Run] = {}

#: The directories of the runs that this process began, in order.
begun: dict[str, None] = {}


def join(request: RunRequest) -> Member:
    """Join the run of this process that `request` means, or begin it.

    Raises :class:`RunDirectoryError` and :class:`RunLockedError`.
    """
    with _lifecycle.changing:
        run = _running(request)
        joined = run is not None
        if run is None:
            run = _begin(request)
        member = Member(run, may_move=joined and request.unique and not request.resume)
        run.join(member)
    return member


def start_over(member: Member, tag: str, step: int) -> None:
    """Move `member` to a new run, because the step count of `tag` starts over."""
    with _lifecycle.changing:
        old, member.may_move = member.run, False
        try:
            new = _begin(old.request)
        except RunDirectoryError:
            return  # The disk refuses another directory, and training goes on in this one.
        member.move_to(new)
    logger.info(
        "the steps of tag %r start over at %d: from here on they go to a new run, %s",
        tag,
        step,
        new.directory,
    )
    member.on_move()


def request_of_pickled(directory: str, pid: int, request: RunRequest) -> RunRequest:
    """Return what an unpickled writer asks for: its run, or in another process one below it."""
    if pid != os.getpid():
        directory = os.path.join(directory, f"fork-{os.getpid()}")
    return replace(request, log_dir=directory, named=True, unique=False, continues=True)


def _key(request: RunRequest) -> tuple[str, str]:
    return os.path.realpath(request.log_dir), request.comment


def _running(request: RunRequest) -> Run | None:
    if not request.named:
        return None
    found = _by_directory.get(os.path.realpath(request.log_dir))
    if found is None and request.unique:
        found = _current.get(_key(request))
    if found is None or found.is_open or found.remote or os.path.isdir(found.directory):
        return found
    return None  # It was closed, and its directory was tidied away since.


def _begin(request: RunRequest) -> Run:
    """Begin a new run, or continue an earlier one if `request` resumes."""
    taken: set[str] = set()
    while True:
        directory, resumed = _choose_directory(request, taken)
        run = Run(directory, request, resumed=resumed)
        try:
            run.open()
            break
        except RunLockedError:
            if not request.unique or (resumed and directory == request.log_dir):
                raise
            # It was new, or nobody was writing it, a moment ago: another process was quicker.
            taken.add(directory)
    if not (run.remote or request.silent):
        begun[run.directory] = None
    if run.used and not (resumed or request.continues):
        try:
            warn(
                ReusedRunWarning,
                f"{directory!r} already holds the events of an earlier run, and TensorBoard will "
                "draw both as one. Leave unique=True for a directory of its own, or say that the "
                "run goes on: resume=True or purge_step=.",
            )
        except ReusedRunWarning:
            run.close_if_left()
            raise
    if request.named:
        _current[_key(request)] = run
        _by_directory[os.path.realpath(run.directory)] = run
    return run


def _choose_directory(request: RunRequest, taken: set[str]) -> tuple[str, bool]:
    """Return the directory of a new run, and whether it is an earlier run that goes on.

    Those in `taken` turned out to be written by another process.
    """
    log_dir = request.log_dir
    if is_remote(log_dir):
        # No exclusive mkdir there: a random part keeps the names apart.
        name = run_name(request.comment, request.rank)
        parent = log_dir if log_dir.endswith("/") else log_dir + "/"
        return f"{parent}{name}_{uuid.uuid4().hex[:8]}" if request.unique else log_dir, False
    if request.silent:
        return os.path.join(log_dir, run_name(request.comment, request.rank)), False
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


def _after_fork() -> None:
    _current.clear()
    _by_directory.clear()
    begun.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
