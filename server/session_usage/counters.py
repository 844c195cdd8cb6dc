"""What counters know beyond the requests: the rest that is shown as unattributed (RULES R4).

A counter is a cumulative figure that an agent writes: at the end of a run, of a turn, or of the
whole session up to then. None is ever added to requests.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Any, NamedTuple

from session_usage.events import Counter, Request

TOKENS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)
_FIRST, _LAST = Counter._fields.index("requests"), Counter._fields.index("nano_aiu")
_figures = itemgetter(slice(_FIRST, _LAST + 1))
"""Of a counter: its requests, tokens and amount."""
_NOT_IN_PANEL = ("title", "categorization")
_NOT_IN_TURNS = frozenset({"background", "compaction"})
_SLACK_MS = 5_000
_ALWAYS_MS = 1 << 62


class SourceTotal(NamedTuple):
    """What one source alone would say of the session: for display, never added up."""

    source: str
    requests: int | None
    nano_aiu: int | None


class Shutdowns:
    """The totals an agent wrote at the end of its runs, folded into one total per model."""

    def __init__(self, counters: list[Counter]) -> None:
        groups: dict[str, list[Counter]] = {}
        for counter in counters:
            if counter.scope in ("session", "agent"):
                groups.setdefault(f"{counter.path}:{counter.group}", []).append(counter)
        found = list(reversed(groups.values()))
        if len({group[0].at_ms for group in found}) < len(found):
            # the same run's totals in a second copy of the log are no second run
            found = list({_run(group): group for group in found}.values())
        self.groups = sorted(found, key=lambda group: group[0].at_ms or 0)
        self._spans = [
            (group[0].since_ms or 0, group[0].at_ms or _ALWAYS_MS) for group in self.groups
        ]
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
            for old, new in zip(_figures(row), _figures(twin), strict=True):
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
        if at_ms is None:
            return bool(self._spans)
        return any(begin <= at_ms <= end for begin, end in self._spans)

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
        for figure, *parts in zip(_figures(total), *map(_figures, rows), strict=True):
            if sum(filter(None, parts)) != (figure or 0):
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


def turns_rest(counters: list[Counter], requests: list[Request]) -> list[Counter]:
    """What the figures of turns know beyond the calls made in them."""
    by_key: dict[str, Counter] = {}
    told = [counter for counter in counters if counter.scope == "turn"]
    for counter in sorted(told, key=lambda counter: not counter.copied):
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


def total_rest(
    counters: list[Counter],
    shutdowns: Shutdowns,
    requests: list[Request],
    foreign: Iterable[Request],
    rest: list[Counter],
) -> list[Counter]:
    """What the running totals of the whole session know beyond everything else."""
    totals = [c for c in counters if c.scope == "total" and c.nano_aiu is not None]
    stated = shutdowns.nano()
    best = max(totals, key=lambda c: c.nano_aiu or 0, default=None)
    most = best.nano_aiu or 0 if best else None
    if stated is not None and (most is None or stated >= most):
        group, most = shutdowns.epochs[-1], stated
        best = next((row for row in group if row.model is None), group[0])
    if best is None or most is None:
        return []
    known = sum(r.nano_aiu or 0 for r in requests if r.surface != "background")
    known += sum(r.nano_aiu or 0 for r in foreign)
    known += sum(row.nano_aiu or 0 for row in rest)
    left = most - known
    if left <= 0:
        return []
    nothing: dict[str, None] = dict.fromkeys(("model", "requests", *TOKENS))
    return [best._replace(nano_aiu=left, subagent=(), **nothing)]  # type: ignore[arg-type]


def source_totals(
    said: dict[str, dict[str, int | None]], counters: Iterable[Counter]
) -> Iterator[SourceTotal]:
    """What each source alone says: of ``said`` (amounts of calls by key), then of counters."""
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


def as_vscode_shows(
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
