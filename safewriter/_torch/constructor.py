"""What calling torch's ``SummaryWriter``, or tensorboardX's, makes.

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
from types import FrameType
from typing import Any

from torch.utils.tensorboard.writer import SummaryWriter

from safewriter._torch import hooks

logger = logging.getLogger("safewriter")

_Class = type[SummaryWriter]

#: What every call makes while patched, and whether tensorboardX's writers are made so as well.
everywhere: Any = None
reaches_tensorboardx = False
#: The writer that ``add_hparams`` makes, and the class of all safe ones.
for_hparams: Any = None
safe_base: Any = None
_extended: weakref.WeakKeyDictionary[type, dict[type, type]] = weakref.WeakKeyDictionary()


def choose(cls: _Class | None, *, tensorboardx: bool) -> None:
    """Make calls of ``SummaryWriter`` and its subclasses make `cls`, or an extension of it."""
    global everywhere, reaches_tensorboardx
    everywhere, reaches_tensorboardx = cls, tensorboardx


def install(library: type, choice: Callable[[type, FrameType], type]) -> None:
    """Have `choice` tell what the calls of a class in a frame make, from now on."""
    previous = vars(library).get("__new__")

    def new(cls: type, *args: Any, **kwargs: Any) -> Any:
        cls = choice(cls, sys._getframe(1))
        return object.__new__(cls) if previous is None else previous(cls, *args, **kwargs)

    # For those who ask the class.
    new.__signature__ = inspect.signature(library.__init__)  # type: ignore[attr-defined,misc]
    library.__new__ = new  # type: ignore[method-assign,assignment]


def install_torchs(hparams: _Class, safe: _Class) -> None:
    """Have torch's class make what is chosen, and ``add_hparams`` of a `safe` one `hparams`."""
    global for_hparams, safe_base
    for_hparams, safe_base = hparams, safe
    install(SummaryWriter, _torchs)


def _torchs(cls: type, maker: FrameType) -> type:
    if cls is SummaryWriter and hooks.is_add_hparams(maker.f_code):
        # Below a stock writer, made before patch(), it is a stock writer as well.
        owner = maker.f_locals.get("self")
        return owner._class_below if isinstance(owner, safe_base) else cls
    return cls if everywhere is None else extended(cls, everywhere)


def extended(cls: type, safe: type) -> type:
    """Return a class on both a user's subclass and a safe one; `safe` for what that is based on.

    A class that is safe already, or that cannot be extended, is returned as it is.
    """
    if issubclass(cls, (safe, safe_base)):
        return cls
    if issubclass(safe, cls):
        return safe
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
            logger.warning("%s still makes stock writers: %s", cls, error)
            return cls
    return known[safe]


def _rebuilt(cls: type, safe: type) -> Any:
    """Return an unpickled writer whose state is yet to be set."""
    return object.__new__(extended(cls, safe))
