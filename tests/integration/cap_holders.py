"""Processes that each hold a lease for a moment; a script, since forking wants no threads."""

from __future__ import annotations

import os
import random
import sys
import time
from urllib.parse import urlsplit

from broker.cap.cap import Cap
from broker.cap.dynamodb import DynamoDb
from broker.cap.lease import Terms
from broker.cap.table import LeaseTable
from broker.deadline import SYSTEM_CLOCK, Deadline
from broker.errors import ConnectError
from broker.settings import WhenUnreachable
from broker.sigv4 import Keys


def hold(endpoint: str, terms: Terms, table: str) -> None:
    """Take a lease, say which and when, hold it, give it back."""
    client = DynamoDb("eu-west-1", endpoint, lambda: Keys("a", "b"))
    leases = LeaseTable(client, table, terms)
    closed = WhenUnreachable.CLOSED
    cap = Cap(terms, closed, leases, lambda what: None, SYSTEM_CLOCK, random.Random())
    for _ in range(3):
        while True:
            try:
                lease = cap.take(Deadline.after(20))
                break
            except ConnectError as error:  # one machine serves all: retryable, as a queue would
                assert error.retryable
        say("took", lease.slot)
        time.sleep(0.2)
        say("gave", lease.slot)
        lease.give_back()


def say(what: str, slot: int | None) -> None:
    """Print an event in one write, so that processes' lines do not mix."""
    os.write(1, f"{what} {slot} {time.monotonic()}\n".encode())


def main(endpoint: str, name: str, table: str, cap: int, processes: int) -> None:
    """Fork the processes and wait for all."""
    assert urlsplit(endpoint).hostname == "127.0.0.1"
    pids = []
    for _ in range(processes):
        pid = os.fork()
        if not pid:
            hold(endpoint, Terms(name, cap, 600), table)
            os._exit(0)
        pids.append(pid)
    failed = [pid for pid in pids if os.waitpid(pid, 0)[1]]
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
