"""What a check reports."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safewriter.doctor._rules import RULES, Severity
from safewriter.runs._names import printable

MAX_EXAMPLES = 5
"""A finding names at most so many tags, files or runs; it counts them all."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a log directory.

    Attributes:
        code: such as ``"SW206"``; the key into `RULES`.
        message: what was found here, in one sentence.
        path: the file or directory it is about, absolute.
        run: the run as TensorBoard names it (its path below the log directory, ``"."`` for the log
            directory itself), or None if the finding is not about one run.
        evidence: what was measured: offsets in bytes, steps, counts, wall times in seconds since
            1970. Its keys are listed for each code in the documentation. JSON types only.
        cure: what to do about this one; by default the rule's.
        fixable: whether ``--fix`` cures it.
    """

    code: str
    message: str
    path: Path
    run: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    cure: str = ""
    fixable: bool = False

    def __post_init__(self) -> None:
        if not self.cure:
            object.__setattr__(self, "cure", RULES[self.code].cure)

    @property
    def severity(self) -> Severity:
        """How bad it is: ``"error"`` (data are hidden or wrong), ``"warning"`` or ``"note"``."""
        return RULES[self.code].severity

    @property
    def title(self) -> str:
        """The rule's name in words."""
        return RULES[self.code].title

    @property
    def fast(self) -> str:
        """What TensorBoard's default reader makes of it."""
        return RULES[self.code].fast

    @property
    def python(self) -> str:
        """What TensorBoard makes of it with ``--load_fast=false``."""
        return RULES[self.code].python

    def as_json(self) -> dict[str, Any]:
        """Return the finding as in the JSON schema of the documentation."""
        return {
            "code": self.code,
            "severity": self.severity,
            "title": self.title,
            "message": self.message,
            "run": None if self.run is None else printable(self.run),
            "path": printable(self.path),
            "evidence": self.evidence,
            "shows": {"fast": self.fast, "python": self.python},
            "cure": self.cure,
            "fixable": self.fixable,
        }


def plural(count: int, noun: str) -> str:
    """Return ``"1 record"``, ``"2 records"``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listing(names: Iterable[str]) -> str:
    """Return ``"'a', 'b' and 3 more"``."""
    names = list(names)
    shown = ", ".join(repr(name) for name in names[:MAX_EXAMPLES])
    rest = len(names) - MAX_EXAMPLES
    return f"{shown} and {rest:,} more" if rest > 0 else shown
