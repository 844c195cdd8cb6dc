"""Compiles the price tables to ``session_usage/data/prices.json``.

hatchling runs it for every wheel and editable install (see pyproject.toml);
``python server/build_prices.py`` does the same by hand. The vendors' list prices come from
genai-prices, which is needed here and never at run time.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from session_usage import money, rates, tables  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

# makers of models only: who resells a model has other prices, and no name to know it by
VENDORS = (
    "anthropic",
    "openai",
    "google",
    "x-ai",
    "deepseek",
    "mistral",
    "moonshotai",
    "zai",
    "minimax",
    "meta",
    "cohere",
    "cursor",
)

# the package does not say from when its data is
RELEASED = {"0.2.3": "2026-11-10", "0.1.9": "2026-09-25"}

PRICES = (
    "input_mtok",
    "cache_read_mtok",
    "cache_write_mtok",
    "cache_write_1h_mtok",
    "output_mtok",
)


def vendors_card() -> rates.Card:
    """The list prices of the makers of models, as genai-prices has them. ImportError without it."""
    from importlib.metadata import version

    from genai_prices.data import providers

    known = {provider.id: provider for provider in providers}
    release = version("genai-prices")
    models: list[Any] = []
    taken: set[str] = set()
    for vendor in VENDORS:
        provider = known.get(vendor)
        for model in provider.models if provider else ():
            if _resold(model.id, provider, known):
                continue
            rows = [rates.compact(rate) for rate in _rates(model, vendor)]
            if rows:
                models.append([vendor, model.id, [], rows, _names(model, provider)])
    # a model's own id goes before what others are matched by
    for rank in range(3):
        for row in models:
            for name in row[4][rank]:
                if name not in taken:
                    taken.add(name)
                    row[2].append(name)
    listed = [row[:4] for row in models if row[2]]
    return rates.Card("vendors", f"genai-prices {release}", RELEASED.get(release), listed)


def _resold(name: str, provider: Any, known: dict[str, Any]) -> bool:
    """True for a model that another vendor makes."""
    own = provider.model_match
    if own is None or own.is_match(name):
        return False
    makers = (known[vendor].model_match for vendor in VENDORS if vendor in known)
    return any(maker is not None and maker.is_match(name) for maker in makers)


def _names(model: Any, provider: Any) -> tuple[set[str], set[str], set[str]]:
    """Keys that stand for a model: its id, names matched exactly, beginnings of names."""
    exact: list[str] = []
    starts: list[str] = []

    def walk(clause: Any) -> None:
        for part in getattr(clause, "or_", ()):
            walk(part)
        if text := getattr(clause, "equals", None):
            exact.append(text)
        if text := getattr(clause, "starts_with", None):
            starts.append(text)

    walk(model.match)
    groups = []
    for names in ([model.id], exact, starts):
        meant = {name for name in names if provider.find_model(name) in (model, None)}
        groups.append({rates.key(name) for name in meant if rates.key(name)})
    return groups[0], groups[1], groups[2]


def _rates(model: Any, vendor: str) -> Iterator[rates.Rate]:
    """All rows of a model: standard ones, then those of its service tiers, each dated."""
    history, hours = _history(model.prices)
    note = "hours with another price not considered" if hours else ""
    for start, prices in history:
        yield from _bands(model.id, vendor, "", start, prices, note)
    tiers: dict[str, list[Any]] = {}
    for variant in getattr(model, "price_variants", None) or ():
        if len(variant.when) == 1:
            tiers.setdefault(next(iter(variant.when.values())), []).append(variant)
    tiers.pop("default", None)
    for tier, variants in sorted(tiers.items()):
        special, _ = _history(variants)
        starts = {start for start, _ in special}
        first = min(map(_early, starts))
        starts |= {start for start, _ in history if _early(start) > first}
        for start in sorted(starts, key=_early):
            prices = _at(history, start) | _at(special, start)
            yield from _bands(model.id, vendor, tier, start, prices, note)


def _history(prices: Any) -> tuple[list[tuple[date | None, dict[str, Any]]], bool]:
    """(first day, prices) in order of time, and whether there are hours with other prices."""
    if not isinstance(prices, list):
        return [(None, _known(prices))], False
    found = []
    hours = False
    for entry in prices:
        if entry.constraint is None:
            found.append((None, _known(entry.prices)))
        elif hasattr(entry.constraint, "start_date"):
            found.append((entry.constraint.start_date, _known(entry.prices)))
        else:
            hours = True
    return sorted(found, key=lambda pair: _early(pair[0])), hours


def _known(prices: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(prices).items() if value is not None}


def _early(day: date | None) -> str:
    return day.isoformat() if day else ""


def _at(history: list[tuple[date | None, dict[str, Any]]], day: date | None) -> dict[str, Any]:
    prices: dict[str, Any] = {}
    for start, entry in history:
        if _early(start) <= _early(day):
            prices = entry
    return prices


def _bands(
    model: str, vendor: str, tier: str, start: date | None, prices: dict[str, Any], note: str
) -> Iterator[rates.Rate]:
    """One row for each length of prompt that has its own price."""
    steps = {step.start for name in PRICES for step in getattr(prices.get(name), "tiers", ())}
    lows = [0, *sorted(step + 1 for step in steps)]
    for low, following in zip(lows, [*lows[1:], None], strict=True):
        cost_in, read, write, hour, cost_out = (_price(prices.get(name), low) for name in PRICES)
        if cost_in is None or cost_out is None:
            return
        if vendor == "anthropic" and write is not None and hour is None:
            # Anthropic charges twice the input price for writes that live an hour
            hour = 2 * cost_in
        search = _price(prices.get("web_searches_kcount"), low)
        yield rates.Rate(
            model,
            vendor,
            tier,
            low,
            None if following is None else following - 1,
            cost_in,
            read,
            write,
            hour,
            cost_out,
            _early(start) or None,
            None,
            "",
            None,
            None if search is None else 1000 * search,
            note,
        )


def _price(value: Any, prompt: int) -> int | None:
    if value is None:
        return None
    price = getattr(value, "base", value)
    for step in getattr(value, "tiers", ()):
        if prompt > step.start:
            price = step.price
    return money.half_up(price * money.NANO_PER_USD)


def write(path: str = tables.COMPILED) -> dict[str, Any]:
    """Writes the compiled file and returns what it holds; without genai-prices, no vendors."""
    document = tables.compile_copilot()
    try:
        card = vendors_card()
    except ImportError:
        print("genai-prices is not installed: no vendors' list prices", file=sys.stderr)
    else:
        document["cards"].append([card.name, card.source, card.checked, card.models])
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return document


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:
    pass
else:

    class PricesHook(BuildHookInterface):  # type: ignore[type-arg]
        """Writes the compiled tables before the files of the package are collected."""

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            write()


if __name__ == "__main__":
    write()
