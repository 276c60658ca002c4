"""Hyperparameters: a row of the HParams page for each run, whatever was logged, in both readers."""

from __future__ import annotations

import argparse
import dataclasses
import enum
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from safewriter import DataWarning, SafeSummaryWriter
from safewriter._run import session
from safewriter._torch import hparams
from safewriter.events import event_files, read_events
from tests.support.both_readers import READERS
from tests.support.browser import Browser
from tests.support.processes import run_python
from tests.support.readers import read_runs, read_scalars
from tests.support.tensorboard_server import Reader, TensorBoardServer

# The columns, and what is in each row, by the run's name.
Page = tuple[set[str], dict[str, dict[str, Any]]]

SESSIONS = ("UNKNOWN", "SUCCESS", "FAILURE", "RUNNING")


def shown(server: TensorBoardServer) -> Page:
    """Return the columns, and for each row its values, its metrics and its status."""
    experiment = server.post_json("data/plugin/hparams/experiment", {})
    metrics = [info["name"] for info in experiment.get("metricInfos", ())]
    columns = [info["name"] for info in experiment.get("hparamInfos", ())]
    answer = server.post_json(
        "data/plugin/hparams/session_groups",
        {
            "startIndex": 0,
            "sliceSize": 1000,
            "colParams": [{"hparam": name} for name in columns]
            + [{"metric": name} for name in metrics],
            "allowedStatuses": [f"STATUS_{status}" for status in SESSIONS],
        },
    )
    rows = {}
    for group in answer.get("sessionGroups", ()):
        (session,) = group["sessions"]
        rows[session["name"]] = {
            "name": group["name"],
            "hparams": group["hparams"],
            "metrics": {
                metric["name"]["tag"]: metric["value"] for metric in group.get("metricValues", ())
            },
            "status": session["status"].removeprefix("STATUS_"),
        }
    return set(columns), rows


def both(logs: Path, starts: int = 1) -> Page:
    """Return what both readers show, which is the same after each of several starts."""

    def ask(reader: Reader) -> list[Page]:
        found = []
        with TensorBoardServer(logs, reader) as server:
            for start in range(starts):
                if start:
                    server.restart()
                server.settle()
                found.append(shown(server))
        return found

    with ThreadPoolExecutor(len(READERS)) as pool:
        found = [page for pages in pool.map(ask, READERS) for page in pages]
    assert all(other == found[0] for other in found)
    return found[0]


TRIALS: list[dict[str, float]] = [
    {"lr": 0.5, "width": 8},
    {"lr": 0.25, "depth": 2},
    {"lr": 0.125, "seed": 3},
]


def log_trials(logs: Path, writer_class: type[SummaryWriter]) -> None:
    """Log three runs whose keys differ."""
    for number, trial in enumerate(TRIALS):
        with writer_class(str(logs / f"trial{number}")) as writer:
            writer.add_hparams(trial, {"accuracy": 0.0})
            for step in range(3):
                writer.add_scalar("accuracy", 0.25 * (number + step), step)


@pytest.mark.parametrize("starts", [2, pytest.param(11, marks=pytest.mark.stress)])
def test_runs_with_other_keys_are_all_shown(tmp_path, starts):
    """All columns, a row for each run, and its curves as metrics, after each of several starts."""
    log_trials(tmp_path, SafeSummaryWriter)
    columns, rows = both(tmp_path, starts)
    assert columns == {"lr", "width", "depth", "seed"}
    assert [row["hparams"] for _, row in sorted(rows.items())] == TRIALS
    assert [row["metrics"] for _, row in sorted(rows.items())] == [
        {"accuracy": 0.25 * (number + 2)} for number in range(3)
    ]
    assert {row["status"] for row in rows.values()} == {"SUCCESS"}
    assert len({path.parent for path in tmp_path.rglob("*tfevents*")}) == len(TRIALS)


def test_the_page_has_a_row_for_each_run(tmp_path):
    """In a browser, the page shows the columns, the rows by what tells them apart, the metrics."""
    for number, trial in enumerate(TRIALS):
        with SafeSummaryWriter(tmp_path, comment=f"trial{number}") as writer:
            writer.add_hparams(trial, {"accuracy": 0.25 * number})
    with TensorBoardServer(tmp_path) as server:
        server.settle()
        with Browser(server.url) as browser:
            browser.open("hparams")
            for text in ("lr", "width", "depth", "seed", "trial0", "trial1", "trial2", "0.50000"):
                browser.page.get_by_text(text).first.wait_for(timeout=30_000)


def test_with_torchs_writer_columns_vanish(tmp_path):
    """The control: TensorBoard shows the columns of one of the runs, and none of the curves."""
    log_trials(tmp_path, SummaryWriter)
    with TensorBoardServer(tmp_path, "python") as server:
        server.settle()
        columns, rows = shown(server)
    assert len(columns) == 2
    assert [row["metrics"] for row in rows.values()] == [{"accuracy": 0.0}] * 3


def test_a_live_server_shows_a_run_at_once(tmp_path):
    """A run appears on the page of a TensorBoard that runs, and ends there with the run."""
    with TensorBoardServer(tmp_path, args=["--reload_interval=1"]) as server:
        with SafeSummaryWriter(tmp_path / "run", unique=False) as writer:
            writer.add_hparams({"lr": 0.5}, {})
            writer.add_scalar("accuracy", 0.5, 1)
            server.wait_until(lambda: "run" in shown(server)[1])
            row = shown(server)[1]["run"]
            assert (row["hparams"], row["status"]) == ({"lr": 0.5}, "UNKNOWN")
        server.wait_until(lambda: shown(server)[1]["run"]["status"] == "SUCCESS")


def test_later_values_take_the_place_of_earlier_ones(tmp_path):
    """Keys of a second call are added or replaced; its metrics go on with the curves."""
    run = tmp_path / "run"
    with SafeSummaryWriter(run, unique=False) as writer:
        writer.add_hparams({"lr": 0.5, "seed": 1}, {"accuracy": 0.25})
        writer.add_scalar("accuracy", 0.5, 10)
        writer.add_hparams({"lr": 0.25, "width": 8}, {"accuracy": 0.75})
        writer.add_hparams({"lr": 0.125}, {"accuracy": 0.875}, global_step=20)
    columns, rows = both(tmp_path)
    assert columns == {"lr", "seed", "width"}
    assert rows["run"]["hparams"] == {"lr": 0.125, "seed": 1, "width": 8}
    assert rows["run"]["metrics"] == {"accuracy": 0.875}
    curve = [(0, 0.25), (10, 0.5), (11, 0.75), (20, 0.875)]
    assert read_scalars(run)["accuracy"] == curve
    assert len(event_files(run)) == 2


def test_the_same_values_again_write_nothing(tmp_path):
    """Hyperparameters that the run has already leave no further record."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        for _ in range(3):
            writer.add_hparams({"lr": 0.5}, {})
    (file,) = event_files(tmp_path)
    tags = [value.tag for event in read_events(file) for value in event.summary.value]
    assert tags == ["_hparams_/session_start_info", "_hparams_/session_end_info"]


def test_a_run_that_fails_is_shown_as_a_failure(tmp_path):
    """An exception in the with block, or one that ends the program, is the row's status."""
    with (
        pytest.raises(ZeroDivisionError),
        SafeSummaryWriter(tmp_path / "block", unique=False) as writer,
    ):
        writer.add_hparams({"lr": 0.5}, {"accuracy": 0.5})
        raise ZeroDivisionError
    script = tmp_path / "train.py"
    script.write_text(
        "from safewriter import SafeSummaryWriter\n"
        "writer = SafeSummaryWriter('program', unique=False)\n"
        "writer.add_hparams({'lr': 0.5}, {'accuracy': 0.5})\n"
        "1 / 0\n"
    )
    run_python(script, cwd=tmp_path, check=False)
    _, rows = both(tmp_path)
    assert {name: row["status"] for name, row in rows.items()} == {
        "block": "FAILURE",
        "program": "FAILURE",
    }


@pytest.mark.parametrize("end", ["killed", "finished"])
def test_a_resumed_run_goes_on_in_its_row(tmp_path, end):
    """A run that is resumed runs again, and ends as its last session does."""
    script, run = tmp_path / "train.py", tmp_path / "logs" / "run"
    script.write_text(
        "import os\n"
        "from safewriter import SafeSummaryWriter\n"
        f"writer = SafeSummaryWriter({str(run)!r}, unique=False)\n"
        "writer.add_hparams({'lr': 0.5}, {'accuracy': 0.5})\n"
        f"os._exit(0) if {end == 'killed'} else writer.close()\n"
    )
    run_python(script, cwd=tmp_path)
    writer = SafeSummaryWriter(run, unique=False, resume=True)
    writer.add_scalar("accuracy", 0.75, 1)
    while_running = "UNKNOWN" if end == "killed" else "RUNNING"
    assert both(tmp_path / "logs")[1]["run"]["status"] == while_running
    with pytest.raises(ZeroDivisionError), writer:
        raise ZeroDivisionError
    columns, rows = both(tmp_path / "logs")
    assert columns == {"lr"}
    assert rows["run"]["status"] == "FAILURE"
    assert rows["run"]["metrics"] == {"accuracy": 0.75}


class Optimizer(enum.Enum):
    """Something of the user's."""

    ADAM = 1


@dataclasses.dataclass
class Model:
    """Something of the user's."""

    width: int = 8


class Unspeakable:
    """It refuses to be told."""

    def __str__(self) -> str:
        raise RuntimeError


VALUES: list[tuple[Any, Any]] = [
    (None, "None"),
    (True, True),
    (np.bool_(True), True),
    (3, 3),
    (2**60, str(2**60)),
    (0.5, 0.5),
    (float("nan"), "nan"),
    (float("inf"), "inf"),
    (np.float32(0.5), 0.5),
    (np.int64(3), 3),
    (torch.tensor(0.5), 0.5),
    (torch.tensor([3]), 3),
    (torch.tensor([1, 2]), "[1, 2]"),
    (torch.zeros(20, 20), "Tensor(20, 20) of torch.float32"),
    ("adam", "adam"),
    ("\udcff", "\\udcff"),
    ([1, "a", None], "[1, a, None]"),
    ((0.5, 0.25), "[0.5, 0.25]"),
    ({3, 1, 2}, "[1, 2, 3]"),
    ({}, "{}"),
    (Optimizer.ADAM, "ADAM"),
    (Path("a/b"), "a/b"),
    (torch.float16, "torch.float16"),
    (np.dtype("f4"), "float32"),
    (torch.device("cpu"), "cpu"),
    (Optimizer, "Optimizer"),
    (torch.relu, "relu"),
]


@pytest.mark.parametrize(("value", "expected"), VALUES, ids=lambda value: repr(value)[:20])
def test_a_value_becomes_what_a_reader_shows(value, expected):
    """Each kind of value is a number, a truth value or a text."""
    found = hparams.flat({"key": value})["key"]
    assert (type(found), found) == (type(expected), expected) or found == expected


def test_nested_values_are_flat_as_people_write_them():
    """Mappings, dataclasses and namespaces become keys with slashes."""
    nested = {"opt": {"lr": 0.5, "betas": [1, 2]}, "model": Model(), 3: argparse.Namespace(a=1)}
    expected = {"opt/lr": 0.5, "opt/betas": "[1, 2]", "model/width": 8, "3/a": 1}
    assert hparams.flat(nested) == expected


@pytest.mark.parametrize("value", [object(), [object()], Unspeakable()])
def test_what_has_no_text_is_told_and_stops_nothing(tmp_path, value):
    """A value that nothing tells becomes its repr, with a warning that names it."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        with pytest.warns(DataWarning, match="'model'.*repr|'model' is a"):
            writer.add_hparams({"model": value}, {})
        writer.add_scalar("loss", 0.5, 1)


def test_a_sweep_of_mixed_types(tmp_path):
    """Fifty runs with twenty keys of mixed types, and failures among them, are fifty rows."""
    for number in range(50):
        values = {
            f"key{key}": [0.5 * number, number, f"v{number}", None, [number], number > 3][
                (key + number * (key > 15)) % 6
            ]
            for key in range(20)
        }
        try:
            with SafeSummaryWriter(tmp_path, comment=f"trial{number}") as writer:
                writer.add_hparams(values, {"score": float(number)})
                if number % 10 == 7:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    columns, rows = both(tmp_path)
    assert columns == {f"key{key}" for key in range(20)}
    assert sorted(row["metrics"]["score"] for row in rows.values()) == [*map(float, range(50))]
    assert sum(row["status"] == "FAILURE" for row in rows.values()) == 5
    names = [row["name"] for row in rows.values()]
    assert len({name.split()[0] for name in names}) == 50
    assert names[0].split()[0].startswith("trial")


def test_a_run_that_is_gone_stops_nothing(tmp_path):
    """Another end of a session whose directory was deleted raises nothing and makes nothing."""
    run = tmp_path / "run"
    with SafeSummaryWriter(run, unique=False) as writer:
        writer.add_hparams({"lr": 0.5}, {})
    shutil.rmtree(run)
    session.replace(str(run), 2)
    assert not run.exists()


def test_a_domain_is_written_as_torch_writes_it(tmp_path):
    """hparam_domain_discrete makes an Experiment record, and only that does."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        writer.add_hparams({"opt": "adam"}, {"score": 1.0}, {"opt": ["adam", "sgd"]})
        with pytest.raises(TypeError):
            writer.add_hparams({"opt": "adam"}, {}, {"opt": [1]})
    tags = [
        value.tag
        for file in event_files(tmp_path)
        for event in read_events(file)
        for value in event.summary.value
    ]
    assert "_hparams_/experiment" in tags
    assert both(tmp_path)[0] == {"opt"}


def test_a_placeholder_may_be_logged_again_from_anywhere(tmp_path, recwarn):
    """A metric given before the training is no point of the curve that follows."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        writer.add_hparams({"lr": 0.5}, {"val/accuracy": 0.0, "hp_metric": -1.0})
        for step in range(3):
            writer.add_scalar("train/loss", 0.5, step)
            writer.add_scalar("val/accuracy", 0.5, step)
        writer.add_scalar("hp_metric", 0.5)
    assert [str(warning.message) for warning in recwarn] == []
    assert dict(read_scalars(tmp_path)["val/accuracy"]) == {0: 0.5, 1: 0.5, 2: 0.5}


def test_a_name_keeps_torchs_layout(tmp_path):
    """With run_name the values are a run below, as with torch, and the run has no row."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        writer.add_scalar("loss", 0.5, 1)
        writer.add_hparams({"lr": 0.5, "nested": {"a": [1]}}, {"score": 1.0}, run_name="trial")
    assert read_runs(tmp_path)["trial"] == {"score": [(0, 1.0)]}
    columns, rows = both(tmp_path)
    assert (columns, set(rows)) == ({"lr", "nested/a"}, {"trial"})
