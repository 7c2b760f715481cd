"""A COMMIT whose answer was lost, while a standby became the writer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from broker import Broker, BrokerError, OutcomeUnknown
from broker.local.loop_thread import LoopThread
from broker.settings import Flavour, Settings, Tls
from tests.chaos.cluster import Cluster
from tests.chaos.cut import Cut, Moment, is_commit
from tests.chaos.hop import End, Hop, Link

OTHERS = 20  # transactions on the new writer: enough to be given the same ids
DATABASE, ROLE, PASSWORD = "ledgerdb", "app", "s3cret"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Start a writer with a ledger, and a standby that hears of nothing before it commits."""
    with Cluster(wal_writer_delay="10s") as started:
        started.writer.create_role(ROLE, PASSWORD)
        started.writer.create_database(DATABASE, owner=ROLE)
        started.writer.admin("create table ledger (token text)", database=DATABASE)
        started.writer.admin(f"grant insert, select on ledger to {ROLE}", database=DATABASE)
        started.add_standby()
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


@pytest.mark.timeout(120)
@pytest.mark.parametrize("change", [Cluster.switch_over, Cluster.fail_over])
def test_the_new_writers_transaction_of_that_id_is_not_taken_for_ours(
    cluster: Cluster, hop: Hop, change
) -> None:
    def harm(link: Link) -> None:
        change(cluster)
        for number in range(OTHERS):
            cluster.writer.admin(f"insert into ledger values ('{number}')", database=DATABASE)
        hop.call(link.end, End.RESET)

    settings = Settings(
        host=hop.host,
        port=hop.port,
        database=DATABASE,
        user=ROLE,
        password=PASSWORD,
        flavour=Flavour.DIRECT,
        tls=Tls.OFF,
    )
    with Broker(settings) as db:
        hop.arm(Cut(is_commit, Moment.BEFORE, harm))
        with pytest.raises(BrokerError) as caught, db.transaction() as tx:
            tx.run("insert into ledger values ('mine')")
        assert isinstance(caught.value, OutcomeUnknown) or caught.value.retryable
        assert db.run("select count(*) from ledger where token = 'mine'").scalar() == 0
        assert db.run("select pg_is_in_recovery()").scalar() is False
