"""A given path that says when this start was: it is used as it is, and no other is."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from safewriter import SafeSummaryWriter
from safewriter._run.start_time import is_unique_name
from safewriter.events import event_files

DATES = [f"%Y{sep}%m{sep}%d" for sep in ("", "-", "_", ".")]
DATES += [f"%d{sep}%m{sep}%Y" for sep in ("", "-", ".")]
DATES += ["%m-%d-%Y", "%y%m%d", "%y-%m-%d", "%d%b%Y", "%b-%d-%Y", "%d %B %Y"]
CLOCKS = [f"%H{sep}%M{sep}%S" for sep in ("", "-", "_", ":", ".")]
CLOCKS += ["%H%M", "%H-%M", "%Hh%Mm%S", "%H%M%S%f", "%H:%M:%S.%f", "%H%M%SZ"]
GAPS = ["_", "-", "T", " ", "", "/", "--", "_at_", "-T-"]

# Whatever else stands in a path, without digits: those could be read as more of the time.
WORDS = st.text("abcxyz_-. äλ", max_size=8)
LESS_THAN_A_DAY = st.timedeltas(timedelta(hours=-23), timedelta(hours=23))
MORE_THAN_A_DAY = st.timedeltas(timedelta(days=2), timedelta(days=25)) | st.timedeltas(
    timedelta(days=-9000), timedelta(days=-2)
)


def path_of(before: str, name: str, after: str) -> str:
    """Return an absolute path that holds a name."""
    return f"/logs/{before}_{name}_{after}/tb"


@pytest.mark.parametrize("clock", CLOCKS)
@given(st.sampled_from(DATES), st.sampled_from(GAPS), WORDS, WORDS, LESS_THAN_A_DAY)
def test_date_and_time_of_day_of_this_start(clock, date, gap, before, after, ago):
    """Date and time of day within a day of now make a path unique, however they are written."""
    name = (datetime.now() - ago).strftime(date + gap + clock)
    assert is_unique_name(path_of(before, name, after))
    assert is_unique_name(f"/logs/{name}")


@pytest.mark.parametrize("clock", CLOCKS)
@given(st.sampled_from(DATES), st.sampled_from(GAPS), WORDS, WORDS, MORE_THAN_A_DAY)
def test_date_and_time_of_day_of_another_day(clock, date, gap, before, after, ago):
    """The time of another day says nothing about this start."""
    moment = datetime.now() + ago
    # 24.11. and 11/24 may be another day of the year as well; 26-11-24 another year's.
    orders = {moment.strftime(order) for order in ("%y%m%d", "%d%m%y", "%m%d%y", "%y%d%m")}
    near = [datetime.now() + timedelta(days=days) for days in (-1, 0, 1)]
    assume(not orders & {day.strftime("%y%m%d") for day in near})
    name = moment.strftime(date + gap + clock)
    assert not is_unique_name(path_of(before, name, after))


@given(st.sampled_from(DATES), WORDS, st.sampled_from(["", "/", "_", "-"]), LESS_THAN_A_DAY)
@example("%b-%d-%Y", "", "", timedelta())
def test_a_date_alone(date, word, gap, ago):
    """A date without a time of day names all starts of that day."""
    name = (datetime.now() - ago).strftime(date)
    for rest in ("", "lr", "0", "42", "v2", "seed_123456", "lr_0.001", "fold-1"):
        assert not is_unique_name(f"/logs/{word}_{name}{gap or '_'}{rest}_{word}/tb")


@given(st.integers(-86_000, 86_000), WORDS, WORDS)
def test_seconds_since_1970(ago, before, after):
    """Epoch seconds within a day of now are a time; those of another day are none."""
    now = int(time.time())
    assert is_unique_name(path_of(before, f"_{now - ago}", after))
    assert not is_unique_name(path_of(before, f"_{now + 90_000 + abs(ago)}", after))
    assert not is_unique_name(path_of(before, f"_{now}0", after))


@pytest.mark.parametrize(
    ("pattern", "unique"),
    [
        ("fashion_trainer_%Y%m%d_%H%M%S", True),
        ("outputs/%Y-%m-%d/%H-%M-%S/tb", True),
        ("multirun/%Y-%m-%d/%H-%M-%S/0", True),
        ("%Y/%m/%d/%H%M%S", True),
        ("%Y-%m-%d/resnet50_%H-%M-%S", True),
        ("%H-%M-%S_%d-%m-%Y", True),
        ("%c", True),
        ("%b%d_%H-%M-%S_host/fold_1", True),
        ("CartPole-v1__ppo__1__%s", True),
        ("version_3", True),
        ("version_3/tb", False),
        ("version_", False),
        ("%Y-%m-%d/a/%H-%M-%S", False),
        ("%Y-%m-%d/seed_%H%M%S", False),
        ("%b%d_%Y", False),
        ("%Y-%m-%d", False),
        ("%H-%M-%S", False),
        ("exp", False),
    ],
)
def test_names_of_real_programs(pattern, unique):
    """What tutorials, Hydra, cleanrl and Lightning make."""
    assert is_unique_name(f"/data/logs/{datetime.now().strftime(pattern)}") is unique


def log_to(directory: Path) -> Path:
    """Log a point; return where it went."""
    with SafeSummaryWriter(directory) as writer:
        writer.add_scalar("loss", 0.5, 1)
    return Path(writer.log_dir)


@pytest.mark.parametrize("name", ["exp_%Y%m%d_%H%M%S", "%Y-%m-%d/%H-%M-%S/0", "version_0"])
def test_such_a_path_is_used_as_it_is_while_it_holds_no_events(tmp_path, name):
    """Other files may be there already; a run that is there is left alone."""
    path = tmp_path / datetime.now().strftime(name)
    path.mkdir(parents=True)
    (path / "hparams.yaml").write_text("lr: 0.1")
    assert log_to(path) == path
    other = tmp_path / "other" / datetime.now().strftime(name)
    other.mkdir(parents=True)
    (other / "events.out.tfevents.1700000000.host.1.0").touch()
    assert log_to(other).parent == other
    assert len(event_files(other)) == 1


TAKE = """
    writer = SafeSummaryWriter(path)
    writer.add_scalar("loss", 0.5, 1)
    result = writer.log_dir
"""


def test_a_path_that_several_processes_of_one_start_share(others, tmp_path):
    """The first has it as it is; the others, ranks for example, get one each below it."""
    path = str(tmp_path / datetime.now().strftime("exp_%Y%m%d_%H%M%S"))
    processes = [others.start() for _ in range(3)]
    first, *rest = (process.do(TAKE, path=path) for process in processes)
    assert first == path
    assert [str(Path(run).parent) for run in rest] == [path, path]
    assert len(set(rest)) == 2


def test_a_path_that_another_process_takes_at_this_moment(others, tmp_path, monkeypatch):
    """Whoever finds it free and is too late goes below it, and is not refused."""
    path = str(tmp_path / "version_0")
    assert others.start().do(TAKE, path=path) == path
    monkeypatch.setattr("safewriter._run.registry.is_run", lambda _: False)
    assert log_to(Path(path)).parent == Path(path)
