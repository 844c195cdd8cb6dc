"""Totals of Claude Code's transcripts: lines that are told by their beginnings say the same as in
a full reading, whatever stands between them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_usage import jsonl
from session_usage.events import Calls, Event, Problem, Request, Source, one_by_one
from session_usage.providers.claude_code import PROVIDER, totals
from session_usage.reconcile import better

ID = "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0"
SAID = {
    "isSidechain": False,
    "userType": "external",
    "cwd": "/home/dev/x",
    "sessionId": ID,
    "version": "2.1.15",
    "gitBranch": "main",
}
Line = dict[str, Any]


def call(message: int = 1, output: int = 5, **about: Any) -> Line:
    """A line of a message in the order of keys that Claude Code 2.1 has."""
    get = about.get
    usage = {
        "input_tokens": get("fresh", 4),
        "cache_creation_input_tokens": get("write", 60),
        "cache_read_input_tokens": get("read", 700),
        "cache_creation": {
            "ephemeral_5m_input_tokens": get("rest", 60),
            "ephemeral_1h_input_tokens": get("hour", 0),
        },
        "output_tokens": output,
        **get("details", {}),
        "service_tier": get("tier", "standard"),
    }
    return {
        "parentUuid": get("parent", f"{message:08}-aaaa-bbbb-cccc-0123456789ab"),
        **SAID,
        **get("said", {}),
        "type": "assistant",
        "message": {
            "model": get("model", "claude-opus-4-5-20251101"),
            "id": get("id", f"msg_{message:020}"),
            "type": "message",
            "role": "assistant",
            "content": [{"type": "text", "text": get("text", "a")}],
            "stop_reason": get("stop"),
            "stop_sequence": None,
            "usage": usage,
        },
        **get("more", {}),
        "requestId": f"req_{message:020}",
        "uuid": f"{message:08}-dddd-eeee-ffff-0123456789ab",
        "timestamp": get("at", f"2026-11-20T09:{message % 60:02}:07.089Z"),
    }


def prompt(**about: Any) -> Line:
    line = call(**about)
    line |= {"type": "user", "message": {"role": "user", "content": "b"}}
    del line["requestId"]
    return line


def written(lines: list[Line]) -> bytes:
    return b"".join(
        json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        for line in lines
    )


USUAL = st.builds(
    call,
    st.integers(1, 6),
    st.integers(0, 12),
    stop=st.sampled_from([None, "end_turn", "tool_use"]),
    fresh=st.integers(0, 10**6),
    text=st.sampled_from(["", "a", 'b "c" \\', '{"parentUuid":"x"', "Zoë" * 40, "x" * 900]),
)
ODD = st.one_of(
    st.sampled_from(["x" * 24, "Zoë", "a b", 'q"', None, 7, "msg-" + "1" * 20]).map(
        lambda name: call(id=name)
    ),
    st.sampled_from([None, "x", "p" * 36, 5]).map(lambda parent: call(2, parent=parent)),
    st.sampled_from(["claude-haiku-4-5", "<synthetic>", None]).map(
        lambda name: call(3, model=name)
    ),
    st.sampled_from([{"cwd": "/y"}, {"isSidechain": True}, {"agentId": "a1"}, {"version": 2}]).map(
        lambda said: call(4, said=said)
    ),
    st.sampled_from([{"isAbortedMidStream": True}, {"isApiErrorMessage": True}, {"n": 1}]).map(
        lambda more: call(5, more=more)
    ),
    st.sampled_from(["priority", None]).map(lambda tier: call(3, tier=tier)),
    st.builds(call, st.integers(1, 6), st.integers(0, 12), at=st.just("2026-11-20T10:00:00.001Z")),
    st.builds(call, st.integers(1, 6), hour=st.integers(0, 90), rest=st.integers(0, 90)),
    st.sampled_from([{"output_tokens_details": {"thinking_tokens": 3}}, {"speed": "fast"}]).map(
        lambda details: call(6, details=details)
    ),
    st.sampled_from(["write", "read", "rest", "hour"]).flatmap(
        lambda name: st.sampled_from([None, 0, -1, 1.5, True, "7"]).map(
            lambda value: call(6, **{name: value})
        )
    ),
    st.sampled_from(["2026-13-01T09:00:00.000Z", "2026-11-20T09:00:00Z", None, 5]).map(
        lambda at: call(2, at=at)
    ),
    st.sampled_from(
        [{"type": "summary", "summary": "t"}, {"type": "new-kind"}, {"type": "queue-operation"},
         {"type": "system", "subtype": "compact_boundary", "sessionId": ID}],
    ),
)  # fmt: skip
LOGS = st.lists(
    st.one_of(USUAL, USUAL, USUAL, st.builds(prompt, message=st.integers(1, 6)), ODD), max_size=14
).map(written)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home") / ".claude" / "projects" / "-p"
    folder.mkdir(parents=True)
    return folder / f"{ID}.jsonl"


@pytest.fixture(scope="module", autouse=True)
def learned(log: Path) -> Any:
    """The shape of ``call`` is known, and others are learned at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(totals, "_met", [])
        patch.setattr(totals, "_PATIENCE", 1)
        patch.setattr(totals, "_MOST", 40)
        log.write_bytes(written([call(stop="end_turn")]))
        list(PROVIDER.totals(source(log)))
        assert totals._met
        yield


def source(log: Path) -> Source:
    return Source("claude-code", "transcript", str(log), ID)


def both(log: Path, data: bytes) -> tuple[list[Event], list[Event]]:
    """(a full reading, one for totals)"""
    log.write_bytes(data)
    return list(PROVIDER.read(source(log))), list(one_by_one(PROVIDER.totals(source(log))))


def calls(events: list[Event]) -> list[Request]:
    """Each call once: a full reading may tell of one again, and better."""
    best: dict[str, Request] = {}
    for event in events:
        if isinstance(event, Request):
            known, one = best.get(event.key), event._replace(turn=None)
            best[event.key] = better(known, one) if known else one
    return sorted(best.values(), key=lambda request: request.offset)


def gaps(events: list[Event]) -> list[tuple[str, str]]:
    """What is wrong; which version wrote it is known later where prompts are not read."""
    problems = [event for event in events if isinstance(event, Problem)]
    return sorted({(each.kind, each.text.split(" writes ")[-1]) for each in problems})


def parts(split: Line, message: int = 1) -> Line:
    """A call that says what was written to the cache by its parts alone."""
    line = call(message, stop="end_turn")
    del line["message"]["usage"]["cache_creation_input_tokens"]
    line["message"]["usage"]["cache_creation"] = split
    return line


LATER = "2026-11-20T10:00:00.001Z"


@pytest.mark.parametrize(
    "lines",
    [
        [call(1, stop="end_turn"), call(2, tier="priority", stop="end_turn")],
        [call(1, stop="end_turn"), call(2, id='"' + "0" * 22, stop="end_turn")],
        [call(1, stop="end_turn"), call(2, id="é" + "0" * 22, stop="end_turn")],
        [call(1), call(1, stop="end_turn")],
        [call(1), call(1, 50, stop="end_turn", at=LATER)],
        [call(1, stop="end_turn"), call(1, 50, at=LATER), call(1, 50, at=LATER)],
        [call(1, 50), call(1, 5, stop="end_turn")],
        [parts({}, 1), parts({}, 2), parts({}, 3)],
        [parts({"forever": 3}, n) for n in (1, 2, 3)],
        [parts({"ephemeral_1h_input_tokens": 0}, n) for n in (1, 2, 3)],
    ],
    ids=["another tier", "an escape in its name", "a name that is not ASCII", "ended by its last",
         "growing", "growing after its end", "falling", "no parts", "unknown parts", "a part of 0"],
)  # fmt: skip
def test_lines_that_begin_alike_say_the_same_for_totals(log: Path, lines: list[Line]) -> None:
    full, quick = both(log, written(lines))
    assert calls(quick) == calls(full)
    assert gaps(quick) == gaps(full)


@settings(deadline=None, max_examples=300)
@given(LOGS, st.sampled_from([64, 700, 1 << 17]))
def test_any_lines_say_the_same_for_totals(log: Path, data: bytes, chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "CHUNK", chunk)
        full, quick = both(log, data)
    assert calls(quick) == calls(full)
    assert gaps(quick) == gaps(full)


@settings(deadline=None, max_examples=300)
@given(LOGS, st.data())
def test_R5_a_torn_line_takes_no_other_line_with_it(
    log: Path, data: bytes, draw: st.DataObject
) -> None:
    """A writer that was killed within a line, and one that went on after it without a newline."""
    cut = draw.draw(st.integers(0, len(data)))
    glue = draw.draw(st.sampled_from([b"", b"\n", b"\0" * 8]))
    rest = data.splitlines(keepends=True)[draw.draw(st.integers(0, 6)) :]
    full, quick = both(log, data[:cut] + glue + b"".join(rest))
    assert calls(quick) == calls(full)


def test_usual_calls_are_counted_together(log: Path) -> None:
    lines = [call(n, stop="end_turn") for n in range(1, 9)]
    log.write_bytes(written(lines))
    (together,) = [e for e in PROVIDER.totals(source(log)) if isinstance(e, Calls)]
    assert [row.key for row in together.rows] == [line["message"]["id"] for line in lines]
