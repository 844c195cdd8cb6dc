"""A session over its log: history, what is appended, idle inferred, nothing ever sent."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from session_usage.errors import ReadOnlySession, SessionNotFound
from session_usage.kinds import read
from session_usage.live import CopilotSession
from session_usage.live.journal import SILENCE_MS, TURN_GAP_MS, Idle, LogSession

DATA = Path(__file__).parent / "data" / "live"
RECORDED = DATA / "b2a73441-7bb5-4fc5-9fe7-dfdcfa289632"
START = 1_788_256_800


class Clock:
    def __init__(self) -> None:
        self.now = float(START)

    def __call__(self) -> float:
        return self.now


def line(kind: str, second: float = 1, **fields: Any) -> str:
    moment = f"2026-09-01T10:00:{second:06.3f}Z"
    return json.dumps({"type": kind, "data": {}, "timestamp": moment, **fields}) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "some-session"
    found.mkdir()
    (found / "events.jsonl").write_text(line("session.start", 0))
    return found


def following(folder: Path) -> tuple[LogSession, list[Any], Clock]:
    clock, seen = Clock(), []
    session = LogSession(str(folder), clock)
    session.on(seen.append)
    return session, seen, clock


def append(folder: Path, text: str) -> None:
    with (folder / "events.jsonl").open("a") as file:
        file.write(text)


def types(events: list[Any]) -> list[str]:
    return [event.type for event in events]


def test_history_is_what_was_persisted() -> None:
    session = CopilotSession.from_log(str(RECORDED))
    events = asyncio.run(session.get_messages())
    assert session.session_id == RECORDED.name
    assert session.workspace_path == str(RECORDED)
    lines = (RECORDED / "events.jsonl").read_text().splitlines()
    assert [event.raw for event in events] == [json.loads(line) for line in lines]
    assert "session.usage_record" in types(events)
    assert not any(event.ephemeral for event in events)


def test_a_folder_and_its_journal_are_the_same_session() -> None:
    one = CopilotSession.from_log(str(RECORDED))
    other = CopilotSession.from_log(str(RECORDED / "events.jsonl"))
    assert (one.session_id, one.path) == (other.session_id, other.path)


def test_no_session_there(tmp_path: Path) -> None:
    with pytest.raises(SessionNotFound):
        CopilotSession.from_log(str(tmp_path / "none"))


def test_history_keeps_events_without_time_and_leaves_out_what_is_none(folder: Path) -> None:
    append(folder, '{"type":"x","data":{"a":1},"timestamp":"?"}\n[1]\nnonsense\n{"no":"type"}\n')
    events = asyncio.run(LogSession(str(folder)).get_messages())
    assert types(events) == ["session.start", "x"]
    assert (events[1].at_ms, events[1].data) == (None, {"a": 1})


@pytest.mark.parametrize(
    "act",
    [
        lambda session: session.send({"prompt": "x"}),
        lambda session: session.send_and_wait({"prompt": "x"}),
        lambda session: session.abort(),
    ],
)
def test_nothing_can_be_sent(folder: Path, act: Any) -> None:
    before = (folder / "events.jsonl").read_bytes()
    with pytest.raises(ReadOnlySession, match="log alone"):
        asyncio.run(act(LogSession(str(folder))))
    assert (folder / "events.jsonl").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["events.jsonl"]


def test_only_what_is_appended_is_handed_on(folder: Path) -> None:
    session, seen, _ = following(folder)
    session.poll()
    assert seen == []
    append(folder, line("user.message") + line("assistant.turn_start"))
    session.poll()
    session.poll()
    assert types(seen) == ["user.message", "assistant.turn_start"]


def test_half_a_line_waits_for_its_other_half(folder: Path) -> None:
    session, seen, _ = following(folder)
    whole = line("user.message")
    append(folder, whole[:-1])
    session.poll()
    assert seen == []
    append(folder, whole[-1:])
    session.poll()
    assert types(seen) == ["user.message"]


@pytest.mark.parametrize("length", [1, 100_000])
def test_a_line_half_written_when_following_begins(folder: Path, length: int) -> None:
    whole = line("user.message", data={"content": "x" * length})
    append(folder, whole[: len(whole) // 2 + 30])
    session, seen, _ = following(folder)
    append(folder, whole[len(whole) // 2 + 30 :])
    session.poll()
    assert [len(event.data["content"]) for event in seen] == [length]


def test_a_session_without_a_journal_yet(tmp_path: Path) -> None:
    session, seen, _ = following(tmp_path)
    session.poll()
    assert asyncio.run(session.get_messages()) == []
    append(tmp_path, line("session.start"))
    session.poll()
    assert types(seen) == ["session.start"]


def test_a_rewound_journal_says_only_what_is_new(folder: Path) -> None:
    append(folder, line("user.message", 1) + line("assistant.message", 2) * 20)
    session, seen, clock = following(folder)
    clock.now = START + 5
    append(folder, line("user.message", 6))
    session.poll()
    (folder / "events.jsonl").write_text(line("session.start", 0) + line("user.message", 1))
    session.poll()
    append(folder, line("user.message", 9, id="after"))
    session.poll()
    assert [event.at_ms - START * 1000 for event in seen] == [6000, 9000]


def test_a_line_of_fifty_megabytes_is_read_in_bounded_memory(folder: Path) -> None:
    session, seen, _ = following(folder)
    with (folder / "events.jsonl").open("a") as file:
        file.write('{"type":"tool.execution_complete","data":{"result":"')
        for _ in range(50):
            file.write("x" * (1 << 20))
        file.write('"},"timestamp":"2026-09-01T10:00:01Z"}\n' + line("abort"))
    session.poll()
    assert types(seen)[:2] == ["tool.execution_complete", "abort"]
    assert len(seen[0].data["result"]) < 1 << 13


BEGIN, END, CHECKPOINT = "assistant.turn_start", "assistant.turn_end", "session.usage_checkpoint"
IDLE_CASES = {
    # name: (events, seconds until the next look, expected reason)
    "turn ended, none follows": ([BEGIN, END], 3, END),
    "turn ended, too early": ([BEGIN, END], 1, None),
    "another turn follows": ([END, BEGIN], 5, None),
    "abort": ([BEGIN, "abort"], 0, "abort"),
    "shutdown": (["user.message", "session.shutdown"], 0, "session.shutdown"),
    "checkpoint": ([END, CHECKPOINT], 0, CHECKPOINT),
    "silence": ([BEGIN], SILENCE_MS // 1000, "silence"),
    "long tool": ([BEGIN, "tool.execution_start"], 60, None),
    "nothing was going on": (["session.info", CHECKPOINT], 999, None),
}


@pytest.mark.parametrize(("events", "second", "reason"), IDLE_CASES.values(), ids=IDLE_CASES)
def test_idle_is_inferred(folder: Path, events: list[str], second: float, reason: str) -> None:
    session, seen, clock = following(folder)
    append(folder, "".join(line(kind) for kind in events))
    session.poll()
    clock.now += second
    session.poll()
    session.poll()
    idle = [event for event in seen if event.type == "session.idle"]
    assert [event.data["inferred"] for event in idle] == ([reason] if reason else [])
    assert all(event.ephemeral for event in idle)


def test_a_subagents_end_is_no_idle() -> None:
    idle = Idle()
    event = read({"type": "assistant.turn_end", "agentId": "sub"})
    assert idle.see(event, 0) is None
    assert idle.due(TURN_GAP_MS) is None


def test_following_runs_while_there_are_handlers_and_leaves_no_task(folder: Path) -> None:
    async def scene() -> tuple[Any, int]:
        session = LogSession(str(folder))
        arrived = asyncio.Event()
        session.on(lambda event: arrived.set())
        waiting = asyncio.ensure_future(session.wait_idle(30))
        await asyncio.sleep(0)
        append(folder, line("user.message") + line("assistant.message", data={"content": "x"}))
        append(folder, line("session.usage_checkpoint"))
        await asyncio.wait_for(arrived.wait(), 30)
        found = await waiting
        await session.destroy()
        assert not session._handlers
        return found, len(asyncio.all_tasks())

    found, tasks = asyncio.run(scene())
    assert found.data == {"content": "x"}
    assert tasks == 1, "the scene itself"


def test_following_ends_with_the_last_handler(folder: Path) -> None:
    async def scene() -> None:
        session = LogSession(str(folder))
        stop = session.on(lambda event: None)
        task = session._task
        assert task is not None
        stop()
        await asyncio.wait_for(task, 30)

    asyncio.run(scene())


def test_the_sdk_is_not_imported_for_a_log_nor_by_any_module() -> None:
    code = (
        "import importlib, pkgutil, sys, session_usage, session_usage.live\n"
        f"session_usage.live.CopilotSession.from_log({str(RECORDED)!r})\n"
        "for found in pkgutil.walk_packages(session_usage.__path__, 'session_usage.'):\n"
        "    if not found.name.endswith('__main__'):\n"
        "        try:\n"
        "            importlib.import_module(found.name)\n"
        "        except ImportError as error:\n"
        "            assert error.name in ('pygls', 'lsprotocol', 'cattrs'), error\n"
        "print([name for name in ('copilot', 'pydantic', 'httpx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("module", ["session_usage", "session_usage.cli", "session_usage.api"])
def test_the_live_part_costs_nothing_where_it_is_not_used(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        "print([n for n in sys.modules if n.startswith(('session_usage.live', 'copilot'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
