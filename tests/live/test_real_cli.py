"""The real Copilot CLI and SDK against a model server on the loopback interface.

Nothing leaves the machine: the network the CLI sees has no other interface. HOME is thrown
away, keys are made up. Every figure must be what the model server said.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest
from model_server import ModelServer, Truth, script, usage
from world import GPT, SONNET, WAIT, World, figures, truth

from session_usage import pricing
from session_usage.errors import LiveError, NotConnected, ReadOnlySession, SessionNotFound
from session_usage.events import BYOK, COPILOT, Request
from session_usage.live import CopilotSession, Tool
from session_usage.live.cli import Cli, connect
from session_usage.live.clock import caches_of, next_turn
from session_usage.live.feed import LiveFeed
from session_usage.providers.copilot_cli.stream import Stream

pytestmark = pytest.mark.usefixtures("sdk", "loopback_only", "no_thread_left")
TWO_CALLS = script(
    {"text": "I look.", "tools": [{"name": "weather", "args": {"city": "Ulm"}}],
     "usage": usage(15_010, 0, 14_000, 120)},
    {"text": "It is sunny in Ulm.", "usage": usage(15_320, 14_000, 1_200, 210)},
)  # fmt: skip
SHELL = script(
    {"tools": [{"name": "bash", "args": {"command": "touch made", "description": "t"}}],
     "usage": usage(16_000, 15_000, 700, 33)},
    {"text": "Done.", "usage": usage(16_100, 15_700, 300, 4)},
)  # fmt: skip
ONE_CALL = script({"text": "Fine.", "usage": usage(17_000, 16_000, 900, 5)})
HELD = script({"text": "word " * 20, "hold": True, "usage": usage(18_000, 17_000, 900, 99)})


def weather(calls: list[Any]) -> Tool:
    def run(call: dict[str, Any]) -> str:
        calls.append(call["arguments"])
        return "sunny"

    shape = {"type": "object", "properties": {"city": {"type": "string"}}}
    return Tool("weather", run, "Tells the weather", shape)


def approve(request: dict[str, Any], context: dict[str, str]) -> dict[str, str]:
    return {"kind": "approved"}


@pytest.mark.parametrize("model", [SONNET, GPT])
def test_a_turn_with_a_tool_counts_the_same_everywhere(
    world: World, server: ModelServer, model: str
) -> None:
    calls: list[Any] = []

    async def scene(cli: Cli) -> tuple[dict[str, Any], LiveFeed, str]:
        session = await cli.create(
            tools=[weather(calls)], permission=approve, **world.options(model)
        )

        async def mine() -> Any:
            return _Borrowed(cli)

        feed = LiveFeed(session.session_id, mine, journal=f"{session.workspace_path}/events.jsonl")
        feed.start()
        while not feed.connected:
            await asyncio.sleep(0)
        deltas: list[str] = []
        session.on(lambda event: deltas.append(event.data.get("deltaContent", "")))
        log = CopilotSession.from_log(session.workspace_path or "")
        logged: list[Any] = []
        log.on(logged.append)
        quiet = asyncio.ensure_future(log.wait_idle(WAIT))
        found = await session.send_and_wait({"prompt": f"Go. {TWO_CALLS}"}, WAIT)
        assert found is not None
        assert found.data["content"] == "It is sunny in Ulm."
        assert "".join(deltas) == "I look.It is sunny in Ulm."  # check 20
        last = await quiet
        assert last is not None
        assert last.id == found.id, "the log says the same a moment later"
        with pytest.raises(ReadOnlySession):
            await log.send({"prompt": "no"})
        persisted = [event.id for event in logged if not event.ephemeral]
        assert persisted == [event.id for event in await log.get_messages()][-len(persisted) :]
        await log.destroy()
        history = await session.get_messages()  # check 13
        assert history[0].type == "session.start"
        assert "session.idle" not in [event.type for event in history]
        metrics = await cli.metrics(session.session_id)
        await feed.close()
        return metrics, feed, session.workspace_path or ""

    metrics, feed, folder = world.run(scene)
    assert calls == [{"city": "Ulm"}]
    assert [figures(request) for request in feed.requests()] == truth(server)
    log = world.logged()
    assert [figures(request) for request in log] == truth(server)
    assert [request.key for request in log] == [request.key for request in feed.requests()]
    assert {request.billing for request in log} == {COPILOT}
    spent = sum(row.nano_aiu or 0 for row in server.truth)
    assert metrics["totalNanoAiu"] == spent
    assert feed.context is not None
    assert 0 < feed.context.tokens < feed.context.limit
    (quota,) = feed.quotas
    assert (quota.kind, quota.entitlement, quota.used) == ("premium_interactions", 1500, 101)
    path = f"{folder}/events.jsonl"
    assert caches_of(path).keys() == feed.caches.keys() == {model}
    now_ms = log[-1].started_ms or 0
    clock = next_turn(feed.caches, feed.requests(), pricing.load(), now_ms)
    assert clock == next_turn(caches_of(path), log, pricing.load(), now_ms)
    assert clock is not None
    assert clock.warm_nano_aiu < clock.cold_nano_aiu


class _Borrowed:
    """A connection that a feed may use and not end."""

    def __init__(self, cli: Cli) -> None:
        self._cli = cli

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cli, name)

    async def close(self) -> None:
        return


def test_permission_is_denied_by_default_and_granted_on_request(
    world: World, server: ModelServer
) -> None:
    asked: list[str] = []

    def decides(request: dict[str, Any], context: dict[str, str]) -> dict[str, str]:
        asked.append(request["kind"])
        return {"kind": "approved"}

    async def scene(cli: Cli) -> list[str]:
        session = await cli.create(**world.options())
        results: list[str] = []
        session.on(
            lambda event: (
                results.append(event.data["result"]["kind"])
                if event.type == "permission.completed"
                else None
            )
        )
        await session.send_and_wait({"prompt": f"One. {SHELL}"}, WAIT)
        assert not (world.workspace / "made").exists()
        session.register_permission(_boom)
        await session.send_and_wait({"prompt": f"Two. {SHELL}"}, WAIT)
        assert not (world.workspace / "made").exists()
        session.register_permission(decides)
        await session.send_and_wait({"prompt": f"Three. {SHELL}"}, WAIT)
        assert (world.workspace / "made").exists()
        return results

    results = world.run(scene)
    assert all(kind.startswith("denied") for kind in results[:2])
    assert results[2].startswith("approved")
    assert asked == ["shell"]
    assert [figures(request) for request in world.logged()] == truth(server)


def _boom(request: Any, context: Any) -> Any:
    raise RuntimeError("boom")


def test_abort_keeps_the_session_and_what_was_not_answered_is_not_counted(
    world: World, server: ModelServer
) -> None:
    async def scene(cli: Cli) -> list[str]:
        session = await cli.create(**world.options())
        begun = asyncio.Event()
        session.on(lambda event: begun.set() if event.type == "assistant.message_delta" else None)
        await session.send({"prompt": f"Long. {HELD}"})
        await asyncio.wait_for(begun.wait(), WAIT)
        idle = asyncio.ensure_future(session.wait_idle(WAIT))
        await session.abort()
        await idle
        server.release.set()
        found = await session.send_and_wait({"prompt": f"Again. {ONE_CALL}"}, WAIT)
        assert found is not None
        assert found.data["content"] == "Fine."
        return [event.type for event in await session.get_messages()]

    assert "abort" in world.run(scene)
    requests = world.logged()
    assert [figures(r) for r in requests if r.status == "ok"] == truth(server)[1:]


def test_resume_by_a_new_client_goes_on_and_counts_each_call_once(
    world: World, server: ModelServer
) -> None:
    async def first(cli: Cli) -> str:
        session = await cli.create(**world.options())
        await session.send_and_wait({"prompt": f"One. {ONE_CALL}"}, WAIT)
        await session.destroy()
        with pytest.raises(SessionNotFound):
            await session.get_messages()
        return session.session_id

    async def second(cli: Cli) -> list[str]:
        session = await cli.resume(name, **world.options())
        await session.send_and_wait({"prompt": f"Two. {ONE_CALL}"}, WAIT)
        return [event.type for event in await session.get_messages()]

    name = world.run(first)
    kinds = world.run(second)
    assert kinds.count("user.message") == 2  # check 22
    assert "session.resume" in kinds
    assert [figures(request) for request in world.logged()] == truth(server)
    assert len(truth(server)) == 2


def test_deleted_sessions_are_gone(world: World) -> None:
    async def scene(cli: Cli) -> None:
        session = await cli.create(**world.options())
        await session.send_and_wait({"prompt": f"One. {ONE_CALL}"}, WAIT)
        assert session.session_id in [row["sessionId"] for row in await cli.sessions()]
        await cli.delete(session.session_id)
        assert session.session_id not in [row["sessionId"] for row in await cli.sessions()]
        with pytest.raises(SessionNotFound):
            await cli.resume(session.session_id, **world.options())

    world.run(scene)  # check 21


def test_a_killed_cli_is_noticed_and_its_log_remains(world: World, server: ModelServer) -> None:
    async def scene(cli: Cli) -> None:
        session = await cli.create(**world.options())
        await session.send_and_wait({"prompt": f"One. {ONE_CALL}"}, WAIT)
        begun = asyncio.Event()
        session.on(lambda event: begun.set() if event.type == "assistant.message_delta" else None)
        waiting = asyncio.ensure_future(session.send_and_wait({"prompt": f"Long. {HELD}"}, WAIT))
        await asyncio.wait_for(begun.wait(), WAIT)
        cli._wire.process.send_signal(signal.SIGKILL)
        with pytest.raises(NotConnected):
            await waiting
        log = CopilotSession.from_log(session.workspace_path or "")
        assert "session.usage_record" in [event.type for event in await log.get_messages()]

    world.run(scene)
    assert [figures(r) for r in world.logged() if r.nano_aiu is not None] == truth(server)[:1]


def test_watching_a_shared_server_sees_all_and_changes_nothing(
    world: World, server: ModelServer
) -> None:
    async def scene(address: str) -> tuple[list[str], LiveFeed]:
        driver = await connect(address, token="made-up")
        session = await driver.create(**world.options())
        changed = asyncio.Event()
        feed = LiveFeed(
            session.session_id, lambda: connect(address, token="made-up"), changed=changed.set
        )
        feed.start()
        while not feed.connected:
            await asyncio.wait_for(changed.wait(), WAIT)
            changed.clear()
        await session.send_and_wait({"prompt": f"One. {SHELL}"}, WAIT)
        while len(feed.requests()) < 2:
            await asyncio.wait_for(changed.wait(), WAIT)
            changed.clear()
        await feed.close()
        # the watcher has gone; the session has not
        await session.send_and_wait({"prompt": f"Two. {ONE_CALL}"}, WAIT)
        history = [event.type for event in await session.get_messages()]
        with pytest.raises(LiveError, match="connecting to"):
            await connect(address, token="wrong")
        await driver.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return history, feed

    with world.headless("made-up") as (_, address):
        history, feed = asyncio.run(scene(address))
    assert "session.resume" not in history
    assert [figures(request) for request in feed.requests()] == truth(server)[:2]
    assert [figures(request) for request in world.logged()] == truth(server)


def test_the_users_own_key_costs_no_credits(
    tmp_path: Path, copilot_cli: str, unpacked: str
) -> None:
    with ModelServer(signed_in=False) as server:
        world = World(tmp_path, copilot_cli, unpacked, server)

        async def scene(cli: Cli) -> list[Request]:
            own = {"type": "openai", "base_url": f"{server.url}/v1", "api_key": "made-up"}
            session = await cli.create(provider=own, **world.options(GPT))
            found: list[Request] = []
            stream = Stream(session.session_id)
            session.on(
                lambda event: found.extend(
                    one for one in stream.read(event.raw) if type(one) is Request
                )
            )
            await session.send_and_wait({"prompt": f"One. {ONE_CALL}"}, WAIT)
            return found

        live = world.run(scene)
        log = world.logged()
    assert [request.key for request in live] == [request.key for request in log]
    for request in (*live, *log):
        assert (request.billing, request.nano_aiu) == (BYOK, None)
        assert (request.input_tokens, request.output_tokens) == (17_000, 5)
    assert server.truth == [Truth(GPT, 17_000, 16_000, 900, 5, None, False)]
