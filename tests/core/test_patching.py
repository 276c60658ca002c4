"""patch() where it overlaps: with subclasses that outlive it, and with other blocks."""

from __future__ import annotations

import inspect
import json
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from torch.utils.tensorboard import SummaryWriter

from safewriter import SafeSummaryWriter, patch, unpatch
from safewriter.events import RunStatus, event_files, read_scalars, run_status

pytest_plugins = ["tests.programs.fixtures"]


@pytest.fixture(autouse=True)
def _stock_again() -> Iterator[None]:
    """Leave no patch behind."""
    unpatch()
    yield
    unpatch()


SUBCLASSES = {
    "defined before": """
        class Own(SummaryWriter):
            pass
        with safewriter.patch():
            writer = Own("runs")
            writer.add_scalar("loss", 0.5, 1)
    """,
    "defined inside": """
        with safewriter.patch():
            class Own(SummaryWriter):
                pass
            writer = Own("runs")
            writer.add_scalar("loss", 0.5, 1)
    """,
    "with a constructor": """
        class Own(SummaryWriter):
            def __init__(self, log_dir, name):
                super().__init__(log_dir)
                self.name = name
        with safewriter.patch():
            writer = Own("runs", "name")
            writer.add_scalar("loss", 0.5, 1)
    """,
    "naming torch's constructor": """
        class Own(SummaryWriter):
            def __init__(self, *args, **kwargs):
                SummaryWriter.__init__(self, *args, **kwargs)
        with safewriter.patch():
            writer = Own("runs")
            writer.add_scalar("loss", 0.5, 1)
    """,
    "used only after the block": """
        class Own(SummaryWriter):
            pass
        with safewriter.patch():
            writer = Own("runs")
        writer.add_scalar("loss", 0.5, 1)
    """,
}


def run_subclass(warm, tmp_path: Path, subclass: str, end: str) -> dict[str, Any]:
    """Log through an instance of a subclass after the block; return what the script reports."""
    done = warm.run(
        """
        import json, os, pickle, signal, threading, warnings
        import safewriter
        from torch.utils.tensorboard import SummaryWriter
        """
        + SUBCLASSES[subclass]
        + """
        for step in range(2, 300):
            writer.add_scalar("loss", 0.5, step)
            writer.add_scalars("all", {"a": 0.5}, step)
        report = {
            "log_dir": writer.log_dir,
            "threads": [thread.name for thread in threading.enumerate()],
            "is the user's": isinstance(writer, Own),
            "is safe": isinstance(writer, safewriter.SafeSummaryWriter),
        }
        """
        + end,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode in (0, -9), done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def assert_all_there(run: str, last: int = 299) -> None:
    """Assert that a run has every point that the script logged."""
    assert read_scalars(run)["loss"].steps.tolist() == [*range(1, last + 1)]
    assert read_scalars(f"{run}/all_a")["all"].steps.tolist() == [*range(2, 300)]


@pytest.mark.parametrize("subclass", SUBCLASSES)
def test_an_instance_of_a_subclass_after_the_block(warm, tmp_path, subclass):
    """It is of the user's class and safe, has no thread, and SIGKILL loses nothing of it."""
    end = """
        print(json.dumps(report), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    report = run_subclass(warm, tmp_path, subclass, end)
    assert report["is the user's"]
    assert report["is safe"]
    assert report["threads"] == ["MainThread"]
    assert_all_there(report["log_dir"])


@pytest.mark.parametrize("subclass", SUBCLASSES)
def test_an_instance_of_a_subclass_is_closed_after_the_block(warm, tmp_path, subclass):
    """close() finishes its run, and closed it can be pickled."""
    end = """
        writer.close()
        report["status"] = safewriter.events.run_status(writer.log_dir).value
        other = pickle.loads(pickle.dumps(writer))
        report["unpickled is both"] = isinstance(other, Own) and isinstance(
            other, safewriter.SafeSummaryWriter
        )
        other.add_scalar("loss", 0.5, 300)
        other.close()
        print(json.dumps(report))
    """
    report = run_subclass(warm, tmp_path, subclass, end)
    assert report["status"] == "finished"
    assert report["unpickled is both"]
    assert_all_there(report["log_dir"], 300)
    assert run_status(report["log_dir"]) is RunStatus.FINISHED


def is_patched(directory: Path) -> bool:
    """Tell whether calling torch's class makes a safe writer."""
    writer = SummaryWriter(str(directory))
    writer.add_scalar("loss", 0.5, 1)
    writer.close()
    return isinstance(writer, SafeSummaryWriter)


class BlockInAThread:
    """A ``with patch():`` in a thread of its own, entered at once and left when told."""

    def __init__(self) -> None:
        self._entered, self._leave = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._entered.wait(20)

    def _run(self) -> None:
        with patch():
            self._entered.set()
            assert self._leave.wait(20)

    def leave(self) -> None:
        """End the block."""
        self._leave.set()
        self._thread.join(20)
        assert not self._thread.is_alive()


def test_overlapping_blocks_of_two_threads(tmp_path):
    """Torch's class is patched until the block that ends last ends, and it is stock after that."""
    first = BlockInAThread()
    second = BlockInAThread()
    first.leave()
    while_the_second = is_patched(tmp_path)
    second.leave()
    assert while_the_second
    assert not is_patched(tmp_path)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (0, 2, 1)])
def test_blocks_that_end_in_any_order(tmp_path, order):
    """Three blocks count as three, in whichever order they end."""
    blocks: list[AbstractContextManager[Any]] = [patch(), patch(), patch()]
    for block in blocks:
        block.__enter__()
    for number in order:
        assert is_patched(tmp_path)
        blocks[number].__exit__(None, None, None)
    assert not is_patched(tmp_path)


def test_a_patch_that_stays_beside_a_block(tmp_path):
    """patch() without a block outlives an overlapping block of another thread."""
    block = BlockInAThread()
    patch()
    block.leave()
    assert is_patched(tmp_path)
    unpatch()
    assert not is_patched(tmp_path)


def test_unpatch_undoes_overlapping_blocks(tmp_path):
    """After unpatch() torch's class is stock, and stock again when all blocks have ended."""
    first = BlockInAThread()
    second = BlockInAThread()
    unpatch()
    assert not is_patched(tmp_path)
    first.leave()
    second.leave()
    assert not is_patched(tmp_path)


# What the class looks like.


SIGNATURES = """
    import inspect, tempfile
    from torch.utils.tensorboard import SummaryWriter
    class Own(SummaryWriter):
        def __init__(self, log_dir, extra=0):
            super().__init__(log_dir)
    def signatures():
        return [str(inspect.signature(cls)) for cls in (SummaryWriter, Own)]
    stock = signatures()
    import safewriter
    with safewriter.patch():
        patched = signatures()
    unpatched = signatures()
    with safewriter.SafeSummaryWriter(tempfile.mkdtemp()) as writer:
        writer.add_hparams({"lr": 0.1}, {"m": 0.5})
    assert patched == unpatched == signatures() == stock, (stock, patched, unpatched)
"""


def test_the_signature_is_torchs(warm, tmp_path):
    """inspect.signature() of torch's class, and of a user's on it, is the same at all times."""
    warm.run(SIGNATURES, cwd=tmp_path)


def test_jsonargparse_finds_the_arguments():
    """A command line made from the class has torch's arguments, also while patched."""
    jsonargparse = pytest.importorskip("jsonargparse")

    def arguments() -> list[str]:
        parser = jsonargparse.ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(SummaryWriter, "writer")
        parsed = parser.parse_args(["--writer.flush_secs=3"])
        assert parsed.writer.flush_secs == 3
        return sorted(vars(parsed.writer))

    torchs = sorted(inspect.signature(SummaryWriter).parameters)
    assert arguments() == torchs
    with patch():
        assert arguments() == torchs
    assert arguments() == torchs


def test_a_stock_writer_keeps_its_hparams_directory(tmp_path, monkeypatch):
    """A relative one that torch made before patch() writes below itself, wherever a root is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAFEWRITER_ROOT", str(tmp_path / "root"))
    stock = SummaryWriter("stock")
    with patch():
        stock.add_hparams({"lr": 0.1}, {"m": 0.5}, run_name="hp")
        safe = SummaryWriter("safe")
        safe.add_hparams({"lr": 0.1}, {"m": 0.5}, run_name="hp")
        safe.close()
    stock.close()
    assert read_scalars(tmp_path / "stock" / "hp")["m"].values.tolist() == [0.5]
    assert len(event_files(tmp_path / "stock" / "hp")) == 1
    assert read_scalars(Path(safe.log_dir) / "hp")["m"].values.tolist() == [0.5]
    assert Path(safe.log_dir).is_relative_to(tmp_path / "root" / "safe")
