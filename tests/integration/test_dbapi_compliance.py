"""The public compliance suite of PEP 249 (PyPI's dbapi-compliance) passes, direct and pooled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dbapi20
import pytest

from broker import Broker, dbapi
from broker.local.pgbouncer import PgBouncer
from tests.conftest import Database

# PEP 249 leaves these to the driver, and the suite has only a body that says so.
LEFT_OPEN = {
    "test_nextset": "a statement has one result here; PEP 249 makes nextset() optional",
    "test_setoutputsize": "values come whole; what the suite asks of it is in the _basic test",
}
TESTS = sorted(name for name in vars(dbapi20.DatabaseAPI20Test) if name.startswith("test_"))


@pytest.fixture(params=["direct", "pgbouncer"])
def db(
    request: pytest.FixtureRequest,
    database: Database,
    pgbouncer: Callable[..., PgBouncer],
    broker_to: Callable[..., Broker],
) -> Iterator[Broker]:
    made = broker_to(pgbouncer() if request.param == "pgbouncer" else None, max_sessions=3)
    made.run("create procedure lower_case(inout t text) language sql as 'select lower(t)'")
    yield made


@pytest.mark.parametrize("name", [name for name in TESTS if name not in LEFT_OPEN])
def test_the_compliance_suite_passes(name: str, db: Broker) -> None:
    class Case(dbapi20.DatabaseAPI20Test):  # type: ignore[misc]
        driver: Any = dbapi
        connect_args = (db,)
        lower_func = "lower_case"  # callproc is CALL, as in pg8000: a procedure's

    case = Case(name)
    case.setUp()
    try:
        getattr(case, name)()
    finally:
        case.tearDown()
