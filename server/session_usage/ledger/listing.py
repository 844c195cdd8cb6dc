"""What the folders of all logs looked like when the ledger had everything in them.

Who has listed all folders and read what was new notes it here. Who starts later and finds the
folders and the files as they are noted need not list anything: a folder's time of change is
set by the system whenever an entry comes, goes or is renamed, and nobody can set it back. That
a file grew does not show in its folder, so every file that may grow is looked at all the same.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable
from typing import NamedTuple

from session_usage.events import Source
from session_usage.ledger import store
from session_usage.places import Places

_SETTLED_NS = 10_000_000_000
"""A folder that changed so shortly before it was listed may have changed again unseen: within
the same tick of its clock, or by the clock of the machine that serves it."""
_TRUSTED_SECONDS = 86_400
"""Folders are listed so often even if their times say that nothing changed."""
_NAME = "listing"
Mark = tuple[int, int, int, int]
_UNSTAMPED = "0", "0"
"""Size and time of a file that is never written again: its provider does not look at them."""
_PATH = getattr(os, "O_PATH", os.O_RDONLY)
_VARIABLES = ("CODEX_SQLITE_HOME", "WSL_DISTRO_NAME")
"""What of the environment decides where to look, and not which ledger it is."""


class Files(NamedTuple):
    """Files of sessions, of one folder and the folders in it, as the ledger has them."""

    folder: str
    names: list[str]
    stamps: list[tuple[str, str]]
    """(size, time) of each."""


class Seen(NamedTuple):
    """What a look at folders and files has shown: no folder has anything new."""

    folders: dict[str, int]
    """When each of those that would show it changed last, in ns."""
    grown: list[str]
    """Files that are not as the ledger has them."""


def note(
    connection: sqlite3.Connection, places: Places, looked: Iterable[str], begun_ns: int
) -> bool:
    """All logs in the folders ``looked``, listed from ``begun_ns`` on, are in the ledger.

    False where a folder changed a moment before: later it may be noted that nothing did since.
    """
    files = _files(connection)
    if files is None:
        return True
    from session_usage.ledger import codec

    beside = set(looked).symmetric_difference(_folders(files))
    try:
        marks = _marks(files, beside)
    except OSError:  # one is gone: it will be listed again
        return True
    if not settled((max(mark[:2]) for mark in marks.values()), begun_ns):
        return False
    told = [_scope(places), begun_ns // 1_000_000_000, sorted(beside), _digest(connection, marks)]
    with store.transaction(connection):
        store.put(connection, _NAME, codec.dumps(told))
    return True


def settled(times: Iterable[int], begun_ns: int) -> bool:
    """Did folders with these times change long enough before ``begun_ns``? -1: just now."""
    known = sorted(times)
    return not known or (known[0] >= 0 and known[-1] <= begun_ns - _SETTLED_NS)


def look(connection: sqlite3.Connection, places: Places) -> Seen | None:
    """What differs from the ledger, if that can be told without listing folders; else None."""
    data = store.get(connection, _NAME)
    if data is None:
        return None
    scope, at, beside, digest = json.loads(data)
    if scope != _scope(places) or not 0 <= time.time() - at < _TRUSTED_SECONDS:
        return None
    files = _files(connection)
    try:
        if files is None or _digest(connection, marks := _marks(files, set(beside))) != digest:
            return None
        grown = [path for each in files for path in _grown(each)]
        grown += _shared_grown(connection)
    except OSError:  # something is gone
        return None
    return Seen({folder: mark[0] for folder, mark in marks.items()}, grown)


def _scope(places: Places) -> list[object]:
    """What decides where logs are looked for."""
    from session_usage.providers import names

    return [
        names(), places.home, list(map(list, places.roots)), list(places.user_data_dirs),
        list(places.agent_log_dirs), [places.env.get(name) for name in _VARIABLES],
    ]  # fmt: skip


def _files(connection: sqlite3.Connection) -> list[Files] | None:
    """The files that were there; None where folders must always be listed: on Windows their
    times tell less, and listing them tells the sizes of files; a name of bytes is rare."""
    rows = connection.execute("SELECT EXISTS(SELECT 1 FROM files WHERE typeof(name) = 'blob')")
    if os.name == "nt" or rows.fetchone()[0]:
        return None
    paths: dict[int | None, str] = {None: ""}
    paths.update(connection.execute("SELECT id, path FROM folders").fetchall())
    return [  # a row for a folder: to fetch one for each file takes longer than to look at it
        Files(
            paths[folder], names.split("\0"),
            list(zip(sizes.split(","), times.split(","), strict=True)),
        )
        for folder, names, sizes, times in connection.execute(
            "SELECT folder, group_concat(name, char(0)), group_concat(size),"
            " group_concat(mtime_ns) FROM files NOT INDEXED"
            " WHERE gone = 0 AND owner IS NOT NULL GROUP BY folder"
        )
    ]  # fmt: skip


def _below(files: Files) -> list[str]:
    """The folders in which the files lie, each once, as their names begin."""
    return list(dict.fromkeys([name.rpartition("/")[0] for name in files.names]))


def _folders(files: Iterable[Files]) -> set[str]:
    return {
        each.folder + name if name else each.folder[:-1] for each in files for name in _below(each)
    }


def _marks(files: Iterable[Files], beside: set[str]) -> dict[str, Mark]:
    """What shows that nothing came to a folder nor went: of those in which files lie, and those
    of ``beside``. Not of a folder that is both: there are logs in it, but nobody lists it."""
    marks: dict[str, Mark] = {}
    more = set(beside)
    for each in files:
        paths = {each.folder + name if name else each.folder[:-1]: name for name in _below(each)}
        looked = {path: name or "." for path, name in paths.items() if path not in beside}
        marks.update(zip(looked, map(_mark, _stats(each.folder, looked.values())), strict=True))
        more.difference_update(paths)
    marks.update((path, _mark(os.stat(path))) for path in sorted(more))
    return marks


def _mark(found: os.stat_result) -> Mark:
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev


def _digest(connection: sqlite3.Connection, marks: dict[str, Mark]) -> int:
    """A number for all of it, and for which files the ledger has: none may have been taken out.
    The hash of integers is the same in every process."""
    which = connection.execute("SELECT COUNT(*), SUM(id) FROM files WHERE gone = 0").fetchone()
    return hash((*marks.values(), tuple(which)))


def _stats(folder: str, names: Iterable[str]) -> list[os.stat_result]:
    """Of files in or below a folder: from there the system finds them sooner."""
    at = os.open(folder or "/", _PATH)
    try:
        return [os.stat(name, dir_fd=at) for name in names]
    finally:
        os.close(at)


def _grown(files: Files) -> list[str]:
    """Those that are not as the ledger has them."""
    known = dict(zip(files.names, files.stamps, strict=True))
    wanted = {name: stamp for name, stamp in known.items() if stamp != _UNSTAMPED}
    stats = _stats(files.folder, wanted)
    found = [(str(stat.st_size), str(stat.st_mtime_ns)) for stat in stats]
    # a file may be one of many sessions, and some of them behind
    told = [known[name] for name in files.names]
    if found == list(wanted.values()) and told == files.stamps:
        return []
    now = dict(zip(wanted, found, strict=True))
    pairs = zip(files.names, files.stamps, strict=True)
    grown = [name for name, stamp in pairs if now.get(name, _UNSTAMPED) != stamp]
    return [files.folder + name for name in dict.fromkeys(grown)]


def _shared_grown(connection: sqlite3.Connection) -> list[str]:
    """The same of databases of many sessions."""
    from session_usage.ledger.identity import with_log

    grown = []
    for agent, kind, place, size, mtime_ns in connection.execute(
        "SELECT agent, kind, path, size, mtime_ns FROM sources WHERE owner IS NULL AND +gone = 0"
    ).fetchall():
        path = store.restored(place)
        found = os.stat(path)
        source = with_log(Source(agent, kind, path, None, found.st_size, found.st_mtime_ns))
        if (source.size, source.mtime_ns) != (size, mtime_ns):
            grown.append(path)
    return grown
