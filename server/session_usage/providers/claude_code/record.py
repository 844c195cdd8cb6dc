"""What every record of a transcript says: of its session, and of who made the call."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from session_usage.events import (
    API,
    Cursor,
    Problem,
    Request,
    Source,
)
from session_usage.providers.claude_code.files import AGENT, lineage
from session_usage.providers.claude_code.tokens import counts, searches, tier
from session_usage.values import instant, mapping, text

_new = tuple.__new__
_NOTHING = (None,) * 6

SAID = (
    "version",
    "sessionId",
    "gitBranch",
    "cwd",
    "requestSessionId",
    "forkedFrom",
    "agentId",
    "attributionAgent",
    "isSidechain",
)
"""What a record says of its session and of who made the call."""
_Whose = tuple[str | None, bool, tuple[str, ...], str | None, str | None, str | None]
"""(owner, is it a copy, subagents' names, subagent's id, branch, folder) of a line."""


class Reading:
    """One pass over a transcript, from a cursor: what must be remembered of its lines."""

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
        self.said: list[Any] = []
        self.who: _Whose = (None, False, (), None, None, None)
        """Whose the calls of a line are that says this."""
        self.names: dict[str, str] = {}
        self.title: dict[str, tuple[str, int]] = {}
        self.lineage, self.forked_agent = lineage(source) if source.kind == "agent" else ((), False)

    def problem(self, kind: str, offset: int | None, words: str) -> Problem:
        """Something wrong with this transcript."""
        session = self.source.session or self.facts.get("session")
        return Problem(kind, self.path, offset, words, AGENT, session)

    def once(self, kind: str, about: str, words: str) -> Iterator[Problem]:
        """The same, told once for ``about``, however often the file is read on."""
        if not self.facts.get(about):
            self.facts[about] = True
            yield self.problem(kind, None, words)

    def common(self, record: dict[str, Any]) -> int | None:
        """Remembers what the record says of its session; its time."""
        facts = self.facts
        said = [*map(record.get, SAID)]
        if said != self.said:  # the lines of a file repeat each other
            self.said = said
            version, session, branch, cwd, *_ = map(text, said)
            facts["version"] = version or facts.get("version")
            facts["session"] = session or facts.get("session")
            if branch and branch != "HEAD":
                facts["branch"] = branch
            facts["cwd"] = facts.get("cwd") or cwd
            self.who = self.whose(record)
        return self.moment(record)

    def moment(self, record: dict[str, Any]) -> int | None:
        """The time of a record, which may be the session's first or last."""
        time = instant(record.get("timestamp"))
        if time is not None:
            self.seen_at(time)
        return time

    def seen_at(self, time: int) -> None:
        """Something happened in the session then."""
        facts = self.facts
        if time < facts.get("created", time + 1):
            facts["created"] = time
        if time > facts.get("updated", -1):
            facts["updated"] = time

    def owner(self, record: dict[str, Any]) -> tuple[str | None, bool]:
        """(session that made the call, is this line a copy)."""
        written = text(record.get("sessionId"))
        own = self.source.session or written
        owner = text(record.get("requestSessionId")) or written or own
        if "forkedFrom" in record and "requestSessionId" not in record:
            owner = text(mapping(record["forkedFrom"]).get("sessionId")) or owner
        if owner != own and self.source.kind == "transcript":
            self.facts["origin"] = owner
        return owner, owner != own

    def whose(self, record: dict[str, Any]) -> _Whose:
        """Whose a call of this record is; the names of subagents are remembered."""
        owner, copied = self.owner(record)
        agent, role = text(record.get("agentId")), text(record.get("attributionAgent"))
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
        cwd = text(record.get("cwd"))
        return owner, copied, subagent, agent, branch if branch != "HEAD" else None, cwd

    def base(
        self,
        record: dict[str, Any],
        offset: int,
        key: str,
        time: int | None,
        model: str | None = None,
        status: str = "ok",
        usage: dict[str, Any] | None = None,
    ) -> Request:
        """A request of this line with what is known of it; the rest is null."""
        if self.said != [*map(record.get, SAID)]:
            self.common(record)
        return self.call(offset, key, time, model, status, usage)

    def call(
        self,
        offset: int,
        key: str,
        time: int | None,
        model: str | None,
        status: str,
        usage: dict[str, Any] | None,
    ) -> Request:
        """A request of a line that says the same of its session as the one before."""
        owner, copied, subagent, agent, branch, cwd = self.who
        prompt, read, write, hour, output, reasoning = counts(usage) if usage else _NOTHING
        # built as a plain tuple: this line runs for every call of every log
        return _new(
            Request,
            (
                key,
                AGENT,
                owner,
                self.source.kind,
                self.path,
                offset,
                time,
                model,
                "anthropic" if model and "claude" in model and status != "error" else None,
                API,
                status,
                prompt,
                read,
                write,
                hour,
                output,
                reasoning,
                None,
                None,
                None,
                "chat",
                subagent,
                agent,
                self.facts.get("turn"),
                None,
                tier(usage) if usage else None,
                searches(usage) if usage else None,
                False,
                copied,
                usage is not None and not usage,
                branch,
                cwd,
                None,
            ),
        )

    def error(self, record: dict[str, Any], offset: int, key: str | None) -> Request:
        """A failed call, of which the log has nothing but the failure."""
        model = text(record.get("requestedModel"))
        key = key or f"{self.path}:{offset}"
        time = instant(record.get("timestamp"))
        return self.base(record, offset, key, time, status="error", model=model)
