"""``safewriter doctor``: the findings on a terminal or as JSON."""

from __future__ import annotations

import argparse
import sys
import urllib.parse
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from safewriter._cli.arguments import default_logdir, not_empty

if TYPE_CHECKING:
    from rich.text import Text

    from safewriter.doctor import Action, Finding, Rule

    _Found = tuple[str, list[Finding], list[Action]]

JSON_VERSION = 1

_COLOURS = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}
_SHOWN = 5  # findings of one code that are printed in full


def add_doctor_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the ``doctor`` command; its ``func`` returns the exit status."""
    parser = commands.add_parser(
        "doctor",
        help="say why TensorBoard does not show a run",
        description="Looks at log directories, written by any tool, and says what is wrong, what"
        " TensorBoard shows because of it, and what to do. Changes nothing without --fix.",
        epilog="Exit status: 0 nothing found, 1 something found, 2 could not run.",
    )
    parser.add_argument(
        "logdirs",
        nargs="*",
        type=not_empty,
        metavar="LOGDIR",
        help="as for tensorboard --logdir; by default runs, below $SAFEWRITER_ROOT or the current"
        " directory",
    )
    parser.add_argument(
        "--logdir",
        dest="named",
        action="append",
        default=[],
        type=not_empty,
        metavar="DIR",
        help="the same, as for tensorboard",
    )
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.add_argument(
        "--select", action="append", default=[], metavar="CODES", help="report only these codes"
    )
    parser.add_argument(
        "--ignore", action="append", default=[], metavar="CODES", help="do not report these codes"
    )
    parser.add_argument(
        "--explain",
        nargs="*",
        metavar="CODE",
        help="explain codes (or list all of them) and exit",
    )
    parser.add_argument(
        "--server", type=not_empty, metavar="URL", help="compare with what this TensorBoard serves"
    )
    parser.add_argument(
        "--as-user", type=not_empty, metavar="USER", help="report what this user may not read"
    )
    parser.add_argument(
        "--fix", action="store_true", help="cure what can be cured without losing a record"
    )
    parser.add_argument("--dry-run", action="store_true", help="with --fix: print the plan only")
    parser.set_defaults(func=run_doctor, parser=parser)


def run_doctor(options: argparse.Namespace) -> int:
    """Carry out the command and return its exit status."""
    if options.explain is not None:
        return _explain(options.explain)
    if options.dry_run and not options.fix:
        return _fail("--dry-run goes with --fix")
    logdirs = [*options.logdirs, *options.named] or [default_logdir()]
    select, ignore = _codes(options.select), _codes(options.ignore)
    if (wrong := _wrong(select, ignore, options)) is not None:
        return _fail(wrong)
    try:
        found = _look(logdirs, options, select, ignore)
    except OSError as error:
        return _fail(str(error))
    if options.json:
        _print_json(found)
    else:
        for logdir, findings, actions in found:
            _print(logdir, findings, actions, options.fix)
    return 1 if any(findings for _, findings, _ in found) else 0


def _wrong(select: list[str], ignore: list[str], options: argparse.Namespace) -> str | None:
    """Return what is wrong with the arguments. An error that comes later is one of ours."""
    from safewriter.doctor._check import wanted_codes
    from safewriter.runs._user import User

    try:
        wanted_codes(select, ignore)
        if options.as_user is not None:
            User.named(options.as_user)
        urllib.parse.urlsplit(options.server or "")
    except (ValueError, LookupError) as error:
        return str(error)
    return None


def _look(
    logdirs: list[str], options: argparse.Namespace, select: list[str], ignore: list[str]
) -> list[_Found]:
    from safewriter._cli.console import progress_bar
    from safewriter.doctor import check, repair

    found = []
    with progress_bar(quiet=options.json) as progress:
        for logdir in logdirs:
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
    return found


def _fail(message: str) -> int:
    print(f"safewriter doctor: {message}", file=sys.stderr)
    return 2


def _codes(given: Iterable[str]) -> list[str]:
    return [code for group in given for code in group.replace(",", " ").split()]


def _print_json(found: list[_Found]) -> None:
    from safewriter import __version__
    from safewriter._cli.console import print_json
    from safewriter.runs._names import printable

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
    print_json(document)


def _print(logdir: str, findings: list[Finding], actions: list[Action], fix: bool) -> None:
    from rich.rule import Rule as Line
    from rich.text import Text

    from safewriter._cli.console import console, safe
    from safewriter.doctor._finding import listing
    from safewriter.runs._names import printable

    out = console()
    name = Text(safe(printable(logdir)))
    out.print(Line(name, style="dim") if out.is_terminal else name)
    for action in actions:
        out.print(_action(action))
    if any(action.done for action in actions):
        out.print(
            "The files that were replaced are in .safewriter/quarantine of their run."
            " Restart TensorBoard.\n"
        )
    elif actions:
        out.print()
    elif fix:
        out.print("Nothing that --fix can cure.\n")
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.code, []).append(finding)
    for group in groups.values():
        for finding in group[:_SHOWN]:
            _print_finding(finding)
        if rest := group[_SHOWN:]:
            others = listing(printable(finding.run or finding.path) for finding in rest)
            out.print(Text(safe(f"{rest[0].code} likewise in {len(rest):,} more: {others}\n")))
    _print_summary(findings)


def _print_summary(findings: list[Finding]) -> None:
    from safewriter._cli.console import console

    if not findings:
        console().print("[bold green]Nothing found.[/]")
        return
    words = []
    for severity, colour in _COLOURS.items():
        if count := sum(finding.severity == severity for finding in findings):
            words.append(f"[{colour}]{count:,} {severity}{'s' if count != 1 else ''}[/]")
    fixable = sum(finding.fixable for finding in findings)
    cured = f" --fix cures {fixable:,} of them." if fixable else ""
    console().print(f"{', '.join(words)}.{cured}")


def _print_finding(finding: Finding) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from safewriter._cli.console import console, safe
    from safewriter.runs._names import printable

    out = console()
    head = Text(f"{finding.code} ", style=_COLOURS[finding.severity])
    head.append(finding.title, style="bold default")
    if finding.run is not None:
        head.append(f"  run {safe(printable(finding.run))}", style="not bold cyan")
    out.print(head)
    out.print(Padding(Text(safe(finding.message), overflow="fold"), (0, 0, 0, 2), expand=False))
    rows = Table.grid(padding=(0, 1))
    rows.add_column(style="dim", no_wrap=True, min_width=len("--load_fast=false"))
    rows.add_column(overflow="fold")
    rows.add_row("TensorBoard", Text(finding.fast))
    if finding.python not in ("the same", finding.fast):
        rows.add_row("--load_fast=false", Text(finding.python))
    rows.add_row("cure", Text(safe(finding.cure)))
    out.print(Padding(rows, (0, 0, 1, 2), expand=False))


def _action(action: Action) -> Text:
    from rich.text import Text

    from safewriter._cli.console import safe
    from safewriter.runs._names import printable

    files = ", ".join(printable(name) for name in action.files)
    verb = {
        "rewrite": ("would put the records of", "put the records of"),
        "merge": ("would merge", "merged"),
        "quarantine": ("would move aside", "moved aside"),
        "finish": ("would finish the repair of", "finished the repair of"),
        "skip": ("leaves it alone", "leaves it alone"),
    }[action.kind][action.done]
    what = verb if action.kind == "skip" else f"{verb} {files}"
    if action.new is not None and action.kind != "skip":
        what += f" into {printable(action.new)}"
    if action.reason is not None:
        what += f": {action.reason}"
    line = Text(safe(f"{printable(action.run)}: "), style="dim")
    line.append(safe(what), style="not dim green" if action.done else "not dim yellow")
    return line


def _explain(wanted: list[str]) -> int:
    from safewriter._cli.console import console
    from safewriter.doctor import RULES

    if not wanted:
        from rich.table import Table

        table = Table("code", "severity", "finding", box=None)
        for rule in RULES.values():
            table.add_row(rule.code, f"[{_COLOURS[rule.severity]}]{rule.severity}[/]", rule.title)
        console().print(table)
        return 0
    codes = [code.upper() for code in _codes(wanted)]
    if unknown := [code for code in codes if code not in RULES]:
        return _fail(f"there is no code {unknown[0]!r}; --explain alone lists all of them")
    if not codes:
        return _fail("an empty code; --explain alone lists all of them")
    for code in codes:
        _print_rule(RULES[code])
    return 0


def _print_rule(rule: Rule) -> None:
    from rich.table import Table

    from safewriter._cli.console import console

    console().print(f"[{_COLOURS[rule.severity]}]{rule.code}[/] [bold]{rule.title}[/]")
    rows = Table.grid(padding=(0, 1))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    rows.add_row("severity", rule.severity)
    rows.add_row("TensorBoard", rule.fast)
    rows.add_row("--load_fast=false", rule.python)
    rows.add_row("cure", rule.cure)
    console().print(rows)
