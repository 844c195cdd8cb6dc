"""Finds, chooses and loads sessions: where sources, reconciliation and prices meet."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from session_usage.calls import summed
from session_usage.claims import claim, waits
from session_usage.errors import BadPattern, SessionNotFound, UsageError
from session_usage.events import Calls, Counter, Cursor, Event, Meta, Problem, Request, Source
from session_usage.places import Places, is_special
from session_usage.projects import project_of
from session_usage.providers import ALIASES, Provider, agents, provider_for
from session_usage.reconcile import Session, merged, reconcile, started

_HOSTED = ("copilot-vscode", "copilot-cli")
"""Sessions of the second that run inside the first are one session of the second."""


_COUNTED = (Request, Counter)


class SessionRef(NamedTuple):
    """A session that was found, not yet read."""

    agent: str
    id: str
    sources: tuple[Source, ...]

    @property
    def updated_ns(self) -> int:
        """When its newest file changed."""
        return max((source.mtime_ns for source in self.sources), default=0)


class Library:
    """All sessions of the chosen agents that these places hold.

    ``agent`` is a name, an alias or ``all``; raises UnknownAgent. Nothing is opened until
    sessions are loaded. ``problems`` gathers what could not be read, apart from the
    problems of single sessions.
    """

    def __init__(self, places: Places, agent: str = "all") -> None:
        self.places = places
        self.agent = ALIASES.get(agent, agent)
        self.providers = {provider.agent: provider for provider in agents(agent)}
        self.problems: list[Problem] = []
        self.refs: dict[tuple[str, str], SessionRef] = {}
        self.shared: list[Source] = []
        self._find()

    def _find(self) -> None:
        wanted = dict(self.providers)
        if any(name in wanted for name in _HOSTED):
            # which of the two a session belongs to takes both to tell
            wanted.update((name, provider_for(name)) for name in _HOSTED)
        found: dict[tuple[str, str], list[Source]] = {}
        for provider in wanted.values():
            for source in provider.sources(self.places):
                if source.session is None:
                    if source.agent in self.providers:
                        self.shared.append(source)
                else:
                    found.setdefault((source.agent, source.session), []).append(source)
        host, guest = _HOSTED
        for agent, session in list(found):
            if agent == host and (guest, session) in found:
                found[guest, session] += found.pop((agent, session))
        self.refs = {
            key: SessionRef(*key, tuple(sources))
            for key, sources in found.items()
            if key[0] in self.providers
        }

    def provider(self, source: Source) -> Provider:
        """Who reads this source."""
        return self.providers.get(source.agent) or provider_for(source.agent)

    def events(self, ref: SessionRef, full: bool = True) -> Iterator[Event]:
        """Everything the session's own files say."""
        for source in ref.sources:
            found = self.provider(source).read(source, full=full)
            if source.agent == ref.agent:
                yield from found
                continue
            for event in found:
                if not isinstance(event, Cursor):
                    yield event._replace(agent=ref.agent)

    def totals(self, ref: SessionRef) -> Iterator[Event | Calls]:
        """The same without what no total needs; calls may come together."""
        for source in ref.sources:
            if source.agent == ref.agent:
                yield from self.provider(source).totals(source)
                continue
            for event in self.provider(source).read(source, full=False):
                if not isinstance(event, Cursor):
                    yield event._replace(agent=ref.agent)

    def shared_events(
        self, agent: str | None = None, session: str | None = None, full: bool = True
    ) -> dict[tuple[str, str | None], list[Event]]:
        """What the databases of many sessions say, by session; of one agent alone, or all."""
        result: dict[tuple[str, str | None], list[Event]] = {}
        for source in self.shared:
            if agent is None or source.agent == agent:
                found = self.provider(source).read(source, session=session, full=full)
                self._file(source, found, result)
        return result

    def _file(
        self,
        source: Source,
        found: Iterable[Any],
        result: dict[tuple[str, str | None], list[Any]],
    ) -> None:
        """Adds what was found in a database to what is known, by session."""
        for event in found:
            if isinstance(event, Cursor):
                continue
            session = event.shared.session if isinstance(event, Calls) else event.session
            if isinstance(event, Problem) and session is None:
                if event not in self.problems:
                    self.problems.append(event)
            elif isinstance(event, Calls) and session is None:  # some may be claimed
                result.setdefault((source.agent, None), []).extend(event.requests())
            else:
                result.setdefault((source.agent, session), []).append(event)

    def load(self, ref: SessionRef, full: bool = True) -> Session:
        """One session, reconciled from all its sources."""
        events = list(self.events(ref, full))
        events += self.shared_events(ref.agent, ref.id, full).get((ref.agent, ref.id), [])
        done = {ref.id}
        children = started(events) - done
        while children:  # subagents whose files the agent keeps as sessions of their own
            child = children.pop()
            done.add(child)
            other = self.refs.get((ref.agent, child))
            if other:
                told = list(self.events(other, full))
                events += told
                children |= started(told) - done
        session = reconcile(ref.agent, ref.id, events, full)
        if waits(session):
            loose = self.shared_events(ref.agent).get((ref.agent, None), [])
            session, _ = claim(session, _calls(loose))
        return session

    def all(self, full: bool = False, together: bool = False) -> Iterator[Session]:
        """Every session, each request of all of them once; the oldest files first.

        Calls of no session come last, as sessions without id. With ``together`` requests may be
        in ``Session.calls``, which is the quickest way to totals; then nothing is read in full.
        """
        shared: dict[tuple[str, str | None], list[Any]] = {}
        for source in self.shared:
            reader = self.provider(source)
            found = reader.totals(source) if together else reader.read(source, full=full)
            self._file(source, found, shared)
        copies: dict[tuple[str, str | None], list[Event]] = {}
        seen: set[int] = set()
        for ref in sorted(self.refs.values(), key=lambda ref: ref.updated_ns):
            key: tuple[str, str | None] = (ref.agent, ref.id)
            events = list(self.totals(ref) if together else self.events(ref, full))
            mine = ref.id
            for event in events:
                if isinstance(event, Calls):
                    if event.shared.session != mine:
                        owner = ref.agent, event.shared.session
                        copies.setdefault(owner, []).extend(event.requests())
                elif isinstance(event, _COUNTED) and event.session != mine:
                    copies.setdefault((ref.agent, event.session), []).append(event)
            events += shared.pop(key, [])
            session = summed(ref.agent, ref.id, events, full)
            loose = shared.get((ref.agent, None))
            if loose and waits(session):
                session, taken = claim(session, _calls(loose))
                shared[ref.agent, None] = [event for event in loose if event not in taken]
            yield once(session, seen) if self.providers[ref.agent].forks else session
        for key in dict.fromkeys([*shared, *copies]):
            yield from self._left(key, shared.pop(key, []), copies.get(key, []), seen)

    def _left(
        self,
        key: tuple[str, str | None],
        events: list[Event | Calls],
        copies: list[Event],
        seen: set[int],
    ) -> Iterator[Session]:
        """Sessions whose own files are gone, and calls found only in another's file."""
        agent, session = key
        ref = self.refs.get((agent, session or ""))
        if ref is None:
            found = summed(agent, session, [*events, *copies], full=True)
            if found.requests or found.unattributed or found.calls:
                yield once(found, seen)
            return
        with_copies = reconcile(
            agent,
            session,
            [
                *self.events(ref, full=False),
                *self.shared_events(agent, session, full=False).get(key, []),
                *copies,
            ],
        )
        own = {source.path for source in (*ref.sources, *self.shared)}
        more = tuple(r for r in with_copies.requests if r.copied or r.path not in own)
        rest = tuple(row for row in with_copies.unattributed if row.copied)
        if more or rest:
            empty = reconcile(agent, session, ())._replace(meta=with_copies.meta)
            yield once(empty._replace(requests=more, unattributed=rest), seen)


def _calls(events: Iterable[Event]) -> list[Request]:
    return [event for event in events if isinstance(event, Request)]


def once(session: Session, seen: set[int]) -> Session:
    """``session`` without requests that are ``seen``: a fork or a resumed session repeats those
    of another. What it has is seen then."""
    agent = session.agent
    calls = []
    for each in session.calls:
        marks = [hash((agent, row.key)) for row in each.rows]
        if not seen.isdisjoint(marks):
            rows = [row for row, mark in zip(each.rows, marks, strict=True) if mark not in seen]
            each = each._replace(rows=rows)
        seen.update(marks)
        calls.append(each)
    fresh = []
    for request in session.requests:
        mark = hash((agent, request.key))
        if mark not in seen:
            seen.add(mark)
            fresh.append(request)
    return session._replace(requests=tuple(fresh), calls=tuple(calls))


class Listed(NamedTuple):
    """A session as it appears in a list: nothing of its requests is known yet."""

    ref: SessionRef
    meta: Meta

    @property
    def updated_ms(self) -> int:
        """Last sign of life: its newest file or what a catalogue says, epoch milliseconds."""
        return max(self.ref.updated_ns // 1_000_000, self.meta.updated_ms or 0)


def listed(library: Library) -> list[Listed]:
    """Every session, the newest first, from the sources that are cheap to read.

    Sessions that only a catalogue remembers (their own files are gone) are in it too.
    """
    metas: dict[tuple[str, str], list[Meta]] = {}
    for source in library.shared:
        provider = library.provider(source)
        if source.kind in provider.listing:
            for event in provider.read(source, full=False):
                if isinstance(event, Meta):
                    metas.setdefault((event.agent, event.session), []).append(event)
                elif isinstance(event, Problem):
                    library.problems.append(event)
    result = []
    for key, ref in library.refs.items():
        found = metas.pop(key, [])
        for source in ref.sources:
            provider = library.provider(source)
            if source.kind in provider.listing:
                found += [e for e in provider.read(source, full=False) if isinstance(e, Meta)]
        if not any(meta.workspace for meta in found):
            found += [meta for s in ref.sources for meta in library.provider(s).opening(s)]
        if not any(meta.session != ref.id and ref.id in dict(meta.names) for meta in found):
            result.append(Listed(ref, merged(ref.agent, ref.id, found)))
    for (agent, session), found in metas.items():
        result.append(Listed(SessionRef(agent, session, ()), merged(agent, session, found)))
    result.sort(key=lambda item: (item.updated_ms, item.ref.id), reverse=True)
    return result


def chosen(
    items: Iterable[Listed],
    *,
    text: str | None = None,
    pattern: str | None = None,
    workspace: str | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
) -> list[Listed]:
    """The sessions that fit every filter given.

    ``text`` is looked for in title and id, ``workspace`` in folder and repository, both
    without regard to case; ``pattern`` is a regular expression for title or id (BadPattern
    if it does not compile). The times bound the last sign of life, half-open.
    """
    fits = matcher(pattern)
    result = []
    for item in items:
        title = item.meta.title or ""
        if text and text.casefold() not in title.casefold() and text not in item.ref.id:
            continue
        if fits and not (fits(title) or fits(item.ref.id)):
            continue
        if workspace and not _in_workspace(item.meta, workspace):
            continue
        if since_ms is not None and item.updated_ms < since_ms:
            continue
        if until_ms is not None and (item.meta.created_ms or item.updated_ms) >= until_ms:
            continue
        result.append(item)
    return result


def matcher(pattern: str | None) -> Callable[[str], object] | None:
    """A search for a regular expression, without regard to case; raises BadPattern."""
    if not pattern:
        return None
    import re

    try:
        return re.compile(pattern, re.IGNORECASE).search
    except re.error as error:
        raise BadPattern(f"bad regular expression {pattern[:60]!r}: {error}") from None


def _in_workspace(meta: Meta, wanted: str) -> bool:
    folded = wanted.casefold().rstrip("/\\")
    names = (meta.workspace, meta.project, project_of(meta.workspace, meta.project))
    return any(folded in name.casefold() for name in names if name)


def find(library: Library, name: str) -> SessionRef:
    """The session with this id (or an unambiguous beginning of one), or at this path.

    Raises UsageError when the path is missing or no session and when several sessions fit,
    SessionNotFound when no session has this id.
    """
    if os.sep in name or "/" in name or os.path.exists(name):
        return _at_path(library, name)
    keys = [key for key in library.refs if key[1] == name]
    if not keys and len(name) >= 4:
        keys = [key for key in library.refs if key[1].startswith(name)]
    if len(keys) > 1:
        several = ", ".join(f"{session} ({agent})" for agent, session in keys[:5])
        raise UsageError(f"{name!r} fits several sessions: {several}; write more of the id")
    if keys:
        return library.refs[keys[0]]
    for item in listed(library):
        if item.ref.id == name:
            return item.ref
    raise SessionNotFound(f"no session {name!r}; `session-usage list` shows what there is")


def _at_path(library: Library, name: str) -> SessionRef:
    if not os.path.exists(name):
        raise UsageError(f"no such file or folder: {name}")
    path = os.path.realpath(name)
    if is_special(os.stat(path).st_mode):
        raise UsageError(f"{name} is neither a file nor a folder")
    for ref in library.refs.values():
        for source in ref.sources:
            real = os.path.realpath(source.path)
            if source.kind in library.provider(source).listing:
                continue
            if path in (real, os.path.dirname(real)):
                return ref
    for provider in library.providers.values():
        sources = tuple(provider.at(path))
        if sources:
            return SessionRef(provider.agent, sources[0].session or "", sources)
    raise UsageError(
        f"no session of a known agent at {name}{_unreadable(path)}; name its folder or main log"
    )


def _unreadable(path: str) -> str:
    """Why this file tells nothing at all; empty for a folder and for what can be read."""
    try:
        if os.path.isfile(path):
            with open(path, "rb", buffering=0) as file:
                file.read(1)
    except OSError as error:
        return f" ({error.strerror})"
    return ""
