"""Which coroutine answers which request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from session_usage.rpc.desk import Call
    from session_usage.rpc.server import Server

FIRST_ANSWER = 20.0
"""Seconds to wait for logs that were never read before an answer is given without them."""

Handler = Callable[["Server", Any, "Call"], Awaitable[Any]]
HANDLERS: dict[str, Handler] = {}


def answers(name: str) -> Callable[[Handler], Handler]:
    """Registers the handler of a request."""

    def register(handler: Handler) -> Handler:
        HANDLERS[f"copilotUsage/{name}"] = handler
        return handler

    return register
