"""Which requests a question is about, as conditions on the tables of the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from session_usage.ledger import store
from session_usage.ledger.query import folded, marks
from session_usage.ledger.sums import SPOT

TOOL_COLUMNS = {
    "agent": "s.agent",
    "session": "NULLIF(s.name, '')",
    "workspace": "s.project",
    "branch": "s.branch",
    "subagent": "h.subagent",
    "skill": "h.skill",
    "tool": "h.tool",
}
"""Dimensions of calls of tools."""


class Filter(NamedTuple):
    """Which requests count. Each of ``values`` is a dimension and the values it may have."""

    agents: tuple[str, ...] = ()
    workspace: str | None = None
    values: Mapping[str, Sequence[str]] = {}

    def kinds(self, rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Those of the ledger's kinds of request that fit."""
        return [
            row
            for row in rows
            if (not self.agents or row["agent"] in self.agents)
            and all(
                not wanted or name not in row or row[name] in wanted
                for name, wanted in self.values.items()
            )
        ]

    def where(self) -> tuple[list[str], list[Any]]:
        """SQL conditions on cells of these kinds, and their values."""
        terms: list[str] = []
        values: list[Any] = []
        if self.workspace:
            terms.append(
                "(c.spot IN (SELECT id FROM spots WHERE contains(workspace, ?))"
                " OR c.session IN (SELECT id FROM sessions WHERE contains(workspace, ?)))"
            )
            values += [self.workspace, self.workspace]
        for name, wanted in self.values.items():
            if wanted and name in SPOT:
                terms.append(f"c.spot IN (SELECT id FROM spots WHERE {name} IN ({marks(wanted)}))")
                values += map(store.stored, wanted)
            elif wanted and name == "session":
                terms.append(
                    f"c.session IN (SELECT id FROM sessions WHERE name IN ({marks(wanted)}))"
                )
                values += map(store.stored, wanted)
        return terms, values

    def where_tools(self) -> tuple[list[str], list[Any]]:
        """The same for calls of tools."""
        terms: list[str] = []
        values: list[Any] = []
        if self.agents:
            terms.append(f"s.agent IN ({marks(self.agents)})")
            values += self.agents
        if self.workspace:
            terms.append("(contains(s.project, ?) OR contains(s.workspace, ?))")
            values += [self.workspace, self.workspace]
        for name, wanted in self.values.items():
            if wanted:
                terms.append(f"{TOOL_COLUMNS[name]} IN ({marks(wanted)})")
                values += wanted
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
