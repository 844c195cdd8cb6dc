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
beside the child's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from operator import lt
from typing import Any

from session_usage.events import (
    API,
    START,
    Cursor,
    Event,
    Meta,
    Problem,
    Request,
    Source,
    ToolCall,
    Turn,
)
from session_usage.jsonl import Scan, instant, mapping, parse, text, whole
from session_usage.places import Places, entries, stamp

AGENT = "codex"

_NAME = re.compile(r"rollout-.+-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.jsonl(\.zst)?$")
_STATE = re.compile(r"state_(\d+)\.sqlite$")
_VENDORS = {
    "openai": "openai",
    "azure": "azure.ai.openai",
    "amazon-bedrock": "aws.bedrock",
    "ollama": "ollama",
}
"""``model_provider`` as ``gen_ai.provider.name``; other names are the user's own."""
_TOKENS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_input_tokens",
    "output_tokens",
    "reasoning_output_tokens",
)
_CALLS = frozenset({"function_call", "custom_tool_call", "local_shell_call", "web_search_call"})

_HEAD = rb'\s*\{"timestamp": ?"[^"]*", ?(?:"ordinal": ?\d+, ?)?"type": ?"'
_EVENTS = (
    rb'event_msg", ?"payload": ?\{"type": ?"(?:agent_message|agent_reasoning|item_\w+|'
    rb"agent_reasoning_\w+|exec_\w+|patch_\w+|mcp_\w+|web_search_\w+|turn_diff|plan_\w+|"
    rb"thread_\w+|context_compacted|view_image_\w+|entered_\w+|exited_\w+|stream_error|error|"
    rb"warning|background_event|undo_\w+|collab_\w+|raw_\w+"
)
_ITEMS = (
    rb'response_item", ?"payload": ?\{"type": ?"'
    rb"(?:message|reasoning|function_call_output|custom_tool_call_output|ghost_snapshot|"
    rb"agent_message|compaction\w*|other"
)
_ENDS = rb'"|world_state"|inter_agent_\w+"))|\s*$'
_skip = re.compile(rb"(?:" + _HEAD + rb"(?:" + _EVENTS + rb')"|' + _ITEMS + rb")" + _ENDS).match
_skip_for_totals = re.compile(
    rb"(?:"
    + _HEAD
    + rb"(?:"
    + _EVENTS
    + rb'|user_message)"|'
    + _ITEMS
    + rb"|function_call|custom_tool_call|local_shell_call)"
    + _ENDS
).match


class Codex:
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
            yield from _Rollout(source, at, full).events()
            return
        if source.kind == "compressed":
            words = (
                "a compressed rollout is not read: decompress it (zstd -d) to count this session"
            )
            yield Problem("unreadable", source.path, None, words, AGENT, source.session)
        elif source.kind == "database":
            yield from _threads(source, session)
        else:
            yield from _index(source, session)
        yield Cursor()


def _source(path: str, match: re.Match[str], size_and_time: tuple[int, int]) -> Source:
    kind = "compressed" if match[2] else "rollout"
    return Source(AGENT, kind, path, match[1], *size_and_time)


def _rollouts(folder: str) -> Iterator[os.DirEntry[str]]:
    for entry in entries(folder):
        if entry.name.startswith("rollout-"):
            yield entry
        elif entry.name.isdigit():
            yield from _rollouts(entry.path)


class _Rollout:
    """One pass over a rollout, from a cursor."""

    def __init__(self, source: Source, at: Cursor, full: bool) -> None:
        self.source = source
        self.path = source.path
        self.start = at.offset
        self.full = full
        self.thread = source.session or ""
        state = dict(at.state[0]) if at.state else {}
        self.facts: dict[str, Any] = state.get("facts", {})
        """What holds for all lines that follow, JSON values only."""
        self.total: list[int] | None = state.get("total")

    def state(self) -> tuple[Any, ...]:
        return ({"facts": dict(self.facts), "total": self.total},)

    def events(self) -> Iterator[Event]:
        scan = Scan(self.path, start=self.start, skip=_skip if self.full else _skip_for_totals)
        state: tuple[Any, ...] | None = None
        try:
            for line in scan:
                if not line.whole:
                    state = self.state()
                record, reason = parse(line.data, b'"last_token_usage":')
                if reason:
                    yield self._problem("malformed", line.offset, f"a line is {reason}")
                if not record:
                    continue
                payload = record.get("payload")
                if type(payload) is dict and payload.get("type") == "token_count":
                    request = self._token_count(record, payload, line.offset)
                    if request:
                        yield request
                elif type(payload) is dict:
                    yield from self._record(record, payload, line.offset)
                else:
                    self._bare(record)
        except OSError as error:
            kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
            yield self._problem(kind, None, f"cannot be read: {error.strerror}")
        yield from self._end()
        yield Cursor(scan.offset, self.state() if state is None else state)

    def _problem(self, kind: str, offset: int | None, words: str) -> Problem:
        session = self.facts.get("session", self.source.session)
        return Problem(kind, self.path, offset, words, AGENT, session)

    def _once(self, kind: str, about: str, words: str) -> Iterator[Problem]:
        if not self.facts.get(about):
            self.facts[about] = True
            yield self._problem(kind, None, words)

    def _record(
        self, record: dict[str, Any], payload: dict[str, Any], offset: int
    ) -> Iterator[Event]:
        facts = self.facts
        time = self._time(record)
        kind = text(record.get("type"))
        if kind == "event_msg" or kind == "response_item":
            kind = text(payload.get("type"))
        turn = text(payload.get("turn_id")) or text(
            mapping(payload.get("turn_attribution")).get("turn_id")
        )
        if facts.get("replay") and (kind == "task_started" or kind == "turn_context"):
            facts["turns"] = facts.get("turns", 0) + (kind == "task_started")
        if facts.get("replay") and self._is_own(record, kind, turn):
            facts["replay"] = False
        if kind == "session_meta":
            self._meta(payload, offset)
        elif kind == "turn_context":
            facts["model"] = text(payload.get("model")) or facts.get("model")
            facts["cwd"] = text(payload.get("cwd")) or facts.get("cwd")
        elif kind == "token_usage_record":
            yield from self._usage_record(payload, time, offset)
        elif facts.get("replay"):
            return
        elif kind == "compacted":
            yield from self._compacted()
        elif kind == "task_started" or kind == "user_message":
            if kind == "task_started":
                facts["turn"] = turn
            elif facts.get("turn") and not facts.get("untitled_turns"):
                return
            else:
                facts["untitled_turns"] = True
                facts["turn"] = f"{self.thread}:{offset}"
            if self.full and facts["turn"] and not facts.get("names"):
                session = facts.get("session", self.thread)
                yield Turn(facts["turn"], AGENT, session, self.path, offset, time)
        elif kind == "task_complete":
            if mapping(payload.get("error")):
                failed = f"{self.thread}:{turn or offset}:error"
                yield self._request(failed, time, offset, status="error")
        elif kind == "turn_aborted":
            yield from self._once(
                "gap",
                "said aborted",
                "a turn was interrupted; Codex does not write what an unfinished response used",
            )
        elif kind in _CALLS:
            yield from self._tool(kind, payload, time, offset)

    def _is_own(self, record: dict[str, Any], kind: Any, turn: str | None) -> bool:
        """Does the thread's own history begin here?"""
        start = self.facts.get("own_ordinal")
        ordinal = whole(record.get("ordinal"))
        if start is not None and ordinal is not None:
            return bool(ordinal >= start)
        if kind not in ("task_started", "turn_context") or turn is None:
            return False
        made, begun = _uuid_ms(self.thread), _uuid_ms(turn)
        if made is None or begun is None:
            return bool(self.facts.get("turns", 0) > bool(self.facts.get("replayed_meta")))
        return begun >= made

    def _meta(self, meta: dict[str, Any], offset: int) -> None:
        """The first one is the file's own; a second one is its parent's, replayed."""
        facts = self.facts
        if "session" in facts:
            if text(meta.get("id")) != self.thread and facts.get("replay") is not False:
                facts["replay"] = facts["replayed_meta"] = True
            return
        # the file's name has the id, too, and one damaged byte does not reach it
        self.thread = self.thread or text(meta.get("id")) or ""
        root, names = _tree(meta, self.thread, self.path)
        git = mapping(meta.get("git"))
        vendor = text(meta.get("model_provider"))
        facts.update(
            session=root,
            thread=self.thread,
            names=names,
            cwd=text(meta.get("cwd")),
            branch=text(git.get("branch")),
            version=text(meta.get("cli_version")),
            vendor=_VENDORS.get(vendor) if vendor else None,
            created=instant(meta.get("timestamp")),
            origin=text(meta.get("forked_from_id")),
            workspace=text(meta.get("cwd")),
        )
        if offset and text(meta.get("id")) != self.thread:
            facts["replay"] = facts["replayed_meta"] = True  # the file's own one is damaged
        elif facts["origin"] and not meta.get("history_base"):
            facts["replay"] = True
            facts["own_ordinal"] = whole(meta.get("subagent_history_start_ordinal"))

    def _bare(self, record: dict[str, Any]) -> None:
        """Lines of 0.20: the first has the session's id, the others are bare items."""
        if "session" not in self.facts and text(record.get("id")) and "timestamp" in record:
            self.facts.update(
                session=self.thread,
                thread=self.thread,
                names=[],
                branch=text(mapping(record.get("git")).get("branch")),
                created=instant(record.get("timestamp")),
                bare=True,
            )

    def _time(self, record: dict[str, Any]) -> int | None:
        time = instant(record.get("timestamp"))
        if time is not None and time > self.facts.get("updated", -1):
            self.facts["updated"] = time
        return time

    def _request(
        self,
        key: str,
        time: int | None,
        offset: int,
        usage: dict[str, Any] | None = None,
        status: str = "ok",
        turn: str | None = None,
    ) -> Request:
        """A call of this thread, as of this line; the searches before it are its own."""
        facts = self.facts
        names = facts.get("names")
        usage = usage or {}
        return Request(
            key=key,
            agent=AGENT,
            session=facts.get("session", self.thread),
            source="rollout",
            path=self.path,
            offset=offset,
            started_ms=time,
            model=facts.get("model"),
            provider=facts.get("vendor"),
            billing=API,
            status=status,
            input_tokens=whole(usage.get("input_tokens")),
            cache_read_tokens=whole(usage.get("cached_input_tokens")),
            cache_write_tokens=whole(usage.get("cache_write_input_tokens")),
            output_tokens=whole(usage.get("output_tokens")),
            reasoning_tokens=whole(usage.get("reasoning_output_tokens")),
            subagent=tuple(names) if names else (),
            subagent_id=self.thread if names else None,
            turn=turn or facts.get("turn"),
            web_searches=facts.get("searches"),
            branch=facts.get("branch"),
            cwd=facts.get("cwd"),
        )

    def _usage_record(
        self, payload: dict[str, Any], time: int | None, offset: int
    ) -> Iterator[Request]:
        key = text(payload.get("response_id")) or f"{self.thread}:{offset}"
        turn = text(payload.get("root_turn_id")) or text(payload.get("turn_id"))
        request = self._request(key, time, offset, mapping(payload.get("usage")), turn=turn)
        thread = text(payload.get("thread_id"))
        if thread is not None and thread != self.thread:
            owner = text(payload.get("session_id")) or thread
            yield request._replace(session=owner, copied=True, subagent=(), subagent_id=None)
            return
        self.facts["records"] = True
        yield self._counted(request)

    def _counted(self, request: Request) -> Request:
        facts = self.facts
        facts["searches"] = None
        facts["last"] = list(request) if facts.get("repeated") else None
        facts["repeated"] = False
        return request

    def _token_count(
        self, record: dict[str, Any], payload: dict[str, Any], offset: int
    ) -> Request | None:
        info = mapping(payload.get("info"))
        stated = info.get("total_token_usage")
        if type(stated) is not dict:
            return None
        total = [
            value if type(value) is int and value >= 0 else whole(value) or 0
            for value in map(stated.get, _TOKENS)
        ]
        before = self.total
        if before:  # a field that was there and is not: the line is damaged
            for at, name in enumerate(_TOKENS):
                if name not in stated:
                    total[at] = before[at]
        self.total = total
        facts = self.facts
        time = self._time(record)
        if before == total:
            facts["repeated"] = True
            return None
        if facts.get("replay"):
            if not self._is_own(record, "token_count", None):
                return None
            facts["replay"] = False
        if facts.get("records"):
            return None
        if before is None or any(map(lt, total, before)):
            last = mapping(info.get("last_token_usage"))
            usage = last or stated
            if before and last:
                steps_on = [whole(last.get(name)) or 0 for name in _TOKENS]
                if total != steps_on:  # no new beginning: a damaged figure, to be passed over
                    self.total = [old + step for old, step in zip(before, steps_on, strict=True)]
        else:
            steps = zip(_TOKENS, total, before, strict=True)
            usage = {name: new - old for name, new, old in steps if name in stated}
        if not any(map(usage.get, _TOKENS)):
            return None
        key = f"{self.thread}:{'/'.join(map(str, total))}"
        return self._counted(self._request(key, time, offset, usage))

    def _compacted(self) -> Iterator[Request]:
        last = self.facts.get("last")
        if last:
            self.facts["last"] = None
            request = Request(*last)
            yield request._replace(subagent=tuple(request.subagent), surface="compaction")

    def _tool(
        self, kind: str, payload: dict[str, Any], time: int | None, offset: int
    ) -> Iterator[ToolCall]:
        name = text(payload.get("name"))
        if kind == "web_search_call":
            name = "web_search"
            if mapping(payload.get("action")).get("type", "search") == "search":
                self.facts["searches"] = (self.facts.get("searches") or 0) + 1
        elif kind == "local_shell_call":
            name = "local_shell"
        if not self.full or name is None:
            return
        yield ToolCall(
            key=text(payload.get("call_id")) or f"{self.thread}:{offset}",
            agent=AGENT,
            session=self.facts.get("session", self.thread),
            path=self.path,
            offset=offset,
            at_ms=time,
            name=name,
            subagent=tuple(self.facts.get("names", ())),
            turn=self.facts.get("turn"),
        )

    def _end(self) -> Iterator[Event]:
        facts = self.facts
        session = facts.get("session")
        if session is None:
            return
        if facts.get("bare"):
            yield from self._once(
                "gap",
                "said bare",
                "this version of Codex wrote no usage: what the session cost is not known",
            )
        if facts.get("replay"):
            yield from self._once(
                "gap",
                "said replay",
                "this fork's own calls cannot be told from the history it repeats",
            )
        names = facts.get("names")
        if names:
            named = ((self.thread, names[-1]),)
            yield Meta(AGENT, session, self.path, updated_ms=facts.get("updated"), names=named)
            return
        yield Meta(
            AGENT,
            session,
            self.path,
            workspace=facts.get("workspace"),
            branch=facts.get("branch"),
            version=facts.get("version"),
            model=facts.get("model"),
            created_ms=facts.get("created"),
            updated_ms=facts.get("updated") or facts.get("created"),
            origin=facts.get("origin"),
        )


def _uuid_ms(value: str) -> int | None:
    """The time in a UUID of version 7; None for any other id."""
    if len(value) != 36 or value[14] != "7":
        return None
    try:
        return int(value[:8] + value[9:13], 16)
    except ValueError:
        return None


def _tree(meta: dict[str, Any], thread: str, path: str) -> tuple[str, list[str]]:
    """(session at the root of the tree, names from the first subagent down to this thread)."""
    origin = mapping(meta.get("source")).get("subagent")
    if origin is None and meta.get("thread_source") != "subagent":
        return thread, []
    spawn = mapping(mapping(origin).get("thread_spawn"))
    role = text(meta.get("agent_role")) or text(spawn.get("agent_role"))
    nickname = text(meta.get("agent_nickname")) or text(spawn.get("agent_nickname"))
    name = role if role and role != "default" else nickname or text(origin) or "subagent"
    parent = text(meta.get("parent_thread_id")) or text(spawn.get("parent_thread_id"))
    root = text(meta.get("session_id"))
    names: list[str] = []
    depth = whole(spawn.get("depth")) or 1
    if parent and 1 < depth <= 16:
        above = _first_meta(os.path.dirname(path), parent)
        # a parent as deep as its child would send us round in circles
        if (whole(_spawn(above).get("depth")) or 0) < depth:
            parent, names = _tree(above, parent, path) if above else (parent, [])
    return root or parent or thread, [*names, name]


def _spawn(meta: dict[str, Any]) -> dict[str, Any]:
    return mapping(mapping(mapping(meta.get("source")).get("subagent")).get("thread_spawn"))


def _first_meta(folder: str, thread: str) -> dict[str, Any]:
    """The first record of the thread's rollout, if it lies in this folder too."""
    for entry in entries(folder):
        if entry.name.endswith(f"-{thread}.jsonl"):
            try:
                with open(entry.path, "rb") as file:
                    record, _ = parse(file.readline(1 << 20))
            except OSError:
                break
            return mapping(mapping(record).get("payload"))
    return {}


def _index(source: Source, session: str | None) -> Iterator[Event]:
    """Names given by the user; the last line of a thread wins."""
    try:
        for line in Scan(source.path):
            record, reason = parse(line.data)
            if reason:
                words = f"a line is {reason}"
                yield Problem("malformed", source.path, line.offset, words, AGENT)
            thread = text(mapping(record).get("id"))
            title = text(mapping(record).get("thread_name"))
            if thread and title and session in (None, thread):
                yield Meta(AGENT, thread, source.path, title=title, rank=3)
    except OSError as error:
        kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
        words = f"cannot be read: {error.strerror}"
        yield Problem(kind, source.path, None, words, AGENT, session)


_COLUMNS = (
    "id",
    "cwd",
    "title",
    "name",
    "git_branch",
    "cli_version",
    "model",
    "created_at",
    "created_at_ms",
    "updated_at",
    "updated_at_ms",
    "source",
    "agent_nickname",
    "agent_role",
)


def _threads(source: Source, session: str | None) -> Iterator[Event]:
    """Titles, folders and the tree of threads; ``tokens_used`` counts a fork's parent too."""
    from session_usage import sqlite

    try:
        with sqlite.reading(source.path) as connection:
            threads = {row[1]: row[2:] for row in sqlite.rows(connection, "threads", _COLUMNS)}
            edges = ("parent_thread_id", "child_thread_id")
            parents = {
                row[2]: row[1] for row in sqlite.rows(connection, "thread_spawn_edges", edges)
            }
    except sqlite.Unreadable as error:
        yield Problem(error.kind, source.path, None, str(error), AGENT, session)
        return
    for thread, row in threads.items():
        cwd, title, name, branch, version, model, *times, origin, nickname, role = row
        if thread not in parents and text(origin) and origin.startswith("{"):
            about, _ = parse(origin.encode())
            above = text(_spawn({"source": about}).get("parent_thread_id"))
            if above:
                parents[thread] = above
        root, steps = thread, 0
        while root in parents and steps < 64:
            root, steps = parents[root], steps + 1
        if session not in (None, root):
            continue
        if root != thread:
            named = role if role and role != "default" else nickname
            if text(named):
                yield Meta(AGENT, root, source.path, names=((thread, named),))
            continue
        created, created_ms, updated, updated_ms = map(whole, times)
        yield Meta(
            AGENT,
            thread,
            source.path,
            title=text(title),
            workspace=text(cwd),
            branch=text(branch),
            version=text(version),
            model=text(model),
            created_ms=created_ms or (created * 1000 if created else None),
            updated_ms=updated_ms or (updated * 1000 if updated else None),
        )
        if text(name):
            yield Meta(AGENT, thread, source.path, title=name, rank=3)


PROVIDER = Codex()
