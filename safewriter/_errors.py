"""Every error and warning of safewriter, and how a warning finds the user's line.

    Exception
    └── SafeWriterError
        ├── RunDirectoryError        the run directory cannot be made or used
        ├── RunLockedError           another process is writing the run directory
        └── ArgumentError            an argument is wrong, or a setting of the environment
            ├── ArgumentValueError       its value; also a ValueError
            └── ArgumentTypeError        its type; also a TypeError

    UserWarning
    └── SafeWriterWarning
        ├── DataWarning              what is logged
        │   ├── StepOrderWarning         a tag's step is lower than its last one
        │   ├── TagOrderWarning          evaluation was logged before training
        │   │   └── BaselineWarning      at step 0, and training starts later
        │   ├── MissingStepWarning       no ``global_step`` for a tag that already has a point
        │   ├── TagKindWarning           one tag, two kinds of data
        │   ├── TagNameWarning           two tags differ only in case or surrounding space
        │   └── InvisibleValueWarning    data that TensorBoard does not draw
        └── RunWarning               where and by whom it is written
            ├── RelativePathWarning      a relative ``log_dir`` is not where one may expect it
            ├── ReusedRunWarning         the directory holds events of an earlier run
            ├── SplitRunWarning          what belongs to one run goes to two
            ├── SharedTagWarning         two live writers log one tag
            ├── ForkedWriterWarning      a forked child logs
            ├── RankWarning              several ranks log
            ├── EmptyRunWarning          closed without a single event
            ├── WriteErrorWarning        the disk refuses
            └── UnlockedRunWarning       the file system cannot lock

Python's own filters are the policy: ``warnings.filterwarnings("error", category=StepOrderWarning)``
turns a warning into an exception that is raised before the event is written. Each text ends with
the name of its class in brackets, for programs that print warnings without it. Errors and warnings
can be pickled, with all that they carry.
"""

from __future__ import annotations

import sys
import warnings
from types import FrameType
from typing import NamedTuple


class SafeWriterError(Exception):
    """Base class of the errors that safewriter raises."""


class RunDirectoryError(SafeWriterError):
    """The run directory cannot be made or used; raised when the writer is constructed.

    Attributes:
        path: the directory, as it was named or as it became.
        errno: the number of the system's error, such as ``errno.EACCES``; None if it is not one.
        cure: what to do about it.

    Example::

        try:
            writer = SafeSummaryWriter("/data/runs")
        except RunDirectoryError as error:
            if error.errno != errno.EACCES:
                raise
            writer = SafeSummaryWriter("runs")
    """

    def __init__(
        self, message: str, *, path: str = "", errno: int | None = None, cure: str = ""
    ) -> None:
        super().__init__(message)
        self.path = path
        self.errno = errno
        self.cure = cure


class RunLockedError(SafeWriterError):
    """Another live process is writing the run directory.

    Attributes:
        directory: the run directory.
        pid: the process that writes it; None if it did not say, as are the next two.
        host: the name of the machine on which that runs.
        start: when it began, in seconds since 1970.
    """

    def __init__(
        self,
        message: str,
        *,
        directory: str = "",
        pid: int | None = None,
        host: str | None = None,
        start: float | None = None,
    ) -> None:
        super().__init__(message)
        self.directory = directory
        self.pid = pid
        self.host = host
        self.start = start


class ArgumentError(SafeWriterError):
    """An argument is wrong, or a setting of the environment.

    Attributes:
        argument: its name, such as ``"global_step"``.
    """

    def __init__(self, message: str, *, argument: str = "") -> None:
        super().__init__(message)
        self.argument = argument


class ArgumentValueError(ArgumentError, ValueError):
    """The value of an argument or a setting is wrong. Also a ``ValueError``."""


class ArgumentTypeError(ArgumentError, TypeError):
    """The type of an argument is wrong, or there is no such argument. Also a ``TypeError``."""


class SafeWriterWarning(UserWarning):
    """Base class of the warnings that safewriter gives."""


class DataWarning(SafeWriterWarning):
    """Base class of the warnings about what is logged: steps, tags and values."""


class RunWarning(SafeWriterWarning):
    """Base class of the warnings about a run: where it is, and who writes it."""


class StepOrderWarning(DataWarning):
    """A tag's step is lower than its last one."""


class TagOrderWarning(DataWarning):
    """Evaluation was logged before training."""


class BaselineWarning(TagOrderWarning):
    """Evaluation was logged at step 0, before training that starts later: a baseline?"""


class MissingStepWarning(DataWarning):
    """``global_step`` is missing for a tag that already has a point."""


class TagKindWarning(DataWarning):
    """One tag is used for two kinds of data."""


class TagNameWarning(DataWarning):
    """A tag differs from an earlier one only in case or in surrounding space."""


class InvisibleValueWarning(DataWarning):
    """TensorBoard's default reader does not show this data."""


class RelativePathWarning(RunWarning):
    """A relative ``log_dir`` is not where one may expect it: the current directory decides."""


class ReusedRunWarning(RunWarning):
    """The directory already holds the events of an earlier run."""


class SplitRunWarning(RunWarning):
    """What seems to belong to one run goes to two."""


class SharedTagWarning(RunWarning):
    """Two writers that are open at the same time log one tag of one run."""


class ForkedWriterWarning(RunWarning):
    """A forked child logs through the writer of its parent."""


class RankWarning(RunWarning):
    """Several ranks of one distributed job log."""


class EmptyRunWarning(RunWarning):
    """A run was closed without a single event."""


class WriteErrorWarning(RunWarning):
    """The disk refuses what is logged."""


class UnlockedRunWarning(RunWarning):
    """The file system cannot lock the run directory."""


_LIBRARIES = ("torch.utils.tensorboard", "tensorboardX")
# contextlib: some of our methods are decorated with a context manager of it.
_OURS = ("safewriter", *_LIBRARIES, "tensorboard", "contextlib")


def _is_of(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def _users_frame() -> tuple[FrameType | None, int]:
    """Return the innermost frame that is neither ours nor a library's writer, and its stack level.

    Whoever calls the library may be a tracker that wraps a method of it: our own, of the writer,
    is further out then, and was called by the user.
    """
    frame: FrameType | None = sys._getframe(1)
    found, found_level, level, is_by_user = None, 1, 0, False
    while frame is not None and (found is None or not is_by_user):
        name = frame.f_globals.get("__name__", "")
        if name == "safewriter._writer":
            found, is_by_user = None, True
        elif found is None and _is_of(name, _LIBRARIES):
            is_by_user = False
        elif found is None and not _is_of(name, _OURS):
            found, found_level = frame, level
        frame = frame.f_back
        level += 1
    return found, found_level


class Location(NamedTuple):
    """A line of the user's code, kept for warnings that come when no user code runs."""

    filename: str
    lineno: int
    module: str


def user_location() -> Location:
    """Return the innermost line outside our code, torch's writer and what a tracker wraps it in."""
    frame, _ = _users_frame()
    if frame is None:
        return Location("<unknown>", 1, "safewriter")
    return Location(frame.f_code.co_filename, frame.f_lineno, frame.f_globals.get("__name__", ""))


def warn(category: type[SafeWriterWarning], message: str) -> None:
    """Warn at :func:`user_location`."""
    _, level = _users_frame()
    warnings.warn(_with_name(message, category), category, stacklevel=level + 1)


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
    text = _with_name(message, category)
    warnings.warn_explicit(text, category, location.filename, location.lineno, location.module)


def _with_name(message: str, category: type[SafeWriterWarning]) -> str:
    """Return the text of a warning: some programs print it without the name of its class."""
    return f"{message} [{category.__name__}]"


def _be_public() -> None:
    """Have every class be called after the package, in tracebacks and in pickles."""
    for value in list(globals().values()):
        if isinstance(value, type) and issubclass(value, (SafeWriterError, SafeWriterWarning)):
            value.__module__ = "safewriter"


_be_public()
