"""Many sessions as one: sums over the dicts that ``shapes`` makes.

Sums are of what the dicts show: the exact amount where they hold one, the rounded one in the
compatibility mode. What is not known is left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from session_usage import money
from session_usage.errors import UsageError

_SUMS = ("input_tokens", "output_tokens", "cached_tokens", "llm_calls")
_TIMES = ("duration_seconds", "active_duration_seconds")


def summary(sessions: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Totals of full or compact session dicts.

    ``avg_cache_ratio`` is the plain mean of the sessions' ratios,
    ``sessions_with_unavailable_cost`` counts those without any amount.
    """
    totals = [session["total"] for session in sessions]
    ratios = [total["cache_ratio"] for total in totals if total["cache_ratio"] is not None]
    result: dict[str, Any] = {"session_count": len(sessions)}
    for name in _SUMS:
        result[f"total_{name}"] = _sum([total[name] for total in totals])
    for name in _TIMES:
        result[f"total_{name}"] = _sum([session[name] for session in sessions])
    result["total_estimated_usd"] = _usd(totals, 4)
    result["avg_cache_ratio"] = round(sum(ratios) / len(ratios), 3) if ratios else None
    result["sessions_with_unavailable_cost"] = sum(t["estimated_usd"] is None for t in totals)
    result["fallback_pricing_models"] = _guessed(sessions)
    return result


def aggregate(sessions: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Totals of full session dicts with a split by model, the dearest first.

    ``split_ratio`` is the model's share of the input tokens; ``cost_per_1m_tokens`` is USD per
    million of ``total_tokens``, which are input and output: cached tokens are a part of the
    input. UsageError for dicts of less than full detail.
    """
    full = list(sessions)
    if any("model_breakdown" not in session for session in full):
        raise UsageError('aggregate_sessions takes sessions of detail="full"')
    result = summary(full)
    del result["sessions_with_unavailable_cost"]
    result["cache_ratio"] = result["avg_cache_ratio"]
    counts = [n for n in (result["total_input_tokens"], result["total_output_tokens"]) if n]
    result["total_tokens"] = sum(counts)
    result["cost_per_1m_tokens"] = _per_million(
        result["total_estimated_usd"], result["total_tokens"]
    )
    result["model_split"] = _split(full, result["total_input_tokens"] or 0)
    return result


def _split(full: list[dict[str, Any]], prompt: int) -> list[dict[str, Any]]:
    by_model: dict[str, list[dict[str, Any]]] = {}
    for session in full:
        for found in session["model_breakdown"]:
            by_model.setdefault(found["model"], []).append(found)
    split: list[tuple[float | None, dict[str, Any]]] = []
    for model, rows in by_model.items():
        row: dict[str, Any] = {
            "model": model,
            **{name: _sum([one[name] for one in rows]) for name in _SUMS},
        }
        amount = _usd(rows, 6)
        row["estimated_usd"] = None if amount is None else round(amount, 4)
        row["split_ratio"] = round((row["input_tokens"] or 0) / prompt, 3) if prompt else 0.0
        row["cost_per_1m_input_tokens"] = _per_million(amount, row["input_tokens"])
        split.append((amount, row))
    split.sort(key=lambda item: -1.0 if item[0] is None else item[0], reverse=True)
    return [row for _, row in split]


def _sum(values: list[int | None]) -> int | None:
    """None when there are values and none is known."""
    known = [value for value in values if value is not None]
    return sum(known) if known or not values else None


def _usd(rows: Sequence[dict[str, Any]], digits: int) -> float | None:
    if rows and all("nano_aiu" in row for row in rows):
        exact = _sum([row["nano_aiu"] for row in rows])
        return None if exact is None else round(exact / money.NANO_PER_USD, digits)
    known = [row["estimated_usd"] for row in rows if row["estimated_usd"] is not None]
    return round(sum(known), digits) if known or not rows else None


def _per_million(usd: float | None, tokens: int | None) -> float | None:
    if usd is None or tokens is None:
        return None
    return round(usd / (tokens / 1_000_000), 4) if tokens else 0.0


def _guessed(sessions: Sequence[dict[str, Any]]) -> list[str]:
    return sorted(
        {name for session in sessions for name in session.get("fallback_pricing_models", ())}
    )
