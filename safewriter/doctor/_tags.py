"""A run's tags as TensorBoard sees them: gathered value by value, in the order it reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from zlib import crc32

from tensorboard.compat.proto import types_pb2

from safewriter._kinds import scalar_value, value_kind

KEPT = {"scalar": 1000, "histogram": 500, "image": 10, "audio": 10, "tensor:pr_curves": 100}
"""How many points of a tag TensorBoard keeps by default (``--samples_per_plugin``)."""

_NUMBERS = (types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE)


@dataclass(slots=True)
class Back:
    """A value whose step is lower than the one before it in the same tag."""

    from_step: int
    to_step: int
    from_file: int
    to_file: int


@dataclass(slots=True)
class Tag:
    """One tag of one run: what its values, in reading order, do to each other."""

    kind: str
    first_step: int
    file: int
    last_step: int
    bare: bool = False
    empty: int = 0  # values without data
    count: int = 0
    last_value: float | int | None = None
    purged: bool = False
    back: Back | None = None  # the first one
    backs: int = 0
    repeats: int = 0
    repeat_step: int = 0
    zero_after: Back | None = None  # step 0, and nothing yet that says why
    lone_zero: Back | None = None
    other_kind: str | None = None
    other_step: int = 0
    doubles: int = 0
    not_finite: int = 0  # points at the end of the curve
    not_finite_from: int = 0

    def add(self, file: int, step: int, value: float | int) -> None:
        """Take the next value; ``value`` is the number, or a checksum of anything else."""
        last = self.last_step
        if step <= last and self.count:
            if step == last:
                same = value == self.last_value or (value != value and self.not_finite)
                if not self.purged and not same:
                    if not self.repeats:
                        self.repeat_step = step
                    self.repeats += 1
            elif not self.purged:
                self._go_back(file, step)
        elif self.zero_after is not None:
            self._judge_zero(step)
        if value - value != 0:
            if not self.not_finite:
                self.not_finite_from = step
            self.not_finite += 1
        else:
            self.not_finite = 0
        self.purged = False
        self.count += 1
        self.last_step = step
        self.last_value = value
        self.file = file

    def _go_back(self, file: int, step: int) -> None:
        back = Back(self.last_step, step, self.file, file)
        if self.zero_after is not None:
            self._judge_zero(step)
        if step == 0 and file == self.file:
            self.zero_after = back
        else:
            self._note(back)

    def _judge_zero(self, step: int) -> None:
        # A curve that goes on where it was had one call without a step; otherwise it began anew.
        back, self.zero_after = self.zero_after, None
        assert back is not None
        if step > back.from_step:
            self.lone_zero = self.lone_zero or back
        else:
            self._note(back)

    def _note(self, back: Back) -> None:
        self.backs += 1
        if self.back is None:
            self.back = back

    def purge(self, step: int) -> bool:
        """Forget what is at or behind ``step``; return whether there was anything."""
        if self.last_step < step:
            return False
        self.purged = True
        return True

    def end(self) -> None:
        """Say that the run has no more values."""
        if self.zero_after is not None:
            self.lone_zero = self.lone_zero or self.zero_after
            self.zero_after = None


def add_value(tags: dict[str, Tag], file: int, step: int, value: Any) -> None:
    """Take one ``Summary.Value`` of any kind."""
    name = value.tag
    what = value.WhichOneof("value")
    kind = value_kind(value)
    tag = tags.get(name)
    if tag is None:
        is_bare = what == "tensor" and kind == "tensor:"
        tag = tags[name] = Tag(kind, step, file, last_step=step, bare=is_bare)
    elif tag.empty and not tag.count:  # what has no data has no kind
        tag.kind = kind
    elif kind == "tensor:":  # the plugin need only be named with a tag's first value
        kind = tag.kind
    if kind != tag.kind and tag.other_kind is None:
        tag.other_kind, tag.other_step = kind, step
    if what is None:  # metadata alone is no point
        tag.empty += not value.HasField("metadata")
        return
    if kind == "scalar" and what == "tensor":
        tag.doubles += value.tensor.dtype != types_pb2.DT_FLOAT
    if kind == "scalar" and (what == "simple_value" or value.tensor.dtype in _NUMBERS):
        tag.add(file, step, scalar_value(value))
    else:
        tag.add(file, step, crc32(value.SerializeToString()))
