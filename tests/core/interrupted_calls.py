"""A program: makes a call of a writer again and again, interrupted at another place each time.

Its arguments are the name of a scene, the name of a handler, ``once``, ``twice`` or ``nested``, and
how often to do so at most. It prints what went wrong, one line each, and in the end how often it
played the scene.
"""

from __future__ import annotations

import collections
import contextlib
import gc
import io
import os
import resource
import shutil
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.support.clock import Clock

clock = Clock()
if __name__ == "__main__":
    clock.start()

from safewriter import SafeSummaryWriter  # noqa: E402
from safewriter.events import RunStatus, event_files, read_events, run_status  # noqa: E402
from tests.support.descriptors import open_descriptors  # noqa: E402
from tests.support.faults import file_size_limit  # noqa: E402
from tests.support.interrupts import Interrupts, some, some_pairs  # noqa: E402

Tag = tuple[str, str]
"""The directory below the run, and the tag."""

MOST_BAD = 12
DEADLINE = 5  # seconds
PLACE = "interrupted at "
# What stands for the directory of the rounds' runs, and from which step on the first one logs.
ROUND, LATER = "rounds", 1000


class Scene:
    """A run with two writers: what was begun to be logged, and what of that was acknowledged."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.other = directory.with_name(f"{directory.name}-other")
        self.rounds = directory.with_name(f"{directory.name}-rounds")
        self.begun: collections.Counter[Tag] = collections.Counter()
        self.acknowledged: dict[Tag, list[int]] = collections.defaultdict(list)
        self.deleted: set[tuple[Tag, int]] = set()
        self.something_waits = False
        self.handlers_under_way = 0
        self.threads: list[threading.Thread] = []
        self.writers: list[Any] = []
        self.writer, self.second = self.make(), self.make()
        self.scalar("signal")

    def make(self, directory: Path | None = None) -> Any:
        """Make a writer."""
        self.writers.append(SafeSummaryWriter(directory or self.directory, unique=False))
        return self.writers[-1]

    def scalar(self, tag: str = "loss", writer: Any = None) -> None:
        """Log the next point of a tag."""
        with self._acknowledged(("", tag)) as step:
            (writer or self.writer).add_scalar(tag, step / 2, step)

    def series(self) -> None:
        """Log the next point of each of two series."""
        with self._acknowledged(("all_a", "all"), ("all_b", "all")) as step:
            self.writer.add_scalars("all", {"a": step / 2, "b": step / 4}, step)

    def text(self) -> None:
        """Log the next text."""
        with self._acknowledged(("", "note/text_summary")) as step:
            self.writer.add_text("note", "hello", step)

    def begin_a_round(self) -> None:
        """Leave a run with a curve, and make a writer of which nobody knows yet where it writes."""
        with SafeSummaryWriter(self.rounds) as first:
            for step in range(LATER, LATER + 3):
                first.add_scalar("loss", 0.5, step)
                first.add_scalar("signal loss", 0.5, step)
        self.newcomer = SafeSummaryWriter(self.rounds)
        self.writers.append(self.newcomer)

    def round_scalar(self, tag: str) -> None:
        """Log the next point of a tag of the new round."""
        with self._acknowledged((ROUND, tag)) as step:
            self.newcomer.add_scalar(tag, step / 2, step)

    def round_series(self) -> None:
        """Log the next point of a series of the new round."""
        with self._acknowledged((ROUND, "pair")) as step:
            self.newcomer.add_scalars("pair", {"a": step / 2}, step)

    @contextlib.contextmanager
    def _acknowledged(self, *tags: Tag) -> Iterator[int]:
        self.begun.update(tags)
        step = self.begun[tags[0]]
        yield step
        for tag in tags:
            self.acknowledged[tag].append(step)

    def delete_the_file(self) -> None:
        """Delete the run's event file with all that is in it."""
        self.deleted |= {(tag, step) for tag, steps in self.on_disk().items() for step in steps}
        for file in event_files(self.directory):
            os.unlink(file)

    def let_some_wait(self) -> None:
        """Log three points while the disk refuses them."""
        self.scalar()
        with file_size_limit(os.path.getsize(event_files(self.directory)[-1])):
            for _ in range(3):
                self.scalar()
        self.something_waits = True

    def on_disk(self) -> dict[Tag, list[int]]:
        """Return the steps that are on the disk, in the order in which a reader has them."""
        found: dict[Tag, list[int]] = collections.defaultdict(list)
        for below, _, names in os.walk(self.directory):
            if any("tfevents" in name for name in names):
                subdir = os.path.relpath(below, self.directory)
                for event in read_events(below):
                    for value in event.summary.value:
                        found["" if subdir == "." else subdir, value.tag].append(event.step)
        for file in [*self.rounds.rglob("*tfevents*"), *self.rounds.rglob("waiting-*")]:
            for event in read_events(file):
                for value in event.summary.value:
                    steps = found[ROUND, value.tag]
                    # What waits may have been written down, but for its end.
                    written = file.name.startswith("waiting-") and event.step in steps
                    if event.step < LATER and not written:
                        steps.append(event.step)
        return found

    def problems(self) -> Iterator[str]:
        """Say what is on the disk and should not be, or the other way round."""
        found = self.on_disk()
        for tag, begun in self.begun.items():
            steps, acknowledged = found.get(tag, []), self.acknowledged[tag]
            wanted = [step for step in acknowledged if (tag, step) not in self.deleted]
            # What an exception cut short is there once or not at all.
            cut_short = set(range(1, begun + 1)).difference(acknowledged)
            sure = [step for step in steps if step not in cut_short]
            if self.something_waits:
                wanted = wanted[: len(sure)]
            if sure != wanted or len(set(steps)) < len(steps):
                yield f"{tag}: on disk {steps}, acknowledged {wanted}"


# What is interrupted: all behind the yield.


def construct(scene: Scene) -> Iterator[None]:
    """Make a writer of another run."""
    yield
    scene.make(scene.other)


def join(scene: Scene) -> Iterator[None]:
    """Make another writer of the run."""
    yield
    scene.make()


def first_scalar(scene: Scene) -> Iterator[None]:
    """Log the first point of a tag."""
    yield
    scene.scalar()


def scalar(scene: Scene) -> Iterator[None]:
    """Log a further point of a tag."""
    scene.scalar()
    yield
    scene.scalar()


def scalar_after_a_second(scene: Scene) -> Iterator[None]:
    """Log a further point, when the file was not looked at for a second."""
    scene.scalar()
    clock.advance(2)
    yield
    scene.scalar()


def first_series(scene: Scene) -> Iterator[None]:
    """Make two series."""
    yield
    scene.series()


def series_after_a_second(scene: Scene) -> Iterator[None]:
    """Log further points of two series, when their files were not looked at for a second."""
    scene.series()
    clock.advance(2)
    yield
    scene.series()


def text(scene: Scene) -> Iterator[None]:
    """Log a text."""
    yield
    scene.text()


def flush(scene: Scene) -> Iterator[None]:
    """Flush."""
    scene.scalar()
    yield
    scene.writer.flush()


def close(scene: Scene) -> Iterator[None]:
    """Close a run."""
    scene.scalar()
    scene.series()
    scene.second.close()
    yield
    scene.writer.close()


def scalar_after_close(scene: Scene) -> Iterator[None]:
    """Log to a run that was closed."""
    scene.scalar()
    scene.second.close()
    scene.writer.close()
    yield
    scene.scalar()


def scalar_without_a_file(scene: Scene) -> Iterator[None]:
    """Log when the file has been deleted."""
    scene.scalar()
    scene.delete_the_file()
    clock.advance(2)
    yield
    scene.scalar()


def flush_what_waits(scene: Scene) -> Iterator[None]:
    """Write what the disk has refused."""
    scene.let_some_wait()
    yield
    scene.writer.flush()


def scalar_behind_what_waits(scene: Scene) -> Iterator[None]:
    """Log when events wait for a new file, because the old one was deleted."""
    scene.let_some_wait()
    scene.delete_the_file()
    clock.advance(10)
    yield
    scene.scalar()


def close_with_what_waits(scene: Scene) -> Iterator[None]:
    """Close when events wait."""
    scene.let_some_wait()
    scene.second.close()
    yield
    scene.writer.close()


def series_with_few_descriptors(scene: Scene) -> Iterator[None]:
    """Make two series, when so many files are in use that the run's own had to be closed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (32, hard))
    for number in range(36):
        scene.writer.add_scalars("many", {str(number): 0.5}, 1)
    assert not set(event_files(scene.directory)).intersection(open_descriptors().values())
    yield
    scene.series()


def wait_in_a_round(scene: Scene) -> Iterator[None]:
    """Log what does not tell which run is written."""
    scene.begin_a_round()
    yield
    scene.round_scalar("new")
    scene.round_series()


def decide_a_new_round(scene: Scene) -> Iterator[None]:
    """Log a step that falls, behind what waits."""
    scene.begin_a_round()
    scene.round_scalar("new")
    scene.round_series()
    yield
    scene.round_scalar("loss")


def close_an_undecided_round(scene: Scene) -> Iterator[None]:
    """Close a writer whose events wait."""
    scene.begin_a_round()
    scene.round_scalar("new")
    scene.round_series()
    yield
    scene.newcomer.close()


SCENES: dict[str, Callable[[Scene], Iterator[None]]] = {
    scene.__name__: scene
    for scene in (
        construct,
        join,
        first_scalar,
        scalar,
        scalar_after_a_second,
        first_series,
        series_after_a_second,
        text,
        flush,
        close,
        scalar_after_close,
        scalar_without_a_file,
        flush_what_waits,
        scalar_behind_what_waits,
        close_with_what_waits,
        series_with_few_descriptors,
        wait_in_a_round,
        decide_a_new_round,
        close_an_undecided_round,
    )
}


# What the handler does.


class Interrupted(KeyboardInterrupt):
    """What the handlers raise."""


class TimedOutError(TimeoutError):
    """What a handler raises for an alarm: a system's error by its class, and not by its number."""


def logs(scene: Scene) -> None:
    """Log to the same file; a handler within a handler has a tag of its own, whose steps rise."""
    scene.handlers_under_way += 1
    scene.scalar("signal" if scene.handlers_under_way == 1 else "inner signal")
    scene.handlers_under_way -= 1


def logs_through_another(scene: Scene) -> None:
    """Log to the same file through another writer, a tag that is new the first time."""
    scene.scalar("another signal", scene.second)


def logs_while_a_thread_does(scene: Scene) -> None:
    """Log to the run's own file, at the moment at which another thread does."""
    thread = threading.Thread(target=scene.scalar, args=["in a thread"])
    scene.threads.append(thread)
    thread.start()
    thread.join(0.2)  # It may have to wait for what this thread is in the middle of.
    scene.scalar("signal")


def flushes(scene: Scene) -> None:
    """Flush the writer."""
    scene.writer.flush()


def closes(scene: Scene) -> None:
    """Close both writers."""
    scene.writer.close()
    scene.second.close()


def raises(scene: Scene) -> None:
    """Raise what Ctrl-C raises."""
    raise Interrupted


def logs_and_raises(scene: Scene) -> None:
    """Log, then raise."""
    logs(scene)
    raise Interrupted


def logs_in_the_round(scene: Scene) -> None:
    """Log a tag that is new to the round's run, which waits, or is written by now."""
    if scene.rounds.exists():
        scene.round_scalar("signal")
    else:
        scene.scalar("signal")


def decides_the_round(scene: Scene) -> None:
    """Log a step that falls through the round's writer."""
    if scene.rounds.exists():
        scene.round_scalar("signal loss")
    else:
        scene.scalar("signal")


def makes_a_series(scene: Scene) -> None:
    """Log the first point of a series that is new each time."""
    name = f"new {scene.begun['', 'signal']}"
    with scene._acknowledged((f"{name}_a", name)) as step:
        scene.writer.add_scalars(name, {"a": step / 2}, step)


def times_out(scene: Scene) -> None:
    """Raise what a handler of an alarm raises."""
    raise TimedOutError


HANDLERS = {
    handler.__name__: handler
    for handler in (
        logs,
        logs_through_another,
        logs_while_a_thread_does,
        flushes,
        closes,
        raises,
        times_out,
        makes_a_series,
        logs_in_the_round,
        decides_the_round,
        logs_and_raises,
    )
}


class Stage:
    """Plays one scene again and again, each time in a process of its own."""

    def __init__(self, scene: str, handler: str, *, nested: bool) -> None:
        self._play_scene = SCENES[scene]
        self._handler = HANDLERS[handler]
        self._nested = nested
        # What is loaded or opened on the first use is no concern of the others.
        with contextlib.redirect_stdout(io.StringIO()):
            self.places = self._play(())
            # In nested calls the places within the handler count as well.
            self.places = self._play((1,)) if nested else self.places
        gc.freeze()

    def problems(self, at: tuple[int, ...]) -> list[str]:
        """Interrupt the scene at some places; return what went wrong, and where that was."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            signal.alarm(DEADLINE)
            os.close(reader)
            with open(writer, "w", buffering=1) as lines, contextlib.redirect_stdout(lines):
                try:
                    self._play(at)
                except BaseException as error:
                    print(f"could not go on: {error!r}")
            os._exit(0)
        os.close(writer)
        with open(reader) as lines:
            output = lines.read().splitlines()
        if os.waitpid(pid, 0)[1]:
            output.append("hangs")
        where = " and ".join(line.removeprefix(PLACE) for line in output if line.startswith(PLACE))
        return [f"{where}: {line}" for line in output if not line.startswith(PLACE)]

    def _play(self, at: tuple[int, ...]) -> int:
        """Print where the handler is called and what is wrong then; return how many places are."""
        before = open_descriptors()
        unraisable: list[BaseException | None] = []
        sys.unraisablehook = lambda what: unraisable.append(what.exc_value)
        places = self._play_and_go_on(Scene(Path("run" + "-".join(map(str, at))).absolute()), at)
        gc.collect()
        # What a handler raised within a finalizer cannot be seen by anybody else.
        unseen = [
            error for error in unraisable if not isinstance(error, (Interrupted, TimedOutError))
        ]
        print_problems("raised where nobody sees it", unseen)
        print_problems("left open", open_descriptors().items() - before.items())
        return places

    def _play_and_go_on(self, scene: Scene, at: tuple[int, ...]) -> int:
        def handle() -> None:
            print(f"{PLACE}{interrupts.where[-1]}")
            self._handler(scene)

        interrupts = Interrupts(handle, at, nested=self._nested)
        script = self._play_scene(scene)
        next(script)
        try:
            interrupts.run(lambda: next(script, None))
        except (Interrupted, TimedOutError):
            # What was about to notice that a file is gone does so in a second, as ever.
            clock.advance(2)
        except Exception as error:
            print(repr(error))
        else:
            scene.something_waits = False
        for thread in scene.threads:
            thread.join()
        print_problems("at once", scene.problems())
        go_on(scene)
        for directory in (scene.directory, scene.other, scene.rounds):
            shutil.rmtree(directory, ignore_errors=True)
        return interrupts.places


def go_on(scene: Scene) -> None:
    """Go on with everything, in this thread and in another, end it, and print what is wrong."""
    scene.writer.flush()
    scene.something_waits = False
    scene.scalar()
    scene.series()
    scene.scalar("again", scene.make())
    scene.make(scene.other).add_scalar("loss", 0.5, 1)
    print_problems("later", scene.problems())
    thread = threading.Thread(target=scene.make)
    thread.start()
    thread.join()
    for writer in scene.writers:
        writer.close()
    statuses = [run_status(directory) for directory in (scene.directory, scene.other)]
    print_problems("in the end", [s for s in statuses if s is not RunStatus.FINISHED])


def print_problems(when: str, problems: Iterable[object]) -> None:
    """Print a line for each problem."""
    for problem in problems:
        print(f"{when}: {problem}")


def main(scene: str, handler: str, how: str, most: str) -> None:
    """Interrupt the scene at one place, or pair of places, after the other."""
    warnings.simplefilter("ignore")
    stage = Stage(scene, handler, nested=how == "nested")
    choose = some if how == "once" else some_pairs
    bad = played = 0
    for at in choose(stage.places, int(most)):
        problems = stage.problems(at)
        print(*problems, sep="\n", end="\n" if problems else "")
        played += 1
        bad += bool(problems)
        if bad >= MOST_BAD:
            break
    print(played)


if __name__ == "__main__":
    main(*sys.argv[1:])
