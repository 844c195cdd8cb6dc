"""What messages, sessions and parts of OpenCode's storages mean; the rules are the package's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from session_usage import events, values
from session_usage.events import (
    Calls,
    Cursor,
    Event,
    Meta,
    Problem,
    Request,
    Row,
    Source,
    ToolCall,
    Turn,
)
from session_usage.providers.opencode import AGENT
from session_usage.providers.opencode.database import Database
from session_usage.providers.opencode.records import Broken, Mark, Message, lineage
from session_usage.providers.opencode.tokens import Tokens, tokens_of, whole_output
from session_usage.providers.opencode.tree import Tree

OPEN_LIMIT = 100
"""How many messages without usage are looked at again at the next reading."""

_VENDORS = {
    "amazon-bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "google": "gcp.gemini",
    "google-vertex": "gcp.vertex_ai",
    "google-vertex-anthropic": "gcp.vertex_ai",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}
"""Provider ids of the program where OpenTelemetry's ``gen_ai.provider.name`` differs."""


def mark_of(at: Cursor) -> Mark:
    """Where the reading before ended; the start for a cursor of another form."""
    try:
        messages, sessions, rowid2, messages2, *pending = at.state
        return Mark(at.offset, messages, sessions, rowid2, messages2, tuple(pending))
    except ValueError:
        return Mark()


_NONE = Tokens()
_BOUND = 1 << 50
"""Above any count; ``whole`` accepts more."""
_new = tuple.__new__


class _Call(NamedTuple):
    """One step of a message: its tokens if it came to an end, else why there are none."""

    tokens: Tokens = _NONE
    status: str = "ok"
    weak: bool = False


class Reading:
    """One pass over a storage: what its messages, sessions and parts mean."""

    def __init__(self, storage: Database | Tree, source: Source, full: bool) -> None:
        self.storage = storage
        self.source = source
        self.full = full
        self.sessions = storage.sessions()
        self.repeated: set[str] = set()
        self.copies: dict[str, Message] = {}
        """Of copied messages, the one they were copied from."""
        self.origins: dict[str, str] = {}
        """Of forked sessions, the one they came from."""
        self.seen: dict[str, str | None] = {}
        """Sessions with messages in this pass, and the model that answered last."""
        self.begun: dict[str, int] = {}
        """When sessions were created; what is older in them is a copy."""
        self.calls: dict[tuple[Any, ...], list[Row]] = {}
        """The calls, by what they have in common."""

    def _problem(
        self, kind: str, path: str, offset: int, text: str, session: str | None
    ) -> Problem:
        return Problem(kind, path, offset, text, AGENT, session)

    def events(self, session: str | None) -> Iterator[Event | Calls]:
        """What the storage says since its mark: of all sessions, or of one and its sub-agents."""
        storage = self.storage
        if not storage.known:
            text = "an OpenCode database without messages in a form known so far"
            yield self._problem("drift", self.source.path, 0, text, None)
        only = self._family(session) if session else ()
        self.repeated = storage.repeated(only)
        forked: list[Message] = []
        unanswered: list[Message] = []
        usual = None if self.full else self._usual
        for found in storage.messages(only, usual):
            if type(found) is Broken:
                yield self._problem("malformed", found.path, found.offset, found.text, None)
            elif type(found) is Message and self._is_copy(found):
                forked.append(found)
            elif type(found) is Message:
                yield from self._message(found, unanswered)
        if forked:
            self._match(forked)
            for copy in forked:
                yield from self._message(copy, unanswered)
        for common, rows in self.calls.items():
            together = self._together(common, rows)
            if together.shared.weak:  # what becomes of each is decided one by one
                yield from together.requests()
            else:
                yield together
        if self.full:
            yield from self._tools(only)
        yield from self._gaps(unanswered)
        yield from self._metas(only)

    def _family(self, session: str) -> tuple[str, ...]:
        """A session and its sub-agents' sessions."""
        return (session, *(name for name in self.sessions if self._lineage(name)[0] == session))

    def _lineage(self, session: str) -> tuple[str, tuple[str, ...]]:
        """The session at the root, and the names of the sub-agents from there down."""
        return lineage(self.sessions, session)

    def _is_copy(self, message: Message) -> bool:
        """Is it older than its session? Then a fork brought it there."""
        session = self.sessions.get(message.session)
        if session is None or session.created is None or message.created is None:
            return False
        return message.created < session.created

    def _match(self, copies: list[Message]) -> None:
        twins = self.storage.twins(copies)
        for copy in copies:
            alike = [one for one in twins.get(copy.created or 0, ()) if _same(one, copy)]
            owners = [one for one in alike if not self._is_copy(one)] or alike
            if owners:
                owner = min(owners, key=lambda one: one.id)
                if owner.id != copy.id:
                    self.copies[copy.id] = owner
                    self.origins.setdefault(copy.session, self._lineage(owner.session)[0])

    def _message(self, message: Message, unanswered: list[Message]) -> Iterator[Event]:
        data = message.data
        role = data.get("role")
        owner = self.copies.get(message.id, message)
        if role == "assistant":
            self.seen[message.session] = values.text(data.get("modelID"))
            calls = self._calls(message)
            if any(call.weak for call in calls):
                unanswered.append(message)
            for number, call in enumerate(calls):
                if call.tokens.odd:
                    text = "a token count is no count; it is left out"
                    where = message.path, message.offset
                    yield self._problem("malformed", *where, text, message.session)
                self._count(message, owner, number, call)
        elif role == "user":
            self.seen.setdefault(message.session, None)
            root, names = self._lineage(owner.session)
            if self.full and not names:
                copied = owner is not message
                path, offset = message.path, message.offset
                yield Turn(owner.id, AGENT, root, path, offset, message.created, copied)

    def _usual(
        self, name: str, session: str, created: int | None, rowid: int, data: dict[str, Any]
    ) -> bool:
        """Counts an answered call, as ``_message`` would, if it is written as most are.

        False: nothing was done. This runs for every message of every session.
        """
        try:
            tokens, model, vendor = data["tokens"], data["modelID"], data["providerID"]
            cache, cwd = tokens["cache"], data["path"]["cwd"]
            read, write, total = cache["read"], cache["write"], tokens["total"]
            fresh, output, reasoning = tokens["input"], tokens["output"], tokens["reasoning"]
        except (KeyError, TypeError):
            return False
        if not fresh.__class__ is output.__class__ is reasoning.__class__ is int:
            return False
        if not read.__class__ is write.__class__ is total.__class__ is int:
            return False
        if not 0 <= (fresh | output | reasoning | read | write | total) < _BOUND:
            return False
        prompt = fresh + read + write
        all_output = total - prompt
        if not 0 < output <= all_output:
            return False
        if not model.__class__ is vendor.__class__ is cwd.__class__ is str:
            return False
        if data.get("role") != "assistant" or data.get("error") or name in self.repeated:
            return False
        if session not in self.begun:
            self.begun[session] = getattr(self.sessions.get(session), "created", None) or 0
        if created is None or created < self.begun[session]:
            return False
        compaction = data.get("summary") is True or data.get("mode") == "compaction"
        common = session, self.source.path, model, vendor, "ok", False, compaction, cwd, None, True
        rows = self.calls.get(common)
        if rows is None:
            if not (model and vendor and cwd):
                return False
            rows = self.calls[common] = []
        self.seen[session] = model
        figures = prompt, read, write, None, all_output, reasoning, None, None, None
        rows.append(_new(Row, (name, rowid, created, *figures)))
        return True

    def _calls(self, message: Message) -> list[_Call]:
        """The calls that this message is evidence of, in order."""
        data = message.data
        tokens = tokens_of(data.get("tokens"))
        error = values.mapping(data.get("error"))
        status = "ok"
        if error:
            status = "cancelled" if error.get("name") == "MessageAbortedError" else "error"
        if tokens.used and message.id not in self.repeated:
            return [_Call(tokens, status)]
        steps: list[Tokens] = []
        open_step = False
        for part in self.storage.steps(message):
            kind = part.get("type")
            if kind == "step-start":
                steps.append(_NONE)
                open_step = True
            elif kind == "step-finish":
                if open_step:
                    steps.pop()
                steps.append(tokens_of(part.get("tokens")))
                open_step = False
        if not steps:
            if tokens.used or error:
                return [_Call(tokens if tokens.used else _NONE, status)]
            ended = values.mapping(data.get("time")).get("completed") is not None
            return [] if ended else [_Call(weak=True)]
        if tokens.used and not any(step.used for step in steps):
            steps[-1] = tokens
        calls = [_Call(step) if step.used else _Call(status="error") for step in steps]
        last = calls[-1].tokens
        calls[-1] = _Call(last, status, weak=not last.used and not error)
        return calls

    def _count(self, message: Message, owner: Message, number: int, call: _Call) -> None:
        """Adds a call to those that it has all but its figures in common with."""
        data, tokens = message.data, call.tokens
        fresh, read, write = tokens.fresh, tokens.read, tokens.write
        own = owner is message
        common = (
            owner.session,
            message.path,
            values.text(data.get("modelID")),
            values.text(data.get("providerID")),
            call.status,
            call.weak,
            data.get("summary") is True or data.get("mode") == "compaction",
            values.text(values.mapping(data.get("path")).get("cwd")),
            values.text(data.get("parentID")) if own and self.full else None,
            own,
        )
        rows = self.calls.get(common)
        if rows is None:
            rows = self.calls[common] = []
        prompt = None if fresh is None else fresh + (read or 0) + (write or 0)
        output = whole_output(tokens, self.sessions.get(owner.session))
        key = f"{owner.id}#{number}" if number else owner.id
        figures = prompt, read, write, None, output, tokens.reasoning
        rows.append(Row(key, message.offset, message.created, *figures, None, None, None))

    def _together(self, common: tuple[Any, ...], rows: list[Row]) -> Calls:
        session, path, model, vendor, status, weak, compaction, cwd, turn, own = common
        root, names = self._lineage(session)
        copilot = vendor is not None and vendor.startswith("github-copilot")
        shared = Request(
            "",
            AGENT,
            root,
            self.source.kind,
            path,
            0,
            model=model,
            provider="copilot" if copilot else _VENDORS.get(vendor or "", vendor),
            billing=events.COPILOT if copilot else events.API,
            status=status,
            surface="compaction" if compaction else "chat",
            subagent=names,
            subagent_id=session if names else None,
            turn=None if names else turn,
            copied=not own,
            weak=weak,
            cwd=cwd,
        )
        return Calls(shared, rows)

    def _tools(self, only: tuple[str, ...]) -> Iterator[ToolCall]:
        for part in self.storage.tools(only):
            data = part.data
            name = values.text(data.get("tool"))
            if data.get("type") != "tool" or name is None:
                continue
            state = values.mapping(data.get("state"))
            time = values.mapping(state.get("time"))
            start, end = values.whole(time.get("start")), values.whole(time.get("end"))
            owner = self.copies.get(part.message)
            root, names = self._lineage(owner.session if owner else part.session)
            message = owner.id if owner else part.message
            status = state.get("status")
            yield ToolCall(
                f"{message}:{values.text(data.get('callID'))}",
                AGENT,
                root,
                part.path,
                part.offset,
                start,
                name,
                subagent=names,
                skill=values.text(values.mapping(state.get("input")).get("name"))
                if name == "skill"
                else None,
                ok=True if status == "completed" else False if status == "error" else None,
                duration_ms=None if start is None or end is None else max(0, end - start),
                copied=owner is not None,
            )

    def _gaps(self, unanswered: list[Message]) -> Iterator[Problem]:
        """Names the calls whose usage will never come; the others are looked at again."""
        told: set[str] = set()
        waiting: list[str] = []
        for message in unanswered:
            if not self.storage.later(message):
                waiting.append(message.id)
            elif message.session not in told:
                told.add(message.session)
                text = "OpenCode was stopped during a call and never wrote what it used"
                root = self._lineage(message.session)[0]
                yield self._problem("gap", message.path, message.offset, text, root)
        self.storage.mark = self.storage.mark._replace(open=tuple(waiting[-OPEN_LIMIT:]))

    def _metas(self, only: tuple[str, ...]) -> Iterator[Meta]:
        for name, session in self.sessions.items():
            if name not in self.seen and not self.storage.changed(session):
                continue
            if only and name not in only:
                continue
            root, names = self._lineage(name)
            if names:
                yield Meta(AGENT, root, self.source.path, names=((name, names[-1]),))
                continue
            yield Meta(
                AGENT,
                name,
                self.source.path,
                title=session.title,
                workspace=session.directory,
                project=session.worktree if session.worktree != "/" else None,
                version=session.version,
                model=session.model or self.seen.get(name),
                created_ms=session.created,
                updated_ms=session.updated,
                origin=session.origin or self.origins.get(name),
            )


def _same(one: Message, copy: Message) -> bool:
    """Are these two rows of one message? A copy taken while it ran lacks the later figures."""
    for name in ("role", "modelID", "providerID"):
        if one.data.get(name) != copy.data.get(name):
            return False
    tokens = copy.data.get("tokens")
    return not tokens_of(tokens).used or one.data.get("tokens") == tokens
