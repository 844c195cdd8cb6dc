"""The configurations that we ship, in the real editors: the cost is shown, a push arrives."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from client import PATIENCE, environment

ROOT = Path(__file__).parents[1]
EDITORS = ROOT / "server" / "editors"
DATA = ROOT / "tests" / "data" / "copilot-cli" / "capi-tools" / "state"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder whose session lacks its last model call."""
    shutil.copytree(DATA, tmp_path / ".copilot")
    for database in (tmp_path / ".copilot").glob("session-store.db*"):
        database.unlink()
    log = next((tmp_path / ".copilot").rglob("events.jsonl"))
    lines = log.read_bytes().splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if b"session.usage_record" in line)
    log.write_bytes(b"".join(lines[:last]))
    (tmp_path / "rest").write_bytes(lines[last])
    (tmp_path / "log").write_text(str(log))
    return tmp_path


def run(command: list[str], home: Path) -> str:
    found = subprocess.run(
        command, env=environment(home, {"HOME": str(home)}), cwd=home, capture_output=True,
        text=True, timeout=PATIENCE * 2, check=False,
    )  # fmt: skip
    return found.stdout + found.stderr


SERVE = [sys.executable, "-m", "session_usage.cli", "serve"]


@pytest.mark.skipif(not shutil.which("nvim"), reason="Neovim is not installed")
def test_neovim_shows_the_cost_and_its_change(home: Path) -> None:
    script = home / "try.lua"
    command = "{" + ", ".join(json.dumps(part) for part in [*SERVE, "--home", str(home)]) + "}"
    script.write_text(
        f"""
local usage = dofile({json.dumps(str(EDITORS / "session_usage.lua"))})
vim.notify = function(message) print("MESSAGE " .. message) end
usage.start({{ cmd = {command}, folder = "/home/dev/project" }})
vim.wait(30000, function() return usage.last ~= nil end, 10)
print("FIRST " .. usage.status())
local file = io.open({json.dumps(str(home / "rest"))}, "rb")
local line = file:read("*a")
local log = io.open({json.dumps((home / "log").read_text())}, "ab")
log:write(line)
log:close()
local first = usage.status()
vim.wait(30000, function() return usage.status() ~= first end, 10)
print("THEN " .. usage.status())
local answer
usage.request("findSessionById", {{ id = "none" }}, function(err) answer = err end)
vim.wait(30000, function() return answer ~= nil end, 10)
print("ERROR " .. answer.code)
vim.cmd("qall!")
"""
    )
    said = run(
        ["nvim", "--clean", "-n", "-i", "NONE", "--headless", "-c", f"luafile {script}"], home
    )
    assert re.search(r"FIRST 7\.67 cr", said), said
    assert re.search(r"THEN 8\.30 cr", said), said
    assert re.search(r"ERROR 1001", said), said


@pytest.mark.skipif(not shutil.which("emacs"), reason="Emacs is not installed")
def test_emacs_shows_the_cost_and_its_change(home: Path) -> None:
    script = home / "try.el"
    command = " ".join(json.dumps(part) for part in [*SERVE, "--home", str(home)])
    script.write_text(
        f"""
(load {json.dumps(str(EDITORS / "session-usage.el"))})
(setq session-usage-command '({command}))
(session-usage-start "/home/dev/project")
(message "FIRST %s" session-usage-text)
(let ((first session-usage-text) (tries 0)
      (line (with-temp-buffer (set-buffer-multibyte nil)
              (insert-file-contents-literally {json.dumps(str(home / "rest"))}) (buffer-string)))
      (coding-system-for-write 'no-conversion))
  (write-region line nil {json.dumps((home / "log").read_text())} t)
  (while (and (equal first session-usage-text) (< tries 3000))
    (setq tries (1+ tries))
    (accept-process-output nil 0.01)))
(message "THEN %s" session-usage-text)
(session-usage-cost)
(condition-case problem (session-usage-request "findSessionById" '(:id "none"))
  (error (message "ERROR %S" problem)))
(message "SESSIONS %s" (plist-get (session-usage-request "listSessions") :total))
"""
    )
    said = run(["emacs", "-Q", "--batch", "-l", str(script)], home)
    assert re.search(r"FIRST 7\.67 cr", said), said
    assert re.search(r"THEN 8\.30 cr", said), said
    assert re.search(r"ERROR .*1001", said), said
    assert re.search(r"SESSIONS 1", said), said
    assert re.search(r"8\.30 cr \(\$0\.0830\); today", said), said


def test_helix_names_our_command() -> None:
    text = (EDITORS / "helix.toml").read_text()
    methods = json.loads((ROOT / "schemas" / "methods.json").read_text("utf-8"))
    assert any(row["name"] in text for row in methods["commands"])


def test_pytest_lsp_drives_the_real_process(home: Path) -> None:
    """A client that is not ours: pygls' own, as editors' plugins in Python use it."""
    pytest_lsp = pytest.importorskip("pytest_lsp")
    from lsprotocol import types

    async def talk() -> None:
        client = pytest_lsp.make_test_lsp_client()
        pushed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        @client.feature("copilotUsage/statusChanged")  # type: ignore[untyped-decorator]
        def changed(params: Any) -> None:
            if not pushed.done():
                pushed.set_result(params)

        await client.start_io(
            sys.executable, "-m", "session_usage.cli", "serve", "--home", str(home),
            env=environment(home),
        )  # fmt: skip
        found = await client.initialize_session(
            types.InitializeParams(capabilities=types.ClientCapabilities())
        )
        assert found.server_info.name == "session-usage"
        ask = client.protocol.send_request_async
        before = (await ask("copilotUsage/subscribe", {})).status.session.totals
        assert before.requests == 3
        log = Path((home / "log").read_text())
        with log.open("ab") as file:
            file.write((home / "rest").read_bytes())
        status = (await asyncio.wait_for(pushed, PATIENCE)).status
        assert status.session.totals.requests == 4
        assert status.session.totals.nanoAiu > before.nanoAiu
        answer = await client.workspace_execute_command_async(
            types.ExecuteCommandParams("copilotUsage.showCost", [])
        )
        assert answer is not None
        await client.shutdown_session()
        await client.stop()

    asyncio.run(talk())
