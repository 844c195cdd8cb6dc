"""Sessions to reports: one way to add up, at three levels of detail, by any dimension.

Every view of the product is made of ``fold``, so that no two of them can disagree, and the
rows of any breakdown add up to its totals, remainders included. Field names are those on
the wire (camelCase).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from session_usage.errors import UsageError
from session_usage.events import (
    BILLED,
    COPILOT,
    FREE,
    PRICED,
    UNKNOWN,
    Calls,
    Counter,
    Problem,
    Request,
)
from session_usage.plain import Sure
from session_usage.pricing import Prices, Quote
from session_usage.projects import project_of
from session_usage.reconcile import Session
from session_usage.usage import Tally, hit_rate

DETAILS = ("minimal", "compact", "full")
DIMENSIONS = (
    "agent",
    "model",
    "provider",
    "session",
    "workspace",
    "branch",
    "day",
    "hour",
    "subagent",
    "skill",
    "tool",
    "turn",
    "surface",
    "basis",
    "billing",
)
NEEDS_FULL = frozenset({"skill", "subagent", "tool", "turn"})
"""Dimensions that take a full read of the logs."""

Usage = Request | Counter

_DAY = 86_400
_CALENDAR_END = 253_402_300_800
"""Seconds from 1970 to the year 10000, which no date on the wire can name."""


class Amount(NamedTuple):
    """One request or remainder with what it costs."""

    usage: Usage
    quote: Quote


class Zone:
    """Days and hours as the user counts them: the system's zone, or an IANA one by name."""

    def __init__(self, name: str | None = None) -> None:
        self._zone: Any = None
        if name:
            from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

            try:
                self._zone = ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise UsageError(
                    f"unknown time zone {name!r}; write an IANA name such as Europe/Berlin"
                ) from None
        self._hours: dict[int, str | None] = {}

    def hour(self, at_ms: int) -> str | None:
        """``2026-11-20T10`` of an instant; None for one that no calendar has.

        No zone changes its offset within 15 minutes.
        """
        quarter = at_ms // 900_000
        known = self._hours.get(quarter)
        if known is None:
            known = self._hours[quarter] = self._hour(quarter * 900)
        return known

    def _hour(self, seconds: int) -> str | None:
        if not 0 <= seconds < _CALENDAR_END - _DAY:  # a day less: it may be later in the zone
            return None
        if self._zone is None:
            return time.strftime("%Y-%m-%dT%H", time.localtime(seconds))
        from datetime import datetime

        return datetime.fromtimestamp(seconds, self._zone).strftime("%Y-%m-%dT%H")


def amounts(session: Session, prices: Prices) -> Iterator[Amount]:
    """Every request and every remainder of ``session``, priced."""
    return _priced((*session.requests, *session.unattributed), session, prices)


def _priced(usages: Iterable[Usage], session: Session, prices: Prices) -> Iterator[Amount]:
    local = dict(session.meta.facts).get("models_json")
    for usage in usages:
        quote = prices.quote(usage)
        if local and quote.basis == UNKNOWN and usage.input_tokens is not None:
            quote = _local_prices(prices, local).quote(usage)
        yield Amount(usage, quote)


@functools.lru_cache(maxsize=8)
def _local_prices(prices: Prices, path: str) -> Prices:
    """``prices`` and below them those of a session's own ``models.json``."""
    from session_usage.jsonl import parse_any

    try:
        with open(path, "rb") as file:
            rows = parse_any(file.read(8 << 20))
    except OSError:
        rows = None
    return prices.with_models(rows, path) if isinstance(rows, list) else prices


class Fold:
    """Adds sessions up, row by row."""

    def __init__(
        self,
        prices: Prices,
        by: Iterable[str] = (),
        contains: Callable[[int], bool] | None = None,
        zone: Zone | None = None,
    ) -> None:
        self.by = tuple(by)
        for dimension in self.by:
            if dimension not in DIMENSIONS:
                known = ", ".join(DIMENSIONS)
                raise UsageError(f"cannot group by {dimension!r}; choose from: {known}")
        self.totals = Tally()
        self.rows: dict[tuple[Any, ...], Tally] = {}
        self._met: set[int] = set()
        self._prices = prices
        self._sure = Sure(prices)
        self._contains = contains
        self._zone = zone or Zone()

    def add(self, session: Session) -> bool:
        """Counts what of ``session`` lies in the window; False when nothing does."""
        touched: set[tuple[Any, ...]] = set()
        contains = self._contains
        others: list[Usage] = [*session.unattributed]
        anything = False
        for calls in session.calls:
            if self.by:
                others += calls.requests()
            elif self._add_rows(calls, others):
                anything = True
        if self.by:
            others += session.requests
        elif self._add_known(session, others):
            anything = True
        for usage, quote in _priced(others, session, self._prices):
            if contains is not None:
                at_ms = moment(usage)
                if at_ms is None or not contains(at_ms):
                    continue
            anything = True
            self.totals.add(usage, quote.nano_aiu, quote.basis, quote.billing)
            if self.by:
                key = tuple(self._value(name, session, usage, quote) for name in self.by)
                row = self.rows.get(key)
                if row is None:
                    row = self.rows[key] = Tally()
                row.add(usage, quote.nano_aiu, quote.basis, quote.billing)
                touched.add(key)
        if "tool" in self.by:
            touched |= self._tools(session)
        if session.id is not None:
            # what other sessions' files tell of a session comes as a second part of it
            for key in touched:
                self.rows[key].sessions += self._is_new(session, key)
            if anything:
                self.totals.sessions += self._is_new(session, None)
        return anything

    def _add_known(self, session: Session, others: list[Usage]) -> bool:
        """Counts the calls whose amount is billed, or priced without any assumption, all at once;
        the rest goes to ``others``. Was there any?"""
        contains, sure = self._contains, self._sure.amount
        known: dict[tuple[str, str], tuple[list[Request], list[int]]] = {}
        for request in session.requests:
            amount, basis = request.nano_aiu, BILLED
            if amount is None:
                amount, basis = sure(request), PRICED
            if amount is None:
                others.append(request)
            elif contains is None or (
                request.started_ms is not None and contains(request.started_ms)
            ):
                row = known.get((basis, request.billing))
                if row is None:
                    row = known[basis, request.billing] = [], []
                row[0].append(request)
                row[1].append(amount)
        for (basis, billing), (requests, amounts) in known.items():
            self.totals.add_known(requests, sum(amounts), basis, billing)
        return bool(known)

    def _add_rows(self, calls: Calls, others: list[Usage]) -> bool:
        """The same for calls that come together."""
        contains, rows, shared = self._contains, calls.rows, calls.shared
        if contains is not None:
            rows = [row for row in rows if row.started_ms is not None and contains(row.started_ms)]
        billed = [row for row in rows if row.nano_aiu is not None]
        if billed:
            paid = sum(row.nano_aiu or 0 for row in billed)
            self.totals.add_rows(shared, billed, paid, BILLED)
        if len(billed) < len(rows):
            priced = rows if not billed else [row for row in rows if row.nano_aiu is None]
            spent = self._sure.sum(shared, priced)
            if spent is None:
                amounts = self._sure.amounts(shared, priced)
                pairs = list(zip(priced, amounts, strict=True))
                unsure = [row for row, amount in pairs if amount is None]
                others += calls._replace(rows=unsure).requests()
                priced = [row for row, amount in pairs if amount is not None]
                spent = sum(amount for amount in amounts if amount is not None)
            if priced:
                self.totals.add_rows(shared, priced, spent, PRICED)
        return bool(rows)

    def merge(self, totals: Tally, rows: dict[tuple[Any, ...], Tally]) -> None:
        """Adds what was added up elsewhere, of other agents' sessions."""
        self.totals.merge(totals)
        for key, tally in rows.items():
            self.rows.setdefault(key, Tally()).merge(tally)

    def _is_new(self, session: Session, key: tuple[Any, ...] | None) -> bool:
        mark = hash((session.agent, session.id, key))
        if mark in self._met:
            return False
        self._met.add(mark)
        return True

    def _tools(self, session: Session) -> set[tuple[Any, ...]]:
        """Calls per tool. Their rows hold no money: that stays with the requests."""
        touched = set()
        for call in session.tools:
            if self._contains is not None and (
                call.at_ms is None or not self._contains(call.at_ms)
            ):
                continue
            stand_in = Request(
                call.key, call.agent, call.session, "", call.path, call.offset, call.at_ms,
                subagent=call.subagent, skill=call.skill, turn=call.turn,
            )  # fmt: skip
            nothing = Quote(None, UNKNOWN, COPILOT, None)
            key = tuple(
                call.name
                if name == "tool"
                else None
                if name in ("model", "provider", "surface", "basis", "billing")
                else self._value(name, session, stand_in, nothing)
                for name in self.by
            )
            self.rows.setdefault(key, Tally()).tool_calls += 1
            touched.add(key)
        return touched

    def _value(self, name: str, session: Session, usage: Usage, quote: Quote) -> Any:
        if name == "model":
            return usage.model
        if name == "agent":
            return session.agent
        if name == "session":
            return session.id
        if name in ("day", "hour"):
            at_ms = moment(usage)
            hour = None if at_ms is None else self._zone.hour(at_ms)
            return hour[:10] if hour and name == "day" else hour
        if name == "subagent":
            return "/".join(usage.subagent) or "main"
        if name == "workspace":
            return project_of(
                getattr(usage, "cwd", None) or session.meta.workspace, session.meta.project
            )
        if name == "branch":
            return getattr(usage, "branch", None) or session.meta.branch
        if name == "basis":
            return quote.basis
        if name == "billing":
            return quote.billing
        if name == "provider":
            return provider(usage, quote)
        if name == "tool":
            return None
        return getattr(usage, name, None)  # skill, turn, surface

    def wire(self) -> dict[str, Any]:
        """``{"totals", "rows"}``, the most expensive rows first."""
        rows = sorted(
            self.rows.items(),
            key=lambda item: (-(item[1].nano_aiu or 0), -item[1].tool_calls, str(item[0])),
        )
        if self.by and self.by[0] in ("day", "hour"):
            rows.sort(key=lambda item: str(item[0][0] or ""))
        return {
            "totals": self.totals.wire(),
            "rows": [
                {
                    "key": dict(zip(self.by, key, strict=True)),
                    **tally.wire(),
                    **({"toolCalls": tally.tool_calls} if "tool" in self.by else {}),
                }
                for key, tally in rows
            ],
        }


def provider(usage: Usage, quote: Quote) -> str | None:
    """Whose endpoint answered: as logged, else Copilot for what Copilot bills."""
    said = getattr(usage, "provider", None)
    if said:
        return str(said)
    return "copilot" if quote.billing in (COPILOT, FREE) else None


def moment(usage: Usage) -> int | None:
    """When it happened: a request's start (RULES R16), the start of a counter's turn or run."""
    if type(usage) is Request:
        return usage.started_ms
    assert type(usage) is Counter
    return usage.since_ms if usage.scope == "turn" and usage.since_ms else usage.at_ms


def session_report(session: Session, prices: Prices, detail: str = "compact") -> dict[str, Any]:
    """One session as ``SessionReport``; raises UsageError for an unknown level of detail.

    ``minimal`` is identity, times and totals; ``compact`` adds the breakdowns, remainders,
    sources and problems; ``full`` adds every turn and every request.
    """
    if detail not in DETAILS:
        raise UsageError(f"unknown detail {detail!r}; choose one of: {', '.join(DETAILS)}")
    priced = list(amounts(session, prices))
    begin, end = times(session)
    totals = Tally()
    totals.sessions = 1
    for usage, quote in priced:
        totals.add(usage, quote.nano_aiu, quote.basis, quote.billing)
    meta = session.meta
    report: dict[str, Any] = {
        "agent": session.agent,
        "id": session.id,
        "title": meta.title,
        "workspace": meta.workspace,
        "project": project_of(meta.workspace, meta.project),
        "branch": meta.branch,
        "version": meta.version,
        "createdAt": iso(meta.created_ms or begin),
        "startedAt": iso(begin),
        "endedAt": iso(end),
        "durationMs": None if begin is None or end is None else end - begin,
        "activeMs": active(session),
        "totals": totals.wire(),
    }
    if detail == "minimal":
        return report
    report.update(
        models=_breakdown(priced, "model", lambda usage: usage.model),
        subagents=_breakdown(priced, "subagent", lambda usage: "/".join(usage.subagent) or "main"),
        skills=_breakdown(priced, "skill", lambda usage: getattr(usage, "skill", None)),
        tools=_tool_rows(session),
        unattributed=[
            {**_figures(usage, quote), "reason": usage.reason, "source": usage.source}
            for usage, quote in priced
            if type(usage) is Counter
        ],
        sources=[
            {"source": total.source, "requests": total.requests, "nanoAiu": total.nano_aiu}
            for total in session.totals
        ],
        problems=[problem_wire(problem) for problem in session.problems],
    )
    if detail == "full":
        report["turns"] = _turn_rows(session, priced)
        report["requests"] = [
            {
                "key": usage.key,
                "turn": usage.turn,
                "subagent": list(usage.subagent),
                "surface": usage.surface,
                "status": usage.status,
                "skill": usage.skill,
                "durationMs": usage.duration_ms,
                "timeToFirstTokenMs": usage.ttft_ms,
                **_figures(usage, quote),
                "source": usage.source,
            }
            for usage, quote in priced
            if type(usage) is Request
        ]
    return report


def _breakdown(
    priced: list[Amount], name: str, value: Callable[[Usage], str | None]
) -> list[dict[str, Any]]:
    rows: dict[str | None, Tally] = {}
    for usage, quote in priced:
        rows.setdefault(value(usage), Tally()).add(
            usage, quote.nano_aiu, quote.basis, quote.billing
        )
    for tally in rows.values():
        tally.sessions = 1
    ordered = sorted(rows.items(), key=lambda item: (-(item[1].nano_aiu or 0), str(item[0])))
    return [{name: key, **tally.wire()} for key, tally in ordered]


def _tool_rows(session: Session) -> list[dict[str, Any]]:
    counts: dict[tuple[str, str | None, str], int] = {}
    for call in session.tools:
        key = call.name, call.skill, "/".join(call.subagent) or "main"
        counts[key] = counts.get(key, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    return [
        {"tool": tool, "skill": skill, "subagent": subagent, "calls": calls}
        for (tool, skill, subagent), calls in ordered
    ]


def _turn_rows(session: Session, priced: list[Amount]) -> list[dict[str, Any]]:
    by_turn: dict[str | None, Tally] = {turn.key: Tally() for turn in session.turns}
    for usage, quote in priced:
        key = getattr(usage, "turn", None)
        row = by_turn.setdefault(key if key in by_turn else None, Tally())
        row.add(usage, quote.nano_aiu, quote.basis, quote.billing)
    started = {turn.key: turn for turn in session.turns}
    return [
        {
            "turn": key,
            "startedAt": iso(started[key].at_ms) if key in started else None,
            "path": started[key].path if key in started else None,
            "offset": started[key].offset if key in started else None,
            **tally.wire(),
        }
        for key, tally in by_turn.items()
    ]


def _figures(usage: Usage, quote: Quote) -> dict[str, Any]:
    return {
        "model": usage.model,
        "startedAt": iso(moment(usage)),
        "requests": usage.requests if type(usage) is Counter else 1,
        "inputTokens": usage.input_tokens,
        "cacheReadTokens": usage.cache_read_tokens,
        "cacheWriteTokens": usage.cache_write_tokens,
        "outputTokens": usage.output_tokens,
        "reasoningTokens": usage.reasoning_tokens,
        "cacheHitRate": hit_rate(usage.cache_read_tokens, usage.input_tokens),
        "nanoAiu": quote.nano_aiu,
        "basis": quote.basis,
        "billing": quote.billing,
        "assumptions": list(quote.assumptions),
        "path": usage.path,
        "offset": usage.offset,
    }


def problem_wire(problem: Problem) -> dict[str, Any]:
    """A problem as JSON fields."""
    return {
        "kind": problem.kind,
        "path": problem.path,
        "offset": problem.offset,
        "message": problem.text,
        "agent": problem.agent,
        "session": problem.session,
    }


def routing(session: Session, check: Callable[[], object] = lambda: None) -> dict[str, Any] | None:
    """How a session of a plain agent log was routed, from that log; None for other agents."""
    if session.agent != "agent-log":
        return None
    from session_usage.routing import session_routing

    evidence: tuple[Any, ...] = (
        *session.requests, *session.turns, *session.tools, *session.problems
    )  # fmt: skip
    path = next((each.path for each in evidence), None)
    return None if path is None else session_routing(path, check)


def times(session: Session) -> tuple[int | None, int | None]:
    """First and last moment of the session's requests and turns, epoch milliseconds."""
    moments = [usage.started_ms for usage in session.requests if usage.started_ms]
    moments += [
        usage.started_ms + usage.duration_ms
        for usage in session.requests
        if usage.started_ms and usage.duration_ms
    ]
    moments += [turn.at_ms for turn in session.turns if turn.at_ms]
    moments += [at_ms for row in session.unattributed if (at_ms := moment(row))]
    moments += [row.at_ms for row in session.unattributed if row.at_ms]
    if not moments:
        return session.meta.created_ms, session.meta.updated_ms
    return min(moments), max(moments)


def active(session: Session) -> int | None:
    """Milliseconds in which a model was at work, parallel calls counted once; None unknown."""
    spans = sorted(
        (request.started_ms, request.started_ms + request.duration_ms)
        for request in session.requests
        if request.started_ms is not None and request.duration_ms is not None
    )
    if not spans:
        return None
    total, reached = 0, spans[0][0]
    for begin, end in spans:
        if end > reached:
            total += end - max(begin, reached)
            reached = end
    return total


def iso(at_ms: int | None) -> str | None:
    """Epoch milliseconds as ISO-8601 UTC with milliseconds; None for None and beyond 1970-9999."""
    if at_ms is None or not 0 <= at_ms < _CALENDAR_END * 1000:
        return None
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_ms // 1000))
    return f"{whole}.{at_ms % 1000:03d}Z"
