"""The three wire protocols of model servers: how one scripted answer looks in each.

Each function yields ``(event name or None, payload)`` for a streamed answer. ``HOLD`` stands
between the text and the rest, where a script may stop the stream.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

HOLD = object()
PIECE = 24


class Answer(NamedTuple):
    """One model turn."""

    id: str
    model: str
    text: str
    reasoning: str
    calls: list[dict[str, Any]]
    """{"id", "name", "args"} of each tool call."""
    usage: dict[str, int]
    """input (the whole prompt), cached, cache_write, output, reasoning."""
    billed: dict[str, Any] | None
    """The ``copilot_usage`` block of a signed-in server."""


def pieces(text: str) -> list[str]:
    return [text[at : at + PIECE] for at in range(0, len(text), PIECE)]


def _billed(answer: Answer) -> dict[str, Any]:
    return {"copilot_usage": answer.billed} if answer.billed else {}


def chat(answer: Answer) -> Iterator[Any]:
    """OpenAI chat completions."""
    base = {"id": answer.id, "object": "chat.completion.chunk", "created": 0, "model": answer.model}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> tuple[None, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return None, {**base, "choices": [choice]}

    yield chunk({"role": "assistant", "content": ""})
    for piece in pieces(answer.reasoning):
        yield chunk({"reasoning_content": piece})
    for piece in pieces(answer.text):
        yield chunk({"content": piece})
    yield HOLD
    for at, call in enumerate(answer.calls):
        function = {"name": call["name"], "arguments": json.dumps(call["args"])}
        made = {"id": call["id"], "type": "function", "index": at, "function": function}
        yield chunk({"tool_calls": [made]})
    yield chunk({}, "tool_calls" if answer.calls else "stop")
    usage = answer.usage
    details = {"cached_tokens": usage["cached"]}
    if usage["cache_write"]:
        details["cache_creation_tokens"] = usage["cache_write"]
    block = {
        "prompt_tokens": usage["input"],
        "completion_tokens": usage["output"],
        "total_tokens": usage["input"] + usage["output"],
        "prompt_tokens_details": details,
        "completion_tokens_details": {"reasoning_tokens": usage["reasoning"]},
    }
    yield None, {**base, "choices": [], "usage": block, **_billed(answer)}
    yield None, "[DONE]"


def messages(answer: Answer) -> Iterator[Any]:
    """Anthropic messages; its ``input_tokens`` leave out what the cache read and wrote."""
    usage = answer.usage
    block = {
        "input_tokens": usage["input"] - usage["cached"] - usage["cache_write"],
        "cache_read_input_tokens": usage["cached"],
        "cache_creation_input_tokens": usage["cache_write"],
        "output_tokens": usage["output"],
    }
    message = {
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**block, "output_tokens": 1},
    }
    yield "message_start", {"type": "message_start", "message": message}
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if answer.reasoning:
        deltas = [{"type": "thinking_delta", "thinking": p} for p in pieces(answer.reasoning)]
        deltas.append({"type": "signature_delta", "signature": "bW9jaw=="})
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, deltas))
    if answer.text:
        deltas = [{"type": "text_delta", "text": p} for p in pieces(answer.text)]
        blocks.append(({"type": "text", "text": ""}, deltas))
    for call in answer.calls:
        start = {"type": "tool_use", "id": call["id"], "name": call["name"], "input": {}}
        made = {"type": "input_json_delta", "partial_json": json.dumps(call["args"])}
        blocks.append((start, [made]))
    for at, (start, deltas) in enumerate(blocks):
        opened = {"type": "content_block_start", "index": at, "content_block": start}
        yield "content_block_start", opened
        for delta in deltas:
            part = {"type": "content_block_delta", "index": at, "delta": delta}
            yield "content_block_delta", part
        if start["type"] == "text":
            yield HOLD
        yield "content_block_stop", {"type": "content_block_stop", "index": at}
    ending = {"stop_reason": "tool_use" if answer.calls else "end_turn", "stop_sequence": None}
    last = {"type": "message_delta", "delta": ending, "usage": block, **_billed(answer)}
    yield "message_delta", last
    yield "message_stop", {"type": "message_stop", **_billed(answer)}


def responses(answer: Answer) -> Iterator[Any]:
    """OpenAI responses."""
    usage = answer.usage
    details = {"cached_tokens": usage["cached"]}
    if usage["cache_write"]:
        details["cache_write_tokens"] = usage["cache_write"]
    block = {
        "input_tokens": usage["input"],
        "input_tokens_details": details,
        "output_tokens": usage["output"],
        "output_tokens_details": {"reasoning_tokens": usage["reasoning"]},
        "total_tokens": usage["input"] + usage["output"],
    }
    items: list[dict[str, Any]] = []
    if answer.text:
        part = {"type": "output_text", "text": answer.text, "annotations": []}
        items.append(
            {
                "type": "message",
                "id": f"msg_{answer.id}",
                "role": "assistant",
                "status": "completed",
                "content": [part],
            }
        )
    items += [
        {
            "type": "function_call",
            "id": f"fc_{call['id']}",
            "call_id": call["id"],
            "name": call["name"],
            "arguments": json.dumps(call["args"]),
            "status": "completed",
        }
        for call in answer.calls
    ]
    response = {
        "id": answer.id,
        "object": "response",
        "created_at": 0,
        "model": answer.model,
        "error": None,
        "incomplete_details": None,
        "parallel_tool_calls": True,
        "tools": [],
        "tool_choice": "auto",
        "metadata": {},
    }
    number = iter(range(1 << 30))

    def event(kind: str, **fields: Any) -> tuple[str, Any]:
        return kind, {"type": kind, "sequence_number": next(number), **fields}

    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    yield event("response.created", response=begun)
    for at, item in enumerate(items):
        hollow = {**item, "status": "in_progress"}
        if item["type"] == "message":
            yield event(
                "response.output_item.added", output_index=at, item={**hollow, "content": []}
            )
            place = {"output_index": at, "item_id": item["id"], "content_index": 0}
            empty = {"type": "output_text", "text": "", "annotations": []}
            yield event("response.content_part.added", **place, part=empty)
            for piece in pieces(answer.text):
                yield event("response.output_text.delta", **place, delta=piece)
            yield HOLD
            yield event("response.output_text.done", **place, text=answer.text)
            yield event("response.content_part.done", **place, part=item["content"][0])
        else:
            yield event(
                "response.output_item.added", output_index=at, item={**hollow, "arguments": ""}
            )
            made = {"output_index": at, "item_id": item["id"]}
            yield event("response.function_call_arguments.delta", **made, delta=item["arguments"])
            yield event(
                "response.function_call_arguments.done", **made, arguments=item["arguments"]
            )
        yield event("response.output_item.done", output_index=at, item=item)
    done = {**response, "status": "completed", "output": items, "usage": block, **_billed(answer)}
    yield event("response.completed", response=done, **_billed(answer))
