"""What measured figures say about modes, as findings beside those of the rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import MappingProxyType

from headway import instant
from headway.advice.answers import Answers
from headway.advice.candidate import Candidate
from headway.advice.measured import Measured
from headway.advice.rule import Finding
from headway.advice.words import dollars, seconds

__all__ = ["findings"]


def findings(answers: Answers, measured: Measured | None, usable: Sequence[Candidate]) -> tuple[Finding, ...]:
    """Return what a comparison says; nothing where there is none.

    Args:
        answers: Their `worth` is held against prices.
        measured: The comparison.
        usable: The modes that may be recommended, the slowest first.
    """
    if measured is None:
        return ()
    return (
        *_arrives_late(measured, usable),
        *_no_gain(usable),
        *_not_worth_it(answers, usable),
    )


def _arrives_late(measured: Measured, usable: Sequence[Candidate]) -> Iterator[Finding]:
    lag = measured.lag_p50 * instant.SECOND
    enough = next((mode for mode in usable if mode.step <= lag), None)
    if enough is None:
        return
    yield Finding(
        id="arrives-late",
        effect="limit",
        lies_in="figures",
        because=MappingProxyType({}),
        refused=frozenset(mode.name for mode in usable if mode.step < enough.step),
        reason=f"Half of the records arrive more than {seconds(measured.lag_p50)} after they happened (95 of 100 "
        f"within {seconds(measured.lag_p95)}). The wait for {enough.name}'s next run is already no longer than that: "
        "a faster mode shortens the shorter of the two waits.",
        first="Have the records arrive sooner: that is upstream of headway.",
    )


def _no_gain(usable: Sequence[Candidate]) -> Iterator[Finding]:
    measured = [(mode, mode.measured) for mode in usable if mode.measured is not None]
    for number, (mode, figures) in enumerate(measured):
        better = next((s for s, f in measured[:number] if f.fresh_p95 <= figures.fresh_p95), None)
        if better is not None and better.measured is not None:
            yield Finding(
                id="no-gain",
                effect="limit",
                lies_in="figures",
                because=MappingProxyType({}),
                refused=frozenset({mode.name}),
                reason=f"{mode.name} was no fresher than {better.name}: 95 of 100 records were visible within "
                f"{seconds(figures.fresh_p95)} of being sent, against {seconds(better.measured.fresh_p95)}.",
                first="Find out where its time goes: `headway compare` names the parts.",
            )


def _not_worth_it(answers: Answers, usable: Sequence[Candidate]) -> Iterator[Finding]:
    priced = [(mode, mode.measured.dollars) for mode in usable if mode.measured is not None]
    if answers.worth is None or not priced:
        return
    slowest, base = priced[0]
    for mode, price in priced[1:]:
        if price - base > answers.worth:
            yield Finding(
                id="not-worth-it",
                effect="limit",
                lies_in="figures",
                because=MappingProxyType({"worth": answers["worth"] or ""}),
                refused=frozenset({mode.name}),
                reason=f"{mode.name} costs {dollars(price - base)} a day more than {slowest.name}, for machines alone; "
                f"the pace is worth {dollars(answers.worth)}.",
                first="Find out what is lost: the price is known, the worth is not.",
            )
