"""What was said, from Copilot CLI's journals."""

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
)
from session_usage.providers.copilot_cli.state import AGENT, Data, unreadable
from session_usage.values import instant, mapping, text, whole

_TYPES = (
    "user.message",
    "assistant.message",
    "tool.execution_",
    "system.message",
    "session.error",
    "session.warning",
    "session.compaction_complete",
    "session.usage_record",
    "subagent.started",
    "abort",
)
_NEEDLES = tuple(b'"' + name.encode() for name in _TYPES)
_HEADS = tuple(b'{"type":"' + name.encode() for name in _TYPES)
_NOTICES = ("session.error", "session.warning")


def read_messages(sources: Sequence[Source]) -> Iterator[Message | Problem]:
    """The conversation and those of its subagents, as their lines are mixed."""
    for source in sources:
        if source.kind == "journal":
            try:
                yield from _Conversation(source).messages()
            except OSError as error:
                yield unreadable(source, error)


class _Conversation:
    """One pass over a journal: what its lines say."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.session = source.session or ""
        self.turn: str | None = None
        self.names: dict[str, str] = {}
        self.tools: dict[str, str] = {}
        self.usage: dict[str, TokenUsage] = {}
        """By subagent, of a call whose message is still to come."""

    def messages(self) -> Iterator[Message | Problem]:
        scan = Scan(self.source.path, _NEEDLES, plain=b'{"type":"', heads=_HEADS)
        for line in scan:
            event, wrong = parse(line.data)
            if wrong:
                words = f"a line is {wrong}"
                yield Problem(
                    "malformed", self.source.path, line.offset, words, AGENT, self.session
                )
            if event:
                data = mapping(event.get("data"))
                yield from self._event(text(event.get("type")) or "", event, data, line.offset)

    def _event(self, kind: str, event: Data, data: Data, offset: int) -> Iterator[Message]:
        agent = text(event.get("agentId")) or text(data.get("parentToolCallId")) or ""
        if kind == "user.message":
            if not agent:
                self.turn = text(data.get("messageId")) or text(event.get("id"))
            yield self._message(event, data, offset, USER, CHAT, text(data.get("content")) or "")
        elif kind == "assistant.message":
            yield from self._answer(event, data, offset, agent)
        elif kind == "session.usage_record":
            self.usage[agent] = _usage(mapping(data.get("usage")))
        elif kind == "tool.execution_start":
            self.tools[text(data.get("toolCallId")) or ""] = text(data.get("toolName")) or ""
        elif kind == "tool.execution_complete":
            name = self.tools.pop(text(data.get("toolCallId")) or "", "") or None
            result, error = mapping(data.get("result")), mapping(data.get("error"))
            said = text(result.get("content")) or text(error.get("message")) or ""
            yield self._message(event, data, offset, TOOL, TOOL_RESULT, said, tool=name)
        elif kind == "system.message":
            yield self._message(event, data, offset, SYSTEM, CHAT, text(data.get("content")) or "")
        elif kind in _NOTICES:
            yield self._message(event, data, offset, SYSTEM, CHAT, text(data.get("message")) or "")
        elif kind == "abort":
            said = f"(aborted: {text(data.get('reason')) or 'no reason given'})"
            yield self._message(event, data, offset, SYSTEM, CHAT, said)
        elif kind == "session.compaction_complete":
            said = text(data.get("summaryContent")) or "(the conversation was compacted)"
            yield self._message(event, data, offset, SYSTEM, CHAT, said)
        elif kind == "subagent.started":
            name = text(data.get("agentName"))
            for known in (text(event.get("agentId")), text(data.get("toolCallId"))):
                if name and known:
                    self.names[known] = name

    def _answer(self, event: Data, data: Data, offset: int, agent: str) -> Iterator[Message]:
        usage = self.usage.pop(agent, None)
        output = whole(data.get("outputTokens"))
        if usage is None and output is not None:
            usage = TokenUsage(output_tokens=output)
        model = text(data.get("model"))
        said = text(data.get("content"))
        number = 0
        if said:
            yield self._message(event, data, offset, ASSISTANT, CHAT, said, 0, model, usage)
            number, usage = 1, None
        asked = data.get("toolRequests")
        for call in asked if type(asked) is list else ():
            call = mapping(call)
            yield self._message(
                event,
                data,
                offset,
                ASSISTANT,
                TOOL_USE,
                arguments(call.get("arguments")),
                number,
                model,
                usage,
                text(call.get("name")),
            )
            number, usage = number + 1, None

    def _message(
        self,
        event: Data,
        data: Data,
        offset: int,
        role: str,
        kind: str,
        content: str,
        number: int = 0,
        model: str | None = None,
        usage: TokenUsage | None = None,
        tool: str | None = None,
    ) -> Message:
        name = text(data.get("messageId")) or text(event.get("id")) or f"{self.session}-{offset}"
        agent = text(event.get("agentId")) or text(data.get("parentToolCallId"))
        return Message(
            f"{name}#{number}" if number else name,
            self.session,
            role,
            kind,
            content,
            instant(event.get("timestamp")),
            model,
            usage,
            text(event.get("parentId")),
            tool,
            (self.names.get(agent, agent),) if agent else (),
            self.turn,
            self.source.path,
            offset,
            event,
        )


def _usage(usage: dict[str, Any]) -> TokenUsage:
    return TokenUsage(
        whole(usage.get("inputTokens")),
        whole(usage.get("outputTokens")),
        whole(usage.get("cacheReadTokens")),
        whole(usage.get("cacheWriteTokens")),
        whole(usage.get("reasoningTokens")),
    )
