"""A first suite for a person to edit, proposed from what rows look like."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from headway.quality import gx as gx_module
from headway.quality.profile import Profile, Seen

__all__ = ["Proposed", "propose", "written"]

_ENOUGH = 20
"""Of fewer values no set and no pattern is guessed."""
_REPEATED = 10
"""How often texts are repeated, on average, that are taken for a set."""
_LONG = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """One expectation that is proposed."""

    type: str
    kwargs: dict[str, Any]
    note: str
    """What was seen."""
    severity: Literal["critical", "warning"] = "warning"


def propose(seen: Profile, *, keys: Sequence[str] = (), output_time: str | None = None) -> list[Proposed]:
    """Propose expectations: guesses only warn, and what is certain fails a unit.

    Every expectation holds for the rows that were seen, in each of their units.

    Args:
        seen: What was seen.
        keys: Columns by which the sink tells rows apart.
        output_time: Column that places rows in units: no bound is proposed for it.
    """
    found = [_row_count(seen)] if seen.rows else []
    if keys:
        found.append(_unique(seen, list(keys)))
    for column in seen.columns:
        is_key = any(column.name == key or column.name.startswith(f"{key}.") for key in keys)
        found += _nullity(seen, column, is_key=is_key)
        if column.name != output_time and not column.name.startswith(f"{output_time}."):
            found += _values(column)
    return found


def written(name: str, proposed: Sequence[Proposed], *, per: str, notes: str, telemetry: bool = False) -> str:
    """Let GX write a suite, as text that diffs well; imports GX, which takes seconds.

    The suite marks and holds nothing, whatever becomes of its rules: a person decides to hold units.
    """
    gx = gx_module.gx(telemetry)
    suite = gx.ExpectationSuite(
        name=name,
        expectations=[
            gx_module.expectation(each.type, each.kwargs, meta={}, severity=each.severity, notes=each.note)
            for each in proposed
        ],
        meta={"per": per, "gate": "mark"},
        notes=[notes],
    )
    return json.dumps(suite.to_json_dict(), indent=2, ensure_ascii=False) + "\n"


def _row_count(seen: Profile) -> Proposed:
    type_ = "expect_table_row_count_to_be_between"
    # The first and the last unit may have been cut off.
    whole = seen.units[1:-1]
    if len(whole) < 3 or min(whole) == 0:
        what = "some have none" if whole and min(whole) == 0 else "too few to tell how many a unit has"
        least = 0 if whole and min(whole) == 0 else 1
        return Proposed(
            type=type_,
            kwargs={"min_value": least},
            note=f"Seen: {seen.rows:,} rows in {len(seen.units):,} units; {what}.",
        )
    return Proposed(
        type=type_,
        kwargs={
            "min_value": min(min(whole) // 2, *seen.units),
            "max_value": max(2 * max(whole), *seen.units),
        },
        note=f"Seen: {min(whole):,} to {max(whole):,} rows in each of {len(whole):,} whole units.",
    )


def _unique(seen: Profile, keys: list[str]) -> Proposed:
    note = f"Certain: the keys of the sink, which holds each only once; {seen.rows:,} rows seen."
    if len(keys) == 1:
        return Proposed(
            type="expect_column_values_to_be_unique",
            kwargs={"column": keys[0]},
            note=note,
            severity="critical",
        )
    return Proposed(
        type="expect_compound_columns_to_be_unique",
        kwargs={"column_list": keys},
        note=note,
        severity="critical",
    )


def _nullity(seen: Profile, column: Seen, *, is_key: bool) -> Iterator[Proposed]:
    type_ = "expect_column_values_to_not_be_null"
    missing = seen.rows - column.filled
    if not seen.rows or not column.filled:
        return
    if not missing:
        yield Proposed(
            type=type_,
            kwargs={"column": column.name},
            note=f"Seen: none of {seen.rows:,} rows is null.",
            severity="critical" if is_key else "warning",
        )
        return
    # Half as many nulls more as in the worst unit.
    share = math.floor((1 - 1.5 * (1 - column.least_filled)) * 100) / 100
    if share >= 0.5:
        yield Proposed(
            type=type_,
            kwargs={"column": column.name, "mostly": share},
            note=f"Seen: {missing:,} of {seen.rows:,} rows are null, "
            f"up to {1 - column.least_filled:.2%} of a unit.",
        )


def _values(column: Seen) -> Iterator[Proposed]:
    if column.kind == "text":
        yield from _text(column)
    elif column.kind == "time" and column.low is not None:
        yield Proposed(
            type="expect_column_values_to_be_between",
            kwargs={"column": column.name, "min_value": column.low},
            note=f"Seen: the first is of {column.low}. There is no last: time goes on.",
        )
    elif column.low is not None:
        yield from _number(column, float(column.low), None if column.high is None else float(column.high))


def _number(column: Seen, low: float, high: float | None) -> Iterator[Proposed]:
    ends = _slack(low, low if high is None else high, is_whole=column.kind == "whole")
    if ends is None:
        return
    kwargs = {"column": column.name, "min_value": ends[0], "max_value": ends[1]}
    if high is None:
        del kwargs["max_value"]
        note = f"Seen: {low:,.10g} and more, up to NaN or infinity, which no upper bound lets in."
    else:
        note = f"Seen: {low:,.10g} to {high:,.10g}."
    yield Proposed(type="expect_column_values_to_be_between", kwargs=kwargs, note=note)


def _text(column: Seen) -> Iterator[Proposed]:
    if column.filled < _ENOUGH:
        return
    shortest, longest = column.lengths
    if column.values and column.filled >= _REPEATED * len(column.values):
        yield Proposed(
            type="expect_column_values_to_be_in_set",
            kwargs={"column": column.name, "value_set": list(column.values)},
            note=f"Seen: these {len(column.values)} in {column.filled:,} values.",
        )
    elif column.patterns and shortest > 0:
        spread = f"{{{shortest}}}" if shortest == longest else f"{{{shortest},{longest}}}"
        yield Proposed(
            type="expect_column_values_to_match_regex",
            kwargs={"column": column.name, "regex": column.patterns[0].replace("{%}", spread)},
            note=f"Seen: all of {column.filled:,} values, about {column.distinct:,} different ones.",
        )
    elif shortest == longest:
        yield Proposed(
            type="expect_column_value_lengths_to_equal",
            kwargs={"column": column.name, "value": longest},
            note=f"Seen: {longest} characters in all of {column.filled:,} values.",
        )
    elif longest <= _LONG:
        yield Proposed(
            type="expect_column_value_lengths_to_be_between",
            kwargs={"column": column.name, "min_value": min(shortest, 1), "max_value": 2 * longest},
            note=f"Seen: {shortest} to {longest} characters in {column.filled:,} values.",
        )


def _slack(low: float, high: float, *, is_whole: bool) -> tuple[float, float] | None:
    """Widen a range by a tenth on either side, to round numbers, and not from zero to below; None if that is too wide.

    >>> _slack(0, 1301, is_whole=True), _slack(-43, 1301, is_whole=True), _slack(0, 0, is_whole=True)
    ((0, 1500.0), (-200.0, 1500.0), (0, 1.0))
    >>> _slack(2, 2, is_whole=False), _slack(0.12, 0.48, is_whole=False)
    ((1.8, 2.2), (0.08, 0.52))
    """
    margin = (high - low or abs(high) or 1) / 10
    if is_whole:
        margin = max(margin, 1)
    if not math.isfinite(high + margin - low):
        return None
    step = 10.0 ** math.floor(math.log10(margin))
    least, most = math.floor((low - margin) / step) * step, math.ceil((high + margin) / step) * step
    if low >= 0:
        least = max(least, 0)
    digits = max(0, -math.floor(math.log10(step)))
    return round(least, digits), round(most, digits)
