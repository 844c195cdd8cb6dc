"""A session as a transcript that people can read: exact for plain agent logs, alike for others.

A plain agent log is read twice, event by event: once to see that all of it can be read,
because a transcript that stops in the middle would look whole, and once to write it. So memory
is bounded by the longest event, however long the log. Payloads that do not fit the format, and
events of other types, say nothing.

The transcripts of other agents are made from their messages while these are read; what cannot
be read is named at its place.

Texts of tools are cut after 200 characters; those of people and models are not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from session_usage.errors import SessionNotFound, UnreadableLog
from session_usage.events import Meta, Problem
from session_usage.messages import (
    ASSISTANT,
    CHAT,
    SYSTEM,
    TOOL,
    TOOL_RESULT,
    TOOL_USE,
)
from session_usage.messages import Message as Said
from session_usage.session_log import (
    Event,
    LLMRequestData,
    LLMResponseData,
    Message,
    SessionEndData,
    SessionStartData,
    StickyState,
    ToolCallData,
    UtilizationState,
    stream_events,
)
from session_usage.windows import written

CUT = 200
"""Characters that are kept of what goes into and comes out of a tool."""


def replay_log(
    path: str,
    write: Callable[[str], object],
    *,
    partial: bool = False,
    check: Callable[[], object] = lambda: None,
) -> None:
    """Writes the transcript of the log at ``path`` piece by piece.

    Raises SessionNotFound if there is no file, and UnreadableLog, before anything is written,
    if part of it cannot be read. With ``partial`` the events before that part are written
    first. ``check`` is called with each event that is looked at before anything is written;
    what it raises ends the work, as does what ``write`` raises.
    """
    good = 0
    problem: Problem | None = None
    for item in stream_events(path):
        check()
        if isinstance(item, Problem):
            problem = item
        else:
            good += 1
    if problem is None or (partial and good):
        # the log may have grown since: what was not there then is not looked at
        for item in islice(stream_events(path), good):
            if isinstance(item, Event):
                for piece in _pieces(item):
                    write(piece)
    if problem is not None:
        error = SessionNotFound if problem.kind == "missing" else UnreadableLog
        where = "" if problem.offset is None else f" at byte {problem.offset}"
        raise error(f"replay: {path}{where}: {problem.text}")


def replay_messages(
    label: str, meta: Meta, messages: Iterable[Said | Problem], write: Callable[[str], object]
) -> None:
    """Writes the transcript of a session of any agent piece by piece as its messages come.

    ``label`` is the agent's name for people, ``meta`` what is known of the session. Snapshots
    and progress say nothing.
    """
    write(f"=== Session {meta.session} ===\n")
    for name, value in (
        ("Agent", label),
        ("Title", meta.title),
        ("Time", _utc(meta.created_ms)),
        ("Work dir", meta.workspace),
        ("Branch", meta.branch),
    ):
        if value:
            write(f"{name}: {value}\n")
    within: tuple[str, ...] = ()
    for one in messages:
        if isinstance(one, Problem):
            where = "" if one.offset is None else f" (byte {one.offset})"
            write(f"\n! {one.path}{where}: {one.text}\n")
            continue
        if one.subagent != within:
            within = one.subagent
            write(f"\n--- {' > '.join(within) or 'main'} ---\n")
        for piece in _said(one):
            write(piece)
    write("\n=== End ===\n")


def _utc(ms: int | None) -> str | None:
    return None if ms is None else f"{written(ms)[:19].replace('T', ' ')} UTC"


def _said(one: Said) -> Iterator[str]:
    if one.type == TOOL_USE:
        if one.usage is not None:
            yield f"\n[Assistant]{_figures(one)}\n"
        yield f"\n  > {one.tool or 'tool'}\n"
        yield f"    Input:  {_cut(one.content, indent=12)}\n"
    elif one.type == TOOL_RESULT:
        yield f"\n  < {one.tool or 'tool'}\n"
        yield f"    Output: {_cut(one.content, indent=12)}\n"
    elif one.type == CHAT:
        name = {SYSTEM: "System", ASSISTANT: "Assistant", TOOL: "Tool"}.get(one.role, "User")
        yield f"\n[{name}]{_figures(one)}\n{one.content}\n"


def _figures(one: Said) -> str:
    """The model and what it used, as far as the log says it here."""
    found = [one.model] if one.model else []
    usage = one.usage
    if usage is not None and usage.input_tokens is not None:
        found.append(f"{usage.input_tokens} in / {usage.output_tokens or 0} out tokens")
    elif usage is not None and usage.output_tokens is not None:
        found.append(f"{usage.output_tokens} out tokens")
    return f" ({', '.join(found)})" if found else ""


def _pieces(event: Event) -> Iterator[str]:
    payload = event.payload()
    if isinstance(payload, SessionStartData):
        yield from _start(event, payload)
    elif isinstance(payload, LLMRequestData):
        yield from _request(payload)
    elif isinstance(payload, LLMResponseData):
        yield from _response(payload)
    elif isinstance(payload, ToolCallData):
        yield from _tool(payload)
    elif isinstance(payload, SessionEndData):
        yield from _end(payload)


def _start(event: Event, start: SessionStartData) -> Iterator[str]:
    yield f"=== Session {event.session_id} ===\n"
    yield f"Time: {written(event.at_ms)[:19].replace('T', ' ')} UTC\n"
    yield f"Provider: {start.provider} | Model: {start.model}\n"
    yield from _server(start)
    yield from _sticky(start.sticky)
    yield from _utilization(start.utilization)
    yield f"Max iterations: {start.max_iterations} | Work dir: {start.work_dir}\n"
    if start.system_prompt:
        yield f"\n[System]\n{start.system_prompt}\n"
    yield f"\n[User]\n{start.prompt}\n"


def _server(data: SessionStartData | SessionEndData) -> Iterator[str]:
    if data.selected_endpoint:
        yield f"Selected endpoint: {data.selected_endpoint}\n"
    if data.selected_server_instance:
        yield f"Selected server instance: {data.selected_server_instance}\n"


def _sticky(state: StickyState) -> Iterator[str]:
    if not (state.key_present or state.assignment or state.reason):
        return
    key = "present" if state.key_present else "absent"
    yield f"Sticky: key={key} assignment={state.assignment or 'unknown'}"
    if state.reason:
        yield f" reason={state.reason}"
    if state.bonus:
        yield f" bonus={state.bonus:.2f}"
    yield "\n"


def _utilization(state: UtilizationState) -> Iterator[str]:
    figures = [
        ("active", state.active_requests),
        ("queued", state.queued_requests),
        ("max", state.max_concurrency),
    ]
    pressure = state.cache_pressure
    known = [f" {name}={figure}" for name, figure in figures if figure is not None]
    if pressure is not None:
        known.append(f" cache_pressure={pressure:.2f}")
    if state.source or state.freshness or known:
        source, freshness = state.source or "unknown", state.freshness or "unknown"
        yield f"Utilization: source={source} freshness={freshness}{''.join(known)}\n"


def _request(request: LLMRequestData) -> Iterator[str]:
    messages, tools = len(request.messages), len(request.tools)
    yield f"\n[LLM Request] ({messages} messages, {tools} tools)\n"
    for message in request.messages:
        yield from _message(message)


def _message(message: Message) -> Iterator[str]:
    if message.role in ("system", "user"):
        yield f"  [{message.role}] {message.content}\n"
    elif message.role == "assistant":
        if message.content:
            yield f"  [assistant] {message.content}\n"
        for call in message.tool_calls:
            yield f"  [assistant tool_call] {call.name}({_compact(call.arguments)})\n"
    elif message.role == "tool":
        yield f"  [tool result] {_cut(message.content, indent=14)}\n"


def _response(response: LLMResponseData) -> Iterator[str]:
    usage = response.usage
    yield f"\n[Assistant] ({response.latency_ms}ms, {usage.input} in / {usage.output} out tokens"
    if response.cost_usd > 0:
        yield f", ${response.cost_usd:.4f}"
    yield ")\n"
    if response.content:
        yield f"{response.content}\n"
    if response.tool_calls:
        yield f"[{len(response.tool_calls)} tool call(s)]\n"


def _tool(call: ToolCallData) -> Iterator[str]:
    yield f"\n  > {call.tool} ({call.duration_ms}ms)\n"
    yield f"    Input:  {_compact(call.input)}\n"
    yield f"    Output: {_cut(call.output, indent=12)}\n"
    if call.error:
        yield f"    Error:  {call.error}\n"


def _end(end: SessionEndData) -> Iterator[str]:
    yield f"\n=== End ({end.status}) ===\n"
    if end.model:
        yield f"Model: {end.model}\n"
    yield from _server(end)
    tokens = end.tokens
    yield f"Duration: {end.duration_ms}ms | Tokens: {tokens.input} in / {tokens.output} out"
    yield f" | Cost: {_cost(end.cost_usd)}\n"
    if end.metadata:
        labels = " ".join(f"{key}={end.metadata[key]}" for key in sorted(end.metadata))
        yield f"Metadata: {labels}\n"
    if end.error:
        yield f"Error: {end.error}\n"


def _cost(usd: float | None) -> str:
    if usd is None or usd < 0:
        return "unknown"
    return f"${usd:.4f}" if usd else "$0 (local)"


def _cut(text: str, indent: int) -> str:
    if len(text) > CUT:
        text = f"{text[:CUT]}...[truncated]"
    return text.replace("\n", "\n" + " " * indent)


_ESCAPES = str.maketrans(
    {
        "<": "\\u003c",
        ">": "\\u003e",
        "&": "\\u0026",
        "\u2028": "\\u2028",
        "\u2029": "\\u2029",
    }
)


def _compact(value: Any) -> str:
    """JSON on one line, keys sorted; ``<``, ``>`` and ``&`` are escaped as in HTML pages."""
    found = json.dumps(_plain(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return found.translate(_ESCAPES)


def _plain(value: Any) -> Any:
    """Whole numbers without a fraction: 1.0 is shown as 1."""
    if type(value) is float and math.isfinite(value) and value == int(value) and abs(value) < 1e21:
        return int(value)
    if type(value) is list:
        return [_plain(item) for item in value]
    if type(value) is dict:
        return {key: _plain(item) for key, item in value.items()}
    return value
