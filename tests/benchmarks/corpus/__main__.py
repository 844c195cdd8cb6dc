"""``python -m corpus OUT --sessions N --bytes B [--seed S] [--jobs J] [--formats LIST]``."""

from __future__ import annotations

import argparse
import time

from .tree import FORMATS, generate

UNITS = {"K": 1e3, "M": 1e6, "G": 1e9}


def size(value: str) -> float:
    """A number of bytes: ``20e6``, ``20M``, ``1.5G``."""
    unit = UNITS.get(value[-1:].upper())
    return float(value[:-1]) * unit if unit else float(value)


def names(value: str) -> list[str]:
    """A list of formats: ``vscode,cli``."""
    chosen = value.split(",")
    unknown = [name for name in chosen if name not in FORMATS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(FORMATS)}")
    return chosen


def main() -> None:
    """Generate a tree and print a line for each format."""
    parser = argparse.ArgumentParser(prog="python -m corpus", description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--bytes", type=size, default=10e6, help="e.g. 500M")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--formats", type=names, default=FORMATS, help="e.g. vscode,cli")
    options = parser.parse_args()
    start = time.monotonic()
    truth = generate(
        options.out, options.sessions, options.bytes, options.seed, options.jobs, options.formats
    )
    for name, row in truth["formats"].items():
        usage = 100 * row["st"]["usage_bytes"] / row["bytes"]
        print(
            f"{name:9} sessions {row['sessions']:5} files {row['files']:6}"
            f" {row['bytes'] / 1e6:9.1f} MB  usage lines {usage:5.1f} % of bytes"
            f"  calls {row['tot']['calls']:8}  ${row['tot']['usd']:.2f}"
        )
    print(f"total {truth['bytes'] / 1e6:.1f} MB in {time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    main()
