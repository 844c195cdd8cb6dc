#!/usr/bin/env python3
"""A Copilot CLI of our own that speaks the server's protocol and misbehaves on demand.

Over stdio it is a program; over TCP, ``FakeServer`` runs it in threads. A prompt's first word
says what happens after the message id is given, see ``turn``; anything else is a plain turn.
"""

from __future__ import annotations

import json
import socketserver
import sys
import threading
import uuid
from collections.abc import Iterator
from typing import Any, BinaryIO

PIECE = 32 * 1024
BIG = 50 << 20
QUOTA = {"premium_interactions": {"entitlementRequests": 1500, "usedRequests": 101,
                                  "remainingPercentage": 93.3, "resetDate": "2026-12-01",
                                  "isUnlimitedEntitlement": False, "overage": 0,
                                  "overageAllowedWithExhaustedQuota": False,
                                  "usageAllowedWithExhaustedQuota": False}}  # fmt: skip


class Gone(Exception):
    """The program dies here."""


def event(kind: str, ephemeral: bool = False, **data: Any) -> dict[str, Any]:
    made = {
        "type": kind,
        "data": data,
        "id": str(uuid.uuid4()),
        "timestamp": "2026-09-01T10:00:00.000Z",
        "parentId": None,
    }
    return {**made, "ephemeral": True} if ephemeral else made


def usage(number: int) -> dict[str, Any]:
    return event(
        "assistant.usage",
        True,
        model="claude-sonnet-4.5",
        inputTokens=1000,
        outputTokens=10,
        cacheReadTokens=900,
        cacheWriteTokens=50,
        apiCallId=f"call-{number}",
        copilotUsage={"totalNanoAiu": 1000.5 + number, "tokenDetails": []},
        accounting={"usageId": f"call-{number}", "sequence": number},
    )


class Shared:
    """What all connections of one server know."""

    def __init__(self) -> None:
        self.sessions: dict[str, list[dict[str, Any]]] = {}
        self.open: set[str] = set()
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.calls = 0
        self.lines: dict[str, list[FakeCli]] = {}
        self.left = threading.Event()
        """Set when a connection has ended that had a session."""


class FakeCli:
    """One connection."""

    def __init__(self, reader: BinaryIO, writer: BinaryIO, shared: Shared) -> None:
        self.reader, self.writer, self.shared = reader, writer, shared
        self.mute = False
        self.joined = False
        self.lock = threading.Lock()

    def serve(self) -> None:
        try:
            while (message := self._read()) is not None:
                if "method" in message:
                    self._handle(message)
        except (Gone, OSError, ValueError):
            return
        finally:
            for lines in self.shared.lines.values():
                if self in lines:
                    lines.remove(self)
            if self.joined:
                self.shared.left.set()

    def _read(self) -> dict[str, Any] | None:
        length = None
        while line := self.reader.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if length is None:
            return None
        found: dict[str, Any] = json.loads(self.reader.read(length))
        return found

    def write(self, raw: bytes) -> None:
        with self.lock:
            for at in range(0, len(raw), PIECE):
                self.writer.write(raw[at : at + PIECE])
                self.writer.flush()

    def say(self, value: Any) -> None:
        body = json.dumps({"jsonrpc": "2.0", **value}).encode()
        self.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    def _handle(self, message: dict[str, Any]) -> None:
        method, params = message["method"], message.get("params") or {}
        self.shared.got.append((method, params))
        if self.mute:
            return
        if "id" not in message:
            return
        answer = getattr(self, "do_" + method.replace(".", "_"), None)
        if answer is None:
            error = {"code": -32601, "message": f"Unhandled method {method}"}
            self.say({"id": message["id"], "error": error})
            return
        try:
            result = answer(params)
        except KeyError as missing:
            error = {"code": -32603, "message": f"Session not found: {missing.args[0]}"}
            self.say({"id": message["id"], "error": error})
            return
        self.say({"id": message["id"], "result": result})
        if method == "session.send":
            self.turn(params["sessionId"], params["prompt"])

    def do_connect(self, params: Any) -> Any:
        return {"ok": True, "protocolVersion": 3, "version": "1.0.102"}

    def do_ping(self, params: Any) -> Any:
        return {"message": "pong", "timestamp": "2026-09-01T10:00:00Z", "protocolVersion": 3}

    def do_session_create(self, params: Any) -> Any:
        name = params["sessionId"]
        self.shared.sessions[name] = [event("session.start", sessionId=name)]
        self.shared.open.add(name)
        self.shared.lines.setdefault(name, []).append(self)
        return {"sessionId": name, "workspacePath": f"/state/{name}"}

    def do_session_resume(self, params: Any) -> Any:
        name = params["sessionId"]
        self.joined = True
        history = self.shared.sessions[name]
        self.shared.open.add(name)
        self.shared.lines.setdefault(name, []).append(self)
        if not params.get("disableResume"):
            resumed = event("session.resume", resumeTime="2026-09-01T10:00:00Z",
                            eventCount=len(history))  # fmt: skip
            history.append(resumed)
            self.send_event(name, resumed)
        return {"sessionId": name, "workspacePath": f"/state/{name}"}

    def do_session_send(self, params: Any) -> Any:
        self.shared.sessions[params["sessionId"]]
        return {"messageId": str(uuid.uuid4())}

    def do_session_getMessages(self, params: Any) -> Any:
        return {"events": self.shared.sessions[params["sessionId"]]}

    def do_session_abort(self, params: Any) -> Any:
        name = params["sessionId"]
        self.persist(name, event("abort", reason="user_initiated"))
        self.send_event(name, event("session.idle", True, aborted=True))
        return {"success": True}

    def do_session_detach(self, params: Any) -> Any:
        lines = self.shared.lines.get(params["sessionId"], [])
        if self in lines:
            lines.remove(self)
        if not lines:
            self.shared.open.discard(params["sessionId"])
        return {"success": True}

    def do_session_list(self, params: Any) -> Any:
        moment = "2026-09-01T10:00:00Z"
        return {"sessions": [{"sessionId": name, "startTime": moment, "modifiedTime": moment,
                              "isRemote": False} for name in self.shared.sessions]}  # fmt: skip

    def do_session_delete(self, params: Any) -> Any:
        found = self.shared.sessions.pop(params["sessionId"], None)
        self.shared.open.discard(params["sessionId"])
        return {"success": found is not None} if found else {"success": False, "error": "none"}

    def do_session_usage_getMetrics(self, params: Any) -> Any:
        if params["sessionId"] not in self.shared.open:
            raise KeyError(params["sessionId"])
        return {"totalNanoAiu": 1000.0}

    def do_account_getQuota(self, params: Any) -> Any:
        return {"quotaSnapshots": QUOTA}

    def do_session_getForeground(self, params: Any) -> Any:
        return {"sessionId": next(iter(self.shared.open), None)}

    def do_runtime_shutdown(self, params: Any) -> Any:
        return {}

    def send_event(self, name: str, made: Any) -> None:
        for line in tuple(self.shared.lines.get(name, ())):
            line.say({"method": "session.event", "params": {"sessionId": name, "event": made}})

    def persist(self, name: str, made: dict[str, Any]) -> None:
        self.shared.sessions[name].append(made)
        self.send_event(name, made)

    def turn(self, name: str, prompt: str) -> None:
        word = prompt.split()[0]
        self.persist(name, event("user.message", content=prompt))
        self.persist(name, event("assistant.turn_start", turnId="0"))
        if word == "die":
            raise Gone
        if word == "hang":
            self.mute = True
            return
        if word == "garbage":
            self.write(b"\x00\xff no frame at all\r\n\r\n{{{")
            return
        if word == "badjson":
            self.write(b"Content-Length: 9\r\n\r\n{nonsense")
            return
        if word == "half":
            self.write(b'Content-Length: 1000\r\n\r\n{"jsonrpc"')
            raise Gone
        if word == "undecodable":
            for bad in ({"type": "session.idle"}, {"id": 5}, [1], None, {"type": "x", "id": "?"}):
                self.send_event(name, bad)
            self.send_event(name, event("assistant.message", odd=True))
        for made in self._answer(word):
            (self.send_event if made.get("ephemeral") else self.persist)(name, made)

    def _answer(self, word: str) -> Iterator[dict[str, Any]]:
        self.shared.calls += 1
        text = "x" * BIG if word == "big" else "one two three"
        message = event("assistant.message", messageId="m", content=text)
        steps = [usage(self.shared.calls), message, event("assistant.turn_end", turnId="0")]
        for part in ("one ", "two ", "three"):
            yield event("assistant.message_delta", True, messageId="m", deltaContent=part)
        if word == "asks":
            request = {"kind": "shell", "fullCommandText": "rm", "intention": "", "commands": [],
                       "possiblePaths": [], "possibleUrls": [], "hasWriteFileRedirection": False,
                       "canOfferSessionApproval": False}  # fmt: skip
            yield event("permission.requested", requestId="r1", permissionRequest=request)
            yield event("external_tool.requested", requestId="r2", toolName="weather",
                        toolCallId="t", sessionId="s", arguments={})  # fmt: skip
        if word == "disorder":
            yield event("assistant.turn_end", turnId="9")
            yield from reversed(steps)
            yield steps[0]
        yield from steps
        yield event("session.idle", True)


class FakeServer:
    """The same over TCP, on a free port of 127.0.0.1."""

    def __init__(
        self, port: int = 0, first: bytes | None = None, shared: Shared | None = None
    ) -> None:
        shared = self.shared = shared or Shared()
        self.lines: list[Any] = []

        class Line(socketserver.StreamRequestHandler):
            def handle(line) -> None:
                self.lines.append(line.connection)
                if first is None:
                    FakeCli(line.rfile, line.wfile, shared).serve()  # type: ignore[arg-type]
                    return
                line.wfile.write(first)
                while line.rfile.read(1 << 16):
                    continue  # says no more

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server(("127.0.0.1", port), Line)
        self.port: int = self._server.server_address[1]
        self.address = f"127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> FakeServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for line in self.lines:
            try:
                line.shutdown(2)
            except OSError:
                continue
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def asked(self, *parts: str) -> list[str]:
        """The methods called whose names hold one of ``parts``."""
        return [name for name, _ in self.shared.got if any(part in name for part in parts)]


if __name__ == "__main__":
    FakeCli(sys.stdin.buffer, sys.stdout.buffer, Shared()).serve()
