"""examples/sqs_batch: what failed goes back to the queue, and no message is written twice."""

from __future__ import annotations

import json
from typing import Any

import pytest

from broker import (
    AuthenticationFailed,
    CapReached,
    ConnectionLost,
    DeadlineExceeded,
    IntegrityError,
    OutcomeUnknown,
    OutcomeUnknownAtDeadline,
    SerializationFailure,
    WriteRefused,
)
from examples.sqs_batch.batch import Batch, NotTried, ends_the_batch
from tests.examples.conftest import EXAMPLES
from tests.wait import wait_until

EVENT = json.loads((EXAMPLES / "sqs_batch" / "events" / "batch.json").read_text())
HANDLER = "sqs_batch.handler.handler"


@pytest.mark.parametrize(
    "error",
    [
        CapReached(),
        AuthenticationFailed(),
        DeadlineExceeded(),
        OutcomeUnknownAtDeadline(),
        WriteRefused(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_after_what_all_would_meet_none_is_tried(error: Exception) -> None:
    tried = []

    def take(record: Any) -> None:
        tried.append(record)
        raise error

    batch = Batch(take)
    with pytest.raises(type(error)):
        batch.offer(1)  # type: ignore[arg-type]
    for record in (2, 3):
        with pytest.raises(NotTried):
            batch.offer(record)  # type: ignore[arg-type]
    assert (tried, batch.ended_by, batch.not_tried) == ([1], error, 2)


@pytest.mark.parametrize(
    "error",
    [KeyError(), IntegrityError(), SerializationFailure(), ConnectionLost(), OutcomeUnknown()],
    ids=lambda error: type(error).__name__,
)
def test_what_is_one_messages_own_ends_nothing(error: Exception) -> None:
    assert not ends_the_batch(error)


@pytest.fixture
def tables(broker_function) -> None:
    broker_function("sqs_batch.handler.setup", code=EXAMPLES)()


@pytest.fixture
def take(tables, broker_function):
    return broker_function(HANDLER, code=EXAMPLES)


def batch(*bodies: Any, ids: str = "abcdefgh") -> dict[str, Any]:
    [sample, *_] = EVENT["Records"]
    return {
        "Records": [
            {**sample, "messageId": id, "body": json.dumps(body)}
            for id, body in zip(ids, bodies, strict=False)
        ]
    }


def back(answer: dict[str, Any]) -> list[str]:
    return [failed["itemIdentifier"] for failed in answer["batchItemFailures"]]


def orders(db) -> list[Any]:
    return [tuple(row) for row in db.run("select message_id, sku from queue_orders order by 1, 2")]


TEA = {"sku": "tea", "quantity": 1}


def test_a_poison_message_fails_alone(take, broker_db) -> None:
    for poison in ("no order", {"sku": "tea"}, {**TEA, "quantity": 0}, {**TEA, "quantity": "x"}):
        broker_db.run("truncate queue_messages, queue_orders")
        assert back(take(batch(TEA, poison, TEA))) == ["b"]
        assert orders(broker_db) == [("a", "tea"), ("c", "tea")]


def test_a_poison_message_leaves_nothing_behind(take, broker_db) -> None:
    """Its id least of all: mended on its way, it is written."""
    assert back(take(batch({**TEA, "quantity": 0}))) == ["a"]
    assert broker_db.run("select count(*) from queue_messages").scalar() == 0
    assert back(take(batch(TEA))) == []
    assert orders(broker_db) == [("a", "tea")]


def test_a_message_that_comes_twice_is_written_once(take, broker_db) -> None:
    assert back(take(batch(TEA, TEA, TEA, ids="aab"))) == []
    assert back(take(batch(TEA, TEA, ids="bc"))) == []
    assert orders(broker_db) == [("a", "tea"), ("b", "tea"), ("c", "tea")]


def test_the_same_batch_ten_times_at_once_is_written_once(take, broker_db) -> None:
    answers = [one.result().result() for one in [take.submit(batch(TEA, TEA)) for _ in range(10)]]
    assert [back(answer) for answer in answers] == [[]] * 10
    assert orders(broker_db) == [("a", "tea"), ("b", "tea")]


def test_at_the_deadline_the_rest_goes_back_untried(tables, broker_function, broker_db) -> None:
    """Another delivery of b is still under way, and its transaction lasts too long."""
    take = broker_function(
        HANDLER, code=EXAMPLES, timeout_s=8, environment={"BROKER_MARGIN_S": "4"}
    )
    take(batch(TEA, ids="a"))
    with broker_db.transaction() as tx:
        tx.run("insert into queue_messages (id) values ('b')")
        assert back(take(batch(TEA, TEA, TEA, TEA))) == ["b", "c", "d"]
    assert orders(broker_db) == [("a", "tea")]
    [line] = [json.loads(line) for line in take.logs() if "the batch was ended" in line]
    assert line["not_tried"] == 2
    assert line["reason"] in ("DeadlineExceeded", "OutcomeUnknownAtDeadline")


def test_where_the_fleet_has_no_session_left_all_go_back_and_one_has_asked(
    tables, broker_function, capped, broker_db
) -> None:
    """Another environment is frozen with the only one."""
    take = broker_function(
        HANDLER, code=EXAMPLES, timeout_s=12, environment={**capped, "BROKER_MARGIN_S": "6"}
    )
    assert back(take(batch(TEA, ids="a"))) == []
    [holder] = take.fleet.environments(take.name)
    take.fleet.freeze(holder.id)

    def refused() -> bool:
        assert back(take(batch(TEA, TEA, TEA, ids="bcd"))) == ["b", "c", "d"]
        *_, line = [json.loads(line) for line in take.logs() if "the batch was ended" in line]
        assert line["not_tried"] == 2
        return bool(line["reason"] == "CapReached")  # CapUnreachable: moto took over a second

    wait_until(refused, "the batch to end because all sessions are taken", timeout_s=60)
    assert orders(broker_db) == [("a", "tea")]
