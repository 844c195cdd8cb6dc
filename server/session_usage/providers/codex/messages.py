"""What was said, from Codex's rollouts: the items that went to and came from the model.

``event_msg`` lines repeat them for the screen and are left out. The usage of a response is
written after its items (0.77 and later) or before them, and counts for the first of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from session_usage.events import Problem, Source
from session_usage.jsonl import Scan, parse
from session_usage.messages import (
    ASSISTANT,
    CHAT,
    SYSTEM,
    TOOL,
    TOOL_RESULT,
    TOOL_USE,
    USER,
    Message,
    TokenUsage,
    arguments,
    joined,
)
from session_usage.providers.codex.threads import AGENT, tree
from session_usage.values import instant, mapping, text, whole

_NEEDLES = (
    b'"response_item"',
    b'"token_usage_record"',
    b'"token_count"',
    b'"turn_context"',
    b'"session_meta"',
    b'"compacted"',
)
_BARE = (b'"role"', b'"call_id"')
"""What the lines of 0.20 hold, which have no envelope."""
_NOT_PROMPTS = (
    "<environment_context>",
    "<user_instructions>",
    "# AGENTS.md",
    "<turn_aborted>",
    "<user_action>",
    "<subagent_notification>",
)
_CALLS = {
    "function_call": "arguments",
    "custom_tool_call": "input",
    "local_shell_call": "action",
    "web_search_call": "action",
}
_RESULTS = ("function_call_output", "custom_tool_call_output")
_WAITING = 256
"""Messages that wait for the usage of their response, at most."""


def read_messages(sources: Sequence[Source]) -> Iterator[Message | Problem]:
    """The thread's own conversation; a line at a time."""
    for source in sources:
        if source.kind != "rollout":
            continue
        try:
            yield from _Conversation(source).messages()
        except OSError as error:
            kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
            words = f"cannot be read: {error.strerror}"
            yield Problem(kind, source.path, None, words, AGENT, source.session)


class _Conversation:
    """One pass over a rollout: what its lines say."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.thread = source.session or ""
        self.subagent: tuple[str, ...] = ()
        self.model: str | None = None
        self.turn: str | None = None
        self.tools: dict[str, str] = {}
        self.waiting: list[Message] = []
        self.early: TokenUsage | None = None
        """Usage of a response whose items are still to come."""
        self.total: Any = None
        self.records = False

    def messages(self) -> Iterator[Message | Problem]:
        for line in Scan(self.source.path, (*_NEEDLES, *_BARE)):
            record, reason = parse(line.data)
            if reason:
                words = f"a line is {reason}"
                yield Problem("malformed", self.source.path, line.offset, words, AGENT, self.thread)
            if not record:
                continue
            payload = record.get("payload")
            kind = record.get("type")
            if type(payload) is not dict:
                yield from self._item(record, record, line.offset)
            elif kind == "response_item":
                yield from self._item(payload, record, line.offset)
            elif kind == "compacted":
                said = text(payload.get("message")) or "(the conversation was compacted)"
                self.waiting.append(self._message(payload, record, line.offset, SYSTEM, CHAT, said))
            else:
                yield from self._figures(kind, payload)
        yield from self._flush()

    def _figures(self, kind: Any, payload: dict[str, Any]) -> Iterator[Message]:
        if kind == "session_meta":
            if not self.subagent:
                self.subagent = tuple(tree(payload, self.thread, self.source.path)[1])
        elif kind == "turn_context":
            self.model = text(payload.get("model")) or self.model
            self.turn = text(payload.get("turn_id")) or self.turn
        elif kind == "token_usage_record":
            self.records = True
            yield from self._used(mapping(payload.get("usage")))
        elif payload.get("type") == "token_count" and not self.records:
            info = mapping(payload.get("info"))
            total = info.get("total_token_usage")
            if type(total) is dict and total != self.total:
                self.total = total
                yield from self._used(mapping(info.get("last_token_usage")))

    def _used(self, usage: dict[str, Any]) -> Iterator[Message]:
        found = TokenUsage(
            whole(usage.get("input_tokens")),
            whole(usage.get("output_tokens")),
            whole(usage.get("cached_input_tokens")),
            whole(usage.get("cache_write_input_tokens")),
            whole(usage.get("reasoning_output_tokens")),
        )
        for number, message in enumerate(self.waiting):
            if message.role == ASSISTANT:
                told = message.usage is not None  # then this is of the response that follows
                if not told:
                    self.waiting[number] = message._replace(usage=found)
                yield from self._flush()
                self.early = found if told else None
                return
        self.early = found

    def _flush(self) -> Iterator[Message]:
        yield from self.waiting
        self.waiting.clear()

    def _item(self, item: dict[str, Any], record: dict[str, Any], offset: int) -> Iterator[Message]:
        kind = item.get("type")
        if kind == "message":
            role = item.get("role")
            said = joined(item.get("content"))
            if not said:
                return
            if role == "user" and not said.startswith(_NOT_PROMPTS):
                yield from self._flush()
                yield self._message(item, record, offset, USER, CHAT, said)
                return
            who = ASSISTANT if role == ASSISTANT else SYSTEM
            message = self._message(item, record, offset, who, CHAT, said)
        elif kind in _CALLS:
            name = text(item.get("name")) or kind.removesuffix("_call")
            if len(self.tools) >= 64:
                del self.tools[next(iter(self.tools))]
            self.tools[text(item.get("call_id")) or ""] = name
            given = arguments(item.get(_CALLS[kind]))
            message = self._message(item, record, offset, ASSISTANT, TOOL_USE, given, name)
        elif kind in _RESULTS:
            output = item.get("output")
            said = joined(output) or joined(mapping(output).get("content"))
            name = self.tools.pop(text(item.get("call_id")) or "", "") or None
            message = self._message(item, record, offset, TOOL, TOOL_RESULT, said, name)
        else:
            return
        if message.role == ASSISTANT and self.early is not None:
            message, self.early = message._replace(usage=self.early), None
        if len(self.waiting) >= _WAITING:
            yield from self._flush()
        self.waiting.append(message)

    def _message(
        self,
        item: dict[str, Any],
        record: dict[str, Any],
        offset: int,
        role: str,
        kind: str,
        content: str,
        tool: str | None = None,
    ) -> Message:
        return Message(
            text(item.get("id")) or f"{self.thread}-{offset}",
            self.thread,
            role,
            kind,
            content,
            instant(record.get("timestamp")),
            self.model if role == ASSISTANT else None,
            tool=tool,
            subagent=self.subagent,
            turn=self.turn,
            path=self.source.path,
            offset=offset,
            raw_json=record,
        )
