"""Data Docs: pages about suites and verdicts, built by Great Expectations itself."""

from __future__ import annotations

import importlib
import logging
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headway.errors import ResultError
from headway.quality import gx as gx_module
from headway.quality.suite import Suite

__all__ = ["build"]

_REMOTE = re.compile(
    r"""<link\b[^>]*href="https?://[^>]*>|<script\b[^>]*src="https?://[^>]*>\s*</script>""", re.IGNORECASE
)
_LOGO = re.compile(r'<img\s+class="NO-CACHE"[^>]*>', re.IGNORECASE)
_NEWSLETTER = re.compile(r"<footer>.*?</footer>", re.IGNORECASE | re.DOTALL)
_RENDERING = "great_expectations.render.renderer.site_builder"


def build(
    results: Iterable[Mapping[str, Any]], suites: Iterable[Suite], folder: Path, *, telemetry: bool = False
) -> Path:
    """Build the pages anew, in place of what is in the folder; return the index.

    GX's pages fetch their styles and scripts from the network; here they bring what they need, so that they are
    read on any machine and tell nobody that they are read.

    Args:
        results: Validation results, as `headway.quality.validation` writes them.
        suites: A page is made of each.
        folder: Belongs to the pages alone.
        telemetry: Whether GX may send telemetry.

    Raises:
        ResultError: GX could not make a page; the old pages stand.
    """
    gx = gx_module.gx(telemetry)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}-") as work:
        site = Path(work) / "site"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            context = gx.get_context(mode="ephemeral")
            for name in list(context.get_site_names()):
                context.delete_data_docs_site(name)
            for given in suites:
                context.suites.add_or_update(_suite(gx, given))
            for result in results:
                _add(context, result)
            with _no_page_missing():
                builder = importlib.import_module(_RENDERING).SiteBuilder(
                    data_context=context,
                    site_name="headway",
                    show_how_to_buttons=False,
                    store_backend={"class_name": "TupleFilesystemStoreBackend", "base_directory": str(site)},
                )
                builder.build()
        _make_whole(site)
        shutil.rmtree(folder, ignore_errors=True)
        site.rename(folder)
    return folder / "index.html"


def _suite(gx: Any, suite: Suite) -> Any:
    made = gx.ExpectationSuite(name=suite.name, meta={"per": suite.per, "gate": suite.gate})
    for rule in suite.rules:
        made.add_expectation(
            gx_module.expectation(rule.type, rule.kwargs, meta=rule.meta, severity=rule.severity)
        )
    return made


def _add(context: Any, result: Mapping[str, Any]) -> None:
    """Put a result into GX's own store, under GX's own key."""
    schema = importlib.import_module("great_expectations.core.expectation_validation_result")
    identifiers = importlib.import_module("great_expectations.data_context.types.resource_identifiers")
    runs = importlib.import_module("great_expectations.core.run_identifier")
    loaded = schema.expectationSuiteValidationResultSchema.load(dict(result))
    key = identifiers.ValidationResultIdentifier(
        expectation_suite_identifier=identifiers.ExpectationSuiteIdentifier(name=loaded.suite_name),
        run_id=runs.RunIdentifier(**loaded.meta["run_id"]),
        batch_identifier=loaded.meta["batch_parameters"]["unit"],
    )
    context.validation_results_store.set(key, loaded)


@contextmanager
def _no_page_missing() -> Iterator[None]:
    """Raise what GX only logs while it makes pages.

    Raises:
        ResultError: With the first words of GX.
    """
    told: list[str] = []

    class _Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())

    logger, handler = logging.getLogger(_RENDERING), _Listening(logging.ERROR)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
    if told:
        raise ResultError(f"Great Expectations could not make a page of Data Docs: {told[0]}")


def _make_whole(site: Path) -> None:
    """Give every page its styles and scripts, and take away what it would fetch from the network."""
    own = Path(__file__)
    scripts = site / "static" / "headway"
    scripts.mkdir(parents=True)
    for name in ("data_docs.css", "data_docs.js"):
        shutil.copy(own.with_name(name), scripts / name)
    for page in site.rglob("*.html"):
        up = "../" * (len(page.relative_to(site).parts) - 1)
        ours = (
            f'<link rel="stylesheet" href="{up}static/headway/data_docs.css">'
            f'<script src="{up}static/headway/data_docs.js"></script>'
        )
        logo = f'<img src="{up}static/images/logo-long.png" alt="Great Expectations" height="50">'
        text = _REMOTE.sub("", page.read_text())
        text = _NEWSLETTER.sub("", _LOGO.sub(logo, text))
        page.write_text(text.replace("</head>", f"{ours}</head>", 1))
