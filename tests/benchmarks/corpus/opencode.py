"""OpenCode: .local/share/opencode/opencode.db, all sessions in one database."""

from __future__ import annotations

import json
import os
import random
import sqlite3
from typing import Any

from .text import answer, begin, digits, length, session_size, text, title
from .truth import ANTHROPIC, Session, Totals, price

SCHEMA = (
    "CREATE TABLE project(id TEXT PRIMARY KEY, worktree TEXT NOT NULL, vcs TEXT, name TEXT,"
    " time_created INTEGER NOT NULL, time_updated INTEGER NOT NULL, time_initialized INTEGER,"
    " sandboxes TEXT NOT NULL DEFAULT '[]')",
    "CREATE TABLE session(id TEXT PRIMARY KEY, project_id TEXT NOT NULL, parent_id TEXT,"
    " slug TEXT NOT NULL, directory TEXT NOT NULL, title TEXT NOT NULL, version TEXT NOT NULL,"
    " share_url TEXT, summary_additions INTEGER, summary_deletions INTEGER,"
    " summary_files INTEGER, summary_diffs TEXT, revert TEXT, permission TEXT,"
    " time_created INTEGER NOT NULL, time_updated INTEGER NOT NULL, time_compacting INTEGER,"
    " time_archived INTEGER)",
    "CREATE TABLE message(id TEXT PRIMARY KEY, session_id TEXT NOT NULL,"
    " time_created INTEGER NOT NULL, time_updated INTEGER NOT NULL, data TEXT NOT NULL)",
    "CREATE TABLE part(id TEXT PRIMARY KEY, message_id TEXT NOT NULL, session_id TEXT NOT NULL,"
    " time_created INTEGER NOT NULL, time_updated INTEGER NOT NULL, data TEXT NOT NULL)",
    "CREATE INDEX message_session_idx ON message(session_id)",
    "CREATE INDEX part_session_idx ON part(session_id)",
    "CREATE INDEX part_message_idx ON part(message_id)",
)
NEW_SESSION = (
    "INSERT INTO session(id,project_id,slug,directory,title,version,time_created,time_updated)"
    " VALUES(?,?,?,?,?,?,?,?)"
)
FOLDER = "/home/dev/src/p"

STEP_START = b'{"type":"step-start","snapshot":"%s"}'
TEXT = b'{"type":"text","text":"%s","time":{"start":%d,"end":%d}}'
TOOL = (
    b'{"type":"tool","callID":"%s","tool":"bash","state":{"status":"completed","input":'
    b'{"command":"%s","description":"x"},"output":"%s","title":"x","metadata":{"output":"%s",'
    b'"exit":0},"time":{"start":%d,"end":%d}}}'
)
STEP_FINISH = (
    b'{"type":"step-finish","reason":"tool-calls","cost":%s,"tokens":{"input":%d,"output":%d,'
    b'"reasoning":0,"cache":{"read":%d,"write":%d}}}'
)


def generate(out: str, seed: str, count: int, mean: float) -> list[Session]:
    """Write the database with its ``count`` sessions below ``out``/home."""
    folder = f"{out}/home/.local/share/opencode"
    path = f"{folder}/opencode.db"
    os.makedirs(folder, exist_ok=True)
    if os.path.exists(path):
        os.remove(path)
    db = sqlite3.connect(path)
    db.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA page_size=4096;")
    for statement in SCHEMA:
        db.execute(statement)
    for k in range(8):
        project = (f"prj{k}", f"{FOLDER}{k}", "git", None, 1, 1, 1)
        db.execute("INSERT INTO project VALUES(?,?,?,?,?,?,?,'[]')", project)
    sessions = []
    for index in range(count):
        rng = random.Random(f"{seed}:opencode:{index}")
        size = session_size(index, count, mean, rng)
        chat = Chat(rng)
        chat.fill(size)
        name = title(rng)
        sid, last = chat.sid, chat.now
        row = (sid, chat.project, sid[:12], FOLDER, name, "1.2.0", chat.created, last)
        db.execute(NEW_SESSION, row)
        db.executemany("INSERT INTO message VALUES(?,?,?,?,?)", chat.messages)
        db.executemany("INSERT INTO part VALUES(?,?,?,?,?,?)", chat.parts)
        st = {
            "usage_bytes": chat.usage_bytes,
            "messages": len(chat.messages),
            "parts": len(chat.parts),
        }
        files = 1 if index == count - 1 else 0
        sessions.append(
            Session("opencode", sid, path, chat.size, files, chat.created, last, name, chat.tot, st)
        )
    db.commit()
    db.close()
    return sessions


class Chat:
    """The rows of one session in the making."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.sid = "ses_" + digits(rng, 26)
        self.created = self.now = begin(rng)
        self.model = rng.choices(list(ANTHROPIC), (6, 2, 2))[0]
        self.context = rng.randint(9000, 20_000)
        self.project = f"prj{rng.randrange(8)}"
        self.messages: list[tuple[str, str, int, int, str]] = []
        self.parts: list[tuple[str, str, str, int, int, str]] = []
        self.size = self.usage_bytes = 0
        self.tot = Totals()

    def fill(self, size: float) -> None:
        """Turns, until the rows have ``size`` bytes."""
        rng = self.rng
        while self.size < size:
            key = "msg_" + digits(rng, 26)
            model = {"providerID": "anthropic", "modelID": self.model}
            times = {"created": self.now}
            self._message(key, {"role": "user", "time": times, "agent": "build", "model": model})
            # through json: this part is stored with spaces after the separators
            asked = json.loads(b'{"type":"text","text":"%s"}' % text(rng, length(rng, 500)))
            part = json.dumps(asked, ensure_ascii=False)
            self._part(key, part, len(part))
            for _ in range(rng.randint(2, 20)):
                self._call(key)
                if self.size >= size:
                    break
            self.now += rng.randint(3000, 200_000)

    def _message(self, key: str, data: dict[str, Any], duration: int = 0) -> None:
        value = json.dumps(data)
        self.messages.append((key, self.sid, self.now, self.now + duration, value))
        self.size += len(value)
        if data["role"] == "assistant":
            self.usage_bytes += len(value)

    def _part(self, message: str, value: str, size: int) -> None:
        key = "prt_" + digits(self.rng, 26)
        self.parts.append((key, message, self.sid, self.now, self.now, value))
        self.size += size

    def _call(self, user: str) -> None:
        rng = self.rng
        key = "msg_" + digits(rng, 26)
        fresh = rng.randint(2, 900)
        read = int(self.context * rng.uniform(0.6, 0.97))
        written = self.context - read
        self.context = min(150_000, self.context + rng.randint(100, 4000))
        output = answer(rng)
        usd = price(ANTHROPIC[self.model], fresh, output, read, written)
        tokens = {
            "total": fresh + output + read + written,
            "input": fresh,
            "output": output,
            "reasoning": 0,
            "cache": {"read": read, "write": written},
        }
        message = {
            "role": "assistant",
            "time": {"created": self.now, "completed": self.now + 5000},
            "parentID": user,
            "modelID": self.model,
            "providerID": "anthropic",
            "mode": "build",
            "agent": "build",
            "path": {"cwd": FOLDER, "root": FOLDER},
            "cost": usd,
            "tokens": tokens,
            "finish": "tool-calls",
        }
        self._message(key, message, 5000)
        self.tot.add(self.model, fresh, output, read, written, usd)
        start = STEP_START % digits(rng, 40).encode()
        said = TEXT % (text(rng, length(rng, 300)), self.now, self.now + 9)
        call = digits(rng, 20).encode()
        texts = [text(rng, length(rng, mean)) for mean in (200, 2200, 1200)]
        tool = TOOL % (call, *texts, self.now, self.now + 100)
        finish = STEP_FINISH % (repr(usd).encode(), fresh, output, read, written)
        for part in (start, said, tool, finish):
            self._part(key, part.decode(), len(part))
        self.now += rng.randint(3000, 20_000)
