"""Values travel apart from the statement, in every way of giving them; no text becomes two."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest
import sqlalchemy as sa

from broker import Broker, StatementError, dbapi
from broker.sqlalchemy import create_engine

HOSTILE = "'; drop table orders; select '"
MINE = "select query, {} from pg_stat_activity where pid = pg_backend_pid()"
Ask = Callable[[Broker], list[str]]


def run(db: Broker) -> list[str]:
    return list(db.run(MINE.format(":v::text"), v=HOSTILE).one())


def run_many(db: Broker) -> list[str]:
    with db.transaction() as tx:
        return list(tx.run_many(MINE.format(":v::text"), [{"v": HOSTILE}]).one())


def by_dbapi(db: Broker) -> list[str]:
    with closing(dbapi.connect(db)) as connection:
        cursor = connection.cursor()
        cursor.execute(MINE.format("%s::text"), (HOSTILE,))
        return list(cursor.fetchone() or ())


def by_sqlalchemy(db: Broker) -> list[str]:
    with create_engine(db).begin() as connection:
        return list(
            connection.execute(sa.text(MINE.format("cast(:v as text)")), {"v": HOSTILE}).one()
        )


@pytest.mark.parametrize("ask", [run, run_many, by_dbapi, by_sqlalchemy])
def test_the_server_s_text_has_no_value_in_it_and_the_value_comes_back(
    ask: Ask, broker_to: Callable[..., Broker]
) -> None:
    query, value = ask(broker_to())
    assert value == HOSTILE
    assert "$1" in query
    assert "drop" not in query


def test_a_name_cannot_be_bound_and_a_text_with_parameters_is_one_statement(
    broker_to: Callable[..., Broker],
) -> None:
    db = broker_to()
    db.run("create table orders (id int)")
    for sql, values in (
        ("select id from :name", {"name": "orders"}),
        ("select :id::int; drop table orders", {"id": 1}),
    ):
        with pytest.raises(StatementError) as raised:
            db.run(sql, **values)
        assert raised.value.sqlstate == "42601"
    assert len(db.run("select id from orders")) == 0
