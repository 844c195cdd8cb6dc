"""The ledger: the same figures as the logs, whatever happens to the logs, to it or to us."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_copilot_vscode import ID, NANO, OTHER, Folder, opened, span, spans, turn

from session_usage import pricing
from session_usage.events import Meta, Request
from session_usage.ledger import cards, care, codec, store
from session_usage.ledger.address import path_of
from session_usage.ledger.filters import Filter
from session_usage.ledger.folds import Folding
from session_usage.ledger.keeper import Keeper
from session_usage.ledger.query import Reader
from session_usage.ledger.wishes import Wishes, wish
from session_usage.places import Places, here
from session_usage.report import Fold, Zone, session_report
from session_usage.sessions import Library

DATA = Path(__file__).parent / "data"
PRICES = pricing.load()
BREAKDOWNS = (
    (), ("agent", "model"), ("day", "model"), ("hour",), ("session",), ("subagent", "skill"),
    ("tool",), ("workspace", "branch"), ("basis", "billing"), ("provider", "surface"), ("turn",),
)  # fmt: skip


def places_of(folder: Path, agent: str) -> Places:
    if agent == "copilot-cli":
        return here(str(folder / "none"), roots=[("copilot-cli", str(folder / "state"))])
    if agent == "vscode":
        return here(str(folder / "none"), [str(folder)])
    return here(str(folder / "home"))


def cases() -> Iterator[tuple[str, str]]:
    for agent in ("copilot-cli", "vscode", "gemini", "claude-code", "codex"):
        root = DATA / agent
        for folder in sorted(root.iterdir()) if root.is_dir() else ():
            if (
                (folder / "state").is_dir()
                or (folder / "User").is_dir()
                or (folder / "home").is_dir()
            ):
                yield agent, folder.name


def load_prices(user_file: str | None) -> tuple[pricing.Prices, str]:
    return PRICES, "test"


class Ledger:
    """A ledger of the logs in a folder."""

    def __init__(self, folder: Path, places: Places) -> None:
        self.path = str(folder / "own" / "ledger.db")
        self.places = places
        self.keeper = Keeper(self.path, places, load_prices)

    def sweep(self) -> int:
        return self.keeper.sweep()

    def fold(self, *by: str, **window: int) -> dict[str, object]:
        reader = Reader(self.path)
        try:
            found = Folding(
                reader, PRICES, window.get("chosen"), window.get("start_ms"),  # type: ignore[arg-type]
                window.get("end_ms"), Zone("Asia/Tokyo"),
            )  # fmt: skip
            return found.fold(by).wire()
        finally:
            reader.close()


def from_logs(places: Places, *by: str, contains: object = None) -> dict[str, object]:
    fold = Fold(PRICES, by, contains, Zone("Asia/Tokyo"))  # type: ignore[arg-type]
    for session in Library(places).all(full=True):
        fold.add(session)
    return fold.wire()


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    shutil.copytree(DATA / "copilot-cli" / "capi-tools", tmp_path / "logs")
    return tmp_path / "logs"


@pytest.fixture
def ledger(tmp_path: Path, logs: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path, places_of(logs, "copilot-cli"))
    yield made
    made.keeper.close()


def journal(logs: Path) -> Path:
    return next((logs / "state" / "session-state").glob("*/events.jsonl"))


@pytest.mark.parametrize(("agent", "case"), list(cases()), ids="/".join)
def test_the_ledger_says_what_the_logs_say(agent: str, case: str, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    shutil.copytree(DATA / agent / case, folder)
    places = places_of(folder, agent)
    ledger = Ledger(tmp_path, places)
    ledger.sweep()
    for by in BREAKDOWNS:
        assert ledger.fold(*by) == from_logs(places, *by), by
    reader = Reader(ledger.path)
    library = Library(places)
    for (of, name), ref in library.refs.items():
        found = reader.load(reader.find(name, (of,)))
        assert session_report(found, PRICES, "full") == session_report(
            library.load(ref), PRICES, "full"
        )
    reader.close()
    assert ledger.sweep() == 0  # nothing new: nothing is read, nothing is written
    ledger.keeper.close()


GROWING = [
    ("copilot-cli", "capi-tools"),
    ("copilot-cli", "capi-fork-rewind"),
    ("copilot-cli", "v1.0.12-capi-resume"),
    ("vscode", "run6-capi-basic"),
]


@pytest.mark.parametrize(("agent", "case"), GROWING, ids="/".join)
def test_F3_a_log_that_grows_line_by_line_is_read_on(
    agent: str, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it grows by half lines; and only the new bytes are read."""
    folder = tmp_path / "logs"
    shutil.copytree(DATA / agent / case, folder)
    grown: dict[Path, list[bytes]] = {}
    for path in sorted(folder.rglob("*.jsonl")):
        grown[path] = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"")
    places = places_of(folder, agent)
    ledger = Ledger(tmp_path, places)
    ledger.sweep()
    starts = watch_reading(monkeypatch)
    for path, lines in grown.items():
        for number, line in enumerate(lines):
            if len(lines) > 40 and number % 7 and number < len(lines) - 3:
                with path.open("ab") as file:
                    file.write(line)
                continue
            for part in (line[: len(line) // 2], line[len(line) // 2 :]):
                with path.open("ab") as file:
                    file.write(part)
                ledger.keeper.scanner._rests.clear()
                ledger.keeper.look([str(path)])
            assert ledger.fold()["totals"] == from_logs(places)["totals"], (path.name, number)
    ledger.sweep()
    for by in BREAKDOWNS:
        assert ledger.fold(*by) == from_logs(places, *by), by
    main = max(grown, key=lambda path: len(grown[path]))
    if agent == "copilot-cli":
        assert len([at for path, at in starts if path == str(main) and at > 0]) > 5
    ledger.keeper.close()


def watch_reading(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    from session_usage import jsonl

    starts: list[tuple[str, int]] = []
    before = jsonl.Scan.__init__

    def noted(
        self: jsonl.Scan, path: str, needles: object = (), start: int = 0, **more: bool
    ) -> None:
        starts.append((path, start))
        before(self, path, needles, start, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(jsonl.Scan, "__init__", noted)
    return starts


def test_B16_history_survives_the_deletion_of_sources(ledger: Ledger, logs: Path) -> None:
    ledger.sweep()
    before = ledger.fold("model", "day", "session")
    shutil.rmtree(logs)
    ledger.sweep()
    assert ledger.fold("model", "day", "session") == before
    reader = Reader(ledger.path)
    rows, total = reader.sessions()
    assert total == len(rows) > 0
    assert all(codec.loads(row)["sources"] == [] for row in rows)
    reader.close()


def test_a_deleted_ledger_comes_back_from_the_sources(tmp_path: Path, logs: Path) -> None:
    places = places_of(logs, "copilot-cli")
    for name in ("one", "two"):
        ledger = Ledger(tmp_path / name, places)
        ledger.sweep()
        assert ledger.fold("model") == from_logs(places, "model")
        ledger.keeper.close()


@pytest.mark.parametrize("way", ["rename", "rotate", "truncate", "rewrite", "touch", "replace"])
def test_F4_nothing_is_lost_or_counted_twice(way: str, ledger: Ledger, logs: Path) -> None:
    ledger.sweep()
    before = ledger.fold("model")
    path = journal(logs)
    content = path.read_bytes()
    if way == "rename":  # the whole session folder
        shutil.move(path.parent, path.parent.with_name("moved"))
        shutil.move(path.parent.with_name("moved"), path.parent)
    elif way == "rotate":  # a new file of the same content
        copy = path.with_suffix(".new")
        copy.write_bytes(content)
        os.replace(copy, path)
    elif way == "truncate":  # the agent cut its own log at the head
        path.write_bytes(content[content.index(b"\n", len(content) // 2) + 1 :])
    elif way == "rewrite":  # in place, without the last lines
        path.write_bytes(b"".join(content.splitlines(keepends=True)[:3]))
        ledger.sweep()
        path.write_bytes(content)
    elif way == "touch":
        os.utime(path)
    else:  # emptied, then written anew line by line
        path.write_bytes(b"")
        for line in content.splitlines(keepends=True):
            with path.open("ab") as file:
                file.write(line)
            ledger.sweep()
    ledger.sweep()
    ledger.sweep()
    assert ledger.fold("model") == before


def test_F4_calls_that_a_rewritten_log_no_longer_has_are_kept(tmp_path: Path) -> None:
    """A log that is the only witness of its calls is cut at its head."""
    folder = tmp_path / "logs"
    shutil.copytree(DATA / "vscode" / "run6-capi-basic", folder)
    for database in folder.rglob("*.db"):
        database.unlink()
    shutil.rmtree(next(folder.rglob("chatSessions")))
    ledger = Ledger(tmp_path, places_of(folder, "vscode"))
    ledger.sweep()
    before = ledger.fold("model")
    log = next(folder.rglob("main.jsonl"))
    lines = log.read_bytes().splitlines(keepends=True)
    half = log.with_suffix(".half")
    half.write_bytes(b"".join(lines[len(lines) // 2 :]))
    os.replace(half, log)
    for _ in range(3):
        ledger.sweep()
        assert ledger.fold("model")["totals"] == before["totals"]
    with log.open("ab") as file:
        file.writelines(lines[: len(lines) // 2])
    ledger.sweep()
    assert ledger.fold("model")["totals"] == before["totals"]
    ledger.keeper.close()


def test_windows_that_cut_through_a_quarter_are_exact(ledger: Ledger, logs: Path) -> None:
    ledger.sweep()
    reader = Reader(ledger.path)
    starts = sorted(
        request.started_ms
        for row in [reader.load(reader.find(ref)) for ref in names(reader)]
        for request in row.requests
        if request.started_ms is not None
    )
    reader.close()
    assert len(starts) >= 3
    for begin, end in (
        (starts[0], starts[-1]), (starts[0] + 1, starts[-1] + 1), (starts[1], starts[2]),
        (starts[0] - 10**9, starts[1]), (starts[-1], starts[-1] + 10**9),
    ):  # fmt: skip
        for by in ((), ("model", "day"), ("hour",), ("tool",), ("turn",)):
            expected = from_logs(
                ledger.places, *by, contains=lambda at, b=begin, e=end: b <= at < e
            )
            assert ledger.fold(*by, start_ms=begin, end_ms=end) == expected, (begin, end, by)


def names(reader: Reader) -> list[str]:
    return [codec.loads(row)["id"] for row in reader.sessions()[0]]


def test_C14_what_filters_select_adds_up(ledger: Ledger) -> None:
    ledger.sweep()
    whole = ledger.fold("model")
    for by in (("model",), ("turn", "model")):
        parts = [
            ledger.fold(*by, chosen=Filter(values={"model": [row["key"]["model"]]}))["totals"]  # type: ignore[arg-type,index]
            for row in whole["rows"]  # type: ignore[attr-defined]
        ]
        for field in ("requests", "nanoAiu", "inputTokens"):
            assert sum(part[field] for part in parts) == whole["totals"][field]  # type: ignore[index,misc]


ODD = '"\\/\b\f\n\r\t\x01\x1f\x1e\x7f\0 100 % %b ü 模 😀'


@pytest.mark.parametrize(
    ("column", "value", "field", "expected"),
    [
        ("title", None, "title", None),
        ("title", ODD, "title", ODD),
        ("name", ODD, "id", ODD),
        ("workspace", b"/tmp/\xff", "workspace", "/tmp/\udcff"),
        ("row", b'null\x1f"2026-11-20"\x1f1', "updatedAt", "2026-11-20"),
    ],
)
def test_a_row_of_any_text_is_the_json_of_all_its_fields(
    ledger: Ledger, column: str, value: object, field: str, expected: object
) -> None:
    ledger.sweep()
    reader = Reader(ledger.path)
    plain = json.loads(reader.sessions()[0][0])
    ledger.keeper.connection.execute(f"UPDATE sessions SET {column} = ? WHERE listed", (value,))
    ledger.keeper.connection.execute(
        "UPDATE labels SET text = CAST(replace(text, '-', '%b') AS BLOB)"
    )
    reader.close()
    reader = Reader(ledger.path)
    ((row,), total) = reader.sessions()
    found = json.loads(row)
    reader.close()
    assert (total, found[field]) == (1, expected)
    assert list(found) == list(plain)
    assert list(found["totals"]) == list(plain["totals"])
    assert row == codec.dumps(found)  # no byte more than it takes
    same = found.keys() - {field, "models", *(("createdAt", "totals") if column == "row" else ())}
    assert {name: found[name] for name in same} == {name: plain[name] for name in same}


def test_a_row_of_a_version_that_had_all_figures_in_it(ledger: Ledger) -> None:
    ledger.sweep()
    reader = Reader(ledger.path)
    ((plain,), _) = reader.sessions()
    found = json.loads(plain)
    reader.close()
    own = (found["createdAt"], found["updatedAt"], *found["totals"].values())
    write = ledger.keeper.connection.execute
    write("UPDATE labels SET text = ?", (codec.dumps([found["sources"], found["models"]]),))
    write("UPDATE sessions SET row = ? WHERE listed", (b"\x1f".join(map(codec.dumps, own)),))
    reader = Reader(ledger.path)
    assert reader.sessions() == ([plain], 1)
    reader.close()


def test_finished_rows_are_kept_until_their_session_changes(ledger: Ledger, logs: Path) -> None:
    ledger.sweep()
    kept = cards.Cards()
    reader, other = Reader(ledger.path, kept), Reader(ledger.path, kept)
    ((before,), _) = reader.sessions()
    assert other.sessions()[0][0] is before
    log = journal(logs)
    line = [each for each in log.read_bytes().splitlines() if b"session.usage_record" in each][-1]
    usage = line.split(b'"usageId":"')[1].split(b'"')[0]
    with log.open("ab") as file:
        file.write(line.replace(usage, b"another") + b"\n")
    ledger.sweep()
    for each in (reader, other):
        ((after,), _) = each.sessions()
        assert json.loads(after)["totals"]["requests"] > json.loads(before)["totals"]["requests"]
    kept.forget()
    assert reader.sessions()[0] == [after]
    care.forget(ledger.keeper.connection, [reader.find(names(reader)[0])])
    assert other.sessions() == ([], 0)
    reader.close()
    other.close()


def test_a_page_of_what_a_pattern_finds(ledger: Ledger) -> None:
    ledger.sweep()
    reader = Reader(ledger.path)
    (name,) = names(reader)
    for pattern, expected in ((name[:9], 1), ("no such thing", 0)):
        rows, total = reader.sessions(fits=re.compile(pattern).search, limit=1)
        assert (len(rows), total) == (expected, expected)
        assert reader.sessions(fits=re.compile(pattern).search, offset=1) == ([], expected)
    reader.close()


def test_what_is_forgotten_does_not_come_back(ledger: Ledger, logs: Path) -> None:
    ledger.sweep()
    reader = Reader(ledger.path)
    ref = reader.find(names(reader)[0])
    gone = care.forget(ledger.keeper.connection, [ref])
    assert gone.sessions == 1
    assert gone.requests > 0
    for _ in range(2):
        with journal(logs).open("ab") as file:
            file.write(b"\n")
        ledger.sweep()
        assert ledger.fold()["totals"]["requests"] == 0  # type: ignore[index]
        assert names(reader) == []
    ledger.keeper.reindex()
    assert ledger.fold()["totals"]["requests"] == 0  # type: ignore[index]
    reader.close()


def test_a_project_is_forgotten_or_excluded(ledger: Ledger) -> None:
    ledger.sweep()
    before = ledger.fold("model")
    reader = Reader(ledger.path)
    workspace = codec.loads(reader.sessions()[0][0])["workspace"]
    wish(ledger.keeper.connection, Wishes(excluded=(os.path.dirname(workspace),)))
    ledger.sweep()
    assert ledger.fold()["totals"]["requests"] == 0  # type: ignore[index]
    wish(ledger.keeper.connection, Wishes())
    ledger.sweep()
    assert ledger.fold("model") == before
    assert care.forget_project(ledger.keeper.connection, workspace).sessions == 1
    ledger.sweep()
    assert ledger.fold()["totals"]["requests"] == 0  # type: ignore[index]
    reader.close()


def test_everything_before_a_day_is_forgotten(ledger: Ledger) -> None:
    ledger.sweep()
    reader = Reader(ledger.path)
    requests = reader.load(reader.find(names(reader)[0])).requests
    cut = requests[1].started_ms
    assert cut is not None
    care.forget_before(ledger.keeper.connection, cut)
    for _ in range(2):
        ledger.sweep()
        totals = ledger.fold()["totals"]
        assert totals["requests"] == len([r for r in requests if (r.started_ms or 0) >= cut])  # type: ignore[index]
        assert totals["unattributedNanoAiu"] in (0, None)  # type: ignore[index]
        ledger.keeper.reindex()
    reader.close()


def test_nothing_of_a_message_is_in_the_ledger(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    shutil.copytree(DATA / "copilot-cli" / "capi-tools", folder)
    path = journal(folder)
    secret = b"UNMISTAKABLE-SECRET"
    content = path.read_bytes().replace(b'"content":"', b'"content":"' + secret)
    assert secret in content
    path.write_bytes(content)
    ledger = Ledger(tmp_path, places_of(folder, "copilot-cli"))
    ledger.sweep()
    for row in ledger.keeper.connection.execute(
        "SELECT f.data, s.path, s.agent, n.name FROM facts f JOIN sources s ON s.id = f.source"
        " JOIN sessions n ON n.id = f.session"
    ):
        for event in codec.unpack(*row):
            if not isinstance(event, Meta):
                assert secret.decode() not in repr(event)
    ledger.keeper.close()
    for file in Path(ledger.path).parent.iterdir():
        assert secret not in file.read_bytes()


@pytest.mark.parametrize("damage", [b"", b"no database at all", b"SQLite format 3\0 but no more"])
def test_a_damaged_ledger_is_kept_aside_and_rebuilt(
    damage: bytes, tmp_path: Path, logs: Path
) -> None:
    places = places_of(logs, "copilot-cli")
    ledger = Ledger(tmp_path, places)
    ledger.sweep()
    ledger.keeper.close()
    for ending in ("-wal", "-shm"):
        Path(ledger.path + ending).unlink(missing_ok=True)
    Path(ledger.path).write_bytes(damage)
    again = Ledger(tmp_path, places)
    assert bool(again.keeper.problem) == bool(damage)
    again.sweep()
    assert again.fold("model") == from_logs(places, "model")
    kept = list(Path(ledger.path).parent.glob("*.damaged-*"))
    assert [file.read_bytes() for file in kept] == ([damage] if damage else [])
    again.keeper.close()


def test_a_ledger_of_version_1_keeps_what_its_logs_no_longer_say(tmp_path: Path) -> None:
    path = tmp_path / "own" / "ledger.db"
    path.parent.mkdir()
    before = sqlite3.connect(path)
    before.executescript((DATA / "ledger" / "version-1.sql").read_text())
    before.close()
    keeper = Keeper(str(path), here(str(tmp_path)), load_prices)
    assert keeper.problem is None
    keeper.sweep()
    reader = Reader(str(path))
    found = Folding(reader, PRICES, zone=Zone("Asia/Tokyo")).fold(("model", "day", "tool")).wire()
    places = places_of(DATA / "copilot-cli" / "capi-tools", "copilot-cli")
    assert found == from_logs(places, "model", "day", "tool")
    (row,) = reader.sessions()[0]
    (ref,) = Library(places).refs.values()
    assert codec.loads(row)["id"] == ref.id
    reader.close()
    keeper.close()


def test_a_ledger_of_the_future_is_no_damage(tmp_path: Path, logs: Path) -> None:
    ledger = Ledger(tmp_path, places_of(logs, "copilot-cli"))
    ledger.keeper.connection.execute("PRAGMA user_version = 99")
    ledger.keeper.close()
    with pytest.raises(store.Newer, match=f"version 99, this program knows {store.VERSION}"):
        Ledger(tmp_path, ledger.places)
    assert not list(Path(ledger.path).parent.glob("*.damaged-*"))


DAMAGE = {
    "malformed": (sqlite3.DatabaseError("database disk image is malformed"), True),
    "a schema": (sqlite3.OperationalError("malformed database schema (x)"), True),
    "a table": (sqlite3.OperationalError("no such table: files"), True),
    "foreign": (store.Damaged("it holds tables of another program"), True),
    "locked": (sqlite3.OperationalError("database is locked"), False),
    "full": (sqlite3.OperationalError("database or disk is full"), False),
    "closed": (sqlite3.ProgrammingError("Cannot operate on a closed database."), False),
    "of ours": (ValueError("not JSON"), False),
}


@pytest.mark.parametrize(("error", "expected"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_told_from_other_failures(
    error: Exception, expected: bool, tmp_path: Path, logs: Path
) -> None:
    ledger = Ledger(tmp_path, places_of(logs, "copilot-cli"))
    assert store.is_damage(error, ledger.keeper.connection) is expected
    ledger.keeper.connection.execute("DROP VIEW sources")
    assert store.is_damage(ValueError("not JSON"), ledger.keeper.connection)
    ledger.keeper.close()
    assert not store.is_damage(ValueError("not JSON"), ledger.keeper.connection)


def test_facts_of_a_version_with_other_fields_are_still_read() -> None:
    before = codec.names()
    before["R"] = ["key", "gone", *[name for name in before["R"] if name not in ("key", "ttft_ms")]]
    row = ["k", 1, *range(10, len(before["R"]) + 8)]
    blob = codec._squeezed(["RX", [[value] for value in row], [[1]]], ("/p", ""))
    (event,) = codec.unpack(codec.translate(blob, before), "/p", "a")
    assert isinstance(event, Request)
    assert (event.key, event.ttft_ms) == ("k", None)
    assert event.agent == row[2]


@pytest.mark.parametrize("value", [1, -(2**70), 2**70, "é\ud800", None, [1.5, {"a": "b"}]])
def test_any_value_survives_being_stored(value: object) -> None:
    meta = Meta("copilot-cli", "s", "/p", facts=(("x", value),), names=(("a", "b"),))
    (found,) = codec.unpack(codec.pack([meta], "/p", "copilot-cli"), "/p", "copilot-cli")
    assert isinstance(found, Meta)
    stored = dict(found.facts)["x"]
    assert (list(stored) if isinstance(stored, tuple) else stored) == value
    assert found._replace(facts=()) == meta._replace(facts=())


def test_only_one_process_scans(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.db")
    one, two = store.Lock(path), store.Lock(path)
    assert one.take()
    assert not two.take()
    one.release()
    assert two.take()
    two.release()


def test_other_places_have_another_ledger(tmp_path: Path) -> None:
    """F6: what the environment says of the logs never mixes with the user's own."""
    env = {"SESSION_USAGE_HOME": str(tmp_path)}
    own = here(env=env)
    assert path_of(own) == str(tmp_path / "ledger.db")
    others = {
        path_of(here(env={**env, "COPILOT_HOME": "/elsewhere"})),
        path_of(here(env={**env, "XDG_DATA_HOME": "/elsewhere"})),
        path_of(here("/home/other", env=env)),
        path_of(own._replace(roots=(("vscode", "/x"),))),
    }
    assert len(others) == 4
    assert path_of(own) not in others


KILLED = """
import os, random, shutil, signal, sys, time
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from pathlib import Path
from test_ledger import PRICES, from_logs, load_prices
from session_usage.ledger.folds import Folding
from session_usage.ledger.keeper import Keeper
from session_usage.ledger.query import Reader
from session_usage.places import here
from session_usage.report import Zone

chance = random.Random(5)
for point in range(50):
    folder = Path(sys.argv[3]) / str(point)
    home, path = folder / "home with spaces # and % \u00e9", str(folder / "own" / "ledger.db")
    shutil.copytree(sys.argv[4], home / ".copilot")
    log = next(home.rglob("events.jsonl"))
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"")
    ready, tell = os.pipe()
    keeper = os.fork()
    if not keeper:
        keeping = Keeper(path, here(str(home)), load_prices)
        os.write(tell, b"1")
        while True:
            keeping.sweep()
    os.read(ready, 1)
    death = chance.randrange(len(lines))
    for number, line in enumerate(lines):
        with log.open("ab") as file:
            file.write(line)
        if number == death:
            until = time.perf_counter() + chance.random() * 0.01
            while time.perf_counter() < until:
                pass
            os.kill(keeper, signal.SIGKILL)
            os.waitpid(keeper, 0)
    os.close(ready), os.close(tell)
    keeping = Keeper(path, here(str(home)), load_prices)
    assert keeping.problem is None, keeping.problem
    keeping.sweep()
    reader = Reader(path)
    found = Folding(reader, PRICES, zone=Zone("Asia/Tokyo")).fold(("model",)).wire()
    assert found == from_logs(here(str(home)), "model"), point
    reader.close()
    keeping.close()
    shutil.rmtree(folder)
print("50 deaths")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is copied to be killed")
def test_F5_kill_9_at_50_random_moments_loses_nothing(tmp_path: Path) -> None:
    tests = Path(__file__).parent
    logs = DATA / "copilot-cli" / "capi-tools" / "state"
    folders = [tests.parent / "server", tests, tmp_path, logs]
    found = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, folders)], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert found.stdout == "50 deaths\n", found.stderr


def test_a_sweep_lists_no_folder_that_did_not_change(
    ledger: Ledger, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But finds what grew, what is new, and what comes in the same instant."""
    from session_usage.ledger import scan

    listed = []
    made = scan.Library.__init__

    def noted(self: Library, places: Places, agent: str = "all") -> None:
        listed.append(places)
        made(self, places, agent)

    monkeypatch.setattr(scan.Library, "__init__", noted)
    folder = journal(logs).parent
    ledger.sweep()
    for _ in range(2):  # something may come in the same instant
        os.utime(folder)
        ledger.sweep()
    assert len(listed) == 3
    os.utime(folder, (1_700_000_000,) * 2)
    for _ in range(3):
        ledger.sweep()
    assert len(listed) == 4
    with journal(logs).open("ab") as file:
        file.write(b"\n")
    assert ledger.keeper.scanner.changed()
    ledger.sweep()
    assert len(listed) == 4
    shutil.copytree(folder, folder.with_name("another"))
    ledger.sweep()
    assert len(listed) == 5
    assert ledger.fold("model") == from_logs(ledger.places, "model")


def test_a_file_that_need_only_be_there_is_read_once(tmp_path: Path) -> None:
    """Whether its folder is listed or the known logs are looked at."""
    logs = tmp_path / "logs"
    shutil.copytree(DATA / "vscode" / "run6-capi-basic", logs)
    (there,) = logs.rglob("models.json")
    for folder, _, _ in os.walk(logs):
        os.utime(folder, (1_700_000_000,) * 2)
    ledger = Ledger(tmp_path, places_of(logs, "vscode"))
    ledger.sweep()
    scanner = ledger.keeper.scanner
    assert scanner.knows([str(there)])
    for _ in range(2):
        assert scanner.changed() == []
        scanner.refresh()
    ledger.keeper.close()


@pytest.mark.parametrize("first", ["the chat", "the spans", "both"])
def test_a_call_of_no_session_that_a_turn_claims_counts_once(first: str, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "logs")
    ledger = Ledger(tmp_path, folder.places)

    def chat() -> None:
        folder.chat(opened(turn(1, 10 / 1e9)))
        folder.chat(opened(turn(5_000, 10 / 1e9)), session=OTHER)

    def calls() -> None:
        spans(
            folder, span("c", 1.2, None), span("d", 1, None),
            facts={"c": {NANO: "10"}, "d": {NANO: "7"}},
        )  # fmt: skip

    steps = [calls, chat] if first == "the spans" else [chat, calls]
    for step in steps:
        step()
        if first != "both":
            ledger.sweep()
    ledger.sweep()
    for by in BREAKDOWNS:
        assert ledger.fold(*by) == from_logs(folder.places, *by), by
    assert ledger.fold()["totals"]["nanoAiu"] == 10 + 10 + 7  # type: ignore[index]
    reader = Reader(ledger.path)
    found = reader.load(reader.find(ID))
    assert [request.nano_aiu for request in found.requests] == [10]
    assert not found.unattributed
    reader.close()
    assert ledger.sweep() == 0
    ledger.keeper.close()


def test_a_ledger_without_the_right_to_write_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.reader(str(tmp_path / "none.db"))
    file = tmp_path / "file"
    file.write_text("in the way")
    with pytest.raises(OSError, match=r"file|directory|exist"):
        store.writer(str(file / "ledger.db"))


def test_a_locked_database_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from session_usage import sqlite

    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.0)
    folder = tmp_path / "logs"
    shutil.copytree(DATA / "vscode" / "run6-capi-basic", folder)
    places = places_of(folder, "vscode")
    ledger = Ledger(tmp_path, places)
    ledger.sweep()
    before = ledger.fold("model")
    database = next(folder.rglob("agent-traces.db"))
    holder = sqlite3.connect(database, isolation_level=None)
    holder.execute("PRAGMA journal_mode = DELETE")
    holder.execute("BEGIN EXCLUSIVE")
    os.utime(database)
    ledger.keeper.scanner._rests.clear()
    ledger.sweep()
    assert [problem.kind for problem in ledger.keeper.scanner.trouble.values()] == ["locked"]
    assert ledger.fold("model") == before
    holder.execute("ROLLBACK")
    holder.close()
    ledger.keeper.scanner._rests.clear()
    ledger.sweep()
    assert not ledger.keeper.scanner.trouble
    assert ledger.fold("model") == before
    ledger.keeper.close()
