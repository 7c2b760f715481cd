"""The library's core promises on each PostgreSQL from 13 to 17, direct and through PgBouncer.

18 is what every other test here runs on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from broker import Broker, PoolingHazard
from broker.local.pgbouncer import PgBouncer
from broker.local.postgres import Postgres
from broker.local.relay import Relay
from broker.settings import Flavour, GuardMode
from tests.conftest import OLDER, Database, need_postgres_of
from tests.integration import (
    test_codec,
    test_deadline,
    test_flights,
    test_guard,
    test_outcome,
    test_values,
)
from tests.integration import test_read as test_reads

flights = test_flights.flights
db_of = test_deadline.db_of


@pytest.fixture(scope="module", params=OLDER)
def postgres(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """Run one older version after the other."""
    need_postgres_of(request.param)
    with Postgres(version=request.param) as made:
        assert made.admin("show server_version")[0][0].startswith(f"{request.param}.")
        yield made


@pytest.fixture
def db(relay: Relay, database: Database) -> Iterator[Broker]:
    flavour = Flavour.PGBOUNCER
    with Broker(database.settings(port=relay.port, flavour=flavour, timeout_s=20)) as made:
        made.run("create table t (k int, v text)")
        yield made


@pytest.fixture
def reader(db: Broker) -> Broker:
    """Give it what test_read.py has in its table."""
    db.run("insert into t values (1)")
    db.run(test_reads.WRITES)
    return db


test_run = test_flights.test_run_is_one_flight_with_its_deadline
test_transaction = test_flights.test_a_transaction_of_n_statements_is_n_plus_1
test_batch = test_flights.test_a_batch_is_one_flight_in_its_transaction
test_rollback = test_flights.test_a_rollback_is_one_flight_and_nothing_done_is_none
test_committed = test_outcome.test_a_commit_that_happened_is_a_success
test_not_committed = test_outcome.test_a_commit_that_never_arrived_is_safe_to_retry_and_retry_does
test_only_read = test_outcome.test_a_transaction_that_only_read_is_unknown_without_an_id


def test_read(reader: Broker, relay: Relay, database: Database) -> None:
    for sql in ("insert into t values (2)", "select writes()"):
        test_reads.test_what_would_write_is_refused_by_the_server(sql, reader, relay)
    test_reads.test_it_is_one_flight_and_leaves_nothing_open(reader, relay, database)
    test_reads.test_a_lost_answer_is_asked_for_again(reader, relay)


def test_values_are_the_same_through_every_api_and_back(
    database: Database,
    broker_to: Callable[..., Broker],
    pgbouncer: Callable[..., PgBouncer],
) -> None:
    direct, pooled = broker_to(), broker_to(pgbouncer(max_prepared_statements="100"))
    for sql in filter(str.strip, test_codec.SETUP.split(";")):
        direct.run(sql)
    known = {name for (name,) in direct.run("select typname from pg_type")}
    samples = [
        (name, expression)
        for name, expression in test_values.expressions()
        if name.removesuffix("[]").rpartition(".")[2].strip('"') in known
    ]
    assert not test_values.differences(test_values.apis, direct, samples)
    assert not test_values.differences(test_values.lent, pooled, samples)


test_stopped = test_deadline.test_a_statement_in_a_transaction_is_bounded_too
test_canceled = test_deadline.test_a_batch_of_slow_rows_is_stopped_on_the_server_as_a_whole


def test_what_the_guard_refuses_stays_with_a_connection_there_too(
    pgbouncer: Callable[..., PgBouncer], broker_to: Callable[..., Broker]
) -> None:
    pooler = pgbouncer(**test_guard.SHARED)
    careless, guarded = broker_to(pooler, guard=GuardMode.OFF), broker_to(pooler)
    for sql, found in test_guard.LEFT_BEHIND.items():
        with pytest.raises(PoolingHazard):
            guarded.run(sql)
        assert guarded.run(found).scalar() is not True, "nothing was sent"
        careless.run(sql)
        assert guarded.run(found).scalar() is True, "another client finds it"
        careless.run("discard all")
