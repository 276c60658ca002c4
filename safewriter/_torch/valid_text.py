"""The error for a tag or a text that is not valid Unicode."""

from __future__ import annotations

import contextlib
import reprlib
from types import TracebackType

from safewriter._errors import ArgumentValueError


class _ValidText(contextlib.ContextDecorator):
    """Say which tag it is that protobuf refuses; it does so before anything is written."""

    # Not a generator: that would cost a tenth of a text.
    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        if isinstance(exc_val, UnicodeError):
            text = reprlib.repr(getattr(exc_val, "object", exc_val))
            raise ArgumentValueError(
                f"{text} is not valid Unicode: no event can hold what has no UTF-8. Take it out of "
                "the tag or the text.",
                argument="tag",
            ) from None


#: For each call of ``add_*``, with a tag or a text.
valid_text = _ValidText()
