"""One live process for each run directory, however many there are and however they began."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from safewriter import SafeSummaryWriter, UnlockedRunWarning
from safewriter.events import RunStatus, run_status
from tests.support import event_files, read_runs, run_python, spawn_python

pytest_plugins = ["tests.programs.fixtures"]

DEADLINE = 120

#: Forks 50 children that make a writer at one moment; each prints a line and holds its writer
#: until all have answered.
FIFTY = """
    import json, os, sys, traceback
    from safewriter import SafeSummaryWriter
    keywords = json.loads(sys.argv[1])
    start, started = os.pipe()
    end, ended = os.pipe()
    answers, answer = os.pipe()
    children = []
    for number in range(50):
        pid = os.fork()
        if pid == 0:
            os.close(started); os.close(ended)
            os.read(start, 1)  # returns in all children at once, when the parent closes its end
            try:
                writer = SafeSummaryWriter("logs", **keywords)
                writer.add_scalar("loss", number, number)
                word = {"log_dir": writer.log_dir, "pid": os.getpid()}
            except BaseException as error:
                word = {"error": type(error).__name__, "text": str(error)}
            os.write(answer, (json.dumps(word) + "\\n").encode())
            os.read(end, 1)
            os._exit(0)
        children.append(pid)
    os.close(start); os.close(answer); os.close(started)
    with os.fdopen(answers) as lines:
        for _ in children:
            print(lines.readline(), end="")
        os.close(ended)
    for pid in children:
        assert os.waitpid(pid, 0)[1] == 0
"""


def test_fifty_processes_with_one_log_dir_get_fifty_directories(warm, tmp_path):
    """Nobody waits, fails or shares, though all ask in the same second."""
    done = warm.run(FIFTY, args=["{}"], cwd=tmp_path)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({answer["log_dir"] for answer in answers}) == 50, done.stdout
    runs = read_runs(tmp_path / "logs")
    assert len(runs) == len(event_files(tmp_path / "logs")) == 50
    numbers = sorted(step for scalars in runs.values() for step, _ in scalars["loss"])
    assert numbers == list(range(50))


def test_of_fifty_processes_in_exactly_one_directory_one_writes(warm, tmp_path):
    """With unique=False 49 are refused, and told the pid, host and start time of the one."""
    done = warm.run(FIFTY, args=['{"unique": false}'], cwd=tmp_path)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    (writes,) = [answer for answer in answers if "log_dir" in answer]
    refused = [answer for answer in answers if "log_dir" not in answer]
    assert {answer["error"] for answer in refused} == {"RunLockedError"}, done.stdout
    assert len(refused) == 49
    holder = rf"process {writes['pid']} on {re.escape(socket.gethostname())} since \d{{4}}-\d\d-"
    for answer in refused:
        assert re.search(holder, answer["text"]), answer
        assert str(tmp_path / "logs") in answer["text"]
    assert len(event_files(tmp_path)) == 1
    assert len(read_runs(tmp_path / "logs")["."]["loss"]) == 1


def test_four_interpreters_with_one_log_dir(tmp_path):
    """Programs that are started separately at once get a directory each; in one, one writes."""
    code = """
        import os
        from safewriter import RunLockedError, SafeSummaryWriter
        print("ready")
        input()
        writer = SafeSummaryWriter("logs/unique")
        writer.add_scalar("loss", 1.0, 1)
        try:
            writer = SafeSummaryWriter("logs/shared", unique=False)
        except RunLockedError as error:
            print("refused", error)
        else:
            writer.add_scalar("loss", 1.0, 1)
            print("writes", os.getpid())
        input()
    """
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(spawn_python(code, cwd=tmp_path)) for _ in range(4)]
        for process in processes:
            process.wait_for_line("ready", DEADLINE)
        for process in processes:
            process.send_line()
        answers = [process.wait_for_line(is_answer) for process in processes]
        for process in processes:
            process.send_line()
        assert [process.wait() for process in processes] == [0] * 4
    (pid,) = [answer.split()[1] for answer in answers if answer.startswith("writes")]
    refused = [answer for answer in answers if answer.startswith("refused")]
    assert len(refused) == 3
    assert all(f"process {pid} on " in answer for answer in refused)
    assert len(event_files(tmp_path / "logs" / "shared")) == 1
    runs = read_runs(tmp_path / "logs" / "unique")
    assert list(runs.values()) == [{"loss": [(1, 1.0)]}] * 4
    for name in runs:
        assert run_status(tmp_path / "logs" / "unique" / name) is RunStatus.FINISHED


def is_answer(line: str) -> bool:
    """Tell whether a program said whether it writes."""
    return line.startswith(("writes", "refused"))


def test_the_lock_of_a_killed_process_is_free_at_once(warm, tmp_path):
    """The next process gets it without waiting, also while children of the killed one live on."""
    code = """
        import os, signal, subprocess, sys, warnings
        from safewriter import ReusedRunWarning, RunLockedError, SafeSummaryWriter
        warnings.simplefilter("ignore", ReusedRunWarning)
        here, there = os.pipe()
        for round in range(3):
            pid = os.fork()
            if pid == 0:
                writer = SafeSummaryWriter("logs", unique=False)
                writer.add_scalar("loss", round, round)
                program = subprocess.Popen(["sleep", "60"])
                child = os.fork()
                if child == 0:
                    os.write(there, b"%d\\n" % os.getpid())
                    signal.pause()
                signal.pause()
            child = int(os.read(here, 100))
            try:
                SafeSummaryWriter("logs", unique=False)
            except RunLockedError:
                print("refused")
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.kill(child, 0)  # it lives
    """
    done = warm.run(code, cwd=tmp_path)
    assert done.stdout.split() == ["refused"] * 3
    assert done.stderr == ""
    assert run_status(tmp_path / "logs") is RunStatus.CRASHED
    assert len(event_files(tmp_path / "logs")) == 3
    assert read_runs(tmp_path / "logs")["."]["loss"] == [(0, 0.0), (1, 1.0), (2, 2.0)]


def test_workers_of_a_data_loader_never_keep_the_run(warm, tmp_path):
    """The process is killed, or closes its writer, while forked workers live: the run is free."""
    code = """
        import os, sys
        import torch
        from safewriter import SafeSummaryWriter

        class Numbers(torch.utils.data.Dataset):
            def __len__(self):
                return 8
            def __getitem__(self, index):
                held = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                        if os.path.exists(f"/proc/self/fd/{fd}")]
                assert not [path for path in held if "logs" in path], held
                return os.getpid()

        killed = SafeSummaryWriter("logs/killed", unique=False)
        closed = SafeSummaryWriter("logs/closed", unique=False)
        loader = torch.utils.data.DataLoader(
            Numbers(), num_workers=2, multiprocessing_context="fork", persistent_workers=True
        )
        for step, batch in enumerate(loader):
            killed.add_scalar("loss", step, step)
            closed.add_scalar("loss", step, step)
        closed.close()
        print("worker", int(batch[0]))
        input()
    """
    other = """
        import sys, warnings
        from safewriter import ReusedRunWarning, SafeSummaryWriter
        warnings.simplefilter("ignore", ReusedRunWarning)
        SafeSummaryWriter(sys.argv[1], unique=False).add_scalar("loss", 8, 8)
    """
    with spawn_python(code, cwd=tmp_path) as process:
        worker = int(process.wait_for_line("worker", DEADLINE).split()[1])
        assert run_status(tmp_path / "logs" / "killed") is RunStatus.RUNNING
        assert run_status(tmp_path / "logs" / "closed") is RunStatus.FINISHED
        assert warm.run(other, args=["logs/closed"], cwd=tmp_path).stderr == ""
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert run_status(tmp_path / "logs" / "killed") is RunStatus.CRASHED
        assert warm.run(other, args=["logs/killed"], cwd=tmp_path).stderr == ""
        assert Path(f"/proc/{worker}").exists(), "the worker ended before the test was over"
    for name in ("closed", "killed"):
        points = read_runs(tmp_path / "logs" / name)["."]["loss"]
        assert points == [(step, float(step)) for step in range(9)]
        assert run_status(tmp_path / "logs" / name) is RunStatus.FINISHED


#: Makes every flock() fail with the errno that FLOCK_ERRNO names, if it names one.
SHIM = """
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
int flock(int descriptor, int operation) {
    const char *refusal = getenv("FLOCK_ERRNO");
    if (refusal == NULL) return (int)syscall(SYS_flock, descriptor, operation);
    errno = atoi(refusal);
    return -1;
}
"""


def test_a_file_system_that_cannot_lock(tmp_path):
    """The writer says so once, at the user's line, and everything is written all the same."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler: locking cannot be made to fail")
    source, library = tmp_path / "shim.c", tmp_path / "shim.so"
    source.write_text(SHIM, encoding="utf-8")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True, timeout=60)
    code = """
        import errno, os, warnings
        from safewriter import SafeSummaryWriter, UnlockedRunWarning
        SafeSummaryWriter("logs/locked", unique=False).add_scalar("loss", 1.0, 0)
        for name in ("ENOLCK", "ENOTSUP", "ENOSYS", "EIO"):
            os.environ["FLOCK_ERRNO"] = str(getattr(errno, name))
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                writer = SafeSummaryWriter(f"logs/{name}", unique=False)
                writer.add_scalar("loss", 1.0, 0)
                del writer
            (word,) = caught
            assert word.category is UnlockedRunWarning, word
            assert word.filename == __file__, word
            assert os.path.abspath(f"logs/{name}") in str(word.message), word
            assert os.strerror(getattr(errno, name)) in str(word.message), word
    """
    done = run_python(
        code, cwd=tmp_path, env={"LD_PRELOAD": str(library)}, deadline=DEADLINE, check=True
    )
    assert done.stderr == ""
    runs = read_runs(tmp_path / "logs")
    assert list(runs.values()) == [{"loss": [(0, 1.0)]}] * 5
    assert set(runs) == {"locked", "ENOLCK", "ENOTSUP", "ENOSYS", "EIO"}
    for name in runs:
        assert run_status(tmp_path / "logs" / name) is RunStatus.FINISHED


def test_a_lock_file_that_cannot_be_opened(tmp_path):
    """Whatever stands in its way, training goes on: a warning names the directory and why."""
    (tmp_path / ".safewriter" / "lock").mkdir(parents=True)
    with pytest.warns(UnlockedRunWarning, match=re.escape(str(tmp_path))):
        writer = SafeSummaryWriter(tmp_path, unique=False)
    writer.add_scalar("loss", 1.0, 0)
    writer.close()
    assert read_runs(tmp_path) == {".": {"loss": [(0, 1.0)]}}
    assert run_status(tmp_path) is RunStatus.FINISHED


#: How a child of multiprocessing ends: its exit code, and the status of its run.
CHILDREN = {
    "returns": (0, "finished"),
    "raises": (1, "failed"),
    "exits": (0, "finished"),
    "exits with 3": (3, "failed"),
    "leaves it to a thread": (0, "finished"),
}

MULTIPROCESSING = """
    import json, multiprocessing, os, sys, threading
    from multiprocessing.util import Finalize
    from {module} import {writer}

    def log_to(writer, closed=None):
        for step in range(1000):
            if closed is not None and step == 500:
                closed.wait(60)
            writer.add_scalar("loss", step / 2, step)

    def log(name):
        writer = {writer}("logs/" + name)
        if name.startswith("leaves it to a thread"):
            closed = threading.Event()
            Finalize(None, closed.set, exitpriority=1)  # comes after ours
            threading.Thread(target=log_to, args=(writer, closed)).start()
            return
        log_to(writer)
        if name.startswith("raises"):
            raise ValueError("on purpose")
        if name.startswith("exits"):
            sys.exit(3 if name.startswith("exits with 3") else None)

    if __name__ == "__main__":
        writer = {writer}("logs/parent")
        writer.add_scalar("loss", 0.0, 0)
        children = {{}}
        for method in ("fork", "spawn", "forkserver"):
            context = multiprocessing.get_context(method)
            # A spawned child imports torch anew, so there is one; the others are forked.
            for end in ["returns"] if method == "spawn" else {ends}:
                name = end + "-" + method
                children[name] = context.Process(target=log, args=(name,))
        try:
            raise ValueError("handled by the parent while it forks: no fault of the child")
        except ValueError:
            for child in children.values():
                child.start()
        for child in children.values():
            child.join(100)
        writer.add_scalar("loss", 0.5, 1)
        print(json.dumps({{name: child.exitcode for name, child in children.items()}}))
"""


def test_a_forked_child_that_uses_the_writer_of_its_parent(warm, tmp_path):
    """Its events go to a directory of its own, it is warned once, and the parent's run is whole."""
    code = """
        import os, sys
        from safewriter import SafeSummaryWriter
        writer = SafeSummaryWriter("logs", unique=False)
        writer.add_scalar("loss", 0.0, 0)
        silent = os.fork()
        if silent == 0:
            sys.exit()
        child = os.fork()
        for step in range(1, 1000):
            writer.add_scalar("loss", step / 2, step)
        if child == 0:
            assert writer.log_dir.endswith(f"fork-{os.getpid()}")
            raise ValueError("on purpose")
        assert os.waitpid(silent, 0)[1] == 0
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
        print(child)
    """
    done = warm.run(code, cwd=tmp_path)
    child = f"fork-{int(done.stdout)}"
    assert done.stderr.count("Warning: ") == 1
    assert "script.py:11: ForkedWriterWarning" in done.stderr
    assert str(tmp_path / "logs" / child) in done.stderr
    runs = read_runs(tmp_path / "logs")
    assert runs == {
        ".": {"loss": [(step, step / 2) for step in range(1000)]},
        child: {"loss": [(step, step / 2) for step in range(1, 1000)]},
    }
    assert run_status(tmp_path / "logs") is RunStatus.FINISHED
    assert run_status(tmp_path / "logs" / child) is RunStatus.FAILED


@pytest.mark.parametrize("patched", [False, True], ids=["import", "safewriter run"])
def test_children_of_multiprocessing(tmp_path, patched):
    """A writer made in a child, by any start method, loses nothing and leaves a record of its end.

    Under ``safewriter run`` the children of an unchanged script make safe writers too.
    """
    code = MULTIPROCESSING.format(
        module="torch.utils.tensorboard" if patched else "safewriter",
        writer="SummaryWriter" if patched else "SafeSummaryWriter",
        ends=list(CHILDREN),
    )
    python_args = ["-m", "safewriter", "run"] if patched else []
    done = run_python(code, cwd=tmp_path, deadline=DEADLINE, python_args=python_args, check=True)
    codes = json.loads(done.stdout)
    assert len(codes) == 11
    assert codes == {name: CHILDREN[name.split("-")[0]][0] for name in codes}
    assert done.stderr.count("ValueError: on purpose") == 2
    assert "Warning" not in done.stderr
    for name in codes:
        (run,) = (tmp_path / "logs" / name).iterdir()
        assert read_runs(run) == {".": {"loss": [(step, step / 2) for step in range(1000)]}}
        assert run_status(run).value == CHILDREN[name.split("-")[0]][1], name
    (run,) = (tmp_path / "logs" / "parent").iterdir()
    assert read_runs(run) == {".": {"loss": [(0, 0.0), (1, 0.5)]}}
    assert run_status(run) is RunStatus.FINISHED
