"""Event types that nobody knew when this program was written: said once, never per line (R19)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from itertools import islice

from session_usage.events import Problem, Source
from session_usage.jsonl import Scan, parse

_HEAD = re.compile(
    rb'\s*\{(?:\s*"[A-Za-z]+"\s*:\s*(?:[-0-9.]+|"[^"\\]*")\s*,)*?\s*"type"\s*:\s*"([^"\\]*)"'
)
"""The type of an event that only plain values precede: most lines, and cheap to tell."""
_VERSION = re.compile(rb'"copilotVersion"\s*:\s*"([^"\\]{1,40})"')
_STARTS = frozenset({"session.start", "session_start"})
_NAME = re.compile(r"[\w.:/-]{1,60}")
_SHOWN = 5


def drift(source: Source, start: int, program: str, known: Collection[str]) -> Iterator[Problem]:
    """One problem for each version of ``program`` that wrote types not in ``known``.

    Reads ``source`` from byte ``start``. What is no name of a type is a damaged line, not
    drift. Raises OSError when the file cannot be read.
    """
    version = _first_version(source.path) if start else None
    new: dict[str | None, dict[str, None]] = {}
    for _, buffer, begin, stop, _ in Scan(source.path, (), start).spans():
        head = _HEAD.match(buffer, begin, stop)
        if head:
            kind: object = head[1].decode("utf-8", "replace")
        else:  # keys in another order
            event, _ = parse(bytes(buffer[begin:stop]))
            kind = event.get("type") if event else None
        if type(kind) is not str:
            continue
        if kind in _STARTS:
            version = _version(buffer, begin, stop) or version
        if kind not in known and _NAME.fullmatch(kind):
            new.setdefault(version, {})[kind] = None
    for version, kinds in new.items():
        names = ", ".join(islice(kinds, _SHOWN))
        more = f" and {len(kinds) - _SHOWN} more" if len(kinds) > _SHOWN else ""
        yield Problem(
            "drift", source.path, None,
            f"{program} {version or '(version unknown)'} writes {names}{more}; "
            "totals may be incomplete",
            source.agent, source.session,
        )  # fmt: skip


def _first_version(path: str) -> str | None:
    with open(path, "rb") as file:
        head = bytearray(file.read(1 << 16))
    return _version(head, 0, len(head))


def _version(buffer: bytearray, begin: int, stop: int) -> str | None:
    match = _VERSION.search(buffer, begin, stop)
    return match[1].decode("utf-8", "replace") if match else None
