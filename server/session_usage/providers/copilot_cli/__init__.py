"""GitHub Copilot CLI (and App): its session folders and its usage database.

``$COPILOT_HOME`` (``~/.copilot``) holds, for all versions seen (0.0.403 to 1.0.102):

- ``session-state/<id>/events.jsonl``, the *journal*: one event a line, appended in batches,
  rewritten when the user rewinds. ``session.usage_record`` (from 1.0.102) is one model call,
  ``session.compaction_complete`` holds the call that compacted, ``model.model_call_success``
  a background call (title) or a manual compaction, ``tool.execution_complete.toolUsage`` the
  spend of a tool. ``session.shutdown`` (and ``session.usage_checkpoint``) are counters: of
  this run in old versions, of the whole session in new ones. ``assistant.message`` proves a
  call and, up to 1.0.79, tells its output tokens.
- ``session-state/<id>/workspace.yaml``: title, folder, branch.
- ``session-store.db``: ``assistant_usage_events`` (from 1.0.70) has one row per call, immune
  to kills, rewinds and forks; without background calls. ``sessions`` lists the sessions.
- ``agentHostUsage/<id>.jsonl`` in VS Code's user data: calls of sessions that VS Code hosts.

Tokens: ``inputTokens`` is the whole prompt. A fork copies earlier events of its origin below
its own ``session.start``: what is older than that start was spent by the origin.
With the user's own key (BYOK) no amount is written; counters print 0, which means unknown.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from session_usage.events import START, Cursor, Event, Problem, Source
from session_usage.messages import Message
from session_usage.places import Places, entries, stamp, subfolders
from session_usage.providers import Provider
from session_usage.providers.copilot_cli.state import AGENT


class CopilotCli(Provider):
    """Reads the sessions of Copilot CLI and of the Copilot App."""

    agent = AGENT
    label = "GitHub Copilot CLI"
    listing = frozenset({"workspace", "catalogue"})
    growing = frozenset({"journal", "database", "host-usage"})
    forks = True
    switches = ()

    def sources(self, places: Places) -> Iterator[Source]:
        own = places.only(AGENT)
        for home in own or (places.copilot_home(),):
            yield from _home(places, home)
        if own is not None:
            return
        for user_data in places.vscode():
            for entry in entries(places.join(user_data, "User", "agentHostUsage")):
                if entry.name.endswith(".jsonl"):
                    yield _source("host-usage", entry.path, entry.name[:-6])

    def at(self, path: str) -> Iterator[Source]:
        if os.path.isdir(path):
            yield from session_folder(path)
        elif path.endswith(".jsonl") and _looks_like_journal(path):
            folder = os.path.basename(os.path.dirname(path))
            yield _source("journal", path, folder)

    def read(
        self, source: Source, at: Cursor = START, *, session: str | None = None, full: bool = True
    ) -> Iterator[Event]:
        # each reader is imported when there is something for it to read
        if source.kind == "journal":
            from session_usage.providers.copilot_cli.journal import read_journal

            return read_journal(source, at, full)
        if source.kind in ("database", "catalogue"):
            from session_usage.providers.copilot_cli import database

            if source.kind == "database":
                return database.read_database(source, at, session)
            return database.read_catalogue(source, session)
        if source.kind == "host-usage":
            from session_usage.providers.copilot_cli.host import read_host_usage

            return read_host_usage(source, at)
        from session_usage.providers.copilot_cli.workspace import read_workspace

        return read_workspace(source)

    def messages(self, sources: Sequence[Source], session: str) -> Iterator[Message | Problem]:
        """What was said in a session, by its sources; see ``Provider``."""
        from session_usage.providers.copilot_cli.messages import read_messages

        return read_messages(sources)


PROVIDER = CopilotCli()


def _source(kind: str, path: str, session: str | None) -> Source:
    size, mtime_ns = stamp(path)
    return Source(AGENT, kind, path, session, size, mtime_ns)


def _home(places: Places, home: str) -> Iterator[Source]:
    state = places.join(home, "session-state")
    # a folder that a caller names may hold the sessions themselves
    for folder in subfolders(state if os.path.isdir(state) else home):
        yield from session_folder(folder)
    database = places.join(home, "session-store.db")
    if stamp(database)[0]:
        yield _source("catalogue", database, None)
        yield _source("database", database, None)


def session_folder(folder: str) -> Iterator[Source]:
    """The sources in one folder below ``session-state``; none when it is no session."""
    files = {entry.name: entry.path for entry in entries(folder)}
    name = os.path.basename(os.path.normpath(folder))
    if "workspace.yaml" in files:
        yield _source("workspace", files["workspace.yaml"], name)
    if "events.jsonl" in files:
        yield _source("journal", files["events.jsonl"], name)


def _looks_like_journal(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            head = file.read(1 << 16)
    except OSError:
        return False
    return b'"type":' in head and b'"data":' in head and b'"parentId":' in head
