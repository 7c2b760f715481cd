"""What the broker's errors are in HTTP."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from broker import (
    BrokerError,
    CapReached,
    DeadlineExceeded,
    IntegrityError,
    OutcomeUnknown,
    ServerUnavailable,
    TooManyConnections,
)

RETRY_AFTER_S = "2"
STATUS: dict[type[BrokerError], int] = {
    CapReached: 429,
    TooManyConnections: 429,
    ServerUnavailable: 503,
    DeadlineExceeded: 504,
    IntegrityError: 409,
}
"""All others are 500: OutcomeUnknown is one, because asking again might do it twice."""


def tell(app: FastAPI) -> None:
    """Let the application answer with these."""

    def answer(_: Request, error: Exception) -> JSONResponse:
        status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
        again = status in (429, 503)  # nothing was sent
        unknown = isinstance(error, OutcomeUnknown)
        return JSONResponse(
            {"error": type(error).__name__, "happened": "unknown" if unknown else "nothing"},
            status_code=status,
            headers={"retry-after": RETRY_AFTER_S} if again else None,
        )

    for kind in STATUS:
        app.add_exception_handler(kind, answer)
