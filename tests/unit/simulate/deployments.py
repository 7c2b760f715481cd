"""Small deployments for the simulation, as the plan reads them."""

from __future__ import annotations

from typing import Any

from broker.plan import Deployment
from broker.plan.deployment import (
    Application,
    Database,
    Engine,
    Flavour,
    Kind,
    Middle,
)

KEPT = 8  # sessions for superuser, monitor, migrations and people


def function(**changes: Any) -> Application:
    """Return a function of 100 environments, asked 200 times a second for 20 ms."""
    given = {"name": "orders", "kind": Kind.FUNCTION, "environments": 100, "rate_per_s": 200.0}
    return Application(**{**given, "mean_s": 0.02, **changes})


def deployment(*applications: Application, max_connections: int = 100, **middle: Any) -> Deployment:
    """Return one task with a pool of 25 and no reserve, unless `middle` says otherwise."""
    given = {"flavour": Flavour.PGBOUNCER, "tasks": 1, "overlap": 1.0, "pool_size": 25}
    return Deployment(
        Database(Engine.POSTGRESQL, max_connections, "as given"),
        Middle(**{**given, "reserve_pool_size": 0, **middle}),
        applications or (function(),),
        account_concurrency=200_000,
    )
