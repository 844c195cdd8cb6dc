"""What VS Code notes of the sessions that it hosts."""

from __future__ import annotations

from typing import Any

from session_usage.events import Cursor, Problem, Request, Source
from session_usage.jsonl import Scan, parse
from session_usage.money import nano
from session_usage.providers.copilot_cli.state import AGENT, Events, unreadable
from session_usage.values import instant, text, whole


def read_host_usage(source: Source, at: Cursor) -> Events:
    """VS Code's own notes of an agent-host session: ``totalNanoAiu`` runs up over a turn."""
    session = source.session or ""
    turns: dict[str, int] = dict(at.state[0]) if at.state else {}
    scan = Scan(source.path, (), at.offset)
    before_tail: tuple[Any, ...] | None = None
    try:
        for line in scan:
            if not line.whole:
                before_tail = (dict(turns),)
            row, wrong = parse(line.data)
            if wrong:
                yield Problem(
                    "malformed", source.path, line.offset, f"a line is {wrong}", AGENT, session
                )
            if not row or row.get("kind", "modelCall") != "modelCall":
                continue
            owner = text(row.get("sdkSessionId")) or session
            turn = text(row.get("turnId"))
            running = nano(row.get("totalNanoAiu"))
            spent = running
            if running is not None and turn:
                spent = max(0, running - turns.get(turn, 0))
                turns[turn] = max(running, turns.get(turn, 0))
            call = text(row.get("apiCallId")) or text(row.get("eventId"))
            yield Request(
                call or f"{owner}@host{line.offset}",
                AGENT,
                owner,
                "host-usage",
                source.path,
                line.offset,
                started_ms=instant(row.get("ts")),
                model=text(row.get("model")),
                input_tokens=whole(row.get("inputTokens")),
                cache_read_tokens=whole(row.get("cacheReadTokens")),
                output_tokens=whole(row.get("outputTokens")),
                nano_aiu=spent,
                duration_ms=whole(row.get("durationMs")),
                ttft_ms=whole(row.get("timeToFirstTokenMs")),
                subagent_id=text(row.get("agentId")),
                turn=turn,
                link=text(row.get("providerCallId")),
            )
    except OSError as error:
        yield unreadable(source, error)
    yield Cursor(scan.offset, before_tail or (dict(turns),))
