"""The settings in force: those of the user's file, and before them those of the editor."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import attrs

from session_usage.ledger.codec import loads
from session_usage.places import Places
from session_usage.protocol import Settings
from session_usage.report import Zone
from session_usage.rpc.params import InvalidParams, structure, wire_name

_SECTION = "copilotUsage"


def path_of(places: Places) -> str:
    """The file for users of editors that send no settings."""
    return os.path.join(places.state(), "settings.json")


def section(value: Any) -> Any:
    """Our part of what a client sends as its configuration."""
    if isinstance(value, dict) and isinstance(value.get(_SECTION), dict):
        return value[_SECTION]
    return value


def merged(places: Places, client: Any) -> tuple[Settings, list[str]]:
    """(settings, problems). A setting that does not fit is left out and named; one that is not
    the server's (an editor may send its own) is left out in silence."""
    problems: list[str] = []
    found: dict[str, Any] = {}
    path = path_of(places)
    try:
        with open(path, "rb") as file:
            own = loads(file.read(1 << 20))
    except FileNotFoundError:
        own = {}
    except (OSError, ValueError) as error:
        own = {}
        problems.append(f"{path} cannot be read: {type(error).__name__}")
    for source in (own, client):
        if source is None:
            continue
        if not isinstance(source, dict):
            problems.append("the settings must be an object")
            continue
        for name, value in _flat(source):
            try:
                one = structure({name: value}, Settings)
                if one.zone:
                    Zone(one.zone)
                live_target(one.live_connect)
            except InvalidParams as error:
                if name in _NAMES:
                    problems.append(str(error).replace("params.", "setting "))
            except ValueError as error:
                problems.append(f"setting {name}: {error}")
            else:
                found[name] = value
    return structure(found, Settings), problems


def _flat(source: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and values; some editors send ``live.connect`` as ``{"live": {"connect": …}}``."""
    for name, value in source.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{part}", inner) for part, inner in value.items())
        else:
            yield name, value


def live_target(text: str | None) -> str | None:
    """Which CLI to connect to: ``spawn``, ``host:port`` of this machine, or None: none.

    Raises ValueError for everything else.
    """
    if not text or text == "off" or text == "spawn":
        return "spawn" if text == "spawn" else None
    host, _, port = text.strip().rpartition(":")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise ValueError(f"{text[:60]!r} is not off, spawn or an address such as 127.0.0.1:4321")
    import ipaddress

    try:
        local = host == "localhost" or ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise ValueError(f"{host[:60]!r} is not this machine; a CLI is only asked on 127.0.0.1")
    return f"{host}:{int(port)}"


def wire(settings: Settings) -> dict[str, Any]:
    """The settings that are set, as JSON fields."""
    return {
        name: value
        for name, attribute in _NAMES.items()
        if (value := getattr(settings, attribute)) is not None
    }


_NAMES = {wire_name(field): field.name for field in attrs.fields(Settings)}
