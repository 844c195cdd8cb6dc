"""Events as small blobs: compressed JSON arrays of their fields, and back again.

A blob belongs to one source, whose path and agent are left out of its events. The names of
the fields are kept in the ledger (``names``), so that a later version that adds or drops a
field still reads what an earlier one wrote.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from typing import Any

from session_usage.events import Counter, Event, Meta, Problem, Request, ToolCall, Turn

orjson: Any
try:
    import orjson
except ImportError:  # the bundled server runs without compiled packages
    orjson = None

CLASSES: dict[str, Any] = {
    "R": Request,
    "C": Counter,
    "T": ToolCall,
    "U": Turn,
    "M": Meta,
    "P": Problem,
}
_LETTERS = {made: letter for letter, made in CLASSES.items()}
_DEFAULTS = {
    letter: [made._field_defaults.get(name, ...) for name in made._fields]
    for letter, made in CLASSES.items()
}
_PATH = {letter: made._fields.index("path") for letter, made in CLASSES.items()}
_AGENT = {letter: made._fields.index("agent") for letter, made in CLASSES.items()}
_TUPLES = {
    letter: [
        place
        for place, name in enumerate(made._fields)
        if name in ("subagent", "names", "skills", "notes", "facts")
    ]
    for letter, made in CLASSES.items()
}


def dumps(value: Any) -> bytes:
    """``value`` as JSON in UTF-8; texts and integers of any size survive."""
    if orjson is not None:
        try:
            data: bytes = orjson.dumps(value)
            return data
        except TypeError:  # an integer beyond 64 bits, or half a surrogate pair
            pass
    return json.dumps(value, separators=(",", ":")).encode()


def loads(data: bytes | str) -> Any:
    """The value of JSON that ``dumps`` wrote or a client sent; ValueError if it is none."""
    if orjson is not None:
        return orjson.loads(data)
    return json.loads(data)


def names() -> dict[str, list[str]]:
    """The fields of each kind of event as this version writes them."""
    return {letter: list(made._fields) for letter, made in CLASSES.items()}


def pack(events: Iterable[Event], path: str, agent: str) -> bytes:
    """``events`` of the source at ``path`` as one blob."""
    rows = []
    for event in events:
        letter = _LETTERS[type(event)]
        fields: list[Any] = list(event)
        if fields[_PATH[letter]] == path:
            fields[_PATH[letter]] = 0
        if fields[_AGENT[letter]] == agent:
            fields[_AGENT[letter]] = 0
        defaults = _DEFAULTS[letter]
        end = len(fields)
        while end and fields[end - 1] == defaults[end - 1] and defaults[end - 1] is not ...:
            end -= 1
        rows.append([letter, *fields[:end]])
    return zlib.compress(_encoded(rows), 6)


def _encoded(rows: list[Any]) -> bytes:
    if orjson is not None:
        try:
            return b"0" + bytes(orjson.dumps(rows))
        except TypeError:
            pass
    return b"1" + json.dumps(rows, separators=(",", ":")).encode()


def unpack(blob: bytes, path: str, agent: str) -> list[Event]:
    """The events of a blob of ``pack``; raises zlib.error or ValueError for a damaged one."""
    result: list[Event] = []
    for letter, *fields in _rows(blob):
        fields += _DEFAULTS[letter][len(fields) :]
        if fields[_PATH[letter]] == 0:
            fields[_PATH[letter]] = path
        if fields[_AGENT[letter]] == 0:
            fields[_AGENT[letter]] = agent
        for place in _TUPLES[letter]:
            fields[place] = _tuple(fields[place])
        result.append(CLASSES[letter]._make(fields))
    return result


def translate(blob: bytes, before: dict[str, list[str]]) -> bytes:
    """A blob written when the fields were those of ``before``, as this version writes it."""
    rows = []
    for letter, *fields in _rows(blob):
        made = CLASSES.get(letter)
        if made is None:
            continue
        known = dict(zip(before[letter], fields, strict=False))
        row = [known.get(name, made._field_defaults.get(name)) for name in made._fields]
        rows.append([letter, *row])
    return zlib.compress(_encoded(rows), 6)


def _rows(blob: bytes) -> Any:
    data = zlib.decompress(blob)
    # orjson would make a float of an integer beyond 64 bits
    return json.loads(data[1:]) if data[:1] == b"1" else loads(data[1:])


def _tuple(value: Any) -> Any:
    return tuple(_tuple(item) for item in value) if type(value) is list else value
