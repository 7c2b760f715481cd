"""The pooler under test is the real PgBouncer, patched, and leaves nothing behind."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable

import pg8000.native
import pytest

from broker.local.pgbouncer import PgBouncer
from broker.local.process import ServerError
from tests.conftest import Database
from tests.wait import wait_until

Start = Callable[..., PgBouncer]


def test_it_is_a_version_that_production_may_run(pgbouncer: Start) -> None:
    version = pgbouncer().admin("SHOW VERSION")[0]["version"]
    assert tuple(map(int, version.split()[1].split("."))) >= (1, 24, 1)


def test_clients_share_a_session_between_transactions(database: Database, pgbouncer: Start) -> None:
    pooler = pgbouncer(default_pool_size="1", reserve_pool_size="0")
    clients = [database.connect(through=pooler) for _ in range(5)]
    assert len({client.run("select pg_backend_pid()")[0][0] for client in clients}) == 1
    for client in clients:
        client.close()


def test_the_console_shows_the_pools_by_name(database: Database, pgbouncer: Start) -> None:
    pooler = pgbouncer()
    with database.connect(through=pooler) as client:
        client.run("select 1")
        pools = {row["database"]: row for row in pooler.admin("SHOW POOLS")}
    assert pools[database.name]["cl_active"] == "1"
    assert pools[database.name]["pool_mode"] == "transaction"


def test_production_limits_are_its_defaults_and_settings_go_over_them(pgbouncer: Start) -> None:
    shown = {
        row["key"]: row["value"] for row in pgbouncer(max_client_conn="77").admin("SHOW CONFIG")
    }
    assert shown["max_client_conn"] == "77"
    assert shown["default_pool_size"] == "25"
    assert shown["server_login_retry"] == "1"
    assert shown["auth_type"] == "scram-sha-256"


def test_2000_clients_connect_at_once(database: Database, pgbouncer: Start) -> None:
    pooler = pgbouncer()
    sockets = [socket.create_connection((pooler.host, pooler.port)) for _ in range(2000)]
    wait_until(
        lambda: int(items(pooler)["login_clients"]) + int(items(pooler)["used_clients"]) >= 2000,
        "PgBouncer to take 2,000 clients",
    )
    for client in sockets:
        client.close()


def items(pooler: PgBouncer) -> dict[str, str]:
    return {row["list"]: row["items"] for row in pooler.admin("SHOW LISTS")}


def test_it_takes_on_another_configuration_without_dropping_a_client(
    database: Database, pgbouncer: Start
) -> None:
    pooler = pgbouncer()
    with database.connect(through=pooler) as client:
        client.run("select 1")
        route = {database.name: database.server.conninfo(database.name)}
        pooler.reload({"databases": route, "pgbouncer": {"query_wait_timeout": "3"}})
        shown = {row["key"]: row["value"] for row in pooler.admin("SHOW CONFIG")}
        assert shown["query_wait_timeout"] == "3"
        assert client.run("select 2") == [[2]]


def test_restart_and_kill_keep_the_port_and_end_the_clients(
    database: Database, pgbouncer: Start
) -> None:
    pooler = pgbouncer()
    port = pooler.port
    for end in (PgBouncer.stop, PgBouncer.kill):
        client = database.connect(through=pooler)
        end(pooler)
        assert not pooler.running
        pooler.start()
        with pytest.raises(pg8000.native.InterfaceError), client:
            client.run("select 1")
        with database.connect(through=pooler) as again:
            assert again.run("select 3") == [[3]]
    assert pooler.port == port


def test_with_tls_the_server_is_verified_and_plaintext_is_refused(
    database: Database, pgbouncer: Start
) -> None:
    pooler = pgbouncer(tls=True)

    def connect(context: ssl.SSLContext | bool) -> pg8000.native.Connection:
        return pg8000.native.Connection(
            database.user,
            host=pooler.host,
            port=pooler.port,
            password=database.password,
            database=database.name,
            ssl_context=context,
        )

    strict = pooler.client_context()
    strict.verify_flags |= ssl.VERIFY_X509_STRICT  # Python 3.13's default
    with connect(strict) as client:
        assert client.run("select 4") == [[4]]
    with pytest.raises(pg8000.native.DatabaseError, match="SSL required"):
        connect(False)
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(ssl.create_default_context())


def test_a_wrong_setting_is_an_error_that_shows_the_log(pgbouncer: Start) -> None:
    with pytest.raises(ServerError, match="unknown parameter"):
        pgbouncer(max_client_con="10")


def test_a_taken_port_that_was_asked_for_is_an_error(pgbouncer: Start) -> None:
    first = pgbouncer()
    with (
        pytest.raises(ServerError, match="in use"),
        PgBouncer({"databases": {}}, {}, port=first.port),
    ):
        pass
