"""Two processes add up what one does, to the same result; one does it all if the other fails."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from cases import lay

from session_usage import pricing, workers
from session_usage.places import Places
from session_usage.report import Fold
from session_usage.sessions import Library

CASES = [
    ("copilot-cli", "capi-subagent"),
    ("claude-code", "tui-fork"),
    ("claude-code", "v1.0.60-multi-turn"),
    ("codex", "v0.133.0-forksub"),
    ("codex", "v0.20.0"),
    ("opencode", "subagent"),
    ("gemini", "error-stream"),
    ("vscode", "run6-capi-basic"),
]
BREAKDOWNS = [(), ("agent",), ("model", "day"), ("session", "subagent"), ("tool",)]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no second process")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    home = tmp_path_factory.mktemp("workers")
    for folder, case in CASES:
        lay(folder, case, home)
    log = next((home / ".codex").rglob("rollout-*.jsonl"))
    log.write_bytes(log.read_bytes() + b'{"type": broken}\n')
    return Places(str(home), {}, "linux")


@pytest.fixture(autouse=True)
def little_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "LEAST", 1)
    monkeypatch.setattr(workers, "_can_fork", lambda: True)


def added(places: Places, by: tuple[str, ...], agent: str = "all") -> tuple[Any, ...]:
    fold = Fold(pricing.load(), by)
    problems = workers.add_all(Library(places, agent), fold, full=bool(by))
    return fold.wire(), problems


@pytest.mark.parametrize("by", BREAKDOWNS)
def test_two_processes_say_what_one_says(
    places: Places, by: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    fork = os.fork
    monkeypatch.setattr(os, "fork", lambda: made.append(1) or fork())
    both = added(places, by)
    assert made == [1]
    monkeypatch.setattr(workers, "_can_fork", lambda: False)
    alone = added(places, by)
    assert made == [1]
    assert both == alone
    fold = Fold(pricing.load(), by)
    for session in Library(places).all(full=bool(by)):
        fold.add(session)
    assert both[0] == fold.wire()
    assert {problem.kind for problem in both[1]} >= {"malformed", "gap"}


def test_what_a_failing_process_leaves_is_done_all_the_same(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = added(places, ())
    here, add = os.getpid(), workers._add

    def broken(*arguments: Any) -> Any:
        return add(*arguments) if os.getpid() == here else os._exit(9)

    monkeypatch.setattr(workers, "_add", broken)
    assert added(places, ()) == expected


def test_an_error_here_ends_the_other_process(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "unwatched", interrupted)
    with pytest.raises(KeyboardInterrupt):
        workers.add_all(Library(places), Fold(pricing.load()), watch=interrupted)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_shares_are_of_whole_agents_and_about_equal(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library(places)
    first, second = workers.shares(library)
    assert sorted([*first, *second]) == sorted(library.providers)
    assert first
    assert second
    monkeypatch.setattr(workers, "LEAST", 1 << 40)
    assert workers.shares(library) == (list(library.providers), [])
    monkeypatch.setattr(workers, "LEAST", 1)
    assert workers.shares(Library(places, "codex")) == (["codex"], [])


def test_logs_are_few_for_a_second_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    lay("codex", "multi-turn", tmp_path / "home")
    library = Library(Places(str(tmp_path / "home"), {}, "linux"))
    assert workers.shares(library)[1] == []
