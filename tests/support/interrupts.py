"""Something that happens at the Nth place of a call, where Python may run a signal handler.

Python runs the handler of a signal at the entry of a function and behind a call of a function that
is written in C, whose result it has not stored yet: what the handler raises comes out of that call.
This finds those places in the code of one package, whatever that looks like, with
``sys.setprofile``.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
from collections.abc import Callable, Container
from types import FrameType
from typing import Any

import safewriter

_PACKAGE = os.path.dirname(safewriter.__file__) + os.sep


class Interrupts:
    """Runs calls in which a handler is called at chosen places; see the module.

    Args:
        handler: called at each place of `at`; what it raises is raised there.
        at: numbers of places, from 1 on. A place that is reached twice has two numbers.
        nested: whether the places within the handler are counted, and the handler is called in
            them too.

    Attributes:
        places: how many there were.
        where: file, line and function of each place at which the handler was called.
    """

    def __init__(
        self, handler: Callable[[], object], at: Container[int] = (), *, nested: bool = False
    ) -> None:
        self.places = 0
        self.where: list[str] = []
        self._handler = handler
        self._at = at
        self._nested = nested

    def run(self, call: Callable[[], object]) -> None:
        """Run `call` to its end; what it raises is raised."""
        before = sys.getprofile()
        sys.setprofile(self._on_event)
        try:
            call()
        finally:
            sys.setprofile(before)

    def _on_event(self, frame: FrameType, event: str, argument: Any) -> None:
        if event not in ("call", "c_return"):
            return
        file = frame.f_code.co_filename
        if not file.startswith(_PACKAGE):
            return
        self.places += 1
        if self.places in self._at:
            behind = f", behind {argument.__name__}()" if event == "c_return" else ""
            place = f"{file.removeprefix(_PACKAGE)}:{frame.f_lineno} {frame.f_code.co_name}"
            self.where.append(place + behind)
            if self._nested:
                sys.call_tracing(self._profiled_handler, ())
            else:
                self._handler()

    def _profiled_handler(self) -> None:
        sys.setprofile(self._on_event)  # Python 3.11's call_tracing does not go on with it.
        self._handler()


def some(places: int, most: int) -> list[tuple[int, ...]]:
    """Return each place, or `most` that are spread evenly, for `Interrupts`."""
    count = min(places, most)
    return [(1 + number * places // count,) for number in range(count)]


def some_pairs(places: int, most: int) -> list[tuple[int, ...]]:
    """Return all pairs of places, or `most` of them: the same ones each time."""
    pairs = list(itertools.combinations(range(1, places + 1), 2))
    return sorted(random.Random(0).sample(pairs, min(len(pairs), most)))
