"""Patterns for log lines that are alike: the same keys in the same order, other plain values.

Programs write millions of lines of a few shapes. A line of a known shape need not be parsed to
tell its figures: one pattern, made from a line that was parsed, fits all lines that differ from
it in plain values only and hands out those that are wanted. Whatever does not fit is a line for
the parser. A long value (what was said) is jumped over unread.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

TEXT, WORD, COUNT, TIME = "text", "word", "count", "time"
"""What a pattern may hand out: a value as it is written, with its quotes; an ASCII text without
them; the digits of a count; of a moment in UTC three parts, ``2026-11-20T10:00``, seconds and
milliseconds."""
_GROUPS = {
    TEXT: rb'("[^"\\\x00-\x1f]*"|null|true|false)',
    WORD: rb'"([ !#-\[\]-~]+)"',
    COUNT: rb"(0|[1-9]\d{0,16})",
    TIME: rb'"(\d{4}-\d\d-\d\dT\d\d:\d\d):([0-5]\d)\.(\d{3})Z"',
}
_WORD = rb'"[ !#-\[\]-~]*"'
_PLAIN = rb"(?:%s|null|true|false)" % _WORD
_NUMBER = rb"-?\d+(?:\.\d+)?"
_NOTHING = rb"(\0)?"
"""A last group, for what a line does not have."""
_NEXT_KEY = re.compile(rb'\\\](,"\w+":)')
_MOST = 100
"""Values in a line; no pattern is made for one that has more."""
Path = tuple[str | int, ...]


class Alike(NamedTuple):
    """How lines begin that say nearly the same: to compare a text takes a tenth of matching."""

    at: int
    before: bytes
    """What stands at ``at``, up to the value that differs."""
    begin: int
    end: int
    after: bytes
    """What follows that value, which is ``line[begin:end]``."""


class Template(NamedTuple):
    """Lines that are alike, in two parts: before and after the value that is jumped over."""

    head: re.Pattern[bytes]
    tail: re.Pattern[bytes]
    anchor: bytes
    """How the tail begins."""
    first: bytes
    """How the head begins."""
    rare: bytes
    """The byte of that which texts hold least."""
    heads: tuple[Path, ...]
    """What the head hands out, in the order of its groups; a moment takes three."""
    tails: tuple[Path, ...]

    def fit(self, line: bytes) -> tuple[re.Match[bytes], re.Match[bytes]] | None:
        """The two parts of ``line``, which ends with its newline, if it is like this."""
        head = self.head.match(line)
        tail = self.end(line, head.end()) if head else None
        return (head, tail) if head and tail else None

    def end(self, line: bytes, begin: int) -> re.Match[bytes] | None:
        """The second part of a line whose first one ends at ``begin``.

        What lies between them is not read, but must not hold the beginning of another line, nor
        a zero: what a killed writer or a lost disk left as one line is none.
        """
        at = line.rfind(self.anchor, begin - 1)
        tail = self.tail.match(line, at) if at >= 0 else None
        if tail is None or 0 in line:
            return None
        again = line.find(self.rare, 1, at)  # a single byte is looked for ten times as fast
        return None if again >= 0 and line.find(self.first, 1, at) >= 0 else tail

    def alike(self, line: bytes, head: re.Match[bytes], group: int) -> Alike | None:
        """The first part of ``line`` as lines have it that differ in their first value and in
        what ``group`` hands out alone, both as long as here; None where the first value matters
        or is no text."""
        at = len(self.first)
        if line[at : at + 1] != b'"' or not at < head.start(1) <= head.start(group):
            return None
        at = line.index(b'"', at + 1) + 1
        begin, end = head.span(group)
        return Alike(at, line[at:begin], begin, end, line[end : head.end()])

    def places(self, *wanted: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The groups of head and of tail that hand out ``wanted``, in that order; what this part
        does not have is in its last group, which is never there."""
        return _places(self.heads, wanted), _places(self.tails, wanted)


class _Builder:
    def __init__(self, jump: Path, wanted: Mapping[Path, str], fixed: Collection[Path]) -> None:
        self.jump = jump
        self.wanted = wanted
        self.fixed = fixed
        self.parts: list[list[bytes]] = [[], []]
        self.groups: list[list[Path]] = [[], []]
        self.part = 0
        self.left = _MOST

    def add(self, value: Any, path: Path) -> None:
        """Adds the pattern of a value; raises ValueError where none can be made."""
        out = self.parts[self.part]
        self.left -= 1
        if self.left < 0:
            raise ValueError("too many values")
        kind = self.wanted.get(path)
        if path == self.jump:
            if type(value) is not list or self.part:
                raise ValueError("nothing to jump over")
            out.append(rb"\[")
            self.part = 1
            self.parts[1].append(rb"\]")
        elif kind:
            if type(value) is dict or type(value) is list:
                raise ValueError(f"{path} is no {kind}")
            out.append(_GROUPS[kind])
            self.groups[self.part] += [path] * (3 if kind == TIME else 1)
        elif type(value) is dict:
            self._row(rb"\{", value.items(), path, rb"\}")
        elif type(value) is list:
            self._row(rb"\[", enumerate(value), path, rb"\]")
        elif path in self.fixed:
            if type(value) is not str or not value.isidentifier():
                raise ValueError(f"{path} is no word")
            out.append(b'"%s"' % value.encode("ascii"))
        else:
            out.append(_NUMBER if type(value) in (int, float) else _PLAIN)

    def _row(self, begin: bytes, items: Any, path: Path, end: bytes) -> None:
        self.parts[self.part].append(begin)
        comma = b""
        for key, value in items:
            name = b""
            if type(key) is str:
                if not key.isidentifier() or not key.isascii():
                    raise ValueError("an unusual key")
                name = b'"%s":' % key.encode()
            self.parts[self.part].append(comma + name)
            self.add(value, (*path, key))
            comma = b","
        self.parts[self.part].append(end)


def learn(
    line: bytes,
    record: Mapping[str, Any],
    jump: Path,
    wanted: Mapping[Path, str],
    fixed: Collection[Path] = (),
) -> Template | None:
    """The template of ``line``, which ends with its newline and whose value is ``record``; None
    where it is no usual line.

    ``jump`` is the list that is jumped over, ``fixed`` are words that all lines must share.
    """
    builder = _Builder(jump, wanted, fixed)
    try:
        builder.add(dict(record), ())
    except ValueError:
        return None
    head, tail = (b"".join(part) for part in builder.parts)
    next_key = _NEXT_KEY.match(tail)  # tails are looked for from the end of a line
    if next_key is None:
        return None
    first = b'{"%s":' % next(iter(record)).encode()
    made = Template(
        re.compile(head + _NOTHING),
        re.compile(tail + _NOTHING + rb"\n"),
        b"]" + next_key[1],
        first,
        next(
            (first[at : at + 1] for at in range(len(first)) if first[at : at + 1].isupper()), b"{"
        ),
        tuple(builder.groups[0]),
        tuple(builder.groups[1]),
    )
    return made if made.fit(line) else None


def _places(paths: tuple[Path, ...], wanted: Sequence[Path]) -> tuple[int, ...]:
    return tuple(paths.index(path) + 1 if path in paths else len(paths) + 1 for path in wanted)
