"""Spark's analysed plans as plain trees, read from the JSON that Spark writes of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["Node", "canonical", "expressions", "parse", "parse_expression"]

# Spark numbers columns through a whole session, and marks the numbers with the JVM's own id.
_ID = re.compile(r'"id":(\d+)')
_JVM = re.compile(r',?"jvmId":"[^"]*"')


@dataclass(frozen=True, slots=True)
class Node:
    """An operator of a plan, or an expression."""

    kind: str
    """Last part of the JVM class, such as `Aggregate`."""
    fields: dict[str, Any]
    children: tuple[Node, ...]

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def attribute_id(self) -> str:
        """Id of the attribute that an alias or an attribute reference stands for."""
        expr_id = self.fields["exprId"]
        return f"{expr_id['id']}@{expr_id['jvmId']}"


def parse(frame: DataFrame) -> Node:
    """Return the analysed plan of a frame."""
    return _build(iter(json.loads(frame._jdf.queryExecution().analyzed().toJSON())))


def canonical(frame: DataFrame) -> str:
    """Return the analysed plan of a frame as text that is the same in every process.

    It holds all that Spark knows of the plan, with values that the function took from elsewhere; of a
    Python function only the name.
    """
    numbers: dict[str, str] = {}
    text = _JVM.sub("", frame._jdf.queryExecution().analyzed().toJSON())
    return _ID.sub(lambda found: f'"id":{numbers.setdefault(found[1], str(len(numbers)))}', text)


def parse_expression(field: Any) -> Node:
    """Return the expression that a field of a plan node holds."""
    return _inlined(_build(iter(field)))


def expressions(node: Node) -> Iterator[Node]:
    """Yield every expression that an operator holds, in whatever field."""
    for value in node.fields.values():
        yield from _within(value)


def _within(value: Any) -> Iterator[Node]:
    if isinstance(value, list) and value:
        if all(isinstance(item, dict) and "class" in item for item in value):
            yield parse_expression(value)
        else:
            for item in value:
                yield from _within(item)


def _inlined(node: Node) -> Node:
    """Put a shared expression in the places that refer to it, as BETWEEN does.

    Spark writes no ids of shared expressions, so one that shares several stays as it is.
    """
    node = replace(node, children=tuple(_inlined(child) for child in node.children))
    if node.kind != "With" or len(node.children) != 2:
        return node
    body, definition = node.children
    is_nested = any(below.kind == "With" for below in body.walk())
    return node if is_nested else _with(body, definition.children[0])


def _with(node: Node, shared: Node) -> Node:
    if node.kind == "CommonExpressionRef":
        return shared
    return replace(node, children=tuple(_with(child, shared) for child in node.children))


def _build(nodes: Iterator[dict[str, Any]]) -> Node:
    fields = dict(next(nodes))
    kind = str(fields.pop("class")).rpartition(".")[2]
    below = int(fields.pop("num-children"))
    return Node(kind, fields, tuple(_build(nodes) for _ in range(below)))
