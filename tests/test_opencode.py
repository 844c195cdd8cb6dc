"""OpenCode: logs of real versions against what their model server reported, and the pitfalls.

Each case holds a home folder as the program left it (databases as SQL, built on the way) and
``truth.json``: per call what was asked and answered, ``input`` there without the cache.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from session_usage import places
from session_usage.events import (
    START,
    Calls,
    Cursor,
    Meta,
    Problem,
    Request,
    Source,
    ToolCall,
    Turn,
    one_by_one,
)
from session_usage.providers import provider_for
from session_usage.providers.opencode import PROVIDER

DATA = Path(__file__).parent / "data" / "opencode"
CASES = sorted(folder.name for folder in DATA.iterdir())

ENV = {"dbpath": {"XDG_DATA_HOME": "xdgdata", "OPENCODE_DB": "custom.db"}}

# (case, number of the call in truth.json) -> why the log differs, and the status it shows
NEVER_WRITTEN = {
    ("error-429-retry", 2): "a refused try leaves no row",
    ("error-429-retry", 3): "a refused try leaves no row",
    ("error-500-retry", 3): "a refused try leaves no row",
}
WITHOUT_USAGE = {
    ("error-400", 3): ("error", False),
    ("error-stream", 3): ("error", False),
    ("error-stream", 4): ("error", False),
    ("error-stream", 5): ("error", False),
    ("error-stream", 6): ("ok", True),
    ("kill-mid", 3): ("ok", True),
    ("kill-end", 3): ("ok", True),
}
CACHE_WRITES_IN_INPUT = {("v1.1.65-models", 5), ("v1.2.27-models", 4), ("v1.15.13-models", 4)}
"""The OpenAI client of these versions reported no cache writes: they stand as plain input."""
REASONING_AS_ZERO = {
    ("migrated", 2),
    ("unmigrated", 2),
    ("v1.1.65", 3),
    ("v1.1.65-models", 2),
    ("v1.2.27-models", 2),
    ("v1.15.13", 2),
    ("v1.15.13-models", 2),
}
"""Of Anthropic's models these versions wrote 0 for reasoning; it is inside the output."""


def build(case: str, target: Path) -> Path:
    """A copy of the case's home with its databases made, in WAL mode as the program has them."""
    home = target / "home"
    shutil.copytree(DATA / case / "home", home)
    for script in home.rglob("*.sql"):
        with closing(sqlite3.connect(script.with_suffix(".db"))) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(script.read_text())
        script.unlink()
    return home


def sources(home: Path, env: dict[str, str] | None = None) -> list[Source]:
    where = places.Places(str(home), env or {}, "linux")
    return list(PROVIDER.sources(where))


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


def case_sources(case: str, tmp_path: Path) -> list[Source]:
    home = build(case, tmp_path)
    env = dict(ENV.get(case, {}))
    if "XDG_DATA_HOME" in env:
        env["XDG_DATA_HOME"] = str(home / env["XDG_DATA_HOME"])
    return sources(home, env)


@pytest.mark.parametrize("case", CASES)
def test_every_call_equals_what_the_server_reported(case: str, tmp_path: Path) -> None:
    found = sorted(
        best(read_all(case_sources(case, tmp_path))).values(), key=lambda r: r.started_ms
    )
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
        assert request.nano_aiu is None
        assert request.billing == "api"
        if number in WITHOUT_USAGE:
            assert (request.status, request.weak) == WITHOUT_USAGE[number], number
            assert request.input_tokens is None
            assert request.output_tokens is None
            continue
        used = call["usage"]
        writes = used["cache_write_5m"] + used["cache_write_1h"]
        whole = used["input"] + used["cache_read"] + writes
        assert (request.status, request.weak) == ("ok", False)
        assert request.input_tokens == whole, number
        assert request.cache_read_tokens == used["cache_read"], number
        expected = 0 if number in CACHE_WRITES_IN_INPUT else writes
        assert request.cache_write_tokens == expected, number
        assert request.output_tokens == used["output"], number
        expected = 0 if number in REASONING_AS_ZERO else used["reasoning"]
        assert request.reasoning_tokens == expected, number


@pytest.mark.parametrize("case", CASES)
def test_narrow_and_lean_reading_find_the_same_calls(case: str, tmp_path: Path) -> None:
    found = case_sources(case, tmp_path)
    lean = best(read_all(found, full=False))
    totals = best(list(one_by_one(e for source in found for e in PROVIDER.totals(source))))
    assert totals == lean
    assert totals == {key: r._replace(turn=None) for key, r in best(read_all(found)).items()}
    databases = [source for source in found if source.kind == "database"]
    whole = best(read_all(databases))
    for session in {request.session for request in whole.values()}:
        narrow = best(read_all(databases, session=session))
        assert narrow == {key: r for key, r in whole.items() if r.session == session}


@pytest.mark.parametrize("case", CASES)
def test_C14_everything_belongs_to_this_agent(case: str, tmp_path: Path) -> None:
    events = [e for e in read_all(case_sources(case, tmp_path)) if type(e) is not Cursor]
    assert {event.agent for event in events} == {"opencode"}


def test_a_case_is_described(tmp_path: Path) -> None:
    events = read_all(case_sources("multi-turn", tmp_path))
    (meta,) = of(Meta, events)
    assert meta.title == "Mock session title"
    assert (meta.workspace, meta.project) == ("/home/dev/acme-api", "/home/dev/acme-api")
    assert meta.version == "1.18.33"
    assert meta.model == "free-model"
    assert (meta.created_ms, meta.updated_ms) == (1795168469100, 1795168498314)
    requests = list(best(events).values())
    assert {r.session for r in requests} == {meta.session}
    assert [r.provider for r in requests[:5:4]] == ["anthropic", "openai"]
    turns = of(Turn, events)
    assert len(turns) == 5
    assert {r.turn for r in requests} == {turn.key for turn in turns}
    tools = of(ToolCall, events)
    assert [tool.ok for tool in tools] == [True] * len(tools)
    assert {tool.name for tool in tools} == {"bash", "read"}
    assert not of(Problem, events)


def test_C13_subagents_count_once_under_their_parent(tmp_path: Path) -> None:
    events = read_all(case_sources("subagent", tmp_path))
    requests = best(events)
    (parent,) = {request.session for request in requests.values()}
    by_agent: dict[tuple[str, ...], int] = {}
    for request in requests.values():
        by_agent[request.subagent] = by_agent.get(request.subagent, 0) + 1
    assert by_agent == {(): 2, ("general",): 2, ("explore",): 2}
    names = {pair for meta in of(Meta, events) for pair in meta.names}
    assert {name for _, name in names} == {"general", "explore"}
    assert {child for child, _ in names} == {
        request.subagent_id for request in requests.values() if request.subagent
    }
    assert [meta.title for meta in of(Meta, events) if meta.title] == ["Mock session title"]
    assert len(of(Turn, events)) == 1
    assert {meta.session for meta in of(Meta, events)} == {parent}


def test_a_migrated_session_is_the_same_in_both_storages(tmp_path: Path) -> None:
    database, tree = case_sources("migrated", tmp_path)
    old, new = best(read_all([tree])), best(read_all([database]))
    assert set(old) < set(new)
    for key, request in old.items():
        same = new[key]._replace(source="tree", path=request.path, offset=0)
        assert same == request


def test_killed_calls_are_named_once_the_session_goes_on(tmp_path: Path) -> None:
    (source,) = case_sources("kill-mid", tmp_path)
    events = read_all([source])
    assert not of(Problem, events)  # it may still be running
    session = of(Meta, events)[0].session
    with closing(sqlite3.connect(source.path)) as connection:
        data = {"role": "assistant", "modelID": "m", "tokens": {"input": 5, "output": 6}}
        add_message(connection, "msg_zzz", session, 1795168999000, data)
    problems = of(Problem, list(PROVIDER.read(source, events[-1])))
    assert [(problem.kind, problem.session) for problem in problems] == [("gap", session)]


# --- databases made by hand: what no recorded case holds ---

SCHEMA = """
CREATE TABLE project(id TEXT PRIMARY KEY, worktree TEXT, vcs TEXT);
CREATE TABLE session(id TEXT PRIMARY KEY, project_id TEXT, parent_id TEXT, directory TEXT,
    title TEXT, version TEXT, time_created INTEGER, time_updated INTEGER);
CREATE TABLE message(id TEXT PRIMARY KEY, session_id TEXT, time_created INTEGER,
    time_updated INTEGER, data TEXT);
CREATE TABLE part(id TEXT PRIMARY KEY, message_id TEXT, session_id TEXT, time_created INTEGER,
    time_updated INTEGER, data TEXT);
"""
MODERN = """
CREATE TABLE session_v2(id TEXT PRIMARY KEY, project_id TEXT, parent_id TEXT, directory TEXT,
    title TEXT, version TEXT, fork_session_id TEXT, time_created INTEGER, time_updated INTEGER);
CREATE TABLE session_message(id TEXT PRIMARY KEY, session_id TEXT, type TEXT, seq INTEGER,
    time_created INTEGER, time_updated INTEGER, data TEXT);
"""


def tokens(fresh: int, output: int, reasoning: int = 0, read: int = 0, write: int = 0) -> dict:
    cache = {"read": read, "write": write}
    return {"input": fresh, "output": output, "reasoning": reasoning, "cache": cache}


NOTHING = tokens(0, 0)


def answer(used: dict, at: int = 0, **more: object) -> dict:
    time = {"created": at, "completed": at + 9}
    base = {"role": "assistant", "modelID": "claude-sonnet-4-5", "providerID": "anthropic"}
    return {**base, "tokens": used, "time": time, **more}


def add_session(
    connection: sqlite3.Connection, name: str, created: int, table: str = "session", **more: object
) -> None:
    row = {"id": name, "version": "1.18.33", "time_created": created, "time_updated": created}
    row.update(more)
    marks = ",".join("?" * len(row))
    connection.execute(f"INSERT INTO {table}({','.join(row)}) VALUES({marks})", (*row.values(),))
    connection.commit()


def add_message(
    connection: sqlite3.Connection,
    name: str,
    session: str,
    at: int,
    data: object,
    updated: int | None = None,
) -> None:
    text = data if isinstance(data, str) else json.dumps(data)
    connection.execute(
        "INSERT OR REPLACE INTO message(id, session_id, time_created, time_updated, data)"
        " VALUES(?,?,?,?,?)",
        (name, session, at, updated or at, text),
    )
    connection.commit()


def add_part(
    connection: sqlite3.Connection, name: str, message: str, session: str, data: dict
) -> None:
    row = (name, message, session, 1, 1, json.dumps(data))
    connection.execute("INSERT INTO part VALUES(?,?,?,?,?,?)", row)
    connection.commit()


@pytest.fixture
def made(tmp_path: Path):
    """(connection, source) of an empty database of our own making."""
    path = tmp_path / "opencode.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(SCHEMA)
        yield connection, Source("opencode", "database", str(path), None)


def test_C12_a_fork_copies_rows_that_count_once(made) -> None:
    connection, source = made
    add_session(connection, "ses_a", 1000)
    add_message(connection, "msg_a0", "ses_a", 1001, {"role": "user"})
    add_message(connection, "msg_a1", "ses_a", 1002, answer(tokens(10, 20, read=5), 1002))
    add_message(connection, "msg_a2", "ses_a", 1003, answer(tokens(11, 21), 1003))
    add_part(
        connection, "prt_a", "msg_a1", "ses_a", {"type": "tool", "tool": "bash", "callID": "c"}
    )
    for fork, born in (("ses_b", 2000), ("ses_c", 3000)):
        add_session(connection, fork, born, title="A (fork)")
        for number in (1, 2):
            used = tokens(10, 20, read=5) if number == 1 else tokens(11, 21)
            data = answer(used, 1001 + number)
            add_message(connection, f"msg_{fork}{number}", fork, 1001 + number, data, born)
        copy = {"type": "tool", "tool": "bash", "callID": "c"}
        add_part(connection, f"prt_{fork}", f"msg_{fork}1", fork, copy)
        own = answer(tokens(7, 8), born + 5)
        add_message(connection, f"msg_{fork}9", fork, born + 5, own)
    events = read_all([source])
    requests = best([event for event in events if not getattr(event, "copied", False)])
    assert sorted(requests) == ["msg_a1", "msg_a2", "msg_ses_b9", "msg_ses_c9"]
    copies = [event for event in of(Request, events) if event.copied]
    assert {(copy.key, copy.session) for copy in copies} == {
        ("msg_a1", "ses_a"),
        ("msg_a2", "ses_a"),
    }
    assert len(copies) == 4
    assert {meta.session: meta.origin for meta in of(Meta, events)} == {
        "ses_a": None,
        "ses_b": "ses_a",
        "ses_c": "ses_a",
    }
    assert {tool.key for tool in of(ToolCall, events)} == {"msg_a1:c"}


def test_C12_copies_of_a_deleted_session_count_once(made) -> None:
    connection, source = made
    for fork, born in (("ses_b", 2000), ("ses_c", 3000)):
        add_session(connection, fork, born)
        add_message(connection, f"msg_{fork}", fork, 1002, answer(tokens(10, 20), 1002), born)
    requests = best(read_all([source]))
    assert [(r.key, r.input_tokens) for r in requests.values()] == [("msg_ses_b", 10)]


def test_C12_a_row_older_than_its_session_without_an_original_is_its_own(made) -> None:
    connection, source = made  # the clock was set back between the two
    add_session(connection, "ses_a", 1000)
    add_message(connection, "msg_a", "ses_a", 990, answer(tokens(10, 20), 990))
    add_session(connection, "ses_b", 900)
    add_message(connection, "msg_b", "ses_b", 990, answer(tokens(1, 2), 990))
    requests = best(read_all([source]))
    assert {(r.key, r.session, r.copied) for r in requests.values()} == {
        ("msg_a", "ses_a", False),
        ("msg_b", "ses_b", False),
    }


@pytest.mark.parametrize(
    ("vendor", "billing", "provider"),
    [
        ("github-copilot", "copilot", "copilot"),
        ("github-copilot-enterprise", "copilot", "copilot"),
        ("anthropic", "api", "anthropic"),
        ("google", "api", "gcp.gemini"),
        ("openrouter", "api", "openrouter"),
    ],
)
def test_C12_a_cost_of_zero_is_no_bill(made, vendor: str, billing: str, provider: str) -> None:
    connection, source = made
    add_session(connection, "ses_a", 1)
    data = answer(tokens(10, 20), providerID=vendor, cost=0)
    add_message(connection, "msg_a", "ses_a", 2, data)
    (request,) = best(read_all([source])).values()
    assert (request.billing, request.provider, request.nano_aiu) == (billing, provider, None)


@pytest.mark.parametrize(
    ("version", "used", "output"),
    [
        ("1.2.27", {**tokens(10, 20, 5, 3, 4), "total": 37}, 20),
        ("1.18.33", {**tokens(10, 20, 5, 3, 4), "total": 42}, 25),
        ("1.2.27", {**tokens(10, 20, 5, 3, 4), "total": 42}, 25),  # begun in 1.2, gone on in 1.18
        ("1.2.27", tokens(10, 20, 5), 20),
        ("1.18.33", tokens(10, 20, 5), 25),
        (None, tokens(10, 20, 5), 25),
        ("1.18.33", {**tokens(10, 20, 5, 3, 4), "total": 7}, 25),  # no total of these parts
    ],
)
def test_C9_reasoning_is_a_part_of_output_in_every_version(
    made, version: str, used: dict, output: int
) -> None:
    connection, source = made
    add_session(connection, "ses_a", 1, version=version)
    add_message(connection, "msg_a", "ses_a", 2, answer(used))
    (request,) = best(read_all([source])).values()
    assert (request.output_tokens, request.reasoning_tokens) == (output, 5)


@pytest.mark.parametrize(
    ("data", "status", "weak"),
    [
        (answer(NOTHING, error={"name": "APIError"}), "error", False),
        (answer(NOTHING, error={"name": "MessageAbortedError"}), "cancelled", False),
        (answer(NOTHING, time={"created": 1}), "ok", True),
        ({"role": "assistant", "modelID": "m"}, "ok", True),
    ],
)
def test_R1_a_call_without_usage_is_a_request_without_figures(
    made, data: dict, status: str, weak: bool
) -> None:
    connection, source = made
    add_session(connection, "ses_a", 1)
    add_message(connection, "msg_a", "ses_a", 2, data)
    (request,) = best(read_all([source])).values()
    assert (request.status, request.weak) == (status, weak)
    assert (request.input_tokens, request.output_tokens) == (None, None)


def test_a_shell_command_is_no_call(made) -> None:
    connection, source = made
    add_session(connection, "ses_a", 1)
    add_message(connection, "msg_a", "ses_a", 2, answer(NOTHING))
    add_part(connection, "prt_a", "msg_a", "ses_a", {"type": "tool", "tool": "bash", "callID": "c"})
    events = read_all([source])
    assert not best(events)
    assert [tool.name for tool in of(ToolCall, events)] == ["bash"]


def test_every_step_of_an_old_message_is_a_call(made) -> None:
    connection, source = made
    add_session(connection, "ses_a", 1, version="0.9.0")
    add_message(connection, "msg_a", "ses_a", 2, answer(tokens(30, 3)))
    for number in (1, 2, 3):
        start = {"type": "step-start"}
        add_part(connection, f"prt_{number}a", "msg_a", "ses_a", start)
        if number != 2:  # the second was broken off
            finish = {"type": "step-finish", "tokens": tokens(number * 10, number)}
            add_part(connection, f"prt_{number}b", "msg_a", "ses_a", finish)
    requests = best(read_all([source]))
    assert sorted(
        (r.key, r.status, r.input_tokens, r.output_tokens) for r in requests.values()
    ) == [
        ("msg_a", "ok", 10, 1),
        ("msg_a#1", "error", None, None),
        ("msg_a#2", "ok", 30, 3),
    ]


def test_calls_that_differ_in_figures_only_come_together(made) -> None:
    connection, source = made
    add_session(connection, "ses_a", 1)
    add_session(connection, "ses_b", 1, parent_id="ses_a", title="x (@explore subagent)")
    for number, session in enumerate(["ses_a", "ses_b", "ses_a", "ses_a"]):
        data = answer(tokens(10 + number, 20), parentID=f"msg_{number}")
        add_message(connection, f"msg_{number}", session, 2 + number, data)
    add_message(connection, "msg_9", "ses_a", 9, answer(NOTHING, time={"created": 9}))
    events = list(PROVIDER.totals(source))
    found = {calls.shared.subagent: [row[3] for row in calls.rows] for calls in of(Calls, events)}
    assert found == {(): [10, 12, 13], ("explore",): [11]}
    assert {calls.shared.session for calls in of(Calls, events)} == {"ses_a"}
    assert [request.key for request in of(Request, events)] == ["msg_9"], "no usage of its own"


ODD = [
    {"input": 10.0, "output": 5},
    {"input": 10.5, "output": 5},
    {"input": -10, "output": 5},
    {"input": True, "output": 5},
    {"input": "10", "output": 5},
    {"input": None, "output": 5},
    {"input": 10**19, "output": 5},
    {"output": 5, "cache": {"write": 7}},
    {"cache": [], "total": 12, "reasoning": 3, "output": 5, "input": 4},
    {"input": 10},
    [],
    None,
]


def test_odd_messages_say_the_same_in_totals(made) -> None:
    connection, source = made
    add_session(connection, "ses_a", 1)
    for number, odd in enumerate(ODD):
        add_message(connection, f"msg_{number}a", "ses_a", number, answer(odd, modelID=["m"]))
        add_message(connection, f"msg_{number}b", "ses_a", number, answer(odd, path=5, summary=1))
    doubled = '{"role":"assistant","tokens":{"input":1},"tokens":{"input":2,"output":1}}'
    glued = '{"role":"assistant","tokens":{"in{"role":"assistant","tokens":{"input":2}}'
    for name, written in (("doubled", doubled), ("glued", glued)):
        add_message(connection, f"msg_{name}", "ses_a", 90, answer(tokens(1, 1)))
        connection.execute("UPDATE message SET data = ? WHERE id = ?", (written, f"msg_{name}"))
    connection.commit()
    full, totals = read_all([source]), list(one_by_one(PROVIDER.totals(source)))
    assert best(totals) == {key: r._replace(turn=None) for key, r in best(full).items()}
    assert of(Problem, totals) == of(Problem, full)
    assert best(totals)["msg_doubled"].input_tokens == 2
    assert "msg_glued" not in best(totals)


USUAL = answer(
    {**tokens(10, 5, 2, 30, 4), "total": 51},
    parentID="msg_0",
    mode="build",
    path={"cwd": "/home/dev/acme", "root": "/"},
    finish="stop",
)
PLACES = [(name,) for name in (*USUAL, "error", "summary")]
PLACES += [("tokens", name) for name in USUAL["tokens"]]
PLACES += [("tokens", "cache", "read"), ("tokens", "cache", "write"), ("path", "cwd")]


@pytest.mark.parametrize("place", PLACES, ids=".".join)
def test_a_usual_answer_with_one_odd_value_says_the_same_in_totals(made, place: tuple) -> None:
    connection, source = made
    add_session(connection, "ses_a", 5)
    values = (None, True, "", "7", "x", 0, -1, 7, 7.5, 1 << 50, 10**17, 10**19, [], {}, ["x"])
    for number, value in enumerate((USUAL, *values, {"name": "x", "role": "user"})):
        data = json.loads(json.dumps(USUAL))
        inner = data
        for name in place[:-1]:
            inner = inner[name]
        if number:
            inner[place[-1]] = value
        add_message(connection, f"msg_{number}a", "ses_a", 9, data)
        add_message(connection, f"msg_{number}b", "ses_b", 9, data)  # of no session known
        inner.pop(place[-1], None)
        add_message(connection, f"msg_{number}c", "ses_a", 4, data)  # older than its session
        add_message(connection, f"msg_{number}d", "ses_a", 9, data)
    connection.execute("UPDATE message SET time_created = NULL WHERE id = 'msg_0a'")
    connection.commit()
    full, totals = read_all([source]), list(one_by_one(PROVIDER.totals(source)))
    assert best(totals) == {key: r._replace(turn=None) for key, r in best(full).items()}
    for kind in (Problem, Meta):
        assert of(kind, totals) == of(kind, full)


@pytest.mark.parametrize(
    ("parts", "calls"),
    [
        (['{"type":"step-start"}'], 1),
        (['{"type":"step-start"}', '{"type":"step-finish"}'], 1),
        (['{"type":"step-start"}', '{"type":"step-start","snapshot":"a"}'], 2),
        (['{"type":"step-finish"}', '{ "type": "step-finish" }'], 2),
        (['{"type":"step-start"}', '{"id":1,"type":"step-start"}'], 2),
        (['{"type":"step-start"}', '{"type":"text","text":"\\"step-start\\""}'], 1),
        (['{"type":"step-start"}', '{"type":"agent","name":"step-start"}'], 1),
        (['{"type":"step-start"}', '{"type":"step-starting"}', '{"type":"step.start"}'], 1),
        (['{"type":"step-start"}', '{"type":"step-', "", "7", '{"type":"'], 1),
    ],
)
def test_steps_are_counted_by_their_parts(made, parts: list[str], calls: int) -> None:
    connection, source = made
    add_session(connection, "ses_a", 1)
    add_message(connection, "msg_a", "ses_a", 2, USUAL)
    for number, part in enumerate(parts):
        add_part(connection, f"prt_{number}", "msg_a", "ses_a", {})
        connection.execute("UPDATE part SET data = ? WHERE id = ?", (part, f"prt_{number}"))
    connection.commit()
    assert len(of(Request, list(one_by_one(PROVIDER.totals(source))))) == calls
    assert len(of(Request, read_all([source]))) == calls


@pytest.mark.parametrize("form", ['{"type": %s}', '{"type":%s,"a":1}', '{"a":1,"type":%s}'])
def test_steps_are_found_wherever_a_part_says_that_it_is_one(made, form: str) -> None:
    connection, source = made
    add_session(connection, "ses_a", 1)
    add_message(connection, "msg_a", "ses_a", 2, answer(tokens(10, 5)))
    for number in range(2):
        add_part(connection, f"prt_{number}", "msg_a", "ses_a", {})
    connection.execute("UPDATE part SET data = ?", (form % '"step-start"',))
    connection.commit()
    assert len(best(list(one_by_one(PROVIDER.totals(source))))) == 2


def test_a_finished_step_counts_though_its_row_was_never_updated(made) -> None:
    connection, source = made
    add_session(connection, "ses_a", 1)
    add_message(connection, "msg_a", "ses_a", 2, answer(NOTHING, time={"created": 2}))
    add_part(connection, "prt_1", "msg_a", "ses_a", {"type": "step-start"})
    finish = {"type": "step-finish", "tokens": tokens(10, 20)}
    add_part(connection, "prt_2", "msg_a", "ses_a", finish)
    (request,) = best(read_all([source])).values()
    assert (request.input_tokens, request.output_tokens, request.weak) == (10, 20, False)


def test_compaction_is_billed_and_told_apart(made) -> None:
    connection, source = made
    add_session(connection, "ses_a", 1)
    data = answer(tokens(10, 20), summary=True, mode="compaction", agent="compaction")
    add_message(connection, "msg_a", "ses_a", 2, data)
    (request,) = best(read_all([source])).values()
    assert (request.surface, request.input_tokens) == ("compaction", 10)


def test_F3_reading_goes_on_with_new_and_updated_rows(made) -> None:
    connection, source = made
    day = 86_400_000
    add_session(connection, "ses_a", 1)
    add_message(connection, "msg_0", "ses_a", 2, answer(tokens(1, 1)))
    add_message(connection, "msg_1", "ses_a", day, answer(NOTHING, time={"created": day}))
    events = read_all([source])
    assert best(events)["msg_1"].weak
    first = json.loads(json.dumps(events[-1]))  # cursors are stored as JSON
    cursor = Cursor(first[0], tuple(first[1]))
    # the row is updated where it stands, a step is retried without a trace in the row
    add_part(connection, "prt_1", "msg_1", "ses_a", {"type": "step-start"})
    add_part(connection, "prt_2", "msg_1", "ses_a", {"type": "step-start"})
    events += PROVIDER.read(source, cursor)
    assert best(events)["msg_1#1"].weak
    done = {"type": "step-finish", "tokens": tokens(10, 20)}
    add_part(connection, "prt_3", "msg_1", "ses_a", done)
    connection.execute(
        "UPDATE message SET data = ?, time_updated = ? WHERE id = 'msg_1'",
        (json.dumps(answer(tokens(10, 20), day)), day + 5),
    )
    add_message(connection, "msg_2", "ses_a", day * 2, answer(tokens(11, 21)))
    later = list(PROVIDER.read(source, events[-1]))
    assert {request.key for request in of(Request, later)} == {"msg_1", "msg_1#1", "msg_2"}
    assert best(events + later) == best(read_all([source]))
    # a row with an old time (a clock set back, an import) is new by its row number
    add_message(connection, "msg_3", "ses_a", 5, answer(tokens(12, 22)))
    assert "msg_3" in best(list(PROVIDER.read(source, later[-1])))
    # another database in the same place is read from its beginning
    connection.execute("DELETE FROM message WHERE id IN ('msg_1', 'msg_2', 'msg_3')")
    connection.commit()
    assert set(best(list(PROVIDER.read(source, later[-1])))) == {"msg_0"}


def test_modern_tables_win_and_old_rows_stay(made) -> None:
    connection, source = made
    connection.executescript(MODERN)
    add_session(connection, "ses_a", 1, version="1.2.27")
    add_session(connection, "ses_a", 1, "session_v2", version="1.2.27", title="Moved")
    before = {**tokens(10, 20, 5), "total": 30}
    add_message(connection, "msg_a", "ses_a", 2, answer(before))
    add_message(connection, "msg_b", "ses_a", 3, answer(tokens(1, 2)))
    model = {"id": "claude-sonnet-4-5", "providerID": "anthropic"}
    rows = [
        ("msg_a", "assistant", {"model": model, "tokens": tokens(10, 20, 5)}),
        ("msg_c", "assistant", {"model": model, "tokens": tokens(7, 8)}),
        ("msg_d", "compaction", {"model": model, "tokens": tokens(3, 4)}),
        ("msg_e", "user", {"text": "x"}),
        ("evt_f", "agent-switched", {"agent": "build"}),
    ]
    for number, (name, kind, data) in enumerate(rows):
        connection.execute(
            "INSERT INTO session_message VALUES(?,?,?,?,?,?,?)",
            (name, "ses_a", kind, number, 2 + number, 2 + number, json.dumps(data)),
        )
    connection.commit()
    events = read_all([source])
    assert len(of(Request, events)) == len(best(events)) == 4
    found = {r.key: (r.model, r.output_tokens, r.surface) for r in best(events).values()}
    assert found["msg_a"] == ("claude-sonnet-4-5", 20, "chat")  # output held the reasoning then
    assert found["msg_c"][1:] == (8, "chat")
    assert found["msg_d"][1:] == (4, "compaction")
    assert [turn.key for turn in of(Turn, events)] == ["msg_e"]
    assert [meta.title for meta in of(Meta, events)] == ["Moved"]
    assert best(events + list(PROVIDER.read(source, events[-1]))) == best(events)


def test_a_child_of_a_child_carries_the_whole_path(made) -> None:
    connection, source = made
    add_session(connection, "ses_a", 1)
    add_session(connection, "ses_b", 2, parent_id="ses_a", title="Look (@general subagent)")
    add_session(connection, "ses_c", 3, parent_id="ses_b", title="Look (@explore subagent)")
    add_session(connection, "ses_x", 3, parent_id="ses_gone", title="Untitled")
    for number, session in enumerate(("ses_c", "ses_x")):
        add_message(connection, f"msg_{number}", session, 9, answer(tokens(1, 2)))
    requests = list(best(read_all([source])).values())
    assert [(r.session, r.subagent, r.subagent_id) for r in requests] == [
        ("ses_a", ("general", "explore"), "ses_c"),
        ("ses_gone", ("subagent",), "ses_x"),
    ]
    narrow = best(read_all([source], session="ses_a"))
    assert list(narrow) == ["msg_0"]


def test_F8_damaged_rows_cost_only_themselves(made) -> None:
    connection, source = made
    add_session(connection, "ses_a", 1)
    add_message(connection, "msg_a", "ses_a", 2, '{"role":"assistant","tok')
    add_message(connection, "msg_b", "ses_a", 3, answer({**tokens(10, 20), "input": -4}))
    add_message(connection, "msg_c", "ses_a", 4, answer(tokens(7, 8)))
    connection.execute("INSERT INTO message VALUES(NULL, NULL, 'x', NULL, NULL)")
    connection.execute("INSERT INTO message VALUES('msg_d', 'ses_a', 5, 5, x'00ff')")
    connection.commit()
    events = read_all([source])
    found = {r.key: (r.input_tokens, r.output_tokens) for r in best(events).values()}
    assert found == {"msg_b": (None, 20), "msg_c": (7, 8)}
    assert [problem.kind for problem in of(Problem, events)] == ["malformed"] * 4


def test_A15_missing_tables_and_columns(tmp_path: Path) -> None:
    path = tmp_path / "opencode.db"
    source = Source("opencode", "database", str(path), None)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE todo(id)")
        connection.commit()
        events = read_all([source])
        assert [type(event) for event in events] == [Problem, Cursor]
        assert events[0].kind == "drift"
        connection.execute("CREATE TABLE message(id TEXT, session_id TEXT, data TEXT)")
        connection.execute(
            "INSERT INTO message VALUES('msg_a', 'ses_a', ?)", (json.dumps(answer(tokens(1, 2))),)
        )
        connection.execute(
            "INSERT INTO message VALUES('msg_b', 'ses_a', ?)",
            (json.dumps(answer(NOTHING, time={})),),
        )
        connection.commit()
    events = read_all([source])
    assert {key: r.input_tokens for key, r in best(events).items()} == {"msg_a": 1, "msg_b": None}
    assert best(list(PROVIDER.read(source, events[-1]))) == best(events)


def test_A15_unreadable_databases_are_problems(made, tmp_path: Path, monkeypatch) -> None:
    connection, source = made
    monkeypatch.setattr("session_usage.sqlite.BUSY_SECONDS", 0.0)
    add_session(connection, "ses_a", 1)
    at = Cursor(7, (1, 2, 3, 4))
    missing = source._replace(path=str(tmp_path / "none.db"))
    corrupt = source._replace(path=str(tmp_path / "corrupt.db"))
    Path(corrupt.path).write_bytes(b"SQLite format 3\0" + b"\xff" * 4000)
    damaged = source._replace(path=str(tmp_path / "damaged.db"))
    with closing(sqlite3.connect(damaged.path)) as other:
        other.execute("CREATE TABLE message(id, session_id, data)")
        other.commit()
    data = Path(damaged.path).read_bytes()
    Path(damaged.path).write_bytes(data.replace(b"CREATE TABLE", b"CREATE \xb8\xff\xfeLE"))
    locked = source._replace(path=str(tmp_path / "locked.db"))
    with closing(sqlite3.connect(locked.path)) as other:
        other.execute("CREATE TABLE message(id, session_id, data)")
        other.commit()
        other.execute("BEGIN EXCLUSIVE")
        for broken, kind in (
            (missing, "missing"),
            (corrupt, "malformed"),
            (damaged, "malformed"),
            (locked, "locked"),
        ):
            problem, cursor = PROVIDER.read(broken, at)
            assert (problem.kind, problem.agent, cursor) == (kind, "opencode", at)


def test_R18_a_live_database_is_read_with_its_log(made) -> None:
    connection, source = made
    add_session(connection, "ses_a", 1)
    add_message(connection, "msg_a", "ses_a", 2, answer(tokens(10, 20)))
    folder = Path(source.path).parent
    before = {file.name: file.read_bytes() for file in folder.iterdir() if "shm" not in file.name}
    assert before["opencode.db-wal"]
    assert list(best(read_all([source]))) == ["msg_a"]
    after = {file.name: file.read_bytes() for file in folder.iterdir() if "shm" not in file.name}
    assert after == before


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, [".local/share/opencode/opencode-dev.db", ".local/share/opencode/opencode.db"]),
        ({"XDG_DATA_HOME": "{home}/x"}, ["x/opencode/opencode.db"]),
        ({"OPENCODE_DB": "mine.db"}, [".local/share/opencode/mine.db"]),
        ({"OPENCODE_DB": "{home}/other.db"}, ["other.db"]),
        ({"OPENCODE_DB": ":memory:"}, []),
    ],
)
def test_places_follow_the_program(tmp_path: Path, env: dict[str, str], expected: list) -> None:
    for name in (
        ".local/share/opencode/opencode.db",
        ".local/share/opencode/opencode-dev.db",
        ".local/share/opencode/mine.db",
        ".local/share/opencode/other.sqlite",
        "x/opencode/opencode.db",
        "other.db",
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    env = {name: value.format(home=tmp_path) for name, value in env.items()}
    assert [source.path for source in sources(tmp_path, env)] == [
        str(tmp_path / name) for name in expected
    ]
    given = places.Places("/nowhere", env, "linux", roots=(("opencode", f"{tmp_path}/x/opencode"),))
    assert [Path(source.path).name for source in PROVIDER.sources(given)] == ["opencode.db"]


def test_growth_of_the_log_shows_in_the_source(made) -> None:
    connection, source = made
    where = places.Places("/", {}, "linux", roots=(("opencode", str(Path(source.path).parent)),))
    (before,) = PROVIDER.sources(where)
    add_session(connection, "ses_a", 1)
    (after,) = PROVIDER.sources(where)
    assert after.size > before.size


# --- the JSON tree ---


def tree(
    root: Path, session: str, created: int, messages: dict[str, dict], **more: object
) -> Source:
    info = {"id": session, "version": "1.1.65", "time": {"created": created, "updated": created}}
    folder = root / "storage" / "session" / "prj"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{session}.json").write_text(json.dumps({**info, **more}))
    place = root / "storage" / "message" / session
    place.mkdir(parents=True, exist_ok=True)
    for name, data in messages.items():
        (place / f"{name}.json").write_text(json.dumps(data))
    return Source("opencode", "tree", str(place), session)


def message_id(at: int, tail: str) -> str:
    return f"msg_{(at * 4096) & ((1 << 48) - 1):012x}{tail}"


def test_C12_a_fork_in_the_tree_counts_once(tmp_path: Path) -> None:
    born = 1795168688596
    name = message_id(born + 5, "a")
    data = answer(tokens(10, 20), born + 5)
    old = tree(tmp_path, "ses_a", born, {name: {**data, "id": name}})
    copy = message_id(born + 9000, "b")
    new = tree(tmp_path, "ses_b", born + 8999, {copy: {**data, "id": copy}})
    (original,) = of(Request, read_all([old]))
    events = read_all([new])
    (copied,) = of(Request, events)
    assert (copied.key, copied.session, copied.copied) == (original.key, "ses_a", True)
    assert [meta.origin for meta in of(Meta, events)] == ["ses_a"]


def test_the_tree_names_subagents_by_title(tmp_path: Path) -> None:
    tree(tmp_path, "ses_a", 1, {})
    more = {"parentID": "ses_a", "title": "Look (@explore subagent)"}
    child = tree(tmp_path, "ses_b", 2, {"msg_b": answer(tokens(1, 2), 3)}, **more)
    (request,) = of(Request, read_all([child]))
    assert (request.session, request.subagent) == ("ses_a", ("explore",))


def test_damaged_files_of_the_tree_cost_only_themselves(tmp_path: Path) -> None:
    source = tree(tmp_path, "ses_a", 1, {"msg_a": answer(tokens(1, 2), 3)})
    (Path(source.path) / "msg_b.json").write_text('{"role": "assist')
    shutil.rmtree(tmp_path / "storage" / "session")
    events = read_all([source])
    assert list(best(events)) == ["msg_a"]
    assert [problem.kind for problem in of(Problem, events)] == ["malformed"]
    gone = read_all([source._replace(path=str(tmp_path / "gone"))])
    assert [type(event) for event in gone] == [Problem, Cursor]
    assert gone[0].kind == "missing"


def test_the_agent_is_registered() -> None:
    assert provider_for("opencode") is PROVIDER
    assert list(PROVIDER.read(Source("opencode", "database", "/nowhere", None)))[-1] == START
