"""What the names and the small files beside a transcript tell."""

from __future__ import annotations

import os

from session_usage.events import Source
from session_usage.jsonl import mapping, parse, text

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
