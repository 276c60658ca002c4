"""How an event file stands, and what may follow."""

from __future__ import annotations

import enum


class State(enum.Enum):
    """How an event file stands."""

    NEW = "no file yet: the next event makes one"
    READY = "open, and nothing waits"
    BUSY = "a write is under way, or an exception left it: the file's size tells what arrived"
    WAITING = "not open, or something waits: the next event, or flush, goes on"
    GONE = "the file is no longer where it was: the run is told before a new one is made"
    CLOSED = "closed: opens again for a later opening of its run only"


#: What may follow a state.
TRANSITIONS: dict[State, frozenset[State]] = {
    State.NEW: frozenset({State.WAITING, State.CLOSED}),
    State.READY: frozenset({State.BUSY, State.WAITING, State.GONE, State.NEW, State.CLOSED}),
    State.BUSY: frozenset({State.READY, State.WAITING, State.GONE, State.CLOSED}),
    State.WAITING: frozenset({State.READY, State.BUSY, State.GONE, State.NEW, State.CLOSED}),
    State.GONE: frozenset({State.NEW, State.CLOSED}),
    State.CLOSED: frozenset({State.WAITING, State.NEW}),
}
