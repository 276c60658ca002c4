"""Checks of the tree: its names, and what one run alone does not show."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safewriter.doctor._finding import Finding, plural
from safewriter.doctor._scan import RunScan
from safewriter.doctor._tags import KEPT
from safewriter.runs._names import printable
from safewriter.runs._walk import Kind, Problem

MAX_SELECTED_RUNS = 500
"""With more runs TensorBoard's page does not select new ones by itself."""

RESERVED_DESCRIPTORS = 32
"""What TensorBoard's data server has open beside the event files, rounded up."""

_PROBLEMS: dict[Kind, tuple[str, str]] = {
    "dangling link": ("SW503", "{path!r} cannot be read: {error}."),
    "forbidden": ("SW503", "{user} may not read {path!r}: mode {mode}, user id {owner}."),
    "link to above": ("SW504", "{link!r} is a link to {target!r}, which holds it."),
    "marked directory": (
        "SW502",
        "{path!r} is a directory, and TensorBoard's Python reader opens it as a file.",
    ),
    "not UTF-8": ("SW506", "The name {path!r} is not valid UTF-8."),
    "not regular": ("SW505", "{path!r} is a {kind}, and TensorBoard opens it as an event file."),
    "unreadable": ("SW503", "{path!r} cannot be read: {error}."),
}


def check_name(problem: Problem) -> Finding:
    """Return the finding for what the walk through the tree ran into."""
    code, message = _PROBLEMS[problem.kind]
    return Finding(
        code,
        message.format(path=printable(problem.path), **problem.evidence),
        Path(problem.path),
        problem.run,
        problem.evidence,
        cure="Delete the link." if problem.kind == "dangling link" else "",
    )


@dataclass
class Tree:
    """What is kept of all runs, a few words for each."""

    top: str
    runs: int = 0
    files: int = 0
    curves: list[str] = field(default_factory=list)  # the runs that have some
    empty: list[Finding] = field(default_factory=list)
    sampled_tags: int = 0
    sampled_runs: int = 0
    most: tuple[int, str, str, str] = (0, "", "", "")

    def add(self, run: RunScan) -> None:
        """Take note of one run that has event files."""
        self.runs += 1
        self.files += len(run.files)
        if run.has_curves:
            self.curves.append(run.name)
        elif run.has_data:
            self.empty.append(_no_curves(run))
        elif run.files and all(file.records and file.fault is None for file in run.files):
            self.empty.append(_no_data(run))
        sampled = [
            (tag.count, run.name, name, tag.kind)
            for name, tag in run.tags.items()
            if tag.count > KEPT.get(tag.kind, math.inf)
        ]
        self.most = max([self.most, *sampled])
        self.sampled_tags += len(sampled)
        self.sampled_runs += bool(sampled)

    def findings(self, descriptors: int | None) -> Iterator[Finding]:
        """Yield the findings; ``descriptors`` is how many TensorBoard may open."""
        if descriptors is not None and self.files + RESERVED_DESCRIPTORS > descriptors:
            yield self._finding(
                "SW507",
                f"{plural(self.files, 'event file')} and a limit of {descriptors:,} open files.",
                files=self.files,
                limit=descriptors,
            )
        if self.runs > MAX_SELECTED_RUNS:
            yield self._finding("SW508", f"{plural(self.runs, 'run')}.", runs=self.runs)
        if self.sampled_tags:
            count, run, tag, kind = self.most
            yield self._finding(
                "SW410",
                f"{plural(self.sampled_tags, 'tag')} in {plural(self.sampled_runs, 'run')} exceed"
                f" what TensorBoard keeps; most: {count:,} points in {tag!r} of {run!r}, of which"
                f" it keeps {KEPT[kind]:,}.",
                tags=self.sampled_tags,
                runs=self.sampled_runs,
                run=run,
                tag=tag,
                count=count,
                kept=KEPT[kind],
            )
        # A writer that logs into runs of its own below (add_scalars, add_hparams) leaves its own
        # run without curves, and that is as it should be.
        parents = _parents(self.curves)
        yield from (finding for finding in self.empty if finding.run not in parents)

    def _finding(self, code: str, message: str, **evidence: Any) -> Finding:
        return Finding(code, message, Path(self.top), evidence=evidence)


def _parents(names: list[str]) -> set[str]:
    parents: set[str] = set()
    for name in names:
        while name != ".":
            name = name.rpartition("/")[0] or "."
            if name in parents:
                break
            parents.add(name)
    return parents


def _no_data(run: RunScan) -> Finding:
    return run.finding(
        "SW202",
        f"{plural(len(run.files), 'event file')}, and nothing in them but their version.",
        files=len(run.files),
        created=run.files[0].created,
        modified=max(file.mtime for file in run.files),
    )


def _no_curves(run: RunScan) -> Finding:
    kinds = sorted({tag.kind.removeprefix("tensor:") or "unknown" for tag in run.tags.values()})
    if run.has_graph:
        kinds.append("graph")
    return run.finding("SW409", f"The run holds {', '.join(kinds)} and no curve.", kinds=kinds)
