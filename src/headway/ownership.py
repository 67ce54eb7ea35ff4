"""Who has published which range of output time: the state that each commit carries whole.

The map is written into the commit that changes it, so it cannot disagree with the rows. It
stays small: an interval that is final and not waiting for a correction is complete with
respect to *every* offset looked at so far (a record that would have changed it would have
been queued as a correction), so intervals need no offsets of their own, and neighbours with
equal inputs are one segment.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headway import instant, mark
from headway.interval import Interval, coalesce
from headway.mark import Mark
from headway.offsets import Offsets

__all__ = ["Ownership", "Segment"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A range of output time that is final, published by one mode from equal inputs."""

    interval: Interval
    mode: str
    lineage: str
    revision: int
    inputs: str
    """Hash of everything but the log that the rows depend on: definition, settings, lookups."""

    def over(self, interval: Interval) -> Segment:
        """Return the same claim for another range."""
        return replace(self, interval=interval)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """What a sink holds, by range of output time."""

    position: Mapping[str, Offsets] = field(default_factory=dict)
    """Per source: offsets up to which every record has been looked at."""
    segments: tuple[Segment, ...] = ()
    """Final ranges, in order, without overlap."""
    pending: tuple[Interval, ...] = ()
    """Ranges that a correction has touched and no recomputation has settled yet."""
    open_rows: bool = False
    """Whether rows beyond the last final range are visible, to be revised."""
    stream: str | None = None
    """Lineage of the stream that owns everything beyond the last final range; none if no stream does."""
    begins: int | None = None
    """Where a stream's ownership begins: it publishes no earlier row."""
    batch: int = -1
    """Number of the stream's last micro-batch; -1 before the first."""
    batch_fingerprint: str = ""
    """Hash of that batch's inputs."""
    marks: Mapping[str, tuple[Mark, ...]] = field(default_factory=dict)
    """What suites have found: of the result under the empty name, of a source under its own."""
    begun: Mapping[str, int] = field(default_factory=dict)
    """Where the first unit begins that a suite has judged, by subject."""
    tallies: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    """By the start of a unit that is not judged yet: what was counted of its rows that rules have rejected."""

    @property
    def closed_through(self) -> int | None:
        """End of the last final range; none where nothing is final yet."""
        return self.segments[-1].interval.end if self.segments else None

    @property
    def closed_without_gap(self) -> int | None:
        """End of the final ranges that follow the first one without a gap; none where nothing is final yet."""
        end = None
        for segment in self.segments:
            if end is not None and segment.interval.start > end:
                break
            end = segment.interval.end
        return end

    def gaps(self, within: Interval) -> tuple[Interval, ...]:
        """Return the parts of a range that nobody has published as final."""
        at, gaps = within.start, []
        for segment in self.segments:
            if segment.interval.end <= at or segment.interval.start >= within.end:
                continue
            if segment.interval.start > at:
                gaps.append(Interval(at, segment.interval.start))
            at = segment.interval.end
        if at < within.end:
            gaps.append(Interval(at, within.end))
        return tuple(gaps)

    def revision(self, interval: Interval) -> int:
        """Return the greatest revision within a range; 0 where nothing is published."""
        return max((s.revision for s in self.segments if s.interval.meets(interval)), default=0)

    def is_settled(self, interval: Interval, inputs: str) -> bool:
        """Tell whether a range is final from these inputs and no correction waits for it."""
        return (
            not self.gaps(interval)
            and all(s.inputs == inputs for s in self.segments if s.interval.meets(interval))
            and not any(p.meets(interval) for p in self.pending)
        )

    def with_final(self, segment: Segment) -> Ownership:
        """Return the map after `segment` was published in place of whatever its range held.

        Corrections that wait for the range go on waiting: a stream closes a range without the
        records that they are about.
        """
        kept: list[Segment] = []
        for old in self.segments:
            kept.extend(old.over(part) for part in old.interval.minus(segment.interval))
        return self.without_marks("", segment.interval)._with_segments([*kept, segment])

    def _with_segments(self, segments: list[Segment]) -> Ownership:
        return replace(self, segments=_joined(segments))

    def with_marks(self, subject: str, marks: Iterable[Mark]) -> Ownership:
        """Return the map after units were judged, in place of what was found of them before."""
        kept = self.marks.get(subject, ())
        found = tuple(marks)
        for new in found:
            kept = mark.without(kept, new.interval)
        if not found:
            return self
        first = min(new.interval.start for new in found)
        return replace(
            self,
            marks={**self.marks, subject: mark.joined([*kept, *found])},
            begun={**self.begun, subject: min(first, self.begun.get(subject, first))},
        )

    def without_marks(self, subject: str, interval: Interval) -> Ownership:
        """Return the map after a range has changed, so that its units have to be judged anew."""
        kept = mark.without(self.marks.get(subject, ()), interval)
        if kept == self.marks.get(subject, ()):
            return self
        return replace(self, marks={**self.marks, subject: kept})

    def with_tallies(self, tallies: Mapping[int, Mapping[str, Any]]) -> Ownership:
        """Return the map with other numbers of rejected rows for some units; empty ones take a unit's away."""
        after = {**self.tallies, **tallies}
        return replace(self, tallies={unit: tally for unit, tally in after.items() if tally})

    def without_stream(self) -> Ownership:
        """Return the map after a bounded run has taken over what a stream owned."""
        return replace(self, stream=None, begins=None, batch=-1, batch_fingerprint="")

    def without_pending(self, interval: Interval) -> Ownership:
        """Return the map after a range was computed from all records that are known."""
        return replace(self, pending=tuple(part for p in self.pending for part in p.minus(interval)))

    def with_pending(self, intervals: Iterable[Interval]) -> Ownership:
        """Return the map with further ranges queued for a correction."""
        return replace(self, pending=coalesce([*self.pending, *intervals]))

    def with_position(self, position: Mapping[str, Offsets]) -> Ownership:
        """Return the map after every record below `position` has been looked at."""
        ahead = {
            name: offsets.greatest(self.position[name]) if name in self.position else offsets
            for name, offsets in position.items()
        }
        return replace(self, position={**self.position, **ahead})

    def with_versions(self, versions: Mapping[str, Offsets]) -> Ownership:
        """Return the map after tables were looked at, which may have gone back or been made anew since."""
        return replace(self, position={**self.position, **versions})

    def corrections(self, before: int) -> tuple[Interval, ...]:
        """Return the queued ranges that are final, up to `before`."""
        due = []
        for pending in self.pending:
            for segment in self.segments:
                start = max(pending.start, segment.interval.start)
                end = min(pending.end, segment.interval.end, before)
                if start < end:
                    due.append(Interval(start, end))
        return coalesce(due)

    def to_json(self) -> str:
        """Write for a commit's summary."""
        return json.dumps(
            {
                "position": {name: o.to_json() for name, o in self.position.items()},
                "segments": [
                    [*s.interval.to_json(), s.mode, s.lineage, s.revision, s.inputs] for s in self.segments
                ],
                "pending": [p.to_json() for p in self.pending],
                "open_rows": self.open_rows,
                "stream": self.stream,
                "begins": None if self.begins is None else instant.iso(self.begins),
                "batch": self.batch,
                "batch_fingerprint": self.batch_fingerprint,
                "marks": {subject: [m.to_json() for m in marks] for subject, marks in self.marks.items()},
                "begun": {subject: instant.iso(start) for subject, start in self.begun.items()},
                "tallies": {instant.iso(unit): tally for unit, tally in self.tallies.items()},
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Ownership:
        """Read what `to_json` wrote."""
        data = json.loads(text)
        return cls(
            position={name: Offsets.from_json(o) for name, o in data["position"].items()},
            segments=tuple(
                Segment(Interval.from_json([start, end]), mode, lineage, revision, inputs)
                for start, end, mode, lineage, revision, inputs in data["segments"]
            ),
            pending=tuple(Interval.from_json(p) for p in data["pending"]),
            open_rows=data["open_rows"],
            stream=data["stream"],
            begins=None if data["begins"] is None else instant.parse(data["begins"]),
            batch=data["batch"],
            batch_fingerprint=data["batch_fingerprint"],
            marks={s: tuple(Mark.from_json(m) for m in marks) for s, marks in data.get("marks", {}).items()},
            begun={subject: instant.parse(start) for subject, start in data.get("begun", {}).items()},
            tallies={instant.parse(unit): tally for unit, tally in data.get("tallies", {}).items()},
        )


def _joined(segments: list[Segment]) -> tuple[Segment, ...]:
    joined: list[Segment] = []
    for segment in sorted(segments, key=lambda s: s.interval):
        last = joined[-1] if joined else None
        if (
            last is not None
            and last.interval.end == segment.interval.start
            and (last.mode, last.lineage, last.revision, last.inputs)
            == (segment.mode, segment.lineage, segment.revision, segment.inputs)
        ):
            joined[-1] = last.over(Interval(last.interval.start, segment.interval.end))
        else:
            joined.append(segment)
    return tuple(joined)
