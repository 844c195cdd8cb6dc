"""Where each system and each program keeps its files: the only reader of HOME and environment.

``Places`` is made once at the edge and passed down. Its path logic follows the named
platform, not the one it runs on, so that all of it can be tested anywhere.

Sources: VS Code's ``userDataPath`` rules and product names (its source, as summarised in
the provider docstrings), the agents' own documentation of their environment variables.
"""

from __future__ import annotations

import contextlib
import ntpath
import os
import posixpath
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

VSCODE_PRODUCTS = (
    "Code",
    "Code - Insiders",
    "Code - Exploration",
    "VSCodium",
    "VSCodium - Insiders",
    "Code - OSS",
    "code-oss-dev",
    "Cursor",
    "Windsurf",
    "Antigravity",
    "Positron",
)
"""Folder names (``nameShort``) of VS Code and of editors built from its source."""

VSCODE_SERVERS = (
    ".vscode-server/data",
    ".vscode-server-insiders/data",
    ".vscode-server-oss/data",
    ".vscode-remote/data",
    ".vscode-remote",
    ".vscodium-server/data",
    ".vscodium-server-insiders/data",
    ".cursor-server/data",
    ".windsurf-server/data",
    ".openvscode-server/data",
)
"""User-data folders of remote extension hosts, below the home folder."""

VSCODE_FLATPAKS = {
    "com.visualstudio.code": "Code",
    "com.visualstudio.code.insiders": "Code - Insiders",
    "com.vscodium.codium": "VSCodium",
    "com.visualstudio.code-oss": "Code - OSS",
}


class Places(NamedTuple):
    """Folders of one machine and user, as the agents themselves would resolve them."""

    home: str
    env: Mapping[str, str]
    platform: str
    """As ``sys.platform``: ``linux``, ``darwin``, ``win32``."""
    user_data_dirs: tuple[str, ...] = ()
    """Further VS Code user-data folders that the user named; each holds ``User/``."""
    agent_log_dirs: tuple[str, ...] = ()
    """Folders of plain agent logs that the user named."""
    roots: tuple[tuple[str, str], ...] = ()
    """(agent, folder) pairs that replace an agent's own places, for callers that know better."""

    def join(self, *parts: str) -> str:
        """Path of this platform: ``/`` in a part means the separator."""
        if self.platform == "win32":
            return ntpath.normpath(ntpath.join(*parts))
        return posixpath.join(*parts)

    def only(self, agent: str) -> tuple[str, ...] | None:
        """The folders given for ``agent`` in place of its own; None when there are none."""
        found = tuple(folder for name, folder in self.roots if name == agent)
        return found or None

    def configured(self, variable: str, *default: str) -> str:
        """The folder an environment variable names, else ``default`` below the home folder."""
        value = self.env.get(variable, "")
        if value == "~" or value.startswith(("~/", "~\\")):
            value = self.join(self.home, value[1:].lstrip("/\\"))
        return value or self.join(self.home, *default)

    def xdg(self, variable: str, *default: str) -> str:
        """An XDG base folder; relative values are void by that specification."""
        value = self.env.get(variable, "")
        return value if posixpath.isabs(value) else self.join(self.home, *default)

    def copilot_home(self) -> str:
        """``$COPILOT_HOME``, else ``~/.copilot``."""
        return self.configured("COPILOT_HOME", ".copilot")

    def app_data(self) -> str:
        """Where desktop programs keep their settings on this platform."""
        if self.platform == "win32":
            return self.env.get("APPDATA") or self.join(self.home, "AppData", "Roaming")
        if self.platform == "darwin":
            return self.join(self.home, "Library", "Application Support")
        return self.xdg("XDG_CONFIG_HOME", ".config")

    def vscode(self) -> Iterator[str]:
        """Every place where a VS Code user-data folder may be, existing or not, no two alike."""
        seen: set[str] = set()
        for folder in self._vscode():
            name = ntpath.normcase(folder) if self.platform == "win32" else folder
            if name not in seen:
                seen.add(name)
                yield folder

    def _vscode(self) -> Iterator[str]:
        yield from self.user_data_dirs
        portable = self.env.get("VSCODE_PORTABLE")
        if portable:
            yield self.join(portable, "user-data")
        base = self.env.get("VSCODE_APPDATA") or self.app_data()
        for product in VSCODE_PRODUCTS:
            yield self.join(base, product)
        if self.platform == "linux":
            for package, product in VSCODE_FLATPAKS.items():
                yield self.join(self.home, ".var/app", package, "config", product)
        if self.platform != "win32":
            yield self.join(self.xdg("XDG_DATA_HOME", ".local", "share"), "code-server")
        for server in VSCODE_SERVERS:
            yield self.join(self.home, server)
        if self.platform == "linux" and self.env.get("WSL_DISTRO_NAME"):
            # the window runs on Windows and keeps the chat store there
            for user in subfolders("/mnt/c/Users"):
                for product in VSCODE_PRODUCTS:
                    yield self.join(user, "AppData/Roaming", product)

    def state(self) -> str:
        """Our own folder: ledger, settings, refreshed prices (``SESSION_USAGE_HOME``)."""
        value = self.env.get("SESSION_USAGE_HOME")
        if value:
            return value
        if self.platform == "win32":
            local = self.env.get("LOCALAPPDATA") or self.join(self.home, "AppData", "Local")
            return self.join(local, "session-usage")
        if self.platform == "darwin":
            return self.join(self.home, "Library", "Application Support", "session-usage")
        return self.join(self.xdg("XDG_STATE_HOME", ".local", "state"), "session-usage")

    def prices(self) -> str:
        """Where price tables are kept that the user had downloaded."""
        return self.join(self.state(), "prices")


OWN_VARIABLES = frozenset({"SESSION_USAGE_HOME"})
"""What is still honoured when the caller names another home folder."""


def here(
    home: str | None = None,
    user_data_dirs: Iterable[str] = (),
    agent_log_dirs: Iterable[str] = (),
    roots: Iterable[tuple[str, str]] = (),
    env: Mapping[str, str] | None = None,
) -> Places:
    """The places of this process's user, or those below ``home`` as if it were the home folder.

    With ``home`` the agents' own environment variables are ignored: they speak of this user.
    """
    environment = dict(os.environ if env is None else env)
    if home is not None:
        environment = {name: environment[name] for name in OWN_VARIABLES & environment.keys()}
    return Places(
        home=os.path.abspath(home) if home is not None else os.path.expanduser("~"),
        env=environment,
        platform="linux" if sys.platform.startswith("linux") else sys.platform,
        user_data_dirs=tuple(os.path.abspath(folder) for folder in user_data_dirs),
        agent_log_dirs=tuple(os.path.abspath(folder) for folder in agent_log_dirs),
        roots=tuple(roots),
    )


def system_zone() -> str:
    """The IANA name of this machine's zone; that of its hour where it has no name."""
    import time
    from zoneinfo import ZoneInfo

    name = os.environ.get("TZ", "").lstrip(":") or os.path.realpath("/etc/localtime")
    name = name.rpartition("zoneinfo/")[2]
    try:
        return ZoneInfo(name).key
    except (KeyError, ValueError, OSError):
        hours = time.localtime().tm_gmtoff // 3600  # POSIX writes the sign of west
        return f"Etc/GMT{-hours:+d}" if hours else "UTC"


_looked: set[str] | None = None


@contextlib.contextmanager
def looking() -> Iterator[set[str]]:
    """Gathers the folders that ``entries`` and ``stamp`` look into meanwhile, there or not."""
    global _looked
    before, _looked = _looked, set()
    try:
        yield _looked
    finally:
        _looked = before


def entries(folder: str) -> list[os.DirEntry[str]]:
    """What is in ``folder``, by name; empty when it is missing, vanishing or forbidden.

    Pipes, sockets and devices are left out: a log is never one, and to open one may never end.
    """
    if _looked is not None:
        _looked.add(folder)
    try:
        with os.scandir(folder) as found:
            return sorted(filter(_is_harmless, found), key=lambda entry: entry.name)
    except NotADirectoryError:
        if _looked is not None:
            _looked.discard(folder)
        return []
    except OSError:
        return []


def _is_harmless(entry: os.DirEntry[str]) -> bool:
    try:
        if entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False):
            return True  # the listing says so: the file itself is not looked at
        return not is_special(entry.stat().st_mode)
    except OSError:  # a link to nothing
        return True


def is_special(mode: int) -> bool:
    """Is a thing of this ``st_mode`` neither a file nor a folder?"""
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def subfolders(folder: str) -> list[str]:
    """Paths of the folders in ``folder``, by name; links are followed."""
    return [entry.path for entry in entries(folder) if _is_folder(entry)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def stamp(entry: os.DirEntry[str] | str) -> tuple[int, int]:
    """(size, mtime in ns) of a file; (0, 0) when it is gone."""
    try:
        found = os.stat(entry) if isinstance(entry, str) else entry.stat()
    except OSError:
        if _looked is not None and isinstance(entry, str):
            _looked.add(os.path.dirname(entry))
        return 0, 0
    return found.st_size, found.st_mtime_ns
