"""How many whole records the event files of a directory hold at this moment."""

from __future__ import annotations

import os
import struct

_LENGTH = struct.Struct("<Q")
_FRAMING = 16


class Files:
    """The event files below a directory, read on from where the last look ended."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._ends: dict[str, int] = {}

    def new_records(self, sizes: dict[str, int] | None = None) -> list[bytes]:
        """Return the records that were completed since the last look, without version records.

        With `sizes`, only what lay within these sizes of the files.
        """
        found = []
        for path in self.paths() if sizes is None else sizes:
            begin = self._ends.get(path, 0)
            with open(path, "rb") as file:
                file.seek(begin)
                data = file.read(-1 if sizes is None else sizes[path] - begin)
            end = 0
            while len(data) - end >= _FRAMING:
                size = _LENGTH.unpack_from(data, end)[0] + _FRAMING
                if len(data) - end < size:
                    break
                if begin or end:
                    found.append(data[end : end + size])
                end += size
            self._ends[path] = begin + end
        return found

    def paths(self) -> list[str]:
        """Return the paths of the event files."""
        return [
            os.path.join(parent, name)
            for parent, _, names in os.walk(self._directory)
            for name in names
            if "tfevents" in name
        ]

    def sizes(self) -> dict[str, int]:
        """Return the sizes in bytes of the event files."""
        return {path: os.path.getsize(path) for path in self.paths()}
