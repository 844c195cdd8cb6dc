"""``SessionRow``s as JSON, prepared when a session changes and finished when it is asked for.

What is the same in every row (the names of the fields) or stands in columns of its own is not
kept a second time; putting it back together takes two or three microseconds a row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from session_usage.ledger import codec, store
from session_usage.usage import Tally

_END = b"\x1f"
"""Parts JSON from JSON, in which it cannot occur."""
_TEXTS = {
    "agent": "agent", "id": "name", "title": "title", "workspace": "workspace",
    "project": "project", "branch": "branch",
}  # fmt: skip
"""Fields that stand in columns of their own."""
_TOTALS = tuple(Tally().wire())
_OWN = ("createdAt", "updatedAt")
_PARTS = len(_OWN) + len(_TOTALS)
_FIGURES = (
    ",".join(f'"{name}":%b' for name in _OWN)
    + ',"totals":{'
    + ",".join(f'"{name}":%b' for name in _TOTALS)
    + "}}"
).encode()
_BYTES = " OR ".join(f"{column} >= x''" for column in _TEXTS.values())
"""Is one of them no text? Bytes are more than any text."""
_OBJECT = ", ".join(f"'{name}', {column}" for name, column in _TEXTS.items())
_QUICK = f"CASE WHEN {_BYTES} THEN NULL ELSE CAST(json_object({_OBJECT}) AS BLOB) END, label, row"
_COLUMNS = ", ".join((*_TEXTS.values(), "label", "row"))


def packed(created: str | None, updated: str | None, totals: dict[str, Any]) -> bytes:
    """What a session's row says beyond its columns and its label."""
    assert tuple(totals) == _TOTALS
    return _END.join(map(codec.dumps, (created, updated, *totals.values())))


def label(sources: list[str], models: list[str]) -> bytes:
    """What many sessions have in common: kinds of sources, and models, the dearest first."""
    return codec.dumps([sources, models])


def finished(connection: sqlite3.Connection, rest: str, values: Sequence[Any]) -> list[bytes]:
    """JSON of the ``SessionRow``s that ``SELECT ... FROM sessions`` and ``rest`` would find."""
    whole = {}
    for number, data in connection.execute("SELECT id, text FROM labels"):
        sources, _, models = data[1:-1].partition(b"],[")
        same = b'"sources":%b],"models":[%b' % (sources, models)
        whole[number] = b"%b," + same.replace(b"%", b"%%") + b"," + _FIGURES
    try:
        # the object goes on: without its last brace
        return [
            whole[label] % (texts[:-1], *row.split(_END))
            for texts, label, row in connection.execute(
                f"SELECT {_QUICK} FROM sessions {rest}", values
            )
        ]
    except (sqlite3.OperationalError, TypeError) as error:
        if isinstance(error, sqlite3.OperationalError) and "no such function" not in str(error):
            raise
        # a text of bytes, a row of another version, a SQLite without JSON
        return [
            whole[label] % (_object(texts)[:-1], *_parts(row))
            for *texts, label, row in connection.execute(
                f"SELECT {_COLUMNS} FROM sessions {rest}", values
            )
        ]


def _object(texts: Sequence[str | bytes | None]) -> bytes:
    fields = (
        b'"%b":%b' % (name.encode(), codec.dumps(None if text is None else store.restored(text)))
        for name, text in zip(_TEXTS, texts, strict=True)
    )
    return b"{" + b",".join(fields) + b"}"


def _parts(row: bytes) -> list[bytes]:
    parts = row.split(_END)
    if len(parts) != _PARTS:  # written by another version; the next sweep makes it anew
        parts = (parts + [b"null"] * _PARTS)[:_PARTS]
    return parts


def models(label: bytes) -> list[str]:
    """The models of a label, the dearest first."""
    found: list[str] = codec.loads(label)[1]
    return found
