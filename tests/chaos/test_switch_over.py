"""Writes while the writer changes: 25006 is dealt with out of sight, where that is right.

The server is real, and so is the promotion of its standby. The hop is the name that moves: who
connects is led to the writer of the moment, who is connected stays where he is.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import pytest

from broker import Broker, StatementError, TransactionAborted, WriteRefused, demotion
from broker.deadline import SystemClock
from broker.local.loop_thread import LoopThread
from broker.reuse import Reason
from broker.settings import Flavour, Settings, Tls
from tests.chaos.cluster import Cluster
from tests.chaos.hop import Hop

DATABASE, ROLE, PASSWORD = "ledgerdb", "app", "s3cret"
INSERT = "insert into ledger values (:token)"
COUNT = "select count(*) from ledger"
WAITS_BEFORE_THE_NAME_MOVES = 3


class WatchedClock(SystemClock):
    """The machine's clocks; `on_wait` hears of every wait between two attempts."""

    def __init__(self) -> None:
        self.waits = 0
        self.on_wait: Callable[[int], None] = lambda _: None

    def sleep(self, seconds: float) -> None:  # type: ignore[override]
        """Wait as asked, and tell."""
        self.waits += 1
        time.sleep(seconds)
        self.on_wait(self.waits)


class Site:
    """A cluster, the name that leads to its writer, and a broker on it."""

    def __init__(self, cluster: Cluster, loop: LoopThread) -> None:
        self.cluster = cluster
        self.port = cluster.port()
        self.hop = Hop("client to writer", loop, lambda: self.port)
        self.hop.open()
        self.clock = WatchedClock()
        self.db = self.broker()

    def broker(self) -> Broker:
        settings = Settings(
            host=self.hop.host,
            port=self.hop.port,
            database=DATABASE,
            user=ROLE,
            password=PASSWORD,
            flavour=Flavour.DIRECT,
            tls=Tls.OFF,
            max_sessions=3,
            fresh_s=0.0,
        )
        return Broker(settings, clock=self.clock, rng=random.Random(1))

    def switch_over(self) -> None:
        self.cluster.switch_over()

    def move_the_name(self) -> None:
        self.port = self.cluster.port()

    def rows(self) -> int:
        return int(self.cluster.writer.admin(COUNT, database=DATABASE)[0][0])


@pytest.fixture
def site() -> Iterator[Site]:
    loop = LoopThread("hop")
    with Cluster() as cluster:
        writer = cluster.writer
        writer.create_role(ROLE, PASSWORD)
        writer.create_database(DATABASE, owner=ROLE)
        writer.admin("create table ledger (token text)", database=DATABASE)
        writer.admin(f"grant all on ledger to {ROLE}", database=DATABASE)
        writer.admin(f"grant create on schema public to {ROLE}", database=DATABASE)
        made = Site(cluster, loop)
        with made.db:
            yield made
        made.hop.close()
    loop.close()


def moves_late(site: Site) -> None:
    """Let the name lead to the old writer until some attempts have failed."""

    def on_wait(waits: int) -> None:
        if waits == WAITS_BEFORE_THE_NAME_MOVES:
            site.move_the_name()

    site.clock.on_wait = on_wait


@pytest.mark.timeout(120)
def test_a_write_finds_the_new_writer_though_the_name_moves_late(site: Site) -> None:
    site.db.run("select 1")
    site.switch_over()
    moves_late(site)
    assert site.db.run(INSERT, token="a").row_count == 1
    with site.db.transaction() as tx:
        tx.run(INSERT, token="b")
    assert site.rows() == 2
    assert site.db.stats().replaced == {Reason.READ_ONLY: WAITS_BEFORE_THE_NAME_MOVES}


@pytest.mark.timeout(120)
def test_a_transactions_first_write_finds_the_new_writer(site: Site) -> None:
    site.db.run("select 1")
    site.switch_over()
    moves_late(site)
    with site.db.transaction() as tx:
        tx.run(INSERT, token="a")
        tx.run(INSERT, token="b")
    assert site.rows() == 2


@pytest.mark.timeout(120)
def test_a_transaction_that_has_read_before_is_run_again_by_retry_and_by_nobody_else(
    site: Site,
) -> None:
    def read_and_write(tx) -> None:
        tx.run(COUNT)
        tx.run(INSERT, token="a")

    site.db.run("select 1")
    site.switch_over()
    with pytest.raises(WriteRefused) as refused, site.db.transaction() as tx:
        read_and_write(tx)
    assert (refused.value.by_server, refused.value.retryable) == (True, True)
    moves_late(site)
    site.db.retry(read_and_write)
    assert site.rows() == 1


@pytest.mark.timeout(120)
def test_a_server_that_stays_read_only_is_given_up_and_still_read(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demotion, "PATIENCE_S", 0.5)
    site.cluster.add_standby()
    assert site.cluster._standby is not None
    site.port = site.cluster._standby.port
    with pytest.raises(WriteRefused) as refused:
        site.db.run(INSERT, token="a")
    assert refused.value.by_server is True
    assert "after the first" in refused.value.__notes__[0]
    assert site.db.run("select pg_is_in_recovery()").scalar() is True
    waits = site.clock.waits
    with pytest.raises(WriteRefused):
        site.db.read(INSERT, token="a")
    with pytest.raises(WriteRefused):
        site.db.retry(lambda tx: tx.run(INSERT, token="a"), read_only=True)
    assert site.clock.waits == waits, "it was asked to be read-only: no server will take it"


@pytest.mark.timeout(120)
def test_a_read_only_transaction_of_the_users_own_costs_no_session_and_is_not_repeated(
    site: Site,
) -> None:
    runs = []

    def write(tx) -> None:
        runs.append(tx)
        tx.run("select set_config('transaction_read_only', 'on', true)")
        tx.run(INSERT, token="a")

    for call in (
        lambda: site.db.retry(lambda tx: tx.run(INSERT, token="a"), read_only=True),
        lambda: site.db.retry(write),
    ):
        with pytest.raises(WriteRefused) as refused:
            call()
        assert refused.value.by_server is False
    assert len(runs) == 1
    assert site.clock.waits == 0
    assert site.db.stats().opened == 1


@pytest.mark.timeout(120)
def test_a_role_that_is_read_only_is_refused_after_a_few_attempts(site: Site) -> None:
    site.cluster.writer.admin(f"alter role {ROLE} set default_transaction_read_only = on")
    with pytest.raises(WriteRefused) as refused:
        site.db.run(INSERT, token="a")
    assert refused.value.by_server is False
    assert site.clock.waits == demotion.DOUBTS
    assert site.db.stats().opened == 1


@pytest.mark.timeout(120)
def test_a_refusal_that_the_user_swallows_commits_nothing(site: Site) -> None:
    site.cluster.writer.admin(f"alter role {ROLE} set default_transaction_read_only = on")
    with pytest.raises(TransactionAborted), site.db.transaction() as tx:
        with pytest.raises(StatementError):
            tx.run(INSERT, token="a")
        with pytest.raises(TransactionAborted):
            tx.run("select 1")


@pytest.mark.timeout(120)
def test_what_may_have_committed_a_part_of_its_work_is_not_sent_again(site: Site) -> None:
    with pytest.raises(WriteRefused):
        site.db.run("""do $$ begin
            insert into ledger values ('a'); commit;
            perform set_config('transaction_read_only', 'on', true);
            insert into ledger values ('b'); end $$""")
    assert site.rows() == 1
