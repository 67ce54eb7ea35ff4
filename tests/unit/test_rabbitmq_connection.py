"""Headers that pika fails on are read; all others as pika reads them."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pika.frame import Header, decode_frame
from pika.spec import BasicProperties

from headway.sources.rabbitmq_connection import Connection, _read

NUMBER = struct.pack(">cq", b"l", 2**40)


def framed(**headers):
    properties = BasicProperties("text/plain", "none", headers, message_id="x", priority=3, timestamp=7)
    return Header(1, 5, properties).marshal()


def read(received):
    connection = Connection.__new__(Connection)
    connection._frame_buffer = received
    return connection._read_frame()


def test_headers_are_read_as_pika_reads_them():
    received = framed(
        small=7,
        large=2**40,
        truth=True,
        price=Decimal("12.50"),
        at=datetime(2013, 2, 1, tzinfo=UTC),
        list=[-1, ["x", None]],
        table={"a": b"\xff"},
        text="ż",
        nothing=None,
    )
    assert _read(received + b"more")[0] == decode_frame(received + b"more")[0] == len(received)
    assert _read(received)[1].properties == decode_frame(received)[1].properties


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (struct.pack(">cQ", b"T", 253_402_300_800), "253402300800"),
        (struct.pack(">cQ", b"T", 2**64 - 1), str(2**64 - 1)),
        (struct.pack(">cd", b"d", float("nan")), "nan"),
        (struct.pack(">cd", b"d", float("inf")), "inf"),
    ],
)
def test_a_value_that_pika_fails_on_is_a_number(value, expected):
    received = framed(before="b", odd=2**40, behind=7).replace(NUMBER, value)
    with pytest.raises((ValueError, OverflowError)):
        decode_frame(received)
    size, frame = read(received + b"more")
    assert size == len(received)
    assert {k: str(v) for k, v in frame.properties.headers.items()} == {
        "before": "b",
        "odd": expected,
        "behind": "7",
    }
    assert (frame.properties.message_id, frame.properties.priority, frame.body_size) == ("x", 3, 5)
