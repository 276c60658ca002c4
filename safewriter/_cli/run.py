"""``safewriter run``: a script that nobody edits, with safe writers."""

from __future__ import annotations

import argparse
import contextlib
import os
import pkgutil
import runpy
import shlex
import shutil
import sys
import tempfile
import types
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from typing import Any

from safewriter._cli.arguments import not_empty
from safewriter._errors import RunDirectoryError
from safewriter._run.directory import anchor_directory

_MOST_RUNS = 10  # runs whose directories are printed

# What stands above the user's code in a traceback.
_ABOVE = (__name__, "runpy")


def add_run_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the ``run`` command; its ``func`` returns the exit status."""
    parser = commands.add_parser(
        "run",
        help="run an unchanged script with safe writers",
        usage="safewriter run [options] [--] SCRIPT [ARG ...] | -m MODULE [ARG ...]",
        description="Runs a script, a module, or a directory or zip file with a __main__.py, in"
        " which SummaryWriter(...) makes safe writers.",
    )
    parser.add_argument("-m", dest="module", action="store_true", help="run a module")
    parser.add_argument(
        "--unique",
        action=argparse.BooleanOptionalAction,
        help="a directory for each run below the log_dir (the default), or exactly the log_dir",
    )
    parser.add_argument(
        "--join",
        action=argparse.BooleanOptionalAction,
        help="whether writers on one log_dir share a run; by default until the steps start over",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        default=None,
        help="continue the newest run of each log_dir",
    )
    parser.add_argument(
        "--ranks",
        choices=("all", "zero"),
        help="which ranks of a distributed job write; all by default",
    )
    parser.add_argument(
        "--root",
        metavar="DIR",
        type=not_empty,
        help="where a relative log_dir begins; 'project': its root",
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.set_defaults(func=run_program, parser=parser)


def run_program(options: argparse.Namespace) -> int:
    """Carry out the command; what the program raises comes through, ``SystemExit`` among it."""
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command or not command[0]:
        options.parser.error("a script is missing, or with -m a module")
    names = ("unique", "join", "resume", "ranks", "root")
    defaults = {name: given for name in names if (given := getattr(options, name)) is not None}
    if "root" in defaults:
        try:
            # Once: a spawned child may begin in another directory.
            defaults["root"] = anchor_directory(defaults["root"])
        except RunDirectoryError as error:
            options.parser.error(str(error))
    with _runs_reported() as report:
        _patch_with_children(defaults, report)
        sys.argv = command
        with _as_under_python():
            _execute(command[0], options.module)
    return 0


def _execute(program: str, is_module: bool) -> None:
    if is_module:
        top, name = os.getcwd(), program
    elif pkgutil.get_importer(program) is not None:  # a directory or a zip file
        top, name = os.path.abspath(program), "__main__"
    else:
        sys.path[0] = os.path.dirname(os.path.realpath(program))
        _run_script(program)
        return
    sys.path[0] = top
    sys.modules["__main__"] = types.ModuleType("__main__")
    # What `python -m` does: after runpy's run_module, the exit handlers would have no __main__.
    runpy._run_module_as_main(name, alter_argv=is_module)  # type: ignore[attr-defined]  # private


def _run_script(path: str) -> None:
    """Execute a script as ``__main__``, which it stays to the end of the process.

    runpy would take its module away again before the script's own exit handlers run.
    """
    file_name = os.path.join(os.getcwd(), path)
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        sys.exit(f"safewriter: cannot run {path!r}: {error.strerror}")
    code = compile(source, file_name, "exec", dont_inherit=True)
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=file_name, __builtins__=__builtins__)
    module.__loader__ = SourceFileLoader("__main__", file_name)
    sys.modules["__main__"] = module
    exec(code, module.__dict__)


@contextlib.contextmanager
def _as_under_python() -> Iterator[None]:
    """Let what the program raises through, with a traceback that begins at its own code."""
    from safewriter import _lifecycle

    try:
        yield
    except SystemExit as error:
        _lifecycle.ends_with(error)
        raise
    except BaseException:  # also Ctrl-C: raised again below
        # The interpreter adds the frames that it passes on the way out, this one among them. So
        # they are taken off when it has arrived, for whatever hook the program has installed.
        hook = sys.excepthook

        def begin_at_the_program(
            kind: type[BaseException], error: BaseException, trace: types.TracebackType | None
        ) -> None:
            trace = _from_the_program(trace, error)
            hook(kind, error.with_traceback(trace), trace)

        sys.excepthook = begin_at_the_program
        raise


def _from_the_program(
    trace: types.TracebackType | None, error: BaseException
) -> types.TracebackType | None:
    found = trace
    while found is not None and found.tb_frame.f_code is not _execute.__code__:
        found = found.tb_next
    while found is not None and found.tb_frame.f_globals.get("__name__") in _ABOVE:
        found = found.tb_next
    # A script that is no Python has no frame.
    return trace if found is None and not isinstance(error, SyntaxError) else found


class _Patch:
    """Patches the process that unpickles it."""

    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return _patch_with_children, self._arguments


def _patch_with_children(defaults: dict[str, Any], report: str) -> None:
    """Patch this process, and the children that multiprocessing spawns from it.

    A spawned child is a new interpreter that imports the script, not this command. The first thing
    that it unpickles is its preparation data, so the patch travels in there. Each run that one of
    these processes begins becomes a line of the file `report`.
    """
    from multiprocessing import spawn

    from safewriter import patch
    from safewriter._run import run, sigterm

    patch(**defaults)
    run.report_to(report)
    sigterm.watch()
    prepare = spawn.get_preparation_data

    def prepare_and_patch(name: str) -> dict[str, Any]:
        return {**prepare(name), "safewriter": _Patch(defaults, report)}

    spawn.get_preparation_data = prepare_and_patch


@contextlib.contextmanager
def _runs_reported() -> Iterator[str]:
    """Yield a file for the names of runs; print at the end where they are, and how to see them."""
    report = ""
    with contextlib.suppress(OSError):  # No place for it: then nothing is told.
        number, report = tempfile.mkstemp(prefix="safewriter-runs-")
        os.close(number)
    try:
        yield report
    finally:
        with contextlib.suppress(OSError), open(report, "rb") as file:
            begun: dict[str, None] = {}
            for line in map(os.fsdecode, file.read().split(b"\0")[:-1]):
                if line.startswith("-"):  # Another process has it by now.
                    begun.pop(line[1:], None)
                else:
                    begun[line] = None
            _say_where(list(begun))
        with contextlib.suppress(OSError):
            os.unlink(report)


def _say_where(begun: list[str]) -> None:
    # The runs of add_hparams lie below the run that they belong to.
    runs = [path for path in begun if os.path.dirname(path) not in begun]
    if not runs:
        return
    for directory in runs[:_MOST_RUNS]:
        _say(f"run {directory}")
    if rest := runs[_MOST_RUNS:]:
        _say(f"and {len(rest):,} runs more")
    # The directory above: TensorBoard names a run after its path below the logdir.
    for logdir in _parents_that_show_all(runs):
        _say(f"see all runs with  {_tensorboard()} --logdir {shlex.quote(logdir)}")
    if len(runs) == 1:
        _say(f"see this run with  {_tensorboard()} --logdir {shlex.quote(runs[0])}")


def _say(line: str) -> None:
    print(f"safewriter: {line}", file=sys.stderr)


def _parents_that_show_all(runs: list[str]) -> list[str]:
    """Return one directory that shows the runs, or several where that one would be a large part of
    the disk: TensorBoard walks through all of it.
    """
    parents = list(dict.fromkeys(os.path.dirname(run) for run in runs))
    above = {os.path.dirname(parent) for parent in parents}
    (one, *others) = above
    if len(parents) > 1 and not others and one != os.path.dirname(one):
        return [one]
    return [p for p in parents if not any(p.startswith(other + os.sep) for other in parents)]


def _tensorboard() -> str:
    """Return the command that starts TensorBoard, quoted for the shell."""
    if shutil.which("tensorboard"):
        return "tensorboard"
    return f"{shlex.quote(sys.executable)} -m tensorboard.main"
