"""What was said, from logs that the real programs wrote, in every version there is."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from session_usage.conversations import SessionProvider, about, list_all_sessions, messages_of
from session_usage.events import Problem, Request
from session_usage.messages import Message
from session_usage.places import Places, here
from session_usage.sessions import Library

DATA = Path(__file__).parent / "data"
AGENTS = ("claude-code", "codex", "opencode", "gemini")
CASES = [(agent, path.name) for agent in AGENTS for path in sorted((DATA / agent).iterdir())]
ROLES = {"user", "assistant", "system", "tool"}
TYPES = {"chat", "tool-use", "tool-result", "progress", "snapshot"}
UNPLACED = {("opencode", "dbpath"): "its database has a name of its own"}


def home_of(agent: str, case: str, target: Path) -> Path:
    home = Path(shutil.copytree(DATA / agent / case / "home", target / "home"))
    for script in home.rglob("*.sql"):
        with closing(sqlite3.connect(script.with_suffix(".db"))) as connection:
            connection.executescript(script.read_text("utf-8"))
    return home


def copilot(tmp_path: Path) -> Places:
    shutil.copytree(DATA / "copilot-cli/capi-simple/state", tmp_path / ".copilot")
    shutil.copytree(DATA / "vscode/run6-capi-basic/User", tmp_path / ".config/Code/User")
    return here(str(tmp_path))


def sessions(places: Places, agent: str) -> dict[str, list[Message | Problem]]:
    library = Library(places, agent)
    return {
        ref.id: list(messages_of(library, ref, about(library, ref)))
        for ref in library.refs.values()
    } or {
        one.id: list(SessionProvider(agent, places).messages(one.id))
        for one in SessionProvider(agent, places).summaries()
    }


def lines(found: list[Message | Problem]) -> list[tuple[str, ...]]:
    """(role, type, tool, the beginning of what was said)."""
    return [
        (one.role, one.type, one.tool or "", one.content[:40].strip())
        for one in found
        if isinstance(one, Message)
    ]


@pytest.mark.parametrize(("agent", "case"), CASES, ids=[f"{a}-{c}" for a, c in CASES])
def test_every_log_is_read(agent: str, case: str, tmp_path: Path) -> None:
    places = here(str(home_of(agent, case, tmp_path)))
    provider = SessionProvider(agent, places)
    summaries = provider.summaries()
    assert provider.failures == []
    assert summaries or (agent, case) in UNPLACED
    heard = 0
    for summary in summaries:
        assert summary.agent_type == agent
        assert (
            summary.created is None
            or summary.modified is None
            or (summary.created <= summary.modified)
        )
        found = list(provider.messages(summary.id))
        ids: set[str] = set()
        for one in found:
            assert isinstance(one, Message), one
            assert one.role in ROLES
            assert one.type in TYPES
            assert (one.role == "tool") == (one.type == "tool-result")
            assert one.type != "tool-use" or one.role == "assistant"
            assert one.session_id
            assert one.usage is None or one.role == "assistant"
            assert (one.path, one.id) not in ids
            ids.add((one.path, one.id))
        heard += len(found)
        prompts = [one for one in found if (one.role, one.type) == ("user", "chat")]
        if prompts and not prompts[0].subagent:
            assert summary.first_prompt
    assert heard or (agent, case) in UNPLACED


DIALOGUES = {
    ("claude-code", "v2.1.197-multi-turn"): 1,
    ("claude-code", "multi-turn"): 1,
    ("codex", "v0.45.0"): 1,
    ("codex", "v0.104.0"): 1,
    ("codex", "v0.150.0"): 1,
    ("codex", "multi-turn"): 1,
    ("opencode", "v1.1.65"): 1,
    ("opencode", "multi-turn"): 1,
    ("gemini", "v0.8.2"): 1,
    ("gemini", "multi-turn"): 1,
}
"""Conversations of the same play: a prompt, two answers with tools, an answer."""


@pytest.mark.parametrize(("agent", "case"), DIALOGUES, ids=lambda value: value)
def test_a_conversation_is_told_in_order(agent: str, case: str, tmp_path: Path) -> None:
    places = here(str(home_of(agent, case, tmp_path)))
    found = SessionProvider(agent, places)
    said: list[tuple[str, ...]] = []
    for summary in reversed(found.summaries()):
        said += lines(list(found.messages(summary.id)))
    spoken = [(role, text) for role, kind, _, text in said if kind == "chat" and role != "system"]
    texts = [text.partition(" PLAN:")[0].partition(" (")[0].strip('"') for _, text in spoken]
    assert texts[:4] == [
        "Look at the project.",
        "I will look at the files.",
        "Now two calls at once.",
        "The project has a README.",
    ]
    assert [role for role, _ in spoken[:4]] == ["user", *["assistant"] * 3]
    uses = [tool for _, kind, tool, _ in said if kind == "tool-use"]
    results = [tool for _, kind, tool, _ in said if kind == "tool-result"]
    if (agent, case) != ("gemini", "v0.8.2"):  # it wrote no tools
        assert len(uses) >= 3
        assert sorted(uses) == sorted(results)


@pytest.mark.parametrize(
    ("agent", "case"),
    [
        ("claude-code", "multi-turn"),
        ("claude-code", "v1.0.60-multi-turn"),
        ("claude-code", "subagent"),
        ("codex", "v0.77.0"),
        ("codex", "multi-turn"),
        ("opencode", "v1.1.65"),
        ("opencode", "multi-turn"),
        ("gemini", "multi-turn"),
    ],
)
def test_each_answer_has_the_usage_of_its_call_once(agent: str, case: str, tmp_path: Path) -> None:
    """The messages of a session know the same input and cache as its requests."""
    places = here(str(home_of(agent, case, tmp_path)))
    provider = SessionProvider(agent, places)
    told: set[tuple[str, int | None, int | None]] = set()
    calls: set[tuple[str, int | None, int | None]] = set()
    for summary in provider.summaries():
        for one in provider.messages(summary.id):
            if isinstance(one, Message) and one.usage is not None:
                call = one.model or "", one.usage.input_tokens, one.usage.cache_read
                told.add(call)
        for request in provider.requests(summary.id):
            assert isinstance(request, Request)
            if request.output_tokens and request.surface == "chat":
                calls.add((request.model or "", request.input_tokens, request.cache_read_tokens))
    assert told
    assert told == calls


def test_subagents_come_with_their_names(tmp_path: Path) -> None:
    for agent, case, names in (
        ("claude-code", "subagent", {(), ("general-purpose",), ("Explore",)}),
        ("codex", "subagent-v1", {(), ("explorer",), ("default",), ("Archimedes",)}),
        ("opencode", "subagent", {(), ("general",), ("explore",)}),
    ):
        places = here(str(home_of(agent, case, tmp_path / agent)))
        provider = SessionProvider(agent, places)
        [summary] = [one for one in provider.summaries() if one.first_prompt]
        found = {one.subagent for one in provider.messages(summary.id) if isinstance(one, Message)}
        assert () in found
        assert len(found) >= 2
        assert found <= names | {name for name in found if agent == "codex"}


def test_injected_texts_are_no_prompts(tmp_path: Path) -> None:
    for agent, case in (("codex", "multi-turn"), ("gemini", "multi-turn")):
        places = here(str(home_of(agent, case, tmp_path / agent)))
        [summary] = SessionProvider(agent, places).summaries()
        assert (summary.first_prompt or "").startswith("Look at the project.")


def test_copilot_cli_journals(tmp_path: Path) -> None:
    [found] = sessions(copilot(tmp_path), "copilot-cli").values()
    said = [one for one in found if isinstance(one, Message)]
    assert {one.role for one in said} >= {"user", "assistant"}
    usages = [one.usage for one in said if one.usage is not None]
    truth = json.loads((DATA / "copilot-cli/capi-simple/truth.json").read_text("utf-8"))
    assert len(usages) == sum(1 for one in said if one.role == "assistant" and one.usage)
    assert usages
    assert truth


def test_vscode_debug_logs_and_where_there_are_none_the_chat(tmp_path: Path) -> None:
    places = copilot(tmp_path)
    logged = sessions(places, "copilot-vscode")
    for folder in tmp_path.rglob("debug-logs"):
        shutil.rmtree(folder)
    chats = sessions(places, "copilot-vscode")
    asked = 0
    for session, found in chats.items():
        prompts = [text for role, kind, _, text in lines(found) if role == "user"]
        before = lines(logged[session])
        if any(role == "user" for role, *_ in before):
            asked += 1
            assert prompts == [text for role, _, _, text in before if role == "user"]
            answers = {text for role, kind, _, text in lines(found) if (role, kind) == SPOKEN}
            assert answers <= {text for role, kind, _, text in before if (role, kind) == SPOKEN}
    assert asked


SPOKEN = ("assistant", "chat")


def test_a_missing_log_is_a_problem(tmp_path: Path) -> None:
    for agent, case in (("claude-code", "one-turn"), ("codex", "one-turn")):
        home = home_of(agent, case, tmp_path / agent)
        library = Library(here(str(home)), agent)
        [ref] = library.refs.values()
        for path in home.rglob("*.jsonl"):
            path.unlink()
        found = list(messages_of(library, ref, about(library, ref)))
        assert [one.kind for one in found if isinstance(one, Problem)] == ["missing"]


def test_lists_of_all_agents(tmp_path: Path) -> None:
    found = list_all_sessions(copilot(tmp_path))
    assert set(found.sessions) == {"copilot-cli", "copilot-vscode"}
    assert found.failures == []
    for summaries in found.sessions.values():
        assert all(one.first_prompt for one in summaries if one.message_count)
