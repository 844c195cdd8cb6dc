"""Read-only access to other programs' SQLite databases, live ones included.

Rules (RULES R18): opened with ``mode=ro`` beside its ``-wal``, never ``immutable`` while a
non-empty WAL exists, never a copy of the main file alone. SQLite may touch ``-shm``; in a
folder where it may not, database and WAL are copied together to a private temporary folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from operator import methodcaller
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # imported where it is used: many commands open no database
    import sqlite3

BUSY_SECONDS = 2.0
"""How long to wait for a writer that holds the database."""


class Unreadable(Exception):
    """The database cannot be read now; ``kind`` is a problem kind, str() one line why."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@contextmanager
def reading(path: str) -> Iterator[sqlite3.Connection]:
    """An open read-only connection; raises ``Unreadable`` for whatever goes wrong inside."""
    import sqlite3

    try:
        with _connection(path) as connection:
            yield connection
    except sqlite3.Error as error:
        raise Unreadable(*_reason(error)) from error
    except UnicodeDecodeError as error:  # SQLite quotes damaged bytes in its own error text
        raise Unreadable("malformed", "the database cannot be read (damaged)") from error
    except OSError as error:
        raise Unreadable("unreadable", error.strerror or type(error).__name__) from error


@contextmanager
def _connection(path: str) -> Iterator[sqlite3.Connection]:
    if not os.path.isfile(path):
        raise Unreadable("missing", "no such file")
    import sqlite3

    wal = _size(path + "-wal")
    if wal and not os.access(os.path.dirname(path) or ".", os.W_OK):
        with _copied(path, "-wal") as connection:
            yield connection
        return
    try:
        connection = _open(path, "mode=ro")
    except sqlite3.OperationalError as error:
        if "readonly" in str(error) and _size(path + "-journal"):
            # its writer was killed: what it left half written is undone in a copy, not here
            with _copied(path, "-journal") as connection:
                yield connection
            return
        # a WAL-mode database in a read-only folder; with no WAL the main file is complete
        if wal or "unable to open" not in str(error):
            raise
        connection = _open(path, "mode=ro&immutable=1")
    with closing(connection):
        yield connection


@contextmanager
def _copied(path: str, ending: str) -> Iterator[sqlite3.Connection]:
    """A copy of the database, with the file beside it that makes it whole."""
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory(prefix="session-usage-") as folder:
        copy = os.path.join(folder, "copy.db")
        shutil.copyfile(path, copy)
        shutil.copyfile(path + ending, copy + ending)
        with closing(_open(copy, "mode=rw")) as connection:
            yield connection


def _open(path: str, options: str) -> sqlite3.Connection:
    import sqlite3
    from urllib.parse import quote

    uri = "file:" + quote(os.fsencode(os.path.abspath(path).replace(os.sep, "/"))) + "?" + options
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    connection.text_factory = methodcaller("decode", "utf-8", "replace")
    try:
        connection.execute("PRAGMA query_only = 1")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _reason(error: sqlite3.Error) -> tuple[str, str]:
    text = str(error)
    if "locked" in text or "busy" in text:
        return "locked", "another program holds the database locked; try again later"
    return "malformed", f"the database cannot be read ({text})"


def columns(connection: sqlite3.Connection, table: str) -> frozenset[str]:
    """The columns of ``table``; empty when there is no such table."""
    name = table.replace('"', '""')
    return frozenset(row[1] for row in connection.execute(f'PRAGMA table_info("{name}")'))


def rows(
    connection: sqlite3.Connection,
    table: str,
    wanted: Sequence[str],
    where: str = "",
    values: Sequence[Any] = (),
) -> Iterator[tuple[Any, ...]]:
    """(rowid, *wanted) of every row of ``table``; None for columns this version lacks.

    ``where`` is SQL that may use any existing column. Nothing for a missing table.
    """
    there = columns(connection, table)
    if not there:
        return
    chosen = ", ".join(f'"{name}"' if name in there else "NULL" for name in wanted)
    sql = f'SELECT rowid, {chosen} FROM "{table}" {where}'
    yield from connection.execute(sql, tuple(values))
