"""Names of files as text."""

from __future__ import annotations

import os


def printable(path: str | os.PathLike[str]) -> str:
    r"""Return a path that any terminal and JSON take: a byte that is not UTF-8 becomes ``\xff``."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")
