"""Metrics of a run that goes on, over HTTP."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from headway.telemetry.address import Address
from headway.telemetry.metrics import Metrics

__all__ = ["served"]


@contextmanager
def served(metrics: Metrics, address: Address) -> Iterator[str]:
    """Answer scrapes on threads of this process, and yield the URL.

    Raises:
        OSError: No port is free, or this machine has no such address.
    """
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry()
    registry.register(metrics)
    for port in address.ports:
        try:
            server, thread = start_http_server(port, addr=address.host, registry=registry)
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE or port == address.ports[-1]:
                raise
        else:
            break
    host = f"[{address.host}]" if ":" in address.host else address.host
    try:
        yield f"http://{host}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
