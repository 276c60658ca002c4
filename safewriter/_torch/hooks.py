"""What stands in torch's and tensorboard's modules now, and is it hooked.

Trackers replace names and methods there, before or after us. This is the only room that touches
names which torch and tensorboard do not promise to keep; where an installed version lacks one, what
it is for goes by torch's own code, and the log says so once, at INFO:

======================================================  ===========================================
name                                                    without it
======================================================  ===========================================
``torch.utils.tensorboard.writer.EventFileWriter``      tensorboard's own class is extended
``torch.utils.tensorboard._convert_np.make_np``         histograms and images by torch's own code
``torch.utils.tensorboard._utils.convert_to_HWC``       images by torch's own code
``torch.utils.tensorboard._utils._prepare_video``       videos by torch's own code
``torch.utils.tensorboard.summary.text``                texts by torch's own code
``SummaryWriter.default_bins``                          histograms by torch's own code
======================================================  ===========================================
"""

from __future__ import annotations

import importlib
import logging
from types import CodeType
from typing import Any

import torch.utils.tensorboard.writer as _module
from tensorboard.summary.writer import event_file_writer
from torch.utils.tensorboard.writer import FileWriter, SummaryWriter

logger = logging.getLogger("safewriter")

#: torch's writer module, as it is at the moment of each use.
torch_writer: Any = _module


_missed: set[str] = set()


def _miss(module: str, name: str) -> None:
    if name not in _missed:
        _missed.add(name)
        logger.info("%s has no %s: what it is for goes by torch's own code", module, name)


def default_bins(writer: SummaryWriter) -> Any:
    """Return the limits of the default bins of a histogram, or None if torch has none."""
    bins = getattr(writer, "default_bins", None)
    if bins is None:
        _miss("SummaryWriter", "default_bins")
    return bins


def _find(module: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        _miss(module, name)
        return None


make_np = _find("torch.utils.tensorboard._convert_np", "make_np")
convert_to_hwc = _find("torch.utils.tensorboard._utils", "convert_to_HWC")
prepare_video = _find("torch.utils.tensorboard._utils", "_prepare_video")
text_summary = _find("torch.utils.tensorboard.summary", "text")


def _is_torchs_own(function: object) -> bool:
    """Tell whether a function that was found in torch's writer module is the one it came with."""
    # Not by name: wrappers copy it. Only torch's own functions run in the namespace of its module.
    return getattr(function, "__globals__", None) is vars(torch_writer)


_OWN = {name: method for name, method in vars(SummaryWriter).items() if _is_torchs_own(method)}
_UNKNOWN = object()


def _own(cls: type, name: str) -> Any:
    function = getattr(cls, name, None)
    return function if _is_torchs_own(function) else _UNKNOWN


#: What the fast path of a scalar bypasses, each as torch made it.
ADD_SCALAR = _own(SummaryWriter, "add_scalar")
ADD_SUMMARY = _own(FileWriter, "add_summary")
ADD_EVENT = _own(FileWriter, "add_event")

#: tensorboard's own event writer: a tracker may have put a subclass under its name already.
EVENT_FILE_WRITER: Any = next(
    base
    for base in event_file_writer.EventFileWriter.__mro__
    if base.__module__ == event_file_writer.__name__
)
if not hasattr(torch_writer, "EventFileWriter"):
    logger.info("%s has no EventFileWriter: tensorboard's is used", torch_writer.__name__)
    torch_writer.EventFileWriter = EVENT_FILE_WRITER


def hooked(name: str) -> bool:
    """Tell whether a tracker has hooked this method of torch's class, and wants to be called."""
    return getattr(SummaryWriter, name) is not _OWN.get(name)


def is_add_hparams(code: CodeType, module: Any = torch_writer) -> bool:
    """Tell whether a code object is that of a module's own ``add_hparams``, be it hooked or not."""
    return code.co_name == "add_hparams" and code.co_filename == module.__file__
