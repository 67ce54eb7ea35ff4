"""Great Expectations' arithmetic of verdicts, from numbers that were counted elsewhere.

Pure: no Spark, no GX. The dictionaries have the keys that GX gives at result format SUMMARY, less
the samples of values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, tzinfo
from typing import Any

__all__ = ["Judgement", "map_result", "nullity_result", "quantile_result", "within_result"]

Judgement = tuple[bool, dict[str, Any]]
"""Whether the rule is kept, and GX's `result`."""


def map_result(elements: int, considered: int, unexpected: int | None, mostly: float) -> Judgement:
    """Judge a rule about values, of which some are not considered: missing, or passed over.

    >>> map_result(10, 8, 2, 0.75)[0], map_result(10, 8, 3, 0.75)[0]
    (True, False)
    """
    success = unexpected is None or considered == 0 or (considered - unexpected) / considered >= mostly
    missing = elements - considered
    result: dict[str, Any] = {
        "element_count": elements,
        "unexpected_count": unexpected,
        "unexpected_percent": _percent(unexpected, considered),
        "missing_count": missing,
        "missing_percent": None if unexpected is None else _percent(missing, elements),
        "unexpected_percent_total": _percent(unexpected, elements),
        "unexpected_percent_nonmissing": _percent(unexpected, considered),
    }
    return success, result


def nullity_result(elements: int, unexpected: int, mostly: float) -> Judgement:
    """Judge a rule about null itself, which considers every row."""
    success = elements == 0 or (elements - unexpected) / elements >= mostly
    result = {
        "element_count": elements,
        "unexpected_count": unexpected if elements else None,
        "unexpected_percent": _percent(unexpected, elements),
    }
    return success, result


def within_result(value: Any, parameters: Mapping[str, Any], zone: tzinfo) -> Judgement:
    """Judge whether an observed value lies within the rule's bounds.

    A time is compared with a bound that is a date by its date, as GX does. A bound with an offset
    is compared as an instant; GX, which knows observed times only without an offset, fails on it.

    Args:
        value: A number, a truth, a date, a time without offset that is one of the zone, or None.
        parameters: `min_value`, `max_value`, `strict_min`, `strict_max`.
        zone: The zone of observed times.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return False, {"observed_value": None}
    low, high = parameters.get("min_value"), parameters.get("max_value")
    success = True
    if low is not None:
        own, bound = _comparable(value, low, zone)
        success = own > bound if parameters.get("strict_min") else own >= bound
    if high is not None:
        own, bound = _comparable(value, high, zone)
        success = success and (own < bound if parameters.get("strict_max") else own <= bound)
    bounds = [b for b in (low, high) if b is not None]
    if isinstance(value, datetime) and bounds and not any(isinstance(b, datetime) for b in bounds):
        value = value.date()
    elif type(value) is date and any(isinstance(b, datetime) for b in bounds):
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001
    return bool(success), {"observed_value": value.isoformat() if isinstance(value, date) else value}


def quantile_result(
    observed: Sequence[float | None],
    quantiles: Sequence[float],
    ranges: Sequence[Sequence[float | None]],
) -> Judgement:
    """Judge whether each quantile lies within its range, or within a ten-thousandth of an end."""
    kept = [_is_in(value, low, high) for value, (low, high) in zip(observed, ranges, strict=True)]
    return all(kept), {
        "observed_value": {"quantiles": list(quantiles), "values": list(observed)},
        "details": {"success_details": kept},
    }


def _is_in(value: float | None, low: float | None, high: float | None) -> bool:
    if value is None:
        return False
    ends = [end for end in (low, high) if end is not None]
    return any(math.isclose(value, end, rel_tol=0, abs_tol=1e-8 + 1e-4 * abs(end)) for end in ends) or (
        (low is None or low <= value) and (high is None or value <= high)
    )


def _percent(part: int | None, whole: int) -> float | None:
    return None if part is None or whole == 0 else part / whole * 100


def _comparable(value: Any, bound: Any, zone: tzinfo) -> tuple[Any, Any]:
    """Return an observed value and a bound as things that Python compares."""
    if isinstance(bound, datetime):
        time = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)  # noqa: DTZ001
        return (time if bound.tzinfo is None else time.replace(tzinfo=zone)), bound
    if isinstance(bound, date) and isinstance(value, datetime):
        return value.date(), bound
    return value, bound
