"""Calls whose log names no session, recognised as the rest of a turn.

VS Code's span store has a manual compaction without the chat it belongs to; the chat has its
amount as a turn whose calls were not logged. Counted as both it would be counted twice
(RULES R3, R5).
"""

from __future__ import annotations

from collections.abc import Iterable

from session_usage.events import Counter, Request
from session_usage.reconcile import Session

_SLACK_MS = 5_000


def waits(session: Session) -> bool:
    """Is there a turn with a rest, which a call without a session may explain?"""
    return any(row.scope == "turn" and row.nano_aiu for row in session.unattributed)


def claim(session: Session, loose: Iterable[Request]) -> tuple[Session, list[Request]]:
    """``session`` with calls of ``loose`` (calls of no session of the same agent) in place of
    the rests that they explain exactly, and which ones: those count for it alone."""
    rest: list[Counter] = []
    taken: list[Request] = []
    for row in session.unattributed:
        call = _explains(row, loose, taken)
        if call is None:
            rest.append(row)
        else:
            taken.append(call)
    if not taken:
        return session, taken
    own = [call._replace(session=session.id) for call in taken]
    requests = sorted((*session.requests, *own), key=lambda call: call.started_ms or 0)
    return session._replace(requests=tuple(requests), unattributed=tuple(rest)), taken


def _explains(row: Counter, loose: Iterable[Request], taken: list[Request]) -> Request | None:
    """The call that is the whole rest of a turn: the same amount, within the turn's time."""
    if row.scope != "turn" or not row.nano_aiu or row.since_ms is None:
        return None
    end = row.since_ms if row.at_ms is None else max(row.at_ms, row.since_ms)
    for call in loose:
        if call.nano_aiu != row.nano_aiu or call.started_ms is None or call in taken:
            continue
        if row.since_ms - _SLACK_MS <= call.started_ms <= end + _SLACK_MS:
            return call
    return None
