"""Finds sessions for the Python API: where to look, what to list, what to open.

Lists come from catalogues, not from logs: only a session that no catalogue dates has its log
opened, for the time in its first line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from session_usage import pricing, tables
from session_usage.analysis.facts import Journal
from session_usage.analysis.figures import SHORT, Subject, stamp
from session_usage.analysis.shapes import shape
from session_usage.errors import BadPattern, UsageError
from session_usage.events import Counter, Cursor, Event, Meta, Request, Source
from session_usage.places import here
from session_usage.pricing import Prices
from session_usage.providers import ALIASES, provider_for
from session_usage.sessions import Library, Listed, SessionRef, listed
from session_usage.values import instant

Path = str | os.PathLike[str]

Shared = Mapping[tuple[str, str | None], list[Event]]
"""What the databases of many sessions say, by agent and session."""

_EXTENSION = "GitHub.copilot-chat"
_COPILOT = ("copilot-vscode", "copilot-cli")
_NOWHERE = os.devnull
"""A root without sessions: for agents that a caller with own roots did not name."""
_OLD_KINDS = frozenset({"debug-log", "models", "folder", "index", "journal", "workspace"})
"""The sources that older tools know."""
_BESIDE = frozenset({"folder", "index", "catalogue", "workspace", "title", "models"})
"""Kinds of sources that say something about a session and nothing about its usage."""
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_BEGUN = re.compile(rb'"(?:startTime|timestamp|ts|creationDate)":\s*(?:"([^"]{19,35})"|(\d{1,16}))')


class Rules(NamedTuple):
    """By which prices and in which manner sessions are told."""

    prices: Prices
    note: str
    compat: bool


def rules(ref_dir: Path | None = None, fallback: str | None = None) -> Rules:
    """Our own rules, or those a caller names; see ``pricing.load`` for the errors."""
    kept = here().prices()
    folder = None if ref_dir is None else os.fspath(ref_dir)
    prices = pricing.load(ref_dir=folder, fallback=fallback, refreshed=kept)
    if folder is None:
        card = tables.copilot(folder=kept)
        table = f"the list price of the day ({card.source}; checked {card.checked})"
    else:
        table = f"the prices in {folder}"
    note = f"USD: the billed figure where the log has one, else tokens x {table}"
    if fallback:
        note += "; models without a price at a guessed default rate"
    return Rules(prices, note, fallback is not None)


def libraries(
    agent: str,
    workspace_roots: Iterable[Path] | None = None,
    roots_by_agent: Mapping[str, Iterable[Path]] | None = None,
) -> list[Library]:
    """Where the sessions of ``agent`` are. UsageError for one list of roots for all agents."""
    name = ALIASES.get(agent, agent)
    if name != "all":
        provider_for(name)
    if workspace_roots is not None:
        if name == "all":
            raise UsageError('workspace_roots fits one agent; with agent="all" give roots_by_agent')
        roots_by_agent = {name: workspace_roots}
    if roots_by_agent is None:
        return [Library(here(), name)]
    pairs: dict[str, list[str]] = {}
    for named, folders in roots_by_agent.items():
        owner = ALIASES.get(named, named)
        provider_for(owner)
        pairs[owner] = [_root(owner, os.fspath(folder)) for folder in folders] or [_NOWHERE]
    for owner in _COPILOT:
        pairs.setdefault(owner, [_NOWHERE])
    places = here(roots=[(owner, folder) for owner in pairs for folder in pairs[owner]])
    wanted = [owner for owner in pairs if name in ("all", owner)]
    return [Library(places, owner) for owner in wanted if pairs[owner] != [_NOWHERE]]


def _root(agent: str, folder: str) -> str:
    """Copilot CLI's home, also for its ``session-state`` folder, in which sessions lie."""
    trimmed = folder.rstrip("/\\") or folder
    if agent == "copilot-cli" and os.path.basename(trimmed) == "session-state":
        return os.path.dirname(os.path.abspath(trimmed))
    return folder


def session_at(path: str, agent: str, by: Rules) -> dict[str, Any]:
    """Everything about the session at ``path``; see ``api.analyze_session`` for the errors."""
    name = ALIASES.get(agent, agent)
    if name == "all":
        raise UsageError('a path belongs to one agent: name it in place of agent="all"')
    provider = provider_for(name)
    if not os.path.exists(path):
        raise UsageError(f"no such file or folder: {path}")
    library, sources = _home_of(path, name)
    if not sources:
        sources = tuple(provider.at(path))
    if name == "copilot-cli":
        sources, log = _journal(path, sources)
        ref = SessionRef(name, sources[0].session or "", sources)
        return told(library, ref, by, os.path.dirname(log) or os.curdir, log)
    if not sources and not (name == "copilot-vscode" and _is_empty(path)):
        raise UsageError(f"no session of {SHORT.get(name, name)} at {path}")
    session = _session_in(sources) or os.path.basename(os.path.abspath(path))
    folder = path if os.path.isdir(path) else os.path.dirname(path) or os.curdir
    return told(library, SessionRef(name, session, sources), by, folder, path)


def _session_in(sources: tuple[Source, ...]) -> str | None:
    """The id of a session: its source's, or the first that its log names."""
    for source in sources:
        if source.session:
            return source.session
        for event in provider_for(source.agent).read(source):
            if not isinstance(event, Cursor) and event.session:
                return event.session
    return None


def _is_empty(path: str) -> bool:
    """A session's folder before its first log line: a session without calls."""
    return os.path.isdir(path) and not any(
        entry.is_file() and entry.name.endswith(".jsonl") for entry in os.scandir(path)
    )


def _home_of(path: str, agent: str) -> tuple[Library | None, tuple[Source, ...]]:
    """All sources of the session at ``path``, where it lies in its agent's own folders."""
    real = os.path.realpath(path)
    folder = real if os.path.isdir(real) else os.path.dirname(real)
    parts = folder.split(os.sep)
    if agent == "copilot-vscode" and parts[-3:-1] == [_EXTENSION, "debug-logs"]:
        storage = os.sep.join(parts[:-3])
        roots = [os.path.dirname(storage)]
    elif agent == "copilot-cli" and parts[-2:-1] == ["session-state"]:
        storage = os.sep.join(parts[:-2])
        roots = [storage]
    else:
        return None, ()
    library = libraries(agent, roots)[0]
    library.shared = [s for s in library.shared if os.path.dirname(s.path) == storage]
    ref = library.refs.get((agent, os.path.basename(folder)))
    return library, ref.sources if ref else ()


def _journal(path: str, sources: tuple[Source, ...]) -> tuple[tuple[Source, ...], str]:
    """A CLI session's sources under its real id, and its journal's path."""
    logs = [source.path for source in sources if source.kind == "journal"]
    if os.path.isfile(path):
        log = path
    elif logs:
        log = os.path.join(path, os.path.basename(logs[0]))
    else:
        raise UsageError(f"no events.jsonl in {path}: not a session of Copilot CLI")
    journal = Journal(log)
    if not journal.lines:
        raise UsageError(f"no events in {log}: the file is empty")
    if not journal.events:
        raise UsageError(f"{log} has no events of Copilot CLI: no line is one")
    session = os.path.basename(os.path.dirname(os.path.abspath(log)))
    if not _UUID.fullmatch(session):
        session = journal.session or ""
    if not _UUID.fullmatch(session):
        raise UsageError(
            f"{log}: no session id; neither the folder's name nor session.start has a UUID"
        )
    if not logs:
        sources += (Source("copilot-cli", "journal", log, session),)
    return tuple(source._replace(session=session) for source in sources), log


def told(
    library: Library | None,
    ref: SessionRef,
    by: Rules,
    folder: str | None = None,
    log: str | None = None,
    shared: Shared | None = None,
) -> dict[str, Any]:
    """Everything about one session. ``shared``: what ``library``'s databases say, if read."""
    if by.compat:
        ref = ref._replace(sources=tuple(s for s in ref.sources if s.kind in _OLD_KINDS))
    events: list[Event] = []
    for source in ref.sources:
        for event in provider_for(source.agent).read(source):
            if isinstance(event, Cursor):
                continue
            events.append(event if event.agent == ref.agent else event._replace(agent=ref.agent))
    if library is not None:
        if shared is None:
            shared = library.shared_events(ref.agent, ref.id)
        found = shared.get((ref.agent, ref.id), [])
        events += [event for event in found if not by.compat or isinstance(event, Meta)]
    logs = [source.path for source in own_files(ref)]
    if log is None:
        log = next((path for path in logs if os.path.basename(path) == "events.jsonl"), "")
    if folder is None:
        folder = os.path.dirname(logs[0]) if logs else ""
    if ref.agent == "copilot-vscode":
        log = folder
    chats = tuple(sorted(s.path for s in ref.sources if s.kind == "debug-log"))
    return shape(Subject(ref.agent, ref.id, events, folder, log, chats, *by))


class Found(NamedTuple):
    """A session that can be told, and its row in a list."""

    library: Library
    ref: SessionRef
    row: dict[str, Any]

    @property
    def newest_ns(self) -> int:
        """When its newest log changed, nanoseconds; 0 without a log."""
        logs = own_files(self.ref)
        return max((source.mtime_ns for source in logs), default=0)


def found(
    where: Iterable[Library],
    *,
    since: str | None = None,
    until: str | None = None,
    workspace_filter: str | None = None,
    name_pattern: str | None = None,
    title: str | None = None,
) -> list[Found]:
    """The sessions that fit every filter, each id once, the newest created first.

    Raises BadWindow for ``since`` or ``until``, BadPattern for ``name_pattern``.
    """
    fits = list(_filters(since, until, workspace_filter, name_pattern, title))
    result: dict[str, Found] = {}
    for library in where:
        for item in listed(library):
            row = _row(library, item)
            if all(fit(row) for fit in fits):
                result.setdefault(row["session_id"], Found(library, item.ref, row))
    return sorted(
        result.values(),
        key=lambda item: (item.row["created_ms"] or 0, item.newest_ns, item.row["session_id"]),
        reverse=True,
    )


def by_id(library: Library, session: str, by: Rules) -> dict[str, Any] | None:
    """Everything about the session with this id; None when nothing holds its usage."""
    shared = library.shared_events(session=session)
    for agent in library.providers:
        ref = library.refs.get((agent, session)) or SessionRef(agent, session, ())
        if _has_usage(ref, shared):
            return told(library, ref, by, shared=shared)
    return None


def newest(
    n: int | None, where: Iterable[Library], by: Rules, **filters: str | None
) -> list[dict[str, Any]]:
    """The ``n`` newest created sessions with usage that fit the filters of ``found``, in full."""
    libraries = list(where)
    # one pass over the databases for all sessions
    shared = {id(library): library.shared_events() for library in libraries}
    items = [
        item
        for item in found(libraries, **filters)
        if _has_usage(item.ref, shared[id(item.library)])
    ]
    return [told(item.library, item.ref, by, shared=shared[id(item.library)]) for item in items[:n]]


def _has_usage(ref: SessionRef, shared: Shared) -> bool:
    """Has the session logs of its own, or calls in a database?"""
    return bool(own_files(ref)) or any(
        isinstance(event, Request | Counter) for event in shared.get((ref.agent, ref.id), ())
    )


def _filters(
    since: str | None,
    until: str | None,
    workspace: str | None,
    pattern: str | None,
    title: str | None,
) -> Iterator[Callable[[dict[str, Any]], object]]:
    import time

    from session_usage.windows import bound

    now_ms = int(time.time() * 1000)
    if since:
        first = bound(since, now_ms)
        yield lambda row: (row["created_ms"] or 0) >= first
    if until:
        last = bound(until, now_ms)
        yield lambda row: (row["created_ms"] or 0) <= last
    if workspace:
        part = workspace.casefold()
        yield lambda row: part in (row["workspace_folder"] or "").casefold()
    if pattern:
        try:
            search = re.compile(pattern, re.IGNORECASE).search
        except re.error as error:
            raise BadPattern(f"bad regular expression {pattern!r}: {error}") from None
        yield lambda row: search(row["title"] or "") or search(row["session_id"])
    if title:
        wanted = title.casefold()
        yield lambda row: wanted in (row["title"] or "").casefold()


def _row(library: Library, item: Listed) -> dict[str, Any]:
    ref, meta = item
    logs = own_files(ref)
    created, last = meta.created_ms, meta.updated_ms
    if created is None and logs:
        created = _begun(logs[0]) or logs[0].mtime_ns // 1_000_000
    if last is None and logs:
        last = ref.updated_ns // 1_000_000
    row = {
        "session_id": ref.id,
        "provider": SHORT.get(ref.agent, ref.agent),
        "title": meta.title,
        "created_ms": created,
        "created_at": stamp(created),
        "last_message_ms": last,
        "last_activity_at": stamp(last),
        "workspace_folder": meta.workspace,
        "workspace_hash": None,
        "debug_log_dir": os.path.dirname(logs[0].path) if logs else None,
        "has_debug_logs": bool(logs),
    }
    if ref.agent == "copilot-vscode":
        storage = _storage(ref, meta)
        if storage and os.path.basename(storage) != "globalStorage":
            row["workspace_hash"] = os.path.basename(storage)
            row["workspace_folder"] = meta.workspace or _workspace(library, ref, storage)
            row["debug_log_dir"] = os.path.join(storage, _EXTENSION, "debug-logs", ref.id)
        row["has_debug_logs"] = any(source.kind == "debug-log" for source in ref.sources)
    else:
        row.update(git_root=meta.project, branch=meta.branch)
    return row


def own_files(ref: SessionRef) -> list[Source]:
    """The logs of a session: what holds its usage, not what only lists it."""
    return [source for source in ref.sources if source.kind not in _BESIDE]


def _storage(ref: SessionRef, meta: Meta) -> str | None:
    """The workspace's folder below ``workspaceStorage``; None for windows without one."""
    paths = [source.path for source in ref.sources] or [meta.path]
    for path in paths:
        folder = os.path.dirname(path)
        while os.path.dirname(folder) != folder:
            if os.path.exists(os.path.join(folder, "state.vscdb")) or os.path.isdir(
                os.path.join(folder, _EXTENSION)
            ):
                return folder
            folder = os.path.dirname(folder)
    return None


def _workspace(library: Library, ref: SessionRef, storage: str) -> str | None:
    """The folder of a session that has no file of its own beside ``workspace.json``."""
    source = Source(ref.agent, "folder", os.path.join(storage, "workspace.json"), ref.id)
    for event in library.provider(source).read(source):
        if isinstance(event, Meta):
            return event.workspace
    return None


def _begun(source: Source) -> int | None:
    """The first time in a log that no catalogue dates."""
    if source.path.endswith((".db", ".sqlite")):
        return None
    try:
        with open(source.path, "rb") as file:
            found = _BEGUN.search(file.read(1 << 16))
    except OSError:
        return None
    if not found:
        return None
    return instant(found[1].decode("ascii", "replace")) if found[1] else int(found[2])
