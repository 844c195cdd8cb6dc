"""One pass over a transcript: its lines as events."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from session_usage.events import (
    API,
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
from session_usage.providers.claude_code.files import AGENT, lineage
from session_usage.providers.claude_code.lines import TYPE_WITHIN, skip, skip_for_totals
from session_usage.providers.claude_code.tokens import iterations, tokens

_MEMORY = 8
"""Messages that may still get a better line: those of agents that run side by side."""
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


class Transcript:
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
        self.lineage, self.forked_agent = lineage(source) if source.kind == "agent" else ((), False)

    def events(self) -> Iterator[Event]:
        """Every event of the transcript from the cursor on, and last the cursor."""
        scan = Scan(self.path, start=self.start, skip=skip if self.full else skip_for_totals)
        state: tuple[Any, ...] | None = None
        try:
            for line in scan:
                if self.done and line.data.find(self.done, 0, TYPE_WITHIN) >= 0:
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
        """What must be remembered to go on after an append; JSON values."""
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
            **tokens(usage),
        )
        if model and not request.copied:
            self.facts["model"] = model
        if usage.get("iterations"):
            events += iterations(request, usage["iterations"])
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
