"""The ledger, for commands that add up or list: where one is kept, it is as true as the logs,
and knows deleted ones too. The command makes one only when it is told to (``index``)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from session_usage.cli.common import MANY, LedgerUnusable, console, fail, write_csv, write_json
from session_usage.errors import SessionUsageError

if TYPE_CHECKING:
    from session_usage.ledger.keeper import Keeper
    from session_usage.ledger.query import Reader
    from session_usage.places import Places
    from session_usage.pricing import Prices


class LedgerBusy(SessionUsageError):
    """Another process keeps the ledger."""


class Index(NamedTuple):
    """A ledger that holds what the logs hold, and the prices that it was added up with."""

    reader: Reader
    prices: Prices


@contextmanager
def indexed(options: argparse.Namespace) -> Iterator[Index | None]:
    """The ledger, brought up to date; None where the logs must be read.

    That is where there is none, where it was never complete, where another process keeps it
    and is behind, and where the options name folders or prices that are not those of the ledger.
    """
    own = options.prices or options.user_data_dir or options.agent_log_dir
    places, path = _of(options)
    if options.no_ledger or own or not os.path.isfile(path):
        yield None
        return
    import sqlite3

    from session_usage.ledger import store

    def unused(error: Exception) -> LedgerUnusable:
        return LedgerUnusable(
            f"{path} is not used ({error}): sessions whose logs are gone are missing;"
            " `session-usage index` tells more or makes it anew"
        )

    with ExitStack() as opened:
        index = None
        try:
            index = _index(path, places, opened)
        except (OSError, sqlite3.Error, store.Damaged, store.Newer) as error:
            fail(unused(error), 0)
        try:
            yield index
        except SessionUsageError:
            raise
        except Exception as error:
            if index is not None and store.is_damage(error, index.reader.connection):
                raise unused(error) from error
            raise


def _index(path: str, places: Places, opened: ExitStack) -> Index | None:
    from session_usage.ledger.prices import load_prices
    from session_usage.ledger.query import Reader
    from session_usage.ledger.standing import standing

    reader = opened.enter_context(closing(Reader(path)))
    found = standing(reader.connection, places, lambda file: load_prices(places, file))
    if found.prices is not None:
        return Index(reader, found.prices)
    from session_usage.ledger import store

    keeper = opened.enter_context(closing(_keeper(path, places, anew=False)))
    if not store.get(keeper.connection, "complete"):
        return None
    if keeper.lock.take():
        keeper.scanner.folders.seen = found.seen
        _sweep(keeper)
        keeper.lock.release()
    elif keeper.behind():
        return None
    return Index(reader, keeper.prices())


def trouble(options: argparse.Namespace) -> list[dict[str, Any]]:
    """What is wrong with the ledger, as problems of ``doctor``: it is read and not changed."""
    _, path = _of(options)
    if options.no_ledger or not os.path.isfile(path):
        return []
    import sqlite3

    from session_usage.ledger import store
    from session_usage.ledger.upgrade import known

    try:
        with closing(store.reader(path)) as connection:
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found == store.VERSION:
                store.check(connection)
            else:
                known(found)
    except (OSError, sqlite3.Error, store.Damaged, store.Newer) as error:
        return [
            {
                "kind": "ledger", "path": path, "offset": None, "message": f"is not used: {error}",
                "agent": None, "session": None,
            }
        ]  # fmt: skip
    return []


def index(options: argparse.Namespace) -> None:
    """``index``: all logs into the ledger, from which the other commands then answer."""
    import sqlite3

    from session_usage.ledger import store

    places, path = _of(options)
    try:
        try:
            found = _made(path, places)
        except store.Damaged:  # and set aside by now
            found = _made(path, places)
    except BrokenPipeError:
        raise
    except store.Newer as error:
        raise store.Newer(f"{path}: {error}") from error
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise LedgerUnusable(
            f"{path} cannot be written ({reason}): make room or let it be written, or name"
            " another folder in SESSION_USAGE_HOME"
        ) from error
    if options.format == "json":
        write_json(found)
    elif options.format == "csv":
        write_csv([found])
    else:
        print(f"{found['sessions']} sessions of {found['sources']} files are in {path}")


def _made(path: str, places: Places) -> dict[str, Any]:
    """Raises store.Damaged after it has set aside a ledger that is damaged within."""
    from session_usage.ledger import store
    from session_usage.ledger.query import Reader

    with closing(_keeper(path, places)) as keeper:
        if keeper.problem:
            fail(keeper.problem, 0)
        if not keeper.lock.take():
            raise LedgerBusy(f"{path}: another process keeps this ledger up to date already")
        try:
            store.check(keeper.connection)
            _sweep(keeper)
            with closing(Reader(path)) as reader:
                return reader.info()
        except Exception as error:
            if not store.is_damage(error, keeper.connection):
                raise
            keeper.connection.close()
            fail(store.set_aside(path, error), 0)
            raise store.Damaged(str(error)) from error


def _sweep(keeper: Keeper) -> None:
    """With a progress bar where a person waits for much that changed."""
    with ExitStack() as shown:
        advance: Callable[[int], object] = lambda done: None  # noqa: E731

        def tell(done: int, of: int) -> None:
            nonlocal advance
            if not done and of >= MANY and sys.stderr.isatty():
                from rich.progress import Progress

                bar = shown.enter_context(Progress(console=console(sys.stderr), transient=True))
                task = bar.add_task("Reading logs", total=of)
                advance = lambda done: bar.update(task, completed=done)  # noqa: E731
            advance(done)

        keeper.sweep(tell=tell)


def _of(options: argparse.Namespace) -> tuple[Places, str]:
    from session_usage.ledger.address import path_of
    from session_usage.places import here

    places = here(options.home, options.user_data_dir or (), options.agent_log_dir or ())
    return places, path_of(places)


def _keeper(path: str, places: Places, anew: bool = True) -> Keeper:
    from session_usage.ledger.keeper import Keeper
    from session_usage.ledger.prices import load_prices

    return Keeper(path, places, lambda user_file: load_prices(places, user_file), anew)
