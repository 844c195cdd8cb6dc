"""The connection to a running Copilot CLI, where the settings want one.

The SDK is imported when a connection is made and not before.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from session_usage.rpc.desk import Call, Desk

if TYPE_CHECKING:
    from session_usage.events import Request
    from session_usage.kinds import SessionEvent
    from session_usage.ledger.query import Reader
    from session_usage.live.cli import Cli
    from session_usage.live.clock import Cache
    from session_usage.live.feed import LiveFeed

AGENT = "copilot-cli"
_CANDIDATES = 8
_PARTING_SECONDS = 2.0
"""How long ending a connection may take when the server ends."""

Heard = Callable[["SessionEvent", dict[str, Any]], object]


class Snapshot(NamedTuple):
    """What a CLI has told up to now."""

    session: str | None
    """The session that is followed."""
    requests: tuple[Request, ...]
    """Calls of it, and of those followed before it, that the log may not have yet."""
    caches: dict[str, Cache]
    status: dict[str, Any]
    """As ``LiveStatus`` of the protocol."""

    def of(self, session: str) -> list[Request]:
        """The calls of one session."""
        return [request for request in self.requests if request.session == session]


class Link:
    """At most one connection; ``changed`` and ``heard`` are called in the loop."""

    def __init__(self, desk: Desk, changed: Callable[[], object], heard: Heard) -> None:
        self.version = 0
        """Grows with everything that is told."""
        self._desk = desk
        self._changed = changed
        self._heard = heard
        self._target: str | None = None
        self._feed: LiveFeed | None = None
        self._started: Cli | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def configure(self) -> None:
        """Connects, or lets go, as the settings say now."""
        target = self._desk.live_target
        if target == self._target:
            return
        self._target = target
        feed, self._feed = self._feed, None
        if feed is not None:
            task = asyncio.get_running_loop().create_task(feed.close())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        if target is not None:
            from session_usage.live.feed import LiveFeed

            self._feed = LiveFeed(
                None, self._connect, changed=self._told, heard=self._hear,
                candidates=self._candidates,
            )  # fmt: skip
            self._feed.start()
        self.version += 1

    def look(self) -> None:
        """The ledger changed: another session may be the one to follow."""
        if self._feed is not None:
            self._feed.look()

    def snapshot(self) -> Snapshot | None:
        """What is known by now; None while the setting is off."""
        feed = self._feed
        if feed is None:
            return None
        return Snapshot(feed.session_id, tuple(feed.requests()), dict(feed.caches), feed.status())

    def settle(self, logged: Iterable[str]) -> None:
        """The ledger has these calls now."""
        if self._feed is not None:
            self._feed.settle(logged)

    async def close(self) -> None:
        """Ends the connection, and a CLI that was started for it."""
        feed, self._feed = self._feed, None
        tasks = [*self._ending]
        if feed is not None:
            tasks.append(asyncio.get_running_loop().create_task(feed.close()))
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_PARTING_SECONDS)
            if late and self._started is not None:
                await self._started.kill()

    def _told(self) -> None:
        self.version += 1
        self._changed()

    def _hear(self, event: SessionEvent, wire: dict[str, Any], requests: list[Request]) -> None:
        self._heard(event, wire)

    async def _connect(self) -> Cli:
        from session_usage.errors import NotConnected
        from session_usage.live.cli import connect

        target = self._target or ""
        if target != "spawn":
            return await connect(target, token=os.environ.get("COPILOT_CONNECTION_TOKEN"))
        import shutil

        program = shutil.which("copilot")
        if program is None:
            raise NotConnected("there is no program 'copilot' on PATH to start")
        env = None
        if self._desk.start.home is not None:
            home = self._desk.places.home
            env = {**os.environ, "HOME": home, "USERPROFILE": home}
        self._started = await connect(program, env=env)
        return self._started

    async def _candidates(self) -> list[str]:
        """The newest sessions of Copilot CLI, that of this window first."""
        desk = self._desk

        def work(reader: Reader) -> list[str]:
            found = reader.newest(AGENT, _CANDIDATES)
            folders, storage = desk.folders(desk.options)
            own = reader.latest(folders, storage, (AGENT,)) if folders else None
            return list(dict.fromkeys([*([own.name] if own else []), *found]))

        with contextlib.suppress(Exception):  # the ledger may be busy: the next look asks again
            return await desk.ask(Call(), work)
        return []
