"""Which lines of a transcript can matter, told without parsing them."""

from __future__ import annotations

import re

_SILENT = (
    rb"attachment|api-request|api-request-shape|api-request-blob|queue-operation|mode|"
    rb"permission-mode|tools-used|atis-latch|last-prompt|fork-context-ref|agent-name|"
    rb"worktree-state|pr-link|tag"
)
_DULL = _SILENT + rb"|progress|file-history-snapshot"
_TITLES = rb"ai-title|custom-title|summary"
_is_silent = re.compile(rb'"type": ?"(?:' + _TITLES + rb"|cost-state|" + _SILENT + rb')"').match
_is_dull = re.compile(rb'"type": ?"(?:' + _DULL + rb')"').match
_is_dull_for_totals = re.compile(
    rb'"type": ?"(?:user|tool_result|' + _TITLES + rb"|" + _DULL + rb')"'
).match
TYPE_WITHIN = 2048
"""How far into a line its first type is looked for: what comes before is ids and paths."""


def skip(line: bytes, begin: int, end: int) -> bool:
    """Can this line not matter? Its first ``"type"`` tells, wherever the record's own stands:
    in an assistant's line that is its own, its message's or its first block's."""
    at = line.find(b'"type"', begin, min(end, begin + TYPE_WITHIN))
    if at < 0:
        return end - begin < TYPE_WITHIN and line[begin:end].isspace()
    return _is_dull(line, at) is not None or line.find(b'"attachment":', begin, at) >= 0


def skip_for_totals(line: bytes) -> bool:
    """The same where prompts, tool results and titles do not matter either."""
    at = line.find(b'"type"', 0, TYPE_WITHIN)
    if at < 0:
        return len(line) < TYPE_WITHIN and line.isspace()
    return _is_dull_for_totals(line, at) is not None or line.find(b'"attachment":', 0, at) >= 0


def skip_silent(line: bytes, begin: int, end: int) -> bool:
    """Does this line hold nothing that anybody said or did?"""
    at = line.find(b'"type"', begin, min(end, begin + TYPE_WITHIN))
    if at < 0:
        return end - begin < TYPE_WITHIN and line[begin:end].isspace()
    return _is_silent(line, at) is not None or line.find(b'"attachment":', begin, at) >= 0


USAGE = b'"usage":{'
_END = b'"stop_reason":'
_END_WITHIN = 128
"""How far before its usage the end of a message stands."""
_ABORTED = b'"isAbortedMidStream"'


GOES_ON, ENDS = b'n"'


def repeats(line: bytes, written: bytes) -> int:
    """If a message's line has the usage that was ``written`` before, up to its output and what
    follows it: does the message end with it (``ENDS``), or is its end null (``GOES_ON``)?
    Another number for every other line."""
    at = line.rfind(USAGE)
    if at < 0 or not line.startswith(written, at) or line.find(_ABORTED) >= 0:
        return 0
    return ends(line, at - _END_WITHIN, at)


def ends(line: bytes, begin: int, end: int) -> int:
    """The same of a line whose end of the message is said from ``begin`` to ``end``."""
    at = line.rfind(_END, max(0, begin), end)
    return line[at + len(_END)] if at >= 0 else 0
