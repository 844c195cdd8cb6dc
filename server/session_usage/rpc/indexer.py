"""The child process as the server sees it: started, restarted, spoken to, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from session_usage.ledger import codec
from session_usage.ledger.wishes import Wishes
from session_usage.places import Places

_BACK_OFF = (0.1, 1.0, 5.0, 30.0)


class Indexer:
    """Runs the child process; ``tell`` is called in the loop with every line it sends."""

    def __init__(self, path: str, places: Places, tell: Callable[[dict[str, Any]], None]) -> None:
        self.path = path
        self.places = places
        self.writer = False
        self.indexing = True
        self._tell = tell
        self._process: subprocess.Popen[bytes] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wishes: Wishes | None = None
        self._starts = 0
        self._closed = False
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        self._progress: list[Callable[[int, int], None]] = []

    def start(self) -> None:
        """Starts the child; must be called in the loop."""
        self._loop = asyncio.get_running_loop()
        if self._closed:
            return
        self._starts += 1
        environment = dict(os.environ)
        # the child finds the same packages, wherever ours came from
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        flags: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # Windows only
        self._process = subprocess.Popen(
            [sys.executable, "-m", "session_usage.rpc.watch"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None, env=environment,
            creationflags=flags,
        )  # fmt: skip
        places = {**self.places._asdict(), "env": dict(self.places.env)}
        wishes = list(self._wishes or Wishes())
        self._send({"path": self.path, "places": places, "wishes": wishes})
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: we are ending
            for line in process.stdout:
                with contextlib.suppress(ValueError):
                    self._loop.call_soon_threadsafe(self._hear, codec.loads(line))
            self._loop.call_soon_threadsafe(self._ended, process)

    def _hear(self, line: dict[str, Any]) -> None:
        if "writer" in line:
            self.writer = line["writer"]
            self.indexing = self.writer
        if "progress" in line:
            done, of = line["progress"]
            self.indexing = done < of
            for listener in list(self._progress):
                listener(done, of)
        if "idle" in line:
            self.indexing = False
        if "reindexed" in line:
            future = self._waiting.pop(line["reindexed"], None)
            if future is not None and not future.done():
                future.set_result(line["done"])
        self._tell(line)

    def _ended(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        for future in self._waiting.values():
            if not future.done():
                future.set_result(False)
        self._waiting.clear()
        if not self._closed and self._loop is not None:
            delay = _BACK_OFF[min(self._starts, len(_BACK_OFF)) - 1]
            self._loop.call_later(delay, self.start)

    def _send(self, line: dict[str, Any]) -> None:
        process = self._process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                process.stdin.write(codec.dumps(line) + b"\n")
                process.stdin.flush()

    def wish(self, wishes: Wishes) -> None:
        """Settings that decide what is kept."""
        if wishes != self._wishes:
            self._wishes = wishes
            self._send({"wishes": list(wishes)})

    def sweep(self) -> None:
        """Asks for a look at everything now."""
        self._send({"sweep": True})

    def check(self) -> None:
        """Asks for a look at the ledger itself; the child makes a damaged one anew."""
        self._send({"check": True})

    async def reindex(self, progress: Callable[[int, int], None]) -> bool:
        """Reads everything anew; False when another process holds the ledger."""
        assert self._loop is not None
        number = max(self._waiting, default=0) + 1
        future: asyncio.Future[bool] = self._loop.create_future()
        self._waiting[number] = future
        self._progress.append(progress)
        self._send({"reindex": number})
        try:
            return await future
        finally:
            self._progress.remove(progress)

    def close(self) -> None:
        """Ends the child; it needs no time for that."""
        self._closed = True
        process = self._process
        if process is None:
            return
        with contextlib.suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()
        try:
            process.wait(0.3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
