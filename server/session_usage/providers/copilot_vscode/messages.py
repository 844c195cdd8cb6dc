"""What was said, from VS Code: the debug logs where there are any, else the chat itself.

Debug logs cut texts after 5,000 characters; the chat has them whole, but is a journal of
changes that must be replayed: its memory is that of the chat.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from session_usage.events import Problem, Source
from session_usage.jsonl import Scan, parse, parse_any
from session_usage.messages import (
    ASSISTANT,
    CHAT,
    TOOL,
    TOOL_RESULT,
    TOOL_USE,
    USER,
    Message,
    TokenUsage,
    arguments,
)
from session_usage.providers.copilot_vscode.base import malformed, surface_of, unreadable
from session_usage.providers.copilot_vscode.chat import Journal
from session_usage.values import mapping, text, whole

_NEEDLES = (b'"user_message"', b'"agent_response"', b'"tool_call"', b'"llm_request"')


def read_messages(sources: Sequence[Source]) -> Iterator[Message | Problem]:
    """The conversation, then those of its subagents."""
    logs = [source for source in sources if source.kind == "debug-log"]
    logged = False
    for source in sorted(logs, key=_is_child):
        label = os.path.basename(source.path)[:-6] if _is_child(source) else ""
        if label and surface_of(label) != "chat":
            continue  # titles and the like: nobody said that
        for message in _guarded(_debug_log(source, label), source):
            logged = logged or type(message) is Message
            yield message
    if not logged:
        for source in sources:
            if source.kind == "chat-session":
                yield from _guarded(_chat(source), source)


def _is_child(source: Source) -> bool:
    return os.path.basename(source.path) not in ("main.jsonl", f"{source.session}.jsonl")


def _guarded(found: Iterator[Message | Problem], source: Source) -> Iterator[Message | Problem]:
    try:
        yield from found
    except OSError as error:
        yield unreadable(source, error)


def _debug_log(source: Source, label: str) -> Iterator[Message | Problem]:
    session = source.session or ""
    subagent = (label.removeprefix("runSubagent-"),) if label else ()
    turn: str | None = None
    used: dict[str, tuple[str | None, TokenUsage]] = {}
    for line in Scan(source.path, _NEEDLES):
        record, wrong = parse(line.data)
        if wrong:
            yield malformed(source, line.offset, wrong)
        if not record:
            continue
        kind = record.get("type")
        attrs = mapping(record.get("attrs"))
        span = text(record.get("spanId")) or str(line.offset)
        if kind == "llm_request":
            used.clear()  # its answer is the next line, or there is none
            used[span] = (
                text(attrs.get("model")),
                TokenUsage(
                    whole(attrs.get("inputTokens")),
                    whole(attrs.get("outputTokens")),
                    whole(attrs.get("cachedTokens")),
                ),
            )
            continue
        common: dict[str, Any] = {
            "timestamp": whole(record.get("ts")),
            "parent_id": text(record.get("parentSpanId")),
            "subagent": subagent,
            "path": source.path,
            "offset": line.offset,
            "raw_json": record,
        }
        if kind == "user_message":
            turn = f"{span}:{record.get('ts')}" if not label else None
            said = text(attrs.get("content")) or ""
            yield Message(span, session, USER, CHAT, said, turn=turn, **common)
        elif kind == "agent_response":
            model, usage = used.pop(span.removeprefix("agent-msg-"), (None, None))
            for number, (what, said, tool) in enumerate(_parts(attrs.get("response"))):
                yield Message(
                    f"{span}#{number}" if number else span,
                    session,
                    ASSISTANT,
                    what,
                    said,
                    model=model,
                    usage=None if number else usage,
                    tool=tool,
                    turn=turn,
                    **common,
                )
        elif kind == "tool_call":
            said = text(attrs.get("result")) or text(attrs.get("error")) or ""
            tool = text(record.get("name"))
            yield Message(span, session, TOOL, TOOL_RESULT, said, tool=tool, turn=turn, **common)


def _parts(response: Any) -> Iterator[tuple[str, str, str | None]]:
    """(type, content, tool) of the parts of an answer: JSON in a text, cut if it is long."""
    said = text(response)
    if said is None:
        return
    answers = parse_any(said.encode("utf-8", "replace"))
    if type(answers) is not list:
        yield CHAT, said, None
        return
    for answer in answers:
        parts = mapping(answer).get("parts")
        for part in parts if type(parts) is list else ():
            part = mapping(part)
            if part.get("type") == "tool_call":
                yield TOOL_USE, arguments(part.get("arguments")), text(part.get("name"))
            elif text(part.get("content")):
                yield CHAT, part["content"], None


class _Texts(Journal):
    """The chat with what was said in it."""

    KEPT = Journal.KEPT | {"message", "response"}

    def apply(self, change: dict[str, Any], offset: int) -> None:
        keys, value = change.get("k"), change.get("v")
        if (
            change.get("kind") == 2
            and type(keys) is list
            and len(keys) == 3
            and keys[0] == "requests"
            and keys[2] == "response"
            and type(keys[1]) is int
            and 0 <= keys[1] < len(self.requests)
        ):
            parts = self.requests[keys[1]].setdefault("response", [])
            if type(parts) is list:
                if type(change.get("i")) is int:
                    del parts[max(0, change["i"]) :]
                if type(value) is list:
                    parts += value
            return
        super().apply(change, offset)


def _chat(source: Source) -> Iterator[Message | Problem]:
    chat = _Texts()
    if source.path.endswith(".json"):
        with open(source.path, "rb") as file:
            state, wrong = parse(file.read())
        if wrong:
            yield malformed(source, 0, wrong)
        chat.reset(state or {}, 0)
    else:
        for line in Scan(source.path):
            change, wrong = parse(line.data.removeprefix(b"\xef\xbb\xbf"))
            if wrong:
                yield malformed(source, line.offset, wrong)
            if change:
                chat.apply(change, line.offset)
    session = source.session or text(chat.top.get("sessionId")) or ""
    for number, request in enumerate(chat.requests):
        yield from _turn(source, session, number, request)


def _turn(source: Source, session: str, number: int, request: dict[str, Any]) -> Iterator[Message]:
    name = text(request.get("requestId")) or f"{session}-{number}"
    metadata = mapping(mapping(request.get("result")).get("metadata"))
    picked = (text(request.get("modelId")) or "").rpartition("/")[2] or None
    model = text(metadata.get("resolvedModel")) or picked
    common: dict[str, Any] = {
        "timestamp": whole(request.get("timestamp")),
        "turn": name,
        "path": source.path,
        "offset": request[""],
    }
    message = request.get("message")
    asked = text(message) or text(mapping(message).get("text")) or ""
    yield Message(name, session, USER, CHAT, asked, raw_json=message, **common)
    output = whole(request.get("completionTokens"))
    usage = None if output is None else TokenUsage(output_tokens=output)
    for count, (what, said, tool, part) in enumerate(_response(request.get("response")), 1):
        yield Message(
            f"{name}#{count}",
            session,
            ASSISTANT,
            what,
            said,
            model=model,
            usage=usage,
            parent_id=name,
            tool=tool,
            raw_json=part,
            **common,
        )
        usage = None


def _response(parts: Any) -> Iterator[tuple[str, str, str | None, Any]]:
    """(type, content, tool, part) of an answer; texts that follow each other are one."""
    texts: list[str] = []
    for part in parts if type(parts) is list else ():
        part = mapping(part)
        kind = part.get("kind")
        value = part.get("content", part.get("value"))
        if kind in (None, "markdownContent"):
            texts.append(text(value) or text(mapping(value).get("value")) or "")
        elif kind == "toolInvocationSerialized":
            if "".join(texts):
                yield CHAT, "".join(texts), None, None
                texts.clear()
            about = part.get("pastTenseMessage") or part.get("invocationMessage")
            said = text(about) or text(mapping(about).get("value")) or ""
            yield TOOL_USE, said, text(part.get("toolId")), part
    if "".join(texts):
        yield CHAT, "".join(texts), None, None
