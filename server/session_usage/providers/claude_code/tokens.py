"""What one ``usage`` object of Claude Code says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from session_usage.events import API, Counter, Request, Source
from session_usage.providers.claude_code.files import AGENT
from session_usage.values import instant, mapping, text, whole

_TIERS = frozenset({"priority", "flex", "batch"})


_FIELDS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
)
Counts = tuple[int | None, int | None, int | None, int | None, int | None, int | None]
"""(input, cache read, cache write, that for an hour, output, reasoning) of a request."""


def counts(usage: dict[str, Any]) -> Counts:
    """Token fields of a request from a ``usage`` object; this runs for every call of every log."""
    get = usage.get
    fresh, read = whole(get("input_tokens")), whole(get("cache_read_input_tokens"))
    write, output = whole(get("cache_creation_input_tokens")), whole(get("output_tokens"))
    hour = None
    split = get("cache_creation")
    if split and split.__class__ is dict:
        hour = whole(split.get("ephemeral_1h_input_tokens"))
        rest = whole(split.get("ephemeral_5m_input_tokens"))
        parts = (hour or 0) + (rest or 0)
        if parts > (write or 0) or (write is None and (hour, rest) != (None, None)):
            write = parts
    details = get("output_tokens_details")
    return (
        None if fresh is None else fresh + (read or 0) + (write or 0),
        read,
        write,
        hour,
        output,
        whole(mapping(details).get("thinking_tokens")) if details else None,
    )


def _named(usage: dict[str, Any]) -> dict[str, Any]:
    return dict(zip(_FIELDS, counts(usage), strict=True))


def tier(usage: dict[str, Any]) -> str | None:
    """The service tier where it changes the price."""
    if usage.get("speed") == "fast":
        return "fast"
    named = text(usage.get("service_tier"))
    return named if named in _TIERS else None


def searches(usage: dict[str, Any]) -> int | None:
    """Web searches that the vendor made and charges for."""
    used = usage.get("server_tool_use")
    return whole(mapping(used).get("web_search_requests")) if used else None


def iterations(request: Request, parts: Any) -> Iterator[Request]:
    """The parts of a response that the figures above them leave out."""
    for number, part in enumerate(parts if type(parts) is list else ()):
        part = mapping(part)
        kind = text(part.get("type"))
        if kind is not None and kind != "message":
            yield request._replace(
                key=f"{request.key}#{number}",
                model=text(part.get("model")) or request.model,
                status="ok",
                surface="compaction" if kind == "compaction" else "tool",
                web_searches=None,
                weak=False,
                **_named(part),
            )


_COUNTED = (
    ("fresh", "inputTokens"),
    ("cache_read_tokens", "cacheReadInputTokens"),
    ("cache_write_tokens", "cacheCreationInputTokens"),
    ("output_tokens", "outputTokens"),
    ("reasoning_tokens", "thinkingTokens"),
)


def counters(
    source: Source, record: dict[str, Any], offset: int, at_ms: int | None
) -> Iterator[Counter]:
    """``cost-state``: one row per model. A suffix such as ``[1m]`` is no part of its name."""
    session = source.session or text(record.get("sessionId"))
    rows: dict[str, dict[str, int]] = {}
    for name, usage in mapping(record.get("modelUsage")).items():
        row = rows.setdefault(name.partition("[")[0], {})
        for field, key in _COUNTED:
            value = whole(mapping(usage).get(key))
            if value is not None:
                row[field] = row.get(field, 0) + value
    for model, row in rows.items():
        read, write = row.get("cache_read_tokens"), row.get("cache_write_tokens")
        yield Counter(
            key=f"{session}:{offset}:{model}",
            agent=AGENT,
            session=session,
            source=source.kind,
            path=source.path,
            offset=offset,
            at_ms=at_ms,
            scope="session",
            group=f"{session}:{offset}",
            since_ms=instant(record.get("startTime")),
            model=model,
            billing=API,
            input_tokens=row.get("fresh", 0) + (read or 0) + (write or 0),
            cache_read_tokens=read,
            cache_write_tokens=write,
            output_tokens=row.get("output_tokens"),
            reasoning_tokens=row.get("reasoning_tokens"),
            reason="calls that Claude Code writes no line about: titles, compaction, side "
            "questions, permission checks",
        )
