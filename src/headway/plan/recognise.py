"""Recognising, in Spark's analysed expressions, what a definition has written about time."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from headway import instant
from headway.plan.tree import Node

__all__ = ["attributes", "cut_of", "is_window_time", "session_of", "time_range", "window_of"]


def attributes(expression: Node) -> list[str]:
    """Return the ids of the attributes that an expression refers to."""
    return [n.attribute_id for n in expression.walk() if n.kind == "AttributeReference"]


def _literals(expression: Node) -> list[int]:
    found = []
    for node in expression.walk():
        if node.kind == "Literal" and str(node.fields.get("value", "")).lstrip("-").isdigit():
            found.append(int(node.fields["value"]))
    return found


def _struct_fields(expression: Node) -> dict[str, Node] | None:
    if expression.kind != "CreateNamedStruct":
        return None
    names = [str(child.fields.get("value")) for child in expression.children[::2]]
    return dict(zip(names, expression.children[1::2], strict=True))


def window_of(expression: Node) -> tuple[str, int, int] | None:
    """Recognise what Spark's analyser makes of `window()`: attribute, length and slide."""
    fields = _struct_fields(expression)
    if fields is None or list(fields) != ["start", "end"]:
        return None
    remainders = [n for n in fields["start"].walk() if n.kind == "Remainder"]
    found = set(attributes(expression))
    if not remainders or len(found) != 1:
        return None
    slide = _literals(remainders[0].children[1])[-1]
    end = next(n for n in fields["end"].walk() if n.kind == "Add")
    length = _literals(end.children[1])[-1]
    offset = [n for n in remainders[0].children[0].walk() if n.kind == "Subtract"]
    starts_at = _literals(offset[0].children[1])[-1] if offset else 0
    return found.pop(), length, slide if starts_at == 0 else -1


def session_of(expression: Node, known: Mapping[str, tuple[str, int]]) -> tuple[str, int] | None:
    """Recognise what Spark's analyser makes of `session_window()`: attribute and gap."""
    if expression.kind == "Alias":
        return session_of(expression.children[0], known)
    if expression.kind == "AttributeReference":
        return known.get(expression.attribute_id)
    fields = _struct_fields(expression)
    if fields is None or list(fields) != ["start", "end"] or window_of(expression) is not None:
        return None
    found = set(attributes(expression))
    if len(found) != 1:
        return None
    gap = next((g for n in fields["end"].walk() if (g := _span(n)) is not None), None)
    return None if gap is None else (found.pop(), gap)


def _calendar_interval(literal: Node) -> int | None:
    """Return the microseconds of an interval literal, however Spark writes it."""
    value, kind = str(literal.fields.get("value", "")), str(literal.fields.get("dataType", ""))
    if not kind.startswith("interval") and kind != "calendarinterval":
        return None
    if value.lstrip("-").isdigit():
        return int(value)
    return instant.duration(value)


def cut_of(expression: Node, cuts: Mapping[str, int], times: Collection[str]) -> int | None:
    """Recognise an event time floored to an epoch multiple, and return the multiple."""
    if expression.kind == "Alias":
        return cut_of(expression.children[0], cuts, times)
    if expression.kind == "AttributeReference":
        return cuts.get(expression.attribute_id)
    if expression.kind != "MicrosToTimestamp" or expression.children[0].kind != "Subtract":
        return None
    whole, rest = expression.children[0].children
    while rest.kind == "Cast":
        rest = rest.children[0]
    found = set(attributes(expression))
    is_floor = whole.kind == "UnixMicros" and rest.kind == "Pmod" and len(found) == 1
    if not is_floor or found.pop() not in times:
        return None
    return _literals(rest.children[1])[-1]


def is_window_time(expression: Node) -> bool:
    """Recognise what Spark's analyser makes of `window_time()`: the end less a microsecond."""
    subtractions = [n for n in expression.walk() if n.kind == "Subtract"]
    return len(subtractions) == 1 and _literals(subtractions[0].children[1]) == [1]


def time_range(
    condition: Node | None, left: Collection[str], right: Collection[str]
) -> tuple[tuple[str, str], tuple[int, int]] | None:
    """Return the time attributes that a join condition relates, and how far apart they may be.

    `((l, r), (low, high))` means that `r` lies in `[l - low, l + high]`.
    """
    if condition is None:
        return None
    bounds: dict[tuple[str, str], list[int | None]] = {}
    for conjunct in _conjuncts(condition):
        if len(conjunct.children) != 2:
            continue
        a, b = (_linear(child) for child in conjunct.children)
        if a is None or b is None:
            continue
        for first, second, kind in (
            (a, b, conjunct.kind),
            (b, a, _FLIPPED.get(conjunct.kind, conjunct.kind)),
        ):
            if first[0] in left and second[0] in right:
                # first.t + first.d  <kind>  second.t + second.d,  so  r - l  <kind'>  first.d - second.d
                distance = first[1] - second[1]
                low_high = bounds.setdefault((first[0], second[0]), [None, None])
                if kind in ("LessThanOrEqual", "LessThan", "EqualTo"):
                    low_high[0] = -distance
                if kind in ("GreaterThanOrEqual", "GreaterThan", "EqualTo"):
                    low_high[1] = distance
    for pair, (low, high) in bounds.items():
        if low is not None and high is not None:
            return pair, (max(low, 0), max(high, 0))
    return None


_FLIPPED = {
    "LessThan": "GreaterThan",
    "LessThanOrEqual": "GreaterThanOrEqual",
    "GreaterThan": "LessThan",
    "GreaterThanOrEqual": "LessThanOrEqual",
}


def _conjuncts(condition: Node) -> list[Node]:
    if condition.kind == "And":
        return [c for child in condition.children for c in _conjuncts(child)]
    if condition.kind == "Between":
        return _conjuncts(condition.children[0])
    return [condition]


def _linear(expression: Node) -> tuple[str, int] | None:
    """Recognise `attribute plus or minus a constant span`."""
    if expression.kind == "AttributeReference":
        return expression.attribute_id, 0
    if expression.kind in ("Cast", "DatetimeSub", "KnownNotNull", "KnownNullable"):
        return _linear(expression.children[0])
    if expression.kind in ("TimestampAddInterval", "TimeAdd"):
        base = _linear(expression.children[0])
        span = _span(expression.children[1])
        return None if base is None or span is None else (base[0], base[1] + span)
    return None


def _span(expression: Node) -> int | None:
    if expression.kind == "UnaryMinus":
        span = _span(expression.children[0])
        return None if span is None else -span
    if expression.kind == "Cast" and "interval" in str(expression.fields.get("dataType", "")):
        below = expression.children[0]
        text = str(below.fields.get("value", "")) if below.kind == "Literal" else ""
        return instant.duration(text) if text and below.fields.get("dataType") == "string" else _span(below)
    return _calendar_interval(expression) if expression.kind == "Literal" else None
