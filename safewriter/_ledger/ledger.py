"""What is suspicious: the steps, the order and the kinds of the tags of one directory.

The ledger may warn. It knows no files: it is told what is about to be written and returns the step
to write it with.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from safewriter._errors import (
    InvisibleValueWarning,
    MissingStepWarning,
    StepOrderWarning,
    TagKindWarning,
    TagNameWarning,
    TagOrderWarning,
    warn,
)
from safewriter._ledger.tag_words import EVAL_TAGS, QUALITY_WORDS, TRAIN_TAGS, words

#: More evaluation metrics than this are not told apart before the first training tag.
_MOST_METRICS = 10_000

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

# Bits of TagState.warned: every warning is given once per tag.
_STEP_WARNED, _TWICE_WARNED, _MISSING_WARNED = 1, 2, 4
_KIND_WARNED, _VALUE_WARNED, _DOUBLE_WARNED = 8, 16, 32
_FRACTION_WARNED = 64


def _folded(tag: str) -> str:
    return tag.strip().casefold()


#: The logger of tags that only an earlier session of the run has logged.
EARLIER = object()


class TagState:
    """What the ledger remembers of one tag."""

    __slots__ = ("kind", "last", "logger", "value", "warned")

    def __init__(self, kind: str, last: int, logger: object) -> None:
        self.kind = kind
        self.last = last
        self.value: float | None = None
        self.logger = logger
        self.warned = 0

    def holds(self, step: int, value: float | None) -> bool:
        """Tell whether the last point is this one: logging it again hides nothing."""
        return (
            step == self.last
            and value is not None
            and self.value is not None
            # One of them may have been rounded to float32, as it is in an event.
            and math.isclose(value, self.value, rel_tol=1e-7)
        )


class TagLedger:
    """The tags logged to one directory, by all the writers that share it."""

    def __init__(
        self, train_tags: Iterable[str] = TRAIN_TAGS, eval_tags: Iterable[str] = EVAL_TAGS
    ) -> None:
        self.tags: dict[str, TagState] = {}
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

    def check(
        self,
        tag: str,
        kind: str,
        step: int | None,
        logger: object = None,
        value: float | None = None,
        *,
        double: bool = False,
        given: Any = None,
    ) -> int | None:
        """Check one value that is about to be written and return the step to write it with.

        `step` None means that the user gave none, and None is returned where that is right: for the
        first point of a tag. `logger` is whoever logs. `value` is the scalar, None for other kinds,
        and `double` whether it is written in double precision. `given` is what the user gave as
        step, where that is not the integer `step`.
        """
        known = self.tags.get(tag)
        state = known or TagState(kind, 0, logger)
        if given is not None and not state.warned & _FRACTION_WARNED:
            self._not_an_integer(tag, given, step)
            state.warned |= _FRACTION_WARNED
        if known is None:
            self._check_spelling(tag)
        elif kind != known.kind:
            self._other_kind(tag, kind, known)
        elif step is None:
            step = self._missing_step(tag, known)
        elif step <= known.last and known.logger is not EARLIER and not known.holds(step, value):
            self._not_rising(tag, step, known)
        if value is not None and not math.isfinite(value) and not state.warned & _VALUE_WARNED:
            self._not_finite(tag, step, value)
            state.warned |= _VALUE_WARNED
        if double and not state.warned & _DOUBLE_WARNED:
            self._double_precision(tag)
            state.warned |= _DOUBLE_WARNED
        # A warning may be an error. So what the event changes is noted when all of them are given.
        if known is None and kind == "scalar":
            self._check_order(tag, step or 0)
        if kind == state.kind:
            state.last = step or 0
            state.value = value
            state.logger = logger
        if known is None:
            self._admit(tag, state)
        return step

    def expect(self, tag: str, kind: str, last: int) -> None:
        """Take over a tag of an earlier session: it may be logged again from any step on."""
        self._admit(tag, TagState(kind, last, EARLIER))
        self._training_seen = True

    def rewind(self, step: int) -> None:
        """Expect that everything from `step` on is logged again."""
        for state in self.tags.values():
            state.last = min(state.last, step - 1)

    def _admit(self, tag: str, state: TagState) -> None:
        self.tags[tag] = state
        folded = _folded(tag)
        if folded != tag:
            self._spellings[folded] = tag

    def _check_spelling(self, tag: str) -> None:
        folded = _folded(tag)
        other = self._spellings.get(folded) or (folded if folded in self.tags else None)
        if other is not None:
            warn(
                TagNameWarning,
                f"tag {tag!r} differs from the earlier tag {other!r} only in case or in "
                "surrounding space. TensorBoard draws two curves. Use one spelling.",
            )

    def _not_an_integer(self, tag: str, given: Any, step: int | None) -> None:
        warn(
            StepOrderWarning,
            f"step {given} of {tag!r} is not an integer and is written as {step}; points that fall "
            "on one step hide each other in TensorBoard. Count steps in integers.",
        )

    def _missing_step(self, tag: str, state: TagState) -> int:
        step = min(state.last + 1, INT64_MAX)
        if not state.warned & _MISSING_WARNED:
            warn(
                MissingStepWarning,
                f"tag {tag!r} was logged without global_step, and it already has a point at step "
                f"{state.last}. At step 0, where torch puts it, TensorBoard would hide the whole "
                f"curve, so it is written at step {step}. Pass global_step=.",
            )
            state.warned |= _MISSING_WARNED
        return step

    def _not_rising(self, tag: str, step: int, state: TagState) -> None:
        flag = _STEP_WARNED if step < state.last else _TWICE_WARNED
        if state.warned & flag:
            return
        if step < state.last:
            message = (
                f"tag {tag!r} goes back from step {state.last} to step {step}. TensorBoard hides "
                f"the points that this tag already has at step {step} and later. Pass a "
                "global_step that never falls, or use a new run for a new start."
            )
        else:
            message = (
                f"tag {tag!r} was logged twice at step {step}. TensorBoard shows only the last "
                "point of a step. Pass a global_step that rises, or use another tag."
            )
        warn(StepOrderWarning, message)
        state.warned |= flag

    def _check_order(self, tag: str, step: int) -> None:
        """Warn when training arrives after evaluation of the same or a later step."""
        if self._training_seen:
            return
        role = self.role(tag)
        metric = tuple(
            word
            for word in words(tag)
            if word not in self._train_words and word not in self._eval_words
        )
        if role == "eval":
            if len(self._evaluated) < _MOST_METRICS:
                self._evaluated[metric] = tag
        elif role == "train":
            if self._evaluated:
                latest = max(self._evaluated.values(), key=lambda tag: self.tags[tag].last)
                self._warn_order(tag, step, latest)
            elif self._bare is not None:
                self._warn_order(tag, step, self._bare)
            self._training_seen = True
            self._evaluated.clear()
        elif metric in self._evaluated:
            self._warn_order(tag, step, self._evaluated[metric])
            del self._evaluated[metric]
        elif self._bare is None and metric and QUALITY_WORDS.issuperset(metric):
            self._bare = tag

    def _warn_order(self, tag: str, step: int, earlier: str) -> None:
        measured = self.tags[earlier].last
        if measured < step:
            return  # Evaluating the untrained model before the first training point is right.
        warn(
            TagOrderWarning,
            f"evaluation tag {earlier!r} (step {measured}) was logged before training tag {tag!r} "
            f"(step {step}). TensorBoard draws both by step, so the evaluation seems to belong to "
            "weights that were only trained afterwards. Log training first, or give the evaluation "
            "the step of the weights that it measured.",
        )

    def _other_kind(self, tag: str, kind: str, state: TagState) -> None:
        if not state.warned & _KIND_WARNED:
            warn(
                TagKindWarning,
                f"tag {tag!r} is used for {state.kind} and now for {kind}. TensorBoard shows one "
                "kind of data for a tag and can hide both where their steps meet. Use another tag.",
            )
            state.warned |= _KIND_WARNED

    def _not_finite(self, tag: str, step: int | None, value: float) -> None:
        warn(
            InvisibleValueWarning,
            f"tag {tag!r} has the value {value} at step {step or 0}. TensorBoard cannot draw it: "
            "the curve has a gap there. Look for the cause in the training.",
        )

    def _double_precision(self, tag: str) -> None:
        warn(
            InvisibleValueWarning,
            f"tag {tag!r} is logged with double_precision=True. TensorBoard's default reader does "
            "not show such scalars. Leave double_precision off.",
        )
