"""The files that know what sessions are called."""

from __future__ import annotations

from collections.abc import Iterator

from session_usage.events import Cursor, Event, Meta, Problem, Source
from session_usage.jsonl import instant, mapping, parse, text
from session_usage.providers.claude_code.files import AGENT


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
    listed = record.get("entries")
    for entry in listed if type(listed) is list else ():
        entry = mapping(entry)
        session = text(entry.get("sessionId"))
        if session:
            yield Meta(
                AGENT,
                session,
                source.path,
                title=text(entry.get("summary")),
                workspace=text(entry.get("projectPath")),
                branch=text(entry.get("gitBranch")),
                created_ms=instant(entry.get("created")),
                updated_ms=instant(entry.get("modified")),
            )
    yield Cursor()
