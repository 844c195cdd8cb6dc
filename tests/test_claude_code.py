"""Claude Code's transcripts: genuine logs of five versions against what was really used.

Each case has the logs (``home/``) and ``truth.json``: what the model's server reported, call
by call. Its ``kind: aux`` calls (titles, classifiers, compaction) are in no line of any
version; the table below says what else a version does not write.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import Counter as Bag
from pathlib import Path
from typing import Any

import pytest

from session_usage.events import (
    Calls,
    Counter,
    Cursor,
    Event,
    Meta,
    Problem,
    Request,
    ToolCall,
    Turn,
)
from session_usage.places import Places, here
from session_usage.providers import provider_for
from session_usage.providers.claude_code import PROVIDER, totals
from session_usage.reconcile import better
from session_usage.sessions import Library, listed

DATA = Path(__file__).parent / "data" / "claude-code"
CASES = sorted(path.name for path in DATA.iterdir())

PLACEHOLDER = "the final usage was never written: input is right, output is the first guess, 3"
INTERRUPTED = "interrupted by the user; its line has the placeholder"
ADVISOR = "the advisor's own spending, which the truth's main calls leave out"
LOST = {
    # case: ((model, output really used), how many lines have a placeholder of 3, why)
    "v1.0.60-slow": (("claude-sonnet-4-20250514", 204, 208), 2, PLACEHOLDER),
    "v2.0.76-slow": (("claude-sonnet-4-5-20250929", 208, 212), 2, PLACEHOLDER),
    "v2.1.75-slow": (("claude-sonnet-4-6", 202, 204), 2, PLACEHOLDER),
    "v1.0.60-killend": (("claude-sonnet-4-20250514",), 1, PLACEHOLDER),
    "v2.0.76-killend": (("claude-sonnet-4-5-20250929",), 1, PLACEHOLDER),
    "v2.1.75-killend": (("claude-sonnet-4-6",), 1, PLACEHOLDER),
    "paths": (("claude-opus-5-5", 210), 0, "--no-session-persistence writes nothing"),
    "tui-compact": (("claude-opus-5-5",), 1, INTERRUPTED),
}
FAILED = {"error-400": 1, "error-429-retry": 2, "error-500": 3, "error-529-midturn": 1}
"""Failed calls with a line; in error-400 five of six attempts left none."""
LOGGED_AUX = {
    "paths": 1,
    "v2.0.76-killend": 2,
    "v2.0.76-multi-turn": 4,
    "v2.0.76-slow": 2,
}
"""Calls that the truth takes for aux but a line exists: 2.0.76's warm-ups of subagents."""


def places(case: str) -> Places:
    home = DATA / case / "home"
    if case == "paths":
        roots = [("claude-code", str(home / name)) for name in (".claude", "altcfg")]
        return here(str(home), roots=roots)
    return here(str(home))


def read(where: Places, full: bool = True) -> list[Event]:
    events: list[Event] = []
    for source in PROVIDER.sources(where):
        found = list(PROVIDER.read(source, full=full))
        assert type(found[-1]) is Cursor
        events += found
    return events


def requests(events: list[Event]) -> dict[str, Request]:
    result: dict[str, Request] = {}
    for event in events:
        if type(event) is Request:
            known = result.get(event.key)
            result[event.key] = better(known, event) if known else event
    return result


def write(folder: Path, name: str, *records: dict[str, Any] | str) -> Path:
    path = folder / ".claude" / "projects" / "-p" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [r if isinstance(r, str) else json.dumps(r, separators=(",", ":")) for r in records]
    path.write_text("".join(line + "\n" for line in lines))
    return path


def answer(
    id: str | None = "msg_1",
    output: int = 5,
    session: str = "s",
    stop: str | None = "end_turn",
    at: str = "2026-11-20T09:00:00.000Z",
    usage: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    message = {
        "id": id,
        "role": "assistant",
        "model": "claude-opus-5-5",
        "stop_reason": stop,
        "usage": {"input_tokens": 1, "output_tokens": output, **(usage or {})},
    }
    common = {"sessionId": session, "cwd": "/p", "version": "2.1.328", "gitBranch": "main"}
    more = {"uuid": f"u{at}{output}", "timestamp": at, **more}
    return {"message": message, "type": "assistant", **common, **more}


def usual(*args: Any, **more: Any) -> dict[str, Any]:
    """An answer whose shape can be learned."""
    line = answer(*args, **more)
    said = line["message"]
    line["message"] = {"id": said.pop("id"), "model": said.pop("model"), "content": [], **said}
    return line


def one(folder: Path, full: bool = False) -> list[Request]:
    return list(requests(read(here(str(folder)), full)).values())


@pytest.mark.parametrize("case", CASES)
def test_every_call_equals_what_was_used(case: str) -> None:
    truth = json.loads((DATA / case / "truth.json").read_text())["requests"]
    expected: Bag[tuple[Any, ...]] = Bag()
    aux: Bag[tuple[Any, ...]] = Bag()
    for call in truth:
        usage = call.get("usage")
        if call["complete"] and usage:
            writes = usage["cache_write_5m"] + usage["cache_write_1h"]
            row = (
                call["model"],
                usage["input"] + usage["cache_read"] + writes,
                usage["cache_read"],
                writes,
                usage["cache_write_1h"],
                usage["output"],
            )
            (aux if call["kind"] == "aux" else expected)[row] += 1
    events = read(places(case))
    found = requests(events)
    calls = [r for r in found.values() if r.status != "error" and r.surface == "chat"]
    got = Bag(
        (
            r.model,
            r.input_tokens,
            r.cache_read_tokens,
            r.cache_write_tokens,
            r.cache_write_1h_tokens,
            r.output_tokens,
        )
        for r in calls
    )
    logged_aux = got & aux
    assert sum(logged_aux.values()) == LOGGED_AUX.get(case, 0)
    got -= logged_aux
    (model, *outputs), placeholders, _why = LOST.get(case, (("",), 0, ""))
    missing, extra = expected - got, got - expected
    assert sorted(row[-1] for row in missing.elements()) == outputs
    assert [row[0] for row in extra.elements()] == [model] * placeholders
    for row in extra.elements():
        assert row[-1] == 3
        if missing:  # all but the output is right
            assert row[:-1] in [lost[:-1] for lost in missing]
    gaps = [e for e in events if type(e) is Problem and e.kind == "gap"]
    # a stream that ended without a stop_reason may have told the true output all the same
    assert bool(gaps) == (placeholders > 0 or case == "v2.0.76-multi-turn")
    assert sum(r.status == "error" for r in found.values()) == FAILED.get(case, 0)
    assert not [e for e in events if type(e) is Problem and e.kind != "gap"]


@pytest.mark.parametrize("case", CASES)
def test_totals_need_no_full_reading(case: str) -> None:
    full = {k: r._replace(turn=None) for k, r in requests(read(places(case))).items()}
    assert requests(read(places(case), full=False)) == full


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[totals.Shape]:
    """Learns from the first line already, so that short transcripts are read by shape, too."""
    met: list[totals.Shape] = []
    monkeypatch.setattr(totals, "_met", met)
    monkeypatch.setattr(totals, "_PATIENCE", 1)
    return met


@pytest.mark.parametrize("case", CASES)
def test_calls_by_shape_are_those_of_a_full_reading(case: str, quick: list[totals.Shape]) -> None:
    full = {k: r._replace(turn=None) for k, r in requests(read(places(case))).items()}
    for _ in range(2):  # the second time every shape is known
        assert requests(read(places(case), full=False)) == full
    plain = [r for r in full.values() if r.status == "ok" and not r.copied]
    if plain and case != "iterations":  # all of its calls have parts that are calls
        together = [
            event
            for source in PROVIDER.sources(places(case))
            for event in PROVIDER.totals(source)
            if type(event) is Calls
        ]
        assert together
        assert quick


def altered(line: bytes, dice: random.Random) -> bytes:
    """One to three bytes of a line changed, or a piece of it gone."""
    made = bytearray(line)
    if dice.random() < 0.3:
        begin = dice.randrange(len(made))
        del made[begin : begin + dice.randrange(1, 200)]
    for _ in range(dice.randrange(1, 4)):
        if made:
            made[dice.randrange(len(made))] = dice.choice(b'"{}[]:,\\0159anx \x00\xff')
    return bytes(made).replace(b"\n", b" ")


@pytest.mark.parametrize("case", ["multi-turn", "v2.0.76-slow", "v1.0.60-multi-turn", "iterations"])
def test_R5_damaged_lines_give_the_same_by_shape(
    case: str, quick: list[totals.Shape], tmp_path: Path
) -> None:
    """Of a damaged line both readings tell the same, unless the damage makes it unreadable where
    totals need not look: then its figures are kept."""
    dice = random.Random(case)
    read(places(case), full=False)  # learns
    for source in PROVIDER.sources(places(case)):
        if source.kind not in ("transcript", "agent"):
            continue
        lines = Path(source.path).read_bytes().splitlines(keepends=True)
        answers = [n for n, line in enumerate(lines) if b'"assistant"' in line]
        for _ in range(60):
            if not answers:
                break
            hit = dice.choice(answers)
            changed = [*lines]
            changed[hit] = altered(lines[hit][:-1], dice) + b"\n"
            log = source._replace(path=str(tmp_path / os.path.basename(source.path)))
            Path(log.path).write_bytes(b"".join(changed))
            events = list(PROVIDER.read(log))
            wrong = any(type(e) is Problem and e.kind == "malformed" for e in events)
            full = {k: r._replace(turn=None) for k, r in requests(events).items()}
            quickly = requests(list(PROVIDER.read(log, full=False)))
            assert wrong or quickly == full, changed[hit]
            for key, request in full.items():
                found = quickly[key]
                assert wrong or found == request
                assert found.output_tokens is not None or request.output_tokens is None


@pytest.mark.parametrize("case", CASES)
def test_reading_in_pieces_gives_the_same_calls(case: str, tmp_path: Path) -> None:
    """Every transcript, cut at lines and within lines, read on from each cursor."""
    for source in PROVIDER.sources(places(case)):
        whole = list(PROVIDER.read(source))
        data = Path(source.path).read_bytes()
        growing = source._replace(path=str(tmp_path / os.path.basename(source.path)))
        for beside in Path(source.path).parent.glob("*.meta.json"):
            shutil.copy(beside, tmp_path)
        events: list[Event] = []
        cursor = Cursor()
        for part in range(1, 8):
            Path(growing.path).write_bytes(data[: len(data) * part // 7])
            *more, last = PROVIDER.read(growing, cursor)
            assert type(last) is Cursor
            cursor = Cursor(last.offset, tuple(json.loads(json.dumps(last.state))))
            events += more
        got = {k: r._replace(path="") for k, r in requests(events).items()}
        want = {k: r._replace(path="") for k, r in requests(whole).items()}
        assert {k: r._replace(offset=0, status="") for k, r in got.items()} == {
            k: r._replace(offset=0, status="") for k, r in want.items()
        }
        assert cursor.offset == len(data)


def test_C1_streaming_repeats_a_message_and_the_largest_output_counts(tmp_path: Path) -> None:
    write(
        tmp_path,
        "s.jsonl",
        answer(output=3, stop=None, at="2026-11-20T09:00:00.000Z", requestId="r"),
        answer(output=90, at="2026-11-20T09:00:01.000Z", requestId="r"),
        answer(output=90, stop=None, at="2026-11-20T09:00:02.000Z"),
        answer(None, 7, uuid="no-id"),
        answer(None, 7, uuid="no-id"),
        answer(None, 8, uuid="another"),
    )
    got = one(tmp_path)
    assert [(r.key, r.output_tokens) for r in got] == [
        ("msg_1", 90), ("no-id", 7), ("another", 8)
    ]  # fmt: skip
    assert got[0].started_ms == 1795165200000


def test_C2_sidechains_count_once_in_their_session(tmp_path: Path) -> None:
    write(
        tmp_path,
        "s.jsonl",
        answer("msg_main"),
        answer("msg_side", isSidechain=True),
        answer("msg_side", isSidechain=True),
    )
    main, side = one(tmp_path)
    assert (main.subagent, side.subagent) == ((), ("subagent",))
    assert main.session == side.session == "s"


def test_C3_subagents_at_any_depth(tmp_path: Path) -> None:
    write(tmp_path, "s.jsonl", answer("msg_0"))
    sub = tmp_path / ".claude/projects/-p/s/subagents"
    for name, agent, about in (
        ("agent-a1", "a1", {"agentType": "Explore"}),
        ("agent-a2", "a2", {"agentType": "Plan", "parentAgentId": "a1", "spawnDepth": 2}),
        ("workflows/w/agent-a3", "a3", None),
    ):
        line = answer(f"msg_{agent}", agentId=agent, isSidechain=True, attributionAgent="role")
        path = write(tmp_path, f"s/subagents/{name}.jsonl", line)
        if about:
            path.with_suffix(".meta.json").write_text(json.dumps(about))
    assert sub.is_dir()
    got = {r.key: r for r in one(tmp_path)}
    assert {r.session for r in got.values()} == {"s"}
    assert {k: r.subagent for k, r in got.items()} == {
        "msg_0": (),
        "msg_a1": ("Explore",),
        "msg_a2": ("Explore", "Plan"),
        "msg_a3": ("role",),
    }
    assert got["msg_a2"].subagent_id == "a2"


def test_C3_names_of_subagents_of_genuine_logs() -> None:
    for case, names in (
        ("subagent", {("general-purpose",), ("Explore",)}),
        ("subagent-bg", {("general-purpose",)}),
        ("subagent-fork", {("fork",)}),
        ("v2.1.75-subagent", {("general-purpose",)}),
    ):
        events = read(places(case))
        found = {r.subagent for r in requests(events).values()} - {()}
        assert found == names, case
        pairs = {pair for e in events if type(e) is Meta for pair in e.names}
        assert {name for _, name in pairs} == {name for (name,) in names}


@pytest.mark.parametrize(
    "owner", [{"requestSessionId": "old"}, {"forkedFrom": {"sessionId": "old", "messageUuid": "x"}}]
)
def test_C4_a_fork_s_copies_belong_to_the_session_that_made_them(
    tmp_path: Path, owner: dict[str, Any]
) -> None:
    write(tmp_path, "old.jsonl", answer("msg_1", session="old"))
    write(
        tmp_path,
        "new.jsonl",
        answer("msg_1", session="new", **owner),
        answer("msg_2", session="new"),
    )
    events = read(here(str(tmp_path)))
    assert [(e.session, e.copied) for e in events if type(e) is Request] == [
        ("old", True), ("new", False), ("old", False)
    ]  # fmt: skip
    assert [e.origin for e in events if type(e) is Meta] == ["old", None]
    assert requests(events)["msg_1"].copied is False


def test_C4_old_continue_copies_under_new_uuids_without_request_ids() -> None:
    events = [e for e in read(places("v1.0.60-multi-turn")) if type(e) is Request]
    keys = Bag(e.key for e in events)
    assert sorted(keys.values()) == [1, 2, 2, 2]
    oldest: dict[str, Request] = {}
    for event in sorted(events, key=lambda e: e.started_ms or 0):
        oldest.setdefault(event.key, event)
    assert Bag(e.session[:4] for e in oldest.values() if e.session) == {"0434": 3, "445e": 1}


def test_C4_a_fork_agent_s_first_line_is_its_parent_s() -> None:
    found = requests(read(places("subagent-fork")))
    spawn = found["msg_mock054eb6e310905e579e43"]
    assert (spawn.copied, spawn.subagent) == (False, ())
    assert len(found) == 8


def test_C5_one_hour_writes_are_told_apart(tmp_path: Path) -> None:
    split = {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 60}
    cache = {"cache_creation_input_tokens": 100, "cache_read_input_tokens": 10}
    write(
        tmp_path,
        "s.jsonl",
        answer("split", usage={**cache, "cache_creation": split}),
        answer("whole", usage=cache),
        answer("none"),
        answer("parts", usage={"cache_creation": split}),
    )
    rows = {
        r.key: (r.input_tokens, r.cache_read_tokens, r.cache_write_tokens, r.cache_write_1h_tokens)
        for r in one(tmp_path)
    }
    assert rows == {
        "split": (111, 10, 100, 60),
        "whole": (111, 10, 100, None),
        "none": (1, None, None, None),
        "parts": (101, None, 100, 60),
    }


@pytest.mark.parametrize(
    "line",
    [
        '{"type":"file-history-snapshot","messageId":"m","snapshot":{"x":"assistant" "usage" !!!',
        '{"type":"api-request-blob","message":{"role":"assistant","usage":{} !!!',
        '{"parentUuid":null,"attachment":{"type":"prompt_snapshot" !!!',
        '{"type":"progress","data":{"message":{"type":"assistant","message":{"usage": !!!',
    ],
)
@pytest.mark.parametrize("full", [True, False])
def test_C6_lines_without_usage_are_not_even_parsed(tmp_path: Path, line: str, full: bool) -> None:
    write(tmp_path, "s.jsonl", line, answer())
    events = read(here(str(tmp_path)), full)
    assert not [e for e in events if type(e) is Problem]
    assert len(requests(events)) == 1


def test_C7_a_turn_over_midnight_keeps_each_call_s_own_time(tmp_path: Path) -> None:
    write(
        tmp_path,
        "s.jsonl",
        answer("msg_1", at="2026-11-20T23:59:59.999Z"),
        answer("msg_2", at="2026-11-21T00:00:00.000Z"),
    )
    first, second = one(tmp_path)
    assert (second.started_ms or 0) - (first.started_ms or 0) == 1


def test_C11_a_giant_line_costs_bounded_memory(tmp_path: Path) -> None:
    huge = answer("msg_1", output=77)
    huge["message"]["content"] = [{"type": "text", "text": "x" * (9 << 20)}]
    write(tmp_path, "s.jsonl", huge, answer("msg_2"))
    assert [r.output_tokens for r in one(tmp_path)] == [77, 5]


def test_C13_what_a_tool_s_result_says_of_its_agent_is_not_counted(tmp_path: Path) -> None:
    usage = {"input_tokens": 999, "output_tokens": 999}
    user = {
        "type": "user",
        "message": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]},
        "toolUseResult": {"agentId": "a", "totalTokens": 1998, "usage": usage},
        "sessionId": "s",
    }
    boundary = {
        "type": "system",
        "subtype": "compact_boundary",
        "compactMetadata": {"preTokens": 9},
    }
    write(tmp_path, "s.jsonl", answer(), user, boundary)
    for full in (True, False):
        assert [r.output_tokens for r in one(tmp_path, full)] == [5]


def test_C14_every_event_names_its_agent_and_the_alias_works() -> None:
    assert provider_for("claude") is PROVIDER
    for case in CASES:
        assert {e.agent for e in read(places(case)) if type(e) is not Cursor} <= {"claude-code"}
        for request in requests(read(places(case))).values():
            assert request.billing == "api"
            assert request.provider == (None if request.status == "error" else "anthropic")


def test_advisors_and_compactions_inside_a_response_are_calls_of_their_own(
    tmp_path: Path,
) -> None:
    found = requests(read(places("iterations")))
    main, advisor = sorted(found.values(), key=lambda r: r.key)
    assert advisor.key == f"{main.key}#1"
    assert (advisor.model, advisor.input_tokens, advisor.output_tokens, advisor.surface) == (
        "claude-fable-5", 5000, 700, "tool"
    )  # fmt: skip
    parts = [{"type": "compaction", "input_tokens": 9, "output_tokens": 2}, {"type": "message"}]
    write(tmp_path, "s.jsonl", answer(usage={"iterations": parts}), answer())
    got = {r.key: r for r in one(tmp_path)}
    assert sorted(got) == ["msg_1", "msg_1#0"]
    assert got["msg_1#0"].surface == "compaction"
    assert got["msg_1#0"].model == "claude-opus-5-5"


@pytest.mark.parametrize(
    ("usage", "tier"),
    [
        ({"speed": "fast", "service_tier": "standard"}, "fast"),
        ({"speed": "standard", "service_tier": "priority"}, "priority"),
        ({"service_tier": "batch"}, "batch"),
        ({"speed": "standard", "service_tier": "standard"}, None),
        ({}, None),
    ],
)
def test_tiers_that_change_the_price(tmp_path: Path, usage: dict[str, Any], tier: str) -> None:
    write(tmp_path, "s.jsonl", answer(usage=usage))
    assert one(tmp_path)[0].tier == tier


def test_web_searches_and_thinking(tmp_path: Path) -> None:
    usage = {
        "server_tool_use": {"web_search_requests": 3},
        "output_tokens_details": {"thinking_tokens": 4},
    }
    write(tmp_path, "s.jsonl", answer("a", usage=usage), answer("b"))
    first, second = one(tmp_path)
    assert (first.web_searches, first.reasoning_tokens) == (3, 4)
    assert (second.web_searches, second.reasoning_tokens) == (None, None)


def test_an_interrupted_call_is_cancelled_and_keeps_what_is_known() -> None:
    (cancelled,) = [
        r for r in requests(read(places("tui-compact"))).values() if r.status == "cancelled"
    ]
    assert (cancelled.input_tokens, cancelled.output_tokens) == (21474, 3)


def test_R1_failed_calls_have_no_tokens() -> None:
    for case in FAILED:
        for request in requests(read(places(case))).values():
            if request.status == "error":
                assert request.input_tokens is request.output_tokens is request.nano_aiu is None


def test_R4_cost_state_gives_counters_that_cover_unlogged_calls() -> None:
    """The last one equals the truth of all calls, logged or not, interrupted ones apart."""
    for case in ("multi-turn", "tui-fork", "iterations", "subagent"):
        events = read(places(case))
        counters = [e for e in events if type(e) is Counter]
        last = {c.model: c for c in counters if c.group == counters[-1].group}
        truth = json.loads((DATA / case / "truth.json").read_text())["requests"]
        outputs: Bag[str] = Bag()
        for call in truth:
            outputs[call["model"]] += call["usage"]["output"]
        if case == "iterations":
            outputs["claude-fable-5"] = 700
        assert {model: c.output_tokens for model, c in last.items()} == dict(outputs), case
        inputs = {c.model: c.input_tokens for c in last.values()}
        logged = Bag[str | None]()
        for request in requests(events).values():
            logged[request.model] += request.input_tokens or 0
        assert all(logged[model] <= (inputs[model] or 0) for model in inputs)


def test_a_compaction_without_cost_state_is_a_gap(tmp_path: Path) -> None:
    boundary = {"type": "system", "subtype": "compact_boundary", "sessionId": "s"}
    write(tmp_path, "s.jsonl", answer(), boundary, boundary)
    gaps = [e for e in read(here(str(tmp_path)), False) if type(e) is Problem]
    assert [(gap.kind, gap.session) for gap in gaps] == [("gap", "s")]
    assert not [e for e in read(places("slow")) if type(e) is Problem]


def test_R5_a_damaged_line_costs_that_line_alone(tmp_path: Path) -> None:
    write(
        tmp_path,
        "s.jsonl",
        'half a line","type":"assistant","message":{"id":"msg_0"}}',
        answer("msg_1"),
        '{"type":"assistant","message":{"id":"msg_x","usage":{',
        answer("msg_2"),
    )
    events = read(here(str(tmp_path)))
    assert sorted(requests(events)) == ["msg_1", "msg_2"]
    problems = [e for e in events if type(e) is Problem]
    assert [p.kind for p in problems] == ["malformed", "malformed"]
    assert not any("msg_" in p.text for p in problems)


def test_R19_unknown_records_are_one_problem(tmp_path: Path) -> None:
    write(tmp_path, "s.jsonl", answer(), {"type": "novel"}, {"type": "newer"}, answer("msg_2"))
    for full in (True, False):
        drift = [e for e in read(here(str(tmp_path)), full) if type(e) is Problem]
        assert [(p.kind, "2.1.328" in p.text) for p in drift] == [("drift", True)]


def test_what_a_session_is_called_and_where_it_works() -> None:
    metas = [e for e in read(places("tui-compact")) if type(e) is Meta]
    about = metas[-1]
    assert (about.workspace, about.branch, about.version, about.model) == (
        "/home/dev/acme-api", "feature/login", "2.1.328", "claude-opus-5-5"
    )  # fmt: skip
    assert (about.created_ms, about.updated_ms) == (1795167523934, 1795167545522)
    assert [m.title for m in metas if m.title] == ["Mock session title"]
    names = {m.title for m in (e for e in read(places("paths")) if type(e) is Meta)}
    assert names - {None}


def test_titles_of_old_versions(tmp_path: Path) -> None:
    write(tmp_path, "s.jsonl", {"type": "summary", "summary": "Old", "leafUuid": "x"}, answer())
    custom = tmp_path / ".claude/projects/-p/s/custom-title.json"
    custom.parent.mkdir()
    custom.write_text('{"customTitle":"Mine"}')
    index = {
        "version": 1,
        "entries": [
            {"sessionId": "t", "summary": "Listed", "projectPath": "/p", "gitBranch": "b",
             "created": "2026-01-02T03:04:05.000Z", "firstPrompt": "secret words"}
        ],
    }  # fmt: skip
    write(tmp_path, "sessions-index.json", index)
    events = read(here(str(tmp_path)))
    titles = {(e.session, e.title, e.rank) for e in events if type(e) is Meta and e.title}
    assert titles == {("s", "Old", 1), ("s", "Mine", 3), ("t", "Listed", 0)}
    assert "secret" not in repr(events)


def test_turns_and_tools() -> None:
    events = read(places("multi-turn"))
    turns = [e for e in events if type(e) is Turn]
    tools: dict[str, ToolCall] = {}
    for event in events:
        if type(event) is ToolCall:
            tools[event.key] = event
    assert len(turns) == 3
    assert Bag(t.name for t in tools.values()) == {"Bash": 3, "Read": 1}
    assert all(t.ok is True for t in tools.values())
    assert {r.turn for r in requests(events).values()} == {t.key for t in turns}


def test_no_message_text_leaves_the_reader() -> None:
    for case in CASES:
        assert "PLAN:" not in repr(read(places(case)))


def test_where_transcripts_are_looked_for(tmp_path: Path) -> None:
    write(tmp_path, "s.jsonl", answer())
    (tmp_path / "alt").mkdir()
    shutil.copytree(tmp_path / ".claude" / "projects", tmp_path / "alt" / "projects")
    shutil.copytree(tmp_path / ".claude" / "projects", tmp_path / ".config/claude/projects")

    def found(**env: str) -> list[str]:
        where = Places(home=str(tmp_path), env=env, platform="linux")
        return [os.path.relpath(s.path, tmp_path).split("/projects")[0]
                for s in PROVIDER.sources(where)]  # fmt: skip

    assert found() == [".claude", ".config/claude"]
    assert found(CLAUDE_CONFIG_DIR=str(tmp_path / "alt")) == ["alt"]
    only = here(str(tmp_path), roots=[("claude-code", str(tmp_path / "alt"))])
    assert [s.session for s in PROVIDER.sources(only)] == ["s"]
    assert not list(PROVIDER.sources(here(str(tmp_path / "nowhere"))))


def test_a_vanished_file_is_one_problem(tmp_path: Path) -> None:
    path = write(tmp_path, "s.jsonl", answer())
    (source,) = PROVIDER.sources(here(str(tmp_path)))
    path.unlink()
    problem, cursor = PROVIDER.read(source)
    assert type(problem) is Problem
    assert (problem.kind, problem.session) == ("missing", "s")
    assert type(cursor) is Cursor


def test_the_library_counts_each_call_once() -> None:
    for case, number, output in (
        ("v1.0.60-multi-turn", 4, 846),
        ("v2.0.76-multi-turn", 8, 1712),
        ("subagent-fork", 8, 1672),
    ):
        library = Library(here(str(DATA / case / "home")), "claude")
        calls = [r for s in library.all() for r in s.requests]
        assert (len(calls), sum(r.output_tokens or 0 for r in calls)) == (number, output)


def test_a_transcript_anywhere_is_recognised_with_its_subagents() -> None:
    (path,) = (DATA / "subagent/home/.claude/projects").glob("*/*.jsonl")
    for name in (str(path), str(path.with_suffix(""))):
        kinds = [s.kind for s in PROVIDER.at(name)]
        assert kinds == ["transcript", "agent", "agent"]
    assert not list(PROVIDER.at(str(DATA)))
    assert not list(PROVIDER.at(str(DATA / "subagent" / "truth.json")))


def growing(*outputs: int | tuple[int, str], **more: Any) -> list[dict[str, Any]]:
    """The lines of one message, in the order in which Claude Code writes their keys."""
    lines = []
    for number, output in enumerate(outputs):
        figure, stop = output if isinstance(output, tuple) else (output, None)
        line = answer(output=figure, stop=stop, at=f"2026-11-20T09:00:{number:02}.000Z")
        usage = line["message"].pop("usage")
        line["message"] |= {"stop_reason": stop, "stop_sequence": None, "usage": usage}
        lines.append({**line, "uuid": f"u{number}"} | (more if number else {}))
    return lines


@pytest.mark.parametrize(
    "lines",
    [
        growing(5, 5, 5),
        growing(5, 5, (5, "end_turn")),
        growing(5, 50, 500),
        growing(50, 5, (5, "end_turn"), 51),
        growing(5, (5, "end_turn"), 5),
        growing(3, 3, isAbortedMidStream=True),
        growing(5, 5, toolUseResult={"usage": {"output_tokens": 9}}),
        [*growing(5, 5)[:1], answer("msg_2", 5), *growing(5, 6)],
    ],
    ids=["same", "same, ended", "growing", "falling", "repeated after its end", "aborted",
         "another usage", "mixed with another"],
)  # fmt: skip
def test_C1_totals_are_those_of_a_full_reading(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    """Lines that repeat a message are not parsed for totals, and that must not show."""
    path = write(tmp_path, "s.jsonl", *lines)
    full, totals = (read(here(str(tmp_path)), full=mode) for mode in (True, False))
    assert requests(full) == requests(totals)
    gaps = [[e.text for e in events if type(e) is Problem] for events in (full, totals)]
    assert gaps[0] == gaps[1]
    [source] = [s for s in PROVIDER.sources(here(str(tmp_path))) if s.path == str(path)]
    data, cursor, pieces = path.read_bytes(), Cursor(), []
    for line in data.splitlines(keepends=True):
        path.write_bytes(data[: cursor.offset] + line)
        *events, cursor = PROVIDER.read(source, cursor, full=False)
        pieces += events
    spent = [[(r.key, r.output_tokens) for r in requests(e).values()] for e in (pieces, totals)]
    assert spent[0] == spent[1]


@pytest.mark.parametrize("case", CASES)
def test_a_list_tells_where_each_session_was_run(case: str) -> None:
    """From a transcript's first lines, as the whole transcript has it."""
    library = Library(places(case), "claude-code")
    for item in listed(library):
        assert item.meta.workspace == library.load(item.ref).meta.workspace


def test_a_list_reads_on_where_the_first_line_is_long(tmp_path: Path) -> None:
    line = {"type": "queue-operation", "content": "x" * 50_000}
    write(tmp_path, "s.jsonl", line, answer("m", 1))
    (item,) = listed(Library(here(str(tmp_path)), "claude-code"))
    assert item.meta.workspace == answer("m", 1)["cwd"]


@pytest.mark.parametrize("blank", ["", " ", "\r"])
def test_a_blank_line_is_no_problem_for_totals_either(blank: str, tmp_path: Path) -> None:
    write(tmp_path, "s.jsonl", answer("msg_1"), blank, answer("msg_2"))
    events = read(Places(str(tmp_path), {}, "linux"), full=False)
    assert len(requests(events)) == 2
    assert not [e for e in events if type(e) is Problem]


@pytest.mark.parametrize("asked", ["go on", "x" * 200_000])
def test_R16_a_counter_has_the_time_of_the_line_before_it_for_totals_too(
    asked: str, quick: list[totals.Shape], tmp_path: Path
) -> None:
    """What a total leaves out is in the window of its session's end, not of its beginning."""
    prompt = {"type": "user", "message": {"content": asked}, "sessionId": "s"}
    write(
        tmp_path,
        "s.jsonl",
        *[usual(f"msg_{day}", at=f"2026-11-2{day}T09:00:00.000Z") for day in range(4)],
        {**prompt, "timestamp": "2026-11-24T09:00:00.000Z"},
        {"type": "cost-state", "sessionId": "s", "modelUsage": {"claude-opus-5-5": {}}},
    )
    where = Places(str(tmp_path), {}, "linux")
    for _ in range(2):  # the second time every line is known
        times = [
            [e.at_ms for e in read(where, full) if type(e) is Counter] for full in (True, False)
        ]
        assert times[0] == times[1] == [1795510800000]
    assert quick


def test_C1_the_largest_output_counts_even_after_the_end(
    quick: list[totals.Shape], tmp_path: Path
) -> None:
    lines = [usual("msg_1", output=output) for output in (3, 3, 90, 7)]
    write(tmp_path, "s.jsonl", *lines)
    for _ in range(2):  # the second time the shape is known
        assert [r.output_tokens for r in one(tmp_path)] == [90]
    assert quick


def test_a_line_of_a_known_shape_without_a_model_is_left_to_the_parser(
    quick: list[totals.Shape], tmp_path: Path
) -> None:
    lines = [usual(f"msg_{number}") for number in range(3)]
    for line in lines:
        del line["message"]["model"]
    write(tmp_path, "s.jsonl", *lines)
    for full in (True, False, False):  # the last time the shape is known
        assert [(r.key, r.model) for r in one(tmp_path, full)] == [
            ("msg_0", None), ("msg_1", None), ("msg_2", None)
        ]  # fmt: skip
    assert quick


@pytest.mark.parametrize("more", [{"cwd": "/elsewhere"}, {"extra": 1}])
@pytest.mark.parametrize("stop", [None, "end_turn"])
def test_of_a_message_whose_lines_differ_the_best_counts_alone(
    more: dict[str, Any], stop: str | None, quick: list[totals.Shape], tmp_path: Path
) -> None:
    """It is not filled up from the others, and began when the first one was written."""
    read_before = {"cache_read_input_tokens": 7}
    write(
        tmp_path,
        "s.jsonl",
        usual("msg_0", usage=read_before),
        usual("msg_1", 5, stop=stop, usage=read_before),
        usual("msg_1", 90, at="2026-11-20T09:00:01.000Z", **more),
        usual("msg_2", 90, **more),
    )
    full = one(tmp_path, full=True)
    assert [r.cache_read_tokens for r in full] == [7, None, None]
    for _ in range(2):  # the second time every shape is known
        found = {r.key: r for r in one(tmp_path)}
        assert found == {r.key: r for r in full}
    assert quick
