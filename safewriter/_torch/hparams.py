"""Hyperparameters as TensorBoard can show them: a flat table of numbers, truth values and texts."""

from __future__ import annotations

import argparse
import dataclasses
import enum
import math
import os
import types
from collections.abc import Mapping
from typing import Any

import numpy as np

from safewriter._errors import DataWarning, warn

Value = bool | int | float | str

#: A tensor or array of more numbers than this is told by its shape.
_MOST_NUMBERS = 100


def flat(hparams: Mapping[Any, Any], prefix: str = "") -> dict[str, Value]:
    """Return what TensorBoard shows of hyperparameters: ``{"opt": {"lr": 1}}`` as ``opt/lr``.

    Numbers, also of numpy and torch, stay numbers; None, lists, enums, paths, types and the like
    become the text that names them. What has no such text becomes its ``repr``, with a warning.
    """
    found: dict[str, Value] = {}
    for key, value in hparams.items():
        name = f"{prefix}{key}".encode(errors="backslashreplace").decode()
        inner = _fields(value)
        if inner:
            found.update(flat(inner, f"{name}/"))
        else:
            plain = _told(value)
            if plain is None:
                plain = object.__repr__(value)
                warn(
                    DataWarning,
                    f"hyperparameter {name!r} is a {type(value).__name__}, which has no text of "
                    f"its own: TensorBoard shows {plain!r}, which differs in each run. Pass a "
                    "number or a text that names it.",
                )
            found[name] = plain
    return found


def _told(value: Any) -> Value | None:
    """Return a value as a reader shows it; None if nothing tells it."""
    try:
        plain = _plain(value)
    except Exception:  # Whatever its own code says: training goes on.
        return None
    return plain.encode(errors="backslashreplace").decode() if isinstance(plain, str) else plain


def _fields(value: Any) -> Mapping[Any, Any] | None:
    """Return what a value holds by name, if that is how it is written down."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, argparse.Namespace | types.SimpleNamespace):
        return vars(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def _plain(value: Any) -> Value | None:
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, str | bool):
        return value
    if isinstance(value, int | float):
        # The page stops at a number that JSON does not have, and has no more digits than a float.
        exact = math.isfinite(value) if isinstance(value, float) else abs(value) <= 2**53
        return value if exact else str(value)
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if hasattr(value, "tolist") and hasattr(value, "shape"):  # of numpy or torch
        return _of_array(value)
    if isinstance(value, list | tuple | set | frozenset):
        return _of_several(value)
    name = getattr(value, "__name__", None)
    if isinstance(name, str):  # a class or a function
        return name
    kind: Any = type(value)
    is_told = kind.__str__ is not object.__str__ or kind.__repr__ is not object.__repr__
    text = str(value) if is_told else None
    return None if text is None or f"at {id(value):#x}" in text else text


def _of_array(value: Any) -> Value | None:
    size = math.prod(value.shape)
    if size == 1:
        return _plain(np.ravel(value.tolist())[0].item())
    if size > _MOST_NUMBERS:
        return f"{type(value).__name__}{tuple(value.shape)} of {value.dtype}"
    return str(value.tolist())


def _of_several(values: Any) -> str | None:
    # A set has no order of its own: sorted, it is the same text in each run.
    parts = [_plain(_fields(value) or value) for value in values]
    texts = [part if isinstance(part, str) else repr(part) for part in parts if part is not None]
    if len(texts) < len(parts):
        return None
    if isinstance(values, set | frozenset):
        texts.sort()
    return f"[{', '.join(texts)}]"
