"""Where price tables come from: files of our own format, the shipped ones, ``models.json``.

Whatever the form, the result is a ``rates.Card``. Files that a person names raise
``BadPriceFile`` with file and row; ``models.json``, which VS Code writes, never raises.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from . import money
from .errors import BadPriceFile
from .rates import MARKS, Card, Rate, card, extended, key

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
COMPILED = os.path.join(DATA, "prices.json")


class Plan(NamedTuple):
    """What a Copilot plan includes per billing month (UTC calendar month) on a given day."""

    name: str
    usd_per_month: int
    credits: int
    pooled: bool
    """The allowances of all seats form one pool of the organisation."""
    since: str
    until: str | None
    """First day on which this row no longer holds."""
    promo: bool


_LIMIT = re.compile(r"\s*(<=|≤|>=|≥|>)\s*(\d+)\s*([kKmM]?)\s*")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_PRICES = ("input", "cache_read", "cache_write", "cache_write_1h", "output")
_TEXTS = ("model", "provider", "tier", "threshold", "first_seen", "last_seen")
_UNLIMITED = ("", "n/a", "not applicable")


def threshold(text: str | None) -> tuple[int, int | None]:
    """Bounds of a prompt as published, both inclusive: "≤ 272K" is 0 to 272000.

    ValueError for anything but a comparison with a number, "n/a", "Not applicable" or nothing.
    """
    if text is None or text.strip().lower() in _UNLIMITED:
        return 0, None
    match = _LIMIT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no threshold")
    sign, digits, unit = match.groups()
    tokens = int(digits) * {"": 1, "k": 1000, "m": 1_000_000}[unit.lower()]
    if sign in ("<=", "≤"):
        return 0, tokens
    return (tokens + 1 if sign == ">" else tokens), None


def parse(document: Any, path: str) -> tuple[str, str | None, list[Rate]]:
    """Source, day checked and rows of a price file in our own format (schemas/prices.schema.json).

    The document is a list of rows, or a mapping of ``source``, ``checked`` and ``rows``.
    BadPriceFile names file and row of the first thing that does not fit.
    """
    source, checked, rows = path, None, document
    if isinstance(document, Mapping):
        source, checked = str(document.get("source", path)), document.get("checked")
        rows = document.get("rows")
        if checked is not None and not (isinstance(checked, str) and _DAY.fullmatch(checked)):
            raise BadPriceFile(f'{path}: checked must be a quoted day like "2026-10-24"')
    if not isinstance(rows, list):
        raise BadPriceFile(f"{path}: expected a list of price rows")
    rates = []
    for number, row in enumerate(rows, 1):
        try:
            rates.append(_rate(row, source, checked))
        except ValueError as error:
            raise BadPriceFile(f"{path}: row {number}: {error}") from None
    return source, checked, rates


def _rate(row: Any, source: str, checked: str | None) -> Rate:
    if not isinstance(row, Mapping):
        raise ValueError("expected a mapping with model, input and output")
    if strange := [str(name) for name in row if name not in _PRICES + _TEXTS]:
        raise ValueError(f"unknown field {strange[0]!r}")
    for name in _TEXTS:
        if name in row and not isinstance(row[name], str):
            raise ValueError(f"{name} must be a text in quotes")
    for name in ("first_seen", "last_seen"):
        if name in row and not _DAY.fullmatch(row[name]):
            raise ValueError(f'{name} must be a day like "2026-10-24"')
    if not key(row.get("model", "")):
        raise ValueError("model is missing")
    prices = {}
    for name in _PRICES:
        if isinstance(row.get(name), bool):
            raise ValueError(f"{name}: {row[name]!r} is no price")
        prices[name] = None if row.get(name) is None else money.rate(str(row[name]))
    if prices["input"] is None or prices["output"] is None:
        raise ValueError("input and output are needed")
    model, tier = split(row["model"], row.get("tier", ""))
    return Rate(
        model,
        row.get("provider", ""),
        tier,
        *threshold(row.get("threshold")),
        prices["input"],
        prices["cache_read"],
        prices["cache_write"],
        prices["cache_write_1h"],
        prices["output"],
        row.get("first_seen"),
        row.get("last_seen"),
        source,
        checked,
    )


def split(model: str, tier: str) -> tuple[str, str]:
    """Model and tier of a row: cards print fast mode as part of the name, here it is a tier."""
    name = MARKS.sub("", model).strip()
    bare = re.sub(r"\s*\(fast mode\)\s*$|[- ]fast[- ]mode$", "", name, flags=re.IGNORECASE)
    return (bare, "fast") if bare != name else (name, tier)


def read_yaml(path: str) -> Any:
    """A YAML document; FileNotFoundError, or BadPriceFile for anything that is no YAML."""
    import yaml

    # the C loader is many times faster, but not part of every PyYAML
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(loader):  # type: ignore[misc]
        def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep)
            except (ValueError, LookupError, AttributeError):  # 2026-99-99, !!int x, !!bool x
                raise yaml.MarkedYAMLError(problem_mark=node.start_mark) from None

    try:
        with open(path, "rb") as file:
            return yaml.load(file, Loader=Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        place = "" if line is None else f" (line {line + 1})"
        raise BadPriceFile(f"{path}: not readable as YAML{place}") from None


def user_card(path: str) -> Card:
    """The price file a user wrote (see ``parse``). FileNotFoundError when it is not there."""
    source, checked, rates = parse(read_yaml(path), path)
    return card("user", source, checked, rates)


class Bundle(NamedTuple):
    """What ships with the package. Without a build there are no vendors."""

    copilot: Card
    vendors: Card | None
    plans: list[Plan]


def compile_copilot() -> dict[str, Any]:
    """The hand-kept YAML as the plain object that the compiled file holds."""
    path = os.path.join(DATA, "prices", "copilot.yml")
    own = card("copilot", *parse(read_yaml(path), path))
    plans_path = os.path.join(DATA, "plans.yml")
    plans = [_plan(row, plans_path) for row in read_yaml(plans_path)["rows"]]
    return {"cards": [[own.name, own.source, own.checked, own.models]], "plans": plans}


def _plan(row: Mapping[str, Any], path: str) -> list[Any]:
    try:
        plan = Plan(
            row["plan"],
            row["usd_per_month"],
            row["credits"],
            row.get("pooled", False),
            row["since"],
            row.get("until"),
            row.get("promo", False),
        )
    except (KeyError, TypeError) as error:
        raise BadPriceFile(f"{path}: {row}: {error} is missing") from None
    return list(plan)


@functools.lru_cache(maxsize=2)
def bundle(path: str = COMPILED) -> Bundle:
    """The shipped tables, from the compiled file or, in a plain source tree, from the YAML."""
    try:
        with open(path, "rb") as file:
            raw = file.read()
    except FileNotFoundError:
        return _bundle(compile_copilot())
    import json  # a quicker parser takes longer to import than these 80 kB to parse

    return _bundle(json.loads(raw))


def _bundle(document: dict[str, Any]) -> Bundle:
    cards = {row[0]: Card(*row) for row in document["cards"]}
    return Bundle(cards["copilot"], cards.get("vendors"), [Plan(*row) for row in document["plans"]])


class Refreshed(NamedTuple):
    """Copilot's card as it was downloaded after this program was made (see ``refresh``)."""

    source: str
    days: list[tuple[str, list[Rate]]]
    """The table as seen on each day, oldest first."""


def refreshed_path(folder: str) -> str:
    """The one file in our own price folder that holds all downloads."""
    return os.path.join(folder, "copilot.json")


def refreshed(folder: str) -> Refreshed | None:
    """What was downloaded into ``folder``; None when nothing ever was.

    BadPriceFile for a damaged file: it says how to replace it.
    """
    import json

    path = refreshed_path(folder)
    try:
        with open(path, "rb") as file:
            document = json.loads(file.read())
        source = str(document["source"])
        days = [
            (str(day), [_kept(row, source, str(day)) for row in rows])
            for day, rows in sorted(document["days"].items())
        ]
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise BadPriceFile(
            f"{path}: damaged; delete it or run `session-usage prices refresh`"
        ) from None
    return Refreshed(source, days) if days else None


def keep(rate: Rate) -> list[Any]:
    """A downloaded row as the file holds it; ``_kept`` reads it."""
    return [*rate[:8], rate.output]


def _kept(row: list[Any], source: str, day: str) -> Rate:
    model, provider, tier, low, high, *prices, output = row
    first, read, write = (None if price is None else int(price) for price in prices)
    if first is None or not key(model):
        raise ValueError("a row without model or price")
    return Rate(
        model, provider, tier, int(low), None if high is None else int(high), first, read, write,
        None, int(output), day, day, source, day,
    )  # fmt: skip


def copilot(shipped: str = COMPILED, folder: str | None = None) -> Card:
    """Copilot's newest card: the shipped one, and what was downloaded since into ``folder``."""
    if folder is None:
        return bundle(shipped).copilot
    try:
        found = os.stat(refreshed_path(folder))
    except OSError:
        return bundle(shipped).copilot
    return _copilot(shipped, folder, found.st_mtime_ns, found.st_size)


@functools.lru_cache(maxsize=4)
def _copilot(shipped: str, folder: str, mtime_ns: int, size: int) -> Card:
    own = bundle(shipped).copilot
    found = refreshed(folder)
    for day, rates in found.days if found else ():
        own = extended(own, rates, day, found.source if found else "")
    return own


def models_card(models: Any, path: str = "models.json") -> Card:
    """Prices in a session's ``models.json``; entries without prices, or odd ones, are left out.

    Two forms: ``token_prices.default`` (and ``long_context``) in credits, and an older flat
    one in nano-AIU, each per ``batch_size`` tokens. Long-context prices are for prompts above
    the default's own limit.
    """
    rates: list[Rate] = []
    for entry in models if isinstance(models, list) else ():
        prices = _dig(entry, "billing", "token_prices")
        name = _dig(entry, "id")
        if isinstance(prices, dict) and isinstance(name, str) and key(name):
            rates += _models_rates(name, str(entry.get("vendor", "")), prices, path)
    return card("models.json", path, None, rates)


def _models_rates(name: str, vendor: str, prices: dict[str, Any], path: str) -> Iterator[Rate]:
    batch = prices.get("batch_size", 1_000_000)
    if type(batch) is not int or batch <= 0:
        return

    def price(part: dict[str, Any], *names: str) -> int | None:
        value = next((part[n] for n in names if part.get(n) is not None), None)
        exact = money.nano(value, 1_000_000 * (1 if part is prices else money.NANO_PER_CREDIT))
        return None if exact is None else money.divide(exact, batch)

    default = prices if "input_price" in prices else prices.get("default")
    parts = [(default, 0)]
    limit = _dig(default, "context_max") or _dig(default, "max_prompt_tokens")
    if type(limit) is int:
        parts.append((prices.get("long_context"), limit + 1))
    last = len([part for part, _ in parts if isinstance(part, dict)]) - 1
    for place, (part, low) in enumerate(parts):
        if not isinstance(part, dict):
            continue
        cost_in, cost_out = price(part, "input_price"), price(part, "output_price")
        if cost_in is None or cost_out is None:
            continue
        yield Rate(
            name,
            vendor,
            "",
            low,
            None if place == last else limit,
            cost_in,
            price(part, "cache_read_price", "cache_price"),
            price(part, "cache_write_price"),
            None,
            cost_out,
            None,
            None,
            path,
            None,
        )


def _dig(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
