"""Priced usage as rows of the Python API's dicts: USD, rounded here and only here.

Totals have 4 decimals, rows 6, ratios 3. In the compatibility mode amounts are added up in
floating point, as older tools do it, so that not even a last digit differs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from session_usage import money
from session_usage.events import BILLED, Counter, Event, Request
from session_usage.pricing import Prices, Quote
from session_usage.reconcile import Session
from session_usage.report import Amount
from session_usage.usage import Tally

SHORT = {"copilot-vscode": "vscode", "copilot-cli": "cli"}
"""Agents as the API has always called them."""

TOKENS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cached_tokens": "cache_read_tokens",
}


class Subject(NamedTuple):
    """One session to be shaped: its events, where it lies, and by which rules."""

    agent: str
    id: str
    events: list[Event]
    folder: str
    source: str
    logs: tuple[str, ...]
    """Its debug logs (VS Code)."""
    prices: Prices
    note: str
    """One line on the prices used."""
    compat: bool = False


def stamp(at_ms: int | None) -> str | None:
    """Epoch milliseconds as UTC text in whole seconds, ``2026-09-01T10:00:00Z``."""
    import time

    if at_ms is None:
        return None
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_ms // 1000))
    except (OverflowError, ValueError, OSError):
        return None


def seconds(first_ms: int | None, last_ms: int | None) -> int | None:
    """The time between two moments in whole seconds; None unless both are known."""
    return None if first_ms is None or last_ms is None else round((last_ms - first_ms) / 1000)


def usd(nano: int | None, digits: int) -> float | None:
    """Nano-AIU as USD, rounded as floats are, so that figures equal those of older tools."""
    return None if nano is None else round(nano / money.NANO_PER_USD, digits)


def ratio(cached: int | None, whole: int | None) -> float | None:
    """Share of the prompt that came from the cache: 3 decimals, never above 1 (RULES R15)."""
    if cached is None or whole is None:
        return None
    return round(min(cached, whole) / whole, 3) if whole else 0.0


class Sum(Tally):
    """A tally that also adds up dollars, for figures in the manner of older tools."""

    __slots__ = ("dollars",)

    def __init__(self) -> None:
        super().__init__()
        self.dollars = 0.0


class Rows:
    """The priced usage of a session, added up in whatever way."""

    def __init__(self, priced: list[Amount], compat: bool) -> None:
        self.priced = priced
        self.compat = compat

    def by(self, value: Callable[[Any], Any]) -> dict[Any, Sum]:
        """One tally for each value, in order of appearance."""
        rows: dict[Any, Sum] = {}
        for usage, quote in self.priced:
            row = rows.setdefault(value(usage), Sum())
            row.add(usage, quote.nano_aiu, quote.basis, quote.billing)
            if self.compat:
                row.dollars += _dollars(usage, quote)
        return rows

    def usd(self, row: Sum, digits: int) -> float | None:
        """The amount of a row, rounded."""
        if self.compat and row.nano_aiu is not None:
            return round(row.dollars, digits)
        return usd(row.nano_aiu, digits)

    def total(self) -> Sum:
        """All of it."""
        return self.by(lambda usage: None).get(None) or Sum()

    def billed(self) -> int | None:
        """The part of the amount that is the server's own figure."""
        found = [quote.nano_aiu for _, quote in self.priced if quote.basis == BILLED]
        return sum(amount or 0 for amount in found) if found else None

    def guessed(self) -> list[str]:
        """Models priced at the guessed default rate."""
        return sorted(
            {model_of(usage) for usage, quote in self.priced if "default rate" in quote.assumptions}
        )

    def row(self, tally: Sum) -> dict[str, Any]:
        """A row of a breakdown."""
        row: dict[str, Any] = {
            name: getattr(tally, field) for name, field in TOKENS.items()
        }  # fmt: skip
        row["llm_calls"] = tally.requests
        row["estimated_usd"] = self.usd(tally, 6)
        if not self.compat:
            row["nano_aiu"] = tally.nano_aiu
            row["basis"] = tally.basis
        return row

    def summary(self, calls: int | None) -> dict[str, Any]:
        """The ``total`` of a session."""
        tally = self.total()
        total: dict[str, Any] = {name: getattr(tally, field) for name, field in TOKENS.items()}
        total["llm_calls"] = calls
        total["estimated_usd"] = self.usd(tally, 4)
        total["cache_ratio"] = ratio(tally.cache_read_tokens, tally.input_tokens)
        if not self.compat:
            total["nano_aiu"] = tally.nano_aiu
            total["basis"] = tally.basis
            total["billed_usd"] = usd(self.billed(), 4)
            total["unknown_requests"] = tally.unknown_requests
        return total


def _dollars(usage: Request | Counter, quote: Quote) -> float:
    """An amount as older tools compute it: in floating point, class by class.

    Only where the exact figure lies on the edge between two last digits does it matter.
    """
    rate = quote.rate
    if rate is None or usage.agent != "copilot-vscode":
        return (quote.nano_aiu or 0) / money.NANO_PER_USD
    price = [(p or 0) / money.NANO_PER_USD for p in (rate.input, rate.cache_read, rate.output)]
    cached = usage.cache_read_tokens or 0
    fresh = max(0, (usage.input_tokens or 0) - cached)
    dollars = fresh * price[0] / 1e6 + cached * price[1] / 1e6
    dollars += (usage.output_tokens or 0) * price[2] / 1e6
    premium = (rate.cache_write or 0) / money.NANO_PER_USD - price[0]
    return dollars + fresh * premium / 1e6 if premium > 0 else dollars


def model_of(usage: Request | Counter) -> str:
    """The model's name; ``unknown`` where the log has none."""
    return usage.model or "unknown"


def dearest(rows: dict[Any, Sum]) -> list[tuple[Any, Sum]]:
    """The most expensive first, unknown amounts last, else in order of appearance."""
    return sorted(
        rows.items(), key=lambda item: -1 if item[1].nano_aiu is None else item[1].nano_aiu,
        reverse=True,
    )  # fmt: skip


def base(subject: Subject, session: Session, rows: Rows) -> dict[str, Any]:
    """What the dicts of all agents begin with."""
    found: dict[str, Any] = {
        "session_id": subject.id,
        "session_dir": subject.folder,
        "provider": SHORT.get(subject.agent, subject.agent),
        "source": subject.source,
        "title": session.meta.title,
        "fallback_pricing_models": rows.guessed(),
        "pricing_note": subject.note,
    }
    if not subject.compat:
        found["unpriced_models"] = sorted(
            {model_of(usage) for usage, quote in rows.priced if quote.nano_aiu is None}
        )
    return found
