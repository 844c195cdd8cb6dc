"""Folding: requests and remainders of counters into one row of counts, tokens and money."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from session_usage.events import BASES, COPILOT, UNKNOWN, Counter, Request, Row
from session_usage.money import usd

_STRENGTH = {basis: strength for strength, basis in enumerate(BASES)}


_STATUS = Request._fields.index("status")
_TOKENS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)
_TOKEN_COLUMNS = tuple(map(Request._fields.index, _TOKENS))
_ROW_COLUMNS = tuple(map(Row._fields.index, _TOKENS))


_COUNTS = ("sessions", "requests", "failed_requests", "unknown_requests", "tool_calls")
_MAYBE = ("nano_aiu", "copilot_nano_aiu", "unattributed_nano_aiu", *_TOKENS)


def _sum(column: Sequence[int | None]) -> int | None:
    """The sum of what is known in a column; None when nothing is."""
    try:
        return sum(column)  # type: ignore[arg-type]
    except TypeError:
        known = [value for value in column if value is not None]
        return sum(known) if known else None


class Tally:
    """One row of a report. Token counts and amounts are None until something is known.

    ``nano_aiu`` is the whole known amount, ``unattributed`` included; ``copilot_nano_aiu``
    the part that draws on Copilot credits. ``basis`` is that of the weakest amount in the
    sum (RULES R13); requests of unknown amount are not in it but in ``unknown_requests``.
    """

    __slots__ = (
        "basis_rank",
        "cache_read_tokens",
        "cache_write_tokens",
        "copilot_nano_aiu",
        "copilot_seen",
        "failed_requests",
        "input_tokens",
        "nano_aiu",
        "output_tokens",
        "reasoning_tokens",
        "requests",
        "sessions",
        "tool_calls",
        "unattributed_nano_aiu",
        "unattributed_seen",
        "unknown_requests",
    )

    def __init__(self) -> None:
        self.sessions = 0
        self.requests = 0
        self.failed_requests = 0
        self.unknown_requests = 0
        self.tool_calls = 0
        self.input_tokens: int | None = None
        self.cache_read_tokens: int | None = None
        self.cache_write_tokens: int | None = None
        self.output_tokens: int | None = None
        self.reasoning_tokens: int | None = None
        self.nano_aiu: int | None = None
        self.copilot_nano_aiu: int | None = None
        self.unattributed_nano_aiu: int | None = None
        self.copilot_seen = False
        self.unattributed_seen = False
        self.basis_rank = -1

    def add_known(self, requests: Sequence[Request], amount: int, basis: str, billing: str) -> None:
        """Counts requests of known amounts, of one basis and one billing, column by column."""
        columns = list(zip(*requests, strict=True))
        failed = len(requests) - columns[_STATUS].count("ok")
        self._add_columns(
            [columns[column] for column in _TOKEN_COLUMNS], failed, amount, basis, billing
        )

    def add_rows(self, shared: Request, rows: Sequence[Row], amount: int, basis: str) -> None:
        """The same for what calls have of their own, ``shared`` being the rest."""
        columns = list(zip(*rows, strict=True))
        failed = 0 if shared.status == "ok" else len(rows)
        self._add_columns(
            [columns[column] for column in _ROW_COLUMNS], failed, amount, basis, shared.billing
        )

    def _add_columns(
        self, tokens: Sequence[Sequence[Any]], failed: int, amount: int, basis: str, billing: str
    ) -> None:
        self.requests += len(tokens[0])
        self.failed_requests += failed
        for name, column in zip(_TOKENS, tokens, strict=True):
            known = _sum(column)
            if known is not None:
                setattr(self, name, (getattr(self, name) or 0) + known)
        self.nano_aiu = (self.nano_aiu or 0) + amount
        if billing == COPILOT:
            self.copilot_seen = True
            self.copilot_nano_aiu = (self.copilot_nano_aiu or 0) + amount
        self.basis_rank = max(self.basis_rank, _STRENGTH[basis])

    def merge(self, other: Tally) -> None:
        """Adds another row to this one."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _MAYBE:
            value = getattr(other, name)
            if value is not None:
                setattr(self, name, (getattr(self, name) or 0) + value)
        self.copilot_seen = self.copilot_seen or other.copilot_seen
        self.unattributed_seen = self.unattributed_seen or other.unattributed_seen
        self.basis_rank = max(self.basis_rank, other.basis_rank)

    @property
    def basis(self) -> str:
        """The weakest basis in the sum; ``unknown`` when nothing is known."""
        return BASES[self.basis_rank] if self.basis_rank >= 0 else UNKNOWN

    def add(self, usage: Request | Counter, amount: int | None, basis: str, billing: str) -> None:
        """Counts one request or one remainder with its amount (None: unknown)."""
        if isinstance(usage, Request):
            self.requests += 1
            if usage.status != "ok":
                self.failed_requests += 1
            if amount is None and not usage.weak:
                self.unknown_requests += 1
        else:
            self.unattributed_seen = True
            self.requests += usage.requests or 0
            if amount is None:
                self.unknown_requests += usage.requests or 0
        if billing == COPILOT:
            self.copilot_seen = True
        count = usage.input_tokens
        if count is not None:
            self.input_tokens = (self.input_tokens or 0) + count
        count = usage.cache_read_tokens
        if count is not None:
            self.cache_read_tokens = (self.cache_read_tokens or 0) + count
        count = usage.cache_write_tokens
        if count is not None:
            self.cache_write_tokens = (self.cache_write_tokens or 0) + count
        count = usage.output_tokens
        if count is not None:
            self.output_tokens = (self.output_tokens or 0) + count
        count = usage.reasoning_tokens
        if count is not None:
            self.reasoning_tokens = (self.reasoning_tokens or 0) + count
        if amount is None:
            return
        self.nano_aiu = (self.nano_aiu or 0) + amount
        if billing == COPILOT:
            self.copilot_nano_aiu = (self.copilot_nano_aiu or 0) + amount
        if isinstance(usage, Counter):
            self.unattributed_nano_aiu = (self.unattributed_nano_aiu or 0) + amount
        rank = _STRENGTH[basis]
        if rank > self.basis_rank:
            self.basis_rank = rank

    def _part(self, amount: int | None, seen: bool) -> int | None:
        """A part of the amount: 0 when it is known that nothing belongs to it."""
        return 0 if amount is None and not seen and self.nano_aiu is not None else amount

    def wire(self) -> dict[str, Any]:
        """The row as JSON fields."""
        return {
            "sessions": self.sessions,
            "requests": self.requests,
            "failedRequests": self.failed_requests,
            "unknownRequests": self.unknown_requests,
            "inputTokens": self.input_tokens,
            "cacheReadTokens": self.cache_read_tokens,
            "cacheWriteTokens": self.cache_write_tokens,
            "outputTokens": self.output_tokens,
            "reasoningTokens": self.reasoning_tokens,
            "cacheHitRate": hit_rate(self.cache_read_tokens, self.input_tokens),
            "nanoAiu": self.nano_aiu,
            "copilotNanoAiu": self._part(self.copilot_nano_aiu, self.copilot_seen),
            "unattributedNanoAiu": self._part(self.unattributed_nano_aiu, self.unattributed_seen),
            "basis": self.basis,
            "usd": usd(self.nano_aiu),
        }


def hit_rate(read: int | None, prompt: int | None) -> float | None:
    """Share of the prompt that came from the cache, 0 to 1; None when it is not known."""
    if read is None or not prompt:
        return None
    return min(1.0, round(read / prompt, 6))
