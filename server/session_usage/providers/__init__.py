"""The agents we can read: one module each, behind one protocol.

A provider *finds* sources without opening them and *reads* one source into events. It adds
nothing up, prices nothing and prints nothing, and reading never fails: whatever the bytes,
it yields events and problems. Providers know neither each other nor prices.

To add an agent, write one module with a subclass of ``Provider`` and either name it in
``_BUILT_IN``, publish it under the entry point group ``session_usage.providers``, or
``register`` it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import NamedTuple, Protocol

from session_usage.errors import UnknownAgent
from session_usage.events import START, Calls, Cursor, Event, Meta, Problem, Source
from session_usage.messages import Message
from session_usage.places import Places

GROUP = "session_usage.providers"
"""The entry point group under which installed packages publish providers, by agent's name."""


class Switch(NamedTuple):
    """A setting of the agent that makes it write a source."""

    kind: str
    """The kind of source it switches on; none of them found means that it is off."""
    setting: str
    gives: str
    """What the source tells that others do not, for a person."""


class Provider(Protocol):
    """How one agent's logs are found and read. Subclasses inherit what is optional."""

    agent: str
    """The agent's name in every report, e.g. ``copilot-cli``."""
    label: str
    """Its name for people, e.g. ``GitHub Copilot CLI``."""
    listing: frozenset[str] = frozenset()
    """Kinds of sources that are cheap to read and say what a session is called and where."""
    growing: frozenset[str] = frozenset()
    """Kinds of sources that are only appended to: reading may go on from a cursor."""
    forks: bool = False
    """May two sessions' logs describe the same call under the same key?"""
    switches: tuple[Switch, ...] = ()
    """What of its logging a user can switch on."""

    def sources(self, places: Places) -> Iterator[Source]:
        """Every source on this machine, found by listing folders; none is opened."""
        ...

    def at(self, path: str) -> Iterator[Source]:
        """The sources of the one session at ``path``, wherever that is; none if it is not ours.

        ``path`` is a session's folder or its main file; its first bytes may be looked at.
        """
        return iter(())

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
        needs (tool calls, turns, titles), which makes big logs cheaper to read; it is for
        reading from the beginning, and nobody goes on from where it ends.
        """
        ...

    def totals(self, source: Source, *, session: str | None = None) -> Iterator[Event | Calls]:
        """What ``read`` gives from the beginning with ``full=False``; many calls that differ in
        little else than their figures may come together, as ``Calls``."""
        return self.read(source, session=session, full=False)

    def glance(self, source: Source) -> Iterator[Meta]:
        """What a source's first and last lines say of its session, for lists.

        Only for sources that are not in ``listing``: reading them whole would take long.
        """
        return iter(())

    def opening(self, source: Source) -> Iterator[Meta]:
        """What a log's first lines say of where it was written and whose it is, for long lists.

        A log of a subagent that the agent keeps as a session of its own names the session that
        it belongs to, and itself under ``names``.
        """
        return iter(())

    def children(self, source: Source) -> Iterator[tuple[str, str]]:
        """(id, name) of the subagents that this log started, where they are sessions of their
        own and no list of the agent knows them. Takes reading the log."""
        return iter(())

    def project(self, source: Source) -> str | None:
        """The project that a source's own path names, where nothing in it says so."""
        return None

    def noted(self, source: Source, session: str) -> tuple[str | None, int | None]:
        """(first prompt, number of messages), where finding them out takes no long reading."""
        return None, None

    def messages(self, sources: Sequence[Source], session: str) -> Iterator[Message | Problem]:
        """What was said in a session, in order, read from the logs as it is asked for.

        ``sources`` are all of the session's; databases of many sessions may be among them.
        Subagents come after the conversation that they are part of, or mixed with it.
        """
        return iter(())


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


_registered: dict[str, Provider] = {}


def register(agent: str, provider: Provider) -> None:
    """Makes ``provider`` the one of ``agent``, in place of any that was there."""
    _registered[agent] = provider


def default_providers() -> dict[str, Provider]:
    """Every provider there is, by agent; a copy, so that changes to it change nothing."""
    return {name: provider_for(name) for name in _names()}


def provider_for(agent: str) -> Provider:
    """The provider of one agent, by name or alias; raises UnknownAgent."""
    name = ALIASES.get(agent, agent)
    found = _registered.get(name)
    if found is None:
        module = _BUILT_IN.get(name)
        found = import_module(module).PROVIDER if module else _installed().get(name)
    if found is None:
        known = ", ".join([*_names(), *ALIASES, "all"])
        raise UnknownAgent(f"unknown agent {agent!r}; choose one of: {known}")
    return found


def agents(agent: str = "all") -> list[Provider]:
    """The providers that ``agent`` names: one, or every one for ``all``."""
    if agent == "all":
        return [provider_for(name) for name in _names()]
    return [provider_for(agent)]


def _names() -> list[str]:
    return list(dict.fromkeys([*_BUILT_IN, *_installed(), *_registered]))


_found: dict[tuple[str, ...], dict[str, Provider]] = {}


def _installed() -> dict[str, Provider]:
    """Providers (objects or classes) of other packages, by agent; broken ones are left out.

    Asking importlib costs more than a whole report of few sessions. So the entry points of
    what is installed are looked through first, once for each ``sys.path``.
    """
    key = tuple(sys.path)
    if key not in _found:
        found: dict[str, Provider] = {}
        if any(map(_publishes, key)):
            from importlib.metadata import entry_points

            for point in entry_points(group=GROUP):
                try:
                    loaded = point.load()
                    found[point.name] = loaded() if isinstance(loaded, type) else loaded
                except Exception as error:  # whatever another package's code may raise
                    import logging

                    logging.getLogger(__name__).warning("%s is left out: %s", point, error)
        _found[key] = found
    return _found[key]


def _publishes(folder: str) -> bool:
    """Does a package that is installed in ``folder`` publish a provider?"""
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return False
    for name in names:
        if name.endswith((".dist-info", ".egg-info")):
            try:
                with open(os.path.join(folder, name, "entry_points.txt"), "rb") as file:
                    if GROUP.encode() in file.read():
                        return True
            except OSError:
                continue
    return False
