"""OpenCode's SQLite database: which rows are new, and what belongs to them.

Rows appear when a step begins and are updated in place when it ends, so a later reading asks
for rows above the last row number and for those changed since. Rows of 2.x lie in tables of
their own beside the older ones.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from session_usage import jsonl, sqlite
from session_usage.providers.opencode.records import Broken, Mark, Message, Part, Session, parsed
from session_usage.values import mapping, text, whole

Usual = Callable[[str, str, int | None, int, dict[str, Any]], bool]
"""Deals with a message, given as its id, session, time, row and data, if it is a usual one."""
MARGIN_MS = 60_000
"""Rows are read again if changed this long before the newest seen: writers overlap."""

# GLOB runs at twice the speed of instr()
_STEPS = "data GLOB '*\"step-*'"
_BEGIN, _END = 1, 2
_STEP = f"""CASE
    WHEN data BETWEEN '{{"type":"step.' AND '{{"type":#' THEN 0
    WHEN data BETWEEN '{{"type":"step-start"' AND '{{"type":"step-start#' THEN {_BEGIN}
    WHEN data BETWEEN '{{"type":"step-finish"' AND '{{"type":"step-finish#' THEN {_END}
    WHEN data BETWEEN '{{"type":"' AND '{{"type":#' THEN 0
    ELSE (instr(data, '"step-start"') > 0) * {_BEGIN} + (instr(data, '"step-finish"') > 0) * {_END}
    END"""
"""Does a part begin a step, end it, both or neither? Where its type comes first it need not be
looked through. Each time ``data`` is named SQLite gathers a long text anew: so the first line
tells the most and the longest, texts and tools."""
_TOOLS = "data GLOB '*\"callID\"*'"
_ASSISTANT = 'data GLOB \'*"role":*"assistant"*\''


class Database:
    """The SQLite storage; sessions and messages of 2.x lie in tables of their own beside it."""

    kind = "database"

    def __init__(self, connection: sqlite3.Connection, path: str, mark: Mark) -> None:
        self.connection = connection
        self.path = path
        self.old = _readable(sqlite.columns(connection, "message"))
        self.new = _readable(sqlite.columns(connection, "session_message"))
        highest = self._highest("message"), self._highest("session_message")
        if highest[0] < mark.rowid or highest[1] < mark.rowid2:
            mark = Mark()  # rows are gone: perhaps another database in this one's place
        self.start = mark
        self.mark = mark._replace(rowid=highest[0], rowid2=highest[1], open=())

    def _highest(self, table: str) -> int:
        found = 0
        for row in sqlite.rows(self.connection, table, ("id",), "ORDER BY rowid DESC LIMIT 1"):
            found = row[0]
        return found

    @property
    def known(self) -> bool:
        """Is this a database of a shape that we can read?"""
        return self.old or self.new

    def sessions(self) -> dict[str, Session]:
        """All sessions, by id."""
        worktrees: dict[Any, str | None] = {}
        for _, name, tree, vcs in sqlite.rows(
            self.connection, "project", ("id", "worktree", "vcs")
        ):
            worktrees[name] = text(tree) if vcs else None
        wanted = ["id", "parent_id", "time_created", "time_updated", "title", "directory"]
        wanted += ["project_id", "version", "agent", "model", "fork_session_id"]
        found = {}
        for table in ("session", "session_v2"):
            for row in sqlite.rows(self.connection, table, wanted):
                name = text(row[1])
                if name is None:
                    continue
                model = text(row[10])
                if model and model.startswith("{"):
                    chosen = mapping(jsonl.parse(model.encode())[0])
                    model = text(chosen.get("id")) or text(chosen.get("modelID"))
                found[name] = Session(
                    name,
                    text(row[2]),
                    whole(row[3]),
                    whole(row[4]),
                    text(row[5]),
                    text(row[6]),
                    worktrees.get(row[7]),
                    text(row[8]),
                    text(row[9]),
                    model,
                    text(row[11]),
                )
        newest = max((one.updated or 0 for one in found.values()), default=0)
        self.mark = self.mark._replace(sessions=max(self.start.sessions, newest))
        return found

    def changed(self, session: Session) -> bool:
        """May this session's own description be newer than the mark?"""
        return (session.updated or 0) >= self.start.sessions - MARGIN_MS

    def _where(self, table: str, only: Collection[str]) -> tuple[str, list[Any]]:
        """SQL that picks the rows to read; every row from the beginning."""
        mark = self.start
        parts: list[str] = []
        values: list[Any] = []
        if mark != Mark() and "time_updated" in sqlite.columns(self.connection, table):
            since, rowid = mark.messages - MARGIN_MS, mark.rowid
            if table != "message":
                since, rowid = mark.messages2 - MARGIN_MS, mark.rowid2
            marks = ",".join("?" * len(mark.open))
            parts.append(f"(time_updated >= ? OR rowid > ? OR id IN ({marks}))")
            values += [since, rowid, *mark.open]
        if only:
            parts.append(f"session_id IN ({','.join('?' * len(only))})")
            values += only
        return " AND ".join(parts) or "1", values

    def messages(
        self, only: Collection[str], usual: Usual | None = None
    ) -> Iterator[Message | Broken]:
        """New and changed messages, those of 2.x first: a message in both tables is theirs.

        What ``usual`` says it has dealt with is left out.
        """
        moved: set[str] = set()
        if self.new:
            for found in self._messages("session_message", only):
                if type(found) is Message and found.data.get("role") is not None:
                    moved.add(found.id)
                    self._complete(found)
                yield found
        if self.old:
            if not self.new:
                yield from self._messages("message", only, usual)
                return
            for found in self._messages("message", only):
                if type(found) is not Message or not self._superseded(found.id, moved):
                    yield found

    def _superseded(self, message: str, moved: set[str]) -> bool:
        if message in moved:
            return True
        if not self.new or self.start == Mark():
            return False
        where = "WHERE id = ? AND type IN ('assistant', 'compaction')"
        return any(sqlite.rows(self.connection, "session_message", ("id",), where, (message,)))

    def _complete(self, message: Message) -> None:
        """Gives a moved message back its ``total``: only it tells old from new ``output``."""
        tokens = mapping(message.data.get("tokens"))
        if not self.old or not tokens or "total" in tokens:
            return
        for row in sqlite.rows(
            self.connection, "message", ("data",), "WHERE id = ?", (message.id,)
        ):
            before = mapping(parsed(row[1])[0].get("tokens"))
            if {**before, "total": None} == {**tokens, "total": None}:
                tokens["total"] = before.get("total")

    def _messages(
        self, table: str, only: Collection[str], usual: Usual | None = None
    ) -> Iterator[Message | Broken]:
        where, values = self._where(table, only)
        wanted = ("id", "session_id", "time_created", "time_updated", "data", "type")
        newest = 0
        for row in sqlite.rows(self.connection, table, wanted, f"WHERE {where}", values):
            rowid, name, session, created, updated, data, kind = row
            updated = whole(updated) or 0
            if updated > newest:
                newest = updated
            value, wrong = parsed(data)
            if wrong or type(name) is not str or type(session) is not str:
                yield Broken(self.path, rowid, f"row of table {table} is {wrong or 'no message'}")
                continue
            created = whole(created)
            if usual is not None and usual(name, session, created, rowid, value):
                continue
            if table != "message":
                value = _modern(value, kind)
            yield Message(name, session, created, rowid, self.path, value, table)
        if table == "message":
            self.mark = self.mark._replace(messages=max(newest, self.start.messages))
        else:
            self.mark = self.mark._replace(messages2=max(newest, self.start.messages2))

    def _parts(self, where: str, values: Iterable[Any]) -> Iterator[Part]:
        wanted = ("message_id", "session_id", "data")
        if not {"message_id", "data"} <= sqlite.columns(self.connection, "part"):
            return
        found = sqlite.rows(self.connection, "part", wanted, f"WHERE {where}", tuple(values))
        for rowid, message, session, data in found:
            if type(message) is str:
                yield Part(message, session, rowid, self.path, parsed(data)[0])

    def _among(self, only: Collection[str]) -> tuple[str, list[Any]]:
        """SQL for parts of the messages being read."""
        if (self.start == Mark() and not only) or not self.old:
            return "1", []
        where, values = self._where("message", only)
        return f"message_id IN (SELECT id FROM message WHERE {where})", values

    def repeated(self, only: Collection[str]) -> set[str]:
        """Messages of more than one step: retried ones, and all of the oldest versions."""
        among, values = self._among(only)
        wanted = ("message_id", "data")
        if not set(wanted) <= sqlite.columns(self.connection, "part"):
            return set()
        seen: dict[str, int] = {}
        twice: set[str] = set()
        sql = f"SELECT message_id, {_STEP} AS step FROM part WHERE step AND {among}"
        for message, step in self.connection.execute(sql, values):
            before = seen.get(message, 0)
            if before & step:
                twice.add(message)
            seen[message] = before | step
        return twice

    def steps(self, message: Message) -> list[dict[str, Any]]:
        """The parts that begin and end the steps of one message, in order."""
        where = f"message_id = ? AND {_STEPS} ORDER BY id"
        return [part.data for part in self._parts(where, (message.id,))]

    def parts(self, message: Message) -> Iterator[Part]:
        """All parts of one message, in order; those of 2.x lie in the message itself."""
        if message.table == "message":
            yield from self._parts("message_id = ? ORDER BY id", (message.id,))
            return
        content = message.data.get("content")
        for value in content if type(content) is list else ():
            data = mapping(value)
            yield Part(message.id, message.session, message.offset, self.path, data)

    def tools(self, only: Collection[str]) -> Iterator[Part]:
        """Uses of tools in the messages being read."""
        among, values = self._among(only)
        return self._parts(f"{_TOOLS} AND {among}", values)

    def later(self, message: Message) -> bool:
        """Did its session get another answer after this message?"""
        if message.created is None:
            return False
        where = "WHERE session_id = ? AND time_created > ? AND "
        where += "type = 'assistant'" if message.table != "message" else _ASSISTANT
        values = (message.session, message.created)
        rows = sqlite.rows(self.connection, message.table, ("id",), where + " LIMIT 1", values)
        return any(rows)

    def twins(self, _: Collection[Message]) -> dict[int, list[Message]]:
        """By time of creation, all messages that are as old as one older than its session."""
        found: dict[int, list[Message]] = {}
        wanted = ("id", "session_id", "time_created", "data", "type")
        for table, sessions in (("message", "session"), ("session_message", "session_v2")):
            tables = (
                sqlite.columns(self.connection, table),
                sqlite.columns(self.connection, sessions),
            )
            if not all("time_created" in columns for columns in tables):
                continue
            where = f"""WHERE time_created IN (SELECT m.time_created FROM "{table}" m
                JOIN "{sessions}" s ON s.id = m.session_id WHERE m.time_created < s.time_created)"""
            for rowid, name, session, created, data, kind in sqlite.rows(
                self.connection, table, wanted, where
            ):
                value = parsed(data)[0]
                if table != "message":
                    value = _modern(value, kind)
                if type(name) is type(session) is str and type(created) is int:
                    one = Message(name, session, created, rowid, self.path, value, table)
                    found.setdefault(created, []).append(one)
        return found


def _readable(columns: frozenset[str]) -> bool:
    return {"id", "session_id", "data"} <= columns


def _modern(data: dict[str, Any], kind: Any) -> dict[str, Any]:
    """A row of 2.x as one of 1.x: there the role is a column and the model an object."""
    model = mapping(data.get("model"))
    changed = {**data, "modelID": model.get("id"), "providerID": model.get("providerID")}
    if kind == "assistant" or mapping(data.get("tokens")):
        changed["role"] = "assistant"
        changed["summary"] = kind == "compaction" or data.get("summary")
    elif kind == "user":
        changed["role"] = "user"
    return changed
