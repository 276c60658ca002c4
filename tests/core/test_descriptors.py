"""Numbers of descriptors that were ours and now are the user's: never written to, never closed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safewriter.events import RunStatus, read_scalars, run_status
from tests.support import wait_until

pytest_plugins = ["tests.programs.fixtures"]

SETUP = """
    import atexit, json, os, signal, sys, time, warnings
    from pathlib import Path

    def at_exit():  # Registered before safewriter's own hooks, so it runs after them.
        for check in checks_at_exit:
            check()
        print("checked at exit")

    checks_at_exit = []
    atexit.register(at_exit)

    from safewriter import SafeSummaryWriter
    from tests.support.descriptors import open_descriptors

    warnings.simplefilter("ignore")
    run = Path("run").absolute()

    class UsersFile:
        '''A file of the user's with ten bytes.'''

        def __init__(self, number=None):
            name = f"user{len(os.listdir())}.bin"
            self.path = Path(name).absolute()
            self.file = open(self.path, "wb", buffering=0)
            if number is not None:  # as if it had been the lowest free one
                os.dup2(self.file.fileno(), number, inheritable=False)
                self.file.close()
                self.file = open(number, "wb", buffering=0)
            self.file.write(b"CHECKPOINT")
            self.content = b"CHECKPOINT"

        def check(self):
            '''It has the bytes that the user wrote, and more can be written.'''
            assert self.path.read_bytes() == self.content, self.path.read_bytes()
            assert os.path.samestat(os.fstat(self.file.fileno()), os.stat(self.path))
            self.file.write(b"MORE")
            self.content += b"MORE"
            assert self.path.read_bytes() == self.content, self.path.read_bytes()

    def take_numbers(of):
        '''Give the numbers of our own descriptors of some files to files of the user's.'''
        ours = {n: file for n, file in open_descriptors().items() if file.startswith(str(run))}
        taken = [UsersFile(number) for number, file in ours.items() if of in file]
        assert taken, ours
        return taken

    def log(*steps):
        for step in range(*steps):
            writer.add_scalar("loss", step / 2, step)
            writer.add_scalars("all", {"a": step / 2}, step)

    writer = SafeSummaryWriter(run, unique=False)
    log(1, 5)
"""


def assert_all_there(run: Path, last: int) -> None:
    """Assert that a run has all that was logged up to a step, and in its own files alone."""
    for directory, tag in ((run, "loss"), (run / "all_a", "all")):
        assert read_scalars(directory)[tag].steps.tolist() == [*range(1, last + 1)]


@pytest.mark.parametrize("highest", [256, 65536])
def test_all_descriptors_are_closed(warm, tmp_path, highest):
    """os.closerange(), then the user opens files, and the writer logs at once: each byte goes where
    it belongs, and the writer's close leaves the user's files open.
    """
    warm.run(
        SETUP
        + """
    os.closerange(3, int(sys.argv[1]))
    files = [UsersFile() for _ in range(12)]
    log(5, 9)
    for file in files: file.check()
    writer.close()
    for file in files: file.check()
    """,
        cwd=tmp_path,
        args=[str(highest)],
    )
    assert_all_there(tmp_path / "run", 8)
    assert run_status(tmp_path / "run") is RunStatus.FINISHED


@pytest.mark.parametrize("of", ["run/events", "all_a/events", "/.safewriter/lock", "/"])
def test_numbers_are_used_again_before_close(warm, tmp_path, of):
    """The user's files get the very numbers of ours: logging from the next look on, which is due
    after a second, and close() leave them alone.
    """
    warm.run(
        SETUP
        + """
    import time
    files = take_numbers(sys.argv[1])
    now = time.time
    time.time = lambda: now() + 2
    log(5, 9)
    for file in files: file.check()
    writer.flush()
    writer.close()
    for file in files: file.check()
    """,
        cwd=tmp_path,
        args=[of],
    )
    assert_all_there(tmp_path / "run", 8)
    assert run_status(tmp_path / "run") is RunStatus.FINISHED


def test_the_number_of_the_lock_is_used_again_while_the_run_goes_on(warm, tmp_path):
    """The lock was closed by hand, and its number is a file's of the user: that stays open."""
    warm.run(
        SETUP
        + """
    files = take_numbers("/.safewriter/lock")
    log(5, 9)
    for file in files: file.check()
    writer.close()
    for file in files: file.check()
    log(9, 10)
    writer.close()
    for file in files: file.check()
    """,
        cwd=tmp_path,
    )
    assert_all_there(tmp_path / "run", 9)
    assert run_status(tmp_path / "run") is RunStatus.FINISHED


@pytest.mark.parametrize("of", ["run/events", "all_a/events", "/.safewriter/lock", "/"])
def test_numbers_are_used_again_before_exit(warm, tmp_path, of):
    """The exit hook, which closes the run, leaves the user's files alone."""
    done = warm.run(
        SETUP
        + """
    files = take_numbers(sys.argv[1])
    checks_at_exit += [file.check for file in files]
    """,
        cwd=tmp_path,
        args=[of],
    )
    assert "checked at exit" in done.stdout
    assert "Traceback" not in done.stderr
    assert_all_there(tmp_path / "run", 4)
    assert run_status(tmp_path / "run") is RunStatus.FINISHED


@pytest.mark.parametrize("of", ["run/events", "all_a/events", "/"])
def test_numbers_are_used_again_before_a_fork(warm, tmp_path, of):
    """A forked child closes what it has inherited from us, and not the user's files."""
    warm.run(
        SETUP
        + """
    files = take_numbers(sys.argv[1])
    pid = os.fork()
    if pid == 0:
        for file in files: file.check()
        writer.add_scalar("loss", 0.5, 1)
        for file in files: file.check()
        os._exit(0)
    assert os.waitpid(pid, 0) == (pid, 0)
    """,
        cwd=tmp_path,
        args=[of],
    )
    assert_all_there(tmp_path / "run", 4)


def test_a_daemon(warm, tmp_path):
    """Two forks, log, close all descriptors, open own files, log: nobody's bytes are mixed up."""
    warm.run(
        SETUP
        + """
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    signal.alarm(30)
    log(1, 3)
    os.closerange(0, 1024)
    files = [UsersFile() for _ in range(11)]
    assert [file.file.fileno() for file in files] == [*range(11)]
    problem = ""
    try:
        log(3, 9)
        for file in files: file.check()
        writer.close()
        for file in files: file.check()
    except BaseException as error:
        problem = repr(error)
    with open("report.tmp", "w") as report:
        json.dump([str(writer.log_dir), problem], report)
    os.rename("report.tmp", "report")
    os._exit(0)
    """,
        cwd=tmp_path,
    )
    report = tmp_path / "report"
    wait_until(report.exists)
    daemons, problem = json.loads(report.read_text())
    assert problem == ""
    assert tmp_path / "run" in Path(daemons).parents
    assert_all_there(tmp_path / "run", 4)
    assert_all_there(Path(daemons), 8)
