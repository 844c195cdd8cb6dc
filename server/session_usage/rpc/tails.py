"""Events of Copilot CLI sessions, one by one: from the journals, and from a CLI as they happen.

A journal is followed while somebody wants its events, from where the ledger had read it when
they asked. What comes from both sides has one id and is told once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from session_usage.kinds import SessionEvent

_MOST = 8
"""Journals that are followed at a time: those that changed last."""
_LIVELY, _QUIET = 0.1, 2.0
"""Seconds between two looks, while lines come and else: the first line after a rest changes the
ledger, and so is looked for at once."""
_REMEMBERED = 4_096
"""Ids of events."""

Tell = Callable[[str, dict[str, Any]], object]


class _Tail(NamedTuple):
    path: str
    close: Callable[[], None]
    offset: Callable[[], int]
    step: Callable[[], Awaitable[float]]
    """Looks at the journal; returns the seconds until the next look."""


class Tails:
    """Calls ``tell`` in the loop with a session's id and each of its events on the wire."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._offsets: dict[str, int] | None = None
        self._tails: dict[str, _Tail] = {}
        self._ids: dict[str, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._nap: asyncio.Future[None] | None = None
        self.live: str | None = None
        """The session whose events come from a CLI: it tells itself when it is idle."""

    @property
    def began(self) -> bool:
        """Does anybody want events?"""
        return self._offsets is not None

    def begin(self, offsets: dict[str, int]) -> None:
        """What lies behind these places of the journals is new."""
        if self._offsets is None:
            self._offsets = offsets

    def look(self, session: str, path: str, offset: int) -> None:
        """This session did something. ``offset``: where its news begin if it was not known when
        somebody asked."""
        if self._offsets is None:
            return
        tail = self._tails.pop(session, None)
        if tail is not None and tail.path != path:
            self._end(tail)
            tail = None
        self._tails[session] = tail or self._follow(session, path, offset)
        if len(self._tails) > _MOST:
            self._end(self._tails.pop(next(iter(self._tails))))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._watch())
        self._wake()

    async def _watch(self) -> None:
        """Looks at all journals in turn: to be woken up costs more than a look."""
        loop = asyncio.get_running_loop()
        try:
            while self._tails:
                self._nap = nap = loop.create_future()
                pause = min([await tail.step() for tail in [*self._tails.values()]])
                timer = loop.call_later(pause if pause <= _LIVELY else _QUIET, self._wake)
                await nap
                timer.cancel()
        finally:
            self._task = None

    def _wake(self) -> None:
        if self._nap is not None and not self._nap.done():
            self._nap.set_result(None)

    def _follow(self, session: str, path: str, offset: int) -> _Tail:
        from session_usage.live.journal import LogSession
        from session_usage.live.typed import Typed, told

        typed = Typed(session, path)

        def heard(event: SessionEvent) -> None:
            wire, _ = typed.read(event)
            if told(event) and not (self.live == session and event.type == "session.idle"):
                self.hear(session, event, wire)

        assert self._offsets is not None
        log = LogSession(path)
        close = log.on(heard, self._offsets.get(path, offset), follow=False)
        return _Tail(path, close, lambda: log.offset, log.step)

    def _end(self, tail: _Tail) -> None:
        tail.close()
        if self._offsets is not None:
            self._offsets[tail.path] = tail.offset()

    def hear(self, session: str, event: SessionEvent, wire: dict[str, Any]) -> None:
        """Tells an event, unless it was told."""
        name = event.id
        if name is not None and not event.ephemeral:
            if name in self._ids:
                return
            self._ids[name] = None
            if len(self._ids) > _REMEMBERED:
                del self._ids[next(iter(self._ids))]
        self._tell(session, wire)

    def close(self) -> None:
        """Nobody wants events any more."""
        for tail in self._tails.values():
            tail.close()
        self._tails.clear()
        self._offsets = None
        self._wake()
