"""How good the automatic choice of a model is, judged by how often people overrule it.

Agents that route requests by themselves log an ``override`` when the user pins a harness, a
provider or a model instead, even one that would have been chosen anyway, and a
``rejected_override`` when such a pin cannot be met. Each says which axes were overruled, on
which of them the pin agrees with the automatic choice, what kind of prompt it was, and (not
when rejected) how the request ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from session_usage.agent_usage import logs, share, skip
from session_usage.events import Problem
from session_usage.session_log import (
    OVERRIDE,
    REJECTED_OVERRIDE,
    SESSION_END,
    SESSION_START,
    Event,
    stream_events,
)
from session_usage.session_log.payloads import ZERO_TIME, StickyState, UtilizationState
from session_usage.values import mapping, text
from session_usage.windows import Window

OUTCOMES = ("success", "stalled", "failed", "cancelled", "unknown")
_SIZES = ((1_000, "tiny"), (10_000, "small"), (50_000, "medium"), (200_000, "large"))


class RoutingScan(NamedTuple):
    """The requests of one folder of logs, and every override among them."""

    total_requests: int
    overrides: list[Event]
    skipped: list[dict[str, Any]]
    """Logs that could not be read to their end; nothing of them is counted."""


def scan_routing_quality(
    directory: str, window: Window | None = None, check: Callable[[], object] = lambda: None
) -> RoutingScan:
    """Counts the sessions of a folder that started in ``window`` and collects their overrides.

    A log counts as one request if it has a ``session.start``, whatever its payload. Overrides
    logged before the start belong to it too. A missing folder gives zeros. ``check`` is called
    with each event; what it raises ends the scan.
    """
    total = 0
    overrides: list[Event] = []
    skipped: list[dict[str, Any]] = []
    for path in logs(directory):
        start: Event | None = None
        found: list[Event] = []
        for item in stream_events(path):
            check()
            if isinstance(item, Problem):
                skipped.append(skip(item))
                break
            if item.type == SESSION_START:
                start = start or item
            elif item.type in (OVERRIDE, REJECTED_OVERRIDE):
                found.append(item)
        else:
            if start is not None and (window is None or window.contains(start.at_ms)):
                total += 1
                overrides += found
    return RoutingScan(total, overrides, skipped)


def routing_metrics(scan: RoutingScan) -> dict[str, Any]:
    """The figures that follow from a scan.

    ``auto_acceptance_rate``: requests that nobody overruled, of all. ``override_disagreement_
    rate``: overrides that differ from the automatic choice on an axis they overrule, of all
    overrides. ``override_class_breakdown``: overrides and their outcomes by kind of prompt,
    axis and agreement; an override of two axes is in two rows.
    """
    overrides = [mapping(event.data) for event in scan.overrides]
    disagreeing = sum(any(not match for _, match in _axes(data)) for data in overrides)
    total = scan.total_requests
    return {
        "auto_acceptance_rate": share(max(0, total - len(overrides)), total),
        "override_disagreement_rate": share(disagreeing, len(overrides)),
        "override_class_breakdown": _breakdown(overrides),
        "total_requests": total,
        "total_overrides": len(overrides),
    }


def session_routing(path: str, check: Callable[[], object] = lambda: None) -> dict[str, Any] | None:
    """How one session was routed, as ``SessionRouting`` of the protocol; None where its log
    cannot be read or tells nothing of it.

    What its end says counts, and where that is silent its start. ``check`` as above.
    """
    ends: list[Any] = []
    overrides: list[dict[str, Any]] = []
    for item in stream_events(path):
        check()
        if isinstance(item, Problem):
            break  # what came before is good
        if item.type in (SESSION_START, SESSION_END):
            payload = item.payload()
            if payload is not None:
                ends.insert(0, payload)
        elif item.type in (OVERRIDE, REJECTED_OVERRIDE):
            overrides.append(_override(item))
    if not ends and not overrides:
        return None

    def last(name: str, empty: Any = None) -> Any:
        found = (getattr(end, name) for end in ends)
        return next((value for value in found if value != empty and value), empty)

    nowhere, idle = StickyState(), UtilizationState()
    sticky, load = last("sticky", nowhere), last("utilization", idle)
    return {
        "provider": last("selected_provider"),
        "endpoint": last("selected_endpoint"),
        "serverInstance": last("selected_server_instance"),
        "route": last("selected_route"),
        "attemptedProviders": list(last("attempted_providers", ())),
        "failovers": last("failover_count", 0),
        "sticky": None
        if sticky == nowhere
        else {
            "keyPresent": sticky.key_present,
            "assignment": sticky.assignment or None,
            "serverInstance": sticky.server_instance or None,
            "reason": sticky.reason or None,
            "bonus": sticky.bonus,
        },
        "utilization": None
        if load == idle
        else {
            "source": load.source or None,
            "freshness": load.freshness or None,
            "activeRequests": load.active_requests,
            "queuedRequests": load.queued_requests,
            "maxConcurrency": load.max_concurrency,
            "cachePressure": load.cache_pressure,
            "observedAt": None if load.observed_at == ZERO_TIME else load.observed_at,
        },
        "overrides": overrides,
    }


def _override(event: Event) -> dict[str, Any]:
    data = mapping(event.data)
    axes = _axes(data)
    status = text(mapping(data.get("outcome")).get("status"))
    return {
        "rejected": event.type == REJECTED_OVERRIDE,
        "axes": [axis for axis, _ in axes],
        "agreed": [axis for axis, match in axes if match],
        "promptFeatureBucket": _bucket(mapping(data.get("prompt_features"))),
        "outcome": status if status in OUTCOMES else "unknown",
    }


def _breakdown(overrides: list[dict[str, Any]]) -> list[dict[str, Any]]:
    cells: dict[tuple[str, str, bool], dict[str, int]] = {}
    for data in overrides:
        bucket = _bucket(mapping(data.get("prompt_features")))
        status = text(mapping(data.get("outcome")).get("status"))
        outcome = status if status in OUTCOMES else "unknown"
        for axis, match in _axes(data):
            cell = cells.setdefault((bucket, axis, match), dict.fromkeys(OUTCOMES, 0))
            cell[outcome or "unknown"] += 1
    return [
        {
            "prompt_feature_bucket": bucket,
            "axis": axis,
            "match": match,
            "count": sum(cell.values()),
            **{f"{outcome}_outcomes": count for outcome, count in cell.items()},
        }
        for (bucket, axis, match), cell in sorted(cells.items())
    ]


def _axes(data: dict[str, Any]) -> list[tuple[str, bool]]:
    """The overruled axes of an override, and whether the pin agrees with the choice there."""
    named = data.get("axes_overridden")
    matches = mapping(data.get("match_per_axis"))
    axes = named if type(named) is list else []
    return [(axis, matches.get(axis) is True) for axis in axes if text(axis)]


def _bucket(features: dict[str, Any]) -> str:
    tokens = features.get("estimated_tokens")
    if type(tokens) is int:
        size = next((name for limit, name in _SIZES if tokens < limit), "huge")
    else:
        size = "unknown"
    tools = "yes" if features.get("requires_tools") is True else "no"
    return f"tokens={size},tools={tools},reasoning={text(features.get('reasoning')) or 'none'}"
