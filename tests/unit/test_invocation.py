"""An invocation bounds and names what runs in it."""

from __future__ import annotations

from types import SimpleNamespace
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.invocation import Invocation, comment_of
from tests.unit.fakes import FakeClock


def context(remaining_ms: int = 10_000, request_id: str = "8476a536") -> SimpleNamespace:
    return SimpleNamespace(
        get_remaining_time_in_millis=lambda: remaining_ms, aws_request_id=request_id
    )


def test_the_deadline_is_what_lambda_says_is_left_less_the_margin():
    invocation = Invocation.of(context(10_000), 0.5, 30.0, FakeClock())

    assert invocation.deadline.remaining_s() == pytest.approx(9.5)


def test_a_margin_that_is_longer_than_the_time_left_leaves_nothing():
    assert Invocation.of(context(300), 0.5, 30.0, FakeClock()).deadline.passed()


@pytest.mark.parametrize("nothing", [None, object(), {}])
def test_without_a_context_the_timeout_counts_and_there_is_no_name(nothing):
    invocation = Invocation.of(nothing, 0.5, 30.0, FakeClock())

    assert invocation.deadline.remaining_s() == 30
    assert invocation.comment == b""


def test_statements_are_named_after_the_request():
    assert Invocation.of(context(request_id="8476a536-e9f4"), 0.5, 30, FakeClock()).comment == (
        b" /*request_id='8476a536-e9f4'*/"
    )


@given(st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_no_request_id_can_end_the_comment_or_its_quotes(request_id):
    comment = comment_of(request_id).decode("ascii")

    inner = comment.removeprefix(" /*request_id='").removesuffix("'*/")
    assert not set(inner) & set("'*/\\:$\n ")
    assert unquote(inner) == request_id
