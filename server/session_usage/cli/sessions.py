"""Commands about single sessions: found, listed, shown, explained, replayed."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from session_usage.cli.common import (
    camel,
    chosen_window,
    console,
    open_library,
    price_table,
    tell_skipped,
    write_csv,
    write_json,
)
from session_usage.errors import SessionNotFound, UsageError


def latest(options: argparse.Namespace) -> int:
    """``latest``: the newest session that holds anything."""

    from session_usage.sessions import chosen, listed

    library = open_library(options)
    for item in chosen(listed(library), workspace=options.workspace):
        session = library.load(item.ref)
        if item.ref.sources or session.requests or session.unattributed:
            return _print_session(options, session)
    where = f" in {options.workspace}" if options.workspace else ""
    raise SessionNotFound(f"no sessions{where}; `session-usage doctor` shows where they may be")


def show(options: argparse.Namespace) -> int:
    """``show``: one session."""

    from session_usage.sessions import find

    library = open_library(options)
    return _print_session(options, library.load(find(library, options.session)))


def _print_session(options: argparse.Namespace, session: Any) -> int:
    from session_usage.report import routing, session_report

    report = session_report(session, price_table(options), options.detail)
    if options.format == "json":
        if options.detail == "full":
            report["routing"] = routing(session)
        write_json(report)
    elif options.format == "csv":
        write_csv(
            [{"model": row["model"], **row} for row in report.get("models", [report["totals"]])]
        )
    else:
        from session_usage import terminal

        terminal.session(console(sys.stdout), report)
    return tell_skipped(session.problems)


def listing(options: argparse.Namespace) -> None:
    """``list`` and ``find``: sessions from the catalogues, no amounts."""

    from session_usage.sessions import chosen, listed

    library = open_library(options)
    since, until = chosen_window(options)
    items = chosen(
        listed(library), text=options.text, pattern=options.regex,
        workspace=options.workspace, since_ms=since, until_ms=until,
    )  # fmt: skip
    start = _cursor(options.cursor)
    page = items[start : start + options.limit]
    more = start + len(page) < len(items)
    rows = [_listed_row(item) for item in page]
    if options.format == "json":
        write_json({"sessions": rows, "cursor": str(start + len(page)) if more else None})
    elif options.format == "csv":
        write_csv(rows)
    else:
        from session_usage import terminal

        terminal.listing(console(sys.stdout), rows, len(items))


def _cursor(text: str | None) -> int:
    if not text:
        return 0
    if not text.isdigit():
        raise UsageError(f"bad cursor {text!r}; take it from the page before")
    return int(text)


def _listed_row(item: Any) -> dict[str, Any]:
    from session_usage.projects import project_of
    from session_usage.report import iso

    meta = item.meta
    return {
        "agent": item.ref.agent,
        "id": item.ref.id,
        "title": meta.title,
        "workspace": meta.workspace,
        "project": project_of(meta.workspace, meta.project),
        "branch": meta.branch,
        "createdAt": iso(meta.created_ms),
        "updatedAt": iso(item.updated_ms or None),
        "sources": sorted({source.kind for source in item.ref.sources}),
    }


def batch(options: argparse.Namespace) -> int:
    """``batch``: the newest sessions with what each cost, and their sum."""

    from session_usage.report import Fold, session_report
    from session_usage.sessions import chosen, listed

    library = open_library(options)
    prices = price_table(options)
    since, until = chosen_window(options)
    items = chosen(listed(library), workspace=options.workspace, since_ms=since, until_ms=until)[
        : options.number
    ]
    fold = Fold(prices)
    rows, problems = [], []
    for item in items:
        session = library.load(item.ref, full=False)
        problems += session.problems
        fold.add(session)
        rows.append(session_report(session, prices, "minimal"))
    if options.format == "json":
        write_json({"summary": fold.totals.wire(), "sessions": rows})
    elif options.format == "csv":
        write_csv(
            [{**{k: v for k, v in row.items() if k != "totals"}, **row["totals"]} for row in rows]
        )
    else:
        from session_usage import terminal

        terminal.batch(console(sys.stdout), rows, fold.totals.wire())
    return tell_skipped([*problems, *library.problems])


def explain(options: argparse.Namespace) -> None:
    """``explain``: the chain from a figure to log lines and rate rows."""

    from session_usage.explain import explain
    from session_usage.sessions import find

    library = open_library(options)
    session = library.load(find(library, options.session))
    chain = explain(session, price_table(options), options.figure)
    if options.format == "json":
        write_json(chain)
    elif options.format == "csv":
        write_csv([{**part, "rate": None} for part in chain["parts"]])
    else:
        from session_usage import terminal

        terminal.explain(console(sys.stdout), chain)


def replay(options: argparse.Namespace) -> None:
    """Exactly as it was written for plain agent logs, made of messages for other agents."""
    from session_usage import replay
    from session_usage.conversations import about, messages_of, wire
    from session_usage.sessions import find

    library = open_library(options)
    ref = find(library, options.session)
    if ref.agent == "agent-log" and options.format != "json":
        replay.replay_log(ref.sources[0].path, sys.stdout.write)
        return
    meta = about(library, ref)
    messages = messages_of(library, ref, meta)
    if options.format == "json":
        import json

        for one in messages:
            found = camel(wire(one, raw=False))
            sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
        return
    label = library.providers[ref.agent].label
    replay.replay_messages(label, meta, messages, sys.stdout.write)
