"""Disks that refuse: a preloaded write(2), a limit on file sizes, a disk of a few kilobytes."""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_CONTROL = struct.Struct("=6q")
_SOURCE = Path(__file__).with_name("shim.c")


class Faults:
    """What write(2) to an event file does in the processes that have `environment`.

    Args:
        path: the control page, made if need be. By default that of this very process.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(os.environ["FAULTS_CONTROL"] if path is None else path)
        if not self.path.exists():
            self.path.write_bytes(bytes(_CONTROL.size))
        with self.path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), _CONTROL.size)
        self.clear()

    def environment(self) -> dict[str, str]:
        """Build the library beside the control page; return what preloads it."""
        library = self.path.with_suffix(".so")
        subprocess.run(
            ["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"], check=True
        )
        return {"LD_PRELOAD": str(library), "FAULTS_CONTROL": str(self.path)}

    def set(self, error: int = 0, *, count: int = -1, accept: int = -1, most: int = 0) -> None:
        """Refuse with `error`, `count` times (-1: until `clear`), once `accept` bytes went through.

        `most` is the longest write that is done in one piece (0: any).
        """
        self._page[:] = _CONTROL.pack(error, count, accept, most, 0, 0)

    def clear(self) -> None:
        """Let everything pass."""
        self.set()

    @property
    def refused(self) -> int:
        """Writes refused since the last `set`."""
        return int(_CONTROL.unpack(self._page[:])[4])

    def close(self) -> None:
        """Let go of the control page."""
        self._page.close()


def missing_for_preload() -> str:
    """Say what this machine lacks for `Faults`, or nothing."""
    if sys.platform != "linux":
        return "needs Linux"
    return "" if shutil.which("cc") else "needs a C compiler"


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Have the kernel take no byte beyond `size` of any file, with EFBIG, within the block.

    Python ignores the signal that goes with it.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TinyDisk:
    """A file system of a few kilobytes, mounted from ``with`` to the end of the block.

    Raises:
        PermissionError: this user may not mount.
    """

    def __init__(self, directory: Path, size: str = "64k") -> None:
        self.directory = directory
        self._size = size
        self._filler = directory / "filler"

    def __enter__(self) -> TinyDisk:
        self.directory.mkdir()
        options = f"size={self._size},mode=1777"
        if sys.platform != "linux" or not self._mount("-t", "tmpfs", "-o", options, "none"):
            self.directory.rmdir()
            raise PermissionError("cannot mount a file system here")
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "-l", str(self.directory)], check=True)

    def fill(self) -> None:
        """Leave no room."""
        with self._filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        """Make the room again."""
        self._filler.unlink()

    def remount(self, options: str) -> None:
        """Mount it anew: ``"ro"`` (no file may be open for writing), ``"rw"`` ..."""
        assert self._mount("-o", f"remount,{options}")

    def _mount(self, *arguments: str) -> bool:
        command = ["mount", *arguments, str(self.directory)]
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:
            return False
