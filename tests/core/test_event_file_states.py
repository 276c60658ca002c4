"""The states of an event file: every change is in the table, and each entry of it occurs."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
import time
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from tensorboard.compat.proto.event_pb2 import Event

from safewriter._disk import event_file, reports
from safewriter._disk.event_file import EventFile
from safewriter._disk.states import TRANSITIONS, State
from safewriter.events import Verdict, read_records
from tests.support import event_files
from tests.support.faults import file_size_limit

Change = tuple[State, State]


class WatchedFile(EventFile):
    """An event file that remembers how its state changed."""

    changes: list[Change]

    def __setattr__(self, name: str, value: object) -> None:
        if name == "_state":
            before = self.__dict__.get("_state")
            changes = self.__dict__.setdefault("changes", [])
            if isinstance(before, State) and isinstance(value, State) and before is not value:
                changes.append((before, value))
        object.__setattr__(self, name, value)

    def log(self, number: int, generation: int = 0) -> bool:
        """Append event `number`; tell whether it was taken."""
        payload = Event(step=number).SerializeToString()
        taken = self.append(payload, vars(event_file)["time"].time(), generation=generation)
        return taken is not None


class Interrupted(KeyboardInterrupt):
    """What a signal handler raises in the middle of a write."""


@contextlib.contextmanager
def interrupted(
    how: str, number: int = 0, name: str = "write", handler: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Have that call of ``os.write``, or another function, interrupted as `how` says.

    ``"before"`` and ``"after"`` raise there, ``"half"`` when half is written; what is raised goes
    no further. ``"short"`` writes half. ``"handler"`` calls `handler` behind the call, which is
    where Python runs it.
    """
    call: Callable[..., Any] = getattr(os, name)
    count = 0

    def replaced(target: Any, *data: Any, **keywords: Any) -> Any:
        nonlocal count
        count += 1
        if count != number + 1:
            return call(target, *data, **keywords)
        if how == "before":
            raise Interrupted
        if how in ("half", "short") and name == "write":
            data = (data[0][: len(data[0]) // 2],)
        result = call(target, *data, **keywords)
        if how == "handler":
            handler()
        elif how in ("after", "half"):
            raise Interrupted
        return result

    setattr(os, name, replaced)
    try:
        yield
    except Interrupted:
        pass
    finally:
        setattr(os, name, call)


@contextlib.contextmanager
def interrupted_at_entry(
    file: EventFile, name: str, how: str, number: int, handler: Callable[[], object]
) -> Iterator[None]:
    """Have that call of a method interrupted at its entry, where Python runs handlers as well.

    ``"raises"`` raises, and it goes no further; ``"handler"`` calls `handler`.
    """
    method: Callable[..., Any] = getattr(file, name)
    count = 0

    def entered(*arguments: Any, **keywords: Any) -> Any:
        nonlocal count
        count += 1
        if count == number + 1:
            if how == "raises":
                raise Interrupted
            handler()
        return method(*arguments, **keywords)

    vars(file)[name] = entered
    try:
        yield
    except Interrupted:
        pass
    finally:
        del vars(file)[name]


METHODS = tuple(
    name
    for name, member in vars(EventFile).items()
    if isinstance(member, types.FunctionType) and not name.startswith("__") and name != "after_fork"
)
HOW = ("before", "after", "half", "short", "handler")
WHERE = ("write", "fstat", "open", "close")


class Clock:
    """Stands in for the module ``time`` in the modules of the event file."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def install(self) -> Callable[[], None]:
        """Be their clock; return what undoes it."""
        theirs = types.SimpleNamespace(
            time=lambda: time.time() + self.ahead,
            monotonic=lambda: time.monotonic() + self.ahead,
        )
        modules = event_file, reports
        for module in modules:
            vars(module)["time"] = theirs

        def undo() -> None:
            for module in modules:
                vars(module)["time"] = time

        return undo

    def advance(self) -> None:
        """Let so much time pass that a look, and another try, are due."""
        self.ahead += 10


def steps_in(path: Path) -> list[int]:
    """Return the numbers of the intact events at or below `path`, in a reader's order."""
    return [
        step
        for file in event_files(path)
        for record in read_records(file)
        if record.verdict in (Verdict.OK, Verdict.BEHIND_FAULT)
        for event in [Event.FromString(record.data)]
        if not event.file_version
        for step in [event.step]
    ]


class Machine(RuleBasedStateMachine):
    """An event file to which everything happens, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.undo = self.clock.install()
        self.top = Path(tempfile.mkdtemp(prefix="safewriter-states-"))
        self.lost_to_others = self.top / "lost"
        self.lost_to_others.mkdir()
        self.runs = self.top / "runs"
        self.directories = 0
        self.file = WatchedFile(self.new_directory(), on_look=self.look)
        self.generation = self.number = 0
        self.taken: list[int] = []
        self.moves_on_look = False
        self.in_order = True

    def new_directory(self) -> str:
        """Return the name of another directory."""
        self.directories += 1
        return str(self.runs / str(self.directories))

    def look(self) -> None:
        """Move the file, as a run does that has to make way, if a rule wants that."""
        if self.moves_on_look:
            self.moves_on_look = False
            self.file.relocate(self.new_directory())

    def keep_a_copy(self, *, link: bool) -> bool:
        """Remember what is in the file, for somebody is about to spoil it."""
        if self.file.path is None or not os.path.exists(self.file.path):
            return False
        copy = self.lost_to_others / f"{len(os.listdir(self.lost_to_others))}.tfevents"
        if link:
            os.link(self.file.path, copy)
        else:
            shutil.copy(self.file.path, copy)
        return True

    def log(self) -> None:
        """Log the next event."""
        self.number += 1
        if self.file.log(self.number, self.generation):
            self.taken.append(self.number)

    @rule(count=st.integers(1, 3))
    def log_some(self, count: int) -> None:
        """Log some."""
        for _ in range(count):
            self.log()

    @rule(room=st.integers(0, 60), count=st.integers(1, 3))
    def log_while_the_disk_refuses(self, room: int, count: int) -> None:
        """Log while the disk refuses."""
        path = self.file.path
        size = os.path.getsize(path) if path and os.path.exists(path) else 0
        with file_size_limit(size + room):
            for _ in range(count):
                self.log()

    @rule(how=st.sampled_from(HOW), where=st.sampled_from(WHERE), number=st.integers(0, 3))
    def log_interrupted(self, how: str, where: str, number: int) -> None:
        """Log, and be interrupted."""
        with interrupted(how, number, where, self.log):
            self.log()

    @rule(how=st.sampled_from(HOW), where=st.sampled_from(WHERE), number=st.integers(0, 3))
    def flush_interrupted(self, how: str, where: str, number: int) -> None:
        """Flush, and be interrupted."""
        with interrupted(how, number, where, self.log):
            self.file.flush()

    @rule(how=st.sampled_from(HOW), where=st.sampled_from(WHERE), number=st.integers(0, 3))
    def close_interrupted(self, how: str, where: str, number: int) -> None:
        """Close, and be interrupted."""
        with interrupted(how, number, where, self.log):
            self.file.close(self.generation)

    @rule(
        name=st.sampled_from(METHODS),
        how=st.sampled_from(["raises", "handler"]),
        number=st.integers(0, 2),
    )
    def log_interrupted_at_entry(self, name: str, how: str, number: int) -> None:
        """Log, and be interrupted at the entry of a method."""
        # Before an event is taken, that of a handler goes first.
        self.in_order &= name not in ("append", "_may_write")
        with interrupted_at_entry(self.file, name, how, number, self.log):
            self.log()

    @rule()
    def flush(self) -> None:
        """Flush."""
        self.file.flush()

    @rule()
    def close(self) -> None:
        """Close."""
        self.file.close(self.generation)

    @rule()
    def close_without_a_look(self) -> None:
        """Close without a look."""
        self.file.close(self.generation, look=False)

    @rule(room=st.integers(0, 60))
    def close_while_the_disk_refuses(self, room: int) -> None:
        """Close while the disk refuses."""
        path = self.file.path
        size = os.path.getsize(path) if path and os.path.exists(path) else 0
        with file_size_limit(size + room):
            self.file.close(self.generation)

    @rule()
    def open_the_run_again(self) -> None:
        """Open the run again."""
        self.generation += 1

    @rule()
    def relocate(self) -> None:
        """Relocate."""
        self.file.relocate(self.new_directory())

    @rule()
    def relocate_on_the_next_look(self) -> None:
        """Relocate on the next look."""
        self.moves_on_look = True

    @rule()
    def release_the_descriptor(self) -> None:
        """Release the descriptor."""
        self.file.release_descriptor()

    @rule()
    def let_time_pass(self) -> None:
        """Let time pass."""
        self.clock.advance()

    @rule()
    def somebody_deletes_the_file(self) -> None:
        """Somebody deletes the file."""
        if self.keep_a_copy(link=True):
            assert self.file.path is not None
            os.unlink(self.file.path)

    @rule(left=st.integers(0, 200))
    def somebody_truncates_the_file(self, left: int) -> None:
        """Somebody truncates the file."""
        if self.keep_a_copy(link=False):
            assert self.file.path is not None
            os.truncate(self.file.path, min(left, os.path.getsize(self.file.path)))
            self.clock.advance()

    @rule()
    def somebody_writes_to_the_file(self) -> None:
        """Somebody writes to the file."""
        # Behind half a record, nobody could tell whose the bytes are.
        if self.file.state is State.READY and self.keep_a_copy(link=False):
            assert self.file.path is not None
            with open(self.file.path, "ab") as file:
                file.write(b"no record")
            self.clock.advance()

    @rule()
    def somebody_closes_the_descriptor(self) -> None:
        """Somebody closes the descriptor."""
        number = self.file._descriptor.number
        if number >= 0:
            with contextlib.suppress(OSError):  # It was closed before.
                os.close(number)

    def teardown(self) -> None:
        """Teardown."""
        try:
            self.check()
        finally:
            self.undo()
            shutil.rmtree(self.top)

    def check(self) -> None:
        """Close, and look for what was taken."""
        self.file.close(self.generation)
        assert self.file.is_closed_for(self.generation)
        wrong = [(a.name, b.name) for a, b in self.file.changes if b not in TRANSITIONS[a]]
        assert not wrong
        there: set[int] = set()
        for number in range(1, self.directories + 1):
            steps = steps_in(self.runs / str(number))
            assert len(steps) == len(set(steps)), "something is there twice"
            assert steps == sorted(steps) or not self.in_order, "something overtook another"
            there.update(steps)
        spoilt = set(steps_in(self.lost_to_others))
        missing = [number for number in self.taken if number not in there | spoilt]
        assert len(missing) <= self.file.lost, missing


def test_a_file_to_which_everything_happens():
    """Whatever happens to an event file in whatever order, its state changes as the table says, and
    what it took is on disk once, in order, or counted as lost.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run_state_machine_as_test(
            Machine,
            settings=hypothesis.settings(
                max_examples=150, stateful_step_count=20, report_multiple_bugs=False
            ),
        )


@pytest.mark.stress
def test_a_file_to_which_everything_happens_for_long():
    """The same, in thousands of orders."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run_state_machine_as_test(
            Machine, settings=hypothesis.settings(max_examples=5000, stateful_step_count=30)
        )


def test_the_first_two_events_are_interrupted():
    """Wherever the first event and the second are interrupted, by a handler that logs or raises,
    each is there once, and in order.
    """
    wrong = []
    for first in itertools.product(HOW, WHERE, range(3)):
        for second in itertools.product(HOW, ["write"], range(2)):
            machine = Machine()
            try:
                for how, where, number in (first, second):
                    machine.log_interrupted(how=how, where=where, number=number)
                machine.teardown()
            except Exception as error:
                wrong.append((first, second, str(error)))
    assert wrong == []


@pytest.mark.parametrize("name", METHODS)
def test_a_handler_at_the_entry_of_a_method(name):
    """Wherever a handler logs or raises at the entry of a method, before another one that logs in
    the middle of a write, each event is there once, and in order.
    """
    wrong = []
    for how, number in itertools.product(["raises", "handler"], range(3)):
        machine = Machine()
        try:
            machine.log()
            machine.release_the_descriptor()
            machine.log_interrupted_at_entry(name=name, how=how, number=number)
            machine.log_interrupted(how="handler", where="write", number=0)
            machine.teardown()
        except Exception as error:
            wrong.append((how, number, str(error)))
    assert wrong == []


# One way to each change of the table. The file is fresh, and the clock stands still.


def opens(file: WatchedFile, clock: Clock) -> None:
    """Open the file."""
    file.open()


def closes_what_is_not_there(file: WatchedFile, clock: Clock) -> None:
    """Close a file that was never made, and open it again."""
    file.close()
    file.log(1, generation=1)


def logs_and_closes(file: WatchedFile, clock: Clock) -> None:
    """Log, close, and log again for another opening of the run."""
    file.log(1)
    file.log(2)
    file.close()
    file.log(3, generation=1)


def releases(file: WatchedFile, clock: Clock) -> None:
    """Give the descriptor back, and go elsewhere."""
    file.log(1)
    file.release_descriptor()
    file.relocate(f"{file.directory}-2")


def goes_elsewhere(file: WatchedFile, clock: Clock) -> None:
    """Go to another directory."""
    file.log(1)
    file.relocate(f"{file.directory}-2")


def is_refused(file: WatchedFile, clock: Clock) -> None:
    """Log on a disk that refuses, and close there."""
    file.log(1)
    assert file.path is not None
    with file_size_limit(os.path.getsize(file.path)):
        file.log(2)
        file.close()


def is_deleted(file: WatchedFile, clock: Clock) -> None:
    """Log when the file has been deleted."""
    file.log(1)
    assert file.path is not None
    os.unlink(file.path)
    clock.advance()
    file.log(2)


def is_deleted_while_released(file: WatchedFile, clock: Clock) -> None:
    """Log when the file has been deleted, and is not open."""
    file.log(1)
    assert file.path is not None
    file.release_descriptor()
    os.unlink(file.path)
    file.log(2)


def is_deleted_and_closed(file: WatchedFile, clock: Clock) -> None:
    """Close when the file has been deleted."""
    file.log(1)
    assert file.path is not None
    os.unlink(file.path)
    file.close()


def is_interrupted_and_truncated(file: WatchedFile, clock: Clock) -> None:
    """Be interrupted in a write, and truncated."""
    file.log(1)
    with interrupted("half"):
        file.log(2)
    assert file.path is not None
    os.truncate(file.path, 0)
    file.flush()


def is_interrupted_and_goes_elsewhere(file: WatchedFile, clock: Clock) -> None:
    """Be interrupted in a write, and go to another directory."""
    file.log(1)
    with interrupted("before"):
        file.log(2)
    file.relocate(f"{file.directory}-2")


def is_interrupted_and_forked(file: WatchedFile, clock: Clock) -> None:
    """Be in the middle of a write when another thread forks."""
    file.log(1)
    with interrupted("before"):
        file.log(2)
    file.after_fork()


SCENARIOS = (
    opens,
    closes_what_is_not_there,
    logs_and_closes,
    releases,
    goes_elsewhere,
    is_refused,
    is_deleted,
    is_deleted_while_released,
    is_deleted_and_closed,
    is_interrupted_and_truncated,
    is_interrupted_and_goes_elsewhere,
    is_interrupted_and_forked,
)


def test_every_entry_of_the_table_occurs(tmp_path):
    """There is a way to each change that the table allows, and these ways make no other."""
    seen: set[Change] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for scenario in SCENARIOS:
            clock = Clock()
            undo = clock.install()
            try:
                file = WatchedFile(str(tmp_path / scenario.__name__))
                scenario(file, clock)
                seen.update(file.changes)
                file.close(9)
            finally:
                undo()
    assert seen == {(before, after) for before, later in TRANSITIONS.items() for after in later}
