"""What holds for every provider, whatever the bytes: one suite over all recorded logs.

New agents and cases take part by lying in ``tests/data`` (see ``cases.AGENTS``). Damage is
made at places chosen by a seed that is the case's name: the same in every run.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter as Bag
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cases
import pytest

from session_usage.counters import TOKENS
from session_usage.events import START, Counter, Cursor, Request, Source
from session_usage.places import Places
from session_usage.providers import _BUILT_IN, provider_for
from session_usage.reconcile import Session, reconcile
from session_usage.sessions import Library

ALL = [(folder, case) for folder in cases.AGENTS for case in cases.names(folder)]
CASES = pytest.mark.parametrize(("folder", "case"), ALL, ids=[f"{f}/{c}" for f, c in ALL])
SAMPLES = 40
WHOLE = 0.25
"""Share of the cut files after which all sessions are read, not only the file: it takes long."""
BETWEEN_LINES = {
    "codex": "a figure is the difference of two totals: the next line holds what a lost one held",
    "agent-log": "a call is a question and an answer: the question is its place, not its figures",
}
"""Agents whose calls are more than one line: damage may move figures, never add any."""
DATABASES = (".db", ".vscdb", ".sqlite", "-wal", "-shm")


class Home:
    """A case laid out to be read, damaged and healed."""

    def __init__(self, folder: str, case: str, home: Path) -> None:
        self.agent = cases.AGENTS[folder][0]
        self.places = cases.lay(folder, case, home)
        self.random = random.Random(f"{folder}/{case}")
        self.library = Library(self.places, self.agent)
        found = [source for ref in self.library.refs.values() for source in ref.sources]
        self.sources = [*found, *self.library.shared]
        self.files = sorted({file for source in self.sources for file in files_of(source)})

    def sessions(self) -> list[Session]:
        return cases.everything(self.places, self.agent)

    @contextmanager
    def damaged(self, path: str, content: bytes | None) -> Iterator[None]:
        """The file with other content (None: gone) for a while; SQLite starts anew."""
        target = Path(path)
        beside = [Path(path + end) for end in ("-wal", "-shm")] if is_database(path) else []
        kept = {file: file.read_bytes() for file in (target, *beside) if file.exists()}
        if content is None:
            target.unlink()
        else:
            target.write_bytes(content)
        for file in beside:
            if file.name.endswith("-shm") or content is None:
                file.unlink(missing_ok=True)
        try:
            yield
        finally:
            for file in beside:
                file.unlink(missing_ok=True)
            for file, data in kept.items():
                file.write_bytes(data)


@pytest.fixture
def home(folder: str, case: str, tmp_path: Path) -> Home:
    return Home(folder, case, tmp_path / "home")


def files_of(source: Source) -> list[str]:
    """The file of a source, or the files of one that is a folder."""
    path = Path(source.path)
    return [str(p) for p in path.rglob("*") if p.is_file()] if path.is_dir() else [str(path)]


def is_database(path: str) -> bool:
    return path.endswith(DATABASES)


def spent(sessions: Iterable[Session]) -> int:
    """What the logs say was paid, or for agents without bills, was used."""
    sessions = list(sessions)
    return cases.billed(sessions) or sum(
        getattr(usage, name) or 0
        for session in sessions
        for usage in (*session.requests, *session.unattributed)
        for name in ("input_tokens", "output_tokens")
    )


def worth(events: Iterable[Any]) -> int:
    """The most that these events can add."""
    return sum(
        (e.nano_aiu or 0) + (e.input_tokens or 0) + (e.output_tokens or 0)
        for e in events
        if isinstance(e, Request | Counter)
    )


def facts(events: Iterable[Any]) -> Bag[tuple[Any, ...]]:
    """The figures of the calls, each with its evidence."""
    return Bag(
        (e.path, e.offset, e.nano_aiu, *(getattr(e, name) for name in TOKENS))
        for e in events
        if type(e) is Request and not e.weak
    )


def told(sessions: Iterable[Session]) -> list[Any]:
    """All that sessions say of usage, in an order of its own."""
    rows = []
    for session in sessions:
        key = (session.agent, session.id or "")
        rows += [(key, repr(r)) for r in session.requests]
        rows += [(key, repr(u._replace(offset=0))) for u in session.unattributed]
    return sorted(rows)


def places_to_cut(content: bytes, chance: random.Random) -> list[int]:
    cuts = {chance.randrange(len(content)) for _ in range(SAMPLES)}
    if len(content) < 1 << 16:
        ends = [at + 1 for at, byte in enumerate(content) if byte == 10]
        cuts.update(ends if len(ends) <= SAMPLES else chance.sample(ends, SAMPLES))
    return sorted(cuts)


def share(files: list[str], chance: random.Random) -> list[str]:
    """Which file to damage, sample by sample: each at least once, larger ones more often."""
    weights = [max(1, Path(path).stat().st_size) for path in files]
    return [*files, *chance.choices(files, weights, k=max(0, SAMPLES - len(files)))]


def whole_line(path: str, content: bytes, at: int) -> tuple[int, int]:
    """The bytes that one damaged byte can spoil: its line, or all of a file without lines."""
    if not path.endswith(".jsonl"):
        return 0, len(content)
    begin = content.rfind(b"\n", 0, at) + 1
    end = content.find(b"\n", at)
    if end < 0:
        return begin, len(content)
    # the newline itself joins two lines
    following = content.find(b"\n", end + 1) if end == at else end
    return begin, len(content) if following < 0 else following


def events_of(home: Home, path: str) -> list[Any]:
    """What the sources that ``path`` is part of say with ``path`` as their evidence."""
    found = [source for source in home.sources if path.startswith(source.path)]
    events = [event for source in found for event in cases.read(source)]
    return [event for event in events if getattr(event, "path", path) == path]


# --- (a) damage ---


@CASES
def test_R5_a_file_cut_anywhere_keeps_the_facts_of_its_whole_lines(home: Home) -> None:
    before = spent(home.sessions())
    for path in home.files:
        content = Path(path).read_bytes()
        if not content:
            continue
        calls = facts(events_of(home, path))
        cuts = places_to_cut(content, home.random)
        if is_database(path) or len(home.files) > 8:
            cuts = home.random.sample(cuts, min(len(cuts), 8))
        for cut in cuts:
            with home.damaged(path, content[:cut]):
                if is_database(path):
                    home.sessions()
                    continue
                after = facts(events_of(home, path))
                last = content.rfind(b"\n", 0, cut) + 1 if path.endswith(".jsonl") else 0
                kept = Bag({call: n for call, n in calls.items() if call[1] < last})
                assert home.agent in BETWEEN_LINES or not kept - after, (path, cut)
                if home.random.random() < WHOLE:
                    assert spent(home.sessions()) <= before, (path, cut)


@CASES
def test_R5_a_flipped_byte_costs_at_most_its_line(home: Home) -> None:
    before = spent(home.sessions())
    whole = {path: events_of(home, path) for path in home.files}
    for path in share(home.files, home.random):
        content = Path(path).read_bytes()
        if not content:
            continue
        at = home.random.randrange(len(content))
        other = content[at] ^ (1 << home.random.randrange(8))
        with home.damaged(path, content[:at] + bytes([other]) + content[at + 1 :]):
            found = home.sessions()
            if is_database(path):
                continue
            begin, end = whole_line(path, content, at)
            intact, events = whole[path], events_of(home, path)
            kept = Bag(
                {call: n for call, n in facts(intact).items() if not begin <= call[1] <= end}
            )
            assert home.agent in BETWEEN_LINES or not kept - facts(events), (path, at, other)
            # a counter may still hold what the line held
            own = [e for e in (*intact, *events) if begin <= (getattr(e, "offset", 0) or 0) <= end]
            assert spent(found) <= before + worth(own), (path, at, other)


@CASES
def test_any_bytes_are_read_without_an_exception(home: Home) -> None:
    noise = home.random.randbytes(3000)
    blocks = [b"", b"\n", b"\0" * 700, noise, b"{}\n" * 50, b"[]", b"null\n", b"\xef\xbb\xbf{}"]
    for path in {Path(path).suffix + path[-4:]: path for path in home.files}.values():
        for block in blocks:
            with home.damaged(path, block):
                home.sessions()


# --- (b) to (e) ---


@pytest.mark.parametrize("agent", _BUILT_IN)
def test_an_empty_home_holds_nothing(agent: str, tmp_path: Path) -> None:
    places = Places(str(tmp_path), {}, "linux")
    assert not list(provider_for(agent).sources(places))
    assert not cases.everything(places, agent)
    assert not list(tmp_path.iterdir())


@CASES
def test_the_order_of_files_does_not_matter(home: Home) -> None:
    expected = told(home.sessions())
    for _ in range(3):
        library = Library(home.places, home.agent)
        refs = list(library.refs.items())
        home.random.shuffle(refs)
        library.refs = {
            key: ref._replace(sources=tuple(home.random.sample(ref.sources, len(ref.sources))))
            for key, ref in refs
        }
        home.random.shuffle(library.shared)
        assert told(library.all(full=True)) == expected


@CASES
def test_reading_twice_is_reading_once(home: Home) -> None:
    expected = told(home.sessions())
    assert told(home.sessions()) == expected
    library = Library(home.places, home.agent)
    library.refs = {k: r._replace(sources=r.sources * 2) for k, r in library.refs.items()}
    library.shared *= 2
    assert told(library.all(full=True)) == expected


@CASES
def test_reading_in_pieces_is_reading_at_once(home: Home) -> None:
    growing = provider_for(home.agent).growing
    for source in home.sources:
        if source.kind not in growing or is_database(source.path):
            continue
        path = Path(source.path)
        content = path.read_bytes()
        whole = list(provider_for(source.agent).read(source))
        cuts = [*places_to_cut(content, home.random), len(content)] if content else [0]
        if len(home.sources) > 8:
            cuts = [*sorted(home.random.sample(cuts[:-1], min(6, len(cuts) - 1))), len(content)]
        pieces: list[Any] = []
        at = START
        for cut in cuts:
            path.write_bytes(content[:cut])
            *events, at = provider_for(source.agent).read(source, at)
            assert type(at) is Cursor
            pieces += events
        assert counted(source, pieces) == counted(source, whole), source.path


def counted(source: Source, events: list[Any]) -> list[Any]:
    """What the events of one source come to, session by session."""
    sessions = {e.session for e in events if isinstance(e, Request | Counter)}
    return told(reconcile(source.agent, name, events) for name in sessions)


@CASES
def test_R18_sources_are_never_touched(home: Home) -> None:
    def state() -> dict[str, tuple[str, int]]:
        return {
            str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
            for path in Path(home.places.home).rglob("*")
            if path.is_file()
            and not path.name.endswith("-shm")
            and not (path.name.endswith("-wal") and not path.stat().st_size)
        }

    before = state()
    home.sessions()
    assert state() == before


# --- (f) and (g) ---


@CASES
def test_R5_any_subset_of_files_says_the_same_or_less(home: Home) -> None:
    before = spent(home.sessions())
    subsets = [[path] for path in home.files[:8]]
    subsets += [
        home.random.sample(home.files, home.random.randint(1, len(home.files)))
        for _ in range(4 if len(home.files) > 1 else 0)
    ]
    for gone in subsets:
        with nested(home, gone):
            found = home.sessions()
            assert spent(found) <= before, gone
            # what is left by counters says so
            assert all(row.reason for session in found for row in session.unattributed)


@contextmanager
def nested(home: Home, gone: list[str]) -> Iterator[None]:
    if not gone:
        yield
        return
    with home.damaged(gone[0], None), nested(home, gone[1:]):
        yield


@CASES
def test_A9_figures_are_whole_and_the_parts_fit_into_the_prompt(home: Home) -> None:
    names = (*TOKENS, "cache_write_1h_tokens", "nano_aiu", "started_ms", "duration_ms", "ttft_ms")
    for session in home.sessions():
        for usage in (*session.requests, *session.unattributed):
            for name in names:
                figure = getattr(usage, name, None)
                assert figure is None or (type(figure) is int and figure >= 0), (name, usage)
            read, write = usage.cache_read_tokens, usage.cache_write_tokens
            if None not in (usage.input_tokens, read, write):
                assert usage.input_tokens >= read + write, usage
            if None not in (usage.output_tokens, usage.reasoning_tokens):
                assert usage.output_tokens >= usage.reasoning_tokens, usage
            if session.id is not None:
                assert usage.session == session.id


@CASES
def test_keys_are_unique_and_every_call_has_its_evidence(home: Home) -> None:
    found = cases.requests(home.sessions())
    assert len({request.key for request in found}) == len(found)
    for request in found:
        assert request.agent == home.agent
        path = Path(request.path)
        assert path.is_file()
        if path.suffix == ".jsonl":
            content = path.read_bytes()
            assert request.offset == 0 or content[request.offset - 1] == 10, request


def test_every_agent_takes_part() -> None:
    assert {cases.AGENTS[folder][0] for folder, _ in ALL} == set(_BUILT_IN)
