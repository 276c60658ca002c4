"""Where a run lives: absolute, unique, its own."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from collections.abc import Iterator

from safewriter._errors import RelativePathWarning, RunDirectoryError, warn
from safewriter._run.record import HIDDEN

#: What marks the root of a project.
PROJECT_MARKERS = ("pyproject.toml", "setup.py", "setup.cfg", ".git")

# Our own names, and torch's default: Nov22_09-30-00_host (the month is the locale's).
_UNIQUE_NAME = re.compile(
    r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(\D.*)?|[^\W\d]{2,5}\.?\d\d_\d\d-\d\d-\d\d_.+",
    re.DOTALL,
)

_CURES = {
    errno.EACCES: "choose a log_dir that you may write to, or change its permissions",
    errno.EPERM: "choose a log_dir that you may write to, or change its permissions",
    errno.EROFS: "the file system is read-only: choose another log_dir",
    errno.ENOTDIR: "a file is in the way: choose another log_dir, or remove the file",
    errno.EEXIST: "a file is in the way: choose another log_dir, or remove the file",
    errno.ENAMETOOLONG: "the name is longer than the file system takes: shorten it",
    errno.ENOSPC: "the disk is full: free some space, or choose another log_dir",
    errno.EDQUOT: "the quota is used up: free some space, or choose another log_dir",
}


# A name that no file system takes. Everything else may change while a training runs.
_NEVER_A_NAME = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ})


def may_pass(error: BaseException | None) -> bool:
    """Tell whether `error` is a disk that refuses for now, not a name that it never takes."""
    return isinstance(error, OSError) and error.errno not in _NEVER_A_NAME


def is_remote(path: str) -> bool:
    """Tell whether `path` has a scheme (``s3://``, ``gs://``, ``memory://``)."""
    return "://" in path


@contextlib.contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn what the file system says about `path` into a :class:`RunDirectoryError` with a cure.

    What the block has made of `path` and its parents is taken away again.
    """
    missing = []
    directory = path
    while not os.path.lexists(directory) and directory != os.path.dirname(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise  # Not the file system's: a signal handler raised it, TimeoutError for example.
        for directory in missing:
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        cure = _CURES.get(error.errno or 0, "choose another log_dir")
        raise RunDirectoryError(
            f"the run directory {path!r} cannot be used: {error.strerror or error}; {cure}"
        ) from error


def resolve(log_dir: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> str:
    """Make `log_dir` absolute, once.

    A relative path is taken from `root`, else from ``$SAFEWRITER_ROOT``, else from the current
    directory; ``root="project"`` is the nearest directory above that holds a project. ``~`` is
    expanded. Raises :class:`RunDirectoryError` for what no file system or no reader takes.
    """
    path = os.path.expanduser(os.fsdecode(log_dir))
    if not os.path.isabs(path):
        anchor = os.fsdecode(root) if root is not None else os.environ.get("SAFEWRITER_ROOT")
        with _current_directory_needed(path):
            if anchor == "project":
                anchor = _project_root_or_error()
            elif not anchor:
                anchor = os.getcwd()
                _warn_if_inside_project(path, anchor)
            path = os.path.join(os.path.abspath(os.path.expanduser(anchor)), path)
    # Some versions of normpath cut the path off at a NUL byte, so the check comes first.
    check_name(path)
    return os.path.normpath(path)


@contextlib.contextmanager
def _current_directory_needed(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(
            f"the relative log_dir {path!r} cannot be made absolute, because the current directory "
            f"cannot be found ({error.strerror}): pass an absolute log_dir or root"
        ) from error


def check_name(path: str) -> None:
    """Raise :class:`RunDirectoryError` for a path that no file system or no reader can take."""
    if "\0" in path:
        raise RunDirectoryError(
            f"the run directory {path!r} holds a NUL byte, which no file system takes: remove it"
        )
    try:
        os.fsencode(path).decode("utf-8")
    except UnicodeError:
        raise RunDirectoryError(
            f"the run directory {path!r} is not valid UTF-8, and TensorBoard stops reading a "
            "directory with such a name in it: rename it"
        ) from None
    for component in path.split(os.sep):
        if "tfevents" in component:
            raise RunDirectoryError(
                f"the run directory {path!r} has 'tfevents' in the name {component!r}: TensorBoard "
                "takes it for an event file and then answers with an error for every run; rename it"
            )


def find_project_root(start: str) -> str | None:
    """Return the nearest directory, `start` or above it, that holds a project."""
    directory = os.path.abspath(start)
    while True:
        if any(os.path.exists(os.path.join(directory, marker)) for marker in PROJECT_MARKERS):
            return directory
        parent = os.path.dirname(directory)
        if parent == directory:
            return None
        directory = parent


def _project_root_or_error() -> str:
    root = find_project_root(os.getcwd())
    if root is None:
        raise RunDirectoryError(
            f"root='project', but neither {os.getcwd()!r} nor a directory above it holds one of "
            f"{', '.join(PROJECT_MARKERS)}: give a path as root"
        )
    return root


def _warn_if_inside_project(path: str, cwd: str) -> None:
    project = find_project_root(cwd)
    if project is not None and project != os.path.abspath(cwd):
        warn(
            RelativePathWarning,
            f"the relative log_dir {path!r} becomes {os.path.join(cwd, path)!r}, because that is "
            f"the current directory; started from the project's root it would be "
            f"{os.path.join(project, path)!r}, and the runs end up in two places. Pass an absolute "
            "log_dir or root='project', or set SAFEWRITER_ROOT.",
        )


def is_unique_name(path: str) -> bool:
    """Tell whether the last component of `path` already carries the time of its making."""
    return _UNIQUE_NAME.fullmatch(os.path.basename(path)) is not None


def has_events(directory: str) -> bool:
    """Tell whether `directory` exists and holds event files."""
    try:
        return any("tfevents" in name for name in os.listdir(directory))
    except OSError:
        return False


def is_run(directory: str) -> bool:
    """Tell whether `directory` is a run: it holds event files or a run's record."""
    return has_events(directory) or os.path.isdir(os.path.join(directory, HIDDEN))


def run_name(comment: str = "", rank: int | None = None) -> str:
    """Return the name of a run that begins now: ``<time>[_comment][_rankN]``."""
    return time.strftime("%Y-%m-%d_%H-%M-%S") + run_tail(comment, rank)


def run_tail(comment: str, rank: int | None) -> str:
    """Return what follows the time in the name of a run: ``[_comment][_rankN]``."""
    tail = "_" + comment.replace("/", "_").replace(os.sep, "_").lstrip("_-") if comment else ""
    return tail if rank is None else f"{tail}_rank{rank}"


def claim(parent: str, comment: str = "", rank: int | None = None) -> str:
    """Make a new run directory ``<parent>/<time>[_comment][_rankN]`` and return it.

    The exclusive mkdir is the claim, so it is unique among all processes and hosts that share the
    disk; a name that is taken gets ``-2``, ``-3``, ... Raises :class:`RunDirectoryError`.
    """
    return claim_name(os.path.join(parent, run_name(comment, rank)))


def claim_name(path: str) -> str:
    """Make the new directory `path`, or the first free of ``<path>-2``, ``-3``, ... and return it.

    Raises :class:`RunDirectoryError`.
    """
    check_name(path)
    with explained(path):
        number = 1
        while True:
            candidate = path if number == 1 else f"{path}-{number}"
            try:
                os.makedirs(candidate)
            except FileExistsError:
                number += 1
            else:
                return candidate


def free_name(path: str) -> str:
    """Return the first of `path`, ``<path>-2``, ``-3``, ... that does not exist."""
    number, candidate = 1, path
    while os.path.lexists(candidate):
        number += 1
        candidate = f"{path}-{number}"
    return candidate


def make(path: str) -> str:
    """Make `path` with its parents; it may exist. Raises :class:`RunDirectoryError`."""
    check_name(path)
    with explained(path):
        os.makedirs(path, exist_ok=True)
    return path
