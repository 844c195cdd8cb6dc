"""A throw-away home for the real CLI, and what its logs say against what the server said."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from model_server import ModelServer

from session_usage.events import START, Request
from session_usage.live.cli import Cli, connect
from session_usage.providers.copilot_cli import AGENT, PROVIDER
from session_usage.reconcile import reconcile

SONNET, GPT = "claude-sonnet-4.5", "gpt-5.4"
WAIT = 60
"""Seconds after which a test gives up; nothing is timed."""


class World:
    """A throw-away home and workspace, the CLI's program and its model server."""

    def __init__(self, folder: Path, program: str, unpacked: str, server: ModelServer) -> None:
        self.home, self.workspace = folder / "home", folder / "work"
        self.home.mkdir()
        self.workspace.mkdir()
        self.program, self.server = program, server
        self.token: str | None = None
        self.env = {
            "HOME": str(self.home),
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "XDG_CACHE_HOME": unpacked,
        }
        if server.signed_in:
            self.token = "gho_madeup"
            self.env["COPILOT_API_URL"] = server.url
            self.env["COPILOT_DEBUG_GITHUB_API_URL"] = server.url

    def connect(self) -> Awaitable[Cli]:
        return connect(self.program, env=self.env, cwd=str(self.workspace), github_token=self.token)

    @contextlib.contextmanager
    def headless(self, secret: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
        """A shared server of the CLI, and its address."""
        process = subprocess.Popen(
            [self.program, "--headless", "--no-auto-update", "--port", "0",
             "--auth-token-env", "COPILOT_SDK_AUTH_TOKEN", "--no-auto-login"],
            env={**self.env, "COPILOT_CONNECTION_TOKEN": secret,
                 "COPILOT_SDK_AUTH_TOKEN": self.token or ""},
            cwd=self.workspace, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            port = next(line for line in process.stdout if "listening on port" in line).split()[-1]
            yield process, f"127.0.0.1:{port}"
        finally:
            process.kill()
            process.communicate()

    def run(self, scene: Callable[[Cli], Awaitable[Any]]) -> Any:
        async def whole() -> Any:
            cli = await self.connect()
            try:
                return await scene(cli)
            finally:
                await cli.close()
                assert asyncio.all_tasks() == {asyncio.current_task()}

        return asyncio.run(whole())

    def options(self, model: str = SONNET) -> dict[str, Any]:
        return {"model": model, "streaming": True, "working_directory": str(self.workspace)}

    def logged(self) -> list[Request]:
        """The requests of all sessions by their logs alone, each session reconciled."""
        found: list[Request] = []
        for folder in sorted((self.home / ".copilot" / "session-state").iterdir()):
            events = [e for s in PROVIDER.at(str(folder)) for e in PROVIDER.read(s, START)]
            found += reconcile(AGENT, folder.name, events).requests
        return found


def figures(request: Request) -> tuple[Any, ...]:
    return (
        request.model,
        request.input_tokens,
        request.cache_read_tokens,
        request.cache_write_tokens,
        request.output_tokens,
        request.nano_aiu,
    )


def truth(server: ModelServer) -> list[tuple[Any, ...]]:
    return [tuple(row[:6]) for row in server.truth if not row.background]
