"""The process that keeps the ledger: it holds the lock, scans, adds up, and takes care."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from session_usage import __version__
from session_usage.ledger import care, codec, store
from session_usage.ledger.scan import Scanner
from session_usage.ledger.sums import Sums
from session_usage.ledger.wishes import Wishes, retained_from, widened, wished
from session_usage.places import Places
from session_usage.pricing import Prices

Stop = Callable[[], bool]
Tell = Callable[[int, int], None]


class Keeper:
    """Keeps the ledger at ``path`` up to date. ``load_prices`` gives the prices and a stamp
    that changes with them, for a user's price file or None. Without ``anew`` a damaged
    ledger is an error, as in ``store.writer``."""

    def __init__(
        self,
        path: str,
        places: Places,
        load_prices: Callable[[str | None], tuple[Prices, str]],
        anew: bool = True,
    ) -> None:
        self.path = path
        self.lock = store.Lock(path)
        opened = store.writer(path, anew)
        self.connection = opened.connection
        self.problem = opened.problem
        self._places = places
        self._load_prices = load_prices
        self._wishes: Wishes | None = None
        self.scanner = Scanner(self.connection, places)
        self.sums: Sums | None = None
        self.cost = 0.0
        """Seconds of processor time that looking at everything took the last time."""

    def close(self) -> None:
        """Lets go of the file and the lock."""
        self.connection.close()
        self.lock.release()

    def prices(self) -> Prices:
        """The prices that the sums are made with."""
        return self._load_prices(wished(self.connection).prices)[0]

    def behind(self) -> bool:
        """Do the logs hold what the ledger does not? Needs no lock."""
        self._widen(wished(self.connection))
        return self.scanner.behind()

    def prepare(self) -> Sums:
        """Follows changed settings, prices and versions; needs the lock."""
        wishes = wished(self.connection)
        prices, stamp = self._load_prices(wishes.prices)
        if self.sums is not None and wishes == self._wishes and self.sums.prices is prices:
            return self.sums
        excluded_before = store.get(self.connection, "excluded")
        excluded = codec.dumps(list(wishes.excluded))
        if excluded != excluded_before:
            care.include_again(self.connection, wishes.excluded)
        of = {"excluded": excluded, "prices": stamp, "program": __version__}
        before = {name: store.get(self.connection, name) for name in of}
        if before != of:
            with store.transaction(self.connection):
                for name, value in of.items():
                    store.put(self.connection, name, value)
                if before["prices"] != stamp:
                    self.connection.execute("INSERT OR IGNORE INTO dirty SELECT id FROM sessions")
                if before["program"] != __version__:
                    # another version may read more out of the same logs
                    self.connection.execute("UPDATE files SET size = -1")
        self._widen(wishes)
        self._wishes = wishes
        if self.sums is not None or before != of:
            self.scanner.refresh()
        self.sums = Sums(self.connection, prices, wishes.excluded)
        return self.sums

    def _widen(self, wishes: Wishes) -> None:
        """Looks where any process that keeps this ledger was told to look."""
        self.scanner.places = widened(self._places, wishes)

    def sweep(self, stop: Stop = lambda: False, tell: Tell = lambda done, of: None) -> int:
        """Reads everything that changed and renews the sums; returns how many sessions changed.

        The newest sessions are done first, and each is visible as soon as it is done.
        """
        sums = self.prepare()
        self._retain()
        begun = time.process_time()
        groups = self.scanner.changed()
        self.cost = time.process_time() - begun
        done = 0
        tell(0, len(groups))
        for at, group in enumerate(groups, 1):
            if stop():
                return done
            touched = self.scanner.ingest(group, stop)
            if group[0].owner is not None:
                done += sums.settle(touched, stop)
            tell(at, len(groups))
        done += sums.settle(stop=stop)
        self.scanner.remember()
        if not store.get(self.connection, "complete"):
            with store.transaction(self.connection):
                store.put(self.connection, "complete", 1)
            store.compact(self.connection)
        return done

    def look(self, paths: Iterable[str], stop: Stop = lambda: False) -> int:
        """The same for the known logs at ``paths`` alone."""
        sums = self.prepare()
        done = 0
        for group in self.scanner.touched(paths):
            done += len(self.scanner.ingest(group, stop))
        return sums.settle(stop=stop) if done or self._any_dirty() else 0

    def _any_dirty(self) -> bool:
        row = self.connection.execute("SELECT EXISTS(SELECT 1 FROM dirty)").fetchone()
        return bool(row[0])

    def reindex(self, stop: Stop = lambda: False, tell: Tell = lambda done, of: None) -> int:
        """Reads every log anew; what deleted ones said stays."""
        with store.transaction(self.connection):
            self.connection.execute("UPDATE files SET size = -1")
            self.connection.execute("INSERT OR IGNORE INTO dirty SELECT id FROM sessions")
        self.scanner.refresh()
        return self.sweep(stop, tell)

    def _retain(self) -> None:
        before = retained_from(self._wishes or Wishes())
        if before > int(store.get(self.connection, "forget_before", 0)):
            care.forget_before(self.connection, before)
