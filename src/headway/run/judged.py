"""What a suite has said of one unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headway import instant
from headway.interval import Interval
from headway.quality.suite import Suite
from headway.quality.verdict import Verdict

__all__ = ["Judged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A unit and its verdict."""

    pipeline: str
    source: str | None
    """Parameter name of the source whose records were judged; None for the result."""
    suite: Suite
    unit: Interval
    verdict: Verdict
    samples: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """By the rules that fail the run: some rows that show why."""

    @property
    def subject(self) -> str:
        """What was judged, in a word."""
        return self.source or self.pipeline

    @property
    def is_met(self) -> bool:
        """Whether no rule failed."""
        return self.verdict.success

    def found(self, rule: str) -> str:
        """Return in words what was found of a rule that failed."""
        number = [r.id for r in self.suite.rules].index(rule)
        judged = self.verdict.results[number]
        result = judged["result"]
        if result.get("unexpected_count") is not None:
            return (
                f"{result['unexpected_count']} of {result['element_count']} values break it "
                f"({result.get('unexpected_percent') or 0:.3g} %)"
            )
        if "observed_value" in result:
            return f"{result['observed_value']} was found"
        raised = judged["exception_info"]
        return f"Great Expectations could not judge it: {raised.get('exception_message') or raised}"

    def to_json(self) -> list[dict[str, object]]:
        """Write the rules that failed, as `run --json` prints them."""
        return [
            {
                "subject": self.subject,
                "suite": self.suite.name,
                "rule": rule,
                "start": instant.iso(self.unit.start),
                "end": instant.iso(self.unit.end),
                "fails_the_run": rule in self.verdict.fatal,
            }
            for rule in self.verdict.failed
        ]
