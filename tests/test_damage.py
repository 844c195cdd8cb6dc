"""Invariant 2, for every agent: whatever is in a log, it is read, and what is read adds up."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from session_usage import pricing
from session_usage.doctor import examine
from session_usage.events import Counter, Request, Source
from session_usage.explain import explain
from session_usage.places import Places
from session_usage.providers import provider_for
from session_usage.reconcile import reconcile
from session_usage.report import DIMENSIONS, Fold, session_report
from session_usage.sessions import Library, listed

DATA = Path(__file__).parent / "data"
PRICES = pricing.load()

ODD: list[Any] = [
    None, True, -1, 0, float("nan"), float("inf"), "", [], {}, [1], [[]], {"a": 1}, "x" * 50,
    10**30, 2**63, "9" * 5000, 1.5, "12", "2026-99-99T00:00:00Z", "0001-01-01T00:00:00+14:00",
    "\ud800", "[red]", 253_402_300_800_000,
]  # fmt: skip
LAYOUTS = {"copilot-cli": ("state", ".copilot"), "vscode": ("User", ".config/Code/User")}
CASES = [
    (folder, within, below)
    for agent in ("copilot-cli", "vscode", "claude-code", "codex", "gemini")
    for within, below in [LAYOUTS.get(agent, ("home", ""))]
    for folder in sorted((DATA / agent).glob("*/" + within))
]


def with_odd_values(value: Any, dice: random.Random) -> Any:
    if dice.random() < 0.03:
        return dice.choice(ODD)
    if isinstance(value, dict):
        return {name: with_odd_values(part, dice) for name, part in value.items()}
    return [with_odd_values(part, dice) for part in value] if isinstance(value, list) else value


def odd_lines(content: bytes, dice: random.Random) -> bytes:
    lines = []
    for line in content.split(b"\n"):
        try:
            lines.append(json.dumps(with_odd_values(json.loads(line), dice)).encode())
        except ValueError:
            lines.append(line)
    return b"\n".join(lines)


def flipped(content: bytes, dice: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(dice.randint(1, 20) if content else 0):
        damaged[dice.randrange(len(damaged))] = dice.randrange(256)
    return bytes(damaged)


@pytest.mark.parametrize("seed", range(100))
def test_F8_damaged_logs_are_read_and_add_up(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    folder, _, below = dice.choice(CASES)
    shutil.copytree(folder, tmp_path / below, dirs_exist_ok=True)
    for path in sorted(tmp_path.rglob("*")):
        if not path.is_file() or dice.random() < 0.3:
            continue
        path.chmod(0o644)
        content = path.read_bytes()
        if path.suffix in (".json", ".jsonl") and dice.random() < 0.7:
            path.write_bytes(odd_lines(content, dice))
        else:
            path.write_bytes(flipped(content, dice))
    library = Library(Places(str(tmp_path), {}, "linux"))
    listed(library)
    examine(library)
    by_everything, plain = Fold(PRICES, DIMENSIONS), Fold(PRICES)
    for session in library.all(full=dice.random() < 0.7):
        by_everything.add(session)
        plain.add(session)
        json.dumps(session_report(session, PRICES, "full"))
        explain(session, PRICES)
    report = by_everything.wire()
    assert report["totals"] == plain.wire()["totals"]
    for name in ("nanoAiu", "requests", "inputTokens", "unattributedNanoAiu"):
        assert (report["totals"][name] or 0) == sum(row[name] or 0 for row in report["rows"])


ODD_LINES = {
    "a type that is a list": ("codex", "rollout", [
        {"type": "session_meta", "payload": {"id": "s"}},
        {"type": "event_msg", "payload": {"type": ["token_count"]}},
    ]),
    "a branch that is a list": ("claude-code", "transcript", [
        {"type": "assistant", "sessionId": "s", "gitBranch": ["main"], "version": {},
         "timestamp": "2026-07-01T10:00:00Z",
         "message": {"id": "m", "model": "claude-sonnet-5", "usage": {"output_tokens": 5}}},
    ]),
    "a change under a key that is a list": ("copilot-vscode", "chat-session", [
        {"kind": 0, "v": {"sessionId": "s", "requests": [{"requestId": "r"}]}},
        {"kind": 1, "k": [["title"]], "v": "x"},
        {"kind": 1, "k": ["requests", 0, ["a"]], "v": 1},
        {"kind": 1, "k": [{"a": 1}], "v": 1},
    ]),
    "a state that is a list": ("copilot-vscode", "chat-session", [
        {"kind": 0, "v": {"sessionId": "s", "requests": [
            {"requestId": "r", "timestamp": 1_780_000_000_000, "modelState": {"value": [3]},
             "copilotCredits": 2}]}},
    ]),
}  # fmt: skip


@pytest.mark.parametrize(("agent", "kind", "lines"), ODD_LINES.values(), ids=ODD_LINES)
def test_F8_values_of_another_type_are_unknown(
    agent: str, kind: str, lines: list[Any], tmp_path: Path
) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    events = list(provider_for(agent).read(Source(agent, kind, str(path), "s")))
    fold = Fold(PRICES, DIMENSIONS)
    fold.add(reconcile(agent, "s", events))
    assert fold.wire()["totals"]["sessions"] in (0, 1)
    for event in events:
        if isinstance(event, Request | Counter):
            hash(event)


@pytest.mark.parametrize("odd", ["x'ff00'", "1e999", "-1", "'['", "NULL", "4611686018427387904"])
def test_F8_rows_of_a_database_may_hold_anything(odd: str, tmp_path: Path) -> None:
    """SQLite keeps values of any type in any column."""
    user = tmp_path / ".config/Code/User"
    shutil.copytree(DATA / "vscode/run6-capi-basic/User", user)
    shutil.copytree(DATA / "copilot-cli/capi-simple/state", tmp_path / ".copilot")
    for path in sorted(tmp_path.rglob("*.db")):
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            tables = [
                (name, [column[1] for column in database.execute(f'PRAGMA table_info("{name}")')])
                for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'")
                if not name.startswith(("sqlite_", "search_index"))
            ]
            database.execute("PRAGMA ignore_check_constraints = 1")
            for number, (name, columns) in enumerate(tables):
                for column in columns[number % 2 :: 2]:
                    with suppress(sqlite3.IntegrityError):
                        database.execute(f'UPDATE OR IGNORE "{name}" SET "{column}" = {odd}')
    library = Library(Places(str(tmp_path), {}, "linux"))
    listed(library)
    fold = Fold(PRICES, DIMENSIONS)
    for session in library.all(full=True):
        fold.add(session)
        json.dumps(session_report(session, PRICES, "full"))
    assert fold.wire()["totals"]["nanoAiu"], "the logs beside the databases count"


def test_a_session_with_counters_of_its_agents_alone_is_reconciled() -> None:
    counter = Counter("c", "copilot-cli", "s", "shutdown", "/log", 0, 1, "agent", "g", nano_aiu=5)
    assert reconcile("copilot-cli", "s", [counter]).totals == ()
