"""How bytes come and go: stdin and stdout, TCP, WebSocket. One client, then the process ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from typing import Any, NoReturn

from session_usage.ledger import codec
from session_usage.rpc.desk import Start
from session_usage.rpc.framing import Broken, Frames
from session_usage.rpc.server import PARSE_ERROR, Server

_CHUNK = 1 << 16
_ARENA_MAX = -8
"""An option of mallopt(3)."""


class Pipe:
    """Writes whole messages to a pipe."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, data: bytes) -> None:
        """Sends ``data`` at once."""
        self._stream.write(data)
        self._stream.flush()

    def close(self) -> None:
        """Nothing to do: the process ends."""


def feed(server: Server, frames: Frames, data: bytes) -> None:
    """Hands the messages in ``data`` to the server."""
    for message in frames.feed(data):
        if isinstance(message, Broken):
            server.protocol.fail(None, PARSE_ERROR, message.reason)
        else:
            server.protocol.handle_message(message)


async def serve_stdio(server: Server) -> None:
    """Talks on stdin and stdout until they end. The input has a thread of its own."""
    loop = asyncio.get_running_loop()
    server.finished = asyncio.Event()
    server.protocol.set_writer(Pipe(sys.stdout.buffer))
    frames = Frames()

    def read() -> None:
        descriptor = sys.stdin.fileno()
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            while True:
                try:
                    data = os.read(descriptor, _CHUNK)
                except OSError:
                    data = b""
                if not data:
                    loop.call_soon_threadsafe(server.finish, 0 if server.stopping else 1)
                    return
                loop.call_soon_threadsafe(feed, server, frames, data)

    threading.Thread(target=read, daemon=True).start()
    await server.finished.wait()


async def serve_tcp(server: Server, host: str, port: int) -> None:
    """Talks with the first client that connects, until it goes."""
    server.finished = asyncio.Event()
    taken = False

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        if taken:
            writer.close()
            return
        taken = True
        server.protocol.set_writer(writer)
        frames = Frames()
        while data := await reader.read(_CHUNK):
            feed(server, frames, data)
        server.finish(0 if server.stopping else 1)

    listener = await asyncio.start_server(client, host, port)
    _announce("tcp", listener.sockets[0].getsockname())
    await server.finished.wait()
    listener.close()


async def serve_websocket(server: Server, host: str, port: int) -> None:
    """The same over WebSocket, one message a frame."""
    from websockets.asyncio.server import serve

    finished = server.finished = asyncio.Event()
    taken = False

    async def client(socket: Any) -> None:
        nonlocal taken
        if taken:
            return
        taken = True

        class Frame:
            def write(self, data: bytes) -> Any:
                return socket.send(data.decode())

            def close(self) -> None: ...

        server.protocol.set_writer(Frame(), include_headers=False)
        async for text in socket:
            data = text.encode() if isinstance(text, str) else text
            try:
                message = codec.loads(data)
            except (ValueError, RecursionError):
                server.protocol.fail(None, PARSE_ERROR, "the message is not JSON")
                continue
            server.protocol.handle_message(message)
        server.finish(0 if server.stopping else 1)

    async with serve(client, host, port) as listener:
        _announce("websocket", next(iter(listener.sockets)).getsockname())
        await finished.wait()


def _announce(kind: str, address: Any) -> None:
    """Says where clients may connect, for whoever started the process with port 0."""
    sys.stderr.write(f"session-usage: {kind} {address[0]}:{address[1]}\n")
    sys.stderr.flush()


def _give_back() -> None:
    """Has the C library of Linux return memory that nobody uses, and threads share what they
    use from now on; elsewhere nothing."""
    if sys.platform.startswith("linux"):
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            library = ctypes.CDLL(None)
            library.mallopt(_ARENA_MAX, 1)
            library.malloc_trim(0)


def run(
    start: Start,
    *,
    tcp: int | None = None,
    websocket: int | None = None,
    host: str = "127.0.0.1",
    token: str | None = None,
) -> NoReturn:
    """Serves one client, then ends the process. Logs hold no message and no path."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
    logging.getLogger("pygls").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    server = Server(start, token, _give_back)

    async def main() -> None:
        try:
            if websocket is not None:
                await serve_websocket(server, host, websocket)
            elif tcp is not None:
                await serve_tcp(server, host, tcp)
            else:
                await serve_stdio(server)
        finally:
            await server.part()
            server.close()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    # threads that still work for nobody are not waited for
    os._exit(server.exit_code or 0)
