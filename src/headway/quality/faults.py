"""What is wrong with a suite, gathered and told at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headway.errors import DefinitionError

__all__ = ["Fault", "SuiteError", "refuse"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong."""

    what: str
    rule: str | None = None
    """The rule's id, or None where it is about the suite."""
    line: int | None = None
    """Line of the suite's file, from 1."""
    hint: str | None = None

    def where(self, file: Path) -> str:
        """Spell the place: file, line and rule."""
        place = str(file) if self.line is None else f"{file}:{self.line}"
        return place if self.rule is None else f"{place}: rule {self.rule}"


class SuiteError(DefinitionError):
    """A suite cannot be used; names every fault with file, line and rule."""

    def __init__(self, file: Path, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        if len(faults) == 1:
            (fault,) = faults
            super().__init__(fault.what, where=fault.where(file), hint=fault.hint)
            return
        lines = [
            f"  {fault.where(file)}: {fault.what}" + (f". {fault.hint}" if fault.hint else "")
            for fault in faults
        ]
        super().__init__("\n".join([f"{len(faults)} faults", *lines]), where=str(file))


def refuse(file: Path, faults: Sequence[Fault]) -> None:
    """Raise what is wrong, if anything is.

    Raises:
        SuiteError: Names every fault with file, line and rule.
    """
    if faults:
        raise SuiteError(file, faults)
