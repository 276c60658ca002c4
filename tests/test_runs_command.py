"""``python -m safewriter run`` runs a script or a module as Python itself would."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from safewriter.events import RunStatus, run_status
from tests.support import read_runs, run_python

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
    (package / "__init__.py").touch()
    (tmp_path / "links" / "link.py").symlink_to(tmp_path / "work" / "program.py")
    return tmp_path / "work"


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
    ],
    ids=["script", "link, exception", "module", "package"],
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
        assert ours.stderr.endswith(plain.stderr.split("\n", 1)[1])
    else:
        assert ours.stderr == plain.stderr == ""


ENDINGS = {
    "sys.exit(3)": (3, RunStatus.FINISHED),
    "sys.exit('a word')": (1, RunStatus.FINISHED),
    "raise ValueError('on purpose')": (1, RunStatus.FAILED),
    "os.kill(os.getpid(), signal.SIGINT)": (-signal.SIGINT, RunStatus.FAILED),
    "os._exit(5)": (5, RunStatus.CRASHED),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_script_ends_as_it_does_without_us(warm, tmp_path, ending):
    """Exit code and last words are the script's own, its run is whole, and its status is right."""
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
    exit_code, status = ENDINGS[ending]
    assert ours.returncode == stock.returncode == exit_code
    last_words = [line for line in ours.stderr.splitlines() if not line.startswith("safewriter: ")]
    assert last_words[-1:] == stock.stderr.splitlines()[-1:]
    (run,) = (tmp_path / "logs" / "run").iterdir()
    assert read_runs(run) == {".": {"loss": [(step, step / 2) for step in range(1000)]}}
    assert run_status(run) is status


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
