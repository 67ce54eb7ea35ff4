"""Rules about a row as Spark columns: true where a row keeps the rule.

Each function mirrors what GX 1.24's Spark engine evaluates, down to its nulls: a row that a
condition leaves undecided is not unexpected. What differs, because GX has no answer:

- `like` patterns are unknown to GX's Spark engine; here they mean what SQL's LIKE means, with a
  backslash as escape where the rule names none.
- A row condition of `expect_column_pair_values_to_be_in_set` is forgotten by GX when it looks for
  unexpected pairs, so that its numbers do not fit; here it holds throughout.
- Rules about several columns that name nested fields or columns with dots fail in GX 1.24 or read
  another column; here they mean the columns that they name.
- Sums of decimals that overflow stop GX; here such a row is unexpected.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from itertools import combinations
from operator import and_, or_
from typing import TYPE_CHECKING, Any, TypeAlias

from headway.quality import comparing
from headway.quality.columns import Named

if TYPE_CHECKING:
    from pyspark.sql import Column, SparkSession

__all__ = ["EXPECTED", "Subject", "ignored"]

ANYTHING = "(?s).*"
"""GX's default for a regular expression."""
_PLAIN = re.compile(r"[\w \-,;:=@#%&/<>!~'\"]*", re.ASCII)
"""Regular expressions that say nothing but their own letters."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a rule is about: its columns, in the rule's order, and its parameters as GX reads them."""

    session: SparkSession
    columns: Sequence[Named]
    parameters: Mapping[str, Any]

    @property
    def first(self) -> Named:
        """The only column of a rule about one."""
        return self.columns[0]

    def get(self, name: str, otherwise: Any = None) -> Any:
        """Return a parameter."""
        return self.parameters.get(name, otherwise)


Expected: TypeAlias = "Callable[[Subject], Column]"


def ignored(subject: Subject) -> Column | None:
    """Return which rows a rule about several columns passes over, or None where it passes over none.

    Without a word it passes over rows in which all of its columns are missing.
    """
    how = subject.get("ignore_row_if", "all_values_are_missing")
    missing = [named.column().isNull() for named in subject.columns]
    if how in {"all_values_are_missing", "both_values_are_missing"}:
        return reduce(and_, missing)
    if how in {"any_value_is_missing", "either_value_is_missing"}:
        return reduce(or_, missing)
    return None


def within(subject: Subject, value: Column) -> Column:
    """Return whether a value lies within the rule's bounds."""
    low, high = subject.get("min_value"), subject.get("max_value")
    found = []
    if low is not None:
        bound = comparing.literal(low)
        found.append(value > bound if subject.get("strict_min") else value >= bound)
    if high is not None:
        bound = comparing.literal(high)
        found.append(value < bound if subject.get("strict_max") else value <= bound)
    return reduce(and_, found)


def _not_null(subject: Subject) -> Column:
    return subject.first.column().isNotNull()


def _null(subject: Subject) -> Column:
    return subject.first.column().isNull()


def _in_set(subject: Subject) -> Column:
    values = subject.get("value_set")
    comparing.refuse_values(subject.session, subject.first.name, subject.first.type, values)
    return subject.first.column().isin(values)


def _not_in_set(subject: Subject) -> Column:
    return ~_in_set(subject)


def _between(subject: Subject) -> Column:
    low, high = subject.get("min_value"), subject.get("max_value")
    if (
        low is not None
        and high is not None
        and comparing.family(subject.first.type) == "number"
        and low > high
    ):
        raise ValueError("min_value is greater than max_value")
    comparing.refuse_values(subject.session, subject.first.name, subject.first.type, [low, high])
    return within(subject, subject.first.column())


def _length_between(subject: Subject) -> Column:
    from pyspark.sql import functions as F

    return within(subject, F.length(subject.first.column()))


def _length_equal(subject: Subject) -> Column:
    from pyspark.sql import functions as F

    return F.length(subject.first.column()) == F.lit(subject.get("value"))


def _regex(subject: Subject) -> Column:
    return _found(subject, _pattern(subject, subject.get("regex", ANYTHING)))


def _found(subject: Subject, pattern: str) -> Column:
    """Return whether a pattern is found in the column; plain text is looked for as such, at a fifth of the cost."""
    from pyspark.sql.types import StringType

    column = subject.first.column()
    is_text = subject.first.type == StringType()  # by its bytes: no collation
    return column.contains(pattern) if is_text and _PLAIN.fullmatch(pattern) else column.rlike(pattern)


def _not_regex(subject: Subject) -> Column:
    return ~_regex(subject)


def _regex_list(subject: Subject) -> Column:
    patterns = [_pattern(subject, each) for each in subject.get("regex_list")]
    if subject.get("match_on", "any") == "any":
        return _found(subject, _pattern(subject, "|".join(patterns)))
    return reduce(and_, [_found(subject, each) for each in patterns])


def _not_regex_list(subject: Subject) -> Column:
    return reduce(and_, [~_found(subject, _pattern(subject, each)) for each in subject.get("regex_list")])


def _pattern(subject: Subject, text: str) -> str:
    """Refuse what Java's regular expressions do not know: it would fail at the first row."""
    from py4j.protocol import Py4JJavaError

    try:
        subject.session._jvm.java.util.regex.Pattern.compile(text)  # type: ignore[union-attr]
    except Py4JJavaError as error:
        reason = str(error.java_exception.getMessage()).splitlines()[0]
        raise ValueError(f"{text!r} is no regular expression to Java: {reason}") from error
    return text


def _like(subject: Subject) -> Column:
    return _like_one(subject, subject.get("like_pattern"))


def _not_like(subject: Subject) -> Column:
    return ~_like(subject)


def _like_list(subject: Subject) -> Column:
    found = [_like_one(subject, each) for each in subject.get("like_pattern_list")]
    return reduce(or_ if subject.get("match_on", "any") == "any" else and_, found)


def _not_like_list(subject: Subject) -> Column:
    return reduce(and_, [~_like_one(subject, each) for each in subject.get("like_pattern_list")])


def _like_one(subject: Subject, pattern: str) -> Column:
    from pyspark.sql import functions as F

    if comparing.family(subject.first.type) != "text":
        raise ValueError(f"column {subject.first.name!r} is {subject.first.type.simpleString()}, not text")
    escape = subject.get("escape") or "\\"
    if re.search(
        rf"{re.escape(escape)}(?![%_{re.escape(escape)}])", re.sub(re.escape(escape) * 2, "", pattern)
    ):
        raise ValueError(f"in {pattern!r} the escape {escape!r} stands before neither %, _ nor itself")
    return F.like(subject.first.column(), F.lit(pattern), F.lit(escape))


def _json(subject: Subject) -> Column:
    """Python decides, as in GX: Spark's own parser takes text behind a value and refuses NaN."""
    from pyspark.sql import functions as F

    def is_json(value: Any) -> bool:
        try:
            json.loads(value)
        except Exception:  # noqa: BLE001  # whatever Python says no to
            return False
        return True

    return F.udf(is_json, "boolean", useArrow=False)(subject.first.column())


def _strftime(subject: Subject) -> Column:
    from pyspark.sql import functions as F

    form = subject.get("strftime_format")
    try:
        datetime.strptime(datetime.now(tz=UTC).strftime(form), form)  # noqa: DTZ007
    except ValueError as error:
        raise ValueError(f"{form!r} is no format that Python can read back: {error}") from error
    if comparing.family(subject.first.type) != "text":
        raise ValueError(f"column {subject.first.name!r} is {subject.first.type.simpleString()}, not text")

    def is_read(value: str | None) -> bool:
        if value is None:
            return False
        try:
            datetime.strptime(value, form)  # noqa: DTZ007
        except ValueError:
            return False
        return True

    return F.udf(is_read, "boolean", useArrow=False)(subject.first.column())


def _pair_equal(subject: Subject) -> Column:
    _refuse_mixed(subject)
    a, b = (named.column() for named in subject.columns)
    return a.eqNullSafe(b)


def _pair_greater(subject: Subject) -> Column:
    _refuse_mixed(subject)
    a, b = (named.column() for named in subject.columns)
    return (a >= b) | a.eqNullSafe(b) if subject.get("or_equal") else a > b


def _pair_in_set(subject: Subject) -> Column:
    from pyspark.sql import functions as F

    pairs = subject.get("value_pairs_set")
    for place, named in enumerate(subject.columns):
        comparing.refuse_values(subject.session, named.name, named.type, [pair[place] for pair in pairs])
    a, b = (named.column() for named in subject.columns)
    return reduce(or_, [a.eqNullSafe(F.lit(x)) & b.eqNullSafe(F.lit(y)) for x, y in pairs])


def _sum_equal(subject: Subject) -> Column:
    from pyspark.sql import functions as F
    from pyspark.sql.types import DecimalType, IntegralType, LongType

    wanted = float(subject.get("sum_total"))
    types = [named.type for named in subject.columns]
    # 64 bits hold any sum of smaller integers, and of two that do not fit none that is asked for.
    fits = not any(isinstance(t, LongType) for t in types) or len(types) <= 2
    is_exact = wanted.is_integer() and abs(wanted) < 2**53
    is_small = fits and is_exact and all(isinstance(t, IntegralType) for t in types)

    def operand(named: Named) -> Column:
        if comparing.family(named.type) != "number":
            raise ValueError(f"column {named.name!r} is {named.type.simpleString()}, not a number")
        value = F.coalesce(named.column(), F.lit(0))
        if not isinstance(named.type, IntegralType):
            return value
        return value.cast("bigint" if is_small else DecimalType(38, 0))

    total = reduce(F.try_add, [operand(named) for named in subject.columns])
    return F.coalesce(total == F.lit(wanted), F.lit(False))


def _all_equal(subject: Subject) -> Column:
    _refuse_mixed(subject)
    first, *others = (named.column() for named in subject.columns)
    return reduce(and_, [first.eqNullSafe(other) for other in others])


def _unique_in_record(subject: Subject) -> Column:
    _refuse_mixed(subject)
    columns = [named.column() for named in subject.columns]
    return ~reduce(or_, [a.eqNullSafe(b) for a, b in combinations(columns, 2)])


def _refuse_mixed(subject: Subject) -> None:
    comparing.refuse_mixed((named.name, named.type) for named in subject.columns)


EXPECTED: Mapping[str, Expected] = {
    "expect_column_values_to_not_be_null": _not_null,
    "expect_column_values_to_be_null": _null,
    "expect_column_values_to_be_in_set": _in_set,
    "expect_column_values_to_not_be_in_set": _not_in_set,
    "expect_column_values_to_be_between": _between,
    "expect_column_values_to_match_regex": _regex,
    "expect_column_values_to_not_match_regex": _not_regex,
    "expect_column_values_to_match_regex_list": _regex_list,
    "expect_column_values_to_not_match_regex_list": _not_regex_list,
    "expect_column_values_to_match_like_pattern": _like,
    "expect_column_values_to_not_match_like_pattern": _not_like,
    "expect_column_values_to_match_like_pattern_list": _like_list,
    "expect_column_values_to_not_match_like_pattern_list": _not_like_list,
    "expect_column_value_lengths_to_be_between": _length_between,
    "expect_column_value_lengths_to_equal": _length_equal,
    "expect_column_values_to_be_json_parseable": _json,
    "expect_column_values_to_match_strftime_format": _strftime,
    "expect_column_pair_values_to_be_equal": _pair_equal,
    "expect_column_pair_values_a_to_be_greater_than_b": _pair_greater,
    "expect_column_pair_values_to_be_in_set": _pair_in_set,
    "expect_multicolumn_sum_to_equal": _sum_equal,
    "expect_multicolumn_values_to_be_equal": _all_equal,
    "expect_select_column_values_to_be_unique_within_record": _unique_in_record,
}
"""What compiles each rule about a row; a ValueError says why it cannot be."""
