"""Promise 2: nobody ever gets another client's rows."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

import pg8000.exceptions
import pytest

from broker import Broker
from broker.local.pgbouncer import PgBouncer
from tests.conftest import Database

CLIENTS = 60
BACKENDS = "25"
STATEMENTS = 50_000


def hammer(ask: Callable[[int], Callable[[int], object]], statements: int) -> Counter[str]:
    """Let each client ask for its own number by its own statement text; count the answers."""
    counts: Counter[str] = Counter()
    each = -(-statements // CLIENTS)
    start = threading.Barrier(CLIENTS)

    def client(number: int) -> None:
        mine: Counter[str] = Counter()
        one = ask(number)
        start.wait(60)
        for i in range(each):
            expected = number * 1_000_000 + i
            try:
                mine["right" if one(expected) == [number, expected] else "wrong"] += 1
            except pg8000.exceptions.DatabaseError:
                mine["failed"] += 1
        counts.update(mine)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    assert not any(thread.is_alive() for thread in threads), "clients that never finished"
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("prepared", ["0", "200"])
def test_no_statement_returns_another_clients_row(
    prepared: str,
    pgbouncer: Callable[..., PgBouncer],
    broker_to: Callable[..., Broker],
    database: Database,
) -> None:
    pooler = pgbouncer(default_pool_size=BACKENDS, max_prepared_statements=prepared)
    brokers = [broker_to(pooler) for _ in range(CLIENTS)]

    def ask(number: int) -> Callable[[int], object]:
        db = brokers[number]
        return lambda value: db.run(f"select {number}, :v::bigint -- {number}", v=value).one()

    counts = hammer(ask, STATEMENTS)

    assert counts == {"right": CLIENTS * -(-STATEMENTS // CLIENTS)}
    assert database.backends() <= int(BACKENDS)


def test_the_same_load_shows_the_hazard_with_a_plain_driver(
    pgbouncer: Callable[..., PgBouncer], database: Database
) -> None:
    """What the test above would see if a statement were more than one flight."""
    pooler = pgbouncer(default_pool_size="2")
    connections = [database.connect(pooler) for _ in range(CLIENTS)]

    def ask(number: int) -> Callable[[int], object]:
        connection = connections[number]
        return lambda value: connection.run(f"select {number}, :v::bigint", v=value)[0]

    counts = hammer(ask, 1200)
    for connection in connections:
        connection.close()

    assert counts["wrong"] > 0
