"""Other processes, alive as long as a test likes, that do what the test tells them."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import struct
import tempfile
import textwrap
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

from tests.support.processes import PythonProcess, spawn_python
from tests.support.waiting import wait_until

DEADLINE = 60.0
"""Seconds that a process may take for what it is told, unless the test says otherwise."""


class NotPermittedError(Exception):
    """This machine does not let us start such a process."""


class Other:
    """A process of its own. Made by `Others`; the code that it runs finds ``SafeSummaryWriter``,
    ``safewriter``, ``torch``, ``os``, ``sys``, ``pickle``, ``warnings``, ``Path``,
    ``file_size_limit`` and ``become``, a list ``warned`` of class names and texts, and what the
    code before it has left.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        with socket.socket(fileno=os.dup(connection.fileno())) as peer:
            credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        # As we see it, in whichever namespace it lives.
        self._pid: int = struct.unpack("3i", credentials)[0]
        self.pid, problem = connection.recv()
        if problem:
            raise NotPermittedError(problem)

    def do(self, code: str, *, deadline: float = DEADLINE, **values: Any) -> Any:
        """Run code, with `values` as global names, and return what it assigned to ``result``.

        Raises:
            AssertionError: it raised, with its traceback, or it still runs at the deadline.
        """
        self._connection.send((textwrap.dedent(code), values))
        if not self._connection.poll(deadline):
            self.kill()
            raise AssertionError(f"still running after {deadline} s: {textwrap.dedent(code)}")
        result, problem = self._connection.recv()
        assert problem is None, problem
        return result

    def warned(self) -> list[str]:
        """Return the class names of the warnings that were given since the last time."""
        return [name for name, _ in self.do("result = warned[:]; warned.clear()")]

    def exit(self) -> None:
        """Let it fall off its end, as any program, and wait until it has."""
        self._connection.close()
        wait_until(lambda: not Path(f"/proc/{self._pid}").exists())

    def kill(self) -> None:
        """Kill it with SIGKILL and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        self.exit()


class Others:
    """Starts processes, from ``with`` to the end of the block."""

    def __enter__(self) -> Others:
        self._context = contextlib.ExitStack()
        self._directory = self._context.enter_context(tempfile.TemporaryDirectory())
        self._numbers = itertools.count()
        self._started: list[Other] = []
        self._server: PythonProcess = self._context.enter_context(
            spawn_python(Path(__file__).with_name("other_process.py"), cwd=self._directory)
        )
        self._server.wait_for_line("ready", deadline=120)
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def start(self, *, own_pids: bool = False) -> Other:
        """Start a process; with `own_pids` it is the first one of a pid namespace.

        Raises:
            NotPermittedError: there are no namespaces here, or not for us.
        """
        address = f"{self._directory}/{next(self._numbers)}"
        with Listener(address) as listener:
            self._server.send_line(json.dumps({"address": address, "own_pids": own_pids}))
            connection = listener.accept()
        assert isinstance(connection, Connection)
        self._started.append(Other(connection))
        return self._started[-1]

    def kill_all(self) -> None:
        """Kill what was started so far."""
        for other in self._started:
            other.kill()
        self._started.clear()
