"""A session of which only the log is there: its history, and what is appended to it.

A journal holds no ``session.idle`` (it is ephemeral), so a log's idle is inferred, see
``Idle``, and dispatched as an ephemeral ``session.idle`` whose data say why.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from session_usage.errors import BadEvent, ReadOnlySession, SessionNotFound
from session_usage.jsonl import Scan, parse
from session_usage.kinds import SessionEvent, read
from session_usage.live.session import CopilotSession, Handler

TURN_GAP_MS = 2_000
"""A turn that ended and was not followed by another for so long was the last one. The CLI
writes in batches of about 0.1 s."""
SILENCE_MS = 300_000
"""After so long without a line a session is taken for idle whatever it was doing."""
_PAUSES = ((30_000, 0.1), (SILENCE_MS, 0.5))
"""(milliseconds since the last line, seconds between two looks)."""
_SLOWEST = 1.0
_BLOCK = 1 << 16
_SETTLES = frozenset({"abort", "session.shutdown", "session.usage_checkpoint"})
"""What the CLI writes when a user's turn is over; the checkpoint comes once for each."""


class Idle:
    """Tells from persisted events when a session has nothing to do any more."""

    def __init__(self) -> None:
        self._busy = False
        self._ended = False
        self._last_ms = 0

    def see(self, event: SessionEvent, now_ms: int) -> str | None:
        """Takes in an event; the reason if with it the session is idle."""
        self._last_ms = now_ms
        if event.agent:
            self._busy = True
        elif event.type in _SETTLES:
            was_busy, self._busy, self._ended = self._busy, False, False
            return event.type if was_busy else None
        elif event.type in ("user.message", "assistant.turn_start", "assistant.turn_end"):
            self._busy = True
            self._ended = event.type == "assistant.turn_end"
        return None

    def due(self, now_ms: int) -> str | None:
        """The reason if by now, nothing having come, the session is idle; said once."""
        quiet_ms = now_ms - self._last_ms
        if not self._busy or quiet_ms < (TURN_GAP_MS if self._ended else SILENCE_MS):
            return None
        reason = "assistant.turn_end" if self._ended else "silence"
        self._busy = self._ended = False
        return reason


class LogSession(CopilotSession):
    """``CopilotSession`` over a journal: reads and follows; all that sends raises
    ReadOnlySession.

    ``on`` follows the log as long as there are handlers, if an event loop runs; without one,
    ``poll`` does a step. ``clock`` gives epoch seconds.
    """

    def __init__(self, path: str, clock: Callable[[], float] = time.time) -> None:
        folder = path if os.path.isdir(path) else os.path.dirname(os.path.abspath(path))
        journal = os.path.join(path, "events.jsonl") if os.path.isdir(path) else path
        if not os.path.isdir(path) and not os.path.isfile(path):
            raise SessionNotFound(f"no session at {path}")
        super().__init__(os.path.basename(os.path.normpath(folder)), _ReadOnly(), folder)
        self.path = journal
        self._clock = clock
        self._idle = Idle()
        self._offset: int | None = None
        self._inode: int | None = None
        self._seen_ms = 0
        self._moved_ms = int(clock() * 1000)
        self._task: asyncio.Task[None] | None = None

    def on(
        self, handler: Handler, offset: int | None = None, follow: bool = True
    ) -> Callable[[], None]:
        """As in CopilotSession; what is appended from the first call on is an event, or what
        lies behind byte ``offset``, where a line begins. Unless ``follow``, somebody calls
        ``step`` or ``poll``."""
        if self._offset is None:
            size, self._inode = _stat(self.path)
            self._offset = _whole_lines(self.path, size) if offset is None else offset
            self._seen_ms = int(self._clock() * 1000)
        unsubscribe = super().on(handler)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return unsubscribe
        if follow and (self._task is None or self._task.done()):
            self._task = loop.create_task(self._follow())
        return unsubscribe

    @property
    def offset(self) -> int:
        """Up to where its lines are dispatched."""
        return self._offset or 0

    async def send(self, options: Mapping[str, Any]) -> str:
        """Raises ReadOnlySession."""
        raise _read_only()

    async def send_and_wait(
        self, options: Mapping[str, Any], timeout: float | None = None
    ) -> SessionEvent | None:
        """Raises ReadOnlySession."""
        raise _read_only()

    async def abort(self) -> None:
        """Raises ReadOnlySession."""
        raise _read_only()

    async def get_messages(self) -> list[SessionEvent]:
        """The events of the journal in order; lines that are none are left out."""
        events, _ = await asyncio.to_thread(_events, self.path, 0)
        return events

    async def destroy(self) -> None:
        """Stops following and forgets handlers and tools; the log is not touched."""
        self._handlers.clear()
        self._tools.clear()
        self._permission = None
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def poll(self) -> None:
        """Dispatches what was appended since the last time, and an idle that is due."""
        self._deliver(self._appended())

    async def _follow(self) -> None:
        while self._handlers:
            await asyncio.sleep(await self.step())

    async def step(self) -> float:
        """As ``poll``, without reading in the loop; returns the seconds until the next."""
        still = _stat(self.path) == (self._offset, self._inode)
        self._deliver([] if still else await asyncio.to_thread(self._appended))
        quiet_ms = int(self._clock() * 1000) - self._moved_ms
        return next((pause for until_ms, pause in _PAUSES if quiet_ms < until_ms), _SLOWEST)

    def _deliver(self, events: list[SessionEvent]) -> None:
        now_ms = int(self._clock() * 1000)
        if events:
            self._moved_ms = now_ms
        for event in events:
            self.dispatch(event)
            reason = self._idle.see(event, now_ms)
            if reason:
                self.dispatch(_inferred_idle(reason, now_ms))
        reason = self._idle.due(now_ms)
        if reason:
            self.dispatch(_inferred_idle(reason, now_ms))

    def _appended(self) -> list[SessionEvent]:
        size, inode = _stat(self.path)
        offset, after_ms = self._offset or 0, 0
        if size < offset or (self._inode is not None and inode != self._inode):
            offset, after_ms = 0, self._seen_ms  # rewound: the rest of it is known
        self._inode = inode
        if size <= offset:
            self._offset = offset
            return []
        events, self._offset = _events(self.path, offset)
        if after_ms:
            events = [event for event in events if (event.at_ms or 0) > after_ms]
        self._seen_ms = max([self._seen_ms, *(event.at_ms or 0 for event in events)])
        return events


class _ReadOnly:
    async def request(self, method: str, params: dict[str, Any]) -> Any:
        raise _read_only()


def _read_only() -> ReadOnlySession:
    return ReadOnlySession("this session is known by its log alone; connect to its CLI to send")


def _stat(path: str) -> tuple[int, int | None]:
    """(size, inode); (0, None) when there is no file."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, None
    return found.st_size, found.st_ino


def _whole_lines(path: str, size: int) -> int:
    """Where the last line begins that is still being written; ``size`` if none is."""
    end = size
    try:
        with open(path, "rb") as file:
            while end > 0:
                begin = max(0, end - _BLOCK)
                file.seek(begin)
                newline = file.read(end - begin).rfind(b"\n")
                if newline >= 0:
                    return begin + newline + 1
                end = begin
    except OSError:
        return size
    return 0


def _events(path: str, offset: int) -> tuple[list[SessionEvent], int]:
    """The events of the whole lines from ``offset`` on, and where to go on."""
    found = []
    scan = Scan(path, (), offset)
    try:
        for line in scan:
            value, _ = parse(line.data)
            if not line.whole or not value:
                continue
            try:
                found.append(read(value))
            except BadEvent:
                continue
    except OSError:  # gone or not there yet
        return found, offset
    return found, scan.offset


def _inferred_idle(reason: str, now_ms: int) -> SessionEvent:
    return SessionEvent("session.idle", {"inferred": reason}, None, now_ms, None, None, True, {})
