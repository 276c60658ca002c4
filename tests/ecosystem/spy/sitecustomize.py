"""Writes down every warning of safewriter, whatever filters a framework sets.

Python imports this at its start where this directory is on the path.
"""

import os
import sys
import warnings

_FILE = os.environ.get("ECOSYSTEM_WARNINGS", os.devnull)


def _note(category, message, filename, lineno):
    names = [kind.__name__ for kind in getattr(category, "__mro__", ())]
    if "SafeWriterWarning" in names:
        with open(_FILE, "a", encoding="utf-8") as file:
            file.write(f"{names[0]} {os.path.basename(filename)}:{lineno} {message}\n")


def _spied(warn, warn_explicit):
    def spied_warn(message, category=None, stacklevel=1, source=None, **more):
        frame = sys._getframe(1)
        for _ in range(stacklevel - 1):
            frame = frame.f_back or frame
        _note(category, message, frame.f_code.co_filename, frame.f_lineno)
        return warn(message, category, stacklevel + 1, source, **more)

    def spied_warn_explicit(message, category, filename, lineno, *args, **more):
        _note(category, message, filename, lineno)
        return warn_explicit(message, category, filename, lineno, *args, **more)

    return spied_warn, spied_warn_explicit


warnings.warn, warnings.warn_explicit = _spied(warnings.warn, warnings.warn_explicit)
