"""One pass over a transcript for totals: the calls of the usual shape without parsing them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from itertools import chain
from typing import Any

from session_usage.events import START, Calls, Cursor, Event, Request, Row, Source
from session_usage.jsonl import Scan, parse
from session_usage.providers.claude_code.columns import Written, rows
from session_usage.providers.claude_code.lines import (
    ENDS,
    GOES_ON,
    TYPE_WITHIN,
    USAGE,
    ends,
    repeats,
    skip,
    skip_for_totals,
)
from session_usage.providers.claude_code.transcript import Transcript
from session_usage.template import COUNT, TEXT, TIME, WORD, Alike, Path, Template, learn
from session_usage.values import instant, mapping, text

_DULL = (b'"type":"user"', b'"type":"tool_result"', b'"type":"attachment"', b'"type":"progress"')
"""Those of ``lines`` that most lines begin with, told at once."""
_USAGE: Path = ("message", "usage")
_KEY: Path = ("message", "id")
_TIME: Path = ("timestamp",)
_END: Path = ("message", "stop_reason")
_SAID: tuple[Path, ...] = (
    ("version",),
    ("sessionId",),
    ("gitBranch",),
    ("cwd",),
    ("agentId",),
    ("attributionAgent",),
    ("isSidechain",),
    ("message", "model"),
    (*_USAGE, "speed"),
    (*_USAGE, "service_tier"),
    (*_USAGE, "server_tool_use", "web_search_requests"),
)
"""What the calls have in common until a line says otherwise."""
_FIGURES: tuple[Path, ...] = (
    _END,
    (*_USAGE, "output_tokens"),
    (*_USAGE, "input_tokens"),
    (*_USAGE, "cache_read_input_tokens"),
    (*_USAGE, "cache_creation_input_tokens"),
    (*_USAGE, "cache_creation", "ephemeral_1h_input_tokens"),
    (*_USAGE, "cache_creation", "ephemeral_5m_input_tokens"),
    (*_USAGE, "output_tokens_details", "thinking_tokens"),
)
_WANTED = {
    **dict.fromkeys(_SAID, TEXT),
    **dict.fromkeys((_SAID[-1], *_FIGURES), COUNT),
    _END: TEXT,
    _KEY: WORD,
    _TIME: TIME,
}
_PARTS = 4
_FIXED = {("type",), *((*_USAGE, "iterations", number, "type") for number in range(_PARTS))}
_UNUSUAL = ("forkedFrom", "requestSessionId", "isAbortedMidStream", "isApiErrorMessage", "error")
"""What only lines of another meaning have: copies and failures."""
_JUMP: Path = ("message", "content")
_USAGE_WITHIN = 512
"""How far before its output the usage begins, and the end of the message before that."""
_OUTPUT = b'"output_tokens":'
_NONE = b"\n\n"
"""No line begins so."""
_UNLIKE = Alike(0, _NONE, 0, 0, b"")
_PATIENCE = 4
"""How many lines of a transcript are parsed for want of a shape before one is learned from."""
_MOST = 8
_BEFORE = 1 << 16
"""How far before a counter its time is looked for first."""
_met: list[Shape] = []
"""The shapes that this process has learned."""


class Shape:
    """A template, and where in it is what a call says."""

    def __init__(self, template: Template) -> None:
        self.fit = template.fit
        self.end = template.end
        self.alike = template.alike
        self.said = [
            [number for number, path in enumerate(paths, 1) if path in _SAID] or [len(paths) + 1]
            for paths in (template.heads, template.tails)
        ]
        (self.key,), _ = template.places(_KEY)
        _, (minute, *figures) = template.places(_TIME, *_FIGURES)
        end, self.output, *_ = figures
        self.figures = minute, end, minute + 1, minute + 2, *figures[1:]


def _learn(line: bytes) -> None:
    if len(_met) >= _MOST or line.find(b'"usage":') < 0:
        return
    if any(shape.fit(line) for shape in _met):
        return  # parsed for another reason
    record, reason = parse(line)
    if reason or not record.keys().isdisjoint(_UNUSUAL):
        return
    parts = mapping(mapping(record.get("message")).get("usage")).get("iterations")
    if type(parts) is list and (
        len(parts) > _PARTS or any(mapping(part).get("type") != "message" for part in parts)
    ):
        return  # some are calls of their own
    template = learn(line, record, _JUMP, _WANTED, _FIXED)
    if template and _KEY in template.heads and {_TIME, *_FIGURES[:3]} <= {*template.tails}:
        _met.append(Shape(template))


class Totals(Transcript):
    """One pass over a transcript from its beginning, for totals alone."""

    def __init__(self, source: Source) -> None:
        super().__init__(source, START, False)
        self.shape = _met[0] if _met else None
        self.parsed = 0
        """Lines of calls that fitted no shape."""
        self.calls: dict[tuple[Any, ...], Calls | None] = {}
        """By what they have in common; None: such lines are not usual."""
        self.common_to: tuple[Any, ...] = ()
        """What the last row has in common with others, as it is written."""
        self.alike: Alike = _UNLIKE
        """How lines begin that say so, too."""
        self.rows: list[Row] = []
        """Where the calls go that have this in common."""
        self.written: list[Written] = []
        """The last of them, not in ``rows`` yet."""
        self.key = b""
        """The message of the last row, as it is written."""
        self.late: list[Request] = []
        self.done = False
        """Is its final usage known?"""
        self.tail: re.Match[bytes] | None = None
        """The end of the line that it is read from."""
        self.again = _NONE
        """Its output, as it is written, and what follows it."""
        self.again_at = 0
        """Where that begins, counted from the end of its line."""

    def events(self) -> Iterator[Event | Calls]:  # type: ignore[override]
        """Every event of the transcript, and last the cursor."""
        found = [*self._once()]
        keys = [event.key for event in found if isinstance(event, Request)]
        keys += [row.key for calls in self.calls.values() if calls for row in calls.rows]
        if len(set(keys)) == len(keys):
            yield from found
        else:  # messages that were written side by side: which line counts takes a look at each
            yield from Transcript(self.source, START, False).events()

    def _once(self) -> Iterator[Event | Calls]:
        scan = Scan(self.path)
        try:
            for base, first, lines, _ in scan.blocks():
                yield from self._lines(base, first, lines)
        except OSError as error:
            yield self.unreadable(error)
        self._leave()
        self._settle()
        for calls in self.calls.values():
            if calls and calls.rows:
                yield calls
                times = [row.started_ms for row in calls.rows if row.started_ms is not None]
                self.seen_at(min(times))
                self.seen_at(max(times))
        yield from self.late
        yield from self.end()
        yield Cursor(scan.offset)

    def _record(self, record: dict[str, Any], offset: int) -> Iterator[Event]:
        if record.get("type") == "cost-state":
            self._catch_up(offset)
        return super()._record(record, offset)

    def _catch_up(self, offset: int) -> None:
        """Sees to the latest time before ``offset``, which is that of a counter there: most lines
        were passed over, and the time of a log goes on, so its last lines tell."""
        self._settle()
        for calls in self.calls.values():
            if calls and calls.rows and calls.rows[-1].started_ms is not None:
                self.seen_at(calls.rows[-1].started_ms)
        begin, size, found = offset, _BEFORE, False
        while begin and not found:
            begin = max(0, offset - size)
            size *= 8
            scan = Scan(self.path, start=begin, skip=skip)
            for at, buffer, first, stop, _ in scan.spans():
                if at >= offset:
                    break
                record, _ = parse(buffer[first:stop])
                if record and record.get("type") in ("user", "assistant"):
                    found = self.moment(record) is not None or found

    def _lines(self, base: int, first: bytes, lines: BytesIO) -> Iterator[Event]:
        """This loop runs for every line of every log."""
        at, before, key_begin, key_end, after = self.alike
        dull = _prompt(before)
        for line in chain((first,), lines):
            if line.startswith(dull, at):
                continue
            usual = line.startswith(before, at) and line.startswith(after, key_end)
            if usual:
                key = line[key_begin:key_end]
                if key == self.key and (self._said_again(line) or self._repeated(line)):
                    continue
                if self._goes_on(base, line, lines, key, key_end):
                    continue
            else:
                place = line.find(b'"type":', 0, TYPE_WITHIN)
                if line.startswith(_DULL, place):
                    continue
                marked = self.key and line.find(b'"id":"%s"' % self.key, 0, TYPE_WITHIN) >= 0
                if marked and self._repeated(line):
                    continue
            if not line.endswith(b"\n"):
                break  # it goes on in the next block
            offset = base + lines.tell() - len(line)
            if not self._counted(line, offset) and not skip_for_totals(line):
                self._leave(line)
                self.common_to, self.alike = (), _UNLIKE
                self.parsed += 1
                if self.parsed % _PATIENCE == 0:
                    _learn(line)
                yield from self.line(line[:-1], offset)
            at, before, key_begin, key_end, after = self.alike
            dull = _prompt(before)

    def _repeated(self, line: bytes) -> bool:
        """Does the line say again what the message's last one said?"""
        if self.tail is None:
            return False
        shape: Shape = self.common_to[0]
        usage = self.tail.string[self.tail.start() : self.tail.end(shape.output) + 1]
        end = repeats(line, usage[usage.rfind(USAGE) :])
        if end == ENDS and line.endswith(b"\n"):
            self.done = True
        return end in (ENDS, GOES_ON)

    def _said_again(self, line: bytes) -> bool:
        """The same of a line that begins as the message's last one and is as long after that."""
        at = len(line) - self.again_at
        if not line.startswith(self.again, at):
            return False
        if not self.done:
            self.done = ends(line, at - _USAGE_WITHIN, at) == ENDS
        return True

    def _goes_on(self, base: int, line: bytes, lines: BytesIO, key: bytes, begin: int) -> bool:
        """Is the line, which begins as the last one that was counted, like it in all else? Then
        what it says is counted."""
        shape: Shape = self.common_to[0]
        tail = shape.end(line, begin)
        if tail is None or tail.group(*shape.said[1]) != self.common_to[2]:
            return False
        if not (key.isascii() and key.decode().isidentifier()):  # an ordinary word is one
            return False
        return self._count(base + lines.tell() - len(line), line, shape, key, tail)

    def _counted(self, line: bytes, offset: int) -> bool:
        """Is the line of a known shape? Then what it says is counted."""
        shape = self.shape
        found = shape.fit(line) if shape else None
        if found is None or shape is None:
            for shape in _met:
                found = shape.fit(line)
                if found is not None:
                    self.shape = shape
                    break
            else:
                return False
        head, tail = found
        key = head[shape.key]
        said = shape, head.group(*shape.said[0]), tail.group(*shape.said[1])
        # the next line of a message that says something else is for the parser
        if said != self.common_to and (key == self.key or not self._says(said, line[:-1])):
            return False
        if not self._count(offset, line, shape, key, tail):
            return False
        self.alike = shape.alike(line, head, shape.key) or _UNLIKE
        return True

    def _count(
        self, offset: int, line: bytes, shape: Shape, written: bytes, tail: re.Match[bytes]
    ) -> bool:
        """Counts what a line of a message says that has all else in common with the last row."""
        minute, end, *_ = figures = tail.group(*shape.figures)
        at_ms = _minutes.get(minute) or _minute(minute)
        if at_ms is None:
            return False
        key = written.decode()
        call = key, offset, at_ms, figures[2:]
        if written != self.key:
            if key in self.seen:
                return False
            if not self.done:
                self._leave()
            self.key, self.done = written, end != b"null"
            self.written.append(call)
        else:
            self._settle()
            best, (row,) = self.rows[-1], rows([call])
            more = (row.output_tokens or 0) - (best.output_tokens or 0)
            if more <= 0:
                self.done = self.done or (not more and end != b"null")
                return True
            self.rows[-1] = row._replace(started_ms=best.started_ms)
            self.done = end != b"null"
        begin, stop = tail.span(shape.output)
        begin -= len(_OUTPUT)
        self.tail, self.again, self.again_at = tail, line[begin : stop + 1], len(line) - begin
        return True

    def _settle(self) -> None:
        """Makes rows of what is written."""
        if self.written:
            self.rows += rows(self.written)
            self.written.clear()

    def _says(self, said: tuple[Any, ...], line: bytes) -> bool:
        """Remembers what a line of a known shape says of its session and its call, if it says
        something else than the line before. False: it is no usual line."""
        record, reason = parse(line, b'"usage":')
        if reason or not record:
            return False
        message = record["message"]
        model = text(message.get("model"))
        self.common(record)
        if said not in self.calls:
            shared = self.call(0, "", None, model, "ok", message["usage"])
            usual = model and model != "<synthetic>" and not shared.copied
            self.calls[said] = Calls(shared, []) if usual else None
        calls = self.calls[said]
        if calls is None:
            return False
        if self.rows is not calls.rows:
            self._leave()
            self._settle()
            self.rows = calls.rows
        self.common_to, self.alike = said, _UNLIKE
        self.facts["model"] = model
        return True

    def _leave(self, line: bytes | None = None) -> None:
        """What follows is another message, or a ``line`` that must be parsed."""
        if self.key and (line is not None or not self.done):
            (best,) = rows(self.written[-1:]) if self.written else self.rows[-1:]
            left = self.remember(best.key, [best.started_ms, best.output_tokens, self.done, False])
            calls = self.calls[self.common_to]
            if calls and line is not None and self.key in line:  # it may take this one's place
                self._settle()
                (self.open[best.key],) = calls._replace(rows=[self.rows.pop()]).requests()
            if left:
                self.late.append(left)
        self.key = b""


def _prompt(before: bytes) -> bytes:
    """How a prompt or a tool's result goes on where a call goes on with ``before``."""
    said, kind, _ = before.partition(b'"type":"assistant"')
    return said + b'"type":"user"' if kind else _NONE


_minutes: dict[bytes, int] = {}


def _minute(written: bytes) -> int | None:
    """Epoch milliseconds of a minute; None where there is no such day."""
    at_ms = instant(written.decode() + ":00.000Z")
    if at_ms is not None:
        if len(_minutes) > 5000:
            _minutes.clear()
        _minutes[written] = at_ms
    return at_ms
