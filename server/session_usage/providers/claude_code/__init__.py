"""Claude Code: the transcripts below ``$CLAUDE_CONFIG_DIR`` (else ``~/.claude``).

Files
-----
``projects/<slug>/<session>.jsonl`` is a session; the slug is lossy, the true folder is the
records' ``cwd``. Subagents write ``<session>/subagents/**/agent-<id>.jsonl`` beside an
``agent-<id>.meta.json`` (since about 2.1), ``agent-<id>.jsonl`` in the project folder (2.0)
or into the session's own file with ``isSidechain`` (1.0). ``<session>/custom-title.json``
and, in old versions, ``sessions-index.json`` know titles.

How calls are counted
---------------------
- A response is one ``assistant`` line per content block, all with one ``message.id``: the
  key. Never ``requestId`` as well: 1.0's ``--continue`` copies the history into a new file
  under new uuids and times and without request ids. Without an id the line's uuid is the key.
- Up to 2.1.75 lines are written while the answer streams, with a placeholder as output, and
  the last line may have the true figure: the line with the largest output counts, and a
  response whose best line has no ``stop_reason`` is a gap. Newer versions write all lines
  after the end. An interrupted response (``isAbortedMidStream``) has only the placeholder.
- The owner of a line is ``requestSessionId``, else ``forkedFrom.sessionId``, else its
  ``sessionId``; a line whose owner is not this file's session is a copy (``copied``).
- 1.0's copies name no owner. They are given as calls of this file's session; of equal keys
  the consumer keeps the one with ``copied`` false, then the one with the oldest start.
- A fork agent's file repeats its parent's tool-use line: a copy of the same session.
- ``usage.iterations`` of other types than ``message`` (``advisor_message``, ``compaction``)
  are spending of their own, under their own model, that the figures above them leave out.
- ``<synthetic>`` lines are made by the client: a failed call if ``isApiErrorMessage``, else
  nothing. Retries are ``system``/``api_error`` lines. Both have null tokens, RULES R1.
- Titles, side questions, compaction and permission checks are in no line; the cumulative
  ``cost-state`` (since about 2.1.2xx) knows them: counters, never added (RULES R4).
- ``toolUseResult.usage`` and ``compactMetadata`` repeat what others say: never counted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from session_usage.events import START, Calls, Cursor, Event, Meta, Problem, Source, one_by_one
from session_usage.messages import Message
from session_usage.places import Places, entries, stamp
from session_usage.providers import Provider
from session_usage.providers.claude_code.files import AGENT, glance, opening


class ClaudeCode(Provider):
    """Finds and reads Claude Code's transcripts; see the module's text for the rules."""

    agent = AGENT
    label = "Claude Code"
    listing = frozenset({"index", "title"})
    growing = frozenset({"transcript", "agent"})
    forks = True
    switches = ()

    def sources(self, places: Places) -> Iterator[Source]:
        """Transcripts, subagents' transcripts, titles; found by listing folders alone.

        Without ``$CLAUDE_CONFIG_DIR`` the folder of some old installations,
        ``~/.config/claude``, is looked at too.
        """
        roots = places.only(AGENT)
        if roots is None:
            roots = (places.configured("CLAUDE_CONFIG_DIR", ".claude"),)
            if not places.env.get("CLAUDE_CONFIG_DIR"):
                roots += (places.join(places.xdg("XDG_CONFIG_HOME", ".config"), "claude"),)
        for root in roots:
            for project in entries(os.path.join(root, "projects")):
                yield from _project(project.path)

    def at(self, path: str) -> Iterator[Source]:
        """The transcript at ``path`` (or of the folder at ``path``) and its subagents'."""
        stem = path.removesuffix(".jsonl")
        if not _looks_like_transcript(stem + ".jsonl"):
            return
        name = os.path.basename(stem)
        yield Source(AGENT, "transcript", stem + ".jsonl", name, *stamp(stem + ".jsonl"))
        yield from _beside(stem, name)

    def read(
        self, source: Source, at: Cursor = START, *, session: str | None = None, full: bool = True
    ) -> Iterator[Event]:
        """The events of one file; ``session`` narrows nothing, no file holds many."""
        if source.kind in ("index", "title"):
            from session_usage.providers.claude_code.titles import read_titles

            return read_titles(source)
        if not full and at == START:
            return one_by_one(self.totals(source))
        from session_usage.providers.claude_code.transcript import Transcript

        return Transcript(source, at, full).events()

    def totals(self, source: Source, *, session: str | None = None) -> Iterator[Event | Calls]:
        """See ``Provider``; what all calls of a transcript share is told once."""
        if source.kind in ("index", "title"):
            return self.read(source)
        from session_usage.providers.claude_code.totals import Totals

        return Totals(source).events()

    def glance(self, source: Source) -> Iterator[Meta]:
        """Folder, branch and times from the first and the last lines of a transcript."""
        if source.kind == "transcript":
            yield from glance(source)

    def opening(self, source: Source) -> Iterator[Meta]:
        """Folder and start of a session."""
        if source.kind == "transcript":
            yield from opening(source)

    def project(self, source: Source) -> str:
        """The folder that the slug may stand for: ``-`` is no longer told from ``/``."""
        return os.path.basename(os.path.dirname(source.path)).replace("-", "/")

    def noted(self, source: Source, session: str) -> tuple[str | None, int | None]:
        """What the index of old versions says."""
        from session_usage.providers.claude_code.titles import noted

        return noted(source, session)

    def messages(self, sources: Sequence[Source], session: str) -> Iterator[Message | Problem]:
        """What was said in a session, by its sources; see ``Provider``."""
        from session_usage.providers.claude_code.messages import read_messages

        return read_messages(sources, session)


def _project(folder: str) -> Iterator[Source]:
    for entry in entries(folder):
        name = entry.name
        if name.endswith(".jsonl"):
            if name.startswith("agent-"):
                yield Source(AGENT, "agent", entry.path, None, *stamp(entry))
            else:
                yield Source(AGENT, "transcript", entry.path, name[:-6], *stamp(entry))
        elif name == "sessions-index.json":
            yield Source(AGENT, "index", entry.path, None, *stamp(entry))
        elif "." not in name:
            yield from _beside(entry.path, name)


def _beside(folder: str, session: str) -> Iterator[Source]:
    """What a session keeps in the folder beside its transcript."""
    for entry in entries(folder):
        if entry.name == "custom-title.json":
            yield Source(AGENT, "title", entry.path, session, *stamp(entry))
        elif entry.name == "subagents":
            yield from _subagents(entry.path, session)


def _looks_like_transcript(path: str) -> bool:
    """Does one of the first lines have the marks of Claude Code?"""
    try:
        with open(path, "rb") as file:
            head = file.read(1 << 14)
    except OSError:
        return False
    return any(mark in head for mark in (b'"sessionId":', b'"leafUuid":', b'"isSidechain":'))


def _subagents(folder: str, session: str) -> Iterator[Source]:
    for entry in entries(folder):
        if entry.name.endswith(".jsonl"):
            if entry.name.startswith("agent-"):
                yield Source(AGENT, "agent", entry.path, session, *stamp(entry))
        elif not entry.name.endswith(".json"):
            yield from _subagents(entry.path, session)


PROVIDER = ClaudeCode()
