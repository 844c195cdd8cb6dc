"""Streaming reader of JSON values, for logs that need not keep to one value per line.

``jsonl`` is the fast reader of lines, and goes on after a damaged one. This one reads what a
strict parser of the whole file would: several values on one line, one value over several
lines, and nothing after the first thing that is no JSON. A closing bracket that nothing
opened ends the stream without a word, as it does for Go's decoder, whose programs write such
logs.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from typing import Any

_BLANK = " \t\r\n"


class Broken(Exception):
    """The stream is no JSON from the line at ``offset`` on.

    ``kind`` is ``truncated`` if that is the last line and has no newline, as a killed writer
    leaves it, else ``malformed``.
    """

    def __init__(self, kind: str, offset: int) -> None:
        super().__init__(kind)
        self.kind = kind
        self.offset = offset


class _Stray(Exception):
    """A closing bracket that nothing opened."""


def _refuse(_: str) -> None:
    raise ValueError("NaN and infinities are no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def values(path: str) -> Iterator[tuple[int, Any]]:
    """The JSON values of a file, each with the offset of the line on which it starts.

    Memory is bounded by the longest value. Bytes that are not UTF-8 are replaced in the texts
    around them. Raises Broken, OSError, and ValueError for a path that cannot be one.
    """
    at = begin = tried = 0
    pending = ""
    try:
        with open(path, "rb") as file:
            for line in file:
                if not pending:
                    begin, tried = at, 0
                at += len(line)
                pending += line.decode("utf-8", "replace")
                # an open value is tried again when a line may close it or when it has
                # doubled, so that the work stays linear
                if len(pending) >= 2 * tried or line[:1] in b"}]":
                    pending = yield from _whole(pending, begin)
                    tried = len(pending)
        if pending:
            pending = yield from _whole(pending, begin)
    except _Stray:
        return
    if pending:
        raise Broken(_kind(pending), begin)


def _whole(pending: str, begin: int) -> Generator[tuple[int, Any], None, str]:
    """Yields the whole values at the head of a text and returns the rest, an open value."""
    at = 0
    while True:
        while at < len(pending) and pending[at] in _BLANK:
            at += 1
        if at == len(pending):
            return ""
        if pending[at] in "]}":
            raise _Stray
        try:
            value, at = _DECODER.raw_decode(pending, at)
        except json.JSONDecodeError as error:
            if not pending[error.pos :].strip(_BLANK):
                return pending[at:]
            raise Broken(_kind(pending), begin) from None
        except (ValueError, RecursionError):
            raise Broken("malformed", begin) from None
        yield begin, _sound(value) if "\\u" in pending else value


def _kind(pending: str) -> str:
    return "malformed" if pending.endswith("\n") else "truncated"


def sound(text: str) -> str:
    """The text without halves of surrogate pairs, which no UTF-8 file or terminal can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _sound(value: Any) -> Any:
    if type(value) is str:
        return sound(value)
    if type(value) is list:
        return [_sound(item) for item in value]
    if type(value) is dict:
        return {sound(key): _sound(item) for key, item in value.items()}
    return value


def both_ends(path: str, size: int = 1 << 16) -> Iterator[dict[str, Any]]:
    """The objects on the whole lines in the first and the last ``size`` bytes of a log.

    For lists, which cannot wait for logs to be read. Nothing of a file that cannot be read;
    lines that are no JSON objects are left out.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(size)
            end = file.seek(0, 2)
            file.seek(max(len(head), end - size))
            tail = file.read(size)
    except OSError:
        return
    if len(head) + len(tail) == end:
        lines = (head + tail).split(b"\n")
    else:
        lines = [*head.split(b"\n")[:-1], *tail.split(b"\n")[1:]]
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if type(value) is dict:
            yield value
