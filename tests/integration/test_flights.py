"""A statement is one flight, and a transaction of n statements n + 1: counted on the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from broker import Broker, StatementError
from broker.local.relay import Relay
from tests.conftest import Database

Count = Callable[[Callable[[], object]], int]


@pytest.fixture
def db(relay: Relay, database: Database) -> Iterator[Broker]:
    with Broker(database.settings(port=relay.port)) as broker:
        broker.run("create table t (k int, v text)")  # connects, and learns the role's bound
        yield broker


@pytest.fixture
def flights(relay: Relay) -> Count:
    def count(do: Callable[[], object]) -> int:
        before = relay.flights
        do()
        return relay.flights - before

    return count


def test_run_is_one_flight_with_its_deadline(db: Broker, flights: Count) -> None:
    assert flights(lambda: db.run("select 1")) == 1
    assert flights(lambda: db.run("select :a::int, :b::text", a=1, b="x")) == 1
    assert flights(lambda: db.run("insert into t values (:k, :v)", k=1, v="x")) == 1
    assert flights(lambda: db.run("vacuum t")) == 1


def test_a_refused_statement_is_one_flight(db: Broker, flights: Count) -> None:
    def refused() -> None:
        with pytest.raises(StatementError):
            db.run("select 1/:n", n=0)

    assert flights(refused) == 1


@pytest.mark.parametrize("statements", [1, 2, 5])
def test_a_transaction_of_n_statements_is_n_plus_1(
    statements: int, db: Broker, flights: Count
) -> None:
    def transaction() -> None:
        with db.transaction(isolation="serializable") as tx:
            for k in range(statements):
                tx.run("insert into t values (:k, 'v')", k=k)

    assert flights(transaction) == statements + 1


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_a_batch_is_one_flight_in_its_transaction(rows: int, db: Broker, flights: Count) -> None:
    def transaction() -> None:
        with db.transaction() as tx:
            tx.run_many("insert into t values (:k, 'v')", [{"k": k} for k in range(rows)])

    assert flights(transaction) == 2


def test_a_rollback_is_one_flight_and_nothing_done_is_none(db: Broker, flights: Count) -> None:
    def rolled_back() -> None:
        with pytest.raises(KeyError), db.transaction() as tx:
            tx.run("select 1")
            raise KeyError

    def nothing() -> None:
        with db.transaction():
            pass

    assert flights(rolled_back) == 2
    assert flights(nothing) == 0


def test_looking_at_a_session_that_was_idle_costs_no_flight(
    relay: Relay, database: Database, flights: Count
) -> None:
    with Broker(database.settings(port=relay.port, fresh_s=0.0)) as db:
        db.run("select 1")
        assert flights(lambda: db.run("select 2")) == 1


def test_a_lent_session_is_single_flight_too(db: Broker, flights: Count) -> None:
    with db.session() as session:
        assert flights(lambda: session.run("select :n::int", n=1)) == 1
        assert flights(lambda: session.run("select 1; select 2")) == 1


def test_the_count_sees_what_a_plain_driver_does(
    relay: Relay, database: Database, flights: Count
) -> None:
    """Three flights for a statement with parameters: so the relay does count."""
    plain = database.connect(port=relay.port)
    assert flights(lambda: plain.run("select :n::int", n=1)) == 3
    plain.close()
