"""What ``SummaryWriter(...)`` makes while patched. Imported once torch's own writer is."""

from __future__ import annotations

import inspect
import logging
from importlib import import_module
from typing import Any, ClassVar

from torch.utils.tensorboard.writer import SummaryWriter

from safewriter._torch import constructor
from safewriter._writer import SafeSummaryWriter

logger = logging.getLogger("safewriter")

_SIGNATURE = inspect.signature(SafeSummaryWriter.__init__)
# The arguments of torch that a writer has even if only torch's own __init__ ran.
_TORCHS = frozenset(inspect.signature(SummaryWriter.__init__).parameters) - {"comment"}


class PatchedSummaryWriter(SafeSummaryWriter):
    """A safe writer with the defaults of the patch in force."""

    _defaults: ClassVar[dict[str, Any]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        given = _SIGNATURE.bind_partial(self, *args, **kwargs).arguments
        given.pop("self")
        super().__init__(**{**self._defaults, **given})


def choose(patch: dict[str, Any] | None) -> None:
    """Have safe writers made with the defaults of `patch`, or stock ones if there is none."""
    defaults = dict(patch or {})
    tensorboardx = defaults.pop("tensorboardx", patch is not None)
    PatchedSummaryWriter._defaults = defaults
    PatchedSummaryWriter._unasked = {
        name: value for name, value in defaults.items() if name not in _TORCHS
    }
    chosen = None if patch is None else PatchedSummaryWriter
    constructor.choose(chosen, tensorboardx=tensorboardx)


def reach_tensorboardx() -> None:
    """Reach tensorboardX, which has been imported."""
    try:
        import_module("safewriter._torch.tensorboardx")
    except Exception as error:  # A version of it that lacks what we need.
        logger.warning("tensorboardX's writers are not reached: %s", error)
