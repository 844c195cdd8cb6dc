"""The real SDK and CLI for the tests of live sessions, and the guard around them.

``setup.sh`` fetches both; where they are not there, the tests say so and are skipped.
"""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from model_server import ModelServer
from world import World

_NEW_NETWORK = 0x40000000
_FETCH = "run tests/live/setup.sh, which needs npm and PyPI"


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.environ.get("SESSION_USAGE_LIVE") or f"{base}/session-usage/live")


@pytest.fixture(scope="session")
def sdk() -> None:
    """The SDK can be imported."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    folder = _cache() / f"sdk-{version}"
    if folder.is_dir():
        sys.path.append(str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what its dependencies warn of is not ours
        try:
            import copilot  # noqa: F401
        except ImportError:
            pytest.skip(f"the Copilot SDK is not there: {_FETCH}")


@pytest.fixture(scope="session")
def copilot_cli() -> str:
    """Path of the real Copilot CLI."""
    found = sorted(_cache().glob("cli/node_modules/@github/copilot-*/copilot"))
    if not found:
        pytest.skip(f"the Copilot CLI is not there: {_FETCH}")
    return str(found[0])


@pytest.fixture(scope="session")
def unpacked() -> str:
    """Where the CLI unpacks itself at its first start; shared, for it is 235 MB."""
    folder = _cache() / "unpacked"
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


@pytest.fixture
def loopback_only() -> Iterator[None]:
    """This thread, and all that it starts, has a network of its own: loopback, nothing else."""
    if platform.system() != "Linux":
        pytest.skip("the guard against outside traffic needs Linux")
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as home:
        if libc.unshare(_NEW_NETWORK) != 0:
            pytest.skip(
                "the guard against outside traffic needs root: unshare -rn python -m pytest"
            )
        try:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            with socket.socket() as probe, pytest.raises(OSError, match="unreachable"):
                probe.connect(("203.0.113.1", 443))
            yield
        finally:
            assert libc.setns(home.fileno(), _NEW_NETWORK) == 0


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """Whatever the test did, its threads have ended."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive(), f"{thread.name} is still running"


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """Copilot's API, as far as the CLI can tell."""
    with ModelServer() as found:
        yield found


@pytest.fixture
def world(tmp_path: Path, copilot_cli: str, unpacked: str, server: ModelServer) -> World:
    """A signed-in user's machine."""
    return World(tmp_path, copilot_cli, unpacked, server)
