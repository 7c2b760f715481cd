"""What is wrong with an app's input is told in its own words, without a traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from broker.errors import BrokerError

REFUSED = 1
CHECKED = "ValidationFailed"
FROM_A_CALLBACK = "@jsii/kernel.RuntimeError: "
"""Where Node repeats what our own code raised while it made an asset."""


@contextmanager
def plain_refusals() -> Iterator[None]:
    """End the process with exit code 1 where what is made in the `with` block is refused."""
    try:
        yield
    except BrokerError as error:
        print(error, file=sys.stderr)  # noqa: T201
    except RuntimeError as error:
        _, ours, told = str(error).rpartition(FROM_A_CALLBACK)
        if ours:
            print(told, file=sys.stderr)  # noqa: T201
        elif not str(error).startswith(CHECKED):  # whose findings the CDK has printed
            raise
    else:
        return
    raise SystemExit(REFUSED)
