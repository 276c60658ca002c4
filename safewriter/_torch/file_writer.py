"""The one door: every event of every kind passes here on its way to the event file."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from google.protobuf.message import EncodeError
from google_crc32c import value as crc32c
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.writer import FileWriter

from safewriter import _lifecycle
from safewriter._errors import ArgumentValueError, InvisibleValueWarning, tell, warn
from safewriter._kinds import scalar_value, value_kind
from safewriter._ledger.ledger import INT64_MAX, INT64_MIN, TagLedger, Verdict
from safewriter._run import session
from safewriter._run.part import Part
from safewriter._run.registry import decide_by_reading, start_over, undecided
from safewriter._run.run import Member, Run, ready
from safewriter._torch.event_writer import RunEventWriter, make_event_writer, serialize, too_large
from safewriter._torch.fast_scalar import FastScalar
from safewriter._torch.unseen import EMPTY, ONE_OF_A_RUN, unseen

# What has no points: the hparams plugin's messages carry no value, and this is a layout.
_LAYOUT_TAG = "custom_scalars__config__"
# What has no points, in the ledger's contents.
_GRAPH, _HPARAMS, _LAYOUT = "\0graph", "\0hparams", "\0layout"


class _Passing(NamedTuple):
    """What was judged of the event that this thread has on its way, through torch and hooks."""

    door: RunFileWriter
    binding: _Binding
    verdicts: list[Verdict]
    waits: bool


_inside = threading.local()

# Of an event that has no value, such as a graph.
_NO_VALUE = Verdict("", None, None, None)


class _Binding(NamedTuple):
    """Where the writer is: replaced as a whole, so that no thread sees half of it."""

    run: Run
    generation: int
    part: Part


class RunFileWriter(FileWriter if TYPE_CHECKING else object):  # type: ignore[misc]
    """Checks what passes to one directory of a run, and follows the run.

    On a library's ``FileWriter``, whose code and hooks run between the check and the append.
    """

    _event_writer_class: ClassVar[type[RunEventWriter]] = RunEventWriter

    def __init__(
        self,
        member: Member,
        max_queue: int,
        flush_secs: float,
        filename_suffix: str,
        *,
        subdir: str = "",
        series: str | None = None,
    ) -> None:
        # Not super().__init__(): it would open an event file of its own.
        self._member = member
        self._subdir = subdir
        self._series = series
        self._arguments = (max_queue, flush_secs, filename_suffix)
        self._binding: _Binding | None = None
        self.event_writer: RunEventWriter
        self._follow()

    def _follow(self) -> _Binding:
        """Be where the run is: it may have moved, been closed, or belong to a parent process."""
        binding = self._binding
        if binding is None or not binding.run.has(self._member, binding.generation):
            generation = ready(self._member)
            run = self._member.run
            part = run.prepare(self._subdir, generation, self._arguments[2])
            directory = part.file.directory
            if (
                binding is None
                or binding.part is not part
                or directory != self.event_writer._logdir
            ):
                self.event_writer = make_event_writer(
                    self._event_writer_class, self, directory, *self._arguments
                )
                # One for all fast paths: a bound method for each tag would be a tenth of its
                # memory.
                self._append = part.file.append
            binding = self._binding = _Binding(run, generation, part)
        return binding

    @property
    def path(self) -> str | None:
        """The event file."""
        return self._binding.part.file.path if self._binding else None

    @property
    def directory(self) -> str:
        """Where the event file is, or is going to be if nothing moves the writer."""
        return self._follow().part.file.directory

    def get_logdir(self) -> str:
        """Return the directory where the event file is; a new writer stays there."""
        decide_by_reading(self._member)
        self._member.was_read = True
        return self.directory

    def open(self) -> None:
        """Make the event file of a series, unless there is one. Raises ``OSError``.

        That of a new writer is made once it is known which run it writes.
        """
        binding = self._follow()
        if undecided(self._member) is None and binding.part.file.path is None:
            binding.part.file.open(binding.generation)

    def retry(self) -> None:
        """Try again what the disk has refused."""
        binding = self._binding
        # In a forked child, what waits there is the parent's.
        if binding is not None and binding.run.has(self._member, binding.generation):
            binding.part.file.flush()

    def add_event(self, event: Event, step: Any = None, walltime: float | None = None) -> None:
        """Check and write an event; see torch's ``FileWriter.add_event``.

        Raises ``ValueError`` for a step outside int64 and for a wall time that is not finite.
        """
        passing = getattr(_inside, "passing", None)
        if passing is not None and passing.door is self:
            super().add_event(event, step, walltime)
            return
        verdicts: list[Verdict] = []
        waits = False
        if event.HasField("summary"):
            step, verdicts, waits = self._check(
                event.summary, event.step if step is None else step, walltime
            )
        elif event.HasField("graph_def"):
            waits = self._check_content(_GRAPH, event.graph_def)
        else:  # What is run with a graph, for example.
            waits = undecided(self._member) is not None
        _inside.passing = _Passing(self, self._follow(), verdicts, waits)
        try:
            super().add_event(event, step, walltime)
        finally:
            _inside.passing = passing

    def add_summary(
        self, summary: Summary, global_step: Any = None, walltime: float | None = None
    ) -> None:
        """Check and write a summary; see torch's ``FileWriter.add_summary``.

        Raises ``ValueError`` for a step outside int64 and for a wall time that is not finite.
        """
        step, verdicts, waits = self._check(summary, global_step, walltime)
        before = getattr(_inside, "passing", None)
        assert self._binding is not None
        _inside.passing = _Passing(self, self._binding, verdicts, waits)
        try:
            # Positional: trackers that wrap this take the step by its place.
            super().add_summary(summary, step, walltime)
        except EncodeError:
            raise too_large(summary) from None
        finally:
            _inside.passing = before
        if not waits:  # What waits is judged by a ledger of its own, and may go to another file.
            self._make_fast_path(summary, verdicts)

    def write(self, event: Event) -> None:
        """Write an event that comes from torch's code, through whatever hook."""
        passing = getattr(_inside, "passing", None)
        if passing is not None and passing.door is self:
            binding, verdicts, waits = passing.binding, passing.verdicts, passing.waits
        else:  # Somebody called the event writer itself.
            _, verdicts, waits = self._check(event.summary, event.step, None)
            binding = self._follow()
        payload = serialize(event)
        if waits:
            pending = undecided(self._member)
            if pending is not None and pending.keep(self._subdir, payload):
                return
            if pending is not None:
                pending.go_on()
            _, verdicts, _ = self._check(event.summary, event.step, None)
            binding = self._follow()
        first = verdicts[0] if verdicts else _NO_VALUE
        others = verdicts[1:]
        while True:
            _, generation, part = binding
            for verdict in verdicts:
                if verdict.is_news:
                    with part.lock:
                        part.ledger.admit(verdict, _lifecycle.cell())
            before = part.file.append(
                payload,
                time.time(),
                first.mark,
                first.step or 0,
                first.value,
                self._member,
                False,
                generation,
                others,
            )
            if before is not None:
                break
            binding = self._follow()  # The run was closed in between.
        if first.content is not None and first.mark is not None:
            first.mark.content = first.content
        if before != first.last or others:
            first.before = before
            for verdict in verdicts:
                with part.lock:
                    late = part.ledger.overtaken(verdict)
                tell(late)

    def announce_restart(self, step: int) -> None:
        """Hide what was logged from `step` on from the readers that obey a restart.

        TensorBoard's Python reader takes the first START of a directory for the first start and
        hides behind the later ones, so there are two; its default reader obeys none, but hides the
        points of a tag from a step on when that step is logged again.
        """
        before = getattr(_inside, "passing", None)
        _inside.passing = None
        try:
            for _ in range(2):
                self.add_event(Event(session_log=SessionLog(status=SessionLog.START)), step)
        finally:
            _inside.passing = before

    def _restart(self, step: int) -> None:
        """Announce a restart, and write again what it hides of this session's own events."""
        from safewriter._run.resume import logged_from  # Only a run that goes on has to read.

        _, generation, part = self._follow()
        hidden = logged_from(part.file.path, step) if part.file.path else []
        self.announce_restart(step)
        for payload in hidden:
            part.file.append(payload, time.time(), generation=generation)

    def _check(
        self, summary: Summary, given: Any, walltime: float | None
    ) -> tuple[int | None, list[Verdict], bool]:
        """Return the step to write, what the ledger says, and whether the event has to wait."""
        step = step_of(summary, given, walltime)
        rounded = given if step is not None and step != given else None
        verdicts: list[Verdict] = []
        self._follow()
        waits = self._has_to_wait(summary, step)
        for value in summary.value:
            if _is_a_point(value):
                check = self._check_waiting if waits else self._check_value
                verdict = check(value, step, rounded)
                if verdict.notices:
                    tell(verdict.notices)
                step = verdict.step
                verdicts.append(verdict)
            elif value.tag == _LAYOUT_TAG:
                _note_content(self._contents(), _LAYOUT, _content(value))
            elif not value.HasField("metadata"):
                warn(InvisibleValueWarning, f"tag {value.tag!r} {EMPTY}")
        if len(verdicts) > 1:
            for verdict in verdicts:
                verdict.step = step  # One event has one step.
        return step, verdicts, waits

    def _has_to_wait(self, summary: Summary, step: int | None) -> bool:
        """Tell whether nothing tells yet which run is written; what can tell decides it."""
        waiting = self._member.run.round
        if waiting is not None and waiting is not self._member.round:
            waiting.go_on()  # An earlier writer logs again: what waits comes before that.
        waits = undecided(self._member) is not None
        for value in summary.value:
            if _is_hparams(value):
                waits = self._check_content(value.tag, value)
            elif value.tag == session.END:
                self._contents()[value.tag] = session.FOREIGN
            elif waits and _is_a_point(value):
                waits = self._decides_nothing(value, step)
        return waits

    def _check_waiting(self, value: Summary.Value, step: int | None, given: Any) -> Verdict:
        pending, part = self._member.round, self._follow().part
        if pending is None:  # It was decided just now.
            return self._check_value(value, step, given)
        with part.lock:
            ledger = pending.ledgers.setdefault(self._subdir, part.ledger.blank())
            verdict = self._judge(ledger, value, step, given)
            ledger.admit(verdict, _lifecycle.cell())
            verdict.move(self._member)
        return verdict

    def _decides_nothing(self, value: Summary.Value, step: int | None) -> bool:
        pending = undecided(self._member)
        if pending is None or pending.is_moving:
            return pending is not None
        ledger = self._member.run.part(self._subdir).ledger
        starts_over = ledger.starts_over(value.tag, value_kind(value), step, _content(value))
        if starts_over:
            start_over(self._member, _starts_over(value.tag, step), pending)
        elif starts_over is False:
            pending.go_on()
        return undecided(self._member) is not None

    def _check_content(self, key: str, message: Any) -> bool:
        """Look at what has no points: other content of it than the run has begins a new round."""
        content = _content(message)
        contents = self._follow().part.ledger.contents
        pending = undecided(self._member)
        if pending is not None and contents.get(key, content) != content:
            start_over(self._member, _starts_over(key, None), pending)
            pending = undecided(self._member)
        _note_content(self._contents(), key, content)
        return pending is not None

    def _contents(self) -> dict[str, int]:
        """Return where the content is noted of what is logged now."""
        pending = undecided(self._member)
        ledger = self._follow().part.ledger
        if pending is not None:
            ledger = pending.ledgers.setdefault(self._subdir, ledger.blank())
        return ledger.contents

    def begin_session(
        self, hparams: Mapping[str, bool | float | str], experiment: Summary | None
    ) -> None:
        """Write hyperparameters into the run itself; what it had before, they take the place of."""
        content = hash(repr(hparams))
        is_known = self.begin_hparams(content)
        run, ledger = self._member.run, self._follow().part.ledger
        if is_known and session.START in ledger.contents:
            return
        is_first = session.START not in ledger.contents
        start = session.start_of(session.name_of(run.directory, run.request.log_dir), hparams)
        if experiment is not None:
            self.add_summary(experiment)
        self.add_summary(start)
        if not is_first and run.place.is_local:
            session.replace(self.directory, ledger.contents.get(session.END), start)

    def log_metric(self, write: Callable[[int | None], None], tag: str, step: int | None) -> None:
        """Write a metric of hyperparameters: at a step, else behind what its curve has."""
        ledger = self._follow().part.ledger
        is_placeholder = step is None and tag not in ledger.tags
        write(ledger.step_behind(tag) if step is None else step)
        if is_placeholder:
            self._follow().part.ledger.expect_again(tag)

    def begin_hparams(self, content: int) -> bool:
        """Decide which run a new writer writes, by its hyperparameters; tell if it has these."""
        contents = self._follow().part.ledger.contents
        pending = undecided(self._member)
        if pending is not None and _HPARAMS not in contents:
            pending.go_on()
        elif pending is not None and contents[_HPARAMS] != content:
            start_over(self._member, _starts_over("add_hparams", None), pending)
        decide_by_reading(self._member)
        contents = self._follow().part.ledger.contents
        is_known = contents.get(_HPARAMS) == content
        contents[_HPARAMS] = content
        return is_known

    def _check_value(self, value: Summary.Value, step: int | None, given: Any) -> Verdict:
        part = self._follow().part
        if step is not None and self._is_logged_anew(part, value.tag, step):
            start_over(self._member, _starts_over(value.tag, step))
            part = self._follow().part
        restart = part.restart_at(value.tag, step)
        if restart is not None:
            self._restart(restart)
        with part.lock:
            verdict = self._judge(part.ledger, value, step, given)
        other, member = None if verdict.mark is None else verdict.mark.logger, self._member
        is_copy = member.is_copy or getattr(other, "is_copy", False)
        if isinstance(other, Member) and other is not member and other.is_live() and not is_copy:
            verdict.share(other.location, member.location)
        return verdict

    def _judge(
        self, ledger: TagLedger, value: Summary.Value, step: int | None, given: Any
    ) -> Verdict:
        kind = value_kind(value)
        number = scalar_value(value) if kind == "scalar" else None
        why = unseen(value, kind)
        content = _content(value) if number is None else None
        # Interned: protobuf makes a new string at each look, and the fast path keeps one too.
        return ledger.judge(
            sys.intern(value.tag), kind, step, number, content=content, unseen=why, given=given
        )

    def _is_logged_anew(self, part: Part, tag: str, step: int) -> bool:
        """Tell whether a later execution of a notebook's cell logs a curve from its start again."""
        state = part.ledger.tags.get(tag)
        if state is None or not state.is_series or step > state.first:
            return False
        cell, request = _lifecycle.cell(), self._member.run.request
        return (
            cell is not None
            and state.cell not in (None, cell)
            and request.unique
            and request.join is None
            and _lifecycle.interactive()
        )

    def _make_fast_path(self, summary: Summary, verdicts: list[Verdict]) -> None:
        if len(verdicts) != 1 or verdicts[0].value is None or len(summary.value) != 1:
            return
        value, (verdict,) = summary.value[0], verdicts
        if value.WhichOneof("value") != "simple_value" or value.HasField("metadata"):
            return
        key = verdict.tag if self._series is None else (verdict.tag, self._series)
        fast_scalars = self._member.fast_scalars
        if verdict.mark is not None and verdict.mark.kind == "scalar" and key not in fast_scalars:
            fast_scalars[key] = FastScalar(verdict.tag, verdict.mark, self._append, self._member)


class TorchFileWriter(RunFileWriter, FileWriter):
    """torch's file writer, safe."""


def _is_a_point(value: Summary.Value) -> bool:
    return value.WhichOneof("value") is not None and value.tag != _LAYOUT_TAG


def _is_hparams(value: Summary.Value) -> bool:
    # What ends a session differs each time.
    return value.tag in ("_hparams_/experiment", session.START)


def _note_content(contents: dict[str, int], key: str, content: int) -> None:
    if key in ONE_OF_A_RUN and contents.get(key, content) != content:
        warn(InvisibleValueWarning, ONE_OF_A_RUN[key])
    contents[key] = content


def _content(message: Any) -> int:
    # Not hash(): of a large image it takes six times as long.
    data = message if isinstance(message, bytes) else message.SerializeToString()
    return int(crc32c(data))


def _starts_over(tag: str, step: int | None) -> str:
    at = "has other content" if step is None else f"starts over at {step}"
    return f"{tag!r} {at}"


def _tags(summary: Summary) -> str:
    return ", ".join(repr(value.tag) for value in summary.value) or "an event"


def step_of(summary: Summary, given: Any, walltime: float | None) -> int | None:
    """Return the step that was given as an integer.

    Raises ``ValueError`` for a step outside int64 and for a wall time that is not finite.
    """
    if walltime is not None and not math.isfinite(walltime):
        raise ArgumentValueError(
            f"walltime {walltime} of {_tags(summary)} is not finite: TensorBoard would stop "
            "reading the event file there; pass seconds since the epoch",
            argument="walltime",
        )
    if given is None:
        return None
    try:
        step = int(given)
    except (ValueError, OverflowError):  # NaN, infinite, or text
        raise ArgumentValueError(
            f"step {given!r} of {_tags(summary)} is not an integer: pass a global_step that is",
            argument="global_step",
        ) from None
    if not INT64_MIN <= step <= INT64_MAX:
        raise ArgumentValueError(
            f"step {given} of {_tags(summary)} does not fit in 64 bits: pass a smaller global_step",
            argument="global_step",
        )
    return step
