"""The events of a running session, read as its journal will tell them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from session_usage.events import START, Event, Source
from session_usage.providers.copilot_cli.records import READERS
from session_usage.providers.copilot_cli.state import AGENT, State
from session_usage.values import mapping, text

_UNREAD = frozenset({"session.usage_checkpoint", "session.shutdown", "assistant.message"})
"""Counters and bare proofs of calls are left to the journal."""


class Stream:
    """Reads the events of a running session one by one.

    ``assistant.usage`` (sent, never written) is the ``session.usage_record`` that the journal
    gets a moment later: both give a request of the same key, so that the call counts once.
    """

    def __init__(self, session: str, path: str = "") -> None:
        """``path``: the session's journal, the evidence that will be, where it is known."""
        self._source = Source(AGENT, "live", path, session)
        self._state = State(self._source, START)
        self._state.started_ms = 0  # what a running session sends is its own, never a copy

    def read(self, event: dict[str, Any]) -> Iterator[Event]:
        """What one event says; its offset is -1, for it is at no place of a file."""
        kind, data = text(event.get("type")), mapping(event.get("data"))
        if kind == "assistant.usage":
            kind, data = "session.usage_record", {"usage": data}
        elif event.get("ephemeral") is True:
            return  # says again, in the words of the wire, what another event says
        if kind in READERS and kind not in _UNREAD:
            yield from READERS[kind](self._source, self._state, -1, event, data)
