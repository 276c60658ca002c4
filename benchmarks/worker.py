"""The process of one contender: imports its writer once and forks a child for each measurement.

Asked on standard input, one JSON object a line; answers on standard output. A child is killed at
the end of its work, so what it had not handed to the kernel by then is lost.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import os
import signal
import statistics
import sys
import threading
import time
import traceback
import warnings
from typing import Any

from . import scales
from .contenders import BARE, CONTENDERS, OURS, PATCHED, PNG, bare_write, png_alone
from .kinds import KINDS, Call
from .records import Files

_answers = 1


def main() -> None:
    """Serve until standard input ends."""
    global _answers
    name = sys.argv[1]
    # Some writers print on standard output: that goes to standard error.
    _answers = os.dup(1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    _imports(name)
    gc.collect()
    gc.freeze()
    while line := _line():
        child = os.fork()
        if not child:
            try:
                request = json.loads(line)
                if "kind" in request:
                    _log(name, **request)
                else:
                    _answer(scales.MEASURES[request.pop("measure")](name, **request))
            except BaseException:
                traceback.print_exc()
            finally:
                # Nothing may be tidied up: it would save what a killed process loses.
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        _answer({"end": True})


def _imports(name: str) -> None:
    needed = ["matplotlib.pyplot", "PIL.Image", "torch.utils.tensorboard"]
    if name in CONTENDERS:
        needed.append(CONTENDERS[name].module)
    for module in needed:
        importlib.import_module(module)
    if name in (OURS, PATCHED, BARE):
        importlib.import_module("safewriter._patched")  # With all that is loaded on first use.


def _line() -> bytes:
    # Unbuffered: a child goes on reading where its parent stopped.
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        line += byte
    return line


def _answer(message: dict[str, Any]) -> None:
    os.write(_answers, json.dumps(message).encode() + b"\n")


def _log(name: str, kind: str, calls: int, directory: str) -> None:
    """Log: a few calls to warm up, the calls that are timed, and the calls before the kill."""
    threads = threading.active_count()
    call = _bound(name, kind, directory)
    warm = max(calls // 20, KINDS[kind].period, 2)
    for step in range(warm):
        call(step)
    # What waits in queues now would be written at the cost of the calls that are timed.
    time.sleep(0.1)
    gc.collect()
    files = Files(directory)
    before = sum(files.sizes().values())
    # The median over pieces: what else the machine does in between falls on a few of them. Where
    # torch's queue can empty and fill again within a call's time, a piece is longer than the queue.
    size = max(KINDS[kind].period, min(calls // 15, 100))
    times = [time.perf_counter()]
    cpu = time.process_time()
    for start in range(warm, warm + calls, size):
        for step in range(start, start + size):
            call(step)
        times.append(time.perf_counter())
    sizes = files.sizes()
    pieces = [end - begin for begin, end in itertools.pairwise(times)]
    _answer(
        {
            "caller": statistics.median(pieces) / size,
            "seconds": times[-1] - times[0],
            "sizes": sizes,
            "threads": threading.active_count() - threads,
            "logged": warm + calls,
        }
    )
    _line()  # By now the driver has seen all events, or has stopped to wait for them.
    seconds = time.process_time() - cpu
    written = sum(files.sizes().values()) - before
    _answer({"cpu": seconds, "bytes": written})
    for step in range(warm + calls, warm + calls + last_calls(calls)):
        call(step)


def last_calls(calls: int) -> int:
    """Return how many calls are made right before the kill."""
    return min(calls, 20)


def _bound(name: str, kind: str, directory: str) -> Call:
    if name == BARE:
        return bare_write(KINDS[kind], directory)
    if name == PNG:
        call = png_alone(KINDS[kind])
        assert call is not None, "asked for the PNG of what is no image"
        return call
    return KINDS[kind].bind(CONTENDERS[name].make(directory))


if __name__ == "__main__":
    main()
