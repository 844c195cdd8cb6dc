"""``SessionRow``s as JSON, prepared when a session changes and finished when it is asked for.

What is the same in many rows (the names of the fields, figures that are nothing) or stands in
columns of its own is not kept a second time; putting it back together takes two microseconds a
row.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from session_usage.ledger import codec, store
from session_usage.usage import Tally

_END = b"\x1f"
"""Parts JSON from JSON, in which it cannot occur."""
_NEXT = b'},{"'
"""Parts the objects of a list: inside a text a quote has a backslash before it."""
_TEXTS = {
    "agent": "agent", "id": "name", "title": "title", "workspace": "workspace",
    "project": "project", "branch": "branch",
}  # fmt: skip
"""Fields that stand in columns of their own."""
_TOTALS = tuple(Tally().wire())
_OWN: dict[str, Any] = {}
"""Stands in a label for a figure that each row has of its own."""
_COLUMNS = ", ".join(("id", "changed", "label", "row", *_TEXTS.values()))
_MOST = 10_000
"""So many finished rows are kept."""
_AT_ONCE = 500
_NONE = -1, b""


def packed(created: str | None, updated: str | None, totals: dict[str, Any]) -> bytes:
    """What a session's row says beyond its columns and its label."""
    own = (value for name, value in totals.items() if not _common(name, value))
    return _END.join(map(codec.dumps, (created, updated, *own)))


def label(sources: list[str], models: list[str], totals: dict[str, Any]) -> bytes:
    """What many sessions have in common: kinds of sources, models, the dearest first, and those
    of the totals that are nothing or no number."""
    assert tuple(totals) == _TOTALS
    same = [value if _common(name, value) else _OWN for name, value in totals.items()]
    return codec.dumps([sources, models, same])


def _common(name: str, value: Any) -> bool:
    return not value or name in ("sessions", "basis")


class _Form(NamedTuple):
    """A row without what it has of its own."""

    text: bytes
    """With ``%b`` for the texts, and for each of the parts."""
    parts: int


@functools.lru_cache(1_024)
def _form(label: bytes) -> _Form:
    sources, models, *rest = codec.loads(label)
    same = rest[0] if rest else ()
    if len(same) != len(_TOTALS):  # written by a version that had all figures in the row
        same = (_OWN,) * len(_TOTALS)
    marks = [b"%b" if value == _OWN else codec.dumps(value) for value in same]
    totals = b",".join(
        b'"%b":%b' % (name.encode(), mark) for name, mark in zip(_TOTALS, marks, strict=True)
    )
    said = codec.dumps({"sources": sources, "models": models})[1:-1].replace(b"%", b"%%")
    text = b'{"%%b,%b,"createdAt":%%b,"updatedAt":%%b,"totals":{%b}}' % (said, totals)
    return _Form(text, 2 + marks.count(b"%b"))


Card = tuple[int, bytes]
"""(the generation it is of, a finished row)."""


class Cards:
    """Finished rows, kept for as long as their sessions stay as they are and somebody asks. May
    be shared by threads that read the same file."""

    def __init__(self) -> None:
        self._known: dict[int, Card] = {}

    def forget(self) -> None:
        """Lets all of them go: 700 bytes each."""
        self._known = {}

    def rows(self, connection: sqlite3.Connection, rest: str, values: Sequence[Any]) -> list[bytes]:
        """JSON of the ``SessionRow``s that ``SELECT ... FROM sessions`` and ``rest`` find."""
        known = self._known
        if known:
            found = connection.execute(
                f"SELECT id, changed FROM sessions {rest}", values
            ).fetchall()
            stale = [row[0] for row in found if known.get(row[0], _NONE)[0] != row[1]]
            if len(stale) * 2 <= len(found):
                for at in range(0, len(stale), _AT_ONCE):
                    some = stale[at : at + _AT_ONCE]
                    where = f"WHERE id IN ({','.join('?' * len(some))}) AND row IS NOT NULL"
                    known.update(finished(connection, where, some))
                # one that was forgotten by now is left out
                return [known[row[0]][1] for row in found if row[0] in known]
        fresh = finished(connection, rest, values)
        if len(known) + len(fresh) > _MOST:
            self._known = known = {}
        known.update(fresh)
        return [text for _, (_, text) in fresh]


def finished(
    connection: sqlite3.Connection, rest: str, values: Sequence[Any]
) -> list[tuple[int, Card]]:
    """(number, card) of the sessions that ``SELECT ... FROM sessions`` and ``rest`` find."""
    cursor = connection.execute(f"SELECT {_COLUMNS} FROM sessions {rest}", values)
    found: list[tuple[int, Card]] = []
    forms: dict[int, _Form] = {}
    while rows := cursor.fetchmany(_AT_ONCE):  # some at a time take little memory
        if not forms:
            labels = connection.execute("SELECT id, text FROM labels")
            forms = {number: _form(label) for number, label in labels}
        found += _finished(rows, forms)
    return found


def _finished(rows: Sequence[Any], forms: dict[int, _Form]) -> list[tuple[int, Card]]:
    try:
        # a list of objects is written at once, then cut; each goes on: without its last brace
        objects = [
            {
                "agent": agent, "id": name, "title": title, "workspace": workspace,
                "project": project, "branch": branch,
            }
            for _, _, _, _, agent, name, title, workspace, project, branch in rows
        ]  # fmt: skip
        texts = codec.dumps(objects)[3:-2].split(_NEXT)
        whole = {number: form.text for number, form in forms.items()}
        return [
            (row[0], (row[1], whole[row[2]] % (text, *row[3].split(_END))))
            for text, row in zip(texts, rows, strict=True)
        ]
    except TypeError:  # a text of bytes, a row of another version
        return [
            (number, (changed, forms[label].text % (_object(texts), *_parts(row, forms[label]))))
            for number, changed, label, row, *texts in rows
        ]


def _object(texts: Sequence[str | bytes | None]) -> bytes:
    restored = (None if text is None else store.restored(text) for text in texts)
    return codec.dumps(dict(zip(_TEXTS, restored, strict=True)))[2:-1]


def _parts(row: bytes, form: _Form) -> list[bytes]:
    parts = row.split(_END)
    if len(parts) != form.parts:  # written by another version; the next sweep makes it anew
        parts = (parts + [b"null"] * form.parts)[: form.parts]
    return parts


def models(label: bytes) -> list[str]:
    """The models of a label, the dearest first."""
    found: list[str] = codec.loads(label)[1]
    return found
