"""Replay, usage and routing at the command line. Checks are numbered as in their description."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from session_usage.agent_usage import COLUMNS, aggregate_usage
from session_usage.cli import main
from session_usage.events import API, Meta, Problem, Request
from session_usage.messages import Message, TokenUsage
from session_usage.overview import aggregate_sessions
from session_usage.pricing import load
from session_usage.reconcile import Session, reconcile
from session_usage.replay import replay_messages
from session_usage.windows import Window

DATA = Path(__file__).parent / "data"
LOGS = str(DATA / "agent-log/usage")
GOLDEN = json.loads((DATA / "agent-log/expected.json").read_text("utf-8"))
CLAUDE = str(DATA / "claude-code/multi-turn/home")


def run(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> str:
    try:
        found = main(args)
    except SystemExit as error:
        found = int(str(error.code))
    shown = capsys.readouterr()
    assert found == code, shown.err
    assert bool(code) == bool(shown.err)
    return shown.err if code else shown.out


@pytest.mark.parametrize("case", sorted(GOLDEN["replay"].keys() - {"bad", "minimal", "utf8-cut"}))
def test_plain_logs_are_replayed_exactly(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(DATA / "agent-log/replay")
    assert run(capsys, "--agent-log-dir", folder, "replay", case) == GOLDEN["replay"][case]


def test_a_damaged_plain_log_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(DATA / "agent-log/replay")
    assert "replay: " in run(capsys, "--agent-log-dir", folder, "replay", "bad", code=2)


def session_of(home: str, capsys: pytest.CaptureFixture[str]) -> str:
    listed = json.loads(run(capsys, "--home", home, "list", "--json"))["sessions"]
    return str(listed[-1]["id"])


def test_other_agents_are_replayed_alike(capsys: pytest.CaptureFixture[str]) -> None:
    session = session_of(CLAUDE, capsys)
    shown = run(capsys, "--home", CLAUDE, "replay", session)
    assert shown.startswith(f"=== Session {session} ===\nAgent: Claude Code\n")
    for part in (
        "\nWork dir: /home/dev/acme-api\n",
        "\n[User]\n",
        "\n[Assistant] (claude-",
        "\n  > Bash\n    Input:  {",
        "\n  < Bash\n    Output: ",
    ):
        assert part in shown
    assert shown.endswith("\n=== End ===\n")
    [path] = Path(CLAUDE).rglob(f"{session}.jsonl")
    assert run(capsys, "replay", str(path), "--home", CLAUDE) == shown


def test_replay_as_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    session = session_of(CLAUDE, capsys)
    rows = [
        json.loads(line)
        for line in run(capsys, "--home", CLAUDE, "replay", session, "--json").splitlines()
    ]
    assert {row["role"] for row in rows} == {"user", "assistant", "tool"}
    assert all(row["sessionId"] == session for row in rows)
    assert any("inputTokens" in row.get("usage", {}) for row in rows)
    assert not any("rawJson" in row for row in rows)


def test_replay_of_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "no session" in run(capsys, "--home", str(tmp_path), "replay", "nope", code=1)
    nowhere = str(tmp_path / "none.jsonl")
    assert "no such file" in run(capsys, "--home", str(tmp_path), "replay", nowhere, code=2)


def test_a_transcript_of_messages() -> None:
    pieces: list[str] = []
    usage = TokenUsage(1200, 30)
    said = [
        Message("1", "s", "system", "chat", "Be kind."),
        Message("2", "s", "user", "chat", "hello"),
        Message("3", "s", "assistant", "chat", "Hi!", model="m", usage=usage),
        Message("4", "s", "assistant", "tool-use", '{"a":1}', tool="Read"),
        Message("5", "s", "tool", "tool-result", "x" * 201 + "\n", tool="Read"),
        Message("6", "s", "assistant", "snapshot", "nothing to see"),
        Problem("malformed", "log", 12, "a line is not JSON"),
        Message("7", "s", "assistant", "chat", "I look.", subagent=("explore",)),
        Message("8", "s", "assistant", "chat", "Done.", usage=TokenUsage(None, 5)),
    ]
    meta = Meta("codex", "s", "log", title="A talk", created_ms=1_767_323_045_000, branch="main")
    replay_messages("Codex", meta, said, pieces.append)
    assert "".join(pieces) == (
        "=== Session s ===\nAgent: Codex\nTitle: A talk\nTime: 2026-01-02 03:04:05 UTC\n"
        "Branch: main\n"
        "\n[System]\nBe kind.\n\n[User]\nhello\n"
        "\n[Assistant] (m, 1200 in / 30 out tokens)\nHi!\n"
        '\n  > Read\n    Input:  {"a":1}\n'
        "\n  < Read\n    Output: " + "x" * 200 + "...[truncated]\n"
        "\n! log (byte 12): a line is not JSON\n"
        "\n--- explore ---\n\n[Assistant]\nI look.\n"
        "\n--- main ---\n\n[Assistant] (5 out tokens)\nDone.\n"
        "\n=== End ===\n"
    )


def test_check_43_the_table_shows_unknown_and_no_partial_sum(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = run(capsys, "--agent-log-dir", LOGS, "usage")
    [row] = [line.split() for line in shown.splitlines() if "qwen-7b" in line]
    assert row[-2:] == ["unknown", "unknown"]
    report = aggregate_usage(LOGS)
    [partial] = [r["partial_cost_usd"] for r in report["rows"] if r["model"] == "qwen-7b"]
    assert f"{partial:.4f}" not in row
    assert "the cost of 2 sessions is not known" in shown


def test_check_44_json_has_null_and_csv_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    report = json.loads(run(capsys, "--agent-log-dir", LOGS, "usage", "--json"))
    [row] = [row for row in report["rows"] if row["model"] == "qwen-7b"]
    assert row["knownCostUsd"] is None
    assert row["unknownCostSessions"] == 1
    assert report["totals"]["knownCostUsd"] is None
    text = run(capsys, "--agent-log-dir", LOGS, "usage", "--csv")
    table = list(csv.DictReader(io.StringIO(text)))
    assert tuple(table[0]) == COLUMNS
    assert table[-1]["provider"] == "TOTAL"
    [line] = [line for line in table if line["model"] == "qwen-7b"]
    assert line["known_cost_usd"] == line["cost_per_success"] == ""


def test_check_45_formats_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (("usage",), ("routing", LOGS)):
        shown = run(capsys, "--agent-log-dir", LOGS, *command, "--json", "--csv", code=2)
        assert "--json does not go with --csv" in shown


@pytest.mark.parametrize("window", ["TODAY", "0", "2026-02-30", "..", "2026-05-02..2026-05-01"])
def test_check_46_a_bad_window_is_wrong_usage(
    window: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (("usage",), ("routing", LOGS)):
        run(capsys, "--agent-log-dir", LOGS, *command, "--window", window, code=2)


def test_a_window_keeps_what_started_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.loads(run(capsys, "--agent-log-dir", LOGS, "usage", "--json"))
    none = json.loads(
        run(capsys, "--agent-log-dir", LOGS, "usage", "--json", "--window", "1999-01-01")
    )
    assert none["totals"]["sessions"] == 0 < whole["totals"]["sessions"]
    assert none["window"] == {"start": "1999-01-01T00:00:00Z", "end": "1999-01-02T00:00:00Z"}


def test_folders_of_logs_add_up(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    twice = shutil.copytree(LOGS, tmp_path / "more")
    once = aggregate_usage(LOGS)["totals"]["sessions"]
    args = ("--agent-log-dir", LOGS, "--agent-log-dir", str(twice), "usage", "--json")
    assert json.loads(run(capsys, *args))["totals"]["sessions"] == 2 * once
    missing = str(tmp_path / "none")
    assert "no such folder" in run(capsys, "--agent-log-dir", missing, "usage", code=2)


def test_usage_of_all_agents(capsys: pytest.CaptureFixture[str]) -> None:
    report = json.loads(run(capsys, "--home", CLAUDE, "usage", "--json"))
    totals = json.loads(run(capsys, "--home", CLAUDE, "report", "--json"))["totals"]
    assert report["totals"]["sessions"] == totals["sessions"]
    assert report["totals"]["outputTokens"] == totals["outputTokens"]
    sent = ("inputTokens", "cacheReadTokens", "cacheWriteTokens")
    assert sum(report["totals"][name] for name in sent) == totals["inputTokens"]
    assert report["totals"]["knownCostUsd"] == pytest.approx(totals["usd"])
    assert sum(row["outputTokens"] for row in report["rows"]) == totals["outputTokens"]
    assert {row["basis"] for row in report["rows"]} <= {"priced", "estimated"}


def called(session: str, *requests: tuple[str, str, int | None], status: str = "") -> Session:
    """A session whose calls have (model, status, nano-AIU), one a second."""
    found: list[Any] = [
        Request(f"{session}{n}", "codex", session, "log", "log", n, started_ms=n * 1000 + 1000,
                model=model, provider="openai", billing=API, status=how, nano_aiu=nano,
                input_tokens=None if nano is None else 10, cache_read_tokens=4, output_tokens=2,
                duration_ms=500)
        for n, (model, how, nano) in enumerate(requests)
    ]  # fmt: skip
    facts = (("status", status),) if status else ()
    return reconcile("codex", session, [*found, Meta("codex", session, "log", facts=facts)])


def test_a_session_of_two_models_counts_once_in_the_totals() -> None:
    report = aggregate_sessions([called("a", ("m", "ok", 5), ("n", "ok", 7))], load())
    assert [row["sessions"] for row in report["rows"]] == [1, 1]
    assert report["totals"]["sessions"] == 1
    assert report["totals"]["known_cost_usd"] == pytest.approx(12e-11)
    assert report["totals"]["input_tokens"] == 12
    assert report["totals"]["duration_ms"] == 1000
    assert report["totals"]["basis"] == "billed"


def test_an_unknown_cost_makes_its_rows_and_the_totals_unknown() -> None:
    sessions = [called("a", ("m", "ok", 5)), called("b", ("m", "ok", None)),
                called("c", ("n", "ok", 7))]  # fmt: skip
    report = aggregate_sessions(sessions, load())
    assert [row["known_cost_usd"] for row in report["rows"]] == [None, pytest.approx(7e-11)]
    assert report["totals"]["known_cost_usd"] is None
    assert report["totals"]["unknown_cost_sessions"] == 1
    assert report["totals"]["partial_cost_usd"] == pytest.approx(12e-11)


@pytest.mark.parametrize(
    ("calls", "status", "success"),
    [
        ([("m", "error", 5), ("m", "ok", 5)], "", True),
        ([("m", "ok", 5), ("m", "error", 5)], "", False),
        ([("m", "ok", 5), ("m", "cancelled", 5)], "", False),
        ([("m", "ok", 5)], "iteration_limit", False),
        ([("m", "error", 5)], "success", True),
    ],
)
def test_a_session_succeeds_as_it_says_or_as_its_last_call(
    calls: list[tuple[str, str, int | None]], status: str, success: bool
) -> None:
    [row] = aggregate_sessions([called("a", *calls, status=status)], load())["rows"]
    assert row["success_sessions"] == int(success)
    assert row["failed_sessions"] == int(not success)


def test_a_window_tests_the_start_of_a_session() -> None:
    sessions = [called("a", ("m", "ok", 5), ("m", "ok", 5))]
    assert aggregate_sessions(sessions, load(), Window(1000, 1001))["totals"]["sessions"] == 1
    assert aggregate_sessions(sessions, load(), Window(1001, None))["totals"]["sessions"] == 0


def test_routing_at_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    folders = {case["dir"] for case in GOLDEN["routing"] if case["dir"]}
    folder = next(str(DATA / "agent-log" / name) for name in folders if (
        DATA / "agent-log" / name).is_dir())  # fmt: skip
    named = run(capsys, "routing", folder, "--json")
    assert run(capsys, "--agent-log-dir", folder, "routing", "--json") == named
    report = json.loads(named)
    assert set(report) == {
        "autoAcceptanceRate", "overrideDisagreementRate", "overrideClassBreakdown",
        "totalRequests", "totalOverrides", "skipped",
    }  # fmt: skip
    assert f"{report['totalRequests']} requests" in run(capsys, "routing", folder)
    assert "name a folder" in run(capsys, "routing", code=2)
    assert "no such folder" in run(capsys, "routing", "/no/such/folder", code=2)
