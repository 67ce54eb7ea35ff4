"""What would change the advice: each answer, and each thing that was measured, changed by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from headway.advice.answers import Answers, canonical
from headway.advice.candidate import Candidate
from headway.advice.measured import Measured
from headway.advice.question import QUESTIONS, Question
from headway.advice.verdict import Verdict, judge
from headway.advice.words import every

__all__ = ["Change", "changes"]

_PACES = ("10 seconds", "15 minutes", "1 hour", "1 day")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that, changed by itself, leads to another mode."""

    key: str
    """The question, or `mode` where one would have to open, or `figures`."""
    what: str
    """The change, as a half sentence after "if"."""
    answers: tuple[str, ...]
    """The answers that lead there; empty where it is no answer."""
    mode: str | None
    is_open_question: bool = False
    """Whether the question has no answer yet."""


def changes(
    answers: Answers, modes: Sequence[Candidate], measured: Measured | None, verdict: Verdict
) -> tuple[Change, ...]:
    """Ask the rules again with one thing changed at a time.

    Args:
        answers: As given.
        modes: Those of the project, the slowest first.
        measured: A comparison of the pipeline.
        verdict: What they have led to.
    """
    chosen = _name(verdict)

    def led(now: Answers) -> str | None:
        return _name(judge(now, modes, measured))

    found = [change for asked in QUESTIONS for change in _of(asked, answers, modes, chosen, led)]
    for mode in modes:
        if mode.state == "closed":
            opened = [replace(m, state="open") if m is mode else m for m in modes]
            if (other := _name(judge(answers, opened, measured))) != chosen:
                found.append(Change(key="mode", what=f"{mode.name} were open", answers=(), mode=other))
    for finding in verdict.findings:
        if not finding.because and finding.effect == "limit":
            other = _name(judge(answers, modes, measured, without=frozenset({finding.id})))
            if other != chosen:
                what = _UNMEASURED.get(finding.id, finding.id)
                found.append(Change(key="figures", what=what, answers=(), mode=other))
    return tuple(found)


_UNMEASURED = {
    "arrives-late": "the records arrived soon after they happened",
    "no-gain": "the faster mode were measured to be fresher",
}


def _of(
    asked: Question,
    answers: Answers,
    modes: Sequence[Candidate],
    chosen: str | None,
    led: Callable[[Answers], str | None],
) -> Iterator[Change]:
    leads: dict[str | None, list[str]] = {}
    for other in _others(asked, answers, modes):
        mode = led(answers.but(asked.key, other))
        if mode != chosen:
            leads.setdefault(mode, []).append(other)
    for mode, given in leads.items():
        yield Change(
            key=asked.key,
            what=_spelled(asked, given, answers[asked.key]),
            answers=tuple(given),
            mode=mode,
            is_open_question=answers[asked.key] is None,
        )


def _others(asked: Question, answers: Answers, modes: Sequence[Candidate]) -> list[str]:
    if asked.kind == "choice":
        tried = [choice.key for choice in asked.choices]
    elif asked.kind == "span":
        tried = [canonical(asked, pace) for pace in _PACES]
    elif asked.kind == "dollars":
        prices = [mode.measured.dollars for mode in modes if mode.measured and mode.state != "closed"]
        tried = [canonical(asked, _cents_above(p - prices[0])) for p in prices if p > prices[0]]
        tried = list(dict.fromkeys(["0", *tried]))
    else:
        return []
    return [answer for answer in tried if answer != answers[asked.key]]


def _cents_above(amount: float) -> float:
    return math.ceil(round(amount * 100, 6)) / 100


def _spelled(asked: Question, given: Sequence[str], now: str | None) -> str:
    if asked.kind == "dollars":
        least, most = min(float(g) for g in given), max(float(g) for g in given)
        if now is not None and most < float(now):
            return "that pace were worth " + (f"no more than ${most:,.2f} a day" if most else "nothing")
        return "that pace were worth " + (f"${least:,.2f} a day or more" if least else "nothing")
    if asked.kind == "span":
        return "it had to be renewed " + " or ".join(every(g) for g in given)
    words = " / ".join(asked.label(g) for g in given)
    return f"to “{asked.asks}” the answer were: {words}"


def _name(verdict: Verdict) -> str | None:
    return None if verdict.mode is None else verdict.mode.name
