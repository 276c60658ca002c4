"""Training sessions that are killed, each in a process of its own, started without a new import."""

from __future__ import annotations

import json
import os
import textwrap
from typing import Any, NamedTuple

from tests.support.processes import PythonProcess, spawn_python

_SERVER = """
import json, os, signal, sys, traceback, warnings

import numpy as np
import torch
from safewriter import SafeSummaryWriter

print("ready", flush=True)
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        given, reports = [], []
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, category, *rest: given.append(
            (category.__name__, str(message))
        )
        failed = None
        # Held on to: a writer in it is not closed, as it would be if it became garbage.
        names = {
            "np": np, "os": os, "torch": torch, "warnings": warnings,
            "SafeSummaryWriter": SafeSummaryWriter, "report": reports.append,
        }
        try:
            exec(json.loads(line), names)
        except BaseException:
            failed = traceback.format_exc()
        print(json.dumps({"warnings": given, "reports": reports, "failed": failed}), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    print("killed", flush=True)
"""


class Session(NamedTuple):
    """What a session did before it was killed.

    Attributes:
        reports: what its code passed to ``report()``.
        warnings: class name and text of each warning, in order.
    """

    reports: list[Any]
    warnings: list[tuple[str, str]]


class Sessions:
    """Runs sessions one after the other, from ``with`` to the end of the block."""

    def __enter__(self) -> Sessions:
        self._context = spawn_python(_SERVER)
        self._process: PythonProcess = self._context.__enter__()
        self._process.wait_for_line("ready", deadline=120)
        return self

    def __exit__(self, *_: object) -> None:
        self._context.__exit__(None, None, None)

    def run(self, code: str, **values: object) -> Session:
        """Run ``code`` in a forked process that is killed with SIGKILL behind its last line.

        The names ``SafeSummaryWriter``, ``np``, ``torch``, ``os``, ``warnings`` and ``report`` are
        there, and ``values``, each as what its ``repr`` evaluates to. Nothing is closed unless the
        code does it.

        Raises:
            AssertionError: the code raised, with its traceback; or it takes more than a minute.
        """
        given = "".join(
            f"{name} = {(os.fspath(value) if isinstance(value, os.PathLike) else value)!r}\n"
            for name, value in values.items()
        )
        self._process.send_line(json.dumps(given + textwrap.dedent(code)))
        answer = json.loads(self._process.wait_for_line('"reports"'))
        self._process.wait_for_line("killed")
        assert answer["failed"] is None, answer["failed"]
        return Session(answer["reports"], [(name, text) for name, text in answer["warnings"]])
