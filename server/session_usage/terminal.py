"""Reports as tables for a person at a terminal.

Amounts are in credits. Billed, priced and estimated look different without colour; unknown
is a dash, never 0; a sum that leaves something out starts with ≥.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from session_usage.events import BILLED, ESTIMATED, IN_DATABASES, PRICED
from session_usage.grid import grid, line, show
from session_usage.money import NANO_PER_CREDIT

_GLYPHS = {BILLED: "●", PRICED: "○", ESTIMATED: "◌"}
_LEGEND = "[dim]● billed by the server  ○ list price  ◌ ~ estimated  — unknown  ≥ incomplete[/dim]"
_ID = 8
_FOLDER = 18
Row = dict[str, Any]


def credits(nano: int | None, basis: str = BILLED, unknown: int = 0) -> str:
    """An amount in credits with its marks, e.g. ``≥~12.34 ◌``."""
    if nano is None:
        return "—  "
    value = nano / NANO_PER_CREDIT
    if nano == 0:
        text = "0.00"
    elif value >= 1:
        text = f"{value:,.2f}"
    elif value < 0.0005:
        text = "<0.001"
    else:
        text = f"{value:.3f}"
    before = ("≥" if unknown else "") + ("~" if basis == ESTIMATED else "")
    return f"{before}{text} {_GLYPHS.get(basis, ' ')}"


def tokens(count: int | None) -> str:
    """A token count: in full below 10,000, then 21.4k, 746k, 1.02M; a dash when unknown."""
    if count is None:
        return "—"
    if count < 10_000:
        return f"{count:,}"
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if count >= size * 0.9995:
            value = count / size
            digits = 2 if value < 10 else 1 if value < 100 else 0
            return f"{value:.{digits}f}{unit}"
    return str(count)


def _amount(row: Row) -> str:
    return credits(row["nanoAiu"], row["basis"], row.get("unknownRequests", 0))


def _share(rate: float | None) -> str:
    return "—" if rate is None else f"{rate * 100:.0f} %"


def _equivalent(out: Console, totals: Row) -> None:
    """Names what no credits pay for: it would look like a bill of Copilot."""
    nano, copilot = totals["nanoAiu"] or 0, totals["copilotNanoAiu"] or 0
    if nano > copilot:
        share = "all" if not copilot else _usd(nano - copilot)
        out.print(
            f"[dim]{share} of it is API-equivalent: what the models' vendors charge by the token, "
            "which a subscription may cover; it draws on no Copilot credits[/dim]",
            soft_wrap=True,
        )


def _text(value: Any) -> str:
    return escape(_printable(str(value))) if value not in (None, "") else "—"


def _printable(text: str) -> str:
    """``text`` without what a terminal would obey: titles and names come from logs."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def _title(row: Row, room: int = 70) -> str:
    """The title's first line, cut to ``room``; the id where there is none."""
    lines = str(row["title"] or "").strip().splitlines() or [str(row["id"])]
    line = _printable(lines[0])
    return escape(line if len(line) <= room else line[: room - 1] + "…")


def _folder(path: str | None) -> str:
    """The last part of a path, where it says most."""
    name = (path or "").replace("\\", "/").rstrip("/").rpartition("/")[2]
    return _text(name[:_FOLDER])


def _when(text: str | None) -> str:
    """``11-20 09:40`` of an ISO time of this year, with the year of any other."""
    shown = (text or "").replace("T", " ")[:16]
    this_year = time.strftime("%Y-", time.gmtime())
    return _text(shown.removeprefix(this_year))


def _duration(ms: int | None) -> str:
    if ms is None:
        return "—"
    minutes, seconds = divmod(ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _usd(nano: int | None) -> str:
    if nano is None:
        return "—"
    value = nano / 1e11
    if 0 < value < 0.00005:
        return "<$0.0001"
    return f"${value:,.2f}" if value >= 1 else f"${value:.4f}"


def session(out: Console, report: Row) -> None:
    """One session: identity, its amount, the breakdowns and what is missing."""
    totals = report["totals"]
    out.print(f"[bold]{_title(report)}[/bold]")
    out.print(f"[dim]{report['agent']}  {_text(report['id'])}[/dim]")
    where = report["workspace"] or report["project"]
    out.print(
        f"{_text(where)}  branch {_text(report['branch'])}  "
        f"{_text(report['startedAt'])}  {_duration(report['durationMs'])}"
    )
    out.print()
    out.print(f"[bold]{_amount(totals)}[/bold] credits  ({_usd(totals['nanoAiu'])})")
    _counts(out, totals)
    shown = _fitting(out, 72, 0)
    for name, title in (("models", "model"), ("subagents", "subagent")):
        rows = report.get(name) or []
        if name == "models" or len(rows) > 1:
            table = grid(title, *(_FIGURES[place] for place in shown))
            for row in rows:
                table.add_row(_text(row[title]), *_figures(row, shown))
            out.print()
            show(out, table)
    rest = report.get("unattributed") or []
    if rest:
        out.print()
        table = grid("not accounted for by any request", "model", ">credits")
        for reason, model, nano, basis, rows in _by_reason(rest):
            name = reason if rows == 1 else f"{reason} ({rows}×)"
            table.add_row(_text(name), _text(model), credits(nano, basis))
        show(out, table)
    sources = report.get("sources") or []
    if len(sources) > 1:
        out.print()
        table = grid("what each source says alone", ">requests", ">credits")
        for row in sources:
            table.add_row(row["source"], tokens(row["requests"]), credits(row["nanoAiu"]))
        show(out, table)
    _problems(out, report.get("problems") or [])
    out.print()
    _equivalent(out, totals)
    out.print(_LEGEND)


def _by_reason(rest: list[Row]) -> list[tuple[str, str | None, int | None, str, int]]:
    found: dict[tuple[str, str | None, str], list[int | None]] = {}
    for row in rest:
        found.setdefault((row["reason"], row["model"], row["basis"]), []).append(row["nanoAiu"])
    return [
        (reason, model, _known(nanos), basis,
         len(nanos))
        for (reason, model, basis), nanos in found.items()
    ]  # fmt: skip


def _known(nanos: list[int | None]) -> int | None:
    known = [nano for nano in nanos if nano is not None]
    return sum(known) if known else None


_FIGURES = (">requests", ">input", ">cached", ">output", ">credits")


def _fitting(out: Console, all_from: int, two_from: int) -> Sequence[int]:
    """Which of ``_FIGURES`` there is room for."""
    return range(5) if out.width >= all_from else (0, 4) if out.width >= two_from else (4,)


def _figures(row: Row, shown: Sequence[int]) -> list[str]:
    cells = [
        f"{row['requests']:,}",
        tokens(row["inputTokens"]),
        _share(row["cacheHitRate"]),
        tokens(row["outputTokens"]),
        _amount(row),
    ]
    return [cells[place] for place in shown]


def _counts(out: Console, totals: Row) -> None:
    parts = [f"{totals['requests']:,} requests"]
    if totals["failedRequests"]:
        parts.append(f"{totals['failedRequests']:,} failed")
    if totals["unknownRequests"]:
        parts.append(f"{totals['unknownRequests']:,} of unknown cost")
    parts.append(f"{tokens(totals['inputTokens'])} tokens in")
    parts.append(f"{_share(totals['cacheHitRate'])} from cache")
    parts.append(f"{tokens(totals['outputTokens'])} out")
    out.print(", ".join(parts))


def _problems(out: Console, problems: list[Row]) -> None:
    if not problems:
        return
    out.print()
    seen: dict[str, int] = {}
    for problem in problems:
        seen[problem["message"]] = seen.get(problem["message"], 0) + 1
    for message, count in seen.items():
        times = f" ({count}×)" if count > 1 else ""
        out.print(f"[yellow]![/yellow] {_text(message)}{times}", soft_wrap=True)


def listing(out: Console, rows: list[Row], total: int) -> None:
    """Sessions, one a line."""
    room = max(16, out.width - 60)
    wide = out.width >= 60
    table = grid(*("changed", "agent", "title", "folder", "id")[:: 1 if wide else 2])
    for row in rows:
        cells = (
            _when(row["updatedAt"]),
            line(row["agent"]),
            line(_title(row, room)),
            line(_folder(row["workspace"])),
            _text(row["id"][:_ID]),
        )
        table.add_row(*cells[:: 1 if wide else 2])
    show(out, table)
    out.print(f"[dim]{len(rows)} of {total} sessions, UTC; the beginning of an id is enough[/dim]")


def batch(out: Console, rows: list[Row], totals: Row) -> None:
    """Sessions with their amounts and the sum."""
    shown = _fitting(out, 100, 60)
    room = max(16, out.width - (86 if len(shown) > 2 else 44))
    table = grid("started", "title", "id", *(_FIGURES[place] for place in shown))
    for row in rows:
        when = _when(row["startedAt"])
        table.add_row(
            when if len(shown) > 1 else when.partition(" ")[0],
            line(_title(row, room)),
            _text(row["id"][:_ID]),
            *_figures(row["totals"], shown),
        )
    table.add_section()
    table.add_row("", "all", "", *_figures(totals, shown), style="bold")
    show(out, table)
    _equivalent(out, totals)
    out.print(_LEGEND)


def report(out: Console, found: Row, by: tuple[str, ...]) -> None:
    """Totals, and a row for each value of the dimensions in ``by``."""
    totals = found["totals"]
    out.print(
        f"[bold]{_amount(totals)}[/bold] credits  ({_usd(totals['nanoAiu'])})  "
        f"in {totals['sessions']:,} sessions"
    )
    _counts(out, totals)
    if by:
        shown = _fitting(out, 72, 0)
        table = grid(*by, *(_FIGURES[place] for place in shown))
        for row in found["rows"]:
            table.add_row(*(_text(row["key"][name]) for name in by), *_figures(row, shown))
        out.print()
        show(out, table)
    if totals["unattributedNanoAiu"]:
        out.print()
        out.print(
            f"{credits(totals['unattributedNanoAiu'], '').strip()} of it is known only from totals "
            "that the agents wrote, not call by call"
        )
    _left_out(out, found["skipped"])
    _problems(out, found["problems"])
    out.print()
    _equivalent(out, totals)
    out.print(_LEGEND)


def explain(out: Console, chain: Row) -> None:
    """The chain behind a figure: each part with its evidence, rate and rule."""
    out.print(
        f"[bold]{_text(chain['figure'])}[/bold] of {_text(chain['session'])}: "
        f"[bold]{_amount(chain)}[/bold] credits = {_text(chain['nanoAiu'])} nano-AIU"
    )
    for number, part in enumerate(chain["parts"], 1):
        out.print()
        kind = part["reason"] if part["unattributed"] else part["model"]
        out.print(
            f"{number}. {credits(part['nanoAiu'], part['basis'])}  {_text(kind)}  "
            f"{_text(part['startedAt'])}"
        )
        out.print(
            f"   in {tokens(part['inputTokens'])}, cache read {tokens(part['cacheReadTokens'])}, "
            f"cache write {tokens(part['cacheWriteTokens'])}, out {tokens(part['outputTokens'])}"
        )
        out.print(f"   {_text(part['path'])}{_place(part)}", soft_wrap=True)
        rate = part["rate"]
        if rate:
            out.print(
                f"   rate of {_text(rate['model'])}, {_text(rate['firstSeen'])} to "
                f"{_text(rate['lastSeen'])}: in {_usd(rate['inputNanoAiuPerMillion'])}, cache read "
                f"{_usd(rate['cacheReadNanoAiuPerMillion'])}, cache write "
                f"{_usd(rate['cacheWriteNanoAiuPerMillion'])}, out "
                f"{_usd(rate['outputNanoAiuPerMillion'])} per million",
                soft_wrap=True,
            )
        for assumption in part["assumptions"]:
            out.print(f"   assumed: {_text(assumption)}")
        out.print(f"   [dim]{_text(part['rule'])}[/dim]", soft_wrap=True)
    out.print()
    out.print(_LEGEND)


def _place(part: Row) -> str:
    """Where in its file a figure is: what a database's row is in a log that is gone is a byte."""
    if part["line"]:
        return f":{part['line']} (byte {part['offset']})"
    return f" {'row' if part['source'] in IN_DATABASES else 'byte'} {part['offset']}"


def prices(out: Console, rows: list[Row]) -> None:
    """Rates in USD per million tokens with their days."""
    names = (
        "model", "provider", "tier", ">prompt/from", ">input", ">cache/read", ">cache/write",
        ">output", "from", "last/seen",
    )  # fmt: skip
    shown: Sequence[int] = range(len(names))
    if out.width < 110:
        shown = (0, 3, 4, 5, 6, 7, 8) if out.width >= 72 else (0, 4, 7, 8)
    table = grid(*(names[place] for place in shown))
    for row in rows:
        tier = f" ({row['tier']})" if row["tier"] and 2 not in shown else ""
        cells = (
            _text(row["model"] + tier),
            _text(row["provider"]),
            row["tier"] or "",
            tokens(row["low"]),
            *(_usd(row[name]) for name in ("input", "cache_read", "cache_write", "output")),
            _text(row["first_seen"]),
            _text(row["last_seen"]),
        )
        table.add_row(*(cells[place] for place in shown))
    show(out, table)
    out.print("[dim]USD per million tokens; — none published[/dim]")


def doctor(out: Console, found: Row) -> None:
    """Which agents' logs there are, what is off and what could not be read."""
    for agent in found["agents"]:
        there = agent["sessions"] or agent["sources"]
        mark = "[green]found[/green]" if there else "[dim]nothing found[/dim]"
        out.print(f"[bold]{agent['label']}[/bold]  {mark}, {agent['sessions']:,} sessions")
        for kind, count in agent["sources"].items():
            out.print(f"  {kind}: {count:,}")
        for switch in agent["off"]:
            out.print(
                f"  [yellow]off[/yellow] {switch['kind']}: would give {switch['gives']}; "
                f"switch on {switch['setting']}",
                soft_wrap=True,
            )
        for drift in agent["drift"]:
            out.print(f"  [yellow]new[/yellow] {_text(drift)}", soft_wrap=True)
    _problems(out, [{**row, "message": _found_in(row)} for row in found["problems"]])
    if not found["problems"]:
        out.print("[green]Everything that was found could be read.[/green]")


def _found_in(problem: Row) -> str:
    """A problem with its file, and the byte where it is known."""
    path, home = problem["path"], os.path.expanduser("~")
    if path.startswith(home + os.sep):
        path = "~" + path[len(home) :]
    at = "" if problem["offset"] is None else f" (byte {problem['offset']})"
    return f"{path}{at}: {problem['message']}" if path else problem["message"]


def usage(out: Console, found: Row) -> None:
    """Outcomes and costs by provider and model. A cost that leaves something out is unknown."""
    names = ("provider", "model", ">sessions", ">ok", ">in", ">out", ">cost", ">per ok")
    shown = range(len(names)) if out.width >= 72 else (1, 2, 6)
    all_of_them = {"provider": "all", "model": "" if 0 in shown else "all"}
    table = grid(*(names[place] for place in shown))
    for row in (*found["rows"], found["totals"] | all_of_them):
        basis = "~" if row.get("basis") == ESTIMATED else ""
        cells = (
            _text(row["provider"]),
            _text(row["model"]) if row["model"] else "",
            f"{row['sessions']:,}",
            _share(row["success_rate"]),
            tokens(row["input_tokens"]),
            tokens(row["output_tokens"]),
            _cost(row["known_cost_usd"], basis),
            _cost(row["cost_per_success"], basis),
        )
        table.add_row(*(cells[place] for place in shown))
    show(out, table)
    unknown = found["totals"]["unknown_cost_sessions"]
    if unknown:
        out.print(f"the cost of {unknown:,} sessions is not known")
    _left_out(out, found["skipped"])


def _cost(dollars: float | None, basis: str) -> str:
    return "unknown" if dollars is None else f"{basis}${dollars:.4f}"


def routing(out: Console, found: Row) -> None:
    """How often people overruled an agent's choice of model."""
    requests, overrides = found["total_requests"], found["total_overrides"]
    out.print(f"[bold]{requests:,}[/bold] requests, {overrides:,} overrides")
    out.print(
        f"accepted as chosen {_share(found['auto_acceptance_rate'])}, overrides that disagreed "
        f"{_share(found['override_disagreement_rate'])}"
    )
    rows = found["override_class_breakdown"]
    if rows:
        outcomes = [name for name in rows[0] if name.endswith("_outcomes")]
        titles = (f">{name.removesuffix('_outcomes')}" for name in outcomes)
        table = grid("prompt", "axis", "agrees", ">overrides", *titles)
        for row in rows:
            table.add_row(
                _text(row["prompt_feature_bucket"]),
                _text(row["axis"]),
                "yes" if row["match"] else "no",
                f"{row['count']:,}",
                *(f"{row[name]:,}" for name in outcomes),
            )
        out.print()
        show(out, table)
    _left_out(out, found["skipped"])


def _left_out(out: Console, skipped: list[Row]) -> None:
    for row in skipped:
        out.print(f"[red]skipped[/red] {_text(row['path'])}: {_text(row['reason'])}")
