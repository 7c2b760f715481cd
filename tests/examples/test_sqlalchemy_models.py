"""examples/sqlalchemy_models: units of work of SQLAlchemy's ORM, in the real runtime."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker import Broker
from broker.local.invocation import InvocationFailed
from broker.local.relay import Relay
from tests.wait import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
ORDER = {"customer": "Ada", "lines": {"pen": 2, "ink": 1}}


@pytest.fixture
def function(broker_function):
    def deploy(name: str, **environment: str):
        handler = f"sqlalchemy_models.handler.{name}"
        return broker_function(handler, code=EXAMPLES, environment=environment)

    assert deploy("setup")() == ["orders", "lines"]
    return deploy


def test_an_order_comes_back_with_its_lines_its_status_and_its_details(function) -> None:
    number = function("place")(ORDER)
    assert function("pay")({"id": number, "method": "card"}) == "paid"
    assert function("show")({"id": number}) == {
        "customer": "Ada",
        "status": "paid",
        "details": {"method": "card"},
        "lines": {"pen": 2, "ink": 1},
    }


def test_a_unit_of_work_is_all_or_nothing(function, broker_db: Broker) -> None:
    place = function("place")
    with pytest.raises(InvocationFailed, match="23514"):
        place({"customer": "Ada", "lines": {"pen": 2, "ink": 0}})
    assert broker_db.run("select count(*) from orders").scalar() == 0
    place(ORDER)
    assert broker_db.run("select count(*) from orders join lines on order_id = orders.id").one()


def test_an_order_with_its_lines_is_three_flights(function, broker_server) -> None:
    with Relay(broker_server.pgbouncer.port) as relay:
        place = function("place", BROKER_PORT=str(relay.port))
        place(ORDER)
        before = relay.flights
        place(ORDER)
        assert relay.flights - before == 3


def test_of_ten_who_pay_at_once_one_does(function, broker_database, broker_db: Broker) -> None:
    number = function("place")(ORDER)
    pay = function("pay")
    ways = [f"card {n}" for n in range(10)]
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
    with broker_db.transaction() as tx:
        tx.run("select id from orders where id = :id for update", id=number)
        submitted = [pay.submit({"id": number, "method": way}) for way in ways]
        wait_until(lambda: broker_database.admin(waiting) == [[10]], "ten who wait for the row", 60)
    answers = [one.result().result() for one in submitted]
    paid_by = ways[answers.index("paid")]
    assert sorted(answers) == sorted(["paid"] + [f"it was paid by {paid_by}"] * 9)


def test_a_transaction_that_only_shows_cannot_write(function, broker_db: Broker) -> None:
    number = function("place")(ORDER)
    broker_db.run("alter table lines rename to real_lines")
    broker_db.run(
        "create function spy() returns text language sql as 'insert into real_lines"
        " (order_id, sku, quantity) values (1, ''spied'', 1) returning sku'"
    )
    broker_db.run("create view lines as select *, spy() from real_lines")
    with pytest.raises(InvocationFailed, match="25006"):
        function("show")({"id": number})


def test_a_session_that_was_killed_between_two_invocations_is_replaced(
    function, broker_database
) -> None:
    place = function("place", BROKER_FRESH_S="0")
    first = place(ORDER)
    broker_database.admin(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = 'app'"
    )
    assert place(ORDER) == first + 1
