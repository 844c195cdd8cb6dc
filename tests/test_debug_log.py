"""Debug logs of VS Code are read in two ways, for totals and in full: both say the same."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from test_copilot_vscode import ID, T0, began, call, jsonl, line

from session_usage import pricing
from session_usage.events import Calls, Problem, Request, Source, one_by_one
from session_usage.jsonl import CHUNK
from session_usage.places import here
from session_usage.providers.copilot_vscode import PROVIDER
from session_usage.report import Fold
from session_usage.sessions import Library

DATA = Path(__file__).parent / "data"
LOGS = sorted(
    path
    for folder in ("vscode", "api/fixtures/vscode")
    for path in (DATA / folder).rglob("*.jsonl")
    if b'"llm_request"' in path.read_bytes()
)


def source(path: Path, session: str = ID) -> Source:
    return Source(PROVIDER.agent, "debug-log", str(path), session)


def told(events: Any) -> tuple[list[Request], list[Problem]]:
    """The calls and what is wrong with them, but for what no total needs."""
    events = list(events)
    calls = [
        event._replace(ttft_ms=None, turn=None, skill=None)
        for event in events
        if type(event) is Request
    ]
    problems = [e for e in events if type(e) is Problem and e.kind != "drift"]
    return sorted(calls, key=lambda call: call.offset), problems


def both(path: Path, session: str = ID) -> tuple[list[Request], list[Problem], int]:
    """What both ways say of a log, and how many of its calls came together."""
    of = source(path, session)
    events = list(PROVIDER.totals(of))
    calls, problems = told(one_by_one(events))
    in_full, wrong = told(PROVIDER.read(of))
    assert calls == in_full
    # in full, lines are looked at that no total needs: there a cut beginning shows earlier
    content = path.read_bytes()
    assert [
        problem
        for problem in wrong
        if problem.kind != "malformed" or not problem.offset or _is_call(content, problem.offset)
    ] == [
        next((other for other in wrong if other.kind == problem.kind == "truncated"), problem)
        for problem in problems
    ]
    together = sum(len(event.rows) for event in events if type(event) is Calls)
    return calls, problems, together


def _is_call(content: bytes, offset: int) -> bool:
    return b'"llm_request"' in content[offset:].split(b"\n", 1)[0]


@pytest.mark.parametrize("path", LOGS, ids=[str(p.relative_to(DATA)) for p in LOGS])
def test_totals_know_the_calls_of_every_recorded_log(path: Path) -> None:
    calls, _, _ = both(path, path.parent.name)
    assert calls


SAID = 'grep: "type":"llm_request", \\ found; '
LONG = {"userRequest": SAID * 40, "inputMessages": json.dumps([{"content": SAID}] * 40)}


def early(second: float, nano: Any = 5_000, **more: Any) -> dict[str, Any]:
    """A call as builds before 2026-09 wrote it: its amount ahead of its texts."""
    made = call(second, None, f"{int(second * 1000):016x}")
    tokens = made.pop("attrs")
    attrs = {"model": tokens.pop("model"), "debugName": "panel/editAgent", "maxTokens": 64000}
    bill = {} if nano is None else {"copilotUsageNanoAiu": nano}
    told = {**tokens, **bill, "ttft": 17, "responseId": "f16e-03", **more}
    return {**made, "parentSpanId": "0b", "status": "ok", "attrs": {**attrs, **told}}


def late(second: float, nano: Any = 5_000, **more: Any) -> dict[str, Any]:
    """The same as later builds write it: behind them."""
    made = early(second, None)
    del made["attrs"]["maxTokens"]
    options = {"requestOptions": '{"stream":true}', "requestShape": '{"api":"messages"}'}
    behind = {"maxTokens": 16000, "temperature": 0.1, "topP": 1, **options}
    bill = {} if nano is None else {"copilotUsageNanoAiu": nano}
    files = {"systemPromptFile": "system_prompt_0.json", "toolsFile": "tools_0.json"}
    made["attrs"].update({**LONG, **behind, **bill, **files, **more})
    return made


def ordered(made: dict[str, Any]) -> dict[str, Any]:
    """In the order of the programs."""
    names = ("ts", "dur", "sid", "type", "name", "spanId", "parentSpanId", "status", "attrs")
    return {name: made[name] for name in names}


def lines(*made: Any) -> list[str]:
    return [jsonl(ordered(each) if type(each) is dict else each)[:-1] for each in made]


USUAL = {
    "early, short": early(1),
    "early, with texts": early(1, **LONG, toolsFile="tools_0.json"),
    "early, no amount": early(1, None),
    "late": late(1),
    "late, no amount": late(1, None),
    "late, no request of a user": {**late(1), "attrs": {
        name: value for name, value in late(1)["attrs"].items() if name != "userRequest"}},
    "an error that was answered": {**early(1), "status": "error"},
    "nothing billed": late(1, 0),
    "a text that ends with what looks like the end of one": late(1, userRequest='x",' * 500),
}  # fmt: skip


@pytest.mark.parametrize("name", USUAL)
def test_calls_of_the_usual_shape_come_together(name: str, tmp_path: Path) -> None:
    path = tmp_path / "main.jsonl"
    first, *rest = lines(USUAL[name], early(2), late(3))
    path.write_text(jsonl(began(), first, *rest))
    calls, problems, together = both(path)
    odd = name.startswith("a text")
    assert (len(calls), problems, together) == (3, [], 2 if odd else 3)
    assert [call.offset for call in calls] == sorted(call.offset for call in calls)
    assert calls[0].key == f"{ID}:{calls[0].link}:{calls[0].started_ms}"


def replaced(made: dict[str, Any], old: str, new: str) -> str:
    (text,) = lines(made)
    assert old in text
    return text.replace(old, new, 1)


E, L = early(1), late(1)
ODD: dict[str, Any] = {
    "doubled attributes": replaced(E, '"attrs":{', '"attrs":{},"attrs":{'),
    "a doubled count": replaced(E, '"ttft"', '"inputTokens":7,"ttft"'),
    "a doubled amount": replaced(late(1, 7), '"ttft"', '"copilotUsageNanoAiu":9,"ttft"'),
    "a doubled start": replaced(E, '"dur"', '"ts":5,"dur"'),
    "another type behind": replaced(E, '"attrs":{', '"type":"tool_call","attrs":{'),
    "glued in the head": lines(E)[0][:150] + lines(L)[0],
    "glued in a text": lines(L)[0][:900] + lines(L)[0],
    "glued behind a text": lines(L)[0][:-30] + lines(E)[0],
    "glued to another kind": lines(E)[0][:-9] + jsonl(line("tool_call", 2))[:-1],
    "a cut line": lines(L)[0][:1500],
    "an amount with a fraction": early(1, 3569499999.9999995),
    "a whole float": late(1, 5259000000.0),
    "a negative amount": late(1, -5),
    "no number": early(1, "x"),
    "an exponent": replaced(E, '"copilotUsageNanoAiu":5000', '"copilotUsageNanoAiu":5e3'),
    "a leading zero": replaced(E, '"ttft":17', '"ttft":017'),
    "NaN": replaced(E, '"ttft":17', '"ttft":NaN'),
    "19 digits": replaced(E, '"inputTokens":1000', '"inputTokens":1000000000000000000'),
    "18 digits": replaced(E, '"inputTokens":1000', '"inputTokens":100000000000000000'),
    "more cached than there was": early(1, cachedTokens=1001),
    "negative tokens": late(1, outputTokens=-1),
    "no model": replaced(E, '"model":"gpt-5.4",', ""),
    "an empty model": replaced(E, '"model":"gpt-5.4"', '"model":""'),
    "no tokens": {**E, "status": "error", "attrs": {"model": "m", "error": "aborted"}},
    "no span": replaced(E, '"spanId"', '"span"'),
    "a span that is a number": replaced(E, '"spanId":"00000000000003e8"', '"spanId":12'),
    "an empty span": replaced(E, '"spanId":"00000000000003e8"', '"spanId":""'),
    "no start": replaced(E, '"ts"', '"tz"'),
    "a later run": replaced(E, '"ts"', '"rIdx":2,"ts"'),
    "another order": json.dumps(E, separators=(",", ":"), sort_keys=True),
    "spaces": json.dumps(E),
    "an escape in a name": replaced(E, "gpt-5.4", "gpt\\u002d5.4"),
    "a model that is not ASCII": replaced(E, '"model":"gpt', '"model":"gpt\N{MICRO SIGN}'),
    "a quote in a name": early(1, debugName='a"b'),
    "a summary": early(1, debugName="summarizeConversationHistory-full"),
    "a key of the user's": late(1, debugName="copilotLanguageModelWrapper"),
    "something new": early(1, new={"inputTokens": 5}),
    "something new behind the texts": late(1, new=[1]),
    "something new between the texts": replaced(L, ',"inputMessages"', ',"x":1,"inputMessages"'),
    "an amount between the texts": replaced(
        late(1, None), ',"inputMessages"', ',"copilotUsageNanoAiu":8,"inputMessages"'
    ),
    "a short text": early(1, userRequest=SAID, inputMessages=SAID),
    "a text of a comma": early(1, userRequest=",", inputMessages="," * 2000),
    "texts in the other order": early(1, inputMessages=SAID * 50, userRequest=SAID * 50),
    "a text that is no text": early(1, userRequest=None, inputMessages=SAID * 50),
    "texts at the end": early(1, **LONG),
    "a tool of this name": line("tool_call", 1, name="llm_request"),
    "only quoted": line("agent_response", 1, attrs={"response": lines(L)[0]}),
    "no object": '["llm_request"]',
    "a line of nine megabytes": late(1, inputMessages=("x" * 99 + '"') * 90_000),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("first", [False, True], ids=["within", "first"])
def test_lines_of_an_odd_shape_say_the_same_in_both_ways(
    name: str, first: bool, tmp_path: Path
) -> None:
    made = ODD[name]
    if type(made) is dict and "parentSpanId" in made:
        made = ordered(made)
    around = lines(early(2), late(3), early(4, 8_000))
    path = tmp_path / "main.jsonl"
    path.write_text(jsonl(*([] if first else [began()]), made, *around))
    calls, _, together = both(path)
    assert len(calls) >= 2
    assert together >= 2, "what is usual stays so"


def test_a_last_line_without_its_end_waits_for_it(tmp_path: Path) -> None:
    path = tmp_path / "main.jsonl"
    content = jsonl(began(), *lines(early(1), late(2))).encode()
    for cut in (1, 2, 40, 3000):
        path.write_bytes(content[:-cut])
        calls, problems, _ = both(path)
        assert (len(calls), problems) == (2 if cut == 1 else 1, [])


def test_calls_lie_across_the_pieces_that_are_read(tmp_path: Path) -> None:
    path = tmp_path / "main.jsonl"
    other = line("agent_response", 0, attrs={"response": "x" * 3000})
    made = [made(second) for second in range(1, 60) for made in (early, late)]
    path.write_text(jsonl(began(), *[text for one in lines(*made) for text in (one, other)]))
    assert path.stat().st_size > 2 * CHUNK
    calls, problems, together = both(path)
    assert (len(calls), problems, together) == (118, [], 118)


def test_a_subagents_calls_are_told_to_be_its_own(tmp_path: Path) -> None:
    path = tmp_path / "runSubagent-Plan-call_1.jsonl"
    start = began(label="runSubagent-Plan", parentSessionId=ID)
    path.write_text(jsonl({**start, "sid": "call_1"}, *lines(early(1), late(2))))
    calls, _, together = both(path)
    assert together == 2
    assert {(call.subagent, call.subagent_id) for call in calls} == {(("call_1",), "call_1")}
    assert calls[0].key.startswith("call_1:")


PIECES = (
    b'"', b"\\", b'\\"', b",", b'"attrs":', b"{", b"}", b'","', b"0", b"-", b".5", b"1e3", b"null",
    b'"llm_request"', b"\0", b"\xff", b"\n", b" ", b'"userRequest":"', b'"inputMessages":"',
    b'"copilotUsageNanoAiu":7,', b'"inputTokens":3,', b"9" * 19, b'"type":"tool_call",',
)  # fmt: skip


def damaged(content: bytes, dice: random.Random) -> bytes:
    """A line with a few bytes more, less or other, most of them beside its long texts."""
    for _ in range(dice.randint(0, 3)):
        place = dice.choice([dice.randrange(450), -dice.randrange(1, 300)]) % len(content)
        before, after = content[:place], content[place:]
        content = dice.choice(
            [
                before + bytes([dice.randrange(256)]) + after[1:],
                before + dice.choice(PIECES) + after,
                before + after[dice.randrange(30) :],
                before + content,
            ]
        )
    return content


@pytest.mark.parametrize("seed", range(40))
def test_F8_damaged_calls_are_the_same_in_both_ways(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    path = tmp_path / "main.jsonl"
    whole = [one.encode() for one in lines(*USUAL.values(), early(2), late(3))]
    for _ in range(10):
        made = [damaged(dice.choice(whole), dice) for _ in range(6)]
        path.write_bytes(jsonl(began()).encode() + b"\n".join([*made, b""]))
        both(path)


def test_a_log_that_begins_with_something_else_is_not_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "main.jsonl"
    found = line("discovery", 0, attrs={"details": "none"})
    path.write_text(jsonl(found, began(), line("user_message", 1), *lines(early(2), late(3))))
    assert both(path)[1:] == ([], 2)


def test_who_paid_for_a_failed_call_is_told_by_all_calls(tmp_path: Path) -> None:
    """Here the user's key and Copilot: so it stays with Copilot, in a window without that, too."""
    folder = tmp_path / "User/workspaceStorage/w/GitHub.copilot-chat/debug-logs" / ID
    folder.mkdir(parents=True)
    own = call(2, None, debugName="copilotLanguageModelWrapper")
    failed = call(3, None, status="error")
    del failed["attrs"]["outputTokens"]
    (folder / "main.jsonl").write_text(jsonl(began(), *lines(early(1)), own, failed))
    library = Library(here(str(tmp_path / "none"), [str(tmp_path)]), "copilot-vscode")
    told = []
    for together in (False, True):
        fold = Fold(pricing.load(), (), lambda at_ms: at_ms >= T0 + 2000)
        for session in library.all(together=together):
            fold.add(session)
        told.append(fold.wire()["totals"])
    assert told[0] == told[1]
    assert (told[0]["requests"], told[0]["copilotNanoAiu"]) == (2, None)
