"""What the names and the small files beside a transcript tell."""

from __future__ import annotations

import os
from collections.abc import Iterator

from session_usage.events import Meta, Source
from session_usage.jsonl import first_lines, parse
from session_usage.stream import both_ends
from session_usage.values import instant, mapping, text

AGENT = "claude-code"


def lineage(source: Source) -> tuple[tuple[str, ...], bool]:
    """(names from the first subagent down to this file's, is it a fork of its parent).

    From the small ``.meta.json`` files beside the transcript; empty where there are none.
    """
    folder = os.path.dirname(source.path)
    agent: str | None = os.path.basename(source.path)[len("agent-") : -len(".jsonl")]
    names: list[str] = []
    forked = False
    while agent and len(names) < 32 and "/" not in agent and os.sep not in agent:
        try:
            with open(os.path.join(folder, f"agent-{agent}.meta.json"), "rb") as file:
                about, _ = parse(file.read(1 << 16))
        except OSError:
            break
        about = mapping(about)
        if not names:
            forked = about.get("isFork") is True
        name = text(about.get("agentType"))
        if name is None:
            break
        names.append(name)
        agent = text(about.get("parentAgentId"))
    return tuple(reversed(names)), forked


def glance(source: Source) -> Iterator[Meta]:
    """What the first and the last lines of a transcript say of its session."""
    cwd = branch = version = created = updated = None
    for record in both_ends(source.path):
        cwd = cwd or text(record.get("cwd"))
        named = text(record.get("gitBranch"))
        branch = named if named and named != "HEAD" else branch
        version = text(record.get("version")) or version
        time = instant(record.get("timestamp"))
        if time is not None:
            created = time if created is None else min(created, time)
            updated = time if updated is None else max(updated, time)
    if created is not None:
        yield Meta(
            AGENT,
            source.session or "",
            source.path,
            workspace=cwd,
            branch=branch,
            version=version,
            created_ms=created,
            updated_ms=updated,
        )


def opening(source: Source) -> Iterator[Meta]:
    """What the first line of a transcript that names its folder says of its session."""
    for record in first_lines(source.path):
        cwd = text(record.get("cwd"))
        if cwd:
            branch = text(record.get("gitBranch"))
            yield Meta(
                AGENT,
                source.session or "",
                source.path,
                workspace=cwd,
                branch=branch if branch != "HEAD" else None,
                version=text(record.get("version")),
                created_ms=instant(record.get("timestamp")),
            )
            return
