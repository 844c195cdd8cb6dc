"""Amounts that take no assumption, quickly: most calls are like the call before.

``pricing`` says what a call costs and what had to be assumed for that. Where nothing has to, the
rates of a model on a day and the tokens alone give the amount, and this module gives the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import add, sub
from typing import Any

from session_usage.events import Request, Row
from session_usage.pricing import Prices
from session_usage.rates import DAY_MS, Band

_PER = 1_000_000
_PROMPT = Row._fields.index("input_tokens")
_REASONING = Row._fields.index("reasoning_tokens")
_Step = tuple[int, int | None, int, int, int | None, int | None, int]
Steps = tuple[_Step, ...]
"""For each length of prompt, the longest first: shortest and longest prompt; rates of fresh
input, cache read, cache write, the same for an hour, output."""


class Sure:
    """The amounts of calls that are priced without any assumption, by these prices."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._known: dict[tuple[Any, ...], Steps] = {}

    def amount(self, request: Request) -> int | None:
        """The same amount as ``Prices.quote`` gives, at a tenth of the time; None: see there."""
        at_ms = request.started_ms
        if at_ms is None or request.nano_aiu is not None or request.web_searches or request.auto:
            return None
        found = self._steps(request, at_ms // DAY_MS)
        return amount(found, request) if found else None

    def amounts(self, shared: Request, rows: Sequence[Row]) -> list[int | None]:
        """The same for each of these calls, which have all else in common."""
        if shared.web_searches or shared.auto:
            return [None] * len(rows)
        found: list[int | None] = []
        for row in rows:
            at_ms = row.started_ms
            if at_ms is None or row.nano_aiu is not None:
                found.append(None)
                continue
            among = self._steps(shared, at_ms // DAY_MS)
            found.append(amount(among, row) if among else None)
        return found

    def sum(self, shared: Request, rows: Sequence[Row]) -> int | None:
        """The sum of ``amounts`` of calls without a bill, in columns; None where that takes
        looking at them one by one."""
        columns = list(zip(*rows, strict=True))
        times, figures = columns[_PROMPT - 1], columns[_PROMPT:_REASONING]
        if shared.web_searches or shared.auto or None in times:
            return None
        days = {at_ms // DAY_MS for at_ms in times}
        among = {self._steps(shared, day) for day in days}
        return total(among.pop(), *figures) if len(among) == 1 else None

    def _steps(self, call: Request, day: int) -> Steps:
        """The rates of a day (days since 1970); none where they take an assumption."""
        asked = call.model, call.provider, call.billing, call.tier, day
        found = self._known.get(asked)
        if found is None:
            found = self._known[asked] = steps(self._prices.bands(*asked))
        return found


def steps(bands: list[Band]) -> Steps:
    """The rates of these bands; none where an amount by them takes an assumption."""
    found = []
    for low, rate, late in reversed(bands):
        if late or rate.note or rate.cache_read is None:
            return ()
        cache = rate.cache_read, rate.cache_write, rate.cache_write_1h
        found.append((low, rate.high, rate.input, *cache, rate.output))
    return tuple(found)


def amount(among: Steps, call: Request | Row) -> int | None:
    """Nano-AIU of a call by these rates; None where its figures leave something to assume."""
    prompt, output = call.input_tokens, call.output_tokens
    read, write = call.cache_read_tokens, call.cache_write_tokens
    hour = call.cache_write_1h_tokens
    if prompt is None or output is None or read is None:
        return None
    step = _step(among, prompt)
    if step is None:
        return None
    _, _, fresh_rate, read_rate, write_rate, hour_rate, output_rate = step
    if write:
        if write_rate is None or read + write > prompt:
            return None
        total = (prompt - read - write) * fresh_rate
        if hour:
            if hour_rate is None or hour > write:
                return None
            total += (write - hour) * write_rate + hour * hour_rate
        else:
            total += write * write_rate
    elif hour or read > prompt or (write is None and write_rate not in (None, fresh_rate)):
        return None
    else:
        total = (prompt - read) * fresh_rate
    total += read * read_rate + output * output_rate
    return (2 * total + _PER) // (2 * _PER)


def total(
    among: Steps,
    prompts: Sequence[Any],
    reads: Sequence[Any],
    writes: Sequence[Any],
    hours: Sequence[Any],
    outputs: Sequence[Any],
) -> int | None:
    """The sum of ``amount`` over calls, one column a figure, at a tenth of the time.

    None where they must be looked at one by one: a figure that only some calls have, prompts
    that are priced unalike, amounts that have to be rounded.
    """
    if None in prompts or None in reads or None in outputs:
        return None
    step = _step(among, min(prompts))
    if step is None or step is not _step(among, max(prompts)):
        return None
    _, _, fresh_rate, read_rate, write_rate, hour_rate, output_rate = step
    if None in writes:
        if any(writes) or 0 in writes or write_rate not in (None, fresh_rate):
            return None
        writes = (0,) * len(prompts)
    if None in hours:
        if any(hours) or 0 in hours:
            return None
        hours = (0,) * len(prompts)
    prompt, read, write, hour = sum(prompts), sum(reads), sum(writes), sum(hours)
    if (
        (write and write_rate is None)
        or (hour and hour_rate is None)
        or max(map(sub, map(add, reads, writes), prompts)) > 0
        or max(map(sub, hours, writes)) > 0
        or any(rate % _PER for rate in step[2:] if rate)
    ):
        return None
    spent: int = (prompt - read - write) * fresh_rate + read * (read_rate or 0)
    spent += (write - hour) * (write_rate or 0) + hour * (hour_rate or 0)
    spent += sum(outputs) * output_rate
    return spent // _PER


def _step(among: Steps, prompt: int) -> _Step | None:
    """The rates for a prompt of this length."""
    for step in among:
        if step[0] <= prompt:
            return step if step[1] is None or prompt <= step[1] else None
    return None
