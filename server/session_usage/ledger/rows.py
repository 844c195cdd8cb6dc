"""Writing a source and its facts: in place of what was known, or after it."""

from __future__ import annotations

import os
import sqlite3

from session_usage.events import Event, Request, Source
from session_usage.ledger import codec, store
from session_usage.ledger.identity import is_database

_CHUNKS = 24
"""So many blobs of one source and session are joined into one."""


class Rows:
    """The tables of files and facts. Used inside a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def insert(self, source: Source, owner: int | None) -> int:
        """A row for a source that is new."""
        origin = store.number(self.connection, "origins", (source.agent, source.kind))
        return int(
            self.connection.execute(
                "INSERT INTO files(origin, folder, name, owner, size, mtime_ns)"
                " VALUES(?, ?, ?, ?, 0, 0)",
                (origin, *store.halves(self.connection, source.path), owner),
            ).lastrowid
            or 0
        )

    def moved(self, source: Source, stat: os.stat_result | None) -> int | None:
        """The row of the same file under the name it had before, if that is gone."""
        if stat is None or not stat.st_ino:
            return None
        rows = self.connection.execute(
            "SELECT id, path FROM sources WHERE gone = 1 AND inode = ? AND device = ?"
            " AND kind = ? AND agent = ? AND session = ?",
            (
                stat.st_ino,
                stat.st_dev,
                source.kind,
                source.agent,
                store.stored(source.session or ""),
            ),
        ).fetchall()
        for number, path in rows:
            if os.path.lexists(store.restored(path)):
                continue
            self.connection.execute(
                "UPDATE files SET folder = ?, name = ? WHERE id = ?",
                (*store.halves(self.connection, source.path), number),
            )
            return int(number)
        return None

    def old(self, number: int, source: Source) -> dict[int, tuple[list[Event], list[Event]]]:
        """Session -> (events, kept events) as the ledger has them of a source."""
        result: dict[int, tuple[list[Event], list[Event]]] = {}
        for session, kept, data in self.connection.execute(
            "SELECT session, kept, data FROM facts WHERE source = ? ORDER BY id", (number,)
        ):
            both = result.setdefault(session, ([], []))
            name = self._name(session)
            both[kept].extend(codec.unpack(data, source.path, source.agent, name))
        return result

    def replace(self, number: int, source: Source, new: dict[int, list[Event]]) -> set[int]:
        """Puts what a whole reading gave in place of what was known; calls that are no longer
        there are kept. Returns the sessions that changed."""
        connection = self.connection
        old = self.old(number, source)
        kept = _lost(old, new)
        database = is_database(source.path)
        touched = set()
        for session in old.keys() | new.keys():
            events = new.get(session, [])
            keep = kept.get(session, [])
            was, was_kept = old.get(session, ([], []))
            if session not in new and database:
                continue  # one that a database names no more is remembered
            if events == was and keep == was_kept:
                continue
            touched.add(session)
            connection.execute(
                "DELETE FROM facts WHERE source = ? AND session = ?", (number, session)
            )
            for flag, part in ((1, keep), (0, events)):
                if part:
                    self._add(number, session, flag, part, source)
        return touched

    def append(self, number: int, source: Source, new: dict[int, list[Event]]) -> set[int]:
        """Adds what reading on gave. Returns the sessions that changed."""
        touched = set()
        for session, events in new.items():
            if not events:
                continue
            touched.add(session)
            self._add(number, session, 0, events, source)
            rows = self.connection.execute(
                "SELECT id, data FROM facts WHERE source = ? AND session = ? AND kept = 0"
                " ORDER BY id",
                (number, session),
            ).fetchall()
            if len(rows) >= _CHUNKS:
                name = self._name(session)
                joined = [
                    event
                    for _, data in rows
                    for event in codec.unpack(data, source.path, source.agent, name)
                ]
                self.connection.executemany(
                    "DELETE FROM facts WHERE id = ?", [(row,) for row, _ in rows]
                )
                self._add(number, session, 0, joined, source)
        return touched

    def _add(
        self, number: int, session: int, kept: int, events: list[Event], source: Source
    ) -> None:
        data = codec.pack(events, source.path, source.agent, self._name(session))
        self.connection.execute(
            "INSERT INTO facts(source, session, kept, data) VALUES(?, ?, ?, ?)",
            (number, session, kept, data),
        )

    def _name(self, session: int) -> str:
        query = "SELECT name FROM sessions WHERE id = ?"
        return store.restored(self.connection.execute(query, (session,)).fetchone()[0])


def _lost(
    old: dict[int, tuple[list[Event], list[Event]]], new: dict[int, list[Event]]
) -> dict[int, list[Event]]:
    """Calls that were in the source and are no more. They were made, so they are kept."""
    fresh = [e for events in new.values() for e in events if isinstance(e, Request)]
    keys = {event.key for event in fresh}
    figures = {_figures(event) for event in fresh}
    result: dict[int, list[Event]] = {}
    for session, (was, was_kept) in old.items():
        for event in (*was_kept, *was):
            if not isinstance(event, Request) or event.weak or event.copied:
                continue
            if event.key in keys or _figures(event) in figures:
                continue
            keys.add(event.key)
            result.setdefault(session, []).append(event)
    return result


def _figures(request: Request) -> tuple[object, ...]:
    return (
        request.started_ms, request.model, request.input_tokens, request.output_tokens,
        request.nano_aiu,
    )  # fmt: skip
