"""Events as small blobs, and back again.

A blob belongs to one source, whose path and agent are left out of its events. It holds a
column for each field of each kind of event (equal values once, integers as differences from
the one before) as JSON, compressed with words that all logs have in common.

The names of the fields are kept in the ledger (``names``), so that a later version that adds
or drops a field still reads what an earlier one wrote.
"""

from __future__ import annotations

import functools
import json
import sys
import zlib
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any

from session_usage.events import Counter, Event, Meta, Problem, Request, ToolCall, Turn
from session_usage.usage import Tally


@functools.cache
def _orjson() -> Any:
    """The quick parser, imported when something is parsed; None in the bundled server."""
    try:
        import orjson
    except ImportError:
        return None
    return orjson


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
_AGENT = {letter: made._fields.index("agent") for letter, made in CLASSES.items()}
_TUPLES = frozenset({"subagent", "names", "skills", "notes", "facts"})
_SLOW, _WHOLE = 1, 2
"""Forms of a blob: its JSON is only for the standard library; its paths are not left out."""
_MARKS = ("\0path", "\0name")
"""What stands for the path of the source and the name of the session."""
_WORDS = (
    b'"routine","unattributed","toolUsage","tokenDetails","shutdownType","models_json","host",'
    b'"calls known only from the totals written when a run ended","calls that no line of the log '
    b'describes","checkpoint","shutdown","session","agent","total","turn","cancelled","error",'
    b'"read_file","run_in_terminal","replace_string_in_file","apply_patch","exec_command","Task",'
    b'"Glob","Grep","Read","Write","Edit","Bash","bash","view","grep","edit","search","write",'
    b'"gemini-3-pro","gpt-4o-mini","gpt-5","gpt-5-codex","gpt-5-mini","gpt-5.4","claude-opus-4.6",'
    b'"claude-haiku-4-5-20251001","claude-sonnet-4-5-20250929","claude-haiku-4.5","claude-sonnet-'
    b'4.5","/home/","/Users/","C:\\\\Users\\\\","title","background","edit","call_","toolu_01",'
    b'"msg_01","msg_","otel","openai","anthropic",["databas'
    b'e"],["transcript"],["rollout"],["debug-log"],["journal"],["api"],["copilot"],["ok"],["chat"],'
    b'[true],[false],[false],[false],[null],[null],[null],[null],[null],["main"],[[]],[[]],[[]],[[['
    b'"models_json","\\u0000path"]]]]]["RRR",[["["RTU",[["["UTR",[["["M",[[0],["\\u0000path"],[0],'
    b'["'
)
"""What the compression refers to. Never to be changed: what is there could not be read."""


def dumps(value: Any) -> bytes:
    """``value`` as JSON in UTF-8; texts and integers of any size survive."""
    return _dumps(value)[0]


def _dumps(value: Any) -> tuple[bytes, int]:
    orjson = _orjson()
    if orjson is not None:
        try:
            return bytes(orjson.dumps(value)), 0
        except TypeError:  # an integer beyond 64 bits, or half a surrogate pair
            pass
    return json.dumps(value, separators=(",", ":")).encode(), _SLOW


def loads(data: bytes | str) -> Any:
    """The value of JSON that ``dumps`` wrote or a client sent; ValueError if it is none."""
    orjson = _orjson()
    return json.loads(data) if orjson is None else orjson.loads(data)


def loads_little(data: bytes | str) -> Any:
    """The same for a few kilobytes: to import the quick parser takes longer, unless it is there."""
    return loads(data) if "orjson" in sys.modules else json.loads(data)


def names() -> dict[str, list[str]]:
    """The fields of each kind of event, and of totals in lists, as this version writes them."""
    fields = {letter: list(made._fields) for letter, made in CLASSES.items()}
    return {**fields, "row": list(Tally().wire())}


def pack(events: Iterable[Event], path: str, agent: str, session: str = "") -> bytes:
    """``events`` that the source at ``path`` has of a session, as one blob."""
    order = []
    tables: dict[str, list[list[Any]]] = {}
    for event in events:
        letter = _LETTERS[type(event)]
        fields: list[Any] = list(event)
        if fields[_AGENT[letter]] == agent:
            fields[_AGENT[letter]] = 0
        order.append(letter)
        tables.setdefault(letter, []).append(fields)
    value: list[Any] = ["".join(order)]
    for letter, table in tables.items():
        columns = [list(column) for column in zip(*table, strict=True)]
        defaults = _DEFAULTS[letter]
        while columns and all(each == defaults[len(columns) - 1] for each in columns[-1]):
            columns.pop()
        value.append([_narrow(column) for column in columns])
    return _squeezed(value, (path, session))


def unpack(blob: bytes, path: str, agent: str, session: str = "") -> list[Event]:
    """The events of a blob of ``pack``; raises zlib.error or ValueError for a damaged one."""
    order, *tables = _value(blob, (path, session))
    made: dict[str, Any] = {}
    for letter, narrow in zip(dict.fromkeys(order), tables, strict=True):
        count = order.count(letter)
        cls, defaults = CLASSES[letter], _DEFAULTS[letter]
        columns = [_wide(column, count) for column in narrow]
        columns += [[default] * count for default in defaults[len(columns) :]]
        place = _AGENT[letter]
        columns[place] = [agent if each == 0 else each for each in columns[place]]
        for at, name in enumerate(cls._fields):
            if name in _TUPLES:
                columns[at] = [_tuple(each) for each in columns[at]]
        made[letter] = map(cls._make, zip(*columns, strict=True))
    return [next(made[letter]) for letter in order]


def translate(blob: bytes, before: dict[str, list[str]]) -> bytes:
    """A blob written when the fields were those of ``before``, as this version writes it."""
    order, *tables = _value(blob)
    kept = "".join(letter for letter in order if letter in CLASSES)
    value: list[Any] = [kept]
    for letter, columns in zip(dict.fromkeys(order), tables, strict=True):
        made = CLASSES.get(letter)
        if made is not None:
            known = dict(zip(before[letter], columns, strict=False))
            value.append([known.get(n, [made._field_defaults.get(n)]) for n in made._fields])
    return _squeezed(value, (), blob[0] & _WHOLE)


def pack_state(state: Sequence[Any]) -> bytes:
    """The state of a cursor as a blob."""
    return _squeezed(list(state))


def unpack_state(blob: bytes) -> tuple[Any, ...]:
    """What ``pack_state`` was given."""
    return tuple(_value(blob))


def _narrow(column: list[Any]) -> list[Any]:
    first = column[0]
    kind = type(first)
    if all(type(each) is kind for each in column):
        if all(each == first for each in column):
            return [first]
        if kind is int:
            return [first, *(b - a for a, b in pairwise(column))]
    return column


def _wide(column: list[Any], count: int) -> list[Any]:
    if len(column) < count:
        return column * count
    if len(column) > 1 and all(type(each) is int for each in column):
        return list(accumulate(column))
    return column


def _squeezed(value: Any, own: Sequence[str] = (), form: int = 0) -> bytes:
    data, slow = _dumps(value)
    form |= slow
    if own:
        if any(dumps(mark) in data for mark in _MARKS):
            form |= _WHOLE
        else:
            for text, mark in zip(own, _MARKS, strict=True):
                if text:
                    data = data.replace(dumps(text), dumps(mark))
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, _WORDS)
    return bytes((form,)) + packer.compress(data) + packer.flush()


def _value(blob: bytes, own: Sequence[str] = ()) -> Any:
    data = zlib.decompressobj(-15, _WORDS).decompress(memoryview(blob)[1:])
    form = blob[0]
    if own and not form & _WHOLE:
        for text, mark in zip(own, _MARKS, strict=True):
            told, slow = _dumps(text)
            data = data.replace(dumps(mark), told)
            form |= slow  # a name of bytes is written in a way of its own
    # orjson would make a float of an integer beyond 64 bits
    return json.loads(data) if form & _SLOW else loads(data)


def _tuple(value: Any) -> Any:
    return tuple(_tuple(item) for item in value) if type(value) is list else value
