"""A program: a process is killed at each place of a call that writes or decides what waits.

Its arguments are the name of the call, and at how many places at most. It prints what went wrong,
one line each, and in the end how often a process was killed.
"""

from __future__ import annotations

import collections
import os
import signal
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from safewriter import SafeSummaryWriter
from safewriter.events import read_events
from tests.support.interrupts import Interrupts, some

CALLS: dict[str, Callable[[Any], object]] = {
    "wait": lambda writer: writer.add_scalar("late", 2.0, 0),
    "begin": lambda writer: writer.add_scalar("loss", 2.0, 0),
    "go on": lambda writer: writer.add_scalar("loss", 1.0, 5),
    "read": lambda writer: writer.log_dir,
    "close": lambda writer: writer.close(),
}

#: What was acknowledged before the call, and how often.
LOGGED = {"config/text_summary": 2, "warmup": 1, "pair": 1}


def begin(directory: Path) -> Any:
    """Leave a run with a curve, and return a new writer on the directory that has logged."""
    with SafeSummaryWriter(directory) as first:
        first.add_text("config", "the same")
        for step in range(5):
            first.add_scalar("loss", 1.0, step)
    second = SafeSummaryWriter(directory)
    second.add_text("config", "the same")
    second.add_scalar("warmup", 2.0, 0)
    second.add_scalars("pair", {"a": 2.0}, 0)
    return second


def in_a_child(work: Callable[[], object]) -> None:
    """Do something in a forked child, which may be killed."""
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    os.waitpid(pid, 0)


def die_at(directory: Path, call: str, place: int) -> None:
    """Make the call, and be killed at a place of it."""
    writer = begin(directory)
    interrupts = Interrupts(lambda: os.kill(os.getpid(), signal.SIGKILL), (place,))
    interrupts.run(lambda: CALLS[call](writer))


def resume_all(directory: Path) -> None:
    """Open each run again, as the next process does."""
    for run in list(directory.iterdir()):
        SafeSummaryWriter(run, resume=True).close()


def problems(directory: Path) -> list[str]:
    """Return what is not there, is there twice, or is mixed."""
    found = []
    counted: collections.Counter[str] = collections.Counter()
    for run in directory.iterdir():
        curve = set()
        for file in run.rglob("*tfevents*"):
            for event in read_events(file):
                for value in event.summary.value:
                    counted[value.tag] += 1
                    if value.tag == "loss":
                        curve.add(value.simple_value)
        if len(curve) > 1:
            found.append(f"{run.name} has the curves of two rounds")
    found += [
        f"{tag} is there {counted[tag]} times, not {times}"
        for tag, times in LOGGED.items()
        if counted[tag] != times
    ]
    if not 5 <= counted["loss"] <= 6:
        found.append(f"loss is there {counted['loss']} times")
    return found + [f"{path} still waits" for path in directory.rglob("waiting-*")]


def main(call: str, most: str) -> None:
    """Kill at places that are spread evenly."""
    warnings.simplefilter("ignore")
    counting = Interrupts(lambda: None)
    writer = begin(Path("counted").absolute())
    counting.run(lambda: CALLS[call](writer))
    for (place,) in some(counting.places, int(most)):
        directory = Path(f"killed at {place}").absolute()
        in_a_child(partial(die_at, directory, call, place))
        in_a_child(partial(resume_all, directory))
        for problem in problems(directory):
            print(f"{place}: {problem}")
    print(len(some(counting.places, int(most))))


if __name__ == "__main__":
    main(*sys.argv[1:])
