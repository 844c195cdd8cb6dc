"""Money is whole nano-AIU: 1 nano-AIU = 1e-11 USD, 1e9 nano-AIU = 1 credit = 0.01 USD.

The unit is GitHub's ("AI Credits", https://docs.github.com/copilot). Integers inside,
rounding only where a figure is shown or leaves as a fraction of a larger unit.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

NANO_PER_CREDIT = 1_000_000_000
NANO_PER_USD = 100_000_000_000


def nano(value: Any, scale: int = 1) -> int | None:
    """A logged figure times ``scale`` as whole nano-AIU, half up (RULES R7).

    ``value`` is a nano-AIU figure (``scale=1``) or credits (``scale=NANO_PER_CREDIT``).
    None for anything that is no finite, non-negative number: NaN, infinities, negatives,
    booleans, texts. The caller decides whether that is a problem or an absent field.
    """
    if type(value) is int:
        return value * scale if value >= 0 else None
    if type(value) is float and math.isfinite(value) and value >= 0:
        # repr gives the shortest decimal text of the double, i.e. what the log says
        return half_up(Decimal(repr(value)) * scale)
    return None


def half_up(value: Decimal) -> int:
    """The nearest integer, halves away from zero."""
    # not quantize(): that raises where the result needs more digits than the context has
    return int(value.to_integral_value(ROUND_HALF_UP))


def divide(numerator: int, denominator: int) -> int:
    """``numerator / denominator`` of non-negative integers, rounded half up."""
    return (2 * numerator + denominator) // (2 * denominator)


def rate(text: str) -> int:
    """USD per million tokens, as printed in a price table, in nano-AIU per million tokens.

    ``"$1,000.50"`` and ``"0.25"`` are read; ValueError for anything else or a negative rate.
    """
    try:
        value = Decimal(text.strip().lstrip("$").replace(",", ""))
    except InvalidOperation:
        raise ValueError(f"{text!r} is no price") from None
    if not value.is_finite() or value < 0:
        raise ValueError(f"{text!r} is no price")
    return half_up(value * NANO_PER_USD)


def usd(amount: int | None) -> float | None:
    """Nano-AIU as USD, for display and JSON (a float tells all up to 45,000 USD apart)."""
    return None if amount is None else amount / NANO_PER_USD
