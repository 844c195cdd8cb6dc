"""The index of names and the state database: titles, folders, the tree of threads."""

from __future__ import annotations

from collections.abc import Iterator

from session_usage.events import Event, Meta, Problem, Source
from session_usage.jsonl import Scan, parse
from session_usage.providers.codex.threads import AGENT, spawn
from session_usage.values import mapping, text, whole


def read_index(source: Source, session: str | None) -> Iterator[Event]:
    """Names given by the user; the last line of a thread wins."""
    try:
        for line in Scan(source.path):
            record, reason = parse(line.data)
            if reason:
                words = f"a line is {reason}"
                yield Problem("malformed", source.path, line.offset, words, AGENT)
            thread = text(mapping(record).get("id"))
            title = text(mapping(record).get("thread_name"))
            if thread and title and session in (None, thread):
                yield Meta(AGENT, thread, source.path, title=title, rank=3)
    except OSError as error:
        kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
        words = f"cannot be read: {error.strerror}"
        yield Problem(kind, source.path, None, words, AGENT, session)


_COLUMNS = (
    "id",
    "cwd",
    "title",
    "name",
    "git_branch",
    "cli_version",
    "model",
    "created_at",
    "created_at_ms",
    "updated_at",
    "updated_at_ms",
    "source",
    "agent_nickname",
    "agent_role",
)


def read_threads(source: Source, session: str | None) -> Iterator[Event]:
    """Titles, folders and the tree of threads; ``tokens_used`` counts a fork's parent too."""
    from session_usage import sqlite

    try:
        with sqlite.reading(source.path) as connection:
            threads = {row[1]: row[2:] for row in sqlite.rows(connection, "threads", _COLUMNS)}
            edges = ("parent_thread_id", "child_thread_id")
            parents = {
                row[2]: row[1] for row in sqlite.rows(connection, "thread_spawn_edges", edges)
            }
    except sqlite.Unreadable as error:
        yield Problem(error.kind, source.path, None, str(error), AGENT, session)
        return
    for thread, row in threads.items():
        cwd, title, name, branch, version, model, *times, origin, nickname, role = row
        if thread not in parents and text(origin) and origin.startswith("{"):
            about, _ = parse(origin.encode())
            above = text(spawn({"source": about}).get("parent_thread_id"))
            if above:
                parents[thread] = above
        root, steps = thread, 0
        while root in parents and steps < 64:
            root, steps = parents[root], steps + 1
        if session not in (None, root):
            continue
        if root != thread:
            named = role if role and role != "default" else nickname
            if text(named):
                yield Meta(AGENT, root, source.path, names=((thread, named),))
            continue
        created, created_ms, updated, updated_ms = map(whole, times)
        yield Meta(
            AGENT,
            thread,
            source.path,
            title=text(title),
            workspace=text(cwd),
            branch=text(branch),
            version=text(version),
            model=text(model),
            created_ms=created_ms or (created * 1000 if created else None),
            updated_ms=updated_ms or (updated * 1000 if updated else None),
        )
        if text(name):
            yield Meta(AGENT, thread, source.path, title=name, rank=3)
