"""What a log says beyond usage: times, slash commands, skills and what a run reports of itself.

Read anew, from one session's own files, when a caller asks for that session; nothing of it
is stored. The only message text that leaves this module is the first two words of a message
that begins with a slash: the command that the user gave.

Sources: the debug logs of Copilot Chat in VS Code, the event journal of Copilot CLI (see the
docstrings of their providers for the forms).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from session_usage.jsonl import Scan, parse, parse_any
from session_usage.places import entries
from session_usage.values import instant, mapping, text, whole

_LOADED = re.compile(r"loaded:\s*\[([^\]]*)\]")
_COUNTED = re.compile(r"skills:\s*\[\d+\]\s*([^\n]*)")
_TAGGED = re.compile(r"<skill\b[^>]*>\s*<name>\s*([^<]+?)\s*</name>")
_MENTIONED = re.compile(r"(?:^|\s)(/[A-Za-z][\w-]*(?:[ :][A-Za-z][\w-]*)?)(?![\w/])")


def command(content: str) -> str | None:
    """The slash command a message begins with, ``/ns:x`` as ``/ns x``; None for other messages.

    A command is two words: ``/ns do-thing please`` is ``/ns do-thing``.
    """
    words = content.split(None, 2)[:2]
    if not words or not words[0].startswith("/") or words[0] == "/":
        return None
    if ":" in words[0]:
        return words[0].replace(":", " ", 1)
    return " ".join(words)


class Chat(NamedTuple):
    """What the debug logs of one VS Code session say beyond its calls. Epoch milliseconds."""

    first_ms: int | None
    """The earliest line of a file that has calls; None without such a line."""
    last_ms: int | None
    calls_ms: tuple[int, ...]
    """When calls began."""
    commands: tuple[tuple[int, str], ...]
    """Slash commands in order of time."""
    detected: tuple[str, ...]
    """Skills named anywhere in the session, commands included; sorted."""

    def skill(self, at_ms: int | None) -> str:
        """The command in force at a moment; ``unknown`` before any."""
        found = "unknown"
        for given_ms, name in self.commands:
            if at_ms is not None and given_ms <= at_ms:
                found = name
        return found


def chat(paths: Iterable[str]) -> Chat:
    """Reads the debug logs at ``paths`` and the prompts and tool lists beside them."""
    times: list[int] = []
    calls: list[int] = []
    commands: list[tuple[int, str]] = []
    detected: set[str] = set()
    folders: dict[str, None] = {}
    for path in paths:
        folders[os.path.dirname(path)] = None
        own: list[int] = []
        has_calls = False
        for data in _objects(path):
            kind, at_ms = data.get("type"), whole(data.get("ts"))
            attrs = mapping(data.get("attrs"))
            if at_ms is not None:
                own.append(at_ms)
            if kind == "llm_request":
                has_calls = True
                if at_ms is not None:
                    calls.append(at_ms)
            elif kind == "user_message":
                name = command(text(attrs.get("content")) or "")
                if name:
                    commands.append((at_ms or 0, name))
            elif kind in ("discovery", "generic"):
                detected.update(_announced(text(data.get("name")) or "", attrs))
        if has_calls:
            times += own
    for folder in folders:
        detected.update(_beside(folder))
    commands.sort(key=lambda item: item[0])
    detected.update(name for _, name in commands)
    return Chat(
        min(times, default=None),
        max(times, default=None),
        tuple(calls),
        tuple(commands),
        tuple(sorted(detected)),
    )


def _objects(path: str) -> Iterator[dict[str, Any]]:
    try:
        for line in Scan(path):
            data, _ = parse(line.data)
            if data:
                yield data
    except OSError:
        return  # the provider reports it


def _announced(name: str, attrs: dict[str, Any]) -> Iterator[str]:
    """Skills in a line that says what was loaded."""
    details = text(attrs.get("details")) or ""
    found = None
    if "custom instructions" in name.lower():
        found = _COUNTED.search(details)
    elif "skill" in name.lower():
        found = _LOADED.search(details)
    for part in found[1].split(",") if found else ():
        skill = part.strip().strip("'\"")
        if skill:
            yield skill


def _beside(folder: str) -> Iterator[str]:
    """Skills in the system prompts and tool lists that lie beside the logs."""
    for entry in entries(folder):
        is_prompt = entry.name.startswith("system_prompt_")
        if not entry.name.endswith(".json") or not (is_prompt or entry.name.startswith("tools_")):
            continue
        try:
            with open(entry.path, "rb") as file:
                value = parse_any(file.read(8 << 20))
        except OSError:
            continue
        content = mapping(value).get("content")
        if is_prompt:
            yield from _TAGGED.findall(content if isinstance(content, str) else "")
            continue
        if isinstance(content, str):
            value = parse_any(content.encode())
        for tool in value if isinstance(value, list) else ():
            yield from _of_tool(mapping(tool))


def _of_tool(tool: dict[str, Any]) -> Iterator[str]:
    if "skill" not in (text(tool.get("name")) or "").lower():
        return
    for mention in _MENTIONED.findall(text(tool.get("description")) or ""):
        yield mention.replace(":", " ", 1)
    listed = tool.get("skills")
    for skill in listed if isinstance(listed, list) else ():
        if text(skill):
            yield skill


class Journal:
    """What a Copilot CLI journal says of the session beyond its usage.

    A journal without a single event is no journal: ``events`` is 0.
    """

    def __init__(self, path: str) -> None:
        self.events = 0
        self.lines = 0
        self.malformed = 0
        self.undated = 0
        self.session: str | None = None
        self.started_ms: int | None = None
        self.last_ms: int | None = None
        self.versions: set[str] = set()
        self.models: set[str] = set()
        self.context: dict[str, Any] = {}
        self.resumes = 0
        self.title: str | None = None
        self.shutdown: dict[str, Any] | None = None
        self.checkpoint: dict[str, Any] | None = None
        self.agents: dict[str, dict[str, Any]] = {}
        self.detected: set[str] = set()
        self.tools: dict[tuple[str, str, str], int] = {}
        self._skills: dict[str, str] = {}
        self._open: dict[str, tuple[str, str, str]] = {}
        try:
            for line in Scan(path):
                self.lines += 1
                event, wrong = parse(line.data)
                self.malformed += wrong is not None
                kind = text(event.get("type")) if event else None
                if kind:
                    self._see(kind, event, mapping(event.get("data")))
        except OSError:
            return  # the provider reports it
        for begun in self._open.values():
            self.tools[begun] = self.tools.get(begun, 0) + 1

    def active(self) -> str | None:
        """The skill that the main agent used last."""
        return self._skills.get("")

    def name(self, agent: str) -> str:
        """What people call the agent with this id; "" is the main one."""
        known = self.agents.get(agent, {})
        return (known.get("display") or known.get("name") or agent) if agent else "main"

    def _see(self, kind: str, event: dict[str, Any], data: dict[str, Any]) -> None:
        self.events += 1
        stamp = event.get("timestamp")
        at_ms = instant(stamp) if isinstance(stamp, str) else None
        if at_ms is None:
            self.undated += 1
        else:
            self.last_ms = max(at_ms, self.last_ms or at_ms)
        agent = text(event.get("agentId")) or ""
        if kind == "session.start":
            self.session = text(data.get("sessionId")) or self.session
            begun = data.get("startTime")
            self.started_ms = instant(begun) if isinstance(begun, str) else None
            if "version" in data:
                self.versions.add(str(data["version"]))
            self._settle(data)
        elif kind == "session.resume":
            self.resumes += 1
            self._settle(data)
        elif kind == "session.shutdown":
            self._close(data)
        elif kind == "session.usage_checkpoint":
            self.checkpoint = data
            states = data.get("modelCacheState")
            for state in states if isinstance(states, list) else ():
                self._model(mapping(state).get("modelId"))
        elif kind == "skill.invoked":
            skill = text(data.get("name")) or text(data.get("skillName"))
            if skill:
                self.detected.add(skill)
                self._skills[agent] = skill
        elif kind in ("subagent.started", "subagent.completed"):
            self._subagent(agent or text(data.get("toolCallId")) or "", kind, data)
        else:
            self._tool(kind, agent, data)

    def _settle(self, data: dict[str, Any]) -> None:
        self._model(data.get("selectedModel"))
        self.context = mapping(data.get("context")) or self.context

    def _model(self, name: Any) -> None:
        if text(name):
            self.models.add(name)

    def _close(self, data: dict[str, Any]) -> None:
        self.shutdown = data
        for model, metric in mapping(data.get("modelMetrics")).items():
            if isinstance(metric, dict):
                self._model(model)
        for agent, metrics in mapping(data.get("agentMetrics")).items():
            if agent != "main":
                self._subagent(agent, "", mapping(metrics))

    def _subagent(self, agent: str, kind: str, data: dict[str, Any]) -> None:
        known = self.agents.setdefault(agent, {})
        known["name"] = text(data.get("agentName")) or known.get("name")
        known["display"] = text(data.get("agentDisplayName")) or known.get("display")
        known["model"] = text(data.get("model")) or known.get("model")
        if kind == "subagent.completed":
            known["completed"] = data

    def _tool(self, kind: str, agent: str, data: dict[str, Any]) -> None:
        """A call is counted once, under the skill at its beginning."""
        call = text(data.get("toolCallId")) or ""
        name = text(data.get("toolName"))
        seen = (name or "unknown", self._skills.get(agent, "unknown"), agent)
        if kind == "tool.execution_start":
            self._open[call] = seen
        elif kind == "tool.execution_complete":
            seen = self._open.pop(call, seen)
            self.tools[seen] = self.tools.get(seen, 0) + 1
        elif kind == "external_tool.requested":
            if call not in self._open:
                self.tools[seen] = self.tools.get(seen, 0) + 1
            if name == "rename_session":
                self.title = text(mapping(data.get("arguments")).get("title")) or self.title

    def tool_rows(self) -> list[dict[str, Any]]:
        """Calls by tool, skill and subagent, the most frequent first."""
        counts: dict[tuple[str, str, str], int] = {}
        for (tool, skill, agent), calls in self.tools.items():
            key = (tool, skill, self.name(agent))
            counts[key] = counts.get(key, 0) + calls
        return tool_rows(counts)

    def agent_metrics(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """(agent's id, model, totals) as the last run wrote them; the main agent is ``main``."""
        for agent, metrics in mapping((self.shutdown or {}).get("agentMetrics")).items():
            for model, metric in mapping(mapping(metrics).get("modelMetrics")).items():
                if isinstance(metric, dict):
                    yield agent, model, metric

    def subagents(self) -> list[dict[str, Any]]:
        """What subagents reported when they were done; durations in whole seconds."""
        rows = []
        for agent, known in self.agents.items():
            done = known.get("completed")
            if done is None:
                continue
            duration = whole(done.get("durationMs"))
            rows.append(
                {
                    "agent_id": agent,
                    "name": self.name(agent),
                    "model": known.get("model"),
                    "duration_seconds": None if duration is None else round(duration / 1000),
                    "total_tokens_reported": whole(done.get("totalTokens")),
                    "total_tool_calls": whole(done.get("totalToolCalls")),
                }
            )
        return rows


def tool_rows(counts: dict[tuple[str, str, str], int]) -> list[dict[str, Any]]:
    """Rows for calls by (tool, skill, subagent): the most frequent first, then by name."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [
        {"tool": tool, "skill": skill, "subagent": subagent, "calls": calls}
        for (tool, skill, subagent), calls in ordered
    ]
