"""Questions to the ledger about sessions: lists, one by name, the newest of a window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from session_usage.errors import SessionNotFound, UsageError
from session_usage.events import Event
from session_usage.ledger import cards, codec, store
from session_usage.ledger.facts import Counted, Facts, without
from session_usage.pricing import Prices
from session_usage.reconcile import Session
from session_usage.report import amounts


class Ref(NamedTuple):
    """A session in the ledger."""

    id: int
    agent: str
    name: str


class Change(NamedTuple):
    """A session that changed."""

    id: int
    agent: str
    name: str
    title: str | None
    workspace: str | None
    requests: int
    nano: int | None
    ended: bool
    changed: int
    model: str | None
    """Its most expensive model."""

    @property
    def ref(self) -> Ref:
        """The session itself."""
        return Ref(self.id, self.agent, self.name)


def marks(values: Sequence[Any]) -> str:
    """Question marks for a list of values."""
    return ",".join("?" * len(values))


def folded(text: str) -> str:
    """A part of a path as it is compared: without regard to case."""
    return text.casefold().rstrip("/\\")


def _contains(place: Any, text: str) -> bool:
    return place is not None and folded(text) in store.restored(place).casefold()


def _fitting(fits: Callable[[str], object]) -> Callable[[Any, Any], bool]:
    return lambda title, name: bool(fits(store.restored(title or "")) or fits(store.restored(name)))


_MOST = 2**63 - 1
"""The largest number that SQLite takes."""


class Reader:
    """Reads one ledger, in one thread. Raises sqlite3.Error when there is none. ``kept`` are
    rows that other readers of the same file have finished."""

    def __init__(self, path: str, kept: cards.Cards | None = None) -> None:
        self.path = path
        self.connection = store.reader(path)
        self.connection.create_function("contains", 2, _contains, deterministic=True)
        self.connection.execute("PRAGMA temp_store = MEMORY")
        self.facts = Facts(self.connection)
        self._cards = cards.Cards() if kept is None else kept

    def close(self) -> None:
        """Lets go of the file."""
        self.connection.close()

    def generation(self) -> int:
        """Grows with every change of any session."""
        return int(store.get(self.connection, "generation", 0))

    def sessions(
        self,
        *,
        agents: Sequence[str] = (),
        text: str | None = None,
        title: str | None = None,
        fits: Callable[[str], object] | None = None,
        workspace: str | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
        limit: int = -1,
        offset: int = 0,
    ) -> tuple[list[bytes], int]:
        """(a page of prepared ``SessionRow``s, how many fit), the newest first."""
        terms = ["listed = 1"]
        values: list[Any] = []
        if agents:
            terms.append(f"agent IN ({marks(agents)})")
            values += list(agents)
        if text:
            terms.append("(contains(title, ?) OR instr(name, ?))")
            values += [text, text]
        if title:
            terms.append("contains(title, ?)")
            values.append(title)
        if workspace:
            terms.append("(contains(workspace, ?) OR contains(project, ?))")
            values += [workspace, workspace]
        if since_ms is not None:
            terms.append("updated_ms >= ?")
            values.append(since_ms)
        if until_ms is not None:
            terms.append("COALESCE(begin_ms, updated_ms) < ?")
            values.append(until_ms)
        if fits is not None:
            self.connection.create_function("fits", 2, _fitting(fits))
            terms.append("fits(title, name)")
        where = " AND ".join(terms)
        total = self.connection.execute(
            f"SELECT count(*) FROM sessions WHERE {where}", values
        ).fetchone()[0]
        rows = self._cards.rows(
            self.connection,
            f"WHERE {where} ORDER BY updated_ms DESC, name DESC LIMIT ? OFFSET ?",
            (*values, min(limit, _MOST), min(offset, _MOST)),
        )
        return rows, int(total)

    def find(self, name: str, agents: Sequence[str] = ()) -> Ref:
        """The session with this id, an unambiguous beginning of it, or a log at this path.

        Raises SessionNotFound, or UsageError when several sessions fit.
        """
        for condition, value in (
            ("name = ?", store.stored(name)),
            ("id IN (SELECT owner FROM sources WHERE path = ?)", store.stored(name)),
            ("substr(name, 1, length(?1)) = ?1", name if len(name) >= 4 else None),
        ):
            if value is None:
                continue
            rows = [
                Ref(number, agent, store.restored(found))
                for number, agent, found in self.connection.execute(
                    f"SELECT id, agent, name FROM sessions WHERE listed AND {condition}", (value,)
                )
                if not agents or agent in agents
            ]
            if len(rows) > 1:
                several = ", ".join(f"{row.name} ({row.agent})" for row in rows[:5])
                raise UsageError(f"{name!r} fits several sessions: {several}; write more of the id")
            if rows:
                return rows[0]
        raise SessionNotFound(f"no session {name!r}")

    def row(self, ref: Ref) -> bytes:
        """The prepared ``SessionRow`` of a session; raises SessionNotFound once it is forgotten."""
        found = self._cards.rows(self.connection, "WHERE id = ? AND row IS NOT NULL", (ref.id,))
        if not found:
            raise SessionNotFound(f"no session {ref.name!r}")
        return found[0]

    def load(self, ref: Ref, more: Iterable[Event] = ()) -> Session:
        """A session, reconciled from its facts and ``more`` that no source holds yet."""
        return self.facts.whole(ref.id, ref.agent, ref.name, more)

    def newest(self, agent: str, count: int) -> list[str]:
        """Ids of the sessions of an agent that did something last, the latest first."""
        return [
            store.restored(name)
            for (name,) in self.connection.execute(
                "SELECT name FROM sessions WHERE agent = ? AND listed"
                " ORDER BY updated_ms DESC LIMIT ?",
                (agent, count),
            )
        ]

    def written(self, number: int) -> int:
        """When any file of a session, by its row, was written last, in ns; 0: not known."""
        query = "SELECT MAX(mtime_ns) FROM sources WHERE owner = ?"
        return int(self.connection.execute(query, (number,)).fetchone()[0] or 0)

    def offsets(self, kind: str, ref: Ref | None = None) -> dict[str, int]:
        """The files of one kind, of one session or all, and up to where each is read."""
        owner = "" if ref is None else " AND owner = ?"
        return {
            store.restored(path): offset
            for path, offset in self.connection.execute(
                # the sign: of all files that are there, a session has a few
                f"SELECT path, offset FROM sources WHERE kind = ? AND +gone = 0{owner}"
                " ORDER BY position, path",
                (kind,) if ref is None else (kind, ref.id),
            )
        }

    def counted(self, number: int, prices: Prices) -> Counted:
        """A session, by its row, with the amounts that count for it."""
        agent, name, lost, own = self.connection.execute(
            "SELECT agent, name, lost, EXISTS(SELECT 1 FROM sources WHERE owner = sessions.id)"
            " FROM sessions WHERE id = ?",
            (number,),
        ).fetchone()
        found, rest = self.facts.load(number, agent, store.restored(name), bool(own))
        found, _ = self.facts.claim(found)
        priced = [*amounts(found, prices), *amounts(rest, prices)]
        elsewhere = set(codec.loads(lost)) if lost else set()
        return Counted(number, found, without(priced, elsewhere))

    def latest(
        self, folders: Sequence[str] = (), storage: str | None = None, agents: Sequence[str] = ()
    ) -> Ref | None:
        """The newest session in one of these folders (or whose files lie below ``storage``);
        with neither the newest of all."""
        terms = ["listed = 1", "(requests OR NOT late)"]
        values: list[Any] = []
        if agents:
            terms.append(f"agent IN ({marks(agents)})")
            values += list(agents)
        places: list[str] = []
        for folder in folders:
            path = folder.rstrip("/\\")
            for column in ("workspace", "project"):
                places.append(f"{column} = ?")
                values.append(path)
            places.append("substr(workspace, 1, ?) IN (?, ?)")
            values += [len(path) + 1, path + "/", path + "\\"]
        if storage:
            below = storage.rstrip("/\\")
            places.append(
                "id IN (SELECT owner FROM sources WHERE owner IS NOT NULL"
                " AND substr(path, 1, ?) IN (?, ?))"
            )
            values += [len(below) + 1, below + "/", below + "\\"]
        if places:
            terms.append("(" + " OR ".join(places) + ")")
        order = "" if agents else "INDEXED BY sessions_updated"  # else all are read and sorted
        row = self.connection.execute(
            f"SELECT id, agent, name FROM sessions {order} WHERE {' AND '.join(terms)}"
            " ORDER BY updated_ms DESC, name DESC LIMIT 1",
            values,
        ).fetchone()
        return None if row is None else Ref(row[0], row[1], store.restored(row[2]))

    def nobody(self) -> list[int]:
        """Rows of calls that belong to no session, one an agent that has calls."""
        query = "SELECT id FROM sessions WHERE name = '' AND agent IN (SELECT agent FROM kinds)"
        return [number for (number,) in self.connection.execute(query)]

    def known_since(self) -> int | None:
        """Start of the first request there is a record of, epoch milliseconds."""
        found = self.connection.execute("SELECT MIN(begin_ms) FROM sessions").fetchone()[0]
        return None if found is None else int(found)

    def changes(self, generation: int) -> list[Change]:
        """The sessions that changed after a generation, in the order in which they did."""
        result = []
        for row in self.connection.execute(
            "SELECT id, agent, name, title, workspace, requests, nano, ended, changed,"
            " (SELECT text FROM labels WHERE id = label) FROM sessions"
            " WHERE changed > ? AND listed = 1 ORDER BY changed",
            (generation,),
        ):
            models = cards.models(row[9]) if generation and row[9] else []
            name, title, workspace = (
                None if value is None else store.restored(value) for value in row[2:5]
            )
            result.append(
                Change(
                    row[0], row[1], name or "", title, workspace, row[5], row[6], bool(row[7]),
                    row[8], models[0] if models else None,
                )
            )  # fmt: skip
        return result

    def counts(self) -> dict[str, int]:
        """Sessions, by agent."""
        return dict(
            self.connection.execute(
                "SELECT agent, count(*) FROM sessions WHERE listed = 1 GROUP BY agent"
            ).fetchall()
        )

    def projects(self, agents: Sequence[str]) -> list[tuple[str, str, int, int, int | None]]:
        """(project, agents, sessions, last sign of life, amount), the latest first."""
        where = f"AND agent IN ({marks(agents)})" if agents else ""
        return [
            (store.restored(project), of, sessions, updated, nano)
            for project, of, sessions, updated, nano in self.connection.execute(
                "SELECT project, group_concat(DISTINCT agent), count(*), MAX(updated_ms), SUM(nano)"
                f" FROM sessions WHERE listed = 1 AND project IS NOT NULL {where}"
                " GROUP BY project ORDER BY MAX(updated_ms) DESC, project",
                tuple(agents),
            )
        ]

    def info(self) -> dict[str, Any]:
        """The ledger itself: path, size, what is in it."""
        pages, size = (
            self.connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "page_size")
        )
        sources, gone = self.connection.execute(
            "SELECT count(*), COALESCE(SUM(gone), 0) FROM sources"
        ).fetchone()
        return {
            "path": self.path,
            "bytes": pages * size,
            "sessions": sum(self.counts().values()),
            "sources": sources,
            "gone": gone,
        }

    def changed_at(self) -> int | None:
        """The last sign of life of any session, epoch milliseconds."""
        found = self.connection.execute("SELECT MAX(updated_ms) FROM sessions").fetchone()[0]
        return int(found) if found else None

    def last_used(self, agent: str) -> int | None:
        """The last sign of life of any session of an agent, epoch milliseconds."""
        found = self.connection.execute(
            "SELECT MAX(updated_ms) FROM sessions WHERE agent = ? AND listed", (agent,)
        ).fetchone()[0]
        return int(found) if found else None

    def kinds(self) -> dict[str, dict[str, int]]:
        """Files that are there, by agent and kind."""
        result: dict[str, dict[str, int]] = {}
        for agent, kind, count in self.connection.execute(
            "SELECT o.agent, o.kind, count(*) FROM files f JOIN origins o ON o.id = f.origin"
            " WHERE f.gone = 0 GROUP BY f.origin"
        ):
            result.setdefault(agent, {})[kind] = count
        return result

    def trouble(self) -> int:
        """How many sessions have problems other than drift."""
        return int(
            self.connection.execute("SELECT count(*) FROM sessions WHERE problems > 0").fetchone()[
                0
            ]
        )

    def drift(self) -> bool:
        """Did any program write things never seen before?"""
        return any(problem["kind"] == "drift" for problem in self.problems())

    def problems(self) -> list[Any]:
        """The problems of all sessions, as JSON fields."""
        result: list[Any] = []
        for (data,) in self.connection.execute(
            "SELECT trouble FROM sessions WHERE problems > 0 ORDER BY +updated_ms DESC"
        ):
            result += codec.loads_little(data)
        return result
