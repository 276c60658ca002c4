"""Asks the contenders' processes in turns, and looks at their event files from outside."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from types import TracebackType
from typing import Any

from .contenders import CONTENDERS
from .kinds import KINDS
from .records import Files
from .worker import last_calls

#: Seconds to wait for the events of a contender that keeps some of them in memory.
_PATIENCE = 1.0


class Process:
    """The process of one contender."""

    def __init__(self, name: str, parent: str | None) -> None:
        self.name = name
        self._parent = parent
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def _say(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline() or b'{"end": true}')
        if "end" in answer:
            raise RuntimeError(f"{self.name} failed; its error is above")
        return answer

    def _ended(self) -> None:
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def measure(self, measure: str, size: int) -> dict[str, float]:
        """Return what a function of ``scales`` returns."""
        with _directory(self._parent) as directory:
            request = {"measure": measure, "size": size, "directory": directory}
            self._say(json.dumps(request).encode())
            answer = self._hear()
            self._ended()
        return answer

    def log(self, kind: str, calls: int) -> dict[str, float]:
        """Return microseconds and bytes for each of `calls` calls, threads, and what a kill loses.

        ``caller`` is the time until a call returns (the median), ``readable`` the time until its
        events can be read in the file (the mean; infinite if they cannot), ``cpu`` the processor
        time of all threads until then (the mean).
        """
        with _directory(self._parent) as directory:
            request = {"kind": kind, "calls": calls, "directory": directory}
            self._say(json.dumps(request).encode())
            answer = self._hear()
            returned = time.perf_counter()
            result = {"caller": answer["caller"] * 1e6, "threads": answer["threads"]}
            if self.name in CONTENDERS and CONTENDERS[self.name].events:
                files = Files(directory)
                logged: int = answer["logged"]
                missing = _events(kind, logged) - len(files.new_records(answer["sizes"]))
                waited = 0.0
                while missing > 0 and waited < _PATIENCE:
                    waited = time.perf_counter() - returned
                    missing -= len(files.new_records())
                    time.sleep(0.0005)
                readable = (answer["seconds"] + waited) / calls * 1e6
                result["readable"] = float("inf") if missing > 0 else readable
            self._say(b"")
            answer = self._hear()
            result["cpu"] = answer["cpu"] / calls * 1e6
            result["bytes"] = answer["bytes"] / calls
            self._ended()
            if "readable" in result:
                missing += _events(kind, logged + last_calls(calls)) - _events(kind, logged)
                result["lost"] = missing - len(files.new_records())
        return result


def _events(kind: str, calls: int) -> int:
    return sum(KINDS[kind].events_of_call(number) for number in range(calls))


def _directory(parent: str | None) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(
        prefix="safewriter-benchmark-", dir=parent, ignore_cleanup_errors=True
    )


def import_milliseconds() -> float:
    """Return what importing safewriter's writer takes when torch's is imported already."""
    code = (
        "import time, torch.utils.tensorboard; begin = time.perf_counter();"
        "from safewriter import SafeSummaryWriter; print(time.perf_counter() - begin)"
    )
    printed = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    return float(printed.stdout) * 1e3
