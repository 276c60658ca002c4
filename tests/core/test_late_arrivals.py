"""What arrives between two steps of another thread, or of the same one, at one certain place."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import time
from typing import Any

import pytest
from tensorboard.compat.proto.event_pb2 import Event

from safewriter import SafeSummaryWriter
from safewriter._disk import event_file, open_files
from safewriter._disk.directories import make_directories
from safewriter._ledger.ledger import TagLedger, TagState, Verdict
from safewriter._run import run
from safewriter._run.round import Round
from safewriter._run.run import Member
from safewriter._torch import file_writer
from safewriter.events import RunStatus, read_events, read_scalars, run_status
from tests.support.descriptors import open_descriptors
from tests.support.interrupts import Interrupts


@pytest.mark.parametrize("times", range(1, 7))
def test_a_series_that_is_made_while_its_run_is_closed(tmp_path, monkeypatch, times):
    """A run that is closed behind the check that it is open, however often, is opened again for a
    new series, and nothing stays open in the end.
    """
    writer = SafeSummaryWriter(tmp_path, unique=False)
    writer.add_scalar("loss", 0.5, 1)
    ready, closed = run.ready, 0

    def close_behind(member: Member) -> int:
        nonlocal closed
        generation = ready(member)
        if closed < times:
            closed += 1
            writer.close()
        return generation

    monkeypatch.setattr(file_writer, "ready", close_behind)
    writer.add_scalars("all", {"a": 0.5}, 1)
    assert closed
    writer.close()
    assert read_scalars(tmp_path / "all_a")["all"].steps.tolist() == [1]
    assert run_status(tmp_path) is RunStatus.FINISHED
    assert not [path for path in open_descriptors().values() if path.startswith(str(tmp_path))]


@pytest.mark.filterwarnings("ignore::safewriter.EmptyRunWarning")  # closed before its first event
@pytest.mark.parametrize("times", range(1, 7))
def test_a_writer_that_moves_while_it_is_closed(tmp_path, monkeypatch, times):
    """The same for a writer whose steps start over, which moves it to a run that is new."""
    with SafeSummaryWriter(tmp_path) as first:
        first.add_scalar("loss", 0.5, 5)
    writer = SafeSummaryWriter(tmp_path)
    ready, closed = run.ready, 0

    def close_behind(member: Member) -> int:
        nonlocal closed
        generation = ready(member)
        if closed < times and member.run.directory != first.log_dir:
            closed += 1
            writer.close()
        return generation

    monkeypatch.setattr(file_writer, "ready", close_behind)
    writer.add_scalar("loss", 0.5, 1)
    assert closed
    assert read_scalars(writer.log_dir)["loss"].steps.tolist() == [1]
    writer.close()
    assert run_status(writer.log_dir) is RunStatus.FINISHED
    assert not [path for path in open_descriptors().values() if path.startswith(str(tmp_path))]


def test_a_tag_is_not_told_from_itself(monkeypatch):
    """A tag that is noted while its spelling is judged is no other spelling of itself."""
    ledger = TagLedger()
    judge_spelling = ledger._judge_spelling

    def note_first(verdict: Verdict) -> None:
        ledger.tags[verdict.tag] = TagState("scalar", 1)
        judge_spelling(verdict)

    monkeypatch.setattr(ledger, "_judge_spelling", note_first)
    assert ledger.judge("loss", "scalar", 2, 0.5).notices == []


def test_a_descriptor_that_is_dropped_while_a_handler_times_out_is_closed(tmp_path, monkeypatch):
    """A handler raises TimeoutError while a descriptor is collected: its file is closed anyway."""
    descriptor, identity = open_files.Descriptor(), open_files.identity
    descriptor.open(str(tmp_path / "file"), os.O_WRONLY | os.O_CREAT)
    raised: list[TimeoutError] = []

    def times_out_once(status):
        if not raised:
            raised.append(TimeoutError("by a signal handler"))
            raise raised[0]
        return identity(status)

    monkeypatch.setattr(open_files, "identity", times_out_once)
    del descriptor
    assert raised
    assert not [path for path in open_descriptors().values() if str(tmp_path) in path]


@pytest.mark.parametrize("method", ["_take_turn", "_let_go"])
@pytest.mark.parametrize("call", ["release_descriptor", "close", "relocate"])
def test_a_handler_whose_own_write_was_interrupted(tmp_path, monkeypatch, method, call):
    """A signal handler comes in at the entry of a method, another one raises behind its write, and
    it goes on: what it wrote is in the files once.
    """
    file = event_file.EventFile(str(tmp_path / "a"))
    file.open()
    payload = Event(step=7).SerializeToString()
    entered, write = getattr(event_file.EventFile, method), os.write

    def write_and_raise(number: int, data: bytes) -> int:
        write(number, data)
        raise TimeoutError("by another signal handler")

    def enter(self: event_file.EventFile, *arguments: Any, **more: Any) -> Any:
        monkeypatch.setattr(event_file.EventFile, method, entered)
        monkeypatch.setattr(os, "write", write_and_raise)
        with contextlib.suppress(TimeoutError):
            file.append(payload, time.time())
        monkeypatch.setattr(os, "write", write)
        return entered(self, *arguments, **more)

    monkeypatch.setattr(event_file.EventFile, method, enter)
    getattr(file, call)(*[str(tmp_path / "b")] if call == "relocate" else [])
    file.close(1)
    steps = [event.step for path in tmp_path.rglob("*tfevents*") for event in read_events(path)]
    assert steps.count(7) == 1


def test_a_handler_that_times_out_while_a_directory_is_looked_at(tmp_path, monkeypatch):
    """Its TimeoutError is not taken for a file that is in the way."""

    def times_out(*_: Any, **__: Any) -> Any:
        raise TimeoutError("by a signal handler")

    monkeypatch.setattr(os, "stat", times_out)
    with pytest.raises(TimeoutError):
        make_directories(str(tmp_path))
    monkeypatch.undo()
    make_directories(str(tmp_path / "a" / "b"))
    make_directories(str(tmp_path / "a" / "b"))
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        make_directories(str(tmp_path / "file"))


def test_a_handler_that_raises_while_a_writer_is_collected(tmp_path, monkeypatch):
    """A writer that is dropped leaves, wherever a handler raises meanwhile and nobody sees it."""
    # Pytest's own would keep what is raised, and with it all that was in use there.
    monkeypatch.setattr(sys, "unraisablehook", lambda what: None)

    def interrupt() -> None:
        raise KeyboardInterrupt

    def drop_a_writer(place: int) -> int:
        writers = [SafeSummaryWriter(tmp_path / str(place))]
        writers[0].add_scalar("loss", 0.5, 1)
        interrupts = Interrupts(interrupt, {place})
        interrupts.run(writers.clear)
        return interrupts.places

    places = drop_a_writer(0)
    for place in range(1, places + 1):
        drop_a_writer(place)
    gc.collect()  # what was raised
    assert places > 10
    assert not [path for path in open_descriptors().values() if str(tmp_path) in path]


def test_a_writer_that_is_collected_while_another_one_is_closed(tmp_path, monkeypatch):
    """A writer that becomes garbage in the middle of closing another one leaves when that ends."""
    first, second = SafeSummaryWriter(tmp_path / "a"), SafeSummaryWriter(tmp_path / "a")
    dropped = [SafeSummaryWriter(tmp_path / "b")]
    first.add_scalar("loss", 0.5, 1)
    dropped[0].add_scalar("loss", 0.5, 1)
    leave = Member.leave

    def drop_and_leave(member: Member) -> None:
        dropped.clear()
        leave(member)

    monkeypatch.setattr(Member, "leave", drop_and_leave)
    first.close()
    assert not [path for path in open_descriptors().values() if str(tmp_path / "b") in path]
    second.close()


def test_a_writer_that_leaves_while_what_waited_is_written(tmp_path, monkeypatch):
    """A writer is closed while another thread writes down what waited of it: nothing stays open."""
    with SafeSummaryWriter(tmp_path) as first:
        first.add_scalar("loss", 0.5, 1)
        first.add_scalar("loss", 0.5, 2)
    newcomer = SafeSummaryWriter(tmp_path)
    newcomer.add_scalar("accuracy", 0.5, 1)
    write_down = Round._write_down
    closed: list[bool] = []

    def close_first(*args: Any) -> None:
        if not closed:
            closed.append(True)
            newcomer.close()
        write_down(*args)

    monkeypatch.setattr(Round, "_write_down", close_first)
    first.add_scalar("loss", 0.5, 3)
    first.close()
    assert read_scalars(first.log_dir)["accuracy"].steps.tolist() == [1]
    assert run_status(first.log_dir) is RunStatus.FINISHED
    assert not [path for path in open_descriptors().values() if path.startswith(str(tmp_path))]


def test_a_file_that_is_opened_again_behind_an_interrupted_close(tmp_path, monkeypatch):
    """A handler raises right behind close(2); the same file is opened under the same number: it
    stays open when what was interrupted is collected.
    """
    path, close = str(tmp_path / "file"), os.close
    first, second = open_files.Descriptor(), open_files.Descriptor()
    first.open(path, os.O_WRONLY | os.O_CREAT)
    number = first.number

    def close_and_raise(number: int) -> None:
        close(number)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "close", close_and_raise)
        first.close()
    second.open(path, os.O_WRONLY)
    assert second.number == number
    del first
    assert second.is_ours()
    second.close()


def test_a_round_whose_end_is_interrupted(tmp_path, monkeypatch):
    """A handler raises right before the end of writing down what waited: the next call ends it."""
    with SafeSummaryWriter(tmp_path) as first:
        first.add_scalar("loss", 0.5, 1)
        first.add_scalar("loss", 0.5, 2)
    newcomer = SafeSummaryWriter(tmp_path)
    newcomer.add_scalar("accuracy", 0.5, 1)

    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Round, "_end", interrupt)
        patched.setattr(Member, "leave", interrupt)
        with pytest.raises(KeyboardInterrupt):
            first.add_scalar("loss", 0.5, 3)
    first.close()
    newcomer.close()
    assert read_scalars(first.log_dir)["accuracy"].steps.tolist() == [1]
    assert run_status(first.log_dir) is RunStatus.FINISHED
    assert not [path for path in open_descriptors().values() if path.startswith(str(tmp_path))]


def test_a_writer_that_left_its_round_before_it_was_interrupted(tmp_path, monkeypatch):
    """A collected writer whose leaving is cut short behind its round leaves by the next call."""
    with SafeSummaryWriter(tmp_path) as first:
        first.add_scalar("loss", 0.5, 1)
        first.add_scalar("loss", 0.5, 2)
    dropped, newcomer = SafeSummaryWriter(tmp_path), SafeSummaryWriter(tmp_path)
    leave = Round.leave
    left: list[bool] = []

    def leave_and_interrupt(*args: Any) -> None:
        leave(*args)
        left.append(True)
        if len(left) < 3:
            raise KeyboardInterrupt
        assert len(left) < 10

    monkeypatch.setattr(sys, "unraisablehook", lambda what: None)
    monkeypatch.setattr(Round, "leave", leave_and_interrupt)
    del dropped
    newcomer.add_scalar("accuracy", 0.5, 1)
    newcomer.add_scalar("loss", 0.5, 3)
    newcomer.close()
    assert run_status(first.log_dir) is RunStatus.FINISHED
    assert not [path for path in open_descriptors().values() if path.startswith(str(tmp_path))]
