"""Where the ledger is: cheap to ask, for commands that only want to know whether there is one."""

from __future__ import annotations

import os

from session_usage.places import Places

_VARIABLES = (
    "APPDATA", "CLAUDE_CONFIG_DIR", "CODEX_HOME", "COPILOT_HOME", "GEMINI_CLI_HOME",
    "OPENCODE_DB", "VSCODE_APPDATA", "VSCODE_PORTABLE", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
)  # fmt: skip
"""What of the environment decides which logs are this user's."""


def path_of(places: Places) -> str:
    """Where the ledger of these places lies. Other places, other ledger: a home folder or an
    environment that names other logs must not mix with the user's own."""
    told = [f"{name}={places.env[name]}" for name in _VARIABLES if places.env.get(name)]
    told += [f"{agent}={folder}" for agent, folder in places.roots]
    if places.home != os.path.expanduser("~"):
        told.append(places.home)
    name = "ledger"
    if told:
        import hashlib

        name += (
            "-"
            + hashlib.blake2b("\0".join(told).encode("utf-8", "replace"), digest_size=6).hexdigest()
        )
    return os.path.join(places.state(), name + ".db")
