"""The command line: ``safewriter run``, ``doctor`` and ``ls``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from safewriter._cli.doctor import add_doctor_parser
from safewriter._cli.ls import add_ls_parser
from safewriter._cli.run import add_run_parser, run_program


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    from safewriter import __version__

    parser = argparse.ArgumentParser(
        prog="safewriter", description="Runs, lists and explains TensorBoard logs."
    )
    parser.add_argument("--version", action="version", version=f"safewriter {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_run_parser(commands)
    add_doctor_parser(commands)
    add_ls_parser(commands)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    is_ours = options.func is not run_program  # What a program raises is its own.
    status: int = _quietly(options) if is_ours else options.func(options)
    return status


def _quietly(options: argparse.Namespace) -> int:
    """Carry out a command; Ctrl-C and a closed pipe end it without a word."""
    try:
        status: int = options.func(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Nobody reads any more; the interpreter would flush once more, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as of a program that SIGPIPE ended
    return status
