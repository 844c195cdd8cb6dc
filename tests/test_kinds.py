"""The table of Copilot's event types, and one event read by it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from session_usage import kinds
from session_usage.errors import BadEvent

DATA = Path(__file__).parent / "data" / "live"
ENVELOPE = {
    "id": "00000000-0000-4000-8000-000000000001",
    "timestamp": "2026-09-01T10:00:00.250Z",
    "parentId": None,
}
GOLDEN = [json.loads(line) for line in (DATA / "one-of-each.jsonl").read_text().splitlines()]


def test_every_type_of_the_sdk_is_known() -> None:
    assert len({event["type"] for event in GOLDEN}) == 158
    assert {event["type"] for event in GOLDEN} <= set(kinds.types())


def test_every_type_recorded_from_a_cli_is_known() -> None:
    for path in DATA.rglob("events*.jsonl"):
        for line in path.read_text().splitlines():
            assert kinds.read(json.loads(line)).kind is not kinds.UNKNOWN


def test_table_is_sorted_and_each_row_says_where_it_lives() -> None:
    rows = list(kinds.types().values())
    assert [row.name for row in rows] == sorted(row.name for row in rows)
    assert {row.persistence for row in rows} == {"persisted", "ephemeral", "either"}


@pytest.mark.parametrize(
    ("name", "persistence", "usage"),
    [
        ("session.usage_record", "persisted", "request"),
        ("assistant.usage", "ephemeral", "request"),
        ("session.usage_info", "ephemeral", "context"),
        ("session.idle", "ephemeral", "session"),
        ("session.shutdown", "persisted", "counter"),
        ("session.usage_checkpoint", "persisted", "counter"),
        ("session.compaction_complete", "persisted", "request"),
        ("permission.requested", "persisted", ""),
        ("external_tool.completed", "either", "tool"),
        ("model.model_call_success", "either", "request"),
    ],
)
def test_rows(name: str, persistence: str, usage: str) -> None:
    assert kinds.types()[name] == (name, persistence, usage)


@pytest.mark.parametrize("raw", GOLDEN, ids=lambda raw: raw["type"])
def test_each_event_keeps_its_payload_whole(raw: dict) -> None:
    event = kinds.read(raw, strict=True)
    assert (event.type, event.data, event.id) == (raw["type"], raw["data"], raw["id"])
    assert event.raw is raw
    assert event.kind.name == raw["type"]


def test_unknown_type_is_kept_with_its_raw_payload() -> None:
    raw = {**ENVELOPE, "type": "brand.new", "data": {"deep": [1, {"x": None}]}, "more": 1}
    event = kinds.read(raw, strict=True)
    assert event.kind is kinds.UNKNOWN
    assert (event.type, event.data, event.raw["more"]) == ("brand.new", raw["data"], 1)


def test_envelope() -> None:
    raw = {**ENVELOPE, "type": "assistant.usage", "data": {}, "agentId": "a", "parentId": "p"}
    event = kinds.read(raw)
    assert (event.at_ms, event.parent, event.agent) == (1_788_256_800_250, "p", "a")
    assert event.ephemeral, "ephemeral by its type"
    assert kinds.read({"type": "abort", "ephemeral": True}).ephemeral, "ephemeral as it says"
    assert not kinds.read({"type": "abort"}).ephemeral


BROKEN = [
    [],
    None,
    "text",
    {},
    {"type": ""},
    {"type": 5},
]


@pytest.mark.parametrize("raw", BROKEN)
def test_what_is_no_event_is_an_error(raw: object) -> None:
    with pytest.raises(BadEvent):
        kinds.read(raw)


@pytest.mark.parametrize(
    "damage", [{"id": "no uuid"}, {"id": None}, {"id": 7}, {"timestamp": "yesterday"},
               {"timestamp": None}]
)  # fmt: skip
def test_bad_id_or_time_is_an_error_from_a_cli_and_none_in_a_journal(damage: dict) -> None:
    raw = {**ENVELOPE, "type": "session.idle", "data": {}, **damage}
    with pytest.raises(BadEvent):
        kinds.read(raw, strict=True)
    event = kinds.read(raw)
    assert event.type == "session.idle"
    if "timestamp" in damage:
        assert event.at_ms is None


def test_payload_of_another_shape_is_empty() -> None:
    assert kinds.read({"type": "abort", "data": [1]}).data == {}
