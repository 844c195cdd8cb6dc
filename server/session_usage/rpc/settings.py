"""The settings in force: those of the user's file, and before them those of the editor."""

from __future__ import annotations

import os
from typing import Any

import attrs

from session_usage.ledger.codec import loads
from session_usage.places import Places
from session_usage.protocol import Settings
from session_usage.report import Zone
from session_usage.rpc.params import InvalidParams, camel, structure

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
        for name, value in source.items():
            try:
                one = structure({name: value}, Settings)
                if one.zone:
                    Zone(one.zone)
            except InvalidParams as error:
                if name in _NAMES:
                    problems.append(str(error).replace("params.", "setting "))
            except ValueError as error:
                problems.append(f"setting {name}: {error}")
            else:
                found[name] = value
    return structure(found, Settings), problems


def wire(settings: Settings) -> dict[str, Any]:
    """The settings that are set, as JSON fields."""
    return {
        name: value
        for name, attribute in _NAMES.items()
        if (value := getattr(settings, attribute)) is not None
    }


_NAMES = {camel(field.name): field.name for field in attrs.fields(Settings)}
