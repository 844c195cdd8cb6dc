"""The command ``session-usage``: the same reports as the API and the server, in a terminal.

Everything slow to import (rich, pygls, datetime) is imported by the commands that use it.
"""

from __future__ import annotations

import argparse
import gc
import io
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

from session_usage import __version__
from session_usage.errors import NotFound, SessionUsageError, UsageError

_SHOWN = 3
_NOT_READ = ("missing", "unreadable", "locked")
"""Problems of a source that could not be read at all."""
EPILOG = """\
exit codes: 0 done; 1 nothing of that name exists; 2 wrong usage, bad input or a bad file.
Amounts: billed = the server's figure; priced = tokens x list price of the day (=);
estimated = something assumed (~); unknown = not in the logs (—). 1 credit = 0.01 USD.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code. Errors are one line on stderr."""
    gc.disable()  # a command makes no cycles worth looking for; looking costs a tenth
    _write_anything()
    try:
        try:
            return _run(parser().parse_args(argv))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        return 0


def _run(options: argparse.Namespace) -> int:
    try:
        if options.json and options.csv:
            raise UsageError("--json does not go with --csv; choose one")
        if options.json or options.csv:
            options.format = "json" if options.json else "csv"
        result: int = options.run(options) or 0
    except NotFound as error:
        return _fail(error, 2 if isinstance(error, UsageError) else 1)
    except SessionUsageError as error:
        return _fail(error, 2)
    except BrokenPipeError:
        raise
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        return _fail(f"{named}{error.strerror or error}", 2)
    except KeyboardInterrupt:
        return 130
    return result


def _fail(error: object, code: int) -> int:
    print(f"session-usage: {error}", file=sys.stderr)
    return code


def _write_anything() -> None:
    """Files and pipes get UTF-8; what a terminal's encoding lacks is replaced, not fatal."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="replace")


def _drop_output() -> None:
    """The reader of our output is gone: the rest must not fail again at exit."""
    import os

    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


class _Parser(argparse.ArgumentParser):
    """Errors are one line that says where to look, not the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"session-usage: {message}; see `{self.prog} --help`\n")


def parser() -> argparse.ArgumentParser:
    """The whole command line; global options are taken before and after the command."""
    top = _Parser(
        prog="session-usage",
        description="What AI coding agents' sessions cost, exactly, from their local logs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"session-usage {__version__}")
    _add_common(top, suppress=False)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        _add_common(made, suppress=True)
        made.set_defaults(run=run)
        return made

    latest = command("latest", _latest, "the newest session")
    latest.add_argument("--workspace", help="only sessions of folders with this in their path")
    show = command("show", _show, "one session, by id or by path of its log")
    show.add_argument("session", metavar="ID|PATH")
    for made in (latest, show):
        made.add_argument(
            "--detail",
            default="compact",
            metavar="LEVEL",
            help="minimal, compact (default) or full",
        )  # fmt: skip
    find = command("find", _list, "sessions by title")
    find.add_argument("text", metavar="TITLE", help="part of the title, in any case")
    listing = command("list", _list, "sessions, the newest first")
    listing.add_argument("--text", help="part of the title or id")
    for made in (find, listing):
        made.add_argument("--regex", metavar="PATTERN", help="regular expression for title or id")
        made.add_argument("--workspace", help="only folders with this in their path")
        made.add_argument("--limit", type=_count, default=50, help="how many (default 50)")
        made.add_argument("--cursor", help="go on after the page that gave this cursor")
        _add_window(made)
    batch = command("batch", _batch, "the newest sessions with what each cost")
    batch.add_argument("number", metavar="N", type=_count)
    batch.add_argument("--workspace", help="only folders with this in their path")
    _add_window(batch)
    report = command("report", _report, "totals over all sessions, broken down as you like")
    report.add_argument("--by", help="comma-separated: model, agent, provider, session, day, …")
    _add_window(report)
    explain = command("explain", _explain, "why a figure is what it is, down to the log line")
    explain.add_argument("session", metavar="ID|PATH")
    explain.add_argument(
        "figure", nargs="?", default="total",
        help="total (default), model=…, subagent=…, skill=…, turn=… or request=…",
    )  # fmt: skip
    replay = command("replay", _replay, "a session as a readable transcript")
    replay.add_argument("session", metavar="ID|PATH")
    usage = command("usage", _usage, "outcomes, tokens and costs by provider and model")
    usage.add_argument("--window", metavar="W", help="sessions that started in it, e.g. 7d")
    routing = command("routing", _routing, "how often agents' choice of model was overruled")
    routing.add_argument("folder", nargs="?", metavar="DIR", help="a folder of plain agent logs")
    routing.add_argument("--window", metavar="W", help="sessions that started in it, e.g. 7d")
    prices = command("prices", _prices_or_source, "the price table in use")
    prices.add_argument(
        "model", nargs="?",
        help="only this model; or status: which table is in use; or refresh: download a newer one",
    )  # fmt: skip
    prices.add_argument("--url", help="where refresh finds the table (default: GitHub's docs)")
    prices.add_argument("--on", metavar="DAY", help="rates in force on that day")
    command("doctor", _doctor, "which logs exist, what is switched off, what cannot be read")
    command("demo", _demo, "a report of the bundled sample sessions")
    serve = command("serve", _serve, "answer an editor: JSON-RPC on stdin and stdout")
    serve.add_argument("--stdio", action="store_true", help=argparse.SUPPRESS)
    serve.add_argument("--clientProcessId", metavar="N", help=argparse.SUPPRESS)
    serve.add_argument("--tcp", type=int, metavar="PORT", help="wait for one client there")
    serve.add_argument("--websocket", type=int, metavar="PORT", help="the same over WebSocket")
    serve.add_argument(
        "--host", default="127.0.0.1", help="address to listen at; other than this machine's "
        "own only with --token",
    )  # fmt: skip
    serve.add_argument("--token", help="a word that clients must send in initializationOptions")
    completion = command("completion", _completion, "print a completion script for a shell")
    completion.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    return top


def _add_common(to: argparse.ArgumentParser, suppress: bool) -> None:
    def default(value: Any) -> Any:
        # a default of the command must not undo what was given before the command
        return argparse.SUPPRESS if suppress else value

    group = to.add_argument_group("where and how")
    group.add_argument(
        "--home", metavar="DIR", default=default(None),
        help="read agents' logs as if DIR were the home folder",
    )  # fmt: skip
    group.add_argument(
        "--user-data-dir", metavar="DIR", action="append", default=default(None),
        help="one more VS Code user-data folder (it holds User/); repeatable",
    )  # fmt: skip
    group.add_argument(
        "--agent-log-dir", metavar="DIR", action="append", default=default(None),
        help="one more folder of plain agent logs; repeatable",
    )  # fmt: skip
    group.add_argument(
        "--agent", metavar="NAME", default=default("all"), help="one agent, or all (default)"
    )
    group.add_argument(
        "--prices", metavar="FILE", default=default(None), help="your own price file (YAML)"
    )
    group.add_argument("--zone", metavar="ZONE", default=default(None), help="zone of your days")
    group.add_argument(
        "--format", choices=("table", "json", "csv"), default=default("table"), help="output"
    )
    group.add_argument(
        "--json", action="store_true", default=default(False), help="same as --format json"
    )
    group.add_argument(
        "--csv", action="store_true", default=default(False), help="same as --format csv"
    )
    group.add_argument(
        "--no-ledger", action="store_true", default=default(False),
        help="answer from the logs alone",
    )  # fmt: skip


def _add_window(to: argparse.ArgumentParser) -> None:
    to.add_argument("--since", metavar="WHEN", help="2026-06-01, an instant, 7d, 24h, today")
    to.add_argument("--until", metavar="WHEN", help="the same; a day counts to its end")
    to.add_argument("--window", metavar="W", help="today, 7d, month, 2026-06-01..2026-06-30, …")


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


_count.__name__ = "positive number"


def _library(options: argparse.Namespace) -> Any:
    from session_usage.places import here
    from session_usage.sessions import Library

    for folder in (options.home, *(options.user_data_dir or ()), *(options.agent_log_dir or ())):
        _must_exist(folder)
    places = here(options.home, options.user_data_dir or (), options.agent_log_dir or ())
    return Library(places, options.agent)


def _must_exist(folder: str | None) -> None:
    import os

    if folder is not None and not os.path.isdir(folder):
        raise UsageError(f"no such folder: {folder}")


def _price_table(options: argparse.Namespace) -> Any:
    from session_usage import pricing
    from session_usage.places import here

    return pricing.load(options.prices, refreshed=here().prices())


def _prices_or_source(options: argparse.Namespace) -> None:
    if options.model in ("status", "refresh"):
        _price_source(options)
    else:
        _prices(options)


def _price_source(options: argparse.Namespace) -> None:
    """The table in use, after a download where the user asked for one."""
    from session_usage import refresh
    from session_usage.places import here

    where = here().prices()
    if options.model == "refresh":
        refresh.download(where, options.url or refresh.URL)
    found = refresh.status(where)
    if options.format == "json":
        _json(found)
    elif options.format == "csv":
        _csv([found])
    else:
        for name, value in found.items():
            if value is not None:
                print(f"{name.replace('_', ' '):16} {value}")


def _window(options: argparse.Namespace) -> tuple[int | None, int | None]:
    if not (options.since or options.until or options.window):
        return None, None
    from session_usage import windows
    from session_usage.places import system_zone

    if options.window and (options.since or options.until):
        raise UsageError("--window does not go with --since or --until")
    now_ms = int(time.time() * 1000)
    zone = options.zone or system_zone()
    if options.window:
        window = windows.parse(options.window, now_ms, zone)
        return window.start_ms, window.end_ms
    since = windows.bound(options.since, now_ms, zone) if options.since else None
    until = windows.bound(options.until, now_ms, zone, end=True) if options.until else None
    return since, until


def _fold(options: argparse.Namespace, by: Iterable[str] = ()) -> Any:
    from session_usage.report import Fold, Zone
    from session_usage.windows import Window

    since, until = _window(options)
    contains = None if since is None and until is None else Window(since, until).contains
    return Fold(_price_table(options), by, contains, Zone(options.zone))


def _watched(library: Any, sessions: Iterator[Any]) -> Iterator[Any]:
    """``sessions`` with a progress bar where a person waits for a long scan."""
    if len(library.refs) < 100 or not sys.stderr.isatty():
        return sessions
    from rich.progress import track

    steps: Iterator[Any] = iter(
        track(
            sessions, "Reading logs", total=len(library.refs), transient=True,
            console=_console(sys.stderr),
        )
    )  # fmt: skip
    return steps


def _console(stream: Any) -> Any:
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise

    return Plain(file=stream)


def _json(value: Any) -> None:
    try:
        from orjson import OPT_INDENT_2, dumps

        text = dumps(value, option=OPT_INDENT_2).decode()
    except (ImportError, TypeError):
        # not installed; or a file's name that is no text, an amount of more than 64 bits
        import json

        text = json.dumps(value, indent=2)
    sys.stdout.write(text + "\n")


def _latest(options: argparse.Namespace) -> int:
    from session_usage.errors import SessionNotFound
    from session_usage.sessions import chosen, listed

    library = _library(options)
    for item in chosen(listed(library), workspace=options.workspace):
        session = library.load(item.ref)
        if item.ref.sources or session.requests or session.unattributed:
            return _print_session(options, session)
    where = f" in {options.workspace}" if options.workspace else ""
    raise SessionNotFound(f"no sessions{where}; `session-usage doctor` shows where they may be")


def _show(options: argparse.Namespace) -> int:
    from session_usage.sessions import find

    library = _library(options)
    return _print_session(options, library.load(find(library, options.session)))


def _print_session(options: argparse.Namespace, session: Any) -> int:
    from session_usage.report import session_report

    report = session_report(session, _price_table(options), options.detail)
    if options.format == "json":
        _json(report)
    elif options.format == "csv":
        _csv([{"model": row["model"], **row} for row in report.get("models", [report["totals"]])])
    else:
        from session_usage import terminal

        terminal.session(_console(sys.stdout), report)
    return _skipped(session.problems)


def _skipped(problems: Iterable[Any]) -> int:
    """2 and a line for each file that is not in what was printed; 0 when nothing is missing."""
    code = 0
    for problem in problems:
        if problem.kind in _NOT_READ:
            code = _fail(f"{problem.path}: {problem.text}", 2)
    return code


def _list(options: argparse.Namespace) -> None:
    from session_usage.sessions import chosen, listed

    library = _library(options)
    since, until = _window(options)
    items = chosen(
        listed(library), text=options.text, pattern=options.regex,
        workspace=options.workspace, since_ms=since, until_ms=until,
    )  # fmt: skip
    start = _cursor(options.cursor)
    page = items[start : start + options.limit]
    more = start + len(page) < len(items)
    rows = [_listed_row(item) for item in page]
    if options.format == "json":
        _json({"sessions": rows, "cursor": str(start + len(page)) if more else None})
    elif options.format == "csv":
        _csv(rows)
    else:
        from session_usage import terminal

        terminal.listing(_console(sys.stdout), rows, len(items))


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


def _batch(options: argparse.Namespace) -> int:
    from session_usage.report import Fold, session_report
    from session_usage.sessions import chosen, listed

    library = _library(options)
    prices = _price_table(options)
    since, until = _window(options)
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
        _json({"summary": fold.totals.wire(), "sessions": rows})
    elif options.format == "csv":
        _csv([{**{k: v for k, v in row.items() if k != "totals"}, **row["totals"]} for row in rows])
    else:
        from session_usage import terminal

        terminal.batch(_console(sys.stdout), rows, fold.totals.wire())
    return _skipped([*problems, *library.problems])


def _report(options: argparse.Namespace) -> int:
    from session_usage.report import NEEDS_FULL, problem_wire

    by = tuple(name.strip() for name in options.by.split(",")) if options.by else ()
    fold = _fold(options, by)
    library = _library(options)
    problems = []
    for session in _watched(library, library.all(full=bool(NEEDS_FULL & set(by)))):
        fold.add(session)
        problems += session.problems
    problems += library.problems
    skipped = [p for p in problems if p.kind in _NOT_READ]
    report = {
        **fold.wire(),
        "skipped": [{"path": p.path, "reason": p.text} for p in skipped],
        "problems": [problem_wire(problem) for problem in problems],
    }
    if options.format == "json":
        _json(report)
    elif options.format == "csv":
        _report_csv(report)
    else:
        from session_usage import terminal

        terminal.report(_console(sys.stdout), report, by)
        if not library.refs:
            print("No sessions found. `session-usage doctor` shows where they may be,")
            print("`session-usage demo` a report of sample sessions.")
    return _skipped(skipped)


def _report_csv(report: dict[str, Any]) -> None:
    rows = [{**row.pop("key"), **row} for row in report["rows"]]
    _csv(rows or [report["totals"]])


def _explain(options: argparse.Namespace) -> None:
    from session_usage.explain import explain
    from session_usage.sessions import find

    library = _library(options)
    session = library.load(find(library, options.session))
    chain = explain(session, _price_table(options), options.figure)
    if options.format == "json":
        _json(chain)
    elif options.format == "csv":
        _csv([{**part, "rate": None} for part in chain["parts"]])
    else:
        from session_usage import terminal

        terminal.explain(_console(sys.stdout), chain)


def _replay(options: argparse.Namespace) -> None:
    """Exactly as it was written for plain agent logs, made of messages for other agents."""
    from session_usage import replay
    from session_usage.conversations import about, messages_of, wire
    from session_usage.sessions import find

    library = _library(options)
    ref = find(library, options.session)
    if ref.agent == "agent-log" and options.format != "json":
        replay.replay_log(ref.sources[0].path, sys.stdout.write)
        return
    meta = about(library, ref)
    messages = messages_of(library, ref, meta)
    if options.format == "json":
        import json

        for one in messages:
            found = _camel(wire(one, raw=False))
            sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
        return
    label = library.providers[ref.agent].label
    replay.replay_messages(label, meta, messages, sys.stdout.write)


def _usage(options: argparse.Namespace) -> int:
    from session_usage.agent_usage import aggregate_usage, csv_text

    window = _started_in(options)
    skipped: list[Any] = []
    if options.agent_log_dir and options.agent in ("all", "agent-log"):
        for folder in options.agent_log_dir:
            _must_exist(folder)
        report = aggregate_usage(options.agent_log_dir, window)
    else:
        from session_usage.overview import aggregate_sessions

        library = _library(options)
        sessions = list(_watched(library, library.all()))
        report = aggregate_sessions(sessions, _price_table(options), window)
        problems = [problem for session in sessions for problem in session.problems]
        skipped = [p for p in (*problems, *library.problems) if p.kind in _NOT_READ]
        report["skipped"] = [{"path": p.path, "offset": None, "reason": p.text} for p in skipped]
    if options.format == "json":
        _json(_camel(report))
    elif options.format == "csv":
        sys.stdout.write(csv_text(report))
    else:
        from session_usage import terminal

        terminal.usage(_console(sys.stdout), report)
    return _skipped(skipped)


def _routing(options: argparse.Namespace) -> None:
    from session_usage.routing import RoutingScan, routing_metrics, scan_routing_quality

    folders = [options.folder] if options.folder else options.agent_log_dir
    if not folders:
        raise UsageError("name a folder of plain agent logs, or --agent-log-dir")
    window = _started_in(options)
    scans = []
    for folder in folders:
        _must_exist(folder)
        scans.append(scan_routing_quality(folder, window))
    scan = RoutingScan(
        sum(one.total_requests for one in scans),
        [event for one in scans for event in one.overrides],
        [skipped for one in scans for skipped in one.skipped],
    )
    report = {**routing_metrics(scan), "skipped": scan.skipped}
    if options.format == "json":
        _json(_camel(report))
    elif options.format == "csv":
        _csv(report["override_class_breakdown"])
    else:
        from session_usage import terminal

        terminal.routing(_console(sys.stdout), report)


def _started_in(options: argparse.Namespace) -> Any:
    """The window of a report on plain agent logs: days are UTC unless a zone is named."""
    if not options.window:
        return None
    from session_usage import windows

    return windows.parse(options.window, int(time.time() * 1000), options.zone or "UTC")


def _camel(value: Any) -> Any:
    """JSON values with the names of the wire."""
    if isinstance(value, dict):
        return {_camel_name(name): _camel(item) for name, item in value.items()}
    return [_camel(item) for item in value] if isinstance(value, list) else value


def _camel_name(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _prices(options: argparse.Namespace) -> None:
    from session_usage.explain import rate_wire

    if options.on:
        from session_usage import windows

        windows.parse(f"{options.on}..{options.on}", 0)  # a day that exists
    rates = _price_table(options).rates(options.model, options.on)
    if not rates:
        raise NotFound(f"no price for {options.model!r}; `session-usage prices` lists all models")
    if options.format == "json":
        _json({"rates": [rate_wire(rate) for rate in rates]})
    elif options.format == "csv":
        _csv([rate_wire(rate) for rate in rates])
    else:
        from session_usage import terminal

        terminal.prices(_console(sys.stdout), [rate._asdict() for rate in rates])


def _doctor(options: argparse.Namespace) -> None:
    from session_usage.doctor import examine

    library = _library(options)
    found = examine(library)
    if options.format == "json":
        _json(found)
    elif options.format == "csv":
        _csv([_doctor_row(agent) for agent in found["agents"]])
    else:
        from session_usage import terminal

        terminal.doctor(_console(sys.stdout), found)


def _doctor_row(agent: dict[str, Any]) -> dict[str, Any]:
    return {
        **agent,
        "sources": [f"{kind}={count}" for kind, count in agent["sources"].items()],
        "off": [switch["setting"] for switch in agent["off"]],
    }


def _demo(options: argparse.Namespace) -> None:
    """The report and one explanation on logs that really were written by the agents."""
    import os

    from session_usage import terminal
    from session_usage.explain import explain
    from session_usage.places import here
    from session_usage.report import Fold
    from session_usage.sessions import Library

    samples = os.path.join(os.path.dirname(__file__), "data", "samples")
    roots = [("copilot-cli", os.path.join(samples, "copilot"))]
    storage = os.path.join(samples, "vscode", "User", "workspaceStorage")
    roots.append(("copilot-vscode", storage))
    library = Library(here(samples, roots=roots), "all")
    by = ("agent", "model")
    fold = Fold(_price_table(options), by)
    sessions = list(library.all())
    for session in sessions:
        fold.add(session)
    report = {**fold.wire(), "skipped": [], "problems": []}
    if options.format != "table":
        _json(report) if options.format == "json" else _report_csv(report)
        return
    out = _console(sys.stdout)
    out.print("[bold]These are bundled sample sessions, not yours.[/bold]")
    out.print(
        "Their logs were written by Copilot CLI and Copilot Chat; figures and texts are made up.\n"
    )
    terminal.report(out, report, by)
    dearest = max(sessions, key=lambda session: sum(r.nano_aiu or 0 for r in session.requests))
    out.print(f"\n[bold]Why this number?[/bold] The first {_SHOWN} calls of the dearest one:\n")
    chain = explain(dearest, _price_table(options))
    chain["parts"] = chain["parts"][:_SHOWN]
    terminal.explain(out, chain)
    out.print("\nYours: session-usage report, latest, list, show ID, explain ID, doctor")


def _serve(options: argparse.Namespace) -> None:
    for folder in (options.home, *(options.user_data_dir or ()), *(options.agent_log_dir or ())):
        _must_exist(folder)
    if options.host not in ("127.0.0.1", "::1", "localhost") and not options.token:
        raise UsageError("--host other than this machine needs --token")
    from session_usage.rpc.desk import Start
    from session_usage.rpc.transport import run

    start = Start(
        options.home, tuple(options.user_data_dir or ()), tuple(options.agent_log_dir or ()),
        options.prices, options.zone,
    )  # fmt: skip
    run(start, tcp=options.tcp, websocket=options.websocket, host=options.host, token=options.token)


def _completion(options: argparse.Namespace) -> None:
    import shtab

    print(shtab.complete(parser(), shell=options.shell))


def _csv(rows: list[dict[str, Any]]) -> None:
    import csv

    if not rows:
        return
    writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: " ".join(v) if isinstance(v, list) else v for k, v in row.items()})


if __name__ == "__main__":
    sys.exit(main())
