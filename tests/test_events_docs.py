"""The examples of docs/events.md run as they are printed."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support import run_python
from tests.support.event_bytes import scalar_record, torn, version_record

DOCS = Path(__file__).resolve().parents[1] / "docs" / "events.md"


def test_examples(tmp_path):
    """Every example runs, in the order of the page, on a run that crashed."""
    run = tmp_path / "runs" / "mnist" / "2026-05-04_09-30-00"
    run.mkdir(parents=True)
    records = [version_record(), *(scalar_record("train/loss", 0.5, step) for step in range(3))]
    last = torn(scalar_record("train/loss", 0.5, 3), 20)
    (run / "events.out.tfevents.1777887000.host.1.0").write_bytes(b"".join([*records, last]))
    examples = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 7
    done = run_python("\n".join(examples), cwd=tmp_path, check=True)
    assert "train/loss scalar 3 0 2" in done.stdout
    assert f": torn at byte {sum(map(len, records))}, 20 bytes" in done.stdout
    assert "UNKNOWN\nNone\n" in done.stdout
