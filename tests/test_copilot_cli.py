"""Copilot CLI: logs of real versions against what their model server reported, and the pitfalls.

Each case holds ``$COPILOT_HOME`` as the program left it and ``truth.json``: per call what was
reported, ``input`` there the whole prompt. ``delivered`` false: the answer never arrived.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections import Counter as Bag
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cases
import pytest

from session_usage import pricing
from session_usage import sqlite as databases
from session_usage.events import Cursor, Problem, Request, Source, Turn
from session_usage.places import Places
from session_usage.providers import provider_for
from session_usage.reconcile import Session, reconcile
from session_usage.report import Fold
from session_usage.sessions import Library

CASES = cases.names("copilot-cli")
PRICES = pricing.load()

NO_USAGE = ("v0.0.403", "v0.0.423")
"""Nothing but the calls themselves (0.0.423: their output) is ever written."""
NO_AMOUNTS = (*NO_USAGE, "v1.0.12", "v1.0.35")
"""No amount is written, tokens only at the end of a run (not by the first two)."""
TOTALS_ONLY = (*NO_AMOUNTS, "v1.0.61", "v1.0.63", "v1.0.66")
"""No call has its own record: what is known are the totals of runs that ended."""
GAPS = {
    **{case: "this version writes no usage" for case in CASES if case.startswith(NO_USAGE)},
    **{
        case: "a killed run has no totals, and this version writes nothing else"
        for case in CASES
        if case.startswith(TOTALS_ONLY) and "sigkill" in case
    },
}
"""Cases in which calls took place whose usage no file holds: total too small, and said so."""


def real(case: str, tmp_path: Path) -> list[Session]:
    return cases.everything(cases.lay("copilot-cli", case, tmp_path / "home"))


def delivered(case: str) -> list[dict[str, Any]]:
    calls = cases.truth("copilot-cli", case)["requests"]
    return [call for call in calls if call["delivered"] and call["usage"]]


def figures(call: dict[str, Any]) -> tuple[Any, ...]:
    used = call["usage"]
    return (
        call["model"], used["input"], used["cached"], used["cache_write"], used["output"],
        call.get("nano_aiu") or None,
    )  # fmt: skip


def totals(sessions: list[Session], by: tuple[str, ...] = ()) -> dict[str, Any]:
    fold = Fold(PRICES, by)
    for session in sessions:
        fold.add(session)
    return fold.wire()


# --- the real logs ---


@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith(TOTALS_ONLY)])
def test_every_call_equals_what_the_server_reported(case: str, tmp_path: Path) -> None:
    found = real(case, tmp_path)
    known = Bag(
        (r.model, r.input_tokens, r.cache_read_tokens, r.cache_write_tokens, r.output_tokens,
         r.nano_aiu)
        for r in cases.requests(found) if r.status == "ok"
    )  # fmt: skip
    assert known == Bag(map(figures, delivered(case)))
    assert not [row for session in found for row in session.unattributed]
    assert not cases.problems(found)
    assert cases.billed(found) == sum(call.get("nano_aiu", 0) for call in delivered(case))


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.startswith(TOTALS_ONLY) and case not in GAPS]
)
def test_R4_totals_of_runs_become_one_unattributed_row_per_model(case: str, tmp_path: Path) -> None:
    found = real(case, tmp_path)
    assert not cases.requests(found)
    assert not cases.problems(found)
    rows = {row.model: row for session in found for row in session.unattributed}
    for model, total in cases.truth("copilot-cli", case)["totals_by_model"].items():
        row = rows.pop(model)
        assert row.reason
        assert row.requests == total["requests"]
        assert row.input_tokens == total["input"]
        assert row.cache_read_tokens == total["cached"]
        assert row.output_tokens == total["output"]
        # 1.0.12 wrote 0 for every cache write: not known
        unknown = case.startswith("v1.0.12")
        assert row.cache_write_tokens == (None if unknown else total["cache_write"])
        amount = None if case.startswith(NO_AMOUNTS) else total.get("nano_aiu")
        assert row.nano_aiu == (amount or None)
    assert not rows


@pytest.mark.parametrize("case", sorted(GAPS))
def test_R5_what_was_never_written_is_named_and_never_made_up(case: str, tmp_path: Path) -> None:
    found = real(case, tmp_path)
    calls = delivered(case)
    assert "gap" in cases.kinds(found)
    (gap,) = (problem for problem in cases.problems(found) if problem.kind == "gap")
    counted = [row.requests or 0 for session in found for row in session.unattributed]
    assert len(cases.requests(found)) + sum(counted) == len(calls)  # R1: they are all counted
    assert gap.text.startswith(f"{len(calls) - sum(counted)} calls have no recorded usage")
    assert cases.billed(found) < sum(call["nano_aiu"] for call in calls)
    assert all(request.nano_aiu is None for request in cases.requests(found))
    outputs = [request.output_tokens for request in cases.requests(found)]
    told = None if case.startswith("v0.0.403") else [30, 33] if "sigkill" in case else outputs
    assert told is None or outputs[: len(told)] == told
    wire = totals(found)["totals"]
    assert wire["unknownRequests"] == len(calls) - sum(counted)
    assert wire["requests"] == len(calls)


def test_the_gaps_are_those_of_old_versions_only() -> None:
    assert GAPS
    assert all(case.startswith(TOTALS_ONLY) for case in GAPS)


@pytest.mark.parametrize("case", CASES)
def test_reading_without_what_no_total_needs_gives_the_same(case: str, tmp_path: Path) -> None:
    places = cases.lay("copilot-cli", case, tmp_path)
    lean, full = (cases.everything(places, full=full) for full in (False, True))

    def said(sessions: list[Session]) -> set[Request]:
        return {r._replace(turn=None, skill=None) for r in cases.requests(sessions)}

    assert said(lean) == said(full)
    assert len(cases.requests(lean)) == len(cases.requests(full))
    assert [s.unattributed for s in lean] == [s.unattributed for s in full]
    assert not [tool for session in lean for tool in session.tools]


# --- the user's own key ---

UNTOLD = {"byok-error-429": "no call succeeded, and an error line does not say whose key it was"}


@pytest.mark.parametrize("case", [case for case in CASES if "byok" in case])
def test_A6_the_users_own_key_never_draws_on_credits(case: str, tmp_path: Path) -> None:
    found = real(case, tmp_path)
    usages = [usage for s in found for usage in (*s.requests, *s.unattributed)]
    assert {usage.billing for usage in usages} == {"copilot" if case in UNTOLD else "byok"}
    wire = totals(found)["totals"]
    assert not wire["copilotNanoAiu"]
    if case not in UNTOLD:
        assert wire["copilotNanoAiu"] == 0
        assert wire["nanoAiu"] > 0  # its vendor's list price
        assert wire["basis"] in ("priced", "estimated")


# --- logs made by hand ---

ID = "11111111-2222-4333-8444-555555555555"
MODEL = "claude-sonnet-4.5"
T0 = 1_795_170_000_000


def stamp(second: float) -> str:
    from session_usage.report import iso

    return iso(T0 + int(second * 1000)) or ""


def event(kind: str, second: float, data: dict[str, Any], **more: Any) -> dict[str, Any]:
    name = f"{kind}-{second}"
    return {
        "type": kind, "data": data, "id": name, "timestamp": stamp(second), "parentId": None,
        **more,
    }  # fmt: skip


def dump(told: dict[str, Any]) -> str:
    """As the program writes it: no blanks between the parts."""
    return json.dumps(told, separators=(",", ":"))


def start(second: float = 0, version: str = "1.0.102", **data: Any) -> dict[str, Any]:
    told = {"sessionId": ID, "copilotVersion": version, "selectedModel": MODEL, **data}
    return event("session.start", second, told)


def record(second: float, nano: Any = 5_000, call: str = "", **usage: Any) -> dict[str, Any]:
    told = {
        "model": MODEL,
        "provider": {"id": "copilot", "kind": "copilot"},
        "inputTokens": 1000,
        "outputTokens": 50,
        "cacheReadTokens": 600,
        "cacheWriteTokens": 300,
        "accounting": {"sourceSessionId": ID, "sequence": 1, "usageId": call or f"use-{second}"},
        **({} if nano is None else {"copilotUsage": {"totalNanoAiu": nano}}),
        **usage,
    }
    return event("session.usage_record", second, {"usage": told})


def message(second: float, output: int | None, **more: Any) -> dict[str, Any]:
    told = {} if output is None else {"outputTokens": output}
    return event(
        "assistant.message", second, {"messageId": f"m{second}", "model": MODEL, **told}, **more
    )


def shutdown(second: float, *, of: tuple[int, int, int, int]) -> dict[str, Any]:
    """The totals of a run, of one model: (calls, prompt, output, nano-AIU)."""
    calls, prompt, output, nano = of
    row = {
        "requests": {"count": calls, "cost": calls},
        "usage": {"inputTokens": prompt, "outputTokens": output,
                  "cacheReadTokens": 0, "cacheWriteTokens": 0},
        "totalNanoAiu": nano,
    }  # fmt: skip
    return event("session.shutdown", second, {"totalNanoAiu": nano, "modelMetrics": {MODEL: row}})


def checkpoint(second: float, nano: Any) -> dict[str, Any]:
    return event("session.usage_checkpoint", second, {"totalNanoAiu": nano})


def write(tmp_path: Path, *events: Any, session: str = ID, home: str = ".copilot") -> Places:
    path = tmp_path / home / "session-state" / session / "events.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join((e if isinstance(e, str) else dump(e)) + "\n" for e in events))
    return Places(str(tmp_path), {}, "linux")


def only(places: Places, full: bool = True) -> Session:
    (session,) = cases.everything(places, full=full)
    return session


COLUMNS = (
    "session_id TEXT, turn_index INTEGER, agent_id TEXT, parent_tool_call_id TEXT, model TEXT, "
    "input_tokens INTEGER, output_tokens INTEGER, cache_read_tokens INTEGER, "
    "cache_write_tokens INTEGER, reasoning_tokens INTEGER, total_nano_aiu INTEGER, "
    "request_multiplier REAL, duration_ms INTEGER, initiator TEXT, created_at TEXT"
)


def store(tmp_path: Path, *rows: dict[str, Any]) -> Path:
    """A ``session-store.db`` with these calls."""
    path = tmp_path / ".copilot" / "session-store.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE sessions (id TEXT, cwd TEXT, branch TEXT, summary TEXT)")
        connection.execute(
            f"CREATE TABLE assistant_usage_events (id INTEGER PRIMARY KEY, {COLUMNS})"
        )
        for row in rows:
            told = {"session_id": ID, "model": MODEL, "input_tokens": 1000, "output_tokens": 50,
                    "cache_read_tokens": 600, "cache_write_tokens": 300, "total_nano_aiu": 5_000,
                    "request_multiplier": 1, "created_at": stamp(10), **row}  # fmt: skip
            connection.execute(
                f"INSERT INTO assistant_usage_events ({', '.join(told)}) "
                f"VALUES ({', '.join('?' * len(told))})",
                list(told.values()),
            )
    return path


# --- rules ---


def test_R1_failed_calls_are_requests_of_unknown_amount(tmp_path: Path) -> None:
    found = real("capi-error-500-final", tmp_path)
    (failed,) = (r for r in cases.requests(found) if r.status == "error")
    assert (failed.input_tokens, failed.output_tokens, failed.nano_aiu) == (None, None, None)
    wire = totals(found)["totals"]
    assert (wire["requests"], wire["failedRequests"]) == (2, 1)


def test_R1_errors_that_are_no_model_call_are_no_requests(tmp_path: Path) -> None:
    places = write(
        tmp_path,
        start(),
        event("session.error", 1, {"errorType": "mcp", "message": "x"}),
        record(2),
    )
    assert len(only(places).requests) == 1


def test_R2_journal_and_database_tell_of_the_same_calls(tmp_path: Path) -> None:
    places = write(tmp_path, start(), record(10), message(10, None), record(20))
    store(tmp_path, {}, {"created_at": stamp(20)}, {"created_at": stamp(30)})
    session = only(places)
    assert len(session.requests) == 3  # the third only the database has
    assert {r.source for r in session.requests} == {"usage-record", "database"}
    assert {(t.source, t.requests) for t in session.totals} >= {
        ("usage-record", 2),
        ("database", 3),
    }


def test_R3_background_calls_are_in_every_total_and_told_apart(tmp_path: Path) -> None:
    found = real("capi-tui-clear", tmp_path)
    rows = {row["key"]["surface"]: row for row in totals(found, ("surface",))["rows"]}
    background = [
        call
        for call in delivered("capi-tui-clear")
        if call["interaction"] == "conversation-background"
    ]
    assert rows["background"]["requests"] == len(background) == 2
    assert rows["background"]["nanoAiu"] == sum(call["nano_aiu"] for call in background)


def test_R4_a_counter_is_never_added(tmp_path: Path) -> None:
    places = write(
        tmp_path, start(), record(1, 4_000), checkpoint(2, 4_000), record(3, 3_000),
        checkpoint(4, 7_000), shutdown(5, of=(2, 2000, 100, 7_000)),
    )  # fmt: skip
    session = only(places)
    assert cases.billed([session]) == 7_000
    assert not session.unattributed


def test_R4_what_a_counter_knows_beyond_the_calls_is_one_row(tmp_path: Path) -> None:
    places = write(tmp_path, start(), record(1, 4_000), checkpoint(2, 9_000))
    session = only(places)
    (row,) = session.unattributed
    assert (row.nano_aiu, row.model) == (5_000, None)
    assert row.reason
    wire = totals([session])["totals"]
    assert (wire["nanoAiu"], wire["unattributedNanoAiu"]) == (9_000, 5_000)


def test_R4_a_session_known_by_its_checkpoint_only(tmp_path: Path) -> None:
    session = only(write(tmp_path, start(), message(1, None), checkpoint(2, 6_200)))
    (row,) = session.unattributed
    assert row.nano_aiu == 6_200
    (call,) = session.requests  # it took place; its amount is inside the row
    assert (call.weak, call.nano_aiu) == (True, None)
    assert "gap" not in cases.kinds([session])
    wire = totals([session])["totals"]
    assert (wire["requests"], wire["unknownRequests"], wire["nanoAiu"]) == (1, 0, 6_200)


def test_R4_a_tools_spend_counts_once_by_its_usage_id(tmp_path: Path) -> None:
    def done(second: float, usage: str) -> dict[str, Any]:
        told = {"usageId": usage, "sourceSessionId": ID}
        spent = {"accounting": told, "copilotUsage": {"totalNanoAiu": 700}, "model": MODEL}
        return event(
            "tool.execution_complete", second, {"toolCallId": f"t{second}", "toolUsage": spent}
        )

    session = only(write(tmp_path, start(), done(1, "a"), done(2, "a"), done(3, "b")))
    assert [r.nano_aiu for r in session.requests] == [700, 700]
    assert {r.surface for r in session.requests} == {"tool"}


@pytest.mark.parametrize("size", [10, 200_000, 3_000_000])
@pytest.mark.parametrize("text", ["x", "U", '"toolUsage":{'])
def test_R4_a_tools_spend_is_found_behind_any_output(size: int, text: str, tmp_path: Path) -> None:
    result = {"content": text * (size // len(text))}
    spent = {"accounting": {"usageId": "a"}, "copilotUsage": {"totalNanoAiu": 700}, "model": MODEL}
    told = {"toolCallId": "t", "success": True, "result": result}
    done = event("tool.execution_complete", 1, {**told, "toolUsage": spent})
    other = event("tool.execution_complete", 2, told)
    session = only(write(tmp_path, start(), other, done, record(3, 10)), full=False)
    assert sorted(r.nano_aiu or 0 for r in session.requests) == [10, 700]


def test_R5_each_source_alone_never_says_more_than_the_truth(tmp_path: Path) -> None:
    spent = sum(call["nano_aiu"] for call in delivered("capi-subagent"))
    for keep in ("journal", "database"):
        home = tmp_path / keep
        cases.lay("copilot-cli", "capi-subagent", home)
        for path in (home / ".copilot").rglob("*"):
            if path.is_file() and (path.name == "events.jsonl") != (keep == "journal"):
                path.unlink() if not path.name.startswith(
                    "session-store"
                ) or keep == "journal" else None
        assert cases.billed(cases.everything(Places(str(home), {}, "linux"))) == spent


@pytest.mark.parametrize("case", [case for case in CASES if case not in GAPS])
def test_R5_without_the_database_the_total_is_the_same_or_the_gap_is_named(
    case: str, tmp_path: Path
) -> None:
    places = cases.lay("copilot-cli", case, tmp_path)
    before = cases.billed(cases.everything(places))
    for path in Path(places.copilot_home()).glob("session-store.db*"):
        path.unlink()
    found = cases.everything(places)
    total = cases.billed(found)
    assert total == before or (total < before and "gap" in cases.kinds(found))


R6 = {
    "a figure": ({"nano": 5_259_000_000.0}, 5_259_000_000, "billed", "copilot"),
    "rounded half up": ({"nano": 3569499999.9999995}, 3_569_500_000, "billed", "copilot"),
    "nothing charged": ({"nano": 0}, 0, "billed", "copilot"),
    "the user's key, with a figure": ({"nano": 77, "isByok": True}, 77, "billed", "byok"),
    "another provider, with a figure": (
        {"nano": 77, "provider": {"kind": "openai"}}, 77, "billed", "byok",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", R6)
def test_R6_a_figure_in_a_call_is_the_bill_whoever_is_paid(name: str, tmp_path: Path) -> None:
    told, amount, basis, billing = R6[name]
    (request,) = only(write(tmp_path, start(), record(1, **told))).requests
    assert (request.nano_aiu, request.billing) == (amount, billing)
    quote = PRICES.quote(request)
    assert (quote.nano_aiu, quote.basis, quote.billing) == (amount, basis, billing)


def test_R6_a_counters_zero_beside_tokens_is_unknown(tmp_path: Path) -> None:
    (row,) = only(
        write(tmp_path, start(version="1.0.66"), shutdown(2, of=(1, 10, 5, 0)))
    ).unattributed
    assert row.nano_aiu is None


@pytest.mark.parametrize("figure", ["NaN", "Infinity", "-5", "true", '"12x"', "null", "[]"])
def test_R7_what_is_no_number_is_no_amount(figure: str, tmp_path: Path) -> None:
    text = dump(record(1, 123456)).replace("123456", figure)
    session = only(write(tmp_path, start(), text))
    (request,) = session.requests
    assert request.nano_aiu is None
    assert request.input_tokens == 1000
    assert cases.kinds([session]) == (set() if figure == "null" else {"malformed"})


# --- pitfalls ---


@pytest.mark.parametrize(
    "case", ["capi-sigkill", "capi-sigkill-midstream", "v1.0.70-capi-sigkill-resume"]
)
def test_A1_killed_and_running_sessions_have_their_cost(case: str, tmp_path: Path) -> None:
    found = real(case, tmp_path)
    assert cases.billed(found) == sum(call["nano_aiu"] for call in delivered(case))


def test_A1_an_open_session_has_the_cost_so_far(tmp_path: Path) -> None:
    session = only(write(tmp_path, start(), record(1, 10), record(2, 20)))
    assert cases.billed([session]) == 30


LEGS = {
    "cumulative, outputs told": ([(11, 100), (23, 250), (36, 400)], [11, 12, 13], 400),
    "per run, outputs told": ([(11, 100), (12, 150), (13, 150)], [11, 12, 13], 400),
    "cumulative, outputs absent": ([(11, 100), (23, 250), (36, 400)], None, 400),
    "cumulative, two legs": ([(11, 100), (23, 250)], [11, 12], 250),
    "per run, two legs": ([(11, 100), (12, 150)], [11, 12], 250),
    "lower than before: a new epoch": ([(11, 100), (23, 250), (5, 40)], None, 290),
    "two epochs of two": ([(50, 100), (90, 250), (5, 40), (9, 60)], None, 310),
    "equal legs": ([(11, 100), (11, 100)], [11, 11], 200),
}


@pytest.mark.parametrize("form", ["as written", "with blanks", "keys in another order"])
@pytest.mark.parametrize("name", LEGS)
def test_A2_counters_of_runs_or_of_the_session_are_told_apart_by_numbers(
    name: str, form: str, tmp_path: Path
) -> None:
    legs, outputs, total = LEGS[name]
    events = [start(version="1.0.66")]
    for number, (output, nano) in enumerate(legs):
        at = 100 * (number + 1)
        events.append(event("session.resume", at, {"selectedModel": MODEL}))
        if outputs:
            events.append(message(at + 10, outputs[number]))
        events.append(shutdown(at + 20, of=(number + 1, output * 9, output, nano)))
    if form == "keys in another order":
        events = [dict(reversed(told.items())) for told in events]
    lines = [json.dumps(told) if form == "with blanks" else told for told in events]
    session = only(write(tmp_path, *lines))
    assert cases.billed([session]) == total
    if outputs:
        tokens = sum(row.output_tokens or 0 for row in session.unattributed)
        assert tokens == sum(outputs)
        assert not session.requests


def test_A2_when_the_numbers_do_not_tell_the_largest_is_taken_and_said(tmp_path: Path) -> None:
    events = [
        start(version="1.0.66"),
        message(1, 11),
        shutdown(2, of=(1, 99, 11, 100)),
    ]
    events += [event("session.resume", 10, {}), message(11, 12)]
    events += [shutdown(12, of=(2, 200, 17, 170))]  # neither 12 nor 23
    session = only(write(tmp_path, *events))
    assert cases.billed([session]) == 170
    assert "gap" in cases.kinds([session])


def test_A3_calls_win_over_a_counter_that_lost_some(tmp_path: Path) -> None:
    places = write(
        tmp_path, start(), record(1, 365_810), record(2, 508_000),
        shutdown(3, of=(1, 1000, 50, 508_000)),
    )  # fmt: skip
    session = only(places)
    assert cases.billed([session]) == 873_810
    said = {total.source: total.nano_aiu for total in session.totals}
    assert said == {"usage-record": 873_810, "shutdown": 508_000}  # the difference is shown


def test_A3_automatic_compaction_is_in_the_total(tmp_path: Path) -> None:
    found = real("capi-compaction-auto", tmp_path)
    (compaction,) = (r for r in cases.requests(found) if r.surface == "compaction")
    assert compaction.nano_aiu == 5_995_500_000
    (session,) = (s for s in found if s.requests)
    said = {total.source: total.nano_aiu for total in session.totals}
    assert said["shutdown"] < cases.billed(found)


def test_A4_a_cleared_session_keeps_its_cost(tmp_path: Path) -> None:
    found = real("capi-tui-clear", tmp_path)
    assert len([s for s in found if s.requests]) == 2
    assert cases.billed(found) == sum(call["nano_aiu"] for call in delivered("capi-tui-clear"))


def test_A4_several_sessions_in_one_file(tmp_path: Path) -> None:
    places = write(
        tmp_path, start(), record(1, 10), shutdown(2, of=(1, 1000, 50, 10)),
        start(50, sessionId="other"), record(51, 20),
        shutdown(52, of=(1, 1000, 50, 20)),
    )  # fmt: skip
    found = cases.everything(places)
    assert cases.billed(found) == 30
    assert len(cases.requests(found)) == 2


@pytest.mark.parametrize("case", CASES)
def test_A5_the_same_session_in_three_folders_counts_once(case: str, tmp_path: Path) -> None:
    once = real(case, tmp_path / "once")
    homes = [str(tmp_path / name) for name in ("a", "b", "c")]
    for home in homes:
        shutil.copytree(cases.DATA / "copilot-cli" / case / "state", home)
    roots = tuple(("copilot-cli", home) for home in homes)
    thrice = cases.everything(Places(str(tmp_path), {}, "linux", roots=roots))
    assert totals(thrice, ("model",)) == totals(once, ("model",))


def test_A5_an_empty_folder_is_no_session_of_cost_zero(tmp_path: Path) -> None:
    places = write(tmp_path, start(), record(1))
    (tmp_path / ".copilot" / "session-state" / "empty").mkdir()
    assert len(cases.everything(places)) == 1


def test_A7_output_tokens_absent_is_unknown_not_nothing(tmp_path: Path) -> None:
    session = only(write(tmp_path, start(version="1.0.89"), message(1, None)))
    (request,) = session.requests
    assert request.output_tokens is None
    assert "gap" in cases.kinds([session])


def test_A7_the_record_says_what_the_message_does_not(tmp_path: Path) -> None:
    told = message(1, None)
    told["data"]["apiCallId"] = "c1"
    session = only(write(tmp_path, start(), record(1, apiCallId="c1", call="c1"), told))
    (request,) = session.requests
    assert request.output_tokens == 50


def test_A8_the_bill_wins_over_the_list_price(tmp_path: Path) -> None:
    tokens = {"inputTokens": 14_000, "cacheWriteTokens": 13_900, "cacheReadTokens": 0}
    listed = 14_000 * 10  # any figure: it is what the server charged, Auto's discount inside
    session = only(write(tmp_path, start(), record(1, listed, isAuto=True, **tokens)))
    (request,) = session.requests
    assert request.auto
    quote = PRICES.quote(request)
    assert (quote.nano_aiu, quote.basis) == (listed, "billed")


@pytest.mark.parametrize("case", CASES)
def test_A9_fresh_and_cached_tokens_make_up_the_prompt(case: str, tmp_path: Path) -> None:
    places = cases.lay("copilot-cli", case, tmp_path)
    detailed = 0
    for path in Path(places.copilot_home()).rglob("events.jsonl"):
        for line in path.read_text().splitlines():
            told = json.loads(line)
            usage = told["data"].get("usage") if told["type"] == "session.usage_record" else None
            if not usage or "copilotUsage" not in usage:
                continue
            detail = {
                row["tokenType"]: row["tokenCount"] for row in usage["copilotUsage"]["tokenDetails"]
            }
            parts = usage["cacheReadTokens"] + usage["cacheWriteTokens"]
            assert detail["input"] == usage["inputTokens"] - parts
            detailed += 1
    for request in cases.requests(cases.everything(places)):
        known = (request.input_tokens, request.cache_read_tokens, request.cache_write_tokens)
        if None not in known:
            assert request.input_tokens >= request.cache_read_tokens + request.cache_write_tokens
    assert detailed or not case.startswith("capi-tools")


def test_A10_the_premium_multiplier_is_no_money(tmp_path: Path) -> None:
    told = shutdown(2, of=(3, 300, 30, 0))
    told["data"].pop("totalNanoAiu")
    told["data"]["totalPremiumRequests"] = 33
    metric = told["data"]["modelMetrics"][MODEL]
    metric.pop("totalNanoAiu")
    metric["requests"]["cost"] = 33
    session = only(write(tmp_path, start(version="1.0.12"), told))
    (row,) = session.unattributed
    assert (row.nano_aiu, row.requests) == (None, 3)
    assert dict(session.meta.facts)["totalPremiumRequests"] == 33


def test_A11_reasoning_is_a_part_of_the_output(tmp_path: Path) -> None:
    found = real("byok-chat-tools", tmp_path)
    wire = totals(found)["totals"]
    truth = cases.truth("copilot-cli", "byok-chat-tools")["totals_by_model"]["gpt-4.1"]
    assert (wire["outputTokens"], wire["reasoningTokens"]) == (truth["output"], truth["reasoning"])
    assert truth["reasoning"] > 0


def test_A12_a_dot_in_a_models_id_is_priced_and_an_unknown_model_is_never_free(
    tmp_path: Path,
) -> None:
    places = write(
        tmp_path,
        start(),
        record(1, None, model="claude-haiku-4.5"),
        record(2, None, model="nova-9.9"),
    )
    known, unknown = map(PRICES.quote, only(places).requests)
    assert known.nano_aiu
    assert (unknown.nano_aiu, unknown.basis) == (None, "unknown")


def test_A13_without_details_or_figure_the_tokens_are_priced(tmp_path: Path) -> None:
    places = write(
        tmp_path, start(), record(1, None), record(2, 8_000)
    )  # no tokenDetails in either
    by_tokens, by_bill = map(PRICES.quote, only(places).requests)
    assert by_tokens.nano_aiu
    assert by_tokens.basis in ("priced", "estimated")
    assert (by_bill.nano_aiu, by_bill.basis) == (8_000, "billed")


def test_A14_zero_is_a_bill_of_nothing(tmp_path: Path) -> None:
    session = only(write(tmp_path, start(), record(1, 0), record(2, 7)))
    wire = totals([session])["totals"]
    assert (wire["nanoAiu"], wire["basis"], wire["unknownRequests"]) == (7, "billed", 0)


def test_A14_zero_in_the_database_too(tmp_path: Path) -> None:
    store(tmp_path, {"total_nano_aiu": 0})
    (session,) = cases.everything(Places(str(tmp_path), {}, "linux"))
    assert [r.nano_aiu for r in session.requests] == [0]


def test_A15_a_locked_database_is_said_and_the_journal_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "BUSY_SECONDS", 0)
    places = write(tmp_path, start(), record(10))
    with closing(sqlite3.connect(store(tmp_path, {}), isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        found = cases.everything(places)
    assert "locked" in cases.kinds(found)
    assert cases.billed(found) == 5_000


def test_A15_a_database_of_an_old_version_has_no_such_table(tmp_path: Path) -> None:
    found = real("v1.0.66-capi-tools", tmp_path)
    assert not cases.problems(found)
    assert (tmp_path / "home/.copilot/session-store.db").exists()


def test_A15_everything_in_the_wal_and_the_folder_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = cases.lay("copilot-cli", "capi-tools", tmp_path)
    home = Path(places.copilot_home())
    shutil.rmtree(home / "session-state")
    (home / "session-store.db-shm").unlink()
    monkeypatch.setattr(databases.os, "access", lambda *_: False)
    before = {path.name for path in home.iterdir()}
    found = cases.everything(places)
    assert cases.billed(found) == sum(call["nano_aiu"] for call in delivered("capi-tools"))
    assert {path.name for path in home.iterdir()} == before  # read from a private copy


def test_A15_damage_and_foreign_files_are_problems(tmp_path: Path) -> None:
    places = write(tmp_path, start(), record(1))
    (tmp_path / ".copilot" / "session-store.db").write_bytes(b"no database" * 500)
    found = cases.everything(places)
    assert cases.kinds(found) == {"malformed"}
    assert cases.billed(found) == 5_000


READ = {
    "session.start", "session.resume", "session.model_change", "session.usage_record",
    "session.usage_checkpoint", "session.compaction_complete", "session.shutdown", "session.error",
    "assistant.message", "model.model_call_success", "tool.execution_start",
    "tool.execution_complete", "subagent.started", "user.message", "skill.invoked",
}  # fmt: skip
GOLDEN = sorted((cases.DATA / "copilot-events").glob("*.jsonl"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_A16_every_type_of_the_programs_own_kit_is_known(path: Path) -> None:
    told = [json.loads(line)["type"] for line in path.read_text().splitlines()]
    assert len(set(told)) == 158
    events = cases.read(Source("copilot-cli", "journal", str(path), "s"))
    assert not cases.of(Problem, events)
    assert cases.of(Turn, events)


@pytest.mark.parametrize("full", [True, False])
def test_A16_R19_new_types_are_said_once_per_version_and_file(full: bool, tmp_path: Path) -> None:
    odd = {"id": "x", "data": {}, "type": "brand.new", "timestamp": stamp(3)}  # keys in other order
    events = [start(version="1.0.110"), record(1)]
    events += [event("session.foo", 2, {"type": "not.this"}), odd, event("session.foo", 4, {})]
    session = only(write(tmp_path, *events), full=full)
    assert cases.billed([session]) == 5_000
    told = [problem.text for problem in session.problems]
    expected = ["Copilot CLI 1.0.110 writes session.foo, brand.new; totals may be incomplete"]
    assert told == (expected if full else [])
    assert cases.kinds([session]) <= {"drift"}


ODD = (None, 7, -1, 1e400, "x", [], [7], {}, True)


def variants(value: Any) -> Iterator[Any]:
    """``value`` with one thing in it, at any depth, left out or odd."""
    if type(value) is dict:
        for name in value:
            yield {other: told for other, told in value.items() if other != name}
            for odd in ODD:
                yield {**value, name: odd}
            for inner in variants(value[name]):
                yield {**value, name: inner}
    elif type(value) is list and value:
        for inner in variants(value[0]):
            yield [inner, *value[1:]]


TEMPLATES = (
    *GOLDEN,
    *sorted((cases.DATA / "copilot-cli" / "capi-tui-clear").rglob("events.jsonl")),
    *sorted((cases.DATA / "copilot-cli" / "capi-compaction-auto").rglob("events.jsonl")),
)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: f"{path.parent.name[:12]}/{path.stem}")
def test_A16_a_field_that_is_missing_or_odd_never_raises(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "events.jsonl"
    types = set()
    with copy.open("w") as file:
        for line in path.read_text().splitlines():
            told = json.loads(line)
            if told["type"] in READ - types:
                types.add(told["type"])
                file.writelines(json.dumps(odd) + "\n" for odd in variants(told))
    events = cases.read(Source("copilot-cli", "journal", str(copy), "s"))
    assert type(events[-1]) is Cursor
    reconcile("copilot-cli", "s", events)  # and no figure is one that cannot be added up
    assert {e.kind for e in cases.of(Problem, events)} <= {"malformed", "drift"}


def debug_log(tmp_path: Path, session: str, *calls: tuple[int, int]) -> None:
    folder = (
        tmp_path / ".config/Code/User/workspaceStorage/w/GitHub.copilot-chat/debug-logs" / session
    )
    folder.mkdir(parents=True)
    lines: list[dict[str, Any]] = [
        {
            "v": 1,
            "ts": T0,
            "dur": 0,
            "sid": session,
            "type": "session_start",
            "spanId": "s",
            "attrs": {},
        }
    ]
    lines += [
        {"ts": T0 + second * 1000, "dur": 0, "sid": session, "type": "llm_request",
         "spanId": f"{second}", "status": "ok",
         "attrs": {"model": MODEL, "inputTokens": 1000, "outputTokens": 50, "cachedTokens": 600,
                   "copilotUsageNanoAiu": nano}}
        for second, nano in calls
    ]  # fmt: skip
    (folder / "main.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_A17_a_session_that_vs_code_logs_too_counts_once(tmp_path: Path) -> None:
    places = write(tmp_path, start(), record(1, 5_000), record(30, 6_000))
    debug_log(tmp_path, ID, (1, 5_000), (29, 6_000))
    debug_log(tmp_path, "another", (1, 900))
    found = cases.everything(places)
    assert {(s.agent, s.id) for s in found} == {("copilot-cli", ID), ("copilot-vscode", "another")}
    assert cases.billed(found) == 11_900
    # each agent alone agrees on whose it is
    assert cases.billed(cases.everything(places, "copilot-cli")) == 11_000
    assert cases.billed(cases.everything(places, "copilot-vscode")) == 900


@pytest.mark.parametrize("initiator", ["compaction", None])
def test_A18_a_compaction_of_any_initiator_is_billed(initiator: str | None, tmp_path: Path) -> None:
    store(tmp_path, {"initiator": "user"}, {"initiator": initiator, "total_nano_aiu": 900})
    session = only(Places(str(tmp_path), {}, "linux"))
    assert cases.billed([session]) == 5_900
    assert all(request.session == ID for request in session.requests)


def test_A18_rows_of_the_users_own_key_have_no_initiator_either(tmp_path: Path) -> None:
    found = real("v1.0.70-byok-chat-tools", tmp_path)
    assert {request.billing for request in cases.requests(found)} == {"byok"}


# --- histories ---


def test_a_fork_counts_what_it_copied_once(tmp_path: Path) -> None:
    places = cases.lay("copilot-cli", "capi-fork-rewind", tmp_path)
    spent = sum(call["nano_aiu"] for call in delivered("capi-fork-rewind"))
    assert cases.billed(cases.everything(places)) == spent
    for path in Path(places.copilot_home()).glob("session-store.db*"):
        path.unlink()
    # a rewind took lines out of the journal for good: only the database had all of them
    assert 0 < cases.billed(cases.everything(places)) <= spent


def test_the_calls_of_a_deleted_session_are_in_the_database(tmp_path: Path) -> None:
    places = cases.lay("copilot-cli", "capi-subagent", tmp_path)
    shutil.rmtree(Path(places.copilot_home()) / "session-state")
    found = cases.everything(places)
    assert cases.billed(found) == sum(call["nano_aiu"] for call in delivered("capi-subagent"))
    assert len(found) == 1
    assert found[0].meta.workspace == "/home/dev/project"


@pytest.mark.parametrize(
    "case", ["capi-subagent", "v1.0.79-capi-subagent", "v1.0.92-capi-subagent"]
)
def test_subagents_are_named_and_counted_under_their_parent(case: str, tmp_path: Path) -> None:
    found = real(case, tmp_path)
    assert len([s for s in found if s.requests]) == 1
    known = Bag()
    for row in totals(found, ("subagent", "model"))["rows"]:
        known["/".join(row["key"].values())] += row["nanoAiu"]
    spent = Bag()
    for call in delivered(case):
        agent = "explore" if call["interaction"] == "conversation-subagent" else "main"
        spent[f"{agent}/{call['model']}"] += call["nano_aiu"]
    assert known == spent


def test_a_manual_compaction_written_twice_counts_once(tmp_path: Path) -> None:
    used = {
        "inputTokens": 900,
        "outputTokens": 70,
        "model": MODEL,
        "copilotUsage": {"totalNanoAiu": 44},
    }
    call = {
        "modelCall": {"model": MODEL, "request_id": "R1"},
        "responseUsage": {"prompt_tokens": 900, "completion_tokens": 70},
        "copilotUsage": {"total_nano_aiu": 44},
    }
    session = only(
        write(
            tmp_path, start(), event("model.model_call_success", 1, call),
            event(
                "session.compaction_complete", 2, {"requestId": "R1", "compactionTokensUsed": used}
            ),
        )
    )  # fmt: skip
    (request,) = session.requests
    assert (request.nano_aiu, request.surface) == (44, "compaction")


def test_copies_of_a_forks_origin_belong_to_the_origin(tmp_path: Path) -> None:
    origin = "99999999-2222-4333-8444-555555555555"
    mine = {"accounting": {"sourceSessionId": origin, "usageId": "u1"}}
    places = write(tmp_path, start(100), record(1, 10, **mine), record(101, 20))
    found = {session.id: session for session in cases.everything(places)}
    assert cases.billed([found[ID]]) == 20
    assert cases.billed([found[origin]]) == 10


@pytest.mark.parametrize("damaged", ["session.start", "session.resume"])
def test_R5_a_damaged_beginning_of_a_run_adds_nothing(damaged: str, tmp_path: Path) -> None:
    events = [
        start(version="1.0.70"), message(1, 11), shutdown(2, of=(1, 100, 11, 100)),
        event("session.resume", 10, {}), message(11, 12), shutdown(12, of=(2, 220, 23, 250)),
    ]  # fmt: skip
    lines = [dump(told).replace(damaged, "sessiom.start") for told in events]
    assert cases.billed([only(write(tmp_path, *lines))]) == 250


@pytest.mark.parametrize("form", ["as written", "with blanks", "keys in another order"])
@pytest.mark.parametrize("full", [True, False])
def test_A1_of_a_killed_run_between_others_every_message_is_a_call(
    full: bool, form: str, tmp_path: Path
) -> None:
    events = [
        start(version="1.0.66"), message(1, 11), shutdown(2, of=(1, 100, 11, 100)),
        event("session.resume", 10, {}), message(11, 12), message(12, 13, agentId="a"),
        event("session.resume", 20, {}), message(21, 14), shutdown(22, of=(1, 120, 14, 130)),
        event("session.resume", 30, {}), message(31, 15),
    ]  # fmt: skip
    if form == "keys in another order":
        events = [dict(reversed(told.items())) for told in events]
    lines = [json.dumps(told) if form == "with blanks" else told for told in events]
    session = only(write(tmp_path, *lines), full=full)
    told = {(r.output_tokens, r.subagent, r.nano_aiu) for r in session.requests}
    assert told == {(12, (), None), (13, ("a",), None), (15, (), None)}
    assert cases.billed([session]) == 230


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("before", [[], [shutdown(2, of=(1, 100, 11, 100))]], ids=["one", "two"])
def test_A1_a_last_message_without_its_newline_is_a_call(
    before: list[Any], full: bool, tmp_path: Path
) -> None:
    places = write(tmp_path, start(version="1.0.66"), *before, message(3, 12), message(4, 13))
    path = Path(places.copilot_home()) / "session-state" / ID / "events.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    assert {r.output_tokens for r in only(places, full=full).requests} == {12, 13}


def test_R5_a_fork_without_its_own_start_still_knows_its_copies(tmp_path: Path) -> None:
    origin = "99999999-2222-4333-8444-555555555555"
    mine = {"accounting": {"sourceSessionId": origin, "usageId": "u1"}}
    places = write(tmp_path, "{damaged", record(1, 10, **mine), record(101, 20))
    found = {session.id: session for session in cases.everything(places)}
    assert cases.billed([found[ID]]) == 20
    assert cases.billed([found[origin]]) == 10


def test_a_half_written_last_line_waits_for_its_end(tmp_path: Path) -> None:
    places = write(tmp_path, start(), record(1, 10))
    path = Path(places.copilot_home()) / "session-state" / ID / "events.jsonl"
    size = path.stat().st_size
    whole = json.dumps(record(2, 20)) + "\n"
    path.write_bytes(path.read_bytes() + whole.encode()[:200])
    source = Source("copilot-cli", "journal", str(path), ID)
    first = cases.read(source)
    assert (len(cases.of(Request, first)), first[-1].offset) == (1, size)
    path.write_bytes(path.read_bytes()[:size] + whole.encode())
    second = cases.read(source, at=first[-1])
    assert [r.nano_aiu for r in cases.of(Request, second)] == [20]


def test_times_titles_and_places(tmp_path: Path) -> None:
    places = cases.lay("copilot-cli", "capi-resume", tmp_path)
    (session,) = cases.everything(places)
    meta = session.meta
    assert (meta.workspace, meta.project, meta.branch) == ("/home/dev/project",) * 2 + ("main",)
    assert meta.version == "1.0.102"
    assert meta.title
    assert len(session.turns) == 3
    assert {request.turn for request in session.requests} == {turn.key for turn in session.turns}


# --- VS Code's notes of sessions that it hosts ---


def host(tmp_path: Path, *rows: dict[str, Any]) -> Places:
    path = tmp_path / ".config/Code/User/agentHostUsage" / f"{ID}.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Places(str(tmp_path), {}, "linux")


def noted(call: int, turn: str, running: Any, **more: Any) -> dict[str, Any]:
    return {
        "schemaVersion": 2, "kind": "modelCall", "correlation": "exact", "sdkSessionId": ID,
        "eventId": f"e{call}", "apiCallId": f"c{call}", "model": MODEL, "turnId": turn,
        "inputTokens": 1000 + call, "outputTokens": 50, "cacheReadTokens": 600,
        "totalNanoAiu": running, "ts": stamp(call), **more,
    }  # fmt: skip


def older(call: int, turn: str, running: Any) -> dict[str, Any]:
    row = noted(call, turn, running)
    kept = (
        "turnId",
        "model",
        "inputTokens",
        "outputTokens",
        "cacheReadTokens",
        "totalNanoAiu",
        "ts",
    )
    return {name: row[name] for name in kept}


HOST = {
    "the running total of a turn": (
        [noted(1, "t", 10), noted(2, "t", 30), noted(3, "t", 60)],
        3,
        60,
    ),
    "several turns": ([noted(1, "t", 10), noted(2, "u", 30), noted(3, "u", 45)], 3, 55),
    "older lines": ([older(1, "t", 10), older(2, "t", 25)], 2, 25),
    "both mixed": ([older(1, "t", 10), noted(2, "t", 25), noted(3, "u", 5)], 3, 30),
    "a line twice": ([noted(1, "t", 10), noted(1, "t", 10), noted(2, "t", 30)], 2, 30),
    "no figure yet": ([noted(1, "t", None), noted(2, "t", 30)], 2, 30),
    "another kind of line": ([noted(1, "t", 10), {"kind": "other", "schemaVersion": 2}], 1, 10),
}


@pytest.mark.parametrize("name", HOST)
def test_host_usage_runs_up_over_a_turn(name: str, tmp_path: Path) -> None:
    rows, calls, total = HOST[name]
    (session,) = cases.everything(host(tmp_path, *rows))
    assert session.agent == "copilot-cli"
    assert len(session.requests) == calls
    assert cases.billed([session]) == total


def test_host_usage_beside_the_journal_counts_once(tmp_path: Path) -> None:
    host(tmp_path, noted(1, "t", 10), noted(2, "t", 30))
    usage = {"apiCallId": "c1", "call": "c1", "inputTokens": 1001}
    again = {"apiCallId": "c2", "call": "c2", "inputTokens": 1002}
    session = only(write(tmp_path, start(), record(1, 10, **usage), record(2, 20, **again)))
    assert len(session.requests) == 2
    assert cases.billed([session]) == 30


def test_opening_a_session_by_path(tmp_path: Path) -> None:
    places = write(tmp_path, start(), record(1))
    folder = os.path.join(places.copilot_home(), "session-state", ID)
    for path in (folder, os.path.join(folder, "events.jsonl")):
        (source,) = provider_for("copilot-cli").at(path)
        assert (source.kind, source.session) == ("journal", ID)


def test_nothing_is_opened_to_find_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = cases.lay("copilot-cli", "capi-fork-rewind", tmp_path)

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("opened")

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("sqlite3.connect", refuse)
    assert len(Library(places, "copilot-cli").refs) == 2
