"""Copilot Chat in VS Code: debug logs, and the databases that name the sessions.

Layout: .config/Code/User/workspaceStorage/<hash>/ with workspace.json, state.vscdb and
GitHub.copilot-chat/debug-logs/<uuid>/{main,runSubagent-*,title-*}.jsonl and side files.

Oddities: utility calls that nobody pays for; calls without ``copilotUsageNanoAiu``; half of
the sessions carry message texts inside ``llm_request``; tool results that quote the text
``llm_request``; sessions in the index whose logs are gone.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3

from .text import DAY_MS, END_MS, answer, begin, digits, length, session_size, text, title, uuid
from .text import write as write_file
from .truth import COPILOT, UTILITY, Session, Totals, nano

PER_WORKSPACE = 45
TOOLS = (
    b"read_file",
    b"grep_search",
    b"run_in_terminal",
    b"replace_string_in_file",
    b"list_dir",
    b"get_errors",
)
SUBAGENTS = ("default", "Explore", "Plan", "Reviewer", "implementer")
SIDE_FILES = (("models.json", 18_000), ("system_prompt_0.json", 14_000), ("tools_0.json", 30_000))

LINE = (
    b'{"ts":%d,"dur":%d,"sid":"%s","type":"%s","name":"%s","spanId":"%s","parentSpanId":"%s",'
    b'"status":"%s","attrs":{%s}}\n'
)
REQUEST = (
    b'"model":"%s","debugName":"%s","maxTokens":%d,"inputTokens":%d,"outputTokens":%d,'
    b'"cachedTokens":%d'
)
TEXTS = (
    b',"userRequest":"%s","inputMessages":"%s","systemPromptFile":"system_prompt_0.json",'
    b'"toolsFile":"tools_0.json"'
)
DISCOVERY = b'"details":"%s","category":"discovery","source":"core"'
GENERIC = b'"details":"%s","category":"customization","source":"core"'
CHILD = b'"childSessionId":"%s","childTitle":"%s","childLogFile":"%s","label":"runSubagent-%s"'


def generate(out: str, seed: str, index: int, count: int, mean: float) -> Session:
    """Write session ``index`` of ``count`` below ``out``/home."""
    rng = random.Random(f"{seed}:vscode:{index}")
    tot = Totals()
    st = {
        "usage_bytes": 0,
        "utility_calls": 0,
        "utility_input": 0,
        "utility_output": 0,
        "llm_without_nano": 0,
        "decoy_lines": 0,
    }
    size = session_size(index, count, mean, rng)
    sid = uuid(rng)
    created = begin(rng)
    workspace = digits(random.Random(f"{seed}:ws:{index // PER_WORKSPACE}"), 32)
    folder = f"{_storage(out)}/{workspace}/GitHub.copilot-chat/debug-logs/{sid}"
    texts = rng.random() < 0.5
    main = Stream(rng, sid, created, texts, tot, st)
    version = b'"copilotVersion":"0.59.%d","vscodeVersion":"1.131.0"' % rng.randint(0, 9)
    main.line(b"session_start", b"session_start", version)
    for _ in range(rng.randint(2, 8)):
        main.line(b"discovery", b"Load Agents", DISCOVERY % text(rng, length(rng, 400)))
    files = _conversation(main, size)
    heading = Stream(rng, uuid(rng), created + 1500, False, tot, st)
    heading.context = rng.randint(300, 900)
    heading.request("claude-haiku-4.5", b"title")
    files += [(f"title-{heading.sid}.jsonl", heading), ("main.jsonl", main)]
    for name, stream in files:
        write_file(f"{folder}/{name}", stream.lines, stream.now)
    side = random.Random(f"{seed}:side:{index}")
    for name, length_ in SIDE_FILES:
        write_file(f"{folder}/{name}", [b'{"content":"', text(side, length_), b'"}'], created)
    os.utime(folder, (main.now / 1000, main.now / 1000))
    total = sum(stream.size for _, stream in files)
    return Session(
        "vscode",
        sid,
        folder,
        total,
        len(files),
        created,
        main.now,
        title(rng),
        tot,
        st,
        workspace,
    )


def _conversation(main: Stream, size: float) -> list[tuple[str, Stream]]:
    """Fill ``main`` up; the subagents it starts are returned with their file names."""
    rng = main.rng
    model = _model(rng, 6, 1, 2, 3)
    children = 0
    if size >= 60_000 and rng.random() >= 0.45:
        children = rng.choice((1, 1, 2, 2, 3, 4, 6))
    main_size = size if not children else size * rng.uniform(0.3, 0.6)
    sizes = [(size - main_size) / children * rng.uniform(0.6, 1.4) for _ in range(children)]
    files = []
    while main.size < main_size:
        if rng.random() < 0.08:
            model = _model(rng, 6, 1, 2, 3)
        main.turn(model, min(main_size - main.size, rng.uniform(8_000, 120_000)))
        if sizes:
            files.append(_subagent(main, len(sizes) - 1, sizes.pop()))
    return files


def _subagent(main: Stream, number: int, size: float) -> tuple[str, Stream]:
    rng = main.rng
    name = rng.choice(SUBAGENTS)
    call = f"functions.runSubagent:{number + 16}"
    file = f"runSubagent-{name}-{call}.jsonl"
    ref = (call.encode(), f"{name} {title(rng)}".encode(), file.encode(), name.encode())
    main.line(b"child_session_ref", b"runSubagent-" + name.encode(), CHILD % ref)
    child = Stream(rng, call, main.now, main.texts, main.tot, main.st)
    model = _model(rng, 4, 4, 1, 2)
    while child.size < size:
        child.turn(model, min(size - child.size, 60_000))
    main.now = child.now
    return file, child


def _model(rng: random.Random, *weights: int) -> str:
    return rng.choices(list(COPILOT), weights)[0]


def _storage(out: str) -> str:
    return f"{out}/home/.config/Code/User/workspaceStorage"


class Stream:
    """One log file in the making: main.jsonl, a subagent's, or the title's."""

    def __init__(
        self,
        rng: random.Random,
        sid: str,
        now: int,
        texts: bool,
        tot: Totals,
        st: dict[str, int],
    ) -> None:
        self.rng, self.sid, self.now, self.texts, self.tot, self.st = rng, sid, now, texts, tot, st
        self.lines: list[bytes] = []
        self.size = 0
        self.context = rng.randint(14_000, 30_000)
        self.root = digits(rng, 16).encode()

    def line(self, kind: bytes, name: bytes, attrs: bytes, duration: int = 0) -> None:
        """Write one line of the log."""
        rng = self.rng
        span = digits(rng, 16).encode()
        status = b"error" if rng.random() < 0.02 else b"ok"
        head = (self.now, duration, self.sid.encode(), kind, name, span, self.root)
        line = LINE % (*head, status, attrs)
        self.lines.append(line)
        self.size += len(line)
        self.now += duration + rng.randint(1, 900)
        if kind == b"llm_request":
            self.st["usage_bytes"] += len(line)

    def request(self, model: str, purpose: bytes) -> None:
        """Write one call of a model and count it."""
        rng = self.rng
        prompt = self.context
        self.context = min(150_000, self.context + rng.randint(100, 4200))
        if rng.random() < 0.01:
            self.context = rng.randint(14_000, 40_000)  # the conversation was compacted
        cached = int(prompt * rng.uniform(0.6, 0.97)) if rng.random() < 0.92 else 0
        output = answer(rng)
        attrs = REQUEST % (model.encode(), purpose, 64_000, prompt, output, cached)
        if model == UTILITY:
            self.st["utility_calls"] += 1
            self.st["utility_input"] += prompt
            self.st["utility_output"] += output
        else:
            attrs += self._bill(model, prompt - cached, output, cached)
        attrs += b',"ttft":%d,"responseId":"%s"' % (rng.randint(300, 9000), uuid(rng).encode())
        if self.texts:
            asked = text(rng, length(rng, 900))
            attrs += TEXTS % (asked, text(rng, min(4600, 1800 + length(rng, 1500)), twice=True))
        duration = rng.randint(700, 30_000)
        self.line(b"llm_request", b"chat:" + model.encode(), attrs, duration)

    def _bill(self, model: str, fresh: int, output: int, cached: int) -> bytes:
        # What the log does not tell: all fresh input was written to the cache
        rate = COPILOT[model]
        usd = (fresh * rate[3] + cached * rate[1] + output * rate[2]) / 1e6
        if self.rng.random() < 0.93:
            billed = nano(usd)
            self.tot.add(model, fresh, output, cached, 0, billed / 1e11, billed)
            return b',"copilotUsageNanoAiu":%d' % billed
        self.tot.add(model, fresh, output, cached, 0, usd)
        self.st["llm_without_nano"] += 1
        return b""

    def turn(self, model: str, budget: float) -> None:
        """One message of the user and the calls and tools it leads to: ``budget`` bytes or so."""
        rng = self.rng
        start = self.size
        asked = b'"content":"%s"' % text(rng, length(rng, 700))
        self.line(b"user_message", b"user_message", asked)
        number = rng.randint(0, 9999)
        self.line(b"turn_start", b"turn_start:%d" % number, b'"turnId":"%d"' % number)
        while self.size - start < budget:
            self.request(model, b"panel/editAgent")
            reply = (text(rng, length(rng, 500)), text(rng, length(rng, 400)))
            self.line(
                b"agent_response", b"agent_response", b'"response":"%s","reasoning":"%s"' % reply
            )
            for _ in range(rng.choice((1, 1, 1, 2, 3))):
                self._tool()
            if rng.random() < 0.06:
                details = GENERIC % text(rng, length(rng, 900))
                self.line(b"generic", b"Resolve customizations", details)
            if rng.random() < 0.12:
                self.request(UTILITY, b"backgroundTodoAgent")
        self.line(b"turn_end", b"turn_end:%d" % number, b'"turnId":"%d"' % number)

    def _tool(self) -> None:
        rng = self.rng
        tool = rng.choice(TOOLS)
        result = text(rng, min(4900, length(rng, 2600)))
        if rng.random() < 0.004:
            result += b'grep: \\"type\\":\\"llm_request\\" found'
            self.st["decoy_lines"] += 1
        args = text(rng, min(4900, length(rng, 900)), twice=True)
        attrs = b'"args":"%s","result":"%s"' % (args, result)
        self.line(b"tool_call", tool, attrs, rng.randint(2, 6000))


def index(out: str, seed: str, sessions: list[Session]) -> None:
    """Write workspace.json and state.vscdb of every workspace of ``sessions``."""
    workspaces: dict[str, list[Session]] = {}
    for session in sessions:
        if session.ws:
            workspaces.setdefault(session.ws, []).append(session)
    for workspace, members in workspaces.items():
        folder = f"{_storage(out)}/{workspace}"
        with open(f"{folder}/workspace.json", "w") as file:
            json.dump({"folder": f"file:///home/dev/src/ws-{workspace[:6]}"}, file)
        _state(f"{folder}/state.vscdb", random.Random(f"{seed}:state:{workspace}"), members)


def _state(path: str, rng: random.Random, sessions: list[Session]) -> None:
    entries: dict[str, dict[str, object]] = {}
    for session in sessions:
        times = {
            "created": session.created,
            "lastRequestStarted": session.last,
            "lastRequestEnded": session.last,
        }
        entries[session.id] = {
            "sessionId": session.id,
            "title": session.title,
            "lastMessageDate": session.last,
            "timing": times,
            "initialLocation": "panel",
            "hasPendingEdits": False,
            "isEmpty": False,
            "isExternal": False,
        }
    old = END_MS - 200 * DAY_MS
    for _ in range(30):  # VS Code still knows them; their logs were cleaned up
        sid = uuid(rng)
        entries[sid] = {
            "sessionId": sid,
            "title": title(rng),
            "lastMessageDate": old,
            "timing": {"created": old},
        }
    value = json.dumps({"version": 1, "entries": entries})
    if os.path.exists(path):
        os.remove(path)
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE ItemTable (key TEXT UNIQUE ON CONFLICT REPLACE, value BLOB)")
    db.execute("INSERT INTO ItemTable VALUES(?,?)", ("chat.ChatSessionStore.index", value))
    for k in range(200):
        other = json.dumps({"x": digits(rng, 300)})
        db.execute("INSERT INTO ItemTable VALUES(?,?)", (f"workbench.view.{k}", other))
    db.commit()
    db.close()
