"""What a status bar shows, and who is told when it changes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from session_usage import pricing
from session_usage.errors import SessionNotFound, SessionUsageError
from session_usage.events import Request
from session_usage.ledger import codec
from session_usage.ledger.filters import Filter
from session_usage.ledger.folds import Folding
from session_usage.ledger.query import Reader, Ref
from session_usage.money import NANO_PER_CREDIT, NANO_PER_USD
from session_usage.providers import agents
from session_usage.reconcile import figures
from session_usage.report import iso, session_report
from session_usage.rpc.desk import Call, Desk
from session_usage.rpc.link import AGENT, Snapshot
from session_usage.usage import Tally

if TYPE_CHECKING:
    from session_usage.pricing import Prices
    from session_usage.reconcile import Session
    from session_usage.windows import Window

_RECENT_MS = 30 * 86_400_000
"""An agent is in use when it did something in this time."""


def compose(
    desk: Desk,
    reader: Reader,
    params: Any,
    call: Call,
    indexing: bool,
    live: Snapshot | None = None,
) -> dict[str, Any]:
    """The status of a window, as the protocol's ``Status``; with calls that a CLI has told of
    and its log not yet."""
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
    if live is not None:
        for session, fresh in unlogged(desk, reader, live):
            for tally, window in ((today, day), (spent, month)):
                _add(tally, session, fresh, window, prices)
    ref = _current(desk, reader, params)
    shown, cache = (None, None) if ref is None else _session(desk, reader, ref, now_ms, live)
    off = switched_off(reader, now_ms)
    problems = reader.trouble()
    return {
        "session": shown,
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
        "cache": cache,
        **({"live": live.status} if live is not None else {}),
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


def unlogged(desk: Desk, reader: Reader, live: Snapshot) -> Iterator[tuple[Session, list[Request]]]:
    """Sessions as the ledger has them, each with the calls of it that only a CLI has told of.

    A session that the ledger does not have is new, or not to be counted: it comes later or not.
    """
    chosen = desk.agents(None)
    if chosen and AGENT not in chosen:
        return
    for name in dict.fromkeys(request.session for request in live.requests):
        try:
            ref = reader.find(name or "", (AGENT,))
        except SessionUsageError:
            continue
        logged = reader.load(ref)
        both = reader.load(ref, live.of(ref.name))
        before = {request.key for request in logged.requests}
        after = {request.key for request in both.requests}
        # a line of the database is the same call under another key
        absorbed = [request for request in logged.requests if request.key not in after]
        fresh = [request for request in both.requests if request.key not in before]
        for old in absorbed:
            same = next((new for new in fresh if figures(new) == figures(old)), None)
            if same is not None:
                fresh.remove(same)
        yield logged, fresh


def _add(
    tally: Tally, session: Session, fresh: list[Request], window: Window, prices: Prices
) -> None:
    inside = [request for request in fresh if _inside(window, request)]
    for request in inside:
        quote = prices.quote(request)
        tally.add(request, quote.nano_aiu, quote.basis, quote.billing)
    if inside and not any(_inside(window, request) for request in session.requests):
        tally.sessions += 1


def _inside(window: Window, request: Request) -> bool:
    return request.started_ms is not None and window.contains(request.started_ms)


def _session(
    desk: Desk, reader: Reader, ref: Ref, now_ms: int, live: Snapshot | None
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """(the session, its cache clock); None for what there is not."""
    more = live.of(ref.name) if live is not None and ref.agent == AGENT else []
    session = reader.load(ref, more)
    report = session_report(session, desk.prices(), "compact")
    try:
        row = codec.loads(reader.row(ref))
    except SessionNotFound:  # forgotten while this was being put together
        return None, None
    last = max(
        (r for r in session.requests if r.started_ms is not None),
        key=lambda request: request.started_ms or 0,
        default=None,
    )
    shown = {
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
    return shown, _cache(desk, reader, ref, session, now_ms, live)


def _cache(
    desk: Desk, reader: Reader, ref: Ref, session: Session, now_ms: int, live: Snapshot | None
) -> dict[str, Any] | None:
    journals = reader.offsets("journal", ref)
    if not journals:
        return None
    from session_usage.live import clock

    known = {}
    for path in journals:
        known.update(desk.journals.caches(path))
    if live is not None and live.session == ref.name:
        known.update(live.caches)
    found = clock.next_turn(known, session.requests, desk.prices(), now_ms)
    return None if found is None else found.wire()


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
