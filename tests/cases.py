"""Copies of recorded logs to read from, and what is known of them.

``tests/data/<agent>/<case>`` holds what a real program left on disk. It is read from a copy
only: SQLite touches the files beside a database, and the tree must stay as it is.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from session_usage.events import Problem, Request, Source
from session_usage.places import Places
from session_usage.reconcile import Session, reconcile
from session_usage.sessions import Library

DATA = Path(__file__).parent / "data"


def _copilot_cli(case: Path, home: Path) -> Places:
    shutil.copytree(case / "state", home / ".copilot")
    return Places(str(home), {}, "linux")


def _vscode(case: Path, home: Path) -> Places:
    shutil.copytree(case / "User", home / ".config" / "Code" / "User")
    return Places(str(home), {}, "linux")


def _home(case: Path, home: Path) -> Places:
    shutil.copytree(case / "home", home, dirs_exist_ok=True)
    return Places(str(home), {}, "linux")


def _claude(case: Path, home: Path) -> Places:
    places = _home(case, home)
    if case.name != "paths":
        return places
    roots = tuple(("claude-code", str(home / name)) for name in (".claude", "altcfg"))
    return places._replace(roots=roots)


def _opencode(case: Path, home: Path) -> Places:
    places = _home(case, home)
    for script in home.rglob("*.sql"):
        with closing(sqlite3.connect(script.with_suffix(".db"))) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(script.read_text())
        script.unlink()
    if case.name != "dbpath":
        return places
    return places._replace(env={"XDG_DATA_HOME": str(home / "xdgdata"), "OPENCODE_DB": "custom.db"})


def _agent_log(case: Path, home: Path) -> Places:
    shutil.copytree(case, home / "logs")
    return Places(str(home), {}, "linux", agent_log_dirs=(str(home / "logs"),))


AGENTS: dict[str, tuple[str, Callable[[Path, Path], Places]]] = {
    "copilot-cli": ("copilot-cli", _copilot_cli),
    "vscode": ("copilot-vscode", _vscode),
    "claude-code": ("claude-code", _claude),
    "codex": ("codex", _home),
    "opencode": ("opencode", _opencode),
    "gemini": ("gemini", _home),
    "agent-log": ("agent-log", _agent_log),
}
"""Folder below ``tests/data`` -> the agent's name, and what lays a case out as a home folder."""


def names(folder: str) -> list[str]:
    """The recorded cases of one agent; empty when there is none (yet)."""
    if not (DATA / folder).is_dir():
        return []
    return sorted(entry.name for entry in (DATA / folder).iterdir() if entry.is_dir())


def lay(folder: str, case: str, home: Path) -> Places:
    """A copy of the case as the home folder ``home``."""
    home.mkdir(parents=True, exist_ok=True)
    return AGENTS[folder][1](DATA / folder / case, home)


def everything(places: Places, agent: str = "all", full: bool = True) -> list[Session]:
    """Every session, reconciled; problems of no session in one more without id."""
    found = Library(places, agent)
    result = list(found.all(full=full))
    result += [reconcile("", None, [problem]) for problem in found.problems]
    return result


def truth(folder: str, case: str) -> dict[str, Any]:
    name = "expected.json" if folder == "vscode" else "truth.json"
    loaded: dict[str, Any] = json.loads((DATA / folder / case / name).read_text())
    return loaded


def requests(sessions: Iterable[Session]) -> list[Request]:
    return [request for session in sessions for request in session.requests]


def billed(sessions: Iterable[Session]) -> int:
    """All amounts that a server named, remainders of counters included."""
    return sum(
        usage.nano_aiu or 0
        for session in sessions
        for usage in (*session.requests, *session.unattributed)
    )


def problems(sessions: Iterable[Session]) -> list[Problem]:
    return [problem for session in sessions for problem in session.problems]


def kinds(sessions: Iterable[Session]) -> set[str]:
    return {problem.kind for problem in problems(sessions)}


def read(source: Source, **options: Any) -> list[Any]:
    """What one source says."""
    from session_usage.providers import provider_for

    return list(provider_for(source.agent).read(source, **options))


def of(kind: type, events: Iterable[Any]) -> list[Any]:
    return [event for event in events if type(event) is kind]
