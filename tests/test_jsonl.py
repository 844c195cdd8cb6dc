"""The streaming reader: every line that can matter, whatever the bytes around it."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_usage import jsonl, values
from session_usage.jsonl import Scan, first_lines, parse, parse_any
from session_usage.values import instant, mapping, text, whole

USAGE = b'"usage"'
TITLE = b'"title"'

Found = list[tuple[int, bytes, bool]]
Write = Callable[[bytes], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(data: bytes) -> str:
        path = tmp_path / "log.jsonl"
        path.write_bytes(data)
        return str(path)

    return written


@pytest.fixture(autouse=True)
def _own_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that change the sizes must not leave buffers of theirs to others."""
    monkeypatch.setattr(jsonl, "_BUFFERS", [])


def scanned(scan: Scan) -> Found:
    return [(line.offset, line.data, line.whole) for line in scan]


def read(path: str, *needles: bytes, start: int = 0) -> tuple[Found, int]:
    scan = Scan(path, needles, start)
    return scanned(scan), scan.offset


def naive(data: bytes, wanted: Callable[[bytes], bool]) -> tuple[Found, int]:
    """What a reader with all the time and memory in the world would find."""
    *lines, tail = data.split(b"\n")
    found, at = [], 0
    for line in lines:
        if line.strip() and wanted(line):
            found.append((at, line, True))
        at += len(line) + 1
    try:
        json.loads(tail, parse_constant=pytest.fail)
    except (ValueError, pytest.fail.Exception):
        return found, at
    if wanted(tail):
        found.append((at, tail, False))
    return found, at


# ---- lines and offsets


def test_a_scan_goes_on_from_where_the_last_one_stopped(write: Write) -> None:
    path = write(b'{"usage":1}\n{"usage":2}\n')
    first, offset = read(path, USAGE)
    assert first == [(0, b'{"usage":1}', True), (12, b'{"usage":2}', True)]
    assert offset == 24
    with open(path, "ab") as file:
        file.write(b'{"usage":3}\n')
    assert read(path, USAGE, start=offset) == ([(24, b'{"usage":3}', True)], 36)


def test_a_start_behind_the_end_finds_nothing(write: Write) -> None:
    assert read(write(b'{"usage":1}\n'), USAGE, start=500) == ([], 500)


def test_F8_a_half_written_last_line_is_left_for_later(write: Write) -> None:
    path = write(b'{"usage":1}\n{"usage":{"input')
    assert read(path, USAGE) == ([(0, b'{"usage":1}', True)], 12)


def test_F8_a_last_line_that_is_whole_but_for_its_newline_is_handed_out(write: Write) -> None:
    """The program may have died, or be about to write the newline: both read the figures."""
    path = write(b'{"usage":1}\n{"usage":2}')
    found, offset = read(path, USAGE)
    assert found == [(0, b'{"usage":1}', True), (12, b'{"usage":2}', False)]
    assert offset == 12, "it is read again when its newline is there"
    with open(path, "ab") as file:
        file.write(b"\n")
    assert read(path, USAGE, start=offset) == ([(12, b'{"usage":2}', True)], 24)


@pytest.mark.parametrize("cut", range(1, 22))
def test_F8_half_a_first_line_costs_only_itself(write: Write, cut: int) -> None:
    """A log cut at its head, perhaps inside a character, begins anywhere."""
    line = '{"usage":"größe 💰"}\n'.encode()
    found, _ = read(write(line[cut:] + line), USAGE)
    values = [parse(data) for _, data, _ in found]
    assert values[-1] == ({"usage": "größe 💰"}, None)
    assert all(value is None and wrong for value, wrong in values[:-1])


def test_needles_quoted_inside_texts_do_not_match(write: Write) -> None:
    quoted = json.dumps({"text": '{"usage": 1}'}).encode()
    assert read(write(quoted + b"\n"), USAGE)[0] == []


def test_lines_of_several_needles_come_once_and_in_file_order(write: Write) -> None:
    lines = [b'{"title":1}', b'{"usage":2}', b"{}", b'{"title":3,"usage":3}', b'{"title":4}']
    found, _ = read(write(b"\n".join(lines) + b"\n"), USAGE, TITLE)
    assert [data for _, data, _ in found] == [lines[0], lines[1], lines[3], lines[4]]


def test_without_needles_every_line_that_is_not_blank_is_handed_out(write: Write) -> None:
    found, offset = read(write(b'\n  \n{"a":1}\n\r\n\t\n{"b":2}\n\n'))
    assert [data for _, data, _ in found] == [b'{"a":1}', b'{"b":2}']
    assert offset == 25


def test_CRLF_lines_are_read(write: Write) -> None:
    found, _ = read(write(b'{"usage":1}\r\n{"usage":2}\r\n'), USAGE)
    assert [parse(data) for _, data, _ in found] == [({"usage": 1}, None), ({"usage": 2}, None)]


def test_a_byte_order_mark_costs_nothing(write: Write) -> None:
    found, _ = read(write(b'\xef\xbb\xbf{"usage":1}\n{"usage":2}\n'), USAGE)
    assert [parse(data)[0] for _, data, _ in found] == [{"usage": 1}, {"usage": 2}]


@pytest.mark.parametrize("data", [b"", b"\n", b"\n\n\n", b" ", b"{", b"\x00", b"\xff\xfe"])
def test_files_of_nothing_give_nothing(write: Write, data: bytes) -> None:
    assert read(write(data))[0] in ([], [(0, b"\x00", True)])


def test_a_file_that_cannot_be_opened_is_an_OSError(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(OSError, match=r"absent|directory"):
            list(Scan(str(path)))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes have names there")
def test_a_pipe_is_an_OSError_and_not_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "fifo.jsonl")
    os.mkfifo(path)
    for lines in (Scan(path), Scan(path).others(())):
        with pytest.raises(OSError, match="is no file"):
            list(lines)
    assert list(first_lines(path)) == []


LINES = st.one_of(
    st.sampled_from(
        [b"", b" ", b"\r", b"null", b'{"usage":1}', b'{"title":"x"}', b'{"usage":1,"title":2}',
         b'{"text":"\\"usage\\""}', b'"usage"', b'{"usage":', b"\xef\xbb\xbf", b'\xf0\x9f"title"'],
    ),
    st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")),
    st.text(max_size=20).map(lambda value: json.dumps({"usage": value}).encode()),
)  # fmt: skip
LOGS = st.lists(LINES, max_size=12).map(b"\n".join)
NEEDLES = st.sets(st.sampled_from([USAGE, TITLE, b'"', b"}"]), max_size=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@given(LOGS, NEEDLES, st.integers(1, 70))
def test_any_chunk_size_finds_what_a_naive_split_finds(
    folder: Path, data: bytes, needles: set[bytes], chunk: int
) -> None:
    path = folder / "log.jsonl"
    path.write_bytes(data)
    expected = naive(data, lambda line: not needles or any(needle in line for needle in needles))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "CHUNK", chunk)
        assert read(str(path), *needles) == expected


@given(LOGS, st.integers(1, 70))
def test_any_chunk_size_finds_lines_by_their_heads(folder: Path, data: bytes, chunk: int) -> None:
    path = folder / "log.jsonl"
    path.write_bytes(data)

    def wanted(line: bytes) -> bool:
        if line.startswith(b'{"'):
            return line.startswith(b'{"usage"') or TITLE in line
        return USAGE in line or TITLE in line

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "CHUNK", chunk)
        scan = Scan(str(path), (USAGE, TITLE), plain=b'{"', heads=(b'{"usage"',), anywhere=(TITLE,))
        assert (scanned(scan), scan.offset) == naive(data, wanted)


def in_chunks(scan: Scan) -> Iterator[tuple[int, bytes, bool]]:
    for base, buffer, last, whole_line in scan.chunks():
        assert buffer[last : last + 1] == b"\n"
        at = base
        for line in bytes(buffer[:last]).split(b"\n"):
            yield at, line, whole_line
            at += len(line) + 1


def in_blocks(scan: Scan) -> Iterator[tuple[int, bytes, bool]]:
    for base, first, lines, whole_line in scan.blocks():
        assert first.endswith(b"\n")
        for line in chain((first,), lines):
            if line.endswith(b"\n"):
                yield base + lines.tell() - len(line), line[:-1], whole_line


@pytest.mark.parametrize("read_lines", [in_chunks, in_blocks])
@given(LOGS, st.integers(1, 70), st.integers(8, 40))
def test_many_lines_at_a_time_are_every_line_but_a_half_one(
    folder: Path,
    read_lines: Callable[[Scan], Iterator[tuple[int, bytes, bool]]],
    data: bytes,
    chunk: int,
    limit: int,
) -> None:
    path = folder / "log.jsonl"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "CHUNK", chunk)
        patch.setattr(jsonl, "LINE_LIMIT", limit)  # lines above it come alone
        scan = Scan(str(path), (b"no line holds this",))
        found = list(read_lines(scan))
    expected, offset = naive(data, lambda line: True)
    assert [line for line in found if line[1].strip()] == expected
    assert scan.offset == offset


@given(LOGS, NEEDLES, st.lists(st.integers(0, 400), max_size=6))
def test_F3_reading_in_pieces_is_reading_at_once(
    folder: Path, data: bytes, needles: set[bytes], cuts: list[int]
) -> None:
    """The log grows between the reads, and each goes on where the one before stopped."""
    path = folder / "growing.jsonl"
    found: dict[int, tuple[int, bytes, bool]] = {}
    offset = 0
    for cut in [*sorted(cuts), len(data)]:
        path.write_bytes(data[:cut])
        lines, offset = read(str(path), *needles, start=offset)
        found.update((line[0], line) for line in lines)
    path.write_bytes(data)
    once, end = read(str(path), *needles)
    assert offset == end
    tails = {b"1"}  # a number is the one JSON value whose beginning is one, too
    assert [line for line in found.values() if line[1] not in tails] == [
        line for line in once if line[1] not in tails
    ]


@given(LOGS, st.data())
def test_F8_a_log_cut_anywhere_is_read_without_an_error(
    folder: Path, data: bytes, draw: st.DataObject
) -> None:
    path = folder / "cut.jsonl"
    begin = draw.draw(st.integers(0, len(data)))
    path.write_bytes(data[begin : draw.draw(st.integers(begin, len(data)))])
    for line in Scan(str(path)):
        value, wrong = parse(line.data, b'"usage":')
        assert (value is None) <= (wrong is not None)


# ---- giant lines

GIANT = 100 << 20


def giant(path: Path, piece: bytes, end: bytes) -> None:
    block = piece * ((1 << 20) // len(piece))
    with open(path, "wb") as file:
        file.write(b'{"usage":{"in":3},"text":"')
        for _ in range(GIANT // len(block)):
            file.write(block)
        file.write(b'","nano":12345}' + end)


PIECES = {
    "plain": b"A",
    "lines": b"a line of text as tools print it, and then the next\\n",
    "quotes": b'a line with \\"quotes\\" and a backslash \\\\ at times, ',
}


@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)
def test_C6_C11_a_line_of_100_MB_takes_bounded_memory(tmp_path: Path, piece: bytes) -> None:
    path = tmp_path / "giant.jsonl"
    giant(path, piece, b'\n{"usage":2}\n')
    tracemalloc.start()
    try:
        found, offset = read(str(path), USAGE)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * jsonl.LINE_LIMIT
    value, wrong = parse(found[0][1])
    assert wrong is None
    assert (value["usage"], value["nano"]) == ({"in": 3}, 12345), "figures survive"
    assert value["text"].startswith(json.loads(b'"' + piece + b'"'))
    assert len(found[0][1]) < 2 * jsonl.TEXT_LIMIT
    size = path.stat().st_size
    assert found[1:] == [(size - 12, b'{"usage":2}', True)]
    assert offset == size


def test_C6_an_unfinished_giant_line_is_left_for_later(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "LINE_LIMIT", 64)
    monkeypatch.setattr(jsonl, "CHUNK", 16)
    half = b'{"usage":1,"text":"' + b"A" * 200
    assert read(write(b"{}\n" + half), USAGE) == ([], 3)
    whole_line = half + b'"}'
    found, offset = read(write(b"{}\n" + whole_line), USAGE)
    assert [(at, parse(data)[0]["usage"], ended) for at, data, ended in found] == [(3, 1, False)]
    assert offset == 3


TEXTS = st.text(
    st.one_of(st.sampled_from('é💰"\\\n\x01u0d8a'), st.characters(exclude_categories=["Cs"])),
    min_size=1,
    max_size=120,
)


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4), st.booleans(), st.integers(1, 40))
def test_C6_a_cut_text_is_cut_between_characters(
    folder: Path, texts: list[str], ascii_only: bool, chunk: int
) -> None:
    """Whatever is escaped in it, the shortened line is JSON and its figures are right."""
    record = {"usage": 7, "texts": texts, "after": {"nano": 5}}
    data = json.dumps(record, ensure_ascii=ascii_only).encode()
    path = folder / "giant.jsonl"
    path.write_bytes(data + b"\n{}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "CHUNK", chunk)
        patch.setattr(jsonl, "LINE_LIMIT", 8)
        patch.setattr(jsonl, "TEXT_LIMIT", 24)
        (first, _), offset = read(str(path))
    value, wrong = parse(first[1])
    assert wrong is None
    assert (value["usage"], value["after"]) == (7, {"nano": 5})
    assert len(value["texts"]) == len(texts)
    for kept, written in zip(value["texts"], texts, strict=True):
        assert written.startswith(kept)
    assert offset == len(data) + 4


# ---- one line

PARSED = [
    (b'{"a":1}', {"a": 1}, None),
    (b' {"a":1} \r', {"a": 1}, None),
    (b'{"a":1', None, "not JSON"),
    (b"", None, "not JSON"),
    (b"\x00\x00", None, "not JSON"),
    (b'{"a":"\xff"}', {"a": "�"}, "not UTF-8"),
    (b'{"a":"\x00"}', {"a": "\x00"}, "not strict JSON"),
    (b'\xef\xbb\xbf{"a":1}', {"a": 1}, "not strict JSON"),
    (b'{"a":NaN,"b":-Infinity,"c":2}', {"a": None, "b": None, "c": 2}, "not strict JSON"),
    (b'{"a":1,}', None, "not JSON"),
    (b"[1]", None, "not an object"),
    (b"null", None, "not an object"),
    (b"3", None, "not an object"),
    (b"NaN", None, "not an object"),
    (b'{"usage":1,"usage":2}', {"usage": 2}, "doubled keys"),
    (b'{"usage":1,"b":{"usage":2}}', {"usage": 1, "b": {"usage": 2}}, None),
    (b'{"b":1,"b":2}', {"b": 2}, None),
    (b"[" * 100_000, None, "not JSON"),
    (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", None, "not JSON"),
    (b'{"a":' + b"9" * 6000 + b"}", None, "not JSON"),
    (b'{"a":1e999}', {"a": float("inf")}, "not strict JSON"),
    (b'{"a":"\\ud83d cut"}', {"a": "� cut"}, "not strict JSON"),
    (b'{"\\udc00":[{"b":"\\udfff"}]}', {"�": [{"b": "�"}]}, "not strict JSON"),
]


@pytest.mark.parametrize(("data", "value", "wrong"), PARSED, ids=[str(p[0][:24]) for p in PARSED])
def test_F8_a_line_gives_what_can_be_read_and_says_what_is_wrong(
    data: bytes, value: object, wrong: str | None
) -> None:
    assert parse(data, b'"usage":') == (value, wrong)


@pytest.mark.parametrize(("data", "value", "wrong"), PARSED, ids=[str(p[0][:24]) for p in PARSED])
def test_the_reader_without_compiled_packages_reads_the_same(
    data: bytes, value: object, wrong: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "_loads", jsonl._plain_loads)
    found, reason = parse(data, b'"usage":')
    assert found == value
    assert reason == wrong or b"1e999" in data


@given(st.binary(max_size=60))
def test_F8_no_bytes_make_parsing_fail(data: bytes) -> None:
    value, wrong = parse(data, b'"')
    assert value is None or type(value) is dict
    assert value is not None or wrong
    parse_any(data)


def test_a_bad_line_costs_only_itself(write: Write) -> None:
    bad = [data for data, _, wrong in PARSED if wrong and len(data) < 100]
    found, _ = read(write(b"".join(line + b'\n{"usage":1}\n' for line in bad)), USAGE)
    good = [data for _, data, _ in found if parse(data) == ({"usage": 1}, None)]
    assert len(good) == len(bad)


# ---- values


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0), (7, 7), (-1, None), (True, None), (False, None), (None, None),
        (3.0, 3), (2.4, 2), (2.5, 3), (-0.1, None), (1e17, 10**17), (1e300, None),
        (float("nan"), None), (float("inf"), None), (float("-inf"), None),
        ("12", 12), ("0", 0), ("", None), ("-3", None), ("1.5", None), (" 3", None), ("٣", None),
        ("9" * 5000, None), (10**18 - 1, 10**18 - 1), (10**18, None), (10**400, None),
        ([], None), ({}, None),
    ],
)  # fmt: skip
def test_R7_R15_counts_are_finite_and_not_negative(value: object, expected: int | None) -> None:
    assert whole(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("a", "a"), ("", None), (1, None), (None, None), ([], None)]
)
def test_texts(value: object, expected: str | None) -> None:
    assert text(value) == expected


@pytest.mark.parametrize("value", [None, 1, "a", [], True])
def test_anything_but_an_object_is_an_empty_mapping(value: object) -> None:
    assert mapping(value) == {}
    assert mapping({"a": value}) == {"a": value}


@given(
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),
    st.integers(-14 * 60, 14 * 60),
    st.sampled_from(["T", " "]),
    st.integers(0, 9),
    st.booleans(),
)
def test_instants_are_those_of_the_calendar(
    at: datetime, minutes: int, between: str, digits: int, colon: bool
) -> None:
    fraction = f"{at.microsecond:06d}000"[:digits]
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    written = (
        f"{at:%d}".join([f"{at.year:04d}-{at:%m}-", between])
        + f"{at:%H:%M:%S}"
        + (f".{fraction}" if digits else "")
        + f"{sign}{hours:02d}{':' if colon else ''}{rest:02d}"
    )
    zone = timezone(timedelta(minutes=minutes))
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    kept = int(fraction.ljust(3, "0")[:3])
    expected = (at.replace(tzinfo=zone, microsecond=kept * 1000) - epoch) // timedelta(
        milliseconds=1
    )
    assert instant(written) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-20T10:39:18.683Z", 1_795_171_158_683),
        ("2026-11-20 10:39:18", 1_795_171_158_000),
        ("2026-11-20T10:39:18,5Z", 1_795_171_158_500),
        ("2026-11-20T19:39:18+09:00", 1_795_171_158_000),
        (1_795_171_158_683, 1_795_171_158_683),
        (1_795_171_158_683.0, 1_795_171_158_683),
        (0, None), ("", None), ("yesterday", None), (None, None), (True, None), ([], None),
        ("2026-13-01T00:00:00Z", None), ("2026-01-32T00:00:00Z", None),
        ("2026-00-01T00:00:00Z", None), ("2026-01-01T24:00:00Z", None),
        ("2026-01-01T00:00:00Zx", None), ("2026-01-01", None),
        ("2026-02-30T00:00:00Z", None), ("2025-02-29T00:00:00Z", None),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
    ],
)  # fmt: skip
def test_instants(value: object, expected: int | None) -> None:
    assert instant(value) == expected


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30)),
    st.lists(st.text("0123456789.:Z٣ ", min_size=8, max_size=8), max_size=3),
)
def test_instants_of_a_minute_seen_before_are_no_different(at: datetime, ends: list[str]) -> None:
    begin = f"{at.year:04d}-{at:%m-%dT%H:%M}"
    minute = instant(f"{begin}:00.000Z")
    assert minute is not None
    for second in (0, 1, 59):
        assert instant(f"{begin}:{second:02d}.07Z") == minute + second * 1000 + 70
        assert instant(f"{begin}:{second:02d}.007Z") == minute + second * 1000 + 7
        assert instant(f"{begin}:{second:02d}.007") == minute + second * 1000 + 7
    assert instant(f"{begin}:60.000Z") in (None, minute + 60_000)
    for end in ends:
        known = instant(begin + end)
        values._minutes.clear()
        values._seen_days.clear()
        assert instant(begin + end) == known
        instant(f"{begin}:00.000Z")
