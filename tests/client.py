"""A client of the server over its real pipes: frames written and read by hand."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

SERVER = str(Path(__file__).parents[1] / "server")
PATIENCE = 60.0
"""Seconds after which an answer counts as missing."""

Message = dict[str, Any]


class Client:
    """One server process and what it sent."""

    def __init__(
        self,
        home: Path,
        *arguments: str,
        env: dict[str, str] | None = None,
        path: tuple[str, ...] = (),
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "session_usage.cli", "serve", "--home", str(home), *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment(home, env, path),
        )  # fmt: skip
        self.notes: list[Message] = []
        self.errors: list[str] = []
        self._answers: dict[Any, Message] = {}
        self._arrived = threading.Condition()
        self._number = 0
        self._ended = False
        self.unasked: queue.Queue[Message] = queue.Queue()
        for target in (self._read, self._read_errors):
            threading.Thread(target=target, daemon=True).start()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            with contextlib.suppress(OSError, ValueError):
                stream.close()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        try:
            for line in self.process.stderr:
                with self._arrived:
                    self.errors.append(line.decode())
                    self._arrived.notify_all()
        except ValueError:
            pass

    def _read(self) -> None:
        try:
            while (message := read(self.process.stdout)) is not None:
                with self._arrived:
                    if message.get("id") is not None and "method" not in message:
                        self._answers[message["id"]] = message
                    elif "method" in message:
                        self.notes.append(message)
                    else:
                        self.unasked.put(message)
                    self._arrived.notify_all()
        except ValueError:
            pass
        with self._arrived:
            self._ended = True
            self._arrived.notify_all()

    def raw(self, data: bytes) -> None:
        """Sends bytes as they are."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, message: Any) -> None:
        """Sends any JSON value as a message."""
        self.raw(frame(message))

    def notify(self, method: str, params: Any = None) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def ask(self, method: str, *params: Any) -> int:
        """Sends a request (without params when none are given); returns its id."""
        self._number += 1
        message: Message = {"jsonrpc": "2.0", "id": self._number, "method": method}
        if params:
            message["params"] = params[0]
        self.send(message)
        return self._number

    def answer(self, number: int) -> Message:
        """The answer to a request, waited for."""
        self.wait(lambda: number in self._answers, f"no answer to {number}")
        return self._answers.pop(number)

    def arrived(self, number: int) -> bool:
        """Is the answer to a request there?"""
        with self._arrived:
            return number in self._answers

    def call(self, method: str, *params: Any) -> Message:
        """Sends a request and waits for its answer."""
        return self.answer(self.ask(method, *params))

    def result(self, name: str, *params: Any) -> Any:
        """The result of one of our own requests, which must not fail."""
        found = self.call(f"copilotUsage/{name}", *params)
        assert "result" in found, found
        return found["result"]

    def error(self, name: str, *params: Any) -> tuple[int, str]:
        """(code, message) of one of our own requests, which must fail."""
        found = self.call(f"copilotUsage/{name}", *params)
        assert "error" in found, found
        return found["error"]["code"], found["error"]["message"]

    def wait(self, arrived: Callable[[], Any], what: str) -> Any:
        """Waits until something has arrived; returns it."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: arrived() or self._ended, PATIENCE):
                raise AssertionError(f"{what}; the server said: {self.errors}")
            found = arrived()
            assert found, f"{what}: the server ended; it said: {self.errors}"
            return found

    def note(self, method: str, fits: Callable[[Any], Any] = lambda params: True) -> Any:
        """The params of the first notification that fits, waited for and taken away."""

        def find() -> list[Message]:
            return [m for m in self.notes if m["method"] == method and fits(m["params"])][:1]

        (found,) = self.wait(find, f"no {method}")
        self.notes.remove(found)
        return found["params"]

    def start(self, **options: Any) -> Client:
        """``initialize`` and ``initialized``."""
        params: Message = {"processId": None, "rootUri": None, "capabilities": {}}
        if options:
            params["initializationOptions"] = options
        assert "result" in self.call("initialize", params)
        self.notify("initialized", {})
        return self

    def children(self) -> list[int]:
        """Processes that the server started (Linux)."""
        number = self.process.pid
        text = Path(f"/proc/{number}/task/{number}/children").read_text()
        return [int(each) for each in text.split()]


def environment(
    home: Path, more: dict[str, str] | None = None, path: tuple[str, ...] = ()
) -> dict[str, str]:
    """The environment of a process whose home folder is ``home``; ``path``: further folders
    that modules are in."""
    modules = os.pathsep.join((SERVER, *path))
    found = {**os.environ, "PYTHONPATH": modules, "SESSION_USAGE_HOME": str(home / "own")}
    return {**found, **(more or {})}


def frame(message: Any) -> bytes:
    """A message with its header."""
    body = json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


def read(stream: Any) -> Message | None:
    """The next message of a stream; None at its end."""
    length = 0
    while True:
        line = stream.readline()
        if not line:
            return None
        if not line.strip():
            break
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    body = stream.read(length)
    return json.loads(body) if len(body) == length else None
