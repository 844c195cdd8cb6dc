"""What was said, from Gemini CLI's conversation files.

A ``.jsonl`` is read twice: a message is written again when its tools have finished. The first
pass remembers where the last form of each message stands, the second reads it there; so memory
does not grow with the texts. A rewind or a checkpoint takes nothing back: it was said. Only
what a file has before any message of its own, as after a resume, is read from a checkpoint.
"""

from __future__ import annotations

import os
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
from session_usage.values import instant, mapping, text, whole

AGENT = "gemini"
_ROLES = {"user": USER, "gemini": ASSISTANT}
_NOTICES = frozenset({"info", "error", "warning", "system"})


def read_messages(sources: Sequence[Source], session: str) -> Iterator[Message | Problem]:
    """The conversation, then those of its subagents."""
    chats = [source for source in sources if source.kind in ("chat", "chat-json")]
    for source in sorted(chats, key=lambda source: source.session is not None):
        if source.session not in (None, session) or not _may_be(source, session):
            continue
        try:
            if source.kind == "chat":
                yield from _lines(source, session)
            else:
                yield from _document(source, session)
        except OSError as error:
            kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
            words = error.strerror or type(error).__name__
            yield Problem(kind, source.path, None, words, AGENT, source.session)


def _may_be(source: Source, session: str) -> bool:
    """Does the name allow this file to be the session's? It ends with 8 characters of the id."""
    stem = os.path.basename(source.path).rsplit(".", 1)[0]
    return source.session is not None or stem == "session" or stem.endswith(session[:8])


def _document(source: Source, session: str) -> Iterator[Message | Problem]:
    """The older form: one object."""
    with open(source.path, "rb") as file:
        record, wrong = parse(file.read())
    if wrong:
        yield Problem("malformed", source.path, 0, f"file is {wrong}", AGENT, source.session)
    if source.session is None and mapping(record).get("sessionId") != session:
        return
    messages = mapping(record).get("messages")
    told: set[str] = set()
    for number, message in enumerate(messages if type(messages) is list else ()):
        yield from _messages(source, session, mapping(message), number, 0, told)


def _lines(source: Source, session: str) -> Iterator[Message | Problem]:
    places: dict[str, tuple[int, int, int]] = {}
    """Message id -> (offset, length, place in a checkpoint or -1) of its last form."""
    for line in Scan(source.path):
        record, wrong = parse(line.data)
        if wrong:
            words = f"line is {wrong}"
            yield Problem("malformed", source.path, line.offset, words, AGENT, source.session)
        if not record:
            continue
        changes = mapping(record.get("$set"))
        if source.session is None and (changes or record).get("sessionId", session) != session:
            return  # another session with the same beginning of its id
        here = line.offset, len(line.data)
        listed = changes.get("messages")
        if type(listed) is list and not places:
            for number, message in enumerate(listed):
                name = text(mapping(message).get("id")) or str(number)
                places[f"{name}/{mapping(message).get('type')}"] = (*here, number)
        elif "type" in record and text(record.get("id")):
            places[record["id"]] = (*here, -1)
    told: set[str] = set()
    with open(source.path, "rb") as file:
        for number, (offset, length, place) in enumerate(places.values()):
            file.seek(offset)
            record = mapping(parse(file.read(length))[0])
            if place >= 0:
                listed = mapping(record.get("$set")).get("messages")
                record = mapping(listed[place]) if type(listed) is list else {}
            yield from _messages(source, session, record, number, offset, told)


def _messages(
    source: Source,
    session: str,
    message: dict[str, Any],
    number: int,
    offset: int,
    told: set[str],
) -> Iterator[Message]:
    """One message and its tools; ``told`` are the ids of the uses whose results were told."""
    kind = (text(message.get("type")) or text(message.get("author")) or "").lower()
    calls = message.get("toolCalls")
    calls = [mapping(call) for call in calls] if type(calls) is list else []
    content = message.get("content")
    name = text(message.get("id")) or f"{session}-{number}"
    stamp = message.get("timestamp")
    said = joined(content)
    injected = kind in _NOTICES or said.startswith("<session_context>")
    role = SYSTEM if injected else _ROLES.get(kind, USER)
    common: dict[str, Any] = {
        "timestamp": instant(stamp) if type(stamp) is str else whole(stamp),
        "subagent": ("subagent",) if source.session else (),
        "path": source.path,
        "offset": offset,
    }
    modern = "type" in message
    model = text(message.get("model"))
    usage = _usage(mapping(message.get("tokens")))
    if not modern:  # one message, whatever it holds
        what = TOOL_USE if calls else CHAT
        yield Message(name, session, role, what, said, usage=usage, raw_json=content, **common)
        return
    answers = _answers(content)
    if answers:  # what the tools gave back, sent to the model: told with the tools' uses
        for place, answer in enumerate(answers):
            if text(answer.get("id")) not in told:
                yield Message(
                    f"{name}#{place}" if place else name,
                    session,
                    TOOL,
                    TOOL_RESULT,
                    _output(answer),
                    tool=text(answer.get("name")),
                    raw_json=message,
                    **common,
                )
        return
    count = 0
    if said or not calls:
        yield Message(
            name, session, role, CHAT, said, model=model, usage=usage, raw_json=message, **common
        )
        count, usage = 1, None
    for call in calls:
        tool = text(call.get("name"))
        told.add(text(call.get("id")) or "")
        given = arguments(call.get("args"))
        for part, who, what, words in (
            (call, ASSISTANT, TOOL_USE, given),
            (call, TOOL, TOOL_RESULT, _result(call)),
        ):
            yield Message(
                f"{name}#{count}" if count else name,
                session,
                who,
                what,
                words,
                model=model if who == ASSISTANT else None,
                usage=usage,
                tool=tool,
                raw_json=part,
                **common,
            )
            count, usage = count + 1, None


def _answers(content: Any) -> list[dict[str, Any]]:
    """The results of tools in a message."""
    parts = content if type(content) is list else ()
    found = (mapping(mapping(part).get("functionResponse")) for part in parts)
    return [answer for answer in found if answer]


def _output(answer: dict[str, Any]) -> str:
    response = mapping(answer.get("response"))
    return text(response.get("output")) or text(response.get("error")) or ""


def _result(call: dict[str, Any]) -> str:
    """What a tool gave back, as the model was told or as it was shown."""
    texts = [_output(answer) for answer in _answers(call.get("result"))]
    return "\n".join(filter(None, texts)) or text(call.get("resultDisplay")) or ""


def _usage(tokens: dict[str, Any]) -> TokenUsage | None:
    """Only where something was sent or answered."""
    prompt, output = whole(tokens.get("input")), whole(tokens.get("output"))
    if not prompt and not output:
        return None
    thoughts, tool = whole(tokens.get("thoughts")), whole(tokens.get("tool"))
    return TokenUsage(
        None if prompt is None else prompt + (tool or 0),
        None if output is None else output + (thoughts or 0),
        whole(tokens.get("cached")),
        None,
        thoughts,
    )
