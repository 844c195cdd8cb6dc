"""Price tables: what one million tokens cost, of which model, on which day.

A ``Card`` is one table of one publisher. Four kinds exist: Copilot's own rate card and the
vendors' list prices (both shipped, compiled to ``data/prices.json`` when the package is
built), a price file or folder that the user names, and the ``models.json`` that VS Code
leaves beside a session. Which card answers for which request is the business of ``pricing``.

A row holds as long as it was seen on its card, and a changed price is a new row: nothing
is ever overwritten, so that an old session keeps its old price (RULES R9).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

DAY_MS = 86_400_000


class Rate(NamedTuple):
    """One row of a card. Prices are whole nano-AIU per million tokens; None: none published."""

    model: str
    provider: str
    tier: str
    """Service tier (``fast``, ``priority``, ``flex``, ``batch``); empty for the standard one."""
    low: int
    """Smallest whole prompt, in tokens, that this row is for."""
    high: int | None
    """Largest one, itself included; None: no limit."""
    input: int
    cache_read: int | None
    cache_write: int | None
    """A cache write of the usual lifetime (5 minutes)."""
    cache_write_1h: int | None
    output: int
    first_seen: str | None
    """First day (ISO, UTC) of this price; None: as far back as anybody looked."""
    last_seen: str | None
    """Last day the card showed it; None: it holds until the next row."""
    source: str
    checked: str | None
    """Day on which the whole card was last compared with its source."""
    web_search: int | None = None
    """Nano-AIU per million searches that the vendor ran for the model."""
    note: str = ""
    """What this row leaves out; makes every amount from it an estimate."""


MARKS = re.compile(r"\[\^[^\]]*\]|\(\s*preview\s*\)|\[1m\]", re.IGNORECASE)
_CLOUD = re.compile(
    r"^(?:[a-z-]+\.)?(?:anthropic|amazon|deepseek|google|meta|mistral|moonshot|openai|xai)\.(?=[a-z])"
)
_TAIL = re.compile(
    r"(?:-v\d+:\d+|[-@](?:20\d{6}|20\d\d-\d\d-\d\d)|[-@](?:latest|default)|-1m|-fast-mode)$"
)
# what may not follow a prefix: a further version part (gpt-5 | -4), a size (gemma-4 | -26b),
# a reseller's free variant (deepseek-chat | :free)
_OTHER_MODEL = re.compile(r"[-.:@](?:\d{1,2}(?!\d)|\d+b(?![a-z])|free$)")


@functools.lru_cache(maxsize=4096)
def key(name: str) -> str:
    """The one spelling of a model's name, whoever wrote it; "" when there is none.

    Case, blanks, the vendor's or cloud's prefix, footnotes, "(preview)", release dates and
    "-latest" do not make another model, nor do "4-5" and "4.5"; fast mode does: "-fast".
    """
    text = MARKS.sub("", name.lower()).strip().rsplit("/", 1)[-1]
    text = re.sub(r"[\s_]+", "-", text).replace("(fast-mode)", "fast")
    bare = _CLOUD.sub("", text)
    if bare != text:
        text = re.sub(r"-v\d+$", "", bare)
    fast = False
    while match := _TAIL.search(text):
        fast = fast or match[0] == "-fast-mode"
        text = text[: match.start()]
    text = re.sub(r"(?<=\d)\.(?=\d)", "-", text) + ("-fast" if fast else "")
    return re.sub(r"-{2,}", "-", text).strip("-")


def prefixes(text: str) -> Iterator[str]:
    """Shorter keys that may stand for ``text``, longest first (PITFALLS D6).

    Cut only at a word boundary, and never so that a version or size number is lost:
    "gpt-5-4-turbo" gives "gpt-5-4" but not "gpt-5", "gpt-4-10" gives nothing but itself.
    """
    for end in range(len(text) - 1, 0, -1):
        if text[end] in "-.:@" and not _OTHER_MODEL.match(text, end):
            yield text[:end]


class Card:
    """One published table. ``models`` rows are ``[provider, name, keys, rates]`` as compiled."""

    __slots__ = ("_index", "_rates", "checked", "models", "name", "source")

    def __init__(self, name: str, source: str, checked: str | None, models: list[Any]) -> None:
        self.name = name
        self.source = source
        self.checked = checked
        self.models = models
        self._index = {text: place for place, row in enumerate(models) for text in row[2]}
        self._rates: dict[int, list[Rate]] = {}

    def find(self, text: str) -> list[Rate]:
        """All rows, of all tiers and times, of the model with this ``key``; else empty."""
        place = self._index.get(text)
        return [] if place is None else self._rows(place)

    def longest(self, text: str) -> str:
        """The longest key that ``text`` starts with, wherever it is cut; "" without one."""
        return max((name for name in self._index if text.startswith(name)), key=len, default="")

    def groups(self) -> Iterator[list[Rate]]:
        """Every row of the card, model by model."""
        return (self._rows(place) for place in range(len(self.models)))

    def _rows(self, place: int) -> list[Rate]:
        known = self._rates.get(place)
        if known is None:
            provider, model, _, rows = self.models[place]
            known = self._rates[place] = [
                Rate._make((model, provider, *row[:10], self.source, self.checked, *row[10:]))
                for row in rows
            ]
        return known


def compact(rate: Rate) -> list[Any]:
    """A row as it stands in the compiled file: without what all rows of a model share."""
    return [*rate[2:12], *rate[14:]]


def card(name: str, source: str, checked: str | None, rates: Iterable[Rate]) -> Card:
    """Rows gathered by model; their order does not matter."""
    models: dict[str, list[Any]] = {}
    for rate in sorted(rates, key=_order):
        text = key(rate.model)
        models.setdefault(text, [rate.provider, rate.model, [text], []])[3].append(compact(rate))
    return Card(name, source, checked, list(models.values()))


def _order(rate: Rate) -> tuple[Any, ...]:
    seen = (rate.first_seen or "", rate.last_seen or "~")
    return (key(rate.model), rate.tier, *seen, rate.low, rate.input, rate.output, rate.model)


def on(rates: list[Rate], day: str | None) -> tuple[Rate | None, str | None]:
    """The row in force on ``day`` among rows for one model, tier and prompt (RULES R9).

    A row holds until the next one that differs. The second value names the day of the rate
    where none was published for ``day``: before the first row, after the last was retired.
    """
    if not rates:
        return None, None
    ordered = sorted(rates, key=lambda rate: (rate.first_seen or "", rate.last_seen or "~"))
    if day is None:
        return ordered[-1], "day not recorded"
    before = [rate for rate in ordered if (rate.first_seen or "") <= day]
    after = ordered[len(before) :]
    if not before:
        return after[0], f"rate of {after[0].first_seen}"
    now = before[-1]
    if now.last_seen is None or day <= now.last_seen:
        return now, None
    if not after:
        # still on the card when it was last looked at: it holds until a newer card says else
        open_ended = now.checked is not None and now.last_seen >= now.checked
        return now, None if open_ended else f"rate of {now.last_seen}"
    return now, None


def extended(before: Card, rates: Iterable[Rate], day: str, source: str) -> Card:
    """``before`` as it reads after its publisher's table was seen again, with ``rates``, on a day.

    A row that is still there as it was is seen longer; one that differs or is new begins on
    ``day``; what is no longer there ends where it was last seen (RULES R9). A day that
    ``before`` already covers changes nothing.
    """
    if before.checked is not None and day <= before.checked:
        return before
    rows = [rate for group in before.groups() for rate in group]
    now = {_place(rate): rate for rate in rates}
    result = []
    for rate in rows:
        seen = now.get(_place(rate))
        current = rate.last_seen is None or rate.last_seen == before.checked
        if seen is not None and current and _prices(seen) == _prices(rate):
            del now[_place(rate)]
            rate = rate._replace(last_seen=day)
        elif current and rate.last_seen is None:
            rate = rate._replace(last_seen=before.checked)
        result.append(rate)
    result += (rate._replace(first_seen=day, last_seen=day) for rate in now.values())
    return card(before.name, source, day, result)


def _place(rate: Rate) -> tuple[Any, ...]:
    return key(rate.model), rate.tier, rate.low, rate.high


def _prices(rate: Rate) -> tuple[Any, ...]:
    return rate.input, rate.cache_read, rate.cache_write, rate.output


class Band(NamedTuple):
    """The row for prompts of ``low`` tokens and more, on some day."""

    low: int
    rate: Rate
    late: str | None
    """Names the day of the rate, where none was published for the day asked for."""


def in_force(rates: list[Rate], day: str | None) -> list[Band]:
    """One model's rows on ``day``: for each tier, ascending, one for each length of prompt."""
    bands: list[Band] = []
    for tier in sorted({rate.tier for rate in rates}):
        rows = [rate for rate in rates if rate.tier == tier]
        for low in sorted({rate.low for rate in rows}):
            rate, late = on([row for row in rows if _serves(row, low)], day)
            if rate is not None and (not bands or bands[-1].rate != rate):
                bands.append(Band(low, rate, late))
    return bands


def band(bands: list[Band], prompt: int) -> Band | None:
    """The band of one tier for a prompt of this length; None where nothing was published."""
    for found in reversed(bands):
        if found.low <= prompt:
            return found if _serves(found.rate, prompt) else None
    return None


def _serves(rate: Rate, prompt: int) -> bool:
    return rate.low <= prompt and (rate.high is None or prompt <= rate.high)


def day_of(ms: int | None) -> str | None:
    """The UTC day of a time as ISO text; None for a time that no calendar has."""
    return None if ms is None else _iso(ms // DAY_MS)


@functools.lru_cache(maxsize=4096)
def _iso(days: int) -> str | None:
    from datetime import date, timedelta

    try:
        return (date(1970, 1, 1) + timedelta(days)).isoformat()
    except OverflowError:
        return None
