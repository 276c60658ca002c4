"""Findings, repairs and rules on a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule as Line
from rich.table import Table
from rich.text import Text

from safewriter._cli.console import console, safe
from safewriter.doctor import Action, Finding, Rule
from safewriter.doctor._finding import listing, plural
from safewriter.runs._names import printable

Found = tuple[str, list[Finding], list[Action]]
"""A log directory, what is wrong with it, and what was done."""

_COLOURS = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}
_SHOWN = 5  # findings of one code that are printed in full

# What an action would do, and what it did.
_VERBS = {
    "rewrite": ("would put the records of", "put the records of"),
    "merge": ("would merge", "merged"),
    "quarantine": ("would move aside", "moved aside"),
    "finish": ("would finish the repair of", "finished the repair of"),
}


def print_findings(
    logdir: str, findings: list[Finding], actions: list[Action], *, fix: bool
) -> None:
    """Print what was found in a log directory, and what ``--fix`` did or would do."""
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
    for code, group in groups.items():
        for finding in group[:_SHOWN]:
            _print_finding(out, finding)
        if rest := group[_SHOWN:]:
            others = listing(printable(finding.run or finding.path) for finding in rest)
            out.print(Text(safe(f"{code} likewise in {len(rest):,} more: {others}\n")))
    out.print(_summary(findings))


def _summary(findings: list[Finding]) -> str:
    if not findings:
        return "[bold green]Nothing found.[/]"
    words = []
    for severity, colour in _COLOURS.items():
        if count := sum(finding.severity == severity for finding in findings):
            words.append(f"[{colour}]{plural(count, severity)}[/]")
    fixable = sum(finding.fixable for finding in findings)
    cured = f" --fix cures {fixable:,} of them." if fixable else ""
    return f"{', '.join(words)}.{cured}"


def _print_finding(out: Console, finding: Finding) -> None:
    head = Text(f"{finding.code} ", style=_COLOURS[finding.severity])
    head.append(finding.title, style="bold default")
    if finding.run is not None:
        head.append(f"  run {safe(printable(finding.run))}", style="not bold cyan")
    out.print(head)
    out.print(Padding(Text(safe(finding.message), overflow="fold"), (0, 0, 0, 2), expand=False))
    rows = {"TensorBoard": finding.fast}
    if finding.python not in ("the same", finding.fast):
        rows["--load_fast=false"] = finding.python
    rows["cure"] = safe(finding.cure)
    out.print(Padding(_grid(rows), (0, 0, 1, 2), expand=False))


def _grid(rows: dict[str, str]) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim", no_wrap=True, min_width=len("--load_fast=false"))
    grid.add_column(overflow="fold")
    for heading, text in rows.items():
        grid.add_row(heading, Text(text))
    return grid


def _action(action: Action) -> Text:
    if action.kind == "skip":
        what = "leaves it alone"
    else:
        files = ", ".join(printable(name) for name in action.files)
        what = f"{_VERBS[action.kind][action.done]} {files}"
        if action.new is not None:
            what += f" into {printable(action.new)}"
    if action.reason is not None:
        what += f": {action.reason}"
    line = Text(safe(f"{printable(action.run)}: "), style="dim")
    line.append(safe(what), style="not dim green" if action.done else "not dim yellow")
    return line


def print_list(rules: Iterable[Rule]) -> None:
    """Print code, severity and title of rules."""
    table = Table("code", "severity", "finding", box=None)
    for rule in rules:
        table.add_row(rule.code, f"[{_COLOURS[rule.severity]}]{rule.severity}[/]", rule.title)
    console().print(table)


def print_rule(rule: Rule) -> None:
    """Print all there is to say about a rule."""
    out = console()
    out.print(f"[{_COLOURS[rule.severity]}]{rule.code}[/] [bold]{rule.title}[/]")
    rows = {"severity": rule.severity, "TensorBoard": rule.fast, "--load_fast=false": rule.python}
    out.print(_grid({**rows, "cure": rule.cure}))
