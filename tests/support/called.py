"""Whether a call of `headway` that is shown somewhere exists, told without making it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import typer

from headway.cli.app import app

__all__ = ["commands", "fault"]

_REDIRECTIONS = ("|", ">", ">>", "2>&1", "&", "&&", "#")


def commands(command: Any = None, path: str = "headway") -> Iterator[tuple[str, Any]]:
    """Yield each command that is no group, with the words that call it."""
    command = typer.main.get_command(app) if command is None else command
    below = getattr(command, "commands", {})
    if not below:
        yield path, command
    for name, each in below.items():
        yield from commands(each, f"{path} {name}")


def fault(line: str) -> str | None:
    """Return what is wrong with a call: an unknown command or option, too few words; None for a good one."""
    words = shlex.split(line, comments=True)
    cut = next((i for i, word in enumerate(words) if word in _REDIRECTIONS), len(words))
    command, left = typer.main.get_command(app), words[1:cut]
    options = {"--help": True}
    given: list[str] = []
    required: set[str] = set()
    while True:
        for parameter in command.params:
            if parameter.param_type_name == "option":
                options |= dict.fromkeys(parameter.opts, bool(parameter.is_flag))
                required |= {parameter.opts[0]} if parameter.required else set()
        while left and left[0].startswith("-"):
            option, *left = left
            if option not in options:
                return f"`{command.name}` has no option {option}"
            given.append(option)
            left = left if options[option] else left[1:]
        below = getattr(command, "commands", None)
        if below is None:
            break
        if not left:
            return None if given or command.name == "headway" else f"`{command.name}` wants a command"
        if left[0] not in below:
            return f"there is no command {left[0]!r}"
        command, left = below[left[0]], left[1:]
    return _rest(command, left, options, given, required)


def _rest(
    command: Any, left: list[str], options: dict[str, bool], given: list[str], required: set[str]
) -> str | None:
    arguments = 0
    while left:
        word, *left = left
        if not word.startswith("-"):
            arguments += 1
        elif word not in options:
            return f"`{command.name}` has no option {word}"
        else:
            given.append(word)
            left = left if options[word] else left[1:]
    wanted = [p for p in command.params if p.param_type_name == "argument"]
    if arguments > len(wanted):
        return f"`{command.name}` takes {len(wanted)} words, not {arguments}"
    if "--help" not in given and arguments < sum(p.required for p in wanted):
        return f"`{command.name}` wants {wanted[arguments].name}"
    absent = required - set(given)
    return f"`{command.name}` needs {min(absent)}" if absent and "--help" not in given else None
