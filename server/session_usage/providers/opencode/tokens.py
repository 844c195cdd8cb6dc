"""Token counts of one step, and what they mean in each version of OpenCode."""

from __future__ import annotations

from typing import Any, NamedTuple

from session_usage import values
from session_usage.providers.opencode.records import Session, at_least


class Tokens(NamedTuple):
    """The token counts of one step as logged: ``fresh`` and ``output`` as the version has it."""

    fresh: int | None = None
    output: int | None = None
    reasoning: int | None = None
    read: int | None = None
    write: int | None = None
    total: int | None = None
    odd: bool = False
    """A figure is no count (RULES R15)."""

    @property
    def used(self) -> bool:
        """Does it report any? A model cannot be called with none."""
        return bool(self.fresh or self.output or self.read or self.write)


def tokens_of(value: Any) -> Tokens:
    """The counts of a stored ``tokens`` object; None for each that is missing or no count."""
    tokens = values.mapping(value)
    cache = values.mapping(tokens.get("cache"))
    raw = (
        tokens.get("input"),
        tokens.get("output"),
        tokens.get("reasoning"),
        cache.get("read"),
        cache.get("write"),
        tokens.get("total"),
    )
    counts = [*map(values.whole, raw)]
    odd = counts.count(None) != raw.count(None)
    return Tokens(counts[0], counts[1], counts[2], counts[3], counts[4], counts[5], odd)


def whole_output(tokens: Tokens, session: Session | None) -> int | None:
    """All output, reasoning included, whichever way this version counts."""
    if tokens.output is None:
        return None
    rest = (tokens.total or 0) - (tokens.fresh or 0) - (tokens.read or 0) - (tokens.write or 0)
    if rest > 0 and rest >= tokens.output:
        return rest
    if session is not None and session.version and not at_least(session.version, 1, 3):
        return tokens.output
    return tokens.output + (tokens.reasoning or 0)
