"""How long reading a run takes, against TensorBoard's ``EventAccumulator`` and tbparse.

    python benchmarks/bench_reading.py [--scalars N] [--rounds N]

All readers read the same file, in turns. Seconds are of processor time, so that other programs
count little: the file is in memory, and each reader keeps one processor busy. tbparse takes part if
it is installed (``pip install tbparse``). Prints a table and then one line of JSON: ``seconds`` is
the median over the rounds, ``ratio`` is EventAccumulator's divided by the reader's.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.util
import json
import os
import platform
import statistics
import struct
import tempfile
import time
from collections.abc import Callable
from importlib import metadata

import google_crc32c
from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from safewriter.events import read_events, read_records, read_scalars, summarise

TAGS = ["train/loss", "train/accuracy", "val/loss", "val/accuracy", "lr"]
REFERENCE = "EventAccumulator"


def write_run(directory: str, scalars: int) -> None:
    """Write an event file with that many scalars, as torch's ``add_scalar`` would."""
    path = os.path.join(directory, "events.out.tfevents.1700000000.host.1.0")
    with open(path, "wb") as file:
        _write(file.write, Event(wall_time=1.7e9, file_version="brain.Event:2"))
        for number in range(scalars):
            step, tag = divmod(number, len(TAGS))
            value = Summary.Value(tag=TAGS[tag], simple_value=1.0 / (step + 1))
            summary = Summary(value=[value])
            _write(file.write, Event(wall_time=1.7e9 + number * 1e-3, step=step, summary=summary))


def _write(write: Callable[[bytes], object], event: Event) -> None:
    payload = event.SerializeToString()
    length = struct.pack("<Q", len(payload))
    write(length + _crc(length) + payload + _crc(payload))


def _crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def event_accumulator(run: str) -> int:
    """Load every scalar and return how many there are."""
    accumulator = EventAccumulator(run, size_guidance={SCALARS: 0}).Reload()
    return sum(len(accumulator.Scalars(tag)) for tag in accumulator.Tags()[SCALARS])


def tbparse(run: str) -> int:
    """Load every scalar and return how many there are."""
    reader = importlib.import_module("tbparse").SummaryReader
    return len(reader(run, extra_columns={"wall_time"}).scalars)


READERS: dict[str, Callable[[str], int]] = {
    REFERENCE: event_accumulator,
    "tbparse": tbparse,
    "read_scalars": lambda run: sum(len(curve.steps) for curve in read_scalars(run).values()),
    "summarise": lambda run: sum(tag.count for tag in summarise(run).tags.values()),
    "read_events": lambda run: sum(len(event.summary.value) for event in read_events(run)),
    "read_records": lambda run: sum(1 for _ in read_records(_only_file(run))) - 1,
}


def _only_file(run: str) -> str:
    (name,) = os.listdir(run)
    return os.path.join(run, name)


def measure(scalars: int, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of processor time that each reader took in each round."""
    readers = dict(READERS)
    if importlib.util.find_spec("tbparse") is None:
        del readers["tbparse"]
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    with tempfile.TemporaryDirectory() as run:
        write_run(run, scalars)
        for _ in range(rounds):
            for name, read in readers.items():
                gc.collect()
                start = time.process_time()
                found = read(run)
                seconds[name].append(time.process_time() - start)
                if found != scalars:
                    raise RuntimeError(f"{name} found {found} of {scalars} scalars")
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--scalars", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    seconds = measure(arguments.scalars, arguments.rounds)

    reference = statistics.median(seconds[REFERENCE])
    results = {}
    print(f"{arguments.scalars:,} scalars, {arguments.rounds} rounds\n")
    print(f"{'reader':18}{'seconds':>9}{'us/scalar':>11}{'ratio':>8}   (ratio per round)")
    for name, taken in seconds.items():
        median = statistics.median(taken)
        by_round = [base / own for base, own in zip(seconds[REFERENCE], taken, strict=True)]
        results[name] = {
            "seconds": round(median, 4),
            "ratio": round(reference / median, 2),
            "ratios": [round(ratio, 2) for ratio in by_round],
        }
        spread = f"{min(by_round):.1f} to {max(by_round):.1f}"
        per_scalar = 1e6 * median / arguments.scalars
        print(f"{name:18}{median:9.2f}{per_scalar:11.2f}{reference / median:8.1f}   ({spread})")
    packages = ["tensorboard", "protobuf", "numpy", *(["tbparse"] if "tbparse" in seconds else [])]
    print()
    print(
        json.dumps(
            {
                "benchmark": "reading",
                "scalars": arguments.scalars,
                "rounds": arguments.rounds,
                "python": platform.python_version(),
                "versions": {package: metadata.version(package) for package in packages},
                "readers": results,
            }
        )
    )


if __name__ == "__main__":
    main()
