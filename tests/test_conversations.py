"""Projects, sessions and messages of each agent. Checks are numbered as in their description.

``data/session-providers`` is a home folder in the formats of an older library and what that
library said of it. Where the real programs' formats tell more, the difference is stated here.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from session_usage import providers
from session_usage.conversations import (
    SessionProvider,
    list_all_sessions,
    wire,
)
from session_usage.errors import (
    ProjectNotFound,
    ProviderNotFound,
    SessionNotFound,
    SessionUsageError,
)
from session_usage.events import Meta, Problem, Source
from session_usage.messages import Message, SessionSummary, joined, spoken
from session_usage.places import Places, here
from session_usage.providers import Provider, default_providers, provider_for, register

DATA = Path(__file__).parent / "data"
HOME = DATA / "session-providers/home"
GOLDEN: dict[str, Any] = json.loads((DATA / "session-providers/expected.json").read_text("utf-8"))
CLAUDE = GOLDEN["claude-code"]
GEMINI = GOLDEN["gemini"]


def at(agent: str, home: Path | str = HOME) -> SessionProvider:
    return SessionProvider(agent, here(str(home)))


def golden(summary: SessionSummary) -> dict[str, Any]:
    return wire(summary)


def said(agent: str, session: str) -> list[Message]:
    found: list[Message] = []
    at(agent).scan_messages(session, found.append)
    return found


def plain(message: Message) -> dict[str, Any]:
    """As the older library writes a message: nothing of ours beside it."""
    found = wire(message)
    kept = {name: found[name] for name in found if name not in ("path", "offset", "turn")}
    kept.pop("subagent", None)
    return kept


def utc(message: dict[str, Any]) -> dict[str, Any]:
    """A recorded message as we write it: its time in UTC, no null fields."""
    found = {name: value for name, value in message.items() if value is not None}
    if found["timestamp"] == "2026-01-02T03:04:06.5+02:00":
        found["timestamp"] = "2026-01-02T01:04:06.500Z"
    if found.get("parent_id") == "":
        del found["parent_id"]
    return found


class Fake(Provider):
    """Sessions that exist nowhere; ``broken`` says which of its methods fails."""

    agent, label = "fake", "Fake"

    def __init__(self, broken: str = "") -> None:
        self.broken = broken

    def sources(self, places: Places) -> Iterator[Source]:
        if self.broken == "sources":
            raise RuntimeError("no such disk")
        yield Source("fake", "log", "/fake/one", "one", 1, 2_000_000)
        yield Source("fake", "log", "/fake/two", "two", 1, 1_000_000)

    def glance(self, source: Source) -> Iterator[Meta]:
        if self.broken == source.session:
            raise RuntimeError("unreadable")
        yield Meta("fake", source.session or "", source.path, workspace="/work", created_ms=1)

    def messages(self, sources: Sequence[Source], session: str) -> Iterator[Message | Problem]:
        yield Message("m1", session, "user", "chat", "hello")


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    before = dict(providers._registered)
    yield
    providers._registered.clear()
    providers._registered.update(before)


def test_check_1_what_was_registered_is_retrieved() -> None:
    provider = Fake()
    register("fake", provider)
    assert provider_for("fake") is provider
    other = Fake()
    register("fake", other)
    assert provider_for("fake") is other


def test_check_2_unknown_types_are_not_found() -> None:
    for name in ("nope", ""):
        with pytest.raises(ProviderNotFound, match="unknown agent"):
            provider_for(name)
        with pytest.raises(ProviderNotFound):
            SessionProvider(name)


def test_check_3_the_map_of_providers_is_a_copy() -> None:
    default_providers().clear()
    default_providers()["fake"] = Fake()
    assert "fake" not in default_providers()
    assert default_providers()


def test_check_4_built_in_types_answer_to_their_names() -> None:
    found = default_providers()
    for name, kind in GOLDEN["providers"].items():
        assert found[name].agent == kind
        assert at(name).agent_type == kind


def test_check_5_all_sessions_are_those_of_every_agent() -> None:
    register("fake", Fake())
    found = list_all_sessions(here(str(HOME)))
    assert [one.id for one in found.sessions["gemini"]] == ["g2", "g1", "g3"]
    assert [one.id for one in found.sessions["fake"]] == ["one", "two"]
    for agent in ("claude-code", "gemini"):
        ids = {one.id for one in found.sessions[agent]}
        assert {one["id"] for one in GOLDEN["all_sessions"][agent]} <= ids
    assert "opencode" not in found.sessions
    assert found.failures == []
    only = list_all_sessions(here(str(HOME)), {"gemini": provider_for("gemini")})
    assert set(only.sessions) == {"gemini"}


def test_check_6_an_agent_that_fails_is_named_and_the_others_listed() -> None:
    register("fake", Fake("sources"))
    found = list_all_sessions(here(str(HOME)))
    assert set(found.sessions) == {"claude-code", "gemini"}
    assert found.failures == [("fake", None, "RuntimeError: no such disk")]


def test_check_7_a_session_that_fails_is_named_and_the_others_listed() -> None:
    register("fake", Fake("two"))
    found = list_all_sessions(here(str(HOME)))
    assert [one.project_path for one in found.sessions["fake"]] == ["/work", None]
    assert found.failures == [("fake", "two", "RuntimeError: unreadable")]


def test_check_8_record_types_become_message_types() -> None:
    types = [message.type for message in said("claude-code", "s1")]
    assert types == [message["type"] for message in CLAUDE["scan"]["s1"]]
    assert set(types) == {"chat", "tool-use", "tool-result", "progress", "snapshot"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("plain", "plain"),
        ("<thinking>a</thinking> b", "b"),
        ("<thinking>a</thinking> b </thinking>c", "b"),
        ("<thinking>open", "<thinking>open"),
        ("", ""),
    ],
)
def test_check_9_thinking_is_taken_out(content: str, expected: str) -> None:
    assert spoken(content) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("text", "text"),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb"),
        ([{"type": "thinking", "text": "no"}, {"type": "text", "text": "yes"}], "yes"),
        ([{"type": "text", "text": ""}, {"type": "image"}], ""),
        ({"type": "text", "text": "alone"}, "alone"),
        (5, ""),
        (None, ""),
    ],
)
def test_check_10_blocks_are_joined(content: Any, expected: str) -> None:
    assert joined(content) == expected


@pytest.mark.parametrize("session", ["s1", "s2", "ni", "bi", "orphan"])
def test_check_11_messages_are_as_recorded(session: str) -> None:
    """Times are in UTC; what has no time has none, where the older library says now."""
    found = [plain(message) for message in said("claude-code", session)]
    assert found == [utc(message) for message in CLAUDE["scan"][session]]


def test_check_12_projects_have_their_true_paths() -> None:
    """The older library decodes the folders' names: /home/u/my/app, and misses /home/u/noindex."""
    found = at("claude-code").list_projects()
    assert found == ["/home/u/app", "/home/u/badindex", "/home/u/my-app", "/home/u/noindex",
                     "relative"]  # fmt: skip
    assert set(CLAUDE["projects"]) - set(found) == {"/home/u/my/app"}
    for spelling in ("/home/u/my-app", "/home/u/my/app"):
        [one] = at("claude-code").list_sessions(spelling)
        assert golden(one) == CLAUDE["list"][spelling][0]


def test_check_13_stray_files_are_no_projects() -> None:
    for agent in ("claude-code", "gemini"):
        assert not any("stray" in name for name in at(agent).list_projects())
    assert at("gemini").list_projects() == GEMINI["projects"]


def test_check_14_an_empty_home_has_nothing(tmp_path: Path) -> None:
    for agent in default_providers():
        empty = at(agent, tmp_path)
        assert empty.list_projects() == []
        with pytest.raises(ProjectNotFound):
            empty.list_sessions("/home/u/app")
        with pytest.raises(SessionNotFound):
            empty.read_session("s1")
    assert list_all_sessions(here(str(tmp_path))) == ({}, [])


def test_check_15_summaries_have_their_fields_the_latest_first() -> None:
    """The older library knows no session without an index, and no prompt that is not in it."""
    found = {one.id: one for one in at("claude-code").list_sessions("/home/u/app")}
    assert list(found) == ["s2", "s1", "orphan", "s-noidx"]
    for expected in CLAUDE["list"]["/home/u/app"]:
        prompt = {"first_prompt": "only"} if expected["id"] == "s2" else {}
        assert golden(found[expected["id"]]) == expected | prompt
    assert found["orphan"].first_prompt == "not in index"
    [relative] = at("claude-code").list_sessions("relative")
    assert golden(relative) == CLAUDE["list"]["relative"][0]


def test_check_16_unknown_projects_are_not_found() -> None:
    for agent in ("claude-code", "gemini", "opencode"):
        with pytest.raises(ProjectNotFound, match="/nope"):
            at(agent).list_sessions("/nope")


def test_check_16_a_missing_or_broken_index_hides_nothing() -> None:
    """The older library fails there: the program itself has stopped writing indexes."""
    assert [one.id for one in at("claude-code").list_sessions("/home/u/noindex")] == ["ni"]
    assert [one.id for one in at("claude-code").list_sessions("/home/u/badindex")] == ["bi"]


def test_check_17_a_header_counts_but_says_nothing() -> None:
    assert [message.id for message in said("claude-code", "s1")][:2] == ["s1-1", "s1-2"]
    assert [message.id for message in said("claude-code", "s2")] == ["s2-0"]


def test_check_18_what_is_no_json_is_a_problem_and_no_message() -> None:
    problems = at("claude-code").scan_messages("s1", lambda message: None)
    assert [(problem.kind, problem.offset) for problem in problems] == [("malformed", 499)]


@pytest.mark.parametrize(("agent", "session"), [("claude-code", "s1"), ("gemini", "g1")])
def test_check_19_an_error_of_the_callback_ends_the_scan(agent: str, session: str) -> None:
    seen: list[str] = []

    def stop(message: Message) -> None:
        seen.append(message.id)
        if len(seen) == 2:
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        at(agent).scan_messages(session, stop)
    assert len(seen) == 2


def test_check_20_unknown_sessions_are_not_found() -> None:
    for agent in ("claude-code", "gemini", "opencode"):
        for ask in (at(agent).read_session, at(agent).messages, at(agent).requests):
            with pytest.raises(SessionNotFound, match="nope"):
                ask("nope")
        with pytest.raises(SessionNotFound):
            at(agent).scan_messages("nope", print)


def test_check_20_sessions_outside_of_the_index_are_read() -> None:
    for session in ("orphan", "ni", "bi"):
        [message] = at("claude-code").read_session(session).messages
        assert message.role == "user"


@pytest.mark.parametrize("session", ["g1", "g2", "g3"])
def test_check_21_gemini_content_roles_and_types(session: str) -> None:
    found = at("gemini").read_session(session)
    recorded = GEMINI["read"][session]
    assert golden(found.summary) == {n: v for n, v in recorded.items() if n != "messages"}
    expected = [utc(message) for message in recorded["messages"] or ()]
    assert [plain(message) for message in found.messages] == expected


def test_check_22_a_first_prompt_is_cut() -> None:
    [_, first] = at("gemini").list_sessions("abc123")
    assert len(first.first_prompt or "") == 203
    assert golden(first) == GEMINI["list"]["abc123"][1]


def test_check_23_a_session_without_messages_is_empty() -> None:
    assert at("gemini").read_session("g2").messages == []
    assert at("claude-code").read_session("h1").messages == []


def test_check_24_opencode_is_read_where_the_older_library_refuses(tmp_path: Path) -> None:
    home = Path(shutil.copytree(DATA / "opencode/multi-turn/home", tmp_path / "home"))
    [script] = home.rglob("*.sql")
    with closing(sqlite3.connect(script.with_suffix(".db"))) as connection:
        connection.executescript(script.read_text("utf-8"))
    found = SessionProvider("opencode", here(str(home)))
    [project] = found.list_projects()
    sessions = found.list_sessions(project)
    assert sessions
    assert found.read_session(sessions[0].id).messages


def test_check_25_the_database_with_and_without_xdg(tmp_path: Path) -> None:
    data = DATA / "session-providers/xdg"
    named = Places("/nonexistent", {"XDG_DATA_HOME": str(data)}, "linux")
    assert SessionProvider("opencode", named).database_path() == str(data / "opencode/opencode.db")
    nothing = Places(str(tmp_path), {"XDG_DATA_HOME": str(tmp_path)}, "linux")
    assert (
        SessionProvider("opencode", nothing).database_path() == GOLDEN["opencode_db"]["xdg_no_file"]
    )
    default = tmp_path / ".local/share/opencode/opencode.db"
    default.parent.mkdir(parents=True)
    default.touch()
    assert SessionProvider("opencode", here(str(tmp_path))).database_path() == str(default)
    assert SessionProvider("gemini", here(str(tmp_path))).database_path() == ""


def test_example_7_usage_is_told_beside_the_message() -> None:
    usage = said("claude-code", "s1")[1].usage
    assert usage is not None
    assert usage[:4] == (100, 50, 20, 10)


def test_a_line_over_64_kib_is_read(tmp_path: Path) -> None:
    """The older library fails there; such lines are normal."""
    folder = tmp_path / ".claude/projects/-long"
    folder.mkdir(parents=True)
    record = {"type": "user", "role": "user", "content": "x" * 200_000}
    (folder / "long.jsonl").write_text(json.dumps(record) + "\n")
    [message] = at("claude-code", tmp_path).read_session("long").messages
    assert len(message.content) == 200_000


def test_messages_of_a_big_session_stream(tmp_path: Path) -> None:
    import tracemalloc

    folder = tmp_path / ".claude/projects/-big"
    folder.mkdir(parents=True)
    record = json.dumps({"type": "user", "role": "user", "content": "x" * 10_000}) + "\n"
    (folder / "big.jsonl").write_text(record * 2000)
    provider = at("claude-code", tmp_path)
    count = 0

    def one_more(message: Message) -> None:
        nonlocal count
        count += 1

    tracemalloc.start()
    provider.scan_messages("big", one_more)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 2000
    assert peak < 4_000_000


def test_nothing_is_written_while_reading(tmp_path: Path) -> None:
    home = Path(shutil.copytree(HOME, tmp_path / "home"))
    before = sorted((str(path), path.stat().st_mtime_ns) for path in home.rglob("*"))
    for folder in (*home.rglob("*"), home):
        if folder.is_dir():
            os.chmod(folder, 0o500)
    list_all_sessions(here(str(home)))
    at("claude-code", home).read_session("s1")
    for folder in (home, *home.rglob("*")):
        if folder.is_dir():
            os.chmod(folder, 0o700)
    assert sorted((str(path), path.stat().st_mtime_ns) for path in home.rglob("*")) == before


def test_errors_are_errors_of_ours() -> None:
    for error in (ProviderNotFound, ProjectNotFound, SessionNotFound):
        assert issubclass(error, SessionUsageError)
        assert issubclass(error, LookupError)
