"""Copilot CLI: .copilot/session-state/<uuid>/events.jsonl and workspace.yaml.

Oddities: a quarter of the sessions is resumed, each run ending with a cumulative
``session.shutdown``; 8 % end without the last one, half of their turns being covered by a
``session.usage_checkpoint``.
"""

from __future__ import annotations

import random

from .text import answer, begin, digits, iso, length, session_size, text, title, uuid, word, write
from .truth import COPILOT, Session, Totals, nano, price

TOOLS = (b"bash", b"view", b"edit", b"grep", b"glob")

LINE = b'{"type":"%s","data":{%s},"id":"%s","timestamp":"%s","parentId":%s}\n'
START = (
    b'"sessionId":"%s","version":1,"producer":"copilot-agent","copilotVersion":"1.0.%d",'
    b'"startTime":"%s","selectedModel":"%s","context":{"cwd":"%s","gitRoot":"%s",'
    b'"branch":"main","repository":"acme/app"}'
)
RESUME = b'"resumeTime":"%s","eventCount":%d,"selectedModel":"%s","context":{"cwd":"%s"}'
USER = b'"content":"%s","transformedContent":"%s","attachments":[],"interactionId":"%s"'
ASSISTANT = (
    b'"messageId":"%s","model":"%s","content":"%s","toolRequests":[{"toolCallId":"%s",'
    b'"name":"%s","arguments":{"command":"%s"},"type":"function"}],"interactionId":"%s",'
    b'"turnId":"%d","outputTokens":%d,"reasoningText":"%s","requestId":"%s"'
)
TOOL_START = (
    b'"toolCallId":"%s","toolName":"%s","arguments":{"command":"%s"},"turnId":"%d","model":"%s"'
)
TOOL_END = (
    b'"toolCallId":"%s","model":"%s","interactionId":"%s","success":true,'
    b'"result":{"content":"%s","detailedContent":"%s"},'
    b'"toolTelemetry":{"properties":{},"metrics":{}}'
)
CHECKPOINT = b'"totalNanoAiu":%d,"totalPremiumRequests":0,"modelCacheState":[]'
METRICS = (
    b'"%s":{"requests":{"count":%d,"cost":0},"usage":{"inputTokens":%d,"outputTokens":%d,'
    b'"cacheReadTokens":%d,"cacheWriteTokens":%d,"reasoningTokens":0},"totalNanoAiu":%d}'
)
SHUTDOWN = (
    b'"shutdownType":"routine","totalPremiumRequests":0,"totalNanoAiu":%d,'
    b'"totalApiDurationMs":%d,"sessionStartTime":%d,"codeChanges":{"linesAdded":12,'
    b'"linesRemoved":4,"filesModified":[]},"modelMetrics":{%s},"agentMetrics":{"main":'
    b'{"agentName":"main","totalNanoAiu":%d,"modelMetrics":{%s}}},"currentModel":"%s"'
)
WORKSPACE = """\
id: {sid}
cwd: {cwd}
git_root: {cwd}
repository: acme/app
branch: main
name: {title}
user_named: false
summary_count: 0
created_at: {created}
updated_at: {updated}
"""


def generate(out: str, seed: str, index: int, count: int, mean: float) -> Session:
    """Write session ``index`` of ``count`` below ``out``/home."""
    rng = random.Random(f"{seed}:cli:{index}")
    size = session_size(index, count, mean, rng)
    sid = uuid(rng)
    journal = Journal(rng, begin(rng))
    journal.start(sid)
    runs = 1 if rng.random() < 0.75 else rng.randint(2, 4)
    killed = rng.random() < 0.08
    journal.context = rng.randint(12_000, 25_000)
    for run in range(runs):
        if run:
            journal.resume()
        journal.work(size * (run + 1) / runs)
        if not (killed and run == runs - 1):
            journal.shutdown()
    if killed:
        journal.st["no_shutdown"] = 1
    folder = f"{out}/home/.copilot/session-state/{sid}"
    write(f"{folder}/events.jsonl", journal.lines, journal.now)
    name = title(rng)
    workspace = WORKSPACE.format(
        sid=sid,
        cwd=journal.cwd.decode(),
        title=name,
        created=iso(journal.created),
        updated=iso(journal.now),
    )
    write(f"{folder}/workspace.yaml", [workspace.encode()], journal.now)
    return Session(
        "cli",
        sid,
        folder,
        journal.size,
        1,
        journal.created,
        journal.now,
        name,
        journal.reported(),
        journal.st,
    )


class Used:
    """What one model used since the session began; ``input`` includes the cache."""

    __slots__ = ("calls", "input", "output", "read", "write")

    def __init__(self, calls: int = 0, *tokens: int) -> None:
        self.calls = calls
        self.input, self.output, self.read, self.write = tokens or (0, 0, 0, 0)

    def fresh(self) -> int:
        """Input that neither came from the cache nor went to it."""
        return self.input - self.read - self.write

    def copy(self) -> Used:
        """A snapshot."""
        return Used(self.calls, self.input, self.output, self.read, self.write)

    def nano(self, model: str) -> int:
        """The amount at the list price, nano-AIU."""
        return nano(price(COPILOT[model], self.fresh(), self.output, self.read, self.write))


class Journal:
    """One events.jsonl in the making."""

    def __init__(self, rng: random.Random, created: int) -> None:
        self.rng = rng
        self.created = self.now = created
        self.lines: list[bytes] = []
        self.size = 0
        self.last: bytes | None = None
        self.model = _model(rng)
        self.cwd = b"/home/dev/src/" + word(rng).encode()
        self.context = 0
        self.number = 0
        self.used: dict[str, Used] = {}
        self.shut: dict[str, Used] = {}
        self.st = {
            "usage_bytes": 0,
            "no_shutdown": 0,
            "resumed": 0,
            "shutdown_events": 0,
            "nano_last_evidence": 0,
        }

    def event(self, kind: bytes, data: bytes, usage: bool = False) -> None:
        """Write one line of the journal."""
        key = uuid(self.rng).encode()
        parent = b'"%s"' % self.last if self.last else b"null"
        line = LINE % (kind, data, key, iso(self.now).encode(), parent)
        self.last = key
        self.lines.append(line)
        self.size += len(line)
        if usage:
            self.st["usage_bytes"] += len(line)
        self.now += self.rng.randint(20, 4000)

    def start(self, sid: str) -> None:
        """The first line."""
        head = (sid.encode(), self.rng.randint(60, 99), iso(self.created).encode())
        self.event(b"session.start", START % (*head, self.model.encode(), self.cwd, self.cwd))

    def resume(self) -> None:
        """The first line of a further run."""
        self.st["resumed"] = 1
        data = (iso(self.now).encode(), len(self.lines), self.model.encode(), self.cwd)
        self.event(b"session.resume", RESUME % data)

    def work(self, goal: float) -> None:
        """The turns of one run, until the journal has ``goal`` bytes."""
        rng = self.rng
        self.number = 0
        while self.size < goal:
            asked = (text(rng, length(rng, 500)), text(rng, length(rng, 700)))
            self.event(b"user.message", USER % (*asked, uuid(rng).encode()))
            if rng.random() < 0.1:
                self.model = _model(rng)
                self.event(b"session.model_change", b'"newModel":"%s"' % self.model.encode())
            for _ in range(rng.randint(2, 22)):
                self._call()
                if self.size >= goal:
                    break
            if rng.random() < 0.5:
                amount = sum(used.nano(model) for model, used in self.used.items())
                self.st["nano_last_evidence"] = amount
                self.event(b"session.usage_checkpoint", CHECKPOINT % amount, usage=True)

    def _call(self) -> None:
        rng = self.rng
        model = self.model.encode()
        self.event(b"assistant.turn_start", b'"turnId":"%d"' % self.number)
        prompt = self.context
        self.context = min(150_000, self.context + rng.randint(100, 4000))
        read = int(prompt * rng.uniform(0.6, 0.95))
        written = int((prompt - read) * rng.uniform(0.3, 0.99))
        output = answer(rng)
        used = self.used.setdefault(self.model, Used())
        used.calls += 1
        used.input += prompt
        used.output += output
        used.read += read
        used.write += written
        call = b"toolu_" + digits(rng, 24).encode()
        tool = rng.choice(TOOLS)
        message = ASSISTANT % (
            uuid(rng).encode(),
            model,
            text(rng, length(rng, 300)),
            call,
            tool,
            text(rng, length(rng, 200)),
            uuid(rng).encode(),
            self.number,
            output,
            text(rng, length(rng, 300)),
            digits(rng, 20).encode(),
        )
        self.event(b"assistant.message", message, usage=True)
        start = TOOL_START % (call, tool, text(rng, length(rng, 200)), self.number, model)
        self.event(b"tool.execution_start", start)
        interaction = uuid(rng).encode()
        results = (text(rng, length(rng, 2500)), text(rng, length(rng, 1500)))
        self.event(b"tool.execution_complete", TOOL_END % (call, model, interaction, *results))
        self.event(b"assistant.turn_end", b'"turnId":"%d"' % self.number)
        self.number += 1

    def shutdown(self) -> None:
        """The last line of a run: what was used since the session began."""
        rows, total = [], 0
        for model, used in self.used.items():
            amount = used.nano(model)
            total += amount
            tokens = (used.input, used.output, used.read, used.write)
            rows.append(METRICS % (model.encode(), used.calls, *tokens, amount))
        metrics = b",".join(rows)
        head = (total, self.now - self.created, self.created)
        data = SHUTDOWN % (*head, metrics, total, metrics, self.model.encode())
        self.event(b"session.shutdown", data, usage=True)
        self.st["shutdown_events"] += 1
        self.st["nano_last_evidence"] = total
        self.shut = {model: used.copy() for model, used in self.used.items()}

    def reported(self) -> Totals:
        """What the last shutdown says; nothing if there was none."""
        tot = Totals()
        for model, used in self.shut.items():
            amount = used.nano(model)
            tokens = (used.fresh(), used.output, used.read, used.write)
            tot.add(model, *tokens, amount / 1e11, amount, used.calls)
        return tot


def _model(rng: random.Random) -> str:
    return rng.choices(list(COPILOT), (6, 1, 2, 3))[0]
