"""One batch: after a failure that the next message would meet as well, none is tried."""

from __future__ import annotations

from collections.abc import Callable

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from broker import ConnectError, DeadlineExceeded, WriteRefused


class NotTried(Exception):
    """The message goes back to the queue untouched: an earlier one met what this one would."""


def ends_the_batch(error: Exception) -> bool:
    """Tell whether the next message would fail in the same way.

    It would where there is no session to be had (CapReached is one of these), no time left, or
    no server that takes writes. A message that cannot be read, that a constraint refuses or that
    met another transaction (40001) fails alone.
    """
    return isinstance(error, ConnectError | DeadlineExceeded | WriteRefused)


class Batch:
    """Hands each message to `take` until one fails for all of them."""

    def __init__(self, take: Callable[[SQSRecord], None]) -> None:
        self._take = take
        self.ended_by: Exception | None = None
        """What ended the batch, if something did."""
        self.not_tried = 0

    def offer(self, record: SQSRecord) -> None:
        """Take the message, or raise: Powertools then reports it as failed."""
        if self.ended_by is not None:
            self.not_tried += 1
            raise NotTried from self.ended_by
        try:
            self._take(record)
        except Exception as error:
            if ends_the_batch(error):
                self.ended_by = error
            raise
