"""The framing of the Language Server Protocol, read from bytes that may be anything.

A broken header, a wrong length or a body that is no JSON costs the messages it hides, never
the connection: reading goes on at the next ``Content-Length``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from session_usage.ledger.codec import loads

LARGEST = 512 << 20
"""No message is longer; a longer one is a broken header."""
_HEADER_LIMIT = 8192
_LENGTH = re.compile(rb"content-length: *(\d{1,12}) *\r?$", re.IGNORECASE | re.MULTILINE)
_START = re.compile(rb"content-length:", re.IGNORECASE)
_END = re.compile(rb"\r?\n\r?\n")


class Broken:
    """Bytes that are no message; ``reason`` is one line."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Frames:
    """Takes bytes as they come, gives messages as soon as they are whole."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted = 0
        self._body = 0

    def feed(self, data: bytes) -> Iterator[Any | Broken]:
        """The messages that ``data`` completes: any JSON value, or ``Broken``."""
        self._buffer += data
        while True:
            if not self._wanted:
                found = self._header()
                if found is None:
                    return
                if isinstance(found, Broken):
                    yield found
                    continue
            end = self._body + self._wanted
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[self._body : end])
            self._wanted = 0
            try:
                value = loads(body)
            except (ValueError, RecursionError):
                # a length that is too long has swallowed the beginning of the next message
                inner = _START.search(body)
                cut = self._body + inner.start() if inner else end
                del self._buffer[:cut]
                yield Broken("the message is not JSON")
                continue
            del self._buffer[:end]
            yield value

    def _header(self) -> bool | Broken | None:
        """Reads a header: True when there is one, None when it is not whole yet."""
        match = _END.search(self._buffer, 0, _HEADER_LIMIT + 4)
        if match is None:
            if len(self._buffer) > _HEADER_LIMIT:
                return self._skip("the header has no end")
            return None
        length = _LENGTH.search(self._buffer, 0, match.start())
        if length is None:
            if not self._buffer[: match.start()].strip():  # blank lines between messages
                del self._buffer[: match.end()]
                return self._header()
            return self._skip("the header has no Content-Length")
        wanted = int(length[1])
        if wanted > LARGEST:
            return self._skip("the message is too long")
        self._wanted, self._body = wanted, match.end()
        if not wanted:
            del self._buffer[: match.end()]
            return Broken("the message is empty")
        return True

    def _skip(self, reason: str) -> Broken:
        """Goes on at the next thing that looks like a header."""
        following = _START.search(self._buffer, 1)
        # what could be the beginning of one is kept
        del self._buffer[: following.start() if following else max(1, len(self._buffer) - 15)]
        return Broken(reason)
