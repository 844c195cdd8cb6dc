"""Codex: the rollouts below ``$CODEX_HOME`` (else ``~/.codex``).

Files
-----
``sessions/YYYY/MM/DD/rollout-<time>-<thread>.jsonl``, moved to ``archived_sessions/`` (flat)
when archived; where both hold a name, the first counts. Cold ones may be ``.jsonl.zst``.
``session_index.jsonl`` has names given by the user, ``state_<n>.sqlite`` (0.133 and later)
titles, folders and which thread started which: an index, not a source of usage.

A line is ``{"timestamp", "ordinal"?, "type", "payload"}``. 0.20 wrote bare items and no usage.

How calls are counted
---------------------
- ``token_usage_record`` (after 0.150): one per response, written at once. The key is its
  ``response_id``. One of another thread than the file's first ``session_meta`` is a copy.
  From the first of them on, a file's ``token_count`` events are not used.
- Else ``token_count``: ``total_token_usage`` is cumulative. A call is the difference to the
  total before; an unchanged total is a repetition (0.45 to 0.104 repeat each, all versions
  before a compaction, after an error and on abort). ``last_token_usage`` counts where there
  is no total before, or one that fell. The key is the thread and the new total.
- A fork's or subagent's file may begin with a replay of the parent, with the fork's times
  and the parent's totals. What is replayed sets the total and counts for nothing. It ends at
  ``subagent_history_start_ordinal``, else at the first turn begun after the thread was made:
  thread and turn ids are UUIDs of version 7, whose first 48 bits are their time.
- Two events within one second are no sign of a replay: children are that fast.
- The model is that of the latest ``turn_context`` in file order.
- Input includes cache reads and writes, output includes reasoning.
- ``task_complete.error`` is a failed call; retries before it leave no trace. What an
  interrupted or killed response used is never written.
- The call right before ``compacted`` is the compaction, if a repeated total announced it.

A subagent's thread is a file of its own, but its calls belong to the session at the root of
the tree: ``session_id`` (0.150 and later), else the parent's, whose file is looked for
in the folders of the days around its birth, which its id tells. What a parent's log says of
its children is the ``agent_id`` in the result of ``spawn_agent``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from session_usage.events import START, Calls, Cursor, Event, Meta, Problem, Source, one_by_one
from session_usage.messages import Message
from session_usage.places import Places, entries, stamp
from session_usage.providers import Provider
from session_usage.providers.codex.threads import AGENT, children, glance, opening

if TYPE_CHECKING:
    from session_usage.providers.codex.rollout import Rollout

_NAME = re.compile(r"rollout-.+-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.jsonl(\.zst)?$")
_STATE = re.compile(r"state_(\d+)\.sqlite$")


class Codex(Provider):
    """Finds and reads Codex's rollouts; see the module's text for the rules."""

    agent = AGENT
    label = "Codex"
    listing = frozenset({"database", "index"})
    growing = frozenset({"rollout"})
    forks = True
    switches = ()

    def sources(self, places: Places) -> Iterator[Source]:
        """Rollouts, the index of names and the newest state database; by listing alone."""
        roots = places.only(AGENT)
        own = roots is None
        for root in roots or (places.configured("CODEX_HOME", ".codex"),):
            seen: set[str] = set()
            for folder in ("sessions", "archived_sessions"):
                for entry in _rollouts(os.path.join(root, folder)):
                    match = _NAME.match(entry.name)
                    name = entry.name.removesuffix(".zst")
                    if match and name not in seen:
                        seen.add(name)
                        yield _source(entry.path, match, stamp(entry))
            found = entries(root)
            for entry in found:
                if entry.name == "session_index.jsonl":
                    yield Source(AGENT, "index", entry.path, None, *stamp(entry))
            databases = places.env.get("CODEX_SQLITE_HOME") if own else None
            states = [
                (int(match[1]), entry)
                for entry in (entries(databases) if databases else found)
                if (match := _STATE.match(entry.name))
            ]
            if states:
                newest = max(states, key=lambda state: state[0])[1]
                yield Source(AGENT, "database", newest.path, None, *stamp(newest))

    def at(self, path: str) -> Iterator[Source]:
        """The rollout at ``path``, by its name."""
        match = _NAME.match(os.path.basename(path))
        if match and os.path.isfile(path):
            yield _source(path, match, stamp(path))

    def read(
        self, source: Source, at: Cursor = START, *, session: str | None = None, full: bool = True
    ) -> Iterator[Event]:
        """The events of one source; ``session`` narrows the database and the index."""
        if source.kind == "rollout":
            yield from one_by_one(_reader(source, at, full).events())
            return
        if source.kind == "compressed":
            words = (
                "a compressed rollout is not read: decompress it (zstd -d) to count this session"
            )
            yield Problem("unreadable", source.path, None, words, AGENT, source.session)
        else:
            from session_usage.providers.codex import catalogue

            read = catalogue.read_threads if source.kind == "database" else catalogue.read_index
            yield from read(source, session)
        yield Cursor()

    def totals(self, source: Source, *, session: str | None = None) -> Iterator[Event | Calls]:
        """The same, calls in a row of one model together."""
        if source.kind != "rollout":
            return self.read(source, session=session, full=False)
        return _reader(source, START, full=False).events()

    def glance(self, source: Source) -> Iterator[Meta]:
        """Folder, branch and times of a thread that no subagent made."""
        if source.kind == "rollout":
            yield from glance(source)

    def opening(self, source: Source) -> Iterator[Meta]:
        """Folder and start of a thread, or the session that a subagent's belongs to."""
        if source.kind == "rollout":
            yield from opening(source)

    def children(self, source: Source) -> Iterator[tuple[str, str]]:
        """Threads of subagents; before 0.133 no database tells of them."""
        if source.kind == "rollout":
            yield from children(source)

    def messages(self, sources: Sequence[Source], session: str) -> Iterator[Message | Problem]:
        """What was said in a session, by its sources; see ``Provider``."""
        from session_usage.providers.codex.messages import read_messages

        return read_messages(sources)


def _reader(source: Source, at: Cursor, full: bool) -> Rollout:
    if full:
        from session_usage.providers.codex.rollout import Rollout

        return Rollout(source, at)
    from session_usage.providers.codex.totals import Totals

    return Totals(source, at)


def _source(path: str, match: re.Match[str], size_and_time: tuple[int, int]) -> Source:
    kind = "compressed" if match[2] else "rollout"
    return Source(AGENT, kind, path, match[1], *size_and_time)


def _rollouts(folder: str) -> Iterator[os.DirEntry[str]]:
    for entry in entries(folder):
        if entry.name.startswith("rollout-"):
            yield entry
        elif entry.name.isdigit():
            yield from _rollouts(entry.path)


PROVIDER = Codex()
