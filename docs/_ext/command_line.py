"""The directive `command-line`: the reference of the commands, made from the typer app itself."""

from __future__ import annotations

import typing

from docutils import nodes
from docutils.nodes import make_id
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

if typing.TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx

__all__ = ["CommandLine", "commands", "setup"]

PROGRAM = "headway"


def commands(command: typing.Any, path: str = PROGRAM) -> Iterator[tuple[str, typing.Any]]:
    """Yield each command and group below a group with the words that call it, in the order of the help."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{path} {name}")


class CommandLine(SphinxDirective):
    """A section for each command: its usage, its help, its example, its arguments and options."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        import typer

        from headway.cli.app import app

        found: list[nodes.Node] = []
        for path, command in commands(typer.main.get_command(app)):
            found.append(self._section(path, command))
        return found

    def _section(self, path: str, command: typing.Any) -> nodes.section:
        title = "Options before a command" if path == PROGRAM else path
        section = nodes.section(ids=[make_id(title)])
        section += nodes.title(text=title)
        text, _, example = (command.help or "").partition("Example:")
        for paragraph in text.split("\n\n"):
            if paragraph.strip():
                section += self._prose(" ".join(paragraph.split()))
        if example.strip():
            section += self._console(f"$ {' '.join(example.split())}")
        rows = list(_parameters(command, path))
        if rows:
            section += self._table(rows)
        return section

    def _prose(self, text: str) -> nodes.paragraph:
        made = nodes.paragraph()
        self.state.nested_parse(StringList([text]), 0, made)
        return made.children[0] if isinstance(made.children[0], nodes.paragraph) else made

    def _console(self, text: str) -> nodes.literal_block:
        return nodes.literal_block(text, text, language="console")

    def _table(self, rows: list[tuple[str, str]]) -> nodes.table:
        group = nodes.tgroup(cols=2)
        group += [nodes.colspec(colwidth=30), nodes.colspec(colwidth=70)]
        body = nodes.tbody()
        for name, text in rows:
            row = nodes.row()
            row += nodes.entry("", nodes.paragraph("", "", nodes.literal(text=name)))
            row += nodes.entry("", self._prose(text))
            body += row
        group += body
        table = nodes.table(width="100%")
        table += group
        return table


def _parameters(command: typing.Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield what `--help` says of each argument and option, except those of every command."""
    import typer

    called = typer.Context(command, info_name=path)
    for parameter in command.params:
        if parameter.name not in ("help", "install_completion", "show_completion"):
            yield parameter.get_help_record(called)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive; called by Sphinx."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True}
