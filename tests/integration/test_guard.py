"""Behind a real pooler: what the guard refuses would have reached another client."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from broker import Broker, PoolingHazard
from broker.local.pgbouncer import PgBouncer
from broker.settings import GuardMode
from broker.sql import Hazard

LEFT_BEHIND = {
    "set app.tenant = 'mine'": "select current_setting('app.tenant', true) = 'mine'",
    "select set_config('app.tenant', 'mine', false)": (
        "select current_setting('app.tenant', true) = 'mine'"
    ),
    "create temp table mine (n int)": "select to_regclass('pg_temp.mine') is not null",
    "select 1 as n into pg_temp.mine": "select to_regclass('pg_temp.mine') is not null",
    "select 1 as n into temp mine": "select to_regclass('pg_temp.mine') is not null",
    "explain analyze create temp table mine as select 1 as n": (
        "select to_regclass('pg_temp.mine') is not null"
    ),
    "update pg_settings set setting = '77' where name = 'work_mem'": (
        "select current_setting('work_mem') = '77kB'"
    ),
    "select U&\"s\\0065t_config\"('app.tenant', 'mine', false)": (
        "select current_setting('app.tenant', true) = 'mine'"
    ),
    "select pg_advisory_lock(7)": (
        "select exists (select from pg_locks where locktype = 'advisory' "
        "and pid = pg_backend_pid())"
    ),
    "prepare mine as select 1": (
        "select exists (select from pg_prepared_statements where name = 'mine')"
    ),
    "listen mine": "select 'mine' in (select pg_listening_channels())",
}
SHARED = {"default_pool_size": "1", "reserve_pool_size": "0"}


@pytest.mark.parametrize(("sql", "found"), LEFT_BEHIND.items())
def test_what_is_refused_would_have_stayed_with_another_clients_connection(
    sql: str,
    found: str,
    pgbouncer: Callable[..., PgBouncer],
    broker_to: Callable[..., Broker],
) -> None:
    pooler = pgbouncer(**SHARED)
    careless = broker_to(pooler, guard=GuardMode.OFF)
    guarded, other = broker_to(pooler), broker_to(pooler)
    with pytest.raises(PoolingHazard):
        guarded.run(sql)
    with pytest.raises(PoolingHazard), guarded.transaction() as tx:
        tx.run(sql)
    with pytest.raises(PoolingHazard), guarded.session() as session:
        session.run(sql)
    assert other.run(found).scalar() is not True, "nothing was sent"
    careless.run(sql)
    assert other.run(found).scalar() is True, "another client finds it"
    assert guarded.run("select 1").scalar() == 1


def test_the_transaction_scoped_ways_are_allowed_and_leave_nothing(
    pgbouncer: Callable[..., PgBouncer], broker_to: Callable[..., Broker]
) -> None:
    pooler = pgbouncer(**SHARED)
    db, other = broker_to(pooler), broker_to(pooler)
    with db.transaction() as tx:
        tx.run("select set_config('app.tenant', :t, true)", t="mine")
        tx.run("select pg_advisory_xact_lock(7)")
        tx.run("create temp table mine (n int) on commit drop")
        tx.run("declare c cursor for select 1")
        assert tx.run("select current_setting('app.tenant')").scalar() == "mine"
    for found in LEFT_BEHIND.values():
        assert other.run(found).scalar() is not True


def test_a_pooler_gives_another_clients_number_to_whoever_asks_for_the_last(
    pgbouncer: Callable[..., PgBouncer], broker_to: Callable[..., Broker]
) -> None:
    pooler = pgbouncer(**SHARED)
    careless = broker_to(pooler, guard=GuardMode.OFF)
    db, other = broker_to(pooler), broker_to(pooler)
    db.run("create table t (id int generated always as identity, v text)")
    mine = db.run("insert into t (v) values ('mine') returning id").scalar()
    other.run("insert into t (v) values ('theirs')")
    for sql in ("select lastval()", "select currval(pg_get_serial_sequence('t', 'id'))"):
        assert careless.run(sql).scalar() != mine
        with pytest.raises(PoolingHazard) as raised:
            db.run(sql)
        assert raised.value.hazard is Hazard.SEQUENCE_STATE


def test_a_seed_would_be_anothers_too(
    pgbouncer: Callable[..., PgBouncer], broker_to: Callable[..., Broker]
) -> None:
    pooler = pgbouncer(**SHARED)
    careless = broker_to(pooler, guard=GuardMode.OFF)
    db, other = broker_to(pooler), broker_to(pooler)
    seen = []
    for _ in range(2):
        careless.run("select setseed(0.5)")
        seen.append(other.run("select random()").scalar())
    assert seen[0] == seen[1], "another client's random numbers are foreseen"
    with pytest.raises(PoolingHazard) as raised:
        db.run("select setseed(0.5)")
    assert raised.value.hazard is Hazard.SETSEED


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("select set_config('a.b', 'x', (true))", "x"),
        ("select set_config('a.b', array['p', 'q']::text, true)", "{p,q}"),
        ("select set_config('a.b', concat('x', ',', 'y'), true::boolean)", "x,y"),
        ('select "set_config" from (values (1)) t ("set_config")', 1),
    ],
)
def test_what_leaves_nothing_is_let_through_however_it_is_written(
    sql: str,
    value: object,
    pgbouncer: Callable[..., PgBouncer],
    broker_to: Callable[..., Broker],
) -> None:
    assert broker_to(pgbouncer()).run(sql).scalar() == value


def test_a_cte_may_be_called_hold_and_a_functions_body_has_numbers_of_its_own(
    pgbouncer: Callable[..., PgBouncer], broker_to: Callable[..., Broker]
) -> None:
    db = broker_to(pgbouncer())
    with db.transaction() as tx:
        tx.run("declare hold cursor for with hold as (select 1 as x) select x from hold")
        assert tx.run("fetch hold").scalar() == 1
    db.run("create function next(int) returns int return $1 + 1")
    db.run("create function more(int) returns int begin atomic select $1; select $1 + 2; end")
    assert db.run("select next(:n) + more(:n)", n=1).scalar() == 5


def test_what_a_do_block_sets_inside_is_not_seen(
    pgbouncer: Callable[..., PgBouncer], broker_to: Callable[..., Broker]
) -> None:
    """Only the text is read: that is the guard's limit."""
    pooler = pgbouncer(**SHARED)
    db, other = broker_to(pooler), broker_to(pooler)
    db.run("do $$ begin perform set_config('app.tenant', 'mine', false); end $$")
    assert other.run(LEFT_BEHIND["set app.tenant = 'mine'"]).scalar() is True


def test_row_level_security_may_rely_on_a_setting_of_the_transaction(
    pgbouncer: Callable[..., PgBouncer], broker_to: Callable[..., Broker]
) -> None:
    """Two tenants on one server connection: each sees its own rows, and without one nobody any."""
    pooler = pgbouncer(**SHARED)
    one, other = broker_to(pooler), broker_to(pooler)
    for sql in (
        "create table orders (tenant text)",
        "insert into orders values ('one'), ('other')",
        "alter table orders enable row level security, force row level security",
        "create policy own on orders using (tenant = current_setting('app.tenant', true))",
    ):
        one.run(sql)
    for _ in range(2):
        for db, tenant in ((one, "one"), (other, "other")):
            with db.transaction() as tx:
                tx.run("select set_config('app.tenant', :t, true)", t=tenant)
                assert tx.run("select tenant from orders").scalar() == tenant
            assert len(db.run("select tenant from orders")) == 0
