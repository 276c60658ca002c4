"""A drop-in ``SummaryWriter`` that cannot lose, hide or mix up what a training run logs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from safewriter._errors import (
        ArgumentError,
        ArgumentTypeError,
        ArgumentValueError,
        BaselineWarning,
        DataWarning,
        EmptyRunWarning,
        ForkedWriterWarning,
        InvisibleValueWarning,
        MissingStepWarning,
        RankWarning,
        RelativePathWarning,
        ReusedRunWarning,
        RunDirectoryError,
        RunLockedError,
        RunWarning,
        SafeWriterError,
        SafeWriterWarning,
        SharedTagWarning,
        SplitRunWarning,
        StepOrderWarning,
        TagKindWarning,
        TagNameWarning,
        TagOrderWarning,
        UnlockedRunWarning,
        WriteErrorWarning,
    )
    from safewriter._patch import is_patched, patch, unpatch
    from safewriter._writer import SafeSummaryWriter
    from safewriter.runs import list_runs

    from . import doctor, events, runs

# Loaded on first use: importing torch's writer early would come before the import hooks of
# trackers, and the command line has no use for torch.
_ROOMS = {
    "SafeSummaryWriter": "_writer",
    "is_patched": "_patch",
    "list_runs": "runs",
    "patch": "_patch",
    "unpatch": "_patch",
}

__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "ArgumentValueError",
    "BaselineWarning",
    "DataWarning",
    "EmptyRunWarning",
    "ForkedWriterWarning",
    "InvisibleValueWarning",
    "MissingStepWarning",
    "RankWarning",
    "RelativePathWarning",
    "ReusedRunWarning",
    "RunDirectoryError",
    "RunLockedError",
    "RunWarning",
    "SafeSummaryWriter",
    "SafeWriterError",
    "SafeWriterWarning",
    "SharedTagWarning",
    "SplitRunWarning",
    "StepOrderWarning",
    "TagKindWarning",
    "TagNameWarning",
    "TagOrderWarning",
    "UnlockedRunWarning",
    "WriteErrorWarning",
    "doctor",
    "events",
    "is_patched",
    "list_runs",
    "patch",
    "runs",
    "unpatch",
]


if not TYPE_CHECKING:  # A type checker would take any name for one of ours.

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name in ("doctor", "events", "runs"):
            return import_module(f".{name}", __name__)
        value = getattr(import_module(f".{_ROOMS.get(name, '_errors')}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
