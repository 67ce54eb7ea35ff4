"""What is documented of metrics, log lines and conf/, and shipped for Grafana and Prometheus, exists."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from headway import config
from headway.telemetry import events
from headway.telemetry.metrics import COMMON, METRICS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def names():
    """Return the names under which Prometheus has each metric."""
    suffixes = {"histogram": ("_bucket", "_count", "_sum")}
    return {f"{d.name}{s}" for d in METRICS for s in suffixes.get(d.type, ("",))}


def expressions():
    dashboard = json.loads((DOCS / "monitoring" / "grafana.json").read_text())
    rules = yaml.safe_load((DOCS / "monitoring" / "alerts.yaml").read_text())
    yield from (target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    yield from (v["definition"] for v in dashboard["templating"]["list"] if v["type"] == "query")
    yield from (rule["expr"] for group in rules["groups"] for rule in group["rules"])


def named(expression):
    return set(re.findall(r"\bheadway_\w+", expression))


def test_the_table_of_metrics_says_what_the_code_says():
    page = (DOCS / "how-to" / "monitor.md").read_text()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if line.startswith("| `headway_")
    ]
    assert rows == [
        [f"`{d.name}`", d.type, ", ".join(f"`{label}`" for label in d.labels), d.unit, d.meaning]
        for d in METRICS
    ]


def test_the_dashboard_and_the_rules_name_only_metrics_that_exist():
    assert set().union(*map(named, expressions())) <= names()


def test_the_dashboard_shows_every_metric():
    dashboard = json.loads((DOCS / "monitoring" / "grafana.json").read_text())
    shown = set().union(*(named(t["expr"]) for p in dashboard["panels"] for t in p["targets"]))
    assert {re.sub("_bucket$", "", name) for name in shown} == {d.name for d in METRICS}


def test_the_dashboard_and_the_rules_group_by_labels_that_their_metrics_have():
    labels = {d.name: {*d.labels, *COMMON} for d in METRICS}
    for expression in expressions():
        known = set().union(*(labels[re.sub("_bucket$", "", name)] for name in named(expression)), {"le"})
        grouped = {
            label.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(",")
        }
        matched = set(re.findall(r"(\w+)=~?\"", expression)) - {"job"}
        assert grouped | matched <= known, expression


def test_every_event_and_its_fields_are_documented():
    page = (DOCS / "how-to" / "monitor.md").read_text()
    known = {e.name for e in vars(events).values() if isinstance(e, type) and hasattr(e, "name")}
    told = set(re.findall(r"^\| `([a-z_]+)` \| (?:info|warning|debug|error|said)", page, flags=re.MULTILINE))
    assert told == known | {"spark"}


def test_every_key_of_logs_metrics_and_alerts_is_in_the_reference():
    page = (DOCS / "reference" / "configuration.md").read_text()
    sections = {"logs": config.Logs, "metrics": config.Metrics, "alerts": config.Alerts}
    keys = {f"{name}.{key}" for name, section in sections.items() for key in section.model_fields}
    assert {key for key in keys if f"| `{key}` |" not in page} == set()
