"""Plain agent logs: ``<folder>/<session id>.jsonl``, one JSON event per line.

The folders are those that the user names; there is no place where such logs are by nature.

Format: ``{"session_id", "seq", "type", "ts", "data"}``, times RFC 3339. Older logs have their
time under ``timestamp``. A session begins with ``session.start`` (provider, model, work_dir,
the prompt) and ends, unless it was killed, with ``session.end`` (status, tokens, cost_usd).
Between them each call of a model is an ``llm.request`` (the whole conversation, by far the
most bytes) and an ``llm.response`` (usage, cost_usd, latency_ms, model), and each use of a
tool a ``tool.call``. Other types are legal and say nothing about usage.

Counting:

- One call is one request, known by its ``llm.request`` line where there is one. Answers come
  in the order of the questions. A question without an answer when the session ends is a call
  that failed, or was cancelled if the session was.
- ``usage.input`` excludes the cache; the whole prompt is input + cache_read + cache_write.
  A usage of nothing but zeros is one that the writer was not told.
- ``cost_usd`` is what the writer reports: the amount of the call. Absent or negative is
  unknown, 0 is known to be free (but says nothing in a response without usage, where it is
  the empty value of the field).
- ``session.end`` has the totals of the session: a counter.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from session_usage import money
from session_usage.events import (
    API,
    START,
    Counter,
    Cursor,
    Event,
    Meta,
    Problem,
    Request,
    Source,
    ToolCall,
    Turn,
)
from session_usage.jsonl import Line, Scan, parse
from session_usage.messages import Message
from session_usage.places import Places, entries, stamp
from session_usage.providers import Provider
from session_usage.values import mapping, text, whole
from session_usage.windows import instant

_TOTALS = (b'"llm.response"', b'"llm.request"', b'"session.start"', b'"session.end"')
_DETAILS = (b'"tool.call"', b'"planning.turn"')
_REQUEST_HEAD = re.compile(
    rb'\s*\{"session_id"\s*:\s*"([^"\\]*)"\s*,\s*"seq"\s*:\s*([0-9]{1,18})\s*,'
    rb'\s*"type"\s*:\s*"llm\.request"\s*,\s*"ts"\s*:\s*"([^"\\]*)"'
)
_STATUS = {"error": "error", "failed": "error", "cancelled": "cancelled", "canceled": "cancelled"}
_WAITING = 64
"""Unanswered questions that are remembered; more are no conversation."""


class AgentLog(Provider):
    """Finds and reads plain agent logs."""

    agent = "agent-log"
    label = "Agent log"
    listing = frozenset({"log"})
    growing = frozenset({"log"})
    forks = False
    switches = ()

    def sources(self, places: Places) -> Iterator[Source]:
        """Every ``*.jsonl`` directly in the folders that the user named."""
        for folder in dict.fromkeys(places.only(self.agent) or places.agent_log_dirs):
            for entry in entries(folder):
                session, dot, suffix = entry.name.rpartition(".")
                if dot and suffix == "jsonl" and session:
                    yield Source(self.agent, "log", entry.path, session, *stamp(entry))

    def at(self, path: str) -> Iterator[Source]:
        """The log at ``path``, by its ending and the fields of its first lines."""
        session, _, suffix = os.path.basename(path).rpartition(".")
        if suffix == "jsonl" and session and _looks_like_log(path):
            yield Source(self.agent, "log", path, session, *stamp(path))

    def read(
        self,
        source: Source,
        at: Cursor = START,
        *,
        session: str | None = None,
        full: bool = True,
    ) -> Iterator[Event]:
        """The events of one log; see ``Provider``."""
        scan = Scan(source.path, _TOTALS + _DETAILS if full else _TOTALS, at.offset)
        log = _Log(source, at.state)
        state: tuple[Any, ...] | None = None
        try:
            for line in scan:
                if not line.whole:  # it will be read again once it is
                    state = log.state()
                yield from log.events(line)
        except OSError as error:
            kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
            yield log.problem(kind, None, f"cannot read the log: {error.strerror}")
        yield from log.last()
        yield Cursor(scan.offset, log.state() if state is None else state)

    def messages(self, sources: Sequence[Source], session: str) -> Iterator[Message | Problem]:
        """What was said in a session, by its sources; see ``Provider``."""
        from session_usage.providers.agent_log_messages import read_messages

        return read_messages(sources)


def _looks_like_log(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            head = file.read(1 << 12)
    except OSError:
        return False
    return b'"session_id"' in head and b'"seq"' in head


class _Log:
    """What must be remembered of a log while it is read."""

    def __init__(self, source: Source, state: tuple[Any, ...]) -> None:
        self.path = source.path
        self.session = source.session or ""
        self.provider: str | None = None
        self.model: str | None = None
        self.turn: str | None = None
        self.models: list[str] = []
        """Models that answered so far."""
        self.waiting: list[list[Any]] = []
        """[key, offset, started_ms] of the questions that have no answer yet."""
        if state:
            self.session, self.provider, self.model, self.turn = state[:4]
            self.models = list(state[4])
            self.waiting = [list(item) for item in state[5]]
        self.updated_ms: int | None = None

    def state(self) -> tuple[Any, ...]:
        waiting = tuple(tuple(item) for item in self.waiting)
        return self.session, self.provider, self.model, self.turn, tuple(self.models), waiting

    def events(self, line: Line) -> Iterator[Event]:
        head = _REQUEST_HEAD.match(line.data)
        if head:  # the conversation that follows need not be parsed
            session, seq, ts = (part.decode("utf-8", "replace") for part in head.groups())
            event = {"session_id": session, "seq": int(seq), "type": "llm.request", "ts": ts}
            yield from self._event(event, line.offset)
            return
        value, reason = parse(line.data)
        found = [value] if value is not None else _several(line.data)
        if reason and (value is not None or not found):
            yield self.problem("malformed", line.offset, f"a line is {reason}")
        for event in found:
            yield from self._event(event, line.offset)

    def _event(self, event: dict[str, Any], offset: int) -> Iterator[Event]:
        handle = _HANDLERS.get(text(event.get("type")) or "")
        if handle is None:
            return
        self.session = text(event.get("session_id")) or self.session
        ts = text(event.get("ts")) or text(event.get("timestamp")) or ""
        at_ms = instant(ts)
        if at_ms is not None:
            self.updated_ms = max(at_ms, self.updated_ms or at_ms)
        key = f"{self.session}/{event.get('seq', '')}/{ts or offset}"
        yield from handle(self, key, offset, at_ms, mapping(event.get("data")))

    def _start(
        self, key: str, offset: int, at_ms: int | None, data: dict[str, Any]
    ) -> Iterator[Event]:
        self.provider = text(data.get("provider"))
        self.model = text(data.get("model"))
        self.waiting.clear()
        facts = [(name, text(data.get(name))) for name in ("provider", "resolved_harness")]
        yield Meta(
            "agent-log",
            self.session,
            self.path,
            workspace=text(data.get("work_dir")),
            model=self.model,
            created_ms=at_ms,
            facts=tuple((name, value) for name, value in facts if value),
        )
        yield from self._turn(key, offset, at_ms, data)

    def _turn(
        self, key: str, offset: int, at_ms: int | None, data: dict[str, Any]
    ) -> Iterator[Event]:
        self.turn = key
        yield Turn(key, "agent-log", self.session, self.path, offset, at_ms)

    def _question(
        self, key: str, offset: int, at_ms: int | None, data: dict[str, Any]
    ) -> Iterator[Event]:
        del self.waiting[: max(0, len(self.waiting) + 1 - _WAITING)]
        self.waiting.append([key, offset, at_ms])
        yield self._request(key, offset, at_ms, weak=True)

    def _answer(
        self, key: str, offset: int, at_ms: int | None, data: dict[str, Any]
    ) -> Iterator[Event]:
        started_ms = at_ms
        if self.waiting:
            key, offset, started_ms = self.waiting.pop(0)
        duration_ms = whole(data.get("latency_ms")) or None
        if at_ms is not None and duration_ms:
            started_ms = at_ms - duration_ms
        tokens = _tokens(data.get("usage"))
        cost = data.get("cost_usd")
        nano, problem = self._amount(cost, offset)
        if problem:
            yield problem
        model = text(data.get("model")) or self.model
        if model and model not in self.models:
            self.models.append(model)
        yield self._request(
            key,
            offset,
            started_ms,
            model=model,
            status=_STATUS.get(text(data.get("finish_reason")) or "", "ok"),
            # without usage a 0 is only the empty value of the field
            nano_aiu=nano if tokens or nano else None,
            duration_ms=duration_ms,
            weak=not (tokens or nano),
            **tokens,
        )

    def _request(self, key: str, offset: int, started_ms: int | None, **more: Any) -> Request:
        return Request(
            key,
            "agent-log",
            self.session,
            "log",
            self.path,
            offset,
            started_ms,
            model=more.pop("model", self.model),
            provider=self.provider and self.provider.lower(),
            billing=API,
            turn=self.turn,
            **more,
        )

    def _tool(
        self, key: str, offset: int, at_ms: int | None, data: dict[str, Any]
    ) -> Iterator[Event]:
        yield ToolCall(
            key,
            "agent-log",
            self.session,
            self.path,
            offset,
            at_ms,
            name=text(data.get("tool")) or "unknown",
            turn=self.turn,
            ok=not data.get("error"),
            duration_ms=whole(data.get("duration_ms")),
        )

    def _end(
        self, key: str, offset: int, at_ms: int | None, data: dict[str, Any]
    ) -> Iterator[Event]:
        status = text(data.get("status"))
        lost = "cancelled" if status == "cancelled" else "error"
        for question, place, started_ms in self.waiting:
            yield self._request(question, place, started_ms, status=lost)
        self.waiting.clear()
        nano, problem = self._amount(data.get("cost_usd"), offset)
        if problem:
            yield problem
        model = text(data.get("model")) or self.model
        yield Counter(
            key,
            "agent-log",
            self.session,
            "log",
            self.path,
            offset,
            at_ms,
            scope="total",
            group=key,
            # it is one model's only if no other has answered
            model=model if set(self.models) <= {model} else None,
            billing=API,
            nano_aiu=nano,
            reason="the session's own totals exceed the calls that it logged",
            status=_STATUS.get(status or "", "ok"),
            **_tokens(data.get("tokens")),
        )
        if status:
            yield Meta("agent-log", self.session, self.path, facts=(("status", status),))

    def _amount(self, cost: Any, offset: int) -> tuple[int | None, Problem | None]:
        """The reported cost as nano-AIU; negative is the format's word for unknown."""
        nano = money.nano(cost, money.NANO_PER_USD)
        if nano is not None or cost is None or (type(cost) in (int, float) and cost < 0):
            return nano, None
        return None, self.problem("malformed", offset, "cost_usd is no number")

    def last(self) -> Iterator[Event]:
        """What is known only after the last line."""
        if self.updated_ms is not None:
            yield Meta("agent-log", self.session, self.path, updated_ms=self.updated_ms)

    def problem(self, kind: str, offset: int | None, what: str) -> Problem:
        return Problem(kind, self.path, offset, what, "agent-log", self.session or None)


_HANDLERS = {
    "session.start": _Log._start,
    "planning.turn": _Log._turn,
    "llm.request": _Log._question,
    "llm.response": _Log._answer,
    "tool.call": _Log._tool,
    "session.end": _Log._end,
}


def _tokens(usage: Any) -> dict[str, Any]:
    """Token fields of a request or counter; empty for a usage that says nothing."""
    figures = mapping(usage)
    fresh, output = whole(figures.get("input")), whole(figures.get("output"))
    # zero parts are left out of the format
    read, write = whole(figures.get("cache_read", 0)), whole(figures.get("cache_write", 0))
    if not any((fresh, output, read, write)):
        return {}
    prompt = None if fresh is None or read is None or write is None else fresh + read + write
    return {
        "input_tokens": prompt,
        "cache_read_tokens": read,
        "cache_write_tokens": write,
        "output_tokens": output,
    }


def _several(data: bytes) -> list[dict[str, Any]]:
    """The objects of a line that holds more than one; none if it is no such line."""
    import json

    decoder = json.JSONDecoder()
    line = data.decode("utf-8", "replace").strip()
    found: list[dict[str, Any]] = []
    at = 0
    try:
        while at < len(line):
            value, at = decoder.raw_decode(line, at)
            found.append(mapping(value))
            while line[at : at + 1].isspace():
                at += 1
    except (ValueError, RecursionError):
        return []
    return found


PROVIDER = AgentLog()
