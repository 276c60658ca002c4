"""``safewriter doctor`` as a command: exit status, JSON, codes, explanations, terminal output."""

from __future__ import annotations

import argparse
import json
import pty
import re
from pathlib import Path
from typing import Any

import pytest

from safewriter._cli.doctor import add_doctor_parser
from safewriter.doctor import RULES, check
from tests.doctor.situations import SITUATIONS, START, name, scalars, write
from tests.support import run_python
from tests.support.event_bytes import scalar_record, torn, version_record

DOCS = Path(__file__).parents[2] / "docs" / "doctor.md"


def doctor(*arguments: object) -> int:
    """Run the command in this process and return its exit status."""
    parser = argparse.ArgumentParser()
    add_doctor_parser(parser.add_subparsers())
    options = parser.parse_args(["doctor", *map(str, arguments)])
    status: int = options.func(options)
    return status


def healthy(top: Path, run: str = "healthy") -> None:
    """Write a run that nothing is wrong with."""
    write(top / run, version_record(START), scalars("a", range(10)))


def damaged(top: Path) -> None:
    """Write a run with records behind a fault."""
    record = scalars("a", [5])
    write(top / "damaged", version_record(START), torn(record, 20), scalars("a", range(5)))


def test_exit_status_0_and_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 for a clean log directory, 1 as soon as one of several has a finding."""
    healthy(tmp_path / "clean")
    damaged(tmp_path / "broken")
    assert doctor(tmp_path / "clean") == 0
    assert "Nothing found." in capsys.readouterr().out
    assert doctor(tmp_path / "clean", tmp_path / "broken") == 1
    assert "SW206" in capsys.readouterr().out
    assert doctor(tmp_path / "missing") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--select", "SW999", "."], "SW999"),
        (["--ignore", "X", "."], "'X'"),
        (["--as-user", "nobody-of-that-name", "."], "nobody-of-that-name"),
        (["--dry-run", "."], "--fix"),
        (["--explain", "SW101", "SW000"], "SW000"),
        (["--explain", ""], "empty"),
        (["--server", "http://[", "."], "URL"),
    ],
)
def test_exit_status_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """2, and one clear line on standard error, for what cannot be carried out."""
    assert doctor(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert len(captured.err.splitlines()) == 1


def test_the_default_directory_and_logdir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without an argument it looks at ``runs``, as ls does; --logdir names a directory."""
    healthy(tmp_path / "runs")
    damaged(tmp_path / "other")
    monkeypatch.chdir(tmp_path)
    assert doctor() == 0
    assert doctor("--logdir", "other") == 1
    assert doctor("runs", "--logdir", "other", "--select", "SW206") == 1
    capsys.readouterr()


def test_a_pipe_gets_whole_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """However long a message is, it is one line where there is no terminal."""
    path = tmp_path / ("name " * 40 + "end")
    assert doctor(path) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(path)
    assert sum(str(path) in line for line in lines) == 2, lines


def test_several_codes_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """Separated by spaces or commas."""
    assert doctor("--explain", "sw101,SW102", "SW201") == 0
    printed = capsys.readouterr().out
    assert all(code in printed for code in ("SW101", "SW102", "SW201"))


def test_codes_are_selected_and_ignored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lists with commas, repeated options and beginnings of codes are understood."""
    damaged(tmp_path)
    write(tmp_path / "empty")
    assert doctor(tmp_path, "--select", "SW1,SW3", "--select", "sw5") == 0
    capsys.readouterr()
    assert doctor(tmp_path, "--select", "SW2", "--ignore", "SW201", "--json") == 1
    findings = json.loads(capsys.readouterr().out)["logdirs"][0]["findings"]
    assert [finding["code"] for finding in findings] == ["SW206"]


def test_the_json_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every finding and action has exactly the documented keys, and strict JSON is printed."""
    for situation in SITUATIONS:
        situation.build(tmp_path / situation.run)
    assert doctor(tmp_path, "--json", "--fix", "--dry-run") == 1
    text = capsys.readouterr().out
    document: dict[str, Any] = json.loads(text, parse_constant=_refuse)
    assert document["schema"] == 1
    assert document.keys() == {"schema", "safewriter", "logdirs"}
    (logdir,) = document["logdirs"]
    assert logdir.keys() == {"logdir", "findings", "actions"}
    assert {finding["code"] for finding in logdir["findings"]} >= {s.code for s in SITUATIONS}
    documented = DOCS.read_text(encoding="utf-8")
    for key in [*document, *logdir, *logdir["findings"][0], *logdir["actions"][0]]:
        assert f"`{key}`" in documented
    for finding in logdir["findings"]:
        assert finding.keys() == logdir["findings"][0].keys()
        assert finding["shows"].keys() == {"fast", "python"}
        row = next(
            row for row in documented.splitlines() if row.startswith(f"| `{finding['code']}`")
        )
        for key in finding["evidence"]:
            assert f"`{key}`" in row, f"{key} of {finding['code']} is not documented"
    for action in logdir["actions"]:
        assert action["done"] is False


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def test_every_code_is_documented_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """The documentation has a row for each code, ``--explain`` a text, and there are no others."""
    rows = re.findall(r"^\| `(SW\d+)` \| (\w+) \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [(rule.code, rule.severity) for rule in RULES.values()]
    for rule in RULES.values():
        assert doctor("--explain", rule.code.lower()) == 0
        output = capsys.readouterr().out
        assert rule.code in output
        assert rule.title in output
    assert doctor("--explain") == 0
    assert len(re.findall(r"^ *SW\d+", capsys.readouterr().out, re.MULTILINE)) == len(RULES)


def test_fix_and_its_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The plan is printed first; afterwards the tree is clean and the status 0."""
    damaged(tmp_path)
    assert doctor(tmp_path, "--fix", "--dry-run") == 1
    assert "would put the records of" in " ".join(capsys.readouterr().out.split())
    assert doctor(tmp_path, "--fix") == 0
    assert "put the records of" in " ".join(capsys.readouterr().out.split())
    assert check(tmp_path) == []
    assert doctor(tmp_path, "--fix") == 0
    assert "Nothing that --fix can cure." in capsys.readouterr().out


def test_names_cannot_write_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Escape sequences and markup in tags, runs and files are printed, not carried out."""
    evil = "[red]x[/red]\x1b]0;title\x07\u202e"
    run = write(
        tmp_path / f"run{evil}",
        version_record(START),
        *(scalar_record(f"tag{evil}", float(value), 0) for value in range(3)),
        file=f"{name()}{evil.replace('/', '')}",
    )
    assert doctor(tmp_path) == 1
    run.write_bytes(run.read_bytes()[:-1])
    assert doctor(tmp_path) == 1
    output = capsys.readouterr().out
    assert "[red]" in output
    assert "\\x1b" in output
    assert not {"\x1b", "\x07", "\u202e"} & set(output)


def test_many_findings_of_one_code_are_summed_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The text names a few of them and counts the rest; JSON has them all."""
    for number in range(30):
        write(tmp_path / f"run-{number:02}")
    assert doctor(tmp_path) == 1
    output = capsys.readouterr().out
    assert len(output.splitlines()) < 60
    assert "25 more" in output
    assert doctor(tmp_path, "--json") == 1
    assert len(json.loads(capsys.readouterr().out)["logdirs"][0]["findings"]) == 30


def test_torch_is_not_imported(tmp_path: Path) -> None:
    """Looking at a log directory does not wait for torch."""
    healthy(tmp_path)
    script = """
        import argparse, sys
        from safewriter._cli.doctor import add_doctor_parser
        parser = argparse.ArgumentParser()
        add_doctor_parser(parser.add_subparsers())
        options = parser.parse_args(["doctor", sys.argv[1]])
        assert options.func(options) == 0
        assert "torch" not in sys.modules
    """
    run_python(script, args=[tmp_path], check=True)


def test_a_large_tree_has_a_progress_bar(tmp_path: Path) -> None:
    """On a terminal, standard error counts the runs; what is printed stays as it is."""
    for number in range(60):
        healthy(tmp_path, f"run-{number:02}")
    script = """
        import os, pty, sys
        from safewriter._cli.doctor import add_doctor_parser
        import argparse
        parser = argparse.ArgumentParser()
        add_doctor_parser(parser.add_subparsers())
        options = parser.parse_args(["doctor", sys.argv[1]])
        leader, follower = pty.openpty()
        keep = os.dup(2)
        os.dup2(follower, 2)
        status = options.func(options)
        os.dup2(keep, 2)
        print(status, "/60" in os.read(leader, 100000).decode())
    """
    assert hasattr(pty, "openpty")
    output = run_python(script, args=[tmp_path], check=True, env={"TERM": "xterm"}).stdout
    assert output.splitlines()[-1] == "0 True"
