"""Measures the server over a tree of logs: how long an editor waits, how big the ledger gets.

    python tests/benchmarks/server.py [--sessions 5000] [--size 800M] [--keep DIR]

Prints Markdown: each goal and what was measured. The bare pygls server is started in turn
with ours, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
from client import Client, environment, frame, read  # noqa: E402

BARE = "from pygls.lsp.server import LanguageServer; LanguageServer('bare', '1').start_io()"
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"processId": None, "rootUri": None, "capabilities": {}},
}


def percentile(values: list[float], share: float) -> float:
    """The value below which ``share`` of the sorted values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def start_up(home: Path, rounds: int = 9) -> float:
    """Our time from process start to the answer to ``initialize`` over a bare server's."""
    ours = [sys.executable, "-m", "session_usage.cli", "serve", "--home", str(home)]
    ratios = []
    for _ in range(rounds):
        times = []
        for command in ([sys.executable, "-c", BARE], ours):
            begun = time.perf_counter()
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(home)
            ) as process:
                assert process.stdin is not None
                process.stdin.write(frame(INITIALIZE))
                process.stdin.flush()
                read(process.stdout)
                times.append(time.perf_counter() - begun)
                process.kill()
        ratios.append(times[1] / times[0])
    return percentile(ratios, 0.5)


def timed(call: Callable[[], Any], times: int) -> list[float]:
    """Milliseconds of each call."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        found.append((time.perf_counter() - begun) * 1000)
    return found


def cold(client: Client) -> tuple[float, list[float]]:
    """(seconds until everything is indexed, milliseconds of a ping meanwhile)."""
    begun = time.perf_counter()
    pings: list[float] = []
    while True:
        pings += timed(lambda: client.result("getSettings"), 10)
        if not client.result("doctor")["ledger"]["indexing"]:
            return time.perf_counter() - begun, pings


def pushes(client: Client, home: Path, times: int = 30) -> list[float]:
    """Milliseconds from an appended request to its ``statusChanged``."""
    client.result("subscribe")
    sample = next((HERE.parent / "data/copilot-cli/capi-tools/state").rglob("events.jsonl"))
    log = home / ".copilot/session-state" / sample.parent.name / "events.jsonl"
    shutil.rmtree(log.parent, ignore_errors=True)
    shutil.copytree(sample.parent, log.parent, copy_function=shutil.copyfile)
    client.note("copilotUsage/sessionEvent", lambda event: event["session"] == log.parent.name)
    lines = [line for line in sample.read_bytes().splitlines() if b"session.usage_record" in line]
    line = lines[-1]
    usage = line[line.index(b'"usageId":"') + 11 :].split(b'"')[0]
    found = []
    for number in range(times):
        client.notes.clear()
        with log.open("ab") as file:
            begun = time.perf_counter()
            file.write(line.replace(usage, b"bench-%d" % number) + b"\n")
        client.note("copilotUsage/statusChanged")
        found.append((time.perf_counter() - begun) * 1000)
    return found


def resident(process: int) -> float:
    """Megabytes in memory (Linux)."""
    text = Path(f"/proc/{process}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def used(processes: list[int]) -> float:
    """Seconds of processor time so far (Linux)."""
    ticks = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Makes the logs, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", default="5000")
    parser.add_argument("--size", default="800M")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="session-usage-bench-"))
    home = folder / "home"
    if not home.exists():
        command = [sys.executable, "-m", "corpus", str(folder), "--sessions", options.sessions]
        subprocess.run([*command, "--bytes", options.size], cwd=HERE, check=True)
    shutil.rmtree(home / "own", ignore_errors=True)
    logs = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
    rows: list[tuple[str, str, str]] = []

    def row(what: str, goal: str, found: str) -> None:
        rows.append((what, goal, found))

    row("start to `initialize`, ours / bare pygls", "<= 1.15", f"{start_up(home):.2f}")
    with Client(home) as client:
        client.start()
        seconds, pings = cold(client)
        row("cold index", "", f"{seconds:.0f} s for {logs / 1e6:.0f} MB")
        row("ping meanwhile, p99", "< 20 ms", f"{percentile(pings, 0.99):.1f} ms")
        status = timed(lambda: client.result("getStatus"), 200)
        row("getStatus, p50 / p99", "< 5 / 20 ms",
            f"{percentile(status, 0.5):.1f} / {percentile(status, 0.99):.1f} ms")  # fmt: skip
        for limit, goal in ((50, "< 2 ms"), (5000, "< 20 ms")):
            page = timed(lambda n=limit: client.result("listSessions", {"limit": n}), 20)  # type: ignore[misc]
            row(f"listSessions, {limit} rows, with reading the JSON", goal,
                f"{percentile(page, 0.5):.1f} ms")  # fmt: skip
        found = timed(lambda: client.result("aggregate", {"by": ["day", "model"]}), 7)
        total = client.result("aggregate")["totals"]["requests"]
        row(f"aggregate {total:,} requests by day and model", "< 300 ms per million",
            f"{percentile(found, 0.5):.0f} ms")  # fmt: skip
        ledger = client.result("doctor")["ledger"]["bytes"]
        row("ledger / logs", "<= 2 %", f"{100 * ledger / logs:.1f} %")
        latency = pushes(client, home)
        row("line appended to statusChanged, p50 / p99", "< 150 / 1000 ms",
            f"{percentile(latency, 0.5):.0f} / {percentile(latency, 0.99):.0f} ms")  # fmt: skip
        processes = [client.process.pid, *client.children()]
        before = used(processes)
        time.sleep(20)
        row("idle, server and child", "< 0.5 % CPU", f"{5 * (used(processes) - before):.2f} %")
        row("memory, server + child", "< 60 MB",
            " + ".join(f"{resident(process):.0f} MB" for process in processes))  # fmt: skip
    print("| what | goal | measured |\n| --- | --- | --- |")
    for each in rows:
        print("| " + " | ".join(each) + " |")
    if options.keep is None:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
