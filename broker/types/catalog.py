"""PostgreSQL's own types, and the statement that asks a server for all others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple


class TypeInfo(NamedTuple):
    """Describe one type of a server's."""

    oid: int
    name: str
    schema: str
    kind: str
    """"base", "array", "enum", "domain", "range", "multirange" or "composite"."""
    parts: tuple[int, ...] = ()
    """The element, base type, subtype or range; of a composite, the fields in order."""
    delimiter: str = ","
    """What separates the elements of an array."""


# oid:name:oid of its array, or 0; then the subtype, or the range. From PostgreSQL 18's pg_type.
_BASE = """
16:bool:1000 17:bytea:1001 18:char:1002 19:name:1003 20:int8:1016 21:int2:1005
22:int2vector:1006 23:int4:1007 24:regproc:1008 25:text:1009 26:oid:1028 27:tid:1010
28:xid:1011 29:cid:1012 30:oidvector:1013 114:json:199 142:xml:143 194:pg_node_tree:0
600:point:1017 601:lseg:1018 602:path:1019 603:box:1020 604:polygon:1027 628:line:629
650:cidr:651 700:float4:1021 701:float8:1022 705:unknown:0 718:circle:719 774:macaddr8:775
790:money:791 829:macaddr:1040 869:inet:1041 1033:aclitem:1034 1042:bpchar:1014
1043:varchar:1015 1082:date:1182 1083:time:1183 1114:timestamp:1115 1184:timestamptz:1185
1186:interval:1187 1266:timetz:1270 1560:bit:1561 1562:varbit:1563 1700:numeric:1231
1790:refcursor:2201 2202:regprocedure:2207 2203:regoper:2208 2204:regoperator:2209
2205:regclass:2210 2206:regtype:2211 2249:record:2287 2275:cstring:1263 2277:anyarray:0
2278:void:0 2950:uuid:2951 2970:txid_snapshot:2949 3220:pg_lsn:3221 3361:pg_ndistinct:0
3402:pg_dependencies:0 3614:tsvector:3643 3615:tsquery:3645 3642:gtsvector:3644
3734:regconfig:3735 3769:regdictionary:3770 3802:jsonb:3807 4072:jsonpath:4073
4089:regnamespace:4090 4096:regrole:4097 4191:regcollation:4192 4600:pg_brin_bloom_summary:0
4601:pg_brin_minmax_multi_summary:0 5017:pg_mcv_list:0 5038:pg_snapshot:5039 5069:xid8:271
"""
_RANGES = """
3904:int4range:3905:23 3906:numrange:3907:1700 3908:tsrange:3909:1114
3910:tstzrange:3911:1184 3912:daterange:3913:1082 3926:int8range:3927:20
"""
_MULTIRANGES = """
4451:int4multirange:6150:3904 4532:nummultirange:6151:3906 4533:tsmultirange:6152:3908
4534:tstzmultirange:6153:3910 4535:datemultirange:6155:3912 4536:int8multirange:6157:3926
"""


def _builtin() -> Iterator[TypeInfo]:
    for kind, table in (("base", _BASE), ("range", _RANGES), ("multirange", _MULTIRANGES)):
        for entry in table.split():
            number, name, array, *part = entry.split(":")
            oid = int(number)
            yield TypeInfo(oid, name, "pg_catalog", kind, tuple(map(int, part)))
            if array != "0":
                delimiter = ";" if name == "box" else ","
                yield TypeInfo(int(array), f"_{name}", "pg_catalog", "array", (oid,), delimiter)


BUILTIN: Mapping[int, TypeInfo] = MappingProxyType({info.oid: info for info in _builtin()})
"""The types of pg_catalog, whose oids are the same on every server."""

ARRAY_OF: Mapping[int, int] = MappingProxyType(
    {info.parts[0]: oid for oid, info in BUILTIN.items() if info.kind == "array"}
)
"""An element's oid to its array's."""

MULTIRANGE_OF: Mapping[int, int] = MappingProxyType(
    {info.parts[0]: oid for oid, info in BUILTIN.items() if info.kind == "multirange"}
)
"""A range's oid to its multirange's."""

LOOKUP_SQL = b"""
with recursive wanted(oid) as (
    select pg_catalog.unnest($1::pg_catalog.oid[])
    union
    select part.oid from wanted, lateral (
        select e.oid from pg_catalog.pg_type a
            join pg_catalog.pg_type e on e.oid = a.typelem and e.typarray = a.oid
            where a.oid = wanted.oid
        union all
        select d.typbasetype from pg_catalog.pg_type d
            where d.oid = wanted.oid and d.typtype = 'd'
        union all
        select r.rngsubtype from pg_catalog.pg_range r where r.rngtypid = wanted.oid
        union all
        select r.rngtypid from pg_catalog.pg_range r
            where pg_catalog.to_jsonb(r)->>'rngmultitypid' = wanted.oid::pg_catalog.text
        union all
        select f.atttypid from pg_catalog.pg_type c
            join pg_catalog.pg_attribute f on f.attrelid = c.typrelid
            where c.oid = wanted.oid and c.typtype = 'c' and f.attnum > 0 and not f.attisdropped
    ) part
)
select t.oid::pg_catalog.text, t.typname::pg_catalog.text, n.nspname::pg_catalog.text,
    case when e.oid is not null then 'array' else t.typtype::pg_catalog.text end,
    coalesce(e.oid::pg_catalog.text, nullif(t.typbasetype, 0)::pg_catalog.text,
        r.rngsubtype::pg_catalog.text,
        (select m.rngtypid::pg_catalog.text from pg_catalog.pg_range m
            where pg_catalog.to_jsonb(m)->>'rngmultitypid' = t.oid::pg_catalog.text),
        (select pg_catalog.string_agg(f.atttypid::pg_catalog.text, ',' order by f.attnum)
            from pg_catalog.pg_attribute f where f.attrelid = t.typrelid and t.typtype = 'c'
            and f.attnum > 0 and not f.attisdropped)),
    coalesce(e.typdelim, t.typdelim)::pg_catalog.text
from wanted
    join pg_catalog.pg_type t on t.oid = wanted.oid
    join pg_catalog.pg_namespace n on n.oid = t.typnamespace
    left join pg_catalog.pg_type e on e.oid = t.typelem and e.typarray = t.oid
    left join pg_catalog.pg_range r on r.rngtypid = t.oid
"""
"""Return what `read` takes, for the oids in $1 (text such as {16385,16390}) and their parts.

The same for PostgreSQL 13 to 18, under any search_path; 13 has no multiranges.
"""

_KINDS = {
    "array": "array",
    "e": "enum",
    "d": "domain",
    "r": "range",
    "m": "multirange",
    "c": "composite",
}


def read(rows: Iterable[Sequence[str | bytes | None]]) -> dict[int, TypeInfo]:
    """Return the types in the rows of LOOKUP_SQL, whose cells are text, encoded or not."""
    found: dict[int, TypeInfo] = {}
    for row in rows:
        oid, name, schema, kind, parts, delimiter = map(_decoded, row)
        found[int(oid)] = TypeInfo(
            int(oid),
            name,
            schema,
            _KINDS.get(kind, "base"),
            tuple(map(int, parts.split(","))) if parts else (),
            delimiter,
        )
    return found


def _decoded(cell: str | bytes | None) -> str:
    if cell is None:
        return ""
    return cell if isinstance(cell, str) else cell.decode()
