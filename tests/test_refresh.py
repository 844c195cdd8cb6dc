"""Refreshing prices: asked for by name, all or nothing, and dated from then on (R9).

Everything is fetched from a server on this machine.
"""

from __future__ import annotations

import http.server
import json
import threading
from datetime import datetime, timezone

import pytest

from session_usage import api, cli, pricing, refresh, tables
from session_usage.errors import BadPriceFile

ROWS = """
- {model: Claude Sonnet 4.6, provider: anthropic, threshold: Not applicable, input: $3.00,
   cached_input: $0.30, output: $15.00, cache_write: $3.75}
- {model: 'Claude Opus 4.8[^promo]', provider: anthropic, input: $6.00, cached_input: $0.60,
   output: $30.00, cache_write: $7.50}
- {model: New Model 9 (preview), provider: acme, threshold: '≤ 200K', input: $1.00,
   cached_input: Not applicable, output: $2.00}
- {model: New Model 9 (preview), provider: acme, threshold: '> 200K', input: $2.00,
   cached_input: $0.20, output: $4.00}
"""
LATER = ROWS.replace("$6.00", "$7.00")


class Server(http.server.ThreadingHTTPServer):
    pages: dict[str, bytes]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        page = self.server.pages.get(self.path)
        self.send_response(404 if page is None else 200)
        self.end_headers()
        self.wfile.write(page or b"")

    def log_message(self, *arguments):
        pass


@pytest.fixture
def serve():
    """A function that puts a page on a local server and gives its URL."""
    with Server(("127.0.0.1", 0), Handler) as server:
        server.pages = {}
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()

        def put(content: str | bytes) -> str:
            path = f"/{len(server.pages)}.yml"
            server.pages[path] = content.encode() if isinstance(content, str) else content
            return f"http://127.0.0.1:{server.server_port}{path}"

        yield put
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def where(tmp_path, monkeypatch):
    """Our own price folder, in which nothing is yet."""
    monkeypatch.setenv("SESSION_USAGE_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(refresh, "_today", lambda: "2026-11-24")
    return str(tmp_path / "prices")


def quote(where: str, model: str, day: str, prompt: int = 1_000_000):
    at = datetime.fromisoformat(day).replace(tzinfo=timezone.utc)
    return pricing.load(refreshed=where).quote_tokens(
        model=model,
        day_ms=int(at.timestamp() * 1000),
        input_tokens=prompt,
        cache_read_tokens=0,
        cache_write_tokens=0,
        output_tokens=0,
    )


def usd(where: str, model: str, day: str, prompt: int = 1_000_000) -> tuple[float, str]:
    found = quote(where, model, day, prompt)
    return found.nano_aiu / 1e11, found.basis


def test_nothing_is_refreshed_at_first(where):
    found = api.pricing_status()
    assert (found["table"], found["refreshed"], found["error"]) == ("shipped", False, None)
    assert found["checked"] == found["shipped_checked"]
    assert found["models"] > 30


def test_R9_a_refreshed_rate_holds_from_its_day_on(where, serve):
    before = usd(where, "claude-opus-4.8", "2026-10-20")
    assert refresh.download(where, serve(ROWS), "2026-11-24") == 4
    assert usd(where, "claude-opus-4.8", "2026-10-20") == before == (5.0, "priced")
    # it holds until the next one that differs
    assert usd(where, "claude-opus-4.8", "2026-11-23") == (5.0, "priced")
    assert usd(where, "claude-opus-4.8", "2026-11-24") == (6.0, "priced")
    assert usd(where, "claude-opus-4.8", "2027-03-01") == (6.0, "priced")


def test_R9_a_rate_that_did_not_change_is_extended(where, serve):
    refresh.download(where, serve(ROWS), "2026-11-24")
    for day in ("2026-07-01", "2026-10-24", "2026-11-10", "2026-11-24", "2026-12-24"):
        assert usd(where, "claude-sonnet-4.6", day) == (3.0, "priced")
    rates = pricing.load(refreshed=where).rates("claude-sonnet-4.6")
    seen = [(r.first_seen, r.last_seen) for r in rates if r.source.endswith(".yml")]
    assert seen == [("2026-07-01", "2026-11-24")]


def test_R9_a_model_that_left_the_table_keeps_its_last_rate_as_an_estimate(where, serve):
    assert quote(where, "gpt-5.3-codex", "2026-11-24").basis == "priced"
    refresh.download(where, serve(ROWS), "2026-11-24")
    found = quote(where, "gpt-5.3-codex", "2026-11-24")
    assert (found.basis, found.assumptions) == ("estimated", ("rate of 2026-10-24",))


def test_a_new_model_has_its_tiers_and_no_invented_cache_price(where, serve):
    assert quote(where, "new-model-9", "2026-11-24").nano_aiu is None
    refresh.download(where, serve(ROWS), "2026-11-24")
    assert usd(where, "new-model-9", "2026-11-24", 200_000) == (0.2, "priced")
    assert usd(where, "new-model-9", "2026-11-24", 200_001)[0] == 0.400002
    low = next(r for r in pricing.load(refreshed=where).rates("new-model-9") if r.low == 0)
    assert low.cache_read is None


def test_every_download_keeps_its_own_day(where, serve):
    refresh.download(where, serve(ROWS), "2026-11-24")
    refresh.download(where, serve(LATER), "2026-12-01")
    days = ("2026-11-23", "2026-11-30", "2026-12-01")
    assert [usd(where, "claude-opus-4.8", day)[0] for day in days] == [5.0, 6.0, 7.0]
    # a second download on a day replaces the first
    refresh.download(where, serve(ROWS), "2026-12-01")
    assert usd(where, "claude-opus-4.8", "2026-12-01") == (6.0, "priced")


def test_a_download_older_than_the_shipped_table_changes_nothing(where, serve):
    refresh.download(where, serve(ROWS), "2026-10-24")
    assert usd(where, "claude-opus-4.8", "2026-12-01") == (5.0, "priced")
    assert refresh.status(where)["table"] == "shipped"


def test_status_after_a_refresh(where, serve):
    url = serve(ROWS)
    refresh.download(where, url, "2026-11-24")
    found = refresh.status(where, today="2026-11-27")
    assert (found["table"], found["source"], found["checked"]) == ("refreshed", url, "2026-11-24")
    assert (found["age_days"], found["refreshed"]) == (3, True)


def test_refresh_pricing_is_seen_by_every_later_call(serve):
    old = api.load_pricing()["models"]["claude-opus-4.8"][0]["input_per_m"]
    found = api.refresh_pricing(serve(ROWS))
    assert (found["rows"], found["refreshed"], found["table"]) == (4, True, "refreshed")
    new = api.load_pricing()["models"]["claude-opus-4.8"][0]["input_per_m"]
    assert (old, new) == (5.0, 6.0)
    assert api.pricing_status()["age_days"] == 0


def test_refresh_pricing_into_a_named_folder(tmp_path, serve):
    api.refresh_pricing(url=serve(ROWS), ref_dir=tmp_path / "elsewhere")
    assert tables.refreshed(str(tmp_path / "elsewhere")) is not None
    assert api.pricing_status()["refreshed"] is False


BAD = {
    "a web page": "<!DOCTYPE html><html><body>Not here</body></html>",
    "no YAML": "- {model: [",
    "not UTF-8": b"- model: \xff\xfe",
    "nothing": "",
    "an empty list": "[]",
    "a mapping": "models: []",
    "a row without model": "- {input: $1.00, output: $2.00}",
    "a row without price": "- {model: Some Model, input: soon, output: $2.00}",
    "a price below 0": "- {model: Some Model, input: '-1', output: $2.00}",
    "an odd threshold": "- {model: M, threshold: about 5, input: $1.00, output: $2.00}",
    "too much": "- {model: M, input: $1.00, output: $2.00}\n" + "#" * refresh.LIMIT,
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_bad_content_leaves_the_old_table(where, serve, content):
    refresh.download(where, serve(ROWS), "2026-11-24")
    with open(tables.refreshed_path(where), "rb") as file:
        before = file.read()
    with pytest.raises(ValueError, match="http://127") as error:
        refresh.download(where, serve(content), "2026-11-25")
    assert "\n" not in str(error.value)
    with open(tables.refreshed_path(where), "rb") as file:
        assert file.read() == before


def test_what_cannot_be_reached_is_one_clear_error(where, serve):
    url = serve(ROWS)
    with pytest.raises(refresh.RefreshFailed, match="404"):
        api.refresh_pricing(url + "/nothing")
    with pytest.raises(refresh.RefreshFailed, match="prices are unchanged"):
        api.refresh_pricing("http://127.0.0.1:1/table.yml")
    for odd in ("file:///etc/passwd", "ftp://127.0.0.1/x", "table.yml"):
        with pytest.raises(ValueError, match="not a web address"):
            api.refresh_pricing(odd)
    assert api.pricing_status()["refreshed"] is False


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"source": 1}', b'{"source": "x", "days": {"2026-11-24": [[1]]}}']
)
def test_a_damaged_download_is_named_and_can_be_replaced(where, serve, tmp_path, content):
    (tmp_path / "prices").mkdir()
    with open(tables.refreshed_path(where), "wb") as file:
        file.write(content)
    with pytest.raises(BadPriceFile, match="prices refresh"):
        quote(where, "claude-opus-4.8", "2026-11-24")
    found = api.pricing_status()
    assert found["table"] == "shipped"
    assert "damaged" in found["error"]
    refresh.download(where, serve(ROWS), "2026-11-24")
    assert usd(where, "claude-opus-4.8", "2026-11-24") == (6.0, "priced")


def test_a_price_folder_is_not_touched_by_a_refresh(where, serve, tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "models-and-pricing.yml").write_text(
        "- {model: Claude Opus 4.8, input: $1.00, output: $1.00}", encoding="utf-8"
    )
    refresh.download(where, serve(ROWS), "2026-11-24")
    found = pricing.load(ref_dir=str(folder), refreshed=where).rates("claude-opus-4.8")
    assert [rate.input for rate in found if rate.source == str(folder)] == [100_000_000_000]
    assert not any(rate.source.startswith("http://127") for rate in found)


def test_prices_status_and_refresh_in_the_terminal(serve, capsys):
    assert cli.main(["prices", "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["table"] == "shipped"
    assert cli.main(["prices", "refresh", "--url", serve(ROWS)]) == 0
    assert "refreshed" in capsys.readouterr().out
    assert cli.main(["prices", "claude-opus-4.8", "--json"]) == 0
    assert "2026-11-24" in capsys.readouterr().out
    assert cli.main(["prices", "refresh", "--url", serve("[]")]) == 2
    assert "empty" in capsys.readouterr().err
