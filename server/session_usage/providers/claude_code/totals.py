"""One pass over a transcript for totals: the calls of the usual shape without parsing them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from session_usage.events import START, Calls, Cursor, Event, Request, Row, Source
from session_usage.jsonl import Scan, parse
from session_usage.providers.claude_code.lines import (
    ENDS,
    GOES_ON,
    TYPE_WITHIN,
    USAGE,
    repeats,
    skip,
    skip_for_totals,
)
from session_usage.providers.claude_code.transcript import Transcript
from session_usage.template import COUNT, TEXT, TIME, WORD, Path, Template, learn
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
_PATIENCE = 4
"""How many lines of a transcript are parsed for want of a shape before one is learned from."""
_MOST = 8
_new = tuple.__new__
_BEFORE = 1 << 16
"""How far before a counter its time is looked for first."""
_met: list[Shape] = []
"""The shapes that this process has learned."""


class Shape:
    """A template, and where in it is what a call says."""

    def __init__(self, template: Template) -> None:
        self.fit = template.fit
        self.said = [
            [number for number, path in enumerate(paths, 1) if path in _SAID]
            for paths in (template.heads, template.tails)
        ]
        (self.key,), _ = template.places(_KEY)
        _, (minute, *figures) = template.places(_TIME, *_FIGURES)
        self.figures = minute, minute + 1, minute + 2, *figures
        self.output = figures[1]


def _learn(line: bytearray) -> None:
    if len(_met) >= _MOST or line.find(b'"usage":') < 0:
        return
    if any(shape.fit(line, 0, len(line)) for shape in _met):
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
        self.rows: list[Row] = []
        self.key = self.mark = b""
        """The message of the last row, as it is written."""
        self.late: list[Request] = []
        self.done = False
        """Is its final usage known?"""
        self.usage = b""
        """Its usage, as it is written, up to the output."""

    def events(self) -> Iterator[Event | Calls]:  # type: ignore[override]
        """Every event of the transcript, and last the cursor."""
        scan = Scan(self.path)
        try:
            for base, buffer, last, _ in scan.chunks():
                yield from self._lines(base, buffer, last)
        except OSError as error:
            yield self.unreadable(error)
        self._leave()
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

    def _lines(self, base: int, buffer: bytearray, last: int) -> Iterator[Event]:
        """This loop runs for every line of every log."""
        find, starts = buffer.find, buffer.startswith
        stop = -1
        while stop < last:
            begin = stop + 1
            stop = find(b"\n", begin, last + 1)
            at = find(b'"type":', begin, stop)
            if starts(_DULL, at) and at - begin <= TYPE_WITHIN:
                continue
            if self.mark and find(self.mark, begin, min(stop, begin + TYPE_WITHIN)) >= 0:
                end = repeats(buffer, begin, stop, self.usage) if self.usage else 0
                if end == GOES_ON:
                    continue
                if end == ENDS:
                    self.done = True
                    continue
            if self._counted(base, buffer, begin, stop) or skip_for_totals(buffer, begin, stop):
                continue
            line = buffer[begin:stop]
            self._leave(line)
            self.common_to = ()
            self.parsed += 1
            if self.parsed % _PATIENCE == 0:
                _learn(line)
            yield from self.line(line, base + begin)

    def _counted(self, base: int, buffer: bytearray, begin: int, stop: int) -> bool:
        """Is the line of a known shape? Then what it says is counted."""
        shape = self.shape
        found = shape.fit(buffer, begin, stop) if shape else None
        if found is None or shape is None:
            for shape in _met:
                found = shape.fit(buffer, begin, stop)
                if found is not None:
                    self.shape = shape
                    break
            else:
                return False
        head, tail = found
        said = shape, head.group(*shape.said[0]), tail.group(*shape.said[1])
        # the next line of a message that says something else is for the parser
        if said != self.common_to and (
            head[shape.key] == self.key or not self._says(said, buffer[begin:stop])
        ):
            return False
        figures: tuple[Any, ...] = tail.group(*shape.figures)
        minute, second, thousandth, end, output, prompt, read, write, hour, rest, thought = figures
        at_ms = _minutes.get(minute) or _minute(minute)
        if at_ms is None:
            return False
        at_ms += int(second + thousandth)
        written, used, ended = head[shape.key], int(output), end != b"null"
        key = written.decode()
        if written == self.key:
            best = self.rows[-1]
            if used <= (best.output_tokens or 0):
                self.done = self.done or (ended and used == best.output_tokens)
                return True
            at_ms = best.started_ms
            self.rows.pop()
        elif key in self.seen:
            return False
        else:
            if not self.done:
                self._leave()
            self.key, self.mark = written, b'"id":"%s"' % written
        self.done = ended
        stop = tail.end(shape.output)
        at = buffer.rfind(USAGE, begin, stop)
        self.usage = bytes(buffer[at:stop]) if at >= 0 else b""
        prompt = int(prompt)
        if read:
            read = int(read)
            prompt += read
        if write:
            write = int(write)
        if hour or rest:
            parts = int(rest or 0)
            if hour:
                hour = int(hour)
                parts += hour
            if write is None or parts > write:
                write = parts
        if write:
            prompt += write
        if thought:
            thought = int(thought)
        own = key, base + begin, at_ms, prompt, read, write, hour, used, thought, None, None, None
        self.rows.append(_new(Row, own))
        return True

    def _says(self, said: tuple[Any, ...], line: bytearray) -> bool:
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
            self.rows = calls.rows
        self.common_to = said
        self.facts["model"] = model
        return True

    def _leave(self, line: bytearray | None = None) -> None:
        """What follows is another message, or a ``line`` that must be parsed."""
        if self.key and (line is not None or not self.done):
            best = self.rows[-1]
            left = self.remember(best.key, [best.started_ms, best.output_tokens, self.done, False])
            calls = self.calls[self.common_to]
            if calls and line is not None and self.key in line:  # it may take this one's place
                (self.open[best.key],) = calls._replace(rows=[self.rows.pop()]).requests()
            if left:
                self.late.append(left)
        self.key = self.mark = b""


_minutes: dict[bytes, int] = {}


def _minute(written: bytes) -> int | None:
    """Epoch milliseconds of a minute; None where there is no such day."""
    at_ms = instant(written.decode() + ":00.000Z")
    if at_ms is not None:
        if len(_minutes) > 5000:
            _minutes.clear()
        _minutes[written] = at_ms
    return at_ms
