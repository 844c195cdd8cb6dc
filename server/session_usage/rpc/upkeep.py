"""Answers about prices and the ledger itself: what is there, what is wrong, what shall go."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from session_usage import protocol as p
from session_usage.errors import NotFound, UsageError
from session_usage.ledger import care, store
from session_usage.ledger.folds import Folding
from session_usage.ledger.query import Reader
from session_usage.providers import agents
from session_usage.rpc import settings
from session_usage.rpc.desk import Call, Desk, local_path
from session_usage.rpc.registry import FIRST_ANSWER, answers

if TYPE_CHECKING:
    from session_usage.rpc.server import Server


@answers("getPrices")
async def get_prices(server: Server, params: p.GetPricesParams, call: Call) -> Any:
    """The price tables in use, and the plans."""
    from session_usage import pricing, windows
    from session_usage.explain import rate_wire

    if params.on is not None:
        windows.parse(params.on, 0)
        if len(params.on) != 10:
            raise UsageError(f"{params.on!r} is no day; write 2026-11-24")
    rates = server.desk.prices().rates(params.model, params.on)
    if not rates and params.model:
        raise NotFound(f"no price for {params.model!r}")
    plans = [
        {
            "name": plan.name,
            "usdPerMonth": plan.usd_per_month,
            "credits": plan.credits,
            "pooled": plan.pooled,
            "since": plan.since,
            "until": plan.until,
            "promo": plan.promo,
        }
        for plan in pricing.plans()
    ]
    return {"rates": [rate_wire(rate) for rate in rates], "plans": plans}


@answers("pricingStatus")
async def pricing_status(server: Server, params: p.NoParams, call: Call) -> Any:
    """How old the prices are and where they come from."""
    return await server.desk.work(lambda: _pricing_status(server.desk))


def _pricing_status(desk: Desk) -> dict[str, Any]:
    from session_usage import refresh, tables

    found = refresh.status(desk.places.prices())
    if desk.user_file:
        try:
            tables.user_card(desk.user_file)
        except FileNotFoundError:
            found["error"] = found["error"] or f"{desk.user_file}: no such file"
        except ValueError as error:
            found["error"] = found["error"] or str(error)
    return {
        "table": found["table"],
        "source": found["source"],
        "checked": found["checked"],
        "ageDays": found["age_days"],
        "models": found["models"],
        "refreshed": found["refreshed"],
        "path": found["path"],
        "shippedChecked": found["shipped_checked"],
        "error": found["error"],
        "userFile": desk.user_file,
    }


@answers("refreshPricing")
async def refresh_pricing(server: Server, params: p.RefreshPricingParams, call: Call) -> Any:
    """Fetch Copilot's current card. The only request that uses the network."""
    from session_usage import refresh

    desk = server.desk
    url = params.url or refresh.URL
    if url.startswith("http://") and not url.startswith(("http://127.0.0.1", "http://localhost")):
        raise UsageError("the address must begin with https://")
    await desk.work(lambda: refresh.download(desk.places.prices(), url))
    server.indexer.sweep()  # estimates follow the new prices; billed amounts stay
    return await desk.work(lambda: _pricing_status(desk))


@answers("doctor")
async def doctor(server: Server, params: p.DoctorParams, call: Call) -> Any:
    """Which logs exist, what is switched off, what cannot be read."""
    desk = server.desk
    await desk.settled(FIRST_ANSWER)

    def work(reader: Reader) -> dict[str, Any]:
        kinds, counts, problems = reader.kinds(), reader.counts(), reader.problems()
        rows = []
        for provider in agents():
            name, there = provider.agent, kinds.get(provider.agent, {})
            drift = {q["message"] for q in problems if q["kind"] == "drift" and q["agent"] == name}
            rows.append(
                {
                    "agent": name,
                    "label": provider.label,
                    "sessions": counts.get(name, 0),
                    "sources": there,
                    "off": [
                        switch._asdict()
                        for switch in provider.switches
                        if counts.get(name) and not there.get(switch.kind)
                    ],
                    "drift": sorted(drift),
                }
            )
        ledger = {
            **reader.info(),
            "version": store.VERSION,
            "indexing": server.indexer.indexing,
            "writer": server.indexer.writer,
        }
        others = [problem for problem in problems if problem["kind"] != "drift"]
        return {"agents": rows, "problems": others, "ledger": ledger}

    return await desk.ask(call, work)


@answers("reindex")
async def reindex(server: Server, params: p.ReindexParams, call: Call) -> Any:
    """Read every log anew."""
    from session_usage.rpc.server import LedgerBusy

    if not await server.indexer.reindex(call.progress):
        raise LedgerBusy("another process keeps the ledger; try again when it has ended")

    def work(reader: Reader) -> dict[str, Any]:
        totals = Folding(reader, server.desk.prices()).totals()
        return {
            "sessions": sum(reader.counts().values()),
            "requests": totals.requests,
            "problems": len(reader.problems()),
        }

    return await server.desk.ask(call, work)


@answers("forget")
async def forget(server: Server, params: p.ForgetParams, call: Call) -> Any:
    """Take sessions out of the ledger for good; the next scan does not bring them back."""
    desk = server.desk
    if sum(value is not None for value in (params.session, params.project, params.before)) != 1:
        raise UsageError("forget takes exactly one of session, project and before")
    await desk.settled(FIRST_ANSWER)
    before_ms = None
    if params.before is not None:
        from session_usage import windows

        before_ms = windows.parse(params.before, 0, desk.zone_name).start_ms
        if before_ms is None or len(params.before) != 10:
            raise UsageError(f"{params.before!r} is no day; write 2026-06-01")

    def work(reader: Reader) -> care.Forgotten:
        opened = store.writer(desk.path, anew=False)
        try:
            if before_ms is not None:
                return care.forget_before(opened.connection, before_ms)
            if params.project is not None:
                folder = os.path.normpath(local_path(params.project))
                return care.forget_project(opened.connection, folder)
            assert params.session is not None
            ref = desk.find(reader, params.session, params.agent)
            return care.forget(opened.connection, [ref])
        finally:
            opened.connection.close()

    done = await desk.ask(call, work)
    return {"sessions": done.sessions, "requests": done.requests}


@answers("getSettings")
async def get_settings(server: Server, params: p.NoParams, call: Call) -> Any:
    """The settings in force."""
    desk = server.desk
    return {
        "settings": settings.wire(desk.settings),
        "path": settings.path_of(desk.places),
        "problems": desk.problems,
    }
