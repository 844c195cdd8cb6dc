"""Every error this package raises on purpose.

SessionUsageError
├── UsageError            the caller asked for something that cannot be (exit code 2)
│   ├── UnknownAgent      (a ProviderNotFound too)
│   ├── BadWindow
│   ├── BadPattern
│   ├── BadPriceFile
│   └── ReadOnlySession
├── NotFound              nothing of that name exists (exit code 1)
│   ├── SessionNotFound
│   ├── ProjectNotFound
│   └── ProviderNotFound
├── UnreadableLog         a log that must be read whole, and cannot be (exit code 2)
└── LiveError             a running CLI did not do what was asked (exit code 2)
    ├── BadEvent
    ├── NotConnected
    └── SessionFailed

Texts are one line, name the input and the way out, and never hold message text of a log.
Broken *logs* raise nothing where figures are read: they give ``events.Problem`` beside the
data. Only a transcript, which would look whole, is refused.
"""


class SessionUsageError(Exception):
    """Base of all errors raised on purpose; ``str()`` is one line for a person."""


class UsageError(SessionUsageError, ValueError):
    """The request itself is wrong: unknown agent, bad window, bad pattern, missing path."""


class BadWindow(UsageError):
    """A time window that does not follow the grammar of ``windows``."""


class BadPattern(UsageError):
    """A regular expression that does not compile."""


class BadPriceFile(UsageError):
    """A price or plan file that is no list of rows, or has a row that cannot be understood."""


class ReadOnlySession(UsageError):
    """Something was to be sent to a session of which only the log is there."""


class NotFound(SessionUsageError, LookupError):
    """Nothing of that name exists."""


class SessionNotFound(NotFound, ValueError):
    """No session has this id or lies at this path."""


class ProjectNotFound(NotFound):
    """No session was run in this project."""


class ProviderNotFound(NotFound):
    """No provider is registered under this name."""


class UnknownAgent(UsageError, ProviderNotFound):
    """An agent name that no provider answers to."""


class UnreadableLog(SessionUsageError, ValueError):
    """A transcript was asked for, and part of its log cannot be read; names path and byte."""


class LiveError(SessionUsageError):
    """A running Copilot CLI refused what was asked, or gave no usable answer."""


class BadEvent(LiveError, ValueError):
    """An event that breaks the envelope: no object, no type, a bad id or timestamp."""


class NotConnected(LiveError):
    """There is no CLI to talk to: none installed, none at the address, or it has gone."""


class SessionFailed(LiveError):
    """The session reported an error while an answer was awaited; ``str()`` has its text."""
