"""Tokens to money: which card answers for a request, and what the request costs by it.

``load`` gives a ``Prices``; ``Prices.quote`` gives a ``Quote`` for a request or a counter.
A figure in the log is never touched (RULES R6, R12). Otherwise the tokens are multiplied by
the rates of the request's day, divided once and rounded half up once; whatever had to be
assumed for that is named in the quote and makes it an estimate (RULES R8).
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from . import folder, money, rates, tables
from .errors import UsageError
from .events import (
    API,
    BILLED,
    BYOK,
    COPILOT,
    ESTIMATED,
    FREE,
    PRICED,
    UNKNOWN,
    Counter,
    Request,
)
from .rates import Band, Card, Rate
from .tables import Plan

CREDITS_SINCE = "2026-06-01"
"""First day (UTC) on which Copilot was billed in credits (RULES R11)."""

_PER = 1_000_000
_UTILITY = ("gpt-4o", "gpt-4-1", "gpt-5-4-nano")
_LOCAL = frozenset(("ollama", "lmstudio", "lm-studio", "llamacpp", "llama.cpp", "vllm", "mlx"))


class Quote(NamedTuple):
    """What a request costs, how we know, and what was assumed."""

    nano_aiu: int | None
    basis: str
    billing: str
    """As given, but ``free`` for Copilot's utility models without a figure (RULES R10)."""
    rate: Rate | None
    """The row used; None for billed, free and unknown amounts."""
    assumptions: tuple[str, ...] = ()
    """Short plain words: what was assumed, or why nothing is known."""


_Rows = tuple[list[Rate], tuple[str, ...]]


class _Match(NamedTuple):
    """The rows that serve one model on one day, one for each length of prompt."""

    bands: list[Band]
    notes: tuple[str, ...]


@functools.lru_cache(maxsize=4096)
def is_utility(model: str | None) -> bool:
    """True for the models that Copilot does not bill unless a request's log says otherwise."""
    text = rates.key(model or "")
    return any(text == name or text.startswith(name + "-") for name in _UTILITY)


class Prices:
    """Every price the program knows, in order of precedence. Made by ``load``."""

    def __init__(
        self,
        named: tuple[Card, ...] = (),
        replaced: bool = False,
        guess: bool = False,
        local: Card | None = None,
        shipped: str = tables.COMPILED,
        refreshed: str | None = None,
    ) -> None:
        self._named = named
        self._replaced = replaced
        self._guess = guess
        self._local = local
        self._shipped = shipped
        self._refreshed = refreshed
        self._known: dict[tuple[Any, ...], _Match | None] = {}

    def with_models(self, models: Any, path: str = "models.json") -> Prices:
        """These prices and, for what the card lacks on a day, those of a ``models.json``."""
        local = tables.models_card(models, path)
        return Prices(
            self._named, self._replaced, self._guess, local, self._shipped, self._refreshed
        )

    def bands(
        self, model: str | None, vendor: str | None, billing: str, tier: str | None, day: int
    ) -> list[Band]:
        """The rates of list prices on a day (days since 1970) that take no assumption but those
        that a band itself names; none where there are none or any would be an estimate."""
        if self._guess or billing not in (API, BYOK):
            return []
        found = self._find(model, vendor, billing, tier, rates.day_of(day * rates.DAY_MS), False)
        return [] if found is None or found.notes else found.bands

    def quote(self, usage: Request | Counter, calls: int | None = None) -> Quote:
        """The amount of a request, or of a counter over ``calls`` requests (0: unknown how many).

        ``calls`` defaults to 1 for a request and to a counter's own count. A counter's 0
        beside tokens is no bill (RULES R6).
        """
        nano = usage.nano_aiu
        if nano is not None and usage.__class__ is Request:
            return Quote(nano, BILLED, usage.billing, None)
        if isinstance(usage, Counter):
            day_ms = usage.at_ms
            if nano == 0 and (usage.input_tokens or usage.output_tokens):
                nano = None
            if calls is None:
                calls = usage.requests or 0
        else:
            day_ms = usage.started_ms
        return self.quote_tokens(
            model=usage.model,
            day_ms=day_ms,
            billing=usage.billing,
            agent=usage.agent,
            provider=getattr(usage, "provider", None),
            tier=getattr(usage, "tier", None),
            status=usage.status,
            nano_aiu=nano,
            input_tokens=usage.input_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            cache_write_1h_tokens=getattr(usage, "cache_write_1h_tokens", None),
            output_tokens=usage.output_tokens,
            web_searches=getattr(usage, "web_searches", None),
            auto=getattr(usage, "auto", False),
            calls=1 if calls is None else calls,
        )

    def quote_tokens(
        self,
        *,
        model: str | None,
        day_ms: int | None,
        billing: str = COPILOT,
        agent: str | None = None,
        provider: str | None = None,
        tier: str | None = None,
        status: str = "ok",
        nano_aiu: int | None = None,
        input_tokens: int | None = None,
        cache_read_tokens: int | None = None,
        cache_write_tokens: int | None = None,
        cache_write_1h_tokens: int | None = None,
        output_tokens: int | None = None,
        web_searches: int | None = None,
        auto: bool = False,
        calls: int = 1,
    ) -> Quote:
        """The amount of these tokens (RULES R6, R8 to R13); what is assumed is named."""
        if nano_aiu is not None:
            return Quote(nano_aiu, BILLED, billing, None)
        guess_counts = self._guess and agent == "copilot-vscode"
        missing = input_tokens is None or output_tokens is None
        if missing and status != "ok":
            return _unknown(billing, f"{status}: tokens not recorded")
        day = rates.day_of(day_ms)
        early = (
            billing in (COPILOT, FREE)
            and day is not None
            and day < CREDITS_SINCE
            and not self._guess
        )
        if early and not self._named:
            return _unknown(billing, f"before {CREDITS_SINCE} Copilot had no credits")
        dropped = billing == COPILOT and is_utility(model)
        if billing == FREE or (dropped and (guess_counts or not self._guess)):
            return Quote(0, PRICED, FREE, None, ("free utility model",))
        if missing and not guess_counts:
            return _unknown(billing, "tokens not recorded")

        prompt = (input_tokens or 0) // calls if calls else 0
        found = self._find(model, provider, billing, tier, day, early)
        if found is None:
            return _unknown(billing, f"no published rate for {model or 'a request without model'}")
        band = rates.band(found.bands, prompt)
        if band is None:
            return _unknown(billing, f"no published rate for a prompt of {prompt} tokens")

        rate = band.rate
        notes = list(found.notes)
        if band.late:
            notes.append(band.late)
        if rate.note:
            notes.append(rate.note)
        if calls != 1:
            count = str(calls) if calls else "an unknown number of"
            notes.append(f"aggregate of {count} requests")
        if auto and billing == COPILOT:
            notes.append("Auto's discount not applied")
        if guess_counts:
            amount = _with_premium(rate, input_tokens, cache_read_tokens, output_tokens, notes)
        else:
            amount = _exact(
                rate,
                input_tokens or 0,
                cache_read_tokens,
                cache_write_tokens,
                cache_write_1h_tokens or 0,
                output_tokens or 0,
                notes,
            )
        if web_searches:
            if rate.web_search is None:
                notes.append("web searches not priced")
            else:
                amount += web_searches * rate.web_search
        basis = ESTIMATED if notes else PRICED
        return Quote(money.divide(amount, _PER), basis, billing, rate, tuple(notes))

    def rates(self, model: str | None = None, on: str | None = None) -> list[Rate]:
        """Rows for a listing: of all models or one, of all times or in force on an ISO day.

        The named file or folder first, then Copilot's card, then the vendors' list prices.
        """
        found: list[Rate] = []
        for card in (*self._named, *self._copilot(), *self._vendors()):
            groups = card.groups() if model is None else [card.find(rates.key(model))]
            for rows in groups:
                found += rows if on is None else (band.rate for band in rates.in_force(rows, on))
        return found

    def _copilot(self) -> tuple[Card, ...]:
        # a named folder stands in place of Copilot's card
        return () if self._replaced else (tables.copilot(self._shipped, self._refreshed),)

    def _vendors(self) -> tuple[Card, ...]:
        vendors = None if self._guess else tables.bundle(self._shipped).vendors
        return () if vendors is None else (vendors,)

    def _find(
        self,
        model: str | None,
        provider: str | None,
        billing: str,
        tier: str | None,
        day: str | None,
        early: bool,
    ) -> _Match | None:
        asked = (model, provider, billing, tier, day)
        try:
            return self._known[asked]
        except KeyError:
            found = self._known[asked] = self._search(
                rates.key(model or ""), (provider or "").lower(), billing, _tier(tier), day, early
            )
            return found

    def _search(
        self, text: str, provider: str, billing: str, tier: str, day: str | None, early: bool
    ) -> _Match | None:
        """Exact names before prefixes; among exact ones, a rate published for the day first."""
        cards = list(self._named)
        own_key = billing in (BYOK, API)
        if own_key and provider not in _LOCAL:
            cards += [*self._vendors(), *self._copilot()]
        elif not own_key and not early:
            cards += [*self._copilot(), *((self._local,) if self._local else ())]
        nearest = None
        for look in (_exact_rows, self._prefix_rows) if text else ():
            for card in cards:
                rows, notes = look(card, text, tier)
                if not rows:
                    continue
                if own_key and card.name == "copilot":
                    notes = (*notes, "Copilot's rate taken as list price")
                found = _Match(rates.in_force(rows, day), notes)
                late = any(band.late for band in found.bands)
                # a later card must be better, not merely different
                if not late and (nearest is None or not notes):
                    return found
                nearest = nearest or found
            if nearest:
                return nearest
        if self._guess:
            return _Match(rates.in_force([folder.DEFAULT], day), ("default rate",))
        return None

    def _prefix_rows(self, card: Card, text: str, tier: str) -> _Rows:
        shorter = [card.longest(text)] if self._guess else rates.prefixes(text)
        for prefix in shorter:
            rows, notes = _exact_rows(card, prefix, tier)
            if rows:
                name = "-".join(rows[0].model.lower().split())
                return rows, (f"model matched by prefix: {name}", *notes)
        return [], ()


def load(
    user_file: str | None = None,
    ref_dir: str | None = None,
    fallback: str | None = None,
    refreshed: str | None = None,
) -> Prices:
    """The shipped prices, a user's price file before them, or a price folder in place of
    Copilot's card.

    ``refreshed`` is the folder into which newer cards are downloaded on request
    (``Places.prices``): their rows are Copilot's from the day of the download on.

    ``fallback="default"`` is for compatibility only: a guessed rate for unknown models, and
    the older rules of counting for VS Code. FileNotFoundError for a missing file, BadPriceFile
    for one that cannot be understood, UsageError for another ``fallback``. The shipped tables
    are read at the first quote that needs them.
    """
    if fallback not in (None, "default"):
        raise UsageError(f'fallback must be "default" or nothing, not {fallback!r}')
    named = []
    if user_file is not None:
        named.append(tables.user_card(user_file))
    if ref_dir is not None:
        named.append(folder.load(ref_dir))
    guess = fallback == "default"
    return Prices(tuple(named), ref_dir is not None, guess, refreshed=refreshed)


def table(ref_dir: str | None = None, refreshed: str | None = None) -> dict[str, Any]:
    """The price folder's, or our own newest, prices of Copilot in USD per million tokens.

    ``{"_note", "_source", "models": {name: [tier, ...]}}``, see ``load`` for arguments and errors.
    """
    if ref_dir is not None:
        return folder.table(ref_dir)
    card = tables.copilot(folder=refreshed)
    models: dict[str, list[dict[str, Any]]] = {}
    for rows in card.groups():
        for band in rates.in_force(rows, card.checked):
            shown = band.rate.model + (f" ({band.rate.tier} mode)" if band.rate.tier else "")
            models.setdefault(folder.shown_name(shown), []).append(
                folder.shown_tier(band.rate, shown)
            )
    note = f"USD per 1M tokens; newest published rate of each model, checked {card.checked}"
    return {"_note": note, "_source": card.source, "models": models}


def plans() -> list[Plan]:
    """All rows of the plan table, promotions included."""
    return list(tables.bundle().plans)


def plan(name: str, on_day: str) -> Plan | None:
    """The plan's row on an ISO day (UTC), a running promotion first; None if there is none."""
    wanted = _plan_name(name)
    rows = [
        row
        for row in tables.bundle().plans
        if _plan_name(row.name) == wanted
        and row.since <= on_day
        and (row.until is None or on_day < row.until)
    ]
    return max(rows, key=lambda row: (row.promo, row.since), default=None)


def _plan_name(name: str) -> str:
    text = name.lower().replace("copilot", "").replace("plus", "+")
    return "".join(sign for sign in text if sign.isalnum() or sign == "+")


def _exact_rows(card: Card, text: str, tier: str) -> _Rows:
    """The model's rows of this tier; else its standard rows, saying so."""
    names = [(text, tier)]
    if text.endswith("-fast"):
        names.append((text[: -len("-fast")], "fast"))
    names += [(n[: -len("-preview")], t) for n, t in names if n.endswith("-preview")]
    for name, wanted in names:
        rows = card.find(name)
        if found := [row for row in rows if row.tier == wanted]:
            return found, ()
        if wanted and (found := [row for row in rows if not row.tier]):
            return found, (f"{wanted} tier priced at the standard rate",)
    return [], ()


def _tier(name: str | None) -> str:
    text = (name or "").lower()
    return "" if text in ("standard", "default", "auto") else text


def _exact(
    rate: Rate,
    prompt: int,
    read: int | None,
    write: int | None,
    hour: int,
    output: int,
    notes: list[str],
) -> int:
    """Tokens times rates, in millionths of a nano-AIU; assumptions go to ``notes``."""
    read_rate = rate.input if rate.cache_read is None else rate.cache_read
    write_rate = rate.input if rate.cache_write is None else rate.cache_write
    hour_rate = write_rate if rate.cache_write_1h is None else rate.cache_write_1h
    if read is None and prompt and read_rate != rate.input:
        notes.append("cache reads not recorded")
    read = read or 0
    if write is None and prompt > read and write_rate != rate.input:
        notes.append("cache writes not recorded")
    write = max(write or 0, hour)
    if read and rate.cache_read is None:
        notes.append("cache reads priced as input")
    if write and rate.cache_write is None:
        notes.append("cache writes priced as input")
    if hour and rate.cache_write_1h is None and rate.cache_write is not None:
        notes.append("1-hour cache writes priced as 5-minute ones")
    return (
        max(0, prompt - read - write) * rate.input
        + read * read_rate
        + (write - hour) * write_rate
        + hour * hour_rate
        + output * rate.output
    )


def _with_premium(
    rate: Rate, prompt: int | None, read: int | None, output: int | None, notes: list[str]
) -> int:
    """As ``_exact``, by the older rule for VS Code: all fresh input is written to the cache."""
    if prompt is None or read is None or output is None:
        notes.append("missing counts taken as 0")
    fresh = max(0, (prompt or 0) - (read or 0))
    fresh_rate = max(rate.input, rate.cache_write or 0)
    if fresh and fresh_rate != rate.input:
        notes.append("all fresh input taken as cache writes")
    return fresh * fresh_rate + (read or 0) * (rate.cache_read or 0) + (output or 0) * rate.output


def _unknown(billing: str, why: str) -> Quote:
    return Quote(None, UNKNOWN, billing, None, (why,))
