"""What OpenCode stores, whichever way it stores it: sessions, messages and their parts."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from session_usage import jsonl

_SUBAGENT_TITLE = re.compile(r"\(@(\S+) subagent\)\s*$")


class Session(NamedTuple):
    """One session as the program describes it; times in milliseconds."""

    id: str
    parent: str | None
    created: int | None
    updated: int | None
    title: str | None
    directory: str | None
    worktree: str | None
    version: str | None
    agent: str | None
    model: str | None
    origin: str | None


class Message(NamedTuple):
    """One message; ``data`` is what the program wrote, ``table`` where it stood."""

    id: str
    session: str
    created: int | None
    offset: int
    path: str
    data: dict[str, Any]
    table: str = "message"


class Part(NamedTuple):
    """One part of a message."""

    message: str
    session: str
    offset: int
    path: str
    data: dict[str, Any]


class Broken(NamedTuple):
    """A record that cannot be read: where, and what is wrong with it."""

    path: str
    offset: int
    text: str


class Mark(NamedTuple):
    """How far a database was read; ``open`` are messages that still lacked their usage."""

    rowid: int = 0
    messages: int = 0
    sessions: int = 0
    rowid2: int = 0
    messages2: int = 0
    open: tuple[str, ...] = ()


def at_least(version: str | None, *wanted: int) -> bool:
    """Is this version known to be ``wanted`` or newer?"""
    numbers = []
    for number in (version or "").split(".")[: len(wanted)]:
        numbers.append(int(number) if number.isdigit() else 0)
    return tuple(numbers) >= wanted


def parsed(value: Any) -> tuple[dict[str, Any], str | None]:
    """A stored object, empty if it is none, and what is wrong with it."""
    if type(value) is str:
        value = value.encode("utf-8", "replace")
    found, wrong = jsonl.parse(value if type(value) is bytes else b"")
    return found or {}, wrong


def lineage(sessions: dict[str, Session], session: str) -> tuple[str, tuple[str, ...]]:
    """The session at the root, and the names of the sub-agents from there down."""
    names: list[str] = []
    passed = {session}
    found = sessions.get(session)
    while found is not None and found.parent and found.parent not in passed:
        names.append(_agent_name(found))
        session = found.parent
        passed.add(session)
        found = sessions.get(session)
    return session, tuple(reversed(names))


def _agent_name(session: Session) -> str:
    """A sub-agent's name: a column since 1.15, before that it stands in the title."""
    titled = _SUBAGENT_TITLE.search(session.title or "")
    return session.agent or (titled[1] if titled else "subagent")
