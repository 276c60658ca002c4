"""Directories that other programs, processes and users change, share or have prepared."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from safewriter import SafeSummaryWriter
from safewriter.events import RunStatus, event_files, read_scalars, run_status
from tests.core.commands import run_command
from tests.support import event_bytes, readers, wait_until
from tests.support.both_readers import BothReaders
from tests.support.others import Other, Others

TRY_TO_OPEN = """
    try:
        writer = SafeSummaryWriter(run, unique=False)
    except safewriter.RunLockedError as error:
        result = "locked"
"""


class Curve:
    """Another process that logs points one by one to a run."""

    def __init__(self, process: Other, run: Path, tag: str = "loss") -> None:
        self.process = process
        self.step = 0
        self._tag = tag
        process.do("writer = SafeSummaryWriter(run, unique=False)", run=run)
        self.log(20)

    def log(self, count: int = 1) -> None:
        """Log further points."""
        self.process.do(
            "for step in steps: writer.add_scalar(tag, step / 2, step)",
            tag=self._tag,
            steps=range(self.step + 1, self.step + 1 + count),
        )
        self.step += count

    @property
    def log_dir(self) -> Path:
        """Where the writer says that it writes."""
        return Path(self.process.do("result = writer.log_dir"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Where the run is."""
    return tmp_path / "logs" / "run"


@pytest.fixture
def curve(others: Others, run: Path) -> Curve:
    """A process that writes the run, and has logged 20 points."""
    return Curve(others.start(), run)


# The lock.


def delete_folder(run: Path) -> None:
    """Delete the hidden folder."""
    shutil.rmtree(run / ".safewriter")


def delete_lock(run: Path) -> None:
    """Delete the lock."""
    (run / ".safewriter" / "lock").unlink()


def replace_lock(run: Path) -> None:
    """Put another file in the place of the lock."""
    delete_lock(run)
    (run / ".safewriter" / "lock").touch()


DISTURB = [delete_folder, delete_lock, replace_lock]


@pytest.mark.parametrize("disturb", DISTURB)
def test_the_lock_of_a_live_run_disappears(others, curve, run, disturb):
    """While the run logs it is soon locked again, and a second process is refused."""
    disturb(run)
    wait_until(lambda: curve.log() or run_status(run) is RunStatus.RUNNING, deadline=8)
    assert others.start().do(TRY_TO_OPEN, run=run) == "locked"
    curve.log(5)
    assert curve.log_dir == run
    assert read_scalars(run)["loss"].steps.tolist() == [*range(1, curve.step + 1)]
    assert len(event_files(run)) == 1


@pytest.mark.parametrize("disturb", DISTURB)
def test_a_second_process_is_quicker(others, curve, run, disturb):
    """If another process has the lock by then, the first makes way, says so, and loses nothing."""
    disturb(run)
    second = Curve(others.start(), run, "other")
    wait_until(lambda: curve.log() or curve.log_dir != run, deadline=8)
    curve.log(5)
    second.log(5)
    assert "ReusedRunWarning" in curve.process.warned()
    assert second.log_dir == run
    logged = [*range(1, curve.step + 1)]
    before = read_scalars(run)["loss"].steps.tolist()
    after = read_scalars(curve.log_dir)["loss"].steps.tolist()
    assert before + after == logged
    assert read_scalars(run)["other"].steps.tolist() == [*range(1, second.step + 1)]
    assert "other" not in read_scalars(curve.log_dir)
    assert run_status(curve.log_dir) is run_status(run) is RunStatus.RUNNING


# The live file.


def truncate_to_nothing(file: Path) -> None:
    """Truncate as logrotate's copytruncate does."""
    shutil.copy(file, file.parent.parent / "copy")
    os.truncate(file, 0)


def truncate_in_a_record(file: Path) -> None:
    """Cut off half of the last record."""
    os.truncate(file, file.stat().st_size - 20)


TRUNCATE = [truncate_to_nothing, truncate_in_a_record]


def log_over_a_truncated_file(curve: Curve, run: Path, truncate) -> list[int]:
    """Truncate the live file, log until that is told, and some more; return the last steps."""
    (file,) = map(Path, event_files(run))
    truncate(file)

    def is_told() -> bool:
        curve.log()
        return "WriteErrorWarning" in curve.process.warned()

    wait_until(is_told, deadline=8)
    told = curve.step
    curve.log(10)
    curve.process.do("writer.close()")
    first, *others = event_files(run)
    assert first == str(file)
    assert others
    return [*range(told, curve.step + 1)]


@pytest.mark.parametrize("truncate", TRUNCATE)
def test_a_truncated_file(curve, run, truncate):
    """It is told within the next look, and a reader that starts afterwards shows all that came
    later, since that is in a new, later-named file.
    """
    later = log_over_a_truncated_file(curve, run, truncate)
    shown = [step for step, _ in readers.read_scalars(run)["loss"]]
    assert shown[-len(later) :] == later


@pytest.mark.stress
@pytest.mark.parametrize("truncate", TRUNCATE)
def test_a_truncated_file_in_tensorboard(curve, run, truncate):
    """The same in both of TensorBoard's own readers."""
    later = log_over_a_truncated_file(curve, run, truncate)
    with BothReaders(run.parent) as tensorboard:
        for reader, shown in tensorboard.shown().items():
            points = shown.scalars["run"]["loss"]
            assert [step for step, _ in points][-len(later) :] == later, reader


# Predecessors and their names.


@pytest.mark.parametrize(
    "name",
    [
        "events.out.tfevents.9999999999.host.1.0",
        "events.out.tfevents.99999999999999.host.1.0",
        "worker.tfevents.123",
        "zz.tfevents",
        "été.tfevents.1",
    ],
)
def test_a_predecessor_with_a_late_name(tmp_path, name):
    """Our later file sorts behind it, is an event file for every reader, and hides nothing."""
    records = [event_bytes.version_record()]
    records += [event_bytes.scalar_record("loss", step / 2, step) for step in range(1, 6)]
    (tmp_path / name).write_bytes(b"".join(records))
    with SafeSummaryWriter(tmp_path, unique=False, resume=True) as writer:
        for step in range(6, 9):
            writer.add_scalar("loss", step / 2, step)
    names = sorted(os.fsencode(path.name) for path in tmp_path.iterdir() if path.is_file())
    assert len(names) == 2
    assert names[0] == os.fsencode(name)
    assert [os.fsencode(os.path.basename(file)) for file in event_files(tmp_path)] == names
    assert read_scalars(tmp_path)["loss"].steps.tolist() == [*range(1, 9)]
    assert [step for step, _ in readers.read_scalars(tmp_path)["loss"]] == [*range(1, 9)]


RESUME = """
    writer = SafeSummaryWriter(parent, comment, resume=resume)
    writer.add_scalar("loss", 0.5, 1)
    writer.close()
    result = writer.log_dir
"""


def test_resume_with_a_comment_that_another_begins_with(others, tmp_path):
    """comment="seed" continues the run of "seed", not the newer one of "seed-2"."""
    runs = [
        others.start().do(RESUME, parent=tmp_path, comment=comment, resume=resume)
        for comment, resume in (("seed", False), ("seed-2", False), ("seed", True))
    ]
    assert runs[2] == runs[0]
    assert runs[1] != runs[0]


def test_resume_takes_no_collision_for_a_comment(others, tmp_path):
    """comment="seed-2" does not continue the second run of "seed" in one second."""
    for attempt in range(5):
        parent = tmp_path / str(attempt)
        for _ in range(2):
            second = others.start().do(RESUME, parent=parent, comment="seed", resume=False)
        if second.name.endswith("_seed-2"):
            break
    else:
        pytest.fail(f"no two runs in one second; the last one was {second}")
    resumed = others.start().do(RESUME, parent=parent, comment="seed-2", resume=True)
    assert resumed != second


# Other users.


ATTACKER, VICTIM = 1000, 1001


@pytest.fixture
def victim(others: Others) -> Other:
    """A process of the user that is attacked."""
    victim = others.start()
    victim.do("become(uid, uid)", uid=VICTIM)
    return victim


@pytest.fixture
def secret(shared: Path) -> Path:
    """A directory of the victim with a file in it, which is called in three ways."""
    secret = shared / "secret"
    secret.mkdir()
    (secret / "run.json").write_text("PRECIOUS")
    for name in ("lock", "warnings.jsonl"):
        os.link(secret / "run.json", secret / name)
    for path in (secret, secret / "run.json"):
        os.chown(path, VICTIM, VICTIM)
    return secret


def is_untouched(secret: Path) -> bool:
    """Tell whether the victim's directory is as it was."""
    names = {path.name: path.read_text() for path in secret.iterdir()}
    return names == dict.fromkeys(["run.json", "lock", "warnings.jsonl"], "PRECIOUS")


def prepare_run(run: Path, start: str = "9e9") -> Path:
    """Make what looks like a finished run of the attacker's that everybody may write."""
    folder = run / ".safewriter"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(f'{{"pid": 1, "start": {start}, "status": "finished"}}')
    (folder / "lock").touch()
    (run / "events.out.tfevents.1700000000.host.1.0").write_bytes(event_bytes.version_record())
    for path in (run, *run.rglob("*")):
        os.chown(path, ATTACKER, ATTACKER)
        path.chmod(0o777 if path.is_dir() else 0o666)
    return folder


OPEN_IF_POSSIBLE = """
    try:
        writer = SafeSummaryWriter(run, unique=False)
        writer.add_scalar("loss", 0.5, 1)
        writer.close()
    except safewriter.SafeWriterError:
        pass
"""


def test_resume_passes_over_the_run_of_another_user(shared, victim):
    """A run that another user has put into a shared directory is not continued."""
    run = shared / "2099-01-01_00-00-00"
    prepare_run(run)
    log_dir = victim.do(RESUME, parent=shared, comment="", resume=True)
    assert Path(log_dir).parent == shared
    assert Path(log_dir) != run


def test_links_to_a_file_of_the_victims(shared, victim, secret):
    """Links in a hidden folder that another user has made do not lead to the victim's file."""
    folder = prepare_run(shared / "run")
    for name in ("run.json", "lock", "warnings.jsonl", f"run.json.{victim.pid}"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(secret / "run.json")
        os.chown(folder / name, ATTACKER, ATTACKER, follow_symlinks=False)
    victim.do(OPEN_IF_POSSIBLE, run=shared / "run")
    assert is_untouched(secret)


def test_a_hidden_folder_that_is_a_link(shared, victim, secret):
    """A link in the place of the hidden folder does not lead to the victim's directory."""
    folder = prepare_run(shared / "run")
    shutil.rmtree(folder)
    folder.symlink_to(secret)
    os.chown(folder, ATTACKER, ATTACKER, follow_symlinks=False)
    victim.do(OPEN_IF_POSSIBLE, run=shared / "run")
    assert is_untouched(secret)


def test_two_users_of_one_group(shared, others):
    """The second user of a directory that the group may write is told that it is locked."""
    os.chown(shared, 1000, 3000)
    shared.chmod(0o2775)
    first, second = others.start(), others.start()
    for process, uid in ((first, 1000), (second, 1001)):
        process.do("os.umask(0o022); become(uid, 3000)", uid=uid)
    run = shared / "run"
    Curve(first, run)
    run.chmod(0o2775)
    assert second.do(TRY_TO_OPEN, run=run) == "locked"
    assert second.warned() == []


# Records that nobody could have meant.


@pytest.fixture
def finished(run: Path) -> Path:
    """A run that has ended."""
    with SafeSummaryWriter(run, unique=False) as writer:
        writer.add_scalar("loss", 0.5, 1)
    return run


def put_a_pipe(run: Path) -> None:
    """Put a FIFO in the place of the record."""
    record = run / ".safewriter" / "run.json"
    record.unlink()
    os.mkfifo(record)


@pytest.mark.parametrize("arguments", [{}, {"resume": True}])
def test_a_pipe_as_record_does_not_stop_a_writer(others, finished, arguments):
    """Nothing waits for somebody to write into it."""
    put_a_pipe(finished)
    log = """
        writer = SafeSummaryWriter(run.parent, **arguments)
        writer.add_scalar("loss", 0.5, 2)
        try:
            safewriter.events.run_status(run)
        except OSError:
            pass
        writer.close()
        result = writer.log_dir
    """
    log_dir = others.start().do(log, run=finished, arguments=arguments, deadline=10)
    assert 2 in read_scalars(log_dir)["loss"].steps


@pytest.mark.parametrize("command", ["ls", "doctor"])
def test_a_pipe_as_record_does_not_stop_a_command(finished, command):
    """``safewriter ls`` and ``doctor`` do their work all the same."""
    put_a_pipe(finished)
    done = run_command(command, finished.parent, deadline=20)
    assert done.returncode in (0, 1)
    assert done.stderr == ""


HOSTILE_STARTS = ["NaN", '"yesterday"', "1e400", "1" + 400 * "0", "-1e300", "[]"]


def change_start(run: Path, start: str) -> None:
    """Put something else into the record where the start is."""
    record = run / ".safewriter" / "run.json"
    text, count = re.subn(r'"start": ?[\d.]+', f'"start": {start}', record.read_text())
    assert count
    record.write_text(text)


@pytest.mark.parametrize("start", HOSTILE_STARTS)
def test_a_hostile_start_of_a_live_run(others, curve, run, start):
    """The run is locked all the same, and that is what a second process is told."""
    change_start(run, start)
    assert others.start().do(TRY_TO_OPEN, run=run) == "locked"


@pytest.mark.parametrize("start", ["1" + 400 * "0"])
def test_a_hostile_start_in_the_list(finished, start):
    """``safewriter ls`` lists the run all the same."""
    change_start(finished, start)
    for arguments in ([], ["--json"]):
        done = run_command("ls", *arguments, finished.parent)
        assert (done.returncode, done.stderr) == (0, "")
    assert [run["name"] for run in json.loads(done.stdout)["runs"]] == ["run"]
