"""Totals of any window by any dimensions, from cells.

A window that begins or ends inside a quarter of an hour is exact all the same: the calls of
that quarter are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from session_usage.events import BASES, COPILOT, Request
from session_usage.ledger import store
from session_usage.ledger.facts import Counted
from session_usage.ledger.filters import TOOL_COLUMNS, Filter
from session_usage.ledger.query import Reader, marks
from session_usage.ledger.sums import (
    KIND,
    NO_TIME,
    QUARTER_MS,
    cells,
    dimensions,
    tools,
)
from session_usage.pricing import Prices
from session_usage.report import Amount, Fold, Zone, moment
from session_usage.usage import Tally

Stop = Callable[[], bool]
_FIGURES = (
    "SUM(c.requests), SUM(c.failed), SUM(c.unknown), SUM(c.input), SUM(c.read), SUM(c.write),"
    " SUM(c.output), SUM(c.reasoning), SUM(c.nano), SUM(CASE WHEN m.copilot THEN c.nano END),"
    " MAX(m.copilot), SUM(CASE WHEN m.remainder THEN c.nano END), MAX(m.remainder),"
    " MAX(CASE WHEN c.nano IS NOT NULL THEN m.basis END)"
)
_COLUMNS = {
    "session": "NULLIF(s.name, '')",
    "workspace": "p.workspace",
    "branch": "p.branch",
    "subagent": "p.subagent",
    "skill": "p.skill",
}
_NOT_OF_TOOLS = ("model", "provider", "surface", "basis", "billing")
_WITHIN = ("c.quarter >= d.begin", "c.quarter < d.until")
_EVER = 1 << 60
_DAY = 96
_BLOCK = f"CASE WHEN c.quarter < 0 THEN -1 ELSE c.quarter / {_DAY} END"


class Span(NamedTuple):
    """Quarters from ``begin`` on, ``end`` not included."""

    begin: int
    end: int


class Folding:
    """One question: which requests, in which window, of which zone."""

    def __init__(
        self,
        reader: Reader,
        prices: Prices,
        chosen: Filter | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        zone: Zone | None = None,
        stop: Stop = lambda: False,
    ) -> None:
        self.reader = reader
        self.connection = reader.connection
        self.prices = prices
        self.chosen = chosen or Filter()
        self.start_ms, self.end_ms = start_ms, end_ms
        self.zone = zone or Zone()
        self.stop = stop
        self.cells, self.tools = "cells", "tools"
        self.nobody = ""
        self.first = None if start_ms is None else -(-start_ms // QUARTER_MS)
        self.last = None if end_ms is None else end_ms // QUARTER_MS

    def totals(self) -> Tally:
        """Everything in the window."""
        return self.fold(()).totals

    def fold(self, by: Sequence[str]) -> Fold:
        """Totals and rows of the window, as ``Fold`` makes them of sessions one by one.

        Raises UsageError for unknown dimensions.
        """
        fold = Fold(self.prices, by, self._contains(), self.zone)
        self.connection.execute("BEGIN")
        try:
            self.nobody = ",".join(map(str, self.reader.nobody()))
            if "turn" in by:
                for counted in self._sessions():
                    if self.stop():
                        break
                    fold.add(self._fitting(counted))
            else:
                self._cut()
                self._add_up(fold)
        finally:
            self.connection.execute("COMMIT")
            for name in ("scope", "scope_tools"):
                self.connection.execute(f"DROP TABLE IF EXISTS temp.{name}")
        return fold

    def _contains(self) -> Callable[[int], bool] | None:
        start, end = self.start_ms, self.end_ms
        if start is None and end is None:
            return None
        return lambda at: (start is None or start <= at) and (end is None or at < end)

    def _add_up(self, fold: Fold) -> None:
        if not fold.by:
            fold.totals = self._total()
            return
        clock = [name for name in fold.by if name in ("day", "hour")]
        rest = [name for name in fold.by if name not in clock]
        spans = list(self._spans("hour" in clock)) if clock else [self._whole()]
        clocks = [self._clock(span if clock else None) for span in spans]
        for span, key, tally in self._tallies(rest, spans):
            fold.rows[_key(fold.by, rest, key, clocks[span])] = tally
            _include(fold.totals, tally)
        if "tool" in fold.by:
            for span, key, calls, sessions in self._calls(rest, spans):
                row = fold.rows.setdefault(_key(fold.by, rest, key, clocks[span]), Tally())
                row.tool_calls += calls
                row.sessions += sessions
        fold.totals.sessions = self._count()

    def _whole(self) -> Span:
        """The quarters of the window; what has no time belongs to that of all time only."""
        if self.cells != "cells":
            return Span(-_EVER, _EVER)
        first = -_EVER if self.first is None else self.first
        if self.first is None and self.last is not None:
            first = NO_TIME + 1
        return Span(first, _EVER if self.last is None else self.last)

    def _total(self) -> Tally:
        found = self._tallies((), [self._whole()])
        return found[0][2] if found else Tally()

    def _count(self) -> int:
        """Sessions that have something in the window: those of all rows, each once."""
        terms, values = self.chosen.where()
        if self.nobody:
            terms.append(f"c.session NOT IN ({self.nobody})")
        whole = self._whole()
        kinds = ""
        if whole != (-_EVER, _EVER) or self.chosen.agents or self.chosen.values:
            self._members(())
            kinds = "temp.members m CROSS JOIN"
            terms += ["c.kind = m.kind", "c.quarter >= ?", "c.quarter < ?"]
            values += whole
        where = " AND ".join(terms) or "1"
        sql = f"SELECT COUNT(DISTINCT c.session) FROM {kinds} {self.cells} c WHERE {where}"
        return int(self.connection.execute(sql, values).fetchone()[0])

    def _clock(self, span: Span | None) -> dict[str, str | None]:
        if span is None or span.begin == NO_TIME:
            return {"day": None, "hour": None}
        hour = self.zone.hour(span.begin * QUARTER_MS)
        return {"day": hour[:10] if hour else None, "hour": hour}

    def _note(self, spans: Sequence[Span]) -> None:
        """Makes the spans a table."""
        self._empty("spans", "id INTEGER PRIMARY KEY, begin INTEGER UNIQUE, until INTEGER")
        self.connection.executemany(
            "INSERT INTO temp.spans VALUES(?, ?, ?)",
            [(at, span.begin, span.end) for at, span in enumerate(spans)],
        )

    def _members(self, by: Sequence[str]) -> list[tuple[Any, ...]]:
        """Makes a table of the kinds that count, those of one row together (a part); returns
        the keys of the parts. Cells lie together by kind and time, so that the database adds
        a part up as it reads it, without sorting."""
        parts: dict[tuple[Any, ...], int] = {}
        members = []
        for kind in self.chosen.kinds(self._kinds()):
            key = tuple(kind[name] for name in by)
            part = parts.setdefault(key, len(parts))
            copilot, remainder = kind["billing"] == COPILOT, kind["remainder"]
            rank = BASES.index(kind["basis"])
            members.append((part, kind["id"], int(copilot), remainder, rank))
        self._empty("parts", "id INTEGER PRIMARY KEY")
        self._empty(
            "members",
            "part INTEGER, kind INTEGER, copilot INTEGER, remainder INTEGER, basis INTEGER,"
            " PRIMARY KEY(part, kind)",
            "WITHOUT ROWID",
        )
        self.connection.executemany(
            "INSERT INTO temp.parts VALUES(?)", [(part,) for part in parts.values()]
        )
        self.connection.executemany("INSERT INTO temp.members VALUES(?, ?, ?, ?, ?)", members)
        return list(parts)

    def _empty(self, name: str, columns: str, kind: str = "") -> None:
        """A table of our own with nothing in it. It is made once: after every change of tables
        the database translates all questions anew."""
        run = self.connection.execute
        run(f"CREATE TEMP TABLE IF NOT EXISTS {name}({columns}) {kind}")
        run(f"DELETE FROM temp.{name}")

    def _kinds(self) -> Iterator[dict[str, Any]]:
        for row in self.connection.execute(f"SELECT {', '.join(KIND)}, remainder, id FROM kinds"):
            *texts, remainder, number = row
            kind = dict(zip(KIND, texts, strict=True))
            for name, value in kind.items():
                kind[name] = BASES[value] if name == "basis" else _text(value)
            yield {**kind, "remainder": remainder, "id": number}

    def _tallies(
        self, by: Sequence[str], spans: Sequence[Span]
    ) -> list[tuple[int, tuple[Any, ...], Tally]]:
        """(place of the span, key, figures) of every row that is not empty."""
        kinds = [name for name in by if name in KIND]
        keys = self._members(kinds)
        self._note(spans)
        others = [name for name in by if name not in KIND]
        columns = [_COLUMNS.get(name, "NULL") for name in others]
        terms, values = self.chosen.where()
        nobody = "c.session"
        if self.nobody:
            nobody = f"CASE WHEN c.session NOT IN ({self.nobody}) THEN c.session END"
        where = " AND ".join(["c.kind = m.kind", *_WITHIN, *terms])
        joins = [
            f"CROSS JOIN {table} {alias} ON {alias}.id = c.{name}"
            for table, alias, name in (("spots", "p", "spot"), ("sessions", "s", "session"))
            if any(f"{alias}." in column for column in columns)
        ]
        sql = (
            f"SELECT g.id, d.id, {''.join(column + ', ' for column in columns)}{_FIGURES},"
            f" COUNT(DISTINCT {nobody}) FROM temp.parts g CROSS JOIN temp.spans d"
            f" CROSS JOIN temp.members m ON m.part = g.id CROSS JOIN {self.cells} c"
            f" {' '.join(joins)} WHERE {where}"
            f" GROUP BY {', '.join(str(at + 1) for at in range(2 + len(columns)))}"
        )
        if not others:
            return [
                (span, keys[part], _tally(row))
                for part, span, *row in self.connection.execute(sql, values)
            ]
        result = []
        for part, span, *row in self.connection.execute(sql, values):
            found = dict(zip(kinds, keys[part], strict=True))
            found.update(zip(others, map(_text, row), strict=False))
            key = tuple(found[name] for name in by)
            result.append((span, key, _tally(row[len(columns) :])))
        return result

    def _calls(
        self, by: Sequence[str], spans: Sequence[Span]
    ) -> Iterator[tuple[int, tuple[Any, ...], int, int]]:
        """Calls of tools: (place of the span, key, how many, in how many sessions)."""
        if any(self.chosen.values.get(name) for name in _NOT_OF_TOOLS):
            return
        self._note(spans)
        columns = [TOOL_COLUMNS.get(name, "NULL") for name in by]
        terms, values = self.chosen.where_tools()
        where = " AND ".join([*_WITHIN, *terms])
        sql = (
            f"SELECT d.id, {', '.join(columns)}, SUM(c.calls), COUNT(DISTINCT c.session)"
            f" FROM {self.tools} c JOIN temp.spans d ON d.begin ="
            " (SELECT MAX(begin) FROM temp.spans WHERE begin <= c.quarter)"
            " JOIN helpers h ON h.id = c.helper"
            f" JOIN sessions s ON s.id = c.session WHERE {where}"
            f" GROUP BY {', '.join(str(at + 1) for at in range(1 + len(columns)))}"
        )
        for span, *row, calls, sessions in self.connection.execute(sql, values):
            yield span, tuple(map(_text, row)), calls, sessions

    def _spans(self, hourly: bool) -> Iterator[Span]:
        """The local days (or hours) of the window in which there may be anything."""
        whole = self._whole()
        blocks = sorted(
            block
            for (block,) in self.connection.execute(
                f"SELECT DISTINCT {_BLOCK} FROM {self.cells} c WHERE c.quarter >= ?1"
                f" AND c.quarter < ?2 UNION SELECT DISTINCT {_BLOCK} FROM {self.tools} c"
                " WHERE c.quarter >= ?1 AND c.quarter < ?2",
                whole,
            )
        )
        at = max(whole.begin, NO_TIME)
        for block in blocks:
            at = max(at, block * _DAY)
            while at < min((block + 1) * _DAY, whole.end):
                end = at + 1 if at == NO_TIME else self._end(at, hourly)
                yield Span(at, min(end, whole.end))
                at = end

    def _end(self, quarter: int, hourly: bool) -> int:
        """The first quarter of the next local hour or day."""
        label = self._label(quarter, hourly)
        low, high = quarter, quarter + (8 if hourly else 104)  # a day has up to 25 hours
        while high - low > 1:
            middle = (low + high) // 2
            if self._label(middle, hourly) == label:
                low = middle
            else:
                high = middle
        return high

    def _label(self, quarter: int, hourly: bool) -> str | None:
        hour = self.zone.hour(quarter * QUARTER_MS)
        return hour if hourly or hour is None else hour[:10]

    def _cut(self) -> None:
        """Where the window cuts through quarters: a table of our own, exact to the millisecond."""
        edges = {
            at // QUARTER_MS
            for at in (self.start_ms, self.end_ms)
            if at is not None and at % QUARTER_MS
        }
        if not edges:
            return
        whole = self._whole()
        for name, table in (("scope", "cells"), ("scope_tools", "tools")):
            self.connection.execute(
                f"CREATE TEMP TABLE {name} AS SELECT * FROM {table}"
                " WHERE quarter >= ? AND quarter < ?",
                whole,
            )
        contains = self._contains()
        assert contains is not None
        for counted in self._sessions(edges):
            inside = [
                amount
                for amount in counted.amounts
                if (at := moment(amount.usage)) is not None
                and at // QUARTER_MS in edges
                and contains(at)
            ]
            self.connection.executemany(
                store.INSERT_CELL.replace("cells", "temp.scope"),
                cells(counted.number, counted.session, inside, self._number),
            )
            calls = [
                call
                for call in counted.session.tools
                if call.at_ms is not None
                and call.at_ms // QUARTER_MS in edges
                and contains(call.at_ms)
            ]
            self.connection.executemany(
                "INSERT INTO temp.scope_tools VALUES(?, ?, ?, ?)",
                tools(counted.number, counted.session._replace(tools=tuple(calls)), self._number),
            )
        self.connection.execute("CREATE INDEX temp.scope_kind ON scope(kind, quarter, session)")
        self.cells, self.tools = "temp.scope", "temp.scope_tools"

    def _number(self, table: str, values: tuple[Any, ...]) -> int:
        found = store.known_number(self.connection, table, values)
        return -1 if found is None else found

    def _sessions(self, quarters: set[int] | None = None) -> Iterator[Counted]:
        """Every session that has something in these quarters (None: in the window)."""
        values: list[Any] = []
        if quarters is None:
            where = "1"
            if self.start_ms is not None:
                where += " AND c.quarter >= ?"
                values.append(self.start_ms // QUARTER_MS)
            if self.end_ms is not None:
                where += " AND c.quarter <= ?"
                values.append(self.end_ms // QUARTER_MS)
        else:
            where, values = f"c.quarter IN ({marks(list(quarters))})", list(quarters)
        numbers = self.connection.execute(
            f"SELECT session FROM cells c WHERE {where}"
            f" UNION SELECT session FROM tools c WHERE {where}",
            (*values, *values),
        ).fetchall()
        for (number,) in numbers:
            yield self.reader.counted(number, self.prices)

    def _fitting(self, counted: Counted) -> Any:
        """The session with what fits the filter."""
        kept: list[Amount] = []
        meta = counted.session.meta
        for usage, quote in counted.amounts:
            row = dimensions(counted.session, usage, quote)
            row["session"], row["folder"] = counted.session.id, meta.workspace
            if self.chosen.fits(row):
                kept.append(Amount(usage, quote))
        return counted.session._replace(
            requests=tuple(a.usage for a in kept if isinstance(a.usage, Request)),
            unattributed=tuple(a.usage for a in kept if not isinstance(a.usage, Request)),
        )


def _include(totals: Tally, row: Tally) -> None:
    """Adds a row's figures; its sessions may be those of other rows, too."""
    for name in (
        "requests", "failed_requests", "unknown_requests", "input_tokens", "cache_read_tokens",
        "cache_write_tokens", "output_tokens", "reasoning_tokens", "nano_aiu",
        "copilot_nano_aiu", "unattributed_nano_aiu",
    ):  # fmt: skip
        value = getattr(row, name)
        if value is not None:
            setattr(totals, name, (getattr(totals, name) or 0) + value)
    totals.copilot_seen = totals.copilot_seen or row.copilot_seen
    totals.unattributed_seen = totals.unattributed_seen or row.unattributed_seen
    totals.basis_rank = max(totals.basis_rank, row.basis_rank)


def _key(
    by: Sequence[str], rest: Sequence[str], key: tuple[Any, ...], at: Mapping[str, Any]
) -> tuple[Any, ...]:
    values = {**at, **dict(zip(rest, key, strict=True))}
    return tuple(values[name] for name in by)


def _text(value: Any) -> str | None:
    return None if value is None else store.restored(value)


def _tally(row: Sequence[Any]) -> Tally:
    """A row of ``_FIGURES``."""
    tally = Tally()
    (
        tally.requests, tally.failed_requests, tally.unknown_requests, tally.input_tokens,
        tally.cache_read_tokens, tally.cache_write_tokens, tally.output_tokens,
        tally.reasoning_tokens, tally.nano_aiu, tally.copilot_nano_aiu, copilot,
        tally.unattributed_nano_aiu, remainder, basis, tally.sessions,
    ) = row  # fmt: skip
    tally.copilot_seen, tally.unattributed_seen = bool(copilot), bool(remainder)
    tally.basis_rank = -1 if basis is None else int(basis)
    return tally
