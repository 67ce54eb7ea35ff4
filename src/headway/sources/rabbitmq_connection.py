"""A connection to RabbitMQ that reads what pika does not.

pika makes a `datetime` of each timestamp in a message's headers and an integer of each float. Of a time after
the year 9999 and of NaN it cannot, and breaks off the connection; the message would come again with the next
one, and nothing behind it would ever be read.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pika.adapters.select_connection import SelectConnection
from pika.exceptions import InvalidFieldTypeException
from pika.frame import decode_frame
from pika.spec import FRAME_END, FRAME_HEADER, BasicProperties

__all__ = ["Connection"]

_NUMBERS = {
    b"t": ">?",
    b"b": ">b",
    b"B": ">B",
    b"s": ">h",
    b"U": ">h",
    b"u": ">H",
    b"I": ">i",
    b"i": ">I",
    b"l": ">q",
    b"L": ">q",
    b"f": ">f",
    b"d": ">d",
    b"T": ">Q",
}
_LAST = 253_402_300_799
"""The last second of the year 9999, after 1970."""


class Connection(SelectConnection):  # type: ignore[misc]
    """pika's connection, but for headers that pika fails on. Times that Python has not stay numbers of seconds."""

    def _read_frame(self) -> tuple[int, Any]:
        """Return the next frame of what was received, and of how many bytes it is."""
        try:
            found: tuple[int, Any] = super()._read_frame()
        except (ValueError, OverflowError):
            if self._frame_buffer[0] != FRAME_HEADER:
                raise
            return _read(self._frame_buffer)
        return found


def _read(received: bytes) -> tuple[int, Any]:
    """Read the frame of a message's properties: pika reads all but the headers."""
    kind, channel, size = struct.unpack_from(">BHL", received)
    content = received[7 : 7 + size]
    (flags,) = struct.unpack_from(">H", content, 12)
    at = 14
    for flag in (BasicProperties.FLAG_CONTENT_TYPE, BasicProperties.FLAG_CONTENT_ENCODING):
        if flags & flag:
            at += 1 + content[at]
    headers, end = _table(content, at)
    flags = struct.pack(">H", flags & ~BasicProperties.FLAG_HEADERS)
    others = content[:12] + flags + content[14:at] + content[end:]
    _, frame = decode_frame(struct.pack(">BHL", kind, channel, len(others)) + others + bytes([FRAME_END]))
    frame.properties.headers = headers
    return 7 + size + 1, frame


def _table(data: bytes, at: int) -> tuple[dict[str | bytes, Any], int]:
    """Read a table of headers; returns where it ends too."""
    end = at + 4 + int(struct.unpack_from(">I", data, at)[0])
    at, found = at + 4, dict[str | bytes, Any]()
    while at < end:
        name, at = _text(data[at + 1 : at + 1 + data[at]]), at + 1 + data[at]
        found[name], at = _value(data, at)
    return found, end


def _value(data: bytes, at: int) -> tuple[Any, int]:
    kind, at = data[at : at + 1], at + 1
    if kind in _NUMBERS:
        (number,) = struct.unpack_from(_NUMBERS[kind], data, at)
        is_time = kind == b"T" and number <= _LAST
        return datetime.fromtimestamp(number, UTC) if is_time else number, at + struct.calcsize(
            _NUMBERS[kind]
        )
    if kind == b"V":
        return None, at
    if kind == b"D":
        scale, number = struct.unpack_from(">Bi", data, at)
        return Decimal(number).scaleb(-scale), at + 5
    if kind == b"F":
        return _table(data, at)
    end = at + 4 + int(struct.unpack_from(">I", data, at)[0])
    if kind in (b"S", b"x"):
        raw = data[at + 4 : end]
        return raw if kind == b"x" else _text(raw), end
    if kind != b"A":
        raise InvalidFieldTypeException(kind)
    at, found = at + 4, []
    while at < end:
        value, at = _value(data, at)
        found.append(value)
    return found, end


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
