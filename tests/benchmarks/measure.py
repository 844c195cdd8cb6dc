"""Run commands one after the other, several times, and say what each run took (POSIX only)."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Command(NamedTuple):
    """What to run. ``env`` is the whole environment, so that runs are alike on all machines."""

    argv: list[str]
    env: dict[str, str]
    output: str = os.devnull
    """The file that gets what the command prints; the last run's stays."""


class Run(NamedTuple):
    """One finished run, children included."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds, user + system."""
    rss: float
    """Peak resident memory in MB (1e6 bytes); of the largest process where there are several."""


class Failed(Exception):
    """A command did not end with 0; the text is the last line it wrote to stderr."""


def run(command: Command) -> Run:
    """Run once. Raises Failed."""
    with open(command.output, "wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            command.argv, env=command.env, stdout=output, stderr=subprocess.PIPE
        )
        assert process.stderr
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        last = errors.decode(errors="replace").strip().rpartition("\n")[2]
        raise Failed(last or f"exit code {process.returncode}")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * RSS_UNIT / 1e6)


class Series(NamedTuple):
    """All counted runs of one command."""

    runs: list[Run]

    @property
    def wall(self) -> float:
        """Median seconds."""
        return statistics.median(run.wall for run in self.runs)

    @property
    def cpu(self) -> float:
        """Median seconds."""
        return statistics.median(run.cpu for run in self.runs)

    @property
    def rss(self) -> float:
        """Median of the peaks, MB."""
        return statistics.median(run.rss for run in self.runs)

    def cpu_ratio(self, other: Series) -> float:
        """This command's CPU time in units of ``other``'s: the median over pairs of runs.

        A pair ran back to back: a busy or throttled machine slows both down.
        """
        pairs = zip(self.runs, other.runs, strict=True)
        return statistics.median(mine.cpu / theirs.cpu for mine, theirs in pairs)

    def wall_ratio(self, other: Series) -> float:
        """The same of the time on the clock."""
        pairs = zip(self.runs, other.runs, strict=True)
        return statistics.median(mine.wall / theirs.wall for mine, theirs in pairs)


def alternate(commands: dict[str, Command], rounds: int) -> dict[str, Series | Failed]:
    """Run all commands in turn: a round that does not count, then ``rounds`` that do.

    A command that fails is left out from then on.
    """
    results: dict[str, Series | Failed] = {name: Series([]) for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            series = results[name]
            if isinstance(series, Failed):
                continue
            try:
                done = run(command)
            except Failed as error:
                results[name] = error
                continue
            if number:
                series.runs.append(done)
    return results
