"""The contract: nothing derived from it is stale, nothing in it undocumented or unanswered."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "schemas"))
import generate  # noqa: E402

TYPES = generate.Types()
METHODS = generate.load("methods.json")
ROWS = [*METHODS["requests"], *METHODS["commands"]]
EXAMPLES = sorted((ROOT / "schemas" / "examples").glob("*/*.json"))


@pytest.mark.parametrize("path", generate.outputs(), ids=lambda path: path.name)
def test_generated_files_are_not_stale(path: Path) -> None:
    assert path.read_text("utf-8") == generate.outputs()[path], "run schemas/generate.py"


def test_check_names_what_is_stale(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate.main(["--check"]) == 0
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "outputs", lambda: {tmp_path / "a" / "b": "new"})
    assert generate.main(["--check"]) == 1
    assert "stale" in capsys.readouterr().out
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0


@pytest.mark.parametrize("name", TYPES.defs)
def test_every_type_and_every_field_that_clients_send_is_documented(name: str) -> None:
    schema = TYPES.flat(name)
    assert schema["description"].endswith("."), name
    if name in TYPES.reachable(iter([row["params"] for row in ROWS])):
        for field, value in schema.get("properties", {}).items():
            assert value.get("description") or "$ref" in value, f"{name}.{field}"


def test_every_method_is_documented_and_has_its_types() -> None:
    page = (ROOT / "schemas" / "README.md").read_text("utf-8")
    for row in ROWS:
        assert row["description"]
        assert row["params"] in TYPES.defs
        assert row["result"] in TYPES.defs
        assert row["name"] in page
    for row in METHODS["notifications"]:
        assert row["description"]
        assert f"copilotUsage/{row['name']}" in page


def test_every_request_has_a_handler_and_every_handler_a_request() -> None:
    from session_usage.protocol import REQUESTS
    from session_usage.rpc.server import _load_handlers

    assert _load_handlers().keys() == REQUESTS.keys()
    assert [f"copilotUsage/{row['name']}" for row in METHODS["requests"]] == list(REQUESTS)


def test_every_error_has_a_class_and_a_positive_code() -> None:
    from session_usage import errors, refresh
    from session_usage.rpc import server

    codes = [row["code"] for row in METHODS["errors"]]
    assert len(set(codes)) == len(codes)
    assert min(codes) > 0
    known = {row["name"] for row in METHODS["errors"]}
    for name in known:
        assert any(hasattr(module, name) for module in (errors, refresh, server)), name
    for row in METHODS["requests"]:
        assert set(row["errors"]) <= known, row["name"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_examples_are_valid(path: Path) -> None:
    schema = TYPES.closed(path.parent.name)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(json.loads(path.read_text("utf-8")))


def test_everything_that_is_sent_has_an_example() -> None:
    have = {path.parent.name for path in EXAMPLES}
    sent = {name for row in ROWS for name in (row["params"], row["result"])}
    sent |= {row["params"] for row in METHODS["notifications"]}
    assert sent <= have


def test_the_generated_classes_take_the_examples() -> None:
    from session_usage import protocol
    from session_usage.rpc.params import structure

    for path in EXAMPLES:
        cls: Any = getattr(protocol, path.parent.name, None)
        if cls is not None:
            structure(json.loads(path.read_text("utf-8")), cls)


def test_settings_are_written_once() -> None:
    package = json.loads((ROOT / "extension" / "package.json").read_text("utf-8"))
    block = package["contributes"]["configuration"]["properties"]
    settings = generate.load("settings.schema.json")["properties"]
    assert [name.partition(".")[2] for name in block] == list(settings)
    for schema in settings.values():
        assert schema["description"]
        assert "default" in schema
        Draft202012Validator(schema).validate(schema["default"])


def test_typescript_has_every_type_and_request() -> None:
    text = (ROOT / "extension" / "src" / "protocol.ts").read_text("utf-8")
    declared = set(re.findall(r"^export (?:interface|type) (\w+)", text, re.MULTILINE))
    assert set(TYPES.defs) <= declared
    for row in METHODS["requests"]:
        assert f'{row["name"]}: {{ method: "copilotUsage/{row["name"]}" }}' in text
