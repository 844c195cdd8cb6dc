"""Gemini CLI: one file per conversation below ``~/.gemini/tmp/<project>/chats``.

Where. ``$GEMINI_CLI_HOME`` stands in for the home folder. ``<project>`` is a name from
``~/.gemini/projects.json`` (0.35 on; the folder's ``.project_root`` holds the path), before
that the SHA-256 of the project's path. ``session-<time>-<8 of the id>.jsonl`` since 0.61,
``.json`` before; sub-agents: ``chats/<parent's session id>/<session id>.jsonl``.

What. A ``.jsonl`` has a header (``sessionId``, again after each resume), one record per
message, ``{"$set": ...}`` (title, or a checkpoint of all messages) and ``{"$rewindTo": id}``.
A ``.json`` is one object with ``messages``, written anew each time. A model's answer is a
message of type ``gemini`` with ``tokens``: ``input`` is the prompt with its cached part but
without ``tool``, ``output`` is without ``thoughts``; ``total`` is their sum.

Counting. One request per session and message id: the message is written again when its tools
have finished. Rewinding and checkpoints take nothing back, the calls were made; a checkpoint
repeats messages without tokens and adds nothing. Never logged: routing, compression and title
calls, failed calls, cache writes. An answer whose stream broke keeps the figures it had.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from session_usage import events, jsonl, values
from session_usage.events import (
    START,
    Cursor,
    Event,
    Meta,
    Problem,
    Request,
    Source,
    ToolCall,
    Turn,
)
from session_usage.messages import Message
from session_usage.places import Places, entries, stamp, subfolders
from session_usage.providers import Provider

AGENT = "gemini"
SUBAGENT = "subagent"
"""The log does not name a sub-agent."""

_MESSAGES = (b'"tokens"', b'"gemini"', b'"sessionId"')
_EXTRAS = (b'"user"', b'"summary"', b'"directories"')


class Gemini(Provider):
    """The provider of Gemini CLI's conversations."""

    agent = AGENT
    label = "Gemini CLI"
    listing = frozenset({"chat", "chat-json"})
    growing = frozenset({"chat"})
    forks = True
    switches = ()

    def sources(self, places: Places) -> Iterator[Source]:
        """Every conversation file, sub-agents' included; nothing is opened."""
        home = places.configured("GEMINI_CLI_HOME")
        for root in places.only(AGENT) or (places.join(home, ".gemini"),):
            for project in subfolders(places.join(root, "tmp")):
                for entry in entries(places.join(project, "chats")):
                    if entry.name.startswith("session-"):
                        yield from _source(entry, None)
                    else:
                        for child in entries(entry.path):  # nothing, if it is no folder
                            alone = child.name == "session.json"
                            yield from _source(child, None if alone else entry.name)

    def at(self, path: str) -> Iterator[Source]:
        """The conversation file at ``path``, by its name."""
        name = os.path.basename(path)
        if name.startswith("session-") and os.path.isfile(path):
            for entry in entries(os.path.dirname(path)):
                if entry.name == name:
                    yield from _source(entry, None)

    def read(
        self,
        source: Source,
        at: Cursor = START,
        *,
        session: str | None = None,
        full: bool = True,
    ) -> Iterator[Event]:
        """The events of one conversation file; ``session`` is of no use here."""
        chat = _Chat(source, at, full)
        try:
            yield from chat.lines(at.offset) if source.kind == "chat" else chat.document()
        except OSError as error:
            kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
            yield chat.problem(kind, None, error.strerror or type(error).__name__)
        yield from chat.meta()
        yield Cursor(chat.offset, (chat.own,))

    def project(self, source: Source) -> str:
        """The name of the project's folder below ``tmp``: a hash where no file tells more."""
        return os.path.basename(_project(source.path))

    def noted(self, source: Source, session: str) -> tuple[str | None, int | None]:
        """The number of messages: lists read these files whole anyway."""
        found = self.messages([source], session)
        return None, sum(1 for one in found if isinstance(one, Message))

    def messages(self, sources: Sequence[Source], session: str) -> Iterator[Message | Problem]:
        """What was said in a session, by its sources; see ``Provider``."""
        from session_usage.providers.gemini_messages import read_messages

        return read_messages(sources, session)


def _source(entry: os.DirEntry[str], session: str | None) -> Iterator[Source]:
    name = entry.name
    if ".tmp-" in name or ".unreadable-" in name or not name.endswith((".jsonl", ".json")):
        return
    kind = "chat" if name.endswith(".jsonl") else "chat-json"
    yield Source(AGENT, kind, entry.path, session, *stamp(entry))


def _project(path: str) -> str:
    """The project's folder below ``tmp``, whichever way the conversation lies in it."""
    folder = os.path.dirname(path)
    while os.path.basename(folder) != "chats" and len(folder) > 1:
        folder = os.path.dirname(folder)
    return os.path.dirname(folder)


class _Chat:
    """One conversation file being read: what its lines say of the session as a whole."""

    def __init__(self, source: Source, at: Cursor, full: bool) -> None:
        stem = os.path.basename(source.path).rsplit(".", 1)[0]
        self.source = source
        self.full = full
        self.offset = at.offset
        self.fresh = at.offset == 0
        self.own: str | None = values.text(at.state[0]) if at.state else None
        """This file's session id; of a damaged header the file name tells enough."""
        self.named = stem if source.session else stem.rsplit("-", 1)[-1]
        self.subagent = source.session is not None
        self.title: str | None = None
        self.folder: str | None = None
        self.model: str | None = None
        self.began: int | None = None
        self.first: int | None = None
        self.last: int | None = None
        self.drifted = False

    @property
    def id(self) -> str:
        return self.own or self.named

    @property
    def session(self) -> str:
        """The main conversation that pays: the parent's for a sub-agent."""
        return self.source.session or self.id

    def problem(self, kind: str, offset: int | None, text: str) -> Problem:
        return Problem(kind, self.source.path, offset, text, AGENT, self.session)

    def lines(self, start: int) -> Iterator[Event]:
        needles = _MESSAGES + (_EXTRAS if self.full else ())
        scan = jsonl.Scan(self.source.path, needles, start)
        for line in scan:
            record, wrong = jsonl.parse(line.data)
            if wrong:
                yield self.problem("malformed", line.offset, f"line is {wrong}")
            if record is not None:
                yield from self.record(record, line.offset)
        self.offset = scan.offset

    def document(self) -> Iterator[Event]:
        with open(self.source.path, "rb") as file:
            data = file.read()
        record, wrong = jsonl.parse(data)
        if wrong:
            yield self.problem("malformed", 0, f"file is {wrong}")
        if record is None:
            record = _rescued(data)
        self.header(record)
        for message in _list(record.get("messages")):
            yield from self.message(values.mapping(message), 0)

    def record(self, record: dict[str, Any], offset: int) -> Iterator[Event]:
        changes = values.mapping(record.get("$set"))
        self.header(changes or record)
        if changes:
            for message in _list(changes.get("messages")):
                if values.mapping(message).get("tokens"):
                    yield from self.message(message, offset)
        elif "type" in record:
            yield from self.message(record, offset)

    def header(self, record: dict[str, Any]) -> None:
        self.own = values.text(record.get("sessionId")) or self.own
        self.subagent = self.subagent or record.get("kind") == SUBAGENT
        self.title = values.text(record.get("summary")) or self.title
        for folder in _list(record.get("directories"))[:1]:
            self.folder = values.text(folder) or self.folder
        started = values.instant(record.get("startTime"))
        if started is not None:
            self.began = started if self.began is None else min(self.began, started)
        self.seen(started)
        self.seen(values.instant(record.get("lastUpdated")))

    def seen(self, at: int | None) -> None:
        if at is not None:
            self.first = at if self.first is None else min(self.first, at)
            self.last = at if self.last is None else max(self.last, at)

    def message(self, message: dict[str, Any], offset: int) -> Iterator[Event]:
        kind, name = message.get("type"), values.text(message.get("id"))
        at = values.instant(message.get("timestamp"))
        self.seen(at)
        if name is None:
            return
        key = f"{self.id}:{name}"
        if kind == "gemini":
            if _is_odd(values.mapping(message.get("tokens"))):
                text = "token counts that cannot be: none, or more cached than sent"
                yield self.problem("malformed", offset, text)
            yield self.request(message, key, at, offset)
            if self.full:
                yield from self.tools(message, key, at, offset)
        elif kind == "user":
            if self.full and not self.subagent and _is_prompt(message.get("content")):
                yield Turn(key, AGENT, self.session, self.source.path, offset, at)
        elif values.mapping(message.get("tokens")) and not self.drifted:
            self.drifted = True
            text = "messages of an unknown type report tokens; totals may be incomplete"
            yield self.problem("drift", offset, text)

    def request(self, message: dict[str, Any], key: str, at: int | None, offset: int) -> Request:
        tokens = values.mapping(message.get("tokens"))
        prompt = values.whole(tokens.get("input"))
        output = values.whole(tokens.get("output"))
        thoughts = values.whole(tokens.get("thoughts"))
        model = values.text(message.get("model"))
        self.model = model or self.model
        return Request(
            key,
            AGENT,
            self.session,
            self.source.kind,
            self.source.path,
            offset,
            started_ms=at,
            model=model,
            provider="gcp.gemini",
            billing=events.API,
            input_tokens=_sum(prompt, values.whole(tokens.get("tool"))),
            cache_read_tokens=values.whole(tokens.get("cached")),
            output_tokens=_sum(output, thoughts),
            reasoning_tokens=thoughts,
            subagent=(SUBAGENT,) if self.subagent else (),
            subagent_id=self.id if self.subagent else None,
            weak=prompt is None and output is None,
        )

    def tools(
        self, message: dict[str, Any], key: str, at: int | None, offset: int
    ) -> Iterator[ToolCall]:
        for number, call in enumerate(_list(message.get("toolCalls"))):
            call = values.mapping(call)
            name = values.text(call.get("name"))
            if name is None:
                continue
            status = call.get("status")
            yield ToolCall(
                f"{key}:{values.text(call.get('id')) or number}",
                AGENT,
                self.session,
                self.source.path,
                offset,
                values.instant(call.get("timestamp")) or at,
                name,
                subagent=(SUBAGENT,) if self.subagent else (),
                ok=True if status == "success" else False if status == "error" else None,
            )

    def meta(self) -> Iterator[Meta]:
        if self.source.session is not None:
            names = ((self.id, SUBAGENT),)
            yield Meta(AGENT, self.session, self.source.path, names=names)
        elif self.last is not None or self.title:
            yield Meta(
                AGENT,
                self.session,
                self.source.path,
                title=self.title,
                workspace=_workspace(self.source.path) or self.folder,
                model=self.model,
                created_ms=(self.began or self.first) if self.fresh else None,
                updated_ms=self.last,
            )


def _workspace(path: str) -> str | None:
    """The project's folder, by the files that lie beside the conversations."""
    project = _project(path)
    try:
        with open(os.path.join(project, ".project_root"), encoding="utf-8") as file:
            return file.read().strip() or None
    except (OSError, ValueError):
        pass
    register = os.path.join(os.path.dirname(os.path.dirname(project)), "projects.json")
    try:
        with open(register, "rb") as file:
            known = values.mapping(values.mapping(jsonl.parse(file.read())[0]).get("projects"))
    except OSError:
        return None
    from hashlib import sha256

    name = os.path.basename(project)
    for folder, slug in known.items():
        if name in (slug, sha256(folder.encode("utf-8", "replace")).hexdigest()):
            return folder
    return None


def _rescued(data: bytes) -> dict[str, Any]:
    """What a ``.json`` that was cut or damaged still says: its id and its first messages."""
    import json
    import re

    text = data.decode("utf-8", "replace")
    decoder = json.JSONDecoder(strict=False)
    found: dict[str, Any] = {}
    messages: list[Any] = []
    header = re.search(r'"sessionId"\s*:\s*"([^"\\]+)"', text)
    if header:
        found["sessionId"] = header[1]
    start = re.search(r'"messages"\s*:\s*\[\s*', text)
    at = start.end() if start else len(text)
    while at < len(text) and text[at] == "{":
        try:
            message, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        messages.append(message)
        gap = re.compile(r"[\s,]*").match(text, at)
        at = gap.end() if gap else at
    found["messages"] = messages
    return found


def _is_prompt(content: Any) -> bool:
    """Did a person write this? Tool results and the context sent along are no prompts."""
    parts = content if type(content) is list else [{"text": content}]
    for part in parts:
        text = values.text(part if type(part) is str else values.mapping(part).get("text"))
        if text is not None:
            return not text.startswith("<session_context>")
    return False


def _is_odd(tokens: dict[str, Any]) -> bool:
    """Is there a figure that cannot be a count (RULES R15)?"""
    if any(values.whole(figure) is None for figure in tokens.values() if figure is not None):
        return True
    cached, prompt = values.whole(tokens.get("cached")), values.whole(tokens.get("input"))
    return cached is not None and prompt is not None and cached > prompt


def _list(value: Any) -> list[Any]:
    return value if type(value) is list else []


def _sum(whole: int | None, part: int | None) -> int | None:
    return None if whole is None else whole + (part or 0)


PROVIDER = Gemini()
