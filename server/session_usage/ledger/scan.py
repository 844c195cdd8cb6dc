"""From logs to facts: what is new since the last sweep is read, and nothing else.

A log that a provider calls *growing* is read on from where reading stopped, as long as it is
the same file (device, inode) and the bytes around that place are the same. In every other
case it is read again and its facts are replaced, but calls that are gone from it are kept.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from stat import S_ISDIR
from typing import NamedTuple

from session_usage.events import START, Counter, Cursor, Event, Problem, Request, Source
from session_usage.ledger import codec, store
from session_usage.ledger.care import since
from session_usage.ledger.folders import Folders
from session_usage.ledger.identity import (
    continues,
    fingerprint,
    identity,
    stat_of,
    with_log,
)
from session_usage.ledger.rows import Rows
from session_usage.places import Places, looking
from session_usage.providers import provider_for
from session_usage.sessions import Library

_FAILED = frozenset({"missing", "unreadable", "locked"})
"""Problems that may be over at the next try: what was known stays as it was."""
_THERE = (0, 0, False)
"""(size, mtime_ns, gone) of a source that need only be there: its provider does not look at it."""
_SIGN_NS = 2_000_000_000
_REST = 5.0
"""A source that must be read whole rests for this many times the time its reading took."""

Key = tuple[str, str, str]
Session = tuple[str, str]
"""(agent, name); the name is empty for calls of no session."""


class Known(NamedTuple):
    """What the ledger knows of a source, for a quick comparison."""

    id: int
    owner: Session | None
    size: int
    mtime_ns: int
    gone: bool


class Found(NamedTuple):
    """A source as this sweep found it."""

    source: Source
    owner: Session | None
    position: int

    @property
    def key(self) -> Key:
        """What the ledger knows a source by."""
        return self.source.path, self.source.kind, self.source.session or ""


class Reading(NamedTuple):
    """What one reading of a source gave."""

    found: Found
    known: int | None
    before: int
    """The offset it began at; a different one in the ledger means that somebody else wrote."""
    replace: bool
    events: dict[Session, list[Event]]
    cursor: Cursor
    stat: os.stat_result | None
    failed: bool


class Scanner:
    """Keeps the facts of one ledger up to date with the logs of ``places``.

    Only the process that holds the lock may use it. ``trouble`` has the problems of sources
    that could not be read at the last try, ``waiting`` the paths of those that changed but
    were read a moment ago and rest.
    """

    def __init__(self, connection: sqlite3.Connection, places: Places) -> None:
        self.connection = connection
        self.places = places
        self._rows = Rows(connection)
        self.trouble: dict[Key, Problem] = {}
        self.waiting: set[str] = set()
        self._ids: dict[Session, int] = {}
        self._known: dict[Key, Known] = {}
        self._at: dict[str, list[Key]] = {}
        """The known sources at a path."""
        self._version = -1
        self._rests: dict[Key, float] = {}
        self.folders = Folders()

    def changed(self) -> list[list[Found]]:
        """The sources that differ from what the ledger knows, those of one session together:
        databases of many sessions first, then the newest sessions. Notes which are gone."""
        self._load()
        if self.folders.unchanged():
            # no folder has anything new in it: only known logs can have changed
            return self._grown(self._known)
        seen = self.folders.recalled(self.connection, self.places)
        if seen is not None:
            return self.touched(seen.grown)
        begun_ns = time.time_ns()
        with looking() as looked:
            library = Library(self.places)
        looked.update(self.places.vscode())
        found: dict[Key, Found] = {}
        groups: list[list[Found]] = []
        for source in library.shared:
            each = Found(with_log(source), None, 0)
            found[each.key] = each
            if self._differs(each):
                groups.append([each])
        own: list[tuple[int, list[Found]]] = []
        for (agent, name), ref in library.refs.items():
            of: dict[Key, Found] = {}
            for at, source in enumerate(ref.sources):
                each = Found(source, (agent, name), at)
                of.setdefault(each.key, each)
            found.update(of)
            new = [each for each in of.values() if self._differs(each)]
            if new:
                own.append((ref.updated_ns, new))
        own.sort(key=lambda item: item[0], reverse=True)
        self._note_gone(found.keys())
        kinds = {(each.source.agent, each.source.kind): key[0] for key, each in found.items()}
        groups += [group for _, group in own]
        unread = {each.key for group in groups for each in group}
        self.folders.note(looked, kinds.values(), begun_ns, unread)
        return groups

    def remember(self) -> None:
        """After a sweep: who starts later need not list the folders that were listed now."""
        self.folders.remember(self.connection, self.places)

    def behind(self) -> bool:
        """Does any source differ from what the ledger knows? Nothing is noted."""
        self._load()
        library = Library(self.places)
        return any(
            self._differs(Found(with_log(source), None, 0)) for source in library.shared
        ) or any(
            self._differs(Found(source, key, at))
            for key, ref in library.refs.items()
            for at, source in enumerate(ref.sources)
        )

    def _differs(self, found: Found) -> bool:
        known = self._known.get(found.key)
        if known is None:
            return True
        source = found.source
        if (known.size, known.mtime_ns) == (source.size, source.mtime_ns):
            return known.gone or known.owner != found.owner
        if self._rests.get(found.key, 0.0) > time.monotonic():
            self.waiting.add(source.path)
            return False
        self.waiting.discard(source.path)
        return True

    def touched(self, paths: Iterable[str]) -> list[list[Found]]:
        """Those of the known sources at ``paths`` that changed, without looking anywhere else."""
        self._load()
        return self._grown(key for path in set(paths) for key in self._at.get(path, ()))

    def _grown(self, keys: Iterable[Key]) -> list[list[Found]]:
        """Those of these sources that changed; databases first, then the newest."""
        groups: dict[Session | Key, list[Found]] = {}
        for key in keys:
            known = self._known[key]
            if known.owner is not None and known[2:] == _THERE:
                continue
            try:
                stat = os.stat(key[0])
            except OSError:
                continue
            size, mtime_ns = stat.st_size, stat.st_mtime_ns
            if known.owner is not None and known[2:] == (size, mtime_ns, False):
                continue
            row = self._source(known.id)
            if row is None or S_ISDIR(stat.st_mode):
                continue
            source = with_log(row[0]._replace(size=size, mtime_ns=mtime_ns))
            each = Found(source, known.owner, row[1])
            if self._differs(each):
                groups.setdefault(known.owner or key, []).append(each)
        return sorted(
            groups.values(),
            key=lambda group: (
                group[0].owner is None,
                max(found.source.mtime_ns for found in group),
            ),
            reverse=True,
        )

    def _source(self, row: int) -> tuple[Source, int] | None:
        """(source, its place among those of its session) by its row."""
        found = self.connection.execute(
            "SELECT agent, kind, path, session, position FROM sources WHERE id = ?", (row,)
        ).fetchone()
        if found is None:
            return None
        agent, kind, path, session, position = found
        name = store.restored(session) or None
        return Source(agent, kind, store.restored(path), name), position

    def knows(self, paths: Iterable[str]) -> bool:
        """Are all of these known logs? If not, something new is there."""
        return self._at.keys() >= set(paths)

    def stirred(self) -> bool:
        """Is something new in a folder where logs appear? Much cheaper than a sweep."""
        return self.folders.changed()

    def refresh(self) -> None:
        """Sources were marked to be read again by our own hand."""
        self._version = -1
        self.folders.forget()

    def _load(self) -> None:
        """Reads what the ledger knows, unless nobody else wrote to it since."""
        version = self.connection.execute("PRAGMA data_version").fetchone()[0]
        if version == self._version:
            return
        self._version = version
        self._known.clear()
        self._at.clear()
        self._ids.clear()
        for row in self.connection.execute(
            "SELECT s.id, s.path, s.kind, s.session, s.size, s.mtime_ns, s.gone, o.agent, o.name"
            " FROM sources s LEFT JOIN sessions o ON o.id = s.owner"
        ):
            number, path, kind, session, size, mtime_ns, gone, agent, name = row
            owner = None if agent is None else (agent, store.restored(name))
            key = store.restored(path), kind, store.restored(session)
            self._know(key, Known(number, owner, size, mtime_ns, bool(gone)))

    def _know(self, key: Key, known: Known) -> None:
        if key not in self._known:
            self._at.setdefault(key[0], []).append(key)
        self._known[key] = known

    def _note_gone(self, found: Iterable[Key]) -> None:
        missing = self._known.keys() - found
        lost = [key for key in missing if not self._known[key].gone and not os.path.lexists(key[0])]
        if not lost:
            return
        with store.transaction(self.connection):
            for key in lost:
                number = self._known[key].id
                self.connection.execute("UPDATE files SET gone = 1 WHERE id = ?", (number,))
                self.connection.execute(
                    "INSERT OR IGNORE INTO dirty SELECT owner FROM files"
                    " WHERE id = ? AND owner IS NOT NULL",
                    (number,),
                )
        for key in lost:
            self._known[key] = self._known[key]._replace(gone=True)

    def session(self, key: Session) -> tuple[int, int]:
        """(id, state) of a session's row, made when it is new."""
        agent, name = key[0], store.stored(key[1])
        query = "SELECT id, state FROM sessions WHERE agent = ? AND name = ?"
        row = self.connection.execute(query, (agent, name)).fetchone()
        if row is None:
            self.connection.execute("INSERT INTO sessions(agent, name) VALUES(?, ?)", (agent, name))
            row = self.connection.execute(query, (agent, name)).fetchone()
        return int(row[0]), int(row[1])

    def ingest(self, group: list[Found], stop: Callable[[], bool] = lambda: False) -> set[int]:
        """Reads these sources and writes their facts in one transaction.

        Returns the ids of the sessions whose facts changed; they are marked dirty.
        """
        readings = []
        for found in group:
            if stop():
                break
            begun = time.monotonic()
            reading = self._read(found)
            if found.source.kind not in provider_for(found.source.agent).growing:
                now = time.monotonic()
                self._rests[found.key] = now + (now - begun) * _REST
            readings.append(reading)
        touched: set[int] = set()
        written: list[tuple[Key, Known]] = []
        with store.transaction(self.connection):
            for reading in readings:
                if reading.failed:
                    continue
                number, sessions = self._write(reading)
                touched |= sessions
                source = reading.found.source
                known = Known(number, reading.found.owner, source.size, source.mtime_ns, False)
                written.append((reading.found.key, known))
            self.connection.executemany(
                "INSERT OR IGNORE INTO dirty VALUES(?)", [(number,) for number in touched]
            )
        for key, known in written:
            self._know(key, known)
        self.folders.unread.difference_update(key for key, _ in written)
        return touched

    def _read(self, found: Found) -> Reading:
        source, owner = found.source, found.owner
        known = self._known.get(found.key)
        start, replace, before = START, True, -1
        stat = stat_of(source.path)
        provider = provider_for(source.agent)
        if known is not None:
            row = self.connection.execute(
                "SELECT device, inode, size, mark, offset, cursor FROM files WHERE id = ?",
                (known.id,),
            ).fetchone()
            if row is not None:
                before = row[4]
                if source.kind in provider.growing and continues(source, stat, row):
                    start, replace = Cursor(row[4], codec.unpack_state(row[5])), False
        events: dict[Session, list[Event]] = {}
        cursor = start
        failed = False
        for event in provider.read(source, start, full=True):
            if isinstance(event, Cursor):
                cursor = event
                continue
            if isinstance(event, Problem) and event.kind in _FAILED and event.offset is None:
                failed = True
                self.trouble[found.key] = event
            session = owner or (source.agent, event.session or "")
            events.setdefault(session, []).append(event)
        if not failed:
            self.trouble.pop(found.key, None)
        return Reading(
            found, known.id if known else None, before, replace, events, cursor, stat, failed
        )

    def _write(self, reading: Reading) -> tuple[int, set[int]]:
        found, cursor = reading.found, reading.cursor
        source = found.source
        connection = self.connection
        owner = self.session(found.owner)[0] if found.owner else None
        touched: set[int] = set()
        number = reading.known
        if number is None:
            number = self._rows.moved(source, reading.stat) or self._rows.insert(source, owner)
        row = connection.execute(
            "SELECT owner, offset FROM files WHERE id = ?", (number,)
        ).fetchone()
        if row is None:  # forgotten while we read
            number = self._rows.insert(source, owner)
            row = (None, 0)
        if not reading.replace and row[1] != reading.before:
            return number, touched  # somebody else wrote: the next sweep reads from there
        if row[0] not in (None, owner):
            touched.add(row[0])
            connection.execute(
                "UPDATE facts SET session = ? WHERE source = ? AND session = ?",
                (owner, number, row[0]),
            )
            touched.add(owner or 0)
        active = self._wanted(reading)
        if reading.replace:
            touched |= self._rows.replace(number, source, active)
        else:
            touched |= self._rows.append(number, source, active)
        if found.owner is not None and owner in active:
            touched |= self._note_copies(number, found.owner, active[owner])
        stat = reading.stat
        connection.execute(
            "UPDATE files SET owner = ?, position = ?, device = ?, inode = ?, size = ?,"
            " mtime_ns = ?, mark = ?, offset = ?, cursor = ?, gone = 0 WHERE id = ?",
            (
                owner, found.position, *identity(stat), source.size, source.mtime_ns,
                fingerprint(source.path, cursor.offset), cursor.offset,
                codec.pack_state(cursor.state), number,
            ),
        )  # fmt: skip
        if owner is not None and (reading.known is None or self._woke(owner, source)):
            touched.add(owner)
        return number, touched - {0}

    def _woke(self, owner: int, source: Source) -> bool:
        """Is this a sign of life of its session, though nothing that counts? It makes it the
        newest one; while it goes on, that is noted every few seconds only."""
        (updated_ns,) = self.connection.execute(
            "SELECT updated_ns FROM sessions WHERE id = ?", (owner,)
        ).fetchone()
        return bool(source.mtime_ns > updated_ns + _SIGN_NS)

    def _wanted(self, reading: Reading) -> dict[int, list[Event]]:
        """What was read, by session, less what is to be forgotten."""
        before_ms = int(store.get(self.connection, "forget_before", 0))
        result = {}
        for key, events in reading.events.items():
            number, state = self.session(key)
            if state != store.ACTIVE:
                continue
            if before_ms:
                was = self.connection.execute(
                    "SELECT cut FROM sessions WHERE id = ?", (number,)
                ).fetchone()[0]
                events, cut = since(events, before_ms, bool(was))
                if cut and not was:
                    self.connection.execute("UPDATE sessions SET cut = 1 WHERE id = ?", (number,))
            result[number] = events
        return result

    def _note_copies(self, number: int, owner: Session, events: list[Event]) -> set[int]:
        """Remembers whose calls this source holds copies of; those sessions change, too."""
        touched = set()
        for name in {
            event.session or ""
            for event in events
            if isinstance(event, Request | Counter) and event.session != owner[1]
        }:
            session = self.session((owner[0], name))[0]
            self.connection.execute("INSERT OR IGNORE INTO copies VALUES(?, ?)", (session, number))
            touched.add(session)
        return touched
