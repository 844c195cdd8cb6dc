"""Which project a folder belongs to: worktrees and subfolders of one repository are one.

The project of a folder is the main working folder of its git repository, found through the
repository's common directory (git-worktree's ``commondir`` file, gitrepository-layout(5));
a folder outside any repository, or of another machine, is its own project (RULES R17).
Only git's own files are looked at, never a remote, and git itself is not run.
"""

from __future__ import annotations

import functools
import os

_DEPTH = 64


def project_of(workspace: str | None, root: str | None = None) -> str | None:
    """The project of a session in ``workspace``; ``root`` is the repository its log names."""
    for folder in (root, workspace):
        if folder:
            found = _repository(folder)
            if found:
                return found
    return root or workspace


@functools.lru_cache(maxsize=4096)
def _repository(folder: str) -> str | None:
    if not os.path.isabs(folder):
        return None
    at = os.path.normpath(folder)
    for _ in range(_DEPTH):
        marker = os.path.join(at, ".git")
        if os.path.isdir(marker):
            return at
        if os.path.isfile(marker):
            return _main_folder(at, marker) or at
        above = os.path.dirname(at)
        if above == at:
            return None
        at = above
    return None


def _main_folder(folder: str, marker: str) -> str | None:
    """The main working folder of the repository that a worktree's ``.git`` file points to."""
    pointer = _line(marker)
    if not pointer or not pointer.startswith("gitdir:"):
        return None
    private = os.path.join(folder, pointer.removeprefix("gitdir:").strip())
    common = _line(os.path.join(private, "commondir"))
    if not common:  # a submodule: a repository of its own
        return None
    shared = os.path.normpath(os.path.join(private, common))
    return os.path.dirname(shared) if os.path.basename(shared) == ".git" else shared


def _line(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline(4096).strip()
    except OSError:
        return None
