"""SQLSTATEs become the error that a caller can act on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import (
    AuthenticationFailed,
    BrokerError,
    ConnectError,
    ConnectionLost,
    IntegrityError,
    SerializationFailure,
    ServerUnavailable,
    StatementCanceled,
    StatementError,
    TooManyConnections,
    TransactionAborted,
)
from broker.wire import translate

sqlstates = st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=5, max_size=5)
fields = st.dictionaries(st.sampled_from("SVCMDHPqtn"), st.text(max_size=20))


def said(sqlstate: str, text: str = "no", **more: str) -> dict[str, str]:
    return {"S": "FATAL", "V": "FATAL", "C": sqlstate, "M": text, **more}


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("23505", IntegrityError),
        ("23503", IntegrityError),
        ("23P01", IntegrityError),
        ("40001", SerializationFailure),
        ("40P01", SerializationFailure),
        ("40002", StatementError),  # a constraint's violation at the end, not a conflict
        ("57014", StatementCanceled),
        ("42601", StatementError),
        ("25P02", TransactionAborted),
        ("22P02", StatementError),
    ],
)
def test_a_refused_statement_is_the_error_of_its_sqlstate(sqlstate, kind):
    error = translate.statement_error(said(sqlstate))

    assert type(error) is kind
    assert error.sqlstate == sqlstate


def test_a_refusal_shows_detail_and_hint_and_keeps_all_the_fields():
    error = translate.statement_error(said("23505", "duplicate", D="Key (a)=(1).", H="Do not."))

    assert str(error) == "duplicate (Key (a)=(1).) (Do not.) [SQLSTATE 23505]"
    assert (error.detail, error.hint, error.fields["M"]) == ("Key (a)=(1).", "Do not.", "duplicate")


@pytest.mark.parametrize(
    ("sqlstate", "text", "kind"),
    [
        ("53300", "sorry, too many clients already", TooManyConnections),
        ("53300", "remaining connection slots are reserved", TooManyConnections),
        ("53300", "désolé, trop de clients sont déjà connectés", TooManyConnections),
        ("08P01", "no more connections allowed (max_client_conn)", TooManyConnections),
        ("08P01", "query_wait_timeout", TooManyConnections),
        ("57P03", "the database system is starting up", ServerUnavailable),
        ("57P01", "terminating connection due to administrator command", ServerUnavailable),
        ("57P02", "terminating connection because of crash", ServerUnavailable),
        ("28P01", "password authentication failed", AuthenticationFailed),
        ("28000", "no pg_hba.conf entry", AuthenticationFailed),
        ("3D000", 'database "x" does not exist', ConnectError),
        ("08P01", "server shutting down", ServerUnavailable),
        ("08P01", "unsupported frontend protocol", ConnectError),
    ],
)
def test_a_refused_connection_is_the_error_of_what_can_be_done_about_it(sqlstate, text, kind):
    error = translate.connect_error(said(sqlstate, text))

    assert type(error) is kind
    assert error.sqlstate == sqlstate
    assert error.args[0].startswith(text)


@pytest.mark.parametrize(
    ("sqlstate", "text", "may_have_run"),
    [
        ("57P01", "terminating connection due to administrator command", True),
        ("57P02", "crash", True),
        ("57P05", "idle-session timeout", False),
        ("25P03", "idle-in-transaction timeout", False),
        ("08P01", "query_wait_timeout", False),
        ("08P01", "server shutting down", False),
        ("08P01", "server conn crashed?", True),
        ("XX000", "internal error", True),
    ],
)
def test_a_session_that_ended_may_have_run_the_statement_unless_it_surely_did_not(
    sqlstate, text, may_have_run
):
    error = translate.session_ended(said(sqlstate, text))

    assert type(error) is ConnectionLost
    assert (error.sqlstate, error.may_have_run) == (sqlstate, may_have_run)
    assert text in str(error)


@pytest.mark.parametrize(
    ("severities", "fatal"),
    [
        ({"V": "FATAL"}, True),
        ({"V": "PANIC"}, True),
        ({"V": "ERROR"}, False),
        ({"S": "FATAL"}, True),  # before PostgreSQL 9.6, and poolers
        ({"S": "ERREUR", "V": "ERROR"}, False),
        ({"S": "FATAL", "V": "ERROR"}, False),
        ({"S": "FATALE", "V": "FATAL"}, True),
        ({}, False),
    ],
)
def test_severity_is_read_from_the_field_that_no_language_changes(severities, fatal):
    assert translate.is_fatal(severities) is fatal


@given(fields, sqlstates)
def test_any_response_becomes_an_error_of_ours(response, sqlstate):
    for answer in (response, {**response, "C": sqlstate}):
        for error in (
            translate.statement_error(answer),
            translate.session_ended(answer),
            translate.connect_error(answer),
        ):
            assert isinstance(error, BrokerError)
            assert str(error)


SERVER_IS_AWAY = "server login has been failing, cached error: connect failed (server_login_retry)"


def test_a_pooler_whose_server_is_away_ran_nothing_and_is_asked_again():
    """PgBouncer, objects.c, check_fast_fail: the client never had a server connection."""
    assert not translate.session_ended(said("08P01", SERVER_IS_AWAY)).may_have_run
    assert type(translate.connect_error(said("08P01", SERVER_IS_AWAY))) is ServerUnavailable


def test_a_parameter_without_a_name_is_a_parameter_once() -> None:
    def told(*labels: str) -> str:
        fields = {"C": "42P18", "M": "could not determine data type of parameter $2"}
        return str(translate.statement_error(fields, labels=labels))

    assert told("parameter 1", "parameter 2").startswith(
        "could not determine data type of parameter 2 (say its type, as in %s::text)"
    )
    assert told(":a", ":b").startswith(
        "could not determine data type of parameter :b (say its type, as in :b::text)"
    )
