"""The events of Copilot sessions: which types there are, and one event in plain values.

``types()`` is the table of ``data/copilot-events.txt``: every type that the CLI's schema or
its SDK declares, and those that journals hold beside them. A type that is not in the table is
kept like any other, with its raw payload; its ``kind`` is ``UNKNOWN``.
"""

from __future__ import annotations

import functools
import os
import re
from typing import Any, NamedTuple

from session_usage.errors import BadEvent
from session_usage.values import instant, mapping, text

_TABLE = os.path.join(os.path.dirname(__file__), "data", "copilot-events.txt")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class EventType(NamedTuple):
    """One row of the table."""

    name: str
    persistence: str
    """``persisted`` (in the journal), ``ephemeral`` (only from a running CLI), ``either``."""
    usage: str
    """What it tells of usage: ``request`` (tokens and amount of a call), ``counter`` (a running
    total), ``context``, ``quota``, ``cache``, ``call``, ``message``, ``tool``, ``skill``,
    ``subagent``, ``session``; empty: nothing."""


UNKNOWN = EventType("unknown", "either", "")
"""Stands for every type that is not in the table."""


class SessionEvent(NamedTuple):
    """One event of a session, from a journal or from a running CLI."""

    type: str
    data: dict[str, Any]
    """The payload as it came, unknown fields included."""
    id: str | None
    at_ms: int | None
    """Epoch milliseconds UTC."""
    parent: str | None
    agent: str | None
    """The subagent's instance; None: the main agent, or the session as a whole."""
    ephemeral: bool
    raw: dict[str, Any]

    @property
    def kind(self) -> EventType:
        """The row of its type, ``UNKNOWN`` if the table has none."""
        return types().get(self.type, UNKNOWN)


@functools.cache
def types() -> dict[str, EventType]:
    """Every known type by its name."""
    with open(_TABLE, encoding="ascii") as file:
        rows = (line.split() for line in file if not line.startswith("#"))
        return {name: EventType(name, kept, use.strip("-")) for name, kept, use in rows}


def read(raw: Any, strict: bool = False) -> SessionEvent:
    """An event's JSON object as a ``SessionEvent``; BadEvent for what is no event at all.

    ``strict`` is for events that a CLI hands over: there, an id that is no UUID or a timestamp
    that is no time is an error. A journal's event keeps what it has: it is then without time.
    """
    if type(raw) is not dict:
        raise BadEvent("an event is no object")
    kind = text(raw.get("type"))
    if kind is None:
        raise BadEvent("an event has no type")
    name, at_ms = raw.get("id"), instant(raw.get("timestamp"))
    if strict:
        if not (type(name) is str and _UUID.fullmatch(name)):
            raise BadEvent(f"the id of a {kind} is no UUID")
        if at_ms is None:
            raise BadEvent(f"the timestamp of a {kind} is no time")
    known = types().get(kind, UNKNOWN)
    return SessionEvent(
        kind,
        mapping(raw.get("data")),
        text(name),
        at_ms,
        text(raw.get("parentId")),
        text(raw.get("agentId")),
        raw.get("ephemeral") is True or known.persistence == "ephemeral",
        raw,
    )
