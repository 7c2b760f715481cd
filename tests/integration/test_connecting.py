"""Connecting: 53300 is waited out inside the deadline, and every failure says what to do."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from broker import (
    AuthenticationFailed,
    Broker,
    ConfigurationError,
    ConnectError,
    ServerUnavailable,
    TlsFailed,
    TooManyConnections,
)
from broker.local.pgbouncer import PgBouncer
from broker.local.postgres import Postgres
from broker.settings import Settings, Tls
from tests.conftest import Database

Brokers = Callable[..., Broker]


@pytest.fixture(scope="module")
def small() -> Iterator[Postgres]:
    """Run a server with two slots for others than superusers."""
    with Postgres({"max_connections": "5", "superuser_reserved_connections": "3"}) as server:
        server.create_role("app", "pw")
        yield server


def settings(server: Postgres, **changes: Any) -> Settings:
    given: dict[str, Any] = {
        "host": server.host,
        "port": server.port,
        "database": "postgres",
        "user": "app",
        "password": "pw",
        "tls": Tls.OFF,
    }
    return Settings(**{**given, **changes})


def test_a_full_server_is_too_many_connections_with_the_remedy(small: Postgres) -> None:
    holders = [Broker(settings(small)) for _ in range(2)]
    for holder in holders:
        holder.run("select 1")
    with (
        Broker(settings(small, timeout_s=1.0)) as late,
        pytest.raises(TooManyConnections) as raised,
    ):
        late.run("select 1")
    for holder in holders:
        holder.close()
    assert raised.value.sqlstate == "53300"
    assert "pg_stat_activity" in str(raised.value)
    assert "tried" in str(raised.value)
    stats = late.stats()
    assert stats.too_many_connections >= 2
    assert stats.connect_retries == stats.too_many_connections - 1
    assert stats.sessions_open == 0


def test_a_slot_that_frees_itself_in_time_is_taken(small: Postgres) -> None:
    holders = [Broker(settings(small)) for _ in range(2)]
    for holder in holders:
        holder.run("select 1")
    with Broker(settings(small, timeout_s=30.0)) as late:
        answers: list[object] = []
        thread = threading.Thread(target=lambda: answers.append(late.run("select 1").scalar()))
        thread.start()
        while not late.stats().connect_retries:
            thread.join(0.01)
        holders[0].close()
        thread.join(60)
    holders[1].close()
    assert answers == [1]


def test_a_roles_connection_limit_is_the_same_error(small: Postgres) -> None:
    small.create_role("limited", "pw", connection_limit=1)
    with Broker(settings(small, user="limited")) as holder:
        holder.run("select 1")
        with (
            Broker(settings(small, user="limited", timeout_s=0.3)) as late,
            pytest.raises(TooManyConnections, match="limited"),
        ):
            late.run("select 1")


def test_a_full_pooler_is_the_same_error(
    broker_to: Brokers, pgbouncer: Callable[..., PgBouncer]
) -> None:
    pooler = pgbouncer(max_client_conn="1")
    broker_to(pooler).run("select 1")
    with pytest.raises(TooManyConnections) as raised:
        broker_to(pooler, timeout_s=0.5).run("select 1")
    assert raised.value.sqlstate == "08P01"


def test_a_wait_that_the_pooler_gives_up_is_never_an_unknown_outcome(
    broker_to: Brokers, pgbouncer: Callable[..., PgBouncer]
) -> None:
    """query_wait_timeout: the statement never reached a backend, so it is tried again."""
    pooler = pgbouncer(default_pool_size="1", reserve_pool_size="0", query_wait_timeout="1")
    holder, waiter = broker_to(pooler), broker_to(pooler, timeout_s=30)
    waiter.run("select 1")
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(waiter.run("select 2").scalar()))
    with holder.transaction() as tx:
        tx.run("select 1")
        thread.start()
        while not waiter.stats().replaced:
            thread.join(0.02)
    thread.join(60)
    assert answers == [2]


def test_a_wrong_password_is_said_at_once_and_shown_nowhere(
    broker_to: Brokers, database: Database
) -> None:
    db = broker_to(password="wrong-secret")
    with pytest.raises(AuthenticationFailed) as raised:
        db.run("select 1")
    assert raised.value.sqlstate == "28P01"
    assert db.stats().connect_retries == 0
    for text in (str(raised.value), repr(raised.value), repr(db), repr(db.settings)):
        assert "wrong-secret" not in text


def test_an_unknown_database_is_said_at_once(broker_to: Brokers) -> None:
    with pytest.raises(ConnectError, match="nowhere") as raised:
        broker_to(database="nowhere").run("select 1")
    assert raised.value.sqlstate == "3D000"


def test_nobody_listening_is_unavailable_and_names_the_address() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = Settings("127.0.0.1", "d", "u", "p", port=port, tls=Tls.OFF, timeout_s=0.3)
    with Broker(given) as db, pytest.raises(ServerUnavailable, match=f"127.0.0.1:{port}"):
        db.run("select 1")


def test_a_name_that_does_not_resolve_is_unavailable_and_says_so() -> None:
    given = Settings("no-such-host.invalid", "d", "u", "p", timeout_s=0.3)
    with Broker(given) as db, pytest.raises(ServerUnavailable, match="cannot be resolved"):
        db.run("select 1")


def test_a_server_that_says_nothing_is_unavailable_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        for tls in Tls:
            given = Settings("127.0.0.1", "d", "u", "p", port=port, tls=tls, timeout_s=0.3)
            with Broker(given) as db, pytest.raises(ServerUnavailable, match="in time"):
                db.run("select 1")


def test_a_server_that_is_starting_is_waited_for(database: Database) -> None:
    with Postgres() as server:
        server.create_role("app", "pw")
        server.stop()
        answers: list[object] = []
        db = Broker(settings(server, timeout_s=60))
        thread = threading.Thread(target=lambda: answers.append(db.run("select 1").scalar()))
        thread.start()
        while not db.stats().connect_retries:
            thread.join(0.01)
        server.start()
        thread.join(90)
        db.close()
    assert answers == [1]


def test_plaintext_is_never_fallen_back_to(broker_to: Brokers) -> None:
    for tls in (Tls.VERIFY_FULL, Tls.REQUIRE):
        with pytest.raises(TlsFailed, match="does not speak TLS"):
            broker_to(tls=tls).run("select 1")


def test_tls_is_verified_against_the_authority_that_is_given(
    broker_to: Brokers, pgbouncer: Callable[..., PgBouncer]
) -> None:
    pooler = pgbouncer(tls=True)
    with pytest.raises(TlsFailed, match="BROKER_TLS_CA"):
        broker_to(pooler, tls=Tls.VERIFY_FULL).run("select 1")
    trusting = broker_to(pooler, tls=Tls.VERIFY_FULL, tls_ca=str(pooler.ca_file), fresh_s=0.0)
    assert trusting.run("select :n::int", n=1).scalar() == 1
    assert trusting.run("select :n::int", n=2).scalar() == 2
    assert trusting.stats().opened == 1
    assert broker_to(pooler, tls=Tls.REQUIRE).run("select 3").scalar() == 3


def test_a_certificate_for_another_name_is_refused(
    broker_to: Brokers, pgbouncer: Callable[..., PgBouncer], monkeypatch: pytest.MonkeyPatch
) -> None:
    pooler = pgbouncer(tls=True)
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *args, **kw: real("127.0.0.1", *args, **kw)
    )
    trusting = broker_to(pooler, host="other.test", tls=Tls.VERIFY_FULL, tls_ca=str(pooler.ca_file))
    with pytest.raises(TlsFailed, match=r"other\.test"):
        trusting.run("select 1")


def test_a_silent_address_does_not_hide_the_one_that_answers(
    broker_to: Brokers, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a name with an address in a zone that is down."""
    real = socket.getaddrinfo
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
        full = [socket.socket() for _ in range(8)]  # the queue of a listener that never accepts
        for sock in full:
            sock.setblocking(False)
            sock.connect_ex(silent.getsockname())

        def addresses(host: str, port: int, **kw: Any) -> list[Any]:
            (live,) = real("127.0.0.1", port, **kw)
            return [(*live[:4], silent.getsockname()), live]

        monkeypatch.setattr(socket, "getaddrinfo", addresses)
        db = broker_to(host="zones.test", timeout_s=20, connect_timeout_s=1)
        assert db.run("select 1").scalar() == 1
        for sock in full:
            sock.close()


@pytest.mark.parametrize("says", [b"", b"S"])
def test_a_server_that_leaves_before_tls_stands_is_tried_again(says: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def leave() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = server.accept()
                    client.recv(8)
                    client.sendall(says)
                    client.close()

        thread = threading.Thread(target=leave, daemon=True)
        thread.start()
        given = Settings("127.0.0.1", "d", "u", "p", port=server.getsockname()[1], timeout_s=0.5)
        with Broker(given) as db, pytest.raises(ServerUnavailable):
            db.run("select 1")
        assert db.stats().connect_retries > 0
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def test_a_batch_larger_than_every_buffer_goes_over_tls_too(
    broker_to: Brokers, pgbouncer: Callable[..., PgBouncer]
) -> None:
    pooler = pgbouncer(tls=True)
    db = broker_to(pooler, tls=Tls.VERIFY_FULL, tls_ca=str(pooler.ca_file))
    with db.transaction() as tx:
        result = tx.run_many("select :n::int, repeat('x', 3000)", [{"n": n} for n in range(10_000)])
    assert [row[0] for row in result] == list(range(10_000))


def test_a_session_that_ended_is_seen_through_tls(
    broker_to: Brokers, pgbouncer: Callable[..., PgBouncer]
) -> None:
    pooler = pgbouncer(tls=True)
    db = broker_to(pooler, tls=Tls.VERIFY_FULL, tls_ca=str(pooler.ca_file), fresh_s=0.0)
    db.run("select 1")
    pooler.restart()
    assert db.run("select 2").scalar() == 2


def test_an_authority_that_cannot_be_read_is_a_configuration_error(broker_to: Brokers) -> None:
    with pytest.raises(ConfigurationError, match="BROKER_TLS_CA"):
        broker_to(tls=Tls.VERIFY_FULL, tls_ca="/nowhere/ca.pem").run("select 1")


@pytest.mark.parametrize("text", ["nonsense", "\u00fc\n-----END CERTIFICATE-----"])
def test_an_authority_given_as_text_that_is_none_is_a_configuration_error(
    broker_to: Brokers, text: str
) -> None:
    pem = f"-----BEGIN CERTIFICATE-----\n{text}"
    with pytest.raises(ConfigurationError, match=r"BROKER_TLS_CA=.*cannot be read"):
        broker_to(tls=Tls.VERIFY_FULL, tls_ca=pem).run("select 1")


def test_a_wrong_password_behind_a_pooler_is_the_same_error(
    broker_to: Brokers, pgbouncer: Callable[..., PgBouncer]
) -> None:
    with pytest.raises(AuthenticationFailed, match="BROKER_USER"):
        broker_to(pgbouncer(), password="wrong-secret").run("select 1")
