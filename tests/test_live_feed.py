"""The live side of a session: the same calls as the log, counted once; facts; failures."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from session_usage.errors import LiveError, NotConnected, SessionNotFound
from session_usage.events import START, Request
from session_usage.kinds import read
from session_usage.live import CopilotSession, facts
from session_usage.live.feed import LONGEST_WAIT_SECONDS, LiveFeed
from session_usage.providers.copilot_cli import AGENT, PROVIDER
from session_usage.providers.copilot_cli.stream import Stream
from session_usage.reconcile import reconcile

DATA = Path(__file__).parent / "data" / "live"
SESSION = "b2a73441-7bb5-4fc5-9fe7-dfdcfa289632"
JOURNAL = str(DATA / SESSION / "events.jsonl")
LIVE = [json.loads(line) for line in (DATA / "events-live.jsonl").read_text().splitlines()]
TRUTH = [row for row in json.loads((DATA / "truth.json").read_text()) if row["delivered"]]
QUOTA = {
    "quotaSnapshots": {
        "premium_interactions": {
            "isUnlimitedEntitlement": False,
            "entitlementRequests": 1500,
            "usedRequests": 101,
            "remainingPercentage": 93.3,
            "overage": 0,
            "resetDate": "2026-12-01",
        },
        "chat": {"isUnlimitedEntitlement": True, "entitlementRequests": -1, "usedRequests": 0},
        "broken": 5,
    }
}


def logged() -> list[Any]:
    (source,) = PROVIDER.at(JOURNAL)
    return list(PROVIDER.read(source, START))


def live_requests() -> list[Request]:
    stream = Stream(SESSION, JOURNAL)
    return [found for event in LIVE for found in stream.read(event) if type(found) is Request]


def figures(request: Request) -> tuple[Any, ...]:
    return (
        request.key,
        request.model,
        request.input_tokens,
        request.cache_read_tokens,
        request.cache_write_tokens,
        request.output_tokens,
        request.nano_aiu,
        request.billing,
        request.surface,
        request.turn,
    )


def test_log_and_live_agree_request_by_request_and_with_the_truth() -> None:
    log = [event for event in logged() if type(event) is Request and event.source == "usage-record"]
    live = live_requests()
    assert [figures(one) for one in live] == [figures(one) for one in log]
    assert [
        (r.input_tokens, r.cache_read_tokens, r.cache_write_tokens, r.output_tokens, r.nano_aiu)
        for r in live
    ] == [(t["input"], t["cached"], t["cache_write"], t["output"], t["nano_aiu"]) for t in TRUTH]


def test_log_and_live_together_count_once() -> None:
    alone = reconcile(AGENT, SESSION, logged())
    for order in ([*logged(), *live_requests()], [*live_requests(), *logged()]):
        both = reconcile(AGENT, SESSION, order)
        assert len(both.requests) == len(alone.requests) == len(TRUTH)
        spent = sum(request.nano_aiu or 0 for request in both.requests)
        assert spent == sum(row["nano_aiu"] for row in TRUTH)
        assert both.unattributed == alone.unattributed == ()


def test_live_alone_knows_every_call() -> None:
    alone = reconcile(AGENT, SESSION, live_requests())
    assert sum(request.nano_aiu or 0 for request in alone.requests) == sum(
        row["nano_aiu"] for row in TRUTH
    )


def test_the_wires_repetitions_are_not_counted() -> None:
    stream = Stream(SESSION)
    again = [event for event in LIVE if event["type"].startswith("model.")]
    assert again
    assert [found for event in again for found in stream.read(event)] == []


@pytest.mark.parametrize(
    "event", [{}, {"type": "assistant.usage"}, {"type": "assistant.usage", "data": 5}]
)
def test_damaged_events_are_no_failure(event: dict[str, Any]) -> None:
    for found in Stream(SESSION).read(event):
        assert type(found) is not Request or found.nano_aiu is None


def test_context_fill() -> None:
    told = [facts.context(read(event)) for event in LIVE if event["type"] == "session.usage_info"]
    first = told[0]
    assert first is not None
    assert (first.tokens, first.limit) == (12_594, 184_000)
    assert (first.system, first.conversation, first.tools) == (5_097, 405, 7_092)
    for damaged in ({"currentTokens": 5}, {"currentTokens": "x", "tokenLimit": 10},
                    {"currentTokens": 5, "tokenLimit": 0}):  # fmt: skip
        assert facts.context(read({"type": "session.usage_info", "data": damaged})) is None
    sub = {
        "type": "session.usage_info",
        "agentId": "a",
        "data": {"currentTokens": 1, "tokenLimit": 2},
    }
    assert facts.context(read(sub)) is None


def test_quota() -> None:
    premium, chat = facts.quotas(QUOTA["quotaSnapshots"])
    assert (premium.entitlement, premium.used, premium.remaining_percent) == (1500, 101, 93.3)
    assert premium.wire()["resetsAt"] == "2026-12-01T00:00:00.000Z"
    assert (chat.unlimited, chat.entitlement, chat.wire()["resetsAt"]) == (True, None, None)
    assert facts.quotas(None) == ()


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [({"totalNanoAiu": 5259000000.0}, 5_259_000_000), ({"totalNanoAiu": 0}, None), ({}, None)],
)
def test_totals_are_a_counter(metrics: dict[str, Any], expected: int | None) -> None:
    counter = facts.total(metrics, SESSION, JOURNAL, 1)
    assert (counter.nano_aiu if counter else None) == expected


def test_a_total_shows_what_was_spent_before_anybody_listened() -> None:
    later = live_requests()[1:]
    counter = facts.total({"totalNanoAiu": sum(row["nano_aiu"] for row in TRUTH)}, SESSION, "", 1)
    assert counter is not None
    both = reconcile(AGENT, SESSION, [*later, counter])
    rest = [row.nano_aiu for row in both.unattributed]
    assert rest == [TRUTH[0]["nano_aiu"]]
    # and nothing where the calls are known
    assert reconcile(AGENT, SESSION, [*live_requests(), counter]).unattributed == ()


class FakeConnection:
    """A CLI of our own; ``script`` runs once the session is followed."""

    def __init__(self, script: Callable[[FakeConnection], Any] = lambda fake: None) -> None:
        self.closed = asyncio.Event()
        self.ended = 0
        self.session = CopilotSession(SESSION, self)
        self.script = script
        self.metric: Any = {"totalNanoAiu": 1}
        self.quotas: Any = QUOTA

    async def request(self, method: str, params: dict[str, Any]) -> Any:
        raise AssertionError(f"a feed sent {method}")

    async def follow(self, session_id: str) -> CopilotSession:
        assert session_id == SESSION
        asyncio.get_running_loop().call_soon(self.script, self)
        return self.session

    async def foreground(self) -> str | None:
        return SESSION

    async def quota(self) -> dict[str, Any]:
        return _given(self.quotas)

    async def metrics(self, session_id: str) -> dict[str, Any]:
        return _given(self.metric)

    async def ping(self, timeout: float = 0) -> None:
        return

    async def close(self) -> None:
        self.ended += 1


def _given(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


def plays(fake: FakeConnection) -> None:
    for event in LIVE:
        fake.session.dispatch(read(event))
    fake.closed.set()


class Waits:
    """Sleeps that do not sleep; after ``enough`` of them the scene is over."""

    def __init__(self, enough: int) -> None:
        self.seconds: list[float] = []
        self.over = asyncio.Event()
        self.enough = enough

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if len(self.seconds) >= self.enough:
            self.over.set()
            await asyncio.Event().wait()


def played(
    connections: list[Any], enough: int, session: str | None = SESSION
) -> tuple[LiveFeed, list[float], list[str | None], int]:
    """Runs a feed through these connections (or errors); also how many tasks are left."""
    problems: list[str | None] = []

    async def scene() -> tuple[LiveFeed, list[float], list[str | None], int]:
        waits = Waits(enough)
        made = [one() if callable(one) else one for one in connections]

        async def connect() -> Any:
            return _given(made.pop(0)) if len(made) > 1 else _given(made[0])

        def changed() -> None:
            problems.append(feed.problem.text if feed.problem else None)

        feed = LiveFeed(session, connect, changed=changed, journal=JOURNAL, sleep=waits)
        feed.start()
        feed.start()
        await asyncio.wait_for(waits.over.wait(), 30)
        await feed.close()
        await feed.close()
        for one in made:
            if isinstance(one, FakeConnection):
                assert one.ended
                assert not one.session._handlers
        return feed, waits.seconds, problems, len(asyncio.all_tasks()) - 1

    return asyncio.run(scene())


def test_a_feed_gives_requests_facts_and_caches() -> None:
    feed, _, problems, left = played([lambda: FakeConnection(plays)], 1)
    assert [r.key for r in feed.requests()] == [r.key for r in live_requests()]
    known = {feed.requests()[0].key}
    assert len(feed.requests(known)) == len(TRUTH) - 1
    feed.settle(known)
    assert len(feed.requests()) == len(TRUTH) - 1
    assert feed.context is not None
    assert [quota.kind for quota in feed.quotas] == ["premium_interactions", "chat"]
    assert list(feed.caches) == ["claude-sonnet-4.5"]
    assert feed.total is not None
    assert problems[0] is None
    assert problems[-1] == "the connection to the Copilot CLI is gone"
    assert left == 0


def test_the_session_that_a_terminal_shows() -> None:
    feed, _, _, _ = played([lambda: FakeConnection(plays)], 1, session=None)
    assert feed.session_id == SESSION
    assert len(feed.requests()) == len(TRUTH)


def test_seen_twice_after_a_reconnection_counts_once() -> None:
    feed, _, _, _ = played([lambda: FakeConnection(plays), lambda: FakeConnection(plays)], 2)
    assert len(feed.requests()) == len(TRUTH)


def test_reconnecting_waits_longer_and_longer_and_says_it_once() -> None:
    _, seconds, problems, left = played([NotConnected("no CLI listens there")], 9)
    assert seconds == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert max(seconds) == LONGEST_WAIT_SECONDS
    assert problems == ["no CLI listens there"]
    assert left == 0


def test_after_a_connection_waiting_begins_anew() -> None:
    gone = NotConnected("away")
    _, seconds, problems, _ = played([gone, gone, gone, lambda: FakeConnection(plays), gone], 5)
    assert seconds == [1, 2, 4, 1, 2]
    assert problems[0] == "away"
    assert None in problems
    assert problems[-1] == "away"


def _hangs() -> FakeConnection:
    fake = FakeConnection()

    async def ping(timeout: float = 0) -> None:
        raise NotConnected("ping: no answer in 5 s")

    fake.ping = ping  # type: ignore[method-assign]
    return fake


def test_a_peer_that_hangs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("session_usage.live.feed.BEAT_SECONDS", 0)
    feed, _, problems, left = played([_hangs], 1)
    assert problems[-1] == "ping: no answer in 5 s"
    assert (feed.connected, left) == (False, 0)
    assert feed.status()["problem"] == "ping: no answer in 5 s"


def _without(**answers: Any) -> Callable[[], FakeConnection]:
    def make() -> FakeConnection:
        fake = FakeConnection(plays)
        for name, answer in answers.items():
            setattr(fake, name, answer)
        return fake

    return make


def test_a_cli_without_quota_is_followed_all_the_same() -> None:
    feed, _, problems, _ = played([_without(quotas=LiveError("unknown method"))], 1)
    assert feed.quotas == ()
    assert len(feed.requests()) == len(TRUTH)
    assert problems[0] is None


def test_a_session_that_is_none_of_the_shown_is_found_among_the_candidates() -> None:
    async def scene() -> tuple[list[str], str | None]:
        asked: list[str] = []
        changed = asyncio.Event()

        class Shared(FakeConnection):
            async def foreground(self) -> str | None:
                raise LiveError("unknown method")

            async def follow(self, session_id: str) -> CopilotSession:
                asked.append(session_id)
                if session_id != SESSION:
                    raise SessionNotFound("not open here")
                return await super().follow(session_id)

        names: list[str] = []

        async def connect() -> Any:
            return Shared()

        async def candidates() -> list[str]:
            return names

        feed = LiveFeed(None, connect, changed=changed.set, candidates=candidates)
        feed.start()
        await asyncio.wait_for(changed.wait(), 30)
        assert (feed.connected, feed.session_id) == (True, None)
        assert feed.quotas
        names += ["elsewhere", SESSION]
        changed.clear()
        feed.look()
        await asyncio.wait_for(changed.wait(), 30)
        feed.look()  # it is followed, and the other one was asked for a moment ago
        for _ in range(20):
            await asyncio.sleep(0)
        await feed.close()
        return asked, feed.session_id

    asked, name = asyncio.run(scene())
    assert asked == ["elsewhere", SESSION]
    assert name == SESSION


def test_a_session_that_the_cli_does_not_have_is_a_problem() -> None:
    feed, seconds, problems, _ = played([_without(metric=SessionNotFound("not open here"))], 2)
    assert set(problems) == {"not open here"}
    assert seconds == [1, 2]
    assert not feed.connected


def test_closing_in_the_middle_leaves_nothing() -> None:
    async def scene() -> int:
        fake = FakeConnection()

        async def connect() -> FakeConnection:
            return fake

        feed = LiveFeed(SESSION, connect)
        feed.start()
        while not feed.connected:
            await asyncio.sleep(0)
        await feed.close()
        assert (fake.ended, fake.session._handlers) == (1, set())
        return len(asyncio.all_tasks()) - 1

    assert asyncio.run(scene()) == 0
    gc.collect()
