"""Who started whom: threads, their subagents and the times in their ids."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

from session_usage.events import Meta, Source
from session_usage.jsonl import Scan, first_lines, parse
from session_usage.places import entries
from session_usage.stream import both_ends
from session_usage.values import instant, mapping, text, whole

AGENT = "codex"
_STARTED = '{"agent_id"'
_LATEST_MS = 253_402_000_000_000
"""A little before the year 10000."""


def uuid_ms(value: str) -> int | None:
    """The time in a UUID of version 7; None for any other id."""
    if len(value) != 36 or value[14] != "7":
        return None
    try:
        return int(value[:8] + value[9:13], 16)
    except ValueError:
        return None


def tree(meta: dict[str, Any], thread: str, path: str) -> tuple[str, list[str]]:
    """(session at the root of the tree, names from the first subagent down to this thread)."""
    origin = mapping(meta.get("source")).get("subagent")
    if origin is None and meta.get("thread_source") != "subagent":
        return thread, []
    spawned = mapping(mapping(origin).get("thread_spawn"))
    role = text(meta.get("agent_role")) or text(spawned.get("agent_role"))
    nickname = text(meta.get("agent_nickname")) or text(spawned.get("agent_nickname"))
    name = role if role and role != "default" else nickname or text(origin) or "subagent"
    parent = text(meta.get("parent_thread_id")) or text(spawned.get("parent_thread_id"))
    root = text(meta.get("session_id"))
    names: list[str] = []
    depth = whole(spawned.get("depth")) or 1
    if parent and 1 < depth <= 16:
        above = _first_meta(path, parent)
        # a parent as deep as its child would send us round in circles
        if (whole(spawn(above).get("depth")) or 0) < depth:
            parent, names = tree(above, parent, path) if above else (parent, [])
    return root or parent or thread, [*names, name]


def spawn(meta: dict[str, Any]) -> dict[str, Any]:
    """What a subagent's first record says of how it was started."""
    return mapping(mapping(mapping(meta.get("source")).get("subagent")).get("thread_spawn"))


def _first_meta(path: str, thread: str) -> dict[str, Any]:
    """The first record of the thread's rollout, wherever it lies beside that at ``path``."""
    for folder in _folders(path, thread):
        for entry in entries(folder):
            if entry.name.endswith(f"-{thread}.jsonl"):
                for record in first_lines(entry.path):
                    return mapping(record.get("payload"))
    return {}


def _folders(path: str, thread: str) -> Iterator[str]:
    """Where the rollout of a thread may be: beside ``path``, in the folders of the days around
    its birth (they are named in the zone of then), among the archived ones."""
    beside = os.path.dirname(path)
    yield beside
    root, _, day = beside.rpartition(os.sep + "sessions" + os.sep)
    if not day:
        root = os.path.dirname(beside)
    born = uuid_ms(thread)
    for off in (0, -1, 1) if born is not None and 0 <= born < _LATEST_MS else ():
        when = time.gmtime((born or 0) // 1000 + off * 86_400)
        yield os.path.join(root, "sessions", *time.strftime("%Y %m %d", when).split())
    yield os.path.join(root, "archived_sessions")


def opening(source: Source) -> Iterator[Meta]:
    """What the first line of a rollout says of its session."""
    for record in first_lines(source.path):
        meta = mapping(record.get("payload"))
        thread = source.session or ""
        root, names = tree(meta, thread, source.path)
        if names:
            yield Meta(AGENT, root, source.path, names=((thread, names[-1]),))
        else:
            git = mapping(meta.get("git")) or mapping(record.get("git"))  # 0.20 has no payload
            yield Meta(
                AGENT,
                thread,
                source.path,
                workspace=text(meta.get("cwd")),
                branch=text(git.get("branch")),
                version=text(meta.get("cli_version")),
                created_ms=instant(meta.get("timestamp")) or instant(record.get("timestamp")),
                origin=text(meta.get("forked_from_id")),
            )
        return


def started(payload: dict[str, Any]) -> tuple[str, str] | None:
    """(thread, name) of the subagent that a tool's result tells of, if it is that of a start."""
    output = text(payload.get("output"))
    if output is None or not output.startswith(_STARTED):
        return None
    about = mapping(parse(output.encode("utf-8", "replace"))[0])
    thread = text(about.get("agent_id"))
    return (thread, text(about.get("nickname")) or "subagent") if thread else None


def children(source: Source) -> Iterator[tuple[str, str]]:
    """(thread, name) of the subagents that this thread started."""
    try:
        for line in Scan(source.path, (rb"{\"agent_id\"",)):
            record, _ = parse(line.data)
            found = started(mapping(mapping(record).get("payload")))
            if found:
                yield found
    except OSError:
        return


def glance(source: Source) -> Iterator[Meta]:
    """What the first and the last lines of a rollout say of its session."""
    meta: dict[str, Any] = {}
    created = updated = None
    for record in both_ends(source.path):
        payload = mapping(record.get("payload"))
        if not meta and record.get("type") == "session_meta":
            meta = payload
        if created is None:
            created = instant(payload.get("timestamp")) or instant(record.get("timestamp"))
        updated = instant(record.get("timestamp")) or updated
    thread = source.session or ""
    root, names = tree(meta, thread, source.path)
    if names:
        yield Meta(AGENT, root, source.path, names=((thread, names[-1]),))
    elif created is not None:
        yield Meta(
            AGENT,
            thread,
            source.path,
            workspace=text(meta.get("cwd")),
            branch=text(mapping(meta.get("git")).get("branch")),
            version=text(meta.get("cli_version")),
            created_ms=created,
            updated_ms=updated or created,
            origin=text(meta.get("forked_from_id")),
        )
