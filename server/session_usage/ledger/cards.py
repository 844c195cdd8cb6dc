"""``SessionRow``s as JSON, prepared when a session changes and finished when it is asked for.

What is the same in every row (the names of the fields) or stands in columns of its own is not
kept a second time; putting it back together takes a microsecond or two a row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from session_usage.ledger import codec, store
from session_usage.usage import Tally

_END = b"\x1f"
"""Parts JSON from JSON, in which it cannot occur."""
COLUMNS = "agent, name, title, workspace, project, branch, row"
"""What ``finished`` needs of a session."""
_TOTALS = tuple(Tally().wire())
_TEXTS = ("agent", "id", "title", "workspace", "project", "branch")
_OWN = ("createdAt", "updatedAt", "sources", "models")
_TEMPLATE = (
    ",".join(f'"{name}":%b' for name in (*_TEXTS, *_OWN))
    + ',"totals":{'
    + ",".join(f'"{name}":%b' for name in _TOTALS)
    + "}"
)
_WHOLE = ("{" + _TEMPLATE + "}").encode()
_PARTS = len(_OWN) + len(_TOTALS)


def packed(
    created: str | None,
    updated: str | None,
    sources: list[str],
    models: list[str],
    totals: dict[str, Any],
) -> bytes:
    """What a session's row says beyond its columns."""
    assert tuple(totals) == _TOTALS
    return _END.join(map(codec.dumps, (created, updated, sources, models, *totals.values())))


def finished(rows: Iterable[tuple[Any, ...]]) -> list[bytes]:
    """JSON of ``SessionRow``s from their ``COLUMNS``."""
    known: dict[Any, bytes] = {}

    def text(value: str | bytes | None) -> bytes:
        found = known.get(value)
        if found is None:
            decoded = None if value is None else store.restored(value)
            found = known[value] = codec.dumps(decoded)
        return found

    return [
        _WHOLE
        % (
            text(agent), text(name), text(title), text(workspace), text(project), text(branch),
            *_parts(row),
        )
        for agent, name, title, workspace, project, branch, row in rows
    ]  # fmt: skip


def _parts(row: bytes) -> list[bytes]:
    found = row.split(_END)
    # written by another version; the next sweep makes it anew
    return found if len(found) == _PARTS else (found + [b"null"] * _PARTS)[:_PARTS]


def models(row: bytes) -> list[str]:
    """The models of a packed row, the most expensive first."""
    found: list[str] = codec.loads(row.split(_END)[3])
    return found
