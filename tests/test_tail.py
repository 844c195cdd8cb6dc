"""Logs that grow under a running server: what it pushes equals a fresh reading, step by step.

The recorded cases of an agent are written again, all of them side by side, a line (or a row,
or a message) a step; long ones several lines a step. Their days are moved to today, so that
the whole is the total of this month, which every status tells.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cases import DATA, names
from client import Client

from session_usage import pricing, windows
from session_usage.places import here
from session_usage.report import Fold
from session_usage.sessions import Library, listed

STEPS = 12
"""No log takes more of them."""
SIDE_BY_SIDE = 20
"""Logs that grow at the same time: fewer than a server without the system's help looks at."""
DAY_MS = 86_400_000
Step = Callable[[], None]

_DAY = re.compile(r"(?<!\d)20[23]\d-[01]\d-[0-3]\d(?=T\d\d:)")
_INSTANT = re.compile(r"(?<![\d.\w-])1[78]\d{11}(?!\d)")


def to_today(texts: list[str]) -> list[str]:
    """The texts of a case with its last day moved to today, and all others by as much."""
    found = {day for text in texts for day in _DAY.findall(text)}
    stamps = {int(stamp) // DAY_MS for text in texts for stamp in _INSTANT.findall(text)}
    days = [dt.date.fromisoformat(day).toordinal() for day in found]
    days += [dt.date(1970, 1, 1).toordinal() + stamp for stamp in stamps]
    if not days:
        return texts
    today = dt.datetime.now(dt.timezone.utc).date().toordinal()
    by = today - max(days)

    def day(match: re.Match[str]) -> str:
        return dt.date.fromordinal(dt.date.fromisoformat(match[0]).toordinal() + by).isoformat()

    def instant(match: re.Match[str]) -> str:
        return str(int(match[0]) + by * DAY_MS)

    return [_INSTANT.sub(instant, _DAY.sub(day, text)) for text in texts]


def portions(parts: list[str]) -> Iterator[str]:
    """The parts in their order, at most ``STEPS`` pieces."""
    size = -(-len(parts) // STEPS) or 1
    for at in range(0, len(parts), size):
        yield "".join(parts[at : at + size])


def appended(path: Path, text: str) -> Iterator[Step]:
    """A log that is written line by line."""
    for piece in portions(text.splitlines(keepends=True)):

        def write(piece: str = piece) -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(piece.encode())

        yield write


def rewritten(path: Path, text: str) -> Iterator[Step]:
    """A log that is written anew with each message."""
    whole = json.loads(text)
    count = len(whole.get("messages", ()))
    for size in sorted({count * step // STEPS for step in range(1, STEPS + 1)}):
        piece = json.dumps({**whole, "messages": whole["messages"][:size]})
        yield written(path, piece)


def written(path: Path, text: str) -> Step:
    """A file that is written at once."""

    def write() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return write


def inserted(path: Path, script: str) -> Iterator[Step]:
    """A database that gets its rows one by one: an answer without figures first, as the
    program does, then with them."""
    tables, rows = [], []
    for statement in script.split(";\n"):
        (rows if statement.startswith("INSERT") else tables).append(statement)
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(";\n".join(tables))
    rows.sort(key=_is_part)  # a part's usage may be that of its message: as recorded
    size = -(-len(rows) // STEPS) or 1
    for at in range(0, len(rows), size):

        def write(statements: list[str] = rows[at : at + size]) -> None:
            for statement in statements:
                connection.execute("BEGIN")
                connection.execute(_without_figures(statement))
                connection.execute("COMMIT")
            for statement in statements:
                connection.execute("BEGIN")
                connection.execute(re.sub("^INSERT", "INSERT OR REPLACE", statement))
                connection.execute("COMMIT")

        yield write


def _is_part(statement: str) -> bool:
    return statement.startswith('INSERT INTO "part"')


def _without_figures(statement: str) -> str:
    return re.sub(r'"tokens": ?\{[^{}]*(\{[^{}]*\})?[^{}]*\}', '"tokens": {}', statement)


STEPPED: dict[str, Callable[[Path, str], Iterator[Step]]] = {
    ".jsonl": appended,
    ".sql": lambda path, script: inserted(path.with_suffix(".db"), script),
}
PLACES: dict[str, tuple[str, str]] = {
    "claude-code": ("home", ""),
    "codex": ("home", ""),
    "gemini": ("home", ""),
    "opencode": ("home", ""),
    "copilot-cli": ("state", ".copilot"),
    "vscode": ("User", ".config/Code/User"),
    "agent-log": ("", "logs"),
}
"""Folder below ``tests/data`` -> the folder of a case, and where that is in a home."""
ELSEWHERE = {"altcfg", "xdgdata"}
"""Folders of cases that take an environment variable to be found."""


def grown(folder: str, home: Path) -> Iterator[list[Step]]:
    """The steps of every log of every case."""
    inside, target = PLACES[folder]
    for case in names(folder):
        root = DATA / folder / case / inside
        files = [
            file
            for file in sorted(root.rglob("*"))
            if file.suffix in (".jsonl", ".json", ".sql", ".yaml") or file.name == ".project_root"
            if not ELSEWHERE.intersection(file.relative_to(root).parts)
        ]
        for file, text in zip(files, to_today([f.read_text() for f in files]), strict=True):
            path = home / target / file.relative_to(root)
            if folder == "opencode" and file.suffix == ".sql":
                path = path.with_name(f"opencode-{case}.sql")
            if folder == "agent-log":
                path = home / target / f"{case}-{file.name}"
            if file.suffix in STEPPED:
                yield list(STEPPED[file.suffix](path, text))
            elif folder == "gemini" and file.name.startswith("session-"):
                yield list(rewritten(path, text))
            else:
                yield [written(path, text)]


def together(logs: list[list[Step]]) -> Iterator[list[Step]]:
    """What to do at once: the next step of several logs, and what is written at once first."""
    yield [log[0] for log in logs if len(log) == 1]
    growing = [log for log in logs if len(log) > 1]
    for at in range(0, len(growing), SIDE_BY_SIDE):
        group = growing[at : at + SIDE_BY_SIDE]
        for number in range(STEPS):
            yield [log[number] for log in group if number < len(log)]


def read_anew(home: Path, options: dict[str, Any]) -> dict[str, Any]:
    """The totals of this month of everything there is."""
    places = here(str(home), (), tuple(options.get("settings", {}).get("agentLogDirs", ())))
    month = windows.parse("billing-month", int(time.time() * 1000))
    fold = Fold(pricing.load(), (), month.contains)
    for session in Library(places).all(full=True):
        fold.add(session)
    return fold.totals.wire()


@pytest.mark.parametrize("folder", PLACES)
def test_what_is_pushed_equals_a_fresh_reading_after_every_step(
    folder: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    (home / "logs").mkdir(parents=True)
    options: dict[str, Any] = {}
    if folder == "agent-log":
        options = {"settings": {"agentLogDirs": [str(home / "logs")]}}
    logs = list(grown(folder, home))
    with Client(home) as client:
        client.start(**options)
        pushed = client.result("subscribe", {"events": False})["status"]["month"]["totals"]
        for steps in together(logs):
            for step in steps:
                step()
            totals = read_anew(home, options)
            if totals == pushed:
                continue
            try:
                client.note(
                    "copilotUsage/statusChanged",
                    lambda p, now=totals: p["status"]["month"]["totals"] == now,
                )
            except AssertionError:
                said = [note["params"]["status"]["month"]["totals"] for note in client.notes]
                raise AssertionError(differences(said[-1:] or [pushed], totals)) from None
            client.notes.clear()
            pushed = totals
        assert pushed["requests"]
        by = ["agent", "session", "model"]
        fold = Fold(pricing.load(), by)
        places = here(str(home), (), tuple(options.get("settings", {}).get("agentLogDirs", ())))
        for session in Library(places).all(full=True):
            fold.add(session)
        page = client.result("listSessions", {"limit": 500})["sessions"]
        if folder != "agent-log":  # whose files tell only inside which session they are of
            assert {row["id"] for row in page} == {item.ref.id for item in listed(Library(places))}
        found = client.result("aggregate", {"by": by})
        assert sorted(found["rows"], key=str) == sorted(fold.wire()["rows"], key=str)


def differences(said: Iterable[dict[str, Any]], totals: dict[str, Any]) -> str:
    """What of the last push is not as read."""
    (last,) = said
    return ", ".join(
        f"{name}: pushed {last[name]}, read {totals[name]}"
        for name in totals
        if last[name] != totals[name]
    )
