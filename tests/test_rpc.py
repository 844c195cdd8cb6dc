"""The server as a process, over its pipes: every request is answered, whatever comes."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cases import lay
from client import PATIENCE, Client, environment, frame, read
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "schemas"))
import generate  # noqa: E402

DATA = ROOT / "tests" / "data"
TYPES = generate.Types()
METHODS = generate.load("methods.json")
REQUESTS = {row["name"]: row for row in METHODS["requests"]}
NANO = 8302050000
"""What the four calls of the session cost by the model server's own account."""

SPOKEN = [
    ("copilot-cli", "capi-tools"),
    ("vscode", "run6-capi-basic"),
    ("claude-code", "multi-turn"),
    ("codex", "multi-turn"),
    ("opencode", "multi-turn"),
    ("gemini", "multi-turn"),
]
"""A recorded case of every agent that records its sessions by itself."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_home(tmp_path_factory.mktemp("rpc"))


def new_home(folder: Path, name: str = "home", case: str = "capi-tools") -> Path:
    home = folder / name
    shutil.copytree(DATA / "copilot-cli" / case / "state", home / ".copilot")
    return home


def journal(home: Path) -> Path:
    return next((home / ".copilot").rglob("events.jsonl"))


def emptied(home: Path) -> tuple[Path, list[bytes]]:
    """The journal of a home that is to grow anew, and the lines it had."""
    log = journal(home)
    lines = log.read_bytes().splitlines(keepends=True)
    for database in (home / ".copilot").glob("session-store.db*"):
        database.unlink()
    log.write_bytes(b"")
    return log, lines


@pytest.fixture(scope="module")
def client(home: Path) -> Iterator[Client]:
    with Client(home, "--stdio", "--clientProcessId=1") as started:
        yield started.start()


@pytest.fixture(scope="module")
def session(client: Client) -> str:
    found: str = client.result("listSessions")["sessions"][0]["id"]
    return found


def needed(name: str, session: str) -> dict[str, Any]:
    """Params without which a request cannot be answered."""
    return {
        "findSessionsByTitle": {"title": "calc"},
        "findSessionById": {"id": session},
        "analyzeSession": {"session": session},
        "explain": {"session": session},
        "readSession": {"session": session},
        "replaySession": {"session": session},
        "unsubscribe": {"subscription": "none"},
        "forget": {"session": "none-of-this-id"},
        "refreshPricing": {"url": "http://127.0.0.1:9/none"},
    }.get(name, {})


@pytest.mark.parametrize("name", REQUESTS)
def test_every_request_answers_what_the_schemas_say(
    name: str, client: Client, session: str
) -> None:
    found = client.call(f"copilotUsage/{name}", needed(name, session))
    if name in ("forget", "refreshPricing"):  # nothing of that name; nobody there
        codes = {row["name"]: row["code"] for row in METHODS["errors"]}
        assert found["error"]["code"] in [codes[each] for each in REQUESTS[name]["errors"]]
        return
    schema = TYPES.closed(REQUESTS[name]["result"])
    Draft202012Validator(schema).validate(found["result"])


@pytest.mark.parametrize("name", REQUESTS)
def test_every_request_is_answered_whatever_its_params(
    name: str, client: Client, session: str
) -> None:
    required = bool(needed(name, session)) and name not in ("forget", "refreshPricing")
    for params in ((), (None,), ([],)):
        if name == "refreshPricing":
            break  # it would ask the network
        found = client.call(f"copilotUsage/{name}", *params)
        if required:
            assert found["error"]["code"] == -32602
            assert "is missing" in found["error"]["message"]
        elif name == "forget":
            assert found["error"]["code"] == 1101
        else:
            assert "result" in found, found
    for params, path in (
        ({"noSuchField": 1}, "params.noSuchField"),
        ("text", "params"), (7, "params"), (True, "params"), ([1, 2], "params"),
    ):  # fmt: skip
        code, message = client.error(name, params)
        assert code == -32602
        assert message.startswith(path), message
    fields = TYPES.flat(REQUESTS[name]["params"])["properties"]
    for field in fields:
        code, message = client.error(name, {**needed(name, session), field: {"a": [1]}})
        assert code == -32602
        assert f"params.{field}" in message, message


WRONG = [
    ("listSessions", {"limit": 0}, "params.limit must be at least 1"),
    ("listSessions", {"limit": 1.5}, "params.limit must be a whole number"),
    ("listSessions", {"limit": True}, "params.limit must be a whole number"),
    ("aggregate", {"by": ["day", "moon"]}, "params.by[1] must be one of"),
    ("aggregate", {"filters": {"model": "gpt"}}, "params.filters.model must be a list"),
    ("aggregate", {"filters": {"x": 1}}, "params.filters.x is no field of Filters"),
    ("aggregate", {"workDoneToken": [1]}, "params.workDoneToken must be a text or a whole number"),
    ("analyzeSession", {"session": "x", "detail": "all"}, "params.detail must be one of"),
    ("getStatus", {"folders": ["a", 2]}, "params.folders[1] must be a text"),
    ("getStatus", {"x" * 5000: 1}, "params." + "x" * 40 + "…"),
]


@pytest.mark.parametrize(("name", "params", "message"), WRONG)
def test_what_is_wrong_is_named_by_its_path(
    name: str, params: Any, message: str, client: Client
) -> None:
    code, text = client.error(name, params)
    assert code == -32602
    assert text.startswith(message)


RAISED = [
    ("analyzeSession", {"session": "no-such-session"}, 1001),
    ("getStatus", {"session": "no-such-session"}, 1001),
    ("analyzeSession", {"session": "/no/such/path"}, 1001),
    ("replaySession", {"session": "no-such-session"}, 1001),
    ("forget", {"project": "/no/such/project"}, 1002),
    ("getPrices", {"model": "no-such-model"}, 1003),
    ("listSessions", {"cursor": "x"}, 1101),
    ("forget", {"session": "a", "project": "b"}, 1101),
    ("getPrices", {"on": "7d"}, 1101),
    ("refreshPricing", {"url": "http://example.invalid/"}, 1101),
    ("replaySession", {"session": "x", "limit": 0}, -32602),
    ("scanRoutingQuality", {"directory": "/no/such/folder"}, 1101),
    ("listSessions", {"agent": "nobody"}, 1102),
    ("aggregate", {"filters": {"agent": ["nobody"]}}, 1102),
    ("aggregate", {"window": "yesterday-ish"}, 1103),
    ("aggregate", {"since": "2026-13-01"}, 1103),
    ("scanRoutingQuality", {"window": "7 moons"}, 1103),
    ("forget", {"before": "soon"}, 1103),
    ("listSessions", {"pattern": "("}, 1104),
]


@pytest.mark.parametrize(("name", "params", "code"), RAISED)
def test_our_errors_have_their_codes(name: str, params: Any, code: int, client: Client) -> None:
    found, message = client.error(name, params)
    assert found == code
    assert "\n" not in message
    assert "Traceback" not in message


def test_unknown_methods_and_odd_messages_are_answered(client: Client) -> None:
    assert client.call("copilotUsage/none")["error"]["code"] == -32601
    assert client.call("textDocument/hover", {})["error"]["code"] == -32601
    assert client.call("initialize", {"capabilities": {}})["error"]["code"] == -32600
    for odd in ([], 7, "x", None, {"jsonrpc": "2.0"}, {"jsonrpc": "2.0", "id": [1], "method": "x"}):
        client.send(odd)
        assert client.unasked.get(timeout=PATIENCE)["error"]["code"] == -32600
    client.send({"jsonrpc": "1.0", "id": "a", "method": "copilotUsage/getStatus"})
    client.wait(lambda: "a" in client._answers, "no answer")
    client.send({"id": 1.5, "jsonrpc": "2.0", "method": "copilotUsage/getStatus"})
    assert client.unasked.get(timeout=PATIENCE)["error"]["code"] == -32600
    client.send({"jsonrpc": "2.0", "id": "nobody-asked", "result": 1})
    client.notify("copilotUsage/unknownNotification", {"a": 1})
    client.notify("$/cancelRequest", {"id": 999})
    client.notify("$/cancelRequest", [])
    client.notify("workspace/didChangeConfiguration")
    # an object that looks like a message is just an object
    code, _ = client.error("getStatus", {"inner": {"jsonrpc": "2.0", "id": 1, "method": "x"}})
    assert code == -32602
    assert "result" in client.call("copilotUsage/getStatus")


BROKEN = [
    b"Content-Length: x\r\n\r\n{}",
    b"Content-Length: 5\r\n\r\nhello",
    b"Content-Length: 0\r\n\r\n",
    b"Content-Length: 99999999999\r\n\r\n",
    b"\x00\xff\xfe garbage without an end " * 500,
    b"Content-Type: x\r\n\r\n",
    b'Content-Length: 30\r\n\r\n{"too": "short"}',
    b'Content-Length: 4\r\n\r\n{"too": "long"}',
    b"Content-Length: 2\r\n\r\n\xff\xff",
    b"Content-Length: 200000\r\n\r\n" + b"[" * 200000,
]


@pytest.mark.parametrize("data", BROKEN, ids=range(len(BROKEN)))
def test_broken_framing_costs_at_most_that_message(data: bytes, client: Client) -> None:
    client.raw(data)
    numbers = [client.ask("copilotUsage/getSettings") for _ in range(3)]
    assert all("result" in client.answer(number) for number in numbers[1:])
    assert client.unasked.get(timeout=PATIENCE)["error"]["code"] == -32700
    while not client.unasked.empty():
        client.unasked.get()


def test_headers_are_read_as_the_protocol_says(client: Client) -> None:
    body = b'{"jsonrpc":"2.0","id":"h","method":"copilotUsage/getSettings"}'
    client.raw(
        b"content-type: application/vscode-jsonrpc; charset=utf-8\r\ncontent-length:%d\r\n\r\n"
        % len(body) + body
    )  # fmt: skip
    client.wait(lambda: "h" in client._answers, "no answer")


def test_a_thousand_pipelined_requests_are_answered(client: Client, session: str) -> None:
    names = ["getStatus", "getSettings", "listSessions", "pricingStatus", "unsubscribe"]
    client.raw(
        b"".join(
            frame(
                {
                    "jsonrpc": "2.0",
                    "id": f"p{number}",
                    "method": f"copilotUsage/{names[number % len(names)]}",
                    "params": needed(names[number % len(names)], session),
                }
            )
            for number in range(1000)
        )
    )
    for number in range(1000):
        client.wait(lambda n=number: f"p{n}" in client._answers, "no answer")
        assert "result" in client._answers.pop(f"p{number}")


def test_ten_megabytes_of_params_are_answered(client: Client) -> None:
    big = "x" * (10 << 20)
    assert client.result("listSessions", {"text": big})["sessions"] == []
    code, message = client.error("listSessions", {"limit": big})
    assert code == -32602
    assert len(message) < 600


def test_before_initialize_and_after_shutdown(home: Path) -> None:
    with Client(home) as client:
        assert client.error("getStatus")[0] == -32002
        assert client.call("shutdown")["error"]["code"] == -32002
        client.start()
        assert "result" in client.call("shutdown")
        assert client.error("getStatus")[0] == -32600
        assert client.call("shutdown")["error"]["code"] == -32600
        client.notify("exit")
        assert client.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("way", ["eof", "eof in a message", "exit", "killed"])
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="children are looked up in /proc")
def test_the_process_ends_and_leaves_no_child(way: str, home: Path) -> None:
    with Client(home) as client:
        client.start()
        client.result("listSessions")
        children = client.children()
        assert len(children) == 1
        begun = time.monotonic()
        assert client.process.stdin is not None
        if way == "exit":
            client.notify("exit")
        elif way == "killed":
            client.process.send_signal(signal.SIGKILL)
        else:
            if way == "eof in a message":
                client.raw(b'Content-Length: 500\r\n\r\n{"jsonrpc": "2.0", "id": 5, ')
            client.process.stdin.close()
        client.process.wait(PATIENCE)
        took = time.monotonic() - begun
        deadline = time.monotonic() + PATIENCE
        while any(is_running(child) for child in children):
            assert time.monotonic() < deadline, "the child is still there"
        assert took < 1 or os.getloadavg()[0] > 2


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_figures_equal_the_truth_and_the_command_line(
    client: Client, session: str, home: Path
) -> None:
    import subprocess

    from client import environment

    status = client.result("getStatus")
    assert status["session"]["id"] == session
    assert status["session"]["totals"]["nanoAiu"] == NANO
    report = client.result("analyzeSession", {"session": session, "detail": "full"})
    command = [sys.executable, "-m", "session_usage.cli", "--home", str(home), "--json"]
    for arguments, found in (
        (["show", session, "--detail", "full"], report),
        (["report", "--by", "model,day"], client.result("aggregate", {"by": ["model", "day"]})),
    ):
        text = subprocess.run(
            [*command, *arguments], check=True, capture_output=True, env=environment(home)
        ).stdout
        said = json.loads(text)
        found.pop("knownSince", None)
        assert found == said
    chain = client.result("explain", {"session": session})
    assert chain["nanoAiu"] == sum(part["nanoAiu"] for part in chain["parts"]) == NANO


def test_sessions_are_paged_and_found(client: Client, session: str, home: Path) -> None:
    page = client.result("listSessions", {"limit": 1})
    assert page["total"] == 1
    assert page["cursor"] is None
    row = page["sessions"][0]
    assert client.result("findSessionById", {"id": session[:8]}) == row
    assert client.result("findSessionsByTitle", {"title": "FIX CALC"})["sessions"] == [row]
    assert client.result("listSessions", {"workspace": row["workspace"].upper()})["total"] == 1
    assert client.result("listSessions", {"workspace": "/elsewhere"})["total"] == 0
    assert client.result("listSessions", {"pattern": "^fix"})["total"] == 1
    assert client.result("listSessions", {"until": "2020-01-01"})["total"] == 0
    report = client.result("analyzeSession", {"session": str(journal(home))})
    assert report["id"] == session
    workspace = "file://" + row["workspace"]
    assert client.result("analyzeLatest", {"workspace": workspace})["id"] == session
    assert client.error("analyzeLatest", {"workspace": "file:///elsewhere"})[0] == 1001


def test_messages_come_from_the_log_alone(client: Client, session: str, home: Path) -> None:
    found = client.result("readSession", {"session": session, "maxCharacters": 5})
    assert [message["role"] for message in found["messages"]].count("user") == 1
    assert all(len(message["text"]) <= 5 for message in found["messages"])
    turn = found["messages"][0]["turn"]
    only = client.result("readSession", {"session": session, "turn": turn, "roles": ["user"]})
    assert [message["turn"] for message in only["messages"]] == [turn]


def said_by_cli(home: Path, *arguments: str) -> str:
    """What the command line prints."""
    import subprocess

    from client import environment

    command = [sys.executable, "-m", "session_usage.cli", "--home", str(home), *arguments]
    return subprocess.run(
        command, check=True, capture_output=True, env=environment(home), encoding="utf-8"
    ).stdout


def pages(client: Client, session: str, limit: int) -> list[str]:
    """A transcript, page by page."""
    found: list[str] = []
    cursor = None
    while not found or cursor is not None:
        page = client.result(
            "replaySession", {"session": session, "limit": limit, "cursor": cursor}
        )
        found.append(page["text"])
        cursor = page["cursor"]
    return found


def test_a_transcript_is_that_of_the_command_line_page_by_page(
    client: Client, session: str, home: Path
) -> None:
    whole = said_by_cli(home, "replay", session)
    assert client.result("replaySession", {"session": session}) == {"text": whole, "cursor": None}
    assert client.result("replaySession", {"session": str(journal(home))})["text"] == whole
    for limit in (500, len(whole) - 1, len(whole)):
        found = pages(client, session, limit)
        assert "".join(found) == whole
        assert {len(page) for page in found[:-1]} <= {limit}
        assert 0 < len(found[-1]) <= limit
    beyond = {"session": session, "cursor": str(len(whole) + 7)}
    assert client.result("replaySession", beyond) == {"text": "", "cursor": None}


@pytest.mark.parametrize(("folder", "case"), SPOKEN)
def test_messages_of_every_agent_have_texts_and_turns(
    folder: str, case: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    places = lay(folder, case, home)
    with Client(home) as client:
        client.start(userDataDirs=list(places.user_data_dirs))
        roles, turns = set(), set()
        for row in client.result("listSessions")["sessions"]:
            known = {"session": row["id"], "agent": row["agent"]}
            assert client.result("replaySession", known)["cursor"] is None
            for message in client.result("readSession", known)["messages"]:
                assert message["text"]
                assert Path(message["path"]).exists()
                roles.add(message["role"])
                turns.add(message["turn"])
                only = client.result("readSession", {**known, "turn": message["turn"]})
                assert message in only["messages"]
        assert roles == {"user", "assistant"}
        assert None not in turns


def test_a_run_that_is_logged_shows_in_the_status(tmp_path: Path) -> None:
    """The walk-through of the README, to its end."""
    from session_usage.session_log import SessionLogger

    home, runs = tmp_path / "home", tmp_path / "runs"
    home.mkdir()
    runs.mkdir()
    with Client(home) as client:
        client.start(settings={"agentLogDirs": [str(runs)]})
        assert client.result("subscribe")["status"]["session"] is None
        with SessionLogger(str(runs), "monday") as log:
            start = {"provider": "openai", "model": "gpt-5.5", "prompt": "Say hello"}
            log.emit("session.start", start)
            used = {"input": 1200, "output": 40, "total": 1240}
            log.emit("llm.response", {"content": "Hello!", "usage": used, "cost_usd": 0.0042})
            log.emit("session.end", {"status": "success", "tokens": used, "cost_usd": 0.0042})
        status = client.note(
            "copilotUsage/statusChanged",
            lambda p: (
                p["status"]["session"]
                and p["status"]["session"]["totals"]["nanoAiu"] == 420_000_000
            ),
        )["status"]
        assert status["session"]["id"] == "monday"
        assert status["today"]["totals"]["nanoAiu"] == 420_000_000
        text = said_by_cli(home, "--agent-log-dir", str(runs), "replay", "monday")
        assert "Hello!" in text
        assert client.result("replaySession", {"session": "monday"})["text"] == text
        assert "".join(pages(client, "monday", 40)) == text
        said = client.result("readSession", {"session": "monday"})["messages"]
        assert [(message["role"], message["text"]) for message in said] == [
            ("user", "Say hello"),
            ("assistant", "Hello!"),
        ]
        assert said[0]["turn"] == said[1]["turn"] is not None
        with (runs / "monday.jsonl").open("ab") as file:
            file.write(b'{"session_id": 7}\n')
        assert client.error("replaySession", {"session": "monday"})[0] == 1203
        (runs / "monday.jsonl").unlink()
        assert client.error("replaySession", {"session": "monday"})[0] == 1001
        assert client.result("readSession", {"session": "monday"})["messages"] == []


def test_routing_is_scanned_as_by_the_command_line(tmp_path: Path) -> None:
    from session_usage.session_log import SessionLogger

    home, runs = tmp_path / "home", tmp_path / "runs"
    home.mkdir()
    shutil.copytree(DATA / "agent-log" / "usage", runs)
    with SessionLogger(str(runs), "overruled") as log:
        log.emit("session.start", {"provider": "openai", "model": "gpt-5.5", "prompt": "Hello"})
        pin = {"axes_overridden": ["model"], "match_per_axis": {"model": False}}
        log.emit("override", {**pin, "outcome": {"status": "success"}})
    bad = str(DATA / "agent-log" / "usage-bad")
    with Client(home, "--agent-log-dir", str(runs)) as client:
        client.start()
        for params, arguments in (
            ({}, [str(runs)]),
            ({"directory": runs.as_uri()}, [str(runs)]),
            ({"window": "2026-04-08"}, [str(runs), "--window", "2026-04-08"]),
            ({"directory": bad}, [bad]),
        ):
            found = client.result("scanRoutingQuality", params)
            Draft202012Validator(TYPES.closed("RoutingQuality")).validate(found)
            assert found == json.loads(said_by_cli(home, "routing", *arguments, "--json"))
        assert len(found["skipped"]) == 1
        (row,) = client.result("scanRoutingQuality")["overrideClassBreakdown"]
        assert (row["axis"], row["match"], row["successOutcomes"]) == ("model", False, 1)


def test_a_full_report_says_how_the_session_was_routed(tmp_path: Path) -> None:
    home, runs = new_home(tmp_path), tmp_path / "runs"
    runs.mkdir()
    shutil.copy(DATA / "agent-log" / "replay" / "full.jsonl", runs)
    with Client(home, "--agent-log-dir", str(runs)) as client:
        client.start()
        found = client.result("analyzeSession", {"session": "full", "detail": "full"})
        Draft202012Validator(TYPES.closed("SessionReport")).validate(found)
        assert found["routing"]["sticky"]["assignment"] == "reused"
        shown = json.loads(
            said_by_cli(
                home, "--agent-log-dir", str(runs), "show", "full", "--detail", "full", "--json"
            )
        )
        assert shown["routing"] == found["routing"]
        compact = client.result("analyzeSession", {"session": "full"})
        assert "routing" not in compact
        other = client.result("analyzeLatest", {"agent": "copilot-cli", "detail": "full"})
        assert other["routing"] is None
        (runs / "full.jsonl").unlink()
        found = client.result("analyzeSession", {"session": "full", "detail": "full"})
        assert found["routing"] is None


def test_commands_answer_and_show_a_message(client: Client, session: str) -> None:
    for row in METHODS["commands"]:
        found = client.call("workspace/executeCommand", {"command": row["name"]})
        message = found["result"]["message"]
        assert client.note("window/showMessage", lambda p, m=message: p["message"] == m)
    assert (
        "8.30"
        in client.call(
            "workspace/executeCommand",
            {"command": "copilotUsage.showCost", "arguments": [{"session": session}]},
        )["result"]["message"]
    )
    for params in (
        {}, {"command": "other"}, {"command": "copilotUsage.doctor", "arguments": [1]},
        {"command": "copilotUsage.doctor", "arguments": [{"x": 1}]}, None, [],
    ):  # fmt: skip
        assert client.call("workspace/executeCommand", params)["error"]["code"] == -32602


def test_progress_is_reported_and_ends(client: Client) -> None:
    for name in ("batchAnalyze", "doctor", "aggregate", "reindex"):
        token = f"token-{name}"
        client.result(name, {"workDoneToken": token})
        kinds = []
        while "end" not in kinds:
            note = client.note("$/progress", lambda p, t=token: p["token"] == t)
            kinds.append(note["value"]["kind"])
        assert kinds[0] == "begin"


def test_a_cancelled_request_is_answered_at_once(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    with Client(home) as client:
        client.start()
        client.result("listSessions")
        child = client.children()[0]
        os.kill(child, signal.SIGSTOP)  # the child never answers
        try:
            number = client.ask("copilotUsage/reindex")
            other = client.ask("copilotUsage/getStatus")
            assert "result" in client.answer(other)  # nobody waits for the slow one
            begun = time.monotonic()
            client.notify("$/cancelRequest", {"id": number})
            assert client.answer(number)["error"]["code"] == -32800
            assert time.monotonic() - begun < 0.1 or os.getloadavg()[0] > 2
        finally:
            os.kill(child, signal.SIGCONT)


def test_each_new_request_is_pushed_with_the_right_total(tmp_path: Path) -> None:
    home = new_home(tmp_path, "home with spaces # % é")
    log, lines = emptied(home)
    records = [json.loads(line) for line in lines if b'"session.usage_record"' in line]
    with Client(home) as client:
        client.start()
        workspace = json.loads(lines[0])["data"]["context"]["cwd"]
        first = client.result("subscribe", {"workspace": workspace})
        assert (
            first["status"]["session"] is None
            or not first["status"]["session"]["totals"]["requests"]
        )
        elsewhere = client.result("subscribe", {"workspace": "/elsewhere", "events": False})
        total = 0
        for line in lines:
            with log.open("ab") as file:
                file.write(line[:20])
                file.flush()
                file.write(line[20:])
            if b'"session.usage_record"' not in line:
                continue
            total += records.pop(0)["data"]["usage"]["copilotUsage"]["totalNanoAiu"]
            status = client.note(
                "copilotUsage/statusChanged",
                lambda p, t=total: (
                    p["subscription"] == first["subscription"]
                    and p["status"]["session"]
                    and p["status"]["session"]["totals"]["nanoAiu"] == t
                ),
            )
            Draft202012Validator(TYPES.closed("StatusChanged")).validate(status)
            event = client.note(
                "copilotUsage/sessionEvent",
                lambda p, t=total: p["kind"] == "request" and p["nanoAiu"] == t,
            )
            Draft202012Validator(TYPES.closed("SessionEvent")).validate(event)
        assert total == NANO
        client.note("copilotUsage/sessionEvent", lambda p: p["kind"] == "ended")
        assert not records
        assert client.result("unsubscribe", {"subscription": first["subscription"]})["removed"]
        assert elsewhere["status"]["session"] is None


def test_a_new_session_in_a_new_folder_is_found(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with Client(home) as client:
        client.start()
        status = client.result("subscribe")["status"]
        assert status["session"] is None
        assert status["knownSince"] is None
        shutil.copytree(DATA / "copilot-cli" / "capi-tools" / "state", home / ".copilot")
        client.note(
            "copilotUsage/statusChanged",
            lambda p: (
                p["status"]["session"] and p["status"]["session"]["totals"]["nanoAiu"] == NANO
            ),
        )
        event = client.note("copilotUsage/sessionEvent", lambda p: p["kind"] == "session")
        assert event["newRequests"] >= 0


def test_the_first_chat_of_an_open_vs_code_window_is_found_at_once(tmp_path: Path) -> None:
    """Its folders are made one after the other, the log last; a slow sweep is not waited for."""
    home = tmp_path / "home"
    window = home / ".config" / "Code" / "User" / "workspaceStorage" / "1a2b"
    window.mkdir(parents=True)
    with Client(home) as client:
        client.start()
        session = "7c1f0a52-5b7e-4f57-9d52-8d8f3a2f7b11"
        storage = str(window / "session-usage.copilot-usage")
        assert client.result("subscribe", {"storage": storage})["status"]["session"] is None
        for number in (1, 2, 3):
            folder = window / "GitHub.copilot-chat" / "debug-logs" / f"{number}{session[1:]}"
            folder.mkdir(parents=True)
            line = {
                "ts": int(time.time() * 1000), "dur": 10, "sid": folder.name,
                "type": "llm_request", "name": "chat:gpt-5.4", "spanId": f"{number:016}",
                "status": "ok", "attrs": {
                    "model": "gpt-5.4", "inputTokens": 10, "outputTokens": 1, "cachedTokens": 0,
                    "copilotUsageNanoAiu": number * NANO,
                },
            }  # fmt: skip
            (folder / "main.jsonl").write_text(json.dumps(line) + "\n")
            client.note(
                "copilotUsage/statusChanged",
                lambda p, amount=number * NANO: (
                    p["status"]["session"] and p["status"]["session"]["totals"]["nanoAiu"] == amount
                ),
            )


def test_history_stays_when_logs_and_their_folders_vanish(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    with Client(home) as client:
        client.start()
        assert client.result("aggregate")["totals"]["nanoAiu"] == NANO
        client.result("subscribe")
        shutil.rmtree(home / ".copilot")
        assert client.result("aggregate")["totals"]["nanoAiu"] == NANO
    with Client(home) as client:
        client.start()
        assert client.result("aggregate")["totals"]["nanoAiu"] == NANO
        assert client.result("doctor")["ledger"]["gone"] > 0


def test_what_is_forgotten_stays_forgotten(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    with Client(home) as client:
        client.start()
        row = client.result("listSessions")["sessions"][0]
        assert client.result("forget", {"session": row["id"]}) == {"sessions": 1, "requests": 4}
        assert client.error("analyzeSession", {"session": row["id"]})[0] == 1001
        client.result("reindex")
        assert client.result("aggregate")["totals"]["requests"] == 0
    with Client(home) as client:
        client.start()
        assert client.result("listSessions")["total"] == 0
        assert client.result("aggregate")["totals"]["requests"] == 0


def test_settings_of_the_file_and_of_the_editor(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    own = home / "own"
    own.mkdir()
    (own / "settings.json").write_text('{"plan": "pro", "zone": "Asia/Tokyo", "retentionDays": -1}')
    with Client(home) as client:
        client.start(settings={"plan": "max", "pythonPath": "/usr/bin/python3"})
        found = client.result("getSettings")
        assert found["settings"] == {"plan": "max", "zone": "Asia/Tokyo"}
        assert len(found["problems"]) == 1
        assert "retentionDays" in found["problems"][0]
        status = client.result("getStatus")
        assert status["allowance"]["plan"] == "max"
        assert status["today"]["zone"] == "Asia/Tokyo"
        workspace = status["session"]["workspace"]
        client.notify(
            "workspace/didChangeConfiguration",
            {"settings": {"copilotUsage": {"excludeProjects": [workspace], "plan": ""}}},
        )
        assert client.result("getStatus")["allowance"] is None
        client.result("subscribe")
        if client.result("aggregate")["totals"]["requests"]:
            client.note("copilotUsage/statusChanged", lambda p: p["status"]["session"] is None)
        assert client.result("aggregate")["totals"]["requests"] == 0


def test_the_window_of_initialize_is_the_default(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    with Client(home) as client:
        client.start(workspace="/elsewhere")
        assert client.result("getStatus")["session"] is None
    with Client(home) as client:
        found = client.call(
            "initialize",
            {"capabilities": {}, "workspaceFolders": [{"uri": "file:///elsewhere", "name": "x"}]},
        )
        assert "executeCommandProvider" in found["result"]["capabilities"]
        assert client.result("getStatus")["session"] is None
        assert client.result("analyzeLatest", {"workspace": "/home/dev/project"})["id"]
    with Client(home) as client:
        bad = {"capabilities": {}, "initializationOptions": {"workspace": 7}}
        assert client.call("initialize", bad)["error"]["code"] == -32602
        client.start()


def test_the_session_of_a_vs_code_window_is_known_by_its_storage(tmp_path: Path) -> None:
    user_data = tmp_path / "data"
    shutil.copytree(DATA / "vscode" / "run6-capi-basic", user_data)
    home = tmp_path / "home"
    home.mkdir()
    storage = next((user_data / "User" / "workspaceStorage").iterdir())
    with Client(home) as client:
        client.start(userDataDirs=[str(user_data)], storage=str(storage / "me.my-extension"))
        found = client.result("getStatus")["session"]
        assert found["agent"] == "copilot-vscode"
        other = str(storage.with_name("other") / "me.my-extension")
        assert client.result("getStatus", {"storage": other})["session"] is None


def test_two_servers_share_one_ledger(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    log, lines = emptied(home)
    with Client(home) as one, Client(home) as two:
        for client in (one, two):
            client.start()
            client.result("subscribe")
        log.write_bytes(b"".join(lines))
        for client in (one, two):
            client.note(
                "copilotUsage/statusChanged",
                lambda p: (
                    p["status"]["session"] and p["status"]["session"]["totals"]["nanoAiu"] == NANO
                ),
            )
        totals = [client.result("aggregate", {"by": ["model"]}) for client in (one, two)]
        assert totals[0]["totals"] == totals[1]["totals"]
        writers = [client.result("doctor")["ledger"]["writer"] for client in (one, two)]
        assert sorted(writers) == [False, True]
        keeper, other = (one, two) if writers[0] else (two, one)
        assert other.error("reindex")[0] == 1202
        keeper.process.kill()
        keeper.process.wait()
        with log.open("ab") as file:  # the other one takes over
            file.write(lines[-1])
        shutil.copytree(log.parent, log.parent.with_name("11111111-2222-3333-4444-555555555555"))
        other.note("copilotUsage/sessionEvent", lambda p: p["session"].startswith("11111111"))


def test_two_servers_and_the_command_line_on_one_ledger_while_logs_grow(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    log, lines = emptied(home)

    def report(*options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "session_usage.cli", "report", "--by", "model", "--json"]
        return subprocess.Popen(
            [*command, "--home", str(home), *options], stdout=subprocess.PIPE,
            env=environment(home),
        )  # fmt: skip

    def totals(process: subprocess.Popen[bytes]) -> dict[str, Any]:
        said, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
        found: dict[str, Any] = json.loads(said)["totals"]
        return found

    with Client(home) as one, Client(home) as two:
        for client in (one, two):
            client.start()
            client.result("subscribe")
        growing = []
        for number, line in enumerate(lines):
            if number % (len(lines) // 4) == 0:
                growing.append(report())
            for part in (line[: len(line) // 2], line[len(line) // 2 :]):
                with log.open("ab") as file:
                    file.write(part)
        for process in growing:
            assert (totals(process)["nanoAiu"] or 0) <= NANO
        for client in (one, two):
            client.note(
                "copilotUsage/statusChanged",
                lambda p: (
                    p["status"]["session"] and p["status"]["session"]["totals"]["nanoAiu"] == NANO
                ),
            )
        truth = totals(report("--no-ledger"))
        assert truth["nanoAiu"] == NANO
        assert totals(report()) == truth
        for client in (one, two):
            assert client.result("aggregate", {"by": ["model"]})["totals"] == truth


def test_over_a_websocket_with_its_token(home: Path) -> None:
    websockets = pytest.importorskip("websockets.sync.client")
    closed = pytest.importorskip("websockets.exceptions").ConnectionClosed
    with Client(home, "--websocket", "0", "--token", "secret") as client:
        client.wait(lambda: client.errors, "no address")
        assert client.errors[0].startswith("session-usage: websocket 127.0.0.1:")
        port = int(client.errors[0].rpartition(":")[2])
        with websockets.connect(f"ws://127.0.0.1:{port}", max_size=None) as connection:

            def ask(method: str, params: Any = None) -> Any:
                message = {"jsonrpc": "2.0", "id": method, "method": method, "params": params}
                connection.send(json.dumps(message))
                while (found := json.loads(connection.recv(PATIENCE))).get("id") != method:
                    pass
                return found

            assert ask("copilotUsage/getStatus")["error"]["code"] == -32002
            for options in ({}, {"token": "wrong"}):
                refused = ask("initialize", {"capabilities": {}, "initializationOptions": options})
                assert refused["error"]["code"] == -32600
            assert ask("copilotUsage/getStatus")["error"]["code"] == -32002
            options = {"token": "secret"}
            assert "result" in ask(
                "initialize", {"capabilities": {}, "initializationOptions": options}
            )
            found = ask("copilotUsage/getStatus")["result"]
            assert found["session"]["totals"]["nanoAiu"] == NANO
            connection.send("{ no JSON")
            assert json.loads(connection.recv(PATIENCE))["error"]["code"] == -32700
            with (
                websockets.connect(f"ws://127.0.0.1:{port}") as other,  # one client, no more
                pytest.raises(closed),
            ):
                other.recv(PATIENCE)
        assert client.process.wait(PATIENCE) == 1


def test_only_this_machine_unless_there_is_a_token(home: Path) -> None:
    with Client(home, "--tcp", "0", "--host", "0.0.0.0") as client:
        assert client.process.wait(PATIENCE) == 2
    with Client(home, "--tcp", "0", "--token", "secret") as client:
        client.wait(lambda: client.errors, "no address")
        assert client.errors[0].startswith("session-usage: tcp 127.0.0.1:")
        port = int(client.errors[0].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            stream = connection.makefile("rb")
            ask = {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "initialize",
                "params": {"capabilities": {}},
            }
            connection.sendall(frame(ask))
            answer = read(stream)
            assert answer is not None
            assert answer["error"]["code"] == -32600
            ask["params"] = {"capabilities": {}, "initializationOptions": {"token": "secret"}}
            connection.sendall(frame(ask))
            answer = read(stream)
            assert answer is not None
            assert "result" in answer
            connection.sendall(
                frame({"jsonrpc": "2.0", "id": 2, "method": "copilotUsage/getStatus"})
            )
            answer = read(stream)
            assert answer is not None
            assert answer["result"]["session"]["totals"]["nanoAiu"] == NANO
            stream.close()
        client.process.wait(PATIENCE)


def test_nothing_of_a_message_and_no_trace_is_said(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    log = journal(home)
    secret = "UNMISTAKABLE-SECRET"
    log.write_bytes(log.read_bytes().replace(b'"content":"', b'"content":"' + secret.encode()))
    with Client(home) as client:
        client.start()
        found = []
        session = client.result("listSessions")["sessions"][0]["id"]
        for name in REQUESTS:
            if name in ("readSession", "replaySession", "refreshPricing", "forget"):
                continue
            found.append(client.call(f"copilotUsage/{name}", needed(name, session)))
        assert secret not in json.dumps(found)
        for name in ("readSession", "replaySession"):
            assert secret in json.dumps(client.result(name, {"session": session}))
        kept = b"".join(file.read_bytes() for file in (home / "own").rglob("*.db*"))
        assert kept
        assert secret.encode() not in kept
        client.notify("exit")
        client.process.wait(PATIENCE)
        assert client.errors == []


def test_a_damaged_ledger_is_one_problem(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    with Client(home) as client:
        client.start()
        client.result("listSessions")
        path = Path(client.result("doctor")["ledger"]["path"])
    for file in path.parent.glob("ledger*.db*"):
        file.write_bytes(b"damaged" * 100)
    with Client(home) as client:
        client.start()
        problem = client.note("copilotUsage/problem")
        assert problem["kind"] == "ledger"
        Draft202012Validator(TYPES.closed("Problem")).validate(problem)
        assert client.result("aggregate")["totals"]["nanoAiu"] == NANO
        assert not [note for note in client.notes if note["method"] == "copilotUsage/problem"]


@pytest.mark.skipif(os.name == "nt", reason="a file that is open cannot be renamed")
@pytest.mark.parametrize("harm", ["noise", "DROP TABLE files", "DROP TABLE cells"])
@pytest.mark.parametrize("running", [True, False], ids=["running", "before"])
def test_a_ledger_damaged_within_is_one_problem(running: bool, harm: str, tmp_path: Path) -> None:
    home = new_home(tmp_path)
    with Client(home) as client:
        client.start()
        path = Path(client.result("doctor")["ledger"]["path"])
        client.result("getStatus")
        client.result("subscribe")
        if running:
            spoil(path, harm)
            answer_after_damage(client, path)
    if not running:
        spoil(path, harm)
        with Client(home) as client:
            client.start()
            answer_after_damage(client, path)


@pytest.mark.skipif(os.name == "nt", reason="a file that is open cannot be renamed")
def test_two_servers_answer_the_truth_after_damage(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    with Client(home) as one, Client(home) as other:
        one.start()
        path = Path(one.result("doctor")["ledger"]["path"])
        other.start()
        other.result("getStatus")
        spoil(path, "DROP TABLE cells")
        for client in (other, one):
            assert client.result("aggregate")["totals"]["nanoAiu"] == NANO
        assert (one.errors, other.errors) == ([], [])


def spoil(path: Path, harm: str) -> None:
    connection = sqlite3.connect(path)
    if harm == "noise":
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(2 * 4096)
            file.write(random.Random(3).randbytes(size - 2 * 4096))
        return
    connection.execute(harm)
    connection.commit()
    connection.close()


def answer_after_damage(client: Client, path: Path) -> None:
    """Everything is answered, the truth, and the damage told of once."""
    assert client.result("getStatus")
    assert client.result("aggregate")["totals"]["nanoAiu"] == NANO
    problem = client.note("copilotUsage/problem")
    assert problem["kind"] == "ledger"
    assert client.result("analyzeLatest")
    assert client.result("doctor")["ledger"]["path"] == str(path)
    assert not [note for note in client.notes if note["method"] == "copilotUsage/problem"]
    (kept,) = path.parent.glob("*.db.damaged-*[0-9]")
    assert kept.name in problem["message"]
    assert client.errors == []


def test_a_ledger_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    with Client(home) as client:
        client.start()
        path = Path(client.result("doctor")["ledger"]["path"])
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with Client(home) as client:
        client.start()
        problem = client.note("copilotUsage/problem")
        assert "version 99" in problem["message"]
        assert str(path) in problem["message"]
        assert client.result("aggregate")["totals"]["nanoAiu"] == NANO
    assert not list(path.parent.glob("*.damaged-*"))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_state_folder_without_the_right_to_write(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    (home / "own").mkdir(mode=0o500)
    with Client(home) as client:
        client.start()
        assert client.note("copilotUsage/problem")["kind"] == "ledger"
        assert client.result("aggregate")["totals"]["nanoAiu"] == NANO


@pytest.mark.parametrize("moment", range(3))
def test_kill_9_of_the_server_loses_nothing(moment: int, tmp_path: Path) -> None:
    home = new_home(tmp_path)
    log, lines = emptied(home)
    with Client(home) as client:
        client.start()
        client.result("subscribe")
        for number, line in enumerate(lines):
            with log.open("ab") as file:
                file.write(line)
            if number == moment * len(lines) // 3:
                client.process.kill()
    with Client(home) as client:
        client.start()
        found = client.result("aggregate", {"by": ["model", "session"]})
        assert found["totals"]["nanoAiu"] == NANO
        assert found["totals"]["requests"] == 4


@pytest.mark.parametrize("events", [False, True], ids=["looking", "events"])
def test_a_session_that_slept_for_long_is_noticed(events: bool, tmp_path: Path) -> None:
    """It is not among the newest ones that are looked at all the time."""
    if events:
        pytest.importorskip("watchfiles")
    home = new_home(tmp_path)
    one = journal(home).parent
    for number in range(40):
        copy = one.with_name(f"{number:08d}-0000-0000-0000-000000000000")
        shutil.copytree(one, copy)
        for file in copy.iterdir():
            os.utime(file, (1_700_000_000 + number,) * 2)
    with Client(home) as client:
        client.start()
        assert client.result("listSessions")["total"] == 41
        client.result("subscribe")
        slept = one.with_name(f"{3:08d}-0000-0000-0000-000000000000")
        with (slept / "events.jsonl").open("ab") as file:
            file.write(b"\n")
        client.note(
            "copilotUsage/statusChanged", lambda p: p["status"]["session"]["id"] == slept.name
        )


def test_folders_to_watch_are_few() -> None:
    from session_usage.rpc.events import roots

    here = str(DATA)
    found = roots([f"{here}/gemini/a/b/c", f"{here}/gemini/d/e/f", f"{here}/a/b/c", "/no/such/x/y"])
    assert found == (here,)
