"""The file: where it lies, its tables, its versions, and what happens when it is damaged.

SQLite in WAL mode: any number of readers, short write transactions, safe against kill -9.
One process at a time scans the logs: the one that holds the lock file (the operating system
lets go of it when that process ends, however it ends).
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from session_usage.errors import SessionUsageError
from session_usage.ledger import codec

VERSION = 2
"""Version of the tables (``PRAGMA user_version``)."""
BUSY_SECONDS = 10.0
TABLES = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE sessions(
  id INTEGER PRIMARY KEY, agent TEXT NOT NULL, name TEXT NOT NULL,
  state INTEGER NOT NULL DEFAULT 0, cut INTEGER NOT NULL DEFAULT 0,
  late INTEGER NOT NULL DEFAULT 1, updated_ns INTEGER NOT NULL DEFAULT 0,
  updated_ms INTEGER NOT NULL DEFAULT 0, begin_ms INTEGER, request_ms INTEGER,
  listed INTEGER NOT NULL DEFAULT 0, ended INTEGER NOT NULL DEFAULT 0,
  title TEXT, workspace TEXT, project TEXT, branch TEXT, label INTEGER,
  requests INTEGER NOT NULL DEFAULT 0, nano INTEGER, problems INTEGER NOT NULL DEFAULT 0,
  row BLOB, trouble BLOB, lost BLOB, calls BLOB, changed INTEGER NOT NULL DEFAULT 0,
  UNIQUE(agent, name));
CREATE INDEX sessions_updated ON sessions(updated_ms);
CREATE INDEX sessions_changed ON sessions(changed);
CREATE INDEX sessions_agent ON sessions(agent, listed, updated_ms);
CREATE INDEX sessions_problems ON sessions(problems) WHERE problems > 0;
CREATE INDEX sessions_begin ON sessions(begin_ms);
CREATE TABLE folders(id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE);
CREATE TABLE origins(id INTEGER PRIMARY KEY, agent TEXT NOT NULL, kind TEXT NOT NULL);
CREATE TABLE labels(id INTEGER PRIMARY KEY, text BLOB NOT NULL UNIQUE);
CREATE TABLE files(
  id INTEGER PRIMARY KEY, origin INTEGER NOT NULL, folder INTEGER, name NOT NULL,
  owner INTEGER, position INTEGER NOT NULL DEFAULT 0, device INTEGER, inode INTEGER,
  size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, mark BLOB,
  offset INTEGER NOT NULL DEFAULT 0, cursor BLOB, gone INTEGER NOT NULL DEFAULT 0);
CREATE INDEX files_owner ON files(owner);
CREATE INDEX files_origin ON files(gone, origin);
CREATE VIEW sources AS SELECT
  f.id, o.agent, o.kind, COALESCE(d.path || f.name, f.name) AS path,
  COALESCE(n.name, '') AS session, f.owner, f.position, f.device, f.inode, f.size, f.mtime_ns,
  f.mark, f.offset, f.cursor, f.gone
  FROM files f JOIN origins o ON o.id = f.origin LEFT JOIN folders d ON d.id = f.folder
  LEFT JOIN sessions n ON n.id = f.owner;
CREATE TABLE facts(
  id INTEGER PRIMARY KEY, source INTEGER NOT NULL, session INTEGER NOT NULL,
  kept INTEGER NOT NULL DEFAULT 0, data BLOB NOT NULL);
CREATE INDEX facts_source ON facts(source);
CREATE INDEX facts_session ON facts(session);
CREATE TABLE copies(session INTEGER, source INTEGER, PRIMARY KEY(session, source)) WITHOUT ROWID;
CREATE TABLE dirty(session INTEGER PRIMARY KEY);
CREATE TABLE marks(mark INTEGER, session INTEGER, PRIMARY KEY(mark, session)) WITHOUT ROWID;
CREATE TABLE kinds(
  id INTEGER PRIMARY KEY, agent TEXT, model TEXT, provider TEXT, billing TEXT, basis INTEGER,
  surface TEXT, remainder INTEGER);
CREATE TABLE spots(
  id INTEGER PRIMARY KEY, subagent TEXT, skill TEXT, workspace TEXT, branch TEXT);
CREATE TABLE cells(
  kind INTEGER, quarter INTEGER, session INTEGER, spot INTEGER, requests INTEGER,
  failed INTEGER, unknown INTEGER, input INTEGER, read INTEGER, write INTEGER, output INTEGER,
  reasoning INTEGER, nano INTEGER, PRIMARY KEY(kind, quarter, session, spot)) WITHOUT ROWID;
CREATE INDEX cells_session ON cells(session);
CREATE TABLE helpers(id INTEGER PRIMARY KEY, tool TEXT, subagent TEXT, skill TEXT);
CREATE TABLE tools(
  quarter INTEGER, session INTEGER, helper INTEGER, calls INTEGER,
  PRIMARY KEY(session, quarter, helper)) WITHOUT ROWID;
"""

ACTIVE, EXCLUDED, FORGOTTEN = 0, 1, 2
"""States of a session: counted; not kept because of a setting; never to come back."""


INSERT_CELL = "INSERT INTO cells VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
"""Takes what ``sums.cells`` yields."""


class Damaged(Exception):
    """The file is no ledger, or one that SQLite cannot read."""


class Newer(SessionUsageError):
    """The file is a ledger of a later version of this program: nothing is wrong with it."""


class Opened(NamedTuple):
    """A connection, and one line if the ledger before it had to be set aside."""

    connection: sqlite3.Connection
    problem: str | None


def reader(path: str) -> sqlite3.Connection:
    """A connection for reading (only temporary tables are made); raises FileNotFoundError when
    there is no ledger yet."""
    if not os.path.exists(path):
        raise FileNotFoundError(path)
    return _connect(path)


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA secure_delete = FAST")
    return connection


def writer(path: str, anew: bool = True) -> Opened:
    """A connection to the ledger, made, migrated or, if it is damaged, made anew.

    A damaged file is kept beside the new one; unless ``anew``, it stays where it is and the
    error is raised. Raises OSError or sqlite3.Error when the folder cannot be written to, Newer
    for the ledger of a later version.
    """
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    try:
        return Opened(_prepared(path), None)
    except (Damaged, sqlite3.DatabaseError) as error:
        if not anew or not is_damage(error):
            raise
        text = set_aside(path, error)
        return Opened(_prepared(path), text)


def is_damage(error: Exception, connection: sqlite3.Connection | None = None) -> bool:
    """Did work on a ledger fail because its file is damaged?

    Not when it is locked, or the disk is full. What damage may have caused (a text that is no
    JSON) is looked into, if there is a ``connection``: this reads the whole file.
    """
    if isinstance(error, sqlite3.OperationalError):
        return any(sign in str(error) for sign in ("malformed", "no such table", "no such column"))
    if isinstance(error, Damaged) or type(error) is sqlite3.DatabaseError:
        return True
    try:
        if connection is not None:
            check(connection)
    except (Damaged, sqlite3.Error) as found:
        return not isinstance(found, sqlite3.ProgrammingError) and is_damage(found)
    return False


def check(connection: sqlite3.Connection) -> None:
    """Reads the whole file. Raises Damaged or sqlite3.DatabaseError if anything is wrong."""
    _whole(connection)
    (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise Damaged(" ".join(str(found).split()))


def _whole(connection: sqlite3.Connection) -> None:
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    missing = set(re.findall(r"CREATE (?:TABLE|VIEW) (\w+)", TABLES)) - there
    if missing:
        raise Damaged(f"it has no {min(missing)}")


def file_of(path: str) -> tuple[int, int] | None:
    """What tells the file at ``path`` from one that takes its place; None when there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def set_aside(path: str, error: Exception) -> str:
    """Renames a damaged ledger, so that the next to open it makes a new one; says so in one
    line."""
    aside = f"{path}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    for ending in ("", "-wal", "-shm"):
        with contextlib.suppress(OSError):
            os.replace(path + ending, aside + ending)
    name = os.path.basename(aside)
    return f"the ledger was damaged ({error}); it is kept as {name} and was rebuilt"


def _prepared(path: str) -> sqlite3.Connection:
    connection = _connect(path)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found != VERSION:
            with transaction(connection):
                found = connection.execute("PRAGMA user_version").fetchone()[0]
                if found == 0:
                    _create(connection)
                elif found != VERSION:
                    from session_usage.ledger.upgrade import upgrade

                    upgrade(connection, found, lambda: _create(connection))
        _whole(connection)
        _translate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _create(connection: sqlite3.Connection) -> None:
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise Damaged("it holds tables of another program")
    for statement in TABLES.split(";\n"):
        if statement.strip():
            connection.execute(statement)
    put(connection, "fields", codec.dumps(codec.names()))
    put(connection, "generation", 1)
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _translate(connection: sqlite3.Connection) -> None:
    """Rewrites the facts when this version's events have other fields."""
    names = codec.names()
    if codec.loads(get(connection, "fields", b"{}")) == names:
        return
    with transaction(connection):
        before = codec.loads(get(connection, "fields", b"{}"))
        if before == names:
            return
        for (row,) in connection.execute("SELECT id FROM facts").fetchall():
            (data,) = connection.execute("SELECT data FROM facts WHERE id = ?", (row,)).fetchone()
            connection.execute(
                "UPDATE facts SET data = ? WHERE id = ?", (codec.translate(data, before), row)
            )
        connection.execute("INSERT OR IGNORE INTO dirty SELECT id FROM sessions")
        put(connection, "fields", codec.dumps(names))


def compact(connection: sqlite3.Connection) -> None:
    """Gives back the room between what was written out of order, if nobody else writes."""
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing of it; waits for another writer."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def get(connection: sqlite3.Connection, name: str, default: Any = None) -> Any:
    """A value of the ledger as a whole."""
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return default if row is None else row[0]


def put(connection: sqlite3.Connection, name: str, value: Any) -> None:
    """Sets a value of the ledger as a whole."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES(?, ?)", (name, value))


_COLUMNS = {
    "kinds": ("agent", "model", "provider", "billing", "basis", "surface", "remainder"),
    "spots": ("subagent", "skill", "workspace", "branch"),
    "helpers": ("tool", "subagent", "skill"),
    "folders": ("path",),
    "labels": ("text",),
    "origins": ("agent", "kind"),
}


def number(connection: sqlite3.Connection, table: str, values: tuple[Any, ...]) -> int:
    """The id of the row of ``table`` with these values, made when there is none."""
    found = known_number(connection, table, values)
    if found is None:
        names = ", ".join(_COLUMNS[table])
        marks = ", ".join("?" * len(values))
        cursor = connection.execute(
            f"INSERT INTO {table}({names}) VALUES({marks})", tuple(map(_column, values))
        )
        found = int(cursor.lastrowid or 0)
    return found


def known_number(connection: sqlite3.Connection, table: str, values: tuple[Any, ...]) -> int | None:
    """The same for those who only read; None when there is none."""
    where = " AND ".join(f"{name} IS ?" for name in _COLUMNS[table])
    row = connection.execute(
        f"SELECT id FROM {table} WHERE {where}", tuple(map(_column, values))
    ).fetchone()
    return None if row is None else int(row[0])


def halves(connection: sqlite3.Connection, path: str) -> tuple[int | None, str | bytes]:
    """(id of a folder, the rest) of a path. Logs of many sessions have the folder in common:
    the one above that in which a log lies."""
    place = stored(path)
    if isinstance(place, bytes):
        return None, place
    cut = max(path.rfind("/"), path.rfind("\\"))
    cut = max(path.rfind("/", 0, cut), path.rfind("\\", 0, cut)) + 1 if cut > 0 else 0
    if cut <= 0:
        return None, path
    return number(connection, "folders", (path[:cut],)), path[cut:]


def _column(value: Any) -> Any:
    return stored(value) if isinstance(value, str) else value


def stored(text: str) -> str | bytes:
    """A path or name for a column: bytes where it is no Unicode text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")
    return text


def restored(value: str | bytes) -> str:
    """What ``stored`` was given."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


class Lock:
    """The lock of the one process that scans. ``take`` never waits."""

    def __init__(self, path: str) -> None:
        self.path = path + ".lock"
        self._file: Any = None

    @property
    def held(self) -> bool:
        """Is it ours?"""
        return self._file is not None

    def take(self) -> bool:
        """Tries to get the lock; True when it is ours."""
        if self._file is not None:
            return True
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        file = open(self.path, "ab")  # noqa: SIM115 - stays open as long as the lock is held
        try:
            if os.name == "nt":
                import msvcrt

                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Lets go of the lock."""
        if self._file is not None:
            self._file.close()
            self._file = None
