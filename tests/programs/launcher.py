"""Runs scripts in processes forked from an interpreter that has already imported torch's writer.

Each line of standard input is a request in JSON, answered by one line. A started script runs in a
process group of its own, as ``__main__``, and ends as any program does: the child falls off the end
of this file. Ends when its standard input does. The arguments name further modules to import first.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import types
from typing import Any

from torch.utils.tensorboard import SummaryWriter  # noqa: F401  what the scripts would wait for


def serve() -> dict[str, Any] | None:
    """Answer requests; in a child, return what it was started with."""
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            _, status = os.waitpid(request["wait"], 0)
            print("ended", os.waitstatus_to_exitcode(status), flush=True)
        else:
            pid = os.fork()
            if pid == 0:
                return dict(request)
            print("started", pid, flush=True)
    return None


def become(request: dict[str, Any]) -> None:
    """Take on the group, the files, the directory and the environment that are asked for."""
    os.setpgid(0, 0)
    for target, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, request["stdout"], os.O_WRONLY | os.O_CREAT),
        (2, request["stderr"], os.O_WRONLY | os.O_CREAT),
    ):
        descriptor = os.open(path, flags, 0o666)
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.chdir(request["cwd"])
    os.environ.update(request["env"])
    sys.argv = [request["script"], *request["args"]]


for name in sys.argv[1:]:
    importlib.import_module(name)

# A child that ends would look through all of torch's objects, and copy their pages to do so.
gc.collect()
gc.freeze()

job = serve()
if job is not None:
    become(job)
    if job["safe"]:
        from safewriter._cli.main import main

        sys.exit(main(["run", *sys.argv]))
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=job["script"], __builtins__=__builtins__)
    sys.modules["__main__"] = module
    sys.path[0] = os.path.dirname(job["script"])
    with open(job["script"], encoding="utf-8") as file:
        exec(compile(file.read(), job["script"], "exec", dont_inherit=True), module.__dict__)
