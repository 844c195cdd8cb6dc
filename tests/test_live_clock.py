"""The cache clock: what logs of the real CLI say of the prompt cache, and what that costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from session_usage import pricing
from session_usage.events import ESTIMATED, PRICED, START, Request
from session_usage.live import clock
from session_usage.live.clock import Cache, Journals, caches, caches_of, next_turn
from session_usage.providers.copilot_cli import PROVIDER
from session_usage.values import instant

DATA = Path(__file__).parent / "data" / "live"
SONNET, GPT = "claude-sonnet-4.5", "gpt-5.4"
PRICES = pricing.load()
NOW = instant("2026-11-20T10:40:00Z") or 0


def requests_of(path: Path) -> list[Request]:
    (source,) = PROVIDER.at(str(path))
    return [event for event in PROVIDER.read(source, START) if type(event) is Request]


def a_call(**fields: Any) -> Request:
    said = {
        "started_ms": NOW,
        "model": SONNET,
        "input_tokens": 15_801,
        "cache_read_tokens": 15_500,
        "cache_write_tokens": 250,
        "output_tokens": 41,
        **fields,
    }
    return Request("k", "copilot-cli", "s", "usage-record", "p", 0, **said)


def cached(model: str = SONNET, ttl: int | None = 300) -> dict[str, Cache]:
    return {model: Cache(model, NOW + 60_000, ttl, NOW)}


@pytest.mark.parametrize(
    ("case", "model", "expires", "ttl"),
    [
        ("capi-tools", SONNET, "2026-11-20T10:44:17.223Z", 300),
        ("capi-gpt-tools", GPT, "2026-11-21T10:29:46.260Z", 86_400),
        ("v1.0.79-capi-tools", SONNET, "2026-11-20T10:41:30.526Z", 300),
        # calls of subagents name a lifetime but no end, and are not the conversation's
        ("capi-subagent", SONNET, "2026-11-20T10:34:54.577Z", 300),
    ],
)
def test_what_journals_say(case: str, model: str, expires: str, ttl: int) -> None:
    found = caches_of(str(DATA / f"{case}.jsonl"))
    assert list(found) == [model]
    assert (found[model].expires_ms, found[model].ttl_seconds) == (instant(expires), ttl)


def test_live_events_say_the_same_as_the_journal() -> None:
    live = [json.loads(line) for line in (DATA / "events-live.jsonl").read_text().splitlines()]
    usage = [event for event in live if event["type"] == "assistant.usage"]
    journal = caches_of(str(DATA / "b2a73441-7bb5-4fc5-9fe7-dfdcfa289632" / "events.jsonl"))
    assert caches(usage)[SONNET].expires_ms == journal[SONNET].expires_ms


def test_the_last_word_counts_and_nonsense_does_not() -> None:
    def record(**usage: Any) -> dict[str, Any]:
        return {"type": "session.usage_record", "data": {"usage": {"model": SONNET, **usage}}}

    said = [
        record(cacheExpiresAt="2026-11-20T10:44:17.223Z", cacheTtlSeconds=300),
        record(cacheExpiresAt="2026-11-20T10:45:00Z"),
        record(cacheExpiresAt="soon"),
        record(cacheTtlSeconds=300),
        {**record(cacheExpiresAt="2026-11-20T11:00:00Z"), "agentId": "sub"},
        record(cacheExpiresAt="2026-11-20T11:00:00Z", parentToolCallId="sub"),
        {"type": "session.usage_checkpoint", "data": {"modelCacheState": 5}},
        {"type": "session.usage_checkpoint", "data": {"modelCacheState": [5, {"modelId": ""}]}},
    ]
    found = caches(said)
    assert (found[SONNET].expires_ms, found[SONNET].ttl_seconds) == (
        instant("2026-11-20T10:45:00Z"),
        None,
    )


def test_a_long_journal_is_read_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    said = (DATA / "v1.0.79-capi-tools.jsonl").read_text()
    filler = json.dumps({"type": "tool.execution_complete", "data": {"x": "y" * 1000}}) + "\n"
    path.write_text(said + filler * 2000)
    assert caches_of(str(path)) == caches_of(str(DATA / "v1.0.79-capi-tools.jsonl"))


def test_a_growing_journal_is_read_on_and_not_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.jsonl"
    lines = (DATA / "capi-tools.jsonl").read_bytes().splitlines(keepends=True)
    path.write_bytes(b"")
    journals, scans = Journals(), list[int]()

    class Counted(clock.Scan):
        def __init__(self, path: str, needles: Any, start: int) -> None:
            scans.append(start)
            super().__init__(path, needles, start)

    monkeypatch.setattr(clock, "Scan", Counted)
    assert journals.caches(str(path)) == {}
    for line in lines:
        for part in (line[:30], line[30:]):
            with path.open("ab") as file:
                file.write(part)
            journals.caches(str(path))
    assert journals.caches(str(path)) == caches_of(str(DATA / "capi-tools.jsonl"))
    assert scans[:-1] == sorted(scans[:-1]), "read on from the last whole line"
    count = len(scans)
    assert journals.caches(str(path))
    assert len(scans) == count, "nothing new: not opened"
    path.write_bytes(b"".join(lines[:1]))  # rewound
    assert journals.caches(str(path)) == {}
    path.unlink()
    assert journals.caches(str(path)) == {}


def test_cost_of_a_recorded_session_exactly() -> None:
    path = DATA / "capi-tools.jsonl"
    found = next_turn(caches_of(str(path)), requests_of(path), PRICES, NOW)
    assert found is not None
    # the last call read 15,500 and wrote 250 tokens; $0.30 and $3.75 a million
    assert (found.model, found.tokens) == (SONNET, 15_750)
    assert found.warm_nano_aiu == 15_750 * 30_000
    assert found.cold_nano_aiu == 15_750 * 375_000
    # the model has left the card since: its last rate, named
    assert (found.basis, found.assumptions) == (ESTIMATED, ("rate of 2026-08-24",))
    assert found.wire() == {
        "model": SONNET,
        "expiresAt": "2026-11-20T10:44:17.223Z",
        "tokens": 15_750,
        "warmCost": 472_500_000,
        "coldCost": 5_906_250_000,
        "basis": "estimated",
        "assumptions": ["rate of 2026-08-24"],
    }


def test_a_published_rate_assumes_nothing() -> None:
    found = next_turn(cached(), [a_call()], PRICES, instant("2026-08-01T00:00:00Z") or 0)
    assert found is not None
    assert (found.basis, found.assumptions) == (PRICED, ())


def test_where_writes_are_free_the_whole_prompt_is_taken_as_cached() -> None:
    path = DATA / "capi-gpt-tools.jsonl"
    found = next_turn(caches_of(str(path)), requests_of(path), PRICES, NOW)
    assert found is not None
    (rate,) = {
        quote.rate for quote in [PRICES.quote(requests_of(path)[-1]._replace(nano_aiu=None))]
    }
    assert rate is not None
    assert found.tokens == 15_801
    assert found.warm_nano_aiu == round(15_801 * (rate.cache_read or 0) / 1_000_000)
    assert found.cold_nano_aiu == round(15_801 * rate.input / 1_000_000)
    assert found.basis == ESTIMATED
    assert "the whole last prompt taken as cached" in found.assumptions


def test_the_last_call_of_the_main_agent_decides() -> None:
    calls = [
        a_call(started_ms=NOW - 5, cache_read_tokens=1, cache_write_tokens=0),
        a_call(),
        a_call(started_ms=NOW + 5, subagent=("sub",), cache_read_tokens=7),
        a_call(started_ms=NOW + 6, surface="background", model="gpt-4o-mini"),
    ]
    found = next_turn(cached(), reversed(calls), PRICES, NOW)
    assert found is not None
    assert found.tokens == 15_750


def test_a_cache_of_an_hour_is_written_at_the_rate_of_an_hour() -> None:
    rate = PRICES.quote(a_call(nano_aiu=None)).rate
    assert rate is not None
    found = next_turn(cached(ttl=3600), [a_call()], PRICES, NOW)
    assert found is not None
    hour = rate.cache_write if rate.cache_write_1h is None else rate.cache_write_1h
    assert found.cold_nano_aiu == 15_750 * (hour or 0) // 1_000_000


UNKNOWN: list[tuple[str, dict[str, Cache], list[Request]]] = [
    ("no call yet", cached(), []),
    ("no word of a cache", {}, [a_call()]),
    ("another model's cache", cached(GPT), [a_call()]),
    ("nothing cached", cached(), [a_call(cache_read_tokens=0, cache_write_tokens=0, model="o")]),
    ("counts not recorded", cached(), [a_call(input_tokens=None)]),
    ("no rate", cached("nobody-1"), [a_call(model="nobody-1")]),
    ("compacted since", cached(), [a_call(), a_call(started_ms=NOW + 1, surface="compaction")]),
]


@pytest.mark.parametrize(
    ("known", "calls"), [row[1:] for row in UNKNOWN], ids=[r[0] for r in UNKNOWN]
)
def test_no_clock_where_the_logs_do_not_tell(known: Any, calls: list[Request]) -> None:
    assert next_turn(known, calls, PRICES, NOW) is None
