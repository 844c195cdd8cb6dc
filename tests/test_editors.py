"""The configurations that we ship, in the real editors: the cost is shown, a push arrives."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

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
