"""The prices in use, read again when one of their files changes."""

from __future__ import annotations

import os

from session_usage import pricing, tables
from session_usage.errors import BadPriceFile
from session_usage.places import Places, stamp
from session_usage.pricing import Prices

_known: dict[tuple[str, str | None], tuple[str, Prices]] = {}


def load_prices(places: Places, user_file: str | None) -> tuple[Prices, str]:
    """(prices, a stamp that changes with them). A user's file that is missing or cannot be
    understood is left out, as is a damaged download; ``status`` and ``doctor`` say so."""
    user_file = user_file or None
    folder = places.prices()
    files = [tables.COMPILED, tables.refreshed_path(folder), *([user_file] if user_file else [])]
    mark = repr([stamp(path) for path in files])
    key = folder, user_file
    found = _known.get(key)
    if found is None or found[0] != mark:
        found = _known[key] = mark, _load(folder, user_file)
    return found[1], mark


def _load(folder: str, user_file: str | None) -> Prices:
    try:
        tables.refreshed(folder)
        refreshed: str | None = folder
    except BadPriceFile:
        refreshed = None
    if user_file and os.path.exists(user_file):
        try:
            return pricing.load(user_file, refreshed=refreshed)
        except BadPriceFile:
            pass
    return pricing.load(refreshed=refreshed)
