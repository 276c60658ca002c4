"""Does something once the program has imported a module, and never imports it before that."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_finders: dict[str, Any] = {}


def when_imported(module: str, action: Callable[[], None]) -> None:
    """Call `action` now or, if the module has not been imported, whenever that is done."""
    if module in sys.modules:
        action()
        return
    finder = _finders.setdefault(module, _Finder(module, action))
    if finder not in sys.meta_path:
        sys.meta_path.insert(0, finder)


class _Finder(threading.local):
    _is_asking = False  # Other finders of this kind ask us while we ask them.

    def __init__(self, module: str, action: Callable[[], None]) -> None:
        self._module = module
        self._action = action

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> Any:
        if name != self._module or self._is_asking:
            return None
        self._is_asking = True
        try:
            spec = find_spec(name)
        finally:
            self._is_asking = False
        if spec is not None:
            spec.loader = _Loader(spec.loader, self._action)  # type: ignore[assignment]
        return spec


class _Loader:
    def __init__(self, loader: Any, action: Callable[[], None]) -> None:
        self._loader = loader
        self._action = action
        self.create_module = loader.create_module

    def exec_module(self, module: Any) -> None:
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._action()
