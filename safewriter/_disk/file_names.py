"""What an event file is called, and how it is made: its name sorts behind all others.

TensorBoard reads the files of a directory in the order of the bytes of their names, and a file that
sorts before an older one hides its points.
"""

from __future__ import annotations

import os
import socket
import time

from safewriter._disk.open_files import Descriptor

#: How an event file is opened; ``O_APPEND`` because others may open it too.
OPEN_FLAGS = os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0)

MARK = "tfevents"

# tensorboard counts its files 0, 1, 2, ... and opens the name with "wb", whatever is there: a
# counter that it never writes keeps our file from being truncated by a writer in this process.
_COUNTER = "00"


def newest_timestamp(names: list[str]) -> int:
    """Return the largest timestamp in the names of event files, or -1.

    Names are compared byte by byte: of a timestamp that has not ten digits, the first ten decide.
    """
    newest = -1
    for name in names:
        _, found, rest = name.partition("tfevents.")
        if found:
            digits = rest.split(".", 1)[0]
            if digits.isdecimal() and digits.isascii():
                newest = max(newest, int(digits[:10].ljust(10, "0")))
    return newest


def create_event_file(descriptor: Descriptor, directory: str, suffix: str, after: int) -> str:
    """Open a new event file whose name sorts after all others in `directory`; return its path.

    `after` is a timestamp to stay above as well: that of a file which was there once and which
    readers remember. Raises ``OSError``.
    """
    present = [name for name in os.listdir(directory) if MARK in name]
    last = last_name(present)
    stamp = max(int(time.time()), newest_timestamp(present) + 1, after + 1)
    while True:
        tail = f"{min(stamp, 9_999_999_999):010d}.{socket.gethostname()}.{os.getpid()}.{_COUNTER}"
        name = f"events.out.tfevents.{tail}{suffix}"
        if os.fsencode(name) <= os.fsencode(last):
            # Such as worker.tfevents.1, or a timestamp of all nines: what begins with the whole of
            # the last name sorts right behind it.
            name = f"{last}.{tail}{suffix}"
        path = os.path.join(directory, name)
        try:
            descriptor.open(path, OPEN_FLAGS | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            last, stamp = max(last, name, key=os.fsencode), stamp + 1
        else:
            return path


def last_name(names: list[str]) -> str:
    """Return the name that is read last, or ``""``."""
    return max((name for name in names if MARK in name), key=os.fsencode, default="")


def timestamp_of(path: str) -> int:
    """Return the timestamp in the name of an event file of ours."""
    return newest_timestamp([os.path.basename(path)])
