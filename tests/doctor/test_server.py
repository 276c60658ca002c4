"""``--server``: what a running TensorBoard serves, against what is on disk."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from safewriter.doctor import Finding, check
from tests.doctor.situations import START, name, scalars, write
from tests.support import TensorBoardServer
from tests.support.event_bytes import frame, version_record
from tests.support.tensorboard_server import Reader

# Read once, at the start: a reloader that no longer reloads.
_ONCE = ["--reload_interval", "0"]


def run(top: Path, run: str, steps: range = range(10)) -> Path:
    """Write an old run."""
    return write(top / run, version_record(START), scalars("a", steps))


def about_the_server(findings: list[Finding]) -> list[str]:
    """Return the codes that are about the server."""
    return [finding.code for finding in findings if finding.code.startswith("SW7")]


@pytest.mark.parametrize("reader", ["fast", "python"])
def test_a_server_that_serves_what_is_on_disk(tmp_path: Path, reader: Reader) -> None:
    """Nothing is reported, whichever reader it is, with or without a slash behind its address."""
    run(tmp_path, "one")
    run(tmp_path, "nested/two")
    with TensorBoardServer(tmp_path, reader) as server:
        server.wait_until(lambda: len(server.tags()) == 2)
        assert check(tmp_path, server=server.url) == []
        assert check(tmp_path, server=server.url.rstrip("/")) == []


def test_a_dead_reloader(tmp_path: Path) -> None:
    """A new run, a longer one and a deleted one that it does not know of: restart it."""
    for name_ in ("gone", "grown", "same"):
        run(tmp_path, name_)
    with TensorBoardServer(tmp_path, "fast", _ONCE) as server:
        server.wait_until(lambda: len(server.tags()) == 3)
        assert about_the_server(check(tmp_path, server=server.url)) == []
        run(tmp_path, "new")
        run(tmp_path, "grown", range(20))
        shutil.rmtree(tmp_path / "gone")
        findings = {f.code: f for f in check(tmp_path, server=server.url)}
        assert sorted(findings) == ["SW704", "SW705", "SW706"]
        assert findings["SW704"].evidence["runs"] == ["new"]
        assert findings["SW705"].run == "grown"
        assert findings["SW705"].evidence["on_disk"] == 19
        assert findings["SW705"].evidence["served"] == 9
        assert findings["SW706"].evidence["runs"] == ["gone"]
        assert {finding.cure for finding in findings.values()} == {"Restart TensorBoard."}
        server.restart()
        server.wait_until(lambda: set(server.tags()) == {"grown", "new", "same"})
        assert check(tmp_path, server=server.url) == []


def test_a_restart_that_would_not_help(tmp_path: Path) -> None:
    """Where the file itself is why nothing is shown, the doctor says to cure that first."""
    run(tmp_path, "healthy")
    write(tmp_path / "empty")
    write(
        tmp_path / "back",
        version_record(START),
        scalars("a", range(10)),
        file=name(10),
    )
    with TensorBoardServer(tmp_path, "fast") as server:
        server.wait_until(lambda: len(server.tags()) == 2)
        findings = check(tmp_path, server=server.url)
    assert [finding.code for finding in findings] == ["SW201", "SW704"]
    assert "does not help" in findings[1].cure


def test_a_reloader_that_died_of_a_record(tmp_path: Path) -> None:
    """The Python reader, dead of a record in one run, no longer shows what is new in another."""
    with TensorBoardServer(tmp_path, "python") as server:
        write(tmp_path / "deadly", version_record(START), frame(b"\xff\xff\xff"))
        server.wait_until(lambda: "DecodeError" in server.output)
        run(tmp_path, "healthy")
        findings = check(tmp_path, server=server.url)
        assert [finding.code for finding in findings] == ["SW208", "SW704"]
        assert findings[1].cure.startswith("Restart TensorBoard")


def test_a_server_of_another_directory(tmp_path: Path) -> None:
    """Its own directory is named."""
    run(tmp_path / "mine", "one")
    run(tmp_path / "other", "two")
    with TensorBoardServer(tmp_path / "other") as server:
        findings = check(tmp_path / "mine", server=server.url)
        assert [finding.code for finding in findings] == ["SW703"]
        assert findings[0].evidence["served"] == str(tmp_path / "other")
        (tmp_path / "link").symlink_to(tmp_path / "other")
        server.wait_until(lambda: len(server.tags()) == 1)
        assert check(tmp_path / "link", server=server.url) == []


def test_a_server_that_answers_with_an_error(tmp_path: Path) -> None:
    """HTTP 500 for the list of runs is reported, with the directory that causes it."""
    run(tmp_path, "one")
    run(tmp_path, "x.tfevents.d")
    with TensorBoardServer(tmp_path, "python") as server:
        server.wait_until(lambda: server.get("data/runs")[0] == 500)
        findings = check(tmp_path, server=server.url)
        assert [finding.code for finding in findings] == ["SW502", "SW702"]
        assert findings[1].evidence["status"] == 500


def test_no_server(tmp_path: Path) -> None:
    """A port where nobody listens, something else than TensorBoard, and no address at all."""
    run(tmp_path, "one")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for address in (f"http://127.0.0.1:{port}", "nonsense"):
        findings = check(tmp_path, server=address)
        assert [finding.code for finding in findings] == ["SW701"]


@pytest.mark.parametrize("reader", ["fast", "python"])
def test_a_server_that_was_given_a_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Reader
) -> None:
    """TensorBoard says ``runs``; from which directory it was started, nobody can tell."""
    run(tmp_path / "here" / "runs", "one")
    run(tmp_path / "here" / "logs", "one")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with TensorBoardServer("runs", reader) as server:
        server.wait_until(lambda: len(server.tags()) == 1)
        monkeypatch.chdir(tmp_path / "there")
        assert check(tmp_path / "here" / "runs", server=server.url) == []
        findings = check(tmp_path / "here" / "logs", server=server.url)
        assert [finding.code for finding in findings] == ["SW703"]
