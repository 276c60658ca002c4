"""Writers in the cells of a real IPython kernel."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from safewriter.events import RunStatus, run_status
from tests.doctor import situations
from tests.support import event_files, read_runs
from tests.support.event_bytes import version_record
from tests.support.processes import child_env

DEADLINE = 120.0


class Kernel:
    """A kernel in a process of its own; `run` runs a cell."""

    def __init__(self, directory: Path) -> None:
        from jupyter_client.kernelspec import KernelSpec
        from jupyter_client.manager import KernelManager

        self._manager = KernelManager()
        self._manager._kernel_spec = KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            language="python",
        )
        env = child_env({"IPYTHONDIR": str(directory / ".ipython")})
        self._manager.start_kernel(cwd=str(directory), env=env)
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=DEADLINE)

    def run(self, cell: str) -> str:
        """Run a cell; return what it printed, with the warnings and the name of an exception."""
        printed = []

        def note(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                printed.append(content["text"])
            elif message["msg_type"] == "error":
                printed.append(content["ename"])

        self._client.execute_interactive(
            cell, timeout=DEADLINE, output_hook=note, allow_stdin=False
        )
        return "".join(printed)

    def shutdown(self) -> None:
        """End the kernel as a notebook does; does nothing if it has ended."""
        if not self._manager.has_kernel:
            return
        self._client.shutdown()
        self._manager.finish_shutdown(waittime=30)
        self._client.stop_channels()
        self._manager.cleanup_resources()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernel's directory."""
    return tmp_path_factory.mktemp("kernel")


def start_kernel(directory: Path) -> Kernel:
    """Start a kernel in a directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PLATFORM_DIRS", "1")
        patch.setenv("JUPYTER_RUNTIME_DIR", str(directory / ".jupyter"))
        return Kernel(directory)


@pytest.fixture(scope="module")
def kernel(directory: Path) -> Iterator[Kernel]:
    """A kernel for all tests of this module; its writers are made through ``patch()``."""
    started = start_kernel(directory)
    try:
        assert started.run(SETUP) == ""
        yield started
    finally:
        started.shutdown()


SETUP = """
from torch.utils.tensorboard import SummaryWriter
import safewriter
safewriter.patch()

def train(log_dir, stop_at=20):
    writer = SummaryWriter(log_dir)
    for step in range(20):
        if step == stop_at:
            raise KeyboardInterrupt
        writer.add_scalar("loss", 0.5, step)
"""

LOOP = """
for step in range(20):
    writer.add_scalar("loss", 0.5, step)
"""

CELLS = {
    "forgotten": 'writer = SummaryWriter("forgotten")' + LOOP,
    "closed": 'writer = SummaryWriter("closed")' + LOOP + "writer.close()",
    "with": 'with SummaryWriter("with") as writer:' + LOOP.replace("\n", "\n    "),
    "function": 'train("function")',
    "sweep": "for lr in (0.1, 0.01, 0.001): train('sweep')",
}

CURVE = [(step, 0.5) for step in range(20)]


def points(log_dir: Path) -> list[list[tuple[int, float]]]:
    """Return the ``loss`` of every run below `log_dir`; each run has one event file."""
    runs = read_runs(log_dir, purge=False)
    assert len(event_files(log_dir)) == len(runs)
    return [runs[name]["loss"] for name in sorted(runs, key=lambda name: (len(name), name))]


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_that_runs_again_is_a_new_run(kernel, directory, name):
    """A cell that ran three times gives three clean curves, a sweep in it nine, and no warning."""
    for _ in range(3):
        assert kernel.run(CELLS[name]) == ""
    assert points(directory / name) == [CURVE] * (9 if name == "sweep" else 3)


def test_an_interrupted_cell_that_runs_again_is_a_new_run(kernel, directory):
    """What IPython keeps of the interrupted cell, its frames, does not hold its run open."""
    assert "KeyboardInterrupt" in kernel.run('train("interrupted", 10)')
    assert kernel.run('train("interrupted")') == ""
    assert points(directory / "interrupted") == [CURVE[:10], CURVE]


def test_only_the_cell_with_the_loop_runs_again(kernel, directory):
    """The writer was made in another cell, which does not run again: each pass is a run."""
    assert kernel.run('writer = SummaryWriter("loop")') == ""
    for _ in range(3):
        assert kernel.run(LOOP) == ""
    assert points(directory / "loop") == [CURVE] * 3
    twice = "for _ in range(2):" + LOOP.replace("\n", "\n    ")
    printed = kernel.run(twice)
    assert "StepOrderWarning" in printed, "a second pass in one execution is a mistake"
    assert len(points(directory / "loop")) == 4


def test_an_evaluation_cell_that_runs_again_moves_nothing(kernel, directory):
    """One point, logged by another cell at each execution, stays with the training; a loop that was
    interrupted and goes on where it was does, too.
    """
    loop = 'writer = SummaryWriter("eval")' + LOOP
    assert kernel.run(loop) == ""
    evaluate = 'SummaryWriter("eval").add_scalar("val/loss", 0.5, 19)'
    for _ in range(3):
        assert kernel.run(evaluate) == ""
    more = LOOP.replace("range(20)", "range(20, 40)")
    assert kernel.run(more) == ""
    assert kernel.run("writer.close()") == ""
    (run,) = (directory / "eval").iterdir()
    scalars = read_runs(run)["."]
    assert scalars["loss"] == [(step, 0.5) for step in range(40)]
    assert scalars["val/loss"] == [(19, 0.5)] * 3


def test_a_train_and_an_eval_writer_move_together(kernel, directory):
    """Both writers of a notebook are in the run of the pass that runs now."""
    assert (
        kernel.run('train_writer, eval_writer = SummaryWriter("both"), SummaryWriter("both")') == ""
    )
    cell = """
for step in range(20):
    train_writer.add_scalar("train/loss", 0.5, step)
    eval_writer.add_scalar("val/loss", 0.5, step)
"""
    for _ in range(2):
        assert kernel.run(cell) == ""
    runs = read_runs(directory / "both", purge=False)
    assert len(runs) == 2
    for scalars in runs.values():
        assert scalars == {"train/loss": CURVE, "val/loss": CURVE}


LISTS = {"terminal": "!{}", "script": "%%bash\n{}", "lines": "found = !{}\nprint(found.n)"}


@pytest.mark.parametrize("how", LISTS)
def test_the_list_of_runs_in_a_cell(kernel, directory, how):
    """Whole names, with colours at most: no bar, no moving cursor; whole lines if not shown."""
    names = [f"2026-11-24_21-00-{number:02}_resnet50-lr0.1-augmented" for number in range(60)]
    for name in names:
        header, curve = version_record(situations.START), situations.scalars("a", range(10))
        situations.write(directory / "many" / name, header, curve)
    printed = kernel.run(LISTS[how].format(f"{sys.executable} -m safewriter ls many"))
    lines = re.sub(r"\x1b\[\d*m", "", printed).splitlines()
    assert "\x1b" not in "".join(lines)
    assert lines[0].split()[:5] == ["name", "status", "age", "last", "step"]
    assert ("events" in lines[0]) is (how != "terminal")
    assert [line.split()[0] for line in lines[1:]] == names
    assert all("  unknown  " in line for line in lines[1:])


def test_a_kernel_that_ends_leaves_finished_runs(kernel, directory):
    """An exception in a cell is not the end of a run; the shutdown of the kernel is."""
    assert kernel.run('writer = SummaryWriter("last")' + LOOP) == ""
    assert "ZeroDivisionError" in kernel.run("1 / 0")
    (run,) = (directory / "last").iterdir()
    assert run_status(run) is RunStatus.RUNNING
    kernel.shutdown()
    assert run_status(run) is RunStatus.FINISHED
    assert points(directory / "last") == [CURVE]


def test_a_kernel_that_starts_again_begins_new_runs(directory):
    """What the notebook logs after a restart of its kernel is a run beside the earlier one."""
    kernel = start_kernel(directory)
    try:
        assert kernel.run(SETUP) == ""
        assert kernel.run('writer = SummaryWriter("last")' + LOOP) == ""
    finally:
        kernel.shutdown()
    assert points(directory / "last") == [CURVE] * 2
