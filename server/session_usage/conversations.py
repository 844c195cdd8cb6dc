"""Sessions of any agent and what was said in them, one agent at a time or all of them.

``SessionProvider`` lists the projects and sessions of one agent and reads a session's
messages; ``list_all_sessions`` asks all agents and goes on where one fails. Nothing is kept:
every call looks at the logs as they are then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from session_usage.errors import ProjectNotFound, SessionNotFound
from session_usage.events import Meta, Problem, Request, Source
from session_usage.messages import (
    CHAT,
    USER,
    Conversation,
    Message,
    SessionSummary,
    excerpt,
)
from session_usage.places import Places, here
from session_usage.providers import Provider, default_providers, provider_for
from session_usage.reconcile import merged
from session_usage.sessions import Library, Listed, SessionRef, listed


class Failure(NamedTuple):
    """What could not be listed, and why; one line for a person."""

    agent_type: str
    session: str | None
    reason: str


class AllSessions(NamedTuple):
    """The sessions of every agent that has any, and what could not be listed."""

    sessions: dict[str, list[SessionSummary]]
    failures: list[Failure]


class SessionProvider:
    """One agent's sessions at some places; ``agent`` is a name or an alias.

    Raises UnknownAgent, which is a ProviderNotFound.
    """

    def __init__(self, agent: str, places: Places | None = None) -> None:
        self.provider: Provider = provider_for(agent)
        self.agent_type = self.provider.agent
        self.places = here() if places is None else places
        self.failures: list[Failure] = []
        """What the last list had to leave out."""

    def list_projects(self) -> list[str]:
        """Where the agent's sessions were run, sorted: the true folders, where a log or an
        index names them."""
        found: set[str] = set()
        for entry in self._entries(self._library()):
            found.update(entry.projects)
        return sorted(found)

    def list_sessions(self, project: str) -> list[SessionSummary]:
        """The sessions of a project, the latest first. Raises ProjectNotFound.

        A project is known by its folder and by the name that the agent gives it.
        """
        library = self._library()
        chosen = [
            entry
            for entry in self._entries(library)
            if project in (entry.path, entry.place, *entry.projects)
        ]
        if not chosen:
            raise ProjectNotFound(
                f"no session of {self.agent_type} was run in {project!r}; "
                "list_projects() shows where some were"
            )
        return _latest_first(self._summary(library, entry) for entry in chosen)

    def summaries(self) -> list[SessionSummary]:
        """The sessions of all projects, the latest first."""
        library = self._library()
        return _latest_first(self._summary(library, entry) for entry in self._entries(library))

    def read_session(self, session: str) -> Conversation:
        """A session with all its messages in memory. Raises SessionNotFound."""
        library = self._library()
        entry = self._entry(library, session)
        messages = [one for one in self._messages(library, entry.item) if isinstance(one, Message)]
        summary = self._summary(library, entry, messages)
        return Conversation(summary, messages, entry.item.meta.version)

    def scan_messages(self, session: str, fn: Callable[[Message], object]) -> list[Problem]:
        """Calls ``fn`` with each message as it is read; memory does not grow with the session.

        What ``fn`` raises ends the scan and is passed on. Raises SessionNotFound. Returns what
        was wrong with the logs.
        """
        problems: list[Problem] = []
        for one in self.messages(session):
            if isinstance(one, Problem):
                problems.append(one)
            else:
                fn(one)
        return problems

    def messages(self, session: str) -> Iterator[Message | Problem]:
        """The same as a stream, with the problems where they are. Raises SessionNotFound."""
        library = self._library()
        return self._messages(library, self._found(library, session))

    def summary(self, session: str) -> SessionSummary:
        """One session as it stands in a list. Raises SessionNotFound."""
        library = self._library()
        return self._summary(library, self._entry(library, session))

    def requests(self, session: str) -> tuple[Request, ...]:
        """The model calls of a session, each once. Raises SessionNotFound."""
        library = self._library()
        return library.load(self._found(library, session).ref).requests

    def database_path(self) -> str:
        """The agent's database, if it keeps its sessions in one that exists; else empty."""
        path = getattr(self.provider, "database_path", None)
        return "" if path is None else str(path(self.places))

    def _library(self) -> Library:
        self.failures = []
        return Library(self.places, self.agent_type)

    def _found(self, library: Library, session: str) -> Listed:
        ref = library.refs.get((self.agent_type, session))
        if ref is not None:
            return Listed(ref, Meta(self.agent_type, session, ""))
        return self._entry(library, session).item

    def _entry(self, library: Library, session: str) -> _Entry:
        for entry in self._entries(library):
            if entry.item.ref.id == session:
                return entry
        raise SessionNotFound(
            f"no session {session!r} of {self.agent_type}; list_sessions() shows what there is"
        )

    def _messages(self, library: Library, item: Listed) -> Iterator[Message | Problem]:
        return messages_of(library, item.ref, item.meta)

    def _entries(self, library: Library) -> list[_Entry]:
        """Every session with its project; what other threads of a session add is left out."""
        items: list[Listed] = []
        children: set[str] = set()
        for item in listed(library):
            item = self._glanced(item)
            children.update(name for name, _ in item.meta.names)
            items.append(item)
        groups: dict[str, list[Listed]] = {}
        for item in items:
            if item.ref.id not in children:
                groups.setdefault(self._place(item) or "", []).append(item)
        result = []
        for place, members in groups.items():
            there = [item for item in members if item.ref.sources] or members
            projects = {path for item in there if (path := item.meta.workspace)}
            if place and not projects:
                projects.add(place)
            only = next(iter(projects)) if place and len(projects) == 1 else None
            for item in members:
                path = item.meta.workspace or only or place or None
                own = projects if place else {path} - {None}
                result.append(_Entry(item, path, place or None, frozenset(filter(None, own))))
        return result

    def _glanced(self, item: Listed) -> Listed:
        try:
            return glanced(self.provider, item)
        except Exception as error:  # another package's provider may raise anything
            self.failures.append(Failure(self.agent_type, item.ref.id, _reason(error)))
            return item

    def _place(self, item: Listed) -> str | None:
        source = item.ref.sources[0] if item.ref.sources else None
        if source is None and item.meta.path:
            source = Source(self.agent_type, "", item.meta.path, None)
        return self.provider.project(source) if source else None

    def _summary(
        self, library: Library, entry: _Entry, messages: Sequence[Message] | None = None
    ) -> SessionSummary:
        item, meta = entry.item, entry.item.meta
        prompt, count = None, None
        try:
            for source in _own_sources(library, item):
                noted = self.provider.noted(source, item.ref.id)
                prompt, count = noted[0] or prompt, noted[1] if count is None else count
            if prompt is None:
                prompt = _first_prompt(messages or self._messages(library, item))
        except Exception as error:  # as above
            self.failures.append(Failure(self.agent_type, item.ref.id, _reason(error)))
        return SessionSummary(
            item.ref.id,
            self.agent_type,
            entry.path,
            meta.branch,
            prompt,
            meta.title,
            (count or 0) if messages is None else len(messages),
            meta.created_ms,
            item.updated_ms if meta.updated_ms is None else meta.updated_ms,
        )


class _Entry(NamedTuple):
    item: Listed
    path: str | None
    """The session's own project."""
    place: str | None
    """The name that the agent gives the project."""
    projects: frozenset[str]
    """The projects that this name stands for."""


def _own_sources(library: Library, item: Listed) -> list[Source]:
    """The session's files, also one that only tells whose it is when it is opened."""
    alone = [source for source in library.shared if source.path == item.meta.path]
    return [*item.ref.sources, *alone]


def _first_prompt(said: Iterable[Message | Problem]) -> str | None:
    for one in said:
        if isinstance(one, Message) and (one.role, one.type) == (USER, CHAT) and one.content:
            return excerpt(one.content) if not one.subagent else None
    return None


def _latest_first(found: Iterator[SessionSummary]) -> list[SessionSummary]:
    return sorted(found, key=lambda one: (one.modified or 0, one.id), reverse=True)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def glanced(provider: Provider, item: Listed) -> Listed:
    """``item`` with what the ends of its logs tell where no list tells it."""
    meta = item.meta
    if None not in (meta.workspace, meta.created_ms, meta.updated_ms):
        return item
    glances = [one for source in item.ref.sources for one in provider.glance(source)]
    own = [one for one in glances if one.session == item.ref.id]
    known = merged(item.ref.agent, item.ref.id, own)._asdict()
    filled = {name: value for name, value in known.items() if getattr(meta, name) is None}
    names = tuple(pair for one in glances for pair in one.names)
    return item._replace(meta=meta._replace(**filled, names=meta.names + names))


def about(library: Library, ref: SessionRef) -> Meta:
    """What lists and the ends of its logs tell of one session."""
    metas = [
        event
        for source in (*ref.sources, *library.shared)
        if source.kind in library.provider(source).listing
        for event in library.provider(source).read(source, session=ref.id, full=False)
        if isinstance(event, Meta) and event.session == ref.id
    ]
    provider = library.provider(Source(ref.agent, "", "", None))
    return glanced(provider, Listed(ref, merged(ref.agent, ref.id, metas))).meta


def messages_of(library: Library, ref: SessionRef, meta: Meta) -> Iterator[Message | Problem]:
    """What was said in a session, its subagents after it, as it is read from the logs.

    ``meta`` is what a list knows of the session. Of a session that two agents log, the words
    of the one that it belongs to are taken, else the other's.
    """
    provider = library.provider(Source(ref.agent, "", "", None))
    shared = [source for source in library.shared if source.agent == ref.agent]
    sources = [source for source in ref.sources if source.agent == ref.agent]
    told_of = dict(_threads(provider, shared, ref.id).union(meta.names))
    done = {ref.id}
    for source in sources:  # grows by those of subagents
        told_of.update(provider.children(source))
        for child in told_of.keys() - done:
            done.add(child)
            other = library.refs.get((ref.agent, child))
            sources += other.sources if other is not None else ()
    sources += [source for source in shared if source.path == meta.path] or shared
    told = False
    for one in provider.messages(sources, ref.id):
        told = told or isinstance(one, Message)
        yield one
    others = [source for source in ref.sources if source.agent != ref.agent]
    if others and not told:
        yield from library.provider(others[0]).messages(others, ref.id)


def _threads(provider: Provider, shared: list[Source], session: str) -> set[tuple[str, str]]:
    """(id, name) of the session's subagents that a list of the agent's own knows."""
    return {
        pair
        for source in shared
        if source.kind in provider.listing and source.kind == "database"
        for event in provider.read(source, session=session, full=False)
        if isinstance(event, Meta)
        for pair in event.names
    }


def list_all_sessions(
    places: Places | None = None, providers: Mapping[str, Provider] | None = None
) -> AllSessions:
    """The sessions of every agent, each agent's latest first.

    Agents and sessions that fail are named under ``failures``, and the others still listed.
    ``providers`` narrows to some agents.
    """
    sessions: dict[str, list[SessionSummary]] = {}
    failures: list[Failure] = []
    for agent in default_providers() if providers is None else providers:
        try:
            one = SessionProvider(agent, places)
            found = one.summaries()
            failures += one.failures
        except Exception as error:  # another package's provider may raise anything
            failures.append(Failure(agent, None, _reason(error)))
            continue
        if found:
            sessions[agent] = found
    return AllSessions(sessions, failures)


def wire(value: Message | Problem | SessionSummary, raw: bool = True) -> dict[str, Any]:
    """As JSON values: times as RFC 3339, what is not known left out; a problem is named so.

    With ``raw`` a message has the record it was read from.
    """
    from session_usage.windows import written

    if isinstance(value, Problem):
        place = {"path": value.path, "offset": value.offset}
        return {"problem": value.kind, "reason": value.text, **place}
    result: dict[str, Any] = {}
    for name, item in value._asdict().items():
        if item is None or item == () or (name == "raw_json" and not raw):
            continue
        if name in ("timestamp", "created", "modified"):
            item = written(item)
        elif name == "usage":
            item = {key: count for key, count in item._asdict().items() if count is not None}
        result[name] = item
    return result
