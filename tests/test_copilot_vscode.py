"""Copilot Chat in VS Code: a recorded user-data folder, the cases of its formats, the pitfalls.

``live-1.139.1`` was written by real windows; ``expected.json`` has its figures and what VS Code
itself displayed. In the three runs the model server answered request n (from 1) with input
12345 + n, cached 8192, output 321 + n and 4521000000 + n nano-AIU.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import cases
import pytest

from session_usage import pricing
from session_usage import sqlite as databases
from session_usage.events import Counter, Cursor, Meta, Problem, Request, Source, Turn
from session_usage.places import Places
from session_usage.providers import provider_for
from session_usage.providers.copilot_vscode.catalogue import local_path
from session_usage.reconcile import Session
from session_usage.report import DIMENSIONS, Fold, session_report, times
from session_usage.sessions import Library, listed

PRICES = pricing.load()
LIVE = "live-1.139.1"
EXPECTED = cases.truth("vscode", LIVE)
SESSIONS = sorted(name for name in EXPECTED if not name.startswith("_"))
RUNS = {
    "run1-byok": (range(1, 12), {1, 2, 6, 9}),
    "run5-otel-outfile": (range(1, 12), {1, 2, 6, 9}),
    "run6-capi-basic": ((1, 5, 6, 11, 16), {1, 5, 6}),
}
"""Case -> the numbers of the answers that were given, and those of background calls."""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> dict[str | None, Session]:
    places = cases.lay("vscode", LIVE, tmp_path_factory.mktemp("live"))
    return {session.id: session for session in cases.everything(places)}


def said(session: Session) -> dict[str, tuple[int | None, int | None]]:
    return {total.source: (total.requests, total.nano_aiu) for total in session.totals}


def totals(sessions: list[Session], by: tuple[str, ...] = ()) -> dict[str, Any]:
    fold = Fold(PRICES, by)
    for session in sessions:
        fold.add(session)
    return fold.wire()


# --- the recorded folder ---


@pytest.mark.parametrize("name", SESSIONS)
def test_every_session_equals_its_log(name: str, live: dict[str | None, Session]) -> None:
    log = EXPECTED[name]["debugLog"]
    session = live[name]
    assert said(session)["debug-log"] == (log["llmRequests"], log["nanoAiu"])
    calls = session.requests
    assert len(calls) == log["llmRequests"]
    assert sum(call.input_tokens or 0 for call in calls) == log["input"]
    assert sum(call.output_tokens or 0 for call in calls) == log["output"]
    assert sum(call.cache_read_tokens or 0 for call in calls) == log["cached"]
    assert sum(call.status != "ok" for call in calls) == log["errored"]
    for model, row in log["byModel"].items():
        of = [call for call in calls if call.model == model]
        assert (len(of), sum(call.nano_aiu or 0 for call in of)) == (row["n"], row["nanoAiu"])
    assert ("truncated" in cases.kinds([session])) == bool(log["malformedLines"])


@pytest.mark.parametrize("name", SESSIONS)
def test_what_vs_code_itself_displays_can_be_shown_beside(
    name: str, live: dict[str | None, Session]
) -> None:
    views = said(live[name])
    panel = EXPECTED[name]["panelRule(dedupe by spanId+rIdx, first wins)"]
    assert views["vscode debug panel"] == (panel["modelTurns"], panel["nanoAiu"])
    cost = EXPECTED[name]["chatSession"]["sessionCostCredits"]
    assert views["vscode session cost"] == (None, round(cost * 1e9))
    seen = EXPECTED[name].get("observedInVSCodeUI", {})
    if "panelAIC" in seen:
        assert f"{(views['vscode debug panel'][1] or 0) / 1e9:.2f}" == seen["panelAIC"]
        assert views["vscode debug panel"][0] == seen["panelModelTurns"]
    if "sessionCost" in seen:
        assert f"{(views['vscode session cost'][1] or 0) / 1e9:.1f} credits" == seen["sessionCost"]


def test_the_total_of_all_sources(live: dict[str | None, Session]) -> None:
    assert cases.billed(live.values()) == 4_538_262_000_000
    background = live[None]
    assert cases.billed([background]) == 29_740_500_000
    assert {call.surface for call in background.requests} == {"background"}


def test_titles_and_places(live: dict[str | None, Session]) -> None:
    for name in SESSIONS:
        title = EXPECTED[name]["chatSession"]["title"]
        assert title is None or live[name].meta.title == title
    assert live["fbb0fa65-6999-4619-9647-8d05ca4c7266"].meta.version == "0.67.0"


@pytest.mark.parametrize("case", RUNS)
def test_every_answer_of_the_model_server_is_counted_once(case: str, tmp_path: Path) -> None:
    numbers, _ = RUNS[case]
    found = cases.everything(cases.lay("vscode", case, tmp_path))
    known = sorted(
        (call.nano_aiu, call.input_tokens, call.cache_read_tokens, call.output_tokens)
        for call in cases.requests(found)
    )
    assert known == [(4_521_000_000 + n, 12_345 + n, 8_192, 321 + n) for n in numbers]
    assert not [row for session in found for row in session.unattributed]
    assert not cases.problems(found)


KINDS = {
    "debug-logs": lambda path: "debug-logs" in path.parts,
    "chat": lambda path: path.parent.name.lower().endswith("chatsessions"),
    "spans": lambda path: path.name.startswith("agent-traces.db"),
    "catalogue": lambda path: path.name.startswith("session-store.db"),
}
SUBSETS = [kept for size in range(len(KINDS) + 1) for kept in itertools.combinations(KINDS, size)]


@pytest.mark.parametrize("case", [*RUNS, LIVE])
@pytest.mark.parametrize("kept", SUBSETS, ids="+".join)
def test_B5_any_subset_of_sources_gives_the_same_total_or_a_smaller_one(
    case: str, kept: tuple[str, ...], tmp_path: Path
) -> None:
    places = cases.lay("vscode", case, tmp_path)
    for path in list(tmp_path.rglob("*")):
        gone = any(test(path) for name, test in KINDS.items() if name not in kept)
        if gone and path.is_file():
            path.unlink()
    found = cases.everything(places)
    total = cases.billed(found)
    if case == LIVE:
        background, chats, logs = 29_740_500_000, 4_523_680_500_000, 603_255_000_000
        both = 4_508_521_500_000  # what only the logs know is in it: a removed turn
        if {"debug-logs", "chat"} <= set(kept):
            assert total == both + (background if "spans" in kept else 0)
        assert total <= 4_538_262_000_000
        assert "chat" in kept or "spans" in kept or total == (logs if "debug-logs" in kept else 0)
        assert chats > both
        return
    numbers, _ = RUNS[case]
    whole = sum(4_521_000_000 + n for n in numbers)
    background = {"run6-capi-basic": 13_563_000_012}.get(case, 18_084_000_018)
    if "spans" in kept:
        assert total == whole
    elif "debug-logs" in kept or "chat" in kept:
        assert total == whole - background
    else:
        assert total == 0
    # a chat alone has no calls: its turns are unattributed, never made into requests
    if kept == ("chat",):
        assert not cases.requests(found)
        assert all(row.reason for session in found for row in session.unattributed)


# --- small logs made by hand ---

ID = "aaaaaaaa-1111-4222-8333-444444444444"
OTHER = "bbbbbbbb-1111-4222-8333-444444444444"
T0 = 1_795_170_000_000


class Folder:
    """A user-data folder in the making."""

    def __init__(self, home: Path, product: str = "Code") -> None:
        self.home = home
        self.user = home / ".config" / product / "User"

    @property
    def places(self) -> Places:
        return Places(str(self.home), {}, "linux")

    def put(self, path: str, content: str | bytes) -> Path:
        target = self.user / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if type(content) is bytes else str(content).encode())
        return target

    def log(
        self, *lines: Any, session: str = ID, name: str = "main.jsonl", wsid: str = "w"
    ) -> Path:
        root = f"workspaceStorage/{wsid}/GitHub.copilot-chat"
        if wsid == "":
            root = "globalStorage/github.copilot-chat"
        return self.put(f"{root}/debug-logs/{session}/{name}", jsonl(*lines))

    def chat(self, *changes: Any, session: str = ID, ending: str = "jsonl") -> Path:
        return self.put(f"workspaceStorage/w/chatSessions/{session}.{ending}", jsonl(*changes))

    def sessions(self, full: bool = True) -> list[Session]:
        return cases.everything(self.places, full=full)

    def session(self, full: bool = True) -> Session:
        (session,) = self.sessions(full)
        return session


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def jsonl(*lines: Any) -> str:
    return "".join(
        (x if type(x) is str else json.dumps(x, separators=(",", ":"))) + "\n" for x in lines
    )


def line(kind: str, second: float, span: str = "", **more: Any) -> dict[str, Any]:
    told = {
        "ts": T0 + int(second * 1000), "dur": 0, "sid": ID, "type": kind, "name": kind,
        "spanId": span or f"{kind}-{second}", "status": "ok", "attrs": {},
    }  # fmt: skip
    return {**told, **more}


def began(second: float = 0, **attrs: Any) -> dict[str, Any]:
    return {"v": 1, **line("session_start", second, attrs={"copilotVersion": "0.67.0", **attrs})}


def call(second: float, nano: Any = 5_000, span: str = "", **more: Any) -> dict[str, Any]:
    attrs = {"model": "gpt-5.4", "inputTokens": 1000, "outputTokens": 50, "cachedTokens": 600}
    if nano is not None:
        attrs["copilotUsageNanoAiu"] = nano
    top = {name: more.pop(name) for name in ("sid", "status", "rIdx", "dur") if name in more}
    attrs.update(more)
    return line(
        "llm_request", second, span or f"{second:016.3f}", **{"dur": 900, **top}, attrs=attrs
    )


def named(child: str, label: str, second: float = 2) -> dict[str, Any]:
    attrs = {"childSessionId": child, "childLogFile": f"{label}-{child}.jsonl", "label": label}
    return line("child_session_ref", second, attrs=attrs)


def turn(second: float, credits: Any = None, **more: Any) -> dict[str, Any]:
    told = {
        "requestId": f"request_{second}", "timestamp": T0 + int(second * 1000), "elapsedMs": 900,
        "modelId": "copilot/gpt-5.4",
        "modelState": {"value": 1, "completedAt": T0 + int(second * 1000) + 900},
        "completionTokens": 50, "result": {"metadata": {"responseId": f"response-{second}"}},
    }  # fmt: skip
    if credits is not None:
        told["copilotCredits"] = credits
    return {**told, **more}


def opened(*turns: Any, **more: Any) -> dict[str, Any]:
    return {"kind": 0, "v": {"version": 3, "sessionId": ID, "requests": list(turns), **more}}


def amounts(session: Session) -> list[int | None]:
    return [request.nano_aiu for request in session.requests]


# --- cases 1 to 22: debug logs ---


def test_case_01_a_half_written_last_line_waits(folder: Folder) -> None:
    path = folder.log(began(), call(1, 10))
    size = path.stat().st_size
    whole = jsonl(call(2, 20)).encode()
    path.write_bytes(path.read_bytes() + whole[:90])
    source = Source("copilot-vscode", "debug-log", str(path), ID)
    first = cases.read(source)
    assert (len(cases.of(Request, first)), first[-1].offset) == (1, size)
    assert not cases.of(Problem, first)
    path.write_bytes(path.read_bytes()[:size] + whole)
    again = cases.read(source, at=first[-1])
    assert [request.nano_aiu for request in cases.of(Request, again)] == [20]


@pytest.mark.parametrize("head", ['56,"spanId":"x"}', '"llm_request","attrs":{"model":"x"}}', ""])
def test_case_02_a_log_cut_at_its_head_is_a_lower_bound(head: str, folder: Folder) -> None:
    folder.log(*([head] if head else ["{}"]), call(1, 10), call(2, 20))
    session = folder.session()
    assert cases.billed([session]) == 30
    assert "truncated" in cases.kinds([session])


def test_case_03_a_rewritten_file_of_the_same_size_is_read_anew(folder: Folder) -> None:
    path = folder.log(began(), call(1, 10))
    (before,) = Library(folder.places).refs.values()
    os.utime(path, ns=(1, before.sources[0].mtime_ns + 1))
    path.write_text(jsonl(began(), call(1, 99)))
    os.utime(path, ns=(1, before.sources[0].mtime_ns + 1))
    (after,) = Library(folder.places).refs.values()
    assert before.sources[0].size == after.sources[0].size
    assert before.sources[0].mtime_ns != after.sources[0].mtime_ns
    assert amounts(folder.session()) == [99]


def test_case_04_one_span_id_after_a_reload_is_two_calls(folder: Folder) -> None:
    folder.log(began(), call(1, 10, "18"), began(50), call(51, 20, "18"))
    session = folder.session()
    assert amounts(session) == [10, 20]
    assert said(session)["vscode debug panel"] == (1, 10)  # as VS Code shows it


def test_case_05_a_run_index_that_comes_and_goes(folder: Folder) -> None:
    folder.log(began(), call(1, 10, "1"), call(2, 20, "1", rIdx=1), call(3, 30, "2", rIdx=1))
    session = folder.session()
    assert amounts(session) == [10, 20, 30]
    assert said(session)["vscode debug panel"] == (3, 60)


def test_case_06_several_starts_are_runs_of_one_session(folder: Folder) -> None:
    folder.log(began(), call(1, 10), began(50, copilotVersion="0.68.1"), call(51, 20))
    session = folder.session()
    assert amounts(session) == [10, 20]
    assert session.meta.version == "0.68.1"


def test_case_07_replayed_lines_of_other_sessions_do_not_widen_the_times(folder: Folder) -> None:
    old = [line("discovery", -90_000), line("generic", -80_000)]
    folder.log(began(), *old, line("user_message", 1), call(2))
    assert times(folder.session()) == (T0 + 1000, T0 + 2900)


def test_case_08_lines_out_of_order(folder: Folder) -> None:
    lines = [named("toolu_1", "runSubagent-Plan"), call(9, 10), call(3, 20), line("tool_call", 1)]
    folder.log(began(), *lines)
    session = folder.session()
    assert [request.started_ms for request in session.requests] == [T0 + 3000, T0 + 9000]
    assert len(session.tools) == 1


def test_case_09_a_turn_that_failed_and_a_call_that_was_cancelled(folder: Folder) -> None:
    bare = {"model": "gpt-5.4", "error": "This operation was aborted"}
    folder.log(
        began(), line("user_message", 1), line("turn_start", 1), line("turn_end", 2),
        line("llm_request", 3, status="error", attrs=bare),
        line("llm_request", 4, status="error", attrs={**bare, "error": "socket hang up"}),
    )  # fmt: skip
    session = folder.session()
    assert [request.status for request in session.requests] == ["cancelled", "error"]
    assert amounts(session) == [None, None]
    wire = totals([session])["totals"]
    assert (wire["requests"], wire["failedRequests"], wire["unknownRequests"]) == (2, 2, 2)
    assert wire["nanoAiu"] is None


def test_case_10_zero_and_absent_are_told_apart_call_by_call(folder: Folder) -> None:
    folder.log(began(), call(1, 0), call(2, None), call(3, 7))
    assert amounts(folder.session()) == [0, None, 7]
    wire = totals([folder.session()])["totals"]
    assert wire["nanoAiu"] > 7  # the second is priced by its tokens
    assert wire["basis"] in ("priced", "estimated")


def test_case_11_more_cached_than_asked(folder: Folder) -> None:
    folder.log(began(), call(1, None, cachedTokens=1500))
    session = folder.session()
    (request,) = session.requests
    assert (request.input_tokens, request.cache_read_tokens) == (1000, 1500)
    quote = PRICES.quote(request)
    assert quote.nano_aiu is not None
    assert quote.nano_aiu >= 0
    assert cases.kinds([session]) == {"malformed"}  # R15


def test_case_12_each_call_is_priced_by_its_own_model_and_payer(folder: Folder) -> None:
    own = "copilotLanguageModelWrapper"
    folder.log(
        began(), call(1, None), call(2, None, model="claude-sonnet-4.6"),
        call(3, None, model="gpt-4o-mini-2024-07-18"),
        call(4, None, model="gpt-5.4", debugName=own),
        call(5, None, model="Kimi-K2.6-azure", debugName=own), call(6, None, model="nova-9.9"),
    )  # fmt: skip
    quotes = [PRICES.quote(request) for request in folder.session().requests]
    billing = [quote.billing for quote in quotes]
    assert billing == ["copilot", "copilot", "free", "byok", "byok", "copilot"]
    assert quotes[0].nano_aiu != quotes[1].nano_aiu
    assert quotes[2].nano_aiu == 0
    assert (quotes[5].nano_aiu, quotes[5].basis) == (None, "unknown")  # unknown is not free


CHILDREN = {
    "toolu_1": "runSubagent-default-toolu_1.jsonl",
    "call_9": "runSubagent-My-Agent two-call_9.jsonl",
    "functions.runSubagent:16": "runSubagent-default-functions.runSubagent:16.jsonl",
    "ünïcode": "searchSubagent-ünïcode.jsonl",
}


@pytest.mark.parametrize("child", CHILDREN)
@pytest.mark.parametrize("known_by", ["reference", "start", "nothing"])
def test_case_13_children_of_any_name_count_once_under_their_parent(
    child: str, known_by: str, folder: Folder
) -> None:
    name = CHILDREN[child]
    label = name[: -len(child) - 7]
    reference = [named(child, label)] if known_by == "reference" else []
    start = [began(1, label=label, parentSessionId=ID)] if known_by == "start" else []
    folder.log(began(), call(1, 10), *reference)
    folder.log(*({**x, "sid": child} for x in (*start, call(2, 20))), name=name)
    session = folder.session()
    assert amounts(session) == [10, 20]
    assert session.requests[0].subagent == ()
    (agent,) = session.requests[1].subagent
    assert agent == (label.removeprefix("runSubagent-") if known_by == "reference" else child)
    assert session.requests[1].subagent_id == child
    panel = said(session)["vscode debug panel"]  # which shows children that are named only
    assert panel == ((2, 30) if known_by == "reference" else (1, 10))


def test_case_13_a_reference_without_file_and_nested_children(folder: Folder) -> None:
    folder.log(began(), call(1, 10), named("toolu_1", "runSubagent-Plan"), named("toolu_9", "x"))
    inner = [began(2, label="runSubagent-Look", parentSessionId="toolu_1"), call(3, 20)]
    outer = [began(2, label="runSubagent-Plan", parentSessionId=ID), call(4, 30)]
    outer.append(named("toolu_2", "runSubagent-Look"))
    for child, label, lines in (("toolu_1", "Plan", outer), ("toolu_2", "Look", inner)):
        told = [{**x, "sid": child} for x in lines]
        folder.log(*told, name=f"runSubagent-{label}-{child}.jsonl")
    session = folder.session()
    paths = {request.nano_aiu: request.subagent for request in session.requests}
    assert paths == {10: (), 20: ("Plan", "Look"), 30: ("Plan",)}


@pytest.mark.parametrize("label", ["title", "categorization", "summarize", "git-branch"])
def test_case_14_side_jobs_of_old_versions(label: str, folder: Folder) -> None:
    folder.log(began(), call(1, 10), named("r-1", label))
    folder.log({**call(2, 20), "sid": "r-1"}, name=f"{label}-r-1.jsonl")
    session = folder.session()
    assert amounts(session) == [10, 20]
    side = session.requests[1]
    assert side.surface == ("compaction" if label == "summarize" else "background")
    assert side.subagent == ()
    hidden = label in ("title", "categorization")
    assert said(session)["vscode debug panel"] == ((1, 10) if hidden else (2, 30))


def test_case_15_a_folder_without_calls_is_no_session_of_cost_zero(folder: Folder) -> None:
    folder.put("workspaceStorage/w/GitHub.copilot-chat/debug-logs/x/models.json", "[]")
    folder.put("workspaceStorage/w/GitHub.copilot-chat/debug-logs/y/tools_0.json", "{}")
    folder.log(began(), line("discovery", 1))
    wire = totals(folder.sessions())["totals"]
    assert (wire["sessions"], wire["requests"], wire["nanoAiu"]) == (0, 0, None)


def test_case_16_a_line_of_nine_megabytes(folder: Folder) -> None:
    folder.log(began(), call(1, 10, inputMessages=("x" * 99 + '"') * 90_000), call(2, 20))
    assert amounts(folder.session(full=False)) == [10, 20]


def test_case_17_json_in_texts_may_be_cut(folder: Folder) -> None:
    cut = '{"role": "assistant", "parts": [{"te…[truncated]'
    folder.log(
        began(), line("agent_response", 1, attrs={"response": cut}), call(2, requestOptions=cut)
    )
    assert not cases.problems(folder.sessions())


def test_case_18_odd_durations(folder: Folder) -> None:
    folder.log(began(), call(1, ttft=5_000, dur=900), call(2, dur=0), call(3, dur=-4))
    report = session_report(folder.session(), PRICES, "full")
    assert report["activeMs"] == 900
    assert report["durationMs"] >= 0
    assert [row["durationMs"] for row in report["requests"]] == [900, 0, None]


def test_case_19_R19_what_is_new_is_said_once(folder: Folder) -> None:
    new = [line("quantum_leap", second) for second in (2, 3)]
    folder.log({**began(copilotVersion="0.99.0"), "v": 2}, call(1, "77", newAttr={"a": 1}), *new)
    session = folder.session()
    texts = [problem.text for problem in cases.problems([session]) if problem.kind == "drift"]
    assert texts == ["Copilot Chat 0.99.0 writes quantum_leap; totals may be incomplete"]
    assert "drift" not in cases.kinds(folder.sessions(full=False))


ODD_FIGURES = {"a text": ("x", None), "null": (None, None), "negative": (-5, None),
               "a list": ([5], None), "a whole float": (5259000000.0, 5_259_000_000)}  # fmt: skip


@pytest.mark.parametrize("name", ODD_FIGURES)
def test_case_19_R7_odd_figures_are_unknown(name: str, folder: Folder) -> None:
    figure, known = ODD_FIGURES[name]
    folder.log(began(), call(1, 10, copilotUsageNanoAiu=figure, inputTokens="1000"))
    session = folder.session()
    assert amounts(session) == [known]
    assert session.requests[0].input_tokens == 1000
    assert cases.kinds([session]) == (set() if known or figure is None else {"malformed"})


def test_case_20_files_in_the_making_and_files_that_vanish(folder: Folder) -> None:
    folder.log(began(), call(1, 10))
    folder.log(began(), call(1, 10), call(2, 20), name="main.jsonl.tmp")
    gone = folder.log(began(), call(5, 50), session=OTHER)
    library = Library(folder.places)
    shutil.rmtree(gone.parent)
    assert cases.billed(library.all()) == 10


PLACES_OF_ONE = [("w", ""), ("w", "w-1"), ("w", "other", ""), ("-47a6e81", "w")]


@pytest.mark.parametrize("wsids", PLACES_OF_ONE, ids="+".join)
def test_case_21_B8_one_session_in_several_places_counts_once(
    wsids: tuple[str, ...], folder: Folder
) -> None:
    lines = [began(), call(1, 10), call(2, 20), call(3, 30)]
    for number, wsid in enumerate(wsids):
        folder.log(*lines[: 3 + number], wsid=wsid)
    session = folder.session()
    assert amounts(session) == [10, 20, 30]


def test_case_22_a_session_of_the_cli_is_the_clis(folder: Folder) -> None:
    # the whole of it is in the tests of Copilot CLI (A17)
    folder.log(began(), call(1, 10))
    journal = folder.home / ".copilot" / "session-state" / ID / "events.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text('{"type":"session.start","data":{},"timestamp":"2026-11-20T10:00:00Z"}\n')
    session = folder.session()
    assert (session.agent, amounts(session)) == ("copilot-cli", [10])


# --- cases 23 to 33: the chat itself ---


def spent(session: Session) -> list[int | None]:
    return [row.nano_aiu for row in session.unattributed]


CREDIT = 1_000_000_000


def patch(kind: int, *keys: Any, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "k": list(keys), **more}


JOURNALS: dict[str, tuple[list[Any], list[int]]] = {
    "one state": ([opened(turn(1, 2), turn(2, 3))], [2, 3]),
    "turns appended": ([opened(), patch(2, "requests", v=[turn(1, 2)])], [2]),
    "credits set later": ([opened(turn(1)), patch(1, "requests", 0, "copilotCredits", v=2)], [2]),
    "credits set again": (
        [opened(turn(1, 1)), patch(1, "requests", 0, "copilotCredits", v=2)], [2],
    ),
    "credits deleted": ([opened(turn(1, 1)), patch(3, "requests", 0, "copilotCredits")], [None]),
    "set without value": ([opened(turn(1, 1)), patch(1, "requests", 0, "copilotCredits")], [None]),
    "cut and appended": (
        [opened(turn(1, 2), turn(2, 3)), patch(2, "requests", i=1, v=[turn(3, 4)])], [2, 4],
    ),
    "cut only": ([opened(turn(1, 2), turn(2, 3)), patch(2, "requests", i=1)], [2]),
    "cut to nothing": ([opened(turn(1, 2)), patch(2, "requests", i=0)], []),
    "cut behind the end": ([opened(turn(1, 2)), patch(2, "requests", i=9, v=[turn(2, 3)])], [2, 3]),
    "a new state in the middle": ([opened(turn(1, 2)), opened(turn(2, 3))], [3]),
    "turn replaced": ([opened(turn(1, 2)), patch(1, "requests", 0, v=turn(2, 3))], [3]),
    "turn deleted": ([opened(turn(1, 2), turn(2, 3)), patch(3, "requests", 0)], [3]),
    "all replaced": ([opened(turn(1, 2)), patch(1, "requests", v=[turn(2, 3)])], [3]),
    "all deleted": ([opened(turn(1, 2)), patch(3, "requests")], []),
    "a path that is not there": (
        [opened(turn(1, 2)), patch(1, "requests", 7, "copilotCredits", v=9),
         patch(1, "nowhere", "deep", 3, v=1), patch(2, "responses", 0, v=[1])], [2],
    ),
    "inside a result": (
        [opened(turn(1, 2)), patch(1, "requests", 0, "result", "metadata", "responseId", v="r")],
        [2],
    ),
    "keys that are none": (
        [opened(turn(1, 2)), patch(1), {"kind": 1}, patch(9, "requests"), {"kind": 1, "k": "x"}],
        [2],
    ),
    "no state at the head": ([patch(2, "requests", v=[turn(1, 2)])], [2]),
    "a damaged line": (
        [opened(turn(1, 2)), '{"kind":2,"k":["req', patch(2, "requests", v=[turn(2, 3)])], [2, 3],
    ),
    "no turns": ([opened()], []),
    "turns that are none": ([opened(None, 7, turn(1, 2))], [2]),
}  # fmt: skip


@pytest.mark.parametrize("name", JOURNALS)
def test_case_23_24_a_chat_is_replayed_from_its_changes(name: str, folder: Folder) -> None:
    changes, credits = JOURNALS[name]
    folder.chat(*changes)
    assert spent(folder.session()) == [credit and credit * CREDIT for credit in credits]


def test_case_23_thousands_of_patches(folder: Folder) -> None:
    patches = [patch(1, "requests", 0, "copilotCredits", v=n / 1000) for n in range(1, 3000)]
    folder.chat(opened(turn(1)), *patches)
    assert spent(folder.session()) == [2_999_000_000]


def test_case_25_a_restored_checkpoint_removes_turns_but_not_their_calls(folder: Folder) -> None:
    folder.log(began(), call(1.1, 2 * CREDIT), call(5.1, 3 * CREDIT), call(9.1, 4 * CREDIT))
    folder.chat(opened(turn(1, 2), turn(5, 3)), patch(2, "requests", i=1, v=[turn(9, 4)]))
    session = folder.session()
    assert cases.billed([session]) == 9 * CREDIT
    assert not session.unattributed
    assert said(session)["vscode session cost"] == (None, 6 * CREDIT)


def test_case_26_a_fork_copies_turns_that_were_paid_once(folder: Folder) -> None:
    origin = turn(1, 2)
    origin["result"] = {"metadata": {"responseId": "r-1", "sessionId": ID}}
    copy = {**origin, "requestId": "0b5c3a1e-9d1f-4f0e-8b3a-000000000001", "timestamp": T0 + 90_000}
    folder.chat(opened(origin))
    folder.chat(opened(copy, turn(95, 3)), session=OTHER)
    found = {session.id: session for session in folder.sessions()}
    assert cases.billed([found[ID]]) == 2 * CREDIT
    assert cases.billed([found[OTHER]]) == 3 * CREDIT
    assert said(found[OTHER])["vscode session cost"] == (None, 5 * CREDIT)  # as VS Code shows
    # the origin deleted: the copy is all that is left, and it still counts once
    (folder.user / f"workspaceStorage/w/chatSessions/{ID}.jsonl").unlink()
    assert cases.billed(folder.sessions()) == 5 * CREDIT


@pytest.mark.parametrize("state", [0, 4, None])
def test_case_27_a_turn_in_progress_has_its_credits_so_far(
    state: int | None, folder: Folder
) -> None:
    folder.chat(opened(turn(1, 14.715, modelState={"value": state}, elapsedMs=None)))
    assert spent(folder.session()) == [14_715_000_000]


def test_case_27_the_recorded_one(tmp_path: Path) -> None:
    extra = cases.DATA / "vscode" / LIVE / "extra" / "in-progress-needs-input"
    name = "41619441-4e5d-44ca-9208-f48e09e36f83"
    home = Folder(tmp_path)
    shutil.copytree(
        extra / "debug-logs", home.user / "globalStorage/github.copilot-chat/debug-logs"
    )
    home.put(
        f"globalStorage/emptyWindowChatSessions/{name}.jsonl",
        (extra / f"{name}.jsonl").read_bytes(),
    )
    session = home.session()
    assert (session.id, cases.billed([session])) == (name, 14_715_000_000)
    assert not session.unattributed


def test_case_28_the_last_prompt_of_a_turn_is_no_usage(folder: Folder) -> None:
    folder.chat(opened(turn(1, None, promptTokens=99_500)))
    (row,) = folder.session().unattributed
    assert (row.input_tokens, row.output_tokens, row.nano_aiu) == (None, 50, None)
    assert PRICES.quote(row).basis == "unknown"


def test_case_29_odd_times(folder: Folder) -> None:
    odd = {"timeSpentWaiting": T0, "creationDate": T0 - 31_536_000_000}
    folder.chat(opened(turn(1, 2, **odd), creationDate=0))
    session = folder.session()
    assert session.meta.created_ms == T0 + 1000
    assert times(session) == (T0 + 1000, T0 + 1900)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "BOM"])
def test_case_30_flat_files_of_every_version(version: int, mark: bytes, folder: Folder) -> None:
    state = json.dumps(opened(turn(1, 2), version=version)["v"], indent=2).replace("\n", "\r\n")
    folder.chat(ending="json").write_bytes(mark + state.encode())
    assert spent(folder.session()) == [2 * CREDIT]


def test_case_30_B10_of_two_forms_of_a_chat_the_newer_counts(folder: Folder) -> None:
    folder.chat(json.dumps(opened(turn(1, 2))["v"]), ending="json")
    folder.chat("\ufeff" + json.dumps(opened(turn(1, 2), turn(2, 3))) + "\r")
    session = folder.session()
    assert spent(session) == [2 * CREDIT, 3 * CREDIT]


def test_case_31_titles(folder: Folder) -> None:
    folder.chat(opened(customTitle="One"), patch(1, "customTitle", v="Two"))
    folder.chat(opened(customTitle=""), session=OTHER)
    titles = {item.ref.id: item.meta.title for item in listed(Library(folder.places))}
    assert titles == {ID: None, OTHER: None}  # a list reads the index only
    assert {s.id: s.meta.title for s in folder.sessions()} == {ID: "Two", OTHER: None}


def index(
    folder: Folder, value: Any, where: str = "workspaceStorage/w", blob: bool = False
) -> Path:
    path = folder.user / where / "state.vscdb"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = value if type(value) is str else json.dumps(value)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE ItemTable (key TEXT UNIQUE, value BLOB)")
        connection.execute(
            "INSERT INTO ItemTable VALUES ('chat.ChatSessionStore.index', ?)",
            [text.encode() if blob else text],
        )
    return path


def entry(session: str, title: str = "A chat", **more: Any) -> dict[str, Any]:
    return {"sessionId": session, "title": title, "lastMessageDate": T0, "isEmpty": False, **more}


def test_case_32_the_index_and_the_files_need_not_agree(folder: Folder) -> None:
    uri = "vscode-chat-session://copilotcli/x"
    rows = {
        OTHER: entry(OTHER, "No file"), uri: entry(uri, isExternal=True),
        "e": entry("e", isEmpty=True), "broken": 7,
    }  # fmt: skip
    index(folder, {"version": 2, "entries": rows})
    folder.chat(opened(turn(1, 2)))
    items = {item.ref.id: item.meta.title for item in listed(Library(folder.places))}
    assert items == {ID: None, OTHER: "No file"}
    assert cases.billed(folder.sessions()) == 2 * CREDIT


@pytest.mark.parametrize(
    "details", ["GPT-5.4 • 2,3 credits", "GPT • 5 • 1x", "Claude • 2,3 crédits", "4711 credits"]
)
def test_case_33_texts_for_people_are_no_figures(details: str, folder: Folder) -> None:
    told = turn(1)
    told["result"]["details"] = details
    folder.chat(opened(told))
    assert [row.nano_aiu for row in folder.session().unattributed] == [None]


# --- cases 34 to 38: databases and places ---


def spans(
    folder: Folder, *rows: dict[str, Any], facts: dict[str, dict[str, str]] | None = None
) -> Path:
    path = folder.user / "globalStorage/github.copilot-chat/agent-traces.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = (
        "span_id TEXT PRIMARY KEY, start_time_ms INTEGER, end_time_ms INTEGER, "
        "status_code INTEGER, operation_name TEXT, agent_name TEXT, conversation_id TEXT, "
        "request_model TEXT, response_model TEXT, input_tokens INTEGER, "
        "output_tokens INTEGER, cached_tokens INTEGER, "
        "reasoning_tokens INTEGER, chat_session_id TEXT, ttft_ms REAL"
    )
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE TABLE spans ({columns})")
        connection.execute("CREATE TABLE span_attributes (span_id TEXT, key TEXT, value TEXT)")
        for row in rows:
            told = {"operation_name": "chat", "request_model": "gpt-5.4", "input_tokens": 1000,
                    "output_tokens": 50, "cached_tokens": 600, "status_code": 1, **row}  # fmt: skip
            connection.execute(
                f"INSERT INTO spans ({', '.join(told)}) VALUES ({', '.join('?' * len(told))})",
                list(told.values()),
            )
        for span, told in (facts or {}).items():
            connection.executemany(
                "INSERT INTO span_attributes VALUES (?, ?, ?)",
                [(span, *fact) for fact in told.items()],
            )
    return path


NANO = "copilot_chat.copilot_usage_nano_aiu"


def span(name: str, second: float, session: str | None = ID, **more: Any) -> dict[str, Any]:
    at = T0 + second * 1000
    return {"span_id": name, "start_time_ms": at + 0.75, "end_time_ms": at + 900.25,
            "chat_session_id": session, "conversation_id": session, **more}  # fmt: skip


def test_case_34_everything_may_be_in_the_wal(tmp_path: Path) -> None:
    home = Folder(tmp_path)
    target = home.user / "globalStorage/github.copilot-chat"
    shutil.copytree(cases.DATA / "vscode" / LIVE / "extra/agent-traces-wal", target)
    assert (target / "agent-traces.db").stat().st_size == 4096
    traces = EXPECTED["_agentTraces"]
    found = cases.requests(home.sessions())
    assert len(found) == traces["chatSpans"]
    assert sum(request.nano_aiu or 0 for request in found) == traces["nanoAiu(chat)"]
    alone = [request for request in found if request.session is None]
    assert len(alone) == traces["chatSpansWithoutSession"]


def test_case_34_spans(folder: Folder) -> None:
    spans(
        folder, span("a", 1), span("b", 2, operation_name="invoke_agent"), span("c", 3, None),
        span("d", 4, status_code=2, output_tokens=None, input_tokens=None),
        span("e", 5, response_model="gpt-5.4-2026"),
        facts={
            "a": {NANO: "10", "gen_ai.usage.cache_creation.input_tokens": "300"},
            "b": {NANO: "10"}, "c": {NANO: "20"}, "e": {"copilot_chat.canceled": "true"},
        },
    )  # fmt: skip
    found = {session.id: session for session in folder.sessions()}
    assert amounts(found[None]) == [20]
    mine = found[ID].requests
    assert [request.status for request in mine] == ["ok", "error", "cancelled"]
    first = mine[0]
    assert (first.nano_aiu, first.cache_write_tokens, first.started_ms) == (10, 300, T0 + 1001)
    assert mine[2].model == "gpt-5.4-2026"


LOOSE = {
    "the rest of a turn": (10, 1.2, [10], [None]),
    "another amount": (11, 1.2, [11], [11]),
    "long before the turn": (10, -20, [10], [10]),
    "long after the turn": (10, 60, [10], [10]),
}


@pytest.mark.parametrize("name", LOOSE)
def test_R5_a_call_of_no_session_that_is_the_rest_of_a_turn_counts_once(
    name: str, folder: Folder
) -> None:
    nano, second, whole, alone = LOOSE[name]
    folder.chat(opened(turn(1, 10 / CREDIT)))
    spans(folder, span("c", second, None), span("d", 1, None), facts={
        "c": {NANO: str(nano)}, "d": {NANO: "7"},
    })  # fmt: skip
    found = {session.id: session for session in folder.sessions()}
    claimed = alone == [None]
    assert amounts(found[ID]) == (whole if claimed else [])
    assert len(found[ID].unattributed) == (not claimed)
    assert sorted(amounts(found[None])) == ([7] if claimed else sorted([7, *alone]))
    assert cases.billed(found.values()) == 7 + (10 if claimed else 10 + nano)
    library = Library(folder.places)
    one = library.load(library.refs["copilot-vscode", ID])
    assert (amounts(one), len(one.unattributed)) == (amounts(found[ID]), not claimed)
    if claimed:
        assert {(r.session, r.input_tokens) for r in one.requests} == {(ID, 1000)}


def test_case_34_a_span_and_a_line_of_one_call_join_by_span_id(folder: Folder) -> None:
    folder.log(began(), call(1, 10, "a1", responseId="same"), call(2, 20, "a2", responseId="same"))
    write = {"gen_ai.usage.cache_creation.input_tokens": "300"}
    spans(
        folder,
        span("a1", 1),
        span("a2", 2),
        facts={"a1": {NANO: "10", **write}, "a2": {NANO: "20"}},
    )
    session = folder.session()
    assert amounts(session) == [10, 20]
    assert [request.cache_write_tokens for request in session.requests] == [300, None]
    assert session.requests[0].source == "debug-log"


def test_R5_calls_of_the_same_figures_in_one_source_are_two_whatever_another_source_says(
    folder: Folder,
) -> None:
    folder.log(began(), call(1, 10, "a1"), call(5, 10, "a2"))
    others = span("b1", 90, input_tokens=4321), span("b2", 95, input_tokens=4321)
    spans(folder, *others, facts={key: {NANO: "7"} for key in ("b1", "b2")})
    assert amounts(folder.session()) == [10, 10, 7, 7]


def test_case_34_spans_alone_count_once_whatever_their_copy_says(folder: Folder) -> None:
    spans(folder, span("a1", 1), facts={"a1": {NANO: "10"}})
    folder.chat(opened(turn(0.5, 10 / 1e9, modelState={"value": 1, "completedAt": T0 + 2000})))
    assert cases.billed(folder.sessions()) == 10


@pytest.mark.parametrize("kind", ["agent-traces", "state"])
def test_case_34_35_a_locked_database_is_said(
    kind: str, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "BUSY_SECONDS", 0)
    folder.log(began(), call(1, 10))
    path = index(folder, {"entries": {}}) if kind == "state" else spans(folder, span("a", 1))
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        found = folder.sessions()
    assert "locked" in cases.kinds(found)
    assert cases.billed(found) == 10


@pytest.mark.parametrize("blob", [True, False], ids=["BLOB", "TEXT"])
@pytest.mark.parametrize("where", ["workspaceStorage/w", "globalStorage"])
def test_case_35_the_index_as_blob_or_text(blob: bool, where: str, folder: Folder) -> None:
    path = index(folder, {"entries": {ID: entry(ID, "Ünïque")}}, where, blob)
    shutil.copy(path, f"{path}.backup")
    folder.chat(opened(turn(1, 2)))
    assert [item.meta.title for item in listed(Library(folder.places))] == ["Ünïque"]


@pytest.mark.parametrize(
    "value", ["{", "[]", '{"entries": []}', "null", '{"entries": {"a": null}}']
)
def test_case_35_an_index_that_is_none(value: str, folder: Folder) -> None:
    index(folder, value)
    folder.chat(opened(turn(1, 2)))
    assert cases.billed(folder.sessions()) == 2 * CREDIT


URIS = {
    "file:///home/dev/my%20app": "/home/dev/my app",
    "file:///c%3A/Users/dev/app": "C:/Users/dev/app",
    "file:///C:/app": "C:/app",
    "file://server/share/app": "//server/share/app",
    "vscode-remote://ssh-remote%2Bhost/srv/app": "vscode-remote://ssh-remote+host/srv/app",
    "vscode-remote://wsl%2Bubuntu/home/dev": "vscode-remote://wsl+ubuntu/home/dev",
    "vscode-remote://dev-container%2B7b22/w": "vscode-remote://dev-container+7b22/w",
    "file:///home/dev/a%25b": "/home/dev/a%b",
    "file:///": "/",
}


@pytest.mark.parametrize("uri", URIS)
def test_case_36_folders_by_uri(uri: str, folder: Folder) -> None:
    assert local_path(uri) == URIS[uri]
    folder.put("workspaceStorage/w/workspace.json", json.dumps({"folder": uri}))
    folder.log(began(), call(1))
    assert folder.session().meta.workspace == URIS[uri]


def test_case_36_workspace_files_and_their_absence(folder: Folder) -> None:
    folder.log(began(), call(1))
    assert folder.session().meta.workspace is None
    folder.put("workspaceStorage/w/meta.json", '{"id": "w", "name": "app"}')
    assert folder.session().meta.workspace == "app"
    store = folder.user / "globalStorage/github.copilot-chat/session-store.db"
    store.parent.mkdir(parents=True)
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("CREATE TABLE sessions (id TEXT, cwd TEXT, summary TEXT)")
        connection.execute("INSERT INTO sessions VALUES (?, '/home/dev/app', 'A summary')", [ID])
    assert folder.session().meta.workspace == "/home/dev/app"
    multi = '{"workspace": "file:///home/dev/all.code-workspace"}'
    folder.put("workspaceStorage/w/workspace.json", multi)
    assert folder.session().meta.workspace == "/home/dev/all.code-workspace"
    folder.put("workspaceStorage/w/workspace.json", "{ broken")
    assert folder.session().meta.workspace == "/home/dev/app"


@pytest.mark.parametrize(
    "wsid", ["-47a6e81", "1700000000000", "ext-dev", "w-1", "no-workspace", "empty-window"]
)
def test_case_37_folder_names_of_any_form(wsid: str, folder: Folder) -> None:
    folder.log(began(), call(1, 10), wsid=wsid)
    folder.put(f"workspaceStorage/{wsid}/chatSessions/{OTHER}.jsonl", jsonl(opened(turn(9, 2))))
    assert cases.billed(folder.sessions()) == 10 + 2 * CREDIT


def test_case_38_one_folder_name_in_two_editors_is_two_windows(tmp_path: Path) -> None:
    code, insiders = Folder(tmp_path), Folder(tmp_path, "Code - Insiders")
    code.log(began(), call(1, 10))
    insiders.log(began(), call(1, 20), session=OTHER)
    assert cases.billed(code.sessions()) == 30


def test_case_38_a_linked_root_is_read_once(tmp_path: Path) -> None:
    code = Folder(tmp_path)
    code.log(began(), call(1, 10))
    (tmp_path / ".config" / "VSCodium").symlink_to(tmp_path / ".config" / "Code")
    (ref,) = Library(code.places).refs.values()
    assert len(ref.sources) == 1


def test_case_38_portable_and_named_folders(tmp_path: Path) -> None:
    portable = Folder(tmp_path / "p")
    portable.user = tmp_path / "p" / "user-data" / "User"
    portable.log(began(), call(1, 10))
    named_ = Folder(tmp_path / "n")
    named_.user = tmp_path / "n" / "User"
    named_.log(began(), call(1, 20), session=OTHER)
    env = {"VSCODE_PORTABLE": str(tmp_path / "p")}
    places = Places(str(tmp_path), env, "linux", user_data_dirs=(str(tmp_path / "n"),))
    assert cases.billed(cases.everything(places)) == 30


def test_case_38_what_cannot_be_listed_is_passed_over(folder: Folder) -> None:
    folder.log(began(), call(1, 10))
    folder.put("workspaceStorage/file-not-folder", "x")
    folder.put("workspaceStorage/v/chatSessions", "x")
    folder.put("globalStorage/github.copilot-chat/debug-logs", "x")
    assert cases.billed(folder.sessions()) == 10


# --- pitfalls ---

SITES = {
    "panel/editAgent": "chat",
    "retry-error-panel/editAgent": "chat",
    "title": "background",
    "retry-server-error-title": "background",
    "retry-progressMessages": "background",
    "backgroundTodoAgent": "background",
    "promptCategorization": "background",
    "summarizeConversationHistory-full": "compaction",
    "retry-error-summarizeConversationHistory-simple": "compaction",
    "tool/runSubagent-Plan": "chat",
    "searchSubagentTool": "chat",
}


@pytest.mark.parametrize("site", SITES)
def test_a_call_site_says_what_the_call_was_for(site: str, folder: Folder) -> None:
    folder.log(began(), call(1, 10, debugName=site))
    assert [request.surface for request in folder.session().requests] == [SITES[site]]


def test_B1_subagents_are_summed_once_and_shown_under_their_parent(
    live: dict[str | None, Session],
) -> None:
    session = live["fbb0fa65-6999-4619-9647-8d05ca4c7266"]
    rows = {row["key"]["subagent"]: row for row in totals([session], ("subagent",))["rows"]}
    assert set(rows) == {"main", "default"}
    child = [request for request in session.requests if request.subagent]
    assert rows["default"]["nanoAiu"] == sum(request.nano_aiu or 0 for request in child) > 0
    assert rows["default"]["requests"] + rows["main"]["requests"] >= 21


def test_a_subagents_calls_belong_to_the_turn_that_started_it(
    live: dict[str | None, Session],
) -> None:
    session = live["fbb0fa65-6999-4619-9647-8d05ca4c7266"]
    before = None
    for request in session.requests:
        if request.subagent:
            assert before is not None
            assert request.turn == before
        before = request.turn


def test_B2_each_call_by_its_own_model(live: dict[str | None, Session]) -> None:
    name = "fbb0fa65-6999-4619-9647-8d05ca4c7266"
    wire = totals([live[name]], ("model",))
    log = EXPECTED[name]["debugLog"]["byModel"]
    calls = [Request._make(r) for r in live[name].requests]
    for model, row in log.items():
        assert sum(r.nano_aiu or 0 for r in calls if r.model == model) == row["nanoAiu"]
    assert sum(row["nanoAiu"] for row in wire["rows"]) == wire["totals"]["nanoAiu"]


def test_B3_utility_models_are_free_unless_the_server_says_otherwise(folder: Folder) -> None:
    folder.log(began(), call(1, None, model="gpt-4o-mini"), call(2, 700, model="gpt-4o-mini"))
    rows = {row["key"]["billing"]: row for row in totals(folder.sessions(), ("billing",))["rows"]}
    assert (rows["free"]["nanoAiu"], rows["free"]["copilotNanoAiu"]) == (0, 0)
    assert (rows["copilot"]["nanoAiu"], rows["copilot"]["basis"]) == (700, "billed")


def test_B4_a_retired_model_keeps_its_price(folder: Folder) -> None:
    folder.log(began(), call(1, None))  # GPT-5.4 left the card before this day
    (request,) = folder.session().requests
    quote = PRICES.quote(request)
    assert quote.nano_aiu
    assert quote.rate is not None
    assert quote.basis == "estimated"
    assert quote.assumptions


def test_B6_a_hosted_sessions_notes_join_its_journal_whatever_their_file_is_called(
    folder: Folder,
) -> None:
    noted = {
        "schemaVersion": 2, "kind": "modelCall", "sdkSessionId": ID, "turnId": "t",
        "model": "gpt-5.4", "inputTokens": 1000, "outputTokens": 50, "cacheReadTokens": 600,
        "ts": "2026-11-20T10:00:01Z",
    }  # fmt: skip
    rows = [
        {**noted, "eventId": "e1", "apiCallId": "c1", "totalNanoAiu": 10},
        {**noted, "eventId": "e2", "apiCallId": "c2", "totalNanoAiu": 30, "inputTokens": 1001},
    ]
    folder.put("agentHostUsage/agent-host-copilot_raw_1.jsonl", jsonl(*rows))
    used = {"model": "gpt-5.4", "inputTokens": 1000, "outputTokens": 50, "cacheReadTokens": 600,
            "accounting": {"usageId": "c1", "sourceSessionId": ID}, "apiCallId": "c1",
            "copilotUsage": {"totalNanoAiu": 10}}  # fmt: skip
    journal = folder.home / ".copilot" / "session-state" / ID / "events.jsonl"
    journal.parent.mkdir(parents=True)
    told = {"type": "session.usage_record", "timestamp": "2026-11-20T10:00:01.000Z",
            "id": "i", "data": {"usage": used}}  # fmt: skip
    journal.write_text(jsonl(told))
    found = folder.sessions()
    assert cases.billed(found) == 30  # c1 once, c2 from the notes alone
    assert {session.id for session in found if session.requests} == {ID}


def test_B7_windows_without_a_folder(live: dict[str | None, Session]) -> None:
    session = live["41619441-4e5d-44ca-9208-f48e09e36f83"]
    assert "globalStorage" in session.requests[0].path
    assert cases.billed([session]) == 14_715_000_000


@pytest.mark.parametrize("value", [2, 3])
def test_B11_failed_turns_cost_what_the_bill_says(value: int, folder: Folder) -> None:
    folder.chat(
        opened(turn(1, None, modelState={"value": value}, completionTokens=None),
               turn(5, 2, modelState={"value": value}))
    )  # fmt: skip
    session = folder.session()
    assert spent(session) == [2 * CREDIT]
    assert {row.status for row in session.unattributed} == {{2: "cancelled", 3: "error"}[value]}


def test_B12_the_users_own_models_are_never_credits(folder: Folder) -> None:
    own = "copilotLanguageModelWrapper"
    folder.log(began(), call(1, None, model="claude-sonnet-4.6", debugName=own))
    wire = totals(folder.sessions())["totals"]
    assert wire["copilotNanoAiu"] == 0
    assert wire["nanoAiu"] > 0


def test_B12_chats_with_the_users_own_models(folder: Folder) -> None:
    folder.chat(opened(turn(1, 2, modelId="customendpoint/Mock/claude-mock-1")))
    (row,) = folder.session().unattributed
    assert (row.billing, row.model, row.nano_aiu) == ("byok", "claude-mock-1", 2 * CREDIT)


def test_B13_auto_is_the_model_it_chose_at_the_billed_amount(folder: Folder) -> None:
    chosen = turn(1, 0.9, modelId="copilot/auto")
    chosen["result"]["metadata"]["resolvedModel"] = "gpt-5.4"
    folder.chat(opened(chosen, turn(9, 1, modelId="copilot/auto")))
    rows = folder.session().unattributed
    assert [(row.model, row.nano_aiu) for row in rows] == [("gpt-5.4", 900_000_000), (None, CREDIT)]
    assert {PRICES.quote(row).basis for row in rows} == {"billed"}


@pytest.mark.parametrize("dimension", [name for name in DIMENSIONS if name != "tool"])
def test_B14_every_breakdown_adds_up_to_the_same_total(
    dimension: str, live: dict[str | None, Session]
) -> None:
    wire = totals(list(live.values()), (dimension,))
    assert wire["totals"]["nanoAiu"] == 4_538_262_000_000
    for name in ("nanoAiu", "requests", "inputTokens", "outputTokens", "cacheReadTokens"):
        assert sum(row[name] or 0 for row in wire["rows"]) == wire["totals"][name]


def test_B14_reports_of_sessions_add_up_to_the_report_of_all(
    live: dict[str | None, Session],
) -> None:
    single = [session_report(s, PRICES, "minimal")["totals"] for s in live.values()]
    whole = totals(list(live.values()))["totals"]
    for name in ("nanoAiu", "requests", "inputTokens", "outputTokens"):
        assert sum(row[name] or 0 for row in single) == whole[name]


BEFORE = 1_778_000_000_000
"""2026-05-05: there were no credits yet."""


def test_B15_before_there_were_credits_an_amount_is_unknown(folder: Folder) -> None:
    lines = [
        {**call(1, nano), "ts": BEFORE + n, "spanId": f"{n}"} for n, nano in enumerate((None, 5))
    ]
    folder.log(began(), *lines)
    unknown, billed = (PRICES.quote(request) for request in folder.session().requests)
    assert (unknown.nano_aiu, unknown.basis) == (None, "unknown")
    assert (billed.nano_aiu, billed.basis) == (5, "billed")


def test_B16_when_logs_are_pruned_the_chat_still_counts(folder: Folder) -> None:
    path = folder.log(began(), call(1.1, 2 * CREDIT))
    folder.chat(opened(turn(1, 2)))
    assert cases.billed(folder.sessions()) == 2 * CREDIT
    shutil.rmtree(path.parent)
    session = folder.session()
    assert cases.billed([session]) == 2 * CREDIT
    assert session.unattributed[0].reason


@pytest.mark.parametrize(
    ("credits", "nano"),
    [(18.823500000000003, 18_823_500_000), (0.1 + 0.2, 300_000_000), (1e-9, 1), (7, 7 * CREDIT)],
)
def test_B17_credits_become_whole_nano_units_at_reading(
    credits: float, nano: int, folder: Folder
) -> None:
    folder.chat(opened(turn(1, credits), turn(9, credits)))
    assert spent(folder.session()) == [nano, nano]
    assert totals(folder.sessions())["totals"]["nanoAiu"] == 2 * nano


def test_the_running_total_of_a_chat_is_never_added(folder: Folder) -> None:
    folder.chat(opened(turn(1, 2, sessionCopilotCredits=2), turn(5, 3, sessionCopilotCredits=9)))
    session = folder.session()
    assert cases.billed([session]) == 9 * CREDIT  # 4 are known by the running total only
    assert said(session)["vscode session cost"] == (None, 9 * CREDIT)


def test_a_models_own_price_list_serves_where_the_card_has_none(folder: Folder) -> None:
    (real,) = (cases.DATA / "vscode" / "run6-capi-basic").rglob("models.json")
    rows = json.loads(real.read_text())
    rows[0]["id"] = "house-model-7"
    folder.log(began(), call(1, None, model="house-model-7"))
    assert totals(folder.sessions())["totals"]["nanoAiu"] is None
    folder.put(
        f"workspaceStorage/w/GitHub.copilot-chat/debug-logs/{ID}/models.json", json.dumps(rows)
    )
    wire = totals(folder.sessions())["totals"]
    # 400 fresh, 600 cached, 50 out at 175, 18 and 1400 credits a million
    assert wire["nanoAiu"] == 400 * 175_000 + 600 * 18_000 + 50 * 1_400_000


def test_opening_a_session_by_path(folder: Folder) -> None:
    path = folder.log(began(), call(1))
    chat = folder.chat(opened(turn(1, 2)))
    at = provider_for("vscode").at
    assert [source.path for source in at(str(path))] == [str(path)]
    assert [source.path for source in at(str(path.parent))] == [str(path)]
    assert [source.kind for source in at(str(chat))] == ["chat-session"]
    assert not list(at(str(folder.home)))


def test_turns_and_slash_commands_without_their_text(folder: Folder) -> None:
    said_ = line("user_message", 1, attrs={"content": "/fix:deep my secret"})
    folder.log(began(), said_, call(2), line("tool_call", 3, name="read_file"))
    session = folder.session()
    assert len(session.turns) == 1
    assert session.requests[0].turn == session.turns[0].key
    assert session.requests[0].skill == "/fix deep"
    assert "secret" not in repr(session)


def test_growing_logs_go_on_from_a_cursor(folder: Folder) -> None:
    path = folder.log(began(), line("user_message", 1), call(2, 10))
    source = Source("copilot-vscode", "debug-log", str(path), ID)
    *first, cursor = cases.read(source)
    assert type(cursor) is Cursor
    with path.open("a") as file:
        file.write(jsonl(call(3, 20)))
    *more, _ = cases.read(source, at=cursor)
    whole = cases.read(source)
    assert cases.of(Request, [*first, *more]) == cases.of(Request, whole)
    assert len(cases.of(Turn, whole)) == 1
    assert cases.of(Meta, whole)
    assert not cases.of(Counter, whole)
