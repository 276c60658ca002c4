"""Checks of how the files of one run stand to each other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safewriter.doctor._finding import MAX_EXAMPLES, Finding, listing
from safewriter.doctor._scan import LIVE_SECONDS, FileScan, RunScan
from safewriter.doctor._tags import Back
from safewriter.runs._names import printable


def check_order(run: RunScan) -> Iterator[Finding]:
    """Yield what is wrong with the order of the run's files."""
    if len(run.files) < 2:
        return
    reversed_pairs = _reversed(run.files)
    overlapping: dict[int, list[tuple[str, Back]]] = {}
    later: dict[int, list[tuple[str, Back]]] = {}
    explained = {file for pair in reversed_pairs for file in pair}
    for name, tag in run.tags.items():
        back = tag.back
        if back is None or back.from_file == back.to_file:
            continue
        if back.to_file in explained and back.from_file in explained:
            continue
        group = overlapping if _overlap(run.files, back) else later
        group.setdefault(back.to_file, []).append((name, back))
    if reversed_pairs:
        yield _names(run, reversed_pairs)
    if overlapping:
        yield _interleaved(run, overlapping)
    for file, backs in later.items():
        yield _starts_over(run, file, backs)
    yield from _growing(run)


def _reversed(files: list[FileScan]) -> list[tuple[int, int]]:
    """Return pairs (file, a later-named file) of which the second holds only older events."""
    pairs = []
    newest: int | None = None  # of the files so far, the one that began last
    for index, file in enumerate(files):
        if file.first_wall is None or file.last_wall is None:
            continue
        if newest is not None and file.last_wall < (files[newest].first_wall or 0.0):
            pairs.append((newest, index))
        if newest is None or file.first_wall > (files[newest].first_wall or 0.0):
            newest = index
    return pairs


def _overlap(files: list[FileScan], back: Back) -> bool:
    first, second = files[back.from_file], files[back.to_file]
    if first.last_wall is None or second.first_wall is None:
        return False
    return second.first_wall < first.last_wall


def _times(file: FileScan) -> dict[str, Any]:
    return {"file": printable(file.name), "from": file.first_wall, "to": file.last_wall}


def _names(run: RunScan, pairs: list[tuple[int, int]]) -> Finding:
    newer, older = (run.files[index] for index in pairs[0])
    assert newer.first_wall is not None
    assert older.last_wall is not None
    return Finding(
        "SW301",
        f"{printable(newer.name)!r} sorts before {printable(older.name)!r}, but its events are"
        f" {newer.first_wall - older.last_wall:,.0f} s newer.",
        Path(newer.path),
        run.name,
        {"files": [_times(newer), _times(older)], "pairs": len(pairs)},
        fixable=True,
    )


def _interleaved(run: RunScan, backs: dict[int, list[tuple[str, Back]]]) -> Finding:
    indices = sorted(
        {i for group in backs.values() for _, b in group for i in (b.from_file, b.to_file)}
    )
    tags = sorted({name for group in backs.values() for name, _ in group})
    files = [run.files[index] for index in indices]
    return Finding(
        "SW302",
        f"{len(files)} files were written at the same time with the same tags: {listing(tags)}.",
        Path(run.path),
        run.name,
        {
            "files": [_times(file) for file in files[:MAX_EXAMPLES]],
            "file_count": len(files),
            "tags": tags[:MAX_EXAMPLES],
            "tag_count": len(tags),
        },
        fixable=True,
    )


def _starts_over(run: RunScan, file: int, backs: list[tuple[str, Back]]) -> Finding:
    name, back = backs[0]
    return Finding(
        "SW305",
        f"{printable(run.files[file].name)!r} goes back from step {back.from_step:,} to"
        f" {back.to_step:,} in {listing(name for name, _ in backs)}.",
        Path(run.files[file].path),
        run.name,
        {
            "file": printable(run.files[file].name),
            "earlier_file": printable(run.files[back.from_file].name),
            "tag": name,
            "from_step": back.from_step,
            "to_step": back.to_step,
            "tags": [name for name, _ in backs][:MAX_EXAMPLES],
            "tag_count": len(backs),
        },
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
        yield Finding(
            "SW303",
            f"{len(together)} files are being written:"
            f" {listing(printable(file.name) for file in together)}.",
            Path(run.path),
            run.name,
            {
                "files": [
                    {"file": printable(file.name), "modified": file.mtime, "size": file.size}
                    for file in together[:MAX_EXAMPLES]
                ],
                "file_count": len(together),
            },
        )
        return
    last = run.files[-1]
    for file in growing:
        if file is not last and file.mtime > last.mtime and not last.live:
            yield Finding(
                "SW304",
                f"{printable(file.name)!r} is being written, but {printable(last.name)!r} sorts"
                " after it.",
                Path(file.path),
                run.name,
                {
                    "file": printable(file.name),
                    "modified": file.mtime,
                    "last": printable(last.name),
                    "last_modified": last.mtime,
                },
            )
            return


def _logged_just_now(file: FileScan) -> bool:
    # A file that was copied just now looks fresh, but its events are old.
    return file.last_wall is not None and abs(time.time() - file.last_wall) < LIVE_SECONDS


def _began(file: FileScan) -> float:
    return file.created if file.created is not None else file.mtime
