"""An environment that serves an invocation for each line of its input; a script, to be frozen."""

from __future__ import annotations

import sys

from broker import Broker, BrokerError


def main() -> None:
    """For each line: serve one invocation, and say what came of it."""
    db = Broker.from_env()
    for _ in sys.stdin:
        try:
            db.run("select 1")
            said = "served"
        except BrokerError as error:
            said = type(error).__name__
        sys.stdout.write(said + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
