"""tensorboardX's ``SummaryWriter``, safe. Imported once tensorboardX itself is, and never before.

Its API and its code stay. Each of its writers has a safe writer, whose run it is, and whose file
writers are tensorboardX's: its protocol buffers are other classes, with the same fields and bytes.
"""

from __future__ import annotations

import functools
import inspect
import sys
from types import FrameType
from typing import Any

from tensorboardX import writer as library
from tensorboardX.event_file_writer import EventFileWriter
from tensorboardX.writer import FileWriter, SummaryWriter

from safewriter._run.directory import is_remote
from safewriter._run.ending import FINISHED, ending_of
from safewriter._torch import constructor, hooks
from safewriter._torch.event_writer import RunEventWriter
from safewriter._torch.file_writer import RunFileWriter
from safewriter._torch.series import AllWriters


class XEventWriter(EventFileWriter, RunEventWriter):  # type: ignore[misc]  # untyped, as all here
    """tensorboardX's event writer with an event file of ours in place of its queue and thread."""

    module = library
    __init__, flush, close = RunEventWriter.__init__, RunEventWriter.flush, RunEventWriter.close
    # Its users take the file's name from the one; its code, and what hooks it, use the other.
    _ev_writer = _event_queue = property(lambda self: self)
    _closed = False

    def put(self, event: Any) -> None:
        self._sink.write(event)


class XFileWriter(RunFileWriter, FileWriter):  # type: ignore[misc]
    """tensorboardX's file writer, safe."""

    _event_writer_class = XEventWriter
    _default_metadata: dict[str, Any] = {}  # noqa: RUF012  # use_metadata() puts others there

    def _check(self, summary: Any, given: Any, walltime: float | None) -> Any:
        given = self._default_metadata.get("global_step") if given is None else given
        return super()._check(summary, given, walltime)

    def get_logdir(self) -> str:
        if sys._getframe(1).f_code.co_name == "add_scalars":
            return self.directory  # Only to name the series: it must not decide which run it is.
        self._member.run.used = True  # An embedding's files, for example.
        return super().get_logdir()


class XWriter(SummaryWriter):  # type: ignore[misc]
    """What calling tensorboardX's ``SummaryWriter`` makes while patched."""

    # None where tensorboardX is to write nothing, or to a directory with a scheme.
    _safe: Any = None
    logdir = property(  # It follows where the run goes.
        lambda self: vars(self)["logdir"] if self._safe is None else self._safe.log_dir,
        lambda self, value: vars(self).update(logdir=value),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._given = _SIGNATURE.bind(*args, **kwargs).arguments
        super().__init__(*args, **kwargs)

    def _get_file_writer(self) -> Any:
        if self._safe is None:
            logdir = vars(self)["logdir"]
            # Without arguments, only tensorboardX's __init__ ran: a subclass named it.
            given = self.__dict__.pop("_given", {"logdir": logdir, "purge_step": self.purge_step})
            if not self._write_to_disk or is_remote(str(logdir)):
                return super()._get_file_writer()
            self._safe = self._make_safe(given)
        self.file_writer = self._safe._get_file_writer()
        self.all_writers = AllWriters(self._safe)
        return self.file_writer

    def _make_safe(self, given: dict[str, Any]) -> Any:
        arguments = {name: given[name] for name in _SHARED & given.keys()} | given.get("kwargs", {})
        if log_dir := given.get("logdir") or given.get("log_dir"):
            arguments["log_dir"] = log_dir
        is_hparams = isinstance(self, XHparamsWriter)
        cls = constructor.for_hparams if is_hparams else constructor.everywhere
        safe = object.__new__(cls or constructor.safe_base)
        safe._file_writer_class = XFileWriter  # Before its constructor makes one.
        type(safe).__init__(safe, **arguments)
        return safe

    def add_embedding(self, *args: Any, **kwargs: Any) -> None:
        if self._safe is None or not self._safe._run.place.is_silent:
            super().add_embedding(*args, **kwargs)

    def add_hparams(self, hparam_dict: Any, *args: Any, **kwargs: Any) -> None:
        self._get_file_writer()
        log = functools.partial(super().add_hparams, hparam_dict, *args, **kwargs)
        log() if self._safe is None else self._safe._log_hparams(hparam_dict, log)

    def close(self) -> None:
        if self._safe is not None:
            self._safe.close()
        super().close()

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        if self._safe is not None and ending_of(exc_value) != FINISHED:
            self._safe._run.ending = ending_of(exc_value)
        super().__exit__(exc_type, exc_value, traceback)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"file_writer": None, "all_writers": None}


class XHparamsWriter(XWriter):
    """What tensorboardX's ``add_hparams`` makes, in exactly the directory that it names."""


def _choice(cls: type, maker: FrameType) -> type:
    if cls is SummaryWriter and hooks.is_add_hparams(maker.f_code, library):
        return XHparamsWriter if isinstance(maker.f_locals.get("self"), XWriter) else cls
    # Its GlobalSummaryWriter needs the queue: with it several processes write one curve.
    is_global = maker.f_globals.get("__name__") == "tensorboardX.global_writer"
    is_on = constructor.reaches_tensorboardx and not is_global
    return constructor.extended(cls, XWriter) if is_on else cls


_SIGNATURE = inspect.signature(SummaryWriter)
_SHARED = {"comment", "purge_step", "max_queue", "flush_secs", "filename_suffix"}
constructor.install(SummaryWriter, _choice)
