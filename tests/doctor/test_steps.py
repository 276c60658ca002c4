"""Steps: for any order of them, the doctor speaks exactly when TensorBoard hides a point."""

from __future__ import annotations

import shutil
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safewriter.doctor import check
from tests.doctor.situations import START, write
from tests.support.event_bytes import scalar_record, version_record

_POINTS = st.lists(st.tuples(st.integers(0, 5), st.sampled_from([1.0, 2.0])), max_size=8)


def _hides(points: list[tuple[int, float]]) -> bool:
    """Whether the default reader loses a point: a new one drops all whose step is not lower."""
    kept: list[tuple[int, float]] = []
    for step, value in points:
        dropped = [point for point in kept if point[0] >= step]
        if any(point != (step, value) for point in dropped):
            return True
        kept = [*(point for point in kept if point[0] < step), (step, value)]
    return False


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(points=_POINTS)
def test_a_finding_exactly_when_a_point_is_hidden(
    tmp_path: Path, points: list[tuple[int, float]]
) -> None:
    """Any steps and values in one file: a finding about steps if and only if a point is hidden."""
    records = [
        scalar_record("a", value, step, START + number)
        for number, (step, value) in enumerate(points)
    ]
    write(tmp_path / "run", version_record(START), *records)
    found = {finding.code for finding in check(tmp_path)} - {"SW202"}
    shutil.rmtree(tmp_path / "run")
    assert found <= {"SW401", "SW402", "SW403"}
    assert bool(found) == _hides(points)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    first=st.lists(st.integers(0, 9), unique=True, min_size=1).map(sorted),
    second=st.lists(st.integers(0, 9), unique=True, min_size=1).map(sorted),
    gap=st.integers(-15, 15),
)
def test_two_files_of_rising_steps(
    tmp_path: Path, first: list[int], second: list[int], gap: int
) -> None:
    """Two files, one after the other, overlapping or in the wrong order: one cause is named."""
    for number, (steps, after) in enumerate(((first, 0), (second, gap))):
        records = [
            scalar_record("a", number, step, START + after + at) for at, step in enumerate(steps)
        ]
        path = f"events.out.tfevents.170000000{number}.host.1.0"
        write(tmp_path / "run", version_record(START + after), *records, file=path)
    found = [finding.code for finding in check(tmp_path)]
    shutil.rmtree(tmp_path / "run")
    points = [(step, float(n)) for n, steps in enumerate((first, second)) for step in steps]
    wrong_order = gap + len(second) - 1 < 0
    assert len(found) <= 1 or "SW402" in found
    if wrong_order:
        assert "SW301" in found
    else:
        assert bool(found) == _hides(points)
        assert set(found) <= {"SW302", "SW305", "SW402"}
