"""Each damage to a run: what TensorBoard shows of it, what the doctor says, what --fix does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from safewriter.doctor import RULES, Action, Finding, check, repair
from tests.doctor.situations import HEALTHY, SITUATIONS, Situation, View, views
from tests.support import TensorBoardServer
from tests.support.tensorboard_server import Reader

READERS: list[Reader] = ["fast", "python"]
FIXABLE = [situation for situation in SITUATIONS if situation.fixed is not None]


@dataclass(frozen=True)
class Tree:
    """A log directory with every situation, and what was found out about it."""

    findings: list[Finding]
    shown: dict[Reader, dict[str, dict[str, list[int]]]]
    untouched: bool
    actions: list[Action]
    findings_after: list[Finding]
    shown_after: dict[Reader, dict[str, dict[str, list[int]]]]
    bytes_before: set[bytes]
    bytes_after: set[bytes]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """Build all situations, look at them with both readers and the doctor, repair, look again."""
    top = tmp_path_factory.mktemp("situations")
    for situation in SITUATIONS:
        situation.build(top / situation.run)
    for run, build, _ in HEALTHY:
        build(top / run)
    before = _content(top)
    findings = check(top)
    untouched = _content(top) == before
    shown = {reader: _shown(top, reader) for reader in READERS}
    actions = repair(top)
    after = check(top)
    shown_after = {reader: _shown(top, reader) for reader in READERS}
    yield Tree(
        findings,
        shown,
        untouched,
        actions,
        after,
        shown_after,
        set(before.values()),
        set(_content(top).values()),
    )
    shutil.rmtree(top)


def _content(top: Path) -> dict[Path, bytes]:
    return {
        Path(directory, file): Path(directory, file).read_bytes()
        for directory, _, files in os.walk(top)
        for file in files
    }


def _shown(top: Path, reader: Reader) -> dict[str, dict[str, list[int]]]:
    with TensorBoardServer(top, reader) as server:
        server.settle()
        return views(server)


def _by_name(situation: Situation) -> str:
    return situation.run


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("situation", SITUATIONS, ids=_by_name)
def test_tensorboard_shows_what_the_finding_says(
    tree: Tree, situation: Situation, reader: Reader
) -> None:
    """Each reader of a real TensorBoard shows the points that the situation leaves visible."""
    expected: View = situation.fast if reader == "fast" else situation.python
    assert tree.shown[reader].get(situation.run) == expected


@pytest.mark.parametrize("situation", SITUATIONS, ids=_by_name)
def test_the_doctor_finds_it_and_nothing_else(tree: Tree, situation: Situation) -> None:
    """A damaged run gets one finding, with its code and what was measured."""
    found = [finding for finding in tree.findings if finding.run == situation.run]
    assert [finding.code for finding in found] == [situation.code]
    finding = found[0]
    assert finding.evidence.items() >= situation.evidence.items()
    assert finding.fixable == (situation.fixed is not None)
    assert finding.fast == RULES[situation.code].fast
    assert finding.cure


@pytest.mark.parametrize(("run", "build", "shown"), HEALTHY, ids=[run for run, _, _ in HEALTHY])
def test_a_healthy_run_has_no_finding(tree: Tree, run: str, build: object, shown: View) -> None:
    """A run that both readers show completely is left in peace."""
    assert [finding.code for finding in tree.findings if finding.run == run] == []
    assert tree.shown["fast"][run] == shown
    python = tree.shown["python"][run]
    assert {tag: sorted(set(steps)) for tag, steps in python.items()} == shown


def test_looking_changes_nothing(tree: Tree) -> None:
    """``check`` leaves every file as it is and makes none."""
    assert tree.untouched


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("situation", FIXABLE, ids=_by_name)
def test_after_fix_tensorboard_shows_every_readable_record(
    tree: Tree, situation: Situation, reader: Reader
) -> None:
    """Both readers show the readable records of a repaired run, in order and once."""
    assert tree.shown_after[reader].get(situation.run) == situation.fixed


def test_fix_cures_every_finding_that_says_so(tree: Tree) -> None:
    """After ``repair`` no fixable finding is left, and the others are as before."""
    assert not [finding for finding in tree.findings_after if finding.fixable]
    left = {(finding.run, finding.code) for finding in tree.findings_after}
    assert left == {(f.run, f.code) for f in tree.findings if not f.fixable}
    assert {action.run.name for action in tree.actions if action.done} == {
        situation.run for situation in FIXABLE
    }


def test_fix_keeps_the_bytes_of_what_it_replaces(tree: Tree) -> None:
    """Every file that was there before a repair is still there, byte for byte."""
    assert tree.bytes_before <= tree.bytes_after
