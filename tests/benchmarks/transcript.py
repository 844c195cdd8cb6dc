"""Replay one big agent log: time and peak memory, which must not grow with the log.

python tests/benchmarks/transcript.py [--bytes 300M]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from typing import Any

from measure import RSS_UNIT

_GOAL_MB = 40
_UNITS = {"M": 10**6, "G": 10**9}
_REPLAY = """
import sys
from session_usage.replay import replay_log
replay_log(sys.argv[1], lambda piece: None)
"""


def write(path: str, size: int) -> None:
    """A log of about ``size`` bytes: conversations of 200 KB and tools that say 50 KB."""
    rows: list[tuple[str, Any]] = [
        ("llm.request", {"messages": [{"role": "user", "content": "y" * 2_000}] * 100}),
        ("tool.call", {"tool": "t", "input": {"a": 1}, "output": "x" * 50_000, "duration_ms": 1}),
    ]
    start = {"provider": "p", "model": "m", "prompt": "Go."}
    with open(path, "w", encoding="ascii") as file:
        seq, written = 0, file.write(_line(0, "session.start", start))
        while written < size:
            for kind, data in rows:
                seq += 1
                written += file.write(_line(seq, kind, data))


def _line(seq: int, kind: str, data: Any) -> str:
    event = {"session_id": "big", "seq": seq, "type": kind, "ts": "2026-05-01T00:00:00Z"}
    return json.dumps({**event, "data": data}) + "\n"


def main() -> int:
    """Prints a line of Markdown; 1 when memory is beyond the goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", default="300M")
    text = parser.parse_args().bytes
    size = int(text[:-1]) * _UNITS[text[-1]] if text[-1] in _UNITS else int(text)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "big.jsonl")
        write(path, size)
        subprocess.run([sys.executable, "-c", _REPLAY, path], check=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = used.ru_maxrss * RSS_UNIT / 1e6
    spent = used.ru_utime + used.ru_stime
    print(f"| transcript of {size / 1e6:,.0f} MB | {spent:.1f} s CPU | {peak:.0f} MB |")
    return int(peak > _GOAL_MB)


if __name__ == "__main__":
    sys.exit(main())
