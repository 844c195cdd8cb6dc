"""One pass over a rollout: its lines as events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from session_usage.events import Calls, Cursor, Event, Meta, Problem, Source, ToolCall, Turn
from session_usage.jsonl import Scan, parse
from session_usage.providers.codex.counts import Counts
from session_usage.providers.codex.lines import wanted
from session_usage.providers.codex.threads import AGENT, started, tree
from session_usage.values import instant, mapping, text, whole

_VENDORS = {
    "openai": "openai",
    "azure": "azure.ai.openai",
    "amazon-bedrock": "aws.bedrock",
    "ollama": "ollama",
}
"""``model_provider`` as ``gen_ai.provider.name``; other names are the user's own."""
_CALLS = frozenset({"function_call", "custom_tool_call", "local_shell_call", "web_search_call"})


class Rollout(Counts):
    """One pass over a rollout, from a cursor."""

    def __init__(self, source: Source, at: Cursor, full: bool = True) -> None:
        state = dict(at.state[0]) if at.state else {}
        super().__init__(source, state.get("facts", {}), state.get("total"))
        self.source = source
        self.start = at.offset
        self.full = full
        self.left: tuple[Any, ...] | None = None
        """What must be remembered if the last line is not whole yet."""

    def state(self) -> tuple[Any, ...]:
        """What must be remembered to go on after an append; JSON values."""
        return ({"facts": dict(self.facts), "total": self.total},)

    def events(self) -> Iterator[Event | Calls]:
        """Every event of the rollout from the cursor on, its usual calls together after them, and
        last the cursor."""
        scan = Scan(self.path, start=self.start)
        try:
            yield from self.read(scan)
        except OSError as error:
            kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
            yield self._problem(kind, None, f"cannot be read: {error.strerror}")
        yield from self.settle()
        for shared, rows in self.calls.items():
            if rows:
                yield Calls(shared, rows)
        yield from self._end()
        yield Cursor(scan.offset, self.state() if self.left is None else self.left)

    def read(self, scan: Scan) -> Iterator[Event]:
        """What its lines say; raises OSError."""
        for offset, line, whole_line in wanted(scan):
            if not whole_line:
                self.left = self.state()
            yield from self.line(line, offset)

    def settle(self) -> Iterator[Event]:
        """What lines say that were put off."""
        return iter(())

    def line(self, line: bytes, offset: int) -> Iterator[Event]:
        """What one line says."""
        record, reason = parse(line, b'"last_token_usage":')
        if reason:
            yield self._problem("malformed", offset, f"a line is {reason}")
        if not record:
            return
        payload = record.get("payload")
        if payload.__class__ is not dict:
            self._bare(record)
        elif payload.get("type") != "token_count":
            self.rows = None
            yield from self._record(record, payload, offset)
        elif not self.step(record, payload, offset):
            yield from self.token_count(record, payload, offset)

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
        time = self.time(record)
        kind = text(record.get("type"))
        if kind == "event_msg" or kind == "response_item":
            kind = text(payload.get("type"))
        turn = text(payload.get("turn_id")) or text(
            mapping(payload.get("turn_attribution")).get("turn_id")
        )
        if facts.get("replay") and (kind == "task_started" or kind == "turn_context"):
            facts["turns"] = facts.get("turns", 0) + (kind == "task_started")
        if facts.get("replay") and self.is_own(record, kind, turn):
            facts["replay"] = False
        if kind == "session_meta":
            self._meta(payload, offset)
        elif kind == "turn_context":
            facts["model"] = text(payload.get("model")) or facts.get("model")
            facts["cwd"] = text(payload.get("cwd")) or facts.get("cwd")
        elif kind == "token_usage_record":
            yield from self.usage_record(payload, time, offset)
        elif facts.get("replay"):
            return
        elif kind == "compacted":
            yield from self.compacted()
        elif kind == "task_started" or kind == "user_message":
            if kind == "task_started":
                facts["turn"] = turn if self.full else None
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
                yield self.request(failed, time, offset, status="error")
        elif kind == "turn_aborted":
            yield from self._once(
                "gap",
                "said aborted",
                "a turn was interrupted; Codex does not write what an unfinished response used",
            )
        elif kind in _CALLS:
            yield from self._tool(kind, payload, time, offset)
        elif kind == "function_call_output" and self.full:
            child = started(payload)
            if child:
                yield Meta(
                    AGENT, facts.get("session", self.thread), self.path, rank=-1, names=(child,)
                )

    def _meta(self, meta: dict[str, Any], offset: int) -> None:
        """The first one is the file's own; a second one is its parent's, replayed."""
        facts = self.facts
        if "session" in facts:
            if text(meta.get("id")) != self.thread and facts.get("replay") is not False:
                facts["replay"] = facts["replayed_meta"] = True
            return
        # the file's name has the id, too, and one damaged byte does not reach it
        self.thread = self.thread or text(meta.get("id")) or ""
        root, names = tree(meta, self.thread, self.path)
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
