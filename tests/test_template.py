"""Patterns of lines that are alike: what fits is read as a JSON reader reads it, or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_usage.template import COUNT, TEXT, TIME, WORD, Path, learn

WANTED: dict[Path, str] = {
    ("who",): TEXT,
    ("say", "id"): WORD,
    ("say", "used", "in"): COUNT,
    ("say", "used", "out"): COUNT,
    ("at",): TIME,
}
FIXED: set[Path] = {("kind",)}


def record(**changes: Any) -> dict[str, Any]:
    said = {
        "id": "m1",
        "content": [{"type": "text", "text": 'a "quoted" word, {"at":1} and \\ more'}],
        "why": None,
        "used": {"in": 5, "out": 131, "rest": {"x": [1, 2]}},
    }
    line = {"who": "me", "kind": "told", "say": said, "at": "2026-11-20T10:00:05.250Z", "n": 1.5}
    for name, value in changes.items():
        *path, last = name.split("__")
        place: Any = line
        for step in path:
            place = place[step]
        place[last] = value
    return line


def dumped(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def learned() -> Any:
    template = learn(dumped(record()) + b"\n", record(), ("say", "content"), WANTED, FIXED)
    assert template is not None
    return template


def told(line: bytes) -> dict[str, Any] | None:
    """What a line hands out, by the last word of its path."""
    template = learned()
    found = template.fit(line + b"\n")
    if found is None:
        return None
    result: dict[str, Any] = {}
    for match, paths in zip(found, (template.heads, template.tails), strict=True):
        for path, value in zip(paths, match.groups(), strict=False):
            result.setdefault(path[-1], []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in result.items()}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"who": None},
        {"who": "Zoë"},
        {"say__id": "other"},
        {"say__content": []},
        {"say__content": [{"used": {"in": 1, "out": 2}}]},
        {"say__why": "because"},
        {"say__used__in": 0},
        {"say__used__out": 99999999999},
        {"at": "2031-01-02T23:59:59.999Z"},
        {"n": 7},
    ],
)
def test_lines_that_differ_in_plain_values_fit(changes: dict[str, Any]) -> None:
    line = record(**changes)
    day, second, part = line["at"][:16], line["at"][17:19], line["at"][20:23]
    assert told(dumped(line)) == {
        "who": dumped(line["who"]),
        "id": line["say"]["id"].encode(),
        "in": b"%d" % line["say"]["used"]["in"],
        "out": b"%d" % line["say"]["used"]["out"],
        "at": [day.encode(), second.encode(), part.encode()],
    }


@pytest.mark.parametrize(
    "line",
    [
        dumped(record(kind="asked")),
        dumped(record(say__used__in=-1)),
        dumped(record(say__used__in=1.5)),
        dumped(record(say__used__in="5")),
        dumped(record(say__used__in=None)),
        dumped(record(say__used__in=10**17)),
        dumped(record(say__id='with "quotes"')),
        dumped(record(say__id="Zoë")),
        dumped(record(at="2026-11-20T10:00:05Z")),
        dumped(record(at=1795168805250)),
        dumped(record(n="Zoë")),
        dumped(record(more=1)),
        dumped({**record(), "n": {}}),
        dumped(dict(reversed(record().items()))),
        json.dumps(record()).encode(),
        dumped(record())[:-1],
        dumped(record()) + b" ",
        dumped(record())[:90] + dumped(record()),
        dumped(record())[:90] + b"\0" * 9 + dumped(record())[99:],
        dumped(record()).replace(b'"in":5', b'"in":007'),
        dumped(record()).replace(b'"who":"me"', b'"who":"m\xffe\n"'),
        b"",
    ],
)
def test_other_lines_are_left_to_the_parser(line: bytes) -> None:
    assert told(line) is None


@pytest.mark.parametrize(
    "value",
    [
        record(say__content="a text"),
        record(say__used__in={}),
        record(kind="two words"),
        {**record(), "a b": 1},
        {"who": "me"},
        {},
        record(say__used__rest={str(n): n for n in range(200)}),
    ],
)
def test_nothing_is_learned_from_an_unusual_line(value: dict[str, Any]) -> None:
    assert learn(dumped(value) + b"\n", value, ("say", "content"), WANTED, FIXED) is None


PLAIN = st.one_of(st.none(), st.booleans(), st.integers(-5, 10**18), st.floats(), st.text())


@settings(deadline=None)
@given(st.data())
def test_what_fits_says_what_a_reader_of_json_says(data: st.DataObject) -> None:
    line = record()
    for name in ("who", "say__id", "say__why", "say__used__in", "say__used__out", "at", "n"):
        if data.draw(st.booleans()):
            line = record(**{name: data.draw(PLAIN)})
            found = told(dumped(line))
            if found is not None:
                used = line["say"]["used"]
                assert json.loads(found["who"]) == line["who"]
                assert found["id"].decode() == line["say"]["id"]
                assert (int(found["in"]), int(found["out"])) == (used["in"], used["out"])
