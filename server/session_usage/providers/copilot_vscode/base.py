"""What all readers of VS Code's sources share."""

from __future__ import annotations

import functools

from session_usage.events import BYOK, COPILOT, Problem, Source

AGENT = "copilot-vscode"
_BACKGROUND = (
    "title",
    "categorization",
    "promptCategorization",
    "git-branch",
    "progressMessages",
    "backgroundTodoAgent",
)
"""Call sites and child labels of calls that the user did not ask for."""


def unreadable(source: Source, error: OSError) -> Problem:
    """A file that cannot be opened or read."""
    reason = error.strerror or type(error).__name__
    kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
    return Problem(kind, source.path, None, f"cannot be read: {reason}", AGENT, source.session)


def malformed(source: Source, offset: int | None, wrong: str) -> Problem:
    """A line that cannot be read, or only in part."""
    return Problem("malformed", source.path, offset, f"a line is {wrong}", AGENT, source.session)


@functools.lru_cache(maxsize=256)
def purpose(label: str | None, site: str | None) -> tuple[str, str]:
    """(surface, billing) of a call, by its child's label and its call site."""
    surface = surface_of(label)
    if surface == "chat":
        surface = surface_of(site)
    return surface, BYOK if site and "copilotLanguageModelWrapper" in site else COPILOT


def surface_of(site: str | None) -> str:
    """What a call was for, by its call site or its child's label."""
    if not site:
        return "chat"
    name = site.removeprefix("retry-server-error-").removeprefix("retry-error-")
    name = name.removeprefix("retry-")
    if name.startswith("summarize"):
        return "compaction"
    if name.startswith(_BACKGROUND):
        return "background"
    return "chat"
