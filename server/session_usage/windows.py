"""Spans of time, as people write them: one grammar for the API, the CLI and JSON-RPC.

::

    (nothing)                   all time
    today                       the calendar day of now
    month                       the calendar month of now
    billing-month               the UTC calendar month of now: bills are UTC, whatever the zone
    90m  24h  7d                that many minutes, hours, days (of 24 hours) up to now
    2026-06-01                  that day
    2026-06-01T10:00:00Z        24 hours from that instant
    A..B  A..  ..B              from A to B; a date as B means the end of that day

All spans are half-open: the start is in, the end is not. Days and months are those of the
zone (UTC unless another IANA zone is named), so that a day may have 23 or 25 hours. Instants
are RFC 3339; without an offset they are read in the zone.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import NamedTuple

from session_usage.errors import BadWindow

_MINUTE = 60_000
_UNITS = {"m": _MINUTE, "h": 60 * _MINUTE, "d": 24 * 60 * _MINUTE}
_DAY = _UNITS["d"]
_EPOCH = datetime(1970, 1, 1)
_TICK = timedelta(milliseconds=1)
_SPAN = re.compile(r"([0-9]{1,7})([mhd])")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_INSTANT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?"
    r"(?:(Z)|([+-])([0-9]{2}):([0-9]{2}))?"
)
_GRAMMAR = (
    "write today, month, billing-month, 7d, 24h, 90m, 2026-06-01, 2026-06-01T10:00:00Z, "
    "or FROM..TO with either side open"
)


class Window(NamedTuple):
    """A half-open span ``[start_ms, end_ms)`` of epoch milliseconds; None is an open side."""

    start_ms: int | None = None
    end_ms: int | None = None

    def contains(self, ms: int) -> bool:
        """Is this instant inside?"""
        return (self.start_ms is None or self.start_ms <= ms) and (
            self.end_ms is None or ms < self.end_ms
        )


def parse(text: str, now_ms: int, zone: str = "UTC") -> Window:
    """The window that ``text`` names; raises BadWindow for anything outside the grammar.

    ``now_ms`` is what relative windows count from; ``zone`` is ``UTC`` or an IANA name.
    """
    where = _zone(zone)
    spec = text.strip()
    try:
        window = _parse(spec, now_ms, where)
    except (ValueError, OverflowError):  # no such day, or one beyond the calendar
        window = None
    if window is None:
        raise BadWindow(f"no such window {_quoted(text)}: {_GRAMMAR}")
    start, end = window
    if start is not None and end is not None and start >= end:
        raise BadWindow(f"window {_quoted(text)} ends before it starts: {_GRAMMAR}")
    return window


def bound(text: str, now_ms: int, zone: str = "UTC", end: bool = False) -> int:
    """The instant that a ``since`` (or, with ``end``, an ``until``) names, epoch milliseconds.

    Takes ``today``, ``7d``, ``24h``, ``90m`` (that long before now), dates and instants, also
    with a blank in place of the T. A date or ``today`` is the start of that day, with ``end``
    the start of the next one. Raises BadWindow; week dates and dates without dashes are
    refused on every Python version.
    """
    where = _zone(zone)
    spec = text.strip()
    if len(spec) > 10 and spec[10] == " ":
        spec = f"{spec[:10]}T{spec[11:]}"
    try:
        if spec == "today":
            day = _day_of(now_ms, where)
            return _midnight(day + timedelta(days=1) if end else day, where)
        span = _SPAN.fullmatch(spec)
        found = now_ms - int(span[1]) * _UNITS[span[2]] if span else _side(spec, where, end)
    except (ValueError, OverflowError):
        found = None
    if found is None:
        raise BadWindow(
            f"no such time {_quoted(text)}: write 2026-06-01, 2026-06-01T10:00:00Z, "
            "today, 7d, 24h or 90m"
        )
    return found


def instant(text: str) -> int | None:
    """An RFC 3339 time with its offset as epoch milliseconds (rounded down); None for others."""
    match = _INSTANT.fullmatch(text)
    if match is None or match[6] is None or not (match[8] or match[9]):
        return None
    try:
        return _moment(match, timezone.utc)
    except (ValueError, OverflowError):
        return None


def written(ms: int) -> str:
    """An instant as RFC 3339 in UTC; what is beyond the calendar is written as its end."""
    try:
        moment = _EPOCH + ms * _TICK
    except OverflowError:
        moment = datetime.min if ms < 0 else datetime.max.replace(microsecond=0)
    return f"{moment.isoformat(timespec='milliseconds' if moment.microsecond else 'seconds')}Z"


def _parse(spec: str, now_ms: int, where: tzinfo) -> Window | None:
    if not spec:
        return Window()
    if spec == "today":
        return _days(_day_of(now_ms, where), where)
    if spec == "month":
        return _month(_day_of(now_ms, where), where)
    if spec == "billing-month":
        return _month(_day_of(now_ms, timezone.utc), timezone.utc)
    span = _SPAN.fullmatch(spec)
    if span:
        return Window(now_ms - int(span[1]) * _UNITS[span[2]], now_ms)
    if ".." in spec:
        first, last = (side.strip() for side in spec.split("..", 1))
        start = _side(first, where, end=False) if first else None
        stop = _side(last, where, end=True) if last else None
        known = (bool(first), bool(last)) == (start is not None, stop is not None)
        return Window(start, stop) if known and (first or last) else None
    day = _date(spec)
    if day:
        return _days(day, where)
    start = _side(spec, where, end=False)
    return None if start is None else Window(start, start + _DAY)


def _side(spec: str, where: tzinfo, end: bool) -> int | None:
    """One side of a window: an instant, or a date's start or end."""
    day = _date(spec)
    if day:
        return _midnight(day + timedelta(days=1) if end else day, where)
    match = _INSTANT.fullmatch(spec)
    return _moment(match, where) if match else None


def _date(spec: str) -> date | None:
    match = _DATE.fullmatch(spec)
    return date(int(match[1]), int(match[2]), int(match[3])) if match else None


def _moment(match: re.Match[str], where: tzinfo) -> int:
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    wall = datetime(year, month, day, hour, minute, second)
    fraction = int((match[7] or "").ljust(3, "0")[:3])
    if match[8]:
        return _ms(wall) + fraction
    if match[9]:
        hours, minutes = int(match[10]), int(match[11])
        if hours > 23 or minutes > 59:
            raise ValueError("no such offset")
        offset = (hours * 60 + minutes) * _MINUTE
        return _ms(wall) + fraction - (offset if match[9] == "+" else -offset)
    return _local(wall, where) + fraction


def _days(day: date, where: tzinfo) -> Window:
    return Window(_midnight(day, where), _midnight(day + timedelta(days=1), where))


def _month(day: date, where: tzinfo) -> Window:
    first = day.replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return Window(_midnight(first, where), _midnight(following, where))


def _day_of(ms: int, where: tzinfo) -> date:
    return (_EPOCH + ms * _TICK).replace(tzinfo=timezone.utc).astimezone(where).date()


def _midnight(day: date, where: tzinfo) -> int:
    return _local(datetime(day.year, day.month, day.day), where)


def _local(wall: datetime, where: tzinfo) -> int:
    """A wall clock's time as an instant: the first of two; a skipped one as if not yet moved."""
    offset = wall.replace(tzinfo=where).utcoffset()
    return _ms(wall) - (offset // _TICK if offset else 0)


def _ms(wall: datetime) -> int:
    return (wall - _EPOCH) // _TICK


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return timezone.utc
    from zoneinfo import ZoneInfo  # slow to import, and most callers never need it

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; malformed; a folder of the database
        raise BadWindow(
            f"unknown time zone {_quoted(name)}: write an IANA name such as Europe/Berlin"
        ) from None


def _quoted(text: str) -> str:
    """The caller's text on one line and not too long."""
    return repr(text if len(text) <= 60 else f"{text[:60]}…")
