"""Sessions of Copilot CLI as dicts: totals of runs, and calls where its version writes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from session_usage import money
from session_usage.analysis import facts
from session_usage.analysis.figures import (
    Rows,
    Subject,
    base,
    dearest,
    model_of,
    seconds,
    stamp,
    usd,
)
from session_usage.events import COPILOT, Counter, Request
from session_usage.reconcile import Session
from session_usage.report import Amount, amounts, times
from session_usage.values import mapping, whole


def shape(subject: Subject, session: Session) -> dict[str, Any]:
    """Everything the API says of a CLI session."""
    journal = facts.Journal(subject.source)
    usages = (*session.requests, *session.unattributed)
    if not usages:
        # a run that used nothing says so in zeros
        zeros = tuple(
            event
            for event in subject.events
            if isinstance(event, Counter) and event.scope == "session" and event.model
        )
        session = session._replace(unattributed=zeros)
    rows = Rows(list(amounts(session, subject.prices)), subject.compat)
    left = [quote.nano_aiu for usage, quote in rows.priced if _is_rest(usage)]
    unattributed = sum(amount or 0 for amount in left) if left else None
    known = [amount for amount in rows.priced if not _is_rest(amount.usage)]
    models = Rows(known, subject.compat)
    calls = models.total().requests if known else None
    shutdown, checkpoint = journal.shutdown, journal.checkpoint
    total = rows.summary(calls)
    total["unattributed_usd"] = usd(unattributed, 6)
    first, last = journal.started_ms, journal.last_ms
    if not journal.events and not subject.compat:
        first, last = times(session)
    breakdown = dearest(models.by(model_of))
    result = base(subject, session, rows)
    result.update(
        title=session.meta.title or journal.title,
        started_at=_started(subject, session, first),
        ended_at=stamp(last),
        duration_seconds=seconds(first, last),
        active_duration_seconds=_active(shutdown),
        total=total,
        models=sorted({*journal.models, *(name for name, _ in breakdown)} - {""}),
        model_breakdown=[{"model": name, **models.row(tally)} for name, tally in breakdown],
        subagents=_agents(subject, session, models, journal),
        skills={
            "detected": sorted({*journal.detected, *session.meta.skills}),
            "active": journal.active(),
            "breakdown": _cli_skills(models, session),
            "tool_breakdown": journal.tool_rows(),
        },
        cwd=journal.context.get("cwd") or session.meta.workspace,
        git_root=session.meta.project or journal.context.get("gitRoot"),
        branch=session.meta.branch or journal.context.get("branch"),
        provider_usage={
            "code_changes": (shutdown or {}).get("codeChanges"),
            "resume_count": journal.resumes,
            "shutdown_type": (shutdown or {}).get("shutdownType"),
            "subagents": journal.subagents(),
            "total_nano_aiu": rows.billed(),
            "total_premium_requests": (shutdown or checkpoint or {}).get("totalPremiumRequests"),
        },
        diagnostics=list(_diagnostics(session, journal, rows, unattributed)),
    )
    return result


def _is_rest(usage: Request | Counter) -> bool:
    """A remainder that no model, agent or skill accounts for."""
    return isinstance(usage, Counter) and usage.model is None


def _active(shutdown: dict[str, Any] | None) -> int | None:
    spent = (shutdown or {}).get("totalApiDurationMs")
    return round(spent / 1000) if isinstance(spent, int | float) else None


def _started(subject: Subject, session: Session, first: int | None) -> str | None:
    """When the session began: by its own catalogue entry, else by its first run."""
    if not subject.compat:
        return stamp(first)
    path = os.path.join(os.path.dirname(subject.source), "workspace.yaml")
    if not os.path.exists(path):
        return stamp(first)
    from datetime import datetime

    from session_usage.tables import read_yaml

    try:
        created = (read_yaml(path) or {}).get("created_at")
    except (AttributeError, ValueError, OSError):
        return stamp(first)
    if isinstance(created, datetime):
        return stamp(session.meta.created_ms)
    # older tools hand on a quoted time as it stands
    return created if isinstance(created, str) else stamp(first)


def _cli_skills(models: Rows, session: Session) -> list[dict[str, Any]]:
    """Skills by cost, where this version of the program writes single calls."""
    if not any(request.skill for request in session.requests):
        return []
    found = dearest(models.by(lambda usage: getattr(usage, "skill", None) or "unknown"))
    return [{"skill": name, **models.row(tally)} for name, tally in found]


def _agents(
    subject: Subject, session: Session, models: Rows, journal: facts.Journal
) -> list[dict[str, Any]]:
    """Usage by agent and model: from single calls, else from the totals of the last run."""
    if any(request.subagent_id for request in session.requests):
        rows = models

        def agent_of_call(usage: Any) -> str:
            return getattr(usage, "subagent_id", None) or ""

    else:
        counters = _agent_totals(subject, session, journal)
        rows = Rows([Amount(row, subject.prices.quote(row)) for row in counters], subject.compat)

        def agent_of_call(usage: Any) -> str:
            return "" if usage.key == "main" else str(usage.key)

    grouped = rows.by(lambda usage: (agent_of_call(usage), model_of(usage)))
    return [
        {
            "name": journal.name(agent),
            "subagent_id": agent or None,
            "agent_type": journal.agents.get(agent, {}).get("name") if agent else None,
            "model": model,
            "cache_write_tokens": tally.cache_write_tokens,
            **rows.row(tally),
        }
        for (agent, model), tally in sorted(grouped.items(), key=lambda item: item[0])
    ]


def _agent_totals(subject: Subject, session: Session, journal: facts.Journal) -> list[Counter]:
    """What the last run's totals say of each agent, the agent's id as ``key``."""
    billing = next((row.billing for row in session.unattributed), COPILOT)
    at_ms = next((row.at_ms for row in session.unattributed), journal.last_ms)
    result = []
    for agent, model, metric in journal.agent_metrics():
        usage = mapping(metric.get("usage"))
        result.append(
            Counter(
                agent, subject.agent, subject.id, "shutdown", subject.source, 0, at_ms, "agent",
                "agents",
                model=model,
                billing=billing,
                requests=whole(mapping(metric.get("requests")).get("count")),
                input_tokens=whole(usage.get("inputTokens")),
                cache_read_tokens=whole(usage.get("cacheReadTokens")),
                cache_write_tokens=whole(usage.get("cacheWriteTokens")),
                output_tokens=whole(usage.get("outputTokens")),
                reasoning_tokens=whole(usage.get("reasoningTokens")),
                nano_aiu=money.nano(metric.get("totalNanoAiu")),
            )
        )  # fmt: skip
    return result


def _diagnostics(
    session: Session, journal: facts.Journal, rows: Rows, unattributed: int | None
) -> Iterator[str]:
    """What is wrong with the log or missing from it, one line each."""
    if journal.malformed:
        yield f"{_count(journal.malformed, 'line')} could not be read as a JSON object"
    for problem in session.problems:
        if not problem.text.startswith("a line is "):
            yield problem.text
    if journal.undated:
        yield f"{_count(journal.undated, 'event')} without a readable time"
    strange = sorted(journal.versions - {"1"})
    if strange:
        yield f"the log's schema version is {', '.join(strange)}; this reader knows version 1"
    partial = sorted(
        model_of(usage)
        for usage, quote in rows.priced
        if isinstance(usage, Counter) and quote.nano_aiu is None and usage.model is not None
        and (usage.input_tokens is None or usage.output_tokens is None)
    )  # fmt: skip
    if partial:
        yield f"incomplete token counts, so no amount, for: {', '.join(partial)}"
    ended = journal.shutdown is not None
    if not rows.priced and not ended:
        yield "no usage was recorded: the session is open, was killed, or used nothing"
    elif not session.requests and not ended:
        yield "only a running total was recorded, without tokens: no run of it ended cleanly"
    if unattributed:
        yield (
            f"{usd(unattributed, 4)} USD of the session's running total belong to no model, "
            "agent or skill in the log; they are in the total"
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
