"""Which pipeline reads the table of which other: the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from headway.errors import CallError, DefinitionError, suggestion
from headway.pipeline import Pipeline

__all__ = ["Graph"]


class Graph:
    """The pipelines of a project, each with those whose tables it reads as sources."""

    def __init__(self, pipelines: Mapping[str, Pipeline]) -> None:
        """Connect pipelines by the names of their tables.

        Raises:
            DefinitionError: They go round in a circle, or one reads another's table by the wrong time.
        """
        writers = {p.sink.table: name for name, p in pipelines.items()}
        for name, pipeline in pipelines.items():
            for upstream in pipeline.upstreams.values():
                writer = writers.get(upstream.name)
                if writer is not None and pipelines[writer].output_time != upstream.event_time:
                    raise DefinitionError(
                        f"pipeline {name!r} reads {upstream.name} with event_time={upstream.event_time!r}, "
                        f"and {writer!r} places its rows by {pipelines[writer].output_time!r}",
                        where=pipeline.where,
                        hint="The event time of an upstream is its output time: only that one is closed.",
                    )
        self._upstream = {
            name: sorted({writers[u.name] for u in p.upstreams.values() if u.name in writers})
            for name, p in pipelines.items()
        }
        try:
            self.order = list(TopologicalSorter(self._upstream).static_order())
        except CycleError as exc:
            circle = list(reversed(exc.args[1]))
            raise DefinitionError(
                "pipelines read each other's tables in a circle: " + " reads ".join(circle),
                where=pipelines[circle[0]].where,
                hint="Each would wait for the other to close an interval. Break the circle.",
            ) from exc

    def upstream(self, name: str) -> list[str]:
        """Return the pipelines whose tables one reads."""
        return self._upstream[name]

    def downstream(self, name: str) -> list[str]:
        """Return the pipelines that read one's table."""
        return [other for other in self.order if name in self._upstream[other]]

    def select(self, expression: str) -> list[str]:
        """Return the pipelines that an expression names, each after those that it reads.

        The expression is one or several of `name`, `+name` (with all that it depends on), `name+`
        (with all that depends on it) and `+name+`, with commas between.

        Raises:
            CallError: There is no such pipeline.
        """
        chosen: set[str] = set()
        for part in filter(None, (word.strip() for word in expression.split(","))):
            name = part.strip("+")
            if name not in self._upstream:
                raise CallError(
                    f"--select {expression!r}: there is no pipeline {name!r}",
                    hint=suggestion(name, self._upstream),
                )
            chosen.add(name)
            if part.startswith("+"):
                chosen |= self._reached(name, self.upstream)
            if part.endswith("+"):
                chosen |= self._reached(name, self.downstream)
        if not chosen:
            raise CallError("--select names no pipeline", hint="Such as --select punctuality+")
        return [name for name in self.order if name in chosen]

    def _reached(self, name: str, step: Callable[[str], Iterable[str]]) -> set[str]:
        found: set[str] = set()
        ahead = [name]
        while ahead:
            new = set(step(ahead.pop())) - found
            found |= new
            ahead += new
        return found
