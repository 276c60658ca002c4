"""Checks of the log directory itself, and the search for the one that was meant."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safewriter.doctor._finding import MAX_EXAMPLES, Finding, listing
from safewriter.runs._names import printable
from safewriter.runs._walk import MARK

_USUAL = "runs logs lightning_logs tb_logs tensorboard tensorboard_logs output outputs".split()
_PROJECT = ("pyproject.toml", "setup.py", "setup.cfg", ".git")
_MAX_LOOKS = 2000


def check_logdir(given: str) -> Finding | None:
    """Return why TensorBoard has nothing to walk through, or None if there is a directory."""
    path = Path(os.path.abspath(os.path.expanduser(given)))
    if path.is_dir():
        return None
    evidence = {"logdir": printable(given), "cwd": printable(os.getcwd())}
    if not path.exists() and (parts := _spec_parts(given)):
        exist = [part for part in parts if os.path.isdir(os.path.expanduser(part))]
        return Finding(
            "SW104",
            f"{printable(given)!r} is taken for one directory, which does not exist.",
            path,
            evidence={**evidence, "parts": parts, "directories": exist},
            cure=f"--logdir takes one directory. Use --logdir_spec={printable(given)}, or give the"
            " common parent.",
        )
    if path.exists():
        cure = f"tensorboard --logdir {printable(path.parent)}" if MARK in path.name else ""
        return _with_nearest("SW102", f"{printable(path)!r} is a file.", path, evidence, cure)
    return _with_nearest("SW101", f"{printable(path)!r} does not exist.", path, evidence)


def no_event_files(top: str, others: int, directories: int) -> Finding:
    """Return the finding for a directory that exists but holds no event file."""
    evidence = {"files": others, "directories": directories}
    if others:
        message = f"{others:,} files below it, none with {MARK!r} in its name."
        return _with_nearest("SW105", message, Path(top), evidence)
    return _with_nearest("SW103", f"{printable(top)!r} holds no file.", Path(top), evidence)


def _with_nearest(
    code: str, message: str, path: Path, evidence: dict[str, Any], cure: str = ""
) -> Finding:
    """Return a finding that also names the directories that may have been meant."""
    near = [printable(directory) for directory in _nearest(path)]
    if near:
        message += f" Event files are below {listing(near)}."
        cure = cure or f"tensorboard --logdir {near[0]}"
    return Finding(code, message, path, evidence={**evidence, "nearest": near}, cure=cure)


def _spec_parts(given: str) -> list[str]:
    """Return the directories of ``a,b`` or ``name:path``; empty if it is neither."""
    if "://" in given or ("," not in given and ":" not in given):
        return []
    return [part.partition(":")[2] or part for part in given.split(",") if part]


def _nearest(path: Path) -> list[Path]:
    """Return a few directories near ``path`` that hold event files, the likeliest first."""
    looks = iter(range(_MAX_LOOKS))
    found: list[Path] = []
    for directory in _candidates(path):
        if directory != path and directory not in found and _holds_events(directory, looks):
            found.append(directory)
            if len(found) == MAX_EXAMPLES:
                break
    return found


def _candidates(path: Path) -> Iterator[Path]:
    # A typo in the last component that does not exist.
    missing = path
    while not missing.parent.is_dir() and missing.parent != missing:
        missing = missing.parent
    siblings = {child.name: child for child in _subdirectories(missing.parent)}
    for name in difflib.get_close_matches(missing.name, siblings, n=3, cutoff=0.6):
        yield siblings[name]
    # The same relative path, or a usual name, from another working directory of the project.
    cwd = Path.cwd()
    root = next((at for at in (cwd, *cwd.parents) if any((at / m).exists() for m in _PROJECT)), cwd)
    bases = dict.fromkeys([path.parent, cwd, root])
    places = [below for base in bases for below in (base, *_subdirectories(base))]
    for names in ((path.name,), _USUAL):
        for place in places:
            for name in names:
                if (place / name).is_dir():
                    yield place / name


def _subdirectories(path: Path) -> list[Path]:
    try:
        with os.scandir(path) as entries:
            return sorted(
                Path(entry.path)
                for entry in entries
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            )[:200]
    except OSError:
        return []


def _holds_events(directory: Path, looks: Iterator[int]) -> bool:
    walked = zip(os.walk(directory), looks, strict=False)
    return any(MARK in name for (_, _, files), _ in walked for name in files)
