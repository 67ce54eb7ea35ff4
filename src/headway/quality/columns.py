"""The columns of a frame by the names that Great Expectations knows them by.

GX lists nested fields as `a.b` and puts backticks around a name that holds a dot itself; a rule may
name such a column with or without them, and in any case of letters. Where two columns answer to one
name, GX takes the one that comes first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import Column
    from pyspark.sql.types import DataType, StructType

__all__ = ["Columns", "Named", "quoted"]


@dataclass(frozen=True, slots=True)
class Named:
    """A column or a nested field."""

    name: str
    """What GX calls it."""
    path: tuple[str, ...]
    type: DataType

    @property
    def reference(self) -> str:
        """The path as Spark SQL reads it, each part in backticks."""
        return ".".join(f"`{part.replace('`', '``')}`" for part in self.path)

    def column(self) -> Column:
        """Return it as a column."""
        from pyspark.sql import functions as F

        return F.col(self.reference)


class Columns:
    """What a rule's column name may mean in a frame."""

    def __init__(self, schema: StructType) -> None:
        self.all = tuple(_walk(schema, (), ""))

    @property
    def names(self) -> list[str]:
        """Every column and nested field, in the order of the schema, as GX lists them."""
        return [named.name for named in self.all]

    def find(self, name: str) -> Named | None:
        """Return the column that a name means, or None."""
        wanted = name.casefold()
        for named in self.all:
            own = named.name.casefold()
            if own in {wanted, wanted.strip('"'), wanted.strip("[]"), wanted.strip("`"), f"`{wanted}`"}:
                return named
        return None


def quoted(reference: str) -> str:
    """Quote a dotted path as GX does for SQL: `a.b` is a field of `a`, backticks keep a dot.

    >>> quoted("a.b"), quoted("`a.b`"), quoted("two words")
    ('`a`.`b`', '`a.b`', '`two words`')
    """
    parts = _parts(reference)
    if parts is None:
        parts = [reference]
    return ".".join(
        part
        if len(part) > 1 and part.startswith("`") and part.endswith("`")
        else f"`{part.replace('`', '``')}`"
        for part in parts
    )


def _parts(reference: str) -> list[str] | None:
    """Split a path at the dots outside backticks; None where it is no path."""
    found, part, is_quoted = [], "", False
    for letter in reference:
        if letter == "`":
            is_quoted = not is_quoted
        if letter == "." and not is_quoted:
            found.append(part)
            part = ""
        else:
            part += letter
    found.append(part)
    return None if is_quoted or not all(found) else found


def _walk(schema: StructType, path: tuple[str, ...], prefix: str) -> Iterator[Named]:
    from pyspark.sql.types import StructType

    for inner in schema.fields:
        own = f"`{inner.name}`" if "." in inner.name else inner.name
        yield Named(prefix + own, (*path, inner.name), inner.dataType)
        if isinstance(inner.dataType, StructType):
            yield from _walk(inner.dataType, (*path, inner.name), f"{prefix}{inner.name}.")
