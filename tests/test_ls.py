"""``safewriter ls``: the runs of a directory as a table."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
from pathlib import Path

import pytest

import safewriter
from safewriter._cli.ls import add_ls_parser
from safewriter.runs import list_runs
from tests.doctor.situations import START, histogram, name, scalars, write
from tests.support import run_python
from tests.support.event_bytes import version_record


def ls(*arguments: object) -> int:
    """Run the command in this process and return its exit status."""
    parser = argparse.ArgumentParser()
    add_ls_parser(parser.add_subparsers())
    options = parser.parse_args(["ls", *map(str, arguments)])
    status: int = options.func(options)
    return status


def test_what_is_listed_of_a_run(tmp_path: Path) -> None:
    """Counts, steps, times and size of a run of any writer come from its event files."""
    path = write(
        tmp_path / "sweep" / "one",
        version_record(START),
        scalars("a", range(10)),
        histogram("h", 20),
    )
    (run,) = list_runs(tmp_path)
    assert (run.name, run.path) == ("sweep/one", path.parent)
    assert (run.status.value, run.command) == ("unknown", None)
    assert (run.started, run.duration) == (START, 20.0)
    assert (run.events, run.tags, run.last_step) == (11, 2, 20)
    assert run.size == path.stat().st_size


def test_neither_the_doctor_nor_torch_is_imported(tmp_path: Path) -> None:
    """Listing runs waits for nothing that it does not need."""
    write(tmp_path / "run", version_record(START), scalars("a", range(3)))
    script = """
        import sys
        from safewriter._cli.main import main
        assert main(["ls", sys.argv[1]]) == 0
        assert not {"safewriter.doctor", "torch"} & set(sys.modules)
    """
    assert "run" in run_python(script, args=[tmp_path], check=True).stdout


def test_the_list_in_python(tmp_path: Path) -> None:
    """``safewriter.list_runs`` is the function of ``safewriter.runs``; ``progress`` counts runs."""
    write(tmp_path / "a", version_record(START), scalars("a", range(3)))
    seen: list[tuple[int, int]] = []
    (run,) = safewriter.list_runs(tmp_path, progress=lambda *counts: seen.append(counts))
    assert isinstance(run, safewriter.runs.Run)
    assert safewriter.list_runs is safewriter.runs.list_runs
    assert seen == [(0, 1), (1, 1)]
    with pytest.raises(FileNotFoundError):
        safewriter.list_runs(tmp_path / "missing")


def test_a_run_of_safewriter_has_its_command_line(tmp_path: Path) -> None:
    """The record tells status, start, duration and how the program was called."""
    script = """
        import sys
        from safewriter import SafeSummaryWriter
        with SafeSummaryWriter(sys.argv[1], unique=False) as writer:
            writer.add_scalar("loss", 1.0, 0)
    """
    run_python(script, args=[tmp_path / "run", "--name", "two words"], check=True)
    (run,) = list_runs(tmp_path)
    assert run.status.value == "finished"
    assert run.command is not None
    assert shlex.split(run.command)[1:] == [str(tmp_path / "run"), "--name", "two words"]
    assert run.started is not None
    assert run.duration is not None
    assert 0 <= run.duration < 60


def test_runs_are_sorted_by_their_start(tmp_path: Path) -> None:
    """The newest run is the last line; runs without an event come behind it."""
    for run, start in (("b", 300.0), ("c", 100.0), ("a", 200.0)):
        write(tmp_path / run, version_record(START + start), scalars("t", [0], after=start))
    write(tmp_path / "0-empty")
    assert [run.name for run in list_runs(tmp_path)] == ["c", "a", "b", "0-empty"]


def test_a_damaged_run_is_listed_too(tmp_path: Path) -> None:
    """What can be read before a fault counts."""
    write(tmp_path / "run", version_record(START), scalars("a", range(5)), b"garbage" * 9)
    (run,) = list_runs(tmp_path)
    assert (run.events, run.last_step) == (5, 4)


def test_table_and_json_hold_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe, no line of the table is broken or cut, however long the names are."""
    long = "a-rather-long-name/" * 5 + "run"
    write(tmp_path / long, version_record(START), scalars("a", range(1234)))
    assert ls(tmp_path) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 2
    assert long in table[1]
    assert "1,234" in table[1]
    assert ls(tmp_path, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    documented = (Path(__file__).parents[1] / "docs" / "doctor.md").read_text(encoding="utf-8")
    assert document["runs"][0]["events"] == 1234
    for key in document["runs"][0]:
        assert f"`{key}`" in documented


def record(run: Path, **content: object) -> None:
    """Give a run a record."""
    (run / ".safewriter").mkdir()
    (run / ".safewriter" / "run.json").write_text(json.dumps(content), encoding="utf-8")


def test_the_sessions_of_a_run_are_summed_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first start, the time of all sessions, and their number; how the last one ended."""
    file = write(tmp_path / "run", version_record(START), scalars("a", range(10)))
    os.utime(file, (START + 9, START + 9))
    sessions = [
        {"token": "a", "start": START, "end": None, "status": "running"},  # until START + 9
        {"token": "b", "start": START + 100, "end": START + 105, "status": "finished"},
        {"token": "c", "start": START + 200, "end": START + 207, "status": "failed", "signal": 15},
    ]
    record(tmp_path / "run", version=2, sessions=sessions)
    (run,) = list_runs(tmp_path)
    assert (run.started, run.duration, run.sessions) == (START, 9 + 5 + 7, 3)
    assert (run.status.value, run.signal, run.exit_code) == ("failed", 15, None)
    assert ls(tmp_path, "-o", "status,duration,sessions") == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["failed", "SIGTERM", "0:00:21", "3"]


def test_a_record_of_the_first_version_is_read(tmp_path: Path) -> None:
    """It is one session, whose fields stand at the top."""
    write(tmp_path / "run", version_record(START), scalars("a", range(10)))
    record(
        tmp_path / "run",
        version=1,
        pid=7,
        host="host",
        argv=["train.py", "two words"],
        start=START - 5,
        end=START + 15,
        status="finished",
    )
    (run,) = list_runs(tmp_path)
    assert (run.status.value, run.started, run.duration) == ("finished", START - 5, 20)
    assert (run.sessions, run.command) == (1, "train.py 'two words'")


def parts(tmp_path: Path) -> None:
    """Write two runs, one of which has two series and hyperparameters, as torch's writer does."""
    for run, start in (("one", 0.0), ("two", 100.0)):
        write(tmp_path / run, version_record(START + start), scalars("loss", [5], after=start))
    for series in ("acc_x_train", "acc_x_val"):
        write(tmp_path / "one" / series, version_record(START), scalars("acc/x", [1]))
    hparams = scalars("_hparams_/session_start_info", [0])
    write(tmp_path / "one" / "1700000000.5", version_record(START), hparams)


def names(printed: str) -> list[str]:
    """Return the first word of each line below the heading."""
    return [line.split()[0] for line in printed.splitlines()[1:]]


def test_series_and_hyperparameters_fold_under_their_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are counted beside their run; a pattern that names them, and JSON, show them."""
    parts(tmp_path)
    assert ls(tmp_path, "-o", "name,parts") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["name", "parts"], ["one", "3"], ["two"]]
    assert ls(tmp_path / "one" / "acc*") == 0
    assert names(capsys.readouterr().out) == ["acc_x_train", "acc_x_val"]
    assert ls(tmp_path, "--json") == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert sorted(run["part_of"] or "" for run in runs) == ["", "", "one", "one", "one"]


def test_runs_below_a_directory_with_events_stand_for_themselves(tmp_path: Path) -> None:
    """An event file in the log directory itself makes no part of the runs below it."""
    write(tmp_path, version_record(START), scalars("loss", [5]))
    write(tmp_path / "one", version_record(START), scalars("loss", [5]))
    assert [run.part_of for run in list_runs(tmp_path)] == [None, None]


@pytest.mark.parametrize(
    ("arguments", "listed"),
    [
        ([""], ["one", "two"]),
        (["t*"], ["two"]),
        (["one", "two"], ["one", "two"]),
        (["", "--sort", "name", "--limit", "1"], ["two"]),
        (["", "--sort", "age", "--limit", "1"], ["one"]),
        (["", "--status", "unknown"], ["one", "two"]),
        (["", "--sort", "parts"], ["two", "one"]),
    ],
)
def test_what_is_listed_can_be_chosen(
    tmp_path: Path,
    arguments: list[str],
    listed: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Directories and patterns, the order, the status and the number of runs."""
    parts(tmp_path)
    paths = [tmp_path / a if a in ("", "t*", "one", "two") else a for a in arguments]
    assert ls(*paths) == 0
    assert names(capsys.readouterr().out) == listed
    assert ls(tmp_path, "--status", "failed") == 0
    assert "No runs" in capsys.readouterr().out


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_on_a_terminal_no_name_is_cut_and_no_line_too_long(tmp_path: Path, width: int) -> None:
    """Name, status, age and last step are always there; more as there is room."""
    long = "/".join(["a-rather-long-name"] * 6)
    usual = "experiment/2026-05-04_09-30-00"
    for run in (long, usual, "short"):
        write(tmp_path / run, version_record(START), scalars("loss", [1234567]))
    lines = on_a_terminal(width, "ls", tmp_path)
    assert lines[0].split()[:5] == ["name", "status", "age", "last", "step"]
    assert ("started" in lines[0]) == (width >= 120)
    for run in (long, usual, "short"):
        assert any(line.split()[0] == run for line in lines if line.split()), lines
    assert all(len(line) <= width for line in lines if line != long), lines
    assert sum("1,234,567" in line and "unknown" in line for line in lines) == 3


def on_a_terminal(width: int, *arguments: object) -> list[str]:
    """Run the command on a terminal and return its lines without colours."""
    script = """
        import fcntl, os, struct, sys, termios
        leader, follower = os.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, int(sys.argv[1]), 0, 0))
        if os.fork() == 0:
            for number in range(3):
                os.dup2(follower, number)
            os.environ.pop("COLUMNS", None)
            os.execv(sys.executable, [sys.executable, "-m", "safewriter", *sys.argv[2:]])
        os.close(follower)
        while True:
            try:
                data = os.read(leader, 65536)
            except OSError:  # the other end was closed
                break
            if not data:
                break
            os.write(1, data)
    """
    args = [str(width), *map(str, arguments)]
    printed = run_python(script, args=args, env={"TERM": "xterm"}, check=True).stdout
    return re.sub("\x1b\\[[0-9;]*m", "", printed).splitlines()


def test_the_default_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without an argument it is ``runs``, below ``$SAFEWRITER_ROOT`` or the current directory."""
    write(tmp_path / "here" / "runs" / "one", version_record(START), scalars("a", [0]))
    write(tmp_path / "there" / "runs" / "two", version_record(START), scalars("a", [0]))
    monkeypatch.chdir(tmp_path / "here")
    assert ls() == 0
    assert "one" in capsys.readouterr().out
    monkeypatch.setenv("SAFEWRITER_ROOT", str(tmp_path / "there"))
    assert ls() == 0
    assert "two" in capsys.readouterr().out


def test_a_directory_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One clear line, and exit status 2."""
    assert ls(tmp_path / "missing") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "missing" in captured.err
    (tmp_path / "empty").mkdir()
    assert ls(tmp_path / "empty") == 0
    assert "No runs" in capsys.readouterr().out


def test_names_that_are_no_utf8_and_times_that_are_no_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing that a run can be called or can hold makes the list fail."""
    write(tmp_path / "caf\udce9", version_record(START), scalars("a", [0]))
    write(tmp_path / "far", version_record(1e300), scalars("a", [2**40], after=1e300))
    write(tmp_path / "never", scalars("a", [0], after=float("nan")), file=name())
    assert ls(tmp_path) == 0
    assert "caf\\xe9" in capsys.readouterr().out
    assert ls(tmp_path, "--json") == 0
    assert len(json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["runs"]) == 3
