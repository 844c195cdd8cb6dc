"""What the sessions of all agents used, by provider and model, in the columns of ``agent_usage``.

A session of an agent that writes no outcome succeeded if its last call did not fail. Its
duration is that of its calls, where the logs tell. Its cost is the amount of its calls: known
unless that of one of them is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from session_usage.agent_usage import Tally, report_of
from session_usage.events import BASES, BILLED, Request
from session_usage.pricing import Prices
from session_usage.reconcile import Session
from session_usage.report import Amount, amounts, provider, times
from session_usage.session_log.payloads import SUCCESS
from session_usage.windows import Window


def aggregate_sessions(
    sessions: Iterable[Session], prices: Prices, window: Window | None = None
) -> dict[str, Any]:
    """The report on these sessions; ``window`` keeps those that started in it.

    A session counts once in the totals and once in the row of each of its models. Rows have
    ``basis`` beside their cost: how sure the weakest of its amounts is.
    """
    tallies: dict[tuple[str, str], Tally] = {}
    bases: dict[tuple[str, str], str] = {}
    total = Tally()
    for session in sessions:
        started = times(session)[0]
        if window is not None and (started is None or not window.contains(started)):
            continue
        rows: dict[tuple[str, str], list[Amount]] = {}
        for amount in amounts(session, prices):
            maker = provider(*amount) or "unknown"
            rows.setdefault((maker, amount.usage.model or "unknown"), []).append(amount)
        success = _succeeded(session)
        if rows:
            total = total.merge(_tally([one for own in rows.values() for one in own], success))
        for key, own in rows.items():
            tallies[key] = tallies.get(key, Tally()).merge(_tally(own, success))
            bases[key] = max((bases.get(key, BILLED), *_bases(own)), key=BASES.index)
    report = report_of(tallies, total, window, [])
    for row in report["rows"]:
        row["basis"] = bases[row["provider"], row["model"]]
    report["totals"]["basis"] = max(bases.values(), key=BASES.index, default=BILLED)
    return report


def _bases(amounts: list[Amount]) -> Iterable[str]:
    return (amount.quote.basis for amount in amounts)


def _succeeded(session: Session) -> bool:
    status = dict(session.meta.facts).get("status")
    if status is not None:
        return bool(status == SUCCESS)
    timed = [one for one in session.requests if one.started_ms is not None]
    last = max(timed, key=lambda one: one.started_ms or 0, default=None)
    return last is None or last.status == "ok"


def _tally(rows: list[Amount], success: bool) -> Tally:
    fresh = output = duration = read = write = known = 0
    unknown = False
    for usage, quote in rows:
        reads, writes = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
        fresh += max(0, (usage.input_tokens or 0) - reads - writes)
        read, write = read + reads, write + writes
        output += usage.output_tokens or 0
        if isinstance(usage, Request):
            duration += usage.duration_ms or 0
        if quote.nano_aiu is None:
            unknown = True
        else:
            known += quote.nano_aiu
    return Tally(
        sessions=1,
        success_sessions=int(success),
        failed_sessions=int(not success),
        input_tokens=fresh,
        output_tokens=output,
        total_tokens=fresh + read + write + output,
        duration_ms=duration,
        known_nano=known,
        known_cost_sessions=int(not unknown),
        unknown_cost_sessions=int(unknown),
        cache_read_tokens=read,
        cache_write_tokens=write,
    )
