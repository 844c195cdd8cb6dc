"""Does the ledger, as it stands, say what the logs say? For those who only want to read it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import NamedTuple

from session_usage import __version__
from session_usage.ledger import codec, listing, store
from session_usage.ledger.wishes import retained_from, widened, wished
from session_usage.places import Places
from session_usage.pricing import Prices


class Standing(NamedTuple):
    """What a look at the ledger and the logs has shown."""

    prices: Prices | None = None
    """Those that the ledger was added up with, if a sweep would change nothing."""
    seen: listing.Seen | None = None
    """What a sweep would find, if that can be told without one."""


def standing(
    connection: sqlite3.Connection,
    places: Places,
    load_prices: Callable[[str | None], tuple[Prices, str]],
) -> Standing:
    """Is the ledger as true as the logs? Raises sqlite3.Error."""
    if connection.execute("PRAGMA user_version").fetchone()[0] != store.VERSION:
        return Standing()
    connection.execute("BEGIN")  # one moment for all that is asked
    try:
        wishes = wished(connection)
        prices, stamp = load_prices(wishes.prices)
        told = dict(connection.execute("SELECT name, value FROM meta").fetchall())
        same = (
            told.get("complete")
            and (told.get("prices"), told.get("program")) == (stamp, __version__)
            and json.loads(told.get("fields", "0")) == codec.names()
            and json.loads(told.get("excluded", "0")) == list(wishes.excluded)
            and int(told.get("forget_before", 0)) >= retained_from(wishes)
            and not connection.execute("SELECT EXISTS(SELECT 1 FROM dirty)").fetchone()[0]
        )
        seen = listing.look(connection, widened(places, wishes)) if same else None
    finally:
        connection.execute("COMMIT")
    return Standing(prices if seen and not seen.grown else None, seen)
