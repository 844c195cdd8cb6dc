"""A model server on the loopback interface that answers by script and keeps the truth.

It stands in for Copilot's API (signed-in mode, with ``copilot_usage`` in every answer) and for
any OpenAI or Anthropic endpoint. A prompt carries its script: ``#mock [{step}, …]``; step *i*
answers the request in which *i* assistant messages follow the prompt. Keys of a step, all
optional:

``text``, ``reasoning``, ``tools`` ([{"name", "args"}]), ``usage`` ({"input", "cached",
"cache_write", "output", "reasoning"}; ``input`` is the whole prompt), ``status`` (an HTTP
error instead of an answer), ``hold`` (stop after the text until ``release`` is set).

What every answer reported is in ``truth``, in the order of the requests. Prices are invented.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import replies

PER = 1_000_000
PRICES = {
    # nano-AIU per million tokens: input, cache read, cache write, output
    "claude-sonnet-4.5": (300_000_000_000, 30_000_000_000, 375_000_000_000, 1_500_000_000_000),
    "gpt-5.4": (250_000_000_000, 25_000_000_000, 0, 1_500_000_000_000),
}
OTHER = (20_000_000_000, 2_000_000_000, 0, 100_000_000_000)
"""Of the models that write titles."""
_KINDS = ("input", "cache_read", "cache_write", "output")
_PROTOCOLS = {
    "/chat/completions": replies.chat,
    "/responses": replies.responses,
    "/messages": replies.messages,
}
_MODELS = (
    ("claude-sonnet-4.5", "Anthropic", 200_000, ["/chat/completions", "/v1/messages"]),
    ("gpt-5.4", "OpenAI", 272_000, ["/chat/completions", "/responses"]),
)
_TITLE = {"text": "A title", "usage": {"input": 321, "output": 12}}


class Truth(NamedTuple):
    """What the server said that one call used."""

    model: str
    input: int
    cached: int
    cache_write: int
    output: int
    nano_aiu: int | None
    background: bool


class ModelServer:
    """Serves on a free port of 127.0.0.1 between ``with`` and its end."""

    def __init__(self, signed_in: bool = True) -> None:
        self.signed_in = signed_in
        self.truth: list[Truth] = []
        self.release = threading.Event()
        """Lets the answers of ``hold`` steps go on."""
        self.held = threading.Event()
        """Set when an answer has come to its ``hold``."""
        self.lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = True
        self._http.model_server = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)

    def __enter__(self) -> ModelServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def amount(self, model: str, usage: dict[str, int]) -> dict[str, Any]:
        fresh = usage["input"] - usage["cached"] - usage["cache_write"]
        counts = (fresh, usage["cached"], usage["cache_write"], usage["output"])
        rows = list(zip(_KINDS, counts, PRICES.get(model, OTHER), strict=True))
        return {
            "token_details": [
                {
                    "batch_size": PER,
                    "cost_per_batch": price,
                    "token_count": count,
                    "token_type": kind,
                }
                for kind, count, price in rows
            ],
            "total_nano_aiu": sum(count * price // PER for _, count, price in rows),
        }


def script(*steps: dict[str, Any]) -> str:
    """The part of a prompt that scripts the answers to it."""
    return "#mock " + json.dumps(steps)


def usage(
    input: int, cached: int = 0, cache_write: int = 0, output: int = 10, reasoning: int = 0
) -> dict[str, int]:
    return {
        "input": input,
        "cached": cached,
        "cache_write": cache_write,
        "output": output,
        "reasoning": reasoning,
    }


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            yield from _texts(part.get("text", part.get("content")) if type(part) is dict else part)


def _conversation(body: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """(role, texts) of each message; consecutive items of one model turn are one."""
    turns: list[tuple[str, list[str]]] = []
    given = body.get("messages") or body.get("input") or []
    for item in [{"role": "user", "content": given}] if isinstance(given, str) else given:
        role = item.get("role")
        if role is None:
            role = "tool" if str(item.get("type")).endswith("_output") else "assistant"
            if role == "assistant" and turns and turns[-1][0] == "assistant":
                continue
        turns.append((role, list(_texts(item.get("content")))))
    return turns


def _step(body: dict[str, Any]) -> dict[str, Any]:
    turns = _conversation(body)
    for at in range(len(turns) - 1, -1, -1):
        role, texts = turns[at]
        scripts = [text for text in texts if "#mock" in text] if role == "user" else []
        if scripts:
            tail = scripts[-1].split("#mock", 1)[1].lstrip()
            steps, _ = json.JSONDecoder().raw_decode(tail)
            done = sum(1 for role, _ in turns[at + 1 :] if role == "assistant")
            found: dict[str, Any] = steps[done] if done < len(steps) else {"text": "(no step left)"}
            return found
    return {"text": "Answer."}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def mine(self) -> ModelServer:
        server: ModelServer = self.server.model_server  # type: ignore[attr-defined]
        return server

    def handle(self) -> None:
        try:
            super().handle()
        except (BrokenPipeError, ConnectionResetError):
            return  # the client is gone, as in a killed session

    def log_message(self, format: str, *args: Any) -> None:
        return

    def _send(self, value: Any, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path.endswith("/models"):
            self._send({"object": "list", "data": [_model(*row) for row in _MODELS]})
        elif path.endswith("/copilot_internal/user"):
            self._send(_account(self.mine.url))
        elif path.endswith("/user"):
            self._send({"login": "nobody", "id": 1})
        else:
            self._send({"error": "not found"}, 404)

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        raw = self._chunks() if "chunked" in (self.headers.get("transfer-encoding") or "") else b""
        raw = raw or self.rfile.read(length)
        path = self.path.split("?")[0]
        for ending, protocol in _PROTOCOLS.items():
            if path.endswith(ending):
                self._answer(json.loads(raw), protocol)
                return
        self._send({"error": "not found"}, 404)

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, body: dict[str, Any], protocol: Any) -> None:
        mine = self.mine
        background = "background" in (self.headers.get("x-interaction-type") or "")
        step = _TITLE if background else _step(body)
        if "status" in step:
            failure = {"type": "api_error", "message": "scripted", "code": "scripted"}
            self._send({"type": "error", "error": failure}, step["status"])
            return
        model = str(body.get("model"))
        counted = {**usage(1000), **step.get("usage", {})}
        billed = mine.amount(model, counted) if mine.signed_in else None
        with mine.lock:
            number = len(mine.truth) + 1
            mine.truth.append(
                Truth(
                    model,
                    counted["input"],
                    counted["cached"],
                    counted["cache_write"],
                    counted["output"],
                    billed["total_nano_aiu"] if billed else None,
                    background,
                )
            )
        calls = [
            {"id": f"call_{number}_{at}", "name": call["name"], "args": call.get("args", {})}
            for at, call in enumerate(step.get("tools", ()))
        ]
        text = step.get("text", "" if calls else "Answer.")
        answer = replies.Answer(
            f"answer-{number}", model, text, step.get("reasoning", ""), calls, counted, billed
        )
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("x-github-request-id", f"MOCK:{number}")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for part in protocol(answer):
            if part is not replies.HOLD:
                self._stream(*part)
            elif step.get("hold"):
                mine.held.set()
                mine.release.wait()
        self.wfile.write(b"0\r\n\r\n")

    def _stream(self, event: str | None, payload: Any) -> None:
        head = f"event: {event}\n" if event else ""
        text = payload if isinstance(payload, str) else json.dumps(payload)
        raw = f"{head}data: {text}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(raw), raw))
        self.wfile.flush()


def _model(name: str, vendor: str, window: int, endpoints: list[str]) -> dict[str, Any]:
    price = PRICES[name]
    credit = 1_000_000_000
    return {
        "id": name,
        "object": "model",
        "name": name,
        "vendor": vendor,
        "version": name,
        "preview": False,
        "model_picker_enabled": True,
        "supported_endpoints": endpoints,
        "policy": {"state": "enabled", "terms": ""},
        "billing": {
            "is_premium": True,
            "multiplier": 1,
            "token_prices": {
                "batch_size": PER,
                "input_price": price[0] // credit,
                "output_price": price[3] // credit,
                "cache_price": price[1] // credit,
            },
        },
        "capabilities": {
            "type": "chat",
            "family": name,
            "tokenizer": "o200k_base",
            "limits": {
                "max_context_window_tokens": window,
                "max_prompt_tokens": window - 16_000,
                "max_output_tokens": 16_000,
            },
            "supports": {
                "tool_calls": True,
                "parallel_tool_calls": True,
                "streaming": True,
                "vision": False,
            },
        },
    }


def _account(url: str) -> dict[str, Any]:
    snapshot = {
        "entitlement": 1500,
        "remaining": 1400,
        "percent_remaining": 93.3,
        "unlimited": False,
        "overage_count": 0,
        "overage_permitted": False,
        "quota_id": "premium_interactions",
        "timestamp_utc": "2026-01-01T00:00:00Z",
    }
    return {
        "login": "nobody",
        "access_type_sku": "copilot_pro",
        "copilot_plan": "individual",
        "chat_enabled": True,
        "token_based_billing": True,
        "is_mcp_enabled": True,
        "analytics_tracking_id": "none",
        "endpoints": {"api": url},
        "quota_snapshots": {"premium_interactions": snapshot},
        "quota_reset_date": "2026-12-01",
        "quota_reset_date_utc": "2026-12-01T00:00:00.000Z",
    }
