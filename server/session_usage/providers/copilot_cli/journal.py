"""One pass over ``events.jsonl``, parsing only the lines that can matter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from session_usage.drift import drift
from session_usage.events import Cursor, Event, Source
from session_usage.jsonl import Scan, parse
from session_usage.kinds import types
from session_usage.providers.copilot_cli.records import READERS, proof
from session_usage.providers.copilot_cli.state import State, problem, unreadable
from session_usage.providers.copilot_cli.totals import checkpoint_glance
from session_usage.values import mapping, text, whole

_PLAIN_HEAD = b'{"type":"'
_USAGE_TYPES = ("session.", "model.model_call_success", "subagent.started")
_FULL_TYPES = (*_USAGE_TYPES, "user.message", "tool.execution_", "skill.invoked")
_MESSAGE = b'"assistant.message"'
_MESSAGE_HEAD = b'{"type":"assistant.message"'
_USAGE_HEADS = (*(_PLAIN_HEAD + name.encode() for name in _USAGE_TYPES), _MESSAGE_HEAD)
_FULL_HEADS = (*(_PLAIN_HEAD + name.encode() for name in _FULL_TYPES), _MESSAGE_HEAD)
_USAGE_NEEDLES = (*(b'"' + name.encode() for name in _USAGE_TYPES), _MESSAGE, b'"toolUsage"')
_FULL_NEEDLES = (*(b'"' + name.encode() for name in _FULL_TYPES), _MESSAGE)
_TOOL_USAGE = b'"toolUsage":{'
_TOOLS = b'{"type":"tool.execution_complete"'
_FULL_DULL = (b'{"type":"assistant.turn_',)
_USAGE_DULL = (b'{"type":"tool.execution_', *_FULL_DULL, b'{"type":"user.message"')
_HEAD_TYPE = re.compile(rb'\{\s*"type":\s*"([A-Za-z_.]+)"')
_BIG = 1 << 14
_NO_END = 1 << 62


def read_journal(source: Source, at: Cursor, full: bool) -> Iterator[Event]:
    """The events of a journal from the cursor on, and last the cursor."""
    state = State(source, at)
    scan = Scan(
        source.path,
        _FULL_NEEDLES if full else _USAGE_NEEDLES,
        at.offset,
        plain=_PLAIN_HEAD,
        heads=_FULL_HEADS if full else _USAGE_HEADS,
        anywhere=() if full else (_TOOL_USAGE,),
    )
    dull = _FULL_DULL if full else _USAGE_DULL
    at_first = dull if state.closed else (*dull, _MESSAGE_HEAD)
    before_tail: tuple[Any, ...] | None = None
    try:
        for offset, line, complete in scan.others(at_first, _TOOLS, _TOOL_USAGE, ord("U")):
            if not complete:
                before_tail = state.saved()
            if line.startswith(_MESSAGE_HEAD):
                if not state.closed:  # a last line
                    continue
                tokens = line.find(_OUTPUT)
                number = _NUMBER.match(line, tokens + len(_OUTPUT)) if tokens >= 0 else None
                if number:
                    state.output += int(number[0])
                continue
            if len(line) > _BIG:
                head = _HEAD_TYPE.match(line)
                if head and head[1] == b"session.usage_checkpoint":
                    yield from checkpoint_glance(source, state, offset, line)
                    continue
            event, wrong = parse(line, b'"data":')
            if wrong:
                yield problem(source, state, "malformed", offset, f"a line is {wrong}")
            if not event:
                continue
            name = text(event.get("type"))
            if name in _ENDS_RUN:
                if name == "session.shutdown" and _has_totals(event):
                    state.closed = True
                    scan.dull = dull
                else:
                    yield from _unread_messages(source, state, offset)
                state.unread, state.ended = offset, offset + len(line) + 1
            data = mapping(event.get("data"))
            if name == "assistant.message":  # with its keys in another order
                state.output += whole(data.get("outputTokens")) or 0
            read = READERS.get(name)
            if read:
                yield from read(source, state, offset, event, data)
        yield from _unread_messages(source, state, _NO_END if before_tail else scan.offset)
        if full:
            yield from drift(source, at.offset, "Copilot CLI", types())
    except OSError as error:
        yield unreadable(source, error)
    yield Cursor(scan.offset, before_tail or state.saved())


_ENDS_RUN = frozenset({"session.start", "session.resume", "session.shutdown"})
_OUTPUT = b'"outputTokens":'
_NUMBER = re.compile(rb"\d{1,15}")


def _has_totals(event: dict[str, Any]) -> bool:
    return bool(mapping(mapping(event.get("data")).get("modelMetrics")))


def _unread_messages(source: Source, state: State, end: int) -> Iterator[Event]:
    """The messages of a run that no total covers: proof of its calls, if nothing else is.

    Read in a pass of its own: most of a journal is messages, and most runs have totals.
    """
    if end in (state.unread, state.ended):
        return
    scan = Scan(source.path, start=state.unread, plain=_MESSAGE_HEAD, heads=(_MESSAGE_HEAD,))
    for offset, line, _ in scan.others(_USAGE_DULL):
        if offset >= end:
            break
        event, wrong = parse(line, b'"data":')
        if wrong:
            yield problem(source, state, "malformed", offset, f"a line is {wrong}")
        if event:
            yield proof(source, state, offset, event, mapping(event.get("data")))
