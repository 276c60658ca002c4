"""Checks of what one run logged under its tags: steps, kinds, values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from safewriter.doctor._finding import MAX_EXAMPLES, Finding, listing, plural
from safewriter.doctor._scan import RunScan
from safewriter.doctor._tags import Tag


def check_tags(run: RunScan) -> Iterator[Finding]:
    """Yield what is wrong with the run's tags: at most one finding for each code."""
    found: dict[str, tuple[str, dict[str, Any], list[str]]] = {}
    for name, tag in run.tags.items():
        for code, message, evidence in _judge(name, tag):
            _, _, tags = found.setdefault(code, (message, evidence, []))
            tags.append(name)
    for code, (message, evidence, tags) in sorted(found.items()):
        if others := tags[1:]:
            message += f" Likewise {listing(others)}."
        evidence |= {"tags": tags[:MAX_EXAMPLES], "tag_count": len(tags)}
        yield run.finding(code, message, tag=tags[0], **evidence)
    if run.idle_purge is not None:
        purge, file = run.idle_purge, run.files[run.idle_purge.file]
        yield run.finding(
            "SW404",
            f"{file.shown!r} says that the run starts again at step {purge.step:,};"
            f" {plural(purge.tags, 'tag')} had points from there on, which stay.",
            file.path,
            step=purge.step,
            tag_count=purge.tags,
            file=file.shown,
        )


def _judge(name: str, tag: Tag) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield code, message and evidence of what is wrong with one tag."""
    count = {"count": tag.count}
    if (back := tag.back) is not None and back.from_file == back.to_file:
        times = f", and {plural(tag.backs - 1, 'time')} more" if tag.backs > 1 else ""
        yield (
            "SW401",
            f"The steps of {name!r} go back from {back.from_step:,} to {back.to_step:,}{times}.",
            {"from_step": back.from_step, "to_step": back.to_step, "times": tag.backs} | count,
        )
    if tag.repeats and tag.other_kind is None:
        yield (
            "SW402",
            f"{name!r} has step {tag.repeat_step:,} with another value again;"
            f" {plural(tag.repeats, 'point')} of {tag.count:,} repeat a step.",
            {"step": tag.repeat_step, "repeats": tag.repeats} | count,
        )
    if (zero := tag.lone_zero) is not None:
        message = f"{name!r} has a single step 0 behind step {zero.from_step:,}."
        yield "SW403", message, {"step": 0, "behind": zero.from_step} | count
    if tag.bare:
        message = f"The first value of {name!r} does not say which plugin shows it."
        yield "SW407", message, {"step": tag.first_step} | count
    elif tag.other_kind is not None:
        yield (
            "SW405",
            f"{name!r} is {tag.kind} and, from step {tag.other_step:,} on, {tag.other_kind}.",
            {"kinds": [tag.kind, tag.other_kind], "step": tag.other_step},
        )
    if tag.doubles:
        points = plural(tag.doubles, "point")
        message = f"{points} of {name!r} are tensors of another type than float32."
        yield "SW406", message, {"points": tag.doubles} | count
    if tag.not_finite > 1:
        yield (
            "SW408",
            f"{name!r} is NaN or infinite from step {tag.not_finite_from:,} to its end"
            f" ({tag.not_finite:,} of {plural(tag.count, 'point')}).",
            {"step": tag.not_finite_from, "points": tag.not_finite} | count,
        )
    if tag.empty:
        message = f"{plural(tag.empty, 'value')} of {name!r} hold nothing to show."
        yield "SW411", message, {"values": tag.empty} | count
