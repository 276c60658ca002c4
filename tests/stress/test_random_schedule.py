"""Everything at once, in a random order: no event is lost, doubled or hidden, and nothing hangs.

What goes on in a round is in `random_round`, a program. Each round is a process of its own, which
is killed at a random instant or ends in one of three other ways. ``SAFEWRITER_STRESS_SEED`` (any
text) and ``SAFEWRITER_STRESS_MINUTES`` (5 by default) are for the long test.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
import random
import shutil
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

from safewriter.events import RunStatus, Verdict, read_records, run_record, run_status
from tests.programs.warm import WarmPython
from tests.stress.random_round import ENDINGS, Options
from tests.support import event_files

pytest_plugins = ["tests.programs.fixtures"]

PROGRAM = Path(__file__).with_name("random_round.py")

# Before the tests take them out of the environment.
SEED = os.environ.get("SAFEWRITER_STRESS_SEED", str(random.randrange(10**9)))
MINUTES = float(os.environ.get("SAFEWRITER_STRESS_MINUTES", "5"))

Key = tuple[str, int, str]
"""Tag, step, series."""

# What is written in the middle of these may be cut off.
CUT_OFF = ("is killed", "exits while threads log")


@dataclass
class Told:
    """What a round has told through its journal."""

    pid: int = 0
    logged: list[Key] = field(default_factory=list)
    waited: list[Key] = field(default_factory=list)
    warned: collections.Counter[str] = field(default_factory=collections.Counter)
    texts: dict[str, str] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    lost: int = 0
    raised: int = 0
    raised_on_refusal: int = 0
    errors: list[str] = field(default_factory=list)
    done: list[int] = field(default_factory=list)

    def read(self, line: str) -> None:
        """Note one line."""
        letter, *fields = line.split("\t")
        if letter in "AP":
            key = fields[0], int(fields[1]), fields[2]
            (self.logged if letter == "A" else self.waited).append(key)
        elif letter == "W":
            self.warned[fields[0]] += 1
            self.texts[fields[0]] = fields[1]
            if fields[0] == "StepOrderWarning":
                self.hidden.add(fields[1])
        elif letter == "L":
            self.lost += int(fields[0])
        elif letter == "X":
            self.raised += 1
            self.raised_on_refusal += int(fields[0]) % 2
        elif letter == "E":
            self.errors.append("\t".join(fields).replace("\v", "\n"))
        elif letter == "S":
            self.pid = int(fields[0])
        else:
            self.done = [int(number) for number in fields]


class Listener:
    """Reads the journal of a round, and kills the round when its time has come."""

    def __init__(self, path: Path, lives: float | None) -> None:
        os.mkfifo(path)
        self._copy = path.with_name("told").open("wb")
        self.told = Told()
        self._lives = lives
        self._ended = False
        # Open at once, so that the round need not wait.
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._lines: list[str] = []
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def end(self) -> Told:
        """Return what was told, all processes of the round having ended."""
        self._ended = True
        self._thread.join()
        os.close(self._descriptor)
        self._copy.close()
        return self.told

    def _listen(self) -> None:
        rest, die_at = b"", float("inf")
        while True:
            ended = self._ended
            data = b""
            with contextlib.suppress(BlockingIOError):
                data = os.read(self._descriptor, 1 << 20)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._copy.write(line + b"\n")
                self.told.read(line.decode())
            if self._lives is not None and self.told.pid and die_at == float("inf"):
                die_at = time.monotonic() + self._lives
            if time.monotonic() > die_at:
                die_at = float("-inf")
                self._lives = None
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.told.pid, signal.SIGKILL)
            if not data:
                if ended:
                    return
                time.sleep(0.002)


class Disk:
    """What a round has left on the disk: in the logs, and in what it moved away itself."""

    def __init__(self, directory: Path) -> None:
        self.problems: list[str] = []
        self.times: collections.Counter[Key] = collections.Counter()
        self.moved: set[Key] = set()
        # In the order in which a reader has them, by directory, tag and series.
        self.curves: dict[tuple[Path, str, str], list[int]] = collections.defaultdict(list)
        self.torn: list[Path] = []
        self.files = event_files(directory / "logs")
        for file in self.files:
            self._read(file, moved=False)
        # What waited when it was killed; it may have been written down a moment before.
        for file in (directory / "logs").rglob("waiting-*"):
            self._read(file, moved=False)
        self.moved_files = event_files(directory / "moved")
        for file in self.moved_files:
            self._read(file, moved=True)

    def _read(self, file: Path, *, moved: bool) -> None:
        events = 0
        for record in read_records(file):
            if record.verdict is Verdict.OK:
                events += 1
                self._note(file, Event.FromString(record.data), moved=moved)
            elif record.verdict is Verdict.TORN:
                self.torn.append(file)
            else:
                self.problems.append(f"{file} has {record.verdict} at {record.offset}")
        # TensorBoard's own reader has as many.
        if random.random() < 0.2:
            theirs = sum(1 for _ in EventFileLoader(str(file)).Load())
            if theirs != events:
                self.problems.append(f"{file} has {theirs} events for TensorBoard, not {events}")

    def _note(self, file: Path, event: Event, *, moved: bool) -> None:
        for value in event.summary.value:
            prefix = value.tag.replace("/", "_") + "_"
            is_waiting = file.name.startswith("waiting-")
            name = unquote(file.suffix[1:]) if is_waiting else file.parent.name
            series = name.removeprefix(prefix) if name.startswith(prefix) else ""
            key = value.tag, event.step, series
            if is_waiting and self.times[key]:
                continue
            if value.WhichOneof("value") == "simple_value":
                expected = event.step / (4 if series == "b" else 2)
                if value.simple_value != expected:
                    self.problems.append(f"{key} in {file} has the value {value.simple_value}")
            if moved:
                self.moved.add(key)
            else:
                self.times[key] += 1
            self.curves[file.parent, value.tag, series].append(event.step)


def problems_of(directory: Path, told: Told, options: Options, ending: str) -> list[str]:
    """Return what is wrong with what a round has left."""
    disk = Disk(directory)
    problems = told.errors + disk.problems
    there = disk.times.keys() | disk.moved
    problems += [f"acknowledged, and not there: {key}" for key in told.logged if key not in there]
    late = [key for key in told.waited if key not in there]
    # The exception may have been raised out of the warning.
    if len(late) > told.lost and not told.raised_on_refusal:
        problems.append(f"{told.lost} were said to be lost, but {len(late)} are: {late[:9]}")
    problems += [f"{times} times: {key}" for key, times in disk.times.items() if times > 1]
    # A record is torn where somebody died, or where the disk refused the rest to the end.
    may_be_torn = ending in CUT_OFF or told.lost
    problems += [f"torn: {file}" for file in disk.torn if file in disk.files and not may_be_torn]
    problems += falls(disk, told, certain=ending not in CUT_OFF and not told.raised)
    problems += [
        f"{times} times {name}: {told.texts[name]}"
        for name, times in told.warned.items()
        if name not in expected_warnings(options)
    ]
    if ending not in CUT_OFF and not options.moves and not options.refusals:
        problems += unfinished(directory / "logs", told.pid)
    return problems


def falls(disk: Disk, told: Told, *, certain: bool) -> list[str]:
    """Return the curves that go back, and nobody was told.

    If it is not `certain` that a call ends, the warning may have been due in one that did not.
    """
    acknowledged = {*told.logged, *told.waited}
    problems = []
    for (directory, tag, series), steps in disk.curves.items():
        fallen = [later for step, later in itertools.pairwise(steps) if later < step]
        all_sure = certain or all((tag, step, series) in acknowledged for step in fallen)
        # A text is told of by the name that it was given.
        is_told = tag.removesuffix("/text_summary") in told.hidden
        if fallen and not is_told and all_sure:
            problems.append(f"{tag} in {directory} falls to {fallen[:5]}, and nobody was told")
    return problems


def expected_warnings(options: Options) -> set[str]:
    """Return the warnings that there may be."""
    # An exception in os.walk() leaves a scandir() behind.
    found = {"StepOrderWarning", "SharedTagWarning", "EmptyRunWarning", "ResourceWarning"}
    if options.moves or options.refusals:
        found |= {"WriteErrorWarning"}
    if options.forks:
        found |= {"ForkedWriterWarning"}
    if options.forks or options.moves:
        found |= {"ReusedRunWarning"}
    return found


def unfinished(logs: Path, pid: int) -> list[str]:
    """Return the runs of a process that do not stand as finished, though it has ended well."""
    runs = [Path(at) for at, names, _ in os.walk(logs) if ".safewriter" in names]
    return [
        f"{run} stands as {run_status(run)}"
        for run in runs
        if (run_record(run) or {}).get("pid") == pid and run_status(run) is not RunStatus.FINISHED
    ]


def play(warm: WarmPython, directory: Path, seed: str, seconds: float) -> str:
    """Play one round, check what is left of it, and return what was in it.

    The directory is removed if all is well.
    """
    rng = random.Random(seed)
    ending = rng.choice(ENDINGS)
    lives = rng.random() * seconds if ending == "is killed" else None
    options = Options.draw(seed)
    directory.mkdir()
    listener = Listener(directory / "journal", lives)
    error = ""
    code = None
    stderr = ""
    try:
        done = warm.run(
            PROGRAM,
            cwd=directory,
            args=[seed, str(directory), ending, str(seconds)],
            deadline=seconds + 40,
            check=False,
        )
        code, stderr = done.returncode, done.stderr
    except AssertionError as failure:
        error = str(failure)
    told = listener.end()
    problems = [error] if error else problems_of(directory, told, options, ending)
    # Python before 3.14 ends threads in the middle of C++ code, which ends the process.
    aborted = ending == "exits while threads log" and "terminate called without" in stderr
    expected = -signal.SIGKILL if ending == "is killed" else -signal.SIGABRT if aborted else 0
    if not error and code != expected:
        problems.append(f"exit code {code}")
    if problems:
        shown = "\n".join(problems[:20])
        pytest.fail(
            f"round {seed}, which {ending}, in {directory}: {len(problems)} problems\n{options}\n"
            f"{told.warned}\n{shown}\n--- stderr\n{stderr}",
            pytrace=False,
        )
    shutil.rmtree(directory)
    return (
        f"{seed} {ending}: {len(told.logged)} events, {len(told.waited)} had to wait, "
        f"{told.raised} exceptions; writers, children, moves: {told.done}"
    )


@pytest.mark.parametrize("seed", ["1", "2", "3", "4", "5"])
def test_a_short_round(warm, tmp_path, seed):
    """Two seconds of everything: what is acknowledged is there once, and nothing is hidden."""
    print(play(warm, tmp_path / "round", seed, 2))


@pytest.mark.stress
def test_many_rounds(warm, tmp_path, capsys):
    """The same for minutes, in rounds of a few seconds."""
    with capsys.disabled():
        print(f"\nSAFEWRITER_STRESS_SEED={SEED}, for {MINUTES} minutes")
    end = time.monotonic() + 60 * MINUTES
    for number in itertools.count():
        if time.monotonic() > end:
            break
        seed = f"{SEED}.{number}"
        seen = play(warm, tmp_path / f"round{number}", seed, random.Random(seed).uniform(1, 4))
        with capsys.disabled():
            print(seen)
