"""``SessionRow``s as JSON, prepared when a session changes and finished when it is asked for.

What is the same in every row (the names of the fields) or stands in columns of its own is not
kept a second time; putting it back together takes a microsecond or two a row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from session_usage.ledger import codec, store
from session_usage.usage import Tally

_END = b"\x1f"
"""Parts JSON from JSON, in which it cannot occur."""
COLUMNS = "agent, name, title, workspace, project, branch, label, row"
"""What ``finished`` needs of a session."""
_TOTALS = tuple(Tally().wire())
_TEXTS = ("agent", "id", "title", "workspace", "project", "branch")
_OWN = ("createdAt", "updatedAt")
_PARTS = len(_OWN) + len(_TOTALS)
_WHOLE = (
    "{"
    + "".join(f'"{name}":%b,' for name in _TEXTS)
    + "%b,"
    + ",".join(f'"{name}":%b' for name in _OWN)
    + ',"totals":{'
    + ",".join(f'"{name}":%b' for name in _TOTALS)
    + "}}"
).encode()


def packed(created: str | None, updated: str | None, totals: dict[str, Any]) -> bytes:
    """What a session's row says beyond its columns and its label."""
    assert tuple(totals) == _TOTALS
    return _END.join(map(codec.dumps, (created, updated, *totals.values())))


def label(sources: list[str], models: list[str]) -> bytes:
    """What many sessions have in common: kinds of sources, and models, the dearest first."""
    return codec.dumps([sources, models])


class _Texts(dict[Any, bytes]):
    """Texts of columns as JSON."""

    def __missing__(self, value: str | bytes | None) -> bytes:
        found = self[value] = codec.dumps(None if value is None else store.restored(value))
        return found


def finished(connection: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]) -> list[bytes]:
    """JSON of ``SessionRow``s from their ``COLUMNS``."""
    labels = {}
    for number, data in connection.execute("SELECT id, text FROM labels"):
        sources, models = map(codec.dumps, codec.loads(data))
        labels[number] = b'"sources":%b,"models":%b' % (sources, models)
    text = _Texts()
    result = []
    for agent, name, title, workspace, project, branch, label, row in rows:
        parts = row.split(_END)
        if len(parts) != _PARTS:  # written by another version; the next sweep makes it anew
            parts = (parts + [b"null"] * _PARTS)[:_PARTS]
        result.append(
            _WHOLE
            % (
                text[agent], text[name], text[title], text[workspace], text[project],
                text[branch], labels[label], *parts,
            )
        )  # fmt: skip
    return result


def models(label: bytes) -> list[str]:
    """The models of a label, the dearest first."""
    found: list[str] = codec.loads(label)[1]
    return found
