"""The public Python API: what sessions cost, as plain dicts.

    from session_usage import api
    api.analyze_latest()["total"]["estimated_usd"]

Common arguments:

- ``agent``: ``vscode`` (GitHub Copilot Chat), ``cli`` (Copilot CLI and App), any other agent
  by its name, or ``all``. Raises UnknownAgent, a ValueError, for other names.
- ``workspace_roots``: folders to look in, and only there, in place of the agent's own: for
  ``vscode`` its ``workspaceStorage`` folders, for ``cli`` its ``session-state`` folders (or
  the folders that hold them). For several agents use ``roots_by_agent``, e.g.
  ``{"vscode": [...], "cli": [...]}``: agents without roots are then left out.
- ``detail``: ``minimal``, ``compact`` or ``full``; else UsageError, a ValueError.
- ``since``, ``until``: bounds of the session's creation, both included: an ISO date or instant
  (UTC unless it has an offset), or ``7d``, ``24h`` before now; a date is its first instant.
  Raises BadWindow, a ValueError, for anything else.
- ``workspace_filter``: part of the folder's path; ``name_pattern``: regular expression for
  title or id; both in any case. Raises BadPattern, a ValueError. All filters are applied
  before ``limit`` and ``n``.
- ``ref_dir``: a price folder (``models-and-pricing.yml``) in place of Copilot's card.
  FileNotFoundError without that file, BadPriceFile, a ValueError, for a wrong one.
- ``fallback="default"``: compatibility with older tools, see ``shapes``.
- ``auto_refresh``: taken so that older scripts run; has no effect. Prices are fetched by
  ``refresh_pricing`` and by nothing else.

Amounts are USD, token counts whole numbers; None is "not known", never 0. Logs are only read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from session_usage.analysis import catalog, shapes, summaries
from session_usage.errors import SessionNotFound
from session_usage.places import here

__all__ = [
    "aggregate_sessions",
    "analyze_latest",
    "analyze_session",
    "batch_analyze",
    "find_session_by_id",
    "find_sessions_by_title",
    "list_sessions",
    "load_pricing",
    "pricing_status",
    "refresh_pricing",
]

Path = str | os.PathLike[str]
Roots = Iterable[Path] | None
RootsByAgent = Mapping[str, Iterable[Path]] | None


def analyze_session(
    path: Path,
    detail: str = "compact",
    agent: str = "vscode",
    *,
    ref_dir: Path | None = None,
    fallback: str | None = None,
    auto_refresh: bool = False,
) -> dict[str, Any]:
    """The session at ``path``: a folder of debug logs, a CLI session's folder, or a log file.

    ValueError when nothing is there, when it is no log of this agent or empty, when no
    session id can be told (CLI), and for ``agent="all"``.
    """
    by = catalog.rules(ref_dir, fallback)
    return shapes.level(catalog.session_at(os.fspath(path), agent, by), detail, by.compat)


def list_sessions(
    workspace_roots: Roots = None,
    limit: int | None = 20,
    since: str | None = None,
    workspace_filter: str | None = None,
    agent: str = "vscode",
    *,
    until: str | None = None,
    name_pattern: str | None = None,
    roots_by_agent: RootsByAgent = None,
) -> list[dict[str, Any]]:
    """What sessions there are, the newest created first, without reading their logs.

    Sessions that no index lists are in it, too; they are dated by the first line of their
    log. ``limit=None`` gives all.
    """
    rows = catalog.found(
        catalog.libraries(agent, workspace_roots, roots_by_agent),
        since=since,
        until=until,
        workspace_filter=workspace_filter,
        name_pattern=name_pattern,
    )
    return [item.row for item in rows[:limit]]


def find_sessions_by_title(
    title: str,
    workspace_roots: Roots = None,
    agent: str = "vscode",
    *,
    roots_by_agent: RootsByAgent = None,
) -> list[dict[str, Any]]:
    """All sessions with ``title`` in their title, in any case; "" finds every session."""
    where = catalog.libraries(agent, workspace_roots, roots_by_agent)
    return [item.row for item in catalog.found(where, title=title)]


def find_session_by_id(
    session_id: str,
    workspace_roots: Roots = None,
    agent: str = "vscode",
    *,
    roots_by_agent: RootsByAgent = None,
    ref_dir: Path | None = None,
    fallback: str | None = None,
    auto_refresh: bool = False,
) -> dict[str, Any] | None:
    """The session with exactly this id in full detail; None when nothing holds its usage."""
    by = catalog.rules(ref_dir, fallback)
    for library in catalog.libraries(agent, workspace_roots, roots_by_agent):
        full = catalog.by_id(library, session_id, by)
        if full is not None:
            return shapes.level(full, "full", by.compat)
    return None


def analyze_latest(
    workspace_roots: Roots = None,
    detail: str = "compact",
    workspace_filter: str | None = None,
    agent: str = "vscode",
    *,
    roots_by_agent: RootsByAgent = None,
    ref_dir: Path | None = None,
    fallback: str | None = None,
    auto_refresh: bool = False,
) -> dict[str, Any]:
    """The session whose newest log file changed last.

    SessionNotFound, a ValueError, when there is no session with a log.
    """
    by = catalog.rules(ref_dir, fallback)
    where = catalog.libraries(agent, workspace_roots, roots_by_agent)
    items = catalog.found(where, workspace_filter=workspace_filter)
    last = max(items, key=lambda item: item.newest_ns, default=None)
    if last is None or not last.newest_ns:
        raise SessionNotFound("no sessions with logs; `session-usage doctor` shows where they are")
    return shapes.level(catalog.told(last.library, last.ref, by), detail, by.compat)


def batch_analyze(
    n: int,
    workspace_roots: Roots = None,
    detail: str = "compact",
    since: str | None = None,
    workspace_filter: str | None = None,
    agent: str = "vscode",
    *,
    until: str | None = None,
    name_pattern: str | None = None,
    roots_by_agent: RootsByAgent = None,
    ref_dir: Path | None = None,
    fallback: str | None = None,
    auto_refresh: bool = False,
) -> dict[str, Any]:
    """The ``n`` newest sessions with usage, and their sums: ``{"summary", "sessions"}``."""
    by = catalog.rules(ref_dir, fallback)
    full = catalog.newest(
        n,
        catalog.libraries(agent, workspace_roots, roots_by_agent),
        by,
        since=since,
        until=until,
        workspace_filter=workspace_filter,
        name_pattern=name_pattern,
    )
    sessions = [shapes.level(session, detail, by.compat) for session in full]
    return {"summary": summaries.summary(full), "sessions": sessions}


def aggregate_sessions(
    sessions: Iterable[dict[str, Any]] | int | None = None,
    workspace_roots: Roots = None,
    since: str | None = None,
    workspace_filter: str | None = None,
    agent: str = "vscode",
    *,
    until: str | None = None,
    name_pattern: str | None = None,
    roots_by_agent: RootsByAgent = None,
    ref_dir: Path | None = None,
    fallback: str | None = None,
    auto_refresh: bool = False,
) -> dict[str, Any]:
    """Sums over many sessions with a split by model.

    ``sessions`` are dicts of full detail, or a number: so many of the newest with usage; all
    of them when it is left out. The other arguments choose among those.
    """
    if sessions is None or isinstance(sessions, int):
        sessions = catalog.newest(
            sessions,
            catalog.libraries(agent, workspace_roots, roots_by_agent),
            catalog.rules(ref_dir, fallback),
            since=since,
            until=until,
            workspace_filter=workspace_filter,
            name_pattern=name_pattern,
        )
    return summaries.aggregate(sessions)


def load_pricing(ref_dir: Path | None = None, auto_refresh: bool = False) -> dict[str, Any]:
    """Copilot's prices, or those of a price folder, in USD per million tokens.

    ``{"_note", "_source", "models": {name: [tier, ...]}}``. Without ``ref_dir``: the newest
    published rate of each model, a refreshed table included.
    """
    from session_usage import pricing

    return pricing.table(None if ref_dir is None else os.fspath(ref_dir), here().prices())


def pricing_status() -> dict[str, Any]:
    """Which of Copilot's price tables is in use; opens no connection.

    ``table`` (``shipped`` or ``refreshed``), ``source``, ``checked`` (the ISO day on which it
    was last compared with its source), ``age_days`` since then, ``models``, ``refreshed``
    (whether a downloaded table exists), its ``path``, ``shipped_checked`` and ``error``: what
    is wrong with a damaged download, which is then not used.
    """
    from session_usage import refresh

    return refresh.status(here().prices())


def refresh_pricing(url: str | None = None, ref_dir: Path | None = None) -> dict[str, Any]:
    """Downloads GitHub's current price table; the only function that uses the network.

    The table is kept in our own folder, or in ``ref_dir``, with the day: its rates hold from
    that day on, a rate that did not change is extended, what came before keeps its price.
    Returns ``pricing_status()`` with the number of ``rows`` read. RefreshFailed when nothing
    could be downloaded, BadPriceFile when it is no price table; both are ValueErrors and
    leave the table in use as it was. ``url`` must begin with ``https://`` or ``http://``.
    """
    from session_usage import refresh

    where = here().prices() if ref_dir is None else os.fspath(ref_dir)
    rows = refresh.download(where, url or refresh.URL)
    return {**refresh.status(where), "rows": rows}
