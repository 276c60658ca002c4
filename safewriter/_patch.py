"""patch(): makes torch's own SummaryWriter safe, for code that nobody edits."""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any

from safewriter import _lifecycle
from safewriter._errors import ArgumentTypeError
from safewriter._run.request import check_arguments, make_request
from safewriter._torch.importing import when_imported

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal, TypedDict

    from typing_extensions import Unpack

    from safewriter._run.request import StrPath

    class Defaults(TypedDict, total=False):
        """The keyword arguments of a writer, for editors and type checkers."""

        log_dir: StrPath | None
        comment: str
        purge_step: int | None
        max_queue: int
        flush_secs: float
        filename_suffix: str
        unique: bool
        resume: bool
        root: StrPath | None
        join: bool | None
        ranks: Literal["all", "zero"]
        train_tags: Iterable[str]
        eval_tags: Iterable[str]


# Torch's writer is imported by the program: trackers hook that import.
_TORCHS = "torch.utils.tensorboard.writer"
_KEYWORDS = tuple(inspect.signature(make_request).parameters)

# Those in force, the latest last. ``state_lock`` protects it.
_patches: list[Patch] = []


class Patch:
    """The result of :func:`patch`: a context manager that undoes it."""

    def __init__(self, defaults: dict[str, Any]) -> None:
        self._defaults = defaults

    def __repr__(self) -> str:
        keywords = ", ".join(f"{name}={value!r}" for name, value in self._defaults.items())
        if self not in _patches:
            state = "undone"
        elif self is _patches[-1]:
            state = "in force"
        else:
            state = "in force once later ones are undone"
        return f"<safewriter.patch({keywords}), {state}>"

    def __enter__(self) -> Patch:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with _lifecycle.state_lock:
            if self in _patches:
                _patches.remove(self)
        _apply()


def patch(*, tensorboardx: bool = True, **defaults: Unpack[Defaults]) -> Patch:
    """Make ``torch.utils.tensorboard.SummaryWriter(...)`` make safe writers, everywhere.

    It does not matter where the name was imported, before or after. Calling a subclass makes an
    instance of it that is a safe writer as well, and stays one. `defaults` are keyword arguments of
    :class:`SafeSummaryWriter` for every writer that is not given them; the latest patch's hold.

    With `tensorboardx`, so it is with tensorboardX's ``SummaryWriter``, now or once it is imported:
    its API stays, while its events go to a run and a file of ours, without a queue or a thread.
    Directories with a scheme and its ``GlobalSummaryWriter``, for several processes, stay its own.

    Returns a context manager that undoes this patch; torch's writers are made again once every
    patch is undone. Raises :class:`ArgumentTypeError`, :class:`ArgumentValueError` or
    :class:`RunDirectoryError` at once for an unknown keyword or a value that no writer could take,
    and then nothing is patched.
    """
    given: dict[str, Any] = {**defaults}
    unknown = sorted(set(given) - set(_KEYWORDS))
    if unknown:
        raise ArgumentTypeError(
            f"patch() got {', '.join(map(repr, unknown))}, but its keywords are tensorboardx "
            f"and those of SafeSummaryWriter: {', '.join(_KEYWORDS)}",
            argument=unknown[0],
        )
    if tensorboardx is not True:
        given["tensorboardx"] = tensorboardx
    check_arguments(given)
    made = Patch(given)
    with _lifecycle.state_lock:
        _patches.append(made)
    when_imported(_TORCHS, _apply)
    if tensorboardx:
        when_imported("tensorboardX.writer", _reach_tensorboardx)
    return made


def unpatch() -> None:
    """Undo every :func:`patch`; writers made meanwhile stay as they are, and safe."""
    with _lifecycle.state_lock:
        _patches.clear()
    _apply()


def is_patched() -> bool:
    """Tell whether ``torch.utils.tensorboard.SummaryWriter(...)`` makes safe writers now."""
    return bool(_patches)


def _apply() -> None:
    if _TORCHS not in sys.modules:
        return  # Done when the program imports it.
    from safewriter import _patched  # Not under the lock: this may wait for another thread.

    with _lifecycle.state_lock:
        _patched.choose(_patches[-1]._defaults if _patches else None)


def _reach_tensorboardx() -> None:
    import_module(_TORCHS)  # Before what is based on it: that import is waited for, too.
    from safewriter import _patched

    _patched.reach_tensorboardx()


# For those who ask the function itself, such as IPython's completion.
patch.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [
        inspect.signature(patch).parameters["tensorboardx"],
        *(
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in inspect.signature(make_request).parameters.values()
        ),
    ]
)

for _public in (patch, unpatch, is_patched):
    _public.__module__ = "safewriter"
