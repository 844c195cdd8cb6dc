"""Codex's rollouts: genuine logs of seven versions against what was really used.

Each case has the logs (``home/``) and ``truth.json``: what the model's server reported, call
by call, the compaction included.
"""

from __future__ import annotations

import json
import os
from collections import Counter as Bag
from collections.abc import Iterator
from operator import add
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from session_usage import jsonl
from session_usage.conversations import about, messages_of
from session_usage.events import Cursor, Event, Meta, Problem, Request, ToolCall, Turn, one_by_one
from session_usage.messages import Message
from session_usage.places import Places, here
from session_usage.providers import provider_for
from session_usage.providers.codex import PROVIDER
from session_usage.providers.codex.counts import Counts
from session_usage.providers.codex.totals import Totals, learn
from session_usage.reconcile import better
from session_usage.sessions import Library, listed

DATA = Path(__file__).parent / "data" / "codex"
CASES = sorted(path.name for path in DATA.iterdir())
LOST = {"v0.20.0": "0.20 wrote no usage"}
FAILED = {"error-400": 1, "error-429": 1, "error-500": 1}
"""Failed calls with a line: a turn that ended in an error; retries leave none."""
GAPS = {"v0.20.0", "tui"}
"""What a version never wrote, an interrupted answer: named once."""

PARENT = "01a00000-0000-7000-8000-000000000001"
CHILD = "01a00010-0000-7000-8000-000000000002"
OLD_TURN = "01a00001-0000-7000-8000-000000000003"
NEW_TURN = "01a00011-0000-7000-8000-000000000004"


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


def of(case: str, full: bool = True) -> list[Event]:
    return read(here(str(DATA / case / "home")), full)


def usage(prompt: int, cached: int = 0, output: int = 1, reasoning: int = 0, **more: int) -> Any:
    return {
        "input_tokens": prompt,
        "cached_input_tokens": cached,
        "output_tokens": output,
        "reasoning_output_tokens": reasoning,
        **more,
    }


def line(kind: str, at: str = "2026-11-20T09:00:00.000Z", **payload: Any) -> dict[str, Any]:
    if kind in ("token_count", "task_started", "task_complete", "turn_aborted"):
        kind, payload = "event_msg", {"type": kind, **payload}
    return {"timestamp": at, "type": kind, "payload": payload}


def count(total: Any, last: Any = None, **more: Any) -> dict[str, Any]:
    info = {"total_token_usage": total, "last_token_usage": last or total}
    return line("token_count", info=info, **more)


def meta(thread: str = PARENT, **more: Any) -> dict[str, Any]:
    about = {"cwd": "/p", "cli_version": "0.133.0", "model_provider": "openai", "source": "cli"}
    return line("session_meta", id=thread, timestamp="2026-11-20T09:00:00Z", **about, **more)


def spawned(parent: str, depth: int = 1, **more: Any) -> dict[str, Any]:
    return {"subagent": {"thread_spawn": {"parent_thread_id": parent, "depth": depth, **more}}}


CONTEXT = line("turn_context", model="gpt-5.5", cwd="/p")


def write(
    folder: Path, *records: Any, thread: str = PARENT, under: str = "sessions/2026/11/20"
) -> Path:
    path = folder / ".codex" / under / f"rollout-2026-11-20T09-00-00-{thread}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r, separators=(",", ":")) + "\n" for r in records))
    return path


def inputs(folder: Path) -> list[int | None]:
    events = read(here(str(folder)), full=False)
    return [e.input_tokens for e in events if type(e) is Request and not e.copied]


@pytest.mark.parametrize("case", CASES)
def test_every_call_equals_what_was_used(case: str) -> None:
    truth = json.loads((DATA / case / "truth.json").read_text())["requests"]
    expected: Bag[tuple[Any, ...]] = Bag()
    for call in truth:
        spent = call.get("usage")
        if call["complete"] and spent and case not in LOST:
            writes = spent["cache_write_5m"] + spent["cache_write_1h"]
            prompt = spent["input"] + spent["cache_read"] + writes
            row = (call["model"], prompt, spent["cache_read"], spent["output"], spent["reasoning"])
            expected[row] += 1
    events = of(case)
    found = requests(events)
    got = Bag(
        (r.model, r.input_tokens, r.cache_read_tokens, r.output_tokens, r.reasoning_tokens)
        for r in found.values()
        if r.status != "error"
    )
    assert got == expected
    old = case.startswith(("v0.45", "v0.77", "v0.104", "v0.133"))
    for request in found.values():
        assert (request.cache_write_tokens is None) == (old or request.status == "error")
    assert sum(r.status == "error" for r in found.values()) == FAILED.get(case, 0)
    problems = [e for e in events if type(e) is Problem]
    assert [p.kind for p in problems] == ["gap"] * (case in GAPS)


@pytest.mark.parametrize("case", CASES)
def test_totals_need_no_full_reading(case: str) -> None:
    """But for the turns, which no total needs."""
    for source in PROVIDER.sources(here(str(DATA / case / "home"))):
        full, light, totals = (
            {key: r._replace(turn=None) for key, r in requests(list(found)).items()}
            for found in (
                PROVIDER.read(source),
                PROVIDER.read(source, full=False),
                one_by_one(PROVIDER.totals(source)),
            )
        )
        assert totals == light == full


ODD = (
    {},
    {"input_tokens": 10**16},
    {"input_tokens": 10**19},
    {"input_tokens": 500.0},
    {"input_tokens": 500.5},
    {"output_tokens": -1},
    {"output_tokens": True},
    {"output_tokens": "700"},
    {"output_tokens": None},
    {"reasoning_output_tokens": []},
    {"cache_write_input_tokens": 40},
    {"cache_write_input_tokens": None},
    {"cached_input_tokens": 0},
    {"cached_input_tokens": "gone"},
    {"input_tokens": "gone"},
)
STEPS = st.tuples(*[st.integers(0, 3).map(lambda step: step * 300)] * 4)
OTHERS = (
    CONTEXT,
    line("turn_context", model="gpt-5"),
    line("task_started", turn_id="t"),
    line("compacted", message=""),
    line("response_item", type="web_search_call", action={"type": "search"}),
    line("token_usage_record", thread_id=PARENT, response_id="r1", usage=usage(5)),
    line("token_count", info={"total_token_usage": 5}),
    {**CONTEXT, "payload": 5},
)
DOINGS = st.one_of(STEPS, STEPS, st.tuples(STEPS, st.sampled_from(ODD)), st.sampled_from(OTHERS))


def logged(doings: list[Any]) -> Iterator[dict[str, Any]]:
    """The lines of a rollout: counts that go on from each other, some odd, and others."""
    sums = (0, 0, 0, 0)
    for doing in doings:
        if type(doing) is dict:
            yield doing
            continue
        step, odd = doing if type(doing[0]) is tuple else (doing, {})
        sums = tuple(map(add, sums, step))
        total = {**usage(*sums), **odd}
        yield count({name: value for name, value in total.items() if value != "gone"}, usage(*step))


def remembered(cursor: Any) -> tuple[dict[str, Any], Any]:
    (state,) = cursor.state
    return {name: value for name, value in state["facts"].items() if value}, state["total"]


STEP, NONE = (300, 0, 0, 0), (0, 0, 0, 0)


@example([STEP, (STEP, {"output_tokens": True}), STEP], False)
@example([STEP, NONE, STEP, STEP, line("compacted", message="")], False)
@given(st.lists(DOINGS, max_size=16), st.booleans())
def test_usual_counts_are_counted_as_all_others_are(
    tmp_path_factory: pytest.TempPathFactory, doings: list[Any], full: bool
) -> None:
    """Without the quick way every count is looked at alone."""
    path = write(tmp_path_factory.mktemp("odd"), meta(), *logged(doings))
    (source,) = PROVIDER.at(str(path))
    quick = list(PROVIDER.read(source, full=full))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Counts, "step", lambda *_: False)
        slow = list(PROVIDER.read(source, full=full))
    calls, others = (Bag(e for e in found if type(e) is Request) for found in (quick, slow))
    assert calls == others
    assert remembered(quick[-1]) == remembered(slow[-1])


DULL = (
    line("response_item", type="reasoning", summary=[]),
    line("response_item", type="function_call_output", call_id="c", output="token_count"),
    line("event_msg", type="agent_message", message="m"),
    line("task_started", turn_id="another"),
    CONTEXT,
    line("turn_context", model="gpt-5.5", cwd="/p", turn_id="another"),
    line("token_count", info=None, rate_limits={"primary": None}),
)
"""What stands between counts and changes nothing."""
LIMITS: tuple[dict[str, Any], ...] = (
    {},
    {"rate_limits": {"primary": {"used_percent": 12.5, "resets_at": 1784}, "credits": None}},
    {"rate_limits": {"plan_type": "pro", "spend_control_reached": False}, "x": [1]},
)


BEGUN = (meta(), CONTEXT, *map(count, map(usage, (1, 2, 3))))


def dense(*records: Any) -> bytes:
    return b"".join(json.dumps(r, separators=(",", ":")).encode() + b"\n" for r in records)


def numbered(content: bytes) -> bytes:
    """The same lines as newer versions write them."""
    return content.replace(b'"type":"event_msg"', b'"ordinal":7,"type":"event_msg"')


def without_turns(events: list[Any]) -> Any:
    """What was counted, problems, and what is left to know."""
    *others, last = one_by_one(events)
    calls = Bag(e._replace(turn=None) for e in others if type(e) is Request)
    return (
        calls,
        Bag(e for e in others if type(e) in (Problem, Meta)),
        last.offset,
        remembered(last),
    )


@st.composite
def rollouts(draw: st.DrawFn) -> bytes:
    """Mostly counts that go on from each other; searches, records and odd counts are rare."""
    usual = st.one_of(STEPS, STEPS, STEPS, st.just(NONE), st.sampled_from(DULL))
    doings = draw(st.lists(st.one_of(usual, usual, usual, DOINGS), max_size=30))
    more = draw(st.sampled_from(LIMITS))
    seconds = iter(range(10, 60))
    content = dense(meta(), CONTEXT)
    for record in logged(doings):
        payload = dict(record["payload"]) if type(record["payload"]) is dict else record["payload"]
        if type(payload) is dict and payload.get("type") == "token_count":
            payload.update(more)
            if draw(st.integers(0, 20)) == 0:
                more = draw(st.sampled_from(LIMITS))
        at = record["timestamp"].replace(":00.000Z", f":{next(seconds)}.012Z")
        content += dense({**record, "timestamp": at, "payload": payload})
    content = numbered(content) if draw(st.booleans()) else content
    return content[:-1] if draw(st.booleans()) else content


@example(dense(meta(), CONTEXT, *map(count, map(usage, range(1, 99)))), [], 1 << 17, 0, 4)
@example(dense(*BEGUN, {**CONTEXT, "payload": 5}), [], 1 << 17, 9, 4)
@example(dense(*BEGUN, line("turn_context", cwd="/q"), count(usage(9))), [], 1 << 17, 9, 4)
@example(
    dense(*BEGUN, count(usage(3)), count(usage(9)), line("compacted", message="")),
    [],
    1 << 17,
    9,
    4,
)
@given(
    rollouts(),
    st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=3),
    st.sampled_from((64, 700, 4096, 1 << 17)),
    st.integers(0, 9),
    st.integers(0, 4),
)
def test_counts_together_are_counted_as_alone(
    tmp_path_factory: pytest.TempPathFactory,
    content: bytes,
    damage: list[tuple[int, int]],
    chunk: int,
    many: int,
    patience: int,
) -> None:
    """Whatever stands between them and wherever a byte of the log is another; the full reading
    gives the same calls."""
    damaged = bytearray(content)
    for at, byte in damage:
        damaged[at % len(damaged)] = byte
    path = write(tmp_path_factory.mktemp("together"))
    path.write_bytes(damaged)
    (source,) = PROVIDER.at(str(path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "CHUNK", chunk)
        patch.setattr("session_usage.providers.codex.totals._MANY", many)
        patch.setattr("session_usage.providers.codex.totals._PATIENCE", patience)
        patch.setattr("session_usage.providers.codex.totals._WORTH", 0)
        patch.setattr(Totals, "shape", None)
        together = without_turns(list(PROVIDER.totals(source)))
        patch.setattr(Totals, "_can_wait", lambda _: False)
        patch.setattr(Counts, "step", lambda *_: False)
        alone = without_turns(list(PROVIDER.totals(source)))
    full = without_turns(list(PROVIDER.read(source)))
    if damage:  # in what begins a turn, it is not looked for while counts wait
        assert together[0] == alone[0] == full[0]
    else:
        assert together == alone
        assert together[0] == full[0]


@pytest.mark.parametrize("more", LIMITS[:2])
@pytest.mark.parametrize("as_written", [bytes, numbered])
def test_usual_counts_are_not_parsed(
    more: dict[str, Any], as_written: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = [count(usage(n, cache_write_input_tokens=n), **more) for n in range(1, 301)]
    path = write(tmp_path)
    path.write_bytes(as_written(dense(meta(), CONTEXT, *counts)))
    (source,) = PROVIDER.at(str(path))
    parsed: list[bytes] = []
    line_alone = Totals.line

    def counted(self: Totals, each: bytes, offset: int) -> Iterator[Event]:
        parsed.append(each)
        return line_alone(self, each, offset)

    monkeypatch.setattr(Totals, "shape", None)
    monkeypatch.setattr(Totals, "line", counted)
    events = list(one_by_one(PROVIDER.totals(source)))
    assert len(parsed) == 4  # the first count begins, the second is what the others are like
    assert len(requests(events)) == 300


@pytest.mark.parametrize("case", CASES)
def test_genuine_counts_are_usual(case: str) -> None:
    for path in (DATA / case).rglob("rollout-*.jsonl"):
        lines = path.read_bytes().splitlines(keepends=True)
        counts = [each for each in lines if b'"total_token_usage":{' in each]
        shapes = [learn(each) for each in counts]
        for shape, each in zip(shapes, counts, strict=True):
            assert shape
            assert shape.fullmatch(each.decode())
        assert len({shape.pattern for shape in shapes if shape}) <= 1


@pytest.mark.parametrize(
    "bad",
    [
        b'"last_token_usage":{},"last_token_usage":{}',
        b'"last_token_usage":{"input_tokens":{"timestamp":"2026-11-20T09:00:00.000Z","type":',
        b'"last_token_usage":{}}},"x":"\xff"',
        b'"last_token_usage":NaN',
    ],
)
def test_damaged_counts_are_told_of_in_totals_too(tmp_path: Path, bad: bytes) -> None:
    path = write(tmp_path, meta(), CONTEXT, count(usage(100)), count(usage(300)), count(usage(450)))
    lines = path.read_bytes().split(b"\n")
    head, _, _ = lines[3].partition(b'"last_token_usage"')
    lines[3] = head + bad + (b"}}}" if bad.endswith(b"}") and b"x" not in bad else b"")
    path.write_bytes(b"\n".join(lines))
    (source,) = PROVIDER.at(str(path))
    full, totals = (list(PROVIDER.read(source, full=full)) for full in (True, False))
    assert [e for e in totals if type(e) is Problem] == [e for e in full if type(e) is Problem]
    assert requests(totals) == requests(full)
    assert any(type(e) is Problem for e in totals)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("full", [True, False])
def test_reading_in_pieces_gives_the_same_calls(case: str, full: bool, tmp_path: Path) -> None:
    for source in PROVIDER.sources(here(str(DATA / case / "home"))):
        if source.kind != "rollout":
            continue
        whole = requests(list(PROVIDER.read(source, full=full)))
        data = Path(source.path).read_bytes()
        growing = source._replace(path=str(tmp_path / os.path.basename(source.path)))
        events: list[Event] = []
        cursor = Cursor()
        for part in range(1, 8):
            Path(growing.path).write_bytes(data[: len(data) * part // 7])
            *more, last = PROVIDER.read(growing, cursor, full=full)
            assert type(last) is Cursor
            cursor = Cursor(last.offset, tuple(json.loads(json.dumps(last.state))))
            events += more
        got = {k: r._replace(path=source.path) for k, r in requests(events).items()}
        assert got == whole
        assert cursor.offset == len(data)


def test_C1_a_repeated_total_is_no_call(tmp_path: Path) -> None:
    first, second = usage(100, 10, 5), usage(300, 30, 9)
    write(
        tmp_path,
        meta(),
        CONTEXT,
        line("token_count", info=None),
        count(first),
        count(first),
        count(second, usage(200, 20, 4)),
        count(second, usage(0, 0, 0, total_tokens=6855)),
    )
    assert inputs(tmp_path) == [100, 200]


def test_C2_children_are_threads_of_their_root_session() -> None:
    for case in ("subagent-v1", "v0.104.0-forksub", "v0.133.0-forksub", "v0.169.0-forksub"):
        found = requests(of(case)).values()
        assert len({r.session for r in found}) == 1, case
        children = {(r.subagent, r.subagent_id) for r in found if r.subagent}
        assert len(children) == (2 if case == "subagent-v1" else 1), case
        assert all(thread for _, thread in children)
    names = {r.subagent for r in requests(of("subagent-v1")).values()}
    assert names == {(), ("Archimedes",), ("explorer",)}


@pytest.mark.parametrize("modern", [True, False])
def test_C3_a_subagent_s_subagent_has_the_whole_path(tmp_path: Path, modern: bool) -> None:
    third = "01a00020-0000-7000-8000-000000000005"
    root = {"session_id": PARENT} if modern else {}
    child = meta(CHILD, **root)
    child["payload"]["source"] = spawned(PARENT, 1, agent_role="planner")
    grandchild = meta(third, **root)
    grandchild["payload"]["source"] = spawned(CHILD, 2, agent_nickname="Hooke")
    write(tmp_path, meta(**root), CONTEXT, count(usage(1)))
    write(tmp_path, child, CONTEXT, count(usage(2)), thread=CHILD)
    write(tmp_path, grandchild, CONTEXT, count(usage(3)), thread=third)
    found = {r.input_tokens: r for r in requests(read(here(str(tmp_path)))).values()}
    assert {r.session for r in found.values()} == {PARENT}
    assert [found[n].subagent for n in (1, 2, 3)] == [(), ("planner",), ("planner", "Hooke")]


def born(day: int, tail: str) -> str:
    """The id of a thread that was made at noon of a day of November 2026, UTC."""
    stamp = f"{1_793_491_200_000 + (day - 1) * 86_400_000 + 43_200_000:012x}"
    return f"{stamp[:8]}-{stamp[8:]}-7000-8000-{tail:0>12}"


@pytest.mark.parametrize(
    "above", ["sessions/2026/11/18", "sessions/2026/11/19", "archived_sessions"]
)
def test_C3_a_parent_of_another_day(tmp_path: Path, above: str) -> None:
    """Before 0.150 only the parent's file tells who started the parent."""
    root, child, third = born(18, "1"), born(18, "2"), born(20, "3")
    parent, grandchild = meta(child), meta(third)
    parent["payload"]["source"] = spawned(root, 1, agent_role="planner")
    grandchild["payload"]["source"] = spawned(child, 2, agent_nickname="Hooke")
    write(tmp_path, meta(root), CONTEXT, count(usage(1)), thread=root, under="sessions/2026/11/18")
    write(tmp_path, parent, CONTEXT, count(usage(2)), thread=child, under=above)
    write(tmp_path, grandchild, CONTEXT, count(usage(3)), thread=third)
    found = {r.input_tokens: r for r in requests(read(here(str(tmp_path)))).values()}
    assert {r.session for r in found.values()} == {root}
    assert [found[n].subagent for n in (1, 2, 3)] == [(), ("planner",), ("planner", "Hooke")]


FORKS = [case for case in CASES if case.endswith("forksub")] + ["subagent-v1"]


@pytest.mark.parametrize("case", FORKS)
def test_C3_children_are_no_sessions_of_their_own_but_part_of_their_parent(case: str) -> None:
    library = Library(here(str(DATA / case / "home")), "codex")
    (item,) = listed(library)
    assert item.meta.workspace == "/home/dev/acme-api"
    assert {session.id for session in library.all() if session.requests} == {item.ref.id}
    alone = library.load(item.ref)
    assert {r.key for r in alone.requests} == {
        r.key for session in library.all() for r in session.requests
    }
    children = {r.subagent for r in alone.requests} - {()}
    said = {
        one.subagent
        for one in messages_of(library, item.ref, about(library, item.ref))
        if isinstance(one, Message)
    }
    assert said == {(), *children}
    assert len(children) == len(library.refs) - 1


def test_C3_children_of_children_are_found_from_their_parents_logs(tmp_path: Path) -> None:
    third = "01a00020-0000-7000-8000-000000000005"

    def started(thread: str) -> dict[str, Any]:
        output = json.dumps({"agent_id": thread, "nickname": "Hooke"})
        return line("response_item", type="function_call_output", call_id="c", output=output)

    child, grandchild = meta(CHILD), meta(third)
    child["payload"]["source"] = spawned(PARENT, 1)
    grandchild["payload"]["source"] = spawned(CHILD, 2)
    write(tmp_path, meta(), CONTEXT, started(CHILD), count(usage(1)))
    write(tmp_path, child, CONTEXT, started(third), count(usage(2)), thread=CHILD)
    write(tmp_path, grandchild, CONTEXT, count(usage(3)), thread=third)
    library = Library(here(str(tmp_path)), "codex")
    (item,) = listed(library)
    assert [r.input_tokens for r in library.load(item.ref).requests] == [1, 2, 3]


def test_C4_copied_records_belong_to_the_thread_that_made_them(tmp_path: Path) -> None:
    def record(thread: str, response: str) -> dict[str, Any]:
        return line(
            "token_usage_record",
            thread_id=thread,
            session_id=thread,
            response_id=response,
            usage=usage(7),
        )

    write(tmp_path, meta(), CONTEXT, record(PARENT, "r1"))
    write(
        tmp_path,
        meta(CHILD, forked_from_id=PARENT),
        meta(PARENT),
        CONTEXT,
        record(PARENT, "r1"),
        line("task_started", turn_id=NEW_TURN),
        record(CHILD, "r2"),
        thread=CHILD,
    )
    events = read(here(str(tmp_path)))
    rows = [(e.key, e.session, e.copied) for e in events if type(e) is Request]
    assert rows == [("r1", PARENT, False), ("r1", PARENT, True), ("r2", CHILD, False)]
    assert [e.origin for e in events if type(e) is Meta] == [None, PARENT]


def test_C4_an_archived_twin_counts_once(tmp_path: Path) -> None:
    for under in ("sessions/2026/11/20", "archived_sessions"):
        write(tmp_path, meta(), CONTEXT, count(usage(5)), under=under)
    (source,) = PROVIDER.sources(here(str(tmp_path)))
    assert "archived_sessions" not in source.path


def test_C6_lines_without_usage_are_not_even_parsed(tmp_path: Path) -> None:
    path = write(tmp_path, meta(), CONTEXT)
    with path.open("a") as file:
        for start in (
            '"response_item","payload":{"type":"message","content":"token_count"',
            '"event_msg","payload":{"type":"agent_message"',
            '"world_state","payload":{',
        ):
            file.write(
                '{"timestamp":"2026-11-20T09:00:00.000Z","ordinal":3,"type":' + start + " !\n"
            )
        file.write(json.dumps(count(usage(5))) + "\n")  # with spaces, as other writers would
    for full in (True, False):
        events = read(here(str(tmp_path)), full)
        assert not [e for e in events if type(e) is Problem]
        assert len(requests(events)) == 1


def test_C7_a_turn_over_midnight_keeps_each_call_s_own_time(tmp_path: Path) -> None:
    late, early = "2026-11-20T23:59:59.999Z", "2026-11-21T00:00:00.000Z"
    write(tmp_path, meta(), CONTEXT, count(usage(1), at=late), count(usage(3), at=early))
    times = [r.started_ms or 0 for r in requests(read(here(str(tmp_path)))).values()]
    assert times[1] - times[0] == 1


def replay(own_total: int, *, turns: int = 1, **about: Any) -> list[dict[str, Any]]:
    """A fork's file: the parent's history stamped with the fork's time, then a call of 50."""
    records = [meta(CHILD, forked_from_id=PARENT, **about), meta(PARENT)]
    for number in range(turns):
        records.append(line("task_started", turn_id=OLD_TURN))
        records += [CONTEXT, count(usage(1000 * (number + 1)), usage(1000))]
    records.append(line("task_started", turn_id=NEW_TURN))
    records += [CONTEXT, count(usage(own_total), usage(50))]
    return records


@pytest.mark.parametrize(
    ("records", "why"),
    [
        (replay(1050), "totals go on from the parent's"),
        (replay(5050, turns=5), "a parent of several turns: its later turns are not the fork's"),
        (replay(50), "totals start again"),
    ],
)
def test_C8_replayed_history_counts_for_nothing(tmp_path: Path, records: Any, why: str) -> None:
    write(tmp_path, *records, thread=CHILD)
    assert inputs(tmp_path) == [50], why


def test_C8_the_logged_start_of_a_child_s_own_history(tmp_path: Path) -> None:
    records = replay(1050, subagent_history_start_ordinal=5)
    numbered = [{**record, "ordinal": number} for number, record in enumerate(records)]
    write(tmp_path, *numbered, thread=CHILD)
    assert inputs(tmp_path) == [50]


def test_C8_a_fork_without_copied_lines_starts_at_its_parent_s_total(tmp_path: Path) -> None:
    about = {"forked_from_id": PARENT, "history_base": {"thread_id": PARENT}}
    write(tmp_path, meta(CHILD, **about), CONTEXT, count(usage(9050), usage(50)), thread=CHILD)
    assert inputs(tmp_path) == [50]


def test_C8_two_counts_in_one_second_are_two_calls(tmp_path: Path) -> None:
    write(tmp_path, meta(), CONTEXT, count(usage(100)), count(usage(130), usage(30)))
    assert inputs(tmp_path) == [100, 30]


def test_C8_ids_without_a_time_take_the_second_turn(tmp_path: Path) -> None:
    plain = "11111111-1111-4111-8111-111111111111"
    text = json.dumps(replay(1050)).replace(CHILD, plain)
    write(tmp_path, *json.loads(text), thread=plain)
    assert inputs(tmp_path) == [50]


def test_C8_a_fork_that_cannot_be_told_from_its_replay_is_a_gap(tmp_path: Path) -> None:
    write(tmp_path, meta(CHILD), meta(PARENT), CONTEXT, count(usage(1000)), thread=CHILD)
    events = read(here(str(tmp_path)))
    assert not requests(events)
    assert [e.kind for e in events if type(e) is Problem] == ["gap"]


def test_totals_that_fall_take_the_last_usage(tmp_path: Path) -> None:
    write(tmp_path, meta(), CONTEXT, count(usage(100)), count(usage(60), usage(60)))
    assert inputs(tmp_path) == [100, 60]


def test_a_call_whose_count_was_lost_is_in_the_next_difference(tmp_path: Path) -> None:
    write(tmp_path, meta(), CONTEXT, count(usage(100)), count(usage(360), usage(60)))
    assert inputs(tmp_path) == [100, 260]


def test_records_end_the_use_of_counts(tmp_path: Path) -> None:
    """A session begun by an old version and resumed by a new one."""
    record = line("token_usage_record", thread_id=PARENT, response_id="r", usage=usage(60))
    write(tmp_path, meta(), CONTEXT, count(usage(100)), record, count(usage(160), usage(60)))
    assert inputs(tmp_path) == [100, 60]


def test_C9_reasoning_is_a_part_of_output() -> None:
    (request,) = requests(of("one-turn")).values()
    assert (request.output_tokens, request.reasoning_tokens) == (202, 51)


def test_C10_a_long_first_line(tmp_path: Path) -> None:
    about = meta(base_instructions={"text": "x" * 40_000}, git={"branch": "b"})
    write(tmp_path, about, CONTEXT, count(usage(5)))
    (request,) = requests(read(here(str(tmp_path)), full=False)).values()
    assert (request.session, request.branch, request.cwd) == (PARENT, "b", "/p")
    assert (request.model, request.provider) == ("gpt-5.5", "openai")


def test_C11_a_giant_line_costs_bounded_memory(tmp_path: Path) -> None:
    huge = {"timestamp": "x", "type": "novel", "payload": {"text": "y" * (9 << 20)}}
    write(tmp_path, meta(), CONTEXT, huge, count(usage(5)))
    assert inputs(tmp_path) == [5]


def test_C13_the_state_database_s_totals_are_not_counted() -> None:
    events = of("v0.133.0")
    assert len(requests(events)) == 4
    assert {e.source for e in events if type(e) is Request} == {"rollout"}


def test_C14_every_event_names_its_agent() -> None:
    assert provider_for("codex") is PROVIDER
    for case in CASES:
        assert {e.agent for e in of(case) if type(e) is not Cursor} == {"codex"}
        assert {r.billing for r in requests(of(case)).values()} <= {"api"}


def test_the_model_is_that_of_the_latest_turn_context() -> None:
    models = Bag(r.model for r in requests(of("multi-turn")).values())
    assert models == {"gpt-5.5": 4, "gpt-5.4-mini": 2}


@pytest.mark.parametrize(("case", "number"), [("compact", 1), ("tui", 1), ("multi-turn", 0)])
def test_the_compaction_is_a_call_of_its_own_surface(case: str, number: int) -> None:
    surfaces = Bag(r.surface for r in requests(of(case)).values())
    assert surfaces["compaction"] == number


def test_web_searches_belong_to_the_response_that_made_them(tmp_path: Path) -> None:
    def search(kind: str) -> dict[str, Any]:
        return line("response_item", type="web_search_call", action={"type": kind})

    write(
        tmp_path,
        meta(),
        CONTEXT,
        search("search"),
        search("open_page"),
        search("search"),
        count(usage(1)),
        count(usage(3)),
    )
    for full in (True, False):
        found = requests(read(here(str(tmp_path)), full)).values()
        assert [r.web_searches for r in found] == [2, None]


def test_R1_failed_turns_are_calls_without_tokens() -> None:
    for case in FAILED:
        (failed,) = [r for r in requests(of(case)).values() if r.status == "error"]
        assert failed.input_tokens is failed.output_tokens is None
        assert failed.model == "gpt-5.5"


def test_R5_a_damaged_line_costs_that_line_alone(tmp_path: Path) -> None:
    path = write(tmp_path, meta(), CONTEXT, count(usage(100)), count(usage(130), usage(30)))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], lines[3][:90] + b"\n", b"\0\0\0\n", lines[3][:70]]))
    events = read(here(str(tmp_path)))
    assert inputs(tmp_path) == [100]
    assert [e.kind for e in events if type(e) is Problem] == ["malformed", "malformed"]


def test_an_interrupted_turn_is_named_once() -> None:
    problems = [e for e in of("tui") if type(e) is Problem]
    assert len(problems) == 1
    assert "interrupted" in problems[0].text


def test_a_version_without_usage_lists_its_session() -> None:
    events = of("v0.20.0")
    (about,) = [e for e in events if type(e) is Meta]
    assert (about.session, about.branch) == (
        "9e03edd4-98b8-44a0-ba59-1d774cf6092a",
        "feature/login",
    )
    assert about.created_ms == 1795168243319


def test_what_a_session_is_called_and_where_it_works() -> None:
    metas = [e for e in of("tui") if type(e) is Meta]
    titles = sorted((m.rank, m.title) for m in metas if m.title)
    assert titles == [(0, "One more thing. PLAN:MORE"), (3, "Login rework"), (3, "Login rework")]
    assert {(m.workspace, m.branch, m.version) for m in metas if m.workspace} == {
        ("/home/dev/acme-api", "feature/login", "0.169.0")
    }
    children = [m for m in (e for e in of("subagent-v1") if type(e) is Meta) if m.names]
    own = [m for m in children if m.rank == 0]  # the parent knows a nickname at most
    assert {name for m in own for _, name in m.names} == {"Archimedes", "explorer"}
    assert len({m.session for m in children}) == 1


def test_turns_and_tools() -> None:
    events = of("multi-turn")
    turns = {e.key for e in events if type(e) is Turn}
    assert len(turns) == 3
    assert {r.turn for r in requests(events).values()} == turns
    assert Bag(e.name for e in events if type(e) is ToolCall) == {"exec_command": 4}
    old = of("v0.45.0")
    (turn,) = [e for e in old if type(e) is Turn]
    assert {r.turn for r in requests(old).values()} == {turn.key}


def test_no_message_text_leaves_the_reader() -> None:
    for case in CASES:
        for event in of(case):
            # the program itself takes the first prompt for a title
            assert type(event) is Meta or "PLAN:" not in repr(event)


def test_where_rollouts_are_looked_for(tmp_path: Path) -> None:
    write(tmp_path, meta())
    write(tmp_path / "alt", meta())
    for number in (4, 5, 12):
        (tmp_path / f".codex/state_{number}.sqlite").touch()

    def found(**env: str) -> list[str]:
        where = Places(home=str(tmp_path), env=env, platform="linux")
        return [os.path.relpath(s.path, tmp_path) for s in PROVIDER.sources(where)]

    rollout = f"sessions/2026/11/20/rollout-2026-11-20T09-00-00-{PARENT}.jsonl"
    assert found() == [f".codex/{rollout}", ".codex/state_12.sqlite"]
    assert found(CODEX_HOME=str(tmp_path / "alt/.codex")) == [f"alt/.codex/{rollout}"]
    only = here(str(tmp_path), roots=[("codex", str(tmp_path / "alt/.codex"))])
    assert [s.session for s in PROVIDER.sources(only)] == [PARENT]


def test_compressed_and_vanished_rollouts_are_problems(tmp_path: Path) -> None:
    path = write(tmp_path, meta())
    path.rename(path.with_suffix(".jsonl.zst"))
    (source,) = PROVIDER.sources(here(str(tmp_path)))
    assert source.session == PARENT
    problem, _ = PROVIDER.read(source)
    assert type(problem) is Problem
    assert problem.kind == "unreadable"
    problem, _ = PROVIDER.read(source._replace(kind="rollout", path=str(path)))
    assert type(problem) is Problem
    assert problem.kind == "missing"


def test_the_library_counts_subagents_under_their_root() -> None:
    for case, number, output in (("subagent-v1", 7, 1456), ("v0.104.0-forksub", 6, 1242)):
        library = Library(here(str(DATA / case / "home")), "codex")
        sessions = [s for s in library.all() if s.requests]
        assert len({s.id for s in sessions}) == 1
        calls = [r for s in sessions for r in s.requests]
        assert (len(calls), sum(r.output_tokens or 0 for r in calls)) == (number, output)
    library = Library(here(str(DATA / "subagent-v1" / "home")), "codex")
    (root,) = {s.id for s in library.all() if s.requests}
    assert len(library.load(library.refs["codex", str(root)]).requests) == 7


def test_a_rollout_anywhere_is_recognised_by_its_name(tmp_path: Path) -> None:
    path = write(tmp_path, meta())
    (source,) = PROVIDER.at(str(path))
    assert (source.kind, source.session) == ("rollout", PARENT)
    assert not list(PROVIDER.at(str(tmp_path)))
