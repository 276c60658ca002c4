"""Both of TensorBoard's readers over one log directory, side by side."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.support.sessions import Sessions
from tests.support.tensorboard_server import Reader, TensorBoardServer

Points = list[tuple[int, float]]

READERS: tuple[Reader, ...] = ("fast", "python")


class Shown(NamedTuple):
    """What a server showed at one moment: runs, and run to tag to points or steps."""

    runs: list[str]
    scalars: dict[str, dict[str, Points]]
    histograms: dict[str, dict[str, list[int]]]
    images: dict[str, dict[str, list[int]]]
    texts: dict[str, dict[str, list[tuple[int, str]]]]


class BothReaders:
    """Two servers over one log directory, from ``with`` to the end of the block."""

    def __init__(self, logdir: str | os.PathLike[str]) -> None:
        self._servers = {reader: TensorBoardServer(logdir, reader) for reader in READERS}

    def __enter__(self) -> BothReaders:
        try:
            self._each(TensorBoardServer.start)
        except BaseException:
            self._each(TensorBoardServer.stop)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._each(TensorBoardServer.stop)

    def restart(self) -> None:
        """Start both anew, with nothing remembered."""
        self._each(TensorBoardServer.restart)

    def shown(self) -> dict[Reader, Shown]:
        """Return what each shows once it has read every file to its present end."""
        self._each(lambda server: server.settle(deadline=120))
        return {reader: _ask(server) for reader, server in self._servers.items()}

    def _each(self, do: Callable[[TensorBoardServer], None]) -> None:
        with ThreadPoolExecutor(len(READERS)) as pool:
            list(pool.map(do, self._servers.values()))


def _ask(server: TensorBoardServer) -> Shown:
    return Shown(
        server.runs(),
        server.all_scalars(),
        {
            run: {tag: [step for step, _ in server.histograms(run, tag)] for tag in tags}
            for run, tags in server.tags("histograms").items()
        },
        {
            run: {tag: server.images(run, tag) for tag in tags}
            for run, tags in server.tags("images").items()
        },
        {
            run: {tag: server.text(run, tag) for tag in tags}
            for run, tags in server.tags("text").items()
        },
    )


class Situations:
    """Situations, each a run below one log directory, played while both readers look on.

    A situation is a function of its run directory and of `Sessions` that yields once: the first
    half is written, both readers read it, the second half is written, both read again, and both are
    started anew.

    Attributes:
        warned: situation to the warnings that it was given in this process.
        half: what was shown after the first halves.
        live: what was shown at the end.
        restarted: what was shown after the restart.
    """

    def __init__(self) -> None:
        self._make: dict[str, Callable[[Path, Sessions], Iterator[None]]] = {}
        self.warned: dict[str, list[warnings.WarningMessage]] = {}
        self.half: dict[Reader, Shown] = {}
        self.live: dict[Reader, Shown] = {}
        self.restarted: dict[Reader, Shown] = {}

    def add(
        self, make: Callable[[Path, Sessions], Iterator[None]]
    ) -> Callable[[Path, Sessions], Iterator[None]]:
        """Add a situation, as a decorator; its run has the name of the function."""
        self._make[make.__name__] = make
        self.warned[make.__name__] = []
        return make

    @property
    def names(self) -> list[str]:
        """The names of all situations, which are those of their runs."""
        return list(self._make)

    def run(self, name: str) -> Path:
        """Return the run directory of a situation."""
        return self.logdir / name

    def play(self, logdir: Path) -> None:
        """Make every situation."""
        self.logdir = logdir
        with Sessions() as sessions, BothReaders(logdir) as servers:
            scripts = {name: make(logdir / name, sessions) for name, make in self._make.items()}
            for name, script in scripts.items():
                with self._warned(name):
                    next(script)
            self.half = servers.shown()
            for name, script in scripts.items():
                with self._warned(name):
                    assert next(script, "over") == "over"
            self.live = servers.shown()
            servers.restart()
            self.restarted = servers.shown()

    def scalars(self, name: str, tag: str = "loss") -> dict[tuple[str, Reader], Points]:
        """Return the points shown at the end, by both readers, live and after the restart."""
        return {
            (moment, reader): shown[reader].scalars.get(name, {}).get(tag, [])
            for moment, shown in (("live", self.live), ("restarted", self.restarted))
            for reader in READERS
        }

    def assert_all_show(self, points: Points, name: str, tag: str = "loss") -> None:
        """Assert that both readers show these points, live and after the restart."""
        for view, shown in self.scalars(name, tag).items():
            assert shown == points, view

    @contextlib.contextmanager
    def _warned(self, name: str) -> Iterator[None]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        self.warned[name] += caught
