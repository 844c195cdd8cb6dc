"""One pass over a rollout for totals alone: counts of the usual shape many at a time.

Most lines that matter are counts that go on from each other. They wait until a line says
something else, or there are many of them, and then one pattern reads them all: their figures
come in columns, and so do the differences that are the calls. A count that does not look as usual,
or falls, is left to the ordinary path, and those after it go on from there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, compress, repeat
from operator import add, sub
from typing import Any, ClassVar

from session_usage.events import Calls, Cursor, Event, Row, Source
from session_usage.jsonl import Scan, parse
from session_usage.providers.codex.counts import TOKENS
from session_usage.providers.codex.lines import (
    AT,
    BEGIN,
    COUNT,
    DULL,
    NUMBERED,
    STARTED,
    WITHIN,
    skip_for_totals,
)
from session_usage.providers.codex.rollout import Rollout
from session_usage.values import instant, mapping, text

_MANY = 256
"""How many counts wait, and those of a block: a few hundred kilobytes."""
_PATIENCE = 4
"""How many unusual counts among them are passed over before the rest is read one by one."""
_WORTH = 64
"""To make a pattern takes as long as to read so many counts one by one."""
_TIME = r'"(?P<minute>[\dT:-]{16}):(?P<second>[0-5]\d)\.(?P<thousandth>\d{3})Z"'
_COUNT = r"(?P<%s>[1-9]\d{0,15}|0)"
_PLAIN = {
    int: r"(?:[1-9]\d*|0)",
    float: r"(?:[1-9]\d*|0)\.\d+",
    str: r'"[ !#-\[\]-~]*"',
    bool: "(?:true|false)",
    type(None): "null",
}
_TOTAL = ("payload", "info", "total_token_usage")
_WRITES = "cache_write_input_tokens"
_NEEDED = {"minute", *TOKENS} - {_WRITES}
_LONG, _DEEP = 4096, 6
"""No pattern is made of a line that is longer or deeper."""
_SECONDS = {f"{second:02}": second * 1000 for second in range(60)}
_row = partial(tuple.__new__, Row)


class Totals(Rollout):
    """One pass over a rollout, from a cursor, for totals alone."""

    shape: ClassVar[re.Pattern[str] | None] = None
    """How counts look, as this process has met them last."""

    def __init__(self, source: Source, at: Cursor) -> None:
        super().__init__(source, at, False)
        self.lines: list[bytes] = []
        """Counts that wait; while there are some, what holds for them holds for this thread."""
        self.offsets: list[int] = []
        self.context = b""
        """A ``turn_context`` that says what holds while they wait, from behind its time on."""

    def read(self, scan: Scan) -> Iterator[Event]:
        """What its lines say; raises OSError. This loop runs for every line of every log."""
        lines, offsets = self.lines, self.offsets
        for base, first, others, is_whole in scan.blocks():
            for line in chain((first,), others):
                if line.startswith(DULL, AT):
                    continue
                if line.startswith(COUNT, AT) or line.find(NUMBERED, AT, WITHIN) > 0:
                    if is_whole and (lines or self._can_wait()):
                        lines.append(line)
                        offsets.append(base + others.tell() - len(line))
                        continue
                elif skip_for_totals(line, 0, len(line) - 1):
                    continue
                if line[-1:] != b"\n":
                    break  # this line goes on in the next block
                if lines:
                    if is_whole and self._goes_on(line):
                        continue
                    yield from self.settle()
                if not is_whole:
                    self.left = self.state()
                yield from self.line(line, base + others.tell() - len(line))
            if lines and lines[-1][-1:] != b"\n":
                lines.pop()
                offsets.pop()
            if len(lines) > _MANY:
                yield from self.settle()

    def _can_wait(self) -> bool:
        """Would a call that is counted now be like the usual ones?"""
        if self.rows is None and "session" in self.facts:
            self.rows = self.together()
        return self.rows is not None and self.total is not None

    def _goes_on(self, line: bytes) -> bool:
        """Does a turn begin that is like the one before?"""
        fact = self.facts.get
        if line.startswith(BEGIN) and (
            line[AT:] == self.context or (line.startswith(STARTED, AT) and not fact("turn"))
        ):
            self.time({"timestamp": line[len(BEGIN) : AT].decode("ascii", "replace")})
            return True
        record, reason = parse(line)
        payload = mapping(record).get("payload")
        if reason or type(payload) is not dict:
            return False
        if record.get("type") == "turn_context":
            model, folder = text(payload.get("model")), text(payload.get("cwd"))
            if model not in (None, fact("model")) or folder not in (None, fact("cwd")):
                return False
            self.context = line[AT:]
        elif payload.get("type") != "task_started" or fact("turn"):
            return False
        self.time(record)
        return True

    def settle(self) -> Iterator[Event]:
        """What the counts say that wait."""
        lines, offsets = self.lines[:], self.offsets[:]
        self.lines.clear()
        self.offsets.clear()
        self.context = b""
        begin = 0
        for _ in range(_PATIENCE):
            begin += self._usual(lines[begin:], offsets[begin:])
            if begin == len(lines):
                return
            line, offset = lines[begin], offsets[begin]
            if len(lines) - begin > _WORTH:
                Totals.shape = learn(line) or Totals.shape
            yield from self.line(line, offset)
            begin += 1
        for line, offset in zip(lines[begin:], offsets[begin:], strict=True):
            yield from self.line(line, offset)

    def _usual(self, lines: Sequence[bytes], offsets: Sequence[int]) -> int:
        """Counts the calls that these lines tell of, up to the first unusual one: how many lines
        were that."""
        old, shape = self.total, self.shape
        if not lines or old is None or shape is None or self.rows is None:
            return 0
        found = shape.split(b"".join(lines).decode("ascii", "replace"))
        size = shape.groups + 1
        others = found[::size]  # before each line, what is not like it
        if any(others):
            good = next(number for number, other in enumerate(others) if other)
            return self._usual(lines[:good], offsets)
        columns = {name: found[number::size] for name, number in shape.groupindex.items()}
        minutes = columns["minute"]
        minute_ms = {minute: instant(minute + ":00.000Z") for minute in set(minutes)}
        if None in minute_ms.values():
            return 0  # no such day
        ms = map(_SECONDS.__getitem__, columns["second"]), map(int, columns["thousandth"])
        times = list(map(add, map(minute_ms.__getitem__, minutes), map(add, *ms)))
        good = len(lines)
        has_writes = _WRITES in columns
        if not has_writes:
            if old[TOKENS.index(_WRITES)]:
                return 0
            columns[_WRITES] = ["0"] * good
        written = [columns[name] for name in TOKENS]
        figures = [list(map(int, column)) for column in written]
        steps = [
            list(map(sub, column, chain((before,), column)))
            for before, column in zip(old, figures, strict=True)
        ]
        if min(map(min, steps)) < 0:
            falls = map(min, zip(*steps, strict=True))
            good = next(number for number, least in enumerate(falls) if least < 0)
            return self._usual(lines[:good], offsets)
        self.total = [column[-1] for column in figures]
        self.facts["updated"] = max(self.facts.get("updated", -1), max(times))
        totals = zip(*written, strict=True)
        keys = [f"{self.thread}:{a}/{b}/{c}/{d}/{e}" for a, b, c, d, e in totals]
        none = repeat(None)
        prompts, cached, writes, outputs, reasoning = steps
        parts = keys, offsets, times, prompts, cached, writes if has_writes else none, none
        counts = zip(*parts, outputs, reasoning, none, none, none, strict=False)
        self.rows.extend(self._calls(list(map(_row, counts)), steps))
        return good

    def _calls(self, rows: list[Row], steps: Sequence[Sequence[int]]) -> Iterable[Row]:
        """The calls among these counts: an unchanged total is a repetition."""
        is_call = list(map(any, zip(*steps, strict=True)))
        facts = self.facts
        if True in is_call:
            last = len(rows) - 1 - is_call[::-1].index(True)
            announced = not is_call[last - 1] if last else facts.get("repeated")
            facts["last"] = None
            if announced:
                (request,) = Calls(self.shared, [rows[last]]).requests()
                facts["last"] = list(request)
        facts["repeated"] = not is_call[-1]
        return rows if all(is_call) else compress(rows, is_call)


def learn(line: bytes) -> re.Pattern[str] | None:
    """The pattern of all counts that differ from this one in plain values only; None where it is
    no count, or an unusual one."""
    record, reason = parse(line, b'"last_token_usage":')
    if reason or len(line) > _LONG:
        return None
    try:
        made = re.compile(_described(record, ()) + r"\n", re.ASCII)
    except ValueError:
        return None
    if not made.groupindex.keys() >= _NEEDED:
        return None
    return made if made.fullmatch(line.decode("ascii", "replace")) else None


def _described(value: Any, path: tuple[str, ...]) -> str:
    """The pattern of values like this one; raises ValueError where there is none."""
    if path == ("timestamp",):
        return _TIME
    if path[:-1] == _TOTAL and path[-1] in TOKENS:
        return _COUNT % path[-1]
    if type(value) is dict:
        if len(path) > _DEEP or not all(key.isidentifier() and key.isascii() for key in value):
            raise ValueError("unusual keys")
        parts = [f'"{key}":{_described(part, (*path, key))}' for key, part in value.items()]
        return r"\{" + ",".join(parts) + r"\}"
    if path and path[-1] == "type":
        return f'"{value}"' if value in ("event_msg", "token_count") else _PLAIN[str]
    if type(value) not in _PLAIN:
        raise ValueError("an unusual value")
    return _PLAIN[type(value)]
