"""Usage of a folder of plain agent logs. Checks are numbered as in the format's description."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_usage.agent_usage import (
    COLUMNS,
    Tally,
    aggregate_usage,
    cache_hit_rate,
    cost_per_success,
    csv_text,
    per_second,
    share,
)
from session_usage.errors import BadWindow
from session_usage.windows import Window, instant, parse

DATA = Path(__file__).parent / "data/agent-log"
GOLDEN = json.loads((DATA / "expected.json").read_text("utf-8"))
DERIVED = {
    "sr": "success_rate",
    "cps": "cost_per_success",
    "in/s": "input_tokens_per_second",
    "out/s": "output_tokens_per_second",
    "chr": "cache_hit_rate",
}


def window_of(spec: str, now: str) -> Window | None:
    moment = instant(now)
    assert moment is not None
    return parse(spec, moment) if spec.strip() else None


def log(folder: Path, name: str, **fields: Any) -> None:
    """One session: ``at``, ``provider``, ``model``, and the fields of its end."""
    at = fields.pop("at", "2026-04-08T12:00:00Z")
    start = {"provider": fields.pop("provider", "p"), "model": fields.pop("model", "m")}
    end = {"status": "success", "tokens": {"input": 1, "output": 1, "total": 2}} | fields
    (folder / f"{name}.jsonl").write_text(
        json.dumps({"type": "session.start", "ts": at, "data": start})
        + "\n"
        + json.dumps({"type": "session.end", "ts": at, "data": end})
        + "\n"
    )


@pytest.mark.parametrize("case", GOLDEN["usage"], ids=lambda case: f"{case['dir']} {case['since']}")
def test_recorded_reports(case: dict[str, Any]) -> None:
    if case["since"] == "bogus":
        with pytest.raises(BadWindow):
            window_of(case["since"], case["now"])
        return
    report = aggregate_usage(str(DATA / case["dir"]), window_of(case["since"], case["now"]))
    if "error" in case:
        # upstream fails as a whole; here a bad log is named and the others count
        assert case["dir"] == "usage-bad"
        assert report["rows"] == []
        assert [Path(entry["path"]).name for entry in report["skipped"]] == ["a.jsonl"]
        return
    recorded = case["report"]
    assert report["skipped"] == []
    assert report["window"] == recorded.get("window")
    # upstream writes null for no rows
    for ours, theirs in zip(report["rows"], recorded["rows"] or [], strict=True):
        assert ours.items() >= theirs.items()
    assert report["totals"].items() >= recorded["totals"].items()
    derived = case["derived (sr=success_rate cps=cost_per_success in/s out/s chr=cache_hit_rate)"]
    for row in [*report["rows"], report["totals"]]:
        figures = derived.pop(f"{row['provider']}|{row['model']}")
        assert {name: row[DERIVED[name]] for name in figures} == pytest.approx(figures)
    assert derived == {}


def test_recorded_reports_are_all_there() -> None:
    assert len(GOLDEN["usage"]) == 8


def test_check_5_6_7_null_beside_the_partial_sum(tmp_path: Path) -> None:
    log(tmp_path, "a", model="mixed", cost_usd=0.25)
    log(tmp_path, "b", model="mixed")
    log(tmp_path, "c", model="mixed", cost_usd=-1)
    log(tmp_path, "d", model="pure", cost_usd=0.5)
    report = aggregate_usage(str(tmp_path))
    mixed, pure = report["rows"]
    assert mixed["known_cost_usd"] is None
    assert mixed["partial_cost_usd"] == 0.25
    assert mixed["unknown_cost_sessions"] == 2
    assert pure["known_cost_usd"] == pure["partial_cost_usd"] == 0.5
    assert pure["unknown_cost_sessions"] == 0
    assert report["totals"]["known_cost_usd"] is None
    assert report["totals"]["partial_cost_usd"] == 0.75
    assert report["totals"]["unknown_cost_sessions"] == 2


def test_zero_is_known_and_absent_is_not(tmp_path: Path) -> None:
    log(tmp_path, "a", model="free", cost_usd=0)
    log(tmp_path, "b", model="untold")
    free, untold = aggregate_usage(str(tmp_path))["rows"]
    assert (free["known_cost_usd"], free["partial_cost_usd"]) == (0, 0)
    assert (untold["known_cost_usd"], untold["partial_cost_usd"]) == (None, None)


def test_B17_costs_are_added_exactly(tmp_path: Path) -> None:
    for n in range(10):
        log(tmp_path, str(n), cost_usd=0.1)
    assert aggregate_usage(str(tmp_path))["totals"]["known_cost_usd"] == 1


def test_check_8_an_old_session_is_outside(tmp_path: Path) -> None:
    log(tmp_path, "old", at="2026-04-01T12:00:00Z")
    log(tmp_path, "new", at="2026-04-08T12:00:00Z")
    report = aggregate_usage(str(tmp_path), window_of("7d", "2026-04-09T12:00:00Z"))
    assert report["totals"]["sessions"] == 1


@pytest.mark.parametrize("folder", ["missing", ""])
def test_check_9_a_missing_folder_is_empty(tmp_path: Path, folder: str) -> None:
    report = aggregate_usage(str(tmp_path / folder / "x") if folder else "")
    assert report["rows"] == []
    assert report["skipped"] == []
    assert report["totals"]["sessions"] == 0


def test_check_10_speeds() -> None:
    assert per_second(30, 3000) == 10
    assert per_second(15, 3000) == 5
    assert per_second(15, 0) == 0


def test_check_11_two_of_three(tmp_path: Path) -> None:
    log(tmp_path, "a", cost_usd=0.3)
    log(tmp_path, "b", cost_usd=0.3)
    log(tmp_path, "c", cost_usd=0.1, status="error")
    (row,) = aggregate_usage(str(tmp_path))["rows"]
    assert row["success_rate"] == pytest.approx(2 / 3)
    assert row["cost_per_success"] == pytest.approx(0.35)


def test_check_12_a_row_of_nothing() -> None:
    row = Tally().row("", "")
    assert row["success_rate"] == row["cache_hit_rate"] == row["input_tokens_per_second"] == 0
    assert row["cost_per_success"] is None
    assert row["known_cost_usd"] is None


def test_derived_figures() -> None:
    assert share(1, 4) == 0.25
    assert cost_per_success(None, 3) is None
    assert cost_per_success(0.5, 0) is None
    assert cache_hit_rate(30, 60, 10) == 0.6


@pytest.mark.parametrize(
    "status", ["error", "cancelled", "iteration_limit", "budget_halted", "Success", ""]
)
def test_every_other_status_is_a_failure(tmp_path: Path, status: str) -> None:
    log(tmp_path, "a", status=status)
    totals = aggregate_usage(str(tmp_path))["totals"]
    assert (totals["success_sessions"], totals["failed_sessions"]) == (0, 1)


def test_one_bad_log_does_not_hide_the_others(tmp_path: Path) -> None:
    log(tmp_path, "a", cost_usd=1)
    log(tmp_path, "b", cost_usd=2)
    with open(tmp_path / "b.jsonl", "a") as file:
        file.write("nonsense\n")
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "dangling.jsonl").symlink_to(tmp_path / "nowhere")
    log(tmp_path / "folder.jsonl", "deeper")
    report = aggregate_usage(str(tmp_path))
    assert report["totals"]["sessions"] == 1
    assert report["totals"]["known_cost_usd"] == 1
    skipped = {Path(entry["path"]).name: entry for entry in report["skipped"]}
    assert skipped.keys() == {"b.jsonl", "dangling.jsonl"}
    assert skipped["b.jsonl"]["offset"] == (tmp_path / "b.jsonl").stat().st_size - len("nonsense\n")
    assert "nonsense" not in skipped["b.jsonl"]["reason"]


def test_open_sides_are_null_in_the_report(tmp_path: Path) -> None:
    window = parse("2026-04-01..", 0)
    assert aggregate_usage(str(tmp_path), window)["window"] == {
        "start": "2026-04-01T00:00:00Z",
        "end": None,
    }


def test_a_window_may_reach_beyond_the_calendar(tmp_path: Path) -> None:
    report = aggregate_usage(str(tmp_path), parse("9999999d", 0))
    assert report["window"] == {"start": "0001-01-01T00:00:00Z", "end": "1970-01-01T00:00:00Z"}


def test_the_csv_form(tmp_path: Path) -> None:
    log(tmp_path, "a", provider="a,b", model='m"1', cost_usd=0.5, duration_ms=1000)
    log(tmp_path, "b", model="m2", duration_ms=1000)
    rows = list(csv.DictReader(io.StringIO(csv_text(aggregate_usage(str(tmp_path))))))
    assert tuple(rows[0]) == COLUMNS
    assert [row["provider"] for row in rows] == ["a,b", "p", "TOTAL"]
    assert rows[0]["model"] == 'm"1'
    assert [row["known_cost_usd"] for row in rows] == ["0.5", "", ""]
    assert [row["cost_per_success"] for row in rows] == ["0.5", "", ""]
    assert [row["unknown_cost_sessions"] for row in rows] == ["0", "1", "1"]


numbers = st.integers(0, 10**9)
tallies = st.builds(Tally, *[numbers] * len(Tally._fields))


@given(tallies, tallies, tallies)
def test_tallies_merge_in_any_order(a: Tally, b: Tally, c: Tally) -> None:
    assert a.merge(b) == b.merge(a)
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert a.merge(Tally()) == a


@given(
    starts=st.lists(st.integers(0, 100), min_size=1, max_size=8),
    costs=st.lists(st.none() | st.sampled_from([0, 0.1, 0.25, -1]), min_size=8, max_size=8),
    middle=st.integers(1, 99),
)
def test_a_window_and_its_two_halves_sum_up(
    tmp_path_factory: pytest.TempPathFactory,
    starts: list[int],
    costs: list[float | None],
    middle: int,
) -> None:
    folder = tmp_path_factory.mktemp("logs")
    begin = datetime(2026, 4, 1, tzinfo=timezone.utc)
    for n, (minutes, cost) in enumerate(zip(starts, costs, strict=False)):
        at = (begin + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
        log(folder, str(n), at=at, cost_usd=cost, model=str(n % 2))
    zero = round(begin.timestamp() * 1000)
    edges = [zero, zero + middle * 60_000, zero + 101 * 60_000]
    whole = aggregate_usage(str(folder), Window(edges[0], edges[2]))["totals"]
    halves = [
        aggregate_usage(str(folder), Window(*sides))["totals"] for sides in (edges[:2], edges[1:])
    ]
    assert whole["sessions"] == len(starts)
    for name in ("sessions", "success_sessions", "total_tokens", "unknown_cost_sessions"):
        assert whole[name] == halves[0][name] + halves[1][name]
    parts = [half["partial_cost_usd"] for half in halves if half["partial_cost_usd"] is not None]
    assert whole["partial_cost_usd"] == (pytest.approx(sum(parts)) if parts else None)
