"""What remains in memory of runs that were closed."""

from __future__ import annotations

import json

import pytest

pytest_plugins = ["tests.programs.fixtures"]

SCRIPT = """
    import gc, json, sys, tracemalloc, warnings
    from safewriter import SafeSummaryWriter

    def run(first, count):
        for number in range(first, first + count):
            with SafeSummaryWriter(f"run{number}", unique=False) as writer:
                writer.add_scalar("loss", 0.5, 1)

    def ours():
        gc.collect()
        return sum(
            type(thing).__module__.partition(".")[0] == "safewriter" for thing in gc.get_objects()
        )

    count = int(sys.argv[1])
    run(0, 200)
    before = ours()
    tracemalloc.start()
    run(200, 100)  # what tracemalloc sees for the first time
    gc.collect()
    memory, _ = tracemalloc.get_traced_memory()
    run(300, count)
    after = ours()
    now, _ = tracemalloc.get_traced_memory()
    print(json.dumps([(now - memory) / count, after - before]))
"""


@pytest.mark.parametrize("count", [500, pytest.param(5_000, marks=pytest.mark.stress)])
def test_closed_runs_are_forgotten(warm, tmp_path, count):
    """A writer that was closed leaves less than 2 KiB, and nothing that a fork has to look at."""
    done = warm.run(SCRIPT, cwd=tmp_path, args=[str(count)], deadline=60 + count / 20)
    bytes_a_writer, things = json.loads(done.stdout)
    assert bytes_a_writer < 2048
    assert things < 300
