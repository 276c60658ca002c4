"""Printing on a terminal: what the commands share. Only this package imports rich, and late."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from safewriter.runs._walk import Progress

_LARGE_TREE = 50  # runs from which on a bar is worth its line
_UNBROKEN = 1_000_000  # columns


def console(*, stderr: bool = False) -> Console:
    """Return a console that prints what it is given: no words are coloured by guess.

    Where there is no terminal, such as in a pipe, no line is broken.
    """
    from rich.console import Console

    class _Console(Console):
        def on_broken_pipe(self) -> None:
            raise  # `main` ends the command; rich would do so with exit status 1.

    found = _Console(stderr=stderr, highlight=False)
    # Not `is_terminal`: what asks for colours in a pipe, such as a notebook, wants whole lines.
    if not found.file.isatty() and "COLUMNS" not in os.environ:
        found.width = _UNBROKEN
    return found


def safe(text: str) -> str:
    """Return text without what a tag or a name could do to a terminal."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def print_json(document: dict[str, Any]) -> None:
    """Print strict JSON: numbers that are not finite become null, what is not UTF-8 is escaped."""
    print(json.dumps(_strict(document), indent=2, allow_nan=False))


def _strict(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_strict(item) for item in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Progress | None]:
    """Yield a bar on standard error, if that is a terminal; it shows once a tree is large."""
    errors = console(stderr=True)
    # In a notebook there is a terminal, but what moves the cursor is not understood.
    if quiet or not errors.is_terminal or "JPY_PARENT_PID" in os.environ:
        yield None
        return
    from rich import progress

    columns = progress.BarColumn(), progress.MofNCompleteColumn(), progress.TimeRemainingColumn()
    bar = progress.Progress("reading runs", *columns, console=errors, transient=True)
    task = bar.add_task("")

    def update(done: int, total: int) -> None:
        if total >= _LARGE_TREE:
            bar.start()
            bar.update(task, completed=done, total=total)

    try:
        yield update
    finally:
        bar.stop()
