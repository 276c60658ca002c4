"""The writer: torch's ``SummaryWriter``, safe."""

from __future__ import annotations

import contextlib
import functools
import os
import posixpath
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn

from torch.utils.tensorboard.writer import SummaryWriter

from safewriter import _lifecycle
from safewriter._errors import (
    ArgumentTypeError,
    InvisibleValueWarning,
    RunDirectoryError,
    RunLockedError,
    WriteErrorWarning,
    warn,
)
from safewriter._ledger.tag_words import EVAL_TAGS, TRAIN_TAGS
from safewriter._run import registry
from safewriter._run.directory import explained, is_remote, may_pass, resolve
from safewriter._run.ending import FINISHED, ending_of
from safewriter._run.process import this_process
from safewriter._run.request import RunRequest, make_request
from safewriter._run.run import Member, Run
from safewriter._torch import constructor, hooks, hparams, summaries
from safewriter._torch.file_writer import RunFileWriter, TorchFileWriter, step_of
from safewriter._torch.series import AllWriters, series_name
from safewriter._torch.valid_text import valid_text

if TYPE_CHECKING:
    from typing_extensions import Self

StrPath = str | os.PathLike[str]


class SafeSummaryWriter(SummaryWriter):
    """A ``SummaryWriter`` that cannot lose, hide or mix up what a training run logs.

    Args:
        log_dir: Directory of the run or, with `unique`, of the runs; ``runs`` if None or empty. One
            whose name carries the time of this start already is that of the run. A relative path
            is made absolute at once, against `root`, else ``$SAFEWRITER_ROOT``, else the current
            directory. A path with a scheme (``s3://``) is passed on to tensorboard.
        comment: Appended to the name of a unique run directory.
        purge_step: Continue the run that ``resume=True`` would; what was logged there from this
            step on is hidden by the readers that honour it.
        max_queue: Accepted, and without effect on a local directory: there is no queue.
        flush_secs: Accepted, and without effect on a local directory, in seconds: an event is in
            the kernel when ``add_*`` returns.
        filename_suffix: Appended to the name of the event file, if this writer is the one that
            makes it. A writer that joins a run logs to the file that is there: TensorBoard reads
            one file of a directory after the other, so two at a time would hide points.
        unique: Make a directory ``<time>[_comment][_rankN]`` below `log_dir` for each run. A run is
            one start of a program: writers of one process on one `log_dir` share it. If False, the
            run is exactly `log_dir`, or without one torch's own ``runs/<when_host><comment>``.
        resume: Continue the newest run under `log_dir`, or `log_dir` itself if it is a run, in a
            new event file; without one, begin a new run. With a `comment`, and on each of several
            ranks, only a run of the same name is continued, and with ``unique=False`` only
            `log_dir` itself. A run that a live process writes is passed over, or refused if it is
            `log_dir` itself. Steps may be logged again: TensorBoard's default reader then hides the
            earlier points of the same tag from that step on. Its Python reader
            (``--load_fast=false``) hides the earlier points of all tags from the first step at
            which a curve is logged again, so a tag that is not logged again ends there. Of curves
            that count slower than others, epochs beside batches, it shows both the earlier and the
            new points. Give `purge_step` as well to name the step from which on it hides.
        root: Where a relative `log_dir` begins; ``"project"`` is the project's root.
        join: Which run a further writer on the same `log_dir` writes. None: that of the earlier
            ones, unless what it logs begins a new round, such as a step below the last one. False:
            a new one, so each writer has a directory of its own. True: always theirs.
        ranks: ``"all"`` ranks of a distributed job log, each to its own run, or only rank
            ``"zero"``, while the others are silent.
        train_tags: Words that make a tag a training tag.
        eval_tags: Words that make a tag an evaluation tag.

    Raises:
        RunDirectoryError: The run directory cannot be made or used.
        RunLockedError: Another process is writing it.
        ArgumentValueError: An argument's value is wrong.
        ArgumentTypeError: An argument's type is wrong.
    """

    _member: Member | None = None
    # The file writers of this writer, by what they are called below the run; empty when closed.
    _files: dict[str, RunFileWriter]
    # What add_hparams was given, of all calls together.
    _hparams: Mapping[str, Any] = MappingProxyType({})
    _file_writer_class: type[RunFileWriter] = TorchFileWriter
    # What holds for a writer that did not have our arguments, because only torch's __init__ ran.
    _unasked: ClassVar[Mapping[str, Any]] = {}

    def __init__(
        self,
        log_dir: StrPath | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: float = 120,
        filename_suffix: str = "",
        *,
        unique: bool = True,
        resume: bool = False,
        root: StrPath | None = None,
        join: bool | None = None,
        ranks: Literal["all", "zero"] = "all",
        train_tags: Iterable[str] = TRAIN_TAGS,
        eval_tags: Iterable[str] = EVAL_TAGS,
    ) -> None:
        self._join(
            make_request(
                log_dir,
                comment,
                purge_step,
                max_queue,
                flush_secs,
                filename_suffix,
                unique=unique,
                resume=resume,
                root=root,
                join=join,
                ranks=ranks,
                train_tags=train_tags,
                eval_tags=eval_tags,
            )
        )
        directory = self._run.directory
        super().__init__(
            Path(directory) if isinstance(log_dir, Path) else directory,
            comment,
            purge_step,
            max_queue,
            flush_secs,
            filename_suffix,
        )

    def _join(self, request: RunRequest) -> Member:
        self._files = {}
        member = self._member = Member(self)
        # Before it joins: a writer whose construction is interrupted leaves as well.
        _lifecycle.when_collected(self, member.leave)
        registry.join(request, member)
        return member

    @property
    def _run(self) -> Run:
        assert self._member is not None
        return self._member.run

    @property
    def _directory(self) -> str:
        """The directory of the run; asking for it decides nothing."""
        if self._member is None:
            return str(self.__dict__.get("_given_log_dir", ""))
        return self._run.directory

    @property
    def log_dir(self) -> str | Any:
        """The directory of the run, absolute; it follows where the run goes.

        A ``Path`` if the writer was given one, else a ``str``. Asking a new writer settles which
        run it writes, since files may follow.
        """
        given: str | Path = self.__dict__.get("_given_log_dir", "")
        if self._member is None:
            return given
        registry.decide_by_reading(self._member)
        self._member.was_read = True
        return Path(self._directory) if isinstance(given, Path) else self._directory

    @log_dir.setter
    def log_dir(self, value: str | Path) -> None:
        self._given_log_dir = value

    @property
    def file_writer(self) -> Any:
        """The run's own file writer, a subclass of torch's; None when closed."""
        return getattr(self, "_files", {}).get("")

    @file_writer.setter
    def file_writer(self, value: None) -> None:
        """Torch's constructor and ``close()`` set it to None; :attr:`all_writers` does the work."""

    @property
    def all_writers(self) -> Any:
        """The file writers by their directories; None when closed."""
        if getattr(self, "_files", None) or getattr(_inside, "writer", None) is self:
            return AllWriters(self)
        return None

    @all_writers.setter
    def all_writers(self, value: None) -> None:
        self._files = {}

    def _get_file_writer(self) -> RunFileWriter:
        writer = self._files.get("")
        if writer is None:
            if self._member is None:
                self._join_as_told()
            writer = self._files.setdefault("", self._new_file_writer())
            step, self.purge_step = self.purge_step, None
            if step is not None:
                writer.announce_restart(step)
                self._run.rewind(step)
        return writer

    def _new_file_writer(self, subdir: str = "", series: str | None = None) -> RunFileWriter:
        assert self._member is not None
        return self._file_writer_class(
            self._member,
            self.max_queue,
            self.flush_secs,
            self.filename_suffix,
            subdir=subdir,
            series=series,
        )

    def _join_as_told(self) -> None:
        origin = self.__dict__.pop("_origin", None)
        if origin is not None:
            member = self._join(registry.request_of_received(*origin))
            member.is_copy = True
            registry.note_received(origin[0], member)
        else:
            # Only torch's __init__ ran: a subclass named it instead of calling super().
            told = {
                "purge_step": self.purge_step,
                "max_queue": self.max_queue,
                "flush_secs": self.flush_secs,
                "filename_suffix": self.filename_suffix,
            }
            given = self.__dict__.get("_given_log_dir")
            self._join(make_request(given, **{**self._unasked, **told}))

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """Write one point of the curve `tag`; see torch's ``SummaryWriter.add_scalar``.

        `scalar_value` is a number, or an array or tensor of one element. The point is in the kernel
        when this returns. Raises what torch raises, and :class:`ArgumentValueError` for a step
        outside int64 or a wall time that is not finite.
        """
        if walltime is None and self._member is not None:
            fast = self._member.fast_scalars.get(tag)
            if (
                fast is not None
                and not new_style
                and not double_precision
                and fast.write(scalar_value, global_step)
            ):
                return
        with valid_text:
            super().add_scalar(
                tag,
                scalar_value,
                global_step,
                **_given(walltime=walltime, new_style=new_style, double_precision=double_precision),
            )

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Write a point of each series of `main_tag`; see torch's ``SummaryWriter.add_scalars``.

        Each series has a directory of its own below the run, ``<main_tag>_<series>``, as
        TensorBoard needs it to draw them in one chart. Any number of series works with a bounded
        number of open files. Raises :class:`RunDirectoryError` where one cannot be made.
        """
        if self._member is None:
            self._get_file_writer()
        assert self._member is not None
        if hooks.hooked("add_scalars"):
            with self._all_writers_stay(), valid_text:
                self._series_writers(main_tag, tag_scalar_dict)
                super().add_scalars(
                    main_tag, tag_scalar_dict, global_step, **_given(walltime=walltime)
                )
            return
        remaining: Mapping[str, Any] = tag_scalar_dict
        if walltime is None:
            walltime = time.time()
            fast_scalars = self._member.fast_scalars
            remaining = {
                series: value
                for series, value in tag_scalar_dict.items()
                if (fast := fast_scalars.get((main_tag, series))) is None
                or not fast.write(value, global_step, walltime)
            }
            if not remaining:
                return
        with valid_text:
            # All of them first: a value that is refused leaves no part of the others behind.
            points = [hooks.torch_writer.scalar(main_tag, value) for value in remaining.values()]
            for point in points[:1]:
                step_of(point, global_step, walltime)
            writers = self._series_writers(main_tag, remaining)
            for writer, point in zip(writers, points, strict=True):
                writer.add_summary(point, global_step, walltime)

    @property
    def _class_below(self) -> type[SafeSummaryWriter]:
        """What torch's ``add_hparams`` makes."""
        return _Unwritten if getattr(_inside, "unwritten", False) else _HparamsWriter

    @contextlib.contextmanager
    def _all_writers_stay(self) -> Iterator[None]:
        """Have torch's code find our file writers, whatever other threads close."""
        before = getattr(_inside, "writer", None)
        _inside.writer = self
        try:
            yield
        finally:
            _inside.writer = before

    def _series_writers(self, main_tag: str, names: Iterable[str]) -> list[RunFileWriter]:
        base = self._get_file_writer().directory
        called = [series_name(base, main_tag, series) for series in names]
        # Only now: a name that is refused leaves no part of the others behind.
        return [
            self._series_writer(name, series) for name, series in zip(called, names, strict=True)
        ]

    def _series_writer(self, name: str, series: str | None) -> RunFileWriter:
        files = self._files
        writer = files.get(name)
        if writer is None:
            # Several spellings of one directory share its event file.
            fresh = self._new_file_writer(posixpath.normpath(name), series)
            try:
                with explained(fresh.directory):
                    fresh.open()
            except RunDirectoryError as error:
                # The events of a series wait for a disk that refuses to make it.
                if not may_pass(error.__cause__):
                    raise
            writer = files.setdefault(name, fresh)
        return writer

    @valid_text
    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: int | None = None,
        bins: Any = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """Write a histogram of numbers of any shape; see torch's ``SummaryWriter.add_histogram``.

        With the default `bins` each costs a sixth of what torch's costs, for the same numbers.
        """
        summary = None
        default = isinstance(bins, str) and bins == "tensorflow" and max_bins is None
        if default and not hooks.hooked("add_histogram"):
            summary = summaries.histogram(tag, values, hooks.default_bins(self))
        options = {"bins": bins, "max_bins": max_bins}
        self._write("add_histogram", summary, tag, values, global_step, walltime, **options)

    @valid_text
    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        """Write an image; see torch's ``SummaryWriter.add_image``.

        `img_tensor` has the axes that `dataformats` names and 1, 3 or 4 channels: bytes in 0..255,
        or other numbers in 0..1. The PNG has the pixels of torch's in other, and often more, bytes.
        """
        hooked = hooks.hooked("add_image")
        summary = None if hooked else summaries.image(tag, img_tensor, dataformats)
        options = {"dataformats": dataformats}
        self._write("add_image", summary, tag, img_tensor, global_step, walltime, **options)

    @valid_text
    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        """Write a batch of images as a grid, eight in a row; see :meth:`add_image`."""
        hooked = hooks.hooked("add_images")
        summary = None if hooked else summaries.image(tag, img_tensor, dataformats)
        options = {"dataformats": dataformats}
        self._write("add_images", summary, tag, img_tensor, global_step, walltime, **options)

    @valid_text
    def add_video(
        self,
        tag: str,
        vid_tensor: Any,
        global_step: int | None = None,
        fps: float = 4,
        walltime: float | None = None,
    ) -> None:
        """Write videos as one animated GIF; see torch's ``SummaryWriter.add_video``.

        `vid_tensor` has the shape (videos, frames, channels, height, width) and 1, 3 or 4 channels:
        bytes in 0..255, or other numbers in 0..1. moviepy is not needed. Raises
        :class:`ArgumentValueError` for another shape, and for `fps` that is not positive.
        """
        hooked = hooks.hooked("add_video")
        summary = None if hooked else summaries.video(tag, vid_tensor, fps)
        self._write("add_video", summary, tag, vid_tensor, global_step, walltime, fps=fps)

    def add_text(
        self,
        tag: str,
        text_string: str,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Write a text, shown as Markdown; see torch's ``SummaryWriter.add_text``."""
        with valid_text:
            summary = None if hooks.hooked("add_text") else summaries.text(tag, text_string)
            self._write("add_text", summary, tag, text_string, global_step, walltime)

    def _write(
        self, method: str, summary: Any, tag: str, data: Any, step: Any, when: Any, **options: Any
    ) -> None:
        """Write a summary unless it is empty, or what torch's method makes where there is none."""
        if summary is None:
            getattr(super(), method)(tag, data, step, **_given(walltime=when, **options))
        elif summary.value:
            self._get_file_writer().add_summary(summary, step, when)

    @valid_text
    def add_hparams(
        self,
        hparam_dict: dict[str, Any],
        metric_dict: dict[str, Any],
        hparam_domain_discrete: dict[str, list[Any]] | None = None,
        run_name: str | None = None,
        global_step: int | None = None,
    ) -> None:
        """Write hyperparameters, a row of TensorBoard's HParams page, and metrics.

        Without `run_name` they belong to the run itself: its curves are the metrics of its row, and
        those of `metric_dict` are further points of them, at `global_step` or else behind the last
        one. Keys of another call are added, or take the place of those that were there: a
        TensorBoard that shows the run already shows that after its next start. The row ends with
        the run, as a success or a failure. Values may be nested and of any type: see
        ``docs/hparams.md``. `hparam_domain_discrete` makes TensorBoard take the columns for all
        runs from this one.

        With `run_name`, torch's layout: a run of that name below this one, with its own metrics.

        Raises :class:`ArgumentTypeError` if one of the two is no mapping, and what torch raises for
        a metric that is no number.
        """
        for name, given in (("hparam_dict", hparam_dict), ("metric_dict", metric_dict)):
            if not isinstance(given, Mapping):
                raise ArgumentTypeError(
                    f"{name} is a {type(given).__name__}, but the names of hyperparameters and "
                    'metrics come from a dict: pass {"lr": 0.1}',
                    argument=name,
                )
        metrics = dict(metric_dict)
        others = _given(hparam_domain_discrete=hparam_domain_discrete, global_step=global_step)
        if run_name:
            # torch leaves out what is None.
            values = hparams.flat({k: v for k, v in hparam_dict.items() if v is not None})
            log = functools.partial(super().add_hparams, values, metrics, run_name=run_name)
            self._log_hparams((values, hparam_domain_discrete), lambda: log(**others))
            return
        writer = self._get_file_writer()
        if self._run.place.is_silent:
            return
        values = hparams.flat(hparam_dict)
        experiment = None
        if hparam_domain_discrete:
            experiment, _, _ = hooks.torch_writer.hparams(values, metrics, hparam_domain_discrete)
        with valid_text:
            for tag, value in metrics.items():  # What is refused leaves no part of it behind.
                step_of(hooks.torch_writer.scalar(tag, value), global_step, None)
        if hooks.hooked("add_hparams"):
            _inside.unwritten = True
            try:
                super().add_hparams(values, metrics, **others)
            finally:
                _inside.unwritten = False
        self._hparams = {**self._hparams, **values}
        writer.begin_session(self._hparams, experiment)
        for tag, value in metrics.items():
            write = functools.partial(SafeSummaryWriter.add_scalar, self, tag, value)
            writer.log_metric(write, tag, global_step)

    def _log_hparams(self, content: object, log: Callable[[], None]) -> None:
        writer = self._get_file_writer()
        if self._run.place.is_silent:
            return
        writer.begin_hparams(hash(repr(content)))
        self._run.used = True
        try:
            log()
        except RunDirectoryError as error:
            if not may_pass(error.__cause__):
                raise
            warn(WriteErrorWarning, f"hyperparameters are lost: {error}")
        except RunLockedError as error:
            warn(WriteErrorWarning, f"hyperparameters are lost: {error}")

    def add_embedding(
        self,
        mat: Any,
        metadata: Any = None,
        label_img: Any = None,
        global_step: int | None = None,
        tag: str = "default",
        metadata_header: Any = None,
    ) -> None:
        """Write vectors to files beside the events; see torch's ``SummaryWriter.add_embedding``."""
        self._get_file_writer()
        if self._run.place.is_silent:
            return
        self._run.used = True
        if not len(mat):
            text = f"the embedding {tag!r} has no vectors, and is not written: TensorBoard's "
            warn(InvisibleValueWarning, f"{text}Projector page could show none of this run then.")
            return
        try:
            super().add_embedding(
                mat,
                metadata,
                label_img,
                global_step,
                tag,
                **_given(metadata_header=metadata_header),
            )
        except OSError as error:
            warn(
                WriteErrorWarning,
                f"the embedding {tag!r} of step {global_step or 0} is lost: its files cannot be "
                f"written to {self._run.directory!r} ({error.strerror or error}). TensorBoard's "
                "Projector page does not show it. Training goes on; make room, or log it again.",
            )

    def get_logdir(self) -> str | Any:
        """Return the directory of the run, absolute, in the type of :attr:`log_dir`."""
        return self.log_dir

    def close(self) -> None:
        """Leave the run; the last writer to leave closes it. May be called any number of times.

        A writer that logs again afterwards opens the run again.
        """
        try:
            if hooks.hooked("close"):
                with self._all_writers_stay():
                    super().close()
            files, self._files = self._files, {}
            for writer in list(files.values()):
                writer.close()
        finally:
            if self._member is not None:
                self._member.leave()
        _lifecycle.catch_up()

    def flush(self) -> None:
        """Try again what the disk has refused. Nothing else waits: events are in the kernel."""
        for writer in list(self._files.values()):
            writer.flush()
        if self._member is not None and not self._member.left:
            self._run.flush()  # Also what a writer left behind that was closed.

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        ending = ending_of(exc_val)
        if self._member is not None and ending != FINISHED:
            self._run.ending = ending
        super().__exit__(exc_type, exc_val, exc_tb)  # type: ignore[no-untyped-call]

    def __repr__(self) -> str:
        state = "closed" if self.all_writers is None else "open"
        # Asking for its log_dir would decide which run it writes.
        return f"<{type(self).__name__} {self._directory!r}, {state}>"

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_files": {}}
        if state.pop("_member", None) is not None:
            request = replace(self._run.request, suffix=self.filename_suffix)
            state["_origin"] = str(self.log_dir), this_process(), request
        return state

    def __copy__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} cannot be copied: a copy would be the same writer under another name. Share "
            "the writer, or make another one."
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> NoReturn:
        self.__copy__()


def _given(**arguments: Any) -> dict[str, Any]:
    """Return the arguments that torch's methods do not have anyway.

    A tracker's wrapper takes what users write: those that are required and the step by position,
    the others by keyword, and may not know all of them.
    """
    return {
        name: value for name, value in arguments.items() if value is not None and value is not False
    }


def _inherited(name: str) -> Any:
    """Return torch's method, looked up when it is called: a tracker may have hooked it by then."""

    @functools.wraps(getattr(SummaryWriter, name))
    def method(self: SafeSummaryWriter, *args: Any, **kwargs: Any) -> None:
        with valid_text:
            getattr(super(SafeSummaryWriter, self), name)(*args, **kwargs)

    return method


for _name in (
    "add_tensor",
    "add_histogram_raw",
    "add_image_with_boxes",
    "add_figure",
    "add_audio",
    "add_pr_curve",
    "add_pr_curve_raw",
    "add_mesh",
):
    setattr(SafeSummaryWriter, _name, _inherited(_name))


SafeSummaryWriter.__module__ = "safewriter"  # as users know it


_inside = threading.local()


class _HparamsWriter(SafeSummaryWriter):
    """The writer that torch's ``add_hparams`` makes, in exactly the directory that it names."""

    def __init__(self, log_dir: str) -> None:
        directory = log_dir if is_remote(log_dir) else resolve(log_dir)
        self._join(RunRequest(directory, unique=False, continues=True))
        super(SafeSummaryWriter, self).__init__(log_dir)


class _Unwritten(_HparamsWriter):
    """Takes what torch's ``add_hparams``, called for a tracker's hook, writes to a run below."""

    def __init__(self, log_dir: str) -> None:
        self._files = {"": self}  # type: ignore[dict-item]

    def add_summary(self, summary: Any, global_step: Any = None) -> None:
        """Write nothing."""

    def add_scalar(self, *args: Any, **kwargs: Any) -> None:
        """Write nothing."""

    def close(self) -> None:
        """Do nothing."""


constructor.install_torchs(_HparamsWriter, SafeSummaryWriter)
