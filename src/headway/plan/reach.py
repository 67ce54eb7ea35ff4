"""How far from its output time a row may depend on records, derived from the plan.

Each time column of the plan carries a reach `(history, ahead)`: a row that holds the value
`t` there depends on admitted records with `t - history <= e <= t + ahead` and on no other.
The rules, one per operator, are the table in docs/explanation/law.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from headway import instant
from headway.interval import Interval
from headway.plan.recognise import attributes, cut_of, is_window_time, session_of, time_range, window_of
from headway.plan.tree import Node, expressions, parse_expression

__all__ = ["MARKER", "Finding", "Operators", "Reach", "derive"]

MARKER = "__headway_input_"
"""Prefix of the column that tells the leaves of a plan apart."""

_PASS = {
    "SubqueryAlias",
    "Filter",
    "Generate",
    "ResolvedHint",
    "Repartition",
    "RepartitionByExpression",
    "View",
}
_MILLI = 1_000
_OUTER = {"LeftOuter$", "RightOuter$", "FullOuter$"}
_SIDES = {"Inner$", "Cross$", "LeftSemi$", "LeftAnti$", *_OUTER}
_OPAQUE_ROWS = {
    "MapInPandas": "mapInPandas",
    "PythonMapInArrow": "mapInArrow",
    "FlatMapGroupsInPandas": "applyInPandas",
    "FlatMapGroupsInArrow": "applyInArrow",
}


@dataclass(frozen=True, slots=True)
class Reach:
    """Microseconds before and after a row's time within which records matter to it."""

    history: int = 0
    ahead: int = 0
    grid: int | None = None
    """Length of a tumbling window from the epoch, if the row depends on that window alone."""

    def before(self, start: int) -> int:
        """Return the least event time that rows from `start` on may depend on."""
        if self.grid is not None and start % self.grid == 0:
            return start
        return instant.clamp(start - self.history)

    def around(self, changed: Interval) -> Interval:
        """Return the output times that may change where records of a range of event time have changed."""
        if self.grid is not None:  # rows stand at the last instant of a window
            first = changed.start - changed.start % self.grid + self.grid - 1
            end = changed.end - 1 - (changed.end - 1) % self.grid + self.grid
            return Interval(instant.clamp(first), instant.clamp(end))
        return Interval(instant.clamp(changed.start - self.ahead), instant.clamp(changed.end + self.history))

    def behind(self, delay: int) -> Reach:
        """Return the reach of rows that are shown only once the frontier is that far beyond them."""
        return self if delay <= self.ahead else Reach(self.history, delay)

    def widen(self, other: Reach) -> Reach:
        """Return the reach that covers both."""
        if self == other:
            return self
        return Reach(max(self.history, other.history), max(self.ahead, other.ahead))


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a plan that breaks the law, or that a mode cannot do."""

    operator: str
    """Name by which the operator is called in source text, to find its line."""
    reason: str
    hint: str
    unless_declared: bool = False
    """Whether `history=` and `ahead=` on the pipeline make up for it, in bounded modes."""


@dataclass(slots=True)
class Operators:
    """What a plan consists of, as far as modes care."""

    findings: list[Finding] = field(default_factory=list)
    aggregates: int = 0
    sessions: int = 0
    joins: int = 0
    waiting_joins: int = 0
    """Joins that show a row only once it is certain that no partner comes."""
    deduplicates: int = 0
    above_aggregate: set[str] = field(default_factory=set)
    python_functions: int = 0
    group_columns: tuple[str, ...] = ()

    @property
    def is_stateful(self) -> bool:
        """Whether a stream has to keep state between batches."""
        return bool(self.aggregates or self.joins or self.deduplicates)

    @property
    def is_bare_aggregate(self) -> bool:
        """Whether the plan is one window aggregate with nothing but projections above."""
        return (
            self.aggregates == 1
            and not self.sessions
            and not self.joins
            and not self.deduplicates
            and not self.above_aggregate
        )


@dataclass(slots=True)
class _Rows:
    """What is known of the rows that an operator yields."""

    times: dict[str, Reach]
    names: dict[str, str]
    """Attribute id to column name, in order."""
    is_source: bool
    cuts: dict[str, int] = field(default_factory=dict)
    """Attributes that are event times floored to epoch multiples, and of what."""
    sessions: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Session structs that have not been grouped by yet: event time attribute and gap."""
    delay: int = 0
    """How far the watermark that operators above see lies behind the frontier: a join holds it back."""
    later: dict[frozenset[str], Reach] = field(default_factory=dict)
    """Reach of the later one of two times that an inner join has brought together."""


def derive(plan: Node, event_times: Mapping[str, Collection[str]]) -> tuple[dict[str, Reach], Operators]:
    """Return the reach of each output column that is a time, and what the plan consists of.

    Args:
        plan: The analysed plan of the function on empty frames, whose leaves carry a column
            `MARKER + input`.
        event_times: Event time columns of each source, by input; lookups are left out. A window of an
            upstream counts as one: its last instant is the event time.
    """
    operators = Operators()
    rows = _Derivation(event_times, operators).of(plan)
    return {name: rows.times[key] for key, name in rows.names.items() if key in rows.times}, operators


def _behind(rows: _Rows) -> _Rows:
    return replace(rows, times={key: reach.behind(rows.delay) for key, reach in rows.times.items()})


class _Derivation:
    def __init__(self, event_times: Mapping[str, Collection[str]], operators: Operators) -> None:
        self.event_times = event_times
        self.operators = operators

    def of(self, node: Node) -> _Rows:
        below = [self.of(child) for child in node.children]
        self._count_python(node)
        rule = getattr(self, f"_{node.kind.lower()}", None)
        if not below:
            return self._leaf(node)
        if (
            any(r.is_source for r in below)
            and self.operators.aggregates
            and node.kind in ("Filter", "Generate")
        ):
            self.operators.above_aggregate.add(node.kind)
        if rule is not None:
            result: _Rows = rule(node, below)
            return result
        if node.kind in _PASS:
            return below[0]
        return self._unknown(node, below)

    def _leaf(self, node: Node) -> _Rows:
        attributes = [parse_expression(item) for item in node.fields.get("output", [])]
        names = {a.attribute_id: str(a.fields["name"]) for a in attributes}
        source = next((n.removeprefix(MARKER) for n in names.values() if n.startswith(MARKER)), None)
        columns = self.event_times.get(source, ()) if source is not None else ()
        return _Rows({key: Reach() for key, name in names.items() if name in columns}, names, bool(columns))

    def _project(self, node: Node, below: list[_Rows]) -> _Rows:
        for item in map(parse_expression, node.fields["projectList"]):
            name = str(item.fields["name"])
            given = item.children[0] if item.kind == "Alias" else item
            is_same = given.kind == "AttributeReference" and given.fields["name"] == name
            if name in self.operators.group_columns and not is_same:
                self.operators.above_aggregate.add("Project")  # no longer what was grouped by
        return self._select(node.fields["projectList"], below[0])

    def _select(self, items: Iterable[object], rows: _Rows) -> _Rows:
        times: dict[str, Reach] = {}
        names: dict[str, str] = {}
        cuts: dict[str, int] = {}
        sessions: dict[str, tuple[str, int]] = {}
        for item in items:
            expression = parse_expression(item)
            key = expression.attribute_id
            names[key] = str(expression.fields["name"])
            reach = self._reach_of(expression, rows)
            if reach is not None:
                times[key] = reach
            cut = cut_of(expression, rows.cuts, rows.times)
            if cut is not None:
                cuts[key] = cut
            session = session_of(expression, rows.sessions)
            if session is not None:
                sessions[key] = session
        return _Rows(times, names, rows.is_source, cuts, sessions, rows.delay)

    def _reach_of(self, expression: Node, rows: _Rows) -> Reach | None:
        """Return the reach of a time expression, None where it cannot be traced."""
        if expression.kind in ("Alias", "KnownNullable", "KnownNotNull"):
            return self._reach_of(expression.children[0], rows)
        if expression.kind == "AttributeReference":
            return rows.times.get(expression.attribute_id)
        window = window_of(expression)
        if window is not None:
            attribute, length, slide = window
            base = rows.times.get(attribute)
            if base is None:
                return None
            is_plain = base == Reach() and length == slide
            return Reach(base.history + length, base.ahead, length if is_plain else None)
        if expression.kind == "Greatest" and frozenset(attributes(expression)) in rows.later:
            return rows.later[frozenset(attributes(expression))]
        if expression.kind in ("Greatest", "Coalesce", "Least"):
            parts = [self._reach_of(child, rows) for child in expression.children]
            if any(part is None for part in parts):
                return None
            widest = Reach()
            for part in parts:
                assert part is not None
                widest = Reach(max(widest.history, part.history), max(widest.ahead, part.ahead))
            return widest
        if expression.kind == "GetStructField" and expression.children[0].kind == "AttributeReference":
            reach = rows.times.get(expression.children[0].attribute_id)
            if reach is None:
                return None
            if not reach.history:  # a window of an upstream table: its length is not known here
                return Reach(1, reach.ahead) if expression.fields.get("ordinal") == 1 else None
            if expression.fields.get("ordinal") != 0:
                # A window's end lies on the grid of the interval after it.
                return Reach(reach.history, reach.ahead)
            # What begins at a window's start depends on the window's whole length ahead of it.
            return Reach(reach.history, reach.ahead + reach.history)
        if expression.kind == "PreciseTimestampConversion" and is_window_time(expression):
            return rows.times.get(attributes(expression)[0])
        return None

    def _expand(self, node: Node, below: list[_Rows]) -> _Rows:
        outputs = [parse_expression(item) for item in node.fields["output"]]
        times: dict[str, Reach] = {}
        for position, output in enumerate(outputs):
            reaches = []
            for projection in node.fields["projections"]:
                reaches.append(self._reach_of(parse_expression(projection[position]), below[0]))
            known = [r for r in reaches if r is not None]
            if known and len(known) == len(reaches):
                widest = known[0]
                for reach in known[1:]:
                    widest = widest.widen(reach)
                times[output.attribute_id] = widest
        names = {o.attribute_id: str(o.fields["name"]) for o in outputs}
        return _Rows(times, names, below[0].is_source, delay=below[0].delay)

    def _aggregate(self, node: Node, below: list[_Rows]) -> _Rows:
        rows = below[0]
        if not rows.is_source:
            return self._select(node.fields["aggregateExpressions"], rows)
        if self.operators.aggregates:
            self.operators.above_aggregate.add("Aggregate")
        self.operators.aggregates += 1
        grouping = [parse_expression(item) for item in node.fields["groupingExpressions"]]
        times = {
            g.attribute_id: r.behind(rows.delay)
            for g in grouping
            if "exprId" in g.fields and (r := self._reach_of(g, rows)) is not None
        }
        for group in grouping:
            session = session_of(group, rows.sessions)
            if session is not None:
                self.operators.sessions += 1
                times[group.attribute_id] = self._session(session, grouping, rows).behind(rows.delay)
        if not times:
            self._find(
                "groupBy",
                "a grouping without time: its rows would change for ever, so no interval could be closed",
                "Group by F.window(event_time, ...), *headway.session(...) or the event time itself; "
                "where a function hides the time, declare history= and ahead=.",
                unless_declared=True,
            )
        selected = self._select(
            node.fields["aggregateExpressions"],
            _Rows(times, rows.names, True, rows.cuts, delay=rows.delay),
        )
        self.operators.group_columns = tuple(
            str(item.fields["name"])
            for item in map(parse_expression, node.fields["aggregateExpressions"])
            if all(n.kind != "AggregateExpression" for n in item.walk())
        )
        return selected

    def _session(self, session: tuple[str, int], grouping: list[Node], rows: _Rows) -> Reach:
        attribute, gap = session
        base = rows.times.get(attribute, Reach())
        cut = next((c for c in (cut_of(g, rows.cuts, rows.times) for g in grouping) if c is not None), None)
        if cut is None:
            self._find(
                "session_window",
                "a plain session chains for as long as no pause exceeds its gap, so its history has no bound",
                "Use *headway.session(event_time, gap=..., max_length=...), which cuts at fixed times.",
            )
            cut = 0
        # Spark also merges an event that lies exactly at the end of a session.
        return Reach(base.history + cut + gap, base.ahead + 1)

    def _deduplicate(self, node: Node, below: list[_Rows]) -> _Rows:
        self.operators.deduplicates += 1
        keys = [parse_expression(item) for item in node.fields["keys"]]
        if not any(k.attribute_id in below[0].times for k in keys):
            self._find(
                "dropDuplicates",
                "duplicates are removed without the event time among the columns, over all time",
                "Add the event time: dropDuplicates([..., event_time]).",
            )
        return _behind(below[0])

    def _distinct(self, node: Node, below: list[_Rows]) -> _Rows:
        self.operators.deduplicates += 1
        if not below[0].times:
            self._find(
                "distinct",
                "duplicates are removed without the event time among the columns, over all time",
                "Keep the event time among the columns.",
            )
        return _behind(below[0])

    def _deduplicatewithinwatermark(self, node: Node, below: list[_Rows]) -> _Rows:
        self._find(
            "dropDuplicatesWithinWatermark",
            "its rows depend on the size of the micro-batches",
            "Use dropDuplicates([..., event_time]).",
        )
        return below[0]

    def _eventtimewatermark(self, node: Node, below: list[_Rows]) -> _Rows:
        self._find(
            "withWatermark",
            "the engine sets watermarks, from what has provably arrived",
            "Remove it; set lateness= on the source.",
        )
        return below[0]

    def _union(self, node: Node, below: list[_Rows]) -> _Rows:
        if self.operators.aggregates:
            self.operators.above_aggregate.add("Union")
        first = below[0]
        columns = [list(rows.names) for rows in below]
        times: dict[str, Reach] = {}
        for position, key in enumerate(first.names):
            reaches = [rows.times.get(ids[position]) for rows, ids in zip(below, columns, strict=True)]
            known = [r for r in reaches if r is not None]
            if known and len(known) == len(reaches):
                widest = known[0]
                for reach in known[1:]:
                    widest = widest.widen(reach)
                times[key] = widest
        return _Rows(times, first.names, any(r.is_source for r in below), delay=max(r.delay for r in below))

    def _join(self, node: Node, below: list[_Rows]) -> _Rows:
        left, right = below
        names = {**left.names, **right.names}
        kind = str(node.fields["joinType"].get("object", "")).rpartition(".")[2]
        if not (left.is_source and right.is_source):
            return self._lookup_join(left, right, names, kind)
        self.operators.joins += 1
        if self.operators.aggregates:
            self.operators.above_aggregate.add("Join")
        self.operators.waiting_joins += kind not in ("Inner$", "Cross$", "LeftSemi$")
        condition = parse_expression(node.fields["condition"]) if node.fields.get("condition") else None
        ranges = time_range(condition, left.times, right.times)
        if ranges is None or kind not in _SIDES:
            self._find(
                "join",
                "two streams are joined without a range of time, so a row could wait for its partner for ever",
                "Add a range on the event times to the condition, such as "
                "right.at between left.at - interval 1 hour and left.at + interval 1 hour.",
            )
            return _Rows({}, names, is_source=True)
        (left_key, right_key), (low, high) = ranges
        a, b = left.times[left_key], right.times[right_key]
        # right time lies in [left - low, left + high]
        of_left = Reach(max(a.history, low + b.history), max(a.ahead, high + b.ahead))
        of_right = Reach(max(b.history, high + a.history), max(b.ahead, low + a.ahead))
        # Spark lets go of a row a millisecond after the watermark has passed its partners' range, and shows
        # operators above a watermark that lies behind by the wider side of the range and that millisecond.
        delay = max(left.delay, right.delay)
        above = delay + max(low, high) + _MILLI
        if kind != "Inner$":
            times = {
                left_key: of_left.behind(delay + high + _MILLI),
                right_key: of_right.behind(delay + low + _MILLI),
            }
            return _Rows(times, names, is_source=True, delay=above)
        times = {left_key: of_left.behind(delay), right_key: of_right.behind(delay)}
        history = max(of_left.history, of_right.history)
        of_later = Reach(history, max(a.ahead, b.ahead)).behind(delay)
        return _Rows(times, names, is_source=True, delay=above, later={frozenset(times): of_later})

    def _lookup_join(self, left: _Rows, right: _Rows, names: dict[str, str], kind: str) -> _Rows:
        if self.operators.aggregates and (left.is_source or right.is_source):
            self.operators.above_aggregate.add("Join")
        lookup_is_outer = (left.is_source and kind in ("RightOuter$", "FullOuter$")) or (
            right.is_source and kind in ("LeftOuter$", "FullOuter$")
        )
        if lookup_is_outer:
            self._find(
                "join",
                "the join keeps lookup rows that no record matches, which belong to no interval",
                "Keep the records' side: a left join of the records with the lookup.",
            )
        return _Rows(
            {**left.times, **right.times},
            names,
            left.is_source or right.is_source,
            {**left.cuts, **right.cuts},
            {**left.sessions, **right.sessions},
            max(left.delay, right.delay),
        )

    def _unknown(self, node: Node, below: list[_Rows]) -> _Rows:
        operator = _OPAQUE_ROWS.get(node.kind)
        if operator is not None:
            outputs = [parse_expression(item) for item in node.fields.get("output", [])]
            names = {o.attribute_id: str(o.fields["name"]) for o in outputs}
            return _Rows({}, names, is_source=True, delay=below[0].delay)
        named = {
            "Window": ("over", "a window function over rows ranks without an end of time"),
            "Sort": ("orderBy", "rows of a table have no order"),
            "GlobalLimit": ("limit", "which rows are kept would depend on what came first"),
            "LocalLimit": ("limit", "which rows are kept would depend on what came first"),
            "Sample": ("sample", "which rows are kept is random"),
        }
        call, reason = named.get(node.kind, (node.kind, "headway cannot derive what its rows depend on"))
        self._find(
            call,
            f"the operator {node.kind}: {reason}",
            "Express it with windows, joins on a range of time, or sort_array.",
        )
        return below[0]

    def _count_python(self, node: Node) -> None:
        for expression in expressions(node):
            self.operators.python_functions += sum("PythonUDF" in n.kind for n in expression.walk())

    def _find(self, operator: str, reason: str, hint: str, *, unless_declared: bool = False) -> None:
        finding = Finding(operator, reason, hint, unless_declared)
        if finding not in self.operators.findings:
            self.operators.findings.append(finding)
