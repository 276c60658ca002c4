"""What an event file is called, and how it is made: its name sorts behind all others."""

from __future__ import annotations

import os
import socket
import time

#: How an event file is opened; ``O_APPEND`` because others may open it too.
OPEN_FLAGS = os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def newest_timestamp(directory: str) -> int:
    """Return the largest timestamp in the names of the event files in `directory`, or -1.

    Names are compared byte by byte: of a timestamp that has not ten digits, the first ten decide.
    """
    newest = -1
    for name in os.listdir(directory):
        _, found, rest = name.partition("tfevents.")
        if found:
            digits = rest.split(".", 1)[0]
            if digits.isdecimal() and digits.isascii():
                newest = max(newest, int(digits[:10].ljust(10, "0")))
    return newest


def identity(status: os.stat_result) -> tuple[int, int]:
    """Return what tells a file from every other one."""
    return status.st_dev, status.st_ino


def create_event_file(
    directory: str, suffix: str = "", after: int = -1
) -> tuple[int, str, int, tuple[int, int]]:
    """Create a new event file whose name sorts after all others in `directory`.

    TensorBoard reads the files of a directory in name order, and a file that sorts before an older
    one hides its points. `after` is a timestamp to stay above as well: that of a file which was
    there once and which readers remember. Returns the descriptor, opened for append, the path, the
    timestamp and the :func:`identity`.
    """
    stamp = max(int(time.time()), newest_timestamp(directory) + 1, after + 1)
    while True:
        name = f"events.out.tfevents.{stamp:010d}.{socket.gethostname()}.{os.getpid()}.0{suffix}"
        path = os.path.join(directory, name)
        try:
            descriptor = os.open(path, OPEN_FLAGS | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            stamp += 1
        else:
            return descriptor, path, stamp, identity(os.fstat(descriptor))
