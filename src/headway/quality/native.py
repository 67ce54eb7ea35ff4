"""Rules that are not compiled, run by Great Expectations' own Spark engine."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headway.quality import gx as gx_module
from headway.quality.suite import Rule

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["run"]

_FORMAT = {"result_format": "SUMMARY", "partial_unexpected_count": 0}


def run(rules: Sequence[Rule], frame: DataFrame, *, telemetry: bool = False) -> list[dict[str, Any]]:
    """Validate a frame, which is one unit; return GX's result of each rule, in their order.

    A rule that GX cannot evaluate has `exception_info.raised_exception` and no success; nothing is
    raised for it. GX starts several jobs for each rule and the frame is computed anew for each.
    """
    if not rules:
        return []
    gx = gx_module.gx(telemetry)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        source = context.data_sources.add_spark("headway", persist=False)
        asset = source.add_dataframe_asset("unit")
        suite = context.suites.add(gx.ExpectationSuite(name="native"))
        for rule in rules:
            suite.add_expectation(
                gx_module.expectation(rule.type, rule.kwargs, meta=rule.meta, severity=rule.severity)
            )
        definition = gx.ValidationDefinition(
            name="native", data=asset.add_batch_definition_whole_dataframe("whole"), suite=suite
        )
        context.validation_definitions.add(definition)
        found = definition.run(batch_parameters={"dataframe": frame}, result_format=_FORMAT)
    results = [each.to_json_dict() for each in found.results]
    assert len(results) == len(rules)
    return results
