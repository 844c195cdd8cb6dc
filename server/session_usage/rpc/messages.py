"""What was said in a session, read from its logs when somebody asks: it is kept nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from session_usage.conversations import about, messages_of
from session_usage.errors import SessionNotFound
from session_usage.events import Problem, Turn
from session_usage.ledger.query import Reader, Ref
from session_usage.messages import CHAT, Message
from session_usage.places import Places
from session_usage.report import iso
from session_usage.sessions import Library, SessionRef

Check = Callable[[], object]
"""Raises once nobody wants the answer any more."""


def page(
    reader: Reader,
    ref: Ref,
    places: Places,
    *,
    roles: list[str],
    turn: str | None,
    limit: int,
    offset: int,
    longest: int | None,
    check: Check,
) -> dict[str, Any]:
    """A page of messages in the order of the log; none where the log is gone.

    Those of subagents are left out, and so are uses of tools.
    """
    library, found = _found(ref, places)
    wanted = roles or ["user", "assistant"]
    begins = _begins(reader, ref)
    messages: list[dict[str, Any]] = []
    total = 0
    current: str | None = None
    for one in _checked(messages_of(library, found, about(library, found)), check):
        if isinstance(one, Problem) or one.subagent:
            continue
        begun = begins.get(one.id) or begins.get((one.path, one.offset))
        current = one.turn or begun or current
        fits = one.type == CHAT and one.role in wanted and (turn is None or current == turn)
        if fits and one.content:
            total += 1
            if offset < total <= offset + limit:
                messages.append(_wire(one, current, longest))
    end = offset + limit
    return {"messages": messages, "cursor": str(end) if end < total else None, "total": total}


def _begins(reader: Reader, ref: Ref) -> dict[Any, str]:
    """Key of each turn, by the id and by the place of the message that may begin it."""
    found: dict[Any, str] = {}
    places: dict[tuple[str, int], list[str]] = {}
    for event in reader.facts.events(ref.id, ref.agent):
        if isinstance(event, Turn) and event.session == ref.name:
            found[event.key] = event.key
            places.setdefault((event.path, event.offset), []).append(event.key)
    # rows of a database have all the same place
    found.update((place, keys[0]) for place, keys in places.items() if len(keys) == 1)
    return found


def _wire(one: Message, turn: str | None, longest: int | None) -> dict[str, Any]:
    cut = longest is not None and len(one.content) > longest
    return {
        "role": one.role,
        "turn": turn,
        "at": iso(one.timestamp),
        "text": one.content[:longest] if cut else one.content,
        "truncated": cut,
        "path": one.path,
        "offset": one.offset,
    }


def transcript(ref: Ref, places: Places, start: int, limit: int, check: Check) -> dict[str, Any]:
    """``limit`` characters from ``start`` on of a session's transcript, as ``replay`` writes it.

    Raises SessionNotFound where the log is gone, and UnreadableLog.
    """
    from session_usage import replay

    library, found = _found(ref, places)
    part = _Part(start, start + limit, check)
    try:
        if ref.agent == "agent-log" and found.sources:
            replay.replay_log(found.sources[0].path, part.write, check=check)
        else:
            meta = about(library, found)
            messages = _checked(messages_of(library, found, meta), check)
            first = next(messages, None)
            if first is None and not found.sources:
                raise SessionNotFound(f"no log of session {ref.name!r} is there any more")
            label = library.providers[ref.agent].label
            everything = chain(() if first is None else (first,), messages)
            replay.replay_messages(label, meta, everything, part.write)
    except _Enough:
        return {"text": "".join(part.pieces), "cursor": str(part.end)}
    return {"text": "".join(part.pieces), "cursor": None}


class _Enough(Exception):
    """There is more than fits on the page."""


class _Part:
    """The characters from ``start`` to ``end`` of all that is written."""

    def __init__(self, start: int, end: int, check: Check) -> None:
        self.start = start
        self.end = end
        self.check = check
        self.at = 0
        self.pieces: list[str] = []

    def write(self, piece: str) -> None:
        """Takes the next piece; raises _Enough when it goes beyond the end."""
        self.check()
        begin = self.at
        self.at += len(piece)
        if self.at > self.start:
            self.pieces.append(piece[max(0, self.start - begin) : self.end - begin])
        if self.at > self.end:
            raise _Enough


def _checked(messages: Iterable[Message | Problem], check: Check) -> Iterator[Message | Problem]:
    for one in messages:
        check()
        yield one


def _found(ref: Ref, places: Places) -> tuple[Library, SessionRef]:
    """The session's files that are there; what an agent keeps in a database has none."""
    library = Library(places, ref.agent)
    return library, library.refs.get((ref.agent, ref.name)) or SessionRef(ref.agent, ref.name, ())
