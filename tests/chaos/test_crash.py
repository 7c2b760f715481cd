"""A COMMIT whose answer was lost, on a server that crashed meanwhile, or was restarted in peace."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pg8000.native
import pytest

from broker import Broker, BrokerError, ConnectionLost, OutcomeUnknown
from broker.local.loop_thread import LoopThread
from broker.local.pgbouncer import PgBouncer
from broker.local.postgres import Postgres
from broker.settings import Flavour, Settings, Tls
from tests.chaos.cut import Cut, Moment, is_commit
from tests.chaos.hop import Hop
from tests.chaos.link import End, Link
from tests.wait import wait_until

DATABASE, ROLE, PASSWORD = "ledgerdb", "app", "s3cret"
OTHERS = 20  # transactions that come after the crash: enough to be given every id again
Crash = Callable[[Postgres], None]


@pytest.fixture
def server() -> Iterator[Postgres]:
    """Start a server that writes its log ahead at COMMIT alone, as a busy moment has it."""
    with Postgres({"wal_writer_delay": "10s"}) as started:
        started.create_role(ROLE, PASSWORD)
        started.create_database(DATABASE, owner=ROLE)
        started.admin("create table ledger (token text)", database=DATABASE)
        started.admin(f"grant insert, select on ledger to {ROLE}", database=DATABASE)
        started.admin("checkpoint")
        yield started


@pytest.fixture(params=[Flavour.DIRECT, Flavour.PGBOUNCER])
def flavour(request: pytest.FixtureRequest) -> Flavour:
    """Take each way to the server."""
    return Flavour(request.param)


@pytest.fixture
def hop(server: Postgres, flavour: Flavour) -> Iterator[Hop]:
    """Open a hop to it, or to a pooler before it."""
    loop = LoopThread("hop")
    databases = {"databases": {DATABASE: server.conninfo(DATABASE)}}
    pooler = PgBouncer(databases, {ROLE: PASSWORD})
    if flavour is Flavour.PGBOUNCER:
        pooler.start()
    made = Hop("client to server", loop, lambda: (pooler if pooler.running else server).port)
    made.open()
    yield made
    made.close()
    pooler.close()
    loop.close()


@pytest.fixture
def db(hop: Hop, flavour: Flavour) -> Iterator[Broker]:
    """Open a broker that goes through the hop."""
    settings = Settings(
        host=hop.host,
        port=hop.port,
        database=DATABASE,
        user=ROLE,
        password=PASSWORD,
        flavour=flavour,
        tls=Tls.OFF,
    )
    with Broker(settings) as made:
        made.run("select 1")
        yield made


def restart(server: Postgres) -> None:
    """Restart it without a checkpoint."""
    server.restart("immediate")


def lose_a_backend(server: Postgres) -> None:
    """Kill one backend: the postmaster ends all the others, and recovers as after a crash."""
    [[victim]] = server.admin(f"select pid from pg_stat_activity where usename = '{ROLE}' limit 1")
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: "all server processes terminated" in server.log_tail(200), "the recovery")


def writes(server: Postgres, token: str) -> bool:
    """Commit a transaction of somebody else's; tell whether the server let it."""
    try:
        server.admin("insert into ledger values (:token)", database=DATABASE, token=token)
    except pg8000.native.Error:
        return False
    return True


def answers(server: Postgres) -> bool:
    """Tell whether the server lets anybody in."""
    try:
        server.admin("select 1")
    except (pg8000.native.Error, OSError):
        return False
    return True


def others_write(server: Postgres) -> None:
    """Have others commit, once the server lets them."""
    for number in range(OTHERS):
        wait_until(partial(writes, server, f"other {number}"), "it to be open")


def status(server: Postgres, xid: str) -> object:
    """Return what the server says of a transaction, or the SQLSTATE with which it refuses to."""
    try:
        sql = "select pg_xact_status(cast(cast(:xid as text) as xid8))"
        return server.admin(sql, xid=xid)[0][0]
    except pg8000.native.DatabaseError as error:
        return error.args[0]["C"]


def is_there(server: Postgres) -> bool:
    """Tell whether the row was kept."""
    sql = "select count(*) from ledger where token = 'mine'"
    return bool(server.admin(sql, database=DATABASE)[0][0])


def told(
    db: Broker, hop: Hop, moment: Moment, harm: Callable[[], object]
) -> tuple[BrokerError | None, str]:
    """Write and commit while `harm` is done to COMMIT; return what was raised, and the id."""

    def harm_and_cut(link: Link) -> None:
        harm()
        hop.call(link.end, End.RESET)

    xid: list[Any] = []
    hop.arm(Cut(is_commit, moment, harm_and_cut))
    try:
        with db.transaction() as tx:
            tx.run("insert into ledger values (:token)", token="mine")
            xid.append(tx.run("select pg_current_xact_id()::text").scalar())
    except BrokerError as error:
        return error, xid[0]
    return None, xid[0]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("crash", [restart, lose_a_backend])
def test_an_id_that_was_given_again_after_a_crash_acknowledges_nothing(
    server: Postgres, db: Broker, hop: Hop, crash: Crash
) -> None:
    """The server says "committed" of it then, and means another transaction."""

    def harm() -> None:
        crash(server)
        others_write(server)

    error, xid = told(db, hop, Moment.BEFORE, harm)
    assert status(server, xid) == "committed", "the id was not given again: nothing is proved"
    assert isinstance(error, OutcomeUnknown) or (error is not None and error.retryable)
    assert not is_there(server)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("crash", [restart, lose_a_backend])
def test_an_id_that_was_not_given_again_yet_acknowledges_nothing(
    server: Postgres, db: Broker, hop: Hop, crash: Crash
) -> None:
    """Of such an id the server says that it is in the future."""
    error, xid = told(db, hop, Moment.BEFORE, lambda: crash(server))
    wait_until(lambda: answers(server), "it to be open")
    assert status(server, xid) == "22023"
    assert isinstance(error, OutcomeUnknown) or (error is not None and error.retryable)
    assert not is_there(server)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("crash", [restart, lose_a_backend])
def test_a_commit_that_was_kept_before_the_crash_is_not_denied(
    server: Postgres, db: Broker, hop: Hop, crash: Crash
) -> None:
    """COMMIT was answered, so its record was in the log; the answer did not arrive."""

    def harm() -> None:
        crash(server)
        others_write(server)

    error, _ = told(db, hop, Moment.AFTER, harm)
    assert is_there(server)
    assert error is None or isinstance(error, OutcomeUnknown)


@pytest.mark.timeout(120)
def test_a_restart_in_peace_hides_no_outcome(server: Postgres, db: Broker, hop: Hop) -> None:
    """A server that was shut down in order gives no id again, so it is asked."""

    def harm() -> None:
        server.restart("fast")
        others_write(server)

    error, xid = told(db, hop, Moment.BEFORE, harm)
    assert isinstance(error, ConnectionLost)
    assert (status(server, xid), is_there(server)) == ("aborted", False)
    error, xid = told(db, hop, Moment.AFTER, harm)
    assert error is None
    assert (status(server, xid), is_there(server)) == ("committed", True)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("flavour", [Flavour.DIRECT], indirect=True)
def test_an_aurora_that_was_started_since_is_not_asked(
    server: Postgres, db: Broker, hop: Hop
) -> None:
    """What it does to its statistics when it recovers is not documented."""
    server.admin("create function aurora_version() returns text return '17.4.0'", database=DATABASE)
    error, _ = told(db, hop, Moment.AFTER, lambda: None)
    assert error is None, "one that runs on is asked"
    error, xid = told(db, hop, Moment.AFTER, lambda: server.restart("fast"))
    assert isinstance(error, OutcomeUnknown)
    assert error.transaction_id == xid
    assert "elsewhere" in error.__notes__[0]
