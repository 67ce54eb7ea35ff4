"""What a Markdown page shows: console blocks with commands and what they print, and files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Command", "File", "blocks", "steps"]

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"# (\S+\.py)\n")


@dataclass(frozen=True, slots=True)
class File:
    """A Python block whose first line names the file that it is."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """A line after `$`, and the lines that are shown below it."""

    line: str
    shown: tuple[str, ...]

    def missing(self, printed: str) -> str | None:
        """Return the first shown line that is not printed in its turn; `...` stands for anything."""
        lines = iter(printed.splitlines())
        for wanted in self.shown:
            pattern = ".*".join(re.escape(part) for part in wanted.rstrip().split("..."))
            if not any(re.match(pattern, line) for line in lines):
                return wanted
        return None


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of a language."""
    return [text for kind, text in _BLOCK.findall(page) if kind == language]


def steps(page: str) -> Iterator[File | Command]:
    """Yield what a reader does, in order."""
    for kind, text in _BLOCK.findall(page):
        if kind == "python" and (named := _NAMED.match(text)):
            yield File(named[1], text)
        elif kind == "console":
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                first, *rest = part.splitlines()
                yield Command(first, tuple(rest))
