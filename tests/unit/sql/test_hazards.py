"""What would stay with a pooled connection is seen, however it is written; nothing else is."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import PoolingHazard
from broker.guard import Guard
from broker.settings import Flavour, GuardMode
from broker.sql.hazards import INSTEAD, Hazard
from broker.sql.statement import compile

HAZARDS = {
    "set search_path to x": Hazard.SET,
    "set session statement_timeout = 0": Hazard.SET,
    "set time zone 'UTC'": Hazard.SET,
    "set role other": Hazard.SET,
    "set session characteristics as transaction read only": Hazard.SET,
    "reset all": Hazard.SET,
    "select set_config('a.b', 'x', false)": Hazard.SET_CONFIG,
    "select set_config(:a, :b, :c)": Hazard.SET_CONFIG,
    "select pg_catalog.set_config('a.b', concat('x', '(', f(1, 2)), 1 > 2)": Hazard.SET_CONFIG,
    "with x as (select \"set_config\"('a.b', 'x', false)) select * from x": Hazard.SET_CONFIG,
    "listen channel": Hazard.LISTEN,
    "unlisten *": Hazard.LISTEN,
    "prepare p as select 1": Hazard.PREPARE,
    "execute p": Hazard.PREPARE,
    "deallocate all": Hazard.PREPARE,
    "create temp table t (n int)": Hazard.TEMPORARY,
    "create local temporary table t (n int) on commit delete rows": Hazard.TEMPORARY,
    "create or replace temp view v as select 1": Hazard.TEMPORARY,
    "create temporary sequence s": Hazard.TEMPORARY,
    "create table pg_temp.t (n int)": Hazard.TEMPORARY,
    'create table "pg_temp".t (n int)': Hazard.TEMPORARY,
    "select 1 as n into temp t": Hazard.TEMPORARY,
    "with x as (select 1) select *  into temporary t from x": Hazard.TEMPORARY,
    "select pg_advisory_lock(1)": Hazard.ADVISORY_LOCK,
    "select pg_try_advisory_lock_shared(1, 2)": Hazard.ADVISORY_LOCK,
    "with l as (select pg_advisory_lock (id) from t) select 1 from l": Hazard.ADVISORY_LOCK,
    "select pg_advisory_unlock_all()": Hazard.ADVISORY_LOCK,
    'select "pg_advisory_lock"(1)': Hazard.ADVISORY_LOCK,
    "discard all": Hazard.DISCARD,
    "declare c cursor with hold for select 1": Hazard.HOLD,
    "load 'auto_explain'": Hazard.LOAD,
    "select lastval()": Hazard.SEQUENCE_STATE,
    "select pg_catalog.currval('s')": Hazard.SEQUENCE_STATE,
    "insert into t select \"currval\"('s')": Hazard.SEQUENCE_STATE,
    "select setseed(0.5)": Hazard.SETSEED,
    "select 1 as n into pg_temp.t": Hazard.TEMPORARY,
    'select 1 as n into table "pg_temp" . t': Hazard.TEMPORARY,
    "select 1 as n into local temp t": Hazard.TEMPORARY,
    "explain analyze create temp table t as select 1": Hazard.TEMPORARY,
    "explain (analyze, verbose) create temporary table t as select 1": Hazard.TEMPORARY,
    "explain analyse verbose create table pg_temp.t as select 1": Hazard.TEMPORARY,
    'explain (costs off, "analyze") select 1 as n into temp t': Hazard.TEMPORARY,
    "explain analyze execute p": Hazard.PREPARE,
    "explain execute p": Hazard.PREPARE,
    "explain analyze select pg_advisory_lock(1)": Hazard.ADVISORY_LOCK,
    "update pg_settings set setting = '1s' where name = 'statement_timeout'": Hazard.SET,
    "update only (pg_settings) set setting = '1s'": Hazard.SET,
    "select 1 insert into temp t": Hazard.TEMPORARY,
    "select f(1) merge into temp t": Hazard.TEMPORARY,
    "select t.as into temp u from t": Hazard.TEMPORARY,
    "select 1 as as into temp u": Hazard.TEMPORARY,
    "update only pg_catalog.pg_settings s set setting = '1s'": Hazard.SET,
    'with u as (update "pg_settings" set setting = 1) select 1': Hazard.SET,
    "select U&\"s\\0065t_config\"('a.b', 'x', false)": Hazard.SET_CONFIG,
    "select U&\"s!0065t_config\" uescape '!' ('a.b', 'x', false)": Hazard.SET_CONFIG,
    "select Set_Config('a.b', 'x', false)": Hazard.SET_CONFIG,
    "select set_config('a.b', 'true', is_local => false)": Hazard.SET_CONFIG,
    "select set_config(is_local => f(1), new_value => '', setting_name => '')": Hazard.SET_CONFIG,
    "select set_config('a.b', f(true, true, true), (select true))": Hazard.SET_CONFIG,
    "select set_config(set_config('a', 'b', false), 'c', (false))": Hazard.SET_CONFIG,
    "declare hold cursor with hold for select 1": Hazard.HOLD,
    "declare c no scroll cursor with hold for with x as (select 1) table x": Hazard.HOLD,
}
ONLY_PINS = {
    "set local work_mem = '1MB'": Hazard.SET_LOCAL,
    "select set_config('a.b', 'x', true)": Hazard.SET_LOCAL,
    "select set_config('a.b', 'x', is_local => true)": Hazard.SET_LOCAL,
    "create temp table t (n int) on commit drop": Hazard.TEMPORARY_ON_COMMIT_DROP,
    "declare c cursor for select 1": Hazard.CURSOR,
    "declare c cursor for with hold as (select 1 as x) select x from hold": Hazard.CURSOR,
    "declare hold cursor without hold for select 1": Hazard.CURSOR,
    "select set_config('a.b', 'x', is_local := true)": Hazard.SET_LOCAL,
    "select set_config(is_local => true, setting_name => 'a', new_value => 'x')": Hazard.SET_LOCAL,
    "select set_config('a.b', 'x', (true))": Hazard.SET_LOCAL,
    "select set_config('a.b', array['p', 'q']::text, ((true::boolean)))": Hazard.SET_LOCAL,
    "create temp table t on commit drop as select 1": Hazard.TEMPORARY_ON_COMMIT_DROP,
    "select nextval('s')": Hazard.SEQUENCE,
    "insert into t select setval('s', 3)": Hazard.SEQUENCE,
    f"select '{'x' * 16384}'": Hazard.SIZE,
}
HARMLESS = [
    "select 1",
    "update t set search_path = 1",
    "set transaction isolation level serializable",
    "set constraints all deferred",
    "select 'set x = 1; listen y'",
    "-- set x = 1\nselect 1",
    "/* /* listen y */ discard all */ select 1",
    "select $$ select pg_advisory_lock(1) $$",
    "select $q$ set_config('a','b',false) $q$",
    "select pg_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(2)",
    "notify channel",
    "insert into temp (a) values (1)",
    "insert  into temp values (1)",
    "merge into temp using x on true when matched then delete",
    "create table temp (n int)",
    "create table template as select 1",
    "select temp from t",
    "select listen, load, prepare from t",
    'select "discard" from t',
    "alter role app set statement_timeout = '1s'",
    "explain select 1",
    "select f(set_config_of(1))",
    "copy t from stdin",
    "fetch 10 from c",
    "prepare transaction 'x'",
    'select "set_config", "lastval" from t',
    'select "SET_CONFIG"(1, 2, 3)',
    "select set_config, setseed, lastval from t",
    "select app.set_config('a', 'b', false), app.setseed(1)",
    "grant execute on function pg_catalog.set_config(text, text, boolean) to app",
    "comment on function setseed(double precision) is 'x'",
    "insert into lastval (a) values (1)",
    "create table if not exists currval (n int)",
    "explain create temp table t as select 1",
    "explain (costs off) select pg_advisory_lock(1)",
    "explain (analyze false) select setseed(1)",
    "create function f() returns text return set_config('a', 'b', false)",
    "create function f() returns text begin atomic select set_config('a', 'b', false); end",
    "create table t as select * from pg_temp.u",
    "select 1 as n into t",
    "select 1 as into from temp",
    "select 1 as n into temp from t",
    "insert into pg_temp.t values (1)",
    "select 1 from t for update of pg_settings",
    "update t set pg_settings = 1",
    "update app.pg_settings set setting = 1",
]


@pytest.mark.parametrize(("sql", "hazard"), {**HAZARDS, **ONLY_PINS}.items())
def test_it_is_seen(sql: str, hazard: Hazard) -> None:
    assert compile(sql).hazards == (hazard,)


@pytest.mark.parametrize("sql", HARMLESS)
def test_what_is_harmless_is_let_be(sql: str) -> None:
    assert compile(sql).hazards == ()


NOISE = st.sampled_from(
    [" ", "\n", "\t ", " /* x */ ", " -- set y\n", "\n/* /* listen */ */\n", "  "]
)


@given(st.sampled_from(sorted({**HAZARDS, **ONLY_PINS})), st.data())
def test_comments_space_and_case_do_not_hide_it(sql: str, data: st.DataObject) -> None:
    """Between words anything may stand that PostgreSQL skips, and keywords have no case."""
    words = sql.split(" ")
    noisy = data.draw(NOISE) + words[0].swapcase()
    for word in words[1:]:
        noisy += data.draw(NOISE) + (word.upper() if word.isalpha() else word)
    assert set(compile(sql).hazards) <= set(compile(noisy).hazards)


@given(st.sampled_from(sorted(HAZARDS)), st.sampled_from(["'", '"', "$$", "$x$", "/*"]))
def test_within_strings_and_comments_it_is_only_text(sql: str, quote: str) -> None:
    quoted = sql.replace("'", "''") if quote == "'" else sql.replace('"', '""')
    end = {"/*": "*/"}.get(quote, quote)
    assert compile(f"select 1 {quote}{quoted}{end}").hazards == ()


@given(st.text(max_size=200))
def test_any_text_has_a_verdict(sql: str) -> None:
    try:
        hazards = compile(sql).hazards
    except Exception as error:
        assert type(error).__name__ == "ParameterError"
    else:
        assert len(set(hazards)) == len(hazards)


def test_several_statements_are_looked_at_each() -> None:
    assert set(compile("select 1; set x = 1; (select pg_advisory_lock(1))").hazards) == {
        Hazard.SET,
        Hazard.ADVISORY_LOCK,
    }


def guard(flavour: Flavour, mode: GuardMode = GuardMode.REFUSE) -> Guard:
    return Guard(flavour, mode)


@pytest.mark.parametrize("sql", ONLY_PINS)
def test_what_ends_with_its_transaction_is_refused_behind_rds_proxy_alone(sql: str) -> None:
    guard(Flavour.PGBOUNCER).check(compile(sql))
    with pytest.raises(PoolingHazard, match="would pin an RDS Proxy connection"):
        guard(Flavour.RDS_PROXY).check(compile(sql))


@pytest.mark.parametrize(("sql", "hazard"), HAZARDS.items())
def test_the_refusal_names_the_reason_and_what_does_the_same(sql: str, hazard: Hazard) -> None:
    for flavour in (Flavour.PGBOUNCER, Flavour.RDS_PROXY):
        with pytest.raises(PoolingHazard) as caught:
            guard(flavour).check(compile(sql))
        assert caught.value.hazard is hazard
        assert INSTEAD[hazard] in str(caught.value)
        assert "BROKER_GUARD" in str(caught.value)
    guard(Flavour.DIRECT).check(compile(sql))
    guard(Flavour.PGBOUNCER, GuardMode.OFF).check(compile(sql))


def test_a_warning_is_given_once_for_each_statement(caplog: pytest.LogCaptureFixture) -> None:
    warner = guard(Flavour.PGBOUNCER, GuardMode.WARN)
    with caplog.at_level(logging.WARNING, "broker"):
        for _ in range(3):
            warner.check(compile("set x = 1"))
            warner.check(compile("listen y"))
    assert [record.message.split(" would")[0] for record in caplog.records] == [
        "set x = 1",
        "listen y",
    ]


def test_a_guard_that_warned_of_very_many_statements_remembers_few() -> None:
    warner = guard(Flavour.PGBOUNCER, GuardMode.WARN)
    logging.getLogger("broker").disabled = True
    try:
        for number in range(5000):
            warner.check(compile(f"set x = {number}"))
    finally:
        logging.getLogger("broker").disabled = False
    assert len(warner._told) < 1000


def test_every_hazard_has_another_way() -> None:
    assert set(INSTEAD) == set(Hazard)
