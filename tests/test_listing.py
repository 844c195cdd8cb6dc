"""Who starts when nothing changed lists no folder; and notices whatever changed all the same."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from test_ledger import DATA, PRICES, Ledger, cases, from_logs, load_prices, places_of

from session_usage.cli import index, main
from session_usage.ledger import care, codec, listing, scan, store
from session_usage.ledger.address import path_of
from session_usage.ledger.query import Reader
from session_usage.ledger.standing import standing
from session_usage.ledger.wishes import Wishes, wish
from session_usage.places import here
from session_usage.sessions import Library

pytestmark = pytest.mark.skipif(os.name == "nt", reason="folders are always listed there")
STATE = ".copilot/session-state"
ONE = "5e551011-0000-4000-8000-000000000001"
LONG_AGO = (1_700_000_000,) * 2


def age(folder: Path) -> None:
    """Everything in ``folder`` was written long ago."""
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, LONG_AGO)


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own times of change cannot be set back."""
    monkeypatch.setattr(listing, "_SETTLED_NS", -(10**15))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two sessions of Copilot CLI, one of which will grow; what it will grow by lies beside."""
    made = tmp_path / "home"
    shutil.copytree(DATA / "copilot-cli/capi-simple/state", made / ".copilot")
    (session,) = (DATA / "copilot-cli/capi-tools/state/session-state").iterdir()
    shutil.copytree(session, made / STATE / ONE)
    log = made / STATE / ONE / "events.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[: len(lines) // 2]))
    (tmp_path / "rest").write_bytes(b"".join(lines[len(lines) // 2 :]))
    shutil.move(made / STATE / ONE / "workspace.yaml", tmp_path / "workspace.yaml")
    age(made)
    return made


@pytest.fixture
def ledger(tmp_path: Path, home: Path) -> Ledger:
    made = Ledger(tmp_path, here(str(home), env={}))
    made.sweep()
    made.keeper.close()
    return made


def stands(ledger: Ledger) -> bool:
    reader = Reader(ledger.path)
    try:
        return standing(reader.connection, ledger.places, load_prices).prices is PRICES
    finally:
        reader.close()


def one(home: Path) -> Path:
    return home / STATE / ONE


def grow(home: Path) -> None:
    with (one(home) / "events.jsonl").open("ab") as file:
        file.write((home.parent / "rest").read_bytes())


def claude(home: Path) -> None:
    shutil.copytree(next((DATA / "claude-code").glob("*/home/.claude")), home / ".claude")


def extend(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"?")


CHANGES: dict[str, Callable[[Path], object]] = {
    "a log grew": grow,
    "a log was written": lambda home: os.utime(one(home) / "events.jsonl"),
    "a database grew": lambda home: extend(home / ".copilot/session-store.db-wal"),
    "a file came to a session": lambda home: shutil.copy(
        home.parent / "workspace.yaml", one(home) / "workspace.yaml"
    ),
    "a session came": lambda home: shutil.copytree(one(home), one(home).with_name("third")),
    "a session got another name": lambda home: one(home).rename(one(home).with_name("third")),
    "an agent came": claude,
}
LOSSES: dict[str, Callable[[Path], object]] = {
    "a session": lambda home: shutil.rmtree(one(home)),
    "a log": lambda home: (one(home) / "events.jsonl").unlink(),
    "all": lambda home: shutil.rmtree(home / ".copilot"),
}


def swept_again(ledger: Ledger) -> dict[str, object]:
    assert not stands(ledger)
    again = Ledger(Path(ledger.path).parents[1], ledger.places)
    again.sweep()
    again.keeper.close()
    return again.fold("model", "day")


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_changed_is_noticed(
    ledger: Ledger, home: Path, change: Callable[[Path], object]
) -> None:
    assert stands(ledger)
    change(home)
    assert swept_again(ledger) == from_logs(ledger.places, "model", "day")


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_what_went_is_noticed_and_remembered(
    ledger: Ledger, home: Path, loss: Callable[[Path], object]
) -> None:
    before = from_logs(ledger.places, "model", "day")
    assert stands(ledger)
    loss(home)
    assert swept_again(ledger) == before


def test_only_what_grew_is_looked_at(
    ledger: Ledger, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(self: Library, places: object, agent: str = "all") -> None:
        raise AssertionError("a folder was listed")

    monkeypatch.setattr(scan.Library, "__init__", never)
    grow(home)
    again = Ledger(Path(ledger.path).parents[1], ledger.places)
    assert again.sweep() > 0
    assert again.sweep() == 0
    again.keeper.close()
    assert stands(ledger)
    monkeypatch.undo()
    assert again.fold("model", "session") == from_logs(ledger.places, "model", "session")


def of_ledger(statement: str) -> Callable[[sqlite3.Connection], object]:
    return lambda connection: connection.execute(statement)


REASONS: dict[str, Callable[[sqlite3.Connection], object]] = {
    "it was never complete": of_ledger("DELETE FROM meta WHERE name = 'complete'"),
    "other prices": of_ledger("UPDATE meta SET value = 'others' WHERE name = 'prices'"),
    "another version": of_ledger("UPDATE meta SET value = '0' WHERE name = 'program'"),
    "other fields": of_ledger("UPDATE meta SET value = '{}' WHERE name = 'fields'"),
    "other tables": of_ledger("PRAGMA user_version = 99"),
    "sums are to be made": of_ledger("INSERT INTO dirty SELECT MIN(id) FROM sessions"),
    "a file is to be read": of_ledger("UPDATE files SET size = -1 WHERE id = 1"),
    "a file is not known any more": of_ledger("DELETE FROM files WHERE id = 1"),
    "a name is no text": of_ledger("UPDATE files SET name = CAST(name AS BLOB) WHERE id = 1"),
    "excluded": lambda connection: wish(connection, Wishes(excluded=("/somewhere",))),
    "retained": lambda connection: wish(connection, Wishes(retention_days=30)),
    "more folders": lambda connection: wish(connection, Wishes(user_data_dirs=("/somewhere",))),
    "nothing was noted": of_ledger("DELETE FROM meta WHERE name = 'listing'"),
}


@pytest.mark.parametrize("change", REASONS.values(), ids=REASONS)
def test_a_ledger_that_wants_a_sweep_does_not_stand(
    ledger: Ledger, change: Callable[[sqlite3.Connection], object]
) -> None:
    connection = store.writer(ledger.path).connection
    assert stands(ledger)
    change(connection)
    assert not stands(ledger)
    connection.close()


def test_what_is_forgotten_is_no_reason_to_sweep(ledger: Ledger) -> None:
    connection = store.writer(ledger.path).connection
    reader = Reader(ledger.path)
    care.forget(connection, [reader.find(ONE)])
    again = Ledger(Path(ledger.path).parents[1], ledger.places)
    again.sweep()
    again.keeper.close()
    assert stands(ledger)
    assert [codec.loads(row)["id"] for row in reader.sessions()[0]] != []
    assert ONE.encode() not in b"".join(reader.sessions()[0])
    reader.close()
    connection.close()


def test_folders_are_listed_once_a_day(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stands(ledger)
    monkeypatch.setattr(listing, "_TRUSTED_SECONDS", -1)
    assert not stands(ledger)


def test_what_came_a_moment_ago_is_not_trusted_yet(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    made = Ledger(tmp_path, here(str(home), env={}))
    made.sweep()
    assert not stands(made)
    later = time.time_ns() + 60_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later)
    monkeypatch.setattr(time, "time", lambda: later / 1e9)
    made.sweep()
    made.keeper.close()
    assert stands(made)


def test_a_log_that_cannot_be_read_is_tried_again(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Ledger(tmp_path, here(str(home), env={}))
    ingest = scan.Scanner.ingest
    monkeypatch.setattr(scan.Scanner, "ingest", lambda *_: set())  # as if each failed
    made.sweep()
    made.keeper.close()
    assert not stands(made)
    monkeypatch.setattr(scan.Scanner, "ingest", ingest)
    made = Ledger(tmp_path, made.places)
    made.sweep()
    made.keeper.close()
    assert made.fold("model") == from_logs(made.places, "model")


@pytest.mark.parametrize(("agent", "case"), list(cases()), ids="/".join)
def test_the_logs_of_every_agent_stand(agent: str, case: str, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    shutil.copytree(DATA / agent / case, folder)
    age(folder)
    made = Ledger(tmp_path, places_of(folder, agent))
    made.sweep()
    os.utime(tmp_path, LONG_AGO)
    again = Ledger(tmp_path, made.places)  # reading a database may touch its folder
    again.sweep()
    for keeper in (made.keeper, again.keeper):
        keeper.close()
    assert stands(made)


def test_the_command_makes_no_keeper_when_nothing_changed(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SESSION_USAGE_HOME", str(tmp_path / "state"))

    def run(*args: str) -> str:
        assert main(["--home", str(home), *args, "--json"]) == 0
        return capsys.readouterr().out

    def never(*_: object) -> None:
        raise AssertionError("a keeper was made")

    run("index")
    expected = run("report", "--no-ledger")
    with monkeypatch.context() as without:
        without.setattr(index, "_keeper", never)
        assert run("report") == expected
        run("list")
    lock = store.Lock(path_of(here(str(home))))
    assert lock.take()  # somebody else keeps it: nothing to wait for, either
    assert run("report") == expected
    lock.release()
    grow(home)
    assert run("report") == run("report", "--no-ledger") != expected
