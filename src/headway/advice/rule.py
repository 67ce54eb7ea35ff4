"""One line of the decision table, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from headway import instant
from headway.advice.answers import Answers
from headway.advice.candidate import Candidate

__all__ = ["Effect", "Finding", "FirstFor", "Lies", "Rule"]

Effect = Literal["demand", "limit", "note", "contradiction"]
"""A `demand` asks for a stream whatever else is said; a `limit` refuses modes that are faster than its bound
unless a demand overrules it; a `note` speaks for faster or slower and decides nothing; a `contradiction` names
answers that cannot all be right, and decides nothing."""
FirstFor = Literal["always", "sub_daily", "stream"]
"""For which recommended modes `first` has to be done."""
Lies = Literal["use", "team", "figures"]
"""What a limit lies in: what the result is for, who runs it, or what was measured."""
_NONE: Mapping[str, frozenset[str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What certain answers mean. It fires where every answer in `when` was given and none in `unless`."""

    id: str
    effect: Effect
    reason: str
    when: Mapping[str, frozenset[str]] = field(default_factory=lambda: _NONE)
    unless: Mapping[str, frozenset[str]] = field(default_factory=lambda: _NONE)
    wanted_below: str | None = None
    """Fires only for a pace that is faster than this span."""
    wanted_from: str | None = None
    """Fires only for a pace that is this span or slower."""
    bound: str | None = None
    """Of a limit: a span, the fastest step that is left; or `scheduled`, no stream."""
    lies_in: Lies = "use"
    speaks_for: Literal["faster", "slower"] = "slower"
    first: str | None = None
    """What has to be done before; of a limit, before a mode that it refuses."""
    first_for: FirstFor = "stream"
    source: str | None = None
    """Where a fact in the reason is from."""

    def fires(self, answers: Answers) -> bool:
        """Whether the answers are those that the rule is about."""
        wanted = answers.wanted
        if self.wanted_below is not None and (
            wanted is None or wanted >= instant.duration(self.wanted_below)
        ):
            return False
        if self.wanted_from is not None and (wanted is None or wanted < instant.duration(self.wanted_from)):
            return False
        return all(answers[key] in choices for key, choices in self.when.items()) and not any(
            answers[key] in choices for key, choices in self.unless.items()
        )

    def refuses(self, mode: Candidate) -> bool:
        """Whether a limit or a demand leaves no room for a mode."""
        if self.effect == "demand":
            return not mode.is_stream
        if self.effect != "limit" or self.bound is None:
            return False
        if self.bound == "scheduled":
            return mode.is_stream
        return mode.step < instant.duration(self.bound)

    @property
    def about(self) -> tuple[str, ...]:
        """Keys of the questions whose answers fire it."""
        keys = [*self.when]
        if self.wanted_below is not None or self.wanted_from is not None:
            keys.append("wanted")
        return tuple(keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A rule that fired, or what a measurement says, with what fired it."""

    id: str
    effect: Effect
    reason: str
    because: Mapping[str, str]
    """Answers, by the key of the question; empty where figures were measured."""
    refused: frozenset[str] = frozenset()
    """Names of the modes that it leaves no room for."""
    bound: str | None = None
    lies_in: Lies = "use"
    speaks_for: Literal["faster", "slower"] = "slower"
    first: str | None = None
    first_for: FirstFor = "stream"
    source: str | None = None
    is_overruled: bool = False
    """Whether a demand has set a limit aside."""
