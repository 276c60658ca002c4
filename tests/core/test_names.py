"""Names that lead out of a run, and words on the command line that are nobody else's business."""

from __future__ import annotations

from pathlib import Path

import pytest

from safewriter import SafeSummaryWriter, SafeWriterError
from safewriter.events import event_files, read_scalars
from tests.core.commands import run_command


def tree(directory: Path) -> list[Path]:
    """Return everything below a directory."""
    return sorted(directory.rglob("*"))


@pytest.mark.parametrize("series", ["/../../exp2", "a/../../../exp2", "/../../run2/a"])
def test_a_series_that_leads_out_of_the_run(tmp_path, series):
    """One clear error, and nothing is written: neither beside the run nor in it."""
    with SafeSummaryWriter(tmp_path / "logs" / "run", unique=False) as writer:
        writer.add_scalar("loss", 0.5, 1)
        before = tree(tmp_path)
        with pytest.raises(SafeWriterError) as raised:
            writer.add_scalars("all", {"good": 0.5, series: 0.5}, 1)
        assert series in str(raised.value)
        assert tree(tmp_path) == before


def test_ways_to_write_one_series(tmp_path):
    """Series whose names stand for one directory share its event file."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        for step, series in enumerate(["a/b", "a//b", "a/./b", "a/b"], 1):
            writer.add_scalars("all", {series: step / 2}, step)
    directory = tmp_path / "all_a" / "b"
    assert len(event_files(directory)) == 1
    assert read_scalars(directory)["all"].steps.tolist() == [1, 2, 3, 4]


# A value each, with what stands before it on the command line.
SECRETS = {
    "AKEY-93f1": ["--api-key=AKEY-93f1"],
    "TOK-93f2": ["--token", "TOK-93f2"],
    "PW-93f3": ["password=PW-93f3"],
    "AWS-93f4": ["AWS_SECRET_ACCESS_KEY=AWS-93f4"],
    "KEY-93f5": ["--wandb_api_key", "KEY-93f5"],
    "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH": ["hf_abcdefghijklmnopqrstuvwxyzABCDEFGH"],
    "sk-abcdefghijklmnopqrstuvwxyz0123456789": ["sk-abcdefghijklmnopqrstuvwxyz0123456789"],
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789": ["ghp_abcdefghijklmnopqrstuvwxyz0123456789"],
    "URL-93f6": ["https://user:URL-93f6@example.com/data"],
}
ORDINARY = ["train.py", "--lr", "0.01", "--data=/data/set", "--model", "resnet50", "seed=17"]


def test_secrets_on_the_command_line(others, tmp_path):
    """No secret is in a run's record or in what ``safewriter ls`` prints; all the rest is."""
    process = others.start()
    argv = [*ORDINARY, *(word for words in SECRETS.values() for word in words)]
    process.do(
        """
        sys.argv = argv
        writer = SafeSummaryWriter(run, unique=False)
        writer.add_scalar("loss", 0.5, 1)
        writer.close()
        """,
        argv=argv,
        run=tmp_path / "run",
    )
    files = (tmp_path / "run" / ".safewriter").rglob("*")
    kept = "".join(file.read_text(encoding="utf-8") for file in files if file.is_file())
    listed = run_command("ls", "--json", tmp_path).stdout
    for text in (kept, listed):
        assert [secret for secret in SECRETS if secret in text] == []
        assert [word for word in ORDINARY if word not in text] == []
        assert "example.com/data" in text
