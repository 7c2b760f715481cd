"""One invocation: what its caller gets, and the request while it is in flight."""

from __future__ import annotations

import json
import signal
import time
import uuid
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from broker.errors import BrokerError


class InvocationStatus(StrEnum):
    """How an invocation ended."""

    OK = "ok"
    ERROR = "error"  # the handler, or its module's import, raised
    THROTTLED = "throttled"
    TIMEOUT = "timeout"
    CRASHED = "crashed"  # the process ended in the middle of it


class InvocationFailed(BrokerError):
    """The invocation did not return. Look at its error, and at fleet.logs(name)."""


@dataclass(frozen=True, slots=True)
class FunctionError:
    """What Lambda answers in place of a payload."""

    error_type: str
    message: str
    stack_trace: tuple[str, ...] = ()

    @classmethod
    def parse(cls, body: bytes) -> FunctionError:
        """Read the JSON that a runtime posts; a body that is none becomes the message."""
        try:
            told = json.loads(body)
            trace = tuple(told.get("stackTrace") or ())
            return cls(str(told["errorType"]), str(told["errorMessage"]), trace)
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls("Runtime.Unknown", body.decode(errors="replace"))

    @classmethod
    def exited(cls, request_id: str, status: int) -> FunctionError:
        """Say that the process ended; a negative status is the signal that ended it."""
        how = f"exit status {status}"
        if status < 0:
            how = f"signal: {signal.strsignal(-status) or -status}".lower()
        message = f"RequestId: {request_id} Error: Runtime exited with error: {how}"
        return cls("Runtime.ExitError", message)

    @classmethod
    def timed_out(cls, request_id: str, what: str, timeout_s: float) -> FunctionError:
        """Say that the function, or its initialisation, took too long."""
        message = f"RequestId: {request_id} Error: {what} timed out after {timeout_s:.2f} seconds"
        return cls("Sandbox.Timedout", message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """How one invocation went; exactly one of payload and error means something.

    `queued_ms` is from the call to the handler getting the event, initialisation included;
    `init_ms` is that of a cold environment alone; `duration_ms` from the event to the answer.
    """

    request_id: str
    status: InvocationStatus
    payload: Any = None
    error: FunctionError | None = None
    environment: str | None = None
    cold: bool = False
    queued_ms: float = 0.0
    init_ms: float = 0.0
    duration_ms: float = 0.0

    @property
    def ok(self) -> bool:
        """Say whether the handler returned."""
        return self.status is InvocationStatus.OK

    def result(self) -> Any:
        """Give the payload, or raise InvocationFailed with what Lambda would have said."""
        if self.ok:
            return self.payload
        error = self.error or FunctionError("Unknown", "no error was given")
        trace = "".join(f"\n{line.rstrip()}" for line in error.stack_trace)
        raise InvocationFailed(f"{self.status}: {error.error_type}: {error.message}{trace}")


@dataclass(slots=True, eq=False)
class Request:
    """An invocation in flight; only the fleet's loop touches it once it is submitted."""

    name: str
    event: bytes
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    future: Future[Invocation] = field(default_factory=Future)
    submitted_at: float = field(default_factory=time.monotonic)
    environment: str | None = None
    cold: bool = False
    init_ms: float = 0.0
    deadline_ms: int = 0
    handed_at: float | None = None
    answered_at: float | None = None
    status: InvocationStatus | None = None
    payload: Any = None
    error: FunctionError | None = None

    def answer(
        self, status: InvocationStatus, *, payload: Any = None, error: FunctionError | None = None
    ) -> None:
        """Keep the outcome; the first one counts."""
        if self.status is None:
            self.status, self.payload, self.error = status, payload, error
            self.answered_at = time.monotonic()

    def finish(self) -> None:
        """Hand the outcome to whoever waits for it."""
        if self.status is None:
            raise RuntimeError(f"request {self.id} has no outcome")
        ended_at = self.answered_at or time.monotonic()
        handed_at = self.handed_at or ended_at
        self.future.set_result(
            Invocation(
                request_id=self.id,
                status=self.status,
                payload=self.payload,
                error=self.error,
                environment=self.environment,
                cold=self.cold,
                queued_ms=(handed_at - self.submitted_at) * 1000,
                init_ms=self.init_ms,
                duration_ms=(ended_at - handed_at) * 1000,
            )
        )
