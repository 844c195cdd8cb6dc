"""The server beside a running Copilot CLI: what is told at once, what the log tells, once."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_cli import FakeServer, event, usage
from model_server import ModelServer, script
from model_server import usage as used
from world import GPT, SONNET, WAIT, World, truth

from session_usage.live.cli import Cli, connect

sys.path.insert(0, str(Path(__file__).parents[1]))
from client import PATIENCE, Client
from test_rpc import NANO, journal, new_home

pytestmark = pytest.mark.usefixtures("sdk", "no_thread_left")
STATUS, EVENT = "copilotUsage/statusChanged", "copilotUsage/sessionEvent"
SECRET = "UNMISTAKABLE-SECRET"
TWO_CALLS = script(
    {"tools": [{"name": "bash", "args": {"command": "true", "description": "t"}}],
     "usage": used(15_010, 0, 14_000, 120)},
    {"text": SECRET, "usage": used(15_320, 14_000, 1_200, 210)},
)  # fmt: skip
ONE_CALL = script({"text": SECRET, "usage": used(17_000, 16_000, 900, 5)})
HELD = script({"text": "word " * 20, "hold": True, "usage": used(18_000, 17_000, 900, 99)})


def sdk_folder() -> str:
    import copilot

    return str(Path(copilot.__file__).parents[1])


def events(client: Client, kind: str) -> list[Any]:
    """What was told so far."""
    found = [m["params"] for m in client.notes if m["method"] == EVENT]
    return [params for params in found if params["kind"] == kind]


def until(client: Client, true: Callable[[], Any]) -> None:
    client.wait(true, "what was waited for was not told")


def live(fits: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Does the status have a live part that fits?"""
    return lambda params: "live" in params["status"] and fits(params["status"]["live"])


class Scene:
    """A session of which a CLI tells, and a server that listens to it."""

    def __init__(self, folder: Path, server: FakeServer) -> None:
        self.home = new_home(folder)
        for database in (self.home / ".copilot").glob("session-store.db*"):
            database.unlink()
        self.journal = journal(self.home)
        self.name = self.journal.parent.name
        self.server = server
        self.server.shared.sessions[self.name] = []
        self.server.shared.open.add(self.name)
        self.client = Client(self.home, path=(sdk_folder(),))

    def start(self) -> Any:
        """The status once the session is followed."""
        self.client.start(settings={"live.connect": self.server.address})
        self.client.result("listSessions")  # waits until the logs are read
        self.client.result("subscribe")
        return self.connected()

    def connected(self) -> Any:
        return self.client.note(
            STATUS, live(lambda x: x["state"] == "connected" and x["session"] == self.name)
        )["status"]

    def tell(self, *made: Any) -> None:
        for line in tuple(self.server.shared.lines[self.name]):
            for each in made:
                line.say(
                    {
                        "method": "session.event",
                        "params": {"sessionId": self.name, "event": each},
                    }
                )

    def write(self, *made: Any) -> None:
        with self.journal.open("ab") as file:
            file.write(b"".join(json.dumps(each).encode() + b"\n" for each in made))

    def total(self, nano: int) -> Any:
        """The first status with this total of the session."""
        return self.client.note(
            STATUS, lambda p: p["status"]["session"]["totals"]["nanoAiu"] == nano
        )["status"]


def record(number: int) -> dict[str, Any]:
    """What the journal gets of a call a moment later."""
    return event("session.usage_record", usage=usage(number)["data"])


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with FakeServer() as server:
        found = Scene(tmp_path, server)
        with found.client:
            yield found


def test_a_call_is_told_at_once_and_counts_once(scene: Scene) -> None:
    status = scene.start()
    assert status["live"]["contextTokens"] is None
    (quota,) = status["live"]["quotas"]
    assert (quota["kind"], quota["remainingPercent"]) == ("premium_interactions", 93.3)
    assert quota["resetsAt"] == "2026-12-01T00:00:00.000Z"
    told_by_both = event("assistant.turn_end", turnId=SECRET)
    info = event("session.usage_info", True, currentTokens=5, tokenLimit=10, messagesLength=1)
    delta = event("assistant.message_delta", True, messageId="m", deltaContent=SECRET)
    scene.tell(info, delta, usage(1), event("assistant.message", content=SECRET), told_by_both)
    # nothing is in the log yet
    first = scene.client.note(EVENT, lambda p: p["kind"] == "request")
    assert (first["newRequests"], first["requests"]) == (1, 5)
    assert (first["addedNanoAiu"], first["nanoAiu"]) == (1_002, NANO + 1_002)
    status = scene.total(NANO + 1_002)
    assert status["session"]["totals"]["requests"] == 5
    assert status["live"]["contextTokens"] == 5
    assert scene.client.result("getStatus")["session"] == status["session"]
    scene.write(told_by_both, record(1))
    scene.write(record(2))
    last = scene.client.note(EVENT, lambda p: p["kind"] == "request")
    assert (last["newRequests"], last["requests"]) == (1, 6)
    assert last["addedNanoAiu"] == 1_003
    assert scene.total(NANO + 1_002 + 1_003)["session"]["totals"]["requests"] == 6
    scene.tell(usage(2), usage(1))  # what the log has long
    scene.tell(usage(3))
    third = scene.client.note(EVENT, lambda p: p["kind"] == "request")
    assert (third["newRequests"], third["requests"], third["addedNanoAiu"]) == (1, 7, 1_004)
    scene.total(NANO + 1_002 + 1_003 + 1_004)
    typed = [each["event"] for each in events(scene.client, "event")]
    persisted = [each["id"] for each in typed if each["persistence"] == "persisted"]
    assert len(set(persisted)) == len(persisted), "from the log and from the CLI: told once"
    assert told_by_both["id"] in persisted
    assert info["id"] in [each["id"] for each in typed]
    assert delta["id"] not in [each["id"] for each in typed]
    amounts = [e["facts"]["nanoAiu"] for e in typed if e["type"] == "assistant.usage"]
    assert amounts == [1_002, 1_003, 1_002, 1_004], "as often as it is said"
    assert SECRET not in json.dumps(scene.client.notes)


def test_when_the_cli_dies_there_is_a_problem_and_the_log_goes_on(scene: Scene) -> None:
    scene.start()
    scene.tell(usage(1))
    scene.total(NANO + 1_002)
    shared, port = scene.server.shared, scene.server.port
    scene.server.__exit__()
    gone = scene.client.note(STATUS, live(lambda x: x["state"] == "waiting" and x["problem"]))
    assert "gone" in gone["status"]["live"]["problem"]
    assert gone["status"]["session"]["totals"]["nanoAiu"] == NANO + 1_002, "it was paid for"
    scene.write(record(2))
    scene.total(NANO + 1_002 + 1_003)
    with FakeServer(port, shared=shared):
        assert scene.connected()["live"]["problem"] is None
        scene.tell(usage(3))
        scene.total(NANO + 1_002 + 1_003 + 1_004)
        scene.client.notify("exit")
        scene.client.process.wait(PATIENCE)


@pytest.mark.parametrize("way", ["exit", "shutdown", "eof", "setting"])
def test_letting_go_leaves_nothing(way: str, scene: Scene) -> None:
    scene.start()
    client = scene.client
    if way == "setting":
        client.notify("workspace/didChangeConfiguration", {"settings": {}})
        client.note(STATUS, lambda p: "live" not in p["status"])
    elif way == "eof":
        assert client.process.stdin is not None
        client.process.stdin.close()
    else:
        if way == "shutdown":
            client.call("shutdown")
        client.notify("exit")
    if way != "setting":
        client.process.wait(PATIENCE)
        assert client.errors == []
    assert scene.server.shared.left.wait(PATIENCE), "the other side hears the end"
    assert scene.server.asked("send", "create", "delete", "abort") == []


def test_a_cli_is_started_for_the_quota_alone(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "copilot"
    shutil.copy(Path(__file__).with_name("fake_cli.py"), program)
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    with Client(home, env={"PATH": path}, path=(sdk_folder(),)) as client:
        client.start(settings={"live.connect": "spawn"})
        client.result("subscribe")
        status = client.note(STATUS, live(lambda x: x["state"] == "connected"))["status"]
        assert status["live"]["session"] is None
        assert status["live"]["quotas"][0]["used"] == 101
        children = client.children()
        assert len(children) == 2, "the one that keeps the ledger, and the CLI"
        client.notify("exit")
        client.process.wait(PATIENCE)
        for child in children:
            assert not Path(f"/proc/{child}/cmdline").exists()
        assert client.errors == []


def approve(request: Any, context: Any) -> dict[str, str]:
    return {"kind": "approved"}


def amounts(server: ModelServer) -> list[int]:
    """What each call cost by the model server's own account."""
    return [row[5] or 0 for row in truth(server)]


def _is_record(told: Any) -> bool:
    return bool(told["event"]["type"] == "session.usage_record")


def counted(client: Client, server: ModelServer) -> None:
    """Every call was pushed, once, and the session's total is what the model server said."""
    spent = amounts(server)
    status = client.note(
        STATUS,
        lambda p: (
            p["status"]["session"]
            and p["status"]["session"]["totals"]["nanoAiu"] == sum(spent)
            and p["status"]["session"]["totals"]["requests"] == len(spent)
        ),
    )["status"]
    client.wait(
        lambda: sum(each["newRequests"] for each in events(client, "request")) >= len(spent),
        "a call was not pushed",
    )
    client.wait(
        lambda: len([e for e in events(client, "event") if _is_record(e)]) >= len(spent),
        "a line of the log was not told",
    )
    client.result("getStatus")  # whatever was to be said by now has been said
    told = events(client, "request")
    assert sum(each["newRequests"] for each in told) == len(spent)
    assert sum(each["addedNanoAiu"] for each in told) == sum(spent)
    assert status["month"]["totals"]["nanoAiu"] == sum(spent)
    assert status["today"]["totals"]["nanoAiu"] == sum(spent)
    typed = [each["event"] for each in events(client, "event")]
    written = [each["event"] for each in events(client, "event") if _is_record(each)]
    assert [each["facts"]["nanoAiu"] for each in written] == spent
    ids = [each["id"] for each in typed if each["persistence"] == "persisted"]
    assert len(set(ids)) == len(ids)
    assert SECRET not in json.dumps(typed)  # the title is the prompt's beginning


@pytest.mark.usefixtures("loopback_only")
@pytest.mark.parametrize("model", [SONNET, GPT])
def test_a_real_session_is_followed_by_its_log(
    world: World, server: ModelServer, model: str
) -> None:
    async def scene(cli: Cli) -> None:
        session = await cli.create(permission=approve, **world.options(model))
        await session.send_and_wait({"prompt": f"One. {TWO_CALLS}"}, WAIT)
        await session.send_and_wait({"prompt": f"Two. {ONE_CALL}"}, WAIT)

    with Client(world.home) as client:
        client.start()
        client.result("listSessions")
        client.result("subscribe")
        world.run(scene)
        counted(client, server)
        cache = client.result("getStatus")["cache"]
        assert cache["model"] == model
        assert cache["warmCost"] < cache["coldCost"]
        types = {each["event"]["type"] for each in events(client, "event")}
        assert {"session.start", "user.message", "assistant.message", "session.idle"} <= types


@pytest.mark.usefixtures("loopback_only")
@pytest.mark.parametrize("killed", [False, True])
def test_a_real_session_is_followed_live(world: World, server: ModelServer, killed: bool) -> None:
    async def scene(address: str, kill: Callable[[], None], client: Client) -> None:
        driver = await connect(address, token="made-up")
        session = await driver.create(permission=approve, **world.options())
        await session.send_and_wait({"prompt": f"One. {ONE_CALL}"}, WAIT)
        followed = live(lambda x: x["session"] == session.session_id and x["state"] == "connected")
        await asyncio.to_thread(client.note, STATUS, followed)
        await session.send_and_wait({"prompt": f"Two. {TWO_CALLS}"}, WAIT)
        if killed:
            turn = asyncio.ensure_future(session.send_and_wait({"prompt": f"Long. {HELD}"}, WAIT))
            await asyncio.to_thread(server.held.wait, WAIT)
            kill()
            await asyncio.gather(turn, return_exceptions=True)
        await driver.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with (
        world.headless("made-up") as (process, address),
        Client(
            world.home, env={"COPILOT_CONNECTION_TOKEN": "made-up"}, path=(sdk_folder(),)
        ) as client,
    ):
        client.start(settings={"live.connect": address})
        client.result("listSessions")
        client.result("subscribe")
        asyncio.run(scene(address, process.kill, client))
        if killed:
            server.truth.pop()  # nobody got the answer
            gone = client.note(STATUS, live(lambda x: x["state"] == "waiting"))["status"]
            assert gone["live"]["problem"]
        counted(client, server)
        told = [each["event"] for each in events(client, "event")]
        direct = [each for each in told if each["type"] == "assistant.usage"]
        assert [each["facts"]["nanoAiu"] for each in direct] == amounts(server)[1:]
        status = client.result("getStatus")
        assert status["live"]["quotas"][0]["kind"] == "premium_interactions"
        assert 0 < status["live"]["contextTokens"] < status["live"]["contextLimit"]
        client.notify("exit")
        client.process.wait(PATIENCE)
        assert client.errors == []
