"""What a SIGTERM leaves behind that kills the program; asked for by ``safewriter run`` only.

A handler in Python would have to wait for the main thread, which may be in C code for ever, and a
program that asks whether there is a handler would find ours and install none of its own. The one of
faulthandler is C code: it writes where the program stood into a file, restores the default action
and raises the signal again. `signal.getsignal` goes on to say ``SIG_DFL``, and a handler that the
program installs takes its place.

The file is the *mark*, one for each open run, in its hidden folder; it is empty while all is well.
faulthandler knows one file, so the marks of a process are names of the same one.
"""

from __future__ import annotations

import faulthandler
import os
import signal

from safewriter import _lifecycle
from safewriter._disk.open_files import Descriptor, DiskErrorsIgnored
from safewriter._run.record import HIDDEN, NO_LINKS, Folder, mark_name

_watching = False
_file = Descriptor()
_marks: dict[str, None] = {}


def watch() -> None:
    """From now on, note in the runs that are begun if a SIGTERM kills this process."""
    global _watching
    _watching = hasattr(faulthandler, "register")  # not on Windows


def mark(directory: str, folder: Folder, token: str) -> None:
    """Put the mark of this process into a run's hidden folder."""
    # A program with a handler of its own ends as that one says.
    if not _watching or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return
    name = mark_name(token)
    path = os.path.join(directory, HIDDEN, name)
    if path in _marks and os.path.exists(path):
        return
    for other in list(_marks):
        with DiskErrorsIgnored():
            os.link(other, folder.prefix + name, dst_dir_fd=folder.number, follow_symlinks=False)
            _marks[path] = None
            return
    with DiskErrorsIgnored():
        _watch_with(folder, name)
        _marks[path] = None


def unmark(directory: str, token: str) -> None:
    """Take the mark away again: the run has ended."""
    path = os.path.join(directory, HIDDEN, mark_name(token))
    if path in _marks:
        with DiskErrorsIgnored():
            os.unlink(path)
        _marks.pop(path, None)


def unmark_of(token: str, folder: Folder) -> None:
    """Take away the mark of an earlier session, which is in the record by now."""
    if token.isalnum():
        with DiskErrorsIgnored():
            os.unlink(folder.prefix + mark_name(token), dir_fd=folder.number)


def _watch_with(folder: Folder, name: str) -> None:
    global _file
    file = Descriptor()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | NO_LINKS
    file.open(folder.prefix + name, flags, dir_fd=folder.number)
    # Anew: the program may have had a handler of its own meanwhile.
    faulthandler.unregister(signal.SIGTERM)
    faulthandler.register(signal.SIGTERM, file=file.number, chain=True)
    _file = file


def _after_fork() -> None:
    _marks.clear()
    if _watching and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        faulthandler.unregister(signal.SIGTERM)
    with DiskErrorsIgnored():
        _file.close()


_lifecycle.forget_at_fork(_after_fork)
