"""The cache clock: until when a session's prompt cache is warm, and what the next turn costs.

Every turn sends the whole conversation again. What of it the provider still has cached costs
the cache-read rate; once the cache has expired the same tokens cost the cache-write (or, where
caching is free of charge, the input) rate. The difference is known before the turn is sent.

Evidence: ``cacheExpiresAt`` and ``cacheTtlSeconds`` in ``session.usage_record`` (from 1.0.102)
and in the ``modelCacheState`` of ``session.usage_checkpoint`` (from 1.0.73); live, the same
fields of ``assistant.usage``. Nothing is inferred where they are missing. Calls of subagents
have caches of their own, which the next turn does not use.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from session_usage import money
from session_usage.events import ESTIMATED, PRICED, Request
from session_usage.jsonl import Scan, parse
from session_usage.pricing import Prices
from session_usage.report import iso
from session_usage.values import instant, mapping, text, whole

_HOUR_SECONDS = 3_600
_PER = 1_000_000
_TAIL = 1 << 20
_MOST = 64
_TELLING = (b'"session.usage_record"', b'"session.usage_checkpoint"')


class Cache(NamedTuple):
    """What the logs last said of one model's prompt cache."""

    model: str
    expires_ms: int
    ttl_seconds: int | None
    at_ms: int | None
    """When it was said."""


class CacheClock(NamedTuple):
    """What the cached prompt costs the next turn at least: now, and after it has expired."""

    model: str
    expires_ms: int
    tokens: int
    """Tokens of the prompt that are cached."""
    warm_nano_aiu: int
    cold_nano_aiu: int
    basis: str
    assumptions: tuple[str, ...]

    def wire(self) -> dict[str, Any]:
        """As ``CacheClock`` of the protocol; costs are nano-AIU."""
        return {
            "model": self.model,
            "expiresAt": iso(self.expires_ms),
            "tokens": self.tokens,
            "warmCost": self.warm_nano_aiu,
            "coldCost": self.cold_nano_aiu,
            "basis": self.basis,
            "assumptions": list(self.assumptions),
        }


def caches(events: Iterable[Mapping[str, Any]]) -> dict[str, Cache]:
    """What events (JSON objects, in order) say of caches, by model; the last word counts."""
    found: dict[str, Cache] = {}
    for event in events:
        data, at_ms = mapping(event.get("data")), instant(event.get("timestamp"))
        kind = event.get("type")
        if event.get("agentId"):
            continue
        if kind == "session.usage_checkpoint":
            states = data.get("modelCacheState")
            for state in map(mapping, states if type(states) is list else ()):
                _note(found, text(state.get("modelId")), state, at_ms)
        elif kind in ("session.usage_record", "assistant.usage"):
            usage = mapping(data.get("usage")) if kind == "session.usage_record" else data
            if not usage.get("parentToolCallId"):
                _note(found, text(usage.get("model")), usage, at_ms)
    return found


def _note(
    found: dict[str, Cache], model: str | None, said: Mapping[str, Any], at_ms: int | None
) -> None:
    expires_ms = instant(said.get("cacheExpiresAt"))
    if model and expires_ms:
        found[model] = Cache(model, expires_ms, whole(said.get("cacheTtlSeconds")), at_ms)


def caches_of(path: str) -> dict[str, Cache]:
    """What a journal says of caches: its last megabyte, and all of it if that says nothing.

    Raises OSError when it cannot be read.
    """
    return _anew(path, os.stat(path)).said


class Journals:
    """What journals say of caches, each read on from where it was read last."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def caches(self, path: str) -> dict[str, Cache]:
        """As ``caches_of``; nothing where it cannot be read."""
        known = self._known.get(path)
        try:
            found = os.stat(path)
            if known is None or known.inode != found.st_ino or found.st_size < known.size:
                known = _anew(path, found)
            elif found.st_size > known.size:
                news, offset = _said(path, known.offset)
                known = _Known(found.st_ino, found.st_size, offset, {**known.said, **news})
        except OSError:
            return {}
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[path] = known
        return known.said


class _Known(NamedTuple):
    inode: int
    size: int
    offset: int
    """Up to here it is read; a half line lies behind it."""
    said: dict[str, Cache]


def _anew(path: str, found: os.stat_result) -> _Known:
    begin = max(0, found.st_size - _TAIL)
    said, offset = _said(path, begin)
    if begin and not said:
        said, offset = _said(path, 0)
    return _Known(found.st_ino, found.st_size, offset, said)


def _said(path: str, begin: int) -> tuple[dict[str, Cache], int]:
    scan = Scan(path, _TELLING, begin)
    # the first line may be half a line: no event
    said = caches(event for line in scan if (event := parse(line.data)[0]))
    return said, scan.offset


def next_turn(
    known: Mapping[str, Cache], requests: Iterable[Request], prices: Prices, now_ms: int
) -> CacheClock | None:
    """The clock of a session: its last call by the main agent, and that model's cache.

    ``requests`` are the session's, in any order. None where the logs do not say how much is
    cached until when, or there is no rate to price it.
    """
    own = [
        request
        for request in requests
        if request.surface in ("chat", "compaction")
        and not request.subagent_id
        and not request.subagent
        and request.started_ms is not None
        and request.input_tokens
    ]
    last = max(own, key=lambda request: request.started_ms or 0, default=None)
    cache = known.get(last.model or "") if last else None
    if last is None or cache is None or last.surface != "chat":
        return None  # after a compaction the next prompt is another one
    quote = prices.quote_tokens(
        model=last.model,
        day_ms=now_ms,
        billing=last.billing,
        agent=last.agent,
        provider=last.provider,
        tier=last.tier,
        input_tokens=last.input_tokens,
        cache_read_tokens=last.input_tokens,
        cache_write_tokens=0,
        output_tokens=0,
    )
    rate = quote.rate
    if rate is None:
        return None
    notes = list(quote.assumptions)
    tokens = (last.cache_read_tokens or 0) + (last.cache_write_tokens or 0)
    if not rate.cache_write and not last.cache_write_tokens:
        # such providers cache every prompt by themselves and report no writes
        tokens = last.input_tokens or 0
        notes.append("the whole last prompt taken as cached")
    if not tokens:
        return None
    write = rate.cache_write
    if (cache.ttl_seconds or 0) >= _HOUR_SECONDS and rate.cache_write_1h is not None:
        write = rate.cache_write_1h
    read = rate.input if rate.cache_read is None else rate.cache_read
    return CacheClock(
        cache.model,
        cache.expires_ms,
        tokens,
        money.divide(tokens * read, _PER),
        money.divide(tokens * (write or rate.input), _PER),
        ESTIMATED if notes else PRICED,
        tuple(notes),
    )
