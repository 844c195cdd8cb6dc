"""What was said, from Claude Code's transcripts: one record a block of an answer."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from session_usage.events import Problem, Source
from session_usage.jsonl import Scan, parse
from session_usage.messages import (
    ASSISTANT,
    CHAT,
    PROGRESS,
    SNAPSHOT,
    SYSTEM,
    TOOL,
    TOOL_RESULT,
    TOOL_USE,
    USER,
    Message,
    TokenUsage,
    arguments,
    joined,
    spoken,
)
from session_usage.providers.claude_code.files import AGENT, lineage
from session_usage.providers.claude_code.lines import skip_silent
from session_usage.providers.claude_code.tokens import counts
from session_usage.values import instant, mapping, text

_SEEN = 8
"""Answers whose usage was told: their blocks may be mixed with those of others."""
_PLAIN_TYPES = {kind: kind for kind in (TOOL_USE, TOOL_RESULT, PROGRESS, SNAPSHOT)}


def read_messages(sources: Sequence[Source], session: str) -> Iterator[Message | Problem]:
    """The conversation, then those of its subagents; a line at a time.

    Files of 2.0's subagents lie beside the transcript and tell only line by line whose they
    are.
    """
    transcripts = [source for source in sources if source.kind == "transcript"]
    folders = {os.path.dirname(source.path) for source in transcripts}
    for source in sources:
        if source.kind == "agent" and (source.session or os.path.dirname(source.path) in folders):
            transcripts.append(source)
    for source in transcripts:
        try:
            yield from _Conversation(source, session).messages()
        except OSError as error:
            kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
            words = f"cannot be read: {error.strerror}"
            yield Problem(kind, source.path, None, words, AGENT, source.session)


class _Conversation:
    """One pass over a transcript: what its lines say."""

    def __init__(self, source: Source, session: str) -> None:
        self.source = source
        self.session = session
        self.subagent: tuple[str, ...] = ()
        if source.kind == "agent":
            name = os.path.basename(source.path)[len("agent-") : -len(".jsonl")]
            self.subagent = lineage(source)[0] or (name,)
        self.turn: str | None = None
        self.number = 0
        """Of records without ids of their own."""
        self.tools: dict[str, str] = {}
        self.seen: dict[str, None] = {}

    def messages(self) -> Iterator[Message | Problem]:
        for line in Scan(self.source.path, skip=skip_silent):
            record, reason = parse(line.data)
            if reason:
                words = f"a line is {reason}"
                yield Problem(
                    "malformed", self.source.path, line.offset, words, AGENT, self.session
                )
            if not record:
                continue
            if self.source.session is None and record.get("sessionId") != self.session:
                continue
            kind = text(record.get("type"))
            if kind == "version" and not self.number:
                self.number = 1  # a header counts, and says nothing
            elif kind is not None and kind != "version":
                yield from self._record(record, kind, line.offset)

    def _record(self, record: dict[str, Any], kind: str, offset: int) -> Iterator[Message]:
        if type(record.get("message")) is dict:
            if kind == "user":
                yield from self._user(record, offset)
            elif kind == "assistant":
                yield from self._assistant(record, offset)
        elif kind == "system" and "subtype" in record:
            content = joined(record.get("content"))
            if content:
                yield self._message(record, offset, SYSTEM, CHAT, content)
        elif kind == "progress" and "uuid" in record:
            content = joined(record.get("content")) or arguments(record.get("data"))
            yield self._message(record, offset, SYSTEM, PROGRESS, content)
        elif kind == "file-history-snapshot":
            yield self._message(record, offset, SYSTEM, SNAPSHOT, "")
        elif "sessionId" not in record and not _REAL & record.keys():
            yield self._plain(record, kind, offset)

    def _message(
        self,
        record: dict[str, Any],
        offset: int,
        role: str,
        kind: str,
        content: str,
        number: int = 0,
        **more: Any,
    ) -> Message:
        name = text(record.get("uuid")) or f"{self.session}-{self.number}"
        self.number += not number
        subagent = self.subagent
        if not subagent and record.get("isSidechain") is True:
            subagent = (text(record.get("agentId")) or "subagent",)
        return Message(
            f"{name}#{number}" if number else name,
            self.session,
            role,
            kind,
            content,
            instant(record.get("timestamp")),
            parent_id=text(record.get("parentUuid")),
            subagent=subagent,
            turn=self.turn,
            path=self.source.path,
            offset=offset,
            raw_json=record,
            **more,
        )

    def _user(self, record: dict[str, Any], offset: int) -> Iterator[Message]:
        content = mapping(record.get("message")).get("content")
        blocks = [mapping(block) for block in content] if type(content) is list else []
        results = [block for block in blocks if block.get("type") == "tool_result"]
        for number, result in enumerate(results):
            tool = self.tools.pop(text(result.get("tool_use_id")) or "", None)
            said = joined(result.get("content"))
            yield self._message(record, offset, TOOL, TOOL_RESULT, said, number, tool=tool)
        said = joined(content)
        if results or not said:
            return
        injected = any(record.get(key) is True for key in ("isMeta", "isCompactSummary"))
        if not injected and record.get("isSidechain") is not True:
            self.turn = text(record.get("uuid"))
        yield self._message(record, offset, SYSTEM if injected else USER, CHAT, said)

    def _assistant(self, record: dict[str, Any], offset: int) -> Iterator[Message]:
        message = mapping(record.get("message"))
        model = text(message.get("model"))
        content = message.get("content")
        said = spoken(joined(content))
        more: dict[str, Any] = {"model": model, "usage": self._usage(message)}
        number = 0
        if said:
            yield self._message(record, offset, ASSISTANT, CHAT, said, **more)
            number, more["usage"] = 1, None
        for block in content if type(content) is list else ():
            block = mapping(block)
            name = text(block.get("name"))
            if block.get("type") not in ("tool_use", "server_tool_use") or name is None:
                continue
            if len(self.tools) >= 64:
                del self.tools[next(iter(self.tools))]
            self.tools[text(block.get("id")) or ""] = name
            given = arguments(block.get("input"))
            yield self._message(
                record, offset, ASSISTANT, TOOL_USE, given, number, tool=name, **more
            )
            number, more["usage"] = number + 1, None
        if number and text(message.get("id")):
            if len(self.seen) >= _SEEN:
                del self.seen[next(iter(self.seen))]
            self.seen[message["id"]] = None

    def _usage(self, message: dict[str, Any]) -> TokenUsage | None:
        if text(message.get("id")) in self.seen or message.get("model") == "<synthetic>":
            return None
        usage = mapping(message.get("usage"))
        if not usage:
            return None
        prompt, read, write, _, output, reasoning = counts(usage)
        return TokenUsage(prompt, output, read, write, reasoning)

    def _plain(self, record: dict[str, Any], kind: str, offset: int) -> Message:
        """A flat record, as some programs that imitate Claude Code write them."""
        usage = record.get("usage")
        counts = None
        if type(usage) is dict:
            fields = ("input_tokens", "output_tokens")
            parts = ("cache_read_tokens", "cache_write_tokens")
            counts = TokenUsage(
                *(usage.get(name, 0) for name in fields), *(usage.get(name) for name in parts)
            )
        return self._message(
            record,
            offset,
            text(record.get("role")) or "",
            _PLAIN_TYPES.get(kind, CHAT),
            spoken(joined(record.get("content"))),
            model=text(record.get("model")),
            usage=counts,
        )._replace(parent_id=text(record.get("parentId")))


_REAL = frozenset(
    {"uuid", "leafUuid", "aiTitle", "customTitle", "summary", "modelUsage", "snapshot"}
)
"""Keys of the program's own records; a record with none of them is of another writer."""
