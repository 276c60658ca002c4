"""One start of a program and one ``log_dir`` are one run; when the steps start over, so does it."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import itertools
import logging
import threading
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safewriter import SafeSummaryWriter, SharedTagWarning, StepOrderWarning
from tests.support import event_files, read_runs


def log(writer: SafeSummaryWriter, steps: range, value: float = 0.5) -> None:
    """Log one point of ``loss`` for each step."""
    for step in steps:
        writer.add_scalar("loss", value, step)


def curves(log_dir: Path) -> list[list[tuple[int, float]]]:
    """Return the ``loss`` of every run below `log_dir`, in the order of the runs' names."""
    runs = read_runs(log_dir)
    assert len(event_files(log_dir)) == len(runs), "one event file for each run"
    return [runs[name]["loss"] for name in sorted(runs, key=lambda name: (len(name), name))]


def curve(steps: range, value: float = 0.5) -> list[tuple[int, float]]:
    """Return what `log` leaves."""
    return [(step, value) for step in steps]


@pytest.mark.parametrize("way", ["forgotten", "closed", "with", "alternating"])
def test_a_writer_made_a_hundred_times_is_one_run(tmp_path, way):
    """One directory, one event file and one curve of 100 points, whether it is closed or not."""

    def log_once(step: int) -> None:
        writer = SafeSummaryWriter(tmp_path / "logs")
        with writer if way == "with" else contextlib.nullcontext():
            writer.add_scalar("loss", 0.5, step)
            writer.add_text("config", "the same in each call", 0)
        if way == "closed" or (way == "alternating" and step % 2):
            writer.close()

    for step in range(100):
        log_once(step)  # The same text again, at step 0, hides nothing and starts nothing.
    assert curves(tmp_path / "logs") == [curve(range(100))]


@pytest.mark.parametrize("end", ["close", "rebind", "delete", "series"])
def test_a_sweep_of_three_rounds_is_three_runs(tmp_path, end):
    """Each round over one log_dir is a run of its own with a clean curve."""
    writer = None
    for value in (1.0, 2.0, 3.0):
        # With "rebind" the last round's writer still lives while the next one is made.
        writer = SafeSummaryWriter(tmp_path)
        log(writer, range(20), value)
        if end == "series":
            for step in range(20):
                writer.add_scalars("pair", {"a": value, "b": -value}, step)
        if end in ("close", "series"):
            writer.close()
        elif end == "delete":
            del writer
    writer = None
    runs = read_runs(tmp_path)
    expected = [curve(range(20), value) for value in (1.0, 2.0, 3.0)]
    assert [scalars["loss"] for scalars in runs.values() if "loss" in scalars] == expected
    if end == "series":
        pairs = {name: scalars["pair"] for name, scalars in runs.items() if "pair" in scalars}
        assert len(pairs) == 6
        for name, points in pairs.items():
            value = runs[name.rsplit("/", 1)[0]]["loss"][0][1]
            assert points == curve(range(20), value if name.endswith("pair_a") else -value)


def test_a_round_whose_first_tags_are_new_moves_as_soon_as_one_starts_over(tmp_path):
    """What cannot tell goes along with the first point that would go back."""
    first = SafeSummaryWriter(tmp_path)
    log(first, range(5))
    first.close()
    second = SafeSummaryWriter(tmp_path)
    for step in range(3):
        second.add_scalar("warmup", 1.0, step)
    log(second, range(3), 1.0)
    second.close()
    kept, moved = read_runs(tmp_path, purge=False).values()
    assert kept == {"loss": curve(range(5))}
    assert moved == {"warmup": curve(range(3), 1.0), "loss": curve(range(3), 1.0)}


def test_a_tie_goes_on(tmp_path):
    """A second writer that begins at the last step, as an evaluation does, stays in the run; once
    that is decided, steps that fall are told.
    """
    with SafeSummaryWriter(tmp_path) as first:
        log(first, range(5))
    second = SafeSummaryWriter(tmp_path)
    log(second, range(4, 8), 1.0)
    with pytest.warns(StepOrderWarning, match="goes back"):
        log(second, range(3), 2.0)
    second.close()
    assert second.log_dir == first.log_dir
    assert len(event_files(tmp_path)) == 1


def test_two_writers_that_are_open_at_once_stay_in_one_run(tmp_path):
    """The second one's step that goes back is warned about, and both are in one event file."""
    one, two = SafeSummaryWriter(tmp_path), SafeSummaryWriter(tmp_path)
    log(one, range(5))
    with (
        pytest.warns(SharedTagWarning, match="both open"),
        pytest.warns(StepOrderWarning, match=r"tag 'loss' goes back from step 4 to step 0"),
    ):
        log(two, range(1))
    assert one.log_dir == two.log_dir
    one.close()
    log(two, range(5, 7))
    two.close()
    ((_, scalars),) = read_runs(tmp_path, purge=False).items()
    assert [step for step, _ in scalars["loss"]] == [0, 1, 2, 3, 4, 0, 5, 6]
    assert len(event_files(tmp_path)) == 1


def test_two_modules_with_a_writer_each_share_a_run(tmp_path):
    """One run holds the tags of both, in one event file, until the second one is closed too."""

    def load(name: str, tag: str) -> ModuleType:
        path = tmp_path / f"{name}.py"
        path.write_text(
            "from safewriter import SafeSummaryWriter\n"
            f"writer = SafeSummaryWriter({str(tmp_path / 'logs')!r})\n"
            f"def log(step): writer.add_scalar({tag!r}, 0.5, step)\n",
            encoding="utf-8",
        )
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    training, system = load("training", "train/loss"), load("system", "memory")
    for step in range(10):
        training.log(step)
        system.log(step)
    training.writer.close()
    system.log(10)
    system.writer.close()
    ((_, scalars),) = read_runs(tmp_path / "logs").items()
    assert scalars == {"train/loss": curve(range(10)), "memory": curve(range(11))}
    assert len(event_files(tmp_path / "logs")) == 1


def test_a_closed_writer_that_is_used_again_continues_its_run(tmp_path, caplog):
    """It appends to its own file, also when its steps go back: it is not newly made."""
    caplog.set_level(logging.INFO, "safewriter")
    writer = SafeSummaryWriter(tmp_path)
    where = writer.log_dir
    log(writer, range(5))
    writer.close()
    writer.close()
    log(writer, range(5, 10))
    assert writer.log_dir == where
    assert [record.getMessage() for record in caplog.records] == [
        f"run started: {where}",
        f"{where} is used after close(): opened again",
    ]
    writer.close()
    with pytest.warns(StepOrderWarning):
        log(writer, range(1))
    writer.close()
    ((_, scalars),) = read_runs(tmp_path, purge=False).items()
    assert scalars["loss"] == [*curve(range(10)), *curve(range(1))]
    assert len(event_files(tmp_path)) == 1


def test_a_writer_that_moves_says_where_it_is(tmp_path, caplog):
    """repr() decides nothing; log_dir, get_logdir() and repr() follow; the move is logged once."""
    caplog.set_level(logging.INFO, "safewriter")
    first = SafeSummaryWriter(tmp_path)
    log(first, range(3))
    first.close()
    second = SafeSummaryWriter(tmp_path)
    caplog.clear()
    assert str(first.log_dir) in repr(second)
    log(second, range(3))
    assert second.log_dir != first.log_dir
    assert Path(second.log_dir).parent == tmp_path
    assert second.get_logdir() == second.log_dir
    assert second.file_writer.get_logdir() == str(second.log_dir)
    assert str(second.log_dir) in repr(second)
    (word,) = caplog.records
    assert word.levelname == "INFO"
    assert str(second.log_dir) in word.getMessage()
    assert "'loss' starts over at 0" in word.getMessage()
    second.close()
    with SafeSummaryWriter(tmp_path) as third:
        log(third, range(3, 4))
    assert third.log_dir == second.log_dir, "the run that was begun last is the one to join"


@pytest.mark.parametrize("kind", ["text", "histogram", "missing step"])
def test_what_is_logged_once_a_call_does_not_start_a_run_over(tmp_path, kind):
    """A config text or a histogram at step 0 in each call, or a missing step, continues the run."""

    def log_aside(writer: SafeSummaryWriter) -> None:
        if kind == "text":
            writer.add_text("config", "lr: 0.1", 0)
        elif kind == "histogram":
            writer.add_histogram("weights", np.ones(3), 0)
        else:
            writer.add_scalar("loss", 0.5)

    first = SafeSummaryWriter(tmp_path)
    log_aside(first)
    first.close()

    with SafeSummaryWriter(tmp_path) as second:
        log_aside(second)
    assert len(event_files(tmp_path)) == 1


def test_without_a_log_dir_each_writer_is_a_run_of_its_own(tmp_path, monkeypatch):
    """Three writers without a log_dir, open at once or not, leave three runs below ``runs``."""
    monkeypatch.chdir(tmp_path)
    writers = [SafeSummaryWriter() for _ in range(3)]
    for writer in writers:
        log(writer, range(3))
    for writer in writers:
        writer.close()
    assert curves(tmp_path / "runs") == [curve(range(3))] * 3


def test_a_comment_of_its_own_is_a_run_of_its_own(tmp_path):
    """Writers on one log_dir with different comments do not share a run."""
    for step in range(3):
        for comment in ("lr=1", "lr=2"):
            with SafeSummaryWriter(tmp_path, comment=comment) as writer:
                writer.add_scalar("loss", 0.5, step)
    assert curves(tmp_path) == [curve(range(3))] * 2
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [name.split("_", 2)[2] for name in names] == ["lr=1", "lr=2"]


def test_threads_that_make_writers_at_once_share_one_run(tmp_path):
    """Sixteen threads, each with writers of its own on one log_dir: one run, every point."""
    barrier = threading.Barrier(16)
    errors = []

    def work(number: int) -> None:
        try:
            barrier.wait(30)
            for step in range(20):
                SafeSummaryWriter(tmp_path).add_scalar(f"thread/{number}", 0.5, step)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert errors == []
    gc.collect()
    ((_, scalars),) = read_runs(tmp_path).items()
    assert scalars == {f"thread/{number}": curve(range(20)) for number in range(16)}
    assert len(event_files(tmp_path)) == 1


_parents = itertools.count()


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rounds=st.lists(
        st.tuples(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.booleans()),
        min_size=1,
        max_size=4,
    ).filter(lambda rounds: all(sum(lengths) > 1 for lengths, _ in rounds))
)
def test_any_sequence_of_rounds_gives_one_clean_curve_each(tmp_path, rounds):
    """Rounds of writers, each starting at step 0 and cut in any way, are as many whole runs."""
    parent = tmp_path / str(next(_parents))
    expected = []
    for number, (lengths, closes) in enumerate(rounds):
        first = 0
        for length in lengths:
            writer = SafeSummaryWriter(parent)
            log(writer, range(first, first + length), float(number))
            if closes:
                writer.close()
            del writer
            first += length
        expected.append(curve(range(first), float(number)))
    assert sorted(curves(parent), key=lambda points: points[0][1]) == expected
