"""The demo's three acts, each a load on the real stack and what came of it."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import broker.local.demo_functions
from broker.local.fleet import Fleet, Function, Invocation
from broker.local.gauge import Gauge, Sample
from broker.local.stack import Stack
from broker.local.storm import LEDGER, run_storm

Say = Callable[[str, float], None]
"""Told what is happening, and which share of the act is done, from 0 to 1."""

PLAIN_ENVIRONMENTS = 300
PLAIN_ROUNDS = 2
STORM_REQUESTS_EACH = 10
ENVIRONMENTS = 120
ROUNDS = 8  # invocations of each environment in a burst
CLIENT_IDLE_TIMEOUT_S = 3  # the pooler's, shortened: it ends sessions of frozen environments
BROKER_IDLE_TIMEOUT_S = 2  # the broker's, below it as it should be
FREEZE_S = 4.0  # longer than both
OTHER_ROWS = "the rows in the table are not the rows that were acknowledged"
CODE = Path(broker.local.demo_functions.__path__[0])

_SQLSTATE = re.compile(r"'C': '(\w{5})'|SQLSTATE (\w{5})")


@dataclass(frozen=True)
class Act:
    """What came of one act."""

    name: str
    clients: int
    requests: int
    failures: dict[str, int]
    """By SQLSTATE, or by the error's type where there was none."""
    latencies_ms: list[float] = field(repr=False)
    samples: list[Sample] = field(repr=False)
    peak_sessions: int
    session_limit: int
    """How many server sessions its clients may have together at the most."""
    acknowledged: int
    found: int
    broken: list[str]
    """The promises that were broken, in words; empty when all were kept."""

    @property
    def p50_ms(self) -> float:
        """Half of the answers came within this."""
        return _percentile(self.latencies_ms, 50)

    @property
    def p99_ms(self) -> float:
        """All but one in a hundred answers came within this."""
        return _percentile(self.latencies_ms, 99)

    def summary(self) -> dict[str, str]:
        """Return what the tables show of it, by their rows' heads."""
        failures = (f"{count:,} × {state}" for state, count in self.failures.items())
        return {
            "clients": f"{self.clients:,}",
            "requests": f"{self.requests:,}",
            "failures": ", ".join(failures) or "none",
            "p50 / p99 ms": f"{self.p50_ms:,.0f} / {self.p99_ms:,.0f}",
            "peak sessions": f"{self.peak_sessions} of {self.session_limit}",
            "rows acknowledged": f"{self.acknowledged:,}",
            "rows found": f"{self.found:,}",
        }

    def numbers(self) -> dict[str, Any]:
        """Return what --json prints of it."""
        return {
            "name": self.name,
            "clients": self.clients,
            "requests": self.requests,
            "failures": self.failures,
            "p50_ms": round(self.p50_ms, 1),
            "p99_ms": round(self.p99_ms, 1),
            "peak_sessions": self.peak_sessions,
            "acknowledged": self.acknowledged,
            "found": self.found,
        }


def _percentile(values: list[float], percent: int) -> float:
    return quantiles(values, n=100)[percent - 1] if len(values) > 1 else sum(values)


@contextmanager
def _watched(stack: Stack) -> Iterator[Gauge]:
    """Begin with an empty ledger and no session of the role, and watch the sessions."""
    database, role = stack.pair.database, stack.pair.user
    stack.postgres.admin(LEDGER, database=database)
    stack.postgres.admin("truncate ledger", database=database)
    stack.postgres.admin(f"alter table ledger owner to {role}", database=database)
    sql = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = :role"
    stack.postgres.admin(sql, role=role)
    with Gauge(stack.postgres) as gauge:
        yield gauge


def without_a_broker(stack: Stack, say: Say) -> Act:
    """300 environments with a plain pg8000 connection each, against the plan's max_connections."""
    function = Function(
        name="plain",
        handler="plain.handler",
        code=CODE,
        timeout_s=30,
        environment={
            "PGHOST": stack.postgres.host,
            "PGPORT": str(stack.postgres.port),
            "PGUSER": stack.pair.user,
            "PGPASSWORD": stack.password,
            "PGDATABASE": stack.pair.database,
        },
    )
    done: list[Invocation] = []
    total = PLAIN_ENVIRONMENTS * PLAIN_ROUNDS
    with _watched(stack) as gauge, Fleet() as fleet:
        fleet.deploy(function)
        for _ in range(PLAIN_ROUNDS):
            for invocation in _burst(fleet, "plain", PLAIN_ENVIRONMENTS):
                done.append(invocation)
                say(f"{PLAIN_ENVIRONMENTS} environments, a connection each", len(done) / total)
        found = _ledger(stack)
    return _act(
        "Without a broker",
        PLAIN_ENVIRONMENTS,
        done,
        gauge,
        found,
        limit=stack.plan.whole("max_connections"),
        must_answer=False,
    )


def with_the_broker(stack: Stack, say: Say) -> Act:
    """As many clients as the plan lets in, through its pool and its reserve."""
    clients, limit = stack.plan.whole("max_client_conn"), stack.plan.whole("sessions_per_pool")
    total = clients * STORM_REQUESTS_EACH
    say(f"connecting {clients:,} clients", 0.0)
    with _watched(stack) as gauge:
        result = run_storm(
            stack.settings(),
            clients=clients,
            requests_each=STORM_REQUESTS_EACH,
            progress=lambda answered: say(
                f"{clients:,} clients, {STORM_REQUESTS_EACH} writes each", answered / total
            ),
        )
        ledger = _ledger(stack)
    found = ledger.total()
    broken = _broken(dict(result.failures), gauge.peak, limit, result.answered, found)
    if Counter(result.tokens) != ledger and not broken:
        broken.append(OTHER_ROWS)
    if result.foreign:
        broken.append(f"{result.foreign} answers were another client's row")
    return Act(
        name="With the broker",
        clients=clients,
        requests=total,
        failures=dict(result.failures),
        latencies_ms=result.latencies_ms,
        samples=gauge.samples,
        peak_sessions=gauge.peak,
        session_limit=limit,
        acknowledged=result.answered,
        found=found,
        broken=broken,
    )


def as_lambda_runs_it(stack: Stack, say: Say) -> Act:
    """120 environments in bursts, frozen past the idle limits, and a deploy that doubles them."""
    variables = stack.variables() | {"BROKER_IDLE_TIMEOUT_S": str(BROKER_IDLE_TIMEOUT_S)}
    done: list[Invocation] = []
    burst = ENVIRONMENTS * ROUNDS
    total = 3 * burst
    stack.pgbouncer.admin(f"set client_idle_timeout = {CLIENT_IDLE_TIMEOUT_S}")

    def run(what: str, fleet: Fleet) -> None:
        for _ in range(ROUNDS):
            for invocation in _burst(fleet, "orders", ENVIRONMENTS):
                done.append(invocation)
                say(what, len(done) / total)

    def version(number: str) -> Function:
        return Function(
            name="orders",
            handler="orders.handler",
            code=CODE,
            timeout_s=30,
            environment=variables,
            version=number,
        )

    with _watched(stack) as gauge, Fleet() as fleet:
        fleet.deploy(version("1"))
        run(f"a burst onto {ENVIRONMENTS} environments", fleet)
        say(f"frozen for {FREEZE_S:g} s, longer than every idle limit", len(done) / total)
        time.sleep(FREEZE_S)
        run("thawed: a second burst", fleet)
        fleet.deploy(version("2"))
        run("a rolling deploy: two generations at once", fleet)
        generations = len(fleet.environments("orders"))
        fleet.retire_old("orders")
        replaced = sum("SessionsReplaced" in line for line in fleet.logs("orders"))
        found = _ledger(stack)
    planned = stack.plan.whole("client_idle_timeout")
    stack.pgbouncer.admin(f"set client_idle_timeout = {planned}")
    limit = stack.plan.whole("sessions_per_pool")
    act = _act("As Lambda runs it", generations, done, gauge, found, limit=limit)
    if not replaced:
        act.broken.append("no session was replaced after the freeze: it froze nothing")
    return act


def _burst(fleet: Fleet, name: str, count: int) -> Iterator[Invocation]:
    futures = [
        fleet.submit(name, {"token": f"{name}-{time.monotonic_ns()}-{n}"}) for n in range(count)
    ]
    for future in futures:
        yield future.result()


def _ledger(stack: Stack) -> Counter[str]:
    rows = stack.postgres.admin("select token from ledger", database=stack.pair.database)
    return Counter(str(row[0]) for row in rows)


def _act(
    name: str,
    clients: int,
    done: Iterable[Invocation],
    gauge: Gauge,
    found: Counter[str],
    *,
    limit: int,
    must_answer: bool = True,
) -> Act:
    invocations = list(done)
    failures = Counter(_failure(one) for one in invocations if not one.ok)
    acknowledged = Counter(str(one.payload["token"]) for one in invocations if one.ok)
    broken = _broken(
        dict(failures) if must_answer else {},
        gauge.peak,
        limit,
        acknowledged.total(),
        found.total(),
    )
    if acknowledged != found and not broken:
        broken.append(OTHER_ROWS)
    return Act(
        name=name,
        clients=clients,
        requests=len(invocations),
        failures=dict(failures),
        latencies_ms=[one.queued_ms + one.duration_ms for one in invocations if one.ok],
        samples=gauge.samples,
        peak_sessions=gauge.peak,
        session_limit=limit,
        acknowledged=acknowledged.total(),
        found=found.total(),
        broken=broken,
    )


def _failure(invocation: Invocation) -> str:
    if invocation.error is None:
        return invocation.status.value
    match = _SQLSTATE.search(invocation.error.message)
    return next(filter(None, match.groups())) if match else invocation.error.error_type


def _broken(
    failures: dict[str, int], peak: int, limit: int, acknowledged: int, found: int
) -> list[str]:
    broken = []
    if failures:
        broken.append(f"requests failed: {failures}")
    if peak > limit:
        broken.append(f"{peak} server sessions, where {limit} were the limit")
    if acknowledged != found:
        broken.append(f"{acknowledged} rows were acknowledged, and {found} are in the table")
    return broken


ACTS: tuple[Callable[[Stack, Say], Act], ...] = (
    without_a_broker,
    with_the_broker,
    as_lambda_runs_it,
)
