"""What was said, from plain agent logs.

``llm.request`` repeats the whole conversation each time and is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from session_usage.events import Problem, Source
from session_usage.jsonl import Scan, parse
from session_usage.messages import (
    ASSISTANT,
    CHAT,
    SYSTEM,
    TOOL,
    TOOL_RESULT,
    TOOL_USE,
    USER,
    Message,
    TokenUsage,
    arguments,
)
from session_usage.values import mapping, text, whole
from session_usage.windows import instant

_NEEDLES = (b'"session.start"', b'"llm.response"', b'"tool.call"', b'"session.end"')


def read_messages(sources: Sequence[Source]) -> Iterator[Message | Problem]:
    """The conversation of a log; a line at a time."""
    for source in sources:
        session = source.session or ""
        try:
            for line in Scan(source.path, _NEEDLES):
                event, wrong = parse(line.data)
                if wrong:
                    words = f"a line is {wrong}"
                    yield Problem(
                        "malformed", source.path, line.offset, words, "agent-log", session
                    )
                if event:
                    yield from _said(source, event, line.offset)
        except OSError as error:
            kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
            words = f"cannot read the log: {error.strerror}"
            yield Problem(kind, source.path, None, words, "agent-log", session)


def _said(source: Source, event: dict[str, Any], offset: int) -> Iterator[Message]:
    data = mapping(event.get("data"))
    session = text(event.get("session_id")) or source.session or ""
    parts: list[tuple[str, str, str, str | None]] = []
    usage = model = None
    kind = event.get("type")
    if kind == "session.start":
        parts = [
            (SYSTEM, CHAT, text(data.get("system_prompt")) or "", None),
            (USER, CHAT, text(data.get("prompt")) or "", None),
        ]
    elif kind == "llm.response":
        model, usage = text(data.get("model")), _usage(data.get("usage"))
        parts = [(ASSISTANT, CHAT, text(data.get("content")) or "", None)]
        calls = data.get("tool_calls")
        for call in map(mapping, calls if type(calls) is list else ()):
            given = arguments(call.get("arguments"))
            parts.append((ASSISTANT, TOOL_USE, given, text(call.get("name"))))
    elif kind == "tool.call":
        said = text(data.get("output")) or text(data.get("error")) or ""
        parts = [(TOOL, TOOL_RESULT, said, text(data.get("tool")))]
    elif kind == "session.end" and text(data.get("error")):
        parts = [(SYSTEM, CHAT, data["error"], None)]
    name = f"{session}-{event.get('seq', offset)}"
    stamp = text(event.get("ts")) or text(event.get("timestamp")) or ""
    count = 0
    for role, what, said, tool in parts:
        if not said and what == CHAT:
            continue
        yield Message(
            f"{name}#{count}" if count else name,
            session,
            role,
            what,
            said,
            instant(stamp),
            model,
            usage,
            tool=tool,
            path=source.path,
            offset=offset,
            raw_json=event,
        )
        count, usage = count + 1, None


def _usage(value: Any) -> TokenUsage | None:
    usage = mapping(value)
    fresh, output = whole(usage.get("input")), whole(usage.get("output"))
    read, write = whole(usage.get("cache_read", 0)), whole(usage.get("cache_write", 0))
    if not any((fresh, output, read, write)):
        return None
    prompt = None if fresh is None else fresh + (read or 0) + (write or 0)
    return TokenUsage(prompt, output, read, write)
