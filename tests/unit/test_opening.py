"""A session is opened with patience: full jitter, inside the deadline, and not for lost causes."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from broker import opening
from broker.backoff import BASE_S
from broker.credentials import Credentials
from broker.deadline import Deadline
from broker.errors import (
    AuthenticationFailed,
    CapReached,
    ConfigurationError,
    ConnectError,
    ServerUnavailable,
    TlsFailed,
    TooManyConnections,
)
from broker.opening import Opener
from broker.settings import Tls
from broker.stats import Recorder
from tests.unit.fakes import FakeClock, FakeSession, FixedRandom, settings


class Server:
    """Stands where wire.connect stands, and refuses as it is told."""

    def __init__(self, *refusals: Exception, took_s: float = 0.0) -> None:
        self.refusals = list(refusals)
        self.took_s = took_s
        self.deadlines: list[float] = []
        self.passwords: list[str] = []

    def connect(self, config, password, context, deadline, clock) -> Any:
        """Refuse, or open a session."""
        self.deadlines.append(deadline.remaining_s())
        self.passwords.append(password)
        clock.advance(self.took_s)
        if self.refusals:
            raise self.refusals.pop(0)
        return FakeSession(clock.now())


class Attempt:
    """An opener in front of that server."""

    def __init__(self, monkeypatch, server: Server, share: float = 1.0, **changes: Any) -> None:
        monkeypatch.setattr(opening, "connect", server.connect)
        self.clock = FakeClock()
        self.recorder = Recorder()
        config = settings(**changes)
        self.opener = Opener(
            config,
            Credentials(config, self.clock),
            self.recorder,
            self.clock,
            FixedRandom(share),
        )

    def open(self, seconds: float = 30) -> Any:
        return self.opener.open(Deadline.after(seconds, self.clock))


FULL = TooManyConnections("sorry, too many clients already", sqlstate="53300")


def test_a_server_that_answers_is_asked_once(monkeypatch):
    server = Server(took_s=0.002)
    attempt = Attempt(monkeypatch, server)
    attempt.open()

    tally = attempt.recorder.take()
    assert tally.counts == {"opened": 1}
    assert tally.connect_ms == [pytest.approx(2)]
    assert attempt.clock.slept == []
    assert server.passwords == ["s3cret-pässwörd"]


def test_a_full_server_is_asked_again_after_waits_that_grow(monkeypatch):
    attempt = Attempt(monkeypatch, Server(FULL, FULL, ServerUnavailable("starting")))
    attempt.open()

    assert attempt.clock.slept == [BASE_S, 2 * BASE_S, 4 * BASE_S]
    tally = attempt.recorder.take()
    assert tally.counts == {"too_many_connections": 2, "connect_retries": 3, "opened": 1}
    assert tally.connect_ms == [pytest.approx(7 * BASE_S * 1000)]


def test_the_waits_are_drawn_anew_so_that_a_herd_spreads(monkeypatch):
    attempt = Attempt(monkeypatch, Server(FULL, FULL), share=0.25)
    attempt.open()

    assert attempt.clock.slept == [BASE_S / 4, BASE_S / 2]


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationFailed("no"),
        TlsFailed("no"),
        ConnectError("no such database"),
        ConfigurationError("x"),
    ],
)
def test_what_no_waiting_mends_is_raised_at_once_and_as_it_is(monkeypatch, error):
    server = Server(error)
    attempt = Attempt(monkeypatch, server)
    with pytest.raises(type(error)) as raised:
        attempt.open()

    assert raised.value is error
    assert len(server.deadlines) == 1
    assert attempt.clock.slept == []
    assert attempt.recorder.take().counts == {}


def test_at_the_deadline_the_last_refusal_is_raised_with_the_attempts_and_what_to_do(monkeypatch):
    attempt = Attempt(monkeypatch, Server(*[FULL] * 100))
    with pytest.raises(TooManyConnections) as raised:
        attempt.open(10)

    attempts = len(attempt.clock.slept) + 1
    assert raised.value.sqlstate == "53300"
    assert f"already (tried {attempts} times in " in str(raised.value)
    assert "Put PgBouncer or RDS Proxy in front" in str(raised.value)
    assert raised.value.gave_up
    assert sum(attempt.clock.slept) <= 10
    counts = attempt.recorder.take().counts
    assert counts == {"too_many_connections": attempts, "connect_retries": attempts - 1}


def test_nobody_sleeps_past_the_deadline(monkeypatch):
    attempt = Attempt(monkeypatch, Server(FULL))
    with pytest.raises(TooManyConnections, match=r"\(tried 1 time in 0\.0 s\)"):
        attempt.open(BASE_S)

    assert attempt.clock.slept == []


def test_one_attempt_takes_no_longer_than_the_connect_timeout_or_the_deadline(monkeypatch):
    server = Server(ServerUnavailable(), took_s=5)
    attempt = Attempt(monkeypatch, server, connect_timeout_s=5)
    attempt.open(8)

    assert server.deadlines == [5, pytest.approx(8 - 5 - BASE_S)]


def test_certificates_are_read_at_first_use_and_once(monkeypatch):
    read = []
    monkeypatch.setattr(opening, "tls_context", lambda config: read.append(config.tls))
    attempt = Attempt(monkeypatch, Server(FULL), tls=Tls.VERIFY_FULL)
    assert read == []
    attempt.open()
    attempt.open()

    assert read == [Tls.VERIFY_FULL]


def test_an_authority_that_cannot_be_read_is_named(monkeypatch, tmp_path):
    missing = str(tmp_path / "ca.pem")
    attempt = Attempt(monkeypatch, Server(), tls=Tls.VERIFY_FULL, tls_ca=missing)

    with pytest.raises(ConfigurationError, match=r"BROKER_TLS_CA=.*ca\.pem. cannot be read"):
        attempt.open()


@pytest.mark.parametrize("host", ["a" * 64, "db..example"])
def test_a_host_that_cannot_be_a_name_is_said_to_be_one(host):
    """Python's IDNA codec refuses it before any resolver sees it."""
    config = settings(host=host)
    clock = FakeClock()
    opener = Opener(config, Credentials(config, clock), Recorder(), clock, FixedRandom(1.0))

    with pytest.raises((ServerUnavailable, ConfigurationError)) as raised:
        opener.open(Deadline.after(0.01, clock))

    assert "does not speak PostgreSQL" not in str(raised.value)


def test_a_port_where_nobody_listens_is_named_with_its_reason():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and not listening
        port = taken.getsockname()[1]
        config = settings(host="127.0.0.1", port=port)
        clock = FakeClock()
        opener = Opener(config, Credentials(config, clock), Recorder(), clock, FixedRandom(1.0))
        with pytest.raises(ServerUnavailable) as raised:
            opener.open(Deadline.after(0.2, clock))

    assert f"127.0.0.1:{port}: Connection refused" in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_a_servers_own_refusal_outlives_a_last_attempt_that_nobody_answered(monkeypatch):
    """Its fields, which the doctor and the monitor read, come with it."""
    silence = ServerUnavailable("nobody answered")
    attempt = Attempt(monkeypatch, Server(FULL, *[silence] * 100))
    with pytest.raises(TooManyConnections) as raised:
        attempt.open(10)

    assert raised.value.__cause__ is FULL


def test_the_numbers_of_a_full_cap_and_one_advice_reach_the_caller(monkeypatch):
    full = CapReached(f"2 of 2 leases. {CapReached().args[0]}", cap=2, held=2, waited_s=9.5)
    attempt = Attempt(monkeypatch, Server(*[full] * 100))
    with pytest.raises(CapReached) as raised:
        attempt.open(10)

    told = raised.value
    assert (told.cap, told.held, told.waited_s) == (2, 2, 9.5)
    assert str(told).startswith("2 of 2 leases (tried ")
    assert str(told).count("Answer 429") == 1
