"""Titles and folders: databases and small files that list chats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from session_usage import sqlite
from session_usage.events import START, Event, Meta, Problem, Source
from session_usage.jsonl import parse
from session_usage.providers.copilot_vscode.base import AGENT, malformed
from session_usage.values import instant, mapping, text


def read_catalogue(source: Source, session: str | None) -> Iterator[Event]:
    """What the list of sessions says of them."""
    wanted = ("id", "cwd", "branch", "summary", "created_at", "updated_at")
    where, values = ("WHERE id = ?", [session]) if session else ("", [])
    try:
        with sqlite.reading(source.path) as connection:
            for row in sqlite.rows(connection, "sessions", wanted, where, values):
                _, name, cwd, branch, summary, created, updated = row
                if text(name):
                    yield Meta(
                        AGENT, name, source.path, text(summary), text(cwd), None, text(branch),
                        created_ms=instant(created), updated_ms=instant(updated),
                    )  # fmt: skip
    except sqlite.Unreadable as error:
        yield Problem(error.kind, source.path, None, str(error), AGENT)
    yield START


def read_index(source: Source, session: str | None) -> Iterator[Event]:
    """VS Code's own list of chats: titles and times."""
    key = "chat.ChatSessionStore.index"
    value: Any = None
    try:
        with sqlite.reading(source.path) as connection:
            for row in sqlite.rows(connection, "ItemTable", ("value",), "WHERE key = ?", [key]):
                value = row[1]
    except sqlite.Unreadable as error:
        yield Problem(error.kind, source.path, None, str(error), AGENT)
    if value is not None:
        data, wrong = parse(value.encode() if type(value) is str else bytes(value))
        if wrong:
            yield malformed(source, None, wrong)
        listed = mapping(mapping(data).get("entries"))
        for row in listed.values():
            entry = mapping(row)
            name = text(entry.get("sessionId"))
            if not name or entry.get("isExternal") is True or entry.get("isEmpty") is True:
                continue
            if session is not None and name != session:
                continue
            timing = mapping(entry.get("timing"))
            yield Meta(
                AGENT,
                name,
                source.path,
                title=text(entry.get("title")),
                created_ms=instant(timing.get("created")),
                updated_ms=instant(entry.get("lastMessageDate")),
                rank=1,
            )
    yield START


def read_models(source: Source) -> Iterator[Event]:
    """Where Copilot's price list of that day lies: opened only when a price is needed."""
    yield Meta(AGENT, source.session or "", source.path, facts=(("models_json", source.path),))
    yield START


def read_folder(source: Source) -> Iterator[Event]:
    """The folder of a workspace: ``workspace.json`` has its URI, ``meta.json`` its name."""
    try:
        with open(source.path, "rb", buffering=0) as file:
            data, _ = parse(file.read(1 << 16))
    except OSError:
        data = None
    fields = mapping(data)
    uri = text(fields.get("folder")) or text(fields.get("workspace"))
    name = local_path(uri) if uri else text(fields.get("name"))
    if name:
        yield Meta(AGENT, source.session or "", source.path, workspace=name, rank=2 if uri else -1)
    yield START


def local_path(uri: str) -> str:
    """A ``file:`` URI as a path; other URIs (remote windows) are kept, only decoded."""
    if not uri.startswith("file://"):
        return unquote(uri)
    host, slash, rest = uri[7:].partition("/")
    path = unquote(slash + rest)
    if host:
        return f"//{unquote(host)}{path}"
    if len(path) > 2 and path[2] == ":" and path[1].isalpha():  # /c:/… of Windows
        return path[1].upper() + path[2:]
    return path
