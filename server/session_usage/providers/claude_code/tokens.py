"""What one ``usage`` object of Claude Code says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from session_usage.events import Request
from session_usage.jsonl import mapping, text, whole

_TIERS = frozenset({"priority", "flex", "batch"})


def tokens(usage: dict[str, Any], part: bool = False) -> dict[str, Any]:
    """Token fields of a request from a ``usage`` object (``part``: from one iteration)."""
    fresh = whole(usage.get("input_tokens"))
    read = whole(usage.get("cache_read_input_tokens"))
    write = whole(usage.get("cache_creation_input_tokens"))
    split = mapping(usage.get("cache_creation"))
    hour = None
    if split:
        hour = whole(split.get("ephemeral_1h_input_tokens"))
        parts = (hour or 0) + (whole(split.get("ephemeral_5m_input_tokens")) or 0)
        write = max(write or 0, parts)
    result: dict[str, Any] = {
        "input_tokens": None if fresh is None else fresh + (read or 0) + (write or 0),
        "cache_read_tokens": read,
        "cache_write_tokens": write,
        "cache_write_1h_tokens": hour,
        "output_tokens": whole(usage.get("output_tokens")),
        "reasoning_tokens": whole(
            mapping(usage.get("output_tokens_details")).get("thinking_tokens")
        ),
    }
    if not part:
        tier = text(usage.get("service_tier"))
        fast = usage.get("speed") == "fast"
        result["tier"] = "fast" if fast else tier if tier in _TIERS else None
        searches = mapping(usage.get("server_tool_use")).get("web_search_requests")
        result["web_searches"] = whole(searches)
    return result


def iterations(request: Request, parts: Any) -> Iterator[Request]:
    """The parts of a response that the figures above them leave out."""
    for number, part in enumerate(parts if type(parts) is list else ()):
        kind = text(mapping(part).get("type"))
        if kind is not None and kind != "message":
            yield request._replace(
                key=f"{request.key}#{number}",
                model=text(part.get("model")) or request.model,
                status="ok",
                surface="compaction" if kind == "compaction" else "tool",
                web_searches=None,
                weak=False,
                **tokens(part, part=True),
            )
