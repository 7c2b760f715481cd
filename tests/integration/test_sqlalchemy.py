"""SQLAlchemy keeps the broker's promises: flights, disconnects, the session's return; types."""

from __future__ import annotations

import enum
import io
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import alembic
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import exc, orm
from sqlalchemy.dialects import postgresql as pg

import broker
from broker import Broker
from broker.local.pgbouncer import PgBouncer
from broker.local.relay import Relay
from broker.settings import Flavour
from broker.sqlalchemy import create_engine
from tests.conftest import Database

Count = Callable[[Callable[[], object]], int]


class Base(orm.DeclarativeBase):
    pass


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Customer(Base):
    __tablename__ = "customer"
    id: orm.Mapped[int] = orm.mapped_column(sa.Identity(), primary_key=True)
    name: orm.Mapped[str]
    since: orm.Mapped[datetime] = orm.mapped_column(
        sa.DateTime(timezone=True), server_default=sa.func.now()
    )
    orders: orm.Mapped[list[Order]] = orm.relationship(back_populates="customer")


class Order(Base):
    __tablename__ = "order"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    customer_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("customer.id"))
    total: orm.Mapped[Decimal]
    customer: orm.Mapped[Customer] = orm.relationship(back_populates="orders")


@pytest.fixture
def db(relay: Relay, database: Database, request: pytest.FixtureRequest) -> Iterator[Broker]:
    flavour = Flavour.PGBOUNCER if "pgbouncer" in request.node.name else Flavour.DIRECT
    changes: dict[str, Any] = {"flavour": flavour, "timeout_s": 20, "fresh_s": 0.0}  # it looks
    with Broker(database.settings(port=relay.port, **changes)) as made:
        yield made


@pytest.fixture
def engine(db: Broker) -> sa.Engine:
    made = create_engine(db)
    Base.metadata.create_all(made)
    return made


@pytest.fixture
def flights(relay: Relay) -> Count:
    def count(do: Callable[[], object]) -> int:
        before = relay.flights
        do()
        return relay.flights - before

    return count


# Flights


def test_a_unit_of_work_of_one_insert_is_two_flights(engine: sa.Engine, flights: Count) -> None:
    def work() -> None:
        with orm.Session(engine) as session:
            session.add(Customer(name="a"))
            session.commit()

    assert flights(work) == 2


def test_the_first_of_an_environment_is_three_flights(
    engine: sa.Engine, db: Broker, flights: Count
) -> None:
    """What SQLAlchemy asks a server is one flight for each engine, and none for a connection."""

    def work() -> None:
        with orm.Session(create_engine(db)) as session:
            session.add(Customer(name="a"))
            session.commit()

    assert flights(work) == 3


def test_a_unit_of_work_of_many_inserts_is_two_flights(engine: sa.Engine, flights: Count) -> None:
    def work() -> None:
        with orm.Session(engine) as session:
            session.add_all(Customer(name=f"c{n}") for n in range(500))
            session.commit()

    assert flights(work) == 2
    with orm.Session(engine) as session:
        assert session.scalar(sa.select(sa.func.count(Customer.id))) == 500


def test_executemany_is_one_flight_with_the_right_count(engine: sa.Engine, flights: Count) -> None:
    table: Any = Customer.__table__
    with engine.begin() as connection:
        many = [{"name": f"c{n}"} for n in range(5)]
        assert flights(lambda: connection.execute(sa.insert(table), many)) == 1
        update = (
            sa.update(table)
            .where(table.c.name == sa.bindparam("old"))
            .values(name=sa.bindparam("new"))
        )
        renamed = [{"old": f"c{n}", "new": "x"} for n in range(7)]
        assert flights(lambda: connection.execute(update, renamed)) == 1
        assert connection.execute(update, renamed).rowcount == 0


def test_a_connection_without_a_statement_is_no_flight(engine: sa.Engine, flights: Count) -> None:
    def nothing() -> None:
        with engine.connect(), engine.begin():
            pass

    assert flights(nothing) == 0


def test_modes_are_no_flight_of_their_own(engine: sa.Engine, flights: Count) -> None:
    options = {"isolation_level": "SERIALIZABLE", "postgresql_readonly": True}
    shown = (
        "select current_setting('transaction_isolation'), current_setting('transaction_read_only')"
    )

    def work() -> None:
        with engine.connect().execution_options(**options) as connection:
            assert connection.execute(sa.text(shown)).one() == ("serializable", "on")

    assert flights(work) == 2  # with its rollback
    with engine.connect() as connection:
        assert connection.execute(sa.text(shown)).one() == ("read committed", "off")


def test_autocommit_is_one_flight_a_statement(engine: sa.Engine, flights: Count) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        assert flights(lambda: connection.execute(sa.text("vacuum customer"))) == 1


# The session's way, and its loss


def test_the_session_is_back_after_each_transaction(engine: sa.Engine, db: Broker) -> None:
    with engine.connect() as connection:
        connection.execute(sa.text("select 1"))
        assert db.stats().sessions_idle == 0
        connection.commit()
        assert db.stats().sessions_idle == 1
    assert db.stats().opened == 1


def test_a_session_that_ended_while_idle_is_not_noticed(
    engine: sa.Engine, database: Database
) -> None:
    database.kill_backends()
    with engine.connect() as connection:
        assert connection.scalar(sa.text("select 1")) == 1


def test_a_session_that_ended_in_a_transaction_is_a_disconnect(
    engine: sa.Engine, database: Database
) -> None:
    with engine.connect() as connection:
        connection.execute(sa.text("insert into customer (name) values ('a')"))
        database.kill_backends()
        with pytest.raises(exc.OperationalError) as caught:
            connection.execute(sa.text("select 1"))
        assert caught.value.connection_invalidated
        assert isinstance(caught.value.orig, broker.ConnectionLost)
        connection.rollback()
        assert connection.scalar(sa.text("select count(*) from customer")) == 0


def test_a_refused_statement_is_no_disconnect(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        with pytest.raises(exc.DataError) as caught:
            connection.execute(sa.text("select 1/:n"), {"n": 0})
        assert not caught.value.connection_invalidated
        error: Any = caught.value.orig
        assert (error.sqlstate, error.args[0]["C"]) == ("22012", "22012")
        connection.rollback()
        with pytest.raises(exc.IntegrityError):
            connection.execute(sa.text('insert into "order" values (1, 1, 1)'))


def test_the_deadline_is_an_operational_error_and_the_next_one_works(
    engine: sa.Engine, database: Database, db: Broker
) -> None:
    impatient = Broker(database.settings(timeout_s=0.4))
    with create_engine(impatient).connect() as connection:
        with pytest.raises(exc.OperationalError) as caught:
            connection.execute(sa.text("select pg_sleep(10)"))
        assert isinstance(caught.value.orig, broker.DeadlineExceeded)
        connection.rollback()
        assert connection.scalar(sa.text("select 1")) == 1
    impatient.close()


def test_a_leak_is_told_with_the_users_own_line(
    engine: sa.Engine, db: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    left = []

    def handler(event: Any, context: Any) -> None:
        session = orm.Session(engine)
        session.execute(sa.select(Customer))
        left.append(session)

    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 5000, aws_request_id="r")
    db.handler(handler)({}, context)
    assert f"{__file__}:" in caplog.text
    assert db.stats().leaks == 1
    left[0].close()


# What a pooler must not be sent, and what is not SQLAlchemy's to decide


def test_the_guard_stands_behind_poolers(
    broker_to: Callable[..., Broker], pgbouncer: Callable[..., PgBouncer]
) -> None:
    engine = create_engine(broker_to(pgbouncer()))
    temporary = sa.Table("t", sa.MetaData(), sa.Column("n", sa.Integer), prefixes=["TEMPORARY"])
    with engine.connect() as connection, pytest.raises(exc.NotSupportedError) as caught:
        temporary.create(connection)
    assert isinstance(caught.value.orig, broker.PoolingHazard)


@pytest.mark.parametrize("option", ["pool_size", "pool_pre_ping", "poolclass", "client_encoding"])
def test_what_is_the_brokers_is_refused_with_the_reason(
    option: str, broker_to: Callable[..., Broker]
) -> None:
    with pytest.raises(broker.UsageError, match=rf"create_engine\({option}=…\): leave it out"):
        create_engine(broker_to(), **{option: 1})


def test_the_engine_shows_where_to_and_no_password(
    broker_to: Callable[..., Broker], database: Database
) -> None:
    engine = create_engine(broker_to())
    assert str(database.server.port) in repr(engine)
    assert database.password not in repr(engine) + engine.url.render_as_string(hide_password=False)


def test_a_url_stands_for_the_variables_and_for_nothing_else(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = database.server
    for name, value in {
        "HOST": server.host,
        "PORT": str(server.port),
        "DATABASE": database.name,
        "USER": database.user,
        "PASSWORD": database.password,
        "TLS": "off",
        "FLAVOUR": "direct",
    }.items():
        monkeypatch.setenv(f"BROKER_{name}", value)
    engine = sa.create_engine("postgresql+broker://")
    with engine.connect() as connection:
        assert connection.scalar(sa.text("select current_user")) == database.user
    assert isinstance(engine.pool, sa.NullPool)
    engine.dialect._from_env.close()  # type: ignore[attr-defined]
    with pytest.raises(exc.ArgumentError, match="BROKER_ variables"):
        sa.create_engine("postgresql+broker://elsewhere/db").connect()


# Types and the rest of what an application uses


def test_the_orm_reads_what_it_wrote(engine: sa.Engine) -> None:
    with orm.Session(engine) as session:
        customer = Customer(
            name="a", orders=[Order(total=Decimal("1.50")), Order(total=Decimal(2))]
        )
        session.add(customer)
        session.flush()
        assert customer.since.tzinfo is not None  # the server's default
        with pytest.raises(exc.IntegrityError), session.begin_nested():
            session.add(Order(customer_id=0, total=Decimal(1)))
        session.commit()
    with orm.Session(engine) as session:
        found = session.scalars(
            sa.select(Customer).options(orm.selectinload(Customer.orders))
        ).one()
        assert [order.total for order in found.orders] == [Decimal("1.50"), Decimal("2.00")]
        session.delete(found.orders[0])
        session.commit()
        assert session.scalar(sa.select(sa.func.sum(Order.total))) == 2


NOW = datetime(2026, 7, 1, 12, 30, tzinfo=UTC)
TYPES: list[tuple[Any, Any]] = [
    (pg.JSONB(), {"a": [1, None, "é%s"]}),
    (sa.JSON(), [1, {"b": None}]),
    (sa.ARRAY(sa.Integer), [1, None, 3]),
    (sa.ARRAY(sa.Text, dimensions=2), [["a", 'b"'], ["{", "\\"]]),
    (sa.Uuid(), uuid.uuid4()),
    (pg.UUID(as_uuid=False), str(uuid.uuid4())),
    (sa.Enum(Size), Size.LARGE),
    (pg.ARRAY(sa.Enum(Size)), [Size.LARGE, Size.SMALL]),
    (pg.INT4RANGE(), pg.Range(1, 5, bounds="[)")),
    (pg.TSTZRANGE(), pg.Range(NOW, None, bounds="[)")),
    (pg.INT4MULTIRANGE(), [pg.Range(1, 3), pg.Range(5, 7)]),
    (pg.DATERANGE(), pg.Range(empty=True)),
    (sa.DateTime(timezone=True), NOW),
    (sa.Time(timezone=True), time(12, 30, tzinfo=UTC)),
    (sa.Date(), date(2026, 7, 1)),
    (sa.Interval(), timedelta(days=1, microseconds=5)),
    (sa.Numeric(12, 4), Decimal("1.2345")),
    (sa.LargeBinary(), b"\x00\xff"),
    (pg.INET(), ip_address("10.0.0.1")),
    (sa.Boolean(), True),
    (sa.BigInteger(), 2**62),
    (sa.Text(), "100% 'é' \\ :x $1 %s"),
]


@pytest.mark.parametrize(("kind", "value"), TYPES, ids=lambda each: type(each).__name__)
def test_each_type_comes_back_as_it_went(
    kind: Any, value: Any, broker_to: Callable[..., Broker], pgbouncer: Callable[..., PgBouncer]
) -> None:
    engine = create_engine(broker_to(pgbouncer()))
    table = sa.Table("things", sa.MetaData(), sa.Column("it", kind), sa.Column("n", sa.Integer))
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(table), {"it": value, "n": 1})
        connection.execute(sa.insert(table), [{"it": value, "n": 2}, {"it": None, "n": 3}])
        found = connection.scalars(sa.select(table.c.it).order_by(table.c.n)).all()
        assert list(found) == [value, value, None]
        if not isinstance(kind, sa.JSON):
            assert connection.scalar(sa.select(table.c.n).where(table.c.it == value).limit(1)) == 1


def test_a_json_serializer_of_ones_own_is_the_engines_alone(
    db: Broker,
) -> None:
    engine = create_engine(db, json_deserializer=lambda text: ("mine", text))
    with engine.connect() as connection:
        assert connection.scalar(sa.text("select '1'::jsonb")) == ("mine", "1")
    assert db.run("select '1'::jsonb").scalar() == 1


def test_a_percent_sign_is_only_itself(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        assert connection.scalar(sa.text("select 7 % :n"), {"n": 4}) == 3
        assert connection.scalar(sa.select(sa.literal(7) % 4)) == 3
        assert connection.scalar(sa.text("select '%s %%'")) == "%s %%"
        assert connection.exec_driver_sql("select %s::int + 1", (1,)).scalar() == 2
        assert connection.exec_driver_sql("select '%'").scalar() == "%"


def test_a_large_result_can_stay_on_the_server(engine: sa.Engine, flights: Count) -> None:
    def stream() -> None:
        with engine.connect().execution_options(yield_per=400) as connection:
            rows = connection.execute(sa.text("select generate_series(1, :n)"), {"n": 1000})
            assert sum(rows.scalars()) == 500_500

    assert flights(stream) > 5  # declare, rows by hundreds, close, rollback


def test_alembic_migrates_up_and_down(engine: sa.Engine, tmp_path: Path) -> None:
    migrations = tmp_path / "migrations"
    (migrations / "versions").mkdir(parents=True)
    template = Path(alembic.__file__).parent / "templates/generic/script.py.mako"
    (migrations / "script.py.mako").write_text(template.read_text())
    (migrations / "env.py").write_text(
        "from alembic import context\n"
        "with context.config.attributes['engine'].connect() as connection:\n"
        "    metadata = context.config.attributes['metadata']\n"
        "    context.configure(connection=connection, target_metadata=metadata)\n"
        "    with context.begin_transaction():\n"
        "        context.run_migrations()\n"
    )
    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(migrations))
    metadata = sa.MetaData()
    sa.Table(
        "a", metadata, sa.Column("n", sa.Integer, primary_key=True), sa.Column("s", sa.Enum(Size))
    )
    Base.metadata.drop_all(engine)
    config.attributes.update(engine=engine, metadata=metadata)
    command.revision(config, "first", autogenerate=True)
    command.upgrade(config, "head")
    assert set(sa.inspect(engine).get_table_names()) == {"a", "alembic_version"}
    command.check(config)  # the models and the database agree
    command.downgrade(config, "base")
    assert sa.inspect(engine).get_table_names() == ["alembic_version"]


def test_importing_the_dialect_by_its_url_needs_no_import_of_ours() -> None:
    program = (
        "import sqlalchemy, sys; engine = sqlalchemy.create_engine('postgresql+broker://');"
        "print(engine.dialect.driver, engine.pool.__class__.__name__)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["broker", "NullPool"]


TYPED = sa.Table(
    "typed",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("documents", pg.ARRAY(pg.JSONB)),
    sa.Column("plain", pg.ARRAY(pg.JSON)),
    sa.Column("stores", pg.ARRAY(pg.HSTORE)),
    sa.Column("tags", pg.ARRAY(sa.Text)),
    sa.Column("address", pg.INET),
    sa.Column("network", pg.CIDR),
    sa.Column("lasts", pg.INTERVAL),
    sa.Column("spans", pg.INT4MULTIRANGE),
    sa.Column("span", pg.TSTZRANGE),
    sa.Column("blob", sa.LargeBinary),
    sa.Column("amount", sa.Numeric(20, 4)),
)
TYPED_ROW: dict[str, Any] = {
    "id": 1,
    "documents": [{"a": [1, None]}, [1, "x"], None],
    "plain": [{"a": 'q"'}, "text"],
    "stores": [{"k": "v", "n": None}, {}],
    "tags": ["x", "null", "NULL", None],
    "lasts": timedelta(hours=-1, minutes=-30),
    "spans": [pg.Range(1, 5), pg.Range(7, None)],
    "span": pg.Range(datetime(2024, 1, 1, tzinfo=UTC), None),
    "blob": b"\x00\xff",
    "amount": Decimal("1.5000"),
}


@pytest.mark.parametrize("native", [None, True, False])
def test_arrays_of_json_and_hstore_and_native_addresses_are_as_on_psycopg(
    native: bool | None, db: Broker, database: Database
) -> None:
    given: dict[str, Any] = {"address": "10.0.0.1/8", "network": "10.0.0.0/8"}
    if native is not False:
        given = {"address": ip_interface("10.0.0.1/8"), "network": ip_network("10.0.0.0/8")}
    database.server.admin("create extension if not exists hstore", database=database.name)
    ours = create_engine(db, native_inet_types=native)
    url = database.server.dsn(database=database.name).replace("postgresql:", "postgresql+psycopg:")
    theirs = sa.create_engine(url, native_inet_types=native)
    found = []
    for engine in (ours, theirs):
        with engine.begin() as connection:
            TYPED.drop(connection, checkfirst=True)
            TYPED.create(connection)
            connection.execute(TYPED.insert(), {**TYPED_ROW, **given})
            row = connection.execute(sa.select(TYPED)).one()
            found.append(row._mapping)
            contained = sa.select(TYPED.c.id).where(TYPED.c.tags.contains(["null"]))
            assert connection.scalar(contained) == 1
            TYPED.drop(connection)
        engine.dispose()
    assert dict(found[0]) == dict(found[1])
    assert {key: found[0][key] for key in TYPED_ROW} == TYPED_ROW
    assert type(found[0]["address"]) is type(found[1]["address"])


def test_a_cursor_on_the_server_in_autocommit_is_one_clear_error(db: Broker) -> None:
    engine = create_engine(db, isolation_level="AUTOCOMMIT")
    with (
        engine.connect().execution_options(yield_per=10) as connection,
        pytest.raises(exc.DBAPIError, match=r"yield_per and stream_results .* AUTOCOMMIT"),
    ):
        connection.execute(sa.text("select 1"))
    with engine.connect() as connection:
        assert connection.scalar(sa.text("select 1")) == 1
