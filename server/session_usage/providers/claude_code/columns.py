"""Figures of many calls at once: a column of them is read in a third of the time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import repeat
from operator import add
from typing import Any

from session_usage.events import Row
from session_usage.jsonl import parse_any

_row = partial(tuple.__new__, Row)
_NOTHING = (repeat(None),) * 3
Written = tuple[str, int, int, tuple[bytes, ...]]
"""A call as it is written: its key; the offset of its line; epoch milliseconds of its minute;
second, thousandth, output, fresh input, cache read, cache write, that for an hour and that for
less, thinking. All calls have the same of these, and what they do not have is None."""


def rows(calls: Sequence[Written]) -> list[Row]:
    """The calls; what is read from the cache and written to it is a part of the prompt (R14)."""
    keys, offsets, minutes, figures = zip(*calls, strict=True)
    seconds, parts, *columns = zip(*figures, strict=True)
    outputs, fresh, reads, writes, hours, rests, thoughts = map(_numbers, columns)
    writes = _writes(writes, hours, rests)
    times = map(add, minutes, map(int, map(add, seconds, parts)))
    prompts = [
        new + (read or 0) + (write or 0)
        for new, read, write in zip(fresh, reads, writes, strict=True)
    ]
    figures = prompts, reads, writes, hours, outputs, thoughts
    return [*map(_row, zip(keys, offsets, times, *figures, *_NOTHING))]  # noqa: B905 endless


def _numbers(column: Sequence[bytes | None]) -> Sequence[Any]:
    return column if column[0] is None else parse_any(b"[%s]" % b",".join(column))  # type: ignore[arg-type]


def _writes(writes: Sequence[Any], hours: Sequence[Any], rests: Sequence[Any]) -> Sequence[Any]:
    """What was written to the cache: the whole, or its two parts where they are more."""
    if hours[0] is None and rests[0] is None:
        return writes
    if writes[0] is not None and writes == rests and not any(hours):  # as most calls have it
        return writes
    parts = [(hour or 0) + (rest or 0) for hour, rest in zip(hours, rests, strict=True)]
    return [
        part if write is None or part > write else write
        for write, part in zip(writes, parts, strict=True)
    ]
