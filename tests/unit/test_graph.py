"""The order of pipelines that read each other's tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headway.errors import CallError, DefinitionError
from headway.graph import Graph
from headway.pipeline import pipeline
from headway.sinks import Iceberg
from headway.sources import Iceberg as Upstream
from headway.sources import Kafka


def defined(name, *reads):
    inputs = {
        f"i{number}": Upstream(f"lake.n.{other}", schema="at timestamp", event_time="at")
        for number, other in enumerate(reads)
    } or {"i0": Kafka("t", schema="at timestamp", event_time="at")}
    space = {}
    exec(f"def {name}({', '.join(inputs)}):\n    return i0\n", space)
    return pipeline(inputs=inputs, output_time="at", outputs=[Iceberg(f"lake.n.{name}")])(space[name])


@pytest.fixture
def graph():
    made = [defined("c", "b"), defined("b", "a"), defined("a"), defined("d", "a"), defined("alone")]
    return Graph({p.name: p for p in made})


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("b", ["b"]),
        ("+b", ["a", "b"]),
        ("b+", ["b", "c"]),
        ("+b+", ["a", "b", "c"]),
        ("c, a", ["a", "c"]),
        ("alone,+d", ["a", "alone", "d"]),
    ],
)
def test_an_expression_names_pipelines_each_after_those_that_it_reads(graph, expression, names):
    chosen = graph.select(expression)
    assert sorted(chosen) == sorted(names)
    places = {name: place for place, name in enumerate(chosen)}
    assert all(places[u] < places[n] for n in chosen for u in graph.upstream(n) if u in places)


def test_who_reads_whom(graph):
    assert graph.upstream("c") == ["b"]
    assert sorted(graph.downstream("a")) == ["b", "d"]


def test_an_unknown_name_is_named_with_what_is_near(graph):
    with pytest.raises(CallError, match="alone"):
        graph.select("alonf+")
    with pytest.raises(CallError, match="names no pipeline"):
        graph.select(" , ")


def test_an_upstream_that_is_read_by_another_time_is_refused():
    first = replace(defined("a"), output_time="placed_at")
    with pytest.raises(DefinitionError, match="places its rows by 'placed_at'"):
        Graph({"a": first, "b": defined("b", "a")})


def test_a_circle_is_refused_with_all_that_are_in_it():
    with pytest.raises(DefinitionError, match="reads") as caught:
        Graph({p.name: p for p in (defined("a", "c"), defined("b", "a"), defined("c", "b"))})
    assert all(name in str(caught.value) for name in "abc")
