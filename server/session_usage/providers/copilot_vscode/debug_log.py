"""Debug logs: one ``llm_request`` a call, with its bill."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from session_usage.drift import drift
from session_usage.events import (
    Cursor,
    Event,
    Meta,
    Problem,
    Request,
    Source,
    ToolCall,
    Turn,
    oddity,
)
from session_usage.jsonl import Scan, parse, text, whole
from session_usage.money import nano
from session_usage.providers.copilot_vscode.base import (
    AGENT,
    malformed,
    purpose,
    surface_of,
    unreadable,
)

_USAGE_NEEDLES = (b'"llm_request"',)
_FULL_NEEDLES = (
    *_USAGE_NEEDLES,
    b'"child_session_ref"',
    b'"session_start"',
    b'"user_message"',
    b'"tool_call"',
)
_TEXTS = (b'"userRequest":"', b'"inputMessages":"')
_LONG = 1 << 10
_MOST = 10**18
_KNOWN_TYPES = frozenset(
    {
        "session_start", "user_message", "turn_start", "turn_end", "llm_request", "agent_response",
        "tool_call", "subagent", "child_session_ref", "hook", "discovery", "generic", "error",
    }
)  # fmt: skip


def read_debug_log(source: Source, at: Cursor, full: bool) -> Iterator[Event]:
    """The events of one stream of a session from the cursor on, and last the cursor."""
    session = source.session or ""
    name = os.path.basename(source.path)
    child, label, parent, turn, skill, began = at.state or (None, None, None, None, None, False)
    if not at.state and name not in ("main.jsonl", f"{session}.jsonl"):
        label = name[:-6]
    needles = _FULL_NEEDLES if full else _USAGE_NEEDLES
    scan = Scan(source.path, needles, at.offset, first=at.offset == 0)
    log = source.path
    path = _path(child, label, parent, session)
    before_tail: tuple[Any, ...] | None = None
    settled = at.offset != 0  # what the first lines decide is decided
    try:
        for offset, buffer, begin, stop, complete in scan.spans():
            if not complete:
                before_tail = (child, label, parent, turn, skill, began)
            if not offset and not any(buffer.find(n, 0, stop) >= 0 for n in _FULL_NEEDLES):
                if not buffer.startswith(b"{", begin):
                    yield malformed(source, 0, "not JSON")
                continue
            long = stop - begin > _LONG
            line = _without_texts(buffer, begin, stop) if long else buffer[begin:stop]
            data, wrong = parse(line, b'"attrs":')
            if wrong:  # perhaps the line, perhaps the cutting
                data, wrong = parse(buffer[begin:stop], b'"attrs":')
            if wrong:
                yield malformed(source, offset, wrong)
            if not data:
                continue
            kind = data.get("type")
            attrs = data.get("attrs")
            if attrs.__class__ is not dict:
                attrs = {}
            if kind == "session_start":
                began = True
                label = text(attrs.get("label")) or label
                parent = text(attrs.get("parentSessionId")) or parent
                settled = False
                if not label:
                    version = text(attrs.get("copilotVersion"))
                    yield Meta(AGENT, session, log, version=version, rank=1)
            if not settled:
                settled = True
                if label and child is None:
                    stream = text(data.get("sid"))
                    if stream and stream != session:
                        child, label = stream, _without_id(label, stream)
                path = _path(child, label, parent, session)
                if not began and not label:
                    began = True
                    yield Problem(
                        "truncated", log, offset,
                        "the beginning of this log was cut off; "
                        "what it held is missing from totals",
                        AGENT, session,
                    )  # fmt: skip
            if kind == "llm_request":
                request = _request(
                    log, session, offset, data, attrs, child, label, path, turn, skill
                )
                yield request
                figure = attrs.get("copilotUsageNanoAiu")
                if request.nano_aiu != figure or (request.cache_read_tokens or 0) > (
                    request.input_tokens or 0
                ):
                    odd = oddity(request, figure)
                    if odd:
                        yield Problem("malformed", log, offset, f"a call {odd}", AGENT, session)
            elif kind == "child_session_ref":
                other = text(attrs.get("childSessionId"))
                title = text(attrs.get("childTitle")) or _short(text(attrs.get("label")))
                if other and title:
                    yield Meta(AGENT, session, log, names=((other, title),))
            elif not full:
                continue
            elif kind == "user_message":
                at_ms = whole(data.get("ts"))
                turn = f"{data.get('spanId')}:{at_ms}"
                skill = _command(text(attrs.get("content"))) or skill
                if not label:
                    yield Turn(turn, AGENT, session, log, offset, at_ms)
            elif kind == "tool_call":
                yield ToolCall(
                    f"{child or session}:{data.get('spanId')}:{data.get('ts')}@{offset}",
                    AGENT, session, log, offset, whole(data.get("ts")),
                    text(data.get("name")) or "unknown", path, skill, turn,
                    data.get("status") != "error", whole(data.get("dur")),
                )  # fmt: skip
        if full:
            yield from drift(source, at.offset, "Copilot Chat", _KNOWN_TYPES)
    except OSError as error:
        yield unreadable(source, error)
    yield Cursor(scan.offset, before_tail or (child, label, parent, turn, skill, began))


def _without_texts(buffer: bytearray, begin: int, stop: int) -> bytearray:
    """A line with its long prompt texts cut out, which are most of it and tell nothing.

    Inside a JSON text ``","`` can only be an escaped quote, a comma and the closing quote;
    cut there, the line is no JSON any more and is read again as a whole.
    """
    kept = bytearray()
    for name in _TEXTS:
        at = buffer.find(name, begin, stop)
        end = buffer.find(b'","', at, stop) if at >= 0 else -1
        if end >= 0:
            kept += buffer[begin : at + len(name)]
            begin = end
    return kept + buffer[begin:stop]


def _without_id(label: str, stream: str) -> str:
    """The label in a child's file name ``<label>-<id>.jsonl``; ids may be written otherwise."""
    ending = "-" + stream
    return label[: -len(ending)] if label.endswith(ending) else label


def _short(label: str | None) -> str | None:
    return label.removeprefix("runSubagent-") if label else None


def _path(
    child: str | None, label: str | None, parent: str | None, session: str
) -> tuple[str, ...]:
    """Names from the first subagent down; ids stand in for names that another file knows."""
    if label is None or surface_of(label) != "chat":
        return ()
    own = child or _short(label) or label
    return (parent, own) if parent and parent != session else (own,)


def _command(content: str | None) -> str | None:
    """The slash command a message begins with: its name only, ``/ns:x`` as ``/ns x``."""
    words = content.split(None, 1) if content else []
    if not words or not words[0].startswith("/") or len(words[0]) < 2 or "/" in words[0][1:]:
        return None
    return words[0].replace(":", " ", 1)


def _request(
    path: str,
    session: str,
    offset: int,
    data: dict[str, Any],
    attrs: dict[str, Any],
    child: str | None,
    label: str | None,
    subagent: tuple[str, ...],
    turn: str | None,
    skill: str | None,
) -> Request:
    get = attrs.get
    span = data.get("spanId")
    started = data.get("ts")
    if started.__class__ is not int:
        started = whole(started)
    site = get("debugName")
    prompt, cached, output = get("inputTokens"), get("cachedTokens"), get("outputTokens")
    took, first = data.get("dur"), get("ttft")
    status = "ok"
    if output is None and data.get("status") == "error":
        reason = str(get("error", "")).lower()
        status = "cancelled" if "abort" in reason or "cancel" in reason else "error"
    run = data.get("rIdx")
    surface, billing = purpose(label, site if site.__class__ is str else None)
    # built as a plain tuple: this line runs for every call of every log
    return _new(
        Request,
        (
            f"{child or session}:{span or offset}:{started}",
            AGENT,
            session,
            "debug-log",
            path,
            offset,
            started,
            text(get("model")),
            None,
            billing,
            status,
            prompt if prompt.__class__ is int and 0 <= prompt < _MOST else whole(prompt),
            cached if cached.__class__ is int and 0 <= cached < _MOST else whole(cached),
            None,
            None,
            output if output.__class__ is int and 0 <= output < _MOST else whole(output),
            None,
            nano(get("copilotUsageNanoAiu")),
            took if took.__class__ is int and 0 <= took < _MOST else whole(took),
            first if first.__class__ is int and 0 <= first < _MOST else whole(first),
            surface,
            subagent,
            child if label else None,
            turn if not label else None,
            skill,
            None,
            None,
            False,
            False,
            False,
            None,
            None,
            (f"{span}:r{run}" if run else span) if span.__class__ is str else None,
        ),
    )


_new = tuple.__new__
