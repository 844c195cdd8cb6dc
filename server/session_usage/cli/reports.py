"""Commands that add up over many sessions."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from session_usage.cli.common import (
    NOT_READ,
    agents_of,
    camel,
    chosen_window,
    console,
    must_exist,
    new_fold,
    open_library,
    price_table,
    started_in,
    tell_skipped,
    watched,
    write_csv,
    write_json,
)
from session_usage.cli.index import Index, indexed
from session_usage.errors import UsageError


def report(options: argparse.Namespace) -> int:
    """``report``: totals over all sessions, by any dimensions."""
    by = tuple(name.strip() for name in options.by.split(",")) if options.by else ()
    with indexed(options) as index:
        fold, problems = _of_ledger(options, by, index) if index else _of_logs(options, by)
    skipped = [p for p in problems if p["kind"] in NOT_READ]
    report = {
        **fold.wire(),
        "skipped": [{"path": p["path"], "reason": p["message"]} for p in skipped],
        "problems": problems,
    }
    if options.format == "json":
        write_json(report)
    elif options.format == "csv":
        _report_csv(report)
    else:
        from session_usage import terminal

        terminal.report(console(sys.stdout), report, by)
        if not (report["totals"]["sessions"] or report["totals"]["requests"]):
            print("No sessions found. `session-usage doctor` shows where they may be,")
            print("`session-usage demo` a report of sample sessions.")
    return tell_skipped([(p["path"], p["message"]) for p in skipped])


def _of_logs(options: argparse.Namespace, by: tuple[str, ...]) -> tuple[Any, list[Any]]:
    from session_usage.report import NEEDS_FULL, problem_wire
    from session_usage.workers import add_all

    fold = new_fold(options, by)
    library = open_library(options)
    problems = add_all(library, fold, bool(NEEDS_FULL & set(by)), watched)
    return fold, [problem_wire(problem) for problem in problems]


def _of_ledger(
    options: argparse.Namespace, by: tuple[str, ...], index: Index
) -> tuple[Any, list[Any]]:
    from session_usage.ledger.filters import Filter
    from session_usage.ledger.folds import Folding
    from session_usage.report import Zone

    since, until = chosen_window(options)
    agents = agents_of(options)
    folding = Folding(index.reader, index.prices, Filter(agents), since, until, Zone(options.zone))
    problems = [p for p in index.reader.problems() if not agents or p["agent"] in agents]
    return folding.fold(by), problems


def _report_csv(report: dict[str, Any]) -> None:
    rows = [{**row.pop("key"), **row} for row in report["rows"]]
    write_csv(rows or [report["totals"]])


def usage(options: argparse.Namespace) -> int:
    """``usage``: outcomes, tokens and costs by provider and model."""

    from session_usage.agent_usage import aggregate_usage, csv_text

    window = started_in(options)
    skipped: list[Any] = []
    if options.agent_log_dir and options.agent in ("all", "agent-log"):
        for folder in options.agent_log_dir:
            must_exist(folder)
        report = aggregate_usage(options.agent_log_dir, window)
    else:
        from session_usage.overview import aggregate_sessions

        library = open_library(options)
        sessions = list(watched(library, library.all()))
        report = aggregate_sessions(sessions, price_table(options), window)
        problems = [problem for session in sessions for problem in session.problems]
        skipped = [p for p in (*problems, *library.problems) if p.kind in NOT_READ]
        report["skipped"] = [{"path": p.path, "offset": None, "reason": p.text} for p in skipped]
    if options.format == "json":
        write_json(camel(report))
    elif options.format == "csv":
        sys.stdout.write(csv_text(report))
    else:
        from session_usage import terminal

        terminal.usage(console(sys.stdout), report)
    return tell_skipped([(p.path, p.text) for p in skipped])


def routing(options: argparse.Namespace) -> None:
    """``routing``: how often the choice of a model was overruled."""

    from session_usage.routing import RoutingScan, routing_metrics, scan_routing_quality

    folders = [options.folder] if options.folder else options.agent_log_dir
    if not folders:
        raise UsageError("name a folder of plain agent logs, or --agent-log-dir")
    window = started_in(options)
    scans = []
    for folder in folders:
        must_exist(folder)
        scans.append(scan_routing_quality(folder, window))
    scan = RoutingScan(
        sum(one.total_requests for one in scans),
        [event for one in scans for event in one.overrides],
        [skipped for one in scans for skipped in one.skipped],
    )
    report = {**routing_metrics(scan), "skipped": scan.skipped}
    if options.format == "json":
        write_json(camel(report))
    elif options.format == "csv":
        write_csv(report["override_class_breakdown"])
    else:
        from session_usage import terminal

        terminal.routing(console(sys.stdout), report)


def demo(options: argparse.Namespace) -> None:
    """The report and one explanation on logs that really were written by the agents."""
    import os

    import session_usage
    from session_usage import terminal
    from session_usage.explain import explain
    from session_usage.places import here
    from session_usage.report import Fold
    from session_usage.sessions import Library

    samples = os.path.join(os.path.dirname(session_usage.__file__), "data", "samples")
    roots = [("copilot-cli", os.path.join(samples, "copilot"))]
    storage = os.path.join(samples, "vscode", "User", "workspaceStorage")
    roots.append(("copilot-vscode", storage))
    library = Library(here(samples, roots=roots), "all")
    by = ("agent", "model")
    fold = Fold(price_table(options), by)
    sessions = list(library.all())
    for session in sessions:
        fold.add(session)
    report = {**fold.wire(), "skipped": [], "problems": []}
    if options.format != "table":
        write_json(report) if options.format == "json" else _report_csv(report)
        return
    out = console(sys.stdout)
    out.print("[bold]These are bundled sample sessions, not yours.[/bold]")
    out.print(
        "Their logs were written by Copilot CLI and Copilot Chat; figures and texts are made up.\n"
    )
    terminal.report(out, report, by)
    dearest = max(sessions, key=lambda session: sum(r.nano_aiu or 0 for r in session.requests))
    out.print("\n[bold]Why this number?[/bold] The first 3 calls of the dearest one:\n")
    chain = explain(dearest, price_table(options))
    chain["parts"] = chain["parts"][:3]
    terminal.explain(out, chain)
    out.print("\nYours: session-usage report, latest, list, show ID, explain ID, doctor")
