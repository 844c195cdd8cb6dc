"""The examples in the documents, run as they stand there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from session_usage import providers
from session_usage.places import here
from session_usage.pricing import load
from session_usage.report import session_report
from session_usage.sessions import Library

ROOT = Path(__file__).parents[1]
SERVER = ROOT / "server"
USED = '{"model": "gpt-5.5", "sent": 1000, "used": 100}\n'


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text("utf-8"), re.DOTALL)


def run(arguments: list[str], folder: Path, *path: Path) -> subprocess.CompletedProcess[str]:
    names = ("PATH", "SYSTEMROOT")
    env = {name: os.environ[name] for name in names if name in os.environ}
    env |= {"PYTHONPATH": os.pathsep.join(map(str, (SERVER, *path))), "HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder, env=env, capture_output=True, encoding="utf-8", check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def test_a_run_is_logged_in_five_lines_and_reported_and_replayed(tmp_path: Path) -> None:
    [example] = [
        block for block in blocks(ROOT / "README.md", "python") if "SessionLogger" in block
    ]
    body = example.partition("\n\n")[2].strip().splitlines()
    assert len(body) == 5
    run(["-c", example], tmp_path)
    [commands] = [block for block in blocks(ROOT / "README.md", "sh") if "dir runs" in block]
    shown = {}
    for line in commands.splitlines():
        words = shlex.split(line, comments=True)
        assert words[0] == "session-usage"
        shown[words[3]] = run(["-m", "session_usage.cli", *words[1:]], tmp_path).stdout
    assert "0.420 ●" in shown["show"]
    assert "=== Session monday ===" in shown["replay"]
    assert "[Assistant] (0ms, 1200 in / 40 out tokens, $0.0042)\nHello!\n" in shown["replay"]
    assert "=== End (success) ===" in shown["replay"]
    assert "$0.0042" in shown["usage"]
    assert "100 %" in shown["usage"]


def test_messages_of_a_project_are_read_as_the_readme_says(tmp_path: Path) -> None:
    source = ROOT / "tests/data/claude-code/multi-turn/home/.claude"
    (tmp_path / ".claude").symlink_to(source, target_is_directory=True)
    [example] = [
        block for block in blocks(ROOT / "README.md", "python") if "scan_messages" in block
    ]
    said = run(["-c", example], tmp_path).stdout
    assert "user Look at the project. PLAN:TOOLS\n" in said
    assert "assistant The project has a README. (TOOLS/2)\n" in said


def test_sums_are_printed_as_the_readme_says(tmp_path: Path) -> None:
    source = ROOT / "tests/data/claude-code/multi-turn/home/.claude"
    (tmp_path / ".claude").symlink_to(source, target_is_directory=True)
    [example] = [block for block in blocks(ROOT / "README.md", "python") if "Library(" in block]
    printed = run(["-c", example], tmp_path).stdout
    assert re.search(r"^.* \d+ (priced|estimated)$", printed, re.MULTILINE)


@pytest.fixture
def example() -> Iterator[str]:
    """The example of a provider; what it registers is taken back."""
    before = dict(providers._registered)
    [found] = [b for b in blocks(SERVER / "README.md", "python") if "register(" in b]
    yield found
    providers._registered.clear()
    providers._registered.update(before)


def write_parrot(home: Path) -> None:
    (home / ".parrot").mkdir()
    (home / ".parrot/polly.jsonl").write_text(USED * 2)


def test_a_provider_of_twenty_lines_is_in_every_report(tmp_path: Path, example: str) -> None:
    body = example.partition("\n\n")[2]
    lines = [line for line in body.splitlines() if line.strip()]
    assert len(lines) <= 20
    exec(example, {})
    write_parrot(tmp_path)
    [session] = [s for s in Library(here(str(tmp_path))).all() if s.agent == "parrot"]
    report = session_report(session, load())
    assert report["id"] == "polly"
    assert report["totals"]["requests"] == 2
    assert report["totals"]["inputTokens"] == 2000
    assert report["totals"]["nanoAiu"] > 0
    assert "parrot" in providers.default_providers()


def test_an_installed_package_adds_an_agent(tmp_path: Path, example: str) -> None:
    package = tmp_path / "site"
    info = package / "parrot-1.0.dist-info"
    info.mkdir(parents=True)
    (package / "parrot.py").write_text(example.replace('register("parrot", Parrot())', ""))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[session_usage.providers]\nparrot = parrot:Parrot\n")
    write_parrot(tmp_path)
    report = ["-m", "session_usage.cli", "report", "--by", "agent", "--json"]
    [row] = json.loads(run(report, tmp_path, package).stdout)["rows"]
    assert row["key"] == {"agent": "parrot"}
    assert row["requests"] == 2


def test_a_broken_package_is_left_out_and_named(tmp_path: Path) -> None:
    info = tmp_path / "site/broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[session_usage.providers]\nbroken = broken:Nothing\n")
    shown = run(["-m", "session_usage.cli", "doctor"], tmp_path, tmp_path / "site")
    assert "GitHub Copilot CLI" in shown.stdout
    assert "broken" not in shown.stdout
    assert "broken" in shown.stderr
