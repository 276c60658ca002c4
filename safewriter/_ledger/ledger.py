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
from typing import Any, NamedTuple

from safewriter._errors import (
    BaselineWarning,
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
    user_location,
)
from safewriter._ledger.tag_words import EVAL_TAGS, QUALITY_WORDS, TRAIN_TAGS, words

#: More evaluation metrics than this are not told apart before the first training tag.
_MOST_METRICS = 10_000

#: A tag that zigzags is not told of for ever.
_MOST_FALLS = 10

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

#: The last step of a tag that has no point yet: every step is above it.
NO_STEP = INT64_MIN - 1

# Bits of TagState.warned: every warning is given once per tag, but for steps that fall.
_FELL, _TWICE_WARNED, _MISSING_WARNED = 1, 2, 4
_KIND_WARNED, _VALUE_WARNED, _UNSEEN_WARNED = 8, 16, 32
_FRACTION_WARNED, _SHARED_WARNED = 64, 128


def _folded(tag: str) -> str:
    return tag.strip().casefold()


#: The logger of tags that only an earlier session of the run has logged.
EARLIER = object()


class TagState:
    """What the ledger remembers of one tag."""

    __slots__ = (
        "cell",
        "content",
        "falls",
        "first",
        "kind",
        "last",
        "logger",
        "value",
        "warned",
    )

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
        # How many falls of the step were told.
        self.falls = 0

    @property
    def is_series(self) -> bool:
        """Whether it has two steps or more."""
        return self.first != self.last

    def holds(self, step: int, value: float | None, content: int | None) -> bool:
        """Tell whether the last point is this one: logging it again hides nothing."""
        if step != self.last:
            return False
        if value is None or self.value is None:
            return content is not None and content == self.content
        if math.isnan(value):
            return math.isnan(self.value)
        # One of them may have been rounded to float32, as it is in an event.
        return math.isclose(value, self.value, rel_tol=1e-7)

    def takes_quietly(self, step: int, value: float | None, content: int | None) -> bool:
        """Tell whether its last point, or a later writer's at the same step, is logged again."""
        # An evaluation after training has a writer of its own, and logs the last step again.
        return self.holds(step, value, content) or (
            step == self.last and getattr(self.logger, "left", False)
        )


class _Evaluation(NamedTuple):
    """An evaluation tag, and the line that logged it first; None if its value waited."""

    tag: str
    location: Location | None


class Verdict:
    """What the ledger says of one value that is about to be written.

    Attributes:
        tag: The tag.
        step: The one to write it with; None where the user gave none, and that is right.
        mark: What moves when it is written; None if its kind is not the tag's.
        value: The scalar, None for other kinds.
        content: The fingerprint of what is not a scalar, None where nobody asks for it.
        location: The line that logs it, where that matters for the order of tags.
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
        "location",
        "mark",
        "notices",
        "step",
        "tag",
        "value",
    )

    def __init__(
        self,
        tag: str,
        step: int | None,
        mark: TagState | None,
        value: float | None,
        content: int | None = None,
    ) -> None:
        self.tag = tag
        self.step = step
        self.mark = mark
        self.value = value
        self.content = content
        self.location: Location | None = None
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
        self._evaluated: dict[tuple[str, ...], _Evaluation] = {}
        self._bare: _Evaluation | None = None
        # Whether what the earlier sessions logged was cut off at a step.
        self._cut = False

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
        unseen: str = "",
        given: Any = None,
    ) -> Verdict:
        """Judge one value that is about to be written; nothing is noted.

        `step` None means that the user gave none. `value` is the scalar, None for other kinds; what
        `content` is tells theirs from another. `unseen` says, after the tag, why TensorBoard does
        not show it. `given` is what the user gave as step, where that is not the integer `step`.
        """
        known = self.tags.get(tag)
        state = known or TagState(kind)
        verdict = Verdict(tag, step, state if kind == state.kind else None, value, content)
        verdict.last = state.last
        verdict.is_news = known is None
        warned = state.warned
        if given is not None and not warned & _FRACTION_WARNED:
            verdict.say(
                StepOrderWarning, _not_an_integer(_shown(tag, kind), given, step), _FRACTION_WARNED
            )
        if known is None:
            self._judge_spelling(verdict)
        elif kind != known.kind:
            if not warned & _KIND_WARNED:
                verdict.say(TagKindWarning, _other_kind(tag, kind, known.kind), _KIND_WARNED)
        elif known.last == NO_STEP:
            pass  # Another thread is about to write the first point.
        elif step is None:
            if known.last or not (self._is_expected(known) or known.holds(0, value, content)):
                verdict.step = min(known.last + 1, INT64_MAX)
                if not warned & _MISSING_WARNED:
                    text = _missing_step(tag, known, verdict.step)
                    verdict.say(MissingStepWarning, text, _MISSING_WARNED)
        elif (
            step <= known.last
            and known.logger is not EARLIER
            and not known.takes_quietly(step, value, content)
        ):
            self._judge_step(verdict, step, known, known.last)
        if value is not None and not math.isfinite(value) and not warned & _VALUE_WARNED:
            verdict.say(InvisibleValueWarning, _not_finite(tag, step, value), _VALUE_WARNED)
        if unseen and not warned & _UNSEEN_WARNED:
            text = f"tag {_shown(tag, kind)!r} {unseen}"
            verdict.say(InvisibleValueWarning, text, _UNSEEN_WARNED)
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
        # A curve goes on, also without a step; a single point may be how a round begins, such as
        # Lightning's hp_metric.
        return False if state.is_series else None

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
                self._note_order(verdict.tag, verdict.location)
            self._add(verdict.tag, state)
        elif verdict.mark is not None:
            # Another thread wrote the tag meanwhile, perhaps as something else.
            verdict.mark = state if state.kind == verdict.mark.kind else None
        _note(state, verdict.flags)

    def overtaken(self, verdict: Verdict) -> list[Notice]:
        """Return what is to be told of a value that was written when its tag was elsewhere.

        Another thread, or a signal handler, wrote the tag after it was judged.
        """
        state, step, before = verdict.mark, verdict.step or 0, verdict.before
        if state is None or before == verdict.last or step > before:
            return []
        return self._late(verdict.tag, step, state, before)

    def _late(self, tag: str, step: int, state: TagState, last: int) -> list[Notice]:
        """Note, and return, what is to be told of a step that is in the file behind `last`."""
        late = Verdict(tag, step, state, None)
        self._judge_step(late, step, state, last)
        _note(state, late.flags)
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
            same = known.takes_quietly(state.first, state.value, state.content)
            if known.kind == state.kind and state.first <= known.last and not same:
                notices += self._late(tag, state.first, known, known.last)
            known.warned |= state.warned
            known.falls += state.falls
            known.last, known.value = state.last, state.value
            known.content, known.logger = state.content, state.logger
        self.contents.update(waited.contents)
        return notices

    def step_behind(self, tag: str) -> int | None:
        """Return the step behind a tag's last one, or None if it has none."""
        state = self.tags.get(tag)
        return None if state is None or state.last == NO_STEP else min(state.last + 1, INT64_MAX)

    def expect_again(self, tag: str) -> None:
        """Take the only value of a tag for a placeholder: the curve may begin at any step."""
        self.tags[tag].logger = EARLIER
        self._evaluated.pop(self._metric(tag), None)
        if self._bare is not None and self._bare.tag == tag:
            self._bare = None

    def rewind(self, step: int) -> None:
        """Expect that everything from `step` on is logged again."""
        self._cut = True
        for state in self.tags.values():
            state.last = min(state.last, step - 1)

    def _is_expected(self, state: TagState) -> bool:
        """Tell whether a lone point of an earlier session is about to be logged again."""
        return state.logger is EARLIER and not self._cut

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
            assert verdict.mark is not None  # The first kind of a tag is its kind.
            kind = verdict.mark.kind
            tag, earlier = _shown(verdict.tag, kind), _shown(other, self.tags[other].kind)
            shows = "draws two curves" if kind == "scalar" else "shows both"
            verdict.say(
                TagNameWarning,
                f"tag {tag!r} differs from the earlier tag {earlier!r} only in case or in "
                f"surrounding space. TensorBoard {shows}. Use one spelling.",
            )

    def _judge_step(self, verdict: Verdict, step: int, state: TagState, last: int) -> None:
        if step == last:
            if not state.warned & _TWICE_WARNED:
                verdict.say(StepOrderWarning, _twice(verdict.tag, state.kind, step), _TWICE_WARNED)
        elif state.falls < _MOST_FALLS:
            verdict.say(StepOrderWarning, _fall(verdict.tag, state, last, step), _FELL)

    def _metric(self, tag: str) -> tuple[str, ...]:
        """Return the words of a tag that do not say whether it is training or evaluation."""
        return tuple(
            word
            for word in words(tag)
            if word not in self._train_words and word not in self._eval_words
        )

    def _judge_order(self, verdict: Verdict) -> None:
        """Warn when training arrives after an evaluation that seems to be of its weights."""
        if self._training_seen:
            return
        role, metric = self.role(verdict.tag), self._metric(verdict.tag)
        earlier: list[_Evaluation] = []
        if role == "train":
            earlier = list(self._evaluated.values())
            if not earlier and self._bare is not None:
                earlier = [self._bare]
        elif role == "" and metric in self._evaluated:
            earlier = [self._evaluated[metric]]
        if role == "eval" or earlier or (self._bare is None and _is_quality(metric)):
            verdict.location = user_location()
        if earlier:
            self._judge_training(verdict, earlier)

    def _judge_training(self, verdict: Verdict, earlier: list[_Evaluation]) -> None:
        location = verdict.location
        assert location is not None

        def step_and_line(evaluation: _Evaluation) -> tuple[int, bool]:
            # By the line of the logger of a framework, or of a loop over a dict or over phases,
            # order is chance; then that of the other lines of the loop is, too.
            earlier = evaluation.location
            one_line = earlier is None or earlier[:2] == location[:2]
            return self.tags[evaluation.tag].last, one_line

        evaluation = max(earlier, key=step_and_line)
        measured, one_line = step_and_line(evaluation)
        step = verdict.step or 0
        beginning = (
            f"evaluation tag {evaluation.tag!r} (step {measured}{_line(evaluation.location)}) "
            f"was logged before training tag {verdict.tag!r} (step {step}{_line(location)}). "
            "TensorBoard draws both by step, "
        )
        if measured > step:
            verdict.say(
                TagOrderWarning,
                f"{beginning}so the evaluation lies behind training that was logged after it. Log "
                "training first, or give the evaluation the step of the weights that it measured, "
                "counted as training counts its steps.",
            )
        elif measured == step and not one_line:
            verdict.say(
                TagOrderWarning,
                f"{beginning}so the evaluation looks like that of the weights which training has "
                f"reached at step {step}. Log training first if it is, else give the evaluation "
                "the step of the weights that it measured.",
            )
        elif measured == 0 < step and not one_line:
            verdict.say(
                BaselineWarning,
                f"{beginning}and step 0 is before all training: right for a baseline of the "
                "untrained model, meaningless for a result. Ignore BaselineWarning if it is a "
                "baseline, else give the evaluation the step of the weights that it measured.",
            )

    def _note_order(self, tag: str, location: Location | None = None) -> None:
        if self._training_seen:
            return
        role, metric = self.role(tag), self._metric(tag)
        if role == "eval":
            if len(self._evaluated) < _MOST_METRICS:
                self._evaluated[metric] = _Evaluation(tag, location)
        elif role == "train":
            self._training_seen = True
            self._evaluated.clear()
        elif metric in self._evaluated:
            del self._evaluated[metric]
        elif self._bare is None and _is_quality(metric):
            self._bare = _Evaluation(tag, location)


def _note(state: TagState, flags: int) -> None:
    """Note what was told."""
    state.warned |= flags
    state.falls += flags & _FELL


def _is_quality(metric: tuple[str, ...]) -> bool:
    return bool(metric) and QUALITY_WORDS.issuperset(metric)


def _line(location: Location | None) -> str:
    return f", {location.filename}:{location.lineno}" if location is not None else ""


# What torch appends to the tag that the user gave, by kind.
_APPENDED = {
    "tensor:text": ("/text_summary",),
    "tensor:mesh": ("_VERTEX", "_FACE", "_COLOR"),
}

# What TensorBoard shows of a tag, by kind.
_SHOWN = {
    "scalar": "points",
    "histogram": "histograms",
    "image": "images",
    "audio": "sounds",
    "tensor:text": "texts",
    "tensor:mesh": "meshes",
    "tensor:pr_curves": "curves",
}


def _shown(tag: str, kind: str) -> str:
    """Return a tag as the user named it."""
    for appended in _APPENDED.get(kind, ()):
        if tag.endswith(appended):
            return tag.removesuffix(appended)
    return tag


def _what(kind: str) -> str:
    return _SHOWN.get(kind, "data")


def _data(kind: str) -> str:
    return kind.removeprefix("tensor:") or "tensor"


def _not_an_integer(tag: str, given: Any, step: int | None) -> str:
    return (
        f"step {given} of {tag!r} is not an integer and is written as {step}; points that fall "
        "on one step hide each other in TensorBoard. Count steps in integers."
    )


def _fall(tag: str, state: TagState, last: int, step: int) -> str:
    falls = state.falls + 1
    # The number makes it another text: Python shows the same one of a line only once.
    which = f", its fall number {falls}" if falls > 1 else ""
    end = " Further falls of this tag are not told." if falls == _MOST_FALLS else ""
    return (
        f"tag {_shown(tag, state.kind)!r} goes back from step {last} to step {step}{which}. "
        f"TensorBoard hides the {_what(state.kind)} that this tag already has at step {step} and "
        "later. Pass a global_step that never falls, or use a new run for a new start."
        f"{end}"
    )


def _twice(tag: str, kind: str, step: int) -> str:
    return (
        f"tag {_shown(tag, kind)!r} was logged twice at step {step}. TensorBoard shows only the "
        f"last of the {_what(kind)} of a step. Pass a global_step that rises, or use another tag."
    )


def _missing_step(tag: str, state: TagState, step: int) -> str:
    what = _what(state.kind)
    return (
        f"tag {_shown(tag, state.kind)!r} was logged without global_step, and it already has "
        f"{what} up to step {state.last}. At step 0, where torch puts it, TensorBoard would hide "
        f"all {what} from step 0 on, so it is written at step {step}. Pass global_step=."
    )


def _other_kind(tag: str, kind: str, first: str) -> str:
    return (
        f"tag {tag!r} is used for {_data(first)} and now for {_data(kind)}. TensorBoard shows one "
        "kind of data for a tag and can hide both where their steps meet. Use another tag."
    )


def _not_finite(tag: str, step: int | None, value: float) -> str:
    # Seen in a browser: a triangle stands at the height of the last value that can be drawn.
    drawn = " and a triangle marks the step" if math.isnan(value) else ""
    return (
        f"tag {tag!r} has the value {value} at step {step or 0}. TensorBoard cannot draw it: "
        f"the curve has a gap there{drawn}. Look for the cause in the training."
    )
