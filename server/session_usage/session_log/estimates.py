"""What a call would cost at the list prices that plain agent logs are written with.

A small, fixed table for programs that write such logs and know no better. It never guesses:
a model that is not in the table, to the letter, has no price. Reports use ``pricing``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from session_usage import money
from session_usage.session_log.payloads import UNKNOWN_COST


class ModelPricing(NamedTuple):
    """USD per million tokens; the cache rates are None where nobody gave them."""

    input_per_m: float
    output_per_m: float
    cache_read_per_m: float | None = None
    cache_write_per_m: float | None = None


DEFAULT_PRICING: Mapping[str, ModelPricing] = {
    "claude-sonnet-4-20250514": ModelPricing(3, 15),
    "claude-haiku-4-20250414": ModelPricing(0.8, 4),
    "claude-opus-4-20250515": ModelPricing(15, 75),
    "gpt-4o": ModelPricing(2.5, 10),
    "gpt-4o-mini": ModelPricing(0.15, 0.6),
    "gpt-4.1": ModelPricing(2, 8),
    "o3-mini": ModelPricing(1.1, 4.4),
    "qwen3.5-7b": ModelPricing(0, 0),
    "llama-3.2-8b": ModelPricing(0, 0),
}


def estimate_cost(
    model: str,
    input_tokens: int,
    output_tokens: int,
    pricing: Mapping[str, ModelPricing] = DEFAULT_PRICING,
) -> float:
    """USD of a call without cache, exact to a nano-AIU; ``UNKNOWN_COST`` for other models."""
    rates = pricing.get(model)
    if rates is None:
        return UNKNOWN_COST
    per_input = money.nano(rates.input_per_m, money.NANO_PER_USD)
    per_output = money.nano(rates.output_per_m, money.NANO_PER_USD)
    if per_input is None or per_output is None:
        return UNKNOWN_COST
    nano = money.divide(input_tokens * per_input + output_tokens * per_output, 1_000_000)
    return nano / money.NANO_PER_USD
