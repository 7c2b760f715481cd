"""examples/api_gateway: a client is told what became of its request, and is asked back only where
nothing was kept.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

import broker
from broker import (
    BrokerError,
    CapReached,
    CheckoutTimeout,
    ConnectionLost,
    DeadlineExceeded,
    IntegrityError,
    OutcomeUnknown,
    OutcomeUnknownAtDeadline,
    SerializationFailure,
    ServerUnavailable,
    StatementError,
    TooManyConnections,
)
from broker.local.relay import Relay
from broker.local.relayed import Way
from examples.api_gateway.answers import answer_to
from tests.examples.conftest import EXAMPLES
from tests.wait import wait_until

HANDLER = "api_gateway.handler.handler"
EVENTS = EXAMPLES / "api_gateway" / "events"
POST = json.loads((EVENTS / "post.json").read_text())
GET = json.loads((EVENTS / "get.json").read_text())
ERRORS = [one for one in vars(broker).values() if isinstance(one, type)]


@pytest.mark.parametrize(
    ("error", "status", "asked_back"),
    [
        (CapReached(), 429, True),
        (TooManyConnections(sqlstate="53300"), 429, True),
        (ServerUnavailable(), 503, True),
        (ConnectionLost(), 503, True),
        (SerializationFailure(sqlstate="40001"), 503, True),
        (DeadlineExceeded(), 504, False),
        (CheckoutTimeout(), 504, False),
        (OutcomeUnknown(), 500, False),
        (OutcomeUnknownAtDeadline(), 500, False),
        (IntegrityError(sqlstate="23505"), 409, False),
        (IntegrityError(sqlstate="23514"), 422, False),
    ],
    ids=lambda given: type(given).__name__ if isinstance(given, BrokerError) else "",
)
def test_each_failure_has_its_answer(error: BrokerError, status: int, asked_back: bool) -> None:
    answer = answer_to(error)
    assert answer is not None
    assert (answer.status, "Retry-After" in answer.headers) == (status, asked_back)


@pytest.mark.parametrize(
    "kind", [one for one in ERRORS if issubclass(one, BrokerError)], ids=lambda kind: kind.__name__
)
def test_who_is_asked_back_may_come_back(kind: type[BrokerError]) -> None:
    """No error invites to repeat what is not safe to repeat; a fault of ours has no answer."""
    answer = answer_to(kind())
    assert kind.retryable == (answer is not None and answer.retry_after_s is not None)


def test_an_unknown_outcome_has_its_transactions_id() -> None:
    error = OutcomeUnknownAtDeadline()
    error.transaction_id = "742"
    answer = answer_to(error)
    assert answer is not None
    assert answer.body["transaction_id"] == "742"
    assert "Do not send it again" in answer.body["message"]


def test_the_values_of_a_row_are_told_to_nobody() -> None:
    fields = {"D": "Key (email)=(a@b.c) already exists.", "n": "users_email_key"}
    answer = answer_to(IntegrityError("a@b.c", sqlstate="23505", fields=fields))
    assert answer is not None
    assert "users_email_key" in answer.body["message"]
    assert "a@b.c" not in str(answer)


def test_a_fault_of_ours_has_no_answer() -> None:
    assert answer_to(StatementError("no such column", sqlstate="42703")) is None


def told(answer: dict[str, Any]) -> tuple[int, Any]:
    return answer["statusCode"], json.loads(answer["body"])


def order(**changes: str) -> dict[str, Any]:
    return {**POST, "body": json.dumps({"id": "o-1", "sku": "tea", **changes})}


@pytest.fixture
def table(broker_function) -> None:
    broker_function("api_gateway.handler.setup", code=EXAMPLES)()


@pytest.fixture
def api(table, broker_function):
    return broker_function(HANDLER, code=EXAMPLES)


def test_an_order_is_taken_once_and_shown(api) -> None:
    assert told(api(GET))[0] == 404
    assert told(api(POST)) == (201, {"id": "o-1", "sku": "tea"})
    assert told(api(POST)) == (
        409,
        {"error": "conflict", "message": "It is there already (api_orders_pkey)."},
    )
    assert told(api(GET)) == (200, {"id": "o-1", "sku": "tea"})


def test_what_cannot_be_an_order_is_refused(api) -> None:
    assert told(api({**POST, "body": "tea"}))[0] == 400
    assert told(api({**POST, "body": "[]"}))[0] == 400
    assert told(api(order(sku="")))[0] == 422


def test_a_fault_of_ours_fails_the_invocation(broker_function) -> None:
    """Without the table: Lambda counts an error, and API Gateway answers 500 by itself."""
    failed = broker_function(HANDLER, code=EXAMPLES).invoke(POST)
    assert failed.error is not None
    assert failed.error.error_type == "StatementError"


def waiting(broker_database) -> bool:
    sql = """select 1 from pg_stat_activity where datname = :name and wait_event_type = 'Lock'
             and query like 'insert into api_orders%'"""
    return bool(broker_database.admin(sql, name=broker_database.name))


def test_at_the_deadline_nothing_was_kept(
    table, broker_function, broker_database, broker_db
) -> None:
    api = broker_function(HANDLER, code=EXAMPLES, timeout_s=8, environment={"BROKER_MARGIN_S": "4"})
    api(GET)
    with broker_db.transaction() as tx:
        tx.run("lock table api_orders in exclusive mode")
        answer = api(POST)
    assert told(answer) == (504, {"error": "too_late", "message": "Nothing of it was kept."})
    assert broker_db.run("select count(*) from api_orders").scalar() == 0


def test_a_commit_of_which_nobody_heard_is_told_as_just_that(
    table, broker_function, broker_database, broker_db
) -> None:
    """COMMIT is under way when the network goes for good: the server cannot be asked, either."""
    with Relay(broker_database.server.pgbouncer.port) as relay:
        api = broker_function(
            HANDLER,
            code=EXAMPLES,
            timeout_s=14,
            environment={"BROKER_PORT": str(relay.port), "BROKER_MARGIN_S": "6"},
        )
        api(GET)
        with broker_db.transaction() as tx:
            tx.run("lock table api_orders in exclusive mode")
            pending = api.submit(POST)
            wait_until(lambda: waiting(broker_database), "the insert to wait for the lock")
            [relayed] = relay.connections
            relayed.pause(Way.TO_SERVER)
        wait_until(lambda: relayed.held(Way.TO_SERVER), "COMMIT to be under way")
        relay.stop()
        answer = pending.result().result()
    status, body = told(answer)
    assert (status, body["error"]) == (500, "outcome_unknown")
    assert "Retry-After" not in answer["headers"]
    status_sql = "select pg_xact_status(cast(cast(:id as text) as xid8))"

    def outcome() -> str:
        return str(broker_db.run(status_sql, id=body["transaction_id"]).scalar())

    wait_until(lambda: outcome() == "aborted", "the server to roll back")
    assert broker_db.run("select count(*) from api_orders").scalar() == 0


def test_where_the_fleet_has_no_session_left_the_client_is_asked_back(
    table, broker_function, capped
) -> None:
    """Another environment is frozen with the only one."""
    api = broker_function(
        HANDLER, code=EXAMPLES, timeout_s=12, environment={**capped, "BROKER_MARGIN_S": "6"}
    )
    assert told(api(GET))[0] == 404
    [holder] = api.fleet.environments(api.name)
    api.fleet.freeze(holder.id)

    def refused() -> bool:
        answer = api(POST)
        assert answer["headers"]["Retry-After"] == "2"
        if answer["statusCode"] == 503:  # CapUnreachable: moto took over a second
            return False
        assert told(answer) == (429, {"error": "busy", "message": "Nothing was done: come back."})
        return True

    wait_until(refused, "the answer that all sessions are taken", timeout_s=60)
