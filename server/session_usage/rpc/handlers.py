"""Answers about sessions: finding, analyzing, following. JSON, or prepared JSON."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from session_usage import protocol as p
from session_usage.errors import SessionNotFound, UnknownAgent, UsageError
from session_usage.ledger import codec
from session_usage.ledger.filters import Filter
from session_usage.ledger.folds import Folding
from session_usage.ledger.query import Reader, Ref
from session_usage.providers import ALIASES, agents
from session_usage.report import Fold, iso, routing, session_report
from session_usage.rpc.desk import Call, Desk, Prepared, local_path
from session_usage.rpc.params import camel
from session_usage.rpc.registry import FIRST_ANSWER, answers
from session_usage.sessions import matcher, once

if TYPE_CHECKING:
    from session_usage.rpc.server import Server

_PAGE = 50
_BATCH = 10
_CHARACTERS = 100_000
_FIRST_STATUS = 2.0
"""Seconds that a status waits for logs that were never read."""


@answers("listAgents")
async def list_agents(server: Server, params: p.NoParams, call: Call) -> Any:
    """What is installed, which sources are there, which setting turns one on."""
    desk = server.desk
    await desk.settled(FIRST_ANSWER)
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
    """Repositories and folders with sessions."""
    desk = server.desk
    await desk.settled(FIRST_ANSWER)
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
    """Sessions, the newest first, a page at a time."""
    desk = server.desk
    await desk.settled(FIRST_ANSWER)
    since, until = desk.window(params.since, params.until, params.window)
    return await _sessions(
        desk, call, params, text=params.text, fits=matcher(params.pattern),
        workspace=_workspace(params.workspace), since_ms=since, until_ms=until,
    )  # fmt: skip


@answers("findSessionsByTitle")
async def find_sessions_by_title(
    server: Server, params: p.FindSessionsByTitleParams, call: Call
) -> Any:
    """Sessions by a part of their title."""
    await server.desk.settled(FIRST_ANSWER)
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
    """One session by its id."""
    desk = server.desk
    await desk.settled(FIRST_ANSWER)
    wanted = desk.agents(params.agent)
    return Prepared(await desk.ask(call, lambda reader: reader.row(reader.find(params.id, wanted))))


@answers("analyzeSession")
async def analyze_session(server: Server, params: p.AnalyzeSessionParams, call: Call) -> Any:
    """One session's report."""
    desk = server.desk
    await desk.settled(FIRST_ANSWER)
    return await desk.ask(
        call,
        lambda reader: _report(
            desk, reader, desk.find(reader, params.session, params.agent), params, call
        ),
    )


@answers("analyzeLatest")
async def analyze_latest(server: Server, params: p.AnalyzeLatestParams, call: Call) -> Any:
    """The report of this window's session."""
    desk = server.desk
    await desk.settled(FIRST_ANSWER)
    folders, storage = desk.folders(params)
    wanted = desk.agents(params.agent)

    def work(reader: Reader) -> dict[str, Any]:
        ref = reader.latest(folders, storage, wanted)
        if ref is None:
            raise SessionNotFound(
                f"no session in {', '.join(folders)}" if folders else "no session"
            )
        return _report(desk, reader, ref, params, call)

    return await desk.ask(call, work)


def _report(desk: Desk, reader: Reader, ref: Ref, params: Any, call: Call) -> dict[str, Any]:
    detail = params.detail or "compact"
    session = reader.load(ref)
    report = session_report(session, desk.prices(), detail)
    if detail == "full":
        report["routing"] = routing(session, call.check)
    return report


@answers("batchAnalyze")
async def batch_analyze(server: Server, params: p.BatchAnalyzeParams, call: Call) -> Any:
    """Several sessions' reports and their sum; a call that two of them have counts once in it."""
    desk = server.desk
    await desk.settled(FIRST_ANSWER)
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
        seen: set[int] = set()
        reports = []
        for done, ref in enumerate(refs):
            if call.stopped():
                break
            call.progress(done, len(refs))
            session = reader.load(ref)
            fold.add(once(session, seen))
            reports.append(session_report(session, desk.prices(), params.detail or "minimal"))
        return {"summary": fold.totals.wire(), "sessions": reports}

    return await desk.ask(call, work)


@answers("aggregate")
async def aggregate(server: Server, params: p.AggregateParams, call: Call) -> Any:
    """Totals of any window, grouped by any dimensions."""
    desk = server.desk
    await desk.settled(FIRST_ANSWER)
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
    """Why a figure is what it is."""
    from session_usage.explain import explain as chain

    desk = server.desk
    await desk.settled(FIRST_ANSWER)

    def work(reader: Reader) -> dict[str, Any]:
        ref = desk.find(reader, params.session, params.agent)
        return chain(reader.load(ref), desk.prices(), params.figure or "total")

    return await desk.ask(call, work)


@answers("readSession")
async def read_session(server: Server, params: p.ReadSessionParams, call: Call) -> Any:
    """The messages of a session, straight from its logs."""
    from session_usage.rpc import messages

    desk = server.desk
    await desk.settled(FIRST_ANSWER)

    def work(reader: Reader) -> dict[str, Any]:
        return messages.page(
            reader, desk.find(reader, params.session, params.agent), desk.places,
            roles=list(params.roles or ()), turn=params.turn, limit=params.limit or _PAGE,
            offset=_start(params.cursor), longest=params.max_characters, check=call.check,
        )  # fmt: skip

    return await desk.ask(call, work)


@answers("replaySession")
async def replay_session(server: Server, params: p.ReplaySessionParams, call: Call) -> Any:
    """A session as a readable transcript, straight from its logs."""
    from session_usage.rpc import messages

    desk = server.desk
    await desk.settled(FIRST_ANSWER)

    def work(reader: Reader) -> dict[str, Any]:
        ref = desk.find(reader, params.session, params.agent)
        start, limit = _start(params.cursor), params.limit or _CHARACTERS
        return messages.transcript(ref, desk.places, start, limit, call.check)

    return await desk.ask(call, work)


@answers("scanRoutingQuality")
async def scan_routing_quality(
    server: Server, params: p.ScanRoutingQualityParams, call: Call
) -> Any:
    """How often people overruled the automatic choice of a model."""
    from session_usage import windows
    from session_usage.routing import RoutingScan, routing_metrics
    from session_usage.routing import scan_routing_quality as scanned

    desk = server.desk
    window = None
    if params.window:
        zone = desk.start.zone or desk.settings.zone or "UTC"
        window = windows.parse(params.window, int(time.time() * 1000), zone)
    folders: tuple[str, ...] = desk.places.agent_log_dirs
    if params.directory:
        folders = (local_path(params.directory),)
        if not os.path.isdir(folders[0]):
            raise UsageError(f"no such folder: {folders[0]}")

    def work() -> dict[str, Any]:
        scans = [scanned(folder, window, call.check) for folder in folders]
        scan = RoutingScan(
            sum(one.total_requests for one in scans),
            [event for one in scans for event in one.overrides],
            [skipped for one in scans for skipped in one.skipped],
        )
        found: dict[str, Any] = _wire({**routing_metrics(scan), "skipped": scan.skipped})
        return found

    return await desk.work(work)


@answers("getStatus")
async def get_status(server: Server, params: p.GetStatusParams, call: Call) -> Any:
    """Everything a status bar shows."""
    await server.desk.settled(_FIRST_STATUS)
    return await server.board.status(params, call)


@answers("subscribe")
async def subscribe(server: Server, params: p.SubscribeParams, call: Call) -> Any:
    """Be told of changes by `copilotUsage/statusChanged` and `copilotUsage/sessionEvent`."""
    await server.desk.settled(_FIRST_STATUS)
    return await server.board.subscribe(params, call)


@answers("unsubscribe")
async def unsubscribe(server: Server, params: p.UnsubscribeParams, call: Call) -> Any:
    """Be told no more."""
    return {"removed": server.board.unsubscribe(params.subscription)}


def _wire(value: Any) -> Any:
    """JSON values with the names of the wire."""
    if isinstance(value, dict):
        return {camel(name): _wire(item) for name, item in value.items()}
    return [_wire(item) for item in value] if isinstance(value, list) else value


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
