"""An invocation says how it ended, in Lambda's words."""

from __future__ import annotations

import pytest

from broker.local.invocation import (
    FunctionError,
    Invocation,
    InvocationFailed,
    InvocationStatus,
    Request,
)


def test_the_first_answer_counts():
    request = Request("orders", b"null")
    request.answer(InvocationStatus.OK, payload=1)
    request.answer(InvocationStatus.TIMEOUT, error=FunctionError("Sandbox.Timedout", "late"))
    request.finish()

    assert request.future.result(0).result() == 1


def test_a_request_cannot_finish_without_an_outcome():
    with pytest.raises(RuntimeError, match="no outcome"):
        Request("orders", b"null").finish()


def test_the_result_of_a_failed_invocation_raises_what_lambda_said():
    error = FunctionError("ValueError", "boom", ("  line 1\n",))
    failed = Invocation(request_id="1", status=InvocationStatus.ERROR, error=error)

    with pytest.raises(InvocationFailed, match=r"error: ValueError: boom\n  line 1"):
        failed.result()


def test_an_error_body_that_is_no_json_becomes_the_message():
    assert FunctionError.parse(b"oops") == FunctionError("Runtime.Unknown", "oops")
    assert FunctionError.parse(b"[]") == FunctionError("Runtime.Unknown", "[]")


def test_exit_and_signal_and_timeout_read_as_on_lambda():
    assert FunctionError.exited("1", 3).message.endswith("Runtime exited with error: exit status 3")
    assert FunctionError.exited("1", -9).message.endswith("error: signal: killed")
    assert "Task timed out after 3.00 seconds" in FunctionError.timed_out("1", "Task", 3).message
