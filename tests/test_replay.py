"""Transcripts of plain agent logs. Checks are numbered as in the format's description."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from session_usage.errors import SessionNotFound, UnreadableLog
from session_usage.replay import replay_log

DATA = Path(__file__).parent / "data/agent-log"
GOLDEN = json.loads((DATA / "expected.json").read_text("utf-8"))["replay"]

BETTER = {
    # its offset is taken off, as the text says UTC
    "minimal": GOLDEN["minimal"].replace("02:03:04 UTC", "00:03:04 UTC"),
    # 101 characters of two bytes each need no cut
    "utf8-cut": "\n  > t (0ms)\n    Input:  {}\n    Output: " + "é" * 101 + "\n",
}


def transcript(path: Path | str, **options: bool) -> str:
    pieces: list[str] = []
    replay_log(str(path), pieces.append, **options)
    return "".join(pieces)


def replayed(tmp_path: Path, *events: tuple[str, Any]) -> str:
    path = tmp_path / "log.jsonl"
    path.write_text(
        "".join(
            json.dumps(
                {"session_id": "s", "type": kind, "ts": "2026-05-01T00:00:00Z", "data": data}
            )
            + "\n"
            for kind, data in events
        )
    )
    return transcript(path)


@pytest.mark.parametrize("case", sorted(GOLDEN.keys() - {"bad"}))
def test_recorded_transcripts(case: str) -> None:
    assert transcript(DATA / f"replay/{case}.jsonl") == BETTER.get(case, GOLDEN[case])


def test_recorded_transcripts_are_all_there() -> None:
    assert len(GOLDEN) == 10


def test_check_27_all_sections() -> None:
    text = transcript(DATA / "replay/full.jsonl")
    for section in (
        "=== Session",
        "[System]",
        "[User]",
        "[LLM Request]",
        "[Assistant]",
        "  > bash",
    ):
        assert section in text
    assert text.endswith("Error: warn\n")


@pytest.mark.parametrize("cost", [None, -1, -0.5])
def test_check_28_unknown_cost(tmp_path: Path, cost: float | None) -> None:
    text = replayed(tmp_path, ("session.end", {"status": "success", "cost_usd": cost}))
    assert "| Cost: unknown\n" in text


def test_check_29_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SessionNotFound, match="replay"):
        transcript(tmp_path / "none.jsonl")


def test_check_30_an_empty_log_says_nothing(tmp_path: Path) -> None:
    assert replayed(tmp_path) == ""


def test_check_31_a_malformed_log_is_refused_whole() -> None:
    pieces: list[str] = []
    with pytest.raises(UnreadableLog, match="at byte 184") as caught:
        replay_log(str(DATA / "replay/bad.jsonl"), pieces.append)
    assert pieces == []
    assert "oops" not in str(caught.value)


def test_what_is_good_of_a_malformed_log_can_be_asked_for() -> None:
    pieces: list[str] = []
    with pytest.raises(UnreadableLog):
        replay_log(str(DATA / "replay/bad.jsonl"), pieces.append, partial=True)
    assert "".join(pieces).endswith("[User]\ndo it\n")


def test_check_32_long_output_is_cut_at_characters(tmp_path: Path) -> None:
    for length in (199, 200):
        whole = replayed(tmp_path, ("tool.call", {"tool": "t", "output": "é" * length}))
        assert "truncated" not in whole
    cut = replayed(tmp_path, ("tool.call", {"tool": "t", "output": "é" * 201}))
    assert "Output: " + "é" * 200 + "...[truncated]\n" in cut


def test_check_33_cost_with_four_places(tmp_path: Path) -> None:
    usage = {"input": 1, "output": 2}
    text = replayed(tmp_path, ("llm.response", {"usage": usage, "cost_usd": 0.0234}))
    assert text == "\n[Assistant] (0ms, 1 in / 2 out tokens, $0.0234)\n"


@pytest.mark.parametrize("status", ["success", "iteration_limit", "cancelled", "error", "other"])
def test_check_34_statuses(tmp_path: Path, status: str) -> None:
    assert f"=== End ({status}) ===" in replayed(tmp_path, ("session.end", {"status": status}))


def test_check_35_metadata_has_a_stable_order(tmp_path: Path) -> None:
    text = replayed(tmp_path, ("session.end", {"metadata": {"b": "2", "a": "1", "c": "3"}}))
    assert "Metadata: a=1 b=2 c=3\n" in text


def test_check_36_unknown_types_say_nothing(tmp_path: Path) -> None:
    assert replayed(tmp_path, ("progress", {"a": 1}), ("llm.delta", None), ("", [])) == ""


def test_check_37_no_system_block_without_a_system_prompt(tmp_path: Path) -> None:
    assert "[System]" not in replayed(tmp_path, ("session.start", {"prompt": "x"}))


def test_check_38_old_logs_with_model_refs(tmp_path: Path) -> None:
    start = {"provider": "p", "model": "m", "requested_model_ref": "a", "resolved_model_ref": "b"}
    assert "Provider: p | Model: m\n" in replayed(tmp_path, ("session.start", start))


def test_an_assistant_may_speak_and_call_tools(tmp_path: Path) -> None:
    call = {"id": "1", "name": "read", "arguments": {"b": [1.0, 1.5, None], "a": "<&>\u2028"}}
    message = {"role": "assistant", "content": "hi", "tool_calls": [call]}
    assert replayed(tmp_path, ("llm.request", {"messages": [message]})) == (
        "\n[LLM Request] (1 messages, 0 tools)\n"
        "  [assistant] hi\n"
        '  [assistant tool_call] read({"a":"\\u003c\\u0026\\u003e\\u2028","b":[1,1.5,null]})\n'
    )


def test_times_beyond_the_calendar(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"type":"session.start","ts":"0001-01-01T00:00:00+14:00","data":{}}')
    assert "Time: 0001-01-01 00:00:00 UTC\n" in transcript(path)


def test_a_long_log_needs_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    call = {"type": "tool.call", "data": {"tool": "t", "output": "x" * 50_000}}
    line = json.dumps(call) + "\n"
    with open(path, "w") as file:
        for _ in range(1000):
            file.write(line)
    written = 0

    def write(piece: str) -> None:
        nonlocal written
        written += len(piece)

    tracemalloc.start()
    try:
        replay_log(str(path), write)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 50_000_000
    assert written > 200_000
    assert peak < 2_000_000
