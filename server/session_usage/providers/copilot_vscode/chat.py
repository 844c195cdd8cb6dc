"""``chatSessions``: the chat itself, a journal of changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from session_usage.events import BYOK, COPILOT, START, Counter, Event, Meta, Source
from session_usage.jsonl import Scan, parse
from session_usage.money import NANO_PER_CREDIT, nano
from session_usage.providers.copilot_vscode.base import AGENT, malformed, unreadable
from session_usage.values import mapping, text, whole


class Journal:
    """State of a chat, replayed from its changes; only what tells of cost is kept."""

    KEPT = frozenset(
        {
            "requestId", "timestamp", "modelId", "modelState", "completionTokens",
            "copilotCredits", "sessionCopilotCredits", "elapsedMs", "result",
        }
    )  # fmt: skip
    TOP = frozenset({"sessionId", "creationDate", "customTitle", "version", "workingDirectory"})

    def __init__(self) -> None:
        self.top: dict[str, Any] = {}
        self.requests: list[dict[str, Any]] = []

    def apply(self, change: dict[str, Any], offset: int) -> None:
        """One change: 0 is a whole state, 1 sets, 2 appends, 3 removes."""
        kind, keys, value = change.get("kind"), change.get("k"), change.get("v")
        if kind == 0:
            self.reset(mapping(value), offset)
            return
        if type(keys) is not list or not keys or not {type(key) for key in keys} <= {str, int}:
            return
        if keys[0] != "requests":
            if len(keys) == 1 and keys[0] in self.TOP:
                if kind == 3:
                    self.top.pop(keys[0], None)
                else:
                    self.top[keys[0]] = value
            return
        if len(keys) == 1:
            if kind == 2:
                if type(change.get("i")) is int:
                    del self.requests[max(0, change["i"]) :]
                self._append(value, offset)
            elif kind in (1, 3):  # any other kind is a damaged line: it must not cost the turns
                self.requests.clear()
                if kind == 1:
                    self._append(value, offset)
            return
        position = keys[1]
        if type(position) is not int or not 0 <= position <= len(self.requests):
            return
        if len(keys) == 2:
            if kind == 3:
                del self.requests[position : position + 1]
            elif kind == 1:
                self.requests[position : position + 1] = [self._pruned(value, offset)]
            return
        if position < len(self.requests) and keys[2] in self.KEPT:
            _set(self.requests[position], keys[2:], kind, value)

    def reset(self, state: dict[str, Any], offset: int) -> None:
        """Begins anew from a whole state."""
        self.top = {name: state[name] for name in self.TOP if name in state}
        self.requests = []
        self._append(state.get("requests"), offset)

    def _append(self, values: Any, offset: int) -> None:
        if type(values) is list:
            self.requests += [self._pruned(value, offset) for value in values]

    def _pruned(self, value: Any, offset: int) -> dict[str, Any]:
        request = mapping(value)
        kept = {name: request[name] for name in self.KEPT if name in request}
        if "result" in kept:
            kept["result"] = _result(kept["result"])
        kept[""] = offset
        return kept


def _result(value: Any) -> dict[str, Any]:
    metadata = mapping(mapping(value).get("metadata"))
    kept = {
        name: metadata[name]
        for name in ("responseId", "resolvedModel", "sessionId")
        if name in metadata
    }
    return {"metadata": kept}


def _set(target: dict[str, Any], keys: list[Any], kind: Any, value: Any) -> None:
    for key in keys[:-1]:
        inner = target.get(key)
        if type(inner) is not dict:
            if kind == 3:
                return
            inner = target[key] = {}
        target = inner
    if kind == 3:
        target.pop(keys[-1], None)
    elif kind == 1:
        target[keys[-1]] = _result(value) if keys[-1] == "result" else value


def read_chat(source: Source) -> Iterator[Event]:
    """What the chat as it stands says: a counter for each turn."""
    journal = Journal()
    try:
        if source.path.endswith(".json"):
            with open(source.path, "rb") as file:
                state, wrong = parse(file.read())
            if wrong:
                yield malformed(source, 0, wrong)
            journal.reset(state or {}, 0)
        else:
            for line in Scan(source.path):
                change, wrong = parse(line.data.removeprefix(b"\xef\xbb\xbf"))
                if wrong:
                    yield malformed(source, line.offset, wrong)
                if change:
                    journal.apply(change, line.offset)
    except OSError as error:
        yield unreadable(source, error)
    session = source.session or text(journal.top.get("sessionId")) or ""
    times = [at for at in (whole(r.get("timestamp")) for r in journal.requests) if at]
    yield Meta(
        AGENT,
        session,
        source.path,
        title=text(journal.top.get("customTitle")),
        created_ms=min(times, default=None),
        updated_ms=max(times, default=None),
        rank=2,
    )
    for request in journal.requests:
        yield from _turn(source, session, request)
    yield START


def _turn(source: Source, session: str, request: dict[str, Any]) -> Iterator[Event]:
    offset = request[""]
    metadata = mapping(mapping(request.get("result")).get("metadata"))
    name = text(request.get("requestId")) or f"{session}@{offset}"
    copied = not name.startswith("request_")  # a fork gives its copies bare ids
    owner = (text(metadata.get("sessionId")) or session) if copied else session
    key = text(metadata.get("responseId")) or name
    state = mapping(request.get("modelState"))
    started = whole(request.get("timestamp"))
    elapsed = whole(request.get("elapsedMs"))
    ended = whole(state.get("completedAt"))
    if ended is None and started is not None and elapsed is not None:
        ended = started + elapsed
    vendor, _, picked = (text(request.get("modelId")) or "").partition("/")
    model = text(metadata.get("resolvedModel")) or picked.rpartition("/")[2] or None
    counter = Counter(
        key,
        AGENT,
        owner,
        "chat-session",
        source.path,
        offset,
        ended,
        "turn",
        key,
        since_ms=started,
        model=None if model == "auto" else model,
        billing=BYOK if vendor not in ("copilot", "") else COPILOT,
        output_tokens=whole(request.get("completionTokens")),
        nano_aiu=nano(request.get("copilotCredits"), NANO_PER_CREDIT),
        reason="a turn whose calls were not logged",
        copied=copied and owner != session,
        status={2: "cancelled", 3: "error"}.get(whole(state.get("value")) or 0, "ok"),
    )
    yield counter
    running = nano(request.get("sessionCopilotCredits"), NANO_PER_CREDIT)
    if running and not copied:
        yield counter._replace(
            key=f"running:{key}", scope="total", nano_aiu=running, output_tokens=None, model=None
        )
