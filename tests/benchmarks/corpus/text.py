"""The raw material: code-like text, ids, times, sizes. All drawn from a given generator."""

from __future__ import annotations

import bisect
import datetime as dt
import functools
import itertools
import json
import os
import random
import string
from collections.abc import Iterable
from typing import NamedTuple

END_MS = int(dt.datetime(2026, 11, 19, 18, 0, tzinfo=dt.timezone.utc).timestamp() * 1000)
"""No session begins later than this."""
SPAN_DAYS = 110
DAY_MS = 86_400_000

# Quantiles (share of sessions, bytes) of a real tree of 3,142 logs and 1,239 MiB
QUANTILES = (
    (0.0, 4_000),
    (0.5, 105_267),
    (0.75, 233_572),
    (0.9, 653_972),
    (0.95, 1_504_757),
    (0.99, 5_383_751),
    (1.0, 40_000_000),
)


class Pool(NamedTuple):
    """Escaped lines in one piece of memory, and where each begins (the end included)."""

    data: bytes
    offsets: list[int]


class Pools(NamedTuple):
    """One text in two escapings: for a JSON string, and for JSON inside a JSON string."""

    once: Pool
    twice: Pool
    words: list[str]


@functools.cache
def pools() -> Pools:
    """The text everything is cut from; the same in every process and for every seed."""
    rng = random.Random("pool-v1")
    words = [
        "".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randint(2, 11)))
        for _ in range(3000)
    ]
    lines = [_line(rng, words) for _ in range(60_000)]
    once = [json.dumps(line, ensure_ascii=False)[1:-1] + "\\n" for line in lines]
    twice = [json.dumps(line, ensure_ascii=False)[1:-1] for line in once]
    return Pools(_pool(once), _pool(twice), words)


def _line(rng: random.Random, words: list[str]) -> str:
    def w() -> str:
        return rng.choice(words)

    def some(low: int, high: int) -> str:
        return " ".join(w() for _ in range(rng.randint(low, high)))

    kind = rng.random()
    indent = "    " * rng.randint(0, 4) if rng.random() < 0.8 else "\t" * rng.randint(0, 3)
    if kind < 0.18:
        return f'{indent}{w()}.{w()}({w()}, "{w()}-{w()}", {rng.randint(0, 9999)})'
    if kind < 0.30:
        left = f"{indent}if {w()} != '{w()}' and {w()}"
        return f"{left}[{rng.randint(0, 99)}] <= {rng.random():.4f}:"
    if kind < 0.42:
        left = f'{indent}return {{"{w()}": {w()}, "{w()}": '
        return f"{left}[{rng.randint(0, 999)}, {rng.randint(0, 999)}]}};"
    if kind < 0.55:
        return f"{indent}// " + some(3, 14)
    if kind < 0.66:
        place = f"/home/{w()}/src/{w()}/{w()}_{w()}.ts"
        return f"{place}:{rng.randint(1, 2500)}:{rng.randint(1, 120)}: {w()} {w()}"
    if kind < 0.70:
        return some(6, 20) + " — “" + w() + "” é ✓"
    if kind < 0.74:
        return ""
    if kind < 0.80:
        return f'{indent}const {w()} = "C:\\{w()}\\{w()}"; // {w()}'
    return indent + some(4, 16)


def _pool(lines: list[str]) -> Pool:
    pieces = [line.encode() for line in lines]
    offsets = [0]
    for piece in pieces:
        offsets.append(offsets[-1] + len(piece))
    return Pool(b"".join(pieces), offsets)


def text(rng: random.Random, size: int, twice: bool = False) -> bytes:
    """About ``size`` bytes of whole lines, escaped once or twice."""
    pool = pools().twice if twice else pools().once
    offsets = pool.offsets
    first = rng.randrange(len(offsets) - 1)
    last = bisect.bisect_left(offsets, offsets[first] + size, first + 1)
    if last >= len(offsets):
        first = 0
        last = min(bisect.bisect_left(offsets, size, 1), len(offsets) - 1)
    return pool.data[offsets[first] : offsets[last]]


def length(rng: random.Random, mean: float) -> int:
    """The length of one text: most are short, some long, none above 8 times ``mean``."""
    return int(min(max(40, rng.lognormvariate(0, 1.1) * mean * 0.55), mean * 8))


def answer(rng: random.Random) -> int:
    """Output tokens of one call."""
    return int(min(8000, rng.lognormvariate(5.2, 1.1))) + 8


def word(rng: random.Random) -> str:
    """One word of the pool."""
    return rng.choice(pools().words)


def title(rng: random.Random) -> str:
    """A title of two to six words."""
    return " ".join(word(rng) for _ in range(rng.randint(2, 6))).capitalize()


def digits(rng: random.Random, count: int) -> str:
    """``count`` hexadecimal digits."""
    return f"{rng.getrandbits(4 * count):0{count}x}"


def uuid(rng: random.Random) -> str:
    """A random (version 4) UUID."""
    h = digits(rng, 32)
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-a{h[17:20]}-{h[20:]}"


def iso(ms: int) -> str:
    """Epoch milliseconds as the agents write times: ISO 8601, UTC, three decimals."""
    moment = dt.datetime.fromtimestamp(ms / 1000, dt.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


def begin(rng: random.Random) -> int:
    """When a session begins, epoch milliseconds."""
    return END_MS - int(rng.random() * SPAN_DAYS * DAY_MS)


def session_size(index: int, count: int, mean: float, rng: random.Random) -> float:
    """Bytes of session ``index`` of ``count``.

    The sizes are stratified and shuffled: small trees too have the shape of a real one
    and about ``count * mean`` bytes.
    """
    share = (((index * 7919 + 13) % count) + 0.5) / count
    size = min(95e6, _quantile(share) * mean / _quantile_mean(count))
    return max(6000, size * (0.97 + 0.06 * rng.random()))


@functools.cache
def _quantile_mean(count: int) -> float:
    return sum(_quantile((k + 0.5) / count) for k in range(count)) / count


def _quantile(share: float) -> float:
    for (p0, s0), (p1, s1) in itertools.pairwise(QUANTILES):
        if share <= p1:
            return s0 + (s1 - s0) * (share - p0) / (p1 - p0)
    return QUANTILES[-1][1]


def write(path: str, chunks: Iterable[bytes], mtime_ms: int) -> None:
    """Write a log file that was last changed at ``mtime_ms``."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb", 1 << 20) as file:
        file.writelines(chunks)
    os.utime(path, (mtime_ms / 1000, mtime_ms / 1000))
