"""One session's live view: keeps a connection to its CLI, and what that tells beyond the log.

The log stays the source of truth. What comes from the CLI is the same calls a moment earlier,
under the same keys, and a few facts that no log has. When the CLI dies, hangs or talks
nonsense, there is one problem and a new attempt later; the log's view does not notice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Container, Iterable
from typing import TYPE_CHECKING, Any

from session_usage.errors import LiveError, NotConnected, SessionUsageError
from session_usage.events import Counter, Problem, Request
from session_usage.kinds import SessionEvent
from session_usage.live import facts
from session_usage.live.clock import Cache, caches
from session_usage.providers.copilot_cli.state import AGENT
from session_usage.providers.copilot_cli.stream import Stream

if TYPE_CHECKING:
    from session_usage.live.cli import Cli

BEAT_SECONDS = 5.0
"""How often the CLI is asked whether it is still there."""
FRESH_SECONDS = 60.0
"""How old quota and totals may get while the session works."""
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0


class LiveFeed:
    """The live side of one session, between ``start`` and ``close``.

    ``session_id`` None: the session that the CLI shows, or none at all and only its quota.
    ``connect`` makes a connection; ``changed`` is called (on the event loop) whenever anything
    here did change. ``journal`` is the session's log where it is known: the evidence named in
    the requests. ``clock`` gives epoch seconds.
    """

    def __init__(
        self,
        session_id: str | None,
        connect: Callable[[], Awaitable[Cli]],
        *,
        changed: Callable[[], object] = lambda: None,
        journal: str = "",
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.session_id = session_id
        self.connected = False
        self.context: facts.Context | None = None
        self.quotas: tuple[facts.Quota, ...] = ()
        self.total: Counter | None = None
        self.caches: dict[str, Cache] = {}
        self.problem: Problem | None = None
        """Why there is no connection just now; None while there is one."""
        self._requests: dict[str, Request] = {}
        self._connect = connect
        self._changed = changed
        self._journal = journal
        self._sleep = sleep
        self._clock = clock
        self._stream: Stream | None = None
        self._asked = 0.0
        self._worked = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to connect; needs a running event loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Ends the connection and all that this feed set going."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def requests(self, logged: Container[str] = ()) -> list[Request]:
        """The calls seen live whose keys are not among those of the log, in order.

        Forget none here: a rewound log may lose a call that was paid for.
        """
        return [request for key, request in self._requests.items() if key not in logged]

    def settle(self, logged: Iterable[str]) -> None:
        """Forgets the calls that a store of record now has."""
        for key in logged:
            self._requests.pop(key, None)

    def status(self) -> dict[str, Any]:
        """What a status shows of it, as an object of the protocol."""
        return {
            "connected": self.connected,
            "session": self.session_id,
            "context": self.context.wire() if self.context else None,
            "quotas": [quota.wire() for quota in self.quotas],
            "problem": self.problem.text if self.problem else None,
        }

    async def _run(self) -> None:
        wait = FIRST_WAIT_SECONDS
        while True:
            try:
                connection = await self._connect()
            except SessionUsageError as error:
                self._failed(error)
            else:
                try:
                    await self._watch(connection)
                except SessionUsageError as error:
                    if self.connected:
                        wait = FIRST_WAIT_SECONDS
                    self._failed(error)
                finally:
                    self.connected = False
                    await connection.close()
            await self._sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)

    def _failed(self, error: SessionUsageError) -> None:
        problem = Problem("live", self._journal, None, str(error), AGENT, self.session_id)
        if self.connected or problem != self.problem:
            self.connected, self.problem = False, problem
            self._changed()

    async def _watch(self, connection: Cli) -> None:
        name = self.session_id or await connection.foreground()
        unsubscribe = None
        if name is not None:
            if self._stream is None or name != self.session_id:
                self._stream = Stream(name, self._journal)
            self.session_id = name
            session = await connection.follow(name)
            unsubscribe = session.on(self._event)
        try:
            await self._ask(connection)
            self.connected, self.problem = True, None
            self._changed()
            while True:
                try:
                    await asyncio.wait_for(connection.closed.wait(), BEAT_SECONDS)
                except asyncio.TimeoutError:
                    await connection.ping(BEAT_SECONDS)
                    if self._worked and self._clock() - self._asked >= FRESH_SECONDS:
                        await self._ask(connection)
                        self._changed()
                else:
                    raise NotConnected("the connection to the Copilot CLI is gone")
        finally:
            if unsubscribe:
                unsubscribe()

    async def _ask(self, connection: Cli) -> None:
        """Quota and totals; a CLI that does not know them is a CLI all the same."""
        self._asked, self._worked = self._clock(), False
        try:
            self.quotas = facts.quotas((await connection.quota()).get("quotaSnapshots"))
        except NotConnected:
            raise
        except LiveError:
            self.quotas = ()
        if self.session_id is not None:
            metrics = await connection.metrics(self.session_id)
            at_ms = int(self._asked * 1000)
            self.total = facts.total(metrics, self.session_id, self._journal, at_ms)

    def _event(self, event: SessionEvent) -> None:
        before = (self.context, self.quotas, len(self._requests))
        self.context = facts.context(event) or self.context
        if event.type == "assistant.usage":
            self._worked = True
            self.quotas = facts.quotas(event.data.get("quotaSnapshots")) or self.quotas
            self.caches.update(caches([event.raw]))
        for found in self._stream.read(event.raw) if self._stream else ():
            if type(found) is Request:
                self._requests.setdefault(found.key, found)
        if before != (self.context, self.quotas, len(self._requests)):
            self._changed()
