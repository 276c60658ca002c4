"""Something that happens at the Nth place of a call, where Python may run a signal handler.

Python runs the handler of a signal at the entry of a function, behind a call, and when a loop
goes round. This finds those places in the code of one package, whatever that looks like, with
``sys.settrace``: at each entry of a function, and at each line that follows one which calls
something or goes round. Assignments in a row are one step for a handler, and so they are here.
"""

from __future__ import annotations

import dis
import functools
import itertools
import os
import random
import sys
from collections.abc import Callable, Container
from types import CodeType, FrameType
from typing import Any

import safewriter

Handler = Callable[[], object]

_PACKAGE = os.path.dirname(safewriter.__file__) + os.sep
# Behind these the interpreter looks for signals, in one of its versions at least.
_HANDLING = ("CALL", "PRECALL", "JUMP_BACKWARD", "JUMP_ABSOLUTE", "SEND", "YIELD", "FOR_ITER")


@functools.cache
def _handling_lines(code: CodeType) -> frozenset[int]:
    """Return the lines of a function in which, or behind which, a handler may run."""
    found, line = set(), code.co_firstlineno
    starts = {offset: number for offset, _, number in code.co_lines() if number is not None}
    for instruction in dis.get_instructions(code):
        line = starts.get(instruction.offset, line)
        if instruction.opname.startswith(_HANDLING):
            found.add(line)
    return frozenset(found)


def _leaves_a_with(frame: FrameType) -> bool:
    """Tell whether a ``with`` is about to call ``__exit__``, at the end of its block.

    Between the last call of the block and that call there is no place for a handler: what it raises
    behind the last call is still raised within the block.
    """
    return frame.f_lasti in _ends_of_blocks(frame.f_code)


@functools.cache
def _ends_of_blocks(code: CodeType) -> frozenset[int]:
    """Return where three Nones are pushed for ``__exit__``, perhaps behind a value to return."""
    found = set()
    instructions = [each for each in dis.get_instructions(code) if each.opname != "CACHE"]
    for number, first in enumerate(instructions):
        start = number + (first.opname in ("SWAP", "ROT_TWO"))
        nones = instructions[start : start + 3]
        if all(each.opname == "LOAD_CONST" and each.argval is None for each in nones):
            found.add(first.offset)
    return frozenset(found)


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

    def __init__(self, handler: Handler, at: Container[int] = (), *, nested: bool = False) -> None:
        self.places = 0
        self.where: list[str] = []
        self._handler = handler
        self._at = at
        self._nested = nested

    def run(self, call: Callable[[], object]) -> None:
        """Run `call` to its end; what it raises is raised."""
        before = sys.gettrace()
        sys.settrace(self._trace_call)
        try:
            call()
        finally:
            sys.settrace(before)

    def _trace_call(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            return None
        self._place(frame)
        previous = 0

        def trace_line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal previous
            if event == "line":
                line, previous = previous, frame.f_lineno
                if line in _handling_lines(frame.f_code) and not _leaves_a_with(frame):
                    self._place(frame)
            return trace_line

        return trace_line

    def _place(self, frame: FrameType) -> None:
        self.places += 1
        if self.places in self._at:
            file = frame.f_code.co_filename.removeprefix(_PACKAGE)
            self.where.append(f"{file}:{frame.f_lineno} {frame.f_code.co_name}")
            if self._nested:
                sys.call_tracing(self._traced_handler, ())
            else:
                self._handler()

    def _traced_handler(self) -> None:
        sys.settrace(self._trace_call)  # Python 3.11's call_tracing does not trace otherwise.
        self._handler()


def some(places: int, most: int) -> list[tuple[int, ...]]:
    """Return each place, or `most` that are spread evenly, for `Interrupts`."""
    count = min(places, most)
    return [(1 + number * places // count,) for number in range(count)]


def some_pairs(places: int, most: int) -> list[tuple[int, ...]]:
    """Return all pairs of places, or `most` of them: the same ones each time."""
    pairs = list(itertools.combinations(range(1, places + 1), 2))
    return sorted(random.Random(0).sample(pairs, min(len(pairs), most)))
