"""The house rules that no tool of the trade checks."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from session_usage import providers
from session_usage.events import AGENTS
from session_usage.providers import ALIASES, Provider

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "server/session_usage"
MODULES = sorted(PACKAGE.rglob("*.py"))
WRITTEN = [
    path
    for folder in ("server", "schemas", "tests", "extension/src")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".ts", ".json", ".toml", ".yml", ".md")
    and not {"data", "node_modules", "out", "dist"} & set(path.parts)
] + [path for path in ROOT.iterdir() if path.suffix in (".md", ".toml")]

MOST_LINES = 450
LONGER = {
    "protocol.py": "generated: one class for each object that clients send",
    "jsonl.py": "all that a line, and a value in it, can do to its reader",
    "report.py": "one way to add up, and the report of a session that is made of it",
}
"""Modules that hold one thing, and why that one thing is long."""


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def module_name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", WRITTEN, ids=names(WRITTEN))
def test_nothing_is_left_to_do(path: Path) -> None:
    marks = "|".join(["TO" + "DO", "FIX" + "ME"])
    assert not re.search(rf"\b({marks})\b", path.read_text("utf-8"))


@pytest.mark.parametrize("path", MODULES, ids=names(MODULES))
def test_no_module_holds_two_things(path: Path) -> None:
    lines = len(path.read_text("utf-8").splitlines())
    assert lines <= MOST_LINES or module_name(path) in LONGER


def test_the_table_of_long_modules_is_true() -> None:
    for name, why in LONGER.items():
        assert len((PACKAGE / name).read_text("utf-8").splitlines()) > 400, name
        assert why


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def public(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Functions, classes and methods that others may use, with their names."""
    yield "", tree
    for node in tree.body:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and not node.name.startswith("_"):
            yield node.name, node
            for part in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(part, FUNCTIONS) and not part.name.startswith("_"):
                    yield f"{node.name}.{part.name}", part


PROTOCOL = {name for name in vars(Provider) if not name.startswith("_")}
"""Explained once, at ``Provider``; a provider's own method needs words only for what differs."""


@pytest.mark.parametrize("path", MODULES, ids=names(MODULES))
def test_every_public_thing_is_explained(path: Path) -> None:
    missing = [
        name
        for name, node in public(ast.parse(path.read_text("utf-8")))
        if not ast.get_docstring(node)  # type: ignore[arg-type]
        and not ("providers" in path.parts and name.rpartition(".")[2] in PROTOCOL)
    ]
    assert path.name == "__main__.py" or not missing


@pytest.mark.parametrize("path", MODULES, ids=names(MODULES))
def test_only_the_command_prints(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    printed = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert not printed or path.parent.name == "cli"


@pytest.mark.parametrize("path", WRITTEN, ids=names(WRITTEN))
def test_nothing_is_fetched_from_a_host_of_packages(path: Path) -> None:
    hosts = ("pypi" + ".org", "files.python" + "hosted.org", "registry.npm" + "js.org")
    assert not [host for host in hosts if host in path.read_text("utf-8")]


def test_layers_are_kept_and_hold_every_module() -> None:
    """The contract is exhaustive: a module that is in no layer breaks it."""
    config = (ROOT / "pyproject.toml").read_text("utf-8")
    assert "exhaustive = true" in config
    script = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    found = subprocess.run(
        [sys.executable, "-c", script, "--no-cache"], cwd=ROOT, capture_output=True, text=True,
        env={"PYTHONPATH": str(ROOT / "server"), "PATH": ""}, check=False, timeout=120,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr
    assert "1 kept, 0 broken" in found.stdout


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


def dependencies() -> set[str]:
    """Names in every list of dependencies of pyproject.toml (3.10 has no reader of TOML)."""
    config = (ROOT / "pyproject.toml").read_text("utf-8")
    lists = re.findall(
        r"^(?:dependencies|watch|websocket|dev) = \[(.*?)\]$", config, re.MULTILINE | re.DOTALL
    )
    assert len(lists) == 4
    return {name for found in lists for name in re.findall(r'"([A-Za-z0-9_.-]+)', found)}


def test_every_dependency_has_a_line_that_says_why() -> None:
    readme = ROOT / "server/README.md"
    if not readme.exists():
        pytest.skip("the contributors' page is not written yet")
    text = readme.read_text("utf-8").casefold()
    for name in dependencies():
        assert re.search(rf"\b{re.escape(name.casefold())}\b", text), name


@pytest.mark.parametrize("agent", AGENTS)
def test_every_agent_has_a_provider_that_keeps_the_protocol(agent: str) -> None:
    provider = providers.provider_for(agent)
    assert provider.agent == agent
    assert provider.label
    for name in (*PROTOCOL, *Provider.__annotations__):
        assert hasattr(provider, name), name
    assert list(provider.at("/no/such/path")) == []
    assert list(provider.at(str(ROOT))) == []
    assert list(provider.at(str(Path(__file__)))) == []


def test_aliases_are_agents() -> None:
    assert set(ALIASES.values()) <= set(AGENTS)
    assert {provider.agent for provider in providers.agents()} == set(AGENTS)
