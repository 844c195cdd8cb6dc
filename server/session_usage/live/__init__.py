"""Live sessions of Copilot CLI: follow one by its log, or talk to a CLI that runs. Optional.

``CopilotSession.from_log(path)`` needs nothing but the log. ``cli.connect`` talks to a CLI
through the official SDK, which is imported then and not before (``session-usage[live]``).
``LiveFeed`` keeps one session's view up to date from both, and ``clock`` tells how long the
prompt cache stays warm and what the next turn costs at least.
"""

from session_usage.live.session import DENIED, CopilotSession, Tool

__all__ = ["DENIED", "CopilotSession", "Tool"]
