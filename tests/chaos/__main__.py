"""`python -m tests.chaos`: the long run, and its report."""

from __future__ import annotations

import argparse
import secrets
import sys
import time

from rich.console import Console

from tests.chaos import campaign, report
from tests.chaos.campaign import FAULTS, Result
from tests.chaos.world import DIRECT, POOLED, World

CLIENTS = {POOLED: 10, DIRECT: 5}
INVOCATIONS = 10_000
SHOWN = 5  # findings of one round


def main() -> int:
    """Run a campaign; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="draw the same again")
    parser.add_argument("--invocations", type=int, default=INVOCATIONS)
    parser.add_argument("--only", default="", help="only faults whose name has this in it")
    parser.add_argument("--rounds", default="", help="only these rounds' numbers, as 3,7")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    faults = [fault for fault in FAULTS if options.only in fault.name]
    if not faults:
        parser.error(f"no fault is called {options.only!r}: {', '.join(f.name for f in FAULTS)}")
    rounds = campaign.plan(seed, options.invocations, faults)
    if options.rounds:
        wanted = {0, *(int(number) for number in options.rounds.split(","))}
        rounds = [each for each in rounds if each.number in wanted]
    console.print(f"seed {seed}: {sum(each.invocations for each in rounds):,} invocations")
    started_s = time.monotonic()

    def say(result: Result) -> None:
        this = result.round
        injected = sum(result.injected.values())
        at_s = time.monotonic() - started_s
        console.print(f"{at_s:5.0f} s  {this.number:3}  {this.name}: {injected} injected")
        for trouble in sorted(set(result.troubles))[:2]:
            console.print(f"         strike failed: {trouble[:120]}", style="dim")
        for finding in result.findings[:SHOWN]:
            console.print(f"         {finding}"[:220], style="red", markup=False)
        if len(result.findings) > SHOWN:
            console.print(f"         … and {len(result.findings) - SHOWN} more", style="red")

    with World(CLIENTS) as world:
        done = campaign.run(world, seed, rounds, say)
    console.print(report.render(done.results, seed))
    broken = sum(len(result.findings) for result in done.results)
    again = f"python -m tests.chaos --seed {seed} --invocations {options.invocations}"
    console.print(f"{broken} breaches; {again}" if broken else "Every promise was kept.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
