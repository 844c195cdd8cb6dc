"""The official SDK as a library of parts: loading it, its errors, its shapes of tools."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from session_usage.errors import LiveError, NotConnected, SessionNotFound
from session_usage.live.session import CopilotSession

MISSING = "Session not found"
"""How the CLI begins its word that it does not know a session."""
_GONE = frozenset({"ProcessExitedError", "BrokenPipeError", "ConnectionResetError"})


def sdk() -> Any:
    """The SDK's package; raises NotConnected, saying how to get it."""
    try:
        import copilot
    except ImportError as error:
        raise NotConnected(
            f"the Copilot SDK cannot be imported ({error}); pip install 'session-usage[live]'"
        ) from None
    if not hasattr(copilot, "RuntimeConnection"):
        raise NotConnected("the module 'copilot' is not the Copilot SDK of version 1.0.27 or newer")
    return copilot


async def reachable(host: str, port: int, limit: float) -> None:
    """Raises NotConnected if nobody listens: the SDK connects with a blocking call."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), limit)
    except (OSError, asyncio.TimeoutError) as error:
        reason = getattr(error, "strerror", None) or "no answer"
        raise NotConnected(f"no CLI listens at {host}:{port}: {reason}") from None
    writer.close()


def named(error: Exception, doing: str, limit: float) -> Exception:
    """The SDK's many errors as ours: one line, and what was being done."""
    if isinstance(error, LiveError | SessionNotFound):
        return error
    if isinstance(error, asyncio.TimeoutError):
        return NotConnected(f"{doing}: no answer in {limit:g} s")
    reason = (str(error) or type(error).__name__).splitlines()[0][:200]
    if MISSING.lower() in reason.lower():
        return SessionNotFound(f"{doing}: {reason}")
    if type(error).__name__ in _GONE or isinstance(error, OSError):
        return NotConnected(f"{doing}: {reason}")
    return LiveError(f"{doing}: {reason}")


def tools_of(session: CopilotSession) -> list[Any]:
    """The session's tools as the SDK wants them."""
    from copilot.tools import Tool as SdkTool
    from copilot.tools import ToolResult

    async def run(call: Any) -> Any:
        result = await session.call_tool(
            call.tool_name,
            {
                "sessionId": session.session_id,
                "toolCallId": call.tool_call_id,
                "toolName": call.tool_name,
                "arguments": call.arguments,
            },
        )
        return ToolResult(
            text_result_for_llm=str(result.get("textResultForLlm", "")),
            result_type=result.get("resultType", "success"),
            error=result.get("error"),
        )

    return [
        SdkTool(tool.name, tool.description, run, tool.parameters)
        for tool in session.tools.values()
    ]


def decider_of(session: CopilotSession) -> Callable[[Any, Any], Awaitable[Any]]:
    """The session's permission handler as the SDK wants it."""

    async def decide(request: Any, invocation: Any) -> Any:
        from copilot import rpc

        decision = await session.decide(request.to_dict())
        if decision["kind"] == "approved":
            return rpc.PermissionDecisionApproveOnce()
        if decision["kind"] == "denied-interactively-by-user":
            return rpc.PermissionDecisionReject()
        return rpc.PermissionDecisionUserNotAvailable()

    return decide
