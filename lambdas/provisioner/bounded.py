"""Work that ends in an answer in time, whatever hangs in it."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable

from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from broker import BrokerError

from .answer import Answer
from .refusal import Refused

log = logging.getLogger("provisioner")


def bounded(work: Callable[[], Answer], within_s: float, log_stream: str) -> Answer:
    """Return the work's answer, or a failure that says why: at the latest after `within_s`."""
    answers: list[Answer] = []
    thread = threading.Thread(
        target=lambda: answers.append(_answered(work, log_stream)), daemon=True
    )
    thread.start()
    thread.join(max(within_s, 0.0))
    if answers:
        return answers[0]
    return Answer(
        f"not finished within {within_s:.0f} s: check that the function reaches the database, "
        f"Secrets Manager and S3 from its subnets (log stream {log_stream})"
    )


def _answered(work: Callable[[], Answer], log_stream: str) -> Answer:
    try:
        return work()
    except (Refused, BrokerError, ClientError, BotoCoreError) as error:
        log.error("%s: %s", type(error).__name__, error)
        return Answer(str(error))
    except Exception as error:  # its text might quote a secret: only where it was, and what
        place = "".join(traceback.format_tb(error.__traceback__))
        log.error("unexpected %s\n%s", type(error).__name__, place)
        return Answer(
            f"unexpected {type(error).__name__}, which is a fault of the provisioner's: "
            f"its log stream {log_stream} says where"
        )
