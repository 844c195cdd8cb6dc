"""One pass over a transcript for totals: the calls of the usual shape without parsing them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from session_usage.events import START, Calls, Cursor, Event, Request, Row, Source
from session_usage.jsonl import Scan, instant, parse, text
from session_usage.providers.claude_code.lines import TYPE_WITHIN, repeats, skip_for_totals
from session_usage.providers.claude_code.transcript import Transcript
from session_usage.template import COUNT, TEXT, TIME, WORD, Path, Template, learn

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
    (*_USAGE, "input_tokens"),
    (*_USAGE, "cache_read_input_tokens"),
    (*_USAGE, "cache_creation_input_tokens"),
    (*_USAGE, "cache_creation", "ephemeral_1h_input_tokens"),
    (*_USAGE, "cache_creation", "ephemeral_5m_input_tokens"),
    (*_USAGE, "output_tokens"),
    (*_USAGE, "output_tokens_details", "thinking_tokens"),
)
_WANTED = {
    **dict.fromkeys((*_SAID, _END), TEXT),
    **dict.fromkeys((_SAID[-1], *_FIGURES), COUNT),
    _KEY: WORD,
    _TIME: TIME,
}
_FIXED = frozenset({("type",), *((*_USAGE, "iterations", number, "type") for number in range(4))})
_UNUSUAL = ("forkedFrom", "requestSessionId", "isAbortedMidStream", "isApiErrorMessage", "error")
"""What only lines of another meaning have: copies and failures."""
_JUMP: Path = ("message", "content")
_PATIENCE = 4
"""How many lines of a transcript are parsed for want of a shape before one is learned from."""
_MOST = 8
_met: list[Shape] = []
"""The shapes that this process has learned."""


class Shape:
    """A template, and where in it is what a call says."""

    def __init__(self, template: Template) -> None:
        self.fit = template.fit
        self.said = template.places(*_SAID)
        (self.key,), _ = template.places(_KEY)
        _, self.figures = template.places(*_FIGURES)
        _, (self.end, minute) = template.places(_END, _TIME)
        self.time = minute, minute + 1, minute + 2
        self.output = self.figures[5]


def _learn(line: bytearray) -> None:
    if len(_met) >= _MOST or line.find(b'"usage":') < 0:
        return
    record, reason = parse(line)
    if reason or not record.keys().isdisjoint(_UNUSUAL):
        return
    template = learn(line, record, _JUMP, _WANTED, _FIXED)
    if (
        template
        and _KEY in template.heads
        and {_END, _TIME, _FIGURES[0], _FIGURES[5]} <= {*template.tails}
    ):
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
                times = [row[2] for row in calls.rows if row[2] is not None]
                self.seen_at(min(times))
                self.seen_at(max(times))
        yield from self.late
        yield from self.end()
        yield Cursor(scan.offset)

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
                if self.done:
                    continue
                end = repeats(buffer, begin, stop, self.usage) if self.usage else None
                if end == b'"':
                    self.done = True
                if end in (b"n", b'"'):
                    continue
            if self._counted(base, buffer, begin, stop) or skip_for_totals(buffer, begin, stop):
                continue
            self._leave(parsed=True)
            self.common_to = ()
            line = buffer[begin:stop]
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
        said = head.group(*shape.said[0]), tail.group(*shape.said[1])
        if said != self.common_to and not self._says(said, buffer[begin:stop]):
            return False
        minute, second, thousandth = tail.group(*shape.time)
        at_ms = _minutes.get(minute) or _minute(minute)
        if at_ms is None:
            return False
        at_ms += int(second + thousandth)
        key = head[shape.key]
        fresh, read, write, hour, rest, output, thought = tail.group(*shape.figures)
        used = int(output)
        ended = tail[shape.end] != b"null"
        if key == self.key:
            best = self.rows[-1]
            if used <= (best[7] or 0):
                self.done = self.done or (ended and used == best[7])
                return True
            at_ms = best[2]
            self.rows.pop()
        elif key.decode() in self.seen:
            return False
        else:
            self._leave()
            self.key, self.mark = key, b'"id":"%s"' % key
        self.done = ended
        self.usage = b"" if ended else _written(buffer, begin, tail.end(shape.output))
        prompt = int(fresh)
        if read is not None:
            read = int(read)
            prompt += read
        if write is not None:
            write = int(write)
        if hour is not None or rest is not None:
            parts = int(rest or 0)
            if hour is not None:
                hour = int(hour)
                parts += hour
            if write is None or parts > write:
                write = parts
        prompt += write or 0
        thought = None if thought is None else int(thought)
        self.rows.append(
            (
                key.decode(), base + begin, at_ms, prompt, read, write, hour, used, thought,
                None, None, None,
            )
        )  # fmt: skip
        return True

    def _says(self, said: tuple[Any, ...], line: bytearray) -> bool:
        """Remembers what a line of a known shape says of its session and its call, if it says
        something else than the line before. False: it is no usual line."""
        record, reason = parse(line, b'"usage":')
        if reason or not record:
            return False
        message = record["message"]
        model = text(message["model"])
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

    def _leave(self, parsed: bool = False) -> None:
        """What follows is another message, or a line of this one that must be parsed."""
        if self.key and (parsed or not self.done):
            best = self.rows[-1]
            left = self.remember(best[0], [best[2], best[7], self.done, False])
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


def _written(buffer: bytearray, begin: int, end: int) -> bytes:
    """A usage, as it is written, up to its output, which ends at ``end``."""
    at = buffer.rfind(b'"usage":{', begin, end)
    return bytes(buffer[at:end]) if at >= 0 else b""
