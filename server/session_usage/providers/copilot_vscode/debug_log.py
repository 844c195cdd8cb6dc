"""Debug logs: one ``llm_request`` a call, with its bill."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from operator import gt
from typing import Any

from session_usage.drift import drift
from session_usage.events import (
    Calls,
    Cursor,
    Event,
    Meta,
    Problem,
    Request,
    Row,
    Source,
    ToolCall,
    Turn,
    oddity,
)
from session_usage.jsonl import Scan, parse, parse_any
from session_usage.money import nano
from session_usage.providers.copilot_vscode.base import (
    AGENT,
    malformed,
    purpose,
    surface_of,
    unreadable,
)
from session_usage.values import text, whole

_CALL = b'"llm_request"'
_NEEDLES = (_CALL, b'"child_session_ref"', b'"session_start"', b'"user_message"', b'"tool_call"')
_TEXTS = (b'"userRequest":"', b'"inputMessages":"')
_LONG = 1 << 10
_MOST = 10**18
_KNOWN_TYPES = frozenset(
    {
        "session_start", "user_message", "turn_start", "turn_end", "llm_request", "agent_response",
        "tool_call", "subagent", "child_session_ref", "hook", "discovery", "generic", "error",
    }
)  # fmt: skip


_N, _T = r"(?:0|[1-9]\d{0,17})", r'"[ !#-\[\]-~]*"'
_E = r'"(?:[ !#-\[\]-~]|\\["\\/bfnrt])*"'
# A call as the programs write it, in two parts: up to its long texts, or to its end where it
# has none, and what is behind them. ``(?:x|)`` is ``(?:x)?`` in half the time.
_head = re.compile(
    (
        rf'\{{"ts":({_N}),"dur":({_N}),"sid":{_T},"type":"llm_request","name":{_T},'
        rf'"spanId":"([0-9a-f]+)",(?:"parentSpanId":{_T},|)"status":"(?:ok|error)",'
        rf'"attrs":\{{("model":{_T}(?:,"debugName":{_T}|)),(?:"maxTokens":{_N},|)'
        rf'"inputTokens":({_N}),"outputTokens":({_N}),"cachedTokens":({_N})'
        rf'(?:,"copilotUsageNanoAiu":({_N})|)(?:,"ttft":{_N}|)(?:,"responseId":{_T}|)'
        r'(?:\}\}\n|,"(userRequest|inputMessages)":(?="))'
    ).encode()
).match
_tail = re.compile(
    (
        rf'"(?:,"maxTokens":{_N}|)(?:,"temperature":{_N}(?:\.\d+)?|)(?:,"topP":{_N}(?:\.\d+)?|)'
        rf'(?:,"requestOptions":{_E}|)(?:,"requestShape":{_E}|)'
        rf'(?:,"copilotUsageNanoAiu":({_N})|)(?:,"systemPromptFile":{_T}|)(?:,"toolsFile":{_T}|)'
        r"\}\}\n"
    ).encode()
).match
_text_end = re.compile(rb'","(inputMessages":(?="))?').search  # in half the time of bytes.find


_Usual = tuple[int, tuple[Any, ...]]
"""A call's offset and the groups of ``_head``."""


class DebugLog:
    """One stream of a session, to be read once, from a cursor on."""

    def __init__(self, source: Source, at: Cursor) -> None:
        self.source = source
        self.session = source.session or ""
        state = at.state or (None, None, None, None, None, False)
        self.child, self.label, self.parent, self.turn, self.skill, self.began = state
        name = os.path.basename(source.path)
        if not at.state and name not in ("main.jsonl", f"{self.session}.jsonl"):
            self.label = name[:-6]
        self.path = self._path()
        self.settled = at.offset != 0  # what the first lines decide is decided
        self.scan = Scan(source.path, _NEEDLES, at.offset, first=at.offset == 0)

    def events(self) -> Iterator[Event]:
        """All that it says, and last the cursor."""
        before_tail: tuple[Any, ...] | None = None
        try:
            for offset, buffer, begin, stop, complete in self.scan.spans():
                if not complete:
                    before_tail = self._state()
                yield from self._line(offset, buffer, begin, stop)
            yield from drift(self.source, self.scan.start, "Copilot Chat", _KNOWN_TYPES)
        except OSError as error:
            yield unreadable(self.source, error)
        yield Cursor(self.scan.offset, before_tail or self._state())

    def totals(self) -> Iterator[Event | Calls]:
        """What a total needs, and last the cursor; calls of the usual shape come together."""
        before_tail: tuple[Any, ...] | None = None
        usual: list[_Usual] = []
        try:
            for base, buffer, last, complete in self.scan.chunks():
                if not complete:
                    before_tail = self._state()
                yield from self._chunk(base, buffer, last, usual)
        except OSError as error:
            yield unreadable(self.source, error)
        yield from self._together(usual)
        yield Cursor(self.scan.offset, before_tail or self._state())

    def _chunk(
        self, base: int, buffer: bytearray, last: int, usual: list[_Usual]
    ) -> Iterator[Event | Calls]:
        """What the lines in ``buffer[: last + 1]`` say; usual calls are put into ``usual``.

        Usual is what ``_line`` would make the same call of, without a problem.
        """
        find, rfind = buffer.find, buffer.rfind
        begin = 0
        while not self.settled and begin <= last:  # what the first lines are, as in ``events``
            stop = find(b"\n", begin, last + 1)
            if not base + begin or any(find(needle, begin, stop) >= 0 for needle in _NEEDLES):
                yield from self._line(base + begin, buffer, begin, stop, full=False)
            begin = stop + 1
        at = find(_CALL, begin, last)
        while at >= 0:
            begin = rfind(b"\n", 0, at) + 1
            found = _head(buffer, begin)
            if found:
                call = found.groups()
                if call[-1]:
                    found = _after_texts(buffer, begin, found.end(), call[-1])
                    if found and found[1]:
                        call = (*call[:-2], found[1], None)
            if found:
                usual.append((base + begin, call))
                stop = found.end() - 1
            else:
                yield from self._together(usual)  # they come before it
                stop = find(b"\n", at, last + 1)
                yield from self._line(base + begin, buffer, begin, stop, full=False)
            at = find(_CALL, stop, last)

    def _together(self, usual: list[_Usual]) -> Iterator[Event | Calls]:
        """The usual calls so far, by what they share, and what is odd about them."""
        if not usual:
            return
        offsets, found = zip(*usual, strict=True)
        usual.clear()
        started, took, spans, kinds, prompt, output, cached, amount, _ = zip(*found, strict=True)
        # parsed together, numbers take a fifth of the time that int() takes for each
        digits = started, took, prompt, output, cached, [each or b"null" for each in amount]
        started, took, prompt, output, cached, amount = parse_any(
            b"[[" + b"],[".join(map(b",".join, digits)) + b"]]"
        )
        stream = self.child or self.session
        links = [span.decode() for span in spans]
        keys = [f"{stream}:{link}:{at_ms}" for link, at_ms in zip(links, started, strict=True)]
        none = [None] * len(keys)
        columns = (
            keys, offsets, started, prompt, cached, none, none, output, none, amount, took, links
        )  # fmt: skip
        rows = map(Row._make, zip(*columns, strict=True))
        by_kind: dict[bytes, list[Row]] = {}
        for kind, row in zip(kinds, rows, strict=True):
            if kind in by_kind:
                by_kind[kind].append(row)
            else:
                by_kind[kind] = [row]
        together = []
        for kind, own in by_kind.items():
            attrs, _ = parse(b'{"outputTokens":0,' + kind + b"}")
            together.append(Calls(self._request(0, {}, attrs), own))
        yield from together
        if any(map(gt, cached, prompt)):
            calls = [request for each in together for request in each.requests()]
            for request in sorted(calls, key=lambda call: call.offset):
                yield from self._oddity(request, request.nano_aiu)

    def _state(self) -> tuple[Any, ...]:
        return self.child, self.label, self.parent, self.turn, self.skill, self.began

    def _path(self) -> tuple[str, ...]:
        """Names from the first subagent down; ids stand in for names that another file knows."""
        if self.label is None or surface_of(self.label) != "chat":
            return ()
        own = self.child or _short(self.label) or self.label
        return (self.parent, own) if self.parent and self.parent != self.session else (own,)

    def _line(
        self, offset: int, buffer: bytearray, begin: int, stop: int, full: bool = True
    ) -> Iterator[Event]:
        """What one line says, parsed."""
        source, log, session = self.source, self.source.path, self.session
        if not offset and not any(buffer.find(n, 0, stop) >= 0 for n in _NEEDLES):
            if not buffer.startswith(b"{", begin):
                yield malformed(source, 0, "not JSON")
            return
        long = stop - begin > _LONG
        line = _without_texts(buffer, begin, stop) if long else buffer[begin:stop]
        data, wrong = parse(line, b'"attrs":')
        if wrong:  # perhaps the line, perhaps the cutting
            data, wrong = parse(buffer[begin:stop], b'"attrs":')
        if wrong:
            yield malformed(source, offset, wrong)
        if not data:
            return
        kind = data.get("type")
        attrs = data.get("attrs")
        if attrs.__class__ is not dict:
            attrs = {}
        if kind == "session_start":
            self.began = True
            self.label = text(attrs.get("label")) or self.label
            self.parent = text(attrs.get("parentSessionId")) or self.parent
            self.settled = False
            if not self.label:
                version = text(attrs.get("copilotVersion"))
                yield Meta(AGENT, session, log, version=version, rank=1)
        if not self.settled:
            self.settled = True
            if self.label and self.child is None:
                stream = text(data.get("sid"))
                if stream and stream != session:
                    self.child, self.label = stream, _without_id(self.label, stream)
            self.path = self._path()
            if not self.began and not self.label:
                self.began = True
                yield Problem(
                    "truncated", log, offset,
                    "the beginning of this log was cut off; what it held is missing from totals",
                    AGENT, session,
                )  # fmt: skip
        if kind == "llm_request":
            request = self._request(offset, data, attrs)
            yield request
            yield from self._oddity(request, attrs.get("copilotUsageNanoAiu"))
        elif kind == "child_session_ref":
            other = text(attrs.get("childSessionId"))
            title = text(attrs.get("childTitle")) or _short(text(attrs.get("label")))
            if other and title:
                yield Meta(AGENT, session, log, names=((other, title),))
        elif not full:
            return
        elif kind == "user_message":
            at_ms = whole(data.get("ts"))
            self.turn = f"{data.get('spanId')}:{at_ms}"
            self.skill = _command(text(attrs.get("content"))) or self.skill
            if not self.label:
                yield Turn(self.turn, AGENT, session, log, offset, at_ms)
        elif kind == "tool_call":
            yield ToolCall(
                f"{self.child or session}:{data.get('spanId')}:{data.get('ts')}@{offset}",
                AGENT, session, log, offset, whole(data.get("ts")),
                text(data.get("name")) or "unknown", self.path, self.skill, self.turn,
                data.get("status") != "error", whole(data.get("dur")),
            )  # fmt: skip

    def _oddity(self, request: Request, figure: Any) -> Iterator[Problem]:
        cached, prompt = request.cache_read_tokens, request.input_tokens
        if request.nano_aiu != figure or (cached or 0) > (prompt or 0):
            odd = oddity(request, figure)
            if odd:
                log, offset = self.source.path, request.offset
                yield Problem("malformed", log, offset, f"a call {odd}", AGENT, self.session)

    def _request(self, offset: int, data: dict[str, Any], attrs: dict[str, Any]) -> Request:
        get = attrs.get
        label, child = self.label, self.child
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
                f"{child or self.session}:{span or offset}:{started}",
                AGENT,
                self.session,
                "debug-log",
                self.source.path,
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
                self.path,
                child if label else None,
                self.turn if not label else None,
                self.skill,
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


def _after_texts(buffer: bytearray, begin: int, end: int, first: bytes) -> Any:
    """The match of what follows a call's long texts, the first of which begins at ``end``.

    They are passed over as in ``_without_texts``; None where they are not as they should be.
    """
    stop = buffer.find(b"\n", end)
    if stop - begin <= _LONG:  # such a line is parsed as a whole
        return None
    found = _text_end(buffer, end, stop)
    if found and found[1] and first == b"userRequest":
        found = _text_end(buffer, found.end(), stop)
    return _tail(buffer, found.start()) if found else None


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


def _command(content: str | None) -> str | None:
    """The slash command a message begins with: its name only, ``/ns:x`` as ``/ns x``."""
    words = content.split(None, 1) if content else []
    if not words or not words[0].startswith("/") or len(words[0]) < 2 or "/" in words[0][1:]:
        return None
    return words[0].replace(":", " ", 1)


_new = tuple.__new__
