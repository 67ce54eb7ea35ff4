"""An Iceberg table as the place for results."""

from __future__ import annotations

from dataclasses import dataclass

from headway.errors import DefinitionError

__all__ = ["Iceberg"]


@dataclass(frozen=True, slots=True)
class Iceberg:
    """A table in an Iceberg catalog, made from the result's columns where it is missing.

    A new table is partitioned by day of the output time.
    """

    table: str
    """Catalog, namespace and table, such as `lake.flights.punctuality`."""
    keys: tuple[str, ...] = ()
    """Columns that identify a row and determine its output time; needed by `emit="early"`
    where a stream upserts. Checked to be unique in each commit that upserts."""

    def __init__(self, table: str, keys: tuple[str, ...] | list[str] = ()) -> None:
        object.__setattr__(self, "table", table)
        object.__setattr__(self, "keys", tuple(keys))
        if table.count(".") < 2:
            raise DefinitionError(
                f"{table!r} names no catalog and namespace",
                hint="Write it as catalog.namespace.table, such as lake.flights.punctuality.",
            )

    def facts(self) -> dict[str, object]:
        """Return what the rows depend on, for the fingerprint."""
        return {"keys": list(self.keys)}
