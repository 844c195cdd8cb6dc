"""What the user does not want to be kept: forgetting, exclusion, retention.

Forgotten is forgotten: the facts and sums are deleted, and a note of the session's id alone
sees to it that the next scan does not bring it back. What a setting excludes is deleted, too,
but comes back from the logs when the setting is changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from session_usage.errors import ProjectNotFound
from session_usage.events import Counter, Event, Request, ToolCall, Turn
from session_usage.ledger import codec, store
from session_usage.ledger.query import Ref
from session_usage.ledger.sums import clear, is_below, next_generation
from session_usage.report import moment


class Forgotten(NamedTuple):
    """What was taken out."""

    sessions: int
    requests: int


def forget(connection: sqlite3.Connection, refs: Iterable[Ref]) -> Forgotten:
    """Deletes these sessions for good."""
    with store.transaction(connection):
        result = _forget(connection, [ref.id for ref in refs])
    _shred(connection)
    return result


def forget_project(connection: sqlite3.Connection, folder: str) -> Forgotten:
    """Deletes the sessions of a project so far; raises ProjectNotFound when it has none."""
    with store.transaction(connection):
        numbers = [
            number
            for number, project, workspace in connection.execute(
                "SELECT id, project, workspace FROM sessions WHERE listed"
            )
            if any(
                place and is_below(store.restored(place), (folder,))
                for place in (project, workspace)
            )
        ]
        if not numbers:
            raise ProjectNotFound(f"no session was run in {folder}")
        result = _forget(connection, numbers)
    _shred(connection)
    return result


def forget_before(connection: sqlite3.Connection, before_ms: int) -> Forgotten:
    """Deletes every request before an instant, and what the scan would find of them."""
    with store.transaction(connection):
        known = int(store.get(connection, "forget_before", 0))
        store.put(connection, "forget_before", max(known, before_ms))
        requests = connection.execute(
            "SELECT COALESCE(SUM(requests), 0) FROM cells WHERE quarter >= 0 AND quarter < ?",
            (before_ms // 900_000,),
        ).fetchone()[0]
        numbers = [
            number
            for (number,) in connection.execute(
                "SELECT id FROM sessions WHERE begin_ms < ?", (before_ms,)
            )
        ]
        whole = [
            number
            for (number,) in connection.execute(
                "SELECT id FROM sessions WHERE begin_ms < ?1 AND updated_ms < ?1 AND name != ''",
                (before_ms,),
            )
        ]
        _forget(connection, whole)
        for number in set(numbers) - set(whole):
            _cut(connection, number, before_ms)
    _shred(connection)
    return Forgotten(len(whole), int(requests))


def _forget(connection: sqlite3.Connection, numbers: list[int]) -> Forgotten:
    requests = 0
    for number in numbers:
        requests += connection.execute(
            "SELECT requests FROM sessions WHERE id = ?", (number,)
        ).fetchone()[0]
        connection.execute("UPDATE sessions SET state = ? WHERE id = ?", (store.FORGOTTEN, number))
        clear(connection, number, next_generation(connection))
    return Forgotten(len(numbers), requests)


def _shred(connection: sqlite3.Connection) -> None:
    """What was deleted leaves the write-ahead log, too."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _cut(connection: sqlite3.Connection, number: int, before_ms: int) -> None:
    """Takes the older part out of a session that went on after the day."""
    rows = connection.execute(
        "SELECT f.id, f.data, s.path, s.agent, n.name FROM facts f"
        " JOIN sources s ON s.id = f.source JOIN sessions n ON n.id = f.session"
        " WHERE f.session = ?",
        (number,),
    ).fetchall()
    for row, data, path, agent, name in rows:
        path, name = store.restored(path), store.restored(name)
        events = codec.unpack(data, path, agent, name)
        kept = since(events, before_ms, True)[0]
        if len(kept) != len(events):
            connection.execute(
                "UPDATE facts SET data = ? WHERE id = ?", (codec.pack(kept, path, agent, name), row)
            )
    connection.execute("UPDATE sessions SET cut = 1 WHERE id = ?", (number,))
    connection.execute("INSERT OR IGNORE INTO dirty VALUES(?)", (number,))


def since(events: Iterable[Event], before_ms: int, cut: bool) -> tuple[list[Event], bool]:
    """(what of a session's events is not before an instant, is the session cut by it).

    The running totals of a session that was cut go, too: they include what was before, and
    what they would know beyond the requests could be just that.
    """
    found = list(events)
    kept = [event for event in found if not _is_before(event, before_ms)]
    cut = cut or len(kept) != len(found)
    if cut:
        kept = [e for e in kept if not (isinstance(e, Counter) and e.scope != "turn")]
    return kept, cut


def _is_before(event: Event, before_ms: int) -> bool:
    at_ms: int | None
    if isinstance(event, Request | Counter):
        at_ms = moment(event)
    elif isinstance(event, ToolCall | Turn):
        at_ms = event.at_ms
    else:
        return False
    return at_ms is not None and at_ms < before_ms


def include_again(connection: sqlite3.Connection, excluded: Iterable[str]) -> int:
    """Lets the next scan read what a changed setting no longer excludes, and makes what it
    now excludes go; returns how many sessions are concerned."""
    folders = tuple(excluded)
    done = 0
    with store.transaction(connection):
        for (number,) in connection.execute(
            "SELECT id FROM sessions WHERE state = ?", (store.EXCLUDED,)
        ).fetchall():
            connection.execute("DELETE FROM files WHERE owner = ?", (number,))
            connection.execute("UPDATE sessions SET state = ? WHERE id = ?", (store.ACTIVE, number))
            done += 1
        if done:  # what databases of many sessions say of them
            connection.execute("UPDATE files SET size = -1 WHERE owner IS NULL")
        for number, project, workspace in connection.execute(
            "SELECT id, project, workspace FROM sessions WHERE state = ?", (store.ACTIVE,)
        ).fetchall():
            places = [store.restored(place) for place in (project, workspace) if place]
            if any(is_below(place, folders) for place in places):
                connection.execute("INSERT OR IGNORE INTO dirty VALUES(?)", (number,))
                done += 1
    return done
