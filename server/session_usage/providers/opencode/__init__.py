"""OpenCode: a SQLite database, and below it the JSON tree of versions up to 1.1.

Where. ``$XDG_DATA_HOME/opencode``, else ``~/.local/share/opencode``, on every system. In it
``$OPENCODE_DB`` (absolute, or relative to that folder), else ``opencode.db`` and, of other
release channels, ``opencode-<channel>.db``. The JSON tree is ``storage/``: 1.2 to 1.15 moved
it into the database once and left it in place, 1.18 does not move it. So both are read; a
message has the same id in both and counts once. 2.x (seen in its source only) adds tables
``session_v2`` and ``session_message`` and leaves the old ones.

What. ``message.data`` of role ``assistant`` is one step, that is one call: ``tokens`` with
``input`` (without the cache), ``output``, ``reasoning``, ``cache.read``, ``cache.write`` and
mostly ``total``. ``output`` holds the reasoning up to 1.2 and does not from 1.15 on; ``total``
tells which. A row begins with zeros and is updated when its step and its tools have ended.

Counting.
- A fork copies messages under new ids but keeps their time: a message older than its session
  is a copy, and belongs to the oldest message with the same time, model and tokens.
- Sessions with a parent are sub-agents: their calls belong to the session at the root.
- A message may hold several steps: all of the oldest versions, and those whose stream broke
  and was tried again within it. Each step is a call; only a finished one has tokens.
- Zeros say nothing: with ``error`` the call failed, without an end it runs or was killed
  (``weak``), with an end but no step no model was called (a shell or task command).
- ``summary`` marks the compaction. Title calls are never logged. ``cost`` is the program's
  own guess, 0 for models without a price: not used. ``session.tokens_*`` and ``event`` repeat
  what the messages say.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from session_usage import messages
from session_usage.events import START, Calls, Cursor, Event, Problem, Source, one_by_one
from session_usage.places import Places, entries, stamp, subfolders
from session_usage.providers import Provider

AGENT = "opencode"


class OpenCode(Provider):
    """The provider of OpenCode's sessions."""

    agent = AGENT
    label = "OpenCode"
    listing = frozenset({"database", "tree"})
    growing = frozenset({"database"})
    forks = True
    switches = ()

    def sources(self, places: Places) -> Iterator[Source]:
        """The databases, then one source per session of the JSON tree."""
        data = places.join(places.configured("XDG_DATA_HOME", ".local", "share"), "opencode")
        named = places.env.get("OPENCODE_DB") if places.only(AGENT) is None else None
        for folder in places.only(AGENT) or (data,):
            if named:
                yield from _database(places.join(folder, named))
            else:
                for entry in entries(folder):
                    if entry.name.startswith("opencode") and entry.name.endswith(".db"):
                        yield from _database(entry.path)
            for path in subfolders(places.join(folder, "storage", "message")):
                yield Source(AGENT, "tree", path, os.path.basename(path), *_tree_stamp(path))

    def database_path(self, places: Places) -> str:
        """The database that the program itself would open; empty if there is none."""
        folder = places.join(places.configured("XDG_DATA_HOME", ".local", "share"), "opencode")
        path = places.join(folder, places.env.get("OPENCODE_DB") or "opencode.db")
        return path if os.path.isfile(path) else ""

    def at(self, path: str) -> Iterator[Source]:
        """A session's folder in a JSON tree."""
        parent = os.path.dirname(os.path.normpath(path))
        if os.path.isdir(path) and parent.endswith(os.path.join("storage", "message")):
            yield Source(AGENT, "tree", path, os.path.basename(path), *_tree_stamp(path))

    def read(
        self,
        source: Source,
        at: Cursor = START,
        *,
        session: str | None = None,
        full: bool = True,
    ) -> Iterator[Event]:
        """The events of one database, or of one session of the JSON tree."""
        return one_by_one(self._read(source, at, session, full))

    def totals(self, source: Source, *, session: str | None = None) -> Iterator[Event | Calls]:
        """The same, the calls of a session and a model together."""
        return self._read(source, START, session, full=False)

    def _read(
        self, source: Source, at: Cursor, session: str | None, full: bool
    ) -> Iterator[Event | Calls]:
        from session_usage import sqlite
        from session_usage.providers.opencode.database import Database
        from session_usage.providers.opencode.reading import Reading, mark_of
        from session_usage.providers.opencode.tree import Tree

        try:
            if source.kind == "tree":
                tree = Tree(source.path, source.session or os.path.basename(source.path))
                yield from Reading(tree, source, full).events(None)
                yield Cursor()
                return
            with sqlite.reading(source.path) as connection:
                database = Database(connection, source.path, mark_of(at))
                yield from Reading(database, source, full).events(session)
                mark = database.mark
            yield Cursor(mark.rowid, (*mark[1:-1], *mark.open))
        except sqlite.Unreadable as error:
            yield Problem(error.kind, source.path, None, str(error), AGENT, source.session)
            yield at
        except OSError as error:
            kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
            text = error.strerror or type(error).__name__
            yield Problem(kind, source.path, None, text, AGENT, source.session)
            yield at

    def messages(
        self, sources: Sequence[Source], session: str
    ) -> Iterator[messages.Message | Problem]:
        """What was said in a session, by its sources; see ``Provider``."""
        from session_usage.providers.opencode.messages import read_messages

        return read_messages(sources, session)


def _database(path: str) -> Iterator[Source]:
    """The database with what its write-ahead log adds: a live one keeps all of it there."""
    size, changed = stamp(path)
    if changed:
        more, later = stamp(path + "-wal")
        yield Source(AGENT, "database", path, None, size + more, max(changed, later))


def _tree_stamp(folder: str) -> tuple[int, int]:
    """(size, mtime in ns) by which a change of a session's folder shows.

    The last message is the one that is written to; ids sort by time.
    """
    last = [entry for entry in entries(folder) if entry.name.endswith(".json")][-1:]
    size, changed = stamp(last[0]) if last else (0, 0)
    return size, max(changed, stamp(folder)[1])


PROVIDER = OpenCode()
