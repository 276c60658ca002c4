"""``safewriter ls``: the runs as a table or as JSON."""

from __future__ import annotations

import argparse
import fnmatch
import math
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from safewriter._cli.arguments import default_logdir, not_empty
from safewriter._cli.console import console, print_json, progress_bar, safe

if TYPE_CHECKING:
    from rich.text import Text

    from safewriter.runs import Run
    from safewriter.runs._walk import Progress

    _Parts = Counter[str]  # how many parts the run of a name has
    _Row = dict[str, str]

JSON_VERSION = 1

_COLOURS = {
    "running": "bold green",
    "finished": "green",
    "failed": "bold red",
    "crashed": "bold red",
    "unknown": "dim",
}

# The columns that are always shown; those that are shown if there is room, in this order; all.
_ALWAYS = ("name", "status", "age", "last_step")
_MORE = ("parts", "sessions", "duration", "started", "events", "tags", "size", "command")
_COLUMNS = (*_ALWAYS, *_MORE, "path")
_TO_THE_LEFT = {"name", "status", "command", "path"}  # the others are numbers
_SHORT_COMMAND = 20  # characters from which on a command line is worth its place

_MAGIC = frozenset("*?[")
_GAP = "  "
_LONG_AGO = 1e11  # seconds: a wall time that is none


def add_ls_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the ``ls`` command; its ``func`` returns the exit status."""
    parser = commands.add_parser(
        "ls",
        help="list the runs of a directory",
        description="Lists the runs below directories, written by any tool, the newest last.",
        epilog="Columns, for -o and --sort: "
        + ", ".join(_COLUMNS)
        + ". Exit status: 0, or 2 if a directory cannot be read.",
    )
    parser.add_argument(
        "paths",
        nargs="*",
        type=not_empty,
        metavar="LOGDIR",
        help="a directory, or a pattern of runs such as 'runs/exp*' or 'runs/*lr0.1'; by default "
        "runs, below $SAFEWRITER_ROOT or the current directory",
    )
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.add_argument(
        "-o",
        "--columns",
        type=_columns,
        metavar="NAMES",
        help="these columns, separated by commas; by default what there is room for",
    )
    parser.add_argument(
        "--sort",
        type=_column,
        default="started",
        metavar="NAME",
        help="sort by this column, the highest last; by default by the start",
    )
    parser.add_argument(
        "--status",
        action="append",
        choices=list(_COLOURS),
        metavar="STATUS",
        help=f"only runs that stand like this: {', '.join(_COLOURS)}; may be repeated",
    )
    parser.add_argument("--limit", type=_count, metavar="N", help="only the last N runs")
    parser.set_defaults(func=run_ls, parser=parser)


def _columns(text: str) -> list[str]:
    return [_column(name) for name in not_empty(text).split(",")]


def _column(text: str) -> str:
    name = text.strip().lower().replace("-", "_").replace(" ", "_")
    if name not in _COLUMNS:
        raise argparse.ArgumentTypeError(
            f"there is no column {text!r}; there are {', '.join(_COLUMNS)}"
        )
    return name


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of runs")
    return int(text)


def run_ls(options: argparse.Namespace) -> int:
    """Carry out the command and return its exit status."""
    from safewriter.runs._names import printable

    paths = options.paths or [default_logdir()]
    try:
        with progress_bar(quiet=options.json) as progress:
            runs = _runs(paths, progress)
    except OSError as error:
        where = error.filename if error.filename is not None else paths[0]
        print(f"safewriter ls: {printable(where)}: {error.strerror}", file=sys.stderr)
        return 2
    parts, folded = _fold(runs)
    if not options.json:
        runs = folded
    if options.status:
        runs = [run for run in runs if run.status.value in options.status]
    runs.sort(key=lambda run: _order(run, options.sort, parts))
    if options.limit:
        runs = runs[-options.limit :]
    if options.json:
        print_json({"schema": JSON_VERSION, "runs": [run.as_json() for run in runs]})
    else:
        _print(runs, parts, options.columns, " ".join(map(printable, paths)))
    return 0


def _runs(paths: Sequence[str], progress: Progress | None) -> list[Run]:
    """Return the runs of directories and patterns, named by their path below the common one."""
    from safewriter.runs import list_runs

    wanted = [_split(path) for path in paths]
    top = os.path.commonpath([os.path.abspath(logdir) for logdir, _ in wanted])
    found: dict[str, Run] = {}
    for logdir, pattern in wanted:
        for run in list_runs(logdir, progress=progress):
            inside = run.name != os.curdir
            if pattern is None or (inside and fnmatch.fnmatchcase(run.name, pattern)):
                name = os.path.relpath(run.path, top)
                above = run.part_of
                if above is not None:
                    above = os.path.relpath(os.path.join(logdir, above), top)
                found.setdefault(name, replace(run, name=name, part_of=above))
    return list(found.values())


def _split(path: str) -> tuple[str, str | None]:
    """Return the directory that a pattern begins with, and the pattern; None for a directory."""
    path = os.path.expanduser(path)
    components = path.split(os.sep)
    for number, component in enumerate(components):
        if _MAGIC & set(component) and not os.path.exists(path):
            top = os.sep.join(components[:number]) or (os.sep if path[0] == os.sep else os.curdir)
            return top, os.sep.join(components[number:])
    return path, None


def _fold(runs: list[Run]) -> tuple[_Parts, list[Run]]:
    """Return how many parts the runs have, and those that are not parts of another one here."""
    names = {run.name for run in runs}
    parts = Counter(run.part_of for run in runs if run.part_of in names)
    return parts, [run for run in runs if run.part_of not in names]


def _order(run: Run, column: str, parts: _Parts) -> Any:
    """Return what a run is sorted by; those without it come last."""
    if column == "status":
        return _status(run)
    value: Any = {
        "age": None if run.started is None else -run.started,
        "parts": parts[run.name],
        "path": run.name,
    }.get(column, getattr(run, column, None))
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True, 0, run.name
    return False, value, run.name


# The table.


def _print(runs: list[Run], parts: _Parts, wanted: list[str] | None, where: str) -> None:
    from rich.text import Text

    out = console()
    if not runs:
        out.print(Text(safe(f"No runs below {where}.")))
        return
    rows = [{name: safe(cell) for name, cell in _cells(run, parts).items()} for run in runs]
    chosen = wanted or _that_fit(rows, out.width)
    for line in _lines(rows, chosen, out.width if wanted is None else None):
        out.print(line, soft_wrap=True)


def _cells(run: Run, parts: _Parts) -> _Row:
    from safewriter.runs._names import printable

    return {
        "name": printable(run.name),
        "status": _status(run),
        "age": _age(run.started),
        "last_step": _number(run.last_step),
        "parts": _number(parts[run.name] or None),
        "sessions": _number(run.sessions),
        "duration": _span(run.duration),
        "started": _moment(run.started),
        "events": _number(run.events),
        "tags": _number(run.tags),
        "size": _size(run.size),
        "command": run.command or "",
        "path": printable(run.path),
    }


def _that_fit(rows: list[_Row], room: int) -> list[str]:
    left = room - _name_width(rows, _ALWAYS, room) - _others_width(rows, _ALWAYS)
    chosen = list(_ALWAYS)
    for name in _MORE:
        says_something = any(row[name] not in ("", "1") for row in rows)
        if name in ("parts", "sessions") and not says_something:
            continue
        width = _width(name, rows)
        if name == "command":  # It is cut where the line ends.
            width = min(width, _SHORT_COMMAND)
        left -= width + len(_GAP)
        if left < 0:
            break
        chosen.append(name)
    return chosen


def _width(name: str, rows: list[_Row]) -> int:
    return max(len(name), *(_length(row[name]) for row in rows))


def _others_width(rows: list[_Row], chosen: Iterable[str]) -> int:
    """Return the width of all columns but the name, with the gaps before them."""
    return sum(_width(name, rows) + len(_GAP) for name in chosen if name != "name")


def _name_width(rows: list[_Row], chosen: Iterable[str], room: int) -> int:
    """Return the width of the longest name that leaves room for the other columns."""
    lengths = [_length(row["name"]) for row in rows]
    room -= _others_width(rows, chosen)
    return max(len("name"), *(length for length in lengths if length <= room), 0)


def _length(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _lines(rows: list[_Row], chosen: list[str], room: int | None) -> Iterator[Text]:
    """Yield the lines; a name that leaves no room for the rest has a line of its own."""
    from rich.text import Text

    widths = {name: _width(name, rows) for name in chosen}
    if room is not None and "name" in widths:
        # A command line is cut where the line ends.
        widths["name"] = _name_width(rows, [name for name in chosen if name != "command"], room)
    yield Text(_line({name: name.replace("_", " ") for name in chosen}, widths), style="bold")
    for cells in rows:
        row = {name: cells[name] for name in chosen}
        if "name" in row and _length(row["name"]) > widths["name"]:
            yield Text(row["name"])
            row["name"] = ""
        line = Text(_line(row, widths))
        if (status := row.get("status")) is not None:
            start = line.plain.index(status, widths["name"] if "name" in row else 0)
            line.stylize(_COLOURS[status.partition(" ")[0]], start, start + len(status))
        if room is not None and chosen[-1] == "command":
            line.truncate(room, overflow="ellipsis")
        yield line


def _line(row: _Row, widths: dict[str, int]) -> str:
    filled = []
    for name, text in row.items():
        space = " " * (widths[name] - _length(text))
        filled.append(text + space if name in _TO_THE_LEFT else space + text)
    return _GAP.join(filled).rstrip()


def _status(run: Run) -> str:
    if run.signal is not None:
        try:
            return f"failed {signal.Signals(run.signal).name}"
        except ValueError:
            return f"failed signal {run.signal}"
    return run.status.value if run.exit_code is None else f"failed exit {run.exit_code}"


def _moment(seconds: float | None) -> str:
    try:
        return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):  # a wall time that no calendar has
        return "?"


def _age(started: float | None) -> str:
    """Return how long ago that was, in the largest unit of which there are two or more."""
    seconds = None if started is None else time.time() - started
    if seconds is None or not 0 <= seconds < _LONG_AGO:
        return ""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:,.0f} {unit}"
    return f"{seconds:.0f} s"


def _span(seconds: float | None) -> str:
    if seconds is None or seconds - seconds != 0.0:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
