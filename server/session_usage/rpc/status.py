"""What a status bar shows, and who is told when it changes."""

from __future__ import annotations

import time
from typing import Any

from session_usage import pricing
from session_usage.errors import SessionNotFound
from session_usage.events import Request
from session_usage.ledger import codec
from session_usage.ledger.folds import Filter, Folding
from session_usage.ledger.query import Reader, Ref
from session_usage.money import NANO_PER_CREDIT, NANO_PER_USD
from session_usage.providers import agents
from session_usage.report import iso, session_report
from session_usage.rpc.desk import Call, Desk
from session_usage.usage import Tally

_RECENT_MS = 30 * 86_400_000
"""An agent is in use when it did something in this time."""


def compose(desk: Desk, reader: Reader, params: Any, call: Call, indexing: bool) -> dict[str, Any]:
    """The status of a window, as the protocol's ``Status``."""
    from session_usage import windows

    now_ms = int(time.time() * 1000)
    chosen = Filter(desk.agents(None))
    prices = desk.prices()
    day = windows.parse("today", now_ms, desk.zone_name)
    month = windows.parse("billing-month", now_ms)
    today = Folding(reader, prices, chosen, day.start_ms, day.end_ms, stop=call.stopped).totals()
    spent = Folding(
        reader, prices, chosen, month.start_ms, month.end_ms, stop=call.stopped
    ).totals()
    ref = _current(desk, reader, params)
    off = switched_off(reader, now_ms)
    problems = reader.trouble()
    return {
        "session": None if ref is None else _session(desk, reader, ref),
        "today": {
            "day": (desk.zone().hour(now_ms) or "")[:10],
            "zone": desk.zone_name,
            "totals": today.wire(),
        },
        "month": {
            "month": (iso(month.start_ms) or "")[:7],
            "startsAt": iso(month.start_ms),
            "resetsAt": iso(month.end_ms),
            "totals": spent.wire(),
        },
        "allowance": _allowance(desk, spent, iso(month.end_ms), now_ms),
        "knownSince": iso(reader.known_since()),
        "changedAt": iso(reader.changed_at()),
        "health": _health(indexing, off, reader.drift(), problems),
        "problems": problems,
        "off": off,
        "generation": reader.generation(),
    }


def _current(desk: Desk, reader: Reader, params: Any) -> Ref | None:
    if params.session:
        return desk.find(reader, params.session)
    folders, storage = desk.folders(params)
    return reader.latest(folders, storage, desk.agents(None))


def _session(desk: Desk, reader: Reader, ref: Ref) -> dict[str, Any] | None:
    session = reader.load(ref)
    report = session_report(session, desk.prices(), "compact")
    try:
        row = codec.loads(reader.row(ref))
    except SessionNotFound:  # forgotten while this was being put together
        return None
    last = max(
        (r for r in session.requests if r.started_ms is not None),
        key=lambda request: request.started_ms or 0,
        default=None,
    )
    return {
        **{
            name: row[name]
            for name in (
                "agent", "id", "title", "workspace", "project", "branch", "createdAt",
                "updatedAt",
            )
        },
        "lastRequestAt": iso(last.started_ms) if last else None,
        "totals": report["totals"],
        "models": report["models"],
        "subagents": report["subagents"],
        "lastRequest": _last(desk, session, last),
        "problems": len(session.problems),
    }  # fmt: skip


def _last(desk: Desk, session: Any, last: Request | None) -> dict[str, Any] | None:
    if last is None:
        return None
    alone = session._replace(requests=(last,), unattributed=(), turns=(), tools=())
    row: dict[str, Any] = session_report(alone, desk.prices(), "full")["requests"][0]
    return row


def _allowance(desk: Desk, spent: Tally, resets: str | None, now_ms: int) -> dict[str, Any] | None:
    settings = desk.settings
    name, credits, pooled = None, settings.allowance_credits or 0, False
    if settings.plan and not credits:
        plan = pricing.plan(settings.plan, (iso(now_ms) or "")[:10])
        if plan is not None:
            name, credits, pooled = plan.name, plan.credits, plan.pooled
    if not credits:
        return None
    whole = credits * NANO_PER_CREDIT
    used = spent.copilot_nano_aiu or 0
    return {
        "plan": name,
        "nanoAiu": whole,
        "usedNanoAiu": used,
        "remainingNanoAiu": whole - used,
        "share": round(used / whole, 6),
        "pooled": pooled,
        "basis": spent.basis,
        "resetsAt": resets,
    }


def switched_off(reader: Reader, now_ms: int) -> list[dict[str, Any]]:
    """Settings of agents in use that would make them write a source of which there is none."""
    kinds = reader.kinds()
    result = []
    for provider in agents():
        recent = reader.last_used(provider.agent)
        if recent is None or recent < now_ms - _RECENT_MS:
            continue
        for switch in provider.switches:
            if not kinds.get(provider.agent, {}).get(switch.kind):
                result.append({"agent": provider.agent, **switch._asdict()})
    return result


def _health(indexing: bool, off: list[dict[str, Any]], drift: bool, problems: int) -> str:
    if indexing:
        return "indexing"
    main = {provider.switches[0].kind for provider in agents() if provider.switches}
    if any(switch["kind"] in main for switch in off):
        return "logging-off"
    if drift:
        return "drift"
    return "problems" if problems else "ok"


def stripped(status: dict[str, Any]) -> bytes:
    """What must differ for a change to be worth telling."""
    return codec.dumps({**status, "generation": 0})


def line(status: dict[str, Any]) -> str:
    """The status in one line, for clients that show nothing but messages."""
    session = status["session"]
    parts = []
    if session is not None:
        parts.append(f"{named(session)}: {amount(session['totals'])}")
    parts.append(f"today {amount(status['today']['totals'])}")
    parts.append(f"this month {amount(status['month']['totals'])}")
    return "; ".join(parts)


def named(session: dict[str, Any]) -> str:
    """A session's title, or its id, short enough for one line."""
    text = " ".join((session["title"] or session["id"]).split())
    return text if len(text) <= 60 else text[:59] + "…"


def amount(totals: dict[str, Any]) -> str:
    """Credits and dollars of a row of totals, with the mark of its basis."""
    nano = totals["nanoAiu"]
    if nano is None:
        return "—"
    mark = "~" if totals["basis"] == "estimated" else ""
    least = "≥ " if totals["unknownRequests"] else ""
    credits = nano / NANO_PER_CREDIT
    shown = f"{credits:,.2f}" if credits >= 1 or not nano else f"{credits:.3f}"
    if 0 < credits < 0.0005:
        shown = "<0.001"
    dollars = nano / NANO_PER_USD
    shown_usd = f"${dollars:,.2f}" if dollars >= 1 else f"${dollars:.4f}"
    if 0 < dollars < 0.00005:
        shown_usd = "<$0.0001"
    return f"{least}{mark}{shown} cr ({shown_usd})"
