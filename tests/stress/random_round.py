"""A program: one round of everything at once, in an order that a seed decides.

Threads and signal handlers log through shared writers, make, drop, flush and close them, children
are forked and die, event files are moved away, and the disk refuses for a moment. Its arguments are
the seed, the directory, how it ends, and the seconds it lasts. What it did is told through the pipe
``journal`` of the directory, a line each, in fields separated by tabs:

======  ========================  ==================================================================
letter  fields                    meaning
======  ========================  ==================================================================
S       pid                       it begins
A       tag, step, series         the call that logged this has returned
P       tag, step, series         the disk refused then; it takes bytes again, and flush() returned
W       class, tag                a warning, with the tag if it is about steps
L       number                    events that a warning says are lost
X       number                    a signal handler raised its exception; odd while the disk refuses
E       text                      something went wrong
D       writers, children, moves  it is done; the numbers say what was in it
======  ========================  ==================================================================
"""

from __future__ import annotations

import collections
import contextlib
import faulthandler
import gc
import itertools
import logging
import os
import random
import re
import resource
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TextIO

import torch

from safewriter import RunDirectoryError, RunLockedError, SafeSummaryWriter
from tests.support import event_files
from tests.support.descriptors import open_descriptors

SERIES = ("a", "b")
ENDINGS = ("is killed", "closes all", "exits", "exits while threads log")

MOST_NESTED = 3
CHILD_SECONDS = 20
SLOTS = 5

_LOST = re.compile(r"(\d+) events? (?:could not be written|that did not fit)")
_TAG = re.compile(r"tag '([^']*)' (?:goes back|was logged twice)")


class Injected(KeyboardInterrupt):
    """What a signal handler raises."""


class InjectedTimeoutError(TimeoutError):
    """What another signal handler raises: it looks like an error of the system."""


_INJECTED = (Injected, InjectedTimeoutError)


@dataclass
class Options:
    """What there is in a round. It is drawn from the seed."""

    directories: int
    unique: list[bool]
    threads: int
    tags: int
    signal_seconds: float
    raises: type[BaseException] | None
    forks: bool
    moves: bool
    refusals: bool
    few_descriptors: bool
    switch_seconds: float

    @classmethod
    def draw(cls, seed: str) -> Options:
        """Return those of a seed."""
        rng = random.Random(f"options {seed}")
        directories = rng.randint(1, 3)
        signals = rng.random() < 0.75
        return cls(
            directories=directories,
            unique=[rng.random() < 0.6 for _ in range(directories)],
            threads=rng.randint(0, 3),
            tags=rng.choice([1, 2, 5]),
            signal_seconds=rng.choice([0.0005, 0.002, 0.01]) if signals else 0.0,
            raises=rng.choice([None, Injected, Injected, InjectedTimeoutError])
            if signals
            else None,
            forks=rng.random() < 0.5,
            moves=rng.random() < 0.4,
            refusals=rng.random() < 0.4,
            few_descriptors=rng.random() < 0.25,
            switch_seconds=rng.choice([1e-5, 1e-3, 5e-3]),
        )


class Journal:
    """Tells through the pipe what happened; a line is written as one, whoever writes."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY)

    def tell(self, *fields: object) -> None:
        """Write one line."""
        line = "\t".join(map(str, fields)).replace("\n", "\v")[:3000]
        os.write(self._descriptor, line.encode() + b"\n")

    def error(self, where: str, error: BaseException | None = None) -> None:
        """Tell what went wrong."""
        text = "" if error is None else "".join(traceback.format_exception(error))
        self.tell("E", f"{where}\n{text[-2500:]}")


class Round:
    """All that goes on in one process, and then in a forked child of it."""

    def __init__(self, seed: str, directory: Path, ending: str, seconds: float) -> None:
        self.seed = seed
        self.ending = ending
        self.options = Options.draw(seed)
        self.logs = directory / "logs"
        self.moved = directory / "moved"
        self.journal = Journal(str(directory / "journal"))
        self.end = time.monotonic() + seconds
        self.rng = random.Random(f"main {seed}")
        self.handler_rng = random.Random(f"handler {seed}")
        self.steps: dict[str, Iterator[int]] = collections.defaultdict(itertools.count)
        # The writers that everybody shares, each with the number of its directory.
        self.slots: list[tuple[Any, int] | None] = [None] * SLOTS
        self.stopped = False
        # In a forked child: what its tags end with, so that they are nobody else's.
        self.name = ""
        # Odd while the disk refuses, and until all that waited then has gone out.
        self.refusals = 0
        self.pending: collections.deque[tuple[str, int, tuple[str, ...]]] = collections.deque()
        # How far each worker is, the main thread first; None once it has ended.
        self.progress: list[int | None] = [0] * (1 + self.options.threads)
        self.main = threading.get_ident()
        self.armed = self.forking = False
        self.handlers = self.handlers_begun = 0
        self.children: collections.deque[tuple[int, float]] = collections.deque()
        self.numbers = itertools.count(1)
        self.made = self.moves = 0
        self.next_move = time.monotonic() + 0.3

    # What can be done with a writer.

    def log(self, tag: str, call: Callable[[int], object], series: tuple[str, ...] = ("",)) -> None:
        """Log the next step of a tag by `call`, and tell that it has returned."""
        tag += self.name
        step = next(self.steps[tag])
        before = self.refusals
        call(step)
        if before == self.refusals and not before % 2:
            for name in series:
                self.journal.tell("A", tag, step, name)
        else:
            self.pending.append((tag, step, series))

    def scalar(self, writer: Any, tag: str) -> None:
        """Log a point."""
        self.log(tag, lambda step: writer.add_scalar(tag + self.name, step / 2, step))

    def series(self, writer: Any, tag: str) -> None:
        """Log a point of each of two series."""
        self.log(
            tag,
            lambda step: writer.add_scalars(tag + self.name, {"a": step / 2, "b": step / 4}, step),
            SERIES,
        )

    def text(self, writer: Any, tag: str) -> None:
        """Log a text, now and then a long one."""
        tag = f"{tag}{self.name}"
        name = f"{tag}/text_summary"
        step = next(self.steps[name])
        before = self.refusals
        writer.add_text(tag, f"{step} " + "x" * (step % 7 * 3000), step)
        if before == self.refusals and not before % 2:
            self.journal.tell("A", name, step, "")
        else:
            self.pending.append((name, step, ("",)))

    def histogram(self, writer: Any, tag: str) -> None:
        """Log a histogram."""
        values = torch.arange(50.0)
        self.log(tag, lambda step: writer.add_histogram(tag + self.name, values, step))

    def log_something(self, rng: random.Random, found: tuple[Any, int], who: str) -> None:
        """Log something of any kind, to a tag that is shared, or one's own."""
        writer, number = found
        tag = f"d{number}/{rng.choice([who, 'shared'])}{rng.randrange(self.options.tags)}"
        kind = rng.random()
        if kind < 0.75:
            self.scalar(writer, tag)
        elif kind < 0.9:
            self.series(writer, f"{tag}s")
        elif kind < 0.96:
            self.text(writer, f"{tag}t")
        else:
            self.histogram(writer, f"{tag}h")

    def make(self, number: int) -> Any:
        """Make a writer, or return None where that is refused for a reason."""
        before = self.refusals
        self.made += 1
        unique = self.options.unique[number]
        try:
            writer: Any = SafeSummaryWriter(self.logs / f"d{number}", unique=unique)
        except RunLockedError:
            if not self.options.forks or unique:
                raise
            return None  # A child was quicker.
        except RunDirectoryError:
            if not (self.options.moves or before != self.refusals or before % 2):
                raise
            return None
        if before != self.refusals or before % 2:
            writer.flush()
        return writer

    def writer(self, rng: random.Random) -> tuple[Any, int] | None:
        """Return a shared writer, made if need be."""
        place = rng.randrange(SLOTS)
        found = self.slots[place]
        if found is None:
            number = rng.randrange(self.options.directories)
            writer = self.make(number)
            found = None if writer is None else (writer, number)
            self.slots[place] = found
        return found

    def do_something(self, rng: random.Random, who: str, *, may_exit: bool) -> None:
        """Do one thing, drawn at random."""
        found = self.writer(rng)
        if found is None:
            return
        kind = rng.random()
        if kind < 0.9:
            self.log_something(rng, found, who)
        elif kind < 0.92:
            found[0].close()
        elif kind < 0.94:
            found[0].flush()
        elif kind < 0.96:
            self.slots[rng.randrange(SLOTS)] = None  # Perhaps nobody has it any more.
        elif kind < 0.98:
            self.use_once(rng, who)
        elif kind < 0.985 and self.options.forks and not self.refusals % 2:
            self.fork(rng, may_exit=may_exit)
        elif self.options.moves and not self.name and time.monotonic() > self.next_move:
            self.next_move = time.monotonic() + rng.random() * 1.5
            self.move(rng)

    def use_once(self, rng: random.Random, who: str) -> None:
        """Make a writer, log with it, and close or forget it."""
        number = rng.randrange(self.options.directories)
        writer = self.make(number)
        if writer is not None:
            for _ in range(rng.randrange(4)):
                self.log_something(rng, (writer, number), who)
            if rng.random() < 0.5:
                writer.close()

    def move(self, rng: random.Random) -> None:
        """Move an event file, or a whole directory, away from the logs: there it can be read."""
        files = event_files(self.logs)
        if not files:
            return
        source = Path(rng.choice(files))
        target = self.moved / str(next(self.numbers)) / source.parent.name
        if rng.random() < 0.5:
            source = source.parent
        else:
            target = target / source.name
        target.parent.mkdir(parents=True)
        with contextlib.suppress(OSError):
            os.rename(source, target)
            self.moves += 1

    # Children.

    def fork(self, rng: random.Random, *, may_exit: bool) -> None:
        """Fork a child that logs and dies."""
        in_main = threading.get_ident() == self.main
        if len(self.children) > 3 or (in_main and self.forking):
            return
        number = next(self.numbers)
        # What Python does around a fork may not be interrupted by a handler that raises, or forks,
        # and Linux begins a fork anew at each signal.
        armed = self.armed
        if in_main:
            self.forking, self.armed = True, False
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        pid = os.fork()
        if pid == 0:
            self.be_child(number, may_exit=may_exit)
        self.children.append((pid, time.monotonic()))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        if in_main:
            self.forking, self.armed = False, armed

    def be_child(self, number: int, *, may_exit: bool) -> NoReturn:
        """Log in a forked child, and die."""
        self.armed = False
        self.name += f"@{number}"
        self.pending.clear()
        self.refusals = 0
        self.children.clear()
        _let_disk_take_all()
        rng = random.Random(f"{self.seed} {self.name}")
        try:
            for _ in range(rng.randrange(1, 40)):
                self.do_something(rng, "child", may_exit=False)
            for pid, _ in self.children:
                os.waitpid(pid, 0)
        except Exception as error:
            self.journal.error(f"in child {self.name}", error)
        how = rng.choice(["kill", "exit", "sys.exit"])
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "sys.exit" and may_exit:
            sys.exit(rng.choice([0, 3]))
        os._exit(0)

    def look_after_children(self, *, wait: bool = False) -> None:
        """Collect the children that have died; kill, and report, one that hangs."""
        for _ in range(len(self.children)):
            pid, since = self.children.popleft()
            while True:
                died, status = os.waitpid(pid, os.WNOHANG)
                if died or not wait or time.monotonic() > since + CHILD_SECONDS:
                    break
                time.sleep(0.01)
            if not died and time.monotonic() > since + CHILD_SECONDS:
                self.journal.error(f"child {pid} hangs")
                os.kill(pid, signal.SIGUSR1)  # for faulthandler
                time.sleep(0.5)
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            elif not died:
                self.children.append((pid, since))
            elif os.waitstatus_to_exitcode(status) not in (0, 3, -signal.SIGKILL):
                self.journal.error(f"child {pid} died with {os.waitstatus_to_exitcode(status)}")

    # The workers.

    def attempt(self, what: str, call: Callable[[], object]) -> None:
        """Call; what it raises, and nobody has injected, is an error."""
        try:
            call()
        except (*_INJECTED, SystemExit):
            raise
        except BaseException as error:
            self.journal.error(what, error)

    def work(self, number: int) -> None:
        """Do one thing after another in a thread."""
        rng = random.Random(f"thread {number} {self.seed}")
        while not self.stopped:
            self.progress[number] = (self.progress[number] or 0) + 1
            self.attempt(
                f"in thread {number}",
                lambda: self.do_something(rng, f"thread{number}", may_exit=False),
            )
        self.progress[number] = None

    def work_in_main(self) -> None:
        """Do one thing after another, while signal handlers come in and may raise."""
        while time.monotonic() < self.end:
            self.progress[0] = (self.progress[0] or 0) + 1
            try:
                self.armed = True
                self.attempt("in main", lambda: self.do_something(self.rng, "main", may_exit=True))
                self.armed = False
            except _INJECTED:
                self.handlers = 0
                self.journal.tell("X", self.refusals)
        self.progress[0] = None

    def handle(self, *_: object) -> None:
        """Handle a signal."""
        if self.handlers >= MOST_NESTED or self.name:
            return
        self.handlers_begun += self.handlers == 0
        self.handlers += 1
        try:
            self.attempt("in a handler", self.handle_somehow)
        finally:
            self.handlers = max(self.handlers - 1, 0)

    def handle_somehow(self) -> None:
        """Log, mostly."""
        rng = self.handler_rng
        kind = rng.random()
        found = self.slots[rng.randrange(SLOTS)]
        if kind < 0.7 and found is not None:
            self.log_something(rng, found, f"handler{self.handlers}")
        elif kind < 0.75 and found is not None:
            found[0].close()
        elif kind < 0.8 and found is not None:
            found[0].flush()
        elif kind < 0.83:
            self.use_once(rng, f"handler{self.handlers}")
        elif kind < 0.84 and self.options.forks and not self.refusals % 2:
            # A SystemExit could go unseen here, in a finalizer for example.
            self.fork(rng, may_exit=False)
        elif kind > 0.9 and self.armed and self.options.raises is not None:
            self.armed = False
            raise self.options.raises

    def supervise(self) -> None:
        """Look after the children, and have the disk refuse for a moment now and then."""
        rng = random.Random(f"disk {self.seed}")
        stopped = threading.Event()
        while not self.stopped:
            self.attempt("children", self.look_after_children)
            self.attempt("threads", self.look_for_threads)
            if self.options.refusals and rng.random() < 0.08:
                self.attempt("disk", lambda: self.refuse_for_a_moment(rng))
            stopped.wait(0.1)

    def refuse_for_a_moment(self, rng: random.Random) -> None:
        """Have the disk refuse; then have all go out that waited, and tell it."""
        sizes = [0]
        with contextlib.suppress(OSError):  # The file may be moved away in this moment.
            sizes = [os.path.getsize(file) for file in event_files(self.logs)]
        size = rng.choice([0, rng.choice(sizes or [0]) + rng.randrange(100)])
        self.refusals += 1
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        threading.Event().wait(rng.random() ** 2)
        _let_disk_take_all()
        self.all_have_gone_on()
        waited = list(self.pending)
        for found in list(self.slots):
            if found is not None:
                found[0].flush()
        self.all_have_gone_on()
        for _ in waited:
            self.tell_pending(self.pending.popleft())
        self.refusals += 1

    def tell_pending(self, event: tuple[str, int, tuple[str, ...]]) -> None:
        """Tell that an event has to be there by now."""
        tag, step, series = event
        for name in series:
            self.journal.tell("P", tag, step, name)

    def all_have_gone_on(self) -> None:
        """Wait until all have ended what they are doing now."""
        before, handlers = list(self.progress), self.handlers_begun
        for number, value in enumerate(before):
            while value is not None and self.progress[number] == value:
                time.sleep(0.001)
        while self.handlers and handlers == self.handlers_begun:
            time.sleep(0.001)

    def look_for_threads(self) -> None:
        """Report a thread that is not ours: tensorboard's writer would make one."""
        ours = {"MainThread", "supervisor", *(f"worker {n}" for n in range(9))}
        for thread in threading.enumerate():
            if thread.name not in ours:
                self.journal.error(f"there is a thread {thread!r}")

    # From the beginning to the end.

    def run(self) -> None:
        """Play the round."""
        before = open_descriptors()
        self.journal.tell("S", os.getpid())
        workers = [
            threading.Thread(target=self.work, args=[n], name=f"worker {n}", daemon=True)
            for n in range(1, 1 + self.options.threads)
        ]
        supervisor = threading.Thread(target=self.supervise, name="supervisor", daemon=True)
        for thread in (*workers, supervisor):
            thread.start()
        if self.options.signal_seconds:
            signal.signal(signal.SIGALRM, self.handle)
            signal.setitimer(signal.ITIMER_REAL, 0.1, self.options.signal_seconds)
        self.work_in_main()
        signal.setitimer(signal.ITIMER_REAL, 0)
        if self.ending != "exits while threads log":
            self.stopped = True
            for thread in (*workers, supervisor):
                thread.join()
            self.look_after_children(wait=True)
        if self.ending == "closes all":
            self.close_all()
            self.look_for_threads()
            left = open_descriptors().items() - before.items()
            if left:
                self.journal.error(f"left open: {sorted(left)}")
        self.journal.tell("D", self.made, next(self.numbers) - 1, self.moves)

    def close_all(self) -> None:
        """Close every writer: what the disk refused once has to be there then."""
        gc.collect()  # A writer that is garbage leaves by the end of the next call at the latest.
        for found in self.slots:
            if found is not None:
                self.attempt("at the end", found[0].close)
        self.slots.clear()
        gc.collect()
        while self.pending:
            self.tell_pending(self.pending.popleft())


def _let_disk_take_all() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


class _Errors(logging.Handler):
    """Reports what the package logs as an error."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.ERROR)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, _INJECTED):
            self._journal.error(record.getMessage(), error)


def report_all(journal: Journal) -> None:
    """Have every warning, and every error that nobody would see, told in the journal."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = str(message)
        tag = _TAG.search(text)
        journal.tell("W", category.__name__, tag.group(1) if tag else text)
        for lost in _LOST.findall(text):
            journal.tell("L", lost)

    def unraisable(what: Any) -> None:
        if not isinstance(what.exc_value, _INJECTED):
            journal.error(f"raised where nobody sees it, in {what.object!r}", what.exc_value)

    warnings.simplefilter("always")
    warnings.showwarning = show
    sys.unraisablehook = unraisable
    threading.excepthook = lambda what: journal.error("a thread died", what.exc_value)
    logging.getLogger("safewriter").addHandler(_Errors(journal))


def main(seed: str, directory: str, ending: str, seconds: str) -> None:
    """Play one round."""
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    # What is loaded on the first use opens files of its own.
    first = SafeSummaryWriter(Path(directory) / "first", unique=False)
    first.add_histogram("weights", torch.arange(50.0), 1)
    first.add_text("note", "hello", 1)
    first.close()
    del first
    round_ = Round(seed, Path(directory), ending, float(seconds))
    report_all(round_.journal)
    sys.setswitchinterval(round_.options.switch_seconds)
    if round_.options.few_descriptors:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    round_.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
