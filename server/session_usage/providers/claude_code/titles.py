"""The files that know what sessions are called.

``sessions-index.json`` of old versions is ``{"entries": [{"sessionId", ...}]}`` with ISO
times; programs that imitate Claude Code write ``{"sessions": {id: {...}}}`` with milliseconds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from session_usage.events import Cursor, Event, Meta, Problem, Source
from session_usage.jsonl import parse
from session_usage.providers.claude_code.files import AGENT
from session_usage.values import instant, mapping, text, whole


def read_titles(source: Source) -> Iterator[Event]:
    """A session's own title file, or the index of sessions that old versions kept."""
    try:
        with open(source.path, "rb") as file:
            record, reason = parse(file.read())
    except OSError as error:
        kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
        words = f"cannot be read: {error.strerror}"
        yield Problem(kind, source.path, None, words, AGENT, source.session)
        yield Cursor()
        return
    if reason:
        yield Problem("malformed", source.path, 0, f"it is {reason}", AGENT, source.session)
    record = mapping(record)
    title = text(record.get("customTitle"))
    if source.session and title:
        yield Meta(AGENT, source.session, source.path, title=title, rank=3)
    for session, entry in _entries(record):
        yield Meta(
            AGENT,
            session,
            source.path,
            title=text(entry.get("summary")),
            workspace=text(entry.get("projectPath")),
            branch=text(entry.get("gitBranch")),
            created_ms=_time(entry.get("created")),
            updated_ms=_time(entry.get("modified")),
        )
    yield Cursor()


def noted(source: Source, session: str) -> tuple[str | None, int | None]:
    """(first prompt, number of messages) of a transcript's session, by the index beside it."""
    if source.kind != "transcript":
        return None, None
    try:
        with open(os.path.join(os.path.dirname(source.path), "sessions-index.json"), "rb") as file:
            record = mapping(parse(file.read())[0])
    except OSError:
        return None, None
    for name, entry in _entries(record):
        if name == session:
            return text(entry.get("firstPrompt")), whole(entry.get("messageCount"))
    return None, None


def _entries(record: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, entry in mapping(record.get("sessions")).items():
        yield name, mapping(entry)
    listed = record.get("entries")
    for entry in listed if type(listed) is list else ():
        session = text(mapping(entry).get("sessionId"))
        if session:
            yield session, mapping(entry)


def _time(value: Any) -> int | None:
    return whole(value) if type(value) is int else instant(value)
