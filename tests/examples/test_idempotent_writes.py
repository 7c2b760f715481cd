"""examples/idempotent_writes: a payment happens once for its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker import Broker
from broker.local.fleet import InvocationStatus

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "idempotent_writes"
PAYMENT = {"key": "k1", "account": 1, "amount": 30}


@pytest.fixture
def pay(broker_function):
    broker_function("handler.setup", code=EXAMPLE)()
    return broker_function("handler.handler", code=EXAMPLE)


def balance(db: Broker) -> int:
    return int(db.run("select balance from accounts where id = 1").scalar())


def test_the_second_call_gets_the_first_ones_answer(pay, broker_db: Broker) -> None:
    assert pay(PAYMENT) == {"balance": 70, "new": True}
    assert pay(PAYMENT) == {"balance": 70, "new": False}
    assert pay({**PAYMENT, "key": "k2"}) == {"balance": 40, "new": True}
    assert balance(broker_db) == 40


def test_ten_at_once_take_it_once(pay, broker_db: Broker) -> None:
    answers = [one.result().result() for one in [pay.submit(PAYMENT) for _ in range(10)]]
    assert sorted(answer["new"] for answer in answers) == [False] * 9 + [True]
    assert {answer["balance"] for answer in answers} == {70}
    assert balance(broker_db) == 70


def test_killed_after_the_commit_it_was_done_and_is_not_done_again(
    pay, broker_function, broker_db: Broker
) -> None:
    dying = broker_function(
        "dies_after_commit.handler",
        code=Path(__file__).with_name("functions"),
        environment={"EXAMPLE": str(EXAMPLE)},
    )
    assert dying.invoke(PAYMENT).status is InvocationStatus.CRASHED
    assert pay(PAYMENT) == {"balance": 70, "new": False}
    assert balance(broker_db) == 70
