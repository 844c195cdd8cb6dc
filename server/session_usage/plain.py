"""Amounts that take no assumption, quickly: most calls are like the call before.

``pricing`` says what a call costs and what had to be assumed for that. Where nothing has to, the
rates of a model on a day and the tokens alone give the amount, and this module gives the same.
"""

from __future__ import annotations

from session_usage.rates import Band

_PER = 1_000_000
Steps = tuple[tuple[int, int | None, int, int, int | None, int | None, int], ...]
"""For each length of prompt, the longest first: shortest and longest prompt; rates of fresh
input, cache read, cache write, the same for an hour, output."""


def steps(bands: list[Band]) -> Steps:
    """The rates of these bands; none where an amount by them takes an assumption."""
    found = []
    for low, rate, late in reversed(bands):
        if late or rate.note or rate.cache_read is None:
            return ()
        cache = rate.cache_read, rate.cache_write, rate.cache_write_1h
        found.append((low, rate.high, rate.input, *cache, rate.output))
    return tuple(found)


def amount(
    among: Steps,
    prompt: int | None,
    read: int | None,
    write: int | None,
    hour: int | None,
    output: int | None,
) -> int | None:
    """Nano-AIU of a call by these rates; None where its figures leave something to assume."""
    if prompt is None or output is None or read is None:
        return None
    for step in among:
        if step[0] <= prompt:
            break
    else:
        return None
    _, high, fresh_rate, read_rate, write_rate, hour_rate, output_rate = step
    if high is not None and prompt > high:
        return None
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
