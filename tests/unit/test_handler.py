"""The decorated handler is bounded, named, checked for leaks and counted, whatever it does."""

from __future__ import annotations

import functools
import inspect
import json
import logging
from typing import Any

import pytest

from broker.errors import LeftOpen
from broker.handler import Leak, decorate
from broker.stats import Recorder
from tests.unit.fakes import settings


class FakeBroker:
    """What the decorator needs of a Broker; remembers what it was told."""

    serving = False

    def __init__(self, *leaks: Leak) -> None:
        self.settings = settings()
        self.recorder = Recorder()
        self.leaks = list(leaks)
        self.told: list[Any] = []

    def begin_invocation(self, context: Any) -> None:
        """Remember it."""
        self.told.append(("begin", context))

    def end_invocation(self) -> list[Leak]:
        """Count and return the leaks."""
        self.told.append("end")
        for _ in self.leaks:
            self.recorder.count("leaks")
        return self.leaks


def test_an_invocation_begins_before_the_handler_and_ends_after_it():
    broker = FakeBroker()

    def handler(event, context):
        broker.told.append(event)
        return "answer"

    assert decorate(broker, handler)("event", "context") == "answer"
    assert broker.told == [("begin", "context"), "event", "end"]


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), SystemExit(3)])
def test_an_invocation_that_fails_ends_as_well_and_fails_as_it_did(error):
    broker = FakeBroker()

    def handler(event, context):
        raise error

    with pytest.raises(type(error)) as raised:
        decorate(broker, handler)("event", "context")

    assert raised.value is error
    assert broker.told[-1] == "end"


def test_what_other_decorators_pass_on_arrives():
    def handler(event, context, *args, **kwargs):
        return args, kwargs

    assert decorate(FakeBroker(), handler)("event", "context", 1, key=2) == ((1,), {"key": 2})


def test_the_handler_keeps_its_name_and_docstring():
    def handler(event, context):
        """Do it."""

    decorated = decorate(FakeBroker(), handler)

    assert (decorated.__name__, decorated.__doc__) == ("handler", "Do it.")
    assert inspect.unwrap(decorated) is handler


def test_a_handler_without_a_name_can_be_decorated():
    class Callable:
        def __call__(self, event, context):
            return event

    assert decorate(FakeBroker(), Callable())("event", None) == "event"
    assert decorate(FakeBroker(), functools.partial(lambda x, e, c: (x, e), 1))(2, None) == (1, 2)


def test_a_leak_is_logged_with_its_place_and_what_to_do(caplog, capsys):
    broker = FakeBroker(Leak(("/var/task/app.py", 12), in_transaction=True))
    with caplog.at_level(logging.ERROR, "broker"):
        decorate(broker, lambda event, context: None)("event", None)

    (record,) = caplog.records
    assert (record.name, record.levelname) == ("broker", "ERROR")
    assert record.getMessage().startswith("a transaction checked out at /var/task/app.py:12 was")
    assert "`with` block" in record.getMessage()
    assert json.loads(capsys.readouterr().out)["Leaks"] == [1.0]


def strict(broker: FakeBroker) -> FakeBroker:
    broker.settings = settings(strict=True)
    return broker


LEAK = Leak(("handler.py", 7), in_transaction=True)


def test_a_leak_is_an_error_where_it_is_asked_for(caplog):
    with pytest.raises(LeftOpen, match=r"checked out at handler\.py:7"):
        decorate(strict(FakeBroker(LEAK)), lambda event, context: 1)({}, None)
    assert decorate(strict(FakeBroker()), lambda event, context: 1)({}, None) == 1
    assert decorate(FakeBroker(LEAK), lambda event, context: 1)({}, None) == 1


def test_a_leak_never_hides_what_the_handler_raised():
    with pytest.raises(ZeroDivisionError):
        decorate(strict(FakeBroker(LEAK)), lambda event, context: 1 // 0)({}, None)


def test_the_fixture_makes_every_broker_strict(broker_strict):
    with pytest.raises(LeftOpen):
        decorate(FakeBroker(LEAK), lambda event, context: 1)({}, None)


def test_a_leaked_session_is_told_from_a_leaked_transaction():
    assert str(Leak(("f", 1), in_transaction=False)).startswith("a session checked out at f:1")


def test_each_invocation_emits_its_own_counts_and_a_failed_one_too(capsys):
    broker = FakeBroker()

    def handler(event, context):
        broker.recorder.count("reused")
        if event == "fail":
            raise ValueError

    decorated = decorate(broker, handler)
    decorated("event", None)
    with pytest.raises(ValueError, match=r"^$"):
        decorated("fail", None)

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["SessionsReused"] for line in lines] == [[1.0], [1.0]]


def test_an_invocation_that_used_no_session_prints_nothing(capsys):
    decorate(FakeBroker(), lambda event, context: None)("event", None)

    assert capsys.readouterr().out == ""
