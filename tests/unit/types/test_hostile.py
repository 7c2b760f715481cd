"""A malformed cell raises ValueError, soon, and takes no memory by the sizes that it announces."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.types.catalog import BUILTIN, TypeInfo
from broker.types.results import decoder

OF_ITSELF = {
    1: TypeInfo(1, "loop", "public", "composite", (2,)),
    2: TypeInfo(2, "_loop", "public", "array", (1,)),
}
TEXTS = [
    (16, b"true"),
    (23, b""),
    (23, b"1x"),
    (23, b"9" * 5000),
    (701, b"x"),
    (1700, b"1.2.3"),
    (17, b"\\x0"),
    (17, b"\\xzz"),
    (17, b"\\9"),
    (17, b"a\\"),
    (25, b"\xff"),
    (1186, b""),
    (1186, b"1"),
    (1186, b"1 year 2"),
    (1186, b"1 eon"),
    (1186, b"P"),
    (1186, b"PT"),
    (1186, b"1:2:3:4"),
    (1186, b"9" * 100_000),
    (2950, b"x"),
    (869, b"1.2.3"),
    (650, b"10.0.0.1/8"),
    (3802, b"{"),
    (3802, b"[" * 100_000),
    (1007, b""),
    (1007, b"{"),
    (1007, b"}"),
    (1007, b"{1"),
    (1007, b"{1}}"),
    (1007, b"{{1}"),
    (1007, b"{1,}"),
    (1007, b"{,1}"),
    (1007, b"{1,,2}"),
    (1007, b"{1}{2}"),
    (1007, b"{{1},2}"),
    (1007, b"{1,{2}}"),
    (1007, b"{{1},{2,3}}"),
    (1007, b"{{{1}},{2}}"),
    (1007, b"{{},{}}"),
    (1007, b"{{1},}"),
    (1007, b"{{1}{2}}"),
    (1007, b"{" * 7 + b"1" + b"}" * 7),
    (1007, b"{" * 100_000),
    (1007, b"[1:2]={1}"),
    (1007, b"[1:2={1}"),
    (1007, b"[1:999999999999]={1}"),
    (1009, b'{"a}'),
    (1009, b'{a"b"}'),
    (1009, b'{"a"b}'),
    (1009, b'{"a" "b"}'),
    (1009, b"{a\\}"),
    (1009, b'{"' + b"\\" * 100_001 + b'"}'),
    (2249, b""),
    (2249, b"("),
    (2249, b"(a"),
    (2249, b'("a)'),
    (2249, b'(")'),
    (2249, b"(a\\)"),
    (2249, b"(a(b)"),
    (2249, b'("x",(b)'),
    (2249, b"(" + b'"' * 100_001 + b")"),
    (3904, b""),
    (3904, b"[1]"),
    (3904, b"[1,2,3)"),
    (3904, b"1,2"),
    (3904, b"[1,x)"),
    (4451, b"{"),
    (4451, b"{[1,2)"),
    (4451, b"{[1,2),}"),
    (4451, b"{[1,2)[3,4)}"),
    (4451, b"{x}"),
    (4451, b"{[" + b'"' * 100_001 + b"}"),
]


@pytest.mark.parametrize(("oid", "cell"), TEXTS, ids=[f"{o}-{c[:20]!r}" for o, c in TEXTS])
def test_malformed_text_is_a_value_error(oid: int, cell: bytes) -> None:
    with pytest.raises(ValueError):  # any
        decoder(oid, 0, {})(cell)


BIG = 2**31 - 1
BINARIES = [
    (16, b""),
    (16, b"\x02"),
    (23, b"123"),
    (1700, b"\0\1"),
    (1700, struct.pack("!HhHH", 60_000, 0, 0, 0)),
    (1700, struct.pack("!HhHHH", 1, 0, 0, 0, 10_000)),
    (1700, struct.pack("!HhHH", 0, 0, 1, 0)),
    (1700, struct.pack("!HhHH", 0, 0, 0, 0x4000)),
    (1082, b"1"),
    (1083, struct.pack("!q", -1)),
    (1083, struct.pack("!q", 86_400_000_001)),
    (1266, struct.pack("!qi", 0, BIG)),
    (1186, b"1234"),
    (2950, b"x"),
    (869, b""),
    (869, b"\x09\x20\0\x04\x0a\0\0\x01"),
    (869, b"\x02\x21\0\x04\x0a\0\0\x01"),
    (650, b"\x02\x08\x01\x04\x0a\0\0\x01"),
    (829, b"12345"),
    (1560, b"\0"),
    (1560, struct.pack("!i", BIG)),
    (1560, struct.pack("!i", -1)),
    (3802, b"\x02{}"),
    (3802, b""),
    (1007, b""),
    (1007, struct.pack("!iii", 7, 0, 23)),
    (1007, struct.pack("!iii", -1, 0, 23)),
    (1007, struct.pack("!iiiii", 1, 0, 23, BIG, 1)),
    (1007, struct.pack("!iiiii", 1, 0, 23, -5, 1)),
    (1007, struct.pack("!iii", 6, 0, 23) + struct.pack("!ii", BIG, 1) * 6),
    (1007, struct.pack("!iiiiii", 1, 0, 23, 1, 1, BIG)),
    (1007, struct.pack("!iiiiii", 1, 0, 23, 1, 1, 4) + b"12345"),
    (3904, b""),
    (3904, b"\x02"),
    (3904, b"\x02" + struct.pack("!ii", -1, -1)),
    (4451, b""),
    (4451, struct.pack("!i", BIG)),
    (4451, struct.pack("!ii", 1, -1)),
]


@pytest.mark.parametrize(("oid", "cell"), BINARIES)
def test_malformed_binary_is_a_value_error(oid: int, cell: bytes) -> None:
    read = decoder(oid, 1, {})
    tracemalloc.start()
    try:
        with pytest.raises(ValueError):  # any
            read(cell)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", [0, 1])
def test_a_type_that_is_made_of_itself_is_a_value_error(form: int) -> None:
    if form == 0:
        with pytest.raises(ValueError, match="of itself"):
            decoder(1, form, OF_ITSELF)
    else:
        assert decoder(1, form, OF_ITSELF)(b"x") == b"x"


STRUCTURED = [1007, 1009, 1186, 1700, 17, 2249, 2287, 3802, 3904, 3908, 4451, 869, 1115, 1020]


@given(
    st.sampled_from(STRUCTURED),
    st.lists(st.sampled_from([*b'{}[]()",;\\:=0123-+PTYMD. nul', 0, 255])).map(bytes),
)
def test_any_text_is_a_value_or_a_value_error(oid: int, cell: bytes) -> None:
    with contextlib.suppress(ValueError):
        decoder(oid, 0, {})(cell)


@given(
    st.sampled_from(sorted(BUILTIN)),
    st.lists(st.sampled_from([0, 0, 0, 0, 1, 2, 4, 8, 23, 128, 255])).map(bytes),
)
def test_any_bytes_are_a_value_or_a_value_error(oid: int, cell: bytes) -> None:
    with contextlib.suppress(ValueError):
        decoder(oid, 1, {})(cell)


@pytest.mark.parametrize(
    ("oid", "begin", "piece", "end"),
    [
        (1009, b"{", b'"a\\"b",', b"x}"),
        (1009, b"{{", b"a,", b"x}}"),
        (1009, b'{"', b'\\"', b'"}'),
        (2249, b"(", b'"a""b",', b")"),
        (2249, b"(", b'""', b")"),
        (4451, b"{", b"[1,2),", b"[3,4)}"),
        (17, b"", b"\\\\", b""),
    ],
)
def test_a_long_cell_is_read(oid: int, begin: bytes, piece: bytes, end: bytes) -> None:
    assert decoder(oid, 0, {})(begin + piece * 50_000 + end)
