"""How `make docs` builds the site: no page asks another server for anything."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "headway"
author = "the authors of headway"
release = version = installed("headway")
copyright = "the authors of headway; Apache License 2.0"  # noqa: A001  # Sphinx reads this name

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "command_line", "figures"]
exclude_patterns = ["_build"]
needs_sphinx = "8.2"

html_theme = "furo"
html_title = f"headway {release}"
html_copy_source = False
html_show_sourcelink = False
smartquotes = False  # they would make one dash of --option
pygments_style = "friendly"
pygments_dark_style = "monokai"

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

# What docstrings put between single backticks is code.
default_role = "code"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
# Airflow has an environment of its own, in which no documentation is built.
autodoc_mock_imports = ["airflow", "croniter"]
napoleon_numpy_docstring = False

nitpicky = True
# Types of other projects, whose inventories would have to be fetched, and types that have no page here.
nitpick_ignore_regex = [
    (r"py:.*", r"(pyspark|airflow|datetime|collections|pathlib|typing|types|enum)\b.*"),
    (
        r"py:.*",
        r"(DataFrame|SparkSession|Column|StructType|DAG|Context|BaseOperator|Path|timedelta|datetime)",
    ),
    (r"py:.*", r"headway\.(config|graph|interval\.Grid|run|sink\.Sink|airflow\.definitions)\b.*"),
    (r"py:.*", r"(Sink|Quality|Row|Telemetry|_Trial|.*\._Trial|.*MonkeyPatch)"),
    (r"py:.*", r"(tuple|dict)\[.*"),
    (r"py:.*", r"(Any|Callable|Iterator|Mapping|Sequence|Iterable|Literal|KW_ONLY|T|Transformation)"),
]


def setup(app: Sphinx) -> None:
    """Keep napoleon from taking the words before a colon for the type of a field; called by Sphinx."""
    as_written: list[str] = []

    def before(
        _app: Sphinx, _what: str, _name: str, _object: object, _options: object, lines: list[str]
    ) -> None:
        as_written[:] = lines

    def after(
        _app: Sphinx, what: str, _name: str, _object: object, _options: object, lines: list[str]
    ) -> None:
        if what in ("attribute", "property", "data") and "Raises:" not in as_written:
            lines[:] = as_written

    app.connect("autodoc-process-docstring", before, priority=100)
    app.connect("autodoc-process-docstring", after, priority=900)
