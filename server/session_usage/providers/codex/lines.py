"""Which lines of a rollout can matter, told by their heads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

from session_usage.jsonl import Scan

_HEAD = rb'\s*\{"timestamp": ?"[^"]*", ?(?:"ordinal": ?\d+, ?)?"type": ?"'
_EVENTS = (
    rb'event_msg", ?"payload": ?\{"type": ?"(?:agent_message|agent_reasoning|item_\w+|'
    rb"agent_reasoning_\w+|exec_\w+|patch_\w+|mcp_\w+|web_search_\w+|turn_diff|plan_\w+|"
    rb"thread_\w+|context_compacted|view_image_\w+|entered_\w+|exited_\w+|stream_error|error|"
    rb"warning|background_event|undo_\w+|collab_\w+|raw_\w+"
)
_ITEMS = (
    rb'response_item", ?"payload": ?\{"type": ?"'
    rb"(?:message|reasoning|%s|custom_tool_call_output|ghost_snapshot|"
    rb"agent_message|compaction\w*|other"
)
_NO_START = rb'function_call_output(?!"(?:[^"{]{0,120}"){2,16}\{\\"agent_id)'
"""The result of a tool that did not start a subagent."""
_ENDS = rb'"|world_state"|inter_agent_\w+"))|\s*$'
_skip = re.compile(
    rb"(?:" + _HEAD + rb"(?:" + _EVENTS + rb')"|' + _ITEMS % _NO_START + rb")" + _ENDS
).match
skip_for_totals = re.compile(
    rb"(?:"
    + _HEAD
    + rb"(?:"
    + _EVENTS
    + rb'|user_message|token_count", ?"info": ?null, ?"rate_limits)"|'
    + _ITEMS % b"function_call_output"
    + rb"|function_call|custom_tool_call|local_shell_call)"
    + _ENDS
).match

# most lines are of these, and their time before them is this long: telling them takes a third
AT, BEGIN = 38, b'{"timestamp":"'
_ITEM = b'","type":"response_item","payload":{"type":"%s"'
COUNT = b'","type":"event_msg","payload":{"type":"token_count","info":{'
_QUICK = (
    _ITEM % b"reasoning",
    b'","type":"event_msg","payload":{"type":"agent_message"',
    _ITEM % b"message",
)
STARTED = b'","type":"event_msg","payload":{"type":"task_started"'
"""A turn begins."""
DULL = (*_QUICK, _ITEM % b"function_call", _ITEM % b"function_call_output")
"""What does not matter to totals, told by its beginning alone."""
NUMBERED, WITHIN = COUNT[2:], 128
"""How a count goes on behind its number, where it has one, and how far into the line that is."""


def wanted(scan: Scan) -> Iterator[tuple[int, bytes, bool]]:
    """(offset, line, whole) of the lines that can matter, all of those included that nobody knows
    yet. What is not ``whole`` is the last one."""
    for base, first, lines, whole in scan.blocks():
        for line in chain((first,), lines):
            if not (line.startswith(_QUICK, AT) and line.startswith(BEGIN)) and (
                line.startswith(COUNT, AT) or not _skip(line, 0, len(line) - 1)
            ):
                if line[-1:] != b"\n":
                    break  # this line goes on in the next block
                yield base + lines.tell() - len(line), line, whole
