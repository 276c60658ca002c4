"""How the cost of an event grows: with events, tags, series and threads; memory; making a writer.

Every function runs in a process of its own and returns microseconds for each event, where it does
not say otherwise.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from .contenders import CONTENDERS


def events(name: str, directory: str, size: int) -> dict[str, float]:
    """Log `size` scalars in five tags; the last tenth is what the cost has grown to."""
    writer = CONTENDERS[name].make(directory)
    tags = [f"train/metric_{number}" for number in range(5)]
    count = size // len(tags)
    begin = time.perf_counter()
    for step in range(count - count // 10):
        for tag in tags:
            writer.add_scalar(tag, 0.5, step)
    middle = time.perf_counter()
    for step in range(count - count // 10, count):
        for tag in tags:
            writer.add_scalar(tag, 0.5, step)
    end = time.perf_counter()
    return {
        "each": (end - begin) / size * 1e6,
        "last_tenth": (end - middle) / (count // 10 * len(tags)) * 1e6,
    }


def tags(name: str, directory: str, size: int) -> dict[str, float]:
    """Log to `size` tags in turns; the first event of a tag is told apart from the later ones."""
    writer = CONTENDERS[name].make(directory)
    names = [f"group_{number % 100}/metric_{number}" for number in range(size)]
    rounds = _rounds(lambda step: [writer.add_scalar(tag, 0.5, step) for tag in names], 20_000)
    return _first_and_later(islice(rounds, max(3, 20_000 // size)), size)


def series(name: str, directory: str, size: int) -> dict[str, float]:
    """Log with ``add_scalars`` to `size` series; the first call makes their directories."""
    writer = CONTENDERS[name].make(directory)
    values = {f"series_{number}": 0.5 for number in range(size)}
    rounds = _rounds(lambda step: writer.add_scalars("loss", values, step), 20_000)
    return _first_and_later(islice(rounds, max(3, 20_000 // size)), size)


def _rounds(call: Callable[[int], object], most: int) -> Iterator[float]:
    for step in range(most):
        begin = time.perf_counter()
        call(step)
        yield time.perf_counter() - begin


def _first_and_later(seconds: Iterator[float], size: int) -> dict[str, float]:
    first, *later = seconds
    return {"first": first / size * 1e6, "later": statistics.median(later) / size * 1e6}


def threads(name: str, directory: str, size: int) -> dict[str, float]:
    """Log 16,000 scalars from `size` threads, each to a tag of its own."""
    writer = CONTENDERS[name].make(directory)
    count = 16_000 // size
    together = threading.Barrier(size + 1)

    def work(tag: str) -> None:
        together.wait()
        for step in range(count):
            writer.add_scalar(tag, 0.5, step)

    workers = [threading.Thread(target=work, args=(f"metric_{n}",)) for n in range(size)]
    for worker in workers:
        worker.start()
    together.wait()
    begin = time.perf_counter()
    for worker in workers:
        worker.join()
    return {"each": (time.perf_counter() - begin) / (count * size) * 1e6}


def memory(name: str, directory: str, size: int) -> dict[str, float]:
    """Return the MiB that become resident by a writer and by `size` scalars in 100 tags."""
    before = _resident()
    writer = CONTENDERS[name].make(directory)
    tags = [f"metric_{number}" for number in range(100)]
    for tag in tags:
        writer.add_scalar(tag, 0.5, 0)
    made = _resident()
    for step in range(1, size // len(tags)):
        for tag in tags:
            writer.add_scalar(tag, 0.5, step)
    return {"writer": made - before, "scalars": _resident() - made}


def _resident() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def making(name: str, directory: str, size: int) -> dict[str, float]:
    """Make a writer, log one scalar and close it, `size` times; return medians in milliseconds."""
    make, close = [], []
    for number in range(size):
        begin = time.perf_counter()
        writer: Any = CONTENDERS[name].make(os.path.join(directory, str(number)))
        made = time.perf_counter()
        writer.add_scalar("train/loss", 0.5, 0)
        logged = time.perf_counter()
        writer.close()
        end = time.perf_counter()
        make.append(made - begin)
        close.append(end - logged)
    return {"make": statistics.median(make) * 1e3, "close": statistics.median(close) * 1e3}


MEASURES: dict[str, Callable[..., dict[str, float]]] = {
    "events": events,
    "tags": tags,
    "series": series,
    "threads": threads,
    "memory": memory,
    "making": making,
}
