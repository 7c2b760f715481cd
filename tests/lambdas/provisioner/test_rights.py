"""What the roles may not do, however they are asked: as docs/security.md says of who has them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from broker import StatementError
from tests.lambdas.provisioner.conftest import Rds
from tests.lambdas.provisioner.test_roles import SECRET_WORD, app, make

Fresh = Callable[[str], str]
DENIED = "42501"


@pytest.fixture
def watched(rds: Rds, fresh: Fresh) -> tuple[str, str, str]:
    """Make a database whose owner has a table, and its monitor and reaper; their names."""
    owner, monitor, reaper = fresh("owner"), fresh("monitor"), fresh("reaper")
    make(
        rds,
        app(rds, owner, owner),
        app(rds, monitor, owner, kind="monitor"),
        app(rds, reaper, owner, kind="reaper"),
        databases=[owner],
    )
    with rds.log_in(owner, SECRET_WORD, owner) as db:
        db.run("create table orders as select 42 as id")
    return owner, monitor, reaper


def denied(rds: Rds, user: str, database: str, sql: str) -> bool:
    """Tell whether the server keeps the user from it for want of a right."""
    with rds.log_in(user, SECRET_WORD, database) as db:
        try:
            db.run(sql)
        except StatementError as error:
            return error.sqlstate == DENIED
    return False


def test_no_role_can_do_more_than_log_in(rds: Rds, watched: tuple[str, str, str]) -> None:
    """Whatever the administrator, who makes them, can do itself."""
    more = "rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls"
    sql = f"select rolname::text from pg_roles where rolname = any(:names) and not ({more})"
    assert {row[0] for row in rds.server.admin(sql, names=list(watched))} == set(watched)


def test_monitor_and_reaper_read_no_table(rds: Rds, watched: tuple[str, str, str]) -> None:
    owner, *watchers = watched
    assert not denied(rds, owner, owner, "select id from orders")
    for watcher in watchers:
        assert denied(rds, watcher, owner, "select id from orders")


def test_the_monitor_ends_no_session_and_the_reaper_no_superuser_s(
    rds: Rds, watched: tuple[str, str, str]
) -> None:
    owner, monitor, reaper = watched
    superuser = rds.server.connect()
    ((above,),) = superuser.run("select pg_backend_pid()")
    with rds.log_in(owner, SECRET_WORD, owner) as victim:
        pid = victim.run("select pg_backend_pid()").scalar()
        for act in ("terminate", "cancel"):
            assert denied(rds, monitor, owner, f"select pg_{act}_backend({pid})")
            assert denied(rds, reaper, owner, f"select pg_{act}_backend({above})")
        assert victim.run("select pg_backend_pid()").scalar() == pid
        assert not denied(rds, reaper, owner, f"select pg_terminate_backend({pid}, 5000)")
    superuser.close()
