"""What only a running CLI tells, in plain values: the context window's fill, quota, totals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from session_usage.events import Counter
from session_usage.kinds import SessionEvent
from session_usage.money import nano
from session_usage.providers.copilot_cli.state import AGENT
from session_usage.report import iso
from session_usage.values import instant, mapping, whole


class Context(NamedTuple):
    """How full the context window is (``session.usage_info``); tokens."""

    tokens: int
    limit: int
    system: int | None
    conversation: int | None
    tools: int | None
    """Definitions of tools."""
    at_ms: int | None


class Quota(NamedTuple):
    """One allowance of the account (``account.getQuota``): requests or credits, as its kind has."""

    kind: str
    """``premium_interactions``, ``chat`` or ``completions``."""
    unlimited: bool
    entitlement: float | None
    used: float | None
    remaining_percent: float | None
    overage: float | None
    resets_ms: int | None

    def wire(self) -> dict[str, Any]:
        """As ``Quota`` of the protocol."""
        return {
            "kind": self.kind,
            "unlimited": self.unlimited,
            "entitlement": self.entitlement,
            "used": self.used,
            "remainingPercent": self.remaining_percent,
            "overage": self.overage,
            "resetsAt": iso(self.resets_ms),
        }


def context(event: SessionEvent) -> Context | None:
    """The main agent's context window as ``session.usage_info`` tells it; None if it does not."""
    data = event.data
    tokens, limit = whole(data.get("currentTokens")), whole(data.get("tokenLimit"))
    if event.type != "session.usage_info" or event.agent or tokens is None or not limit:
        return None
    return Context(
        tokens,
        limit,
        whole(data.get("systemTokens")),
        whole(data.get("conversationTokens")),
        whole(data.get("toolDefinitionsTokens")),
        event.at_ms,
    )


def quotas(snapshots: Any) -> tuple[Quota, ...]:
    """The allowances in a ``quotaSnapshots`` object."""
    found = []
    for kind, snapshot in mapping(snapshots).items():
        said = mapping(snapshot)
        unlimited = said.get("isUnlimitedEntitlement") is True
        if not said:
            continue
        found.append(
            Quota(
                kind,
                unlimited,
                _figure(said.get("entitlementRequests")),  # unlimited ones say -1
                _figure(said.get("usedRequests")),
                _figure(said.get("remainingPercentage")),
                _figure(said.get("overage")),
                instant(_day(said.get("resetDate"))),
            )
        )
    return tuple(found)


def total(metrics: Mapping[str, Any], session: str, path: str, at_ms: int | None) -> Counter | None:
    """``session.usage.getMetrics`` as a counter: what the CLI has counted for this session.

    Never added to requests (RULES R4): it tells what was spent before anybody listened. None
    where it has no amount; a 0 beside tokens is none (RULES R6).
    """
    figure = nano(metrics.get("totalNanoAiu"))
    if not figure:
        return None
    return Counter(
        f"live:{session}",
        AGENT,
        session,
        "live",
        path,
        -1,
        at_ms,
        "total",
        "live",
        nano_aiu=figure,
        reason="calls made before this view was connected",
    )


def _figure(value: Any) -> float | None:
    good = type(value) in (int, float) and 0 <= value < float("inf")
    return value if good else None


def _day(value: Any) -> Any:
    """A bare day is its first moment."""
    return f"{value}T00:00:00Z" if type(value) is str and len(value) == 10 else value
