"""What a value in a log is, where programs of many versions wrote it: a count, a text, a moment.

None stands for what is not there and for what cannot be meant.
"""

from __future__ import annotations

import re
from typing import Any

_BEYOND = 10**18


def whole(value: Any) -> int | None:
    """A logged count as an integer: None for anything that is no finite, non-negative number.

    Whole floats (``3.0``) and fractions are accepted (RULES R7), fractions are rounded half
    up; numeric texts too, because some versions of the agents quote their numbers. Nothing
    an agent counts has more than 18 digits, which SQLite and JSON readers can hold.
    """
    kind = value.__class__
    if kind is int:
        return value if 0 <= value < _BEYOND else None
    if value is None:
        return None
    if kind is float:
        return int(value + 0.5) if 0 <= value < _BEYOND else None
    if kind is str and len(value) <= 18 and value.isascii() and value.isdigit():
        return int(value)
    return None


def text(value: Any) -> str | None:
    """A non-empty text, else None."""
    return value if type(value) is str and value else None


def mapping(value: Any) -> dict[str, Any]:
    """An object, or an empty one in place of anything else."""
    return value if type(value) is dict else {}


_INSTANT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(?:Z|([+-])(\d\d):?(\d\d))?$"
)


def instant(value: Any) -> int | None:
    """A logged moment as epoch milliseconds: ISO-8601 text (UTC unless it has an offset)
    or a number of milliseconds; None for anything else."""
    if type(value) is not str:
        return whole(value) or None
    minute_ms = _minutes.get(value[:16]) or _minute(value)
    if minute_ms is not None and len(value) == 24 and value[16] + value[19] + value[23] == ":.Z":
        rest = value[17:19] + value[20:23]
        if rest.isascii() and rest.isdigit() and rest < "60":
            return minute_ms + int(rest)
    match = _INSTANT.match(value)
    if not match:
        return None
    year, month, day, hour, minute, second = map(int, match.group(1, 2, 3, 4, 5, 6))
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        return None
    if day > 28 and day > _days(year, month):
        return None
    # days since 1970-01-01 of a proleptic Gregorian date, counted in years from March
    shifted = year - (month < 3)
    months = (month + 9) % 12
    days = 365 * shifted + shifted // 4 - shifted // 100 + shifted // 400
    days += (153 * months + 2) // 5 + day - 719469
    fraction = (match[7] or "0").ljust(3, "0")[:3]
    total = ((days * 24 + hour) * 60 + minute) * 60 + second
    if match[8]:
        offset = (int(match[9]) * 60 + int(match[10])) * 60
        total -= offset if match[8] == "+" else -offset
    if not match[8] and second < 60 and value[10] == "T":
        if len(_minutes) > 5000:
            _minutes.clear()
        _minutes[value[:16]] = (total - second) * 1000
        if len(_seen_days) > 5000:
            _seen_days.clear()
        _seen_days[value[:11]] = days * 86_400_000
    return total * 1000 + int(fraction)


def _minute(value: str) -> int | None:
    """Epoch milliseconds of the minute of an instant whose day was seen, if it is so simple."""
    day_ms = _seen_days.get(value[:11])
    hour, minute = value[11:13], value[14:16]
    if day_ms is None or value[13:14] != ":" or len(minute) < 2:
        return None
    if not (hour.isascii() and hour.isdigit() and minute.isascii() and minute.isdigit()):
        return None
    if hour > "23" or minute > "59":
        return None
    if len(_minutes) > 5000:
        _minutes.clear()
    result = _minutes[value[:16]] = day_ms + (int(hour) * 60 + int(minute)) * 60_000
    return result


def _days(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 or year % 400 == 0) else 28
    return 30 + (month + month // 8) % 2


_minutes: dict[str, int] = {}
"""Epoch milliseconds of minutes seen: the lines of a log share them (3 times as fast)."""
_seen_days: dict[str, int] = {}
"""The same of days, by the text up to the ``T``."""
