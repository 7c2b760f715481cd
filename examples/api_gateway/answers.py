"""What a client is told of a failure: the one place where errors become HTTP answers. Pure."""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

from broker import (
    BrokerError,
    CapReached,
    DeadlineExceeded,
    IntegrityError,
    OutcomeUnknown,
    TooManyConnections,
)

RETRY_AFTER_S = 2  # a session comes free with the end of any transaction
UNIQUE_VIOLATION = "23505"
CONSTRAINT = "n"  # of an error's fields (PostgreSQL's manual, "Error and Notice Message Fields")


class Answer(NamedTuple):
    """A status, and what stands in the body; with `retry_after_s` the client is asked back."""

    status: HTTPStatus
    error: str
    """A word for programs; `message` is for people."""
    message: str
    retry_after_s: int | None = None
    transaction_id: str | None = None

    @property
    def headers(self) -> dict[str, str | list[str]]:
        """Return the headers that go with it."""
        return {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}

    @property
    def body(self) -> dict[str, str]:
        """Return the body, before it becomes JSON."""
        told = {"error": self.error, "message": self.message}
        return told | ({"transaction_id": self.transaction_id} if self.transaction_id else {})


def answer_to(error: BrokerError) -> Answer | None:
    """Return what the client is told, or None for what is a fault of ours: let that one fail.

    OutcomeUnknown comes first: at the deadline it is a DeadlineExceeded, too, and to call that
    safe to repeat would be a lie.
    """
    if isinstance(error, OutcomeUnknown):
        return Answer(
            HTTPStatus.INTERNAL_SERVER_ERROR,  # of the 5xx the one that asks nobody back
            "outcome_unknown",
            "It may have happened or not. Do not send it again before you have looked.",
            transaction_id=error.transaction_id,
        )
    if isinstance(error, DeadlineExceeded):
        return Answer(HTTPStatus.GATEWAY_TIMEOUT, "too_late", "Nothing of it was kept.")
    if isinstance(error, IntegrityError):
        constraint = error.fields.get(CONSTRAINT, "a constraint")  # not the detail: it has values
        if error.sqlstate == UNIQUE_VIOLATION:
            return Answer(HTTPStatus.CONFLICT, "conflict", f"It is there already ({constraint}).")
        return Answer(HTTPStatus.UNPROCESSABLE_ENTITY, "refused", f"It breaks {constraint}.")
    if isinstance(error, CapReached | TooManyConnections):
        return Answer(
            HTTPStatus.TOO_MANY_REQUESTS, "busy", "Nothing was done: come back.", RETRY_AFTER_S
        )
    if error.retryable:
        return Answer(
            HTTPStatus.SERVICE_UNAVAILABLE, "away", "Nothing was kept: come back.", RETRY_AFTER_S
        )
    return None
