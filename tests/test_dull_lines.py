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


def is_dull(line: bytes) -> bool:
    return line.startswith(DULL) and not (line.startswith(BIG) and MARK in line)


def is_headed(line: bytes) -> bool:
    if line.startswith(b'{"'):
        return line.startswith(b'{"want"') or MARK in line
    return b'"want"' in line or MARK in line


def naive(data: bytes) -> tuple[Found, int]:
    """What ``others`` is to find, and where to go on."""
    *lines, tail = data.split(b"\n")
    found, at = [], 0
    for line in lines:
        if is_headed(line) and not is_dull(line):
            found.append((at, line, True))
        at += len(line) + 1
    try:
        json.loads(tail)
    except ValueError:
        return found, at
    if is_headed(tail):
        found.append((at, tail, False))
    return found, at


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
        heads = (b'{"want"',)
        scan = Scan(str(path), (b'"want"',), plain=b'{"', heads=heads, anywhere=(MARK,))
        assert (list(scan.others(DULL, BIG, MARK, RARE)), scan.offset) == naive(data)


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
