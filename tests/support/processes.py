"""Running Python in a process of its own, never longer than a deadline."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

REPOSITORY = Path(__file__).resolve().parents[2]


def child_env(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return our environment for a child, without proxies and safewriter's settings."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith("SAFEWRITER_")
    }
    env["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])
    )
    env["PYTHONFAULTHANDLER"] = "1"
    # Many children at once on few cores: torch's thread pools would only get in each other's way.
    env["OMP_NUM_THREADS"] = "1"
    env.update(extra or {})
    return env


def kill_group(process: subprocess.Popen[str]) -> None:
    """Kill a process that leads a group of its own, and everything in that group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def _script(
    code: str | os.PathLike[str], cwd: str | os.PathLike[str] | None
) -> Iterator[tuple[str, str]]:
    """Yield the script's path and the directory to run it in, both removed later if ours."""
    with tempfile.TemporaryDirectory(prefix="safewriter-script-") as directory:
        if isinstance(code, str):
            path = Path(directory) / "script.py"
            path.write_text(textwrap.dedent(code), encoding="utf-8")
        else:
            path = Path(code).absolute()
        yield str(path), os.fspath(directory if cwd is None else cwd)


def _popen(
    script: str,
    cwd: str,
    args: Sequence[str | os.PathLike[str]],
    env: Mapping[str, str] | None,
    python_args: Sequence[str],
    stdin: int,
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *python_args, script, *(os.fspath(arg) for arg in args)],
        cwd=cwd,
        env=child_env(env),
        text=True,
        encoding="utf-8",
        errors="backslashreplace",
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=stdin,
    )


def run_python(
    code: str | os.PathLike[str],
    *,
    deadline: float = 60.0,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    args: Sequence[str | os.PathLike[str]] = (),
    python_args: Sequence[str] = (),
    check: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a script in a new interpreter to its end.

    Args:
        code: source text (a ``str``, dedented) or a script's path (a ``Path``).
        deadline: seconds after which the process group is killed and the test fails.
        env: added to the environment. The repository is importable; proxies are not set.
        cwd: where to run; by default an empty directory that is removed afterwards.
        args: the script's own arguments.
        python_args: the interpreter's, such as ``("-m", "safewriter", "run")``.
        check: fail the test if the exit code is not 0.

    Raises:
        AssertionError: the deadline passed, or ``check`` and a bad exit code; with the output.
    """
    with _script(code, cwd) as (script, directory):
        process = _popen(script, directory, args, env, python_args, stdin=subprocess.DEVNULL)
        try:
            stdout, stderr = process.communicate(timeout=deadline)
        except subprocess.TimeoutExpired:
            # faulthandler answers SIGABRT with the stack of every thread.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGABRT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=3)
            kill_group(process)
            stdout, stderr = process.communicate()
            raise AssertionError(
                f"still running after {deadline} s\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
            ) from None
        except BaseException:
            kill_group(process)
            raise
    if check and process.returncode != 0:
        raise AssertionError(
            f"exit code {process.returncode}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        )
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


class PythonProcess:
    """A live interpreter whose lines are awaited. Made by `spawn_python`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.stdout_lines: list[str] = []
        self.stderr_lines: list[str] = []
        self._threads = [
            threading.Thread(target=self._read_stdout, daemon=True),
            threading.Thread(target=self._read_stderr, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> PythonProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        kill_group(self._process)
        for thread in self._threads:
            thread.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    @property
    def pid(self) -> int:
        """The process's id, which is its group's too."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal, None while it runs."""
        return self._process.poll()

    @property
    def output(self) -> str:
        """What it has printed so far, for a failure's message."""
        stdout, stderr = "\n".join(self.stdout_lines), "\n".join(self.stderr_lines)
        return f"--- stdout\n{stdout}\n--- stderr\n{stderr}"

    def wait_for_line(
        self, wanted: str | Callable[[str], bool] = "", deadline: float = 60.0
    ) -> str:
        """Return the next line of standard output that has ``wanted`` in it, passing over others.

        Raises:
            AssertionError: the deadline passed or the output ended before that; with the output.
        """
        end = time.monotonic() + deadline
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(
                    f"no line {wanted!r} within {deadline} s\n{self.output}"
                ) from None
            if line is None:
                self._lines.put(None)
                self._threads[1].join(timeout=5)
                raise AssertionError(f"ended without a line {wanted!r}\n{self.output}")
            if wanted(line) if callable(wanted) else wanted in line:
                return line

    def send_line(self, line: str = "") -> None:
        """Write a line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def send_signal(self, number: int) -> None:
        """Send a signal to the process alone, not to its group."""
        self._process.send_signal(number)

    def wait(self, deadline: float = 60.0) -> int:
        """Wait for the end and for the rest of the output; return the exit code.

        Raises:
            AssertionError: it still runs at the deadline; with the output.
        """
        end = time.monotonic() + deadline
        try:
            code = self._process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {deadline} s\n{self.output}") from None
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return code

    def _read_stdout(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.stdout_lines.append(line.rstrip("\n"))
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.stderr_lines.append(line.rstrip("\n"))


@contextlib.contextmanager
def spawn_python(
    code: str | os.PathLike[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    args: Sequence[str | os.PathLike[str]] = (),
    python_args: Sequence[str] = (),
) -> Iterator[PythonProcess]:
    """Start a script and leave it running; whatever is left of its group is killed on exit.

    The arguments are `run_python`'s. Standard output is unbuffered.
    """
    with (
        _script(code, cwd) as (script, directory),
        PythonProcess(
            _popen(script, directory, args, env, ["-u", *python_args], stdin=subprocess.PIPE)
        ) as process,
    ):
        yield process
