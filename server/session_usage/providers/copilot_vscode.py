"""GitHub Copilot Chat in VS Code: everything a user-data folder tells of a session.

No source is complete (seen in VS Code 1.116 to 1.139, Copilot Chat 0.44 to 0.67):

- ``…/GitHub.copilot-chat/debug-logs/<session>/*.jsonl`` (off by default): one ``llm_request``
  a call with its bill; ``main.jsonl`` and a file for each child (subagents, titles). Cut at
  its head when it grows too big, pruned after 50 sessions, blind to ``/compact``.
- ``chatSessions/<session>.jsonl`` (or ``.json``): the chat itself, a journal of changes. Each
  turn has ``copilotCredits``; removed turns are gone, forked ones are copied under new ids.
- ``agent-traces.db`` (off by default): a span a call, also of background calls.
- ``session-store.db``, ``state.vscdb``, ``workspace.json``, ``meta.json``: titles and folders.

A call's key is its stream's session, span id and start: span ids restart with every window
reload, response ids repeat within a turn. ``inputTokens`` is the whole prompt; cache writes
and reasoning are only in the spans. A status ``error`` without tokens is a call of unknown
cost. Models of the user's own key go through ``copilotLanguageModelWrapper``.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from session_usage import sqlite
from session_usage.drift import drift
from session_usage.events import (
    BYOK,
    COPILOT,
    START,
    Counter,
    Cursor,
    Event,
    Meta,
    Problem,
    Request,
    Source,
    ToolCall,
    Turn,
    oddity,
)
from session_usage.jsonl import Scan, instant, mapping, parse, text, whole
from session_usage.money import NANO_PER_CREDIT, nano
from session_usage.places import Places, entries, stamp, subfolders
from session_usage.providers import Switch

AGENT = "copilot-vscode"

_USAGE_NEEDLES = (b'"llm_request"', b'"child_session_ref"')
_FULL_NEEDLES = (*_USAGE_NEEDLES, b'"session_start"', b'"user_message"', b'"tool_call"')
_TEXTS = (b'"userRequest":"', b'"inputMessages":"')
_LONG = 1 << 12
_KNOWN_TYPES = frozenset(
    {
        "session_start", "user_message", "turn_start", "turn_end", "llm_request", "agent_response",
        "tool_call", "subagent", "child_session_ref", "hook", "discovery", "generic", "error",
    }
)  # fmt: skip
_BACKGROUND = (
    "title",
    "categorization",
    "promptCategorization",
    "git-branch",
    "progressMessages",
    "backgroundTodoAgent",
)
"""Call sites and child labels of calls that the user did not ask for."""


class CopilotVscode:
    """Reads the chat sessions of VS Code and of editors built from it."""

    agent = AGENT
    label = "GitHub Copilot Chat in VS Code"
    listing = frozenset({"folder", "index", "catalogue"})
    growing = frozenset({"debug-log"})
    forks = False
    switches = (
        Switch(
            "debug-log",
            "github.copilot.chat.agentDebugLog.fileLogging.enabled",
            "every model call with its tokens and its bill, live",
        ),
        Switch(
            "span-store",
            "github.copilot.chat.otel.dbSpanExporter.enabled",
            "background calls such as titles, cache writes and reasoning tokens",
        ),
    )

    def sources(self, places: Places) -> Iterator[Source]:
        seen: set[str] = set()
        for storage in places.only(AGENT) or ():
            yield from _workspaces(storage, seen)
        if places.only(AGENT) is not None:
            return
        for user_data in places.vscode():
            user = places.join(user_data, "User")
            if not os.path.isdir(user):
                continue
            yield from _workspaces(places.join(user, "workspaceStorage"), seen)
            shared = places.join(user, "globalStorage")
            yield from _sessions(shared, "github.copilot-chat", "emptyWindowChatSessions", seen)
            yield from _chats(places.join(shared, "transferredChatSessions"), None)
            for kind, name in (
                ("span-store", "github.copilot-chat/agent-traces.db"),
                ("catalogue", "github.copilot-chat/session-store.db"),
                ("index", "state.vscdb"),
            ):
                path = places.join(shared, name)
                if stamp(path)[0]:
                    yield _source(kind, path, None)

    def at(self, path: str) -> Iterator[Source]:
        if os.path.isdir(path):
            logs = tuple(session_folder(path))
            if any(_looks_like(source.path) == "debug-log" for source in logs):
                yield from logs
            return
        name = os.path.basename(path)
        kind = _looks_like(path) if name.endswith((".jsonl", ".json")) else None
        if kind == "debug-log":
            yield from session_folder(os.path.dirname(path))
        elif kind:
            yield _source(kind, path, name.rpartition(".")[0])

    def read(
        self, source: Source, at: Cursor = START, *, session: str | None = None, full: bool = True
    ) -> Iterator[Event]:
        if source.kind == "debug-log":
            return _debug_log(source, at, full)
        if source.kind == "chat-session":
            return _chat(source)
        if source.kind == "span-store":
            return _spans(source, at, session)
        if source.kind == "catalogue":
            return _catalogue(source, session)
        if source.kind == "index":
            return _index(source, session)
        if source.kind == "models":
            return _models(source)
        return _folder(source)


PROVIDER = CopilotVscode()


def _looks_like(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            head = file.read(1 << 16)
    except OSError:
        return None
    if b'"attrs"' in head and b'"type"' in head:
        return "debug-log"
    if b'"kind":0' in head or (b'"requests"' in head and b'"responderUsername"' in head):
        return "chat-session"
    return None


def _source(kind: str, path: str, session: str | None, entry: Any = None) -> Source:
    size, mtime_ns = stamp(path if entry is None else entry)
    return Source(AGENT, kind, path, session, size, mtime_ns)


def _workspaces(storage: str, seen: set[str]) -> Iterator[Source]:
    for folder in subfolders(storage):
        yield from _sessions(folder, "GitHub.copilot-chat", "chatSessions", seen)
        index = os.path.join(folder, "state.vscdb")
        if stamp(index)[0]:
            yield _source("index", index, None)


def _sessions(folder: str, extension: str, chats: str, seen: set[str]) -> Iterator[Source]:
    """Debug logs and chats of one workspace (or of windows without one)."""
    real = os.path.realpath(folder)
    if real in seen:  # a linked root is read once
        return
    seen.add(real)
    named = _named_by(folder)
    for entry in entries(os.path.join(folder, extension, "debug-logs")):
        if entry.name.endswith(".jsonl"):  # flat files of builds of March 2026
            yield _source("debug-log", entry.path, entry.name[:-6], entry)
            if named:
                yield _source("folder", named, entry.name[:-6])
            continue
        if entry.is_dir():
            yield from session_folder(entry.path)
            if named:
                yield _source("folder", named, entry.name)
    yield from _chats(os.path.join(folder, chats), named)


def session_folder(folder: str) -> Iterator[Source]:
    """The sources in one folder below ``debug-logs``, ``main.jsonl`` first."""
    found = entries(folder)
    files = [entry for entry in found if entry.name.endswith(".jsonl")]
    name = os.path.basename(os.path.normpath(folder))
    for entry in sorted(files, key=lambda entry: (entry.name != "main.jsonl", entry.name)):
        yield _source("debug-log", entry.path, name, entry)
    if files and any(entry.name == "models.json" for entry in found):
        yield Source(AGENT, "models", os.path.join(folder, "models.json"), name)


def _named_by(folder: str) -> str | None:
    for name in ("workspace.json", "meta.json"):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            return path
    return None


def _chats(folder: str, named: str | None) -> Iterator[Source]:
    found = {entry.name: entry for entry in entries(folder)}
    for name, entry in found.items():
        session, dot, ending = name.rpartition(".")
        if not dot or ending not in ("json", "jsonl"):
            continue
        if ending == "json" and session + ".jsonl" in found:
            continue  # the older form of the same chat
        yield _source("chat-session", entry.path, session, entry)
        if named:
            yield _source("folder", named, session)


def _unreadable(source: Source, error: OSError) -> Problem:
    reason = error.strerror or type(error).__name__
    kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
    return Problem(kind, source.path, None, f"cannot be read: {reason}", AGENT, source.session)


def _malformed(source: Source, offset: int | None, wrong: str) -> Problem:
    return Problem("malformed", source.path, offset, f"a line is {wrong}", AGENT, source.session)


def _debug_log(source: Source, at: Cursor, full: bool) -> Iterator[Event]:
    session = source.session or ""
    name = os.path.basename(source.path)
    child, label, parent, turn, skill, began = at.state or (None, None, None, None, None, False)
    if not at.state and name not in ("main.jsonl", f"{session}.jsonl"):
        label = name[:-6]
    needles = _FULL_NEEDLES if full else _USAGE_NEEDLES
    scan = Scan(source.path, needles, at.offset, first=at.offset == 0)
    log = source.path
    path = _path(child, label, parent, session)
    before_tail: tuple[Any, ...] | None = None
    settled = at.offset != 0  # what the first lines decide is decided
    try:
        for offset, buffer, begin, stop, complete in scan.spans():
            if not complete:
                before_tail = (child, label, parent, turn, skill, began)
            if not offset and not any(buffer.find(n, 0, stop) >= 0 for n in _FULL_NEEDLES):
                if not buffer.startswith(b"{", begin):
                    yield _malformed(source, 0, "not JSON")
                continue
            data, wrong = parse(_without_texts(buffer, begin, stop), b'"attrs":')
            if wrong:  # perhaps the line, perhaps the cutting
                data, wrong = parse(buffer[begin:stop], b'"attrs":')
            if wrong:
                yield _malformed(source, offset, wrong)
            if not data:
                continue
            kind = data.get("type")
            attrs = data.get("attrs")
            if attrs.__class__ is not dict:
                attrs = {}
            if kind == "session_start":
                began = True
                label = text(attrs.get("label")) or label
                parent = text(attrs.get("parentSessionId")) or parent
                settled = False
                if not label:
                    version = text(attrs.get("copilotVersion"))
                    yield Meta(AGENT, session, log, version=version, rank=1)
            if not settled:
                settled = True
                if label and child is None:
                    stream = text(data.get("sid"))
                    if stream and stream != session:
                        child, label = stream, _without_id(label, stream)
                path = _path(child, label, parent, session)
                if not began and not label:
                    began = True
                    yield Problem(
                        "truncated", log, offset,
                        "the beginning of this log was cut off; "
                        "what it held is missing from totals",
                        AGENT, session,
                    )  # fmt: skip
            if kind == "llm_request":
                request = _request(
                    log, session, offset, data, attrs, child, label, path, turn, skill
                )
                yield request
                odd = oddity(request, attrs.get("copilotUsageNanoAiu"))
                if odd:
                    yield Problem("malformed", log, offset, f"a call {odd}", AGENT, session)
            elif kind == "child_session_ref":
                other = text(attrs.get("childSessionId"))
                title = text(attrs.get("childTitle")) or _short(text(attrs.get("label")))
                if other and title:
                    yield Meta(AGENT, session, log, names=((other, title),))
            elif not full:
                continue
            elif kind == "user_message":
                at_ms = whole(data.get("ts"))
                turn = f"{data.get('spanId')}:{at_ms}"
                skill = _command(text(attrs.get("content"))) or skill
                if not label:
                    yield Turn(turn, AGENT, session, log, offset, at_ms)
            elif kind == "tool_call":
                yield ToolCall(
                    f"{child or session}:{data.get('spanId')}:{data.get('ts')}@{offset}",
                    AGENT, session, log, offset, whole(data.get("ts")),
                    text(data.get("name")) or "unknown", path, skill, turn,
                    data.get("status") != "error", whole(data.get("dur")),
                )  # fmt: skip
        if full:
            yield from drift(source, at.offset, "Copilot Chat", _KNOWN_TYPES)
    except OSError as error:
        yield _unreadable(source, error)
    yield Cursor(scan.offset, before_tail or (child, label, parent, turn, skill, began))


def _without_texts(buffer: bytearray, begin: int, stop: int) -> bytearray:
    """A line with its long prompt texts cut out, which are most of it and tell nothing.

    Inside a JSON text ``","`` can only be an escaped quote, a comma and the closing quote;
    cut there, the line is no JSON any more and is read again as a whole.
    """
    if stop - begin < _LONG:
        return buffer[begin:stop]
    kept = bytearray()
    for name in _TEXTS:
        at = buffer.find(name, begin, stop)
        end = buffer.find(b'","', at, stop) if at >= 0 else -1
        if end >= 0:
            kept += buffer[begin : at + len(name)]
            begin = end
    return kept + buffer[begin:stop]


def _without_id(label: str, stream: str) -> str:
    """The label in a child's file name ``<label>-<id>.jsonl``; ids may be written otherwise."""
    ending = "-" + stream
    return label[: -len(ending)] if label.endswith(ending) else label


def _short(label: str | None) -> str | None:
    return label.removeprefix("runSubagent-") if label else None


def _path(
    child: str | None, label: str | None, parent: str | None, session: str
) -> tuple[str, ...]:
    """Names from the first subagent down; ids stand in for names that another file knows."""
    if label is None or _surface(label) != "chat":
        return ()
    own = child or _short(label) or label
    return (parent, own) if parent and parent != session else (own,)


@functools.lru_cache(maxsize=256)
def _purpose(label: str | None, site: str | None) -> tuple[str, str]:
    """(surface, billing) of a call, by its child's label and its call site."""
    surface = _surface(label)
    if surface == "chat":
        surface = _surface(site)
    return surface, BYOK if site and "copilotLanguageModelWrapper" in site else COPILOT


def _surface(site: str | None) -> str:
    """What a call was for, by its call site or its child's label."""
    if not site:
        return "chat"
    name = site.removeprefix("retry-server-error-").removeprefix("retry-error-")
    name = name.removeprefix("retry-")
    if name.startswith("summarize"):
        return "compaction"
    if name.startswith(_BACKGROUND):
        return "background"
    return "chat"


def _command(content: str | None) -> str | None:
    """The slash command a message begins with: its name only, ``/ns:x`` as ``/ns x``."""
    words = content.split(None, 1) if content else []
    if not words or not words[0].startswith("/") or len(words[0]) < 2 or "/" in words[0][1:]:
        return None
    return words[0].replace(":", " ", 1)


def _request(
    path: str,
    session: str,
    offset: int,
    data: dict[str, Any],
    attrs: dict[str, Any],
    child: str | None,
    label: str | None,
    subagent: tuple[str, ...],
    turn: str | None,
    skill: str | None,
) -> Request:
    get = attrs.get
    span = data.get("spanId")
    started = data.get("ts")
    if started.__class__ is not int:
        started = whole(started)
    site = get("debugName")
    output = get("outputTokens")
    status = "ok"
    if output is None and data.get("status") == "error":
        reason = str(get("error", "")).lower()
        status = "cancelled" if "abort" in reason or "cancel" in reason else "error"
    run = data.get("rIdx")
    surface, billing = _purpose(label, site if site.__class__ is str else None)
    # built as a plain tuple: this line runs for every call of every log
    return _new(
        Request,
        (
            f"{child or session}:{span or offset}:{started}",
            AGENT,
            session,
            "debug-log",
            path,
            offset,
            started,
            text(get("model")),
            None,
            billing,
            status,
            whole(get("inputTokens")),
            whole(get("cachedTokens")),
            None,
            None,
            whole(output),
            None,
            nano(get("copilotUsageNanoAiu")),
            whole(data.get("dur")),
            whole(get("ttft")),
            surface,
            subagent,
            child if label else None,
            turn if not label else None,
            skill,
            None,
            None,
            False,
            False,
            False,
            None,
            None,
            (f"{span}:r{run}" if run else span) if span.__class__ is str else None,
        ),
    )


_new = tuple.__new__


class _Journal:
    """State of a chat, replayed from its changes; only what tells of cost is kept."""

    KEPT = frozenset(
        {
            "requestId", "timestamp", "modelId", "modelState", "completionTokens",
            "copilotCredits", "sessionCopilotCredits", "elapsedMs", "result",
        }
    )  # fmt: skip
    TOP = frozenset({"sessionId", "creationDate", "customTitle", "version", "workingDirectory"})

    def __init__(self) -> None:
        self.top: dict[str, Any] = {}
        self.requests: list[dict[str, Any]] = []

    def apply(self, change: dict[str, Any], offset: int) -> None:
        kind, keys, value = change.get("kind"), change.get("k"), change.get("v")
        if kind == 0:
            self.reset(mapping(value), offset)
            return
        if type(keys) is not list or not keys or not {type(key) for key in keys} <= {str, int}:
            return
        if keys[0] != "requests":
            if len(keys) == 1 and keys[0] in self.TOP:
                if kind == 3:
                    self.top.pop(keys[0], None)
                else:
                    self.top[keys[0]] = value
            return
        if len(keys) == 1:
            if kind == 2:
                if type(change.get("i")) is int:
                    del self.requests[max(0, change["i"]) :]
                self._append(value, offset)
            elif kind in (1, 3):  # any other kind is a damaged line: it must not cost the turns
                self.requests.clear()
                if kind == 1:
                    self._append(value, offset)
            return
        position = keys[1]
        if type(position) is not int or not 0 <= position <= len(self.requests):
            return
        if len(keys) == 2:
            if kind == 3:
                del self.requests[position : position + 1]
            elif kind == 1:
                self.requests[position : position + 1] = [self._pruned(value, offset)]
            return
        if position < len(self.requests) and keys[2] in self.KEPT:
            _set(self.requests[position], keys[2:], kind, value)

    def reset(self, state: dict[str, Any], offset: int) -> None:
        self.top = {name: state[name] for name in self.TOP if name in state}
        self.requests = []
        self._append(state.get("requests"), offset)

    def _append(self, values: Any, offset: int) -> None:
        if type(values) is list:
            self.requests += [self._pruned(value, offset) for value in values]

    def _pruned(self, value: Any, offset: int) -> dict[str, Any]:
        request = mapping(value)
        kept = {name: request[name] for name in self.KEPT if name in request}
        if "result" in kept:
            kept["result"] = _result(kept["result"])
        kept[""] = offset
        return kept


def _result(value: Any) -> dict[str, Any]:
    metadata = mapping(mapping(value).get("metadata"))
    kept = {
        name: metadata[name]
        for name in ("responseId", "resolvedModel", "sessionId")
        if name in metadata
    }
    return {"metadata": kept}


def _set(target: dict[str, Any], keys: list[Any], kind: Any, value: Any) -> None:
    for key in keys[:-1]:
        inner = target.get(key)
        if type(inner) is not dict:
            if kind == 3:
                return
            inner = target[key] = {}
        target = inner
    if kind == 3:
        target.pop(keys[-1], None)
    elif kind == 1:
        target[keys[-1]] = _result(value) if keys[-1] == "result" else value


def _chat(source: Source) -> Iterator[Event]:
    journal = _Journal()
    try:
        if source.path.endswith(".json"):
            with open(source.path, "rb") as file:
                state, wrong = parse(file.read())
            if wrong:
                yield _malformed(source, 0, wrong)
            journal.reset(state or {}, 0)
        else:
            for line in Scan(source.path):
                change, wrong = parse(line.data.removeprefix(b"\xef\xbb\xbf"))
                if wrong:
                    yield _malformed(source, line.offset, wrong)
                if change:
                    journal.apply(change, line.offset)
    except OSError as error:
        yield _unreadable(source, error)
    session = source.session or text(journal.top.get("sessionId")) or ""
    times = [at for at in (whole(r.get("timestamp")) for r in journal.requests) if at]
    yield Meta(
        AGENT,
        session,
        source.path,
        title=text(journal.top.get("customTitle")),
        created_ms=min(times, default=None),
        updated_ms=max(times, default=None),
        rank=2,
    )
    for request in journal.requests:
        yield from _turn(source, session, request)
    yield START


def _turn(source: Source, session: str, request: dict[str, Any]) -> Iterator[Event]:
    offset = request[""]
    metadata = mapping(mapping(request.get("result")).get("metadata"))
    name = text(request.get("requestId")) or f"{session}@{offset}"
    copied = not name.startswith("request_")  # a fork gives its copies bare ids
    owner = (text(metadata.get("sessionId")) or session) if copied else session
    key = text(metadata.get("responseId")) or name
    state = mapping(request.get("modelState"))
    started = whole(request.get("timestamp"))
    elapsed = whole(request.get("elapsedMs"))
    ended = whole(state.get("completedAt"))
    if ended is None and started is not None and elapsed is not None:
        ended = started + elapsed
    vendor, _, picked = (text(request.get("modelId")) or "").partition("/")
    model = text(metadata.get("resolvedModel")) or picked.rpartition("/")[2] or None
    counter = Counter(
        key,
        AGENT,
        owner,
        "chat-session",
        source.path,
        offset,
        ended,
        "turn",
        key,
        since_ms=started,
        model=None if model == "auto" else model,
        billing=BYOK if vendor not in ("copilot", "") else COPILOT,
        output_tokens=whole(request.get("completionTokens")),
        nano_aiu=nano(request.get("copilotCredits"), NANO_PER_CREDIT),
        reason="a turn whose calls were not logged",
        copied=copied and owner != session,
        status={2: "cancelled", 3: "error"}.get(whole(state.get("value")) or 0, "ok"),
    )
    yield counter
    running = nano(request.get("sessionCopilotCredits"), NANO_PER_CREDIT)
    if running and not copied:
        yield counter._replace(
            key=f"running:{key}", scope="total", nano_aiu=running, output_tokens=None, model=None
        )


_SPAN_COLUMNS = (
    "span_id", "start_time_ms", "end_time_ms", "status_code", "operation_name", "provider_name",
    "agent_name", "conversation_id", "request_model", "response_model", "input_tokens",
    "output_tokens", "cached_tokens", "reasoning_tokens", "chat_session_id", "ttft_ms",
)  # fmt: skip
_ATTRIBUTES = {
    "copilot_chat.copilot_usage_nano_aiu": "nano",
    "gen_ai.usage.cache_creation.input_tokens": "write",
    "gen_ai.usage.cache_read.input_tokens": "read",
    "gen_ai.usage.reasoning.output_tokens": "reasoning",
    "copilot_chat.parent_chat_session_id": "parent",
    "copilot_chat.debug_log_label": "label",
    "copilot_chat.canceled": "cancelled",
    "gen_ai.response.finish_reasons": "finish",
}


def _spans(source: Source, at: Cursor, session: str | None) -> Iterator[Event]:
    """Calls recorded as OpenTelemetry spans; only ``chat`` spans are calls."""
    names = ", ".join(f"'{name}'" for name in _ATTRIBUTES)
    try:
        with sqlite.reading(source.path) as connection:
            facts: dict[str, dict[str, str]] = {}
            for _, span, key, value in sqlite.rows(
                connection,
                "span_attributes",
                ("span_id", "key", "value"),
                f"WHERE key IN ({names})",
            ):
                if type(value) is str:  # a damaged row may hold anything
                    facts.setdefault(span, {})[_ATTRIBUTES[key]] = value
            for row in sqlite.rows(connection, "spans", _SPAN_COLUMNS):
                fields = dict(zip(_SPAN_COLUMNS, row[1:], strict=True))
                if fields["operation_name"] != "chat":
                    continue
                request = _span(source, row[0], fields, facts.get(fields["span_id"], {}))
                if session is None or request.session == session:
                    yield request
    except sqlite.Unreadable as error:
        yield Problem(error.kind, source.path, None, str(error), AGENT)
    yield START


def _span(source: Source, rowid: int, row: dict[str, Any], facts: dict[str, str]) -> Request:
    span = text(row["span_id"]) or str(rowid)
    stream, conversation = text(row["chat_session_id"]), text(row["conversation_id"])
    label, site = facts.get("label"), text(row["agent_name"])
    background = not stream and not conversation
    session = None if background else (facts.get("parent") or conversation or stream)
    if label and _surface(label) == "background":
        session, background = None, True
    started, ended = whole(row["start_time_ms"]), whole(row["end_time_ms"])
    tokens = whole(row["output_tokens"])
    status = "ok"
    if row["status_code"] == 2 and tokens is None:
        status = "error"
    if facts.get("cancelled") == "true" or "cancelled" in (facts.get("finish") or ""):
        status = "cancelled"
    child = stream if stream and stream != session and label else None
    read = whole(row["cached_tokens"])
    surface = _surface(label)
    return Request(
        f"span:{span}",
        AGENT,
        session,
        "span",
        source.path,
        rowid,
        started_ms=started,
        model=text(row["response_model"]) or text(row["request_model"]),
        billing=BYOK if site and "copilotLanguageModelWrapper" in site else COPILOT,
        status=status,
        input_tokens=whole(row["input_tokens"]),
        cache_read_tokens=read if read is not None else whole(facts.get("read")),
        cache_write_tokens=whole(facts.get("write")),
        output_tokens=tokens,
        reasoning_tokens=whole(
            facts.get("reasoning") if row["reasoning_tokens"] is None else row["reasoning_tokens"]
        ),
        nano_aiu=nano(whole(facts.get("nano"))),
        duration_ms=ended - started if started is not None and ended is not None else None,
        ttft_ms=whole(row["ttft_ms"]),
        surface="background" if background else surface if surface != "chat" else _surface(site),
        subagent=(child,) if child else (),
        subagent_id=child,
        link=span,
    )


def _catalogue(source: Source, session: str | None) -> Iterator[Event]:
    wanted = ("id", "cwd", "branch", "summary", "created_at", "updated_at")
    where, values = ("WHERE id = ?", [session]) if session else ("", [])
    try:
        with sqlite.reading(source.path) as connection:
            for row in sqlite.rows(connection, "sessions", wanted, where, values):
                _, name, cwd, branch, summary, created, updated = row
                if text(name):
                    yield Meta(
                        AGENT, name, source.path, text(summary), text(cwd), None, text(branch),
                        created_ms=instant(created), updated_ms=instant(updated),
                    )  # fmt: skip
    except sqlite.Unreadable as error:
        yield Problem(error.kind, source.path, None, str(error), AGENT)
    yield START


def _index(source: Source, session: str | None) -> Iterator[Event]:
    """VS Code's own list of chats: titles and times."""
    key = "chat.ChatSessionStore.index"
    value: Any = None
    try:
        with sqlite.reading(source.path) as connection:
            for row in sqlite.rows(connection, "ItemTable", ("value",), "WHERE key = ?", [key]):
                value = row[1]
    except sqlite.Unreadable as error:
        yield Problem(error.kind, source.path, None, str(error), AGENT)
    if value is not None:
        data, wrong = parse(value.encode() if type(value) is str else bytes(value))
        if wrong:
            yield _malformed(source, None, wrong)
        listed = mapping(mapping(data).get("entries"))
        for row in listed.values():
            entry = mapping(row)
            name = text(entry.get("sessionId"))
            if not name or entry.get("isExternal") is True or entry.get("isEmpty") is True:
                continue
            if session is not None and name != session:
                continue
            timing = mapping(entry.get("timing"))
            yield Meta(
                AGENT,
                name,
                source.path,
                title=text(entry.get("title")),
                created_ms=instant(timing.get("created")),
                updated_ms=instant(entry.get("lastMessageDate")),
                rank=1,
            )
    yield START


def _models(source: Source) -> Iterator[Event]:
    """Where Copilot's price list of that day lies: opened only when a price is needed."""
    yield Meta(AGENT, source.session or "", source.path, facts=(("models_json", source.path),))
    yield START


def _folder(source: Source) -> Iterator[Event]:
    """The folder of a workspace: ``workspace.json`` has its URI, ``meta.json`` its name."""
    try:
        with open(source.path, "rb") as file:
            data, _ = parse(file.read(1 << 20))
    except OSError:
        data = None
    fields = mapping(data)
    uri = text(fields.get("folder")) or text(fields.get("workspace"))
    name = local_path(uri) if uri else text(fields.get("name"))
    if name:
        yield Meta(AGENT, source.session or "", source.path, workspace=name, rank=2 if uri else -1)
    yield START


def local_path(uri: str) -> str:
    """A ``file:`` URI as a path; other URIs (remote windows) are kept, only decoded."""
    if not uri.startswith("file://"):
        return unquote(uri)
    host, slash, rest = uri[7:].partition("/")
    path = unquote(slash + rest)
    if host:
        return f"//{unquote(host)}{path}"
    if len(path) > 2 and path[2] == ":" and path[1].isalpha():  # /c:/… of Windows
        return path[1].upper() + path[2:]
    return path
