"""Sessions as the dicts of the Python API: snake_case, USD, three levels of detail.

The names are those that scripts for Copilot's logs already use: ``estimated_usd`` holds the
best known amount, billed or not, so that a session by our own rules also says its ``basis``,
the ``billed_usd`` in it, the exact ``nano_aiu`` and how many ``unknown_requests`` are not in
it.

In the compatibility mode (``fallback="default"``) the dicts are those of older tools: no
further fields, every line of a log counts, missing counts are 0, utility models without a
bill are left out, and unknown models are priced at a guessed rate and named for it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

from session_usage.analysis import facts, runs
from session_usage.analysis.figures import (
    TOKENS,
    Rows,
    Subject,
    base,
    dearest,
    model_of,
    seconds,
    stamp,
)
from session_usage.errors import UsageError
from session_usage.events import Counter, Event, Request, ToolCall
from session_usage.pricing import is_utility
from session_usage.reconcile import Session, reconcile
from session_usage.report import DETAILS, amounts, times

_MINIMAL = (
    "session_id",
    "provider",
    "title",
    "started_at",
    "ended_at",
    "duration_seconds",
    "active_duration_seconds",
    "models",
    "total",
)
_COMPACT = (*_MINIMAL, "fallback_pricing_models", "pricing_note", "skills")
_NUMBERED = re.compile(
    r"(.+?)[^0-9A-Za-z]+functions[^0-9A-Za-z]+runSubagent[^0-9A-Za-z]+([0-9A-Za-z]+)"
)


def level(full: dict[str, Any], detail: str, compat: bool = False) -> dict[str, Any]:
    """``full`` at a level of detail; UsageError for another name.

    In the compatibility mode only ``compact`` has the note on prices.
    """
    if detail not in DETAILS:
        raise UsageError(f"no level of detail {detail!r}; choose minimal, compact or full")
    names = _MINIMAL if detail == "minimal" else _COMPACT
    if detail == "full":
        result = dict(full)
        if compat:
            del result["pricing_note"]
    else:
        result = {name: full[name] for name in names}
        if detail == "compact" and full.get("diagnostics"):
            result["diagnostics"] = full["diagnostics"]
    return result


def shape(subject: Subject) -> dict[str, Any]:
    """Everything the API says of a session; see ``level`` for less."""
    events = _each_line(subject.events) if subject.compat else subject.events
    session = reconcile(subject.agent, subject.id, events)
    if subject.compat:
        session = _as_before(session)
    if subject.agent == "copilot-cli":
        return runs.shape(subject, session)
    return _chat(subject, session)


def _each_line(events: Iterable[Event]) -> list[Event]:
    """Every line is a call of its own: older tools know nothing of keys."""
    return [
        event._replace(key=f"{event.path}@{event.offset}", link=None)
        if isinstance(event, Request)
        else event._replace(key=f"{event.path}@{event.offset}")
        if isinstance(event, ToolCall)
        else event
        for event in events
    ]


def _as_before(session: Session) -> Session:
    if session.agent != "copilot-vscode":
        named = tuple(row for row in session.unattributed if row.model != "")
        return session._replace(unattributed=named)
    kept = [
        request._replace(
            input_tokens=request.input_tokens or 0,
            cache_read_tokens=request.cache_read_tokens or 0,
            output_tokens=request.output_tokens or 0,
        )
        for request in session.requests
        # a utility model with a figure is billed: it stays
        if request.nano_aiu is not None or not is_utility(request.model)
    ]
    kept.sort(key=lambda request: (request.path, request.offset))
    return session._replace(requests=tuple(kept))


def _chat(subject: Subject, session: Session) -> dict[str, Any]:
    rows = Rows(list(amounts(session, subject.prices)), subject.compat)
    said = facts.chat(subject.logs)
    first, last = said.first_ms, said.last_ms
    if first is None and not subject.compat:
        first, last = times(session)
    calls = said.calls_ms or [r.started_ms for r in session.requests if r.started_ms is not None]
    models = dearest(rows.by(model_of))
    result = base(subject, session, rows)
    total = rows.summary(rows.total().requests)
    if subject.compat:
        for name in (*TOKENS, "estimated_usd", "cache_ratio"):
            total[name] = total[name] or (0.0 if name in ("estimated_usd", "cache_ratio") else 0)
    result.update(
        started_at=stamp(first),
        ended_at=stamp(last),
        duration_seconds=seconds(first, last),
        active_duration_seconds=seconds(min(calls, default=None), max(calls, default=None)),
        total=total,
        models=[name for name, _ in models],
        model_breakdown=[{"model": name, **rows.row(tally)} for name, tally in models],
        subagents=_files(rows, session),
        skills=_skills(rows, session, said),
    )
    if not subject.compat:
        result["diagnostics"] = [problem.text for problem in session.problems]
    return result


def agent_of(file: str, names: dict[str, str], child: str | None = None) -> tuple[str, str | None]:
    """Name and id of the agent whose calls a debug log holds, by the log's file name.

    ``names`` are the titles that the parent's log gives its children, ``child`` the id of the
    stream in the file.
    """
    stem = file.removesuffix(".jsonl")
    if stem.startswith("title-"):
        return "title-generation", None
    if not stem.startswith("runSubagent-"):
        return stem, None
    label = stem.removeprefix("runSubagent-")
    numbered = _NUMBERED.fullmatch(label)
    if numbered:
        agent = f"functions.runSubagent:{numbered[2]}"
        return names.get(agent, numbered[1]), agent
    if child and label.endswith(f"-{child}"):
        return names.get(child, label.removesuffix(f"-{child}")), child
    return label, None


def _files(rows: Rows, session: Session) -> list[dict[str, Any]]:
    """One row for each log, by file name; calls without a log by the agent's own path."""
    names = dict(session.meta.names)

    def key(usage: Request | Counter) -> tuple[str, ...]:
        if isinstance(usage, Request) and usage.source == "debug-log":
            return ("", os.path.basename(usage.path), usage.path)
        return ("/".join(usage.subagent) or "main",)

    result = []
    for group, tally in sorted(rows.by(key).items()):
        mine = [usage for usage, _ in rows.priced if key(usage) == group]
        prompts: dict[str, int] = {}
        for usage in mine:
            prompts[model_of(usage)] = prompts.get(model_of(usage), 0) + (usage.input_tokens or 0)
        name, file, agent = group[0], None, None
        if len(group) > 1:
            file = group[1]
            child = next((u.subagent_id for u in mine if isinstance(u, Request)), None)
            name, agent = agent_of(file, names, child)
            if file == f"{session.id}.jsonl":
                name = "main"
        result.append(
            {
                "name": name,
                "subagent_id": agent,
                "file": file,
                "model": max(prompts, key=lambda model: prompts[model]),
                **rows.row(tally),
            }
        )
    return result


def _skills(rows: Rows, session: Session, said: facts.Chat) -> dict[str, Any]:
    names = dict(session.meta.names)

    def skill(usage: Any) -> str:
        if said.commands or said.first_ms is not None:
            return said.skill(usage.started_ms if isinstance(usage, Request) else usage.at_ms)
        return getattr(usage, "skill", None) or "unknown"

    counts: dict[tuple[str, str, str], int] = {}
    for tool in session.tools:
        if session.agent == "copilot-vscode":
            child = tool.subagent[-1] if tool.subagent else None
            agent = agent_of(os.path.basename(tool.path), names, child)[0]
            if agent == session.id:
                agent = "main"
        else:
            agent = "/".join(tool.subagent) or "main"
        key = (tool.name, skill(tool), agent)
        counts[key] = counts.get(key, 0) + 1
    return {
        "detected": sorted({*said.detected, *session.meta.skills}),
        "active": said.commands[-1][1] if said.commands else None,
        "breakdown": [
            {"skill": name, **rows.row(tally)} for name, tally in dearest(rows.by(skill))
        ],
        "tool_breakdown": facts.tool_rows(counts),
    }
