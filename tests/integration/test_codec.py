"""Every type of the server's comes back as a value that goes out as the same value again.

Through libpq's own calls, which hand over the cells as the server sent them. On each PostgreSQL
from 13 to 18: a type for which there is no sample here fails the test, so that a new one is seen.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg.types.multirange import Multirange as PsycopgMultirange
from psycopg.types.range import Range as PsycopgRange

from broker.local.postgres import Postgres
from broker.types import Array, Json, Multirange, Range
from broker.types.catalog import BUILTIN, LOOKUP_SQL, TypeInfo, read
from broker.types.parameters import encode
from broker.types.results import decoder, needs_catalog, wants_binary
from tests.conftest import OLDER, need_postgres_of

NEWEST = 18

NUMBERS = ["0", "1", "-1"]
DAYS = ["2024-02-29", "0001-01-01", "9999-12-31", "infinity", "-infinity", "0044-03-15 BC"]
EXACT = [
    *("0", "1.50", "-0.00012", "123456789012345678901234567890.123456789", "1e-100", "1e100"),
    *("0.000", "10000", "9999.9999", "1e131071", "1e-16383", "NaN", "-1e20"),
]
TIMESTAMPS = [
    *("2024-02-29 23:59:59.123456", "2024-02-29 00:00:00", "0001-01-01 00:00:00"),
    *("9999-12-31 23:59:59.999999", "infinity", "-infinity", "4713-01-01 00:00:00.5 BC"),
    "10000-01-01 00:00:00",
]
INTERVALS = [
    *("0", "1 day", "-00:00:00.5", "-01:30:00", "1 mon", "1 year 2 mons 3 days 04:05:06.789"),
    *("-1 year -2 mons 3 days -04:05:06", "41 days -990:00:00", "-1 day +02:03:04"),
    *("2147483647 days", "-178000000 years", "2147483647 days -2147483647:00:00"),
]
TEXTS = ["a", "", "null", "NULL", 'q"\\', "a,b {}()[]", "ü☃", " x ", "\t\n", "infinity"]

SAMPLES: dict[str, list[str]] = {
    "bool": ["t", "f"],
    "bytea": ["", "\\x00ff5c", "\\x616263"],
    "char": ["a", '"', "\\"],
    "name": TEXTS,
    "int8": [*NUMBERS, "9223372036854775807", "-9223372036854775808"],
    "int2": [*NUMBERS, "32767", "-32768"],
    "int4": [*NUMBERS, "2147483647", "-2147483648"],
    "int2vector": ["1 2"],
    "oidvector": ["1 2"],
    "regproc": ["now"],
    "regprocedure": ["lower(text)"],
    "regoper": ["||/"],
    "regoperator": ["+(integer,integer)"],
    "regclass": ["pg_class", '"odd ""name"'],
    "regtype": ["integer", "character varying"],
    "regconfig": ["english"],
    "regdictionary": ["simple"],
    "regnamespace": ["pg_catalog"],
    "regrole": ["postgres"],
    "regcollation": ['"C"'],
    "regdatabase": ["postgres"],
    "text": TEXTS,
    "oid": ["0", "4294967295"],
    "tid": ["(1,2)"],
    "xid": ["4294967295"],
    "xid8": ["18446744073709551615"],
    "oid8": ["1"],
    "cid": ["1"],
    "json": ['{"a": [1, null, "x"]}', "[1.5]", '"s"', "true"],
    "jsonb": ['{"a": [1, null, "x"]}', "[1.5]", '"s"', "12345678901234567890123"],
    "jsonpath": ['$."a"[*]'],
    "point": ["(1.5,2)"],
    "lseg": ["[(1,2),(3,4)]"],
    "path": ["((1,2),(3,4))"],
    "box": ["(3,4),(1,2)"],
    "polygon": ["((1,2),(3,4))"],
    "line": ["{1,2,3}"],
    "circle": ["<(1,2),3>"],
    "cidr": ["10.0.0.0/8", "::/0", "1.2.3.4/32"],
    "inet": ["10.0.0.1", "10.0.0.1/8", "::1", "fe80::1/64"],
    "float4": ["0", "1.1", "-3.4028235e+38", "1e-45", "NaN", "Infinity", "-Infinity"],
    "float8": ["0", "1.1", "0.1", "-1.7976931348623157e+308", "5e-324", "NaN", "-Infinity", "-0"],
    "macaddr": ["08:00:2b:01:02:03"],
    "macaddr8": ["08:00:2b:01:02:03:04:05"],
    "money": ["$1,234.50"],
    "aclitem": ["postgres=arwdDxt/postgres"],
    "bpchar": ["a", "a  ", ""],
    "varchar": TEXTS,
    "date": [*DAYS, "10000-01-01", "5874897-12-31"],
    "time": ["00:00:00", "23:59:59.999999", "24:00:00"],
    "timestamp": [*TIMESTAMPS, "294276-12-31 23:59:59.999999"],
    "timestamptz": [
        each + "+05:30" if each[0].isdigit() and "BC" not in each else each for each in TIMESTAMPS
    ],
    "interval": INTERVALS,
    "timetz": ["00:00:00+00", "23:59:59.5+05:30", "24:00:00-08", "12:00:00+05:53:28"],
    "bit": ["101", "1"],
    "varbit": ["", "10101010101"],
    "numeric": EXACT,
    "refcursor": ["c"],
    "uuid": ["6ba7b810-9dad-11d1-80b4-00c04fd430c8"],
    "txid_snapshot": ["10:20:10,14"],
    "pg_snapshot": ["10:20:10,14"],
    "pg_lsn": ["16/B374D848"],
    "tsvector": ["'a b' 'c':1"],
    "tsquery": ["'a' & 'b c'"],
    "int4range": ["[1,5)", "(,)", "empty", "[2147483646,)"],
    "int8range": ["[1,5)", "(,5)", "[9223372036854775806,)", "empty"],
    "numrange": ["[1.50,2]", "(1,)", "empty", "[1,1e100)"],
    "tsrange": [
        '["2024-01-01 00:00:00",infinity)',
        '[-infinity,"2024-01-01 12:00:00"]',
        "(,)",
        '["0044-03-15 00:00:00 BC",)',
    ],
    "tstzrange": ['["2024-01-01 00:00:00+05:30",infinity)', "(,)", "empty"],
    "daterange": ["[2024-01-01,2024-02-01)", "[2024-01-01,infinity)", "(,0044-03-15 BC)"],
    "int4multirange": ["{}", "{[1,5),[7,)}"],
    "int8multirange": ["{}", "{[1,5),[7,)}"],
    "nummultirange": ["{}", "{[1.5,5],(7,)}"],
    "tsmultirange": ['{["2024-01-01 00:00:00",infinity)}'],
    "tstzmultirange": ['{["2024-01-01 00:00:00+00",infinity)}', "{}"],
    "datemultirange": ["{[2024-01-01,2024-02-01),[2025-01-01,)}"],
    # information_schema's domains
    "cardinal_number": ["1"],
    "character_data": ["a b"],
    "sql_identifier": ["a"],
    "time_stamp": ["2024-02-29 23:59:59.12+00"],
    "yes_or_no": ["YES"],
    # what is made below
    "mood": ["happy", "so so", "nu'll", "null"],
    "positive": ["5"],
    "words": ['{a,"b c"}'],
    "pair": ["(1,)", '(,"a b")', '(2,"")', '(3,"q\\"\\\\(,)")'],
    "deep": ['(1,"{""(1,\\\\""a b\\\\"")""}","[1.5,2)",happy,"{5,6}")', "(,,,,)"],
    "floatrange": ["[1.5,2.25)", "(,)", "empty"],
    "textrange": ['["",b)', '["a b","q,\\"\\\\")', '("[c]",d)'],
    "floatmultirange": ["{[1.5,2.5),[3,)}", "{}"],
    "textmultirange": ['{["a b","q,}\\"\\\\"),[r,)}'],
    "odd name": ["(1)", "()"],
    "hstore": ['"a"=>"b c", "d"=>NULL'],
    "citext": ["Ab"],
    "ltree": ["a.b"],
    "cube": ["(1, 2),(3, 4)"],
    "vector": ["[1,2.5]"],
}
NO_INPUT = {
    *("pg_node_tree", "pg_ndistinct", "pg_dependencies", "pg_mcv_list", "gtsvector"),
    *("pg_brin_bloom_summary", "pg_brin_minmax_multi_summary", "pg_ddl_command"),
}
"""Types of which no value can be given."""
PASSED_OVER = {
    *("_ltree", "ltree_gist", "lquery", "ltxtquery", "ghstore", "halfvec", "sparsevec", "xml"),
}
"""Types of extensions that are like the others; and xml, which not every server is built with."""

SETUP = """
create type mood as enum ('happy', 'so so', 'nu''ll', 'null');
create domain positive as int check (value > 0);
create domain words as text[];
create type pair as (a int, b text);
create type floatrange as range (subtype = float8);
create type textrange as range (subtype = text, collation = "C");
create type deep as (a int, b pair[], c floatrange, d mood, e positive[]);
create table "odd ""name" (a int);
create type "odd name" as (a int);
"""
EXTENSIONS = ("hstore", "citext", "ltree", "cube", "vector")


@dataclass
class Server:
    """A database with a type of each kind, and what is known of its types."""

    version: int
    connection: psycopg.Connection[Any]
    catalog: dict[int, TypeInfo] = field(default_factory=dict)

    def cell(self, sql: str, form: int = 0, *parameters: Any) -> tuple[int, bytes | None]:
        """Return the only cell of a statement's result as it came, and its type."""
        oids, forms, values = zip(*parameters, strict=True) if parameters else ((), (), ())
        result = self.connection.pgconn.exec_params(sql.encode(), values, oids, forms, form)
        if result.status != psycopg.pq.ExecStatus.TUPLES_OK:
            raise RuntimeError(f"{sql} {parameters}: {result.error_message.decode()}")
        return result.ftype(0), result.get_value(0, 0)

    def look_up(self, oid: int) -> None:
        """Ask the server for a type, as the wire does."""
        result = self.connection.pgconn.exec_params(LOOKUP_SQL, [b"{%d}" % oid])
        assert result.status == psycopg.pq.ExecStatus.TUPLES_OK, result.error_message
        self.catalog |= read(
            [
                [result.get_value(row, column) for column in range(result.nfields)]
                for row in range(result.ntuples)
            ]
        )

    def value(self, expression: str) -> Any:
        """Return an expression's value, the same in both formats where both are asked for."""
        oid, cell = self.cell(f"select {expression}")
        assert cell is not None
        if needs_catalog(oid, [cell]) and oid not in self.catalog:
            self.look_up(oid)
        value = decoder(oid, 0, self.catalog)(cell)
        wanted = wants_binary(oid, self.catalog)
        if wanted or oid in ALSO_IN_BINARY:
            other_oid, other = self.cell(f"select {expression}", 1)
            assert other is not None
            binary = decoder(other_oid, 1, self.catalog)(other)
            same = repr(binary) == repr(value) or (not wanted and binary == value)
            assert same, f"{expression}: {binary!r} is not {value!r}"
        return value

    def refuses_or_differs(self, name: str, expression: str, value: object) -> str:
        """Send a value back; return what is wrong with it, or nothing."""
        try:
            equal = self._equal(name, expression, value)
        except RuntimeError as error:
            return str(error)
        return "" if equal else f"{expression} is not {value!r}"

    def _equal(self, name: str, expression: str, value: object) -> bool:
        sent = encode(value)
        if "json" in name and "path" not in name:
            as_jsonb = "jsonb[]" if "[]" in name else "jsonb"
            sql = f"select ($1::{name})::{as_jsonb} = ({expression})::{as_jsonb}"
            return self.cell(sql, 0, sent)[1] == b"t"
        sql = f"select ($1::{name}) is not distinct from ({expression})"
        try:
            return self.cell(sql, 0, sent)[1] == b"t"
        except RuntimeError as error:
            if "operator" not in str(error):
                raise
        sql = f"select ($1::{name})::text = ({expression})::text"
        return self.cell(sql, 0, sent)[1] == b"t"


ALSO_IN_BINARY = {
    *(16, 18, 19, 20, 21, 23, 25, 26, 114, 142, 650, 774, 829, 869, 1042, 1043, 1186, 1266),
    *(1560, 1562, 1700, 3802, 1000, 1007, 1009, 1016, 1041, 1231, 1561, 3807, 3904, 3905, 3906),
    *(4451, 4532),
}
"""Types that have a rule in binary, though text is asked for; not those with an offset."""


@pytest.fixture(scope="module", params=(NEWEST, *OLDER))
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if request.param == NEWEST:
        postgres: Postgres = request.getfixturevalue("postgres")
        yield from database_of(postgres, NEWEST)
        return
    need_postgres_of(request.param)
    with Postgres(version=request.param) as postgres:
        yield from database_of(postgres, request.param)


def database_of(postgres: Postgres, version: int) -> Iterator[Server]:
    postgres.create_database("codec")
    try:
        with psycopg.connect(postgres.dsn(database="codec"), autocommit=True) as connection:
            connection.execute(SETUP)
            for name in EXTENSIONS:
                there = "select 1 from pg_available_extensions where name = %s"
                if connection.execute(there, [name]).fetchone():
                    connection.execute(f"create extension {name}")
            yield Server(version, connection)
    finally:
        postgres.admin("drop database codec with (force)")


def types_of(server: Server) -> list[tuple[str, str]]:
    """Return each type's bare name and its quoted one; not tables' rows, nor arrays."""
    rows = server.connection.execute("""
        select t.typname, format('%I.%I', n.nspname, t.typname)
        from pg_type t join pg_namespace n on n.oid = t.typnamespace
        left join pg_class c on c.oid = t.typrelid
        where t.typtype in ('b', 'r', 'm', 'e', 'd', 'c') and coalesce(c.relkind = 'c', true)
        and not exists (select from pg_type e where e.typarray = t.oid) order by t.oid
    """).fetchall()
    # format() leaves bit and bpchar bare, which would be bit(1) and char(1)
    return [
        (
            name,
            quoted.replace(".bit", '."bit"')
            .replace(".bpchar", '."bpchar"')
            .replace('."char"', '."char"'),
        )
        for name, quoted in rows
        if name not in PASSED_OVER
    ]


def wrapped(name: str, value: Any) -> Any:
    """Return what is sent for a value as it was read: JSON's values say that they are."""
    if name not in ("json", "jsonb"):
        return value
    return Json(value)


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def test_every_type_has_a_sample(server: Server) -> None:
    missing = {name for name, _ in types_of(server)} - SAMPLES.keys() - NO_INPUT
    assert not missing


def test_the_built_in_types_are_the_servers(server: Server) -> None:
    given = "{" + ",".join(map(str, BUILTIN)) + "}"
    result = server.connection.pgconn.exec_params(LOOKUP_SQL, [given.encode()])
    found = read(
        [result.get_value(row, column) for column in range(result.nfields)]
        for row in range(result.ntuples)
    )
    for oid, info in found.items():
        delimiter = info.delimiter if info.kind == "array" else ","
        assert BUILTIN[oid] == info._replace(delimiter=delimiter)
    newer = {BUILTIN[oid].name for oid in BUILTIN.keys() - found.keys()}
    assert server.version < 14 or not newer
    assert all("multirange" in name or "brin" in name for name in newer)


def test_every_value_goes_out_as_it_came(server: Server) -> None:
    wrong = []
    for name, quoted in types_of(server):
        for sample in SAMPLES.get(name, ()):
            expression = f"{literal(sample)}::{quoted}"
            value = server.value(expression)
            wrong.append(server.refuses_or_differs(quoted, expression, wrapped(name, value)))
    assert not list(filter(None, wrong))


def test_every_array_goes_out_as_it_came(server: Server) -> None:
    wrong = []
    for name, quoted in types_of(server):
        samples = [f"{literal(each)}::{quoted}" for each in SAMPLES.get(name, ())]
        if not samples or name == "words":  # a domain over an array
            continue
        one, every = samples[0], ", ".join(samples)
        for expression, shape in (
            (f"array[{every}]", 1),
            (f"array[{every}, null]", 1),
            (f"array[[{one}], [null::{quoted}]]", 2),
            (f"array[[[{every}]], [[{every}]]]", 3),
            (f"array_fill({one}, array[2, 3], array[0, -7])", 2),
            (f"array[null::{quoted}]", 1),
            (f"array[]::{quoted}[]", 1),
        ):
            value = server.value(expression)
            back = in_shape(name, value, shape)
            wrong.append(server.refuses_or_differs(f"{quoted}[]", expression, back))
    assert not list(filter(None, wrong))


def in_shape(name: str, value: Any, depth: int) -> Any:
    if name not in ("json", "jsonb"):
        return value
    if depth == 0:
        return None if value is None else Json(value)
    items = [in_shape(name, each, depth - 1) for each in value]
    return Array(items, value.lower_bounds) if isinstance(value, Array) else items


def test_every_field_goes_out_as_it_came(server: Server) -> None:
    wrong = []
    for number, (name, quoted) in enumerate(types_of(server)):
        if name not in SAMPLES or name in ("json", "jsonb"):
            continue
        arrays = "" if name == "words" else f", c {quoted}[]"
        server.connection.execute(f"create type holder_{number} as (a {quoted}, b int{arrays})")
        for sample in SAMPLES[name]:
            expression = f"{literal(sample)}::{quoted}"
            last = "" if name == "words" else f", array[{expression}]"
            whole = f"row({expression}, null{last})::holder_{number}"
            value = server.value(whole)
            alone = server.value(expression)
            assert repr(value[:2]) == repr((alone, None)), whole
            wrong.append(server.refuses_or_differs(f"holder_{number}", whole, value))
            wrong.append(
                server.refuses_or_differs(f"holder_{number}[]", f"array[{whole}]", [value])
            )
            record = server.value(f"row({expression}, null)")
            assert record[1] is None
            assert record[0].encode() == server.cell(f"select {expression}")[1]
        server.connection.execute(f"drop type holder_{number}")
    assert not list(filter(None, wrong))


def test_values_are_those_of_psycopg_where_it_has_them(server: Server) -> None:
    for name, quoted in types_of(server):
        if not builtin(name) or name == "interval":  # psycopg takes a month for 30 days
            continue
        samples = [f"{literal(each)}::{quoted}" for each in SAMPLES.get(name, ())]
        for expression in [*samples, *(f"array[{each}]" for each in samples)]:
            try:
                row = server.connection.execute(
                    f"select {expression}".replace("%", "%%")
                ).fetchone()
            except (psycopg.DataError, ValueError, OverflowError):  # infinity, before Christ
                continue
            assert row is not None
            ours = server.value(expression)
            theirs = like_ours(row[0])
            assert ours == theirs or repr(ours) == repr(theirs), (expression, ours, theirs)


def builtin(name: str) -> bool:
    return psycopg.adapters.types.get(name) is not None


def like_ours(value: Any) -> Any:
    if isinstance(value, PsycopgMultirange):
        return Multirange(map(like_ours, value))
    if isinstance(value, PsycopgRange):
        if value.isempty:
            return Range(is_empty=True)
        return Range(value.lower, value.upper, value.bounds)
    if isinstance(value, list):
        return list(map(like_ours, value))
    return value


STYLES = {
    "intervalstyle": ["postgres", "postgres_verbose", "sql_standard", "iso_8601"],
    "datestyle": ["ISO, DMY", "SQL, MDY", "SQL, DMY", "German", "Postgres, MDY", "Postgres, DMY"],
    "bytea_output": ["escape", "hex"],
    "extra_float_digits": ["-15", "0", "3"],
    "timezone": ["UTC", "Asia/Kolkata", "America/St_Johns"],
    "lc_monetary": ["C"],
}


@pytest.mark.parametrize(
    ("setting", "style"), [(key, each) for key, values in STYLES.items() for each in values]
)
def test_no_setting_of_the_session_changes_a_value(
    setting: str, style: str, server: Server
) -> None:
    names = ("interval", "date", "timestamp", "timestamptz", "timetz", "bytea", "float8", "tsrange")
    samples = [(name, f"{literal(each)}::{name}") for name in names for each in SAMPLES[name]]
    server.connection.execute("set timezone to 'UTC'")
    usual = [as_wanted(server, expression) for _, expression in samples]
    server.connection.execute(f"set {setting} to '{style}'")
    try:
        for (name, expression), value in zip(samples, usual, strict=True):
            got = as_wanted(server, expression)
            if setting == "timezone" and name == "timestamptz":  # another offset, the same instant
                assert not server.refuses_or_differs(name, expression, got)
            elif got != value and repr(got) != repr(value):
                assert isinstance(got, str), f"{expression}: {got!r} is not {value!r}"
                assert name in ("timestamptz", "timetz"), expression
            server.connection.execute("set timezone to 'UTC'")
            problem = server.refuses_or_differs(name, expression, value)
            server.connection.execute(f"set {setting} to '{style}'")
            assert not problem
    finally:
        server.connection.execute("reset all")


def as_wanted(server: Server, expression: str) -> Any:
    """Return a value in the format that is asked for in use."""
    oid, _ = server.cell(f"select {expression}")
    form = int(wants_binary(oid, server.catalog))
    oid, cell = server.cell(f"select {expression}", form)
    assert cell is not None
    return decoder(oid, form, server.catalog)(cell)


PYTHON_VALUES: list[tuple[object, str]] = [
    (1, "int4"),
    (2**40, "int8"),
    (10**131_071, "numeric"),
    (Decimal("1E+3"), "numeric"),
    (Decimal("-NaN"), "numeric"),
    (float("inf"), "float8"),
    (dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=23))), "timestamptz"),
    (dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(seconds=1))), "timestamptz"),
    (dt.timedelta.max, "interval"),
    (dt.timedelta.min, "interval"),
    (dt.timedelta(microseconds=-1), "interval"),
    ([], "int4[]"),
    ([], "box[]"),
    (["null", None, "NULL"], "text[]"),
    ([[1, 2], [3, 4]], "int4[]"),
    ([1, 2.5], "float8[]"),
    ([1, Decimal("2.5")], "numeric[]"),
    ({"a": [1, {"b": None}]}, "jsonb"),
    (Range(1, 5), "int4range"),
    (Range(1, 5), "int8range"),
    ([Range(1, 5), Range(is_empty=True)], "int8range[]"),
    (Array([1, 2], [5]), "int4[]"),
]


@pytest.mark.parametrize(("value", "name"), PYTHON_VALUES, ids=[n for _, n in PYTHON_VALUES])
def test_a_python_value_comes_back_equal(value: object, name: str, server: Server) -> None:
    oid, cell = server.cell(f"select $1::{name}", 0, encode(value))
    assert cell is not None
    got = decoder(oid, 0, server.catalog)(cell)
    assert got == value or (value != value and got != got)
    if isinstance(value, Array):
        assert got.lower_bounds == value.lower_bounds


@pytest.mark.parametrize("value", [[], [1], ["a"], (1,), Multirange()])
def test_a_list_is_never_taken_for_json(value: object, server: Server) -> None:
    for name in ("json", "jsonb"):
        with pytest.raises(RuntimeError, match=r"cannot cast|invalid input syntax"):
            server.cell(f"select $1::{name}", 0, encode(value))


def test_numbers_are_compared_as_numbers(server: Server) -> None:
    for one, other in itertools.product((10, 2**40, Decimal(10), 10.5), (9, 9.5)):
        if {type(one), type(other)} == {Decimal, float}:
            continue
        assert server.cell("select $1 > $2", 0, encode(one), encode(other))[1] == b"t"
