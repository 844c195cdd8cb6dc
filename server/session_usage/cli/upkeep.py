"""Commands about the price table, the sources, the server and the shell."""

from __future__ import annotations

import argparse
import gc
import sys
from typing import Any

from session_usage.cli.common import (
    console,
    must_exist,
    open_library,
    price_table,
    write_csv,
    write_json,
)
from session_usage.errors import NotFound, UsageError


def prices(options: argparse.Namespace) -> None:
    """``prices``: rows of the table, where it comes from, or a newer one."""
    if options.model in ("status", "refresh"):
        _price_source(options)
    else:
        _rates(options)


def _price_source(options: argparse.Namespace) -> None:
    """The table in use, after a download where the user asked for one."""
    from session_usage import refresh
    from session_usage.places import here

    where = here().prices()
    if options.model == "refresh":
        refresh.download(where, options.url or refresh.URL)
    found = refresh.status(where)
    if options.format == "json":
        write_json(found)
    elif options.format == "csv":
        write_csv([found])
    else:
        for name, value in found.items():
            if value is not None:
                print(f"{name.replace('_', ' '):16} {value}")


def _rates(options: argparse.Namespace) -> None:
    from session_usage.explain import rate_wire

    if options.on:
        from session_usage import windows

        windows.parse(f"{options.on}..{options.on}", 0)  # a day that exists
    rates = price_table(options).rates(options.model, options.on)
    if not rates:
        raise NotFound(f"no price for {options.model!r}; `session-usage prices` lists all models")
    if options.format == "json":
        write_json({"rates": [rate_wire(rate) for rate in rates]})
    elif options.format == "csv":
        write_csv([rate_wire(rate) for rate in rates])
    else:
        from session_usage import terminal

        terminal.prices(console(sys.stdout), [rate._asdict() for rate in rates])


def doctor(options: argparse.Namespace) -> None:
    """``doctor``: which sources exist, are switched off, or could not be read."""

    from session_usage.cli.index import trouble
    from session_usage.doctor import examine

    library = open_library(options)
    found = examine(library)
    found["problems"] += trouble(options)
    if options.format == "json":
        write_json(found)
    elif options.format == "csv":
        write_csv([_doctor_row(agent) for agent in found["agents"]])
    else:
        from session_usage import terminal

        terminal.doctor(console(sys.stdout), found)


def _doctor_row(agent: dict[str, Any]) -> dict[str, Any]:
    return {
        **agent,
        "sources": [f"{kind}={count}" for kind, count in agent["sources"].items()],
        "off": [switch["setting"] for switch in agent["off"]],
    }


def serve(options: argparse.Namespace) -> None:
    """``serve``: the server for editors, until its client goes."""
    for folder in (options.home, *(options.user_data_dir or ()), *(options.agent_log_dir or ())):
        must_exist(folder)
    if options.host not in ("127.0.0.1", "::1", "localhost") and not options.token:
        raise UsageError("--host other than this machine needs --token")
    # the classes of the protocol leave 9 MB behind, in cycles, and a server lives long
    gc.set_threshold(20_000)
    gc.enable()
    from session_usage.rpc.desk import Start
    from session_usage.rpc.transport import run

    start = Start(
        options.home, tuple(options.user_data_dir or ()), tuple(options.agent_log_dir or ()),
        options.prices, options.zone,
    )  # fmt: skip
    run(start, tcp=options.tcp, websocket=options.websocket, host=options.host, token=options.token)


def completion(options: argparse.Namespace) -> None:
    """``completion``: a shell's completion script."""
    import shtab

    from session_usage.cli.parser import parser

    print(shtab.complete(parser(), shell=options.shell))
