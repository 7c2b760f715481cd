"""The doctor's own way in: what stopped it, told apart, and what each means."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pg8000.native
import pytest

from broker.local.pgbouncer import PgBouncer
from broker.local.postgres import Postgres
from broker.local.process import free_port
from broker.observe.visit import Visit
from tests.integration.observe.conftest import (
    ORDINARY,
    PASSWORD,
    USER,
    Crowd,
    address_of,
    console_of,
    kinds,
    open_up,
    visit,
)
from tests.wait import wait_until

Start = Callable[..., PgBouncer]


def said(found: Visit) -> str:
    """Return the only finding, which is the refusal, as text."""
    [finding] = found.findings
    assert finding.kind.value == "refused"
    assert found.now is None
    assert finding.remedy
    return "\n".join((finding.sentence, *finding.evidence, finding.remedy, *finding.apply))


def at(port: int, *, host: str = "127.0.0.1", options: str = "?sslmode=disable") -> str:
    return f"postgresql://app:secret@{host}:{port}/postgres{options}"


def superuser(server: Postgres) -> Any:
    """Open a superuser's session, or none while one that has ended still holds its place."""
    try:
        return server.connect()
    except pg8000.native.DatabaseError as refused:
        if refused.args[0]["C"] != "53300":
            raise
        return None


def test_a_full_server_refuses_an_ordinary_role_which_is_told_who_gets_in(
    server: Postgres, crowd: Crowd
) -> None:
    crowd.open(ORDINARY)
    told = said(visit(address_of(server, "watcher")))
    assert "what is left is reserved for other roles" in told
    assert "SQLSTATE 53300" in told
    assert "Only a superuser still gets in" in told
    assert visit(address_of(server)).now is not None, "and so it does"


def test_reserved_places_are_used_by_a_role_that_may() -> None:
    """PostgreSQL 16+: pg_use_reserved_connections. When they are gone too, it says so."""
    settings = {"max_connections": "12", "reserved_connections": "2"}
    with Postgres(settings) as server, closing(Crowd(server)) as crowd:
        open_up(server)
        server.admin("grant pg_use_reserved_connections to watcher")
        crowd.open(7)

        found = visit(address_of(server, "watcher"))
        assert kinds(found.findings)[-1] == "full"
        full = found.findings[-1]
        assert "2 for pg_use_reserved_connections, 3 for superusers alone" in full.evidence[0]
        assert "pg_use_reserved_connections watcher" in full.evidence[1]

        crowd.open(2, user="watcher")
        assert "what is left is reserved" in said(visit(address_of(server, "watcher")))
        with ExitStack() as held:
            for _ in range(3):
                held.callback(wait_until(lambda: superuser(server), "a place to be free").close)
            told = said(visit(address_of(server)))
            assert "every place is taken, the reserved ones too" in told
            assert "Nobody gets in before a session ends" in told


def test_a_role_at_its_limit_is_told_that_it_is_its_own(server: Postgres, crowd: Crowd) -> None:
    server.admin("alter role watcher connection limit 1")
    try:
        crowd.open(1, user="watcher")
        told = said(visit(address_of(server, "watcher")))
        assert "the role's own CONNECTION LIMIT is reached" in told
        [finding] = visit(address_of(server)).findings
        assert finding.kind.value == "role_limit"
    finally:
        server.admin("alter role watcher connection limit -1")


def test_a_database_at_its_limit_is_looked_at_from_another(server: Postgres, crowd: Crowd) -> None:
    server.create_database("narrow", owner=USER)
    server.admin("alter database narrow connection limit 1")
    try:
        crowd.open(1, database="narrow")
        found = visit(address_of(server, "watcher", database="narrow"))
        assert kinds(found.findings) == ["database_limit"]
        assert found.now is not None
    finally:
        crowd.close()
        server.admin("drop database narrow")


@pytest.fixture
def answering() -> Iterator[Callable[[bytes | None], int]]:
    """Listen on ports of loopback, and answer whoever comes with these bytes, or nothing."""
    with ExitStack() as listening:

        def start(answer: bytes | None) -> int:
            listener = listening.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
            kept: list[socket.socket] = []

            def serve() -> None:
                while True:
                    try:
                        client, _ = listener.accept()
                    except OSError:
                        return
                    kept.append(client)
                    if answer is not None:
                        client.recv(1024)
                        client.sendall(answer)
                        client.close()

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()

            def end() -> None:
                with socket.socket() as waker:
                    listener.shutdown(socket.SHUT_RDWR)
                    waker.close()
                thread.join(5)
                for client in kept:
                    client.close()

            listening.callback(end)
            return int(listener.getsockname()[1])

        yield start


def test_nobody_listens() -> None:
    told = said(visit(at(free_port())))
    assert "nobody listens on that port" in told
    assert "ECONNREFUSED, not 53300" in told


def test_no_answer_comes(answering: Callable[[bytes | None], int]) -> None:
    told = said(visit(at(answering(None))))
    assert "no answer came" in told
    assert "security groups" in told


def test_the_name_has_no_address() -> None:
    assert "the name has no address" in said(visit(at(5432, host="db.invalid")))


def test_the_other_side_hangs_up(answering: Callable[[bytes | None], int]) -> None:
    assert "hung up meanwhile" in said(visit(at(answering(b""))))


def test_what_answers_is_no_postgresql(answering: Callable[[bytes | None], int]) -> None:
    port = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    told = said(visit(at(port, options="?sslmode=require")))
    assert "does not speak PostgreSQL's protocol" in told
    assert "as what is no PostgreSQL does" in said(visit(at(port)))


def test_a_server_without_tls_is_not_trusted(newest: Postgres) -> None:
    told = said(visit(at(newest.port, options="")))
    assert "not as secure as was asked" in told
    assert "does not speak TLS" in told


def test_a_certificate_that_nobody_vouches_for(postgres_tls: Postgres) -> None:
    told = said(visit(at(postgres_tls.port, options="?sslmode=verify-full")))
    assert "not as secure as was asked" in told
    assert "sslrootcert" in told


def test_a_wrong_password_is_not_echoed(newest: Postgres) -> None:
    found = visit(at(newest.port))
    told = said(found)
    assert "does not accept the user or the password" in told
    assert "SQLSTATE 28P01" in told
    assert "secret" not in told.replace("the secret was rotated", "")


def test_no_such_database(newest: Postgres) -> None:
    told = said(visit(address_of(newest, "watcher", database="nowhere")))
    assert "no database of this name" in told


def test_a_database_that_the_role_may_not_connect_to(newest: Postgres) -> None:
    newest.create_database("closed")
    newest.admin("revoke connect on database closed from public")
    try:
        told = said(visit(address_of(newest, "watcher", database="closed")))
        assert "the role may not connect to this database" in told
        assert 'grant connect on database "closed" to "watcher";' in told
        newest.admin(told.splitlines()[-1])
        assert visit(address_of(newest, "watcher", database="closed")).findings == []
    finally:
        newest.admin("drop database closed")


def test_a_console_in_the_place_of_postgresql_is_recognised(
    newest: Postgres, pooler_to: Start
) -> None:
    pooler = pooler_to(newest.conninfo("postgres"))
    told = said(visit(console_of(pooler)))
    assert "this is PgBouncer's admin console, not PostgreSQL" in told
    assert "this one after --pgbouncer" in told


def test_a_server_that_is_looked_at_through_a_pooler_is_recognised(
    newest: Postgres, pooler_to: Start
) -> None:
    pooler = pooler_to(newest.conninfo("postgres"))
    through = address_of(newest, USER, database="appdb").replace(str(newest.port), str(pooler.port))
    found = visit(through)
    assert found.findings == []
    assert any(f"listens on {newest.port}; if it is PgBouncer" in spot for spot in found.unseen)
    direct = visit(address_of(newest, USER))
    assert not any("in between" in spot for spot in direct.unseen)


def test_a_pooler_that_is_full_is_told_from_a_server_that_is(
    newest: Postgres, crowd18: Crowd, pooler_to: Start
) -> None:
    pooler = pooler_to(newest.conninfo("postgres"), max_client_conn="1")
    crowd18.open(1, port=pooler.port, database="appdb")
    through = address_of(newest, USER, database="appdb").replace(str(newest.port), str(pooler.port))
    told = said(visit(through))
    assert "the pooler has no place for another client" in told
    assert "PostgreSQL's own address" in told


def test_a_pooler_whose_login_fails_is_told_from_a_server_that_is_down(
    newest: Postgres, pooler_to: Start
) -> None:
    newest.create_role("elsewhere", "another password")
    pooler = pooler_to(newest.conninfo("postgres") + " user=elsewhere password=wrong")
    through = address_of(newest, USER, database="appdb").replace(str(newest.port), str(pooler.port))
    try:
        told = said(visit(through))
        assert "the pooler cannot log in to the server behind it" in told
        assert 'failed for user "elsewhere"' in told
    finally:
        newest.admin("drop role elsewhere")


def test_a_pooler_that_meets_53300_itself_is_told_from_one_that_is_full(
    newest: Postgres, crowd18: Crowd, pooler_to: Start
) -> None:
    newest.admin(f"alter role {USER} connection limit 1")
    try:
        crowd18.open(1)
        pooler = pooler_to(newest.conninfo("postgres"), server_login_retry="0.1")
        through = address_of(newest, USER, database="appdb")
        told = said(visit(through.replace(str(newest.port), str(pooler.port))))
        assert "whose own login was refused by the server behind it (53300)" in told
    finally:
        newest.admin(f"alter role {USER} connection limit -1")


def test_a_server_that_starts_is_told_to_wait_for(answering: Callable[[bytes | None], int]) -> None:
    fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"
    message = b"E" + (len(fields) + 4).to_bytes(4, "big") + fields
    told = said(visit(at(answering(message))))
    assert "the server starts, stops or fails over" in told


def test_a_refused_doctor_tells_what_the_pooler_holds_and_no_password(
    newest: Postgres, crowd18: Crowd, pooler_to: Start
) -> None:
    crowd18.open(ORDINARY)
    pooler = pooler_to(newest.conninfo("postgres"))
    found = visit(address_of(newest, "watcher"), console_of(pooler))
    assert "PgBouncer holds 0 sessions of the 0 that it may" in said(found)
    assert PASSWORD not in repr(found)
    assert PASSWORD not in str([finding.told() for finding in found.findings])
