"""resume=True and purge_step: which run goes on, where, and what both readers show of it."""

from __future__ import annotations

import os
import re
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.tensorboard import SummaryWriter

from safewriter import RunLockedError, SafeSummaryWriter, SharedTagWarning, StepOrderWarning
from safewriter.events import Verdict, event_files, read_events, read_records, read_scalars
from tests.support import event_bytes as eb
from tests.support import readers, spawn_python
from tests.support.both_readers import READERS, Points, Situations
from tests.support.sessions import Session, Sessions

situations = Situations()


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Situations:
    """Every situation, played once; none gives a warning in this process."""
    situations.play(tmp_path_factory.mktemp("resumed"))
    return situations


@pytest.fixture(scope="module")
def sessions() -> Iterator[Sessions]:
    """Processes that are killed."""
    with Sessions() as sessions:
        yield sessions


LOG = """
writer = SafeSummaryWriter(run, **{"resume": True, **more})
for step in steps:
    for tag in tags:
        writer.add_scalar(tag, step + 1000 * number, step)
report(writer.log_dir)
"""


def log(
    sessions: Sessions, run: Path, number: int, steps: range, *tags: str, **more: Any
) -> Session:
    """Log ``step + 1000 * number`` in a session that is killed, and give no warning."""
    session = sessions.run(
        LOG, run=run, number=number, steps=steps, tags=tags or ("loss",), more=more
    )
    assert session.warnings == []
    return session


def points(number: int, *steps: int) -> Points:
    """Return what `log` logs."""
    return [(step, float(step + 1000 * number)) for step in steps]


@situations.add
def crashed_ten_times(run: Path, sessions: Sessions) -> Iterator[None]:
    """Each session logs its config and some values at step 0, and goes back three steps."""
    for number in range(10):
        if number == 5:
            yield
        session = sessions.run(
            """
            writer = SafeSummaryWriter(run, resume=number > 0, unique=False)
            writer.add_text("config", f"session {number}", 0)
            writer.add_scalar("parameters", 12345.0, 0)
            for step in range(7 * number, 7 * number + 10):
                writer.add_histogram("weights", np.arange(4.0), step)
                writer.add_scalar("train/loss", step + 1000 * number, step)
                if step % 2 == 0:
                    writer.add_scalar("val/loss", step + 1000 * number, step)
            """,
            run=run,
            number=number,
        )
        assert session.warnings == []


def test_ten_crashes_give_one_clean_curve(resumed: Situations) -> None:
    """After ten sessions with overlapping steps each step has one point, that of the last one."""
    name = "crashed_ten_times"
    expected = [point for step in range(73) for point in points(min(step // 7, 9), step)]
    resumed.assert_all_show(expected, name, "train/loss")
    resumed.assert_all_show([point for point in expected if point[0] % 2 == 0], name, "val/loss")
    for shown in (resumed.live, resumed.restarted):
        for reader in READERS:
            # TensorBoard shows a sample of 50 histograms.
            steps = shown[reader].histograms[name]["weights"]
            assert len(steps) == len(set(steps)) >= 50
            assert steps == sorted(steps)
            step, html = shown[reader].texts[name]["config/text_summary"][-1]
            assert (step, "session 9" in html) == (0, True)
    assert len(event_files(resumed.run(name))) == 10


def test_a_lone_value_at_step_0_in_each_session_hides_nothing(resumed: Situations) -> None:
    """What each session logs at step 0 is shown, and the curves behind it too."""
    for view, shown in resumed.scalars("crashed_ten_times", "parameters").items():
        assert set(shown) == {(0, 12345.0)}, view


@situations.add
def started_from_scratch(run: Path, sessions: Sessions) -> Iterator[None]:
    """Each session starts at step 0 again, with its config first, and each is shorter."""
    for number in range(4):
        if number == 2:
            yield
        session = sessions.run(
            """
            writer = SafeSummaryWriter(run, resume=number > 0, unique=False)
            writer.add_text("config", f"session {number}", 0)
            for step in range(10 - 2 * number):
                writer.add_scalar("loss", step + 1000 * number, step)
                writer.add_scalar("lr", step + 1000 * number, step)
            """,
            run=run,
            number=number,
        )
        assert session.warnings == []


def test_a_run_that_starts_from_scratch(resumed: Situations) -> None:
    """The last session is shown, alone, with the config that it logged before its first point."""
    resumed.assert_all_show(points(3, *range(4)), "started_from_scratch", "loss")
    resumed.assert_all_show(points(3, *range(4)), "started_from_scratch", "lr")
    for shown in (resumed.live, resumed.restarted):
        for reader in READERS:
            texts = shown[reader].texts["started_from_scratch"]["config/text_summary"]
            assert [(step, "session 3" in html) for step, html in texts] == [(0, True)]


@situations.add
def epochs_beside_batches(run: Path, sessions: Sessions) -> Iterator[None]:
    """The first curve that is logged again counts epochs, and ten batches make one."""
    code = """
    writer = SafeSummaryWriter(run, resume=number > 0, unique=False)
    for step in steps:
        if step % 10 == 0 and step:
            writer.add_scalar("epoch/accuracy", step // 10 + 1000 * number, step // 10)
        writer.add_scalar("batch/loss", step + 1000 * number, step)
    """
    sessions.run(code, run=run, number=0, steps=range(105))
    yield
    sessions.run(code, run=run, number=1, steps=range(100, 150))


def test_a_curve_by_epochs_does_not_hide_one_by_batches(resumed: Situations) -> None:
    """Logging an epoch again leaves the batches alone; they are cut at their own restart."""
    name = "epochs_beside_batches"
    batches = points(0, *range(100)) + points(1, *range(100, 150))
    resumed.assert_all_show(batches, name, "batch/loss")
    epochs = points(0, *range(1, 10)) + points(1, *range(10, 15))
    shown = resumed.scalars(name, "epoch/accuracy")
    assert shown["live", "fast"] == shown["restarted", "fast"] == epochs
    # As the docstring of SafeSummaryWriter says: both the earlier and the new point.
    both = sorted(epochs + points(0, 10))
    assert shown["live", "python"] == shown["restarted", "python"] == both


@situations.add
def series(run: Path, sessions: Sessions) -> Iterator[None]:
    """The series of add_scalars, of which the first session logged one point only."""
    code = """
    writer = SafeSummaryWriter(run, resume=number > 0, unique=False)
    for step in steps:
        value = step + 1000 * number
        writer.add_scalars("loss", {"train": value, "val": value}, step)
    """
    for number, steps in enumerate((range(1), range(6), range(4, 10))):
        if number == 2:
            yield
        assert sessions.run(code, run=run, number=number, steps=steps).warnings == []


def test_series_are_resumed_too(resumed: Situations) -> None:
    """Each series of add_scalars is one clean curve, in a directory with one file a session."""
    expected = points(1, *range(4)) + points(2, *range(4, 10))
    for name in ("series/loss_train", "series/loss_val"):
        resumed.assert_all_show(expected, name)
        assert len(event_files(resumed.logdir / name)) == 3


@situations.add
def purged_and_resumed(run: Path, sessions: Sessions) -> Iterator[None]:
    """resume=True with purge_step, where the first restart is by epochs."""
    code = """
    writer = SafeSummaryWriter(run, **more)
    for step in steps:
        writer.add_scalar("batch", step + 1000 * number, step)
    """
    sessions.run(code, run=run, number=0, steps=range(20), more={"unique": False})
    yield
    more = {"resume": True, "purge_step": 12}
    assert sessions.run(code, run=run, number=1, steps=range(15, 18), more=more).warnings == []


def test_purge_step_names_the_restart_of_a_resumed_run(resumed: Situations) -> None:
    """The Python reader cuts at purge_step; the default one where the tag is logged again."""
    shown = resumed.scalars("purged_and_resumed", "batch")
    new = points(1, 15, 16, 17)
    assert shown["live", "python"] == shown["restarted", "python"] == points(0, *range(12)) + new
    assert shown["live", "fast"] == shown["restarted", "fast"] == points(0, *range(15)) + new


@situations.add
def purged_series(run: Path, sessions: Sessions) -> Iterator[None]:
    """purge_step alone, for a run with series, and a tag that is logged without a step then."""
    code = """
    writer = SafeSummaryWriter(run, unique=False, **more)
    for step in steps:
        writer.add_scalars("loss", {"train": step + 1000 * number}, step)
        writer.add_scalar("lr", step + 1000 * number, step)
        writer.add_scalar("counted", step + 1000 * number)
    """
    sessions.run(code, run=run, number=0, steps=range(10), more={})
    yield
    session = sessions.run(code, run=run, number=1, steps=range(5, 8), more={"purge_step": 5})
    assert [category for category, _ in session.warnings] == ["MissingStepWarning"]


def test_purge_step_works_for_series_and_for_missing_steps(resumed: Situations) -> None:
    """A series is purged like a tag, and a tag without steps goes on at purge_step."""
    expected = points(0, *range(5)) + points(1, *range(5, 8))
    resumed.assert_all_show(expected, "purged_series", "lr")
    resumed.assert_all_show(expected, "purged_series", "counted")
    resumed.assert_all_show(expected, "purged_series/loss_train")


@situations.add
def torn_predecessor(run: Path, sessions: Sessions) -> Iterator[None]:
    """The last record of the earlier session is torn."""
    # Moved to its place afterwards: no reader may see the record whole.
    aside = run.parent.with_name("aside")
    log(sessions, aside, 0, range(10), unique=False)
    (file,) = event_files(aside)
    os.truncate(file, os.path.getsize(file) - 7)
    aside.rename(run)
    yield
    log(sessions, run, 1, range(9, 15))


def test_a_torn_predecessor(resumed: Situations) -> None:
    """The run goes on behind a torn record, and the ledger knows what is before it."""
    expected = points(0, *range(9)) + points(1, *range(9, 15))
    resumed.assert_all_show(expected, "torn_predecessor")
    first, second = event_files(resumed.run("torn_predecessor"))
    assert [record.verdict for record in read_records(first)][-1] is Verdict.TORN
    assert {record.verdict for record in read_records(second)} == {Verdict.OK}


@situations.add
def predecessor_from_the_future(run: Path, sessions: Sessions) -> Iterator[None]:
    """The clock of another host was far ahead, and its pid has other digits."""
    log(sessions, run, 0, range(10), unique=False)
    (file,) = event_files(run)
    os.rename(file, run / "events.out.tfevents.4000000000.zzz.99999999.9")
    log(sessions, run, 1, range(5, 15))
    yield
    log(sessions, run, 2, range(10, 20))


def test_a_predecessor_from_the_future(resumed: Situations) -> None:
    """The files of all sessions are read in the order in which they were written."""
    name = "predecessor_from_the_future"
    expected = points(0, *range(5)) + points(1, *range(5, 10)) + points(2, *range(10, 20))
    resumed.assert_all_show(expected, name)
    assert len(event_files(resumed.run(name))) == 3


@situations.add
def written_by_torch(run: Path, sessions: Sessions) -> Iterator[None]:
    """A run of torch's own writer goes on."""
    with SummaryWriter(str(run)) as writer:
        for step in range(10):
            writer.add_scalar("loss", step, step)
    yield
    log(sessions, run, 1, range(6, 12))


def test_a_run_written_by_torch(resumed: Situations) -> None:
    """A run of torch's writer is resumed like one of ours."""
    expected = points(0, *range(6)) + points(1, *range(6, 12))
    resumed.assert_all_show(expected, "written_by_torch")


@situations.add
def new_tag_first(run: Path, sessions: Sessions) -> Iterator[None]:
    """A session logs a tag that the run did not have, and then a known one, both again."""
    log(sessions, run, 0, range(10), "loss", unique=False)
    yield
    log(sessions, run, 1, range(5, 8), "new", "loss")


def test_a_new_tag_before_the_first_known_one(resumed: Situations) -> None:
    """The restart is announced behind the new tag's first point, and does not hide it."""
    resumed.assert_all_show(points(0, *range(5)) + points(1, 5, 6, 7), "new_tag_first")
    resumed.assert_all_show(points(1, 5, 6, 7), "new_tag_first", "new")


@situations.add
def closed_while_another_process_wrote(run: Path, sessions: Sessions) -> Iterator[None]:
    """A writer is closed, another process resumes the run and dies, and the writer goes on."""
    writer = SafeSummaryWriter(run, unique=False)
    for step in range(5):
        writer.add_scalar("loss", step, step)
    writer.close()
    log(sessions, run, 1, range(5, 10))
    yield
    for step in range(10, 15):
        writer.add_scalar("loss", step, step)
    writer.close()


def test_a_writer_that_is_used_again_after_another_process(resumed: Situations) -> None:
    """A reopened run goes on in a file that is read after what was written meanwhile."""
    expected = points(0, *range(5)) + points(1, *range(5, 10)) + points(0, *range(10, 15))
    resumed.assert_all_show(expected, "closed_while_another_process_wrote")


@situations.add
def two_resumed_writers(run: Path, sessions: Sessions) -> Iterator[None]:
    """Two writers of one process resume the same run and take turns."""
    log(sessions, run, 0, range(10), unique=False)
    with SafeSummaryWriter(run, resume=True) as first, SafeSummaryWriter(run, resume=True) as other:
        for step in range(5, 9, 2):
            first.add_scalar("loss", step, step)
            other.add_scalar("loss", step + 1, step + 1)
        yield
    with SafeSummaryWriter(run, resume=True) as third:
        third.add_scalar("loss", 9, 9)


def test_resume_after_resume_in_one_process(resumed: Situations) -> None:
    """All writers of a process that resume a run share one file and one curve."""
    resumed.assert_all_show(points(0, *range(10)), "two_resumed_writers")
    assert len(event_files(resumed.run("two_resumed_writers"))) == 2


def test_no_resumed_run_was_warned_of(resumed: Situations) -> None:
    """What an earlier session logged is expected; only two live writers of one tag are told."""
    told = {name: [each.category for each in caught] for name, caught in resumed.warned.items()}
    assert told.pop("two_resumed_writers") == [SharedTagWarning]
    assert not any(told.values())


def names(directory: Path) -> list[str]:
    """Return the names of the runs in a log directory, sorted."""
    return sorted(entry.name for entry in directory.iterdir() if entry.name != ".safewriter")


def test_the_newest_run_goes_on(tmp_path: Path, sessions: Sessions) -> None:
    """Of many runs that began in one second the last one goes on, and then the one that went on."""
    code = """
    for number in range(12):
        writer = SafeSummaryWriter(logs, comment=f"{number}", **more)
        writer.add_scalar("loss", 0.0, 0)
    report(writer.log_dir)
    """
    begun = sessions.run(code, logs=tmp_path, more={}).reports[0]
    assert log(sessions, tmp_path, 1, range(3)).reports == [begun]
    other = sessions.run("report(SafeSummaryWriter(logs).log_dir)", logs=tmp_path).reports[0]
    assert other != begun
    assert log(sessions, tmp_path, 2, range(3)).reports == [other]
    again = sessions.run("report(SafeSummaryWriter(run, resume=True).log_dir)", run=begun)
    assert again.reports == [begun]
    assert log(sessions, tmp_path, 3, range(3)).reports == [begun]


def test_a_run_goes_on_under_its_comment_and_its_rank(tmp_path: Path, sessions: Sessions) -> None:
    """With a comment, or as one of several ranks, only a run of the same name goes on."""
    code = """
    os.environ.update(RANK=rank, WORLD_SIZE=size)
    warnings.simplefilter("ignore")
    writer = SafeSummaryWriter(logs, **more)
    writer.add_scalar("loss", 0.0, 0)
    report(writer.log_dir)
    """
    kinds = [("0", "1", "a"), ("0", "1", "b"), ("0", "2", ""), ("1", "2", ""), ("1", "2", "a")]
    began = [
        sessions.run(code, logs=tmp_path, rank=rank, size=size, more={"comment": comment}).reports
        for rank, size, comment in kinds
    ]
    assert len({tuple(reports) for reports in began}) == 5
    for (rank, size, comment), reports in zip(kinds, began, strict=True):
        more = {"comment": comment, "resume": True}
        went_on = sessions.run(code, logs=tmp_path, rank=rank, size=size, more=more)
        assert went_on.reports == reports
    more = {"comment": "c", "resume": True}
    new = sessions.run(code, logs=tmp_path, rank="0", size="1", more=more)
    assert new.reports not in began


def test_without_an_earlier_run_a_new_one_begins(tmp_path: Path, sessions: Sessions) -> None:
    """resume=True makes a run where there is none, and goes on with it the next time."""
    (tmp_path / "notes").mkdir()
    (directory,) = log(sessions, tmp_path, 0, range(3)).reports
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", Path(directory).name)
    assert log(sessions, tmp_path, 1, range(3)).reports == [directory]
    (exactly,) = log(sessions, tmp_path / "missing", 0, range(3), unique=False).reports
    assert exactly == str(tmp_path / "missing")


def test_log_dir_itself_goes_on_if_it_is_a_run(tmp_path: Path, sessions: Sessions) -> None:
    """A run is not left for its series below, and unique=False never goes below log_dir."""
    run = tmp_path / "run"
    sessions.run(
        """
        writer = SafeSummaryWriter(run, unique=False)
        writer.add_scalars("loss", {"a": 0.0}, 0)
        """,
        run=run,
    )
    assert log(sessions, run, 1, range(3)).reports == [str(run)]
    assert log(sessions, tmp_path, 1, range(3)).reports == [str(run)]
    assert log(sessions, tmp_path, 1, range(3), unique=False).reports == [str(tmp_path)]


def test_a_run_that_a_live_process_writes_is_passed_over(
    tmp_path: Path, sessions: Sessions
) -> None:
    """Not the newest run but the newest that nobody writes goes on, which is told; if it was named:
    an error.
    """
    (older,) = log(sessions, tmp_path, 0, range(3)).reports
    code = """
    import sys
    from safewriter import SafeSummaryWriter
    writer = SafeSummaryWriter(sys.argv[1])
    writer.add_scalar("loss", 0.0, 0)
    print(writer.log_dir)
    sys.stdin.readline()
    """
    with spawn_python(code, args=[tmp_path]) as live:
        newest = live.wait_for_line(str(tmp_path))
        arguments = {"run": tmp_path, "steps": range(3), "tags": ("loss",), "more": {}}
        resumed = sessions.run(LOG, number=1, **arguments)
        assert resumed.reports == [older]
        ((name, message),) = resumed.warnings
        assert name == "SplitRunWarning"
        assert f"passes over {newest!r}, because process {live.pid} " in message
        with pytest.raises(RunLockedError, match=f"written by process {live.pid} "):
            SafeSummaryWriter(newest, resume=True)
        shutil.rmtree(older)
        (new,) = sessions.run(LOG, number=2, **arguments).reports
        assert new not in (older, newest)
    assert log(sessions, Path(newest), 3, range(3)).reports == [newest]


def test_processes_that_resume_at_once_get_a_run_each(tmp_path: Path, sessions: Sessions) -> None:
    """Of processes that resume at one moment none fails, and no two get one run."""
    code = """
    begin, end, answers = os.pipe(), os.pipe(), os.pipe()
    for number in range(6):
        if os.fork() == 0:
            os.close(begin[1]), os.close(end[1])
            os.read(begin[0], 1)
            try:
                with SafeSummaryWriter(logs, resume=True) as writer:
                    writer.add_scalar("loss", 0.0, 0)
                    os.write(answers[1], (writer.log_dir + "\\n").encode())
                    os.read(end[0], 1)  # ends when all have answered
            finally:
                os._exit(0)
    os.close(answers[1])
    os.close(begin[1])
    with os.fdopen(answers[0]) as pipe:
        report([pipe.readline().strip() for number in range(6)])
    os.close(end[1])
    for number in range(6):
        os.wait()
    """
    earlier = {log(sessions, tmp_path, 0, range(1), comment=str(n)).reports[0] for n in range(3)}

    (directories,) = sessions.run(code, logs=tmp_path).reports
    assert len(directories) == len(set(directories)) == 6
    assert earlier < set(directories)


# Seconds since the epoch have ten digits until 2286; some tools write milliseconds.
_DIGITS = st.one_of(
    st.integers(0, 10**10 - 2).map("{:010d}".format),
    st.integers(0, 10**9 - 1).map(str),
    st.integers(10**12, 9 * 10**12).map(str),
)
_NAMES = st.builds(
    "events.out.tfevents.{}.{}.{}.{}{}".format,
    _DIGITS,
    st.sampled_from(["host", "zzz", "AAA", "0", "~"]),
    st.integers(1, 99999),
    st.integers(0, 10),
    st.sampled_from(["", ".suffix", "~", ".bak"]),
)


@given(names=st.sets(_NAMES, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_a_new_file_sorts_behind_all_predecessors(
    tmp_path_factory: pytest.TempPathFactory, names: set[str]
) -> None:
    """Whatever clock, host, pid and suffix predecessors have, the new file is read last."""
    run = tmp_path_factory.mktemp("run")
    for name in names:
        (run / name).write_bytes(eb.version_record())
    with SafeSummaryWriter(run, resume=True) as writer:
        writer.add_scalar("loss", 0.0, 0)
    (new,) = set(os.listdir(run)) - names - {".safewriter"}
    assert all(os.fsencode(name) < os.fsencode(new) for name in names)


TAGS = ("loss", "val/loss", "lr")

_EVENT = st.tuples(st.sampled_from(TAGS), st.integers(0, 12))
_SESSION = st.tuples(
    st.lists(_EVENT, max_size=8), st.sampled_from(["killed", "closed", "reopened"])
)


@given(split=st.lists(_SESSION, min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_any_split_into_sessions_reads_back_as_logged(
    tmp_path_factory: pytest.TempPathFactory,
    sessions: Sessions,
    split: list[tuple[list[tuple[str, int]], str]],
) -> None:
    """Any steps in any order, in any crashed and resumed sessions: every event, in order, once.

    Behind an announced restart the session's own earlier events stand once more, byte by byte.
    """
    run = tmp_path_factory.mktemp("run")
    logged: list[tuple[str, int, int]] = []
    for events, end in split:
        numbered = [(tag, step, len(logged) + n) for n, (tag, step) in enumerate(events)]
        sessions.run(
            """
            writer = SafeSummaryWriter(run, resume=True, unique=False)
            for tag, step, value in events:
                writer.add_scalar(tag, value, step)
                writer.close() if end == "reopened" else None
            writer.close() if end == "closed" else None
            """,
            run=run,
            events=numbered,
            end=end,
        )
        logged += numbered
    seen = {
        event.SerializeToString(): [
            (value.tag, event.step, int(value.simple_value)) for value in event.summary.value
        ]
        for event in read_events(run)
        if event.HasField("summary")
    }
    assert [value for values in seen.values() for value in values] == logged
    curves = {
        tag: list(dict.fromkeys(zip(curve.steps.tolist(), curve.values.tolist(), strict=True)))
        for tag, curve in read_scalars(run).items()
    }
    expected: dict[str, Points] = {}
    for tag, step, number in logged:
        expected.setdefault(tag, []).append((step, float(number)))
    assert curves == expected
    assert len(event_files(run)) == len(split)


@given(
    first=st.integers(2, 8),
    others=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 8)), max_size=4),
    orders=st.lists(st.permutations(TAGS), min_size=5, max_size=5),
    config=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_any_restart_is_one_clean_curve_in_the_python_reader(
    tmp_path_factory: pytest.TempPathFactory,
    sessions: Sessions,
    first: int,
    others: list[tuple[float, int]],
    orders: list[tuple[str, ...]],
    config: bool,
) -> None:
    """Wherever sessions begin again, each curve is the earlier points before that, and the new."""
    run = tmp_path_factory.mktemp("run")
    end, clean = 0, Points()
    for number, (share, length) in enumerate([(0.0, first), *others]):
        start = round(share * end)
        steps = range(start, start + length)
        sessions.run(
            """
            writer = SafeSummaryWriter(run, resume=True, unique=False)
            if config:
                writer.add_text("config", "words", 0)
                writer.add_scalar("parameters", 1.0, 0)
            for step in steps:
                for tag in tags:
                    writer.add_scalar(tag, step + 1000 * number, step)
            """,
            run=run,
            number=number,
            steps=steps,
            tags=orders[number],
            config=config,
        )
        clean = [point for point in clean if point[0] < start] + points(number, *steps)
        end = start + length
    shown = readers.read_scalars(run)
    assert {tag: shown[tag] for tag in TAGS} == dict.fromkeys(TAGS, clean)
    if config:
        assert set(shown["parameters"]) == {(0, 1.0)}
        tensors = readers.accumulate(run).Tensors("config/text_summary")
        assert {tensor.step for tensor in tensors} == {0}


_STEPS = st.one_of(
    st.integers(-3, 12),
    st.sampled_from([-(2**63), 2**63 - 1, 2**31, np.int64(5), np.int32(7), None, None]),
)


@given(events=st.lists(st.tuples(st.sampled_from(TAGS), _STEPS), max_size=25))
@settings(max_examples=100, deadline=None)
def test_no_warning_costs_an_event(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, Any]]
) -> None:
    """Any steps of any tags in one session: every event is there, whatever was warned of."""
    run = tmp_path_factory.mktemp("run")
    expected: list[tuple[str, int, int]] = []
    last: dict[str, int] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with SafeSummaryWriter(run, unique=False) as writer:
            writer.add_text("first", "words", 0)
            for number, (tag, step) in enumerate(events):
                writer.add_scalar(tag, number, step)
                if step is None:
                    step = min(last[tag] + 1, 2**63 - 1) if tag in last else 0
                last[tag] = int(step)
                expected.append((tag, int(step), number))
    written = [
        (value.tag, event.step, int(value.simple_value))
        for event in list(read_events(run))[2:]
        for value in event.summary.value
    ]
    assert written == expected


def test_going_back_within_a_resumed_session_is_warned_of(
    tmp_path: Path, sessions: Sessions
) -> None:
    """Only what an earlier session logged may be logged again without a word."""
    log(sessions, tmp_path, 0, range(10), unique=False)
    with SafeSummaryWriter(tmp_path, resume=True) as writer:
        writer.add_scalar("loss", 0.0, 5)
        with pytest.warns(StepOrderWarning, match="'loss' goes back from step 5 to step 3"):
            writer.add_scalar("loss", 0.0, 3)


def test_going_back_in_a_second_writer_is_warned_of(tmp_path: Path) -> None:
    """The writers of one process that resume a run are one session, also one after the other."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        writer.add_scalar("loss", 0.0, 5)
    with (
        SafeSummaryWriter(tmp_path, resume=True) as writer,
        pytest.warns(StepOrderWarning, match="'loss' goes back from step 5 to step 3"),
    ):
        writer.add_scalar("loss", 0.0, 3)
    assert len(event_files(tmp_path)) == 1


def test_a_missing_step_goes_on_behind_the_earlier_session(
    tmp_path: Path, sessions: Sessions
) -> None:
    """A tag that is logged without a step goes on where the earlier session ended."""
    log(sessions, tmp_path, 0, range(10), unique=False)
    session = sessions.run(
        """
        writer = SafeSummaryWriter(run, resume=True)
        writer.add_scalar("loss", 10.0)
        """,
        run=tmp_path,
    )
    assert [category for category, _ in session.warnings] == ["MissingStepWarning"]
    assert readers.read_scalars(tmp_path) == {"loss": points(0, *range(11))}


def test_a_run_that_cannot_be_read_is_explained(tmp_path: Path, sessions: Sessions) -> None:
    """An earlier file of another user, which only he may read, is an error with a cure."""
    if os.getuid():
        pytest.skip("only root can make a file that its process may not read")
    log(sessions, tmp_path / "run", 0, range(3), unique=False)
    (file,) = event_files(tmp_path / "run")
    os.chmod(file, 0o600)
    for path in (tmp_path / "run").rglob("*"):
        if str(path) != file:
            os.chmod(path, 0o777)
    os.chmod(tmp_path / "run", 0o777)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_mode & 0o005 != 0o005:
            os.chmod(parent, parent.stat().st_mode | 0o005)
    session = sessions.run(
        """
        os.seteuid(65534)
        try:
            SafeSummaryWriter(run, resume=True)
        except Exception as error:
            report([type(error).__name__, str(error)])
        """,
        run=tmp_path / "run",
    )
    ((category, message),) = session.reports
    assert category == "RunDirectoryError"
    assert str(tmp_path / "run") in message
    assert "permissions" in message
