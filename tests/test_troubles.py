"""Each trouble of torch's writer, in a script that nobody edited: as it is, and run by safewriter.

The scripts use ``torch.utils.tensorboard`` alone. Each runs twice, in a process of its own and in
an empty directory, and both results are read with TensorBoard's reader.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.programs.warm import WarmPython
from tests.support import TensorBoardServer, event_files, read_runs, run_python

pytest_plugins = ["tests.programs.fixtures"]

IMPORT = "from torch.utils.tensorboard import SummaryWriter\n"


class Twice:
    """Both results of a script: of torch's writer, and of ours."""

    def __init__(self, warm: WarmPython, place: Path, code: str) -> None:
        self._warm = warm
        self.directories = {safe: place / ("ours" if safe else "stock") for safe in (False, True)}
        self.script = place / "train.py"
        self.script.write_text(IMPORT + code, encoding="utf-8")
        for directory in self.directories.values():
            directory.mkdir()

    def run(
        self, safe: bool, *args: str, code: int | None = 0, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the script once more; `code` is the exit code that it must have, None for any."""
        done = self._warm.run(
            self.script, safe=safe, cwd=self.directories[safe], args=args, env=env, check=False
        )
        assert code is None or done.returncode == code, done.stderr
        return done

    @property
    def stock(self) -> Path:
        """Where torch's writer left its files."""
        return self.directories[False]

    @property
    def ours(self) -> Path:
        """Where the safe writer left its files."""
        return self.directories[True]


def steps(scalars: dict[str, list[tuple[int, float]]]) -> dict[str, list[int]]:
    """Return the steps of each tag."""
    return {tag: [step for step, _ in points] for tag, points in scalars.items()}


def test_a_relative_directory_lands_elsewhere_for_each_working_directory(warm, tmp_path):
    """Torch makes two ``runs``; ours says so, and SAFEWRITER_ROOT keeps the runs in one place."""
    twice = Twice(warm, tmp_path, 'SummaryWriter().add_scalar("loss", 1.0, 0)\n')
    for place in twice.directories.values():
        (place / "pyproject.toml").touch()
        (place / "scripts").mkdir()

    def run_from_both(safe: bool, **env: str) -> list[str]:
        place = twice.directories[safe]
        return [
            warm.run(twice.script, safe=safe, cwd=cwd, env=env).stderr
            for cwd in (place, place / "scripts")
        ]

    run_from_both(False)
    assert event_files(twice.stock / "runs")
    assert event_files(twice.stock / "scripts" / "runs")

    above, below = run_from_both(True)
    assert "Warning" not in above
    assert f"{twice.script}:2: RelativePathWarning" in below
    assert str(twice.ours / "scripts" / "runs") in below
    assert str(twice.ours / "runs") in below

    for word in run_from_both(True, SAFEWRITER_ROOT=os.fspath(twice.ours / "all")):
        assert "Warning" not in word
    runs = read_runs(twice.ours / "all" / "runs")
    assert len(runs) == 2
    assert all(scalars == {"loss": [(0, 1.0)]} for scalars in runs.values())


def test_a_second_run_mixes_with_the_last_one(warm, tmp_path):
    """Torch draws two runs as one curve that goes back; ours gives two curves, in TensorBoard."""
    twice = Twice(
        warm,
        tmp_path,
        "import sys\n"
        'writer = SummaryWriter("logs/experiment")\n'
        "for step in range(10):\n"
        '    writer.add_scalar("loss", float(sys.argv[1]), step)\n'
        "writer.close()\n",
    )
    for safe in (False, True):
        for value in ("1", "2"):
            twice.run(safe, value)
    assert len(event_files(twice.stock)) == 2
    ((_, mixed),) = read_runs(twice.stock / "logs", purge=False).items()
    assert steps(mixed) == {"loss": [*range(10), *range(10)]}

    first, second = read_runs(twice.ours / "logs").values()
    assert first == {"loss": [(step, 1.0) for step in range(10)]}
    assert second == {"loss": [(step, 2.0) for step in range(10)]}
    with TensorBoardServer(tmp_path) as server:
        server.wait_until(lambda: len(server.runs()) == 3)
        server.settle()
        shown = server.all_scalars()
    shown_stock = shown.pop("stock/logs/experiment")
    assert {value for _, value in shown_stock["loss"]} == {2.0}, "the first run is hidden"
    assert sorted(shown.values(), key=str) == [first, second]


def test_a_default_directory_that_is_not_writable(warm, tmp_path):
    """One clear error names the path and the cure, before anything is trained."""
    twice = Twice(warm, tmp_path, 'writer = SummaryWriter()\nprint("training")\n')
    for place in twice.directories.values():
        place.chmod(0o555)
    errors = []
    for python_args in ((), ("-m", "safewriter", "run")):
        place = twice.directories[bool(python_args)]
        done = run_python(
            WITHOUT_PRIVILEGES, args=[*python_args, twice.script], cwd=place, deadline=120
        )
        if done.returncode == CANNOT_DROP:
            pytest.skip("root, and the privilege to write everywhere cannot be given up")
        assert done.returncode == 1, done.stderr
        assert done.stdout == ""
        errors.append(done.stderr.strip().splitlines()[-1])
    stock, ours = errors
    assert stock.startswith("PermissionError")
    assert ours.startswith("safewriter.RunDirectoryError: ")
    assert str(twice.ours / "runs") in ours
    assert "choose a log_dir that you may write to" in ours


def test_a_default_directory_that_tensorboard_does_not_watch(warm, tmp_path):
    """Torch's run is not where TensorBoard looks; SAFEWRITER_ROOT takes it there."""
    twice = Twice(
        warm,
        tmp_path,
        "writer = SummaryWriter()\n"
        'for step in range(5): writer.add_scalar("loss", 1.0, step)\n'
        "writer.close()\n"
        "print(writer.log_dir)\n",
    )
    watched = tmp_path / "watched"
    env = {"SAFEWRITER_ROOT": os.fspath(watched)}
    assert not os.path.isabs(twice.run(False, env=env).stdout.strip())
    assert event_files(watched) == []
    told = Path(twice.run(True, env=env).stdout.strip())
    assert told.parent == watched / "runs"
    assert read_runs(told) == {".": {"loss": [(step, 1.0) for step in range(5)]}}
    assert event_files(twice.ours) == []


def test_a_writer_made_in_a_function_and_never_closed(warm, tmp_path):
    """Torch leaves a thread and a file for each call; ours leaves one run with one whole curve."""
    twice = Twice(
        warm,
        tmp_path,
        "import threading\n"
        "def log(step):\n"
        '    SummaryWriter("logs").add_scalar("loss", step / 2, step)\n'
        "for step in range(100):\n"
        "    log(step)\n"
        "print(threading.active_count())\n",
    )
    assert twice.run(False).stdout == "101\n"
    assert len(event_files(twice.stock)) == 100
    done = twice.run(True)
    assert done.stdout == "1\n"
    assert "Warning" not in done.stderr
    assert len(event_files(twice.ours)) == 1
    ((_, scalars),) = read_runs(twice.ours).items()
    assert scalars == {"loss": [(step, step / 2) for step in range(100)]}


def test_logging_after_the_writer_went_out_of_scope(warm, tmp_path):
    """Torch opens a second file that nobody closes and loses its end; ours goes on in the first."""
    twice = Twice(
        warm,
        tmp_path,
        "import os, signal\n"
        'with SummaryWriter("logs") as writer:\n'
        "    for step in range(1000):\n"
        '        writer.add_scalar("loss", step / 2, step)\n'
        "for step in range(1000, 2000):\n"
        '    writer.add_scalar("loss", step / 2, step)\n'
        "os.kill(os.getpid(), signal.SIGKILL)\n",
    )
    twice.run(False, code=-9)
    assert len(event_files(twice.stock)) == 2
    ((_, scalars),) = read_runs(twice.stock, purge=False).items()
    assert 1000 <= len(scalars["loss"]) < 2000
    twice.run(True, code=-9)
    assert len(event_files(twice.ours)) == 1
    ((_, scalars),) = read_runs(twice.ours).items()
    assert scalars == {"loss": [(step, step / 2) for step in range(2000)]}


def test_several_writers_on_one_directory(warm, tmp_path):
    """Torch interleaves two files, which reads as a zigzag; ours writes one file in order, and
    tells where the two writers were made.
    """
    twice = Twice(
        warm,
        tmp_path,
        'train, val = SummaryWriter("logs"), SummaryWriter("logs")\n'
        "for step in range(10):\n"
        '    (val if step % 2 else train).add_scalar("loss", float(step), step)\n'
        '    train.add_scalar("train/accuracy", 0.5, step)\n'
        '    val.add_scalar("val/accuracy", 0.5, step)\n'
        "train.close()\n"
        "val.close()\n",
    )
    twice.run(False)
    assert len(event_files(twice.stock)) == 2
    ((_, scalars),) = read_runs(twice.stock, purge=False).items()
    assert steps(scalars)["loss"] == [*range(0, 10, 2), *range(1, 10, 2)]
    told = twice.run(True).stderr
    assert told.count("Warning") == told.count("SharedTagWarning") > 0
    assert len(event_files(twice.ours)) == 1
    ((_, scalars),) = read_runs(twice.ours).items()
    tags = ("loss", "train/accuracy", "val/accuracy")
    assert steps(scalars) == {tag: list(range(10)) for tag in tags}


def test_evaluation_logged_before_training(warm, tmp_path):
    """Torch says nothing; ours names both tags, and the line that logs training too late."""
    twice = Twice(
        warm,
        tmp_path,
        'writer = SummaryWriter("logs")\n'
        "for epoch in range(3):\n"
        '    writer.add_scalar("val/loss", 1.0, epoch)\n'
        '    writer.add_scalar("train/loss", 1.0, epoch)\n'
        "writer.close()\n",
    )
    assert twice.run(False).stderr == ""
    word = twice.run(True).stderr
    assert word.count("Warning: ") == 1
    assert f"{twice.script}:5: TagOrderWarning: evaluation tag 'val/loss'" in word
    assert "'train/loss'" in word
    for place in twice.directories.values():
        ((_, scalars),) = read_runs(place).items()
        assert steps(scalars) == {"val/loss": [0, 1, 2], "train/loss": [0, 1, 2]}


@pytest.mark.parametrize("end", ["", "writer.close()", "del writer"])
def test_a_writer_that_never_logs_anything(warm, tmp_path, end):
    """Torch leaves a run that shows nothing, in silence; ours says where the writer was made."""
    twice = Twice(warm, tmp_path, f'writer = SummaryWriter("logs")\n{end}\n')
    assert twice.run(False).stderr == ""
    word = twice.run(True).stderr
    assert word.count("Warning: ") == 1
    assert f"{twice.script}:2: EmptyRunWarning" in word
    for place in twice.directories.values():
        ((_, scalars),) = read_runs(place).items()
        assert scalars == {}
    (run,) = (twice.ours / "logs").iterdir()
    assert str(run) in word


def test_changing_the_directory_after_construction(warm, tmp_path):
    """Torch's thread dies of it and what follows is lost; ours goes on where it began."""
    twice = Twice(
        warm,
        tmp_path,
        "import os\n"
        'writer = SummaryWriter("logs")\n'
        'os.mkdir("elsewhere")\n'
        'os.chdir("elsewhere")\n'
        "for step in range(5):\n"
        '    writer.add_scalar("loss", float(step), step)\n'
        '    writer.add_scalars("pair", {"a": 1.0, "b": 2.0}, step)\n',
    )
    # It depends on the moment whether the program hears of it, and dies, or ends with 0.
    twice.run(False, code=None)
    assert "loss" not in read_runs(twice.stock / "logs")["."]
    assert "Warning" not in twice.run(True).stderr
    (run,) = (twice.ours / "logs").iterdir()
    assert {name: steps(scalars) for name, scalars in read_runs(run).items()} == {
        ".": {"loss": [0, 1, 2, 3, 4]},
        "pair_a": {"pair": [0, 1, 2, 3, 4]},
        "pair_b": {"pair": [0, 1, 2, 3, 4]},
    }
    assert list((twice.ours / "elsewhere").iterdir()) == []


CANNOT_DROP = 77

#: Runs Python with the given arguments, as one who may not write where the permissions forbid it.
WITHOUT_PRIVILEGES = f"""
    import ctypes, os, sys
    PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
    if os.geteuid() == 0 and ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0):
        sys.exit({CANNOT_DROP})
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
