"""Asking on a terminal."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, TextIO

from headway.advice.answers import Answers, canonical
from headway.advice.question import QUESTIONS, Question
from headway.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["ask"]


def ask(console: Console, *, stream: TextIO | None = None) -> Answers:
    """Ask every question; Enter takes the default, `?` leaves a question open.

    Args:
        console: Where questions are shown.
        stream: Where answers are read; None reads the terminal.

    Raises:
        EOFError: The answers end before the questions.
    """
    console.print("[bold]Enter[/] takes what stands in brackets, [bold]?[/] leaves a question open.")
    given = {}
    for asked in QUESTIONS:
        console.print(f"\n[bold]{asked.asks}[/]", highlight=False)
        if asked.hint:
            console.print(f"  {asked.hint}", highlight=False, markup=False)
        for number, choice in enumerate(asked.choices, 1):
            console.print(f"  {number}  {choice.label}", highlight=False, markup=False)
        answer = _answer(asked, console, stream)
        if answer:
            given[asked.key] = answer
    return Answers(MappingProxyType(given))


def _answer(asked: Question, console: Console, stream: TextIO | None) -> str | None:
    while True:
        console.print(f"[{_default(asked)}] > ", end="", markup=False, highlight=False)
        text = (stream.readline() if stream is not None else input() + "\n").strip("\r")
        if not text:
            raise EOFError("the answers end before the questions")
        text = text.strip()
        if text == "?":
            return None
        if not text:
            return asked.default
        if text.isdecimal() and 1 <= int(text) <= len(asked.choices):
            return asked.choices[int(text) - 1].key
        try:
            return canonical(asked, text)
        except UsageError as exc:
            console.print(f"{exc.what}. {exc.hint}", markup=False, highlight=False)


def _default(asked: Question) -> str:
    if asked.default is None:
        return "?"
    keys = [choice.key for choice in asked.choices]
    return str(keys.index(asked.default) + 1) if asked.default in keys else asked.default
