"""Arrow batches as the binary format of Postgres' COPY.

Postgres takes it in half the time of text, and making it is a tenth of the work: no value is printed
and read again. Values that have one width are laid beside each other by NumPy, a batch at a time;
Arrow joins them with those that have not. Nothing is done row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HEADER", "TRAILER", "encoded"]

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""What stands before the first row."""
TRAILER = b"\xff\xff"
"""What stands behind the last one."""
_WIDTHS = {
    "boolean": "u1",
    "smallint": ">i2",
    "integer": ">i4",
    "bigint": ">i8",
    "real": ">f4",
    "double precision": ">f8",
    "date": ">i4",
    "timestamp with time zone": ">i8",
    "timestamp without time zone": ">i8",
}
_EPOCH_DAYS = 10_957
"""From 1970, where Arrow begins to count, to 2000, where Postgres does."""
_EPOCH_MICROS = _EPOCH_DAYS * 86_400 * 1_000_000
_NULL = -1
_NEGATIVE = 0x4000
_Laid = tuple[str, Any]
"""A type of NumPy, and a value for each row or one for all."""


def encoded(batch: pa.RecordBatch, kinds: Sequence[str]) -> memoryview:
    """Write rows as COPY reads them, without header and trailer.

    Args:
        batch: The rows.
        kinds: The type of each column in Postgres, as `format_type` writes it; `jsonb` is given as
            text, times in microseconds, decimals with the type's own precision and scale.

    Raises:
        KeyError: A type that no sink makes.
    """
    laid: list[_Laid] = [(">i2", len(kinds))]
    parts: list[pa.Array] = []
    for column, kind in zip(batch.columns, kinds, strict=True):
        if kind in ("text", "bytea", "jsonb"):
            values = column.cast(pa.binary()).cast(pa.large_binary())
            if kind == "jsonb":  # the version of its format
                values = pc.binary_join_element_wise(_scalar(b"\1"), values, _scalar(b""))
        else:
            known = _fixed(column.drop_null(), kind)
            if not column.null_count:
                laid += [(">i4", known.itemsize), (known.dtype.str, known)]
                continue
            values = _spread(known, column)
        lengths = pc.fill_null(pc.binary_length(values), _NULL)
        parts += [_beside([*laid, (">i4", _numbers(lengths))], len(batch)), pc.fill_null(values, b"")]
        laid = []
    if laid:
        parts.append(_beside(laid, len(batch)))
    rows = pc.binary_join_element_wise(*parts, _scalar(b""))
    _, offsets, data = rows.buffers()
    first, last = np.frombuffer(offsets, np.int64)[[rows.offset, rows.offset + len(rows)]]
    return memoryview(data)[first:last] if len(batch) else memoryview(b"")


def _fixed(column: pa.Array, kind: str) -> NDArray[Any]:
    """Return values of one width, none of them null, as Postgres stores them."""
    if kind.startswith("numeric("):
        precision, scale = map(int, kind[len("numeric(") : -1].split(","))
        return _numeric(column, precision, scale)
    if kind == "boolean":
        column = column.cast(pa.uint8())
    elif kind == "date":
        return (_numbers(column.cast(pa.int32())) - _EPOCH_DAYS).astype(_WIDTHS[kind])
    elif kind.startswith("timestamp "):
        return (_numbers(column.cast(pa.int64())) - _EPOCH_MICROS).astype(_WIDTHS[kind])
    return _numbers(column).astype(_WIDTHS[kind])


def _numeric(column: pa.Array, precision: int, scale: int) -> NDArray[Any]:
    """Return decimals, each with as many digits to the base 10,000 as the type may have; Postgres strips zeros."""
    whole, part = -(-(precision - scale) // 4), -(-scale // 4)
    halves = np.frombuffer(column.buffers()[1], "<u8")[2 * column.offset :][: 2 * len(column)].reshape(-1, 2)
    is_negative = halves[:, 1] >> 63 == 1
    low = np.where(is_negative, ~halves[:, 0] + 1, halves[:, 0])
    high = np.where(is_negative, ~halves[:, 1] + (low == 0), halves[:, 1])
    # The least limb of 32 bits first; three digits more, for a scale that is no multiple of four.
    limbs = [low & 0xFFFFFFFF, low >> 32, high & 0xFFFFFFFF, high >> 32, np.zeros_like(low)]
    limbs = limbs[: (precision + 3) * 10 // 3 // 32 + 1]
    carry = np.zeros_like(low)
    for n, limb in enumerate(limbs):
        product = limb * 10 ** (4 * part - scale) + carry
        limbs[n], carry = product & 0xFFFFFFFF, product >> 32
    found = np.empty((len(column), 4 + whole + part), ">i2")
    found[:, 0] = whole + part
    found[:, 1] = whole - 1
    found[:, 2] = np.where(is_negative, _NEGATIVE, 0)
    found[:, 3] = scale
    for digit in reversed(range(4, found.shape[1])):
        rest = np.zeros_like(low)
        for n in reversed(range(len(limbs))):
            limbs[n], rest = np.divmod(rest << 32 | limbs[n], 10_000)
        found[:, digit] = rest
    return found.view(f"V{2 * found.shape[1]}").reshape(-1)


def _spread(known: NDArray[Any], column: pa.Array) -> pa.Array:
    """Return values as bytes, with the nulls of their column between them."""
    valid = _numbers(column.is_valid())
    offsets = np.zeros(len(column) + 1, np.int64)
    np.cumsum(valid * known.itemsize, out=offsets[1:])
    nulls = pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(
        pa.large_binary(), len(column), [nulls, pa.py_buffer(offsets), pa.py_buffer(known)]
    )


def _beside(laid: Sequence[_Laid], rows: int) -> pa.Array:
    """Lay values of one width beside each other, as bytes for each row."""
    block = np.empty(rows, np.dtype([(f"f{n}", kind) for n, (kind, _) in enumerate(laid)]))
    for n, (_, values) in enumerate(laid):
        block[f"f{n}"] = values
    offsets = np.arange(rows + 1, dtype=np.int64) * block.itemsize
    return pa.Array.from_buffers(
        pa.large_binary(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(block.view(np.uint8))]
    )


def _numbers(column: pa.Array) -> NDArray[Any]:
    numbers: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return numbers


def _scalar(value: bytes) -> pa.Scalar:
    return pa.scalar(value, pa.large_binary())
