"""Subscriptions: the status of each is composed again when the ledger changed or a CLI told
something, and sent when it differs from what was sent last."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from session_usage.errors import SessionUsageError
from session_usage.ledger import codec
from session_usage.protocol import SESSION_EVENT, STATUS_CHANGED, SubscribeParams
from session_usage.rpc.desk import Call, Prepared
from session_usage.rpc.link import AGENT, Link, Snapshot
from session_usage.rpc.tails import Tails

if TYPE_CHECKING:
    from session_usage.events import Request
    from session_usage.kinds import SessionEvent
    from session_usage.ledger.query import Change, Reader
    from session_usage.rpc.server import Server

_REST_SECONDS, _INDEXING_SECONDS = 0.04, 0.5
"""Between two rounds of notifications; while history is read every round finds something new."""
_REST_SHARE = 3
"""A round is followed by a rest of this many times the time it took, at least."""
_MOST = 64
_HELD = 1_000
"""Events of sessions that the ledger does not have yet."""


class Subscription(NamedTuple):
    """What a client wants to be told of."""

    params: SubscribeParams
    sent: bytes


class Seen(NamedTuple):
    """A session as it was when events were last sent."""

    requests: int = 0
    nano: int | None = None
    ended: bool = False


class News(NamedTuple):
    """What a look at the ledger has found."""

    events: list[dict[str, Any]]
    journals: dict[str, tuple[str, int]]
    """Session to (journal, where its news begin if it was not there when somebody asked)."""
    settled: list[str]
    """Calls told of early that the ledger has by now."""


class Board:
    """The live part of one server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._subscriptions: dict[str, Subscription] = {}
        self._count = 0
        self._cache: dict[Any, tuple[Any, bytes]] = {}
        self._seen: dict[int, Seen] | None = None
        self._told = 0
        self._settled = True
        self._begun_ns = 0
        self._task: asyncio.Task[None] | None = None
        self._again = False
        self._last = self._took = 0.0
        self._rows: dict[str, dict[str, Any]] = {}
        self._waiting: deque[tuple[str, dict[str, Any]]] = deque(maxlen=_HELD)
        self._early: dict[str, dict[str, int | None]] = {}
        self.generation = 0
        self.tails = Tails(self._typed)
        self.link = Link(server.desk, self.changed, self._live_event)

    async def compose(self, params: Any, call: Call) -> dict[str, Any]:
        """The status of a window, made anew."""
        from session_usage.rpc import status

        desk, indexing = self._server.desk, self._server.indexer.indexing
        live = self.link.snapshot()
        return await desk.ask(
            call, lambda reader: status.compose(desk, reader, params, call, indexing, live)
        )

    async def status(self, params: Any, call: Call) -> Prepared:
        """The status of a window; made anew only when something may have changed."""
        desk, indexer = self._server.desk, self._server.indexer
        quarter = int(time.time()) // 900
        now = (
            self.generation, self.link.version, quarter, indexer.indexing, desk.settings,
            desk.options,
        )  # fmt: skip
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

        await self._remember(params, call)
        found = await self.compose(params, call)
        self._count += 1
        name = str(self._count)
        self._subscriptions[name] = Subscription(params, status.stripped(found))
        return {"subscription": name, "status": found}

    def unsubscribe(self, name: str) -> bool:
        """Was there one of this name?"""
        found = self._subscriptions.pop(name, None) is not None
        if not self._events_wanted():
            self.tails.close()
        return found

    def _events_wanted(self) -> bool:
        return any(s.params.events is not False for s in self._subscriptions.values())

    def configured(self) -> None:
        """The settings may be others now."""
        if self._server.desk.path:  # else the ledger comes first
            self.link.configure()
        self.changed()

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
            indexing = self._server.indexer.indexing
            rest = _INDEXING_SECONDS if indexing else _REST_SECONDS
            rest = max(rest, self._took * _REST_SHARE)
            rest += self._last - time.monotonic()
            if rest > 0:
                await asyncio.sleep(rest)
            self._again = False
            begun = time.monotonic()
            await self._round()
            self._last = time.monotonic()
            self._took = self._last - begun

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
        if not self._events_wanted():
            return
        live = self.link.snapshot()
        self.tails.live = live.session if live and live.status["state"] == "connected" else None
        settled, self._settled = self._settled, self._server.desk.ready.is_set()
        begun_ns = 0 if settled else self._begun_ns
        try:
            news = await self._server.desk.ask(
                call, lambda reader: self._news(reader, live, begun_ns)
            )
        except SessionUsageError:  # the ledger is being made anew: that will be a change
            return
        for event in news.events:
            if self._wanted(event):
                self._server.notify(SESSION_EVENT, event)
        for session, (path, offset) in news.journals.items():
            self.tails.look(session, path, offset)
        self.link.settle(news.settled)
        self._flush()

    def _live_event(self, event: SessionEvent, wire: dict[str, Any]) -> None:
        from session_usage.live.typed import told

        if self.tails.began and told(event):
            self.tails.hear(wire["session"], event, wire)

    def _typed(self, session: str, wire: dict[str, Any]) -> None:
        """An event of a session; one that the ledger does not have yet is held back."""
        self._waiting.append((session, wire))
        if session in self._rows:
            self._flush()

    def _flush(self) -> None:
        held = list(self._waiting)
        self._waiting.clear()
        for session, wire in held:
            row = self._rows.get(session)
            if row is None:
                self._waiting.append((session, wire))
                continue
            event = {
                "kind": "event", **row, "newRequests": 0, "addedNanoAiu": None, "event": wire,
            }  # fmt: skip
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

    async def _remember(self, params: SubscribeParams, call: Call) -> None:
        """Notes how things are, so that only what happens from now on is an event."""
        seen: dict[int, Seen] = {}
        first = self._seen is None
        settled, begun_ns = self._server.desk.ready.is_set(), time.time_ns()

        def work(reader: Reader) -> tuple[int, dict[str, int]]:
            if first:
                for row in reader.changes(0):
                    seen[row.id] = Seen(row.requests, row.nano, row.ended)
            return reader.generation(), reader.offsets("journal")

        if first or (params.events is not False and not self.tails.began):
            told, offsets = await self._server.desk.ask(call, work)
            if params.events is not False:
                self.tails.begin(offsets)
            if first:
                self._told, self._seen = told, seen
                self._settled, self._begun_ns = settled, begun_ns

    def _news(self, reader: Reader, live: Snapshot | None, begun_ns: int) -> News:
        """What happened in sessions since the last time. A session whose files are older than
        ``begun_ns`` is history that was only read now."""
        from session_usage.rpc import status

        news = News([], {}, [])
        reader.connection.execute("BEGIN")  # one moment for all that is asked
        try:
            fresh: dict[str, list[Request]] = {}
            if live is not None:
                for session, requests in status.unlogged(self._server.desk, reader, live):
                    fresh[session.id or ""] = requests
            for row in reader.changes(self._told):
                self._told = max(self._told, row.changed)
                old = bool(begun_ns) and reader.written(row.id) < begun_ns
                self._changed_row(reader, row, fresh.get(row.name, []), old, news)
            if live is not None:
                for name in {*fresh, *([live.session] if live.session else [])}:
                    self._early_news(reader, name, fresh.get(name, []), news)
        finally:
            reader.connection.execute("COMMIT")
        return news

    def _changed_row(
        self, reader: Reader, row: Change, fresh: list[Request], old: bool, news: News
    ) -> None:
        seen = self._seen if self._seen is not None else {}
        before, new = seen.get(row.id) or Seen(), row.id not in seen
        seen[row.id] = Seen(row.requests, row.nano, row.ended)
        fields: dict[str, Any] = {
            "agent": row.agent,
            "session": row.name,
            "title": row.title,
            "workspace": row.workspace,
            "requests": row.requests,
            "nanoAiu": row.nano,
            "model": row.model,
        }
        count, nano = row.requests - before.requests, (row.nano or 0) - (before.nano or 0)
        if row.agent == AGENT:
            self._rows[row.name] = fields
            for path, offset in reader.offsets("journal", row.ref).items():
                news.journals[row.name] = path, offset if old else 0
            early = self._early.get(row.name, {})
            for key in early.keys() - {request.key for request in fresh}:
                count, nano = count - 1, nano - (early.pop(key) or 0)
                news.settled.append(key)
        if old:
            return
        fields = {
            **fields,
            "newRequests": max(0, count),
            "addedNanoAiu": None if row.nano is None else max(0, nano),
        }
        if new:
            news.events.append({"kind": "session", **fields})
        if fields["newRequests"]:
            news.events.append({"kind": "request", **fields})
        if row.ended and not (before.ended and not fields["newRequests"]):
            news.events.append({"kind": "ended", **fields})

    def _early_news(self, reader: Reader, name: str, fresh: list[Request], news: News) -> None:
        """Calls that a CLI has told of and the log not yet: each once."""
        fields = self._rows.get(name)
        if fields is None:
            try:
                row = codec.loads(reader.row(reader.find(name, (AGENT,))))
            except SessionUsageError:  # the ledger will have it soon
                return
            fields = self._rows[name] = {
                "agent": AGENT,
                "session": name,
                "title": row["title"],
                "workspace": row["workspace"],
                "requests": row["totals"]["requests"],
                "nanoAiu": row["totals"]["nanoAiu"],
                "model": row["models"][0] if row["models"] else None,
            }
        early = self._early.setdefault(name, {})
        prices = self._server.desk.prices()
        for request in fresh:
            if request.key in early:
                continue
            early[request.key] = prices.quote(request).nano_aiu
            known = [nano for nano in (fields["nanoAiu"], *early.values()) if nano is not None]
            news.events.append(
                {
                    "kind": "request",
                    **fields,
                    "requests": fields["requests"] + len(early),
                    "newRequests": 1,
                    "nanoAiu": sum(known) if known else None,
                    "addedNanoAiu": early[request.key],
                    "model": request.model,
                }
            )
