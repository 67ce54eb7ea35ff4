"""The advice as a whole: the mode, what speaks for and against it, its price, and what would change it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headway import instant
from headway.advice.answers import Answers
from headway.advice.candidate import Candidate
from headway.advice.change import Change, changes
from headway.advice.measured import Measured
from headway.advice.question import QUESTIONS
from headway.advice.rule import Finding
from headway.advice.step import Step, steps
from headway.advice.verdict import Verdict, judge
from headway.advice.words import every, seconds

__all__ = ["Recommendation", "recommend"]

_DAY = instant.duration("1 day")
_LONG = instant.duration("5 minutes")
"""From here on a scheduled run is an alternative to a stream: starting it takes part of a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What `headway advise` has to say."""

    pipeline: str | None
    answers: Answers
    modes: tuple[Candidate, ...]
    measured: Measured | None
    verdict: Verdict
    steps: tuple[Step, ...]
    changes: tuple[Change, ...]

    @property
    def mode(self) -> Candidate | None:
        """The mode that is recommended; None where none that is open will do."""
        return self.verdict.mode

    @property
    def headline(self) -> str:
        """One line: which mode, and whether something comes first."""
        about = f" for {self.pipeline}" if self.pipeline else ""
        if self.mode is None:
            return f"Recommended{about}: none of the open modes"
        firsts = len(self.first)
        once = (
            f", once {firsts} thing{'s are' if firsts > 1 else ' is'} done"
            if firsts and self._is_bold
            else ""
        )
        return f"Recommended{about}: {self.mode.name}{once}"

    @property
    def because(self) -> str:
        """How the mode follows, in a sentence or two."""
        wanted = self.answers["wanted"]
        if self.mode is None:
            return self._why_none()
        if self.verdict.demands:
            ids = " and ".join(f.id for f in self.verdict.demands)
            return f"Only a stream will do ({ids}). {self._whether_met()}".strip()
        if wanted is None:
            return f"No pace was named, so the slowest {self._kind} is fast enough."
        holding = self.holding
        if self._is_met_by_step:
            return f"It is to be renewed {every(wanted)}, and this is the slowest {self._kind} that is renewed as often. {self._whether_met()}".strip()
        if holding:
            ids = ", ".join(f.id for f in holding)
            lies = {f.lies_in for f in holding}
            why = (
                "The use does not bear that out"
                if "use" in lies
                else "What was measured does not bear that out"
                if "figures" in lies
                else "The use may bear that out, the team does not yet"
            )
            return f"It was to be renewed {every(wanted)}. {why}: this is the fastest {self._kind} that the rules leave ({ids})."
        return f"It is to be renewed {every(wanted)}, which no {self._kind} does; this is the fastest."

    @property
    def meets(self) -> bool | None:
        """Whether the pace that was asked for is met; None where that was not measured or no pace was named."""
        wanted = self.answers.wanted
        if wanted is None:
            return None
        if self.mode is None or not self._is_met_by_step:
            return False
        if not self.mode.is_stream:
            return True
        figures = self.mode.measured
        return None if figures is None else figures.fresh_p95 * instant.SECOND <= wanted

    @property
    def reasons_for(self) -> tuple[Finding, ...]:
        """What speaks for the mode, and so against the others; for a stream, where no mode will do."""
        return tuple(f for f in self.verdict.findings if self._side(f) == "for")

    @property
    def reasons_against(self) -> tuple[Finding, ...]:
        """What speaks against it."""
        return tuple(f for f in self.verdict.findings if self._side(f) == "against")

    @property
    def contradictions(self) -> tuple[Finding, ...]:
        """Answers that cannot all be right."""
        return tuple(f for f in self.verdict.findings if f.effect == "contradiction")

    @property
    def first(self) -> tuple[Finding, ...]:
        """Rules whose `first` has to be done before the mode counts."""
        return tuple(f for f in self.verdict.findings if f.first and self._comes_first(f))

    @property
    def holding(self) -> tuple[Finding, ...]:
        """The limits that keep the next faster open mode from being recommended, so far as limits do."""
        faster = self._next_faster()
        return () if faster is None else self.verdict.limits_on(faster.name)

    @property
    def to_go_faster(self) -> tuple[Finding, ...]:
        """What stands between the mode and the next faster one, where neither the use nor a wish is against it."""
        holding = self.holding
        if any(f.lies_in == "use" for f in holding):
            return ()
        return tuple(f for f in holding if f.first and f.first_for != "always")

    @property
    def hints(self) -> tuple[str, ...]:
        """What else is worth knowing, in sentences."""
        found = []
        asked = [q for q in QUESTIONS if q.kind != "text"]
        if self.answers.missing:
            missing = len(self.answers.missing)
            found.append(
                f"{missing} of {len(asked)} questions {'is' if missing == 1 else 'are'} not answered."
            )
        if self.pipeline is None:
            found.append(
                "Name a pipeline (`headway advise PIPELINE`) to add what was measured of it and which modes are open to it."
            )
        elif self.mode and self.mode.state == "unproved":
            found.append(
                f"Whether this mode is open to {self.pipeline} was not looked at: `--check` looks, and so does "
                "`headway check`."
            )
        if self.missing_mode is not None:
            spelled = instant.spell(self.missing_mode.step)
            found.append(
                f"No scheduled mode is renewed {every(spelled)}. A file in modes/ makes one: "
                f'`MODE = Mode(name="{self.missing_mode.name}", every="{spelled}")`. Ask again when it is there.'
            )
        if self.pipeline and self.measured is None:
            found.append(
                f"Nothing was measured: `headway compare {self.pipeline} --start ... --end ...` gives the arrival lag, and "
                "freshness and dollars of each mode."
            )
        if self.measured is not None:
            gone = sorted(set(self.measured.modes) - {mode.name for mode in self.modes})
            found += [f"{name} was measured, and is no longer in modes/." for name in gone]
        return tuple(found)

    @property
    def missing_mode(self) -> Candidate | None:
        """A scheduled mode of the wanted pace that would be recommended if modes/ had it."""
        wanted = self.answers.wanted
        if wanted is None or wanted < _LONG or self.mode is None:
            return None
        name = f"every_{instant.spell(wanted).replace(' ', '_')}"
        made = Candidate(name=name, step=wanted, is_stream=False, state="open", why="not in modes/")
        with_it = sorted([*self.modes, made], key=lambda mode: -mode.step)
        return made if judge(self.answers, with_it, self.measured).mode is made else None

    @property
    def _is_bold(self) -> bool:
        """Whether what comes first is a condition, not a side remark."""
        return self.mode is not None and self.mode.is_stream

    @property
    def _kind(self) -> str:
        return "open mode" if self.mode is not None and self.mode.state == "open" else "mode"

    @property
    def _is_met_by_step(self) -> bool:
        wanted = self.answers.wanted
        return self.mode is not None and wanted is not None and self.mode.step <= wanted

    def _whether_met(self) -> str:
        wanted, figures = self.answers["wanted"], None if self.mode is None else self.mode.measured
        if wanted is None or self.mode is None or not self.mode.is_stream:
            return ""
        if self.meets is None:
            return f"Whether it reaches {wanted} was not measured."
        if figures is None:
            return f"It does not reach {wanted}."
        reach = "reaches" if self.meets else "does not reach"
        return f"It {reach} {wanted}: 95 of 100 records were visible within {seconds(figures.fresh_p95)} of being sent."

    def _why_none(self) -> str:
        wanted = self.answers["wanted"]
        if not self.verdict.demands or self.verdict.nearest is None:
            return "The project has no mode that is open."
        ids = " and ".join(f.id for f in self.verdict.demands)
        if any(mode.is_stream and mode.state != "closed" for mode in self.modes):
            return (
                f"Only a stream will do ({ids}), and {wanted} is less than a micro-batch takes: what decides within that "
                "time has to see each event by itself, and is not a mode of this project."
            )
        return (
            f"Only a stream will do ({ids}), and no stream is open. The fastest that is open, "
            f"{self.verdict.nearest.name}, would come too late."
        )

    def _next_faster(self) -> Candidate | None:
        usable = [mode for mode in self.modes if mode.state != "closed"]
        if self.mode is None or self.mode not in usable:
            return None
        after = usable[usable.index(self.mode) + 1 :]
        return after[0] if after else None

    def _side(self, finding: Finding) -> str:
        is_stream = self.mode is None or self.mode.is_stream
        if finding.effect == "contradiction":
            return "neither"
        if finding.effect == "demand":
            return "for" if is_stream else "against"
        if finding.effect == "limit":
            is_kept = self.mode is not None and self.mode.name not in finding.refused
            return "for" if is_kept else "against"
        return "for" if (finding.speaks_for == "faster") == is_stream else "against"

    def _comes_first(self, finding: Finding) -> bool:
        if finding.first_for == "always":
            return True
        if finding.effect == "limit" and not (finding.is_overruled and self._side(finding) == "against"):
            return False
        if self.mode is None or self.mode.is_stream:
            return True
        return finding.first_for == "sub_daily" and self.mode.step < _DAY


def recommend(
    answers: Answers,
    modes: Sequence[Candidate],
    measured: Measured | None = None,
    *,
    pipeline: str | None = None,
) -> Recommendation:
    """Advise on a mode.

    Args:
        answers: What is known; missing ones are named.
        modes: Those of the project, the slowest first.
        measured: A comparison of the pipeline.
        pipeline: Its name, where the advice is about one.
    """
    verdict = judge(answers, modes, measured)
    return Recommendation(
        pipeline=pipeline,
        answers=answers,
        modes=tuple(modes),
        measured=measured,
        verdict=verdict,
        steps=steps(modes),
        changes=changes(answers, modes, measured, verdict),
    )
