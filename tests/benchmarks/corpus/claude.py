"""Claude Code: .claude/projects/<slug>/<uuid>.jsonl and <uuid>/subagents/agent-*.jsonl.

Oddity: one answer of the API is several lines with the same ``message.id`` and
``requestId``, each repeating the usage.
"""

from __future__ import annotations

import random

from .text import answer, begin, digits, iso, length, pools, session_size, text, uuid, write
from .truth import ANTHROPIC, Session, Totals, price

TOOLS = (b"Bash", b"Read", b"Edit", b"Grep", b"Glob")

COMMON = (
    b'"isSidechain":%s,"userType":"external","cwd":"%s","sessionId":"%s","version":"2.1.%d",'
    b'"gitBranch":"main"%s'
)
LINE = b'{"parentUuid":%s,%s,"type":"%s",%s,"uuid":"%s","timestamp":"%s"}\n'
SNAPSHOT = (
    b'{"type":"file-history-snapshot","messageId":"%s","snapshot":{"messageId":"%s",'
    b'"trackedFileBackups":{},"timestamp":"%s"},"isSnapshotUpdate":false}\n'
)
USAGE = (
    b'"usage":{"input_tokens":%d,"cache_creation_input_tokens":%d,"cache_read_input_tokens":%d,'
    b'"cache_creation":{"ephemeral_5m_input_tokens":%d,"ephemeral_1h_input_tokens":0},'
    b'"output_tokens":%d,"service_tier":"standard"}'
)
THINKING = b'{"type":"thinking","thinking":"%s","signature":"%s"}'
TOOL_USE = b'{"type":"tool_use","id":"%s","name":"%s","input":{"command":"%s","description":"x"}}'
ASSISTANT = (
    b'"message":{"model":"%s","id":"%s","type":"message","role":"assistant","content":[%s],'
    b'"stop_reason":%s,"stop_sequence":null,%s},"requestId":"%s"'
)
RESULT = (
    b'"message":{"role":"user","content":[{"tool_use_id":"%s","type":"tool_result",'
    b'"content":"%s","is_error":false}]},"toolUseResult":{"stdout":"%s","stderr":"",'
    b'"interrupted":false,"isImage":false}'
)


def generate(out: str, seed: str, index: int, count: int, mean: float) -> Session:
    """Write session ``index`` of ``count`` below ``out``/home."""
    rng = random.Random(f"{seed}:claude:{index}")
    tot = Totals()
    st = {"usage_bytes": 0, "usage_lines": 0, "dup_usage_lines": 0}
    size = session_size(index, count, mean, rng)
    sid = uuid(rng)
    created = begin(rng)
    slug = "-home-dev-src-" + pools().words[(index * 37) % 300]
    children = 0 if size < 80_000 or rng.random() < 0.7 else rng.randint(1, 4)
    base = f"{out}/home/.claude/projects/{slug}"
    cwd = "/" + slug[1:].replace("-", "/")
    main = Stream(rng, sid, cwd, created, tot, st)
    main.fill(size if not children else size * 0.5)
    write(f"{base}/{sid}.jsonl", main.lines, main.now)
    total, now = main.size, main.now
    for _ in range(children):
        agent = "a" + digits(rng, 16)
        child = Stream(rng, sid, cwd, now, tot, st, agent)
        child.fill(size * 0.5 / children)
        write(f"{base}/{sid}/subagents/agent-{agent}.jsonl", child.lines, child.now)
        total, now = total + child.size, child.now
    path = f"{base}/{sid}.jsonl"
    return Session("claude", sid, path, total, 1 + children, created, now, "", tot, st)


class Stream:
    """One log file in the making: the main agent's or a subagent's."""

    def __init__(
        self,
        rng: random.Random,
        sid: str,
        cwd: str,
        now: int,
        tot: Totals,
        st: dict[str, int],
        agent: str | None = None,
    ) -> None:
        self.rng, self.now, self.tot, self.st = rng, now, tot, st
        self.lines: list[bytes] = []
        self.size = 0
        self.parent: bytes | None = None
        self.model = rng.choices(list(ANTHROPIC), (6, 2, 2))[0]
        self.context = rng.randint(12_000, 30_000)
        self.common = COMMON % (
            b"true" if agent else b"false",
            cwd.encode(),
            sid.encode(),
            rng.randint(10, 90),
            b',"agentId":"%s"' % agent.encode() if agent else b"",
        )

    def _append(self, line: bytes) -> None:
        self.lines.append(line)
        self.size += len(line)

    def event(self, kind: bytes, body: bytes, usage: bool = False) -> None:
        """Write one line of the log."""
        key = uuid(self.rng).encode()
        parent = b'"%s"' % self.parent if self.parent else b"null"
        line = LINE % (parent, self.common, kind, body, key, iso(self.now).encode())
        self.parent = key
        self._append(line)
        if usage:
            self.st["usage_bytes"] += len(line)
            self.st["usage_lines"] += 1
        self.now += self.rng.randint(5, 2500)

    def fill(self, size: float) -> None:
        """Turns, until the file has ``size`` bytes."""
        rng = self.rng
        while self.size < size:
            asked = text(rng, length(rng, 500))
            self.event(b"user", b'"message":{"role":"user","content":"%s"}' % asked)
            if rng.random() < 0.15:
                keys = (uuid(rng).encode(), uuid(rng).encode())
                self._append(SNAPSHOT % (*keys, iso(self.now).encode()))
            for _ in range(rng.randint(2, 25)):
                self._call()
                if self.size >= size:
                    break

    def _call(self) -> None:
        rng = self.rng
        fresh = rng.randint(2, 12)
        prompt = self.context
        self.context = min(150_000, self.context + rng.randint(100, 4000))
        read = int(prompt * rng.uniform(0.6, 0.97))
        written = prompt - read
        output = answer(rng)
        message = b"msg_01" + digits(rng, 22).encode()
        request = b"req_011" + digits(rng, 20).encode()
        tool = b"toolu_01" + digits(rng, 22).encode()
        usage = USAGE % (fresh, written, read, written, output)
        blocks = self._blocks(tool)
        for k, block in enumerate(blocks):
            stop = b'"tool_use"' if k == len(blocks) - 1 else b"null"
            body = ASSISTANT % (self.model.encode(), message, block, stop, usage, request)
            self.event(b"assistant", body, usage=True)
        self.st["dup_usage_lines"] += len(blocks) - 1
        usd = price(ANTHROPIC[self.model], fresh, output, read, written)
        self.tot.add(self.model, fresh, output, read, written, usd)
        result = text(rng, length(rng, 2600))
        stdout = result if rng.random() < 0.6 else b""
        self.event(b"user", RESULT % (tool, result, stdout))

    def _blocks(self, call: bytes) -> list[bytes]:
        rng = self.rng
        blocks = []
        if rng.random() < 0.5:
            thought = text(rng, length(rng, 400))
            blocks.append(THINKING % (thought, digits(rng, 500).encode()))
        if rng.random() < 0.6:
            blocks.append(b'{"type":"text","text":"%s"}' % text(rng, length(rng, 350)))
        tool = rng.choice(TOOLS)
        blocks.append(TOOL_USE % (call, tool, text(rng, length(rng, 500))))
        return blocks
