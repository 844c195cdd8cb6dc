"""A running Copilot CLI, reached through the official SDK (``github-copilot-sdk``, 1.0.27).

The SDK does the wire work: it starts the CLI or connects to one, frames messages, and answers
the CLI's requests. What is added here is what a status bar needs of it:

- an answer within a time, whatever the other side does;
- events as they came: the SDK's own are decoded strictly, and one it cannot decode is lost;
- following a session without taking part in it: no event is added to its journal, nothing
  that it asks is answered, and a session that the CLI does not have open is not opened.

The SDK is imported by ``connect`` and not before. It never downloads a CLI for us: a path or
an address is always given.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from session_usage.errors import BadEvent, LiveError, NotConnected, SessionNotFound
from session_usage.kinds import read
from session_usage.live.sdk import MISSING, decider_of, named, reachable, sdk, tools_of
from session_usage.live.session import CopilotSession, PermissionHandler, Tool

TIMEOUT_SECONDS = 30.0
"""How long any one answer may take."""
START_SECONDS = 60.0
"""How long a CLI may take to start (it unpacks itself at its first start)."""
PARTING_SECONDS = 2.0
"""How long letting a session go may take when the connection is closed anyway."""

_LOG = logging.getLogger(__name__)


async def connect(
    target: str,
    *,
    token: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    github_token: str | None = None,
    args: Iterable[str] = (),
    timeout: float | None = None,
) -> Cli:
    """A connection to a CLI: ``host:port`` of one that runs, else the path of one to start.

    ``token`` is the running server's secret. ``env``, ``cwd``, ``github_token`` and ``args``
    are for a CLI to be started. Raises NotConnected, saying what to do, when there is no SDK,
    no CLI or no answer.
    """
    copilot = await asyncio.to_thread(sdk)  # half a second of imports
    # it logs every refused call with a traceback, and what the CLI prints
    logging.getLogger("copilot").setLevel(logging.ERROR)
    host, _, port = target.rpartition(":")
    limit = timeout if timeout is not None else START_SECONDS
    if host and port.isdigit():
        await reachable(host, int(port), limit)
        way = copilot.RuntimeConnection.for_uri(target, connection_token=token)
        client, started = copilot.CopilotClient(connection=way), False
    else:
        started = True
        client = copilot.CopilotClient(
            connection=copilot.RuntimeConnection.for_stdio(path=target, args=tuple(args)),
            env=None if env is None else dict(env),
            working_directory=cwd,
            github_token=github_token,
            use_logged_in_user=github_token is None,
        )
    cli = Cli(client, started)
    try:
        await asyncio.wait_for(client.start(), limit)
        cli.listen()
    except BaseException as error:
        await cli.kill()
        if isinstance(error, Exception):
            raise named(error, f"connecting to {target}", limit) from error
        raise
    return cli


class Cli:
    """One connection to one CLI; made by ``connect``. Not for more than one event loop."""

    def __init__(self, client: Any, started: bool) -> None:
        self._client = client
        self._started = started
        self._wire: Any = None
        self._sessions: dict[str, CopilotSession] = {}
        self._driven: dict[str, Any] = {}
        self._followed: set[str] = set()
        self._loop = asyncio.get_running_loop()
        self.closed = asyncio.Event()
        """Set when the connection is gone, for whatever reason."""
        self.unread = 0
        """Messages of the CLI that neither we nor the SDK could make sense of."""

    def listen(self) -> None:
        """Takes the events as they come off the wire, before the SDK decodes them."""
        self._wire = getattr(self._client, "_client", None)
        if not hasattr(self._wire, "notification_handler"):
            raise NotConnected("this version of the Copilot SDK is not known; 1.0.27 is")
        decoded, ended = self._wire.notification_handler, self._wire.on_close

        def notified(method: str, params: Any) -> None:
            if method == "session.event" and self._event(params):
                return
            try:
                decoded(method, params)
            except Exception as error:  # whatever strict decoding may raise
                self.unread += 1
                _LOG.info("the Copilot SDK cannot decode a %s: %s", method, type(error).__name__)

        def over() -> None:  # in the SDK's reading thread
            if ended:
                ended()
            try:
                self._loop.call_soon_threadsafe(self._gone)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return

        self._wire.notification_handler = notified
        self._wire.on_close = over

    def _event(self, params: Any) -> bool:
        """Hands on an event; True if the SDK need not see it: it must not answer for us in a
        session that is only watched."""
        found = params if type(params) is dict else {}
        name = str(found.get("sessionId"))
        session = self._sessions.get(name)
        if session is not None:
            try:
                session.dispatch(read(found.get("event"), strict=True))
            except BadEvent as error:
                self.unread += 1
                _LOG.info("an event of the CLI is damaged: %s", error)
        return name in self._followed

    def _gone(self) -> None:
        self.closed.set()
        for session in self._sessions.values():
            session.lost(NotConnected("the connection to the Copilot CLI is gone"))

    async def request(
        self, method: str, params: dict[str, Any], timeout: float = TIMEOUT_SECONDS
    ) -> Any:
        """The result of any JSON-RPC call. Raises NotConnected, LiveError or SessionNotFound."""
        name = str(params.get("sessionId"))
        if method == "session.destroy":
            if name not in self._sessions:
                raise SessionNotFound(f"{MISSING}: {name}")
            driven = self._driven.get(name)
            letting_go = driven.disconnect() if driven else self._raw("session.detach", params)
            await self._within(letting_go, method, timeout)
            self._forget(name)
            return {"success": True}
        if method.startswith("session.") and name != "None" and name not in self._sessions:
            raise SessionNotFound(f"{MISSING}: {name}")
        return await self._within(self._raw(method, params), method, timeout)

    def _raw(self, method: str, params: dict[str, Any]) -> Awaitable[Any]:
        if self._wire is None or self.closed.is_set():
            raise NotConnected("the connection to the Copilot CLI is gone")
        sent: Awaitable[Any] = self._wire.request(
            method, {name: value for name, value in params.items() if value is not None}
        )
        return sent

    async def _within(self, answer: Awaitable[Any], doing: str, timeout: float) -> Any:
        try:
            return await asyncio.wait_for(answer, timeout)
        except Exception as error:
            raise named(error, doing, timeout) from error

    async def create(
        self,
        *,
        tools: Iterable[Tool] = (),
        permission: PermissionHandler | None = None,
        timeout: float = START_SECONDS,
        **options: Any,
    ) -> CopilotSession:
        """A new session. ``options`` are the SDK's: ``model``, ``working_directory``,
        ``provider``, ``streaming`` … Permissions are denied unless ``permission`` grants them.
        """
        session = self._prepared(str(uuid.uuid4()), tools, permission)
        await self._open(self._client.create_session, session, timeout, options)
        return session

    async def resume(
        self,
        session_id: str,
        *,
        tools: Iterable[Tool] = (),
        permission: PermissionHandler | None = None,
        timeout: float = START_SECONDS,
        **options: Any,
    ) -> CopilotSession:
        """An earlier session, to go on with it. Raises SessionNotFound when there is none."""
        session = self._prepared(session_id, tools, permission)
        await self._open(self._client.resume_session, session, timeout, options)
        return session

    def _prepared(
        self, name: str, tools: Iterable[Tool], permission: PermissionHandler | None
    ) -> CopilotSession:
        session = CopilotSession(name, self)
        session.register_tools(tools)
        session.register_permission(permission)
        self._sessions[name] = session  # before the call: its first events come during it
        return session

    async def _open(
        self,
        open_session: Callable[..., Awaitable[Any]],
        session: CopilotSession,
        timeout: float,
        options: dict[str, Any],
    ) -> None:
        name = session.session_id
        try:
            driven = await self._within(
                open_session(
                    session_id=name,
                    tools=tools_of(session),
                    on_permission_request=decider_of(session),
                    **options,
                ),
                f"session {name}",
                timeout,
            )
        except BaseException:
            self._sessions.pop(name, None)
            raise
        self._driven[name] = driven
        folder = driven.workspace_path
        session.workspace_path = str(folder) if folder else None

    async def follow(self, session_id: str) -> CopilotSession:
        """A session that this CLI has open, to watch it: nothing it asks is answered.

        Raises SessionNotFound when this CLI does not have it open; it is then not opened.
        """
        known = self._sessions.get(session_id)
        if known is not None:
            return known
        try:
            await self.metrics(session_id)  # told of open sessions only
        except SessionNotFound:
            # a terminal's server tells no metrics of its own session before somebody joined
            if await self.foreground() != session_id:
                raise
        session = CopilotSession(session_id, self)
        self._sessions[session_id] = session
        self._followed.add(session_id)
        try:
            reply = await self._within(
                self._raw(
                    "session.resume",
                    {
                        "sessionId": session_id,
                        "disableResume": True,
                        "continuePendingWork": True,
                        "requestPermission": False,
                        "allowTranscriptRecovery": False,
                    },
                ),
                f"session {session_id}",
                TIMEOUT_SECONDS,
            )
        except BaseException:
            self._forget(session_id)
            raise
        folder = reply.get("workspacePath") if type(reply) is dict else None
        session.workspace_path = folder if type(folder) is str else None
        return session

    async def foreground(self) -> str | None:
        """The session that a terminal CLI (``--ui-server``) shows; None if it shows none."""
        reply = await self._within(
            self._raw("session.getForeground", {}), "session.getForeground", TIMEOUT_SECONDS
        )
        name = reply.get("sessionId") if type(reply) is dict else None
        return name if type(name) is str and name else None

    async def sessions(self) -> list[dict[str, Any]]:
        """The sessions on this CLI's disk: sessionId, startTime, modifiedTime, summary …"""
        reply = await self._within(self._raw("session.list", {}), "session.list", TIMEOUT_SECONDS)
        rows = reply.get("sessions") if type(reply) is dict else None
        return [row for row in rows if type(row) is dict] if type(rows) is list else []

    async def delete(self, session_id: str) -> None:
        """Removes a session and its files for good."""
        deleting = self._client.delete_session(session_id)
        await self._within(deleting, "session.delete", TIMEOUT_SECONDS)
        self._forget(session_id)

    def _forget(self, name: str) -> None:
        self._sessions.pop(name, None)
        self._driven.pop(name, None)
        self._followed.discard(name)

    async def ping(self, timeout: float = TIMEOUT_SECONDS) -> None:
        """Raises NotConnected unless the CLI answers in time."""
        await self._within(self._raw("ping", {"message": "?"}), "ping", timeout)

    async def quota(self) -> dict[str, Any]:
        """``account.getQuota`` as it came; see ``facts.quotas``."""
        return await self._object("account.getQuota", {})

    async def metrics(self, session_id: str) -> dict[str, Any]:
        """``session.usage.getMetrics`` of a session that this CLI has open, as it came."""
        try:
            return await self._object("session.usage.getMetrics", {"sessionId": session_id})
        except NotConnected:
            raise
        except (LiveError, SessionNotFound) as error:
            raise SessionNotFound(f"this CLI does not have session {session_id} open") from error

    async def _object(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        reply = await self._within(self._raw(method, params), method, TIMEOUT_SECONDS)
        return reply if type(reply) is dict else {}

    async def close(self) -> None:
        """Lets all sessions go, and ends a CLI that was started here; never raises."""
        if not self.closed.is_set():
            try:
                for name in tuple(self._sessions):
                    params = {"sessionId": name}
                    await self.request("session.destroy", params, PARTING_SECONDS)
                if self._started:
                    await asyncio.wait_for(self._client.stop(), TIMEOUT_SECONDS)
            except Exception as error:  # a dying CLI may fail in any way
                _LOG.info("the Copilot CLI did not end in peace: %s", type(error).__name__)
        await self.kill()

    async def kill(self) -> None:
        """Ends the connection, and a CLI that was started here, without asking."""
        process = getattr(self._wire, "process", None) or getattr(self._client, "_process", None)
        try:
            await self._client.force_stop()
        except Exception as error:  # as above
            _LOG.info("the Copilot CLI could not be stopped: %s", type(error).__name__)
        for name in ("stdin", "stdout", "stderr"):  # the SDK leaves them open
            pipe = getattr(process, name, None)
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._gone()
        for name in tuple(self._sessions):
            self._forget(name)
