"""The command line: ``safewriter run``, ``doctor`` and ``ls``."""

from __future__ import annotations

import argparse
import os
import runpy
import sys
import types
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="safewriter", description="Runs, finds and explains TensorBoard logs."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run_parser(commands)
    options = parser.parse_args(arguments)
    status: int = options.func(options)
    return status


def _add_run_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "run",
        help="run an unchanged script with safe writers",
        usage="safewriter run [-h] SCRIPT [ARG ...] | -m MODULE [ARG ...]",
        description="Runs a script or module in which SummaryWriter(...) makes safe writers.",
    )
    parser.add_argument("-m", dest="module", action="store_true", help="run a module")
    parser.add_argument("target", metavar="SCRIPT", help="the script, or with -m the module")
    parser.add_argument("args", nargs=argparse.REMAINDER, metavar="ARG", help="its arguments")
    parser.set_defaults(func=_run)


def _run(options: argparse.Namespace) -> int:
    from . import patch

    patch()
    if options.module:
        sys.argv = [options.target, *options.args]
        sys.path[0] = os.getcwd()
        runpy.run_module(options.target, run_name="__main__", alter_sys=True)
    else:
        sys.argv = [options.target, *options.args]
        sys.path[0] = os.path.dirname(os.path.abspath(options.target))
        _run_script(options.target)
    return 0


def _run_script(path: str) -> None:
    """Execute a script as ``__main__``, which it stays to the end of the process.

    runpy would take its module away again before the script's own exit handlers run.
    """
    try:
        with open(path, "rb") as file:
            code = compile(file.read(), path, "exec")
    except OSError as error:
        sys.exit(f"safewriter: cannot run {path!r}: {error.strerror}")
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=path, __builtins__=__builtins__)
    sys.modules["__main__"] = module
    exec(code, module.__dict__)
