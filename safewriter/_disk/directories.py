"""Directories that are made and may exist."""

from __future__ import annotations

import os
import stat


def make_directories(path: str) -> None:
    """Make a directory with its parents; it may exist. Raises ``OSError``.

    Not ``os.makedirs``: it takes whatever ``OSError`` its look raises, such as a TimeoutError of a
    signal handler, for the answer that there is no directory.
    """
    try:
        _make(path)
    except FileNotFoundError:
        parent = os.path.dirname(path)
        if parent in ("", path):
            raise
        make_directories(parent)
        _make(path)


def _make(path: str) -> None:
    try:
        os.mkdir(path)
    except OSError as error:
        # Of a directory that exists, some systems say first that it may not be made there.
        if error.errno is None or not _is_directory(path):
            raise


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except OSError as error:
        if error.errno is None:
            raise  # by a signal handler
        return False
