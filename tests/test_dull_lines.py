"""Logs most of whose lines are of few kinds: skipping those skips nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_usage import jsonl
from session_usage.jsonl import Scan

DULL = (b'{"a"', b'{"big"')
BIG = b'{"big"'
MARK = b'"Use":{'
RARE = ord("U")

Found = list[tuple[int, bytes, bool]]

LINES = st.one_of(
    st.sampled_from(
        [b"", b" ", b"\r", b"null", b'{"a":1}', b'{"a":{"Use":{}}}', b'{"big":"text"}', b'{"big":',
         b'{"big":{"Use":{"n":1}}}', b'{"big":"\\"Use\\":{"}', b'{"big":"U"}', b'{"want":1}',
         b'{ "want":1}', b'{"other":{"Use":{}}}', b'{"other":1}', b'{"b":2,"a":1}', b"\xff\x00"],
    ),
    st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")),
    st.integers(0, 600).map(lambda size: b'{"big":"' + b"x" * size + b'","Use":{"n":1}}'),
)  # fmt: skip
LOGS = st.lists(LINES, max_size=12).map(b"\n".join)


def wanted(line: bytes) -> bool:
    """What ``others`` is to find, line by line."""
    if line.startswith(DULL):
        return line.startswith(BIG) and MARK in line
    if line.startswith(b'{"'):
        return line.startswith(b'{"want"') or MARK in line
    return b'"want"' in line or MARK in line


def naive(data: bytes) -> tuple[Found, int]:
    *lines, tail = data.split(b"\n")
    found, at = [], 0
    for line in lines:
        if wanted(line):
            found.append((at, line, True))
        at += len(line) + 1
    try:
        json.loads(tail)
    except ValueError:
        return found, at
    if wanted(tail):
        found.append((at, tail, False))
    return found, at


def scan_of(path: Path, start: int = 0) -> Scan:
    heads = (b'{"want"',)
    return Scan(str(path), (b'"want"',), start, plain=b'{"', heads=heads, anywhere=(MARK,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@given(LOGS, st.integers(1, 70))
def test_any_chunk_size_finds_what_is_not_dull(folder: Path, data: bytes, chunk: int) -> None:
    path = folder / "log.jsonl"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "_BUFFERS", [])
        patch.setattr(jsonl, "CHUNK", chunk)
        scan = scan_of(path)
        assert (list(scan.others(DULL, BIG, MARK, RARE)), scan.offset) == naive(data)
        assert scan.seen >= scan.offset


@given(LOGS, LOGS, st.integers(1, 70))
def test_reading_ends_where_it_may(folder: Path, data: bytes, more: bytes, chunk: int) -> None:
    """What is appended while a log is read is left for the next time."""
    path = folder / "stop.jsonl"
    path.write_bytes(data + b"\n" + more)
    end = len(data) + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "_BUFFERS", [])
        patch.setattr(jsonl, "CHUNK", chunk)
        found = list(scan_of(path).others(DULL, BIG, MARK, RARE, stop=end))
        again = list(scan_of(path, end).others(DULL, BIG, MARK, RARE))
    assert [line for line in found if line[0] < end] == naive(data + b"\n")[0]
    assert again == [(end + at, line, whole) for at, line, whole in naive(more)[0]]


@pytest.mark.parametrize("chunk", [8, 40, 1 << 17])
def test_a_reader_may_change_what_is_dull_on_the_way(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "_BUFFERS", [])
    monkeypatch.setattr(jsonl, "CHUNK", chunk)
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a":1}\n{"want":1}\n{"a":2}\n{"a":3}')
    scan = Scan(str(path), plain=b'{"', heads=(b'{"want"', b'{"a"'))
    found = []
    for _, line, _ in scan.others(DULL):
        found.append(line)
        scan.dull = (BIG,)
    assert found == [b'{"want":1}', b'{"a":2}', b'{"a":3}']


def test_after_each_line_the_offset_is_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"want":1}\n{"a":2}\n{"want":3}\n{"a":4}\n{"a"')
    scan = scan_of(path)
    assert [(at, scan.offset) for at, _, _ in scan.others(DULL)] == [(0, 11), (19, 30)]
    assert (scan.offset, scan.seen) == (38, 42)
