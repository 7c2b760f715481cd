"""Transactions that stay open, and who waits for them: provoked for real, with near misses."""

from __future__ import annotations

import time

from broker.local.postgres import Postgres
from tests.integration.observe.conftest import Crowd, findings, kinds
from tests.wait import wait_until

WAITERS = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"


def test_one_session_idle_in_transaction(server: Postgres, crowd: Crowd) -> None:
    crowd.open(application="orders", sql="begin; select 'the last thing it did'")
    time.sleep(0.4)

    found = findings(server, idle_in_transaction_s=0.3)

    assert kinds(found) == ["idle_in_transaction"]
    assert any("orders" in e and "the last thing it did" in e for e in found[0].evidence)
    assert "idle_in_transaction_session_timeout is 0" in found[0].evidence[-1]
    server.admin(found[0].apply[-1])
    wait_until(lambda: findings(server, idle_in_transaction_s=0.3) == [], "it to be ended")


def test_one_that_pauses_between_two_statements_is_no_finding(
    server: Postgres, crowd: Crowd
) -> None:
    crowd.open(sql="begin")
    assert findings(server) == []


def test_many_that_idle_in_transaction_on_a_full_server_come_first(
    server: Postgres, crowd: Crowd
) -> None:
    crowd.open(34, sql="begin")
    wait_until(
        lambda: kinds(findings(server)) == ["idle_in_transaction", "nearly_full"],
        "them to idle for a second",
    )


def test_a_statement_that_sets_a_password_is_not_shown(server: Postgres, crowd: Crowd) -> None:
    crowd.open(sql="begin; select 'alter role x password hunter2'")
    time.sleep(0.2)
    [found] = findings(server, idle_in_transaction_s=0.1)
    assert "hunter2" not in str(found.told())


def test_a_long_transaction(server: Postgres, crowd: Crowd) -> None:
    [connection] = crowd.open(application="report")
    crowd.start(connection, "select pg_sleep(30)")
    time.sleep(0.5)

    found = findings(server, long_transaction_s=0.3)

    assert kinds(found) == ["long_transaction"]
    assert "report" in found[0].evidence[0]
    assert findings(server) == [], "half a second is not long"


def test_a_chain_of_waiters_names_its_head(server: Postgres, crowd: Crowd) -> None:
    server.admin("create table if not exists stock (sku int primary key, n int)")
    server.admin("grant all on stock to app")
    server.admin("insert into stock values (1, 1) on conflict do nothing")
    crowd.open(application="head", sql="begin; update stock set n = n where sku = 1")
    for name in ("second", "third"):
        [connection] = crowd.open(application=name)
        crowd.start(connection, "update stock set n = n where sku = 1")
    wait_until(lambda: server.admin(WAITERS)[0][0] == 2, "two to wait")
    assert findings(server) == [], "nobody has waited for long"
    time.sleep(0.4)

    found = findings(server, blocked_s=0.3)

    assert kinds(found) == ["blocked"]
    assert found[0].sentence.startswith("Pid ")
    assert "is waited for by 2 sessions" in found[0].sentence
    assert "head from 127.0.0.1" in found[0].sentence
    server.admin(found[0].apply[0])
    wait_until(lambda: server.admin(WAITERS)[0][0] == 0, "the others to go on")


def test_a_prepared_transaction_that_was_left_behind(server: Postgres, crowd: Crowd) -> None:
    crowd.open(sql="begin; select pg_advisory_xact_lock(1); prepare transaction 'it''s lost'")
    try:
        assert findings(server) == [], "a transaction manager needs some seconds"
        time.sleep(0.3)

        found = findings(server, prepared_s=0.2)
        assert kinds(found) == ["prepared_transaction"]

        [waiter] = crowd.open(application="waiter")
        crowd.start(waiter, "select pg_advisory_xact_lock(1)")
        wait_until(lambda: server.admin(WAITERS)[0][0] == 1, "one to wait for it")
        time.sleep(0.2)
        [blocked] = findings(server, blocked_s=0.1)
        assert blocked.kind.value == "blocked"
        assert blocked.sentence.startswith("A prepared transaction, is waited for by 1 session")
        assert blocked.apply == found[0].apply
    finally:
        server.admin("rollback prepared 'it''s lost'")
    assert "it''s lost" in found[0].apply[0]
