"""The answers a team has given, and the YAML file they are kept in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from headway import instant
from headway.advice.question import QUESTIONS, Question
from headway.errors import ConfigError, UsageError, suggestion
from headway.yaml_text import parsed

__all__ = ["Answers", "canonical", "read", "write"]


@dataclass(frozen=True, slots=True)
class Answers:
    """What is known of a team and a use; a question without an answer is missing, not a default."""

    given: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Answers in their canonical form, by the key of the question."""

    def __getitem__(self, key: str) -> str | None:
        return self.given.get(key)

    def but(self, key: str, answer: str) -> Answers:
        """Return the answers with another one to one question."""
        return Answers(MappingProxyType({**self.given, key: answer}))

    @property
    def wanted(self) -> int | None:
        """The pace asked for, in microseconds."""
        text = self["wanted"]
        return None if text is None else instant.duration(text)

    @property
    def worth(self) -> float | None:
        """Dollars a day that the pace is worth."""
        text = self["worth"]
        return None if text is None else float(text)

    @property
    def missing(self) -> tuple[Question, ...]:
        """The questions without an answer, but for the free text."""
        return tuple(q for q in QUESTIONS if q.kind != "text" and q.key not in self.given)


def canonical(asked: Question, value: object) -> str:
    """Return an answer in the form that rules compare.

    >>> from headway.advice.question import question
    >>> canonical(question("wanted"), "60 minutes"), canonical(question("worth"), 120)
    ('1 hour', '120')

    Raises:
        UsageError: It is no answer to the question; the words name the choices.
    """
    if isinstance(value, (dict, list)) or value is None or isinstance(value, bool):
        raise UsageError(f"{value!r} is no answer", hint=_expected(asked))
    if asked.kind == "text":
        return str(value).strip()
    if asked.kind == "span":
        span = instant.duration(str(value))
        if span <= 0:
            raise UsageError(f"{value!r} is no pace", hint=_expected(asked))
        return instant.spell(span)
    if asked.kind == "dollars":
        try:
            dollars = float(str(value).replace("$", "").replace(",", ""))
        except ValueError:
            dollars = -1.0
        if dollars < 0 or not math.isfinite(dollars):
            raise UsageError(f"{value!r} is no amount of dollars", hint=_expected(asked))
        return f"{dollars:.2f}".rstrip("0").rstrip(".")
    keys = [choice.key for choice in asked.choices]
    if str(value) not in keys:
        raise UsageError(f"no choice {str(value)!r}", hint=suggestion(str(value), keys))
    return str(value)


def read(file: Path) -> Answers:
    """Read a file of answers.

    Raises:
        ConfigError: It is not there or not YAML; or, all at once and each with its line, unknown keys and values
            that are no answers.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "they are not UTF-8"
        raise ConfigError(f"the answers cannot be read: {why}", where=str(file)) from exc
    node, data = parsed(text, file)
    if data is None:
        return Answers()
    if not isinstance(data, dict) or not isinstance(node, yaml.MappingNode):
        raise ConfigError("the top level is not a mapping of questions to answers", where=f"{file}:1")
    return _checked(data, {str(k.value): k.start_mark.line + 1 for k, _ in node.value}, file)


def write(answers: Answers, file: Path) -> None:
    """Write answers so that `read` gives them back, each below its question.

    Raises:
        ConfigError: The file cannot be written.
    """
    lines = []
    for asked in QUESTIONS:
        lines.append(f"# {asked.asks}")
        lines += [f"#   {choice.key}: {choice.label}" for choice in asked.choices]
        lines += [f"#   {asked.hint}"] if asked.hint else []
        answer = answers[asked.key]
        if answer is None:
            lines += [f"# {asked.key}:", ""]
        else:
            lines += [yaml.safe_dump({asked.key: _scalar(asked, answer)}, allow_unicode=True).strip(), ""]
    try:
        file.write_text("\n".join(lines), encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"the answers cannot be written: {exc.strerror}", where=str(file)) from exc


def _checked(data: dict[Any, Any], lines: dict[str, int], file: Path) -> Answers:
    known = {asked.key: asked for asked in QUESTIONS}
    given, faults = {}, []
    for key, value in data.items():
        where = f"{file}:{lines.get(str(key), 1)}"
        if key not in known:
            faults.append(f"{where}: unknown key {str(key)!r}. {suggestion(str(key), known)}")
            continue
        if value is None:
            continue
        try:
            given[key] = canonical(known[key], value)
        except UsageError as exc:
            faults.append(f"{where}: {key}: {exc.what}. {exc.hint}")
    if faults:
        raise ConfigError(
            "the answers are wrong:\n  " + "\n  ".join(faults),
            hint="docs/how-to/advise.md lists every question and its answers.",
        )
    return Answers(MappingProxyType(given))


def _scalar(asked: Question, answer: str) -> str | float:
    return float(answer) if asked.kind == "dollars" else answer


def _expected(asked: Question) -> str:
    if asked.choices:
        return f"Known: {', '.join(choice.key for choice in asked.choices)}."
    return {
        "span": "Write a number and a unit, such as '1 hour' or '15 minutes'.",
        "dollars": "Write dollars a day, such as 120; nothing below 0.",
    }.get(asked.kind, "Write a few words.")
