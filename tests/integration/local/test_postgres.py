"""The embedded PostgreSQL does what the real one does, and leaves nothing behind."""

from __future__ import annotations

import os
import ssl
import tempfile
from pathlib import Path

import pg8000.native
import psycopg
import pytest

from broker.local.postgres import Postgres
from broker.local.process import ServerError, free_port
from tests.conftest import Database


def sqlstate(error: pytest.ExceptionInfo[pg8000.native.DatabaseError]) -> str:
    return str(error.value.args[0]["C"])


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_it_is_version_18_with_passwords_for_everybody(postgres: Postgres) -> None:
    assert int(postgres.admin("show server_version_num")[0][0]) >= 180000
    with pytest.raises(pg8000.native.DatabaseError) as refused:
        pg8000.native.Connection(
            "postgres",
            host=postgres.host,
            port=postgres.port,
            password="wrong",
            ssl_context=False,
        )
    assert sqlstate(refused) == "28P01"


def test_admin_takes_parameters(postgres: Postgres) -> None:
    assert postgres.admin("select :a::int + 1", a=41) == [[42]]


def test_a_dsn_is_understood_by_libpq_whatever_the_password_holds(database: Database) -> None:
    dsn = database.server.dsn(database.user, database.password, database.name)
    with psycopg.connect(dsn) as connection:
        assert connection.execute("select current_user").fetchone() == (database.user,)


def test_a_repr_never_shows_the_password(postgres: Postgres) -> None:
    secret = postgres.dsn().split(":")[2].split("@")[0]
    assert secret not in repr(postgres)


def test_role_settings_are_its_defaults(postgres: Postgres) -> None:
    postgres.create_role("bounded", "x", settings={"statement_timeout": "1234ms"})
    with pg8000.native.Connection(
        "bounded",
        host=postgres.host,
        port=postgres.port,
        password="x",
        database="postgres",
        ssl_context=False,
    ) as connection:
        assert connection.run("show statement_timeout") == [["1234ms"]]
    postgres.admin("drop role bounded")


def test_a_connection_limit_is_53300() -> None:
    with Postgres({"max_connections": "20"}) as server:
        server.create_role("one", "x", connection_limit=1)

        def connect() -> pg8000.native.Connection:
            return pg8000.native.Connection(
                "one",
                host=server.host,
                port=server.port,
                password="x",
                database="postgres",
                ssl_context=False,
            )

        first = connect()
        with pytest.raises(pg8000.native.DatabaseError) as refused:
            connect()
        assert sqlstate(refused) == "53300"
        first.close()
        assert server.admin("show max_connections") == [["20"]]


def test_data_outlives_stops_restarts_and_crashes() -> None:
    with Postgres() as server:
        port = server.port
        server.admin("create table t as select 1 as n")
        server.stop()
        assert not server.running
        server.start()
        server.restart("immediate", {"max_connections": "33"})
        server.kill()
        assert not server.running
        server.start()
        assert server.admin("select n from t") == [[1]]
        assert server.admin("show max_connections") == [["33"]]
        assert server.port == port


def test_a_killed_server_leaves_its_clients_with_a_dead_socket_and_starts_again() -> None:
    with Postgres() as server:
        client = pg8000.native.Connection(
            "postgres",
            host=server.host,
            port=server.port,
            password=server.dsn().split(":")[2].split("@")[0],
            ssl_context=False,
        )
        server.kill()
        server.start()
        with pytest.raises(pg8000.native.InterfaceError), client:
            client.run("select 1")


def test_nothing_is_left_after_it_even_when_it_was_killed() -> None:
    for end in (Postgres.close, Postgres.kill):
        with Postgres() as server:
            pid = server.pid
            directory = Path(str(server.admin("show data_directory")[0][0])).parent
            end(server)
        assert is_gone(pid)
        assert not directory.exists()


def test_a_given_directory_is_kept_and_used_again() -> None:
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)  # the servers' user must get through when we are root
        directory = Path(parent) / "kept"
        with Postgres(directory=directory) as server:
            server.admin("create table kept as select 7 as n")
        with Postgres(directory=directory) as server:
            assert server.admin("select n from kept") == [[7]]
        assert (directory / "data" / "PG_VERSION").exists()


def test_a_wrong_setting_is_an_error_that_shows_the_log() -> None:
    with (
        pytest.raises(ServerError, match="unrecognized configuration parameter"),
        Postgres({"max_conections": "20"}),
    ):
        pass


def test_a_taken_port_that_was_asked_for_is_an_error(postgres: Postgres) -> None:
    with pytest.raises(ServerError, match="already in use"), Postgres(port=postgres.port):
        pass


def test_a_taken_port_that_was_not_asked_for_is_replaced(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = iter([postgres.port, free_port()])
    monkeypatch.setattr("broker.local.postgres.free_port", lambda: next(ports))
    with Postgres() as server:
        assert server.port != postgres.port
        assert server.admin("select 1") == [[1]]


def test_with_tls_plaintext_is_refused_and_the_certificate_verifies(
    postgres_tls: Postgres,
) -> None:
    server = postgres_tls
    assert server.admin("select ssl from pg_stat_ssl where pid = pg_backend_pid()") == [[True]]
    with pytest.raises(pg8000.native.DatabaseError, match="no encryption"):
        pg8000.native.Connection(
            "postgres", host=server.host, port=server.port, password="x", ssl_context=False
        )
    with pytest.raises(ssl.SSLCertVerificationError):
        pg8000.native.Connection(
            "postgres", host=server.host, port=server.port, password="x",
            ssl_context=ssl.create_default_context(),
        )  # fmt: skip
