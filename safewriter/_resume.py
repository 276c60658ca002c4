"""Going on with an earlier run: what it holds, and when its later points have to be hidden."""

from __future__ import annotations

from ._ledger import TagLedger
from .events import TagSummary, event_files, summarise


class Earlier:
    """What the earlier sessions of a run left in one of its directories."""

    def __init__(self, directory: str) -> None:
        try:
            tags = summarise(directory).tags if event_files(directory) else {}
        except FileNotFoundError:
            tags = {}
        self._all = tags
        self._curves = {
            tag: summary
            for tag, summary in tags.items()
            if summary.kind == "scalar" and summary.first_step < summary.max_step
        }

    def teach(self, ledger: TagLedger) -> None:
        """Tell the ledger what is there already: logging it again is expected."""
        for tag, summary in self._all.items():
            ledger.expect(tag, summary.kind, summary.last_step)
        self._all = {}

    def must_restart(self, tag: str, step: int) -> bool:
        """Tell whether a restart at `step` has to be announced before `tag` is logged at it.

        TensorBoard's Python reader hides earlier points only behind an announced restart, and then
        those of all tags from that step on. So this holds once, for the first curve that is logged
        again, and only where it hides nothing else: see :meth:`_is_behind`. A lone value, such as
        the number of parameters at step 0 in each session, never restarts the curves.
        """
        curve = self._curves.get(tag)
        if curve is None or step > curve.max_step:
            return False
        others = list(self._curves.values())
        self._curves = {}
        return not any(self._is_behind(curve, other) for other in others)

    def _is_behind(self, curve: TagSummary, other: TagSummary) -> bool:
        """Tell whether `other` counts differently: it was further on although it is older.

        That is how a curve by epochs stands to a curve by batches, and a restart at epoch 3 would
        hide all batches from the third on.
        """
        return other.max_step > curve.max_step and other.last_wall_time < curve.last_wall_time
