"""The records of a journal, each as events."""

from __future__ import annotations

import re
from typing import Any

from session_usage.events import (
    BYOK,
    COPILOT,
    Meta,
    Request,
    Source,
    ToolCall,
    Turn,
    oddity,
)
from session_usage.money import nano
from session_usage.providers.copilot_cli.state import AGENT, Data, Events, State, problem
from session_usage.providers.copilot_cli.totals import checkpoint, shutdown
from session_usage.values import instant, mapping, text, whole

_ERRORS = frozenset(
    {"query", "rate_limit", "authentication", "authorization", "quota", "context_limit"}
)
"""``errorType`` of a ``session.error`` that ends a failed model call."""
_new = tuple.__new__
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def _start(source: Source, state: State, offset: int, event: Data, data: Data) -> Events:
    own = source.session or text(data.get("sessionId"))
    state.session = own or state.session
    state.started_ms = instant(event.get("timestamp"))
    state.run_ms = state.started_ms
    state.output = 0
    state.model = text(data.get("selectedModel"))
    version = _VERSION.match(text(data.get("copilotVersion")) or "")
    if version:  # versions before 1.0.35 state 0 cache writes whatever was written
        state.counts_no_writes = tuple(map(int, version.groups())) < (1, 0, 35)
    # only a model from the user's own endpoint is not selected from Copilot's list
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


def _resume(source: Source, state: State, offset: int, event: Data, data: Data) -> Events:
    at_ms = instant(event.get("timestamp"))
    if not state.owner(at_ms)[1]:
        state.run_ms = at_ms
        state.output = 0
        state.model = text(data.get("selectedModel")) or state.model
    return iter(())


def _model_change(source: Source, state: State, offset: int, event: Data, data: Data) -> Events:
    if not event.get("agentId"):
        state.model = text(data.get("newModel")) or state.model
    return iter(())


def _usage_record(source: Source, state: State, offset: int, event: Data, data: Data) -> Events:
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
        yield problem(source, state, "malformed", offset, f"a call {odd}")


def message(source: Source, state: State, offset: int, event: Data, data: Data) -> Events:
    """Proof of a call without its usage, for runs that nothing else tells of."""
    yield proof(source, state, offset, event, data)


def proof(source: Source, state: State, offset: int, event: Data, data: Data) -> Request:
    """The request of ``message``. There are many, and most fields of each are nothing."""
    say, at_ms = data.get, instant(event.get("timestamp"))
    owner, copied = state.owner(at_ms)
    agent_id, path = state.subagent(event, data)
    key = text(say("messageId")) or text(event.get("id")) or f"{owner}@{offset}"
    provider = text(say("providerId"))
    model = text(say("model")) or (state.model if not agent_id else None)
    byok = state.byok or provider not in (None, "copilot")
    return _new(
        Request,
        (
            f"message:{key}", AGENT, owner, "message", source.path, offset, at_ms,
            model, provider, BYOK if byok else COPILOT, "ok",
            None, None, None, None, whole(say("outputTokens")), None, None, None, None,
            "chat", path, agent_id, state.turn, state.skills.get(agent_id or ""),
            None, None, False, copied, True, None, None, text(say("apiCallId")),
        ),
    )  # fmt: skip


def _compaction(source: Source, state: State, offset: int, event: Data, data: Data) -> Events:
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


def _model_call(source: Source, state: State, offset: int, event: Data, data: Data) -> Events:
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


def _tool_done(source: Source, state: State, offset: int, event: Data, data: Data) -> Events:
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


def _error(source: Source, state: State, offset: int, event: Data, data: Data) -> Events:
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


def _subagent(source: Source, state: State, offset: int, event: Data, data: Data) -> Events:
    name = text(data.get("agentName"))
    if name:
        for agent in (text(event.get("agentId")), text(data.get("toolCallId"))):
            if agent:
                state.names[agent] = name
                yield Meta(AGENT, state.session, source.path, names=((agent, name),))


def _user_message(source: Source, state: State, offset: int, event: Data, data: Data) -> Events:
    if event.get("agentId") or data.get("parentToolCallId"):
        return
    at_ms = instant(event.get("timestamp"))
    owner, copied = state.owner(at_ms)
    state.turn = text(data.get("messageId")) or text(event.get("id")) or f"{owner}@{offset}"
    yield Turn(state.turn, AGENT, owner, source.path, offset, at_ms, copied)


def _tool_start(source: Source, state: State, offset: int, event: Data, data: Data) -> Events:
    at_ms = instant(event.get("timestamp"))
    owner, copied = state.owner(at_ms)
    agent_id, path = state.subagent(event, data)
    call = text(data.get("toolCallId")) or f"{owner}@{offset}"
    yield ToolCall(
        call, AGENT, owner, source.path, offset, at_ms, text(data.get("toolName")) or "unknown",
        path, state.skills.get(agent_id or ""), state.turn, copied=copied,
    )  # fmt: skip


def _skill(source: Source, state: State, offset: int, event: Data, data: Data) -> Events:
    name = text(data.get("name")) or text(data.get("skillName"))
    agent_id, _ = state.subagent(event, data)
    if name:
        state.skills[agent_id or ""] = name
        yield Meta(AGENT, state.session, source.path, skills=(name,))


READERS: dict[Any, Any] = {
    "session.start": _start,
    "session.resume": _resume,
    "session.model_change": _model_change,
    "session.usage_record": _usage_record,
    "session.usage_checkpoint": checkpoint,
    "session.compaction_complete": _compaction,
    "session.shutdown": shutdown,
    "session.error": _error,
    "assistant.message": message,
    "model.model_call_success": _model_call,
    "tool.execution_start": _tool_start,
    "tool.execution_complete": _tool_done,
    "subagent.started": _subagent,
    "user.message": _user_message,
    "skill.invoked": _skill,
}
