"""A new process for every script, without waiting for torch's import each time."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support import PythonProcess


class WarmPython:
    """Starts scripts through ``launcher.py``, one after another."""

    def __init__(self, launcher: PythonProcess, directory: Path) -> None:
        self._launcher = launcher
        self._directory = directory
        self._number = itertools.count()

    def run(
        self,
        code: str | Path,
        *,
        safe: bool = False,
        cwd: str | os.PathLike[str],
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        deadline: float = 120.0,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a script (source text, or a script's path) to its end in a process of its own.

        `safe` runs it as ``safewriter run`` does. `check` fails the test if the exit code is not 0.
        Raises ``AssertionError``, with the output, if it still runs after `deadline` seconds.
        """
        place = self._directory / str(next(self._number))
        place.mkdir()
        if isinstance(code, str):
            script = place / "script.py"
            script.write_text(textwrap.dedent(code), encoding="utf-8")
        else:
            script = code
        stdout, stderr = place / "stdout", place / "stderr"
        request = {
            "script": os.fspath(script),
            "args": list(args),
            "cwd": os.fspath(cwd),
            "env": dict(env or {}),
            "safe": safe,
            "stdout": os.fspath(stdout),
            "stderr": os.fspath(stderr),
        }
        pid = int(self._ask(request, "started"))
        problem = ""
        try:
            code_of_exit = int(self._ask({"wait": pid}, "ended", deadline))
        except AssertionError:
            # faulthandler answers SIGABRT with the stack of every thread.
            os.kill(pid, signal.SIGABRT)
            code_of_exit = int(self._launcher.wait_for_line("ended").split()[1])
            problem = f"still running after {deadline} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        done = subprocess.CompletedProcess(
            [os.fspath(script), *args],
            code_of_exit,
            stdout.read_text(encoding="utf-8", errors="backslashreplace"),
            stderr.read_text(encoding="utf-8", errors="backslashreplace"),
        )
        if check and code_of_exit:
            problem = problem or f"exit code {code_of_exit}"
        assert not problem, f"{problem}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"
        return done

    def _ask(self, request: Mapping[str, object], answer: str, deadline: float = 60.0) -> str:
        self._launcher.send_line(json.dumps(request))
        return self._launcher.wait_for_line(answer, deadline).split()[1]
