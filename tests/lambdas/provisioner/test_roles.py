"""Roles on a real server, made by an administrator who is no superuser."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from broker import AuthenticationFailed, StatementError, TooManyConnections
from broker.local.postgres import Postgres
from broker.observe.look import MADE_HERE
from lambdas.provisioner import roles
from lambdas.provisioner.refusal import Refused
from lambdas.provisioner.statements import MARK
from lambdas.provisioner.wanted import Role, Wanted
from tests.lambdas.provisioner.conftest import MASTER, Rds, make_like_rds

Fresh = Callable[[str], str]
SECRET_WORD = "pä'ss\\word $1 :name"


def app(rds: Rds, name: str, database: str, password: str = SECRET_WORD, **changes: Any) -> Any:
    return {
        "name": name,
        "kind": "app",
        "database": database,
        "connection_limit": 3,
        "settings": {"statement_timeout": "29s", "idle_session_timeout": "5min"},
        "secret_arn": rds.secret(name, password),
        **changes,
    }


def make(rds: Rds, *given: Any, before: tuple[Role, ...] = (), databases: list[str]) -> Wanted:
    wanted = Wanted.read(rds.properties(*given, databases=databases))
    with rds.connected() as server:
        roles.make_so(wanted, before, server, rds.secrets.__getitem__)
    return wanted


def take_away(rds: Rds, *gone: Role) -> None:
    with rds.connected() as server:
        roles.take_away(gone, server)


def state(rds: Rds, name: str) -> list[Any] | None:
    """Return all that the server has of a role, its verifier's existence included."""
    rows = rds.server.admin(
        """select rolcanlogin, rolconnlimit, rolpassword like 'SCRAM-SHA-256$4096:%',
              shobj_description(oid, 'pg_authid'),
              array(select g.rolname::text from pg_auth_members m
                    join pg_roles g on g.oid = m.roleid where m.member = a.oid order by 1),
              (select setconfig from pg_db_role_setting where setrole = a.oid)
           from pg_authid a where rolname = :name""",
        name=name,
    )
    return rows[0] if rows else None


def test_the_app_logs_in_within_its_limits_and_can_work_in_its_new_database(
    rds: Rds, name: str
) -> None:
    make(rds, app(rds, name, name), databases=["postgres", name])

    assert state(rds, name) == [
        *(True, 3, True, MARK, []),
        ["statement_timeout=29s", "idle_session_timeout=5min"],
    ]
    with rds.log_in(name, SECRET_WORD, name) as db:
        limit = "select reset_val from pg_settings where name = 'statement_timeout'"
        assert db.run(limit).scalar() == "29000"
        db.run("create table orders (id int)")
        db.run("insert into orders values (1)")
        holders = [rds.log_in(name, SECRET_WORD, name) for _ in range(2)]
        for holder in holders:
            holder.run("select 1")
        with rds.log_in(name, SECRET_WORD, name) as late, pytest.raises(TooManyConnections):
            late.run("select 1")
        for holder in holders:
            holder.close()


def test_the_second_time_nothing_changes_and_nothing_fails(rds: Rds, name: str) -> None:
    first = make(rds, app(rds, name, name), databases=[name])
    with rds.log_in(name, SECRET_WORD, name) as db:
        db.run("create table orders as select 1 as id")
    was = state(rds, name)

    make(rds, app(rds, name, name), before=first.roles, databases=[name])

    assert state(rds, name) == was
    with rds.log_in(name, SECRET_WORD, name) as db:
        assert db.run("select id from orders").scalar() == 1


def test_no_password_is_in_a_statement_a_log_or_a_repr(
    rds: Rds, fresh: Fresh, caplog: pytest.LogCaptureFixture
) -> None:
    """The server logs every statement here, as somebody's server will."""
    name, password = fresh("quiet"), "Never-Show-This-0815"
    with caplog.at_level(logging.INFO):
        wanted = make(rds, app(rds, name, name, password), databases=[name])

    logged = rds.server.log_tail(400)
    assert f'create role "{name}"' in logged
    assert "SCRAM-SHA-256$4096:" in logged
    for text in (logged, caplog.text, repr(wanted)):
        assert password not in text
    assert "SCRAM-SHA-256" not in caplog.text


def test_an_update_changes_what_differs_and_takes_back_what_is_no_longer_wanted(
    rds: Rds, fresh: Fresh
) -> None:
    name = fresh("changing")
    first = make(rds, app(rds, name, name), databases=[name])
    rds.server.admin(f"alter role {name} set work_mem = '8MB'")  # a person's

    changed = app(rds, name, name, "second", connection_limit=7, settings={"lock_timeout": "2s"})
    make(rds, changed, before=first.roles, databases=[name])

    told = state(rds, name)
    assert told is not None
    assert told[:2] == [True, 7]
    assert set(told[5]) == {"work_mem=8MB", "lock_timeout=2s"}
    with rds.log_in(name, "second", name) as db:
        db.run("select 1")
    with rds.log_in(name, SECRET_WORD, name) as db, pytest.raises(AuthenticationFailed):
        db.run("select 1")


def test_the_monitor_sees_everybody_and_has_a_reserved_place_the_reaper_ends_sessions(
    rds: Rds, fresh: Fresh
) -> None:
    database, monitor, reaper = fresh("watched"), fresh("monitor"), fresh("reaper")
    make(
        rds,
        app(rds, database, database),
        app(rds, monitor, database, kind="monitor"),
        app(rds, reaper, database, kind="reaper"),
        databases=[database],
    )

    told = state(rds, monitor), state(rds, reaper)
    assert told[0] is not None
    assert told[1] is not None
    assert told[0][4] == ["pg_monitor", "pg_use_reserved_connections"]
    assert told[1][4] == ["pg_monitor", "pg_signal_backend", "pg_use_reserved_connections"]
    sees = "select pid, query from pg_stat_activity where usename = :user"
    with rds.log_in(database, SECRET_WORD, database) as victim:
        victim.run("select 'here'")
        with rds.log_in(monitor, SECRET_WORD, database) as db:
            pid, query = db.run(sees, user=database).one()
            assert "here" in query
            with pytest.raises(StatementError):
                db.run("create table mine (id int)")
        with rds.log_in(reaper, SECRET_WORD, database) as db:
            assert db.run("select pg_terminate_backend(:pid::int, 5000)", pid=pid).scalar()


def test_a_role_without_a_secret_logs_in_with_iam_and_one_with_it_does_not(
    rds: Rds, fresh: Fresh
) -> None:
    name = fresh("iam")
    first = make(rds, app(rds, name, name, secret_arn=None), databases=[name])
    told = state(rds, name)
    assert told is not None
    assert (told[2], told[4]) == (None, ["rds_iam"])

    make(rds, app(rds, name, name), before=first.roles, databases=[name])
    told = state(rds, name)
    assert told is not None
    assert (told[2], told[4]) == (True, [])


def test_a_role_that_is_no_longer_wanted_is_taken_away(rds: Rds, fresh: Fresh) -> None:
    stays, goes = fresh("stays"), fresh("goes")
    first = make(rds, app(rds, stays, stays), app(rds, goes, stays), databases=[stays])

    make(rds, app(rds, stays, stays), before=first.roles, databases=[stays])

    assert state(rds, goes) is None
    assert state(rds, stays) is not None


def test_delete_drops_roles_that_own_nothing_and_no_data_ever(rds: Rds, fresh: Fresh) -> None:
    owner, empty = fresh("owner"), fresh("empty")
    wanted = make(rds, app(rds, owner, owner), app(rds, empty, owner), databases=[owner])
    with rds.log_in(owner, SECRET_WORD, owner) as db:
        db.run("create table orders as select 42 as id")

    take_away(rds, *wanted.roles)
    take_away(rds, *wanted.roles)  # sent again

    assert state(rds, empty) is None
    told = state(rds, owner)
    assert told is not None
    assert told[0] is False, "it logs in no more"
    assert rds.server.admin("select id from orders", database=owner) == [[42]]

    make(rds, app(rds, owner, owner, "again"), databases=[owner])
    with rds.log_in(owner, "again", owner) as db:
        assert db.run("select id from orders").scalar() == 42


def test_a_role_that_was_there_before_is_made_so_and_left_alone_on_delete(
    rds: Rds, fresh: Fresh
) -> None:
    name = fresh("theirs")
    with rds.connected() as server:
        server._ask("postgres", f"create role {name} login")
    wanted = make(rds, app(rds, name, name), databases=[name])
    with rds.log_in(name, SECRET_WORD, name) as db:
        db.run("select 1")

    take_away(rds, *wanted.roles)

    told = state(rds, name)
    assert told is not None
    assert told[0] is True


def test_a_role_that_is_not_the_administrators_is_refused_with_what_to_do(
    rds: Rds, fresh: Fresh
) -> None:
    name = fresh("foreign")
    rds.server.create_role(name, "x")
    with pytest.raises(Refused, match="ADMIN OPTION") as raised:
        make(rds, app(rds, name, name), databases=[name])
    assert "SCRAM" not in str(raised.value)


@pytest.mark.parametrize("attributes", ["superuser", "itself"])
def test_a_superuser_and_the_administrator_itself_are_never_touched(
    rds: Rds, fresh: Fresh, attributes: str
) -> None:
    name = MASTER
    if attributes == "superuser":
        name = fresh("super")
        rds.server.create_role(name, "x", attributes=attributes)
    with pytest.raises(Refused, match="choose another"):
        make(rds, app(rds, name, "postgres"), databases=["postgres"])


def test_what_the_server_refuses_is_refused_whole(rds: Rds, fresh: Fresh) -> None:
    """Either all roles are made, or none."""
    good, bad = fresh("good"), fresh("bad")
    with pytest.raises(Refused, match="set statement_timeout of role"):
        make(
            rds,
            app(rds, good, good),
            app(rds, bad, good, settings={"statement_timeout": "soon"}),
            databases=[good],
        )
    assert state(rds, good) is None
    assert state(rds, bad) is None


def test_a_database_of_another_owners_is_used_as_its_owner_lets_it(
    rds: Rds, fresh: Fresh, caplog: pytest.LogCaptureFixture
) -> None:
    """GRANT by who may not is only a warning of the server's: it is looked at again."""
    name = fresh("elsewhere")
    rds.server.create_database(name)
    make(rds, app(rds, name, name), databases=[name])
    assert f"not done: grant create on schema public of {name}" in caplog.text

    rds.server.admin(f"revoke connect on database {name} from public")
    rds.server.admin(f"grant connect on database {name} to {MASTER}")
    with pytest.raises(Refused, match=f"grant connect on {name}"):
        make(rds, app(rds, name, name), databases=[name])


def test_a_secret_of_another_user_or_none_at_all_is_refused_and_not_quoted(
    rds: Rds, fresh: Fresh
) -> None:
    name = fresh("mixed")
    wrong = app(rds, name, name, secret_arn=rds.secret("somebody", "hunter2"))
    with pytest.raises(Refused, match=f"another user's than {name}") as raised:
        make(rds, wrong, databases=[name])
    assert "hunter2" not in str(raised.value)
    for text in ("hunter2", "[]", '"hunter2"', '{"username": "hunter2"}'):
        rds.secrets[wrong["secret_arn"]] = text
        with pytest.raises(Refused, match="not JSON with username and password") as raised:
            make(rds, wrong, databases=[name])
        assert "hunter2" not in str(raised.value)


def test_a_server_without_the_database_postgres_gets_one() -> None:
    """RDS Proxy needs it."""
    with Postgres() as server:
        make_like_rds(server)
        server.admin("drop database postgres", database="template1")
        rds = Rds(server)
        make(rds, app(rds, "app", "postgres"), databases=["postgres"])
        with rds.log_in("app", SECRET_WORD, "postgres") as db:
            assert db.run("select 1").scalar() == 1


def test_granting_rds_iam_never_locks_the_administrator_out() -> None:
    """Who creates a role is its member (PostgreSQL 16), and so a member of rds_iam as well."""
    with Postgres() as server:
        make_like_rds(server)
        rds = Rds(server)
        iam = app(rds, "orders", "orders", secret_arn=None)
        hba = Path(server.admin("show hba_file")[0][0])
        hba.write_text("host all +orders all reject\n" + hba.read_text())
        server.admin("select pg_reload_conf()")
        with pytest.raises(Refused, match=f"it made {MASTER} a member of rds_iam"):
            make(rds, iam, databases=["orders"])
        told = state(rds, "orders")
        assert told is not None
        assert told[4] == []


def watchers(rds: Rds, database: str, of: str, password: str) -> list[dict[str, Any]]:
    """Return a broker's monitor and reaper; `of` is its stack, or nothing as it once was."""
    return [
        app(rds, f"broker_{kind}{of}", database, password, kind=kind, connection_limit=1)
        for kind in ("monitor", "reaper")
    ]


def test_two_brokers_on_one_server_leave_each_other_s_watchers_alone(
    rds: Rds, fresh: Fresh
) -> None:
    database = fresh("shared")
    for of, password in (("_orders", "one"), ("_billing", "two"), ("_orders", "one")):
        make(rds, *watchers(rds, database, of, password), databases=[database])
    for of, password in (("_orders", "one"), ("_billing", "two")):
        for kind in ("monitor", "reaper"):
            with rds.log_in(f"broker_{kind}{of}", password, database) as db:
                db.run("select 1")


def test_the_names_that_brokers_once_shared_go_with_the_last_that_has_them(
    rds: Rds, fresh: Fresh
) -> None:
    """Who is not updated yet is locked out until its hourly run, which makes its roles again."""
    database = fresh("shared")
    one = make(rds, *watchers(rds, database, "", "one"), databases=[database])
    other = watchers(rds, database, "", "other")
    two = make(rds, *other, databases=[database])

    make(rds, *watchers(rds, database, "_one", "one"), before=one.roles, databases=[database])
    assert state(rds, "broker_monitor") is None

    make(rds, *watchers(rds, database, "", "other"), before=two.roles, databases=[database])
    with rds.log_in("broker_monitor", "other", database) as db:
        db.run("select 1")

    make(rds, *watchers(rds, database, "_two", "other"), before=two.roles, databases=[database])
    assert state(rds, "broker_monitor") is state(rds, "broker_reaper") is None
    for of, password in (("_one", "one"), ("_two", "other")):
        with rds.log_in(f"broker_monitor{of}", password, database) as db:
            db.run("select 1")


def test_what_is_made_here_is_what_the_doctor_knows_a_watcher_by() -> None:
    assert MARK == MADE_HERE
