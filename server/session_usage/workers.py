"""Adds all sessions up, in two processes where there is much to read.

Two threads bring nothing here, two processes nearly halve the time. Agents know nothing of each
other: no two of them have a call in common, so each process takes some of the agents, and what
comes back is a few sums instead of many calls. One agent alone is read by one process.
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from session_usage.events import Problem
from session_usage.reconcile import Session
from session_usage.report import Fold
from session_usage.sessions import Library

_SECONDS = {"copilot-cli": 2, "copilot-vscode": 2, "opencode": 6}
"""About what a GB of an agent's logs takes; the others' takes 3."""
LEAST = 128 << 20
"""Bytes times seconds for a GB below which a second process is not worth its start."""

Watch = Callable[[Library, Iterator[Session]], Iterator[Session]]


def unwatched(_: Library, found: Iterator[Session]) -> Iterator[Session]:
    """Nobody looks."""
    return found


def add_all(
    library: Library, fold: Fold, full: bool = False, watch: Watch = unwatched
) -> list[Problem]:
    """Adds every session of ``library`` to ``fold``; returns all problems, agent by agent.

    ``watch`` may look at the sessions of this process as they pass. The result is the same
    whether there is a second process or not.
    """
    agents = list(library.providers)
    mine, others = shares(library) if _can_fork() else (agents, [])
    told: dict[str, list[Problem]] = {}
    child = _Child(library, fold, others, full) if others else None
    try:
        for agent in mine:
            told[agent] = _add(library, fold, agent, full, watch)
        found = child.result() if child else None
    finally:
        if child:
            child.close()
    if found is not None:
        totals, rows, theirs = found
        fold.merge(totals, rows)
        told.update(theirs)
    for agent in others if found is None else ():
        told[agent] = _add(library, fold, agent, full, watch)
    return [problem for agent in agents for problem in told[agent]]


def shares(library: Library) -> tuple[list[str], list[str]]:
    """The agents of this process and those of a second one; none of the latter if there is too
    little to read."""
    cost = dict.fromkeys(library.providers, 0)
    paths = [source for ref in library.refs.values() for source in ref.sources]
    for source in (*paths, *library.shared):
        if source.agent in cost:
            cost[source.agent] += source.size * _SECONDS.get(source.agent, 3)
    loads: list[tuple[int, list[str]]] = [(0, []), (0, [])]
    for agent in sorted(cost, key=lambda name: -cost[name]):
        load, of = loads[0] if loads[0][0] <= loads[1][0] else loads[1]
        loads[loads.index((load, of))] = (load + cost[agent], [*of, agent])
    first, second = loads
    if second[0] < LEAST:
        return list(library.providers), []
    return first[1], second[1]


def _can_fork() -> bool:
    if not hasattr(os, "fork") or sys.platform == "darwin":  # its libraries do not stand it
        return False
    threads = sys.modules.get("threading")
    if threads is not None and threads.active_count() > 1:
        return False
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) > 1
    return (os.cpu_count() or 1) > 1


def _add(library: Library, fold: Fold, agent: str, full: bool, watch: Watch) -> list[Problem]:
    """Adds the sessions of one agent; the problems of them and of what they are read from."""
    part = copy.copy(library)
    part.problems = []
    part.refs = {key: ref for key, ref in library.refs.items() if key[0] == agent}
    part.shared = [source for source in library.shared if source.agent == agent]
    problems: list[Problem] = []
    for session in watch(part, part.all(full=full, together=not full)):
        fold.add(session)
        problems += session.problems
    return problems + part.problems


class _Child:
    """A second process that adds up some of the agents."""

    def __init__(self, library: Library, fold: Fold, agents: Sequence[str], full: bool) -> None:
        reading, writing = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            # nothing may come back from here: the parent's work would be done twice
            code = 1
            try:
                os.close(reading)
                told = {agent: _add(library, fold, agent, full, unwatched) for agent in agents}
                import pickle

                with open(writing, "wb") as pipe:
                    pickle.dump((fold.totals, fold.rows, told), pipe)
                code = 0
            finally:
                os._exit(code)
        os.close(writing)
        self._pipe = open(reading, "rb")  # noqa: SIM115 - closed by close()

    def result(self) -> Any:
        """(totals, rows, problems by agent); None if the process came to grief."""
        data = self._pipe.read()
        _, status = os.waitpid(self._process, 0)
        self._process = 0
        if status:
            return None
        import pickle

        return pickle.loads(data)

    def close(self) -> None:
        """Lets go of the process, whatever it does."""
        self._pipe.close()
        if self._process:
            import signal

            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
