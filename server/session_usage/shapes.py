"""Sessions as the dicts of the Python API: snake_case, USD, three levels of detail.

The names are those that scripts for Copilot's logs already use: ``estimated_usd`` holds the
best known amount, billed or not, so that a session by our own rules also says its ``basis``,
the ``billed_usd`` in it, the exact ``nano_aiu`` and how many ``unknown_requests`` are not in
it. Amounts are rounded here and only here: totals to 4 decimals, rows to 6, ratios to 3.

In the compatibility mode (``fallback="default"``) the dicts are those of older tools: no
further fields, every line of a log counts, missing counts are 0, utility models without a
bill are left out, and unknown models are priced at a guessed rate and named for it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from session_usage import facts, money
from session_usage.errors import UsageError
from session_usage.events import BILLED, COPILOT, Counter, Event, Request, ToolCall
from session_usage.jsonl import mapping, whole
from session_usage.pricing import Prices, Quote, is_utility
from session_usage.reconcile import Session, reconcile
from session_usage.report import DETAILS, Amount, amounts, times
from session_usage.usage import Tally

SHORT = {"copilot-vscode": "vscode", "copilot-cli": "cli"}
"""Agents as the API has always called them."""

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
_TOKENS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cached_tokens": "cache_read_tokens",
}
_NUMBERED = re.compile(
    r"(.+?)[^0-9A-Za-z]+functions[^0-9A-Za-z]+runSubagent[^0-9A-Za-z]+([0-9A-Za-z]+)"
)


class Subject(NamedTuple):
    """One session to be shaped: its events, where it lies, and by which rules."""

    agent: str
    id: str
    events: list[Event]
    folder: str
    source: str
    prices: Prices
    note: str
    """One line on the prices used."""
    compat: bool = False


def stamp(at_ms: int | None) -> str | None:
    """Epoch milliseconds as UTC text in whole seconds, ``2026-09-01T10:00:00Z``."""
    import time

    if at_ms is None:
        return None
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_ms // 1000))
    except (OverflowError, ValueError, OSError):
        return None


def seconds(first_ms: int | None, last_ms: int | None) -> int | None:
    """The time between two moments in whole seconds; None unless both are known."""
    return None if first_ms is None or last_ms is None else round((last_ms - first_ms) / 1000)


def usd(nano: int | None, digits: int) -> float | None:
    """Nano-AIU as USD, rounded as floats are, so that figures equal those of older tools."""
    return None if nano is None else round(nano / money.NANO_PER_USD, digits)


def ratio(cached: int | None, whole: int | None) -> float | None:
    """Share of the prompt that came from the cache: 3 decimals, never above 1 (RULES R15)."""
    if cached is None or whole is None:
        return None
    return round(min(cached, whole) / whole, 3) if whole else 0.0


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
        return _cli(subject, session)
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


class _Sum(Tally):
    """A tally that also adds up dollars, for figures in the manner of older tools."""

    __slots__ = ("dollars",)

    def __init__(self) -> None:
        super().__init__()
        self.dollars = 0.0


class _Rows:
    """The priced usage of a session, added up in whatever way."""

    def __init__(self, priced: list[Amount], compat: bool) -> None:
        self.priced = priced
        self.compat = compat

    def by(self, value: Callable[[Any], Any]) -> dict[Any, _Sum]:
        """One tally for each value, in order of appearance."""
        rows: dict[Any, _Sum] = {}
        for usage, quote in self.priced:
            row = rows.setdefault(value(usage), _Sum())
            row.add(usage, quote.nano_aiu, quote.basis, quote.billing)
            if self.compat:
                row.dollars += _dollars(usage, quote)
        return rows

    def usd(self, row: _Sum, digits: int) -> float | None:
        """The amount of a row, rounded."""
        if self.compat and row.nano_aiu is not None:
            return round(row.dollars, digits)
        return usd(row.nano_aiu, digits)

    def total(self) -> _Sum:
        return self.by(lambda usage: None).get(None) or _Sum()

    def billed(self) -> int | None:
        """The part of the amount that is the server's own figure."""
        found = [quote.nano_aiu for _, quote in self.priced if quote.basis == BILLED]
        return sum(amount or 0 for amount in found) if found else None

    def guessed(self) -> list[str]:
        """Models priced at the guessed default rate."""
        return sorted(
            {_model(usage) for usage, quote in self.priced if "default rate" in quote.assumptions}
        )

    def row(self, tally: _Sum) -> dict[str, Any]:
        """A row of a breakdown."""
        row: dict[str, Any] = {
            name: getattr(tally, field) for name, field in _TOKENS.items()
        }  # fmt: skip
        row["llm_calls"] = tally.requests
        row["estimated_usd"] = self.usd(tally, 6)
        if not self.compat:
            row["nano_aiu"] = tally.nano_aiu
            row["basis"] = tally.basis
        return row

    def summary(self, calls: int | None) -> dict[str, Any]:
        """The ``total`` of a session."""
        tally = self.total()
        total: dict[str, Any] = {name: getattr(tally, field) for name, field in _TOKENS.items()}
        total["llm_calls"] = calls
        total["estimated_usd"] = self.usd(tally, 4)
        total["cache_ratio"] = ratio(tally.cache_read_tokens, tally.input_tokens)
        if not self.compat:
            total["nano_aiu"] = tally.nano_aiu
            total["basis"] = tally.basis
            total["billed_usd"] = usd(self.billed(), 4)
            total["unknown_requests"] = tally.unknown_requests
        return total


def _dollars(usage: Request | Counter, quote: Quote) -> float:
    """An amount as older tools compute it: in floating point, class by class.

    Only where the exact figure lies on the edge between two last digits does it matter.
    """
    rate = quote.rate
    if rate is None or usage.agent != "copilot-vscode":
        return (quote.nano_aiu or 0) / money.NANO_PER_USD
    price = [(p or 0) / money.NANO_PER_USD for p in (rate.input, rate.cache_read, rate.output)]
    cached = usage.cache_read_tokens or 0
    fresh = max(0, (usage.input_tokens or 0) - cached)
    dollars = fresh * price[0] / 1e6 + cached * price[1] / 1e6
    dollars += (usage.output_tokens or 0) * price[2] / 1e6
    premium = (rate.cache_write or 0) / money.NANO_PER_USD - price[0]
    return dollars + fresh * premium / 1e6 if premium > 0 else dollars


def _model(usage: Request | Counter) -> str:
    return usage.model or "unknown"


def _dearest(rows: dict[Any, _Sum]) -> list[tuple[Any, _Sum]]:
    """The most expensive first, unknown amounts last, else in order of appearance."""
    return sorted(
        rows.items(), key=lambda item: -1 if item[1].nano_aiu is None else item[1].nano_aiu,
        reverse=True,
    )  # fmt: skip


def _base(subject: Subject, session: Session, rows: _Rows) -> dict[str, Any]:
    base: dict[str, Any] = {
        "session_id": subject.id,
        "session_dir": subject.folder,
        "provider": SHORT.get(subject.agent, subject.agent),
        "source": subject.source,
        "title": session.meta.title,
        "fallback_pricing_models": rows.guessed(),
        "pricing_note": subject.note,
    }
    if not subject.compat:
        base["unpriced_models"] = sorted(
            {_model(usage) for usage, quote in rows.priced if quote.nano_aiu is None}
        )
    return base


# VS Code, and every agent whose log has a line for each call


def _chat(subject: Subject, session: Session) -> dict[str, Any]:
    rows = _Rows(list(amounts(session, subject.prices)), subject.compat)
    logs = dict.fromkeys(
        event.path
        for event in subject.events
        if isinstance(event, Request | ToolCall) and event.path.endswith(".jsonl")
    )
    logs.update(dict.fromkeys(_logs_in(subject)))
    said = facts.chat(sorted(logs)) if subject.agent == "copilot-vscode" else facts.chat(())
    first, last = said.first_ms, said.last_ms
    if first is None and not subject.compat:
        first, last = times(session)
    calls = said.calls_ms or [r.started_ms for r in session.requests if r.started_ms is not None]
    models = _dearest(rows.by(_model))
    result = _base(subject, session, rows)
    total = rows.summary(rows.total().requests)
    if subject.compat:
        for name in (*_TOKENS, "estimated_usd", "cache_ratio"):
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


def _logs_in(subject: Subject) -> list[str]:
    from session_usage.places import entries

    if subject.agent != "copilot-vscode" or os.path.basename(subject.folder) != subject.id:
        return []
    return [entry.path for entry in entries(subject.folder) if entry.name.endswith(".jsonl")]


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


def _files(rows: _Rows, session: Session) -> list[dict[str, Any]]:
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
            prompts[_model(usage)] = prompts.get(_model(usage), 0) + (usage.input_tokens or 0)
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


def _skills(rows: _Rows, session: Session, said: facts.Chat) -> dict[str, Any]:
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
            {"skill": name, **rows.row(tally)} for name, tally in _dearest(rows.by(skill))
        ],
        "tool_breakdown": facts.tool_rows(counts),
    }


# Copilot CLI: totals of runs, and calls where its version writes them


def _cli(subject: Subject, session: Session) -> dict[str, Any]:
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
    rows = _Rows(list(amounts(session, subject.prices)), subject.compat)
    left = [quote.nano_aiu for usage, quote in rows.priced if _is_rest(usage)]
    unattributed = sum(amount or 0 for amount in left) if left else None
    known = [amount for amount in rows.priced if not _is_rest(amount.usage)]
    models = _Rows(known, subject.compat)
    calls = models.total().requests if known else None
    shutdown, checkpoint = journal.shutdown, journal.checkpoint
    total = rows.summary(calls)
    total["unattributed_usd"] = usd(unattributed, 6)
    first, last = journal.started_ms, journal.last_ms
    if not journal.events and not subject.compat:
        first, last = times(session)
    breakdown = _dearest(models.by(_model))
    result = _base(subject, session, rows)
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


def _cli_skills(models: _Rows, session: Session) -> list[dict[str, Any]]:
    """Skills by cost, where this version of the program writes single calls."""
    if not any(request.skill for request in session.requests):
        return []
    found = _dearest(models.by(lambda usage: getattr(usage, "skill", None) or "unknown"))
    return [{"skill": name, **models.row(tally)} for name, tally in found]


def _agents(
    subject: Subject, session: Session, models: _Rows, journal: facts.Journal
) -> list[dict[str, Any]]:
    """Usage by agent and model: from single calls, else from the totals of the last run."""
    if any(request.subagent_id for request in session.requests):
        rows = models

        def agent_of_call(usage: Any) -> str:
            return getattr(usage, "subagent_id", None) or ""

    else:
        counters = _agent_totals(subject, session, journal)
        rows = _Rows([Amount(row, subject.prices.quote(row)) for row in counters], subject.compat)

        def agent_of_call(usage: Any) -> str:
            return "" if usage.key == "main" else str(usage.key)

    grouped = rows.by(lambda usage: (agent_of_call(usage), _model(usage)))
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
    session: Session, journal: facts.Journal, rows: _Rows, unattributed: int | None
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
        _model(usage)
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
