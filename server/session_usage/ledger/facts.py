"""The facts of a session, and the session that is made of them, as without a ledger."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from session_usage.claims import claim, waits
from session_usage.events import Counter, Cursor, Event, Request
from session_usage.ledger import codec, store
from session_usage.reconcile import Session, reconcile, started
from session_usage.report import Amount


class Facts:
    """Reads the facts of sessions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def events(self, session: int, agent: str) -> list[Event]:
        """All facts of a session, in the order in which its sources are listed."""
        return self._events(session, agent, "")

    def own_events(self, session: int, agent: str) -> list[Event]:
        """The same without what databases of many sessions say."""
        return self._events(session, agent, "AND s.owner IS NOT NULL")

    def _events(self, session: int, agent: str, which: str) -> list[Event]:
        result: list[Event] = []
        for data, path, of, name in self.connection.execute(
            "SELECT f.data, s.path, s.agent, n.name FROM facts f"
            " JOIN sources s ON s.id = f.source JOIN sessions n ON n.id = f.session"
            f" WHERE f.session = ? {which}"
            " ORDER BY s.owner IS NULL, s.position, s.path, f.kept DESC, f.id",
            (session,),
        ):
            events = codec.unpack(data, store.restored(path), of, store.restored(name))
            if of != agent:  # a session of the CLI that VS Code hosts
                events = [event._replace(agent=agent) for event in events]  # type: ignore[call-arg]
            result += events
        return result

    def copies(self, session: int, agent: str, name: str) -> list[Event]:
        """What other sessions' files hold of this session's calls."""
        result: list[Event] = []
        for data, path, of, other in self.connection.execute(
            "SELECT f.data, s.path, s.agent, n.name FROM copies c"
            " JOIN facts f ON f.source = c.source JOIN sources s ON s.id = f.source"
            " JOIN sessions n ON n.id = f.session WHERE c.session = ? AND f.session != ?"
            " ORDER BY f.id",
            (session, session),
        ):
            for event in codec.unpack(data, store.restored(path), of, store.restored(other)):
                if isinstance(event, Request | Counter) and (event.session or "") == name:
                    result.append(event._replace(agent=agent) if of != agent else event)
        return result

    def load(self, session: int, agent: str, name: str, own: bool) -> tuple[Session, Session]:
        """(the session, what only others' files tell of it); see ``Library.all``."""
        events = self.events(session, agent)
        copies = self.copies(session, agent, name)
        if not own:
            return reconcile(agent, name or None, [*events, *copies]), reconcile(agent, name, ())
        found = reconcile(agent, name, events)
        rest = reconcile(agent, name, ())._replace(meta=found.meta)
        if copies:
            both = reconcile(agent, name, [*events, *copies])
            paths = {event.path for event in events if not isinstance(event, Cursor)}
            rest = rest._replace(
                requests=tuple(r for r in both.requests if r.copied or r.path not in paths),
                unattributed=tuple(row for row in both.unattributed if row.copied),
            )
        return found, rest

    def claim(self, session: Session) -> tuple[Session, list[Request]]:
        """``session`` with what it claims of its agent's calls of no session; see ``claims``."""
        if session.id is None or not waits(session):
            return session, []
        row = self.connection.execute(
            "SELECT id FROM sessions WHERE agent = ? AND name = ''", (session.agent,)
        ).fetchone()
        events = [] if row is None else self.events(row[0], session.agent)
        return claim(session, [event for event in events if isinstance(event, Request)])

    def whole(self, session: int, agent: str, name: str, more: Iterable[Event] = ()) -> Session:
        """The session with the files of its subagents, where those are sessions of their own;
        see ``Library.load``."""
        events = self.events(session, agent)
        done = {name}
        children = started(events) - done
        while children:
            child = children.pop()
            done.add(child)
            row = self.connection.execute(
                "SELECT id FROM sessions WHERE agent = ? AND name = ? AND NOT late",
                (agent, store.stored(child)),
            ).fetchone()
            if row is not None:
                told = self.own_events(row[0], agent)
                events += told
                children |= started(told) - done
        return self.claim(reconcile(agent, name or None, [*events, *more]))[0]


class Counted(NamedTuple):
    """A session and which amounts count for it."""

    number: int
    session: Session
    amounts: list[Amount]


def without(priced: list[Amount], elsewhere: set[int]) -> list[Amount]:
    """The amounts less those of calls that count for another session."""
    if not elsewhere:
        return priced
    return [
        amount
        for amount in priced
        if not (type(amount.usage) is Request and mark(amount.usage) in elsewhere)
    ]


def mark(request: Request) -> int:
    """A number for a call's key, the same in every process."""
    import hashlib

    text = f"{request.agent}\0{request.key}".encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big", signed=True)
