"""One directory of a run, its own or that of a series: an event file, and its ledger."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from safewriter._disk.file_names import last_name
from safewriter._disk.open_files import DiskErrorsIgnored
from safewriter._errors import Notice, ReusedRunWarning, RunDirectoryError
from safewriter._ledger.ledger import TagLedger
from safewriter._run import session
from safewriter._run.place import File

if TYPE_CHECKING:
    from safewriter._run.resume import Earlier


class Part:
    """The file's lock protects all of it."""

    def __init__(self, file: File, ledger: TagLedger) -> None:
        self.file = file
        self.ledger = ledger
        self.lock = file.lock
        self._earlier: Earlier | None = None
        self._generation = -1

    def prepare(
        self,
        directory: str,
        generation: int,
        *,
        continues: bool,
        purge_step: int | None,
        strict: bool = False,
    ) -> list[Notice]:
        """Follow the run to its opening `generation`; return what is to be told.

        `continues` is whether what the directory holds already is of this run; `purge_step` from
        where on that is logged again. With `strict`, raises :class:`RunDirectoryError` where it
        cannot be read.
        """
        notices: list[Notice] = []
        with self.lock:
            if self._generation >= generation:
                return notices
            first, self._generation = self._generation < 0, generation
            if self.file.directory != directory:
                self.file.relocate(directory)
            elif first and continues:
                try:
                    self._look_back(directory)
                except RunDirectoryError as error:
                    if strict:
                        raise
                    text = f"{error}. What is logged again may hide what is there without a word."
                    notices.append(Notice(ReusedRunWarning, text))
                if purge_step is not None:
                    if self._earlier is not None:
                        self._earlier.purge(purge_step)
                    self.ledger.rewind(purge_step)
            elif not first:
                self._go_on_last(directory)
        return notices

    def _look_back(self, directory: str) -> None:
        from safewriter._run.resume import Earlier  # Only a run that goes on has to read: 10 ms.

        self._earlier = Earlier(directory)
        session.look_back(self, self._earlier.tags)
        self._earlier.teach(self.ledger)

    def _go_on_last(self, directory: str) -> None:
        """Go on in a later-named file if another process wrote here while this one had closed.

        Readers take what follows in an earlier-named file for older than all in a later one.
        """
        if self.file.path is not None:
            with DiskErrorsIgnored():
                last = last_name(os.listdir(directory))
                if last and last != os.path.basename(self.file.path):
                    self.file.relocate(directory)

    def restart_at(self, tag: str, step: int | None) -> int | None:
        """Return the step of a restart that is due before `tag` is logged at `step`, if any."""
        if self._earlier is None:
            return None
        with self.lock:
            return self._earlier.restart_at(tag, step)

    def rewind(self, step: int) -> None:
        """Expect that everything from `step` on is logged again: a restart there was announced."""
        with self.lock:
            if self._earlier is None:
                with contextlib.suppress(RunDirectoryError):
                    self._look_back(self.file.directory)
            if self._earlier is not None:
                self._earlier.purge(None)
            self.ledger.rewind(step)


def series_directory(run: str, subdir: str) -> str:
    """Return the directory of a series, or of the run itself for ``""``."""
    return os.path.join(run, subdir) if subdir else run
