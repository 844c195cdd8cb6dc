"""Price folders of the older kind: ``models-and-pricing.yml`` and ``custom-models-pricing.yml``.

Other tools keep GitHub's table in this form: names and prices as printed, no dates. A folder
that a caller names stands in place of Copilot's card; what is no price in it counts as 0.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from . import money, tables
from .errors import BadPriceFile
from .rates import MARKS, Card, Rate, card, key

DEFAULT = Rate(
    "default",
    "unknown",
    "",
    0,
    None,
    money.rate("0.30"),
    money.rate("0.03"),
    None,
    None,
    money.rate("1.50"),
    None,
    None,
    "guessed default rate",
    None,
)
"""What the compatibility mode ``fallback="default"`` charges for unknown models."""

_FILES = ("models-and-pricing.yml", "custom-models-pricing.yml")


def shown_name(name: str) -> str:
    """A model's key in ``table``: lower case, without footnotes and "(preview)"."""
    text = re.sub(r"\[\^[^\]]*\]|\(\s*preview\s*\)", "", name, flags=re.IGNORECASE)
    return re.sub(r"\s+", "-", text.strip().lower())


def usd(text: Any) -> float:
    """USD per million tokens as printed; 0.0 for what is no price ("Not applicable")."""
    try:
        value = float(str(text).replace("$", "").replace(",", "").strip())
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and value >= 0 else 0.0


def _read(folder: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Raw rows of ``models-and-pricing.yml`` and of ``custom-models-pricing.yml`` (optional).

    FileNotFoundError without the first; BadPriceFile for one that is no list of models.
    """
    found: list[list[dict[str, Any]]] = []
    for name in _FILES:
        path = os.path.join(folder, name)
        if name != _FILES[0] and not os.path.exists(path):
            found.append([])
            continue
        rows = tables.read_yaml(path)
        if rows is None and name != _FILES[0]:
            rows = []
        if not isinstance(rows, list):
            raise BadPriceFile(f"{path}: expected a list of models")
        for number, row in enumerate(rows, 1):
            if not isinstance(row, dict) or not str(row.get("model") or "").strip():
                raise BadPriceFile(f"{path}: row {number}: model is missing")
            try:
                _limits(row)
            except ValueError as error:
                raise BadPriceFile(f"{path}: row {number}: {error}") from None
        found.append(rows)
    return found[0], found[1]


def load(folder: str) -> Card:
    """A price folder as a card; the custom file's models replace those of the other."""
    published, custom = _read(folder)
    rates = {}
    for rows in (published, custom):
        for group in _by_model(rows).values():
            made = [_rate(row, folder) for row in group]
            rates[key(made[0].model), made[0].tier] = made
    return card("folder", folder, None, [rate for group in rates.values() for rate in group])


def published(folder: str, day: str, source: str) -> list[Rate]:
    """The rows of ``models-and-pricing.yml`` in ``folder`` as those of one ``day`` (ISO).

    Stricter than ``load``: BadPriceFile for an empty table and for a row without a readable
    input or output price; other prices that are none are unknown, not 0.
    """
    rows, _ = _read(folder)
    if not rows:
        raise BadPriceFile(f"{source}: the table is empty")
    result = []
    for number, row in enumerate(rows, 1):
        try:
            result.append(_published(row, day, source))
        except ValueError as error:
            raise BadPriceFile(f"{source}: row {number}: {error}") from None
    return result


def _published(row: dict[str, Any], day: str, source: str) -> Rate:
    def optional(name: str) -> int | None:
        try:
            return money.rate(str(row.get(name)))
        except ValueError:
            return None

    model, tier = tables.split(str(row["model"]), "")
    return Rate(
        model,
        str(row.get("provider") or ""),
        tier,
        *_limits(row),
        money.rate(str(row.get("input"))),
        optional("cached_input"),
        optional("cache_write"),
        None,
        money.rate(str(row.get("output"))),
        day,
        day,
        source,
        day,
    )


def _by_model(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(shown_name(str(row["model"])), []).append(row)
    return groups


def _rate(row: dict[str, Any], folder: str) -> Rate:
    def price(name: str) -> int:
        return money.half_up(Decimal(repr(usd(row.get(name)))) * money.NANO_PER_USD)

    model, tier = tables.split(str(row["model"]), "")
    return Rate(
        model,
        str(row.get("provider") or ""),
        tier,
        *_limits(row),
        price("input"),
        price("cached_input"),
        price("cache_write") or None,
        None,
        price("output"),
        None,
        None,
        folder,
        None,
    )


def table(folder: str) -> dict[str, Any]:
    """A price folder as ``pricing.table`` shows it: USD per million tokens, names as keys."""
    published, custom = _read(folder)
    models = {"default": [shown_tier(DEFAULT, "unknown")]}
    del models["default"][0]["min_threshold_tokens"]
    for name, group in _by_model(published).items():
        models[name] = [_tier(row) for row in sorted(group, key=lambda row: _limits(row)[0])]
    for row in custom:
        models[str(row["model"])] = []
    for row in custom:
        tier = _tier(row)
        for name in ("display_name", "provider", "min_threshold_tokens"):
            del tier[name]
        models[str(row["model"])].append(tier)
    note = "USD per 1M tokens"
    return {"_note": note, "_source": folder, "models": dict(sorted(models.items()))}


def shown_tier(rate: Rate, name: str) -> dict[str, Any]:
    """A row in USD per million tokens, in the shape of ``pricing.table``."""
    return {
        "tier": "Long context" if rate.low else "Default",
        "display_name": name,
        "provider": rate.provider,
        "min_threshold_tokens": rate.low,
        "threshold_tokens": rate.high,
        "input_per_m": money.usd(rate.input),
        "cache_per_m": money.usd(rate.cache_read or 0),
        "cache_write_per_m": money.usd(rate.cache_write or 0),
        "output_per_m": money.usd(rate.output),
    }


def _tier(row: dict[str, Any]) -> dict[str, Any]:
    name = MARKS.sub("", str(row["model"])).strip()
    tier = shown_tier(_rate(row, ""), name)
    return tier | {"tier": str(row.get("tier") or tier["tier"])}


def _limits(row: dict[str, Any]) -> tuple[int, int | None]:
    limit = row.get("threshold")
    return tables.threshold(None if limit is None else str(limit))
