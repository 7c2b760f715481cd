"""The invocation that is being served: how long it has left, and whose statements they are."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import quote

from broker.deadline import Clock, Deadline, Turn


class Invocation(NamedTuple):
    """One invocation, as the broker needs it."""

    deadline: Deadline
    comment: bytes
    """The SQLCommenter comment that its statements end in."""

    @classmethod
    def of(
        cls, context: Any, margin_s: float, timeout_s: float, clock: Clock, turn: Turn | None = None
    ) -> Invocation:
        """Return what Lambda's context object says of it.

        `margin_s` is kept for the answer. Where there is no context (a test, a script), the
        deadline is `timeout_s` away.
        """
        remaining_ms = getattr(context, "get_remaining_time_in_millis", None)
        left_s = remaining_ms() / 1000 - margin_s if callable(remaining_ms) else timeout_s
        return cls(
            Deadline.after(left_s, clock, turn), comment_of(getattr(context, "aws_request_id", ""))
        )


def comment_of(request_id: str) -> bytes:
    """Return the request id as a SQLCommenter comment (google.github.io/sqlcommenter/spec)."""
    if not request_id:
        return b""
    return f" /*request_id='{quote(request_id, safe='')}'*/".encode()
