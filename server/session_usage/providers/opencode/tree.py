"""OpenCode's JSON tree (up to 1.1): a file per session, per message and per part.

A message's id begins with ``msg_`` and 12 hex digits: its time of creation in milliseconds
times 4096, cut to 48 bits. So the files of a time are found without opening any.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import Any

from session_usage import values
from session_usage.places import entries, subfolders
from session_usage.providers.opencode.records import (
    Broken,
    Mark,
    Message,
    Part,
    Session,
    at_least,
    parsed,
)

_HEAD = (1 << 36) - 1
"""What a message's id holds of its milliseconds."""


class Tree:
    """The JSON storage of one session: a file per message, a file per part of a message."""

    kind = "tree"
    known = True

    def __init__(self, path: str, session: str) -> None:
        self.path = path
        self.session = session
        self.root = os.path.dirname(os.path.dirname(path))
        self.mark = Mark()
        self.start = Mark()
        self._sessions: dict[str, Session] | None = None
        self._project = ""

    def sessions(self) -> dict[str, Session]:
        """This session and its parents, by id."""
        if self._sessions is None:
            self._sessions = {}
            wanted: str | None = self.session
            while wanted and wanted not in self._sessions:
                found = self._find(wanted)
                if found is None:
                    break
                self._sessions[wanted] = found
                wanted = found.parent
        return self._sessions

    def _find(self, session: str) -> Session | None:
        for project in subfolders(os.path.join(self.root, "session")):
            found = self._session(os.path.join(project, session + ".json"))
            if found is not None:
                if session == self.session:
                    self._project = project
                return found
        return None

    def _session(self, path: str) -> Session | None:
        data = _read(path)[0]
        name = values.text(data.get("id"))
        if name is None:
            return None
        time = values.mapping(data.get("time"))
        project = os.path.basename(os.path.dirname(path)) + ".json"
        about = _read(os.path.join(self.root, "project", project))[0]
        return Session(
            name,
            values.text(data.get("parentID")),
            values.whole(time.get("created")),
            values.whole(time.get("updated")),
            values.text(data.get("title")),
            values.text(data.get("directory")),
            values.text(about.get("worktree")) if about.get("vcs") else None,
            values.text(data.get("version")),
            None,
            None,
            None,
        )

    def changed(self, session: Session) -> bool:
        """Is it the session being read? Its parents have sources of their own."""
        return session.id == self.session

    def messages(self, _: Collection[str], __: object = None) -> Iterator[Message | Broken]:
        """All messages of the session."""
        os.stat(self.path)  # a folder that is gone is an error, not an empty session
        for entry in entries(self.path):
            if entry.name.endswith(".json"):
                yield self._message(entry.path, self.session)

    def _message(self, path: str, session: str) -> Message | Broken:
        data, wrong = _read(path)
        name = os.path.basename(path)[: -len(".json")]
        if wrong:
            return Broken(path, 0, f"file is {wrong}")
        created = values.whole(values.mapping(data.get("time")).get("created"))
        return Message(values.text(data.get("id")) or name, session, created, 0, path, data)

    def _parts(self, message: str) -> Iterator[Part]:
        for entry in entries(os.path.join(self.root, "part", message)):
            if entry.name.endswith(".json"):
                yield Part(message, self.session, 0, entry.path, _read(entry.path)[0])

    def repeated(self, _: Collection[str]) -> set[str]:
        """All messages, before 1.1 made each step a message of its own."""
        own = self.sessions().get(self.session)
        if own is not None and at_least(own.version, 1, 1):
            return set()
        return {entry.name[: -len(".json")] for entry in entries(self.path)}

    def steps(self, message: Message) -> list[dict[str, Any]]:
        """The parts that begin and end the steps of one message, in order."""
        return [part.data for part in self._parts(message.id)]

    def parts(self, message: Message) -> Iterator[Part]:
        """All parts of one message, in order."""
        return self._parts(message.id)

    def tools(self, _: Collection[str]) -> Iterator[Part]:
        """Uses of tools in the session."""
        for entry in entries(self.path):
            yield from self._parts(entry.name[: -len(".json")])

    def later(self, message: Message) -> bool:
        """Did its session get another answer after this message?"""
        for found in self.messages(()):
            if (
                type(found) is Message
                and found.data.get("role") == "assistant"
                and (found.created or 0) > (message.created or 0)
            ):
                return True
        return False

    def twins(self, copies: Collection[Message]) -> dict[int, list[Message]]:
        """By time of creation, the messages of this project that may be ``copies``' originals."""
        times = {copy.created for copy in copies if copy.created is not None}
        heads = {(time & _HEAD) + late for time in times for late in (-1, 0, 1)}
        found: dict[int, list[Message]] = {}
        for entry in entries(self._project):
            session = entry.name[: -len(".json")]
            for file in entries(os.path.join(self.root, "message", session)):
                if session != self.session and _stamped(file.name) in heads:
                    one = self._message(file.path, session)
                    if type(one) is Message and one.created in times:
                        found.setdefault(one.created, []).append(one)
        for copy in copies:
            if copy.created is not None:
                found.setdefault(copy.created, []).append(copy)
        return found


def _stamped(name: str) -> int:
    """The milliseconds in a message's id, as far as it holds them."""
    try:
        return int(name[4:16], 16) >> 12
    except ValueError:
        return -1


def _read(path: str) -> tuple[dict[str, Any], str | None]:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        return {}, error.strerror or "unreadable"
    return parsed(data)
