"""The definition of a pipeline: inputs, a pure function, and where its rows go."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from headway import instant
from headway.errors import DefinitionError, UsageError
from headway.lookup import Lookup
from headway.sink import FollowingSink, Sink
from headway.source import Source
from headway.upstream import Upstream

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["Pipeline", "pipeline"]

Transformation = Callable[..., "DataFrame"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """One transformation, defined once and run in any mode. Made by the decorator `pipeline`.

    Calling it calls the function, which is how a unit test tries the transformation alone.
    """

    name: str
    function: Transformation
    inputs: Mapping[str, Source | Upstream | Lookup]
    output_time: str
    emit: Literal["final", "early"]
    outputs: tuple[Sink | FollowingSink, ...]
    history: int | None
    ahead: int | None
    early_every: str
    quality: str | None
    """Name of the suite that judges the result: quality/<name>.json of the project."""
    file: Path
    line: int

    def __call__(self, *frames: DataFrame, **named: DataFrame) -> DataFrame:
        """Apply the function to frames."""
        return self.function(*frames, **named)

    @property
    def sources(self) -> dict[str, Source]:
        """The inputs that are logs of records, by parameter name."""
        return {name: i for name, i in self.inputs.items() if isinstance(i, Source)}

    @property
    def upstreams(self) -> dict[str, Upstream]:
        """The inputs that are tables of other pipelines, by parameter name."""
        return {name: i for name, i in self.inputs.items() if isinstance(i, Upstream)}

    @property
    def records(self) -> dict[str, Source | Upstream]:
        """The inputs that have an event time: sources and upstreams, by parameter name."""
        return {**self.sources, **self.upstreams}

    @property
    def lookups(self) -> dict[str, Lookup]:
        """The inputs that are dimension tables, by parameter name."""
        return {name: i for name, i in self.inputs.items() if isinstance(i, Lookup)}

    @property
    def versioned(self) -> dict[str, Lookup]:
        """The lookups of which a record sees the version that was current at its time."""
        return {name: i for name, i in self.lookups.items() if i.as_of is None}

    @property
    def valid_at_event_time(self) -> dict[str, Lookup]:
        """The lookups whose rows say when they are valid."""
        return {name: i for name, i in self.lookups.items() if i.as_of is not None}

    @property
    def sink(self) -> Sink:
        """The table of record: its commits say what is published, and from what."""
        return next(o for o in self.outputs if not isinstance(o, FollowingSink))

    @property
    def following(self) -> tuple[FollowingSink, ...]:
        """The sinks that are kept equal to the table of record."""
        return tuple(o for o in self.outputs if isinstance(o, FollowingSink))

    def suite_file(self, name: str) -> Path:
        """Return where a suite lies: in the folder quality/ beside that of the definition."""
        return self.file.parent.with_name("quality") / f"{name}.json"

    @property
    def closes_after(self) -> int:
        """About how long after its end an interval is closed, in microseconds, while every source is read to its end.

        For a scheduler, which need not try before. What only the plan knows, such as how far a join
        looks ahead, is not in it; a log whose own clock counts closes nothing by waiting.
        """
        waited = [s.settles_after for s in self.sources.values()]
        return max(waited, default=0) + (self.ahead or 0)

    @property
    def where(self) -> str:
        """File and line of the definition, for messages."""
        return f"{self.file}:{self.line}"


def pipeline(
    *,
    inputs: Mapping[str, Source | Upstream | Lookup],
    output_time: str,
    outputs: Sequence[Sink | FollowingSink],
    emit: Literal["final", "early"] = "final",
    history: str | None = None,
    ahead: str | None = None,
    early_every: str = "1 minute",
    quality: str | None = None,
    name: str | None = None,
) -> Callable[[Transformation], Pipeline]:
    """Define a pipeline from a function of DataFrames. Runs nothing and starts no JVM.

    Args:
        inputs: By parameter name: sources of records, tables of other pipelines, and lookups. A
            source's frame has the columns of its schema and a struct `_log`: arrival, topic,
            partition, offset, key, headers.
        output_time: Column of the result that places a row in an interval: a timestamp, or a
            window or session, whose last instant counts.
        outputs: Where the rows go: one Iceberg table, and any number of sinks that follow it.
        emit: `final` shows an interval once it is closed; `early` as soon as there is
            something, revised until it is closed.
        history: How far before its output time a row may depend on records. Only raises
            what is derived from the plan; needed where the plan hides it (a Python UDF).
        ahead: The same, after its output time.
        early_every: How often a stream recomputes open intervals, where it cannot upsert.
        quality: Name of the suite in quality/ that splits and judges the result.
        name: Defaults to the function's name.

    Raises:
        DefinitionError: Parameters and inputs differ, or a value makes no sense.
    """

    def define(function: Transformation) -> Pipeline:
        code = inspect.unwrap(function).__code__
        where = f"{code.co_filename}:{code.co_firstlineno}"
        parameters = list(inspect.signature(function).parameters)
        faults = []
        if set(parameters) != set(inputs):
            faults.append(
                f"the parameters ({', '.join(parameters)}) and the inputs ({', '.join(inputs)}) are not the same names"
            )
        if not any(isinstance(i, Source | Upstream) for i in inputs.values()):
            faults.append("there is no source among the inputs")
        faults += [
            f"input {key!r} is {type(value).__name__}, not a source or a lookup"
            for key, value in inputs.items()
            if not isinstance(value, Source | Upstream | Lookup)
        ]
        if emit not in ("final", "early"):
            faults.append(f"emit={emit!r} is neither 'final' nor 'early'")
        of_record = [o for o in outputs if not isinstance(o, FollowingSink)]
        if len(of_record) != 1:
            faults.append(
                f"{len(of_record)} of the outputs are Iceberg tables; exactly one has to be, which the others follow"
            )
        keys = of_record[0].keys if of_record else ()
        refused = [o.refuses(keys, emit) for o in outputs if isinstance(o, FollowingSink)]
        faults += [why for why in refused if why is not None]
        if len({(type(o), o.table) for o in outputs}) != len(outputs):
            faults.append("two outputs are the same table or topic")
        for field, value in (("history", history), ("ahead", ahead), ("early_every", early_every)):
            try:
                instant.duration(value or "0 seconds")
            except UsageError as exc:
                faults.append(f"{field}: {exc.what}")
        label = name or function.__name__
        if faults:
            raise DefinitionError(f"pipeline {label!r}: " + "; ".join(faults), where=where)
        return Pipeline(
            name=label,
            function=function,
            inputs=dict(inputs),
            output_time=output_time,
            emit=emit,
            outputs=tuple(outputs),
            history=None if history is None else instant.duration(history),
            ahead=None if ahead is None else instant.duration(ahead),
            early_every=early_every,
            quality=quality,
            file=Path(code.co_filename),
            line=code.co_firstlineno,
        )

    return define
