"""Events that wait in the hidden folder until it is known which run their writer writes."""

from __future__ import annotations

import os
import urllib.parse

from safewriter._run.record import HIDDEN

# What the names of such files begin with.
_PREFIX = "waiting-"


def waiting_name(token: str, subdir: str) -> str:
    """Return the name for a token, and a directory below the run, ``""`` for the run itself."""
    return _PREFIX + token + ("." + urllib.parse.quote(subdir, "") if subdir else "")


def waiting_files(directory: str) -> list[tuple[str, str]]:
    """Return the files of a run with events that wait: the directory they go to, and the path."""
    hidden = os.path.join(directory, HIDDEN)
    try:
        names = sorted(name for name in os.listdir(hidden) if name.startswith(_PREFIX))
    except OSError:
        return []
    found = []
    for name in names:
        subdir, path = urllib.parse.unquote(name.partition(".")[2]), os.path.join(hidden, name)
        # Others may be able to write there: neither a link, nor a name that leads out of the run.
        is_below = (
            not os.path.isabs(subdir) and ".." not in subdir.split("/") and "\0" not in subdir
        )
        if is_below and os.path.isfile(path) and not os.path.islink(path):
            found.append((subdir, path))
    return found
