"""Counting every record once: what was read is what became of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

__all__ = ["Accounts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Records by fate, over the offsets that a run looked at for the first time.

    >>> Accounts(read=3, admitted=2, late=1).balance()
    0
    """

    read: int = 0
    admitted: int = 0
    late: int = 0
    early: int = 0
    dead: int = 0
    tombstones: int = 0
    quarantined: int = 0
    """How many of the late, early and dead went to the quarantine table."""
    dropped: int = 0
    """How many of the late and early are counted and kept nowhere."""
    published: int = 0
    """Rows that became visible, as the sink counted them."""

    def balance(self) -> int:
        """Return what is read and has no fate; anything but 0 is a fault of headway."""
        return self.read - self.admitted - self.late - self.early - self.dead - self.tombstones

    def plus(self, other: Accounts) -> Accounts:
        """Add two accounts."""
        return Accounts(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def to_json(self) -> dict[str, int]:
        """Write as `run --json` prints it."""
        return asdict(self)
