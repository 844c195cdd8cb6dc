"""One session's live view: keeps a connection to its CLI, and what that tells beyond the log.

The log stays the source of truth. What comes from the CLI is the same calls a moment earlier,
under the same keys, and a few facts that no log has. When the CLI dies, hangs or talks
nonsense, there is one problem and a new attempt later; the log's view does not notice.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Container, Iterable
from typing import TYPE_CHECKING, Any

from session_usage.errors import LiveError, NotConnected, SessionNotFound, SessionUsageError
from session_usage.events import Counter, Problem, Request
from session_usage.kinds import SessionEvent
from session_usage.live import facts
from session_usage.live.clock import Cache, caches
from session_usage.live.typed import Typed
from session_usage.providers.copilot_cli.state import AGENT

if TYPE_CHECKING:
    from session_usage.live.cli import Cli

BEAT_SECONDS = 5.0
"""How often the CLI is asked whether it is still there."""
FRESH_SECONDS = 60.0
"""How old quota and totals may get while the session works."""
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0


async def _shown(connection: Cli) -> str | None:
    try:
        return await connection.foreground()
    except NotConnected:
        raise
    except LiveError:  # a CLI that shows nothing need not know the question
        return None


async def _nobody() -> Iterable[str]:
    return ()


class LiveFeed:
    """The live side of one session, between ``start`` and ``close``.

    ``session_id`` None: the session that the CLI shows, else the first of ``candidates`` that
    it has open, else none at all and only its quota; ``look`` makes it choose anew.
    ``connect`` makes a connection; ``changed`` is called (on the event loop) whenever anything
    here did change, and ``heard`` with each event of the session as the protocol tells it and
    the calls that it proves. ``journal`` is the session's log where it is known: the evidence
    named in the requests. ``clock`` gives epoch seconds.
    """

    def __init__(
        self,
        session_id: str | None,
        connect: Callable[[], Awaitable[Cli]],
        *,
        changed: Callable[[], object] = lambda: None,
        heard: Callable[[SessionEvent, dict[str, Any], list[Request]], object] | None = None,
        candidates: Callable[[], Awaitable[Iterable[str]]] = _nobody,
        journal: str = "",
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.session_id = session_id
        self.state = "connecting"
        """``connecting``, ``connected``, or ``waiting`` for the next attempt."""
        self.context: facts.Context | None = None
        self.quotas: tuple[facts.Quota, ...] = ()
        self.total: Counter | None = None
        self.caches: dict[str, Cache] = {}
        self.problem: Problem | None = None
        """Why there is no connection just now; None while there is one."""
        self._fixed = session_id is not None
        self._requests: dict[str, Request] = {}
        self._connect = connect
        self._changed = changed
        self._heard = heard
        self._candidates = candidates
        self._journal = journal
        self._sleep = sleep
        self._clock = clock
        self._typed: Typed | None = None
        self._leave: Callable[[], None] = lambda: None
        self._followed: str | None = None
        self._refused: dict[str, float] = {}
        self._looking = asyncio.Event()
        self._asked = 0.0
        self._worked = False
        self._task: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Is there a connection just now?"""
        return self.state == "connected"

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

    def look(self) -> None:
        """Another session may be the one to follow now."""
        self._looking.set()

    def status(self) -> dict[str, Any]:
        """What a status shows of it, as ``LiveStatus`` of the protocol."""
        context = self.context
        return {
            "state": self.state,
            "problem": self.problem.text if self.problem else None,
            "session": self.session_id,
            "contextTokens": context.tokens if context else None,
            "contextLimit": context.limit if context else None,
            "systemTokens": context.system if context else None,
            "conversationTokens": context.conversation if context else None,
            "toolTokens": context.tools if context else None,
            "quotas": [quota.wire() for quota in self.quotas],
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
                    self.state = "waiting"
                    await connection.close()
            await self._sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)

    def _failed(self, error: SessionUsageError) -> None:
        problem = Problem("live", self._journal, None, str(error), AGENT, self.session_id)
        if self.connected or problem != self.problem:
            self.state, self.problem = "waiting", problem
            self._changed()

    async def _watch(self, connection: Cli) -> None:
        try:
            await self._choose(connection)
            await self._ask(connection)
            self.state, self.problem = "connected", None
            self._changed()
            while True:
                await self._wait(connection)
                if await self._choose(connection) or (
                    self._worked and self._clock() - self._asked >= FRESH_SECONDS
                ):
                    await self._ask(connection)
                    self._changed()
        finally:
            self._leave()
            self._followed = None

    async def _wait(self, connection: Cli) -> None:
        """Until there is something to look at, or the beat; raises once the CLI is gone."""
        ends = [asyncio.ensure_future(event.wait()) for event in (connection.closed, self._looking)]
        try:
            done, _ = await asyncio.wait(
                ends, timeout=BEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for end in ends:
                end.cancel()
        if connection.closed.is_set():
            raise NotConnected("the connection to the Copilot CLI is gone")
        if not done:
            await connection.ping(BEAT_SECONDS)

    async def _choose(self, connection: Cli) -> bool:
        """Follows the session that is the one to follow now; True if that is another one."""
        looking = self._looking.is_set() or self._followed is None
        self._looking.clear()
        if self._fixed:
            names: Iterable[str] = (self.session_id or "",)
        else:
            shown = await _shown(connection)
            names = (shown,) if shown else await self._candidates() if looking else ()
        now = self._clock()
        for name in names:
            if name == self._followed:
                return False
            if now - self._refused.get(name, 0.0) < BEAT_SECONDS:
                continue
            try:
                await self._follow(connection, name)
            except SessionNotFound:
                if self._fixed:
                    raise
                self._refused[name] = now
            else:
                return True
        return False

    async def _follow(self, connection: Cli, name: str) -> None:
        session = await connection.follow(name)
        self._leave()
        if name != self.session_id:
            self.context, self.total, self.caches = None, None, {}
        if self._typed is None or self._typed.session != name:
            folder = session.workspace_path
            self._typed = Typed(
                name, os.path.join(folder, "events.jsonl") if folder else self._journal
            )
        self.session_id = self._followed = name
        self._leave = session.on(self._event)

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
        if self._typed is None:
            return
        wire, requests = self._typed.read(event)
        for request in requests:
            self._requests.setdefault(request.key, request)
        if self._heard is not None:
            self._heard(event, wire, requests)
        if before != (self.context, self.quotas, len(self._requests)):
            self._changed()
