"""Which process this is: known by a token that no other process has.

A pid comes again, and two containers both have a pid 7: it names a process to people only.
"""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Process:
    """One process, from its start or its fork on."""

    token: str = field(default_factory=lambda: secrets.token_hex(16))
    pid: int = field(default_factory=os.getpid)
    host: str = field(default_factory=socket.gethostname)
    boot: str = field(default_factory=lambda: _boot())


def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:  # not Linux
        return ""


_this = Process()


def this_process() -> Process:
    """Return this process: another object in a forked child."""
    return _this


def after_fork() -> None:
    """In a forked child: be another process."""
    global _this
    _this = Process()
