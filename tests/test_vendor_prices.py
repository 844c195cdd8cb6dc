"""What calls of Claude Code, Codex, OpenCode and Gemini CLI cost: from log line to amount.

Rates are those of the vendors' published lists, in USD per million tokens, as written here.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from session_usage import pricing
from session_usage.cli import main
from session_usage.events import Counter, Request
from session_usage.places import here
from session_usage.report import Amount, amounts
from session_usage.sessions import Library

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests/data"
AGENTS = ("claude-code", "codex", "gemini", "opencode")


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> pricing.Prices:
    """The tables as a build compiles them."""
    pytest.importorskip("genai_prices")
    spec = importlib.util.spec_from_file_location("build_prices", ROOT / "server/build_prices.py")
    assert spec is not None
    assert spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    path = tmp_path_factory.mktemp("prices") / "prices.json"
    build.write(str(path))
    return pricing.Prices(shipped=str(path))


def priced(home: Path, agent: str, prices: pricing.Prices) -> list[Amount]:
    return [
        amount
        for session in Library(here(str(home)), agent).all()
        for amount in amounts(session, prices)
    ]


def claude(home: Path, prices: pricing.Prices, model: str, usage: dict[str, Any]) -> Amount:
    folder = home / ".claude/projects/-p"
    folder.mkdir(parents=True)
    message = {"id": "msg_1", "model": model, "stop_reason": "end_turn", "usage": usage}
    line = {"type": "assistant", "message": message, "sessionId": "s", "uuid": "u"}
    line["timestamp"] = "2026-10-20T12:00:00.000Z"
    (folder / "s.jsonl").write_text(json.dumps(line) + "\n")
    [amount] = priced(home, "claude-code", prices)
    return amount


CACHED = {
    "input_tokens": 1000,
    "cache_read_input_tokens": 20_000,
    "cache_creation_input_tokens": 0,
    "output_tokens": 500,
}
WRITES = {"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 700}


@pytest.mark.parametrize(
    ("model", "usage", "microdollars"),
    [
        ("claude-opus-5-5", CACHED, 1000 * 4 + 20_000 * 0.2 + 500 * 20),
        (
            "claude-opus-5-5",
            CACHED | {"cache_creation_input_tokens": 1000},
            1000 * 4 + 20_000 * 0.2 + 1000 * 5 + 500 * 20,
        ),
        (
            "claude-opus-5-5",
            CACHED | {"cache_creation_input_tokens": 1000, "cache_creation": WRITES},
            1000 * 4 + 20_000 * 0.2 + 300 * 5 + 700 * 8 + 500 * 20,
        ),
        ("claude-opus-5-5", CACHED | {"speed": "standard"}, 18_000),
        ("claude-opus-5-5", CACHED | {"speed": "fast"}, 2 * 18_000),
        (
            "claude-opus-5-5",
            CACHED | {"speed": "fast", "cache_creation": WRITES},
            2 * (18_000 + 300 * 5 + 700 * 8),
        ),
        (
            "claude-opus-5-5",
            CACHED | {"server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 2}},
            18_000 + 3 * 10_000,
        ),
        ("claude-opus-5-5", CACHED | {"service_tier": "batch"}, 18_000 / 2),
        ("claude-opus-5-5", CACHED | {"service_tier": "standard"}, 18_000),
        ("claude-sonnet-4-5-20250929", CACHED, 1000 * 3 + 20_000 * 0.3 + 500 * 15),
        (
            "claude-sonnet-4-5-20250929",  # the whole prompt is over 200,000 tokens
            CACHED | {"cache_read_input_tokens": 200_000},
            1000 * 6 + 200_000 * 0.6 + 500 * 22.5,
        ),
        ("claude-haiku-4-5-20251001", CACHED, 1000 * 1 + 20_000 * 0.1 + 500 * 5),
        ("claude-sonnet-4-20250514", CACHED, 1000 * 3 + 20_000 * 0.3 + 500 * 15),
    ],
    ids=["cache read", "writes of 5 minutes", "writes of both kinds", "standard speed", "fast",
         "fast with writes", "web searches", "batch", "standard tier", "dated name",
         "long prompt", "haiku", "old model"],
)  # fmt: skip
def test_claude_code_calls(
    model: str, usage: dict[str, Any], microdollars: float, tmp_path: Path, prices: pricing.Prices
) -> None:
    amount = claude(tmp_path, prices, model, usage)
    assert amount.quote.nano_aiu == round(microdollars * 100_000)
    assert (amount.quote.basis, amount.quote.billing) == ("priced", "api")
    assert amount.quote.assumptions == ()


@pytest.mark.parametrize("case", ["iterations", "tui-compact", "multi-turn", "subagent"])
def test_claude_code_s_own_sums_are_reached(case: str, prices: pricing.Prices) -> None:
    """``cost-state`` has what the program computed by its own price list, model by model."""
    checked = 0
    for path in (DATA / "claude-code" / case / "home").rglob("*.jsonl"):
        for line in path.read_text("utf-8").splitlines():
            record = json.loads(line)
            for model, used in record.get("modelUsage", {}).items():
                parts = used["inputTokens"], used["cacheReadInputTokens"]
                write = used["cacheCreationInputTokens"]
                hour = used.get("cacheCreationEphemeral1hInputTokens", 0)
                quote = prices.quote_tokens(
                    model=model.partition("[")[0], day_ms=1_795_165_200_000, billing="api",
                    provider="anthropic", input_tokens=sum(parts) + write,
                    cache_read_tokens=parts[1], cache_write_tokens=write,
                    cache_write_1h_tokens=hour, output_tokens=used["outputTokens"],
                    web_searches=used.get("webSearchRequests"), calls=99,
                )  # fmt: skip
                assert quote.nano_aiu == pytest.approx(used["costUSD"] * 1e11, abs=1)
                checked += 1
    assert checked


def codex(home: Path, prices: pricing.Prices, model: str, usage: dict[str, int]) -> Amount:
    thread = "01a1f856-894e-7312-91bd-78879003a789"
    folder = home / ".codex/sessions/2026/10/20"
    folder.mkdir(parents=True)
    meta = {"id": thread, "timestamp": "2026-10-20T12:00:00.000Z", "model_provider": "openai"}
    record = {"thread_id": thread, "response_id": "r", "usage": usage}
    lines = [
        {"timestamp": "2026-10-20T12:00:00.000Z", "type": kind, "payload": payload}
        for kind, payload in (
            ("session_meta", meta), ("turn_context", {"model": model}),
            ("token_usage_record", record),
        )
    ]  # fmt: skip
    text = "".join(
        json.dumps({"timestamp": line.pop("timestamp"), **line}) + "\n" for line in lines
    )
    (folder / f"rollout-2026-10-20T12-00-00-{thread}.jsonl").write_text(text)
    [amount] = priced(home, "codex", prices)
    return amount


@pytest.mark.parametrize(
    ("usage", "microdollars", "assumptions"),
    [
        ((10_000, 8000, None, 500), 2000 * 5 + 8000 * 0.5 + 500 * 30, ()),
        ((272_000, 0, None, 500), 272_000 * 5 + 500 * 30, ()),
        ((272_001, 0, None, 500), 272_001 * 10 + 500 * 45, ()),
        ((10_000, 8000, 500, 500), 2000 * 5 + 8000 * 0.5 + 500 * 30,
         ("cache writes priced as input",)),
    ],
    ids=["cache read", "up to the limit", "above it", "cache writes"],
)  # fmt: skip
def test_codex_calls(
    usage: tuple[int, int, int | None, int],
    microdollars: float,
    assumptions: tuple[str, ...],
    tmp_path: Path,
    prices: pricing.Prices,
) -> None:
    names = ("input_tokens", "cached_input_tokens", "cache_write_input_tokens", "output_tokens")
    known = {name: count for name, count in zip(names, usage, strict=True) if count is not None}
    amount = codex(tmp_path, prices, "gpt-5.5", known)
    assert amount.quote.nano_aiu == round(microdollars * 100_000)
    assert amount.quote.billing == "api"
    assert amount.quote.assumptions == assumptions
    assert amount.quote.basis == ("estimated" if assumptions else "priced")


def real(target: Path) -> Iterator[tuple[str, Path]]:
    for agent in AGENTS:
        for case in sorted((DATA / agent).iterdir()):
            home = Path(shutil.copytree(case / "home", target / agent / case.name))
            for script in home.rglob("*.sql"):
                with closing(sqlite3.connect(script.with_suffix(".db"))) as connection:
                    connection.executescript(script.read_text("utf-8"))
            yield agent, home


def test_real_calls_have_a_list_price_unless_something_is_named(
    tmp_path: Path, prices: pricing.Prices
) -> None:
    """Every answered call of a published model is priced; assumptions are few and named."""
    allowed = {"cache writes priced as input", "aggregate of an unknown number of requests"}
    seen: dict[str, int] = {}
    for agent, home in real(tmp_path):
        for usage, quote in priced(home, agent, prices):
            assert quote.billing == ("copilot" if usage.billing == "copilot" else "api")
            seen[quote.basis] = seen.get(quote.basis, 0) + 1
            if quote.basis == "unknown":
                unheard = quote.assumptions == (f"no published rate for {usage.model}",)
                assert usage.input_tokens is None or (unheard and agent == "opencode"), usage
            elif quote.basis == "estimated":
                assert set(quote.assumptions) <= allowed, (usage, quote)
            else:
                assert quote.basis == "priced"
                assert isinstance(usage, Request)
            if isinstance(usage, Counter):
                assert quote.basis != "priced"
    assert seen["priced"] > 150


def test_copilot_s_models_in_opencode_are_no_api_calls(
    tmp_path: Path, prices: pricing.Prices
) -> None:
    folder = tmp_path / ".local/share/opencode/storage"
    made = 1_792_500_000_000
    tokens = {"input": 1000, "output": 100, "reasoning": 0, "cache": {"read": 0, "write": 0}}
    for provider in ("github-copilot", "anthropic"):
        session = f"ses_{provider}"
        message = {
            "id": f"msg_{provider}", "role": "assistant", "sessionID": session, "tokens": tokens,
            "providerID": provider, "modelID": "claude-sonnet-4.5",
            "time": {"created": made, "completed": made + 1},
        }  # fmt: skip
        path = folder / f"message/{session}/msg_{provider}.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(message))
    found = {usage.provider: q for usage, q in priced(tmp_path, "opencode", prices)}
    assert found["copilot"].billing == "copilot"
    assert found["anthropic"].billing == "api"
    assert {quote.nano_aiu for quote in found.values()} == {round((1000 * 3 + 100 * 15) * 1e5)}


def test_reports_say_what_is_api_equivalent(capsys: pytest.CaptureFixture[str]) -> None:
    claude = str(DATA / "claude-code/multi-turn/home")
    for command in (("report",), ("latest",), ("batch", "1")):
        assert main(["--home", claude, *command]) == 0
        assert "all of it is API-equivalent" in capsys.readouterr().out
    path = next((DATA / "copilot-cli/capi-simple").rglob("events.jsonl"))
    assert main(["show", str(path)]) == 0
    assert "API-equivalent" not in capsys.readouterr().out
