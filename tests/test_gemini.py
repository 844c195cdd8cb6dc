"""Gemini CLI: logs of real versions against what their model server reported, and the pitfalls.

Each case holds the home folder as the program left it and ``truth.json``: per call what was
asked and answered, ``input`` there without the cache, ``tool_prompt`` beside it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from session_usage import places
from session_usage.events import START, Cursor, Meta, Problem, Request, Source, ToolCall, Turn
from session_usage.providers import provider_for
from session_usage.providers.gemini import PROVIDER

DATA = Path(__file__).parent / "data" / "gemini"
CASES = sorted(folder.name for folder in DATA.iterdir())

# (case, number of the call in truth.json) -> why the log does not have it
NEVER_WRITTEN = {
    ("error-400", 3): "failed calls leave no line",
    ("error-429-retry", 2): "failed calls leave no line",
    ("error-500-retry", 3): "failed calls leave no line",
    ("kill-mid", 3): "lines are written when the answer is complete",
    ("kill-end", 3): "lines are written when the answer is complete",
}
PARTIAL = {("error-stream", 3): (21033, 0, 5)}
"""A stream that broke: the figures so far (prompt, cached, output) stay in the log."""


def sources(home: Path, env: dict[str, str] | None = None) -> list[Source]:
    return list(PROVIDER.sources(places.Places(str(home), env or {}, "linux")))


def read_all(found: list[Source], **options: object) -> list:
    return [event for source in found for event in PROVIDER.read(source, **options)]


def best(events: list) -> dict[str, Request]:
    """Per key the request that counts: more output wins, else the later that has usage."""
    kept: dict[str, Request] = {}
    for event in events:
        if type(event) is Request:
            old = kept.get(event.key)
            if old is None or (event.output_tokens or -1) >= (old.output_tokens or -1):
                kept[event.key] = event
    return kept


def of(kind: type, events: list) -> list:
    return [event for event in events if type(event) is kind]


@pytest.mark.parametrize("case", CASES)
def test_every_call_equals_what_the_server_reported(case: str) -> None:
    events = read_all(sources(DATA / case / "home"))
    assert not of(Problem, events)
    found = sorted(best(events).values(), key=lambda request: request.started_ms)
    truth = json.loads((DATA / case / "truth.json").read_text())
    calls = [
        call
        for call in truth["requests"]
        if call["kind"] == "main" and (case, call["n"]) not in NEVER_WRITTEN
    ]
    assert len(found) == len(calls)
    for request, call in zip(found, calls, strict=True):
        number = (case, call["n"])
        assert request.model == call["model"], number
        assert (request.provider, request.billing) == ("gcp.gemini", "api")
        assert (request.status, request.weak) == ("ok", False)
        figures = (request.input_tokens, request.cache_read_tokens, request.output_tokens)
        if number in PARTIAL:
            assert figures == PARTIAL[number]
            continue
        used = call["usage"]
        whole = used["input"] + used["cache_read"] + used.get("tool_prompt", 0)
        assert figures == (whole, used["cache_read"], used["output"]), number
        assert request.reasoning_tokens == used["reasoning"], number
        assert request.cache_write_tokens is None


@pytest.mark.parametrize("case", CASES)
def test_lean_reading_finds_the_same_calls(case: str) -> None:
    found = sources(DATA / case / "home")
    lean = read_all(found, full=False)
    assert best(lean) == best(read_all(found))
    assert not of(ToolCall, lean)
    assert not of(Turn, lean)


@pytest.mark.parametrize("case", CASES)
def test_C14_everything_belongs_to_this_agent(case: str) -> None:
    events = [e for e in read_all(sources(DATA / case / "home")) if type(e) is not Cursor]
    assert {event.agent for event in events} == {"gemini"}


def test_C1_a_message_written_twice_counts_once_and_resumes_go_on() -> None:
    events = read_all(sources(DATA / "multi-turn" / "home"))
    assert len(of(Request, events)) == 9  # three of six messages are written again
    assert len(best(events)) == 6
    assert len(of(Turn, events)) == 3
    tools = {tool.key: tool for tool in of(ToolCall, events)}
    assert [tool.name for tool in tools.values()] == [
        "run_shell_command",
        "read_file",
        "run_shell_command",
        "run_shell_command",
    ]
    assert all(tool.ok for tool in tools.values())
    (meta,) = of(Meta, events)
    assert meta.session == "1f8429f6-2869-40b8-9839-773a549e7d97"
    assert meta.workspace == "/home/dev/acme-api"
    assert meta.model == "gemini-2.5-pro"
    assert (meta.created_ms, meta.updated_ms) == (1795169393418, 1795169399021)


# --- conversations made by hand: what no recorded case holds ---

HEADER = {
    "sessionId": "11111111-2222",
    "projectHash": "x",
    "startTime": "2026-11-20T10:00:00.000Z",
    "kind": "main",
}


def answer(name: str, minute: int, tokens: object = None, **more: object) -> dict:
    record = {"id": name, "timestamp": f"2026-11-20T10:{minute:02}:00.000Z", "type": "gemini"}
    if tokens is not None:
        record["tokens"] = tokens
    return {**record, "model": "gemini-3.8-flash", **more}


def tokens(prompt: int, output: int, cached: int = 0, thoughts: int = 0, tool: int = 0) -> dict:
    total = prompt + output + thoughts + tool
    counts = {"input": prompt, "output": output, "cached": cached, "thoughts": thoughts}
    return {**counts, "tool": tool, "total": total}


def chat(tmp_path: Path, *records: object, name: str = "") -> Source:
    path = tmp_path / "tmp" / "acme" / "chats" / (name or "session-2026-11-20T10-00-11111111.jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    path.write_text("".join(line + "\n" for line in lines))
    return Source("gemini", "chat", str(path), None)


def test_rewinding_and_checkpoints_take_nothing_back(tmp_path: Path) -> None:
    source = chat(
        tmp_path,
        HEADER,
        answer("a", 1, tokens(10, 1)),
        answer("b", 2, tokens(20, 2)),
        {"$rewindTo": "a"},
        answer("c", 3, tokens(30, 3)),
        {"$set": {"messages": [answer("a", 4), answer("other", 4)]}},
    )
    found = best(read_all([source]))
    assert [(r.input_tokens, r.output_tokens) for r in found.values()] == [
        (10, 1),
        (20, 2),
        (30, 3),
    ]
    assert not any(request.weak for request in found.values())


def test_a_conversation_moved_to_the_new_format_counts_once(tmp_path: Path) -> None:
    messages = [answer("a", 1, tokens(10, 1)), answer("b", 2, tokens(20, 2))]
    old = chat(tmp_path, json.dumps({**HEADER, "messages": messages}), name="session-1.json")
    moved = chat(tmp_path, HEADER, {"$set": {"messages": messages}}, answer("c", 3, tokens(30, 3)))
    events = read_all([old._replace(kind="chat-json"), moved])
    assert len(of(Request, events)) == 5
    assert len(best(events)) == 3


def test_R1_an_answer_without_tokens_is_a_request_without_figures(tmp_path: Path) -> None:
    source = chat(tmp_path, HEADER, answer("a", 1, None), {**answer("b", 2), "tokens": None})
    for request in best(read_all([source])).values():
        assert request.weak
        assert (request.input_tokens, request.output_tokens) == (None, None)
    with open(source.path, "a") as file:
        file.write(json.dumps(answer("a", 1, tokens(10, 1))) + "\n")
    assert best(read_all([source]))["11111111-2222:a"].input_tokens == 10


def test_A11_thoughts_are_output_and_tool_tokens_are_prompt(tmp_path: Path) -> None:
    source = chat(tmp_path, HEADER, answer("a", 1, tokens(100, 7, cached=60, thoughts=5, tool=17)))
    (request,) = best(read_all([source])).values()
    assert (request.input_tokens, request.cache_read_tokens) == (117, 60)
    assert (request.output_tokens, request.reasoning_tokens) == (12, 5)


def test_C13_subagents_count_once_under_their_parent(tmp_path: Path) -> None:
    chat(tmp_path, HEADER, answer("a", 1, tokens(10, 1)))
    own = {**HEADER, "sessionId": "sub-1", "kind": "subagent"}
    chat(tmp_path, own, answer("a", 2, tokens(20, 2)), name="11111111-2222/sub-1.jsonl")
    where = places.Places("/", {}, "linux", roots=(("gemini", str(tmp_path)),))
    found = list(PROVIDER.sources(where))
    assert [source.session for source in found] == ["11111111-2222", None]
    events = read_all(found)
    requests = {key: (r.session, r.subagent, r.subagent_id) for key, r in best(events).items()}
    assert requests == {
        "11111111-2222:a": ("11111111-2222", (), None),
        "sub-1:a": ("11111111-2222", ("subagent",), "sub-1"),
    }
    assert {pair for meta in of(Meta, events) for pair in meta.names} == {("sub-1", "subagent")}


def test_prompts_are_turns_context_and_tool_results_are_not(tmp_path: Path) -> None:
    def user(name: str, content: object) -> dict:
        return {"id": name, "timestamp": "2026-11-20T10:00:00Z", "type": "user", "content": content}

    source = chat(
        tmp_path,
        HEADER,
        user("a", [{"text": "<session_context>\nThis is"}]),
        user("b", [{"text": "do it"}]),
        user("c", "do it again"),
        user("d", [{"functionResponse": {"name": "read_file"}}]),
        user("e", None),
        {"$set": {"summary": "Does it"}},
        {"$set": {"summary": "Does it twice"}},
    )
    events = read_all([source])
    assert [turn.key for turn in of(Turn, events)] == ["11111111-2222:b", "11111111-2222:c"]
    assert [meta.title for meta in of(Meta, events)] == ["Does it twice"]


def test_F3_reading_in_pieces_equals_reading_at_once(tmp_path: Path) -> None:
    (original,) = sources(DATA / "multi-turn" / "home")
    data = Path(original.path).read_bytes()
    path = tmp_path / "growing.jsonl"
    source = Source("gemini", "chat", str(path), None)
    events: list = []
    cursor = START
    for end in range(0, len(data) + 700, 700):
        path.write_bytes(data[:end])
        events += PROVIDER.read(source, cursor)
        at = json.loads(json.dumps(events[-1]))  # cursors are stored as JSON
        cursor = Cursor(at[0], tuple(at[1]))
    whole = read_all([source])
    assert best(events) == best(whole)
    assert {turn.key for turn in of(Turn, events)} == {turn.key for turn in of(Turn, whole)}
    assert not of(Problem, events)
    assert [m.created_ms for m in of(Meta, events) if m.created_ms] == [1795169393418]


def test_F8_a_damaged_line_costs_only_itself(tmp_path: Path) -> None:
    source = chat(
        tmp_path,
        '{"sessionId": "11111111-22',
        answer("a", 1, tokens(10, 1)),
        '{"id":"b","type":"gemini","tok',
        answer("c", 3, {**tokens(30, 3), "input": -1}),
        answer("d", 4, tokens(40, 4, cached=50)),
        answer("e", 5, tokens(50, 5)) | {"timestamp": "yesterday"},
        '["gemini"]',
    )
    events = read_all([source])
    found = {r.key: (r.input_tokens, r.started_ms is None) for r in best(events).values()}
    assert found == {
        "11111111:a": (10, False),
        "11111111:c": (None, False),
        "11111111:d": (40, False),
        "11111111:e": (50, True),
    }
    problems = of(Problem, events)
    assert [problem.kind for problem in problems] == ["malformed"] * 5


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.9])
def test_F8_a_cut_json_file_keeps_its_whole_messages(tmp_path: Path, cut: float) -> None:
    (original,) = sources(DATA / "v0.35.0" / "home")
    whole = best(read_all([original]))
    data = Path(original.path).read_bytes()
    path = tmp_path / "session-cut.json"
    path.write_bytes(data[: int(len(data) * cut)])
    events = read_all([original._replace(path=str(path))])
    found = best(events)
    assert [problem.kind for problem in of(Problem, events)] == ["malformed"]
    assert len(found) == {0.2: 0, 0.5: 1, 0.9: 3}[cut]
    for key, request in found.items():
        assert whole[key]._replace(path=str(path)) == request


def test_R19_tokens_of_an_unknown_record_are_drift(tmp_path: Path) -> None:
    strange = answer("a", 1, tokens(10, 1)) | {"type": "router"}
    events = read_all([chat(tmp_path, HEADER, strange, {**strange, "id": "b"})])
    assert [problem.kind for problem in of(Problem, events)] == ["drift"]
    assert not best(events)


def test_missing_files_are_problems(tmp_path: Path) -> None:
    source = Source("gemini", "chat", str(tmp_path / "none.jsonl"), None)
    problem, cursor = PROVIDER.read(source, Cursor(9, ("s",)))
    assert (problem.kind, problem.session) == ("missing", "s")
    assert cursor == Cursor(9, ("s",))


def test_places_follow_the_program(tmp_path: Path) -> None:
    for name in ("session-1.jsonl", "session-2.json", "session-3.json.tmp-1", "notes.json"):
        chat(tmp_path / "other" / ".gemini", HEADER, name=name)
    chat(tmp_path / "other" / ".gemini", HEADER, name="session-4.unreadable-9.jsonl")
    (tmp_path / "other" / ".gemini" / "tmp" / "bin").mkdir()
    assert sources(tmp_path) == []
    found = sources(tmp_path, {"GEMINI_CLI_HOME": str(tmp_path / "other")})
    assert [(Path(one.path).name, one.kind) for one in found] == [
        ("session-1.jsonl", "chat"),
        ("session-2.json", "chat-json"),
    ]
    assert all(one.size and one.mtime_ns for one in found)


@pytest.mark.parametrize("known_by", ["slug", "hash", "directories"])
def test_the_project_is_found_by_slug_hash_or_header(tmp_path: Path, known_by: str) -> None:
    folder = "/home/dev/My Proj"
    name = hashlib.sha256(folder.encode()).hexdigest() if known_by == "hash" else "acme"
    header = {**HEADER, "directories": [folder]} if known_by == "directories" else HEADER
    source = chat(tmp_path, header, answer("a", 1, tokens(1, 1)))
    place = Path(source.path).parent.parent.rename(tmp_path / "tmp" / name)
    source = source._replace(path=str(place / "chats" / Path(source.path).name))
    register = {} if known_by == "directories" else {folder: "acme"}
    (tmp_path / "projects.json").write_text(json.dumps({"projects": register}))
    assert [meta.workspace for meta in of(Meta, read_all([source]))] == [folder]


def test_the_agent_is_registered() -> None:
    assert provider_for("gemini") is PROVIDER
