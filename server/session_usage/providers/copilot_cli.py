"""GitHub Copilot CLI (and App): its session folders and its usage database.

``$COPILOT_HOME`` (``~/.copilot``) holds, for all versions seen (0.0.403 to 1.0.102):

- ``session-state/<id>/events.jsonl``, the *journal*: one event a line, appended in batches,
  rewritten when the user rewinds. ``session.usage_record`` (from 1.0.102) is one model call,
  ``session.compaction_complete`` holds the call that compacted, ``model.model_call_success``
  a background call (title) or a manual compaction, ``tool.execution_complete.toolUsage`` the
  spend of a tool. ``session.shutdown`` (and ``session.usage_checkpoint``) are counters: of
  this run in old versions, of the whole session in new ones. ``assistant.message`` proves a
  call and, up to 1.0.79, tells its output tokens.
- ``session-state/<id>/workspace.yaml``: title, folder, branch.
- ``session-store.db``: ``assistant_usage_events`` (from 1.0.70) has one row per call, immune
  to kills, rewinds and forks; without background calls. ``sessions`` lists the sessions.
- ``agentHostUsage/<id>.jsonl`` in VS Code's user data: calls of sessions that VS Code hosts.

Tokens: ``inputTokens`` is the whole prompt. A fork copies earlier events of its origin below
its own ``session.start``: what is older than that start was spent by the origin.
With the user's own key (BYOK) no amount is written; counters print 0, which means unknown.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

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
from session_usage.kinds import types
from session_usage.money import nano
from session_usage.places import Places, entries, stamp, subfolders

AGENT = "copilot-cli"

_PLAIN_HEAD = b'{"type":"'
_USAGE_TYPES = (
    "session.",
    "assistant.message",
    "model.model_call_success",
    "subagent.started",
)
_FULL_TYPES = (*_USAGE_TYPES, "user.message", "tool.execution_", "skill.invoked")
_USAGE_HEADS = tuple(_PLAIN_HEAD + name.encode() for name in _USAGE_TYPES)
_FULL_HEADS = tuple(_PLAIN_HEAD + name.encode() for name in _FULL_TYPES)
_USAGE_NEEDLES = (*(b'"' + name.encode() for name in _USAGE_TYPES), b'"toolUsage"')
_FULL_NEEDLES = tuple(b'"' + name.encode() for name in _FULL_TYPES)
_MESSAGE_HEAD = b'{"type":"assistant.message"'
_TOOL_USAGE = (b'"toolUsage":{',)
_HEAD_TYPE = re.compile(rb'\{\s*"type":\s*"([A-Za-z_.]+)"')
_TOTAL = re.compile(rb'"totalNanoAiu":\s*([0-9.eE+-]+)')
_STAMP = re.compile(rb'"timestamp":\s*"([^"]{20,30})"')
_ERRORS = frozenset(
    {"query", "rate_limit", "authentication", "authorization", "quota", "context_limit"}
)
"""``errorType`` of a ``session.error`` that ends a failed model call."""
_SHUTDOWN_FACTS = ("totalPremiumRequests", "totalApiDurationMs", "shutdownType", "codeChanges")
_BIG = 1 << 14
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


class CopilotCli:
    """Reads the sessions of Copilot CLI and of the Copilot App."""

    agent = AGENT
    label = "GitHub Copilot CLI"
    listing = frozenset({"workspace", "catalogue"})
    growing = frozenset({"journal", "database", "host-usage"})
    forks = True
    switches = ()

    def sources(self, places: Places) -> Iterator[Source]:
        own = places.only(AGENT)
        for home in own or (places.copilot_home(),):
            yield from _home(places, home)
        if own is not None:
            return
        for user_data in places.vscode():
            for entry in entries(places.join(user_data, "User", "agentHostUsage")):
                if entry.name.endswith(".jsonl"):
                    yield _source("host-usage", entry.path, entry.name[:-6])

    def at(self, path: str) -> Iterator[Source]:
        if os.path.isdir(path):
            yield from session_folder(path)
        elif path.endswith(".jsonl") and _looks_like_journal(path):
            folder = os.path.basename(os.path.dirname(path))
            yield _source("journal", path, folder)

    def read(
        self, source: Source, at: Cursor = START, *, session: str | None = None, full: bool = True
    ) -> Iterator[Event]:
        if source.kind == "journal":
            return _journal(source, at, full)
        if source.kind == "database":
            return _database(source, at, session)
        if source.kind == "catalogue":
            return _catalogue(source, session)
        if source.kind == "host-usage":
            return _host_usage(source, at)
        return _workspace(source)


PROVIDER = CopilotCli()


def _source(kind: str, path: str, session: str | None) -> Source:
    size, mtime_ns = stamp(path)
    return Source(AGENT, kind, path, session, size, mtime_ns)


def _home(places: Places, home: str) -> Iterator[Source]:
    state = places.join(home, "session-state")
    # a folder that a caller names may hold the sessions themselves
    for folder in subfolders(state if os.path.isdir(state) else home):
        yield from session_folder(folder)
    database = places.join(home, "session-store.db")
    if stamp(database)[0]:
        yield _source("catalogue", database, None)
        yield _source("database", database, None)


def session_folder(folder: str) -> Iterator[Source]:
    """The sources in one folder below ``session-state``; none when it is no session."""
    files = {entry.name: entry.path for entry in entries(folder)}
    name = os.path.basename(os.path.normpath(folder))
    if "workspace.yaml" in files:
        yield _source("workspace", files["workspace.yaml"], name)
    if "events.jsonl" in files:
        yield _source("journal", files["events.jsonl"], name)


def _looks_like_journal(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            head = file.read(1 << 16)
    except OSError:
        return False
    return b'"type":' in head and b'"data":' in head and b'"parentId":' in head


class _State:
    """What a journal told so far; kept in the cursor."""

    FIELDS = (
        "session", "started_ms", "run_ms", "model", "byok", "origin", "turn", "names", "skills",
        "output",
        "counts_no_writes",
    )  # fmt: skip

    def __init__(self, source: Source, at: Cursor) -> None:
        self.session = source.session or ""
        self.started_ms: int | None = None
        self.run_ms: int | None = None
        self.model: str | None = None
        self.byok = False
        self.counts_no_writes = False
        self.origin: str | None = None
        self.turn: str | None = None
        self.output = 0
        """Output tokens that the messages of this run tell."""
        self.messages: list[tuple[int, int]] = []
        """(offset, length) of this run's messages, not read yet."""
        self.names: dict[str, str] = {}
        self.skills: dict[str, str] = {}
        for field, value in zip(self.FIELDS, at.state, strict=False):
            setattr(self, field, value)

    def saved(self) -> tuple[Any, ...]:
        values = (getattr(self, field) for field in self.FIELDS)
        return tuple(dict(value) if type(value) is dict else value for value in values)

    def owner(self, at_ms: int | None) -> tuple[str, bool]:
        """(session, copied): whose event this is."""
        if at_ms is not None and self.started_ms is not None and at_ms < self.started_ms:
            return self.origin or self.session, True
        return self.session, False

    def subagent(self, event: dict[str, Any], data: dict[str, Any]) -> tuple[str | None, Any]:
        agent = text(event.get("agentId")) or text(data.get("parentToolCallId"))
        return agent, ((self.names.get(agent, agent),) if agent else ())


def _journal(source: Source, at: Cursor, full: bool) -> Iterator[Event]:
    state = _State(source, at)
    scan = Scan(
        source.path,
        _FULL_NEEDLES if full else _USAGE_NEEDLES,
        at.offset,
        plain=_PLAIN_HEAD,
        heads=_FULL_HEADS if full else _USAGE_HEADS,
        anywhere=() if full else _TOOL_USAGE,
    )
    before_tail: tuple[Any, ...] | None = None
    try:
        for offset, buffer, begin, stop, complete in scan.spans():
            if not complete:
                before_tail = state.saved()
            if buffer.startswith(_MESSAGE_HEAD, begin):
                # read only if no total covers this run: most of a journal is messages
                state.messages.append((offset, stop - begin))
                at_tokens = buffer.find(_OUTPUT, begin, stop)
                if at_tokens >= 0:
                    state.output += _digits(buffer, at_tokens + len(_OUTPUT))
                continue
            line = buffer[begin:stop]
            head = _HEAD_TYPE.match(line)
            kind = head[1] if head else None
            if kind == b"session.usage_checkpoint" and len(line) > _BIG:
                yield from _checkpoint_glance(source, state, offset, line)
                continue
            event, wrong = parse(line, b'"data":')
            if wrong:
                yield _problem(source, state, "malformed", offset, f"a line is {wrong}")
            if not event:
                continue
            name = text(event.get("type"))
            if name in _ENDS_RUN:
                if name != "session.shutdown" or not _has_totals(event):
                    yield from _unread_messages(source, state)
                state.messages = []
            data = mapping(event.get("data"))
            if name == "assistant.message":  # with its keys in another order
                state.output += whole(data.get("outputTokens")) or 0
            read = _READERS.get(name)
            if read:
                yield from read(source, state, offset, event, data)
        yield from _unread_messages(source, state)
        if full:
            yield from drift(source, at.offset, "Copilot CLI", types())
    except OSError as error:
        yield _unreadable(source, error)
    yield Cursor(scan.offset, before_tail or state.saved())


_ENDS_RUN = frozenset({"session.start", "session.resume", "session.shutdown"})
_OUTPUT = b'"outputTokens":'
_NUMBER = re.compile(rb"\d{1,15}")


def _digits(buffer: bytearray, begin: int) -> int:
    match = _NUMBER.match(buffer, begin)
    return int(match[0]) if match else 0


def _has_totals(event: dict[str, Any]) -> bool:
    return bool(mapping(mapping(event.get("data")).get("modelMetrics")))


def _unread_messages(source: Source, state: _State) -> Iterator[Event]:
    """The messages of a run that no total covers: proof of its calls, if nothing else is."""
    if not state.messages:
        return
    with open(source.path, "rb") as file:
        for offset, length in state.messages:
            file.seek(offset)
            line = file.read(length)
            event, wrong = parse(line, b'"data":')
            if wrong:
                yield _problem(source, state, "malformed", offset, f"a line is {wrong}")
            if event:
                yield from _message(source, state, offset, event, mapping(event.get("data")))


def _problem(source: Source, state: _State, kind: str, offset: int | None, reason: str) -> Problem:
    return Problem(kind, source.path, offset, reason, AGENT, state.session or source.session)


def _unreadable(source: Source, error: OSError) -> Problem:
    reason = error.strerror or type(error).__name__
    kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
    return Problem(kind, source.path, None, f"cannot be read: {reason}", AGENT, source.session)


_Data = dict[str, Any]
_Events = Iterator[Event]


def _start(source: Source, state: _State, offset: int, event: _Data, data: _Data) -> _Events:
    own = source.session or text(data.get("sessionId"))
    state.session = own or state.session
    state.started_ms = instant(event.get("timestamp"))
    state.run_ms = state.started_ms
    state.output = 0
    state.model = text(data.get("selectedModel"))
    # only a model from the user's own endpoint is not selected from Copilot's list
    version = _VERSION.match(text(data.get("copilotVersion")) or "")
    # versions before 1.0.35 state 0 cache writes whatever was written
    state.counts_no_writes = bool(version) and tuple(map(int, version.groups())) < (1, 0, 35)  # type: ignore[union-attr]
    state.byok = "selectedModel" not in data and "model" not in data
    context = mapping(data.get("context"))
    yield Meta(
        AGENT,
        state.session,
        source.path,
        workspace=text(context.get("cwd")),
        project=text(context.get("gitRoot")),
        branch=text(context.get("branch")),
        version=text(data.get("copilotVersion")),
        model=state.model,
        created_ms=instant(data.get("startTime")) or state.started_ms,
        rank=1,
    )


def _resume(source: Source, state: _State, offset: int, event: _Data, data: _Data) -> _Events:
    at_ms = instant(event.get("timestamp"))
    if not state.owner(at_ms)[1]:
        state.run_ms = at_ms
        state.output = 0
        state.model = text(data.get("selectedModel")) or state.model
    return iter(())


def _model_change(source: Source, state: _State, offset: int, event: _Data, data: _Data) -> _Events:
    if not event.get("agentId"):
        state.model = text(data.get("newModel")) or state.model
    return iter(())


def _usage_record(source: Source, state: _State, offset: int, event: _Data, data: _Data) -> _Events:
    usage = mapping(data.get("usage"))
    at_ms = instant(event.get("timestamp"))
    accounting = mapping(usage.get("accounting"))
    owner, copied = state.owner(at_ms)
    origin = text(accounting.get("sourceSessionId"))
    if state.started_ms is None and origin and not event.get("agentId"):
        copied = origin != state.session  # the line that tells when a fork began is damaged
    if copied:
        if not event.get("agentId"):
            state.origin = origin or state.origin
        owner = state.origin or owner
    call = text(usage.get("apiCallId"))
    key = text(accounting.get("usageId")) or call or text(event.get("id"))
    billed = mapping(usage.get("copilotUsage"))
    provider = mapping(usage.get("provider"))
    byok = usage.get("isByok") is True or text(provider.get("kind")) not in (None, "copilot")
    agent_id, path = state.subagent(event, usage)
    duration = whole(usage.get("duration"))
    request = Request(
        key or f"{owner}@{offset}",
        AGENT,
        owner,
        "usage-record",
        source.path,
        offset,
        started_ms=at_ms - duration if at_ms and duration else at_ms,
        model=text(usage.get("model")),
        provider=(text(usage.get("providerType")) if byok else None) or "copilot",
        billing=BYOK if byok else COPILOT,
        input_tokens=whole(usage.get("inputTokens")),
        cache_read_tokens=whole(usage.get("cacheReadTokens")),
        cache_write_tokens=whole(usage.get("cacheWriteTokens")),
        output_tokens=whole(usage.get("outputTokens")),
        reasoning_tokens=whole(usage.get("reasoningTokens")),
        nano_aiu=nano(billed.get("totalNanoAiu")),
        duration_ms=duration,
        ttft_ms=whole(usage.get("timeToFirstTokenMs")),
        subagent=path,
        subagent_id=agent_id,
        turn=state.turn,
        skill=state.skills.get(agent_id or ""),
        auto=usage.get("isAuto") is True,
        copied=copied,
        link=text(usage.get("providerCallId")),
    )
    yield request
    odd = oddity(request, billed.get("totalNanoAiu"))
    if odd:
        yield _problem(source, state, "malformed", offset, f"a call {odd}")


def _message(source: Source, state: _State, offset: int, event: _Data, data: _Data) -> _Events:
    at_ms = instant(event.get("timestamp"))
    owner, copied = state.owner(at_ms)
    agent_id, path = state.subagent(event, data)
    call = text(data.get("apiCallId"))
    key = text(data.get("messageId")) or text(event.get("id")) or f"{owner}@{offset}"
    provider = text(data.get("providerId"))
    yield Request(
        f"message:{key}",
        AGENT,
        owner,
        "message",
        source.path,
        offset,
        started_ms=at_ms,
        model=text(data.get("model")) or (state.model if not agent_id else None),
        provider=provider,
        billing=BYOK if state.byok or provider not in (None, "copilot") else COPILOT,
        output_tokens=whole(data.get("outputTokens")),
        subagent=path,
        subagent_id=agent_id,
        turn=state.turn,
        skill=state.skills.get(agent_id or ""),
        copied=copied,
        weak=True,
        link=call,
    )


def _compaction(source: Source, state: _State, offset: int, event: _Data, data: _Data) -> _Events:
    usage = mapping(data.get("compactionTokensUsed"))
    inputs = whole(usage.get("inputTokens", usage.get("input")))
    output = whole(usage.get("outputTokens", usage.get("output")))
    if inputs is None and output is None:
        return
    at_ms = instant(event.get("timestamp"))
    owner, copied = state.owner(at_ms)
    call = text(data.get("requestId")) or text(event.get("id")) or str(offset)
    kind = text(mapping(usage.get("provider")).get("kind"))
    duration = whole(usage.get("duration"))
    byok = kind not in (None, "copilot") or (kind is None and state.byok)
    agent_id, path = state.subagent(event, data)
    yield Request(
        f"{owner}:{call}",
        AGENT,
        owner,
        "compaction",
        source.path,
        offset,
        started_ms=at_ms - duration if at_ms and duration else at_ms,
        model=text(usage.get("model")) or text(data.get("behaviorModelId")) or state.model,
        provider=kind,
        billing=BYOK if byok else COPILOT,
        input_tokens=inputs,
        cache_read_tokens=whole(usage.get("cacheReadTokens", usage.get("cachedInput"))),
        cache_write_tokens=whole(usage.get("cacheWriteTokens")),
        output_tokens=output,
        nano_aiu=nano(mapping(usage.get("copilotUsage")).get("totalNanoAiu")),
        duration_ms=duration,
        surface="compaction",
        subagent=path,
        subagent_id=agent_id,
        turn=state.turn,
        copied=copied,
        link=call,
    )


def _model_call(source: Source, state: _State, offset: int, event: _Data, data: _Data) -> _Events:
    """A call outside the conversation: raw wire figures of whichever protocol served it."""
    at_ms = instant(event.get("timestamp"))
    owner, copied = state.owner(at_ms)
    made = mapping(data.get("modelCall"))
    call = text(made.get("request_id")) or text(data.get("requestId"))
    billed = mapping(data.get("copilotUsage")) or mapping(
        mapping(data.get("responseChunk")).get("copilot_usage")
    )
    usage = mapping(data.get("responseUsage"))
    inputs = whole(usage.get("prompt_tokens", usage.get("input_tokens")))
    details = mapping(usage.get("prompt_tokens_details") or usage.get("input_tokens_details"))
    output_details = mapping(
        usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    )
    read = whole(details.get("cached_tokens", usage.get("cache_read_input_tokens")))
    write = whole(details.get("cache_creation_tokens", usage.get("cache_creation_input_tokens")))
    if "cache_read_input_tokens" in usage and inputs is not None:
        inputs += (read or 0) + (write or 0)  # the Messages protocol counts them apart
    listed = billed.get("token_details")
    counted = {
        text(row.get("token_type")): whole(row.get("token_count"))
        for row in (map(mapping, listed) if type(listed) is list else ())
    }
    kind = text(mapping(data.get("provider")).get("kind"))
    duration = whole(data.get("modelCallDurationMs"))
    yield Request(
        f"{owner}:{call or text(data.get('callId')) or offset}",
        AGENT,
        owner,
        "model-call",
        source.path,
        offset,
        started_ms=at_ms - duration if at_ms and duration else at_ms,
        model=text(made.get("model")),
        provider=kind,
        billing=BYOK if kind not in (None, "copilot") else COPILOT,
        input_tokens=inputs,
        cache_read_tokens=read,
        cache_write_tokens=write if write is not None else counted.get("cache_write"),
        output_tokens=whole(usage.get("completion_tokens", usage.get("output_tokens"))),
        reasoning_tokens=whole(output_details.get("reasoning_tokens")),
        nano_aiu=nano(billed.get("total_nano_aiu")),
        duration_ms=duration,
        ttft_ms=whole(data.get("ttftMs")),
        surface="background",
        turn=state.turn,
        copied=copied,
        link=call,
    )


def _tool_done(source: Source, state: _State, offset: int, event: _Data, data: _Data) -> _Events:
    usage = mapping(data.get("toolUsage"))
    if not usage:
        return
    at_ms = instant(event.get("timestamp"))
    owner, copied = state.owner(at_ms)
    agent_id, path = state.subagent(event, data)
    billed = mapping(usage.get("copilotUsage"))
    key = text(mapping(usage.get("accounting")).get("usageId")) or text(data.get("toolCallId"))
    yield Request(
        key or f"{owner}@{offset}",
        AGENT,
        owner,
        "tool-usage",
        source.path,
        offset,
        started_ms=at_ms,
        model=text(usage.get("model")) or text(billed.get("model")),
        provider="copilot",
        input_tokens=whole(usage.get("inputTokens")),
        output_tokens=whole(usage.get("outputTokens")),
        nano_aiu=nano(billed.get("totalNanoAiu")),
        surface="tool",
        subagent=path,
        subagent_id=agent_id,
        turn=state.turn,
        copied=copied,
    )


def _error(source: Source, state: _State, offset: int, event: _Data, data: _Data) -> _Events:
    if text(data.get("errorType")) not in _ERRORS and "statusCode" not in data:
        return
    at_ms = instant(event.get("timestamp"))
    owner, copied = state.owner(at_ms)
    agent_id, path = state.subagent(event, data)
    yield Request(
        f"error:{text(event.get('id')) or f'{owner}@{offset}'}",
        AGENT,
        owner,
        "error",
        source.path,
        offset,
        started_ms=at_ms,
        model=state.model,
        billing=BYOK if state.byok else COPILOT,
        status="error",
        subagent=path,
        subagent_id=agent_id,
        turn=state.turn,
        copied=copied,
    )


def _checkpoint(source: Source, state: _State, offset: int, event: _Data, data: _Data) -> _Events:
    total = data.get("totalNanoAiu")
    yield from _running_total(source, state, offset, instant(event.get("timestamp")), total)


def _checkpoint_glance(source: Source, state: _State, offset: int, line: bytearray) -> _Events:
    """The same without parsing: these lines hold tens of kB of prompt cache hashes."""
    total = _TOTAL.search(line)
    stamps = _STAMP.findall(line[-400:]) or _STAMP.findall(line[:400])
    at_ms = instant(stamps[-1].decode("ascii", "replace")) if stamps else None
    try:
        value = float(total[1]) if total else None
    except ValueError:
        value = None
    yield from _running_total(source, state, offset, at_ms, value)


def _running_total(
    source: Source, state: _State, offset: int, at_ms: int | None, total: Any
) -> _Events:
    figure = nano(total)
    owner, copied = state.owner(at_ms)
    if figure and not copied:
        yield Counter(
            f"checkpoint:{owner}@{offset}", AGENT, owner, "checkpoint", source.path, offset,
            at_ms, "total", f"checkpoint@{offset}", since_ms=state.run_ms, nano_aiu=figure,
            reason="calls that no line of the log describes",
        )  # fmt: skip


def _shutdown(source: Source, state: _State, offset: int, event: _Data, data: _Data) -> _Events:
    at_ms = instant(event.get("timestamp"))
    owner, copied = state.owner(at_ms)
    if copied:
        return
    metrics = mapping(data.get("modelMetrics"))
    whole_figure = nano(data.get("totalNanoAiu"))
    byok = _is_byok(state, metrics, whole_figure)
    group = f"shutdown@{offset}"

    def row(scope: str, model: str | None, metric: Any, subagent: tuple[str, ...] = ()) -> Counter:
        metric = mapping(metric)
        usage, count = mapping(metric.get("usage")), mapping(metric.get("requests"))
        inputs, output = whole(usage.get("inputTokens")), whole(usage.get("outputTokens"))
        figure = nano(metric.get("totalNanoAiu"))
        write = whole(usage.get("cacheWriteTokens"))
        if write == 0 and state.counts_no_writes:
            write = None
        return Counter(
            f"{group}:{scope}:{'/'.join(subagent)}:{model}",
            AGENT, owner, "shutdown", source.path, offset, at_ms, scope, group,
            since_ms=state.run_ms,
            model=model,
            billing=BYOK if byok else COPILOT,
            requests=whole(count.get("count")),
            input_tokens=inputs,
            cache_read_tokens=whole(usage.get("cacheReadTokens")),
            cache_write_tokens=write,
            output_tokens=output,
            reasoning_tokens=whole(usage.get("reasoningTokens")),
            # a counter's 0 beside tokens is no bill (RULES R6)
            nano_aiu=figure if figure or not (inputs or output) else None,
            run_output_tokens=state.output or None,
            subagent=subagent,
            reason="calls known only from the totals written when a run ended",
        )  # fmt: skip

    for model, metric in metrics.items():
        if type(metric) is not dict:
            yield _problem(
                source, state, "malformed", offset, "the totals of a model are no object"
            )
            continue
        yield row("session", model, metric)
    for agent_id, agent in mapping(data.get("agentMetrics")).items():
        name = () if agent_id == "main" else (text(mapping(agent).get("agentName")) or agent_id,)
        for model, metric in mapping(mapping(agent).get("modelMetrics")).items():
            yield row("agent", model, metric, name)
    if whole_figure:
        yield row("session", None, {"totalNanoAiu": whole_figure})
    state.output = 0  # here, too: the line that begins the next run may be damaged
    yield Meta(
        AGENT, state.session, source.path, updated_ms=at_ms, rank=1,
        facts=tuple(
            (name, data[name])
            for name in _SHUTDOWN_FACTS
            if name in data
        ),
    )  # fmt: skip


def _is_byok(state: _State, metrics: _Data, figure: int | None) -> bool:
    """Were these totals run up with the user's own key? Versions before 1.0.102 do not say so.

    Seen in all of them: with Copilot's models the amount is above 0 and itemised in
    ``tokenDetails``; before there were amounts, Copilot's model was named in session.start.
    """
    rows = [mapping(metric) for metric in metrics.values()]
    if figure or not rows or any("tokenDetails" in row for row in rows):
        return False
    if any(mapping(row.get("requests")).get("cost") for row in rows):
        return False
    priced = any("totalNanoAiu" in row for row in rows)
    used = any(mapping(row.get("usage")).get("inputTokens") for row in rows)
    return (priced and used) or state.byok


def _subagent(source: Source, state: _State, offset: int, event: _Data, data: _Data) -> _Events:
    name = text(data.get("agentName"))
    if name:
        for agent in (text(event.get("agentId")), text(data.get("toolCallId"))):
            if agent:
                state.names[agent] = name
                yield Meta(AGENT, state.session, source.path, names=((agent, name),))


def _user_message(source: Source, state: _State, offset: int, event: _Data, data: _Data) -> _Events:
    if event.get("agentId") or data.get("parentToolCallId"):
        return
    at_ms = instant(event.get("timestamp"))
    owner, copied = state.owner(at_ms)
    state.turn = text(data.get("messageId")) or text(event.get("id")) or f"{owner}@{offset}"
    yield Turn(state.turn, AGENT, owner, source.path, offset, at_ms, copied)


def _tool_start(source: Source, state: _State, offset: int, event: _Data, data: _Data) -> _Events:
    at_ms = instant(event.get("timestamp"))
    owner, copied = state.owner(at_ms)
    agent_id, path = state.subagent(event, data)
    call = text(data.get("toolCallId")) or f"{owner}@{offset}"
    yield ToolCall(
        call, AGENT, owner, source.path, offset, at_ms, text(data.get("toolName")) or "unknown",
        path, state.skills.get(agent_id or ""), state.turn, copied=copied,
    )  # fmt: skip


def _skill(source: Source, state: _State, offset: int, event: _Data, data: _Data) -> _Events:
    name = text(data.get("name")) or text(data.get("skillName"))
    agent_id, _ = state.subagent(event, data)
    if name:
        state.skills[agent_id or ""] = name
        yield Meta(AGENT, state.session, source.path, skills=(name,))


_READERS: dict[Any, Any] = {
    "session.start": _start,
    "session.resume": _resume,
    "session.model_change": _model_change,
    "session.usage_record": _usage_record,
    "session.usage_checkpoint": _checkpoint,
    "session.compaction_complete": _compaction,
    "session.shutdown": _shutdown,
    "session.error": _error,
    "assistant.message": _message,
    "model.model_call_success": _model_call,
    "tool.execution_start": _tool_start,
    "tool.execution_complete": _tool_done,
    "subagent.started": _subagent,
    "user.message": _user_message,
    "skill.invoked": _skill,
}


class Stream:
    """Reads the events of a running session one by one, as its journal will tell them.

    ``assistant.usage`` (sent, never written) is the ``session.usage_record`` that the journal
    gets a moment later: both give a request of the same key, so that the call counts once.
    Counters and bare proofs of calls are left to the journal.
    """

    _UNREAD = frozenset({"session.usage_checkpoint", "session.shutdown", "assistant.message"})

    def __init__(self, session: str, path: str = "") -> None:
        """``path``: the session's journal, the evidence that will be, where it is known."""
        self._source = Source(AGENT, "live", path, session)
        self._state = _State(self._source, START)
        self._state.started_ms = 0  # what a running session sends is its own, never a copy

    def read(self, event: dict[str, Any]) -> Iterator[Event]:
        """What one event says; its offset is -1, for it is at no place of a file."""
        kind, data = text(event.get("type")), mapping(event.get("data"))
        if kind == "assistant.usage":
            kind, data = "session.usage_record", {"usage": data}
        elif event.get("ephemeral") is True:
            return  # says again, in the words of the wire, what another event says
        if kind in _READERS and kind not in self._UNREAD:
            yield from _READERS[kind](self._source, self._state, -1, event, data)


_COLUMNS = (
    "id", "session_id", "turn_index", "agent_id", "parent_tool_call_id", "model",
    "copilot_usage_model", "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_write_tokens", "reasoning_tokens", "total_nano_aiu", "request_multiplier",
    "duration_ms", "time_to_first_token_ms", "initiator", "created_at",
)  # fmt: skip


def _database(source: Source, at: Cursor, session: str | None) -> _Events:
    last = at.offset
    where, values = "WHERE rowid > ?", [at.offset]
    if session is not None:
        where, values = where + " AND session_id = ?", [*values, session]  # type: ignore[list-item]
    try:
        with sqlite.reading(source.path) as connection:
            if not sqlite.columns(connection, "assistant_usage_events"):
                yield Cursor(0)
                return
            for row in sqlite.rows(
                connection, "assistant_usage_events", _COLUMNS, where + " ORDER BY rowid", values
            ):
                last = max(last, row[0])
                request = _row(source, row[0], dict(zip(_COLUMNS, row[1:], strict=True)))
                if request:
                    yield request
    except sqlite.Unreadable as error:
        yield Problem(error.kind, source.path, None, str(error), AGENT)
    yield Cursor(last)


def _row(source: Source, rowid: int, row: _Data) -> Request | None:
    session = text(row["session_id"])
    if not session:
        return None
    ended = instant(row["created_at"])
    duration = whole(row["duration_ms"])
    figure = nano(row["total_nano_aiu"])
    # calls with the user's own key have neither an amount nor a multiplier
    byok = figure is None and row["request_multiplier"] == 0
    agent = text(row["agent_id"]) or text(row["parent_tool_call_id"])
    turn = whole(row["turn_index"])
    return Request(
        f"{session}#{rowid}",
        AGENT,
        session,
        "database",
        source.path,
        rowid,
        started_ms=ended - duration if ended and duration else ended,
        model=text(row["model"]) or text(row["copilot_usage_model"]),
        billing=BYOK if byok else COPILOT,
        provider=None if byok else "copilot",
        input_tokens=whole(row["input_tokens"]),
        cache_read_tokens=whole(row["cache_read_tokens"]),
        cache_write_tokens=whole(row["cache_write_tokens"]),
        output_tokens=whole(row["output_tokens"]),
        reasoning_tokens=whole(row["reasoning_tokens"]),
        nano_aiu=figure,
        duration_ms=duration,
        ttft_ms=whole(row["time_to_first_token_ms"]),
        surface="compaction" if row["initiator"] == "compaction" else "chat",
        subagent=(agent,) if agent else (),
        subagent_id=agent,
        turn=None if turn is None else f"turn {turn}",
    )


def _catalogue(source: Source, session: str | None) -> _Events:
    wanted = ("id", "cwd", "branch", "repository", "summary", "created_at", "updated_at")
    where, values = ("WHERE id = ?", [session]) if session else ("", [])
    try:
        with sqlite.reading(source.path) as connection:
            for row in sqlite.rows(connection, "sessions", wanted, where, values):
                _, name, cwd, branch, _, summary, created, updated = row
                if text(name):
                    yield Meta(
                        AGENT, name, source.path, text(summary), text(cwd), None, text(branch),
                        created_ms=instant(created), updated_ms=instant(updated),
                    )  # fmt: skip
    except sqlite.Unreadable as error:
        yield Problem(error.kind, source.path, None, str(error), AGENT)
    yield START


_PLAIN = re.compile(r"^([a-z_]+): ([^'\"\[{>|&*!#%@`\n][^\n]*)$", re.M)


def _workspace(source: Source) -> _Events:
    try:
        with open(source.path, "rb") as file:
            content = file.read(1 << 20).decode("utf-8", "replace")
    except OSError as error:
        yield _unreadable(source, error)
        yield START
        return
    try:
        fields = _fields(content)
    except ValueError:
        yield Problem("malformed", source.path, None, "is no YAML mapping", AGENT, source.session)
        fields = {}
    yield Meta(
        AGENT,
        source.session or "",
        source.path,
        title=_title(fields.get("name")) or _title(fields.get("summary")),
        workspace=text(fields.get("cwd")),
        project=text(fields.get("git_root")),
        branch=text(fields.get("branch")),
        created_ms=instant(str(fields.get("created_at"))),
        updated_ms=instant(str(fields.get("updated_at"))),
        rank=2,
    )
    yield START


def _title(value: Any) -> str | None:
    return text(value.strip()) if type(value) is str else None


def _fields(content: str) -> _Data:
    """The top-level scalars. A YAML parser is only woken for quoted or folded values."""
    lines = [line for line in content.splitlines() if line.strip()]
    plain: _Data = dict(_PLAIN.findall(content))
    if len(plain) == len(lines) and not any(" #" in line for line in lines):
        return {name: value.strip() for name, value in plain.items()}
    import yaml

    try:
        loaded = yaml.load(content, yaml.BaseLoader)  # texts stay texts: no dates, no numbers
    except yaml.YAMLError:
        raise ValueError("not YAML") from None
    if type(loaded) is not dict:
        raise ValueError("not a mapping")
    return loaded


def _host_usage(source: Source, at: Cursor) -> _Events:
    """VS Code's own notes of an agent-host session: ``totalNanoAiu`` runs up over a turn."""
    session = source.session or ""
    turns: dict[str, int] = dict(at.state[0]) if at.state else {}
    scan = Scan(source.path, (), at.offset)
    before_tail: tuple[Any, ...] | None = None
    try:
        for line in scan:
            if not line.whole:
                before_tail = (dict(turns),)
            row, wrong = parse(line.data)
            if wrong:
                yield Problem(
                    "malformed", source.path, line.offset, f"a line is {wrong}", AGENT, session
                )
            if not row or row.get("kind", "modelCall") != "modelCall":
                continue
            owner = text(row.get("sdkSessionId")) or session
            turn = text(row.get("turnId"))
            running = nano(row.get("totalNanoAiu"))
            spent = running
            if running is not None and turn:
                spent = max(0, running - turns.get(turn, 0))
                turns[turn] = max(running, turns.get(turn, 0))
            call = text(row.get("apiCallId")) or text(row.get("eventId"))
            yield Request(
                call or f"{owner}@host{line.offset}",
                AGENT,
                owner,
                "host-usage",
                source.path,
                line.offset,
                started_ms=instant(row.get("ts")),
                model=text(row.get("model")),
                input_tokens=whole(row.get("inputTokens")),
                cache_read_tokens=whole(row.get("cacheReadTokens")),
                output_tokens=whole(row.get("outputTokens")),
                nano_aiu=spent,
                duration_ms=whole(row.get("durationMs")),
                ttft_ms=whole(row.get("timeToFirstTokenMs")),
                subagent_id=text(row.get("agentId")),
                turn=turn,
                link=text(row.get("providerCallId")),
            )
    except OSError as error:
        yield _unreadable(source, error)
    yield Cursor(scan.offset, before_tail or (dict(turns),))
