"""The time of this start in a path: whoever made it has given each start a directory."""

from __future__ import annotations

import functools
import os
import re
import time
from datetime import date, datetime, timedelta

# Our own names, torch's default (Nov22_09-30-00_host, with the month of the locale), Lightning's.
_UNIQUE_NAME = re.compile(
    r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(\D.*)?"
    r"|[^\W\d]{2,5}\.?\d\d_\d\d-\d\d-\d\d_.+"
    r"|version_\d+",
    re.DOTALL,
)

_DAY = timedelta(days=1)
_EPOCH_SECONDS = re.compile(r"(?<!\d)\d{10}(?!\d)")

_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_HOUR, _SIXTIETH = r"(?<!\d)([01]\d|2[0-3])", r"([0-5]\d)"
# "12-05-31" cannot be mistaken, so a word may stand before it. "120531" and "12-05" could be
# anything, unless they follow the date at once.
_PLAIN_CLOCK = rf"([01]\d|2[0-3])[\W_h]?{_SIXTIETH}(?:[\W_m]?{_SIXTIETH}(?:\d{{3}}){{0,2}})?(?!\d)"
_MARKED_CLOCK = rf"{_HOUR}[-_:h]{_SIXTIETH}[-_:m]{_SIXTIETH}(?!\d)"


def is_unique_name(path: str) -> bool:
    """Tell whether `path` already is the directory of one start: its name says when that was.

    So it is with our own names, torch's default and Lightning's ``version_N`` as the last
    component, and with the time of this start, within a day of now, anywhere in the path.
    """
    return bool(_UNIQUE_NAME.fullmatch(os.path.basename(path))) or carries_this_start(path)


def carries_this_start(path: str) -> bool:
    """Tell whether a path names a moment within a day of now.

    That is seconds since 1970, or a date and a time of day in one component or two neighbouring
    ones: ``exp_20261124_114603``, ``2026-11-24/12-05-31/tb``, ``2026-11-24T12:05:31Z``.
    """
    seconds = time.time()
    if any(abs(int(found) - seconds) <= 86400 for found in _EPOCH_SECONDS.findall(path)):
        return True
    now = datetime.fromtimestamp(seconds)
    for midnight, moment in _moments_around(now.date()):
        for found in moment.finditer(path):
            hour, minute, second = [*(int(number) for number in found.groups() if number), 0][:3]
            clock = timedelta(hours=hour, minutes=minute, seconds=second)
            if abs(midnight + clock - now) <= _DAY:
                return True
    return False


@functools.lru_cache(1)
def _moments_around(today: date) -> list[tuple[datetime, re.Pattern[str]]]:
    """Return the last, this and the next midnight, and how a moment of each day is written."""
    moments = []
    midnight = datetime(today.year, today.month, today.day)
    for day in (midnight - _DAY, midnight, midnight + _DAY):
        year, month, number = f"{day:%Y}", f"{day:%m}", f"{day:%d}"
        name = f"(?:{_MONTHS[day.month - 1]}|{re.escape(f'{day:%b}')})[a-z]*"
        orders = [
            (f"(?:{year[:2]})?{year[2:]}", f"(?:{month}|{name})", number),
            (number, f"(?:{month}|{name})", year),
            (month, number, year),
            (name, number, year),
            # torch's, and that of ctime(), whose year comes last; not 20:26 of "Nov24_2026".
            (name, number + r"(?![\W_]*\d{4}(?!\d))"),
        ]
        dates = "|".join(r"[\W_]?".join(order) for order in orders)
        moments.append(
            (
                day,
                re.compile(
                    rf"(?<!\d)(?:{dates})(?:"
                    rf"[\W_]{{0,3}}(?:t|at)?[\W_]{{0,3}}{_PLAIN_CLOCK}"
                    rf"|(?!\d)[^/\\]*[/\\]?[^/\\]*?{_MARKED_CLOCK})"
                    rf"|{_HOUR}[\W_h]?{_SIXTIETH}[\W_m]?{_SIXTIETH}[\W_]{{1,3}}(?:{dates})(?!\d)",
                    re.IGNORECASE,
                ),
            )
        )
    return moments
