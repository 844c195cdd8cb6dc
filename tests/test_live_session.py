"""The session handle's contract, by its numbered checks 1 to 20, against a client of our own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from session_usage.errors import BadEvent, LiveError, NotConnected, SessionFailed
from session_usage.kinds import read
from session_usage.live import DENIED, CopilotSession, Tool


def raw(kind: str, number: int = 1, **data: Any) -> dict[str, Any]:
    return {
        "id": f"00000000-0000-4000-8000-{number:012d}",
        "timestamp": "2026-09-01T10:00:00Z",
        "parentId": None,
        "type": kind,
        "data": data,
    }


class FakeClient:
    """Answers by method; a function as answer is called, an exception is raised."""

    def __init__(self, **answers: Any) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers = {"session.send": {"messageId": "m1"}}
        self.answers.update({f"session.{name}": answer for name, answer in answers.items()})

    async def request(self, method: str, params: dict[str, Any]) -> Any:
        self.calls.append((method, params))
        answer = self.answers.get(method, {"success": True})
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else answer


def session_with(**answers: Any) -> tuple[CopilotSession, FakeClient]:
    client = FakeClient(**answers)
    return CopilotSession("s1", client), client


def says(session: CopilotSession, *events: dict[str, Any]) -> Callable[[], dict[str, str]]:
    """A ``send`` during which these events come."""

    def send() -> dict[str, str]:
        for event in events:
            session.dispatch(read(event))
        return {"messageId": "m1"}

    return send


MESSAGE = raw("assistant.message", 2, content="four", messageId="a")
IDLE = raw("session.idle", 3)


def test_1_send_passes_what_is_known_and_nulls_for_the_rest() -> None:
    session, client = session_with()
    asyncio.run(session.send({"prompt": "2+2", "junk": 1}))
    expected = {"sessionId": "s1", "prompt": "2+2", "attachments": None, "mode": None}
    assert client.calls == [("session.send", expected)]
    full = {"prompt": "x", "attachments": [{"type": "file"}], "mode": "enqueue"}
    asyncio.run(session.send(full))
    assert client.calls[1][1] == {"sessionId": "s1", **full}
    with pytest.raises(KeyError):
        asyncio.run(session.send({"mode": "enqueue"}))


def test_2_send_gives_the_message_id() -> None:
    session, _ = session_with()
    assert asyncio.run(session.send({"prompt": "x"})) == "m1"


def test_3_4_5_handlers_are_a_set() -> None:
    session, _ = session_with()
    one: list[str] = []
    two: list[str] = []

    def first(event: Any) -> None:
        one.append(event.type)

    stop = session.on(first)
    session.on(first)
    session.on(lambda event: two.append(event.type))
    session.dispatch(read(IDLE))
    assert (one, two) == (["session.idle"], ["session.idle"])
    stop()
    stop()
    session.dispatch(read(IDLE))
    assert (len(one), len(two)) == (1, 2)


def test_3_dispatch_goes_by_a_snapshot() -> None:
    session, _ = session_with()
    seen: list[str] = []

    def adds_and_leaves(event: Any) -> None:
        stop()
        session.on(lambda event: seen.append("late"))

    stop = session.on(adds_and_leaves)
    session.dispatch(read(IDLE))
    assert seen == []
    session.dispatch(read(IDLE))
    assert seen == ["late"]


def test_6_a_raising_handler_does_not_stop_others(caplog: pytest.LogCaptureFixture) -> None:
    session, _ = session_with()
    seen: list[str] = []

    def broken(event: Any) -> None:
        raise RuntimeError("boom")

    session.on(broken)
    session.on(lambda event: seen.append(event.type))
    with caplog.at_level(logging.WARNING):
        session.dispatch(read(IDLE))
        session.dispatch(read(IDLE))
    assert seen == ["session.idle"] * 2
    assert "Error in session event handler: boom" in caplog.text


def test_7_11_last_message_at_idle_even_before_send_returns() -> None:
    session, client = session_with()
    first = raw("assistant.message", 1, content="hm", messageId="b")
    client.answers["session.send"] = says(session, first, MESSAGE, IDLE)
    found = asyncio.run(session.send_and_wait({"prompt": "x"}))
    assert found is not None
    assert found.data["content"] == "four"


def test_7_messages_and_ends_of_subagents_do_not_count() -> None:
    session, client = session_with()
    other = {**MESSAGE, "agentId": "sub", "data": {"content": "sub"}}
    error = {**raw("session.error", message="sub"), "agentId": "sub"}
    client.answers["session.send"] = says(session, MESSAGE, other, error, IDLE)
    found = asyncio.run(session.send_and_wait({"prompt": "x"}))
    assert found is not None
    assert found.data["content"] == "four"


def test_8_none_without_a_message() -> None:
    session, client = session_with()
    client.answers["session.send"] = says(session, IDLE)
    assert asyncio.run(session.send_and_wait({"prompt": "x"})) is None


def test_9_the_sessions_error_is_raised_with_its_text() -> None:
    session, client = session_with()
    client.answers["session.send"] = says(session, raw("session.error", message="no quota"))
    with pytest.raises(SessionFailed, match=r"^Session error: no quota$"):
        asyncio.run(session.send_and_wait({"prompt": "x"}))


@pytest.mark.parametrize(("timeout", "text"), [(0, "0s"), (0.01, "0.01s")])
def test_10_timeout_says_so_and_leaves_no_handler(timeout: float, text: str) -> None:
    session, client = session_with()
    with pytest.raises(
        asyncio.TimeoutError, match=f"Timeout after {text} waiting for session.idle"
    ):
        asyncio.run(session.send_and_wait({"prompt": "x"}, timeout))
    assert not session._handlers
    assert [method for method, _ in client.calls] == ["session.send"], "the agent is not aborted"


def test_10_default_is_a_minute() -> None:
    assert CopilotSession.send_and_wait.__defaults__ == (None,)
    from session_usage.live.session import ANSWER_SECONDS

    assert ANSWER_SECONDS == 60


def test_12_a_failed_send_leaves_no_handler() -> None:
    session, _ = session_with(send=NotConnected("gone"))
    with pytest.raises(NotConnected):
        asyncio.run(session.send_and_wait({"prompt": "x"}))
    assert not session._handlers
    assert not session._waits


def test_12_a_lost_connection_ends_the_wait() -> None:
    session, client = session_with()
    client.answers["session.send"] = lambda: (
        session.lost(NotConnected("gone")) or {"messageId": "m"}
    )
    with pytest.raises(NotConnected, match="gone"):
        asyncio.run(session.send_and_wait({"prompt": "x"}))
    assert not session._handlers


def test_wait_idle_sends_nothing() -> None:
    session, client = session_with()

    async def scene() -> Any:
        waiting = asyncio.ensure_future(session.wait_idle(5))
        await asyncio.sleep(0)
        session.dispatch(read(MESSAGE))
        session.dispatch(read(IDLE))
        return await waiting

    assert asyncio.run(scene()).data["content"] == "four"
    assert client.calls == []


def test_13_14_history_is_typed_ordered_and_keeps_unknown_types() -> None:
    new = raw("brand.new", 9, odd={"a": [1]})
    session, client = session_with(getMessages={"events": [raw("user.message"), MESSAGE, new]})
    events = asyncio.run(session.get_messages())
    assert client.calls == [("session.getMessages", {"sessionId": "s1"})]
    assert [event.type for event in events] == ["user.message", "assistant.message", "brand.new"]
    assert [event.kind.usage for event in events] == ["message", "message", ""]
    assert events[2].kind.name == "unknown"
    assert events[2].data == {"odd": {"a": [1]}}


@pytest.mark.parametrize("damage", [{"id": "x"}, {"timestamp": "x"}, {"type": None}])
def test_15_a_bad_envelope_is_an_error(damage: dict[str, Any]) -> None:
    session, _ = session_with(getMessages={"events": [{**IDLE, **damage}]})
    with pytest.raises(BadEvent):
        asyncio.run(session.get_messages())


@pytest.mark.parametrize("answer", [None, {}, {"events": 5}])
def test_15_an_answer_without_events_is_an_error(answer: Any) -> None:
    session, _ = session_with(getMessages=answer)
    with pytest.raises(LiveError):
        asyncio.run(session.get_messages())


def test_16_destroy_clears_only_when_it_succeeds() -> None:
    session, client = session_with(destroy=LiveError("no"))
    seen: list[str] = []
    session.on(lambda event: seen.append(event.type))
    session.register_tools([Tool("t", str)])
    session.register_permission(lambda request, context: {"kind": "approved"})
    with pytest.raises(LiveError):
        asyncio.run(session.destroy())
    session.dispatch(read(IDLE))
    assert seen == ["session.idle"]
    assert list(session.tools) == ["t"]
    assert asyncio.run(session.decide({})) == {"kind": "approved"}

    client.answers["session.destroy"] = {"success": True}
    asyncio.run(session.destroy())
    session.dispatch(read(IDLE))
    assert seen == ["session.idle"]
    assert session.tools == {}
    assert asyncio.run(session.decide({})) == {"kind": DENIED}


def test_17_abort_keeps_the_session() -> None:
    session, client = session_with()
    seen: list[str] = []
    session.on(lambda event: seen.append(event.type))
    asyncio.run(session.abort())
    asyncio.run(session.send({"prompt": "again"}))
    session.dispatch(read(IDLE))
    assert [method for method, _ in client.calls] == ["session.abort", "session.send"]
    assert client.calls[0][1] == {"sessionId": "s1"}
    assert seen == ["session.idle"]


def _raises(request: Any, context: Any) -> Any:
    raise RuntimeError("boom")


async def _later(request: Any, context: Any) -> Any:
    await asyncio.sleep(0)
    return {"kind": "denied-by-rules"}


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (None, DENIED),
        (_raises, DENIED),
        (_later, "denied-by-rules"),
        (lambda request, context: {"kind": "approved"}, "approved"),
        (lambda request, context: None, DENIED),
        (lambda request, context: {"approved": True}, DENIED),
    ],
)
def test_18_permission_is_denied_unless_it_is_granted(handler: Any, kind: str) -> None:
    session, _ = session_with()
    session.register_permission(handler)
    assert asyncio.run(session.decide({"kind": "shell"})) == {"kind": kind}


def test_18_the_handler_gets_the_request_and_the_session() -> None:
    session, _ = session_with()
    got: list[Any] = []
    session.register_permission(lambda *given: got.append(given) or {"kind": "approved"})
    asyncio.run(session.decide({"kind": "url"}))
    assert got == [({"kind": "url"}, {"session_id": "s1"})]


def test_19_registering_tools_replaces_and_skips() -> None:
    session, _ = session_with()
    session.register_tools([Tool("a", str), Tool("", str), Tool("b", None)])
    assert list(session.tools) == ["a"]
    session.register_tools([Tool("c", str)])
    assert list(session.tools) == ["c"]
    session.register_tools(None)
    assert session.tools == {}


async def _slow(call: Any) -> str:
    await asyncio.sleep(0)
    return f"hi {call['arguments']['who']}"


def _fails(call: Any) -> str:
    raise RuntimeError("secret path")


@pytest.mark.parametrize(
    ("handler", "text", "kind"),
    [
        (lambda call: "hello", "hello", "success"),
        (_slow, "hi you", "success"),
        (lambda call: {"textResultForLlm": "own", "resultType": "denied"}, "own", "denied"),
        (lambda call: 5, "5", "success"),
        (lambda call: None, "Tool 't' gave no result.", "failure"),
        (_fails, "Tool 't' failed.", "failure"),
    ],
)
def test_19_running_a_tool(handler: Any, text: str, kind: str) -> None:
    session, _ = session_with()
    session.register_tools([Tool("t", handler)])
    result = asyncio.run(session.call_tool("t", {"arguments": {"who": "you"}}))
    assert (result["textResultForLlm"], result["resultType"]) == (text, kind)


def test_19_an_unknown_tool_is_a_failure() -> None:
    session, _ = session_with()
    assert asyncio.run(session.call_tool("t", {}))["resultType"] == "failure"


def test_20_deltas_add_up_to_the_message() -> None:
    session, client = session_with()
    texts: list[str] = []
    session.on(
        lambda event: (
            texts.append(event.data["deltaContent"])
            if event.type == "assistant.message_delta"
            else None
        )
    )
    parts = [raw("assistant.message_delta", n, messageId="a", deltaContent=t)
             for n, t in enumerate(["fo", "u", "r"], 10)]  # fmt: skip
    client.answers["session.send"] = says(session, *parts, MESSAGE, IDLE)
    found = asyncio.run(session.send_and_wait({"prompt": "x"}))
    assert found is not None
    assert "".join(texts) == found.data["content"]
