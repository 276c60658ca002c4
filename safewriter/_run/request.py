"""What a writer asks for: its arguments, decided once."""

from __future__ import annotations

import numbers
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from safewriter._disk import backlog
from safewriter._errors import ArgumentTypeError, ArgumentValueError, RankWarning, warn
from safewriter._ledger.tag_words import EVAL_TAGS, TRAIN_TAGS
from safewriter._run.directory import (
    anchor_directory,
    check_name,
    is_remote,
    path_text,
    resolve,
    torch_name,
)
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
    log_dir: StrPath | None = None,
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

    Raises :class:`ArgumentValueError` or :class:`ArgumentTypeError` for a wrong argument or
    setting, and :class:`RunDirectoryError`.
    """
    backlog.configure()
    train_tags, eval_tags = _words("train_tags", train_tags), _words("eval_tags", eval_tags)
    check_arguments(
        {
            "purge_step": purge_step,
            "max_queue": max_queue,
            "flush_secs": flush_secs,
            "filename_suffix": filename_suffix,
            "unique": unique,
            "resume": resume,
            "join": join,
            "ranks": ranks,
        }
    )
    rank, world_size = process_rank()
    if rank and ranks == "all":
        warn(
            RankWarning,
            f"rank {rank} of {world_size} makes a writer: each rank that logs gets a run of "
            "its own. Make the writer on rank 0 only, or pass ranks='zero' to silence the "
            "others.",
        )
    comment = str(comment) if comment else ""
    # Without a log_dir there is none that resume could mean exactly.
    unique = unique or (resume and not log_dir)
    directory = path_text(log_dir) if log_dir else "runs"
    if not is_remote(directory):
        directory = resolve(directory, root)
    if not log_dir and not unique:
        directory = os.path.join(directory, torch_name(comment))
    return RunRequest(
        log_dir=directory,
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
        train_tags=train_tags,
        eval_tags=eval_tags,
    )


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Raise what is wrong about a writer's arguments, as far as they tell without making one.

    Raises :class:`ArgumentValueError`, :class:`ArgumentTypeError` and :class:`RunDirectoryError`.
    """
    for name, value in arguments.items():
        if name == "log_dir" and value:
            check_name(path_text(value))
        elif name == "comment" and value:
            check_name(str(value))
        elif name == "root" and value is not None:
            anchor_directory(path_text(value, name))
        elif name == "purge_step" and value is not None:
            _check_step(value)
        elif name in ("max_queue", "flush_secs") and not isinstance(value, numbers.Real):
            raise _wrong_type(name, value, "a number")
        elif name == "filename_suffix" and not isinstance(value, str):
            raise _wrong_type(name, value, "a str")
        elif name in ("unique", "resume", "tensorboardx") and value not in (True, False):
            raise _wrong_type(name, value, "True or False")
        elif name == "join" and value not in (True, False, None):
            raise _wrong_type(name, value, "True, False or None")
        elif name == "ranks" and value not in ("all", "zero"):
            raise ArgumentValueError(
                f"ranks is {value!r}, but must be 'all' or 'zero'", argument=name
            )
        elif name in ("train_tags", "eval_tags"):
            _words(name, value)


def _check_step(step: Any) -> None:
    try:
        number = int(step)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or not -(2**63) <= number < 2**63:
        raise ArgumentValueError(
            f"purge_step is {step!r}, but must be an integer of at most 64 bits",
            argument="purge_step",
        )


def _words(name: str, words: Iterable[str]) -> tuple[str, ...]:
    # A str is one word, and an iterable of others.
    if not isinstance(words, str) and isinstance(words, Iterable):
        words = tuple(words)
        if all(isinstance(word, str) for word in words):
            return words
    raise _wrong_type(name, words, "a list of words")


def _wrong_type(argument: str, value: object, expected: str) -> ArgumentTypeError:
    return ArgumentTypeError(f"{argument} is {value!r}, but must be {expected}", argument=argument)
