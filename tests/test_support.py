"""The shared helpers do what they say, shown with torch's own SummaryWriter."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from tests.support import (
    TensorBoardServer,
    event_files,
    read_events,
    read_runs,
    read_scalars,
    run_python,
    spawn_python,
    wait_until,
)
from tests.support import event_bytes as eb
from tests.support.tensorboard_server import Reader


def write_run(directory: Path, steps: int = 5) -> None:
    """Log some of everything with torch's writer."""
    with SummaryWriter(str(directory)) as writer:
        for step in range(steps):
            writer.add_scalar("train/loss", step / 2, step)
        writer.add_scalar("new", 0.25, 3, new_style=True)
        writer.add_histogram("weights", torch.arange(10.0), 1)
        writer.add_image("picture", torch.zeros(3, 4, 4), 2)
        writer.add_text("note", "hello", 0)


def is_over(process: psutil.Process) -> bool:
    """Tell whether a process runs no more; whoever adopted it may take its time to collect it."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_readers_read_every_scalar_of_a_run_and_of_a_tree(tmp_path):
    """One run gives tags and points; a log directory gives runs by their relative path."""
    write_run(tmp_path / "a", steps=2000)
    write_run(tmp_path / "b" / "c")
    expected = [(step, step / 2) for step in range(2000)]
    assert read_scalars(tmp_path / "a") == {"train/loss": expected, "new": [(3, 0.25)]}
    assert read_scalars(event_files(tmp_path / "a")[0])["train/loss"] == expected
    assert read_runs(tmp_path) == {
        "a": {"train/loss": expected, "new": [(3, 0.25)]},
        "b/c": {"train/loss": expected[:5], "new": [(3, 0.25)]},
    }
    assert [event.step for event in read_events(tmp_path / "a")][:4] == [0, 0, 1, 2]


def test_event_bytes_are_torchs_bytes(tmp_path):
    """A file built from raw bytes equals the file that torch's writer makes of the same events."""
    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_scalar("loss", 0.5, 7, walltime=12.5)
    (file,) = event_files(tmp_path)
    version, _ = read_events(file)
    built = eb.version_record(version.wall_time) + eb.scalar_record("loss", 0.5, 7, 12.5)
    assert file.read_bytes() == built


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: eb.torn(record, 5),
        lambda record: eb.torn(record, len(record) - 1),
        eb.with_bad_length_crc,
        eb.with_bad_payload_crc,
        eb.with_bad_payload,
    ],
)
def test_a_damaged_record_ends_the_file_for_the_python_reader(tmp_path, damage):
    """The events before a damaged record are read, those behind it are not."""
    file = tmp_path / "events.out.tfevents.1700000000.host.1.0"
    good = [eb.scalar_record("loss", step, step) for step in range(3)]
    file.write_bytes(eb.version_record() + good[0] + damage(good[1]) + good[2])
    assert read_scalars(tmp_path) == {"loss": [(0, 0.0)]}


@pytest.mark.parametrize("reader", ["fast", "python"])
def test_server_shows_a_run_and_what_is_added_to_it(tmp_path: Path, reader: Reader):
    """Runs, tags and points come over HTTP, follow the files, and are there after a restart."""
    write_run(tmp_path / "a")
    points = [(step, step / 2) for step in range(5)]
    with TensorBoardServer(tmp_path, reader) as server:
        server.wait_until(lambda: server.scalars("a", "train/loss") == points)
        assert server.runs() == ["a"]
        assert server.tags() == {"a": ["new", "train/loss"]}
        assert server.tags("text") == {"a": ["note/text_summary"]}
        assert server.images("a", "picture") == [2]
        assert [step for step, _ in server.histograms("a", "weights")] == [1]
        ((step, html),) = server.text("a", "note/text_summary")
        assert (step, "<p>hello</p>" in html) == (0, True)
        assert server.scalars("a", "no such tag") == []
        assert server.scalars("no such run", "train/loss") == []
        write_run(tmp_path / "b", steps=1)
        server.settle()
        assert server.all_scalars()["b"] == {"new": [(3, 0.25)], "train/loss": [(0, 0.0)]}
        server.restart()
        server.settle()
        assert server.scalars("a", "train/loss") == points
        assert server.runs() == ["a", "b"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("reader", ["fast", "python"])
def test_server_leaves_no_process_behind(tmp_path: Path, reader: Reader):
    """The data server ends with the server, also when the block is left by an exception."""
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(ZeroDivisionError), TensorBoardServer(tmp_path, reader) as server:
        assert server.runs() == []
        started = set(psutil.Process().children(recursive=True)) - before
        assert len(started) == {"fast": 2, "python": 1}[reader]
        raise ZeroDivisionError
    wait_until(lambda: all(is_over(process) for process in started))


def test_run_python_returns_what_the_script_did(tmp_path):
    """Output, exit code, arguments, environment and directory are the script's."""
    script = """
        import os, sys
        print(os.getcwd(), sys.argv[1:], os.environ["NAME"])
        print("to stderr", file=sys.stderr)
        sys.exit(3)
    """
    done = run_python(script, cwd=tmp_path, args=["a", tmp_path], env={"NAME": "value"})
    assert done.returncode == 3
    assert done.stdout == f"{tmp_path} ['a', '{tmp_path}'] value\n"
    assert done.stderr == "to stderr\n"
    with pytest.raises(AssertionError, match="exit code 3"):
        run_python("raise SystemExit(3)", check=True)


def test_run_python_ends_a_process_at_its_deadline(tmp_path):
    """A script that hangs fails the test with its output and its stack, and its children die."""
    script = f"""
        import subprocess, sys, time
        child = subprocess.Popen(["sleep", "600"])
        open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
        print("so far", flush=True)
        time.sleep(600)
    """
    with pytest.raises(AssertionError, match=r"(?s)after 2 s.*so far.*script\.py.*line 6"):
        run_python(script, deadline=2)
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not psutil.pid_exists(pid) or is_over(psutil.Process(pid)))


def test_spawn_python_talks_to_a_live_process():
    """Lines are awaited, input is sent, a signal ends it, and the block leaves nothing running."""
    script = """
        print("ready")
        print("got", input())
        import time; time.sleep(600)
    """
    with spawn_python(script) as process:
        process.wait_for_line("ready")
        process.send_line("this")
        assert process.wait_for_line("got") == "got this"
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        with pytest.raises(AssertionError, match="ended without a line 'never'"):
            process.wait_for_line("never")
    with spawn_python(script) as process:
        process.wait_for_line("ready")
    assert process.returncode == -signal.SIGKILL
