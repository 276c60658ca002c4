"""Arguments that several commands take."""

from __future__ import annotations

import argparse
import os


def not_empty(text: str) -> str:
    """Return an argument that is not empty, such as an unset variable of the shell."""
    if not text:
        raise argparse.ArgumentTypeError("an empty argument")
    return text


def default_logdir() -> str:
    """Return the directory that is meant where none is named: that of a writer without one."""
    return os.path.join(os.environ.get("SAFEWRITER_ROOT", ""), "runs")
