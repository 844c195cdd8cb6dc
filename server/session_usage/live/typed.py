"""Events as the protocol tells them: what each means for usage, in figures and names, no text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from session_usage.events import Request, ToolCall, Turn
from session_usage.kinds import SessionEvent
from session_usage.live import facts
from session_usage.live.clock import caches
from session_usage.money import nano
from session_usage.providers.copilot_cli.stream import Stream
from session_usage.report import iso
from session_usage.values import text

_LONGEST = 100
"""Characters of a name; what is longer is none."""
_FIGURES = {
    "model": "model",
    "input_tokens": "inputTokens",
    "cache_read_tokens": "cacheReadTokens",
    "cache_write_tokens": "cacheWriteTokens",
    "output_tokens": "outputTokens",
    "reasoning_tokens": "reasoningTokens",
    "nano_aiu": "nanoAiu",
    "billing": "billing",
    "duration_ms": "durationMs",
    "turn": "turn",
}


def told(event: SessionEvent) -> bool:
    """Is it worth a message? Pieces of a text that is being written come by the hundred."""
    return not event.type.endswith("_delta")


class Typed:
    """Reads the events of one session, in order, as ``CopilotEvent`` of the protocol."""

    def __init__(self, session: str, journal: str = "") -> None:
        self.session = session
        self._stream = Stream(session, journal)

    def read(self, event: SessionEvent) -> tuple[dict[str, Any], list[Request]]:
        """The event on the wire, and the calls of a model that it proves."""
        kind = event.kind
        said: dict[str, Any] = {}
        requests: list[Request] = []
        for found in self._stream.read(event.raw):
            if isinstance(found, Request):
                requests.append(found)
                said["request"] = found.key
                said.update((name, getattr(found, field)) for field, name in _FIGURES.items())
            elif isinstance(found, ToolCall):
                said.update(tool=found.name, turn=found.turn)
            elif isinstance(found, Turn):
                said["turn"] = found.key
        if kind.usage == "counter":
            said["nanoAiu"] = nano(event.data.get("totalNanoAiu"))
        elif kind.usage == "context":
            context = facts.context(event)
            if context is not None:
                said.update(contextTokens=context.tokens, contextLimit=context.limit)
        elif event.type == "session.idle":
            said["inferred"] = event.data.get("inferred")
        expires = [cache.expires_ms for cache in caches([event.raw]).values()]
        if expires:
            said["cacheExpiresAt"] = iso(max(expires))
        if kind.usage and "model" not in said:
            said["model"] = event.data.get("model")
        return {
            "type": _name(event.type) or "unknown",
            "id": _name(event.id),
            "time": iso(event.at_ms),
            "session": self.session,
            "persistence": "ephemeral" if event.ephemeral else "persisted",
            "usage": kind.usage or "none",
            "subagent": _name(event.agent),
            "facts": _known(said),
        }, requests


def _known(said: Mapping[str, Any]) -> dict[str, Any]:
    """What of it is known, and short enough to be a name where it is no figure."""
    return {
        name: value
        for name, value in said.items()
        if type(value) is int or (type(value) is str and _name(value))
    }


def _name(value: Any) -> str | None:
    found = text(value)
    return found if found and len(found) <= _LONGEST else None
