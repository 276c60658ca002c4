"""Imports the room for tensorboardX once the program imports tensorboardX, and never before."""

from __future__ import annotations

import logging
import sys
import threading
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

logger = logging.getLogger("safewriter")

_MODULE, _ROOM = "tensorboardX.writer", "safewriter._torch.tensorboardx"


def reach() -> None:
    """Reach tensorboardX, now or when it is imported."""
    if _MODULE in sys.modules:
        try:
            import_module(_ROOM)
        except Exception as error:  # A version of it that lacks what we need.
            logger.warning("tensorboardX's writers are not reached: %s", error)
    elif _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


class _Finder(threading.local):
    _is_asking = False  # Other finders of this kind ask us while we ask them.

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> Any:
        if name != _MODULE or self._is_asking:
            return None
        self._is_asking = True
        try:
            spec = find_spec(name)
        finally:
            self._is_asking = False
        if spec is not None:
            spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
        return spec


class _Loader:
    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self.create_module = loader.create_module

    def exec_module(self, module: Any) -> None:
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        reach()


_finder: Any = _Finder()
