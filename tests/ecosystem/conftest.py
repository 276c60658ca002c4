"""Programs that are run with torch's own writer, and with ours in each way to get it."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.ecosystem.outcome import Outcome, differences, outcome
from tests.support import run_python

HERE = Path(__file__).parent
MODES = ["patch", "run"]


class Programs:
    """Runs the files of ``programs/``; what torch's own writer did is kept for all tests."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._number = itertools.count()
        self._stock: dict[tuple[object, ...], Outcome] = {}

    def start(
        self, place: Path, mode: str, program: str, args: Sequence[str], starts: Sequence[str]
    ) -> Outcome:
        """Run a program in `place`, a process for each of `starts`, and read what it left."""
        logs = place / "logs"
        logs.mkdir(parents=True)
        text = (HERE / "programs" / program).read_text(encoding="utf-8")
        if mode == "patch":
            text = "import safewriter; safewriter.patch()\n" + text
        # Not where it lies: trackers look through the repository that a script is in.
        script = place / program
        script.write_text(text, encoding="utf-8")
        python_args = ("-m", "safewriter", "run") if mode == "run" else ()
        for start in starts:
            run_python(
                script,
                args=[*args, *([start] if start else [])],
                python_args=python_args,
                cwd=logs,
                env={
                    "PYTHONPATH": os.pathsep.join([str(HERE / "spy"), str(HERE.parents[1])]),
                    "ECOSYSTEM_WARNINGS": str(place / "warnings.txt"),
                    "HOME": str(place),
                    "HF_HUB_OFFLINE": "1",
                    **({"ECOSYSTEM_LATE": "1"} if mode == "late" else {}),
                    "CUDA_VISIBLE_DEVICES": "",
                },
                deadline=300,
                check=True,
            )
        return outcome(logs, place / "warnings.txt")

    def stock(self, program: str, args: Sequence[str], starts: Sequence[str]) -> Outcome:
        """Return what the program does with torch's own writer."""
        key = (program, *args, "then", *starts)
        if key not in self._stock:
            place = self._directory / str(next(self._number))
            self._stock[key] = self.start(place, "stock", program, args, starts)
        return self._stock[key]


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """The programs, for all tests of the session."""
    return Programs(tmp_path_factory.mktemp("stock"))


Check = Callable[..., Outcome]


@pytest.fixture(params=MODES)
def check(request: pytest.FixtureRequest, programs: Programs, tmp_path: Path) -> Check:
    """Run a program with safe writers, and fail where it differs from torch's own writer.

    The arguments are the program's file, its arguments, and `names`, those of the directories that
    its user expects. `measured` matches tags whose values are times and the like. Each of `starts`
    is the last argument of a process of its own. Returns what is on the disk.
    """

    def run(
        program: str,
        *args: str,
        names: list[str] | None,
        measured: str = r"(?!)",
        starts: Sequence[str] = ("",),
    ) -> Outcome:
        stock = programs.stock(program, args, starts)
        ours = programs.start(tmp_path, request.param, program, args, starts)
        found = differences(ours, stock, names, lambda tag: re.search(measured, tag) is not None)
        assert not found, "\n".join(["", *found, "ours:", ours.tree(), "stock:", stock.tree()])
        return ours

    return run
