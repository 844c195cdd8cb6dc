"""Codex: .codex/sessions/YYYY/MM/DD/rollout-<time>-<uuid>.jsonl.

Oddities: ``token_count`` with ``info: null``; 6 % of the ``token_count`` lines come twice
with unchanged totals.
"""

from __future__ import annotations

import datetime as dt
import random

from .text import answer, begin, digits, iso, length, session_size, text, uuid, word, write
from .truth import OPENAI, Session, Totals, price

Tokens = tuple[int, int, int, int]
"""Input (cached included), cached, output, reasoning."""

LINE = b'{"timestamp":"%s","type":"%s","payload":{%s}}\n'
META = (
    b'"id":"%s","timestamp":"%s","cwd":"%s","originator":"codex_cli_rs","cli_version":"0.128.0",'
    b'"source":"cli","model_provider":"openai","base_instructions":{"text":"%s"},'
    b'"git":{"commit_hash":"%s","branch":"main"}'
)
CONTEXT = (
    b'"cwd":"%s","approval_policy":"on-request","sandbox_policy":{"type":"workspace-write"},'
    b'"model":"%s","effort":"medium","summary":"auto"'
)
STARTED = b'"type":"task_started","turn_id":"%s","model_context_window":272000'
USER = b'"type":"message","role":"user","content":[{"type":"input_text","text":"%s"}]'
NO_COUNT = b'"type":"token_count","info":null,"rate_limits":{"primary":{"used_percent":%.1f}}'
USAGE = (
    b'{"input_tokens":%d,"cached_input_tokens":%d,"output_tokens":%d,'
    b'"reasoning_output_tokens":%d,"total_tokens":%d}'
)
COUNT = (
    b'"type":"token_count","info":{"total_token_usage":%s,"last_token_usage":%s,'
    b'"model_context_window":272000},"rate_limits":{"primary":{"used_percent":%.1f,'
    b'"window_minutes":300,"resets_at":%d},"secondary":null,"credits":null}'
)
REASONING = (
    b'"type":"reasoning","summary":[{"type":"summary_text","text":"%s"}],"content":null,'
    b'"encrypted_content":"gAAAA%s"'
)
CALL = (
    b'"type":"function_call","name":"exec_command","arguments":"{\\"cmd\\":\\"%s\\"}",'
    b'"call_id":"%s"'
)
OUTPUT = b'"type":"function_call_output","call_id":"%s","output":"%s"'


def generate(out: str, seed: str, index: int, count: int, mean: float) -> Session:
    """Write session ``index`` of ``count`` below ``out``/home."""
    rng = random.Random(f"{seed}:codex:{index}")
    size = session_size(index, count, mean, rng)
    sid = uuid(rng)
    created = begin(rng)
    rollout = Rollout(rng, created)
    rollout.start(sid, 14_000 if size > 40_000 else 2_000)
    rollout.fill(size)
    day = dt.datetime.fromtimestamp(created / 1000, dt.timezone.utc)
    folder = f"{out}/home/.codex/sessions/{day:%Y/%m/%d}"
    path = f"{folder}/rollout-{day:%Y-%m-%dT%H-%M-%S}-{sid}.jsonl"
    write(path, rollout.lines, rollout.now)
    last, tot, st = rollout.now, rollout.tot, rollout.st
    return Session("codex", sid, path, rollout.size, 1, created, last, "", tot, st)


class Rollout:
    """One log file in the making."""

    def __init__(self, rng: random.Random, now: int) -> None:
        self.rng, self.now = rng, now
        self.lines: list[bytes] = []
        self.size = 0
        self.tot = Totals()
        self.st = {
            "usage_bytes": 0,
            "token_count_lines": 0,
            "dup_token_count": 0,
            "dup_last_input": 0,
            "dup_last_output": 0,
        }
        self.model = rng.choices(list(OPENAI), (3, 1))[0]
        self.cwd = b"/home/dev/src/" + word(rng).encode()
        self.sums: Tokens = (0, 0, 0, 0)
        self.context = 0

    def event(self, kind: bytes, payload: bytes, usage: bool = False) -> None:
        """Write one line of the log."""
        line = LINE % (iso(self.now).encode(), kind, payload)
        self.lines.append(line)
        self.size += len(line)
        if usage:
            self.st["usage_bytes"] += len(line)
            self.st["token_count_lines"] += 1
        self.now += self.rng.randint(5, 3000)

    def start(self, sid: str, instructions: int) -> None:
        """The first line, with ``instructions`` bytes of system prompt."""
        rng = self.rng
        head = (sid.encode(), iso(self.now).encode(), self.cwd, text(rng, instructions))
        self.event(b"session_meta", META % (*head, digits(rng, 40).encode()))
        self.context = rng.randint(9000, 20_000)

    def fill(self, size: float) -> None:
        """Turns, until the file has ``size`` bytes."""
        rng = self.rng
        while self.size < size:
            self.event(b"event_msg", STARTED % uuid(rng).encode())
            self.event(b"turn_context", CONTEXT % (self.cwd, self.model.encode()))
            asked = text(rng, length(rng, 500))
            self.event(b"response_item", USER % asked)
            self.event(b"event_msg", b'"type":"user_message","message":"%s","images":[]' % asked)
            if rng.random() < 0.3:
                self.event(b"event_msg", NO_COUNT % (rng.random() * 90), usage=True)
            for _ in range(rng.randint(2, 25)):
                self._call()
                if self.size >= size:
                    break

    def _call(self) -> None:
        rng = self.rng
        prompt = self.context
        self.context = min(150_000, self.context + rng.randint(100, 4000))
        cached = int(prompt * rng.uniform(0.5, 0.97))
        output = answer(rng)
        reasoning = int(output * rng.uniform(0, 0.7))
        call = b"call_" + digits(rng, 24).encode()
        summary = text(rng, length(rng, 150))
        hidden = digits(rng, rng.randint(600, 2400)).encode()
        self.event(b"response_item", REASONING % (summary, hidden))
        command = text(rng, length(rng, 300), twice=True)
        self.event(b"response_item", CALL % (command, call))
        self.event(b"response_item", OUTPUT % (call, text(rng, length(rng, 3000))))
        if rng.random() < 0.3:
            said = b'"type":"agent_message","message":"%s"' % text(rng, length(rng, 300))
            self.event(b"event_msg", said)
        last = (prompt, cached, output, reasoning)
        a, b, c, d = self.sums
        self.sums = (a + prompt, b + cached, c + output, d + reasoning)
        usd = price(OPENAI[self.model], prompt - cached, output, cached, 0)
        self.tot.add(self.model, prompt - cached, output, cached, 0, usd)
        self._count(last)
        if rng.random() < 0.06:
            self._count(last)
            self.st["dup_token_count"] += 1
            self.st["dup_last_input"] += prompt
            self.st["dup_last_output"] += output

    def _count(self, last: Tokens) -> None:
        percent = self.rng.random() * 90
        reset = self.now // 1000 + 9000
        data = COUNT % (_usage(self.sums), _usage(last), percent, reset)
        self.event(b"event_msg", data, usage=True)


def _usage(tokens: Tokens) -> bytes:
    return USAGE % (*tokens, tokens[0] + tokens[2])
