"""What calling torch's ``SummaryWriter`` makes.

The class stays the same object, so every reference to it that anybody holds is reached: only its
``__new__`` is ours from the first use on. It can never be taken away again, because a class whose
``__new__`` was deleted refuses arguments; with nothing chosen it does what it did before.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Any

from torch.utils.tensorboard.writer import SummaryWriter

logger = logging.getLogger("safewriter")

_everywhere: type[SummaryWriter] | None = None
_rebased: list[type[SummaryWriter]] = []
_here = threading.local()
_previous: Any = None
_installed = False


def choose(cls: type[SummaryWriter] | None) -> type[SummaryWriter] | None:
    """Make calls of ``SummaryWriter`` and its subclasses make `cls`; return the earlier choice."""
    global _everywhere
    earlier, _everywhere = _everywhere, cls
    _install()
    for subclass in _rebased:
        _replace_base(subclass, earlier, SummaryWriter)
    _rebased.clear()
    if cls is not None:
        for subclass in SummaryWriter.__subclasses__():
            _rebase(subclass, cls)
    return earlier


@contextlib.contextmanager
def chosen_here(cls: type[SummaryWriter]) -> Iterator[None]:
    """Within the block, calls of ``SummaryWriter`` itself by this thread make `cls`."""
    _install()
    earlier = getattr(_here, "chosen", None)
    _here.chosen = cls
    try:
        yield
    finally:
        _here.chosen = earlier


def _install() -> None:
    global _installed, _previous
    if not _installed:
        _installed = True
        _previous = vars(SummaryWriter).get("__new__")
        SummaryWriter.__new__ = _new  # type: ignore[method-assign,assignment]


def _new(cls: type[SummaryWriter], *args: Any, **kwargs: Any) -> Any:
    chosen = getattr(_here, "chosen", None) or _everywhere
    if cls is SummaryWriter and chosen is not None:
        cls = chosen
    elif _everywhere is not None:
        for base in cls.__mro__:
            if SummaryWriter in base.__bases__:
                _rebase(base, _everywhere)
    if _previous is not None:
        return _previous(cls, *args, **kwargs)
    return object.__new__(cls)


def _rebase(subclass: type[SummaryWriter], cls: type[SummaryWriter]) -> None:
    """Put `cls` in the place of torch's class among the bases of a user's subclass."""
    if issubclass(cls, subclass):
        return
    try:
        _replace_base(subclass, SummaryWriter, cls)
    except TypeError as error:
        # Such as a class on both ours and this one: its bases would have no order any more.
        logger.warning("%s still makes torch's writers: %s", subclass, error)
    else:
        _rebased.append(subclass)


def _replace_base(subclass: Any, old: Any, new: Any) -> None:
    if old in subclass.__bases__:
        subclass.__bases__ = tuple(new if base is old else base for base in subclass.__bases__)
