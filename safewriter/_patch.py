"""patch(): makes torch's own SummaryWriter safe, for code that nobody edits."""

from __future__ import annotations

import inspect
from types import TracebackType
from typing import Any, ClassVar

from torch.utils.tensorboard.writer import SummaryWriter

from safewriter import _lifecycle
from safewriter._errors import ArgumentTypeError
from safewriter._run.request import check_arguments
from safewriter._torch import constructor, importing
from safewriter._writer import SafeSummaryWriter

_SIGNATURE = inspect.signature(SafeSummaryWriter.__init__)
# The arguments of torch that a writer has even if only torch's own __init__ ran.
_TORCHS = frozenset(inspect.signature(SummaryWriter.__init__).parameters) - {"comment"}

# Those in force, the latest last. ``state_lock`` protects it.
_patches: list[Patch] = []


class PatchedSummaryWriter(SafeSummaryWriter):
    """What ``SummaryWriter(...)`` makes while patched: a safe writer with the patch's defaults."""

    _defaults: ClassVar[dict[str, Any]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        given = _SIGNATURE.bind_partial(self, *args, **kwargs).arguments
        given.pop("self")
        super().__init__(**{**self._defaults, **given})


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


def patch(*, tensorboardx: bool = True, **defaults: Any) -> Patch:
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
    unknown = sorted(set(defaults) - set(_SIGNATURE.parameters) | set(defaults) & {"self"})
    if unknown:
        raise ArgumentTypeError(
            f"patch() got {', '.join(map(repr, unknown))}, but its keywords are tensorboardx "
            f"and those of SafeSummaryWriter: {', '.join(list(_SIGNATURE.parameters)[1:])}",
            argument=unknown[0],
        )
    if tensorboardx is not True:
        defaults["tensorboardx"] = tensorboardx
    check_arguments(defaults)
    made = Patch(defaults)
    with _lifecycle.state_lock:
        _patches.append(made)
        _apply()
    if tensorboardx:
        importing.reach()
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
    defaults = {"tensorboardx": bool(_patches), **(_patches[-1]._defaults if _patches else {})}
    tensorboardx = defaults.pop("tensorboardx")
    PatchedSummaryWriter._defaults = defaults
    PatchedSummaryWriter._unasked = {
        name: value for name, value in defaults.items() if name not in _TORCHS
    }
    constructor.choose(PatchedSummaryWriter if _patches else None, tensorboardx=tensorboardx)


for _public in (patch, unpatch, is_patched):
    _public.__module__ = "safewriter"
