"""One row of a report: what is known is added, what is not is counted, and None is not 0."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_usage.events import (
    API,
    BASES,
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
from session_usage.usage import Tally, hit_rate

TOKENS = {
    "input_tokens": "inputTokens",
    "cache_read_tokens": "cacheReadTokens",
    "cache_write_tokens": "cacheWriteTokens",
    "output_tokens": "outputTokens",
    "reasoning_tokens": "reasoningTokens",
}


def request(**known: Any) -> Request:
    return Request("k", "copilot-cli", "s", "journal", "/log", 0, **known)


def remainder(**known: Any) -> Counter:
    return Counter("k", "copilot-cli", "s", "journal", "/log", 0, 1, "session", "g", **known)


Part = tuple[Request | Counter, int | None, str, str]


def wire(*parts: Part) -> dict[str, Any]:
    tally = Tally()
    for part in parts:
        tally.add(*part)
    return tally.wire()


def test_an_empty_row_knows_nothing() -> None:
    row = wire()
    assert row["requests"] == row["failedRequests"] == row["unknownRequests"] == 0
    assert row["basis"] == UNKNOWN
    for name in (*TOKENS.values(), "nanoAiu", "copilotNanoAiu", "unattributedNanoAiu", "usd"):
        assert row[name] is None


@pytest.mark.parametrize(("name", "field"), TOKENS.items())
def test_tokens_are_None_until_some_are_known(name: str, field: str) -> None:
    unknown = (request(), 5, BILLED, COPILOT)
    assert wire(unknown)[field] is None
    assert wire(unknown, (request(**{name: 0}), 5, BILLED, COPILOT))[field] == 0
    assert wire((request(**{name: 3}), 5, BILLED, COPILOT), unknown)[field] == 3
    parts = [(request(**{name: count}), None, UNKNOWN, COPILOT) for count in (3, 4)]
    assert wire(*parts, (remainder(**{name: 5}), None, UNKNOWN, COPILOT))[field] == 12


@pytest.mark.parametrize("bases", [(one, two) for one in BASES[:3] for two in BASES[:3]])
def test_R13_a_sum_is_as_strong_as_its_weakest_part(bases: tuple[str, str]) -> None:
    weakest = max(bases, key=BASES.index)
    row = wire(*((request(), 1, basis, COPILOT) for basis in bases))
    assert (row["basis"], row["nanoAiu"]) == (weakest, 2)


@pytest.mark.parametrize("basis", [BILLED, PRICED, ESTIMATED])
def test_R13_requests_of_unknown_amount_are_counted_beside_the_sum(basis: str) -> None:
    row = wire((request(), 7, basis, COPILOT), (request(), None, UNKNOWN, COPILOT))
    assert (row["nanoAiu"], row["basis"]) == (7, basis)
    assert (row["requests"], row["unknownRequests"]) == (2, 1)


def test_R6_A14_a_bill_of_zero_is_known() -> None:
    row = wire((request(nano_aiu=0), 0, BILLED, COPILOT))
    assert (row["nanoAiu"], row["copilotNanoAiu"], row["usd"]) == (0, 0, 0.0)
    assert (row["basis"], row["unknownRequests"]) == (BILLED, 0)


def test_only_unknown_requests_give_no_amount() -> None:
    row = wire((request(input_tokens=5), None, UNKNOWN, COPILOT))
    assert (row["nanoAiu"], row["copilotNanoAiu"], row["unattributedNanoAiu"]) == (None,) * 3
    assert (row["unknownRequests"], row["basis"], row["inputTokens"]) == (1, UNKNOWN, 5)


def test_R1_failed_and_cancelled_calls_are_requests() -> None:
    parts = [(request(status=s), None, UNKNOWN, COPILOT) for s in ("ok", "error", "cancelled")]
    row = wire(*parts)
    assert (row["requests"], row["failedRequests"], row["unknownRequests"]) == (3, 2, 3)


def test_a_call_that_a_counter_covers_is_no_unknown_request() -> None:
    """Its amount is in the remainder, though not one by one."""
    covered = (request(weak=True), None, UNKNOWN, COPILOT)
    row = wire(covered, (remainder(nano_aiu=9), 9, BILLED, COPILOT))
    assert (row["requests"], row["unknownRequests"], row["nanoAiu"]) == (1, 0, 9)


def test_R4_a_remainder_is_in_the_amount_and_shown_apart() -> None:
    row = wire((request(), 5, BILLED, COPILOT), (remainder(requests=2), 7, BILLED, COPILOT))
    assert (row["nanoAiu"], row["unattributedNanoAiu"], row["copilotNanoAiu"]) == (12, 7, 12)
    assert row["requests"] == 3


def test_R1_calls_known_only_from_a_counter_count_by_its_count() -> None:
    assert wire((remainder(input_tokens=5), 7, BILLED, COPILOT))["requests"] == 0
    row = wire((remainder(requests=4), None, UNKNOWN, COPILOT))
    assert (row["requests"], row["unknownRequests"]) == (4, 4)


@pytest.mark.parametrize("billing", [BYOK, API, FREE])
def test_R10_only_what_draws_on_credits_is_in_the_copilot_part(billing: str) -> None:
    alone = wire((request(), 5, PRICED, billing))
    assert (alone["nanoAiu"], alone["copilotNanoAiu"]) == (5, 0), "known: nothing of it"
    both = wire((request(), 5, PRICED, billing), (request(), 8, BILLED, COPILOT))
    assert (both["nanoAiu"], both["copilotNanoAiu"]) == (13, 8)
    unsure = wire((request(), 5, PRICED, billing), (request(), None, UNKNOWN, COPILOT))
    assert (unsure["nanoAiu"], unsure["copilotNanoAiu"]) == (5, None), "part unknown, not 0"


@pytest.mark.parametrize(
    ("read", "prompt", "expected"),
    [(None, 5, None), (5, None, None), (0, 0, None), (0, 5, 0.0), (5, 5, 1.0), (1, 3, 0.333333),
     (7, 5, 1.0)],
)  # fmt: skip
def test_the_hit_rate_is_a_share_of_a_known_prompt(
    read: int | None, prompt: int | None, expected: float | None
) -> None:
    assert hit_rate(read, prompt) == expected


COUNTS = st.one_of(st.none(), st.integers(0, 10**12))
BILLED_REQUESTS = st.lists(
    st.builds(
        request,
        nano_aiu=st.integers(0, 10**15),
        status=st.sampled_from(["ok", "error", "cancelled"]),
        billing=st.sampled_from([COPILOT, BYOK]),
        **dict.fromkeys(TOKENS, COUNTS),
    ),
    min_size=1,
    max_size=8,
)


@given(BILLED_REQUESTS, BILLED_REQUESTS)
def test_B14_adding_by_columns_is_adding_one_by_one(
    first: list[Request], second: list[Request]
) -> None:
    columns, one_by_one = Tally(), Tally()
    for requests in (first, second):
        for billing in (COPILOT, BYOK):
            of = [each for each in requests if each.billing == billing]
            if of:
                columns.add_known(of, sum(each.nano_aiu or 0 for each in of), BILLED, billing)
        for each in requests:
            one_by_one.add(each, each.nano_aiu, BILLED, each.billing)
    assert columns.wire() == one_by_one.wire()


@given(st.lists(st.integers(0, 10**18), max_size=30))
def test_B17_amounts_are_added_as_integers(amounts: list[int]) -> None:
    row = wire(*((request(), amount, BILLED, COPILOT) for amount in amounts))
    assert row["nanoAiu"] == (sum(amounts) if amounts else None)
    numbers = {name: value for name, value in row.items() if name not in ("usd", "cacheHitRate")}
    assert not any(isinstance(value, float) for value in numbers.values())
