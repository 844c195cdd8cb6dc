"""The grammar of the command line; each command names the function that runs it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from session_usage import __version__

EPILOG = """\
exit codes: 0 done; 1 nothing of that name exists; 2 wrong usage, bad input or a bad file.
Amounts: billed = the server's figure; priced = tokens x list price of the day (=);
estimated = something assumed (~); unknown = not in the logs (—). 1 credit = 0.01 USD.
"""


def parser(words: Iterable[str] | None = None) -> argparse.ArgumentParser:
    """The whole command line; global options are taken before and after the command.

    With ``words``, those of a command line, only commands among them get their options: to
    make all of them takes longer than many an answer.
    """
    top = _Parser(
        prog="session-usage",
        description="What AI coding agents' sessions cost, exactly, from their local logs.",
        epilog=EPILOG,
    )
    top.add_argument("--version", action="version", version=f"session-usage {__version__}")
    _add_common(top, suppress=False)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", prog=top.prog)
    for name, (run, text, add_own) in _COMMANDS.items():
        made = commands.add_parser(name, help=text, description=text)
        if words is None or name in words:
            _add_common(made, suppress=True)
            add_own(made)
            made.set_defaults(run=run)
    return top


def _no_options(to: argparse.ArgumentParser) -> None:
    """A command without options of its own."""


def _latest(to: argparse.ArgumentParser) -> None:
    to.add_argument("--workspace", help="only sessions of folders with this in their path")
    _add_detail(to)


def _show(to: argparse.ArgumentParser) -> None:
    to.add_argument("session", metavar="ID|PATH")
    _add_detail(to)


def _find(to: argparse.ArgumentParser) -> None:
    to.add_argument("text", metavar="TITLE", help="part of the title, in any case")
    _add_choice(to)


def _list(to: argparse.ArgumentParser) -> None:
    to.add_argument("--text", help="part of the title or id")
    _add_choice(to)


def _batch(to: argparse.ArgumentParser) -> None:
    to.add_argument("number", metavar="N", type=_count)
    to.add_argument("--workspace", help="only folders with this in their path")
    _add_window(to)


def _report(to: argparse.ArgumentParser) -> None:
    to.add_argument("--by", help="comma-separated: model, agent, provider, session, day, …")
    _add_window(to)


def _explain(to: argparse.ArgumentParser) -> None:
    to.add_argument("session", metavar="ID|PATH")
    to.add_argument(
        "figure", nargs="?", default="total",
        help="total (default), model=…, subagent=…, skill=…, turn=… or request=…",
    )  # fmt: skip


def _replay(to: argparse.ArgumentParser) -> None:
    to.add_argument("session", metavar="ID|PATH")


def _usage(to: argparse.ArgumentParser) -> None:
    to.add_argument("--window", metavar="W", help="sessions that started in it, e.g. 7d")


def _routing(to: argparse.ArgumentParser) -> None:
    to.add_argument("folder", nargs="?", metavar="DIR", help="a folder of plain agent logs")
    to.add_argument("--window", metavar="W", help="sessions that started in it, e.g. 7d")


def _prices(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "model", nargs="?",
        help="only this model; or status: which table is in use; or refresh: download a newer one",
    )  # fmt: skip
    to.add_argument("--url", help="where refresh finds the table (default: GitHub's docs)")
    to.add_argument("--on", metavar="DAY", help="rates in force on that day")


def _serve(to: argparse.ArgumentParser) -> None:
    to.add_argument("--stdio", action="store_true", help=argparse.SUPPRESS)
    to.add_argument("--clientProcessId", metavar="N", help=argparse.SUPPRESS)
    to.add_argument("--tcp", type=_port, metavar="PORT", help="wait for one client there")
    to.add_argument("--websocket", type=_port, metavar="PORT", help="the same over WebSocket")
    to.add_argument(
        "--host", default="127.0.0.1", help="address to listen at; other than this machine's "
        "own only with --token",
    )  # fmt: skip
    to.add_argument("--token", help="a word that clients must send in initializationOptions")


def _completion(to: argparse.ArgumentParser) -> None:
    to.add_argument("shell", choices=("bash", "zsh", "tcsh"))


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: write a number from 0 to 65535")
    return int(text)


_COMMANDS: dict[str, tuple[str, str, Callable[[argparse.ArgumentParser], None]]] = {
    "latest": ("sessions.latest", "the newest session", _latest),
    "show": ("sessions.show", "one session, by id or by path of its log", _show),
    "find": ("sessions.listing", "sessions by title", _find),
    "list": ("sessions.listing", "sessions, the newest first", _list),
    "batch": ("sessions.batch", "the newest sessions with what each cost", _batch),
    "report": ("reports.report", "totals over all sessions, broken down as you like", _report),
    "explain": ("sessions.explain", "why a figure is what it is, down to the log line", _explain),
    "replay": ("sessions.replay", "a session as a readable transcript", _replay),
    "usage": ("reports.usage", "outcomes, tokens and costs by provider and model", _usage),
    "routing": ("reports.routing", "how often agents' choice of model was overruled", _routing),
    "prices": ("upkeep.prices", "the price table in use", _prices),
    "index": ("index.index", "read all logs into the ledger: later answers are quick", _no_options),
    "doctor": (
        "upkeep.doctor", "which logs exist, what is switched off, what cannot be read", _no_options,
    ),
    "demo": ("reports.demo", "a report of the bundled sample sessions", _no_options),
    "serve": ("upkeep.serve", "answer an editor: JSON-RPC on stdin and stdout", _serve),
    "completion": ("upkeep.completion", "print a completion script for a shell", _completion),
}  # fmt: skip
"""By name: the function that runs it, as ``module.name``; what it does; its own options."""


class _Parser(argparse.ArgumentParser):
    """Errors are one line that says where to look, not the whole usage."""

    def __init__(self, **options: Any) -> None:
        # argparse asks for a formatter with every argument, and that for the terminal's width
        self.columns = 80
        super().__init__(**options, formatter_class=self._formatter)

    def _formatter(self, prog: str) -> argparse.HelpFormatter:
        return argparse.RawDescriptionHelpFormatter(prog, width=self.columns - 2)

    def format_help(self) -> str:
        """The help, as wide as the terminal."""
        import shutil

        self.columns = shutil.get_terminal_size().columns
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"session-usage: {message}; see `{self.prog} --help`\n")


def _add_common(to: argparse.ArgumentParser, suppress: bool) -> None:
    def default(value: Any) -> Any:
        # a default of the command must not undo what was given before the command
        return argparse.SUPPRESS if suppress else value

    group = to.add_argument_group("where and how")
    group.add_argument(
        "--home", metavar="DIR", default=default(None),
        help="read agents' logs as if DIR were the home folder",
    )  # fmt: skip
    group.add_argument(
        "--user-data-dir", metavar="DIR", action="append", default=default(None),
        help="one more VS Code user-data folder (it holds User/); repeatable",
    )  # fmt: skip
    group.add_argument(
        "--agent-log-dir", metavar="DIR", action="append", default=default(None),
        help="one more folder of plain agent logs; repeatable",
    )  # fmt: skip
    group.add_argument(
        "--agent", metavar="NAME", default=default("all"), help="one agent, or all (default)"
    )
    group.add_argument(
        "--prices", metavar="FILE", default=default(None), help="your own price file (YAML)"
    )
    group.add_argument("--zone", metavar="ZONE", default=default(None), help="zone of your days")
    group.add_argument(
        "--format", choices=("table", "json", "csv"), default=default("table"), help="output"
    )
    group.add_argument(
        "--json", action="store_true", default=default(False), help="same as --format json"
    )
    group.add_argument(
        "--csv", action="store_true", default=default(False), help="same as --format csv"
    )
    group.add_argument(
        "--no-ledger", action="store_true", default=default(False),
        help="answer from the logs alone",
    )  # fmt: skip


def _add_detail(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--detail", default="compact", metavar="LEVEL", help="minimal, compact (default) or full"
    )


def _add_choice(to: argparse.ArgumentParser) -> None:
    to.add_argument("--regex", metavar="PATTERN", help="regular expression for title or id")
    to.add_argument("--workspace", help="only folders with this in their path")
    to.add_argument("--limit", type=_count, default=50, help="how many (default 50)")
    to.add_argument("--cursor", help="go on after the page that gave this cursor")
    _add_window(to)


def _add_window(to: argparse.ArgumentParser) -> None:
    to.add_argument("--since", metavar="WHEN", help="2026-06-01, an instant, 7d, 24h, today")
    to.add_argument("--until", metavar="WHEN", help="the same; a day counts to its end")
    to.add_argument("--window", metavar="W", help="today, 7d, month, 2026-06-01..2026-06-30, …")


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number above 0")
    return value
