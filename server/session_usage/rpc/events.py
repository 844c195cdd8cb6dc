"""Changes as the operating system tells them, where ``watchfiles`` is installed.

Events are a hint and no more: a folder made together with a file in it, network drives and
full queues lose some. The watcher's sweeps find what is missed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

_DEBOUNCE_MS, _STEP_MS = 50, 20
_LEVELS = 3
"""So many folders above a log lies what is worth watching: new sessions appear below it."""


class Events:
    """Collects the paths that changed below some folders, in a thread of its own."""

    def __init__(self, folders: Iterable[str], wake: Callable[[], None]) -> None:
        self.folders = tuple(folders)
        self._wake = wake
        self._changed: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.broken = False
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        try:
            for changes in _watchfiles().watch(
                *self.folders, watch_filter=None, debounce=_DEBOUNCE_MS, step=_STEP_MS,
                stop_event=self._stop, raise_interrupt=False, ignore_permission_denied=True,
            ):  # fmt: skip
                with self._lock:
                    self._changed.update(path for _, path in changes)
                self._wake()
        except Exception:  # too many folders, a folder gone: looking is left
            self.broken = True

    def take(self) -> set[str]:
        """What changed since the last time."""
        with self._lock:
            found, self._changed = self._changed, set()
        return found

    def close(self) -> None:
        """Ends the thread."""
        self._stop.set()


def _watchfiles() -> Any:
    import watchfiles

    return watchfiles


def available() -> bool:
    """Is ``watchfiles`` installed?"""
    try:
        _watchfiles()
    except ImportError:
        return False
    return True


def roots(paths: Iterable[str]) -> tuple[str, ...]:
    """The folders to watch for these logs: none lies below another."""
    folders = set()
    for path in paths:
        folder = path
        for _ in range(_LEVELS):
            folder = os.path.dirname(folder)
        folders.add(folder)
    result: list[str] = []
    for folder in sorted(folders):
        if any(folder == known or folder.startswith(known + os.sep) for known in result):
            continue
        if len(folder) > 3 and os.path.isdir(folder):
            result.append(folder)
    return tuple(result)
