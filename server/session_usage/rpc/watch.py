"""The child process: watches the logs and keeps the ledger, so that the server never waits.

It talks JSON lines with the server: settings and wishes come in, what changed goes out. When
its input ends (the server is gone, however) it ends at once. Several servers may run; the one
whose child holds the lock scans, the others' children only notice what it wrote and take over
when the lock is free.

Changes are found by events of the operating system where ``watchfiles`` is installed, else by
looking at the newest logs and their folders many times a second; and by a slow sweep over
everything that finds what both miss.
"""

from __future__ import annotations

import gc
import os
import queue
import sys
import threading
import time
from contextlib import closing
from typing import Any

from session_usage.ledger import codec, store
from session_usage.ledger.keeper import Keeper
from session_usage.ledger.prices import load_prices
from session_usage.ledger.wishes import Wishes, wish
from session_usage.places import Places, entries
from session_usage.rpc.events import Events, available, roots

_NEWEST, _HOT, _WARM = 6, 24, 1_000
"""How many of the newest logs are looked at all the time; how many now and then."""
_FOLDERS = 32
_WINDOWS = 6
"""So many of the latest windows of each VS Code are where sessions are born."""
_PAUSES = ((10.0, 0.04), (60.0, 0.1), (1800.0, 0.25))
"""(seconds since something happened, seconds between two looks)."""
_OTHERS, _QUIET_OTHERS = 0.2, 0.7
"""Seconds between two looks at anything but the few newest logs, and at what other processes
write to the ledger; after a quiet minute."""
_SLOWEST = 0.5
_SHARE = 2_000
"""A sweep, or a look around, may take this part of the time until the next."""
_SWEEP_LEAST, _SWEEP_MOST = 2.0, 120.0
_STIR_SHARE = 50
"""The same where something is new in a folder: it may be one in which much comes and goes."""
_AROUND_LEAST = 2.0
_TELL_SECONDS = 0.1
_TICK_NS = 1_000_000_000


class Watcher:
    """The loop of the child process."""

    def __init__(self, path: str, places: Places, lines: queue.Queue[dict[str, Any]]) -> None:
        self.lines = lines
        self.places = places
        self.keeper = Keeper(path, places, lambda user_file: load_prices(places, user_file))
        self.file = store.file_of(path)
        self.told = 0
        self.told_at = 0.0
        self.writing = False
        self.stopped = self.idle = False
        self.next_sweep = self.next_others = self.next_around = 0.0
        self.swept = self.dear = 0.0
        self.last_change = time.monotonic()
        self.seen: dict[str, tuple[int, int]] = {}
        self.warm: dict[str, tuple[int, int]] = {}
        self.known: tuple[tuple[int, int], list[str], list[str]] = (-1, -1), [], []
        self.version = -1
        self.troubles: set[str] = set()
        self.events: Events | None = None
        self.pausing = False

    def run(self) -> None:
        """Until another file is the ledger."""
        if self.keeper.problem:
            self.tell(problem=ledger_problem(self.keeper.path, self.keeper.problem))
        while store.file_of(self.keeper.path) == self.file:
            now = time.monotonic()
            if not self.writing and now >= self.next_sweep:
                self.take_over()
            if self.writing and now >= self.next_sweep:
                self.sweep()
                self.notice()
            elif not self.writing or self.look():
                self.notice()
            self.obey(self.pause())

    def give_up(self, error: Exception) -> bool:
        """Sets the ledger aside, if it is damaged; the next child makes it anew."""
        keeper = self.keeper
        if not store.is_damage(error, keeper.connection):
            return False
        keeper.connection.close()
        if store.file_of(keeper.path) == self.file:  # else somebody else did
            text = store.set_aside(keeper.path, error)
            self.tell(problem=ledger_problem(keeper.path, text))
        return True

    def check(self) -> None:
        """Raises store.Damaged or sqlite3.Error if the ledger is damaged. By a connection of its
        own: the keeper's has pages in memory."""
        with closing(store.reader(self.keeper.path)) as connection:
            store.check(connection)
        self.idle = False  # to be told again, once it is so
        self.next_sweep = 0.0

    def take_over(self) -> None:
        """Becomes the one that scans, if nobody else is."""
        self.writing = self.keeper.lock.take()
        self.idle = False
        complete = bool(store.get(self.keeper.connection, "complete"))
        self.tell(writer=self.writing, complete=complete)
        if not self.writing:
            self.next_sweep = time.monotonic() + _SWEEP_LEAST

    def sweep(self) -> None:
        """Looks at everything."""
        self.stopped = False
        begun_ns = time.time_ns()
        self.keeper.sweep(self.interrupted, self.progress)
        if self.stopped:
            return
        self.notice()
        if not self.idle:
            self.idle = True
            self.tell(idle=True)
        self.report_trouble()
        self.swept = time.monotonic()
        self.dear = max(self.keeper.cost, self.dear * 0.9)
        rest = min(max(_SWEEP_LEAST, self.keeper.cost * _SHARE), _SWEEP_MOST)
        self.next_sweep = time.monotonic() + rest
        self.choose(begun_ns)

    def interrupted(self) -> bool:
        """Has the server something to say? Long sweeps stop for that and go on after it."""
        self.stopped = not self.lines.empty()
        return self.stopped

    def progress(self, done: int, of: int) -> None:
        """Tells how far a sweep is, and lets the server see what is done."""
        now = time.monotonic()
        if of and (now - self.told_at > _TELL_SECONDS or done == of):
            self.told_at = now
            self.notice()
            if of > 3:
                self.idle = False
                self.tell(progress=[done, of])

    def choose(self, begun_ns: int) -> None:
        """Which files and folders to look at all the time: those of the newest sessions. What
        changed since the sweep that began at ``begun_ns`` is not overlooked."""
        newest, beside = self.newest()
        paths = newest[:_HOT]
        wanted = [*paths, *beside, *birthplaces(self.places)]
        self.listen()
        before = self.seen | self.warm
        self.seen = {path: before.get(path) or look_at(path) for path in wanted}
        self.warm = {path: before.get(path) or look_at(path) for path in newest[_HOT:]}
        fresh = (self.seen.keys() | self.warm.keys()) - before.keys()
        self.keeper.look({path.removesuffix("-wal") for path in fresh}, self.interrupted)
        new = fresh.intersection(self.seen).difference(paths)
        if any(self.seen[path][1] >= begun_ns - _TICK_NS for path in new):
            self.next_sweep = min(self.next_sweep, time.monotonic() + _SWEEP_LEAST)

    def newest(self) -> tuple[list[str], list[str]]:
        """(the newest logs, what beside them changes when there is more), as the ledger knows
        them: it is asked only after it changed."""
        connection = self.keeper.connection
        state = connection.execute("PRAGMA data_version").fetchone()[0], connection.total_changes
        if self.known[0] == state:
            return self.known[1:]

        def paths(rows: str) -> list[str]:
            found = connection.execute(
                f"SELECT path FROM sources WHERE id IN ({rows}) ORDER BY mtime_ns DESC"
            )
            return [store.restored(path) for (path,) in found]

        rows = "SELECT id FROM files WHERE gone = 0"
        newest = paths(f"{rows} ORDER BY mtime_ns DESC LIMIT {_WARM}")
        databases = paths(f"{rows} AND owner IS NULL ORDER BY mtime_ns DESC LIMIT {_HOT // 4}")
        last = paths(  # of each agent, where the last log appeared
            "SELECT id FROM (SELECT id, MAX(mtime_ns) FROM files"
            " WHERE gone = 0 AND owner IS NOT NULL GROUP BY origin)"
        )
        folders = dict.fromkeys(folder for path in newest[:_HOT] for folder in above(path))
        birthplace = dict.fromkeys(folder for path in last for folder in above(path))
        beside = [f"{path}-wal" for path in databases]
        self.known = state, newest, [*beside, *list(folders)[:_FOLDERS], *birthplace]
        return self.known[1:]

    def listen(self) -> None:
        """Asks the operating system to tell of changes, where it can be asked."""
        if self.events is not None and self.events.broken:
            self.events = None
            return
        if not available():
            return
        paths = self.keeper.connection.execute("SELECT path FROM sources WHERE gone = 0")
        folders = roots(store.restored(path) for (path,) in paths)
        if folders and (self.events is None or self.events.folders != folders):
            if self.events is not None:
                self.events.close()
            self.events = Events(folders, self.wake)

    def wake(self) -> None:
        """Ends the pause, if there is one; called by the thread of the events."""
        if self.pausing:
            self.lines.put({})

    def look(self) -> bool:
        """Looks at the newest logs; a changed folder means that something new is in it. False
        when nothing was done."""
        changed = set(self.keeper.scanner.waiting)
        if self.events is not None:
            changed |= {path.removesuffix("-wal") for path in self.events.take()}
        looked = list(self.seen.items())
        now = time.monotonic()
        brief = now < self.next_others
        if brief:
            looked = looked[:_NEWEST]
        else:
            quiet = now - self.last_change > _PAUSES[1][0]
            self.next_others = now + (_QUIET_OTHERS if quiet else _OTHERS)
        for path, before in looked:
            found = look_at(path)
            if found != before:
                self.seen[path] = found
                changed.add(path.removesuffix("-wal"))
        changed |= self.look_around()
        if changed:  # what changed last is looked at most often
            first = {path: self.seen[path] for path in changed if path in self.seen}
            self.seen = {**first, **self.seen}
        if not changed and (brief or not self.changed_by_others()):
            return False
        if not self.keeper.scanner.knows(changed):
            self.next_sweep = min(self.next_sweep, time.monotonic())
        self.keeper.look(changed, self.interrupted)
        self.last_change = time.monotonic()
        return True

    def look_around(self) -> set[str]:
        """Now and then: sweeps soon when something is new in any folder of logs; returns those
        of many more logs that changed."""
        changed: set[str] = set()
        now = time.monotonic()
        if now < self.next_around:
            return changed
        begun = time.process_time()
        for path, before in self.warm.items():
            found = look_at(path)
            if found != before:
                changed.add(path)
                self.seen[path] = found
        for path in changed:
            del self.warm[path]
        if self.keeper.scanner.stirred():
            earliest = self.swept + self.dear * _STIR_SHARE
            self.next_sweep = min(self.next_sweep, max(now, earliest))
        cost = time.process_time() - begun
        self.next_around = now + max(_AROUND_LEAST, cost * _SHARE)
        return changed

    def changed_by_others(self) -> bool:
        """Did another process write to the ledger (a session was forgotten, a setting set)?"""
        version = self.keeper.connection.execute("PRAGMA data_version").fetchone()[0]
        changed = version != self.version
        self.version = version
        return bool(changed)

    def notice(self) -> None:
        """Tells the server when the ledger changed, whoever changed it."""
        generation = store.get(self.keeper.connection, "generation", 0)
        if generation != self.told:
            self.told = generation
            self.idle = False
            self.tell(generation=generation)

    def report_trouble(self) -> None:
        """Tells of sources that cannot be read, each once."""
        found = {}
        for problem in self.keeper.scanner.trouble.values():
            found[f"{problem.kind}:{problem.path}"] = problem
        for name in found.keys() - self.troubles:
            from session_usage.report import problem_wire

            self.tell(problem=problem_wire(found[name]))
        self.troubles = set(found)

    def pause(self) -> float:
        """Seconds until the next look."""
        quiet = time.monotonic() - self.last_change
        if not self.writing:
            return _PAUSES[-1][1]
        if self.events is not None and not self.events.broken:
            return _SLOWEST if quiet > _PAUSES[0][0] else _PAUSES[1][1]
        return next((pause for until, pause in _PAUSES if quiet < until), _SLOWEST)

    def obey(self, seconds: float) -> None:
        """Waits for a line of the server and does what it says."""
        self.pausing = True
        try:
            line = self.lines.get(timeout=seconds)
        except queue.Empty:
            return
        finally:
            self.pausing = False
        if "wishes" in line:
            self.wish(line["wishes"])
        if "sweep" in line:
            self.next_sweep = 0.0
        if "check" in line:
            self.check()
        if "reindex" in line:
            done = self.writing
            if done:
                self.keeper.reindex(tell=self.progress)
            self.notice()
            self.tell(reindexed=line["reindex"], done=done)

    def wish(self, values: list[Any]) -> None:
        """Settings of the server that decide what is kept."""
        wishes = Wishes._make(tuple(each) if isinstance(each, list) else each for each in values)
        wish(self.keeper.connection, wishes)
        self.next_sweep = 0.0

    def tell(self, **line: Any) -> None:
        """Sends a line to the server."""
        sys.stdout.buffer.write(codec.dumps(line) + b"\n")
        sys.stdout.buffer.flush()


def birthplaces(places: Places) -> list[str]:
    """Folders where VS Code makes the logs of new chats, there yet or not: those of the windows
    opened last. The newest session folders of each are among them, as their logs come later."""
    found = []
    for user_data in places.vscode():
        storage = os.path.join(user_data, "User", "workspaceStorage")
        windows = sorted(entries(storage), key=_modified, reverse=True)[:_WINDOWS]
        if windows or os.path.isdir(user_data):
            found.append(storage)
        for window in windows:
            chat = os.path.join(window.path, "GitHub.copilot-chat")
            logs = os.path.join(chat, "debug-logs")
            # the window's own folder changes with every write of its database
            found += [logs, chat if os.path.isdir(chat) else window.path]
            sessions = sorted(entries(logs), key=_modified, reverse=True)[:2]
            found += [session.path for session in sessions]
    return found


def _modified(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat().st_mtime
    except OSError:
        return 0.0


def above(path: str) -> list[str]:
    """The folders of a log in which the next one may appear: the nearest three."""
    found = []
    for _ in range(3):
        path = os.path.dirname(path)
        found.append(path)
    return found


def look_at(path: str) -> tuple[int, int]:
    """(size, mtime) of a file or folder; zeros when it is gone."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def ledger_problem(path: str, text: str) -> dict[str, Any]:
    """A problem of the ledger itself, as JSON fields."""
    return {
        "kind": "ledger", "path": path, "offset": None, "message": text, "agent": None,
        "session": None,
    }  # fmt: skip


def _read(lines: queue.Queue[dict[str, Any]]) -> None:
    """Puts lines of the server into the queue; ends the process when there are no more."""
    for line in sys.stdin.buffer:
        lines.put(codec.loads(line))
    os._exit(0)


def main() -> None:
    """The child process: its first line of input says where and what."""
    first = codec.loads(sys.stdin.buffer.readline())
    first["places"]["user_data_dirs"] = tuple(first["places"]["user_data_dirs"])
    first["places"]["agent_log_dirs"] = tuple(first["places"]["agent_log_dirs"])
    first["places"]["roots"] = tuple(tuple(pair) for pair in first["places"]["roots"])
    wishes = first["wishes"]
    lines: queue.Queue[dict[str, Any]] = queue.Queue()
    if os.name == "posix":
        os.nice(5)  # the person's own work comes first
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    gc.freeze()  # what was imported stays; reading logs makes no cycles
    gc.set_threshold(100_000)
    try:
        watcher = Watcher(first["path"], Places(**first["places"]), lines)
        try:
            watcher.wish(wishes)
            watcher.run()
        except BrokenPipeError:
            raise
        except Exception as error:
            if not watcher.give_up(error):
                raise
    except BrokenPipeError:
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
