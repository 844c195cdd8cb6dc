"""Subscriptions: the status of each is composed again when the ledger changed, and sent when
it differs from what was sent last."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from session_usage.ledger import codec
from session_usage.protocol import SESSION_EVENT, STATUS_CHANGED, SubscribeParams
from session_usage.rpc.desk import Call, Prepared

if TYPE_CHECKING:
    from session_usage.ledger.query import Reader
    from session_usage.rpc.server import Server

_REST_SECONDS = 0.1
"""Between two rounds of notifications."""
_MOST = 64


class Subscription(NamedTuple):
    """What a client wants to be told of."""

    params: SubscribeParams
    sent: bytes


class Seen(NamedTuple):
    """A session as it was when events were last sent."""

    requests: int = 0
    nano: int | None = None
    ended: bool = False


class Board:
    """The live part of one server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._subscriptions: dict[str, Subscription] = {}
        self._count = 0
        self._cache: dict[Any, tuple[Any, bytes]] = {}
        self._seen: dict[int, Seen] | None = None
        self._told = 0
        self._task: asyncio.Task[None] | None = None
        self._again = False
        self._last = 0.0
        self.generation = 0

    async def compose(self, params: Any, call: Call) -> dict[str, Any]:
        """The status of a window, made anew."""
        from session_usage.rpc import status

        desk, indexing = self._server.desk, self._server.indexer.indexing
        return await desk.ask(
            call, lambda reader: status.compose(desk, reader, params, call, indexing)
        )

    async def status(self, params: Any, call: Call) -> Prepared:
        """The status of a window; made anew only when something may have changed."""
        desk, indexer = self._server.desk, self._server.indexer
        quarter = int(time.time()) // 900
        now = (self.generation, quarter, indexer.indexing, desk.settings, desk.options)
        key = (params.workspace, tuple(params.folders or ()), params.storage, params.session)
        known = self._cache.get(key)
        if known is not None and known[0] == now:
            return Prepared(known[1])
        found = await self.compose(params, call)
        data = codec.dumps(found)
        if len(self._cache) > _MOST:
            self._cache.clear()
        self._cache[key] = now, data
        return Prepared(data)

    async def subscribe(self, params: SubscribeParams, call: Call) -> dict[str, Any]:
        """A new subscription with the status at its start."""
        from session_usage.rpc import status

        await self._remember(call)
        found = await self.compose(params, call)
        self._count += 1
        name = str(self._count)
        self._subscriptions[name] = Subscription(params, status.stripped(found))
        return {"subscription": name, "status": found}

    def unsubscribe(self, name: str) -> bool:
        """Was there one of this name?"""
        return self._subscriptions.pop(name, None) is not None

    def changed(self, generation: int | None = None) -> None:
        """The ledger (or something else that a status shows) changed."""
        if generation is not None:
            self.generation = generation
        if not self._subscriptions:
            return
        self._again = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._rounds())

    async def _rounds(self) -> None:
        while self._again:
            rest = self._last + _REST_SECONDS - time.monotonic()
            if rest > 0:
                await asyncio.sleep(rest)
            self._again = False
            await self._round()
            self._last = time.monotonic()

    async def _round(self) -> None:
        from session_usage.rpc import status

        call = Call()
        for name, subscription in list(self._subscriptions.items()):
            try:
                found = await self.compose(subscription.params, call)
            except Exception:  # the session was forgotten: nothing to show of it
                continue
            sent = status.stripped(found)
            if sent != subscription.sent and name in self._subscriptions:
                self._subscriptions[name] = subscription._replace(sent=sent)
                self._server.notify(STATUS_CHANGED, {"subscription": name, "status": found})
        if any(s.params.events is not False for s in self._subscriptions.values()):
            for event in await self._server.desk.ask(call, self._events):
                if self._wanted(event):
                    self._server.notify(SESSION_EVENT, event)

    def _wanted(self, event: dict[str, Any]) -> bool:
        desk = self._server.desk
        for subscription in self._subscriptions.values():
            params = subscription.params
            if params.events is False:
                continue
            if params.session is not None and event["session"] != params.session:
                continue
            folders, _ = desk.folders(params)
            place = event["workspace"] or ""
            if not folders or any(
                place == folder or place.startswith((folder + "/", folder + "\\"))
                for folder in folders
            ):
                return True
        return False

    async def _remember(self, call: Call) -> None:
        """Notes how things are, so that only what happens from now on is an event."""
        if self._seen is None:
            seen: dict[int, Seen] = {}

            def work(reader: Reader) -> int:
                for row in reader.changes(0):
                    seen[row.id] = Seen(row.requests, row.nano, row.ended)
                return reader.generation()

            self._told = await self._server.desk.ask(call, work)
            self._seen = seen

    def _events(self, reader: Reader) -> list[dict[str, Any]]:
        """What happened in sessions since the last time."""
        seen = self._seen if self._seen is not None else {}
        events = []
        for row in reader.changes(self._told):
            self._told = max(self._told, row.changed)
            before = seen.get(row.id) or Seen()
            new = row.id not in seen
            seen[row.id] = Seen(row.requests, row.nano, row.ended)
            fields = {
                "agent": row.agent,
                "session": row.name,
                "title": row.title,
                "workspace": row.workspace,
                "requests": row.requests,
                "newRequests": max(0, row.requests - before.requests),
                "nanoAiu": row.nano,
                "addedNanoAiu": None if row.nano is None else max(0, row.nano - (before.nano or 0)),
                "model": row.model,
            }
            if new:
                events.append({"kind": "session", **fields})
            if fields["newRequests"]:
                events.append({"kind": "request", **fields})
            if row.ended and not (before.ended and not fields["newRequests"]):
                events.append({"kind": "ended", **fields})
        return events
