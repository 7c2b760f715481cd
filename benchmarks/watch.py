"""What watching costs: the monitor's look at 5,000 sessions, the diagnosis, and the exporter.

The sessions are simulated in the statement itself, in the place of pg_stat_activity: a server on
this machine cannot have so many. They go over the wire, and are decoded and judged, like any
others. The exporter is the image's own, beside a real PgBouncer whose pool is full.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from unittest.mock import patch

from benchmarks.figures import Figure, Ratio, Section
from benchmarks.stack import BOUNDED, DATABASE, PASSWORD, POOL, Stack, Target
from broker import Broker
from broker.cli.dsn import settings
from broker.local.pgbouncer import PgBouncer
from broker.local.postgres import Postgres
from broker.observe import look
from broker.observe.diagnosis import diagnose
from lambdas.monitor import figures

ROWS = 5_000
GOAL_MS = 50.0  # look, diagnosis and metrics together: of a function that runs once a minute
RSS_GOAL_MB = 30.0  # half of the container's bound
CORE_GOAL_PERCENT = 1.0
LOOKS_EVERY_S = 5.0  # as it is deployed
FASTER = 25  # here, so that seconds have enough looks to count
SECONDS = 5.0
EXPORTER = Path(__file__).parents[1] / "infra" / "pgbouncer_image" / "pgbouncer-exporter"
TICKS = os.sysconf("SC_CLK_TCK")
SIMULATED = f"""from (
    select (a.pid + n)::int pid, backend_type, 'app'::name usename, 'appdb'::name datname,
           'orders:' || n % 2 application_name,
           ('10.0.' || n % 50 || '.' || n % 200)::inet client_addr,
           (array['idle', 'active', 'idle in transaction'])[1 + n % 3] state, backend_start,
           backend_start xact_start, query_start, state_change,
           case when n % 10 = 0 then 'IO' end wait_event_type, repeat('select x from y ', 12) query
    from pg_stat_activity a, generate_series(1, {ROWS}) n where a.pid = pg_backend_pid()) rows"""


def measure(stack: Stack, rounds: int, advance: Callable[[], object]) -> Section:
    """Return what each step costs, and the goals that they have."""
    section = Section("watch", "The watchers", ("", "median", "least", "of the goal"))
    _look(section, stack.postgres, rounds)
    advance()
    if sys.platform == "linux":
        _exporter(section, stack.postgres)
    else:
        section.notes.append("the exporter's cost is read from /proc, which Linux alone has")
    advance()
    return section


def _look(section: Section, server: Postgres, rounds: int) -> None:
    activity = look.ACTIVITY.replace("from pg_stat_activity", SIMULATED)
    with Broker(settings(server.dsn() + "?sslmode=disable")) as db:
        empty = _timed(lambda: look.look(db), rounds)
        with patch.object(look, "ACTIVITY", activity):
            full = _timed(lambda: look.look(db), rounds)
            now = look.look(db)

    def judge() -> list[str]:
        again = replace(now)  # nothing of it is cached
        lines = figures.lines("db", again, None, diagnose(again))
        return [line.text("Benchmark") for line in lines]

    judged = _timed(judge, rounds)
    for name, took in (
        ("look at an empty server", empty),
        (f"look at {ROWS:,} sessions", full),
        ("diagnosis, metrics and EMF of them", judged),
    ):
        section.add(name, Figure(median(took), "ms"), Figure(min(took), "ms"), None)
    whole = median(full) + median(judged)
    section.add(
        "… both together",
        Figure(whole, "ms"),
        Figure(min(full) + min(judged), "ms"),
        Ratio(whole / GOAL_MS, most=1.0),
    )
    section.notes.append(
        f"processor time of the function; goals: {GOAL_MS:g} ms for a look and its diagnosis at "
        f"{ROWS:,} sessions"
    )


def _timed(work: Callable[[], object], rounds: int) -> list[float]:
    """Return the processor time of each: the clock's is others' work, too."""
    took_ms = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        took_ms.append((time.process_time() - started) * 1000)
    return took_ms


def _exporter(section: Section, server: Postgres) -> None:
    with _beside(server) as pid:
        time.sleep(1.0)  # its start is not a look's
        before = _processor_s(pid)
        time.sleep(SECONDS)
        look_s = (_processor_s(pid) - before) / (SECONDS * FASTER / LOOKS_EVERY_S)
        peak_mb = _peak_mb(pid)
    share = 100 * look_s / LOOKS_EVERY_S
    section.add("the exporter: a look's processor time", Figure(look_s * 1000, "ms"), None, None)
    section.add(
        f"… of a core, with one every {LOOKS_EVERY_S:g} s",
        Figure(share, "%", 2),
        None,
        Ratio(share / CORE_GOAL_PERCENT, most=1.0),
    )
    section.add(
        "… its memory at most", Figure(peak_mb, "MB"), None, Ratio(peak_mb / RSS_GOAL_MB, most=1.0)
    )
    section.notes.append(
        f"{CORE_GOAL_PERCENT:g} % of a core and {RSS_GOAL_MB:g} MB for the exporter, beside one "
        f"process with {POOL} sessions at work"
    )


@contextmanager
def _beside(server: Postgres) -> Iterator[int]:
    """Run the exporter beside a PgBouncer whose sessions are all lent; yield its pid."""
    with ExitStack() as running:
        shared = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="broker-bench-")))
        sockets = shared / "1"
        sockets.mkdir()
        for folder in (shared, sockets):
            folder.chmod(0o777)  # PgBouncer runs as another user where we are root
        pooler = running.enter_context(
            PgBouncer(
                {
                    "databases": {DATABASE: server.conninfo(DATABASE)},
                    "pgbouncer": {
                        "unix_socket_dir": str(sockets),
                        "default_pool_size": str(POOL),
                        "logfile": "",
                    },
                },
                {BOUNDED: PASSWORD},
            )
        )
        for _ in range(POOL):
            db = running.enter_context(Broker(Target(pooler.port).settings()))
            running.enter_context(db.transaction()).run("select 1")
        owner = next(sockets.glob(".s.PGSQL.*[0-9]")).stat()  # the console lets its own user in
        (sockets / "log").touch()
        child = subprocess.Popen(
            [_interpreter(), "-Es", EXPORTER],
            env={
                "EXPORTER_POOLER": "bench/Broker",
                "EXPORTER_PERIOD_S": str(60.0 / FASTER),
                "PGBOUNCER_SOCKETS": str(shared),
            },
            user=owner.st_uid,
            stdout=subprocess.DEVNULL,
        )
        try:
            yield child.pid
            if child.poll() is not None:
                raise RuntimeError(f"the exporter ended with {child.returncode}")
        finally:
            child.terminate()
            child.wait()


def _interpreter() -> str:
    """Return the system's Python, as the image has it; PgBouncer's user may not reach ours."""
    system = Path("/usr/bin/python3")
    return str(system) if system.exists() else sys.executable


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [each for each in status.splitlines() if each.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024 / 1e6
