"""One pass over a rollout: its lines as events."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter, lt
from typing import Any

from session_usage.events import (
    API,
    Calls,
    Cursor,
    Event,
    Meta,
    Problem,
    Request,
    Row,
    Source,
    ToolCall,
    Turn,
)
from session_usage.jsonl import Scan, instant, mapping, parse, text, whole
from session_usage.providers.codex.lines import wanted
from session_usage.providers.codex.threads import AGENT, started, tree, uuid_ms

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
_four = itemgetter(
    "input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens"
)
_INTEGERS = (int,) * 5
_MOST = 1 << 56
"""More than any sum of tokens; a power of two, so that one comparison does for several figures."""
_new = tuple.__new__
_CALLS = frozenset({"function_call", "custom_tool_call", "local_shell_call", "web_search_call"})


class Rollout:
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
        self.calls: dict[Request, list[Row]] = {}
        """The usual calls, by what they have in common."""
        self.rows: list[Row] | None = None
        """Where the next usual call goes until a line says otherwise; None: to be looked up."""
        self.shared: Request

    def state(self) -> tuple[Any, ...]:
        """What must be remembered to go on after an append; JSON values."""
        return ({"facts": dict(self.facts), "total": self.total},)

    def events(self) -> Iterator[Event | Calls]:
        """Every event of the rollout from the cursor on, its usual calls together after them, and
        last the cursor."""
        scan = Scan(self.path, start=self.start)
        state: tuple[Any, ...] | None = None
        try:
            for base, buffer, last, whole_line in scan.chunks():
                if not whole_line:
                    state = self.state()
                for begin, stop in wanted(buffer, last, self.full):
                    record, reason = parse(buffer[begin:stop], b'"last_token_usage":')
                    if reason:
                        yield self._problem("malformed", base + begin, f"a line is {reason}")
                    if not record:
                        continue
                    payload = record.get("payload")
                    if payload.__class__ is not dict:
                        self._bare(record)
                    elif payload.get("type") != "token_count":
                        self.rows = None
                        yield from self._record(record, payload, base + begin)
                    elif not self._step(record, payload, base + begin):
                        yield from self._token_count(record, payload, base + begin)
        except OSError as error:
            kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
            yield self._problem(kind, None, f"cannot be read: {error.strerror}")
        for shared, rows in self.calls.items():
            if rows:
                yield Calls(shared, rows)
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
                yield self._request(failed, time, offset, status="error")
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

    def _is_own(self, record: dict[str, Any], kind: Any, turn: str | None) -> bool:
        """Does the thread's own history begin here?"""
        start = self.facts.get("own_ordinal")
        ordinal = whole(record.get("ordinal"))
        if start is not None and ordinal is not None:
            return bool(ordinal >= start)
        if kind not in ("task_started", "turn_context") or turn is None:
            return False
        made, begun = uuid_ms(self.thread), uuid_ms(turn)
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
        fact = self.facts.get
        names = fact("names")
        used = (usage or {}).get
        # built as a plain tuple: this line runs for every call of every log
        return _new(
            Request,
            (
                key,
                AGENT,
                fact("session", self.thread),
                "rollout",
                self.path,
                offset,
                time,
                fact("model"),
                fact("vendor"),
                API,
                status,
                whole(used("input_tokens")),
                whole(used("cached_input_tokens")),
                whole(used("cache_write_input_tokens")),
                None,
                whole(used("output_tokens")),
                whole(used("reasoning_output_tokens")),
                None,
                None,
                None,
                "chat",
                tuple(names) if names else (),
                self.thread if names else None,
                turn or fact("turn"),
                None,
                None,
                fact("searches"),
                False,
                False,
                False,
                fact("branch"),
                fact("cwd"),
                None,
            ),
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

    def _step(self, record: dict[str, Any], payload: dict[str, Any], offset: int) -> bool:
        """Counts a call that goes on from the one before as usual, or sees that there was none;
        this runs for every call of every log. All other counts are left to ``_token_count``."""
        rows = self.rows
        if rows is None:
            rows = self.rows = self._together()
            if rows is None:
                return False
        try:
            stated = payload["info"]["total_token_usage"]
            prompt, cached, output, reasoning = _four(stated)
            written = stated.get("cache_write_input_tokens", 0)
            old = self.total
            new_prompt = prompt - old[0]
            new_cached = cached - old[1]
            new_written = written - old[2]
            new_output = output - old[3]
            new_reasoning = reasoning - old[4]
            new = new_prompt | new_cached | new_written | new_output | new_reasoning
            if new < 0 or prompt | cached | written | output | reasoning > _MOST:
                return False
        except (KeyError, TypeError, AttributeError):
            return False
        types = type(prompt), type(cached), type(written), type(output), type(reasoning)
        if types != _INTEGERS:  # true and false would do until here
            return False
        facts = self.facts
        time = instant(record.get("timestamp"))
        if time is not None and time > facts.get("updated", -1):
            facts["updated"] = time
        if not new:
            facts["repeated"] = True
            return True
        self.total = [prompt, cached, written, output, reasoning]
        row = (
            f"{self.thread}:{prompt}/{cached}/{written}/{output}/{reasoning}",
            offset,
            time,
            new_prompt,
            new_cached,
            new_written if "cache_write_input_tokens" in stated else None,
            None,
            new_output,
            new_reasoning,
            None,
            None,
            None,
        )
        rows.append(row)
        facts["last"] = None
        if facts.get("repeated"):
            facts["repeated"] = False
            (request,) = Calls(self.shared, [row]).requests()
            facts["last"] = list(request)
        return True

    def _together(self) -> list[Row] | None:
        """The calls like one that would be made now; None where counts do not count, or there is
        more to a call than its count."""
        if any(map(self.facts.get, ("replay", "records", "searches"))):
            return None
        self.shared = self._request("", None, 0)
        return self.calls.setdefault(self.shared, [])

    def _token_count(
        self, record: dict[str, Any], payload: dict[str, Any], offset: int
    ) -> Iterator[Request]:
        self.rows = None
        info = mapping(payload.get("info"))
        stated = info.get("total_token_usage")
        if type(stated) is not dict:
            return
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
            return
        if facts.get("replay"):
            if not self._is_own(record, "token_count", None):
                return
            facts["replay"] = False
        if facts.get("records"):
            return
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
            return
        key = f"{self.thread}:{'/'.join(map(str, total))}"
        yield self._counted(self._request(key, time, offset, usage))

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
