"""Sessions are checked out, returned and retired, and no slot is ever lost or used twice."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from broker.deadline import SYSTEM_CLOCK, Clock, Deadline
from broker.errors import BrokerClosed, CheckoutTimeout, ServerUnavailable
from broker.pool import Pool
from broker.reuse import Policy, Reason
from broker.stats import Recorder
from broker.wire import Status
from tests.unit.fakes import FakeClock, FakeSession, FixedRandom, Fleet

POLICY = Policy(fresh_s=0.1, probe_s=60, idle_timeout_s=240, lifetime_s=600)


class Environment:
    """A pool of fake sessions, and all that it was given."""

    def __init__(self, max_sessions: int = 1, policy: Policy = POLICY) -> None:
        self.clock = FakeClock()
        self.fleet = Fleet(self.clock)
        self.recorder = Recorder()
        self.pool = make(self.fleet, max_sessions, self.clock, self.recorder, policy)
        self.now = Deadline.after(0, self.clock)  # waits for nothing

    def checkout(self) -> Any:
        return self.pool.checkout(self.now)

    def counts(self) -> tuple[int, int]:
        stats = self.pool.stats()
        return stats.sessions_open, stats.sessions_idle


def make(
    fleet: Fleet,
    max_sessions: int,
    clock: Clock,
    recorder: Recorder | None = None,
    policy: Policy = POLICY,
) -> Pool:
    opener = fleet.open
    return Pool(
        opener,  # type: ignore[arg-type]  # fakes
        fleet.canceled.append,  # type: ignore[arg-type]
        max_sessions,
        policy,
        recorder or Recorder(),
        clock,
        FixedRandom(0.5),
    )


def test_nothing_is_opened_before_somebody_asks():
    env = Environment()

    assert env.counts() == (0, 0)
    assert not env.fleet.sessions


def test_a_returned_session_is_used_again():
    env = Environment()
    first = env.checkout()
    env.pool.give_back(first)

    assert env.checkout() is first
    assert env.pool.stats().reused == 1
    assert len(env.fleet.sessions) == 1


def test_the_session_used_last_is_used_first_so_that_the_rest_can_age():
    env = Environment(max_sessions=2)
    one, two = env.checkout(), env.checkout()
    env.pool.give_back(one)
    env.pool.give_back(two)

    assert env.checkout() is two
    assert env.checkout() is one


def test_a_checkout_that_gets_none_in_time_says_how_many_there_are_and_where_they_went():
    env = Environment(max_sessions=2)
    env.checkout()
    env.checkout()
    with pytest.raises(CheckoutTimeout) as raised:
        env.checkout()

    assert "one of 2 session(s)" in str(raised.value)
    assert "BROKER_MAX_SESSIONS" in str(raised.value)
    assert env.counts() == (2, 0)
    assert len(env.recorder.take().checkout_wait_ms) == 1


def test_the_place_of_a_checkout_is_the_users_own_line():
    env = Environment()
    session = env.pool.checkout(env.now)  # this line
    (place,) = env.pool.outstanding().values()

    assert place[0] == __file__
    assert "# this line" in Path(__file__).read_text("utf-8").splitlines()[place[1] - 1]
    env.pool.give_back(session)
    assert env.pool.outstanding() == {}


def test_a_fresh_session_is_used_without_a_look_and_a_settled_one_after_a_look():
    env = Environment()
    session = env.checkout()
    env.pool.give_back(session)
    env.checkout()
    assert session.looked == 0
    env.pool.give_back(session)
    env.clock.advance(1)
    env.checkout()

    assert session.looked == 1


def test_a_session_that_rested_for_long_is_asked_for_a_sign_of_life():
    """Half-open, as after a freeze, it looks like any other."""
    env = Environment()
    session = env.checkout()
    env.pool.give_back(session)
    env.clock.freeze(61)
    assert env.checkout() is session
    assert (session.looked, session.probed) == (1, 1)
    env.pool.give_back(session)
    env.clock.freeze(61)
    session.silent = True
    assert env.checkout() is not session
    assert env.pool.stats().replaced == {Reason.UNANSWERED: 1}
    assert env.counts() == (1, 0)


def test_sessions_that_the_server_ended_together_are_retired_together():
    env = Environment(max_sessions=4)
    dead, dies, lives, out = sessions = [env.checkout() for _ in range(4)]
    for session in (dead, lives):
        env.pool.give_back(session)
    dead.die()
    dies.whole, dies.lost = False, True
    env.pool.give_back(dies)
    assert [session.closed for session in sessions] == [1, 1, 0, 0]
    env.pool.give_back(out)
    assert env.pool.stats().replaced == {Reason.ENDED_BY_SERVER: 2}
    assert env.counts() == (2, 2)


def test_all_sessions_with_a_writer_that_is_none_any_more_are_retired_with_the_first_that_saw_it():
    env = Environment(max_sessions=3)
    idle, saw, out = sessions = [env.checkout() for _ in range(3)]
    env.pool.give_back(idle)
    saw.demoted = True
    env.pool.give_back(saw)
    assert [session.closed for session in sessions] == [1, 1, 0]
    later = env.checkout()
    env.pool.give_back(out)
    env.pool.give_back(later)
    assert [session.closed for session in (*sessions, later)] == [1, 1, 1, 0]
    assert env.pool.stats().replaced == {Reason.READ_ONLY: 3}
    assert env.counts() == (1, 1)


def test_a_writer_that_is_none_any_more_ends_the_sessions_of_that_time_once():
    env = Environment(max_sessions=3)
    first, second = env.checkout(), env.checkout()
    for session in (first, second):
        session.demoted = True
    env.pool.give_back(first)
    new = env.checkout()
    env.pool.give_back(new)
    env.pool.give_back(second)
    assert [session.closed for session in (first, second, new)] == [1, 1, 0]


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        (lambda env, session: env.clock.advance(241), Reason.IDLE_TOO_LONG),
        (lambda env, session: env.clock.freeze(241), Reason.IDLE_TOO_LONG),
        (lambda env, session: env.clock.advance(601), Reason.LIFETIME_OVER),
        (
            lambda env, session: (env.clock.advance(1), session.die()),
            Reason.ENDED_BY_SERVER,
        ),
    ],
)
def test_a_session_that_cannot_be_trusted_is_closed_and_replaced_for_that_reason(then, reason):
    env = Environment()
    old = env.checkout()
    env.pool.give_back(old)
    then(env, old)

    new = env.checkout()

    assert new is not old
    assert (old.closed, new.closed) == (1, 0)
    assert env.pool.stats().replaced == {reason: 1}
    assert env.counts() == (1, 0)


def test_being_used_is_what_keeps_a_session_from_idling():
    env = Environment()
    session = env.checkout()
    for _ in range(2):
        env.clock.advance(200)
        env.pool.give_back(session)
        assert env.checkout() is session


@pytest.mark.parametrize("spoil", ["whole", "status"])
def test_a_session_that_is_not_clean_is_closed_and_its_slot_is_free(spoil):
    env = Environment()
    session = env.checkout()
    setattr(session, spoil, False if spoil == "whole" else Status.TRANSACTION)
    env.pool.give_back(session)

    assert session.closed
    assert env.counts() == (0, 0)
    assert env.checkout() is not session
    assert env.pool.stats().replaced == {Reason.INTERRUPTED: 1}


@pytest.mark.parametrize("failure", [ServerUnavailable(), KeyboardInterrupt(), MemoryError()])
def test_a_session_that_could_not_be_opened_takes_no_slot(failure):
    env = Environment()
    env.fleet.failures = [failure]
    with pytest.raises(type(failure)):
        env.checkout()

    assert env.counts() == (0, 0)
    env.checkout()


def test_a_look_that_fails_takes_no_slot():
    """Whatever a server may have sent, such as a NOTIFY in another alphabet."""
    env = Environment()
    session = env.checkout()
    env.pool.give_back(session)
    env.clock.advance(1)

    def look():
        raise UnicodeDecodeError("ascii", b"\xc3", 0, 1, "not in range")

    session.look = look
    try:
        taken = env.checkout()
    except UnicodeDecodeError:
        taken = env.checkout()

    assert taken is not session
    assert session.closed
    assert env.counts() == (1, 0)


def test_retiring_frees_the_slot_once_however_often_it_is_called():
    env = Environment(max_sessions=2)
    one, two = env.checkout(), env.checkout()
    env.pool.retire(one, Reason.LEAKED)
    env.pool.retire(one, Reason.LEAKED)
    env.pool.give_back(one)

    assert env.counts() == (1, 0)
    assert one.closed == 1
    assert two.closed == 0
    assert env.pool.stats().replaced == {Reason.LEAKED: 1}


def test_a_session_that_is_returned_twice_is_there_once():
    """Or it would be given to two threads."""
    env = Environment(max_sessions=2)
    session = env.checkout()
    env.pool.give_back(session)
    env.pool.give_back(session)

    assert env.counts() == (1, 1)
    assert env.checkout() is session
    assert env.checkout() is not session


def test_a_session_that_is_retired_while_idle_is_given_to_nobody():
    """As when a thread returns it while the invocation's end retires what was checked out."""
    env = Environment()
    session = env.checkout()
    env.pool.give_back(session)
    env.pool.retire(session, Reason.LEAKED)

    assert env.counts() == (0, 0)
    assert env.checkout() is not session
    assert env.counts() == (1, 0)


def test_a_pool_that_was_closed_opens_nothing():
    env = Environment()
    env.pool.close()

    with pytest.raises(BrokerClosed):
        env.checkout()
    assert env.counts() == (0, 0)


def test_closing_ends_what_is_idle_now_and_what_is_out_when_it_comes_back():
    env = Environment(max_sessions=2)
    idle, out = env.checkout(), env.checkout()
    env.pool.give_back(idle)
    env.pool.close()
    assert (idle.closed, out.closed) == (1, 0)
    env.pool.give_back(out)

    assert out.closed == 1
    assert env.counts() == (0, 0)
    assert env.pool.stats().replaced == {Reason.CLOSED: 2}
    env.pool.close()


def test_a_waiter_learns_that_the_pool_was_closed():
    pool = make(Fleet(), 1, SYSTEM_CLOCK)
    pool.checkout(Deadline.after(60))
    raised = []

    def wait() -> None:
        try:
            pool.checkout(Deadline.after(60))
        except BrokerClosed as error:
            raised.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    pool.close()
    thread.join()

    assert raised


@pytest.mark.parametrize("how", ["give_back", "retire"])
def test_a_waiter_gets_what_another_gives_up(how):
    fleet = Fleet(FakeClock())
    pool = make(fleet, 1, SYSTEM_CLOCK, policy=Policy(1e12, 1e12, 1e12, 1e12))
    session = pool.checkout(Deadline.after(60))
    got = []
    thread = threading.Thread(target=lambda: got.append(pool.checkout(Deadline.after(60))))
    thread.start()
    if how == "retire":
        pool.retire(session, Reason.LEAKED)
    else:
        pool.give_back(session)
    thread.join()

    assert (got == [session]) == (how == "give_back")
    assert fleet.open_now == 1


def test_a_forked_child_lets_go_of_the_parents_sessions_without_a_word():
    env = Environment(max_sessions=2)
    idle, out = env.checkout(), env.checkout()
    env.pool.give_back(idle)
    env.pool._changed.acquire()  # by a thread of the parent's, which is not in the child
    env.pool.after_fork()

    assert (idle.abandoned, out.abandoned) == (1, 1)
    assert (idle.closed, out.closed) == (0, 0)
    assert env.counts() == (0, 0)
    env.pool.give_back(out)  # by the `with` block that the fork was in
    assert env.checkout() not in (idle, out)
    assert env.checkout()
    with pytest.raises(CheckoutTimeout):
        env.checkout()


def test_a_closed_pool_is_closed_in_a_forked_child_too():
    env = Environment()
    env.pool.close()
    env.pool.after_fork()

    with pytest.raises(BrokerClosed):
        env.checkout()


class Sequence(RuleBasedStateMachine):
    """Any sequence of events leaves every slot accounted for."""

    MAX = 3

    def __init__(self) -> None:
        super().__init__()
        self.env = Environment(self.MAX)
        self.out: list[Any] = []

    @rule(fails=st.booleans())
    def checkout(self, fails):
        if fails:
            self.env.fleet.failures = [ServerUnavailable()]
        try:
            session = self.env.checkout()
        except CheckoutTimeout:
            assert len(self.out) == self.MAX
        except ServerUnavailable:
            assert fails
        else:
            assert session not in self.out
            assert not session.closed
            assert session.alive or session.looked == 0  # a fresh one may be dead
            self.out.append(session)
        self.env.fleet.failures = []

    @precondition(lambda self: self.out)
    @rule(data=st.data(), whole=st.booleans(), status=st.sampled_from(Status))
    def give_back(self, data, whole, status):
        session = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        session.whole, session.status = whole, status
        self.env.pool.give_back(session)
        assert bool(session.closed) == (not (whole and status is Status.IDLE))

    @precondition(lambda self: self.out)
    @rule(again=st.booleans())
    def retire(self, again):
        session = self.out.pop()
        for _ in range(1 + again):
            self.env.pool.retire(session, Reason.LEAKED)
        self.env.pool.give_back(session)

    @rule(seconds=st.sampled_from([0.05, 1, 100, 300, 700]), frozen=st.booleans())
    def pass_time(self, seconds, frozen):
        (self.env.clock.freeze if frozen else self.env.clock.advance)(seconds)

    @rule()
    def the_server_ends_all(self):
        for session in self.env.fleet.sessions:
            session.alive = False

    @invariant()
    def every_slot_is_accounted_for(self):
        taken, idle = self.env.counts()
        assert taken == self.env.fleet.open_now <= self.MAX
        assert taken == idle + len(self.out)
        assert set(self.env.pool.outstanding()) == set(self.out)
        assert self.env.fleet.most_open <= self.MAX
        assert all(session.closed <= 1 for session in self.env.fleet.sessions)


TestSequence = Sequence.TestCase
TestSequence.settings = settings(max_examples=60, stateful_step_count=30)


@pytest.fixture
def eager_switching() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager_switching")
@pytest.mark.parametrize("seed", range(3))
def test_threads_never_share_a_session_nor_exceed_the_limit_nor_lose_a_slot(seed):
    fleet, limit = Fleet(FakeClock()), 3
    pool = make(fleet, limit, SYSTEM_CLOCK, policy=Policy(1e12, 1e12, 1e12, 1e12))
    held: set[Any] = set()
    wrong: list[str] = []
    guard = threading.Lock()
    open_session = fleet.open

    def opening(deadline: Deadline) -> FakeSession:
        if chance.random() < 0.2:
            raise ServerUnavailable
        return open_session(deadline)

    chance = random.Random(seed)
    pool._open_session = opening  # type: ignore[assignment]

    def work(number: int) -> None:
        rng = random.Random(seed * 100 + number)
        for _ in range(150):
            try:
                session: Any = pool.checkout(Deadline.after(60))
            except ServerUnavailable:
                continue
            except BaseException as error:
                wrong.append(repr(error))
                return
            with guard:
                if session in held:
                    wrong.append("a session was given to two threads")
                held.add(session)
            what = rng.random()
            with guard:
                held.discard(session)
            if what < 0.1:
                pool.retire(session, Reason.LEAKED)
            elif what < 0.3:
                session.whole = False
            pool.give_back(session)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert fleet.most_open <= limit
    stats = pool.stats()
    assert stats.sessions_open == stats.sessions_idle == fleet.open_now
