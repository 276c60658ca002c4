"""What a writer asks for: its arguments, decided once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from safewriter._disk import backlog
from safewriter._errors import RankWarning, warn
from safewriter._ledger.tag_words import EVAL_TAGS, TRAIN_TAGS
from safewriter._run.directory import is_remote, resolve
from safewriter._run.rank import process_rank

StrPath = str | os.PathLike[str]


@dataclass(frozen=True)
class RunRequest:
    """What a writer asks for.

    `log_dir` is absolute; `named` is whether the user named it, so that other writers may join.
    `continues` is whether events that are there already are expected (``purge_step``). `claims` is
    whether `log_dir` must be new: another process may have taken the very name.
    """

    log_dir: str
    named: bool = True
    comment: str = ""
    unique: bool = True
    resume: bool = False
    join: bool | None = None
    continues: bool = False
    purge_step: int | None = None
    rank: int | None = None
    silent: bool = False
    claims: bool = False
    max_queue: int = 10
    flush_secs: float = 120
    suffix: str = ""
    train_tags: tuple[str, ...] = TRAIN_TAGS
    eval_tags: tuple[str, ...] = EVAL_TAGS


def make_request(
    log_dir: StrPath | None,
    comment: str = "",
    purge_step: int | None = None,
    max_queue: int = 10,
    flush_secs: float = 120,
    filename_suffix: str = "",
    *,
    unique: bool = True,
    resume: bool = False,
    root: StrPath | None = None,
    join: bool | None = None,
    ranks: str = "all",
    train_tags: Iterable[str] = TRAIN_TAGS,
    eval_tags: Iterable[str] = EVAL_TAGS,
) -> RunRequest:
    """Turn a writer's arguments, and the settings that hold for it, into what it asks for.

    Raises ``ValueError`` for a wrong argument or setting, and :class:`RunDirectoryError`.
    """
    backlog.configure()
    if ranks not in ("all", "zero"):
        raise ValueError(f"ranks is {ranks!r}, but must be 'all' or 'zero'")
    rank, world_size = process_rank()
    if rank and ranks == "all":
        warn(
            RankWarning,
            f"rank {rank} of {world_size} makes a writer: each rank that logs gets a run of "
            "its own. Make the writer on rank 0 only, or pass ranks='zero' to silence the "
            "others.",
        )
    named = os.fsdecode(log_dir) if log_dir else "runs"
    return RunRequest(
        log_dir=named if is_remote(named) else resolve(named, root),
        named=bool(log_dir),
        comment=comment,
        unique=unique,
        resume=resume or (unique and purge_step is not None),
        join=join,
        continues=purge_step is not None,
        purge_step=purge_step,
        rank=rank if world_size > 1 else None,
        silent=ranks == "zero" and rank != 0,
        max_queue=max_queue,
        flush_secs=flush_secs,
        suffix=filename_suffix,
        train_tags=tuple(train_tags),
        eval_tags=tuple(eval_tags),
    )
