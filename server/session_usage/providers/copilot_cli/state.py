"""What a journal told so far, and the problems that its readers name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from session_usage.events import Cursor, Event, Problem, Source
from session_usage.values import text

AGENT = "copilot-cli"
Data = dict[str, Any]
Events = Iterator[Event]


class State:
    """What a journal told so far; kept in the cursor."""

    FIELDS = (
        "session", "started_ms", "run_ms", "model", "byok", "origin", "turn", "names", "skills",
        "output", "counts_no_writes", "closed",
    )  # fmt: skip

    def __init__(self, source: Source, at: Cursor) -> None:
        self.session = source.session or ""
        self.started_ms: int | None = None
        self.run_ms: int | None = None
        self.model: str | None = None
        self.byok = False
        self.counts_no_writes = False
        self.origin: str | None = None
        self.turn: str | None = None
        self.closed = False
        """Were totals written before this run? Then this run's may include them."""
        self.output = 0
        """Output tokens that the messages of this run tell, where totals were written before."""
        self.unread = at.offset
        """Where this run's messages begin, which nothing has read yet."""
        self.ended = at.offset
        """Where the line that ended the run before ends."""
        self.names: dict[str, str] = {}
        self.skills: dict[str, str] = {}
        for field, value in zip(self.FIELDS, at.state, strict=False):
            setattr(self, field, value)

    def saved(self) -> tuple[Any, ...]:
        """For the cursor: JSON values in the order of ``FIELDS``."""
        values = [getattr(self, field) for field in self.FIELDS]
        return tuple([dict(value) if type(value) is dict else value for value in values])

    def owner(self, at_ms: int | None) -> tuple[str, bool]:
        """(session, copied): whose event this is."""
        if at_ms is not None and self.started_ms is not None and at_ms < self.started_ms:
            return self.origin or self.session, True
        return self.session, False

    def subagent(self, event: dict[str, Any], data: dict[str, Any]) -> tuple[str | None, Any]:
        """(id, names) of the subagent whose event this is."""
        agent = text(event.get("agentId")) or text(data.get("parentToolCallId"))
        return agent, ((self.names.get(agent, agent),) if agent else ())


def problem(source: Source, state: State, kind: str, offset: int | None, reason: str) -> Problem:
    """Something wrong with a journal."""
    return Problem(kind, source.path, offset, reason, AGENT, state.session or source.session)


def unreadable(source: Source, error: OSError) -> Problem:
    """A file that cannot be opened or read."""
    reason = error.strerror or type(error).__name__
    kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
    return Problem(kind, source.path, None, f"cannot be read: {reason}", AGENT, source.session)
