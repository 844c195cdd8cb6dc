"""Reconciliation where calls come together: most sessions have one source, and nothing to match."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from session_usage.events import BYOK, Calls, Counter, Event, Request, one_by_one
from session_usage.reconcile import BY_FIGURES, Session, named, reconcile

_TOLD_TWICE = {"model-call", *BY_FIGURES}
"""Sources that may tell of a call of another source without sharing its key."""


def summed(
    agent: str, session: str | None, events: Sequence[Event | Calls], full: bool = False
) -> Session:
    """``reconcile`` where calls may come together: they stay so, in ``Session.calls``, if nothing
    else tells of them."""
    together: list[Calls] = []
    others: list[Event] = []
    for event in events:
        (together if event.__class__ is Calls else others).append(event)  # type: ignore[arg-type]
    if not together or not _alone(session, together, others):
        return reconcile(agent, session, one_by_one(events) if together else others, full)
    found = reconcile(agent, session, others, full)
    names = dict(found.meta.names)
    if names:
        together = [each._replace(shared=named(each.shared, names)) for each in together]
    return found._replace(calls=tuple(together))


def _alone(session: str | None, together: Sequence[Calls], others: Iterable[Event]) -> bool:
    """Is every one of these calls a request of its own, whatever else the session's sources say?"""
    shared = [calls.shared for calls in together]
    sources = {each.source for each in shared}
    keys = [row.key for calls in together for row in calls.rows]
    for other in others:
        if isinstance(other, Counter) and other.session == session:
            return False
        if isinstance(other, Request) and other.session == session:
            if other.weak or other.billing == BYOK:  # who paid is told by all of them
                return False
            sources.add(other.source)
            keys.append(other.key)
    if len(sources) > 1 and (  # one may tell of a call of another without sharing its key
        not sources.isdisjoint(_TOLD_TWICE)
        or any(row.link for calls in together for row in calls.rows)
    ):
        return False
    return len(set(keys)) == len(keys) and all(
        each.session == session and each.billing != BYOK and not (each.copied or each.weak)
        for each in shared
    )
