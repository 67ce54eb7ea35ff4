"""Where in a suite's file a thing stands: JSON knows no lines, people do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Region", "expectations"]

_BETWEEN = re.compile(r"[\s,:]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of a file's text."""

    text: str
    start: int
    end: int

    @property
    def line(self) -> int:
        """Line where it begins, from 1."""
        return self.text.count("\n", 0, self.start) + 1

    def line_of(self, key: str) -> int | None:
        """Return the line of a key's first mention, or None where there is none."""
        mention = re.compile(re.escape(json.dumps(key, ensure_ascii=False)) + r"\s*:")
        found = mention.search(self.text, self.start, self.end)
        return None if found is None else self.text.count("\n", 0, found.start()) + 1


def expectations(text: str) -> Iterator[Region]:
    r"""Return where each expectation of a suite stands; the text must be a suite.

    >>> [(r.start, r.line) for r in expectations('{"name": "x",\n"expectations": [{"a": 1}, {"b": 2}]}')]
    [(31, 2), (41, 2)]
    """
    at = text.index("{") + 1
    while True:
        key, at = _DECODER.raw_decode(text, _skip(text, at))
        at = _skip(text, at)
        if key == "expectations":
            break
        _, at = _DECODER.raw_decode(text, at)
    at = _skip(text, at + 1)
    while text[at] != "]":
        _, end = _DECODER.raw_decode(text, at)
        yield Region(text, at, end)
        at = _skip(text, end)


def _skip(text: str, at: int) -> int:
    """Return the offset behind white space, commas and colons."""
    found = _BETWEEN.match(text, at)
    assert found is not None
    return found.end()
