"""Several sources of one session become one list of requests, with the differences kept.

- A call that two sources describe counts once: by key, by a shared second key (``link``), or
  by its figures where a source has no ids (the CLI's database).
- What only one source knows is added: each source misses something else.
- A counter is never added. Where it knows more than the requests, the rest is one
  *unattributed* row with its reason (RULES R4). When in doubt the smaller rest is taken:
  a total may miss something and say so, but never exceeds what was spent (RULES R5).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Any, NamedTuple

from session_usage.counters import (
    Shutdowns,
    SourceTotal,
    as_vscode_shows,
    source_totals,
    total_rest,
    turns_rest,
)
from session_usage.events import (
    BYOK,
    Calls,
    Counter,
    Event,
    Meta,
    Problem,
    Request,
    ToolCall,
    Turn,
)

BY_FIGURES = ("database", "host-usage", "debug-log", "span")
"""Sources that may describe a call of another source without sharing a key, best first."""
_NEAR_MS = 30_000
_SAID_ONCE = ("path", "title", "workspace", "project", "branch", "version", "model", "origin")


class Session(NamedTuple):
    """One session after reconciliation."""

    agent: str
    id: str | None
    meta: Meta
    requests: tuple[Request, ...]
    unattributed: tuple[Counter, ...]
    """Remainders of counters: figures that no request accounts for."""
    tools: tuple[ToolCall, ...]
    turns: tuple[Turn, ...]
    problems: tuple[Problem, ...]
    totals: tuple[SourceTotal, ...]
    calls: tuple[Calls, ...] = ()
    """Further requests, which are not among ``requests``: only where ``calls`` made it."""


def better(one: Request, other: Request) -> Request:
    """Two lines about one call: the more complete one, its gaps filled from the other."""
    first, second = one, other
    if _merit(one) > _merit(other):
        first, second = other, one
    return _filled(first, second)


def _merit(request: Request) -> tuple[bool, bool, int, bool]:
    """Less is better. That a call went wrong is often known from its last line only."""
    ok = request.status == "ok"
    return request.copied, request.weak, -(request.output_tokens or 0), ok


def _filled(first: Request, second: Request) -> Request:
    gaps: dict[str, Any] = {
        name: value
        for name, value in zip(Request._fields, second, strict=True)
        if value is not None and getattr(first, name) is None
    }
    if second.subagent and not first.subagent:
        gaps["subagent"] = second.subagent
    if second.surface != "chat" and first.surface in ("chat", "background"):
        gaps["surface"] = second.surface
    if first.copied and not second.copied:  # the original is the better evidence
        gaps.update(copied=False, path=second.path, offset=second.offset, source=second.source)
    if second.billing == BYOK and first.billing != BYOK and first.nano_aiu is None:
        gaps["billing"] = BYOK
    return first._replace(**gaps) if gaps else first


def reconcile(
    agent: str, session: str | None, events: Iterable[Event], full: bool = True
) -> Session:
    """The one truth about ``session`` from everything its sources say, in any order.

    ``full=False`` leaves out what no total needs: the order and each source's own total.
    """
    strong, twice, foreign, messages, others = _sorted_out(session, events)
    counters: dict[str, Counter] = {}
    metas: list[Meta] = []
    tools: dict[str, ToolCall] = {}
    turns: dict[str, Turn] = {}
    problems: dict[Problem, None] = {}
    for other in others:
        if isinstance(other, Counter):
            counters[f"{other.path}:{other.key}"] = other
        elif isinstance(other, Meta):
            metas.append(other)
        elif isinstance(other, ToolCall):
            if other.session == session:
                tools[other.key] = other
        elif isinstance(other, Turn):
            if other.session == session:
                turns[other.key] = other
        elif isinstance(other, Problem):
            problems[other] = None
    said = _said((*strong.values(), *twice)) if full else {}
    meta = merged(agent, session, metas)
    requests = _merge_sources(strong)
    own = [counter for counter in counters.values() if counter.session == session]
    weak = list(messages.values())
    rest: list[Counter] = []
    if own or weak:
        shutdowns = Shutdowns(own)
        left, covered = _leftover(requests, weak, shutdowns, own)
        rest = shutdowns.rest(requests, foreign.values())
        rest += turns_rest(own, requests)
        rest += total_rest(own, shutdowns, requests, foreign.values(), rest)
        requests += left
        if shutdowns.unsure:
            problems[_unsure(agent, session, shutdowns.path)] = None
        if left and len(left) > covered:
            problems[_gap(agent, session, left, covered)] = None
    requests = _one_payer(requests)
    names = dict(meta.names)
    if names:
        requests = [named(r, names) if r.subagent else r for r in requests]
    if full:
        requests.sort(key=_order)
        requests = _in_turns(requests, turns.values())
    return Session(
        agent,
        session,
        meta,
        tuple(requests),
        tuple(rest),
        tuple(tools.values()),
        tuple(sorted(turns.values(), key=lambda turn: turn.at_ms or 0)),
        tuple(problems),
        (*source_totals(said, counters.values()), *as_vscode_shows(strong, counters, names))
        if full
        else (),
    )


_Calls = dict[str, Request]


def _sorted_out(
    session: str | None, events: Iterable[Event]
) -> tuple[_Calls, list[Request], _Calls, _Calls, list[Event]]:
    """(own calls by key, further lines about them, calls of others, messages, the rest)."""
    calls: list[Request] = []
    others: list[Event] = []
    for event in events:
        (calls if event.__class__ is Request else others).append(event)  # type: ignore[arg-type]
    strong = {call.key: call for call in calls if call.session == session and not call.weak}
    if len(strong) == len(calls):  # the common case: one line a call, and nothing else
        return strong, [], {}, {}, others
    strong = {}
    twice: list[Request] = []
    foreign: _Calls = {}
    messages: _Calls = {}
    for call in calls:
        if call.session != session:
            foreign[call.key] = call
        elif call.weak:
            messages[call.key] = call
        else:
            known = strong.setdefault(call.key, call)
            if known is not call:
                twice.append(call)
                strong[call.key] = better(known, call)
    return strong, twice, foreign, messages, others


def _in_turns(requests: list[Request], turns: Iterable[Turn]) -> list[Request]:
    """Gives a subagent's calls the turn that was under way when they began, where their own log
    does not name it: a turn is one user message and all that follows from it."""
    begun = sorted((turn.at_ms, turn.key) for turn in turns if turn.at_ms is not None)
    times = [at_ms for at_ms, _ in begun]
    found = []
    for request in requests:
        if request.subagent and request.turn is None and request.started_ms is not None:
            index = bisect_right(times, request.started_ms)
            request = request._replace(turn=begun[index - 1][1]) if index else request
        found.append(request)
    return found


def _order(request: Request) -> tuple[int, str]:
    return request.started_ms or 0, request.key


def _said(requests: Iterable[Request]) -> dict[str, dict[str, int | None]]:
    """The amounts each source states, by key."""
    said: dict[str, dict[str, int | None]] = {}
    for request in requests:
        if not request.copied:
            of = said.get(request.source)
            if of is None:
                of = said[request.source] = {}
            of[request.key] = request.nano_aiu
    return said


def started(events: Iterable[Event]) -> set[str]:
    """The subagents that are named; their logs may be sessions of their own."""
    return {child for event in events if isinstance(event, Meta) for child, _ in event.names}


def merged(agent: str, session: str | None, metas: Iterable[Meta]) -> Meta:
    """One record of all that sources say of a session; higher ``rank`` wins, then the later."""
    result: dict[str, Any] = {}
    names: dict[str, str] = {}
    skills: dict[str, None] = {}
    facts: dict[str, Any] = {}
    created = updated = None
    for meta in sorted(metas, key=lambda meta: meta.rank):
        for field in _SAID_ONCE:
            value = getattr(meta, field)
            if value is not None:
                result[field] = value
        names.update(meta.names)
        skills.update(dict.fromkeys(meta.skills))
        facts.update(meta.facts)
        if meta.created_ms is not None:
            created = meta.created_ms if created is None else min(created, meta.created_ms)
        if meta.updated_ms is not None:
            updated = meta.updated_ms if updated is None else max(updated, meta.updated_ms)
    path = result.pop("path", "")
    return Meta(
        agent, session or "", path, created_ms=created, updated_ms=updated,
        names=tuple(names.items()), skills=tuple(skills), facts=tuple(facts.items()), **result,
    )  # fmt: skip


def named(request: Request, names: dict[str, str]) -> Request:
    """Its subagents by name where a source knows the name of the id."""
    path = tuple([names.get(name, name) for name in request.subagent])
    if path == request.subagent:
        return request
    return Request._make((*request[:_SUBAGENT], path, *request[_SUBAGENT + 1 :]))


def _one_payer(requests: list[Request]) -> list[Request]:
    """Failed calls do not say whose key they used: the user's, where all others did."""
    if {r.billing for r in requests if r.output_tokens is not None} != {BYOK}:
        return requests
    return [r if r.output_tokens is not None else r._replace(billing=BYOK) for r in requests]


_SUBAGENT = Request._fields.index("subagent")


def _merge_sources(strong: dict[str, Request]) -> list[Request]:
    """The requests of all sources, each call once."""
    if len({request.source for request in strong.values()}) < 2:
        return list(strong.values())
    result: list[Request] = []
    links: dict[str, int] = {}
    loose: list[Request] = []
    for request in sorted(strong.values(), key=_source_rank):
        link = _link(request)
        at = links.get(link) if link else None
        if at is not None and result[at].source != request.source:
            result[at] = _filled(result[at], request)  # of the better source: only gaps are filled
            continue
        if request.source in BY_FIGURES and result and result[0].source != request.source:
            loose.append(request)  # the best source that there is is compared with nothing
            continue
        if link:
            links[link] = len(result)
        result.append(request)
    return _match_figures(result, loose, links)


def _source_rank(request: Request) -> int:
    if request.source == "model-call":
        return 1
    if request.source in BY_FIGURES:
        return 2 + BY_FIGURES.index(request.source)
    return 0


def _link(request: Request) -> str | None:
    return request.link.split(":r")[0] if request.link else None


def _match_figures(
    result: list[Request], loose: list[Request], links: dict[str, int]
) -> list[Request]:
    """Pairs calls of sources without common ids by their figures; the rest is added."""
    index: dict[tuple[Any, ...], list[int]] = {}
    indexed = 0
    source = ""
    for request in loose:
        link = _link(request)
        at = links.get(link) if link else None
        if at is not None and result[at].source != request.source:
            result[at] = _filled(result[at], request)
            continue
        if request.source != source:
            # a source is compared with those before it, never with itself
            source = request.source
            for position in range(indexed, len(result)):
                index.setdefault(figures(result[position]), []).append(position)
            indexed = len(result)
        candidates = index.get(figures(request), [])
        fitting = [at for at in candidates if _agree(result[at], request)]
        if fitting and (request.input_tokens is not None or request.output_tokens is not None):
            at = min(fitting, key=lambda at: abs(_end(result[at]) - _end(request)))
            candidates.remove(at)
            result[at] = _filled(result[at], request)
        else:
            if link:
                links[link] = len(result)
            result.append(request)
    return result


def figures(request: Request) -> tuple[Any, ...]:
    """By what calls of sources without common ids are compared first."""
    return request.model, request.input_tokens, request.output_tokens


def _agree(one: Request, other: Request) -> bool:
    """No figure that both know differs."""
    for name in ("cache_read_tokens", "cache_write_tokens", "nano_aiu"):
        first, second = getattr(one, name), getattr(other, name)
        if first is not None and second is not None and first != second:
            return False
    return True


def _end(request: Request) -> int:
    return (request.started_ms or 0) + (request.duration_ms or 0)


def _leftover(
    requests: list[Request], weak: list[Request], shutdowns: Shutdowns, counters: list[Counter]
) -> tuple[list[Request], int]:
    """Calls that only a message proves, and how many of them a running total covers.

    The former are requests of unknown amount. Those that a running total covers stay
    ``weak``: their amount is known, though not one by one.
    """
    keys = {request.key for request in requests}
    keys.update(request.link for request in requests if request.link)
    pool: dict[int | None, list[Request]] = {}
    anything = sorted((r for r in requests if r.source in ("database", "usage-record")), key=_end)
    for request in anything:
        pool.setdefault(request.output_tokens, []).append(request)
    taken: set[str] = set()
    # a later run's total need not hold what a killed run spent
    checked: dict[int, int] = {}
    for counter in counters:
        if counter.scope == "total" and counter.nano_aiu:
            begin = counter.since_ms or 0
            checked[begin] = max(counter.at_ms or 0, checked.get(begin, 0))
    result: dict[str, Request] = {}
    covered = 0
    for message in sorted(weak, key=lambda message: message.started_ms or 0):
        if message.link in keys or message.key in keys or message.key in result:
            continue
        known = message.output_tokens
        candidates = anything if known is None else pool.get(known)
        twin = _nearest(message, candidates, taken) if candidates else None
        if twin:
            taken.add(twin.key)
            continue
        if shutdowns.covers(message.started_ms):
            continue
        at_ms = message.started_ms or 0
        stays = any(begin <= at_ms <= end for begin, end in checked.items())
        covered += stays
        result[message.key] = message if stays else message._replace(weak=False)
    return list(result.values()), covered


def _nearest(message: Request, candidates: list[Request], taken: set[str]) -> Request | None:
    """The call of ``candidates`` (in order of their ends) that ended when the message came."""
    best, distance = None, _NEAR_MS
    at_ms = message.started_ms or 0
    for position in range(bisect_left(candidates, at_ms - _NEAR_MS, key=_end), len(candidates)):
        request = candidates[position]
        if _end(request) > at_ms + _NEAR_MS:
            break
        if request.key in taken:
            continue
        if request.model and message.model and request.model != message.model:
            continue
        away = abs(_end(request) - at_ms)
        if away <= distance:
            best, distance = request, away
    return best


def _unsure(agent: str, session: str | None, path: str) -> Problem:
    return Problem(
        "gap", path, None,
        "it cannot be told whether the totals of the runs include the runs before; "
        "the larger one is taken, so the amount may be too low",
        agent, session,
    )  # fmt: skip


def _gap(agent: str, session: str | None, left: list[Request], covered: int) -> Problem:
    number = len(left) - covered
    calls = "1 call has" if number == 1 else f"{number} calls have"
    return Problem(
        "gap", left[0].path, left[0].offset,
        f"{calls} no recorded usage: this version writes it only when a run ends cleanly",
        agent, session,
    )  # fmt: skip
