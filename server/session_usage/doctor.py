"""A check-up: which sources exist, which are switched off, what cannot be read, what is new."""

from __future__ import annotations

from collections import Counter
from typing import Any

from session_usage.events import Problem
from session_usage.report import problem_wire
from session_usage.sessions import Library, listed


def examine(library: Library) -> dict[str, Any]:
    """Reads everything once and says what was found, agent by agent.

    ``{"agents": [{agent, label, sessions, sources: {kind: files}, off, drift}], "problems"}``.
    ``sessions`` are those of a list, ``off`` settings that would make an agent write a source of
    which there is none.
    """
    counts: dict[str, dict[str, int]] = {agent: {} for agent in library.providers}
    sources = [source for ref in library.refs.values() for source in ref.sources]
    for source in (*sources, *library.shared):
        kinds = counts.setdefault(source.agent, {})
        kinds[source.kind] = kinds.get(source.kind, 0) + 1
    problems: list[Problem] = []
    for session in library.all(full=True):
        problems += session.problems
    problems += library.problems
    sessions_of = Counter(item.ref.agent for item in listed(library))
    agents = []
    for name, provider in library.providers.items():
        sessions = sessions_of[name]
        agents.append(
            {
                "agent": name,
                "label": provider.label,
                "sessions": sessions,
                "sources": counts.get(name, {}),
                "off": [
                    switch._asdict()
                    for switch in provider.switches
                    if sessions and switch.kind not in counts.get(name, {})
                ],
                "drift": sorted(
                    {p.text for p in problems if p.kind == "drift" and p.agent == name}
                ),
            }
        )
    return {
        "agents": agents,
        "problems": [problem_wire(problem) for problem in problems if problem.kind != "drift"],
    }
