"""Every error and warning of safewriter, and how a warning finds the user's line.

    Exception
    └── SafeWriterError
        ├── RunDirectoryError        the run directory cannot be made or used
        └── RunLockedError           another process is writing the run directory

    UserWarning
    └── SafeWriterWarning
        ├── StepOrderWarning         a tag's step is lower than its last one
        ├── TagOrderWarning          evaluation was logged before training
        ├── MissingStepWarning       no ``global_step`` for a tag that already has a point
        ├── TagKindWarning           one tag, two kinds of data
        ├── TagNameWarning           two tags differ only in case or surrounding space
        ├── InvisibleValueWarning    data that TensorBoard does not draw
        ├── RelativePathWarning      a relative ``log_dir`` inside a project
        ├── ReusedRunWarning         the directory holds events of an earlier run
        ├── SplitRunWarning          what belongs to one run goes to two
        ├── SharedTagWarning         two live writers log one tag
        ├── ForkedWriterWarning      a forked child logs
        ├── RankWarning              several ranks log
        ├── EmptyRunWarning          closed without a single event
        ├── WriteErrorWarning        the disk refuses
        └── UnlockedRunWarning       the file system cannot lock

Python's own filters are the policy: ``warnings.filterwarnings("error", category=StepOrderWarning)``
turns a warning into an exception that is raised before the event is written.
"""

from __future__ import annotations

import sys
import warnings
from types import FrameType
from typing import NamedTuple


class SafeWriterError(Exception):
    """Base class of the errors that safewriter raises."""


class RunDirectoryError(SafeWriterError):
    """The run directory cannot be made or used; raised when the writer is constructed."""


class RunLockedError(SafeWriterError):
    """Another live process is writing the run directory."""


class SafeWriterWarning(UserWarning):
    """Base class of the warnings that safewriter gives."""


class StepOrderWarning(SafeWriterWarning):
    """A tag's step is lower than its last one."""


class TagOrderWarning(SafeWriterWarning):
    """Evaluation was logged before training."""


class MissingStepWarning(SafeWriterWarning):
    """``global_step`` is missing for a tag that already has a point."""


class TagKindWarning(SafeWriterWarning):
    """One tag is used for two kinds of data."""


class TagNameWarning(SafeWriterWarning):
    """A tag differs from an earlier one only in case or in surrounding space."""


class InvisibleValueWarning(SafeWriterWarning):
    """TensorBoard's default reader does not show this data."""


class RelativePathWarning(SafeWriterWarning):
    """A relative ``log_dir`` is resolved from a directory inside a project."""


class ReusedRunWarning(SafeWriterWarning):
    """The directory already holds the events of an earlier run."""


class SplitRunWarning(SafeWriterWarning):
    """What seems to belong to one run goes to two."""


class SharedTagWarning(SafeWriterWarning):
    """Two writers that are open at the same time log one tag of one run."""


class ForkedWriterWarning(SafeWriterWarning):
    """A forked child logs through the writer of its parent."""


class RankWarning(SafeWriterWarning):
    """Several ranks of one distributed job log."""


class EmptyRunWarning(SafeWriterWarning):
    """A run was closed without a single event."""


class WriteErrorWarning(SafeWriterWarning):
    """The disk refuses what is logged."""


class UnlockedRunWarning(SafeWriterWarning):
    """The file system cannot lock the run directory."""


# contextlib: some of our methods are decorated with a context manager of it.
_OURS = ("safewriter", "torch.utils.tensorboard", "tensorboard", "contextlib")


def _is_ours(frame: FrameType) -> bool:
    name = frame.f_globals.get("__name__", "")
    return any(name == ours or name.startswith(ours + ".") for ours in _OURS)


class Location(NamedTuple):
    """A line of the user's code, kept for warnings that come when no user code runs."""

    filename: str
    lineno: int
    module: str


def user_location() -> Location:
    """Return the innermost line outside safewriter, torch's and tensorboard's writer code."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
    if frame is None:
        return Location("<unknown>", 1, "safewriter")
    return Location(frame.f_code.co_filename, frame.f_lineno, frame.f_globals.get("__name__", ""))


def warn(category: type[SafeWriterWarning], message: str) -> None:
    """Warn at the innermost line of code that is neither ours nor torch's writer."""
    level = 1
    frame: FrameType | None = sys._getframe(0)
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level if frame is not None else 2)


class Notice(NamedTuple):
    """A warning that is told once no lock is held: telling may run the user's code."""

    category: type[SafeWriterWarning]
    message: str
    location: Location | None = None


def tell(notices: list[Notice]) -> None:
    """Give the warnings and empty the list. A warning that is an error leaves the later ones in."""
    while notices:
        category, message, location = notices.pop(0)
        if location is None:
            warn(category, message)
        else:
            warn_at(location, category, message)


def warn_at(location: Location, category: type[SafeWriterWarning], message: str) -> None:
    """Warn at a line recorded earlier."""
    warnings.warn_explicit(message, category, location.filename, location.lineno, location.module)
