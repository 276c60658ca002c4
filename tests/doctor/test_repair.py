"""``--fix``: what it leaves alone, and what a kill in the middle of it does (nothing)."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from filelock import FileLock

from safewriter.doctor import check, repair
from safewriter.events import read_events
from tests.doctor.situations import START, name, scalars, write
from tests.support import event_files, run_python, spawn_python
from tests.support.event_bytes import torn, version_record

_RECORD = scalars("a", [5], after=5)


def damaged(run: Path) -> Path:
    """Write a run with records behind a fault."""
    return write(
        run,
        version_record(START),
        scalars("a", range(5)),
        torn(_RECORD, 20),
        scalars("a", range(6, 10), after=6),
    )


def content(top: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a directory."""
    return {
        os.path.join(directory, file): Path(directory, file).read_bytes()
        for directory, _, files in os.walk(top)
        for file in files
    }


def test_a_plan_changes_nothing(tmp_path: Path) -> None:
    """``dry_run`` names what would be done, and makes not even a folder."""
    damaged(tmp_path / "run")
    before = content(tmp_path)
    plan = repair(tmp_path, dry_run=True)
    assert [(action.kind, action.done) for action in plan] == [("rewrite", False)]
    assert plan[0].files == (name(),)
    assert plan[0].new == f"{name()}-repaired"
    assert content(tmp_path) == before
    assert not (tmp_path / "run" / ".safewriter").exists()


def test_only_the_chosen_codes_are_cured(tmp_path: Path) -> None:
    """``select`` and ``ignore`` hold for cures as they do for findings."""
    damaged(tmp_path / "run")
    assert repair(tmp_path, ignore=["SW206"]) == []
    assert repair(tmp_path, select=["SW5"]) == []
    assert [action.codes for action in repair(tmp_path, select=["SW206"])] == [("SW206",)]


def test_the_new_file_keeps_mode_owner_and_time(tmp_path: Path) -> None:
    """Whoever could read the old file can read the new one, and it looks no younger."""
    old = damaged(tmp_path / "run")
    old.chmod(0o604)
    if os.geteuid() == 0:
        os.chown(old, 12345, 54321)
    os.utime(old, (START, START))
    before = old.stat()
    (action,) = repair(tmp_path)
    assert action.new is not None
    after = (tmp_path / "run" / action.new).stat()
    assert (after.st_mode, after.st_uid, after.st_gid, after.st_mtime_ns) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
        before.st_mtime_ns,
    )


def test_a_repaired_file_sorts_where_the_damaged_one_did(tmp_path: Path) -> None:
    """A later file of the run, also one whose name begins alike, stays later."""
    damaged(tmp_path / "run")
    write(tmp_path / "run", version_record(START + 50), file=f"{name()}.more")
    write(tmp_path / "run", version_record(START + 60), file=name() + "0")
    repair(tmp_path)
    names = [path.name for path in event_files(tmp_path / "run")]
    assert names == [f"{name()}-repaired", f"{name()}.more", name() + "0"]


def test_a_lost_version_record_is_replaced(tmp_path: Path) -> None:
    """Without one, TensorBoard's Python reader would purge points whenever a step goes back."""
    write(tmp_path / "run", version_record(START)[4:], scalars("a", range(5)))
    repair(tmp_path)
    events = list(read_events(tmp_path / "run"))
    assert events[0].file_version == "brain.Event:2"
    assert [event.step for event in events[1:]] == [0, 1, 2, 3, 4]


def test_a_run_whose_lock_is_held_is_left_alone(tmp_path: Path) -> None:
    """A live writer of another process keeps its run from being repaired, planned or not."""
    damaged(tmp_path / "run")
    lock = tmp_path / "run" / ".safewriter" / "lock"
    lock.parent.mkdir()
    (lock.parent / "run.json").write_text(json.dumps({"status": "running", "pid": 1}))
    script = f"""
        import filelock
        lock = filelock.FileLock({str(lock)!r})
        lock.acquire()
        print("held")
        input()
    """
    with spawn_python(script) as holder:
        holder.wait_for_line("held")
        before = content(tmp_path)
        for dry_run in (True, False):
            (action,) = repair(tmp_path, dry_run=dry_run)
            assert (action.kind, action.done) == ("skip", False)
            assert action.reason == "it is being written"
        assert content(tmp_path) == before
    assert [action.kind for action in repair(tmp_path)] == ["rewrite"]


def test_a_fresh_run_of_another_writer_is_left_alone(tmp_path: Path) -> None:
    """A run without a lock counts as being written for two minutes after its last byte."""
    path = damaged(tmp_path / "run")
    os.utime(path)
    for dry_run in (True, False):
        (action,) = repair(tmp_path, dry_run=dry_run)
        assert action.kind == "skip"
    assert event_files(tmp_path) == [path]


def test_the_lock_is_free_afterwards(tmp_path: Path) -> None:
    """A repaired run can be written again at once."""
    damaged(tmp_path / "run")
    repair(tmp_path)
    with FileLock(tmp_path / "run" / ".safewriter" / "lock").acquire(blocking=False):
        pass


def test_a_disk_that_refuses_costs_nothing(tmp_path: Path) -> None:
    """Where the new file cannot be written, the run stays as it is and the reason is given."""
    damaged(tmp_path / "run")
    (tmp_path / "run" / ".safewriter" / "repair.tmp").mkdir(parents=True)
    before = content(tmp_path / "run")
    (action,) = repair(tmp_path)
    assert action.kind == "skip"
    assert action.reason is not None
    after = content(tmp_path / "run")
    assert {path: data for path, data in after.items() if not path.endswith("lock")} == before


def test_a_disk_that_is_full_leaves_nothing_behind(tmp_path: Path) -> None:
    """A new file that cannot be written to its end is deleted; the run stays as it is."""
    write(tmp_path / "run", version_record(START), torn(_RECORD, 20), scalars("a", range(100)))
    before = content(tmp_path / "run")
    script = """
        import resource, signal, sys
        from safewriter.doctor import repair
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        (action,) = repair(sys.argv[1])
        print(action.kind, action.reason)
    """
    output = run_python(script, args=[tmp_path], check=True).stdout
    assert output.startswith("skip ")
    assert "too large" in output
    after = content(tmp_path / "run")
    assert {path: data for path, data in after.items() if not path.endswith("lock")} == before


def test_two_files_of_one_name_in_quarantine(tmp_path: Path) -> None:
    """A file in quarantine is never replaced by another."""
    for number in range(3):
        write(tmp_path / "run", version_record(START), scalars("a", range(3)))
        write(tmp_path / "run", bytes([number]) * 100, file=f"{name()}.bak")
        assert [action.done for action in repair(tmp_path)] == [True]
    kept = (tmp_path / "run" / ".safewriter" / "quarantine").iterdir()
    assert sorted(path.read_bytes()[0] for path in kept) == [0, 1, 2]


def test_a_file_that_grew_after_the_interruption_stays(tmp_path: Path) -> None:
    """Finishing an interrupted repair does not put away records that the new file lacks."""
    run = tmp_path / "run"
    old = damaged(run)
    size = old.stat().st_size
    write(run, version_record(START), scalars("a", range(5)), file=f"{name()}-repaired")
    with open(old, "ab") as file:
        file.write(scalars("a", [10], after=10))
    os.utime(old, (START, START))
    journal = {"new": f"{name()}-repaired", "originals": {name(): size}, "codes": ["SW206"]}
    (run / ".safewriter").mkdir()
    (run / ".safewriter" / "repair.json").write_text(json.dumps(journal))
    assert "SW603" in [finding.code for finding in check(tmp_path)]
    actions = repair(tmp_path)
    assert actions[0].kind == "finish"
    steps = [event.step for event in read_events(run) if event.HasField("summary")]
    assert 10 in steps
    assert "SW603" not in [finding.code for finding in check(tmp_path)]


# Kills. A script forks a child for each, so that a kill costs milliseconds.

_KILLS = """
    import json, os, random, shutil, signal, sys, time
    from pathlib import Path
    import safewriter.doctor
    from safewriter.doctor import repair

    source, work, mode, count = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    repair_once = lambda top: repair(top)

    def at_call(number):
        # Dies before the given call that changes the disk.
        left = [number]
        def wrap(function):
            def wrapped(*args, **keywords):
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
                return function(*args, **keywords)
            return wrapped
        for name in ("rename", "replace", "fsync", "unlink", "makedirs", "chmod", "utime"):
            setattr(os, name, wrap(getattr(os, name)))

    def attempt(number, delay):
        top = work / str(number)
        shutil.copytree(source, top)
        child = os.fork()
        if child == 0:
            if delay is None:
                at_call(number)
            try:
                repair(top)
            finally:
                os._exit(0)
        if delay is not None:
            time.sleep(delay)
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass
        _, status = os.waitpid(child, 0)
        return os.WIFSIGNALED(status)

    if mode == "calls":
        number = 0
        while attempt(number, None):
            number += 1
        print(number)
    else:
        shutil.copytree(source, work / "whole")
        begin = time.monotonic()
        repair(work / "whole")
        length = time.monotonic() - begin
        shutil.rmtree(work / "whole")
        rng = random.Random(count)
        print(sum([attempt(number, rng.uniform(0, 1.1 * length)) for number in range(count)]))
"""


def _broken_tree(top: Path) -> None:
    damaged(top / "damaged")
    write(top / "two", version_record(START), scalars("a", range(0, 1000, 2), apart=2))
    write(
        top / "two",
        version_record(START),
        scalars("a", range(1, 1000, 2), apart=2, after=1),
        torn(_RECORD, 15),
        file=name(pid=200),
    )
    write(top / "stray", version_record(START), scalars("a", range(10)))
    write(top / "stray", version_record(START), scalars("a", range(4)), file=f"{name()}.bak")


def _points(run: Path) -> Counter[tuple[str, int]]:
    events = read_events(run, behind_faults=True)
    return Counter((value.tag, event.step) for event in events for value in event.summary.value)


def _kill_and_look(tmp_path: Path, mode: str, count: int) -> int:
    """Kill ``repair`` many times, judge what each kill left, repair that; return the kills."""
    source, work = tmp_path / "source", tmp_path / "work"
    _broken_tree(source)
    work.mkdir()
    expected = {run: _points(source / run) for run in ("damaged", "two")}
    expected["stray"] = Counter({("a", step): 1 for step in range(10)})
    originals = set(content(source).values())
    done = run_python(_KILLS, args=[source, work, mode, str(count)], deadline=300, check=True)
    attempts = sorted(work.iterdir())
    assert attempts
    for top in attempts:
        for run, points in expected.items():
            assert _points(top / run) >= points, f"{top.name}: {run} lost a record to the kill"
        assert originals <= set(content(top).values()), f"{top.name}: bytes of an original are gone"
        repair(top)
        for run, points in expected.items():
            assert _points(top / run) == points, f"{top.name}: {run} is not as it should be"
        assert originals <= set(content(top).values())
        assert [finding for finding in check(top) if finding.fixable] == []
        leftovers = [path for path in content(top) if "repair." in path]
        assert leftovers == []
        shutil.rmtree(top)
    return int(done.stdout)


def test_a_kill_before_any_change_of_the_disk_loses_nothing(tmp_path: Path) -> None:
    """Killed before each call that changes the disk, --fix keeps every record and goes on."""
    assert _kill_and_look(tmp_path, "calls", 0) > 20


def test_a_kill_at_a_random_instant_loses_nothing(tmp_path: Path) -> None:
    """Killed at a dozen random instants, --fix keeps every record and goes on."""
    assert _kill_and_look(tmp_path, "random", 12) > 3


@pytest.mark.stress
def test_200_kills_at_random_instants_lose_nothing(tmp_path: Path) -> None:
    """The same 200 times."""
    assert _kill_and_look(tmp_path, "random", 200) > 100
