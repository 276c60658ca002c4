"""The program behind `tests.support.others`: forks a process for each line of standard input.

Such a process connects to the address that the line names and runs the code that it is sent.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import pickle
import signal
import sys
import tempfile
import traceback
import warnings
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

import torch

import safewriter
from safewriter import SafeSummaryWriter
from tests.support.faults import file_size_limit

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWPID = 0x20000000
_PR_SET_DUMPABLE = 4


def _system_call(name: str, *arguments: int) -> None:
    if getattr(_libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def enter_own_pids() -> None:
    """Go on in a process that is the first of a namespace of its own: its pid is 1."""
    _system_call("unshare", _CLONE_NEWPID)
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        os._exit(0)


def become(uid: int, gid: int) -> None:
    """Be another user from now on, who may not even read Python's own files."""
    _rehearse()
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    os.environ["HOME"] = "/tmp"
    _system_call("prctl", _PR_SET_DUMPABLE, 1, 0, 0, 0)  # as it is behind an exec


def _rehearse() -> None:
    """Import whatever safewriter imports when it is needed."""
    with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for comment in ("", "comment"):
            for resume in (False, True, True):
                writer = SafeSummaryWriter(directory, comment, resume=resume)
                writer.add_scalar("loss", 0.5, 1)
                writer.add_scalars("all", {"a": 0.5}, 1)
                writer.add_hparams({"lr": 0.5}, {"metric": 0.5}, run_name="trial")
                writer.add_text("text", "text")
                writer.add_embedding(torch.ones(2, 2), tag="embedding")
                writer.close()
        log_dir = writer.log_dir
        writer = pickle.loads(pickle.dumps(writer))
        writer.add_scalar("loss", 0.5, 2)
        with file_size_limit(0):
            writer.add_scalar("loss", 0.5, 3)
        pid = os.fork()
        if pid == 0:
            try:
                SafeSummaryWriter(log_dir, unique=False)
            except BaseException:
                traceback.format_exc()
            os._exit(0)
        os.waitpid(pid, 0)
        safewriter.events.run_status(log_dir)
        writer.close()
    try:
        SafeSummaryWriter("/proc/nowhere", unique=False)
    except safewriter.RunDirectoryError:
        traceback.format_exc()


def _answer(connection: Connection) -> None:
    """Run what is sent, until there is nobody who could send something."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    warned: list[tuple[str, str]] = []
    warnings.simplefilter("always")
    warnings.showwarning = lambda message, category, *rest: warned.append(
        (category.__name__, str(message))
    )
    names: dict[str, Any] = {
        "os": os,
        "Path": Path,
        "SafeSummaryWriter": SafeSummaryWriter,
        "become": become,
        "file_size_limit": file_size_limit,
        "pickle": pickle,
        "safewriter": safewriter,
        "sys": sys,
        "torch": torch,
        "warned": warned,
        "warnings": warnings,
    }
    while True:
        try:
            code, values = connection.recv()
        except EOFError:
            return
        names.update(values, result=None)
        problem = None
        try:
            exec(compile(code, "<test>", "exec"), names)
        except BaseException:
            problem = traceback.format_exc()
        connection.send((names["result"], problem))


def _main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # Nobody waits for them.
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        if os.fork() == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            request = json.loads(line)
            problem = None
            if request["own_pids"]:
                try:
                    enter_own_pids()
                except OSError as error:
                    problem = str(error)
            with Client(request["address"]) as connection:
                connection.send((os.getpid(), problem))
                _answer(connection)
            return


if __name__ == "__main__":
    _main()
