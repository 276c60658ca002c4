"""The runs below a log directory, written by any tool, as data. Importing this imports no torch.

`safewriter.list_runs` is the same function.
"""

from __future__ import annotations

from safewriter.runs._listing import Run, list_runs

__all__ = ["Run", "list_runs"]

list_runs.__module__ = "safewriter"  # as users know it
