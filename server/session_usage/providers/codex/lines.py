"""Which lines of a rollout can matter, told by their heads."""

from __future__ import annotations

import re

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
skip = re.compile(
    rb"(?:" + _HEAD + rb"(?:" + _EVENTS + rb')"|' + _ITEMS % _NO_START + rb")" + _ENDS
).match
skip_for_totals = re.compile(
    rb"(?:"
    + _HEAD
    + rb"(?:"
    + _EVENTS
    + rb'|user_message)"|'
    + _ITEMS % b"function_call_output"
    + rb"|function_call|custom_tool_call|local_shell_call)"
    + _ENDS
).match
