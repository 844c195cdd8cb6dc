"""Streaming reader of JSON Lines logs: only lines that can matter are ever parsed.

A log of gigabytes is mostly text that says nothing about usage. ``scan`` reads it in chunks
into one reused buffer, jumps from needle to needle with ``bytes.find`` and hands out the
lines around them. A needle is a type name with its quotes, e.g. ``b'"llm_request"'``: inside
a JSON text the quotes are escaped, so quoted logs do not match.

What a line can do to us, and what happens then:

- the last line has no newline yet: it is handed out if it is already whole JSON, but the
  offset to go on from stays before it;
- the first line is half a line (a log cut at its head): it does not parse, a problem;
- it is longer than ``LINE_LIMIT``: long texts in it are cut while it streams by, so that
  memory stays bounded and its figures survive;
- it is not UTF-8, has NUL bytes, NaN or doubled keys, or is no object: a problem; what can
  be read of it is used.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO, FileIO
from itertools import chain
from typing import Any

from session_usage.places import is_special

CHUNK = 1 << 17
"""Bytes per read; one chunk stays in the processor's cache while it is searched."""
LINE_LIMIT = 8 << 20
"""Lines longer than this are cut down while they are read."""
TEXT_LIMIT = 1 << 12
"""What is kept of one JSON text in a line over ``LINE_LIMIT``."""

_QUOTE, _BACKSLASH, _NEWLINE = b'"\\\n'
_TEXT = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
_CHARACTERS = re.compile(
    rb"(?:[^\\\x80-\xff]+|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
    rb"|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}|\\[^u])*",
    re.DOTALL,
)
"""Whole characters of a JSON text, pairs of surrogates included."""
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def _plain_loads(data: bytes) -> Any:
    """As strict as orjson: no NaN, no half characters."""
    import json

    text = str(data, "utf-8")
    if "\\u" in text and any(found["half"] for found in _ESCAPE.finditer(text)):
        raise ValueError("half a pair of surrogates")
    return json.loads(text, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _loads(data: bytes | bytearray) -> Any:
    """The first call puts the parser in this place: importing it takes a tenth of a command."""
    try:
        from orjson import loads
    except ImportError:  # the bundled server has no compiled packages
        loads = _plain_loads  # type: ignore[assignment]
    globals()["_loads"] = loads
    return loads(data)


def _opened(path: str) -> FileIO:
    """A log to be read; OSError for a pipe or a device: to open one may never end."""
    if is_special(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "is no file", path)
    return FileIO(path)


class Line:
    """A line found by ``scan``: where it starts, its bytes, and whether its newline is there."""

    __slots__ = ("data", "offset", "whole")

    def __init__(self, offset: int, data: bytes, whole: bool = True) -> None:
        self.offset = offset
        self.data = data
        self.whole = whole


Span = tuple[int, bytearray, int, int, bool]
"""(offset in the file, buffer, begin, end, whole): a line while its buffer is unchanged."""
Chunk = tuple[int, bytearray, int, bool]
"""(offset in the file, buffer, last, whole): the lines in ``buffer[: last + 1]``, each with its
newline; not ``whole`` where the file does not hold the last of them."""
Block = tuple[int, bytes, BytesIO, bool]
"""(base, first, lines, whole): the first line and those after it, each with its newline. While
they are iterated over, a line begins at ``base + lines.tell() - len(line)`` in the file."""

_BUFFERS: list[bytearray] = []
"""Buffers of finished scans: a scan of a small file costs more to allocate than to read."""


def _buffer() -> bytearray:
    """Room for two chunks. A big block of memory begins 16 bytes behind a page, and to there some
    processors copy a file's pages three times as slowly: so the first bytes are left out."""
    made = bytearray(CHUNK * 2 + 64)
    del made[:64]
    return made


class Scan:
    """Iterates over the lines of ``path`` that can matter, from byte ``start``, in file order.

    Those are the lines that hold one of ``needles`` (with no needles and no heads: every line
    that is not blank). With ``first`` the first line is handed out in any case. ``heads``
    serves logs whose lines begin with their type: a line that begins with ``plain`` is
    handed out if it begins with one of ``heads`` or holds one of ``anywhere``, any other
    line if it holds one of ``needles``.

    After the iteration ``offset`` is the byte after the last newline: where to go on.

    ``skip(buffer, begin, end)``, e.g. the ``match`` of a pattern of line starts, says which
    lines cannot matter: all others are handed out, so that what nobody knows yet is never
    lost. It costs one pass however many kinds of lines there are.

    Raises OSError when the file cannot be opened or read.
    """

    def __init__(
        self,
        path: str,
        needles: Sequence[bytes] = (),
        start: int = 0,
        *,
        first: bool = False,
        plain: bytes = b"",
        heads: tuple[bytes, ...] = (),
        anywhere: Sequence[bytes] = (),
        skip: Callable[[Any, int, int], Any] | None = None,
    ) -> None:
        self.path = path
        self.needles = tuple(needles)
        self.skip = skip
        self.start = start
        self.offset = start
        self.dull: tuple[bytes, ...] = ()
        self.first = first
        self.plain = plain
        self.heads = heads
        self.anywhere = tuple(anywhere)

    def __iter__(self) -> Iterator[Line]:
        for offset, buffer, begin, stop, whole_line in self.spans():
            yield Line(offset, bytes(buffer[begin:stop]), whole_line)

    def spans(self) -> Iterator[Span]:
        """The same lines without copying them; each is gone when the next one is asked for."""
        for base, buffer, last, whole_line in self.chunks():
            for begin, stop in self._lines(buffer, last, base):
                yield base + begin, buffer, begin, stop, whole_line

    def chunks(self) -> Iterator[Chunk]:
        """All lines, wanted or not, as many at a time as were read; gone when asked for more.

        For readers who choose their lines in a loop of their own. A giant line comes alone, and
        so does a last line without a newline, which is given one.
        """
        buffer = _BUFFERS.pop() if _BUFFERS else _buffer()
        kept = 0  # bytes of an unfinished line at the head of the buffer
        base = self.start  # file offset of buffer[0]
        with _opened(self.path) as file:
            if base:
                file.seek(base)
            while True:
                if len(buffer) - kept < CHUNK:
                    buffer.extend(bytes(len(buffer)))
                with memoryview(buffer) as view:
                    got = file.readinto(view[kept : kept + CHUNK])
                if not got:
                    break
                end = kept + got
                last = buffer.rfind(b"\n", kept, end)
                if last < 0 and end > LINE_LIMIT:
                    giant, rest, length = _shorten(file, bytes(buffer[:end]))
                    if rest is not None or _is_whole(giant):
                        yield base, bytearray(giant + b"\n"), len(giant), rest is not None
                    if rest is None:  # the file ends inside this line
                        return
                    base += length
                    self.offset = base
                    buffer = bytearray(max(CHUNK * 2, len(rest)))
                    end = len(rest)
                    buffer[:end] = rest
                    last = buffer.rfind(b"\n", 0, end)
                if last < 0:
                    kept = end
                    continue
                yield base, buffer, last, True
                base += last + 1
                self.offset = base
                kept = end - last - 1
                buffer[:kept] = buffer[last + 1 : end]
        if kept and _is_whole(buffer[:kept]):
            buffer[kept] = _NEWLINE  # there is room: more than was read would have fitted in
            yield base, buffer, kept, False
        if len(buffer) == CHUNK * 2:
            _BUFFERS.append(buffer)

    def blocks(self) -> Iterator[Block]:
        """All lines, wanted or not, as ``chunks`` gives them, for readers who skip most of them by
        how they begin: to iterate over a block takes half the time of finding lines in a buffer.

        The line that a chunk ends within is given with the next one; what ``lines`` ends with
        then has no newline and is none. A line of many chunks and all after it, and a last line
        that has no newline and is given one, come alone, in ``first``.
        """
        rest = b""  # the beginning of a line
        base = self.start  # file offset of the chunk
        with _opened(self.path) as file:
            if base:
                file.seek(base)
            while len(rest) <= 8 * CHUNK and (chunk := file.read(CHUNK)):
                cut, end = chunk.find(b"\n") + 1, chunk.rfind(b"\n") + 1
                if not end:
                    rest += chunk
                    base += len(chunk)
                    continue
                lines = BytesIO(chunk)
                lines.seek(cut)
                yield base, rest + chunk[:cut], lines, True
                rest = chunk[end:]
                base += len(chunk)
                self.offset = base - len(rest)
        if not rest:
            return
        self.start = self.offset
        for base, buffer, last, whole_line in self.chunks():
            at = -1
            while at < last:
                begin = at + 1
                at = buffer.find(b"\n", begin)
                line = bytes(buffer[begin : at + 1])
                lines = BytesIO(line)
                lines.seek(len(line))
                yield base + begin, line, lines, whole_line

    def others(
        self, dull: tuple[bytes, ...], texts: bytes = b"", mark: bytes = b"", rare: int = 0
    ) -> Iterator[tuple[int, bytes, bool]]:
        """(offset, line, whole) of the wanted lines of a log whose lines begin with their type.

        For logs most of whose lines are of few kinds: those that begin with one of ``dull`` (a
        reader may set it anew on the way) are skipped. What begins with ``texts`` is not if it
        holds ``mark``: its byte ``rare``, which few texts hold, is looked for first. A last line
        without a newline may be one of the dull ones, too.
        """
        self.dull = dull
        for base, first, lines, whole_line in self.blocks():
            bare = not texts or (rare not in lines.getvalue() and rare not in first)
            dull = self.dull if whole_line else ()
            for line in chain((first,), lines):
                if line.startswith(dull) and (
                    bare or rare not in line or mark not in line or not line.startswith(texts)
                ):
                    continue
                if line[-1:] != b"\n":
                    break  # this line goes on in the next chunk
                if self._is_headed(line):
                    yield base + lines.tell() - len(line), line[:-1], whole_line
                    dull = self.dull

    def _is_headed(self, line: bytes) -> bool:
        """``_by_head`` of a single line."""
        if line.startswith(self.heads):
            return True
        parts = self.anywhere if line.startswith(self.plain) else (*self.anywhere, *self.needles)
        return any(part in line for part in parts)

    def _lines(self, buffer: bytearray, last: int, base: int) -> Iterable[tuple[int, int]]:
        """(begin, end) of the wanted lines in buffer[:last], in order."""
        if self.skip:
            return _not_skipped(buffer, last, self.skip)
        if self.plain:
            return self._by_head(buffer, last)
        if not self.needles:
            return _all_lines(buffer, last)
        find, rfind = buffer.find, buffer.rfind
        spans: dict[int, int] = {}
        if self.first and base == 0:
            spans[0] = find(b"\n", 0, last + 1)
        for needle in self.needles:
            at = find(needle, 0, last)
            while at >= 0:
                begin = rfind(b"\n", 0, at) + 1
                stop = find(b"\n", at, last + 1)
                spans[begin] = stop
                at = find(needle, stop, last)
        if len(self.needles) == 1:
            return spans.items()
        return sorted(spans.items())

    def _by_head(self, buffer: bytearray, last: int) -> Iterator[tuple[int, int]]:
        find, starts = buffer.find, buffer.startswith
        plain, needles = self.plain, self.needles
        marked: set[int] = set()
        for needle in self.anywhere:
            at = find(needle, 0, last)
            while at >= 0:
                marked.add(buffer.rfind(b"\n", 0, at) + 1)
                at = find(needle, at + 1, last)
        begin = 0
        while begin <= last:
            stop = find(b"\n", begin, last + 1)
            if (
                starts(self.heads, begin)  # a reader may change them on the way
                or (marked and begin in marked)
                or (
                    not starts(plain, begin)
                    and any(find(needle, begin, stop) >= 0 for needle in needles)
                )
            ):
                yield begin, stop
            begin = stop + 1


def _not_skipped(
    buffer: bytearray, last: int, skip: Callable[[Any, int, int], Any]
) -> Iterator[tuple[int, int]]:
    begin = 0
    while begin <= last:
        stop = buffer.find(b"\n", begin, last + 1)
        if stop > begin and not skip(buffer, begin, stop):
            yield begin, stop
        begin = stop + 1


def _all_lines(buffer: bytearray, last: int) -> Iterator[tuple[int, int]]:
    begin = 0
    while begin <= last:
        stop = buffer.find(b"\n", begin, last + 1)
        if stop > begin and not buffer[begin:stop].isspace():
            yield begin, stop
        begin = stop + 1


def _is_whole(data: bytes | bytearray) -> bool:
    """Is this line without a newline a whole JSON value? (No prefix of an object is one.)"""
    try:
        _loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _shorten(file: Any, head: bytes) -> tuple[bytes, bytes | None, int]:
    """Reads to the end of a giant line that begins with ``head``, cutting every long text.

    Returns the shortened line, what was read after its newline (None at the end of the
    file), and the length of the real line with its newline.
    """
    out = bytearray()
    text_at = -1  # where the text we are in begins in ``out``; -1 between texts
    escaped = False  # the bytes before ended with a backslash
    length = 0
    chunk = head
    while chunk:
        newline = chunk.find(b"\n")  # JSON escapes newlines: a bare one ends the line
        part = chunk if newline < 0 else chunk[:newline]
        at = 0
        while at < len(part):
            if text_at < 0:
                quote = part.find(b'"', at)
                stop = len(part) if quote < 0 else quote + 1
                out += part[at:stop]
                at = stop
                if quote >= 0:
                    text_at = len(out)
                continue
            stop = at + 1 if escaped else _text_end(part, at, at + CHUNK)
            escaped = stop == at and part[at] == _BACKSLASH
            stop += escaped
            # one byte more than the limit tells that the text was longer
            out += part[at : min(stop, at + max(0, text_at + TEXT_LIMIT + 1 - len(out)))]
            at = stop
            if not escaped and at < len(part) and part[at] == _QUOTE:
                if len(out) - text_at > TEXT_LIMIT:
                    del out[_cut(out, text_at) :]
                out += b'"'
                text_at = -1
                at += 1
        if newline >= 0:
            return bytes(out), chunk[newline + 1 :], length + newline + 1
        length += len(chunk)
        chunk = file.read(CHUNK)
    return bytes(out), None, length


def _text_end(part: bytes, at: int, limit: int) -> int:
    """Where the text that ``at`` is in ends, or its last whole escape before ``limit``."""
    match = _TEXT.match(part, at, limit)
    return match.end() if match else at


def _cut(out: bytearray, text_at: int) -> int:
    """The last place within ``TEXT_LIMIT`` that is between two characters."""
    match = _CHARACTERS.match(out, text_at, text_at + TEXT_LIMIT)
    return match.end() if match else text_at


def _constant(_: str) -> None:
    """NaN and the infinities are no figures: absent."""


def parse(data: bytes | bytearray, once: bytes = b"") -> tuple[Any, str | None]:
    """The JSON value of a line and what was wrong with it, in one word for a problem.

    Never raises: a line that cannot be read at all gives ``(None, reason)``; one that can be
    read in part (broken UTF-8, control characters, NaN) gives its value and the reason.
    ``once`` is a key that a sound line holds at most once, e.g. ``b'"usage":'``: where it is
    repeated, the last value counts, as in every JSON reader, and the reason says so.
    """
    try:
        value = _loads(data)
    except (ValueError, RecursionError):  # the latter from the standard library only
        return _rescue(data)
    if type(value) is not dict:
        return None, "not an object"
    if once and data.count(once) > 1 and _has_doubled_keys(data):
        return value, "doubled keys"
    return value, None


def _rescue(data: bytes | bytearray) -> tuple[Any, str | None]:
    import json

    try:
        text = data.decode("utf-8-sig")
        reason = "not strict JSON"
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
        reason = "not UTF-8"
    if "\\ud" in text or "\\uD" in text:
        # half a pair of surrogates: a text that was cut inside a character, no text to print
        text = _ESCAPE.sub(lambda found: "\\ufffd" if found["half"] else found[0], text)
    try:
        value = json.loads(text, strict=False, parse_constant=_constant)
    except (ValueError, RecursionError):
        return None, "not JSON"
    if type(value) is not dict:
        return None, "not an object"
    return value, reason


def _has_doubled_keys(data: bytes | bytearray) -> bool:
    import json

    doubled = False

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal doubled
        result = dict(items)
        doubled = doubled or len(result) < len(items)
        return result

    try:
        json.loads(data, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return False
    return doubled


def first_lines(path: str, most: int = 1 << 17) -> Iterator[dict[str, Any]]:
    """The objects on the first whole lines of a log, as far as they lie in ``most`` bytes.

    For lists: not more is read than is asked for. Nothing of a file that cannot be read; lines
    that are no objects are left out.
    """
    rest, read, size = b"", 0, 1 << 12
    try:
        with _opened(path) as file:
            while read < most and (data := file.read(size)):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    value = parse_any(line)
                    if type(value) is dict:
                        yield value
                read += len(data)
                size *= 8
    except OSError:
        return


def parse_any(data: bytes) -> Any:
    """Any JSON value; None for what is not JSON."""
    try:
        return _loads(data)
    except ValueError:
        return None
