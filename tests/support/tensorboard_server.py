"""A real TensorBoard server, asked over HTTP."""

from __future__ import annotations

import functools
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

from tests.support import event_bytes
from tests.support.processes import child_env, kill_group
from tests.support.waiting import wait_until

T = TypeVar("T")
Reader = Literal["fast", "python"]

_SENTINEL = "zz-sentinel-"
_STARTS = 3


class TensorBoardServer:
    """TensorBoard over a log directory, from ``with`` to the end of the block.

    Args:
        logdir: as for ``tensorboard --logdir``.
        reader: ``"fast"`` is the default, a data server written in Rust; ``"python"`` is what
            ``--load_fast=false`` gives.
        args: more arguments for ``tensorboard``.
    """

    def __init__(
        self, logdir: str | os.PathLike[str], reader: Reader = "fast", args: Sequence[str] = ()
    ) -> None:
        self.logdir = Path(logdir)
        self.reader = reader
        self.url = ""
        self.log: list[str] = []
        self._args = args
        self._process: subprocess.Popen[str] | None = None
        self._threads: list[threading.Thread] = []
        self._sentinels: list[Path] = []
        # A proxy of the environment must not be asked for a loopback address.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def __enter__(self) -> TensorBoardServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it answers.

        By then it need not have read anything: use `wait_until` or `settle`.

        Raises:
            AssertionError: it did not start; with what it printed.
        """
        for attempt in range(_STARTS):
            try:
                self._start()
            except AssertionError:
                # Under load TensorBoard gives up on its data server after some seconds.
                self.stop()
                if attempt == _STARTS - 1:
                    raise
            else:
                return

    def stop(self) -> None:
        """Kill the server and its data server; does nothing if it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        kill_group(process)
        for thread in self._threads:
            thread.join()
        assert process.stdout is not None
        process.stdout.close()
        for directory in self._sentinels:
            shutil.rmtree(directory, ignore_errors=True)
        self._sentinels.clear()

    def restart(self) -> None:
        """Start anew, with nothing remembered: the server reads all files again, in name order."""
        self.stop()
        self.start()

    def get(self, route: str, **params: str) -> tuple[int, bytes]:
        """Return status and body of a GET of ``route``, such as ``data/runs``."""
        query = f"?{urllib.parse.urlencode(params)}" if params else ""
        return self._ask(f"{self.url}{route}{query}")

    def post_json(self, route: str, body: Any) -> Any:
        """Return the decoded answer to a POST of `body` as JSON."""
        headers = {"Content-Type": "application/json"}
        data = json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{route}", data, headers)
        status, answer = self._ask(request)
        assert status == 200, f"{route} {body}: {status} {answer!r}"
        return json.loads(answer)

    def _ask(self, request: str | urllib.request.Request) -> tuple[int, bytes]:
        try:
            with self._opener.open(request, timeout=150) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def get_json(self, route: str, **params: str) -> Any:
        """Return the decoded answer.

        Raises:
            AssertionError: the answer is not 200; with its body.
        """
        status, body = self.get(route, **params)
        assert status == 200, f"{route} {params}: {status} {body!r}"
        return json.loads(body)

    def runs(self) -> list[str]:
        """Return the names of the runs that the server lists, sorted."""
        return sorted(run for run in self.get_json("data/runs") if not _is_sentinel(run))

    def tags(self, plugin: str = "scalars") -> dict[str, list[str]]:
        """Return run to sorted tags of a plugin: scalars, images, histograms, text, audio ..."""
        route = "info" if plugin == "graphs" else "tags"
        return {
            run: sorted(tags)
            for run, tags in self.get_json(f"data/plugin/{plugin}/{route}").items()
            if not _is_sentinel(run)
        }

    def scalars(self, run: str, tag: str) -> list[tuple[int, float]]:
        """Return the ``(step, value)`` points that are shown for a tag, none if it is not shown."""
        points = self._points("scalars/scalars", run, tag)
        return [(step, float(value)) for _, step, value in points]

    def all_scalars(self) -> dict[str, dict[str, list[tuple[int, float]]]]:
        """Return every scalar that is shown: run to tag to points."""
        return {
            run: {tag: self.scalars(run, tag) for tag in tags} for run, tags in self.tags().items()
        }

    def histograms(self, run: str, tag: str) -> list[tuple[int, Any]]:
        """Return ``(step, bins)``; a bin is ``[left, right, count]``."""
        return [(step, bins) for _, step, bins in self._points("histograms/histograms", run, tag)]

    def images(self, run: str, tag: str) -> list[int]:
        """Return the steps at which the tag shows an image, once for each image."""
        return [image["step"] for image in self._points("images/images", run, tag)]

    def text(self, run: str, tag: str) -> list[tuple[int, str]]:
        """Return ``(step, html)``."""
        return [(text["step"], text["text"]) for text in self._points("text/text", run, tag)]

    def wait_until(self, condition: Callable[[], T], deadline: float = 60.0) -> T:
        """Return the first true value of ``condition``.

        Raises:
            AssertionError: the deadline passed; with the last value and what the server printed.
        """
        try:
            return wait_until(condition, deadline)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}") from None

    def settle(self, deadline: float = 60.0) -> None:
        """Return once the server has read, since this call, every file to its end.

        For the claim that something is *not* shown. Adds a run of its own to the log directory,
        which `runs` and `tags` leave out and `stop` removes.
        """
        # The server reads in rounds: list the runs, then read each. The round that shows the first
        # sentinel began after this call; once the second shows, that round is over.
        for _ in range(2):
            directory = self.logdir / f"{_SENTINEL}{os.getpid()}-{time.monotonic_ns()}"
            directory.mkdir(parents=True)
            self._sentinels.append(directory)
            data = event_bytes.version_record() + event_bytes.scalar_record("sentinel", 0.0, 0)
            (directory / "events.out.tfevents.1700000000.sentinel.0.0").write_bytes(data)
            self.wait_until(functools.partial(self._lists, directory.name), deadline)

    @property
    def output(self) -> str:
        """What the server printed, for a failure's message."""
        return "--- tensorboard\n" + "\n".join(self.log)

    def _start(self) -> None:
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", os.fspath(self.logdir)]
        command += ["--host", "127.0.0.1", "--port", "0", "--reload_interval", "1"]
        command += ["--load_fast", "true" if self.reader == "fast" else "false", *self._args]
        self._process = process = subprocess.Popen(
            command,
            env=child_env(),
            text=True,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        address: queue.Queue[str | None] = queue.Queue()
        self._threads = [threading.Thread(target=self._read, args=(process, address), daemon=True)]
        self._threads[0].start()
        try:
            url = address.get(timeout=60)
        except queue.Empty:
            url = None
        assert url, f"TensorBoard does not start\n{self.output}"
        self.url = url

    def _read(self, process: subprocess.Popen[str], address: queue.Queue[str | None]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.log.append(line.rstrip("\n"))
            if match := re.search(r"TensorBoard \S+ at (http://\S+/)", line):
                address.put(match[1])
        address.put(None)

    def _lists(self, run: str) -> bool:
        return run in self.get_json("data/runs")

    def _points(self, route: str, run: str, tag: str) -> list[Any]:
        status, body = self.get(f"data/plugin/{route}", run=run, tag=tag)
        if status == 404 or (status == 400 and b"No " in body):
            return []
        assert status == 200, f"{route} {run} {tag}: {status} {body!r}"
        points: list[Any] = json.loads(body)
        return points


def _is_sentinel(run: str) -> bool:
    return run.startswith(_SENTINEL)
