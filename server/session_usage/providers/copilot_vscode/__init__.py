"""GitHub Copilot Chat in VS Code: everything a user-data folder tells of a session.

No source is complete (seen in VS Code 1.116 to 1.139, Copilot Chat 0.44 to 0.67):

- ``…/GitHub.copilot-chat/debug-logs/<session>/*.jsonl`` (off by default): one ``llm_request``
  a call with its bill; ``main.jsonl`` and a file for each child (subagents, titles). Cut at
  its head when it grows too big, pruned after 50 sessions, blind to ``/compact``.
- ``chatSessions/<session>.jsonl`` (or ``.json``): the chat itself, a journal of changes. Each
  turn has ``copilotCredits``; removed turns are gone, forked ones are copied under new ids.
- ``agent-traces.db`` (off by default): a span a call, also of background calls.
- ``session-store.db``, ``state.vscdb``, ``workspace.json``, ``meta.json``: titles and folders.

A call's key is its stream's session, span id and start: span ids restart with every window
reload, response ids repeat within a turn. ``inputTokens`` is the whole prompt; cache writes
and reasoning are only in the spans. A status ``error`` without tokens is a call of unknown
cost. Models of the user's own key go through ``copilotLanguageModelWrapper``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from session_usage.events import START, Calls, Cursor, Event, Problem, Source, one_by_one
from session_usage.messages import Message
from session_usage.places import Places, entries, stamp, subfolders
from session_usage.providers import Provider, Switch
from session_usage.providers.copilot_vscode.base import AGENT


class CopilotVscode(Provider):
    """Reads the chat sessions of VS Code and of editors built from it."""

    agent = AGENT
    label = "GitHub Copilot Chat in VS Code"
    listing = frozenset({"folder", "index", "catalogue"})
    growing = frozenset({"debug-log"})
    forks = False
    switches = (
        Switch(
            "debug-log",
            "github.copilot.chat.agentDebugLog.fileLogging.enabled",
            "every model call with its tokens and its bill, live",
        ),
        Switch(
            "span-store",
            "github.copilot.chat.otel.dbSpanExporter.enabled",
            "background calls such as titles, cache writes and reasoning tokens",
        ),
    )

    def sources(self, places: Places) -> Iterator[Source]:
        seen: set[str] = set()
        for storage in places.only(AGENT) or ():
            yield from _workspaces(storage, seen)
        if places.only(AGENT) is not None:
            return
        for user_data in places.vscode():
            user = places.join(user_data, "User")
            if not os.path.isdir(user):
                continue
            yield from _workspaces(places.join(user, "workspaceStorage"), seen)
            shared = places.join(user, "globalStorage")
            yield from _sessions(shared, "github.copilot-chat", "emptyWindowChatSessions", seen)
            yield from _chats(places.join(shared, "transferredChatSessions"), None)
            for kind, name in (
                ("span-store", "github.copilot-chat/agent-traces.db"),
                ("catalogue", "github.copilot-chat/session-store.db"),
                ("index", "state.vscdb"),
            ):
                path = places.join(shared, name)
                if stamp(path)[0]:
                    yield _source(kind, path, None)

    def at(self, path: str) -> Iterator[Source]:
        if os.path.isdir(path):
            logs = tuple(session_folder(path))
            if any(_looks_like(source.path) == "debug-log" for source in logs):
                yield from logs
            return
        name = os.path.basename(path)
        kind = _looks_like(path) if name.endswith((".jsonl", ".json")) else None
        if kind == "debug-log":
            yield from session_folder(os.path.dirname(path))
        elif kind:
            yield _source(kind, path, name.rpartition(".")[0])

    def read(
        self, source: Source, at: Cursor = START, *, session: str | None = None, full: bool = True
    ) -> Iterator[Event]:
        # each reader is imported when there is something for it to read
        if source.kind == "debug-log":
            from session_usage.providers.copilot_vscode.debug_log import DebugLog

            log = DebugLog(source, at)
            return log.events() if full else one_by_one(log.totals())
        if source.kind == "chat-session":
            from session_usage.providers.copilot_vscode.chat import read_chat

            return read_chat(source)
        if source.kind == "span-store":
            from session_usage.providers.copilot_vscode.spans import read_spans

            return read_spans(source, at, session)
        from session_usage.providers.copilot_vscode import catalogue

        if source.kind == "catalogue":
            return catalogue.read_catalogue(source, session)
        if source.kind == "index":
            return catalogue.read_index(source, session)
        if source.kind == "models":
            return catalogue.read_models(source)
        return catalogue.read_folder(source)

    def totals(self, source: Source, *, session: str | None = None) -> Iterator[Event | Calls]:
        if source.kind != "debug-log":
            return self.read(source, session=session)
        from session_usage.providers.copilot_vscode.debug_log import DebugLog

        return DebugLog(source, START).totals()

    def messages(self, sources: Sequence[Source], session: str) -> Iterator[Message | Problem]:
        """What was said in a session, by its sources; see ``Provider``."""
        from session_usage.providers.copilot_vscode.messages import read_messages

        return read_messages(sources)


PROVIDER = CopilotVscode()


def _looks_like(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            head = file.read(1 << 16)
    except OSError:
        return None
    if b'"attrs"' in head and b'"type"' in head:
        return "debug-log"
    if b'"kind":0' in head or (b'"requests"' in head and b'"responderUsername"' in head):
        return "chat-session"
    return None


def _source(kind: str, path: str, session: str | None, entry: Any = None) -> Source:
    size, mtime_ns = stamp(path if entry is None else entry)
    return Source(AGENT, kind, path, session, size, mtime_ns)


def _workspaces(storage: str, seen: set[str]) -> Iterator[Source]:
    for folder in subfolders(storage):
        yield from _sessions(folder, "GitHub.copilot-chat", "chatSessions", seen)
        index = os.path.join(folder, "state.vscdb")
        if stamp(index)[0]:
            yield _source("index", index, None)


def _sessions(folder: str, extension: str, chats: str, seen: set[str]) -> Iterator[Source]:
    """Debug logs and chats of one workspace (or of windows without one)."""
    real = os.path.realpath(folder)
    if real in seen:  # a linked root is read once
        return
    seen.add(real)
    named = _named_by(folder)
    for entry in entries(os.path.join(folder, extension, "debug-logs")):
        if entry.name.endswith(".jsonl"):  # flat files of builds of March 2026
            yield _source("debug-log", entry.path, entry.name[:-6], entry)
            if named:
                yield named._replace(session=entry.name[:-6])
            continue
        if entry.is_dir():
            yield from session_folder(entry.path)
            if named:
                yield named._replace(session=entry.name)
    yield from _chats(os.path.join(folder, chats), named)


def session_folder(folder: str) -> Iterator[Source]:
    """The sources in one folder below ``debug-logs``, ``main.jsonl`` first."""
    found = entries(folder)
    files = [entry for entry in found if entry.name.endswith(".jsonl")]
    name = os.path.basename(os.path.normpath(folder))
    for entry in sorted(files, key=lambda entry: (entry.name != "main.jsonl", entry.name)):
        yield _source("debug-log", entry.path, name, entry)
    if files and any(entry.name == "models.json" for entry in found):
        yield Source(AGENT, "models", os.path.join(folder, "models.json"), name)


def _named_by(folder: str) -> Source | None:
    """What tells the workspace of all its sessions, looked at once for all of them."""
    for name in ("workspace.json", "meta.json"):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            return _source("folder", path, None)
    return None


def _chats(folder: str, named: Source | None) -> Iterator[Source]:
    found = {entry.name: entry for entry in entries(folder)}
    for name, entry in found.items():
        session, dot, ending = name.rpartition(".")
        if not dot or ending not in ("json", "jsonl"):
            continue
        if ending == "json" and session + ".jsonl" in found:
            continue  # the older form of the same chat
        yield _source("chat-session", entry.path, session, entry)
        if named:
            yield named._replace(session=session)
