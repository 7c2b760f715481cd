"""What is current bounds what begins in it, and is over when its invocation has ended."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from broker.again import Attempt
from broker.current import Current
from broker.deadline import Deadline
from broker.demotion import runs_again
from broker.errors import CapUnreachable, NestedTransaction, TooManyConnections
from tests.unit.fakes import FakeClock, settings


@pytest.fixture
def current() -> Current:
    return Current(settings(), FakeClock())


def lambda_s_context() -> Any:
    return SimpleNamespace(get_remaining_time_in_millis=lambda: 3_000, aws_request_id="1")


def test_an_invocation_s_end_takes_no_time_from_a_deadline_but_its_turn(current):
    """An error that says how much time there was stays true."""
    current.begin(lambda_s_context())
    whole = current.deadline()
    part = whole.within(1)
    current.end()

    assert whole.turn_is_over
    assert part.turn_is_over
    assert whole.remaining_s() == pytest.approx(2.5)
    assert not whole.anew(1).turn_is_over


def test_what_begins_between_two_invocations_ends_with_the_second(current):
    before = current.deadline()
    current.begin(None)
    current.end()

    assert before.turn_is_over
    assert not current.deadline().turn_is_over


def test_what_a_thread_has_open_is_refused_company_until_its_invocation_ends(current):
    with current.opened(Attempt(Deadline.never())):
        with pytest.raises(NestedTransaction, match=r"db\.run\(\)"):
            current.refuse_beside("db.run()", "it")
        current.end()
        current.refuse_beside("db.run()", "it")
        assert current.attempt is None


def test_the_handler_s_thread_is_told_from_others(current):
    others: list[bool] = []
    thread = threading.Thread(target=lambda: others.append(current.in_handler))
    assert not current.in_handler
    current.begin(None)
    thread.start()
    thread.join()

    assert current.in_handler
    assert others == [False]


def test_opening_that_was_tried_until_the_deadline_is_not_tried_again():
    """A lease that was not renewed in its 3 s was not: another attempt has all the time left."""
    error = TooManyConnections()
    error.gave_up = True

    assert not runs_again(error, 0, 3, 0.1)
    assert runs_again(CapUnreachable(), 0, 3, 0.1)
