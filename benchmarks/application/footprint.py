"""What an environment costs: its cold start, its memory, and the server sessions it keeps."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import median

from benchmarks.application.servers import end_all, sessions
from benchmarks.application.variants import (
    BROKER,
    HANDLERS,
    PRELOAD,
    ROOT,
    VARIANTS,
    Variant,
    Work,
    event,
)
from benchmarks.figures import Figure, Section, ratio
from benchmarks.rounds import interleaved
from benchmarks.stack import POOL, Stack
from broker.local.fleet import Fleet, Limits

ENVIRONMENTS = 30  # more than the pool has sessions
INIT_TIMEOUT_S = 300.0  # so many start at once, on whatever machine this is
WARM = 20  # invocations before an environment's memory is read


def measure(stack: Stack, rounds: int, advance: Callable[[], object]) -> Section:
    """Compare the clients: interpreters started anew, and then a small fleet of each."""
    with tempfile.TemporaryDirectory(prefix="broker-bench-") as compiled:
        cold_ms, memory_mb = _cold(stack, rounds, compiled, advance)
    section = Section(
        "application",
        "What an environment costs",
        ("client", "cold start", f"{BROKER.name} ÷ it", "memory", f"sessions of {ENVIRONMENTS}"),
    )
    with Fleet(preload=PRELOAD, limits=Limits(init_timeout_s=INIT_TIMEOUT_S)) as fleet:
        for each in VARIANTS:
            kept = _sessions_of(stack, fleet, each)
            advance()
            memory = memory_mb.get(each)
            section.add(
                each.name,
                Figure(median(cold_ms[each]), "ms", 0),
                None if each is BROKER else ratio(cold_ms[BROKER], cold_ms[each]),
                None if memory is None else Figure(memory, "MB"),
                Figure(kept, "", 0),
            )
    section.notes = [
        "Cold: from the interpreter's start to the answer of a first payment, bytecode compiled "
        f"before, {rounds} rounds. Memory: the most that the process ever had resident, after "
        f"{WARM} more. Sessions: what the server counts once {ENVIRONMENTS} environments have "
        f"served at once and are frozen; the pool has {POOL}.",
    ]
    return section


def _cold(
    stack: Stack, rounds: int, compiled: str, advance: Callable[[], object]
) -> tuple[dict[Variant, list[float]], dict[Variant, float]]:
    rng, memory_mb = Random(1), {}
    with Fleet(start="exec") as fleet:
        names = {}
        for each in VARIANTS:
            function = each.function(Work.WRITE, each.port(stack), PYTHONPYCACHEPREFIX=compiled)
            _compile(each, {**os.environ, **function.environment})
            fleet.deploy(function)
            names[each] = function.name

        def start(each: Variant) -> float:
            fleet.shutdown_idle(names[each])
            began = fleet.invoke(names[each], event(rng))
            began.result()
            return began.queued_ms + began.duration_ms

        taken = interleaved({each.name: each for each in VARIANTS}, rounds, start, advance)
        for each, name in names.items():
            for _ in range(WARM):
                fleet.invoke(name, event(rng)).result()
            [environment] = fleet.environments(name)
            most = _most_memory_mb(environment.pid)
            if most is not None:
                memory_mb[each] = most
    return {each: taken[each.name] for each in VARIANTS}, memory_mb


def _compile(each: Variant, environ: dict[str, str]) -> None:
    """Have the bytecode of all that its environment imports written."""
    imports = f"import awslambdaric.bootstrap, {HANDLERS}.{each.module}"
    environ.setdefault("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9")
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", imports]
    subprocess.run(command, cwd=ROOT, env=environ, check=True, capture_output=True)


def _most_memory_mb(pid: int | None) -> float | None:
    """Return the most that the process had resident; None where nothing tells (macOS)."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    return int(found[1]) / 1024 if found else None


def _sessions_of(stack: Stack, fleet: Fleet, each: Variant) -> int:
    """Return the server sessions that are left when a fleet has served and is frozen."""
    end_all(stack)
    function = each.function(Work.WRITE, each.port(stack))
    fleet.deploy(function)
    rng = Random(1)
    for one in [fleet.submit(function.name, event(rng)) for _ in range(ENVIRONMENTS)]:
        one.result().result()
    alive = len(fleet.environments(function.name))
    if alive != ENVIRONMENTS:
        raise AssertionError(f"{each.name}: {alive} environments served, not {ENVIRONMENTS}")
    kept = sessions(stack)
    fleet.shutdown_idle(function.name)
    return kept
