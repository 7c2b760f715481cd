"""Parameters mean what literals mean, in every operator and function that takes several of a kind.

The operators and functions are the server's own, from pg_operator and pg_proc.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from broker import Broker, BrokerError, StatementError
from tests.conftest import Database

# A literal as a person writes it, twice: of int and numeric bare, of text in quotes and no more.
LITERALS = {
    "int4": ("7", "2"),
    "int8": ("9000000000", "3000000000"),
    "numeric": ("7.50", "2.25"),
    "bool": ("true", "false"),
    "float8": ("7.5::float8", "2.25::float8"),
    "text": ("'b'::text", "'ab'::text"),
    "bytea": ("'\\x6263'::bytea", "'\\x62'::bytea"),
    "date": ("date '2024-02-29'", "date '2023-01-01'"),
    "time": ("time '10:00'", "time '09:30'"),
    "timetz": ("timetz '10:00+02'", "timetz '09:30+01'"),
    "timestamp": ("timestamp '2024-02-29 10:00'", "timestamp '2023-01-01 11:30'"),
    "timestamptz": ("timestamptz '2024-02-29 10:00+02'", "timestamptz '2023-01-01 11:30+00'"),
    "interval": ("interval '1 mon 2 days'", "interval '-01:30:00'"),
    "uuid": (
        "uuid '6ba7b810-9dad-11d1-80b4-00c04fd430c8'",
        "uuid '00000000-0000-0000-0000-000000000001'",
    ),
    "inet": ("inet '10.0.0.1/8'", "inet '10.0.0.2'"),
    "cidr": ("cidr '10.0.0.0/8'", "cidr '10.1.0.0/16'"),
    "jsonb": ("'{\"a\": [1, null]}'::jsonb", "'{\"b\": 2}'::jsonb"),
    "_int4": ("array[1, 2, null]", "array[2]"),
    "_numeric": ("array[1.5, 2.25]", "array[2.25]"),
    "_float8": ("array[1.5, 2]::float8[]", "array[2]::float8[]"),
    "_bool": ("array[true, null]", "array[true]"),
}
OPERATORS = """
select oprname, null from pg_operator where oprleft = $1::regtype and oprright = $1::regtype
and oprcode::oid in (select oid from pg_proc where provolatile = 'i') order by oid
"""
FUNCTIONS = """
select proname, pronargs from pg_proc where prokind = 'f' and not proretset and provolatile = 'i'
and pronargs between 2 and 4 and provariadic = 0 and pronamespace = 'pg_catalog'::regnamespace
and proargtypes::oid[] = array_fill($1::regtype::oid, array[pronargs::int], array[0])
and prorettype not in ('internal'::regtype, 'void'::regtype)
and proname !~ '^(has_|gin|gist|brin|spg|range_)'
order by oid
"""
TAKEN_AS = {"cidr": "inet", **dict.fromkeys(("_int4", "_numeric", "_float8", "_bool"), "anyarray")}
"""Types that have no operators of their own."""
UNTYPED = {"text"}  # a str goes as a literal in quotes does: where that alone decides, say its type


@pytest.mark.parametrize("name", LITERALS)
def test_parameters_give_what_literals_give(
    name: str, broker_to: Callable[..., Broker], database: Database
) -> None:
    db, literals = broker_to(), LITERALS[name]
    values = [db.run(f"select {each}").scalar() for each in literals]
    marks = [":a", ":b"] if name not in UNTYPED else [":a::text", ":b::text"]
    wrong, compared = [], 0
    for found, arguments in both(database, name):
        for template, count in forms(found, arguments):
            places = [0, 1, 0, 1][:count]
            given = {"ab"[at]: values[at] for at in set(places)}
            with_literals = outcome(db, template.format(*(literals[at] for at in places)))
            with_values = outcome(db, template.format(*(marks[at] for at in places)), **given)
            compared += 1
            if with_values != with_literals:
                wrong.append(f"{template}: {with_values}, and with literals {with_literals}")
    assert not wrong, "\n".join(wrong)
    assert compared >= 6


def both(database: Database, name: str) -> list[tuple[str, int | None]]:
    oid = f"pg_catalog.{TAKEN_AS.get(name, name)}"
    found = []
    for sql in (OPERATORS, FUNCTIONS):
        rows = database.server.admin(sql.replace("$1", f"'{oid}'"), database=database.name)
        found += [(row[0], row[1]) for row in rows]
    return found


def forms(found: str, arguments: int | None) -> list[tuple[str, int]]:
    if arguments is None:
        return [(f"select {{}} {found} {{}}", 2)]
    marks = ", ".join(["{}"] * arguments)
    return [(f'select pg_catalog."{found}"({marks})', arguments)]


def outcome(db: Broker, sql: str, **values: object) -> str:
    """Return what comes of a statement: its value, or the SQLSTATE with which it was refused."""
    try:
        return repr(db.run(sql, **values).scalar())
    except StatementError as error:
        return f"refused: {error.sqlstate}"
    except BrokerError as error:
        return f"{type(error).__name__}"
