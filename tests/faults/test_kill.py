"""SIGKILL at any instant: what the process had been told is written, is there."""

from __future__ import annotations

import collections
import json
from pathlib import Path

import pytest

from safewriter.events import Verdict, read_records
from tests.programs.warm import WarmPython
from tests.support import TensorBoardServer, event_files, read_events
from tests.support.both_readers import READERS
from tests.support.tensorboard_server import Reader

pytest_plugins = ["tests.programs.fixtures"]

# Forks a training for each kill. It acknowledges a call through a pipe once the call has returned.
SCRIPT = """
    import json, os, random, select, signal, sys, threading, time
    import torch
    from safewriter import SafeSummaryWriter

    def train(run, pipe):
        writer = SafeSummaryWriter(run, unique=False)
        image, weights = torch.rand(3, 64, 64), torch.rand(1000)
        def work(tag, add):
            for step in range(10**9):
                add(tag, step)
                os.write(pipe, f"{tag} {step}\\n".encode())
        def scalar(tag, step): writer.add_scalar(tag, step / 2, step)
        def series(tag, step): writer.add_scalars(tag, {"a": step / 2}, step)
        def media(tag, step):
            writer.add_histogram("weights", weights, step)
            writer.add_image("picture", image, step)
            writer.add_text("note", "x" * (step * 37 % 20_000), step)
        for tag, add in (("loss", scalar), ("accuracy", scalar), ("all", series), ("media", media)):
            threading.Thread(target=work, args=(tag, add)).start()

    count, seed = int(sys.argv[1]), int(sys.argv[2])
    random.seed(seed)
    for number in range(count):
        run = os.path.abspath(f"logs/{number:04}")
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            train(run, writing)
            threading.Event().wait()
        os.close(writing)
        data = b""
        # One in four dies while the run is being made; the others once they log.
        if number % 4:
            data += os.read(reading, 65536)
        end = time.monotonic() + random.random() ** 2 * 0.08
        while (left := end - time.monotonic()) > 0:
            if select.select([reading], [], [], left)[0]:
                data += os.read(reading, 65536)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        while more := os.read(reading, 65536):
            data += more
        os.close(reading)
        last = {}
        for line in data.decode().splitlines():
            tag, step = line.split()
            last[tag] = int(step)
        print(json.dumps([run, last]))
"""

#: Where each acknowledged tag is found: series directory, tag.
PLACES = {
    "loss": [("", "loss")],
    "accuracy": [("", "accuracy")],
    "all": [("all_a", "all")],
    "media": [("", "weights"), ("", "picture"), ("", "note/text_summary")],
}


def check_kills(warm: WarmPython, tmp_path: Path, count: int, seed: int) -> str:
    """Kill `count` trainings, check every run with both readers, and return what was seen."""
    done = warm.run(SCRIPT, cwd=tmp_path, args=[str(count), str(seed)], deadline=60 + count)
    killed = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(killed) == count
    acknowledged = torn = 0
    for directory, last in killed:
        found = collections.defaultdict(list)
        for file in event_files(directory):
            series = file.parent.relative_to(directory).as_posix()
            for event in read_events(file):
                for value in event.summary.value:
                    found["" if series == "." else series, value.tag].append(event.step)
            verdicts = [record.verdict for record in read_records(file)]
            # A reader can only stop at the end, in a record whose call never returned.
            assert set(verdicts[:-1]) <= {Verdict.OK}
            assert set(verdicts[-1:]) <= {Verdict.OK, Verdict.TORN}
            torn += verdicts[-1:] == [Verdict.TORN]
        for tag, step in last.items():
            acknowledged += step + 1
            for place in PLACES[tag]:
                assert found[place][: step + 1] == list(range(step + 1)), (directory, place)
                assert len(found[place]) <= step + 2
    for reader in READERS:
        check_server(tmp_path / "logs", reader, killed)
    return f"{count} kills, {acknowledged} acknowledged calls, {torn} torn tails"


def check_server(logdir: Path, reader: Reader, killed: list[tuple[str, dict[str, int]]]) -> None:
    """Assert that a TensorBoard shows the scalars that were acknowledged, to the last."""
    with TensorBoardServer(logdir, reader, ["--samples_per_plugin", "scalars=1000000"]) as server:
        server.settle(deadline=300)
        for directory, last in killed:
            for tag, step in last.items():
                for series, name in PLACES[tag][: tag != "media"]:
                    run = "/".join(filter(None, (Path(directory).name, series)))
                    points = server.scalars(run, name)
                    assert points[: step + 1] == [(at, at / 2) for at in range(step + 1)]


def test_kills_at_random_instants(warm, tmp_path):
    """Threads log scalars, series, histograms, images and texts: no acknowledged event is lost."""
    check_kills(warm, tmp_path, count=24, seed=1)


@pytest.mark.stress
def test_a_thousand_kills(warm, tmp_path, capsys):
    """The same a thousand times."""
    seen = check_kills(warm, tmp_path, count=1000, seed=2)
    with capsys.disabled():
        print(f"\n{seen}")
