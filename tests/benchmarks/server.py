"""Measures the server over a tree of logs: how long an editor waits, how big the ledger gets.

    python tests/benchmarks/server.py [--sessions 5000] [--size 800M] [--keep DIR]

Prints Markdown: each goal and what was measured. A bare pygls server is started, and asked
during the index, in turn with ours, so that a busy machine slows both: what it takes itself is
the share of the machine and of this client in our figure.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE), str(HERE.parents[1] / "server")]
from client import Client, environment, frame, read  # noqa: E402

BARE = "from pygls.lsp.server import LanguageServer; LanguageServer('bare', '1').start_io()"
ANSWERING = """
from pygls.lsp.server import LanguageServer
server = LanguageServer("bare", "1")
server.feature("bare/ping")(lambda params: {})
server.start_io()
"""
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


def start_up(home: Path, rounds: int = 9) -> tuple[float, float]:
    """Our time from process start to the answer to ``initialize`` over a bare server's, in turn:
    the medians of (waiting, processor)."""
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
                waited = time.perf_counter() - begun
                times.append((waited, running(process.pid)))
                process.kill()
        ratios.append([ours / bare for bare, ours in zip(*times, strict=True)])
    wall, processor = (percentile(list(each), 0.5) for each in zip(*ratios, strict=True))
    return wall, processor


def running(process: int) -> float:
    """Nanoseconds that a process ran (Linux)."""
    return float(Path(f"/proc/{process}/schedstat").read_text().split()[0])


def costs(call: Callable[[], Any], times: int) -> str:
    """The least milliseconds of a call in this process: processor, waiting."""
    found = []
    for _ in range(times):
        begun, used_before = time.perf_counter(), time.process_time()
        call()
        found.append((time.process_time() - used_before, time.perf_counter() - begun))
    return f"{min(f[0] for f in found) * 1000:.0f} ms CPU, {min(f[1] for f in found) * 1000:.0f} ms"


def rescan(home: Path, ledger: str) -> str:
    """What a look at everything costs the server when nothing changed."""
    from session_usage import pricing
    from session_usage.ledger.keeper import Keeper
    from session_usage.places import here

    prices = pricing.load()
    keeper = Keeper(ledger, here(str(home)), lambda _: (prices, "benchmark"))
    keeper.sweep()
    keeper.sweep()
    (files,) = keeper.connection.execute("SELECT count(*) FROM files WHERE gone = 0").fetchone()
    found = costs(keeper.sweep, 7)
    keeper.close()
    return f"{found} for {files:,} logs"


_MANY = 1_000_000


def million(ledger: str) -> str:
    """Adding up a million requests by day and model: the sessions of the ledger again and
    again, each time a week earlier."""
    from session_usage import pricing
    from session_usage.ledger import codec, store
    from session_usage.ledger.folds import Folding
    from session_usage.ledger.query import Reader

    connection = store.writer(ledger).connection
    (sessions,) = connection.execute("SELECT MAX(id) FROM sessions").fetchone()
    (requests,) = connection.execute("SELECT SUM(requests) FROM cells").fetchone()
    with store.transaction(connection):
        for again in range(1, -(-_MANY // requests)):
            connection.execute(
                "INSERT INTO sessions(id, agent, name) SELECT id + ?1, agent, name || '-' || ?1"
                " FROM sessions WHERE id <= ?2",
                (again * sessions, sessions),
            )
            connection.execute(
                "INSERT OR IGNORE INTO cells SELECT kind, quarter - ?1, session + ?2, spot,"
                " requests, failed, unknown, input, read, write, output, reasoning, nano"
                " FROM cells WHERE session <= ?3",
                (again * 7 * 96, again * sessions, sessions),
            )
    connection.close()
    reader, prices = Reader(ledger), pricing.load()
    totals = Folding(reader, prices).totals()
    found = costs(lambda: codec.dumps(Folding(reader, prices).fold(("day", "model")).wire()), 7)
    (cells,) = reader.connection.execute("SELECT count(*) FROM cells").fetchone()
    reader.close()
    return f"{found} for {totals.requests:,} ({cells:,} cells)"


def pages(ledger: str, limit: int) -> str:
    """Making a page of ``listSessions``."""
    from session_usage.ledger.query import Reader

    reader = Reader(ledger)
    found = costs(lambda: b",".join(reader.sessions(limit=limit)[0]), 15)
    reader.close()
    return found


def timed(call: Callable[[], Any], times: int) -> list[float]:
    """Milliseconds of each call."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        found.append((time.perf_counter() - begun) * 1000)
    return found


_IDLE = 120.0
"""Seconds: everything that is done now and then is done at least once."""
_PAUSE = 0.005
"""Seconds between two pings: a client that never rests takes a processor for itself."""
_ASK = 0.5


class Pings(NamedTuple):
    """What was measured while everything was indexed."""

    seconds: float
    """Until the end."""
    first: float
    """Milliseconds of the ping right after the answer to ``initialize``, while the server is
    still starting; it is among ``ours``, too."""
    ours: list[float]
    bare: list[float]

    def __str__(self) -> str:
        """(p50 / p99, the same of the bare server)."""
        ours, bare = (
            f"{percentile(each, 0.5):.1f} / {percentile(each, 0.99):.1f} ms"
            for each in (self.ours, self.bare)
        )
        return f"{ours}; bare pygls {bare}"


def cold(client: Client, home: Path) -> Pings:
    """Pings the server and a bare one in turn until everything is indexed. As in an editor,
    somebody has subscribed; no other request is waited for."""
    command = [sys.executable, "-c", ANSWERING]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(home)
    ) as process:
        assert process.stdin is not None

        def bare(message: Any) -> None:
            process.stdin.write(frame(message))
            process.stdin.flush()
            read(process.stdout)

        bare(INITIALIZE)
        ping = {"jsonrpc": "2.0", "id": 2, "method": "bare/ping", "params": {}}
        bare(ping)
        client.start()
        begun = time.perf_counter()
        ours = timed(lambda: client.result("getSettings"), 1)
        theirs: list[float] = []
        client.ask("copilotUsage/subscribe", {})
        asked = client.ask("copilotUsage/doctor")
        again = 0.0
        while True:
            theirs += timed(lambda: bare(ping), 1)
            time.sleep(_PAUSE)
            ours += timed(lambda: client.result("getSettings"), 1)
            if not asked and time.perf_counter() > again:
                asked = client.ask("copilotUsage/doctor")
            if asked and client.arrived(asked):
                indexing = client.answer(asked)["result"]["ledger"]["indexing"]
                asked, again = 0, time.perf_counter() + _ASK
                if not indexing:
                    break
        process.kill()
    return Pings(time.perf_counter() - begun, ours[0], ours, theirs)


class Live:
    """A session of Copilot CLI that is being written, new to the server."""

    def __init__(self, client: Client, home: Path) -> None:
        sample = next((HERE.parent / "data/copilot-cli/capi-tools/state").rglob("events.jsonl"))
        text = sample.read_bytes()
        name = str(uuid.uuid4())
        self.log = home / ".copilot/session-state" / name / "events.jsonl"
        self._client = client
        self._line = [each for each in text.splitlines() if b"session.usage_record" in each][-1]
        self._usage = self._line[self._line.index(b'"usageId":"') + 11 :].split(b'"')[0]
        self.log.parent.mkdir(parents=True)
        self.log.write_bytes(text.replace(sample.parent.name.encode(), name.encode()))
        client.note("copilotUsage/sessionEvent", lambda event: event["session"] == name)

    def pushes(self, times: int) -> list[float]:
        """Milliseconds from an appended request to its ``statusChanged``, for one subscription."""
        found = []
        for _ in range(times):
            self._client.notes.clear()
            line = self._line.replace(self._usage, str(uuid.uuid4()).encode()) + b"\n"
            with self.log.open("ab") as file:
                begun = time.perf_counter()
                file.write(line)
            self._client.note("copilotUsage/statusChanged")
            found.append((time.perf_counter() - begun) * 1000)
        return found


def resident(process: int) -> float:
    """Megabytes in memory (Linux)."""
    text = Path(f"/proc/{process}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def used(processes: list[int]) -> float:
    """Seconds of processor time so far, of all threads (Linux)."""
    threads = [each for number in processes for each in Path(f"/proc/{number}/task").iterdir()]
    return sum(int((each / "schedstat").read_text().split()[0]) for each in threads) / 1e9


def main() -> int:
    """Makes the logs, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", default="5000")
    parser.add_argument("--size", default="800M")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--settle", type=float, default=70.0, help="seconds before idling counts")
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

    waited, processor = start_up(home)
    row("start to `initialize`, ours / bare pygls", "<= 1.15",
        f"{waited:.2f} (CPU {processor:.2f})")  # fmt: skip
    with Client(home) as client:
        pings = cold(client, home)
        row("cold index", "", f"{pings.seconds:.0f} s for {logs / 1e6:.0f} MB")
        row("ping meanwhile, p50 / p99", "p99 < 20 ms", f"{pings} ({len(pings.ours):,} pings)")
        row("the first of them, while the server starts", "", f"{pings.first:.0f} ms")
        ledger = client.result("doctor")["ledger"]
        row("ledger / logs", "<= 2 %", f"{100 * ledger['bytes'] / logs:.2f} %")
        processes = [client.process.pid, *client.children()]
        row("memory, server + child", "< 60 MB",
            " + ".join(f"{resident(process):.0f} MB" for process in processes))  # fmt: skip
        status = timed(lambda: client.result("getStatus"), 200)
        row("getStatus, p50 / p99", "< 5 / 20 ms",
            f"{percentile(status, 0.5):.1f} / {percentile(status, 0.99):.1f} ms")  # fmt: skip
        for limit, goal in ((50, "< 2 ms"), (5000, "< 20 ms")):
            page = timed(lambda n=limit: client.result("listSessions", {"limit": n}), 20)  # type: ignore[misc]
            row(f"listSessions, {limit} rows, inside; at the client, JSON read", goal,
                f"{pages(ledger['path'], limit)}; {min(page):.1f} ms")  # fmt: skip
        live = Live(client, home)
        latency = live.pushes(30)
        row("line appended to statusChanged, p50 / p99", "< 150 / 1000 ms",
            f"{percentile(latency, 0.5):.0f} / {percentile(latency, 0.99):.0f} ms")  # fmt: skip
        time.sleep(options.settle)
        before = [used([process]) for process in processes]
        time.sleep(_IDLE)
        idle = [
            100 * (used([each]) - was) / _IDLE for each, was in zip(processes, before, strict=True)
        ]
        row("idle, server + child", "together < 0.5 % CPU",
            " + ".join(f"{each:.2f} %" for each in idle))  # fmt: skip
        row("the first line appended after that", "", f"{live.pushes(1)[0]:.0f} ms")
        row("memory after all that", "",
            " + ".join(f"{resident(process):.0f} MB" for process in processes))  # fmt: skip
    shutil.rmtree(live.log.parent)
    row("no-change rescan", "<= 100 ms", rescan(home, ledger["path"]))
    copy = str(folder / "million.db")
    shutil.copyfile(ledger["path"], copy)
    row("aggregate by day and model", "< 300 ms per million", million(copy))
    for ending in ("", "-wal", "-shm"):
        Path(copy + ending).unlink(missing_ok=True)
    print(f"Load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors.\n")
    print("| what | goal | measured |\n| --- | --- | --- |")
    for each in rows:
        print("| " + " | ".join(each) + " |")
    if options.keep is None:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
