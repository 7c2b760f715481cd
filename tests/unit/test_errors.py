"""Every error says what happened and what to do, and survives its journey."""

from __future__ import annotations

import copy
import pickle

import pytest

import broker
from broker import errors
from broker.errors import (
    BrokerError,
    ConnectionLost,
    DeadlineExceeded,
    OutcomeUnknown,
    OutcomeUnknownAtDeadline,
    StatementError,
    outcome_unknown,
)

KINDS: list[type[BrokerError]] = sorted(
    (
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, BrokerError)
    ),
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_without_a_message_says_what_its_docstring_says(kind):
    message = str(kind())

    assert message == " ".join(kind.__doc__.split())
    assert "\n" not in message


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_public(kind):
    assert getattr(broker, kind.__name__) is kind
    assert kind.__name__ in broker.__all__


@pytest.mark.parametrize("kind", KINDS)
def test_the_sqlstate_shows_in_the_text_and_not_in_the_message(kind):
    error = kind("it broke", sqlstate="53300")

    assert str(error) == "it broke [SQLSTATE 53300]"
    assert error.args == ("it broke",)


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_the_same_after_a_copy(kind, copied):
    error = copied(kind("it broke", sqlstate="40001"))

    assert type(error) is kind
    assert str(error) == "it broke [SQLSTATE 40001]"
    assert error.retryable is kind.retryable


def test_a_pickled_error_keeps_what_is_its_own():
    lost = pickle.loads(pickle.dumps(ConnectionLost("gone", may_have_run=False)))
    refused = pickle.loads(
        pickle.dumps(StatementError("no", sqlstate="23505", fields={"D": "a", "H": "b"}))
    )

    assert lost.may_have_run is False
    assert (refused.detail, refused.hint) == ("a", "b")


def test_only_what_left_nothing_behind_is_retryable():
    retryable = {kind.__name__ for kind in KINDS if kind.retryable}

    assert retryable == {
        "CapReached",
        "CapUnreachable",
        "ConnectionLost",
        "SecretUnavailable",
        "SerializationFailure",
        "ServerUnavailable",
        "TooManyConnections",
        "WriteRefused",
    }


def test_a_lost_connection_is_taken_to_have_run_the_statement_unless_it_is_known_not_to():
    assert ConnectionLost().may_have_run


def test_an_error_does_not_share_its_fields_with_the_next():
    StatementError("one").fields["C"] = "00000"

    assert StatementError("two").fields == {}


def test_an_outcome_that_the_network_hid_is_unknown_and_keeps_the_reason():
    lost = ConnectionLost("the server closed the session", sqlstate="57P01")

    error = outcome_unknown("COMMIT", lost)

    assert type(error) is OutcomeUnknown
    assert error.sqlstate == "57P01"
    assert str(error).startswith("the answer to COMMIT was lost: the server closed the session. ")
    assert "idempotent" in str(error)


def test_an_outcome_that_the_deadline_hid_is_both_unknown_and_late():
    error = outcome_unknown("a statement", DeadlineExceeded())

    assert type(error) is OutcomeUnknownAtDeadline
    assert isinstance(error, DeadlineExceeded)
    assert not error.retryable
