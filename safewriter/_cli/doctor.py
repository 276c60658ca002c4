"""``safewriter doctor``: the findings on a terminal or as JSON."""

from __future__ import annotations

import argparse
import sys
import urllib.parse
from typing import TYPE_CHECKING

from safewriter._cli.arguments import default_logdir, not_empty
from safewriter._cli.console import print_json, progress_bar

if TYPE_CHECKING:
    from safewriter._cli.findings import Found

JSON_VERSION = 1


def add_doctor_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the ``doctor`` command; its ``func`` returns the exit status."""
    parser = commands.add_parser(
        "doctor",
        help="say why TensorBoard does not show a run",
        description="Looks at log directories, written by any tool, and says what is wrong, what"
        " TensorBoard shows because of it, and what to do. Changes nothing without --fix.",
        epilog="Exit status: 0 nothing found, 1 something found, 2 could not run.",
    )
    parser.add_argument(
        "logdirs",
        nargs="*",
        type=not_empty,
        metavar="LOGDIR",
        help="as for tensorboard --logdir; by default runs, below $SAFEWRITER_ROOT or the current"
        " directory",
    )
    parser.add_argument(
        "--logdir",
        dest="named",
        action="append",
        default=[],
        type=not_empty,
        metavar="DIR",
        help="the same, as for tensorboard",
    )
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    selections = {"--select": "report only these codes", "--ignore": "do not report these codes"}
    for option, meaning in selections.items():
        parser.add_argument(
            option, action="extend", type=_codes, default=[], metavar="CODES", help=meaning
        )
    parser.add_argument(
        "--explain",
        nargs="*",
        metavar="CODE",
        help="explain codes (or list all of them) and exit",
    )
    parser.add_argument(
        "--server", type=not_empty, metavar="URL", help="compare with what this TensorBoard serves"
    )
    parser.add_argument(
        "--as-user", type=not_empty, metavar="USER", help="report what this user may not read"
    )
    parser.add_argument(
        "--fix", action="store_true", help="cure what can be cured without losing a record"
    )
    parser.add_argument("--dry-run", action="store_true", help="with --fix: print the plan only")
    parser.set_defaults(func=run_doctor, parser=parser)


def _codes(text: str) -> list[str]:
    return text.replace(",", " ").split()


def run_doctor(options: argparse.Namespace) -> int:
    """Carry out the command and return its exit status."""
    if options.explain is not None:
        return _explain(options.explain)
    if options.dry_run and not options.fix:
        return _fail("--dry-run goes with --fix")
    if (wrong := _wrong(options)) is not None:
        return _fail(wrong)
    try:
        found = _look(options)
    except OSError as error:
        return _fail(str(error))
    if options.json:
        _print_json(found)
    else:
        from safewriter._cli.findings import print_findings

        for each in found:
            print_findings(*each, fix=options.fix)
    return 1 if any(findings for _, findings, _ in found) else 0


def _wrong(options: argparse.Namespace) -> str | None:
    """Return what is wrong with the arguments. An error that comes later is one of ours."""
    from safewriter.doctor._check import wanted_codes
    from safewriter.runs._user import User

    try:
        wanted_codes(options.select, options.ignore)
        if options.as_user is not None:
            User.named(options.as_user)
        urllib.parse.urlsplit(options.server or "")
    except (ValueError, LookupError) as error:
        return str(error)
    return None


def _look(options: argparse.Namespace) -> list[Found]:
    from safewriter.doctor import check, repair

    found = []
    with progress_bar(quiet=options.json) as progress:
        for logdir in [*options.logdirs, *options.named] or [default_logdir()]:
            actions = []
            if options.fix:
                actions = repair(
                    logdir,
                    dry_run=options.dry_run,
                    select=options.select,
                    ignore=options.ignore,
                    progress=progress,
                )
            findings = check(
                logdir,
                select=options.select,
                ignore=options.ignore,
                as_user=options.as_user,
                server=options.server,
                progress=progress,
            )
            found.append((logdir, findings, actions))
    return found


def _fail(message: str) -> int:
    print(f"safewriter doctor: {message}", file=sys.stderr)
    return 2


def _print_json(found: list[Found]) -> None:
    from safewriter import __version__
    from safewriter.runs._names import printable

    logdirs = [
        {
            "logdir": printable(logdir),
            "findings": [finding.as_json() for finding in findings],
            "actions": [action.as_json() for action in actions],
        }
        for logdir, findings, actions in found
    ]
    print_json({"schema": JSON_VERSION, "safewriter": __version__, "logdirs": logdirs})


def _explain(wanted: list[str]) -> int:
    from safewriter._cli.findings import print_list, print_rule
    from safewriter.doctor import RULES

    codes = [code.upper() for code in _codes(" ".join(wanted))]
    if unknown := [code for code in codes if code not in RULES]:
        return _fail(f"there is no code {unknown[0]!r}; --explain alone lists all of them")
    if wanted and not codes:
        return _fail("an empty code; --explain alone lists all of them")
    if not wanted:
        print_list(RULES.values())
    for code in codes:
        print_rule(RULES[code])
    return 0
