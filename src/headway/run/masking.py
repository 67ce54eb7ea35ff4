"""Leaving values out of what people see."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

__all__ = ["masked"]

_SHOWN = "***"


def masked(value: Any, columns: Collection[str]) -> Any:
    """Return a value with what stands under some names left out, at any depth.

    >>> masked({"tailnum": "N1", "legs": [{"pilot": "A"}]}, ["pilot", "tailnum"])
    {'tailnum': '***', 'legs': [{'pilot': '***'}]}
    """
    if isinstance(value, dict):
        return {k: _SHOWN if k in columns else masked(v, columns) for k, v in value.items()}
    if isinstance(value, list):
        return [masked(v, columns) for v in value]
    return value
