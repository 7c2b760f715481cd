"""What a look and a diagnosis cost at 5,000 sessions: `python -m benchmarks.observe`.

The rows are simulated in the statement itself, in the place of pg_stat_activity: a server on this
machine cannot have so many. They go over the wire, and are decoded and judged, like any others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from unittest.mock import patch

from broker import Broker
from broker.cli.dsn import settings
from broker.local.postgres import Postgres
from broker.observe import look
from broker.observe.diagnosis import diagnose
from lambdas.monitor import figures

ROWS = 5_000
RUNS = 30
SIMULATED = f"""from (
    select (a.pid + n)::int pid, backend_type, 'app'::name usename, 'appdb'::name datname,
           'orders:' || n % 2 application_name,
           ('10.0.' || n % 50 || '.' || n % 200)::inet client_addr,
           (array['idle', 'active', 'idle in transaction'])[1 + n % 3] state, backend_start,
           backend_start xact_start, query_start, state_change,
           case when n % 10 = 0 then 'IO' end wait_event_type, repeat('select x from y ', 12) query
    from pg_stat_activity a, generate_series(1, {ROWS}) n where a.pid = pg_backend_pid()) rows"""


def measured(work: Callable[[], object]) -> str:
    """Return the median and the least time of some runs."""
    took_ms = []
    for _ in range(RUNS):
        started = time.perf_counter()
        work()
        took_ms.append((time.perf_counter() - started) * 1000)
    return f"{median(took_ms):6.1f} ms (least {min(took_ms):.1f})"


def main() -> None:
    """Print what each step costs."""
    activity = look.ACTIVITY.replace("from pg_stat_activity", SIMULATED)
    with Postgres() as server, Broker(settings(server.dsn() + "?sslmode=disable")) as db:
        print(f"a look at an empty server     {measured(lambda: look.look(db))}")
        with patch.object(look, "ACTIVITY", activity):
            print(f"a look at {ROWS:,} sessions      {measured(lambda: look.look(db))}")
            now = look.look(db)

        def judge() -> list[str]:
            again = replace(now)  # nothing of it is cached
            lines = figures.lines("db", again, None, diagnose(again))
            return [line.text("Benchmark") for line in lines]

        print(f"diagnosis, metrics and EMF    {measured(judge)}")


if __name__ == "__main__":
    main()
