"""The command itself, as a process of its own, on logs that real programs wrote."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parent / "data"
SERVER = Path(__file__).parents[1] / "server"
CLI_SESSION = "a2dbfb66-74ac-48e6-98cf-9db03886d274"
VSCODE_SESSION = "84205439-9641-45b7-a1d5-e8da6d1f4344"
CLI_NANO = 5_612_100_000
"""What the server of the recorded CLI session reported (``truth.json``)."""

Result = subprocess.CompletedProcess


def environment(**more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    return {**kept, "PYTHONPATH": str(SERVER), "HOME": "/nonexistent", "TZ": "UTC", **more}


def command(*args: str, **env: str) -> Result[str]:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "session_usage.cli", *args],
        capture_output=True, encoding="utf-8", env=environment(**env), check=False, timeout=60,
    )  # fmt: skip
    assert "Traceback" not in result.stderr
    return result


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder as Copilot CLI and VS Code left it; read only."""
    home = tmp_path_factory.mktemp("home of ünï #1 100%")
    shutil.copytree(DATA / "copilot-cli/capi-simple/state", home / ".copilot")
    shutil.copytree(DATA / "vscode/run6-capi-basic/User", home / ".config/Code/User")
    return home


@pytest.fixture
def home(recorded: Path, tmp_path: Path) -> Path:
    """The same, for tests that break something in it."""
    return Path(shutil.copytree(recorded, tmp_path / "home"))


def journal(home: Path) -> Path:
    return home / ".copilot/session-state" / CLI_SESSION / "events.jsonl"


def fields(result: Result[str]) -> Any:
    assert (result.returncode, result.stderr) == (0, "")
    return json.loads(result.stdout)


def table(result: Result[str]) -> list[dict[str, str]]:
    assert (result.returncode, result.stderr) == (0, "")
    return list(csv.DictReader(io.StringIO(result.stdout)))


# ---- what each command prints

COMMANDS = {
    "list": ["list"],
    "find": ["find", "hello"],
    "latest": ["latest"],
    "show": ["show", CLI_SESSION],
    "batch": ["batch", "5"],
    "report": ["report"],
    "report by": ["report", "--by", "agent,model,day"],
    "explain": ["explain", CLI_SESSION],
    "prices": ["prices", "gpt-5.4", "--on", "2026-10-01"],
    "doctor": ["doctor"],
    "demo": ["demo"],
}


@pytest.mark.parametrize("form", ["table", "json", "csv"])
@pytest.mark.parametrize("args", COMMANDS.values(), ids=COMMANDS)
def test_every_command_prints_tables_JSON_and_CSV(
    recorded: Path, args: list[str], form: str
) -> None:
    result = command("--home", str(recorded), *args, "--format", form)
    assert (result.returncode, result.stderr) == (0, "")
    if form == "json":
        assert isinstance(json.loads(result.stdout), dict)
    elif form == "csv":
        rows = list(csv.reader(io.StringIO(result.stdout)))
        assert len(rows) > 1
        assert {len(row) for row in rows} == {len(rows[0])}
    else:
        assert not result.stdout.startswith("{")
        if args[0] in ("list", "find", "batch", "report"):
            assert all(len(line) <= 80 for line in result.stdout.splitlines())


def test_JSON_field_names_of_a_report(recorded: Path) -> None:
    report = fields(command("report", "--home", str(recorded), "--by", "model,agent", "--json"))
    assert set(report) == {"totals", "rows", "skipped", "problems"}
    figures = {
        "sessions", "requests", "inputTokens", "cacheReadTokens", "cacheWriteTokens",
        "outputTokens", "reasoningTokens", "nanoAiu", "copilotNanoAiu", "basis",
        "unattributedNanoAiu", "usd", "unknownRequests",
    }  # fmt: skip
    for row in (report["totals"], *report["rows"]):
        assert figures <= set(row)
    assert all(set(row["key"]) == {"model", "agent"} for row in report["rows"])
    assert sum(row["nanoAiu"] for row in report["rows"]) == report["totals"]["nanoAiu"]
    assert (report["skipped"], report["problems"]) == ([], [])


def test_JSON_field_names_of_a_list(recorded: Path) -> None:
    page = fields(command("list", "--home", str(recorded), "--json"))
    assert set(page) == {"sessions", "cursor"}
    assert page["cursor"] is None
    assert {row["id"] for row in page["sessions"]} == {CLI_SESSION, VSCODE_SESSION}
    assert {"agent", "title", "workspace", "createdAt", "updatedAt"} <= set(page["sessions"][0])


def test_JSON_has_no_snake_case_names(recorded: Path) -> None:
    def names(value: Any) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*(names(part) for part in value.values()))
        return set().union(*(names(part) for part in value)) if isinstance(value, list) else set()

    for args in COMMANDS.values():
        found = fields(command("--home", str(recorded), *args, "--json"))
        assert not [name for name in names(found) if "_" in name], args


def test_pages_of_a_list_follow_from_cursor_to_cursor(recorded: Path) -> None:
    everything = ("list", "--home", str(recorded), "--json", "--limit", "1")
    first = fields(command(*everything))
    second = fields(command(*everything, "--cursor", first["cursor"]))
    assert second["cursor"] is None
    ids = [row["id"] for page in (first, second) for row in page["sessions"]]
    assert sorted(ids) == sorted([CLI_SESSION, VSCODE_SESSION])


def test_the_figures_are_those_of_the_server(recorded: Path) -> None:
    report = fields(command("show", CLI_SESSION[:8], "--home", str(recorded), "--json"))
    truth = json.loads((DATA / "copilot-cli/capi-simple/truth.json").read_text())
    (model,) = truth["totals_by_model"].values()
    totals = report["totals"]
    assert (totals["nanoAiu"], totals["basis"]) == (model["nano_aiu"], "billed")
    assert (totals["inputTokens"], totals["outputTokens"]) == (model["input"], model["output"])
    chain = fields(command("explain", CLI_SESSION, "--home", str(recorded), "--json"))
    assert [part["line"] for part in chain["parts"]] != [None]
    assert chain["nanoAiu"] == CLI_NANO


def test_a_session_is_shown_by_the_path_of_its_log_or_folder(recorded: Path) -> None:
    log = journal(recorded)
    for path in (log, log.parent):
        for home in (recorded, recorded / ".config"):  # inside and outside the home folder
            shown = fields(command("show", str(path), "--home", str(home), "--json"))
            assert (shown["agent"], shown["id"]) == ("copilot-cli", CLI_SESSION)
            assert shown["totals"]["nanoAiu"] == CLI_NANO


def test_CSV_and_JSON_have_the_same_figures(recorded: Path) -> None:
    args = ("report", "--home", str(recorded), "--by", "model")
    by_model = {row["key"]["model"]: row for row in fields(command(*args, "--json"))["rows"]}
    for row in table(command(*args, "--csv")):
        known = by_model[row["model"]]
        assert (int(row["nanoAiu"]), row["basis"]) == (known["nanoAiu"], known["basis"])


# ---- options


def test_global_options_stand_before_and_after_the_command(recorded: Path) -> None:
    options = ("--home", str(recorded), "--agent", "cli", "--json")
    before, after = command(*options, "report"), command("report", *options)
    assert fields(before) == fields(after)
    assert fields(before)["totals"]["nanoAiu"] == CLI_NANO
    assert fields(command(*options[:2], "report", *options[2:])) == fields(after)


@pytest.mark.parametrize(
    ("agent", "ids"),
    [
        ("vscode", {VSCODE_SESSION}), ("copilot-vscode", {VSCODE_SESSION}), ("cli", {CLI_SESSION}),
        ("copilot-cli", {CLI_SESSION}), ("all", {CLI_SESSION, VSCODE_SESSION}), ("codex", set()),
    ],
)  # fmt: skip
def test_agents_are_chosen_by_name_or_alias(recorded: Path, agent: str, ids: set[str]) -> None:
    page = fields(command("list", "--agent", agent, "--home", str(recorded), "--json"))
    assert {row["id"] for row in page["sessions"]} == ids


def test_C14_the_totals_of_the_agents_are_the_total_of_all(recorded: Path) -> None:
    def nano(agent: str) -> int:
        args = ("report", "--agent", agent, "--home", str(recorded), "--json")
        return int(fields(command(*args))["totals"]["nanoAiu"])

    assert nano("vscode") + nano("cli") == nano("all")


def test_further_user_data_folders(tmp_path: Path, recorded: Path) -> None:
    args = ("list", "--home", str(tmp_path), "--json")
    assert fields(command(*args))["sessions"] == []
    more = ("--user-data-dir", str(recorded / ".config/Code"), "--user-data-dir", str(tmp_path))
    (row,) = fields(command(*args, *more))["sessions"]
    assert row["id"] == VSCODE_SESSION


def test_agent_log_folders(tmp_path: Path) -> None:
    start = {
        "session_id": "plain",
        "seq": 1,
        "type": "session.start",
        "ts": "2026-07-01T10:00:00Z",
        "data": {"provider": "openai", "model": "gpt-5.4"},
    }
    log = tmp_path / "logs/plain.jsonl"
    log.parent.mkdir()
    log.write_text(json.dumps(start) + "\n")
    args = ("--home", str(tmp_path), "--agent-log-dir", str(log.parent), "--json")
    (row,) = fields(command("list", *args))["sessions"]
    assert (row["agent"], row["id"]) == ("agent-log", "plain")
    assert fields(command("show", str(log), "--home", str(tmp_path), "--json"))["id"] == "plain"


def test_another_home_ignores_the_variables_of_this_user(recorded: Path, tmp_path: Path) -> None:
    env = {"COPILOT_HOME": str(recorded / ".copilot"), "XDG_CONFIG_HOME": str(recorded / ".config")}
    mine = fields(command("list", "--json", HOME=str(tmp_path), **env))
    assert len(mine["sessions"]) == 2
    other = fields(command("list", "--json", "--home", str(tmp_path), **env))
    assert other["sessions"] == []


@pytest.mark.parametrize(
    ("window", "requests"),
    [
        (["--since", "2026-11-20", "--until", "2026-11-20"], 6),
        (["--window", "2026-11-20"], 6),
        (["--window", "2026-11-19"], 0),
        (["--until", "2026-11-20T10:39:00Z"], 5),
        (["--since", "2026-11-20T10:39:00Z"], 1),
        (["--window", "..2026-11-20T10:39:00Z"], 5),
    ],
)
def test_windows(recorded: Path, window: list[str], requests: int) -> None:
    totals = fields(command("report", "--home", str(recorded), "--json", *window))["totals"]
    assert totals["requests"] == requests


@pytest.mark.parametrize(
    ("zone", "day"),
    [("XXX-14", "2026-11-21"), ("XXX+11", "2026-11-19"), ("Pacific/Kiritimati", "2026-11-21"),
     (":UTC", "2026-11-20"), ("/usr/share/zoneinfo/Asia/Tokyo", "2026-11-20")],
)  # fmt: skip
def test_E1_days_and_windows_are_those_of_the_system(recorded: Path, zone: str, day: str) -> None:
    args = ("report", "--home", str(recorded), "--json", "--agent", "cli", "--by", "day")
    for window in ((), ("--window", day), ("--since", day, "--until", day)):
        (row,) = fields(command(*args, *window, TZ=zone))["rows"]
        assert (row["key"]["day"], row["nanoAiu"]) == (day, CLI_NANO)


def test_E1_the_zone_may_be_named(recorded: Path) -> None:
    args = ("report", "--home", str(recorded), "--json", "--by", "day", "--zone", "Asia/Kathmandu")
    report = fields(command(*args, "--window", "2026-11-20"))
    assert [row["key"]["day"] for row in report["rows"]] == ["2026-11-20"]


# ---- what goes wrong

WRONG: dict[str, tuple[list[str], list[str]]] = {
    "unknown agent": (["list", "--agent", "nobody"], ["'nobody'", "copilot-vscode", "all"]),
    "bad window": (["report", "--window", "sometimes"], ["'sometimes'", "7d"]),
    "no such day": (["report", "--window", "2026-02-30"], ["2026-02-30"]),
    "bad since": (["report", "--since", "yesterday"], ["'yesterday'", "2026-06-01"]),
    "until before since": (
        ["report", "--since", "2026-12-01", "--until", "2026-11-01"],
        ["2026-12-01", "2026-11-01", "ends before it starts"],
    ),
    "no port": (["serve", "--tcp", "99999"], ["--tcp", "'99999'", "65535"]),
    "no port of a web socket": (["serve", "--websocket", "x"], ["--websocket", "'x'"]),
    "bad until": (["list", "--until", "2026-W01"], ["2026-W01"]),
    "two windows": (["report", "--window", "7d", "--since", "7d"], ["--window"]),
    "bad regex": (["list", "--regex", "["], ["'['", "regular expression"]),
    "bad regex in find": (["find", "x", "--regex", "(?<"], ["regular expression"]),
    "missing path": (["show", "/no/such/log.jsonl"], ["/no/such/log.jsonl"]),
    "no session": (["show", str(Path(__file__))], ["test_cli.py", "no session"]),
    "no session folder": (["show", str(Path(__file__).parent)], ["tests", "no session"]),
    "missing home": (["--home", "/no/such", "list"], ["/no/such"]),
    "missing user data": (["list", "--user-data-dir", "/no/such"], ["/no/such"]),
    "missing agent logs": (["list", "--agent-log-dir", "/no/such"], ["/no/such"]),
    "missing prices": (["report", "--prices", "/no/such.yml"], ["/no/such.yml"]),
    "prices that are a folder": (["report", "--prices", str(DATA)], [str(DATA)]),
    "prices that are none": (["report", "--prices", __file__], ["test_cli.py"]),
    "unknown dimension": (["report", "--by", "colour"], ["'colour'", "model"]),
    "unknown zone": (["report", "--zone", "Nowhere/City"], ["'Nowhere/City'", "Europe/Berlin"]),
    "unknown detail": (["latest", "--detail", "huge"], ["'huge'", "compact"]),
    "bad cursor": (["list", "--cursor", "x"], ["'x'"]),
    "bad limit": (["list", "--limit", "0"], ["--limit", "'0'", "--help"]),
    "bad number": (["batch", "many"], ["'many'", "--help"]),
    "bad day": (["prices", "--on", "never"], ["'never"]),
    "bad format": (["list", "--format", "xml"], ["'xml'", "table", "--help"]),
    "two formats": (["list", "--json", "--csv"], ["--json", "--csv"]),
    "unknown figure": (["explain", CLI_SESSION, "colour=red"], ["'colour=red'", "model="]),
    "figure of nothing": (["explain", CLI_SESSION, "model=none"], ["'none'"]),
    "unknown shell": (["completion", "fish"], ["'fish'", "bash"]),
    "unknown command": (["frobnicate"], ["'frobnicate'", "report", "--help"]),
    "unknown option": (["list", "--frobnicate"], ["--frobnicate", "--help"]),
    "no command": ([], ["COMMAND", "--help"]),
    "no session given": (["show"], ["ID|PATH", "--help"]),
}  # fmt: skip


@pytest.mark.parametrize(("args", "named"), WRONG.values(), ids=WRONG)
def test_wrong_input_is_one_line_that_names_it_and_the_way_out(
    recorded: Path, args: list[str], named: list[str]
) -> None:
    where = [] if "--home" in args else ["--home", str(recorded)]
    result = command(*where, *args)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("session-usage: ")
    assert result.stderr.count("\n") == 1
    for name in named:
        assert name in result.stderr


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["show", "no-such-id"], ["'no-such-id'", "session-usage list"]),
        (["explain", "no-such-id"], ["'no-such-id'", "session-usage list"]),
        (["find", "no such title"], ["'no such title'", "session-usage list"]),
        (["find", "no such title", "--json"], ["'no such title'"]),
        (["latest", "--workspace", "/no/such/project"], ["/no/such/project", "doctor"]),
        (["prices", "no-such-model"], ["'no-such-model'", "session-usage prices"]),
    ],
)
def test_what_does_not_exist_is_exit_code_1(
    recorded: Path, args: list[str], named: list[str]
) -> None:
    result = command("--home", str(recorded), *args)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    for name in named:
        assert name in result.stderr


@pytest.mark.parametrize("name", ["show", "explain"])
def test_a_ledger_that_knows_no_session_either_changes_no_words(home: Path, name: str) -> None:
    state = str(home / "state")
    args = ("--home", str(home), name, "no-such-id")
    before = command(*args, SESSION_USAGE_HOME=state)
    assert command("--home", str(home), "index", SESSION_USAGE_HOME=state).returncode == 0
    after = command(*args, SESSION_USAGE_HOME=state)
    assert (after.returncode, after.stderr) == (before.returncode, before.stderr)


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ("model: x\n  from: 2026-99-99", 3),
        ("model: !!int x", 2),
        ('model: !!int ""', 2),
        ("model: !!bool x", 2),
        ("model: x\n  input: !!float y", 3),
        ("model: x\n  first_seen: !!timestamp y", 3),
    ],
)
def test_a_price_of_no_YAML_type_is_named_with_its_line(
    recorded: Path, tmp_path: Path, row: str, line: int
) -> None:
    prices = tmp_path / "mine.yml"
    prices.write_text(f"rows:\n- {row}\n")
    result = command("--home", str(recorded), "report", "--prices", str(prices))
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert str(prices) in result.stderr
    assert f"(line {line})" in result.stderr


def test_an_id_that_fits_several_sessions_names_them(home: Path) -> None:
    twin = CLI_SESSION[:-1] + "0"
    shutil.copytree(journal(home).parent, journal(home).parents[1] / twin)
    result = command("--home", str(home), "show", CLI_SESSION[:8])
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert CLI_SESSION in result.stderr
    assert twin in result.stderr


def unreadable(home: Path) -> Path:
    """A second session whose journal cannot be read, for root neither."""
    log = journal(home).parents[1] / "0000feed-0000-4000-8000-000000000000/events.jsonl"
    log.mkdir(parents=True)
    return log


@pytest.mark.parametrize("args", [["report"], ["batch", "9"]], ids=["report", "batch"])
def test_an_unreadable_file_is_listed_and_the_others_are_reported(
    home: Path, args: list[str]
) -> None:
    log = unreadable(home)
    for form in ("json", "csv", "table"):
        result = command("--home", str(home), "--agent", "cli", *args, "--format", form)
        assert result.returncode == 2
        assert result.stderr.count("\n") == 1
        assert str(log) in result.stderr
        if form == "json":
            found = json.loads(result.stdout)
            assert (found.get("totals") or found["summary"])["nanoAiu"] == CLI_NANO
            if "skipped" in found:
                assert [row["path"] for row in found["skipped"]] == [str(log)]
                assert found["skipped"][0]["reason"]
        else:
            assert ("5612100000" if form == "csv" else "5.61") in result.stdout


def test_an_unreadable_session_that_was_asked_for_is_exit_code_2(home: Path) -> None:
    log = unreadable(home)
    for name in (log.parent.name, str(log.parent), str(log)):
        result = command("--home", str(home), "show", name, "--json")
        assert (result.returncode, result.stderr.count("\n")) == (2, 1)
        assert str(log) in result.stderr
    assert fields(command("--home", str(home), "show", CLI_SESSION, "--json"))["id"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes have names there")
@pytest.mark.parametrize("args", ["report", "list", "doctor", "index", "latest", "batch 9"])
def test_a_pipe_among_the_logs_is_not_waited_for(home: Path, args: str) -> None:
    folder = home / ".claude/projects/X"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "fifo.jsonl")
    os.mkfifo(folder / "agent-1.jsonl")
    result = command("--home", str(home), *args.split(), SESSION_USAGE_HOME=str(home / "state"))
    assert (result.returncode, result.stderr) == (0, "")
    shown = command("--home", str(home), "show", str(folder / "fifo.jsonl"))
    assert (shown.returncode, "neither a file nor a folder" in shown.stderr) == (2, True)


def test_the_doctor_counts_the_sessions_of_a_list(tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(DATA / "gemini/one-turn/home", home)
    shutil.copytree(DATA / "codex/subagent-v1/home", home, dirs_exist_ok=True)
    args = ("--home", str(home), "--json")
    listed = [row["agent"] for row in fields(command(*args, "list"))["sessions"]]
    agents = fields(command(*args, "doctor"))["agents"]
    counted = {row["agent"]: row["sessions"] for row in agents}
    assert counted == {agent: listed.count(agent) for agent in counted}
    assert counted["gemini"]
    assert counted["codex"]
    assert command("--home", str(home), "--agent", "gemini", "doctor").stdout.startswith(
        "Gemini CLI  found, 1 sessions"
    )


def test_the_doctor_names_the_file_of_a_problem(home: Path) -> None:
    log = journal(home)
    lines = log.read_bytes().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if b'"session.shutdown"' in line)
    log.write_bytes(b"".join((*lines[:at], b"{" + lines[at], *lines[at + 1 :])))
    byte = sum(map(len, lines[:at]))
    shown = command("--agent", "cli", "doctor", HOME=str(home)).stdout
    assert f"! ~/.copilot/session-state/{CLI_SESSION}/events.jsonl (byte {byte}): " in shown


def test_a_log_that_is_gone_is_explained_by_bytes(home: Path) -> None:
    state = {"SESSION_USAGE_HOME": str(home.parent / "state")}
    args = ("--home", str(home), "explain", VSCODE_SESSION)
    assert command("--home", str(home), "index", **state).returncode == 0
    assert re.search(r"\.jsonl:\d+ \(byte \d+\)\n", command(*args, **state).stdout)
    shutil.rmtree(home / ".config")
    gone = command(*args, **state).stdout
    assert re.search(r"\.jsonl byte \d+\n", gone)
    assert ".jsonl row" not in gone


NARROW = {
    "batch": (["batch", "9"], ["9.04 ●", "5.61 ●", "14.65 ●", "84205439", "a2dbfb66", "11-20 "]),
    "list": (["list"], ["84205439", "a2dbfb66"]),
    "report": (["report", "--by", "model,day"], ["13.56 ●", "9.04 ●", "5.61 ●", "2026-11-20"]),
    "show": (["show", VSCODE_SESSION], ["9.04 ●"]),
    "usage": (["usage"], ["$0.0561", "$0.1356", "$0.0904", "$0.2822"]),
    "prices": (["prices", "claude-sonnet-4.5"], ["$15.00", "$3.00"]),
}


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 200])
@pytest.mark.parametrize(("args", "whole"), NARROW.values(), ids=NARROW)
def test_figures_are_never_cut(
    recorded: Path, columns: int, args: list[str], whole: list[str]
) -> None:
    shown = command("--home", str(recorded), *args, COLUMNS=str(columns)).stdout
    for text in whole:
        assert text in shown
    assert not re.search(r"\d…", "\n".join(line[-20:] for line in shown.splitlines()))


def test_what_the_caller_closed_is_written_to_nowhere(recorded: Path) -> None:
    line = f"'{sys.executable}' -W error -m session_usage.cli --home '{recorded}'"
    for args, code in (("report >&-", 0), ("report --json >&- 2>&-", 0), ("show none 2>&-", 1)):
        result = subprocess.run(
            ["sh", "-c", f"{line} {args}"], capture_output=True, encoding="utf-8",
            env=environment(), check=False, timeout=60,
        )  # fmt: skip
        assert (result.returncode, result.stdout, result.stderr) == (code, "", ""), args


IMPATIENT = """
import sys
from session_usage import cli, sqlite
sqlite.BUSY_SECONDS = 0.05
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_locked_database_is_listed_and_the_logs_are_reported(home: Path) -> None:
    database = home / ".copilot/session-store.db"
    writer = sqlite3.connect(database, isolation_level=None)
    try:
        writer.execute("PRAGMA locking_mode = exclusive")
        writer.execute("BEGIN EXCLUSIVE")
        result = subprocess.run(
            [sys.executable, "-c", IMPATIENT, "--home", str(home), "--agent", "cli", "report",
             "--json"],
            capture_output=True, encoding="utf-8", env=environment(), check=False, timeout=60,
        )  # fmt: skip
    finally:
        writer.close()
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    report = json.loads(result.stdout)
    assert report["totals"]["nanoAiu"] == CLI_NANO
    assert {row["path"] for row in report["skipped"]} == {str(database)}
    assert "locked" in report["skipped"][0]["reason"]


def test_damage_costs_the_damaged_line_and_is_a_problem(home: Path) -> None:
    log = journal(home)
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(
        lines[0] + b'{"type":"session.usage_record","data":{\x00\xff\n' + b"".join(lines[1:])
    )
    report = fields(command("--home", str(home), "--agent", "cli", "report", "--json"))
    assert report["totals"]["nanoAiu"] == CLI_NANO
    (problem,) = report["problems"]
    assert (problem["path"], problem["offset"]) == (str(log), len(lines[0]))
    assert report["skipped"] == []


def renamed(home: Path, name: str) -> None:
    folder = journal(home).parent
    yaml = (folder / "workspace.yaml").read_text()
    start = yaml.index("\nname:") + 1
    end = yaml.index("\n", start)
    quoted = json.dumps(name, ensure_ascii=False)
    (folder / "workspace.yaml").write_text(f"{yaml[:start]}name: {quoted}{yaml[end:]}")
    (home / ".copilot/session-store.db").unlink()  # knows the old name


def test_titles_cannot_command_the_terminal(home: Path) -> None:
    renamed(home, "[red]bold\x1b]0;owned\x07\x1b[2J title\u202e")
    for args in (["list"], ["show", CLI_SESSION], ["batch", "2"]):
        result = command("--home", str(home), "--agent", "cli", *args)
        assert result.returncode == 0
        assert "[red]bold" in result.stdout, "and are no markup"
        assert all(c.isprintable() or c == "\n" for c in result.stdout)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_any_text_is_printed_whatever_the_encoding_of_the_system(home: Path, encoding: str) -> None:
    renamed(home, "größe 日本 💰")
    for args in (["list"], ["list", "--csv"], ["list", "--json"], ["report"]):
        result = command("--home", str(home), *args, PYTHONIOENCODING=encoding)
        assert (result.returncode, result.stderr) == (0, "")
        if args[0] == "list":
            assert "größe 日本" in result.stdout, "files and pipes get UTF-8"


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are texts there")
def test_names_of_files_that_are_no_text_are_printed(home: Path) -> None:
    folder = os.fsencode(journal(home).parent)
    os.rename(folder, folder + b"-caf\xe9")
    for args in (["list"], ["list", "--json"], ["list", "--csv"], ["doctor"], ["doctor", "--json"]):
        result = command("--home", str(home), "--agent", "cli", *args)
        assert (result.returncode, result.stderr) == (0, ""), args
    assert json.loads(command("--home", str(home), "report", "--json").stdout)["totals"]["nanoAiu"]


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are texts there")
def test_a_home_whose_name_is_no_text(home: Path) -> None:
    odd = os.fsdecode(os.fsencode(home.parent) + b"/bad\xff name")
    os.rename(home, odd)
    for args in (["report"], ["list"], ["explain", VSCODE_SESSION], ["show", CLI_SESSION]):
        found = fields(command(*args, "--json", HOME=odd))
    assert found["totals"]["nanoAiu"] == CLI_NANO


def test_figures_beyond_64_bits_are_printed(home: Path) -> None:
    log = journal(home)
    log.write_bytes(log.read_bytes().replace(b"5612100000", b"5e30"))
    (home / ".copilot/session-store.db").unlink()
    report = fields(command("--home", str(home), "--agent", "cli", "report", "--json"))
    assert report["totals"]["nanoAiu"] == 5 * 10**30


def test_an_empty_machine_is_no_error(tmp_path: Path) -> None:
    assert fields(command("report", "--home", str(tmp_path), "--json"))["totals"]["requests"] == 0
    assert command("list", "--home", str(tmp_path)).returncode == 0
    result = command("report", "--home", str(tmp_path))
    assert (result.returncode, "doctor" in result.stdout) == (0, True)
    assert command("latest", "--home", str(tmp_path)).returncode == 1


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
@pytest.mark.parametrize("args", ["prices --json", "list", "report --json", "--help"])
def test_a_reader_that_stops_is_no_error(recorded: Path, args: str) -> None:
    line = f"{sys.executable} -m session_usage.cli {args} --home '{recorded}'"
    result = subprocess.run(
        ["bash", "-c", f"{line} | head -n 1; echo ${{PIPESTATUS[0]}}; {line} | true; "
                       "echo ${PIPESTATUS[0]}"],
        capture_output=True, encoding="utf-8", env=environment(), check=False, timeout=60,
    )  # fmt: skip
    first, *codes = result.stdout.splitlines()
    assert (codes, result.stderr) == (["0", "0"], "")
    assert first


# ---- the command as a program


def test_help_names_the_commands_and_exit_codes() -> None:
    result = command("--help")
    assert result.returncode == 0
    assert "exit codes: 0 " in result.stdout
    assert "; 1 " in result.stdout
    assert "; 2 " in result.stdout
    for name in ("latest", "show", "find", "list", "batch", "report", "explain", "prices",
                 "doctor", "completion"):  # fmt: skip
        assert f"\n    {name} " in result.stdout
        assert command(name, "--help").returncode == 0


def test_version() -> None:
    result = command("--version")
    assert (result.returncode, result.stdout[:14]) == (0, "session-usage ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_scripts(shell: str) -> None:
    result = command("completion", shell)
    assert (result.returncode, result.stderr) == (0, "")
    assert "session-usage" in result.stdout
    if shell == "bash" and shutil.which("bash"):
        subprocess.run(["bash", "-n"], input=result.stdout, text=True, check=True, timeout=60)


SLOW = ("pygls", "lsprotocol", "attr", "attrs", "rich", "asyncio", "shtab", "platformdirs")


@pytest.mark.parametrize(
    "args", [["--help"], ["list", "--json"], ["list", "--csv"], ["report", "--json"]], ids=str
)
def test_nothing_slow_is_imported_for_a_plain_answer(recorded: Path, args: list[str]) -> None:
    script = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from session_usage.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, "--home", str(recorded), *args],
        capture_output=True, encoding="utf-8", env=environment(), check=True, timeout=60,
    )  # fmt: skip
    loaded = {name.partition(".")[0] for name in result.stderr.split()}
    assert "session_usage" in loaded
    assert not loaded & set(SLOW)


def test_R18_no_command_touches_the_logs(home: Path) -> None:
    def state() -> dict[str, tuple[bytes, int]]:
        return {
            str(path): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in home.rglob("*")
            if path.is_file() and not path.name.endswith("-shm")
        }

    before = state()
    for args in COMMANDS.values():
        assert command("--home", str(home), *args).returncode == 0
    assert state() == before
