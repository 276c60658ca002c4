"""``safewriter ls``: the runs as a table or as JSON."""

from __future__ import annotations

import argparse
import fnmatch
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from safewriter._cli.arguments import default_logdir, not_empty

if TYPE_CHECKING:
    from safewriter._cli.console import ProgressCallback
    from safewriter.runs import Run

JSON_VERSION = 1

_COLOURS = {
    "running": "bold green",
    "finished": "green",
    "failed": "bold red",
    "crashed": "bold red",
    "unknown": "dim",
}

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
    from safewriter._cli.console import print_json, progress_bar
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
    runs.sort(key=_COLUMNS[options.sort].order)
    if options.sort == "parts":
        runs.sort(key=lambda run: parts.get(run.name, 0))
    if options.limit:
        runs = runs[-options.limit :]
    if options.json:
        print_json({"schema": JSON_VERSION, "runs": [run.as_json() for run in runs]})
    else:
        _print(runs, parts, options.columns, " ".join(map(printable, paths)))
    return 0


def _runs(paths: Sequence[str], progress: ProgressCallback | None) -> list[Run]:
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


def _fold(runs: list[Run]) -> tuple[dict[str, int], list[Run]]:
    """Return how many parts the runs have, and those that are not parts of another one here."""
    names = {run.name for run in runs}
    parts: dict[str, int] = {}
    for run in runs:
        if run.part_of in names:
            parts[run.part_of] = parts.get(run.part_of, 0) + 1
    return parts, [run for run in runs if run.part_of not in names]


# The table.


@dataclass(frozen=True)
class _Column:
    """How a column is shown; what stands in its cells; what it is sorted by."""

    heading: str
    cell: Callable[[Run], str]
    order: Callable[[Run], Any]
    right: bool = True


def _of(name: str) -> Callable[[Run], Any]:
    """Sort by an attribute; runs without it come last."""

    def order(run: Run) -> Any:
        value = getattr(run, name)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return True, 0, run.name
        return False, value, run.name

    return order


def _by_age(run: Run) -> Any:
    return _of("started")(replace(run, started=None if run.started is None else -run.started))


def _print(runs: list[Run], parts: dict[str, int], wanted: list[str] | None, where: str) -> None:
    from rich.text import Text

    from safewriter._cli.console import console, safe

    out = console()
    if not runs:
        out.print(Text(safe(f"No runs below {where}.")))
        return
    cells = {name: [safe(column.cell(run)) for run in runs] for name, column in _COLUMNS.items()}
    cells["parts"] = [f"{parts[run.name]:,}" if run.name in parts else "" for run in runs]
    chosen = wanted or _that_fit(cells, out.width)
    for line in _lines(cells, chosen, out.width if wanted is None else None):
        out.print(line, soft_wrap=True)


# The columns that are always shown, and those that are shown if there is room, in this order.
_ALWAYS = ("name", "status", "age", "last_step")
_MORE = ("parts", "sessions", "duration", "started", "events", "tags", "size", "command")
_SHORT_COMMAND = 20  # characters from which on a command line is worth its place


def _that_fit(cells: dict[str, list[str]], room: int) -> list[str]:
    widths = {name: _width(name, cells) for name in cells}
    widths["name"] = _name_width(cells, _ALWAYS, room)
    chosen = set(_ALWAYS)
    left = room - sum(widths[name] + len(_GAP) for name in _ALWAYS) + len(_GAP)
    for name in _MORE:
        says_something = any(cell not in ("", "1") for cell in cells[name])
        if name in ("parts", "sessions") and not says_something:
            continue
        if name == "command":  # It is cut where the line ends.
            widths[name] = min(widths[name], _SHORT_COMMAND)
        if widths[name] + len(_GAP) > left:
            break
        chosen.add(name)
        left -= widths[name] + len(_GAP)
    return [name for name in _COLUMNS if name in chosen]


def _width(name: str, cells: dict[str, list[str]]) -> int:
    return max(len(_COLUMNS[name].heading), *map(_length, cells[name]))


def _name_width(cells: dict[str, list[str]], chosen: Iterable[str], room: int) -> int:
    """Return the width of the longest name that leaves room for the other columns."""
    others = sum(_width(name, cells) + len(_GAP) for name in chosen if name != "name")
    fitting = [length for name in cells["name"] if (length := _length(name)) <= room - others]
    return max(len("name"), *fitting, 0)


def _length(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _lines(cells: dict[str, list[str]], chosen: list[str], room: int | None) -> Iterable[Any]:
    """Yield the lines; a name that leaves no room for the rest has a line of its own."""
    from rich.text import Text

    widths = {name: _width(name, cells) for name in chosen}
    if room is not None and "name" in widths:
        # A command line is cut where the line ends.
        widths["name"] = _name_width(cells, [name for name in chosen if name != "command"], room)
    headings = {name: _COLUMNS[name].heading for name in chosen}
    yield Text(_row(headings, widths), style="bold")
    for number, status in enumerate(cells["status"]):
        row = {name: cells[name][number] for name in chosen}
        if "name" in row and _length(row["name"]) > widths["name"]:
            yield Text(row["name"])
            row["name"] = ""
        line = Text(_row(row, widths))
        if "status" in row:
            start = line.plain.index(status, widths["name"] if "name" in row else 0)
            line.stylize(_COLOURS[status.partition(" ")[0]], start, start + len(status))
        if room is not None and chosen[-1] == "command":
            line.truncate(room, overflow="ellipsis")
        yield line


def _row(row: dict[str, str], widths: dict[str, int]) -> str:
    filled = []
    for name, text in row.items():
        space = " " * (widths[name] - _length(text))
        filled.append(space + text if _COLUMNS[name].right else text + space)
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


def _name(run: Run) -> str:
    from safewriter.runs._names import printable

    return printable(run.name)


def _path(run: Run) -> str:
    from safewriter.runs._names import printable

    return printable(run.path)


#: In the order in which they are shown.
_COLUMNS = {
    "name": _Column("name", _name, _of("name"), right=False),
    "status": _Column("status", _status, _status, right=False),
    "age": _Column("age", lambda run: _age(run.started), _by_age),
    "last_step": _Column("last step", lambda run: _number(run.last_step), _of("last_step")),
    "parts": _Column("parts", lambda run: "", _of("name")),
    "sessions": _Column("sessions", lambda run: _number(run.sessions), _of("sessions")),
    "duration": _Column("duration", lambda run: _span(run.duration), _of("duration")),
    "started": _Column("started", lambda run: _moment(run.started), _of("started")),
    "events": _Column("events", lambda run: _number(run.events), _of("events")),
    "tags": _Column("tags", lambda run: _number(run.tags), _of("tags")),
    "size": _Column("size", lambda run: _size(run.size), _of("size")),
    "command": _Column("command", lambda run: run.command or "", _of("command"), right=False),
    "path": _Column("path", _path, _of("name"), right=False),
}
