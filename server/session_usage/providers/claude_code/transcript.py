"""One pass over a transcript: its lines as events."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from session_usage.events import (
    Cursor,
    Event,
    Meta,
    Problem,
    Request,
    ToolCall,
    Turn,
)
from session_usage.jsonl import Scan, parse
from session_usage.providers.claude_code.files import AGENT
from session_usage.providers.claude_code.lines import skip
from session_usage.providers.claude_code.record import Reading
from session_usage.providers.claude_code.tokens import counters, iterations
from session_usage.values import instant, mapping, text, whole

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


class Transcript(Reading):
    """One pass over a transcript, from a cursor: its events."""

    def events(self) -> Iterator[Event]:
        """Every event of the transcript from the cursor on, and last the cursor."""
        scan = Scan(self.path, start=self.start, skip=skip)
        state: tuple[Any, ...] | None = None
        try:
            for offset, buffer, begin, stop, whole_line in scan.spans():
                if not whole_line:
                    state = self.state()
                yield from self.line(buffer[begin:stop], offset)
        except OSError as error:
            yield self.unreadable(error)
        yield from self.end()
        yield Cursor(scan.offset, self.state() if state is None else state)

    def line(self, line: bytes | bytearray, offset: int) -> Sequence[Event]:
        """The events of one line."""
        record, reason = parse(line, b'"usage":')
        events: list[Event] = []
        if reason:
            events.append(self.problem("malformed", offset, f"a line is {reason}"))
        if record and record.get("type") != "assistant":
            events += self._record(record, offset)
        elif record:
            events += self._assistant(record, offset)
        return events

    def unreadable(self, error: OSError) -> Problem:
        """The file cannot be opened or read."""
        kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
        return self.problem(kind, None, f"cannot be read: {error.strerror}")

    def state(self) -> tuple[Any, ...]:
        """What must be remembered to go on after an append; JSON values."""
        return (
            {
                "seen": [[key, rest[:]] for key, rest in self.seen.items()],
                "tools": [[key, rest[:]] for key, rest in self.tools.items()],
                "facts": dict(self.facts),
            },
        )

    def _record(self, record: dict[str, Any], offset: int) -> Iterator[Event]:
        kind = record.get("type")
        if kind == "user":
            self.common(record)
            yield from self._user(record, offset)
        elif kind == "system":
            if record.get("subtype") == "api_error":
                failed = mapping(record.get("error"))
                key = text(failed.get("requestId")) or text(record.get("uuid"))
                yield self.error(record, offset, key)
            elif record.get("subtype") == "compact_boundary":
                self.facts["compacted"] = True
        elif kind == "cost-state":
            self.facts["cost"] = True
            yield from counters(self.source, record, offset, self.facts.get("updated"))
        elif kind in ("custom-title", "ai-title", "summary"):
            key, rank = _TITLES[kind]
            title = text(record.get(key))
            if title:
                self.title[kind] = title, rank
        elif type(kind) is str and kind not in _KNOWN:
            version = self.facts.get("version") or "of unknown version"
            yield from self.once(
                "drift",
                f"drift {version}",
                f"Claude Code {version} writes records of an unknown type ({kind[:40]}); "
                "totals may be incomplete",
            )

    def _assistant(self, record: dict[str, Any], offset: int) -> Sequence[Event]:
        """No generator: most lines say nothing new, and they are most of what is parsed."""
        time = self.common(record)
        message = record.get("message")
        if message.__class__ is not dict:
            message = {}
        model = text(message.get("model"))
        key = text(message.get("id")) or text(record.get("uuid")) or f"{self.path}:{offset}"
        if model == "<synthetic>":
            if record.get("isApiErrorMessage") is not True:
                return ()
            return (self.error(record, offset, text(record.get("requestId")) or key),)
        events: list[Event] = []
        if self.full:
            events += self._tool_uses(record, message, offset)
        usage = message.get("usage")
        if usage.__class__ is not dict:
            usage = {}
        output = whole(usage.get("output_tokens"))
        if output is None:
            output = -1
        ended = message.get("stop_reason") is not None
        aborted = record.get("isAbortedMidStream") is True
        best = self.seen.get(key)
        if best is not None:
            if ended and output >= best[1]:
                best[2] = True
            if output < best[1] or (output == best[1] and (best[3] or not aborted)):
                return events
            time = best[0]
        left = self.remember(key, [time, output, ended, aborted])
        if left:
            events.append(left)
        status = "cancelled" if aborted else "ok"
        request = self.open[key] = self.base(record, offset, key, time, model, status, usage)
        if model and not request.copied:
            self.facts["model"] = model
        if usage.get("iterations"):
            events += iterations(request, usage["iterations"])
        return events

    def remember(self, key: str, best: list[Any]) -> Request | None:
        """Remembers the best line of a message; the request of one that is forgotten for it."""
        left = None
        if len(self.seen) >= _MEMORY and key not in self.seen:
            oldest = next(iter(self.seen))
            if not self.seen.pop(oldest)[2]:
                self.facts["unfinished"] = True
            left = self.open.pop(oldest, None)
        self.seen[key] = best
        return left

    def end(self) -> Iterator[Event]:
        """What is known at the end of the file only."""
        unfinished = self.facts.get("unfinished") or not all(best[2] for best in self.seen.values())
        yield from self.open.values()
        self.open.clear()
        if unfinished:
            yield from self.once(
                "gap",
                "said unfinished",
                "the final usage of some responses was never written (interrupted, killed or an "
                "old version): their output may be too low",
            )
        if self.facts.get("compacted") and not self.facts.get("cost"):
            yield from self.once(
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
            base = self.base(record, offset, key, instant(record.get("timestamp")))
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
                base = self.base(record, offset, tool, None)
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
        base = self.base(record, offset, key, instant(record.get("timestamp")))
        yield Turn(key, AGENT, base.session, self.path, offset, base.started_ms, base.copied)


_TITLES = {
    "custom-title": ("customTitle", 3),
    "ai-title": ("aiTitle", 2),
    "summary": ("summary", 1),
}
"""What names a session, and how much its word weighs."""
