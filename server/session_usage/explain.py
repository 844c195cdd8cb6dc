"""Why a figure is what it is: from the figure to requests, log lines, rates and rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from session_usage.errors import UsageError
from session_usage.events import BILLED, ESTIMATED, FREE, IN_DATABASES, PRICED, Counter
from session_usage.pricing import Prices, Quote
from session_usage.rates import Rate
from session_usage.reconcile import Session
from session_usage.report import Amount, Usage, amounts, iso, moment
from session_usage.usage import Tally

FIGURES = ("total", "model", "subagent", "skill", "turn", "request")
_RULES = {
    BILLED: "R6: the server's own figure for this call is taken as it is",
    PRICED: "R8: tokens times the list price published for that day",
    ESTIMATED: "R8: tokens times a list price, with something assumed",
    FREE: "R10: Copilot does not bill its utility models",
}


def explain(session: Session, prices: Prices, figure: str = "total") -> dict[str, Any]:
    """The chain behind one figure of ``session``.

    ``figure`` is ``total`` or ``NAME=VALUE`` with one of ``FIGURES``, e.g.
    ``model=gpt-5.4`` or ``request=<key>``; raises UsageError for anything else and for a
    value that does not occur. The parts add up to the figure; each names its file, byte
    offset, line, rate with its days, assumptions and rule.
    """
    name, _, value = figure.partition("=")
    if name not in FIGURES or (name == "total") != (not value):
        raise UsageError(
            f"cannot explain {figure!r}; write total, or one of "
            + ", ".join(f"{known}=…" for known in FIGURES[1:])
        )
    chosen = [amount for amount in amounts(session, prices) if _fits(amount.usage, name, value)]
    if not chosen and name != "total":
        raise UsageError(f"nothing in session {session.id} has {name} {value!r}")
    tally = Tally()
    for usage, quote in chosen:
        tally.add(usage, quote.nano_aiu, quote.basis, quote.billing)
    in_files = [usage for usage, _ in chosen if usage.source not in IN_DATABASES]
    lines = _lines((usage.path, usage.offset) for usage in in_files)
    return {
        "session": session.id,
        "agent": session.agent,
        "figure": figure,
        **tally.wire(),
        "parts": [_part(amount, lines) for amount in chosen],
        "sources": [
            {"source": total.source, "requests": total.requests, "nanoAiu": total.nano_aiu}
            for total in session.totals
        ],
    }


def _fits(usage: Usage, name: str, value: str) -> bool:
    if name == "total":
        return True
    if name == "subagent":
        return ("/".join(usage.subagent) or "main") == value
    if name == "request":
        return usage.key == value
    return str(getattr(usage, name, None)) == value


def _part(amount: Amount, lines: dict[tuple[str, int], int]) -> dict[str, Any]:
    usage, quote = amount
    remainder = isinstance(usage, Counter)
    return {
        "key": usage.key,
        "unattributed": remainder,
        "reason": usage.reason if isinstance(usage, Counter) else None,
        "startedAt": iso(moment(usage)),
        "model": usage.model,
        "inputTokens": usage.input_tokens,
        "cacheReadTokens": usage.cache_read_tokens,
        "cacheWriteTokens": usage.cache_write_tokens,
        "outputTokens": usage.output_tokens,
        "nanoAiu": quote.nano_aiu,
        "basis": quote.basis,
        "billing": quote.billing,
        "rule": rule(quote, remainder),
        "rate": None if quote.rate is None else rate_wire(quote.rate),
        "assumptions": list(quote.assumptions),
        "source": usage.source,
        "path": usage.path,
        "offset": usage.offset,
        "line": lines.get((usage.path, usage.offset)),
    }


def rule(quote: Quote, remainder: bool = False) -> str:
    """The rule of counting that decided this amount, in one line."""
    text = _RULES.get(FREE if quote.billing == FREE else quote.basis)
    if text is None:
        text = "R1: the log proves the call but not what it cost"
    if remainder:
        text = "R4: a counter less the sum of the requests; " + text
    return text


def rate_wire(rate: Rate) -> dict[str, Any]:
    """A row of a price card as JSON fields."""
    return {
        "model": rate.model,
        "provider": rate.provider,
        "tier": rate.tier,
        "minInputTokens": rate.low,
        "maxInputTokens": rate.high,
        "inputNanoAiuPerMillion": rate.input,
        "cacheReadNanoAiuPerMillion": rate.cache_read,
        "cacheWriteNanoAiuPerMillion": rate.cache_write,
        "outputNanoAiuPerMillion": rate.output,
        "firstSeen": rate.first_seen,
        "lastSeen": rate.last_seen,
        "source": rate.source,
        "checked": rate.checked,
    }


def _lines(places: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """Line numbers, from 1, of byte offsets; files that are gone have none."""
    wanted: dict[str, list[int]] = {}
    for path, offset in places:
        wanted.setdefault(path, []).append(offset)
    found: dict[tuple[str, int], int] = {}
    for path, offsets in wanted.items():
        try:
            with open(path, "rb") as file:
                at, line = 0, 1
                for offset in sorted(set(offsets)):
                    while at < offset:
                        chunk = file.read(min(1 << 20, offset - at))
                        if not chunk:
                            break
                        line += chunk.count(b"\n")
                        at += len(chunk)
                    if at == offset:
                        found[path, offset] = line
        except OSError:
            continue
    return found
