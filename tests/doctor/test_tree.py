"""What breaks a whole log directory, or is about one as a whole: a TensorBoard for each."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import psutil
import pytest
from tensorboard.compat.proto.event_pb2 import Event

from safewriter.doctor import Finding, check, repair
from tests.doctor.situations import START, name, scalars, views, write
from tests.support import TensorBoardServer, run_python, spawn_python, wait_until
from tests.support.event_bytes import frame, scalar_event, version_record
from tests.support.tensorboard_server import Reader

READERS = pytest.mark.parametrize("reader", ["fast", "python"])
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

_ALL = {"a": list(range(10))}


def healthy(top: Path, run: str = "healthy") -> Path:
    """Write a run that nothing is wrong with."""
    return write(top / run, version_record(START), scalars("a", range(10)))


def codes(findings: list[Finding]) -> list[str]:
    """Return the codes that were found."""
    return [finding.code for finding in findings]


def shown(top: Path, reader: Reader) -> dict[str, dict[str, list[int]]]:
    """Return what TensorBoard shows of a directory that it can read."""
    with TensorBoardServer(top, reader) as server:
        server.settle()
        return views(server)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory without a project or runs around it."""
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


# The log directory itself. All of these are an empty page; the routes behind it say so.


def _missing(top: Path) -> str:
    return str(top / "missing")


def _file(top: Path) -> str:
    return str(healthy(top / "x"))


def _empty(top: Path) -> str:
    (top / "empty").mkdir()
    return str(top / "empty")


def _comma(top: Path) -> str:
    healthy(top, "first")
    healthy(top, "second")
    return f"{top / 'first'},{top / 'second'}"


def _colon(top: Path) -> str:
    healthy(top, "first")
    return f"mine:{top / 'first'}"


def _renamed(top: Path) -> str:
    write(top / "renamed", version_record(START), scalars("a", range(10)), file="events.log")
    return str(top / "renamed")


@READERS
@pytest.mark.parametrize(
    ("build", "code"),
    [
        (_missing, "SW101"),
        (_file, "SW102"),
        (_empty, "SW103"),
        (_comma, "SW104"),
        (_renamed, "SW105"),
    ],
)
def test_a_log_directory_without_runs(
    tmp_path: Path, elsewhere: Path, build: object, code: str, reader: Reader
) -> None:
    """TensorBoard serves no run and no message; the doctor says what is wrong."""
    logdir = build(tmp_path)  # type: ignore[operator]
    assert codes(check(logdir)) == [code]
    with TensorBoardServer(logdir, reader) as server:
        # A directory without runs is the one thing that nothing announces: two reload intervals.
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            assert server.get_json("data/runs") == []
            time.sleep(0.2)


def test_the_directory_that_was_meant_is_named(tmp_path: Path, elsewhere: Path) -> None:
    """A typo, another working directory and a ``runs`` in the project root are each found."""
    healthy(tmp_path / "experiments")
    typo = check(tmp_path / "experimnets")[0]
    assert typo.evidence["nearest"] == [str(tmp_path / "experiments")]
    assert str(tmp_path / "experiments") in typo.cure

    (elsewhere / "pyproject.toml").touch()
    (elsewhere / "src" / "deep").mkdir(parents=True)
    healthy(elsewhere / "runs")
    os.chdir(elsewhere / "src" / "deep")
    assert check("runs")[0].evidence["nearest"] == [str(elsewhere / "runs")]

    os.chdir(elsewhere)
    healthy(elsewhere / "src" / "logs")
    (elsewhere / "logs").mkdir()
    assert check("logs")[0].evidence["nearest"][0] == str(elsewhere / "src" / "logs")


def test_the_parts_of_a_spec_are_named(tmp_path: Path) -> None:
    """``a,b`` and ``name:path`` are taken apart, and ``--logdir_spec`` is offered."""
    finding = check(_comma(tmp_path))[0]
    assert finding.evidence["directories"] == [str(tmp_path / "first"), str(tmp_path / "second")]
    assert "--logdir_spec=" in finding.cure
    named = check(_colon(tmp_path))[0]
    assert named.code == "SW104"
    assert named.evidence["directories"] == [str(tmp_path / "first")]


# Names and kinds of files.


def test_a_directory_with_the_mark_in_its_name(tmp_path: Path) -> None:
    """The default reader does not mind; the Python reader answers HTTP 500 for every run."""
    healthy(tmp_path)
    healthy(tmp_path, "model.tfevents.d")
    assert codes(check(tmp_path)) == ["SW502"]
    assert shown(tmp_path, "fast") == {"healthy": _ALL, "model.tfevents.d": _ALL}
    with TensorBoardServer(tmp_path, "python") as server:
        server.wait_until(lambda: server.get("data/runs")[0] == 500)


def test_a_link_to_a_directory_above(tmp_path: Path) -> None:
    """The default reader leaves it out; the Python reader lists every run over and over."""
    healthy(tmp_path)
    (tmp_path / "loop").symlink_to(".")
    findings = check(tmp_path)
    assert codes(findings) == ["SW504"]
    assert findings[0].evidence["target"] == str(tmp_path)
    assert shown(tmp_path, "fast") == {"healthy": _ALL}
    with TensorBoardServer(tmp_path, "python") as server:
        server.wait_until(lambda: len(server.runs()) > 20)


def test_a_pipe_with_the_mark_in_its_name(tmp_path: Path) -> None:
    """The default reader goes past it; the Python reader hangs and never answers again."""
    healthy(tmp_path)
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / "run" / name())
    findings = check(tmp_path)
    assert codes(findings) == ["SW505"]
    assert findings[0].evidence == {"kind": "pipe"}
    assert shown(tmp_path, "fast") == {"healthy": _ALL}

    with TensorBoardServer(tmp_path, "python") as server:

        def hangs() -> bool:
            try:
                opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
                opener.open(f"{server.url}data/runs", timeout=3).close()
            except TimeoutError:
                return True
            except urllib.error.URLError as error:
                return isinstance(error.reason, TimeoutError)
            return False

        server.wait_until(hangs)


def test_a_socket_with_the_mark_in_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket is told from a file too."""
    healthy(tmp_path)
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("tfevents.socket")
    findings = check(tmp_path)
    assert codes(findings) == ["SW505"]
    assert findings[0].evidence == {"kind": "socket"}


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_name_that_is_not_utf8(tmp_path: Path, kind: str) -> None:
    """Whatever the file is, the Python reader's reloader dies of it and no run is shown."""
    healthy(tmp_path)
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9")
    if kind == "file":
        open(path, "wb").close()
    else:
        os.mkdir(path)
    findings = check(tmp_path)
    assert codes(findings) == ["SW506"]
    assert findings[0].evidence == {"name": "caf\\xe9"}
    assert shown(tmp_path, "fast") == {"healthy": _ALL}
    with TensorBoardServer(tmp_path, "python") as server:
        server.wait_until(lambda: "UnicodeEncodeError" in server.output)
        assert server.runs() == []


def test_a_profilers_mark_is_no_stray_file(tmp_path: Path) -> None:
    """The empty file that a profiler leaves is known to both readers and to the doctor."""
    healthy(tmp_path)
    write(tmp_path / "healthy", file=f"{name(1)}.profile-empty")
    assert check(tmp_path) == []
    assert shown(tmp_path, "python") == {"healthy": _ALL}


def test_an_ending_of_the_users_own_is_no_stray_file(tmp_path: Path) -> None:
    """A writer with ``filename_suffix=".old"`` made no backup if there is nothing else."""
    write(tmp_path / "run", version_record(START), scalars("a", range(10)), file=f"{name()}.old")
    assert check(tmp_path) == []
    assert repair(tmp_path) == []
    write(tmp_path / "run", file=f"{name()}.lock")
    assert codes(check(tmp_path)) == ["SW501"]


# A record that is no event kills the Python reader's reloader, so it cannot stand with others.


@pytest.mark.parametrize(
    "payload", [b"\xff\xff\xff", scalar_event("zz", 1.0, 5).replace(b"zz", b"\xff\xfe")]
)
def test_a_record_that_is_no_event(tmp_path: Path, payload: bytes) -> None:
    """The file ends there for one reader, the other's reloader dies; --fix cures it."""
    head, tail = scalars("a", range(5)), scalars("a", range(6, 10), after=6)
    write(tmp_path / "run", version_record(START), head, frame(payload), tail)
    findings = check(tmp_path)
    assert codes(findings) == ["SW208"]
    assert findings[0].evidence["records_behind"] == 4
    assert shown(tmp_path, "fast") == {"run": {"a": [0, 1, 2, 3, 4]}}
    with TensorBoardServer(tmp_path, "python") as server:
        server.wait_until(lambda: "DecodeError" in server.output)
    repair(tmp_path)
    assert check(tmp_path) == []
    everything = {"run": {"a": [0, 1, 2, 3, 4, 6, 7, 8, 9]}}
    assert shown(tmp_path, "fast") == everything
    assert shown(tmp_path, "python") == everything


# Permissions.


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that any user can reach: pytest's own are closed to others."""
    directory = Path(tempfile.mkdtemp(prefix="safewriter-public-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


# Root without the capabilities that let it read everything is to files of others an ordinary user,
# and can still read the interpreter wherever that is installed.
_WITHOUT_PRIVILEGE = """
    import ctypes, os, sys
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        assert ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) == 0  # PR_CAPBSET_DROP
    os.execv(sys.executable, [sys.executable, "-m", "tensorboard.main", "--logdir", sys.argv[1],
             "--host", "127.0.0.1", "--port", "0", "--reload_interval", "1", *sys.argv[2:]])
"""


@ROOT
@READERS
@pytest.mark.parametrize(
    ("locked", "mode"),
    [("private", 0o700), (f"private/{name()}", 0o600)],
    ids=["directory", "file"],
)
def test_what_another_user_may_not_read(
    public: Path, locked: str, mode: int, reader: Reader
) -> None:
    """A TensorBoard of another user does not show the run, and ``as_user`` says why."""
    healthy(public, "healthy")
    healthy(public, "private")
    os.chown(public / locked, 65534, 65534)
    (public / locked).chmod(mode)
    assert check(public) == []
    findings = check(public, as_user="12345")
    assert codes(findings) == ["SW503"]
    assert findings[0].path == public / locked
    assert findings[0].evidence == {"user": "12345", "mode": f"{mode:04o}", "owner": 65534}
    assert check(public, as_user="65534") == []
    arguments = [str(public), "--load_fast", "true" if reader == "fast" else "false"]
    with spawn_python(_WITHOUT_PRIVILEGE, args=arguments) as process:
        line = wait_until(
            lambda: next((at for at in process.stderr_lines if "TensorBoard 2" in at), None), 60
        )
        assert line is not None
        server = TensorBoardServer(public)
        server.url = line.split(" at ")[1].split()[0]

        def is_hidden() -> bool:
            if server.get("data/runs")[0] == 500:
                return reader == "python"
            shown = views(server)
            return "healthy" in shown and not shown.get("private")

        wait_until(is_hidden, 30, process.output)


@ROOT
def test_a_directory_above_that_another_user_may_not_pass(tmp_path: Path) -> None:
    """The log directory may be open and a directory above it closed."""
    healthy(tmp_path / "above" / "runs")
    (tmp_path / "above").chmod(0o700)
    findings = check(tmp_path / "above" / "runs", as_user="nobody")
    assert tmp_path / "above" in [finding.path for finding in findings]
    assert set(codes(findings)) == {"SW503"}


def test_a_link_to_nothing(tmp_path: Path) -> None:
    """An event file that is a link to a deleted file cannot be read."""
    healthy(tmp_path)
    (tmp_path / "healthy" / name(1)).symlink_to("gone")
    findings = check(tmp_path)
    assert codes(findings) == ["SW503"]
    assert "'gone'" in findings[0].message


# How many.


def test_more_files_than_descriptors(tmp_path: Path) -> None:
    """Under a limit, TensorBoard's runs come and go; the doctor under the same limit says so."""
    with TensorBoardServer(tmp_path, "fast") as server:
        assert server._process is not None
        for child in psutil.Process(server._process.pid).children(recursive=True):
            resource.prlimit(child.pid, resource.RLIMIT_NOFILE, (128, 128))
        for number in range(200):
            healthy(tmp_path, f"run-{number:03}")
        server.wait_until(lambda: 0 < len(server.tags()) < 200)
        server.wait_until(lambda: len(server.runs()) == 0)
        server.wait_until(lambda: len(server.runs()) > 0)
    assert check(tmp_path, select=["SW507"]) == []
    script = f"""
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
        from safewriter.doctor import check
        print([(finding.code, finding.evidence) for finding in check({str(tmp_path)!r})])
    """
    output = run_python(script, check=True).stdout
    assert output.strip() == "[('SW507', {'files': 200, 'limit': 128})]"


def test_more_runs_than_are_selected(tmp_path: Path) -> None:
    """From 501 runs on TensorBoard's page leaves new ones unselected; its own code says so."""
    first = healthy(tmp_path, "000")
    for number in range(1, 500):
        shutil.copytree(first.parent, tmp_path / f"{number:03}")
    assert check(tmp_path) == []
    shutil.copytree(first.parent, tmp_path / "500")
    findings = check(tmp_path, ignore=["SW507"])
    assert [(finding.code, finding.evidence) for finding in findings] == [("SW508", {"runs": 501})]
    page = resources.files("tensorboard") / "webfiles.zip"
    with page.open("rb") as file, zipfile.ZipFile(file) as archive:
        assert b"The number of runs exceeds 500. New runs are unselected" in archive.read(
            "index.js"
        )


@READERS
def test_more_points_than_are_kept(tmp_path: Path, reader: Reader) -> None:
    """Of 1,500 points TensorBoard shows 1,000, the last among them; the doctor notes it."""
    write(tmp_path / "run", version_record(START), scalars("a", range(1500)))
    findings = check(tmp_path)
    assert codes(findings) == ["SW410"]
    assert findings[0].evidence["count"] == 1500
    steps = shown(tmp_path, reader)["run"]["a"]
    assert len(steps) == findings[0].evidence["kept"] == 1000
    assert steps[-1] == 1499


# Runs that are being written.


def _append(path: Path, steps: range) -> None:
    now = time.time()
    with open(path, "ab") as file:
        file.write(scalars("a", steps, after=now - START, apart=0.001))


@READERS
@pytest.mark.parametrize(("second_grows", "code"), [(True, "SW303"), (False, "SW304")])
def test_a_growing_file_that_is_not_the_last(
    tmp_path: Path, reader: Reader, second_grows: bool, code: str
) -> None:
    """What is appended to the earlier file is shown by the default reader only."""
    run = tmp_path / "run"
    now = time.time()
    first = write(run, version_record(now - 60))
    second = write(run, version_record(now - 50), file=name(second=1))
    _append(first, range(5))
    if second_grows:
        with open(second, "ab") as file:
            file.write(scalars("b", range(5), after=now - START, apart=0.001))
    else:
        os.utime(second, (now - 1000, now - 1000))
    with TensorBoardServer(tmp_path, reader) as server:
        server.settle()
        assert views(server)["run"]["a"] == [0, 1, 2, 3, 4]
        _append(first, range(5, 10))
        server.settle()
        expected = list(range(10 if reader == "fast" else 5))
        assert views(server)["run"]["a"] == expected
    shutil.rmtree(tmp_path / "sentinel", ignore_errors=True)
    if second_grows:
        with open(second, "ab") as file:
            file.write(scalars("b", range(5, 10), after=time.time() - START, apart=0.001))
    assert codes(check(tmp_path)) == [code]


def test_a_file_that_is_written_right_now_is_not_torn(tmp_path: Path) -> None:
    """The unfinished record of a file that was touched just now may be on its way."""
    path = write(
        tmp_path / "run", version_record(START), scalars("a", range(5)), scalars("a", [5])[:20]
    )
    assert codes(check(tmp_path)) == ["SW203"]
    os.utime(path)
    assert check(tmp_path) == []


def test_a_damaged_event_is_no_event_of_the_format() -> None:
    """The payload that the tests take for an undecodable one is refused by protobuf."""
    with pytest.raises(Exception, match="pars"):
        Event.FromString(b"\xff\xff\xff")
