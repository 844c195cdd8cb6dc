"""``workspace.yaml``: what a session is called and where it works."""

from __future__ import annotations

import re
from typing import Any

from session_usage.events import START, Meta, Problem, Source
from session_usage.providers.copilot_cli.state import AGENT, Data, Events, unreadable
from session_usage.values import instant, text

_PLAIN = re.compile(r"^([a-z_]+): ([^'\"\[{>|&*!#%@`\n][^\n]*)$", re.M)


def read_workspace(source: Source) -> Events:
    """Title, folder and branch."""
    try:
        with open(source.path, "rb", buffering=0) as file:
            content = file.read(1 << 16).decode("utf-8", "replace")
    except OSError as error:
        yield unreadable(source, error)
        yield START
        return
    try:
        fields = _fields(content)
    except ValueError:
        yield Problem("malformed", source.path, None, "is no YAML mapping", AGENT, source.session)
        fields = {}
    yield Meta(
        AGENT,
        source.session or "",
        source.path,
        title=_title(fields.get("name")) or _title(fields.get("summary")),
        workspace=text(fields.get("cwd")),
        project=text(fields.get("git_root")),
        branch=text(fields.get("branch")),
        created_ms=instant(str(fields.get("created_at"))),
        updated_ms=instant(str(fields.get("updated_at"))),
        rank=2,
    )
    yield START


def _title(value: Any) -> str | None:
    return text(value.strip()) if type(value) is str else None


def _fields(content: str) -> Data:
    """The top-level scalars. A YAML parser is only woken for quoted or folded values."""
    lines = [line for line in content.splitlines() if line.strip()]
    plain: Data = dict(_PLAIN.findall(content))
    if len(plain) == len(lines) and " #" not in content:
        return {name: value.strip() for name, value in plain.items()}
    import yaml

    try:
        loaded = yaml.load(content, yaml.BaseLoader)  # texts stay texts: no dates, no numbers
    except yaml.YAMLError:
        raise ValueError("not YAML") from None
    if type(loaded) is not dict:
        raise ValueError("not a mapping")
    return loaded
