"""What the sessions of one folder of plain agent logs used, by provider and model.

A session is a log with a ``session.start`` and a ``session.end`` that can be decoded. The
first start gives provider, model and the time that a window tests; the last end gives status,
tokens, cost and duration. Every status but ``success`` is a failure.

Costs are what the agent reported, never estimated. ``known_cost_usd`` of a row is null as
soon as one of its sessions has no known cost, because it would look like the whole;
``partial_cost_usd`` is the sum of the costs that are known, and ``unknown_cost_sessions``
says how many are missing from it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from session_usage import money
from session_usage.events import Problem
from session_usage.places import entries
from session_usage.session_log import SESSION_END, SESSION_START, Event, stream_events
from session_usage.session_log.payloads import SUCCESS, SessionEndData, SessionStartData
from session_usage.windows import Window, written

COLUMNS = (
    "provider",
    "model",
    "sessions",
    "success_sessions",
    "failed_sessions",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "duration_ms",
    "known_cost_usd",
    "unknown_cost_sessions",
    "success_rate",
    "cost_per_success",
    "input_tokens_per_second",
    "output_tokens_per_second",
    "cache_read_tokens",
    "cache_write_tokens",
)
"""Columns of the CSV form, in order."""


class Tally(NamedTuple):
    """Sums over sessions; two tallies of different sessions can be merged in any order."""

    sessions: int = 0
    success_sessions: int = 0
    failed_sessions: int = 0
    input_tokens: int = 0
    """Without the cache parts."""
    output_tokens: int = 0
    total_tokens: int = 0
    duration_ms: int = 0
    known_nano: int = 0
    known_cost_sessions: int = 0
    unknown_cost_sessions: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    def merge(self, other: Tally) -> Tally:
        """The sums over the sessions of both."""
        return Tally(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def known_cost(self) -> float | None:
        """USD of all sessions; None unless every one of them has a known cost."""
        if self.unknown_cost_sessions or not self.known_cost_sessions:
            return None
        return money.usd(self.known_nano)

    def row(self, provider: str, model: str) -> dict[str, Any]:
        """The tally as a row of the report, with the figures that follow from it."""
        cost = self.known_cost()
        return {
            "provider": provider,
            "model": model,
            "sessions": self.sessions,
            "success_sessions": self.success_sessions,
            "failed_sessions": self.failed_sessions,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "total_tokens": self.total_tokens,
            "duration_ms": self.duration_ms,
            "known_cost_usd": cost,
            "partial_cost_usd": money.usd(self.known_nano)
            if self.known_cost_sessions or self.known_nano
            else None,
            "unknown_cost_sessions": self.unknown_cost_sessions,
            "success_rate": share(self.success_sessions, self.sessions),
            "cost_per_success": cost_per_success(cost, self.success_sessions),
            "input_tokens_per_second": per_second(self.input_tokens, self.duration_ms),
            "output_tokens_per_second": per_second(self.output_tokens, self.duration_ms),
            "cache_hit_rate": cache_hit_rate(
                self.input_tokens, self.cache_read_tokens, self.cache_write_tokens
            ),
            "cache_read_tokens": self.cache_read_tokens,
            "cache_write_tokens": self.cache_write_tokens,
        }


def share(part: float, whole: float) -> float:
    """``part / whole``; 0 of nothing is 0."""
    return part / whole if whole else 0.0


def cost_per_success(cost: float | None, successes: int) -> float | None:
    """Cost of one successful session; None if the cost is unknown or nothing succeeded."""
    return None if cost is None or not successes else cost / successes


def per_second(tokens: int, duration_ms: int) -> float:
    """Tokens per second of run time; 0 without any."""
    return tokens / (duration_ms / 1000) if duration_ms > 0 else 0.0


def cache_hit_rate(fresh: int, cache_read: int, cache_write: int) -> float:
    """The share of the prompt that came from the cache; ``fresh`` is the part outside of it."""
    return share(cache_read, fresh + cache_read + cache_write)


def aggregate_usage(
    directories: str | Iterable[str], window: Window | None = None
) -> dict[str, Any]:
    """The report on the logs that lie directly in a folder, or in several; a missing one is empty.

    ``window`` keeps the sessions that started in it. A log that cannot be read to its end
    counts for nothing and is named under ``skipped`` with the reason.
    """
    folders = [directories] if isinstance(directories, str) else directories
    tallies: dict[tuple[str, str], Tally] = {}
    skipped: list[dict[str, Any]] = []
    total = Tally()
    for path in (path for folder in folders for path in logs(folder)):
        session = _session(path)
        if isinstance(session, Problem):
            skipped.append(skip(session))
        elif session is not None and (window is None or window.contains(session.start_ms)):
            key = session.provider, session.model
            tallies[key] = tallies.get(key, Tally()).merge(session.tally)
            total = total.merge(session.tally)
    return report_of(tallies, total, window, skipped)


def report_of(
    tallies: dict[tuple[str, str], Tally],
    total: Tally,
    window: Window | None,
    skipped: list[dict[str, Any]],
) -> dict[str, Any]:
    """Rows by provider and model, and their totals, as JSON values."""
    return {
        "window": None if window is None else _sides(window),
        "rows": [tallies[key].row(*key) for key in sorted(tallies)],
        "totals": total.row("", ""),
        "skipped": skipped,
    }


def csv_text(report: dict[str, Any]) -> str:
    """The rows of a report as CSV, its totals last as TOTAL; unknown figures are empty."""
    import csv
    import io

    out = io.StringIO()
    table = csv.DictWriter(out, COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(report["rows"])
    table.writerow(report["totals"] | {"provider": "TOTAL"})
    return out.getvalue()


def logs(directory: str) -> Iterator[str]:
    """Paths of the agent logs that lie directly in a folder, by name."""
    for entry in entries(directory) if directory else ():
        if entry.name.endswith(".jsonl") and not os.path.isdir(entry.path):
            yield entry.path


def skip(problem: Problem) -> dict[str, Any]:
    """A log that could not be read, as it is named in reports."""
    return {"path": problem.path, "offset": problem.offset, "reason": problem.text}


def _sides(window: Window) -> dict[str, str | None]:
    sides = zip(("start", "end"), window, strict=True)
    return {name: None if ms is None else written(ms) for name, ms in sides}


class _Session(NamedTuple):
    provider: str
    model: str
    start_ms: int
    tally: Tally


def _session(path: str) -> _Session | Problem | None:
    start: tuple[Event, SessionStartData] | None = None
    end: tuple[Event, SessionEndData] | None = None
    for item in stream_events(path):
        if isinstance(item, Problem):
            return item
        if item.type == SESSION_START and start is None and (payload := item.payload()):
            start = item, payload
        elif item.type == SESSION_END and (payload := item.payload()):
            end = item, payload
    if start is None or end is None:
        return None
    begun, ended = start[0].at_ms, end[0].at_ms
    asked, result = start[1], end[1]
    duration = result.duration_ms
    return _Session(
        asked.provider or "unknown",
        asked.model or result.model or "unknown",
        begun,
        _tally(result, duration if duration > 0 else max(0, ended - begun)),
    )


def _tally(result: SessionEndData, duration_ms: int) -> Tally:
    success = result.status == SUCCESS
    cost = None if result.cost_usd is None else money.nano(result.cost_usd, money.NANO_PER_USD)
    return Tally(
        sessions=1,
        success_sessions=int(success),
        failed_sessions=int(not success),
        input_tokens=result.tokens.input,
        output_tokens=result.tokens.output,
        total_tokens=result.tokens.overall,
        duration_ms=duration_ms,
        known_nano=cost or 0,
        known_cost_sessions=int(cost is not None),
        unknown_cost_sessions=int(cost is None),
        cache_read_tokens=result.tokens.cache_read,
        cache_write_tokens=result.tokens.cache_write,
    )
