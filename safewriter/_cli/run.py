"""``safewriter run``: a script that nobody edits, with safe writers."""

from __future__ import annotations

import argparse
import os
import runpy
import shlex
import sys
import types
from importlib.machinery import SourceFileLoader
from typing import Any

from safewriter._errors import RunDirectoryError
from safewriter._run.directory import anchor_directory


def add_run_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the ``run`` command; its ``func`` returns the exit status."""
    parser = commands.add_parser(
        "run",
        help="run an unchanged script with safe writers",
        usage="safewriter run [options] [--] SCRIPT [ARG ...] | -m MODULE [ARG ...]",
        description="Runs a script or module in which SummaryWriter(...) makes safe writers.",
    )
    parser.add_argument("-m", dest="module", action="store_true", help="run a module")
    parser.add_argument(
        "--no-unique",
        action="store_true",
        help="write to exactly the log_dir that the script names",
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue the newest run of each log_dir"
    )
    parser.add_argument(
        "--root", metavar="DIR", help="where a relative log_dir begins; 'project': its root"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.set_defaults(func=lambda options: _run(parser, options))


def _run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("a script is missing, or with -m a module")
    defaults: dict[str, Any] = {}
    if options.no_unique:
        defaults["unique"] = False
    if options.resume:
        defaults["resume"] = True
    if options.root is not None:
        try:
            # Once: a spawned child may begin in another directory.
            defaults["root"] = anchor_directory(options.root)
        except RunDirectoryError as error:
            parser.error(str(error))
    _patch_with_children(defaults)
    sys.argv = command
    try:
        if options.module:
            sys.path[0] = os.getcwd()
            # As `python -m` does: after run_module, the exit handlers have no __main__ any more.
            sys.modules["__main__"] = types.ModuleType("__main__")
            runpy._run_module_as_main(command[0])  # type: ignore[attr-defined]
        else:
            sys.path[0] = os.path.dirname(os.path.realpath(command[0]))
            _run_script(command[0])
    finally:
        _say_where()
    return 0


def _run_script(path: str) -> None:
    """Execute a script as ``__main__``, which it stays to the end of the process.

    runpy would take its module away again before the script's own exit handlers run.
    """
    file_name = os.path.join(os.getcwd(), path)
    try:
        with open(path, "rb") as file:
            code = compile(file.read(), file_name, "exec", dont_inherit=True)
    except OSError as error:
        sys.exit(f"safewriter: cannot run {path!r}: {error.strerror}")
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=file_name, __builtins__=__builtins__)
    module.__loader__ = SourceFileLoader("__main__", file_name)
    sys.modules["__main__"] = module
    exec(code, module.__dict__)


class _Patch:
    """Patches the process that unpickles it."""

    def __init__(self, defaults: dict[str, Any]) -> None:
        self._defaults = defaults

    def __reduce__(self) -> tuple[Any, ...]:
        return _patch_with_children, (self._defaults,)


def _patch_with_children(defaults: dict[str, Any]) -> None:
    """Patch this process, and the children that multiprocessing spawns from it.

    A spawned child is a new interpreter that imports the script, not this command. The first thing
    that it unpickles is its preparation data, so the patch travels in there.
    """
    from multiprocessing import spawn

    from safewriter import patch

    patch(**defaults)
    prepare = spawn.get_preparation_data

    def prepare_and_patch(name: str) -> dict[str, Any]:
        return {**prepare(name), "safewriter": _Patch(defaults)}

    spawn.get_preparation_data = prepare_and_patch


def _say_where() -> None:
    """Print where the runs of this process are, and how to see them."""
    from safewriter._run.run import begun

    # The runs of add_hparams lie below the run that they belong to.
    runs = [directory for directory in begun if os.path.dirname(directory) not in begun]
    if not runs:
        return
    for directory in runs:
        print(f"safewriter: run {directory}", file=sys.stderr)
    # The directory above: TensorBoard names a run after its path below the logdir.
    logdir = os.path.commonpath([os.path.dirname(directory) for directory in runs])
    print(f"safewriter: see it with  tensorboard --logdir {shlex.quote(logdir)}", file=sys.stderr)
