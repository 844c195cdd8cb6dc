"""One coroutine per request of the protocol. What they return is JSON, or prepared JSON."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from session_usage import protocol as p
from session_usage.errors import BadPattern, NotFound, SessionNotFound, UnknownAgent, UsageError
from session_usage.ledger import care, codec, store
from session_usage.ledger.folds import Filter, Folding
from session_usage.ledger.query import Reader, Ref
from session_usage.providers import ALIASES, agents
from session_usage.report import Fold, iso, session_report
from session_usage.rpc import settings, status
from session_usage.rpc.desk import Call, Desk, Prepared, local_path

if TYPE_CHECKING:
    from session_usage.rpc.server import Server

_PAGE = 50
_BATCH = 10
_FIRST_ANSWER = 20.0
"""Seconds to wait for logs that were never read before an answer is given without them."""
_FIRST_STATUS = 2.0

Handler = Callable[["Server", Any, Call], Awaitable[Any]]
HANDLERS: dict[str, Handler] = {}


def answers(name: str) -> Callable[[Handler], Handler]:
    """Registers the handler of a request."""

    def register(handler: Handler) -> Handler:
        HANDLERS[f"copilotUsage/{name}"] = handler
        return handler

    return register


@answers("listAgents")
async def list_agents(server: Server, params: p.NoParams, call: Call) -> Any:
    desk = server.desk
    await desk.settled(_FIRST_ANSWER)
    on = desk.agents(None)

    def work(reader: Reader) -> list[dict[str, Any]]:
        kinds, counts = reader.kinds(), reader.counts()
        return [
            {
                "agent": provider.agent,
                "label": provider.label,
                "enabled": not on or provider.agent in on,
                "sessions": counts.get(provider.agent, 0),
                "sources": kinds.get(provider.agent, {}),
                "off": [
                    switch._asdict()
                    for switch in provider.switches
                    if counts.get(provider.agent)
                    and not kinds.get(provider.agent, {}).get(switch.kind)
                ],
            }
            for provider in agents()
        ]

    return {"agents": await desk.ask(call, work)}


@answers("listProjects")
async def list_projects(server: Server, params: p.ListProjectsParams, call: Call) -> Any:
    desk = server.desk
    await desk.settled(_FIRST_ANSWER)
    wanted, start = desk.agents(params.agent), _start(params.cursor)
    limit = params.limit or _PAGE
    rows = await desk.ask(call, lambda reader: reader.projects(wanted))
    page = [
        {
            "project": project,
            "agents": sorted(of.split(",")),
            "sessions": sessions,
            "updatedAt": iso(updated or None),
            "nanoAiu": nano,
        }
        for project, of, sessions, updated, nano in rows[start : start + limit]
    ]
    return {"projects": page, "cursor": _next(start, len(page), len(rows)), "total": len(rows)}


@answers("listSessions")
async def list_sessions(server: Server, params: p.ListSessionsParams, call: Call) -> Any:
    desk = server.desk
    await desk.settled(_FIRST_ANSWER)
    since, until = desk.window(params.since, params.until, params.window)
    return await _sessions(
        desk, call, params, text=params.text, fits=_pattern(params.pattern),
        workspace=_workspace(params.workspace), since_ms=since, until_ms=until,
    )  # fmt: skip


@answers("findSessionsByTitle")
async def find_sessions_by_title(
    server: Server, params: p.FindSessionsByTitleParams, call: Call
) -> Any:
    await server.desk.settled(_FIRST_ANSWER)
    return await _sessions(server.desk, call, params, title=params.title)


async def _sessions(desk: Desk, call: Call, params: Any, **chosen: Any) -> Prepared:
    start, limit = _start(params.cursor), params.limit or _PAGE
    wanted = desk.agents(params.agent)
    rows, total = await desk.ask(
        call, lambda reader: reader.sessions(agents=wanted, limit=limit, offset=start, **chosen)
    )
    cursor = codec.dumps(_next(start, len(rows), total))
    return Prepared(
        b'{"sessions":[' + b",".join(rows) + b'],"cursor":' + cursor + b',"total":%d}' % total
    )


@answers("findSessionById")
async def find_session_by_id(server: Server, params: p.FindSessionByIdParams, call: Call) -> Any:
    desk = server.desk
    await desk.settled(_FIRST_ANSWER)
    wanted = desk.agents(params.agent)
    return Prepared(await desk.ask(call, lambda reader: reader.row(reader.find(params.id, wanted))))


@answers("analyzeSession")
async def analyze_session(server: Server, params: p.AnalyzeSessionParams, call: Call) -> Any:
    desk = server.desk
    await desk.settled(_FIRST_ANSWER)
    return await desk.ask(
        call,
        lambda reader: _report(
            desk, reader, desk.find(reader, params.session, params.agent), params
        ),
    )


@answers("analyzeLatest")
async def analyze_latest(server: Server, params: p.AnalyzeLatestParams, call: Call) -> Any:
    desk = server.desk
    await desk.settled(_FIRST_ANSWER)
    folders, storage = desk.folders(params)
    wanted = desk.agents(params.agent)

    def work(reader: Reader) -> dict[str, Any]:
        ref = reader.latest(folders, storage, wanted)
        if ref is None:
            raise SessionNotFound(
                f"no session in {', '.join(folders)}" if folders else "no session"
            )
        return _report(desk, reader, ref, params)

    return await desk.ask(call, work)


def _report(desk: Desk, reader: Reader, ref: Ref, params: Any) -> dict[str, Any]:
    return session_report(reader.load(ref), desk.prices(), params.detail or "compact")


@answers("batchAnalyze")
async def batch_analyze(server: Server, params: p.BatchAnalyzeParams, call: Call) -> Any:
    desk = server.desk
    await desk.settled(_FIRST_ANSWER)
    since, until = desk.window(params.since, params.until, params.window)
    wanted = desk.agents(params.agent)

    def work(reader: Reader) -> dict[str, Any]:
        if params.sessions is not None:
            refs = [desk.find(reader, name, params.agent) for name in params.sessions]
        else:
            rows, _ = reader.sessions(
                agents=wanted, workspace=_workspace(params.workspace), since_ms=since,
                until_ms=until, limit=params.limit or _BATCH,
            )  # fmt: skip
            found = [codec.loads(row) for row in rows]
            refs = [reader.find(row["id"], (row["agent"],)) for row in found]
        fold = Fold(desk.prices())
        reports = []
        for done, ref in enumerate(refs):
            if call.stopped():
                break
            call.progress(done, len(refs))
            session = reader.load(ref)
            fold.add(session)
            reports.append(session_report(session, desk.prices(), params.detail or "minimal"))
        return {"summary": fold.totals.wire(), "sessions": reports}

    return await desk.ask(call, work)


@answers("aggregate")
async def aggregate(server: Server, params: p.AggregateParams, call: Call) -> Any:
    desk = server.desk
    await desk.settled(_FIRST_ANSWER)
    start, end = desk.window(params.since, params.until, params.window)
    chosen = _filter(desk, params)
    by = list(dict.fromkeys(params.by or ()))
    zone = desk.zone()

    def work(reader: Reader) -> dict[str, Any]:
        folding = Folding(reader, desk.prices(), chosen, start, end, zone, call.stopped)
        result = folding.fold(by).wire()
        trouble = reader.problems()
        skipped = [row for row in trouble if row["kind"] in ("missing", "unreadable", "locked")]
        result["skipped"] = [{"path": row["path"], "reason": row["message"]} for row in skipped]
        result["problems"] = trouble
        result["knownSince"] = iso(reader.known_since())
        return result

    return await desk.ask(call, work)


def _filter(desk: Desk, params: p.AggregateParams) -> Filter:
    values: dict[str, list[str]] = {}
    filters = params.filters or p.Filters()
    for name in (
        "model", "provider", "session", "branch", "subagent", "skill", "basis", "billing",
        "surface",
    ):  # fmt: skip
        value = getattr(filters, name)
        if value:
            values[name] = value
    wanted = desk.agents(params.agent)
    for name in filters.agent or ():
        known = ALIASES.get(name, name)
        if known not in {provider.agent for provider in agents()}:
            raise UnknownAgent(f"unknown agent {name!r}")
    if filters.agent:
        named = {ALIASES.get(name, name) for name in filters.agent}
        wanted = tuple(sorted(named & set(wanted or named))) or ("none",)
    return Filter(wanted, _workspace(params.workspace), values)


@answers("explain")
async def explain(server: Server, params: p.ExplainParams, call: Call) -> Any:
    from session_usage.explain import explain as chain

    desk = server.desk
    await desk.settled(_FIRST_ANSWER)

    def work(reader: Reader) -> dict[str, Any]:
        ref = desk.find(reader, params.session, params.agent)
        return chain(reader.load(ref), desk.prices(), params.figure or "total")

    return await desk.ask(call, work)


@answers("readSession")
async def read_session(server: Server, params: p.ReadSessionParams, call: Call) -> Any:
    from session_usage.rpc import messages

    desk = server.desk
    await desk.settled(_FIRST_ANSWER)

    def work(reader: Reader) -> dict[str, Any]:
        return messages.page(
            reader, desk.find(reader, params.session, params.agent),
            roles=list(params.roles or ()), turn=params.turn, limit=params.limit or _PAGE,
            offset=_start(params.cursor), longest=params.max_characters,
        )  # fmt: skip

    return await desk.ask(call, work)


@answers("getStatus")
async def get_status(server: Server, params: p.GetStatusParams, call: Call) -> Any:
    await server.desk.settled(_FIRST_STATUS)
    return await server.board.status(params, call)


@answers("subscribe")
async def subscribe(server: Server, params: p.SubscribeParams, call: Call) -> Any:
    await server.desk.settled(_FIRST_STATUS)
    return await server.board.subscribe(params, call)


@answers("unsubscribe")
async def unsubscribe(server: Server, params: p.UnsubscribeParams, call: Call) -> Any:
    return {"removed": server.board.unsubscribe(params.subscription)}


@answers("getPrices")
async def get_prices(server: Server, params: p.GetPricesParams, call: Call) -> Any:
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
    desk = server.desk
    await desk.settled(_FIRST_ANSWER)

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
    desk = server.desk
    if sum(value is not None for value in (params.session, params.project, params.before)) != 1:
        raise UsageError("forget takes exactly one of session, project and before")
    await desk.settled(_FIRST_ANSWER)
    before_ms = None
    if params.before is not None:
        from session_usage import windows

        before_ms = windows.parse(params.before, 0, desk.zone_name).start_ms
        if before_ms is None or len(params.before) != 10:
            raise UsageError(f"{params.before!r} is no day; write 2026-06-01")

    def work(reader: Reader) -> care.Forgotten:
        opened = store.writer(desk.path)
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
    desk = server.desk
    return {
        "settings": settings.wire(desk.settings),
        "path": settings.path_of(desk.places),
        "problems": desk.problems,
    }


async def execute(server: Server, command: str, params: p.ExecuteParams, call: Call) -> Any:
    """The commands of ``workspace/executeCommand``; each also shows its message."""
    await server.desk.settled(_FIRST_ANSWER)
    if command.endswith(".doctor"):
        found = await doctor(server, p.DoctorParams(), call)
        message = _doctor_line(found)
    else:
        asked = p.GetStatusParams(
            workspace=params.workspace, folders=params.folders, storage=params.storage,
            session=params.session,
        )  # fmt: skip
        found = await server.board.compose(asked, call)
        message = status.line(found)
        if command.endswith(".analyzeCurrentSession"):
            message = _session_text(found["session"])
    server.show(message)
    return {"message": message}


def _doctor_line(found: dict[str, Any]) -> str:
    parts = [f"{len(found['problems'])} problems"]
    for row in found["agents"]:
        parts += [f"{row['label']}: {switch['setting']} is off" for switch in row["off"]]
        parts += row["drift"]
    return "; ".join(parts)


def _session_text(session: dict[str, Any] | None) -> str:
    if session is None:
        return "No session in this folder yet"
    lines = [f"{status.named(session)}: {status.amount(session['totals'])}"]
    lines += [
        f"{row['model']}: {status.amount(row)}, {row['requests']} requests"
        for row in session["models"]
    ]
    return "\n".join(lines)


def _start(cursor: str | None) -> int:
    if not cursor:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 16):
        raise UsageError(f"bad cursor {cursor[:20]!r}; take it from the page before")
    return int(cursor)


def _next(start: int, count: int, total: int) -> str | None:
    return str(start + count) if start + count < total else None


def _workspace(text: str | None) -> str | None:
    return local_path(text) if text else None


def _pattern(text: str | None) -> Callable[[str], object] | None:
    if not text:
        return None
    import re

    try:
        return re.compile(text, re.IGNORECASE).search
    except re.error as error:
        raise BadPattern(f"bad regular expression {text[:60]!r}: {error}") from None
