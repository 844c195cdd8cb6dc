"""A plain agent log as a transcript that people can read.

The log is read twice, event by event: once to see that all of it can be read, because a
transcript that stops in the middle would look whole, and once to write it. So memory is
bounded by the longest event, however long the log.

Texts of tools are cut after 200 characters; those of people and models are not. Payloads that
do not fit the format, and events of other types, say nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from session_usage.errors import SessionNotFound, UnreadableLog
from session_usage.events import Problem
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


def replay_log(path: str, write: Callable[[str], object], *, partial: bool = False) -> None:
    """Writes the transcript of the log at ``path`` piece by piece.

    Raises SessionNotFound if there is no file, and UnreadableLog, before anything is written,
    if part of it cannot be read. With ``partial`` the events before that part are written
    first.
    """
    good = 0
    problem: Problem | None = None
    for item in stream_events(path):
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
