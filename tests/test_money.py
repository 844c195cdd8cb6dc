"""Money: whole nano-AIU, rounded once, half up, and never guessed."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from session_usage import money
from session_usage.money import NANO_PER_CREDIT, NANO_PER_USD, divide, half_up, nano, rate

AMOUNTS = st.integers(0, 10**30)


@pytest.mark.parametrize(
    ("logged", "scale", "expected"),
    [
        (0, 1, 0),
        (5259000000, 1, 5259000000),
        (5259000000.0, 1, 5259000000),
        (3569499999.9999995, 1, 3569500000),
        (0.5, 1, 1),
        (0.49999999999999994, 1, 0),
        (18.823500000000003, NANO_PER_CREDIT, 18823500000),
        (0.0, NANO_PER_CREDIT, 0),
        (1e-10, NANO_PER_CREDIT, 0),
        (5e-10, NANO_PER_CREDIT, 1),
        (3, NANO_PER_CREDIT, 3 * NANO_PER_CREDIT),
        (1e300, 1, 10**300),
        (-0.0, 1, 0),
    ],
)
def test_R7_any_finite_number_is_a_figure(logged: float, scale: int, expected: int) -> None:
    assert nano(logged, scale) == expected
    assert type(nano(logged, scale)) is int


@pytest.mark.parametrize(
    "logged",
    [
        float("nan"), float("inf"), float("-inf"), -1, -0.5, -1e-9, True, False, None,
        "5259000000", "", "NaN", [], {}, [1], b"1", 1j,
    ],
)  # fmt: skip
@pytest.mark.parametrize("scale", [1, NANO_PER_CREDIT])
def test_R7_what_is_no_finite_number_is_unknown(logged: object, scale: int) -> None:
    assert nano(logged, scale) is None


def test_R6_A14_zero_is_a_bill_of_nothing() -> None:
    assert nano(0) == 0
    assert nano(0) is not None


@given(st.floats(0, allow_nan=False, allow_infinity=False), st.sampled_from([1, NANO_PER_CREDIT]))
@example(9007199254740993.0, NANO_PER_CREDIT)
def test_R7_figures_are_rounded_half_up_as_they_are_written(logged: float, scale: int) -> None:
    exact = Fraction(repr(logged)) * scale
    assert nano(logged, scale) == (2 * exact.numerator + exact.denominator) // (
        2 * exact.denominator
    )


@given(AMOUNTS, st.integers(1, 10**18))
def test_divide_is_the_nearest_integer_halves_up(numerator: int, denominator: int) -> None:
    off = divide(numerator, denominator) - Fraction(numerator, denominator)
    assert -Fraction(1, 2) < off <= Fraction(1, 2)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0.5", 1), ("1.5", 2), ("2.5", 3), ("0.4999999999999999999999999999999", 0),
     ("123456789012345678901234567890.5", 123456789012345678901234567891)],
)  # fmt: skip
def test_half_up(value: str, expected: int) -> None:
    assert half_up(Decimal(value)) == expected


@given(AMOUNTS, st.integers(1, 60))
def test_half_up_does_not_depend_on_the_context(amount: int, precision: int) -> None:
    with localcontext() as context:
        context.prec = precision
        assert half_up(Decimal(amount)) == amount


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.25", 25_000_000_000),
        ("$0.25", 25_000_000_000),
        (" $1,000.50 ", 100_050_000_000_000),
        ("15", 1_500_000_000_000),
        ("0", 0),
        ("0.0000000001", 10),
        ("1e-3", 100_000_000),
    ],
)
def test_rates_are_read_as_printed(text: str, expected: int) -> None:
    assert rate(text) == expected


@pytest.mark.parametrize("text", ["", "$", "free", "-1", "-$1", "NaN", "Infinity", "1.2.3", "1 2"])
def test_a_rate_that_cannot_be_read_is_an_error_that_names_it(text: str) -> None:
    with pytest.raises(ValueError, match="is no price") as caught:
        rate(text)
    assert repr(text) in str(caught.value)


@given(st.decimals(0, 10_000, places=4, allow_nan=False, allow_infinity=False))
def test_published_rates_are_exact(price: Decimal) -> None:
    """Cards print at most a few decimals: no published rate is ever rounded."""
    assert Fraction(rate(str(price)), NANO_PER_USD) == Fraction(price)


@given(st.integers(0, 1 << 52))
def test_a_figure_shown_in_USD_leads_back_to_its_amount(amount: int) -> None:
    assert nano(money.usd(amount), NANO_PER_USD) == amount


def test_unknown_is_not_nothing() -> None:
    assert money.usd(None) is None
    assert money.usd(0) == 0.0
