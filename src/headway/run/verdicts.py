"""What becomes of verdicts: kept for people, told to whom conf/ names."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from headway.run.judged import Judged
from headway.run.masking import masked

__all__ = ["Verdicts"]


class Verdicts:
    """Where the verdicts of one pipeline's units go."""

    def __init__(self, mask: Collection[str] = ()) -> None:
        self._mask = mask

    def masked(self, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return sample rows as people may see them."""
        return [masked(dict(row), self._mask) for row in rows]

    def keep(self, judged: Judged) -> None:
        pass
