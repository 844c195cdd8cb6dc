"""Where new logs would appear: folders that were listed, and whether one changed since."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable

from session_usage.ledger import listing
from session_usage.places import Places

_SETTLED_NS = 2_000_000_000
"""A folder that changed less than this time ago may change again without showing it."""
_LIST_SECONDS = 600.0
"""Folders are listed so often even if their times say that nothing changed."""


class Folders:
    """Folders in which new logs would appear, and whether anything did since they were listed."""

    def __init__(self) -> None:
        self._times: dict[str, int] | None = None
        self._until = 0.0
        self._begun_ns = 0
        self._first = True
        self.seen: listing.Seen | None = None
        """What somebody else saw of folders and files a moment ago."""
        self.unread: set[tuple[str, str, str]] = set()
        """What was found in the folders and is not in the ledger yet."""

    def note(
        self,
        looked: Iterable[str],
        logs: Iterable[str],
        begun_ns: int,
        unread: set[tuple[str, str, str]],
    ) -> None:
        """These folders were listed from ``begun_ns`` on; ``logs`` has one of each kind found.
        Nothing is noted when a log is a folder of many files: one of them may grow unseen."""
        self._times, self._begun_ns, self.unread = None, begun_ns, unread
        if any(map(os.path.isdir, logs)):
            return
        self._until = time.monotonic() + _LIST_SECONDS
        soon = begun_ns - _SETTLED_NS
        times = {_there(folder): 0 for folder in looked}
        for folder in times:
            times[folder] = _time(folder)
            if times[folder] > soon:  # something may come within the same tick of its clock
                times[folder] = -1
        self._times = times

    def remember(self, connection: sqlite3.Connection, places: Places) -> None:
        """Notes for other processes what was listed, once all of it is in the ledger."""
        times, begun_ns = self._times, self._begun_ns
        if not (begun_ns and times) or self.unread:
            return
        if listing.settled(times.values(), begun_ns) and listing.note(
            connection, places, times, begun_ns
        ):
            self._begun_ns = 0

    def recalled(self, connection: sqlite3.Connection, places: Places) -> listing.Seen | None:
        """What grew since another process listed the folders; None if they must be listed. To be
        asked once, at the beginning."""
        seen = self.seen
        if seen is None and self._first:
            seen = listing.look(connection, places)
        self._first, self.seen = False, None
        if seen is not None:
            self._times, self._until = seen.folders, time.monotonic() + _LIST_SECONDS
        return seen

    def forget(self) -> None:
        """The next sweep lists them again."""
        self._times, self._first, self.seen = None, False, None

    def unchanged(self) -> bool:
        """Is all as it was? False before the first listing, and once in a while."""
        if self._times is None or time.monotonic() > self._until:
            return False
        now_ns = time.time_ns()
        if self.changed():
            return False
        if self._begun_ns:  # not remembered yet: what was listed then is what would be listed now
            self._begun_ns = now_ns
        return True

    def changed(self) -> bool:
        """Did one of the folders that were noted change since?"""
        times = self._times or {}
        return any(_time(folder) != before for folder, before in times.items())


def _there(path: str) -> str:
    """``path``, or what there is above it where its first folder would appear."""
    while not os.path.lexists(path):
        above = os.path.dirname(path)
        if above == path:
            break
        path = above
    return path


def _time(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return 0
