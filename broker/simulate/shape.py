"""Shape: the plan's numbers that a simulation runs under; none is configured here."""

from __future__ import annotations

import math
from dataclasses import dataclass

from broker.errors import UsageError
from broker.plan.cpu import ACTIVE_MOST
from broker.plan.deployment import Application, Deployment, Flavour, Pair
from broker.plan.limits import CONSOLES
from broker.plan.plan import draft
from broker.simulate.pool import Limits


@dataclass(frozen=True, slots=True)
class Shape:
    """A deployment as it would run, whether it fits or not.

    `refusals` are the plan's sentences about what does not fit. `queues` is how many pools each
    pair has, `replaced_at_once` how many of them a rollout starts before it stops as many.
    `active_well` is how many active sessions the server serves no slower than one.
    """

    deployment: Deployment
    applications: tuple[Application, ...]
    refusals: tuple[str, ...]
    max_connections: int
    reserved: int
    sessions_at_worst: int
    active_well: int
    limits: Limits
    queues: int
    replaced_at_once: int
    clients_each: int | None
    connection_kept_s: int
    cap: int | None

    @property
    def flavour(self) -> Flavour:
        """What stands between."""
        return self.deployment.middle.flavour

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The pairs that have a pool of their own: behind RDS Proxy, or nothing, there is one."""
        middle = self.deployment.middle
        return middle.pairs if self.flavour is Flavour.PGBOUNCER else middle.pairs[:1]

    def pair(self, application: Application) -> Pair:
        """Return whose pool this application uses."""
        return application.pair if self.flavour is Flavour.PGBOUNCER else self.pairs[0]


def shape(deployment: Deployment) -> Shape:
    """Return the shape; UsageError where nothing would ever happen."""
    busy = tuple(each for each in deployment.applications if each.rate_per_s)
    if not busy:
        raise UsageError(
            f"{deployment.file}: nothing has a rate and a mean, so nothing can be simulated: give "
            'them, for example rate = "50 /s" and mean = "5 ms"'
        )
    made = draft(deployment)
    numbers, middle = made.numbers, deployment.middle

    def number(name: str) -> int:
        return int(numbers[name])

    one = {
        Flavour.DIRECT: lambda: Limits(None),
        Flavour.RDS_PROXY: lambda: Limits(
            number("proxy_sessions"),
            wait_s=number("connection_borrow_timeout"),
            keep_s=number("idle_client_timeout"),
        ),
        Flavour.PGBOUNCER: lambda: Limits(
            number("default_pool_size"),
            number("reserve_pool_size"),
            number("reserve_pool_timeout"),
            number("query_wait_timeout"),
            number("server_idle_timeout"),
        ),
    }
    kept = {
        Flavour.DIRECT: "idle_session_timeout",
        Flavour.RDS_PROXY: "idle_client_timeout",
        Flavour.PGBOUNCER: "client_idle_timeout",
    }
    pooled = middle.flavour is Flavour.PGBOUNCER
    more = math.ceil(middle.tasks * middle.overlap) - middle.tasks
    return Shape(
        deployment=deployment,
        applications=busy,
        refusals=tuple(str(excess) for excess in made.excesses),
        max_connections=number("max_connections"),
        reserved=number("reserved"),
        sessions_at_worst=number("sessions_at_worst"),
        active_well=max(ACTIVE_MOST, number("active_sessions")),
        limits=one[middle.flavour](),
        queues=middle.tasks * middle.processes if pooled else 1,
        replaced_at_once=min(more, middle.tasks) * middle.processes if pooled else 0,
        clients_each=number("max_client_conn") - CONSOLES if pooled else None,
        connection_kept_s=number(kept[middle.flavour]),
        cap=middle.cap if middle.flavour is Flavour.DIRECT else None,
    )
