"""The command ``session-usage``: the same reports as the API and the server, in a terminal.

A command's module is imported when it runs, and by it whatever is slow to import (rich, pygls,
datetime).
"""

from __future__ import annotations

import argparse
import gc
import io
import sys
from collections.abc import Sequence
from importlib import import_module

from session_usage.cli.common import LedgerUnusable, fail
from session_usage.cli.parser import parser
from session_usage.errors import NotFound, SessionUsageError, UsageError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code. Errors are one line on stderr."""
    gc.disable()  # a command makes no cycles worth looking for; looking costs a tenth
    _write_somewhere()
    _write_anything()
    try:
        try:
            words = sys.argv[1:] if argv is None else argv
            return _run(parser(words).parse_args(words))
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
        module, name = options.run.split(".")
        command = getattr(import_module(f"session_usage.cli.{module}"), name)
        try:
            result: int = command(options) or 0
        except LedgerUnusable as error:
            if options.command == "index":
                raise
            fail(error, 0)  # found while it was read, before anything was written
            options.no_ledger = True
            result = command(options) or 0
    except NotFound as error:
        return fail(error, 2 if isinstance(error, UsageError) else 1)
    except SessionUsageError as error:
        return fail(error, 2)
    except BrokenPipeError:
        raise
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        return fail(f"{named}{error.strerror or error}", 2)
    except KeyboardInterrupt:
        return 130
    return result


def _write_somewhere() -> None:
    """What the caller closed is written to nowhere, not to the next file that is opened."""
    import os

    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            setattr(sys, name, os.fdopen(nowhere, "w", closefd=False))


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
