"""Events that wait in the hidden folder until it is known which run their writer writes."""

from __future__ import annotations

import os
import urllib.parse

#: What the names of such files begin with, in ``.safewriter`` of a run.
PREFIX = "waiting-"


def waiting_name(token: str, subdir: str) -> str:
    """Return the name for a token, and a directory below the run, ``""`` for the run itself."""
    return PREFIX + token + ("." + urllib.parse.quote(subdir, "") if subdir else "")


def waiting_files(directory: str) -> list[tuple[str, str]]:
    """Return the files of a run with events that wait: the directory they go to, and the path."""
    hidden = os.path.join(directory, ".safewriter")
    try:
        names = sorted(name for name in os.listdir(hidden) if name.startswith(PREFIX))
    except OSError:
        return []
    paths = [os.path.join(hidden, name) for name in names]
    return [
        (urllib.parse.unquote(os.path.basename(path).partition(".")[2]), path)
        for path in paths
        if os.path.isfile(path) and not os.path.islink(path)
    ]
