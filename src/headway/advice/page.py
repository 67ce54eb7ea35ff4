"""The advice as a page to hand to a stakeholder: one file, no requests, for screen, dark mode and print."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from headway import instant
from headway.advice.candidate import Candidate
from headway.advice.question import QUESTIONS
from headway.advice.recommendation import Recommendation
from headway.advice.rule import Finding
from headway.advice.step import Step
from headway.advice.text import IS_OPEN, cause, grouped, led_to, parts, sides
from headway.advice.words import count, dollars, every, lag, seconds

__all__ = ["page"]

_CODE = re.compile(r"`([^`]+)`")


def page(advice: Recommendation, *, made_at: str) -> str:
    """Return the page as HTML.

    Args:
        advice: What it says.
        made_at: When, as a reader reads it.
    """
    style = (files("headway.advice") / "page.css").read_text()
    title = advice.answers["use_case"] or advice.pipeline or "Which mode?"
    about = f' <span class="id">{escape(advice.pipeline)}</span>' if advice.pipeline else ""
    pro, con = sides(advice)
    sections = [
        f"<h1>{escape(title)}{about}</h1>",
        _verdict(advice),
        _contradictions(advice),
        '<div class="columns">',
        _list(pro, advice.reasons_for),
        _list(con, advice.reasons_against),
        "</div>",
        _first(advice),
        _modes(advice),
        _steps(advice.steps),
        _changes(advice),
        _answers(advice),
        _rules(advice),
        _footer(advice, made_at),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}: {escape(advice.headline)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(section for section in sections if section)
        + "\n</body>\n</html>\n"
    )


def _verdict(advice: Recommendation) -> str:
    mode = advice.mode
    once = ""
    if mode is not None and mode.is_stream and advice.first:
        things = "one thing is" if len(advice.first) == 1 else f"{len(advice.first)} things are"
        once = f'<p class="once">once {things} done</p>'
    pace = "" if mode is None else f"<p>Renewed {escape(mode.pace)}.</p>"
    hints = "".join(f'<p class="small">{_prose(hint)}</p>' for hint in advice.hints)
    return (
        f'<div class="verdict{"" if mode else " none"}">'
        f"<strong>{escape(mode.name if mode else 'None of the open modes')}</strong>{once}{pace}"
        f"<p>{_prose(advice.because)}</p>{hints}</div>"
    )


def _list(title: str, findings: Sequence[Finding]) -> str:
    items = "".join(f"<li>{_reason(f)}</li>" for f in findings) or "<li>nothing that was asked</li>"
    return f"<section><h2>{title}</h2><ul>{items}</ul></section>"


def _reason(finding: Finding) -> str:
    overruled = " · overruled" if finding.is_overruled else ""
    source = f" · {escape(finding.source)}" if finding.source else ""
    return f'{_prose(finding.reason)}<span class="cause">{_cause(finding)}{overruled}{source}</span>'


def _cause(finding: Finding) -> str:
    if not finding.because:
        return escape(cause(finding))
    labels = {asked.key: asked for asked in QUESTIONS}
    told = [f"{labels[key].asks} {labels[key].label(answer)}" for key, answer in finding.because.items()]
    return escape(" · ".join(told))


def _contradictions(advice: Recommendation) -> str:
    return _callout("Answers that contradict each other", [_reason(f) for f in advice.contradictions])


def _first(advice: Recommendation) -> str:
    return _callout(
        "Do this first",
        [f'{_prose(f.first or "")} <span class="id">{escape(f.id)}</span>' for f in advice.first],
    )


def _callout(title: str, items: Sequence[str]) -> str:
    if not items:
        return ""
    listed = "".join(f"<li>{item}</li>" for item in items)
    return f'<section class="callout"><h2>{title}</h2><ul>{listed}</ul></section>'


def _modes(advice: Recommendation) -> str:
    measured = [mode.measured for mode in advice.modes if mode.measured is not None]
    longest = max((figures.fresh_p95 for figures in measured), default=0.0)
    dearest = max((figures.dollars for figures in measured), default=0.0)
    rows = "".join(_mode(advice, mode, longest, dearest) for mode in advice.modes)
    note = (
        '<p class="small">Visible: from sent to visible, half and 95 of 100 records; its bars are logarithmic. Dollars: '
        "machines only, by the prices in conf/.</p>"
        if measured
        else '<p class="small">Nothing was measured.</p>'
    )
    return (
        '<h2>The modes</h2><table class="modes"><tr><th>Mode</th><th>Renewed</th><th>Visible within</th>'
        f"<th>Dollars a day</th><th>Open?</th></tr>{rows}</table>{note}"
    )


def _mode(advice: Recommendation, mode: Candidate, longest: float, dearest: float) -> str:
    figures = mode.measured
    fresh, price = "not measured", "not measured"
    if figures is not None:
        width = 100 * math.log1p(figures.fresh_p95) / math.log1p(longest) if longest > 0 else 0
        fresh = (
            f'<span class="number">{seconds(figures.fresh_p50)} / {seconds(figures.fresh_p95)}</span>'
            f'<span class="bar" style="width:{width:.0f}%"></span>'
            f'<span class="cause">{escape(parts(mode).strip(" ()"))}</span>'
        )
        width = 100 * figures.dollars / dearest if dearest > 0 else 0
        price = (
            f'<span class="number">{dollars(figures.dollars)}</span>'
            f'<span class="bar price" style="width:{width:.0f}%"></span>'
        )
    kind = ""
    if advice.mode is not None and advice.mode.name == mode.name:
        kind = ' class="chosen"'
    elif mode.state == "closed":
        kind = ' class="shut"'
    return (
        f"<tr{kind}><td>{escape(mode.name)}</td><td>{escape(mode.pace)}</td><td>{fresh}</td><td>{price}</td>"
        f'<td>{IS_OPEN[mode.state]}<span class="cause">{_prose(mode.why)}</span></td></tr>'
    )


def _steps(steps: Sequence[Step]) -> str:
    if not steps:
        return ""
    rows = []
    for step in steps:
        price = "not measured" if step.dollars is None else dollars(step.dollars)
        saved = "not measured" if step.saved is None else seconds(step.saved)
        work = "".join(f"<li>{_prose(item)}</li>" for item in step.work)
        rows.append(
            f"<tr><td>{escape(step.slower.name)} → {escape(step.faster.name)}</td>"
            f'<td class="number">{price}</td><td class="number">{saved}</td><td><ul>{work}</ul></td></tr>'
        )
    return (
        "<h2>What each step faster costs</h2><table><tr><th>Step</th><th>Dollars a day more</th>"
        f"<th>Sooner, 95 of 100</th><th>To build and to keep</th></tr>{''.join(rows)}</table>"
    )


def _changes(advice: Recommendation) -> str:
    missing, others = grouped(advice)
    items = [
        f"<li><b>{escape(led_to(c.mode))}</b>, if {_prose(c.what)}"
        f"{' <span class=id>not answered</span>' if c.is_open_question else ''}</li>"
        for c in (*missing, *others)
    ]
    holding = advice.holding
    if len(holding) > 1 and advice.mode is not None:
        ids = ", ".join(f'<span class="id">{escape(f.id)}</span>' for f in holding)
        items.append(f"<li>Faster than {escape(advice.mode.name)} only if none of these held: {ids}</li>")
    items += [
        f'<li>To go faster: {_prose(f.first or "")} <span class="id">{escape(f.id)}</span></li>'
        for f in advice.to_go_faster
    ]
    if not items:
        items = ["<li>No single answer and no single figure leads to another mode.</li>"]
    return f"<h2>What would change it</h2><ul>{''.join(items)}</ul>"


def _answers(advice: Recommendation) -> str:
    rows = []
    for asked in QUESTIONS:
        answer = advice.answers[asked.key]
        if asked.kind == "text":
            continue
        told = (
            f'<i>not answered</i><span class="cause">It decides {escape(asked.decides)}.</span>'
            if answer is None
            else escape(asked.label(answer))
        )
        rows.append(f"<tr><td>{escape(asked.asks)}</td><td>{told}</td></tr>")
    return f"<h2>What was answered</h2><table>{''.join(rows)}</table>"


def _rules(advice: Recommendation) -> str:
    rows = "".join(
        f'<tr><td class="id">{escape(f.id)}</td><td>{escape(_effect(f))}</td>'
        f"<td>{escape(cause(f))}</td><td>{escape(', '.join(sorted(f.refused)) or 'nothing')}</td></tr>"
        for f in advice.verdict.findings
    )
    return (
        "<h2>The rules that fired</h2>"
        '<p class="small">A demand leaves only streams and overrules limits. A limit takes out the modes that are faster '
        "than its bound. Of what is left, the slowest that is renewed as often as wanted is recommended. Notes and "
        "contradictions decide nothing.</p>"
        f"<table><tr><th>Rule</th><th>What it is</th><th>Fired by</th><th>Takes out</th></tr>{rows}</table>"
    )


def _prose(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _effect(finding: Finding) -> str:
    bound = {None: "", "scheduled": ": no stream"}.get(finding.bound, f": {finding.bound} at the fastest")
    return f"{finding.effect}{bound}{', overruled' if finding.is_overruled else ''}"


def _footer(advice: Recommendation, made_at: str) -> str:
    told = [f"Made by <code>headway advise</code>, {escape(made_at)}."]
    if advice.measured is not None:
        m = advice.measured
        told.append(
            escape(
                f"Measured by headway compare at {m.created_at}, on {count(m.records)} records of {m.start} to {m.end}: "
                f"{lag(m.lag_p50, m.lag_p95)}; "
                f"{m.late_share:.2%} were late."
            )
        )
    if advice.answers.wanted is not None:
        told.append(f"Wanted: renewed {escape(every(instant.spell(advice.answers.wanted)))}.")
    return f'<footer class="small">{" ".join(told)}</footer>'
