"""Which run a new writer on a log_dir writes, and when it is decided."""

from __future__ import annotations

import itertools
import json
import logging
import os
import pickle
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import safewriter
from safewriter import (
    SafeSummaryWriter,
    SharedTagWarning,
    SplitRunWarning,
    StepOrderWarning,
    patch,
)
from safewriter._run import round as rounds
from safewriter.events import event_files, read_events, read_scalars
from tests.support import run_python


def log(writer: SafeSummaryWriter, steps: range, tag: str = "loss", value: float = 0.5) -> None:
    """Log a curve."""
    for step in steps:
        writer.add_scalar(tag, value, step)


def series(log_dir: Path) -> SafeSummaryWriter:
    """Return the closed writer of a run with a curve, a text, a histogram and a series."""
    with SafeSummaryWriter(log_dir) as writer:
        writer.add_text("config", "lr: 0.1")
        writer.add_histogram("weights", np.arange(4), 0)
        log(writer, range(5))
        for step in range(5):
            writer.add_scalars("pair", {"a": 1.0}, step)
    return writer


def tags_on_disk(run: str | Path) -> set[str]:
    """Return the tags in the event files that TensorBoard sees."""
    return {
        value.tag
        for path in event_files(run)
        for event in read_events(path)
        for value in event.summary.value
    }


def waiting(log_dir: Path) -> list[str]:
    """Return the names of files with events that wait."""
    return [path.name for path in log_dir.rglob("waiting-*")]


NEW = {
    "scalar below": lambda writer: writer.add_scalar("loss", 1.0, 3),
    "histogram below": lambda writer: writer.add_histogram("loss/weights", np.arange(3), 0),
    "series below": lambda writer: writer.add_scalars("pair", {"a": 2.0}, 0),
    "other text": lambda writer: writer.add_text("config", "lr: 0.2"),
    "log_dir": lambda writer: os.listdir(writer.log_dir),
    "get_logdir": lambda writer: writer.get_logdir(),
    "get_logdir of the file writer": lambda writer: writer.file_writer.get_logdir(),
}
SAME = {
    "scalar above": lambda writer: writer.add_scalar("loss", 1.0, 5),
    "series above": lambda writer: writer.add_scalars("pair", {"a": 2.0}, 5),
    "missing step": lambda writer: writer.add_scalar("loss", 1.0),
}
WAITS = {
    "new tag": lambda writer: writer.add_scalar("test/accuracy", 1.0, 5),
    "new series": lambda writer: writer.add_scalars("other", {"a": 1.0}, 0),
    "same text": lambda writer: writer.add_text("config", "lr: 0.1"),
    "new text": lambda writer: writer.add_text("note", "hello"),
    "single histogram": lambda writer: writer.add_histogram("weights", np.arange(3), 0),
    "graph": lambda writer: writer.add_graph(torch.nn.Linear(2, 1), torch.zeros(1, 2)),
    "repr": repr,
}


@pytest.mark.parametrize("how", NEW)
def test_what_begins_a_new_run(tmp_path, how):
    """A step below the last one, other content, or asking for the directory, after curves."""
    first = series(tmp_path)
    if how.startswith("histogram"):
        with SafeSummaryWriter(tmp_path) as more:
            for step in range(5, 8):
                more.add_histogram("loss/weights", np.arange(4), step)
                more.add_scalar("loss", 0.5, step)
    second = SafeSummaryWriter(tmp_path)
    second.add_scalar("warmup", 1.0, 0)
    NEW[how](second)
    assert second.log_dir != first.log_dir
    assert "warmup" in tags_on_disk(second.log_dir)
    assert "warmup" not in tags_on_disk(first.log_dir)
    second.close()
    assert waiting(tmp_path) == []
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2


@pytest.mark.filterwarnings("ignore::safewriter.MissingStepWarning")  # one of them gives no step
@pytest.mark.parametrize("how", SAME)
def test_what_goes_on_with_the_run(tmp_path, how):
    """A step above the last one, or none, decides at once, and what waited is in the run."""
    first = series(tmp_path)
    second = SafeSummaryWriter(tmp_path)
    second.add_scalar("warmup", 1.0, 0)
    assert "warmup" not in tags_on_disk(first.log_dir)
    SAME[how](second)
    assert "warmup" in tags_on_disk(first.log_dir)
    assert waiting(tmp_path) == []
    second.close()
    assert second.log_dir == first.log_dir


@pytest.mark.parametrize("end", ["close", "drop"])
@pytest.mark.parametrize("how", WAITS)
def test_what_cannot_tell_waits(tmp_path, how, end):
    """A new tag, or the same content, waits in the hidden folder; the end of the writer decides."""
    first = series(tmp_path)
    before = len(list(read_events(first.log_dir)))
    second = SafeSummaryWriter(tmp_path)
    WAITS[how](second)
    on_disk = [event for path in event_files(first.log_dir) for event in read_events(path)]
    assert len(on_disk) == before
    if how != "repr":
        assert waiting(tmp_path)
    if end == "close":
        second.close()
    del second
    assert waiting(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == [Path(first.log_dir).name]


def test_the_users_own_files_are_in_the_directory_of_their_round(tmp_path):
    """A config that is put into log_dir at the start of each round of a sweep stays."""
    for lr in (0.1, 0.2, 0.3):
        writer = SafeSummaryWriter(tmp_path)
        with open(os.path.join(writer.log_dir, "config.json"), "w", encoding="utf-8") as file:
            json.dump({"lr": lr}, file)
        log(writer, range(5), value=lr)
    writer.close()
    found = {}
    for path in tmp_path.glob("*/config.json"):
        found[json.loads(path.read_text())["lr"]] = read_scalars(path.parent)["loss"].values[0]
    assert found == {lr: pytest.approx(lr) for lr in (0.1, 0.2, 0.3)}


def test_the_directory_after_single_points_is_the_same(tmp_path):
    """A writer made in a function a hundred times, which looks at its log_dir, is one run."""
    for step in range(100):
        writer = SafeSummaryWriter(tmp_path)
        writer.add_scalar(f"epoch {step}", 0.5, step)
        assert os.path.isdir(writer.log_dir)
    del writer
    assert len(list(tmp_path.iterdir())) == 1


def test_two_writers_of_one_round_go_together(tmp_path):
    """What one of them logs decides for both, whatever they log, and however late."""
    for value in (1.0, 2.0):
        train, val = SafeSummaryWriter(tmp_path), SafeSummaryWriter(tmp_path)
        val.add_text("val/config", "the same")
        log(train, range(5), "train/loss", value)
        log(val, range(5), "val/loss", value)
        assert train.log_dir == val.log_dir
        train.close()
        val.close()
    runs = sorted(path for path in tmp_path.iterdir())
    assert len(runs) == 2
    for run in runs:
        assert tags_on_disk(run) == {"val/config/text_summary", "train/loss", "val/loss"}


def test_a_writer_beside_one_that_logs_waits_for_nothing(tmp_path):
    """While an earlier writer is open, or has logged since, a further one is in its run at once."""
    train, val = SafeSummaryWriter(tmp_path), SafeSummaryWriter(tmp_path)
    log(train, range(3), "train/loss")
    val.add_scalar("val/loss", 0.5, 2)
    assert {"train/loss", "val/loss"} <= tags_on_disk(train.log_dir)
    log(train, range(3, 5), "train/loss")
    train.close()
    test = SafeSummaryWriter(tmp_path)
    val.add_scalar("val/loss", 0.5, 4)
    val.close()
    test.add_scalar("test/loss", 0.5, 4)
    assert "test/loss" in tags_on_disk(train.log_dir)
    test.close()


def test_a_curve_that_waits_while_the_file_of_the_earlier_round_is_open(tmp_path):
    """The writer's name is bound again, so the run is never closed: all points of a new tag wait,
    and go to the run of their round.
    """
    writer = SafeSummaryWriter(tmp_path)
    log(writer, range(5))
    first = repr(writer).split("'")[1]
    writer = SafeSummaryWriter(tmp_path)
    log(writer, range(5), "warmup")
    assert "warmup" not in tags_on_disk(first)
    log(writer, range(3), value=1.5)
    writer.close()
    assert "warmup" not in tags_on_disk(first)
    assert read_scalars(writer.log_dir)["warmup"].steps.tolist() == [*range(5)]


def test_an_earlier_writer_that_logs_again(tmp_path):
    """What waits is written before what a closed writer logs when it is used again."""
    first = series(tmp_path)
    second = SafeSummaryWriter(tmp_path)
    second.add_scalar("other", 0.5, 0)
    with pytest.warns(SharedTagWarning):
        first.add_scalar("other", 0.5, 1)
    assert read_scalars(first.log_dir)["other"].steps.tolist() == [0, 1]
    first.close()
    second.close()


def test_nothing_waits_for_long(tmp_path, monkeypatch):
    """After a minute, or ten thousand events, a writer that could not tell goes on with the run."""
    first = series(tmp_path)
    monkeypatch.setattr(rounds, "_MOST_EVENTS", 10)
    with SafeSummaryWriter(tmp_path) as second:
        log(second, range(10), "finetune/loss")
        assert "finetune/loss" not in tags_on_disk(first.log_dir)
        log(second, range(10, 12), "finetune/loss")
        assert "finetune/loss" in tags_on_disk(first.log_dir)
    monkeypatch.undo()
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with SafeSummaryWriter(tmp_path) as third:
        third.add_scalar("third", 0.5, 0)
        now[0] += 61
        third.add_scalar("third", 0.5, 1)
        assert read_scalars(first.log_dir)["third"].steps.tolist() == [0, 1]
        assert "third" in tags_on_disk(first.log_dir)
    assert read_scalars(first.log_dir)["finetune/loss"].steps.tolist() == [*range(12)]


def test_a_second_missing_step_while_it_waits(tmp_path):
    """Two points of a new tag without steps: the second is told at once, and gets the next step."""
    first = series(tmp_path)
    with SafeSummaryWriter(tmp_path) as second:
        second.add_scalar("note", 1.0)
        with pytest.warns(safewriter.MissingStepWarning):
            second.add_scalar("note", 2.0)
        assert "note" not in tags_on_disk(first.log_dir)
    assert read_scalars(first.log_dir)["note"].steps.tolist() == [0, 1]


def suffixes(run: str | Path) -> list[str]:
    """Return how the names of the event files in a directory end, behind the counter."""
    return [Path(path).name.rpartition(".00")[2] for path in event_files(run)]


def test_a_writer_that_joins_logs_to_the_file_that_is_there(tmp_path):
    """Whatever filename_suffix it has, and also after the file was closed."""
    first = SafeSummaryWriter(tmp_path, filename_suffix=".a")
    second = SafeSummaryWriter(tmp_path, filename_suffix=".b")
    for writer in (first, second):
        log(writer, range(2), tag=writer.filename_suffix)
        writer.close()
    with SafeSummaryWriter(tmp_path, filename_suffix=".c") as third:
        log(third, range(2, 4), tag=".a")
    assert suffixes(third.log_dir) == [".a"]
    assert first.log_dir == second.log_dir == third.log_dir


def test_the_file_of_a_new_round_has_the_suffix_of_its_writer(tmp_path):
    """The earlier rounds' suffix stays with their file."""
    runs = []
    for suffix in (".a", ".b", ""):
        with SafeSummaryWriter(tmp_path, filename_suffix=suffix) as writer:
            log(writer, range(3))
        runs.append(writer.log_dir)
    assert [suffixes(run) for run in runs] == [[".a"], [".b"], [""]]


def test_a_series_has_the_suffix_of_the_writer_that_begins_it(tmp_path):
    """A series has a file of its own, also in a run that the writer joined."""
    with (
        SafeSummaryWriter(tmp_path, filename_suffix=".a"),
        SafeSummaryWriter(tmp_path, filename_suffix=".b") as second,
    ):
        second.add_scalars("pair", {"x": 1.0}, 0)
    assert suffixes(Path(second.log_dir) / "pair_x") == [".b"]


def test_a_pickled_writer_keeps_its_suffix(tmp_path):
    """In another process it has a directory of its own, and so its own file."""
    with (
        SafeSummaryWriter(tmp_path, filename_suffix=".a"),
        SafeSummaryWriter(tmp_path, filename_suffix=".b") as second,
    ):
        run_python(
            f"import pickle; pickle.loads({pickle.dumps(second)!r}).add_scalar('loss', 1.0, 0)",
            check=True,
        )
        log(second, range(1))
    (child,) = Path(second.log_dir).glob("fork-*")
    assert suffixes(child) == [".b"]


def test_a_resumed_run_has_a_file_with_the_suffix_of_the_writer_that_resumes(tmp_path):
    """Each start has a file of its own."""
    for suffix in (".a", ".b"):
        run_python(
            f"""
            from safewriter import SafeSummaryWriter
            with SafeSummaryWriter({str(tmp_path)!r}, resume=True, filename_suffix={suffix!r}) as w:
                w.add_scalar("loss", 1.0)
            """,
            check=True,
            env={"PYTHONWARNINGS": "ignore"},
        )
    (run,) = tmp_path.iterdir()
    assert suffixes(run) == [".a", ".b"]


@pytest.mark.parametrize("join", [True, False])
def test_join(tmp_path, join):
    """join=True never leaves the run; join=False makes a directory for each writer, at once."""
    writers = []
    for value in (1.0, 2.0):
        with SafeSummaryWriter(tmp_path, join=join) as writer:
            writers.append(writer)
            if join and value == 2.0:
                with pytest.warns(StepOrderWarning):
                    log(writer, range(1))
            else:
                log(writer, range(3))
    assert (writers[0].log_dir == writers[1].log_dir) is join
    assert len(list(tmp_path.iterdir())) == (1 if join else 2)


def test_join_by_patch(tmp_path):
    """patch(join=False) gives every writer a directory of its own, also two that are open."""
    with patch(join=False):
        from torch.utils.tensorboard import SummaryWriter

        writers = [SummaryWriter(str(tmp_path)) for _ in range(3)]
        for number, writer in enumerate(writers):
            writer.add_scalar("loss", number, 0)
            writer.close()
    assert len({writer.log_dir for writer in writers}) == 3


def test_two_live_writers_of_one_tag(tmp_path):
    """Told once a tag, with both lines and the cures; not of a writer that has left."""
    ensemble = [SafeSummaryWriter(tmp_path) for _ in range(2)]
    ensemble[0].add_scalar("loss", 1.0, 0)
    with pytest.warns(SharedTagWarning) as caught:
        ensemble[1].add_scalar("loss", 1.0, 1)
    ensemble[1].add_scalar("loss", 1.0, 2)
    ensemble[0].add_scalar("loss", 1.0, 3)
    (message,) = (str(warning.message) for warning in caught)
    assert message.count(f"{__file__}:") == 2
    assert "comment=" in message
    for writer in ensemble:
        writer.close()


def test_starts_and_joinings_are_logged(tmp_path, caplog):
    """INFO says where a run starts, and which one a writer joins."""
    caplog.set_level(logging.INFO, "safewriter")
    with SafeSummaryWriter(tmp_path) as first, SafeSummaryWriter(tmp_path):
        first.add_scalar("loss", 1.0, 0)
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"run started: {first.log_dir}", f"run joined: {first.log_dir}"]


def test_is_patched_and_the_repr_of_a_patch():
    """is_patched() tells, and a patch says what it is and whether it holds."""
    assert not safewriter.is_patched()
    with patch(unique=False) as made:
        assert safewriter.is_patched()
        assert repr(made) == "<safewriter.patch(unique=False), in force>"
        with patch():
            assert "later" in repr(made)
    assert not safewriter.is_patched()
    assert repr(made) == "<safewriter.patch(unique=False), undone>"


KILLED = """
    import os, signal
    from safewriter import SafeSummaryWriter
    first = SafeSummaryWriter("logs")
    first.add_text("config", "the same")
    for step in range(5):
        first.add_scalar("loss", 0.5, step)
        first.add_scalars("pair", {"a": 0.5}, step)
    first.close()
    second = SafeSummaryWriter("logs")
    second.add_text("config", "the same")
    second.add_scalar("warmup", 1.0, 0)
    second.add_scalar(*TIE)
    second.add_scalars("new", {"a": 1.0}, 0)
    print(repr(second), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("tie", ["lr", "other"])
def test_what_waits_survives_a_kill(tmp_path, tie):
    """The reader shows it at once, the next writer of the run writes it down, once; or to a run of
    its own where the run has other content.
    """
    code = KILLED.replace("*TIE", '"single", 2.0, 0')
    if tie == "other":
        code = code.replace("first.close()", 'first.add_scalar("single", 1.0, 0); first.close()')
    done = run_python(code, cwd=tmp_path, deadline=120)
    assert done.returncode == -signal.SIGKILL
    (run,) = (tmp_path / "logs").iterdir()
    assert {"warmup", "loss"} <= set(read_scalars(run))
    assert "warmup" not in tags_on_disk(run)
    with SafeSummaryWriter(tmp_path / "logs", resume=True) as third:
        third.add_scalar("loss", 0.5, 5)
    assert waiting(tmp_path) == []
    assert third.log_dir == run
    if tie == "lr":
        assert read_scalars(run)["warmup"].steps.tolist() == [0]
        assert {"warmup", "single"} <= tags_on_disk(run)
        assert "new" in tags_on_disk(run / "new_a")
    else:
        assert "warmup" not in tags_on_disk(run)
        assert read_scalars(run)["single"].values.tolist() == [1.0]
        (own,) = (path for path in (tmp_path / "logs").iterdir() if path != run)
        assert {"warmup", "single", "config/text_summary"} == tags_on_disk(own)
        assert "new" in tags_on_disk(own / "new_a")


def test_what_waits_never_leads_out_of_its_run(tmp_path):
    """A hostile name or a link in the hidden folder is neither read nor written down."""
    first = series(tmp_path / "logs")
    hidden = Path(first.log_dir) / ".safewriter"
    events = event_files(first.log_dir)[0]
    (tmp_path / "secret").write_bytes(Path(events).read_bytes())
    for name in ("..%2F..%2Foutside", "%2Ftmp%2Foutside", "a%2F..%2F..%2Fb", "%00"):
        (hidden / f"waiting-0.{name}").write_bytes(Path(events).read_bytes())
    (hidden / "waiting-1").symlink_to(tmp_path / "secret")
    before = {path for path in tmp_path.rglob("*") if path.is_dir()}
    with SafeSummaryWriter(first.log_dir, unique=False, resume=True) as again:
        again.add_scalar("loss", 0.5, 5)
    assert {path for path in tmp_path.rglob("*") if path.is_dir()} == before
    assert read_scalars(first.log_dir)["loss"].steps.tolist() == [*range(6)]


def test_threads_of_one_round_lose_nothing(tmp_path):
    """Eight writers of a new round log in threads while one of them decides: all is in its run."""
    series(tmp_path)
    writers = [SafeSummaryWriter(tmp_path) for _ in range(8)]
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait(30)
        for step in range(20):
            writers[number].add_scalar(f"tag {number}", 1.0, step)
        writers[number].add_scalar("loss", 1.0, number) if number == 3 else None
        for step in range(20, 40):
            writers[number].add_scalar(f"tag {number}", 1.0, step)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    (run,) = {writer.log_dir for writer in writers}
    for writer in writers:
        writer.close()
    found = read_scalars(run)
    for number in range(8):
        assert found[f"tag {number}"].steps.tolist() == [*range(40)]
    assert waiting(tmp_path) == []


def test_a_move_after_log_dir_was_read_is_a_warning(tmp_path, monkeypatch):
    """In a notebook a loop that runs again moves its writer; who has asked for its log_dir is
    warned.
    """
    from safewriter import _lifecycle

    monkeypatch.setattr(_lifecycle, "interactive", lambda: True)
    monkeypatch.setattr(_lifecycle, "cell", lambda: 1)
    writer = SafeSummaryWriter(tmp_path)
    log(writer, range(5))
    before = writer.log_dir
    monkeypatch.setattr(_lifecycle, "cell", lambda: 2)
    with pytest.warns(SplitRunWarning, match="log_dir was asked for"):
        log(writer, range(5))
    assert writer.log_dir != before
    writer.close()


_parents = itertools.count()

# A round: what its writers log, in order. Each writer's list ends with its end.
_ACTIONS = st.lists(
    st.sampled_from(["same text", "own text", "new tag", "look", "repr", "histogram", "series"]),
    max_size=4,
)
_ROUNDS = st.lists(
    st.tuples(_ACTIONS, st.integers(2, 4), st.sampled_from(["close", "drop", "rebind"])),
    min_size=1,
    max_size=4,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rounds=_ROUNDS)
def test_every_event_of_a_round_is_in_its_run(tmp_path, rounds):
    """Whatever a round begins with, all of it is in one run, which has nothing of another round,
    and log_dir is true once it was read.
    """
    parent = tmp_path / str(next(_parents))
    expected = []
    writer: Any = None
    for number, (actions, length, end) in enumerate(rounds):
        if end != "rebind":
            writer = None
        writer = SafeSummaryWriter(parent)
        told: Path | None = None
        mine: Counter[str] = Counter()
        for action in actions:
            if action == "same text":
                writer.add_text("config", "the same")
            elif action == "own text":
                writer.add_text("round", f"round {number}")
            elif action == "new tag":
                writer.add_scalar(f"only {number}", number, 0)
            elif action == "look":
                told = writer.log_dir
            elif action == "histogram":
                writer.add_histogram("weights", np.arange(number + 2), 0)
            elif action == "series":
                writer.add_scalars("pair", {"a": number}, 0)
            else:
                repr(writer)
            mine[action] += action not in ("look", "repr")
        log(writer, range(length), value=number)
        assert told in (None, writer.log_dir)
        expected.append((writer.log_dir, number, length, mine))
        if end == "close":
            writer.close()
    writer = None
    assert len({run for run, *_ in expected}) == len(rounds)
    assert sorted(parent.iterdir()) == sorted(run for run, *_ in expected)
    assert waiting(parent) == []
    for run, number, length, mine in expected:
        scalars = read_scalars(run)
        assert scalars["loss"].steps.tolist() == [*range(length)]
        assert set(scalars["loss"].values.tolist()) == {number}
        counted = Counter(value.tag for event in read_events(run) for value in event.summary.value)
        assert counted["config/text_summary"] == mine["same text"]
        assert counted["round/text_summary"] == mine["own text"]
        assert counted["weights"] == mine["histogram"]
        assert counted[f"only {number}"] == mine["new tag"]
        assert not any(tag.startswith("only") and tag != f"only {number}" for tag in counted)
