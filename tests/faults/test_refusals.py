"""A disk that refuses: nothing is lost that it takes in the end, and what is lost is counted."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from safewriter import SafeSummaryWriter, WriteErrorWarning
from safewriter._disk.event_file import EventFile
from safewriter.events import RunStatus, run_status
from tests.programs.warm import WarmPython
from tests.support import event_bytes as eb
from tests.support import event_files, read_events, read_scalars
from tests.support.both_readers import BothReaders
from tests.support.faults import TinyDisk, file_size_limit

#: What stands before each script that runs in a process with a faulty write(2).
PRELUDE = """
    import errno, json, sys, warnings
    from safewriter import SafeSummaryWriter
    from tests.support.faults import Faults
    faults = Faults()
    given = []
    warnings.simplefilter("always")
    warnings.showwarning = lambda message, category, *rest: given.append(
        [category.__name__, str(message)]
    )
    writer = SafeSummaryWriter("logs")
    def log(*steps):
        for step in range(*steps):
            writer.add_scalar("loss", step / 2, step)
    def done():
        print(json.dumps({"log_dir": writer.log_dir, "given": given, "refused": faults.refused}))
"""


class Done:
    """What a script reported at its end."""

    def __init__(self, stdout: str) -> None:
        answer = json.loads(stdout.splitlines()[-1])
        self.run = Path(answer["log_dir"])
        self.given: list[tuple[str, str]] = [tuple(pair) for pair in answer["given"]]
        self.refused: int = answer["refused"]

    @property
    def texts(self) -> list[str]:
        """The texts of the warnings, all of which are WriteErrorWarnings."""
        assert {name for name, _ in self.given} <= {"WriteErrorWarning"}, self.given
        return [text for _, text in self.given]


@pytest.fixture
def script(faulty: WarmPython, tmp_path: Path) -> Callable[..., Done]:
    """Run a script behind `PRELUDE`."""

    def run(code: str, **env: str) -> Done:
        indented = "".join(f"    {line}\n" for line in code.strip().splitlines())
        done = faulty.run(PRELUDE + indented + "    done()\n", cwd=tmp_path, env=env)
        assert done.stderr == ""
        return Done(done.stdout)

    return run


Warned = list[warnings.WarningMessage]


@pytest.fixture
def warned() -> Iterator[Warned]:
    """Record the warnings of the test instead of raising them."""
    with warnings.catch_warnings(record=True) as warned_:
        warnings.simplefilter("always")
        yield warned_


def texts(warned: Warned) -> list[str]:
    """Return the texts of the warnings, all of which are WriteErrorWarnings."""
    assert {warning.category for warning in warned} <= {WriteErrorWarning}, warned
    return [str(warning.message) for warning in warned]


def points(count: int, first: int = 0) -> list[tuple[int, float]]:
    """Return the curve that `log` writes."""
    return [(step, step / 2) for step in range(first, count)]


@pytest.mark.parametrize(
    ("name", "accept"),
    [
        ("ENOSPC", 0),
        ("ENOSPC", 57),
        ("EDQUOT", 1),
        ("EIO", 20),
        ("EFBIG", 13),
        ("EROFS", 0),
        ("EAGAIN", 3),
    ],
)
def test_whatever_the_disk_says_it_gets_everything_in_order(script, name, accept):
    """The write goes on at its very byte; refusal and recovery are told once, with counts."""
    done = script(
        f"""
log(10)
faults.set(errno.{name}, accept={accept})
log(10, 40)
writer.add_text("note", "full")
faults.clear()
writer.flush()
log(40, 50)
writer.close()
"""
    )
    assert len(event_files(done.run)) == 1
    events = read_events(done.run)
    assert [event.step for event in events[1:]] == [*range(40), 0, *range(40, 50)]
    assert read_scalars(done.run)["loss"] == points(50)
    refused, accepted = done.texts
    number = getattr(errno, name)
    assert os.strerror(number) in refused
    assert f"errno {number}" in refused
    assert "1 event and what is logged next wait in memory, up to 64 MiB" in refused
    waited = 31 - (accept == 57)  # The first refused event fitted in 57 bytes.
    assert f"{waited} events that waited went out in order; 0 events" in accepted


def test_short_writes_are_continued_in_silence(script):
    """A disk that takes seven bytes at a time gets every record whole, from several threads."""
    done = script(
        """
import threading
faults.set(most=7)
def work(name):
    for step in range(200):
        writer.add_scalar(name, step / 2, step)
threads = [threading.Thread(target=work, args=(f"loss/{n}",)) for n in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
writer.close()
"""
    )
    assert read_scalars(done.run) == {f"loss/{number}": points(200) for number in range(4)}
    assert done.texts == []


def test_an_interrupted_write_is_no_refusal(script):
    """EINTR is tried again at once and not worth a word."""
    done = script("faults.set(errno.EINTR, count=5)\nlog(10)\nwriter.close()")
    assert read_scalars(done.run)["loss"] == points(10)
    assert done.refused == 5
    assert done.texts == []


def test_a_refusing_disk_is_not_asked_each_time(script):
    """10,000 calls try the disk a few times only; the next one that does finds it accepting."""
    done = script(
        """
faults.set(errno.ENOSPC, accept=0)
log(10_000)
refused = faults.refused
assert 1 <= refused < 100, refused
faults.clear()
writer.close()
"""
    )
    assert read_scalars(done.run)["loss"] == points(10_000)


def test_what_never_went_out_is_counted_at_close(script):
    """close() does not raise; its warning has the exact number, and the file ends cleanly."""
    done = script(
        """
log(10)
faults.set(errno.ENOSPC, accept=30)
log(10, 25)
writer.close()
faults.clear()
log(25, 30)
writer.close()
"""
    )
    steps = [step for step, _ in points(10) + points(30, 25)]
    assert [step for step, _ in read_scalars(done.run)["loss"]] == steps
    assert [event.step for event in read_events(done.run) if event.HasField("summary")] == steps
    refused, lost = done.texts
    assert "No space left on device" in refused
    assert "15 events could not be written" in lost
    # Nothing may follow half a record, so the run went on in another file.
    assert len(event_files(done.run)) == 2


def test_what_never_went_out_is_counted_at_exit(faulty, faults, tmp_path):
    """A process that ends without close() says on stderr what is lost, and exits with 0."""
    done = faulty.run(
        PRELUDE + "    faults.set(errno.EIO, accept=0)\n    log(7)\n"
        "    warnings.showwarning = lambda m, *rest: print(m, file=sys.stderr)\n",
        cwd=tmp_path,
    )
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("7 events could not be written to ")


def test_an_escalated_warning_raises_once_and_loses_nothing(script):
    """A user who wants the exception gets it from the call that was refused."""
    done = script(
        """
import safewriter
warnings.filterwarnings("error", category=safewriter.WriteErrorWarning)
log(10)
faults.set(errno.ENOSPC, accept=10)
raised = 0
for step in range(10, 20):
    try:
        log(step, step + 1)
    except safewriter.WriteErrorWarning:
        raised += 1
assert raised == 1, raised
faults.clear()
try:
    writer.flush()
except safewriter.WriteErrorWarning:
    raised += 1
assert raised == 2, raised
writer.close()
"""
    )
    assert read_scalars(done.run)["loss"] == points(20)


def test_memory_is_bounded_and_the_oldest_events_are_kept(script):
    """Past SAFEWRITER_BACKLOG_MB new events are dropped and counted; no byte of it is exceeded."""
    done = script(
        """
import tracemalloc
faults.set(errno.ENOSPC, accept=0)
log(1, 200)
tracemalloc.start()
log(200, 30_000)
_, peak = tracemalloc.get_traced_memory()
tracemalloc.stop()
assert peak < 1.2 * 2**20, peak
faults.clear()
writer.flush()
log(30_000, 30_010)
writer.close()
""",
        SAFEWRITER_BACKLOG_MB="1",
    )
    steps = [step for step, _ in read_scalars(done.run)["loss"]]
    kept = len(steps) - 10
    assert steps == [*range(1, kept + 1), *range(30_000, 30_010)]
    assert 5_000 < kept < 20_000
    assert "up to 1 MiB" in done.texts[0]
    assert f"{kept} events that waited went out in order" in done.texts[1]
    assert f"{29_999 - kept} events that did not fit in memory are lost" in done.texts[1]


def test_the_bound_is_one_for_all_files_of_the_process(script):
    """A hundred series that wait together hold no more than one, and what they drop is counted."""
    done = script(
        """
import re
names = [f"s{number}" for number in range(100)]
writer.add_scalars("all", dict.fromkeys(names, 0.5), 0)
faults.set(errno.ENOSPC, accept=0)
for step in range(1, 200):
    writer.add_scalars("all", dict.fromkeys(names, step / 2), step)
faults.clear()
writer.flush()
writer.close()
lost = [int(found[1]) for _, text in given if (found := re.search(r"; (\\d+) event", text))]
print(sum(lost))
""",
        SAFEWRITER_BACKLOG_MB="0.5",
    )
    written = [len(read_scalars(run)["all"]) for run in done.run.glob("all_*")]
    assert len(written) == 100
    assert 3_000 < sum(written) < 10_000


@pytest.mark.parametrize("setting", ["much", "-1", "nan"])
def test_a_wrong_setting_is_told_when_the_writer_is_made(monkeypatch, tmp_path, setting):
    """The error names the variable, the value and what it should be."""
    monkeypatch.setenv("SAFEWRITER_BACKLOG_MB", setting)
    with pytest.raises(ValueError, match=f"SAFEWRITER_BACKLOG_MB is '{setting}', but must be"):
        SafeSummaryWriter(tmp_path)


def test_a_full_disk_that_is_freed(disk: TinyDisk, warned):
    """What is logged while it is full is shown, live and after a restart of both readers."""
    logs = disk.directory
    with SafeSummaryWriter(logs, unique=False) as writer, BothReaders(logs) as tensorboard:
        for step in range(100):
            writer.add_scalar("loss", step / 2, step)
        disk.fill()
        for step in range(100, 600):
            writer.add_scalar("loss", step / 2, step)
            writer.flush()
        writer.add_histogram("weights", torch.arange(100.0), 1)
        writer.add_image("picture", torch.rand(3, 20, 20), 2)
        assert "No space left on device" in texts(warned)[0]
        disk.free()
        writer.flush()
        for step in range(600, 700):
            writer.add_scalar("loss", step / 2, step)
        assert len(texts(warned)) == 2
        for shown in tensorboard.shown().values():
            assert shown.scalars["."]["loss"] == points(700)
            assert shown.histograms["."]["weights"] == [1]
            assert shown.images["."]["picture"] == [2]
        tensorboard.restart()
        for shown in tensorboard.shown().values():
            assert shown.scalars["."]["loss"] == points(700)
    assert len(event_files(logs)) == 1
    assert [event.step for event in read_events(logs)][1:] == [*range(600), 1, 2, *range(600, 700)]


def test_a_writer_made_on_a_full_disk(disk: TinyDisk, warned):
    """What it logs, series and hyperparameters too, waits until there is room."""
    disk.fill()
    with SafeSummaryWriter(disk.directory, unique=False) as writer:
        for step in range(10):
            writer.add_scalar("loss", step / 2, step)
            writer.add_scalars("all", {"a": step / 2, "b": step / 2}, step)
        writer.add_text("note", "hello")
        disk.free()
    assert read_scalars(disk.directory)["loss"] == points(10)
    for series in "ab":
        assert read_scalars(disk.directory / f"all_{series}")["all"] == points(10)
    assert len(texts(warned)) == 6  # A refusal and a recovery for each of three files.


def test_a_run_that_ends_on_a_full_disk(disk: TinyDisk, warned):
    """Nothing is left of the record that could not be written, and the earlier one stays whole."""
    writer = SafeSummaryWriter(disk.directory, unique=False)
    writer.add_scalar("loss", 0.0, 0)
    disk.fill()
    writer.add_text("note", "x" * 10_000, 0)
    writer.close()
    assert {path.name for path in (disk.directory / ".safewriter").iterdir()} == {
        "lock",
        "run.json",
    }
    assert run_status(disk.directory) is RunStatus.CRASHED
    assert read_scalars(disk.directory) == {"loss": [(0, 0.0)]}
    assert len(texts(warned)) == 2


def test_a_file_system_without_inodes(disk: TinyDisk, warned):
    """Series and sub-runs whose directories cannot be made do not raise; the series wait."""
    with SafeSummaryWriter(disk.directory, unique=False) as writer:
        writer.add_scalar("loss", 0.0, 0)
        series = {f"s{number}": 0.5 for number in range(5)}
        disk.remount("nr_inodes=10")
        for number in range(10):
            with contextlib.suppress(OSError):
                (disk.directory / f"empty{number}").touch()
        for step in range(3):
            writer.add_scalars("all", series, step)
        writer.add_hparams({"lr": 0.1}, {"score": 1.0}, run_name="trial")
        disk.remount("nr_inodes=1000")
        for step in range(3, 6):
            writer.add_scalars("all", series, step)
    for name in series:
        steps = [step for step, _ in read_scalars(disk.directory / f"all_{name}")["all"]]
        assert steps == [*range(6)]
    assert any("hyperparameters" in text and "are lost" in text for text in texts(warned))


def test_a_read_only_file_system(disk: TinyDisk, warned):
    """A file that cannot be opened again is waited for, and goes on where it ended."""
    with SafeSummaryWriter(disk.directory, unique=False) as writer:
        writer.add_scalar("loss", 0.0, 0)
        writer.close()
        disk.remount("ro")
        for step in range(1, 20):
            writer.add_scalar("loss", step / 2, step)
        writer.add_scalars("all", {"a": 0.5}, 0)
        disk.remount("rw")
        writer.flush()
        writer.add_scalar("loss", 10.0, 20)
        writer.add_scalars("all", {"a": 1.5}, 1)
    assert len(event_files(disk.directory)) == 2
    assert read_scalars(disk.directory)["loss"] == points(21)
    assert read_scalars(disk.directory / "all_a")["all"] == [(0, 0.5), (1, 1.5)]


Step = tuple[int, int | None]


@given(
    st.lists(
        st.tuples(st.integers(0, 300), st.none() | st.integers(0, 60)), min_size=1, max_size=30
    )
)
def test_any_pattern_of_refusals_keeps_every_record(tmp_path_factory, steps: list[Step]):
    """Wherever the kernel cuts a write, the bytes on disk only grow, and at last hold every record.

    A step is the size of a payload and the bytes that the disk still takes (None: any number).
    """
    directory = tmp_path_factory.mktemp("run")
    file = EventFile(str(directory))
    payloads = [eb.scalar_event("t" * size, 0.5, number) for number, (size, _) in enumerate(steps)]
    before = b""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.open()
        (path,) = event_files(directory)
        for payload, (_, room) in zip(payloads, steps, strict=True):
            size = path.stat().st_size
            with file_size_limit(2**40 if room is None else size + room):
                file.append(payload, 0.0)
                file.flush()
            after = path.read_bytes()
            assert after.startswith(before)
            before = after
        file.close()
    data = path.read_bytes()
    assert data.startswith(before)
    assert data.endswith(b"".join(map(eb.frame, payloads)))
