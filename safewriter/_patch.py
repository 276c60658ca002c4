"""The same for code that nobody edits: calling torch's ``SummaryWriter`` makes safe writers."""

from __future__ import annotations

import inspect
import threading
from types import TracebackType
from typing import Any, ClassVar

from torch.utils.tensorboard.writer import SummaryWriter

from safewriter._torch import constructor as _calling
from safewriter._writer import SafeSummaryWriter

_SIGNATURE = inspect.signature(SafeSummaryWriter.__init__)
# The arguments of torch that a writer has even if only torch's own __init__ ran.
_TORCHS = frozenset(inspect.signature(SummaryWriter.__init__).parameters) - {"comment"}
_lock = threading.Lock()
_Choice = tuple[bool, dict[str, Any]]


class PatchedSummaryWriter(SafeSummaryWriter):
    """What ``SummaryWriter(...)`` makes while patched: a safe writer with the patch's defaults."""

    _defaults: ClassVar[dict[str, Any]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        given = _SIGNATURE.bind_partial(self, *args, **kwargs).arguments
        given.pop("self")
        super().__init__(**{**self._defaults, **given})


class Patch:
    """The result of :func:`patch`: a context manager that restores what was before it."""

    def __init__(self, before: _Choice) -> None:
        self._before = before

    def __enter__(self) -> Patch:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _set(*self._before)


def patch(**defaults: Any) -> Patch:
    """Make ``torch.utils.tensorboard.SummaryWriter(...)`` make safe writers, everywhere.

    It does not matter where the name was imported, before or after; subclasses become subclasses of
    the safe writer. `defaults` are keyword arguments of :class:`SafeSummaryWriter` for every writer
    that is not given them. Patching twice is one patch, with the latest defaults.

    Returns a context manager that undoes it. Raises ``TypeError`` for an unknown keyword.
    """
    unknown = sorted(set(defaults) - set(_SIGNATURE.parameters) | set(defaults) & {"self"})
    if unknown:
        raise TypeError(
            f"patch() got {', '.join(map(repr, unknown))}, but its keywords are those of "
            f"SafeSummaryWriter: {', '.join(list(_SIGNATURE.parameters)[1:])}"
        )
    return Patch(_set(True, defaults))


def unpatch() -> None:
    """Undo :func:`patch`; writers made meanwhile stay as they are. Does nothing if not patched."""
    _set(False, {})


def _set(active: bool, defaults: dict[str, Any]) -> _Choice:
    with _lock:
        before = PatchedSummaryWriter._defaults
        PatchedSummaryWriter._defaults = defaults
        PatchedSummaryWriter._unasked = {
            name: value for name, value in defaults.items() if name not in _TORCHS
        }
        earlier = _calling.choose(PatchedSummaryWriter if active else None)
        return earlier is not None, before
