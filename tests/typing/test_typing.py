"""The package's types, as a type checker of its users sees them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support.processes import REPOSITORY

HERE = Path(__file__).parent


def mypy(*paths: Path) -> tuple[int, str]:
    """Run mypy strictly, as the project is checked; return its exit code and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", *map(str, paths)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_a_typed_program_passes() -> None:
    """What a typed program does with the API has no errors, and every mistake in the other file is
    one: an ignored line without an error would be an error itself.
    """
    assert mypy(HERE / "use.py", HERE / "misuse.py") == (0, "")


def test_mistakes_are_found_where_they_are(tmp_path: Path) -> None:
    """Without the marks, mypy reports exactly those lines, each with the kind that it names."""
    expected = {}
    lines = (HERE / "misuse.py").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if marked := re.search(r"  # type: ignore\[(.+?)\]", line):
            expected[number] = marked[1]
    assert len(expected) > 15
    copy = tmp_path / "misuse.py"
    copy.write_text(
        "\n".join(re.sub(r"  # type: ignore\[.+?\]", "", line) for line in lines), encoding="utf-8"
    )
    code, printed = mypy(copy)
    assert code == 1
    found = re.findall(r"misuse\.py:(\d+): error: .+\[(.+)\]$", printed, re.MULTILINE)
    assert {int(number): kind for number, kind in found} == expected


def test_the_package_says_that_it_is_typed() -> None:
    """py.typed is there, or no checker would look at the types."""
    assert (REPOSITORY / "safewriter" / "py.typed").is_file()
