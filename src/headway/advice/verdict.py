"""The choice itself: the slowest open mode that is fast enough, as far as the rules let it be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from headway import instant
from headway.advice import figures
from headway.advice.answers import Answers
from headway.advice.candidate import Candidate
from headway.advice.measured import Measured
from headway.advice.rule import Finding
from headway.advice.rules import RULES

__all__ = ["Verdict", "judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Which mode the answers and figures lead to, and every rule that fired."""

    mode: Candidate | None
    """None where a stream is demanded, and none that is fast enough is open."""
    nearest: Candidate | None
    """The fastest mode that is open, where `mode` is None."""
    findings: tuple[Finding, ...]

    @property
    def demands(self) -> tuple[Finding, ...]:
        """What asks for a stream whatever else is said."""
        return tuple(f for f in self.findings if f.effect == "demand")

    def limits_on(self, mode: str) -> tuple[Finding, ...]:
        """What refuses a mode and counts."""
        return tuple(
            f for f in self.findings if f.effect == "limit" and not f.is_overruled and mode in f.refused
        )


def judge(
    answers: Answers,
    modes: Sequence[Candidate],
    measured: Measured | None = None,
    *,
    without: frozenset[str] = frozenset(),
) -> Verdict:
    """Choose a mode.

    1. Modes that are closed are out.
    2. A demand leaves only streams, and overrules every limit.
    3. Otherwise each limit takes out the modes that are faster than its bound; where it takes all, the slowest stays.
    4. Of what is left, the slowest that is renewed as often as wanted; where none is, the fastest.

    Args:
        answers: What is known.
        modes: Those of the project, the slowest first.
        measured: A comparison of the pipeline.
        without: Ids of rules that do not count, to see what hangs on them.
    """
    usable = [mode for mode in modes if mode.state != "closed"]
    found = [*_fired(answers, usable), *figures.findings(answers, measured, usable)]
    found = [f for f in found if f.id not in without]
    is_demanded = any(f.effect == "demand" for f in found)
    if is_demanded:
        found = [replace(f, is_overruled=True) if f.effect == "limit" else f for f in found]
    refused = {
        name for f in found if f.effect in ("demand", "limit") and not f.is_overruled for name in f.refused
    }
    left = [mode for mode in usable if mode.name not in refused]
    if not left and not is_demanded:
        left = usable[:1]
    wanted = answers.wanted
    enough = [mode for mode in left if wanted is None or mode.step <= wanted]
    if enough:
        chosen: Candidate | None = enough[0]
    else:
        chosen = left[-1] if left and not _is_out_of_reach(is_demanded, wanted) else None
    return Verdict(
        mode=chosen,
        nearest=None if chosen or not usable else usable[-1],
        findings=tuple(found),
    )


def _is_out_of_reach(is_demanded: bool, wanted: int | None) -> bool:
    """Whether what is demanded is faster than any micro-batch."""
    return is_demanded and wanted is not None and wanted < instant.SECOND


def _fired(answers: Answers, usable: Sequence[Candidate]) -> list[Finding]:
    return [
        Finding(
            id=rule.id,
            effect=rule.effect,
            reason=rule.reason,
            because=MappingProxyType({key: answers[key] or "" for key in rule.about}),
            refused=frozenset(mode.name for mode in usable if rule.refuses(mode)),
            bound=rule.bound,
            lies_in=rule.lies_in,
            speaks_for=rule.speaks_for,
            first=rule.first,
            first_for=rule.first_for,
            source=rule.source,
        )
        for rule in RULES
        if rule.fires(answers)
    ]
