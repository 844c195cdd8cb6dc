"""What was said, from OpenCode's database or JSON tree: the parts of each message.

The rows of one session's messages are held while they are put in order; their texts, which
are parts, are read one message at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from session_usage import sqlite, values
from session_usage.events import Problem, Source
from session_usage.messages import (
    ASSISTANT,
    CHAT,
    SYSTEM,
    TOOL,
    TOOL_RESULT,
    TOOL_USE,
    USER,
    TokenUsage,
    arguments,
)
from session_usage.messages import Message as Said
from session_usage.providers.opencode.database import Database
from session_usage.providers.opencode.records import Mark, Message, Session, lineage
from session_usage.providers.opencode.tokens import tokens_of, whole_output
from session_usage.providers.opencode.tree import Tree

AGENT = "opencode"


def read_messages(sources: Sequence[Source], session: str) -> Iterator[Said | Problem]:
    """The conversation of a session, then those of its subagents; a database's rows go first."""
    told = False
    for source in sorted(sources, key=lambda source: source.kind == "tree"):
        if told:
            return  # the tree beside a database holds what was moved into it
        try:
            if source.kind == "tree":
                tree = Tree(source.path, source.session or session)
                for one in _conversation(tree, session, source):
                    told = told or type(one) is Said
                    yield one
                continue
            with sqlite.reading(source.path) as connection:
                database = Database(connection, source.path, Mark())
                for one in _conversation(database, session, source):
                    told = told or type(one) is Said
                    yield one
        except sqlite.Unreadable as error:
            yield Problem(error.kind, source.path, None, str(error), AGENT, session)
        except OSError as error:
            kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
            words = error.strerror or type(error).__name__
            yield Problem(kind, source.path, None, words, AGENT, session)


def _conversation(
    storage: Database | Tree, session: str, source: Source
) -> Iterator[Said | Problem]:
    sessions = storage.sessions()
    family = [session]
    if isinstance(storage, Database):
        family += [name for name in sessions if name != session]
    for name in family:
        root, names = lineage(sessions, name)
        if root != session and name != session:
            continue
        rows: list[Message] = []
        for found in storage.messages((name,)):
            if type(found) is Message:
                rows.append(found)
            elif not isinstance(found, Message):
                yield Problem(
                    "malformed", found.path, found.offset, found.text, AGENT, source.session
                )
        rows.sort(key=lambda row: (row.created or 0, row.id))
        for row in rows:
            yield from _message(storage, sessions.get(name), session, names, row)


def _message(
    storage: Database | Tree,
    owner: Session | None,
    session: str,
    names: tuple[str, ...],
    row: Message,
) -> Iterator[Said]:
    data = row.data
    role = ASSISTANT if data.get("role") == "assistant" else USER
    model = values.text(data.get("modelID"))
    usage = _usage(data, owner) if role == ASSISTANT else None
    for count, (who, what, said, tool, raw) in enumerate(_parts(storage, row, role)):
        yield Said(
            f"{row.id}#{count}" if count else row.id,
            session,
            who,
            what,
            said,
            row.created,
            model if who == ASSISTANT else None,
            usage if who == ASSISTANT else None,
            values.text(data.get("parentID")),
            tool,
            names,
            row.id if role == USER else values.text(data.get("parentID")),
            row.path,
            row.offset,
            raw,
        )
        if who == ASSISTANT:
            usage = None
    error = values.mapping(data.get("error"))
    if error:
        about = values.text(values.mapping(error.get("data")).get("message"))
        words = about or values.text(error.get("name")) or "failed"
        yield Said(
            f"{row.id}#error",
            session,
            SYSTEM,
            CHAT,
            words,
            row.created,
            subagent=names,
            path=row.path,
            offset=row.offset,
            raw_json=data,
        )


_Part = tuple[str, str, str, str | None, Any]


def _parts(storage: Database | Tree, row: Message, role: str) -> Iterator[_Part]:
    """(role, type, content, tool, part) of one message."""
    for part in storage.parts(row):
        data = part.data
        kind = data.get("type")
        if kind == "text" and values.text(data.get("text")):
            injected = data.get("synthetic") is True and role == USER
            yield SYSTEM if injected else role, CHAT, data["text"], None, data
        elif kind == "compaction":
            yield SYSTEM, CHAT, "(the conversation was compacted)", None, data
        elif kind == "tool":
            state = values.mapping(data.get("state"))
            tool = values.text(data.get("tool"))
            yield ASSISTANT, TOOL_USE, arguments(state.get("input")), tool, data
            if state.get("status") in ("completed", "error"):
                said = values.text(state.get("output")) or values.text(state.get("error")) or ""
                yield TOOL, TOOL_RESULT, said, tool, data


def _usage(data: dict[str, Any], owner: Session | None) -> TokenUsage | None:
    tokens = tokens_of(data.get("tokens"))
    if not tokens.used:
        return None
    fresh = tokens.fresh
    return TokenUsage(
        None if fresh is None else fresh + (tokens.read or 0) + (tokens.write or 0),
        whole_output(tokens, owner),
        tokens.read,
        tokens.write,
        tokens.reasoning,
    )
