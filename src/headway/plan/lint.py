"""What a definition's source text gives away: calls that make rows depend on more than the log."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Fault", "line_of", "lint"]

_CLOCK = "reads the wall clock, so a rerun gives other rows"
_RANDOM = "is random, so a rerun gives other rows"
_PLACE = "depends on how Spark cut the data up"
_FORBIDDEN = {
    **dict.fromkeys(
        ("current_timestamp", "now", "current_date", "curdate", "localtimestamp", "current_time"), _CLOCK
    ),
    **dict.fromkeys(("utcnow", "today", "time_ns", "perf_counter", "monotonic"), _CLOCK),
    **dict.fromkeys(
        ("rand", "randn", "random", "uuid", "uuid1", "uuid4", "shuffle", "randstr", "uniform", "randint"),
        _RANDOM,
    ),
    **dict.fromkeys(("monotonically_increasing_id", "spark_partition_id", "input_file_name"), _PLACE),
    "withWatermark": "sets a watermark: the engine does that, from what has provably arrived",
    "getOrCreate": "opens a session: the function gets its frames as parameters",
    "getActiveSession": "opens a session: the function gets its frames as parameters",
    "open": "reads or writes outside its inputs",
    "getenv": "reads the environment, which is not recorded with the run",
}
_HINTS = {
    _CLOCK: "Use a column: the event time, or `_log.arrival`.",
    _RANDOM: "Derive it from the record, such as F.xxhash64 of its key.",
    _PLACE: "Use `_log.partition` and `_log.offset`, which are facts of the log.",
    _FORBIDDEN["withWatermark"]: "Remove it; set lateness= on the source.",
}
_ACTIONS = frozenset(
    ("collect", "toPandas", "toLocalIterator", "foreachPartition", "foreach", "take", "head", "first", "tail",
     "isEmpty", "show", "write", "writeTo", "writeStream", "checkpoint", "localCheckpoint", "persist", "cache")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """A line of a definition that breaks the law."""

    line: int
    what: str
    hint: str


def lint(file: Path, function: str) -> list[Fault]:
    """Return the faults in the source text of a function, in order of lines.

    Only the function's own body is read; what it calls elsewhere is not followed.
    """
    faults = []
    for call in _calls(file, function):
        name, owner = _name(call.func)
        reason = _FORBIDDEN.get(name)
        if reason is not None and not (name == "open" and owner in ("F", "functions")):
            faults.append(
                Fault(call.lineno, f"{name}() {reason}", _HINTS.get(reason, "Keep the function pure."))
            )
        elif name in _ACTIONS and owner not in ("F", "functions", "fn", "sf"):
            faults.append(Fault(call.lineno, f".{name}() runs a job: {_ACTION}", _ACTION_HINT))
        elif name in ("read", "readStream", "sql", "table") and owner == "spark":
            faults.append(
                Fault(
                    call.lineno,
                    f"spark.{name} reads outside the inputs",
                    "Make it an input: a source or a Lookup.",
                )
            )
    for attribute in _attributes(file, function):
        if attribute.attr in ("write", "writeStream"):
            faults.append(Fault(attribute.lineno, f".{attribute.attr} writes: {_ACTION}", _ACTION_HINT))
        if attribute.attr in ("sparkSession", "sparkContext", "rdd"):
            faults.append(
                Fault(
                    attribute.lineno,
                    f".{attribute.attr} leaves the plan, which headway has to see",
                    "Use DataFrame operations.",
                )
            )
    return sorted(faults, key=lambda f: f.line)


def line_of(file: Path, function: str, names: tuple[str, ...]) -> int | None:
    """Return the first line of a function that calls one of some names."""
    return next((c.lineno for c in _calls(file, function) if _name(c.func)[0] in names), None)


_ACTION = "a definition only describes the result"
_ACTION_HINT = "Return the DataFrame; headway runs it."


def _function(file: Path, function: str) -> ast.AST | None:
    tree = ast.parse(file.read_text())
    named = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    return next((n for n in named if n.name == function), None)


def _calls(file: Path, function: str) -> Iterator[ast.Call]:
    body = _function(file, function)
    if body is not None:
        calls = [n for n in ast.walk(body) if isinstance(n, ast.Call)]
        yield from sorted(calls, key=lambda c: (c.lineno, c.col_offset))


def _attributes(file: Path, function: str) -> Iterator[ast.Attribute]:
    body = _function(file, function)
    if body is not None:
        yield from (n for n in ast.walk(body) if isinstance(n, ast.Attribute))


def _name(called: ast.expr) -> tuple[str, str]:
    """Return the name that is called and the name it is called on, empty where there is none."""
    if isinstance(called, ast.Name):
        return called.id, ""
    if isinstance(called, ast.Attribute):
        owner = called.value
        return called.attr, owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(
            owner, ast.Attribute
        ) else ""
    return "", ""
