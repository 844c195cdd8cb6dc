"""How often people overrule the automatic choice of a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from session_usage.routing import (
    RoutingScan,
    routing_metrics,
    scan_routing_quality,
    session_routing,
)
from session_usage.session_log import Event
from session_usage.windows import instant, parse

DATA = Path(__file__).parent / "data/agent-log"
GOLDEN = json.loads((DATA / "expected.json").read_text("utf-8"))


def override(kind: str = "override", **data: Any) -> Event:
    return Event("s", 0, kind, "2026-04-08T12:00:00Z", data)


@pytest.mark.parametrize("case", GOLDEN["routing"], ids=lambda case: str(case.get("since")))
def test_recorded_scans(case: dict[str, Any]) -> None:
    window = None
    if case.get("since"):
        now = instant(case["now"])
        assert now is not None
        window = parse(case["since"], now)
    scan = scan_routing_quality(str(DATA / case["dir"]), window)
    if "error" in case:
        # upstream fails as a whole; here a bad log is named and the others count
        assert scan.total_requests == 0
        assert [Path(entry["path"]).name for entry in scan.skipped] == ["a.jsonl"]
        return
    assert scan.total_requests == case["TotalRequests"]
    assert [json.loads(event.line()) for event in scan.overrides] == (case["OverrideEvents"] or [])
    assert scan.skipped == []


def test_recorded_scans_are_all_there() -> None:
    assert len(GOLDEN["routing"]) == 4


def test_no_folder_is_no_requests() -> None:
    assert scan_routing_quality("") == RoutingScan(0, [], [])


def test_metrics_of_nothing() -> None:
    metrics = routing_metrics(RoutingScan(0, [], []))
    assert metrics["auto_acceptance_rate"] == 0
    assert metrics["override_disagreement_rate"] == 0
    assert metrics["override_class_breakdown"] == []


@pytest.mark.parametrize(
    ("total", "overrides", "rate"), [(10, 0, 1.0), (10, 3, 0.7), (10, 10, 0), (1, 5, 0)]
)
def test_auto_acceptance_rate(total: int, overrides: int, rate: float) -> None:
    scan = RoutingScan(total, [override()] * overrides, [])
    assert routing_metrics(scan)["auto_acceptance_rate"] == pytest.approx(rate)


def test_agreement_on_every_overruled_axis_is_no_disagreement() -> None:
    agree = override(axes_overridden=["model"], match_per_axis={"model": True, "harness": False})
    differ = override(
        axes_overridden=["model", "harness"], match_per_axis={"model": True, "harness": False}
    )
    silent = override("rejected_override", axes_overridden=["provider"])
    metrics = routing_metrics(RoutingScan(10, [agree, differ, silent, override()], []))
    assert metrics["override_disagreement_rate"] == 0.5
    assert metrics["total_overrides"] == 4


def test_breakdown_by_class() -> None:
    prompt = {"estimated_tokens": 2000, "requires_tools": True, "reasoning": "high"}
    pinned = {"axes_overridden": ["harness"], "match_per_axis": {"harness": False}}
    events = [
        override(**pinned, prompt_features=prompt, outcome={"status": "success"}),
        override(**pinned, prompt_features=prompt, outcome={"status": "failed"}),
        override(**pinned, prompt_features=prompt, outcome={"status": "exploded"}),
        override("rejected_override", **pinned, prompt_features=prompt),
        override(axes_overridden=["model", 5], match_per_axis={"model": True}, prompt_features=[]),
        override(axes_overridden="model"),
        Event(type="override", data=[1]),
    ]
    rows = routing_metrics(RoutingScan(20, events, []))["override_class_breakdown"]
    assert rows == [
        {
            "prompt_feature_bucket": "tokens=small,tools=yes,reasoning=high",
            "axis": "harness",
            "match": False,
            "count": 4,
            "success_outcomes": 1,
            "stalled_outcomes": 0,
            "failed_outcomes": 1,
            "cancelled_outcomes": 0,
            "unknown_outcomes": 2,
        },
        {
            "prompt_feature_bucket": "tokens=unknown,tools=no,reasoning=none",
            "axis": "model",
            "match": True,
            "count": 1,
            "success_outcomes": 0,
            "stalled_outcomes": 0,
            "failed_outcomes": 0,
            "cancelled_outcomes": 0,
            "unknown_outcomes": 1,
        },
    ]


@pytest.mark.parametrize(
    ("tokens", "size"),
    [(0, "tiny"), (2000, "small"), (20_000, "medium"), (50_000, "large"), (10**6, "huge")],
)
def test_prompts_are_grouped_by_size(tokens: int, size: str) -> None:
    event = override(axes_overridden=["model"], prompt_features={"estimated_tokens": tokens})
    (row,) = routing_metrics(RoutingScan(1, [event], []))["override_class_breakdown"]
    assert row["prompt_feature_bucket"] == f"tokens={size},tools=no,reasoning=none"


def test_a_sessions_own_routing() -> None:
    found = session_routing(str(DATA / "replay/full.jsonl"))
    assert found is not None
    assert (found["endpoint"], found["serverInstance"]) == ("desk", "desk-1")
    assert found["sticky"] == {
        "keyPresent": True,
        "assignment": "reused",
        "serverInstance": None,
        "reason": "lease",
        "bonus": 2.5,
    }
    assert found["utilization"] == {
        "source": "slots",
        "freshness": "fresh",
        "activeRequests": 1,
        "queuedRequests": 0,
        "maxConcurrency": 4,
        "cachePressure": 0.256,
        "observedAt": "2026-05-01T00:00:00Z",
    }
    assert found["overrides"] == []


def test_the_end_says_more_than_the_start_and_damage_ends_the_reading(tmp_path: Path) -> None:
    def line(kind: str, **data: Any) -> str:
        return json.dumps({"type": kind, "ts": "2026-05-01T00:00:00Z", "data": data}) + "\n"

    path = tmp_path / "run.jsonl"
    pin = {"axes_overridden": ["model", "harness"], "match_per_axis": {"model": True}}
    path.write_text(
        line("session.start", selected_endpoint="one", selected_route="r", failover_count=0)
        + line("override", **pin, outcome={"status": "failed"}, prompt_features={"reasoning": "x"})
        + line("rejected_override", **pin)
        + line("session.end", selected_endpoint="two", failover_count=1, attempted_providers=["a"],
               utilization={"source": "slots"})
        + "{\n"
    )  # fmt: skip
    found = session_routing(str(path))
    assert found is not None
    assert (found["endpoint"], found["route"], found["provider"]) == ("two", "r", None)
    assert (found["attemptedProviders"], found["failovers"]) == (["a"], 1)
    assert found["sticky"] is None
    assert found["utilization"]["source"] == "slots"
    assert found["utilization"]["activeRequests"] is None
    assert found["utilization"]["observedAt"] is None
    first, second = found["overrides"]
    assert (first["axes"], first["agreed"]) == (["model", "harness"], ["model"])
    assert (first["rejected"], first["outcome"]) == (False, "failed")
    assert (second["rejected"], second["outcome"]) == (True, "unknown")
    assert first["promptFeatureBucket"] == "tokens=unknown,tools=no,reasoning=x"


@pytest.mark.parametrize("text", [None, "", "{", '{"type": "session.start", "data": 5}'])
def test_no_routing_where_a_log_says_nothing(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    if text is not None:
        path.write_text(text)
    assert session_routing(str(path)) is None
