"""What TensorBoard hides in silence, made through our writer and asked of both of its readers.

The numbers are the rows of docs/reader-traps.md.
"""

from __future__ import annotations

import math
import os
import re
import resource
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from safewriter import (
    InvisibleValueWarning,
    MissingStepWarning,
    RunDirectoryError,
    SafeSummaryWriter,
    SharedTagWarning,
    StepOrderWarning,
    TagKindWarning,
    WriteErrorWarning,
)
from safewriter.events import Verdict, event_files, read_records, read_scalars
from tests.support import event_bytes as eb
from tests.support.both_readers import READERS, Points, Situations
from tests.support.processes import REPOSITORY
from tests.support.sessions import Session, Sessions

situations = Situations()


def exactly(directory: Path, **kwargs: object) -> SafeSummaryWriter:
    """Return a writer on exactly this directory."""
    return SafeSummaryWriter(directory, unique=False, **kwargs)  # type: ignore[arg-type]


def line(*steps: int) -> Points:
    """Return the points of ``value = step``."""
    return [(step, float(step)) for step in steps]


def log(writer: SafeSummaryWriter, *steps: int, tag: str = "loss") -> None:
    """Log ``value = step``."""
    for step in steps:
        writer.add_scalar(tag, step, step)


def messages(name: str, category: type[Warning]) -> list[str]:
    """Return the warnings of a situation, which are all of one category, at lines of this file."""
    caught = situations.warned[name]
    assert {warning.category for warning in caught} == {category}, caught
    assert {warning.filename for warning in caught} == {__file__}, caught
    return [str(warning.message) for warning in caught]


@pytest.fixture(scope="module")
def traps(tmp_path_factory: pytest.TempPathFactory) -> Situations:
    """Every situation, played once."""
    situations.play(tmp_path_factory.mktemp("traps"))
    return situations


@situations.add
def two_writers(run: Path, sessions: Sessions) -> Iterator[None]:
    """Two writers of one process take turns in one directory."""
    with exactly(run) as first, exactly(run) as second:
        for step in range(0, 10, 2):
            log(first, step)
            log(second, step + 1)
        yield
        for step in range(10, 20, 2):
            log(second, step)
            log(first, step + 1)


def test_row_01_two_writers_in_one_directory(traps: Situations) -> None:
    """Two writers of a process share one event file, so that neither hides the other's points."""
    traps.assert_all_show(line(*range(20)), "two_writers")
    assert len(event_files(traps.run("two_writers"))) == 1
    (message,) = messages("two_writers", SharedTagWarning)
    assert message.count(f"{__file__}:") == 2  # where the writers were made


def test_row_01_a_second_process_is_refused(tmp_path: Path) -> None:
    """A second process cannot write to a directory that a live one writes to."""
    with Sessions() as sessions, exactly(tmp_path) as writer:
        log(writer, 0)
        with pytest.raises(AssertionError, match=f"RunLockedError.*process {os.getpid()}"):
            sessions.run("SafeSummaryWriter(run, unique=False)", run=tmp_path)
    assert len(event_files(tmp_path)) == 1


@situations.add
def later_predecessors(run: Path, sessions: Sessions) -> Iterator[None]:
    """The clock was wrong when the predecessors were written, and their names sort high."""
    run.mkdir()
    for number, name in enumerate(
        (
            "4000000000.zzz-host.99999.9",
            "4000000000.zzz-host.9.0",
            "4000000000.zzz-host.9.10.suffix",
        )
    ):
        data = eb.version_record() + eb.scalar_record("loss", 2 * number, 2 * number)
        data += eb.scalar_record("loss", 2 * number + 1, 2 * number + 1)
        (run / f"events.out.tfevents.{name}").write_bytes(data)
    yield
    with SafeSummaryWriter(run, resume=True) as writer:
        log(writer, *range(6, 10))


def test_row_02_a_predecessor_whose_name_sorts_high(traps: Situations) -> None:
    """A new event file sorts behind predecessors from the future, other hosts and other pids."""
    names = sorted(os.listdir(traps.run("later_predecessors")), key=os.fsencode)
    assert f".{os.getpid()}." in names[-1]
    for view, shown in traps.scalars("later_predecessors").items():
        assert shown[-4:] == line(*range(6, 10)), view


def limited(writer: SafeSummaryWriter, run: Path, step: int) -> None:
    """Log a point of which the file system takes only ten bytes."""
    (file,) = event_files(run)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(file) + 10, hard))
    try:
        log(writer, step)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


_TORN = """
import resource
writer = SafeSummaryWriter(run, unique=False)
for step in range(5):
    writer.add_scalar("loss", step, step)
(file,) = [name for name in os.listdir(run) if "tfevents" in name]
size = os.path.getsize(os.path.join(run, file)) + 10
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
for step in range(5, 8):
    writer.add_scalar("loss", step, step)
"""
_killed: dict[str, Session] = {}


@situations.add
def killed_in_a_write(run: Path, sessions: Sessions) -> Iterator[None]:
    """The disk takes a part of a record, and the process is killed before it takes the rest."""
    _killed["killed_in_a_write"] = sessions.run(_TORN, run=run)
    yield


def test_row_03_a_torn_last_record(traps: Situations) -> None:
    """A record that was cut off hides nothing before it, and what is missing was announced."""
    traps.assert_all_show(line(*range(5)), "killed_in_a_write")
    (file,) = event_files(traps.run("killed_in_a_write"))
    assert [record.verdict for record in read_records(file)][-1] is Verdict.TORN
    ((category, message),) = _killed["killed_in_a_write"].warnings
    assert category == "WriteErrorWarning"
    assert "wait in memory" in message


@situations.add
def disk_full_for_a_while(run: Path, sessions: Sessions) -> Iterator[None]:
    """Readers see a torn record, and the disk takes the rest of it later."""
    with exactly(run) as writer:
        log(writer, *range(5))
        limited(writer, run, 5)
        yield
        writer.flush()
        log(writer, *range(6, 10))


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(4, id="04-nothing-is-appended-behind-a-torn-record"),
        pytest.param(5, id="05-its-remaining-bytes-follow"),
        pytest.param(6, id="06-it-is-not-truncated"),
    ],
)
def test_row_04_05_06_a_torn_record_is_completed(traps: Situations, row: int) -> None:
    """Every point is shown, also by readers that saw the record torn: its own bytes follow."""
    for reader in READERS:
        assert traps.half[reader].scalars["disk_full_for_a_while"]["loss"] == line(*range(5))
    traps.assert_all_show(line(*range(10)), "disk_full_for_a_while")
    (file,) = event_files(traps.run("disk_full_for_a_while"))
    assert {record.verdict for record in read_records(file)} == {Verdict.OK}
    caught = messages("disk_full_for_a_while", WriteErrorWarning)
    assert ["failed" in caught[0], "again" in caught[1], len(caught)] == [True, True, 2]


@situations.add
def resumed_behind_a_torn_record(run: Path, sessions: Sessions) -> Iterator[None]:
    """A run whose last record is torn goes on."""
    sessions.run(_TORN, run=run)
    yield
    session = sessions.run(
        """
        writer = SafeSummaryWriter(run, resume=True)
        for step in range(5, 10):
            writer.add_scalar("loss", step, step)
        """,
        run=run,
    )
    assert session.warnings == []


def test_row_07_a_torn_file_and_a_later_one(traps: Situations) -> None:
    """A resumed run goes on in a new file, which the torn end of the old one does not hide."""
    traps.assert_all_show(line(*range(10)), "resumed_behind_a_torn_record")
    assert len(event_files(traps.run("resumed_behind_a_torn_record"))) == 2


def test_row_08_checksums_are_right(traps: Situations) -> None:
    """Every record of every situation has right checksums, so the Python reader stops nowhere."""
    torn = {"killed_in_a_write", "resumed_behind_a_torn_record"}
    for name in traps.names:
        for file in event_files(traps.run(name)):
            verdicts = {record.verdict for record in read_records(file)}
            assert verdicts - ({Verdict.TORN} if name in torn else set()) == {Verdict.OK}, name


@situations.add
def nothing_logged_yet(run: Path, sessions: Sessions) -> Iterator[None]:
    """A writer is made, and its first event is long in coming."""
    with exactly(run) as writer:
        yield
        log(writer, 0)


def test_row_09_a_run_is_listed_before_its_first_event(traps: Situations) -> None:
    """A run is listed by both readers as soon as its writer is made."""
    for reader in READERS:
        assert "nothing_logged_yet" in traps.half[reader].runs
    traps.assert_all_show(line(0), "nothing_logged_yet")


@situations.add
def steps_go_back(run: Path, sessions: Sessions) -> Iterator[None]:
    """A tag's step falls."""
    with exactly(run) as writer:
        log(writer, *range(10))
        yield
        log(writer, 5, 6)


def test_row_10_steps_go_back(traps: Situations) -> None:
    """A falling step is warned of once, and the default reader hides what the warning says."""
    (message,) = messages("steps_go_back", StepOrderWarning)
    assert "'loss' goes back from step 9 to step 5" in message
    assert "hides the points that this tag already has at step 5 and later" in message
    shown = traps.scalars("steps_go_back")
    assert shown["restarted", "fast"] == shown["live", "fast"] == line(0, 1, 2, 3, 4, 5, 6)
    assert shown["restarted", "python"] == shown["live", "python"] == line(*range(10), 5, 6)


@situations.add
def purged(run: Path, sessions: Sessions) -> Iterator[None]:
    """The first restart of a run, with purge_step."""
    code = """
    writer = SafeSummaryWriter(run, unique=False, **more)
    for step in steps:
        writer.add_scalar("loss", step * factor, step)
        writer.add_scalar("rare", step * factor, step) if factor == 1 else None
    """
    sessions.run(code, run=run, steps=range(10), factor=1, more={})
    yield
    session = sessions.run(code, run=run, steps=range(5, 8), factor=2, more={"purge_step": 5})
    assert session.warnings == []


def test_row_11_purge_step_works_at_the_first_restart(traps: Situations) -> None:
    """The new points are shown by both readers, and the Python one hides the rest of all tags."""
    new = line(*range(5)) + [(step, 2.0 * step) for step in range(5, 8)]
    traps.assert_all_show(new, "purged")
    rare = traps.scalars("purged", "rare")
    assert rare["live", "python"] == rare["restarted", "python"] == line(*range(5))


@situations.add
def no_steps_at_all(run: Path, sessions: Sessions) -> Iterator[None]:
    """global_step is left out, again and again; and one step is logged twice."""
    with exactly(run) as writer:
        for value in range(5):
            writer.add_scalar("loss", value)
        yield
        for value in range(5, 10):
            writer.add_scalar("loss", value)


@situations.add
def one_step_twice(run: Path, sessions: Sessions) -> Iterator[None]:
    """A step is logged twice."""
    with exactly(run) as writer:
        log(writer, 0, 1)
        yield
        writer.add_scalar("loss", 1.5, 1)


def test_row_12_missing_steps_are_counted(traps: Situations) -> None:
    """Points without a step follow each other, where torch puts all of them on step 0."""
    (message,) = messages("no_steps_at_all", MissingStepWarning)
    assert "'loss' was logged without global_step" in message
    traps.assert_all_show(line(*range(10)), "no_steps_at_all")


def test_row_12_one_step_twice(traps: Situations) -> None:
    """A step that is logged twice is warned of, and the last point is shown."""
    (message,) = messages("one_step_twice", StepOrderWarning)
    assert "'loss' was logged twice at step 1" in message
    for view, shown in traps.scalars("one_step_twice").items():
        assert shown[-1] == (1, 1.5), view


@situations.add
def one_step_forgotten(run: Path, sessions: Sessions) -> Iterator[None]:
    """global_step is forgotten once, behind ten points."""
    with exactly(run) as writer:
        log(writer, *range(10))
        yield
        writer.add_scalar("loss", 10.0)


def test_row_13_one_forgotten_step(traps: Situations) -> None:
    """A forgotten step does not erase the curve: the point goes behind its end, with a warning."""
    (message,) = messages("one_step_forgotten", MissingStepWarning)
    assert "written at step 10" in message
    traps.assert_all_show(line(*range(11)), "one_step_forgotten")


@situations.add
def odd_values(run: Path, sessions: Sessions) -> Iterator[None]:
    """Values that are not finite, and the lowest and the highest steps."""
    with exactly(run) as writer:
        for step, value in ((-(2**63), 1.0), (-5, math.nan), (0, math.inf)):
            writer.add_scalar("loss", value, step)
        yield
        for step, value in ((1, -math.inf), (2**53 + 1, 2.0), (2**63 - 1, 3.0)):
            writer.add_scalar("loss", value, step)


def test_row_14_odd_values_and_steps(traps: Situations) -> None:
    """Values that are not finite are warned of; they and steps up to 64 bits are served."""
    (message,) = messages("odd_values", InvisibleValueWarning)
    assert "'loss' has the value nan at step -5" in message
    expected = [
        (-(2**63), 1.0),
        (-5, "nan"),
        (0, math.inf),
        (1, -math.inf),
        (2**53 + 1, 2.0),
        (2**63 - 1, 3.0),
    ]
    for view, shown in traps.scalars("odd_values").items():
        points = [(step, "nan" if math.isnan(value) else value) for step, value in shown]
        assert points == expected, view


@situations.add
def wall_time_not_finite(run: Path, sessions: Sessions) -> Iterator[None]:
    """A wall time that is no time."""
    with exactly(run) as writer:
        log(writer, 0)
        yield
        for walltime in (math.nan, math.inf, -math.inf):
            with pytest.raises(ValueError, match=r"walltime .* of 'loss' is not finite"):
                writer.add_scalar("loss", 0.5, 1, walltime)
        log(writer, 1, 2)


def test_row_15_wall_times_are_finite(traps: Situations) -> None:
    """A wall time that would end the file for the default reader is refused; the rest is shown."""
    traps.assert_all_show(line(0, 1, 2), "wall_time_not_finite")


@situations.add
def double_precision(run: Path, sessions: Sessions) -> Iterator[None]:
    """Scalars in double precision beside others."""
    with exactly(run) as writer:
        log(writer, *range(3))
        yield
        for step in range(3):
            writer.add_scalar("double", step, step, new_style=True, double_precision=True)


def test_row_16_double_precision(traps: Situations) -> None:
    """Scalars that the default reader does not show are warned of; they are in the file."""
    (message,) = messages("double_precision", InvisibleValueWarning)
    assert "'double' is logged with double_precision=True" in message
    traps.assert_all_show(line(*range(3)), "double_precision")
    shown = traps.scalars("double_precision", "double")
    assert shown["live", "fast"] == shown["restarted", "fast"] == []
    assert shown["live", "python"] == shown["restarted", "python"] == line(*range(3))


def test_row_17_one_tag_for_two_kinds(tmp_path: Path) -> None:
    """A tag for two kinds of data is warned of, and as an error it is not written at all."""
    with exactly(tmp_path) as writer:
        log(writer, 0)
        with pytest.warns(TagKindWarning, match="'loss' is used for scalar and now for histogram"):
            writer.add_histogram("loss", np.arange(4.0), 0)
        writer.add_histogram("weights", np.arange(4.0), 0)
        (file,) = event_files(tmp_path)
        before = os.path.getsize(file)
        with warnings.catch_warnings(), pytest.raises(TagKindWarning, match="'weights'"):
            warnings.simplefilter("error")
            writer.add_image("weights", torch.zeros(3, 4, 4), 0)
        assert os.path.getsize(file) == before


@situations.add
def everything(run: Path, sessions: Sessions) -> Iterator[None]:
    """A run with some of everything, closed and used again."""
    writer = exactly(run, filename_suffix=".suffix")
    log(writer, *range(3))
    writer.add_histogram("weights", np.arange(4.0), 0)
    writer.add_image("picture", torch.zeros(3, 4, 4), 0)
    writer.add_text("note", "words", 0)
    writer.add_scalars("losses", {"a": 1.0, "b": 2.0}, 0)
    yield
    writer.close()
    log(writer, *range(3, 6))
    writer.add_hparams({"lr": 0.1}, {"metric": 1.0}, run_name="trial")
    writer.add_scalars("losses", {"a": 2.0, "b": 4.0}, 1)
    writer.close()


def test_row_18_one_file_with_tfevents_in_its_name(traps: Situations) -> None:
    """A run directory holds its one event file, and no other file in the open."""
    run = traps.run("everything")
    for directory in (run, run / "losses_a", run / "losses_b", run / "trial"):
        files = [entry.name for entry in directory.iterdir() if entry.is_file()]
        assert [Path(path).name for path in event_files(directory)] == files, directory
        assert len(files) == 1
    hidden = {path.name for path in (run / ".safewriter").iterdir()}
    assert hidden == {"lock", "run.json"}
    traps.assert_all_show(line(*range(6)), "everything")
    traps.assert_all_show([(0, 1.0), (1, 2.0)], "everything/losses_a", "losses")
    traps.assert_all_show([(0, 2.0), (1, 4.0)], "everything/losses_b", "losses")
    for shown in (traps.live, traps.restarted):
        for reader in READERS:
            assert shown[reader].histograms["everything"] == {"weights": [0]}
            assert shown[reader].images["everything"] == {"picture": [0]}
            ((step, html),) = shown[reader].texts["everything"]["note/text_summary"]
            assert (step, "words" in html) == (0, True)


def test_row_19_no_directory_with_tfevents_in_its_name(tmp_path: Path) -> None:
    """No directory is made with a name that makes the Python reader fail for every run."""
    bad = "tfevents-of-today"
    with pytest.raises(RunDirectoryError, match="has 'tfevents' in the name"):
        exactly(tmp_path / bad)
    with pytest.raises(RunDirectoryError, match="has 'tfevents' in the name"):
        SafeSummaryWriter(tmp_path / bad / "below")
    with pytest.raises(RunDirectoryError, match="has 'tfevents' in the name"):
        SafeSummaryWriter(tmp_path, comment=bad)
    with exactly(tmp_path / "run") as writer:
        log(writer, 0)
        with pytest.raises(RunDirectoryError, match="has 'tfevents' in the name"):
            writer.add_scalars("loss", {bad: 1.0}, 0)
        with pytest.raises(RunDirectoryError, match="has 'tfevents' in the name"):
            writer.add_scalars(bad, {"a": 1.0}, 0)
        with pytest.raises(RunDirectoryError, match="has 'tfevents' in the name"):
            writer.add_hparams({"lr": 0.1}, {"metric": 1.0}, run_name=bad)
    directories = [path.name for path in tmp_path.rglob("*") if path.is_dir()]
    assert sorted(directories) == [".safewriter", "run"]


NO_UTF8 = "loss\udcff"


@pytest.mark.parametrize(
    "call",
    [
        lambda writer: writer.add_scalar(NO_UTF8, 1.0, 0),
        lambda writer: writer.add_scalar(NO_UTF8, 1.0, 0, new_style=True),
        lambda writer: writer.add_scalars(NO_UTF8, {"a": 1.0}, 0),
        lambda writer: writer.add_scalars("losses", {"a": 1.0, NO_UTF8: 1.0}, 0),
        lambda writer: writer.add_text(NO_UTF8, "words", 0),
        lambda writer: writer.add_histogram(NO_UTF8, np.arange(4.0), 0),
        lambda writer: writer.add_image(NO_UTF8, torch.zeros(3, 4, 4), 0),
        lambda writer: writer.add_pr_curve(NO_UTF8, np.array([0, 1]), np.array([0.1, 0.9]), 0),
        lambda writer: writer.add_hparams({"lr": 0.1}, {NO_UTF8: 1.0}, run_name="trial"),
    ],
    ids="scalar new_style scalars series text histogram image pr_curve hparams".split(),
)
def test_row_20_tags_are_utf8(tmp_path: Path, call: Callable[[SafeSummaryWriter], None]) -> None:
    """A tag that is not UTF-8, which would freeze every run, is refused by name, unwritten."""
    with exactly(tmp_path) as writer:
        log(writer, 0)
        (file,) = event_files(tmp_path)
        before = os.path.getsize(file)
        with pytest.raises((ValueError, RunDirectoryError), match=r"loss\\udcff.*UTF-8"):
            call(writer)
        assert os.path.getsize(file) == before
        log(writer, 1)
    assert [path for path in tmp_path.rglob("*.tfevents.*") if path != Path(file)] == []
    assert list(read_scalars(tmp_path)["loss"].steps) == [0, 1]


def test_row_21_directory_names_are_utf8(tmp_path: Path) -> None:
    """A directory name that is not UTF-8, which would end the Python reader, is refused."""
    with pytest.raises(RunDirectoryError, match="not valid UTF-8"):
        exactly(tmp_path / "run\udcff")
    with pytest.raises(RunDirectoryError, match="not valid UTF-8"):
        SafeSummaryWriter(tmp_path, comment="run\udcff")
    with exactly(tmp_path) as writer:
        log(writer, 0)
        with pytest.raises(RunDirectoryError, match="not valid UTF-8"):
            writer.add_hparams({"lr": 0.1}, {"metric": 1.0}, run_name="trial\udcff")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [".safewriter"]


@pytest.mark.parametrize("umask", [0o022, 0o002])
def test_row_22_event_files_are_readable_from_the_start(tmp_path: Path, umask: int) -> None:
    """An event file has the mode that the umask gives from its creation on, never a private one."""
    before = os.umask(umask)
    try:
        with exactly(tmp_path) as writer:
            (file,) = event_files(tmp_path)
            assert os.stat(file).st_mode & 0o777 == 0o666 & ~umask
            log(writer, 0)
    finally:
        os.umask(before)
    assert os.stat(file).st_mode & 0o777 == 0o666 & ~umask


@situations.add
def directory_deleted(run: Path, sessions: Sessions) -> Iterator[None]:
    """The directory of a live run is deleted."""
    with exactly(run) as writer:
        log(writer, *range(5))
        yield
        shutil.rmtree(run)
        writer.flush()
        log(writer, *range(5, 10))


def test_row_23_a_directory_deleted_while_tensorboard_runs(traps: Situations) -> None:
    """What is logged after the deletion is there and shown, at the latest after a restart."""
    (message,) = messages("directory_deleted", WriteErrorWarning)
    assert "goes to a new event file" in message
    assert "do not delete or move the directory of a run that is being written" in message
    shown = traps.scalars("directory_deleted")
    steps = [int(step) for step in read_scalars(traps.run("directory_deleted"))["loss"].steps]
    assert steps[-1] == 9
    assert shown["restarted", "fast"] == shown["restarted", "python"] == line(*steps)
    assert shown["live", "fast"][-1] == (9, 9.0)


@situations.add
def opened_again_and_again(run: Path, sessions: Sessions) -> Iterator[None]:
    """Writers on one directory come and go."""
    for step in range(10):
        with exactly(run) as writer:
            log(writer, step)
    yield
    for step in range(10, 20):
        writer.close()
        log(writer, step)
    writer.close()


def test_row_24_closing_and_opening_adds_no_files(traps: Situations) -> None:
    """A process writes one event file to a directory, however often it closes and opens it."""
    assert len(event_files(traps.run("opened_again_and_again"))) == 1
    traps.assert_all_show(line(*range(20)), "opened_again_and_again")
    assert traps.warned["opened_again_and_again"] == []


@situations.add
def ten_thousand_points(run: Path, sessions: Sessions) -> Iterator[None]:
    """More points than TensorBoard shows of a tag."""
    with exactly(run) as writer:
        log(writer, *range(5000))
        yield
        log(writer, *range(5000, 10_000))


def test_row_25_more_points_than_are_shown(traps: Situations) -> None:
    """TensorBoard shows a sample of 1000 points with the last one; the run holds all of them."""
    for view, shown in traps.scalars("ten_thousand_points").items():
        assert len(shown) == 1000, view
        assert shown[-1] == (9999, 9999.0), view
    points = read_scalars(traps.run("ten_thousand_points"))["loss"]
    assert points.steps.tolist() == list(range(10_000))


def test_row_26_what_is_ours_is_hidden(traps: Situations) -> None:
    """The runs are those that were made, and nothing else is taken for one."""
    below = {"everything/losses_a", "everything/losses_b", "everything/trial"}
    for shown in (traps.live, traps.restarted):
        for reader in READERS:
            assert set(shown[reader].runs) == set(traps.names) | below


def test_row_27_events_are_shown_while_the_writer_is_open(traps: Situations) -> None:
    """Every point of a writer that was neither flushed nor closed is shown at the next reload."""
    for reader in READERS:
        assert traps.half[reader].scalars["two_writers"]["loss"] == line(*range(10))
        assert traps.half[reader].scalars["everything/losses_a"]["losses"] == [(0, 1.0)]
        assert traps.half[reader].images["everything"] == {"picture": [0]}


@situations.add
def text_only(run: Path, sessions: Sessions) -> Iterator[None]:
    """A run without curves."""
    with exactly(run) as writer:
        writer.add_text("note", "first", 0)
        yield
        writer.add_text("note", "second", 1)


def test_row_28_a_log_directory_that_is_a_file(tmp_path: Path) -> None:
    """A log_dir that TensorBoard would show as an empty page is refused, or is made."""
    (tmp_path / "file").touch()
    with pytest.raises(RunDirectoryError, match="a file is in the way"):
        exactly(tmp_path / "file")
    with exactly(tmp_path / "missing" / "parents") as writer:
        log(writer, 0)
    assert list(read_scalars(tmp_path / "missing" / "parents")) == ["loss"]


def test_row_29_a_run_of_texts_only(traps: Situations) -> None:
    """A run of texts is listed, with its texts and without curves."""
    for shown in (traps.live, traps.restarted):
        for reader in READERS:
            texts = shown[reader].texts["text_only"]["note/text_summary"]
            assert [step for step, _ in texts] == [0, 1]
            assert "text_only" in shown[reader].runs
            assert "text_only" not in shown[reader].scalars


def test_every_row_has_an_outcome_and_its_tests() -> None:
    """docs/reader-traps.md has rows 1 to 29, and each test that it names is in this file."""
    page = (REPOSITORY / "docs" / "reader-traps.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d+) \|(.*)\|$", page, re.MULTILINE))
    assert sorted(map(int, rows)) == list(range(1, 30))
    named = set(re.findall(r"`(test_\w+)`", page))
    assert named == {name for name in globals() if name.startswith("test_row_")}
    for row, cells in rows.items():
        assert f"test_row_{int(row):02}" in cells or "test_row_04_05_06" in cells, row
