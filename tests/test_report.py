"""Reports: whatever is grouped by whatever, in any window and zone, it adds up."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_usage import pricing, windows
from session_usage.errors import UsageError
from session_usage.events import (
    API,
    BASES,
    BILLED,
    BYOK,
    COPILOT,
    UNKNOWN,
    Counter,
    Meta,
    Problem,
    Request,
    ToolCall,
    Turn,
)
from session_usage.explain import explain
from session_usage.reconcile import Session, reconcile
from session_usage.report import (
    DETAILS,
    DIMENSIONS,
    Fold,
    Zone,
    active,
    amounts,
    iso,
    moment,
    session_report,
    times,
)

PRICES = pricing.load()
HOUR = 3_600_000
DAY = 24 * HOUR
SUMS = (
    "requests", "failedRequests", "unknownRequests", "inputTokens", "cacheReadTokens",
    "cacheWriteTokens", "outputTokens", "reasoningTokens", "nanoAiu", "copilotNanoAiu",
    "unattributedNanoAiu",
)  # fmt: skip
Row = dict[str, Any]


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def call(key: str, session: str | None = "s", agent: str = "copilot-cli", **more: Any) -> Request:
    more = {"input_tokens": 100, "output_tokens": 10, "model": "gpt-5.4", **more}
    return Request(key, agent, session, "usage-record", "/log.jsonl", 0, **more)


def made(*events: Any, session: str | None = "s", agent: str = "copilot-cli") -> Session:
    return reconcile(agent, session, events)


def folded(sessions: Iterable[Session], *by: str, **how: Any) -> Fold:
    fold = Fold(PRICES, by, **how)
    for session in sessions:
        fold.add(session)
    return fold


def keyed(fold: Fold) -> dict[tuple[Any, ...], Row]:
    return {tuple(row["key"].values()): row for row in fold.wire()["rows"]}


# ---- any sessions

COUNTS = st.one_of(st.none(), st.integers(0, 400_000))
NANO = st.one_of(st.none(), st.integers(0, 10**13))
TIMES = st.one_of(st.none(), st.integers(ms("2026-05-30T00:00:00Z"), ms("2026-11-20T00:00:00Z")))
MODELS = st.sampled_from([None, "gpt-5.4", "claude-sonnet-4.5", "gpt-4o-mini", "no-such-model"])
BILLINGS = st.sampled_from([COPILOT, COPILOT, BYOK, API])
PATHS = st.sampled_from([(), ("explore",), ("explore", "plan")])


@st.composite
def sessions(draw: st.DrawFn, number: int) -> Session:
    agent = draw(st.sampled_from(["copilot-cli", "copilot-vscode", "claude-code"]))
    name = draw(st.sampled_from([f"session-{number}", f"session-{number}", None]))
    events: list[Any] = [
        Meta(agent, name or "", "/log", workspace=draw(st.sampled_from([None, "/w", "/v"])),
             branch=draw(st.sampled_from([None, "main"])))
    ]  # fmt: skip
    tokens = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
    for at in range(draw(st.integers(0, 6))):
        events.append(
            Request(
                f"{number}-{at}", agent, name, "debug-log", "/log", at,
                started_ms=draw(TIMES), model=draw(MODELS), billing=draw(BILLINGS),
                provider=draw(st.sampled_from([None, "openai"])),
                status=draw(st.sampled_from(["ok", "ok", "error", "cancelled"])),
                nano_aiu=draw(NANO), duration_ms=draw(st.one_of(st.none(), st.integers(0, DAY))),
                surface=draw(st.sampled_from(["chat", "compaction", "background", "tool"])),
                subagent=draw(PATHS), turn=draw(st.sampled_from([None, "t1", "t2"])),
                skill=draw(st.sampled_from([None, "pdf"])), cwd=draw(st.sampled_from([None, "/c"])),
                weak=draw(st.integers(0, 9)) == 0, **{each: draw(COUNTS) for each in tokens},
            )
        )  # fmt: skip
    for at in range(draw(st.integers(0, 3))):
        events.append(
            Counter(
                f"c{at}", agent, name, "shutdown", "/log", 90 + at, draw(TIMES),
                draw(st.sampled_from(["session", "total", "turn"])), f"group {at}",
                since_ms=draw(TIMES), model=draw(MODELS), billing=draw(BILLINGS),
                requests=draw(st.one_of(st.none(), st.integers(0, 5))), nano_aiu=draw(NANO),
                reason="the shutdown knows more", **{each: draw(COUNTS) for each in tokens},
            )
        )  # fmt: skip
    for at in range(draw(st.integers(0, 2))):
        events.append(Turn(f"t{at}", agent, name, "/log", at, draw(TIMES)))
        events.append(ToolCall(f"x{at}", agent, name, "/log", at, draw(TIMES), "bash"))
    return reconcile(agent, name, events)


LIBRARIES = st.integers(0, 4).flatmap(lambda count: st.tuples(*map(sessions, range(count))))
GROUPINGS = st.lists(st.sampled_from(DIMENSIONS), min_size=1, max_size=4, unique=True)


def assert_adds_up(totals: Row, rows: list[Row]) -> None:
    for name in SUMS:
        parts = [row[name] for row in rows if row[name] is not None]
        assert (totals[name] or 0) == sum(parts), name
        if totals[name] is None:
            # a row may know that nothing belongs to a part of its amount
            assert not any(parts), name
    known = [row["basis"] for row in rows if row["nanoAiu"] is not None]
    assert totals["basis"] == max(known, key=BASES.index, default=UNKNOWN)


@settings(deadline=None, max_examples=40)
@given(LIBRARIES, GROUPINGS)
def test_C14_B14_the_rows_of_any_breakdown_add_up_to_the_totals(
    library: tuple[Session, ...], by: list[str]
) -> None:
    fold = folded(library, *by)
    report = fold.wire()
    assert_adds_up(report["totals"], report["rows"])
    assert report["totals"] == folded(library).wire()["totals"], "grouped or not"
    assert len(keyed(fold)) == len(report["rows"]), "no key comes twice"
    for row in report["rows"]:
        assert list(row["key"]) == by
        assert row["sessions"] <= report["totals"]["sessions"] or "tool" in by


@settings(deadline=None, max_examples=40)
@given(LIBRARIES, GROUPINGS, st.randoms(use_true_random=False))
def test_the_order_of_sessions_does_not_matter(
    library: tuple[Session, ...], by: list[str], random: Any
) -> None:
    shuffled = list(library)
    random.shuffle(shuffled)
    assert folded(shuffled, *by).wire() == folded(library, *by).wire()


@settings(deadline=None, max_examples=40)
@given(LIBRARIES)
def test_C14_the_totals_of_all_filters_add_up(library: tuple[Session, ...]) -> None:
    whole = folded(library).wire()["totals"]
    agents = {session.agent for session in library}
    parts = [folded(s for s in library if s.agent == agent).wire()["totals"] for agent in agents]
    assert_adds_up(whole, parts)
    assert whole["sessions"] == sum(part["sessions"] for part in parts)


@settings(deadline=None, max_examples=40)
@given(LIBRARIES, TIMES.filter(bool), GROUPINGS)
def test_windows_are_half_open_and_miss_nothing_between_them(
    library: tuple[Session, ...], cut: int, by: list[str]
) -> None:
    def within(window: windows.Window) -> Row:
        grouped = folded(library, *by, contains=window.contains).wire()
        plain = folded(library, contains=window.contains).wire()
        assert_adds_up(grouped["totals"], grouped["rows"])
        assert grouped["totals"] == plain["totals"]
        return plain["totals"]

    dated = [
        session._replace(
            requests=tuple(r for r in session.requests if moment(r) is not None),
            unattributed=tuple(c for c in session.unattributed if moment(c) is not None),
        )
        for session in library
    ]
    assert_adds_up(
        folded(dated).wire()["totals"],
        [within(windows.Window(None, cut)), within(windows.Window(cut, None))],
    )


@settings(deadline=None, max_examples=40)
@given(sessions(0))
def test_B14_every_view_of_a_session_has_the_same_figures(session: Session) -> None:
    report = session_report(session, PRICES, "full")
    fold = folded([session]).wire()["totals"]
    assert {**fold, "sessions": 1} == report["totals"]
    for rows in ("models", "subagents", "skills", "turns"):
        assert_adds_up(report["totals"], report[rows])
    parts = [*report["requests"], *report["unattributed"]]
    known = [part["nanoAiu"] for part in parts if part["nanoAiu"] is not None]
    assert report["totals"]["nanoAiu"] == (sum(known) if known else None)
    chain = explain(session, PRICES)
    assert {name: chain[name] for name in SUMS} == {name: report["totals"][name] for name in SUMS}


@settings(deadline=None, max_examples=40)
@given(sessions(0))
def test_each_level_of_detail_holds_the_one_before(session: Session) -> None:
    minimal, compact, full = (session_report(session, PRICES, level) for level in DETAILS)
    assert minimal.items() < compact.items() < full.items()
    json.dumps(full)


@settings(deadline=None, max_examples=40)
@given(LIBRARIES, GROUPINGS)
def test_B17_figures_are_integers(library: tuple[Session, ...], by: list[str]) -> None:
    report = folded(library, *by).wire()
    for row in (report["totals"], *report["rows"]):
        assert all(row[name] is None or type(row[name]) is int for name in (*SUMS, "sessions"))


# ---- groups


def test_an_unknown_dimension_is_named_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="cannot group by 'colour'; choose from: agent, model"):
        Fold(PRICES, ["model", "colour"])


def test_an_unknown_level_of_detail_is_named_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="unknown detail 'huge'; choose one of: minimal, compact"):
        session_report(made(), PRICES, "huge")


def test_B2_two_models_of_one_session_are_priced_apart() -> None:
    rows = keyed(
        folded([made(call("a", nano_aiu=5), call("b", model="gpt-5-mini", nano_aiu=7))], "model")
    )
    assert {key: row["nanoAiu"] for key, row in rows.items()} == {
        ("gpt-5.4",): 5,
        ("gpt-5-mini",): 7,
    }


def test_R4_a_remainder_is_a_part_of_every_breakdown() -> None:
    total = Counter(
        "c", "copilot-cli", "s", "shutdown", "/log", 9, 5, "total", "g", nano_aiu=12,
        reason="the shutdown knows more",
    )  # fmt: skip
    session = made(call("a", nano_aiu=5, started_ms=1), total)
    for dimension in DIMENSIONS:
        rows = folded([session], dimension).wire()["rows"]
        assert sum(row["nanoAiu"] for row in rows) == 12, dimension
        assert sum(row["unattributedNanoAiu"] for row in rows) == 7, dimension
    (row,) = session_report(session, PRICES)["unattributed"]
    assert (row["nanoAiu"], row["reason"]) == (7, "the shutdown knows more")


def test_R3_calls_of_no_session_are_in_the_totals_but_no_session() -> None:
    background = made(call("t", None, nano_aiu=3, surface="background"), session=None)
    fold = folded([made(call("a", nano_aiu=5)), background], "session")
    assert fold.wire()["totals"]["sessions"] == 1
    assert {key: row["nanoAiu"] for key, row in keyed(fold).items()} == {("s",): 5, (None,): 3}


def test_a_session_is_counted_once_in_each_row_it_is_in() -> None:
    session = made(*(call(str(n), nano_aiu=1, model=f"m{n % 2}") for n in range(6)))
    fold = folded([session], "model")
    assert [row["sessions"] for row in fold.wire()["rows"]] == [1, 1]
    assert fold.wire()["totals"]["sessions"] == 1


def test_a_session_outside_the_window_is_not_counted() -> None:
    fold = Fold(PRICES, contains=windows.Window(10, 20).contains)
    assert not fold.add(made(call("a", started_ms=9)))
    assert not fold.add(made(call("a", started_ms=20)))
    assert not fold.add(made(call("a", started_ms=None)))
    assert fold.wire()["totals"]["sessions"] == 0
    assert fold.add(made(call("a", started_ms=10)))
    assert fold.add(made(call("a", started_ms=19)))
    assert fold.wire()["totals"]["requests"] == 2


def test_tool_rows_count_calls_and_leave_the_money_with_the_requests() -> None:
    tool = ToolCall("x", "copilot-cli", "s", "/log", 1, 5, "bash")
    fold = folded([made(call("a", nano_aiu=5), tool, tool._replace(key="y"))], "tool")
    rows = keyed(fold)
    assert rows[("bash",)]["toolCalls"] == 2
    assert rows[("bash",)]["nanoAiu"] is None
    assert (rows[(None,)]["nanoAiu"], rows[(None,)]["toolCalls"]) == (5, 0)


def test_the_most_expensive_rows_come_first_and_days_in_their_order() -> None:
    session = made(
        call("a", started_ms=ms("2026-07-02T12:00:00Z"), nano_aiu=1, model="cheap"),
        call("b", started_ms=ms("2026-07-01T12:00:00Z"), nano_aiu=9, model="dear"),
        call("c", started_ms=ms("2026-07-03T12:00:00Z"), nano_aiu=5, model="middle"),
    )
    assert [key for (key,) in keyed(folded([session], "model"))] == ["dear", "middle", "cheap"]
    days = keyed(folded([session], "day", zone=Zone("UTC")))
    assert [key for (key,) in days] == ["2026-07-01", "2026-07-02", "2026-07-03"]


# ---- days


ZONES = [
    "UTC", "Europe/Berlin", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu",
    "America/St_Johns", "Australia/Lord_Howe", "Asia/Tokyo", "America/Sao_Paulo",
]  # fmt: skip


@given(st.integers(ms("2020-01-01T00:00:00Z"), ms("2035-01-01T00:00:00Z")), st.sampled_from(ZONES))
def test_E1_hours_are_those_of_the_zone(at_ms: int, name: str) -> None:
    local = datetime.fromtimestamp(at_ms / 1000, ZoneInfo(name))
    assert Zone(name).hour(at_ms) == f"{local:%Y-%m-%dT%H}"


@pytest.fixture
def system_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    def choose(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield choose
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("name", "day", "hour"),
    [
        ("XXX-14", "2026-07-02", "2026-07-02T01"),
        ("XXX+14", "2026-06-30", "2026-06-30T21"),
        ("UTC0", "2026-07-01", "2026-07-01T11"),
        ("Pacific/Kiritimati", "2026-07-02", "2026-07-02T01"),
        ("Pacific/Pago_Pago", "2026-07-01", "2026-07-01T00"),
    ],
)
def test_E1_days_are_those_of_the_system(system_zone: Any, name: str, day: str, hour: str) -> None:
    session = made(call("a", started_ms=ms("2026-07-01T11:30:00Z"), nano_aiu=5))
    system_zone(name)
    assert list(keyed(folded([session], "day", "hour"))) == [(day, hour)]


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-07-01", 24)]
)
def test_E1_a_day_has_as_many_hours_as_the_zone_gives_it(day: str, hours: int) -> None:
    noon = ms(f"{day}T12:00:00Z")
    session = made(*(call(str(n), started_ms=noon + n * HOUR, nano_aiu=1) for n in range(-48, 48)))
    berlin = Zone("Europe/Berlin")
    assert keyed(folded([session], "day", zone=berlin))[(day,)]["requests"] == hours
    window = windows.parse(day, 0, "Europe/Berlin")
    inside = folded([session], contains=window.contains, zone=berlin).wire()["totals"]
    assert inside["requests"] == hours, "the window and the row of a day are the same day"


def test_E2_the_billing_month_is_UTC_while_the_day_is_local() -> None:
    at_ms = ms("2026-07-31T15:30:00Z")  # 00:30 on 1 August in Tokyo
    session = made(call("a", started_ms=at_ms, nano_aiu=5))
    assert list(keyed(folded([session], "day", zone=Zone("Asia/Tokyo")))) == [("2026-08-01",)]
    day = "2026-08-01..2026-08-01"
    for text, now, inside in (
        ("billing-month", at_ms, True),
        ("billing-month", at_ms + DAY, False),
        ("month", at_ms, True),
        ("month", at_ms - HOUR, False),
        (day, at_ms, True),
    ):
        window = windows.parse(text, now, "Asia/Tokyo")
        fold = folded([session], contains=window.contains)
        assert bool(fold.wire()["totals"]["requests"]) == inside, (text, now)
    july = windows.parse("billing-month", at_ms, "Asia/Tokyo")
    assert (iso(july.start_ms), iso(july.end_ms)) == (
        "2026-07-01T00:00:00.000Z",
        "2026-08-01T00:00:00.000Z",
    )


def test_E4_C7_each_request_is_booked_on_its_own_day() -> None:
    starts = ["2026-07-01T23:59:59Z", "2026-07-02T00:00:00Z", "2026-07-04T10:00:00Z"]
    session = made(
        *(call(at, started_ms=ms(at), nano_aiu=5, duration_ms=2 * DAY) for at in starts),
        Counter("c", "copilot-cli", "s", "shutdown", "/log", 9, ms("2026-07-05T00:00:00Z"),
                "total", "g", nano_aiu=15),
    )  # fmt: skip
    days = keyed(folded([session], "day", zone=Zone("UTC")))
    assert {day: row["nanoAiu"] for (day,), row in days.items()} == {
        "2026-07-01": 5,
        "2026-07-02": 5,
        "2026-07-04": 5,
    }


@pytest.mark.parametrize("zone", [None, "Europe/Berlin", "Pacific/Kiritimati"])
@pytest.mark.parametrize("at_ms", [10**17, 253_402_300_799_999, -(10**15), 0, 999])
def test_F8_a_time_that_no_calendar_has_stops_no_report(zone: str | None, at_ms: int) -> None:
    session = made(call("a", started_ms=at_ms, nano_aiu=5))
    fold = folded([session], "day", "hour", zone=Zone(zone))
    assert fold.wire()["totals"]["nanoAiu"] == 5
    assert_adds_up(fold.wire()["totals"], fold.wire()["rows"])
    session_report(session, PRICES, "full")


@pytest.mark.parametrize("name", ["Nowhere/City", "../etc", "", "Europe", "/etc/localtime"])
def test_an_unknown_zone_is_named(name: str) -> None:
    if not name:
        assert Zone(name).hour(0) == Zone().hour(0)
        return
    with pytest.raises(UsageError, match=r"unknown time zone .*Europe/Berlin"):
        Zone(name)


@pytest.mark.parametrize(
    ("at_ms", "expected"),
    [
        (None, None),
        (0, "1970-01-01T00:00:00.000Z"),
        (1_795_171_158_683, "2026-11-20T10:39:18.683Z"),
        (1_795_171_158_007, "2026-11-20T10:39:18.007Z"),
        (-1, None),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, None),
        (10**30, None),
    ],
)
def test_iso(at_ms: int | None, expected: str | None) -> None:
    assert iso(at_ms) == expected


@given(st.integers(0, 253_402_300_799_999))
def test_iso_is_the_calendar(at_ms: int) -> None:
    at = datetime.fromtimestamp(at_ms // 1000, timezone.utc)
    assert iso(at_ms) == f"{at:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


# ---- times of a session


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], None),
        ([(5, None)], None),
        ([(None, 5)], None),
        ([(0, 10)], 10),
        ([(0, 10), (20, 5)], 15),
        ([(0, 10), (5, 10)], 15),
        ([(0, 100), (5, 10), (20, 10)], 100),
        ([(0, 10), (10, 10)], 20),
        ([(3, 0), (5, None)], 0),
    ],
)
def test_active_time_counts_parallel_calls_once(
    spans: list[tuple[int | None, int | None]], expected: int | None
) -> None:
    calls = [call(str(n), started_ms=s, duration_ms=d) for n, (s, d) in enumerate(spans)]
    assert active(made(*calls)) == expected


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 20)), min_size=1, max_size=8))
def test_active_time_is_the_union_of_the_calls(spans: list[tuple[int, int]]) -> None:
    calls = [call(str(n), started_ms=s, duration_ms=d) for n, (s, d) in enumerate(spans)]
    busy = set(itertools.chain.from_iterable(range(s, s + d) for s, d in spans))
    session = made(*calls)
    assert active(session) == len(busy)
    assert times(session) == (min(s for s, _ in spans), max(s + d for s, d in spans))


def test_a_session_without_calls_has_the_times_of_its_catalogue() -> None:
    meta = Meta("copilot-cli", "s", "/log", created_ms=5, updated_ms=9)
    assert times(made(meta)) == (5, 9)
    assert times(made()) == (None, None)


def test_a_report_names_its_problems() -> None:
    problem = Problem("malformed", "/log", 7, "a line is not JSON", "copilot-cli", "s")
    (row,) = session_report(made(problem), PRICES)["problems"]
    assert row == {
        "kind": "malformed", "path": "/log", "offset": 7, "message": "a line is not JSON",
        "agent": "copilot-cli", "session": "s",
    }  # fmt: skip


def test_the_amounts_of_a_session_are_those_of_its_requests_and_remainders() -> None:
    session = made(call("a", nano_aiu=5), call("b"))
    assert [(a.usage.key, a.quote.basis == BILLED) for a in amounts(session, PRICES)] == [
        ("a", True),
        ("b", False),
    ]
