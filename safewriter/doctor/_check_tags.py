"""Checks of what one run logged under its tags: steps, kinds, values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from safewriter.doctor._finding import MAX_EXAMPLES, Finding, listing, plural
from safewriter.doctor._scan import RunScan
from safewriter.doctor._tags import Tag
from safewriter.runs._names import printable


def check_tags(run: RunScan) -> Iterator[Finding]:
    """Yield what is wrong with the run's tags: at most one finding for each code."""
    for code, wanted, describe in _CHECKS:
        tags = [(name, tag) for name, tag in run.tags.items() if wanted(tag)]
        if tags:
            name, tag = tags[0]
            message, evidence = describe(name, tag)
            if len(tags) > 1:
                others = listing(other for other, _ in tags[1:])
                message += f" Likewise {others}."
            evidence = {
                "tag": name,
                **evidence,
                "tags": [name for name, _ in tags][:MAX_EXAMPLES],
                "tag_count": len(tags),
            }
            yield Finding(code, message, Path(run.path), run.name, evidence)
    if run.idle_purge is not None:
        purge = run.idle_purge
        file = run.files[purge.file]
        yield Finding(
            "SW404",
            f"{printable(file.name)!r} says that the run starts again at step {purge.step:,};"
            f" {plural(purge.tags, 'tag')} had points from there on, which stay.",
            Path(file.path),
            run.name,
            {"step": purge.step, "tag_count": purge.tags, "file": printable(file.name)},
        )


def _went_back(tag: Tag) -> bool:
    return tag.back is not None and tag.back.from_file == tag.back.to_file


def _back(name: str, tag: Tag) -> tuple[str, dict[str, Any]]:
    assert tag.back is not None
    times = f", and {plural(tag.backs - 1, 'time')} more" if tag.backs > 1 else ""
    return (
        f"The steps of {name!r} go back from {tag.back.from_step:,}"
        f" to {tag.back.to_step:,}{times}.",
        {
            "from_step": tag.back.from_step,
            "to_step": tag.back.to_step,
            "times": tag.backs,
            "count": tag.count,
        },
    )


def _repeat(name: str, tag: Tag) -> tuple[str, dict[str, Any]]:
    return (
        f"{name!r} has step {tag.repeat_step:,} with another value again;"
        f" {plural(tag.repeats, 'point')} of {tag.count:,} repeat a step.",
        {"step": tag.repeat_step, "repeats": tag.repeats, "count": tag.count},
    )


def _zero(name: str, tag: Tag) -> tuple[str, dict[str, Any]]:
    assert tag.lone_zero is not None
    return (
        f"{name!r} has a single step 0 behind step {tag.lone_zero.from_step:,}.",
        {"step": 0, "behind": tag.lone_zero.from_step, "count": tag.count},
    )


def _kinds(name: str, tag: Tag) -> tuple[str, dict[str, Any]]:
    return (
        f"{name!r} is {tag.kind} and, from step {tag.other_step:,} on, {tag.other_kind}.",
        {"kinds": [tag.kind, tag.other_kind], "step": tag.other_step},
    )


def _doubles(name: str, tag: Tag) -> tuple[str, dict[str, Any]]:
    return (
        f"{plural(tag.doubles, 'point')} of {name!r} are tensors of another type than float32.",
        {"points": tag.doubles, "count": tag.count},
    )


def _bare(name: str, tag: Tag) -> tuple[str, dict[str, Any]]:
    return (
        f"The first value of {name!r} does not say which plugin shows it.",
        {"step": tag.first_step, "count": tag.count},
    )


def _empty(name: str, tag: Tag) -> tuple[str, dict[str, Any]]:
    message = f"{plural(tag.empty, 'value')} of {name!r} hold nothing to show."
    return message, {"values": tag.empty, "count": tag.count}


def _not_finite(name: str, tag: Tag) -> tuple[str, dict[str, Any]]:
    return (
        f"{name!r} is NaN or infinite from step {tag.not_finite_from:,} to its end"
        f" ({tag.not_finite:,} of {plural(tag.count, 'point')}).",
        {
            "step": tag.not_finite_from,
            "points": tag.not_finite,
            "count": tag.count,
        },
    )


_CHECKS: list[
    tuple[str, Callable[[Tag], bool], Callable[[str, Tag], tuple[str, dict[str, Any]]]]
] = [
    ("SW401", _went_back, _back),
    ("SW402", lambda tag: tag.repeats > 0 and tag.other_kind is None, _repeat),
    ("SW403", lambda tag: tag.lone_zero is not None, _zero),
    ("SW405", lambda tag: tag.other_kind is not None and not tag.bare, _kinds),
    ("SW406", lambda tag: tag.doubles > 0, _doubles),
    ("SW407", lambda tag: tag.bare, _bare),
    ("SW408", lambda tag: tag.not_finite > 1, _not_finite),
    ("SW411", lambda tag: tag.empty > 0, _empty),
]
