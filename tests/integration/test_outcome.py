"""A COMMIT whose answer is lost is looked up on the server: success, safe to retry, or unknown."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from broker import (
    Broker,
    ConnectionLost,
    DeadlineExceeded,
    OutcomeUnknown,
    OutcomeUnknownAtDeadline,
)
from broker.local.pgbouncer import PgBouncer
from broker.local.postgres import Postgres
from broker.local.relay import Relay
from broker.local.relayed import Way
from broker.settings import Flavour
from tests.conftest import Database
from tests.wait import wait_until


@pytest.fixture
def db(relay: Relay, database: Database) -> Iterator[Broker]:
    flavour = Flavour.PGBOUNCER
    with Broker(database.settings(port=relay.port, flavour=flavour, timeout_s=20)) as made:
        made.run("create table t (k int)")
        yield made


def found(database: Database) -> int:
    return int(database.server.admin("select count(*) from t", database=database.name)[0][0])


def backends_in_transaction(database: Database) -> int:
    sql = "select count(*) from pg_stat_activity where usename = :role and xact_start is not null"
    return int(database.server.admin(sql, role=database.user)[0][0])


def cut(
    relay: Relay, way: Way, when: Callable[[], object], *, for_good: bool = False
) -> threading.Thread:
    """Hold what goes this way from now on, and cut the connection once `when` has come; with
    `for_good`, nobody gets through afterwards.
    """
    [relayed] = relay.connections
    relayed.pause(way)

    def wait_and_cut() -> None:
        wait_until(when, "the moment to cut the connection")
        if for_good:
            relay.stop()
        else:
            relayed.reset()

    thread = threading.Thread(target=wait_and_cut)
    thread.start()
    return thread


def test_a_commit_that_happened_is_a_success(db: Broker, relay: Relay, database: Database) -> None:
    """The server committed; the answer never came."""
    with db.transaction() as tx:
        tx.run("insert into t values (1)")
        thread = cut(relay, Way.TO_CLIENT, lambda: found(database) == 1)
    thread.join()
    assert found(database) == 1
    assert db.stats().commits_looked_up == 1
    assert db.stats().outcomes_unknown == 0


def test_a_commit_that_never_arrived_is_safe_to_retry_and_retry_does(
    db: Broker, relay: Relay, database: Database
) -> None:
    """The server saw the session end before COMMIT, and rolled back."""
    threads: list[threading.Thread] = []

    def once(tx):
        tx.run("select 1")
        tx.run("insert into t values (1)")
        if not threads:
            [relayed] = relay.connections
            threads.append(cut(relay, Way.TO_SERVER, lambda: relayed.held(Way.TO_SERVER) > 0))

    db.retry(once)
    threads[0].join()
    assert found(database) == 1
    assert (db.stats().commits_looked_up, db.stats().transaction_retries) == (1, 1)
    threads.clear()
    with pytest.raises(ConnectionLost, match="kept nothing"), db.transaction() as tx:
        once(tx)
    threads[0].join()
    assert found(database) == 1


def test_a_transaction_that_only_read_is_unknown_without_an_id(db: Broker, relay: Relay) -> None:
    """A function that it called may have written: nobody guesses."""
    with pytest.raises(OutcomeUnknown) as caught, db.transaction() as tx:
        tx.run("select count(*) from t")
        [relayed] = relay.connections
        cut(relay, Way.TO_SERVER, lambda: relayed.held(Way.TO_SERVER) > 0)
    assert caught.value.transaction_id is None
    with pytest.raises(ConnectionLost), db.transaction(read_only=True) as tx:
        tx.run("select count(*) from t")
        [relayed] = relay.connections
        cut(relay, Way.TO_SERVER, lambda: relayed.held(Way.TO_SERVER) > 0)


SLOW_COMMIT = (
    "create table slow (k int)",
    """create function linger() returns trigger language plpgsql as
       $$ begin perform pg_sleep(60); return null; end $$""",
    """create constraint trigger later after insert on slow deferrable initially deferred
       for each row execute function linger()""",
)


@pytest.fixture
def patient(relay: Relay, database: Database) -> Iterator[Broker]:
    """Open a broker whose deadline no server knows, on a table of which a COMMIT takes a minute."""
    owner = database.connect()
    for sql in SLOW_COMMIT:
        owner.run(sql)
    owner.close()
    flavour = Flavour.RDS_PROXY  # nothing rides
    with Broker(database.settings(port=relay.port, flavour=flavour, timeout_s=8)) as made:
        made.run("create table t (k int)")
        yield made
    database.kill_backends()


def committing(database: Database) -> bool:
    sql = """select count(*) from pg_stat_activity
             where usename = :role and query like 'commit%' and wait_event = 'PgSleep'"""
    return bool(database.server.admin(sql, role=database.user)[0][0])


@pytest.mark.timeout(120)
def test_a_commit_that_goes_on_until_the_deadline_is_unknown_and_late(
    patient: Broker, relay: Relay, database: Database
) -> None:
    """The server says "in progress": it has not noticed that its client is gone."""
    with pytest.raises(OutcomeUnknownAtDeadline) as caught, patient.transaction() as tx:
        tx.run("insert into slow values (1)")
        thread = cut(relay, Way.TO_CLIENT, lambda: committing(database))
    thread.join()
    error = caught.value
    assert (error.phase, round(error.budget_s or 0, 1)) == ("lookup", 8.0)
    assert "lookup" not in str(error.__cause__)
    assert type(error.__cause__) is OutcomeUnknown
    assert str(error.transaction_id).isdigit()
    assert "in progress" in error.__notes__[0]


@pytest.mark.timeout(120)
def test_a_server_that_nobody_reaches_until_the_deadline_leaves_it_unknown_and_late(
    patient: Broker, relay: Relay, database: Database
) -> None:
    with pytest.raises(OutcomeUnknownAtDeadline) as caught, patient.transaction() as tx:
        tx.run("insert into t values (1)")
        thread = cut(relay, Way.TO_CLIENT, lambda: found(database) == 1, for_good=True)
    thread.join()
    assert (caught.value.phase, found(database)) == ("lookup", 1)
    assert isinstance(caught.value, DeadlineExceeded)
    assert "unreachable" in caught.value.__notes__[0]


@pytest.mark.timeout(120)
def test_a_commit_that_is_not_answered_until_the_deadline_says_so(
    patient: Broker, relay: Relay
) -> None:
    with pytest.raises(OutcomeUnknownAtDeadline) as caught, patient.transaction() as tx:
        tx.run("insert into slow values (1)")
    assert caught.value.phase == "statement"
    assert str(caught.value.transaction_id).isdigit()


def test_another_server_is_not_asked_for_it(database: Database) -> None:
    """Its transaction of that id is another one: the outcome is unknown, and has its id."""

    def config(server: Postgres) -> dict[str, dict[str, str]]:
        return {"databases": {database.name: server.conninfo(database.name)}}

    users = {database.user: database.password}
    with Postgres() as other, PgBouncer(config(database.server), users) as pooler:
        other.create_role(database.user, database.password)
        other.create_database(database.name, owner=database.user)
        with (
            Relay(pooler.port) as relay,
            Broker(
                database.settings(port=relay.port, flavour=Flavour.PGBOUNCER, timeout_s=20)
            ) as db,
        ):
            db.run("create table t (k int)")

            def failed_over() -> bool:
                if not found(database):
                    return False
                pooler.reload(config(other))
                return True

            with pytest.raises(OutcomeUnknown) as caught, db.transaction() as tx:
                tx.run("insert into t values (1)")
                thread = cut(relay, Way.TO_CLIENT, failed_over)
            thread.join()
    assert str(caught.value.transaction_id).isdigit()
    assert "elsewhere" in caught.value.__notes__[0]
    assert found(database) == 1


def test_a_first_statement_on_a_session_that_died_goes_to_another(
    db: Broker, database: Database, relay: Relay
) -> None:
    """Through a pooler the client's session is cut; direct, the server ended it."""
    [relayed] = relay.connections
    relayed.reset()
    with db.transaction() as tx:
        tx.run("insert into t values (1)")
    assert found(database) == 1
    assert db.stats().transaction_retries == 0
