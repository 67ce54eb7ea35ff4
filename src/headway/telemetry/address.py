"""Where a run answers scrapes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Address"]


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: a host and ports, of which the first that is free is taken."""

    host: str
    ports: range

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `host:port` or `host:first-last`.

        >>> Address.parse("127.0.0.1:9400-9409")
        Address(host='127.0.0.1', ports=range(9400, 9410))
        >>> Address.parse("[::1]:9400").host
        '::1'

        Raises:
            ValueError: The text is neither.
        """
        host, _, ports = text.rpartition(":")
        first, _, last = ports.partition("-")
        if not (host and first.isdigit() and (last or first).isdigit()):
            raise ValueError(f"{text!r} is no address, such as 127.0.0.1:9400 or 127.0.0.1:9400-9409")
        found = range(int(first), int(last or first) + 1)
        if not found or found[-1] > 65_535:
            raise ValueError(f"{text!r} names no ports")
        return cls(host.strip("[]"), found)
