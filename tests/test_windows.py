"""The grammar of time windows, against recorded answers and the calendar."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_usage.errors import BadWindow
from session_usage.windows import Window, bound, instant, parse, written

GOLDEN = json.loads((Path(__file__).parent / "data/agent-log/expected.json").read_text("utf-8"))

HOUR = 3_600_000
DAY = 24 * HOUR


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


NOW = ms("2026-04-09T15:30:00Z")

MORE_THAN_UPSTREAM = {
    # upstream knows 7d and 30d only; any number of days, hours and minutes is as clear
    "14d": Window(NOW - 14 * DAY, NOW),
    "1h": Window(NOW - HOUR, NOW),
    "24h": Window(NOW - 24 * HOUR, NOW),
}


def recorded(case: dict) -> Window | None:
    if case["window"] is None:
        return Window()
    if case["window"] == "error":
        return None
    return Window(
        *(
            # an open side is the zero time upstream
            None if text.startswith("0001-") else instant(text)
            for text in (case["window"]["start"], case["window"]["end"])
        )
    )


@pytest.mark.parametrize("case", GOLDEN["windows"], ids=lambda case: f"{case['spec']!r}")
def test_recorded_windows(case: dict) -> None:
    now = ms(case["now"])
    expected = MORE_THAN_UPSTREAM.get(case["spec"], recorded(case))
    if expected is None:
        with pytest.raises(BadWindow):
            parse(case["spec"], now)
    else:
        assert parse(case["spec"], now) == expected


def test_recorded_windows_are_all_there() -> None:
    assert len(GOLDEN["windows"]) == 40
    refused = {case["spec"] for case in GOLDEN["windows"] if case["window"] == "error"}
    assert MORE_THAN_UPSTREAM.keys() <= refused


def test_check_1_today() -> None:
    assert parse("today", NOW) == Window(ms("2026-04-09T00:00:00Z"), ms("2026-04-10T00:00:00Z"))


def test_check_2_seven_days() -> None:
    assert parse("7d", NOW) == Window(NOW - 7 * DAY, NOW)


def test_check_3_a_range_includes_its_last_day() -> None:
    window = parse("2026-04-01..2026-04-03", NOW)
    assert window.contains(ms("2026-04-03T23:59:59Z"))
    assert not window.contains(ms("2026-04-04T00:00:00Z"))


def test_check_4_a_single_date() -> None:
    assert parse("2026-04-02", NOW) == Window(
        ms("2026-04-02T00:00:00Z"), ms("2026-04-03T00:00:00Z")
    )


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("90m", "2026-04-09T14:00:00Z", "2026-04-09T15:30:00Z"),
        ("month", "2026-04-01T00:00:00Z", "2026-05-01T00:00:00Z"),
        ("billing-month", "2026-04-01T00:00:00Z", "2026-05-01T00:00:00Z"),
        ("2026-04-01T10:00", "2026-04-01T10:00:00Z", "2026-04-02T10:00:00Z"),
        ("2026-04-01T10:00:00..2026-04-02", "2026-04-01T10:00:00Z", "2026-04-03T00:00:00Z"),
    ],
)
def test_more_of_the_grammar(text: str, start: str, end: str) -> None:
    assert parse(text, NOW) == Window(ms(start), ms(end))


@pytest.mark.parametrize(
    "text",
    [
        *["14x", "d", "-1d", "0d", "0h", "1.5h", "7 d", "7D", "٧d", "99999999d", "last week"],
        *["2026-W27-3", "20260701", "2026-07", "2026-07-01T", "2026-07-01T25:00:00Z"],
        *["2026-07-01T24:00:00Z", "2026-07-01T10:00:60Z", "2026-07-01T10:00:00+24:00"],
        *["2026-07-01T10:00:00+0200", "2026-07-01T10:00:00,5Z", "0000-01-01", "9999-12-31"],
        *["14d..", "today..", "a\nb", "2026-07-01\x00"],
    ],
)
def test_bad_windows_show_the_grammar(text: str) -> None:
    with pytest.raises(BadWindow) as caught:
        parse(text, NOW)
    message = str(caught.value)
    assert "billing-month" in message
    assert "FROM..TO" in message
    assert "\n" not in message


def test_a_long_bad_window_is_not_repeated_whole() -> None:
    with pytest.raises(BadWindow) as caught:
        parse("x" * 10_000, NOW)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "Europe", "a\x00b", "ü"])
def test_unknown_zones(zone: str) -> None:
    for call in (parse, bound):
        with pytest.raises(BadWindow, match="unknown time zone"):
            call("today", NOW, zone)


@pytest.mark.parametrize(
    ("day", "zone", "start", "hours"),
    [
        ("2026-03-29", "Europe/Berlin", "2026-03-28T23:00:00Z", 23),
        ("2026-10-25", "Europe/Berlin", "2026-10-24T22:00:00Z", 25),
        ("2026-06-15", "Europe/Berlin", "2026-06-14T22:00:00Z", 24),
        ("2026-06-15", "Pacific/Kiritimati", "2026-06-14T10:00:00Z", 24),
        ("2026-06-15", "Etc/GMT+12", "2026-06-15T12:00:00Z", 24),
        ("2026-06-15", "Asia/Kathmandu", "2026-06-14T18:15:00Z", 24),
        # midnight itself is skipped, or happens twice
        ("2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00:00Z", 23),
        ("2026-11-01", "America/Havana", "2026-11-01T04:00:00Z", 25),
    ],
)
def test_E1_days_are_those_of_the_zone(day: str, zone: str, start: str, hours: int) -> None:
    window = Window(ms(start), ms(start) + hours * HOUR)
    assert parse(day, NOW, zone) == window
    assert parse(f"{day}..{day}", NOW, zone) == window
    assert bound(day, NOW, zone) == window.start_ms
    assert bound(day, NOW, zone, end=True) == window.end_ms
    for moment in (window.start_ms, window.end_ms - 1):
        assert parse("today", moment, zone) == window
        assert bound("today", moment, zone) == window.start_ms


def test_E1_a_day_that_a_zone_skipped_is_empty() -> None:
    with pytest.raises(BadWindow):
        parse("2011-12-30", NOW, "Pacific/Apia")


def test_E1_instants_without_offset_are_local() -> None:
    assert parse("2026-07-01T10:00:00", NOW, "Asia/Tokyo").start_ms == ms("2026-07-01T01:00:00Z")
    assert parse("2026-07-01T10:00:00Z", NOW, "Asia/Tokyo").start_ms == ms("2026-07-01T10:00:00Z")


def test_E1_month_has_the_hours_that_it_has() -> None:
    window = parse("month", ms("2026-03-10T12:00:00Z"), "Europe/Berlin")
    assert window.end_ms - window.start_ms == 31 * DAY - HOUR
    assert parse("month", ms("2026-12-31T23:30:00Z")).end_ms == ms("2027-01-01T00:00:00Z")


def test_E2_the_billing_month_is_utc_and_the_day_is_local() -> None:
    # half past midnight on the 1st in Tokyo is still the last day of the month in UTC
    now = ms("2026-07-01T00:30:00+09:00")
    assert parse("today", now, "Asia/Tokyo").start_ms == ms("2026-07-01T00:00:00+09:00")
    assert parse("month", now, "Asia/Tokyo").start_ms == ms("2026-07-01T00:00:00+09:00")
    assert parse("billing-month", now, "Asia/Tokyo") == Window(
        ms("2026-06-01T00:00:00Z"), ms("2026-07-01T00:00:00Z")
    )


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026-07-01", "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z"),
        ("2026-07-01T10:00:00Z", "2026-07-01T10:00:00Z", "2026-07-01T10:00:00Z"),
        ("2026-07-01 10:00:00", "2026-07-01T10:00:00Z", "2026-07-01T10:00:00Z"),
        ("2026-07-01T10:00", "2026-07-01T10:00:00Z", "2026-07-01T10:00:00Z"),
        (
            "2026-07-01T10:00:00.123456+02:00",
            "2026-07-01T08:00:00.123Z",
            "2026-07-01T08:00:00.123Z",
        ),
        ("today", "2026-04-09T00:00:00Z", "2026-04-10T00:00:00Z"),
        ("24h", "2026-04-08T15:30:00Z", "2026-04-08T15:30:00Z"),
        (" 7d ", "2026-04-02T15:30:00Z", "2026-04-02T15:30:00Z"),
    ],
)
def test_bounds(text: str, start: str, end: str) -> None:
    assert bound(text, NOW) == ms(start)
    assert bound(text, NOW, end=True) == ms(end)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-02-30",
        "2026-W27-3",
        "20260701",
        "2026-07-01t10:00:00",
        "20260701T100000",
        "2026-W27",
        "soon",
    ],
)
def test_D12_one_set_of_forms_on_every_python(text: str) -> None:
    with pytest.raises(BadWindow):
        bound(text, NOW)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2026-04-08T12:00:00.724013804Z", ms("2026-04-08T12:00:00.724Z")),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000),
        ("0001-01-01T00:00:00+14:00", -62_135_596_800_000 - 14 * HOUR),
        ("2026-02-30T12:00:00Z", None),
        ("2026-04-08T12:00:00", None),
        ("2026-04-08T12:00Z", None),
        ("yesterday", None),
    ],
)
def test_instants(text: str, expected: int | None) -> None:
    assert instant(text) == expected


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (-(10**17), "0001-01-01T00:00:00Z"),
        (10**17, "9999-12-31T23:59:59Z"),
    ],
)
def test_instants_are_written_in_utc(moment: int, text: str) -> None:
    assert written(moment) == text


@given(
    st.integers(min_value=0, max_value=4_000_000_000_000),
    st.integers(min_value=1, max_value=10_000),
    st.integers(min_value=-10_000, max_value=10_000),
)
def test_a_window_and_its_two_halves(start: int, length: int, shift: int) -> None:
    whole = Window(start, start + 2 * length)
    halves = Window(start, start + length), Window(start + length, start + 2 * length)
    moment = start + length + shift
    assert whole.contains(moment) == (halves[0].contains(moment) + halves[1].contains(moment) == 1)
    assert not all(half.contains(moment) for half in halves)


@given(st.datetimes(timezones=st.just(timezone.utc)), st.sampled_from(["UTC", "Europe/Berlin"]))
def test_now_is_in_today_and_in_its_month(now: datetime, zone: str) -> None:
    moment = (now - datetime(1970, 1, 1, tzinfo=timezone.utc)) // (datetime.resolution * 1000)
    for text in ("today", "month", "billing-month"):
        try:
            window = parse(text, moment, zone)
        except BadWindow:
            assert now.year in (1, 9999)  # at the ends of the calendar
        else:
            assert window.contains(moment)


@given(st.text())
def test_any_text_is_a_window_or_bad(text: str) -> None:
    for call in (parse, bound):
        try:
            call(text, NOW)
        except BadWindow:
            continue


def test_zoneinfo_is_imported_for_named_zones_only() -> None:
    code = (
        "import sys; from session_usage.windows import parse; parse('today', 0); "
        "assert 'zoneinfo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
