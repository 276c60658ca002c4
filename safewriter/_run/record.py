"""A run's record, ``.safewriter/run.json``: written, read and masked here only.

Format, version 2: an object with ``version``, ``path`` (of the run when it was begun, absolute),
``comment`` and ``sessions``: a list, oldest first, of objects with ``token``, ``pid``, ``host``,
``boot``, ``argv``, ``cwd``, ``versions``, ``start``, ``end``, ``status`` and, where they are known,
``exit_code`` and ``signal``. Times are seconds since the epoch. Version 1 was one such session,
without token and boot. docs/events.md describes it for users.

Beside it a mark, ``sigterm-<token>``, that is not empty says that a SIGTERM ended that session.

The hidden folder may lie in a directory that others can write to, so nothing in it is trusted: it
is opened without following links and without waiting, and what is read is checked field by field.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import signal
import stat
from collections.abc import Iterator
from typing import Any, NamedTuple

from safewriter._disk.open_files import Descriptor, DiskErrorsIgnored
from safewriter._run.ending import Ending

#: The hidden folder of a run directory that holds its lock and its record.
HIDDEN = ".safewriter"

#: What says that something else than a regular file, or than a folder, is there.
NOT_A_FILE = frozenset({errno.ELOOP, errno.ENXIO, errno.EINVAL})

_NAME = "run.json"
_VERSION = 2
_MAX_BYTES = 1 << 20
_MAX_SESSIONS = 100
_TOO_LARGE = 1e15

#: What a file in the hidden folder is opened with: it may be a link, or a pipe.
NO_LINKS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

_HAS_DIR_FD = os.open in os.supports_dir_fd

Record = dict[str, Any]


@contextlib.contextmanager
def hidden_folder(directory: str, *, make: bool = False) -> Iterator[Folder]:
    """Open the hidden folder of a run, and make it first if told so.

    Raises ``OSError``, also if the folder is a link.
    """
    path, is_new = os.path.join(directory, HIDDEN), False
    if make:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path)
            is_new = True
    if not _HAS_DIR_FD:
        yield Folder(path + os.sep, None, is_new)
        return
    folder = Descriptor()
    try:
        folder.open(path, os.O_RDONLY | os.O_DIRECTORY | NO_LINKS, high=False)
        yield Folder("", folder.number, is_new)
    finally:
        folder.close()


class Folder(NamedTuple):
    """An open hidden folder: what stands before a name in it, and what it is relative to."""

    prefix: str
    number: int | None
    is_new: bool

    @contextlib.contextmanager
    def open(self, name: str, flags: int) -> Iterator[int]:
        """Open a regular file; never through a link, never waiting. Raises ``OSError``."""
        file = Descriptor()
        try:
            file.open(self.prefix + name, flags | NO_LINKS, dir_fd=self.number, high=False)
            if not stat.S_ISREG(os.fstat(file.number).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", name)
            yield file.number
        finally:
            file.close()


def read_record(directory: str | os.PathLike[str], folder: Folder | None = None) -> Record | None:
    """Return the record of the run in a directory, or None if it has none.

    What is returned is of the present version; of its last session, the fields stand at the top as
    well. Fields of a wrong type are left out. `folder` is the hidden folder, if it is open already.
    Raises ``OSError`` if the record is there but unreadable.
    """
    opened = hidden_folder(os.fspath(directory)) if folder is None else _as_it_is(folder)
    try:
        with opened as folder, folder.open(_NAME, os.O_RDONLY) as file:
            found = json.loads(os.read(file, _MAX_BYTES))
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
    except OSError as error:
        if error.errno in NOT_A_FILE:
            return None
        raise
    if not isinstance(found, dict):
        return None
    sessions = found.get("sessions", [found])
    sessions = [_session(each) for each in sessions if isinstance(each, dict)] or [{}]
    if sessions[-1].get("status") == "running":
        sessions[-1].update(_terminated(directory, sessions[-1].get("token", "")))
    record = {"version": _VERSION, **_fields(found, _OF_RUN), "sessions": sessions}
    return {**sessions[-1], **record}


def _as_it_is(folder: Folder) -> contextlib.AbstractContextManager[Folder]:
    return contextlib.nullcontext(folder)


def mark_name(token: str) -> str:
    """Return what a process's mark is called, see ``sigterm``."""
    return f"sigterm-{token}"


def _terminated(directory: str | os.PathLike[str], token: str) -> Record:
    """Return what a SIGTERM adds to the session that it ended."""
    if token.isalnum():
        with (
            DiskErrorsIgnored(),
            hidden_folder(os.fspath(directory)) as folder,
            folder.open(mark_name(token), os.O_RDONLY) as mark,
        ):
            status = os.fstat(mark)
            if status.st_size:
                ending = Ending("failed", signal=int(signal.SIGTERM))
                return {**ending.as_fields(), "end": status.st_mtime}
    return {}


_NUMBER = (int, float)
_OF_RUN = {"path": str, "comment": str}
_OF_SESSION = {
    "token": str,
    "pid": int,
    "host": str,
    "boot": str,
    "argv": list,
    "cwd": str,
    "versions": dict,
    "start": _NUMBER,
    "end": _NUMBER,
    "status": str,
    "exit_code": int,
    "signal": int,
}


def _session(given: Record) -> Record:
    session = {"end": None, **_fields(given, _OF_SESSION)}
    if "argv" in session:
        session["argv"] = [str(argument) for argument in session["argv"]]
    return session


def _fields(given: Record, types: dict[str, Any]) -> Record:
    return {
        name: value
        for name, kind in types.items()
        if isinstance(value := given.get(name), kind)
        and not isinstance(value, bool)
        # Neither infinite, nor a number that no pid and no time is.
        and not (isinstance(value, (int, float)) and not abs(value) < _TOO_LARGE)
    }


def write_record(directory: str, record: Record, folder: Folder | None = None) -> None:
    """Put `record` in the place of the run's record, at once. Raises ``OSError``."""
    content = {
        "version": _VERSION,
        **{name: record[name] for name in _OF_RUN if name in record},
        "sessions": record["sessions"][-_MAX_SESSIONS:],
    }
    # On one line: with an indent Python's json is ten times as slow.
    data = json.dumps(content, default=str).encode()
    temporary = f"{_NAME}.{secrets.token_hex(8)}"
    with hidden_folder(directory) if folder is None else _as_it_is(folder) as folder:
        number, prefix = folder.number, folder.prefix
        try:
            with folder.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
                while data:
                    data = data[os.write(file, data) :]
            os.replace(prefix + temporary, prefix + _NAME, src_dir_fd=number, dst_dir_fd=number)
        except BaseException:
            with DiskErrorsIgnored():
                os.unlink(prefix + temporary, dir_fd=number)
            raise


# What a secret is called, alone or at the end of a longer name; and what one looks like.
_SECRET_NAME = re.compile(
    r"(?i)(?:^|[-_.]|(?<=[a-z]))(?:api[-_]?key|access[-_]?key|secret(?:[-_]?access[-_]?key)?|"
    r"private[-_]?key|token|passw(?:or)?d|passphrase|pwd|credentials?|auth(?:orization)?|bearer)$"
)
_SECRET_VALUE = re.compile(
    r"(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}|hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{16,}"
    r"|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}"
    r"|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*|AIza[\w-]{30,}"
)
_PASSWORD_IN_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://[^\s/:@]*):[^\s/@]+@", re.IGNORECASE)
_MASK = "***"


def masked(arguments: list[str]) -> list[str]:
    """Return a command line without its secrets: they are told by their names and their looks."""
    result = []
    secret_follows = False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        if secret_follows and not argument.startswith("--"):
            result.append(_MASK)
            secret_follows = False
            continue
        is_secret = _SECRET_NAME.search(name) is not None
        if equals and is_secret:
            argument = f"{name}={_MASK}"
        # `--token VALUE`, and `KEY value` as override files have it.
        secret_follows = is_secret and not equals
        argument = _SECRET_VALUE.sub(_MASK, argument)
        result.append(_PASSWORD_IN_URL.sub(rf"\g<scheme>:{_MASK}@", argument))
    return result
