"""``agent-traces.db``: calls recorded as OpenTelemetry spans."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from session_usage import sqlite
from session_usage.events import BYOK, COPILOT, START, Cursor, Event, Problem, Request, Source
from session_usage.money import nano
from session_usage.providers.copilot_vscode.base import AGENT, surface_of
from session_usage.values import text, whole

_SPAN_COLUMNS = (
    "span_id", "start_time_ms", "end_time_ms", "status_code", "operation_name", "provider_name",
    "agent_name", "conversation_id", "request_model", "response_model", "input_tokens",
    "output_tokens", "cached_tokens", "reasoning_tokens", "chat_session_id", "ttft_ms",
)  # fmt: skip
_ATTRIBUTES = {
    "copilot_chat.copilot_usage_nano_aiu": "nano",
    "gen_ai.usage.cache_creation.input_tokens": "write",
    "gen_ai.usage.cache_read.input_tokens": "read",
    "gen_ai.usage.reasoning.output_tokens": "reasoning",
    "copilot_chat.parent_chat_session_id": "parent",
    "copilot_chat.debug_log_label": "label",
    "copilot_chat.canceled": "cancelled",
    "gen_ai.response.finish_reasons": "finish",
}


def read_spans(source: Source, at: Cursor, session: str | None) -> Iterator[Event]:
    """Calls recorded as OpenTelemetry spans; only ``chat`` spans are calls."""
    names = ", ".join(f"'{name}'" for name in _ATTRIBUTES)
    try:
        with sqlite.reading(source.path) as connection:
            facts: dict[str, dict[str, str]] = {}
            for _, span, key, value in sqlite.rows(
                connection,
                "span_attributes",
                ("span_id", "key", "value"),
                f"WHERE key IN ({names})",
            ):
                if type(value) is str:  # a damaged row may hold anything
                    facts.setdefault(span, {})[_ATTRIBUTES[key]] = value
            for row in sqlite.rows(connection, "spans", _SPAN_COLUMNS):
                fields = dict(zip(_SPAN_COLUMNS, row[1:], strict=True))
                if fields["operation_name"] != "chat":
                    continue
                request = _span(source, row[0], fields, facts.get(fields["span_id"], {}))
                if session is None or request.session == session:
                    yield request
    except sqlite.Unreadable as error:
        yield Problem(error.kind, source.path, None, str(error), AGENT)
    yield START


def _span(source: Source, rowid: int, row: dict[str, Any], facts: dict[str, str]) -> Request:
    span = text(row["span_id"]) or str(rowid)
    stream, conversation = text(row["chat_session_id"]), text(row["conversation_id"])
    label, site = facts.get("label"), text(row["agent_name"])
    background = not stream and not conversation
    session = None if background else (facts.get("parent") or conversation or stream)
    if label and surface_of(label) == "background":
        session, background = None, True
    started, ended = whole(row["start_time_ms"]), whole(row["end_time_ms"])
    tokens = whole(row["output_tokens"])
    status = "ok"
    if row["status_code"] == 2 and tokens is None:
        status = "error"
    if facts.get("cancelled") == "true" or "cancelled" in (facts.get("finish") or ""):
        status = "cancelled"
    child = stream if stream and stream != session and label else None
    read = whole(row["cached_tokens"])
    surface = surface_of(label)
    if surface == "chat":
        surface = surface_of(site)
    if background and surface != "compaction":
        surface = "background"
    return Request(
        f"span:{span}",
        AGENT,
        session,
        "span",
        source.path,
        rowid,
        started_ms=started,
        model=text(row["response_model"]) or text(row["request_model"]),
        billing=BYOK if site and "copilotLanguageModelWrapper" in site else COPILOT,
        status=status,
        input_tokens=whole(row["input_tokens"]),
        cache_read_tokens=read if read is not None else whole(facts.get("read")),
        cache_write_tokens=whole(facts.get("write")),
        output_tokens=tokens,
        reasoning_tokens=whole(
            facts.get("reasoning") if row["reasoning_tokens"] is None else row["reasoning_tokens"]
        ),
        nano_aiu=nano(whole(facts.get("nano"))),
        duration_ms=ended - started if started is not None and ended is not None else None,
        ttft_ms=whole(row["ttft_ms"]),
        surface=surface,
        subagent=(child,) if child else (),
        subagent_id=child,
        link=span,
    )
