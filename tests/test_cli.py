"""The command line: what `safewriter run` takes, refuses and prints."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import safewriter
from safewriter._cli.main import main
from tests.support import read_runs, run_python

pytest_plugins = ["tests.programs.fixtures"]

TRAIN = """\
import sys
from torch.utils.tensorboard import SummaryWriter
for log_dir in sys.argv[1:]:
    writer = SummaryWriter(log_dir)
    first = int(len(sys.argv) > 2)
    for step in range(first, first + 3):
        writer.add_scalar("loss", float(step), step)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script that logs three points to each log_dir that it is given, and never closes."""
    path = tmp_path / "train.py"
    path.write_text(TRAIN, encoding="utf-8")
    return path


def run(
    script: Path,
    *args: str,
    options: tuple[str, ...] = (),
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a script with ``safewriter run``, in its own directory."""
    command = ("-m", "safewriter", "run", *options)
    return run_python(
        script, args=args, cwd=script.parent, python_args=command, env=env, deadline=120
    )


# Without running anything.


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "required: COMMAND"),
        (["walk"], "invalid choice: 'walk'"),
        (["run"], "a script is missing"),
        (["run", "-m"], "a script is missing, or with -m a module"),
        (["run", "--"], "a script is missing"),
        (["run", "--rooot", "x", "train.py"], "--rooot"),
        (["run", "--root"], "--root"),
        (["run", ""], "a script is missing"),
        (["run", "--root", "", "train.py"], "empty"),
        (["run", "--ranks", "zer", "train.py"], "zer"),
        (["ls", ""], "empty"),
        (["ls", "--sort", "colour"], "colour"),
        (["ls", "-o", "name,colour"], "colour"),
        (["ls", "--limit", "0"], "'0'"),
        (["ls", "--all"], "--all"),
        (["doctor", ""], "empty"),
        (["doctor", "--logdir", ""], "empty"),
    ],
)
def test_a_command_that_is_wrong(capsys, arguments, said):
    """A missing or unknown command, script or option is named, with the usage and exit code 2."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert said in printed.err
    command = f" {arguments[0]}" if arguments and arguments[0] != "walk" else ""
    assert f"usage: safewriter{command}" in printed.err
    assert printed.out == ""


@pytest.mark.parametrize("arguments", [["-h"], ["run", "-h"], ["doctor", "--help"], ["ls", "-h"]])
def test_help(capsys, arguments):
    """Every command explains itself and ends with exit code 0."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith("usage: safewriter")
    if arguments[0] == "run":
        options = (
            "--unique",
            "--no-unique",
            "--join",
            "--no-join",
            "--resume",
            "--ranks",
            "--root",
        )
        assert all(option in printed for option in (*options, "-m"))
    if arguments[0] == "-h":
        assert all(command in printed for command in ("run", "doctor", "ls"))


def test_version(capsys):
    """--version prints the package's own."""
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"safewriter {safewriter.__version__}\n"


@pytest.mark.parametrize("command", ["ls", "doctor"])
def test_an_error_of_ours_is_a_traceback(command, tmp_path, monkeypatch):
    """What nobody expects is neither hidden nor called a wrong argument."""

    def broken(*args: object, **kwargs: object) -> None:
        raise KeyError("on purpose")

    monkeypatch.setattr("safewriter.runs.list_runs", broken)
    monkeypatch.setattr("safewriter.doctor.check", broken)
    with pytest.raises(KeyError):
        main([command, str(tmp_path)])


@pytest.mark.parametrize("command", ["ls", "doctor"])
def test_ctrl_c_ends_a_command_without_a_word(command, tmp_path, monkeypatch, capsys):
    """The exit status is that of a program that SIGINT ended."""

    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("safewriter.runs.list_runs", interrupted)
    monkeypatch.setattr("safewriter.doctor.check", interrupted)
    assert main([command, str(tmp_path)]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("arguments", [["ls"], ["ls", "--json"], ["doctor"], ["doctor", "--json"]])
def test_a_closed_pipe_ends_a_command_without_a_word(arguments, tmp_path):
    """The exit status is that of a program that SIGPIPE ended."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "safewriter", *arguments, str(tmp_path)],
            cwd=Path(__file__).parents[1],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, "")


def test_as_a_module():
    """`python -m safewriter` is the command."""
    done = subprocess.run(
        [sys.executable, "-m", "safewriter", "run"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "usage: safewriter run" in done.stderr


def test_a_project_that_is_none(capsys, monkeypatch):
    """``run --root project`` outside of a project is a wrong argument, before the script begins."""
    monkeypatch.setattr("safewriter._run.directory.PROJECT_MARKERS", ("no such marker",))
    with pytest.raises(SystemExit) as caught:
        main(["run", "--root", "project", "train.py"])
    assert caught.value.code == 2
    assert "root='project', but neither" in capsys.readouterr().err


# Running a script.


def test_an_unchanged_script_is_safe_and_is_told_where(script, tmp_path):
    """Each log_dir gets a run, nothing is lost without close(), and the places are printed last."""
    done = run(script, "logs/a", "logs/b b")
    assert done.returncode == 0, done.stderr
    (first,) = (tmp_path / "logs" / "a").iterdir()
    (second,) = (tmp_path / "logs" / "b b").iterdir()
    points = {"loss": [(step, float(step)) for step in (1, 2, 3)]}
    assert read_runs(tmp_path / "logs") == {
        f"a/{first.name}": points,
        f"b b/{second.name}": points,
    }
    assert done.stdout == ""
    *runs, line = done.stderr.splitlines()
    assert runs == [f"safewriter: run {first}", f"safewriter: run {second}"]
    assert line.startswith("safewriter: see all runs with  ")
    assert line.endswith(f" --logdir {tmp_path / 'logs'}")


def test_the_closing_lines_can_be_pasted(script, tmp_path):
    """One shows all runs, one this run: quoted, with the TensorBoard of this Python."""
    done = run(script, "two words", env={"PATH": "/nowhere"})
    (only,) = (tmp_path / "two words").iterdir()
    commands = [line.rpartition("  ")[2] for line in done.stderr.splitlines()[1:]]
    tensorboard = [sys.executable, "-m", "tensorboard.main", "--logdir"]
    assert [shlex.split(command) for command in commands] == [
        [*tensorboard, str(only.parent)],
        [*tensorboard, str(only)],
    ]
    asked = [*shlex.split(commands[0])[:-2], "--help"]
    shown = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=True)
    assert "--logdir" in shown.stdout


def test_runs_far_apart_are_not_shown_by_the_whole_disk(script, tmp_path):
    """Parents that have no near directory in common get a command each."""
    done = run(script, "a/b/logs", "c/logs")
    commands = [line for line in done.stderr.splitlines() if "see all runs" in line]
    places = [line.rpartition(" ")[2] for line in commands]
    assert places == [str(tmp_path / "a/b/logs"), str(tmp_path / "c/logs")]


def test_options_are_defaults_of_the_writers(script, tmp_path):
    """--root and --no-unique before the script hold for its writers; options behind are its own."""
    done = run(script, "logs", options=("--root", str(tmp_path / "root"), "--no-unique", "--"))
    assert done.returncode == 0, done.stderr
    points = {"loss": [(step, float(step)) for step in (0, 1, 2)]}
    assert read_runs(tmp_path / "root") == {"logs": points}
    done = run(script, "--resume", "--root")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"train.py", "root", "--resume", "--root"}


def test_resume_continues_the_newest_run(script, tmp_path):
    """--resume goes on in the run that is there, and begins one where there is none."""
    for _ in range(2):
        done = run(script, "logs", options=("--resume",))
        assert done.returncode == 0, done.stderr
    (only,) = (tmp_path / "logs").iterdir()
    assert read_runs(only)["."]["loss"] == [(step, float(step)) for step in (0, 1, 2)]


def test_what_the_writer_refuses_ends_the_script(script, tmp_path):
    """A directory that cannot be used ends the script with the one error that says what to do."""
    (tmp_path / "logs").touch()
    done = run(script, "logs")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("safewriter.RunDirectoryError: the run directory")
    assert "a file is in the way: choose another log_dir, or remove the file" in last
    assert f"{script}" in done.stderr


def test_a_script_that_logs_nothing_is_left_alone(warm, tmp_path):
    """A script without a writer runs as ever: nothing is made and nothing is printed."""
    done = warm.run("print('done')", safe=True, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("done\n", "")
    assert os.listdir(tmp_path) == []


def test_a_script_may_unpatch(warm, tmp_path):
    """unpatch() within the script gives it torch's writer back."""
    warm.run(
        """
        import safewriter
        from torch.utils.tensorboard import SummaryWriter
        safe = SummaryWriter("logs")
        safe.add_scalar("loss", 1.0, 1)
        safewriter.unpatch()
        with SummaryWriter("stock") as stock:
            stock.add_scalar("loss", 1.0, 1)
        assert type(stock) is SummaryWriter
        """,
        safe=True,
        cwd=tmp_path,
    )
    assert set(read_runs(tmp_path / "stock")) == {"."}
    assert set(read_runs(tmp_path / "logs")) != {"."}
