"""What a summary value holds: its kind, and its number."""

from __future__ import annotations

import struct
from typing import Any

from tensorboard.compat.proto import types_pb2

#: The tag of what begins a session of the hparams plugin.
SESSION_START = "_hparams_/session_start_info"

_FLOAT = struct.Struct("<f").unpack_from
_DOUBLE = struct.Struct("<d").unpack_from

_KINDS_OF_FIELDS = {
    "simple_value": "scalar",
    "histo": "histogram",
    "obsolete_old_style_histogram": "histogram",
    "image": "image",
    "audio": "audio",
}
_KINDS_OF_PLUGINS = {
    "scalars": "scalar",
    "histograms": "histogram",
    "images": "image",
    "audio": "audio",
}


def value_kind(value: Any) -> str:
    """Return the kind of data that a ``Summary.Value`` holds.

    ``scalar``, ``histogram``, ``image`` or ``audio`` for what these four dashboards of TensorBoard
    show, be it in the old form (``simple_value`` and so on) or in the new (a tensor for their
    plugin); ``tensor:PLUGIN`` for everything else, such as ``tensor:text``, ``tensor:pr_curves`` or
    ``tensor:hparams``, and ``tensor:`` if no plugin is named.
    """
    kind = _KINDS_OF_FIELDS.get(value.WhichOneof("value"))
    if kind is None:
        plugin = value.metadata.plugin_data.plugin_name
        kind = _KINDS_OF_PLUGINS.get(plugin) or f"tensor:{plugin}"
    return kind


def scalar_value(value: Any) -> float:
    """Return the number in a ``Summary.Value`` of the kind ``scalar``.

    NaN for a tensor that holds neither a float nor a double.
    """
    if value.HasField("simple_value"):
        return float(value.simple_value)
    tensor = value.tensor
    if tensor.dtype == types_pb2.DT_FLOAT:
        numbers, unpack, size = tensor.float_val, _FLOAT, 4
    elif tensor.dtype == types_pb2.DT_DOUBLE:
        numbers, unpack, size = tensor.double_val, _DOUBLE, 8
    else:
        return float("nan")
    if numbers:
        return float(numbers[0])
    content = tensor.tensor_content
    return float(unpack(content)[0]) if len(content) == size else float("nan")
