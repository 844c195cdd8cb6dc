"""A session's messages, read from its logs when somebody asks: they are kept nowhere."""

from __future__ import annotations

from typing import Any

from session_usage.events import Request, Turn
from session_usage.jsonl import mapping, parse_any
from session_usage.ledger.query import Reader, Ref
from session_usage.report import iso

_LINE = 4 << 20
"""A longer line is not looked into."""


def page(
    reader: Reader,
    ref: Ref,
    *,
    roles: list[str] | None,
    turn: str | None,
    limit: int,
    offset: int,
    longest: int | None,
) -> dict[str, Any]:
    """A page of messages, the oldest first; those whose log is gone are left out."""
    found = _places(reader, ref, roles or ["user", "assistant"], turn)
    messages = []
    for at_ms, role, key, path, place in found[offset : offset + limit]:
        text = _text(path, place)
        if not text:
            continue
        cut = longest is not None and len(text) > longest
        messages.append(
            {
                "role": role,
                "turn": key,
                "at": iso(at_ms),
                "text": text[:longest] if cut else text,
                "truncated": cut,
                "path": path,
                "offset": place,
            }
        )
    end = offset + limit
    return {
        "messages": messages,
        "cursor": str(end) if end < len(found) else None,
        "total": len(found),
    }


_Place = tuple[int, str, str | None, str, int]


def _places(reader: Reader, ref: Ref, roles: list[str], turn: str | None) -> list[_Place]:
    """(time, role, turn, path, offset) of each line that may hold a message."""
    found: dict[tuple[str, int], _Place] = {}
    for event in reader.facts.events(ref.id, ref.agent):
        if isinstance(event, Turn):
            role, key, at_ms = "user", event.key, event.at_ms
        elif isinstance(event, Request) and event.source != "debug-log":
            role, key, at_ms = "assistant", event.turn or "", event.started_ms
        else:
            continue
        if role in roles and (turn is None or key == turn) and event.session == ref.name:
            found[event.path, event.offset] = (
                at_ms or 0, role, key or None, event.path, event.offset,
            )  # fmt: skip
    return sorted(found.values(), key=lambda row: (row[0], row[3], row[4]))


def _text(path: str, offset: int) -> str | None:
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            line = file.readline(_LINE)
    except OSError:
        return None
    row = mapping(parse_any(line))
    for value in (
        mapping(row.get("data")).get("content"),  # Copilot CLI
        mapping(row.get("attrs")).get("content"),  # VS Code's debug log
        mapping(row.get("message")).get("content"),  # Claude Code
        mapping(row.get("payload")).get("message"),  # Codex
        mapping(row.get("payload")).get("content"),
        row.get("content"),  # Gemini CLI
    ):
        text = _plain(value)
        if text:
            return text
    return None


def _plain(value: Any) -> str:
    """A text, or the texts of a list of parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        parts = [part if isinstance(part, str) else mapping(part).get("text") for part in value]
        return "\n".join(part for part in parts if isinstance(part, str))
    return ""
