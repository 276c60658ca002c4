"""``python -m benchmarks [--quick] [--json FILE]``: see docs/speed.md."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import statistics
import sys
from importlib import metadata
from typing import Any

from .contenders import BARE, CONTENDERS, OURS, PNG, REFERENCE
from .driver import Process, import_milliseconds
from .kinds import KINDS, Kind, pixels
from .report import print_report, targets

#: Sizes of the measures in ``scales``, full and quick, and the largest that others are asked for.
_SIZES = {
    "events": ([10**4, 10**5, 10**6, 10**7], [10**4, 10**5], 10**4),
    "tags": ([1, 10, 100, 1000, 10_000, 100_000], [1, 1000], 10_000),
    "series": ([1, 10, 100, 1000, 5000], [1, 100], 100),
    "threads": ([1, 2, 4, 16, 64], [1, 16], 64),
    "memory": ([100_000], [100_000], 100_000),
    "making": ([50], [20], 50),
}


def _takes_part(name: str, kind: Kind) -> bool:
    if name == PNG:
        return pixels(kind) is not None
    # A figure is drawn: there is no record to write again that says what that costs.
    return name == BARE or CONTENDERS[name].does(kind)


def _log(processes: list[Process], rounds: int, quick: bool) -> dict[str, Any]:
    """Return, by kind and contender, every round's results."""
    found: dict[str, Any] = {name: {} for name in KINDS}
    for number in range(rounds):
        for kind in KINDS.values():
            print(f"round {number + 1} of {rounds}: {kind.name}", file=sys.stderr)
            calls = kind.quick_calls if quick else kind.calls
            # Each in turn comes first, so that none always has the disk that another one left.
            for turn in range(len(processes)):
                process = processes[(turn + number) % len(processes)]
                if _takes_part(process.name, kind):
                    result = process.log(kind.name, calls)
                    found[kind.name].setdefault(process.name, []).append(result)
    return found


def _medians(found: dict[str, Any]) -> dict[str, Any]:
    """Return medians over the rounds; of ratios, the median of each round's own ratio."""
    kinds: dict[str, Any] = {}
    for kind, contenders in found.items():
        kinds[kind] = {}
        for name, results in contenders.items():
            row = {key: _finite(statistics.median(r[key] for r in results)) for key in results[0]}
            if "lost" in row:
                row["lost"] = max(result["lost"] for result in results)
            row["threads"] = max(result["threads"] for result in results)
            for other in (REFERENCE, BARE, OURS):
                if other in contenders:
                    pairs = zip(contenders[other], results, strict=True)
                    row[f"{other} / this"] = statistics.median(
                        theirs["caller"] / mine["caller"] for theirs, mine in pairs
                    )
            if REFERENCE in contenders and name != PNG:
                pairs = zip(contenders[REFERENCE], results, strict=True)
                row["torch's cpu / this"] = statistics.median(
                    theirs["cpu"] / mine["cpu"] for theirs, mine in pairs
                )
            kinds[kind][name] = row
    return kinds


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _scale(processes: list[Process], quick: bool) -> dict[str, Any]:
    scales: dict[str, Any] = {}
    for measure, (full, short, largest) in _SIZES.items():
        for size in short if quick else full:
            print(f"{measure}: {size:,}", file=sys.stderr)
            for process in processes:
                if process.name == OURS or (process.name == REFERENCE and size <= largest):
                    result = process.measure(measure, size)
                    scales.setdefault(measure, {}).setdefault(process.name, {})[str(size)] = result
    return scales


def _machine() -> dict[str, Any]:
    packages = ["torch", "tensorboard", "tensorboardX", "numpy", "protobuf", "pillow"]
    versions = {}
    for package in [*packages, "google-crc32c", "tensorflow", "wandb"]:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "load": os.getloadavg(),
        "versions": versions,
    }


def _processor() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
        return f"{len(names)} x {names[0]}" if names else platform.machine()
    return platform.machine()


def main() -> None:
    """Measure, print the tables and write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer calls, rounds and sizes")
    parser.add_argument("--rounds", type=int, help="9, or 2 with --quick")
    parser.add_argument("--json", metavar="FILE", help="write all figures there")
    parser.add_argument("--dir", help="where to write the runs; the temporary directory if absent")
    options = parser.parse_args()
    if not sys.platform.startswith("linux"):
        parser.error("the benchmarks fork and read /proc: they run on Linux only")
    rounds = options.rounds or (2 if options.quick else 9)
    names = [name for name, contender in CONTENDERS.items() if contender.installed]
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(Process(name, options.dir)) for name in [*names, BARE, PNG]
        ]
        kinds = _medians(_log(processes, rounds, options.quick))
        scales = _scale(processes, options.quick)
    importing = statistics.median(import_milliseconds() for _ in range(rounds))
    report = {
        "machine": _machine(),
        "rounds": rounds,
        "quick": options.quick,
        "kinds": kinds,
        "scales": scales,
        "import_ms": importing,
    }
    report["targets"] = targets(report)
    print_report(report)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
    else:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
