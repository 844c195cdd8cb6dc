"""What several commands share: where logs and prices are, windows, and how answers are written."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from session_usage.errors import SessionUsageError, UsageError

NOT_READ = ("missing", "unreadable", "locked")
"""Problems of a source that could not be read at all."""


MANY = 100
"""Sessions for which a person at a terminal is shown how far the reading is."""


class LedgerUnusable(SessionUsageError):
    """The ledger cannot be read, or not be written."""


def fail(error: object, code: int) -> int:
    """Says on one line of stderr what went wrong; returns the exit code."""
    print(f"session-usage: {error}", file=sys.stderr)
    return code


def open_library(options: argparse.Namespace) -> Any:
    """The sources of the agents and folders that the options name; nothing is opened yet."""

    from session_usage.places import here
    from session_usage.sessions import Library

    for folder in (options.home, *(options.user_data_dir or ()), *(options.agent_log_dir or ())):
        must_exist(folder)
    places = here(options.home, options.user_data_dir or (), options.agent_log_dir or ())
    return Library(places, options.agent)


def must_exist(folder: str | None) -> None:
    """UsageError where the user named a folder that is not there."""
    import os

    if folder is not None and not os.path.isdir(folder):
        raise UsageError(f"no such folder: {folder}")


def price_table(options: argparse.Namespace) -> Any:
    """The user's own price file, else the table in use."""

    from session_usage import pricing
    from session_usage.places import here

    return pricing.load(options.prices, refreshed=here().prices())


def chosen_window(options: argparse.Namespace) -> tuple[int | None, int | None]:
    """(from, to) of the options, epoch milliseconds, half-open, None where open."""
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
    if since is not None and until is not None and since >= until:
        raise UsageError(
            f"the window from --since {options.since} to --until {options.until} "
            "ends before it starts"
        )
    return since, until


def new_fold(options: argparse.Namespace, by: Iterable[str] = ()) -> Any:
    """An empty report over the window and zone of the options."""

    from session_usage.report import Fold, Zone
    from session_usage.windows import Window

    since, until = chosen_window(options)
    contains = None if since is None and until is None else Window(since, until).contains
    return Fold(price_table(options), by, contains, Zone(options.zone))


def watched(library: Any, sessions: Iterator[Any]) -> Iterator[Any]:
    """``sessions`` with a progress bar where a person waits for a long scan."""
    if len(library.refs) < MANY or not sys.stderr.isatty():
        return sessions
    from rich.progress import track

    steps: Iterator[Any] = iter(
        track(
            sessions, "Reading logs", total=len(library.refs), transient=True,
            console=console(sys.stderr),
        )
    )  # fmt: skip
    return steps


def console(stream: Any) -> Any:
    """A rich console that lets a closed pipe end the command."""

    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise

    return Plain(file=stream)


def write_json(value: Any) -> None:
    """One JSON value, indented, to stdout."""
    text = ""
    if "orjson" in sys.modules:  # to import it takes longer than a short answer
        import orjson

        # a file's name that is no text, an amount of more than 64 bits
        with suppress(TypeError):
            text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    if not text:
        import json

        text = json.dumps(value, indent=2, ensure_ascii=False)
        try:
            text.encode()
        except UnicodeEncodeError:
            text = json.dumps(value, indent=2)
    sys.stdout.write(text + "\n")


def camel(value: Any) -> Any:
    """JSON values with the names of the wire."""
    if isinstance(value, dict):
        return {_camel_name(name): camel(item) for name, item in value.items()}
    return [camel(item) for item in value] if isinstance(value, list) else value


def _camel_name(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def write_csv(rows: list[dict[str, Any]]) -> None:
    """Rows of equal keys as CSV with a header; lists are joined by spaces."""
    import csv

    if not rows:
        return
    writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: " ".join(v) if isinstance(v, list) else v for k, v in row.items()})


def agents_of(options: argparse.Namespace) -> tuple[str, ...]:
    """The agents that --agent names; empty for all. Raises UnknownAgent."""
    from session_usage.providers import agents

    return () if options.agent == "all" else tuple(p.agent for p in agents(options.agent))


def tell_skipped(files: Iterable[tuple[str, str]]) -> int:
    """2 and a line for each (path, reason) that is not in what was printed; 0 for none."""
    code = 0
    for path, reason in files:
        code = fail(f"{path}: {reason}", 2)
    return code


def started_in(options: argparse.Namespace) -> Any:
    """The window of a report on plain agent logs: days are UTC unless a zone is named."""
    if not options.window:
        return None
    from session_usage import windows

    return windows.parse(options.window, int(time.time() * 1000), options.zone or "UTC")
