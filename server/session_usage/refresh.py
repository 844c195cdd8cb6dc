"""Downloads GitHub's price table when somebody asks for it: the only use of the network.

Nothing calls this on its own. A table that cannot be read as a whole changes nothing.
"""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

from session_usage import folder, tables
from session_usage.errors import BadPriceFile, SessionUsageError, UsageError

URL = (
    "https://raw.githubusercontent.com/github/docs/main"
    "/data/tables/copilot/models-and-pricing.yml"
)  # fmt: skip
"""The table from which GitHub's documentation page on Copilot's model prices is made."""

LIMIT = 1 << 20
"""The table has about 10 kB: more than this many bytes is something else."""


class RefreshFailed(SessionUsageError, ValueError):
    """The price table could not be downloaded; prices are as they were."""


def download(into: str, url: str = URL, day: str | None = None, timeout_s: float = 20) -> int:
    """Stores the table at ``url`` as it is on ``day`` in the folder ``into``; returns its rows.

    ``day`` is an ISO day, today (UTC) unless given; a second download on a day replaces the
    first. RefreshFailed when nothing can be had from ``url``, BadPriceFile when what comes is
    no price table, UsageError for a URL that is not http or https; in all three cases the
    folder is left as it was.
    """
    content = _fetch(url, timeout_s)
    day = day or _today()
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "models-and-pricing.yml")
        with open(path, "wb") as file:
            file.write(content)
        try:
            rates = folder.published(scratch, day, url)
        except BadPriceFile as error:
            reason = str(error).replace(path, url)
            raise BadPriceFile(f"{reason}; prices are unchanged") from None
    try:
        known = tables.refreshed(into)
    except BadPriceFile:
        known = None  # damaged: this download takes its place
    days = dict(known.days) if known else {}
    days[day] = rates
    document = {
        "source": url,
        "days": {seen: [tables.keep(rate) for rate in rows] for seen, rows in days.items()},
    }
    _store(tables.refreshed_path(into), document)
    return len(rates)


def _today() -> str:
    from datetime import datetime, timezone

    return datetime.now(timezone.utc).date().isoformat()


def _fetch(url: str, timeout_s: float) -> bytes:
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    if not url.startswith(("https://", "http://")):
        raise UsageError(f"not a web address: {url!r}; it must begin with https://")
    request = Request(url, headers={"User-Agent": "session-usage"})
    try:
        with urlopen(request, timeout=timeout_s) as response:
            content: bytes = response.read(LIMIT + 1)
    except HTTPError as error:
        error.close()
        raise RefreshFailed(f"cannot download {url}: {error}; prices are unchanged") from None
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise RefreshFailed(f"cannot download {url}: {reason}; prices are unchanged") from None
    if len(content) > LIMIT:
        raise RefreshFailed(f"{url}: larger than {LIMIT} bytes; prices are unchanged")
    return content


def _store(path: str, document: dict[str, Any]) -> None:
    """Writes all of it or nothing."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=os.path.dirname(path), suffix=".new")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(document, file)
        os.replace(scratch, path)
    except BaseException:
        os.unlink(scratch)
        raise


def status(where: str, today: str | None = None) -> dict[str, Any]:
    """Which of Copilot's price tables is in use; opens no connection.

    ``{"table": "shipped" | "refreshed", "source", "checked": ISO day, "age_days",
    "refreshed": bool, "models", "path", "shipped_checked", "error"}``; ``error`` says what is
    wrong with a damaged download, which is then not used.
    """
    from datetime import date

    now = date.fromisoformat(today or _today())
    shipped = tables.bundle().copilot
    error = None
    try:
        card = tables.copilot(folder=where)
    except BadPriceFile as damage:
        card, error = shipped, str(damage)
    path = tables.refreshed_path(where)
    checked = card.checked
    return {
        "table": "shipped" if card.checked == shipped.checked else "refreshed",
        "source": card.source,
        "checked": checked,
        "age_days": None if checked is None else (now - date.fromisoformat(checked)).days,
        "models": len(card.models),
        "refreshed": os.path.exists(path),
        "path": path,
        "shipped_checked": shipped.checked,
        "error": error,
    }
