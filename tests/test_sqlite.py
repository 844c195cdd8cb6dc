"""Databases of other programs: read as they are, while they are written to, never touched."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_usage import sqlite
from session_usage.sqlite import Unreadable, columns, reading, rows

Writer = sqlite3.Connection


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and times of every file that holds data (R18 lets SQLite touch ``-shm``)."""
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.iterdir()
        if path.is_file() and not path.name.endswith("-shm")
    }


def calls(path: Path) -> list[tuple[object, ...]]:
    with reading(str(path)) as connection:
        return list(rows(connection, "calls", ("id", "nano")))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "logs of #1 at 100%, größe"
    made.mkdir()
    return made


@pytest.fixture
def live(folder: Path) -> Iterator[Writer]:
    """A WAL-mode database whose writer is still there and has not checkpointed anything."""
    with closing(sqlite3.connect(folder / "live.db", isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = wal")
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("CREATE TABLE calls (id TEXT, nano INTEGER)")
        writer.execute("INSERT INTO calls VALUES ('a', 5), ('b', NULL)")
        yield writer


ROWS = [(1, "a", 5), (2, "b", None)]


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are texts there")
def test_a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    made = os.fsencode(tmp_path) + b"/bad\xff name"
    os.mkdir(made)
    with closing(sqlite3.connect(made + b"/calls.db", isolation_level=None)) as writer:
        writer.execute("CREATE TABLE calls (id TEXT, nano INTEGER)")
        writer.execute("INSERT INTO calls VALUES ('a', 5), ('b', NULL)")
    assert calls(Path(os.fsdecode(made + b"/calls.db"))) == ROWS


def test_A15_R18_what_is_only_in_the_WAL_is_read(folder: Path, live: Writer) -> None:
    path = folder / "live.db"
    assert path.stat().st_size == 4096, "the main file has no table yet"
    before = snapshot(folder)
    assert calls(path) == ROWS
    live.execute("INSERT INTO calls VALUES ('c', 7)")
    assert calls(path) == [*ROWS, (3, "c", 7)]
    assert before["live.db"] == snapshot(folder)["live.db"]


def test_R18_sources_are_untouched(folder: Path, live: Writer) -> None:
    before = snapshot(folder)
    assert calls(folder / "live.db") == ROWS
    assert snapshot(folder) == before
    assert set(before) == {"live.db", "live.db-wal"}


def test_R18_a_WAL_whose_writer_was_killed_is_read_and_left(folder: Path, live: Writer) -> None:
    """The last reader that closes a database folds its WAL in: one that only reads must not."""
    dead = folder / "dead.db"
    dead.write_bytes((folder / "live.db").read_bytes())
    Path(f"{dead}-wal").write_bytes((folder / "live.db-wal").read_bytes())
    before = snapshot(folder)
    assert calls(dead) == ROWS
    assert calls(dead) == ROWS
    assert snapshot(folder) == before


def test_R18_a_connection_cannot_write(folder: Path, live: Writer) -> None:
    path = str(folder / "live.db")
    with pytest.raises(Unreadable) as caught, reading(path) as connection:
        connection.execute("INSERT INTO calls VALUES ('x', 1)")
    assert caught.value.kind == "malformed"
    assert calls(folder / "live.db") == ROWS


def test_R18_a_read_only_folder_with_a_WAL_is_copied_together(
    folder: Path, live: Writer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(private))
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(folder))
    opened = []
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda name, **how: opened.append(name) or connect(name, **how)
    )
    before = snapshot(folder)
    assert calls(folder / "live.db") == ROWS
    assert snapshot(folder) == before
    assert all(str(private) in uri and "immutable=1" not in uri for uri in opened)
    assert not list(private.iterdir()), "the copy is gone"


def refusing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Makes SQLite fail as it does in a folder where it may not create ``-shm``."""
    opened: list[str] = []
    connect = sqlite3.connect

    def connected(name: str, **how: object) -> sqlite3.Connection:
        opened.append(name)
        if "immutable=1" not in name:
            raise sqlite3.OperationalError("unable to open database file")
        return connect(name, **how)

    monkeypatch.setattr(sqlite3, "connect", connected)
    return opened


def test_R18_immutable_only_when_there_is_no_WAL(
    folder: Path, live: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    opened = refusing(monkeypatch)
    assert calls(folder / "live.db") == ROWS
    assert ["immutable=1" in uri for uri in opened] == [False, True]


def test_R18_never_immutable_beside_a_WAL(
    folder: Path, live: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = refusing(monkeypatch)
    with pytest.raises(Unreadable, match="unable to open"):
        calls(folder / "live.db")
    assert not any("immutable=1" in uri for uri in opened)


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_A15_a_locked_database_is_waited_for_and_then_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, journal: str
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    path = folder / "locked.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute(f"PRAGMA journal_mode = {journal}")
        writer.execute("PRAGMA locking_mode = exclusive")
        writer.execute("CREATE TABLE calls (id TEXT, nano INTEGER)")
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unreadable, match="locked; try again") as caught:
            calls(path)
        assert caught.value.kind == "locked"
    assert calls(path) == [], "and read when the writer is done"


def test_a_writer_in_the_middle_of_a_transaction_does_not_matter_in_WAL_mode(
    folder: Path, live: Writer
) -> None:
    live.execute("BEGIN IMMEDIATE")
    live.execute("INSERT INTO calls VALUES ('half', 1)")
    assert calls(folder / "live.db") == ROWS


def test_A15_missing_tables_have_no_rows_and_missing_columns_are_None(
    folder: Path, live: Writer
) -> None:
    with reading(str(folder / "live.db")) as connection:
        assert columns(connection, "calls") == {"id", "nano"}
        assert columns(connection, "turns") == frozenset()
        assert columns(connection, 'a"b; DROP TABLE calls') == frozenset()
        assert list(rows(connection, "turns", ("id",))) == []
        assert list(rows(connection, "calls", ("id", "model", "nano"))) == [
            (1, "a", None, 5),
            (2, "b", None, None),
        ]
        assert list(rows(connection, "calls", ("nano",), "WHERE id = ?", ("a",))) == [(1, 5)]


def test_texts_that_are_not_UTF8_are_read_with_marks(folder: Path, live: Writer) -> None:
    live.execute("INSERT INTO calls VALUES (CAST(x'61ff' AS TEXT), 1)")
    assert calls(folder / "live.db")[2] == (3, "a�", 1)


@pytest.mark.parametrize(
    ("content", "kind"),
    [(None, "missing"), (b"no database at all, only some text of a kilobyte" * 30, "malformed")],
)
def test_what_is_no_database_is_named(folder: Path, content: bytes | None, kind: str) -> None:
    path = folder / "other.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unreadable) as caught:
        calls(path)
    assert caught.value.kind == kind
    assert "\n" not in str(caught.value)


def test_an_empty_file_is_a_database_without_tables(folder: Path) -> None:
    (folder / "empty.db").write_bytes(b"")
    assert calls(folder / "empty.db") == []


def test_a_folder_is_no_database(folder: Path) -> None:
    with pytest.raises(Unreadable) as caught:
        calls(folder)
    assert caught.value.kind == "missing"


def test_R18_a_change_whose_writer_was_killed_is_undone_in_a_copy(folder: Path) -> None:
    path, killed = folder / "calls.db", folder / "killed"
    killed.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA cache_size = 1")  # changes reach the file before they are final
        writer.execute("CREATE TABLE calls (id TEXT, nano INTEGER)")
        writer.executemany("INSERT INTO calls VALUES (?, 1)", [(f"k{n}" * 99,) for n in range(99)])
        writer.execute("BEGIN")
        writer.execute("UPDATE calls SET nano = 2")
        for file in (path, Path(f"{path}-journal")):
            shutil.copy(file, killed)
    before = {file.name: file.read_bytes() for file in killed.iterdir()}
    assert len(before) == 2
    with reading(str(killed / "calls.db")) as connection:
        assert {nano for _, nano in rows(connection, "calls", ("nano",))} == {1}
    assert {file.name: file.read_bytes() for file in killed.iterdir()} == before


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    path = tmp_path_factory.mktemp("damage") / "calls.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA page_size = 512")
        writer.execute("CREATE TABLE calls (id TEXT, nano INTEGER)")
        writer.execute("CREATE INDEX by_id ON calls (id)")
        writer.executemany("INSERT INTO calls VALUES (?, ?)", [(f"k{n}" * 9, n) for n in range(99)])
    return path, path.read_bytes()


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_F8_damage_anywhere_is_one_problem(sound: tuple[Path, bytes], data: st.DataObject) -> None:
    path, content = sound
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        bad = data.draw(st.binary(min_size=1, max_size=12))
        damaged[at : at + len(bad)] = bad
    path.write_bytes(damaged[: data.draw(st.integers(0, len(content)))])
    before = path.read_bytes()
    wrong = None
    try:
        with reading(str(path)) as connection:
            for table in ("calls", "sessions"):
                for row in rows(connection, table, ("id", "nano"), "ORDER BY id"):
                    assert len(row) == 3
    except Unreadable as error:
        wrong = error
    assert wrong is None or (wrong.kind == "malformed" and "\n" not in str(wrong))
    assert path.read_bytes() == before
