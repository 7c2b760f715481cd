"""A cold start's import, each in a fresh process, with bytecode compiled."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from statistics import median

from benchmarks.figures import Figure, Section, ratio
from benchmarks.rounds import interleaved

OURS = "broker"
MODULES = (OURS, "pg8000.native", "psycopg", "asyncpg")
GOALS = {"pg8000.native": 1.1}
_TIMED = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def measure(rounds: int, advance: Callable[[], object]) -> Section:
    """Compare the imports' times, without the interpreter's own start."""
    with tempfile.TemporaryDirectory(prefix="broker-bench-") as compiled:
        environ = {
            name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
        }
        environ["PYTHONPYCACHEPREFIX"] = compiled  # bytecode goes there, whatever may be written

        def seconds(module: str) -> float:
            command = [sys.executable, "-c", _TIMED.format(module)]
            done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
            return float(done.stdout)

        for module in MODULES:
            seconds(module)  # compiles
        taken = interleaved({module: module for module in MODULES}, rounds, seconds, advance)
    section = Section(
        "imports",
        "import, cold",
        ("module", "an import", f"import {OURS} ÷ it"),
        notes=[f"Fresh processes, bytecode compiled before, files in the cache; {rounds} rounds."],
    )
    for module, times in taken.items():
        against = None if module == OURS else ratio(taken[OURS], times, GOALS.get(module))
        section.add(f"import {module}", Figure(median(times) * 1e3, "ms"), against)
    return section
