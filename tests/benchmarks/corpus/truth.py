"""What the generated sessions really used; truth.json is the sum. README.md has the meaning."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

Rate = tuple[float, float, float, float]
"""USD per million tokens: fresh input, cache read, output, cache write."""

COPILOT: dict[str, Rate] = {
    "claude-sonnet-4.6": (3.0, 0.30, 15.0, 3.75),
    "claude-haiku-4.5": (1.0, 0.10, 5.0, 1.25),
    "claude-opus-4.8": (5.0, 0.50, 25.0, 6.25),
    "gpt-5.6-terra": (2.0, 0.20, 12.0, 2.50),
}
UTILITY = "gpt-4o-mini-2024-07-18"
"""Titles, todo lists: Copilot does not charge for it."""
ANTHROPIC: dict[str, Rate] = {
    "claude-sonnet-4-5-20250929": (3.0, 0.30, 15.0, 3.75),
    "claude-opus-4-5-20251101": (5.0, 0.50, 25.0, 6.25),
    "claude-haiku-4-5-20251001": (1.0, 0.10, 5.0, 1.25),
}
OPENAI: dict[str, Rate] = {
    "gpt-5-codex": (1.25, 0.125, 10.0, 0.0),
    "gpt-5": (1.25, 0.125, 10.0, 0.0),
}


def price(rate: Rate, fresh: int, output: int, read: int, write: int) -> float:
    """USD of one call; ``fresh`` is the input without cache reads and writes."""
    return (fresh * rate[0] + read * rate[1] + output * rate[2] + write * rate[3]) / 1e6


def nano(dollars: float) -> int:
    """USD as whole nano-AIU."""
    return round(dollars * 1e11)


class Totals:
    """Calls, tokens and amounts, together and by model."""

    def __init__(self) -> None:
        self.calls = self.input = self.output = self.cache_read = self.cache_write = 0
        self.nano_aiu = 0
        self.usd = 0.0
        self.per_model: dict[str, list[float]] = {}

    def add(
        self,
        model: str,
        fresh: int,
        output: int,
        read: int,
        write: int,
        usd: float,
        nano_aiu: int = 0,
        calls: int = 1,
    ) -> None:
        """Count calls of one model."""
        self._count(calls, fresh, output, read, write, usd, nano_aiu)
        self._count_model(model, [calls, fresh, output, read, write, usd])

    def merge(self, other: Totals) -> None:
        """Count everything that ``other`` counts."""
        self._count(
            other.calls,
            other.input,
            other.output,
            other.cache_read,
            other.cache_write,
            other.usd,
            other.nano_aiu,
        )
        for model, figures in other.per_model.items():
            self._count_model(model, figures)

    def as_dict(self) -> dict[str, Any]:
        """The form of truth.json."""
        return vars(self)

    def _count(
        self, calls: int, fresh: int, output: int, read: int, write: int, usd: float, nano_aiu: int
    ) -> None:
        self.calls += calls
        self.input += fresh
        self.output += output
        self.cache_read += read
        self.cache_write += write
        self.usd += usd
        self.nano_aiu += nano_aiu

    def _count_model(self, model: str, figures: list[float]) -> None:
        sums = self.per_model.setdefault(model, [0, 0, 0, 0, 0, 0.0])
        for k, figure in enumerate(figures):
            sums[k] += figure


class Session(NamedTuple):
    """One generated session: a row of truth-sessions.jsonl."""

    format: str
    id: str
    path: str
    bytes: int
    files: int
    created: int
    last: int
    title: str
    tot: Totals
    st: dict[str, int]
    """What this session has of the oddities its format can have."""
    ws: str | None = None
    """VS Code: the hash of its workspace."""

    def row(self, root: str) -> dict[str, Any]:
        """The form of truth-sessions.jsonl, the path being relative to ``root``."""
        row = self._asdict() | {
            "path": os.path.relpath(self.path, root),
            "tot": self.tot.as_dict(),
        }
        if self.ws is None:
            del row["ws"]
        return row
