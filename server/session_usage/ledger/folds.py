"""Totals of any window by any dimensions, from cells.

A window that begins or ends inside a quarter of an hour is exact all the same: the calls of
that quarter are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from session_usage.events import BASES, Request
from session_usage.ledger import store
from session_usage.ledger.facts import Counted
from session_usage.ledger.query import Reader, folded, marks
from session_usage.ledger.sums import NO_TIME, QUARTER_MS, cells, dimensions, tools
from session_usage.pricing import Prices
from session_usage.report import Amount, Fold, Zone, moment
from session_usage.usage import Tally

Stop = Callable[[], bool]
_FIGURES = (
    "SUM(c.requests), SUM(c.failed), SUM(c.unknown), SUM(c.input), SUM(c.read), SUM(c.write),"
    " SUM(c.output), SUM(c.reasoning), SUM(c.nano),"
    " SUM(CASE WHEN k.billing = 'copilot' THEN c.nano END), MAX(k.billing = 'copilot'),"
    " SUM(CASE WHEN k.remainder THEN c.nano END), MAX(k.remainder),"
    " MAX(CASE WHEN c.nano IS NOT NULL THEN k.basis END),"
    " COUNT(DISTINCT CASE WHEN c.session NOT IN ({nobody}) THEN c.session END)"
)
_COLUMNS = {
    "agent": "k.agent",
    "model": "k.model",
    "provider": "k.provider",
    "session": "NULLIF(s.name, '')",
    "workspace": "k.workspace",
    "branch": "k.branch",
    "subagent": "k.subagent",
    "skill": "k.skill",
    "surface": "k.surface",
    "basis": "k.basis",
    "billing": "k.billing",
}
_TOOL_COLUMNS = {
    "agent": "s.agent",
    "session": "NULLIF(s.name, '')",
    "workspace": "s.project",
    "branch": "s.branch",
    "subagent": "c.subagent",
    "skill": "c.skill",
    "tool": "c.tool",
}
_NOT_OF_TOOLS = ("model", "provider", "surface", "basis", "billing")


class Span(NamedTuple):
    """Quarters from ``begin`` on, ``end`` not included."""

    begin: int
    end: int


class Filter(NamedTuple):
    """Which requests count. Each of ``values`` is a dimension and the values it may have."""

    agents: tuple[str, ...] = ()
    workspace: str | None = None
    values: Mapping[str, Sequence[str]] = {}

    def where(self, columns: Mapping[str, str] = _COLUMNS) -> tuple[list[str], list[Any]]:
        """SQL conditions and their values."""
        terms: list[str] = []
        values: list[Any] = []
        if self.agents:
            terms.append(f"{columns['agent']} IN ({marks(self.agents)})")
            values += self.agents
        if self.workspace:
            terms.append(f"(contains({columns['workspace']}, ?) OR contains(s.workspace, ?))")
            values += [self.workspace, self.workspace]
        for name, wanted in self.values.items():
            if wanted:
                terms.append(f"{columns[name]} IN ({marks(wanted)})")
                values += [_basis(value) for value in wanted] if name == "basis" else wanted
        return terms, values

    def fits(self, row: Mapping[str, Any]) -> bool:
        """The same for one amount, by its dimensions."""
        if self.agents and row["agent"] not in self.agents:
            return False
        if self.workspace:
            wanted = folded(self.workspace)
            places = (row["workspace"], row["folder"])
            if not any(place and wanted in place.casefold() for place in places):
                return False
        return all(not wanted or row[name] in wanted for name, wanted in self.values.items())


def _basis(name: str) -> int:
    return BASES.index(name) if name in BASES else -1


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
            self.connection.execute("DROP TABLE IF EXISTS temp.scope")
            self.connection.execute("DROP TABLE IF EXISTS temp.scope_tools")
        return fold

    def _contains(self) -> Callable[[int], bool] | None:
        start, end = self.start_ms, self.end_ms
        if start is None and end is None:
            return None
        return lambda at: (start is None or start <= at) and (end is None or at < end)

    def _add_up(self, fold: Fold) -> None:
        if not fold.by:
            fold.totals = self._tallies((), None).get((), Tally())
            return
        clock = [name for name in fold.by if name in ("day", "hour")]
        rest = [name for name in fold.by if name not in clock]
        spans: Iterator[Span | None] = self._spans("hour" in clock) if clock else iter((None,))
        for span in spans:
            if self.stop():
                return
            at = self._clock(span)
            for key, tally in self._tallies(rest, span).items():
                fold.rows[_key(fold.by, rest, key, at)] = tally
                _include(fold.totals, tally)
            if "tool" in fold.by:
                for key, (calls, sessions) in self._calls(rest, span).items():
                    row = fold.rows.setdefault(_key(fold.by, rest, key, at), Tally())
                    row.tool_calls += calls
                    row.sessions += sessions
        fold.totals.sessions = self._count()

    def _count(self) -> int:
        """Sessions that have something in the window: those of all rows, each once."""
        terms, values = self.chosen.where()
        more, bounds = self._where("c", None)
        joins = self._joins(terms, ())
        where = " AND ".join([*terms, *more, f"c.session NOT IN ({self.nobody})"])
        sql = f"SELECT COUNT(DISTINCT c.session) FROM {self.cells} c {joins} WHERE {where}"
        return int(self.connection.execute(sql, (*values, *bounds)).fetchone()[0])

    def _joins(self, terms: list[str], columns: Sequence[str]) -> str:
        """The tables that conditions and columns need beside the cells."""
        text = " ".join([*terms, *columns])
        joins = "JOIN kinds k ON k.id = c.kind " if "k." in text else ""
        return joins + ("JOIN sessions s ON s.id = c.session" if "s." in text else "")

    def _clock(self, span: Span | None) -> dict[str, str | None]:
        if span is None or span.begin == NO_TIME:
            return {"day": None, "hour": None}
        hour = self.zone.hour(span.begin * QUARTER_MS)
        return {"day": hour[:10] if hour else None, "hour": hour}

    def _where(self, alias: str, span: Span | None) -> tuple[list[str], list[Any]]:
        """Conditions on the quarter: those of the window, or of a span of it."""
        terms: list[str] = []
        values: list[Any] = []
        if span is not None:
            return [f"{alias}.quarter >= ?", f"{alias}.quarter < ?"], [span.begin, span.end]
        if self.cells != "cells":
            return terms, values
        if self.first is not None:
            terms.append(f"{alias}.quarter >= ?")
            values.append(self.first)
        if self.last is not None:
            terms.append(f"{alias}.quarter < ?")
            values.append(self.last)
            if self.first is None:
                terms.append(f"{alias}.quarter != {NO_TIME}")
        return terms, values

    def _tallies(self, by: Sequence[str], span: Span | None) -> dict[tuple[Any, ...], Tally]:
        columns = [_COLUMNS.get(name, "NULL") for name in by]
        terms, values = self.chosen.where()
        more, bounds = self._where("c", span)
        where = " AND ".join([*terms, *more]) or "1"
        figures = _FIGURES.format(nobody=self.nobody)
        joins = self._joins([*terms, "k."], columns)
        sql = f"SELECT {', '.join([*columns, figures])} FROM {self.cells} c {joins} WHERE {where}"
        if columns:
            sql += " GROUP BY " + ", ".join(str(place + 1) for place in range(len(columns)))
        result: dict[tuple[Any, ...], Tally] = {}
        for row in self.connection.execute(sql, (*values, *bounds)):
            if row[len(columns)] is not None:
                result[_values(by, row)] = _tally(row[len(columns) :])
        return result

    def _calls(
        self, by: Sequence[str], span: Span | None
    ) -> dict[tuple[Any, ...], tuple[int, int]]:
        """Calls of tools: (how many, in how many sessions)."""
        if any(self.chosen.values.get(name) for name in _NOT_OF_TOOLS):
            return {}
        columns = [_TOOL_COLUMNS.get(name, "NULL") for name in by]
        terms, values = self.chosen.where(_TOOL_COLUMNS)
        more, bounds = self._where("c", span)
        where = " AND ".join([*terms, *more]) or "1"
        group = ", ".join(str(place + 1) for place in range(len(columns)))
        sql = (
            f"SELECT {', '.join(columns)}, SUM(c.calls), COUNT(DISTINCT c.session)"
            f" FROM {self.tools} c JOIN sessions s ON s.id = c.session WHERE {where}"
            f" GROUP BY {group}"
        )
        return {
            _values(by, row): (row[-2], row[-1])
            for row in self.connection.execute(sql, (*values, *bounds))
        }

    def _spans(self, hourly: bool) -> Iterator[Span]:
        """The local days (or hours) of the window in which there is anything, by jumping from
        the end of one to whatever comes next."""
        at = self._next(NO_TIME)
        while at is not None:
            end = at + 1 if at == NO_TIME else self._end(at, hourly)
            yield Span(at, end)
            at = self._next(end)

    def _next(self, quarter: int) -> int | None:
        """The first quarter of the window, from this one on, in which there is anything."""
        terms, values = self._where("c", None)
        where = " AND ".join([*terms, "c.quarter >= ?"])
        found = [
            self.connection.execute(
                f"SELECT MIN(c.quarter) FROM {table} c WHERE {where}", (*values, quarter)
            ).fetchone()[0]
            for table in (self.cells, self.tools)
        ]
        return min((each for each in found if each is not None), default=None)

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
        terms, values = self._where("c", None)
        where = " AND ".join(terms) or "1"
        for name, table in (("scope", "cells"), ("scope_tools", "tools")):
            self.connection.execute(
                f"CREATE TEMP TABLE {name} AS SELECT * FROM {table} c WHERE {where}", values
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
                "INSERT INTO temp.scope VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                cells(counted.number, counted.session, inside, self._kind),
            )
            calls = [
                call
                for call in counted.session.tools
                if call.at_ms is not None
                and call.at_ms // QUARTER_MS in edges
                and contains(call.at_ms)
            ]
            self.connection.executemany(
                "INSERT INTO temp.scope_tools VALUES(?, ?, ?, ?, ?, ?)",
                tools(counted.number, counted.session._replace(tools=tuple(calls))),
            )
        self.cells, self.tools = "temp.scope", "temp.scope_tools"

    def _kind(self, values: tuple[Any, ...]) -> int:
        row = self.connection.execute(
            "SELECT id FROM kinds WHERE agent IS ? AND model IS ? AND provider IS ?"
            " AND billing IS ? AND basis IS ? AND subagent IS ? AND surface IS ?"
            " AND skill IS ? AND workspace IS ? AND branch IS ? AND remainder IS ?",
            tuple(store.stored(v) if isinstance(v, str) else v for v in values),
        ).fetchone()
        return -1 if row is None else int(row[0])

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


def _values(by: Sequence[str], row: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(
        None if value is None else BASES[value] if name == "basis" else store.restored(value)
        for name, value in zip(by, row, strict=False)
    )


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
