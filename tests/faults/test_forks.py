"""Forks and children: the parent's file is never touched, and nobody ever waits."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest

from safewriter import SafeSummaryWriter
from safewriter.events import run_record
from tests.support import event_files, read_runs, read_scalars, run_python

pytest_plugins = ["tests.programs.fixtures"]


def points(*steps: int) -> list[tuple[int, float]]:
    """Return the points that the scripts log."""
    return [(step, step / 2) for step in range(*steps)]


def tree(directory: Path) -> dict[str, bytes]:
    """Return every file below `directory` and what is in it."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit(0)"])
def test_a_forked_child_that_logs(warm, tmp_path, end):
    """Its events go to a run of its own below the parent's, with a warning; both are whole."""
    done = warm.run(
        f"""
        import os, sys
        from safewriter import SafeSummaryWriter
        writer = SafeSummaryWriter("run", unique=False)
        def log(*steps):
            for step in range(*steps):
                writer.add_scalar("loss", step / 2, step)
        log(10)
        writer.add_scalars("all", {{"a": 0.5}}, 0)
        pid = os.fork()
        if pid == 0:
            log(5)
            writer.add_scalars("all", {{"a": 0.25}}, 0)
            writer.flush()
            print(writer.log_dir)
            sys.stdout.flush()
            {end}
        else:
            log(10, 15)
            assert os.waitpid(pid, 0) == (pid, 0)
            log(15, 20)
            writer.add_scalars("all", {{"a": 1.0}}, 1)
            writer.close()
        """,
        cwd=tmp_path,
    )
    child = Path(done.stdout.splitlines()[0])
    assert child.parent == tmp_path / "run"
    assert re.fullmatch(r"fork-\d+", child.name)
    assert read_runs(tmp_path / "run") == {
        ".": {"loss": points(20)},
        "all_a": {"all": [(0, 0.5), (1, 1.0)]},
        child.name: {"loss": points(5)},
        f"{child.name}/all_a": {"all": [(0, 0.25)]},
    }
    assert done.stderr.count(": ForkedWriterWarning: ") == 1
    assert done.stderr.count("Warning:") == 1
    assert str(child) in done.stderr
    assert (run_record(tmp_path / "run") or {})["status"] == "finished"
    status = (run_record(child) or {})["status"]
    assert status == ("running" if end.startswith("os._exit") else "finished")


def test_a_forked_child_that_does_not_log_has_no_effect(warm, tmp_path):
    """However it ends, it leaves no file, no lock, no message, and not even a changed byte."""
    done = warm.run(
        """
        import os, sys
        from pathlib import Path
        from safewriter import SafeSummaryWriter
        def tree():
            return {p: p.read_bytes() for p in Path("run").rglob("*") if p.is_file()}
        writer = SafeSummaryWriter("run", unique=False)
        writer.add_scalar("loss", 0.0, 0)
        before = tree()
        def exits(): sys.exit(0)
        def closes(): writer.close(); sys.exit(0)
        def flushes(): writer.flush(); os._exit(0)
        def deletes():
            global writer
            del writer
            import gc; gc.collect()
            sys.exit(0)
        def leaves(): os._exit(0)
        for end in (exits, closes, flushes, deletes, leaves):
            pid = os.fork()
            if pid == 0:
                end()
            assert os.waitpid(pid, 0) == (pid, 0)
            assert tree() == before, end
        pid = os.fork()  # A grandchild that logs, of a child that does not.
        if pid == 0:
            pid = os.fork()
            if pid == 0:
                writer.add_scalar("loss", 1.0, 1)
                os._exit(0)
            os.waitpid(pid, 0)
            os._exit(0)
        os.waitpid(pid, 0)
        writer.add_scalar("loss", 0.5, 1)
        """,
        cwd=tmp_path,
    )
    assert read_scalars(tmp_path / "run")["loss"] == points(2)
    assert done.stdout == ""
    assert done.stderr.count("Warning:") == 1
    assert len(read_runs(tmp_path / "run")) == 2


FORK_WHILE_LOGGING = """
    import os, sys, threading, warnings
    from safewriter import SafeSummaryWriter
    import torch
    warnings.simplefilter("ignore")
    writer = SafeSummaryWriter("run", unique=False)
    stop = False
    counts = [0, 0, 0]
    def scalars():
        while not stop:
            writer.add_scalar("loss", counts[0] / 2, counts[0])
            counts[0] += 1
    def series():
        while not stop:
            writer.add_scalars("all", {"a": counts[1] / 2, "b": counts[1] / 2}, counts[1])
            counts[1] += 1
    def histograms():
        values = torch.arange(10.0)
        while not stop:
            writer.add_histogram("weights", values, counts[2])
            counts[2] += 1
    threads = [threading.Thread(target=work) for work in (scalars, series, histograms)]
    for thread in threads:
        thread.start()
    for number in range(int(sys.argv[1])):
        pid = os.fork()
        if pid == 0:
            if number % 4:
                writer.add_scalar("loss", 1.0, 1)
                writer.add_scalars("all", {"a": 0.5, "c": 0.5}, 1)
            os._exit(0)
        assert os.waitpid(pid, 0) == (pid, 0), number
    stop = True
    for thread in threads:
        thread.join()
    writer.close()
    print(*counts)
"""


def check_forks_while_logging(warm, tmp_path: Path, count: int, deadline: float) -> None:
    """Fork `count` times while three threads log; check parent and children."""
    done = warm.run(FORK_WHILE_LOGGING, cwd=tmp_path, args=[str(count)], deadline=deadline)
    runs = read_runs(tmp_path / "run")
    scalars, series, histograms = map(int, done.stdout.split())
    assert runs["."]["loss"] == points(scalars)
    assert runs["all_a"]["all"] == runs["all_b"]["all"] == points(series)
    assert histograms
    children = [name for name in runs if re.fullmatch(r"fork-\d+", name)]
    assert len(children) == count - (count + 3) // 4
    for name in children:
        assert runs[name] == {"loss": [(1, 1.0)]}
        assert runs[f"{name}/all_c"] == {"all": [(1, 0.5)]}


def test_forks_while_other_threads_log(warm, tmp_path):
    """Whatever locks they hold at that moment, no child hangs, and all that is logged arrives."""
    check_forks_while_logging(warm, tmp_path, 24, deadline=60)


@pytest.mark.stress
def test_a_thousand_forks_while_other_threads_log(warm, tmp_path):
    """A thousand forks, no hang, nothing lost."""
    check_forks_while_logging(warm, tmp_path, 1000, deadline=600)


CHILDREN = """
    import multiprocessing, os, sys, warnings
    from safewriter import SafeSummaryWriter

    def work(writer, number):
        for step in range(5):
            writer.add_scalar("loss", step / 2, step)
        os.write(1, f"{writer.log_dir}\\n".encode())  # In one piece: there are several.

    if __name__ == "__main__":
        writer = SafeSummaryWriter("run", unique=False)
        writer.add_scalar("loss", 0.0, 0)
        context = multiprocessing.get_context(sys.argv[1])
        count = int(sys.argv[2])
        processes = [context.Process(target=work, args=(writer, n)) for n in range(count)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            assert process.exitcode == 0
        writer.add_scalar("loss", 0.5, 1)
"""


@pytest.mark.parametrize(("method", "count"), [("fork", 3), ("forkserver", 2), ("spawn", 1)])
def test_children_of_multiprocessing_get_runs_of_their_own(tmp_path, method, count):
    """A writer handed to a child, inherited or pickled, makes a finished run there."""
    args = [method, str(count)]
    done = run_python(CHILDREN, cwd=tmp_path, args=args, check=True, deadline=120)
    children = [Path(line) for line in done.stdout.splitlines()]
    assert len(set(children)) == count
    for child in children:
        assert re.fullmatch(r"fork-\d+", child.name)
        assert read_scalars(child)["loss"] == points(5)
        record = run_record(child) or {}
        assert record["status"] == "finished"
    assert read_scalars(tmp_path / "run")["loss"] == points(2)
    assert len(event_files(tmp_path / "run")) == count + 1
    assert done.stderr.count(": ForkedWriterWarning: ") == (count if method == "fork" else 0)
    assert "Traceback" not in done.stderr


def test_workers_of_a_data_loader(warm, tmp_path):
    """Workers that do not touch the writer leave no trace; those that log get a run each."""
    done = warm.run(
        """
        import os, warnings
        import torch
        from pathlib import Path
        from torch.utils.data import DataLoader, Dataset
        from safewriter import SafeSummaryWriter
        writer = SafeSummaryWriter("run", unique=False)
        writer.add_scalar("loss", 0.0, 0)
        class Data(Dataset):
            def __init__(self, logs): self.logs = logs
            def __len__(self): return 8
            def __getitem__(self, index):
                if self.logs:
                    writer.add_scalar("index", float(index), index)
                return torch.tensor(index)
        def tree(): return sorted(map(str, Path("run").rglob("*")))
        before = tree()
        assert sum(DataLoader(Data(False), num_workers=2)) == 28
        assert tree() == before
        assert sum(DataLoader(Data(True), num_workers=2)) == 28
        writer.add_scalar("loss", 0.5, 1)
        """,
        cwd=tmp_path,
    )
    runs = read_runs(tmp_path / "run")
    assert runs.pop(".") == {"loss": points(2)}
    assert len(runs) == 2
    logged = sorted(point for run in runs.values() for point in run["index"])
    assert logged == [(index, float(index)) for index in range(8)]
    assert done.stderr.count(": ForkedWriterWarning: ") == 2


def test_a_writer_is_not_copied(tmp_path):
    """Copy and deepcopy give one clear error."""
    with SafeSummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", 0.0, 0)
        for duplicate in (copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="cannot be copied"):
                duplicate(writer)


def test_threads_never_tear_each_others_records(warm, tmp_path):
    """Eight threads log scalars, texts and histograms at once: all of it, each curve in order."""
    warm.run(
        """
        import threading, torch
        from safewriter import SafeSummaryWriter
        writer = SafeSummaryWriter("run", unique=False)
        def work(number):
            for step in range(500):
                writer.add_scalar(f"loss/{number}", step / 2, step)
                if step % 50 == 0:
                    writer.add_text(f"note/{number}", "x" * 5000, step)
                    writer.add_histogram(f"weights/{number}", torch.rand(50), step)
                if step == 250:
                    writer.close()
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        """,
        cwd=tmp_path,
    )
    assert len(event_files(tmp_path / "run")) == 1
    assert read_scalars(tmp_path / "run") == {f"loss/{n}": points(500) for n in range(8)}
