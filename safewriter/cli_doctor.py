"""``safewriter doctor``: the findings on a terminal or as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from safewriter.doctor import Action, Code, Finding
    from safewriter.doctor._check import Progress

JSON_VERSION = 1

_COLOURS = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}
_LARGE_TREE = 50  # runs from which on a progress bar is worth its line


def add_doctor_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the ``doctor`` command; its ``func`` returns the exit status."""
    parser = commands.add_parser(
        "doctor",
        help="say why TensorBoard does not show a run",
        description="Looks at log directories, written by any tool, and says what is wrong, what"
        " TensorBoard shows because of it, and what to do. Changes nothing without --fix.",
        epilog="Exit status: 0 nothing found, 1 something found, 2 could not run.",
    )
    parser.add_argument("logdirs", nargs="*", metavar="LOGDIR", help="as for tensorboard --logdir")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.add_argument(
        "--select", action="append", default=[], metavar="CODES", help="report only these codes"
    )
    parser.add_argument(
        "--ignore", action="append", default=[], metavar="CODES", help="do not report these codes"
    )
    parser.add_argument(
        "--explain",
        nargs="?",
        const="",
        metavar="CODE",
        help="explain a code (or list all of them) and exit",
    )
    parser.add_argument("--server", metavar="URL", help="compare with what this TensorBoard serves")
    parser.add_argument("--as-user", metavar="USER", help="report what this user may not read")
    parser.add_argument(
        "--fix", action="store_true", help="cure what can be cured without losing a record"
    )
    parser.add_argument("--dry-run", action="store_true", help="with --fix: print the plan only")
    parser.set_defaults(func=run_doctor)


def run_doctor(options: argparse.Namespace) -> int:
    """Carry out the command and return its exit status."""
    if options.explain is not None:
        return _explain(options.explain)
    if not options.logdirs:
        return _fail("name at least one log directory")
    if options.dry_run and not options.fix:
        return _fail("--dry-run goes with --fix")
    try:
        return _run(options)
    except (ValueError, LookupError, OSError) as error:
        return _fail(str(error))


def _run(options: argparse.Namespace) -> int:
    from safewriter.doctor import check, repair

    select, ignore = _codes(options.select), _codes(options.ignore)
    found: list[tuple[str, list[Finding], list[Action]]] = []
    with _progress(quiet=options.json) as progress:
        for logdir in options.logdirs:
            actions: list[Action] = []
            if options.fix:
                actions = repair(
                    logdir,
                    dry_run=options.dry_run,
                    select=select,
                    ignore=ignore,
                    progress=progress,
                )
            findings = check(
                logdir,
                select=select,
                ignore=ignore,
                as_user=options.as_user,
                server=options.server,
                progress=progress,
            )
            found.append((logdir, findings, actions))
    if options.json:
        _print_json(found)
    else:
        for logdir, findings, actions in found:
            _print(_console(), logdir, findings, actions, options.fix)
    return 1 if any(findings for _, findings, _ in found) else 0


def _fail(message: str) -> int:
    print(f"safewriter doctor: {message}", file=sys.stderr)
    return 2


def _codes(given: Iterable[str]) -> list[str]:
    return [code for group in given for code in group.replace(",", " ").split()]


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def _progress(*, quiet: bool) -> AbstractContextManager[Progress | None]:
    console = _console(stderr=True)
    return nullcontext(None) if quiet or not console.is_terminal else _ProgressBar(console)


class _ProgressBar(AbstractContextManager["Progress"]):
    """A bar on standard error, shown once a tree turns out to be large."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        self._bar = Progress(
            "reading runs",
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("")

    def __enter__(self) -> Progress:
        return self._update

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def _update(self, done: int, total: int) -> None:
        if total >= _LARGE_TREE:
            self._bar.start()
            self._bar.update(self._task, completed=done, total=total)


def _print_json(found: list[tuple[str, list[Finding], list[Action]]]) -> None:
    from safewriter import __version__
    from safewriter.doctor._finding import printable

    document: dict[str, Any] = {
        "schema": JSON_VERSION,
        "safewriter": __version__,
        "logdirs": [
            {
                "logdir": printable(logdir),
                "findings": [finding.as_json() for finding in findings],
                "actions": [action.as_json() for action in actions],
            }
            for logdir, findings, actions in found
        ],
    }
    # allow_nan: NaN is no JSON; a wall time that is not finite is given as null.
    print(json.dumps(_finite(document), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0.0 else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    # A lone surrogate, from a tag or a name, cannot be printed.
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _print(
    console: Console, logdir: str, findings: list[Finding], actions: list[Action], fix: bool
) -> None:
    from rich.rule import Rule

    from safewriter.doctor._finding import printable

    console.print(Rule(_safe(printable(logdir)), style="dim"))
    for action in actions:
        _print_action(console, action)
    if fix and not actions:
        console.print("Nothing that --fix can cure.")
    for finding in findings:
        _print_finding(console, finding)
    counts = {
        severity: sum(finding.severity == severity for finding in findings) for severity in _COLOURS
    }
    if findings:
        words = [
            f"[{_COLOURS[severity]}]{count} {severity}{'s' if count != 1 else ''}[/]"
            for severity, count in counts.items()
            if count
        ]
        fixable = sum(finding.fixable for finding in findings)
        tail = f"; --fix cures {fixable}" if fixable else ""
        console.print(f"{', '.join(words)}{tail}. --explain CODE says more about a code.")
    else:
        console.print("[bold green]Nothing found.[/]")


def _print_finding(console: Console, finding: Finding) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    head = Text()
    head.append(f"{finding.code} ", style=_COLOURS[finding.severity])
    head.append(finding.title, style="bold")
    if finding.run is not None:
        head.append(f"  run {_safe(finding.run)}", style="dim")
    console.print(head)
    rows = Table.grid(padding=(0, 1))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    rows.add_row("", Text(_safe(finding.message)))
    if finding.python == "the same":
        rows.add_row("TensorBoard", Text(finding.fast))
    else:
        rows.add_row("TensorBoard", Text(finding.fast))
        rows.add_row("--load_fast=false", Text(finding.python))
    rows.add_row("cure", Text(_safe(finding.cure)))
    console.print(Padding(rows, (0, 0, 1, 2)))


def _print_action(console: Console, action: Action) -> None:
    from rich.text import Text

    from safewriter.doctor._finding import printable

    files = ", ".join(printable(name) for name in action.files)
    verb = {
        "rewrite": ("would put the records of", "put the records of"),
        "merge": ("would merge", "merged"),
        "quarantine": ("would move aside", "moved aside"),
        "finish": ("would finish the repair of", "finished the repair of"),
        "skip": ("leaves alone", "leaves alone"),
    }[action.kind][action.done]
    line = Text(f"{printable(action.run)}: ", style="dim")
    line.append(f"{verb} {files}".rstrip(), style="green" if action.done else "yellow")
    if action.new is not None:
        line.append(f" into {printable(action.new)}", style="green" if action.done else "yellow")
    if action.reason is not None:
        line.append(f" ({action.reason})")
    console.print(line)


def _safe(text: str) -> str:
    """Return text without what a tag or a name could do to a terminal."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _explain(wanted: str) -> int:
    from safewriter.doctor import CODES

    console = _console()
    if not wanted:
        from rich.table import Table

        table = Table("code", "severity", "finding", box=None)
        for code in CODES.values():
            table.add_row(code.code, f"[{_COLOURS[code.severity]}]{code.severity}[/]", code.title)
        console.print(table)
        return 0
    known = CODES.get(wanted.upper())
    if known is None:
        return _fail(f"there is no code {wanted!r}; --explain alone lists all of them")
    _print_code(console, known)
    return 0


def _print_code(console: Console, code: Code) -> None:
    console.print(f"[{_COLOURS[code.severity]}]{code.code}[/] [bold]{code.title}[/]")
    console.print(f"  severity            {code.severity}")
    console.print(f"  TensorBoard         {code.fast}")
    console.print(f"  --load_fast=false   {code.python}")
    console.print(f"  cure                {code.cure}", soft_wrap=True)
