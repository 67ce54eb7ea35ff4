"""The advice as lines of text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from headway.advice.candidate import Candidate
from headway.advice.change import Change
from headway.advice.recommendation import Recommendation
from headway.advice.rule import Finding
from headway.advice.words import count, dollars, lag, seconds

__all__ = ["IS_OPEN", "cause", "grouped", "led_to", "lines", "parts", "sides"]

IS_OPEN = {"open": "yes", "closed": "no", "unproved": "not known"}
"""Whether a mode is open, in words."""
_WIDTH = 100


def lines(advice: Recommendation) -> list[str]:
    """Return the advice, section by section; one without content is left out."""
    pro, con = sides(advice)
    use = advice.answers["use_case"]
    found = [f"{use}" if use else "", advice.headline, *_wrapped(advice.because), *_wrapped_all(advice.hints)]
    found = [line for line in found if line]
    found += _section(pro, (_told(f) for f in advice.reasons_for))
    found += _section(con, (_told(f) for f in advice.reasons_against))
    found += _section("Do this first", (f"{f.first} [{f.id}]" for f in advice.first))
    found += _section("Answers that contradict each other", (_told(f) for f in advice.contradictions))
    found += _section(
        "Not answered", (f"{q.asks} It decides {q.decides}. [{q.key}]" for q in advice.answers.missing)
    )
    found += _section("The modes, and what each step faster costs", _priced(advice))
    found += _section("What would change it", _changed(advice))
    if advice.measured is not None:
        m = advice.measured
        found += _section(
            "Measured",
            [
                (
                    f"{m.pipeline}, {m.start} to {m.end}, {count(m.records)} records, compared at {m.created_at}: "
                    f"{lag(m.lag_p50, m.lag_p95)}; {m.late_share:.2%} were late."
                )
            ],
        )
    return found


def parts(mode: Candidate) -> str:
    """Say where a mode's freshness comes from, and which parts were measured; starts with a space."""
    if mode.measured is None or not mode.measured.parts:
        return ""
    told = ", ".join(f"{name} {seconds(span)} [{how}]" for name, span, how in mode.measured.parts)
    return f" ({told})"


def cause(finding: Finding) -> str:
    """Say which answers fired a rule."""
    if not finding.because:
        return "measured"
    return ", ".join(f"{key} = {answer}" for key, answer in finding.because.items())


def sides(advice: Recommendation) -> tuple[str, str]:
    """Head what speaks for and what speaks against the mode."""
    if advice.mode is None:
        return "For a stream", "Against a stream"
    return "For it", "Against it" if advice.mode.is_stream else "Against it, and for a faster one"


def led_to(mode: str | None) -> str:
    """Name the mode that a change leads to."""
    return "no open mode" if mode is None else mode


def grouped(advice: Recommendation) -> tuple[list[Change], list[Change]]:
    """Split what would change the advice into open questions, and answers and figures that would have to differ."""
    missing = [c for c in advice.changes if c.is_open_question]
    return missing, [c for c in advice.changes if not c.is_open_question]


def _told(finding: Finding) -> str:
    overruled = "; overruled" if finding.is_overruled else ""
    source = f" ({finding.source})" if finding.source and finding.effect == "note" else ""
    return f"{finding.reason}{source} [{finding.id}: {cause(finding)}{overruled}]"


def _priced(advice: Recommendation) -> Iterator[str]:
    for mode in advice.modes:
        mark = " <- recommended" if mode is advice.mode else ""
        figures, measured = mode.measured, "not measured"
        if figures is not None:
            measured = (
                f"half visible within {seconds(figures.fresh_p50)} of being sent, 95 of 100 within "
                f"{seconds(figures.fresh_p95)}{parts(mode)}; {dollars(figures.dollars)} a day"
            )
        yield f"{mode.name}: {mode.pace}; {measured}; open: {IS_OPEN[mode.state]} ({mode.why}){mark}"
    for step in advice.steps:
        price = (
            "dollars not measured"
            if step.dollars is None
            else f"{dollars(step.dollars)} a day, machines only"
        )
        saved = "" if step.saved is None else f", {seconds(step.saved)} sooner for 95 of 100 records"
        yield f"{step.slower.name} -> {step.faster.name}: {price}{saved}. To build and to keep: {'; '.join(step.work)}."


def _changed(advice: Recommendation) -> Iterator[str]:
    missing, others = grouped(advice)
    for change in (*missing, *others):
        yield f"{led_to(change.mode)}, if {change.what} [{change.key}{': not answered' if change.is_open_question else ''}]"
    holding = advice.holding
    if len(holding) > 1:
        ids = ", ".join(f.id for f in holding)
        yield f"Faster than {advice.mode.name if advice.mode else ''} only if none of these held: {ids}."
    for finding in advice.to_go_faster:
        yield f"To go faster: {finding.first} [{finding.id}]"
    if not advice.changes and len(holding) < 2:
        yield "No single answer and no single figure leads to another mode."


def _section(title: str, items: Iterable[str]) -> list[str]:
    told = [line for item in items for line in _item(item)]
    return ["", title, *told] if told else []


def _item(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent="  - ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _wrapped_all(texts: Iterable[str]) -> list[str]:
    return [line for text in texts for line in _wrapped(text)]
