"""Names that torch and tensorboard do not promise to keep: without any of them all is logged."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboard.compat.proto.summary_pb2 import Summary

import safewriter
from safewriter._torch import hooks
from tests.support import event_files, read_events

pytest_plugins = ["tests.programs.fixtures"]

PROGRAM = Path(__file__).with_name("other_torch.py")
PACKAGE = Path(safewriter.__file__).parent


def names_in_the_table() -> list[str]:
    """Return the names in the docstring of the room that touches them."""
    assert hooks.__doc__ is not None
    rows = [line for line in hooks.__doc__.splitlines() if line.startswith("``")]
    return [name for row in rows for name in re.findall(r"``([\w.]+)``", row)]


def shown(value: Summary.Value) -> Any:
    """Return what a reader shows of a value; a picture's bytes may be packed in other ways."""
    if value.HasField("simple_value"):
        return value.simple_value
    if value.HasField("histo"):
        return value.histo
    if value.HasField("image"):
        return value.image.height, value.image.width, value.image.colorspace
    return value.tensor, value.metadata


def log_without(warm: Any, directory: Path, name: str) -> tuple[list[str], dict[Any, Any]]:
    """Return what was said while all was logged without `name`, and what can be read then."""
    run = directory / f"run without {name}"
    done = warm.run(PROGRAM, cwd=directory, args=[name, str(run)])
    seen: dict[Any, Any] = {}
    for file in event_files(run):
        for event in read_events(file):
            where = str(file.parent.relative_to(run))
            for value in event.summary.value:
                # The metrics' own numbers of a session hold the time.
                is_session = value.tag.startswith("_hparams_")
                seen[where, value.tag, event.step] = None if is_session else shown(value)
            if event.graph_def:
                seen[where, "graph", event.step] = None
    return done.stdout.splitlines(), seen


@pytest.fixture(scope="module")
def with_all(warm, tmp_path_factory) -> tuple[list[str], dict[Any, Any]]:
    """What is said and read with a torch that lacks nothing."""
    return log_without(warm, tmp_path_factory.mktemp("all"), "nothing")


def test_nothing_is_said_if_all_is_there(with_all):
    """With a torch that has all the names, the log says nothing about them."""
    said, seen = with_all
    assert said == []
    assert {tag for _, tag, _ in seen} >= {"loss", "both", "weights", "note/text_summary", "graph"}


@pytest.mark.parametrize("name", names_in_the_table())
def test_without_a_name(warm, tmp_path, with_all, name):
    """Without one of the names, all is logged as with it, and the log says so in one line."""
    said, seen = log_without(warm, tmp_path, name)
    assert seen == with_all[1]
    assert len(said) == 1
    assert said[0].startswith("INFO ")
    assert name.rpartition(".")[2] in said[0]


def private_names(tree: ast.AST) -> Iterator[str]:
    """Yield the names of torch and tensorboard in a module that begin with an underscore."""
    theirs: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and is_theirs(node.module):
            for alias in node.names:
                theirs.add(alias.asname or alias.name)
                yield from filter(is_private, [f"{node.module}.{alias.name}"])
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if is_theirs(alias.name):
                    theirs.add(alias.asname or alias.name.partition(".")[0])
                    yield from filter(is_private, [alias.name])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from filter(is_private, filter(is_theirs, [node.value]))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node).partition(".")[0] in theirs:
            yield from filter(is_private, [ast.unparse(node)])


def is_theirs(name: str) -> bool:
    """Tell whether a dotted name is of torch or tensorboard."""
    return re.fullmatch(r"(torch|tensorboard)(\.\w+)*", name) is not None


def is_private(name: str) -> bool:
    """Tell whether a part of a dotted name is private."""
    return re.search(r"(^|\.)_(?!_)", name) is not None


def test_no_other_room_touches_private_names():
    """Only one module of the package names what is private to torch and tensorboard."""
    touched = {
        f"{path.relative_to(PACKAGE)}: {name}"
        for path in PACKAGE.rglob("*.py")
        if path != Path(hooks.__file__)
        for name in private_names(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert touched == set()


def test_private_names_are_found():
    """The search above finds each way to touch a private name."""
    source = """
import torch.utils.tensorboard._utils
import torch as t
from tensorboard._vendor import html
from torch.utils.tensorboard import _convert_np
importlib.import_module("torch._C")
t._C.x
t.version.__doc__
"""
    assert set(private_names(ast.parse(source))) == {
        "torch.utils.tensorboard._utils",
        "tensorboard._vendor.html",
        "torch.utils.tensorboard._convert_np",
        "torch._C",
        "t._C",
        "t._C.x",
    }
