"""Prices: which rate, which tier, which day, and what is said about it (RULES, PITFALLS D)."""

from __future__ import annotations

import importlib.util
import json
import random
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from session_usage import events, folder, pricing, rates, tables
from session_usage.errors import BadPriceFile, UsageError
from session_usage.plain import Sure

ROOT = Path(__file__).parent.parent
DATA = Path(__file__).parent / "data" / "prices"
FOLDER = str(DATA / "folder")
GOLDEN = json.loads((DATA / "expected.json").read_text(encoding="utf-8"))
CARD = yaml.safe_load((Path(tables.DATA) / "prices" / "copilot.yml").read_text("utf-8"))

USD = 100_000_000_000
MILLION = 1_000_000


def ms(day: str) -> int:
    return int(datetime.fromisoformat(day + "T12:00:00+00:00").timestamp() * 1000)


def quote(prices: pricing.Prices, model: str | None, day: str | None = "2026-10-20", **more: Any):
    tokens = {
        "input_tokens": MILLION,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "output_tokens": 0,
    }
    day_ms = None if day is None else ms(day)
    return prices.quote_tokens(model=model, day_ms=day_ms, **(tokens | more))


@pytest.fixture(scope="module")
def prices() -> pricing.Prices:
    """The card alone, as in a source tree without a build."""
    return pricing.Prices(shipped="no such file")


@pytest.fixture(scope="module")
def build() -> Any:
    path = ROOT / "server" / "build_prices.py"
    spec = importlib.util.spec_from_file_location("build_prices", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def compiled(build: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled file as a build writes it."""
    pytest.importorskip("genai_prices")
    path = tmp_path_factory.mktemp("prices") / "prices.json"
    build.write(str(path))
    return path


@pytest.fixture(scope="module")
def vendors(compiled: Path) -> pricing.Prices:
    return pricing.Prices(shipped=str(compiled))


def request(**fields: Any) -> events.Request:
    known = {"key": "k", "agent": "copilot-cli", "session": "s", "source": "x", "path": "p"}
    return events.Request(**(known | {"offset": 0} | fields))


def counter(**fields: Any) -> events.Counter:
    known = {"key": "k", "agent": "copilot-cli", "session": "s", "source": "x", "path": "p"}
    more = {"offset": 0, "at_ms": ms("2026-10-20"), "scope": "session", "group": "g"}
    return events.Counter(**(known | more | fields))


# Rules


@pytest.mark.parametrize("billing", ["copilot", "byok", "api", "free"])
@pytest.mark.parametrize("nano", [0, 1, 123_456_789])
@pytest.mark.parametrize("model", ["gpt-4o-mini", "claude-opus-4.8", "never-heard-of", None])
def test_R6_a_figure_is_billed_whatever_else(prices, billing, nano, model):
    got = quote(prices, model, "2025-01-01", billing=billing, nano_aiu=nano, tier="fast")
    assert got == (nano, "billed", billing, None, ())


def test_R6_zero_of_a_counter_beside_tokens_is_no_bill(prices):
    spent = counter(
        model="claude-opus-4.8",
        requests=1,
        nano_aiu=0,
        input_tokens=1000,
        cache_read_tokens=0,
        cache_write_tokens=0,
        output_tokens=0,
    )
    assert prices.quote(spent)[:2] == (USD // 200, "priced")
    assert prices.quote(spent._replace(input_tokens=0))[:2] == (0, "billed")


def test_R8_priced_when_everything_is_known(prices):
    got = quote(
        prices,
        "claude-opus-4.8",
        input_tokens=1000,
        cache_read_tokens=300,
        cache_write_tokens=200,
        output_tokens=40,
    )
    # 500 x 5 + 300 x 0.50 + 200 x 6.25 + 40 x 25 dollars per million
    assert got[:3] == (490_000_000, "priced", "copilot")
    assert got.assumptions == ()
    assert got.rate is not None
    assert got.rate.checked == "2026-10-24"


@pytest.mark.parametrize(
    ("model", "more", "says"),
    [
        ("claude-opus-4.8", {"cache_write_tokens": None}, "cache writes not recorded"),
        ("claude-opus-4.8", {"cache_read_tokens": None}, "cache reads not recorded"),
        ("gpt-5.3-codex", {"cache_write_tokens": None}, None),
        ("claude-opus-4.8", {"cache_write_tokens": None, "cache_read_tokens": MILLION}, None),
        ("gpt-5.3-codex", {"cache_write_tokens": 5}, "cache writes priced as input"),
        ("claude-opus-4.8", {"calls": 7}, "aggregate of 7 requests"),
        ("claude-opus-4.8", {"calls": 0}, "aggregate of an unknown number of requests"),
        ("claude-opus-4.8-turbo", {}, "model matched by prefix: claude-opus-4.8"),
        ("claude-opus-5", {"tier": "fast"}, "fast tier priced at the standard rate"),
        ("claude-opus-5", {"tier": "standard"}, None),
        ("claude-opus-5", {"auto": True}, "Auto's discount not applied"),
        ("claude-opus-5", {"web_searches": 2}, "web searches not priced"),
        (
            "claude-opus-5",
            {"cache_write_tokens": 9, "cache_write_1h_tokens": 4},
            "1-hour cache writes priced as 5-minute ones",
        ),
    ],
)
def test_R8_every_assumption_is_named(prices, model, more, says):
    got = quote(prices, model, **more)
    assert got.nano_aiu is not None
    assert got.assumptions == ((says,) if says else ())
    assert got.basis == ("estimated" if says else "priced")


def test_R8_writes_not_recorded_are_priced_as_input(prices):
    got = quote(prices, "claude-opus-4.8", cache_write_tokens=None, cache_read_tokens=400_000)
    assert got.nano_aiu == 3 * USD + USD // 5


@pytest.mark.parametrize("missing", ["input_tokens", "output_tokens"])
@pytest.mark.parametrize("status", ["ok", "error", "cancelled"])
def test_R8_missing_counts_are_never_guessed(prices, missing, status):
    got = quote(prices, "claude-opus-4.8", **{missing: None, "status": status})
    assert (got.nano_aiu, got.basis) == (None, "unknown")


@pytest.mark.parametrize("model", ["never-heard-of", "", None, "default", "auto", "unknown"])
@pytest.mark.parametrize("billing", ["copilot", "byok", "api"])
def test_R8_unknown_models_have_no_amount(prices, model, billing):
    got = quote(prices, model, billing=billing)
    assert (got.nano_aiu, got.basis, got.rate) == (None, "unknown", None)
    assert got.assumptions


@pytest.mark.parametrize(
    ("model", "day", "usd", "late"),
    [
        ("gpt-5.6-luna", "2026-07-10", 2.00, None),
        ("gpt-5.6-luna", "2026-07-29", 2.00, None),
        ("gpt-5.6-luna", "2026-07-30", 2.00, None),
        ("gpt-5.6-luna", "2026-07-31", 0.40, None),
        ("gpt-5.6-luna", "2026-08-04", 0.40, None),
        ("gpt-5.6-sol", "2026-08-24", 4.00, None),
        ("gpt-5.6-sol", "2026-08-26", 4.00, None),
        ("gpt-5.6-sol", "2026-09-10", 4.00, None),
        ("gpt-5.6-sol", "2026-06-20", 10.00, "rate of 2026-07-10"),
        ("gemini-3.6-flash", "2026-08-13", 1.50, None),
        ("gemini-3.6-flash", "2026-08-14", 0.75, None),
        ("gpt-5.2", "2026-06-10", 1.75, None),
        ("gpt-5.2", "2026-07-10", 1.75, "rate of 2026-06-30"),
        # gone from the card
        ("gpt-5.4", "2026-10-19", 5.00, None),
        ("gpt-5.4", "2026-11-20", 5.00, "rate of 2026-10-19"),
        ("claude-sonnet-4.5", "2026-11-20", 3.00, "rate of 2026-08-24"),
        # still on it when it was last looked at
        ("claude-sonnet-4.6", "2026-11-20", 3.00, None),
        ("claude-sonnet-4.6", "2026-07-05", 3.00, None),
    ],
)
def test_R9_the_rate_of_the_day_or_the_nearest_one(prices, model, day, usd, late):
    got = quote(prices, model, day)
    assert got.nano_aiu == round(usd * USD)
    assert got.assumptions == ((late,) if late else ())
    assert got.basis == ("estimated" if late else "priced")


def test_R9_a_rate_holds_until_the_next_one_that_differs():
    row = {"model": "m", "input": "1", "output": "2"}
    own = _own(
        [
            row | {"first_seen": "2026-07-01", "last_seen": "2026-07-05"},
            row | {"first_seen": "2026-08-01", "last_seen": "2026-08-05"},
        ]
    )
    assert quote(own, "m", "2026-07-20")[:2] == (USD, "priced")


def test_R9_without_a_day_the_newest_rate(prices):
    got = quote(prices, "gpt-5.6-luna", None)
    assert (got.nano_aiu, got.assumptions) == (2 * USD // 5, ("day not recorded",))
    far = prices.quote_tokens(model="gpt-5.6-luna", day_ms=10**20, input_tokens=1, output_tokens=1)
    assert "day not recorded" in far.assumptions


def test_R10_utility_models_are_free_without_a_figure(prices):
    for model in ("gpt-4o", "gpt-4o-mini-2024-07-18", "gpt-4.1", "GPT-5.4 nano", "gpt-4.1-nano"):
        assert quote(prices, model) == (0, "priced", "free", None, ("free utility model",))
    assert quote(prices, "gpt-4o-mini", nano_aiu=5)[:3] == (5, "billed", "copilot")
    assert quote(prices, "gpt-4o-mini", status="error", input_tokens=None).nano_aiu is None


@pytest.mark.parametrize("model", GOLDEN["utility"])
def test_R10_which_models_are_utility(model):
    assert pricing.is_utility(model) is GOLDEN["utility"][model]


def test_R10_the_users_own_key_is_never_free_and_knows_no_era(prices, vendors):
    for model in ("gpt-4o-mini", "gpt-4.1"):
        got = quote(vendors, model, "2026-02-01", billing="byok")
        assert got.nano_aiu
        assert got[1:3] == ("priced", "byok")
    # without the vendors' lists the card stands in, and says so
    got = quote(prices, "claude-opus-4.8", billing="byok")
    assert got[:3] == (5 * USD, "estimated", "byok")
    assert got.assumptions == ("Copilot's rate taken as list price",)


def test_R10_a_model_run_by_oneself_has_no_list_price(vendors):
    got = quote(vendors, "deepseek-chat", billing="byok", provider="ollama")
    assert (got.nano_aiu, got.basis) == (None, "unknown")
    assert quote(vendors, "deepseek-chat", billing="byok", provider="deepseek").nano_aiu


def test_R11_no_credits_before_june_2026(prices):
    for model in ("claude-opus-4.8", "gpt-4o-mini"):
        got = quote(prices, model, "2026-05-31")
        assert (got.nano_aiu, got.basis) == (None, "unknown")
        assert "2026-06-01" in got.assumptions[0]
    assert quote(prices, "claude-opus-4.8", "2026-06-01").nano_aiu == 5 * USD
    assert quote(prices, "claude-opus-4.8", "2026-05-31", nano_aiu=3)[:2] == (3, "billed")


def test_R11_a_named_price_folder_lifts_it():
    named = pricing.load(ref_dir=FOLDER)
    assert quote(named, "gamma-flash", "2026-05-31")[:2] == (USD // 2, "priced")
    # a user's file does so for the models it names, and no other
    own = _own([{"model": "m", "input": "1", "output": "2"}])
    assert quote(own, "m", "2026-05-31").nano_aiu == USD
    assert quote(own, "claude-opus-4.8", "2026-05-31").nano_aiu is None


def test_R12_a_billed_figure_keeps_its_tier_and_discount(prices):
    got = quote(prices, "gpt-6-sol", nano_aiu=42, auto=True, calls=9)
    assert got == (42, "billed", "copilot", None, ())


def test_R15_more_cache_than_prompt_has_no_fresh_part(prices):
    got = quote(prices, "claude-opus-4.8", input_tokens=5, cache_read_tokens=9)
    assert got.nano_aiu == 9 * 50_000


# Pitfalls


def _tiers() -> list[tuple[str, int]]:
    """(model, limit) of every row of the card with an upper limit that is still published."""
    limits = {"≤ 100K": 100_000, "≤ 200K": 200_000, "≤ 272K": 272_000}
    return [
        (row["model"], limits[row["threshold"]])
        for row in CARD["rows"]
        if row["last_seen"] == "2026-10-24" and row.get("threshold") in limits
    ]


def test_D1_D2_the_tier_is_the_requests_own_and_for_all_of_it(prices):
    def cost(prompt: int) -> int | None:
        return quote(prices, "gpt-6-sol", input_tokens=prompt).nano_aiu

    assert cost(272_000) == 272_000 * 200_000
    assert cost(272_001) == 272_001 * 400_000
    # two small ones are not one big one; of an aggregate only the average is known
    assert quote(prices, "gpt-6-sol", input_tokens=400_000, calls=2).nano_aiu == 2 * cost(200_000)
    assert quote(prices, "gpt-6-sol", input_tokens=400_000).nano_aiu == cost(400_000)
    assert quote(prices, "gpt-6-sol", input_tokens=400_000, output_tokens=MILLION, calls=1)[0] == (
        400_000 * 400_000 + 15 * USD
    )


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("claude-haiku-5.5", 100_000),
        ("gpt-5.6-luna", 200_000),
        ("grok-4.7", 200_000),
        ("gpt-5.6-sol", 272_000),
        ("gpt-5.6-terra", 272_000),
        ("gpt-6-astra", 272_000),
        ("gpt-6-luna", 272_000),
        ("gpt-6-sol", 272_000),
        ("gpt-6.1-sol", 272_000),
        *_tiers(),
    ],
)
def test_D3_D4_up_to_includes_the_limit(prices, model, limit):
    below, at, above = (
        quote(prices, model, "2026-10-24", input_tokens=limit + step) for step in (-1, 0, 1)
    )
    assert below.rate == at.rate
    assert at.rate.high == limit
    assert above.rate.low == limit + 1
    assert above.rate.high is None
    assert above.rate.input > at.rate.input
    assert {below.basis, at.basis, above.basis} == {"priced"}


@pytest.mark.parametrize(
    ("prompt", "high"), [(199_999, False), (200_000, False), (200_001, True), (272_001, True)]
)
def test_D3_a_200K_model(prices, prompt, high):
    got = quote(prices, "grok-4.6", input_tokens=prompt)
    assert got.nano_aiu == prompt * (400_000 if high else 200_000)


@pytest.mark.parametrize(("prompt", "high"), [(200_001, False), (272_000, False), (272_001, True)])
def test_D3_a_272K_model(prices, prompt, high):
    got = quote(prices, "gpt-6-astra", input_tokens=prompt)
    assert got.nano_aiu == prompt * (2_000_000 if high else 1_000_000)


@pytest.mark.parametrize(
    ("name", "day", "credits"),
    [
        ("pro", "2026-06-01", 1500),
        ("Copilot Pro+", "2026-11-01", 7000),
        ("pro_plus", "2026-11-01", 7000),
        ("max", "2026-11-01", 20000),
        ("business", "2026-08-31", 3000),
        ("business", "2026-09-01", 1900),
        ("enterprise", "2026-08-31", 7000),
        ("enterprise", "2026-09-01", 3900),
        ("pro", "2026-05-31", None),
        ("free", "2026-09-01", None),
    ],
)
def test_D5_plans_are_dated_data(name, day, credits):
    row = pricing.plan(name, day)
    assert (row and row.credits) == credits
    assert row is None or row in pricing.plans()
    assert row is None or row.pooled == (row.name in ("business", "enterprise"))


def test_D6_the_longest_name_wins_and_says_so():
    own = _own(
        [
            {"model": m, "input": str(p), "output": "0"}
            for m, p in [("zeta-5", 1), ("zeta-5-mini", 2)]
        ]
    )
    for model, usd, prefix in [
        ("zeta-5", 1, None),
        ("zeta-5-mini", 2, None),
        ("zeta-5-mini-x", 2, "zeta-5-mini"),
        ("zeta-5-turbo", 1, "zeta-5"),
        ("zeta-5:fancy", 1, "zeta-5"),
        ("zeta-5-20260801", 1, None),
        ("zeta-5-0801", 1, "zeta-5"),
        ("zeta-5.4", None, None),
        ("zeta-5-4", None, None),
        ("zeta-5x", None, None),
        ("zeta-50", None, None),
        ("zeta-5-70b", None, None),
        ("zeta-5:free", None, None),
        ("zeta", None, None),
    ]:
        got = quote(own, model)
        assert got.nano_aiu == (None if usd is None else usd * USD), model
        if usd is not None:
            says = (f"model matched by prefix: {prefix}",) if prefix else ()
            assert got.assumptions == says, model


@pytest.mark.parametrize(
    "name",
    [
        "claude-sonnet-4.6",
        "claude-sonnet-4-6",
        "Claude Sonnet 4.6",
        "CLAUDE_SONNET_4.6",
        "Claude Sonnet 4.6[^promo] (Preview)",
        "anthropic/claude-sonnet-4.6",
        "openrouter/anthropic/claude-sonnet-4.6",
        "global.anthropic.claude-sonnet-4-6-v1:0",
        "us.anthropic.claude-sonnet-4-6-20260901-v1:0",
        "anthropic.claude-sonnet-4-6-v1",
        "claude-sonnet-4-6@20260901",
        "claude-sonnet-4-6-2026-09-01",
        "claude-sonnet-4-6-latest",
        "claude-sonnet-4-6-preview",
        "claude-sonnet-4-6[1m]",
        "copilot/claude-sonnet-4.6",
    ],
)
def test_A12_one_model_many_spellings(prices, name):
    assert quote(prices, name)[:2] == (3 * USD, "priced")


@pytest.mark.parametrize(
    "name",
    [
        "claude-opus-4.8-fast",
        "claude-opus-4.8-fast-mode",
        "Claude Opus 4.8 (fast mode)",
        "Claude Opus 4.8 (fast mode) (preview)",
    ],
)
def test_A12_fast_mode_has_its_own_price(prices, name):
    assert quote(prices, name)[:2] == (10 * USD, "priced")
    assert quote(prices, "claude-opus-4.8", tier="fast")[:2] == (10 * USD, "priced")
    assert quote(prices, "claude-opus-4.8")[:2] == (5 * USD, "priced")


def test_names_that_only_look_like_versions_stay():
    for name in ("deepseek-v3", "grok-4-fast", "kimi-k2-0905", "o3-mini", "gemma-4-26b"):
        assert rates.key(name) == name
    assert list(rates.prefixes("a-b-1-c")) == ["a-b-1", "a"]


def test_C5_an_hour_of_cache_costs_twice_the_input(vendors):
    day = "2026-10-20"
    for model, usd in [("claude-opus-4-8", 5), ("claude-sonnet-4-6", 3), ("claude-fable-5", 10)]:
        for write, hour in [(MILLION, 0), (MILLION, MILLION), (MILLION, MILLION // 2)]:
            got = quote(
                vendors,
                model,
                day,
                billing="api",
                cache_write_tokens=write,
                cache_write_1h_tokens=hour,
            )
            per_million = (write - hour) * usd * 125_000 + hour * usd * 200_000
            assert got[:2] == (per_million, "priced")
            assert got.rate.provider == "anthropic"


# Vendors' list prices


def test_vendor_tiers_have_their_own_rows(vendors):
    def usd(model: str, tier: str, day: str = "2026-10-20") -> Any:
        got = quote(vendors, model, day, billing="api", tier=tier)
        return got.nano_aiu / USD, got.assumptions

    assert usd("claude-opus-4-8", "fast") == (10, ())
    assert usd("claude-opus-4-8", "batch") == (2.5, ())
    assert usd("claude-opus-4-8", "batch", "2026-09-01") == (2.5, ("rate of 2026-10-14",))
    assert usd("claude-opus-4-8", "flex") == (5, ("flex tier priced at the standard rate",))
    assert usd("gpt-5.6-sol", "priority") == (16, ())


def test_vendor_prices_have_dates(vendors):
    def usd(day: str) -> float:
        got = quote(vendors, "claude-opus-4-6", day, billing="api")
        assert got.basis == "priced"
        return got.nano_aiu / USD

    assert usd("2026-03-12") == 10
    assert usd("2026-03-13") == 5


def test_web_searches_cost_by_the_call(vendors):
    got = quote(vendors, "claude-opus-4-8", billing="api", input_tokens=0, web_searches=3)
    assert got[:2] == (3 * USD // 100, "priced")


def test_vendor_prices_agree_with_their_source(vendors, compiled):
    """Each model by its own name, on several days, for short and long prompts."""
    from genai_prices.data import providers
    from genai_prices.types import TimeOfDateConstraint, Usage

    known = {provider.id: provider for provider in providers}
    listed = tables.bundle(str(compiled)).vendors.models
    assert {row[0] for row in listed} >= {"anthropic", "openai", "google", "x-ai", "moonshotai"}
    checked = 0
    for vendor, name, _, _ in listed:
        model = next(m for m in known[vendor].models if m.id == name)
        if isinstance(model.prices, list) and any(
            isinstance(p.constraint, TimeOfDateConstraint) for p in model.prices
        ):
            continue
        for day in ("2025-06-01", "2026-08-25", "2027-02-01"):
            for prompt in (1000, 100_001, 200_000, 200_001, 272_001):
                got = quote(
                    vendors,
                    name,
                    day,
                    billing="api",
                    provider=vendor,
                    input_tokens=prompt,
                    cache_read_tokens=100,
                    output_tokens=500,
                )
                asked = Usage(input_tokens=prompt, cache_read_tokens=100, output_tokens=500)
                theirs = model.calc_price(
                    asked,
                    known[vendor],
                    genai_request_timestamp=datetime.fromisoformat(day).replace(
                        tzinfo=timezone.utc
                    ),
                )
                assert got.nano_aiu == pytest.approx(float(theirs.total_price) * USD, abs=1), name
                checked += 1
    assert checked > 1000


def test_hours_with_other_prices_make_an_estimate(vendors):
    got = quote(vendors, "deepseek-v4-pro", billing="api")
    assert got.basis == "estimated"
    assert "hours with another price not considered" in got.assumptions


# models.json


def _models(prices: dict[str, Any], name: str = "new-model") -> list[Any]:
    return [{"id": name, "name": name, "vendor": "V", "billing": {"token_prices": prices}}, {}, 3]


def test_models_json_serves_models_the_card_lacks(prices):
    listed = {
        "batch_size": 1000,
        "default": {
            "input_price": 0.3,
            "output_price": 1.5,
            "cache_read_price": 0.03,
            "cache_write_price": 0.375,
            "context_max": 200_000,
        },
        "long_context": {"input_price": 0.6, "output_price": 2.25, "cache_price": 0.06},
    }
    more = prices.with_models(_models(listed))
    # 0.3 credits per 1000 tokens are 300 credits, 3 dollars, per million
    got = quote(more, "new-model", input_tokens=200_000)
    assert got[:2] == (200_000 * 300_000, "priced")
    assert got.rate.source == "models.json"
    assert quote(more, "new-model", input_tokens=200_001).nano_aiu == 200_001 * 600_000
    assert quote(more, "new-model", input_tokens=10, cache_write_tokens=10).nano_aiu == 3_750_000
    assert quote(prices, "new-model").nano_aiu is None


def test_models_json_goes_last_but_before_a_rate_of_another_day(prices):
    cheap = {"default": {"input_price": 1, "output_price": 1}}
    card = prices.with_models(_models(cheap, "claude-sonnet-4.6"))
    assert quote(card, "claude-sonnet-4.6").nano_aiu == 3 * USD
    retired = prices.with_models(_models(cheap, "claude-sonnet-4.5"))
    assert quote(retired, "claude-sonnet-4.5", "2026-11-20")[:2] == (USD // 100, "priced")
    assert quote(retired, "claude-sonnet-4.5", "2026-08-01").nano_aiu == 3 * USD


def test_models_json_in_its_older_flat_form(prices):
    flat = {"input_price": 3_000_000, "output_price": 9, "cache_price": 300_000, "batch_size": 10}
    got = quote(prices.with_models(_models(flat)), "new-model", cache_read_tokens=MILLION // 2)
    assert got.nano_aiu == MILLION // 20 * 3_000_000 + MILLION // 20 * 300_000


@pytest.mark.parametrize(
    "models",
    [
        None,
        {},
        [None],
        [{"id": 3}],
        _models({"default": 3}),
        _models({"batch_size": 0}),
        _models({"input_price": "x", "output_price": float("nan")}),
        _models({"default": {}}),
    ],
)
def test_models_json_may_be_anything(prices, models):
    assert quote(prices.with_models(models), "new-model").nano_aiu is None


# The user's own file


def _own(rows: Any) -> pricing.Prices:
    _, checked, parsed = tables.parse(rows, "own.yml")
    return pricing.Prices((rates.card("user", "own.yml", checked, parsed),), shipped="no such file")


def test_a_users_file_goes_before_the_card(tmp_path):
    path = tmp_path / "own.yml"
    path.write_text(
        "- {model: Claude Opus 4.8, input: 1, cache_read: 0.1, output: '$2,000.50'}\n"
        "- {model: claude-opus-4.8, tier: fast, input: 7, output: 7}\n"
        "- {model: mine, threshold: '<= 1K', input: '1', output: '1'}\n",
        encoding="utf-8",
    )
    own = pricing.load(user_file=str(path))
    got = quote(own, "claude-opus-4-8", output_tokens=MILLION)
    assert got[:2] == (USD + 200_050_000_000_000, "priced")
    assert got.rate.source == str(path)
    assert quote(own, "claude-opus-4-8", billing="byok").nano_aiu == USD
    assert quote(own, "claude-opus-4-8-fast").nano_aiu == 7 * USD
    assert quote(own, "claude-opus-4-7").rate.source != str(path)
    assert quote(own, "mine", input_tokens=1001)[:2] == (None, "unknown")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not readable as YAML (line 2)"),
        ("model: x", "expected a list"),
        ("3", "expected a list"),
        ("{source: s, checked: 2026-10-24, rows: []}", "checked"),
        ("- x", "row 1: expected a mapping"),
        ("- {input: 1, output: 1}", "row 1: model is missing"),
        ("- {model: 5, input: 1, output: 1}", "row 1: model must be a text"),
        ("- {model: a, input: 1}", "row 1: input and output are needed"),
        ("- {model: a, input: 1, output: 1}\n- {model: b, input: -1, output: 1}", "row 2"),
        ("- {model: a, input: .nan, output: 1}", "row 1: 'nan' is no price"),
        ("- {model: a, input: true, output: 1}", "row 1: input: True is no price"),
        ("- {model: a, input: cheap, output: 1}", "row 1: 'cheap' is no price"),
        ("- {model: a, input: 1, output: 1, threshold: 200K}", "row 1: '200K' is no threshold"),
        ("- {model: a, input: 1, output: 1, ouptut: 1}", "row 1: unknown field 'ouptut'"),
        ("- {model: a, input: 1, output: 1, first_seen: 2026-10-24}", "row 1: first_seen"),
        ("- {model: a, input: 1, output: 1, last_seen: 'soon'}", "row 1: last_seen"),
        ("- {model: '\\xff', input: 1", "not readable"),
    ],
)
def test_a_bad_price_file_is_named_with_its_row(tmp_path, text, says):
    path = tmp_path / "own.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadPriceFile) as error:
        pricing.load(user_file=str(path))
    assert str(path) in str(error.value)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        pricing.load(user_file=str(tmp_path / "no.yml"))
    with pytest.raises(FileNotFoundError):
        pricing.load(ref_dir=str(tmp_path))
    with pytest.raises(UsageError):
        pricing.load(fallback="guess")


# Price folders and the compatibility mode


def test_the_table_of_a_folder():
    got = pricing.table(FOLDER)
    assert got["models"] == GOLDEN["models"]
    assert set(got) == {"_note", "_source", "models"}


def test_our_own_table_has_the_same_shape_and_no_default():
    models = pricing.table()["models"]
    assert "default" not in models
    assert models["claude-opus-4.8-(fast-mode)"][0]["input_per_m"] == 10.0
    low, high = models["gpt-5.4"]
    assert (low["threshold_tokens"], high["min_threshold_tokens"]) == (272_000, 272_001)
    assert set(low) == set(GOLDEN["models"]["alpha-two"][0])


@pytest.mark.parametrize("name", GOLDEN["normalize"])
def test_names_in_a_folder(name):
    assert folder.shown_name(name) == GOLDEN["normalize"][name]


@pytest.mark.parametrize("text", GOLDEN["price"])
def test_prices_in_a_folder(text):
    assert folder.usd(text) == GOLDEN["price"][text]


@pytest.mark.parametrize("text", GOLDEN["threshold"])
def test_thresholds(text):
    wanted = GOLDEN["threshold"][text]
    value = None if text == "None" else text
    if wanted == "ValueError":
        with pytest.raises(ValueError, match="no threshold"):
            tables.threshold(value)
    else:
        assert list(tables.threshold(value)) == wanted


@pytest.mark.parametrize(
    "text", ["{", "model: x", "- 3", "- {input: 1}", "- {model: a, threshold: 200K}"]
)
@pytest.mark.parametrize("name", ["models-and-pricing.yml", "custom-models-pricing.yml"])
def test_a_bad_price_folder(tmp_path, text, name):
    (tmp_path / "models-and-pricing.yml").write_text("[]")
    (tmp_path / name).write_text(text)
    with pytest.raises(BadPriceFile, match=name):
        pricing.load(ref_dir=str(tmp_path))
    with pytest.raises(ValueError, match=name):
        pricing.table(str(tmp_path))


@pytest.mark.parametrize(
    ("model", "more", "usd"),
    [
        # all fresh input is charged as a cache write
        ("alpha-two", {"input_tokens": 200_000}, 0.5),
        ("alpha-two", {"input_tokens": 200_001}, 1.000005),
        ("beta-sonnet-9", {"output_tokens": 100_000, "cache_read_tokens": 600_000}, 3.18),
        ("gamma-flash-002", {}, 0.5),
        ("gamma-flash-lite-001", {}, 0.1),
        ("gamma", {}, 0.3),
        ("", {"input_tokens": 10, "output_tokens": 10}, 0.000018),
        (None, {"input_tokens": 10, "output_tokens": 10}, 0.000018),
        ("own-host-7b", {}, 0.0),
        ("gpt-4.10", {"input_tokens": 10, "output_tokens": 1}, 0.0000045),
        ("gpt-5.4-nanox", {"input_tokens": 3, "output_tokens": 1}, 0.0000024),
        ("gamma-flash", {"input_tokens": None, "output_tokens": 5}, 0.000015),
        ("gamma-flash", {"input_tokens": 5, "cache_read_tokens": 9, "output_tokens": 5}, 1.545e-5),
        ("gpt-4.1", {}, 0.0),
        # names match whatever their case, fast mode whatever its spelling
        ("Beta-Sonnet-9", {"input_tokens": 1000}, 0.00375),
        ("beta-opus-9-fast-mode", {"input_tokens": 10_000, "output_tokens": 1}, 10.005002),
    ],
)
def test_compatibility_with_older_answers_for_vscode(model, more, usd):
    old = pricing.load(ref_dir=FOLDER, fallback="default")
    got = quote(old, model, "2026-05-28", agent="copilot-vscode", cache_write_tokens=None, **more)
    assert got.nano_aiu == round(usd * USD)


@pytest.mark.parametrize(
    ("more", "usd"),
    [
        (
            {
                "cache_read_tokens": 500_000,
                "cache_write_tokens": 100_000,
                "output_tokens": 1000,
                "calls": 10,
            },
            1.158,
        ),
        ({"input_tokens": 600_000, "calls": 2}, 2.4),
        ({"input_tokens": 600_000, "calls": 0}, 1.2),
        ({"input_tokens": 10, "output_tokens": None}, None),
    ],
)
def test_compatibility_with_older_answers_for_the_cli(more, usd):
    old = pricing.load(ref_dir=FOLDER, fallback="default")
    got = quote(old, "alpha-two", agent="copilot-cli", **more)
    assert got.nano_aiu == (None if usd is None else round(usd * USD))


def test_compatibility_says_what_it_guessed():
    old = pricing.load(ref_dir=FOLDER, fallback="default")
    got = quote(old, "never-heard-of", agent="copilot-vscode", input_tokens=None)
    assert got.basis == "estimated"
    assert got.assumptions == ("default rate", "missing counts taken as 0")
    assert quote(pricing.load(ref_dir=FOLDER), "never-heard-of").nano_aiu is None


# Requests, counters, listings


def test_a_request_and_a_counter_are_quoted_from_their_fields(prices):
    one = request(
        started_ms=ms("2026-10-20"),
        model="gpt-6-sol",
        input_tokens=272_001,
        output_tokens=0,
        cache_read_tokens=0,
        cache_write_tokens=0,
    )
    assert prices.quote(one)[:2] == (272_001 * 400_000, "priced")
    all_of_them = counter(
        model="gpt-6-sol",
        requests=2,
        input_tokens=272_002,
        output_tokens=0,
        cache_read_tokens=0,
        cache_write_tokens=0,
    )
    got = prices.quote(all_of_them)
    assert got[:2] == (272_002 * 200_000, "estimated")
    assert got.assumptions == ("aggregate of 2 requests",)
    assert prices.quote(all_of_them, calls=1).nano_aiu == 272_002 * 400_000
    assert prices.quote(all_of_them._replace(requests=None)).nano_aiu == 272_002 * 200_000
    assert prices.quote(all_of_them._replace(model=None)).nano_aiu is None


def test_rates_for_a_listing(prices):
    assert len(prices.rates()) == len(CARD["rows"])
    assert [r.input for r in prices.rates("gpt-5.6-luna", "2026-10-20")] == [
        20_000_000_000,
        40_000_000_000,
    ]
    assert len(prices.rates("GPT-5.6 Luna")) == 6
    assert prices.rates("never-heard-of") == []


# Properties and the data itself


tokens = st.integers(0, 10**7)


@given(
    model=st.sampled_from(["claude-haiku-5.5", "gpt-6-sol", "gpt-5.3-codex", "grok-4.7"]),
    prompt=tokens,
    output=tokens,
    more=st.integers(0, 10**6),
    read=st.none() | tokens,
    write=st.none() | tokens,
)
def test_more_tokens_never_cost_less_within_a_tier(
    prices, model, prompt, output, more, read, write
):
    def cost(prompt: int, output: int) -> pricing.Quote:
        return quote(
            prices,
            model,
            input_tokens=prompt,
            output_tokens=output,
            cache_read_tokens=read,
            cache_write_tokens=write,
        )

    base = cost(prompt, output)
    assert type(base.nano_aiu) is int
    assert cost(prompt, output + more).nano_aiu >= base.nano_aiu
    bigger = cost(prompt + more, output)
    if bigger.rate == base.rate:
        assert bigger.nano_aiu >= base.nano_aiu


@given(st.text(max_size=40))
def test_any_name_is_matched_or_not_but_never_breaks(prices, name):
    assert rates.key(rates.key(name)) == rates.key(name)
    assert quote(prices, name).basis in events.BASES


@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(shuffle: random.Random):
    _, _, rows = tables.parse(CARD, "x")
    shuffled = list(rows)
    shuffle.shuffle(shuffled)
    assert rates.card("c", "x", None, shuffled).models == rates.card("c", "x", None, rows).models


def test_the_tables_follow_their_schema():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((ROOT / "schemas" / "prices.schema.json").read_text("utf-8"))
    checker = jsonschema.Draft202012Validator(schema)
    checker.check_schema(schema)
    checker.validate(CARD)
    checker.validate(yaml.safe_load((Path(tables.DATA) / "plans.yml").read_text("utf-8")))
    assert not checker.is_valid([{"model": "a", "input": "1"}])
    assert not checker.is_valid([{"model": "a", "input": "1", "output": "1", "threshold": "200K"}])


def test_the_compiled_file_says_what_the_tables_say(compiled):
    document = json.loads(compiled.read_text("utf-8"))
    own = tables.compile_copilot()
    assert document["cards"][0] == own["cards"][0]
    assert document["plans"] == own["plans"]
    rows = [rate for group in tables.bundle(str(compiled)).copilot.groups() for rate in group]
    source = tables.parse(CARD, "x")[2]
    assert sorted(map(repr, (r[2:] for r in rows))) == sorted(map(repr, (r[2:] for r in source)))


def test_a_build_in_the_source_tree_is_not_stale():
    if not Path(tables.COMPILED).exists():
        pytest.skip("nothing was built here")
    document = json.loads(Path(tables.COMPILED).read_text("utf-8"))
    assert document["cards"][0] == tables.compile_copilot()["cards"][0]


COUNT = st.one_of(st.none(), st.integers(0, 400_000))
CALLS = st.builds(
    events.Request,
    key=st.just("k"),
    agent=st.just("claude-code"),
    session=st.just("s"),
    source=st.just("transcript"),
    path=st.just("p"),
    offset=st.just(0),
    started_ms=st.one_of(st.none(), st.integers(ms("2025-01-01"), ms("2026-11-24"))),
    model=st.sampled_from(
        ["claude-opus-4-8", "claude-haiku-5-5", "gpt-5.5", "gpt-5", "gemini-2.5-pro", "x", None]
    ),
    provider=st.sampled_from(["anthropic", "openai", "ollama", None]),
    billing=st.sampled_from([events.API, events.BYOK, events.COPILOT]),
    tier=st.sampled_from([None, "fast", "priority"]),
    web_searches=st.sampled_from([None, 0, 2]),
    **dict.fromkeys(
        ["input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens"], COUNT
    ),
    output_tokens=COUNT,
)


@given(CALLS)
def test_B14_what_takes_no_assumption_costs_the_same_either_way(call: events.Request) -> None:
    prices = pricing.load()
    amount, quoted = Sure(prices).amount(call), prices.quote(call)
    if amount is not None:
        assert (amount, events.PRICED) == (quoted.nano_aiu, quoted.basis)


@settings(deadline=None)
@given(CALLS, st.data())
def test_B14_a_sum_in_columns_is_the_sum_of_its_calls(
    call: events.Request, data: st.DataObject
) -> None:
    """Calls that differ in time and figures only: of one day or several, with and without gaps."""
    counts = st.one_of(st.none(), st.just(0), st.integers(0, 400_000))
    alike = data.draw(st.booleans(), "the same figures are known of all")
    known = st.tuples(*[st.integers(0, 90_000)] * 3, st.just(0), st.integers(0, 9_000))
    rows: list[events.Row] = []
    for number in range(data.draw(st.integers(1, 6))):
        at_ms = ms("2026-11-20") + data.draw(st.integers(-200_000_000, 200_000_000))
        prompt, read, write, hour, output = data.draw(known if alike else st.tuples(*[counts] * 5))
        if alike:
            prompt += read + write
        rows.append(
            events.Row(
                str(number), 0, at_ms, prompt, read, write, hour, output, None, None, None, None
            )
        )
    sure = Sure(pricing.load())
    together, each = sure.sum(call, rows), sure.amounts(call, rows)
    one_by_one = [sure.amount(request) for request in events.Calls(call, rows).requests()]
    assert each == one_by_one
    if together is not None:
        assert together == sum(amount for amount in each if amount is not None)
        assert None not in each


def test_B14_the_usual_calls_are_summed_in_columns() -> None:
    for model, provider, write in (
        ("claude-opus-4-8", "anthropic", 900),
        ("gpt-5.5", "openai", None),
    ):
        call = events.Request(
            "", "codex", "s", "rollout", "p", 0, None, model, provider, events.API
        )
        row = events.Row(
            "k", 0, ms("2026-11-20"), 9000, 7000, write, None, 500, None, None, None, None
        )
        sure = Sure(pricing.load())
        assert sure.sum(call, [row, row]) == 2 * (sure.amounts(call, [row])[0] or 0)


def test_B14_the_usual_call_takes_no_assumption() -> None:
    figures = {"input_tokens": 9000, "cache_read_tokens": 7000, "output_tokens": 500}
    for model, provider, write in (
        ("claude-opus-4-8", "anthropic", 900),
        ("gpt-5.5", "openai", None),
    ):
        call = events.Request(
            "k", "codex", "s", "rollout", "p", 0, ms("2026-11-20"), model, provider, events.API,
            cache_write_tokens=write, **figures,
        )  # fmt: skip
        assert Sure(pricing.load()).amount(call) == pricing.load().quote(call).nano_aiu is not None
