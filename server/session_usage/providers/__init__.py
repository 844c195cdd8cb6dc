"""The agents we can read: one module each, behind one protocol.

A provider *finds* sources without opening them and *reads* one source into events. It adds
nothing up, prices nothing and prints nothing, and reading never fails: whatever the bytes,
it yields events and problems. Providers know neither each other nor prices.

To add an agent, write one module with a class like ``Provider`` and either name it in
``_BUILT_IN`` or publish it under the entry point group ``session_usage.providers``.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import NamedTuple, Protocol

from session_usage.errors import UnknownAgent
from session_usage.events import START, Cursor, Event, Source
from session_usage.places import Places


class Switch(NamedTuple):
    """A setting of the agent that makes it write a source."""

    kind: str
    """The kind of source it switches on; none of them found means that it is off."""
    setting: str
    gives: str
    """What the source tells that others do not, for a person."""


class Provider(Protocol):
    """How one agent's logs are found and read."""

    agent: str
    """The agent's name in every report, e.g. ``copilot-cli``."""
    label: str
    """Its name for people, e.g. ``GitHub Copilot CLI``."""
    listing: frozenset[str]
    """Kinds of sources that are cheap to read and say what a session is called and where."""
    growing: frozenset[str]
    """Kinds of sources that are only appended to: reading may go on from a cursor."""
    forks: bool
    """May two sessions' logs describe the same call under the same key?"""
    switches: tuple[Switch, ...]
    """What of its logging a user can switch on."""

    def sources(self, places: Places) -> Iterator[Source]:
        """Every source on this machine, found by listing folders; none is opened."""
        ...

    def at(self, path: str) -> Iterator[Source]:
        """The sources of the one session at ``path``, wherever that is; none if it is not ours.

        ``path`` is a session's folder or its main file; its first bytes may be looked at.
        """
        ...

    def read(
        self,
        source: Source,
        at: Cursor = START,
        *,
        session: str | None = None,
        full: bool = True,
    ) -> Iterator[Event]:
        """The events of ``source`` from ``at`` on, and last of all the ``Cursor`` to go on from.

        ``session`` narrows a database to one session. ``full=False`` leaves out what no total
        needs (tool calls, turns, titles), which makes big logs cheaper to read.
        """
        ...


_BUILT_IN = {
    "copilot-vscode": "session_usage.providers.copilot_vscode",
    "copilot-cli": "session_usage.providers.copilot_cli",
    "claude-code": "session_usage.providers.claude_code",
    "codex": "session_usage.providers.codex",
    "opencode": "session_usage.providers.opencode",
    "gemini": "session_usage.providers.gemini",
    "agent-log": "session_usage.providers.agent_log",
}

ALIASES = {"vscode": "copilot-vscode", "cli": "copilot-cli", "claude": "claude-code"}


def provider_for(agent: str) -> Provider:
    """The provider of one agent, by name or alias; raises UnknownAgent."""
    name = ALIASES.get(agent, agent)
    module = _BUILT_IN.get(name)
    if module is None:
        known = ", ".join([*_BUILT_IN, *ALIASES, "all"])
        raise UnknownAgent(f"unknown agent {agent!r}; choose one of: {known}")
    provider: Provider = import_module(module).PROVIDER
    return provider


def agents(agent: str = "all") -> list[Provider]:
    """The providers that ``agent`` names: one, or every one for ``all``."""
    if agent == "all":
        return [provider_for(name) for name in _BUILT_IN]
    return [provider_for(agent)]
