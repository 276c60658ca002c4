"""Each example runs as its text says, and the events it promises are on disk."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from tests.support import event_files, read_events, read_runs, run_python
from tests.support.processes import REPOSITORY
from tests.support.readers import accumulate

EXAMPLES = REPOSITORY / "examples"
DEADLINE = 180


def run_example(name: str, directory: Path, *args: str) -> str:
    """Run an example from an empty directory and return what it printed."""
    done = run_python(
        EXAMPLES / name,
        args=["--log-dir", "logs", *args],
        cwd=directory,
        deadline=DEADLINE,
        check=True,
    )
    assert "Traceback" not in done.stderr
    return done.stdout


def test_every_example_has_a_test():
    """No example is left out below."""
    tested = re.findall(r'run_example\("(\w+\.py)"', Path(__file__).read_text(encoding="utf-8"))
    assert sorted({path.name for path in EXAMPLES.glob("*.py")}) == sorted(set(tested))


def test_quickstart_logs_every_kind_and_says_where(tmp_path):
    """Scalars, histograms, images, graph, text and hparams of one run arrive and are reported."""
    printed = run_example("quickstart.py", tmp_path, "--epochs", "2")
    (run,) = (tmp_path / "logs").iterdir()
    assert f"The run is in {run}\n" in printed
    command = shlex.join([sys.executable, "-m", "tensorboard.main"])
    assert f"  {command} --logdir {tmp_path / 'logs'}\n" in printed

    scalars = read_runs(run)["."]
    steps = [step for step, _ in scalars["train/loss"]]
    assert steps == list(range(1, 45))
    assert [step for step, _ in scalars["val/loss"]] == [22, 44]
    assert [step for step, _ in scalars["val/accuracy"]] == [22, 44]
    assert scalars["val/accuracy"][-1][1] > 0.5

    events = accumulate(run)
    tags = events.Tags()
    assert [point.step for point in events.Histograms("weights/0.weight")] == [22, 44]
    assert [point.step for point in events.Images("val/confusion")] == [22, 44]
    assert any(tag.startswith("val/misread") for tag in tags["images"])
    assert "about/text_summary" in tags["tensors"]
    assert tags["graph"]

    assert scalars["hparam/accuracy"][0][1] == scalars["val/accuracy"][-1][1]
    for line in ("train/loss: 44,", "val/loss: 2,", "batch_size, epochs, lr", "graph", "text  "):
        assert line in printed


def test_forgotten_close_loses_nothing_with_safewriter(tmp_path):
    """Killed without close, torch's writer leaves a part and ours leaves all 1,000 points."""
    printed = run_example("forgotten_close.py", tmp_path)
    assert "SafeSummaryWriter: 1000 of 1000 points" in printed
    ((_, scalars),) = read_runs(tmp_path / "logs" / "SafeSummaryWriter").items()
    assert [step for step, _ in scalars["train/loss"]] == list(range(1000))
    # How many of the last ten torch's thread still wrote, chance decides; the first is a version.
    torch_events = read_events(tmp_path / "logs" / "SummaryWriter")
    assert len(torch_events) <= 1001


def test_one_run_per_start_gives_one_and_three_runs(tmp_path):
    """A hundred small writers make one curve, a sweep of three rounds makes three."""
    run_example("one_run_per_start.py", tmp_path)
    ((_, scalars),) = read_runs(tmp_path / "logs" / "helper").items()
    assert [step for step, _ in scalars["train/loss"]] == list(range(100))
    assert len(event_files(tmp_path / "logs" / "helper")) == 1
    sweep = read_runs(tmp_path / "logs" / "sweep")
    assert len(sweep) == 3
    for scalars in sweep.values():
        assert [step for step, _ in scalars["train/loss"]] == list(range(20))


def test_one_run_per_start_mixes_nothing_when_started_twice(tmp_path):
    """A second start adds runs of its own and leaves the first ones as they were."""
    run_example("one_run_per_start.py", tmp_path)
    first = {file: file.read_bytes() for file in event_files(tmp_path / "logs")}
    run_example("one_run_per_start.py", tmp_path)
    assert len(event_files(tmp_path / "logs")) == 2 * len(first)
    assert all(file.read_bytes() == data for file, data in first.items())


def test_evaluation_order_warns_of_the_wrong_order_only(tmp_path):
    """The warning names the line of the training point, and as an error it comes before writing."""
    printed = run_example("evaluation_order.py", tmp_path)
    source = (EXAMPLES / "evaluation_order.py").read_text(encoding="utf-8").splitlines()
    line = next(n for n, text in enumerate(source, 1) if 'add_scalar("train/loss"' in text)
    assert printed.count(": TagOrderWarning: ") == 1
    assert f"evaluation_order.py:{line}: TagOrderWarning" in printed
    assert re.search(r"train_first: .*\n  no warning\n", printed)
    for name in ("evaluate_first", "train_first"):
        ((_, scalars),) = read_runs(tmp_path / "logs" / name).items()
        for tag in ("train/loss", "val/loss"):
            assert [step for step, _ in scalars[tag]] == [0, 1, 2, 3, 4]
    ((_, stopped),) = read_runs(tmp_path / "logs" / "as_error").items()
    assert [(step, round(value, 5)) for step, value in stopped.pop("val/loss")] == [(0, 1.2)]
    assert not stopped


def test_two_writers_share_a_run_and_a_second_process_is_refused(tmp_path):
    """One event file holds the tags of both modules; the intruder adds nothing."""
    printed = run_example("two_writers.py", tmp_path)
    assert "the other process: RunLockedError" in printed
    assert len(event_files(tmp_path / "logs")) == 1
    ((_, scalars),) = read_runs(tmp_path / "logs").items()
    assert {tag: [step for step, _ in points] for tag, points in scalars.items()} == {
        "train/loss": list(range(10)),
        "system/cpu_seconds": list(range(10)),
    }


def test_patch_existing_script_separates_runs_of_unchanged_code(tmp_path):
    """Two calls of code that uses torch's class and one directory give two whole runs."""
    run_example("patch_existing_script.py", tmp_path)
    runs = read_runs(tmp_path / "logs")
    assert len(runs) == 2
    for scalars in runs.values():
        assert [step for step, _ in scalars["train/loss"]] == list(range(100))
