"""Plain agent logs: one file of JSON events per session, written by any agent that likes.

A log is ``<directory>/<session id>.jsonl``; each event is one JSON object with the keys
``session_id``, ``seq`` (from 0), ``type``, ``ts`` (RFC 3339, UTC, nanoseconds) and ``data``,
in this order. Types that nobody knows are legal. The payloads have classes, see ``payloads``.

Writing is best effort: whatever goes wrong is logged once as a warning, and the run that is
being logged goes on. Reading takes a stream of JSON values, so blank lines, two events on one
line and an event over several lines are fine; it gives what is good, and where it went wrong.

This module imports attrs, which is slow to import: keep it off the start of the command line.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from attrs import frozen

from session_usage.events import Problem
from session_usage.session_log.estimates import DEFAULT_PRICING, ModelPricing, estimate_cost
from session_usage.session_log.payloads import (
    PAYLOADS,
    UNKNOWN_COST,
    ZERO_TIME,
    LLMRequestData,
    LLMResponseData,
    Message,
    SessionEndData,
    SessionStartData,
    StickyState,
    TokenUsage,
    ToolCall,
    ToolCallData,
    ToolDef,
    Undecodable,
    UtilizationState,
    decode,
    encode,
    read_text,
    read_time,
    read_whole,
)
from session_usage.stream import Broken, sound, values
from session_usage.windows import instant

__all__ = [
    "DEFAULT_PRICING",
    "UNKNOWN_COST",
    "Event",
    "EventLog",
    "LLMRequestData",
    "LLMResponseData",
    "Message",
    "ModelPricing",
    "SessionEndData",
    "SessionLogger",
    "SessionStartData",
    "StickyState",
    "TokenUsage",
    "ToolCall",
    "ToolCallData",
    "ToolDef",
    "UtilizationState",
    "estimate_cost",
    "new_event",
    "read_events",
    "stream_events",
]

SESSION_START = "session.start"
LLM_REQUEST = "llm.request"
LLM_RESPONSE = "llm.response"
LLM_DELTA = "llm.delta"
TOOL_CALL = "tool.call"
SESSION_END = "session.end"
COMPACTION_START = "compaction.start"
COMPACTION_END = "compaction.end"
OVERRIDE = "override"
REJECTED_OVERRIDE = "rejected_override"
REASONING_STALL = "reasoning.stall"
PLANNING_TURN = "planning.turn"

_BUFFER = 1 << 16
_LOG = logging.getLogger(__name__)


@frozen
class Event:
    """One event; ``ts`` is kept as it is written, ``data`` is any JSON value."""

    session_id: str = ""
    seq: int = 0
    type: str = ""
    ts: str = ZERO_TIME
    data: Any = None

    @property
    def at_ms(self) -> int:
        """When it happened, epoch milliseconds."""
        found = instant(self.ts)
        if found is None:
            raise ValueError(f"{self.ts!r} is no RFC 3339 time")
        return found

    def payload(self) -> Any:
        """``data`` as the class of this type; None if there is none or it does not fit."""
        kind = PAYLOADS.get(self.type)
        try:
            return None if kind is None else decode(kind, self.data)
        except Undecodable:
            return None

    def line(self) -> bytes:
        """The event as one line; raises TypeError or ValueError if its data is no JSON."""
        return _json(
            {
                "session_id": self.session_id,
                "seq": self.seq,
                "type": self.type,
                "ts": self.ts,
                "data": self.data,
            }
        )


class EventLog(NamedTuple):
    """The events of a log up to the first thing wrong with it, and what that was."""

    events: list[Event]
    problem: Problem | None = None


def new_event(session_id: str, seq: int, type: str, data: Any = None) -> Event:
    """An event of now. ``data`` is a payload or JSON values; what is no JSON becomes null."""
    try:
        return _event_of(session_id, seq, type, data)
    except Exception:  # whatever a caller's own classes may raise
        return Event(session_id, seq, type, _now())


def _event_of(session_id: str, seq: int, type: str, data: Any) -> Event:
    """As ``new_event``; the data is a copy, so that later changes to it change nothing."""
    return Event(session_id, seq, type, _now(), json.loads(_json(encode(data))))


def _now() -> str:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    fraction = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + fraction + "Z"


def _json(value: Any) -> bytes:
    found = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return sound(found).encode() + b"\n"


class SessionLogger:
    """Writes the log of one session; never raises, whatever becomes of the file.

    The file is made when the logger is (folders 0750, file 0600). If it exists, the logger
    goes on at its end and counts on from its last ``seq``; half an event that a killed writer
    left there is cut off, and nothing else is ever lost. ``fresh=True`` empties it instead.

    ``flush`` says when an event is safe: ``"event"`` (the default) hands each to the system
    before the call returns, so it survives the end of this process; ``"disk"`` waits for the
    disk too; ``"close"`` collects them and is the fastest.

    May be used from several threads, and as a context manager.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        session_id: str,
        *,
        fresh: bool = False,
        flush: str = "event",
    ) -> None:
        if flush not in ("event", "disk", "close"):
            raise ValueError(f"flush is event, disk or close, not {flush!r}")
        self.session_id = session_id
        self.path = os.path.join(directory, f"{session_id}.jsonl")
        self._flush = flush
        self._lock = threading.Lock()
        self._kept = bytearray()
        self._warned = False
        self._seq = 0
        self._file: int | None = None
        try:
            if os.path.basename(session_id) != session_id or not session_id:
                raise ValueError("a session id must be a file name")
            os.makedirs(directory, 0o750, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if fresh else 0)
            self._file = os.open(self.path, flags | getattr(os, "O_BINARY", 0), 0o600)
            self._seq = _resume(self._file)
        except (OSError, ValueError) as error:
            self._warn(error)

    def __enter__(self) -> SessionLogger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def emit(self, type: str, data: Any = None) -> None:
        """Writes an event of now with the next ``seq``."""
        with self._lock:
            try:
                event = _event_of(self.session_id, self._seq, type, data)
            except Exception as error:  # a caller's own classes may raise anything
                self._warn(error)
                event = Event(self.session_id, self._seq, type, _now())
            self._seq += 1
            self._write(event)

    def write(self, event: Event) -> None:
        """Writes an event as it is, its own ``seq`` and time included."""
        with self._lock:
            self._write(event)

    def callback(self) -> Callable[[Event], None]:
        """``write``, for a program that wants a function to call with its events."""
        return self.write

    def flush(self) -> None:
        """Hands what is still kept to the system."""
        with self._lock:
            self._drain()

    def close(self) -> None:
        """Writes what is kept and closes the file; may be called twice, later writes are lost."""
        with self._lock:
            self._drain()
            file, self._file = self._file, None
            if file is not None:
                try:
                    os.close(file)
                except OSError as error:
                    self._warn(error)

    def _write(self, event: Event) -> None:
        if self._file is None:
            return
        try:
            self._kept += event.line()
        except Exception as error:  # as in emit
            self._warn(error)
            return
        if self._flush != "close" or len(self._kept) >= _BUFFER:
            self._drain()

    def _drain(self) -> None:
        if self._file is None or not self._kept:
            return
        written = 0
        try:
            # nearly always one call: others who append to the file cannot come between
            while written < len(self._kept):
                written += os.write(self._file, self._kept[written:])
            if self._flush == "disk":
                os.fsync(self._file)
        except OSError as error:
            self._warn(error)
            if 0 < written < len(self._kept):
                self._take_back(written)
        self._kept.clear()

    def _take_back(self, written: int) -> None:
        """Removes part of an event from the end: a full disk must not spoil what comes later."""
        if self._file is not None:
            with suppress(OSError):
                os.ftruncate(self._file, os.lseek(self._file, 0, os.SEEK_CUR) - written)

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            reason = getattr(error, "strerror", None) or str(error)
            _LOG.warning("session log %s is incomplete: %s", self.path, reason)


def _resume(file: int) -> int:
    """Makes an open log ready to go on: a whole last line, and the ``seq`` that comes next."""
    size = os.lseek(file, 0, os.SEEK_END)
    block = _BUFFER
    while True:
        begin = max(0, size - block)
        os.lseek(file, begin, os.SEEK_SET)
        lines = _read(file, size - begin).split(b"\n")
        rest = lines.pop()
        whole = lines if begin == 0 else lines[1:]
        if begin == 0 or any(_seq(line) is not None for line in whole):
            break
        block *= 4
    if rest.strip():
        if _seq(rest) is None:
            os.ftruncate(file, size - len(rest))
        else:
            os.write(file, b"\n")
            whole.append(rest)
    return next((seq + 1 for line in reversed(whole) if (seq := _seq(line)) is not None), 0)


def _read(file: int, length: int) -> bytes:
    found = bytearray()
    while len(found) < length and (part := os.read(file, length - len(found))):
        found += part
    return bytes(found)


def _seq(line: bytes) -> int | None:
    try:
        return _event(json.loads(line)).seq
    except (ValueError, RecursionError):
        return None


def read_events(path: str | os.PathLike[str]) -> EventLog:
    """The events of a log, and the first thing wrong with it: ``missing``, ``unreadable``,
    ``malformed`` (no JSON, or no event) or ``truncated`` (the file ends inside an event).

    Never raises. Events after the place where it went wrong are not read.
    """
    log = EventLog([])
    for item in stream_events(path):
        if isinstance(item, Problem):
            return log._replace(problem=item)
        log.events.append(item)
    return log


def stream_events(path: str | os.PathLike[str]) -> Iterator[Event | Problem]:
    """As ``read_events``, one by one: memory is bounded by the longest event of the log.

    A problem, if there is one, comes last.
    """
    path = os.fspath(path)
    try:
        for offset, value in values(path):
            try:
                event = _event(value)
            except Undecodable as error:
                yield Problem("malformed", path, offset, f"decoding event: {error}")
                return
            yield event
    except FileNotFoundError:
        yield Problem("missing", path, None, "reading log: no such file")
    except OSError as error:
        yield Problem("unreadable", path, None, f"reading log: {error.strerror}")
    except Broken as error:
        yield Problem(error.kind, path, error.offset, "decoding event: not JSON")
    except ValueError:  # a path with a NUL byte
        yield Problem("unreadable", path, None, "reading log: no such path")


def _event(value: Any) -> Event:
    if value is None:
        return Event()
    if type(value) is not dict:
        raise Undecodable("not an object")
    found: dict[str, Any] = {}
    for key, item in value.items():
        name = key.lower()
        read = _ENVELOPE.get(name)
        if read is not None and item is not None:
            try:
                found[name] = read(item)
            except Undecodable as error:
                raise Undecodable(f"{name}: {error}") from None
    return Event(**found)


_ENVELOPE: dict[str, Callable[[Any], Any]] = {
    "session_id": read_text,
    "seq": read_whole,
    "type": read_text,
    "ts": read_time,
    "data": lambda value: value,
}
