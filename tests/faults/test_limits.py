"""Limits: many series, many tags, many events, long tags, huge events."""

from __future__ import annotations

import json

import pytest

from safewriter.events import read_records
from tests.support import event_files, read_events, read_scalars

pytest_plugins = ["tests.programs.fixtures"]

#: Resident memory, now and at its highest, in bytes.
MEMORY = """
    import resource
    import psutil
    def resident(): return psutil.Process().memory_info().rss
"""


def series(warm, tmp_path, count: int, steps: int) -> dict[str, float]:
    """Log `count` series of add_scalars in a process that may open 256 files."""
    done = warm.run(
        MEMORY
        + f"""
    import json, os, time
    from safewriter import SafeSummaryWriter
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    writer = SafeSummaryWriter("run", unique=False)
    names = [f"s{{number}}" for number in range({count})]
    before, started = resident(), time.perf_counter()
    most = 0
    for step in range({steps}):
        writer.add_scalars("all", dict.fromkeys(names, step / 2), step)
        most = max(most, len(os.listdir("/proc/self/fd")))
    seconds = time.perf_counter() - started
    report = dict(descriptors=most, megabytes=(resident() - before) / 2**20, seconds=seconds)
    writer.close()
    report["left"] = len(os.listdir("/proc/self/fd"))
    print(json.dumps(report))
    """,
        cwd=tmp_path,
        deadline=300,
    )
    assert done.stderr == ""
    runs = list((tmp_path / "run").glob("all_*"))
    assert len(runs) == count
    assert len(event_files(tmp_path / "run")) == count + 1
    expected = list(range(steps))
    for run in runs[:: max(1, count // 200)]:
        assert [event.step for event in read_events(run)[1:]] == expected
    report: dict[str, float] = json.loads(done.stdout)
    assert report["descriptors"] < 100
    assert report["left"] < 20
    return report


def test_series_far_beyond_the_limit_of_open_files(warm, tmp_path):
    """A thousand series under ``ulimit -n 256``: all written, with a quarter of the descriptors."""
    series(warm, tmp_path, 1000, 3)


@pytest.mark.stress
def test_five_thousand_series(warm, tmp_path, capsys):
    """Five thousand series under ``ulimit -n 256``."""
    report = series(warm, tmp_path, 5000, 4)
    with capsys.disabled():
        print(f"\n5,000 series, 4 steps: {report}")


def tags(warm, tmp_path, count: int) -> float:
    """Log two points of each of `count` tags; return the bytes of memory for a tag."""
    done = warm.run(
        MEMORY
        + f"""
    from safewriter import SafeSummaryWriter
    writer = SafeSummaryWriter("run", unique=False)
    writer.add_scalar("warm up", 1.0, 1)
    before = resident()
    for step in (1, 2):
        for number in range({count}):
            writer.add_scalar(f"layer{{number:06}}/weight/norm", step / 2, step)
    print((resident() - before) / {count})
    """,
        cwd=tmp_path,
        deadline=300,
    )
    (file,) = event_files(tmp_path / "run")
    assert sum(1 for _ in read_records(file)) == 2 * count + 2
    return float(done.stdout)


def test_many_tags(warm, tmp_path):
    """The ledger and the fast path of a tag take less than a kilobyte."""
    assert tags(warm, tmp_path, 20_000) < 1024


@pytest.mark.stress
def test_a_hundred_thousand_tags(warm, tmp_path, capsys):
    """The same for 100,000 tags."""
    taken = tags(warm, tmp_path, 100_000)
    with capsys.disabled():
        print(f"\n100,000 tags: {taken:.0f} bytes a tag")
    assert taken * 100_000 < 50e6


def scalars(warm, tmp_path, count: int) -> float:
    """Log `count` points to one tag; return the growth of memory in bytes."""
    done = warm.run(
        MEMORY
        + f"""
    from safewriter import SafeSummaryWriter
    writer = SafeSummaryWriter("run", unique=False)
    for step in range(10_000):
        writer.add_scalar("loss", 0.5, step)
    before = resident()
    for step in range(10_000, {count}):
        writer.add_scalar("loss", 0.5, step)
    print(resident() - before)
    """,
        cwd=tmp_path,
        deadline=600,
    )
    (file,) = event_files(tmp_path / "run")
    assert file.stat().st_size > 40 * count
    return float(done.stdout)


def test_memory_does_not_grow_with_events(warm, tmp_path):
    """200,000 points leave the process as large as 10,000 did."""
    assert scalars(warm, tmp_path, 200_000) < 2**20


@pytest.mark.stress
def test_ten_million_scalars(warm, tmp_path, capsys):
    """Ten million points in one run, with flat memory."""
    grown = scalars(warm, tmp_path, 10_000_000)
    with capsys.disabled():
        print(f"\n10,000,000 scalars: {grown / 1024:.0f} KiB of growth")
    assert grown < 2**20


def test_long_tags(warm, tmp_path):
    """A tag of 64 KiB is written and read back, again and again, and as a series it is an error."""
    warm.run(
        """
        from safewriter import RunDirectoryError, SafeSummaryWriter
        writer = SafeSummaryWriter("run", unique=False)
        tag = "t" * 2**16
        for step in range(5):
            writer.add_scalar(tag, step / 2, step)
        try:
            writer.add_scalars("all", {tag: 1.0}, 0)
        except RunDirectoryError as error:
            assert "shorten it" in str(error)
        else:
            raise AssertionError
        writer.add_scalar(tag, 2.5, 5)
        """,
        cwd=tmp_path,
    )
    assert read_scalars(tmp_path / "run")["t" * 2**16] == [(step, step / 2) for step in range(6)]


HUGE = """
    import sys
    import numpy as np
    from safewriter import SafeSummaryWriter
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    def image(size):
        return Summary.Value(tag="huge", image=Summary.Image(encoded_image_string=bytes(size)))
    writer = SafeSummaryWriter("run", unique=False)
    writer.add_scalar("loss", 0.0, 0)
    def refused(function, *args):
        try:
            function(*args)
        except ValueError as error:
            assert "'huge" in str(error) and "2 GiB" in str(error), error
        else:
            raise AssertionError(function)
    refused(writer.add_text, "huge", "x" * (2**31 + 10))
    door = writer._get_file_writer()
    half = Summary(value=[image(2**30)])
    half.value.append(half.value[0])
    refused(door.add_summary, half, 1)
    event = Event(wall_time=1.0)
    event.summary.CopyFrom(half)
    del half
    refused(door.add_event, event)
    del event
    writer.add_scalar("loss", 0.5, 1)
"""


@pytest.mark.stress
def test_events_of_two_gibibytes(warm, tmp_path):
    """One clear error that names the tag, before anything is written; the run goes on."""
    warm.run(HUGE, cwd=tmp_path, deadline=300)
    assert read_scalars(tmp_path / "run")["loss"] == [(0, 0.0), (1, 0.5)]
    (file,) = event_files(tmp_path / "run")
    assert file.stat().st_size < 1000


@pytest.mark.stress
def test_an_event_just_below_two_gibibytes(warm, tmp_path):
    """It is written, although the kernel takes no more than 2 GiB less a page at once."""
    warm.run(
        """
        from safewriter import SafeSummaryWriter
        from tensorboard.compat.proto.summary_pb2 import Summary
        writer = SafeSummaryWriter("run", unique=False)
        value = Summary.Value(tag="large")
        value.image.encoded_image_string = bytes(2**31 - 1000)
        writer._get_file_writer().add_summary(Summary(value=[value]), 1)
        del value
        writer.add_scalar("loss", 0.5, 1)
        """,
        cwd=tmp_path,
        deadline=300,
    )
    (file,) = event_files(tmp_path / "run")
    sizes = [record.length for record in read_records(file)]
    assert len(sizes) == 3
    assert sizes[1] > 2**31 - 1000
