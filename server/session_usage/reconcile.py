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
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from session_usage.events import (
    BYOK,
    Counter,
    Event,
    Meta,
    Problem,
    Request,
    ToolCall,
    Turn,
)

TOKENS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)
_BY_FIGURES = ("database", "host-usage", "debug-log", "span")
"""Sources that may describe a call of another source without sharing a key, best first."""
_NOT_IN_PANEL = ("title", "categorization")
_NOT_IN_TURNS = frozenset({"background", "compaction"})
_SLACK_MS = 5_000
_NEAR_MS = 30_000
_SAID_ONCE = ("path", "title", "workspace", "project", "branch", "version", "model", "origin")


class SourceTotal(NamedTuple):
    """What one source alone would say of the session: for display, never added up."""

    source: str
    requests: int | None
    nano_aiu: int | None


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
        shutdowns = _Shutdowns(own)
        left, covered = _leftover(requests, weak, shutdowns, own)
        rest = shutdowns.rest(requests, foreign.values())
        rest += _turns_rest(own, requests)
        rest += _total_rest(own, shutdowns, requests, foreign.values(), rest)
        requests += left
        if shutdowns.unsure:
            problems[_unsure(agent, session, shutdowns.path)] = None
        if left and len(left) > covered:
            problems[_gap(agent, session, left, covered)] = None
    requests = _one_payer(requests)
    names = dict(meta.names)
    if names:
        requests = [_named(r, names) if r.subagent else r for r in requests]
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
        (*_source_totals(said, counters.values()), *_as_vscode_shows(strong, counters, names))
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
        for field in (
            "path",
            "title",
            "workspace",
            "project",
            "branch",
            "version",
            "model",
            "origin",
        ):
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


def _named(request: Request, names: dict[str, str]) -> Request:
    """Subagents by name where a source knows the name of the id."""
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
        if request.source in _BY_FIGURES and result:
            loose.append(request)
            continue
        if link:
            links[link] = len(result)
        result.append(request)
    return _match_figures(result, loose, links)


def _source_rank(request: Request) -> int:
    if request.source == "model-call":
        return 1
    if request.source in _BY_FIGURES:
        return 2 + _BY_FIGURES.index(request.source)
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
                index.setdefault(_figures(result[position]), []).append(position)
            indexed = len(result)
        candidates = index.get(_figures(request), [])
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


def _figures(request: Request) -> tuple[Any, ...]:
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


class _Shutdowns:
    """The totals an agent wrote at the end of its runs, folded into one total per model."""

    def __init__(self, counters: list[Counter]) -> None:
        groups: dict[str, list[Counter]] = {}
        for counter in counters:
            if counter.scope in ("session", "agent"):
                groups.setdefault(f"{counter.path}:{counter.group}", []).append(counter)
        # the same run's totals in a second copy of the log are no second run
        unique = {_run(group): group for group in reversed(groups.values())}
        self.groups = sorted(unique.values(), key=lambda group: group[0].at_ms or 0)
        self.unsure = False
        self.path = self.groups[0][0].path if self.groups else ""
        self.epochs = self._epochs()

    def _epochs(self) -> list[list[Counter]]:
        """The groups whose sum is the total: the last one of each cumulative series."""
        result: list[list[Counter]] = []
        for group in self.groups:
            if result and self._continues(result[-1], group):
                result[-1] = group
            else:
                result.append(group)
        return result

    def _continues(self, before: list[Counter], after: list[Counter]) -> bool:
        """Does ``after`` include ``before``? The agents do not say; their numbers do."""
        earlier, later = _per_model(before), _per_model(after)
        for model, row in earlier.items():
            twin = later.get(model)
            if twin is None:
                return False
            for name in ("requests", *TOKENS, "nano_aiu"):
                old, new = getattr(row, name), getattr(twin, name)
                if old is not None and (new is None or new < old):
                    return False
        past = sum(row.output_tokens or 0 for row in earlier.values())
        now = sum(row.output_tokens or 0 for row in later.values())
        run = after[0].run_output_tokens
        if not run or not past:
            return True
        if run == now:
            return False
        if past + run != now:
            self.unsure = True
        return True

    def covers(self, at_ms: int | None) -> bool:
        """Is what happened at this moment inside a run whose totals were written?"""
        return any(
            at_ms is None
            or ((group[0].since_ms or 0) <= at_ms and at_ms <= (group[0].at_ms or at_ms))
            for group in self.groups
        )

    def nano(self) -> int | None:
        """The total amount by these counters alone."""
        amounts = [amount for group in self.epochs if (amount := _group_nano(group)) is not None]
        return sum(amounts) if amounts else None

    def rest(self, requests: list[Request], foreign: Iterable[Request]) -> list[Counter]:
        """What the totals per model know beyond ``requests`` (and copied ones of the file)."""
        totals: dict[str, Counter] = {}
        for group in self.epochs:
            for model, row in _per_model(group).items():
                totals[model] = row if model not in totals else _added(totals[model], row)
        known = _sums([r for r in requests if r.surface != "background"], foreign)
        result = []
        for model, total in totals.items():
            have = known.pop(model, None)
            left = _minus(total, have)
            if left:
                result += self._by_agent(model, total) if have is None else [left]
        return result

    def _by_agent(self, model: str, total: Counter) -> list[Counter]:
        """``total`` split by subagent where the agent wrote it that way and the sums agree."""
        rows = [
            row
            for group in self.epochs
            for row in group
            if row.scope == "agent" and row.model == model
        ]
        for name in ("requests", "nano_aiu", *TOKENS):
            if sum(getattr(row, name) or 0 for row in rows) != (getattr(total, name) or 0):
                return [total]
        return [row for row in rows if row.requests or row.input_tokens or row.nano_aiu]


def _run(group: list[Counter]) -> frozenset[Counter]:
    """What makes the totals of a run this run's, wherever they are written."""
    return frozenset(
        row._replace(key="", group="", offset=0, path=row.path if row.at_ms is None else "")
        for row in group
    )


def _per_model(group: list[Counter]) -> dict[str, Counter]:
    return {row.model: row for row in group if row.scope == "session" and row.model is not None}


def _group_nano(group: list[Counter]) -> int | None:
    amounts = [row.nano_aiu for row in _per_model(group).values() if row.nano_aiu is not None]
    stated = [row.nano_aiu for row in group if row.scope == "session" and row.model is None]
    sums = [amount for amount in (*stated, sum(amounts) if amounts else None) if amount is not None]
    return max(sums) if sums else None


def _added(one: Counter, other: Counter) -> Counter:
    sums: dict[str, Any] = {
        name: (getattr(one, name) or 0) + (getattr(other, name) or 0)
        if getattr(one, name) is not None or getattr(other, name) is not None
        else None
        for name in ("requests", "nano_aiu", *TOKENS)
    }
    return other._replace(**sums)


def _sums(
    requests: Iterable[Request], foreign: Iterable[Request]
) -> dict[str | None, dict[str, int]]:
    result: dict[str | None, dict[str, int]] = {}
    for request in (*requests, *foreign):
        if request.weak:
            continue
        row = result.setdefault(request.model, dict.fromkeys(("requests", "nano_aiu", *TOKENS), 0))
        row["requests"] += request.status == "ok"
        for name in ("nano_aiu", *TOKENS):
            row[name] += getattr(request, name) or 0
    return result


def _minus(total: Counter, known: dict[str, int] | None) -> Counter | None:
    """``total`` less what is known; None when nothing is left."""
    if known is None:
        return total if any((total.requests, total.nano_aiu, total.input_tokens)) else None
    left: dict[str, Any] = {
        name: None if getattr(total, name) is None else max(0, getattr(total, name) - known[name])
        for name in ("requests", "nano_aiu", *TOKENS)
    }
    if not (left["nano_aiu"] or left["input_tokens"] or left["output_tokens"]):
        return None
    if left["nano_aiu"] == 0 and total.nano_aiu:
        # every credit is accounted for: the rest of the tokens costs nothing more
        return None
    return total._replace(**left)


def _leftover(
    requests: list[Request], weak: list[Request], shutdowns: _Shutdowns, counters: list[Counter]
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
        twin = _nearest(message, anything if known is None else pool.get(known, []), taken)
        if twin:
            taken.add(twin.key)
            continue
        if shutdowns.covers(message.started_ms):
            continue
        at_ms = message.started_ms or 0
        stays = any(begin <= at_ms <= end for begin, end in checked.items())
        covered += stays
        result[message.key] = message._replace(weak=stays)
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


def _turns_rest(counters: list[Counter], requests: list[Request]) -> list[Counter]:
    """What the figures of turns know beyond the calls made in them."""
    by_key: dict[str, Counter] = {}
    for counter in sorted(counters, key=lambda counter: not counter.copied):
        if counter.scope == "turn":
            by_key[counter.key] = counter  # the original, else a fork's copy of it
    turns = sorted(by_key.values(), key=lambda counter: counter.since_ms or 0)
    if not turns:
        return []
    spans = _spans(turns)
    inside: list[list[Request]] = [[] for _ in turns]
    spent = 0
    for request in requests:
        if request.surface in _NOT_IN_TURNS:
            continue
        spent += request.nano_aiu or 0
        at = _span_of(spans, request.started_ms)
        if at is not None:
            inside[at].append(request)
    rows = []
    for turn, calls in zip(turns, inside, strict=True):
        known = sum(call.nano_aiu or 0 for call in calls)
        output = sum(call.output_tokens or 0 for call in calls if not call.subagent)
        left_nano = None if turn.nano_aiu is None else max(0, turn.nano_aiu - known)
        left_output = None if turn.output_tokens is None else max(0, turn.output_tokens - output)
        if left_nano or (left_nano is None and left_output and not calls):
            rows.append(turn._replace(nano_aiu=left_nano, output_tokens=left_output))
    # Calls outside the turns are those of removed turns, or of these turns by the clock of
    # another machine: the chat's sum less the sum of the calls is what can be missing.
    surplus = sum(row.nano_aiu or 0 for row in rows)
    surplus -= max(0, sum(turn.nano_aiu or 0 for turn in turns) - spent)
    for position in range(len(rows) - 1, -1, -1):
        cut = min(max(0, surplus), rows[position].nano_aiu or 0)
        if cut:
            surplus -= cut
            rows[position] = rows[position]._replace(nano_aiu=(rows[position].nano_aiu or 0) - cut)
    return [row for row in rows if row.nano_aiu != 0]


def _spans(turns: list[Counter]) -> list[tuple[int, int]]:
    result = []
    for turn, following in zip(turns, [*turns[1:], None], strict=True):
        begin = turn.since_ms or 0
        end = following.since_ms if following and following.since_ms else 1 << 62
        if turn.at_ms is not None:
            end = min(end, turn.at_ms + _SLACK_MS)
        result.append((begin, end))
    return result


def _span_of(spans: list[tuple[int, int]], at_ms: int | None) -> int | None:
    if at_ms is None:
        return None
    position = bisect_right(spans, (at_ms, 1 << 62)) - 1
    return position if position >= 0 and at_ms < spans[position][1] else None


def _total_rest(
    counters: list[Counter],
    shutdowns: _Shutdowns,
    requests: list[Request],
    foreign: Iterable[Request],
    rest: list[Counter],
) -> list[Counter]:
    """What the running totals of the whole session know beyond everything else."""
    totals = [c for c in counters if c.scope == "total" and c.nano_aiu is not None]
    stated = shutdowns.nano()
    best = max(totals, key=lambda c: c.nano_aiu or 0, default=None)
    if stated is not None and (best is None or stated >= (best.nano_aiu or 0)):
        group = shutdowns.epochs[-1]
        best = next((row for row in group if row.model is None), group[0])._replace(nano_aiu=stated)
    if best is None or best.nano_aiu is None:
        return []
    known = sum(r.nano_aiu or 0 for r in requests if r.surface != "background")
    known += sum(r.nano_aiu or 0 for r in foreign)
    known += sum(row.nano_aiu or 0 for row in rest)
    left = best.nano_aiu - known
    if left <= 0:
        return []
    nothing: dict[str, None] = dict.fromkeys(("model", "requests", *TOKENS))
    return [best._replace(nano_aiu=left, subagent=(), **nothing)]  # type: ignore[arg-type]


def _source_totals(
    said: dict[str, dict[str, int | None]], counters: Iterable[Counter]
) -> Iterator[SourceTotal]:
    for source, calls in said.items():
        amounts = [amount for amount in calls.values() if amount is not None]
        yield SourceTotal(source, len(calls), sum(amounts) if amounts else None)
    rows = list(counters)
    for source in dict.fromkeys(row.source for row in rows):
        of = [row for row in rows if row.source == source and row.scope != "agent"]
        if not of:
            continue
        if of[0].scope == "turn":
            amounts = [row.nano_aiu for row in of if row.nano_aiu is not None]
            yield SourceTotal(source, None, sum(amounts) if amounts else None)
        elif of[0].scope == "total":
            yield SourceTotal(source, None, max(row.nano_aiu or 0 for row in of))
        else:
            last = of[-1].group
            group = [row for row in of if row.group == last]
            counted = [row.requests for row in group if row.requests is not None]
            yield SourceTotal(source, sum(counted) if counted else None, _group_nano(group))


def _as_vscode_shows(
    strong: dict[str, Request], counters: dict[str, Counter], names: dict[str, str]
) -> Iterator[SourceTotal]:
    """The two figures that VS Code itself displays, by its own rules.

    "Session Cost" adds up the chat's turns, copied ones of a fork included, removed ones
    not. The debug panel adds up the log's calls, one per span id, in the main log and the
    children it names, without titles.
    """
    chat = [row for row in counters.values() if row.source == "chat-session"]
    if chat:
        turns = sum(row.nano_aiu or 0 for row in chat if row.scope == "turn")
        running = max((row.nano_aiu or 0 for row in chat if row.scope == "total"), default=0)
        yield SourceTotal("vscode session cost", None, max(turns, running))
    panel: dict[str, Request] = {}
    for request in strong.values():
        child = request.subagent_id
        if request.source == "debug-log" and (
            child is None or names.get(child, "title") not in _NOT_IN_PANEL
        ):
            panel.setdefault(request.link or request.key, request)
    if panel:
        amount = sum(request.nano_aiu or 0 for request in panel.values())
        yield SourceTotal("vscode debug panel", len(panel), amount)


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
