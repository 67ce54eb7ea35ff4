"""The examples in docstrings hold."""

import doctest
import importlib

import pytest

MODULES = [
    "accounts",
    "cli.looks",
    "advice.answers",
    "advice.question",
    "advice.words",
    "comparison_page.plots",
    "cron",
    "errors",
    "freshness",
    "frontier",
    "instant",
    "interval",
    "lookup",
    "offsets",
    "pace",
    "prices",
    "quality.proposal",
    "run.scheduled",
    "telemetry.address",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_hold(name):
    found = doctest.testmod(importlib.import_module(f"headway.{name}"))
    assert found.attempted > 0
    assert found.failed == 0
