"""What raises once a writer is made: what the README lists, and nothing else."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from safewriter import RunDirectoryError, SafeSummaryWriter
from safewriter._torch import event_writer

README = Path(__file__).parents[2] / "README.md"

Call = Callable[[SafeSummaryWriter], object]

#: By the row of the README: what it raises, and calls with such an argument.
ROWS: dict[str, tuple[type[Exception], list[Call]]] = {
    "a step that is no integer, or outside 64 bits": (
        ValueError,
        [
            lambda writer: writer.add_scalar("loss", 1.0, 2**63),
            lambda writer: writer.add_text("note", "x", -(2**63) - 1),
            lambda writer: writer.add_scalar("loss", 1.0, math.nan),  # type: ignore[arg-type]
            lambda writer: writer.add_scalars("all", {"a": 1.0}, "two"),  # type: ignore[arg-type]
        ],
    ),
    "a wall time that is not finite": (
        ValueError,
        [
            lambda writer: writer.add_scalar("loss", 1.0, 2, walltime=math.nan),
            lambda writer: writer.add_image("picture", torch.zeros(3, 2, 2), 2, math.inf),
        ],
    ),
    "a tag or text that is not valid Unicode": (
        ValueError,
        [
            lambda writer: writer.add_scalar("lo\udcff", 1.0, 2),
            lambda writer: writer.add_text("note", "\ud800", 2),
        ],
    ),
    "an event of 2 GiB or more": (
        ValueError,
        [lambda writer: writer.add_text("note", "x" * 100_000, 2)],
    ),
    "a series of `add_scalars` that is no `str`": (
        TypeError,
        [lambda writer: writer.add_scalars("all", {1: 1.0}, 2)],  # type: ignore[dict-item]
    ),
    "a series or `run_name` that cannot be a directory: `..` or a NUL byte in it, no UTF-8,"
    " `tfevents`, too long": (
        RunDirectoryError,
        [
            lambda writer: writer.add_scalars("all", {"/../../b": 1.0}, 2),
            lambda writer: writer.add_scalars("all", {"a\0": 1.0}, 2),
            lambda writer: writer.add_scalars("all", {"tfevents": 1.0}, 2),
            lambda writer: writer.add_scalars("all", {"a" * 300: 1.0}, 2),
            lambda writer: writer.add_hparams({"lr": 1.0}, {}, run_name="a\0"),
            lambda writer: writer.add_hparams({"lr": 1.0}, {}, run_name="tfevents"),
            lambda writer: writer.add_hparams({"lr": 1.0}, {}, run_name="a" * 300),
        ],
    ),
    "a value that torch's own writer refuses, such as a tensor of two elements as a scalar": (
        Exception,
        [lambda writer: writer.add_scalar("loss", torch.ones(2), 2)],
    ),
}


def test_the_readme_lists_what_is_tested():
    """The rows of the README's table and their exceptions are those that are tried here."""
    table = README.read_text(encoding="utf-8").split("| Argument | Raises |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (.+) \| (.+) \|$", table, re.MULTILINE)
    expected = [
        (row, "what torch raises" if error is Exception else f"`{error.__name__}`")
        for row, (error, _) in ROWS.items()
    ]
    assert rows == expected


@pytest.mark.parametrize(
    ("row", "number"),
    [(row, number) for row, (_, calls) in ROWS.items() for number in range(len(calls))],
)
def test_a_wrong_argument_raises_before_anything_is_written(tmp_path, monkeypatch, row, number):
    """Each argument of the table raises what it says, and leaves no byte and no directory."""
    error, calls = ROWS[row]
    if "2 GiB" in row:
        monkeypatch.setattr(event_writer, "MAX_EVENT_BYTES", 50_000)
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        writer.add_scalar("loss", 1.0, 1)
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        directories = {path for path in tmp_path.rglob("*") if path.is_dir()}
        with pytest.raises(error):
            calls[number](writer)
        assert {path: path.read_bytes() for path in before} == before
        assert {path for path in tmp_path.rglob("*") if path.is_dir()} == directories
        writer.add_scalar("loss", 1.0, 2)


def test_a_copy_raises(tmp_path):
    """copy.copy() of a writer is a TypeError that says what to do."""
    with SafeSummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", 1.0, 1)
        with pytest.raises(TypeError, match="cannot be copied"):
            copy.copy(writer)
