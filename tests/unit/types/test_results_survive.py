"""Any value comes back from its text as it went in, and what Python cannot hold as that text."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.types.results import decoder

BOOL, INT8, TEXT, FLOAT8, DATE, TIME, TIMESTAMP, TIMESTAMPTZ = (
    16,
    20,
    25,
    701,
    1082,
    1083,
    1114,
    1184,
)

zones = st.sampled_from([0, 60, -480, 330, -765, 840]).map(
    lambda minutes: dt.timezone(dt.timedelta(minutes=minutes))
)
VALUES: list[tuple[int, st.SearchStrategy[Any], Any]] = [
    (BOOL, st.booleans(), lambda value: "t" if value else "f"),
    (INT8, st.integers(-(2**63), 2**63 - 1), str),
    (TEXT, st.text(), str),
    (FLOAT8, st.floats(allow_nan=False), lambda value: repr(value).replace("inf", "Infinity")),
    (DATE, st.dates(), str),
    (TIME, st.times(), str),
    (TIMESTAMP, st.datetimes(), str),
    (TIMESTAMPTZ, st.datetimes(timezones=zones), lambda value: str(value).removesuffix(":00")),
]


@pytest.mark.parametrize(("oid", "values", "printed"), VALUES, ids=[str(v[0]) for v in VALUES])
@given(data=st.data())
def test_a_value_survives_its_own_text(oid, values, printed, data):
    value = data.draw(values)
    read = decoder(oid, 0, {})(printed(value).encode())

    assert (read, type(read)) == (value, type(value))
    if oid == TIMESTAMPTZ:
        assert read.utcoffset() == value.utcoffset()


def test_no_number_is_no_number():
    read = decoder(FLOAT8, 0, {})(b"NaN")

    assert read != read


@pytest.mark.parametrize(
    ("oid", "text"),
    [
        (DATE, "infinity"),
        (DATE, "-infinity"),
        (DATE, "0044-03-15 BC"),
        (DATE, "12024-01-01"),
        (TIME, "24:00:00"),
        (TIMESTAMP, "infinity"),
        (TIMESTAMP, "12024-01-01 00:00:00"),
        (TIMESTAMP, "0044-03-15 00:00:00 BC"),
        (TIMESTAMP, "17/12/1997 07:37:16"),  # DateStyle SQL: day or month first, it does not tell
        (TIMESTAMPTZ, "infinity"),
        (TIMESTAMPTZ, "0044-03-15 00:00:00+00 BC"),
    ],
)
def test_what_pythons_types_cannot_hold_comes_as_the_servers_text(oid, text):
    """Neither an error after the statement has run, nor another value."""
    assert decoder(oid, 0, {})(text.encode()) == text
