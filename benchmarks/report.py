"""The tables of a benchmark run, in Markdown."""

from __future__ import annotations

from typing import Any

from .contenders import BARE, OURS, PATCHED, PNG, REFERENCE
from .kinds import KINDS

_BARE_TARGET = 3.5
_PATCH_TARGET = 1.1
_IMPORT_TARGET = 30.0


def targets(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was wanted, what was measured, and whether that is enough."""
    kinds = report["kinds"]
    found = []

    def add(name: str, wanted: float, measured: float, *, at_least: bool) -> None:
        met = measured >= wanted if at_least else measured <= wanted
        found.append(
            {"target": name, "wanted": wanted, "measured": measured, "met": "yes" if met else "NO"}
        )

    for name, kind in KINDS.items():
        if kind.target is not None:
            row = kinds[name][OURS]
            add(f"{name}: times torch's speed", kind.target, row["torch / this"], at_least=True)
    bare = 1 / kinds["scalar, float"][OURS][f"{BARE} / this"]
    add("scalar, float: times the bare write(2)", _BARE_TARGET, bare, at_least=False)
    for name in KINDS:
        slower = 1 / kinds[name][PATCHED][f"{OURS} / this"]
        add(f"{name}: through patch(), times the import", _PATCH_TARGET, slower, at_least=False)
    rows = [kinds[name][OURS] for name in KINDS]
    add("threads started", 0, max(row["threads"] for row in rows), at_least=False)
    add("events lost on kill -9", 0, max(row["lost"] for row in rows), at_least=False)
    add("import over torch's, ms", _IMPORT_TARGET, report["import_ms"], at_least=False)
    return found


def print_report(report: dict[str, Any]) -> None:
    """Print the tables."""
    kinds, machine = report["kinds"], report["machine"]
    print(f"{machine['processor']}, Python {machine['python']}, {machine['system']}")
    print(", ".join(f"{name} {version}" for name, version in machine["versions"].items()))
    names = list(dict.fromkeys(name for row in kinds.values() for name in row))
    for title, key in (
        ("Microseconds until a call returns", "caller"),
        ("How many times faster than torch", "torch / this"),
        ("Microseconds of processor time for a call, all threads, mean", "cpu"),
        ("How many times less processor time than torch", "torch's cpu / this"),
        ("Microseconds for a call until its events can be read in the file, mean", "readable"),
        ("Events lost by a kill -9 after the last call, at worst", "lost"),
        ("Bytes on disk for a call", "bytes"),
        ("Threads started", "threads"),
    ):
        shown = [name for name in names if key in ("caller", "torch / this") or name != PNG]
        if key in ("readable", "lost", "bytes"):
            shown = [name for name in shown if name != BARE]
        if key in ("torch / this", "torch's cpu / this"):
            shown = [name for name in shown if name != REFERENCE]
        print(f"\n{title}\n")
        _table(
            ["", *shown],
            [
                [kind, *(_number(row.get(name, {"": None}).get(key)) for name in shown)]
                for kind, row in kinds.items()
            ],
        )
    for measure, contenders in report["scales"].items():
        print(f"\n{measure}\n")
        fields = list(next(iter(contenders[OURS].values())))
        sizes = list(contenders[OURS])
        _table(
            ["", *(f"{name}, {field}" for name in contenders for field in fields)],
            [
                [
                    f"{int(size):,}",
                    *(
                        _number(contenders[name].get(size, {}).get(field))
                        for name in contenders
                        for field in fields
                    ),
                ]
                for size in sizes
            ],
        )
    print("\nTargets\n")
    _table(
        ["", "wanted", "measured", "met"],
        [
            [
                it["target"],
                _number(it["wanted"]),
                _number(it["measured"]),
                it["met"],
            ]
            for it in report["targets"]
        ],
    )


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"


def _table(head: list[str], rows: list[list[str]]) -> None:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, ["-" * width for width in widths], *rows]:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("| " + " | ".join(cells) + " |")
