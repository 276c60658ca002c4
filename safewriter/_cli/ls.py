"""``safewriter ls``: the runs as a table or as JSON."""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from safewriter.runs import Run

JSON_VERSION = 1

_COLOURS = {
    "running": "bold green",
    "finished": "green",
    "failed": "bold red",
    "crashed": "bold red",
    "unknown": "dim",
}


def add_ls_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the ``ls`` command; its ``func`` returns the exit status."""
    parser = commands.add_parser(
        "ls",
        help="list the runs of a directory",
        description="Lists the runs below a directory, written by any tool, the newest last.",
        epilog="Exit status: 0, or 2 if the directory cannot be read.",
    )
    parser.add_argument(
        "logdir",
        nargs="?",
        metavar="LOGDIR",
        help="the directory; by default runs, below $SAFEWRITER_ROOT or the current directory",
    )
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.set_defaults(func=run_ls)


def run_ls(options: argparse.Namespace) -> int:
    """Carry out the command and return its exit status."""
    from safewriter._cli.console import print_json, progress_bar
    from safewriter.runs import list_runs
    from safewriter.runs._names import printable

    logdir = options.logdir
    if logdir is None:
        logdir = os.path.join(os.environ.get("SAFEWRITER_ROOT", ""), "runs")
    try:
        with progress_bar(quiet=options.json) as progress:
            runs = list_runs(logdir, progress=progress)
    except OSError as error:
        print(f"safewriter ls: {printable(logdir)}: {error.strerror}", file=sys.stderr)
        return 2
    if options.json:
        document = {"schema": JSON_VERSION, "runs": [run.as_json() for run in runs]}
        print_json(document)
    else:
        _print(logdir, runs)
    return 0


def _print(logdir: str, runs: list[Run]) -> None:
    from rich.table import Table
    from rich.text import Text

    from safewriter._cli.console import console, safe
    from safewriter.runs._names import printable

    if not runs:
        console().print(Text(f"No runs below {printable(logdir)}."))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("run", overflow="fold", min_width=20)
    table.add_column("status", no_wrap=True)
    table.add_column("started", no_wrap=True)
    for heading in ("duration", "events", "tags", "last step", "size"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("command", overflow="ellipsis", no_wrap=True)
    for run in runs:
        table.add_row(
            Text(safe(printable(run.name))),
            Text(run.status.value, style=_COLOURS[run.status.value]),
            _moment(run.started),
            _span(run.duration),
            f"{run.events:,}",
            f"{run.tags:,}",
            "" if run.last_step is None else f"{run.last_step:,}",
            _size(run.size),
            Text(safe(run.command or "")),
        )
    console(wide=True).print(table)


def _moment(seconds: float | None) -> str:
    try:
        return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):  # a wall time that no calendar has
        return "?"


def _span(seconds: float | None) -> str:
    if seconds is None or seconds - seconds != 0.0:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
