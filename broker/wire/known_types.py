"""The types that one session has met, and what reads their cells. The session looks them up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from broker.types import catalog, results
from broker.types.catalog import BUILTIN, TypeInfo
from broker.types.converters import Converters
from broker.wire.exchange import ResultSet
from broker.wire.rows import Cell, Decoder

_DECODERS_KEPT = 256  # lists of columns whose decoders are remembered


class KnownTypes:
    """PostgreSQL's own types, and those of the database that were looked up in pg_type.

    Composite types, and those made of them, are used once and forgotten: ALTER TYPE can give a
    field another type under which the same text is another value.
    """

    def __init__(self) -> None:
        self._looked_up: dict[int, TypeInfo] = {}
        self._decoders: dict[object, list[Decoder]] = {}

    def decoders(
        self, result_set: ResultSet, converters: Converters | None
    ) -> list[Decoder] | None:
        """Return what reads each column; None where types are `unknown` and must be looked up."""
        key = (result_set.description.types, converters)
        known = self._decoders.get(key)
        if known is not None:
            return known
        if self.unknown(result_set, converters):
            return None
        fields = result_set.description.fields
        decoders = [
            results.decoder(field.type_oid, field.format, self._looked_up, converters)
            for field in fields
        ]
        self._forget_composites()
        if all(field.type_oid in BUILTIN or field.type_oid in self._looked_up for field in fields):
            if len(self._decoders) >= _DECODERS_KEPT:
                self._decoders.clear()
            self._decoders[key] = decoders
        return decoders

    def unknown(self, result_set: ResultSet, converters: Converters | None) -> list[int]:
        """Return the types of columns whose text may not be all that there is to them."""
        by_name = bool(converters and converters.by_name)
        columns = zip(result_set.description.fields, result_set.cells, strict=True)
        return [
            field.type_oid
            for field, cells in columns
            if field.type_oid not in self._looked_up
            and results.needs_catalog(field.type_oid, cells, by_name)
        ]

    def learn(self, asked: Iterable[int], rows: Sequence[Sequence[Cell]]) -> None:
        """Keep what catalog.LOOKUP_SQL returned. A type that is gone is its text from here on."""
        for oid in asked:
            self._looked_up[oid] = TypeInfo(oid, "", "", "base")
        self._looked_up.update(catalog.read(rows))

    def _forget_composites(self) -> None:
        known = self._looked_up
        altered = {oid for oid, info in known.items() if info.kind == "composite"}
        while altered:
            for oid in altered:
                del known[oid]
            altered = {
                oid
                for oid, info in known.items()
                if any(part not in BUILTIN and part not in known for part in info.parts)
            }

    def forget(self) -> bool:
        """Forget what was looked up, and tell whether there was anything."""
        known = bool(self._looked_up)
        self._looked_up.clear()
        self._decoders.clear()
        return known

    def result_formats(self, oids: Iterable[int]) -> list[int]:
        """Return the format to ask for of each column: 1 for binary."""
        return [int(results.wants_binary(oid, self._looked_up)) for oid in oids]
