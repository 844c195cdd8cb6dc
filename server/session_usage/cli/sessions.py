"""Commands about single sessions: found, listed, shown, explained, replayed."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from session_usage.cli.common import (
    MANY,
    NOT_READ,
    agents_of,
    camel,
    chosen_window,
    console,
    open_library,
    price_table,
    tell_skipped,
    write_csv,
    write_json,
)
from session_usage.cli.index import Index, indexed
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
    return _print_session(options, _session(options))


def _session(options: argparse.Namespace) -> Any:
    """The session that the user named, from its logs; from the ledger if they are gone."""
    from session_usage.sessions import find

    library = open_library(options)
    try:
        return library.load(find(library, options.session))
    except SessionNotFound as missing:  # says what to do about it
        with indexed(options) as index:
            if index is None:
                raise
            try:
                ref = index.reader.find(options.session, agents_of(options))
            except SessionNotFound:
                raise missing from None
            return index.reader.load(ref)


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
    return tell_skipped([(p.path, p.text) for p in session.problems if p.kind in NOT_READ])


def listing(options: argparse.Namespace) -> None:
    """``list`` and ``find``: sessions from the catalogues, no amounts."""
    start = _cursor(options.cursor)
    with indexed(options) as index:
        if index:
            rows, number = _rows_of_ledger(options, index, start)
        else:
            rows, number = _rows_of_logs(options, start)
    if options.command == "find" and not number:
        raise SessionNotFound(
            f"no session with {options.text!r} in its title; "
            "`session-usage list` shows what there is"
        )
    more = start + len(rows) < number
    if options.format == "json":
        write_json({"sessions": rows, "cursor": str(start + len(rows)) if more else None})
    elif options.format == "csv":
        write_csv(rows)
    else:
        from session_usage import terminal

        terminal.listing(console(sys.stdout), rows, number)


def _rows_of_logs(options: argparse.Namespace, start: int) -> tuple[list[dict[str, Any]], int]:
    from session_usage.sessions import chosen, listed

    library = open_library(options)
    since, until = chosen_window(options)
    items = chosen(
        listed(library), text=options.text, pattern=options.regex,
        workspace=options.workspace, since_ms=since, until_ms=until,
    )  # fmt: skip
    return [_listed_row(item) for item in items[start : start + options.limit]], len(items)


def _rows_of_ledger(
    options: argparse.Namespace, index: Index, start: int
) -> tuple[list[dict[str, Any]], int]:
    from session_usage.ledger import codec
    from session_usage.sessions import matcher

    since, until = chosen_window(options)
    rows, number = index.reader.sessions(
        agents=agents_of(options), text=options.text, fits=matcher(options.regex),
        workspace=options.workspace, since_ms=since, until_ms=until,
        limit=options.limit, offset=start,
    )  # fmt: skip
    loads = codec.loads_little if len(rows) <= MANY else codec.loads
    found = loads(b"[" + b",".join(rows) + b"]")
    return [{name: row[name] for name in _LISTED} for row in found], number


def _cursor(text: str | None) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise UsageError(f"bad cursor {text!r}; take it from the page before")
    return int(text)


_LISTED = (
    "agent", "id", "title", "workspace", "project", "branch", "createdAt", "updatedAt", "sources",
)  # fmt: skip


def _listed_row(item: Any) -> dict[str, Any]:
    from session_usage.projects import project_of
    from session_usage.report import iso

    meta = item.meta
    values = (
        item.ref.agent,
        item.ref.id,
        meta.title,
        meta.workspace,
        project_of(meta.workspace, meta.project),
        meta.branch,
        iso(meta.created_ms),
        iso(item.updated_ms or None),
        sorted({source.kind for source in item.ref.sources}),
    )
    return dict(zip(_LISTED, values, strict=True))


def batch(options: argparse.Namespace) -> int:
    """``batch``: the newest sessions with what each cost, and their sum, in which a call that a
    resumed session or a fork repeats counts once."""

    from session_usage.report import Fold, session_report
    from session_usage.sessions import once

    with indexed(options) as index:
        prices = index.prices if index else price_table(options)
        sessions, problems = (
            _newest_of_ledger(options, index) if index else _newest_of_logs(options)
        )
    fold = Fold(prices)
    rows = []
    seen: set[int] = set()
    for session in sessions:
        problems += session.problems
        fold.add(once(session, seen))
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
        if sum(row["totals"]["requests"] for row in rows) > fold.totals.requests:
            print("Calls that two of these sessions hold count once in the sum.")
    return tell_skipped([(p.path, p.text) for p in problems if p.kind in NOT_READ])


def _newest_of_logs(options: argparse.Namespace) -> tuple[list[Any], list[Any]]:
    """(sessions, problems of none of them)"""
    from session_usage.sessions import chosen, listed

    library = open_library(options)
    since, until = chosen_window(options)
    items = chosen(listed(library), workspace=options.workspace, since_ms=since, until_ms=until)
    sessions = [library.load(item.ref) for item in items[: options.number]]
    return sessions, library.problems


def _newest_of_ledger(options: argparse.Namespace, index: Index) -> tuple[list[Any], list[Any]]:
    from session_usage.ledger import codec

    since, until = chosen_window(options)
    rows, _ = index.reader.sessions(
        agents=agents_of(options), workspace=options.workspace, since_ms=since, until_ms=until,
        limit=options.number,
    )  # fmt: skip
    found = [codec.loads(row) for row in rows]
    refs = [index.reader.find(row["id"], (row["agent"],)) for row in found]
    return [index.reader.load(ref) for ref in refs], []


def explain(options: argparse.Namespace) -> None:
    """``explain``: the chain from a figure to log lines and rate rows."""

    from session_usage.explain import explain

    session = _session(options)
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
