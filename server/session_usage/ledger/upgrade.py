"""A ledger of an older version as this one's: what was read from logs that may be gone stays.

Facts, sources and what was forgotten are carried over; sums are made again by the next sweep.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable
from typing import Any

from session_usage.ledger import codec, store


def upgrade(connection: sqlite3.Connection, found: int, create: Callable[[], None]) -> None:
    """Makes this version's tables (``create``) out of those of version ``found``.

    To be called inside a transaction; raises store.Newer for a later version than ours, and
    store.Damaged for one that never was.
    """
    known(found)
    run = connection.execute
    meta = run("SELECT name, value FROM meta WHERE name NOT IN ('fields', 'complete')").fetchall()
    before = codec.loads(store.get(connection, "fields"))
    sessions = run("SELECT id, agent, name, state, cut FROM sessions").fetchall()
    sources = run(
        "SELECT id, agent, kind, path, owner, position, device, inode, size, mtime_ns, mark,"
        " offset, cursor, gone FROM sources"
    ).fetchall()
    facts = run("SELECT id, source, session, kept, data FROM facts").fetchall()
    copies = run("SELECT session, source FROM copies").fetchall()
    for (name,) in run("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        if not name.startswith("sqlite_"):
            run(f"DROP TABLE {name}")
    create()
    many = connection.executemany
    many("INSERT OR REPLACE INTO meta VALUES(?, ?)", meta)
    many("INSERT INTO sessions(id, agent, name, state, cut) VALUES(?, ?, ?, ?, ?)", sessions)
    many("INSERT INTO copies VALUES(?, ?)", copies)
    many("INSERT INTO dirty VALUES(?)", [(row[0],) for row in sessions])
    places: dict[int, tuple[str, str]] = {}
    for number, agent, kind, path, *rest, cursor, gone in sources:
        places[number] = store.restored(path), agent
        state = codec.pack_state(codec.loads(cursor)) if cursor else None
        origin = store.number(connection, "origins", (agent, kind))
        run(
            "INSERT INTO files(id, origin, folder, name, owner, position, device, inode, size,"
            " mtime_ns, mark, offset, cursor, gone)"
            " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (number, origin, *store.halves(connection, places[number][0]), *rest, state, gone),
        )
    names = {row[0]: store.restored(row[2]) for row in sessions}
    for number, source, session, kept, data in facts:
        if source not in places or session not in names:
            continue
        path, agent = places[source]
        events = [_event(row, before, path, agent) for row in _rows(data)]
        run(
            "INSERT INTO facts VALUES(?, ?, ?, ?, ?)",
            (number, source, session, kept, codec.pack(events, path, agent, names[session])),
        )


def known(found: int) -> None:
    """Raises store.Newer or store.Damaged unless ``found`` is a version before ours."""
    if found > store.VERSION:
        raise store.Newer(
            f"the ledger has version {found}, this program knows {store.VERSION}: update"
            " session-usage, or keep another ledger in a folder that SESSION_USAGE_HOME names"
        )
    if found != 1:
        raise store.Damaged(f"it has version {found}, this program knows {store.VERSION}")


def _rows(blob: bytes) -> Any:
    data = zlib.decompress(blob)
    return json.loads(data[1:]) if data[:1] == b"1" else codec.loads(data[1:])


def _event(row: list[Any], before: dict[str, list[str]], path: str, agent: str) -> Any:
    """An event of version 1: a letter, then its fields without the last ones that are as ever."""
    letter, *fields = row
    made = codec.CLASSES[letter]
    known = dict(zip(before[letter], fields, strict=False))
    for name, own in (("path", path), ("agent", agent)):
        if known.get(name) == 0:
            known[name] = own
    return made._make(known.get(name, made._field_defaults.get(name)) for name in made._fields)
