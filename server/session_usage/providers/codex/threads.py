"""Who started whom: threads, their subagents and the times in their ids."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from session_usage.events import Meta, Source
from session_usage.jsonl import instant, mapping, parse, text, whole
from session_usage.places import entries
from session_usage.stream import both_ends

AGENT = "codex"


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
        above = _first_meta(os.path.dirname(path), parent)
        # a parent as deep as its child would send us round in circles
        if (whole(spawn(above).get("depth")) or 0) < depth:
            parent, names = tree(above, parent, path) if above else (parent, [])
    return root or parent or thread, [*names, name]


def spawn(meta: dict[str, Any]) -> dict[str, Any]:
    """What a subagent's first record says of how it was started."""
    return mapping(mapping(mapping(meta.get("source")).get("subagent")).get("thread_spawn"))


def _first_meta(folder: str, thread: str) -> dict[str, Any]:
    """The first record of the thread's rollout, if it lies in this folder too."""
    for entry in entries(folder):
        if entry.name.endswith(f"-{thread}.jsonl"):
            try:
                with open(entry.path, "rb") as file:
                    record, _ = parse(file.readline(1 << 20))
            except OSError:
                break
            return mapping(mapping(record).get("payload"))
    return {}


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
