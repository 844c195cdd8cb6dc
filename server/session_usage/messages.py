"""What was said in a session: the only records that hold text of a conversation.

They are read from the logs when a person asks for them by name, go straight to that caller
and are never stored (no message text leaves the readers otherwise). None means not known.
Times are epoch milliseconds UTC.
"""

from __future__ import annotations

from typing import Any, NamedTuple

USER, ASSISTANT, SYSTEM, TOOL = "user", "assistant", "system", "tool"
"""Roles: who speaks."""
CHAT, TOOL_USE, TOOL_RESULT = "chat", "tool-use", "tool-result"
PROGRESS, SNAPSHOT = "progress", "snapshot"
"""Types: what is said."""


class TokenUsage(NamedTuple):
    """What one answer used, as far as its log says it beside the answer."""

    input_tokens: int | None = None
    """The whole prompt: cache reads and writes are parts of it (RULES R14)."""
    output_tokens: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    """A part of ``output_tokens``."""


class Message(NamedTuple):
    """One message, use of a tool or result of one, in the order of the log."""

    id: str
    session_id: str
    role: str
    type: str
    content: str
    """What was said; of a use of a tool its arguments, of a result what the tool gave back."""
    timestamp: int | None = None
    model: str | None = None
    usage: TokenUsage | None = None
    """Of an answer: beside the first of the messages that it consists of."""
    parent_id: str | None = None
    tool: str | None = None
    """Name of the tool, where the log tells."""
    subagent: tuple[str, ...] = ()
    turn: str | None = None
    """Key of the turn it belongs to, as in ``events.Turn``, where it is easily told."""
    path: str = ""
    offset: int = 0
    raw_json: Any = None
    """The record it was read from, as parsed."""


class SessionSummary(NamedTuple):
    """A session as it stands in a list."""

    id: str
    agent_type: str
    project_path: str | None
    git_branch: str | None = None
    first_prompt: str | None = None
    summary: str | None = None
    """Its title."""
    message_count: int = 0
    """0 in lists of agents whose logs would have to be read to count."""
    created: int | None = None
    modified: int | None = None


class Conversation(NamedTuple):
    """A session with all that was said in it."""

    summary: SessionSummary
    messages: list[Message]
    version: str | None = None
    """Of the program that wrote the log."""


def excerpt(content: str, limit: int = 200) -> str:
    """The beginning of a text: at most ``limit`` characters and three dots."""
    return content if len(content) <= limit else content[:limit] + "..."


def joined(value: Any, key: str = "text") -> str:
    """The texts of content that is a text, a block or a list of blocks; one line each.

    Blocks of thinking are left out, as are blocks without a text under ``key``.
    """
    if type(value) is str:
        return value
    texts = []
    for block in value if type(value) is list else [value]:
        if type(block) is str:
            texts.append(block)
        elif type(block) is dict and block.get("type") != "thinking":
            found = block.get(key)
            if type(found) is str and found:
                texts.append(found)
    return "\n".join(texts)


def spoken(content: str) -> str:
    """A text without the thinking in front of it that some models write into it."""
    begin, mark = "<thinking>", "</thinking>"
    if begin not in content or mark not in content:
        return content
    return content.split(mark, 2)[1].strip()


def arguments(value: Any) -> str:
    """A tool's arguments as they are written: a text, or JSON on one line."""
    if type(value) is str or value is None:
        return value or ""
    import json

    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
