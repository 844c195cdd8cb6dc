"""What a log says, in one vocabulary for all agents.

A provider turns the bytes of one source into a stream of these records and nothing else:
it adds nothing up and prices nothing. All are immutable tuples of plain values, so that
they can be stored as JSON arrays and compared. None always means "not known", never 0.

Times are epoch milliseconds UTC; durations milliseconds; token counts and nano-AIU whole
numbers. ``path`` and ``offset`` name the evidence: the file and the byte where the line
starts (for a database: the row id).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

AGENTS = (
    "copilot-vscode",
    "copilot-cli",
    "claude-code",
    "codex",
    "opencode",
    "gemini",
    "agent-log",
)

# basis of an amount, strongest first (RULES R13: a sum is as strong as its weakest part)
BILLED, PRICED, ESTIMATED, UNKNOWN = "billed", "priced", "estimated", "unknown"
BASES = (BILLED, PRICED, ESTIMATED, UNKNOWN)

# who is paid (RULES R10)
COPILOT, BYOK, API, FREE = "copilot", "byok", "api", "free"


class Source(NamedTuple):
    """One file (or database) that a provider knows how to read, found without opening it."""

    agent: str
    kind: str
    """Which sort of file, e.g. ``journal``, ``debug-log``, ``database``."""
    path: str
    session: str | None
    """The session whose file this is; None for a database that holds many."""
    size: int = 0
    mtime_ns: int = 0


class Request(NamedTuple):
    """One call of a model: the atom of cost (RULES R1, R2)."""

    key: str
    """Stable over sources, copies and re-reads; equal keys of one agent are one request."""
    agent: str
    session: str | None
    """The session that made the call; None for background calls of no session (RULES R3)."""
    source: str
    path: str
    offset: int
    started_ms: int | None = None
    model: str | None = None
    """The model's id as logged (after routing, never "auto")."""
    provider: str | None = None
    """``gen_ai.provider.name``: whose endpoint answered, where the log says it."""
    billing: str = COPILOT
    status: str = "ok"
    """``ok``, ``error`` or ``cancelled``."""
    input_tokens: int | None = None
    """The whole prompt: cache reads and writes are parts of it (RULES R14)."""
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    """The part of ``cache_write_tokens`` that is kept for an hour, where the log tells."""
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    """A part of ``output_tokens``."""
    nano_aiu: int | None = None
    """The server's own figure for this call; 0 is a bill of nothing (RULES R6)."""
    duration_ms: int | None = None
    ttft_ms: int | None = None
    surface: str = "chat"
    """``chat``, ``compaction``, ``background`` (titles, progress) or ``tool``."""
    subagent: tuple[str, ...] = ()
    """Names from the first subagent down; empty for the main agent."""
    subagent_id: str | None = None
    turn: str | None = None
    """Key of the turn it belongs to, where the log tells."""
    skill: str | None = None
    tier: str | None = None
    """Service tier where it changes the price: ``fast``, ``priority``, ``flex``, ``batch``."""
    web_searches: int | None = None
    auto: bool = False
    """The model was chosen by Copilot's Auto (its discount is inside the billed figure)."""
    copied: bool = False
    """This line is a fork's or resume's copy of a call that ``session`` made."""
    weak: bool = False
    """Evidence that a call took place without its usage; a counter may cover it."""
    branch: str | None = None
    cwd: str | None = None
    link: str | None = None
    """A second key under which another source may know the same call."""


class Row(NamedTuple):
    """What a call has of its own among ``Calls``; the fields are those of ``Request``."""

    key: str
    offset: int
    started_ms: int | None
    input_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    cache_write_1h_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    nano_aiu: int | None
    duration_ms: int | None
    link: str | None


class Calls(NamedTuple):
    """Calls of one session that have all but a ``Row`` in common.

    A read for totals gives them in place of a ``Request`` each: in a big log most time goes into
    making those.
    """

    shared: Request
    """What they have in common; what is in ``Row`` says nothing here."""
    rows: list[Row]

    def requests(self) -> list[Request]:
        """The same calls one by one; their ``ttft_ms`` is not known, which no total needs."""
        shared = self.shared
        before, between, after = shared[1:5], shared[7:11], shared[20:-1]
        return [
            Request._make(
                (row.key, *before, *row[1:3], *between, *row[3:11], None, *after, row.link)
            )
            for row in self.rows
        ]


def one_by_one(events: Iterable[Event | Calls]) -> Iterator[Event]:
    """The same events with a request for every call."""
    for event in events:
        if isinstance(event, Calls):
            yield from event.requests()
        else:
            yield event


def oddity(request: Request, figure: Any) -> str | None:
    """What of a call cannot be (RULES R7, R15), to go on after "a call "; None: nothing.

    ``figure`` is its amount as the log has it.
    """
    if figure is not None and request.nano_aiu is None:
        return "has an amount that is no number"
    prompt = request.input_tokens
    if prompt is not None:
        cached = (request.cache_read_tokens or 0) + (request.cache_write_tokens or 0)
        if cached > prompt:
            return "has more cached tokens than its prompt"
    return None


class Counter(NamedTuple):
    """A cumulative figure an agent writes: used to check and to fill, never added (RULES R4)."""

    key: str
    agent: str
    session: str | None
    source: str
    path: str
    offset: int
    at_ms: int | None
    scope: str
    """``session``: since the session began or since this run began, the numbers tell which;
    ``total``: a running total of the session that cannot be per run; ``turn``: one turn."""
    group: str
    """Counters of one group were written together (one row per model, and one for all)."""
    since_ms: int | None = None
    """Start of the turn (scope ``turn``) or of the run (scope ``session``)."""
    model: str | None = None
    """None: the figure is for all models together."""
    billing: str = COPILOT
    requests: int | None = None
    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    nano_aiu: int | None = None
    run_output_tokens: int | None = None
    """Output tokens that the lines of this run alone add up to, where they tell."""
    subagent: tuple[str, ...] = ()
    reason: str = ""
    """What it means when this counter knows more than the requests."""
    copied: bool = False
    status: str = "ok"


class ToolCall(NamedTuple):
    """One use of a tool."""

    key: str
    agent: str
    session: str | None
    path: str
    offset: int
    at_ms: int | None
    name: str
    subagent: tuple[str, ...] = ()
    skill: str | None = None
    turn: str | None = None
    ok: bool | None = None
    duration_ms: int | None = None
    copied: bool = False


class Turn(NamedTuple):
    """One user message and all that follows from it. Its text is never kept (invariant 10)."""

    key: str
    agent: str
    session: str | None
    path: str
    offset: int
    at_ms: int | None
    copied: bool = False


class Meta(NamedTuple):
    """What a source says of its session; several are merged, later ones and ``rank`` winning."""

    agent: str
    session: str
    path: str
    title: str | None = None
    workspace: str | None = None
    """Folder (or URI) the session works in."""
    project: str | None = None
    """Root of the git repository, where the log names it (RULES R17)."""
    branch: str | None = None
    version: str | None = None
    """Version of the program that wrote the log."""
    model: str | None = None
    created_ms: int | None = None
    updated_ms: int | None = None
    origin: str | None = None
    """The session this one was forked from."""
    rank: int = 0
    names: tuple[tuple[str, str], ...] = ()
    """(subagent id, name) pairs that this source knows."""
    skills: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    facts: tuple[tuple[str, Any], ...] = ()
    """Further figures of the agent itself, e.g. ("premium_requests", 2)."""


IN_DATABASES = ("database", "span")
"""Sources whose offsets are rows of a table, not bytes of a file."""


class Problem(NamedTuple):
    """Something wrong with a source, beside the data. Never message text."""

    kind: str
    """A word for machines: ``malformed``, ``truncated``, ``locked``, ``drift``, ``gap`` …"""
    path: str
    offset: int | None
    text: str
    """One line for a person; names what is missing and, where there is one, the way out."""
    agent: str | None = None
    session: str | None = None


class Cursor(NamedTuple):
    """Where reading stopped: the last thing a read yields. Feed it back to go on from there."""

    offset: int = 0
    state: tuple[Any, ...] = ()
    """What the provider must remember of what it read; JSON values only."""


START = Cursor()
"""The beginning of a source."""


Event = Request | Counter | ToolCall | Turn | Meta | Problem | Cursor
