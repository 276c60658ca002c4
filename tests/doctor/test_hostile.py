"""Whatever a file holds or a tree is made of, the doctor comes back with findings."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safewriter.doctor import RULES, check, repair
from safewriter.runs import list_runs
from tests.doctor.situations import START, histogram, name, scalars, session_start, write
from tests.support import event_files, run_python
from tests.support.event_bytes import frame, version_record

_INTACT = (
    version_record(START)
    + scalars("train/loss", range(20))
    + histogram("weights", 3)
    + session_start(3, 30.0)
    + scalars("train/loss", range(3, 9), after=40)
    + scalars("\u00e9", [2**62, -(2**63), 0])
)

_MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "repeat", "zero", "truncate"]),
        st.integers(0, len(_INTACT)),
        st.integers(1, 60),
        st.binary(min_size=1, max_size=40),
    ),
    min_size=1,
    max_size=4,
)


def _mutate(data: bytes, kind: str, at: int, length: int, extra: bytes) -> bytes:
    head, middle, tail = data[:at], data[at : at + length], data[at + length :]
    return {
        "flip": head + bytes(byte ^ extra[0] or 1 for byte in middle) + tail,
        "cut": head + tail,
        "insert": head + extra + middle + tail,
        "repeat": head + middle * 3 + tail,
        "zero": head + bytes(len(middle)) + tail,
        "truncate": head,
    }[kind]


def _judge(top: Path) -> None:
    """Check, list and repair a tree; a repair that was made leaves nothing fixable."""
    findings = check(top)
    assert {finding.code for finding in findings} <= set(RULES)
    assert all(finding.as_json() for finding in findings)
    list_runs(top)
    actions = repair(top)
    assert all(action.done for action in actions), actions
    left = check(top)
    assert not [f for f in left if f.fixable], [f.as_json() for f in left]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(first=_MUTATIONS, second=_MUTATIONS)
def test_mutated_files(tmp_path: Path, first: object, second: object) -> None:
    """Bits flipped, bytes cut out, repeated, zeroed or put in, in two files of one run."""
    for number, mutations in enumerate((first, second)):
        data = _INTACT
        for mutation in mutations:  # type: ignore[attr-defined]
            data = _mutate(data, *mutation)
        write(tmp_path / "run", data, file=name(number))
    _judge(tmp_path)
    shutil.rmtree(tmp_path / "run")


def test_a_stray_file_between_others(tmp_path: Path) -> None:
    """What later files do is told of these files, also when an earlier one holds no event."""
    run = tmp_path / "run"
    write(run, b"no event at all " * 9, file=name(0))
    write(run, version_record(START), scalars("a", range(5)), file=name(1))
    late = session_start(2, 100) + scalars("b", [1, 0, 2], after=100)
    write(run, version_record(START + 100), late, file=name(2))
    found = {finding.code: finding for finding in check(tmp_path)}
    assert set(found) == {"SW501", "SW404", "SW403"}
    assert found["SW404"].path.name == name(2)
    _judge(tmp_path)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(payloads=st.lists(st.binary(max_size=60), max_size=5))
def test_records_of_arbitrary_bytes(tmp_path: Path, payloads: list[bytes]) -> None:
    """Payloads that protobuf takes in part, or not at all, behind right checksums."""
    write(tmp_path / "run", version_record(START), *map(frame, payloads))
    _judge(tmp_path)
    shutil.rmtree(tmp_path / "run")


@pytest.mark.parametrize("content", ["null", "[]", "{", '{"new": 1}', '{"new": "x"}', "\0" * 99])
def test_records_and_journals_that_are_no_such_thing(tmp_path: Path, content: str) -> None:
    """A hidden folder of which somebody made something else does not stop anything."""
    write(tmp_path / "run", version_record(START), scalars("a", range(5)))
    (tmp_path / "run" / ".safewriter").mkdir()
    for file in ("run.json", "repair.json"):
        (tmp_path / "run" / ".safewriter" / file).write_text(content)
    assert check(tmp_path) == []
    assert repair(tmp_path) == []
    assert len(list_runs(tmp_path)) == 1


def test_a_journal_cannot_reach_out_of_its_run(tmp_path: Path) -> None:
    """Names with directories in them, in a journal that somebody forged, move no other file."""
    outside = write(tmp_path / "outside", version_record(START), scalars("a", range(5)))
    write(tmp_path / "run", version_record(START), scalars("a", range(5)))
    (tmp_path / "run" / ".safewriter").mkdir()
    size = outside.stat().st_size
    (tmp_path / "run" / ".safewriter" / "repair.json").write_text(
        f'{{"new": "../outside/{name()}", "originals": {{"../outside/{name()}": {size}}},'
        ' "codes": []}'
    )
    repair(tmp_path)
    assert outside.exists()


def test_a_tree_that_is_deep_wide_and_linked(tmp_path: Path) -> None:
    """Hundreds of levels, links from everywhere to everywhere, names of 255 bytes."""
    deep = tmp_path
    for _ in range(300):
        deep /= "d"
    write(deep, version_record(START), scalars("a", range(5)))
    for number in range(12):
        directory = tmp_path / f"web-{number}"
        directory.mkdir()
        for other in range(12):
            (directory / f"to-{other}").symlink_to(tmp_path / f"web-{other}")
    long = f"events.out.tfevents.{'x' * 235}"
    write(tmp_path / "long", version_record(START), b"garbage" * 9, file=long)
    findings = check(tmp_path)
    assert {finding.code for finding in findings} == {"SW207", "SW504"}
    (action,) = repair(tmp_path)
    assert action.kind == "skip"
    assert action.reason is not None
    assert [path.name for path in event_files(tmp_path / "long")] == [long]


def test_a_length_that_lies_takes_no_memory(tmp_path: Path) -> None:
    """Records that claim terabytes, and a sparse file of 512 MiB, are judged within 100 MB."""
    lie = b"\xff\xff\xff\xff\xff\x00\x00\x00"
    write(tmp_path / "lie", version_record(START), lie * 1000)
    path = write(tmp_path / "sparse", version_record(START), scalars("a", range(5)))
    os.truncate(path, 512 << 20)
    os.utime(path, (START, START))
    script = """
        import resource, sys
        from safewriter.doctor import check
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(sorted(finding.code for finding in check(sys.argv[1])))
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024 < 100)
    """
    output = run_python(script, args=[tmp_path], deadline=120, check=True).stdout
    assert output.splitlines() == ["['SW205', 'SW207']", "True"]
