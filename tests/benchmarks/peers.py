"""Other programs that read the same logs: installed on first use, run without a network.

They get a home folder of ours, never the user's, and (on Linux, where ``unshare`` may) a network
of their own in which nothing but this machine is there.
"""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
import sys
from typing import NamedTuple

from measure import Command

SPANS = "copilot-session-usage"
SPANS_VERSION = "0.9.4"
STORAGE = ".config/Code/User/workspaceStorage"
NATIVE = "ccusage"
NATIVE_VERSION = "20.0.24"
"""The newest version whose program for this machine the registry has."""

_ALONE = 'ip link set lo up 2>/dev/null; exec "$@"'


class Peers(NamedTuple):
    """Where they are installed and what they may write to."""

    folder: str

    def spans(self, home: str) -> Command:
        """The total of all VS Code sessions, from a virtual environment.

        Of the commands that analyse everything, ``span`` is the fastest. It keeps its cache of
        titles and its prices in its own home folder, not in that of the logs.
        """
        venv = f"{self.folder}/peer"
        program = f"{venv}/bin/{SPANS}"
        if not os.path.exists(program):
            _run(sys.executable, "-m", "venv", venv)
            _run(f"{venv}/bin/pip", "install", "-q", f"{SPANS}=={SPANS_VERSION}")
        options = ["span", "--limit", "1000000", "--format", "json"]
        argv = [program, "--workspace-storage", f"{home}/{STORAGE}", *options]
        return self._alone(argv, {"HOME": self._own()}, "peer.json")

    def native(self, home: str) -> Command:
        """The totals by day of everything it can read below ``home``, which is made up.

        Its package for this kind of machine is the program itself; with ``--offline`` it has
        its own prices.
        """
        system = {"Linux": "linux", "Darwin": "darwin"}[platform.system()]
        machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), "arm64")
        root = f"{self.folder}/npm"
        program = f"{root}/node_modules/@ccusage/ccusage-{system}-{machine}/bin/ccusage"
        if not os.path.exists(program):
            options = ["--no-audit", "--no-fund", "--prefix", root]
            _run("npm", "install", *options, f"{NATIVE}@{NATIVE_VERSION}")
            os.chmod(program, 0o755)
        argv = [program, "daily", "--offline", "--json"]
        return self._alone(argv, {"HOME": home}, "native.json")

    def _own(self) -> str:
        own = f"{self.folder}/peer-home"
        os.makedirs(own, exist_ok=True)
        return own

    def _alone(self, argv: list[str], env: dict[str, str], output: str) -> Command:
        if _can_be_alone():
            argv = ["unshare", "-rn", "sh", "-c", _ALONE, "sh", *argv]
        return Command(argv, {"PATH": os.environ["PATH"], **env}, f"{self.folder}/{output}")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)


@functools.lru_cache(maxsize=1)
def _can_be_alone() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode == 0
