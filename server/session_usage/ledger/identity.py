"""Is a log still the file it was, and what of it is new?"""

from __future__ import annotations

import os

from session_usage.events import Source

_SQLITE = b"SQLite format 3\0"
EDGE = 4096
"""How many bytes at the head, and before the place where reading stopped, identify a log."""


def is_database(path: str) -> bool:
    """Is the file at ``path`` one of SQLite?"""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(16) == _SQLITE
    except OSError:
        return False


def with_log(source: Source) -> Source:
    """A database with what its write-ahead log adds: a live one keeps all of it there."""
    if source.session is not None:
        return source
    try:
        log = os.stat(source.path + "-wal")
    except OSError:
        return source
    return source._replace(
        size=source.size + log.st_size, mtime_ns=max(source.mtime_ns, log.st_mtime_ns)
    )


def stat_of(path: str) -> os.stat_result | None:
    """What the system knows of a file; None when it is gone."""
    try:
        return os.stat(path)
    except OSError:
        return None


def identity(stat: os.stat_result | None) -> tuple[int | None, int | None]:
    """(device, inode) of a file."""
    return (None, None) if stat is None else (stat.st_dev, stat.st_ino & ((1 << 63) - 1))


def continues(source: Source, stat: os.stat_result | None, row: tuple[object, ...]) -> bool:
    """May reading go on from where it stopped?"""
    device, inode, size, mark, offset, _ = row
    assert isinstance(offset, int)
    if stat is None or size == -1 or offset == 0 or (device, inode) != identity(stat):
        return False
    if mark is None:  # a database: its offset is a row, not a byte
        return True
    if stat.st_size < offset or stat.st_size == size:
        return False
    return fingerprint(source.path, offset) == mark


def fingerprint(path: str, offset: int) -> bytes | None:
    """A hash of the head of a log and of the bytes before ``offset``; None for databases."""
    if offset <= 0:
        return None
    import hashlib  # takes longer than to see that no log has changed

    head = min(EDGE, offset)
    try:
        with open(path, "rb", buffering=0) as file:
            begin = file.read(head)
            if begin.startswith(_SQLITE):
                return None
            file.seek(max(0, offset - EDGE))
            return hashlib.blake2b(begin + file.read(min(EDGE, offset)), digest_size=8).digest()
    except OSError:
        return b""
