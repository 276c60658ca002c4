"""Directories with a scheme: tensorboard's writer, closed by our lifecycle, and no exception."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from safewriter import RunDirectoryError, SafeSummaryWriter
from tests.support import PythonProcess, read_scalars, run_python, spawn_python

pytest.importorskip("fsspec")

# Writes what is in fsspec's memory to files, once everything is closed.
SAVE_MEMORY = """
    import atexit, fsspec, os
    def save():
        memory = fsspec.filesystem("memory")
        for path in memory.find("/"):
            os.makedirs("saved" + os.path.dirname(path), exist_ok=True)
            with open("saved" + path, "wb") as file:
                file.write(memory.cat(path))
    atexit.register(save)  # The first registered is the last to run.
    import warnings
    from safewriter import SafeSummaryWriter
"""


def points(*steps: int) -> list[tuple[int, float]]:
    """Return the points that the scripts log."""
    return [(step, step / 2) for step in range(*steps)]


@pytest.fixture
def run_cold(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a script in a new interpreter: exit handlers, and what is read at import, matter here."""
    return lambda code, **env: run_python(code, cwd=tmp_path, env=env, check=True, deadline=120)


def test_everything_is_uploaded_at_exit(run_cold, tmp_path):
    """Without close(), a run, its series and a second writer arrive under names of their own."""
    done = run_cold(
        SAVE_MEMORY
        + """
    writer, other = SafeSummaryWriter("memory://logs"), SafeSummaryWriter("memory://logs//x/")
    for step in range(100):
        writer.add_scalar("loss", step / 2, step)
        writer.add_scalars("all", {"a": step / 2}, step)
    other.add_scalar("loss", 0.0, 0)
    print(writer.log_dir, other.log_dir)
    """
    )
    first, second = done.stdout.split()
    stamp = r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[0-9a-f]{8}"
    assert re.fullmatch(f"memory://logs/{stamp}", first)
    assert re.fullmatch(f"memory://logs//x/{stamp}", second)
    saved = tmp_path / "saved/logs"
    assert read_scalars(saved / Path(first).name)["loss"] == points(100)
    assert read_scalars(saved / Path(first).name / "all_a")["all"] == points(100)
    assert read_scalars(saved / "x" / Path(second).name)["loss"] == points(1)
    assert done.stderr == ""


def test_exactly_the_directory_and_again_after_close(run_cold, tmp_path):
    """With unique=False the directory is as given; after close() a further file goes on."""
    done = run_cold(
        SAVE_MEMORY
        + """
    writer = SafeSummaryWriter("memory://logs/run", unique=False)
    assert writer.log_dir == writer.get_logdir() == "memory://logs/run"
    for step in range(5):
        writer.add_scalar("loss", step / 2, step)
    writer.close()
    for step in range(5, 9):
        writer.add_scalar("loss", step / 2, step)
    """
    )
    assert read_scalars(tmp_path / "saved/logs/run")["loss"] == points(9)
    assert done.stderr == ""


def test_a_scheme_that_nobody_serves():
    """The error names the directory, what is wrong and what to look at."""
    with pytest.raises(RunDirectoryError, match=r"'nowhere://x/.* cannot be used: .*installed"):
        SafeSummaryWriter("nowhere://x")


S3_SERVER = """
    import sys
    from moto.server import ThreadedMotoServer
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=int(sys.argv[1]), verbose=False)
    server.start()
    import boto3
    port = server.get_host_and_port()[1]
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}")
    client.create_bucket(Bucket="bucket")
    print("port", port, flush=True)
    for line in sys.stdin:
        for item in client.list_objects_v2(Bucket="bucket").get("Contents", []):
            path = sys.argv[2] + "/" + item["Key"]
            if not path.endswith("/"):
                import os
                os.makedirs(os.path.dirname(path), exist_ok=True)
                client.download_file("bucket", item["Key"], path)
        print("downloaded", flush=True)
"""

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_MAX_ATTEMPTS": "1",
}


class Bucket:
    """A bucket on an S3 server on loopback."""

    def __init__(self, server: PythonProcess, directory: Path) -> None:
        self._server = server
        self._directory = directory
        port = int(server.wait_for_line("port", 120).split()[1])
        endpoint = f"http://127.0.0.1:{port}"
        self.env = {**CREDENTIALS, "S3_ENDPOINT": endpoint, "AWS_ENDPOINT_URL": endpoint}

    def download(self) -> Path:
        """Return a directory with all that is in it."""
        self._server.send_line("download")
        self._server.wait_for_line("downloaded")
        return self._directory


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    """A bucket on an S3 server."""
    pytest.importorskip("moto.server")
    pytest.importorskip("boto3")
    with spawn_python(S3_SERVER, args=["0", tmp_path / "s3"], env=CREDENTIALS) as server:
        yield Bucket(server, tmp_path / "s3")


@pytest.mark.parametrize("client", ["boto3", "s3fs"])
def test_s3_without_close(run_cold, bucket, client):
    """Scalars, series and an image are in the bucket once the process has ended."""
    pytest.importorskip(client)
    done = run_cold(
        f"""
        import sys
        if {client!r} == "s3fs":
            sys.modules["boto3"] = None  # tensorboard prefers it
        import torch
        from safewriter import SafeSummaryWriter
        writer = SafeSummaryWriter("s3://bucket/some/logs")
        for step in range(60):
            writer.add_scalar("loss", step / 2, step)
            writer.add_scalars("all", {{"a": step / 2}}, step)
        writer.add_image("picture", torch.zeros(3, 4, 4), 1)
        print(writer.log_dir)
        """,
        **bucket.env,
    )
    run = done.stdout.strip().removeprefix("s3://bucket/")
    assert run.startswith("some/logs/")
    downloaded = bucket.download() / run
    assert read_scalars(downloaded)["loss"] == points(60)
    assert read_scalars(downloaded / "all_a")["all"] == points(60)
    assert done.stderr == ""


def test_s3_that_fails_and_comes_back(run_cold, bucket):
    """Training goes on; the warnings say so; what the temporary file kept is uploaded later."""
    done = run_cold(
        """
        import json, os, time, warnings
        from safewriter import SafeSummaryWriter
        given = []
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, category, *rest: given.append(
            [category.__name__, str(message)]
        )
        import threading
        threading.excepthook = lambda args: None  # Where tensorboard's thread says why it ends.
        writer = SafeSummaryWriter("s3://bucket/run", unique=False, flush_secs=1)
        for step in range(50):
            writer.add_scalar("loss", step / 2, step)
        writer.flush()
        import boto3
        from botocore.exceptions import EndpointConnectionError
        client = boto3.client
        def fails(*args, **kwargs):
            raise EndpointConnectionError(endpoint_url="http://gone")
        boto3.client = fails
        for step in range(50, 60):
            writer.add_scalar("loss", step / 2, step)
        writer.flush()
        assert len(given) == 1, given
        boto3.client = client
        writer.flush()
        for step in range(60, 70):
            writer.add_scalar("loss", step / 2, step)
        writer.close()
        boto3.client = fails
        writer.add_scalar("loss", 35.0, 70)
        writer.close()
        print(json.dumps(given))
        """,
        **bucket.env,
    )
    given = json.loads(done.stdout)
    assert {name for name, _ in given} == {"WriteErrorWarning"}
    texts = [text for _, text in given]
    assert "Training goes on" in texts[0]
    assert "takes events again" in texts[1]
    assert len(texts) == 4
    assert "closed while the server does not answer" in texts[3]
    steps = [step for step, _ in read_scalars(bucket.download() / "run")["loss"]]
    assert steps == list(range(70))


def test_s3_without_a_server(run_cold):
    """A server that is not there is an error when the writer is made, and names the directory."""
    run_cold(
        """
        from safewriter import RunDirectoryError, SafeSummaryWriter
        try:
            SafeSummaryWriter("s3://bucket/run")
        except RunDirectoryError as error:
            assert "s3://bucket/run/" in str(error) and "EndpointConnectionError" in str(error)
        else:
            raise AssertionError
        """,
        **CREDENTIALS,
        S3_ENDPOINT="http://127.0.0.1:9",
    )
