"""How a run ended: well, with an exit code, or by a signal."""

from __future__ import annotations

import signal
from typing import NamedTuple


class Ending(NamedTuple):
    """What a session's record says of its end.

    `exit_code` is what ``sys.exit`` was called with; `signal` is the number of the signal.
    """

    status: str
    exit_code: int | None = None
    signal: int | None = None

    def as_fields(self) -> dict[str, str | int]:
        """Return the fields of the record, without those that say nothing."""
        return {name: value for name, value in self._asdict().items() if value is not None}


FINISHED = Ending("finished")
FAILED = Ending("failed")


def ending_of(error: BaseException | None) -> Ending:
    """Return how a program ends that an exception, or none, leaves."""
    if error is None:
        return FINISHED
    if isinstance(error, KeyboardInterrupt):
        return Ending("failed", signal=int(signal.SIGINT))
    if not isinstance(error, SystemExit):
        return FAILED
    if not error.code:
        return FINISHED
    # As the interpreter does: what is no number is printed, and the exit code is 1.
    return Ending("failed", exit_code=int(error.code) if isinstance(error.code, int) else 1)
