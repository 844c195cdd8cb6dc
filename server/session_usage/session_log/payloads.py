"""What the events of a plain agent log carry, one class per type of event.

The classes name the fields of the format in the order in which they are written. Most fields
are left out while they are empty; those declared with ``always`` are written all the same.
Unknown keys are ignored, keys match in any case, and a null stands for the empty value; but
a value of another type (a text for a number, 1.5 for a count) makes the whole payload
undecodable, as it does for the program that writes these logs.

``input`` of a ``TokenUsage`` excludes what was read from or written to the cache.
"""

# ruff: noqa: RUF009 (the helpers that declare fields are called once per class, as attrs does)

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from attrs import Attribute, field, fields, frozen, has

from session_usage.windows import instant

T = TypeVar("T")
Read = Callable[[Any], Any]

SUCCESS = "success"
ITERATION_LIMIT = "iteration_limit"
CANCELLED = "cancelled"
ERROR = "error"
STATUSES = (SUCCESS, ITERATION_LIMIT, CANCELLED, ERROR)
"""How a session can end; later versions of the format add more."""

ZERO_TIME = "0001-01-01T00:00:00Z"
"""A time that nobody set."""
UNKNOWN_COST = -1.0
"""A cost that nobody knows, where the format has no way to leave it out."""


class Undecodable(ValueError):
    """A value that does not fit the format; the text names the field, never its content."""


def read_whole(value: Any) -> int:
    """A JSON integer of 64 bits; 1.0 and true are none."""
    if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
        raise Undecodable("no integer")
    return value


def read_text(value: Any) -> str:
    """A JSON text."""
    if type(value) is not str:
        raise Undecodable("no text")
    return value


def read_time(value: Any) -> str:
    """An RFC 3339 time, kept as it is written."""
    if instant(read_text(value)) is None:
        raise Undecodable("no RFC 3339 time")
    return str(value)


def _number(value: Any) -> float:
    try:
        found = float(value) if type(value) in (int, float) else math.nan
    except OverflowError:  # an integer of more than 308 digits
        found = math.inf
    if not math.isfinite(found):
        raise Undecodable("no number")
    return found


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise Undecodable("no boolean")
    return value


def _any(value: Any) -> Any:
    return value


def _texts(value: Any) -> tuple[str, ...]:
    return tuple("" if item is None else read_text(item) for item in _list(value))


def _labels(value: Any) -> dict[str, str]:
    if type(value) is not dict:
        raise Undecodable("no object")
    return {key: "" if item is None else read_text(item) for key, item in value.items()}


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise Undecodable("no array")
    return value


_EFFORTS = {name: name for name in ("", "auto", "off", "minimal", "low", "medium", "high", "max")}
_EFFORTS |= {"none": "off", "false": "off", "0": "off"}
_EFFORTS |= {"xhigh": "xhigh", "x-high": "xhigh", "x_high": "xhigh"}


def _reasoning(value: Any) -> str:
    """The effort asked of a model: a word, or a number of tokens as text; 0 is ``off``."""
    name = str(value) if type(value) is int else read_text(value)
    known = _EFFORTS.get(name)
    if known is not None:
        return known
    if not (name.isascii() and name.isdigit()):
        raise Undecodable("no reasoning effort")
    return _EFFORTS.get(str(int(name)), str(int(name)))


def _field(read: Read, default: Any, always: bool = False) -> Any:
    return field(default=default, metadata={"read": read, "always": always})


def _one(kind: type[Any]) -> Any:
    return field(factory=kind, metadata={"read": lambda value: decode(kind, value), "always": True})


def _many(kind: type[Any], always: bool = False) -> Any:
    def read(value: Any) -> tuple[Any, ...]:
        return tuple(kind() if item is None else decode(kind, item) for item in _list(value))

    return _field(read, (), always)


def _map() -> Any:
    return field(factory=dict, metadata={"read": _labels, "always": False})


@frozen
class TokenUsage:
    """Tokens of one call or one session; ``input`` excludes the two cache parts."""

    input: int = _field(read_whole, 0, always=True)
    output: int = _field(read_whole, 0, always=True)
    cache_read: int = _field(read_whole, 0)
    cache_write: int = _field(read_whole, 0)
    total: int = _field(read_whole, 0, always=True)

    @property
    def overall(self) -> int:
        """``total`` where the log has one, else the sum of the four parts."""
        if self.total > 0:
            return self.total
        return self.input + self.output + self.cache_read + self.cache_write

    def __add__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(
            self.input + other.input,
            self.output + other.output,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
            self.total + other.total,
        )


@frozen
class ToolCall:
    """A model's wish to use a tool."""

    id: str = _field(read_text, "", always=True)
    name: str = _field(read_text, "", always=True)
    arguments: Any = _field(_any, None, always=True)


@frozen
class ToolDef:
    """A tool that was offered to the model."""

    name: str = _field(read_text, "", always=True)
    description: str = _field(read_text, "", always=True)
    parameters: Any = _field(_any, None, always=True)


@frozen
class Message:
    """One message of the conversation; ``role`` is system, user, assistant or tool."""

    role: str = _field(read_text, "", always=True)
    content: str = _field(read_text, "", always=True)
    tool_calls: tuple[ToolCall, ...] = _many(ToolCall)
    tool_call_id: str = _field(read_text, "")


@frozen
class StickyState:
    """Whether the router kept the session on one server, and why."""

    key_present: bool = _field(_flag, False)
    assignment: str = _field(read_text, "")
    server_instance: str = _field(read_text, "")
    reason: str = _field(read_text, "")
    bonus: float = _field(_number, 0.0, always=True)


@frozen
class UtilizationState:
    """How busy the chosen server was when it was chosen."""

    source: str = _field(read_text, "")
    freshness: str = _field(read_text, "")
    active_requests: int | None = _field(read_whole, None)
    queued_requests: int | None = _field(read_whole, None)
    max_concurrency: int | None = _field(read_whole, None)
    cache_pressure: float | None = _field(_number, None)
    observed_at: str = _field(read_time, ZERO_TIME, always=True)


@frozen
class SessionStartData:
    """``session.start``: what was asked for and where it was sent."""

    provider: str = _field(read_text, "", always=True)
    model: str = _field(read_text, "", always=True)
    selected_provider: str = _field(read_text, "")
    selected_endpoint: str = _field(read_text, "")
    selected_server_instance: str = _field(read_text, "")
    selected_route: str = _field(read_text, "")
    sticky: StickyState = _one(StickyState)
    utilization: UtilizationState = _one(UtilizationState)
    requested_harness: str = _field(read_text, "")
    resolved_harness: str = _field(read_text, "")
    harness_source: str = _field(read_text, "")
    requested_model: str = _field(read_text, "")
    requested_model_ref: str = _field(read_text, "")
    resolved_model_ref: str = _field(read_text, "")
    resolved_model: str = _field(read_text, "")
    reasoning: str = _field(_reasoning, "")
    attempted_providers: tuple[str, ...] = _field(_texts, ())
    failover_count: int = _field(read_whole, 0)
    work_dir: str = _field(read_text, "", always=True)
    max_iterations: int = _field(read_whole, 0, always=True)
    prompt: str = _field(read_text, "", always=True)
    system_prompt: str = _field(read_text, "")
    metadata: Mapping[str, str] = _map()


@frozen
class LLMRequestData:
    """``llm.request``: the whole conversation as it was sent to the model."""

    messages: tuple[Message, ...] = _many(Message, always=True)
    tools: tuple[ToolDef, ...] = _many(ToolDef)
    model: str = _field(read_text, "")
    temperature: float | None = _field(_number, None)
    top_p: float | None = _field(_number, None)
    top_k: int | None = _field(read_whole, None)
    min_p: float | None = _field(_number, None)
    repetition_penalty: float | None = _field(_number, None)
    max_tokens: int = _field(read_whole, 0)
    seed: int = _field(read_whole, 0)
    stop: tuple[str, ...] = _field(_texts, ())
    reasoning: str = _field(_reasoning, "")
    cache_policy: str = _field(read_text, "")
    sampling_source: str = _field(read_text, "")


@frozen
class LLMResponseData:
    """``llm.response``: the answer and what it used.

    ``cost_usd`` is always written: negative is unknown (what we write when nobody said), 0 is
    known to be free.
    """

    content: str = _field(read_text, "")
    tool_calls: tuple[ToolCall, ...] = _many(ToolCall)
    usage: TokenUsage = _one(TokenUsage)
    cost_usd: float = _field(_number, UNKNOWN_COST, always=True)
    latency_ms: int = _field(read_whole, 0, always=True)
    model: str = _field(read_text, "", always=True)
    finish_reason: str = _field(read_text, "", always=True)


@frozen
class ToolCallData:
    """``tool.call``: one use of a tool and what came of it; ``input`` is any JSON value."""

    tool: str = _field(read_text, "", always=True)
    input: Any = _field(_any, None, always=True)
    output: str = _field(read_text, "", always=True)
    duration_ms: int = _field(read_whole, 0, always=True)
    error: str = _field(read_text, "")


@frozen
class SessionEndData:
    """``session.end``: how the session went, with the figures of the whole session.

    ``cost_usd`` left out or negative is unknown, 0 is known to be free.
    """

    status: str = _field(read_text, "", always=True)
    output: str = _field(read_text, "", always=True)
    tokens: TokenUsage = _one(TokenUsage)
    cost_usd: float | None = _field(_number, None)
    duration_ms: int = _field(read_whole, 0, always=True)
    model: str = _field(read_text, "")
    selected_provider: str = _field(read_text, "")
    selected_endpoint: str = _field(read_text, "")
    selected_server_instance: str = _field(read_text, "")
    selected_route: str = _field(read_text, "")
    sticky: StickyState = _one(StickyState)
    utilization: UtilizationState = _one(UtilizationState)
    requested_harness: str = _field(read_text, "")
    resolved_harness: str = _field(read_text, "")
    harness_source: str = _field(read_text, "")
    requested_model: str = _field(read_text, "")
    requested_model_ref: str = _field(read_text, "")
    resolved_model_ref: str = _field(read_text, "")
    resolved_model: str = _field(read_text, "")
    reasoning: str = _field(_reasoning, "")
    attempted_providers: tuple[str, ...] = _field(_texts, ())
    failover_count: int = _field(read_whole, 0)
    metadata: Mapping[str, str] = _map()
    error: str = _field(read_text, "")


PAYLOADS: Mapping[str, type[Any]] = {
    "session.start": SessionStartData,
    "llm.request": LLMRequestData,
    "llm.response": LLMResponseData,
    "tool.call": ToolCallData,
    "session.end": SessionEndData,
}
"""The types of events whose payload has a class; all others are carried as they are."""


def decode(kind: type[T], value: Any) -> T:
    """The payload of class ``kind`` in a JSON value; raises Undecodable."""
    if type(value) is not dict:
        raise Undecodable("no object")
    given = {key.lower(): item for key, item in value.items() if item is not None}
    found: dict[str, Any] = {}
    for attribute in _attributes(kind):
        if attribute.name in given:
            try:
                found[attribute.name] = attribute.metadata["read"](given[attribute.name])
            except Undecodable as error:
                raise Undecodable(f"{attribute.name}: {error}") from None
    return kind(**found)


def encode(value: Any) -> Any:
    """A payload as JSON values, its keys in the order of the format."""
    if type(value) in (list, tuple):
        return [encode(item) for item in value]
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if not has(type(value)):
        return value
    result = {}
    for attribute in _attributes(type(value)):
        item = getattr(value, attribute.name)
        empty = item == attribute.default or (attribute.metadata["read"] is _labels and not item)
        if attribute.metadata["always"]:
            # an empty list that must be there is null in this format
            result[attribute.name] = None if item == () else encode(item)
        elif not empty:
            result[attribute.name] = encode(item)
    return result


def _attributes(kind: type[Any]) -> tuple[Attribute[Any], ...]:
    found: tuple[Attribute[Any], ...] = fields(kind)
    return found
