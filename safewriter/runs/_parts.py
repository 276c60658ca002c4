"""Which directories are only parts of the run above them: series, and values of hyperparameters."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

HPARAMS_TAG = "_hparams_/session_start_info"


class Above:
    """The runs met so far. A run has to be asked about before what lies below it."""

    def __init__(self) -> None:
        self._tokens: dict[str, set[str]] = {}

    def run_of(self, name: str, tags: Sequence[str], sessions: list[dict[str, Any]]) -> str | None:
        """Return the run that one is a part of, or None if it stands for itself.

        Whoever made it, a series holds one tag, and is called after it. The values of
        ``add_hparams`` have their own tag; where safewriter wrote them, the process of the run did.
        """
        tokens = {token for session in sessions if (token := session.get("token"))}
        self._tokens[name] = tokens
        run = self._nearest(name)
        if run is None:
            return None
        below = name if run == os.curdir else os.path.relpath(name, run)
        is_series = len(tags) == 1 and below.startswith(tags[0].replace("/", "_") + "_")
        is_hparams = HPARAMS_TAG in tags and tokens <= self._tokens[run]
        return run if is_series or is_hparams else None

    def _nearest(self, name: str) -> str | None:
        while name != os.curdir:
            name = os.path.dirname(name) or os.curdir
            if name in self._tokens:
                return name
        return None
