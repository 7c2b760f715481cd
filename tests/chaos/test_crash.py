"""A COMMIT whose answer was lost, on a server that crashed meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial

import pg8000.native
import pytest

from broker import Broker, BrokerError, OutcomeUnknown
from broker.local.loop_thread import LoopThread
from broker.local.postgres import Postgres
from broker.settings import Flavour, Settings, Tls
from tests.chaos.cut import Cut, Moment, is_commit
from tests.chaos.hop import End, Hop, Link
from tests.wait import wait_until


@pytest.fixture
def server() -> Iterator[Postgres]:
    """Start a server that writes its log ahead at COMMIT alone, as a busy moment has it."""
    with Postgres({"wal_writer_delay": "10s"}) as started:
        started.create_role("app", "s3cret")
        started.create_database("ledgerdb", owner="app")
        started.admin("create table ledger (token text)", database="ledgerdb")
        started.admin("grant insert, select on ledger to app", database="ledgerdb")
        started.admin("checkpoint")
        yield started


@pytest.fixture
def hop(server: Postgres) -> Iterator[Hop]:
    """Open a hop to it."""
    loop = LoopThread("hop")
    made = Hop("client to server", loop, lambda: server.port)
    made.open()
    yield made
    made.close()
    loop.close()


OTHERS = 20  # transactions that come after the crash: enough to be given every id again


def restart(server: Postgres) -> None:
    """Restart it without a checkpoint."""
    server.restart("immediate")


def lose_a_backend(server: Postgres) -> None:
    """Kill one backend: the postmaster ends all the others, and recovers as after a crash."""
    [[victim]] = server.admin("select pid from pg_stat_activity where usename = 'app' limit 1")
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: "all server processes terminated" in server.log_tail(200), "the recovery")


def writes(server: Postgres, token: str) -> bool:
    """Commit a transaction of somebody else's; tell whether the server let it."""
    try:
        server.admin("insert into ledger values (:token)", database="ledgerdb", token=token)
    except pg8000.native.Error:
        return False
    return True


@pytest.mark.timeout(60)
@pytest.mark.parametrize("crash", [restart, lose_a_backend])
def test_an_id_that_was_given_again_after_a_crash_acknowledges_nothing(
    server: Postgres, hop: Hop, crash: Callable[[Postgres], None]
) -> None:
    """After a crash, ids that were not in the log yet are given again: to other transactions."""

    def harm(link: Link) -> None:
        crash(server)
        for number in range(OTHERS):
            wait_until(partial(writes, server, f"other {number}"), "it to be open")
        hop.call(link.end, End.RESET)

    settings = Settings(
        host=hop.host,
        port=hop.port,
        database="ledgerdb",
        user="app",
        password="s3cret",
        flavour=Flavour.DIRECT,
        tls=Tls.OFF,
    )
    acknowledged = False
    with Broker(settings) as db:
        db.run("select 1")
        hop.arm(Cut(is_commit, Moment.BEFORE, harm))
        try:
            with db.transaction() as tx:
                tx.run("insert into ledger values (:token)", token="mine")
            acknowledged = True
        except BrokerError as error:
            assert isinstance(error, OutcomeUnknown) or error.retryable
    found = server.admin("select token from ledger where token = 'mine'", database="ledgerdb")
    assert not acknowledged or found == [["mine"]]
