"""The CLI as people use it, at a terminal: started with ``--ui-server`` it can be joined."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import socket
import struct
import subprocess
import termios
from typing import Any

import pytest
from model_server import ModelServer, script, usage
from world import SONNET, WAIT, World, figures, truth

from session_usage.errors import NotConnected
from session_usage.live.cli import Cli, connect
from session_usage.live.feed import LiveFeed

pytestmark = pytest.mark.usefixtures("sdk", "loopback_only", "no_thread_left")


class Terminal:
    """A terminal with a program in it, for one event loop."""

    def __init__(self, command: list[str], **options: Any) -> None:
        self.shown = b""
        self._more = asyncio.Event()
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, **options
        )
        os.close(slave)
        asyncio.get_running_loop().add_reader(self._master, self._read)

    def _read(self) -> None:
        try:
            self.shown += os.read(self._master, 1 << 16)
        except OSError:  # the program has ended
            asyncio.get_running_loop().remove_reader(self._master)
        self._more.set()

    async def until(self, text: str) -> None:
        while text.encode() not in self.shown:
            self._more.clear()
            await asyncio.wait_for(self._more.wait(), WAIT)

    async def enter(self, line: str) -> None:
        self.shown = b""
        os.write(self._master, line.encode())
        await self.until("reasoning")  # the last word of every script: all of it is typed
        os.write(self._master, b"\r")

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        self.process.kill()
        self.process.wait()
        os.close(self._master)


async def joined(address: str) -> Cli:
    while True:
        try:
            return await connect(address)
        except NotConnected:
            await asyncio.sleep(0.05)  # it is still starting


def test_joining_a_terminal_and_leaving_it(world: World, server: ModelServer) -> None:
    async def scene() -> LiveFeed:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        trusted = json.dumps({"trusted_folders": [str(world.workspace)]})
        (world.home / ".copilot").mkdir()
        (world.home / ".copilot" / "config.json").write_text(trusted)
        terminal = Terminal(
            [world.program, "--no-auto-update", "--ui-server", "--port", address.split(":")[1],
             "--model", SONNET, "--disable-builtin-mcps"],
            env={**world.env, "TERM": "xterm-256color", "GH_TOKEN": world.token or ""},
            cwd=world.workspace,
        )  # fmt: skip
        try:
            await terminal.until("❯")
            cli = await asyncio.wait_for(joined(address), WAIT)
            await cli.close()
            changed = asyncio.Event()
            feed = LiveFeed(None, lambda: connect(address), changed=changed.set)

            async def until(true: Any) -> None:
                while not true():
                    changed.clear()
                    await asyncio.wait_for(changed.wait(), WAIT)

            feed.start()
            await until(lambda: feed.connected)
            step = {"text": "Hello.", "usage": usage(15_000, 0, 14_000, 50)}
            await terminal.enter(f"Hi. {script(step)}")
            await until(lambda: [r for r in feed.requests() if r.surface == "chat"])
            await terminal.until("Hello.")
            await feed.close()
            # the terminal goes on without us
            step = {"text": "Bye.", "usage": usage(15_100, 14_000, 900, 40)}
            await terminal.enter(f"Again. {script(step)}")
            await terminal.until("Bye.")
            assert asyncio.all_tasks() == {asyncio.current_task()}
            return feed
        finally:
            terminal.close()

    feed = asyncio.run(scene())
    chat = [request for request in feed.requests() if request.surface == "chat"]
    assert [figures(request) for request in chat] == truth(server)[:1]
    assert feed.context is not None
    assert [quota.kind for quota in feed.quotas] == ["premium_interactions"]
    log = [request for request in world.logged() if request.surface == "chat"]
    assert [figures(request) for request in log][:1] == truth(server)[:1]
    assert {request.session for request in log} == {feed.session_id}
