"""What moves in the instant in which an event is written: the last step of its tag."""

from __future__ import annotations

from typing import Protocol


class Mark(Protocol):
    """What must rise: the last step of a tag, with its value and its writer."""

    last: int
    value: float | None
    logger: object


class Move(Protocol):
    """A further mark, of an event that has several."""

    def move(self, logger: object) -> None:
        """Move it."""
