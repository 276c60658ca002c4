"""``python -m safewriter run`` runs a script or a module as Python itself would."""

from __future__ import annotations

import json
import signal
import zipapp
from pathlib import Path

import pytest

from safewriter.events import RunStatus, run_record, run_status
from tests.support import read_runs, run_python, spawn_python

pytest_plugins = ["tests.programs.fixtures"]

DEADLINE = 120

#: Prints what a program can see of how it was started.
FACTS = '''"""A program."""
import atexit, inspect, json, os, pickle, sys
import neighbour

class Model:
    size: int = 3
    def forward(self):
        return 1

def facts():
    main = sys.modules["__main__"]
    return {
        "name": __name__,
        "doc": __doc__,
        "code": facts.__code__.co_filename,
        "package": __package__,
        "spec": __spec__ and __spec__.name,
        "loader": type(__loader__).__name__,
        "argv": sys.argv,
        "path": sys.path[:1],
        "main": main.__dict__ is globals(),
        "annotation": repr(Model.__annotations__["size"]),
        "pickled": type(pickle.loads(pickle.dumps(Model()))) is Model,
        "neighbour": neighbour.__file__,
        "main block": __name__ == "__main__",
    }

print(json.dumps({**facts(), "file": __file__, "source": inspect.getsource(Model)}, sort_keys=True))
atexit.register(lambda: print("at exit", json.dumps(facts(), sort_keys=True)))
if "--fail" in sys.argv:
    def fail():
        raise RuntimeError("on purpose")
    fail()
sys.exit(3)
'''


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A directory with the program as a script, as a link to it, as a module and as a package."""
    (tmp_path / "work").mkdir()
    (tmp_path / "links").mkdir()
    package = tmp_path / "work" / "package"
    package.mkdir()
    for directory in (tmp_path / "work", package):
        (directory / "neighbour.py").touch()
        (directory / "program.py").write_text(FACTS, encoding="utf-8")
    (package / "__main__.py").write_text(FACTS, encoding="utf-8")
    directory = tmp_path / "work" / "directory"
    directory.mkdir()
    (directory / "__main__.py").write_text(FACTS, encoding="utf-8")
    (directory / "neighbour.py").touch()
    zipapp.create_archive(directory, tmp_path / "work" / "program.pyz")
    (package / "__init__.py").touch()
    (tmp_path / "links" / "link.py").symlink_to(tmp_path / "work" / "program.py")
    return tmp_path / "work"


def test_a_script_that_is_no_python(tmp_path):
    """A syntax error is told as Python tells it, and an exception of a module begins in it."""
    (tmp_path / "wrong.py").write_text("def f(:\n", encoding="utf-8")
    (tmp_path / "raising.py").write_text("1 / 0\n", encoding="utf-8")
    plain = run_python(RUN, args=["wrong.py"], cwd=tmp_path, deadline=DEADLINE)
    command = ["-m", "safewriter", "run"]
    ours = run_python(RUN, args=[*command, "wrong.py"], cwd=tmp_path, deadline=DEADLINE)
    assert ours.stderr == plain.stderr
    ours = run_python(RUN, args=[*command, "-m", "raising"], cwd=tmp_path, deadline=DEADLINE)
    assert f'File "{tmp_path / "raising.py"}", line 1' in ours.stderr.splitlines()[1]


RUN = """
    import os, sys
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["program.py", "--lr", "0.1", "-m", "--", "run"],
        ["../links/link.py", "--fail"],
        ["-m", "program", "-x"],
        ["-m", "package", "--root", "here"],
        ["directory", "--lr"],
        ["program.pyz", "--lr"],
    ],
    ids=["script", "link, exception", "module", "package", "directory", "zip file"],
)
def test_a_program_sees_what_it_sees_under_python(program, arguments):
    """Names, arguments, path, exit code, traceback and exit handlers are those of plain Python."""
    plain = run_python(RUN, args=arguments, cwd=program, deadline=DEADLINE)
    command = ["-m", "safewriter", "run", *arguments]
    ours = run_python(RUN, args=command, cwd=program, deadline=DEADLINE)
    assert [json.loads(line.removeprefix("at exit")) for line in ours.stdout.splitlines()] == [
        json.loads(line.removeprefix("at exit")) for line in plain.stdout.splitlines()
    ]
    assert plain.stdout.count("\n") == 2, plain.stderr
    assert ours.returncode == plain.returncode == (1 if "--fail" in arguments else 3)
    if "--fail" in arguments:
        assert "RuntimeError: on purpose" in plain.stderr
        assert ours.stderr == plain.stderr
    else:
        assert ours.stderr == plain.stderr == ""


TERMINATE = "os.kill(os.getpid(), signal.SIGTERM)"
HANDLER = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))"

ENDINGS = {
    # how it ends: (exit code, status, exit code and signal in the record)
    "sys.exit(0)": (0, RunStatus.FINISHED, None, None),
    "sys.exit(3)": (3, RunStatus.FAILED, 3, None),
    "with writer: sys.exit(3)": (3, RunStatus.FAILED, 3, None),
    "sys.exit('a word')": (1, RunStatus.FAILED, 1, None),
    "raise ValueError('on purpose')": (1, RunStatus.FAILED, None, None),
    "os.kill(os.getpid(), signal.SIGINT)": (-signal.SIGINT, RunStatus.FAILED, None, signal.SIGINT),
    TERMINATE: (-signal.SIGTERM, RunStatus.FAILED, None, signal.SIGTERM),
    f"{HANDLER}; {TERMINATE}": (7, RunStatus.FAILED, 7, None),
    "os.kill(os.getpid(), signal.SIGKILL)": (-signal.SIGKILL, RunStatus.CRASHED, None, None),
    "os._exit(5)": (5, RunStatus.CRASHED, None, None),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_script_ends_as_it_does_without_us(warm, tmp_path, ending):
    """Exit code and last words are the script's own, its run is whole, and its record is right."""
    code = f"""
        import os, signal, sys
        from torch.utils.tensorboard import SummaryWriter
        writer = SummaryWriter("logs/run", filename_suffix=".end")
        for step in range(1000):
            writer.add_scalar("loss", step / 2, step)
        {ending}
    """
    (tmp_path / "stock").mkdir()
    stock = warm.run(code, cwd=tmp_path / "stock", check=False)
    ours = warm.run(code, safe=True, cwd=tmp_path, check=False)
    exit_code, status, *kept = ENDINGS[ending]
    assert ours.returncode == stock.returncode == exit_code
    last_words = [line for line in ours.stderr.splitlines() if not line.startswith("safewriter: ")]
    assert last_words[-1:] == stock.stderr.splitlines()[-1:]
    (run,) = (tmp_path / "logs" / "run").iterdir()
    assert read_runs(run) == {".": {"loss": [(step, step / 2) for step in range(1000)]}}
    assert run_status(run) is status
    record = run_record(run)
    assert record is not None
    assert [record.get("exit_code"), record.get("signal")] == kept
    assert (record["end"] is None) == (status is RunStatus.CRASHED)


def test_every_open_run_is_marked_by_sigterm_and_a_closed_one_is_not(warm, tmp_path):
    """SIGTERM is in the record of each run that was open; getsignal says that nobody handles it."""
    code = """
        import os, signal
        from torch.utils.tensorboard import SummaryWriter
        for name in "abc":
            writer = SummaryWriter(name)
            writer.add_scalar("loss", 0.0, 0)
            globals()[name] = writer
        a.close()
        d = SummaryWriter("d")
        d.add_scalar("loss", 0.0, 0)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        os.kill(os.getpid(), signal.SIGTERM)
    """
    done = warm.run(code, safe=True, cwd=tmp_path, check=False)
    assert done.returncode == -signal.SIGTERM, done.stderr
    for name in "abcd":
        (run,) = (tmp_path / name).iterdir()
        record = run_record(run) or {}
        assert record.get("signal") == (None if name == "a" else signal.SIGTERM)
        assert record["status"] == ("finished" if name == "a" else "failed")


def test_sigterm_ends_a_program_that_is_in_c_code(tmp_path):
    """Its main thread need not return to Python: the default action is there at once."""
    code = """
        import ctypes
        from torch.utils.tensorboard import SummaryWriter
        writer = SummaryWriter("logs")
        writer.add_scalar("loss", 0.0, 0)
        print("here", flush=True)
        while True:
            ctypes.PyDLL(None).sleep(600)  # keeps the interpreter's lock
    """
    command = ("-m", "safewriter", "run")
    with spawn_python(code, cwd=tmp_path, python_args=command) as process:
        process.wait_for_line("here")
        process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
    (run,) = (tmp_path / "logs").iterdir()
    assert run_status(run) is RunStatus.FAILED


def test_a_resumed_run_keeps_how_it_was_ended(warm, tmp_path):
    """The session that a SIGTERM ended stays so in the record, and its mark goes."""
    code = """
        import os, signal, sys
        from torch.utils.tensorboard import SummaryWriter
        writer = SummaryWriter("logs")
        writer.add_scalar("loss", 0.0, len(sys.argv))
        if len(sys.argv) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
    """
    warm.run(code, safe=True, cwd=tmp_path, check=False)
    resuming = code.replace('"logs")', '"logs", resume=True)').replace(
        "torch.utils.tensorboard import SummaryWriter",
        "safewriter import SafeSummaryWriter as SummaryWriter",
    )
    warm.run(resuming, args=["again"], cwd=tmp_path)
    (run,) = (tmp_path / "logs").iterdir()
    record = run_record(run) or {}
    assert [session.get("signal") for session in record["sessions"]] == [signal.SIGTERM, None]
    assert record["status"] == "finished"
    assert not list((run / ".safewriter").glob("sigterm-*"))


def test_a_forked_child_that_is_terminated_says_nothing_of_its_parent(warm, tmp_path):
    """The mark of a run is that of its own process."""
    code = """
        import os, signal
        from torch.utils.tensorboard import SummaryWriter
        writer = SummaryWriter("logs")
        writer.add_scalar("loss", 0.0, 0)
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = warm.run(code, safe=True, cwd=tmp_path, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (run,) = (tmp_path / "logs").iterdir()
    assert run_status(run) is RunStatus.CRASHED


def test_runs_of_spawned_children_are_told(tmp_path):
    """A run that a child of multiprocessing begins is named at the end, like the parent's own."""
    script = tmp_path / "train.py"
    script.write_text(
        "import multiprocessing\n"
        "from torch.utils.tensorboard import SummaryWriter\n"
        "def train(name):\n"
        "    with SummaryWriter(name) as writer:\n"
        "        writer.add_scalar('loss', 1.0, 1)\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    process = context.Process(target=train, args=('logs',))\n"
        "    process.start()\n"
        "    process.join()\n"
    )
    command = ("-m", "safewriter", "run")
    done = run_python(script, cwd=tmp_path, python_args=command, deadline=DEADLINE, check=True)
    (run,) = (tmp_path / "logs").iterdir()
    assert f"safewriter: run {run}" in done.stderr.splitlines()


def test_what_cannot_be_run_is_said_in_one_line(warm, tmp_path):
    """A script or a module that is not there is named, without a traceback of ours."""
    for first, *others in (["nothing.py"], ["-m", "nothing_of_this_name"]):
        done = warm.run(Path(first), safe=True, args=others, cwd=tmp_path, check=False)
        assert done.returncode == 1
        assert "nothing" in done.stderr
        assert done.stderr.count("\n") == 1


def test_each_rank_of_torchrun_has_a_run_of_its_own(tmp_path):
    """Under torchrun each rank of an unchanged script has all its points in a run of its own."""
    script = tmp_path / "train.py"
    script.write_text(
        "from torch.utils.tensorboard import SummaryWriter\n"
        "writer = SummaryWriter('runs')\n"
        "for step in range(5):\n"
        "    writer.add_scalar('train/loss', 1.0, step)\n"
    )
    run_python(
        "import sys\n"
        "from torch.distributed.run import main\n"
        "main(['--nproc_per_node', '2', '-m', 'safewriter', 'run', 'train.py'])\n",
        cwd=tmp_path,
        deadline=DEADLINE,
        check=True,
    )
    runs = read_runs(tmp_path / "runs")
    assert sorted(run.rpartition("_")[2] for run in runs) == ["rank0", "rank1"]
    for scalars in runs.values():
        assert [step for step, _ in scalars["train/loss"]] == list(range(5))
