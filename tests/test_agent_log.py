"""The provider of plain agent logs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from session_usage.events import Counter, Cursor, Meta, Problem, Request, Source, ToolCall, Turn
from session_usage.places import here
from session_usage.providers import agents, provider_for
from session_usage.providers.agent_log import PROVIDER
from session_usage.windows import instant

DATA = Path(__file__).parent / "data/agent-log"


def at(second: int) -> str:
    return f"2026-05-01T10:{second // 60:02}:{second % 60:02}Z"


def ms(second: int) -> int:
    found = instant(at(second))
    assert found is not None
    return found


def line(seq: int, kind: str, data: Any) -> str:
    """A line as the format has it, ``seq`` seconds after the full hour."""
    event = {"session_id": "s", "seq": seq, "type": kind, "ts": at(seq), "data": data}
    return json.dumps(event, separators=(",", ":")) + "\n"


START = line(
    0, "session.start", {"provider": "Anthropic", "model": "m", "work_dir": "/w", "prompt": "x"}
)
QUESTION = {"messages": [{"role": "user", "content": "secret"}]}


def answer(seq: int, *, usage: Any = None, **data: Any) -> str:
    figures = {"input": 10, "output": 5, "total": 15} if usage is None else usage
    return line(seq, "llm.response", {"usage": figures, "cost_usd": -1, "model": "m"} | data)


FULL = (
    START
    + line(1, "llm.request", QUESTION)
    + line(
        4,
        "llm.response",
        {
            "usage": {"input": 10, "output": 5, "cache_read": 70, "cache_write": 20, "total": 105},
            "cost_usd": 0.02345,
            "latency_ms": 2500,
            "model": "m-2026",
            "finish_reason": "tool_calls",
        },
    )
    + line(5, "tool.call", {"tool": "bash", "input": {}, "output": "o", "duration_ms": 12})
    + line(6, "tool.call", {"tool": "read", "input": {}, "output": "", "error": "no file"})
    + line(7, "planning.turn", {"turn": 1})
    + line(8, "llm.request", QUESTION)
    + answer(9, cost_usd=0)
    + line(
        10,
        "session.end",
        {
            "status": "success",
            "tokens": {"input": 20, "output": 10, "cache_read": 70, "cache_write": 20},
            "cost_usd": 0.02345,
        },
    )
)


def source_of(tmp_path: Path, content: str | bytes) -> Source:
    path = tmp_path / "s.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (source,) = PROVIDER.sources(here(home=str(tmp_path), agent_log_dirs=[str(tmp_path)]))
    return source


def read(tmp_path: Path, content: str | bytes, **options: Any) -> list[Any]:
    return list(PROVIDER.read(source_of(tmp_path, content), **options))


def of(events: list[Any], kind: type[Any]) -> list[Any]:
    return [event for event in events if type(event) is kind]


def final(events: list[Any]) -> dict[str, Request]:
    """Requests by key; of several with one key the best, as consumers choose it."""
    best: dict[str, Request] = {}
    for request in of(events, Request):
        before = best.get(request.key)
        if (
            before is None
            or (request.output_tokens or 0) > (before.output_tokens or 0)
            or ((request.output_tokens or 0) == (before.output_tokens or 0) and not request.weak)
        ):
            best[request.key] = request
    return best


def test_the_provider_is_registered() -> None:
    assert provider_for("agent-log") is PROVIDER
    assert agents("agent-log") == [PROVIDER]


def test_sources_are_the_logs_directly_in_the_named_folders(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "note.txt", ".jsonl", "deeper/c.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}\n")
    folders = [str(tmp_path), str(tmp_path), str(tmp_path / "missing")]
    sources = list(PROVIDER.sources(here(home=str(tmp_path), agent_log_dirs=folders)))
    assert [(source.session, source.size) for source in sources] == [("a", 3), ("b", 3)]
    assert not list(PROVIDER.sources(here(home=str(tmp_path))))


def test_named_roots_replace_the_folders(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("")
    places = here(home=str(tmp_path), roots=[("agent-log", str(tmp_path))], agent_log_dirs=["/x"])
    assert [source.session for source in PROVIDER.sources(places)] == ["a"]


def test_requests(tmp_path: Path) -> None:
    first, second = final(read(tmp_path, FULL)).values()
    assert first == Request(
        f"s/1/{at(1)}",
        "agent-log",
        "s",
        "log",
        str(tmp_path / "s.jsonl"),
        len(START),
        started_ms=ms(4) - 2500,
        model="m-2026",
        provider="anthropic",
        billing="api",
        input_tokens=100,
        cache_read_tokens=70,
        cache_write_tokens=20,
        output_tokens=5,
        nano_aiu=2_345_000_000,
        duration_ms=2500,
        turn=f"s/0/{at(0)}",
    )
    assert (second.input_tokens, second.output_tokens, second.nano_aiu) == (10, 5, 0)
    assert second.turn == f"s/7/{at(7)}"


def test_everything_else(tmp_path: Path) -> None:
    events = read(tmp_path, FULL)
    assert [(call.name, call.ok, call.duration_ms) for call in of(events, ToolCall)] == [
        ("bash", True, 12),
        ("read", False, None),
    ]
    assert [turn.at_ms for turn in of(events, Turn)] == [ms(0), ms(7)]
    start, end, last = of(events, Meta)
    assert (start.workspace, start.model, start.created_ms) == ("/w", "m", ms(0))
    assert ("provider", "Anthropic") in start.facts
    assert end.facts == (("status", "success"),)
    assert last.updated_ms == ms(10)
    assert type(events[-1]) is Cursor
    assert events[-1].offset == len(FULL.encode())
    assert not of(events, Problem)


def test_R4_the_end_of_a_session_is_a_counter(tmp_path: Path) -> None:
    (counter,) = of(read(tmp_path, FULL), Counter)
    assert (counter.scope, counter.at_ms, counter.billing) == ("total", ms(10), "api")
    assert (counter.input_tokens, counter.output_tokens) == (110, 10)
    assert counter.nano_aiu == 2_345_000_000
    assert counter.requests is None
    # two models answered: the figure is for both
    assert counter.model is None


def test_a_session_of_one_model_has_a_counter_of_that_model(tmp_path: Path) -> None:
    for log, model in (
        (START + answer(1) + line(2, "session.end", {}), "m"),
        (START + line(2, "session.end", {"model": "m-end"}), "m-end"),
        (START + answer(1, model="other") + line(2, "session.end", {}), None),
    ):
        (counter,) = of(read(tmp_path, log), Counter)
        assert counter.model == model


@pytest.mark.parametrize(
    ("cost", "nano"),
    [(0, 0), (0.25, 25_000_000_000), (-1, None), (-0.5, None), (None, None), (1e-12, 0)],
)
def test_R6_reported_costs(tmp_path: Path, cost: float | None, nano: int | None) -> None:
    end = line(2, "session.end", {"status": "success", "cost_usd": cost})
    events = read(tmp_path, START + answer(1, cost_usd=cost) + end)
    (request,) = final(events).values()
    (counter,) = of(events, Counter)
    assert (request.nano_aiu, counter.nano_aiu) == (nano, nano)
    assert not of(events, Problem)


@pytest.mark.parametrize("cost", ["0.1", True, [], {}])
def test_R7_costs_that_are_no_number_are_problems(tmp_path: Path, cost: Any) -> None:
    events = read(tmp_path, START + answer(1, cost_usd=cost))
    (request,) = final(events).values()
    assert request.nano_aiu is None
    (problem,) = of(events, Problem)
    assert (problem.kind, problem.offset) == ("malformed", len(START))


def test_R7_astronomic_costs_do_not_stop_the_reading(tmp_path: Path) -> None:
    (request,) = final(read(tmp_path, START + answer(1, cost_usd=1e300))).values()
    assert request.nano_aiu == 10**311


@pytest.mark.parametrize(
    "usage", [{"input": 0, "output": 0, "total": 0}, {}, [], {"input": "x"}, {"input": -3}]
)
def test_R1_a_usage_that_says_nothing_is_unknown(tmp_path: Path, usage: Any) -> None:
    (request,) = final(read(tmp_path, START + answer(1, usage=usage, cost_usd=0))).values()
    assert request.weak
    assert request.input_tokens is request.output_tokens is request.nano_aiu is None
    (request,) = final(read(tmp_path, START + answer(1, usage=usage, cost_usd=0.5))).values()
    assert request.nano_aiu == 50_000_000_000


@pytest.mark.parametrize(
    ("ended", "status"), [("cancelled", "cancelled"), ("error", "error"), ("success", "error")]
)
def test_R1_a_question_without_an_answer_is_a_call(tmp_path: Path, ended: str, status: str) -> None:
    log = START + line(1, "llm.request", QUESTION) + answer(2) + line(3, "llm.request", QUESTION)
    first, second = final(read(tmp_path, log)).values()
    assert not first.weak
    assert second.weak  # still running, or killed
    assert second.input_tokens is None
    events = read(tmp_path, log + line(4, "session.end", {"status": ended}))
    first, second = final(events).values()
    assert (first.status, second.status, second.weak) == ("ok", status, False)
    assert second.nano_aiu is None


def test_R1_a_repeated_question_is_two_calls(tmp_path: Path) -> None:
    log = (
        START
        + line(1, "llm.request", QUESTION)
        + line(2, "llm.request", QUESTION)
        + answer(3)
        + line(4, "session.end", {"status": "success"})
    )
    requests = final(read(tmp_path, log)).values()
    assert sorted(request.status for request in requests) == ["error", "ok"]
    assert sum(request.output_tokens or 0 for request in requests) == 5


def test_questions_that_nobody_answers_are_not_all_remembered(tmp_path: Path) -> None:
    log = START + "".join(line(n, "llm.request", QUESTION) for n in range(200))
    events = read(tmp_path, log)
    assert len(final(events)) == 200
    assert len(events[-1].state[5]) == 64


@pytest.mark.parametrize("finish", ["error", "cancelled", "stop"])
def test_status_of_a_call(tmp_path: Path, finish: str) -> None:
    (request,) = final(read(tmp_path, START + answer(1, finish_reason=finish))).values()
    assert request.status == ("ok" if finish == "stop" else finish)


def test_C4_a_copied_log_has_the_same_requests(tmp_path: Path) -> None:
    for name in ("s", "backup"):
        (tmp_path / f"{name}.jsonl").write_text(FULL)
    places = here(home=str(tmp_path), agent_log_dirs=[str(tmp_path)])
    first, second = (final(list(PROVIDER.read(source))) for source in PROVIDER.sources(places))
    assert first.keys() == second.keys()
    assert {request.session for request in second.values()} == {"s"}


def test_old_logs_have_their_time_elsewhere(tmp_path: Path) -> None:
    event = {"type": "llm.response", "seq": 1, "timestamp": at(5), "data": {"usage": {"input": 1}}}
    (request,) = final(read(tmp_path, json.dumps(event) + "\n")).values()
    assert (request.started_ms, request.session) == (ms(5), "s")


def test_R5_a_damaged_line_costs_that_line(tmp_path: Path) -> None:
    log = START + answer(1) + answer(2)[:-20] + "\n" + answer(3) + answer(4)
    events = read(tmp_path, log)
    assert len(final(events)) == 3
    (problem,) = of(events, Problem)
    assert (problem.kind, problem.offset) == ("malformed", len(START + answer(1)))
    assert problem.session == "s"


def test_two_events_on_one_line(tmp_path: Path) -> None:
    log = START + answer(1).rstrip("\n") + " " + answer(2)
    events = read(tmp_path, log)
    assert len(final(events)) == 2
    assert not of(events, Problem)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 5000,
        b'{"type":"llm.response"}\n',
        b'{"type":"llm.response","data":[1],"ts":5,"seq":{}}\n',
        b'{"type":"session.start","data":{"model":[],"provider":1}}\n',
        b'{"type":"session.end","data":{"tokens":{"input":1e999}}}\n',
        b'"session.end"\n["session.end"]\nnull\n',
        b'{"type":"tool.call","data":{"tool":5,"duration_ms":"x"}}',
        b'{"session_id":"s","seq":' + b"9" * 5000 + b',"type":"llm.request","ts":"","data":{}}\n',
        b'{"session_id":"\xff","seq":1,"type":"llm.request","ts":"\xff","data":{}}\n',
        b"[" * 100_000 + b'"session.end"\n',
    ],
)
def test_F8_any_bytes_give_events_and_problems(tmp_path: Path, content: bytes) -> None:
    events = read(tmp_path, content)
    assert type(events[-1]) is Cursor


def test_a_missing_log_is_a_problem(tmp_path: Path) -> None:
    source = Source("agent-log", "log", str(tmp_path / "none.jsonl"), "none")
    problem, cursor = PROVIDER.read(source)
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.session) == ("missing", "none")
    assert cursor == Cursor(0, ("none", None, None, None, (), ()))


@pytest.mark.parametrize("full", [True, False])
def test_F3_reading_in_pieces_gives_the_same(tmp_path: Path, full: bool) -> None:
    tail = START.replace('"seq":0', '"seq":20') + line(21, "llm.request", QUESTION) + answer(22)
    content = (FULL + tail).encode()
    whole = read(tmp_path, content, full=full)
    for cuts in [(n,) for n in range(0, len(content), 7)] + [(50, 51, 400, 800)]:
        events: list[Any] = []
        cursor = Cursor()
        for end in (*cuts, len(content)):
            source = source_of(tmp_path, content[:end])
            *part, cursor = PROVIDER.read(source, cursor, full=full)
            # as a ledger would keep it
            state = json.loads(json.dumps(cursor.state))
            cursor = Cursor(cursor.offset, tuple(state))
            events += part
        assert final(events) == final(whole)
        for kind in (Counter, Turn, ToolCall):
            assert list(dict.fromkeys(of(events, kind))) == of(whole, kind)
        assert cursor.offset == whole[-1].offset
        assert not of(events, Problem)


def test_reading_less_leaves_out_what_no_total_needs(tmp_path: Path) -> None:
    less = read(tmp_path, FULL, full=False)
    more = read(tmp_path, FULL)
    assert not of(less, ToolCall)
    assert of(less, Counter) == of(more, Counter)
    tokens = [
        [request.input_tokens for request in final(events).values()] for events in (less, more)
    ]
    assert tokens[0] == tokens[1] == [100, 10]


def test_no_message_text_leaves_the_reader(tmp_path: Path) -> None:
    log = FULL.replace('"prompt":"x"', '"prompt":"secret"').replace(
        '"output":"o"', '"output":"secret"'
    )
    assert "secret" in log
    assert "secret" not in repr(read(tmp_path, log))


def test_recorded_logs_are_read_without_a_problem() -> None:
    places = here(home="/nowhere", agent_log_dirs=[str(DATA / "usage")])
    counters: dict[str, Counter] = {}
    for source in PROVIDER.sources(places):
        events = list(PROVIDER.read(source))
        assert not of(events, Problem)
        assert not of(events, Request)
        for counter in of(events, Counter):
            counters[counter.session or ""] = counter
    assert "".join(counters) == "abcdfghjkl"
    assert counters["b"].input_tokens == 100
    assert counters["b"].nano_aiu is None
    assert counters["b"].status == "error"
    assert counters["d"].nano_aiu == 0


def test_the_provider_does_not_import_attrs() -> None:
    code = (
        "import sys; from session_usage.providers import agent_log; "
        "assert not {'attr', 'attrs', 'session_usage.session_log'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
