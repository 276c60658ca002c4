"""Both of TensorBoard's readers over one log directory, side by side."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

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
