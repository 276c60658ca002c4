"""Checks of how the files of one run stand to each other."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

from safewriter.doctor._finding import MAX_EXAMPLES, Finding, listing
from safewriter.doctor._scan import LIVE_SECONDS, FileScan, RunScan
from safewriter.doctor._tags import Back


def check_order(run: RunScan) -> Iterator[Finding]:
    """Yield what is wrong with the order of the run's files."""
    if len(run.files) < 2:
        return
    reversed_pairs = _reversed(run.files)
    explained = {file for pair in reversed_pairs for file in pair}
    overlapping: list[tuple[str, Back]] = []
    later: dict[int, list[tuple[str, Back]]] = {}
    for name, tag in run.tags.items():
        back = tag.back
        if back is None or back.from_file == back.to_file:
            continue
        if {back.from_file, back.to_file} <= explained:
            continue
        if _overlap(run.files[back.from_file], run.files[back.to_file]):
            overlapping.append((name, back))
        else:
            later.setdefault(back.to_file, []).append((name, back))
    if reversed_pairs:
        yield _names(run, reversed_pairs)
    if overlapping:
        yield _interleaved(run, overlapping)
    for file, backs in later.items():
        yield _starts_over(run, run.files[file], backs)
    yield from _growing(run)


def _reversed(files: list[FileScan]) -> list[tuple[int, int]]:
    """Return pairs (file, a later-named file) of which the second holds only older events."""
    pairs = []
    newest, began = 0, -math.inf  # of the files so far, the one that began last
    for index, file in enumerate(files):
        if file.first_wall is None or file.last_wall is None:
            continue
        if file.last_wall < began:
            pairs.append((newest, index))
        if file.first_wall > began:
            newest, began = index, file.first_wall
    return pairs


def _overlap(first: FileScan, second: FileScan) -> bool:
    if first.last_wall is None or second.first_wall is None:
        return False
    return second.first_wall < first.last_wall


def _times(file: FileScan) -> dict[str, Any]:
    return {"file": file.shown, "from": file.first_wall, "to": file.last_wall}


def _names(run: RunScan, pairs: list[tuple[int, int]]) -> Finding:
    newer, older = (run.files[index] for index in pairs[0])
    assert newer.first_wall is not None
    assert older.last_wall is not None
    return run.finding(
        "SW301",
        f"{newer.shown!r} sorts before {older.shown!r}, but its events are"
        f" {newer.first_wall - older.last_wall:,.0f} s newer.",
        newer.path,
        fixable=True,
        files=[_times(newer), _times(older)],
        pairs=len(pairs),
    )


def _interleaved(run: RunScan, backs: list[tuple[str, Back]]) -> Finding:
    files = sorted({file for _, back in backs for file in (back.from_file, back.to_file)})
    tags = sorted(name for name, _ in backs)
    return run.finding(
        "SW302",
        f"{len(files)} files were written at the same time with the same tags: {listing(tags)}.",
        fixable=True,
        files=[_times(run.files[file]) for file in files[:MAX_EXAMPLES]],
        file_count=len(files),
        tags=tags[:MAX_EXAMPLES],
        tag_count=len(tags),
    )


def _starts_over(run: RunScan, file: FileScan, backs: list[tuple[str, Back]]) -> Finding:
    tags, back = [name for name, _ in backs], backs[0][1]
    return run.finding(
        "SW305",
        f"{file.shown!r} goes back from step {back.from_step:,} to {back.to_step:,} in"
        f" {listing(tags)}.",
        file.path,
        file=file.shown,
        earlier_file=run.files[back.from_file].shown,
        tag=tags[0],
        from_step=back.from_step,
        to_step=back.to_step,
        tags=tags[:MAX_EXAMPLES],
        tag_count=len(tags),
    )


def _growing(run: RunScan) -> Iterator[Finding]:
    growing = [file for file in run.files if file.live and _logged_just_now(file)]
    together = [
        file
        for file in growing
        if any(
            other is not file and _began(other) < file.mtime and _began(file) < other.mtime
            for other in growing
        )
    ]
    if together:
        yield run.finding(
            "SW303",
            f"{len(together)} files are being written: {listing(file.shown for file in together)}.",
            files=[
                {"file": file.shown, "modified": file.mtime, "size": file.size}
                for file in together[:MAX_EXAMPLES]
            ],
            file_count=len(together),
        )
        return
    last = run.files[-1]
    for file in growing:
        if file.mtime > last.mtime and not last.live:
            yield run.finding(
                "SW304",
                f"{file.shown!r} is being written, but {last.shown!r} sorts after it.",
                file.path,
                file=file.shown,
                modified=file.mtime,
                last=last.shown,
                last_modified=last.mtime,
            )
            return


def _logged_just_now(file: FileScan) -> bool:
    # A file that was copied just now looks fresh, but its events are old.
    return file.last_wall is not None and abs(time.time() - file.last_wall) < LIVE_SECONDS


def _began(file: FileScan) -> float:
    return file.created if file.created is not None else file.mtime
