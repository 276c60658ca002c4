"""The command line: ``safewriter run``, ``doctor`` and ``ls``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from safewriter._cli.doctor import add_doctor_parser
from safewriter._cli.ls import add_ls_parser
from safewriter._cli.run import add_run_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="safewriter", description="Runs, lists and explains TensorBoard logs."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_run_parser(commands)
    add_doctor_parser(commands)
    add_ls_parser(commands)
    options = parser.parse_args(arguments)
    status: int = options.func(options)
    return status
