"""A whole home folder of several agents, with its truth.json."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Sequence
from typing import Any

from . import claude, cli, codex, opencode, vscode
from .text import pools
from .truth import Session, Totals

SHARES = {"vscode": 0.35, "cli": 0.15, "claude": 0.25, "codex": 0.20, "opencode": 0.05}
"""Share of the sessions; the order matters to the last digit of the sums of USD."""
FORMATS = tuple(SHARES)

Generator = Callable[[str, str, int, int, float], Session]
Job = tuple[str, str, str, int, int, float]

GENERATORS: dict[str, Generator] = {
    "vscode": vscode.generate,
    "cli": cli.generate,
    "claude": claude.generate,
    "codex": codex.generate,
}


def generate(
    out: str,
    sessions: int,
    size: float,
    seed: str = "1",
    jobs: int = 2,
    formats: Sequence[str] = FORMATS,
) -> dict[str, Any]:
    """Write ``out``/home, ``out``/truth.json and ``out``/truth-sessions.jsonl.

    About ``size`` bytes of logs in about ``sessions`` sessions of the given formats. Returns
    what truth.json says.
    """
    mean = size / sessions
    whole = sum(SHARES[name] for name in FORMATS if name in formats)
    counts = {
        name: max(1, round(sessions * (SHARES[name] / whole)))
        for name in FORMATS
        if name in formats
    }
    todo: list[Job] = [
        (name, out, seed, index, counts[name], mean)
        for name in GENERATORS
        if name in counts
        for index in range(counts[name])
    ]
    todo.sort(key=lambda job: (job[3], job[0]))
    os.makedirs(out, exist_ok=True)
    pools()  # before the processes fork, so that they share it
    if jobs > 1:
        with multiprocessing.Pool(jobs) as workers:
            made = workers.map(_one, todo, chunksize=4)
    else:
        made = [_one(job) for job in todo]
    if "opencode" in counts:
        made += opencode.generate(out, seed, counts["opencode"], mean)
    vscode.index(out, seed, made)
    truth = _truth(seed, made)
    with open(f"{out}/truth.json", "w") as file:
        json.dump(truth, file, indent=1, sort_keys=True)
    with open(f"{out}/truth-sessions.jsonl", "w") as file:
        for session in sorted(made, key=lambda session: (session.format, session.id)):
            file.write(json.dumps(session.row(out), sort_keys=True) + "\n")
    return truth


def _one(job: Job) -> Session:
    name, *arguments = job
    return GENERATORS[name](*arguments)  # type: ignore[arg-type]


def _truth(seed: str, sessions: list[Session]) -> dict[str, Any]:
    everything = Totals()
    formats: dict[str, dict[str, Any]] = {}
    totals: dict[str, Totals] = {}
    for session in sessions:
        row = formats.setdefault(session.format, {"sessions": 0, "files": 0, "bytes": 0, "st": {}})
        row["sessions"] += 1
        row["files"] += session.files
        row["bytes"] += session.bytes
        for name, figure in session.st.items():
            row["st"][name] = row["st"].get(name, 0) + figure
        totals.setdefault(session.format, Totals()).merge(session.tot)
        everything.merge(session.tot)
    for name, row in formats.items():
        row["tot"] = totals[name].as_dict()
    return {
        "seed": seed,
        "sessions": len(sessions),
        "formats": formats,
        "all": everything.as_dict(),
        "bytes": sum(row["bytes"] for row in formats.values()),
    }
