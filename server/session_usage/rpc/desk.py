"""What every handler works with: places, settings, prices, threads that read the ledger."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from session_usage.errors import SessionNotFound, SessionUsageError
from session_usage.ledger.wishes import Wishes
from session_usage.places import Places, here, system_zone
from session_usage.protocol import InitializationOptions, Settings
from session_usage.rpc.registry import FIRST_ANSWER

if TYPE_CHECKING:
    from session_usage.ledger.cards import Cards
    from session_usage.ledger.query import Reader, Ref
    from session_usage.live.clock import Journals
    from session_usage.pricing import Prices
    from session_usage.report import Zone

_T = TypeVar("_T")
THREADS = 3
_TRIES = 3
"""So often is asked, when the ledger turns out to be damaged and is made anew."""


class Prepared:
    """A result that is JSON already: it is sent as it is."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class Start(NamedTuple):
    """How the server was started."""

    home: str | None = None
    user_data_dirs: tuple[str, ...] = ()
    agent_log_dirs: tuple[str, ...] = ()
    prices: str | None = None
    zone: str | None = None


class Call:
    """One request at work: its progress, and whether somebody still wants the answer."""

    def __init__(self, progress: Callable[[int, int], None] = lambda done, of: None) -> None:
        self.progress = progress
        self._stopped = threading.Event()
        self.reader: Reader | None = None

    def stopped(self) -> bool:
        """Was the request cancelled?"""
        return self._stopped.is_set()

    def check(self) -> None:
        """Raises CancelledError once the request was cancelled."""
        if self.stopped():
            raise asyncio.CancelledError

    def stop(self) -> None:
        """Ends the work as soon as can be."""
        self._stopped.set()
        reader = self.reader
        if reader is not None:
            with contextlib.suppress(Exception):  # it may be closed by now
                reader.connection.interrupt()


class Desk:
    """The state of one server."""

    def __init__(self, start: Start) -> None:
        self.start = start
        self.options = InitializationOptions()
        self.client_settings: Any = None
        self.settings, self.problems = Settings(), list[str]()
        self.places = self._places()
        self.path = ""
        self.ready = asyncio.Event()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="ledger")
        self._local = threading.local()
        self._cards: tuple[tuple[str, Any], Cards] | None = None
        self.mend: Callable[[], None] = lambda: None
        """Asks for a look at the ledger, which may be damaged."""

    def _places(self) -> Places:
        start, options, settings = self.start, self.options, self.settings
        return here(
            start.home,
            (
                *start.user_data_dirs,
                *(options.user_data_dirs or ()),
                *(settings.user_data_dirs or ()),
            ),
            (*start.agent_log_dirs, *(settings.agent_log_dirs or ())),
        )

    def configure(self, options: InitializationOptions | None, client_settings: Any) -> None:
        """Takes what the editor says of itself and its settings."""
        if options is not None:
            self.options = options
        from session_usage.rpc import settings

        self.client_settings = client_settings
        self.settings, self.problems = settings.merged(self.places, client_settings)
        self.places = self._places()

    def open(self) -> str | None:
        """Makes the ledger if there is none; returns a problem in one line, if there is one."""
        import sqlite3
        import tempfile

        from session_usage.ledger import store
        from session_usage.ledger.address import path_of

        self.path = path_of(self.places)
        try:
            opened = store.writer(self.path)
        except (OSError, sqlite3.Error, store.Newer) as error:
            before = self.path
            self.path = os.path.join(tempfile.mkdtemp(prefix="session-usage-"), "ledger.db")
            opened = store.writer(self.path)
            opened.connection.close()
            return f"{before} cannot be used ({error}); history is not kept this time"
        opened.connection.close()
        return opened.problem

    @property
    def wishes(self) -> Wishes:
        """What the settings say about what is kept."""
        settings = self.settings
        return Wishes(
            tuple(settings.exclude_projects or ()),
            settings.retention_days or 0,
            self.places.user_data_dirs,
            self.places.agent_log_dirs,
            self.user_file,
        )

    @property
    def user_file(self) -> str | None:
        """The user's price file."""
        return self.start.prices or self.settings.prices_file or None

    @property
    def live_target(self) -> str | None:
        """The Copilot CLI to connect to, as ``settings.live_target`` has it."""
        if self.settings.live_connect is None:
            return None
        from session_usage.rpc.settings import live_target

        return live_target(self.settings.live_connect)

    @functools.cached_property
    def journals(self) -> Journals:
        """What the journals of Copilot CLI say of prompt caches."""
        from session_usage.live.clock import Journals

        return Journals()

    def prices(self) -> Prices:
        """The prices in use."""
        from session_usage.ledger.prices import load_prices

        return load_prices(self.places, self.user_file)[0]

    @property
    def zone_name(self) -> str:
        """IANA name of the zone of the user's days."""
        return self.start.zone or self.settings.zone or system_zone()

    def zone(self) -> Zone:
        """The zone of the user's days."""
        from session_usage.report import Zone

        return Zone(self.start.zone or self.settings.zone or None)

    def agents(self, name: str | None) -> tuple[str, ...]:
        """The agents a request is about: those it names, of those that are switched on.

        Empty means all. Raises UnknownAgent.
        """
        from session_usage.providers import agents

        chosen = tuple(self.settings.agents or ())
        if name is None or name == "all":
            return chosen
        return tuple(each.agent for each in agents(name))

    def window(
        self, since: str | None, until: str | None, window: str | None
    ) -> tuple[int | None, int | None]:
        """Bounds of a window in epoch milliseconds; raises BadWindow or UsageError."""
        from session_usage import windows
        from session_usage.errors import UsageError

        now_ms = int(time.time() * 1000)
        if window:
            if since or until:
                raise UsageError("window does not go with since or until")
            return windows.parse(window, now_ms, self.zone_name)
        return (
            windows.bound(since, now_ms, self.zone_name) if since else None,
            windows.bound(until, now_ms, self.zone_name, end=True) if until else None,
        )

    async def settled(self, seconds: float) -> None:
        """Waits until what was in the logs at the start is read, but not longer than this."""
        if not self.ready.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.ready.wait(), seconds)

    async def ask(self, call: Call, work: Callable[[Reader], _T]) -> _T:
        """Runs ``work`` with a reader in a thread of its own; cancelling stops it.

        A ledger that turns out to be damaged is made anew, and asked again.
        """
        from session_usage.ledger import store

        for _ in range(_TRIES):
            try:
                return await self._ask(call, work)
            except store.Damaged:
                self.ready.clear()
                self.mend()
                await self.settled(FIRST_ANSWER)
        from session_usage.rpc.server import LedgerBusy

        raise LedgerBusy(f"{self.path} is damaged and is made anew; try again later")

    async def _ask(self, call: Call, work: Callable[[Reader], _T]) -> _T:
        """Raises store.Damaged."""
        from session_usage.ledger import store

        def run() -> _T:
            reader = None
            try:
                reader = call.reader = self._reader()
                call.check()
                return work(reader)
            except SessionUsageError:
                raise
            except Exception as error:
                # a file that is not there is being made anew
                missing = reader is None and isinstance(error, FileNotFoundError)
                connection = None if reader is None else reader.connection
                if not missing and not store.is_damage(error, connection):
                    raise
                raise store.Damaged(str(error)) from error
            finally:
                call.reader = None

        future = asyncio.get_running_loop().run_in_executor(self._pool, run)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            call.stop()
            future.add_done_callback(_forget)
            raise

    def _reader(self) -> Reader:
        """This thread's, of the file that is the ledger now."""
        from session_usage.ledger import store
        from session_usage.ledger.query import Reader

        reader: Reader | None = getattr(self._local, "reader", None)
        of = self.path, store.file_of(self.path)
        if reader is None or self._local.of != of:
            replaced = reader is not None
            if reader is not None:
                reader.close()
                self._local.reader = None
            self._local.reader = reader = Reader(self.path, self._kept(of))
            self._local.of = of
            if replaced and not store.get(reader.connection, "complete"):
                raise store.Damaged("it is being made anew")
        return reader

    def _kept(self, of: tuple[str, Any]) -> Cards:
        """The rows that were finished of this file."""
        from session_usage.ledger.cards import Cards

        if self._cards is None or self._cards[0] != of:
            self._cards = of, Cards()
        return self._cards[1]

    def let_go(self) -> None:
        """Nobody has asked for much for a while."""
        if self._cards is not None:
            self._cards[1].forget()

    async def work(self, work: Callable[[], _T]) -> _T:
        """Runs ``work`` in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def find(self, reader: Reader, name: str, agent: str | None = None) -> Ref:
        """A session by id or path, with a path made absolute. Raises SessionNotFound."""
        wanted = self.agents(agent)
        path = local_path(name)
        try:
            return reader.find(path, wanted)
        except SessionNotFound:
            if os.sep in path or "/" in path:
                return reader.find(os.path.realpath(path), wanted)
            raise

    def folders(self, params: Any) -> tuple[tuple[str, ...], str | None]:
        """(folders, storage) of the window a request is about; those of ``initialize`` when
        the request names none."""
        for source in (params, self.options):
            folders = [*([source.workspace] if source.workspace else []), *(source.folders or ())]
            storage = source.storage
            if folders or storage:
                return tuple(local_path(folder) for folder in folders), beside(storage)
        return (), None

    def close(self) -> None:
        """Lets the threads end; none is waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _forget(future: asyncio.Future[Any]) -> None:
    """Nobody wants the result of a cancelled request, nor its error."""
    if not future.cancelled():
        future.exception()


def local_path(text: str) -> str:
    """A ``file:`` URI as a path; anything else is taken as it is."""
    if not text.startswith("file:"):
        return text
    from session_usage.providers.copilot_vscode.catalogue import local_path as path_of_uri

    return path_of_uri(text)


def beside(storage: str | None) -> str | None:
    """The folder of a VS Code window's workspace, from the storage folder of an extension in it:
    all of Copilot's files of that window lie below."""
    if not storage:
        return None
    path = local_path(storage).rstrip("/\\")
    return os.path.dirname(path) if os.path.basename(os.path.dirname(path)) else path
