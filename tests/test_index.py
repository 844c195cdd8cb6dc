"""The command with a ledger: as true as without one, and it remembers deleted logs."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_cli import CLI_NANO, CLI_SESSION, DATA, SERVER, command, home, journal, recorded

from session_usage.ledger.address import path_of
from session_usage.ledger.store import Lock
from session_usage.places import here

__all__ = ["home", "recorded"]  # the fixtures of the other module

REPORTS = {
    "all": ["report"],
    "by": ["report", "--by", "agent,model,day"],
    "by tool": ["report", "--by", "tool"],
    "by turn": ["report", "--by", "turn"],
    "window": ["report", "--since", "2026-11-20", "--until", "2026-11-20"],
    "before": ["report", "--until", "2026-11-19"],
    "agent": ["report", "--agent", "cli"],
    "batch": ["batch", "5"],
    "one": ["batch", "1", "--agent", "cli"],
}


class Place:
    """A home folder and the ledger for it."""

    def __init__(self, home: Path, state: Path) -> None:
        self.home = home
        self.env = {"SESSION_USAGE_HOME": str(state)}
        self.ledger = Path(path_of(here(str(home), env=self.env)))

    def run(self, *args: str, expected: int = 0) -> Any:
        result = command("--home", str(self.home), *args, "--json", **self.env)
        assert result.returncode == expected, result.stderr
        return json.loads(result.stdout) if result.stdout else result.stderr


@pytest.fixture
def place(home: Path, tmp_path: Path) -> Place:
    made = Place(home, tmp_path / "state")
    found = made.run("index")
    assert (found["sessions"], found["path"]) == (2, str(made.ledger))
    return made


@pytest.mark.parametrize("args", REPORTS.values(), ids=REPORTS)
def test_the_same_answer_as_from_the_logs(place: Place, args: list[str]) -> None:
    assert place.run(*args) == place.run(*args, "--no-ledger")


def test_C3_a_batch_of_all_sessions_sums_up_to_the_report(tmp_path: Path) -> None:
    """One session continues another and holds a copy of its calls, in a log that names no owner."""
    place = Place(tmp_path / "home", tmp_path / "state")
    shutil.copytree(DATA / "claude-code/v1.0.60-multi-turn/home", place.home)
    for ledger in ("--no-ledger", "index"):
        if ledger == "index":
            place.run("index")
        more = ("--no-ledger",) if ledger == "--no-ledger" else ()
        total = place.run("report", *more)["totals"]
        batch = place.run("batch", "9", *more)
        assert len(batch["sessions"]) == total["sessions"] == 2
        assert batch["summary"]["nanoAiu"] == total["nanoAiu"]
        assert batch["summary"]["requests"] == total["requests"] == 4
        assert sum(row["totals"]["requests"] for row in batch["sessions"]) > 4
        shown = command("--home", str(place.home), "batch", "9", *more, **place.env).stdout
        assert "two of these sessions" in shown
    shown = command("--home", str(place.home), "batch", "1", **place.env).stdout
    assert "two of these sessions" not in shown


def test_a_list_has_the_same_sessions_in_the_same_order(place: Place) -> None:
    def rows(*more: str) -> list[tuple[str, ...]]:
        found = place.run("list", *more)["sessions"]
        return [(row["agent"], row["id"], row["updatedAt"]) for row in found]

    assert rows() == rows("--no-ledger")
    assert rows("--text", "zzz") == rows("--text", "zzz", "--no-ledger") == []
    assert rows("--regex", "^a2db") == rows("--regex", "^a2db", "--no-ledger") != []
    first = place.run("list", "--limit", "1")
    assert first["cursor"] == "1"
    second = place.run("list", "--limit", "1", "--cursor", "1")
    assert second["cursor"] is None
    assert first["sessions"] != second["sessions"]


def test_what_was_appended_since_counts(place: Place) -> None:
    log = journal(place.home)
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-2]))
    place.run("index")
    log.write_bytes(b"".join(lines))
    assert place.run("report") == place.run("report", "--no-ledger")


def test_deleted_logs_are_remembered(place: Place) -> None:
    before = place.run("report")["totals"]["nanoAiu"]
    shutil.rmtree(place.home / ".copilot")
    assert place.run("report")["totals"]["nanoAiu"] == before
    assert place.run("report", "--no-ledger")["totals"]["nanoAiu"] == before - CLI_NANO
    assert CLI_SESSION in {row["id"] for row in place.run("list")["sessions"]}
    assert place.run("show", CLI_SESSION)["totals"]["nanoAiu"] == CLI_NANO
    assert place.run("explain", CLI_SESSION)["nanoAiu"] == CLI_NANO
    result = command("--home", str(place.home), "show", CLI_SESSION, "--no-ledger", **place.env)
    assert result.returncode == 1


def test_without_a_ledger_none_is_made(home: Path, tmp_path: Path) -> None:
    place = Place(home, tmp_path / "state")
    for args in REPORTS.values():
        place.run(*args)
    assert not place.ledger.exists()


def test_another_process_that_is_behind_is_not_waited_for(place: Place) -> None:
    lock = Lock(str(place.ledger))
    assert lock.take()
    try:
        assert place.run("report")["totals"]["sessions"] == 2  # nothing changed: the ledger
        shutil.rmtree(place.home / ".config")
        assert place.run("report")["totals"]["sessions"] == 2
        log = journal(place.home)
        log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:4]))
        assert place.run("report") == place.run("report", "--no-ledger")
        assert "another process keeps" in place.run("index", expected=2)
    finally:
        lock.release()


@pytest.mark.parametrize("harm", ["damaged", "empty", "never complete"])
def test_a_ledger_that_cannot_be_used_is_no_matter(place: Place, harm: str) -> None:
    if harm == "never complete":
        connection = sqlite3.connect(place.ledger)
        connection.execute("DELETE FROM meta WHERE name = 'complete'")
        connection.commit()
        connection.close()
    else:
        for ending in ("-wal", "-shm"):
            Path(f"{place.ledger}{ending}").unlink(missing_ok=True)
        place.ledger.write_bytes(b"no database at all" * 400 if harm == "damaged" else b"")
    assert place.run("report") == place.run("report", "--no-ledger")


def test_other_folders_and_other_prices_are_read_from_the_logs(
    place: Place, tmp_path: Path
) -> None:
    shutil.rmtree(place.home / ".copilot")
    prices = tmp_path / "prices.yml"
    shutil.copy(SERVER / "session_usage/data/prices/copilot.yml", prices)
    (tmp_path / "runs").mkdir()
    for option in (["--prices", str(prices)], ["--agent-log-dir", str(tmp_path / "runs")]):
        assert place.run("report", *option)["totals"]["sessions"] == 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_ledger_that_cannot_be_written_is_no_matter(place: Place) -> None:
    place.ledger.parent.chmod(0o500)
    try:
        assert place.run("report") == place.run("report", "--no-ledger")
    finally:
        place.ledger.parent.chmod(0o700)


def noise(path: Path) -> None:
    """Spoils a ledger behind its first pages: it still opens."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(random.Random(7).randbytes(size - 3 * 4096))


def alter(statement: str) -> Callable[[Path], None]:
    def work(path: Path) -> None:
        connection = sqlite3.connect(path)
        connection.execute(statement)
        connection.commit()
        connection.close()

    return work


def foreign(path: Path) -> None:
    path.unlink()
    alter("CREATE TABLE theirs(x)")(path)


HARM = {
    "noise": noise,
    "no files": alter("DROP TABLE files"),
    "no cells": alter("DROP TABLE cells"),
    "no sources": alter("DROP VIEW sources"),
    "foreign": foreign,
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_a_ledger_damaged_within_is_told_of_and_made_anew(
    place: Place, harm: Callable[[Path], None]
) -> None:
    harm(place.ledger)
    for args in (["report"], ["list"], ["batch", "5"]):
        result = command("--home", str(place.home), *args, "--json", **place.env)
        assert result.returncode == 0
        assert json.loads(result.stdout)
        assert len(result.stderr.splitlines()) <= 1
    result = command("--home", str(place.home), "report", "--json", **place.env)
    assert json.loads(result.stdout) == place.run("report", "--no-ledger")
    (line,) = result.stderr.splitlines()
    assert str(place.ledger) in line
    assert "logs are gone are missing" in line
    assert "session-usage index" in line
    (problem,) = place.run("doctor")["problems"]
    assert (problem["kind"], problem["path"]) == ("ledger", str(place.ledger))
    assert not list(place.ledger.parent.glob("*.damaged-*"))
    result = command("--home", str(place.home), "index", **place.env)
    assert result.returncode == 0, result.stderr
    assert place.run("doctor")["problems"] == []
    (line,) = result.stderr.splitlines()
    (kept,) = place.ledger.parent.glob("*.db.damaged-*[0-9]")
    assert kept.name in line
    result = command("--home", str(place.home), "report", "--json", **place.env)
    assert (json.loads(result.stdout), result.stderr) == (place.run("report", "--no-ledger"), "")


def test_a_ledger_of_a_newer_version_is_left_alone(place: Place) -> None:
    alter("PRAGMA user_version = 99")(place.ledger)
    before = place.ledger.read_bytes()
    (line,) = place.run("index", expected=2).splitlines()
    for part in (str(place.ledger), "version 99", "knows 2", "update", "SESSION_USAGE_HOME"):
        assert part in line
    result = command("--home", str(place.home), "report", "--json", **place.env)
    assert json.loads(result.stdout) == place.run("report", "--no-ledger")
    assert str(place.ledger) in result.stderr
    (problem,) = place.run("doctor")["problems"]
    assert "version 99" in problem["message"]
    assert place.ledger.read_bytes() == before
    assert not list(place.ledger.parent.glob("*.damaged-*"))


@pytest.mark.parametrize("way", ["a folder", "a file", "full"])
def test_where_no_ledger_can_be_written_is_named(way: str, home: Path, tmp_path: Path) -> None:
    if way == "full" and os.name == "nt":
        pytest.skip("no limits of a process")
    place = Place(home, tmp_path / "state")
    if way == "a folder":
        place.ledger.mkdir(parents=True)
    elif way == "a file":
        (tmp_path / "state").write_bytes(b"")
    limit = {"most": 50_000} if way == "full" else {}
    code, text = limited(place, **limit)
    assert code == 2
    (line,) = text.splitlines()
    assert str(place.ledger) in line
    assert "SESSION_USAGE_HOME" in line


def limited(place: Place, most: int | None = None) -> tuple[int, str]:
    """``index``, by a process that may write files of ``most`` bytes at most."""

    def limit() -> None:
        import resource

        if most is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    found = subprocess.run(
        [sys.executable, "-m", "session_usage.cli", "--home", str(place.home), "index"],
        env={**os.environ, **place.env, "PYTHONPATH": str(SERVER)},
        capture_output=True, text=True, check=False,
        preexec_fn=None if most is None else limit,
    )  # fmt: skip
    return found.returncode, found.stderr


@pytest.mark.parametrize("args", [["list", "--limit"], ["batch"]])
def test_no_number_is_too_large(place: Place, args: list[str]) -> None:
    assert place.run(*args, "9" * 30) == place.run(*args, "9")
    for wrong in ("0", "-1", "x", "1.5"):
        result = command("--home", str(place.home), *args, wrong)
        assert result.returncode == 2
        assert "must be a whole number above 0" in result.stderr or wrong == "-1"
        assert "_count" not in result.stderr
