"""The SDK's wire against a CLI that misbehaves: checks 20 to 23, watching only, and failures."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from fake_cli import BIG, FakeServer

from session_usage.errors import LiveError, NotConnected, SessionNotFound
from session_usage.live import CopilotSession
from session_usage.live.cli import Cli, connect
from session_usage.live.feed import LiveFeed
from session_usage.live.journal import LogSession

pytestmark = pytest.mark.usefixtures("sdk", "no_thread_left")
PROGRAM = os.path.join(os.path.dirname(__file__), "fake_cli.py")
ENV = {"PATH": os.environ["PATH"]}


def run(scene: Callable[[Cli], Awaitable[Any]], target: str = PROGRAM) -> Any:
    """Runs a scene over a connection, and looks that it leaves no task behind."""

    async def whole() -> Any:
        cli = await connect(target, env=ENV, timeout=20)
        try:
            return await scene(cli)
        finally:
            await cli.close()
            assert cli.closed.is_set()
            await settled()
            assert asyncio.all_tasks() == {asyncio.current_task()}

    return asyncio.run(whole())


async def settled() -> None:
    """Lets what is ready to run, run."""
    for _ in range(5):
        await asyncio.sleep(0)


def turn(prompt: str) -> Callable[[Cli], Awaitable[Any]]:
    async def scene(cli: Cli) -> Any:
        session = await cli.create()
        return await session.send_and_wait({"prompt": prompt}, 20)

    return scene


@pytest.fixture(params=["stdio", "tcp"])
def target(request: pytest.FixtureRequest) -> Any:
    if request.param == "stdio":
        yield PROGRAM
        return
    with FakeServer() as server:
        yield server.address


def test_a_turn_over_stdio_and_tcp(target: str) -> None:
    assert run(turn("plain"), target).data["content"] == "one two three"


def test_20_deltas_add_up_to_the_message() -> None:
    async def scene(cli: Cli) -> None:
        session = await cli.create()
        texts: list[str] = []
        session.on(lambda event: texts.append(event.data.get("deltaContent", "")))
        found = await session.send_and_wait({"prompt": "plain"}, 20)
        assert found is not None
        assert "".join(texts) == found.data["content"]

    run(scene)


def test_21_a_deleted_session_is_not_listed_and_cannot_be_resumed() -> None:
    async def scene(cli: Cli) -> None:
        session = await cli.create()
        assert [row["sessionId"] for row in await cli.sessions()] == [session.session_id]
        await cli.delete(session.session_id)
        assert await cli.sessions() == []
        with pytest.raises(SessionNotFound, match="Session not found"):
            await cli.resume(session.session_id)
        with pytest.raises(SessionNotFound):
            await session.get_messages()

    run(scene)


def test_22_a_new_client_resumes_and_sees_the_history() -> None:
    async def first(cli: Cli) -> str:
        session = await cli.create()
        await session.send_and_wait({"prompt": "plain"}, 20)
        await session.destroy()
        with pytest.raises(SessionNotFound, match="Session not found"):
            await session.get_messages()
        return session.session_id

    async def second(cli: Cli) -> list[str]:
        session = await cli.resume(name)
        return [event.type for event in await session.get_messages()]

    with FakeServer() as server:
        name = run(first, server.address)
        kinds = run(second, server.address)
    assert kinds[0] == "session.start"
    assert "user.message" in kinds
    assert kinds[-1] == "session.resume"


def test_23_a_message_of_fifty_megabytes_in_pieces(target: str) -> None:
    found = run(turn("big"), target)
    assert len(found.data["content"]) == BIG


@pytest.mark.parametrize("how", ["die", "half", "garbage", "badjson"])
def test_23_a_broken_stream_ends_the_wait_with_an_error(how: str, target: str) -> None:
    with pytest.raises(NotConnected, match="the connection to the Copilot CLI is gone"):
        run(turn(how), target)


def test_after_the_end_every_call_says_so(target: str) -> None:
    async def scene(cli: Cli) -> None:
        session = await cli.create()
        with pytest.raises(NotConnected):
            await session.send_and_wait({"prompt": "die"}, 20)
        await cli.closed.wait()
        for act in (session.abort(), session.get_messages(), session.send({"prompt": "x"}),
                    cli.ping(), cli.sessions(), cli.quota()):  # fmt: skip
            with pytest.raises(NotConnected, match="gone"):
                await act

    run(scene, target)


def test_the_log_goes_on_when_the_cli_is_gone(tmp_path: Path) -> None:
    journal = tmp_path / "events.jsonl"
    journal.write_text("")

    async def scene(cli: Cli) -> list[str]:
        session = await cli.create()
        log, seen = LogSession(str(tmp_path)), []
        log.on(lambda event: seen.append(event.type))
        with pytest.raises(NotConnected):
            await session.send_and_wait({"prompt": "die"}, 20)
        journal.write_text('{"type":"session.usage_record","data":{}}\n')
        log.poll()
        await log.destroy()
        return seen

    assert run(scene) == ["session.usage_record"]


def test_a_peer_that_hangs_is_given_up(target: str) -> None:
    async def scene(cli: Cli) -> None:
        session = await cli.create()
        await session.send({"prompt": "hang"})
        with pytest.raises(NotConnected, match=r"no answer in 0\.1 s"):
            await cli.ping(0.1)
        with pytest.raises(asyncio.TimeoutError):
            await session.wait_idle(0.05)
        await cli.kill()

    run(scene, target)


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 99 + b"\n",
                                   b"Content-Length: 4\r\n\r\nnull",
                                   b"Content-Length: x\r\n\r\n"])  # fmt: skip
def test_what_is_no_cli_is_not_connected_to(first: bytes) -> None:
    async def scene(address: str) -> None:
        with pytest.raises(LiveError, match="connecting to"):
            await connect(address, timeout=0.5)
        await settled()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with FakeServer(first=first) as server:
        asyncio.run(scene(server.address))


def test_no_cli_there() -> None:
    with FakeServer() as server:
        address = server.address
    with pytest.raises(NotConnected, match=f"no CLI listens at {address}"):
        asyncio.run(connect(address))
    with pytest.raises(LiveError, match="connecting to /no/such/copilot"):
        asyncio.run(connect("/no/such/copilot"))


def test_undecodable_and_disordered_events_harm_nothing(target: str) -> None:
    async def scene(cli: Cli) -> None:
        session = await cli.create()
        kinds: list[str] = []
        session.on(lambda event: kinds.append(event.type))
        found = await session.send_and_wait({"prompt": "undecodable"}, 20)
        assert found is not None
        assert found.data["content"] == "one two three"
        assert cli.unread
        assert kinds.count("assistant.message") == 2, "kept, though the SDK cannot decode it"
        await session.send_and_wait({"prompt": "disorder"}, 20)

    run(scene, target)


def test_watching_takes_no_part() -> None:
    async def scene() -> None:
        driver = await connect(server.address)
        watcher = await connect(server.address)
        session = await driver.create()
        before = len(await session.get_messages())
        watched = await watcher.follow(session.session_id)
        assert await watcher.follow(session.session_id) is watched
        assert len(await session.get_messages()) == before, "nothing is added to the journal"
        one: list[str] = []
        two: list[str] = []
        session.on(lambda event: one.append(event.raw["id"]))
        watched.on(lambda event: two.append(event.raw["id"]))
        kinds: list[str] = []
        watched.on(lambda event: kinds.append(event.type))
        await asyncio.gather(watched.wait_idle(20), session.send_and_wait({"prompt": "plain"}, 20))
        assert one == two
        await driver.kill()
        server.shared.got.clear()
        idle = asyncio.ensure_future(watched.wait_idle(20))
        await settled()
        line = server.shared.lines[session.session_id][-1]
        line.turn(session.session_id, "asks me")
        await idle
        assert "permission.requested" in kinds
        await watcher.close()
        said = [name for name, _ in server.shared.got]
        assert said == ["session.detach"], "no question of the session was answered"

    with FakeServer() as server:
        asyncio.run(scene())
        assert server.asked("permission", "tools") == []


def test_a_session_that_is_not_open_there_is_not_opened() -> None:
    async def scene(cli: Cli) -> None:
        with pytest.raises(SessionNotFound, match="does not have session other open"):
            await cli.follow("other")

    with FakeServer() as server:
        server.shared.sessions["other"] = []
        run(scene, server.address)
        assert server.asked("resume") == []


def test_a_feed_survives_a_cli_that_comes_and_goes() -> None:
    async def one_turn(address: str, name: str | None) -> str:
        driver = await connect(address)
        session = await (driver.resume(name) if name else driver.create())
        await session.send_and_wait({"prompt": "plain"}, 20)
        await driver.kill()
        return session.session_id

    async def scene() -> tuple[LiveFeed, list[float]]:
        waits: list[float] = []
        down, again, changed = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            down.set()
            await again.wait()

        async def until(true: Callable[[], Any]) -> None:
            while not true():
                changed.clear()
                await asyncio.wait_for(changed.wait(), 20)

        with FakeServer() as server:
            name = await one_turn(server.address, None)
            address = server.address
            feed = LiveFeed(name, lambda: connect(address), changed=changed.set, sleep=sleep)
            feed.start()
            await until(lambda: feed.connected)
            await one_turn(address, name)
            await until(feed.requests)
        await asyncio.wait_for(down.wait(), 20)
        assert feed.problem is not None
        assert not feed.connected
        with FakeServer(server.port, shared=server.shared):
            again.set()
            await until(lambda: feed.connected)
            assert feed.problem is None
            await one_turn(address, name)
            await until(lambda: len(feed.requests()) == 2)
            await feed.close()
        await settled()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return feed, waits

    feed, waits = asyncio.run(scene())
    assert [request.key for request in feed.requests()] == ["call-2", "call-3"]
    assert [request.nano_aiu for request in feed.requests()] == [1003, 1004]
    assert waits == [1.0]


def test_a_log_session_and_a_cli_session_are_one_interface() -> None:
    names = {name for name in vars(CopilotSession) if not name.startswith("_")}
    assert names <= set(dir(LogSession))
