"""``SessionRow``s as JSON, prepared when a session changes and finished when it is asked for.

What is the same in every row (the names of the fields) or stands in columns of its own is not
kept a second time; putting it back together takes a microsecond or two a row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
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


def finished(connection: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]) -> list[bytes]:
    """JSON of ``SessionRow``s from their ``COLUMNS``."""
    columns = list(zip(*rows, strict=True))
    if not columns:
        return []
    labels = {}
    for number, data in connection.execute("SELECT id, text FROM labels"):
        sources, models = map(codec.dumps, codec.loads(data))
        labels[number] = b'"sources":%b,"models":%b' % (sources, models)
    agent, name, title, workspace, project, branch = map(_texts, columns[:6])
    same = [labels[label] for label in columns[6]]
    parts = map(_parts, columns[7])
    return [
        _WHOLE % (*row, *figures)
        for row, figures in zip(
            zip(agent, name, title, workspace, project, branch, same, strict=True), parts,
            strict=True,
        )
    ]  # fmt: skip


def _parts(row: bytes) -> list[bytes]:
    parts = row.split(_END)
    if len(parts) != _PARTS:  # written by another version; the next sweep makes it anew
        parts = (parts + [b"null"] * _PARTS)[:_PARTS]
    return parts


def _texts(column: Sequence[str | bytes | None]) -> list[bytes]:
    """The texts of a column as JSON, made in one go: inside a JSON text there is no ``","``."""
    pure = set(map(type, column)) == {str}
    plain = column if pure else [text for text in column if type(text) is str]
    found = codec.dumps(plain)[1:-1].replace(b'","', b'"' + _END + b'"').split(_END)
    if pure:
        return found
    rest = iter(found)
    return [
        b"null"
        if text is None
        else next(rest)
        if type(text) is str
        else codec.dumps(store.restored(text))
        for text in column
    ]


def models(label: bytes) -> list[str]:
    """The models of a label, the dearest first."""
    found: list[str] = codec.loads(label)[1]
    return found
