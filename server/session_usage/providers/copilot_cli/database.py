"""``session-store.db``: a row for each call, and the list of sessions."""

from __future__ import annotations

from session_usage import sqlite
from session_usage.events import BYOK, COPILOT, START, Cursor, Meta, Problem, Request, Source
from session_usage.money import nano
from session_usage.providers.copilot_cli.state import AGENT, Data, Events
from session_usage.values import instant, text, whole

_COLUMNS = (
    "id", "session_id", "turn_index", "agent_id", "parent_tool_call_id", "model",
    "copilot_usage_model", "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_write_tokens", "reasoning_tokens", "total_nano_aiu", "request_multiplier",
    "duration_ms", "time_to_first_token_ms", "initiator", "created_at",
)  # fmt: skip


def read_database(source: Source, at: Cursor, session: str | None) -> Events:
    """The calls above the cursor's row, each a request."""
    last = at.offset
    where, values = "WHERE rowid > ?", [at.offset]
    if session is not None:
        where, values = where + " AND session_id = ?", [*values, session]  # type: ignore[list-item]
    try:
        with sqlite.reading(source.path) as connection:
            if not sqlite.columns(connection, "assistant_usage_events"):
                yield Cursor(0)
                return
            for row in sqlite.rows(
                connection, "assistant_usage_events", _COLUMNS, where + " ORDER BY rowid", values
            ):
                last = max(last, row[0])
                request = _row(source, row[0], dict(zip(_COLUMNS, row[1:], strict=True)))
                if request:
                    yield request
    except sqlite.Unreadable as error:
        yield Problem(error.kind, source.path, None, str(error), AGENT)
    yield Cursor(last)


def _row(source: Source, rowid: int, row: Data) -> Request | None:
    session = text(row["session_id"])
    if not session:
        return None
    ended = instant(row["created_at"])
    duration = whole(row["duration_ms"])
    figure = nano(row["total_nano_aiu"])
    # calls with the user's own key have neither an amount nor a multiplier
    byok = figure is None and row["request_multiplier"] == 0
    agent = text(row["agent_id"]) or text(row["parent_tool_call_id"])
    turn = whole(row["turn_index"])
    return Request(
        f"{session}#{rowid}",
        AGENT,
        session,
        "database",
        source.path,
        rowid,
        started_ms=ended - duration if ended and duration else ended,
        model=text(row["model"]) or text(row["copilot_usage_model"]),
        billing=BYOK if byok else COPILOT,
        provider=None if byok else "copilot",
        input_tokens=whole(row["input_tokens"]),
        cache_read_tokens=whole(row["cache_read_tokens"]),
        cache_write_tokens=whole(row["cache_write_tokens"]),
        output_tokens=whole(row["output_tokens"]),
        reasoning_tokens=whole(row["reasoning_tokens"]),
        nano_aiu=figure,
        duration_ms=duration,
        ttft_ms=whole(row["time_to_first_token_ms"]),
        surface="compaction" if row["initiator"] == "compaction" else "chat",
        subagent=(agent,) if agent else (),
        subagent_id=agent,
        turn=None if turn is None else f"turn {turn}",
    )


def read_catalogue(source: Source, session: str | None) -> Events:
    """What the list of sessions says of them."""
    wanted = ("id", "cwd", "branch", "repository", "summary", "created_at", "updated_at")
    where, values = ("WHERE id = ?", [session]) if session else ("", [])
    try:
        with sqlite.reading(source.path) as connection:
            for row in sqlite.rows(connection, "sessions", wanted, where, values):
                _, name, cwd, branch, _, summary, created, updated = row
                if text(name):
                    yield Meta(
                        AGENT, name, source.path, text(summary), text(cwd), None, text(branch),
                        created_ms=instant(created), updated_ms=instant(updated),
                    )  # fmt: skip
    except sqlite.Unreadable as error:
        yield Problem(error.kind, source.path, None, str(error), AGENT)
    yield START
