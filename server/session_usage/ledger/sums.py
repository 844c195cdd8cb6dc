"""From facts to sums: each session reconciled and priced once, then kept as cells.

A cell is a quarter of an hour (no time zone moves by less) of one session and one kind of
request. What a cell holds comes from the same ``reconcile``, ``amounts`` and ``Tally`` as a
report without a ledger, so that the two cannot disagree.

A call that stands in the files of several sessions (forks and resumed sessions copy lines)
counts for the one whose files are oldest, as in ``sessions.Library.all``.
"""

from __future__ import annotations

import os
import sqlite3
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from session_usage.events import BASES, Counter, Request
from session_usage.ledger import cards, codec, store
from session_usage.ledger.facts import Facts, mark, without
from session_usage.pricing import Prices, Quote
from session_usage.projects import project_of
from session_usage.providers import provider_for
from session_usage.reconcile import Session
from session_usage.report import Amount, Usage, amounts, iso, moment, problem_wire, provider, times
from session_usage.usage import Tally

QUARTER_MS = 900_000
NO_TIME = -1
"""The quarter of what has no time: in totals of all time only."""
_LIMIT = 1 << 53
"""Larger figures are garbage and would overflow a sum."""
_BATCH_SECONDS = 0.1
_NEAR = 4
"""Quarters between a turn's rest and the call that may explain it."""
_MOST = 500
"""So many values are asked for at once."""
_RANK = {basis: rank for rank, basis in enumerate(BASES)}


class Sums:
    """Makes and renews the sums of sessions. Only the process that scans may use it."""

    def __init__(
        self, connection: sqlite3.Connection, prices: Prices, excluded: Iterable[str] = ()
    ) -> None:
        self.connection = connection
        self.prices = prices
        self.excluded = tuple(excluded)
        self._facts = Facts(connection)
        self._numbers: dict[tuple[str, tuple[Any, ...]], int] = {}

    def settle(
        self, only: Iterable[int] | None = None, stop: Callable[[], bool] = lambda: False
    ) -> int:
        """Renews the dirty sessions (or those of ``only``); returns how many."""
        done = 0
        while not stop():
            batch = self._dirty(only)
            if not batch:
                break
            begun = time.monotonic()
            with store.transaction(self.connection):
                generation = next_generation(self.connection)
                for session in batch:
                    self._renew(session, generation)
                    self.connection.execute("DELETE FROM dirty WHERE session = ?", (session,))
                    done += 1
                    if time.monotonic() - begun > _BATCH_SECONDS:
                        break
        return done

    def _dirty(self, only: Iterable[int] | None) -> list[int]:
        if only is None:
            rows = self.connection.execute("SELECT session FROM dirty LIMIT 100")
            return [row for (row,) in rows]
        query = "SELECT session FROM dirty WHERE session = ?"
        return [each for each in only if self.connection.execute(query, (each,)).fetchone()]

    def _renew(self, number: int, generation: int) -> None:
        connection = self.connection
        row = connection.execute(
            "SELECT agent, name, state FROM sessions WHERE id = ?", (number,)
        ).fetchone()
        if row is None:
            return
        agent, name, state = row[0], store.restored(row[1]), row[2]
        if state != store.ACTIVE:
            clear(connection, number, generation)
            return
        kinds = connection.execute(
            "SELECT kind, mtime_ns FROM sources WHERE owner = ? ORDER BY id", (number,)
        ).fetchall()
        updated_ns = max((mtime for _, mtime in kinds), default=0)
        session, rest = self._facts.load(number, agent, name, bool(kinds))
        session, claimed = self._facts.claim(session)
        meta = session.meta
        where = (meta.project, meta.workspace, project_of(meta.workspace, meta.project))
        if any(place and is_below(place, self.excluded) for place in where):
            exclude(connection, number)
            clear(connection, number, generation)
            return
        order = (int(not kinds), updated_ns, agent, name)
        shared = claimed if session.id is not None else session.requests
        if _forks(agent):
            shared = (*session.requests, *rest.requests)
        known = calls_of(connection, number) if session.id is None else set()
        elsewhere = self._marks(number, order, shared)
        if session.id is None:
            self._wake(agent, [call for call in session.requests if mark(call) not in known])
        priced = [*amounts(session, self.prices), *amounts(rest, self.prices)]
        counted = without(priced, elsewhere)
        whole = session if not rest.requests else self._facts.whole(number, agent, name)
        own = priced if whole is session else list(amounts(whole, self.prices))
        connection.execute("DELETE FROM cells WHERE session = ?", (number,))
        connection.execute("DELETE FROM tools WHERE session = ?", (number,))
        connection.executemany(
            store.INSERT_CELL,
            cells(number, session, counted, self._number),
        )
        connection.executemany(
            "INSERT INTO tools VALUES(?, ?, ?, ?)", tools(number, session, self._number)
        )
        there = self._sources_there(number)
        self._row(
            number, generation, whole, own, counted, there, updated_ns, bool(kinds), elsewhere
        )

    def _sources_there(self, number: int) -> list[str]:
        return sorted(
            kind
            for (kind,) in self.connection.execute(
                # the sign: of all files that are there, a session has a few
                "SELECT DISTINCT kind FROM sources WHERE owner = ? AND +gone = 0",
                (number,),
            )
        )

    def _marks(
        self,
        number: int,
        order: tuple[Any, ...],
        shared: Sequence[Request],
    ) -> set[int]:
        """Marks of those of ``shared`` (calls that other sessions may have, too) that count for
        another session; those sessions are made dirty where what they count must change."""
        connection = self.connection
        marks = {mark(request) for request in shared}
        known = calls_of(connection, number)
        connection.executemany(
            "INSERT OR IGNORE INTO marks VALUES(?, ?)", [(each, number) for each in marks - known]
        )
        gone = known - marks
        connection.executemany(
            "DELETE FROM marks WHERE mark = ? AND session = ?", [(each, number) for each in gone]
        )
        if marks != known:
            connection.execute(
                "UPDATE sessions SET calls = ? WHERE id = ?",
                (array("q", sorted(marks)).tobytes(), number),
            )
        holders: dict[int, list[int]] = {}
        for each, other in sharing(connection, number, marks):
            holders.setdefault(each, []).append(other)
        for each in gone:
            for (other,) in connection.execute("SELECT session FROM marks WHERE mark = ?", (each,)):
                holders.setdefault(each, []).append(other)
        if not holders:
            return set()
        orders = {number: order}
        losses: dict[int, set[int]] = {}
        for other in {other for others in holders.values() for other in others}:
            orders[other], losses[other] = self._order(other)
        elsewhere: set[int] = set()
        for each, others in holders.items():
            everyone = [*others, number] if each in marks else others
            winner = min(everyone, key=orders.__getitem__)
            if each in marks and winner != number:
                elsewhere.add(each)
            for other in others:
                if (each in losses[other]) == (other == winner):
                    connection.execute("INSERT OR IGNORE INTO dirty VALUES(?)", (other,))
        return elsewhere

    def _wake(self, agent: str, fresh: Sequence[Request]) -> None:
        """Sessions whose turns have a rest near ``fresh``, new calls of no session, may claim
        one of them."""
        quarters = [call.started_ms // QUARTER_MS for call in fresh if call.started_ms is not None]
        if quarters:
            self.connection.execute(
                "INSERT OR IGNORE INTO dirty SELECT DISTINCT c.session FROM cells c"
                " JOIN kinds k ON k.id = c.kind JOIN sessions s ON s.id = c.session"
                " WHERE k.agent = ? AND k.remainder AND c.quarter BETWEEN ? AND ? AND s.name != ''",
                (agent, min(quarters) - _NEAR, max(quarters) + _NEAR),
            )

    def _order(self, number: int) -> tuple[tuple[Any, ...], set[int]]:
        late, updated_ns, agent, name, lost = self.connection.execute(
            "SELECT late, updated_ns, agent, name, lost FROM sessions WHERE id = ?", (number,)
        ).fetchone()
        found = set(codec.loads(lost)) if lost else set()
        return (late, updated_ns, agent, store.restored(name)), found

    def _number(self, table: str, values: tuple[Any, ...]) -> int:
        key = table, values
        known = self._numbers.get(key)
        if known is None:
            known = self._numbers[key] = store.number(self.connection, table, values)
        return known

    def _row(
        self,
        number: int,
        generation: int,
        session: Session,
        own: list[Amount],
        counted: list[Amount],
        there: list[str],
        updated_ns: int,
        has_sources: bool,
        elsewhere: set[int],
    ) -> None:
        meta = session.meta
        totals = Tally()
        totals.sessions = 1
        models: dict[str, int] = {}
        for usage, quote in own:
            totals.add(usage, quote.nano_aiu, quote.basis, quote.billing)
            if usage.model:
                models[usage.model] = models.get(usage.model, 0) + (quote.nano_aiu or 0)
        updated_ms = max(updated_ns // 1_000_000, meta.updated_ms or 0)
        calls = [r.started_ms for r in session.requests if r.started_ms is not None]
        begun = [at for usage, _ in counted if (at := moment(usage)) is not None]
        begin, _ = times(session)
        project = project_of(meta.workspace, meta.project)
        wire = totals.wire()
        row = cards.packed(iso(meta.created_ms or begin), iso(updated_ms or None), wire)
        best = sorted(models, key=lambda name: (-models[name], name))
        label = self._number("labels", (cards.label(there, best, wire),))
        trouble = [problem_wire(problem) for problem in session.problems]
        listed = int(
            session.id is not None and (has_sources or bool(session.requests) or bool(meta.path))
        )
        if listed and session.id in dict(meta.names) and not session.requests:
            listed = 2  # a subagent's log: it can be found, but all it tells is its parent's
        safe = [
            None if value is None else store.stored(value)
            for value in (meta.title, meta.workspace, project, meta.branch)
        ]
        self.connection.execute(
            "UPDATE sessions SET late = ?, updated_ns = ?, updated_ms = ?, begin_ms = ?,"
            " request_ms = ?, listed = ?, ended = ?, title = ?, workspace = ?, project = ?,"
            " branch = ?, label = ?, requests = ?, nano = ?, problems = ?, row = ?,"
            " trouble = ?, lost = ?, changed = ? WHERE id = ?",
            (
                int(not has_sources), updated_ns, min(updated_ms, _LIMIT),
                min(begun, default=None), max(calls, default=None), listed, _ended(session),
                *safe, label, totals.requests,
                None if totals.nano_aiu is None else min(totals.nano_aiu, _LIMIT), len(trouble),
                row, codec.dumps(trouble) if trouble else None,
                codec.dumps(sorted(elsewhere)) if elsewhere else None, generation, number,
            ),
        )  # fmt: skip


def _forks(agent: str) -> bool:
    return provider_for(agent).forks


KIND = ("agent", "model", "provider", "billing", "basis", "surface")
"""Dimensions that few different values have: columns of ``kinds``."""
SPOT = ("subagent", "skill", "workspace", "branch")
"""The others: columns of ``spots``."""

Number = Callable[[str, tuple[Any, ...]], int]
"""(table, values of its columns) -> the id of that row."""


def dimensions(session: Session, usage: Usage, quote: Quote) -> dict[str, Any]:
    """What a cell is about; see ``report.Fold``."""
    meta = session.meta
    return {
        "agent": session.agent,
        "model": usage.model,
        "provider": provider(usage, quote),
        "billing": quote.billing,
        "basis": quote.basis,
        "surface": getattr(usage, "surface", None),
        "subagent": "/".join(usage.subagent) or "main",
        "skill": getattr(usage, "skill", None),
        "workspace": project_of(getattr(usage, "cwd", None) or meta.workspace, meta.project),
        "branch": getattr(usage, "branch", None) or meta.branch,
    }


def cells(
    number: int, session: Session, counted: Iterable[Amount], numbered: Number
) -> Iterator[tuple[int | None, ...]]:
    """Rows of the table ``cells`` for these amounts."""
    tallies: dict[tuple[int, int, int], Tally] = {}
    for usage, quote in counted:
        at_ms = moment(usage)
        quarter = NO_TIME if at_ms is None or abs(at_ms) > _LIMIT else at_ms // QUARTER_MS
        values = dimensions(session, usage, quote)
        values["basis"] = _RANK[quote.basis]
        kind = (*(values[name] for name in KIND), int(type(usage) is Counter))
        spot = tuple(values[name] for name in SPOT)
        key = numbered("kinds", kind), quarter, numbered("spots", spot)
        tally = tallies.setdefault(key, Tally())
        tally.add(usage, quote.nano_aiu, quote.basis, quote.billing)
    for (of, quarter, there), tally in tallies.items():
        figures = (
            tally.requests, tally.failed_requests, tally.unknown_requests, tally.input_tokens,
            tally.cache_read_tokens, tally.cache_write_tokens, tally.output_tokens,
            tally.reasoning_tokens, tally.nano_aiu,
        )  # fmt: skip
        limited = (None if figure is None else min(figure, _LIMIT) for figure in figures)
        yield of, quarter, number, there, *limited


def tools(number: int, session: Session, numbered: Number) -> Iterator[tuple[int, ...]]:
    """Rows of the table ``tools`` for a session."""
    calls: dict[tuple[int, int], int] = {}
    for call in session.tools:
        quarter = NO_TIME if call.at_ms is None else call.at_ms // QUARTER_MS
        what = call.name, "/".join(call.subagent) or "main", call.skill
        key = quarter, numbered("helpers", what)
        calls[key] = calls.get(key, 0) + 1
    for (quarter, helper), count in calls.items():
        yield quarter, number, helper, count


def _ended(session: Session) -> int:
    """Did the agent write that the session is over, after its last call?"""
    last = max((r.started_ms or 0 for r in session.requests), default=0)
    facts = dict(session.meta.facts)
    return int("shutdownType" in facts and (session.meta.updated_ms or 0) >= last)


def is_below(place: str, folders: Iterable[str]) -> bool:
    """Is ``place`` one of ``folders``, or does it lie in one?"""
    path = os.path.normcase(place.rstrip("/\\"))
    for folder in folders:
        above = os.path.normcase(folder.rstrip("/\\"))
        if above and (path == above or path.startswith((above + "/", above + "\\"))):
            return True
    return False


def clear(connection: sqlite3.Connection, number: int, generation: int) -> None:
    """Deletes all that is known of a session but its id and state."""
    calls = calls_of(connection, number)
    connection.executemany(
        "INSERT OR IGNORE INTO dirty VALUES(?)",
        [(other,) for _, other in sharing(connection, number, calls)],
    )
    connection.executemany(
        "DELETE FROM marks WHERE mark = ? AND session = ?", [(each, number) for each in calls]
    )
    for table in ("cells", "tools", "facts", "copies"):
        connection.execute(f"DELETE FROM {table} WHERE session = ?", (number,))
    connection.execute(
        "UPDATE sessions SET listed = 0, title = NULL, workspace = NULL, project = NULL,"
        " branch = NULL, requests = 0, nano = NULL, problems = 0, row = NULL, trouble = NULL,"
        " lost = NULL, calls = NULL, begin_ms = NULL, request_ms = NULL, changed = ? WHERE id = ?",
        (generation, number),
    )


def calls_of(connection: sqlite3.Connection, number: int) -> set[int]:
    """The marks of a session's calls, as last noted."""
    row = connection.execute("SELECT calls FROM sessions WHERE id = ?", (number,)).fetchone()
    found = array("q")
    if row is not None and row[0] is not None:
        found.frombytes(row[0])
    return set(found)


def sharing(
    connection: sqlite3.Connection, number: int, calls: Iterable[int]
) -> Iterator[tuple[int, int]]:
    """(mark, another session that has a call of this mark, too)."""
    wanted = list(calls)
    for at in range(0, len(wanted), _MOST):
        some = wanted[at : at + _MOST]
        yield from connection.execute(
            f"SELECT mark, session FROM marks WHERE mark IN ({','.join('?' * len(some))})"
            " AND session != ?",
            (*some, number),
        ).fetchall()


def next_generation(connection: sqlite3.Connection) -> int:
    """Counts one more change of the ledger; call it inside a transaction."""
    generation = int(store.get(connection, "generation", 1)) + 1
    store.put(connection, "generation", generation)
    return generation


def exclude(connection: sqlite3.Connection, number: int) -> None:
    """From now on nothing of this session is kept, as long as the setting says so."""
    connection.execute(
        "UPDATE sessions SET state = ? WHERE id = ? AND state = ?",
        (store.EXCLUDED, number, store.ACTIVE),
    )
