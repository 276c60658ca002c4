"""What is suspicious: the steps, the order and the kinds of the tags of one directory.

The ledger knows no files and has no lock: that of its directory's event file protects it. It judges
a value that is about to be written, and warns of nothing itself, since a warning runs the user's
code, which must not run under a lock. So a value passes in three steps: :meth:`TagLedger.judge`
under the lock, what it found is told without it, and :meth:`TagLedger.admit` under it again. The
step of a tag moves only where the event is written, by the event file: what it moved from is the
last word on whether the step fell, see :meth:`TagLedger.overtaken`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from safewriter._errors import (
    InvisibleValueWarning,
    Location,
    MissingStepWarning,
    Notice,
    SafeWriterWarning,
    SharedTagWarning,
    StepOrderWarning,
    TagKindWarning,
    TagNameWarning,
    TagOrderWarning,
)
from safewriter._ledger.tag_words import EVAL_TAGS, QUALITY_WORDS, TRAIN_TAGS, words

#: More evaluation metrics than this are not told apart before the first training tag.
_MOST_METRICS = 10_000

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

#: The last step of a tag that has no point yet: every step is above it.
NO_STEP = INT64_MIN - 1

# Bits of TagState.warned: every warning is given once per tag.
_STEP_WARNED, _TWICE_WARNED, _MISSING_WARNED = 1, 2, 4
_KIND_WARNED, _VALUE_WARNED, _DOUBLE_WARNED = 8, 16, 32
_FRACTION_WARNED, _SHARED_WARNED = 64, 128


def _folded(tag: str) -> str:
    return tag.strip().casefold()


#: The logger of tags that only an earlier session of the run has logged.
EARLIER = object()


class TagState:
    """What the ledger remembers of one tag."""

    __slots__ = ("cell", "content", "first", "kind", "last", "logger", "value", "warned")

    def __init__(self, kind: str, last: int = NO_STEP, logger: object = None) -> None:
        self.kind = kind
        # Its first step of all, and which execution of a notebook's cells logged that.
        self.first = self.last = last
        self.cell: int | None = None
        self.value: float | None = None
        # What tells the last content from another, of what is no scalar.
        self.content: int | None = None
        self.logger = logger
        self.warned = 0

    @property
    def is_series(self) -> bool:
        """Whether it has two steps or more."""
        return self.first != self.last

    def holds(self, step: int, value: float | None) -> bool:
        """Tell whether the last point is this one: logging it again hides nothing."""
        return (
            step == self.last
            and value is not None
            and self.value is not None
            # One of them may have been rounded to float32, as it is in an event.
            and math.isclose(value, self.value, rel_tol=1e-7)
        )


class Verdict:
    """What the ledger says of one value that is about to be written.

    Attributes:
        tag: The tag.
        step: The one to write it with; None where the user gave none, and that is right.
        mark: What moves when it is written; None if its kind is not the tag's.
        value: The scalar, None for other kinds.
        last: Where the tag was when this was judged.
        before: Where it was when the value was written.
        notices: What is to be told.
        is_news: Whether the ledger has something to note before it is written.
    """

    __slots__ = (
        "before",
        "content",
        "flags",
        "is_news",
        "last",
        "mark",
        "notices",
        "step",
        "tag",
        "value",
    )

    def __init__(
        self, tag: str, step: int | None, mark: TagState | None, value: float | None
    ) -> None:
        self.tag = tag
        self.step = step
        self.mark = mark
        self.value = value
        self.content: int | None = None
        self.last = self.before = NO_STEP
        self.notices: list[Notice] = []
        self.flags = 0
        self.is_news = False

    def say(self, category: type[SafeWriterWarning], message: str, flag: int = 0) -> None:
        """Add a notice, which sets `flag` once it was told."""
        self.notices.append(Notice(category, message))
        self.flags |= flag
        self.is_news = True

    def share(self, other: Location, own: Location) -> None:
        """Say that another writer, made at `other`, is open and logs the tag as well."""
        assert self.mark is not None
        if not self.mark.warned & _SHARED_WARNED:
            text = (
                f"tag {self.tag!r} is logged by two writers that are both open, made at "
                f"{other.filename}:{other.lineno} and at {own.filename}:{own.lineno}. They write "
                "one run, so TensorBoard draws their points as one curve. Close a writer that is "
                "done, or keep them apart by comment=, another log_dir or join=False."
            )
            self.say(SharedTagWarning, text, _SHARED_WARNED)

    def move(self, logger: object) -> None:
        """Move the tag: the value is being written. With the lock held."""
        mark = self.mark
        if mark is not None:
            self.before, mark.last = mark.last, self.step or 0
            mark.value, mark.content, mark.logger = self.value, self.content, logger


class TagLedger:
    """The tags logged to one directory, by all the writers that share it."""

    def __init__(
        self, train_tags: Iterable[str] = TRAIN_TAGS, eval_tags: Iterable[str] = EVAL_TAGS
    ) -> None:
        self.tags: dict[str, TagState] = {}
        # What tells the content of what has no points from another: hparams, the graph.
        self.contents: dict[str, int] = {}
        self._train_words = frozenset(word.lower() for word in train_tags)
        self._eval_words = frozenset(word.lower() for word in eval_tags)
        # Tags that are not their own folded spelling, by that spelling.
        self._spellings: dict[str, str] = {}
        # Until training is seen: evaluation tags by metric, and a bare quality metric.
        self._training_seen = False
        self._evaluated: dict[tuple[str, ...], str] = {}
        self._bare: str | None = None

    def role(self, tag: str) -> str:
        """Return ``"train"``, ``"eval"`` or ``""`` (unqualified, or both at once)."""
        found = words(tag)
        train = not self._train_words.isdisjoint(found)
        evaluation = not self._eval_words.isdisjoint(found)
        return "" if train == evaluation else "train" if train else "eval"

    def judge(
        self,
        tag: str,
        kind: str,
        step: int | None,
        value: float | None = None,
        *,
        content: int | None = None,
        double: bool = False,
        given: Any = None,
    ) -> Verdict:
        """Judge one value that is about to be written; nothing is noted.

        `step` None means that the user gave none. `value` is the scalar, None for other kinds; what
        `content` is tells theirs from another. `double` is whether it is in double precision, and
        `given` what the user gave as step, where that is not the integer `step`.
        """
        known = self.tags.get(tag)
        state = known or TagState(kind)
        verdict = Verdict(tag, step, state if kind == state.kind else None, value)
        verdict.last = state.last
        verdict.content = content
        verdict.is_news = known is None
        warned = state.warned
        if given is not None and not warned & _FRACTION_WARNED:
            verdict.say(StepOrderWarning, _not_an_integer(tag, given, step), _FRACTION_WARNED)
        if known is None:
            self._judge_spelling(verdict)
        elif kind != known.kind:
            if not warned & _KIND_WARNED:
                verdict.say(TagKindWarning, _other_kind(tag, kind, known.kind), _KIND_WARNED)
        elif known.last == NO_STEP:
            pass  # Another thread is about to write the first point.
        elif step is None:
            verdict.step = min(known.last + 1, INT64_MAX)
            if not warned & _MISSING_WARNED:
                text = _missing_step(tag, known.last, verdict.step)
                verdict.say(MissingStepWarning, text, _MISSING_WARNED)
        elif step <= known.last and known.logger is not EARLIER and not known.holds(step, value):
            self._judge_step(verdict, step, known)
        if value is not None and not math.isfinite(value) and not warned & _VALUE_WARNED:
            verdict.say(InvisibleValueWarning, _not_finite(tag, step, value), _VALUE_WARNED)
        if double and not warned & _DOUBLE_WARNED:
            verdict.say(InvisibleValueWarning, _double_precision(tag), _DOUBLE_WARNED)
        if known is None and kind == "scalar":
            self._judge_order(verdict)
        return verdict

    def starts_over(self, tag: str, kind: str, step: int | None, content: int) -> bool | None:
        """Tell whether a value that a new writer logs begins a new round; None if it cannot tell.

        A step below the tag's last one does, and so does a text with another content.
        """
        state = self.tags.get(tag)
        if state is None:
            return None
        if step is not None and step != state.last:
            return step < state.last
        if kind == "tensor:text":
            return None if state.content in (None, content) else True
        # A missing step goes on, and so does a curve; a single point may be how a round begins.
        return False if step is None or state.is_series else None

    def holds_anything(self) -> bool:
        """Tell whether anything was logged."""
        return bool(self.tags or self.contents)

    def holds_series(self) -> bool:
        """Tell whether a tag has two steps or more."""
        return any(state.is_series for state in list(self.tags.values()))

    def admit(self, verdict: Verdict, cell: int | None = None) -> None:
        """Note that what a verdict found was told, and that its tag is about to be written."""
        state = self.tags.get(verdict.tag)
        if state is None:
            assert verdict.mark is not None  # The first kind of a tag is its kind.
            state = verdict.mark
            state.first, state.cell = verdict.step or 0, cell
            if state.kind == "scalar":
                self._note_order(verdict.tag)
            self._add(verdict.tag, state)
        elif verdict.mark is not None:
            # Another thread wrote the tag meanwhile, perhaps as something else.
            verdict.mark = state if state.kind == verdict.mark.kind else None
        state.warned |= verdict.flags

    def overtaken(self, verdict: Verdict) -> list[Notice]:
        """Return what is to be told of a value that was written when its tag was elsewhere.

        Another thread, or a signal handler, wrote the tag after it was judged.
        """
        state, step, before = verdict.mark, verdict.step or 0, verdict.before
        if state is None or before == verdict.last or step > before:
            return []
        late = Verdict(verdict.tag, step, state, verdict.value)
        self._judge_step(late, step, state, before)
        state.warned |= late.flags
        return late.notices

    def expect(self, tag: str, kind: str, first: int, last: int) -> None:
        """Take over a tag of an earlier session: it may be logged again from any step on."""
        state = TagState(kind, last, EARLIER)
        state.first = first
        self._add(tag, state)
        self._training_seen = True

    def blank(self) -> TagLedger:
        """Return an empty ledger with the same words, for values that wait."""
        ledger = TagLedger(self._train_words, self._eval_words)
        # Whether training was logged before is not known until these values are taken over.
        ledger._training_seen = True
        return ledger

    def take_over(self, waited: TagLedger) -> list[Notice]:
        """Take over what values that waited have left in their ledger; return what is to be told.

        The ledger is empty, or what waited goes on with it.
        """
        notices: list[Notice] = []
        for tag, state in waited.tags.items():
            known = self.tags.get(tag)
            if known is None:
                if state.kind == "scalar":
                    self._note_order(tag)
                self._add(tag, state)
                continue
            same = state.content == known.content and known.holds(state.first, state.value)
            if known.kind == state.kind and state.first <= known.last and not same:
                verdict = Verdict(tag, state.first, known, state.value)
                self._judge_step(verdict, state.first, known)
                notices += verdict.notices
                known.warned |= verdict.flags
            known.warned |= state.warned
            known.last, known.value = state.last, state.value
            known.content, known.logger = state.content, state.logger
        self.contents.update(waited.contents)
        return notices

    def rewind(self, step: int) -> None:
        """Expect that everything from `step` on is logged again."""
        for state in self.tags.values():
            state.last = min(state.last, step - 1)

    def _add(self, tag: str, state: TagState) -> None:
        self.tags[tag] = state
        folded = _folded(tag)
        if folded != tag:
            self._spellings[folded] = tag

    def _judge_spelling(self, verdict: Verdict) -> None:
        folded = _folded(verdict.tag)
        other = self._spellings.get(folded) or (folded if folded in self.tags else None)
        # A signal handler may have logged the very tag since it was looked up.
        if other is not None and other != verdict.tag:
            verdict.say(
                TagNameWarning,
                f"tag {verdict.tag!r} differs from the earlier tag {other!r} only in case or in "
                "surrounding space. TensorBoard draws two curves. Use one spelling.",
            )

    def _judge_step(
        self, verdict: Verdict, step: int, state: TagState, last: int | None = None
    ) -> None:
        tag, last = verdict.tag, state.last if last is None else last
        flag = _STEP_WARNED if step < last else _TWICE_WARNED
        if state.warned & flag:
            return
        if step < last:
            message = (
                f"tag {tag!r} goes back from step {last} to step {step}. TensorBoard hides "
                f"the points that this tag already has at step {step} and later. Pass a "
                "global_step that never falls, or use a new run for a new start."
            )
        else:
            message = (
                f"tag {tag!r} was logged twice at step {step}. TensorBoard shows only the last "
                "point of a step. Pass a global_step that rises, or use another tag."
            )
        verdict.say(StepOrderWarning, message, flag)

    def _metric(self, tag: str) -> tuple[str, ...]:
        """Return the words of a tag that do not say whether it is training or evaluation."""
        return tuple(
            word
            for word in words(tag)
            if word not in self._train_words and word not in self._eval_words
        )

    def _judge_order(self, verdict: Verdict) -> None:
        """Warn when training arrives after evaluation of the same or a later step."""
        if self._training_seen:
            return
        role = self.role(verdict.tag)
        earlier = None
        if role == "train":
            earlier = max(
                self._evaluated.values(), key=lambda tag: self.tags[tag].last, default=self._bare
            )
        elif role == "":
            earlier = self._evaluated.get(self._metric(verdict.tag))
        if earlier is None:
            return
        measured, step = self.tags[earlier].last, verdict.step or 0
        if measured < step:
            return  # Evaluating the untrained model before the first training point is right.
        verdict.say(
            TagOrderWarning,
            f"evaluation tag {earlier!r} (step {measured}) was logged before training tag "
            f"{verdict.tag!r} (step {step}). TensorBoard draws both by step, so the evaluation "
            "seems to belong to weights that were only trained afterwards. Log training first, or "
            "give the evaluation the step of the weights that it measured.",
        )

    def _note_order(self, tag: str) -> None:
        if self._training_seen:
            return
        role, metric = self.role(tag), self._metric(tag)
        if role == "eval":
            if len(self._evaluated) < _MOST_METRICS:
                self._evaluated[metric] = tag
        elif role == "train":
            self._training_seen = True
            self._evaluated.clear()
        elif metric in self._evaluated:
            del self._evaluated[metric]
        elif self._bare is None and metric and QUALITY_WORDS.issuperset(metric):
            self._bare = tag


def _not_an_integer(tag: str, given: Any, step: int | None) -> str:
    return (
        f"step {given} of {tag!r} is not an integer and is written as {step}; points that fall "
        "on one step hide each other in TensorBoard. Count steps in integers."
    )


def _missing_step(tag: str, last: int, step: int) -> str:
    return (
        f"tag {tag!r} was logged without global_step, and it already has a point at step "
        f"{last}. At step 0, where torch puts it, TensorBoard would hide the whole "
        f"curve, so it is written at step {step}. Pass global_step=."
    )


def _other_kind(tag: str, kind: str, first: str) -> str:
    return (
        f"tag {tag!r} is used for {first} and now for {kind}. TensorBoard shows one "
        "kind of data for a tag and can hide both where their steps meet. Use another tag."
    )


def _not_finite(tag: str, step: int | None, value: float) -> str:
    return (
        f"tag {tag!r} has the value {value} at step {step or 0}. TensorBoard cannot draw it: "
        "the curve has a gap there. Look for the cause in the training."
    )


def _double_precision(tag: str) -> str:
    return (
        f"tag {tag!r} is logged with double_precision=True. TensorBoard's default reader does "
        "not show such scalars. Leave double_precision off."
    )
