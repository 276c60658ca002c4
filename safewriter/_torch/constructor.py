"""What calling torch's ``SummaryWriter`` makes.

The class stays the same object, so every reference to it that anybody holds is reached: only its
``__new__`` is ours from the first use on. It can never be taken away again, because a class whose
``__new__`` was deleted refuses arguments; with nothing chosen it does what it did before.

A subclass of the user's stays what it is as well. While patched, calling it makes an instance of a
class of ours that extends it and the safe writer: that instance stays safe to its end.
"""

from __future__ import annotations

import inspect
import logging
import sys
import weakref
from collections.abc import Callable
from typing import Any

from torch.utils.tensorboard.writer import SummaryWriter

from safewriter._torch import hooks

logger = logging.getLogger("safewriter")

_Class = type[SummaryWriter]

_everywhere: _Class | None = None
_for_hparams: Callable[[], _Class] | None = None
_safe_base: _Class | None = None
_previous: Any = None
_installed = False
_extended: weakref.WeakKeyDictionary[_Class, dict[_Class, _Class]] = weakref.WeakKeyDictionary()


def choose(cls: _Class | None) -> None:
    """Make calls of ``SummaryWriter`` and its subclasses make `cls`, or an extension of it."""
    global _everywhere
    _everywhere = cls
    install()


def use_for_hparams(choose: Callable[[], _Class], safe_base: _Class) -> None:
    """Have torch's ``add_hparams`` make what `choose` says, where the writer is a `safe_base`."""
    global _for_hparams, _safe_base
    _for_hparams, _safe_base = choose, safe_base


def install() -> None:
    """Have our ``__new__`` called from now on."""
    global _installed, _previous
    if not _installed:
        _installed = True
        _previous = vars(SummaryWriter).get("__new__")
        init = inspect.signature(SummaryWriter.__init__)
        _new.__signature__ = init  # type: ignore[attr-defined]  # for those who ask the class
        SummaryWriter.__new__ = _new  # type: ignore[method-assign,assignment]


def _new(cls: _Class, *args: Any, **kwargs: Any) -> Any:
    maker = sys._getframe(1)
    if cls is SummaryWriter and hooks.is_add_hparams(maker.f_code):
        # Below a stock writer, made before patch(), it is a stock writer as well.
        if _safe_base is not None and isinstance(maker.f_locals.get("self"), _safe_base):
            cls = _for_hparams() if _for_hparams else cls
    elif _everywhere is not None:
        cls = extended(cls, _everywhere)
    if _previous is not None:
        return _previous(cls, *args, **kwargs)
    return object.__new__(cls)


def extended(cls: _Class, safe: _Class) -> _Class:
    """Return a class on both a user's subclass of torch's and a safe one; `safe` for torch's own.

    A class that is safe already, or that cannot be extended, is returned as it is.
    """
    if cls is SummaryWriter:
        return safe
    if _safe_base is not None and issubclass(cls, _safe_base):
        return cls
    known = _extended.setdefault(cls, {})
    if safe not in known:
        names = {
            "__module__": cls.__module__,
            "__qualname__": cls.__qualname__,
            "__doc__": cls.__doc__,
            "__reduce_ex__": lambda self, _: (_rebuilt, (cls, safe), self.__getstate__()),
        }
        try:
            metaclass: Any = type(cls)
            known[safe] = metaclass(cls.__name__, (cls, safe), names)
        except Exception as error:  # Whatever a metaclass or __init_subclass__ says.
            logger.warning("%s still makes torch's writers: %s", cls, error)
            return cls
    return known[safe]


def _rebuilt(cls: _Class, safe: _Class) -> Any:
    """Return an unpickled writer whose state is yet to be set."""
    return object.__new__(extended(cls, safe))
