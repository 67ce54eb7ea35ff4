"""The command advise: which mode a team needs."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from headway.advice import answers as files
from headway.advice import asking, measured, page, text
from headway.advice.answers import Answers
from headway.advice.candidate import candidates
from headway.advice.facts import facts
from headway.advice.recommendation import recommend
from headway.cli.context import Context
from headway.errors import CallError, ConfigError

__all__ = ["advise", "checked"]


def advise(
    context: Context,
    pipeline: str | None,
    *,
    answers_file: Path | None,
    save: Path | None,
    page_file: Path | None,
    checks: bool,
) -> None:
    """Ask or read, recommend, and tell it as text, JSON and a page."""
    project = context.project
    if checks and pipeline is None:
        raise CallError("--check needs a pipeline to check", hint="headway advise PIPELINE --check")
    if pipeline is not None:
        project.pipeline(pipeline)
    answers = _asked() if answers_file is None else files.read(answers_file)
    if save is not None:
        files.write(answers, save)
        context.say(f"the answers are in {save}")
    compared = None
    if pipeline is not None:
        compared = measured.read(project.home / "comparisons" / f"{pipeline}.json")
    looked = checked(context, pipeline) if checks and pipeline is not None else None
    advice = recommend(
        answers, candidates(project.modes.values(), compared, looked), compared, pipeline=pipeline
    )
    if page_file is not None:
        try:
            made = page.page(advice, made_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
            page_file.write_text(made, encoding="utf-8")
        except OSError as exc:
            raise ConfigError(f"the page cannot be written: {exc.strerror}", where=str(page_file)) from exc
        context.say(f"the page is {page_file}")
    context.give(facts(advice), text.lines(advice))


def _asked() -> Answers:
    if not sys.stdin.isatty():
        raise CallError(
            "there is no terminal to ask on",
            hint="Give the answers in a file: --answers FILE; docs/how-to/advise.md lists the questions.",
        )
    from rich.console import Console

    try:
        return asking.ask(Console(stderr=True))
    except EOFError as exc:
        raise CallError(str(exc) or "the answers end before the questions") from exc


def checked(context: Context, name: str) -> dict[str, tuple[str, ...]]:
    """Say for each mode what `headway check` has against it; this starts Spark."""
    from headway.cli.sessions import spark_for
    from headway.plan.analysis import analyse, continuous_faults

    project = context.project
    pipeline = project.pipeline(name)
    with spark_for(context) as spark:
        faults = tuple(continuous_faults(spark, pipeline, analyse(spark, pipeline)))
    return {mode.name: () if mode.is_bounded else faults for mode in project.modes.values()}
