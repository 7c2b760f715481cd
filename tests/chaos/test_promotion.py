"""A COMMIT whose answer was lost, while a standby became the writer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from broker import Broker, BrokerError, OutcomeUnknown
from broker.local.loop_thread import LoopThread
from broker.settings import Flavour, Settings, Tls
from tests.chaos.cluster import Cluster
from tests.chaos.cut import Cut, Moment, is_commit
from tests.chaos.hop import Hop
from tests.chaos.link import End, Link
from tests.chaos.standby import Standby

OTHERS = 20  # transactions on the new writer: enough to be given the same ids
DATABASE, ROLE, PASSWORD = "ledgerdb", "app", "s3cret"
ASK = "select pg_xact_status(cast(cast(:xid as text) as xid8))"
COUNT = "select count(*) from ledger where token = 'mine'"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Start a writer with a ledger, and a standby that hears of nothing before it commits."""
    with Cluster(wal_writer_delay="10s") as started:
        started.writer.create_role(ROLE, PASSWORD)
        started.writer.create_database(DATABASE, owner=ROLE)
        started.writer.admin("create table ledger (token text)", database=DATABASE)
        started.writer.admin(f"grant insert, select on ledger to {ROLE}", database=DATABASE)
        yield started


@pytest.fixture
def hop(cluster: Cluster) -> Iterator[Hop]:
    """Open a hop that leads to the writer of the moment."""
    loop = LoopThread("hop")
    made = Hop("client to writer", loop, cluster.port)
    made.open()
    yield made
    made.close()
    loop.close()


def settings(hop: Hop) -> Settings:
    """Return the settings that lead through the hop."""
    return Settings(
        host=hop.host,
        port=hop.port,
        database=DATABASE,
        user=ROLE,
        password=PASSWORD,
        flavour=Flavour.DIRECT,
        tls=Tls.OFF,
    )


@pytest.fixture
def behind(cluster: Cluster) -> Iterator[Standby]:
    """Make a standby that nobody waits for, and that heard of nothing that comes from here on."""
    standby = Standby(cluster.writer, {"max_connections": "80"})
    try:
        standby.start()
        standby.stop()
        yield standby
    finally:
        standby.close()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("same_address", [False, True])
def test_what_a_standby_never_heard_of_is_neither_acknowledged_nor_denied(
    cluster: Cluster, behind: Standby, same_address: bool
) -> None:
    """COMMIT happened, on a writer that is lost; the new one gave its id to another transaction."""
    loop = LoopThread("hop")
    writers = [cluster.writer]
    hop = Hop("client to writer", loop, lambda: writers[-1].port)
    hop.open()

    def harm(link: Link) -> None:
        cluster.writer.stop("immediate")
        if same_address:  # as a virtual address moves
            behind._port = cluster.writer.port
        behind.start()
        behind.promote()
        writers.append(behind)
        for number in range(OTHERS):
            behind.admin(f"insert into ledger values ('{number}')", database=DATABASE)
        hop.call(link.end, End.RESET)

    try:
        with Broker(settings(hop)) as db:
            hop.arm(Cut(is_commit, Moment.AFTER, harm))
            with pytest.raises(OutcomeUnknown) as caught, db.transaction() as tx:
                tx.run("insert into ledger values ('mine')")
            assert "elsewhere" in caught.value.__notes__[0]
            assert behind.admin(ASK, xid=caught.value.transaction_id) == [["committed"]]
            assert behind.admin(COUNT, database=DATABASE) == [[0]]
            assert (behind.port == cluster.writer.port) is same_address
    finally:
        hop.close()
        loop.close()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("change", [Cluster.switch_over, Cluster.fail_over])
def test_the_new_writers_transaction_of_that_id_is_not_taken_for_ours(
    cluster: Cluster, hop: Hop, change
) -> None:
    cluster.add_standby()

    def harm(link: Link) -> None:
        change(cluster)
        for number in range(OTHERS):
            cluster.writer.admin(f"insert into ledger values ('{number}')", database=DATABASE)
        hop.call(link.end, End.RESET)

    with Broker(settings(hop)) as db:
        hop.arm(Cut(is_commit, Moment.BEFORE, harm))
        with pytest.raises(BrokerError) as caught, db.transaction() as tx:
            tx.run("insert into ledger values ('mine')")
        assert isinstance(caught.value, OutcomeUnknown) or caught.value.retryable
        assert db.run("select count(*) from ledger where token = 'mine'").scalar() == 0
        assert db.run("select pg_is_in_recovery()").scalar() is False
