"""Processes that work as environments do; run as a script, since forking wants no threads."""

from __future__ import annotations

import os
import random
import sys
import time

from broker import Broker, BrokerError
from broker.errors import ConnectError, DeadlineExceeded


def work(number: int, seconds: float) -> None:
    """Serve invocations until the time is over, retiring the session now and then."""
    rng = random.Random(number)
    served = refused = 0
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        try:
            with Broker.from_env() as db:
                for _ in range(rng.randrange(1, 30)):
                    db.run("select pg_sleep(0.005)")
                    served += 1
                    time.sleep(rng.uniform(0, 0.02))
        except (ConnectError, DeadlineExceeded) as error:
            refused += 1
            say(number, type(error).__name__)
        except BrokerError as error:
            say(number, "FAILED", repr(error))
            raise
    say(number, "served", served, "refused", refused)


def say(*words: object) -> None:
    """Print a line in one write, so that processes' lines do not mix."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def main(processes: int, seconds: float) -> None:
    """Fork them, print each one's pid, and wait for all."""
    for number in range(processes):
        pid = os.fork()
        if not pid:
            work(number, seconds)
            os._exit(0)
        say("pid", pid)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
