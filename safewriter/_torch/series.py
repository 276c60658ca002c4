"""The series of add_scalars: what their directories are called, and how torch's code finds them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Protocol

from safewriter._errors import ArgumentTypeError, RunDirectoryError
from safewriter._run.directory import check_name
from safewriter._torch.file_writer import RunFileWriter


def series_name(run: str, main_tag: str, series: object) -> str:
    """Return what a series' directory is called below the run, as torch calls it."""
    if not isinstance(series, str):
        raise ArgumentTypeError(
            f"add_scalars takes a dict of names and numbers as tag_scalar_dict, but its key "
            f"{series!r} is no str: write it as one",
            argument="tag_scalar_dict",
        )
    name = f"{main_tag.replace('/', '_')}_{series}"
    path = f"{run}/{name}"
    check_name(path)
    if ".." in name.split("/"):
        raise RunDirectoryError(
            f"the series {series!r} of {main_tag!r} would lie outside of its run, at "
            f"{posixpath.normpath(path)!r}: take the '..' out of its name",
            path=posixpath.normpath(path),
            cure="take the '..' out of its name",
        )
    return name


class Writer(Protocol):
    """What a writer offers here."""

    _files: dict[str, RunFileWriter]

    @property
    def _directory(self) -> str:
        """The directory of its run."""

    def _series_writer(self, name: str, series: str | None) -> RunFileWriter:
        """Return the file writer of a series, made if need be."""


class AllWriters(Mapping[str, RunFileWriter]):
    """A writer's file writers by their directories, as torch's code looks for them.

    What it asks for below the run is made, so it never makes a file writer of its own.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._base = writer._directory
        self._files = writer._files

    def __getitem__(self, path: str) -> RunFileWriter:
        for name, file_writer in list(self._files.items()):
            if path == (f"{self._base}/{name}" if name else self._base):
                return file_writer
        if not path.startswith(f"{self._base}/"):
            raise KeyError(path)
        return self._writer._series_writer(path[len(self._base) + 1 :], None)

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and (path == self._base or path.startswith(f"{self._base}/"))

    def __iter__(self) -> Iterator[str]:
        return iter([f"{self._base}/{name}" if name else self._base for name in list(self._files)])

    def __len__(self) -> int:
        return len(self._files)
