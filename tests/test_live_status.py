"""What the server tells of a session that is going on: cache, typed events, a running CLI."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from client import PATIENCE, Client
from jsonschema import Draft202012Validator
from test_rpc import DATA, NANO, TYPES, journal, new_home

from session_usage import kinds
from session_usage.rpc.settings import live_target

STATUS = "copilotUsage/statusChanged"
EVENT = "copilotUsage/sessionEvent"
SECRET = "UNMISTAKABLE-SECRET"


def valid(name: str, value: Any) -> Any:
    Draft202012Validator(TYPES.closed(name)).validate(value)
    return value


def test_the_cache_clock_of_the_current_session(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    with Client(home) as client:
        client.start()
        client.result("listSessions")  # waits until the logs are read
        status = valid("Status", client.result("getStatus"))
        # the last call read 15,500 and wrote 250 tokens; $0.30 and $3.75 a million
        cache = status["cache"]
        assert (cache["model"], cache["tokens"]) == ("claude-sonnet-4.5", 15_750)
        assert (cache["warmCost"], cache["coldCost"]) == (472_500_000, 5_906_250_000)
        assert cache["expiresAt"] == "2026-11-20T10:44:17.223Z"
        assert "live" not in status, "live.connect is off"
        # a call that no cache is told of
        log = journal(home)
        client.result("subscribe")
        lines = log.read_bytes().splitlines(keepends=True)
        record = json.loads(next(x for x in lines if b'"session.usage_record"' in x))
        record["timestamp"] = "2026-11-20T11:00:00.000Z"
        usage = record["data"]["usage"]
        usage.update(model="gpt-5.4", accounting={**usage["accounting"], "usageId": "another"})
        for name in ("cacheExpiresAt", "cacheTtlSeconds"):
            usage.pop(name, None)
        with log.open("ab") as file:
            file.write(json.dumps(record).encode() + b"\n")
        client.note(STATUS, lambda p: p["status"]["cache"] is None)


@pytest.mark.parametrize("case", [None, "claude-code"])
def test_no_cache_clock_where_no_log_tells(case: str | None, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    if case:
        shutil.copytree(DATA / "claude-code" / "multi-turn" / "home", home, dirs_exist_ok=True)
    with Client(home) as client:
        client.start()
        client.result("listSessions")  # waits until the logs are read
        status = valid("Status", client.result("getStatus"))
        assert (status["session"] is None) == (case is None)
        assert status["cache"] is None


@pytest.mark.parametrize(
    ("text", "target"),
    [
        (None, None),
        ("", None),
        ("off", None),
        ("spawn", "spawn"),
        ("127.0.0.1:4321", "127.0.0.1:4321"),
        ("127.9.9.9:1", "127.9.9.9:1"),
        ("localhost:65535", "localhost:65535"),
    ],
)
def test_where_to_connect(text: str | None, target: str | None) -> None:
    assert live_target(text) == target


@pytest.mark.parametrize(
    "text",
    ["on", "4321", ":4321", "localhost", "localhost:0", "localhost:65536", "localhost:x",
     "192.168.1.2:4321", "example.org:4321", "0.0.0.0:4321", "127.0.0.1.evil.org:1", "/bin/sh"],
)  # fmt: skip
def test_nothing_but_this_machine_is_connected_to(text: str) -> None:
    with pytest.raises(ValueError, match="not"):
        live_target(text)


def test_a_setting_with_a_dot_in_its_name(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    with Client(home) as client:
        client.start(settings={"live": {"connect": "10.0.0.1:1"}, "live.more": 1})
        found = client.result("getSettings")
        assert found["settings"] == {}
        assert found["problems"] == [
            "setting live.connect: '10.0.0.1' is not this machine; a CLI is only asked on 127.0.0.1"
        ]
        for sent in ({"live.connect": "off"}, {"live": {"connect": "off"}}):
            client.notify("workspace/didChangeConfiguration", {"settings": sent})
            found = client.result("getSettings")
            assert (found["settings"], found["problems"]) == ({"live.connect": "off"}, [])


def test_events_are_told_by_type_without_text(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    for database in (home / ".copilot").glob("session-store.db*"):
        database.unlink()
    log = journal(home)
    secret = SECRET.encode()
    lines = log.read_bytes().replace(b'"content":"', b'"content":"' + secret)
    lines = lines.replace(b'"arguments":{', b'"arguments":{"' + secret + b'":1,')
    rows = lines.splitlines(keepends=True)
    unknown = {"type": "session.brand_new", "id": "n", "timestamp": "2026-11-20T11:00:00Z",
               "data": {"model": SECRET, "tokens": 5}}  # fmt: skip
    rows += [json.dumps(unknown).encode() + b"\n", b"[1]\n", b"{\n"]
    log.write_bytes(b"".join(rows[:3]))
    with Client(home) as client:
        client.start()
        client.result("listSessions")  # waits until the logs are read
        client.result("subscribe")
        for row in rows[3:]:
            for part in (row[:30], row[30:]):
                with log.open("ab") as file:
                    file.write(part)
        client.note(EVENT, lambda p: p["kind"] == "event" and p["event"]["id"] == "n")
        found = [m["params"] for m in client.notes if m["method"] == EVENT]
        assert SECRET not in json.dumps(client.notes)
        for each in found:
            valid("SessionEvent", each)
        events = [each["event"] for each in found if each["kind"] == "event"]
        written = [json.loads(row) for row in rows[3:-3]]
        told = [event for event in events if event["persistence"] == "persisted"]
        assert [event["id"] for event in told] == [event["id"] for event in written]
        assert [event["type"] for event in told] == [event["type"] for event in written]
        for event in told:
            assert event["usage"] == (kinds.types()[event["type"]].usage or "none")
        calls = [event["facts"] for event in told if event["type"] == "session.usage_record"]
        assert sum(facts["nanoAiu"] for facts in calls) == NANO
        assert calls[-1]["cacheExpiresAt"] == "2026-11-20T10:44:17.223Z"
        assert {facts["model"] for facts in calls} == {"claude-sonnet-4.5"}
        assert [e["facts"]["tool"] for e in told if e["type"] == "tool.execution_start"]


def test_events_that_nobody_wants_are_not_told(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    log = journal(home)
    rows = log.read_bytes().splitlines()
    record = json.loads(next(row for row in rows if b'"session.usage_record"' in row))

    def write(name: str) -> None:
        record["data"]["usage"]["accounting"]["usageId"] = record["id"] = name
        with log.open("ab") as file:
            file.write(json.dumps(record).encode() + b"\n")

    with Client(home) as client:
        client.start()
        client.result("listSessions")  # waits until the logs are read
        quiet = client.result("subscribe", {"events": False})["status"]["session"]
        write("first")
        count = quiet["totals"]["requests"] + 1
        client.note(STATUS, lambda p: p["status"]["session"]["totals"]["requests"] == count)
        client.result("subscribe", {"workspace": "/elsewhere"})
        client.result("subscribe", {"workspace": quiet["workspace"]})
        write("last")
        client.note(EVENT, lambda p: p["kind"] == "event" and p["event"]["id"] == "last")
        client.note(STATUS, lambda p: p["status"]["month"]["totals"]["requests"] == count + 1)
        rest = [m["params"] for m in client.notes if m["method"] == EVENT]
        assert [each for each in rest if each["kind"] == "event"] == [], "told once"


@pytest.mark.skipif(sys.platform != "linux", reason="stops the child by its signal")
def test_history_that_is_still_being_read_is_no_news(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    log = journal(home)
    rows = log.read_bytes().splitlines()
    record = json.loads(next(row for row in rows if b'"session.usage_record"' in row))
    record["data"]["usage"]["accounting"]["usageId"] = record["id"] = "new"
    with Client(home) as client:
        client.call("initialize", {"processId": None, "rootUri": None, "capabilities": {}})
        while not (children := client.children()):
            client.call("copilotUsage/getSettings")
        os.kill(children[0], signal.SIGSTOP)
        number = client.ask("copilotUsage/subscribe")
        assert client.answer(number)["result"]["status"]["session"] is None
        os.kill(children[0], signal.SIGCONT)
        client.note(STATUS, lambda p: p["status"]["session"] and p["status"]["health"] == "ok")
        with log.open("ab") as file:
            file.write(json.dumps(record).encode() + b"\n")
        told = client.note(EVENT, lambda p: p["kind"] == "request")
        assert (told["newRequests"], told["requests"]) == (1, 5)
        told = client.note(EVENT, lambda p: p["kind"] == "event")
        assert told["event"]["id"] == "new"
        rest = [m["params"]["kind"] for m in client.notes if m["method"] == EVENT]
        assert set(rest) <= {"ended"}


def test_the_sdk_is_not_imported_unless_live_is_on(tmp_path: Path) -> None:
    """A stand-in for the SDK leaves a mark when it is imported."""
    home, fake, mark = new_home(tmp_path), tmp_path / "fake", tmp_path / "imported"
    (fake / "copilot").mkdir(parents=True)
    (fake / "copilot" / "__init__.py").write_text(
        f"open({str(mark)!r}, 'w').close()\nraise ImportError('a stand-in')\n"
    )
    with Client(home, path=(str(fake),)) as client:
        client.start(settings={"live.connect": "off"})
        client.result("listSessions")
        client.result("subscribe")
        assert client.result("getStatus")["cache"] is not None
        assert not mark.exists()
        client.notify(
            "workspace/didChangeConfiguration", {"settings": {"live.connect": "127.0.0.1:1"}}
        )
        status = client.note(STATUS, lambda p: p["status"].get("live", {}).get("problem"))
        live = valid("Status", status["status"])["live"]
        assert (live["state"], live["session"], live["quotas"]) == ("waiting", None, [])
        assert "pip install 'session-usage[live]'" in live["problem"]
        assert status["status"]["session"]["totals"]["nanoAiu"] == NANO, "the logs go on"
        assert mark.exists()
        client.notify("workspace/didChangeConfiguration", {"settings": {}})
        client.note(STATUS, lambda p: "live" not in p["status"])
        client.notify("exit")
        client.process.wait(PATIENCE)
        assert client.errors == []
