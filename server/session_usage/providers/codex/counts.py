"""The calls of one rollout, by its counts; the rules are the package's."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter, lt
from typing import Any

from session_usage.events import API, Calls, Request, Row, Source
from session_usage.providers.codex.threads import AGENT, uuid_ms
from session_usage.values import instant, mapping, text, whole

TOKENS = (
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


class Counts:
    """What a thread has used, line by line."""

    def __init__(self, source: Source, facts: dict[str, Any], total: list[int] | None) -> None:
        self.path = source.path
        self.thread = source.session or ""
        self.facts = facts
        """What holds for all lines that follow, JSON values only."""
        self.total = total
        self.calls: dict[Request, list[Row]] = {}
        """The usual calls, by what they have in common."""
        self.rows: list[Row] | None = None
        """Where the next usual call goes until a line says otherwise; None: to be looked up."""
        self.shared: Request

    def is_own(self, record: dict[str, Any], kind: Any, turn: str | None) -> bool:
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

    def time(self, record: dict[str, Any]) -> int | None:
        """When the line was written; the latest is remembered."""
        time = instant(record.get("timestamp"))
        if time is not None and time > self.facts.get("updated", -1):
            self.facts["updated"] = time
        return time

    def request(
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
        # built as a plain tuple: this line runs for every call of many logs
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

    def step(self, record: dict[str, Any], payload: dict[str, Any], offset: int) -> bool:
        """Counts a call that goes on from the one before as usual, or sees that there was none;
        this runs for every call of every log. All other counts are left to ``token_count``."""
        rows, old = self.rows, self.total
        if rows is None:
            rows = self.rows = self.together()
        if rows is None or old is None:
            return False
        try:
            stated = payload["info"]["total_token_usage"]
            prompt, cached, output, reasoning = _four(stated)
            written = stated.get("cache_write_input_tokens", 0)
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
        own = (
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
        row = _new(Row, own)
        rows.append(row)
        facts["last"] = None
        if facts.get("repeated"):
            facts["repeated"] = False
            (request,) = Calls(self.shared, [row]).requests()
            facts["last"] = list(request)
        return True

    def together(self) -> list[Row] | None:
        """The calls like one that would be made now; None where counts do not count, or there is
        more to a call than its count."""
        if any(map(self.facts.get, ("replay", "records", "searches"))):
            return None
        self.shared = self.request("", None, 0)
        return self.calls.setdefault(self.shared, [])

    def token_count(
        self, record: dict[str, Any], payload: dict[str, Any], offset: int
    ) -> Iterator[Request]:
        """The call that a cumulative count tells of, whatever the count before it."""
        info = mapping(payload.get("info"))
        stated = info.get("total_token_usage")
        if type(stated) is not dict:
            return
        total = [
            value if type(value) is int and value >= 0 else whole(value) or 0
            for value in map(stated.get, TOKENS)
        ]
        before = self.total
        if before:  # a field that was there and is not: the line is damaged
            for at, name in enumerate(TOKENS):
                if name not in stated:
                    total[at] = before[at]
        self.total = total
        facts = self.facts
        time = self.time(record)
        if before == total:
            facts["repeated"] = True
            return
        if facts.get("replay"):
            if not self.is_own(record, "token_count", None):
                return
            facts["replay"] = False
        if facts.get("records"):
            return
        if before is None or any(map(lt, total, before)):
            last = mapping(info.get("last_token_usage"))
            usage = last or stated
            if before and last:
                steps_on = [whole(last.get(name)) or 0 for name in TOKENS]
                if total != steps_on:  # no new beginning: a damaged figure, to be passed over
                    self.total = [old + step for old, step in zip(before, steps_on, strict=True)]
        else:
            steps = zip(TOKENS, total, before, strict=True)
            usage = {name: new - old for name, new, old in steps if name in stated}
        if not any(map(usage.get, TOKENS)):
            return
        key = f"{self.thread}:{'/'.join(map(str, total))}"
        yield self._counted(self.request(key, time, offset, usage))

    def compacted(self) -> Iterator[Request]:
        """The call before, if it was the compaction."""
        last = self.facts.get("last")
        if last:
            self.facts["last"] = None
            request = Request(*last)
            yield request._replace(subagent=tuple(request.subagent), surface="compaction")

    def usage_record(
        self, payload: dict[str, Any], time: int | None, offset: int
    ) -> Iterator[Request]:
        """The call that a record of its own tells of."""
        key = text(payload.get("response_id")) or f"{self.thread}:{offset}"
        turn = text(payload.get("root_turn_id")) or text(payload.get("turn_id"))
        request = self.request(key, time, offset, mapping(payload.get("usage")), turn=turn)
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
