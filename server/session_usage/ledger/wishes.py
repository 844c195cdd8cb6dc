"""Settings that decide what is kept. They lie in the ledger, where its keeper finds them,
whichever process that is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from session_usage.places import Places

if TYPE_CHECKING:
    import sqlite3

_DAY_MS = 86_400_000


class Wishes(NamedTuple):
    """What the settings say; the last process that says so wins."""

    excluded: tuple[str, ...] = ()
    retention_days: int = 0
    user_data_dirs: tuple[str, ...] = ()
    agent_log_dirs: tuple[str, ...] = ()
    prices: str | None = None
    """The user's price file."""


def wish(connection: sqlite3.Connection, wishes: Wishes) -> None:
    """Writes the settings where the keeper looks for them. Folders of logs only grow: each
    window knows of its own."""
    from session_usage.ledger import codec, store

    with store.transaction(connection):
        before = wished(connection)
        merged = wishes._replace(
            user_data_dirs=union(before.user_data_dirs, wishes.user_data_dirs),
            agent_log_dirs=union(before.agent_log_dirs, wishes.agent_log_dirs),
        )
        if merged != before:
            store.put(connection, "wishes", codec.dumps(list(merged)))


def wished(connection: sqlite3.Connection) -> Wishes:
    """The settings as last written."""
    from session_usage.ledger import store

    data = store.get(connection, "wishes")
    if data is None:
        return Wishes()
    excluded, days, user_data, agent_logs, prices = json.loads(data)
    return Wishes(tuple(excluded), days, tuple(user_data), tuple(agent_logs), prices)


def widened(places: Places, wishes: Wishes) -> Places:
    """The places with the folders that any process that keeps the ledger was told of."""
    return places._replace(
        user_data_dirs=union(places.user_data_dirs, wishes.user_data_dirs),
        agent_log_dirs=union(places.agent_log_dirs, wishes.agent_log_dirs),
    )


def retained_from(wishes: Wishes) -> int:
    """Before this instant, epoch milliseconds, nothing is to be kept; 0 where all is."""
    if not wishes.retention_days:
        return 0
    return (int(time.time() * 1000) // _DAY_MS - wishes.retention_days) * _DAY_MS


def union(one: Iterable[str], other: Iterable[str]) -> tuple[str, ...]:
    """Both, each once."""
    return tuple(dict.fromkeys((*one, *other)))
