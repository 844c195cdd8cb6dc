"""The Python API: the reference answers, and the places where we are right and they are not.

``data/api/expected.json`` holds what copilot-session-usage 0.9.4 answers for the sessions
beside it. They hold with ``fallback="default"`` and its price folder, but for the defects
D1 to D14 below. Texts of diagnostics and errors are ours: only their kind is compared.
"""

from __future__ import annotations

import copy
import inspect
import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from session_usage import api
from session_usage.analysis import shapes, summaries

DATA = Path(__file__).parent / "data" / "api"
GOLDEN = json.loads((DATA / "expected.json").read_text(encoding="utf-8"))
OLD = {"ref_dir": "pricing", "fallback": "default"}
STORAGE = "fixtures/workspaceStorage"
ERRORS = {"c12-empty", "c13-not-events", "c14-no-uuid"}
AGGREGATED = {
    "aggregate/vscode": ("v01-billed", "v02-mixed-billing", "v05-prefix", "v09-empty"),
    "aggregate/cli": ("c01-billed", "c05-no-usage", "c06-partial-metrics", "c08-unattributed"),
}
DIAGNOSED = {
    "c04-checkpoint-only": ("no run of it ended cleanly", "belong to no model"),
    "c05-no-usage": ("no usage was recorded",),
    "c06-partial-metrics": ("totals of a model are no object", "incomplete token counts"),
    "c08-unattributed": ("belong to no model",),
    "c09-schema-version": ("2 lines could not be read", "schema version is 2"),
    "c10-bad-timestamps": ("2 events without a readable time",),
}


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """The fixtures, in a folder that SQLite may touch."""
    folder = tmp_path_factory.mktemp("api") / "work"
    shutil.copytree(DATA, folder)
    (folder / "fixtures/vscode/v09-empty").mkdir(exist_ok=True)
    return folder


@pytest.fixture(autouse=True)
def _own_home(copied, tmp_path, monkeypatch):
    """The fixtures as working folder, and a home in which nothing is."""
    (tmp_path / "home").mkdir()
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "COPILOT_HOME", "VSCODE_PORTABLE", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SESSION_USAGE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(copied)


@pytest.fixture
def own_copy(copied, tmp_path, monkeypatch):
    """A working folder that the test may change."""
    shutil.copytree(copied, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")


def place(name: str) -> tuple[str, str]:
    """Path and agent of a golden case."""
    if name.startswith("v"):
        return f"fixtures/vscode/{name}", "vscode"
    folder = f"fixtures/cli/{name}"
    path = f"{folder}/{os.listdir(folder)[0]}"
    return (f"{path}/export.jsonl" if name == "c11-export-file" else path), "cli"


def full(name: str, **options):
    path, agent = place(name)
    return api.analyze_session(path, "full", agent, **options)


def cases(group: str) -> list[str]:
    return sorted(name.partition("/")[2] for name in GOLDEN if name.startswith(group + "/"))


def golden(name: str):
    return copy.deepcopy(GOLDEN[("vscode/" if name.startswith("v") else "cli/") + name])


def write(path, *lines) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


# the golden groups


@pytest.mark.parametrize("name", sorted(set(cases("cli")) - ERRORS))
def test_golden_cli(name):
    wanted, found = golden(name), full(name, **OLD)
    diagnostics = found.pop("diagnostics")
    del wanted["diagnostics"]
    assert found == wanted
    expected = DIAGNOSED.get(name, ())
    for text in expected:
        assert any(text in line for line in diagnostics), (text, diagnostics)
    if name != "c09-schema-version":  # event types nobody knows are the provider's business
        assert len(diagnostics) == len(expected)


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_golden_cli_errors(name):
    assert golden(name)["error"] == "ValueError"
    with pytest.raises(ValueError, match=name):
        full(name, **OLD)


DIFFERENT = {"v04-utility", "v05-prefix", "v10-no-ts"}
"""By D10, by D1 and D2, by D9: see there."""


@pytest.mark.parametrize("name", sorted(set(cases("vscode")) - DIFFERENT))
def test_golden_vscode(name):
    assert full(name, **OLD) == golden(name)


def test_golden_vscode_v04_but_for_the_billed_utility_call():
    wanted = golden("v04-utility")
    tokens = {"input_tokens": 9, "output_tokens": 9, "llm_calls": 1}
    for row in (wanted["total"], wanted["subagents"][0], wanted["skills"]["breakdown"][0]):
        for field, value in tokens.items():
            row[field] += value
    wanted["models"].append("gpt-4o-mini")
    wanted["model_breakdown"].append(
        {"model": "gpt-4o-mini", "cached_tokens": 0, "estimated_usd": 0.0, **tokens}
    )
    assert full("v04-utility", **OLD) == wanted


def test_golden_vscode_v05_but_for_names():
    wanted, found = golden("v05-prefix"), full("v05-prefix", **OLD)
    mine = {row["model"]: row for row in found["model_breakdown"]}
    for row in wanted["model_breakdown"]:
        ours = {"beta-opus-9-fast-mode": 10.005002, "Beta-Sonnet-9": 0.00375}.get(row["model"])
        assert mine[row["model"]] == row | ({} if ours is None else {"estimated_usd": ours})
    changed = {"models", "model_breakdown", "fallback_pricing_models", "total", "skills"}
    changed |= {"subagents"}
    assert {k: found[k] for k in wanted.keys() - changed} == {
        k: wanted[k] for k in wanted.keys() - changed
    }
    assert found["total"] == wanted["total"] | {"estimated_usd": 14.0888}


def test_golden_vscode_v10_but_for_its_ratio():
    wanted = golden("v10-no-ts")
    wanted["total"]["cache_ratio"] = 1.0
    assert full("v10-no-ts", **OLD) == wanted


def test_golden_shape_keys():
    for detail, keys in GOLDEN["shape/keys"].items():
        found = api.analyze_session("fixtures/vscode/v01-billed", detail, **OLD)
        assert sorted(found) == keys


def test_golden_batch_mixed():
    sessions = [golden(name) for name in ("v01-billed", "c05-no-usage", "c01-billed")]
    assert summaries.summary(sessions) == GOLDEN["batch/mixed"]["summary"]
    found = [full(name, **OLD) for name in ("v01-billed", "c05-no-usage", "c01-billed")]
    assert [shapes.level(session, "minimal") for session in found] == (
        GOLDEN["batch/mixed"]["sessions"]
    )


@pytest.mark.parametrize("name", sorted(AGGREGATED))
def test_golden_aggregate(name):
    wanted = copy.deepcopy(GOLDEN[name])
    tokens = wanted["total_input_tokens"] + wanted["total_output_tokens"]  # D7
    wanted["total_tokens"] = tokens
    wanted["cost_per_1m_tokens"] = round(wanted["total_estimated_usd"] / tokens * 1e6, 4)
    assert api.aggregate_sessions([golden(one) for one in AGGREGATED[name]]) == wanted


def test_golden_pricing_table():
    assert api.load_pricing("pricing")["models"] == GOLDEN["pricing/table"]


@pytest.mark.usefixtures("own_copy")
def test_golden_discovery():
    wanted = GOLDEN["discovery/vscode"]
    roots = [STORAGE]
    for nanoseconds, path in ((1, "hash1/{}/a1"), (2, "hash2/{}/b1")):
        log = f"{STORAGE}/{path.format('GitHub.copilot-chat/debug-logs')}/main.jsonl"
        os.utime(log, ns=(nanoseconds, nanoseconds))

    def ids(rows):
        return [row["session_id"] for row in rows]

    assert api.list_sessions(roots) == wanted["list"]
    assert ids(api.list_sessions(roots, limit=1)) == wanted["list_limit1"]
    since = api.list_sessions(roots, since="1970-01-01T00:33:20Z")
    assert ids(since) == wanted["list_since_1970-01-01T00:33:20Z"]
    until = api.list_sessions(roots, until="1970-01-01T00:33:20Z")
    assert ids(until) == wanted["list_until_00:33:20"]
    named = api.list_sessions(roots, name_pattern="login")
    assert ids(named) == wanted["list_name_regex_login"]
    filtered = api.list_sessions(roots, workspace_filter="proj-a")
    assert ids(filtered) == wanted["list_workspace_proj-a"]
    assert ids(api.find_sessions_by_title("", roots)) == wanted["find_title_empty"]
    assert ids(api.find_sessions_by_title("login", roots)) == wanted["find_title_login"]
    assert api.find_session_by_id("a1", roots)["title"] == wanted["find_id_a1_title"]
    assert api.find_session_by_id("a2", roots) is wanted["find_id_a2(no logs)"] is None
    assert api.find_session_by_id("zz", roots) is None
    assert api.analyze_latest(roots)["session_id"] == wanted["latest"]
    only = api.analyze_latest(roots, workspace_filter="proj-a")
    assert only["session_id"] == wanted["latest_workspace_proj-a"]
    batch = api.batch_analyze(2, roots, "minimal", **OLD)
    assert ids(batch["sessions"]) == wanted["batch_ids"]
    summary = wanted["batch2_minimal"]
    assert {name: batch["summary"][name] for name in summary} == summary


SLASH = {"/a": "/a", " /a": "/a", "/a b": "/a b", "/a\nb": "/a b", "/a b c d": "/a b", "/": None}


@pytest.mark.parametrize(
    ("message", "name"), [*SLASH.items(), ("a /b", None), ("/ns:x y", "/ns x")]
)
def test_golden_slash_commands(message, name):
    from session_usage.analysis.facts import command

    assert command(message) == name


# D1 to D14: what the reference gets wrong


def test_D1_fast_mode_has_its_own_rate():
    rows = {row["model"]: row for row in full("v05-prefix", **OLD)["model_breakdown"]}
    assert rows["beta-opus-9-fast-mode"]["estimated_usd"] == 10.005002  # $1,000.50 per million


def test_D2_names_match_in_any_case():
    found = full("v05-prefix", **OLD)
    rows = {row["model"]: row for row in found["model_breakdown"]}
    assert rows["Beta-Sonnet-9"]["estimated_usd"] == 0.00375
    assert "Beta-Sonnet-9" not in found["fallback_pricing_models"]


def test_D3_an_unknown_model_has_no_price():
    found = full("v05-prefix", ref_dir="pricing")
    rows = {row["model"]: row for row in found["model_breakdown"]}
    assert rows["gamma"]["estimated_usd"] is rows["unknown"]["estimated_usd"] is None
    assert found["unpriced_models"] == ["gamma", "unknown"]
    assert found["fallback_pricing_models"] == []
    assert found["total"]["unknown_requests"] == 2
    # only the compatibility mode guesses, and names the models
    assert full("v05-prefix", **OLD)["fallback_pricing_models"] == ["gamma", "unknown"]


@pytest.mark.parametrize(
    "filters",
    [{"until": "1970-01-01T00:33:20Z"}, {"name_pattern": "login"}, {"workspace_filter": "proj-b"}],
    ids=lambda filters: next(iter(filters)),
)
def test_D4_filters_come_before_the_limit(filters):
    found = api.list_sessions([STORAGE], limit=1, **filters)
    assert [row["session_id"] for row in found] == ["b1"]
    batch = api.batch_analyze(1, [STORAGE], **filters)
    assert [row["session_id"] for row in batch["sessions"]] == ["b1"]


@pytest.mark.usefixtures("own_copy")
def test_D5_latest_is_the_session_whose_log_grew_last():
    logs = {name: f"{STORAGE}/hash{n}/GitHub.copilot-chat/debug-logs/{name}" for n, name in
            ((1, "a1"), (2, "b1"))}  # fmt: skip
    os.utime(logs["b1"] + "/main.jsonl", ns=(5, 5))
    with open(logs["a1"] + "/main.jsonl", "a", encoding="utf-8") as file:
        file.write("\n")
    os.utime(logs["a1"] + "/main.jsonl", ns=(9, 9))
    os.utime(logs["a1"], ns=(1, 1))
    os.utime(logs["b1"], ns=(8, 8))
    assert api.analyze_latest([STORAGE])["session_id"] == "a1"


def test_D6_ordinary_events_are_no_diagnostics():
    for name in ("c05-no-usage", "c10-bad-timestamps"):
        assert not any("user.message" in line for line in full(name)["diagnostics"])


def test_D7_cached_tokens_are_a_part_of_the_input():
    found = api.aggregate_sessions([full("v01-billed")])
    assert found["total_tokens"] == 3000 + 120
    assert found["cost_per_1m_tokens"] == round(0.0012 / 3120 * 1e6, 4)


@pytest.mark.parametrize("text", ["x", "2026-13-01", "yesterday-ish"])
@pytest.mark.parametrize("bound", ["since", "until"])
def test_D8_a_time_that_is_none_is_an_error(bound, text):
    with pytest.raises(ValueError, match="no such time"):
        api.list_sessions([STORAGE], **{bound: text})
    with pytest.raises(ValueError, match="no such time"):
        api.batch_analyze(1, [STORAGE], **{bound: text})


def test_D9_a_ratio_is_never_above_1():
    assert full("v10-no-ts", **OLD)["total"]["cache_ratio"] == 1.0
    assert full("v10-no-ts")["total"]["cache_ratio"] == 1.0


def test_D10_a_billed_utility_call_counts():
    assert "gpt-4o-mini" in full("v04-utility", **OLD)["models"]
    rows = {row["model"]: row for row in full("v04-utility")["model_breakdown"]}
    assert (rows["gpt-4o-mini"]["nano_aiu"], rows["gpt-4o-mini"]["basis"]) == (5000, "billed")


@pytest.mark.usefixtures("own_copy")
def test_D11_a_session_that_no_index_names_is_listed():
    folder = f"{STORAGE}/hash3/GitHub.copilot-chat/debug-logs/z9"
    write(f"{folder}/main.jsonl", {"ts": 2500000, "type": "llm_request", "attrs": {"model": "m"}})
    rows = {row["session_id"]: row for row in api.list_sessions([STORAGE])}
    assert list(rows) == ["a2", "z9", "b1", "a1"]
    assert rows["z9"]["created_ms"] == 2500000
    assert (rows["z9"]["title"], rows["z9"]["has_debug_logs"]) == (None, True)
    assert rows["z9"]["debug_log_dir"] == folder


@pytest.mark.parametrize("text", ["2026-W27-3", "20260701"])
def test_D12_week_dates_and_basic_dates_are_refused_on_every_python(text):
    with pytest.raises(ValueError, match="no such time"):
        api.list_sessions([STORAGE], since=text)


def test_empty_and_padded_times():
    assert len(api.list_sessions([STORAGE], since="", until=None)) == 3
    assert api.list_sessions([STORAGE], since=" 2026-07-01 ") == []


START = {
    "type": "session.start",
    "timestamp": "2026-09-01T10:00:00.000Z",
    "data": {"sessionId": "x", "version": 1, "startTime": "2026-09-01T09:59:58.000Z"},
}


def run(minute: int, nano, model="alpha-two", prompt=1000, output=10, count=1, **more):
    metric = {
        "requests": {"count": count, **more},
        "usage": {"inputTokens": prompt, "outputTokens": output, "cacheReadTokens": 0,
                  "cacheWriteTokens": 0},
        "totalNanoAiu": nano,
    }  # fmt: skip
    data = {"modelMetrics": {model: metric}, "totalNanoAiu": nano, "totalApiDurationMs": 1000}
    stamp = f"2026-09-01T10:{minute:02}:00.000Z"
    return {"type": "session.shutdown", "timestamp": stamp, "data": data}


SESSION = "0000aaaa-0000-4000-8000-000000000000"


@pytest.mark.parametrize("options", [{}, OLD], ids=["ours", "compatible"])
@pytest.mark.usefixtures("own_copy")
def test_D13_a_counters_0_beside_tokens_is_no_bill(options):
    write(f"{SESSION}/events.jsonl", START, run(1, 0))
    found = api.analyze_session(SESSION, "full", "cli", **options)
    assert found["provider_usage"]["total_nano_aiu"] is None
    assert found["total"]["estimated_usd"] != 0
    if not options:  # nobody's list has this model
        assert found["total"]["estimated_usd"] is None
        assert found["total"]["basis"] == "unknown"


@pytest.mark.parametrize("options", [{}, OLD], ids=["ours", "compatible"])
@pytest.mark.usefixtures("own_copy")
def test_D14_totals_of_single_runs_are_added(options):
    resume = {"type": "session.resume", "timestamp": "2026-09-01T10:02:00.000Z", "data": {}}
    runs = (run(1, 3_000_000_000, prompt=5000, cost=1), resume, run(3, 1_000_000_000, cost=1))
    write(f"{SESSION}/events.jsonl", START, *runs)
    found = api.analyze_session(SESSION, "full", "cli", **options)
    assert found["total"]["estimated_usd"] == 0.04
    assert found["total"]["input_tokens"] == 6000
    assert found["provider_usage"]["total_nano_aiu"] == 4_000_000_000


# our own rules


def test_own_rules_say_how_an_amount_is_known():
    found = full("v02-mixed-billing")
    total = found["total"]
    # R11: nothing was billed in credits in May 2026 but what a log bills
    assert (total["estimated_usd"], total["billed_usd"], total["basis"]) == (0.1, 0.1, "billed")
    assert total["nano_aiu"] == 10_000_000_000
    assert total["unknown_requests"] == 2
    # R11 does not hold for prices that the caller names
    assert full("v02-mixed-billing", ref_dir="pricing")["total"]["unknown_requests"] == 0


def test_own_rules_keep_unknown_counts_unknown():
    found = full("v09-empty")["total"]
    assert (found["input_tokens"], found["estimated_usd"], found["llm_calls"]) == (None, None, 0)


@pytest.mark.parametrize("name", sorted({*cases("cli"), *cases("vscode")} - ERRORS))
def test_own_rules_rows_add_up(name):
    found = full(name)
    assert set(golden(name)) <= set(found)
    assert set(golden(name)["total"]) <= set(found["total"])
    known = sum(row["nano_aiu"] or 0 for row in found["model_breakdown"])
    rest = round((found["total"].get("unattributed_usd") or 0) * 1e11)
    assert known + rest == (found["total"]["nano_aiu"] or 0)
    if place(name)[1] == "vscode":
        for rows in (found["subagents"], found["skills"]["breakdown"]):
            assert sum(row["nano_aiu"] or 0 for row in rows) == known


@pytest.mark.usefixtures("own_copy")
def test_own_rules_count_a_repeated_line_once():
    line = {"ts": 1790000000000, "spanId": "a", "type": "llm_request",
            "attrs": {"model": "m", "inputTokens": 1, "outputTokens": 1,
                      "copilotUsageNanoAiu": 7}}  # fmt: skip
    write("s1/main.jsonl", line, line)
    assert api.analyze_session("s1")["total"]["llm_calls"] == 1
    assert api.analyze_session("s1", **OLD)["total"]["llm_calls"] == 2


@pytest.mark.usefixtures("own_copy")
def test_sums_are_exact():
    line = {"ts": 1790000000000, "type": "llm_request", "spanId": "a",
            "attrs": {"model": "m", "copilotUsageNanoAiu": 4_000_000}}  # fmt: skip
    for number in range(3):
        write(f"s{number}/main.jsonl", line)
    sessions = [api.analyze_session(f"s{number}", "full") for number in range(3)]
    assert [session["total"]["estimated_usd"] for session in sessions] == [0.0, 0.0, 0.0]
    assert api.aggregate_sessions(sessions)["total_estimated_usd"] == 0.0001  # B17


# arguments


def test_exported_names():
    assert api.__all__ == [
        "aggregate_sessions",
        "analyze_latest",
        "analyze_session",
        "batch_analyze",
        "find_session_by_id",
        "find_sessions_by_title",
        "list_sessions",
        "load_pricing",
        "pricing_status",
        "refresh_pricing",
    ]


@pytest.mark.parametrize("name", api.__all__)
def test_every_function_is_described(name):
    assert len(inspect.getdoc(getattr(api, name)) or "") > 40


SIGNATURES = {
    "analyze_session": ["path", "detail", "agent"],
    "list_sessions": ["workspace_roots", "limit", "since", "workspace_filter", "agent"],
    "find_sessions_by_title": ["title", "workspace_roots", "agent"],
    "find_session_by_id": ["session_id", "workspace_roots", "agent"],
    "analyze_latest": ["workspace_roots", "detail", "workspace_filter", "agent"],
    "batch_analyze": ["n", "workspace_roots", "detail", "since", "workspace_filter", "agent"],
    "load_pricing": ["ref_dir"],
}


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_arguments_are_those_of_the_reference_in_its_order(name):
    parameters = inspect.signature(getattr(api, name)).parameters
    assert list(parameters)[: len(SIGNATURES[name])] == SIGNATURES[name]
    defaults = {"detail": "compact", "agent": "vscode", "limit": 20}
    for argument, value in defaults.items():
        if argument in parameters:
            assert parameters[argument].default == value


@pytest.mark.parametrize(
    "call",
    [
        lambda: api.list_sessions(agent="copilot"),
        lambda: api.list_sessions([STORAGE], agent="all"),
        lambda: api.analyze_session("fixtures/vscode/v01-billed", agent="all"),
        lambda: api.analyze_session("fixtures/vscode/v01-billed", "everything"),
        lambda: api.analyze_session("nowhere"),
        lambda: api.analyze_session("fixtures/vscode/v01-billed", agent="cli"),
        lambda: api.analyze_session("pricing", agent="cli"),
        lambda: api.list_sessions([STORAGE], name_pattern="("),
        lambda: api.analyze_latest([]),
        lambda: api.analyze_latest(agent="all"),
        lambda: api.aggregate_sessions([{"total": {}}]),
        lambda: full("v01-billed", fallback="guess"),
    ],
)
def test_wrong_arguments_are_value_errors(call):
    with pytest.raises(ValueError, match=r"\w"):
        call()


def test_a_price_folder_without_prices():
    with pytest.raises(FileNotFoundError):
        full("v01-billed", ref_dir="fixtures")


@pytest.mark.usefixtures("own_copy")
def test_agent_all_takes_roots_by_agent():
    shutil.copytree("fixtures/cli/c01-billed", "copilot/session-state")
    roots = {"vscode": [STORAGE], "cli": [Path("copilot/session-state")]}
    found = api.list_sessions(agent="all", roots_by_agent=roots)
    assert [(row["provider"], row["session_id"][-2:]) for row in found] == [
        ("cli", "00"), ("vscode", "a2"), ("vscode", "b1"), ("vscode", "a1"),
    ]  # fmt: skip
    assert found[0]["title"] == "My title"
    batch = api.batch_analyze(9, agent="all", roots_by_agent=roots)
    assert batch["summary"]["session_count"] == 3
    session = "00000001-0000-4000-8000-000000000000"
    one = api.find_session_by_id(session, agent="all", roots_by_agent=roots)
    assert one["total"]["nano_aiu"] == 406_325_000
    aggregated = api.aggregate_sessions(agent="all", roots_by_agent=roots)
    assert aggregated["session_count"] == 3
    assert api.aggregate_sessions(1, agent="all", roots_by_agent=roots)["session_count"] == 1


@pytest.mark.parametrize(
    "root", ["copilot", "copilot/session-state", "copilot/session-state/", "plain"]
)
@pytest.mark.usefixtures("own_copy")
def test_roots_of_the_cli_are_its_home_or_the_folder_with_sessions(root):
    for folder in ("copilot/session-state", "plain"):
        shutil.copytree("fixtures/cli/c07-agents", folder)
    found = api.analyze_latest([root], agent="cli")
    assert (found["session_id"][:8], found["total"]["estimated_usd"]) == ("00000007", 0.03)


@pytest.mark.usefixtures("own_copy")
def test_own_places_are_found(tmp_path):
    shutil.copytree(STORAGE, tmp_path / "home/.config/Code/User/workspaceStorage")
    shutil.copytree("fixtures/cli/c01-billed", tmp_path / "home/.copilot/session-state")
    found = api.list_sessions(agent="all")
    assert [row["provider"] for row in found] == ["cli", "vscode", "vscode", "vscode"]
    assert len(api.list_sessions()) == 3
    # roots that a caller names are all that is looked at
    assert api.list_sessions([], agent="cli") == []
    assert api.list_sessions(agent="all", roots_by_agent={"vscode": [STORAGE]}) == (
        api.list_sessions([STORAGE])
    )


def test_a_path_in_an_agents_own_folder_has_all_sources():
    path = f"{STORAGE}/hash1/GitHub.copilot-chat/debug-logs/a1"
    assert api.analyze_session(path)["title"] == "Fix login bug"
    assert api.analyze_session(f"{path}/main.jsonl")["session_id"] == "a1"


@pytest.mark.usefixtures("own_copy")
def test_an_exported_journal_names_its_session():
    journal = Path("fixtures/cli/c01-billed") / "00000001-0000-4000-8000-000000000000"
    shutil.copy(journal / "events.jsonl", "export.jsonl")
    found = api.analyze_session(Path("export.jsonl"), "full", "cli")
    assert found["session_id"] == "00000001-0000-4000-8000-000000000000"
    assert found["total"]["nano_aiu"] == 406_325_000


@pytest.mark.usefixtures("own_copy")
def test_R5_a_session_whose_folder_is_gone_is_told_from_the_database():
    Path("copilot/session-state").mkdir(parents=True)
    connection = sqlite3.connect("copilot/session-store.db")
    connection.execute("CREATE TABLE sessions (id, cwd, summary, created_at)")
    connection.execute(
        "INSERT INTO sessions VALUES ('gone', '/w', 'A title', '2026-09-01T10:00:00.000Z')"
    )
    connection.execute(
        "CREATE TABLE assistant_usage_events (session_id, model, input_tokens, output_tokens,"
        " total_nano_aiu, duration_ms, created_at)"
    )
    connection.execute(
        "INSERT INTO assistant_usage_events VALUES"
        " ('gone', 'm', 100, 7, 3000000000, 1000, '2026-09-01T10:00:05.000Z')"
    )
    connection.commit()
    connection.close()
    found = api.find_session_by_id("gone", ["copilot"], "cli")
    assert (found["title"], found["total"]["estimated_usd"]) == ("A title", 0.03)
    assert (found["started_at"], found["duration_seconds"]) == ("2026-09-01T10:00:04Z", 1)
    assert found["model_breakdown"][0]["llm_calls"] == 1
    assert api.batch_analyze(5, ["copilot"], agent="cli")["summary"]["session_count"] == 1


def test_sessions_of_other_agents_have_the_same_shape():
    log = next((DATA.parent / "gemini/v0.8.2").glob("**/session-*.json"))
    found = api.analyze_session(log, "full", "gemini")
    assert found["total"]["llm_calls"] > 0
    assert found["model_breakdown"]
    assert found["session_dir"] == str(log.parent)
    assert set(golden("v01-billed")) <= set(found)
