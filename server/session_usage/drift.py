"""Event types that nobody knew when this program was written: said once, never per line (R19)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from session_usage.events import Problem, Source
from session_usage.jsonl import parse

_HEAD = re.compile(
    rb'\s*\{(?:\s*"[A-Za-z]+"\s*:\s*(?:[-0-9.]+|"[^"\\]*")\s*,)*?\s*"type"\s*:\s*"([^"\\]*)"'
)
"""The type of an event that only plain values precede: most lines, and cheap to tell."""
_NAME = re.compile(r"[\w.:/-]{1,60}")
_SHOWN = 5


class Drift:
    """Gathers the unknown event types of one file, by the version that wrote them.

    ``program`` is the program's name for people; ``known`` holds the types seen so far.
    """

    def __init__(self, program: str, known: Collection[str]) -> None:
        self._program = program
        self._known = known
        self._new: dict[str | None, dict[str, None]] = {}

    def glance(self, line: bytes, version: str | None) -> None:
        """Notes the type of a line that is not parsed for anything else."""
        head = _HEAD.match(line)
        if head:
            self.see(head[1].decode("utf-8", "replace"), version)
            return
        event, _ = parse(line)  # keys in another order
        if event:
            self.see(event.get("type"), version)

    def see(self, kind: object, version: str | None) -> None:
        """Notes the type of an event; what is no name of a type is a damaged line, not drift."""
        if type(kind) is str and kind not in self._known and _NAME.fullmatch(kind):
            self._new.setdefault(version, {})[kind] = None

    def problems(self, source: Source, session: str | None) -> Iterator[Problem]:
        """One problem for each version with new types."""
        for version, kinds in self._new.items():
            names = ", ".join([*kinds][:_SHOWN])
            more = f" and {len(kinds) - _SHOWN} more" if len(kinds) > _SHOWN else ""
            program = f"{self._program} {version}" if version else self._program
            yield Problem(
                "drift", source.path, None,
                f"{program} writes {names}{more}; totals may be incomplete",
                source.agent, session,
            )  # fmt: skip
