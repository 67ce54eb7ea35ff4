"""Positions in a source's log, one number per partition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["Offsets"]


class Offsets(Mapping[int, int]):
    """Partition to the offset of the next record: everything below it has been taken.

    >>> Offsets({0: 5, 1: 2}).minus(Offsets({0: 3}))
    4
    >>> Offsets.from_json({"0": 5}) == Offsets({0: 5})
    True
    """

    __slots__ = ("_by_partition",)

    def __init__(self, by_partition: Mapping[int, int]) -> None:
        self._by_partition = dict(sorted(by_partition.items()))

    def __getitem__(self, partition: int) -> int:
        return self._by_partition[partition]

    def __iter__(self) -> Iterator[int]:
        return iter(self._by_partition)

    def __len__(self) -> int:
        return len(self._by_partition)

    def __repr__(self) -> str:
        return f"Offsets({self._by_partition})"

    def minus(self, other: Offsets) -> int:
        """Count the positions between `other` and this; a partition that `other` lacks counts from 0."""
        return sum(max(0, end - other.get(partition, 0)) for partition, end in self.items())

    def least(self, other: Offsets) -> Offsets:
        """Return the lower offset of each partition that both know, else the one that is known."""
        return self._merge(other, min)

    def greatest(self, other: Offsets) -> Offsets:
        """Return the higher offset of each partition that both know, else the one that is known."""
        return self._merge(other, max)

    def covers(self, other: Offsets) -> bool:
        """Tell whether everything below `other` lies below this too."""
        return all(self.get(partition, 0) >= end for partition, end in other.items())

    def to_json(self) -> dict[str, int]:
        """Write with partitions as strings, as JSON demands."""
        return {str(partition): offset for partition, offset in self.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, int]) -> Offsets:
        """Read what `to_json` wrote."""
        return cls({int(partition): offset for partition, offset in data.items()})

    @classmethod
    def constant(cls, partitions: Iterable[int], offset: int) -> Offsets:
        """Return the same offset for every partition."""
        return cls(dict.fromkeys(partitions, offset))

    def _merge(self, other: Offsets, choose: Callable[[int, int], int]) -> Offsets:
        both = {**other, **self}
        return Offsets({p: choose(self[p], other[p]) if p in self and p in other else both[p] for p in both})
