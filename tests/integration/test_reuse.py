"""One session per environment, kept across invocations, replaced when it is of no more use."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from broker import Broker, BrokerClosed, CheckoutTimeout, DeadlineExceeded
from broker.deadline import Instant, SystemClock
from broker.local.pgbouncer import PgBouncer
from broker.reuse import Reason
from tests.conftest import Database
from tests.wait import wait_until


class ShiftedClock(SystemClock):
    """The machine's clocks, set forward: an environment that was frozen for `shift_s`."""

    shift_s = 0.0

    def now(self) -> Instant:  # type: ignore[override]  # the machine's own needs no self
        moment = SystemClock.now()
        return Instant(moment.monotonic_s, moment.wall_s + self.shift_s)


def pid(db: Broker) -> int:
    return int(db.run("select pg_backend_pid()").scalar())


def test_one_session_serves_every_invocation(
    broker_to: Callable[..., Broker], database: Database
) -> None:
    db = broker_to()
    assert len({pid(db) for _ in range(5)}) == 1
    assert database.backends() == 1
    assert (db.stats().opened, db.stats().reused) == (1, 4)


def test_creating_a_broker_connects_to_nothing(
    broker_to: Callable[..., Broker], database: Database
) -> None:
    broker_to()
    assert database.backends() == 0


def test_a_backend_killed_between_two_invocations_is_found_before_use(
    broker_to: Callable[..., Broker], database: Database
) -> None:
    db = broker_to(fresh_s=0.0)
    first = pid(db)
    assert database.kill_backends() == 1
    assert pid(db) != first
    assert db.stats().replaced == {Reason.ENDED_BY_SERVER: 1}


def test_a_pooler_restarted_between_two_invocations_goes_unnoticed(
    broker_to: Callable[..., Broker], pgbouncer: Callable[..., PgBouncer]
) -> None:
    pooler = pgbouncer()
    db = broker_to(pooler, fresh_s=0.0)
    assert db.run("select :n::int", n=1).scalar() == 1
    pooler.restart()
    assert db.run("select :n::int", n=2).scalar() == 2
    assert db.stats().replaced == {Reason.ENDED_BY_SERVER: 1}


def test_a_session_that_the_server_ended_as_idle_is_found_before_use(
    broker_to: Callable[..., Broker], database: Database
) -> None:
    database.server.admin(f"alter role {database.user} set idle_session_timeout = '200ms'")
    db = broker_to(fresh_s=0.0)
    first = pid(db)
    wait_until(lambda: database.backends() == 0, "the server to end the idle session")
    assert pid(db) != first
    assert db.stats().replaced == {Reason.ENDED_BY_SERVER: 1}


def test_a_session_ended_as_idle_within_its_fresh_time_is_replaced_as_well(
    broker_to: Callable[..., Broker], database: Database
) -> None:
    """57P05 says that the server never read the statement, so it is safe on another session."""
    database.server.admin(f"alter role {database.user} set idle_session_timeout = '200ms'")
    db = broker_to(fresh_s=60.0)
    first = pid(db)
    wait_until(lambda: database.backends() == 0, "the server to end the idle session")
    assert pid(db) != first


@pytest.mark.parametrize(
    ("frozen_s", "reason"), [(300.0, Reason.IDLE_TOO_LONG), (3600.0, Reason.LIFETIME_OVER)]
)
def test_a_session_frozen_past_a_limit_is_replaced_without_being_asked(
    frozen_s: float, reason: Reason, database: Database
) -> None:
    clock = ShiftedClock()
    with Broker(database.settings(), clock=clock) as db:
        first = pid(db)
        clock.shift_s = frozen_s
        assert pid(db) != first
        assert db.stats().replaced == {reason: 1}
        assert database.backends() == 1


def test_a_notice_in_the_idle_socket_does_not_look_like_the_end(
    broker_to: Callable[..., Broker],
) -> None:
    db = broker_to(fresh_s=0.0, max_sessions=2)
    first = pid(db)
    db.run("listen news")
    other = Broker(db.settings)
    other.run("notify news, 'hello'")
    other.close()
    assert pid(db) == first


def test_threads_share_no_session_and_stay_within_the_maximum(
    broker_to: Callable[..., Broker], database: Database
) -> None:
    db = broker_to(max_sessions=4)
    wrong: list[object] = []

    def work(n: int) -> None:
        for i in range(100):
            if db.run("select :n::int, :i::int", n=n, i=i).one() != [n, i]:
                wrong.append((n, i))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert database.backends() <= 4
    assert db.stats().sessions_open <= 4


def test_whoever_waits_longest_is_next_though_others_never_rest(
    broker_to: Callable[..., Broker],
) -> None:
    """Threads that ask again at once do not keep those that wait from their turn."""
    db = broker_to(max_sessions=2, timeout_s=20)
    served = [0] * 6
    over = threading.Event()

    def work(number: int) -> None:
        while not over.is_set():
            db.run("select 1")
            served[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    wait_until(lambda: sum(served) > 600, "the threads to be served")
    over.set()
    for thread in threads:
        thread.join()
    assert min(served) > max(served) / 4, served


def test_waiting_for_a_session_ends_at_the_deadline_and_says_who_has_it(
    broker_to: Callable[..., Broker],
) -> None:
    db = broker_to(timeout_s=0.3)
    errors: list[Exception] = []

    def other() -> None:
        try:
            db.run("select 1")
        except CheckoutTimeout as error:
            errors.append(error)

    with pytest.raises(DeadlineExceeded), db.transaction() as tx:
        tx.run("select 1")
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(30)
    assert "test_reuse.py" in str(errors[0])
    assert "BROKER_MAX_SESSIONS" in str(errors[0])


def test_a_closed_broker_refuses_and_holds_nothing(
    broker_to: Callable[..., Broker], database: Database
) -> None:
    db = broker_to()
    db.run("select 1")
    db.close()
    wait_until(lambda: database.backends() == 0, "the session to end")
    with pytest.raises(BrokerClosed, match="module scope"):
        db.run("select 1")


def test_a_forked_child_has_sessions_of_its_own(broker_to: Callable[..., Broker]) -> None:
    db = broker_to()
    parent = pid(db)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # no assertion and no fixture's end in here
        answer = b"failed"
        try:
            answer = b"own" if pid(db) != parent else b"shared"
            db.close()
        finally:
            os.write(write, answer)
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read() == b"own"
    assert pid(db) == parent
