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
import re
from collections.abc import Iterator, Sequence
from typing import Any

from session_usage.events import (
    API,
    START,
    Counter,
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

AGENT = "claude-code"

_MEMORY = 8
"""Messages that may still get a better line: those of agents that run side by side."""
_TIERS = frozenset({"priority", "flex", "batch"})
_KNOWN = frozenset({"assistant", "user", "system", "cost-state", "summary"}) | {
    "ai-title", "custom-title", "agent-name", "last-prompt", "worktree-state", "pr-link", "tag",
    "queue-operation", "mode", "permission-mode", "tools-used", "atis-latch", "progress",
    "file-history-snapshot", "attachment", "api-request", "api-request-shape", "api-request-blob",
    "fork-context-ref",
}  # fmt: skip
_NOT_PROMPTS = (
    "<command-name>",
    "<local-command-",
    "<system-reminder>",
    "<task-notification>",
    "[Request interrupted",
)

_DULL = (
    rb"attachment|file-history-snapshot|api-request|api-request-shape|api-request-blob|"
    rb"queue-operation|mode|permission-mode|tools-used|atis-latch|last-prompt|fork-context-ref|"
    rb"agent-name|worktree-state|pr-link|tag|progress"
)
_is_dull = re.compile(rb'"type": ?"(?:' + _DULL + rb')"').match
_is_dull_for_totals = re.compile(
    rb'"type": ?"(?:user|tool_result|ai-title|custom-title|summary|' + _DULL + rb')"'
).match
_TYPE_WITHIN = 2048
"""How far into a line its first type is looked for: what comes before is ids and paths."""


def _skip(line: bytes, begin: int, end: int) -> bool:
    """Can this line not matter? Its first ``"type"`` tells, wherever the record's own stands:
    in an assistant's line that is its own, its message's or its first block's."""
    at = line.find(b'"type"', begin, min(end, begin + _TYPE_WITHIN))
    if at < 0:
        return end - begin < _TYPE_WITHIN and line[begin:end].isspace()
    return _is_dull(line, at) is not None or line.find(b'"attachment":', begin, at) >= 0


def _skip_for_totals(line: bytes, begin: int, end: int) -> bool:
    """The same where prompts, tool results and titles do not matter either."""
    at = line.find(b'"type"', begin, min(end, begin + _TYPE_WITHIN))
    if at < 0:
        return end - begin < _TYPE_WITHIN and line[begin:end].isspace()
    return _is_dull_for_totals(line, at) is not None or line.find(b'"attachment":', begin, at) >= 0


class ClaudeCode:
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
            yield from _titles(source)
            return
        yield from _Transcript(source, at, full).events()


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


class _Transcript:
    """One pass over a transcript, from a cursor."""

    def __init__(self, source: Source, at: Cursor, full: bool) -> None:
        self.source = source
        self.path = source.path
        self.start = at.offset
        self.full = full
        state = dict(at.state[0]) if at.state else {}
        self.seen: dict[str, list[Any]] = {key: list(rest) for key, rest in state.get("seen", ())}
        """message id -> [first time, output, ended, interrupted] of its best line so far."""
        self.tools: dict[str, list[Any]] = {key: list(rest) for key, rest in state.get("tools", ())}
        self.facts: dict[str, Any] = state.get("facts", {})
        """version, cwd, branch, model, created, updated, origin, turn, and what was said once."""
        self.open: dict[str, Request] = {}
        self.done = b""
        """The id, as it is written, of a message whose final usage is known."""
        self.names: dict[str, str] = {}
        self.title: dict[str, tuple[str, int]] = {}
        self.lineage, self.forked_agent = (
            _lineage(source) if source.kind == "agent" else ((), False)
        )

    def events(self) -> Iterator[Event]:
        scan = Scan(self.path, start=self.start, skip=_skip if self.full else _skip_for_totals)
        state: tuple[Any, ...] | None = None
        try:
            for line in scan:
                if self.done and line.data.find(self.done, 0, _TYPE_WITHIN) >= 0:
                    continue
                if not line.whole:
                    state = self.state()
                record, reason = parse(line.data, b'"usage":')
                if reason:
                    yield self._problem("malformed", line.offset, f"a line is {reason}")
                if not record:
                    continue
                if record.get("type") == "assistant":
                    yield from self._assistant(record, line.offset)
                else:
                    yield from self._record(record, line.offset)
        except OSError as error:
            kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
            yield self._problem(kind, None, f"cannot be read: {error.strerror}")
        yield from self._end()
        yield Cursor(scan.offset, self.state() if state is None else state)

    def state(self) -> tuple[Any, ...]:
        return (
            {
                "seen": [[key, rest[:]] for key, rest in self.seen.items()],
                "tools": [[key, rest[:]] for key, rest in self.tools.items()],
                "facts": dict(self.facts),
            },
        )

    def _problem(self, kind: str, offset: int | None, words: str) -> Problem:
        session = self.source.session or self.facts.get("session")
        return Problem(kind, self.path, offset, words, AGENT, session)

    def _once(self, kind: str, about: str, words: str) -> Iterator[Problem]:
        if not self.facts.get(about):
            self.facts[about] = True
            yield self._problem(kind, None, words)

    def _record(self, record: dict[str, Any], offset: int) -> Iterator[Event]:
        kind = record.get("type")
        if kind == "user":
            self._common(record)
            yield from self._user(record, offset)
        elif kind == "system":
            if record.get("subtype") == "api_error":
                failed = mapping(record.get("error"))
                key = text(failed.get("requestId")) or text(record.get("uuid"))
                yield self._error(record, offset, key)
            elif record.get("subtype") == "compact_boundary":
                self.facts["compacted"] = True
        elif kind == "cost-state":
            self.facts["cost"] = True
            yield from self._counters(record, offset)
        elif kind in ("custom-title", "ai-title", "summary"):
            key, rank = _TITLES[kind]
            title = text(record.get(key))
            if title:
                self.title[kind] = title, rank
        elif type(kind) is str and kind not in _KNOWN:
            version = self.facts.get("version") or "of unknown version"
            yield from self._once(
                "drift",
                f"drift {version}",
                f"Claude Code {version} writes records of an unknown type ({kind[:40]}); "
                "totals may be incomplete",
            )

    def _common(self, record: dict[str, Any]) -> int | None:
        """Remembers what the record says of its session; its time."""
        facts = self.facts
        get = record.get
        facts["version"] = text(get("version")) or facts.get("version")
        facts["session"] = text(get("sessionId")) or facts.get("session")
        branch = text(get("gitBranch"))
        if branch and branch != "HEAD":
            facts["branch"] = branch
        if "cwd" not in facts:
            facts["cwd"] = text(get("cwd"))
        time = instant(get("timestamp"))
        if time is not None:
            if time < facts.get("created", time + 1):
                facts["created"] = time
            if time > facts.get("updated", -1):
                facts["updated"] = time
        return time

    def _owner(self, record: dict[str, Any]) -> tuple[str | None, bool]:
        """(session that made the call, is this line a copy)."""
        written = text(record.get("sessionId"))
        own = self.source.session or written
        owner = text(record.get("requestSessionId")) or written or own
        if "forkedFrom" in record and "requestSessionId" not in record:
            owner = text(mapping(record["forkedFrom"]).get("sessionId")) or owner
        if owner != own and self.source.kind == "transcript":
            self.facts["origin"] = owner
        return owner, owner != own

    def _base(
        self, record: dict[str, Any], offset: int, key: str, time: int | None, **known: Any
    ) -> Request:
        """A request of this line with what is ``known`` of it; the rest is null."""
        owner, copied = self._owner(record)
        agent = text(record.get("agentId"))
        role = text(record.get("attributionAgent"))
        subagent: tuple[str, ...] = ()
        if self.source.kind == "agent":
            agent = agent or os.path.basename(self.path)[len("agent-") : -len(".jsonl")]
            subagent = self.lineage or (role or agent,)
            if role and not self.lineage:
                self.names[agent] = role
            if self.forked_agent and not role:  # its parent's line
                copied, subagent, agent = True, (), None
        elif record.get("isSidechain") is True:
            subagent = (role or agent or "subagent",)
        branch = text(record.get("gitBranch"))
        return Request(
            key=key,
            agent=AGENT,
            session=owner,
            source=self.source.kind,
            path=self.path,
            offset=offset,
            started_ms=time,
            billing=API,
            subagent=subagent,
            subagent_id=agent,
            turn=self.facts.get("turn"),
            copied=copied,
            branch=branch if branch != "HEAD" else None,
            cwd=text(record.get("cwd")),
            **known,
        )

    def _error(self, record: dict[str, Any], offset: int, key: str | None) -> Request:
        model = text(record.get("requestedModel"))
        key = key or f"{self.path}:{offset}"
        time = instant(record.get("timestamp"))
        return self._base(record, offset, key, time, status="error", model=model)

    def _assistant(self, record: dict[str, Any], offset: int) -> Sequence[Event]:
        """No generator: most lines say nothing new, and they are most of what is parsed."""
        time = self._common(record)
        message = mapping(record.get("message"))
        model = text(message.get("model"))
        key = text(message.get("id")) or text(record.get("uuid")) or f"{self.path}:{offset}"
        if model == "<synthetic>":
            if record.get("isApiErrorMessage") is not True:
                return ()
            return (self._error(record, offset, text(record.get("requestId")) or key),)
        events: list[Event] = []
        if self.full:
            events += self._tool_uses(record, message, offset)
        usage = mapping(message.get("usage"))
        output = whole(usage.get("output_tokens"))
        if output is None:
            output = -1
        ended = message.get("stop_reason") is not None
        if ended and not self.full:
            self.done = b'"id":"%s"' % key.encode()
        aborted = record.get("isAbortedMidStream") is True
        best = self.seen.get(key)
        if best is not None:
            if ended and output >= best[1]:
                best[2] = True
            if output < best[1] or (output == best[1] and (best[3] or not aborted)):
                return events
            time = best[0]
        elif len(self.seen) >= _MEMORY:
            oldest = next(iter(self.seen))
            if not self.seen.pop(oldest)[2]:
                self.facts["unfinished"] = True
            if oldest in self.open:
                events.append(self.open.pop(oldest))
        self.seen[key] = [time, output, ended, aborted]
        request = self.open[key] = self._base(
            record,
            offset,
            key,
            time,
            model=model,
            provider="anthropic" if model and "claude" in model else None,
            status="cancelled" if aborted else "ok",
            weak=not usage,
            **_tokens(usage),
        )
        if model and not request.copied:
            self.facts["model"] = model
        if usage.get("iterations"):
            events += _iterations(request, usage["iterations"])
        return events

    def _end(self) -> Iterator[Event]:
        unfinished = self.facts.get("unfinished") or not all(best[2] for best in self.seen.values())
        yield from self.open.values()
        self.open.clear()
        if unfinished:
            yield from self._once(
                "gap",
                "said unfinished",
                "the final usage of some responses was never written (interrupted, killed or an "
                "old version): their output may be too low",
            )
        if self.facts.get("compacted") and not self.facts.get("cost"):
            yield from self._once(
                "gap",
                "said compacted",
                "this session was compacted, and this version of Claude Code does not write what "
                "the compaction used",
            )
        yield from self._metas()

    def _metas(self) -> Iterator[Meta]:
        facts = self.facts
        session = self.source.session or facts.get("session")
        if session is None:
            return
        if self.source.kind == "agent":
            for agent, name in self.names.items():
                yield Meta(AGENT, session, self.path, names=((agent, name),))
            if self.lineage and facts.get("session"):
                agent = os.path.basename(self.path)[len("agent-") : -len(".jsonl")]
                yield Meta(AGENT, session, self.path, names=((agent, self.lineage[-1]),))
            return
        for title, rank in self.title.values():
            yield Meta(AGENT, session, self.path, title=title, rank=rank)
        if "created" in facts:
            yield Meta(
                AGENT,
                session,
                self.path,
                workspace=facts.get("cwd"),
                branch=facts.get("branch"),
                version=facts.get("version"),
                model=facts.get("model"),
                created_ms=facts["created"],
                updated_ms=facts["updated"],
                origin=facts.get("origin"),
                names=tuple(self.names.items()),
            )

    def _counters(self, record: dict[str, Any], offset: int) -> Iterator[Counter]:
        """One row per model; a suffix such as ``[1m]`` is no part of the model's name."""
        session = self.source.session or text(record.get("sessionId"))
        rows: dict[str, dict[str, int]] = {}
        for name, usage in mapping(record.get("modelUsage")).items():
            row = rows.setdefault(name.partition("[")[0], {})
            for field, key in _COUNTED:
                value = whole(mapping(usage).get(key))
                if value is not None:
                    row[field] = row.get(field, 0) + value
        for model, row in rows.items():
            read, write = row.get("cache_read_tokens"), row.get("cache_write_tokens")
            yield Counter(
                key=f"{session}:{offset}:{model}",
                agent=AGENT,
                session=session,
                source=self.source.kind,
                path=self.path,
                offset=offset,
                at_ms=self.facts.get("updated"),
                scope="session",
                group=f"{session}:{offset}",
                since_ms=instant(record.get("startTime")),
                model=model,
                billing=API,
                input_tokens=row.get("fresh", 0) + (read or 0) + (write or 0),
                cache_read_tokens=read,
                cache_write_tokens=write,
                output_tokens=row.get("output_tokens"),
                reasoning_tokens=row.get("reasoning_tokens"),
                reason="calls that Claude Code writes no line about: titles, compaction, side "
                "questions, permission checks",
            )

    def _tool_uses(
        self, record: dict[str, Any], message: dict[str, Any], offset: int
    ) -> Iterator[ToolCall]:
        content = message.get("content")
        for block in content if type(content) is list else ():
            block = mapping(block)
            name = text(block.get("name"))
            key = text(block.get("id"))
            if block.get("type") != "tool_use" or not name or not key:
                continue
            base = self._base(record, offset, key, instant(record.get("timestamp")))
            given = mapping(block.get("input"))
            skill = None
            if name == "Skill":
                skill = text(given.get("skill")) or text(given.get("command"))
            if len(self.tools) >= 64:
                del self.tools[next(iter(self.tools))]
            self.tools[key] = [name, skill, base.started_ms, text(given.get("subagent_type"))]
            yield self._tool(base, key, name, skill, base.started_ms)

    def _tool(
        self,
        base: Request,
        key: str,
        name: str,
        skill: str | None,
        at: int | None,
        ok: bool | None = None,
        duration: int | None = None,
    ) -> ToolCall:
        return ToolCall(
            key=key,
            agent=AGENT,
            session=base.session,
            path=self.path,
            offset=base.offset,
            at_ms=at,
            name=name,
            subagent=base.subagent,
            skill=skill,
            turn=base.turn,
            ok=ok,
            duration_ms=duration,
            copied=base.copied,
        )

    def _user(self, record: dict[str, Any], offset: int) -> Iterator[Event]:
        """A prompt begins a turn; a tool's result says how the tool fared."""
        content = mapping(record.get("message")).get("content")
        blocks = [mapping(b) for b in content] if type(content) is list else []
        results = [b for b in blocks if b.get("type") == "tool_result"]
        key = text(record.get("uuid"))
        if results:
            outcome = mapping(record.get("toolUseResult"))
            for result in results:
                tool = text(result.get("tool_use_id"))
                known = self.tools.pop(tool, None) if tool else None
                if tool is None or known is None:
                    continue
                name, skill, at, role = known
                base = self._base(record, offset, tool, None)
                ok = result.get("is_error") is not True
                yield self._tool(base, tool, name, skill, at, ok, whole(outcome.get("durationMs")))
                agent = text(outcome.get("agentId"))
                role = text(outcome.get("agentType")) or role
                if agent and role:
                    self.names[agent] = role
            return
        said = content if type(content) is str else "".join(str(b.get("text", "")) for b in blocks)
        if (
            key is None
            or "toolUseResult" in record
            or any(record.get(k) is True for k in ("isMeta", "isCompactSummary", "isSidechain"))
            or said.startswith(_NOT_PROMPTS)
        ):
            return
        self.facts["turn"] = key
        base = self._base(record, offset, key, instant(record.get("timestamp")))
        yield Turn(key, AGENT, base.session, self.path, offset, base.started_ms, base.copied)


_TITLES = {
    "custom-title": ("customTitle", 3),
    "ai-title": ("aiTitle", 2),
    "summary": ("summary", 1),
}
"""What names a session, and how much its word weighs."""

_COUNTED = (
    ("fresh", "inputTokens"),
    ("cache_read_tokens", "cacheReadInputTokens"),
    ("cache_write_tokens", "cacheCreationInputTokens"),
    ("output_tokens", "outputTokens"),
    ("reasoning_tokens", "thinkingTokens"),
)


def _tokens(usage: dict[str, Any], part: bool = False) -> dict[str, Any]:
    """Token fields of a request from a ``usage`` object (``part``: from one iteration)."""
    fresh = whole(usage.get("input_tokens"))
    read = whole(usage.get("cache_read_input_tokens"))
    write = whole(usage.get("cache_creation_input_tokens"))
    split = mapping(usage.get("cache_creation"))
    hour = None
    if split:
        hour = whole(split.get("ephemeral_1h_input_tokens"))
        parts = (hour or 0) + (whole(split.get("ephemeral_5m_input_tokens")) or 0)
        write = max(write or 0, parts)
    result: dict[str, Any] = {
        "input_tokens": None if fresh is None else fresh + (read or 0) + (write or 0),
        "cache_read_tokens": read,
        "cache_write_tokens": write,
        "cache_write_1h_tokens": hour,
        "output_tokens": whole(usage.get("output_tokens")),
        "reasoning_tokens": whole(
            mapping(usage.get("output_tokens_details")).get("thinking_tokens")
        ),
    }
    if not part:
        tier = text(usage.get("service_tier"))
        fast = usage.get("speed") == "fast"
        result["tier"] = "fast" if fast else tier if tier in _TIERS else None
        searches = mapping(usage.get("server_tool_use")).get("web_search_requests")
        result["web_searches"] = whole(searches)
    return result


def _iterations(request: Request, parts: Any) -> Iterator[Request]:
    """The parts of a response that the figures above them leave out."""
    for number, part in enumerate(parts if type(parts) is list else ()):
        kind = text(mapping(part).get("type"))
        if kind is not None and kind != "message":
            yield request._replace(
                key=f"{request.key}#{number}",
                model=text(part.get("model")) or request.model,
                status="ok",
                surface="compaction" if kind == "compaction" else "tool",
                web_searches=None,
                weak=False,
                **_tokens(part, part=True),
            )


def _lineage(source: Source) -> tuple[tuple[str, ...], bool]:
    """(names from the first subagent down to this file's, is it a fork of its parent).

    From the small ``.meta.json`` files beside the transcript; empty where there are none.
    """
    folder = os.path.dirname(source.path)
    agent: str | None = os.path.basename(source.path)[len("agent-") : -len(".jsonl")]
    names: list[str] = []
    forked = False
    while agent and len(names) < 32 and "/" not in agent and os.sep not in agent:
        try:
            with open(os.path.join(folder, f"agent-{agent}.meta.json"), "rb") as file:
                about, _ = parse(file.read(1 << 16))
        except OSError:
            break
        about = mapping(about)
        if not names:
            forked = about.get("isFork") is True
        name = text(about.get("agentType"))
        if name is None:
            break
        names.append(name)
        agent = text(about.get("parentAgentId"))
    return tuple(reversed(names)), forked


def _titles(source: Source) -> Iterator[Event]:
    """A session's own title file, or the index of sessions that old versions kept."""
    try:
        with open(source.path, "rb") as file:
            record, reason = parse(file.read())
    except OSError as error:
        kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
        words = f"cannot be read: {error.strerror}"
        yield Problem(kind, source.path, None, words, AGENT, source.session)
        yield Cursor()
        return
    if reason:
        yield Problem("malformed", source.path, 0, f"it is {reason}", AGENT, source.session)
    record = mapping(record)
    title = text(record.get("customTitle"))
    if source.session and title:
        yield Meta(AGENT, source.session, source.path, title=title, rank=3)
    listed = record.get("entries")
    for entry in listed if type(listed) is list else ():
        entry = mapping(entry)
        session = text(entry.get("sessionId"))
        if session:
            yield Meta(
                AGENT,
                session,
                source.path,
                title=text(entry.get("summary")),
                workspace=text(entry.get("projectPath")),
                branch=text(entry.get("gitBranch")),
                created_ms=instant(entry.get("created")),
                updated_ms=instant(entry.get("modified")),
            )
    yield Cursor()


PROVIDER = ClaudeCode()
