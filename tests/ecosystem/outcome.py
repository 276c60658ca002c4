"""What a program left behind, in a form in which two of its starts can be compared."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from tests.support import event_files, read_events

#: Tag, step and value of one thing that was logged; the kind stands for what has no plain value.
Point = tuple[str, int, Any]

#: What in a path says when the program was started.
_TIMES = (
    (re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(-\d+)?"), "<start>"),
    (re.compile(r"[^\W\d]{2,5}\.?\d\d_\d\d-\d\d-\d\d_[^/]+"), "<torch>"),
    (re.compile(r"\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d"), "<hydra>"),
    (re.compile(r"(?<!\d)\d{10}(\.\d+)?(?!\d)"), "<seconds>"),
)


#: The run that torch makes for each add_hparams without a name. We write into the run itself, and
#: no description of the columns, which would hide those of other runs.
_UNNAMED_HPARAMS = re.compile(r"\d{10}\.\d+")


def _without_times(path: str) -> str:
    for pattern, name in _TIMES:
        path = pattern.sub(name, path)
    return path


@dataclass(frozen=True)
class Outcome:
    """What one start, or several, of a program left in its directory.

    Attributes:
        directory: where it ran.
        runs: what each directory with event files holds, in the order in which it was logged.
        warned: safewriter's warnings, in order: class, place and text.
    """

    directory: Path
    runs: dict[Path, list[Point]]
    warned: list[str]

    @property
    def names(self) -> list[str]:
        """The directories with event files, each relative, and with what stands for its time."""
        relative = (run.relative_to(self.directory).as_posix() for run in self.runs)
        return sorted(map(_without_times, relative))

    def points(self, measured: Callable[[str], bool]) -> Counter[Point]:
        """Return everything that was logged; a tag that is `measured` has other values each time.

        Whichever run it is in, and whenever it was logged.
        """
        return Counter(
            (tag, step, "measured" if measured(tag) else value)
            for points in self.runs.values()
            for tag, step, value in points
        )

    def steps(self, tag: str) -> list[list[int]]:
        """Return the steps of a tag in each run that has it, in the order of their start."""
        curves = (
            [step for name, step, _ in points if name == tag] for points in self.runs.values()
        )
        return [curve for curve in curves if curve]

    def tree(self) -> str:
        """Return the directories and what they hold, for a failure's message."""
        lines = []
        for run, points in self.runs.items():
            lines.append(f"  {run.relative_to(self.directory)}")
            tags: dict[str, list[int]] = {}
            for tag, step, _ in points:
                tags.setdefault(tag, []).append(step)
            lines += [f"      {tag}: {_short(steps)}" for tag, steps in tags.items()]
        return "\n".join(lines)


def _short(steps: list[int]) -> str:
    return f"{steps[:4]}..{steps[-2:]} ({len(steps)} points)" if len(steps) > 12 else str(steps)


def outcome(directory: Path, warnings: Path) -> Outcome:
    """Read what is below `directory`, and the warnings that were written down in a file."""
    runs: dict[Path, list[Point]] = {}
    started = [(events[0].wall_time, file, events) for file, events in _files(directory)]
    for _, file, events in sorted(started, key=lambda item: item[:2]):
        points = runs.setdefault(file.parent, [])
        unnamed = _UNNAMED_HPARAMS.fullmatch(file.parent.name)
        for event in events:
            points += (
                point
                for point in _points(event, str(directory))
                if not (unnamed and point[0] == "_hparams_/experiment")
            )
    warned = warnings.read_text(encoding="utf-8").splitlines() if warnings.exists() else []
    return Outcome(directory, runs, warned)


def _files(directory: Path) -> Iterable[tuple[Path, list[Event]]]:
    return ((file, read_events(file)) for file in event_files(directory))


def _points(event: Event, directory: str) -> Iterable[Point]:
    if event.HasField("graph_def"):
        yield "graph", event.step, "graph"
    for value in event.summary.value:
        yield value.tag, event.step, _plain(value, directory)


def _plain(value: Summary.Value, directory: str) -> object:
    plugin = value.metadata.plugin_data.plugin_name
    if value.HasField("simple_value"):
        return value.simple_value
    if plugin == "text":
        text = b"\n".join(value.tensor.string_val).decode("utf-8")
        return _without_times(text.replace(directory, "."))
    if plugin == "hparams":
        # The group's name is made of the time.
        return "hparams", plugin_scalars(value)
    return value.WhichOneof("value")


def plugin_scalars(value: Summary.Value) -> tuple[tuple[str, object], ...]:
    """Return the hyperparameters that a session of the hparams plugin starts with."""
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    data = HParamsPluginData.FromString(value.metadata.plugin_data.content)
    started = data.session_start_info.hparams
    return tuple(sorted((name, str(started[name]).strip()) for name in started))


def differences(
    ours: Outcome,
    stock: Outcome,
    names: list[str] | None,
    measured: Callable[[str], bool],
) -> list[str]:
    """Return, in words, what is not as it should be; the directories should have `names`."""
    found = [f"warned: {text}" for text in ours.warned]
    mine, theirs = ours.points(measured), stock.points(measured)
    found += [f"stock has {point}, {count} times more" for point, count in (theirs - mine).items()]
    found += [f"stock lacks {point}, {count} times" for point, count in (mine - theirs).items()]
    if names is not None:
        names = sorted(name for name in names if not name.endswith("/<seconds>"))
        if ours.names != names:
            found.append(f"the directories are {ours.names}, not {names}")
    found += [
        f"{run.relative_to(ours.directory)} holds event files and no data"
        for run, points in ours.runs.items()
        if not points
    ]
    return found
