"""The cumulative figures of a journal: shutdowns and checkpoints."""

from __future__ import annotations

import re
from typing import Any

from session_usage.events import BYOK, COPILOT, Counter, Meta, Source
from session_usage.money import nano
from session_usage.providers.copilot_cli.state import AGENT, Data, Events, State, problem
from session_usage.values import instant, mapping, text, whole

_new = tuple.__new__
_TOTAL = re.compile(rb'"totalNanoAiu":\s*([0-9.eE+-]+)')
_STAMP = re.compile(rb'"timestamp":\s*"([^"]{20,30})"')
_SHUTDOWN_FACTS = ("totalPremiumRequests", "totalApiDurationMs", "shutdownType", "codeChanges")


def checkpoint(source: Source, state: State, offset: int, event: Data, data: Data) -> Events:
    """``session.usage_checkpoint``: a running total."""
    total = data.get("totalNanoAiu")
    yield from _running_total(source, state, offset, instant(event.get("timestamp")), total)


def checkpoint_glance(source: Source, state: State, offset: int, line: bytes) -> Events:
    """The same without parsing: these lines hold tens of kB of prompt cache hashes."""
    total = _TOTAL.search(line)
    stamps = _STAMP.findall(line[-400:]) or _STAMP.findall(line[:400])
    at_ms = instant(stamps[-1].decode("ascii", "replace")) if stamps else None
    try:
        value = float(total[1]) if total else None
    except ValueError:
        value = None
    yield from _running_total(source, state, offset, at_ms, value)


def _running_total(
    source: Source, state: State, offset: int, at_ms: int | None, total: Any
) -> Events:
    figure = nano(total)
    owner, copied = state.owner(at_ms)
    if figure and not copied:
        yield _new(
            Counter,
            (
                f"checkpoint:{owner}@{offset}", AGENT, owner, "checkpoint", source.path, offset,
                at_ms, "total", f"checkpoint@{offset}", state.run_ms, None, COPILOT,
                None, None, None, None, None, None, figure, None, (),
                "calls that no line of the log describes", False, "ok",
            ),
        )  # fmt: skip


def shutdown(source: Source, state: State, offset: int, event: Data, data: Data) -> Events:
    """``session.shutdown``: totals by model and by subagent."""
    at_ms = instant(event.get("timestamp"))
    owner, copied = state.owner(at_ms)
    if copied:
        return
    metrics = mapping(data.get("modelMetrics"))
    whole_figure = nano(data.get("totalNanoAiu"))
    byok = _is_byok(state, metrics, whole_figure)
    group = f"shutdown@{offset}"
    fixed = (AGENT, owner, "shutdown", source.path, offset, at_ms)
    billing = BYOK if byok else COPILOT
    told = state.output or None

    def row(scope: str, model: str | None, metric: Any, subagent: tuple[str, ...] = ()) -> Counter:
        metric = mapping(metric)
        used, count = mapping(metric.get("usage")).get, mapping(metric.get("requests"))
        inputs, output = whole(used("inputTokens")), whole(used("outputTokens"))
        figure = nano(metric.get("totalNanoAiu"))
        write = whole(used("cacheWriteTokens"))
        if write == 0 and state.counts_no_writes:
            write = None
        if not figure and (inputs or output):
            figure = None  # a counter's 0 beside tokens is no bill (RULES R6)
        return _new(
            Counter,
            (
                f"{group}:{scope}:{'/'.join(subagent)}:{model}", *fixed, scope, group,
                state.run_ms, model, billing, whole(count.get("count")),
                inputs, whole(used("cacheReadTokens")), write, output,
                whole(used("reasoningTokens")), figure, told, subagent,
                "calls known only from the totals written when a run ended", False, "ok",
            ),
        )  # fmt: skip

    for model, metric in metrics.items():
        if type(metric) is not dict:
            yield problem(source, state, "malformed", offset, "the totals of a model are no object")
            continue
        yield row("session", model, metric)
    for agent_id, agent in mapping(data.get("agentMetrics")).items():
        name = () if agent_id == "main" else (text(mapping(agent).get("agentName")) or agent_id,)
        for model, metric in mapping(mapping(agent).get("modelMetrics")).items():
            yield row("agent", model, metric, name)
    if whole_figure:
        yield row("session", None, {"totalNanoAiu": whole_figure})
    state.output = 0  # here, too: the line that begins the next run may be damaged
    yield Meta(
        AGENT, state.session, source.path, updated_ms=at_ms, rank=1,
        facts=tuple(
            (name, data[name])
            for name in _SHUTDOWN_FACTS
            if name in data
        ),
    )  # fmt: skip


def _is_byok(state: State, metrics: Data, figure: int | None) -> bool:
    """Were these totals run up with the user's own key? Versions before 1.0.102 do not say so.

    Seen in all of them: with Copilot's models the amount is above 0 and itemised in
    ``tokenDetails``; before there were amounts, Copilot's model was named in session.start.
    """
    rows = [mapping(metric) for metric in metrics.values()]
    if figure or not rows or any("tokenDetails" in row for row in rows):
        return False
    if any(mapping(row.get("requests")).get("cost") for row in rows):
        return False
    priced = any("totalNanoAiu" in row for row in rows)
    used = any(mapping(row.get("usage")).get("inputTokens") for row in rows)
    return (priced and used) or state.byok
