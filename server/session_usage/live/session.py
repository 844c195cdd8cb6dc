"""One Copilot session as a handle: its events, its history, and (with a CLI) a way to talk to it.

The contract is that of the SDK's ``CopilotSession`` of January 2026; the client behind it need
only have ``async request(method, params)``. Nothing is sent to a session but by ``send``,
``send_and_wait``, ``abort`` and ``destroy``, and a permission that nobody grants is denied.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from session_usage.errors import LiveError, SessionFailed
from session_usage.kinds import SessionEvent, read

if TYPE_CHECKING:
    from session_usage.live.journal import LogSession

DENIED = "denied-no-approval-rule-and-could-not-request-from-user"
"""What becomes of a permission request that nobody decides."""

ANSWER_SECONDS = 60.0
"""How long ``send_and_wait`` waits unless told otherwise."""

_LOG = logging.getLogger(__name__)

Handler = Callable[[SessionEvent], object]
PermissionHandler = Callable[[dict[str, Any], dict[str, str]], Any]


class Client(Protocol):
    """What a session needs of its connection."""

    async def request(self, method: str, params: dict[str, Any]) -> Any:
        """The result of a JSON-RPC call; raises what went wrong."""
        ...


class Tool(NamedTuple):
    """A function that the agent may call."""

    name: str
    handler: Callable[[dict[str, Any]], Any] | None
    """Gets {"sessionId", "toolCallId", "toolName", "arguments"}; returns (or is awaited for) a
    text, or a dict with ``textResultForLlm`` and ``resultType``."""
    description: str = ""
    parameters: dict[str, Any] | None = None
    """JSON Schema of the arguments."""


class CopilotSession:
    """A session by its id and the client that reaches it."""

    def __init__(self, session_id: str, client: Client, workspace_path: str | None = None) -> None:
        self.session_id = session_id
        self.workspace_path = workspace_path
        """The session's own folder, where the CLI told it."""
        self._client = client
        self._handlers: set[Handler] = set()
        self._tools: dict[str, Tool] = {}
        self._permission: PermissionHandler | None = None
        self._waits: set[asyncio.Future[BaseException | None]] = set()

    @staticmethod
    def from_log(path: str) -> LogSession:
        """The session whose folder or ``events.jsonl`` this is; needs no CLI and no SDK.

        Raises SessionNotFound when there is neither.
        """
        from session_usage.live.journal import LogSession

        return LogSession(path)

    def on(self, handler: Handler) -> Callable[[], None]:
        """Calls ``handler`` with every event from now on; returns what ends that.

        A handler is called once however often it was given, and one unsubscribing removes it.
        """
        self._handlers.add(handler)
        return lambda: self._handlers.discard(handler)

    def dispatch(self, event: SessionEvent) -> None:
        """Hands an event to every handler there is; one that raises does not stop the others."""
        for handler in tuple(self._handlers):
            try:
                handler(event)
            except Exception as error:  # a handler may raise anything
                _LOG.warning("Error in session event handler: %s", error)

    async def send(self, options: Mapping[str, Any]) -> str:
        """Sends a message and returns its id; the answer comes as events.

        ``options``: ``prompt`` (KeyError without), ``attachments``, ``mode`` (``enqueue`` or
        ``immediate``). Other keys are dropped.
        """
        reply = await self._client.request(
            "session.send",
            {
                "sessionId": self.session_id,
                "prompt": options["prompt"],
                "attachments": options.get("attachments"),
                "mode": options.get("mode"),
            },
        )
        message: str = reply["messageId"]
        return message

    async def send_and_wait(
        self, options: Mapping[str, Any], timeout: float | None = None
    ) -> SessionEvent | None:
        """Sends a message and returns the last ``assistant.message`` when the session is idle.

        None if there was no message. Raises SessionFailed for the session's own error,
        NotConnected if the CLI goes away, asyncio.TimeoutError after ``timeout`` seconds
        (60 by default); the agent is not stopped by that.
        """
        return await self._until_idle(options, timeout)

    async def wait_idle(self, timeout: float | None = None) -> SessionEvent | None:
        """As ``send_and_wait``, for a turn that somebody else began; sends nothing."""
        return await self._until_idle(None, timeout)

    async def _until_idle(
        self, options: Mapping[str, Any] | None, timeout: float | None
    ) -> SessionEvent | None:
        limit = ANSWER_SECONDS if timeout is None else timeout
        end: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        last: SessionEvent | None = None

        def watch(event: SessionEvent) -> None:
            nonlocal last
            if event.agent or end.done():
                return
            if event.type == "assistant.message":
                last = event
            elif event.type == "session.idle":
                end.set_result(None)
            elif event.type == "session.error":
                end.set_result(SessionFailed(f"Session error: {event.data.get('message')}"))

        unsubscribe = self.on(watch)  # before sending: what comes during the call counts
        self._waits.add(end)
        try:
            if options is not None:
                await self.send(options)
            failure = await asyncio.wait_for(end, limit)
        except asyncio.TimeoutError:
            raise asyncio.TimeoutError(f"Timeout after {limit}s waiting for session.idle") from None
        finally:
            unsubscribe()
            self._waits.discard(end)
        if failure is not None:
            raise failure
        return last

    def lost(self, error: BaseException) -> None:
        """The client's word that no event will come any more: whoever waits gets ``error``."""
        for end in self._waits:
            if not end.done():
                end.set_result(error)

    async def get_messages(self) -> list[SessionEvent]:
        """The persisted events in order; ephemeral ones are not among them.

        Unknown types are kept. Raises BadEvent for an id that is no UUID or a bad timestamp.
        """
        reply = await self._client.request("session.getMessages", {"sessionId": self.session_id})
        events = reply.get("events") if type(reply) is dict else None
        if type(events) is not list:
            raise LiveError("session.getMessages gave no list of events")
        return [read(event, strict=True) for event in events]

    async def abort(self) -> None:
        """Stops what the agent is doing; the session stays usable."""
        await self._client.request("session.abort", {"sessionId": self.session_id})

    async def destroy(self) -> None:
        """Lets the session go (its files stay); if that fails, handlers and tools stay too."""
        await self._client.request("session.destroy", {"sessionId": self.session_id})
        self._handlers.clear()
        self._tools.clear()
        self._permission = None

    def register_tools(self, tools: Iterable[Tool] | None) -> None:
        """These tools in place of all earlier ones; without name or handler they are skipped."""
        self._tools = {tool.name: tool for tool in tools or () if tool.name and tool.handler}

    @property
    def tools(self) -> dict[str, Tool]:
        """The registered tools by name."""
        return dict(self._tools)

    async def call_tool(self, name: str, call: dict[str, Any]) -> dict[str, Any]:
        """Runs a tool for the agent. A failure's cause stays here: the agent is told no more
        than that it failed."""
        tool = self._tools.get(name)
        if tool is None or tool.handler is None:
            return _failure(f"Tool '{name}' is not supported by this client.", "not supported")
        try:
            result = tool.handler(call)
            if inspect.isawaitable(result):
                result = await result
        except Exception as error:  # a tool may raise anything
            _LOG.warning("Error in tool %s: %s", name, error)
            return _failure(f"Tool '{name}' failed.", str(error))
        if type(result) is dict:
            return result
        if result is None:
            return _failure(f"Tool '{name}' gave no result.", "no result")
        return {"textResultForLlm": str(result), "resultType": "success"}

    def register_permission(self, handler: PermissionHandler | None) -> None:
        """Who decides permission requests: called with the request and {"session_id"}, may be
        async, returns {"kind": "approved"} or another kind. None: all are denied."""
        self._permission = handler

    async def decide(self, request: dict[str, Any]) -> dict[str, Any]:
        """The decision on a permission request; denied without a handler and if it raises."""
        if self._permission is None:
            return {"kind": DENIED}
        try:
            decision = self._permission(request, {"session_id": self.session_id})
            if inspect.isawaitable(decision):
                decision = await decision
        except Exception as error:  # a handler may raise anything
            _LOG.warning("Error in permission handler: %s", error)
            return {"kind": DENIED}
        return decision if type(decision) is dict and "kind" in decision else {"kind": DENIED}


def _failure(text: str, reason: str) -> dict[str, Any]:
    return {"textResultForLlm": text, "resultType": "failure", "error": reason}
